//! Declares an attempt lost: it has a birth, no end, and nobody holds its lock.
//!
//! In: an instance and the number of its attempt. Out: an end in its record. Not here: finding out that it is lost.
//! The surprise: whoever declares it holds the lock while doing so, so a shim that is after all still there wins.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

/// Writes into the record of `number` that it was lost; one that has an end by now is left as it is, and one that
/// somebody has removed becomes an empty one: nothing is known of it but its number. `is_durable`: it is an attempt of a
/// run, and on the disk when this returns.
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
    std::fs::create_dir_all(&folder)?;
    let Some(_held) = lock(&folder)? else { return Ok(Declared::Busy) };
    let end = End::lost(now.boot.nanos(), now.wall.nanos(), is_asked);
    match attempt::write_lost(&folder, number, &end, is_durable) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = folder.join(attempt::file_name(number).as_str());
            let record = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            if is_durable {
                record.sync_all()?;
            }
        }
        written => written?,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::records;

    #[test]
    fn an_attempt_whose_record_was_removed_keeps_its_number() {
        let folder = tempfile::tempdir().expect("there is room");
        let home = Home::open(Some(&folder.path().join("home"))).expect("it can be made");
        let id: InstanceId = "service/web/0".parse().expect("a name");
        let now = crate::observe::Clock::new().expect("a clock").now();
        assert_eq!(declare(&home, &id, 3, (false, true), &now).expect("it can be written"), Declared::Lost);
        let read = records::last_attempt(&home.records(&id)).expect("it can be read").expect("it is there");
        assert_eq!(read.attempt.number, 3);
        assert!(matches!(read.attempt.end, crate::engine::backoff::End::Ended { .. }));
    }
}
