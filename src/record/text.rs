//! Short bounded texts: formatted in place, checked by a sum, read back as `key=value` lines.
//!
//! In: values to print, or bytes. Out: bytes, or keys and values. Not here: which keys there are.
//! The surprise: [`Text`] cuts off what does not fit and remembers that it did, so that a writer can refuse.

use std::fmt;

/// At most `N` bytes of text, formatted without allocation.
#[derive(Clone, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    is_cut: bool,
}

impl<const N: usize> Text<N> {
    /// An empty text.
    #[must_use]
    pub const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0, is_cut: false }
    }

    /// The text of `args`, as from `format_args!`; cut at `N` bytes.
    #[must_use]
    pub fn of(args: fmt::Arguments<'_>) -> Text<N> {
        let mut text = Text::new();
        // Writing into a text never fails; what does not fit is cut.
        let _ = fmt::Write::write_fmt(&mut text, args);
        text
    }

    /// What was written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// The same as text; only its readable beginning if a cut went through a character.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => text,
            Err(error) => {
                self.as_bytes().get(..error.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
            }
        }
    }

    /// True when something did not fit.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = N - self.len;
        let fits = bytes.len().min(room);
        self.is_cut |= fits < bytes.len();
        if let (Some(to), Some(from)) = (self.bytes.get_mut(self.len..self.len + fits), bytes.get(..fits)) {
            to.copy_from_slice(from);
            self.len += fits;
        }
    }

    /// Appends one `key=value` line; control characters in the value become `?`, so that it stays one line.
    pub fn field(&mut self, key: &str, value: impl fmt::Display) {
        self.push(key.as_bytes());
        self.push(b"=");
        let from = self.len;
        let _ = fmt::Write::write_fmt(self, format_args!("{value}"));
        for byte in self.bytes.get_mut(from..self.len).unwrap_or(&mut []) {
            if byte.is_ascii_control() {
                *byte = b'?';
            }
        }
        self.push(b"\n");
    }

    /// Closes the lines with a `sum=` line over all of them and fills up with blanks and a newline. `None` when
    /// something had been cut.
    #[must_use]
    pub fn sealed(mut self) -> Option<[u8; N]> {
        let sum = checksum(self.as_bytes());
        self.field("sum", format_args!("{sum:016x}"));
        if self.is_cut || self.len >= N {
            return None;
        }
        let mut bytes = self.bytes;
        bytes.get_mut(self.len..)?.fill(b' ');
        *bytes.last_mut()? = b'\n';
        Some(bytes)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Text<N> {
        Text::new()
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// FNV-1a over 64 bits: finds torn and damaged text, proves nothing about intent.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The lines of a sealed text without its `sum=` line; `None` when the sum is missing or wrong, or it is no text.
pub(super) fn unsealed(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let at = if text.starts_with("sum=") { 0 } else { text.find("\nsum=")? + 1 };
    let (body, rest) = text.split_at_checked(at)?;
    let sum = rest.strip_prefix("sum=")?.split('\n').next()?;
    (sum.len() == 16 && u64::from_str_radix(sum, 16).ok()? == checksum(body.as_bytes())).then_some(body)
}

/// The value of the first line `key=value`.
pub(super) fn value<'a>(lines: &'a str, key: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// The same in printable ASCII on one line: a backslash and every other byte become `\\xNN`. [`unescaped`] takes it back.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'\\' | 0..b' ' | 0x7f.. => line.push_str(&format!("\\x{byte:02x}")),
            plain => line.push(char::from(plain)),
        }
    }
    line
}

/// What [`escaped`] was made from; anything else stands for itself.
#[must_use]
pub fn unescaped(line: &str) -> String {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.strip_prefix(b"x").and_then(|more| more.first_chunk::<2>());
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The longest beginning of `text` with at most `max` bytes and no cut character.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

/// The system's words for an error number, without the number: `No space left on device`.
#[must_use]
pub fn words_of(errno: i32) -> String {
    let words = std::io::Error::from_raw_os_error(errno).to_string();
    match words.rfind(" (os error") {
        Some(at) => words.get(..at).unwrap_or("").to_owned(),
        None => words,
    }
}
