//! What can go wrong with the store, each with its way out.
//!
//! In: what the database says. Out: one typed trouble. Not here: what is done about it.
//! The surprise: trouble with a write means *not known to be written*. A disk that failed during a commit may still
//! hold it, so whoever heard of trouble asks again; every request may be asked twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why the store cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The disk is full, read-only, or does not answer.
    #[error("{path}: the disk says no: {why}\n  help: check that the disk is there, writable and not full")]
    Disk {
        /// The database.
        path: PathBuf,
        /// The system's words.
        why: Arc<str>,
    },
    /// It is not a database, not ours, or damaged.
    #[error(
        "{path} cannot be used as the store: {why}\n  help: nothing was changed and what runs goes on; restore the file \
         from a backup, or stop the controller and move {path}, {path}-wal and {path}-shm away to begin an \
         empty history, in which nothing has been done yet"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        why: Arc<str>,
    },
    /// The file that was in use has been moved away, removed or replaced.
    #[error(
        "{path} is no longer the store that was in use: {why}\n  help: what runs goes on, and no run begins; put the \
         store back, with its own {path}-wal or without one, and it is used within seconds; or begin an empty history, \
         in which nothing has been done yet: setpoint controller restart"
    )]
    Moved {
        /// The database.
        path: PathBuf,
        /// What is there instead.
        why: Arc<str>,
    },
    /// A row holds what no row of ours can.
    #[error(
        "{path}: {why}; somebody has edited it\n  \
         help: put the row right, or delete it, with sqlite3 while no controller runs; what runs goes on"
    )]
    Row {
        /// The database.
        path: PathBuf,
        /// Which column, and what is wrong.
        why: Arc<str>,
    },
    /// Somebody else is writing to it.
    #[error(
        "{path} has been locked by another process for {} s\n  \
         help: see who has it open (fuser {path}); a sqlite3 shell in a transaction, or a backup, will do",
        super::BUSY_MAX.as_secs()
    )]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// A newer binary has written it.
    #[error(
        "{path} has schema {found}, and this binary knows {known}: nothing was changed\n  \
         help: use the newer setpoint that wrote it, or restore the file from before"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema this binary knows.
        known: i64,
    },
    /// The last changes are in a log that cannot be read where nothing may be written.
    #[error(
        "{path} lies where nothing may be written, and its last changes are still in {path}-wal\n  \
         help: copy the folder to where it may be written, and read it there with --home DIR"
    )]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A text of a request is longer than is kept, and must not be cut.
    #[error("{what} has {found} bytes, and {max} are kept\n  help: put it into a file and pass the name of the file")]
    TooLarge {
        /// Which text.
        what: &'static str,
        /// Its length, in bytes.
        found: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// What is asked for may not be: the request is at fault, or a limit is reached.
    #[error("{why}")]
    Refused {
        /// Which rule, and what to do.
        why: Arc<str>,
    },
    /// So many requests wait that one more is refused.
    #[error("{max} writes wait for the store already\n  help: the disk is too slow or hangs; what runs goes on")]
    Flooded {
        /// The limit.
        max: usize,
    },
    /// The writer has ended.
    #[error("the store is closed\n  help: restart the controller; what runs goes on")]
    Closed,
    /// The database refused a statement of ours: our mistake.
    #[error("{path}: {why}\n  help: this is a defect of setpoint; what runs goes on, please report it")]
    Sql {
        /// The database.
        path: PathBuf,
        /// The database's words.
        why: Arc<str>,
    },
}

impl Trouble {
    /// The trouble behind an error of the database.
    #[must_use]
    pub fn of(path: &Path, error: &rusqlite::Error) -> Trouble {
        let (path, why) = (path.to_path_buf(), Arc::from(error.to_string()));
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                // The database gave a value that no row of ours has.
                rusqlite::Error::FromSqlConversionFailure(_, _, odd) => {
                    Trouble::Row { path, why: odd.to_string().into() }
                }
                rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Trouble::Row { path, why },
                _ => Trouble::Sql { path, why },
            };
        };
        match code {
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::OutOfMemory => Trouble::Disk { path, why },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Trouble::Corrupt { path, why },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Trouble::Busy { path }
            }
            _ => Trouble::Sql { path, why },
        }
    }

    /// True when it concerns all requests, until somebody does something about it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !self.is_of_one() && !matches!(self, Trouble::Flooded { .. })
    }

    /// True when it concerns one request only, and its neighbours may be written.
    #[must_use]
    pub fn is_of_one(&self) -> bool {
        match self {
            Trouble::Sql { .. } | Trouble::Row { .. } | Trouble::TooLarge { .. } | Trouble::Refused { .. } => true,
            Trouble::Disk { .. }
            | Trouble::Corrupt { .. }
            | Trouble::Moved { .. }
            | Trouble::Busy { .. }
            | Trouble::Newer { .. }
            | Trouble::ReadOnly { .. }
            | Trouble::Flooded { .. }
            | Trouble::Closed => false,
        }
    }

    /// True when the disk may have got what was written all the same.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Trouble::Disk { .. } | Trouble::Busy { .. } | Trouble::Closed => true,
            Trouble::Corrupt { .. }
            | Trouble::Moved { .. }
            | Trouble::Newer { .. }
            | Trouble::ReadOnly { .. }
            | Trouble::TooLarge { .. }
            | Trouble::Refused { .. }
            | Trouble::Flooded { .. }
            | Trouble::Sql { .. }
            | Trouble::Row { .. } => false,
        }
    }
}

/// Why a request is not written: what the database says, or what we do.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Refused(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sql(error)
    }
}

impl Fault {
    pub(super) fn trouble(self, path: &Path) -> Trouble {
        match self {
            Fault::Sql(error) => Trouble::of(path, &error),
            Fault::Refused(why) => Trouble::Refused { why: why.into() },
        }
    }
}
