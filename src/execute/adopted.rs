//! Writes down which process of somebody else counts as an instance.
//!
//! In: an identity and the revision that was wanted when it was first seen. Out: the file `adopted` in the folder of
//! the instance, whole or not at all. Not here: whether it should.
//! The surprise: losing this file costs nothing but the knowledge of what has changed since; what runs is seen anew.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::engine::{ProcId, Revision};
use crate::observe::twins::ADOPTED_FILE;

/// Writes it.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(folder: &Path, proc: &ProcId, revision: &Revision) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let fresh = folder.join(format!(".{ADOPTED_FILE}.{}", std::process::id()));
    let text = format!(
        "setpoint-adopted 1\nboot={}\npid={}\nstarted={}\nrevision={revision}\n",
        proc.boot.as_str(),
        proc.pid,
        proc.started
    );
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, folder.join(ADOPTED_FILE)));
    if written.is_err() {
        _ = std::fs::remove_file(&fresh);
    }
    written
}
