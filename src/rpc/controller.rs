//! Methods about the controller itself.
//!
//! In: nothing, most of the time. Out: what it says of itself. Not here: saying it (`controller::report`).
//! The surprise: `controller.stop` answers when the controller ends, which with `all` is when everything has stopped.

use serde_json::Value;

use super::error::Error;
use super::method::{Answer, Caller, Effect, Method};
use super::schema::{flag, is_set, none, object};
use crate::controller::request::Ask;

/// All of them.
pub const METHODS: &[Method] = &[
    Method { name: "ping", effect: Effect::Read, doc: "Is it there? Its pid and version", params: none, answer: PING },
    Method {
        name: "controller.status",
        effect: Effect::Read,
        doc: "What it says of itself: folders, counts, trouble",
        params: none,
        answer: STATUS,
    },
    Method {
        name: "controller.health",
        effect: Effect::Read,
        doc: "What probes and heartbeats of every instance said last",
        params: none,
        answer: Answer::Loop(health),
    },
    Method {
        name: "controller.items",
        effect: Effect::Read,
        doc: "What instances of forEach are made for",
        params: none,
        answer: Answer::Loop(items),
    },
    Method {
        name: "controller.triggers",
        effect: Effect::Read,
        doc: "What Triggers watch: files, folders, the last changes, what they take for their own work",
        params: none,
        answer: Answer::Loop(triggers),
    },
    Method {
        name: "controller.reload",
        effect: Effect::Write,
        doc: "Read the desired state and all folders again",
        params: none,
        answer: Answer::Loop(reload),
    },
    Method {
        name: "controller.stop",
        effect: Effect::Destructive,
        doc: "End; services run on unless all is given",
        params: stop_params,
        answer: Answer::Loop(stop),
    },
];

/// Is it there?
pub const PING: Answer = Answer::Loop(ping);

/// What it says of itself.
pub const STATUS: Answer = Answer::Loop(status);

fn ping(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Ping)
}

fn status(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Status)
}

fn health(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Health)
}

fn items(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Items)
}

fn triggers(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Triggers)
}

fn reload(_: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Reload)
}

fn stop_params() -> Value {
    object(&[], &[("all", flag("stop every service first"))])
}

fn stop(params: &Value, _: &Caller) -> Result<Ask, Error> {
    Ok(Ask::Stop { all: is_set(params, "all") })
}
