//! Decides about the runs of one object.
//!
//! In: an object that runs to completion, its book, what was seen of its instances. Out: one decision for each due
//! time, run and step. Not here: which due times there are ([`super::ticks`]), the order among objects
//! ([`super::order`]). The surprise: an attempt of a run is an instance like that of a Service, and is stopped, buried
//! and looked for in the same way; only what its end is answered with differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::attempts::{Ending, One, decide_one};
use super::launch::launch_of;
use super::ledger::{Book, Final, Origin, Outcome, Run};
use super::rule::{Arises, RunRule, Work};
use super::used::{Resolved, consent, resolve};
use super::{flow, left, ticks};
use crate::engine::backoff::Attempt;
use crate::engine::converge::{Case, Draft, Facts, REFUSED_RETRY, pause_reason, wait};
use crate::engine::desired::{Coverage, Object, Spec};
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::needs;
use crate::engine::observed::{Refused, Sight, Sighting};
use crate::engine::plan::{Action, Decision, Finish, Fire, Owed, Reason};
use crate::engine::queue;
use crate::engine::time::Timestamp;

/// One object that runs to completion, with all that is known of it.
pub(in crate::engine) struct Runs<'a> {
    pub case: &'a Case<'a>,
    pub rule: &'a RunRule,
    pub book: &'a Book,
    /// The runs that are not over, in the order in which they come.
    pub order: Vec<&'a Cause>,
    /// The place of each in that order.
    pub ranks: BTreeMap<&'a Cause, usize>,
}

type Seen<'a> = (&'a InstanceId, &'a Sighting);

/// Decides about everything owed or seen of one object.
pub(in crate::engine) fn decide(runs: &Runs<'_>, group: &[Seen<'_>], draft: &mut Draft) {
    let start = draft.len();
    let facts = runs.case.facts;
    match &facts.observed.ledger.trouble {
        Some(why) => draft.push(facts, wait(runs.id(&Cause::schedule()), Reason::NoStore { why: why.clone() })),
        None => arise(runs, draft),
    }
    for (cause, run) in &runs.book.runs {
        decide_run(runs, cause, run, draft);
    }
    if let (Arises::Messages(rule), None) = (&runs.rule.arises, &facts.observed.ledger.trouble) {
        // After the others: what ends now makes room.
        queue::decide::claim(runs, rule, start, draft);
    }
    if let Some(why) = &facts.observed.ledger.trouble {
        // What is owed goes on, and what has ended is remembered when that is possible again.
        for decision in draft.tail(start) {
            if let Some(Action::Finish(_) | Action::Return(_)) = &decision.action {
                (decision.action, decision.because) = (None, Reason::NoStore { why: why.clone() });
            }
        }
    }
    let decided: BTreeSet<Cause> = match group {
        [] => BTreeSet::new(),
        _ => draft.tail(start).iter().map(|decision| decision.id.cause.clone()).collect(),
    };
    for (id, sighting) in group {
        if decided.contains(&id.cause) {
            continue;
        }
        let because = match &sighting.sight {
            Sight::Absent => continue,
            Sight::Unreadable { why } => Reason::Blind { why: why.clone() },
            Sight::Seen(_) => match &facts.observed.ledger.trouble {
                Some(why) => Reason::NoStore { why: why.clone() },
                // Nobody remembers that it is owed. It is left to end by itself.
                None => Reason::Stray,
            },
        };
        draft.push(facts, wait((*id).clone(), because));
    }
    draft.tail(start).sort_by(|a, b| a.id.cmp(&b.id));
}

/// What becomes due.
fn arise(runs: &Runs<'_>, draft: &mut Draft) {
    match &runs.rule.arises {
        Arises::Times(times) => ticks::decide(runs, times, draft),
        Arises::Once { .. } => once(runs, draft),
        Arises::Asked | Arises::Messages(_) => {}
    }
}

