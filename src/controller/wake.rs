//! One timer on the boot clock.
//!
//! In: a moment of boot time. Out: a descriptor that becomes readable then. Not here: what is due.
//! The surprise: the runtime's own timers stand still while the machine sleeps, and boot time does not.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::engine::BootTime;

/// A timer that is set again and again.
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
    set_for: Option<BootTime>,
}

impl Wake {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Wake> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Wake { fd, set_for: None })
    }

    /// Sets it for this moment; one that has passed is due at once.
    ///
    /// # Errors
    /// Never, for a descriptor of ours; the system's word is passed on all the same.
    pub fn set(&mut self, at: BootTime) -> io::Result<()> {
        if self.set_for == Some(at) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let nanos = at.nanos().max(1);
        let value = Timespec {
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set_for = Some(at);
        Ok(())
    }

    /// Takes note that it has gone off.
    pub fn clear(&mut self) {
        self.set_for = None;
        let mut count = [0; 8];
        // Nothing to read means that it was set again in between, which is as good.
        _ = rustix::io::read(&self.fd, &mut count);
    }

    /// A second descriptor of it, for the runtime to wait on.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}
