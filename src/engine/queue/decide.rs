//! Decides about a queue and about the messages that were claimed from it.
//!
//! In: what the store says of the queue, the claimed messages with their attempts. Out: a claim where there is room, and
//! one decision for each message. Not here: attempts (`engine::run`), which message is next (the store).
//! The surprise: which rule counts is told anew at each look, so a mended rule applies to what failed before.

use std::sync::Arc;

use serde_json::Value as Json;

use super::message::Message;
use super::sort::{Choice, QueueRule, Sorting, Then, choose, wait_after};
use super::{CLASSIFY, QUEUE};
use crate::engine::backoff::{End, Exit};
use crate::engine::converge::{Draft, Facts, wait};
use crate::engine::desired::Coverage;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::Sight;
use crate::engine::plan::{Action, Claim, Decision, MessageEnd, MessageFate, Reason, Return};
use crate::engine::run::attempts::{Ending, One as Attempts, decide_one, finish};
use crate::engine::run::decide::{Runs, decide_work, held, may_start, push, refused};
use crate::engine::run::launch::classifier_of;
use crate::engine::run::ledger::{Origin, Outcome, Output, Run};
use crate::engine::run::left;
use crate::engine::run::order::is_begun;
use crate::engine::run::rule::{Retry, RunRule, Work};
use crate::engine::run::scope::Scope;
use crate::engine::time::{Span, Timestamp};

/// `EX_DATAERR` of sysexits: the message itself is wrong, and no further attempt would help.
const POISON: i32 = 65;

/// Decides about the queue itself: a claim where messages wait and there is room for them. `start` is where the decisions
/// about its messages begin. Those whose end is written now, or is being written, make room: the claim of the next is on the
/// disk with that end, and not one sync later.
pub(in crate::engine) fn claim(runs: &Runs<'_>, rule: &QueueRule, start: usize, draft: &mut Draft) {
    let facts = runs.case.facts;
    let is_end = |decision: &&mut Decision| {
        let ends = matches!(decision.action, Some(Action::Finish(_) | Action::Return(_)));
        ends && decision.id.cause.parent().is_none()
    };
    let ending = draft.tail(start).iter_mut().filter(is_end).count();
    let written = runs.book.runs.keys().filter(|cause| runs.book.writing.contains(*cause)).count();
    let at_work = runs.book.runs.len().saturating_sub(ending.saturating_add(written));
    let cause = Cause::Named(QUEUE.into());
    let id = runs.id(&cause);
    let reason = claim_waits(runs, rule, (&cause, at_work), draft);
    let decision = match reason {
        Some(reason) => wait(id, reason),
        None => {
            let at_work = u32::try_from(at_work).unwrap_or(u32::MAX);
            let count = rule.at_once.saturating_sub(at_work).max(1);
            let claim = Claim { uid: runs.case.object.uid.clone(), count };
            Decision { id, action: Some(Action::Claim(Box::new(claim))), because: Reason::Due }
        }
    };
    draft.push(facts, decision);
}

/// Why nothing is claimed now.
fn claim_waits(
    runs: &Runs<'_>,
    rule: &QueueRule,
    (cause, at_work): (&Cause, usize),
    draft: &mut Draft,
) -> Option<Reason> {
    let facts = runs.case.facts;
    if runs.book.writing.contains(cause) {
        return Some(Reason::Writing);
    }
    if let Some(reason) = refused(facts, runs.book.refused.as_ref(), draft) {
        return Some(reason);
    }
    if !rule.is_enabled && !facts.is_off(Mutant::ClaimsHeld) {
        return Some(Reason::Disabled);
    }
    if let Some(reason) = held(runs, true, draft)
        && !facts.is_off(Mutant::ClaimsHeld)
    {
        return Some(reason);
    }
    let queue = runs.book.queue.unwrap_or_default();
    let is_due = queue.has_available || queue.next_due.is_some_and(|due| due <= facts.now.wall);
    if facts.is_off(Mutant::LeavesWaiting) || (!is_due && !facts.is_off(Mutant::ClaimsIdle)) {
        if let Some(due) = queue.next_due {
            draft.wake_wall(facts, Mutant::ForgetDue, due);
        }
        return Some(Reason::QueueIdle { next: queue.next_due, depth: queue.depth });
    }
    let is_full = u32::try_from(at_work).unwrap_or(u32::MAX) >= rule.at_once;
    (is_full && !facts.is_off(Mutant::OverClaims)).then_some(Reason::QueueFull { at_work, depth: queue.depth })
}

