//! Messages on their way in: what a sender may say, and the row it becomes.
//!
//! In: a letter from the command line, the local API, a folder, a trigger. Out: an entry for the store, or what is wrong
//! with the letter. Not here: the queue (the store), what a message is for (`engine::queue`).
//! The surprise: every way in meets here, so a limit or a check cannot be had by one of them alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::engine::queue::{Limit, QueueRule, message};
use crate::engine::{ObjectRef, Timestamp};
use crate::store::{Enqueue, MessageRow, MessageState, PAYLOAD_MAX, QueueLimits};

/// The longest type, subject or sender, in bytes.
pub const WORD_MAX: usize = 512;
/// The longest id, group or dedup key, in bytes.
pub const KEY_MAX: usize = 256;
/// The farthest a message may be put off.
pub const DELAY_MAX: Duration = Duration::from_secs(366 * 86_400);
/// The priority of a message that says nothing.
pub const PRIORITY: u8 = 5;

/// A message as its sender has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// To which mailbox or trigger.
    pub to: ObjectRef,
    /// What its producer calls it: sent twice, it is one message.
    pub id: Option<String>,
    /// The type of a CloudEvent.
    pub kind: String,
    /// More about that.
    pub subject: String,
    /// Who sent it.
    pub sender: String,
    /// Which way it came: `send`, `rpc`, `folder`, `http`, `event`, `change`.
    pub source: &'static str,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// What comes beside it, for a trigger.
    pub params: Json,
    /// 0, first, to 9.
    pub priority: u8,
    /// Messages of one group are done one after the other.
    pub group: Option<String>,
    /// Not taken in while one with the same key is not over.
    pub dedup: Option<String>,
    /// How long it is put off.
    pub delay: Duration,
    /// How old it may become; that of its mailbox by default.
    pub max_age: Option<Duration>,
}

/// What is wrong with a letter: which field, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As the API calls it.
    pub field: &'static str,
    /// What, as the end of a sentence that starts with the field.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}; {}", self.field, self.what, self.help)
    }
}

/// The faults in the shape that every surface has.
#[must_use]
pub fn shape(faults: &[Fault]) -> Json {
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let by_field: Map<String, Json> = faults.iter().map(|fault| (fault.field.to_owned(), json!(fault.what))).collect();
    let help: Vec<&str> = faults.iter().map(|fault| fault.help.as_str()).collect();
    json!({ "success": false, "error": text.join("; "), "errors_by_field": by_field, "suggestions": help })
}

impl Letter {
    /// A letter that says nothing but this.
    #[must_use]
    pub fn new(to: ObjectRef, source: &'static str, payload: impl Into<Arc<[u8]>>) -> Letter {
        Letter {
            to,
            id: None,
            kind: String::new(),
            subject: String::new(),
            sender: String::new(),
            source,
            payload: payload.into(),
            params: Json::Object(Map::new()),
            priority: PRIORITY,
            group: None,
            dedup: None,
            delay: Duration::ZERO,
            max_age: None,
        }
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let words = [("type", &self.kind), ("subject", &self.subject), ("from", &self.sender)];
        let long = |text: &str, max: usize| {
            (text.len() > max).then(|| format!("has {} bytes, at most {max} are taken", text.len()))
        };
        let fault = |field, what, help: &str| Fault { field, what, help: help.to_owned() };
        for (field, text) in words {
            faults.extend(
                long(text, WORD_MAX).map(|what| fault(field, what, "shorten it, and put the rest into the message")),
            );
            if text.contains(|c: char| c.is_control()) {
                faults.push(fault(field, "has control characters in it".into(), "write one line of text"));
            }
        }
        for (field, text) in [("id", &self.id), ("group", &self.group), ("dedup", &self.dedup)] {
            let Some(text) = text else { continue };
            faults.extend(long(text, KEY_MAX).map(|what| fault(field, what, "shorten it, or send a hash of it")));
            if text.is_empty() || text.contains(|c: char| c.is_control()) {
                faults.push(fault(field, "is empty, or has control characters in it".into(), "write one line of text"));
            }
        }
        if self.payload.len() > PAYLOAD_MAX {
            let what = format!("has {} bytes, at most {PAYLOAD_MAX} are taken", self.payload.len());
            faults.push(fault("message", what, "put it into a file, and send its path"));
        }
        if self.priority > 9 {
            faults.push(fault("priority", format!("is {}", self.priority), "write 0, first, to 9"));
        }
        if self.delay > DELAY_MAX {
            faults.push(fault("delay", "is longer than a year".into(), "write at most 366d"));
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            faults.push(fault("maxAge", "is zero, so that it would be too old at once".into(), "write 1h"));
        }
        faults
    }

    /// The entry it becomes. `fresh` names it when its producer did not.
    #[must_use]
    pub fn enqueue(self, rule: &QueueRule, limit: Option<Limit>, now: Timestamp, fresh: &str) -> Enqueue {
        let text = |text: String| -> Arc<str> { text.into() };
        let due = now.after(self.delay);
        let has_params = self.params.as_object().is_some_and(|params| !params.is_empty());
        let message = MessageRow {
            object: self.to,
            id: self.id.map_or_else(|| fresh.to_owned(), |id| message::name_of(&id)).into(),
            seq: 0,
            state: MessageState::Available,
            priority: self.priority,
            group: self.group.map(text),
            dedup: self.dedup.map(text),
            kind: self.kind.into(),
            subject: self.subject.into(),
            sender: self.sender.into(),
            source: self.source.into(),
            payload: self.payload,
            params: has_params.then(|| self.params.to_string().into()),
            enqueued: now,
            due,
            // What is put off does not age meanwhile.
            expires: self.max_age.or(rule.max_age).map(|age| due.after(age)),
            tries: 0,
            base_attempts: 0,
            fence: 0,
            claimed: None,
            ended: None,
            outcome: None,
            reason: None,
            reply: None,
            log_tail: None,
        };
        let limits = QueueLimits { messages: rule.messages_max, bytes: rule.bytes_max };
        Enqueue { message, limits, recent: limit.map(|limit| (limit.times, limit.within)) }
    }
}
