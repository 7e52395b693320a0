//! Compares wants with sightings, one object at a time.
//!
//! In: all facts of a pass. Out: exactly one decision per instance, each with its reason, and when to look again.
//! Not here: what a kind wants (`kind`), doing it (`execute`), replacing healthy instances in turn ([`super::roll`]).
//! The surprise: an instance that cannot be read is left alone, since not seen is not gone.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{Attempt, Backoff, End, Standing, fold};
use super::desired::{Coverage, Desired, Object, Overrides, RevisionMatch, Spec};
use super::expand::{ForEach, Items, Kind, Want};
use super::live;
use super::mutant::Mutant;
use super::name::{Cause, InstanceId};
use super::needs::{self, Dependents};
use super::observed::{Adopted, Observed, Phase, Refused, Sight, Sighting, Twin};
use super::plan::{ACTIONS_MAX, Action, Decision, Plan, Reason, Spawn};
use super::roll;
use super::run;
use super::time::{BootTime, Now, Timestamp};
use super::twin::{ambiguous, beside_twin};

/// How long an item must be gone until its process is stopped.
pub const ITEM_GONE_AFTER: Duration = Duration::from_secs(2);

/// How long a start that left no record is not tried again.
pub const REFUSED_RETRY: Duration = Duration::from_secs(2);

/// Everything one pass decides by.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is wanted.
    pub desired: &'a Desired,
    /// What was seen.
    pub observed: &'a Observed,
    /// What the records say.
    pub backoff: &'a Backoff,
    /// The present.
    pub now: &'a Now,
    /// The rule that is switched off, in tests.
    pub mutant: Mutant,
}

impl Facts<'_> {
    /// True when this rule is switched off.
    #[must_use]
    pub fn is_off(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }
}

/// A plan in the making.
pub(super) struct Draft {
    decisions: Vec<Decision>,
    wake_at: Option<BootTime>,
    wake_wall: Option<Timestamp>,
    actions: usize,
    /// Who needs whom, once somebody has asked.
    pub(super) dependents: Option<Dependents>,
}

impl Draft {
    pub(super) fn new(room: usize) -> Draft {
        Draft { decisions: Vec::with_capacity(room), wake_at: None, wake_wall: None, actions: 0, dependents: None }
    }

    /// Adds a decision; one whose action no longer fits is put off.
    pub(super) fn push(&mut self, facts: &Facts<'_>, mut decision: Decision) {
        if decision.action.is_some() && !self.has_room(facts) {
            (decision.action, decision.because) = (None, Reason::PlanFull);
        }
        self.decisions.push(decision);
    }

    /// Adds the start of a run. It counts when it is let through, not before: what has to wait takes no room.
    pub(super) fn push_start(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }

    /// Counts one more action; asks for another pass at once when it does not fit into this plan.
    pub(super) fn has_room(&mut self, facts: &Facts<'_>) -> bool {
        self.actions += 1;
        let has_room = self.actions <= ACTIONS_MAX || facts.is_off(Mutant::UnboundedPlan);
        if !has_room {
            self.wake_at = Some(facts.now.boot);
        }
        has_room
    }

    /// Asks to look again at `at` or sooner, unless that rule is off.
    pub(super) fn wake(&mut self, facts: &Facts<'_>, rule: Mutant, at: BootTime) {
        if !facts.is_off(rule) {
            self.wake_at = Some(self.wake_at.map_or(at, |sooner| sooner.min(at)));
        }
    }

    /// The same by the wall clock.
    pub(super) fn wake_wall(&mut self, facts: &Facts<'_>, rule: Mutant, at: Timestamp) {
        if !facts.is_off(rule) {
            self.wake_wall = Some(self.wake_wall.map_or(at, |sooner| sooner.min(at)));
        }
    }

    /// How many decisions there are.
    pub(super) fn len(&self) -> usize {
        self.decisions.len()
    }

