//! Groups of messages, worked on one at a time and in the order in which they came.
//!
//! In: a group. Out: which of it may go on. Not here: when somebody asks.
//! The surprise: the order is kept by states alone. One message of a group can be claimed or is; all others that are not
//! over stand *behind*, and whatever moves the first one brings up the next.

use rusqlite::{OptionalExtension, Row, params};

use super::columns::millis;
use super::messages::scalar;
use super::rows::{MessageRow, MessageState};
use super::sqlite::Sqlite;
use super::statements;
use crate::engine::{ObjectRef, Timestamp};

pub(super) fn waiting(due: Timestamp, now: Timestamp) -> MessageState {
    if millis(due) > millis(now) { MessageState::Scheduled } else { MessageState::Available }
}

/// The first message of a group that is not over.
pub(super) struct Head {
    pub(super) seq: i64,
    state: String,
    due: i64,
}

pub(super) fn head(store: &Sqlite, object: &ObjectRef, group: &str) -> rusqlite::Result<Option<Head>> {
    let mut statement = store.connection.prepare_cached(statements::GROUP_HEAD)?;
    let read = |row: &Row<'_>| Ok(Head { seq: row.get("seq")?, state: row.get("state")?, due: row.get("due_ms")? });
    statement.query_row(params![object.as_str(), group], read).optional()
}

fn is_claimed(store: &Sqlite, object: &ObjectRef, group: &str) -> rusqlite::Result<bool> {
    let count: i64 = scalar(store, statements::CLAIMED_OF_GROUP, params![object.as_str(), group])?;
    Ok(count > 0)
}

pub(super) fn move_to(store: &Sqlite, seq: i64, state: MessageState) -> rusqlite::Result<()> {
    store.execute(statements::MOVE_MESSAGE, params![state.word(), seq]).map(drop)
}

/// Brings up the first message of a group, unless another of it is claimed.
pub(super) fn advance(store: &Sqlite, object: &ObjectRef, group: &str, now: Timestamp) -> rusqlite::Result<()> {
    match head(store, object, group)? {
        Some(head) if head.state == MessageState::Behind.word() && !is_claimed(store, object, group)? => {
            let is_due = head.due <= millis(now);
            move_to(store, head.seq, if is_due { MessageState::Available } else { MessageState::Scheduled })
        }
        Some(_) | None => Ok(()),
    }
}

/// Where a dead letter stands that comes back into its group. One that comes first puts the others behind.
pub(super) fn place(store: &Sqlite, letter: &MessageRow, group: &str) -> rusqlite::Result<MessageState> {
    let object = &letter.object;
    match head(store, object, group)? {
        Some(head) if head.seq < letter.seq || is_claimed(store, object, group)? => Ok(MessageState::Behind),
        Some(head) => {
            move_to(store, head.seq, MessageState::Behind)?;
            Ok(MessageState::Available)
        }
        None => Ok(MessageState::Available),
    }
}
