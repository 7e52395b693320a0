//! Decides about the attempts of one run, or of one step of one.
//!
//! In: what is executed, its rules, what was seen and recorded of its attempts. Out: one decision. Not here: whether
//! its turn has come, which whoever asks brings along. The surprise: how an attempt ended is judged from its record and
//! from what is wanted now, so a controller that was killed between a stop and its end comes to the same verdict.

use std::sync::Arc;
use std::time::Duration;

use super::decide::{Runs, refused};
use super::ledger::Outcome;
use super::rule::Retry;
use crate::engine::backoff::{Attempt, End, Exit, Streak};
use crate::engine::converge::{Draft, Facts, wait};
use crate::engine::desired::Coverage;
use crate::engine::live;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::{Alive, Phase, Sight, Sighting};
use crate::engine::plan::{Action, Decision, Finish, Launch, Policy, Reason, Spawn};

/// Why a run is to end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Ending {
    /// Somebody asked.
    Cancelled(Arc<str>),
    /// A later run of the same object takes its place.
    Replaced(Cause),
    /// Its object is another now.
    Foreign,
    /// Everything stops.
    Draining,
    /// The work has changed: what runs may end, and nothing more is begun.
    Superseded,
    /// It is a step of something that is out of time.
    TimedOut,
}

impl Ending {
    /// What a stop for this is called; none where what runs is left alone.
    fn reason(&self) -> Option<Reason> {
        match self {
            Ending::Cancelled(by) => Some(Reason::Cancelled { by: by.clone() }),
            Ending::Replaced(by) => Some(Reason::Replaced { by: by.clone() }),
            Ending::Foreign => Some(Reason::Deleted),
            Ending::Draining => Some(Reason::Draining),
            Ending::TimedOut => Some(Reason::TimedOut),
            Ending::Superseded => None,
        }
    }

    /// How a run ends that is ended for this, and in which words; none where it goes on later.
    pub(in crate::engine) fn outcome(&self) -> Option<(Outcome, Arc<str>)> {
        match self {
            Ending::Cancelled(by) => Some((Outcome::Cancelled, format!("cancelled by {by}").into())),
            Ending::Replaced(by) => Some((Outcome::Cancelled, format!("replaced by the run {by}").into())),
            Ending::Foreign => Some((Outcome::Cancelled, "its object was deleted".into())),
            Ending::Superseded => Some((Outcome::Cancelled, "its object was changed before it was done".into())),
            Ending::TimedOut => Some((Outcome::Timeout, "out of time".into())),
            Ending::Draining => None,
        }
    }
}

/// One thing that is to be done by attempts: a run, or a step of one.
pub(in crate::engine) struct One<'a> {
    pub id: InstanceId,
    pub launch: &'a dyn Fn() -> Result<Launch, Arc<str>>,
    pub policy: &'a Policy,
    pub retry: Retry,
    pub timeout: Option<Duration>,
    pub forgiven: u32,
    pub ending: Option<Ending>,
    /// The run it is a step of.
    pub step_of: Option<Cause>,
}

/// Decides about one thing that is done by attempts. `may_start` says why it may not begin now.
pub(in crate::engine) fn decide_one(
    runs: &Runs<'_>,
    one: &One<'_>,
    may_start: impl FnOnce(&mut Draft) -> Option<Reason>,
    draft: &mut Draft,
) -> Decision {
    let facts = runs.case.facts;
    let sighting = facts.observed.sightings.get(&one.id);
    match (sighting.map(|s| &s.sight), &facts.observed.coverage) {
        (Some(Sight::Seen(alive)), _) => at_work(runs, one, alive, sighting, draft),
        (Some(Sight::Unreadable { why }), _) => wait(one.id.clone(), Reason::Blind { why: why.clone() }),
        (None, Coverage::Partial { why }) => wait(one.id.clone(), Reason::Blind { why: why.clone() }),
        (Some(Sight::Absent), _) | (None, Coverage::Whole) => absent(runs, one, sighting, may_start, draft),
    }
}

