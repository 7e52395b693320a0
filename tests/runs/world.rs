//! The machine: processes under shims, the records of their attempts, two clocks, boots, and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use setpoint::engine::backoff::{Attempt, End, Exit};
use setpoint::engine::observed::Phase;
use setpoint::engine::plan::{Fire, Owed, Policy, Spawn, StopRule};
use setpoint::engine::run::pressure::Figures;
use setpoint::engine::run::{Cursor, Origin, Times};
use setpoint::engine::{BootId, BootTime, Cause, Desired, InstanceId, Now, ObjectRef, ProcId, Timestamp};

use super::kind;
use super::people::{self, People};
use super::rng::Rng;
use super::store::{Decided, Present, Store, Write};
use super::truth::{Rule, Truth};
use super::zones;

pub const MILLI: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MILLI;
pub const HOUR: u64 = 3600 * SECOND;
/// Moments that one call of [`World::run`] goes through at most.
const MOMENTS_MAX: usize = 20_000;

/// A shim with its payload, or what a dead one left.
#[derive(Clone, Debug)]
pub struct Proc {
    pub id: InstanceId,
    pub attempt: u32,
    pub shim: ProcId,
    pub revision: setpoint::engine::Revision,
    pub since: u64,
    pub phase: Phase,
    /// When it goes on by itself.
    pub next: u64,
    pub exit: Exit,
    pub asked: bool,
    pub policy: Policy,
    /// Ignores the stop signal.
    pub deaf: bool,
    /// Its shim does not hear.
    pub hung: bool,
    /// Nobody will write how it ended.
    pub mute: bool,
    pub unreadable_until: u64,
}

/// How the processes of an object behave.
#[derive(Clone, Debug)]
pub struct Nature {
    lives: u64,
    good: u64,
    deaf: bool,
}

/// The machine and everything on it.
pub struct World {
    pub rng: Rng,
    pub now: u64,
    pub wall: u64,
    pub boots: u32,
    pub boot_id: BootId,
    next_pid: u32,
    pub procs: Vec<Proc>,
    pub records: BTreeMap<InstanceId, Attempt>,
    /// Shims on their way, with the moment at which they are there.
    pub spawns: Vec<(u64, InstanceId, Spawn)>,
    /// What has become of starts since somebody last asked: none means that it is up.
    pub answers: Vec<(InstanceId, Option<&'static str>)>,
    pub written: Vec<(Write, bool)>,
    pub store: Store,
    pub desired: Desired,
    pub times: BTreeMap<ObjectRef, Arc<Times>>,
    natures: Vec<Nature>,
    /// Every attempt that was executed.
    pub executed: BTreeSet<(InstanceId, u32)>,
    /// Failures since a person last forgave them, with the moment of the last: its boot and when.
    pub failures: BTreeMap<InstanceId, (u32, u32, u64)>,
    /// What ended well.
    pub done: BTreeSet<InstanceId>,
    pub set_about: u64,
    asked: u32,
    /// How hard the machine is pressed, and the dice for that.
    pub figures: Figures,
    pressing: Rng,
    pub is_calm: bool,
    pub event: bool,
    pub truth: Truth,
    pub is_told: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let wall = if rng.chance(600) { zones::before_change(&mut rng) } else { 1_780_000_000 + rng.below(1 << 26) };
        let nature = |rng: &mut Rng| Nature {
            lives: rng.pick(&[200 * MILLI, 5 * SECOND, 40 * SECOND, 300 * SECOND, 3 * HOUR]),
            good: rng.pick(&[1000, 900, 500, 100]),
            deaf: rng.chance(200),
        };
        let natures = (0..kind::NAMES.len()).map(|_| nature(&mut rng)).collect();
        World {
            now: rng.between(1, 600) * SECOND,
            wall: wall * SECOND + rng.below(SECOND),
            boots: 1,
            boot_id: boot_id(1),
            next_pid: 2,
            procs: Vec::new(),
            records: BTreeMap::new(),
            spawns: Vec::new(),
            answers: Vec::new(),
            written: Vec::new(),
            store: Store::default(),
            desired: People::default().read(),
            times: BTreeMap::new(),
            natures,
            executed: BTreeSet::new(),
            failures: BTreeMap::new(),
            done: BTreeSet::new(),
            set_about: 0,
            asked: 0,
            figures: calm(),
            pressing: Rng::new(!seed),
            is_calm: false,
            event: true,
            truth: Truth::default(),
            is_told: false,
            rng,
        }
    }

