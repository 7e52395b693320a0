//! What every decision about work that ends must satisfy, found out again by another road.
//!
//! In: a plan with the facts it was made from. Out: the rule a decision breaks. Not here: deciding.
//! The surprise: nothing here asks the code that decides. A rule that both got from the same line would hold nothing.

use std::time::Duration;

use super::backlog::Backlog;
use super::ledger::{Book, Cursor, Origin, Outcome, Run, TickState, Times};
pub(in crate::engine) use super::met::is_met;
use super::order;
use super::rule::{Arises, Flow, Overlap, Part, Risk, RunRule, Work};
use super::ticks::quiet_until;
use crate::engine::backoff::{Attempt, End, Exit};
use crate::engine::converge::{Facts, REFUSED_RETRY};
use crate::engine::desired::{Coverage, Object, Spec};
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId, ObjectRef};
use crate::engine::observed::Sight;
use crate::engine::plan::{Action, Decision, Fire, Note, Plan, Reason, Spawn, Tick};
use crate::engine::queue;
use crate::engine::time::Timestamp;

/// The rule that the plan as a whole breaks, with the object it is about.
pub(in crate::engine) fn whole(plan: &Plan, facts: &Facts<'_>) -> Option<(Mutant, Option<ObjectRef>)> {
    let of_run = |d: &&Decision| order::is_run(facts.desired, &d.id.object);
    let starts = plan.decisions.iter().filter(of_run).filter(|d| matches!(d.action, Some(Action::Spawn(_)))).count();
    let seen = facts.observed.sightings.iter();
    let at_work = seen.filter(|(id, s)| s.sight != Sight::Absent && order::is_run(facts.desired, &id.object)).count();
    if starts > 0 && starts + at_work > order::limit(facts.desired, &facts.observed.ledger) {
        return Some((Mutant::IgnoreMaxRuns, None));
    }
    let undecided = |object: &&ObjectRef, book: &Book| {
        let is_decided = |cause: &Cause| plan.decisions.iter().any(|d| d.id.object == **object && d.id.cause == *cause);
        order::is_run(facts.desired, object) && book.runs.keys().any(|cause| !is_decided(cause))
    };
    // Looking through all decisions for each run is for plans a person could read; the simulator makes no others.
    let is_small = plan.decisions.len() <= 64 && facts.observed.ledger.trouble.is_none();
    let forgotten = facts.observed.ledger.books.iter().find(|(object, book)| is_small && undecided(object, book));
    if let Some((object, _)) = forgotten {
        return Some((Mutant::ForgetDecision, Some(object.clone())));
    }
    jumps(plan)
}

/// An object whose schedule is moved by two writes: the first may fail, and the second then passes what it settled.
fn jumps(plan: &Plan) -> Option<(Mutant, Option<ObjectRef>)> {
    let moves = |decision: &&Decision| match &decision.action {
        Some(Action::Fire(fire)) => fire.cursor.is_some(),
        Some(Action::Note(_)) => true,
        Some(_) | None => false,
    };
    let mut moved = plan.decisions.iter().filter(moves).map(|d| &d.id.object).peekable();
    while let Some(object) = moved.next() {
        if moved.peek().is_some_and(|next| *next == object) {
            return Some((Mutant::CursorJumps, Some(object.clone())));
        }
    }
    None
}

fn times<'a>(facts: &Facts<'a>, object: &ObjectRef) -> Option<&'a Times> {
    match facts.observed.ledger.books.get(object)?.times.as_ref()? {
        Ok(times) => Some(times),
        Err(_) => None,
    }
}

/// The rule that one decision about an object with runs breaks.
pub(in crate::engine) fn broken(
    decision: &Decision,
    object: &Object,
    rule: &RunRule,
    facts: &Facts<'_>,
    plan: &Plan,
) -> Option<Mutant> {
    let empty = Book::default();
    let book = facts.observed.ledger.books.get(&object.id).unwrap_or(&empty);
    let audit = Audit { decision, object, rule, facts, book };
    if let Some(broken) = queue::audit::broken(decision, object, rule, facts, plan) {
        return Some(broken);
    }
    match &decision.action {
        Some(Action::Spawn(spawn)) => audit.spawn(spawn),
        Some(Action::Fire(fire)) => audit.fire(fire).or_else(|| audit.write()),
        Some(Action::Note(note)) => audit.note(note).or_else(|| audit.write()),
        Some(Action::Finish(_) | Action::Return(_)) => audit.finish(),
        Some(Action::Claim(_)) => audit.write(),
        Some(Action::Stop { .. }) => audit.stop(),
        Some(Action::EndTree { .. } | Action::RecordLost { .. } | Action::SetPolicy { .. } | Action::Adopt { .. }) => {
            None
        }
        None => audit.idle(plan),
    }
}