    /// The decisions from index `start` on: those of the present object.
    pub(super) fn tail(&mut self, start: usize) -> &mut [Decision] {
        self.decisions.get_mut(start..).unwrap_or_default()
    }
}

/// One object with what was seen of it.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) object: &'a Object,
    /// Looked at for the sake of another that needs it.
    pub(super) is_nested: bool,
}

/// Decides about everything wanted or seen.
#[must_use]
pub fn converge(facts: &Facts<'_>) -> Plan {
    let mut draft = Draft::new(facts.desired.objects.len());
    let mut seen = facts.observed.sightings.iter().peekable();
    let (mut wants, mut group) = (Vec::new(), Vec::new());
    for object in facts.desired.objects.values() {
        while let Some((id, sighting)) = seen.next_if(|(id, _)| id.object < object.id) {
            unclaimed(facts, id, sighting, &mut draft);
        }
        group.clear();
        while let Some(pair) = seen.next_if(|(id, _)| id.object == object.id) {
            group.push(pair);
        }
        wants.clear();
        decide_object(&Case { facts, object, is_nested: false }, &mut wants, &group, &mut draft);
    }
    for (id, sighting) in seen {
        unclaimed(facts, id, sighting, &mut draft);
    }
    if !facts.observed.ledger.books.is_empty() {
        let decided = draft.len();
        run::decide::orphans(facts, &mut draft);
        if draft.len() > decided {
            draft.decisions.sort_by(|a, b| a.id.cmp(&b.id));
        }
        run::pressure::hold(facts, &mut draft);
        run::order::admit(facts, &mut draft);
    }
    if facts.is_off(Mutant::ForgetDecision) {
        draft.decisions.pop();
    }
    Plan {
        generation: facts.desired.generation,
        decisions: draft.decisions,
        wake_at: draft.wake_at,
        wake_wall: draft.wake_wall,
    }
}

type Seen<'a> = (&'a InstanceId, &'a Sighting);

fn decide_object<'a>(case: &Case<'a>, wants: &mut Vec<Want<'a>>, group: &[Seen<'_>], draft: &mut Draft) {
    let kind = match &case.object.spec {
        Spec::Known(kind) => kind,
        Spec::Opaque { why } => {
            for (id, _) in group {
                draft.push(case.facts, wait((*id).clone(), Reason::Blind { why: why.clone() }));
            }
            return;
        }
    };
    if let Some(rule) = kind.runs() {
        let empty = run::Book::default();
        let book = case.facts.observed.ledger.books.get(&case.object.id).unwrap_or(&empty);
        return run::decide::decide(&run::decide::Runs::new(case, rule, book), group, draft);
    }
    let items = match kind.for_each().map(|rule| items_of(case, rule)) {
        None => None,
        Some(Ok(items)) => Some(items),
        Some(Err(why)) => {
            for (id, sighting) in group {
                unlisted(case, kind.as_ref(), (id, sighting), &why, draft);
            }
            return;
        }
    };
    kind.expand(items, wants);
    let start = draft.decisions.len();
    let (mut wanted, mut sighted) = (wants.iter().peekable(), group.iter().peekable());
    // Wants and sightings both ascend by cause, so one pass over both pairs them.
    loop {
        let order = match (wanted.peek(), sighted.peek()) {
            (Some(want), Some((id, _))) => want.cause.cmp(&id.cause),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let want = if order.is_le() { wanted.next() } else { None };
        let seen = if order.is_ge() { sighted.next() } else { None };
        match (want, seen) {
            (Some(want), seen) => decide_wanted(case, want, seen.copied(), draft),
            (None, Some((id, sighting))) => surplus(case, items, id, sighting, draft),
            (None, None) => break,
        }
    }
    roll::take_turns(case, start, draft);
}

/// Of an object whose items are not known: left as it is, unless a person keeps it down.
fn unlisted(case: &Case<'_>, kind: &dyn Kind, (id, sighting): Seen<'_>, why: &Arc<str>, draft: &mut Draft) {
    let pause = pause_reason(case, draft);
    let is_off = case.facts.is_off(Mutant::ItemsUnknown).then_some(Reason::ScaledDown);
    let decision = match (&sighting.sight, pause.or(is_off)) {
        (Sight::Absent, _) => return,
        (Sight::Seen(alive), Some(reason)) => {
            live::end(case.facts, &kind.policy(), id.clone(), alive, sighting, reason, draft)
        }
        (Sight::Seen(_), None) => wait(id.clone(), Reason::Blind { why: why.clone() }),
        (Sight::Unreadable { why }, _) => wait(id.clone(), Reason::Blind { why: why.clone() }),
    };
    draft.push(case.facts, decision);
}

/// The items that were seen of an object, or why they are not known.
fn items_of<'a>(case: &Case<'a>, _: &ForEach) -> Result<&'a Items, Arc<str>> {
    match case.facts.observed.items.get(&case.object.id) {
        Some(Sight::Seen(items)) => Ok(items),
        Some(Sight::Unreadable { why }) => Err(why.clone()),
        Some(Sight::Absent) | None => Err("its items have not been listed yet".into()),
    }
}

