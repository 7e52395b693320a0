//! Work: what is done once, and then is over.
//!
//! In: `run`, or `use` and `with`, or `prompt` and `agent`. Out: what the engine executes, and whom it names.
//! Not here: whether what is used exists and takes these parameters, which is checked once all objects are read.
//! The surprise: a used name may be a Capability's, a Workflow's or built in; which, is told when it is used, unless the
//! kind is written before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::command::Run;
use super::process::Process;
use super::units::{Duration, count};
use super::{FieldError, Names, Reference};
use crate::engine::name::{ObjectRef, is_name};
use crate::engine::run::scope::references;
use crate::engine::run::{self, Builtin, Target};

/// The longest prompt, in bytes.
const PROMPT_BYTES_MAX: usize = 256 << 10;
/// The largest `with`, in bytes of JSON: it becomes part of what a process reads.
const WITH_BYTES_MAX: usize = 256 << 10;
/// What can be used.
const KINDS_USED: &[&str] = &["capability", "workflow"];

/// What is done: exactly one of run, use and prompt.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Work {
    /// What to run. A text is a line for `/bin/sh -c` (executed directly when it needs no shell); a list is the exact
    /// program and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The Capability or Workflow to use: its name, or KIND/NAME. Built in: noop, sidecar_status, sidecar_jobs.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["deploy", "workflow/ship"]))]
    pub used: Option<String>,
    /// The parameters of what is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": "shop" }], "x-rule" = "it maps names of parameters to values"))]
    pub with: Option<BTreeMap<String, Json>>,
    /// What an agent is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["Read the new issues and write triage.md."]))]
    pub prompt: Option<String>,
    /// The Agent that is told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["reviewer"]))]
    pub agent: Option<String>,
}

impl Work {
    /// Its fields.
    pub const FIELDS: &[&str] = &["agent", "prompt", "run", "use", "with"];

    /// True when there is a command of its own.
    #[must_use]
    pub fn has_command(&self) -> bool {
        self.run.is_some()
    }