/// The run of the present generation of a Job.
fn once(runs: &Runs<'_>, draft: &mut Draft) {
    let facts = runs.case.facts;
    let generation = runs.case.object.work_generation;
    let cause = Cause::generation(generation);
    let id = runs.id(&cause);
    if runs.book.runs.contains_key(&cause) {
        return;
    }
    let decision = match runs.book.last.get(&cause) {
        Some(Final { uid, outcome, reason, .. }) if *uid == runs.case.object.uid && !facts.is_off(Mutant::JobAgain) => {
            wait(id, Reason::Over { outcome: *outcome, why: reason.clone() })
        }
        Some(_) | None => match runs.not_now(&cause, draft) {
            Some(reason) => wait(id, reason),
            None => {
                let owed = Owed { origin: Origin::Generation(generation), due: facts.now.wall, catches_up: false };
                let fire =
                    Fire { tick: None, passed: Vec::new(), run: owed, uid: runs.case.object.uid.clone(), cursor: None };
                Decision { id, action: Some(Action::Fire(Box::new(fire))), because: Reason::Due }
            }
        },
    };
    draft.push(facts, decision);
}

impl<'a> Runs<'a> {
    pub fn new(case: &'a Case<'a>, rule: &'a RunRule, book: &'a Book) -> Runs<'a> {
        let order = super::order::in_order(case, book);
        let ranks = order.iter().enumerate().map(|(rank, cause)| (*cause, rank)).collect();
        Runs { case, rule, book, order, ranks }
    }

    /// The same runs under another rule.
    pub fn with_rule<'b>(&'b self, rule: &'b RunRule) -> Runs<'b> {
        Runs { case: self.case, rule, book: self.book, order: self.order.clone(), ranks: self.ranks.clone() }
    }

    /// The instance of a cause.
    pub fn id(&self, cause: &Cause) -> InstanceId {
        InstanceId { object: self.case.object.id.clone(), cause: cause.clone() }
    }

    /// The longest an attempt may take; a workflow as a whole.
    pub fn timeout(&self) -> Option<Duration> {
        super::used::timeout(self.case.facts, &self.rule.work, self.rule.timeout)
    }

    /// Why a Job that has not begun does not begin now.
    fn not_now(&self, cause: &Cause, draft: &mut Draft) -> Option<Reason> {
        let facts = self.case.facts;
        if self.book.writing.contains(cause) {
            return Some(Reason::Writing);
        }
        if let Some(reason) = refused(facts, self.book.refused.as_ref(), draft) {
            return Some(reason);
        }
        if let Some(reason) = held(self, true, draft) {
            return Some(reason);
        }
        let at = match &self.book.times {
            Some(Ok(times)) => times.at,
            Some(Err(why)) => return Some(Reason::Blind { why: why.clone() }),
            None => match &self.rule.arises {
                Arises::Once { at: Some(_) } => {
                    return Some(Reason::Blind { why: "its moment has not been worked out yet".into() });
                }
                Arises::Once { at: None } | Arises::Times(_) | Arises::Asked | Arises::Messages(_) => None,
            },
        };
        let at = at.filter(|at| *at > facts.now.wall)?;
        draft.wake_wall(facts, Mutant::ForgetDue, at);
        Some(Reason::NotYet { until: at })
    }
}

/// A write or a start that came to nothing is not repeated at once.
pub(in crate::engine) fn refused(facts: &Facts<'_>, refused: Option<&Refused>, draft: &mut Draft) -> Option<Reason> {
    let Refused { at, why } = refused?;
    let until = at.after(REFUSED_RETRY);
    if facts.now.boot >= until {
        return None;
    }
    draft.wake(facts, Mutant::ForgetWake, until);
    Some(Reason::Refused { why: why.clone(), until })
}

/// Why nothing of this object begins, whatever is due. A person who asks for a run asks in spite of a pause.
pub(in crate::engine) fn held(runs: &Runs<'_>, heeds_pause: bool, draft: &mut Draft) -> Option<Reason> {
    let facts = runs.case.facts;
    if let Some(frozen) = &facts.desired.frozen
        && !facts.is_off(Mutant::IgnoreFreeze)
    {
        return Some(Reason::FrozenByPerson { by: frozen.by.clone(), reason: frozen.reason.clone() });
    }
    let is_draining = facts.desired.is_draining;
    if heeds_pause || is_draining {
        let pause = pause_reason(runs.case, draft);
        if pause.is_some() {
            return pause;
        }
    }
    consent(facts, &runs.rule.work, runs.rule.risk)
}

/// Decides about one run that is not over.
fn decide_run(runs: &Runs<'_>, cause: &Cause, run: &Run, draft: &mut Draft) {
    let facts = runs.case.facts;
    let id = runs.id(cause);
    if runs.book.writing.contains(cause) {
        return draft.push(facts, settling(runs, id));
    }
    let ending = ending(runs, cause, run);
    match &runs.rule.work {
        Work::Sorted(sorting) => queue::decide::decide(runs, sorting, (cause, run), ending, draft),
        Work::Command(_) | Work::Use { .. } | Work::Way(_) | Work::Flow(_) | Work::Prompt { .. } => {
            decide_work(runs, cause, run, ending, draft);
        }
    }
}