/// Decides about one message that was claimed.
pub(in crate::engine) fn decide(
    runs: &Runs<'_>,
    sorting: &Sorting,
    (cause, run): (&Cause, &Run),
    ending: Option<Ending>,
    draft: &mut Draft,
) {
    let start = draft.len();
    let one = One { runs, cause, run, ending };
    let Origin::Message(message) = &run.origin else {
        return one.end(Outcome::Failed, "it is no message, and this takes nothing else".into(), None, draft);
    };
    let is_begun = is_begun(runs.case, cause, run);
    if is_there(runs, cause) {
        // What is at work goes on whatever the rules say by now, and nobody has to read the message for that.
        left::decide(runs, (cause, run), |_| false, one.ending.as_ref(), draft);
    } else if one.is_over() {
        // Nor for what has ended: it was acted on, or waits in its queue for the rules that there are then.
        one.judge(draft);
    } else if is_begun {
        one.carry_on(sorting, message, draft);
    } else if let Some(ending) = &one.ending {
        match ending.outcome() {
            Some((outcome, why)) => one.end(outcome, why, None, draft),
            None => draft.push(runs.case.facts, wait(runs.id(cause), Reason::Draining)),
        }
    } else if let Some(why) = expired(runs, message) {
        one.end(Outcome::Skipped, why, None, draft);
    } else if let Some(ahead) = ahead_in_group(runs, cause, message) {
        draft.push(runs.case.facts, wait(runs.id(cause), Reason::Behind { cause: ahead }));
    } else {
        one.carry_on(sorting, message, draft);
    }
    let id = runs.id(cause);
    let mut is_end = false;
    for decision in draft.tail(start).iter_mut().filter(|decision| decision.id == id) {
        settle(runs, (cause, run), (message, is_begun), decision);
        is_end |= matches!(decision.action, Some(Action::Finish(_) | Action::Return(_)));
    }
    if is_end {
        keep_steps(runs, (cause, run), start, draft);
    }
}

/// Steps that an edit has taken from the work of a message are written down before it goes: when they come back with
/// another edit, no number of an attempt is used twice.
fn keep_steps(runs: &Runs<'_>, (cause, run): (&Cause, &Run), start: usize, draft: &mut Draft) {
    let (facts, id, first) = (runs.case.facts, runs.id(cause), runs.id(&cause.step("")));
    let is_ours = |id: &InstanceId| id.object == first.object && id.cause.parent().as_ref() == Some(cause);
    let records = facts.backoff.0.range(first.clone()..).take_while(|(id, _)| is_ours(id));
    let step = |id: &InstanceId| id.cause.to_string().strip_prefix(&format!("{cause}.")).map(Arc::<str>::from);
    let is_kept = |step: &Arc<str>, number: u32| {
        run.steps.contains_key(step) || number <= run.reopened.get(step).copied().unwrap_or(0) || step.contains('.')
    };
    let mut left: Vec<Decision> = Vec::new();
    for (id, last) in records.filter(|(id, last)| step(id).is_some_and(|step| !is_kept(&step, last.number))) {
        if runs.book.writing.contains(&id.cause) {
            left.push(wait(id.clone(), Reason::Writing));
            continue;
        }
        let own = Attempts { id: id.clone(), step_of: Some(cause.clone()), ..plain(runs, cause, run) };
        left.push(finish(&own, Outcome::Cancelled, "its work was changed".into(), Some(last)));
    }
    if left.is_empty() {
        return;
    }
    for decision in draft.tail(start).iter_mut().filter(|decision| decision.id == id) {
        (decision.action, decision.because) = (None, Reason::Steps { done: 0, of: left.len() });
    }
    left.into_iter().for_each(|decision| push(runs, decision, draft));
}

/// True when a process of the message itself is there.
fn is_there(runs: &Runs<'_>, cause: &Cause) -> bool {
    let sightings = &runs.case.facts.observed.sightings;
    sightings.get(&runs.id(cause)).is_some_and(|sighting| sighting.sight != Sight::Absent)
}

/// The code with which its command has ended by itself in this claim, if it has.
fn code(facts: &Facts<'_>, id: &InstanceId, run: &Run) -> Option<i32> {
    let last = facts.backoff.0.get(id).filter(|last| last.number > run.forgiven)?;
    match &last.end {
        End::Ended { exit: Exit::Code(code), asked: false, .. } => Some(*code),
        End::Ended { .. } | End::Open => None,
    }
}

