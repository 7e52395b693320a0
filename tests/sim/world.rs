//! The machine: processes with pids that come round again, two clocks, boots, and a disk that may be full.

use setpoint::engine::backoff::Exit;
use setpoint::engine::plan::Spawn;
use setpoint::engine::{BootId, BootTime, Desired, Now, ProcId, Revision, Timestamp};

use super::disk::{Disk, Folder};
use super::kind::Nature;
use super::names::{self, INSTANCES, OBJECTS, STRAY};
use super::others::{Met, Rules, Shelf, Then};
use super::people::People;
use super::probes::Prober;
use super::rng::Rng;
use super::shim::{Answer, Shim};
use super::truth::{Rule, Truth};

pub const MILLI: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MILLI;
const TICK: u64 = 10 * MILLI;
/// Pids run from 2 to here and then come round.
const PID_MAX: u32 = 110;
/// No life has more processes than this.
pub const PROCS_MAX: usize = 80;
/// Moments one call of [`World::run`] goes through at most.
const MOMENTS_MAX: usize = 5000;

/// A step of the protocol left out, in the shim or in the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMutant {
    None,
    /// A shim goes on while the lock is busy.
    NoLock,
    /// A record is written over one of the same number.
    NotExclusive,
    /// A signal goes to a number, whoever has it now.
    NoIdentity,
    /// A busy lock is no reason to look again.
    ForgetsBusy,
    /// The exit is written when the main process is gone.
    ExitBeforeTree,
    /// An attempt is declared lost without the lock.
    LostWithoutLock,
    /// An executor does not look again right before a start.
    NoSecondLook,
}

impl HostMutant {
    /// Each mutant with the check that is there for it.
    pub const ALL: &[(HostMutant, Rule)] = &[
        (HostMutant::NoLock, Rule::TwoShims),
        (HostMutant::NotExclusive, Rule::Numbers),
        (HostMutant::NoIdentity, Rule::Stranger),
        (HostMutant::ForgetsBusy, Rule::LookAgain),
        (HostMutant::ExitBeforeTree, Rule::Proof),
        (HostMutant::LostWithoutLock, Rule::FalseLost),
        (HostMutant::NoSecondLook, Rule::BesideTwin),
    ];
}

/// What a process is.
#[derive(Debug)]
pub enum Role {
    Shim(Box<Shim>),
    /// The main process of an attempt.
    Payload,
    /// A descendant of one.
    Child,
    /// Nobody's.
    Stranger,
}

impl Role {
    pub fn name(&self) -> &'static str {
        match self {
            Role::Shim(_) => "shim",
            Role::Payload => "payload",
            Role::Child => "child",
            Role::Stranger => "stranger",
        }
    }
}

/// One process.
#[derive(Debug)]
pub struct Proc {
    pub pid: u32,
    /// Start time in ticks since boot.
    pub started: u64,
    pub role: Role,
    /// Which instance it truly belongs to; nobody but the host reads this.
    pub of: Option<usize>,
    pub attempt: u32,
    /// Somebody else started it, and it could be this instance.
    pub twin: Option<usize>,
    pub frozen: bool,
    /// Hangs for good; only KILL ends it.
    pub hung: bool,
    /// Cannot be read, nor die, before then.
    pub stuck_until: u64,
    pub unreadable: bool,
    /// It has the marker in its environment.
    pub marker: bool,
    /// It has the lock open.
    pub lock: bool,
    /// Ignores the stop signal.
    pub deaf: bool,
    /// When it does what it does next; `None` waits to be told.
    pub next: Option<u64>,
    /// How it ends at `next`, for all but shims.
    pub fate: Exit,
}

impl Proc {
    pub fn is_shim(&self) -> bool {
        matches!(self.role, Role::Shim(_))
    }
    pub fn is_of(&self, instance: usize, attempt: u32) -> bool {
        self.of == Some(instance) && self.attempt == attempt
    }
}

/// The machine and everything on it.
pub struct World {
    pub rng: Rng,
    pub now: u64,
    pub wall: u64,
    pub boots: u32,
    pub boot_id: BootId,
    pub procs: Vec<Proc>,
    next_pid: u32,
    freed_pid: u32,
    last_started: Vec<u64>,
    pub folders: Vec<Folder>,
    pub disk: Disk,
    /// A start that another executor is about to ask for: generation, instance, what, and when it was decided.
    pub rival: Option<(u64, usize, Spawn, Then)>,
    /// Counts records that are gone for good.
    pub records_lost: u32,
    pub natures: Vec<Nature>,
    pub desired: Desired,
    /// What that asks of each object.
    pub rules: [Option<Rules>; OBJECTS],
    /// Which process of somebody else counts as which instance, and what was wanted when it was first seen.
    pub adopted: [Option<(ProcId, Revision)>; INSTANCES],
    pub shelf: Shelf,
    pub prober: Prober,
    /// How far each object was at the last look.
    pub met: Met,
    /// No faults any more.
    pub is_calm: bool,
    /// Answers on their way to the controller that asked.
    pub answers: Vec<(u32, Answer)>,
    /// Something has happened that a controller would be woken by.
    pub event: bool,
    pub truth: Truth,
    pub mutant: HostMutant,
    /// True for the replay of one seed: says what happens.
    pub is_told: bool,
}