    pub fn obey(&mut self, people: &People) {
        self.desired = people.read();
        if people.is_draining {
            people::drain(&mut self.desired);
        }
        self.times = people::times(&self.desired);
        self.event = true;
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            let wall = setpoint::engine::time::utc(self.at());
            eprintln!("{:>12.3} {wall} {}", self.now as f64 / SECOND as f64, what());
        }
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall)
    }

    /// A decision that is made now.
    pub fn decided(&self) -> Decided {
        Decided { wall: self.at(), set_about: self.set_about }
    }

    pub fn present(&self) -> Now {
        Now { wall: self.at(), boot: BootTime::from_nanos(self.now), boot_id: self.boot_id.clone() }
    }

    /// The next moment at which anything happens by itself.
    pub fn next_moment(&self) -> Option<u64> {
        let procs = self.procs.iter().map(|proc| proc.next);
        procs.chain(self.spawns.iter().map(|(at, ..)| *at)).chain(self.store.next_moment()).min()
    }

    /// Lets time pass until `until`, in order.
    pub fn run(&mut self, until: u64) {
        for _ in 0..MOMENTS_MAX {
            let Some(at) = self.next_moment().filter(|at| *at <= until) else { break };
            self.pass(at);
            if let Some(i) = self.spawns.iter().position(|(due, ..)| *due <= at) {
                let (_, id, spawn) = self.spawns.remove(i);
                let answer = self.execute(&id, &spawn);
                self.answers.push((id, answer));
                self.event = true;
            } else if self.store.next_moment() == Some(at) {
                self.write();
            } else if let Some(i) = self.procs.iter().position(|proc| proc.next <= at) {
                self.go_on(i);
            }
        }
        self.pass(until);
    }

    fn pass(&mut self, until: u64) {
        let span = until.saturating_sub(self.now);
        self.now += span;
        self.wall += span;
    }

    /// The machine sleeps: both clocks go on, and nothing else.
    pub fn suspend(&mut self, span: u64) {
        self.tell(|| format!("sleeps for {} s", span / SECOND));
        self.now += span;
        self.wall += span;
        self.procs.iter_mut().for_each(|proc| proc.next = proc.next.saturating_add(span));
        self.spawns.iter_mut().for_each(|(at, ..)| *at += span);
        self.store.queue.iter_mut().for_each(|(at, _)| *at += span);
        self.event = true;
    }

    /// Now and then, what else the machine does is more, or less; nobody is told.
    pub fn press(&mut self) {
        let rng = &mut self.pressing;
        if !rng.chance(60) {
            return;
        }
        self.figures = Figures {
            load: Some(rng.pick(&[0, 0, 250, 900])),
            memory_free: Some(rng.pick(&[1 << 40, 1 << 40, 1 << 28])),
            // There are kernels that do not say it.
            io: rng.chance(700).then(|| rng.pick(&[0, 0, 5000])),
            ..calm()
        };
        let figures = self.figures;
        self.tell(|| format!("{figures:?}"));
    }

    /// Somebody sets the clock.
    pub fn set_clock(&mut self, ahead: bool, by: u64) {
        self.tell(|| format!("the clock is set {} by {} s", if ahead { "ahead" } else { "back" }, by / SECOND));
        self.wall = if ahead { self.wall + by } else { self.wall - by };
        self.set_about += by;
        self.event = true;
    }

    /// The machine goes down and comes up again; the store has what was written.
    pub fn reboot(&mut self, down: u64) {
        self.tell(|| format!("is down for {} s", down / SECOND));
        for proc in std::mem::take(&mut self.procs) {
            if proc.phase != Phase::Ending || !self.is_recorded(&proc.id) {
                self.failed(&proc.id);
            }
        }
        self.spawns.clear();
        self.boots += 1;
        (self.boot_id, self.now) = (boot_id(self.boots), self.rng.between(1, 60) * SECOND);
        self.wall += down;
        self.event = true;
    }

    fn is_recorded(&self, id: &InstanceId) -> bool {
        self.records.get(id).is_some_and(|record| record.end != End::Open)
    }

    /// Writes the first request in the queue.
    fn write(&mut self) {
        let Some((_, write)) = self.store.queue.pop_front() else { return };
        let is_fine = self.is_calm || !self.rng.chance(70);
        // An answer may be lost although everything is on the disk.
        if is_fine || self.rng.chance(400) {
            self.apply(&write);
        }
        self.tell(|| format!("{} {}", if is_fine { "written:" } else { "not written:" }, write.id()));
        self.written.push((write, is_fine));
        self.event = true;
    }

    pub fn apply(&mut self, write: &Write) {
        let times = &self.times;
        let due_times = |object: &ObjectRef, cursor: &Cursor, after, until| {
            // Of another key nobody knows the due times any more; its cursor is moved by none but what was decided then.
            let known = times.get(object).filter(|times| cursor.key.starts_with(&*times.key));
            let ticks =
                |times: &Arc<Times>| times.schedule.ticks(after, until, cursor.since, &times.zone).collect::<Vec<_>>();
            known.map(ticks).unwrap_or_default()
        };
        let present = Present { due_times: &due_times };
        self.store.apply(write, &present, &mut self.truth);
    }

    /// Somebody asks for a run, and it is on the disk when they hear of it.
    pub fn asked(&mut self, object: &ObjectRef) {
        self.asked += 1;
        let cause: Cause = format!("run-{}-{:04x}", self.now / SECOND, self.asked).parse().expect("a cause");
        self.tell(|| format!("somebody asks for {object}/{cause}"));
        let uid = self.desired.objects[object].uid.clone();
        let run = Owed { origin: Origin::Person("ann".into()), due: self.at(), catches_up: false };
        let fire = Fire { tick: None, passed: Vec::new(), run, uid, cursor: None };
        let write = Write::Fire(InstanceId { object: object.clone(), cause }, fire, self.decided());
        self.apply(&write);
    }

    /// A shim is there: the lock, the record, the payload.
    pub fn execute(&mut self, id: &InstanceId, spawn: &Spawn) -> Option<&'static str> {
        if self.procs.iter().any(|proc| proc.id == *id) {
            return Some("the lock is busy");
        }
        let highest = self.records.get(id).map_or(0, |record| record.number);
        if highest >= spawn.attempt {
            return Some("that attempt was there before");
        }
        if !self.is_calm && self.rng.chance(30) {
            return Some("no space left on device");
        }
        if !self.executed.insert((id.clone(), spawn.attempt)) {
            self.truth.break_rule(Rule::AttemptTwice, || format!("{id} #{}", spawn.attempt));
        }
        self.truth.starts += 1;
        self.next_pid += 1;
        let shim = ProcId { boot: self.boot_id.clone(), pid: self.next_pid, started: self.now / (10 * MILLI) };
        let record = Attempt {
            number: spawn.attempt,
            uid: spawn.uid.clone(),
            revision: spawn.revision.clone(),
            shim: shim.clone(),
            payload: self.next_pid + 1,
            boot_id: self.boot_id.clone(),
            started: BootTime::from_nanos(self.now),
            started_wall: self.at(),
            streak: spawn.streak,
            end: End::Open,
        };
        self.records.insert(id.clone(), record);
        let nature = self.natures[kind::index(&id.object)].clone();
        let is_missing = self.rng.chance(20);
        if is_missing {
            self.tell(|| format!("{id} #{} cannot be executed", spawn.attempt));
            self.record_end(id, Exit::NotStarted("No such file".into()), false);
            return None;
        }
        let (lives, good) = match self.is_calm {
            true => (nature.lives.min(5 * SECOND), nature.good.max(900)),
            false => (nature.lives, nature.good),
        };
        let span = self.rng.between(lives / 8, lives);
        let proc = Proc {
            id: id.clone(),
            attempt: spawn.attempt,
            shim,
            revision: spawn.revision.clone(),
            since: self.now,
            phase: Phase::Running,
            next: self.now + span,
            exit: if self.rng.chance(good) { Exit::Code(0) } else { self.rng.pick(&[1, 2]).into_exit() },
            asked: false,
            policy: spawn.policy.clone(),
            deaf: nature.deaf,
            hung: !self.is_calm && self.rng.chance(40),
            mute: !self.is_calm && self.rng.chance(60),
            unreadable_until: 0,
        };
        self.tell(|| format!("{id} #{} runs", spawn.attempt));
        self.procs.push(proc);
        None
    }

    /// A process does what comes next.
    fn go_on(&mut self, i: usize) {
        let proc = &mut self.procs[i];
        match proc.phase {
            Phase::Starting | Phase::Running | Phase::Stopping | Phase::Frozen if !proc.mute => {
                proc.phase = Phase::Ending;
                proc.next = self.now + self.rng.between(0, 300) * MILLI;
                let (id, exit, asked) = (proc.id.clone(), proc.exit.clone(), proc.asked);
                self.tell(|| format!("{id} ends: {exit}{}", if asked { ", asked" } else { "" }));
                self.record_end(&id, exit, asked);
            }
            Phase::Ending => {
                self.procs.swap_remove(i);
                self.event = true;
            }
            Phase::Spawning | Phase::Starting | Phase::Running | Phase::Frozen | Phase::Stopping | Phase::Lingering => {
                self.vanish(i)
            }
        }
    }

    /// A process is gone, and nobody saw how.
    pub fn vanish(&mut self, i: usize) {
        let proc = self.procs.swap_remove(i);
        self.tell(|| format!("{} vanishes", proc.id));
        if proc.phase != Phase::Ending {
            self.failed(&proc.id);
        }
        self.event |= self.is_calm || self.rng.chance(800);
    }

    fn record_end(&mut self, id: &InstanceId, exit: Exit, asked: bool) {
        if !asked && exit != Exit::Code(0) {
            self.failed(id);
        }
        if !asked && exit == Exit::Code(0) {
            self.done.insert(id.clone());
        }
        let at = BootTime::from_nanos(self.now);
        if let Some(record) = self.records.get_mut(id)
            && record.end == End::Open
        {
            record.end = End::Ended { exit, at, asked };
        }
        self.event |= self.is_calm || self.rng.chance(900);
    }

    fn failed(&mut self, id: &InstanceId) {
        let known = self.failures.get(id).map_or(0, |(count, ..)| *count);
        self.failures.insert(id.clone(), (known + 1, self.boots, self.now));
    }

    /// Under the lock: an attempt that left no end is lost.
    pub fn record_lost(&mut self, id: &InstanceId, number: u32) {
        let at = BootTime::from_nanos(self.now);
        let is_there = self.procs.iter().any(|proc| proc.id == *id);
        if let Some(record) = self.records.get_mut(id)
            && record.number == number
            && record.end == End::Open
            && !is_there
        {
            record.end = End::Ended { exit: Exit::Lost, at, asked: false };
            if let Some((_, boots, when)) = self.failures.get_mut(id) {
                (*boots, *when) = (self.boots, self.now);
            }
        }
        self.event = true;
    }

    /// The shim is asked to stop its tree.
    pub fn stop(&mut self, i: usize, policy: &Policy) {
        let delay = self.rng.between(1, 300) * MILLI;
        let (now, proc) = (self.now, &mut self.procs[i]);
        proc.policy = policy.clone();
        if proc.hung || !matches!(proc.phase, Phase::Starting | Phase::Running | Phase::Frozen) {
            return;
        }
        let grace = policy.stop.grace.as_nanos() as u64;
        (proc.phase, proc.asked) = (Phase::Stopping, true);
        let end = if proc.deaf { now + grace } else { now + delay };
        if end < proc.next || proc.deaf {
            (proc.next, proc.exit) = (end, Exit::Signal(if proc.deaf { 9 } else { 15 }));
        }
    }

    /// A signal to the tree itself, past the shim.
    pub fn signal(&mut self, i: usize, signal: i32) {
        let delay = self.rng.between(1, 300) * MILLI;
        let (now, proc) = (self.now, &mut self.procs[i]);
        if signal == StopRule::KILL {
            self.vanish(i);
            self.event = true;
        } else if !proc.deaf {
            proc.next = proc.next.min(now + delay);
            proc.mute = true;
        }
    }

    pub fn has(&self, id: &InstanceId) -> bool {
        self.procs.iter().any(|proc| proc.id == *id) || self.spawns.iter().any(|(_, other, _)| other == id)
    }
}

/// An idle machine.
pub fn calm() -> Figures {
    Figures { load: Some(0), memory_free: Some(1 << 40), cpu: Some(0), memory: Some(0), io: Some(0) }
}

fn boot_id(number: u32) -> BootId {
    BootId::new(&format!("{number:08}-0000-4000-8000-000000000000"))
}

trait IntoExit {
    fn into_exit(self) -> Exit;
}

impl IntoExit for i32 {
    /// One code of failure, or a signal.
    fn into_exit(self) -> Exit {
        if self == 1 { Exit::Code(1) } else { Exit::Signal(11) }
    }
}
