//! What the world holds against a decision when it is carried out, found out without asking the engine.

use std::time::Duration;

use setpoint::engine::backoff::End;
use setpoint::engine::desired::Spec;
use setpoint::engine::expand::Until;
use setpoint::engine::plan::{Finish, Fire, Note, Spawn, Tick};
use setpoint::engine::run::{
    Arises, Capability, Flow, FlowStep, Missed, Origin, Outcome, Overlap, Part, Retry, Risk, RunRule, TickState,
    TimesRule, Work, order,
};
use setpoint::engine::{BootTime, Cause, InstanceId, Object, ObjectRef, Timestamp};

use super::store::{Row, cut};
use super::truth::Rule;
use super::world::World;

/// Later than this is late.
const LATE: Duration = Duration::from_secs(60);
/// So many due times are made up for at most.
const CATCH_UP_MAX: usize = 100;

/// So many due times of one look are counted.
const COUNTED_MAX: usize = 20_000;

/// What has to become of due times that are found together.
struct Backlog {
    missed: Missed,
    within: Duration,
    /// It is left of an earlier look.
    is_rest: bool,
    /// Each with how late it is.
    owed: Vec<(Timestamp, Duration)>,
    /// So many wait to be made up for.
    waiting: usize,
}

impl Backlog {
    /// True when the rule gives a run to the one at this place.
    fn is_had(&self, place: usize) -> bool {
        let Some((_, late)) = self.owed.get(place) else { return false };
        let after = self.owed.len() - place - 1;
        match self.missed {
            Missed::Once => after == 0 && *late <= self.within,
            Missed::Skip => after == 0 && *late <= LATE,
            Missed::All if !self.is_turn(place) => true,
            Missed::All => *late <= self.within && after + self.waiting < CATCH_UP_MAX,
        }
    }

    /// True when it is one of several, or late, and so waits for its turn.
    fn is_turn(&self, place: usize) -> bool {
        let is_late = self.owed.get(place).is_some_and(|(_, late)| *late > LATE);
        self.missed == Missed::All && (self.is_rest || self.owed.len() > 1 || is_late)
    }

    fn place(&self, at: Timestamp) -> Option<usize> {
        self.owed.iter().position(|(owed, _)| cut(*owed) == cut(at))
    }

    /// A run: of the oldest that gets one.
    fn fire_fault(&self, tick: &Tick, fire: &Fire) -> Option<(Rule, String)> {
        let Some(place) = self.place(tick.nominal) else { return Some((Rule::NotDue, "it is not owed".into())) };
        if !self.is_had(place) {
            return Some((Rule::CatchUp, format!("{} of {}, {} wait", place + 1, self.owed.len(), self.waiting)));
        }
        if fire.run.catches_up != self.is_turn(place) {
            return Some((Rule::CatchUp, "in its turn or not".into()));
        }
        fire.passed.iter().filter_map(|row| self.row_fault(row, false)).next()
    }

    /// A row of one, or of a gap, that has no run.
    fn row_fault(&self, row: &Tick, is_free: bool) -> Option<(Rule, String)> {
        let place = self.place(row.to.unwrap_or(row.nominal))?;
        let is_wrong = match row.state {
            TickState::Missed => self.is_had(place),
            TickState::Skipped => is_free && self.is_turn(place),
            TickState::Fired | TickState::Deferred | TickState::Held | TickState::ClockStep => false,
        };
        is_wrong.then(|| (Rule::CatchUp, format!("{} of {} is {}", place + 1, self.owed.len(), row.state.word())))
    }
}

/// The run an instance belongs to, and the step, if it is of one.
fn parts(cause: &Cause) -> (Cause, Option<String>) {
    let text = cause.to_string();
    match text.split_once('.') {
        Some((run, step)) => (run.parse().expect("a cause"), Some(step.to_owned())),
        None => (cause.clone(), None),
    }
}

impl World {
    fn rule(&self, id: &ObjectRef) -> Option<(&Object, &RunRule)> {
        let object = self.desired.objects.get(id)?;
        let Spec::Known(kind) = &object.spec else { return None };
        Some((object, kind.runs()?))
    }

