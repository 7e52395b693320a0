//! JSON Schemas: of one spec, of one kind's manifests, and of all.
//!
//! In: the types. Out: draft-07 documents, which is what editors read. Not here: validating (`load`).
//! The surprise: a manifest may be flat or in an envelope, and the choice is an `if` on `spec` and `metadata` rather
//! than a `oneOf`, because an editor can then say what is wrong with the form that was meant.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{API_VERSION, KINDS, KindDef};

/// Draft 7: every released editor understands it.
pub const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// What a name is, as a pattern.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$";

/// The schema of one spec type, without references, so that a place in it is a path.
#[must_use]
pub fn of_spec<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    RecursiveTransform(tidy).transform(&mut schema);
    schema
}

/// One schema with the fields of all of these; what the first says of the whole stays.
#[must_use]
pub fn joined<const N: usize>(parts: [Schema; N]) -> Schema {
    let mut whole = Map::new();
    for part in parts {
        for (word, value) in part.to_value().as_object().cloned().unwrap_or_default() {
            match (whole.get_mut(&word), value) {
                (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more),
                (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
                (Some(_), _) => {}
                (None, value) => {
                    whole.insert(word, value);
                }
            }
        }
    }
    Schema::from(whole)
}

/// Removes what means something to Rust only: line breaks of comments, `uint32`, a default that is no value.
fn tidy(schema: &mut Schema) {
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        let joined = text.replace('\n', " ");
        schema.insert("description".to_owned(), Value::String(joined));
    }
    // A field that may be left out is left out, not written as null.
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind.as_str() != Some("null"));
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if schema.get("type").and_then(Value::as_str) == Some("integer") {
        schema.remove("format");
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    fold_choices(schema);
}

/// Makes one `enum` of the `oneOf` of constants that an enum with documented variants becomes, since validators can
/// say "one of a, b, c" of the former only.
fn fold_choices(schema: &mut Schema) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let words: Option<Vec<Value>> = choices.iter().map(|choice| choice.get("const").cloned()).collect();
    let Some(words) = words else { return };
    let lines: Vec<String> = choices.iter().filter_map(choice_line).collect();
    let told = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{told}\n{}", lines.join("\n"));
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(words));
    schema.insert("description".to_owned(), Value::String(description.trim().to_owned()));
}

fn choice_line(choice: &Value) -> Option<String> {
    Some(format!("{}: {}", choice.get("const")?.as_str()?, choice.get("description")?.as_str()?))
}

/// The schema of the manifests of one kind: the short form, and the envelope around the same spec.
#[must_use]
pub fn of_kind(def: &KindDef) -> Value {
    let mut schema = branch_of(def);
    schema.insert("$schema".to_owned(), json!(DIALECT));
    schema.insert("title".to_owned(), json!(format!("setpoint {}", def.kind)));
    published(Value::Object(schema))
}

/// The schema of any manifest.
#[must_use]
pub fn of_all() -> Value {
    let branches: Vec<Value> = KINDS.iter().map(|def| Value::Object(branch_of(def))).collect();
    published(json!({
        "$schema": DIALECT,
        "title": "setpoint manifest",
        "description": "What one machine should run: one object a document, its kind first.",
        "oneOf": branches,
    }))
}

/// Drops our own keywords, which only the loader reads; strict validators refuse words they do not know.
fn published(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.starts_with("x-"));
            fields.values_mut().for_each(|field| *field = published(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = published(item.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    schema
}

fn branch_of(def: &KindDef) -> Map<String, Value> {
    let spec = (def.schema)().to_value();
    let mut branch = Map::new();
    branch.insert("title".to_owned(), json!(def.kind));
    branch.insert("description".to_owned(), json!(def.summary));
    branch.insert("type".to_owned(), json!("object"));
    branch.insert("required".to_owned(), json!(["kind"]));
    branch.insert("properties".to_owned(), json!({ "kind": kind_schema(def) }));
    branch.insert("if".to_owned(), json!({ "anyOf": [{ "required": ["spec"] }, { "required": ["metadata"] }] }));
    branch.insert("then".to_owned(), envelope(def, &spec));
    branch.insert("else".to_owned(), short_form(def, &spec));
    branch
}

fn short_form(def: &KindDef, spec: &Value) -> Value {
    let mut properties = spec.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.extend(head(def));
    properties.extend(names());
    let mut required = vec![json!("kind"), json!("name")];
    required.extend(spec.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    json!({ "properties": properties, "required": required, "additionalProperties": false })
}

fn envelope(def: &KindDef, spec: &Value) -> Value {
    let mut properties = head(def);
    let mut metadata = names();
    for ignored in super::METADATA_IGNORED {
        metadata.insert((*ignored).to_owned(), json!({ "description": "Printed by `get`; ignored when applied." }));
    }
    let metadata = json!({
        "type": "object", "properties": metadata, "required": ["name"], "additionalProperties": false,
        "description": "Name, labels and annotations.",
    });
    properties.insert("metadata".to_owned(), metadata);
    properties.insert("spec".to_owned(), spec.clone());
    properties.insert("status".to_owned(), json!({ "description": "Printed by `get`; ignored when applied." }));
    json!({ "properties": properties, "required": ["kind", "metadata", "spec"], "additionalProperties": false })
}

fn head(def: &KindDef) -> Map<String, Value> {
    let mut head = Map::new();
    let version = json!({ "const": API_VERSION, "default": API_VERSION, "description": "May be left out." });
    head.insert("apiVersion".to_owned(), version);
    head.insert("kind".to_owned(), kind_schema(def));
    head
}

fn kind_schema(def: &KindDef) -> Value {
    json!({ "const": def.kind, "description": def.summary })
}

/// The schemas of `name`, `labels` and `annotations`.
#[must_use]
pub fn names() -> Map<String, Value> {
    let text = json!({ "type": ["string", "number", "boolean"] });
    let mut names = Map::new();
    let name = json!({
        "type": ["string", "integer"], "pattern": NAME_PATTERN, "examples": ["web"],
        "description": "What it is called: 1 to 64 letters, digits, `-` or `_`; unique within its kind.",
    });
    names.insert("name".to_owned(), name);
    let labels = json!({
        "type": "object", "additionalProperties": text, "examples": [{ "app": "shop" }],
        "description": "For selecting objects: `setpoint get -l app=shop`. A change of them does nothing else.",
    });
    names.insert("labels".to_owned(), labels);
    let annotations = json!({
        "type": "object", "additionalProperties": text, "examples": [{ "owner": "Ada" }],
        "description": "Notes for people and tools. A change of them does nothing.",
    });
    names.insert("annotations".to_owned(), annotations);
    names
}
