//! The last attempt number of each instance, by file names alone.
//!
//! In: a home and an object. Out: the highest attempt per cause. Not here: what a record says (`record`).
//! The surprise: a folder that cannot be listed gives fewer facts and no error, since a pardon too few is a wait of a
//! minute at worst and must not keep anybody from applying a fix.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::{Cause, ObjectRef};
use crate::home::Home;

/// The highest number among the `NNNNNNNN.attempt` files of each instance of this object.
#[must_use]
pub fn last_attempts(home: &Home, object: &ObjectRef) -> BTreeMap<Cause, u32> {
    let mut last = BTreeMap::new();
    let Ok(folders) = std::fs::read_dir(home.records_of(object)) else {
        return last;
    };
    for folder in folders.flatten() {
        let cause = folder.file_name().to_str().and_then(|name| name.parse::<Cause>().ok());
        if let (Some(cause), Some(number)) = (cause, highest(&folder.path())) {
            last.insert(cause, number);
        }
    }
    last
}

fn highest(folder: &Path) -> Option<u32> {
    let entries = std::fs::read_dir(folder).ok()?;
    let number = |name: &std::ffi::OsStr| name.to_str()?.strip_suffix(".attempt")?.parse::<u32>().ok();
    entries.flatten().filter_map(|entry| number(&entry.file_name())).max()
}
