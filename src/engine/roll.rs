//! Replaces healthy instances in turn.
//!
//! In: the decisions about one object, those of healthy but outdated instances left open. Out: at most one of them
//! turned into a stop. Not here: unhealthy outdated instances, which are replaced without waiting.
//! The surprise: a crash of the new revision in any slot halts the roll, and only the next edit lets it go on.

use super::backoff::{End, Standing};
use super::converge::{Case, Draft, is_restart_asked, standing};
use super::desired::{RevisionMatch, Spec};
use super::live::STOP_BEGINS_WITHIN;
use super::mutant::Mutant;
use super::name::InstanceId;
use super::observed::{Alive, Sight};
use super::plan::{Action, Decision, Reason};

/// Lets the first healthy outdated instance go when every other is as it should be.
pub(super) fn take_turns(case: &Case<'_>, start: usize, draft: &mut Draft) {
    let decisions = draft.tail(start);
    if !decisions.iter().any(|d| is_waiting(case, d)) {
        return;
    }
    if decisions.iter().any(|d| is_crashed(case, d)) && !case.facts.is_off(Mutant::RollOverCrash) {
        for decision in decisions.iter_mut().filter(|d| d.because == Reason::RollWaits) {
            decision.because = Reason::RollHalted;
        }
        return;
    }
    let is_settled = decisions.iter().all(|d| is_waiting(case, d) || is_settled(d));
    if !is_settled && !case.facts.is_off(Mutant::RollAllAtOnce) {
        return;
    }
    let waiting = decisions.iter().enumerate().filter(|(_, d)| is_waiting(case, d));
    // What nobody has had an answer of is missed the least.
    let mut waiting: Vec<(bool, usize)> = waiting.map(|(i, d)| (d.because == Reason::RollWaits, i)).collect();
    waiting.sort_unstable();
    let at_once = if case.facts.is_off(Mutant::RollAllAtOnce) { usize::MAX } else { 1 };
    for (_, i) in waiting.into_iter().take(at_once) {
        let Some((action, because)) = draft.tail(start).get(i).and_then(|d| stop(case, &d.id)) else { continue };
        let has_room = draft.has_room(case.facts);
        draft.wake(case.facts, Mutant::ForgetGrace, case.facts.now.boot.after(STOP_BEGINS_WITHIN));
        if let Some(decision) = draft.tail(start).get_mut(i) {
            (decision.action, decision.because) =
                if has_room { (Some(action), because) } else { (None, Reason::PlanFull) };
        }
    }
}

/// Outdated, and not known to be of no use.
fn is_waiting(case: &Case<'_>, decision: &Decision) -> bool {
    match &decision.because {
        Reason::RollWaits => true,
        Reason::Unready { .. } => is_outdated(case, &decision.id),
        _ => false,
    }
}

fn is_outdated(case: &Case<'_>, id: &InstanceId) -> bool {
    case.facts.observed.sightings.get(id).is_some_and(|sighting| {
        let Sight::Seen(Alive { revision, attempt, .. }) = &sighting.sight else { return false };
        case.object.compare(revision) == RevisionMatch::Changed
            || is_restart_asked(&case.object.overrides, &id.cause, *attempt)
    })
}

/// As it should be, or beyond help: neither stands in the way of the next. What only counts as ready, since nobody has
/// heard of it yet, does: a successor that never gets ready must not cost one healthy instance a controller.
fn is_settled(decision: &Decision) -> bool {
    use Reason::{Adopted, Ambiguous, Completed, Drifted, ForeignRevision, Healthy};
    let is_ours = matches!(decision.because, Healthy | ForeignRevision | Completed { .. });
    is_ours || matches!(decision.because, Adopted { .. } | Drifted { .. } | Ambiguous { .. })
}

/// True when the wanted revision has crashed in this slot since it was last forgiven.
fn is_crashed(case: &Case<'_>, decision: &Decision) -> bool {
    case.facts.backoff.0.get(&decision.id).is_some_and(|last| {
        let counts = standing(case.object, &decision.id.cause, last, case.facts.now) == Standing::Counts;
        let is_death = matches!(last.end, End::Ended { asked: false, .. }) && !is_done(decision);
        counts && (last.streak.crashes > 0 || is_death)
    })
}

/// Ended well, and its restart rule asks for no more: the opposite of a crash.
pub(super) fn is_done(decision: &Decision) -> bool {
    matches!(&decision.because, Reason::Completed { exit } if exit.is_ok())
}

fn stop(case: &Case<'_>, id: &InstanceId) -> Option<(Action, Reason)> {
    let sighting = case.facts.observed.sightings.get(id)?;
    let Sight::Seen(Alive { shim, revision, attempt, .. }) = &sighting.sight else { return None };
    let Spec::Known(kind) = &case.object.spec else { return None };
    let is_asked = is_restart_asked(&case.object.overrides, &id.cause, *attempt);
    let is_changed = case.object.compare(revision) == RevisionMatch::Changed;
    let reason =
        if is_asked && !is_changed { Reason::RestartAsked } else { Reason::Changed { from: revision.clone() } };
    Some((Action::Stop { shim: shim.clone(), policy: kind.policy(), failing: None }, reason))
}
