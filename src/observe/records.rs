//! Reads what shims left on disk.
//!
//! In: the records folder of a home. Out: the last attempt of each instance, its policy, whether its lock is held.
//! Not here: writing. The surprise: a damaged record still has a number, by its file name; it reads as an attempt of
//! an earlier boot, so nothing is counted against it and its number is never used again.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::engine::backoff::{Attempt, End, Exit, Streak};
use crate::engine::plan::{LogLimits, Policy, StopRule, Told};
use crate::engine::{BootId, BootTime, Cause, InstanceId, ObjectRef, ProcId, Revision, Timestamp};
use crate::home::Home;
use crate::record::LOCK_FILE;
use crate::record::attempt::{self, Birth, How};
use crate::record::policy::{self, Ready};

/// The most instances of one home that are looked at.
pub const INSTANCES_MAX: usize = 100_000;

/// Every instance that ever had an attempt.
///
/// # Errors
/// When a folder that is there cannot be read.
pub fn instances(home: &Home) -> io::Result<Vec<InstanceId>> {
    let mut found = Vec::new();
    for kind in names(&home.root().join("records"))? {
        for name in names(&home.root().join("records").join(&kind))? {
            let Ok(object) = ObjectRef::new(&kind, &name) else { continue };
            let room = INSTANCES_MAX - found.len();
            found.extend(instances_of(home, &object)?.into_iter().take(room));
        }
    }
    Ok(found)
}

/// Every instance of an object that ever had an attempt, or counted a process of somebody else.
///
/// # Errors
/// When its folder is there and cannot be read.
pub fn instances_of(home: &Home, object: &ObjectRef) -> io::Result<Vec<InstanceId>> {
    let causes = names(&home.records_of(object))?;
    let instance = |cause: Cause| InstanceId { object: object.clone(), cause };
    Ok(causes.iter().filter_map(|cause| cause.parse().ok().map(instance)).collect())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|e| e.map(|e| e.file_name().into_string().ok()).transpose()).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The number of the newest attempt; `None` when there was none.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn last_number(folder: &Path) -> io::Result<Option<u32>> {
    Ok(names(folder)?.iter().filter_map(|name| attempt::number(name.as_bytes())).max())
}

/// The newest attempt of an instance.
///
/// # Errors
/// When the folder or the record is there and cannot be read.
pub fn last_attempt(folder: &Path) -> io::Result<Option<Read>> {
    match last_number(folder)? {
        Some(number) => attempt_of(folder, number),
        None => Ok(None),
    }
}

/// An attempt as read, with what only a search for orphans needs.
#[derive(Clone, Debug)]
pub struct Read {
    /// What the engine needs.
    pub attempt: Attempt,
    /// Start time of the payload, in clock ticks.
    pub payload_started: u64,
    /// The record as written; `None` when it is damaged.
    pub birth: Option<Birth>,
    /// The end as written.
    pub end: Option<attempt::End>,
}

/// One attempt of an instance; `None` when it has no record.
///
/// # Errors
/// When the record is there and cannot be read.
pub fn attempt_of(folder: &Path, number: u32) -> io::Result<Option<Read>> {
    let path = folder.join(attempt::file_name(number).as_str());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(match attempt::parse(&bytes) {
        Ok((birth, end)) if birth.attempt == number => read(birth, end),
        Ok(_) | Err(_) => damaged(number),
    }))
}

fn read(birth: Birth, end: Option<attempt::End>) -> Read {
    let boot_id = BootId::new(&birth.boot_id);
    let attempt = Attempt {
        number: birth.attempt,
        uid: birth.uid.as_str().into(),
        revision: birth.revision.parse().unwrap_or_else(|_| Revision::unknown()),
        shim: ProcId { boot: boot_id.clone(), pid: birth.shim_pid, started: birth.shim_started },
        payload: birth.payload_pid,
        boot_id,
        started: BootTime::from_nanos(birth.started_boot_ns),
        started_wall: Timestamp::from_nanos(birth.started_wall_ns),
        streak: Streak {
            n: birth.streak.n,
            deaths: birth.streak.deaths,
            crashes: birth.streak.crashes,
            proven: birth.streak.proven,
        },
        end: end.as_ref().map_or(End::Open, ended),
    };
    Read { attempt, payload_started: birth.payload_started, birth: Some(birth), end }
}

fn ended(end: &attempt::End) -> End {
    let exit = match &end.how {
        How::Code(code) => Exit::Code(*code),
        How::Signal(signal) => Exit::Signal(*signal),
        How::NotStarted(text) => Exit::NotStarted(text.as_str().into()),
        How::Unhealthy(text) => Exit::Unhealthy(text.as_str().into()),
        How::Lost => Exit::Lost,
    };
    End::Ended { exit, at: BootTime::from_nanos(end.at_boot_ns), asked: end.asked }
}

/// What is known of an attempt whose record cannot be believed: its number.
#[must_use]
pub fn damaged(number: u32) -> Read {
    let nowhere = ProcId { boot: BootId::default(), pid: 0, started: 0 };
    let attempt = Attempt {
        number,
        uid: "".into(),
        revision: Revision::unknown(),
        shim: nowhere,
        payload: 0,
        boot_id: BootId::default(),
        started: BootTime::default(),
        started_wall: Timestamp::default(),
        streak: Streak::default(),
        end: End::Ended { exit: Exit::Lost, at: BootTime::default(), asked: false },
    };
    Read { attempt, payload_started: 0, birth: None, end: None }
}

/// The policy file of an instance; `None` when there is none or it cannot be read.
#[must_use]
pub fn policy(folder: &Path) -> Option<Policy> {
    let policy = policy::parse(&std::fs::read(folder.join(policy::FILE)).ok()?)?;
    Some(Policy {
        stop: StopRule { signal: policy.stop_signal, grace: Duration::from_millis(policy.stop_grace_ms) },
        log: LogLimits { max_size: policy.log_max_size, max_files: policy.log_max_files },
        told: match policy.ready {
            Ready::AtOnce => Told::AtOnce,
            Ready::ByLog(text) => Told::ByLog(text.into()),
            Ready::ByNotify => Told::ByNotify,
        },
        watchdog: (policy.watchdog_ms > 0).then(|| Duration::from_millis(policy.watchdog_ms)),
    })
}

/// Whether a lock is held by anybody.
///
/// # Errors
/// When it cannot be tried.
pub fn is_locked(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // A shared lock is enough to see an exclusive one, and two lookers do not take each other for a holder.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