/// Decides about one run whose work is known.
pub(in crate::engine) fn decide_work(
    runs: &Runs<'_>,
    cause: &Cause,
    run: &Run,
    ending: Option<Ending>,
    draft: &mut Draft,
) {
    let facts = runs.case.facts;
    let id = runs.id(cause);
    match resolve(facts, &runs.rule.work) {
        Ok(Resolved::Flow(flow)) => flow::decide(runs, flow, cause, run, ending, draft),
        resolved => {
            let left = left::decide(runs, (cause, run), |other| *other == id, ending.as_ref(), draft);
            if left > 0 {
                let done = run.steps.len();
                return draft.push(facts, wait(id, Reason::Steps { done, of: done.saturating_add(left) }));
            }
            let launch = || launch_of(resolved.clone()?, runs.rule, run, &runs.case.object.id, cause);
            let one = One {
                id,
                launch: &launch,
                policy: &runs.rule.policy,
                retry: runs.rule.retry,
                timeout: runs.timeout(),
                forgiven: run.forgiven,
                ending,
                step_of: None,
            };
            let decision = decide_one(runs, &one, |draft| may_start(runs, cause, run, draft), draft);
            push(runs, decision, draft);
        }
    }
}

/// Adds a decision. An end that could not be written down is not written again at once.
pub(in crate::engine) fn push(runs: &Runs<'_>, decision: Decision, draft: &mut Draft) {
    let facts = runs.case.facts;
    let is_end = matches!(decision.action, Some(Action::Finish(_)));
    let refused = if is_end { refused(facts, runs.book.refused.as_ref(), draft) } else { None };
    match refused {
        Some(reason) => draft.push(facts, wait(decision.id, reason)),
        None if matches!(decision.action, Some(Action::Spawn(_))) => draft.push_start(decision),
        None => draft.push(facts, decision),
    }
}

/// Its end is being written; what is left of its process is waited for.
fn settling(runs: &Runs<'_>, id: InstanceId) -> Decision {
    match runs.case.facts.observed.sightings.get(&id).map(|s| &s.sight) {
        Some(Sight::Seen(_)) => wait(id, Reason::Stopping),
        Some(Sight::Absent | Sight::Unreadable { .. }) | None => wait(id, Reason::Writing),
    }
}

fn ending(runs: &Runs<'_>, cause: &Cause, run: &Run) -> Option<Ending> {
    if let Some(by) = &run.cancel {
        return Some(Ending::Cancelled(by.clone()));
    }
    if run.uid != runs.case.object.uid {
        return Some(Ending::Foreign);
    }
    if runs.case.facts.desired.is_draining {
        return Some(Ending::Draining);
    }
    if let Origin::Generation(generation) = run.origin
        && generation != runs.case.object.work_generation
    {
        return Some(Ending::Superseded);
    }
    let is_kept = run.catches_up && !runs.case.facts.is_off(Mutant::ReplacesCatchUp);
    let newest = super::order::newest(runs.book).filter(|_| !is_kept);
    match (runs.rule.overlap, newest) {
        (super::rule::Overlap::Replace, Some(newest)) if newest != cause => Some(Ending::Replaced(newest.clone())),
        (_, _) => None,
    }
}

/// Why a run that is owed does not start now.
pub(in crate::engine) fn may_start(runs: &Runs<'_>, cause: &Cause, run: &Run, draft: &mut Draft) -> Option<Reason> {
    let facts = runs.case.facts;
    let is_asked = matches!(run.origin, Origin::Person(_));
    if let Some(reason) = held(runs, !is_asked, draft) {
        return Some(reason);
    }
    if let Some(until) = not_before(runs, cause, run) {
        draft.wake_wall(facts, Mutant::ForgetDue, until);
        return Some(Reason::NotYet { until });
    }
    if let Some((need, is)) = needs::unmet(runs.case)
        && !facts.is_off(Mutant::IgnoreNeeds)
    {
        return Some(Reason::NeedsWait { need, is });
    }
    super::order::behind(runs, cause)
}

