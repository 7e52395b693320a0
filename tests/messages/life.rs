//! One life of two queues: a storm of faults with every rule checked at every step, then calm, and each message is over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use setpoint::engine::audit::{Violation, audit};
use setpoint::engine::queue::Message;
use setpoint::engine::{Facts, InstanceId, Mutant, Plan, reconcile_mutated};

use super::controller::{Controller, RELIST, send};
use super::kind::{self, BOXES, NAMES, Nature, People};
use super::store::{Row, State, Write, cut};
use super::world::{Breach, HOUR, MILLI, Rule, SECOND, World};

/// Steps of a storm.
const STORM: usize = 250;
/// Passes of a calm at most.
const CALM_PASSES: usize = 6000;
/// Messages of one life at most.
const MESSAGES_MAX: usize = 60;
/// Within this everything has ended, all retries included.
const CALM: u64 = 2000 * HOUR;

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
        write!(f, "\n  replay: SEED={} cargo test --test messages", self.seed)
    }
}

/// What lives that went well amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub passes: u64,
    pub starts: u64,
    pub messages: u64,
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
    sent: usize,
}

/// Lives one life.
pub fn live(seed: u64, mutants: Mutants, is_told: bool) -> Result<Tally, Failure> {
    let mut life = Life::new(seed, mutants);
    life.world.is_told = is_told;
    for step in 0..STORM {
        life.storm().map_err(|why| Failure { seed, step, why })?;
    }
    life.calm().map_err(|why| Failure { seed, step: STORM, why })?;
    Ok(Tally { passes: life.passes, starts: life.world.starts, messages: life.world.store.rows.len() as u64 })
}

impl Life {
    fn new(seed: u64, mutants: Mutants) -> Life {
        let (mut world, mut people) = (World::new(seed), People::default());
        for index in 0..BOXES {
            let ends = kind::mailbox(&mut world.rng, world.timeouts[index]);
            people.put(index, ends);
        }
        let settings = kind::settings(&mut world.rng);
        people.put(BOXES, settings);
        world.desired = people.read();
        let mut controller = Controller::default();
        controller.read_all(&mut world);
        Life { world, people, controller, mutants, passes: 0, sent: 0 }
    }

    fn is_up(&self) -> bool {
        self.controller.down_until.is_none()
    }

    fn obey(&mut self) {
        self.world.desired = self.people.read();
        self.world.event = true;
    }

