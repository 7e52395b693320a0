//! What begins out of turn, or on a machine that is pressed too hard: for the audit.
//!
//! In: a plan with the facts it was made from. Out: an object that is favoured. Not here: deciding ([`super::order`],
//! [`super::pressure`]). The surprise: turns are told from the outcome alone. Whoever took the most places is held
//! against whoever waits with the fewest, and it does not matter how it came to that.

use std::collections::BTreeMap;

use super::ledger::{Origin, Run};
use super::order;
use crate::engine::converge::Facts;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId, ObjectRef};
use crate::engine::observed::Sight;
use crate::engine::plan::{Action, Decision, Plan, Reason};
use crate::engine::time::Timestamp;

/// The rule that the plan as a whole breaks, with the object it is about.
pub(in crate::engine) fn broken(plan: &Plan, facts: &Facts<'_>) -> Option<(Mutant, Option<ObjectRef>)> {
    let found = favoured(plan, facts).map(|object| (Mutant::IgnoreTurns, object));
    let found = found.or_else(|| begun(plan, facts).map(|object| (Mutant::IgnorePressure, object)));
    found.map(|(rule, object)| (rule, Some(object.clone())))
}

/// The places of one object.
#[derive(Default)]
struct Places {
    /// Those it has, those it gets now included.
    count: usize,
    /// The newest run that begins.
    newest: Option<Timestamp>,
    /// The oldest run that waits for a place.
    oldest: Option<Timestamp>,
}

/// An object that gets a place which another is waiting for that has fewer; or as few, and had one longer ago; or else waits
/// for longer.
fn favoured<'a>(plan: &'a Plan, facts: &'a Facts<'_>) -> Option<&'a ObjectRef> {
    let is_queued = |decision: &Decision| matches!(decision.because, Reason::Queued { .. });
    if !plan.decisions.iter().any(is_queued) {
        return None;
    }
    let mut places: BTreeMap<&ObjectRef, Places> = BTreeMap::new();
    for (id, sighting) in &facts.observed.sightings {
        if sighting.sight != Sight::Absent {
            places.entry(&id.object).or_default().count += 1;
        }
    }
    for decision in plan.decisions.iter().filter(|d| order::is_run(facts.desired, &d.id.object)) {
        let of = places.entry(&decision.id.object).or_default();
        let due = run_of(facts, &decision.id).map_or(facts.now.wall, |(_, run)| run.due);
        if matches!(decision.action, Some(Action::Spawn(_))) {
            of.count += 1;
            of.newest = of.newest.max(Some(due));
        } else if is_queued(decision) {
            of.oldest = Some(of.oldest.map_or(due, |oldest| oldest.min(due)));
        }
    }
    let served = |object: &ObjectRef| {
        let book = facts.observed.ledger.books.get(object);
        book.and_then(|book| book.last.values().map(|last| last.ended).max())
    };
    let most = places.iter().filter_map(|(id, of)| Some(((of.count, served(id), of.newest?), *id))).max()?;
    let least = places.iter().filter_map(|(id, of)| Some((of.count + 1, served(id), of.oldest?))).min()?;
    (most.0 > least).then_some(most.1)
}

/// True when the machine is beyond a limit.
pub(in crate::engine) fn is_pressed(facts: &Facts<'_>) -> bool {
    let (Some(settings), Some(pressure)) = (order::settings(facts.desired), facts.observed.pressure) else {
        return false;
    };
    let (limits, figures) = (settings.gates, pressure.figures);
    let over = |limit: Option<u64>, figure: Option<u64>| limit.is_some_and(|limit| figure.is_some_and(|f| f > limit));
    let is_short = limits.memory_free.is_some_and(|limit| figures.memory_free.is_some_and(|free| free < limit));
    over(limits.load, figures.load)
        || over(limits.cpu, figures.cpu)
        || over(limits.memory, figures.memory)
        || over(limits.io, figures.io)
        || is_short
}

/// An object of which something begins that a limit should hold back.
fn begun<'a>(plan: &'a Plan, facts: &'a Facts<'_>) -> Option<&'a ObjectRef> {
    // First of all: most homes have no limit, and whether a run is new takes a look at all there is.
    if !is_pressed(facts) {
        return None;
    }
    let takes_up = |decision: &&Decision| match &decision.action {
        Some(Action::Claim(_)) => true,
        Some(Action::Spawn(_)) => is_new(facts, &decision.id),
        Some(_) | None => false,
    };
    plan.decisions.iter().find(takes_up).map(|decision| &decision.id.object)
}

/// The run that an instance is of.
fn run_of<'a>(facts: &Facts<'a>, id: &InstanceId) -> Option<(Cause, &'a Run)> {
    let runs = &facts.observed.ledger.books.get(&id.object)?.runs;
    let root = if runs.contains_key(&id.cause) { id.cause.clone() } else { id.cause.parent()? };
    runs.get(&root).map(|run| (root, run))
}

/// True for the first process of a run.
fn is_new(facts: &Facts<'_>, id: &InstanceId) -> bool {
    let Some((root, run)) = run_of(facts, id) else { return false };
    let is_of = |other: &InstanceId| {
        other.object == id.object && (other.cause == root || other.cause.parent() == Some(root.clone()))
    };
    let forgiven = |cause: &Cause| match cause.to_string().strip_prefix(&format!("{root}.")) {
        None => run.forgiven,
        Some(step) => run.reopened.get(step.split('.').next().unwrap_or(step)).copied().unwrap_or(0),
    };
    let is_seen = facts.observed.sightings.iter().any(|(id, s)| is_of(id) && s.sight != Sight::Absent);
    let has_record = facts.backoff.0.iter().any(|(id, last)| is_of(id) && last.number > forgiven(&id.cause));
    // Steps of a message are left of an earlier claim.
    let has_steps = !run.steps.is_empty() && !matches!(run.origin, Origin::Message(_));
    !has_steps && !is_seen && !has_record
}