pub(super) fn decide_wanted(case: &Case<'_>, want: &Want<'_>, seen: Option<Seen<'_>>, draft: &mut Draft) {
    let (id, sighting) = match seen {
        Some((id, sighting)) => (id.clone(), Some(sighting)),
        None => (InstanceId { object: case.object.id.clone(), cause: want.cause.clone() }, None),
    };
    let decision = match sighting.map(|s| &s.sight) {
        Some(Sight::Seen(alive))
            if alive.phase == Phase::Lingering && case.facts.is_off(Mutant::SpawnBesideLingering) =>
        {
            match absent(case, want, id.clone(), None, draft) {
                Decision { action: None, .. } => live::decide(case, want.up, id, alive, sighting, draft),
                spawn => spawn,
            }
        }
        Some(Sight::Seen(alive)) => live::decide(case, want.up, id, alive, sighting, draft),
        Some(Sight::Unreadable { .. }) if case.facts.is_off(Mutant::UnreadableIsGone) => {
            absent(case, want, id, None, draft)
        }
        Some(Sight::Unreadable { why }) => wait(id, Reason::Blind { why: why.clone() }),
        Some(Sight::Absent) => beside_twin(case, want, id, sighting, draft),
        None => match &case.facts.observed.coverage {
            Coverage::Partial { why } if !case.facts.is_off(Mutant::UnlistedIsGone) => {
                wait(id, Reason::Blind { why: why.clone() })
            }
            Coverage::Partial { .. } | Coverage::Whole => beside_twin(case, want, id, None, draft),
        },
    };
    draft.push(case.facts, decision);
}

/// Wanted and certainly not there.
pub(super) fn absent(
    case: &Case<'_>,
    want: &Want<'_>,
    id: InstanceId,
    refused: Option<&Refused>,
    draft: &mut Draft,
) -> Decision {
    let facts = case.facts;
    if let Some(reason) = pause_reason(case, draft) {
        return wait(id, reason);
    }
    if let Some(Refused { at, why }) = refused {
        let until = at.after(REFUSED_RETRY);
        if facts.now.boot < until && !facts.is_off(Mutant::RefusedAgain) {
            draft.wake(facts, Mutant::ForgetWake, until);
            return wait(id, Reason::Refused { why: why.clone(), until });
        }
    }
    let Some(last) = facts.backoff.0.get(&id) else {
        return spawn(case, want, id, 1, super::backoff::Streak::default());
    };
    let standing = standing(case.object, &id.cause, last, facts.now);
    match &last.end {
        End::Open if last.boot_id == facts.now.boot_id && !facts.is_off(Mutant::LostIsSkipped) => {
            Decision { id, action: Some(Action::RecordLost { attempt: last.number }), because: Reason::Vanished }
        }
        End::Ended { exit, .. }
            if !is_replaced(case, &id.cause, last)
                && want.up.restart.is_over(exit)
                && !facts.is_off(Mutant::CompletedAgain) =>
        {
            wait(id, Reason::Completed { exit: exit.clone() })
        }
        End::Open | End::Ended { .. } => again(case, want, id, last, standing, draft),
    }
}

