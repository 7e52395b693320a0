//! One life: a storm of faults with safety checked at every step, then calm, and everything comes to rest in time.

use std::fmt;
use std::time::Duration;

use setpoint::engine::audit::{Violation, audit};
use setpoint::engine::converge::ITEM_GONE_AFTER;
use setpoint::engine::live::{KILL_AGAIN, READY_AFTER, STOP_BEGINS_WITHIN};
use setpoint::engine::{Facts, Mutant, Plan, Reason, Timestamp, reconcile_mutated};

use super::controller::{Controller, DOUBT, Errand, Executor, RELIST};
use super::disk::Birth;
use super::faults::TWIN_MAX;
use super::kind::{BACKOFF_MAX, Draft, GIVE_UP_MAX, GRACE_MAX, SHORT_LIFE_MAX};
use super::look::{Eyes, MOMENT};
use super::names::{self, OBJECTS, SLOTS, STRAY};
use super::others::{Then, level};
use super::people::{PAUSE_MAX, People};
use super::probes::READY_MAX;
use super::truth::{Breach, Rule};
use super::world::{HostMutant, MILLI, Role, SECOND, World};

/// Steps of a storm; the calm takes about as many again as its passes need.
pub const STORM: usize = 500;
/// Moments of a calm at most: more is a storm of wake-ups.
const CALM_MOMENTS: usize = 20_000;
/// How long what goes on crashing is watched, once everything else has come to rest.
const WATCHED: u64 = 30 * SECOND;
/// Passes a calm may take in a minute without anything having happened.
const WAKES_PER_MINUTE: u64 = 60;
/// The same for each start: its backoff, its readiness, the end of a grace.
const WAKES_PER_START: u64 = 4;

/// How long after the last fault everything is where it should be.
pub fn calm_bound() -> Duration {
    let slack = Duration::from_secs(1);
    // A shim that hangs in the middle of a stop costs one grace, and its tree another.
    let end = ITEM_GONE_AFTER + (STOP_BEGINS_WITHIN + GRACE_MAX + KILL_AGAIN + slack) * 2;
    let start = READY_AFTER + Duration::from_nanos(READY_MAX + DOUBT) + slack;
    let crash = SHORT_LIFE_MAX + BACKOFF_MAX + BACKOFF_MAX / 10 + start;
    let one = crash * (GIVE_UP_MAX + 1) + (end + start) * SLOTS as u32;
    // Each may have to wait for all others, as what needs them and as what they need.
    PAUSE_MAX + Duration::from_nanos(TWIN_MAX) + one * OBJECTS as u32
}

/// Why a life went wrong.
#[derive(Debug)]
pub enum Cause {
    /// The same facts gave another plan.
    NotAFunction,
    /// Rules of the audit that one plan breaks.
    Audit(Vec<Violation>),
    /// What the machine will not stand for.
    Host(Breach),
}

/// A life that went wrong.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: usize,
    pub cause: Cause,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at step {}: ", self.seed, self.step)?;
        match &self.cause {
            Cause::NotAFunction => write!(f, "equal facts gave two plans"),
            Cause::Audit(violations) => {
                write!(f, "audit:")?;
                violations.iter().try_for_each(|violation| write!(f, " {violation};"))
            }
            Cause::Host(breach) => write!(f, "{:?}: {}", breach.rule, breach.what),
        }?;
        write!(f, "\n  replay: SEED={} cargo test --test sim", self.seed)
    }
}

/// What a life that went well amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub passes: u64,
    pub spawns: u64,
}

/// Which rules are switched off.
#[derive(Clone, Copy, Debug)]
pub struct Mutants {
    pub engine: Mutant,
    pub host: HostMutant,
    /// Nobody audits the plans: the machine itself has to notice.
    pub is_unaudited: bool,
}

impl Mutants {
    pub const NONE: Mutants = Mutants { engine: Mutant::None, host: HostMutant::None, is_unaudited: false };
}

struct Life {
    world: World,
    people: People,
    controller: Controller,
    stale: Option<Errand>,
    mutants: Mutants,
    passes: u64,
    has_stray: bool,
}

/// Lives one life.
pub fn live(seed: u64, mutants: Mutants, is_told: bool) -> Result<Tally, Failure> {
    let mut life = Life::new(seed, mutants);
    life.world.is_told = is_told;
    for step in 0..STORM {
        life.storm().map_err(|cause| Failure { seed, step, cause })?;
    }
    life.calm().map_err(|cause| Failure { seed, step: STORM, cause })?;
    Ok(Tally { passes: life.passes, spawns: life.world.truth.spawns.into() })
}

