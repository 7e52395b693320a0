//! What every decision about messages must satisfy, found out again by another road.
//!
//! In: a decision with the facts it was made from. Out: the rule it breaks. Not here: deciding.
//! The surprise: as in `engine::run::audit`, nothing here asks the code that decides.

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::Message;
use super::sort::QueueRule;
use crate::engine::backoff::{Attempt, End, Exit};
use crate::engine::converge::{Facts, REFUSED_RETRY};
use crate::engine::desired::Object;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::Sight;
use crate::engine::plan::{Action, Claim, Decision, Finish, MessageFate, Plan, Reason, Return};
use crate::engine::run::turns;
use crate::engine::run::{Arises, Book, Origin, Outcome, Run, RunRule};

/// The exit code of a message that is wrong itself.
const DATA_ERROR: i32 = 65;
/// No wait is longer.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The rule of messages that one decision breaks.
pub(in crate::engine) fn broken(
    decision: &Decision,
    object: &Object,
    rule: &RunRule,
    facts: &Facts<'_>,
    plan: &Plan,
) -> Option<Mutant> {
    let Arises::Messages(queue) = &rule.arises else { return None };
    let book = facts.observed.ledger.books.get(&object.id)?;
    let audit = Audit { decision, object, rule, queue, facts, book, plan };
    let is_whole = decision.id.cause.parent().is_none();
    match &decision.action {
        Some(Action::Claim(claim)) => audit.claim(claim),
        Some(Action::Spawn(_)) => audit.spawn(is_whole),
        Some(Action::Return(back)) => audit.give_back(back),
        Some(Action::Finish(finish)) if is_whole => audit.end(finish),
        Some(
            Action::Finish(_)
            | Action::Stop { .. }
            | Action::EndTree { .. }
            | Action::RecordLost { .. }
            | Action::SetPolicy { .. }
            | Action::Adopt { .. }
            | Action::Fire(_)
            | Action::Note(_),
        ) => None,
        None if decision.id.cause.to_string() == "queue" => audit.idle(),
        None => None,
    }
}

struct Audit<'a> {
    decision: &'a Decision,
    object: &'a Object,
    rule: &'a RunRule,
    queue: &'a QueueRule,
    facts: &'a Facts<'a>,
    book: &'a Book,
    plan: &'a Plan,
}

