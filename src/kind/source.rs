//! Where the messages of a mailbox come from, as people write it.
//!
//! In: names of Channels, `{folder: …}`, `{http: …}`. Out: sources for the engine. Not here: listening.
//! The surprise: what a service is asked with is the same as a call of a Capability, so its secrets travel the same way.

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::FieldError;
use super::command::check_text;
use super::process::Process;
use crate::engine::queue::Source;

/// The most sources.
const SOURCES_MAX: usize = 20;

/// One source.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = from_schema)]
pub enum From {
    /// A Channel.
    Channel(String),
    /// A folder.
    Folder(Folder),
}

/// A folder that files are put into.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Folder {
    /// Its path.
    folder: String,
}

fn from_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "object"],
        "minLength": 1,
        "properties": {
            "folder": {
                "type": "string", "minLength": 1, "examples": ["./drop"],
                "description": "A folder that files are put into, each a message. Write a file under another name or in `tmp/` below it, and rename it.",
            },
        },
        "required": ["folder"],
        "additionalProperties": false,
        "examples": [{ "folder": "./drop" }],
        "x-rule": "it takes the name of a Channel, or { folder: PATH }",
    });
}

/// Says what is wrong with the sources of a mailbox.
pub fn check(all: &[From], errors: &mut Vec<FieldError>) {
    if all.len() > SOURCES_MAX {
        errors.push(FieldError::new(&["from"], "has more than 20 entries", "write at most 20"));
    }
    for (index, from) in all.iter().enumerate() {
        let index = index.to_string();
        match from {
            From::Channel(_) => {
                let help = "remove it; use `setpoint send`, or { folder: ./drop }";
                errors.push(FieldError::new(&["from", &index], "is a Channel, and this version has none", help));
            }
            From::Folder(folder) => check_text(&["from", &index, "folder"], &folder.folder, errors),
        }
    }
}

impl From {
    /// For the engine.
    #[must_use]
    pub fn source(&self, _: &Process) -> Option<Source> {
        match self {
            From::Channel(_) => None,
            From::Folder(folder) => Some(Source::Folder(Arc::from(folder.folder.as_str()))),
        }
    }
}
