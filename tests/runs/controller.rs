//! The controller of the fake machine: what it remembers, how it follows a plan, and how it reads everything anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use setpoint::engine::observed::{Alive, Member, Phase, Refused};
use setpoint::engine::run::pressure::Pressure;
use setpoint::engine::run::{Ledger, ticks};
use setpoint::engine::{
    Action, Backoff, BootTime, Coverage, Decision, InstanceId, ObjectRef, Observed, ProcId, Sight, Sighting, Timestamp,
};

use super::store::Write;
use super::world::{MILLI, SECOND, World};

/// How often everything is looked at without a reason.
pub const RELIST: u64 = 60 * SECOND;

/// All that a controller knows by itself; it dies with it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub ledger: Ledger,
    /// Starts on the way.
    pub spawning: BTreeMap<InstanceId, u32>,
    pub stop_asked: BTreeMap<InstanceId, (u32, BootTime)>,
    pub tree_asked: BTreeMap<InstanceId, (u32, BootTime)>,
    pub refused: BTreeMap<InstanceId, Refused>,
}

/// A controller, up or not.
#[derive(Debug, Default)]
pub struct Controller {
    pub memory: Memory,
    /// It comes back then.
    pub down_until: Option<u64>,
    pub due: u64,
    pub due_wall: Option<Timestamp>,
}

/// What a look misses, in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Eyes {
    pub missed: u64,
}

impl Controller {
    /// Everything is read from the store.
    pub fn read_all(&mut self, world: &World) {
        self.memory = Memory::default();
        let mut objects: Vec<ObjectRef> = world.store.runs.keys().map(|(object, _)| object.clone()).collect();
        objects.extend(world.store.cursors.keys().cloned());
        objects.extend(world.desired.objects.keys().cloned());
        objects.sort();
        objects.dedup();
        for object in objects {
            self.read(world, &object);
        }
    }

    /// What the store has of one object, but for what is being written.
    pub fn read(&mut self, world: &World, object: &ObjectRef) {
        let uid = world.desired.objects.get(object).map(|object| &object.uid);
        let known = self.memory.ledger.books.remove(object).unwrap_or_default();
        let mut book = world.store.book(object, uid);
        (book.writing, book.refused) = (known.writing, known.refused);
        self.memory.ledger.books.insert(object.clone(), book);
        self.dress(world);
    }

    /// Due times follow from what is wanted now.
    pub fn dress(&mut self, world: &World) {
        for object in world.desired.objects.keys() {
            self.memory.ledger.books.entry(object.clone()).or_default();
        }
        for (object, book) in &mut self.memory.ledger.books {
            let times = world.times.get(object);
            book.next = match (times, &book.cursor) {
                (Some(times), Some(cursor)) => ticks::next(times, cursor),
                (_, _) => None,
            };
            book.times = times.map(|times| Ok(times.clone()));
            let uid = world.desired.objects.get(object).map(|object| &object.uid);
            let is_started =
                |(_, row): (_, &super::store::Row)| row.attempts > 0 && row.origin.is_some() && Some(&row.uid) == uid;
            book.is_spent = world.store.of(object).any(is_started);
        }
    }

    /// It is gone; what was on its way arrives, or does not.
    pub fn die(&mut self, world: &mut World, until: u64) {
        world.tell(|| "the controller dies".to_owned());
        self.down_until = Some(until);
        for (_, id, spawn) in std::mem::take(&mut world.spawns) {
            if world.rng.chance(600) {
                world.execute(&id, &spawn);
            }
        }
        // What was sent in order is written in order, up to the moment of the death.
        let written = world.rng.index(world.store.queue.len() + 1);
        for (_, write) in std::mem::take(&mut world.store.queue).into_iter().take(written) {
            world.tell(|| format!("written, and nobody hears: {}", write.id()));
            world.apply(&write);
        }
        world.answers.clear();
        world.written.clear();
    }