impl Life {
    fn new(seed: u64, mutants: Mutants) -> Life {
        let mut people = People::default();
        let mut world = World::new(seed, mutants.host, &people);
        for o in 0..world.rng.index(OBJECTS) + 1 {
            let draft = Draft::random(&mut world.rng, o);
            people.put(o, draft, &world.folders);
        }
        world.obey(&people);
        for instance in 0..STRAY {
            world.shelf.there[instance] = world.rng.chance(600);
        }
        let has_stray = world.rng.chance(300);
        if has_stray {
            world.plant_stray();
        }
        let controller = Controller::new();
        Life { world, people, controller, stale: None, mutants, passes: 0, has_stray }
    }

    /// One step under faults.
    fn storm(&mut self) -> Result<(), Cause> {
        let world = &mut self.world;
        let dt = match world.rng.below(20) {
            0..=9 => world.rng.between(1, 50) * MILLI,
            10..=16 => world.rng.between(50, 1500) * MILLI,
            17 | 18 => self.controller.due.saturating_sub(world.now).min(RELIST),
            _ => world.rng.between(1, 30) * SECOND,
        };
        let mut until = world.now + dt;
        if self.controller.down_until.is_none() {
            until = until.min(self.controller.due.max(world.now));
        }
        world.run(until);
        self.owed()?;
        if self.world.rng.chance(190) {
            self.world.strike(&mut self.controller);
            self.has_stray &= self.world.procs.iter().any(|p| p.of == Some(STRAY));
        }
        if self.world.rng.chance(25) {
            self.world.meddle(&mut self.people);
        }
        self.follow_stale();
        self.revive();
        let is_woken =
            self.controller.hear(&mut self.world) || self.world.event || self.controller.due <= self.world.now;
        if self.controller.down_until.is_none() && (is_woken || self.world.rng.chance(300)) {
            let missed = if self.world.rng.chance(60) { self.world.rng.between(20, 700) } else { 0 };
            let moment = if self.world.rng.chance(200) { MOMENT } else { 0 };
            self.pass(Eyes { missed, moment }, true)?;
        }
        self.check()
    }

