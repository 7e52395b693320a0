//! Methods about runs.
//!
//! In: an object, or a run of it. Out: the name of a run once the disk has the wish; rows of the store. Not here:
//! carrying wishes out. The surprise: what is read comes from the store and not from the loop, so a long list costs
//! supervision nothing.

use serde_json::{Value, json};

use super::error::{Error, code};
use super::method::{Answer, Caller, Context, Effect, Method};
use super::schema::{count, count_of, flag, is_set, map, object, text, text_of, texts, texts_of};
use crate::cli::timetable::run_json;
use crate::controller::report::rfc3339;
use crate::controller::request::Ask;
use crate::controller::runs::Wish;
use crate::desired::parsed::timestamp;
use crate::engine::{Cause, InstanceId, ObjectRef};
use crate::store::{AttemptRow, Books as _, Reader, RunFilter, Trouble};

/// The most rows of one answer.
const ROWS_MAX: u64 = 1000;
/// How many there are unless somebody says otherwise.
const ROWS: usize = 100;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "runs.start",
        effect: Effect::Write,
        doc: "Run a Job, CronJob, Capability or Workflow now; answers with the name of the run",
        params: start_params,
        answer: Answer::Loop(start),
    },
    Method {
        name: "runs.cancel",
        effect: Effect::Destructive,
        doc: "End a run",
        params: run_params,
        answer: Answer::Loop(cancel),
    },
    Method {
        name: "runs.retry",
        effect: Effect::Write,
        doc: "Let a run that is over have another go",
        params: run_params,
        answer: Answer::Loop(retry),
    },
    Method {
        name: "runs.list",
        effect: Effect::Read,
        doc: "Runs, newest first",
        params: list_params,
        answer: Answer::Here(list),
    },
    Method {
        name: "runs.get",
        effect: Effect::Read,
        doc: "One run with its attempts and steps",
        params: run_params,
        answer: Answer::Here(get),
    },
];

fn start_params() -> Value {
    let fields = [
        ("object", text("KIND/NAME")),
        ("params", map("its parameters")),
        ("by", text("who asks, where that is not the caller")),
    ];
    object(&["object"], &fields)
}

fn run_params() -> Value {
    let fields = [
        ("object", text("KIND/NAME")),
        ("run", text("the name of the run, as runs.list has it")),
        ("by", text("who asks, where that is not the caller")),
    ];
    object(&["object", "run"], &fields)
}

fn list_params() -> Value {
    let fields = [
        ("object", text("only of this: KIND/NAME")),
        ("states", texts("only in one of these: open, or an outcome such as ok or failed")),
        ("since", text("only those made since: an RFC 3339 moment")),
        ("steps", flag("steps of workflows, too")),
        ("limit", count(1, ROWS_MAX, "so many at most; 100 when left out")),
    ];
    object(&[], &fields)
}

/// An object by its name, as it stands in a parameter.
///
/// # Errors
/// When it is no name.
pub fn object_of(params: &Value) -> Result<ObjectRef, Error> {
    let given = text_of(params, "object");
    let (kind, name) = given.split_once('/').unwrap_or(("", given));
    let kind = crate::kind::find_spoken(kind).map_or(kind, |def| def.lower);
    ObjectRef::new(kind, name).map_err(|error| Error::field("object", format!("is wrong: {error}"), "write KIND/NAME"))
}

/// A run by its object and name.
///
/// # Errors
/// When one of them is none.
pub fn run_of(params: &Value) -> Result<InstanceId, Error> {
    let object = object_of(params)?;
    let given = text_of(params, "run");
    let name = given.strip_prefix(&format!("{object}/")).unwrap_or(given);
    let cause: Cause = name
        .parse()
        .map_err(|error| Error::field("run", format!("is wrong: {error}"), "runs.list has the names of runs"))?;
    Ok(InstanceId { object, cause })
}

fn by(params: &Value, caller: &Caller) -> String {
    match text_of(params, "by") {
        "" => caller.principal(),
        given => given.to_owned(),
    }
}

/// The wish for a run.
///
/// # Errors
/// When a name is none.
pub fn start(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    let given = params.get("params").cloned().unwrap_or_else(|| json!({}));
    Ok(Ask::Run { wish: Wish::Start { object: object_of(params)?, params: given }, by: by(params, caller) })
}

/// The wish for the end of one.
///
/// # Errors
/// When a name is none.
pub fn cancel(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Run { wish: Wish::Cancel(run_of(params)?), by: by(params, caller) })
}

fn retry(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Run { wish: Wish::Retry(run_of(params)?), by: by(params, caller) })
}

/// What the store is asked with.
///
/// # Errors
/// When it cannot be opened.
pub fn reader(context: &Context) -> Result<Reader, Error> {
    Reader::open(&context.home.store_db()).map_err(trouble)
}

/// Trouble of the store, for whoever asked.
#[must_use]
pub fn trouble(trouble: Trouble) -> Error {
    Error::new(code::FAILED, trouble.to_string())
}

/// A moment in a parameter.
///
/// # Errors
/// When it is none.
pub fn moment(params: &Value, name: &str) -> Result<Option<crate::engine::Timestamp>, Error> {
    match text_of(params, name) {
        "" => Ok(None),
        given => timestamp(given)
            .map(Some)
            .ok_or_else(|| Error::field(name, "is no moment", "write it as 2026-01-31T08:00:00Z")),
    }
}

/// Lists runs.
///
/// # Errors
/// When the store cannot be read.
pub fn list(context: &Context, params: &Value) -> Result<Value, Error> {
    let filter = RunFilter {
        object: params.get("object").map(|_| object_of(params)).transpose()?,
        states: texts_of(params, "states"),
        since: moment(params, "since")?,
        with_steps: is_set(params, "steps"),
        limit: Some(count_of(params, "limit").unwrap_or(ROWS)),
    };
    let rows = reader(context)?.runs(&filter).map_err(trouble)?;
    Ok(json!({ "items": rows.iter().map(run_json).collect::<Vec<_>>() }))
}

/// Shows one run.
///
/// # Errors
/// When there is none, or the store cannot be read.
pub fn get(context: &Context, params: &Value) -> Result<Value, Error> {
    let (id, reader) = (run_of(params)?, reader(context)?);
    let row = reader.run(&id.object, &id.cause).map_err(trouble)?;
    let row = row.ok_or_else(|| {
        Error::new(code::NOT_FOUND, format!("there is no run {id}\n  help: runs.list has the names of runs"))
    })?;
    let mut shown = run_json(&row);
    if let Some(fields) = shown.as_object_mut() {
        let attempts = reader.attempts(&id.object, &id.cause).map_err(trouble)?;
        let steps = reader.steps(&id.object, &id.cause).map_err(trouble)?;
        fields.insert("tries".to_owned(), attempts.iter().map(attempt_json).collect());
        fields.insert("steps".to_owned(), steps.iter().map(run_json).collect());
    }
    Ok(shown)
}

/// An attempt.
#[must_use]
pub fn attempt_json(one: &AttemptRow) -> Value {
    json!({
        "number": one.number, "started": one.started.map(rfc3339), "ended": one.ended.map(rfc3339),
        "exit": one.exit.as_deref(),
    })
}
