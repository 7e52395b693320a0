//! Who goes first: among the runs of one object, and among all of them.
//!
//! In: runs that could start. Out: those that may, within the limits; the others wait, and say for whom.
//! Not here: whether they could start at all. The surprise: among all of them, whoever has the fewest places goes first,
//! and then whoever had one the longest ago, so that nobody starves while the limit is reached, however much of another
//! has piled up.

use std::collections::BTreeMap;

use super::decide::Runs;
use super::ledger::{Book, Ledger, Origin, Run};
use super::rule::{Overlap, Part};
use crate::engine::converge::{Case, Draft, Facts};
use crate::engine::desired::{Desired, Spec};
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId, ObjectRef};
use crate::engine::observed::{Sight, Sighting};
use crate::engine::plan::{Action, Decision, Reason};
use crate::engine::time::Timestamp;

/// The runs of an object that are not over, in the order in which they come. What has begun keeps its place, also before
/// an older one that a person has reopened since; beyond that, the oldest comes first, and what is made up for comes in
/// the order of its due times, however the clock was set while they were found.
pub(super) fn in_order<'a>(case: &Case<'_>, book: &'a Book) -> Vec<&'a Cause> {
    if book.runs.len() < 2 {
        return book.runs.keys().collect();
    }
    let place = |(cause, run): (&'a Cause, &'a Run)| (!is_begun(case, cause, run), age(run), cause);
    let mut places: Vec<_> = book.runs.iter().map(place).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, _, cause)| cause).collect()
}

/// What a run is as old as.
fn age(run: &Run) -> Timestamp {
    match run.origin {
        Origin::Tick(nominal) if run.catches_up => nominal,
        Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) | Origin::Message(_) => run.created,
    }
}

/// The newest run of an object that is not over, but for those that are made up for: they take no place of another.
pub(super) fn newest(book: &Book) -> Option<&Cause> {
    book.runs
        .iter()
        .filter(|(_, run)| !run.catches_up)
        .max_by_key(|(cause, run)| (run.created, *cause))
        .map(|(cause, _)| cause)
}

/// The run of the same object that this one has to wait for.
pub(super) fn behind(runs: &Runs<'_>, cause: &Cause) -> Option<Reason> {
    if runs.case.facts.is_off(Mutant::IgnoreOverlap) {
        return None;
    }
    let at_once = match runs.rule.overlap {
        Overlap::Skip | Overlap::Queue(_) | Overlap::Replace => 1,
        Overlap::Allow(at_once) => usize::try_from(at_once.max(1)).unwrap_or(usize::MAX),
    };
    let rank = runs.ranks.get(cause).copied()?;
    // The one at whose end this one moves up.
    let ahead = rank.checked_sub(at_once)?;
    runs.order.get(ahead).map(|cause| Reason::Behind { cause: (*cause).clone() })
}

/// True when an attempt of a run, or of one of its steps, is there or was there since a person reopened it; of a message,
/// since it was claimed.
pub(in crate::engine) fn is_begun(case: &Case<'_>, cause: &Cause, run: &Run) -> bool {
    let facts = case.facts;
    let counted = |id: &InstanceId, number: u32| number > forgiven(run, cause, &id.cause);
    let own = InstanceId { object: case.object.id.clone(), cause: cause.clone() };
    // The steps of a run follow it in the order of names, with a point between.
    let steps = InstanceId { object: own.object.clone(), cause: cause.step("") };
    let is_step = |id: &InstanceId| id.object == own.object && id.cause.parent().as_ref() == Some(cause);
    let is_seen = |sighting: &Sighting| sighting.sight != Sight::Absent;
    let mut records = facts.backoff.0.range(steps.clone()..).take_while(|(id, _)| is_step(id));
    let mut seen = facts.observed.sightings.range(steps..).take_while(|(id, _)| is_step(id));
    // Steps that an earlier claim of a message has left stand, and are no beginning of this one.
    let has_steps = !run.steps.is_empty() && !matches!(run.origin, super::ledger::Origin::Message(_));
    has_steps
        || facts.backoff.0.get(&own).is_some_and(|last| counted(&own, last.number))
        || facts.observed.sightings.get(&own).is_some_and(is_seen)
        || records.any(|(id, last)| counted(id, last.number))
        || seen.any(|(_, sighting)| is_seen(sighting))
}

/// The attempts of an instance of this run that a person has forgiven.
fn forgiven(run: &Run, cause: &Cause, of: &Cause) -> u32 {
    if of == cause {
        return run.forgiven;
    }
    let text = of.to_string();
    text.split('.').nth(1).and_then(|step| run.reopened.get(step)).copied().unwrap_or(0)
}

