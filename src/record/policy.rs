//! The policy file of an instance: what applies to a running process without a restart.
//!
//! In: a [`Policy`], or the bytes of `policy` in the folder of an instance. Out: the other. Not here: when a shim
//! reads it (on HUP and before a stop).
//! The surprise: values out of range are moved to the nearest allowed one, since a shim has nobody to complain to; and
//! what older shims know comes first and all of it is ASCII, for they read no more than the first 1024 bytes.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};

use super::attempt::WHY_MAX;
use super::text::{Text, cut, escaped, unescaped, value};

/// The name of the file.
pub const FILE: &str = "policy";
/// The longest policy file that is read, in bytes.
pub const LEN_MAX: usize = 4096;
/// The longest grace, in milliseconds: one hour.
pub const GRACE_MAX_MS: u64 = 3_600_000;
/// The smallest log file, in bytes; a single longer line makes a longer file.
pub const LOG_SIZE_MIN: u64 = 1024;
/// The most log files that are kept.
pub const LOG_FILES_MAX: u32 = 10_000;
/// The longest text of [`Ready::ByLog`], in bytes.
pub const READY_LOG_MAX: usize = 256;
const FIRST_LINE: &str = "setpoint-policy 1";

/// What a shim must know to stop its tree, to keep its logs, and to say how its payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The first signal of a stop, 1 to 64.
    pub stop_signal: i32,
    /// How long until KILL, in milliseconds; at most [`GRACE_MAX_MS`].
    pub stop_grace_ms: u64,
    /// A log file is closed before it grows beyond this, in bytes; at least [`LOG_SIZE_MIN`].
    pub log_max_size: u64,
    /// How many log files are kept, the one being written included; 1 to [`LOG_FILES_MAX`].
    pub log_max_files: u32,
    /// What it waits for before it calls its payload ready.
    pub ready: Ready,
    /// The longest silence of `WATCHDOG=1`, in milliseconds; 0 when it need not come.
    pub watchdog_ms: u64,
    /// Why its payload is not healthy. A stop that begins while this stands is a failure of the payload, and its end
    /// is recorded as [`super::attempt::How::Unhealthy`].
    pub failing: Option<String>,
}

/// What a shim waits for before it calls its payload ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// Nothing.
    #[default]
    AtOnce,
    /// This text in a line of output, at most [`READY_LOG_MAX`] bytes.
    ByLog(String),
    /// `READY=1` on the socket it was given.
    ByNotify,
}

impl Ready {
    /// As written after `ready=`, and after `ready_log=`.
    #[must_use]
    pub fn words(&self) -> (&'static str, Option<String>) {
        match self {
            Ready::AtOnce => ("none", None),
            Ready::ByLog(text) => ("log", Some(escaped(cut(text, READY_LOG_MAX)))),
            Ready::ByNotify => ("notify", None),
        }
    }

    /// Reads the same. What a newer version waits for is not waited for here.
    #[must_use]
    pub fn of_words(word: Option<&str>, log: Option<&str>) -> Ready {
        match (word, log.map(unescaped)) {
            (Some("log"), Some(text)) if !text.is_empty() => Ready::ByLog(text),
            (Some("notify"), _) => Ready::ByNotify,
            _ => Ready::AtOnce,
        }
    }
}

impl Policy {
    /// TERM, 10 s, five files of 50 MiB, ready at once.
    pub const DEFAULT: Policy = Policy {
        stop_signal: 15,
        stop_grace_ms: 10_000,
        log_max_size: 50 << 20,
        log_max_files: 5,
        ready: Ready::AtOnce,
        watchdog_ms: 0,
        failing: None,
    };

    /// The same with every value in range.
    #[must_use]
    pub fn clamped(self) -> Policy {
        Policy {
            stop_signal: if (1..=64).contains(&self.stop_signal) { self.stop_signal } else { 15 },
            stop_grace_ms: self.stop_grace_ms.min(GRACE_MAX_MS),
            log_max_size: self.log_max_size.max(LOG_SIZE_MIN),
            log_max_files: self.log_max_files.clamp(1, LOG_FILES_MAX),
            ..self
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        writeln!(f, "stop_signal={}", self.stop_signal)?;
        writeln!(f, "stop_grace_ms={}", self.stop_grace_ms)?;
        writeln!(f, "log_max_size={}", self.log_max_size)?;
        writeln!(f, "log_max_files={}", self.log_max_files)?;
        // What is as by default is left out, so that a service that uses none of it has the file it always had.
        match self.ready.words() {
            ("none", _) => {}
            (word, None) => writeln!(f, "ready={word}")?,
            (word, Some(text)) => writeln!(f, "ready={word}\nready_log={text}")?,
        }
        if self.watchdog_ms > 0 {
            writeln!(f, "watchdog_ms={}", self.watchdog_ms)?;
        }
        if let Some(text) = &self.failing {
            writeln!(f, "failing={}", escaped(cut(text, WHY_MAX)))?;
        }
        Ok(())
    }
}

/// Reads the bytes of a policy file; `None` when it is none of ours or a key is missing. Unknown keys are skipped.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Policy> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(LEN_MAX))?).ok()?;
    let lines = text.strip_prefix(FIRST_LINE)?;
    let policy = Policy {
        stop_signal: value(lines, "stop_signal")?.parse().ok()?,
        stop_grace_ms: value(lines, "stop_grace_ms")?.parse().ok()?,
        log_max_size: value(lines, "log_max_size")?.parse().ok()?,
        log_max_files: value(lines, "log_max_files")?.parse().ok()?,
        ready: Ready::of_words(value(lines, "ready"), value(lines, "ready_log")),
        watchdog_ms: value(lines, "watchdog_ms").and_then(|text| text.parse().ok()).unwrap_or(0),
        failing: value(lines, "failing").map(unescaped),
    };
    Some(policy.clamped())
}

/// Reads the policy file in an opened folder of an instance; `Ok(None)` when it is there and none of ours.
///
/// # Errors
/// The system's error, `NotFound` when there is none.
pub fn read(folder: impl AsFd) -> io::Result<Option<Policy>> {
    let file = rustix::fs::openat(folder, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = [0; LEN_MAX];
    let length = rustix::io::read(file, &mut bytes)?;
    Ok(bytes.get(..length).and_then(parse))
}

/// Replaces the policy file in an opened folder of an instance, whole or not at all. Two writers at once leave the
/// file of one of them.
///
/// # Errors
/// The system's error; the old file then stands.
pub fn write_atomic(folder: impl AsFd, policy: &Policy) -> io::Result<()> {
    super::replace(folder, FILE, Text::<LEN_MAX>::of(format_args!("{policy}")).as_bytes())
}
