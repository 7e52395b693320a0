//! The texts that pass between a shim and everybody else: files, the launch spec, the answer, argv and log lines.
//!
//! In: values, or bytes of unknown origin. Out: bytes, or values with every length checked.
//! Not here: what a record means for the next start (`engine`), and who may write one when (`shim`, `execute`).
//! The surprise: nothing here panics or trusts a length, since a record may be torn, damaged, or written by a newer
//! version; readers skip keys they do not know.

pub mod answer;
pub mod argv;
pub mod attempt;
pub mod bounds;
pub mod forkserver;
pub mod frame;
pub mod launch;
pub mod logline;
pub mod notify;
pub mod policy;
#[cfg(test)]
mod tests;
mod text;

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags};
pub use text::{Text, cut, words_of};

/// The lock file in the folder of an instance. Whoever holds an flock on it is the only one to start or to declare
/// lost; it is unlinked only while held.
pub const LOCK_FILE: &str = "lock";

/// Replaces a small file in an opened folder of an instance, whole or not at all. Two writers at once leave the file of
/// one of them.
///
/// # Errors
/// The system's error; the old file then stands.
pub fn replace(folder: impl AsFd, file: &str, bytes: &[u8]) -> io::Result<()> {
    let name = Text::<32>::of(format_args!(".{file}.{}", rustix::process::getpid()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let draft = rustix::fs::openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let written = match rustix::io::write(&draft, bytes) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err(rustix::io::Errno::NOSPC),
        Err(error) => Err(error),
    };
    let renamed = written.and_then(|()| rustix::fs::renameat(&folder, name.as_str(), &folder, file));
    if renamed.is_err() {
        // A leftover of a full disk would only take room.
        let _ = rustix::fs::unlinkat(&folder, name.as_str(), AtFlags::empty());
    }
    Ok(renamed?)
}
