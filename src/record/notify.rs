//! The notify file of an instance: the last status its payload told of itself.
//!
//! In: a [`Said`], or the bytes of `notify` in the folder of an instance. Out: the other. Not here: the socket it came
//! over (`shim`).
//! The surprise: it names its attempt, since the file of the attempt before stays until somebody says something new.

use std::path::Path;

use super::text::{Text, cut, escaped, unescaped, value};

/// The name of the file.
pub const FILE: &str = "notify";
/// The longest status, in bytes; a longer one is cut.
pub const STATUS_MAX: usize = 512;
/// The longest file, in bytes.
pub const LEN_MAX: usize = 4096;
const FIRST_LINE: &str = "setpoint-notify 1";

/// What a payload said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In which attempt.
    pub attempt: u32,
    /// `STATUS=` of `sd_notify`, without control characters.
    pub status: String,
}

/// A status as it is kept: one line, of at most [`STATUS_MAX`] bytes, with nothing a terminal would obey.
#[must_use]
pub fn plain(status: &str) -> String {
    let text: String = status.chars().filter(|c| !c.is_control()).collect();
    cut(&text, STATUS_MAX).to_owned()
}

/// The file as text.
#[must_use]
pub fn encode(said: &Said) -> Text<LEN_MAX> {
    let status = escaped(&plain(&said.status));
    Text::of(format_args!("{FIRST_LINE}\nattempt={}\nstatus={status}\n", said.attempt))
}

/// Reads the bytes of such a file; `None` when it is none of ours.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(LEN_MAX))?).ok()?;
    let lines = text.strip_prefix(FIRST_LINE)?;
    let attempt = value(lines, "attempt")?.parse().ok()?;
    Some(Said { attempt, status: plain(&unescaped(value(lines, "status")?)) })
}

/// What the payload of this attempt last said, if it said anything.
#[must_use]
pub fn status(folder: &Path, attempt: u32) -> Option<String> {
    let said = parse(&std::fs::read(folder.join(FILE)).ok()?)?;
    (said.attempt == attempt && !said.status.is_empty()).then_some(said.status)
}
