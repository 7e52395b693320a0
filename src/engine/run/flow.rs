//! Decides about the steps of one run of a workflow.
//!
//! In: the steps, those that are over, what was seen of the others. Out: one decision for each step whose turn it is,
//! and one for the run. Not here: attempts ([`super::decide`]), references ([`super::params`]).
//! The surprise: a step has no row before it is over. That it has begun is read from the process table and the records,
//! so a controller that was killed between two steps goes on at the right one, and none is done twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::attempts::{Ending, One, decide_one, finish, timed_out};
use super::decide::{Runs, held, may_start, push};
use super::launch::{carry, with_params};
use super::ledger::{Origin, Outcome, Output, Run, Step};
use super::left;
use super::params::merged;
use super::rule::{Condition, Flow, FlowStep, Retry, Risk, Work};
use super::scope::{Filled, Scope};
use super::used::{Resolved, resolve};
use crate::engine::backoff::{Attempt, End, Exit};
use crate::engine::converge::{Draft, wait};
use crate::engine::desired::Coverage;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::{Sight, Sighting};
use crate::engine::plan::{Action, Decision, EnvValue, Launch, Reason};
use crate::engine::time::BootTime;

/// One run of a workflow.
struct Steps<'a> {
    runs: &'a Runs<'a>,
    flow: &'a Arc<Flow>,
    cause: &'a Cause,
    run: &'a Run,
    /// What references stand for.
    scope: Scope,
}

/// Decides about the steps of a run, and about the run itself.
pub(super) fn decide(
    runs: &Runs<'_>,
    flow: &Arc<Flow>,
    cause: &Cause,
    run: &Run,
    ending: Option<Ending>,
    draft: &mut Draft,
) {
    let facts = runs.case.facts;
    let steps = Steps { runs, flow, cause, run, scope: scope(runs, flow, run) };
    let id = runs.id(cause);
    if let Some(error) = steps.bad_params() {
        let decision = finish(&steps.whole(), Outcome::Failed, error, None);
        return push(runs, decision, draft);
    }
    let ending = ending.or_else(|| steps.late(draft).then_some(Ending::TimedOut));
    if ending.is_none()
        && !super::order::is_begun(runs.case, cause, run)
        && let Some(reason) = may_start(runs, cause, run, draft)
    {
        return draft.push(facts, wait(id, reason));
    }
    let is_known = |id: &InstanceId| flow.steps.iter().any(|step| steps.is_of(step, id));
    let left = left::decide(runs, (cause, run), is_known, ending.as_ref(), draft);
    if facts.observed.sightings.get(&id).is_some_and(|sighting| sighting.sight != Sight::Absent) {
        // It was a command before: that is decided already.
        return;
    }
    let mut is_open = left > 0;
    for step in &flow.steps {
        is_open |= steps.step(step, ending.as_ref(), draft);
    }
    if is_open {
        let of = flow.steps.len();
        return draft.push(facts, wait(id, Reason::Steps { done: run.steps.len(), of }));
    }
    if let (Coverage::Partial { why }, false) = (&facts.observed.coverage, left::is_gone(facts, &id)) {
        // A step that an edit took away may be among what was not seen.
        return draft.push(facts, wait(id, Reason::Blind { why: why.clone() }));
    }
    let decision = match (steps.worst(), ending.as_ref().map(|ending| (ending, ending.outcome()))) {
        (None, Some((_, None))) => wait(id, Reason::Draining),
        (None, Some((Ending::TimedOut, _))) => {
            finish(&steps.whole(), Outcome::Timeout, timed_out(runs.timeout()), None)
        }
        (None, Some((_, Some((outcome, why))))) if !steps.is_complete() => finish(&steps.whole(), outcome, why, None),
        (Some((step, outcome)), _) => {
            finish(&steps.whole(), outcome, format!("step {step}: {}", outcome.word()).into(), None)
        }
        (None, _) => finish(&steps.whole(), Outcome::Ok, "every step is done".into(), None),
    };
    push(runs, with_output(decision, &steps), draft);
}