impl World {
    pub fn new(seed: u64, mutant: HostMutant, people: &People) -> World {
        let mut rng = Rng::new(seed);
        let natures = (0..8).map(|_| Nature::random(&mut rng)).collect();
        World {
            now: rng.between(0, 600) * SECOND,
            wall: 1_700_000_000 * SECOND + rng.below(1000) * SECOND,
            boots: 1,
            boot_id: BootId::new("boot-1"),
            procs: Vec::with_capacity(PROCS_MAX),
            next_pid: 2,
            freed_pid: 0,
            last_started: vec![0; PID_MAX as usize + 1],
            folders: vec![Folder::default(); INSTANCES],
            disk: Disk::Fine,
            rival: None,
            records_lost: 0,
            natures,
            desired: people.read(),
            rules: people.rules(),
            adopted: Default::default(),
            shelf: Shelf::default(),
            prober: Prober::default(),
            met: Met::default(),
            is_calm: false,
            answers: Vec::new(),
            event: true,
            truth: Truth::default(),
            mutant,
            is_told: false,
            rng,
        }
    }

    /// The desired state is what people have written by now.
    pub fn obey(&mut self, people: &People) {
        (self.desired, self.rules) = (people.read(), people.rules());
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{:>12.3} {}", self.now as f64 / SECOND as f64, what());
        }
    }

    pub fn present(&self) -> Now {
        Now {
            wall: Timestamp::from_nanos(self.wall),
            boot: BootTime::from_nanos(self.now),
            boot_id: self.boot_id.clone(),
        }
    }

    pub fn nature(&self, revision: usize) -> Nature {
        self.natures[revision % self.natures.len()].clone()
    }

    pub fn id_of(&self, proc: &Proc) -> ProcId {
        ProcId { boot: self.boot_id.clone(), pid: proc.pid, started: proc.started }
    }

    /// The index of this very process.
    pub fn find(&self, id: &ProcId) -> Option<usize> {
        let is_it = |p: &Proc| p.pid == id.pid && (self.mutant == HostMutant::NoIdentity || p.started == id.started);
        if id.boot != self.boot_id && self.mutant != HostMutant::NoIdentity {
            return None;
        }
        self.procs.iter().position(is_it)
    }

    /// Starts a process, with a number that is free and never the identity of another.
    pub fn fork(&mut self, role: Role, of: Option<usize>, attempt: u32) -> usize {
        let pid = self.free_pid();
        let last = &mut self.last_started[pid as usize];
        let started = (self.now / TICK).max(*last + 1);
        *last = started;
        self.procs.push(Proc {
            pid,
            started,
            role,
            of,
            attempt,
            twin: None,
            frozen: false,
            hung: false,
            stuck_until: 0,
            unreadable: false,
            marker: of.is_some(),
            lock: false,
            deaf: false,
            next: None,
            fate: Exit::Code(0),
        });
        self.procs.len() - 1
    }

    /// The next number in turn, or the one that was freed last: a world of few numbers, seen late.
    fn free_pid(&mut self) -> u32 {
        let is_free = |pid: u32, procs: &[Proc]| !procs.iter().any(|p| p.pid == pid);
        if self.rng.chance(200) && self.freed_pid != 0 && is_free(self.freed_pid, &self.procs) {
            return self.freed_pid;
        }
        while !is_free(self.next_pid, &self.procs) {
            self.next_pid = if self.next_pid >= PID_MAX { 2 } else { self.next_pid + 1 };
        }
        let pid = self.next_pid;
        self.next_pid = if pid >= PID_MAX { 2 } else { pid + 1 };
        pid
    }

    /// After a boot, pids and start times begin anew.
    pub fn forget_starts(&mut self) {
        self.last_started.fill(0);
    }

    /// The next moment at which anything happens by itself.
    pub fn next_moment(&self) -> Option<u64> {
        let procs = self.procs.iter().filter(|p| !p.frozen && !p.hung).filter_map(|p| p.next).min();
        procs.into_iter().chain(self.prober.next_moment()).min()
    }

    /// Lets time pass until `until`, in order.
    pub fn run(&mut self, until: u64) {
        for _ in 0..MOMENTS_MAX {
            let mut first = None;
            for (i, p) in self.procs.iter().enumerate() {
                if let (Some(at), false) = (p.next, p.frozen || p.hung)
                    && at <= until
                    && first.is_none_or(|(_, sooner)| at < sooner)
                {
                    first = Some((i, at));
                }
            }
            let probe = self.prober.next_moment().filter(|at| *at <= until);
            if let Some(probe) = probe.filter(|probe| first.is_none_or(|(_, at)| *probe < at)) {
                self.pass(probe);
                self.probe(probe);
                continue;
            }
            let Some((i, at)) = first else { break };
            self.pass(at);
            match self.procs[i].role {
                Role::Shim(_) => self.shim_acts(i),
                Role::Payload | Role::Child | Role::Stranger => {
                    let fate = self.procs[i].fate.clone();
                    self.die(i, fate);
                }
            }
        }
        self.pass(until);
    }

    fn pass(&mut self, until: u64) {
        let span = until.saturating_sub(self.now);
        self.now += span;
        self.wall += span;
    }

    /// A process is gone; its parent is told.
    pub fn die(&mut self, i: usize, exit: Exit) {
        let dead = self.procs.swap_remove(i);
        self.freed_pid = dead.pid;
        let Some(instance) = dead.of else {
            // Whoever counts as an instance is watched.
            self.event |= dead.twin.is_some() && (self.is_calm || self.rng.chance(800));
            return;
        };
        // A controller holds pidfds of shims that are up, and of what a dead shim left.
        self.event |= match &dead.role {
            Role::Shim(shim) => shim.caller == 0 && dead.lock,
            Role::Payload | Role::Child | Role::Stranger => !self.procs.iter().any(|p| p.is_shim() && p.of == dead.of),
        };
        self.tell(|| {
            format!(
                "{} attempt {} {} pid {} ends: {exit}",
                names::id(instance),
                dead.attempt,
                dead.role.name(),
                dead.pid
            )
        });
        match dead.role {
            Role::Shim(shim) => self.shim_vanished(instance, dead.attempt, shim.caller, dead.lock),
            Role::Payload | Role::Child | Role::Stranger => {
                let (now, is_main) = (self.now, matches!(dead.role, Role::Payload));
                let delay = self.rng.between(0, 3) * MILLI;
                let parent = self.procs.iter_mut().find(|p| p.is_shim() && p.lock && p.is_of(instance, dead.attempt));
                if let Some(Proc { role: Role::Shim(shim), next, .. }) = parent {
                    if is_main {
                        shim.exit = Some((exit, now, shim.asked));
                    }
                    *next = Some(next.map_or(now + delay, |at| at.min(now + delay)));
                }
            }
        }
    }

    /// A signal from an executor, meant for `instance`.
    pub fn signal(&mut self, i: usize, signal: i32, instance: usize) {
        let target = &self.procs[i];
        if target.twin == Some(instance) {
            if !self.is_condemned(instance) {
                let what = || format!("signal {signal} to what somebody else started as {}", names::id(instance));
                self.truth.break_rule(Rule::Twin, what);
            }
        } else if target.of != Some(instance) {
            let (pid, whose) = (target.pid, target.of.map(names::id));
            let what = || format!("signal {signal} meant for {} reached {pid} of {whose:?}", names::id(instance));
            self.truth.break_rule(Rule::Stranger, what);
        }
        if target.of == Some(STRAY) {
            self.truth.break_rule(Rule::Stray, || format!("signal {signal} to a stray"));
        }
        self.deliver(i, signal);
    }

    /// A signal from anybody.
    pub fn deliver(&mut self, i: usize, signal: i32) {
        let (now, delay) = (self.now, self.rng.between(1, 40) * MILLI);
        let is_slow = self.rng.chance(100);
        let proc = &mut self.procs[i];
        if signal == 9 {
            proc.frozen = false;
            if proc.stuck_until > now {
                proc.fate = Exit::Signal(9);
                proc.next = Some(proc.stuck_until);
                // A shim in an uninterruptible sleep dies when it wakes, before it does anything else.
                if let Role::Shim(shim) = &mut proc.role {
                    shim.is_doomed = true;
                }
            } else {
                self.die(i, Exit::Signal(9));
            }
            return;
        }
        match &mut proc.role {
            Role::Shim(shim) => {
                shim.asked = true;
                proc.next = Some(proc.next.map_or(now + delay, |at| at.min(now + delay)));
            }
            Role::Payload | Role::Child | Role::Stranger if proc.deaf => {}
            Role::Payload | Role::Child | Role::Stranger => {
                let delay = if is_slow { delay * 60 } else { delay };
                proc.fate = Exit::Signal(signal);
                proc.next = Some(proc.next.map_or(now + delay, |at| at.min(now + delay)));
            }
        }
    }

    /// True when anybody holds the lock of an instance.
    pub fn is_locked(&self, instance: usize) -> bool {
        self.folders[instance].ghost || self.procs.iter().any(|p| p.lock && p.of == Some(instance))
    }
}
