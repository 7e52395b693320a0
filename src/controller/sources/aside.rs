//! Sets files aside that cannot be messages, each with the reason beside it.
//!
//! In: a file of a drop folder and why. Out: the same file in `failed/` below it. Not here: which files those are.
//! The surprise: nothing that lies there is ever replaced or removed, since it may be the only copy.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Where they go.
pub(super) const FOLDER: &str = "failed";

/// How many of one name there may be.
const SAME_MAX: u32 = 1000;

/// The most bytes of a name that are kept, so that an ending fits behind it.
const NAME_MAX: usize = 240;

/// Moves a file aside; the name it has there.
///
/// # Errors
/// When it cannot be moved; then it stays where it is.
pub(super) fn set(folder: &Path, name: &OsStr, reason: &str) -> io::Result<OsString> {
    let aside = folder.join(FOLDER);
    DirBuilder::new().mode(0o700).create(&aside).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    let from = folder.join(name);
    for number in 0..SAME_MAX {
        let free = numbered(name, number);
        match renameat_with(CWD, &from, CWD, aside.join(&free), RenameFlags::NOREPLACE) {
            Ok(()) => {
                // A move that is not explained is better than a file that is tried for ever.
                _ = explain(&aside, &free, reason);
                return Ok(free);
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!("{FOLDER}/ holds {SAME_MAX} of this name already; look through them")))
}

fn explain(aside: &Path, name: &OsStr, reason: &str) -> io::Result<()> {
    let mut told = name.to_owned();
    told.push(".reason");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside.join(told))?;
    file.write_all(reason.as_bytes())
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    let bytes = name.as_bytes();
    let mut free = bytes.get(..bytes.len().min(NAME_MAX)).unwrap_or(bytes).to_vec();
    if number > 0 {
        free.extend_from_slice(format!(".{number}").as_bytes());
    }
    OsString::from_vec(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_lies_there_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = "x".repeat(255);
        for (name, expected) in [("a", "a"), ("a", "a.1"), (long.as_str(), &long[..NAME_MAX])] {
            std::fs::write(folder.path().join(name), expected).expect("a file");
            assert_eq!(set(folder.path(), OsStr::new(name), "no").expect("it is moved"), expected);
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(FOLDER).join(name)).expect("a file");
        assert_eq!(["a", "a.1", "a.reason", "a.1.reason"].map(read), ["a", "a.1", "no", "no"]);
    }
}
