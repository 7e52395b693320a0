//! The parameters that a Capability or a Workflow takes, as people write them.
//!
//! In: a map of names to short descriptions, or a JSON Schema. Out: the one schema the engine checks by.
//! Not here: checking values (`engine::run::params`).
//! The surprise: the short form is strict where a schema is generous: it names its words, so that a slip in one is an
//! error and not a parameter that takes everything.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{FieldError, shown};
use crate::engine::run::Params;
use crate::engine::run::params::{twins, variable};

/// The most parameters.
const PARAMS_MAX: usize = 100;
/// The longest name of a parameter, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Words of the short form that mean the same in a schema.
const WORDS: &[&str] = &[
    "default",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "title",
    "uniqueItems",
];
/// What a type may be called, and what a schema calls it.
const TYPES: &[(&str, &str)] = &[
    ("any", ""),
    ("array", "array"),
    ("bool", "boolean"),
    ("boolean", "boolean"),
    ("dict", "object"),
    ("float", "number"),
    ("int", "integer"),
    ("integer", "integer"),
    ("list", "array"),
    ("number", "number"),
    ("object", "object"),
    ("str", "string"),
    ("string", "string"),
];

/// What is written after `params:`.
pub type Written = BTreeMap<String, Json>;

/// The parameters for the engine.
///
/// # Errors
/// Everything that is wrong with them.
pub fn rule(written: Option<&Written>) -> Result<Params, Vec<FieldError>> {
    let Some(written) = written.filter(|written| !written.is_empty()) else { return Ok(Params::none()) };
    let schema = if is_schema(written) { whole(written)? } else { of_short(written)? };
    let params = Params::of_schema(schema).map_err(|why| {
        let help = "write names and types, as in `params: { app: { type: string, required: true } }`";
        vec![FieldError::new(&["params"], format!("is no JSON Schema: {}", super::plain(&why)), help)]
    })?;
    let mut errors = defaults_that_do_not_fit(&params);
    errors.extend(names_that_meet(&params));
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

/// A JSON Schema says so itself; the short form has a map behind every name.
fn is_schema(written: &Written) -> bool {
    let is_object = written.get("type").is_some_and(|kind| kind == "object");
    is_object
        || (written.contains_key("properties") && written.contains_key("$schema"))
        || written
            .get("properties")
            .is_some_and(|all| all.as_object().is_some_and(|all| !all.is_empty() && all.values().all(Json::is_object)))
}

fn whole(written: &Written) -> Result<Json, Vec<FieldError>> {
    let schema = Json::Object(written.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    if leads_outside(&schema) {
        let help = "write out what it stands for; a manifest reads no other file";
        return Err(vec![FieldError::new(&["params"], "has a `$ref` that leads outside of it", help)]);
    }
    Ok(schema)
}

fn leads_outside(schema: &Json) -> bool {
    match schema {
        Json::Object(fields) => fields.iter().any(|(name, field)| {
            let is_outside = name == "$ref" && field.as_str().is_some_and(|to| !to.starts_with('#'));
            is_outside || leads_outside(field)
        }),
        Json::Array(items) => items.iter().any(leads_outside),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn of_short(written: &Written) -> Result<Json, Vec<FieldError>> {
    let (mut properties, mut required, mut errors) = (Map::new(), Vec::new(), Vec::new());
    if written.len() > PARAMS_MAX {
        errors.push(FieldError::new(&["params"], "has more than 100 entries", "write at most 100"));
    }
    for (name, said) in written {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            let help = "a name has 1 to 64 letters, digits, `-` or `_`";
            errors.push(FieldError::of_name(&["params", name], "cannot be the name of a parameter", help));
        }
        if let Some((property, is_required)) = property(name, said, &mut errors) {
            if is_required {
                required.push(json!(name));
            }
            properties.insert(name.clone(), property);
        }
    }
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    if errors.is_empty() { Ok(schema) } else { Err(errors) }
}

/// One parameter of the short form, and whether it has to be given.
fn property(name: &str, said: &Json, errors: &mut Vec<FieldError>) -> Option<(Json, bool)> {
    let words = match said {
        // `app: string` is short for `app: { type: string }`.
        Json::String(kind) => Map::from_iter([("type".to_owned(), json!(kind))]),
        Json::Object(words) => words.clone(),
        Json::Null => Map::new(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
            let help = "write `app: { type: string, required: true }`";
            errors.push(FieldError::new(&["params", name], "is no description of a parameter", help));
            return None;
        }
    };
    let (mut schema, mut is_required, before) = (Map::new(), false, errors.len());
    for (word, value) in &words {
        match (word.as_str(), value) {
            ("required", Json::Bool(required)) => is_required = *required,
            ("required", _) => {
                errors.push(FieldError::new(&["params", name, "required"], "is neither true nor false", "write true"));
            }
            ("type", kind) => errors.extend(add_type(name, kind, &mut schema)),
            (known, _) if WORDS.contains(&known) => {
                schema.insert(word.clone(), value.clone());
            }
            _ => {
                let help = format!("there are type, required, {}", WORDS.join(", "));
                errors.push(FieldError::of_name(&["params", name, word], "says nothing about a parameter", help));
            }
        }
    }
    if is_required && schema.contains_key("default") {
        let help = "remove one of the two: what has a default need not be given";
        errors.push(FieldError::of_name(&["params", name, "default"], "goes ill with `required: true`", help));
    }
    (errors.len() == before).then_some((Json::Object(schema), is_required))
}

fn add_type(name: &str, kind: &Json, schema: &mut Map<String, Json>) -> Option<FieldError> {
    let word = kind.as_str().unwrap_or_default();
    let Some((_, meant)) = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) else {
        let help = "write one of: string, integer, number, boolean, list, object";
        let what = format!("is {}, which is no type", shown(kind.as_str().unwrap_or(&kind.to_string())));
        return Some(FieldError::new(&["params", name, "type"], what, help));
    };
    if !meant.is_empty() {
        schema.insert("type".to_owned(), json!(meant));
    }
    None
}

/// A default that its own schema refuses would be found at the first run only.
fn defaults_that_do_not_fit(params: &Params) -> Vec<FieldError> {
    let properties = params.schema().and_then(|schema| schema.get("properties")).and_then(Json::as_object);
    let mut errors = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let Some(default) = property.get("default") else { continue };
        let given = Json::Object(Map::from_iter([(name.clone(), default.clone())]));
        let is_it = |field: &str| field.split('.').next() == Some(name.as_str());
        if let Some(error) = params.check(&given).iter().find(|error| is_it(&error.field)) {
            let help = "write a default that its own description allows";
            errors.push(FieldError::new(&["params", name, "default"], error.what.clone(), help));
        }
    }
    errors
}

/// Two parameters that would come in one variable.
fn names_that_meet(params: &Params) -> Vec<FieldError> {
    let fault = |(first, name): (&str, &str)| {
        let what = format!("and `{first}` would both come as {}", variable(name));
        let help = "give one of the two another name: letters, digits and `_` tell them apart, case and `-` do not";
        FieldError::of_name(&["params", name], what, help)
    };
    twins(params.names()).into_iter().map(fault).collect()
}
