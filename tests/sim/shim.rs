//! The shim of the fake machine: lock, record, execute, wait, end the tree, write the exit, go.
//!
//! Each step takes a moment, so that anybody may die between any two.

use setpoint::engine::backoff::{Attempt, End, Exit, Streak};
use setpoint::engine::plan::{Policy, StopRule};
use setpoint::engine::{BootTime, Revision, Timestamp};
use std::sync::Arc;

use super::disk::{Birth, Disk};
use super::names;
use super::truth::{Death, Last, Rule};
use super::world::{HostMutant, MILLI, PROCS_MAX, Proc, Role, World};

/// How far a shim has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Locking,
    Claiming,
    Recording,
    Executing,
    Ready,
    /// Ending its tree; the first KILL comes at this moment.
    Stopping {
        kill_at: u64,
    },
    /// The exit is written.
    Ending,
}

/// What a shim knows.
#[derive(Clone, Debug)]
pub struct Shim {
    pub stage: Stage,
    pub uid: Arc<str>,
    pub revision: Revision,
    pub streak: Streak,
    pub policy: Policy,
    /// Whose question the start answers; 0 once it is answered.
    pub caller: u32,
    /// A stop was asked for.
    pub asked: bool,
    /// The stop was asked for because it is not healthy: its end is a crash.
    pub failing: bool,
    /// How the main process ended, when, and whether a stop had been asked for by then.
    pub exit: Option<(Exit, u64, bool)>,
    /// Killed, and only waiting for the sleep it is in to end.
    pub is_doomed: bool,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Started,
    /// The lock was held: look again.
    Busy,
    /// An equal or higher attempt exists: look again.
    Outdated,
    /// No record could be written.
    Refused(&'static str),
    /// Recorded, and not executed.
    NotStarted,
    /// The pipe was closed without a word.
    Eof,
}

/// An outcome on its way to the controller that asked.
#[derive(Clone, Debug)]
pub struct Answer {
    pub instance: usize,
    pub attempt: u32,
    pub outcome: Outcome,
}

impl World {
    fn shim(&mut self, i: usize) -> &mut Shim {
        match &mut self.procs[i].role {
            Role::Shim(shim) => shim,
            Role::Payload | Role::Child | Role::Stranger => panic!("process {i} is no shim"),
        }
    }

    fn answer(&mut self, i: usize, outcome: Outcome) {
        let (instance, attempt) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        let caller = std::mem::take(&mut self.shim(i).caller);
        self.tell(|| format!("{} attempt {attempt}: {outcome:?}", names::id(instance)));
        if caller != 0 {
            self.answers.push((caller, Answer { instance, attempt, outcome }));
        }
    }

    fn shim_next(&mut self, i: usize, stage: Stage, at: u64) {
        self.shim(i).stage = stage;
        self.procs[i].next = Some(at);
    }

    fn soon(&mut self) -> u64 {
        self.now + self.rng.between(1, 15) * MILLI
    }

    /// One step of a shim.
    pub fn shim_acts(&mut self, i: usize) {
        let soon = self.soon();
        self.procs[i].next = None;
        if self.shim(i).is_doomed {
            return self.die(i, Exit::Signal(9));
        }
        match self.shim(i).stage {
            Stage::Locking => self.lock(i, soon),
            Stage::Claiming => self.claim(i, soon),
            Stage::Recording => self.record_birth(i, soon),
            Stage::Executing => self.execute(i, soon),
            Stage::Ready => {
                if self.shim(i).asked || self.shim(i).exit.is_some() {
                    self.begin_stop(i);
                }
            }
            Stage::Stopping { kill_at } => self.end_tree(i, kill_at),
            Stage::Ending => self.die(i, Exit::Code(0)),
        }
    }

    fn lock(&mut self, i: usize, soon: u64) {
        let instance = self.procs[i].of.unwrap_or_default();
        if self.is_locked(instance) && self.mutant != HostMutant::NoLock {
            self.answer(i, Outcome::Busy);
            self.die(i, Exit::Code(1));
            return;
        }
        if self.procs.iter().any(|p| p.is_shim() && p.lock && p.of == Some(instance)) {
            self.truth.break_rule(Rule::TwoShims, || names::id(instance).to_string());
        }
        self.procs[i].lock = true;
        self.shim_next(i, Stage::Claiming, soon);
    }