/// The outputs of the steps are what the whole gives.
fn with_output(mut decision: Decision, steps: &Steps<'_>) -> Decision {
    if let Some(Action::Finish(finish)) = &mut decision.action {
        let output = |step: &Step| match &step.output {
            Output::Whole(output) => (**output).clone(),
            Output::Cut { .. } => Json::Null,
        };
        let outputs = steps.run.steps.iter().map(|(id, step)| (id.to_string(), output(step)));
        finish.output = Some(Arc::new(Json::Object(outputs.collect())));
        // Attempts from when it was a command are forgiven with the rest, should a person reopen it.
        let before = steps.runs.case.facts.backoff.0.get(&decision.id).map_or(0, |last| last.number);
        finish.attempts = finish.attempts.max(before);
    }
    decision
}

/// What references stand for: the parameters, and the steps that are over.
fn scope(runs: &Runs<'_>, flow: &Flow, run: &Run) -> Scope {
    let with = match &runs.rule.work {
        Work::Use { target: _, with } => merged(with, &run.params),
        Work::Command(_) | Work::Way(_) | Work::Flow(_) | Work::Prompt { .. } | Work::Sorted(_) => {
            (*run.params).clone()
        }
    };
    let params = flow.params.with_defaults(&with);
    match &run.origin {
        Origin::Message(message) => Scope::beside(message.scope(), params, &run.steps),
        Origin::Tick(_) | Origin::Generation(_) | Origin::Person(_) => Scope::new(params, &run.steps),
    }
}

