//! The controller of the fake machine: what it remembers, how it follows a plan, and how it reads everything anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use setpoint::engine::observed::{Alive, Member, Phase, Refused};
use setpoint::engine::plan::StopRule;
use setpoint::engine::queue::Message;
use setpoint::engine::run::pressure::Pressure;
use setpoint::engine::run::{Book, Final, Ledger, Origin, Output, Step};
use setpoint::engine::{
    Action, Backoff, BootTime, Cause, Coverage, Decision, InstanceId, ObjectRef, Observed, ProcId, Sight, Sighting,
    Timestamp,
};

use super::kind::{self, BOXES};
use super::store::{Reply, State, Write};
use super::world::{MILLI, SECOND, World, whole};

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
    /// What failed may be on the disk all the same.
    pub is_in_doubt: bool,
}

fn message(book: &Book, cause: &Cause) -> Option<Arc<Message>> {
    match &book.runs.get(cause)?.origin {
        Origin::Message(message) => Some(message.clone()),
        Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) => None,
    }
}

impl Controller {
    /// Everything is read from the store, and what is over is swept away.
    pub fn read_all(&mut self, world: &mut World) {
        self.memory = Memory::default();
        self.read(world);
        let known: Vec<InstanceId> = world.records.keys().map(whole).collect();
        for id in known {
            if !self.memory.ledger.books.get(&id.object).is_some_and(|book| book.runs.contains_key(&id.cause)) {
                world.sweep(&id);
            }
        }
    }

    fn read(&mut self, world: &World) {
        self.memory.ledger = Ledger::default();
        self.is_in_doubt = false;
        for index in 0..BOXES {
            let object = kind::object(index);
            let mut book = Book { queue: Some(world.store.queue_of(object)), ..Book::default() };
            for row in world.store.rows.iter().filter(|row| row.object == *object && row.state == State::Claimed) {
                let run = setpoint::engine::run::Run { cancel: row.cancel.clone(), ..row.run() };
                book.runs.insert(row.cause(), run);
            }
            self.memory.ledger.books.insert(object.clone(), book);
        }
    }

