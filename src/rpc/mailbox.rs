//! Methods about messages.
//!
//! In: a letter, or the name of a message. Out: what became of it, once the disk has it; rows of the store. Not here: the
//! queue. The surprise: a message that was taken in is answered for only when a power cut could not lose it any more.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::{Error, code};
use super::method::{Answer, Caller, Context, Effect, Method};
use super::runs::{moment, reader, trouble};
use super::schema::{count, count_of, map, object, text, text_of, texts, texts_of};
use crate::controller::queues::PostWish;
use crate::controller::report::rfc3339;
use crate::controller::request::Ask;
use crate::engine::queue::message::name_of;
use crate::engine::{Cause, ObjectRef};
use crate::kind::units;
use crate::mailbox::{Letter, PRIORITY};
use crate::store::{Books as _, MessageFilter, MessageRow, MessageState, PAYLOAD_MAX};

/// The most rows of one answer.
const ROWS_MAX: u64 = 1000;
/// How many there are unless somebody says otherwise.
const ROWS: usize = 100;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "mailbox.send",
        effect: Effect::Write,
        doc: "Send a message; answers once it is on the disk",
        params: send_params,
        answer: Answer::Loop(send),
    },
    Method {
        name: "mailbox.cancel",
        effect: Effect::Destructive,
        doc: "End a message that is not over",
        params: one_params,
        answer: Answer::Loop(cancel),
    },
    Method {
        name: "mailbox.retry",
        effect: Effect::Write,
        doc: "Let a dead letter have another go",
        params: one_params,
        answer: Answer::Loop(retry),
    },
    Method {
        name: "mailbox.drop",
        effect: Effect::Destructive,
        doc: "Forget a dead letter",
        params: one_params,
        answer: Answer::Loop(forget),
    },
    Method {
        name: "mailbox.list",
        effect: Effect::Read,
        doc: "Messages, newest first",
        params: list_params,
        answer: Answer::Here(list),
    },
    Method {
        name: "mailbox.get",
        effect: Effect::Read,
        doc: "One message with what it says and its attempts",
        params: one_params,
        answer: Answer::Here(get),
    },
];

fn send_params() -> Value {
    let message = json!({ "type": "string", "maxLength": PAYLOAD_MAX, "description": "what it says, as text" });
    let base64 = json!({ "type": "string", "maxLength": PAYLOAD_MAX * 2, "description": "the same as base64, for bytes that are no text" });
    let fields = [
        ("mailbox", text("the name of a mailbox, or KIND/NAME")),
        ("message", message),
        ("message_base64", base64),
        ("fields", map("what it says, as JSON, in the place of a text")),
        ("id", text("what its producer calls it: sent twice, it is one message")),
        ("type", text("the type of a CloudEvent")),
        ("subject", text("what it is about")),
        ("from", text("who sends it, where that is not the caller")),
        ("priority", count(0, 9, "0, first, to 9; 5 when left out")),
        ("group", text("messages of one group are done one after the other")),
        ("dedup", text("not taken in while one with the same key is not over")),
        ("delay", text("how long it is put off: 90s, 15m, 2h")),
        ("maxAge", text("how old it may become; that of the mailbox when left out")),
    ];
    object(&["mailbox"], &fields)
}

fn one_params() -> Value {
    let fields = [("mailbox", text("the name of a mailbox, or KIND/NAME")), ("id", text("the name of the message"))];
    object(&["mailbox", "id"], &fields)
}

fn list_params() -> Value {
    let fields = [
        ("mailbox", text("only of this: a name, or KIND/NAME")),
        ("states", texts("only in one of these: scheduled, available, behind, claimed, ok, dead, cancelled")),
        ("since", text("only those that came since: an RFC 3339 moment")),
        ("limit", count(1, ROWS_MAX, "so many at most; 100 when left out")),
    ];
    object(&[], &fields)
}

/// The mailbox or trigger that a parameter names.
fn mailbox_of(params: &Value) -> Result<ObjectRef, Error> {
    let given = text_of(params, "mailbox");
    let (kind, name) = given.split_once('/').unwrap_or(("mailbox", given));
    let kind = crate::kind::find_spoken(kind).map_or(kind, |def| def.lower);
    ObjectRef::new(kind, name).map_err(|error| Error::field("mailbox", format!("is wrong: {error}"), "write its name"))
}

fn span(params: &Value, name: &str) -> Result<Option<std::time::Duration>, Error> {
    let given = text_of(params, name);
    if given.is_empty() {
        return Ok(None);
    }
    let parsed = given.parse::<units::Duration>();
    parsed.map(|span| Some(span.0)).map_err(|_| Error::field(name, "is no span", "write 90s, 15m or 2h"))
}

fn payload(params: &Value) -> Result<Arc<[u8]>, Error> {
    let given: Vec<&str> =
        ["message", "message_base64", "fields"].into_iter().filter(|name| params.get(*name).is_some()).collect();
    match given.as_slice() {
        ["message"] => Ok(text_of(params, "message").as_bytes().into()),
        ["fields"] => Ok(params.get("fields").map(Value::to_string).unwrap_or_default().into_bytes().into()),
        ["message_base64"] => {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text_of(params, "message_base64"));
            decoded.map(Into::into).map_err(|_| Error::field("message_base64", "is no base64", "use message for text"))
        }
        [] | [_] => Err(Error::field("message", "is missing", "give the message, or fields")),
        [_, second, ..] => Err(Error::field(second, "stands beside another message", "give one of them")),
    }
}

