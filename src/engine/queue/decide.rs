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
use crate::engine::backoff::Exit;
use crate::engine::converge::{Draft, wait};
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

/// Decides about the queue itself: a claim where messages wait and there is room for them.
pub(in crate::engine) fn claim(runs: &Runs<'_>, rule: &QueueRule, draft: &mut Draft) {
    let facts = runs.case.facts;
    let cause = Cause::Named(QUEUE.into());
    let id = runs.id(&cause);
    let reason = claim_waits(runs, rule, &cause, draft);
    let decision = match reason {
        Some(reason) => wait(id, reason),
        None => {
            let at_work = u32::try_from(runs.book.runs.len()).unwrap_or(u32::MAX);
            let count = rule.at_once.saturating_sub(at_work).max(1);
            let claim = Claim { uid: runs.case.object.uid.clone(), count };
            Decision { id, action: Some(Action::Claim(Box::new(claim))), because: Reason::Due }
        }
    };
    draft.push(facts, decision);
}

/// Why nothing is claimed now.
fn claim_waits(runs: &Runs<'_>, rule: &QueueRule, cause: &Cause, draft: &mut Draft) -> Option<Reason> {
    let facts = runs.case.facts;
    if runs.book.writing.contains(cause) {
        return Some(Reason::Writing);
    }
    if let Some(reason) = refused(facts, runs.book.refused.as_ref(), draft) {
        return Some(reason);
    }
    if !rule.is_enabled {
        return Some(Reason::Disabled);
    }
    if let Some(reason) = held(runs, true, draft) {
        return Some(reason);
    }
    let queue = runs.book.queue.unwrap_or_default();
    if !queue.has_available && queue.next_due.is_none_or(|due| due > facts.now.wall) {
        if let Some(due) = queue.next_due {
            draft.wake_wall(facts, Mutant::ForgetDue, due);
        }
        return Some(Reason::QueueIdle { next: queue.next_due, depth: queue.depth });
    }
    let at_work = runs.book.runs.len();
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
    if is_begun {
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
    for decision in draft.tail(start).iter_mut().filter(|decision| decision.id == id) {
        settle(runs, run, message, decision);
    }
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
                    let (rule, run) = as_run(self.runs.rule, self.run, work, with);
                    decide_work(&self.runs.with_rule(&rule), self.cause, &run, self.ending.clone(), draft);
                }
            },
        }
    }

    /// It is over without any work; what an earlier rule began is waited for.
    fn end(&self, outcome: Outcome, why: Arc<str>, output: Option<&Arc<str>>, draft: &mut Draft) {
        let (runs, id) = (self.runs, self.runs.id(self.cause));
        let facts = runs.case.facts;
        let is_there = |id: &InstanceId| facts.observed.sightings.get(id).is_some_and(|s| s.sight != Sight::Absent);
        let left = left::decide(runs, (self.cause, self.run), |_| false, self.ending.as_ref(), draft);
        if is_there(&id) {
            // That is decided already.
            return;
        }
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
fn settle(runs: &Runs<'_>, run: &Run, message: &Arc<Message>, decision: &mut Decision) {
    let (facts, retry) = (runs.case.facts, &runs.rule.retry);
    let Some(Action::Finish(finish)) = &mut decision.action else { return };
    let tries = message.tries.saturating_add(1);
    let fate = match finish.outcome {
        Outcome::Ok => MessageFate::Ok,
        Outcome::Cancelled if run.cancel.is_some() => MessageFate::Cancelled,
        // Its mailbox was made anew meanwhile: nobody wanted the end of this message.
        Outcome::Cancelled => MessageFate::Dead,
        Outcome::Denied | Outcome::Skipped => MessageFate::Dead,
        Outcome::Failed | Outcome::Timeout | Outcome::Killed | Outcome::Lost | Outcome::Unknown => {
            let is_poison = finish.exit == Some(Exit::Code(POISON));
            let is_spent = tries > retry.times && !facts.is_off(Mutant::ReturnsForEver);
            if !is_poison && !is_spent && !facts.is_off(Mutant::DeadTooSoon) {
                let due = due_again(runs, retry, message, tries);
                let back = Return {
                    message: message.clone(),
                    due,
                    tries,
                    attempts: finish.attempts,
                    why: finish.why.clone(),
                    exit: finish.exit.clone(),
                    started: finish.started,
                };
                let why = finish.why.clone();
                decision.because = Reason::Returned { until: due, why, failed: tries, of: retry.times + 1 };
                decision.action = Some(Action::Return(Box::new(back)));
                return;
            }
            MessageFate::Dead
        }
    };
    finish.message = Some(MessageEnd { message: message.clone(), fate, tries });
}

fn due_again(runs: &Runs<'_>, retry: &Retry, message: &Message, tries: u32) -> Timestamp {
    let facts = runs.case.facts;
    if facts.is_off(Mutant::ReturnsAtOnce) {
        return facts.now.wall;
    }
    facts.now.wall.after(wait_after(retry, &runs.case.object.id, &message.id, tries))
}

/// The end of a message whose mailbox is gone.
pub(in crate::engine) fn orphaned(run: &Run) -> Option<MessageEnd> {
    match &run.origin {
        Origin::Message(message) => {
            Some(MessageEnd { message: message.clone(), fate: MessageFate::Dead, tries: message.tries })
        }
        Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) => None,
    }
}
