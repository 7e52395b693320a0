//! Methods about events.
//!
//! In: objects, a pattern of types, the last number that was seen. Out: events, and more of them as they happen.
//! Not here: what is an event (`controller::journal`).
//! The surprise: a subscriber is told what the store has, from any number on, so one that was away for a while misses
//! nothing that is still kept; and nothing is ever kept for one that does not read.

use serde_json::{Value, json};

use super::error::Error;
use super::method::{Answer, Context, Effect, Method};
use super::runs::{moment, reader, trouble};
use super::schema::{count, count_of, object, text, text_of};
use crate::cli::events::{cloudevent, pattern};
use crate::store::{Books as _, EventFilter};

/// The most events of one answer.
const ROWS_MAX: u64 = 1000;
/// How many there are unless somebody says otherwise.
const ROWS: usize = 100;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "events.list",
        effect: Effect::Read,
        doc: "The last events, or those after one, oldest first, as CloudEvents",
        params: list_params,
        answer: Answer::Here(list),
    },
    Method {
        name: "events.subscribe",
        effect: Effect::Read,
        doc: "Events as notifications `event` on this connection, from now or after one",
        params: subscribe_params,
        answer: Answer::Events(filter),
    },
];

fn properties() -> Vec<(&'static str, Value)> {
    vec![
        ("object", text("only about this or what belongs to it: KIND/NAME, or an instance or a run")),
        ("type", text("only of this type, such as service.gave-up; * stands for anything")),
        ("after", count(0, 1 << 53, "only those after the event of this id")),
    ]
}

fn list_params() -> Value {
    let mut fields = properties();
    fields.push(("since", text("only since: an RFC 3339 moment")));
    fields.push(("limit", count(1, ROWS_MAX, "so many at most; 100 when left out")));
    object(&[], &fields)
}

fn subscribe_params() -> Value {
    object(&[], &properties())
}

/// What is asked for.
fn filter(params: &Value) -> Result<EventFilter, Error> {
    let subject = Some(text_of(params, "object").to_owned()).filter(|text| !text.is_empty());
    let kind = Some(text_of(params, "type")).filter(|text| !text.is_empty()).map(pattern);
    let since = count_of(params, "after").and_then(|after| i64::try_from(after).ok());
    Ok(EventFilter { subject, kind, since, from: moment(params, "since")?, limit: None })
}

fn list(context: &Context, params: &Value) -> Result<Value, Error> {
    let filter = EventFilter { limit: Some(count_of(params, "limit").unwrap_or(ROWS)), ..filter(params)? };
    let events = reader(context)?.events(&filter).map_err(trouble)?;
    let items: Vec<Value> = events.iter().map(|(number, event)| cloudevent(&context.home, *number, event)).collect();
    Ok(json!({ "items": items, "after": events.last().map(|(number, _)| number) }))
}
