//! Sends a signal to a process that is certainly the one that is meant.
//!
//! In: an identity. Out: the signal, or the reason it was not sent. Not here: whom to signal.
//! The surprise: a pid alone is never enough. A pidfd is opened first and the start time compared after, so that the
//! number cannot be reused in between.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::engine::ProcId;
use crate::observe::table::{ProcessState, Table};

/// What came of a signal.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was delivered.
    Delivered,
    /// The process is gone, or its number is somebody else's now.
    Gone,
}

/// Opens a pidfd on exactly this process; `None` when it is gone.
///
/// # Errors
/// When the system has no pidfd to give: out of descriptors, or a kernel before 5.3.
pub fn pin(table: &dyn Table, proc: &ProcId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(proc.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_it = table.process(proc.pid).is_some_and(|p| p.started == proc.started && p.state != ProcessState::Zombie);
    Ok(is_it.then_some(fd))
}

/// Sends `signal` through a pidfd.
///
/// # Errors
/// When the process may not be signalled, such as one of root's.
pub fn send(pidfd: impl AsFd, signal: i32) -> io::Result<Sent> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(Sent::Delivered),
        Err(rustix::io::Errno::SRCH) => Ok(Sent::Gone),
        Err(error) => Err(error.into()),
    }
}

/// Pins the process, then sends.
///
/// # Errors
/// As [`pin`] and [`send`].
pub fn send_to(table: &dyn Table, proc: &ProcId, signal: i32) -> io::Result<Sent> {
    match pin(table, proc)? {
        Some(fd) => send(fd, signal),
        None => Ok(Sent::Gone),
    }
}
