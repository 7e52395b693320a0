//! The machine: processes under shims, the records of their attempts, two clocks, boots, and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value as Json, json};
use setpoint::engine::backoff::{Attempt, End, Exit};
use setpoint::engine::observed::Phase;
use setpoint::engine::plan::{Policy, Spawn};
use setpoint::engine::run::pressure::Figures;
use setpoint::engine::{BootId, BootTime, Desired, InstanceId, Now, ProcId, Timestamp};

use super::kind::{self, Nature, People};
use super::rng::Rng;
use super::store::{Reply, Row, Store, Write};

pub const MILLI: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MILLI;
pub const HOUR: u64 = 3600 * SECOND;
/// Moments that one call of [`World::run`] goes through at most.
const MOMENTS_MAX: usize = 20_000;

/// What the world itself will not stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One attempt was executed twice.
    AttemptTwice,
    /// Two processes of one message.
    Double,
    /// Started, and the queue has not given it out.
    NotClaimed,
    /// Began while everything was frozen, or its mailbox was paused.
    Held,
    /// Claimed, or begun, while the machine was pressed too hard.
    Pressed,
    /// More of a mailbox, or of all, are at work than may be.
    Crowd,
    /// Two of a group at once, or out of turn.
    Group,
    /// Handed over when it was too old.
    Expired,
    /// Handed over although it ended well before, or was wrong itself.
    Again,
    /// Tried too often.
    Retries,
    /// Tried again too soon.
    RetryEarly,
    /// Work for a message that no rule, or another rule, is for.
    Unasked,
    /// Ended in a way that it should not have.
    FalseEnd,
    /// A dead letter without a reason.
    Unsaid,
    /// Attempts were counted wrong.
    Miscount,
    /// The calm did not come to rest.
    Restless,
    /// At rest, and a message is not over.
    Stuck,
    /// It wakes far too often.
    Storm,
}

/// A rule that a life broke.
#[derive(Debug)]
pub struct Breach {
    pub rule: Rule,
    pub what: String,
}

/// A shim with its payload.
#[derive(Clone, Debug)]
pub struct Proc {
    pub id: InstanceId,
    pub attempt: u32,
    pub shim: ProcId,
    pub since: u64,
    pub phase: Phase,
    /// When it goes on by itself.
    pub next: u64,
    pub exit: Exit,
    pub asked: bool,
    pub policy: Policy,
    /// Ignores the stop signal.
    pub deaf: bool,
    /// Nobody will write how it ended.
    pub mute: bool,
    pub unreadable_until: u64,
}

/// What was done for a message, as nobody but the world knows.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub starts: u32,
    /// Ended with everything else, which is not its fault.
    pub interrupted: u32,
    /// The last end that was its own failure: the boot, when, and how far the clock had been set about.
    pub failed: Option<(u32, u64, u64)>,
    pub failures: u32,
    pub is_done: bool,
    pub is_poison: bool,
    /// The attempt that began its present claim.
    pub base: u32,
    /// It, or its mailbox, was asked to end by somebody.
    pub is_touched: bool,
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
    /// Answers of the store: none where nobody knows what it did.
    pub written: Vec<(Write, Option<Reply>)>,
    pub store: Store,
    pub desired: Desired,
    pub timeouts: [Option<Duration>; kind::BOXES],
    pub executed: BTreeSet<(InstanceId, u32)>,
    pub told: BTreeMap<InstanceId, Told>,
    pub set_about: u64,
    /// How hard the machine is pressed, and the dice for that.
    pub figures: Figures,
    pressing: Rng,
    pub is_calm: bool,
    pub event: bool,
    pub breach: Option<Breach>,
    pub starts: u64,
    pub is_told: bool,
}

/// An idle machine.
pub fn calm() -> Figures {
    Figures { load: Some(0), memory_free: Some(1 << 40), cpu: Some(0), memory: Some(0), io: Some(0) }
}

fn boot_id(number: u32) -> BootId {
    BootId::new(&format!("{number:08}-0000-4000-8000-000000000000"))
}

