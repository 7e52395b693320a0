//! What has to be there before a start, and what has to be gone before a stop.
//!
//! In: the needs of an object, and what was seen of those it needs. Out: the first need that is not met; the first
//! dependent that still runs. Not here: cycles and dangling names, which are errors of a manifest.
//! The surprise: a need gates a start only. When what is needed dies, whoever needed it runs on; and an order of stops
//! exists only among things that are all to be stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::backoff::End;
use super::converge::{Case, Draft, Facts, decide_wanted, is_replaced};
use super::desired::{Coverage, Object, Spec};
use super::expand::{Kind, Need, Until, Want};
use super::live::{self, Fitness};
use super::mutant::Mutant;
use super::name::{Cause, InstanceId, ObjectRef};
use super::observed::{Phase, Sight, Sighting, Twin};
use super::plan::{Lacking, Reason, State};
use super::run;

/// The first need of this object that is not met, and what it lacks.
pub(super) fn unmet(case: &Case<'_>) -> Option<(Need, Lacking)> {
    let Spec::Known(kind) = &case.object.spec else { return None };
    kind.needs().iter().find_map(|need| Some((need.clone(), lacking(case, need)?)))
}

fn lacking(case: &Case<'_>, need: &Need) -> Option<Lacking> {
    let facts = case.facts;
    let unknown = Some(Lacking::Instance(State::Unknown));
    let Some(object) = facts.desired.objects.get(&need.object) else {
        return if facts.desired.coverage == Coverage::Whole { Some(Lacking::Object) } else { unknown };
    };
    let Spec::Known(kind) = &object.spec else { return unknown };
    if let Some(rule) = kind.runs() {
        return run::need::lacking(facts, object, rule, need.until).map(Lacking::Instance);
    }
    let needed = Case { facts, object, is_nested: true };
    let items = facts.items(object, kind.as_ref());
    let mut wants = Vec::new();
    kind.expand(items, &mut wants);
    if wants.is_empty() {
        return if kind.for_each().is_some() && items.is_none() { unknown } else { Some(Lacking::Processes) };
    }
    let short = wants.iter().find(|want| !is_met(&needed, want, need.until))?;
    if case.is_nested {
        // Deep enough: what is missing further down is said where it is missing.
        return Some(Lacking::Instance(State::Waiting));
    }
    let id = InstanceId { object: object.id.clone(), cause: short.cause.clone() };
    let seen = facts.observed.sightings.get_key_value(&id);
    let mut scratch = Draft::new(1);
    decide_wanted(&needed, short, seen, &mut scratch);
    Some(Lacking::Instance(match scratch.tail(0).first().map(super::plan::Decision::state) {
        // On the benefit of the doubt, which is not enough here.
        Some(State::Ready) if need.until != Until::Done => State::Running,
        Some(state) => state,
        None => State::Unknown,
    }))
}

fn is_met(case: &Case<'_>, want: &Want<'_>, until: Until) -> bool {
    let id = InstanceId { object: case.object.id.clone(), cause: want.cause.clone() };
    let sighting = case.facts.observed.sightings.get(&id);
    // What is about to be stopped is no ground to stand on.
    let is_leaving = is_paused(case.facts, case.object) || sighting.is_some_and(|s| s.stop_asked.is_some());
    let until = match until {
        Until::Usable if want.up.probes.is_probed() => Until::Ready,
        Until::Usable => Until::Started,
        said => said,
    };
    match (until, sighting.map(|s| &s.sight)) {
        (Until::Done, Some(Sight::Seen(_) | Sight::Unreadable { .. })) => false,
        (Until::Done, Some(Sight::Absent) | None) => is_done(case, want, &id),
        (Until::Started | Until::Usable | Until::Ready, Some(Sight::Seen(_))) if is_leaving => false,
        (Until::Started | Until::Usable, Some(Sight::Seen(alive))) => alive.phase == Phase::Running,
        (Until::Ready, Some(Sight::Seen(alive))) => sighting.is_some_and(|s| {
            // Nothing starts on the benefit of the doubt: the first answer is a moment away.
            live::fitness(case.facts, want.up, alive, &s.health) == Fitness::Ready
        }),
        // Nobody can ask a stranger's process more than whether it is there.
        (Until::Started | Until::Usable | Until::Ready, Some(Sight::Absent)) => {
            sighting.is_some_and(|s| matches!(s.twin, Twin::One(_)))
        }
        (Until::Started | Until::Usable | Until::Ready, Some(Sight::Unreadable { .. }) | None) => false,
    }
}

