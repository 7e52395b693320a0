//! Objects that name other objects: is each there, does it take what it is given, and does nobody need itself.
//!
//! In: proposals with what they name, and the current generation. Out: a problem, with its place, for every name that
//! leads nowhere or to the wrong thing, and for every circle. Not here: what is named for what (`kind`).
//! The surprise: what is being removed in the same go counts as gone, and what is only stored counts as there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::change::Proposal;
use super::generation::Stored;
use super::known::Known;
use super::registry;
use super::uses::{self, Fault};
use crate::engine::ObjectRef;
use crate::engine::time::Timestamp;
use crate::kind::Names;
use crate::load::{Link, Problem};

/// What is wrong with the references of `proposals`, each with the proposal it stands in.
#[must_use]
pub fn check(base: &Stored, proposals: &[&Proposal], removed: &BTreeSet<&ObjectRef>) -> Vec<(ObjectRef, Problem)> {
    if proposals.iter().all(|proposal| proposal.links.is_empty()) {
        return Vec::new();
    }
    let known = Known::new(base, proposals, removed);
    let now = now();
    let mut found = Vec::new();
    for proposal in proposals {
        let before = found.len();
        for link in proposal.links.iter() {
            let faults = faults(&known, &proposal.id, &link.names);
            found.extend(faults.into_iter().map(|fault| (proposal.id.clone(), at(link, fault))));
        }
        // Hours that are not there leave all the room there is.
        let hours = proposal.links.iter().find(|link| matches!(link.names, Names::Quiet(_)));
        if let (true, Some(link)) = (found.len() == before, hours) {
            let fault = uses::room(&known, &proposal.id, now);
            found.extend(fault.map(|fault| (proposal.id.clone(), at(link, fault))));
        }
    }
    let proposed: BTreeMap<&ObjectRef, &Proposal> =
        proposals.iter().map(|proposal| (&proposal.id, *proposal)).collect();
    found.extend(circles(base, proposals, &proposed));
    found
}

/// What is wrong with one thing that an object names. Needs no file, so that an object can be checked before it has one.
#[must_use]
pub fn faults(known: &Known<'_>, id: &ObjectRef, names: &Names) -> Vec<Fault> {
    match names {
        Names::Need(object) => dangling(known, id, object).into_iter().collect(),
        Names::Quiet(hours) => uses::quiet(known, id, hours).into_iter().collect(),
        Names::Use { target, with } => uses::used(known, id, target, with),
        Names::Zone(name) => uses::zone(known, name).into_iter().collect(),
        Names::Alone => uses::alone(known, id).into_iter().collect(),
    }
}

/// The problem of a fault, at its place.
fn at(link: &Link, fault: Fault) -> Problem {
    let place = link.fields.iter().find(|(below, _)| *below == fault.below).map_or(&link.at, |(_, at)| at);
    let label = match fault.meant.as_slice() {
        [] => String::new(),
        [one] => format!("did you mean `{one}`?"),
        several => format!("did you mean one of `{}`?", several.join("`, `")),
    };
    let mut problem = place.clone();
    (problem.message, problem.label, problem.help) = (fault.message, label, fault.help);
    // A field that is missing has no place of its own, and is the one to fill in.
    if !fault.below.is_empty() {
        let above = link.path.split_last().map_or(&[][..], |(_, above)| above);
        problem.field = [above, &fault.below].concat().join(".");
    }
    problem.meant = fault.meant;
    problem
}

/// The moment from which on there has to be room for a start.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(since)
}

/// What has to be there before it starts, if that is what is named.
fn needed(link: &Link) -> Option<&ObjectRef> {
    match &link.names {
        Names::Need(object) => Some(object),
        Names::Quiet(_) | Names::Use { .. } | Names::Zone(_) | Names::Alone => None,
    }
}

fn dangling(known: &Known<'_>, id: &ObjectRef, object: &ObjectRef) -> Option<Fault> {
    if known.has(object) {
        return None;
    }
    let why =
        if known.is_going(object) { "which this would remove" } else { "which is neither in these files nor applied" };
    let same = ["job", "service"].iter().filter_map(|kind| ObjectRef::new(kind, object.name()).ok());
    let other = same.into_iter().find(|other| known.has(other)).map(|other| other.to_string());
    let alike = || known.alike(object.name(), &["job", "service"]).first().map(|id| spoken(id));
    Some(Fault {
        message: format!("{id} needs {object}, {why}"),
        meant: other.or_else(alike).into_iter().collect(),
        help: "add its manifest, apply it first, or correct the name".to_owned(),
        ..Fault::default()
    })
}

/// As a need is written: a Service by its name.
fn spoken(id: &ObjectRef) -> String {
    if id.kind() == "service" { id.name().to_owned() } else { id.to_string() }
}

/// One problem for each circle that goes through a proposal.
fn circles(
    base: &Stored,
    proposals: &[&Proposal],
    proposed: &BTreeMap<&ObjectRef, &Proposal>,
) -> Vec<(ObjectRef, Problem)> {
    let mut needs: BTreeMap<ObjectRef, Vec<ObjectRef>> = BTreeMap::new();
    for (id, object) in base.objects.iter().filter(|(id, _)| !proposed.contains_key(id)) {
        let named = registry::needs(id.kind(), &object.spec);
        needs.insert(id.clone(), named.iter().filter_map(|name| name.parse().ok()).collect());
    }
    for proposal in proposals {
        needs.insert(proposal.id.clone(), proposal.links.iter().filter_map(needed).cloned().collect());
    }
    let (mut found, mut told) = (Vec::new(), BTreeSet::new());
    for proposal in proposals.iter().filter(|proposal| !proposal.links.is_empty()) {
        if told.contains(&proposal.id) {
            continue;
        }
        let Some(circle) = circle_from(&needs, &proposal.id) else { continue };
        let first = circle.get(1).unwrap_or(&proposal.id);
        if let Some(link) = proposal.links.iter().find(|link| needed(link) == Some(first)) {
            let mut problem = link.at.clone();
            let names: Vec<&str> = circle.iter().map(ObjectRef::as_str).collect();
            problem.message = format!("{} needs itself: {}", proposal.id, names.join(" -> "));
            problem.help = "remove one of these needs: none of them could ever start".to_owned();
            found.push((proposal.id.clone(), problem));
        }
        told.extend(circle);
    }
    found
}

/// A way from `start` back to it.
fn circle_from(needs: &BTreeMap<ObjectRef, Vec<ObjectRef>>, start: &ObjectRef) -> Option<Vec<ObjectRef>> {
    let mut came_from: BTreeMap<&ObjectRef, &ObjectRef> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        for next in needs.get(at).into_iter().flatten() {
            if next == start {
                let mut way = vec![start.clone(), at.clone()];
                let mut step = at;
                while let Some(before) = came_from.get(step) {
                    way.push((*before).clone());
                    step = before;
                }
                // Found backwards; `start` stands at both ends, once where it needs itself directly.
                if at == start {
                    way.pop();
                    way.push(start.clone());
                }
                way.reverse();
                return Some(way);
            }
            if next != start && !came_from.contains_key(next) {
                came_from.insert(next, at);
                open.push(next);
            }
        }
    }
    None
}
