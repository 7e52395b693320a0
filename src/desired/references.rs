//! Objects that name other objects: does each name somebody, and does nobody need itself.
//!
//! In: proposals with what they name, and the current generation. Out: a problem, with its place, for every name that
//! leads nowhere and for every circle. Not here: what is named for what (`kind`).
//! The surprise: what is being removed in the same go counts as gone, and what is only stored counts as there.

use std::collections::{BTreeMap, BTreeSet};

use super::change::Proposal;
use super::generation::Stored;
use super::registry;
use crate::engine::ObjectRef;
use crate::kind::Names;
use crate::load::{Link, Problem, similar};

/// What is wrong with the references of `proposals`, each with the proposal it stands in.
#[must_use]
pub fn check(base: &Stored, proposals: &[&Proposal], removed: &BTreeSet<&ObjectRef>) -> Vec<(ObjectRef, Problem)> {
    if proposals.iter().all(|proposal| proposal.links.is_empty()) {
        return Vec::new();
    }
    let proposed: BTreeMap<&ObjectRef, &Proposal> =
        proposals.iter().map(|proposal| (&proposal.id, *proposal)).collect();
    let is_stored = |id: &ObjectRef| base.objects.contains_key(id) && !removed.contains(id);
    let mut found = Vec::new();
    for proposal in proposals {
        for (link, object) in proposal.links.iter().filter_map(|link| Some((link, needed(link)?))) {
            if !proposed.contains_key(object) && !is_stored(object) {
                let names = proposed.keys().copied().chain(base.objects.keys().filter(|id| is_stored(id)));
                let meant = similar(object.name(), names.map(ObjectRef::name));
                found.push((proposal.id.clone(), dangling(proposal, link, object, meant, removed.contains(object))));
            }
        }
    }
    found.extend(circles(base, proposals, &proposed));
    found
}

/// What has to be there before it starts, if that is what is named.
fn needed(link: &Link) -> Option<&ObjectRef> {
    match &link.names {
        Names::Need(object) => Some(object),
        Names::Quiet(_) | Names::Use { .. } | Names::Zone(_) | Names::Alone => None,
    }
}

fn dangling(proposal: &Proposal, link: &Link, object: &ObjectRef, meant: Option<&str>, is_going: bool) -> Problem {
    let mut problem = link.at.clone();
    let why = if is_going { "which this would remove" } else { "which is neither in these files nor applied" };
    problem.message = format!("{} needs {}, {why}", proposal.id, object);
    problem.label = meant.map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default();
    problem.help = "add its manifest, apply it first, or correct the name".to_owned();
    problem
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