/// True when it is a message that was acted on, whatever has become of its mailbox since.
pub(in crate::engine) fn done(facts: &Facts<'_>, id: &InstanceId, run: &Run) -> bool {
    matches!(run.origin, Origin::Message(_)) && code(facts, id, run) == Some(0)
}

/// Why a message is too old to be acted on.
fn expired(runs: &Runs<'_>, message: &Message) -> Option<Arc<str>> {
    let facts = runs.case.facts;
    let is_old = message.expires.is_some_and(|expires| expires <= facts.now.wall);
    let age = Span(message.enqueued.until(facts.now.wall));
    (is_old && !facts.is_off(Mutant::ActsOnExpired)).then(|| format!("it was {age} old, which is too old").into())
}

/// A message of the same group that came before it and is not over.
fn ahead_in_group(runs: &Runs<'_>, cause: &Cause, message: &Message) -> Option<Cause> {
    let group = message.group.as_ref()?;
    let before = runs.order.iter().take_while(|other| **other != cause);
    let is_same = |other: &&&Cause| match runs.book.runs.get(**other).map(|run| &run.origin) {
        Some(Origin::Message(other)) => other.group.as_ref() == Some(group),
        Some(Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_)) | None => false,
    };
    if runs.case.facts.is_off(Mutant::MixesGroup) {
        return None;
    }
    before.into_iter().find(is_same).map(|other| (*other).clone())
}

/// One message at work, with what is to end it.
struct One<'a> {
    runs: &'a Runs<'a>,
    cause: &'a Cause,
    run: &'a Run,
    ending: Option<Ending>,
}

