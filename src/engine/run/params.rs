//! Parameters: what may be given, what a reference stands for, and how they reach a process.
//!
//! In: a schema, values, the outputs of earlier steps. Out: errors by field; resolved values; a launch with its data.
//! Not here: how people write schemas (`kind`), asking for values (`cli`).
//! The surprise: a parameter is data all the way. It arrives as JSON on standard input and as `SETPOINT_PARAM_*`, and
//! is never pasted into a command line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::ledger::{Origin, Run};
use super::rule::{Way, Work};
use super::used::Resolved;
use crate::engine::converge::Facts;
use crate::engine::name::{Cause, ObjectRef};
use crate::engine::plan::{Command, EnvValue, Launch, Stdin};
use crate::engine::queue::Message;
use crate::engine::time::utc;

/// The longest a parameter may be to stand in the environment, too, in bytes; a longer one comes on stdin alone.
const ENV_VALUE_MAX: usize = 32 << 10;

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

    /// Everything that is wrong with these parameters; references that are known later are taken for right.
    #[must_use]
    pub fn check(&self, given: &Json) -> Vec<ParamError> {
        let Some(fields) = given.as_object() else {
            return vec![ParamError::of("", "are no map of names to values", "write NAME: VALUE")];
        };
        let Some(schema) = &self.schema else {
            let unknown = |name: &String| ParamError::of(name, "is not known: it takes no parameters", "remove it");
            return fields.keys().map(unknown).collect();
        };
        let mut errors = self.unknown(fields);
        errors.extend(self.missing(fields));
        let is_later = |name: &str| fields.get(name).is_some_and(has_reference);
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

impl ParamError {
    fn of(field: &str, what: &str, help: &str) -> ParamError {
        ParamError { field: field.to_owned(), what: what.to_owned(), help: help.to_owned() }
    }
}

/// The path of a reference, `{from: params.x}`.
#[must_use]
pub fn reference(value: &Json) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("from")?.as_str()
}

/// True when a reference stands anywhere in it.
#[must_use]
pub fn has_reference(value: &Json) -> bool {
    reference(value).is_some()
        || match value {
            Json::Array(items) => items.iter().any(has_reference),
            Json::Object(fields) => fields.values().any(has_reference),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
        }
}

