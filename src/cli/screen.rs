//! The terminal of a person, lent to a service: raw while it lasts, and as it was afterwards.
//!
//! In: what the service prints. Out: the same on the terminal, its last screen first, and the way back. Not here: keys,
//! sockets. The surprise: everything shown also goes through a terminal in memory, which knows what the service has
//! switched on (another screen, mouse reports, a hidden cursor), so that exactly that is switched off again.

use std::io::{self, Write};
use std::num::NonZeroU16;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use vt100::{Callbacks, Parser};

use crate::record::frame::Size;

/// A terminal as it was found. It is put back when this goes out of scope, on a panic, too.
pub struct Screen {
    found: Termios,
    shown: Parser<Modes>,
}

/// What a service has switched on that the terminal in memory does not keep.
#[derive(Default)]
struct Modes {
    /// How many times it asked for keys in the newer way.
    keys: u16,
}

impl Callbacks for Modes {
    fn unhandled_csi(&mut self, _: &mut vt100::Screen, first: Option<u8>, _: Option<u8>, params: &[&[u16]], end: char) {
        let count = params.first().and_then(|param| param.first()).copied().unwrap_or(1).max(1);
        match (first, end) {
            (Some(b'>'), 'u') => self.keys = self.keys.saturating_add(1).min(64),
            (Some(b'<'), 'u') => self.keys = self.keys.saturating_sub(count),
            _ => {}
        }
    }
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When standard input is none.
    pub fn take() -> io::Result<Screen> {
        let found = tcgetattr(io::stdin())?;
        let mut raw = found.clone();
        raw.make_raw();
        // Built first: from here on there is nothing that could fail before there is something to put back.
        let screen = Screen { found, shown: parser(size()) };
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(screen)
    }

    /// Takes what was printed before, without showing it yet.
    pub fn remember(&mut self, bytes: &[u8]) {
        self.shown.process(bytes);
    }

    /// Begins anew, for a whole picture to follow.
    pub fn forget(&mut self) {
        self.shown = parser(size());
    }

    /// The window has another size.
    pub fn fit(&mut self) {
        let Size { rows, cols } = size();
        self.shown.set_size(at_least_one(rows), at_least_one(cols));
    }

    /// Shows what is remembered: a screen of its own as a whole, lines below what stands there already.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self) -> io::Result<()> {
        let screen = self.shown.screen();
        let (_, cols) = screen.size();
        let mut text = String::new();
        if screen.alternate_screen() {
            text += "\x1b[?1049h";
            text += &screen.state_formatted();
        } else {
            let rows: Vec<String> = screen.rows_formatted(0, cols.get()).collect();
            let plain: Vec<String> = screen.rows(0, cols.get()).collect();
            let (row, col) = screen.cursor_position();
            let last = plain.iter().rposition(|row| !row.trim_end().is_empty()).unwrap_or(0).max(usize::from(row));
            text += &rows.get(..=last).unwrap_or_default().join("\x1b[m\r\n");
            let up = last - usize::from(row);
            if up > 0 {
                text += &format!("\x1b[{up}A");
            }
            text += &format!("\x1b[{}G", col + 1);
            text += &screen.attributes_formatted();
            text += &screen.input_mode_formatted();
            text += if screen.hide_cursor() { "\x1b[?25l" } else { "" };
        }
        print(text.as_bytes())
    }

    /// Shows what the service prints.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shown.process(bytes);
        print(bytes)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let screen = self.shown.screen();
        let fresh = parser(Size { rows: 1, cols: 1 });
        let mut text = fresh.screen().input_mode_diff(screen);
        if self.shown.callbacks().keys > 0 {
            text += &format!("\x1b[<{}u", self.shown.callbacks().keys);
        }
        text += if screen.alternate_screen() { "\x1b[?1049l" } else { "" };
        // No colours, a cursor, and a line to begin on.
        text += "\x1b[m\x1b[?25h\r\n";
        // The modes of the line first: a terminal that is gone takes neither.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.found);
        let _ = print(text.as_bytes());
    }
}

/// The window of the terminal.
#[must_use]
pub fn size() -> Size {
    let found = tcgetwinsize(io::stdout()).ok().filter(|found| found.ws_row > 0 && found.ws_col > 0);
    found.map_or(Size { rows: 24, cols: 80 }, |found| Size { rows: found.ws_row, cols: found.ws_col })
}

fn parser(size: Size) -> Parser<Modes> {
    Parser::new_with_callbacks(at_least_one(size.rows), at_least_one(size.cols), 0, Modes::default())
}

fn at_least_one(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN)
}

/// Prints bytes as they are.
///
/// # Errors
/// When standard output is gone.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