impl One<'_> {
    /// True when an attempt was made in this claim, and was not stopped with everything else, or for its time.
    fn is_over(&self) -> bool {
        let facts = self.runs.case.facts;
        let last = facts.backoff.0.get(&self.runs.id(self.cause)).filter(|last| last.number > self.run.forgiven);
        let is_over = last.is_some_and(|last| match &last.end {
            End::Ended { asked: true, at, .. } => {
                self.runs.rule.timeout.is_some_and(|timeout| at.since(last.started) >= timeout)
            }
            End::Ended { asked: false, .. } | End::Open => true,
        });
        is_over && !facts.is_off(Mutant::TriesInPlace)
    }

    /// What the end of its attempt means; what else is left of it is waited for.
    fn judge(self, draft: &mut Draft) {
        let (runs, id) = (self.runs, self.runs.id(self.cause));
        let left = left::decide(runs, (self.cause, self.run), |_| false, self.ending.as_ref(), draft);
        if left > 0 {
            return draft.push(runs.case.facts, wait(id, Reason::Steps { done: 0, of: left }));
        }
        let own = Attempts { ending: self.ending, ..plain(runs, self.cause, self.run) };
        let decision = decide_one(runs, &own, |_| None, draft);
        push(runs, decision, draft);
    }

    /// What its rule says is done, or goes on being done.
    fn carry_on(&self, sorting: &Sorting, message: &Arc<Message>, draft: &mut Draft) {
        let named = match self.classified(sorting, message, draft) {
            Classified::Open => return,
            Classified::Failed(why) => {
                let said = self.ending.as_ref().and_then(Ending::outcome);
                let (outcome, why) = said.unwrap_or((Outcome::Failed, why));
                return self.end(outcome, why, None, draft);
            }
            Classified::None => None,
            Classified::Named(name) => Some(name),
        };
        let rule = match choose(sorting, message, named.as_deref()) {
            Choice::None(why) => return self.end(Outcome::Denied, why, None, draft),
            Choice::Rule(rule) => rule,
        };
        match &rule.then {
            Then::Drop => self.end(Outcome::Ok, format!("dropped by rule {}", rule.name).into(), None, draft),
            Then::Reply(text) => {
                self.end(Outcome::Ok, format!("answered by rule {}", rule.name).into(), Some(text), draft);
            }
            Then::Work { work, with } => match Scope::of(message.scope()).fill(with).map(Option::unwrap_or_default) {
                Err(why) => self.end(Outcome::Failed, why, None, draft),
                Ok(with) => {
                    let (mut rule, run) = as_run(self.runs.rule, self.run, work, with);
                    if self.runs.case.facts.is_off(Mutant::TriesInPlace) {
                        rule.retry = self.runs.rule.retry;
                    }
                    decide_work(&self.runs.with_rule(&rule), self.cause, &run, self.ending.clone(), draft);
                }
            },
        }
    }

    /// It is over without any work; what an earlier rule began is waited for.
    fn end(&self, outcome: Outcome, why: Arc<str>, output: Option<&Arc<str>>, draft: &mut Draft) {
        let (runs, id) = (self.runs, self.runs.id(self.cause));
        let facts = runs.case.facts;
        let left = left::decide(runs, (self.cause, self.run), |_| false, self.ending.as_ref(), draft);
        if left > 0 {
            return draft.push(facts, wait(id, Reason::Steps { done: 0, of: left }));
        }
        if let (Coverage::Partial { why }, false) = (&facts.observed.coverage, left::is_gone(facts, &id)) {
            return draft.push(facts, wait(id, Reason::Blind { why: why.clone() }));
        }
        let last = facts.backoff.0.get(&id).filter(|last| last.number > self.run.forgiven);
        let mut decision = finish(&plain(runs, self.cause, self.run), outcome, why, last);
        if let (Some(Action::Finish(finish)), Some(text)) = (&mut decision.action, output) {
            finish.output = Some(Arc::new(Json::String(text.to_string())));
        }
        push(runs, decision, draft);
    }

    /// Asks the classifier, if there is one.
    fn classified(&self, sorting: &Sorting, message: &Arc<Message>, draft: &mut Draft) -> Classified {
        let (runs, cause, run) = (self.runs, self.cause, self.run);
        let Some(work) = &sorting.classifier else { return Classified::None };
        if let Some(step) = run.steps.get(CLASSIFY) {
            return match (step.outcome, &step.output) {
                (Outcome::Ok, Output::Whole(output)) => {
                    Classified::Named(output.as_str().map_or_else(|| output.to_string(), str::to_owned))
                }
                (Outcome::Ok, Output::Cut { size }) => {
                    Classified::Failed(format!("the answer of its classifier is {size}").into())
                }
                (outcome, _) => Classified::Failed(format!("its classifier: {}", outcome.word()).into()),
            };
        }
        let facts = runs.case.facts;
        let step = cause.step(CLASSIFY);
        if runs.book.writing.contains(&step) {
            draft.push(facts, wait(runs.id(&step), Reason::Writing));
        } else {
            let (rule, asked) = as_run(runs.rule, run, work, Json::Object(serde_json::Map::new()));
            let asked = Run { params: Arc::new(message.scope()), ..asked };
            let runs = runs.with_rule(&rule);
            let launch = || classifier_of(facts, &rule.work, &asked, cause);
            let attempt = Attempts {
                id: runs.id(&step),
                launch: &launch,
                policy: &rule.policy,
                retry: Retry::NONE,
                timeout: rule.timeout,
                forgiven: run.reopened.get(CLASSIFY).copied().unwrap_or(0),
                ending: self.ending.clone(),
                step_of: Some(cause.clone()),
            };
            let decision = decide_one(&runs, &attempt, |draft| may_start(&runs, cause, run, draft), draft);
            push(&runs, decision, draft);
        }
        draft.push(facts, wait(runs.id(cause), Reason::Steps { done: 0, of: 1 }));
        Classified::Open
    }
}

/// The run of a message, as if the work of its rule were that of its object.
fn as_run(rule: &RunRule, run: &Run, work: &Work, with: Json) -> (RunRule, Run) {
    let (work, params) = match work {
        Work::Use { target, with: own } => {
            let with = crate::engine::run::params::merged(own, &with);
            (Work::Use { target: target.clone(), with }, Arc::new(Json::Object(serde_json::Map::new())))
        }
        other => (other.clone(), Arc::new(with)),
    };
    // What failed goes back into the queue and waits there.
    (RunRule { work, retry: Retry::NONE, ..rule.clone() }, Run { params, ..run.clone() })
}

/// What is executed for the run itself, when nothing is.
fn plain<'a>(runs: &'a Runs<'_>, cause: &Cause, run: &Run) -> Attempts<'a> {
    Attempts {
        id: runs.id(cause),
        launch: &|| Err("nothing is executed for it".into()),
        policy: &runs.rule.policy,
        retry: Retry::NONE,
        timeout: runs.rule.timeout,
        forgiven: run.forgiven,
        ending: None,
        step_of: None,
    }
}

