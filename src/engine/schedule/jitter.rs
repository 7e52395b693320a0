//! How far a start is moved from its due time, so that not all machines start at once.
//!
//! In: a seed, the name of the object, a limit. Out: an offset, the same for ever. Not here: which seed a machine has.
//! The surprise: nothing is random. The offset is a hash of the names, so it survives restarts and can be told ahead.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Schedule, Zone};
use crate::engine::time::Timestamp;

/// More than this is advised for no schedule.
pub const JITTER_MAX: Duration = Duration::from_secs(300);
/// Advice is rounded down to this.
const JITTER_STEP_S: u64 = 10;
/// So many due times show how close they come.
const TICKS_LOOKED_AT: usize = 50;

/// How far this object's starts are moved: whole seconds from 0 to `max`, both included.
///
/// The seed is the machine's id unless the settings fix one; the object is its name.
#[must_use]
pub fn jitter_offset(seed: &str, object: &str, max: Duration) -> Duration {
    let hash = Sha256::new()
        .chain_update(b"setpoint-jitter-v1\0")
        .chain_update(seed)
        .chain_update(b"\0")
        .chain_update(object)
        .finalize();
    let first = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    match max.as_secs().checked_add(1) {
        Some(choices) => Duration::from_secs(first % choices),
        None => Duration::from_secs(first),
    }
}

/// How close due times come to each other, and how much jitter that bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The shortest time between two of the next 50 due times.
    pub interval: Duration,
    /// A tenth of it, in steps of 10 s, 300 s at most. Advice, not a limit.
    pub jitter_max: Duration,
}

impl Schedule {
    /// How close the next due times after `from` come; nothing when fewer than two come at all.
    #[must_use]
    pub fn pace(&self, from: Timestamp, base: Timestamp, zone: &Zone) -> Option<Pace> {
        let mut last = None;
        let gap = |tick: Timestamp| last.replace(tick).map(|earlier: Timestamp| earlier.until(tick));
        let end = Timestamp::from_nanos(u64::MAX);
        let interval = self.ticks(from, end, base, zone).take(TICKS_LOOKED_AT).filter_map(gap).min()?;
        let advised = interval.as_secs() / 10 / JITTER_STEP_S * JITTER_STEP_S;
        Some(Pace { interval, jitter_max: JITTER_MAX.min(Duration::from_secs(advised)) })
    }
}