impl Audit<'_> {
    /// True when nothing may be taken out of the queue, whatever is in it.
    fn is_held(&self) -> bool {
        let pause = self.object.overrides.paused.as_ref();
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| self.facts.now.wall < until));
        !self.queue.is_enabled || is_paused || self.facts.desired.frozen.is_some()
    }

    /// True when something could be taken out of the queue, as far as is known.
    fn is_due(&self) -> bool {
        let due = |at| at <= self.facts.now.wall;
        self.book.queue.is_some_and(|queue| queue.has_available || queue.next_due.is_some_and(due))
    }

    /// So many messages more may be at work: all that were claimed are, but those whose end is written.
    fn room(&self) -> u32 {
        let is_ending = |cause: &Cause| {
            let mut own = self.plan.decisions.iter().filter(|d| d.id.object == self.object.id && d.id.cause == *cause);
            own.any(|d| matches!(d.action, Some(Action::Finish(_) | Action::Return(_))))
        };
        let at_work = self.book.runs.keys().filter(|cause| !self.book.writing.contains(*cause) && !is_ending(cause));
        self.queue.at_once.saturating_sub(u32::try_from(at_work.count()).unwrap_or(u32::MAX))
    }

    fn claim(&self, claim: &Claim) -> Option<Mutant> {
        if self.is_held() {
            return Some(Mutant::ClaimsHeld);
        }
        if !self.is_due() {
            return Some(Mutant::ClaimsIdle);
        }
        (claim.count > self.room()).then_some(Mutant::OverClaims)
    }

    /// Nothing is claimed: nobody waits for nothing, and whoever waits for a moment is woken by then.
    fn idle(&self) -> Option<Mutant> {
        let refused = self.book.refused.as_ref();
        let is_refused = refused.is_some_and(|refused| self.facts.now.boot < refused.at.after(REFUSED_RETRY));
        let is_busy = self.book.writing.contains(&self.decision.id.cause) || is_refused;
        let is_blind = self.facts.observed.ledger.trouble.is_some();
        let is_held = self.is_held() || turns::is_pressed(self.facts);
        if self.is_due() && self.room() > 0 && !is_held && !is_busy && !is_blind {
            return Some(Mutant::LeavesWaiting);
        }
        match &self.decision.because {
            Reason::QueueIdle { next: Some(next), .. } => {
                self.plan.wake_wall.is_none_or(|wake| wake > *next).then_some(Mutant::ForgetDue)
            }
            _ => None,
        }
    }

    /// The run that the decision is about.
    fn run(&self) -> Option<(Cause, &Run)> {
        let cause = self.decision.id.cause.parent().unwrap_or_else(|| self.decision.id.cause.clone());
        self.book.runs.get(&cause).map(|run| (cause, run))
    }

    fn message(&self) -> Option<&Message> {
        match &self.run()?.1.origin {
            Origin::Message(message) => Some(message),
            Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) => None,
        }
    }

    /// The last attempt of the message itself in this claim.
    fn last(&self) -> Option<&Attempt> {
        let (cause, run) = self.run()?;
        let id = InstanceId { object: self.object.id.clone(), cause };
        self.facts.backoff.0.get(&id).filter(|last| last.number > run.forgiven)
    }

    fn is_done(&self) -> bool {
        let last = self.last();
        last.is_some_and(|last| matches!(&last.end, End::Ended { exit: Exit::Code(0), asked: false, .. }))
    }

    /// The causes of all of which something was, or is, at work in this claim: of the message or of a step.
    fn begun(&self) -> BTreeSet<Cause> {
        let root = |id: &InstanceId| id.cause.parent().unwrap_or_else(|| id.cause.clone());
        let forgiven = |id: &InstanceId| {
            let run = self.book.runs.get(&root(id));
            let text = id.cause.to_string();
            match (run, text.split('.').nth(1)) {
                (Some(run), Some(step)) => run.reopened.get(step).copied().unwrap_or(0),
                (Some(run), None) => run.forgiven,
                (None, _) => 0,
            }
        };
        let ours = |id: &&InstanceId| id.object == self.object.id;
        let tried = self.facts.backoff.0.iter().filter(|(id, last)| ours(id) && last.number > forgiven(id));
        let seen = self.facts.observed.sightings.iter().filter(|(id, s)| ours(id) && s.sight != Sight::Absent);
        tried.map(|(id, _)| root(id)).chain(seen.map(|(id, _)| root(id))).collect()
    }

    fn spawn(&self, is_whole: bool) -> Option<Mutant> {
        let ((cause, _), message) = (self.run()?, self.message()?);
        let begun = self.begun();
        let is_begun = begun.contains(&cause);
        if message.expires.is_some_and(|expires| expires <= self.facts.now.wall) && !is_begun {
            return Some(Mutant::ActsOnExpired);
        }
        if let Some(group) = &message.group
            && !is_begun
            && self.book.runs.iter().any(|(other, run)| {
                let is_same = matches!(&run.origin, Origin::Message(m) if m.group.as_ref() == Some(group));
                let is_first = (run.created, other) < (message.enqueued, &cause);
                *other != cause && is_same && (begun.contains(other) || is_first)
            })
        {
            return Some(Mutant::MixesGroup);
        }
        if self.is_done() {
            return Some(Mutant::DoneAgain);
        }
        let is_by_itself = |last: &Attempt| !matches!(last.end, End::Ended { asked: true, .. });
        (is_whole && self.last().is_some_and(is_by_itself)).then_some(Mutant::TriesInPlace)
    }

    fn give_back(&self, back: &Return) -> Option<Mutant> {
        let ((_, run), message) = (self.run()?, self.message()?);
        if *back.message != *message || back.tries != message.tries + 1 {
            return Some(Mutant::Miscounts);
        }
        if self.is_done() {
            return Some(Mutant::DoneAgain);
        }
        if run.cancel.is_some() {
            return Some(Mutant::CancelledAgain);
        }
        if self.is_poison() {
            return Some(Mutant::PoisonAgain);
        }
        if back.tries > self.rule.retry.times {
            return Some(Mutant::ReturnsForEver);
        }
        let (mut delay, mut doubled) = (self.rule.retry.wait.min(WAIT_MAX), 1);
        while doubled < back.tries && delay < WAIT_MAX {
            (delay, doubled) = ((delay * 2).min(WAIT_MAX), doubled + 1);
        }
        let now = self.facts.now.wall;
        (back.due < now.after(delay / 2) || back.due > now.after(delay)).then_some(Mutant::ReturnsAtOnce)
    }

    /// Its command said that the message is wrong, and was not stopped before.
    fn is_poison(&self) -> bool {
        let said = |last: &Attempt| matches!(&last.end, End::Ended { exit: Exit::Code(DATA_ERROR), asked: false, .. });
        self.last().is_some_and(said)
    }

    fn end(&self, finish: &Finish) -> Option<Mutant> {
        let ((cause, run), message) = (self.run()?, self.message()?);
        let end = match &finish.message {
            Some(end) if *end.message == *message => end,
            Some(_) | None => return Some(Mutant::EndsAlone),
        };
        if end.fate == MessageFate::Dead && finish.why.is_empty() {
            return Some(Mutant::DeadUnsaid);
        }
        if self.is_done() && end.fate != MessageFate::Ok {
            return Some(Mutant::DoneAgain);
        }
        let failed = [Outcome::Failed, Outcome::Timeout, Outcome::Killed, Outcome::Lost, Outcome::Unknown]
            .contains(&finish.outcome);
        let is_counted = failed || self.last().is_some() || self.begun().contains(&cause);
        // One that somebody cancelled may have failed, too.
        if end.tries != message.tries + u32::from(is_counted) && run.cancel.is_none() {
            return Some(Mutant::Miscounts);
        }
        let is_left = end.tries <= self.rule.retry.times && !self.is_poison();
        (end.fate == MessageFate::Dead && failed && is_left).then_some(Mutant::DeadTooSoon)
    }
}
