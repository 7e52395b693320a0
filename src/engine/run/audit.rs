//! What every decision about work that ends must satisfy, found out again by another road.
//!
//! In: a plan with the facts it was made from. Out: the rule a decision breaks. Not here: deciding.
//! The surprise: nothing here asks the code that decides. A rule that both got from the same line would hold nothing.

use super::ledger::{Book, Cursor, Origin, Run, TickState, Times};
use super::order;
use super::rule::{Arises, Flow, Overlap, Part, Risk, RunRule, Work};
use super::ticks::{CATCH_UP_MAX, LATE, quiet_until};
use crate::engine::backoff::{Attempt, End, Exit};
use crate::engine::converge::Facts;
use crate::engine::desired::{Coverage, Object, Spec};
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, ObjectRef};
use crate::engine::observed::Sight;
use crate::engine::plan::{Action, Decision, Fire, Note, Plan, Reason, Spawn};

/// The rule that the plan as a whole breaks, with the object it is about.
pub(in crate::engine) fn whole(plan: &Plan, facts: &Facts<'_>) -> Option<(Mutant, Option<ObjectRef>)> {
    let of_run = |d: &&Decision| order::is_run(facts.desired, &d.id.object);
    let starts = plan.decisions.iter().filter(of_run).filter(|d| matches!(d.action, Some(Action::Spawn(_)))).count();
    let seen = facts.observed.sightings.iter();
    let at_work =
        seen.filter(|(id, s)| matches!(s.sight, Sight::Seen(_)) && order::is_run(facts.desired, &id.object)).count();
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
    caught_up(plan, facts)
}

/// An object that makes up for more than is allowed.
fn caught_up(plan: &Plan, facts: &Facts<'_>) -> Option<(Mutant, Option<ObjectRef>)> {
    let is_made_up = |decision: &&Decision| match &decision.action {
        Some(Action::Fire(fire)) => fire.tick.as_ref().is_some_and(|tick| {
            let offset = times(facts, &decision.id.object).map_or(std::time::Duration::ZERO, |times| times.offset);
            tick.nominal.after(offset).after(LATE) < facts.now.wall
        }),
        _ => false,
    };
    let mut made_up = plan.decisions.iter().filter(is_made_up).map(|d| &d.id.object).peekable();
    while let Some(object) = made_up.next() {
        let mut count = 1;
        while made_up.next_if(|next| *next == object).is_some() {
            count += 1;
        }
        if count > CATCH_UP_MAX {
            return Some((Mutant::CatchesUpUnbounded, Some(object.clone())));
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
    match &decision.action {
        Some(Action::Spawn(spawn)) => audit.spawn(spawn),
        Some(Action::Fire(fire)) => audit.fire(fire),
        Some(Action::Note(note)) => audit.note(note),
        Some(Action::Finish(_)) => audit.unseen().then_some(Mutant::FinishAlive),
        Some(
            Action::Stop { .. }
            | Action::EndTree { .. }
            | Action::RecordLost { .. }
            | Action::SetPolicy { .. }
            | Action::Adopt { .. },
        ) => None,
        None => audit.idle(plan),
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
        if run.due > now.wall {
            return Some(Mutant::StartsEarly);
        }
        if cause == self.decision.id.cause && self.is_behind(&cause, run) {
            return Some(Mutant::IgnoreOverlap);
        }
        if cause != self.decision.id.cause
            && let Some(broken) = self.step(run)
        {
            return Some(broken);
        }
        let last = self.facts.backoff.0.get(&self.decision.id);
        if spawn.attempt != last.map_or(0, |last| last.number).max(self.forgiven(run)).saturating_add(1) {
            return Some(Mutant::SameAttempt);
        }
        last.filter(|last| last.number > self.forgiven(run)).and_then(|last| self.again(last, spawn))
    }

    fn forgiven(&self, run: &Run) -> u32 {
        if self.decision.id.cause.parent().is_some() { 0 } else { run.forgiven }
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

    /// True when runs that are older leave no room.
    fn is_behind(&self, cause: &Cause, run: &Run) -> bool {
        let older = self.book.runs.iter().filter(|(c, r)| (r.created, *c) < (run.created, cause)).count();
        match self.rule.overlap {
            Overlap::Allow(at_once) => older >= usize::try_from(at_once.max(1)).unwrap_or(usize::MAX),
            Overlap::Skip | Overlap::Queue(_) | Overlap::Replace => older > 0,
        }
    }

    fn flow(&self) -> Option<&Flow> {
        match &self.rule.work {
            Work::Flow(flow) => Some(flow),
            Work::Use { target, with: _ } => target.candidates.iter().find_map(|candidate| {
                let Spec::Known(kind) = &self.facts.desired.objects.get(candidate)?.spec else { return None };
                match kind.part() {
                    Part::Workflow(flow) => Some(&**flow),
                    Part::None | Part::Capability(_) | Part::Quiet(_) | Part::Settings(_) => None,
                }
            }),
            Work::Command(_) | Work::Way(_) | Work::Prompt { .. } => None,
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
        if step.asks_first || self.asks(&step.work) {
            return Some(Mutant::IgnoreConsent);
        }
        let is_over = |need| run.steps.get(need).is_some_and(|over| matches!(over.outcome.word(), "ok" | "skipped"));
        (!step.needs.iter().all(is_over)).then_some(Mutant::StepOutOfTurn)
    }

    /// True when somebody has to agree to this work first.
    fn asks(&self, work: &Work) -> bool {
        let is_high = |candidate: &ObjectRef| {
            let Some(object) = self.facts.desired.objects.get(candidate) else { return false };
            let Spec::Known(kind) = &object.spec else { return false };
            matches!(kind.part(), Part::Capability(capability) if capability.risk == Risk::High)
        };
        match work {
            Work::Prompt { .. } => true,
            Work::Use { target, with: _ } => target.candidates.first().is_some_and(is_high),
            Work::Command(_) | Work::Way(_) | Work::Flow(_) => self.rule.risk == Risk::High,
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
        self.scheduled(fire, cursor)
    }

    /// A run for a due time that may be had.
    fn scheduled(&self, fire: &Fire, cursor: &Cursor) -> Option<Mutant> {
        let (Arises::Times(rule), Some(times)) = (&self.rule.arises, times(self.facts, &self.object.id)) else {
            return Some(Mutant::KeepsOldCursor);
        };
        let tick = fire.tick.as_ref()?;
        let now = self.facts.now.wall;
        if cursor.key != times.key || cursor.uid != self.object.uid {
            return Some(Mutant::KeepsOldCursor);
        }
        if tick.nominal.after(times.offset) > now {
            return Some(Mutant::FiresEarly);
        }
        if rule.is_once && self.book.is_spent {
            return Some(Mutant::OnceAgain);
        }
        let is_quiet = quiet_until(times, fire.run.due.max(now)).is_some();
        if tick.state == TickState::Fired && is_quiet {
            return Some(Mutant::IgnoreQuiet);
        }
        (self.rule.overlap == Overlap::Skip && !self.book.runs.is_empty()).then_some(Mutant::IgnoreOverlap)
    }

    /// A schedule that begins, or starts afresh.
    fn note(&self, note: &Note) -> Option<Mutant> {
        let is_beginning = note.ticks.is_empty();
        (is_beginning && note.cursor.at < self.facts.now.wall).then_some(Mutant::FiresBeforeKnown)
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
                let late = alive.since.after(self.rule.timeout?);
                (late <= self.facts.now.boot).then_some(Mutant::IgnoreTimeout)
            }
            _ => None,
        }
    }
}
