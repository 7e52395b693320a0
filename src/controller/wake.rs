//! Timers on the boot clock and on the wall clock.
//!
//! In: a moment of boot time. Out: a descriptor that becomes readable then. Not here: what is due.
//! The surprise: the runtime's own timers stand still while the machine sleeps, and boot time does not.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::engine::{BootTime, Timestamp};

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

/// A timer on the wall clock, which people can set: it goes off at its moment, and whenever somebody sets the clock.
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
    set_for: Option<Timestamp>,
}

impl Alarm {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Alarm> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Alarm { fd, set_for: None })
    }

    /// Sets it for this moment, or switches it off. One that has passed is due at once.
    ///
    /// # Errors
    /// Never, for a descriptor of ours; the system's word is passed on all the same.
    pub fn set(&mut self, at: Option<Timestamp>) -> io::Result<()> {
        if self.set_for == at {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = at.map_or(zero, |at| {
            // Zero would switch the timer off.
            let nanos = at.nanos().max(1);
            Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
            }
        });
        let once = Itimerspec { it_interval: zero, it_value: value };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.fd, flags, &once)?;
        self.set_for = at;
        Ok(())
    }

    /// Takes note that it has gone off, or that the clock was set: either way it is to be set anew.
    pub fn clear(&mut self) {
        self.set_for = None;
        let mut count = [0; 8];
        // An error says that the clock was set; whoever looks next sees what it shows now.
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