/// When it may start, if that lies ahead: its own time, and the end of quiet hours.
fn not_before(runs: &Runs<'_>, cause: &Cause, run: &Run) -> Option<Timestamp> {
    let facts = runs.case.facts;
    let now = facts.now.wall;
    // Once it has begun, a clock that is set back holds up no further attempt.
    if run.due > now && !super::order::is_begun(runs.case, cause, run) && !facts.is_off(Mutant::StartsEarly) {
        return Some(run.due);
    }
    match (&runs.book.times, &run.origin) {
        (Some(Ok(times)), Origin::Tick(_)) if !facts.is_off(Mutant::IgnoreQuiet) => {
            ticks::quiet_until(times, now).map(|(until, _)| until)
        }
        (_, _) => None,
    }
}

/// Runs of objects that are no longer there, or were never here.
pub(in crate::engine) fn orphans(facts: &Facts<'_>, draft: &mut Draft) {
    for (object, book) in &facts.observed.ledger.books {
        if facts.desired.objects.contains_key(object) || facts.desired.coverage != Coverage::Whole {
            continue;
        }
        // An end that could not be written down is not written again at once.
        if facts.observed.ledger.trouble.is_some() || refused(facts, book.refused.as_ref(), draft).is_some() {
            continue;
        }
        for (cause, run) in book.runs.iter().filter(|(cause, _)| !book.writing.contains(*cause)) {
            let id = InstanceId { object: object.clone(), cause: cause.clone() };
            if !left::is_gone(facts, &id) || is_left(facts, &id) {
                continue;
            }
            // Its steps end first, or nobody would know how often each was tried when somebody brings it back.
            let (id, finish) = match untold(facts, &id, run) {
                Some((step, _)) if book.writing.contains(&step.cause) => continue,
                Some((step, last)) => (step.clone(), Finish { step_of: Some(cause.clone()), ..end(Some(last), None) }),
                None => {
                    let outcome = queue::decide::done(facts, &id, run).then_some(Outcome::Ok);
                    let finish = end(facts.backoff.0.get(&id), outcome);
                    let attempts = finish.attempts.max(run.forgiven);
                    let message = queue::decide::orphaned(run, finish.outcome);
                    (id, Finish { attempts, message, ..finish })
                }
            };
            let because = Reason::Over { outcome: finish.outcome, why: finish.why.clone() };
            draft.push(facts, Decision { id, action: Some(Action::Finish(Box::new(finish))), because });
        }
    }
}

/// The end of what nobody wants any more.
fn end(last: Option<&Attempt>, outcome: Option<Outcome>) -> Finish {
    let (outcome, why) = match outcome {
        Some(outcome) => (outcome, "exited with 0".into()),
        None => (Outcome::Cancelled, Arc::<str>::from("its object was deleted")),
    };
    Finish {
        step_of: None,
        outcome,
        why,
        attempts: last.map_or(0, |last| last.number),
        exit: None,
        started: last.map(|last| last.started_wall),
        output: None,
        message: None,
    }
}

/// A step of this run that was tried and has no end.
fn untold<'a>(facts: &Facts<'a>, id: &InstanceId, run: &Run) -> Option<(&'a InstanceId, &'a Attempt)> {
    let first = InstanceId { object: id.object.clone(), cause: id.cause.step("") };
    let is_step = |other: &InstanceId| other.object == id.object && other.cause.parent().as_ref() == Some(&id.cause);
    let mut steps = facts.backoff.0.range(first..).take_while(|(other, _)| is_step(other));
    steps.find(|(other, _)| {
        let text = other.cause.to_string();
        let names: Vec<&str> = text.split('.').skip(1).collect();
        matches!(names.as_slice(), [name] if !run.steps.contains_key(*name))
    })
}

/// True when something of a step of this run is there.
fn is_left(facts: &Facts<'_>, run: &InstanceId) -> bool {
    let first = InstanceId { object: run.object.clone(), cause: run.cause.step("") };
    let is_step = |id: &InstanceId| id.object == run.object && id.cause.parent().as_ref() == Some(&run.cause);
    let mut steps = facts.observed.sightings.range(first..).take_while(|(id, _)| is_step(id));
    steps.any(|(_, sighting)| sighting.sight != Sight::Absent)
}

/// What an object of the desired state runs to completion, if anything.
pub(in crate::engine) fn rule_of(object: &Object) -> Option<&RunRule> {
    match &object.spec {
        Spec::Known(kind) => kind.runs(),
        Spec::Opaque { .. } => None,
    }
}
