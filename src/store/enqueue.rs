//! How a message comes into its queue.
//!
//! In: a message and the limits of its queue. Out: its row, the one that was there before, or a refusal. Not here: what
//! becomes of it ([`super::messages`]).
//!
//! The surprise: nothing is looked up before it is written. The row is put in and the indexes say whether its id or its key
//! is taken; the counters say whether it was one too many, and then all of it is undone.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::columns::{cut, kept, millis, nanos};
use super::messages::{grow, message, scalar};
use super::rows::{MessageRow, MessageState};
use super::sqlite::Sqlite;
use super::trouble::{Fault, Trouble};
use super::write::{Enqueue, Reply};
use super::{PAYLOAD_MAX, TEXT_MAX, WORD_MAX, groups, statements};
use crate::engine::Cause;

/// The last priority.
pub(super) const PRIORITY_MAX: u8 = 9;

/// Whether a message may be queued at all.
pub(super) fn fit(message: &MessageRow) -> Result<(), Trouble> {
    let length = |text: &Option<_>| text.as_ref().map_or(0, |text: &std::sync::Arc<str>| text.len());
    for (what, found, max) in [
        ("the payload of a message", message.payload.len(), PAYLOAD_MAX),
        ("the id of a message", message.id.len(), WORD_MAX),
        ("the group of a message", length(&message.group), WORD_MAX),
        ("the dedup key of a message", length(&message.dedup), WORD_MAX),
        ("the type of a message", message.kind.len(), TEXT_MAX),
        ("the subject of a message", message.subject.len(), TEXT_MAX),
        ("the sender of a message", message.sender.len(), TEXT_MAX),
        ("the source of a message", message.source.len(), TEXT_MAX),
    ] {
        if found > max {
            return Err(Trouble::TooLarge { what, found, max });
        }
    }
    if message.priority > PRIORITY_MAX {
        let why = format!("priority {} of a message: write 0, the first, to {PRIORITY_MAX}", message.priority);
        return Err(Trouble::Refused { why: why.into() });
    }
    cause(&message.id).map(drop).map_err(|why| Trouble::Refused { why: why.into() })
}

/// The cause of the run of a message. A dot would make it a step of another.
pub(super) fn cause(id: &str) -> Result<Cause, String> {
    let parsed = id.parse().ok().filter(|_| !id.contains('.'));
    parsed.ok_or_else(|| {
        let id = cut(&id.escape_debug().to_string(), WORD_MAX);
        format!("the id `{id}` of a message: write at most 128 letters, digits, `-`, `_`, `:` and `+`")
    })
}

/// Tells one message from another under the same id. What a sender that asks again may say otherwise, as its times, is
/// not part of it.
fn digest(message: &MessageRow) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        // Lengths keep `ab` and `c` apart from `a` and `bc`, and none from nothing.
        hash.update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    part(Some(&message.payload));
    for text in [Some(&message.kind), Some(&message.subject)] {
        part(text.map(|text| text.as_bytes()));
    }
    for text in [&message.group, &message.dedup, &message.params] {
        part(text.as_ref().map(|text| text.as_bytes()));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a limit of bytes counts.
pub(super) fn size(message: &MessageRow) -> u64 {
    let params = message.params.as_ref().map_or(0, |params| params.len());
    (message.payload.len() + params) as u64
}

pub(super) fn enqueue(store: &Sqlite, enqueue: Enqueue) -> Result<Reply, Fault> {
    let word = |text: &str| cut(text, TEXT_MAX).into();
    let given = enqueue.message;
    let mut message = MessageRow {
        group: given.group.as_deref().map(word),
        dedup: given.dedup.as_deref().map(word),
        kind: word(&given.kind),
        subject: word(&given.subject),
        sender: word(&given.sender),
        source: word(&given.source),
        enqueued: kept(given.enqueued),
        due: kept(given.due),
        expires: given.expires.map(kept),
        tries: 0,
        base_attempts: 0,
        fence: 0,
        claimed: None,
        ended: None,
        outcome: None,
        reason: None,
        reply: None,
        log_tail: None,
        ..given
    };
    cause(&message.id).map_err(Fault::Refused)?;
    message.state = match &message.group {
        Some(group) if groups::head(store, &message.object, group)?.is_some() => MessageState::Behind,
        Some(_) | None => groups::waiting(message.due, message.enqueued),
    };
    let (digest, bytes) = (digest(&message), size(&message));
    let Some(seq) = insert(store, &message, &digest, bytes)? else { return replayed(store, &message, &digest) };
    message.seq = seq;
    let (depth, total) = grow(store, &message.object, bytes)?;
    let limits = enqueue.limits;
    let object = &message.object;
    if depth > limits.messages {
        return Err(Fault::Refused(format!(
            "{object} holds {} messages already (at most {}): this one is not taken\n  \
             help: send it again when some are done, or allow more",
            depth - 1,
            limits.messages
        )));
    }
    if total > limits.bytes {
        return Err(Fault::Refused(format!(
            "{object} holds {} bytes of messages already (at most {}): one of {bytes} more is not taken\n  \
             help: send it again when some are done, or allow more",
            total - bytes,
            limits.bytes
        )));
    }
    if let Some((count, within)) = enqueue.recent {
        let since = millis(message.enqueued.before(within));
        let values = params![object.as_str(), since, i64::from(count) + 1];
        let found: i64 = scalar(store, statements::RECENT_MESSAGES, values)?;
        if found > i64::from(count) {
            return Err(Fault::Refused(format!(
                "{object} took {count} messages within {within:?} already (at most {count}): this one is not taken\n  \
                 help: see what sends so many, or allow more"
            )));
        }
    }
    Ok(Reply::Enqueued { message: Box::new(message), is_new: true })
}

/// The number of a new row; none when its id or key is taken.
fn insert(store: &Sqlite, message: &MessageRow, digest: &str, bytes: u64) -> rusqlite::Result<Option<i64>> {
    let mut statement = store.connection.prepare_cached(statements::INSERT_MESSAGE)?;
    let values = params![
        message.object.as_str(),
        message.id,
        message.state.word(),
        message.priority,
        message.group,
        message.dedup,
        message.kind,
        message.subject,
        message.sender,
        message.source,
        digest,
        nanos(bytes),
        millis(message.enqueued),
        millis(message.due),
        message.expires.map(millis),
        message.params,
        &*message.payload,
    ];
    statement.query_row(values, |row| row.get(0)).optional()
}

/// The answer to a message whose id or key is there.
fn replayed(store: &Sqlite, again: &MessageRow, digest: &str) -> Result<Reply, Fault> {
    let (object, id) = (&again.object, &again.id);
    let mut statement = store.connection.prepare_cached(statements::DIGEST)?;
    let first: Option<String> = statement.query_row(params![object.as_str(), id], |row| row.get(0)).optional()?;
    if first.as_ref().is_some_and(|first| first != digest) {
        return Err(Fault::Refused(format!(
            "{object}: the id {id} was used before with another payload\n  \
             help: give each message an id of its own; the same id is for the same message, sent again"
        )));
    }
    let stands = match (first, &again.dedup) {
        (Some(_), _) => message(store, statements::MESSAGE, object, id)?,
        (None, Some(key)) => message(store, statements::MESSAGE_OF_DEDUP, object, key)?,
        (None, None) => None,
    };
    let message = Box::new(stands.ok_or(rusqlite::Error::QueryReturnedNoRows)?);
    Ok(Reply::Enqueued { message, is_new: false })
}