/// All references in it.
pub fn references<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    if let Some(path) = reference(value) {
        return found.push(path);
    }
    match value {
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| references(field, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The value with each reference replaced by what it stands for in `scope`.
///
/// # Errors
/// Which reference stands for nothing.
pub fn resolve(value: &Json, scope: &Json) -> Result<Json, Arc<str>> {
    if let Some(path) = reference(value) {
        return look_up(scope, path).cloned().ok_or_else(|| format!("{{from: {path}}} stands for nothing").into());
    }
    Ok(match value {
        Json::Array(items) => Json::Array(items.iter().map(|item| resolve(item, scope)).collect::<Result<_, _>>()?),
        Json::Object(fields) => {
            let resolved = fields.iter().map(|(name, field)| Ok((name.clone(), resolve(field, scope)?)));
            Json::Object(resolved.collect::<Result<_, Arc<str>>>()?)
        }
        plain @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => plain.clone(),
    })
}

/// `params.a.b`, `steps.test.output.version`; `__params__` is another word for `params`.
pub(in crate::engine) fn look_up<'a>(scope: &'a Json, path: &str) -> Option<&'a Json> {
    let mut steps = path.split('.');
    let first = steps.next().map(|first| if first == "__params__" { "params" } else { first })?;
    steps.try_fold(scope.get(first)?, |value, step| match value {
        Json::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

/// `over` laid over `base`, field by field.
#[must_use]
pub fn merged(base: &Json, over: &Json) -> Json {
    let mut fields = base.as_object().cloned().unwrap_or_default();
    fields.extend(over.as_object().cloned().unwrap_or_default());
    Json::Object(fields)
}

/// What a run is executed as.
pub(super) fn launch_of(
    resolved: Resolved<'_>,
    work: &Work,
    run: &Run,
    object: &ObjectRef,
    cause: &Cause,
) -> Result<Launch, Arc<str>> {
    let with = match work {
        Work::Use { target: _, with } => merged(with, &run.params),
        Work::Command(_) | Work::Way(_) | Work::Flow(_) | Work::Prompt { .. } | Work::Sorted(_) => {
            (*run.params).clone()
        }
    };
    let mut launch = with_params(resolved, &with)?;
    launch.env.insert("SETPOINT_RUN".to_owned(), EnvValue::Literal(cause.to_string()));
    if let Origin::Tick(nominal) = &run.origin {
        launch.env.insert("SETPOINT_SCHEDULED_TIME".to_owned(), EnvValue::Literal(utc(*nominal)));
    }
    if let Origin::Message(message) = &run.origin {
        carry(&mut launch, object, message, matches!(work, Work::Command(_)));
    }
    Ok(launch)
}

/// What a message brings along: who it is, and, for a command of its own, what it says, byte for byte.
pub(super) fn carry(launch: &mut Launch, object: &ObjectRef, message: &Message, is_given_payload: bool) {
    let mut set = |name: &str, text: &str| {
        if text.len() <= ENV_VALUE_MAX && !text.contains('\0') && !text.is_empty() {
            launch.env.insert(name.to_owned(), EnvValue::Literal(text.to_owned()));
        }
    };
    set("SETPOINT_MESSAGE_ID", &message.id);
    set("SETPOINT_IDEMPOTENCY_KEY", &format!("{object}/{}", message.id));
    set("SETPOINT_MESSAGE_TYPE", &message.kind);
    set("SETPOINT_MESSAGE_SUBJECT", &message.subject);
    set("SETPOINT_MESSAGE_FROM", &message.sender);
    if is_given_payload {
        launch.stdin = Stdin::Data(message.payload.clone());
    }
}

/// What is executed to ask which rule a message is for: it reads the message as JSON.
pub(in crate::engine) fn classifier_of(
    facts: &Facts<'_>,
    work: &Work,
    run: &Run,
    cause: &Cause,
) -> Result<Launch, Arc<str>> {
    let mut launch = match (work, super::used::resolve(facts, work)?) {
        (Work::Command(launch), _) => Launch { is_durable: true, ..(**launch).clone() },
        (_, resolved) => with_params(resolved, &run.params)?,
    };
    launch.stdin = match launch.command {
        // It reads its orders there.
        Command::Own(_) => launch.stdin,
        Command::Argv(_) | Command::Line(_) => data(&run.params),
    };
    launch.env.insert("SETPOINT_RUN".to_owned(), EnvValue::Literal(cause.to_string()));
    Ok(launch)
}

/// What is executed with these parameters, which must be known by now.
pub(super) fn with_params(resolved: Resolved<'_>, with: &Json) -> Result<Launch, Arc<str>> {
    match resolved {
        Resolved::Own(Work::Command(launch)) => Ok(given(launch, with, false)),
        Resolved::Own(Work::Way(way)) => Ok(called(way, with)),
        Resolved::Own(Work::Prompt { .. }) => Err("a prompt needs an agent, and this version has none".into()),
        Resolved::Own(Work::Use { .. } | Work::Flow(_) | Work::Sorted(_)) | Resolved::Flow(_) => {
            Err("a workflow cannot be used here".into())
        }
        Resolved::Capability(capability) => {
            if let Some(error) = capability.params.check(with).first() {
                return Err(format!("{error}; {}", error.help).into());
            }
            let with = capability.params.with_defaults(with);
            match &capability.work {
                Work::Command(launch) => Ok(given(launch, &with, true)),
                Work::Way(way) => Ok(called(way, &with)),
                Work::Use { .. } | Work::Flow(_) | Work::Prompt { .. } | Work::Sorted(_) => {
                    Err("a capability does one thing itself".into())
                }
            }
        }
        Resolved::Builtin(builtin) => {
            let mut launch = Launch::new(Command::Own(vec!["call".to_owned()]), "/");
            launch.stdin = data(&json!({ "builtin": builtin.name(), "params": with }));
            Ok(Launch { is_durable: true, ..launch })
        }
    }
}

/// A command with its parameters, if it has any or always is given some.
fn given(launch: &Launch, with: &Json, is_always: bool) -> Launch {
    let mut launch = Launch { is_durable: true, ..launch.clone() };
    let is_empty = with.as_object().is_none_or(Map::is_empty);
    if is_empty && !is_always {
        return launch;
    }
    launch.stdin = data(with);
    launch.env.extend(variables(with));
    launch
}

fn called(way: &Way, with: &Json) -> Launch {
    let mut launch = Launch { is_durable: true, ..(*way.launch).clone() };
    let mut orders = way.orders.clone();
    if let Some(fields) = orders.as_object_mut() {
        fields.insert("params".to_owned(), with.clone());
    }
    launch.command = Command::Own(vec!["call".to_owned()]);
    launch.stdin = data(&orders);
    launch
}

fn data(value: &Json) -> Stdin {
    Stdin::Data(value.to_string().into_bytes().into())
}

/// `SETPOINT_PARAM_NAME` for each parameter: text as it is, anything else as JSON.
fn variables(with: &Json) -> BTreeMap<String, EnvValue> {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = with.as_object().into_iter().flatten();
    let short = fields
        .map(|(name, value)| (name, text(value)))
        .filter(|(_, text)| text.len() <= ENV_VALUE_MAX && !text.contains('\0'));
    let named = |name: &str| format!("SETPOINT_PARAM_{}", name.chars().map(upper).collect::<String>());
    short.map(|(name, text)| (named(name), EnvValue::Literal(text))).collect()
}