fn send(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    let mut letter = Letter::new(mailbox_of(params)?, "rpc", payload(params)?);
    let some = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
    letter.id = some("id");
    letter.kind = some("type").unwrap_or_default();
    letter.subject = some("subject").unwrap_or_default();
    letter.sender = some("from").unwrap_or_else(|| caller.principal());
    letter.priority = count_of(params, "priority").and_then(|n| u8::try_from(n).ok()).unwrap_or(PRIORITY);
    letter.group = some("group");
    letter.dedup = some("dedup");
    letter.delay = span(params, "delay")?.unwrap_or_default();
    letter.max_age = span(params, "maxAge")?;
    Ok(Ask::Post { wish: PostWish::Send(Box::new(letter)), by: caller.principal() })
}

fn named(params: &Value) -> Result<(ObjectRef, String), Error> {
    let object = mailbox_of(params)?;
    let given = text_of(params, "id");
    let id = given.strip_prefix(&format!("{object}/")).unwrap_or(given);
    Ok((object, id.to_owned()))
}

fn cancel(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    let (object, id) = named(params)?;
    Ok(Ask::Post { wish: PostWish::Cancel { object, id }, by: caller.principal() })
}

fn retry(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    let (object, id) = named(params)?;
    Ok(Ask::Post { wish: PostWish::Retry { object, id }, by: caller.principal() })
}

fn forget(params: &Value, caller: &Caller) -> Result<Ask, Error> {
    let (object, id) = named(params)?;
    Ok(Ask::Post { wish: PostWish::Drop { object, id }, by: caller.principal() })
}

fn list(context: &Context, params: &Value) -> Result<Value, Error> {
    let states = texts_of(params, "states");
    let state = |word: &String| {
        MessageState::of_word(word).ok_or_else(|| {
            Error::field("states", format!("has `{}`, which is no state", crate::cli::plain(word)), "write dead")
        })
    };
    let filter = MessageFilter {
        object: params.get("mailbox").map(|_| mailbox_of(params)).transpose()?,
        states: states.iter().map(state).collect::<Result<_, _>>()?,
        since: moment(params, "since")?,
        limit: Some(count_of(params, "limit").unwrap_or(ROWS)),
        ..MessageFilter::default()
    };
    let rows = reader(context)?.messages(&filter).map_err(trouble)?;
    Ok(json!({ "items": rows.iter().map(row_json).collect::<Vec<_>>() }))
}

fn get(context: &Context, params: &Value) -> Result<Value, Error> {
    let ((object, id), reader) = (named(params)?, reader(context)?);
    let name = name_of(&id);
    let row = reader.message(&object, &name).map_err(trouble)?.ok_or_else(|| {
        Error::new(
            code::NOT_FOUND,
            format!("there is no message {object}/{name}\n  help: mailbox.list has their names"),
        )
    })?;
    let mut shown = whole_json(&row);
    if let (Some(fields), Ok(cause)) = (shown.as_object_mut(), name.parse::<Cause>()) {
        let attempts = reader.attempts(&object, &cause).map_err(trouble)?;
        let result = reader.run(&object, &cause).map_err(trouble)?.and_then(|run| run.end).and_then(|end| end.result);
        fields.insert("tries".to_owned(), attempts.iter().map(super::runs::attempt_json).collect());
        fields.insert("result".to_owned(), json!(result.map(|given| given.text.to_string())));
    }
    Ok(shown)
}

/// A message, without what it says.
#[must_use]
pub fn row_json(row: &MessageRow) -> Value {
    json!({
        "mailbox": row.object.as_str(), "id": &*row.id, "state": row.state.word(), "priority": row.priority,
        "group": row.group.as_deref(), "type": &*row.kind, "subject": &*row.subject, "from": &*row.sender,
        "source": &*row.source, "size": row.payload.len(), "attempts": row.tries, "at": rfc3339(row.enqueued),
        "due": rfc3339(row.due), "expires": row.expires.map(rfc3339), "ended": row.ended.map(rfc3339),
        "outcome": row.outcome.as_deref(), "reason": row.reason.as_deref(), "reply": row.reply.as_deref(),
    })
}

/// A message with what it says.
#[must_use]
pub fn whole_json(row: &MessageRow) -> Value {
    let mut shown = row_json(row);
    let (name, text) = payload_json(&row.payload);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(name.to_owned(), text);
        fields.insert("log_tail".to_owned(), json!(row.log_tail.as_deref()));
        let params = row.params.as_deref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        fields.insert("params".to_owned(), json!(params));
    }
    shown
}

/// What a message says: as text where it is some.
#[must_use]
pub fn payload_json(payload: &[u8]) -> (&'static str, Value) {
    use base64::Engine as _;
    match std::str::from_utf8(payload) {
        Ok(text) => ("payload", json!(text)),
        Err(_) => ("payload_base64", json!(base64::engine::general_purpose::STANDARD.encode(payload))),
    }
}
