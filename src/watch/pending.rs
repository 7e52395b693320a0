//! Changes that were found and not told yet.
//!
//! In: what two listings say of a path. Out: one change per path. Not here: finding them.
//! The surprise: a file that came and went in between is no change at all, and one that went and came back is modified.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::Timestamp;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It appeared.
    Create,
    /// What it holds is another.
    Modify,
    /// It went.
    Delete,
}

impl Change {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Change::Create => "create",
            Change::Modify => "modify",
            Change::Delete => "delete",
        }
    }
}

/// A change with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What.
    pub change: Change,
    /// When, as nearly as is known.
    pub at: Timestamp,
}

/// Changes by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending(pub BTreeMap<PathBuf, Noted>);

impl Pending {
    /// Adds one that came after those that are there.
    pub fn add(&mut self, path: PathBuf, noted: Noted) {
        use Change::{Create, Delete, Modify};
        let before = self.0.get(&path).map(|noted| noted.change);
        let whole = match (before, noted.change) {
            (None, change) => Some(change),
            (Some(Create), Delete) => None,
            (Some(Create), Create | Modify) => Some(Create),
            (Some(Modify | Delete), Create | Modify) => Some(Modify),
            (Some(Modify | Delete), Delete) => Some(Delete),
        };
        match whole {
            Some(change) => _ = self.0.insert(path, Noted { change, at: noted.at }),
            None => _ = self.0.remove(&path),
        }
    }

    /// Adds all of these.
    pub fn extend(&mut self, more: Pending) {
        more.0.into_iter().for_each(|(path, noted)| self.add(path, noted));
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what is said of a path.
    pub fn drop(&mut self, path: &Path) {
        self.0.remove(path);
    }
}