/// An attempt is there.
fn at_work(runs: &Runs<'_>, one: &One<'_>, alive: &Alive, sighting: Option<&Sighting>, draft: &mut Draft) -> Decision {
    let (facts, id) = (runs.case.facts, one.id.clone());
    let is_whole = matches!(alive.phase, Phase::Starting | Phase::Running | Phase::Frozen);
    let (Some(sighting), true) = (sighting, is_whole) else {
        return live::passing(facts, one.policy, id, alive, sighting, draft);
    };
    if sighting.stop_asked.is_some() {
        return live::end(facts, one.policy, id, alive, sighting, Reason::Stopping, draft);
    }
    if let Some(reason) = one.ending.as_ref().and_then(Ending::reason) {
        return live::end(facts, one.policy, id, alive, sighting, reason, draft);
    }
    if let Some(timeout) = one.timeout {
        let late = alive.since.after(timeout);
        if late <= facts.now.boot && !facts.is_off(Mutant::IgnoreTimeout) {
            return live::end(facts, one.policy, id, alive, sighting, Reason::TimedOut, draft);
        }
        draft.wake(facts, Mutant::ForgetWake, late);
    }
    if facts.is_off(Mutant::FinishAlive) {
        return finish(one, Outcome::Ok, "done".into(), None);
    }
    if sighting.policy.as_ref() != Some(one.policy) {
        let action = Action::SetPolicy { shim: alive.shim.clone(), policy: one.policy.clone() };
        return Decision { id, action: Some(action), because: Reason::PolicyChanged };
    }
    wait(id, if alive.phase == Phase::Frozen { Reason::Frozen } else { Reason::AtWork })
}

/// Nothing of it is there.
fn absent(
    runs: &Runs<'_>,
    one: &One<'_>,
    sighting: Option<&Sighting>,
    may_start: impl FnOnce(&mut Draft) -> Option<Reason>,
    draft: &mut Draft,
) -> Decision {
    let facts = runs.case.facts;
    let last = facts.backoff.0.get(&one.id).filter(|last| last.number > one.forgiven);
    let Some(last) = last else {
        return match one.ending.as_ref().and_then(Ending::outcome) {
            Some((outcome, why)) => finish(one, outcome, why, None),
            None => begin(runs, one, Streak::default(), sighting, may_start, draft),
        };
    };
    if last.end == End::Open && last.boot_id == facts.now.boot_id && !facts.is_off(Mutant::LostIsSkipped) {
        let action = Some(Action::RecordLost { attempt: last.number });
        return Decision { id: one.id.clone(), action, because: Reason::Vanished };
    }
    let verdict = judge(one, last);
    match verdict {
        Verdict::Over(outcome, why) => finish(one, outcome, why, Some(last)),
        Verdict::Interrupted if runs.rule.is_resumed => {
            begin(runs, one, Streak { deaths: last.streak.deaths, ..Streak::default() }, sighting, may_start, draft)
        }
        Verdict::Interrupted => {
            let why = "it was stopped: with everything, or for a timeout that was changed since";
            finish(one, Outcome::Killed, why.into(), Some(last))
        }
        Verdict::Failed(outcome, why) => {
            let failed = last.streak.deaths.saturating_add(1);
            let is_spent = failed > one.retry.times && !facts.is_off(Mutant::RetriesForEver);
            if is_spent || one.ending.is_some() {
                return finish(one, outcome, why, Some(last));
            }
            if let Some(until) = retry_at(one, last, failed, facts)
                && !facts.is_off(Mutant::RetriesAtOnce)
            {
                draft.wake(facts, Mutant::ForgetWake, until);
                let of = one.retry.times.saturating_add(1);
                return wait(one.id.clone(), Reason::RetryWaits { until, why, failed, of });
            }
            begin(runs, one, Streak { deaths: failed, ..Streak::default() }, sighting, may_start, draft)
        }
    }
}

/// When the next attempt comes, unless that moment has passed. An end of another boot lies far enough back.
fn retry_at(one: &One<'_>, last: &Attempt, failed: u32, facts: &Facts<'_>) -> Option<crate::engine::BootTime> {
    let End::Ended { at, .. } = &last.end else { return None };
    let until = at.after(one.retry.wait_after(failed));
    (last.boot_id == facts.now.boot_id && facts.now.boot < until).then_some(until)
}

