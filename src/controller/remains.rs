//! Clears away what is left of runs that are over.
//!
//! In: instances whose end the store has. Out: no folder of records is left of them, a little later. Not here: deciding
//! that they are over.
//! The surprise: it waits until nothing begins. To remove files while others are made is dear on some file systems, and
//! whoever waits for a start would pay for it; a controller that dies before finds them again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::core::Core;
use crate::engine::desired::Spec;
use crate::engine::{BootTime, Cause, InstanceId, Now, Sight};
use crate::execute::sweep;
use crate::observe::records;

/// How long what is over stays, at least.
const REST: Duration = Duration::from_secs(1);
/// So many are removed in one go, and the pause until the next: an exit is not to wait for long.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(20);
/// Beyond so many it waits for nothing.
const WAITING_MAX: usize = 4096;

/// What is to be cleared away.
#[derive(Debug, Default)]
pub struct Remains {
    waiting: BTreeSet<InstanceId>,
    at: BootTime,
}

impl Remains {
    /// When the next of it is to be cleared away.
    #[must_use]
    pub fn due(&self) -> Option<BootTime> {
        (!self.waiting.is_empty()).then_some(self.at)
    }

    /// It begins anew: its records stay until it is over again.
    pub fn keep(&mut self, id: &InstanceId) {
        self.waiting.remove(id);
    }
}

impl Core {
    /// Clears away the runs whose end is remembered.
    pub(super) fn clear_remains(&mut self) {
        let ledger = &self.observed.ledger;
        let is_owed = |id: &InstanceId| {
            let book = ledger.books.get(&id.object);
            let cause = id.cause.parent().unwrap_or_else(|| id.cause.clone());
            book.is_some_and(|book| book.runs.contains_key(&cause))
        };
        let is_of_run = |id: &InstanceId| match self.desired.objects.get(&id.object).map(|object| &object.spec) {
            Some(Spec::Known(kind)) => kind.runs().is_some(),
            Some(Spec::Opaque { .. }) => false,
            None => ledger.books.contains_key(&id.object),
        };
        // By their folders: a controller that was killed while it removed one left a folder without a record.
        let known = records::instances(&self.home).unwrap_or_default();
        let over: Vec<InstanceId> = known.into_iter().filter(|id| is_of_run(id) && !is_owed(id)).collect();
        let now = self.clock.now();
        for id in over {
            self.clear(&id, &now);
        }
    }

    /// Clears away a run that is over, with its steps.
    pub(super) fn clear_run(&mut self, id: &InstanceId, now: &Now) {
        let first = InstanceId { object: id.object.clone(), cause: Cause::Slot(0) };
        let of_it = |other: &&InstanceId| {
            *other == id || other.cause.parent().as_ref().is_some_and(|parent| *parent == id.cause)
        };
        let same = self.backoff.0.range(first..).map(|(other, _)| other);
        let remains: BTreeSet<InstanceId> =
            same.take_while(|other| other.object == id.object).filter(of_it).cloned().collect();
        for one in remains {
            self.clear(&one, now);
        }
    }

    /// Forgets an instance that is over, and has its records removed.
    fn clear(&mut self, id: &InstanceId, now: &Now) {
        let is_there = |sight: &Sight<_>| !matches!(sight, Sight::Absent);
        if self.observed.sightings.get(id).is_some_and(|sighting| is_there(&sighting.sight)) {
            return;
        }
        self.backoff.0.remove(id);
        self.observed.sightings.remove(id);
        self.doubts.remove(id);
        self.ending.remove(id);
        if self.remains.waiting.is_empty() {
            self.remains.at = now.boot.after(REST);
        }
        self.remains.waiting.insert(id.clone());
    }

    /// Removes records, when it is time for that.
    pub(super) fn sweep(&mut self, now: &Now) {
        if self.remains.due().is_none_or(|at| now.boot < at) {
            return;
        }
        let is_busy = !self.starts.is_empty() || self.books.is_writing();
        let over = self.remains.waiting.len().saturating_sub(WAITING_MAX);
        self.sweep_some(if is_busy { over } else { over.max(AT_ONCE) });
        self.remains.at = now.boot.after(if is_busy && over == 0 { REST } else { PAUSE });
    }

    /// Removes all of it, before the controller ends.
    pub fn sweep_all(&mut self) {
        self.sweep_some(usize::MAX);
    }

    fn sweep_some(&mut self, most: usize) {
        for _ in 0..most.min(self.remains.waiting.len()) {
            let Some(id) = self.remains.waiting.pop_first() else { return };
            match sweep::sweep(&self.home, &id) {
                Ok(true) => {}
                // What it left behind holds its lock.
                Ok(false) => self.doubt(&id),
                Err(error) => self.tell_once(format!("{id}: its records cannot be removed: {error}")),
            }
        }
    }
}
