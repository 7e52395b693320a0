//! The controller of the fake machine: looks, decides, follows the plan, and may die between any two actions.

use setpoint::engine::observed::Refused;
use setpoint::engine::plan::{Policy, Spawn};
use setpoint::engine::probe::Health;
use setpoint::engine::{Action, BootTime, Decision, Plan, ProcId, Revision, Timestamp};

use super::disk::{Birth, Disk};
use super::names::{self, INSTANCES};
use super::others::Then;
use super::probes::{Prober, Side};
use super::shim::{Outcome, Shim, Stage};
use super::truth::Rule;
use super::world::{HostMutant, MILLI, Role, SECOND, World};

/// The table is read again at the latest after this.
pub const RELIST: u64 = 60 * SECOND;
/// How soon to look again when something could not be told.
pub const DOUBT: u64 = 2 * SECOND;
/// How soon to look again when a lock was busy.
pub const BUSY: u64 = 500 * MILLI;

/// What a controller remembers of one instance; it dies with it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub spawning: Option<(u32, Revision)>,
    /// Which attempt was asked to stop, and when.
    pub stop: Option<(u32, BootTime)>,
    /// Whose tree was first signalled directly, and when.
    pub tree: Option<(u32, BootTime)>,
    pub refused: Option<Refused>,
    /// What its probes said last, of whatever attempt.
    pub health: Health,
    /// The attempt that ran when this controller first looked.
    pub found: Option<u32>,
    pub has_looked: bool,
    /// Since when its item has been missed.
    pub missed: Option<BootTime>,
    /// Which process of somebody else was first signalled, and when.
    pub twin: Option<(ProcId, BootTime)>,
}

impl Memory {
    /// What was asked of one attempt says nothing about another.
    pub fn forget_others(&mut self, attempt: u32) {
        self.stop = self.stop.filter(|(asked, _)| *asked == attempt);
        self.tree = self.tree.filter(|(asked, _)| *asked == attempt);
    }
}

/// A plan being followed.
#[derive(Clone, Debug)]
pub struct Errand {
    pub plan: Plan,
    pub then: Then,
    /// [`World::records_lost`] when it was made.
    pub records_lost: u32,
    pub next: usize,
}

/// Who follows a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    Controller,
    /// Another one, with an old plan, whose answers nobody hears.
    Stale,
}

/// The one controller, or its absence.
#[derive(Debug)]
pub struct Controller {
    /// Grows with every death, so that no answer reaches the wrong one.
    pub life: u32,
    pub memory: [Memory; INSTANCES],
    /// When it looks again by itself.
    pub due: u64,
    /// Dead until then.
    pub down_until: Option<u64>,
}

impl Controller {
    pub fn new() -> Controller {
        Controller { life: 1, memory: Default::default(), due: 0, down_until: None }
    }

    /// Dies; what it remembers is lost, and a start it had not handed over yet goes through or does not.
    pub fn die(&mut self, world: &mut World, until: u64) {
        world.tell(|| "the controller dies".to_owned());
        self.life += 1;
        self.memory = Default::default();
        self.down_until = Some(until);
        world.answers.clear();
        world.prober = Prober::default();
        world.truth.busy_since = None;
        for i in (0..world.procs.len()).rev() {
            let is_unfed = matches!(&world.procs[i].role, Role::Shim(shim) if shim.stage == Stage::Locking);
            if is_unfed && world.rng.chance(500) {
                world.die(i, setpoint::engine::backoff::Exit::Code(1));
            }
        }
    }

    /// Takes in what became of the starts it asked for; true when there was news.
    pub fn hear(&mut self, world: &mut World) -> bool {
        let answers = std::mem::take(&mut world.answers);
        let mut has_news = !world.prober.arrived.is_empty();
        for reply in std::mem::take(&mut world.prober.arrived) {
            if world.is_calm && reply.side == Side::Ready && !reply.evidence.is_pass {
                // Nobody lies any more: whatever it said before was no truth.
                world.truth.passed[reply.instance] = None;
            }
            let health = &mut self.memory[reply.instance].health;
            let side = match reply.side {
                Side::Ready => &mut health.ready,
                Side::Live => &mut health.live,
            };
            // In a storm, answers overtake each other.
            let is_newer = side.as_ref().is_none_or(|known| known.asked_at <= reply.evidence.asked_at);
            if is_newer || !world.is_calm {
                *side = Some(reply.evidence);
            }
        }
        for (_, answer) in answers.into_iter().filter(|(life, _)| *life == self.life) {
            has_news = true;
            let memory = &mut self.memory[answer.instance];
            if memory.spawning.as_ref().is_some_and(|(attempt, _)| *attempt == answer.attempt) {
                memory.spawning = None;
            }
            let at = BootTime::from_nanos(world.now);
            match answer.outcome {
                Outcome::Started | Outcome::NotStarted => memory.refused = None,
                Outcome::Refused(why) => memory.refused = Some(Refused { at, why: why.into() }),
                Outcome::Busy => {
                    world.truth.busy_since.get_or_insert(world.now);
                    if world.mutant == HostMutant::ForgetsBusy {
                        has_news = false;
                    } else {
                        self.due = self.due.min(world.now + BUSY);
                    }
                }
                Outcome::Outdated | Outcome::Eof => {}
            }
        }
        has_news
    }
}

