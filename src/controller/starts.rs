//! Starts that are queued or under way.
//!
//! In: spawns of a plan. Out: at most [`FLYING_MAX`] at a time. Not here: what their answers mean.
//! The surprise: a queued start is dropped as soon as a newer generation is read, since it belongs to an old plan.

use std::collections::{BTreeMap, VecDeque};
use std::process::Child;
use std::time::Duration;

use crate::engine::observed::{Alive, Observed, Phase};
use crate::engine::plan::Spawn;
use crate::engine::{BootId, BootTime, InstanceId, ProcId, Sight, Sighting};

/// How many starts are under way at once: enough to keep all cores busy, few enough to keep the rest responsive.
pub const FLYING_MAX: usize = 16;

/// The starts.
#[derive(Debug, Default)]
pub struct Starts {
    queued: VecDeque<(InstanceId, Box<Spawn>, u64)>,
    flying: BTreeMap<InstanceId, Flight>,
    /// Parents of shims that had not ended when their answer came.
    unreaped: Vec<Child>,
}

/// A start that is not answered for this long is looked at, and gives its place to another: a hung disk holds up
/// what starts from it and nothing else.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A start under way.
#[derive(Debug)]
struct Flight {
    child: Child,
    since: BootTime,
}

impl Starts {
    /// True when nothing is queued or under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.flying.is_empty()
    }

    /// True when a start of this instance is queued or under way.
    #[must_use]
    pub fn has(&self, id: &InstanceId) -> bool {
        self.flying.contains_key(id) || self.queued.iter().any(|(queued, ..)| queued == id)
    }

    /// Queues a start and marks the instance, so that the next pass sees it coming.
    pub fn queue(&mut self, id: &InstanceId, spawn: Box<Spawn>, generation: u64, at: BootTime, seen: &mut Observed) {
        let nobody = ProcId { boot: BootId::default(), pid: 0, started: 0 };
        let alive = Alive {
            attempt: spawn.attempt,
            revision: spawn.revision.clone(),
            shim: nobody,
            payload: 0,
            since: at,
            phase: Phase::Spawning,
            is_told: false,
            tree: [].into(),
        };
        seen.sightings.insert(id.clone(), Sighting::of(Sight::Seen(alive)));
        self.queued.push_back((id.clone(), spawn, generation));
    }

    /// The next start, when there is room for one.
    pub fn take_next(&mut self) -> Option<(InstanceId, Box<Spawn>, u64)> {
        if self.flying.len() < FLYING_MAX { self.queued.pop_front() } else { None }
    }

    /// A start is under way.
    pub fn flies(&mut self, id: InstanceId, child: Child, since: BootTime) {
        self.flying.insert(id, Flight { child, since });
    }

    /// A start was answered.
    pub fn landed(&mut self, id: &InstanceId) {
        if let Some(flight) = self.flying.remove(id) {
            self.unreaped.push(flight.child);
        }
        self.reap();
    }

    /// Lets go of processes that have ended.
    pub fn reap(&mut self) {
        self.unreaped.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    }

    /// Takes out the starts that were not answered in time.
    pub fn overdue(&mut self, now: BootTime) -> Vec<InstanceId> {
        let is_late = |flight: &Flight| flight.since.after(ANSWER_WITHIN) <= now;
        let late: Vec<InstanceId> =
            self.flying.iter().filter(|(_, flight)| is_late(flight)).map(|(id, _)| id.clone()).collect();
        late.iter().for_each(|id| self.landed(id));
        late
    }

    /// When the first start under way is overdue.
    #[must_use]
    pub fn due(&self) -> Option<BootTime> {
        self.flying.values().map(|flight| flight.since.after(ANSWER_WITHIN)).min()
    }

    /// Drops what is queued.
    pub fn forget_queued(&mut self, seen: &mut Observed) {
        for (id, ..) in self.queued.drain(..) {
            seen.sightings.remove(&id);
        }
    }
}
