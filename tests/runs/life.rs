//! One life of work that ends: a storm of faults with every rule checked at every step, then calm, and all is settled.

use std::fmt;
use std::time::Duration;

use setpoint::engine::audit::{Violation, audit};
use setpoint::engine::desired::Pause;
use setpoint::engine::observed::Phase;
use setpoint::engine::run::{Arises, Origin, ticks};
use setpoint::engine::{BootTime, Decision, Facts, Mutant, Plan, Reason, Timestamp, reconcile_mutated};

use super::controller::{Controller, Eyes, RELIST};
use super::kind::{self, NAMES};
use super::people::{self, People};
use super::truth::{Breach, Rule};
use super::world::{HOUR, MILLI, SECOND, World};

/// Steps of a storm.
const STORM: usize = 220;
/// Passes of a calm at most, for each time it has to come to rest.
const CALM_PASSES: usize = 20_000;
/// How often it has to come to rest: after the storm, and after some due times each.
const RESTS: usize = 4;
/// How long what is late may be late, once nobody disturbs.
const SLACK: Duration = Duration::from_secs(20);
/// Within this everything that can end has ended: retries, timeouts and graces of all that had piled up, a hundred made
/// up for one after another among them.
const CALM: u64 = 36 * HOUR;

/// Why a life went wrong.
#[derive(Debug)]
pub enum Why {
    /// The same facts gave another plan.
    NotAFunction,
    /// Rules of the audit that one plan breaks.
    Audit(Vec<Violation>),
    /// What the world will not stand for.
    World(Breach),
}

/// A life that went wrong.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: usize,
    pub why: Why,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at step {}: ", self.seed, self.step)?;
        match &self.why {
            Why::NotAFunction => write!(f, "equal facts gave two plans"),
            Why::Audit(violations) => {
                write!(f, "audit:")?;
                violations.iter().try_for_each(|violation| write!(f, " {violation};"))
            }
            Why::World(breach) => write!(f, "{:?}: {}", breach.rule, breach.what),
        }?;
        write!(f, "\n  replay: SEED={} cargo test --test runs", self.seed)
    }
}

/// What a life that went well amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub passes: u64,
    pub starts: u64,
    pub fires: u64,
}

/// Which rule is switched off, and who looks.
#[derive(Clone, Copy, Debug)]
pub struct Mutants {
    pub engine: Mutant,
    /// Nobody audits the plans: the world itself has to notice.
    pub is_unaudited: bool,
}

impl Mutants {
    pub const NONE: Mutants = Mutants { engine: Mutant::None, is_unaudited: false };
}

struct Life {
    world: World,
    people: People,
    controller: Controller,
    mutants: Mutants,
    passes: u64,
    /// When the calm began.
    calm: u64,
}

/// Lives one life.
pub fn live(seed: u64, mutants: Mutants, is_told: bool) -> Result<Tally, Failure> {
    let mut life = Life::new(seed, mutants);
    life.world.is_told = is_told;
    for step in 0..STORM {
        life.storm().map_err(|why| Failure { seed, step, why })?;
    }
    life.calm().map_err(|why| Failure { seed, step: STORM, why })?;
    let truth = &life.world.truth;
    Ok(Tally { passes: life.passes, starts: truth.starts, fires: truth.fires })
}

impl Life {
    fn new(seed: u64, mutants: Mutants) -> Life {
        let (mut world, mut people) = (World::new(seed), People::default());
        for index in 0..NAMES.len() {
            if world.rng.chance(700) {
                let wall = world.at();
                let ends = kind::random(&mut world.rng, index, wall);
                people.put(index, ends);
            }
        }
        world.obey(&people);
        let mut controller = Controller::default();
        controller.read_all(&world);
        Life { world, people, controller, mutants, passes: 0, calm: 0 }
    }

    fn is_up(&self) -> bool {
        self.controller.down_until.is_none()
    }

    /// One step under faults.
    fn storm(&mut self) -> Result<(), Why> {
        let world = &mut self.world;
        let dt = match world.rng.below(20) {
            0..=5 => world.rng.between(1, 60) * MILLI,
            6..=10 => world.rng.between(100, 3000) * MILLI,
            11..=14 => world.rng.between(5, 90) * SECOND,
            15..=17 => world.rng.between(60, 1500) * SECOND,
            _ => world.rng.between(1, 3) * HOUR,
        };
        self.run(dt);
        if self.world.rng.chance(130) {
            self.strike();
        }
        if self.world.rng.chance(110) {
            self.meddle();
        }
        self.world.press();
        self.revive();
        if self.is_up() && (self.is_woken() || self.world.rng.chance(300)) {
            let missed = if self.world.rng.chance(60) { self.world.rng.between(50, 600) } else { 0 };
            self.pass(Eyes { missed }, true)?;
        }
        self.check()
    }

