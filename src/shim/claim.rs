//! Claims an instance: its folder, its lock, and the number of the attempt.
//!
//! In: a launch spec. Out: a [`Claim`] that nobody else holds, or the answer that says why not.
//! Not here: creating the record, which comes when the payload's identity is known.
//! The surprise: a lock file may be unlinked by whoever holds it, so a lock counts only after the path is found to
//! lead to the very file that was locked.

use std::fs::DirBuilder;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::record::answer::{Answer, Stage};
use crate::record::launch::Launch;
use crate::record::{LOCK_FILE, attempt, words_of};

/// How often a lock file may vanish between opening and locking before it counts as busy.
const TRIES_MAX: u32 = 16;

/// An instance that is ours to start.
pub struct Claim {
    /// The folder of the instance.
    pub folder: OwnedFd,
    /// The lock, held as long as any copy of this is open in any process.
    pub lock: OwnedFd,
}

/// Claims the instance of `launch`.
///
/// # Errors
/// The answer to give: busy, taken, or that the home cannot be written.
pub fn take(launch: &Launch<'_>) -> Result<Claim, Answer> {
    let folder = open_below(launch.home_root, launch.instance_dir)
        .map_err(|error| refused(&error, "open", launch.instance_dir))?;
    let lock = match lock(&folder) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(Answer::Busy),
        Err(error) => return Err(refused(&error.into(), "lock", launch.instance_dir)),
    };
    let mut highest = 0;
    each_attempt(&folder, |number| highest = highest.max(number))
        .map_err(|error| refused(&error.into(), "list", launch.instance_dir))?;
    if highest >= launch.attempt { Err(Answer::Taken) } else { Ok(Claim { folder, lock }) }
}

fn refused(error: &io::Error, verb: &str, path: &Path) -> Answer {
    let errno = error.raw_os_error().unwrap_or(0);
    let words = if errno == 0 { error.to_string() } else { words_of(errno) };
    Answer::Failed { stage: Stage::Home, errno, text: format!("cannot {verb} {}: {words}", path.display()) }
}

/// Opens a folder below `root`, creating what is missing of it, but never `root` itself: a home that is gone (an
/// unmounted disk) must not be replaced by an empty one.
///
/// # Errors
/// The system's error.
pub fn open_below(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(folder) => return Ok(folder),
        Err(Errno::NOENT) if root.is_dir() => {}
        Err(error) => return Err(error.into()),
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// The lock, or `None` when somebody holds it.
fn lock(folder: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    for _ in 0..TRIES_MAX {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(folder, LOCK_FILE, flags, Mode::RUSR | Mode::WUSR)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error),
        }
        let held = rustix::fs::fstat(&file)?;
        match rustix::fs::statat(folder, LOCK_FILE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) => return Ok(Some(file)),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Calls `see` with the number of every attempt that has a file in `folder`.
///
/// # Errors
/// The system's error; some numbers may then be missing.
pub fn each_attempt(folder: impl AsFd, mut see: impl FnMut(u32)) -> Result<(), Errno> {
    each_name(folder, |name| attempt::number(name).into_iter().for_each(&mut see))
}

/// Calls `see` with every name in a folder.
///
/// # Errors
/// The system's error; some names may then be missing.
pub fn each_name(folder: impl AsFd, mut see: impl FnMut(&[u8])) -> Result<(), Errno> {
    // A descriptor of its own, so that every listing begins at the beginning.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(folder, c".", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut names = RawDir::new(folder, &mut buffer);
    while let Some(entry) = names.next() {
        see(entry?.file_name().to_bytes());
    }
    Ok(())
}

/// Unlinks the files of attempts so old that `keep` newer ones exist or may exist.
pub fn prune(folder: impl AsFd, newest: u32, keep: u32) {
    let Some(last) = newest.checked_sub(keep.max(1)) else {
        return;
    };
    // Listing and unlinking at once may skip names; those are caught at the next start.
    let _ = each_attempt(&folder, |number| {
        if number <= last {
            let _ = rustix::fs::unlinkat(&folder, attempt::file_name(number).as_str(), AtFlags::empty());
        }
    });
}