/// Its last attempt is over, and its restart rule asks for another.
fn again(
    case: &Case<'_>,
    want: &Want<'_>,
    id: InstanceId,
    last: &Attempt,
    standing: Standing,
    draft: &mut Draft,
) -> Decision {
    let (facts, up) = (case.facts, want.up);
    let due = fold(&id, last, &up.backoff, standing);
    let exit = match &last.end {
        End::Ended { exit, .. } => exit.clone(),
        End::Open => super::backoff::Exit::Lost,
    };
    if due.crashed && up.backoff.is_spent(&due.streak) && !facts.is_off(Mutant::NeverGivesUp) {
        return wait(id, Reason::GaveUp { deaths: due.streak.deaths, exit });
    }
    if facts.now.boot < due.not_before && !facts.is_off(Mutant::NoBackoff) {
        draft.wake(facts, Mutant::ForgetWake, due.not_before);
        return wait(id, Reason::BackingOff { until: due.not_before, exit, deaths: due.streak.deaths });
    }
    let step = if facts.is_off(Mutant::SameAttempt) { 0 } else { 1 };
    let streak = if facts.is_off(Mutant::StreakForgotten) { super::backoff::Streak::default() } else { due.streak };
    let decision = spawn(case, want, id, last.number.saturating_add(step), streak);
    if due.crashed && decision.action.is_some() {
        Decision { because: Reason::Again { exit }, ..decision }
    } else {
        decision
    }
}

/// True when the end of `last` was not its own doing, so the restart rule has no say.
pub(super) fn is_replaced(case: &Case<'_>, cause: &Cause, last: &Attempt) -> bool {
    matches!(last.end, End::Ended { asked: true, .. })
        || is_restart_asked(&case.object.overrides, cause, last.number)
        || last.boot_id != case.facts.now.boot_id
        || last.uid != case.object.uid
        || case.object.compare(&last.revision) == RevisionMatch::Changed
}

/// How the last attempt counts for the streak.
pub(super) fn standing(object: &Object, cause: &Cause, last: &Attempt, now: &Now) -> Standing {
    if last.uid != object.uid || object.compare(&last.revision) == RevisionMatch::Changed {
        return Standing::Foreign;
    }
    let is_forgiven = object.overrides.forgiven.get(cause).is_some_and(|until| last.number <= *until);
    if is_forgiven || last.boot_id != now.boot_id { Standing::Forgiven } else { Standing::Counts }
}

/// True when somebody asked for attempts up to a number that includes this one to be replaced.
pub(super) fn is_restart_asked(overrides: &Overrides, cause: &Cause, attempt: u32) -> bool {
    overrides.restart.get(cause).is_some_and(|until| attempt <= *until)
}

/// A start, once what it needs is there.
fn spawn(case: &Case<'_>, want: &Want<'_>, id: InstanceId, attempt: u32, streak: super::backoff::Streak) -> Decision {
    if let Some((need, is)) = needs::unmet(case)
        && !case.facts.is_off(Mutant::IgnoreNeeds)
    {
        return wait(id, Reason::NeedsWait { need, is });
    }
    let launch = match want.item {
        Some(item) => Arc::new(want.up.launch.for_item(item, want.cause)),
        None => want.up.launch.clone(),
    };
    let spawn = Spawn {
        attempt,
        uid: case.object.uid.clone(),
        revision: case.object.revision(),
        streak,
        launch,
        policy: want.up.policy.clone(),
    };
    Decision { id, action: Some(Action::Spawn(Box::new(spawn))), because: Reason::Missing }
}

