//! `setpoint call`: what a shim executes for a capability that is no program.
//!
//! In: an order on standard input. Out: the answer. Not here: calls themselves (`call`).
//! The surprise: it answers for setpoint itself from the same facts that every verb reads, so it asks no controller, and
//! a job that calls it works while the controller is being replaced.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::facts::{self, Facts};
use super::{Failure, Global, Outcome, exit, past, span, timetable};
use crate::call;
use crate::call::order::Builtin;
use crate::controller::report::rfc3339;
use crate::desired::generation::StoredObject;
use crate::engine::ObjectRef;
use crate::engine::run::Next;
use crate::engine::time::utc;

/// Kinds that are jobs.
const JOBS: [&str; 2] = ["CronJob", "Job"];

/// Do one call of a capability; a shim starts this
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Does what the order on standard input says.
///
/// # Errors
/// When it is none, or what it asks for failed.
pub fn run(global: &Global) -> Outcome {
    // For `ps` without argv; it was executed under a name that says nothing.
    _ = rustix::thread::set_name(c"setpoint-call");
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let text = "there is no order on standard input\n  help: `setpoint call` is started for a run of a capability";
        return Err(Failure::new(exit::USAGE, text));
    }
    match call::run(stdin.lock(), |builtin| answer(global, builtin)) {
        Ok(()) => Ok(exit::OK),
        Err(failure) => Err(Failure::new(failure.code(), failure.to_string())),
    }
}

fn answer(global: &Global, builtin: Builtin) -> Result<Value, String> {
    match builtin {
        Builtin::Noop => Ok(json!({})),
        Builtin::SidecarStatus => status(&read(global)?),
        Builtin::SidecarJobs => {
            let facts = read(global)?;
            let all = facts.stored.objects.iter().filter(|(_, stored)| is_job(stored));
            Ok(all.map(|(object, stored)| job(object, stored, &due(&facts, object))).collect())
        }
    }
}

fn read(global: &Global) -> Result<Facts, String> {
    facts::read(global).map(|(_, facts)| facts).map_err(|failure| failure.text)
}

/// What the controller last wrote of itself, and what there is at this moment.
fn status(facts: &Facts) -> Result<Value, String> {
    let home = facts.home.as_ref().ok_or("there is no home, so nothing runs")?;
    let path = home.state_json();
    let mut status: Map<String, Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| format!("{} is no JSON object", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let mut counts: Map<String, Value> = Map::new();
    for stored in facts.stored.objects.values() {
        let count = counts.entry(stored.kind.clone()).or_insert(Value::from(0));
        *count = Value::from(count.as_u64().unwrap_or(0).saturating_add(1));
    }
    let mut states: Map<String, Value> = Map::new();
    for object in facts.objects() {
        let count = states.entry(facts.state(&object).0.to_string()).or_insert(Value::from(0));
        *count = Value::from(count.as_u64().unwrap_or(0).saturating_add(1));
    }
    // A controller that was killed could not write that it has gone.
    let is_running = super::controller::ping(home).is_ok_and(|pid| pid.is_some());
    status.insert("running".to_owned(), Value::Bool(is_running));
    status.insert("objects".to_owned(), Value::Object(counts));
    status.insert("states".to_owned(), Value::Object(states));
    Ok(Value::Object(status))
}

fn is_job(stored: &StoredObject) -> bool {
    JOBS.contains(&stored.kind.as_str())
}

/// When a job is due, and what came of it last; RFC 3339.
#[derive(Debug)]
struct Due {
    /// The next due time as the schedule says.
    next_at: Option<String>,
    /// The same with its jitter.
    effective_at: Option<String>,
    /// How its last run ended.
    last: Option<String>,
    /// When that was.
    last_at: Option<String>,
}

/// What the schedule and the runs say of a job. The moment of a Job that has one is its due time until it has run.
fn due(facts: &Facts, object: &ObjectRef) -> Due {
    let moment = || {
        let at = past::times(&facts.observed.ledger, object)?.at.filter(|at| *at > facts.now.wall)?;
        Some(Next { nominal: at, effective: at })
    };
    let next = timetable::next(facts, object).or_else(moment);
    let end = facts.past.last(object).and_then(|row| row.end.as_ref());
    Due {
        next_at: next.map(|next| utc(next.nominal)),
        effective_at: next.map(|next| utc(next.effective)),
        last: end.map(|end| end.outcome.to_string()),
        last_at: end.map(|end| rfc3339(end.ended)),
    }
}

fn job(object: &ObjectRef, stored: &StoredObject, due: &Due) -> Value {
    let field = |names: &[&str]| names.iter().find_map(|name| stored.spec.get(name)).cloned();
    let jitter = field(&["jitter_seconds", "jitter"]).and_then(|value| match &value {
        Value::String(text) => span(text).as_ref().map(Duration::as_secs),
        value => value.as_u64(),
    });
    json!({
        "name": object.name(),
        "kind": stored.kind,
        "source": stored.metadata.layer.as_deref().unwrap_or("system"),
        "file": stored.metadata.source,
        "schedule": field(&["schedule", "every"]),
        "enabled": field(&["enabled"]).and_then(|value| value.as_bool()).unwrap_or(true),
        "jitter_seconds": jitter.unwrap_or(0),
        "next_at": due.next_at,
        "effective_at": due.effective_at,
        "last": due.last,
        "last_at": due.last_at,
    })
}
