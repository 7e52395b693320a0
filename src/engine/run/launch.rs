//! How parameters reach what is executed.
//!
//! In: what a work comes to, values. Out: a launch with its data. Not here: what references stand for
//! ([`super::scope`]), which values are allowed ([`super::params`]).
//! The surprise: a parameter is data all the way. It arrives as JSON on standard input and as `SETPOINT_PARAM_*`, or in
//! the orders of a call, and is never pasted into a command line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::ledger::{Origin, Run};
use super::params::{merged, variable};
use super::rule::{RunRule, Way, Work};
use super::scope::{Filled, Scope};
use super::used::Resolved;
use crate::engine::converge::Facts;
use crate::engine::name::{Cause, ObjectRef};
use crate::engine::plan::{Command, EnvValue, Launch, Stdin};
use crate::engine::queue::Message;
use crate::engine::time::utc;

/// The longest a parameter may be to stand in the environment, too, in bytes; a longer one comes on stdin alone.
const ENV_VALUE_MAX: usize = 32 << 10;

/// What a run is executed as.
pub(super) fn launch_of(
    resolved: Resolved<'_>,
    rule: &RunRule,
    run: &Run,
    object: &ObjectRef,
    cause: &Cause,
) -> Result<Launch, Arc<str>> {
    let values = match &rule.work {
        Work::Use { target: _, with } => merged(with, &run.params),
        // A capability that somebody runs itself.
        Work::Command(_) | Work::Way(_) | Work::Flow(_) | Work::Prompt { .. } | Work::Sorted(_) => {
            rule.params.with_defaults(&run.params)
        }
    };
    let mut launch = with_params(resolved, &Filled { values, absent: BTreeMap::new() })?;
    launch.env.insert("SETPOINT_RUN".to_owned(), EnvValue::Literal(cause.to_string()));
    if let Origin::Tick(nominal) = &run.origin {
        launch.env.insert("SETPOINT_SCHEDULED_TIME".to_owned(), EnvValue::Literal(utc(*nominal)));
    }
    if let Origin::Message(message) = &run.origin {
        carry(&mut launch, object, message, matches!(rule.work, Work::Command(_)));
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
        (_, resolved) => with_params(resolved, &Filled { values: (*run.params).clone(), absent: BTreeMap::new() })?,
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
pub(super) fn with_params(resolved: Resolved<'_>, filled: &Filled) -> Result<Launch, Arc<str>> {
    let with = &filled.values;
    match resolved {
        Resolved::Own(Work::Command(launch)) => Ok(given(launch, with, false)),
        Resolved::Own(Work::Way(way)) => called(way, with),
        Resolved::Own(Work::Prompt { .. }) => Err("a prompt needs an agent, and this version has none".into()),
        Resolved::Own(Work::Use { .. } | Work::Flow(_) | Work::Sorted(_)) | Resolved::Flow(_) => {
            Err("a workflow cannot be used here".into())
        }
        Resolved::Capability(capability) => {
            if let Some(error) = capability.params.check(with).first() {
                return Err(match filled.absent.get(&error.field) {
                    Some(path) => format!(
                        "`{}` is missing: it is {{from: {path}}}, and that was not given; give it, or a default",
                        error.field
                    ),
                    None => format!("{error}; {}", error.help),
                }
                .into());
            }
            let with = capability.params.with_defaults(with);
            match &capability.work {
                Work::Command(launch) => Ok(given(launch, &with, true)),
                Work::Way(way) => called(way, &with),
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

/// The orders of a call. Values of the manifest that refer to parameters are theirs now.
fn called(way: &Way, with: &Json) -> Result<Launch, Arc<str>> {
    let mut launch = Launch { is_durable: true, ..(*way.launch).clone() };
    let mut orders = way.orders.clone();
    let scope = Scope::new(with.clone(), []);
    for way in ["http", "mcp"] {
        if let Some(call) = orders.get_mut(way).and_then(Json::as_object_mut) {
            fill_headers(call, &scope)?;
            if let Some(body) = call.remove("body")
                && let Some(body) = scope.fill(&body)?
            {
                call.insert("body".to_owned(), body);
            }
        }
    }
    if let Some(fields) = orders.as_object_mut() {
        fields.insert("params".to_owned(), with.clone());
    }
    launch.command = Command::Own(vec!["call".to_owned()]);
    launch.stdin = data(&orders);
    Ok(launch)
}

/// Headers that refer to parameters are text now, after their prefix; one whose parameter was not given is left out.
fn fill_headers(call: &mut Map<String, Json>, scope: &Scope) -> Result<(), Arc<str>> {
    let Some(Json::Object(headers)) = call.get_mut("headers") else { return Ok(()) };
    let mut kept = Map::new();
    for (name, header) in std::mem::take(headers) {
        let Some(path) = header.get("from") else {
            kept.insert(name, header);
            continue;
        };
        let prefix = header.get("prefix").and_then(Json::as_str).unwrap_or_default();
        match scope.fill(&json!({ "from": path }))? {
            None => {}
            Some(value @ (Json::String(_) | Json::Number(_) | Json::Bool(_))) => {
                let text = spoken(&value);
                if text.contains(['\r', '\n', '\0']) {
                    return Err(format!("the header {name} would have more than one line; give {path} without").into());
                }
                kept.insert(name, Json::String(format!("{prefix}{text}")));
            }
            Some(Json::Null | Json::Array(_) | Json::Object(_)) => {
                return Err(format!("the header {name} is {path}, which is no text; give it as text").into());
            }
        }
    }
    *headers = kept;
    Ok(())
}

/// A text as it is, anything else as JSON.
fn spoken(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn data(value: &Json) -> Stdin {
    Stdin::Data(value.to_string().into_bytes().into())
}

/// `SETPOINT_PARAM_NAME` for each parameter: text as it is, anything else as JSON.
fn variables(with: &Json) -> BTreeMap<String, EnvValue> {
    let fields = with.as_object().into_iter().flatten();
    // What came with a message may be anything.
    let fits = |text: &str| text.len() <= ENV_VALUE_MAX && !text.contains('\0');
    let short = fields.map(|(name, value)| (name, spoken(value))).filter(|(_, text)| fits(text));
    short.map(|(name, text)| (variable(name), EnvValue::Literal(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(orders: &Json, with: &Json) -> Result<Json, String> {
        let way = Way { orders: orders.clone(), launch: Arc::new(Launch::new(Command::Own(Vec::new()), "/")) };
        let launch = called(&way, with).map_err(|why| why.to_string())?;
        let Stdin::Data(bytes) = launch.stdin else { return Err("no data".to_owned()) };
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_is_given_its_parameters_as_data_wherever_it_refers_to_them() {
        let written = json!({ "http": {
            "url": "https://example.com/",
            "headers": { "A": "a", "B": { "env": "X" }, "C": { "from": "params.n", "prefix": "n " },
                "D": { "from": "params.none" } },
            "body": { "list": [{ "text": { "from": "params.text" } }, { "from": "params.none" }], "from": "me", "to": 1 },
        } });
        let with = json!({ "text": "a\"}{\"from\": \"params.n\"}", "n": 7, "o": { "from": "params.n" } });
        let expected = json!({
            "http": {
                "url": "https://example.com/",
                "headers": { "A": "a", "B": { "env": "X" }, "C": "n 7" },
                "body": { "list": [{ "text": "a\"}{\"from\": \"params.n\"}" }], "from": "me", "to": 1 },
            },
            "params": with,
        });
        assert_eq!(orders(&written, &with), Ok(expected));
        let whole = json!({ "http": { "body": { "from": "params.text" } } });
        assert_eq!(orders(&whole, &json!({})).expect("orders"), json!({ "http": {}, "params": {} }));
    }

    #[test]
    fn a_header_is_one_line_of_text() {
        let written = json!({ "mcp": { "headers": { "A": { "from": "params.a" } } } });
        for (value, what) in [(json!("a\r\nB: c"), "more than one line"), (json!([1]), "no text")] {
            let why = orders(&written, &json!({ "a": value })).expect_err("it is refused");
            assert!(why.contains(what) && !why.contains("B: c"), "{why}");
        }
    }
}
