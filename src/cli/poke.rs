//! `setpoint poke`: type a line into a running service.
//!
//! In: a name and a text. Out: the line in its terminal or its standard input. Not here: what it answers, which is in
//! its log.
//! The surprise: a program that reads a terminal key by key takes text and Enter in one go for a paste, so Enter is
//! pressed only after the text has been read.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::join::{Joined, NoWay, join};
use super::{Failure, Global, Outcome, exit, say};
use crate::record::frame::{self, Answer, Next, State, Word};

/// How long a shim may take to answer, or a service to read.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Enter waits for the text before it to be read.
const PASTE: Duration = Duration::from_secs(1);
/// How long keys must have been read before it is believed.
const ON_THE_WAY: Duration = Duration::from_millis(50);
/// How often is asked.
const ASK: Duration = Duration::from_millis(10);
/// The longest line a terminal takes that hands its input over line by line.
const LINE_MAX: usize = 4095;

/// Type a line into a running service: its terminal, or its standard input
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// NAME, KIND/NAME, or an instance like web/1
    #[arg(value_name = "NAME")]
    name: String,
    /// What to type
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// Do not press Enter after it
    #[arg(long)]
    no_newline: bool,
}

/// Types.
///
/// # Errors
/// When there is no such instance, it does not run, or it does not take the line.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let joined = join(global, &args.name).map_err(|no_way| match no_way {
        NoWay::NoInput(id) => Failure::new(
            exit::FAILED,
            format!("{id} has neither a terminal nor a pipe to type into\n  help: add `tty: true` to its manifest"),
        ),
        NoWay::Failed(failure) => failure,
    })?;
    let mut line = Line::new(joined)?;
    let state = line.ask()?;
    line.check(state, &args.text)?;
    if state.is_tty {
        line.press(&args.text, state.is_lines, !args.no_newline)?;
    } else {
        let end = if args.no_newline { "" } else { "\n" };
        line.send(&format!("{}{end}", args.text))?;
    }
    line.wait("take it", PATIENCE, |state| state.held == 0)?;
    say(global, &format!("{} poked", line.joined.id));
    Ok(exit::OK)
}

/// A connection that is asked and answers.
struct Line {
    joined: Joined,
    bytes: Vec<u8>,
}

impl Line {
    fn new(joined: Joined) -> Result<Line, Failure> {
        let line = Line { joined, bytes: Vec::new() };
        let (read, write) =
            (line.joined.stream.set_read_timeout(Some(PATIENCE)), line.joined.stream.set_write_timeout(Some(PATIENCE)));
        read.and(write).map_err(|error| line.failed(&error.to_string()))?;
        Ok(line)
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::new(exit::FAILED, format!("{}: {why}", self.joined.id))
    }

    /// What can be known before anything is typed.
    fn check(&self, state: State, text: &str) -> Result<(), Failure> {
        if state.is_closed {
            return Err(self.failed("it has closed its standard input"));
        }
        if state.held > 0 {
            let waits = u64::from(state.held) + u64::from(state.unread);
            return Err(self.failed(&format!("it does not read its input; {waits} bytes wait there already")));
        }
        let longest = text.split(['\n', '\r']).map(str::len).max().unwrap_or(0);
        if state.is_tty && state.is_lines && longest > LINE_MAX {
            let text = format!("the line has {longest} bytes, and its terminal takes at most {LINE_MAX} in one");
            return Err(self.failed(&text));
        }
        Ok(())
    }

    /// Presses keys: the end of a line is Enter.
    fn press(&mut self, text: &str, is_lines: bool, with_enter: bool) -> Result<(), Failure> {
        let keys = text.replace('\n', "\r");
        if is_lines || !with_enter {
            return self.send(&(keys + if with_enter { "\r" } else { "" }));
        }
        self.send(&keys)?;
        // One that is busy now gets both together later, as it would from a person who types ahead.
        let begun = Instant::now();
        let mut read_at = None;
        while begun.elapsed() < PASTE {
            let state = self.ask()?;
            let is_read = (state.held, state.unread) == (0, 0);
            // Keys are a moment on their way through the system, and count nowhere then.
            read_at = read_at.filter(|_| is_read).or_else(|| is_read.then(Instant::now));
            if read_at.is_some_and(|at| at.elapsed() >= ON_THE_WAY) {
                break;
            }
            std::thread::sleep(ASK);
        }
        self.send("\r")
    }

    fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.say(&Word::Input(text.as_bytes()))
    }

    fn say(&mut self, word: &Word<'_>) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        word.put(&mut bytes);
        let sent = self.joined.stream.write_all(&bytes);
        sent.map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => self.failed("it does not read its input"),
            _ => self.failed("it has just ended"),
        })
    }

    /// Waits until the input is as far as it should be.
    fn wait(&mut self, what: &str, patience: Duration, is_so: impl Fn(State) -> bool) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let state = self.ask()?;
            if is_so(state) {
                return Ok(());
            }
            if begun.elapsed() > patience {
                let text = format!("it did not {what} within {} s; it may still do so", patience.as_secs());
                return Err(self.failed(&text));
            }
            std::thread::sleep(ASK);
        }
    }

    fn ask(&mut self) -> Result<State, Failure> {
        self.say(&Word::Ask)?;
        let mut more = [0; 4096];
        loop {
            let (said, length) = match frame::next(&self.bytes) {
                Next::Whole(frame) => (Answer::of(&frame), frame.length()),
                Next::More => match self.joined.stream.read(&mut more) {
                    Ok(0) => return Err(self.failed("it has just ended")),
                    Ok(length) => {
                        self.bytes.extend_from_slice(more.get(..length).unwrap_or_default());
                        continue;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        // Its shim answers only after what was said before.
                        return Err(self.failed("it does not read its input"));
                    }
                    Err(_) => return Err(self.failed("it has just ended")),
                },
                Next::Foreign => return Err(self.failed("its shim speaks another protocol")),
            };
            let answer = match said {
                Some(Answer::State(state)) => Some(Ok(state)),
                Some(Answer::Refused(why)) => Some(Err(self.failed(why))),
                Some(Answer::Ended(how)) => Some(Err(self.failed(&format!("it has just ended ({how})")))),
                Some(Answer::Kept(_) | Answer::Output(_)) | None => None,
            };
            self.bytes.drain(..length);
            if let Some(answer) = answer {
                return answer;
            }
        }
    }
}
