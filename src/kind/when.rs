//! Conditions, as people write them: an expression, or a command.
//!
//! In: a text in CEL, or `{ command: [..] }`. Out: a condition for the engine. Not here: asking it.
//! The surprise: a command is no shell line. It is a list, since a condition that is expanded by a shell says something
//! else on another day.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::FieldError;
use super::command::check_argv;
use super::process::Process;
use crate::engine::plan::Command;
use crate::engine::run::{Condition, expression};

/// Whether something is done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = when_schema)]
pub enum When {
    /// When this is true.
    Expression(String),
    /// When this exits with 0.
    Command(WhenCommand),
}

/// A command that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WhenCommand {
    /// The program and its arguments.
    command: Vec<String>,
}

fn when_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "object"],
        "minLength": 1,
        "properties": {
            "command": {
                "type": "array", "items": { "type": "string" }, "minItems": 1, "examples": [["test", "-e", "go"]],
                "description": "A command; the step is done when it exits with 0.",
            },
        },
        "required": ["command"],
        "additionalProperties": false,
        "examples": ["params.app != 'none'", { "command": ["test", "-e", "go"] }],
        "x-rule": "it takes an expression, or { command: [..] }",
    });
}

impl When {
    /// Says what is wrong with it; `path` leads to it, `example` is one that fits there.
    pub fn check(&self, path: &[&str], example: &str, errors: &mut Vec<FieldError>) {
        match self {
            When::Expression(text) => {
                let Some(fault) = expression::fault(text) else { return };
                // What follows lists everything that could have stood there, and repeats the text.
                let said = fault.split(" | ").next().and_then(|said| said.split(" expecting ").next());
                let said = said.unwrap_or_default().rsplit("error: ").next().unwrap_or_default();
                let help = format!("write an expression such as `{example}`");
                errors.push(FieldError::new(path, format!("is no expression: {said}"), help));
            }
            When::Command(command) => {
                let path: Vec<&str> = path.iter().copied().chain(["command"]).collect();
                check_argv(&path, &command.command, errors);
            }
        }
    }

    /// For the engine.
    #[must_use]
    pub fn rule(&self, process: &Process) -> Condition {
        match self {
            When::Expression(text) => Condition::Expression(Arc::from(text.as_str())),
            When::Command(command) => {
                Condition::Command(Arc::new(process.launch(Command::Argv(command.command.clone()))))
            }
        }
    }
}
