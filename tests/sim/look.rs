//! Looking at the fake machine as an observer must: the process table first, then locks, then records.
//!
//! A look has gaps: processes left out, processes that cannot be read, and moments between its parts.

use std::sync::Arc;

use setpoint::engine::backoff::End;
use setpoint::engine::observed::{Alive, Member, Phase, Twin};
use setpoint::engine::probe::Health;
use setpoint::engine::{Backoff, BootId, BootTime, Coverage, Observed, ProcId, Revision, Sight, Sighting};

use super::controller::Memory;
use super::disk::Birth;
use super::names::{self, INSTANCES, SLOTS};
use super::shim::Stage;
use super::world::{MILLI, Proc, Role, World};

/// A shim as the process table shows it.
struct ShimSeen {
    id: ProcId,
    attempt: u32,
    stage: Stage,
}

/// What the process table shows of one instance.
#[derive(Default)]
struct Scan {
    shims: Vec<ShimSeen>,
    /// Main process, attempt, frozen.
    payloads: Vec<(u32, u32, bool)>,
    /// Attempt, and the process.
    members: Vec<(u32, Member)>,
    /// Processes that somebody else started and that could be it.
    twins: Vec<Member>,
}

/// How good this look is.
#[derive(Clone, Copy, Debug)]
pub struct Eyes {
    /// Permille of processes that are not listed; more than 0 makes the listing partial.
    pub missed: u64,
    /// How long it takes from one part to the next, at most.
    pub moment: u64,
}

impl Eyes {
    pub const GOOD: Eyes = Eyes { missed: 0, moment: 0 };
}

impl World {
    /// Looks once. The memory of a controller that has died is empty.
    pub fn look(&mut self, eyes: Eyes, memory: &mut [Memory; INSTANCES]) -> (Observed, Backoff) {
        let mut scans: [Scan; INSTANCES] = std::array::from_fn(|_| Scan::default());
        let items = self.list_items(memory);
        let is_whole = self.scan(eyes, &mut scans);
        self.met = Default::default();
        self.note_met();
        self.blink(eyes);
        let locked: [bool; INSTANCES] = std::array::from_fn(|instance| self.is_locked(instance));
        self.blink(eyes);
        if eyes.moment > 0 {
            self.note_met();
        }
        let mut observed = Observed { items, ..Observed::empty() };
        if !is_whole {
            observed.coverage = Coverage::Partial { why: "the table could not be read to its end".into() };
        }
        let mut backoff = Backoff::default();
        for (instance, scan) in scans.iter().enumerate() {
            let newest = self.folders[instance].newest();
            if let Some(attempt) = newest.and_then(super::disk::Record::read) {
                backoff.0.insert(names::id(instance).clone(), attempt);
            }
            let Some(mut sighting) = self.sighting(instance, scan, (is_whole, locked[instance]), &mut memory[instance])
            else {
                continue;
            };
            sighting.policy = self.folders[instance].policy.clone();
            observed.sightings.insert(names::id(instance).clone(), sighting);
        }
        (observed, backoff)
    }

    /// What happens while nobody looks.
    fn blink(&mut self, eyes: Eyes) {
        if eyes.moment > 0 {
            if self.rng.chance(400) {
                self.let_rival_act();
            }
            let moment = self.rng.below(eyes.moment + 1);
            self.run(self.now + moment);
        }
    }

    /// The process table; true when it was read to its end.
    fn scan(&mut self, eyes: Eyes, scans: &mut [Scan; INSTANCES]) -> bool {
        let mut is_whole = eyes.missed == 0;
        let no_name: Arc<str> = "work".into();
        for i in 0..self.procs.len() {
            let is_missed = eyes.missed > 0 && self.rng.chance(eyes.missed);
            let proc = &self.procs[i];
            // Who it belongs to cannot be told, so it may be anybody's.
            is_whole &= !proc.unreadable;
            let Some(instance) = proc.of.or(proc.twin) else { continue };
            if is_missed || proc.unreadable {
                continue;
            }
            if proc.twin.is_some() {
                scans[instance].twins.push(Member { proc: self.id_of(proc), name: no_name.clone() });
                continue;
            }
            let (id, scan) = (self.id_of(proc), &mut scans[instance]);
            match &proc.role {
                Role::Shim(shim) => scan.shims.push(ShimSeen { id, attempt: proc.attempt, stage: shim.stage }),
                Role::Payload | Role::Child | Role::Stranger => {
                    if matches!(proc.role, Role::Payload) {
                        scan.payloads.push((proc.pid, proc.attempt, proc.frozen));
                    }
                    if proc.marker || proc.lock || self.has_shim(proc) {
                        scan.members.push((proc.attempt, Member { proc: id, name: no_name.clone() }));
                    }
                }
            }
        }
        is_whole
    }

    fn has_shim(&self, proc: &Proc) -> bool {
        self.procs.iter().any(|p| p.is_shim() && p.of == proc.of && p.attempt == proc.attempt)
    }

