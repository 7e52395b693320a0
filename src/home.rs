//! The folder of one controller: where everything in it lies.
//!
//! In: a path. Out: an opened, checked [`Home`] and the paths inside. Not here: what the files say.
//! The surprise: a home is known by a random id *and* its device and inode, so a copied home owns no process.

use std::path::{Path, PathBuf};

use crate::engine::{InstanceId, ObjectRef};

/// An opened home.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    id: String,
}

impl Home {
    /// The folder itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Names this home in argv and markers: 16 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
    /// `records/KIND/NAME/CAUSE`: the folder of one instance, with `lock`, `policy` and one `NNNNNNNN.attempt` each.
    #[must_use]
    pub fn records(&self, id: &InstanceId) -> PathBuf {
        self.root.join("records").join(id.object.as_str()).join(id.cause.to_string())
    }
    /// `logs/KIND/NAME`: the folder of the log files of an object, `CAUSE.NNNNNN.log` each.
    #[must_use]
    pub fn logs(&self, object: &ObjectRef) -> PathBuf {
        self.root.join("logs").join(object.as_str())
    }
}
