//! Reads the clocks.
//!
//! In: nothing. Out: the present as the engine wants it. Not here: waiting.
//! The surprise: the boot id names the pid namespace too, since a pid means nothing outside its own.

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::time::{ClockId, clock_gettime};

use crate::engine::{BootId, BootTime, Now, Timestamp};

/// The clocks of this boot.
#[derive(Clone, Debug)]
pub struct Clock {
    boot_id: BootId,
    ticks_per_second: u64,
}

impl Clock {
    /// Reads which boot this is.
    ///
    /// # Errors
    /// When `/proc` cannot be read: without it nothing can be supervised.
    pub fn new() -> io::Result<Clock> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let namespace = std::fs::metadata("/proc/self/ns/pid")?.ino();
        let boot_id = BootId::new(&format!("{}.{namespace}", boot.trim()));
        Ok(Clock { boot_id, ticks_per_second: rustix::param::clock_ticks_per_second() })
    }

    /// Which boot and pid namespace this is.
    #[must_use]
    pub fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: wall(), boot: boot(), boot_id: self.boot_id.clone() }
    }

    /// The boot time of a start time in clock ticks, as `/proc/PID/stat` counts them.
    #[must_use]
    pub fn of_ticks(&self, ticks: u64) -> BootTime {
        BootTime::from_nanos(ticks.saturating_mul(1_000_000_000 / self.ticks_per_second.max(1)))
    }

    /// The wall-clock time of a start time in clock ticks, by the second in which the system says that it booted: the
    /// same whenever somebody asks.
    #[must_use]
    pub fn wall_of_ticks(&self, ticks: u64) -> Option<Timestamp> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let seconds: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(self.of_ticks(ticks).nanos())))
    }
}

/// Wall-clock time.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::from_nanos(nanos(ClockId::Realtime))
}

/// Time since boot, suspend included.
#[must_use]
pub fn boot() -> BootTime {
    BootTime::from_nanos(nanos(ClockId::Boottime))
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
