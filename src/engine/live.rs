//! Decides about an instance that is there, in whatever condition.
//!
//! In: one live sighting and, if it is wanted, what is wanted of it. Out: its decision. Not here: absent instances.
//! The surprise: nothing is ever started while anything of the instance is left; a stop that does not begin is first
//! waited for, then done without the shim.

use std::sync::Arc;
use std::time::Duration;

use super::converge::{Case, Draft, Facts, is_restart_asked, pause_reason, wait};
use super::desired::RevisionMatch;
use super::expand::Up;
use super::mutant::Mutant;
use super::name::InstanceId;
use super::needs;
use super::observed::{Alive, Member, Phase, Sighting};
use super::plan::{Action, Decision, Policy, Reason, StopRule, Told};
use super::probe::{Health, Readiness};
use super::time::BootTime;

/// How long a process lives until it counts as ready, where no probe says more.
pub const READY_AFTER: Duration = Duration::from_secs(1);

/// How long a shim may take to begin a stop.
pub const STOP_BEGINS_WITHIN: Duration = Duration::from_secs(2);

/// How often an unfinished kill is repeated.
pub const KILL_AGAIN: Duration = Duration::from_secs(1);

/// Moments of readiness are looked at in steps of this, so that a thousand starts are no thousand wake-ups.
const READY_STEP_NANOS: u64 = 100_000_000;

/// Decides about a live instance that is wanted.
pub(super) fn decide(
    case: &Case<'_>,
    up: &Up,
    id: InstanceId,
    alive: &Alive,
    sighting: Option<&Sighting>,
    draft: &mut Draft,
) -> Decision {
    let facts = case.facts;
    let (Some(sighting), true) = (sighting, is_whole_process(alive.phase)) else {
        return passing(facts, &up.policy, id, alive, sighting, draft);
    };
    if let Some(reason) = pause_reason(case, draft) {
        return end(facts, &up.policy, id, alive, sighting, reason, draft);
    }
    if sighting.stop_asked.is_some() {
        return end(facts, &up.policy, id, alive, sighting, Reason::Stopping, draft);
    }
    let match_of = case.object.compare(&alive.revision);
    let is_foreign_killed = match_of == RevisionMatch::UnknownVersion && facts.is_off(Mutant::ForeignIsChanged);
    let is_asked = is_restart_asked(&case.object.overrides, &id.cause, alive.attempt)
        || (facts.is_off(Mutant::RestartForEver) && !case.object.overrides.restart.is_empty());
    let fitness = fitness(facts, up, alive, &sighting.health);
    if match_of == RevisionMatch::Changed || is_foreign_killed || is_asked {
        // `roll` turns one of the first two into a stop; what is known to be of no use goes at once.
        match fitness {
            Fitness::Ready | Fitness::Found => return wait(id, Reason::RollWaits),
            Fitness::Unasked => return wait(id, unready(up, alive, &sighting.health)),
            Fitness::Unready => {}
        }
        let reason = if is_asked { Reason::RestartAsked } else { Reason::Changed { from: alive.revision.clone() } };
        return end(facts, &up.policy, id, alive, sighting, reason, draft);
    }
    if let Some(said) = failing(facts, up, alive, &sighting.health) {
        return end(facts, &up.policy, id, alive, sighting, Reason::Unhealthy { said }, draft);
    }
    if sighting.policy.as_ref() != Some(&up.policy) || facts.is_off(Mutant::PolicyAgain) {
        let action = Action::SetPolicy { shim: alive.shim.clone(), policy: up.policy.clone() };
        return Decision { id, action: Some(action), because: Reason::PolicyChanged };
    }
    if fitness == Fitness::Found {
        return wait(id, Reason::Found);
    }
    if fitness == Fitness::Ready {
        let is_foreign = match_of == RevisionMatch::UnknownVersion;
        return wait(id, if is_foreign { Reason::ForeignRevision } else { Reason::Healthy });
    }
    if alive.phase == Phase::Frozen {
        return wait(id, Reason::Frozen);
    }
    let Readiness::After(delay) = up.probes.readiness() else {
        let is_executed = alive.phase == Phase::Running;
        return wait(id, if is_executed { unready(up, alive, &sighting.health) } else { Reason::Starting });
    };
    let at = ready_at(alive, delay);
    if alive.phase == Phase::Running {
        draft.wake(facts, Mutant::ForgetWake, at);
    }
    wait(id, Reason::NotReadyYet { at })
}

