//! What is left of a run whose work has changed under it: a step that no longer exists, a command that has become steps.
//!
//! In: a run, and which instances its work has now. Out: decisions about the others. Not here: those it has now.
//! The surprise: nobody ends them for the change. A run is not over, and does nothing else, until they have ended.

use super::attempts::{Ending, One, decide_one};
use super::decide::Runs;
use super::ledger::Run;
use super::rule::Retry;
use crate::engine::converge::{Draft, Facts};
use crate::engine::desired::Coverage;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::Sight;

/// Decides about instances of a run that its work does not have. How many there are.
pub(in crate::engine) fn decide(
    runs: &Runs<'_>,
    (cause, run): (&Cause, &Run),
    is_known: impl Fn(&InstanceId) -> bool,
    ending: Option<&Ending>,
    draft: &mut Draft,
) -> usize {
    let facts = runs.case.facts;
    let first = runs.id(&cause.step(""));
    let is_ours = |id: &InstanceId| id.object == first.object && id.cause.parent().as_ref() == Some(cause);
    let steps = facts.observed.sightings.range(first.clone()..).take_while(|(id, _)| is_ours(id));
    let whole = facts.observed.sightings.get_key_value(&runs.id(cause));
    let there = whole.into_iter().chain(steps).filter(|(id, s)| s.sight != Sight::Absent && !is_known(id));
    let left: Vec<&InstanceId> = there.map(|(id, _)| id).collect();
    for id in &left {
        let one = One {
            id: (*id).clone(),
            launch: &|| Err("its work has changed".into()),
            policy: &runs.rule.policy,
            retry: Retry::NONE,
            timeout: if id.cause == *cause { runs.timeout() } else { None },
            forgiven: run.forgiven,
            ending: ending.cloned(),
            step_of: None,
        };
        let decision = decide_one(runs, &one, |_| None, draft);
        draft.push(facts, decision);
    }
    left.len()
}

/// True when nothing of an instance is there, for certain.
pub(in crate::engine) fn is_gone(facts: &Facts<'_>, id: &InstanceId) -> bool {
    match (facts.observed.sightings.get(id).map(|s| &s.sight), &facts.observed.coverage) {
        (Some(Sight::Absent), _) | (None, Coverage::Whole) => true,
        (Some(Sight::Seen(_) | Sight::Unreadable { .. }), _) | (None, Coverage::Partial { .. }) => false,
    }
}