    /// Time passes, but no further than to where somebody wakes up.
    fn run(&mut self, dt: u64) {
        let world = &mut self.world;
        let mut until = world.now + dt;
        if let Some(down) = self.controller.down_until {
            until = until.min(down.max(world.now));
        } else {
            let due = self.controller.due_wall.map(|at| world.now + at.nanos().saturating_sub(world.wall));
            until = until.min(self.controller.due.min(due.unwrap_or(u64::MAX)).max(world.now));
            // Whatever happens is heard at once, or a moment later.
            if let Some(next) = world.next_moment() {
                until = until.min(next.max(world.now) + MILLI);
            }
        }
        world.run(until);
    }

    fn is_woken(&mut self) -> bool {
        let by_wall = self.controller.due_wall.is_some_and(|at| at <= self.world.at());
        std::mem::take(&mut self.world.event) || by_wall || self.controller.due <= self.world.now
    }

    fn revive(&mut self) {
        if self.controller.down_until.is_some_and(|until| until <= self.world.now) {
            self.controller.down_until = None;
            if std::mem::take(&mut self.people.is_draining) {
                self.world.obey(&self.people);
            }
            self.controller.read_all(&self.world);
            self.world.event = true;
        }
    }

    fn check(&mut self) -> Result<(), Why> {
        match self.world.truth.breach.take() {
            Some(breach) => Err(Why::World(breach)),
            None => Ok(()),
        }
    }

    /// Something goes wrong.
    fn strike(&mut self) {
        let world = &mut self.world;
        let some = (!world.procs.is_empty()).then(|| world.rng.index(world.procs.len()));
        match world.rng.below(12) {
            0 | 1 => {
                let down = world.now + world.rng.pick(&[5 * MILLI, 2 * SECOND, 600 * SECOND, 5 * HOUR]);
                if self.controller.down_until.is_none() {
                    self.controller.die(&mut self.world, down);
                }
            }
            2 => {
                let span = world.rng.pick(&[10 * SECOND, 900 * SECOND, 3 * HOUR, 9 * HOUR]);
                world.suspend(span);
            }
            3 => {
                let by = world.rng.pick(&[SECOND, 70 * SECOND, HOUR, 2 * HOUR, 4 * HOUR, 30 * HOUR]);
                let ahead = world.rng.chance(500);
                world.set_clock(ahead, by);
            }
            4 => {
                self.controller.die(&mut self.world, u64::MAX);
                let down = self.world.rng.pick(&[20 * SECOND, 600 * SECOND, 6 * HOUR, 20 * HOUR]);
                self.world.reboot(down);
                self.controller.down_until = Some(self.world.now + self.world.rng.below(5) * SECOND);
            }
            5 | 6 => {
                if let Some(i) = some {
                    world.vanish(i);
                }
            }
            7 => {
                if let Some(i) = some.filter(|i| world.procs[*i].phase == Phase::Running) {
                    world.procs[i].phase = Phase::Lingering;
                }
            }
            8 => {
                if let Some(i) = some {
                    world.procs[i].unreadable_until = world.now + world.rng.between(1, 100) * SECOND;
                }
            }
            9 => {
                let is_down = self.controller.memory.ledger.trouble.is_some();
                self.controller.memory.ledger.trouble = (!is_down).then(|| "database is malformed".into());
                world.event = true;
            }
            10 => {
                self.people.is_partial = !self.people.is_partial;
                self.people.generation += 1;
                self.obey();
            }
            _ => {
                if !self.people.is_draining && self.is_up() {
                    self.people.is_draining = true;
                    self.obey();
                }
            }
        }
    }

    fn obey(&mut self) {
        self.world.obey(&self.people);
        self.controller.dress(&self.world);
    }

    /// Somebody does something.
    fn meddle(&mut self) {
        let wall = self.world.at();
        let rng = &mut self.world.rng;
        let index = rng.index(NAMES.len());
        match rng.below(12) {
            0..=3 => {
                let ends = kind::random(rng, index, wall);
                self.people.put(index, ends);
            }
            4 => self.people.delete(index),
            5 => {
                let span = Duration::from_secs(rng.between(10, 4000));
                let until = rng.chance(500).then(|| wall.after(span));
                self.people.pause(index, until);
            }
            6 => self.people.resume(index),
            7 => {
                let pause = Pause { by: "ann".into(), reason: None, until: None };
                self.people.frozen = if self.people.frozen.is_some() { None } else { Some(pause) };
                self.people.generation += 1;
            }
            _ if self.is_up() => return self.ask(),
            _ => return,
        }
        self.world.tell(|| format!("somebody edits {}", NAMES[index]));
        self.obey();
    }