/// The reason to keep it down, while somebody's pause lasts.
pub(super) fn pause_reason(case: &Case<'_>, draft: &mut Draft) -> Option<Reason> {
    let now = case.facts.now;
    let pause = case.object.overrides.paused.as_ref()?;
    if case.facts.is_off(Mutant::IgnorePause) {
        return None;
    }
    if let Some(until) = pause.until {
        if until <= now.wall {
            return None;
        }
        draft.wake(case.facts, Mutant::ForgetPauseEnd, now.boot.after(now.wall.until(until)));
    }
    Some(Reason::Paused { by: pause.by.clone(), reason: pause.reason.clone(), until: pause.until })
}

/// Seen under an object that no longer wants this instance.
fn surplus(case: &Case<'_>, items: Option<&Items>, id: &InstanceId, sighting: &Sighting, draft: &mut Draft) {
    let Spec::Known(kind) = &case.object.spec else { return };
    let now = case.facts.now.boot;
    let decision = match (&sighting.sight, &case.facts.desired.coverage) {
        (Sight::Absent, _) => return,
        (Sight::Unreadable { why }, _) | (Sight::Seen(_), Coverage::Partial { why }) => {
            wait(id.clone(), Reason::Blind { why: why.clone() })
        }
        (Sight::Seen(alive), Coverage::Whole) => {
            // An item that comes back at once, as in a replaced file, was never gone.
            let gone = items.map(|items| items.gone.get(&id.cause).copied().unwrap_or(now));
            match gone.map(|gone| gone.after(ITEM_GONE_AFTER)) {
                Some(until) if now < until && !case.facts.is_off(Mutant::ItemGoneAtOnce) => {
                    draft.wake(case.facts, Mutant::ForgetWake, until);
                    wait(id.clone(), Reason::ItemGone { until })
                }
                gone => {
                    let reason = gone.map_or(Reason::ScaledDown, |until| Reason::ItemGone { until });
                    live::end(case.facts, &kind.policy(), id.clone(), alive, sighting, reason, draft)
                }
            }
        }
    };
    draft.push(case.facts, decision);
}

/// Seen, and its object is in no generation of the desired state.
fn unclaimed(facts: &Facts<'_>, id: &InstanceId, sighting: &Sighting, draft: &mut Draft) {
    let tombstone = facts.desired.tombstones.get(&id.object);
    let coverage = match &facts.desired.coverage {
        Coverage::Partial { .. } if facts.is_off(Mutant::PruneOnPartial) => &Coverage::Whole,
        coverage => coverage,
    };
    let decision = match (&sighting.sight, tombstone, coverage) {
        (Sight::Absent, Some(stone), Coverage::Whole) if stone.ends_adopted => match &sighting.twin {
            Twin::None | Twin::Unlooked => return,
            Twin::One(Adopted { member, .. }) => {
                let tree = [member.clone()].into();
                live::end_tree(facts, stone.policy.stop, id.clone(), &tree, sighting, Reason::Deleted, draft)
            }
            Twin::Many(members) => wait(id.clone(), ambiguous(members)),
            Twin::Unreadable { why } => wait(id.clone(), Reason::Blind { why: why.clone() }),
        },
        (Sight::Absent, _, _) => return,
        (Sight::Seen(alive), None, _) if facts.is_off(Mutant::KillStrays) => {
            let policy = super::plan::Policy::DEFAULT;
            live::end(facts, &policy, id.clone(), alive, sighting, Reason::Deleted, draft)
        }
        // Its object may be among those that could not be read.
        (Sight::Unreadable { why }, _, _) | (Sight::Seen(_), _, Coverage::Partial { why }) => {
            wait(id.clone(), Reason::Blind { why: why.clone() })
        }
        (Sight::Seen(alive), Some(stone), Coverage::Whole) => {
            live::end(facts, &stone.policy, id.clone(), alive, sighting, Reason::Deleted, draft)
        }
        (Sight::Seen(_), None, Coverage::Whole) => wait(id.clone(), Reason::Stray),
    };
    draft.push(facts, decision);
}

pub(super) fn wait(id: InstanceId, because: Reason) -> Decision {
    Decision { id, action: None, because }
}