impl World {
    /// Takes the next action of a plan, unless the plan is of another generation. Answers how soon that calls for
    /// another look, if it does.
    pub fn follow(&mut self, errand: &mut Errand, who: Executor, controller: &mut Controller) -> Option<u64> {
        let decision = errand.plan.decisions.get(errand.next)?.clone();
        errand.next += 1;
        if errand.plan.generation != self.desired.generation {
            return Some(0);
        }
        let action = decision.action.as_ref()?;
        let instance = names::index(&decision.id);
        self.tell(|| format!("{who:?}: {} {} because {}", decision.id, verb(action), decision.because));
        let memory = match who {
            Executor::Controller => &mut controller.memory[instance],
            Executor::Stale => &mut Memory::default(),
        };
        match action {
            Action::Spawn(spawn) => {
                let caller = if who == Executor::Controller { controller.life } else { 0 };
                if self.is_taken(instance) {
                    return Some(BUSY);
                }
                memory.spawning = Some((spawn.attempt, spawn.revision.clone()));
                // Another executor may have had the same idea, a moment before or after.
                let rival = self.rng.below(30);
                if rival == 0 {
                    self.spawn(instance, spawn, 0, &errand.then);
                }
                self.spawn(instance, spawn, caller, &errand.then);
                if rival == 1 {
                    self.rival = Some((self.desired.generation, instance, (**spawn).clone(), errand.then));
                }
                None
            }
            // Nothing here runs to completion; tests/runs.rs has lives of that.
            Action::Fire(_) | Action::Note(_) | Action::Finish(_) | Action::Claim(_) | Action::Return(_) => None,
            Action::Stop { shim, policy, failing } => {
                self.check_stop(instance, &decision.because, &errand.then);
                self.stop(instance, shim, policy.clone(), failing.is_some(), memory);
                None
            }
            Action::EndTree { tree, signal } => {
                let (now, first) = (BootTime::from_nanos(self.now), tree.first());
                match first.filter(|member| self.find(&member.proc).is_some_and(|i| self.procs[i].twin.is_some())) {
                    Some(member) if memory.twin.as_ref().is_none_or(|(known, _)| *known != member.proc) => {
                        memory.twin = Some((member.proc.clone(), now));
                    }
                    Some(_) => {}
                    None => {
                        memory.tree.get_or_insert((self.attempt_of(instance, &decision), now));
                    }
                }
                for member in tree.iter() {
                    if let Some(i) = self.find(&member.proc) {
                        self.signal(i, *signal, instance);
                    }
                }
                None
            }
            Action::Adopt { proc, revision } => {
                if self.disk == Disk::Fine {
                    self.adopted[instance] = Some((proc.clone(), revision.clone()));
                }
                Some(if self.disk == Disk::Fine { 0 } else { DOUBT })
            }
            Action::RecordLost { attempt } => Some(if self.record_lost(instance, *attempt) { 0 } else { BUSY }),
            Action::SetPolicy { shim, policy } => {
                let is_done = self.find(shim).is_some() && self.write_policy(instance, policy.clone());
                Some(if is_done { 0 } else { DOUBT })
            }
        }
    }

    /// What another executor had in mind happens, while somebody is looking.
    pub fn let_rival_act(&mut self) {
        if let Some((generation, instance, spawn, then)) = self.rival.take()
            && generation == self.desired.generation
            && !self.is_taken(instance)
        {
            self.spawn(instance, &spawn, 0, &then);
        }
    }

    /// The attempt a tree belongs to, as far as the newest record tells.
    fn attempt_of(&self, instance: usize, decision: &Decision) -> u32 {
        let Some(Action::EndTree { tree, .. }) = &decision.action else { return 0 };
        let of_first = tree.first().and_then(|member| self.find(&member.proc)).map(|i| self.procs[i].attempt);
        of_first.unwrap_or_else(|| self.folders[instance].highest())
    }

