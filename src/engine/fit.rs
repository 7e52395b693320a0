//! Whether an instance is ready, and whether healthy ones are replaced in turn, found out again for the audit.
//!
//! In: a plan with the facts it was made from. Out: the rule it breaks; readiness. Not here: deciding ([`super::roll`],
//! [`super::live`]). The surprise: how much trust is enough depends on who asks, so it is an argument.

use std::collections::BTreeMap;

use super::audit::Violation;
use super::backoff::{End, Standing};
use super::converge::{Facts, standing};
use super::expand::Up;
use super::mutant::Mutant;
use super::name::InstanceId;
use super::observed::{Phase, Sight};
use super::plan::{Action, Decision, Plan, Reason, Told};
use super::probe::Readiness;
use super::roll::is_done;

pub(super) type Ups<'a> = BTreeMap<InstanceId, &'a Up>;

/// Started, ended, or changed by us; writing down whose process it is changes nothing.
fn is_moving(decision: &Decision) -> bool {
    match &decision.action {
        Some(Action::Adopt { .. }) => false,
        Some(_) => true,
        None => matches!(decision.because, Reason::Starting | Reason::Stopping),
    }
}

/// Healthy instances of one object that are replaced together, or over a crash.
pub(super) fn rolled_together(plan: &Plan, facts: &Facts<'_>, ups: &Ups<'_>) -> Option<Violation> {
    let rolled = |d: &&Decision| {
        matches!(d.because, Reason::Changed { .. } | Reason::RestartAsked)
            && d.action.is_some()
            && ups.get(&d.id).is_some_and(|up| is_ready(facts, &d.id, up, Trust::Silence))
    };
    for decision in plan.decisions.iter().filter(rolled) {
        let siblings = || plan.decisions.iter().filter(|d| d.id.object == decision.id.object && d.id != decision.id);
        let crashed = |d: &Decision| {
            let object = facts.desired.objects.get(&d.id.object)?;
            let last = facts.backoff.0.get(&d.id)?;
            let counts = standing(object, &d.id.cause, last, facts.now) == Standing::Counts;
            let is_death = matches!(last.end, End::Ended { asked: false, .. }) && !is_done(d);
            (counts && (last.streak.crashes > 0 || is_death)).then_some(())
        };
        let rule = if siblings().chain([decision]).any(|d| crashed(d).is_some()) {
            Mutant::RollOverCrash
        } else if siblings().any(|d| is_moving(d) || d.because == Reason::Found) {
            Mutant::RollAllAtOnce
        } else {
            continue;
        };
        return Some(Violation { rule, id: Some(decision.id.clone()) });
    }
    None
}

/// What is enough to count as ready, beside its age, its shim's word and a fresh answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing.
    Proof,
    /// It was found running.
    Benefit,
    /// It has not been asked.
    Silence,
}

pub(super) fn is_ready(facts: &Facts<'_>, id: &InstanceId, up: &Up, trust: Trust) -> bool {
    let Some(sighting) = facts.observed.sightings.get(id) else { return false };
    let Sight::Seen(alive) = &sighting.sight else { return false };
    let is_old = |age| alive.since.after(age) <= facts.now.boot;
    let answer = sighting.health.ready.as_ref().filter(|e| e.attempt == alive.attempt && e.asked_at >= alive.since);
    let is_fit = match up.probes.readiness() {
        Readiness::After(age) => is_old(age),
        Readiness::Probed if up.policy.told != Told::AtOnce => alive.is_told,
        Readiness::Probed => match answer {
            Some(evidence) => evidence.is_pass,
            None => trust == Trust::Silence || (trust == Trust::Benefit && sighting.health.is_found),
        },
    };
    alive.phase == Phase::Running && is_fit
}