/// How many runs may have processes at once.
pub(in crate::engine) fn limit(desired: &Desired, ledger: &Ledger) -> usize {
    let said = settings(desired).and_then(|settings| settings.max_runs);
    usize::try_from(said.unwrap_or(ledger.max_runs_default)).unwrap_or(usize::MAX)
}

/// The defaults and limits of the home.
#[must_use]
pub fn settings(desired: &Desired) -> Option<&super::rule::Settings> {
    let first = ObjectRef::new("settings", "0").ok()?;
    let (id, object) = desired.objects.range(first..).next()?;
    let Spec::Known(kind) = &object.spec else { return None };
    match kind.part() {
        Part::Settings(settings) if id.kind() == "settings" => Some(settings),
        Part::Settings(_)
        | Part::None
        | Part::Capability(_)
        | Part::Workflow(_)
        | Part::Quiet(_)
        | Part::Mailbox(_)
        | Part::Trigger(_) => None,
    }
}

/// True when instances of this object are runs.
pub(in crate::engine) fn is_run(desired: &Desired, object: &ObjectRef) -> bool {
    desired.objects.get(object).is_some_and(|object| super::decide::rule_of(object).is_some())
}

/// Lets starts through, as many as the limit and the plan leave room for. Places go round: first to objects of which the
/// fewest processes are at work, these starts included; among those to the one whose last run was over the longest ago,
/// and then to what has waited the longest. So a storm for one object takes the places that nobody else wants, and of a
/// single place its turn.
pub(in crate::engine) fn admit(facts: &Facts<'_>, draft: &mut Draft) {
    let is_start = |d: &Decision| matches!(d.action, Some(Action::Spawn(_))) && is_run(facts.desired, &d.id.object);
    let mut starts: Vec<(Timestamp, usize)> = Vec::new();
    for (index, decision) in draft.tail(0).iter().enumerate() {
        if is_start(decision) {
            starts.push((since(facts, decision), index));
        }
    }
    if starts.is_empty() {
        return;
    }
    let mut places: BTreeMap<&ObjectRef, usize> = BTreeMap::new();
    for (id, sighting) in &facts.observed.sightings {
        if sighting.sight != Sight::Absent && is_run(facts.desired, &id.object) {
            *places.entry(&id.object).or_default() += 1;
        }
    }
    let limit = limit(facts.desired, &facts.observed.ledger);
    let is_unlimited = facts.is_off(Mutant::IgnoreMaxRuns);
    let room = if is_unlimited { usize::MAX } else { limit.saturating_sub(places.values().sum()) };
    starts.sort_unstable();
    if !facts.is_off(Mutant::IgnoreTurns) {
        starts = by_turns(facts, starts, &places, draft);
    }
    for (place, (_, index)) in starts.into_iter().enumerate() {
        let refused = match place < room {
            true if draft.has_room(facts) => None,
            true => Some(Reason::PlanFull),
            false => Some(Reason::Queued { limit }),
        };
        if let (Some(decision), Some(reason)) = (draft.tail(0).get_mut(index), refused) {
            (decision.action, decision.because) = (None, reason);
        }
    }
}

/// Starts in the order of the places they would be of their objects, and of the last ends of these; `places` are those that
/// are taken.
fn by_turns(
    facts: &Facts<'_>,
    starts: Vec<(Timestamp, usize)>,
    places: &BTreeMap<&ObjectRef, usize>,
    draft: &mut Draft,
) -> Vec<(Timestamp, usize)> {
    let decisions = draft.tail(0);
    let mut objects: BTreeMap<ObjectRef, (usize, Option<Timestamp>)> = BTreeMap::new();
    let mut turns: Vec<(usize, Option<Timestamp>, (Timestamp, usize))> = Vec::with_capacity(starts.len());
    for start in starts {
        let Some(decision) = decisions.get(start.1) else { continue };
        let object = &decision.id.object;
        if !objects.contains_key(object) {
            objects.insert(object.clone(), (places.get(object).copied().unwrap_or(0), served(facts, object)));
        }
        if let Some((place, served)) = objects.get_mut(object) {
            *place += 1;
            turns.push((*place, *served, start));
        }
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, _, start)| start).collect()
}

/// When a run of this object was over last, as far as that is remembered.
fn served(facts: &Facts<'_>, object: &ObjectRef) -> Option<Timestamp> {
    facts.observed.ledger.books.get(object)?.last.values().map(|last| last.ended).max()
}

/// Since when a run could have started.
fn since(facts: &Facts<'_>, decision: &Decision) -> Timestamp {
    let book = facts.observed.ledger.books.get(&decision.id.object);
    let run =
        book.and_then(|book| book.runs.get(&decision.id.cause).or_else(|| book.runs.get(&decision.id.cause.parent()?)));
    run.map_or(facts.now.wall, |run| run.due)
}