/// Whether a process can be used, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    /// By its age, its word or an answer: to the nanosecond, whenever somebody looks.
    Ready,
    /// It ran before anybody was there to ask it.
    Found,
    /// Nobody has had an answer of it yet: its probe may be younger than it.
    Unasked,
    /// It said so, or it is not up.
    Unready,
}

/// What is known of the fitness of a live instance.
pub(super) fn fitness(facts: &Facts<'_>, up: &Up, alive: &Alive, health: &Health) -> Fitness {
    if alive.phase != Phase::Running {
        return Fitness::Unready;
    }
    let ready_if = |is_ready| if is_ready { Fitness::Ready } else { Fitness::Unready };
    match up.probes.readiness() {
        Readiness::After(delay) => ready_if(alive.since.after(delay) <= facts.now.boot),
        Readiness::Probed if facts.is_off(Mutant::ReadyUnproven) => {
            ready_if(alive.since.after(READY_AFTER) <= facts.now.boot)
        }
        Readiness::Probed if is_told_by_shim(up) => ready_if(alive.is_told),
        Readiness::Probed => match &health.ready {
            Some(evidence) if evidence.is_of(alive) => ready_if(evidence.is_pass),
            Some(_) | None if health.is_found => Fitness::Found,
            Some(_) | None => Fitness::Unasked,
        },
    }
}

/// True when its shim says whether it is ready.
pub(super) fn is_told_by_shim(up: &Up) -> bool {
    up.policy.told != Told::AtOnce
}

/// What its liveness probe says against it, if that was asked of this very process.
fn failing(facts: &Facts<'_>, up: &Up, alive: &Alive, health: &Health) -> Option<Arc<str>> {
    let evidence = health.live.as_ref().filter(|evidence| !evidence.is_pass)?;
    let counts = evidence.is_of(alive) || facts.is_off(Mutant::OldEvidence);
    // One that somebody froze answers nothing, and is theirs to thaw.
    let is_asked = alive.phase == Phase::Running && up.probes.live.is_some();
    (counts && is_asked).then(|| evidence.said.clone())
}

fn unready(up: &Up, alive: &Alive, health: &Health) -> Reason {
    let (said, has_passed): (Arc<str>, bool) = match (&up.policy.told, &health.ready) {
        (Told::ByLog(text), _) => (format!("its output has not shown {text:?} yet").into(), false),
        (Told::ByNotify, _) => ("it has not sent READY=1 yet".into(), false),
        (Told::AtOnce, Some(evidence)) if evidence.is_of(alive) => (evidence.said.clone(), evidence.has_passed),
        (Told::AtOnce, Some(_) | None) => ("it has not been probed yet".into(), false),
    };
    Reason::Unready { said, has_passed }
}

/// True when a shim is up and the payload is not on its way out.
fn is_whole_process(phase: Phase) -> bool {
    match phase {
        Phase::Starting | Phase::Running | Phase::Frozen => true,
        Phase::Spawning | Phase::Stopping | Phase::Ending | Phase::Lingering => false,
    }
}

/// When to look whether it is ready, rounded up.
fn ready_at(alive: &Alive, delay: Duration) -> BootTime {
    let exact = alive.since.after(delay).nanos();
    BootTime::from_nanos(exact.div_ceil(READY_STEP_NANOS).saturating_mul(READY_STEP_NANOS))
}

/// On its way in or out, whatever is wanted of it.
pub(super) fn passing(
    facts: &Facts<'_>,
    policy: &Policy,
    id: InstanceId,
    alive: &Alive,
    sighting: Option<&Sighting>,
    draft: &mut Draft,
) -> Decision {
    match (alive.phase, sighting) {
        (Phase::Stopping | Phase::Lingering, Some(sighting)) => {
            end(facts, policy, id, alive, sighting, Reason::Stopping, draft)
        }
        (Phase::Stopping | Phase::Ending | Phase::Lingering, _) => wait(id, Reason::Stopping),
        (Phase::Spawning | Phase::Starting | Phase::Running | Phase::Frozen, _) => wait(id, Reason::Starting),
    }
}