    /// A controller that found a lock busy has looked again by now.
    fn owed(&mut self) -> Result<(), Cause> {
        let world = &mut self.world;
        let now = world.now;
        if let Some(since) = world.truth.busy_since.filter(|since| now > since + DOUBT) {
            world.truth.break_rule(Rule::LookAgain, || format!("busy {} ms ago", (now - since) / MILLI));
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), Cause> {
        match self.world.truth.breach.take() {
            Some(breach) => Err(Cause::Host(breach)),
            None => Ok(()),
        }
    }

    fn revive(&mut self) {
        if self.controller.down_until.is_some_and(|until| until <= self.world.now) {
            self.controller.down_until = None;
            self.controller.due = self.world.now;
        }
    }

    /// An old plan in other hands goes on, now and then.
    fn follow_stale(&mut self) {
        let Some(mut errand) = self.stale.take() else { return };
        // The numbers of lost records are given out again: an old plan and a lost record at once are one fault too many.
        if errand.records_lost != self.world.records_lost {
            return;
        }
        if self.world.rng.chance(150) {
            self.world.follow(&mut errand, Executor::Stale, &mut self.controller);
        }
        if errand.next < errand.plan.decisions.len() {
            self.stale = Some(errand);
        }
    }

    /// One pass of the loop.
    fn pass(&mut self, eyes: Eyes, is_storm: bool) -> Result<Plan, Cause> {
        self.passes += 1;
        self.controller.hear(&mut self.world);
        (self.world.event, self.world.truth.busy_since) = (false, None);
        let (observed, backoff) = self.world.look(eyes, &mut self.controller.memory);
        self.world.probe_what_runs(&observed);
        let now = self.world.present();
        let desired = self.world.desired.clone();
        let plan = reconcile_mutated(&desired, &observed, &backoff, &now, self.mutants.engine);
        if plan != reconcile_mutated(&desired, &observed, &backoff, &now, self.mutants.engine) {
            return Err(Cause::NotAFunction);
        }
        let facts =
            Facts { desired: &desired, observed: &observed, backoff: &backoff, now: &now, mutant: Mutant::None };
        let violations = audit(&plan, &facts);
        if !violations.is_empty() && !self.mutants.is_unaudited {
            self.world.tell(|| format!("{plan:#?}\n{observed:#?}\n{backoff:#?}"));
            return Err(Cause::Audit(violations));
        }
        let has_doubt = plan.decisions.iter().any(|decision| matches!(decision.because, Reason::Blind { .. }));
        let mut due = self.world.now + if has_doubt { DOUBT } else { RELIST };
        if let Some(wake) = plan.wake_at {
            due = due.min(wake.nanos());
        }
        self.controller.due = due;
        if plan.decisions.iter().any(|decision| decision.action.is_some()) {
            let then = Then::new(&self.world, &observed);
            self.execute(&plan, then, is_storm);
        }
        Ok(plan)
    }

    fn execute(&mut self, plan: &Plan, then: Then, is_storm: bool) {
        let mut errand = Errand { plan: plan.clone(), then, records_lost: self.world.records_lost, next: 0 };
        if is_storm && self.stale.is_none() && self.world.rng.chance(80) {
            self.stale = Some(errand.clone());
        }
        while errand.next < errand.plan.decisions.len() {
            let is_action = errand.plan.decisions[errand.next].action.is_some();
            if is_storm && is_action && self.world.rng.chance(15) {
                let until = self.world.now + self.world.rng.below(3 * SECOND);
                self.controller.die(&mut self.world, until);
                self.stale = self.world.rng.chance(300).then_some(errand);
                return;
            }
            if let Some(again) = self.world.follow(&mut errand, Executor::Controller, &mut self.controller) {
                self.controller.due = self.controller.due.min(self.world.now + again);
            }
            if is_storm && is_action && self.world.rng.chance(50) {
                let until = self.world.now + self.world.rng.below(20) * MILLI;
                self.world.run(until);
            }
        }
    }

    /// No faults any more: within the bound, everything comes to rest.
    fn calm(&mut self) -> Result<(), Cause> {
        self.world.calm_down(&mut self.controller, &mut self.people);
        self.world.tell(|| "calm".to_owned());
        self.stale = None;
        self.revive();
        let began = self.world.now;
        let deadline = began + calm_bound().as_nanos() as u64;
        let (mut wakes, spawns) = (0, self.world.truth.spawns);
        for moment in 0.. {
            let is_news = self.controller.hear(&mut self.world) | std::mem::take(&mut self.world.event);
            let is_due = self.controller.due <= self.world.now;
            wakes += u64::from(is_due && !is_news);
            let minutes = 1 + (self.world.now - began) / (60 * SECOND);
            let starts = u64::from(self.world.truth.spawns - spawns);
            if moment > CALM_MOMENTS || wakes > WAKES_PER_MINUTE * minutes + WAKES_PER_START * starts {
                self.world.truth.break_rule(Rule::WakeStorm, || format!("{wakes} in {minutes} minutes"));
            }
            if is_news || is_due || moment == 0 {
                let plan = self.pass(Eyes::GOOD, false)?;
                let is_still = plan.wake_at.is_none() && plan.decisions.iter().all(|d| d.action.is_none());
                if is_still && self.world.next_moment().is_none() && self.world.answers.is_empty() && !self.world.event
                {
                    break;
                }
                if self.world.now > began + WATCHED && self.is_resting(&plan) {
                    break;
                }
            }
            self.check()?;
            if self.world.now >= deadline {
                break;
            }
            let next = self.world.next_moment().unwrap_or(u64::MAX).min(self.controller.due).min(deadline);
            self.world.run(next.max(self.world.now));
        }
        self.check()?;
        self.rest()
    }

    /// Everything is where it should be, and stays there.
    fn rest(&mut self) -> Result<(), Cause> {
        let restless = self.restless();
        let plan = self.pass(Eyes::GOOD, false)?;
        for decision in &plan.decisions {
            let instance = names::index(&decision.id);
            if instance == STRAY || restless[instance / SLOTS] {
                continue;
            }
            if let Some(action) = &decision.action {
                let what = || format!("{}: {action:?} because {}", decision.id, decision.because);
                self.world.truth.break_rule(Rule::Quiet, what);
            }
            self.at_rest(instance, &decision.because);
        }
        for instance in 0..STRAY {
            let is_there = self.world.procs.iter().any(|p| p.of == Some(instance));
            if is_there && !self.world.is_wanted(instance) && !self.is_unknowable(instance) {
                let what = || format!("{} lives on, and nobody wants it", names::id(instance));
                self.world.truth.break_rule(Rule::Converged, what);
            }
        }
        if self.has_stray && !self.world.procs.iter().any(|p| p.of == Some(STRAY)) {
            self.world.truth.break_rule(Rule::Stray, || "the stray is gone".to_owned());
        }
        self.check()
    }

    /// Objects whose processes never stay up, or cannot be told from strangers.
    fn restless(&self) -> [bool; OBJECTS] {
        let mut restless = [false; OBJECTS];
        for (o, is_restless) in restless.iter_mut().enumerate() {
            let stored = self.people.objects[o].as_ref();
            *is_restless = stored.is_some_and(|stored| {
                let draft = &stored.draft;
                !self.world.nature(draft.revision).is_steady(draft)
            });
        }
        // A live shim whose record was damaged is left alone until it ends by itself, and its siblings are not replaced
        // for as long.
        for instance in 0..STRAY {
            restless[instance / SLOTS] |= self.is_unknowable(instance);
        }
        // What needs the restless comes and goes with it.
        for _ in 0..OBJECTS {
            for (o, rules) in self.world.rules.iter().enumerate() {
                restless[o] |= rules.iter().flat_map(|rules| &rules.needs).any(|(needed, _)| restless[*needed]);
            }
        }
        restless
    }

    /// True when nothing but the restless moves.
    fn is_resting(&self, plan: &Plan) -> bool {
        let restless = self.restless();
        // One that a clock set back has made longer is not waited for.
        let far = Timestamp::from_nanos(self.world.wall + PAUSE_MAX.as_nanos() as u64);
        let is_long = |until: &Option<Timestamp>| until.is_none_or(|until| until > far);
        let is_end = |because: &Reason| {
            use Reason::{Adopted, Ambiguous, Completed, Drifted, ForeignRevision, GaveUp, Healthy};
            use Reason::{NeedsWait, Paused, RollHalted, Stray};
            let (is_up, is_down, is_anothers) = (
                matches!(because, Healthy | ForeignRevision | RollHalted | Stray),
                matches!(because, GaveUp { .. } | Completed { .. } | NeedsWait { .. })
                    || matches!(because, Paused { until, .. } if is_long(until)),
                matches!(because, Adopted { .. } | Drifted { .. } | Ambiguous { .. }),
            );
            is_up || is_down || is_anothers
        };
        plan.decisions.iter().all(|decision| {
            let instance = names::index(&decision.id);
            // What never can be used waits for ever.
            let is_waiting = matches!(decision.because, Reason::RollWaits | Reason::Unready { .. });
            let is_stuck = is_waiting && instance != STRAY && self.is_stuck(instance);
            let is_still = decision.action.is_none() && (is_stuck || is_end(&decision.because));
            is_still || (instance != STRAY && restless[instance / SLOTS])
        })
    }

    fn is_unknowable(&self, instance: usize) -> bool {
        let is_damaged = self.world.folders[instance].newest().is_some_and(|newest| newest.birth == Birth::Damaged);
        is_damaged && self.world.procs.iter().any(|p| p.is_shim() && p.of == Some(instance))
    }

    /// True when what is wanted now can never be used.
    fn is_stuck(&self, instance: usize) -> bool {
        let draft = self.people.objects[instance / SLOTS].as_ref().map(|stored| &stored.draft);
        draft.is_some_and(|draft| !self.world.nature(draft.revision).is_usable(draft))
    }

    /// One instance of a steady nature.
    fn at_rest(&mut self, instance: usize, because: &Reason) {
        let Some(up) = self.world.up_of(instance).filter(|_| self.world.is_wanted(instance)).cloned() else { return };
        let of_it = |p: &&super::world::Proc| p.of == Some(instance);
        let mains = self.world.procs.iter().filter(of_it).filter(|p| matches!(p.role, Role::Payload)).count();
        let shim = self.world.procs.iter().filter(of_it).find_map(|p| match &p.role {
            Role::Shim(shim) => Some(names::revision_number(&shim.revision)),
            Role::Payload | Role::Child | Role::Stranger => None,
        });
        let draft = self.people.objects[instance / SLOTS].as_ref().map(|stored| &stored.draft);
        let wanted = draft.map(|draft| draft.revision);
        // Of any revision that may run here, the one that does.
        let is_usable = draft.is_some_and(|draft| self.world.nature(shim.unwrap_or_default()).is_usable(draft));
        let is_stuck = self.is_stuck(instance);
        let rules = self.world.rules[instance / SLOTS].as_ref();
        let is_met = rules.is_some_and(|r| r.needs.iter().all(|(o, until)| self.world.met[*o][level(*until)]));
        let is_down = mains == 0 && shim.is_none();
        let is_well = match because {
            Reason::Healthy | Reason::ForeignRevision => {
                let is_right = *because == Reason::ForeignRevision || shim == wanted;
                mains == 1 && is_usable && is_right && self.world.folders[instance].policy == Some(up.policy)
            }
            Reason::RollHalted => mains == 1 && shim.is_some(),
            Reason::Unready { .. } => mains == 1 && !is_usable,
            // The others are not ready, and cannot become so.
            Reason::RollWaits => mains == 1 && (is_stuck || !is_met),
            Reason::GaveUp { .. } | Reason::Completed { .. } | Reason::Paused { .. } => is_down,
            Reason::NeedsWait { .. } => is_down && !is_met,
            Reason::Adopted { .. } | Reason::Drifted { .. } | Reason::Ambiguous { .. } => {
                is_down && up.adopt.is_some() && self.world.has_twin(instance)
            }
            _ => false,
        };
        if !is_well {
            let what = || format!("{}: {mains} running of {shim:?}, wanted {wanted:?}: {because}", names::id(instance));
            self.world.truth.break_rule(Rule::Converged, what);
        }
    }
}