enum Classified {
    /// Nobody is asked.
    None,
    /// It is being asked.
    Open,
    /// It gave no answer.
    Failed(Arc<str>),
    /// Its answer.
    Named(String),
}

/// Makes of the end of a run the end of its message, or its return into the queue.
fn settle(
    runs: &Runs<'_>,
    (cause, run): (&Cause, &Run),
    (message, is_begun): (&Arc<Message>, bool),
    decision: &mut Decision,
) {
    let facts = runs.case.facts;
    let Some(Action::Finish(finish)) = &mut decision.action else { return };
    let is_failure = match finish.outcome {
        Outcome::Ok => facts.is_off(Mutant::DoneAgain),
        Outcome::Cancelled | Outcome::Denied | Outcome::Skipped => false,
        Outcome::Failed | Outcome::Timeout | Outcome::Killed | Outcome::Lost | Outcome::Unknown => true,
    };
    // What was never begun, as it was too old or no rule wanted it, has had no attempt; what could not be begun has.
    let counts = (is_begun || is_failure) && !facts.is_off(Mutant::Miscounts);
    let tries = message.tries.saturating_add(u32::from(counts));
    if is_failure && is_tried_again(runs, (cause, run), tries) {
        let due = due_again(runs, &runs.rule.retry, message, tries);
        let back = Return {
            message: message.clone(),
            due,
            tries,
            attempts: finish.attempts,
            why: finish.why.clone(),
            exit: finish.exit.clone(),
            started: finish.started,
        };
        let (why, of) = (finish.why.clone(), runs.rule.retry.times.saturating_add(1));
        decision.because = Reason::Returned { until: due, why, failed: tries, of };
        decision.action = Some(Action::Return(Box::new(back)));
        return;
    }
    let fate = match (finish.outcome, &run.cancel) {
        (Outcome::Ok, _) => MessageFate::Ok,
        (Outcome::Cancelled, Some(_)) => MessageFate::Cancelled,
        (_, Some(by)) if is_failure => {
            // It failed by itself before it could be stopped.
            (finish.outcome, finish.why) = (Outcome::Cancelled, format!("cancelled by {by}; {}", finish.why).into());
            decision.because = Reason::Over { outcome: finish.outcome, why: finish.why.clone() };
            MessageFate::Cancelled
        }
        // Its mailbox was made anew meanwhile, it was too old, no rule wanted it, or it failed too often.
        (_, _) => MessageFate::Dead,
    };
    if fate == MessageFate::Dead && facts.is_off(Mutant::DeadUnsaid) {
        finish.why = "".into();
    }
    if !facts.is_off(Mutant::EndsAlone) {
        finish.message = Some(MessageEnd { message: message.clone(), fate, tries });
    }
}

/// Whether a message that failed goes back into its queue.
fn is_tried_again(runs: &Runs<'_>, (cause, run): (&Cause, &Run), tries: u32) -> bool {
    let facts = runs.case.facts;
    let is_poison = code(facts, &runs.id(cause), run) == Some(POISON);
    let is_spent = tries > runs.rule.retry.times;
    (!is_poison || facts.is_off(Mutant::PoisonAgain))
        && (!is_spent || facts.is_off(Mutant::ReturnsForEver))
        && (run.cancel.is_none() || facts.is_off(Mutant::CancelledAgain))
        && !facts.is_off(Mutant::DeadTooSoon)
}

fn due_again(runs: &Runs<'_>, retry: &Retry, message: &Message, tries: u32) -> Timestamp {
    let facts = runs.case.facts;
    if facts.is_off(Mutant::ReturnsAtOnce) {
        return facts.now.wall;
    }
    facts.now.wall.after(wait_after(retry, &runs.case.object.id, &message.id, tries))
}

/// The end of a message whose mailbox is gone.
pub(in crate::engine) fn orphaned(run: &Run, outcome: Outcome) -> Option<MessageEnd> {
    match &run.origin {
        Origin::Message(message) => {
            let is_done = outcome == Outcome::Ok;
            let (fate, tries) = match is_done {
                true => (MessageFate::Ok, message.tries.saturating_add(1)),
                false => (MessageFate::Dead, message.tries),
            };
            Some(MessageEnd { message: message.clone(), fate, tries })
        }
        Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) => None,
    }
}