    /// Somebody asks the controller for a run, for the end of one, or for another go.
    fn ask(&mut self) {
        let Some(index) = people::some(&mut self.world.rng, &self.people) else { return };
        let object = kind::object(index).clone();
        let runs: Vec<_> = self.world.store.of(&object).filter(|(_, row)| row.origin.is_some()).collect();
        let of_state = |is_open: bool| -> Vec<_> {
            runs.iter().filter(|(_, row)| row.end.is_none() == is_open).map(|(cause, _)| (*cause).clone()).collect()
        };
        let (open, over) = (of_state(true), of_state(false));
        let world = &mut self.world;
        match world.rng.below(3) {
            0 if !open.is_empty() => {
                let cause = open[world.rng.index(open.len())].clone();
                world.tell(|| format!("somebody cancels {object}/{cause}"));
                world.store.cancel(&object, &cause);
            }
            1 if !over.is_empty() => {
                // The last ones are those that people look at.
                let cause = over[over.len() - 1 - world.rng.index(over.len().min(3))].clone();
                let id = setpoint::engine::InstanceId { object: object.clone(), cause: cause.clone() };
                // Its end may be on the way a second time: the first answer was lost.
                if !world.has(&id) && world.store.queue.is_empty() {
                    world.tell(|| format!("somebody retries {object}/{cause}"));
                    let at = world.at();
                    world.store.reopen(&object, &cause, at);
                    world.forgive(&object, &cause);
                }
            }
            2 if world.desired.objects.get(&object).is_some_and(
                |object| matches!(&object.spec, setpoint::engine::desired::Spec::Known(kind) if kind.runs().is_some()),
            ) =>
            {
                world.asked(&object);
            }
            _ => return,
        }
        self.controller.read(&self.world, &object);
        self.world.event = true;
    }

    /// One pass of the loop.
    fn pass(&mut self, eyes: Eyes, is_storm: bool) -> Result<Plan, Why> {
        self.passes += 1;
        self.controller.hear(&mut self.world);
        let (observed, backoff) = self.controller.look(&mut self.world, eyes);
        let now = self.world.present();
        let desired = self.world.desired.clone();
        let plan = reconcile_mutated(&desired, &observed, &backoff, &now, self.mutants.engine);
        if plan != reconcile_mutated(&desired, &observed, &backoff, &now, self.mutants.engine) {
            return Err(Why::NotAFunction);
        }
        let facts =
            Facts { desired: &desired, observed: &observed, backoff: &backoff, now: &now, mutant: Mutant::None };
        let violations = audit(&plan, &facts);
        if !violations.is_empty() && !self.mutants.is_unaudited {
            self.world.tell(|| format!("{plan:#?}\n{observed:#?}\n{backoff:#?}\n{now:?}"));
            return Err(Why::Audit(violations));
        }
        self.controller.due = (self.world.now + RELIST).min(plan.wake_at.map_or(u64::MAX, |at| at.nanos()));
        self.controller.due_wall = plan.wake_wall;
        for decision in plan.decisions.iter().filter(|decision| decision.action.is_some()) {
            if is_storm && self.world.rng.chance(12) {
                let down = self.world.now + self.world.rng.pick(&[10 * MILLI, 3 * SECOND, 1000 * SECOND]);
                self.controller.die(&mut self.world, down);
                break;
            }
            self.controller.follow(&mut self.world, decision);
        }
        Ok(plan)
    }

    /// Nobody disturbs any more.
    fn calm_down(&mut self) {
        self.world.tell(|| "calm".to_owned());
        (self.world.is_calm, self.world.figures) = (true, super::world::calm());
        self.calm = self.world.now;
        self.people.is_partial = false;
        self.people.frozen = None;
        for index in 0..NAMES.len() {
            self.people.resume(index);
        }
        let now = self.world.now;
        self.controller.down_until = self.controller.down_until.map(|until| until.min(now));
        for proc in &mut self.world.procs {
            (proc.hung, proc.mute, proc.unreadable_until) = (false, false, 0);
            proc.next = proc.next.min(now + 20 * SECOND);
        }
        let is_down = !self.is_up();
        self.people.is_draining &= is_down;
        self.world.obey(&self.people);
        self.revive();
        self.controller.dress(&self.world);
        self.controller.memory.ledger.trouble = None;
        self.world.event = true;
    }

