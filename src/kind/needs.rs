//! What an object needs before it starts.
//!
//! In: the field `needs`. Out: what the engine decides by. Not here: whether an object of that name exists, which is
//! checked once all are read. The surprise: a name alone is the name of a Service.

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::{FieldError, Names, Reference};
use crate::engine::expand::{self, Until};
use crate::engine::name::{ObjectRef, is_name};

/// The most needs of one object.
const NEEDS_MAX: usize = 100;
/// Kinds that can be needed.
const KINDS_NEEDED: &[&str] = &["job", "service"];

/// Something it needs before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = need_schema)]
pub enum Need {
    /// By name.
    Name(String),
    /// By name, and how far it has to be.
    Until(NeedUntil),
}

/// A need with how far it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NeedUntil {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UntilWord>,
}

/// How far a need has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum UntilWord {
    Started,
    Ready,
    Done,
}

fn need_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "object"],
        "minLength": 1,
        "properties": {
            "name": { "type": "string", "description": "The name of what is needed.", "examples": ["db"] },
            "until": {
                "type": "string",
                "enum": ["started", "ready", "done"],
                "description": "How far it has to be; ready if it is probed, else started.",
            },
        },
        "required": ["name"],
        "additionalProperties": false,
        "examples": ["db", { "name": "migrate", "until": "done" }],
        "x-rule": "it takes the name of what is needed, or a name and until",
    });
}

/// What was written about one need.
fn parts(need: &Need) -> (&str, Option<UntilWord>) {
    match need {
        Need::Name(name) => (name, None),
        Need::Until(NeedUntil { name, until }) => (name, *until),
    }
}

/// The object a name means: a Service unless it says another kind.
fn object_of(name: &str) -> Option<ObjectRef> {
    match name.split_once('/') {
        Some((kind, name)) => {
            let kind = KINDS_NEEDED.iter().find(|known| **known == kind)?;
            ObjectRef::new(kind, name).ok()
        }
        None => ObjectRef::new("service", name).ok(),
    }
}

/// The needs for the engine, each object once, sorted; how far is left open where it was not written.
#[must_use]
pub fn needs(written: &[Need]) -> Vec<expand::Need> {
    let need = |need: &Need| {
        let (name, until) = parts(need);
        let until = match until {
            None => Until::Usable,
            Some(UntilWord::Started) => Until::Started,
            Some(UntilWord::Ready) => Until::Ready,
            Some(UntilWord::Done) => Until::Done,
        };
        Some(expand::Need { object: object_of(name)?, until })
    };
    let mut needs: Vec<expand::Need> = written.iter().filter_map(need).collect();
    needs.sort();
    needs
}

/// Where each need is written.
#[must_use]
pub fn references(written: &[Need]) -> Vec<Reference> {
    let reference = |(index, need): (usize, &Need)| {
        let path = vec!["needs".to_owned(), index.to_string()];
        Some(Reference { path, names: Names::Need(object_of(parts(need).0)?) })
    };
    written.iter().enumerate().filter_map(reference).collect()
}

/// Says what is wrong with needs by themselves.
pub fn check_needs(written: &[Need], errors: &mut Vec<FieldError>) {
    if written.len() > NEEDS_MAX {
        errors.push(FieldError::new(&["needs"], "has more than 100 entries", "write at most 100"));
    }
    let mut seen = Vec::new();
    for (index, need) in written.iter().enumerate() {
        let path = ["needs", &index.to_string()];
        let name = parts(need).0;
        match object_of(name) {
            None if name.contains('/') && is_name(name.rsplit('/').next().unwrap_or_default()) => {
                errors.push(FieldError::new(
                    &path,
                    "is of a kind that cannot be needed",
                    "name a Service or a Job: needs: [db, job/migrate]",
                ));
            }
            None => errors.push(FieldError::new(&path, "is no name of an object", "name a Service: needs: [db]")),
            Some(object) if seen.contains(&object) => {
                errors.push(FieldError::new(&path, "is needed twice", "remove one of the two"));
            }
            Some(object) => seen.push(object),
        }
    }
}
