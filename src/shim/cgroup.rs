//! The control group of one instance: made for its payload, ended with it, removed after it.
//!
//! In: a folder below a group that was given to the controller. Out: a payload in it, a KILL nobody can outrun.
//! Not here: finding that group and choosing limits (`execute`).
//! The surprise: one that exists already is what a killed shim left; whatever still lives in it is killed first.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::record::bounds::Group;

/// How often a group is tried to be removed that the kernel has not let go of yet.
const REMOVE_TRIES: u32 = 20;

/// Makes the group of `group`, sets its limits, and moves this process into it.
///
/// # Errors
/// The system's error, with the file it was about.
pub fn enter(group: &Group<'_>) -> Result<(), (String, Errno)> {
    let failed = |file: &str| {
        let path = group.folder.join(file);
        move |errno| (path.display().to_string(), errno)
    };
    match rustix::fs::mkdirat(CWD, group.folder, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
        Ok(()) => {}
        Err(Errno::EXIST) => kill(Some(group.folder)),
        Err(errno) => return Err(failed("")(errno)),
    }
    for (file, text) in &group.files {
        write(&group.folder.join(file), text).map_err(failed(file))?;
    }
    // Zero is whoever writes it.
    write(&group.folder.join("cgroup.procs"), "0").map_err(failed("cgroup.procs"))
}

/// Kills everything in the group at once, also what is forked meanwhile. Kernels before 5.14 cannot.
pub fn kill(folder: Option<&Path>) {
    let _ = folder.map(|folder| write(&folder.join("cgroup.kill"), "1"));
}

/// Removes the group; one that cannot be removed is used again by the next attempt.
pub fn remove(folder: Option<&Path>) {
    let Some(folder) = folder else {
        return;
    };
    for _ in 0..REMOVE_TRIES {
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Ok(()) | Err(_) => return,
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// One write, since that is how the kernel takes such a file; it is never made, only written.
fn write(path: &Path, text: &str) -> Result<(), Errno> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text.as_bytes()).map(|_| ())
}
