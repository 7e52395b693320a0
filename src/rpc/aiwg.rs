//! Methods under the names that AIWG's daemon gives them.
//!
//! In: the id of a run, the name of a Trigger. Out: the same answers as their namesakes here. Not here: anything of their
//! own. The surprise: a task is a run and an automation a Trigger that is not paused; a prompt is refused, since no agent
//! is there to read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::controller::STATUS;
use super::error::{Error, code};
use super::method::{Answer, Caller, Context, Effect, Method};
use super::objects::{amend, author};
use super::schema::{count, map, none, object, text, text_of, texts};
use super::{runs, schema};
use crate::cli::apply;
use crate::controller::request::Ask;
use crate::desired::attempts::last_attempts;
use crate::desired::{Store, Stored, edit};
use crate::store::{Books as _, RunFilter};

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "daemon.status",
        effect: Effect::Read,
        doc: "The same as controller.status",
        params: none,
        answer: STATUS,
    },
    Method {
        name: "task.submit",
        effect: Effect::Write,
        doc: "Run an object now, as runs.start; a prompt is not available",
        params: submit_params,
        answer: Answer::Loop(submit),
    },
    Method {
        name: "task.cancel",
        effect: Effect::Destructive,
        doc: "End a run, as runs.cancel",
        params: task_params,
        answer: Answer::Loop(cancel),
    },
    Method {
        name: "task.list",
        effect: Effect::Read,
        doc: "Runs, newest first, as runs.list",
        params: list_params,
        answer: Answer::Here(list),
    },
    Method {
        name: "task.get",
        effect: Effect::Read,
        doc: "One run, as runs.get",
        params: task_params,
        answer: Answer::Here(get),
    },
    Method {
        name: "task.stats",
        effect: Effect::Read,
        doc: "How many runs are open, and how many of the last ended how",
        params: none,
        answer: Answer::Here(stats),
    },
    Method {
        name: "automation.status",
        effect: Effect::Read,
        doc: "All Triggers, and whether they are paused",
        params: none,
        answer: Answer::Here(automations),
    },
    Method {
        name: "automation.enable",
        effect: Effect::Write,
        doc: "Let a paused Trigger go on, as objects.resume; all of them without a name",
        params: automation_params,
        answer: Answer::Here(enable),
    },
    Method {
        name: "automation.disable",
        effect: Effect::Write,
        doc: "Pause a Trigger, as objects.pause; all of them without a name",
        params: automation_params,
        answer: Answer::Here(disable),
    },
    Method {
        name: "chat.send",
        effect: Effect::Write,
        doc: "Not available: there is no agent to talk to",
        params: chat_params,
        answer: Answer::Loop(chat),
    },
];

fn not_available(what: &str) -> Error {
    let text = format!("{what} is not available\n  help: run an object: runs.start with object KIND/NAME");
    Error::new(code::NOT_AVAILABLE, text)
}

fn submit_params() -> Value {
    let fields = [
        ("object", text("KIND/NAME of what to run")),
        ("params", map("its parameters")),
        ("prompt", text("not available: there is no agent to read it")),
    ];
    object(&[], &fields)
}

fn submit(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    match (params.get("prompt"), params.get("object")) {
        (Some(_), _) => Err(not_available("a prompt")),
        (None, Some(_)) => runs::start(params, caller),
        (None, None) => Err(Error::field("object", "is missing", "give KIND/NAME of what to run")),
    }
}

fn task_params() -> Value {
    object(&["id"], &[("id", text("KIND/NAME/RUN"))])
}

/// The id of a task as an object and a run of it.
fn run_of(params: &Value) -> Result<Value, Error> {
    let (object, run) = text_of(params, "id").rsplit_once('/').ok_or_else(|| {
        Error::field("id", "is wrong: a run is written KIND/NAME/RUN", "task.list has the ids of runs")
    })?;
    Ok(json!({ "object": object, "run": run }))
}

fn cancel(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    runs::cancel(&run_of(params)?, caller)
}

fn get(context: &Context, params: &Value) -> Result<Value, Error> {
    runs::get(context, &run_of(params)?)
}

fn list_params() -> Value {
    let fields = [
        ("object", text("only of this: KIND/NAME")),
        ("states", texts("only in one of these: open, or an outcome such as ok or failed")),
        ("limit", count(1, 1000, "so many at most; 100 when left out")),
    ];
    object(&[], &fields)
}

fn list(context: &Context, params: &Value) -> Result<Value, Error> {
    runs::list(context, params)
}

fn stats(context: &Context, _: &Value) -> Result<Value, Error> {
    let rows = runs::reader(context)?.runs(&RunFilter::default()).map_err(runs::trouble)?;
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &rows {
        *states.entry(row.end.as_ref().map_or("open", |end| &end.outcome)).or_default() += 1;
    }
    Ok(json!({ "total": rows.len(), "states": states }))
}

/// The names of all Triggers.
fn triggers(base: &Stored) -> Vec<String> {
    base.objects.keys().filter(|id| id.kind() == "trigger").map(ToString::to_string).collect()
}

fn automations(context: &Context, _: &Value) -> Result<Value, Error> {
    let base = Store::open(&context.home).read_current().map_err(apply::failed)?;
    let one = |(id, object): (&crate::engine::ObjectRef, &std::sync::Arc<crate::desired::generation::StoredObject>)| json!({ "name": id.name(), "object": id.as_str(), "enabled": object.overrides.paused.is_none() });
    let items: Vec<Value> = base.objects.iter().filter(|(id, _)| id.kind() == "trigger").map(one).collect();
    Ok(json!({ "items": items }))
}

fn automation_params() -> Value {
    object(&[], &[("name", text("which Trigger; all of them when left out"))])
}

/// What is meant: one Trigger, or all.
fn meant(context: &Context, params: &Value) -> Result<Vec<String>, Error> {
    match text_of(params, "name") {
        "" => Ok(triggers(&Store::open(&context.home).read_current().map_err(apply::failed)?)),
        name => Ok(vec![format!("trigger/{}", name.strip_prefix("trigger/").unwrap_or(name))]),
    }
}

fn enable(context: &Context, params: &Value) -> Result<Value, Error> {
    amend(context, &meant(context, params)?, |base, ids| {
        Ok(edit::resume(base, ids, author(context, ""), &|id| last_attempts(&context.home, id)))
    })
}

fn disable(context: &Context, params: &Value) -> Result<Value, Error> {
    amend(context, &meant(context, params)?, |base, ids| {
        Ok((!ids.is_empty()).then(|| edit::pause(base, ids, None, author(context, ""))))
    })
}

fn chat_params() -> Value {
    object(&[], &[("message", schema::text("what to say")), ("session", schema::text("to whom"))])
}

fn chat(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Err(not_available("a chat"))
}