    /// One step under faults.
    fn storm(&mut self) -> Result<(), Why> {
        let world = &mut self.world;
        let dt = match world.rng.below(20) {
            0..=6 => world.rng.between(1, 60) * MILLI,
            7..=12 => world.rng.between(100, 3000) * MILLI,
            13..=17 => world.rng.between(5, 90) * SECOND,
            18 => world.rng.between(60, 1500) * SECOND,
            _ => world.rng.between(1, 3) * HOUR,
        };
        self.run(dt);
        if self.world.rng.chance(100) {
            self.strike();
        }
        if self.world.rng.chance(90) {
            self.meddle();
        }
        self.world.press();
        if self.world.rng.chance(200) {
            let burst = self.world.rng.pick(&[1, 1, 2, 6]);
            (0..burst).for_each(|_| self.send());
        }
        self.revive();
        if self.is_up() && (self.is_woken() || self.world.rng.chance(200)) {
            let missed = if self.world.rng.chance(60) { self.world.rng.between(50, 600) } else { 0 };
            self.pass(missed, true)?;
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
                self.obey();
            }
            self.controller.read_all(&mut self.world);
            self.world.event = true;
        }
    }

    fn check(&mut self) -> Result<(), Why> {
        self.world.breach.take().map_or(Ok(()), |breach| Err(Why::World(breach)))
    }

    /// Something goes wrong.
    fn strike(&mut self) {
        let world = &mut self.world;
        let some = (!world.procs.is_empty()).then(|| world.rng.index(world.procs.len()));
        match world.rng.below(10) {
            0..=2 => {
                let down = world.now + world.rng.pick(&[5 * MILLI, 2 * SECOND, 600 * SECOND]);
                if self.controller.down_until.is_none() {
                    self.controller.die(world, down);
                }
            }
            3 => {
                let by = world.rng.pick(&[SECOND, 70 * SECOND, HOUR, 30 * HOUR]);
                let ahead = world.rng.chance(500);
                world.set_clock(ahead, by);
            }
            4 => {
                self.controller.die(world, u64::MAX);
                let down = world.rng.pick(&[20 * SECOND, 600 * SECOND, 6 * HOUR]);
                world.reboot(down);
                self.controller.down_until = Some(world.now + world.rng.below(5) * SECOND);
            }
            5 | 6 => {
                if let Some(i) = some {
                    world.vanish(i);
                }
            }
            7 => {
                if let Some(i) = some {
                    world.procs[i].unreadable_until = world.now + world.rng.between(1, 100) * SECOND;
                }
            }
            8 if !self.controller.is_in_doubt => {
                let is_down = self.controller.memory.ledger.trouble.is_some();
                self.controller.memory.ledger.trouble = (!is_down).then(|| "database is malformed".into());
                world.event = true;
            }
            _ if self.is_up() && !self.people.is_draining => {
                self.people.is_draining = true;
                self.obey();
            }
            _ => {}
        }
    }

    /// Somebody does something.
    fn meddle(&mut self) {
        let wall = self.world.at();
        let index = self.world.rng.index(BOXES);
        let rng = &mut self.world.rng;
        match rng.below(10) {
            0 | 1 => {
                let timeout = self.world.timeouts[index];
                let ends = kind::mailbox(&mut self.world.rng, timeout);
                self.people.put(index, ends);
            }
            2 => {
                let ends = kind::settings(rng);
                self.people.put(BOXES, ends);
            }
            3 => {
                let until = rng.chance(500).then(|| wall.after(Duration::from_secs(rng.between(10, 4000))));
                let is_paused = rng.chance(500);
                self.people.pause(index, is_paused, until);
            }
            4 => {
                let is_frozen = self.people.frozen.is_none() && rng.chance(500);
                self.people.freeze(is_frozen);
            }
            5 if rng.chance(300) => {
                self.touch(index);
                self.people.delete(index);
            }
            6 => self.people.is_partial = rng.chance(400),
            _ => return self.ask(index),
        }
        self.world.tell(|| format!("somebody edits {}", NAMES[index]));
        self.obey();
    }

    /// Whatever is at work of a mailbox may be ended for another reason than its own.
    fn touch(&mut self, index: usize) {
        let object = kind::object(index);
        for (_, told) in self.world.told.iter_mut().filter(|(id, _)| id.object == *object) {
            told.is_touched = true;
        }
    }

    /// Somebody asks for the end of a message, or for another go.
    fn ask(&mut self, index: usize) {
        if !self.is_up() || self.world.store.rows.is_empty() {
            return;
        }
        let object = kind::object(index);
        let row = self.world.store.rows[self.world.rng.index(self.world.store.rows.len())].clone();
        let id = InstanceId { object: row.object.clone(), cause: row.cause() };
        if row.object != *object {
            return;
        }
        let is_known = self.controller.book(object).runs.contains_key(&id.cause);
        let at = self.world.at();
        // An end that is on its way a second time must not meet a message that begins anew.
        let is_quiet = self.world.store.queue.is_empty() && !is_known;
        let write = match row.state {
            State::Dead if is_quiet && self.world.rng.chance(500) => Write::Revive(id, at),
            State::Dead | State::Ok | State::Cancelled => return,
            _ if is_known => Write::Cancel(id),
            _ => Write::Withdraw(id),
        };
        self.world.tell(|| format!("somebody asks: {write:?}"));
        send(&mut self.world, write);
    }

    /// Somebody sends a message, or the same one again.
    fn send(&mut self) {
        let index = self.world.rng.index(BOXES);
        let object = kind::object(index).clone();
        let (at, is_up) = (cut(self.world.at()), self.is_up());
        let world = &mut self.world;
        if self.people.objects[index].is_none() || self.sent >= MESSAGES_MAX {
            return;
        }
        let again = (!world.store.rows.is_empty() && world.rng.chance(120))
            .then(|| world.store.rows[world.rng.index(world.store.rows.len())].clone());
        let row = again.unwrap_or_else(|| {
            self.sent += 1;
            let (rng, number) = (&mut world.rng, self.sent);
            let odd = rng.pick(Nature::ALL);
            let nature = rng.pick(&[Nature::Good, Nature::Good, Nature::Flaky, odd]);
            let span = |rng: &mut super::rng::Rng| Duration::from_secs(rng.pick(&[1, 60, 3600, 300_000]));
            let due = if rng.chance(200) { at.after(span(rng)) } else { at };
            let message = Message {
                id: format!("m{number}").into(),
                fence: 0,
                kind: "t".into(),
                subject: format!("{} {nature:?}", nature.rule()).into(),
                sender: "ann".into(),
                source: "send".into(),
                payload: Arc::from(&b"x"[..]),
                params: Arc::new(json!({})),
                priority: rng.below(10) as u8,
                group: rng.chance(400).then(|| Arc::from(rng.pick(&["g", "h"]))),
                enqueued: at,
                expires: rng.chance(500).then(|| at.after(span(rng))),
                tries: 0,
            };
            Row {
                object,
                message,
                dedup: rng.chance(200).then(|| rng.below(3)),
                nature,
                state: State::Available,
                due,
                base: 0,
                reason: "".into(),
                uid: "".into(),
                claimed: at,
                cancel: None,
                steps: std::collections::BTreeMap::new(),
                reopened: std::collections::BTreeMap::new(),
                ends: 0,
                is_revived: false,
            }
        });
        if is_up {
            send(world, Write::Enqueue(Box::new(row)));
        } else {
            // With no controller it goes into the store straight away.
            world.apply(&Write::Enqueue(Box::new(row)));
        }
    }

    /// One pass of the loop.
    fn pass(&mut self, missed: u64, is_storm: bool) -> Result<Plan, Why> {
        self.passes += 1;
        self.controller.hear(&mut self.world);
        let (observed, backoff) = self.controller.look(&mut self.world, missed);
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

    /// Nobody disturbs any more: what was deleted is there again, and nothing is held.
    fn calm_down(&mut self) {
        self.world.tell(|| "calm".to_owned());
        (self.world.is_calm, self.world.figures) = (true, super::world::calm());
        self.people.is_partial = false;
        self.people.freeze(false);
        for index in 0..BOXES {
            self.people.pause(index, false, None);
            let mut ends = kind::mailbox(&mut self.world.rng, self.world.timeouts[index]);
            if let Some(setpoint::engine::run::Arises::Messages(queue)) =
                ends.rule.as_mut().map(|rule| &mut rule.arises)
            {
                queue.is_enabled = true;
            }
            self.people.put(index, ends);
        }
        let now = self.world.now;
        self.controller.down_until = self.controller.down_until.map(|until| until.min(now));
        for proc in &mut self.world.procs {
            (proc.mute, proc.unreadable_until) = (false, 0);
        }
        self.people.is_draining &= !self.is_up();
        self.obey();
        self.revive();
        if !self.controller.is_in_doubt {
            self.controller.memory.ledger.trouble = None;
        }
    }

    /// Within the bound, each message is over.
    fn calm(&mut self) -> Result<(), Why> {
        self.calm_down();
        let deadline = self.world.now + CALM;
        for _ in 0..CALM_PASSES {
            let _ = self.is_woken();
            let plan = self.pass(0, false)?;
            self.check()?;
            let is_still = plan.decisions.iter().all(|decision| decision.action.is_none());
            let is_asleep = plan.wake_at.is_none() && plan.wake_wall.is_none() && !self.world.event;
            if is_still && self.world.next_moment().is_none() && is_asleep {
                self.world.check_rest();
                return self.check();
            }
            if self.world.now > deadline {
                let busy = plan.decisions.iter().find(|decision| decision.action.is_some());
                self.world.break_rule(Rule::Restless, || format!("{:?}", busy.map(|d| (&d.id, &d.because))));
            }
            self.check()?;
            if !is_still && self.world.event {
                continue;
            }
            self.wait(&plan);
        }
        self.world.break_rule(Rule::Storm, || format!("no rest after {CALM_PASSES} passes"));
        self.check()
    }

    /// Nothing happens before the plan says so, or something else does.
    fn wait(&mut self, plan: &Plan) {
        if self.world.next_moment().is_none() && plan.wake_at.is_none() {
            // A relist finds nothing new.
            self.controller.due = u64::MAX;
        }
        self.run(CALM);
    }
}