    /// Says what types cannot say; `path` leads to where these fields stand.
    pub fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        let choices = [("run", self.run.is_some()), ("use", self.used.is_some()), ("prompt", self.prompt.is_some())];
        let given: Vec<&'static str> = choices.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [] => {
                let help = "write one of run, use and prompt, as in `run: ./backup.sh`";
                errors.push(FieldError::new(path, "does not say what to do", help));
            }
            [_] => {}
            [first, more @ ..] => {
                for second in more {
                    let what = format!("stands beside `{first}`, but work is exactly one of run, use and prompt");
                    errors.push(FieldError::of_name(&at(second), what, format!("keep `{first}` or `{second}`")));
                }
            }
        }
        if let Some(run) = &self.run {
            run.check_at(&at("run"), errors);
        }
        self.check_used(path, errors);
        self.check_prompt(path, errors);
    }

    fn check_used(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        if let Some(used) = &self.used
            && target(used).is_none()
        {
            let what = match used.split_once('/').filter(|(kind, _)| !kind.is_empty()) {
                Some(_) => "is no Capability and no Workflow",
                None => "is no name of an object",
            };
            let help = "write NAME, capability/NAME or workflow/NAME, as in `use: deploy`";
            errors.push(FieldError::new(&at("use"), what, help));
        }
        let Some(with) = &self.with else { return };
        if self.used.is_none() {
            let help = "remove it, or say what to use, as in `use: deploy`";
            errors.push(FieldError::of_name(&at("with"), "goes with `use` only", help));
        }
        let bytes: usize = with.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
        if bytes > WITH_BYTES_MAX {
            let help = "put it in a file, and give its path";
            errors.push(FieldError::new(&at("with"), "is larger than 256 KiB", help));
        }
    }

    fn check_prompt(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        if let Some(prompt) = &self.prompt {
            if prompt.trim().is_empty() {
                errors.push(FieldError::new(&at("prompt"), "is empty", "write what the agent is to do"));
            }
            if prompt.len() > PROMPT_BYTES_MAX {
                errors.push(FieldError::new(&at("prompt"), "is larger than 256 KiB", "put it in files it can read"));
            }
        }
        match (&self.prompt, &self.agent) {
            (Some(_), None) => {
                let help = "add the name of an Agent, as in `agent: reviewer`";
                errors.push(FieldError::of_name(&at("prompt"), "does not say which agent is told", help));
            }
            (None, Some(_)) => {
                let help = "add what it is told, as in `prompt: Read the new issues.`";
                errors.push(FieldError::of_name(&at("agent"), "goes with `prompt` only", help));
            }
            (Some(_), Some(agent)) if !is_name(agent) => {
                let help = "write the name of an Agent, as in `agent: reviewer`";
                errors.push(FieldError::new(&at("agent"), "is no name of an object", help));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Refuses references to what only the steps of a workflow have.
    pub fn check_values(&self, errors: &mut Vec<FieldError>) {
        for (name, value) in self.with.iter().flatten() {
            let mut found = Vec::new();
            references(value, &mut found);
            if let Some(path) = found.first() {
                let what = format!("refers to {}, and only the steps of a Workflow can", super::shown(path));
                errors.push(FieldError::new(&["with", name], what, "write the value itself"));
            }
        }
    }

    /// For the engine; none before it was checked.
    #[must_use]
    pub fn rule(&self, process: &Process) -> Option<run::Work> {
        if let Some(run) = &self.run {
            return Some(run::Work::Command(Arc::new(process.launch(run.command()))));
        }
        if let Some(used) = &self.used {
            return Some(run::Work::Use { target: target(used)?, with: self.with() });
        }
        let agent = ObjectRef::new("agent", self.agent.as_ref()?).ok()?;
        Some(run::Work::Prompt { agent, text: Arc::from(self.prompt.as_ref()?.as_str()) })
    }

    fn with(&self) -> Json {
        Json::Object(self.with.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Whom it names.
    #[must_use]
    pub fn reference(&self, path: &[&str]) -> Option<Reference> {
        let path = path.iter().map(|step| (*step).to_owned()).chain(["use".to_owned()]).collect();
        let names = Names::Use { target: target(self.used.as_ref()?)?, with: self.with() };
        Some(Reference { path, names })
    }

    /// What is not as it would be anyway; one spelling for one meaning.
    #[must_use]
    pub fn canonical(&self) -> Work {
        let used = self.used.as_ref().map(|used| used.strip_prefix('/').unwrap_or(used).to_owned());
        let with = self.with.clone().filter(|with| !with.is_empty());
        Work { used, with, ..self.clone() }
    }
}

/// What a used name means; none when it is no name.
#[must_use]
pub fn target(written: &str) -> Option<Target> {
    let plain = written.strip_prefix('/').unwrap_or(written);
    let builtin = |name: &str| Builtin::ALL.iter().copied().find(|builtin| builtin.name() == name);
    match plain.split_once('/') {
        Some((kind, name)) => {
            let kind = KINDS_USED.iter().find(|used| **used == kind)?;
            let builtin = builtin(name).filter(|_| *kind == "capability");
            Some(Target { candidates: vec![ObjectRef::new(kind, name).ok()?], builtin })
        }
        None => {
            let candidates =
                KINDS_USED.iter().map(|kind| ObjectRef::new(kind, plain)).collect::<Result<_, _>>().ok()?;
            Some(Target { candidates, builtin: builtin(plain) })
        }
    }
}

/// What a failure is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts after the first.
    #[serde(deserialize_with = "count")]
    #[schemars(range(max = 100), extend("x-rule" = "it counts attempts after the first: 0 to 100"))]
    times: u32,
    /// The wait before the second attempt; doubled for each further one, up to 1h.
    wait: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { times: run::Retry::NONE.times, wait: Duration(run::Retry::NONE.wait) }
    }
}

impl Retry {
    /// As the engine has it.
    #[must_use]
    pub fn of(rule: run::Retry) -> Retry {
        Retry { times: rule.times, wait: Duration(rule.wait) }
    }

    /// For the engine.
    #[must_use]
    pub fn rule(&self) -> run::Retry {
        run::Retry { times: self.times, wait: self.wait.0 }
    }

    /// Says what types cannot say; `path` leads to it.
    pub fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        if self.times > 100 {
            errors.push(FieldError::new(&at("times"), "is more than 100", "write 0 to 100"));
        }
        if self.wait.0 < std::time::Duration::from_millis(10) || self.wait.0 > run::Retry::WAIT_MAX {
            errors.push(FieldError::new(&at("wait"), "is out of range", "write 10ms to 1h"));
        }
    }
}

/// Says why a time limit is none.
pub fn check_timeout(path: &[&str], timeout: Option<Duration>, errors: &mut Vec<FieldError>) {
    if timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        errors.push(FieldError::new(path, "is zero, so that no attempt could ever end well", "remove it for no limit"));
    }
}