    pub fn book(&mut self, object: &ObjectRef) -> &mut Book {
        self.memory.ledger.books.entry(object.clone()).or_default()
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
            world.tell(|| format!("written, and nobody hears: {write:?}"));
            world.apply(&write);
        }
        world.answers.clear();
        world.written.clear();
    }

    /// What has come back since it last looked.
    pub fn hear(&mut self, world: &mut World) {
        let at = BootTime::from_nanos(world.now);
        for (id, answer) in std::mem::take(&mut world.answers) {
            self.memory.spawning.remove(&id);
            match answer {
                Some(why) => _ = self.memory.refused.insert(id, Refused { at, why: why.into() }),
                None => _ = self.memory.refused.remove(&id),
            }
        }
        for (write, reply) in std::mem::take(&mut world.written) {
            match reply {
                Some(reply) => self.settled(world, write, reply),
                None => self.is_in_doubt = true,
            }
        }
        if self.is_in_doubt {
            self.memory.ledger.trouble = Some("disk I/O error".into());
        }
        if self.is_in_doubt && world.store.queue.is_empty() {
            self.read(world);
        }
    }

    fn settled(&mut self, world: &mut World, write: Write, reply: Reply) {
        match (write, reply) {
            (Write::Enqueue(row), Reply::Enqueued(state, due, is_new)) => {
                let queue = self.book(&row.object).queue.get_or_insert_default();
                queue.depth += u64::from(is_new);
                match state {
                    State::Available => queue.has_available = true,
                    State::Scheduled if is_new => {
                        queue.next_due = Some(queue.next_due.map_or(due, |next| next.min(due)))
                    }
                    State::Scheduled | State::Behind | State::Claimed | State::Ok | State::Dead | State::Cancelled => {}
                }
            }
            (Write::Claim { object, .. }, Reply::Claimed(rows, queue)) => {
                let book = self.book(&object);
                book.writing.remove(&Cause::Named("queue".into()));
                (book.refused, book.queue) = (None, Some(queue));
                for row in rows {
                    book.runs.insert(row.cause(), row.run());
                }
            }
            (Write::Return(id, back), _) => {
                let book = self.book(&id.object);
                book.writing.remove(&id.cause);
                book.refused = None;
                let queue = book.queue.get_or_insert_default();
                queue.next_due = Some(queue.next_due.map_or(back.due, |next| next.min(back.due)));
                book.runs.remove(&id.cause);
                self.over(world, &id);
            }
            (Write::Finish(id, finish, at), _) => self.finished(world, &id, &finish, at),
            (Write::Cancel(id), Reply::Done) => {
                if let Some(run) = self.book(&id.object).runs.get_mut(&id.cause) {
                    run.cancel.get_or_insert("ann".into());
                }
            }
            (Write::Withdraw(id) | Write::Revive(id, _), Reply::Done) => {
                self.book(&id.object).queue.get_or_insert_default().has_available = true;
            }
            (_, _) => {}
        }
    }

    fn finished(&mut self, world: &mut World, id: &InstanceId, finish: &setpoint::engine::plan::Finish, at: Timestamp) {
        let stands = world.store.find(id).cloned();
        let book = self.book(&id.object);
        book.writing.remove(&id.cause);
        book.refused = None;
        if let Some(parent) = &finish.step_of {
            let step: Arc<str> = id.cause.to_string().split('.').nth(1).expect("a step").into();
            let output = stands.and_then(|row| row.steps.get(&step).map(|(step, _)| step.output.clone()));
            if let Some(run) = book.runs.get_mut(parent) {
                let nothing = || Output::Whole(Arc::new(serde_json::Value::Null));
                let over = Step { outcome: finish.outcome, output: output.unwrap_or_else(nothing) };
                run.steps.insert(step, over);
            }
            return;
        }
        let known = message(book, &id.cause);
        let run = book.runs.remove(&id.cause);
        let queue = book.queue.get_or_insert_default();
        queue.depth = queue.depth.saturating_sub(1);
        queue.has_available |= known.is_some_and(|message| message.group.is_some());
        let uid = run.map_or_else(|| "".into(), |run| run.uid);
        let last =
            Final { uid, outcome: finish.outcome, reason: finish.why.clone(), ended: at, attempts: finish.attempts };
        book.last.clear();
        book.last.insert(id.cause.clone(), last);
        self.over(world, id);
    }

    /// What is left of an instance that is over is swept away.
    fn over(&mut self, world: &mut World, id: &InstanceId) {
        world.sweep(id);
        self.memory.refused.retain(|other, _| whole(other) != *id);
    }

    /// Looks at everything.
    pub fn look(&mut self, world: &mut World, missed: u64) -> (Observed, Backoff) {
        let pressure = Pressure { at: BootTime::from_nanos(world.now), figures: world.figures };
        let ledger = self.memory.ledger.clone();
        let mut observed = Observed { ledger, pressure: Some(pressure), ..Observed::empty() };
        if missed > 0 {
            observed.coverage = Coverage::Partial { why: "the listing".into() };
        }
        for i in 0..world.procs.len() {
            let is_missed = missed > 0 && world.rng.chance(missed);
            let proc = world.procs[i].clone();
            if is_missed {
                continue;
            }
            let is_of = |(number, at): &(u32, BootTime)| (*number == proc.attempt).then_some(*at);
            let member = ProcId { pid: proc.shim.pid + 100_000, ..proc.shim.clone() };
            let sight = if proc.unreadable_until > world.now {
                Sight::Unreadable { why: "permission denied".into() }
            } else {
                Sight::Seen(Alive {
                    attempt: proc.attempt,
                    revision: setpoint::engine::Revision { version: 1, hash: "r".into() },
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
        let now = BootTime::from_nanos(world.now);
        match action {
            Action::Spawn(spawn) => {
                world.check_start(id, spawn);
                let at = world.now + world.rng.between(1, 60) * MILLI;
                self.memory.spawning.insert(id.clone(), spawn.attempt);
                world.spawns.push((at, id.clone(), (**spawn).clone()));
            }
            Action::Stop { shim, policy, failing: _ } => {
                if let Some(i) = world.procs.iter().position(|proc| proc.shim == *shim) {
                    self.memory.stop_asked.insert(id.clone(), (world.procs[i].attempt, now));
                    world.stop(i, policy);
                }
            }
            Action::EndTree { tree: _, signal } => {
                if let Some(i) = world.procs.iter().position(|proc| proc.id == *id) {
                    let asked = (world.procs[i].attempt, now);
                    let known = self.memory.tree_asked.entry(id.clone()).or_insert(asked);
                    if known.0 != asked.0 {
                        *known = asked;
                    }
                    if *signal == StopRule::KILL {
                        world.vanish(i);
                        world.event = true;
                    }
                }
            }
            Action::SetPolicy { shim, policy } => {
                if let Some(proc) = world.procs.iter_mut().find(|proc| proc.shim == *shim) {
                    proc.policy = policy.clone();
                    world.event = true;
                }
            }
            Action::RecordLost { attempt } => world.record_lost(id, *attempt),
            Action::Claim(claim) => {
                world.check_claim(&id.object, claim.count);
                let (object, uid, now) = (id.object.clone(), claim.uid.clone(), world.at());
                self.send(world, id, Write::Claim { object, uid, count: claim.count, now });
            }
            Action::Return(back) => {
                world.check_return(id, back);
                self.send(world, id, Write::Return(id.clone(), back.clone()));
            }
            Action::Finish(finish) => {
                let at = world.at();
                self.send(world, id, Write::Finish(id.clone(), finish.clone(), at));
            }
            Action::Adopt { .. } | Action::Fire(_) | Action::Note(_) => unreachable!("nothing of the kind is here"),
        }
    }

    fn send(&mut self, world: &mut World, id: &InstanceId, write: Write) {
        self.book(&id.object).writing.insert(id.cause.clone());
        send(world, write);
    }
}

/// Puts a request into the queue of the one writer.
pub fn send(world: &mut World, write: Write) {
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
        Action::Fire(_) => "fire".to_owned(),
        Action::Note(_) => "note".to_owned(),
        Action::Finish(finish) => format!("finish {}", finish.outcome.word()),
        Action::Claim(claim) => format!("claim {}", claim.count),
        Action::Return(back) => format!("return after try {}", back.tries),
    }
}
