//! Lines of JSON-RPC 2.0, read and written.
//!
//! In: one line. Out: calls, alone or as a batch, or why it is none. Not here: what a method does.
//! The surprise: a call without an `id` wants no answer, also when it is wrong; a call whose id is `null` wants one.

use serde_json::{Value, json};

use super::error::{Error, code};
use crate::engine::run::scope::exact;

/// The most calls in one batch.
pub const BATCH_MAX: usize = 100;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// One call.
    One(Item),
    /// Several, answered together.
    Batch(Vec<Item>),
}

/// One element of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A call.
    Call(Call),
    /// None, with the id it has all the same.
    Wrong {
        /// Its id, or null.
        id: Value,
        /// What is wrong.
        error: Error,
    },
}

/// A call of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What its answer is to bear; none when no answer is wanted.
    pub id: Option<Value>,
    /// The method.
    pub method: String,
    /// Its parameters, by name.
    pub params: Value,
}

/// Reads a line.
///
/// # Errors
/// When it is no JSON, or an empty or too large batch: one answer with the id null.
pub fn read(line: &[u8]) -> Result<Message, Error> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| Error::new(code::PARSE, format!("this is no JSON: {error}")))?;
    // A number is kept digit by digit, or not taken.
    if let Err(why) = std::str::from_utf8(line).map_err(|error| error.to_string()).and_then(exact) {
        return Err(Error::new(code::REQUEST, format!("the line {why}")));
    }
    match value {
        Value::Array(items) if items.is_empty() => Err(Error::new(code::REQUEST, "the batch is empty")),
        Value::Array(items) if items.len() > BATCH_MAX => {
            let text = format!("the batch has {} calls, and at most {BATCH_MAX} are taken", items.len());
            Err(Error::new(code::REQUEST, text))
        }
        Value::Array(items) => Ok(Message::Batch(items.into_iter().map(item).collect())),
        one => Ok(Message::One(item(one))),
    }
}

fn item(value: Value) -> Item {
    let wrong = |id: Value, text: &str| {
        let mut error = Error::new(code::REQUEST, text);
        error.suggestions.push(r#"write {"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned());
        Item::Wrong { id, error }
    };
    let Value::Object(mut fields) = value else { return wrong(Value::Null, "a call is a JSON object") };
    let id = fields.remove("id");
    let shown = match &id {
        Some(id @ (Value::Null | Value::Number(_) | Value::String(_))) => id.clone(),
        None => Value::Null,
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return wrong(Value::Null, "`id` is a text, a number or null");
        }
    };
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return wrong(shown, "`jsonrpc` has to be \"2.0\"");
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return wrong(shown, "`method` has to be the name of a method");
    };
    let params = match fields.remove("params") {
        None => json!({}),
        Some(params @ Value::Object(_)) => params,
        Some(Value::Array(list)) if list.is_empty() => json!({}),
        Some(Value::Array(_)) => return wrong(shown, "parameters go by name here: `params` has to be an object"),
        Some(_) => return wrong(shown, "`params` has to be an object"),
    };
    Item::Call(Call { id, method, params })
}

/// The answer to a call.
#[must_use]
pub fn reply(id: &Value, answer: Result<Value, Error>) -> Value {
    match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}

/// Something said unasked.
#[must_use]
pub fn notification(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// A message as the line it is sent as.
#[must_use]
pub fn line(message: &Value) -> Vec<u8> {
    let mut bytes = message.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}
