//! Headers of calls: text, or where it comes from at each call.
//!
//! In: what stands below `headers`. Out: the orders of a call, and the variables its process is given. Not here: sending.
//! The surprise: a value that comes from elsewhere is no part of the orders, which name a variable; one that comes from
//! a parameter is filled in by the engine, since parameters are part of the orders anyway.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::FieldError;
use super::command::{check_argv, check_text};
use super::units::Text;
use crate::engine::plan::{EnvValue, Launch};

/// The most headers of a call.
const HEADERS_MAX: usize = 64;

/// The value of a header, or where it comes from.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = header_schema)]
pub enum Header {
    /// As written.
    Literal(Text),
    /// From elsewhere.
    From(Source),
}

/// Where the value of a header comes from, at each call; exactly one, beside a prefix.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The parameter it is: `params.NAME`.
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
}

fn header_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "number", "boolean", "object"],
        "properties": {
            "from": { "type": "string" },
            "fromCommand": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            "fromEnv": { "type": "string" },
            "fromFile": { "type": "string" },
            "prefix": { "type": "string" },
        },
        "additionalProperties": false,
        "x-rule": "it takes text, or one of from, fromEnv, fromFile and fromCommand, maybe with a prefix",
    });
}

/// Says what is wrong with headers; `field` leads to what they are part of.
pub fn check_headers(field: &[&str], headers: &BTreeMap<String, Header>, errors: &mut Vec<FieldError>) {
    if headers.len() > HEADERS_MAX {
        let path: Vec<&str> = field.iter().copied().chain(["headers"]).collect();
        errors.push(FieldError::new(&path, "has more than 64 entries", "write at most 64"));
    }
    for (name, header) in headers {
        let path: Vec<&str> = field.iter().copied().chain(["headers", name]).collect();
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            let help = "a name has letters, digits and `-`, as in Content-Type";
            errors.push(FieldError::of_name(&path, "is no name of a header", help));
        }
        match header {
            Header::Literal(text) if text.0.contains(['\r', '\n', '\0']) => {
                errors.push(FieldError::new(&path, "has more than one line", "write one line"));
            }
            Header::Literal(_) => {}
            Header::From(source) => source.check(&path, errors),
        }
    }
}

impl Source {
    fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let named =
            [self.from.is_some(), self.from_command.is_some(), self.from_env.is_some(), self.from_file.is_some()];
        if named.iter().filter(|is_named| **is_named).count() != 1 {
            let help = "write one of from, fromEnv, fromFile and fromCommand: { fromFile: secrets/token }";
            errors.push(FieldError::new(path, "does not say where it comes from", help));
        }
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        if let Some(argv) = &self.from_command {
            check_argv(&at("fromCommand"), argv, errors);
        }
        for (field, text) in [("fromEnv", &self.from_env), ("fromFile", &self.from_file)] {
            if text.as_ref().is_some_and(String::is_empty) {
                errors.push(FieldError::new(&at(field), "is empty", "name a variable or a file"));
            }
            text.iter().for_each(|text| check_text(&at(field), text, errors));
        }
        if self.prefix.as_ref().is_some_and(|prefix| prefix.contains(['\r', '\n', '\0'])) {
            errors.push(FieldError::new(&at("prefix"), "has more than one line", "write one line"));
        }
    }

    fn value(&self) -> EnvValue {
        match (&self.from_command, &self.from_file) {
            (Some(argv), _) => EnvValue::FromCommand(argv.clone()),
            (None, Some(file)) => EnvValue::FromFile(file.clone()),
            (None, None) => EnvValue::FromEnv(self.from_env.clone().unwrap_or_default()),
        }
    }
}

/// Adds headers to orders; what comes from elsewhere comes by a variable.
pub fn add_headers(headers: &BTreeMap<String, Header>, orders: &mut Map<String, Json>, launch: &mut Launch) {
    let mut named = Map::new();
    for (index, (name, header)) in headers.iter().enumerate() {
        let value = match header {
            Header::Literal(text) => json!(text.0),
            Header::From(Source { from: Some(path), prefix, .. }) => match prefix {
                Some(prefix) => json!({ "from": path, "prefix": prefix }),
                None => json!({ "from": path }),
            },
            Header::From(source) => {
                let variable = format!("SETPOINT_HEADER_{index}");
                launch.env.insert(variable.clone(), source.value());
                match &source.prefix {
                    Some(prefix) => json!({ "env": variable, "prefix": prefix }),
                    None => json!({ "env": variable }),
                }
            }
        };
        named.insert(name.clone(), value);
    }
    if !named.is_empty() {
        orders.insert("headers".to_owned(), Json::Object(named));
    }
}
