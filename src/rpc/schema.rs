//! The parameters of methods, as JSON Schema.
//!
//! In: names and types. Out: schemas of objects that allow nothing else. Not here: checking (`engine::run::params`).
//! The surprise: a method without parameters has the schema null, and refuses every name all the same.

use serde_json::{Map, Value, json};

/// A method without parameters.
#[must_use]
pub fn none() -> Value {
    Value::Null
}

/// Parameters by name, each with its schema; those in `required` have to be there.
#[must_use]
pub fn object(required: &[&str], properties: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A text, with what it is.
#[must_use]
pub fn text(description: &str) -> Value {
    json!({ "type": "string", "maxLength": 4096, "description": description })
}

/// One of these words.
#[must_use]
pub fn word(words: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": words, "description": description })
}

/// Yes or no.
#[must_use]
pub fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// A whole number between two, both included.
#[must_use]
pub fn count(least: u64, most: u64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

/// A map of names to values.
#[must_use]
pub fn map(description: &str) -> Value {
    json!({ "type": "object", "description": description })
}

/// A list of texts, one at least.
#[must_use]
pub fn texts(description: &str) -> Value {
    let item = json!({ "type": "string", "maxLength": 4096 });
    json!({ "type": "array", "items": item, "minItems": 1, "maxItems": 1000, "description": description })
}

/// The text of a parameter; empty when it is not there.
#[must_use]
pub fn text_of<'a>(params: &'a Value, name: &str) -> &'a str {
    params.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// True when a flag was given and says yes.
#[must_use]
pub fn is_set(params: &Value, name: &str) -> bool {
    params.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A number, as far as it was given.
#[must_use]
pub fn count_of(params: &Value, name: &str) -> Option<usize> {
    params.get(name).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok())
}

/// The texts of a list; none when it is not there.
#[must_use]
pub fn texts_of(params: &Value, name: &str) -> Vec<String> {
    let list = params.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
