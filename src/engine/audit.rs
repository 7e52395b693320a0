//! What every plan must satisfy, found out again by another road.
//!
//! In: a plan with the facts it was made from. Out: every rule it breaks. Not here: making plans.
//! The surprise: each rule comes with a [`Mutant`] of the engine that only this rule catches; a rule no mutant breaks
//! would be a rule nobody needs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::backoff::{End, Standing, fold};
use super::converge::{Facts, ITEM_GONE_AFTER, REFUSED_RETRY, is_restart_asked, standing};
use super::desired::{Coverage, Object, RevisionMatch, Spec};
use super::expand::{Need, Until, Up};
use super::fit::{Trust, Ups, is_ready, rolled_together};
use super::live::{KILL_AGAIN, STOP_BEGINS_WITHIN};
use super::mutant::Mutant;
use super::name::InstanceId;
use super::needs::{self, Dependents};
use super::observed::{Alive, Member, Phase, Sight, Sighting, Twin};
use super::plan::{ACTIONS_MAX, Action, Decision, Plan, Reason, Spawn, StopRule};
use super::run;
use super::time::BootTime;

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule, by the mutant that it catches.
    pub rule: Mutant,
    /// About which instance, if one.
    pub id: Option<InstanceId>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{:?} at {id}", self.rule),
            None => write!(f, "{:?}", self.rule),
        }
    }
}

/// Every rule that `plan` breaks; empty when it is sound.
#[must_use]
pub fn audit(plan: &Plan, facts: &Facts<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let ups = wanted(facts);
    let is_ordered = |d: &Decision| matches!(d.because, Reason::Deleted | Reason::Paused { .. }) && d.action.is_some();
    let is_asked = plan.decisions.iter().any(is_ordered);
    let dependents = if is_asked { needs::dependents(facts) } else { Dependents::new() };
    if !is_complete(plan, facts, &ups) || plan.generation != facts.desired.generation {
        found.push(Violation { rule: Mutant::ForgetDecision, id: None });
    }
    if plan.decisions.iter().filter(|d| d.action.is_some()).count() > ACTIONS_MAX {
        found.push(Violation { rule: Mutant::UnboundedPlan, id: None });
    }
    for decision in &plan.decisions {
        let view = View {
            facts,
            decision,
            object: facts.desired.objects.get(&decision.id.object).map(|object| &**object),
            up: ups.get(&decision.id).copied(),
            ups: &ups,
            dependents: &dependents,
            sighting: facts.observed.sightings.get(&decision.id),
        };
        let rule = match view.run_rule() {
            Some((object, rule)) => {
                view.untouchable().or_else(|| run::audit::broken(decision, object, rule, facts, plan))
            }
            None => view.broken_rule(),
        };
        if let Some(rule) = rule.or_else(|| view.unwoken(plan)) {
            found.push(Violation { rule, id: Some(decision.id.clone()) });
        }
    }
    found.extend(rolled_together(plan, facts, &ups));
    if let Some((rule, object)) = run::audit::whole(plan, facts).or_else(|| run::turns::broken(plan, facts)) {
        let id = object.map(|object| InstanceId { object, cause: super::name::Cause::schedule() });
        found.push(Violation { rule, id });
    }
    found
}

fn wanted<'a>(facts: &'a Facts<'a>) -> Ups<'a> {
    let mut ups = BTreeMap::new();
    let mut wants = Vec::new();
    for object in facts.desired.objects.values() {
        if let Spec::Known(kind) = &object.spec {
            wants.clear();
            kind.expand(facts.items(object, kind.as_ref()), &mut wants);
            let named = |cause: &super::name::Cause| InstanceId { object: object.id.clone(), cause: cause.clone() };
            ups.extend(wants.iter().map(|want| (named(want.cause), want.up)));
        }
    }
    ups
}

/// Ascending, each once, and nobody left out.
fn is_complete(plan: &Plan, facts: &Facts<'_>, ups: &Ups<'_>) -> bool {
    let is_sorted = plan.decisions.windows(2).all(|pair| pair[0].id < pair[1].id);
    let decided = |id: &InstanceId| plan.decisions.binary_search_by(|d| d.id.cmp(id)).is_ok();
    let is_there = |(id, s): (&InstanceId, &Sighting)| s.sight == Sight::Absent || decided(id);
    is_sorted && ups.keys().all(decided) && facts.observed.sightings.iter().all(is_there)
}

