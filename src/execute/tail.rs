//! The last words of a process, for whoever has to find out why it failed.
//!
//! In: the log files of an instance. Out: the end of what it said on both streams. Not here: its result ([`super::capture`]).
//! The surprise: only the last file is looked at, so an end right after a rotation may be short.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use crate::record::logline;

/// How much of a log is read, in bytes.
const READ_MAX: u64 = 16 << 10;
/// The most lines.
const LINES_MAX: usize = 20;

/// The last lines of the newest log file of an instance, at most twenty; nothing when there are none. What is no
/// UTF-8 becomes U+FFFD.
#[must_use]
pub fn last_lines(folder: &Path, prefix: &str) -> Option<String> {
    let number = |name: &str| -> Option<u32> {
        name.strip_prefix(prefix)?.strip_prefix('.')?.strip_suffix(".log")?.parse().ok()
    };
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    let newest = names.filter_map(|name| number(name.to_str()?)).max()?;
    let path = folder.join(format!("{prefix}.{newest:06}.log"));
    // Whoever runs as us could have left anything there, and nothing here may wait for it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::openat(CWD, &path, flags, Mode::empty()).ok()?);
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(READ_MAX))).ok()?;
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes).ok()?;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(logline::parse);
    let mut said: Vec<String> = lines.map(|line| String::from_utf8_lossy(line.text).into_owned()).collect();
    let last = said.split_off(said.len().saturating_sub(LINES_MAX));
    (!last.is_empty()).then(|| last.join("\n"))
}
