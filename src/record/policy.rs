//! The policy file of an instance: what applies to a running process without a restart.
//!
//! In: a [`Policy`], or the bytes of `policy` in the folder of an instance. Out: the other. Not here: when a shim
//! reads it (on HUP and before a stop).
//! The surprise: values out of range are moved to the nearest allowed one, since a shim has nobody to complain to.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::text::{Text, value};

/// The name of the file.
pub const FILE: &str = "policy";
/// The longest policy file that is read, in bytes.
pub const LEN_MAX: usize = 1024;
/// The longest grace, in milliseconds: one hour.
pub const GRACE_MAX_MS: u64 = 3_600_000;
/// The smallest log file, in bytes; a single longer line makes a longer file.
pub const LOG_SIZE_MIN: u64 = 1024;
/// The most log files that are kept.
pub const LOG_FILES_MAX: u32 = 10_000;
const FIRST_LINE: &str = "setpoint-policy 1";

/// What a shim must know to stop its tree and to keep its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The first signal of a stop, 1 to 64.
    pub stop_signal: i32,
    /// How long until KILL, in milliseconds; at most [`GRACE_MAX_MS`].
    pub stop_grace_ms: u64,
    /// A log file is closed before it grows beyond this, in bytes; at least [`LOG_SIZE_MIN`].
    pub log_max_size: u64,
    /// How many log files are kept, the one being written included; 1 to [`LOG_FILES_MAX`].
    pub log_max_files: u32,
}

impl Policy {
    /// TERM, 10 s, five files of 50 MiB.
    pub const DEFAULT: Policy =
        Policy { stop_signal: 15, stop_grace_ms: 10_000, log_max_size: 50 << 20, log_max_files: 5 };

    /// The same with every value in range.
    #[must_use]
    pub fn clamped(self) -> Policy {
        Policy {
            stop_signal: if (1..=64).contains(&self.stop_signal) { self.stop_signal } else { 15 },
            stop_grace_ms: self.stop_grace_ms.min(GRACE_MAX_MS),
            log_max_size: self.log_max_size.max(LOG_SIZE_MIN),
            log_max_files: self.log_max_files.clamp(1, LOG_FILES_MAX),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        writeln!(f, "stop_signal={}", self.stop_signal)?;
        writeln!(f, "stop_grace_ms={}", self.stop_grace_ms)?;
        writeln!(f, "log_max_size={}", self.log_max_size)?;
        writeln!(f, "log_max_files={}", self.log_max_files)
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
    let text = Text::<LEN_MAX>::of(format_args!("{policy}"));
    let name = Text::<32>::of(format_args!(".{FILE}.{}", rustix::process::getpid()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let written = match rustix::io::write(&file, text.as_bytes()) {
        Ok(length) if length == text.as_bytes().len() => Ok(()),
        Ok(_) => Err(rustix::io::Errno::NOSPC),
        Err(error) => Err(error),
    };
    let renamed = written.and_then(|()| rustix::fs::renameat(&folder, name.as_str(), &folder, FILE));
    if renamed.is_err() {
        // A leftover of a full disk would only take room.
        let _ = rustix::fs::unlinkat(&folder, name.as_str(), AtFlags::empty());
    }
    Ok(renamed?)
}
