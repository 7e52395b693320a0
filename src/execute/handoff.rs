//! What an attempt leaves its successor: one private file beside the records of its instance.
//!
//! In: bytes, and the attempt they come from. Out: the path that the next attempt is told. Not here: who asks for it.
//! The surprise: a successor that crashed had no use of it, so the one after it is told the same path; once an attempt
//! ended well, or was replaced, it is gone.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::engine::InstanceId;
use crate::home::{Home, random_hex, sync_folder, write_new};
use crate::observe::records;
use crate::record::attempt::How;

/// The variable that names the file.
pub const VARIABLE: &str = "SETPOINT_HANDOFF";

/// Leaves `bytes` to whichever attempt comes after `attempt`, in place of what was left before.
///
/// # Errors
/// What the system says; then what was left before may be there still.
pub fn leave(home: &Home, id: &InstanceId, attempt: u32, bytes: &[u8]) -> io::Result<()> {
    let folder = folder(home, id);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let draft = folder.join(format!(".{}", random_hex(4)?));
    let path = folder.join(name(attempt));
    write_new(&draft, bytes).and_then(|()| std::fs::rename(&draft, &path)).and_then(|()| sync_folder(&folder))?;
    for entry in std::fs::read_dir(&folder)?.flatten().filter(|entry| entry.path() != path) {
        _ = std::fs::remove_file(entry.path());
    }
    Ok(())
}

/// Removes what was left, if anything.
pub fn clear(home: &Home, id: &InstanceId) {
    _ = std::fs::remove_dir_all(folder(home, id));
}

/// The attempt that something was left by, if it is there still.
#[must_use]
pub fn left(home: &Home, id: &InstanceId) -> Option<u32> {
    // Nearly always there is no such folder, and this is the whole cost of a start.
    let entries = std::fs::read_dir(folder(home, id)).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max()
}

/// What attempt number `attempt` is told, if something was left for it. What was of use already is removed.
#[must_use]
pub fn for_attempt(home: &Home, id: &InstanceId, attempt: u32) -> Option<PathBuf> {
    let from = left(home, id).filter(|from| *from < attempt)?;
    if has_served(&home.records(id), from) {
        clear(home, id);
        return None;
    }
    Some(folder(home, id).join(name(from)))
}

/// True when the last attempt was told of it and did not crash.
fn has_served(records: &Path, from: u32) -> bool {
    let Ok(Some(last)) = records::last_attempt(records) else { return false };
    let is_well = |end: &crate::record::attempt::End| match end.how {
        How::Code(code) => code == 0 || end.asked,
        How::Signal(_) => end.asked,
        How::NotStarted(_) | How::Unhealthy(_) | How::Lost => false,
    };
    last.attempt.number > from && last.end.as_ref().is_some_and(is_well)
}

/// Removes what the last attempt of this instance had and needs no more.
pub fn tidy(home: &Home, id: &InstanceId) {
    _ = for_attempt(home, id, u32::MAX);
}

fn folder(home: &Home, id: &InstanceId) -> PathBuf {
    home.records(id).join("handoff")
}

fn name(attempt: u32) -> String {
    format!("{attempt:08}")
}