/// Ends an instance, or waits for an end that is under way.
pub(super) fn end(
    facts: &Facts<'_>,
    policy: &Policy,
    id: InstanceId,
    alive: &Alive,
    sighting: &Sighting,
    reason: Reason,
    draft: &mut Draft,
) -> Decision {
    match (alive.phase, sighting.stop_asked) {
        // What is on its way up is stopped once it is up: there is nobody to ask yet.
        (Phase::Spawning, _) => wait(id, Reason::Starting),
        // Its shim does it; one that was asked by somebody else, or is about to go, is only waited for.
        (Phase::Stopping, None) | (Phase::Ending, _) => wait(id, Reason::Stopping),
        (Phase::Lingering, _) => end_tree(facts, policy.stop, id, &alive.tree, sighting, Reason::Lingering, draft),
        (Phase::Starting | Phase::Running | Phase::Frozen, None) => {
            let mut shim = alive.shim.clone();
            if facts.is_off(Mutant::KillsAnother) {
                shim.started += 1;
            }
            if let Some(dependent) = needs::stops_after(facts, &id.object, &reason, draft) {
                return wait(id, Reason::StopWaits { dependent });
            }
            draft.wake(facts, Mutant::ForgetGrace, facts.now.boot.after(STOP_BEGINS_WITHIN));
            let failing = if let Reason::Unhealthy { said } = &reason { Some(said.clone()) } else { None };
            Decision { id, action: Some(Action::Stop { shim, policy: policy.clone(), failing }), because: reason }
        }
        (Phase::Starting | Phase::Running | Phase::Frozen | Phase::Stopping, Some(asked)) => {
            // A stop that has begun takes its grace; a shim that hangs after that is passed by like one that never began.
            let begun = if alive.phase == Phase::Stopping { policy.stop.grace } else { Duration::ZERO };
            let late = asked.after(begun).after(STOP_BEGINS_WITHIN);
            if facts.now.boot < late && !facts.is_off(Mutant::ImpatientWithShim) {
                draft.wake(facts, Mutant::ForgetGrace, late);
                return wait(id, Reason::Stopping);
            }
            let tree = &alive.tree;
            if tree.is_empty() {
                // Nothing of its own is left, so the shim itself is all that holds the instance.
                let shim = Member { proc: alive.shim.clone(), name: "setpoint".into() };
                draft.wake(facts, Mutant::ForgetGrace, facts.now.boot.after(KILL_AGAIN));
                let action = Action::EndTree { tree: [shim].into(), signal: StopRule::KILL };
                return Decision { id, action: Some(action), because: Reason::ShimStuck };
            }
            end_tree(facts, policy.stop, id, tree, sighting, Reason::ShimStuck, draft)
        }
    }
}

/// Signals a tree directly: the stop signal once, KILL when the grace is over.
pub(super) fn end_tree(
    facts: &Facts<'_>,
    stop: StopRule,
    id: InstanceId,
    tree: &std::sync::Arc<[Member]>,
    sighting: &Sighting,
    reason: Reason,
    draft: &mut Draft,
) -> Decision {
    let now = facts.now.boot;
    let signal = match sighting.tree_asked {
        None if facts.is_off(Mutant::NoGrace) => StopRule::KILL,
        None => {
            draft.wake(facts, Mutant::ForgetGrace, now.after(stop.grace));
            stop.signal
        }
        Some(asked) if now < asked.after(stop.grace) => {
            draft.wake(facts, Mutant::ForgetGrace, asked.after(stop.grace));
            return wait(id, reason);
        }
        Some(_) => {
            draft.wake(facts, Mutant::ForgetGrace, now.after(KILL_AGAIN));
            StopRule::KILL
        }
    };
    Decision { id, action: Some(Action::EndTree { tree: tree.clone(), signal }), because: reason }
}
