//! The parts of a Trigger, as people write them: patterns, changes, limits, steps.
//!
//! In: what stands in its fields. Out: rules for the engine. Not here: the Trigger itself (`trigger`).
//! The surprise: a step may refer to what happened and to the steps before it, and to nothing else, so a reference that
//! could stand for nothing is an error here and not when it is too late.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::command::Run;
use super::units::{Duration, count};
use super::work::Work;
use super::{FieldError, shown};
use crate::engine::name::is_name;
use crate::engine::queue;
use crate::engine::run::scope::references;
use crate::engine::run::{self, Condition, FlowStep};

/// The most steps.
const STEPS_MAX: usize = 100;
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

/// One pattern, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = patterns_schema)]
pub enum Patterns {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

fn patterns_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "array"],
        "minLength": 1,
        "items": { "type": "string", "minLength": 1 },
        "minItems": 1,
        "maxItems": 50,
    });
}

impl Patterns {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Patterns::One(one) => std::slice::from_ref(one),
            Patterns::Many(many) => many,
        }
    }

    /// True when it is no list.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self, Patterns::One(_))
    }

    /// A list of one is that one.
    #[must_use]
    pub fn settled(self) -> Patterns {
        match self {
            Patterns::Many(mut many) if many.len() == 1 => many.pop().map_or(Patterns::Many(many), Patterns::One),
            other => other,
        }
    }

    /// The same with each of them changed.
    #[must_use]
    pub fn each(self, change: impl Fn(String) -> String) -> Patterns {
        match self {
            Patterns::One(one) => Patterns::One(change(one)),
            Patterns::Many(many) => Patterns::Many(many.into_iter().map(change).collect()),
        }
    }
}

/// A change of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Change {
    /// it appears, also by a rename
    Create,
    /// what it holds changes
    Modify,
    /// it goes, also by a rename
    Delete,
}

impl Change {
    /// All of them.
    pub const ALL: &[Change] = &[Change::Create, Change::Modify, Change::Delete];
}

/// So often at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limit {
    /// So often.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1_000_000), extend("x-rule" = "it counts: 1 to 1000000"))]
    times: u32,
    /// Within this.
    within: Duration,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit::EVENTS
    }
}

impl Limit {
    /// Of a Trigger that is set off by events.
    pub const EVENTS: Limit = Limit { times: 10, within: Duration(HOUR) };
    /// Of one that is set off by files.
    pub const FILES: Limit = Limit { times: 1000, within: Duration(HOUR) };

    /// For the engine.
    #[must_use]
    pub fn rule(&self) -> queue::Limit {
        queue::Limit { times: self.times, within: self.within.0 }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        if !(1..=1_000_000).contains(&self.times) {
            let help = "write 1 to 1000000; to switch it off write `enabled: false`";
            errors.push(FieldError::new(&["limit", "times"], "is out of range", help));
        }
        if self.within.0 < std::time::Duration::from_secs(1) || self.within.0 > HOUR * 24 * 31 {
            errors.push(FieldError::new(&["limit", "within"], "is out of range", "write 1s to 31d"));
        }
    }
}

/// One step: exactly one of run, use and prompt.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Its name; its number by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["collect"]))]
    id: Option<String>,
    /// What to run. What happened comes as JSON on standard input. A text is a line for `/bin/sh -c` (executed directly
    /// when it needs no shell); a list is the exact program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The Capability to use: its name, or capability/NAME.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["collect-logs"]))]
    used: Option<String>,
    /// The parameters of what is used. `{from: event.object}`, `{from: changes.first}` and `{from: steps.ID.output}` stand
    /// for what is known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": { "from": "event.object" } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to values"))]
    with: Option<BTreeMap<String, Json>>,
    /// What an agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["Find out why it failed."]))]
    prompt: Option<String>,
    /// The Agent that is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["reviewer"]))]
    agent: Option<String>,
    /// The Channel that is told of it. This version has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["tg"]))]
    notify: Option<String>,
}

impl Step {
    /// Its name.
    #[must_use]
    pub fn id(&self, index: usize) -> String {
        self.id.clone().unwrap_or_else(|| (index + 1).to_string())
    }

    /// True when it has a command of its own.
    #[must_use]
    pub fn has_command(&self) -> bool {
        self.run.is_some()
    }

