//! Parameters: what may be given.
//!
//! In: a schema, values. Out: errors by field; values with defaults. Not here: how people write schemas (`kind`), what
//! references stand for ([`super::scope`]), how values reach a process ([`super::launch`]).
//! The surprise: a value that looks like a reference is one only where a manifest says it; there it is known later, and
//! taken for right until then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::scope::has_reference;

/// What may be given.
#[derive(Clone)]
pub struct Params {
    schema: Option<Arc<Schema>>,
}

struct Schema {
    json: Json,
    validator: jsonschema::Validator,
}

/// One thing that is wrong with the parameters of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    /// Which; empty for all of them together.
    pub field: String,
    /// What is wrong, as the end of a sentence that starts with the field.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "the parameters {}", self.what)
        } else {
            write!(f, "`{}` {}", self.field, self.what)
        }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Params").field(&self.schema.as_ref().map(|schema| &schema.json)).finish()
    }
}

impl Params {
    /// Nothing may be given.
    #[must_use]
    pub fn none() -> Params {
        Params { schema: None }
    }

    /// What a JSON Schema of an object allows.
    ///
    /// # Errors
    /// When it is no schema.
    pub fn of_schema(json: Json) -> Result<Params, String> {
        let validator = jsonschema::draft7::new(&json).map_err(|error| error.to_string())?;
        Ok(Params { schema: Some(Arc::new(Schema { json, validator })) })
    }

    /// The schema; none when nothing may be given.
    #[must_use]
    pub fn schema(&self) -> Option<&Json> {
        self.schema.as_ref().map(|schema| &schema.json)
    }

    /// The names that may be given.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let properties = self.schema().and_then(|schema| schema.get("properties")).and_then(Json::as_object);
        properties.map(|fields| fields.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Everything that is wrong with these parameters, which are data: nothing in them is a reference.
    #[must_use]
    pub fn check(&self, given: &Json) -> Vec<ParamError> {
        self.faults(given, |_| false)
    }

    /// The same for parameters as a manifest has them: references, which are known later, are taken for right.
    #[must_use]
    pub fn check_written(&self, with: &Json) -> Vec<ParamError> {
        self.faults(with, has_reference)
    }

    fn faults(&self, given: &Json, is_known_later: impl Fn(&Json) -> bool) -> Vec<ParamError> {
        let Some(fields) = given.as_object() else {
            return vec![ParamError::of("", "are no map of names to values", "write NAME: VALUE")];
        };
        let Some(schema) = &self.schema else {
            let unknown = |name: &String| ParamError::of(name, "is not known: it takes no parameters", "remove it");
            return fields.keys().map(unknown).collect();
        };
        let mut errors = self.unknown(fields);
        errors.extend(self.missing(fields));
        errors.extend(unfit(fields));
        let is_later = |name: &str| fields.get(name).is_some_and(&is_known_later);
        for error in schema.validator.iter_errors(given) {
            let field = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
            let first = field.split('.').next().unwrap_or_default();
            let is_said = first.is_empty() || errors.iter().any(|said| said.field == first);
            if !is_said && !is_later(first) {
                let help = format!("see its schema: {}", self.line(first));
                errors.push(ParamError { field, what: format!("is wrong: {}", error.masked()), help });
            }
        }
        errors
    }

    /// A schema that names its properties allows no others, unless it says so.
    fn unknown(&self, fields: &Map<String, Json>) -> Vec<ParamError> {
        let is_open = self
            .schema()
            .and_then(|schema| schema.get("additionalProperties"))
            .is_some_and(|more| *more != json!(false));
        if is_open {
            return Vec::new();
        }
        let names = self.names();
        let known =
            if names.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", names.join(", ")) };
        let unknown = fields.keys().filter(|name| !names.contains(&name.as_str()));
        unknown.map(|name| ParamError::of(name, "is not a parameter", &known)).collect()
    }

    fn missing(&self, fields: &Map<String, Json>) -> Vec<ParamError> {
        let required = self.schema().and_then(|schema| schema.get("required")).and_then(Json::as_array);
        let names = required.into_iter().flatten().filter_map(Json::as_str);
        let missing = names.filter(|name| !fields.contains_key(*name));
        missing.map(|name| ParamError::of(name, "is missing", &format!("give it: {}", self.line(name)))).collect()
    }

    fn line(&self, name: &str) -> String {
        let property = self.schema().and_then(|schema| schema.get("properties")).and_then(|p| p.get(name));
        let text = |key: &str| property.and_then(|p| p.get(key)).and_then(Json::as_str);
        match (text("type"), text("description")) {
            (Some(kind), Some(said)) => format!("{name} ({kind}): {said}"),
            (Some(kind), None) => format!("{name} ({kind})"),
            (None, Some(said)) => format!("{name}: {said}"),
            (None, None) => name.to_owned(),
        }
    }

    /// The same parameters with the defaults of the schema where nothing is given.
    #[must_use]
    pub fn with_defaults(&self, given: &Json) -> Json {
        let mut fields = given.as_object().cloned().unwrap_or_default();
        let properties = self.schema().and_then(|schema| schema.get("properties")).and_then(Json::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(default) = property.get("default") {
                fields.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        Json::Object(fields)
    }
}

/// The variable in which a process finds a parameter.
#[must_use]
pub fn variable(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("SETPOINT_PARAM_{}", name.chars().map(upper).collect::<String>())
}

/// Names that end up in one variable, each pair once.
#[must_use]
pub fn twins<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
    let (mut known, mut twins) = (BTreeMap::new(), Vec::new());
    for name in names {
        match known.get(&variable(name)) {
            Some(first) => twins.push((*first, name)),
            None => _ = known.insert(variable(name), name),
        }
    }
    twins
}

/// What no variable of a process can hold, and what would take the place of another there.
fn unfit(fields: &Map<String, Json>) -> Vec<ParamError> {
    let has_zero = |value: &Json| value.as_str().is_some_and(|text| text.contains('\0'));
    let zeros = fields.iter().filter(|(_, value)| has_zero(value)).map(|(name, _)| {
        ParamError::of(name, "has a zero byte, which no variable of a process holds", "give it in a file, or as base64")
    });
    let shared = twins(fields.keys().map(String::as_str)).into_iter().map(|(first, name)| {
        let what = format!("and `{first}` would both come as {}", variable(name));
        ParamError::of(name, &what, "give one of the two another name")
    });
    zeros.chain(shared).collect()
}

impl ParamError {
    fn of(field: &str, what: &str, help: &str) -> ParamError {
        ParamError { field: field.to_owned(), what: what.to_owned(), help: help.to_owned() }
    }
}

/// `over` laid over `base`, field by field.
#[must_use]
pub fn merged(base: &Json, over: &Json) -> Json {
    let mut fields = base.as_object().cloned().unwrap_or_default();
    fields.extend(over.as_object().cloned().unwrap_or_default());
    Json::Object(fields)
}