    fn claim(&mut self, i: usize, soon: u64) {
        let (instance, attempt) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        let folder = &self.folders[instance];
        let is_there = folder.newest().is_some_and(|newest| newest.attempt.number >= attempt);
        let is_outdated = is_there || folder.highest() > attempt;
        let refused = match self.disk {
            Disk::Fine => None,
            Disk::Full => Some("no space left on the disk"),
            Disk::ReadOnly => Some("the home is read-only"),
        };
        if is_outdated && self.mutant != HostMutant::NotExclusive {
            self.answer(i, Outcome::Outdated);
        } else if let Some(why) = refused {
            self.answer(i, Outcome::Refused(why));
        } else {
            self.folders[instance].claim(attempt);
            return self.shim_next(i, Stage::Recording, soon);
        }
        self.die(i, Exit::Code(1));
    }

    fn record_birth(&mut self, i: usize, soon: u64) {
        let (instance, number) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        let id = self.id_of(&self.procs[i]);
        let (boot_id, now, wall, boots) = (self.boot_id.clone(), self.now, self.wall, self.boots);
        let shim = self.shim(i);
        let attempt = Attempt {
            number,
            uid: shim.uid.clone(),
            revision: shim.revision.clone(),
            shim: id,
            payload: 0,
            boot_id,
            started: BootTime::from_nanos(now),
            started_wall: Timestamp::from_nanos(wall),
            streak: shim.streak,
            end: End::Open,
        };
        let (uid, revision) = (shim.uid.clone(), names::revision_number(&shim.revision));
        let last = Last { number, uid, revision, boots, started: now, n: 0, death: Death::Unwritten, is_ok: false };
        let rule = self.up_of(instance).map(|up| up.backoff);
        self.truth.born(instance, last, &self.desired, rule);
        if let Some(record) = self.folders[instance].record(number) {
            (record.attempt, record.birth) = (attempt, Birth::Written);
        }
        let policy = self.shim(i).policy.clone();
        self.write_policy(instance, policy);
        self.shim_next(i, Stage::Executing, soon);
    }

    fn execute(&mut self, i: usize, soon: u64) {
        let (instance, attempt) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        let revision = names::revision_number(&self.shim(i).revision);
        let nature = self.nature(revision);
        if self.shim(i).asked || nature.missing || self.procs.len() >= PROCS_MAX {
            let exit = Exit::NotStarted("no such file".into());
            let is_asked = self.shim(i).asked;
            self.shim(i).exit = Some((exit, self.now, is_asked));
            self.answer(i, Outcome::NotStarted);
            return self.shim_next(i, Stage::Stopping { kill_at: soon }, soon);
        }
        let rival = |p: &&Proc| p.of == Some(instance) && p.attempt != attempt && !p.is_shim();
        if let Some(rival) = self.procs.iter().find(rival) {
            let what =
                format!("{} attempt {attempt} beside {} of pid {}", names::id(instance), rival.attempt, rival.pid);
            self.truth.break_rule(Rule::Double, || what);
        }
        let main = self.fork(Role::Payload, Some(instance), attempt);
        let end = nature.life.map(|life| self.now + 1 + self.rng.below(life.as_nanos() as u64));
        let proc = &mut self.procs[main];
        (proc.lock, proc.deaf, proc.next, proc.fate) = (true, nature.deaf, end, nature.exit.clone());
        let pid = proc.pid;
        for _ in 0..nature.children {
            let child = self.fork(Role::Child, Some(instance), attempt);
            let is_deaf = nature.deaf || self.rng.chance(300);
            let proc = &mut self.procs[child];
            (proc.lock, proc.marker, proc.deaf) = (!nature.closes_lock, !nature.clears_marker, is_deaf);
        }
        if let Some(record) = self.folders[instance].record(attempt) {
            record.attempt.payload = pid;
        }
        self.shim_next(i, Stage::Ready, soon);
        self.procs[i].next = None;
        self.answer(i, Outcome::Started);
    }