    /// Within the bound, all is settled; and again after the next due times.
    fn calm(&mut self) -> Result<(), Why> {
        self.calm_down();
        for _ in 0..RESTS {
            let plan = self.settle()?;
            self.at_rest(&plan);
            self.check()?;
            let Some(next) = plan.wake_wall else { return Ok(()) };
            let span = next.nanos().saturating_sub(self.world.wall);
            if span > 40 * HOUR {
                return Ok(());
            }
            let until = self.world.now + span;
            self.world.run(until);
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<Plan, Why> {
        let deadline = self.world.now + CALM;
        for _ in 0..CALM_PASSES {
            let _ = self.is_woken();
            let plan = self.pass(Eyes { missed: 0 }, false)?;
            self.check()?;
            let is_still = plan.decisions.iter().all(|decision| decision.action.is_none());
            // A time that somebody else's next due time comes before is not waited for.
            let now = self.world.present();
            let left = |at: BootTime| at.since(now.boot);
            let is_timed = plan.wake_at.is_some_and(|at| {
                plan.wake_wall.is_none_or(|due| left(at) <= now.wall.until(due)) || !plan.decisions.iter().all(is_end)
            });
            if is_still && self.world.next_moment().is_none() && !is_timed && !self.world.event {
                return Ok(plan);
            }
            self.world.check_timeouts(kind::GRACE_MAX + SLACK, self.calm);
            if self.world.now > deadline {
                let busy = plan.decisions.iter().find(|decision| decision.action.is_some());
                self.world.truth.break_rule(Rule::Restless, || format!("{:?}", busy.map(|d| (&d.id, &d.because))));
            }
            self.check()?;
            if !is_still && self.world.event {
                continue;
            }
            self.run(RELIST.max(SECOND));
        }
        self.world.truth.break_rule(Rule::Storm, || format!("no rest after {CALM_PASSES} passes"));
        self.check()?;
        self.pass(Eyes { missed: 0 }, false)
    }

    /// Nothing is owed that could be done, nothing due is open, and somebody wakes up in time.
    fn at_rest(&mut self, plan: &Plan) {
        for decision in &plan.decisions {
            if !is_end(decision) {
                let what = || format!("{}: {}", decision.id, decision.because);
                self.world.truth.break_rule(Rule::Stuck, what);
            }
        }
        let mut open: Vec<_> = self.world.store.runs.iter().filter(|(_, row)| row.end.is_none()).collect();
        open.retain(|((object, cause), row)| {
            let id = setpoint::engine::InstanceId { object: object.clone(), cause: cause.clone() };
            row.origin.is_some() && !plan.decisions.iter().any(|decision| decision.id == id)
        });
        if let Some(((object, cause), _)) = open.first() {
            let what = format!("{object}/{cause} is open, and nobody thinks of it");
            self.world.truth.break_rule(Rule::Stuck, || what);
        }
        self.wakes(plan);
    }

    fn wakes(&mut self, plan: &Plan) {
        let now = self.world.at();
        let mut first: Option<Timestamp> = None;
        for (id, object) in &self.world.desired.objects.clone() {
            let setpoint::engine::desired::Spec::Known(kind) = &object.spec else { continue };
            let Some(Arises::Times(rule)) = kind.runs().map(|rule| &rule.arises) else { continue };
            let (Some(times), Some(cursor)) = (self.world.times.get(id), self.world.store.cursors.get(id)) else {
                self.world.truth.break_rule(Rule::Stuck, || format!("{id} was never registered"));
                continue;
            };
            let is_run = |row: &super::store::Row| {
                matches!(row.origin, Some(Origin::Tick(_) | Origin::Person(_))) && row.uid == object.uid
            };
            let is_spent = self.world.store.of(id).any(|(_, row)| is_run(row) && row.attempts > 0);
            if !rule.is_enabled || (rule.is_once && is_spent) {
                continue;
            }
            let Some(next) = ticks::next(times, cursor) else { continue };
            if next.effective <= now {
                self.world.truth.break_rule(Rule::Stuck, || format!("{id} is due at {next:?}, and it is {now:?}"));
            }
            first = Some(first.map_or(next.effective, |sooner| sooner.min(next.effective)));
        }
        if let Some(first) = first
            && plan.wake_wall.is_none_or(|wake| wake > first)
        {
            self.world.truth.break_rule(Rule::Asleep, || format!("wakes at {:?}, due at {first:?}", plan.wake_wall));
        }
        if plan.wake_wall.is_some_and(|wake| wake <= now) {
            self.world.truth.break_rule(Rule::Storm, || "wakes at once".to_owned());
        }
    }
}

/// What can be said of something when all is at rest.
fn is_end(decision: &Decision) -> bool {
    use Reason::{AtBoot, Behind, Disabled, NeedsConsent, NeedsWait, NeverAgain, NotYet, Over, Scheduled, Spent};
    use Reason::{FrozenByPerson, Paused, StepWaits, Steps};
    matches!(
        decision.because,
        Behind { .. } | NeedsConsent { .. } | NeedsWait { .. } | NotYet { .. } | Over { .. } | Scheduled { .. }
    ) || matches!(
        decision.because,
        AtBoot | Disabled | Spent | NeverAgain | Paused { .. } | FrozenByPerson { .. } | StepWaits | Steps { .. }
    )
}