/// One decision with the facts it should follow from.
struct View<'a> {
    facts: &'a Facts<'a>,
    decision: &'a Decision,
    object: Option<&'a Object>,
    up: Option<&'a Up>,
    ups: &'a Ups<'a>,
    dependents: &'a Dependents,
    sighting: Option<&'a Sighting>,
}

impl View<'_> {
    /// What the object runs to completion.
    fn run_rule(&self) -> Option<(&Object, &run::RunRule)> {
        let object = self.object?;
        match &object.spec {
            Spec::Known(kind) => kind.runs().map(|rule| (object, rule)),
            Spec::Opaque { .. } => None,
        }
    }

    /// What holds for every process, whatever it is for.
    fn untouchable(&self) -> Option<Mutant> {
        match &self.decision.action {
            Some(Action::Spawn(_)) => self.blind_spawn(),
            Some(Action::Fire(_) | Action::Note(_) | Action::Finish(_) | Action::Claim(_) | Action::Return(_))
            | None => None,
            Some(Action::Stop { shim, .. }) => self.touch(|alive| alive.shim == *shim),
            Some(
                Action::SetPolicy { .. } | Action::EndTree { .. } | Action::RecordLost { .. } | Action::Adopt { .. },
            ) => self.broken_rule(),
        }
    }

    fn broken_rule(&self) -> Option<Mutant> {
        match &self.decision.action {
            Some(Action::Spawn(spawn)) => self.spawn(spawn),
            Some(Action::Stop { shim, policy: _, failing: _ }) => {
                self.touch(|alive| alive.shim == *shim).or_else(|| self.stop())
            }
            Some(Action::SetPolicy { shim, policy }) => {
                let is_same = self.sighting.is_some_and(|s| s.policy.as_ref() == Some(policy));
                self.touch(|alive| alive.shim == *shim).or(is_same.then_some(Mutant::PolicyAgain))
            }
            // Of a book whose object is gone: nothing is left of the run.
            Some(Action::Finish(_)) => self.blind_spawn().map(|_| Mutant::FinishAlive),
            Some(Action::Fire(_) | Action::Note(_) | Action::Claim(_) | Action::Return(_)) => Some(Mutant::JobAgain),
            Some(Action::Adopt { .. }) => self.blind_spawn(),
            Some(Action::EndTree { tree, signal }) if self.is_stranger() => self.end_stranger(tree, *signal),
            Some(Action::EndTree { tree, signal }) => {
                let is_its =
                    |alive: &Alive| tree.iter().all(|member| alive.tree.contains(member) || member.proc == alive.shim);
                self.touch(is_its).or_else(|| self.end_tree(*signal))
            }
            Some(Action::RecordLost { attempt }) => {
                let last = self.facts.backoff.0.get(&self.decision.id);
                let is_open = last.is_some_and(|last| last.number == *attempt && last.end == End::Open);
                if is_open { self.blind_spawn() } else { Some(Mutant::LostIsSkipped) }
            }
            None => self.idle(),
        }
    }

    /// A process of somebody else is ended by a person's word, and by the stop rule of what it counted as.
    fn end_stranger(&self, tree: &[Member], signal: i32) -> Option<Mutant> {
        let stone = self.facts.desired.tombstones.get(&self.decision.id.object);
        let stone = stone.filter(|stone| self.object.is_none() && stone.ends_adopted);
        let twin = self.sighting.map(|sighting| &sighting.twin);
        let is_it = matches!(twin, Some(Twin::One(adopted)) if *tree == [adopted.member.clone()]);
        let (Some(stone), true) = (stone, is_it) else { return Some(Mutant::KillAdopted) };
        if self.facts.desired.coverage != Coverage::Whole {
            return Some(Mutant::PruneOnPartial);
        }
        let asked = self.sighting.and_then(|sighting| sighting.tree_asked);
        let is_over = asked.is_some_and(|asked| self.facts.now.boot >= asked.after(stone.policy.stop.grace));
        (signal == StopRule::KILL && !is_over).then_some(Mutant::NoGrace)
    }

    /// True when nothing of ours is there, and a process of somebody else may be.
    fn is_stranger(&self) -> bool {
        self.sighting.is_some_and(|sighting| sighting.sight == Sight::Absent && sighting.twin != Twin::Unlooked)
    }

    /// A start, or the burial of an attempt, needs certainty that nothing is there.
    fn blind_spawn(&self) -> Option<Mutant> {
        match (self.sighting.map(|s| &s.sight), &self.facts.observed.coverage) {
            (Some(Sight::Seen(_)), _) => Some(Mutant::SpawnBesideLingering),
            (Some(Sight::Unreadable { .. }), _) => Some(Mutant::UnreadableIsGone),
            (None, Coverage::Partial { .. }) => Some(Mutant::UnlistedIsGone),
            (Some(Sight::Absent), _) | (None, Coverage::Whole) => None,
        }
    }

    fn spawn(&self, spawn: &Spawn) -> Option<Mutant> {
        if let Some(rule) = self.blind_spawn() {
            return Some(rule);
        }
        let (Some(object), Some(up)) = (self.object, self.up) else { return Some(Mutant::ForgetDecision) };
        let now = self.facts.now;
        if up.adopt.is_some() && self.sighting.is_none_or(|sighting| sighting.twin != Twin::None) {
            return Some(Mutant::SpawnBesideTwin);
        }
        if let Spec::Known(kind) = &object.spec
            && !kind.needs().iter().all(|need| self.is_met(need))
        {
            return Some(Mutant::IgnoreNeeds);
        }
        if let Some(pause) = &object.overrides.paused
            && pause.until.is_none_or(|until| now.wall < until)
        {
            return Some(Mutant::IgnorePause);
        }
        if let Some(refused) = self.sighting.and_then(|s| s.refused.as_ref())
            && now.boot < refused.at.after(REFUSED_RETRY)
        {
            return Some(Mutant::RefusedAgain);
        }
        let id = &self.decision.id;
        let Some(last) = self.facts.backoff.0.get(id) else {
            return (spawn.attempt != 1).then_some(Mutant::SameAttempt);
        };
        let standing = standing(object, &id.cause, last, now);
        let due = fold(id, last, &up.backoff, standing);
        let is_same_boot = last.boot_id == now.boot_id;
        let is_own_end = matches!(&last.end, End::Ended { asked: false, .. });
        let is_current = standing != Standing::Foreign && is_same_boot;
        let is_asked = is_restart_asked(&object.overrides, &id.cause, last.number);
        match &last.end {
            End::Open if is_same_boot => Some(Mutant::LostIsSkipped),
            End::Ended { exit, .. } if is_own_end && is_current && !is_asked && up.restart.is_over(exit) => {
                Some(Mutant::CompletedAgain)
            }
            _ if due.crashed && up.backoff.is_spent(&due.streak) => Some(Mutant::NeverGivesUp),
            _ if now.boot < due.not_before => Some(Mutant::NoBackoff),
            _ if spawn.attempt != last.number.saturating_add(1) => Some(Mutant::SameAttempt),
            _ if spawn.streak != due.streak => Some(Mutant::StreakForgotten),
            _ => None,
        }
    }

    /// True when every instance of what is needed is as far as it has to be.
    fn is_met(&self, need: &Need) -> bool {
        let Some(object) = self.facts.desired.objects.get(&need.object) else { return false };
        let pause = object.overrides.paused.as_ref();
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| self.facts.now.wall < until));
        if let Spec::Known(kind) = &object.spec
            && let Some(rule) = kind.runs()
        {
            return run::audit::is_met(self.facts, object, rule, need.until);
        }
        let of_it = |id: &InstanceId| id.object == need.object;
        let mut instances = self.ups.iter().filter(|(id, _)| of_it(id)).peekable();
        instances.peek().is_some()
            && instances.all(|(id, up)| {
                let sighting = self.facts.observed.sightings.get(id);
                let stranger = sighting.is_some_and(|s| s.sight == Sight::Absent && matches!(s.twin, Twin::One(_)));
                let until = match (need.until, up.probes.is_probed()) {
                    (Until::Usable, true) => Until::Ready,
                    (said, _) => said,
                };
                match (until, sighting.map(|s| &s.sight)) {
                    (Until::Started | Until::Usable | Until::Ready, Some(Sight::Seen(alive))) => {
                        let is_leaving = is_paused || sighting.is_some_and(|s| s.stop_asked.is_some());
                        let is_far = until != Until::Ready || is_ready(self.facts, id, up, Trust::Proof);
                        alive.phase == Phase::Running && !is_leaving && is_far
                    }
                    (Until::Started | Until::Usable | Until::Ready, _) => stranger,
                    (Until::Done, Some(Sight::Seen(_) | Sight::Unreadable { .. })) => false,
                    (Until::Done, Some(Sight::Absent) | None) => self.facts.backoff.0.get(id).is_some_and(|last| {
                        let is_well = matches!(&last.end, End::Ended { exit, asked: false, .. } if exit.is_ok());
                        let is_current = standing(object, &id.cause, last, self.facts.now) != Standing::Foreign;
                        is_well && is_current && last.boot_id == self.facts.now.boot_id
                    }),
                }
            })
    }

    /// Only what was seen is touched, and only where something explains it.
    fn touch(&self, is_its: impl Fn(&Alive) -> bool) -> Option<Mutant> {
        let Some(Sight::Seen(alive)) = self.sighting.map(|s| &s.sight) else { return Some(Mutant::KillsAnother) };
        if !is_its(alive) {
            return Some(Mutant::KillsAnother);
        }
        if self.object.is_some() {
            return None;
        }
        if !self.facts.desired.tombstones.contains_key(&self.decision.id.object) {
            return Some(Mutant::KillStrays);
        }
        (self.facts.desired.coverage != Coverage::Whole).then_some(Mutant::PruneOnPartial)
    }

    fn stop(&self) -> Option<Mutant> {
        let is_ordered = matches!(self.decision.because, Reason::Deleted | Reason::Paused { .. });
        if is_ordered && needs::waits_for(self.facts, self.dependents, &self.decision.id.object).is_some() {
            return Some(Mutant::StopNeedsFirst);
        }
        let (Some(object), Some(Sight::Seen(alive))) = (self.object, self.sighting.map(|s| &s.sight)) else {
            return None;
        };
        let id = &self.decision.id;
        if let Spec::Known(kind) = &object.spec
            && kind.for_each().is_some()
            && matches!(self.decision.because, Reason::ScaledDown | Reason::ItemGone { .. })
        {
            let Some(Sight::Seen(items)) = self.facts.observed.items.get(&id.object) else {
                return Some(Mutant::ItemsUnknown);
            };
            let gone = items.gone.get(&id.cause).map(|gone| gone.after(ITEM_GONE_AFTER));
            return gone.is_none_or(|until| self.facts.now.boot < until).then_some(Mutant::ItemGoneAtOnce);
        }
        let evidence = self.sighting.and_then(|sighting| sighting.health.live.as_ref());
        let is_fresh = evidence.is_some_and(|evidence| {
            !evidence.is_pass && evidence.attempt == alive.attempt && evidence.asked_at >= alive.since
        });
        let is_asked = is_restart_asked(&object.overrides, &self.decision.id.cause, alive.attempt);
        let is_foreign = object.compare(&alive.revision) == RevisionMatch::UnknownVersion;
        match &self.decision.because {
            Reason::Unhealthy { .. } if !is_fresh => Some(Mutant::OldEvidence),
            Reason::RestartAsked if !is_asked => Some(Mutant::RestartForEver),
            Reason::Changed { .. } if is_foreign => Some(Mutant::ForeignIsChanged),
            Reason::ScaledDown if self.facts.desired.coverage != Coverage::Whole => Some(Mutant::PruneOnPartial),
            _ => None,
        }
    }

    fn end_tree(&self, signal: i32) -> Option<Mutant> {
        let Some(sighting) = self.sighting else { return Some(Mutant::KillsAnother) };
        let Sight::Seen(alive) = &sighting.sight else { return Some(Mutant::KillsAnother) };
        let now = self.facts.now.boot;
        let is_waited = sighting.stop_asked.is_some_and(|asked| now >= asked.after(STOP_BEGINS_WITHIN));
        if alive.phase != Phase::Lingering && !is_waited {
            return Some(Mutant::ImpatientWithShim);
        }
        let Some(grace) = self.grace() else { return Some(Mutant::KillStrays) };
        let is_over = sighting.tree_asked.is_some_and(|asked| now >= asked.after(grace));
        let is_kill = signal == StopRule::KILL;
        (is_kill && !is_over && !alive.tree.is_empty()).then_some(Mutant::NoGrace)
    }

    /// Nothing is done: what counts as ready is.
    fn idle(&self) -> Option<Mutant> {
        let trust = match self.decision.because {
            Reason::Healthy => Trust::Proof,
            Reason::Found | Reason::RollWaits => Trust::Benefit,
            _ => return None,
        };
        let is_ready = self.up.is_none_or(|up| is_ready(self.facts, &self.decision.id, up, trust));
        (!is_ready).then_some(Mutant::ReadyUnproven)
    }

    /// A wait for a moment needs a wake-up by then.
    fn unwoken(&self, plan: &Plan) -> Option<Mutant> {
        let now = self.facts.now;
        let is_running = match self.sighting.map(|s| &s.sight) {
            Some(Sight::Seen(alive)) => alive.phase == Phase::Running,
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => true,
        };
        let (rule, moment) = match (&self.decision.because, &self.decision.action) {
            (_, Some(Action::Stop { .. })) => (Mutant::ForgetGrace, now.boot.after(STOP_BEGINS_WITHIN)),
            (_, Some(Action::EndTree { .. })) | (Reason::Stopping | Reason::ShimStuck | Reason::Lingering, None) => {
                (Mutant::ForgetGrace, self.patience()?)
            }
            (Reason::Deleted, None) => (Mutant::ForgetGrace, self.patience()?),
            (Reason::Paused { until: Some(until), .. }, None) => {
                (Mutant::ForgetPauseEnd, now.boot.after(now.wall.until(*until)))
            }
            (Reason::ItemGone { until }, None) => (Mutant::ForgetWake, *until),
            (Reason::NotReadyYet { at }, None) if is_running => (Mutant::ForgetWake, *at),
            (
                Reason::BackingOff { until, .. } | Reason::Refused { until, .. } | Reason::Pressed { until, .. },
                None,
            ) => (Mutant::ForgetWake, *until),
            _ => return None,
        };
        plan.wake_at.is_none_or(|wake| wake > moment).then_some(rule)
    }

    /// When the time is over that something was given to stop; `None` when somebody else stops it.
    fn patience(&self) -> Option<BootTime> {
        let (sighting, now) = (self.sighting?, self.facts.now.boot);
        let grace = self.grace()?;
        if let Some(Action::EndTree { signal, .. }) = &self.decision.action {
            return Some(now.after(if *signal == StopRule::KILL { KILL_AGAIN } else { grace }));
        }
        let bypassed = sighting.tree_asked.map(|asked| asked.after(grace));
        if self.decision.because != Reason::Stopping {
            return bypassed;
        }
        let begins = match &sighting.sight {
            Sight::Seen(alive) => match alive.phase {
                Phase::Lingering => return bypassed,
                Phase::Spawning | Phase::Ending => return None,
                Phase::Stopping => sighting.stop_asked?.after(grace),
                Phase::Starting | Phase::Running | Phase::Frozen => sighting.stop_asked?,
            },
            Sight::Absent | Sight::Unreadable { .. } => return bypassed,
        };
        let late = begins.after(STOP_BEGINS_WITHIN);
        if now < late { Some(late) } else { bypassed }
    }

    /// The grace by the stop rule of its object, or of what is left of that.
    fn grace(&self) -> Option<Duration> {
        let stone = self.facts.desired.tombstones.get(&self.decision.id.object);
        match (self.object.map(|object| &object.spec), stone) {
            (Some(Spec::Known(kind)), _) => Some(kind.policy().stop.grace),
            (_, Some(stone)) => Some(stone.policy.stop.grace),
            (Some(Spec::Opaque { .. }) | None, None) => None,
        }
    }
}
