//! Removes the records of what is remembered elsewhere.
//!
//! In: an instance whose end the store has. Out: its folder is gone. Not here: deciding that it is over.
//! The surprise: whoever removes it holds its lock, so a shim that is after all still there keeps its record.

use std::io;

use super::lost::lock;
use crate::engine::InstanceId;
use crate::home::Home;
use crate::record::LOCK_FILE;

/// Removes the folder of records of an instance. False when somebody holds its lock.
///
/// # Errors
/// When a file cannot be removed.
pub fn sweep(home: &Home, id: &InstanceId) -> io::Result<bool> {
    let folder = home.records(id);
    if !folder.is_dir() {
        return Ok(true);
    }
    let Some(held) = lock(&folder)? else { return Ok(false) };
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.file_name() != LOCK_FILE {
            std::fs::remove_file(entry.path())?;
        }
    }
    // The lock file is unlinked while it is held, and goes last.
    std::fs::remove_file(folder.join(LOCK_FILE))?;
    drop(held);
    match std::fs::remove_dir(&folder) {
        // Somebody has begun anew in between; that is theirs.
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        Ok(()) | Err(_) => Ok(true),
    }
}

/// Removes what a run printed.
///
/// # Errors
/// When the folder or a file of it cannot be touched.
pub fn logs(home: &Home, id: &InstanceId) -> io::Result<()> {
    let prefix = format!("{}.", id.cause);
    let is_log = |name: &str| {
        let number = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".log"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let folder = home.logs(&id.object);
    // One file is what nearly every run has; to list a folder of a hundred thousand for each would be quadratic.
    for number in 1..=u32::MAX {
        match std::fs::remove_file(folder.join(format!("{prefix}{number:06}.log"))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && number > 1 => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    // Its first file was rotated away, or there is none.
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_log) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