/// What the end of an attempt means.
enum Verdict {
    /// It is over, for good or ill.
    Over(Outcome, Arc<str>),
    /// It may be tried again.
    Failed(Outcome, Arc<str>),
    /// It was ended with everything else, and that is not its fault. So is one that was ended for a timeout which an edit
    /// has taken away since: its record says that somebody asked, and only what is wanted now says why.
    Interrupted,
}

fn judge(one: &One<'_>, last: &Attempt) -> Verdict {
    let (exit, asked, lived) = match &last.end {
        End::Open => (&Exit::Lost, false, Duration::ZERO),
        End::Ended { exit, at, asked } => (exit, *asked, at.since(last.started)),
    };
    if asked {
        let is_late = one.timeout.is_some_and(|timeout| lived >= timeout);
        return match one.ending.as_ref().and_then(Ending::outcome) {
            Some((outcome, why)) => Verdict::Over(outcome, why),
            None if is_late => Verdict::Failed(Outcome::Timeout, timed_out(one.timeout)),
            None => Verdict::Interrupted,
        };
    }
    match exit {
        Exit::Code(0) => Verdict::Over(Outcome::Ok, "exited with 0".into()),
        Exit::Code(_) | Exit::NotStarted(_) | Exit::Unhealthy(_) => Verdict::Failed(Outcome::Failed, said(exit)),
        Exit::Signal(_) => Verdict::Failed(Outcome::Killed, said(exit)),
        Exit::Lost => Verdict::Failed(Outcome::Lost, said(exit)),
    }
}

fn said(exit: &Exit) -> Arc<str> {
    exit.to_string().into()
}

pub(in crate::engine) fn timed_out(timeout: Option<Duration>) -> Arc<str> {
    match timeout {
        Some(timeout) => format!("took longer than {}", crate::engine::time::Span(timeout)).into(),
        None => "out of time".into(),
    }
}

/// Begins an attempt, unless something is in the way.
fn begin(
    runs: &Runs<'_>,
    one: &One<'_>,
    streak: Streak,
    sighting: Option<&Sighting>,
    may_start: impl FnOnce(&mut Draft) -> Option<Reason>,
    draft: &mut Draft,
) -> Decision {
    let facts = runs.case.facts;
    if let Some(reason) = refused(facts, sighting.and_then(|sighting| sighting.refused.as_ref()), draft) {
        return wait(one.id.clone(), reason);
    }
    if let Some(reason) = one.ending.as_ref().and_then(Ending::reason) {
        return wait(one.id.clone(), reason);
    }
    if let Some(reason) = may_start(draft) {
        return wait(one.id.clone(), reason);
    }
    let launch = match (one.launch)() {
        Ok(launch) => launch,
        Err(why) => {
            let last = facts.backoff.0.get(&one.id).filter(|last| last.number > one.forgiven);
            return finish(one, Outcome::Failed, why, last);
        }
    };
    let last = facts.backoff.0.get(&one.id).map_or(0, |last| last.number);
    let step = if facts.is_off(Mutant::SameAttempt) && last > 0 { 0 } else { 1 };
    let spawn = Spawn {
        attempt: last.max(one.forgiven).saturating_add(step),
        uid: runs.case.object.uid.clone(),
        revision: runs.case.object.revision(),
        streak,
        launch: Arc::new(launch),
        policy: one.policy.clone(),
    };
    Decision { id: one.id.clone(), action: Some(Action::Spawn(Box::new(spawn))), because: Reason::Due }
}

/// The final word on it.
pub(in crate::engine) fn finish(one: &One<'_>, outcome: Outcome, why: Arc<str>, last: Option<&Attempt>) -> Decision {
    let finish = Finish {
        step_of: one.step_of.clone(),
        outcome,
        why: why.clone(),
        attempts: last.map_or(one.forgiven, |last| last.number),
        exit: last.and_then(|last| match &last.end {
            End::Ended { exit, .. } => Some(exit.clone()),
            End::Open => None,
        }),
        started: last.map(|last| last.started_wall),
        output: None,
        message: None,
    };
    let because = Reason::Over { outcome, why };
    Decision { id: one.id.clone(), action: Some(Action::Finish(Box::new(finish))), because }
}