    fn sighting(
        &self,
        instance: usize,
        scan: &Scan,
        (is_whole, is_locked): (bool, bool),
        memory: &mut Memory,
    ) -> Option<Sighting> {
        let is_first = !std::mem::replace(&mut memory.has_looked, true);
        let newest = self.folders[instance].newest();
        let believed = newest.filter(|record| record.birth == Birth::Written).and_then(|record| {
            scan.shims.iter().find(|shim| shim.id == record.attempt.shim).map(|shim| (shim, record))
        });
        let unreadable = |why: &str| Sight::Unreadable { why: why.into() };
        let sight = if let Some((shim, record)) = believed {
            Sight::Seen(alive(shim, record, scan, memory))
        } else if let Some((attempt, revision)) = &memory.spawning {
            Sight::Seen(spawning(*attempt, revision))
        } else if !scan.shims.is_empty() {
            unreadable("a shim has no record that fits it")
        } else if !scan.members.is_empty() {
            if is_whole { Sight::Seen(lingering(scan, newest)) } else { unreadable("its shim may be out of sight") }
        } else if is_locked {
            unreadable("its lock is held by nobody in sight")
        } else if is_whole
            && (memory.refused.is_some() || self.seeks_twins(instance / SLOTS) || self.now.is_multiple_of(3))
        {
            Sight::Absent
        } else {
            return None;
        };
        let mut sighting = Sighting::of(sight);
        if let Sight::Seen(alive) = &sighting.sight {
            memory.forget_others(alive.attempt);
            if alive.phase == Phase::Stopping {
                // Whoever asked for it: from now on it takes its time.
                memory.stop.get_or_insert((alive.attempt, BootTime::from_nanos(self.now)));
            }
            if is_first && alive.phase == Phase::Running {
                memory.found = Some(alive.attempt);
            }
            sighting.health = Health { is_found: memory.found == Some(alive.attempt), ..memory.health.clone() };
            sighting.stop_asked = memory.stop.map(|(_, at)| at);
            sighting.tree_asked = memory.tree.map(|(_, at)| at);
        }
        sighting.refused = memory.refused.clone();
        sighting.twin = self.twin_of(instance, &scan.twins, is_whole);
        if let (Sight::Absent, Twin::One(one)) = (&sighting.sight, &sighting.twin) {
            let asked = memory.twin.as_ref().filter(|(proc, _)| *proc == one.member.proc);
            sighting.tree_asked = asked.map(|(_, at)| *at);
        }
        Some(sighting)
    }
}

fn alive(shim: &ShimSeen, record: &super::disk::Record, scan: &Scan, memory: &Memory) -> Alive {
    let attempt = &record.attempt;
    let payload = scan.payloads.iter().find(|(_, number, _)| *number == shim.attempt);
    let phase = match (&attempt.end, shim.stage) {
        (End::Ended { .. }, _) => Phase::Ending,
        (End::Open, Stage::Locking | Stage::Claiming | Stage::Recording | Stage::Executing) => Phase::Starting,
        (End::Open, Stage::Ready) if payload.is_some_and(|(_, _, is_frozen)| *is_frozen) => Phase::Frozen,
        (End::Open, Stage::Ready) => Phase::Running,
        (End::Open, Stage::Stopping { .. } | Stage::Ending) => Phase::Stopping,
    };
    let is_stopped = memory.stop.is_some_and(|(number, _)| number == shim.attempt);
    let of_it = |(number, member): &(u32, Member)| (*number == shim.attempt).then(|| member.clone());
    let tree: Arc<[Member]> = if is_stopped { scan.members.iter().filter_map(of_it).collect() } else { [].into() };
    Alive {
        attempt: shim.attempt,
        revision: attempt.revision.clone(),
        shim: shim.id.clone(),
        payload: payload.map_or(0, |(pid, _, _)| *pid),
        since: attempt.started,
        phase,
        is_told: true,
        tree,
    }
}

fn spawning(attempt: u32, revision: &Revision) -> Alive {
    Alive {
        attempt,
        revision: revision.clone(),
        shim: ProcId { boot: BootId::default(), pid: 0, started: 0 },
        payload: 0,
        since: BootTime::default(),
        phase: Phase::Spawning,
        is_told: true,
        tree: [].into(),
    }
}

fn lingering(scan: &Scan, newest: Option<&super::disk::Record>) -> Alive {
    let attempt = scan.members.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let record = newest.and_then(super::disk::Record::read).filter(|record| record.number == attempt);
    let nobody = ProcId { boot: BootId::default(), pid: 0, started: 0 };
    Alive {
        attempt,
        revision: record.as_ref().map_or_else(Revision::unknown, |record| record.revision.clone()),
        shim: record.as_ref().map_or(nobody, |record| record.shim.clone()),
        payload: scan.payloads.first().map_or(0, |(pid, _, _)| *pid),
        since: record.map_or_else(BootTime::default, |record| record.started),
        phase: Phase::Lingering,
        is_told: true,
        tree: scan.members.iter().map(|(_, member)| member.clone()).collect(),
    }
}

/// The longest moment between two parts of a look.
pub const MOMENT: u64 = 60 * MILLI;