/// The instance of the message that an instance belongs to.
pub fn whole(id: &InstanceId) -> InstanceId {
    InstanceId { object: id.object.clone(), cause: id.cause.parent().unwrap_or_else(|| id.cause.clone()) }
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let mut timeout = || rng.chance(500).then(|| Duration::from_secs(rng.pick(&[5, 60])));
        let timeouts = [timeout(), timeout()];
        World {
            now: rng.between(1, 600) * SECOND,
            wall: (1_780_000_000 + rng.below(1 << 26)) * SECOND + rng.below(SECOND),
            boots: 1,
            boot_id: boot_id(1),
            next_pid: 2,
            procs: Vec::new(),
            records: BTreeMap::new(),
            spawns: Vec::new(),
            answers: Vec::new(),
            written: Vec::new(),
            store: Store { is_lax: rng.chance(250), ..Store::default() },
            desired: People::default().read(),
            timeouts,
            executed: BTreeSet::new(),
            told: BTreeMap::new(),
            set_about: 0,
            figures: calm(),
            pressing: Rng::new(!seed),
            is_calm: false,
            event: true,
            breach: None,
            starts: 0,
            is_told: false,
            rng,
        }
    }

    /// The first breach counts.
    pub fn break_rule(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        if self.breach.is_none() {
            self.breach = Some(Breach { rule, what: what() });
        }
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
            if proc.phase != Phase::Ending {
                self.failed(&proc.id);
            }
        }
        self.spawns.clear();
        self.boots += 1;
        (self.boot_id, self.now) = (boot_id(self.boots), self.rng.between(1, 60) * SECOND);
        self.wall += down;
        self.event = true;
    }

    /// Writes the first request in the queue.
    fn write(&mut self) {
        let Some((_, write)) = self.store.queue.pop_front() else { return };
        let is_fine = self.is_calm || !self.rng.chance(70);
        // An answer may be lost although everything is on the disk.
        let is_applied = is_fine || self.rng.chance(400);
        let reply = is_applied.then(|| self.apply(&write));
        self.tell(|| format!("{} {write:?}", if is_fine { "written:" } else { "not known:" }));
        self.written.push((write, reply.filter(|_| is_fine)));
        self.event = true;
    }

    /// What a classifier answers.
    fn answer(&mut self) -> impl Fn(&Row) -> Json + use<> {
        let is_odd = !self.is_calm && self.rng.chance(100);
        move |row| json!(if is_odd { "no such rule" } else { row.nature.rule() })
    }

    pub fn apply(&mut self, write: &Write) -> Reply {
        let answer = self.answer();
        let before = match write {
            Write::Finish(id, ..) => self.store.find(id).map(|row| row.ends),
            Write::Enqueue(_)
            | Write::Claim { .. }
            | Write::Return(..)
            | Write::Cancel(_)
            | Write::Withdraw(_)
            | Write::Revive(..) => None,
        };
        let reply = self.store.apply(write, &answer);
        match (write, &reply) {
            (Write::Claim { .. }, Reply::Claimed(rows, _)) => {
                for row in rows {
                    let id = InstanceId { object: row.object.clone(), cause: row.cause() };
                    self.told.entry(id).or_default().base = row.base;
                }
            }
            (Write::Finish(id, finish, _), Reply::Done) if finish.step_of.is_none() => {
                self.check_end(id, finish, before)
            }
            (Write::Cancel(id), Reply::Done) => self.told.entry(id.clone()).or_default().is_touched = true,
            (Write::Revive(id, _), Reply::Done) => {
                let told = self.told.entry(id.clone()).or_default();
                *told = Told { base: told.base, is_poison: false, ..Told::default() };
            }
            (_, _) => {}
        }
        reply
    }

    /// A shim is there: the lock, the record, the payload.
    pub fn execute(&mut self, id: &InstanceId, spawn: &Spawn) -> Option<&'static str> {
        if self.procs.iter().any(|proc| proc.id == *id) {
            return Some("the lock is busy");
        }
        if self.records.get(id).is_some_and(|record| record.number >= spawn.attempt) {
            return Some("that attempt was there before");
        }
        if !self.is_calm && self.rng.chance(30) {
            return Some("no space left on device");
        }
        if !self.executed.insert((id.clone(), spawn.attempt)) {
            self.break_rule(Rule::AttemptTwice, || format!("{id} #{}", spawn.attempt));
        }
        self.starts += 1;
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
        self.told.entry(whole(id)).or_default().starts += u32::from(id.cause.parent().is_none());
        if !self.is_calm && self.rng.chance(20) {
            self.record_end(id, Exit::NotStarted("No such file".into()), false);
            return None;
        }
        let lives = self.rng.pick(&[200 * MILLI, 5 * SECOND, 40 * SECOND]);
        let proc = Proc {
            id: id.clone(),
            attempt: spawn.attempt,
            shim,
            since: self.now,
            phase: Phase::Running,
            next: self.now + self.rng.between(lives / 8, lives),
            exit: self.exit_of(id),
            asked: false,
            policy: spawn.policy.clone(),
            deaf: self.rng.chance(200),
            mute: !self.is_calm && self.rng.chance(60),
            unreadable_until: 0,
        };
        self.tell(|| format!("{id} #{} runs", spawn.attempt));
        self.procs.push(proc);
        None
    }

    fn exit_of(&mut self, id: &InstanceId) -> Exit {
        let nature = self.store.find(id).map_or(Nature::Good, |row| row.nature);
        let flaky = Exit::Code(self.rng.pick(&[0, 0, 1, 75]));
        match nature {
            _ if id.cause.parent().is_some() => flaky,
            Nature::Good | Nature::Dropped | Nature::Answered | Nature::Unknown => Exit::Code(0),
            Nature::Flaky => {
                if self.rng.chance(100) {
                    Exit::Signal(11)
                } else {
                    flaky
                }
            }
            Nature::Poison => Exit::Code(65),
            Nature::Hopeless => Exit::Code(1),
        }
    }

    /// A process does what comes next.
    fn go_on(&mut self, i: usize) {
        let proc = &mut self.procs[i];
        match proc.phase {
            Phase::Ending => {
                self.procs.swap_remove(i);
                self.event = true;
            }
            Phase::Starting | Phase::Running | Phase::Stopping | Phase::Frozen if !proc.mute => {
                proc.phase = Phase::Ending;
                proc.next = self.now + self.rng.between(0, 300) * MILLI;
                let (id, exit, asked) = (proc.id.clone(), proc.exit.clone(), proc.asked);
                self.tell(|| format!("{id} ends: {exit}{}", if asked { ", asked" } else { "" }));
                self.record_end(&id, exit, asked);
            }
            Phase::Spawning | Phase::Starting | Phase::Running | Phase::Frozen | Phase::Stopping | Phase::Lingering => {
                self.vanish(i);
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
        let is_whole = id.cause.parent().is_none();
        let timeout = self.timeouts[kind::index(&id.object)];
        let lived = self.records.get(id).map_or(0, |record| self.now - record.started.nanos());
        let is_late = timeout.is_some_and(|timeout| u128::from(lived) >= timeout.as_nanos());
        let told = self.told.entry(whole(id)).or_default();
        match (&exit, asked) {
            (_, true) if !is_late => told.interrupted += u32::from(is_whole),
            (Exit::Code(0), false) if is_whole => told.is_done = true,
            (Exit::Code(0), false) => {}
            (exit, _) => {
                told.is_poison |= is_whole && *exit == Exit::Code(65) && !asked;
                self.failed(id);
            }
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
        if id.cause.parent().is_some() {
            return;
        }
        let (boots, now, set_about) = (self.boots, self.now, self.set_about);
        let told = self.told.entry(whole(id)).or_default();
        told.failed = Some((boots, now, set_about));
        told.failures += 1;
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
        }
        self.event = true;
    }

    /// The shim is asked to stop its tree.
    pub fn stop(&mut self, i: usize, policy: &Policy) {
        let delay = self.rng.between(1, 300) * MILLI;
        let (now, proc) = (self.now, &mut self.procs[i]);
        proc.policy = policy.clone();
        if !matches!(proc.phase, Phase::Starting | Phase::Running | Phase::Frozen) {
            return;
        }
        let grace = policy.stop.grace.as_nanos() as u64;
        (proc.phase, proc.asked) = (Phase::Stopping, true);
        let end = if proc.deaf { now + grace } else { now + delay };
        if end < proc.next || proc.deaf {
            (proc.next, proc.exit) = (end, Exit::Signal(if proc.deaf { 9 } else { 15 }));
        }
    }

    pub fn has(&self, id: &InstanceId) -> bool {
        self.procs.iter().any(|proc| proc.id == *id) || self.spawns.iter().any(|(_, other, _)| other == id)
    }

    /// The messages something is at work for, or on its way.
    pub fn at_work(&self) -> BTreeSet<InstanceId> {
        let procs = self.procs.iter().map(|proc| whole(&proc.id));
        procs.chain(self.spawns.iter().map(|(_, id, _)| whole(id))).collect()
    }

    /// What is kept of an instance that is over.
    pub fn sweep(&mut self, id: &InstanceId) {
        let procs: BTreeSet<InstanceId> = self.procs.iter().map(|proc| proc.id.clone()).collect();
        self.records.retain(|other, _| whole(other) != *id || procs.contains(other));
    }
}

/// How late something may be and still count as in time.
pub fn half(delay: Duration) -> u64 {
    u64::try_from((delay / 2).as_nanos()).unwrap_or(u64::MAX)
}