    /// What is done.
    #[must_use]
    pub fn work(&self) -> Work {
        let (run, used, with) = (self.run.clone(), self.used.clone(), self.with.clone());
        Work { run, used, with, prompt: self.prompt.clone(), agent: self.agent.clone() }
    }

    fn check(&self, index: usize, errors: &mut Vec<FieldError>) {
        let index = index.to_string();
        let at = |field: &'static str| ["then", index.as_str(), field];
        if self.notify.is_some() {
            let help = "remove it, or use a Capability that tells somebody";
            return errors.push(FieldError::of_name(&at("notify"), "needs a Channel, and this version has none", help));
        }
        self.work().check(&["then", &index], errors);
        if self.used.as_ref().is_some_and(|used| used.trim_start_matches('/').starts_with("workflow/")) {
            let help = "use a Capability, or use the Workflow alone, without `then`";
            errors.push(FieldError::new(&at("use"), "is a Workflow, which cannot be a step", help));
        }
        if let Some(id) = self.id.as_ref().filter(|id| !is_name(id) || *id == "when") {
            let help = "a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`; not `when`";
            errors.push(FieldError::new(&at("id"), format!("is {}, which cannot be a name", shown(id)), help));
        }
    }
}

/// Says what is wrong with steps.
pub fn check_steps(steps: &[Step], about: Extent, errors: &mut Vec<FieldError>) {
    if steps.len() > STEPS_MAX {
        errors.push(FieldError::new(&["then"], "has more than 100 entries", "write 1 to 100"));
    }
    let ids: Vec<String> = steps.iter().enumerate().map(|(index, step)| step.id(index)).collect();
    for (index, step) in steps.iter().enumerate() {
        step.check(index, errors);
        let before = ids.get(..index).unwrap_or_default();
        if ids.get(index).is_some_and(|id| before.contains(id)) {
            let path = ["then", &index.to_string(), "id"];
            errors.push(FieldError::new(&path, "is the name of another step, too", "give each step its own"));
        }
        check_references(&["then", &index.to_string(), "with"], step.with.as_ref(), about, before, errors);
    }
}

/// What references may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What happened.
    Event,
    /// Files.
    Changes,
}

/// Says what is wrong with the references in parameters. `before`: the steps that are over by then.
pub fn check_references(
    path: &[&str],
    with: Option<&BTreeMap<String, Json>>,
    about: Extent,
    before: &[String],
    errors: &mut Vec<FieldError>,
) {
    let (known, other, help) = match about {
        Extent::Event => ("event", "changes", "write event.object, event.type or event.text"),
        Extent::Changes => ("changes", "event", "write changes.first, changes.create or changes.total"),
    };
    for (name, value) in with.into_iter().flatten() {
        let mut found = Vec::new();
        references(value, &mut found);
        for reference in found {
            let mut words = reference.split('.');
            let (first, second) = (words.next().unwrap_or_default(), words.next());
            let (what, help) = match (first, second) {
                (word, Some(_)) if word == known || word == "message" => continue,
                ("steps", Some(id)) if before.iter().any(|step| step == id) => continue,
                ("steps", _) => ("which is no step before this one", "write steps.ID.output, of an earlier step"),
                (word, _) if word == other => ("which it is not set off by", help),
                (_, _) => ("which is nothing here", help),
            };
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            errors.push(FieldError::new(&path, format!("refers to {}, {what}", shown(reference)), help));
        }
    }
}

/// A step that is done when its turn comes.
#[must_use]
pub fn one_step(id: &str, work: run::Work) -> FlowStep {
    let (needs, when) = (Vec::new(), None);
    FlowStep { id: id.into(), work, needs, when, retry: run::Retry::NONE, timeout: None, asks_first: false }
}

/// Each step after the one before; where the first is not done, none is.
#[must_use]
pub fn in_sequence(mut steps: Vec<FlowStep>, condition: Option<Condition>) -> Vec<FlowStep> {
    let first = steps.first().map(|step| step.id.clone());
    let is_asked = condition.is_some();
    let mut before: Option<Arc<str>> = None;
    for step in &mut steps {
        step.needs = before.iter().cloned().collect();
        if let (Some(first), true, true) = (&first, is_asked, before.is_some()) {
            step.when = Some(Condition::Expression(format!("steps['{first}'].outcome == 'ok'").into()));
        }
        before = Some(step.id.clone());
    }
    if let Some(step) = steps.first_mut() {
        step.when = condition;
    }
    steps
}