/// Ended well by itself, as what is wanted now, and not to be started again.
fn is_done(case: &Case<'_>, want: &Want<'_>, id: &InstanceId) -> bool {
    case.facts.backoff.0.get(id).is_some_and(|last| match &last.end {
        End::Ended { exit, .. } => {
            exit.is_ok() && want.up.restart.is_over(exit) && !is_replaced(case, want.cause, last)
        }
        End::Open => false,
    })
}

/// Who needs whom, by what is needed.
pub(super) type Dependents = BTreeMap<ObjectRef, Vec<ObjectRef>>;

/// Something that needs `object`, is to be stopped like it, and still runs.
pub(super) fn stops_after(
    facts: &Facts<'_>,
    object: &ObjectRef,
    reason: &Reason,
    draft: &mut Draft,
) -> Option<ObjectRef> {
    let is_ordered = matches!(reason, Reason::Deleted | Reason::Paused { .. });
    if !is_ordered || facts.is_off(Mutant::StopNeedsFirst) {
        return None;
    }
    waits_for(facts, draft.dependents.get_or_insert_with(|| dependents(facts)), object)
}

/// Something on its way out that needs `object`, itself or by way of what does not run.
pub(super) fn waits_for(facts: &Facts<'_>, dependents: &Dependents, object: &ObjectRef) -> Option<ObjectRef> {
    let (mut open, mut visited) = (vec![object], BTreeSet::from([object]));
    while let Some(needed) = open.pop() {
        for one in dependents.get(needed).into_iter().flatten() {
            // Removed objects can need each other in a circle; those are stopped in no order.
            if is_on_its_way_out(facts, one) && !leads_back(facts, dependents, one, object) {
                return Some(one.clone());
            }
            // A migration that is done still stands between an application and its database.
            if !is_there(facts, one) && visited.insert(one) {
                open.push(one);
            }
        }
    }
    None
}

pub(super) fn dependents(facts: &Facts<'_>) -> Dependents {
    let mut dependents = Dependents::new();
    for object in facts.desired.objects.values() {
        if let Spec::Known(kind) = &object.spec {
            for need in kind.needs() {
                dependents.entry(need.object.clone()).or_default().push(object.id.clone());
            }
        }
    }
    for (id, stone) in &facts.desired.tombstones {
        for need in &stone.needs {
            dependents.entry(need.clone()).or_default().push(id.clone());
        }
    }
    dependents
}

/// True when it is to be stopped, by a person's word, and is still there.
pub(super) fn is_on_its_way_out(facts: &Facts<'_>, object: &ObjectRef) -> bool {
    let is_told = match facts.desired.objects.get(object) {
        Some(object) => is_paused(facts, object),
        None => facts.desired.coverage == Coverage::Whole && facts.desired.tombstones.contains_key(object),
    };
    is_told && is_there(facts, object)
}

fn is_there(facts: &Facts<'_>, object: &ObjectRef) -> bool {
    instances(facts, object).any(|sighting| matches!(sighting.sight, Sight::Seen(_)))
}

fn is_paused(facts: &Facts<'_>, object: &Object) -> bool {
    let pause = object.overrides.paused.as_ref();
    pause.is_some_and(|pause| pause.until.is_none_or(|until| facts.now.wall < until))
}

fn instances<'a>(facts: &Facts<'a>, object: &'a ObjectRef) -> impl Iterator<Item = &'a Sighting> + 'a {
    let first = InstanceId { object: object.clone(), cause: Cause::Slot(0) };
    facts.observed.sightings.range(first..).take_while(move |(id, _)| id.object == *object).map(|(_, s)| s)
}

fn leads_back(facts: &Facts<'_>, dependents: &Dependents, from: &ObjectRef, to: &ObjectRef) -> bool {
    let (mut open, mut visited) = (vec![from], BTreeSet::new());
    while let Some(object) = open.pop() {
        if object == to {
            return true;
        }
        if visited.insert(object) {
            let leads = |one: &&ObjectRef| is_on_its_way_out(facts, one) || !is_there(facts, one);
            open.extend(dependents.get(object).into_iter().flatten().filter(leads));
        }
    }
    false
}

impl Facts<'_> {
    /// The items that were seen of an object; none when it has none or they are not known.
    pub(super) fn items(&self, object: &Object, kind: &dyn Kind) -> Option<&super::expand::Items> {
        kind.for_each()?;
        match self.observed.items.get(&object.id) {
            Some(Sight::Seen(items)) => Some(items),
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => None,
        }
    }
}