    fn spawn(&mut self, instance: usize, spawn: &Spawn, caller: u32, then: &Then) {
        self.check_wanted(instance, then.wall);
        self.check_needs(instance, &then.met);
        if self.up_of(instance).is_some_and(|up| up.adopt.is_some()) && self.has_twin(instance) {
            self.truth.break_rule(Rule::BesideTwin, || names::id(instance).to_string());
        }
        self.truth.spawns += 1;
        // Once in a while the start is another version's, whose revisions this one cannot compare.
        let revision = if self.rng.chance(15) {
            names::revision(2, names::revision_number(&spawn.revision))
        } else {
            spawn.revision.clone()
        };
        let shim = Shim {
            stage: Stage::Locking,
            uid: spawn.uid.clone(),
            revision,
            streak: spawn.streak,
            policy: spawn.policy.clone(),
            caller,
            asked: false,
            failing: false,
            exit: None,
            is_doomed: false,
        };
        let delay = self.rng.between(1, 20) * MILLI;
        let i = self.fork(Role::Shim(Box::new(shim)), Some(instance), spawn.attempt);
        self.procs[i].next = Some(self.now + delay);
    }

    /// Nothing is started that is paused or not wanted.
    fn check_wanted(&mut self, instance: usize, planned: Timestamp) {
        let Some(object) = self.desired.objects.get(&names::id(instance).object) else {
            if self.desired.coverage == setpoint::engine::Coverage::Whole {
                self.truth.break_rule(Rule::Unwanted, || names::id(instance).to_string());
            }
            return;
        };
        let (wall, paused) = (Timestamp::from_nanos(self.wall), &object.overrides.paused);
        let is_paused = paused.as_ref().is_some_and(|p| p.until.is_none_or(|until| until > wall && until > planned));
        if is_paused {
            self.truth.break_rule(Rule::PausedStart, || names::id(instance).to_string());
        }
    }

    fn stop(&mut self, instance: usize, shim: &ProcId, policy: Policy, is_failing: bool, memory: &mut Memory) {
        let Some(i) = self.find(shim) else { return };
        let attempt = self.procs[i].attempt;
        if is_failing && self.id_of(&self.procs[i]) == *shim {
            self.check_judged(instance, attempt);
        }
        if let Role::Shim(shim) = &mut self.procs[i].role {
            // What was asked first counts.
            shim.failing = if shim.asked { shim.failing } else { is_failing };
        }
        memory.stop.get_or_insert((attempt, BootTime::from_nanos(self.now)));
        self.write_policy(instance, policy);
        self.signal(i, 15, instance);
    }

    /// True when it could be written.
    pub fn write_policy(&mut self, instance: usize, policy: Policy) -> bool {
        if self.disk == Disk::Fine {
            self.folders[instance].policy = Some(policy);
        }
        self.disk == Disk::Fine
    }

    /// Under the lock: an attempt without an end that nobody holds the lock of any more is lost.
    fn record_lost(&mut self, instance: usize, attempt: u32) -> bool {
        if self.is_locked(instance) && self.mutant != HostMutant::LostWithoutLock {
            return false;
        }
        let is_alive = self.procs.iter().any(|p| p.is_shim() && p.lock && p.is_of(instance, attempt));
        let (at, is_writable) = (BootTime::from_nanos(self.now), self.disk != Disk::ReadOnly);
        let Some(record) = self.folders[instance].record(attempt) else { return false };
        let is_open = record.attempt.end == setpoint::engine::backoff::End::Open && record.birth != Birth::Claimed;
        if !is_open || !is_writable {
            return false;
        }
        let exit = setpoint::engine::backoff::Exit::Lost;
        record.attempt.end = setpoint::engine::backoff::End::Ended { exit, at, asked: false };
        if is_alive {
            self.truth.break_rule(Rule::FalseLost, || format!("{} attempt {attempt}", names::id(instance)));
        }
        true
    }
}

fn verb(action: &Action) -> String {
    match action {
        Action::Spawn(spawn) => format!("spawn {}", spawn.attempt),
        Action::Stop { shim, .. } => format!("stop {}", shim.pid),
        Action::EndTree { tree, signal } => format!("signal {signal} to {} of its tree", tree.len()),
        Action::Adopt { proc, .. } => format!("adopt {}", proc.pid),
        Action::RecordLost { attempt } => format!("lost {attempt}"),
        Action::SetPolicy { .. } => "policy".to_owned(),
        Action::Fire(_) | Action::Note(_) | Action::Finish(_) | Action::Claim(_) | Action::Return(_) => {
            "of a run".to_owned()
        }
    }
}
