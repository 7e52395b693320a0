//! Declares an attempt lost: it has a birth, no end, and nobody holds its lock.
//!
//! In: an instance and the number of its attempt. Out: an end in its record. Not here: finding out that it is lost.
//! The surprise: whoever declares it holds the lock while doing so, so a shim that is after all still there wins.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::engine::{InstanceId, Now};
use crate::home::Home;
use crate::record::LOCK_FILE;
use crate::record::attempt::{self, End};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Declared {
    /// The record says so now.
    Lost,
    /// The lock is held: look again.
    Busy,
}

/// Writes into the record of `number` that it was lost; one that has an end by now is left as it is. `is_durable`: it is
/// an attempt of a run, and on the disk when this returns.
///
/// # Errors
/// When the lock cannot be tried or the record cannot be written.
pub fn declare(
    home: &Home,
    id: &InstanceId,
    number: u32,
    (is_asked, is_durable): (bool, bool),
    now: &Now,
) -> io::Result<Declared> {
    let folder = home.records(id);
    let Some(_held) = lock(&folder)? else { return Ok(Declared::Busy) };
    let end = End::lost(now.boot.nanos(), now.wall.nanos(), is_asked);
    attempt::write_lost(&folder, number, &end, is_durable)?;
    Ok(Declared::Lost)
}

/// Takes the lock of an instance; `None` when somebody holds it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK_FILE);
    // Twice is enough: a lock file is unlinked only while held, and then by nobody who would do it again at once.
    for _ in 0..2 {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let (held, named) = (file.metadata()?, std::fs::metadata(&path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}