    fn tree(&self, i: usize) -> Vec<usize> {
        let (instance, attempt) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        let is_its = |p: &Proc| !p.is_shim() && p.is_of(instance, attempt);
        (0..self.procs.len()).filter(|j| is_its(&self.procs[*j])).collect()
    }

    /// Reads the policy once more, and asks everything to end.
    fn begin_stop(&mut self, i: usize) {
        let instance = self.procs[i].of.unwrap_or_default();
        if let Some(policy) = self.folders[instance].policy.clone() {
            self.shim(i).policy = policy;
        }
        let stop = self.shim(i).policy.stop;
        let kill_at = self.now + stop.grace.as_nanos() as u64;
        self.shim_next(i, Stage::Stopping { kill_at }, kill_at);
        self.signal_tree(i, stop.signal);
        let soon = self.soon();
        if let Some(i) = self.procs.iter().position(|p| p.is_shim() && p.of == Some(instance) && p.lock) {
            self.procs[i].next = Some(soon);
        }
    }

    /// By pid, since every death moves the others about.
    fn signal_tree(&mut self, i: usize, signal: i32) {
        let pids: Vec<u32> = self.tree(i).into_iter().map(|j| self.procs[j].pid).collect();
        for pid in pids {
            if let Some(j) = self.procs.iter().position(|p| p.pid == pid) {
                self.deliver(j, signal);
            }
        }
    }

    fn end_tree(&mut self, i: usize, kill_at: u64) {
        let soon = self.soon();
        let is_gone = self.tree(i).is_empty();
        let is_early = self.mutant == HostMutant::ExitBeforeTree && self.shim(i).exit.is_some();
        if is_gone || is_early {
            return self.write_end(i, is_gone, soon);
        }
        let pid = self.procs[i].pid;
        if self.now >= kill_at {
            self.signal_tree(i, StopRule::KILL);
        }
        let again = if self.now >= kill_at { soon + 200 * MILLI } else { kill_at };
        if let Some(i) = self.procs.iter().position(|p| p.pid == pid) {
            let sooner = self.procs[i].next.map_or(again, |at| at.min(again));
            self.procs[i].next = Some(sooner);
        }
    }

    fn write_end(&mut self, i: usize, is_gone: bool, soon: u64) {
        let (instance, attempt) = (self.procs[i].of.unwrap_or_default(), self.procs[i].attempt);
        if !is_gone {
            self.truth.break_rule(Rule::Proof, || format!("{} attempt {attempt}", names::id(instance)));
        }
        let (exit, at, is_asked) = self.shim(i).exit.clone().unwrap_or((Exit::Lost, self.now, true));
        let is_failing = is_asked && self.shim(i).failing;
        let exit = if is_failing { Exit::Unhealthy("probe".into()) } else { exit };
        let (is_asked, is_ok) = (is_asked && !is_failing, exit == Exit::Code(0));
        let is_written = self.disk != Disk::ReadOnly;
        if let (true, Some(record)) = (is_written, self.folders[instance].record(attempt)) {
            record.attempt.end = End::Ended { exit, at: BootTime::from_nanos(at), asked: is_asked };
            let is_believed = record.birth == Birth::Written;
            if let (true, Some(last)) = (is_believed, &mut self.truth.last[instance])
                && last.number == attempt
            {
                last.death = if is_asked { Death::Asked } else { Death::Written { at } };
                last.is_ok = is_ok && !is_asked;
            }
        }
        self.shim_next(i, Stage::Ending, soon);
    }

    /// A shim is gone, in whatever way: its question is answered, and its log pipe has no reader.
    pub fn shim_vanished(&mut self, instance: usize, attempt: u32, caller: u32, had_lock: bool) {
        if caller != 0 {
            let answer = Answer { instance, attempt, outcome: Outcome::Eof };
            self.answers.push((caller, answer));
        }
        if !had_lock {
            return;
        }
        let at = self.soon();
        let has_pipe_death = self.rng.chance(300);
        let main = self.procs.iter_mut().find(|p| matches!(p.role, Role::Payload) && p.is_of(instance, attempt));
        if let (Some(main), true) = (main, has_pipe_death) {
            main.fate = Exit::Signal(13);
            main.next = Some(main.next.map_or(at, |sooner| sooner.min(at)));
        }
    }
}