/// The attempts of an instance that a person has forgiven.
fn forgiven(run: &Run, cause: &Cause) -> u32 {
    let text = cause.to_string();
    match text.split('.').nth(1) {
        Some(step) => run.reopened.get(step).copied().unwrap_or(0),
        None => run.forgiven,
    }
}

struct Audit<'a> {
    decision: &'a Decision,
    object: &'a Object,
    rule: &'a RunRule,
    facts: &'a Facts<'a>,
    book: &'a Book,
}

impl Audit<'_> {
    /// True when something of the instance is there, or may be.
    fn unseen(&self) -> bool {
        match (self.facts.observed.sightings.get(&self.decision.id).map(|s| &s.sight), &self.facts.observed.coverage) {
            (Some(Sight::Absent), _) | (None, Coverage::Whole) => false,
            (Some(Sight::Seen(_) | Sight::Unreadable { .. }), _) | (None, Coverage::Partial { .. }) => true,
        }
    }

    /// What is made up for gives way to no later run.
    fn stop(&self) -> Option<Mutant> {
        let is_replaced = matches!(self.decision.because, Reason::Replaced { .. });
        (is_replaced && self.run()?.1.catches_up).then_some(Mutant::ReplacesCatchUp)
    }

    /// An end: nothing of it, or of its steps, is left, and the last write did not just fail.
    fn finish(&self) -> Option<Mutant> {
        let text = self.decision.id.cause.to_string();
        let over = |run: &Run| text.split('.').nth(1).is_some_and(|step| run.steps.contains_key(step));
        if self.run().is_some_and(|(_, run)| over(run)) {
            return Some(Mutant::StepAgain);
        }
        let whole = format!("{}.", self.decision.id.cause);
        let first = InstanceId { object: self.object.id.clone(), cause: Cause::Slot(0) };
        let mut seen = self.facts.observed.sightings.range(first..).take_while(|(id, _)| id.object == self.object.id);
        let is_left = seen.any(|(id, s)| s.sight != Sight::Absent && id.cause.to_string().starts_with(&whole));
        if is_left || self.unseen() {
            return Some(Mutant::FinishAlive);
        }
        let keeps = |run: &Run| run.catches_up && run.uid == self.object.uid && run.cancel.is_none();
        let is_cancelled = matches!(self.decision.because, Reason::Over { outcome: Outcome::Cancelled, .. });
        if is_cancelled && self.run().is_some_and(|(_, run)| keeps(run)) {
            return Some(Mutant::ReplacesCatchUp);
        }
        self.write()
    }

    /// A write that came to nothing is not repeated at once.
    fn write(&self) -> Option<Mutant> {
        let refused = self.book.refused.as_ref()?;
        (self.facts.now.boot < refused.at.after(REFUSED_RETRY)).then_some(Mutant::RefusedAgain)
    }

    /// The run that the instance belongs to.
    fn run(&self) -> Option<(Cause, &Run)> {
        let cause = &self.decision.id.cause;
        let own = self.book.runs.get_key_value(cause);
        let found = own.or_else(|| self.book.runs.get_key_value(&cause.parent()?));
        found.map(|(cause, run)| (cause.clone(), run))
    }

    fn spawn(&self, spawn: &Spawn) -> Option<Mutant> {
        let now = self.facts.now;
        let Some((cause, run)) = self.run() else { return Some(Mutant::JobAgain) };
        if self.facts.desired.frozen.is_some() {
            return Some(Mutant::IgnoreFreeze);
        }
        if self.asks(&self.rule.work) {
            return Some(Mutant::IgnoreConsent);
        }
        let is_begun = self.is_begun(&cause, run);
        let is_whole = cause == self.decision.id.cause;
        if self.is_paused(run) {
            return Some(Mutant::IgnorePause);
        }
        if (is_whole || !is_begun) && !self.has_needs() {
            return Some(Mutant::IgnoreNeeds);
        }
        if run.due > now.wall && !is_begun {
            return Some(Mutant::StartsEarly);
        }
        // What has begun goes on, also where an edit has left room for fewer since.
        if !is_begun && self.is_behind(&cause, run) {
            return Some(Mutant::IgnoreOverlap);
        }
        if let (Origin::Tick(_), Some(times)) = (&run.origin, times(self.facts, &self.object.id))
            && (is_whole || !is_begun)
            && times.quiet.iter().any(|quiet| quiet.until(now.wall).is_some())
        {
            return Some(Mutant::IgnoreQuiet);
        }
        if let Some(refused) = self.facts.observed.sightings.get(&self.decision.id).and_then(|s| s.refused.as_ref())
            && now.boot < refused.at.after(REFUSED_RETRY)
        {
            return Some(Mutant::RefusedAgain);
        }
        if cause != self.decision.id.cause
            && let Some(broken) = self.step(run)
        {
            return Some(broken);
        }
        let last = self.facts.backoff.0.get(&self.decision.id);
        let forgiven = forgiven(run, &self.decision.id.cause);
        if spawn.attempt != last.map_or(0, |last| last.number).max(forgiven).saturating_add(1) {
            return Some(Mutant::SameAttempt);
        }
        last.filter(|last| last.number > forgiven).and_then(|last| self.again(last, spawn))
    }

    /// True when something was done, or is being done, for a run that is not over.
    fn is_begun(&self, cause: &Cause, run: &Run) -> bool {
        let belongs = |id: &&InstanceId| {
            id.object == self.object.id && (id.cause == *cause || id.cause.parent().as_ref() == Some(cause))
        };
        let first = InstanceId { object: self.object.id.clone(), cause: Cause::Slot(0) };
        let attempts = self.facts.backoff.0.range(first.clone()..).take_while(|(id, _)| id.object == self.object.id);
        let mut attempts = attempts.filter(|(id, _)| belongs(id));
        let mut seen = self.facts.observed.sightings.range(first..).take_while(|(id, _)| id.object == self.object.id);
        // A message is begun by what was done for it since it was claimed; its records go when it goes back.
        (!matches!(run.origin, Origin::Message(_)) && !run.steps.is_empty())
            || attempts.any(|(id, last)| last.number > forgiven(run, &id.cause))
            || seen.any(|(id, sighting)| belongs(&id) && sighting.sight != Sight::Absent)
    }

    /// True when a pause holds it up: one that a person asked for goes on in spite of it, unless everything is stopped.
    fn is_paused(&self, run: &Run) -> bool {
        let pause = self.object.overrides.paused.as_ref();
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| self.facts.now.wall < until));
        is_paused && (!matches!(run.origin, Origin::Person(_)) || self.facts.desired.is_draining)
    }

    /// What it needs of other work that ends; of anything else the decisions about that say enough.
    fn has_needs(&self) -> bool {
        let Spec::Known(kind) = &self.object.spec else { return false };
        kind.needs().iter().all(|need| {
            let Some(needed) = self.facts.desired.objects.get(&need.object) else { return false };
            let Spec::Known(other) = &needed.spec else { return false };
            other.runs().is_none_or(|rule| is_met(self.facts, needed, rule, need.until))
        })
    }

    /// A further attempt, after `last`.
    fn again(&self, last: &Attempt, spawn: &Spawn) -> Option<Mutant> {
        let is_same_boot = last.boot_id == self.facts.now.boot_id;
        let retry = self.retry();
        match &last.end {
            End::Open if is_same_boot => Some(Mutant::LostIsSkipped),
            End::Ended { exit: Exit::Code(0), asked: false, .. } => Some(Mutant::CompletedAgain),
            End::Ended { asked: true, .. } if spawn.streak.deaths == last.streak.deaths => None,
            End::Open | End::Ended { .. } if spawn.streak.deaths > retry.times => Some(Mutant::RetriesForEver),
            End::Ended { at, .. } if is_same_boot => {
                let until = at.after(retry.wait_after(spawn.streak.deaths));
                (self.facts.now.boot < until).then_some(Mutant::RetriesAtOnce)
            }
            End::Open | End::Ended { .. } => None,
        }
    }

    fn retry(&self) -> super::rule::Retry {
        let step = self.decision.id.cause.parent().and_then(|_| self.flow()).and_then(|flow| {
            let text = self.decision.id.cause.to_string();
            flow.steps.iter().find(|step| text.split('.').nth(1) == Some(&*step.id)).map(|step| step.retry)
        });
        step.unwrap_or(self.rule.retry)
    }

    /// True when runs that have begun, or are older, leave no room.
    fn is_behind(&self, cause: &Cause, run: &Run) -> bool {
        let age = |run: &Run| match run.origin {
            Origin::Tick(nominal) if run.catches_up => nominal,
            Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) | Origin::Message(_) => run.created,
        };
        let place = |cause: &Cause, run: &Run| (!self.is_begun(cause, run), age(run), cause.clone());
        let own = place(cause, run);
        let before = self.book.runs.iter().filter(|(other, run)| *other != cause && place(other, run) < own).count();
        match self.rule.overlap {
            Overlap::Allow(at_once) => before >= usize::try_from(at_once.max(1)).unwrap_or(usize::MAX),
            Overlap::Skip | Overlap::Queue(_) | Overlap::Replace => before > 0,
        }
    }

    fn flow(&self) -> Option<&Flow> {
        match &self.rule.work {
            Work::Flow(flow) => Some(flow),
            Work::Use { target, with: _ } => target.candidates.iter().find_map(|candidate| {
                let Spec::Known(kind) = &self.facts.desired.objects.get(candidate)?.spec else { return None };
                match kind.part() {
                    Part::Workflow(flow) => Some(&**flow),
                    Part::None
                    | Part::Capability(_)
                    | Part::Quiet(_)
                    | Part::Settings(_)
                    | Part::Mailbox(_)
                    | Part::Trigger(_) => None,
                }
            }),
            Work::Command(_) | Work::Way(_) | Work::Prompt { .. } | Work::Sorted(_) => None,
        }
    }

    /// A start of a step.
    fn step(&self, run: &Run) -> Option<Mutant> {
        let text = self.decision.id.cause.to_string();
        let id = text.split('.').nth(1)?;
        let step = self.flow()?.steps.iter().find(|step| *step.id == *id)?;
        if run.steps.contains_key(&step.id) {
            return Some(Mutant::StepAgain);
        }
        let is_condition = text.split('.').nth(2).is_some();
        if !is_condition && (step.asks_first || self.asks_itself(&step.work)) {
            return Some(Mutant::IgnoreConsent);
        }
        let is_over = |need| run.steps.get(need).is_some_and(|over| matches!(over.outcome.word(), "ok" | "skipped"));
        (!step.needs.iter().all(is_over)).then_some(Mutant::StepOutOfTurn)
    }

    /// True when somebody has to agree to this work first, or to its object.
    fn asks(&self, work: &Work) -> bool {
        self.rule.risk == Risk::High || self.asks_itself(work)
    }

    fn asks_itself(&self, work: &Work) -> bool {
        let is_high = |candidate: &ObjectRef| {
            let Some(object) = self.facts.desired.objects.get(candidate) else { return false };
            let Spec::Known(kind) = &object.spec else { return false };
            matches!(kind.part(), Part::Capability(capability) if capability.risk == Risk::High)
        };
        match work {
            Work::Prompt { .. } => true,
            Work::Use { target, with: _ } => target.candidates.first().is_some_and(is_high),
            Work::Command(_) | Work::Way(_) | Work::Flow(_) | Work::Sorted(_) => false,
        }
    }

    fn fire(&self, fire: &Fire) -> Option<Mutant> {
        if self.facts.desired.frozen.is_some() {
            return Some(Mutant::IgnoreFreeze);
        }
        if self.asks(&self.rule.work) {
            return Some(Mutant::IgnoreConsent);
        }
        let cause = &self.decision.id.cause;
        let is_done = self.book.last.get(cause).is_some_and(|last| last.uid == self.object.uid);
        if self.book.runs.contains_key(cause) || (is_done && matches!(fire.run.origin, Origin::Generation(_))) {
            return Some(Mutant::JobAgain);
        }
        let (Some(tick), Some(cursor), Some(moved)) = (&fire.tick, &self.book.cursor, &fire.cursor) else {
            return None;
        };
        if tick.nominal <= cursor.at || moved.at < tick.nominal {
            return Some(Mutant::FiresAgain);
        }
        if tick.nominal < cursor.since {
            return Some(Mutant::FiresBeforeKnown);
        }
        self.passage(fire, tick, cursor)
    }

    /// A run for a due time that may be had, and what is passed with it.
    fn passage(&self, fire: &Fire, tick: &Tick, cursor: &Cursor) -> Option<Mutant> {
        let (Arises::Times(rule), Some(times)) = (&self.rule.arises, times(self.facts, &self.object.id)) else {
            return Some(Mutant::KeepsOldCursor);
        };
        if cursor.key != times.key || cursor.uid != self.object.uid {
            return Some(Mutant::KeepsOldCursor);
        }
        let backlog = Backlog { rule, times, cursor, book: self.book, now: self.facts.now.wall };
        if tick.nominal.after(times.offset) > backlog.now {
            return Some(Mutant::FiresEarly);
        }
        if rule.is_once && self.book.is_spent {
            return Some(Mutant::OnceAgain);
        }
        let is_quiet = quiet_until(times, fire.run.due.max(backlog.now)).is_some();
        if tick.state == TickState::Fired && is_quiet {
            return Some(Mutant::IgnoreQuiet);
        }
        if fire.run.catches_up && !backlog.catches_up(tick.nominal) {
            return Some(Mutant::IgnoreOverlap);
        }
        let is_skip = self.rule.overlap == Overlap::Skip && !fire.run.catches_up;
        if is_skip && !self.book.runs.is_empty() {
            return Some(Mutant::IgnoreOverlap);
        }
        backlog.fired(tick.nominal).or_else(|| self.passed(&backlog, &fire.passed, tick.nominal))
    }

    /// Rows of due times without a run, before `end`, which has a row of its own unless it is that of the last of them.
    fn passed(&self, backlog: &Backlog<'_>, rows: &[Tick], end: Timestamp) -> Option<Mutant> {
        let last = end.before(Duration::from_nanos(1));
        if let Some(broken) = backlog.uncovered(rows, last) {
            return Some(broken);
        }
        let missed = rows.iter().filter(|row| row.state == TickState::Missed);
        if let Some(broken) = missed.filter_map(|row| backlog.missed(row.to.unwrap_or(row.nominal))).next() {
            return Some(broken);
        }
        // What is made up for is not skipped because of what is at work: it waits.
        let is_free = self.facts.desired.frozen.is_none() && !backlog.rule.is_once && backlog.times.quiet.is_empty();
        let pause = self.object.overrides.paused.as_ref();
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| backlog.now < until));
        (is_free && !is_paused && rows.iter().any(|row| backlog.is_skipped(row))).then_some(Mutant::SkipsCatchUp)
    }

    /// A schedule that begins, or starts afresh, or passes due times without a run.
    fn note(&self, note: &Note) -> Option<Mutant> {
        if note.ticks.is_empty() {
            return (note.cursor.at < self.facts.now.wall).then_some(Mutant::FiresBeforeKnown);
        }
        let (Arises::Times(rule), Some(times), Some(cursor)) =
            (&self.rule.arises, times(self.facts, &self.object.id), &self.book.cursor)
        else {
            return Some(Mutant::KeepsOldCursor);
        };
        if note.ticks.iter().any(|row| row.state == TickState::ClockStep) || cursor.key != times.key {
            return None;
        }
        let backlog = Backlog { rule, times, cursor, book: self.book, now: self.facts.now.wall };
        self.passed(&backlog, &note.ticks, note.cursor.at.after(Duration::from_nanos(1)))
    }

    /// Nothing is done: whoever waits is woken, and what is out of time is not at work.
    fn idle(&self, plan: &Plan) -> Option<Mutant> {
        let due = |at| plan.wake_wall.is_none_or(|wake| wake > at).then_some(Mutant::ForgetDue);
        match &self.decision.because {
            Reason::Scheduled { next } => due(next.effective),
            Reason::NotYet { until } => due(*until),
            Reason::RetryWaits { until, .. } => {
                plan.wake_at.is_none_or(|wake| wake > *until).then_some(Mutant::ForgetWake)
            }
            Reason::AtWork if self.decision.id.cause.parent().is_none() => {
                let Some(Sight::Seen(alive)) = self.facts.observed.sightings.get(&self.decision.id).map(|s| &s.sight)
                else {
                    return None;
                };
                let late = alive.since.after(super::used::timeout(self.facts, &self.rule.work, self.rule.timeout)?);
                (late <= self.facts.now.boot).then_some(Mutant::IgnoreTimeout)
            }
            _ => None,
        }
    }
}
