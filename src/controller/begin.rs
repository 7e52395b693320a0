//! The beginning of a controller: one at a time, by a lock of the kernel.
//!
//! In: a home. Out: its lock, or why no controller can run. Not here: what it does then ([`mod@super::run`]).
//! The surprise: the file with its pid is for people. Nothing here believes it; the lock alone says that one runs.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use crate::desired::StoreError;
use crate::home::{Home, HomeError};

/// Why a controller did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// One runs already.
    #[error("a controller runs already for {}{}", home.display(), pid.map_or(String::new(), |pid| format!(" (pid {pid})")))]
    Already {
        /// For which home.
        home: PathBuf,
        /// Its process, if it said.
        pid: Option<u32>,
    },
    /// Its files cannot be written.
    #[error("{doing} {}: {source}\n  help: make room, or choose another home with --home", path.display())]
    Files {
        /// What failed.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The system lacks something.
    #[error("the controller cannot run here: {0}")]
    System(#[from] io::Error),
    /// The home is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The desired state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the controller lock, which ends with the process whatever happens to it.
pub(super) fn claim(home: &Home) -> Result<File, RunError> {
    let path = home.controller_lock();
    let failed = |source| RunError::Files { doing: "cannot open", path: path.clone(), source };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(RunError::Already { home: home.root().to_owned(), pid: pid_of(home) })
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// The process that runs the controller of a home, by its own word.
#[must_use]
pub fn pid_of(home: &Home) -> Option<u32> {
    std::fs::read_to_string(home.controller_pid()).ok()?.trim().parse().ok()
}