    /// What has come back since it last looked.
    pub fn hear(&mut self, world: &mut World) {
        for (id, answer) in std::mem::take(&mut world.answers) {
            let number = self.memory.spawning.remove(&id);
            match answer {
                Some(why) => {
                    let at = BootTime::from_nanos(world.now);
                    self.memory.refused.insert(id, Refused { at, why: why.into() });
                }
                None => {
                    self.memory.refused.remove(&id);
                    if let (Some(number), Some(_)) =
                        (number, world.store.runs.get(&(id.object.clone(), id.cause.clone())))
                    {
                        send(world, Write::Attempt(id, number));
                    }
                }
            }
        }
        for (write, is_fine) in std::mem::take(&mut world.written) {
            let id = write.id().clone();
            if let Write::Attempt(..) = write {
                self.read(world, &id.object);
                continue;
            }
            let book = self.memory.ledger.books.entry(id.object.clone()).or_default();
            book.writing.remove(&id.cause);
            let at = BootTime::from_nanos(world.now);
            book.refused = (!is_fine).then(|| Refused { at, why: "disk I/O error".into() });
            // What failed may be on the disk all the same: the rows say what counts.
            self.read(world, &id.object);
        }
    }

    /// Looks at everything.
    pub fn look(&mut self, world: &mut World, eyes: Eyes) -> (Observed, Backoff) {
        let pressure = Pressure { at: BootTime::from_nanos(world.now), figures: world.figures };
        let ledger = self.memory.ledger.clone();
        let mut observed = Observed { ledger, pressure: Some(pressure), ..Observed::empty() };
        let missed = |world: &mut World| eyes.missed > 0 && world.rng.chance(eyes.missed);
        if missed(world) {
            observed.coverage = Coverage::Partial { why: "the listing".into() };
        }
        for i in 0..world.procs.len() {
            let is_missed = missed(world) && observed.coverage != Coverage::Whole;
            let proc = world.procs[i].clone();
            let is_unreadable = proc.unreadable_until > world.now;
            if is_missed {
                continue;
            }
            let is_of = |(number, at): &(u32, BootTime)| (*number == proc.attempt).then_some(*at);
            let member = ProcId { pid: proc.shim.pid + 100_000, ..proc.shim.clone() };
            let sight = if is_unreadable {
                Sight::Unreadable { why: "permission denied".into() }
            } else {
                Sight::Seen(Alive {
                    attempt: proc.attempt,
                    revision: proc.revision.clone(),
                    shim: proc.shim.clone(),
                    payload: member.pid,
                    since: BootTime::from_nanos(proc.since),
                    phase: proc.phase,
                    is_told: true,
                    tree: Arc::from([Member { proc: member, name: "work".into() }]),
                })
            };
            let sighting = Sighting {
                policy: Some(proc.policy.clone()),
                stop_asked: self.memory.stop_asked.get(&proc.id).and_then(is_of),
                tree_asked: self.memory.tree_asked.get(&proc.id).and_then(is_of),
                ..Sighting::of(sight)
            };
            observed.sightings.insert(proc.id.clone(), sighting);
        }
        for (id, number) in &self.memory.spawning {
            let alive = Alive {
                attempt: *number,
                revision: setpoint::engine::Revision { version: 1, hash: "r".into() },
                shim: ProcId { boot: world.boot_id.clone(), pid: 0, started: 0 },
                payload: 0,
                since: BootTime::from_nanos(world.now),
                phase: Phase::Spawning,
                is_told: false,
                tree: [].into(),
            };
            observed.sightings.entry(id.clone()).or_insert_with(|| Sighting::of(Sight::Seen(alive)));
        }
        for (id, refused) in &self.memory.refused {
            if observed.coverage == Coverage::Whole && !observed.sightings.contains_key(id) {
                let sighting = Sighting { refused: Some(refused.clone()), ..Sighting::of(Sight::Absent) };
                observed.sightings.insert(id.clone(), sighting);
            }
        }
        (observed, Backoff(world.records.clone()))
    }

