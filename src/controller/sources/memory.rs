//! What of a service outlives the controller: the place it was read to, and whose end it is to be told.
//!
//! In: a file of the home. Out: the same, whole and on the disk. Not here: when it changes.
//! The surprise: it may be lost. Then everything is asked for once more, and what is known already is known by its id.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The most messages whose end is waited for; with more, no others are asked for.
pub(super) const PENDING_MAX: usize = 1000;

/// What is kept of one service.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    kept: Kept,
    is_saved: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
struct Kept {
    cursor: Option<Json>,
    pending: Vec<String>,
}

impl Memory {
    /// Reads what is there; nothing where it cannot be read.
    pub(super) fn open(path: PathBuf) -> Memory {
        let path = path.with_extension("json");
        let kept = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Memory { path, kept, is_saved: true }
    }

    /// The place it was read to.
    pub(super) fn cursor(&self) -> Option<&Json> {
        self.kept.cursor.as_ref()
    }

    /// Ids of messages whose end it has not been told.
    pub(super) fn pending(&self) -> &[String] {
        &self.kept.pending
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.kept.pending.is_empty()
    }

    pub(super) fn move_to(&mut self, cursor: Json) {
        if self.kept.cursor.as_ref() != Some(&cursor) {
            self.kept.cursor = Some(cursor);
            self.is_saved = false;
        }
    }

    /// Adds ids that are not there yet.
    pub(super) fn expect(&mut self, ids: Vec<String>) {
        let known: std::collections::BTreeSet<String> = self.kept.pending.iter().cloned().collect();
        let before = self.kept.pending.len();
        self.kept.pending.extend(ids.into_iter().filter(|id| !known.contains(id)));
        self.is_saved &= self.kept.pending.len() == before;
    }

    pub(super) fn forget(&mut self, id: &str) {
        let before = self.kept.pending.len();
        self.kept.pending.retain(|other| other != id);
        self.is_saved &= self.kept.pending.len() == before;
    }

    pub(super) fn forget_all(&mut self) {
        self.is_saved &= self.kept.pending.is_empty();
        self.kept.pending.clear();
    }

    /// Writes it down, if it has changed.
    ///
    /// # Errors
    /// The system's words.
    pub(super) fn save(&mut self) -> Result<(), String> {
        if !self.is_saved {
            self.write().map_err(|error| format!("{}: {}", self.path.display(), super::files::words(&error)))?;
            self.is_saved = true;
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let fresh = self.path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_down_is_there_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sources/a");
        let mut memory = Memory::open(path.clone());
        memory.save().expect("nothing has to be written");
        assert!(!path.with_extension("json").exists());
        memory.move_to(json!(7));
        memory.expect(vec!["a".to_owned(), "b".to_owned()]);
        memory.expect(vec!["b".to_owned()]);
        memory.forget("a");
        memory.save().expect("it is written");
        let again = Memory::open(path.clone());
        assert_eq!((again.cursor(), again.pending()), (Some(&json!(7)), &["b".to_owned()][..]));
        std::fs::write(path.with_extension("json"), "{").expect("a file");
        assert_eq!(Memory::open(path).kept, Kept::default());
    }
}
