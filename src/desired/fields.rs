//! What differs between two versions of an object, field by field.
//!
//! In: a stored object and a proposed one. Out: paths with both values, and what the difference does to a process.
//! Not here: which objects are compared. The surprise: maps are compared by key, lists as a whole, since in a list of
//! arguments a position means nothing by itself.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::registry;
use crate::kind::Effect;

/// One field that differs. A value is `null` when the field is not set there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Where, as in `env.PORT`; a key with other letters than a name is quoted, `labels["a.b"]`.
    pub path: String,
    /// The value so far.
    pub from: Value,
    /// The value to come.
    pub to: Value,
    /// What the difference does to a running process.
    #[serde(serialize_with = "effect_word")]
    pub effect: Effect,
}

/// The greater of two effects: each covers those before it.
#[must_use]
pub fn greater(a: Effect, b: Effect) -> Effect {
    a.max(b)
}

fn effect_word<S: serde::Serializer>(effect: &Effect, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(effect)
}

/// What is compared of a version.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The spec, defaults omitted.
    pub spec: &'a Value,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// The fields in which `to` differs from `from`: the spec, then labels, then annotations, each by key.
#[must_use]
pub fn differences(kind: &str, from: Side<'_>, to: Side<'_>) -> Vec<Field> {
    let mut fields = Vec::new();
    let empty = Map::new();
    let (old, new) = (from.spec.as_object().unwrap_or(&empty), to.spec.as_object().unwrap_or(&empty));
    for key in keys(old, new) {
        let effect = registry::effect(kind, key);
        compare(Spot { path: step("", key), effect }, old.get(key), new.get(key), &mut fields);
    }
    for (name, old, new) in [("labels", from.labels, to.labels), ("annotations", from.annotations, to.annotations)] {
        let (old, new) = (as_map(old), as_map(new));
        for key in keys(&old, &new) {
            compare(Spot { path: step(name, key), effect: Effect::None }, old.get(key), new.get(key), &mut fields);
        }
    }
    fields
}

struct Spot {
    path: String,
    effect: Effect,
}

fn compare(spot: Spot, from: Option<&Value>, to: Option<&Value>, fields: &mut Vec<Field>) {
    if from == to {
        return;
    }
    let empty = Map::new();
    let (old, new) = match (from, to) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => (old, new),
        // A map that appears or goes is shown key by key too.
        (None, Some(Value::Object(new))) if !new.is_empty() => (&empty, new),
        (Some(Value::Object(old)), None) if !old.is_empty() => (old, &empty),
        (from, to) => {
            let value = |side: Option<&Value>| side.cloned().unwrap_or(Value::Null);
            fields.push(Field { path: spot.path, from: value(from), to: value(to), effect: spot.effect });
            return;
        }
    };
    for key in keys(old, new) {
        let inner = Spot { path: step(&spot.path, key), effect: spot.effect };
        compare(inner, old.get(key), new.get(key), fields);
    }
}

fn keys<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn as_map(texts: &BTreeMap<String, String>) -> Map<String, Value> {
    texts.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str()))).collect()
}

fn step(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (path.is_empty(), is_plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", Value::from(key)),
    }
}