    /// Carries out one decision.
    pub fn follow(&mut self, world: &mut World, decision: &Decision) {
        let Decision { id, action: Some(action), because } = decision else { return };
        world.tell(|| format!("{} {id}: {because}", verb(action)));
        match action {
            Action::Spawn(spawn) => {
                world.check_start(id, spawn);
                let at = world.now + world.rng.between(1, 60) * MILLI;
                self.memory.spawning.insert(id.clone(), spawn.attempt);
                world.spawns.push((at, id.clone(), (**spawn).clone()));
            }
            Action::Stop { shim, policy, failing: _ } => {
                if let Some(i) = world.procs.iter().position(|proc| proc.shim == *shim) {
                    let asked = (world.procs[i].attempt, BootTime::from_nanos(world.now));
                    self.memory.stop_asked.insert(id.clone(), asked);
                    world.stop(i, policy);
                }
            }
            Action::EndTree { tree: _, signal } => {
                if let Some(i) = world.procs.iter().position(|proc| proc.id == *id) {
                    let asked = (world.procs[i].attempt, BootTime::from_nanos(world.now));
                    let is_same = self.memory.tree_asked.get(id).is_some_and(|(number, _)| *number == asked.0);
                    if !is_same {
                        self.memory.tree_asked.insert(id.clone(), asked);
                    }
                    world.signal(i, *signal);
                }
            }
            Action::SetPolicy { shim, policy } => {
                if let Some(proc) = world.procs.iter_mut().find(|proc| proc.shim == *shim) {
                    proc.policy = policy.clone();
                    world.event = true;
                }
            }
            Action::RecordLost { attempt } => world.record_lost(id, *attempt),
            Action::Fire(fire) => {
                let book = self.memory.ledger.books.get(&id.object);
                let is_known = book.is_some_and(|book| book.runs.contains_key(&id.cause));
                world.check_fire(id, fire, is_known);
                self.send(world, id, Write::Fire(id.clone(), (**fire).clone(), world.decided()));
            }
            Action::Note(note) => {
                world.check_note(id, note);
                self.send(world, id, Write::Note(id.clone(), (**note).clone(), world.decided()));
            }
            Action::Finish(finish) => {
                world.check_finish(id, finish);
                self.send(world, id, Write::Finish(id.clone(), finish.clone(), world.at()));
            }
            Action::Adopt { .. } | Action::Claim(_) | Action::Return(_) => unreachable!("nothing of the kind is here"),
        }
    }

    fn send(&mut self, world: &mut World, id: &InstanceId, write: Write) {
        let book = self.memory.ledger.books.entry(id.object.clone()).or_default();
        book.writing.insert(id.cause.clone());
        send(world, write);
    }
}

/// Puts a request into the queue of the one writer.
fn send(world: &mut World, write: Write) {
    let slow = if world.rng.chance(50) { 3000 } else { 12 };
    let last = world.store.queue.back().map_or(world.now, |(at, _)| *at);
    let at = last.max(world.now) + world.rng.between(1, slow) * MILLI;
    world.store.queue.push_back((at, write));
}

fn verb(action: &Action) -> String {
    match action {
        Action::Spawn(spawn) => format!("spawn #{}", spawn.attempt),
        Action::Stop { .. } => "stop".to_owned(),
        Action::EndTree { signal, .. } => format!("signal {signal} to"),
        Action::Adopt { .. } => "adopt".to_owned(),
        Action::RecordLost { attempt } => format!("lost #{attempt}"),
        Action::SetPolicy { .. } => "policy".to_owned(),
        Action::Fire(fire) => format!("fire past {:?}", fire.passed.iter().map(|tick| tick.count).collect::<Vec<_>>()),
        Action::Note(note) => {
            let rows = note.ticks.iter().map(|tick| format!("{} {}", tick.state.word(), tick.count));
            format!("note [{}]", rows.collect::<Vec<_>>().join(", "))
        }
        Action::Finish(finish) => format!("finish {}", finish.outcome.word()),
        Action::Claim(claim) => format!("claim {}", claim.count),
        Action::Return(back) => format!("return after try {}", back.tries),
    }
}