    fn part(&self, id: &ObjectRef) -> Option<Part<'_>> {
        let Spec::Known(kind) = &self.desired.objects.get(id)?.spec else { return None };
        Some(kind.part())
    }

    fn flow<'a>(&'a self, rule: &'a RunRule) -> Option<&'a Flow> {
        match &rule.work {
            Work::Flow(flow) => Some(flow),
            Work::Use { target, with: _ } => match self.part(&target.candidates[0])? {
                Part::Workflow(flow) => Some(flow),
                Part::None
                | Part::Capability(_)
                | Part::Quiet(_)
                | Part::Settings(_)
                | Part::Mailbox(_)
                | Part::Trigger(_) => None,
            },
            Work::Command(_) | Work::Way(_) | Work::Prompt { .. } | Work::Sorted(_) => None,
        }
    }

    fn is_risky(&self, work: &Work) -> bool {
        let Work::Use { target, with: _ } = work else { return false };
        matches!(self.part(&target.candidates[0]), Some(Part::Capability(Capability { risk: Risk::High, .. })))
    }

    /// What is said where something is used, else what it says itself.
    fn timeout(&self, work: &Work, own: Option<Duration>) -> Option<Duration> {
        let Work::Use { target, with: _ } = work else { return own };
        own.or_else(|| match self.part(&target.candidates[0])? {
            Part::Capability(capability) => capability.timeout,
            Part::Workflow(flow) => flow.timeout,
            Part::None | Part::Quiet(_) | Part::Settings(_) | Part::Mailbox(_) | Part::Trigger(_) => None,
        })
    }

    fn row(&self, object: &ObjectRef, cause: &Cause) -> Option<&Row> {
        self.store.runs.get(&(object.clone(), cause.clone()))
    }

    fn is_paused(&self, object: &Object) -> bool {
        let pause = object.overrides.paused.as_ref();
        pause.is_some_and(|pause| pause.until.is_none_or(|until| self.at() < until))
    }

    /// A start of a process.
    pub fn check_start(&mut self, id: &InstanceId, spawn: &Spawn) {
        if let Some((rule, what)) = self.start_fault(id, spawn) {
            self.truth.break_rule(rule, || format!("{id} #{}: {what}", spawn.attempt));
        }
    }

    fn start_fault(&self, id: &InstanceId, _: &Spawn) -> Option<(Rule, String)> {
        let (root, step) = parts(&id.cause);
        let Some(row) = self.row(&id.object, &root) else { return Some((Rule::NotOwed, "no row".into())) };
        let Some((object, rule)) = self.rule(&id.object) else { return Some((Rule::NotOwed, "no object".into())) };
        if self.has(id) {
            return Some((Rule::Double, "there is one".into()));
        }
        if row.end.is_some() {
            return Some((Rule::NotOwed, "it is over".into()));
        }
        if self.desired.frozen.is_some() {
            return Some((Rule::Frozen, String::new()));
        }
        let is_asked = matches!(row.origin, Some(Origin::Person(_)));
        if self.is_paused(object) && (!is_asked || self.desired.is_draining) {
            return Some((Rule::Paused, String::new()));
        }
        if rule.risk == Risk::High || self.is_risky(&rule.work) {
            return Some((Rule::Consent, "the whole".into()));
        }
        let is_begun = self.is_begun(&id.object, &root);
        if self.is_pressed() && !is_begun {
            return Some((Rule::Pressed, format!("{:?}", self.figures)));
        }
        if row.due > self.at() && !is_begun {
            return Some((Rule::Early, format!("due {:?}", row.due)));
        }
        if (step.is_none() || !is_begun)
            && let Some(Origin::Tick(_)) = row.origin
            && let Some(times) = self.times.get(&id.object)
            && times.quiet.iter().any(|quiet| quiet.until(self.at()).is_some())
        {
            return Some((Rule::Quiet, String::new()));
        }
        self.crowd_fault(id, &root, rule, is_begun)
            .or_else(|| step.and_then(|step| self.step_fault(id, &root, &step, rule)))
            .or_else(|| self.retry_fault(id, rule))
            .or_else(|| if is_begun { None } else { self.need_fault(object) })
    }

    /// True when the machine is beyond what people have said it may bear.
    fn is_pressed(&self) -> bool {
        let Some(settings) = order::settings(&self.desired) else { return false };
        let (gates, now) = (settings.gates, self.figures);
        let is_over = |limit: Option<u64>, figure: Option<u64>| limit.is_some() && figure > limit;
        is_over(gates.load, now.load) || is_over(gates.io, now.io) || now.memory_free < gates.memory_free
    }

    /// True when something was done for a run since it was made or reopened.
    fn is_begun(&self, object: &ObjectRef, root: &Cause) -> bool {
        let forgiven = |cause: &Cause| {
            let text = cause.to_string();
            let step: Cause = text.trim_end_matches(".when").parse().expect("a cause");
            self.row(object, &step).map_or(0, |row| row.forgiven)
        };
        let mine = |other: &InstanceId| other.object == *object && parts(&other.cause).0 == *root;
        let is_over = |(cause, row): (&Cause, &Row)| row.end.is_some() && cause.parent().as_ref() == Some(root);
        self.records.iter().any(|(id, last)| mine(id) && last.number > forgiven(&id.cause))
            || self.procs.iter().any(|proc| mine(&proc.id))
            || self.spawns.iter().any(|(_, id, _)| mine(id))
            || self.store.of(object).any(is_over)
    }

    fn crowd_fault(&self, id: &InstanceId, root: &Cause, rule: &RunRule, is_begun: bool) -> Option<(Rule, String)> {
        let procs = self.procs.iter().map(|proc| &proc.id).chain(self.spawns.iter().map(|(_, id, _)| id));
        let of_run: Vec<&InstanceId> = procs.filter(|other| self.rule(&other.object).is_some()).collect();
        let mut roots: Vec<Cause> =
            of_run.iter().filter(|other| other.object == id.object).map(|other| parts(&other.cause).0).collect();
        roots.sort();
        roots.dedup();
        roots.retain(|other| other != root);
        let at_once = match rule.overlap {
            Overlap::Skip | Overlap::Queue(_) | Overlap::Replace => 1,
            Overlap::Allow(at_once) => at_once as usize,
        };
        // What has begun keeps its place, also when an edit has left room for fewer since.
        if !is_begun && roots.len() >= at_once {
            return Some((Rule::Overlap, format!("beside {roots:?}")));
        }
        if let Some(older) = self.older(id, root).filter(|_| !is_begun && at_once == 1) {
            return Some((Rule::Order, format!("before {older}")));
        }
        let limit = order::settings(&self.desired).and_then(|settings| settings.max_runs).unwrap_or(8) as usize;
        (of_run.len() >= limit).then(|| (Rule::MaxRuns, format!("{} of {limit}", of_run.len())))
    }

    /// One that is made up for, of an older due time, that has not begun.
    fn older(&self, id: &InstanceId, root: &Cause) -> Option<&Cause> {
        let nominal = |row: &Row| match row.origin {
            Some(Origin::Tick(nominal)) if row.catches_up && row.end.is_none() => Some(nominal),
            _ => None,
        };
        let own = nominal(self.row(&id.object, root)?)?;
        let mut rows = self.store.of(&id.object);
        let older = rows
            .find(|(other, row)| nominal(row).is_some_and(|other| other < own) && !self.is_begun(&id.object, other));
        older.map(|(cause, _)| cause)
    }

    fn step_of<'a>(&'a self, rule: &'a RunRule, name: &str) -> Option<&'a FlowStep> {
        let name = name.trim_end_matches(".when");
        self.flow(rule)?.steps.iter().find(|step| *step.id == *name)
    }

    fn step_fault(&self, id: &InstanceId, root: &Cause, name: &str, rule: &RunRule) -> Option<(Rule, String)> {
        let Some(step) = self.step_of(rule, name) else { return Some((Rule::NotOwed, "no such step".into())) };
        let end = |name: &str| {
            let row = self.row(&id.object, &root.step(name))?;
            row.end.as_ref().map(|(outcome, ..)| *outcome)
        };
        if end(&step.id).is_some() {
            return Some((Rule::StepOrder, "it is over".into()));
        }
        let is_over = |need: &std::sync::Arc<str>| matches!(end(need), Some(Outcome::Ok | Outcome::Skipped));
        if !step.needs.iter().all(is_over) {
            return Some((Rule::StepOrder, "what it needs is not over".into()));
        }
        let is_asked = !name.ends_with(".when") && (step.asks_first || self.is_risky(&step.work));
        if is_asked {
            return Some((Rule::Consent, "the step".into()));
        }
        None
    }

    fn retry_fault(&self, id: &InstanceId, rule: &RunRule) -> Option<(Rule, String)> {
        let step = parts(&id.cause).1.and_then(|name| self.step_of(rule, &name));
        let retry: Retry = step.map_or(rule.retry, |step| step.retry);
        if self.done.contains(id) {
            return Some((Rule::Retries, "it ended well before".into()));
        }
        let (count, boots, at) = self.failures.get(id)?;
        // What was ended on request, whatever for, has not failed; what follows takes its place, as many as had failed.
        let takes_place = self
            .records
            .get(id)
            .is_some_and(|last| matches!(last.end, End::Ended { asked: true, .. }) && *count <= last.streak.deaths);
        if *count > retry.times && !takes_place {
            return Some((Rule::Retries, format!("{count} failures, {} retries", retry.times)));
        }
        let until = BootTime::from_nanos(*at).after(retry.wait_after(*count));
        let is_early = *count > 0 && *boots == self.boots && BootTime::from_nanos(self.now) < until;
        is_early.then(|| (Rule::RetryEarly, format!("{count} failures")))
    }

    /// What is to be done first is done.
    fn need_fault(&self, object: &Object) -> Option<(Rule, String)> {
        let Spec::Known(kind) = &object.spec else { return None };
        let short = kind.needs().iter().find(|need| {
            let Some(needed) = self.desired.objects.get(&need.object) else { return true };
            let cause = Cause::generation(needed.work_generation);
            let row = self.row(&need.object, &cause);
            let is_ok = row.is_some_and(|row| {
                row.uid == needed.uid && row.end.as_ref().is_some_and(|(outcome, ..)| *outcome == Outcome::Ok)
            });
            let mine = |other: &InstanceId| other.object == need.object && parts(&other.cause).0 == cause;
            let is_at_work = self.procs.iter().any(|proc| mine(&proc.id));
            !is_ok && (need.until == Until::Done || !is_at_work)
        });
        short.map(|need| (Rule::Needs, format!("{need:?}")))
    }

    /// A run that begins.
    pub fn check_fire(&mut self, id: &InstanceId, fire: &Fire, is_known: bool) {
        self.truth.fires += 1;
        if is_known {
            self.truth.break_rule(Rule::Once, || format!("fire {id}: it is owed already"));
        }
        if let Some((rule, what)) = self.fire_fault(id, fire) {
            self.truth.break_rule(rule, || format!("fire {id}: {what}"));
        }
    }

    fn fire_fault(&self, id: &InstanceId, fire: &Fire) -> Option<(Rule, String)> {
        let Some((object, rule)) = self.rule(&id.object) else { return Some((Rule::NotOwed, "no object".into())) };
        if self.desired.frozen.is_some() {
            return Some((Rule::Frozen, String::new()));
        }
        if self.is_paused(object) {
            return Some((Rule::Paused, String::new()));
        }
        if rule.risk == Risk::High || self.is_risky(&rule.work) {
            return Some((Rule::Consent, String::new()));
        }
        let Arises::Times(rules) = &rule.arises else { return None };
        let times = self.times.get(&id.object)?;
        let Some(tick) = &fire.tick else { return None };
        let now = self.at();
        if tick.nominal.after(times.offset) > now {
            return Some((Rule::Early, "it is not due yet".into()));
        }
        let cursor = self.store.cursors.get(&id.object)?;
        let due = times.schedule.next(tick.nominal.before(Duration::from_nanos(1)), cursor.since, &times.zone);
        if due.map(cut) != Some(cut(tick.nominal)) {
            return Some((Rule::NotDue, "no due time".into()));
        }
        if tick.nominal < cursor.since {
            return Some((Rule::NotDue, "nobody knew it then".into()));
        }
        let is_quiet = times.quiet.iter().any(|quiet| quiet.until(fire.run.due.max(now)).is_some());
        if tick.state == TickState::Fired && is_quiet {
            return Some((Rule::Quiet, String::new()));
        }
        let runs = || self.store.of(&id.object).filter(|(_, row)| row.origin.is_some() && row.uid == object.uid);
        if rules.is_once && runs().any(|(_, row)| row.end.is_none() || row.attempts > 0) {
            return Some((Rule::Once, "it ran".into()));
        }
        let backlog = self.backlog(id, rules);
        if let Some(fault) = backlog.fire_fault(tick, fire) {
            return Some(fault);
        }
        // What is made up for waits for its turn.
        if fire.run.catches_up {
            return None;
        }
        let open = self.store.of(&id.object).filter(|(_, row)| row.origin.is_some() && row.end.is_none()).count();
        let room = match rule.overlap {
            Overlap::Skip => 1,
            Overlap::Queue(limit) => limit as usize + 1,
            Overlap::Allow(limit) => limit as usize,
            Overlap::Replace => usize::MAX,
        };
        (open >= room).then(|| (Rule::Overlap, format!("{open} are open")))
    }

    fn backlog(&self, id: &InstanceId, rules: &TimesRule) -> Backlog {
        let open = |row: &Row| row.catches_up && row.end.is_none();
        let waiting = self.store.of(&id.object).filter(|(_, row)| open(row)).count();
        let (mut owed, mut found) = (Vec::new(), 0);
        if let (Some(times), Some(cursor)) = (self.times.get(&id.object), self.store.cursors.get(&id.object)) {
            let late = |at: Timestamp| at.after(times.offset).until(self.at());
            let until = self.at().before(times.offset);
            let ticks = times.schedule.ticks(cursor.at, until, cursor.since, &times.zone).take(COUNTED_MAX);
            owed = ticks.map(|at| (at, late(at))).collect();
            let looked = owed.iter().filter(|(at, _)| at.after(times.offset) <= cursor.set_wall).count();
            found = if rules.missed == Missed::All { looked } else { 0 };
        }
        // `all` works off one look before the next.
        if found > 0 {
            owed.truncate(found);
        }
        Backlog { missed: rules.missed, within: rules.missed_within.max(LATE), is_rest: found > 0, owed, waiting }
    }

    /// Rows without a run.
    pub fn check_note(&mut self, id: &InstanceId, note: &Note) {
        let fault = note.ticks.iter().find(|tick| {
            let offset = self.times.get(&id.object).map_or(Duration::ZERO, |times| times.offset);
            let last = tick.to.unwrap_or(tick.nominal);
            // A boot is no due time of the clock, and has no jitter before it.
            let is_boot = self.times.get(&id.object).is_some_and(|times| times.schedule.reboot) && tick.to.is_none();
            tick.state != TickState::ClockStep && !is_boot && last.after(offset) > self.at()
        });
        if fault.is_some() {
            self.truth.break_rule(Rule::NotDue, || format!("{id} is settled before it is due"));
        }
        if let Some((rule, what)) = self.note_fault(id, note) {
            self.truth.break_rule(rule, || format!("{id}: {what}"));
        }
    }

    /// Nothing is called missed that should have had a run, and nothing that is made up for is skipped without need.
    fn note_fault(&self, id: &InstanceId, note: &Note) -> Option<(Rule, String)> {
        let (object, rule) = self.rule(&id.object)?;
        let Arises::Times(rules) = &rule.arises else { return None };
        let (times, cursor) = (self.times.get(&id.object)?, self.store.cursors.get(&id.object)?);
        if note.cursor.key != times.key || cursor.key != times.key || cursor.uid != object.uid {
            return None;
        }
        let is_held = self.desired.frozen.is_some() || self.is_paused(object) || !times.quiet.is_empty();
        let is_risky = rule.risk == Risk::High || self.is_risky(&rule.work);
        let is_open = |at: Timestamp| self.row(&id.object, &Cause::tick(at)).is_some_and(|row| row.end.is_none());
        let is_free = !is_held && !is_risky && !rules.is_once && !times.schedule.reboot;
        let backlog = self.backlog(id, rules);
        let rows = note.ticks.iter().filter(|tick| tick.state != TickState::ClockStep);
        rows.filter_map(|tick| backlog.row_fault(tick, is_free && !is_open(tick.nominal))).next()
    }

    /// A run, or a step of one, that is over.
    pub fn check_finish(&mut self, id: &InstanceId, finish: &Finish) {
        let below = format!("{}.", id.cause);
        let is_left = |other: &InstanceId| {
            other.object == id.object && (other.cause == id.cause || other.cause.to_string().starts_with(&below))
        };
        if let Some(left) = self.procs.iter().map(|proc| &proc.id).find(|other| is_left(other)) {
            self.truth.break_rule(Rule::FalseEnd, || format!("{id} is over, and {left} is there"));
        }
        let Some((_, rule)) = self.rule(&id.object) else { return };
        let (root, step) = parts(&id.cause);
        let is_right = match (&step, self.flow(rule), finish.outcome) {
            (None, Some(flow), Outcome::Ok) => flow.steps.iter().all(|step| {
                let row = self.row(&id.object, &root.step(&step.id));
                let end = row.and_then(|row| row.end.as_ref()).map(|(outcome, ..)| *outcome);
                matches!(end, Some(Outcome::Ok | Outcome::Skipped))
            }),
            (_, _, Outcome::Ok) => self.done.contains(id),
            (Some(name), _, Outcome::Skipped) => self.step_of(rule, name).is_none_or(|step| step.when.is_some()),
            // What it was before an edit says nothing.
            (None, Some(_), _) => true,
            (_, _, _) => finish.outcome == Outcome::Cancelled || !self.done.contains(id),
        };
        let is_turned_away = finish.outcome == Outcome::Cancelled
            && self.row(&id.object, &root).is_some_and(|row| {
                let is_own = self.desired.objects.get(&id.object).is_some_and(|object| object.uid == row.uid);
                row.catches_up && row.cancel.is_none() && is_own
            });
        if is_turned_away {
            self.truth.break_rule(Rule::CatchUp, || format!("{id}: {}", finish.why));
        }
        if !is_right {
            self.truth.break_rule(Rule::FalseEnd, || format!("{id}: {} because {}", finish.outcome.word(), finish.why));
        }
    }

    /// What a person forgave.
    pub fn forgive(&mut self, object: &ObjectRef, root: &Cause) {
        let is_over = |cause: &Cause| {
            let row = self.store.runs.get(&(object.clone(), cause.clone()));
            row.is_none_or(|row| row.end.is_some())
        };
        // After the reopening: what is over still is a step that went well, and one without a row was not reopened. The
        // condition of a step goes with the step.
        let keep = |id: &InstanceId| {
            let text = id.cause.to_string();
            let step: Cause = text.trim_end_matches(".when").parse().expect("a cause");
            let is_mine = id.object == *object && parts(&id.cause).0 == *root;
            !is_mine || (step != *root && is_over(&step))
        };
        let failures: Vec<InstanceId> = self.failures.keys().filter(|id| !keep(id)).cloned().collect();
        let done: Vec<InstanceId> = self.done.iter().filter(|id| !keep(id)).cloned().collect();
        self.failures.retain(|id, _| !failures.contains(id));
        self.done.retain(|id| !done.contains(id));
    }

    /// Nothing runs longer than it may, once nobody disturbs.
    pub fn check_timeouts(&mut self, slack: Duration, calm: u64) {
        let late = self.procs.iter().find(|proc| {
            let Some((_, rule)) = self.rule(&proc.id.object) else { return false };
            let (_, step) = parts(&proc.id.cause);
            let timeout = match step {
                // A condition has no work of its own, and is given the time of its step.
                Some(name) => self.step_of(rule, &name).and_then(|step| self.timeout(&step.work, step.timeout)),
                None => self.timeout(&rule.work, rule.timeout),
            };
            timeout.is_some_and(|timeout| {
                let due = BootTime::from_nanos(proc.since).after(timeout).max(BootTime::from_nanos(calm));
                BootTime::from_nanos(self.now) > due.after(slack)
            })
        });
        if let Some(proc) = late {
            let what = format!("{} runs since {}", proc.id, proc.since);
            self.truth.break_rule(Rule::Timeout, || what);
        }
    }
}