impl Steps<'_> {
    fn step_id(&self, step: &FlowStep) -> InstanceId {
        self.runs.id(&self.cause.step(&step.id))
    }

    fn bad_params(&self) -> Option<Arc<str>> {
        let errors = self.flow.params.check(self.scope.params());
        errors.first().map(|error| format!("{error}; {}", error.help).into())
    }

    /// The run itself, which has no process of its own.
    fn whole(&self) -> One<'_> {
        One {
            id: self.runs.id(self.cause),
            launch: &|| Err("a workflow has no process of its own".into()),
            policy: &self.runs.rule.policy,
            retry: Retry::NONE,
            timeout: None,
            forgiven: self.run.forgiven,
            ending: None,
            step_of: None,
        }
    }

    /// True when an attempt of it is there, or was there since a person reopened the step.
    fn is_begun(&self, step: &FlowStep, id: &InstanceId) -> bool {
        let facts = self.runs.case.facts;
        let counts = |last: &Attempt| last.number > self.forgiven(step);
        let is_seen = |sighting: &Sighting| sighting.sight != Sight::Absent;
        facts.backoff.0.get(id).is_some_and(counts) || facts.observed.sightings.get(id).is_some_and(is_seen)
    }

    fn forgiven(&self, step: &FlowStep) -> u32 {
        self.run.reopened.get(&step.id).copied().unwrap_or(0)
    }

    /// True when an instance is this step, over or not, or its condition.
    fn is_of(&self, step: &FlowStep, id: &InstanceId) -> bool {
        let cause = self.cause.step(&step.id);
        id.cause == cause || (step.is_asked_by_command() && id.cause == cause.step("when"))
    }

    /// True when the whole has taken too long. Steps of an earlier boot are not counted.
    fn late(&self, draft: &mut Draft) -> bool {
        let facts = self.runs.case.facts;
        let Some(timeout) = self.runs.timeout() else { return false };
        let started = |step: &FlowStep| -> Option<BootTime> {
            let last = facts.backoff.0.get(&self.step_id(step))?;
            // A person who reopens a run moves its time.
            let counts = last.boot_id == facts.now.boot_id && last.started_wall >= self.run.due;
            counts.then_some(last.started)
        };
        let Some(first) = self.flow.steps.iter().filter_map(started).min() else { return false };
        let late = first.after(timeout);
        if late > facts.now.boot {
            draft.wake(facts, Mutant::ForgetWake, late);
        }
        late <= facts.now.boot
    }

    /// The first step that did not end well.
    fn worst(&self) -> Option<(Arc<str>, Outcome)> {
        let bad = |step: &&FlowStep| {
            let over = self.run.steps.get(&step.id);
            over.is_some_and(|over| !matches!(over.outcome, Outcome::Ok | Outcome::Skipped))
        };
        let step = self.flow.steps.iter().find(bad)?;
        Some((step.id.clone(), self.run.steps.get(&step.id)?.outcome))
    }

    fn is_complete(&self) -> bool {
        self.flow.steps.iter().all(|step| self.run.steps.contains_key(&step.id))
    }

    /// Decides about one step. True when something of it is still to come or under way.
    fn step(&self, step: &FlowStep, ending: Option<&Ending>, draft: &mut Draft) -> bool {
        let facts = self.runs.case.facts;
        let id = self.step_id(step);
        if self.run.steps.contains_key(&step.id) && !facts.is_off(Mutant::StepAgain) {
            return false;
        }
        if self.runs.book.writing.contains(&id.cause) {
            draft.push(facts, wait(id, Reason::Writing));
            return true;
        }
        let asking = self.runs.id(&id.cause.step("when"));
        let is_begun = self.is_begun(step, &id) || self.is_begun(step, &asking);
        let is_over = |need: &Arc<str>| {
            self.run.steps.get(need).is_some_and(|over| matches!(over.outcome, Outcome::Ok | Outcome::Skipped))
        };
        let is_ready = step.needs.iter().all(is_over) || facts.is_off(Mutant::StepOutOfTurn);
        let is_gone = |id: &InstanceId| left::is_gone(facts, id);
        let is_idle = !is_begun || (!is_ready && is_gone(&id) && is_gone(&asking));
        if is_idle && (ending.is_some() || self.worst().is_some()) {
            return false;
        }
        // An edit may have taken its condition away while that is asked.
        let is_asked = !step.is_asked_by_command() && !is_gone(&asking);
        if (is_idle && !is_ready) || is_asked {
            draft.push(facts, wait(id, Reason::StepWaits));
            return true;
        }
        let decision = match self.condition(step, &id, asking, ending, draft) {
            Asked::Yes => self.attempt(step, id, ending, draft),
            Asked::Decided(decision) => *decision,
        };
        push(self.runs, decision, draft);
        true
    }

    fn attempt(&self, step: &FlowStep, id: InstanceId, ending: Option<&Ending>, draft: &mut Draft) -> Decision {
        let launch = || self.launch(step);
        let one = self.one(step, id, &launch, ending);
        decide_one(self.runs, &one, |draft| self.consent(step).or_else(|| self.may_go_on(draft)), draft)
    }

    fn one<'a>(
        &'a self,
        step: &'a FlowStep,
        id: InstanceId,
        launch: &'a dyn Fn() -> Result<Launch, Arc<str>>,
        ending: Option<&Ending>,
    ) -> One<'a> {
        One {
            id,
            launch,
            policy: &self.runs.rule.policy,
            retry: step.retry,
            timeout: super::used::timeout(self.runs.case.facts, &step.work, step.timeout),
            forgiven: self.forgiven(step),
            ending: ending.cloned(),
            step_of: Some(self.cause.clone()),
        }
    }

    /// A freeze and a stop of everything hold up the steps of a run that has begun, too.
    fn may_go_on(&self, draft: &mut Draft) -> Option<Reason> {
        let is_asked = matches!(self.run.origin, super::Origin::Person(_));
        held(self.runs, !is_asked, draft)
    }

    fn consent(&self, step: &FlowStep) -> Option<Reason> {
        let facts = self.runs.case.facts;
        let needs = |what: &str| Some(Reason::NeedsConsent { what: what.into() });
        if facts.is_off(Mutant::IgnoreConsent) {
            return None;
        }
        if step.asks_first {
            return needs("askFirst");
        }
        match (&step.work, resolve(facts, &step.work)) {
            (Work::Prompt { .. }, _) => needs("a prompt for an agent"),
            (_, Ok(Resolved::Capability(capability))) if capability.risk == Risk::High => needs("risk: high"),
            (_, _) => None,
        }
    }

    fn launch(&self, step: &FlowStep) -> Result<Launch, Arc<str>> {
        let resolved = resolve(self.runs.case.facts, &step.work)?;
        let filled = match &step.work {
            Work::Use { target: _, with } => self.scope.fill_params(with, resolved.schema())?,
            // A command of its own is given the parameters of the whole.
            Work::Command(_) | Work::Way(_) | Work::Flow(_) | Work::Prompt { .. } | Work::Sorted(_) => {
                Filled { values: self.scope.params().clone(), absent: BTreeMap::new() }
            }
        };
        let mut launch = with_params(resolved, &filled)?;
        let cause = EnvValue::Literal(self.cause.to_string());
        launch.env.insert("SETPOINT_RUN".to_owned(), cause);
        launch.env.insert("SETPOINT_STEP".to_owned(), EnvValue::Literal(step.id.to_string()));
        if let Origin::Message(message) = &self.run.origin {
            let is_own = matches!(self.runs.rule.work, Work::Flow(_)) && matches!(step.work, Work::Command(_));
            carry(&mut launch, &self.runs.case.object.id, message, is_own);
        }
        Ok(launch)
    }

    /// The command that is asked whether a step is done; it reads the message that the run is for.
    fn asking(&self, command: &Launch) -> Launch {
        let mut launch = Launch { is_durable: true, ..command.clone() };
        if let Origin::Message(message) = &self.run.origin {
            carry(&mut launch, &self.runs.case.object.id, message, true);
        }
        launch
    }

    /// Whether a step is done at all.
    fn condition(
        &self,
        step: &FlowStep,
        id: &InstanceId,
        asking: InstanceId,
        ending: Option<&Ending>,
        draft: &mut Draft,
    ) -> Asked {
        // What has begun was asked about before.
        if self.is_begun(step, id) {
            return Asked::Yes;
        }
        let launch = || self.launch(step);
        let last = self.runs.case.facts.backoff.0.get(&asking).filter(|last| last.number > self.forgiven(step));
        let over = |outcome, why| {
            Asked::Decided(Box::new(finish(&self.one(step, id.clone(), &launch, None), outcome, why, last)))
        };
        match &step.when {
            None => Asked::Yes,
            Some(Condition::Expression(text)) => match super::expression::answer(text, &self.scope) {
                Ok(true) => Asked::Yes,
                Ok(false) => over(Outcome::Skipped, format!("`when: {text}` is false").into()),
                Err(why) => over(Outcome::Failed, format!("`when: {text}` cannot be told: {why}").into()),
            },
            Some(Condition::Command(command)) => {
                // Its record is written before it is gone.
                let is_gone = left::is_gone(self.runs.case.facts, &asking);
                match last.map(|last| &last.end).filter(|_| is_gone) {
                    Some(End::Ended { exit: Exit::Code(0), asked: false, .. }) => Asked::Yes,
                    Some(End::Ended { exit: exit @ Exit::Code(_), asked: false, .. }) => {
                        over(Outcome::Skipped, format!("its condition {exit}").into())
                    }
                    Some(End::Ended { .. } | End::Open) | None => {
                        let launch = || Ok(self.asking(command));
                        let one = self.one(step, asking, &launch, ending);
                        let mut decision = decide_one(self.runs, &one, |draft| self.may_go_on(draft), draft);
                        // A condition that cannot be asked is the failure of its step.
                        if let Some(Action::Finish(_)) = &decision.action {
                            decision.id = id.clone();
                        }
                        Asked::Decided(Box::new(decision))
                    }
                }
            }
        }
    }
}

enum Asked {
    Yes,
    Decided(Box<Decision>),
}
