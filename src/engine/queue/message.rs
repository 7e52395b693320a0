//! A message, as far as a decision can depend on it.
//!
//! In: a row of the store. Out: facts, and the values that rules and parameters may name. Not here: the row.
//! The surprise: what a message says is data all the way. Its words are compared and handed on, never executed.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::engine::time::{Timestamp, utc};

/// The longest name of a message, in bytes.
pub const NAME_MAX: usize = 100;
/// The longest word of a command that is told from its text.
const ARGS_MAX: usize = 64;

/// A message that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name; with the mailbox it is unique.
    pub id: Arc<str>,
    /// Grows with each claim; what is written about an earlier one counts no more.
    pub fence: i64,
    /// What it is about: the `type` of a CloudEvent.
    pub kind: Arc<str>,
    /// More about that.
    pub subject: Arc<str>,
    /// Who sent it.
    pub sender: Arc<str>,
    /// Which way it came.
    pub source: Arc<str>,
    /// What it says, byte for byte.
    pub payload: Arc<[u8]>,
    /// What came beside it, as a map of names to values: `event` and `changes` of a Trigger.
    pub params: Arc<Json>,
    /// 0, first, to 9.
    pub priority: u8,
    /// Messages of one group are done one after the other, in the order in which they came.
    pub group: Option<Arc<str>>,
    /// When it came.
    pub enqueued: Timestamp,
    /// When it is too old to be acted on.
    pub expires: Option<Timestamp>,
    /// Attempts that were counted before this claim.
    pub tries: u32,
}

/// What the store says of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// At least one message could be claimed now.
    pub has_available: bool,
    /// When the next of the others can.
    pub next_due: Option<Timestamp>,
    /// Messages that are not over.
    pub depth: u64,
}

impl Message {
    /// What it says, as text; bytes that are none are replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.payload)
    }

    /// What it says, as JSON; null when it is none.
    #[must_use]
    pub fn fields(&self) -> Json {
        serde_json::from_slice(&self.payload).unwrap_or(Json::Null)
    }

    /// The values that conditions and references may name: `message`, and what came beside it.
    #[must_use]
    pub fn scope(&self) -> Json {
        let text = self.text();
        let words: Vec<&str> = text.split_whitespace().take(ARGS_MAX).collect();
        let command = words.first().filter(|word| word.starts_with('/')).copied().unwrap_or_default();
        let mut message = json!({
            "id": &*self.id,
            "type": &*self.kind,
            "subject": &*self.subject,
            "from": &*self.sender,
            "source": &*self.source,
            "text": &*text,
            "fields": self.fields(),
            "command": command,
            "args": words.get(1..).unwrap_or_default(),
            "group": self.group.as_deref(),
            "priority": self.priority,
            "time": utc(self.enqueued),
        });
        if let Some(fields) = message.as_object_mut() {
            for (number, word) in words.iter().enumerate().skip(1) {
                fields.insert(format!("arg{number}"), json!(word));
            }
        }
        let mut scope = self.params.as_object().cloned().unwrap_or_else(Map::new);
        scope.insert("message".to_owned(), message);
        Json::Object(scope)
    }
}

/// The name under which a message with this id of its producer is kept: the id itself where it is a plain one, else what
/// is plain of it and a hash of all of it.
#[must_use]
pub fn name_of(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '+');
    let starts_well = id.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let is_number = id.bytes().all(|b| b.is_ascii_digit());
    if starts_well && !is_number && id.len() <= NAME_MAX && id.chars().all(is_plain) && id != super::QUEUE {
        return id.to_owned();
    }
    let hash = Sha256::digest(id.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let plain: String = id.chars().filter(|c| is_plain(*c)).take(40).collect();
    if plain.is_empty() { format!("m-{hex}") } else { format!("m-{plain}-{hex}") }
}
