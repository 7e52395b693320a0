//! The queue: how a message is worked on, comes back, and ends.
//!
//! In: requests, each within a transaction of its own. Out: rows and answers. Not here: how it came ([`super::enqueue`]),
//! and what its end is; that is decided by whoever holds the claim.
//!
//! The surprise: a claim has no term. It counts until its end is written or the message is given back, and what is written
//! about an earlier claim of the same message changes nothing.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use super::columns::{cut, cut_head, cut_text, millis, nanos};
use super::rows::{MessageRow, MessageState, OriginRow, QueueRow, RunRow};
use super::sqlite::{OK, Sqlite, exit};
use super::trouble::Fault;
use super::write::{Claim, Claimed, DeadLetter, DeadWish, Finish, MessageEnd, Reply, ResultSource, Return};
use super::{CLAIM_MAX, RESULT_MAX, TAIL_MAX, TEXT_MAX, WORD_MAX, columns, enqueue, groups, statements};
use crate::engine::{ObjectRef, Timestamp};

/// A message that has waited so long is worth one priority more.
const STEP: Duration = Duration::from_secs(300);
/// The most messages whose time has come that one claim makes available: a day of them at once holds nobody up.
const PROMOTED_MAX: u64 = 1_000;

pub(super) fn message(
    store: &Sqlite,
    sql: &str,
    object: &ObjectRef,
    key: &str,
) -> rusqlite::Result<Option<MessageRow>> {
    let mut statement = store.connection.prepare_cached(sql)?;
    statement.query_row(params![object.as_str(), key], columns::message).optional()
}

pub(super) fn scalar<T: rusqlite::types::FromSql>(
    store: &Sqlite,
    sql: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<T> {
    store.connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))
}

/// Counts one message more; what the queue holds now.
pub(super) fn grow(store: &Sqlite, object: &ObjectRef, bytes: u64) -> rusqlite::Result<(u64, u64)> {
    let mut statement = store.connection.prepare_cached(statements::GROW_QUEUE)?;
    let (depth, total): (i64, i64) = statement
        .query_row(params![object.as_str(), nanos(bytes)], |row| Ok((row.get("depth")?, row.get("bytes")?)))?;
    Ok((u64::try_from(depth).unwrap_or(0), u64::try_from(total).unwrap_or(0)))
}

/// What is known of a message that leaves the queue.
struct Left {
    group: Option<String>,
    bytes: i64,
}

fn left(row: &Row<'_>) -> rusqlite::Result<Left> {
    Ok(Left { group: row.get("grp")?, bytes: row.get("bytes")? })
}

/// Counts one message less, and brings up the next of its group.
fn shrink(store: &Sqlite, object: &ObjectRef, left: &Left, now: Timestamp) -> rusqlite::Result<()> {
    store.execute(statements::SHRINK_QUEUE, params![left.bytes, object.as_str()])?;
    match &left.group {
        Some(group) => groups::advance(store, object, group, now),
        None => Ok(()),
    }
}

pub(super) fn claim(store: &Sqlite, claim: &Claim) -> rusqlite::Result<Reply> {
    let object = &claim.object;
    store.execute(statements::PROMOTE_MESSAGES, params![object.as_str(), millis(claim.now), nanos(PROMOTED_MAX)])?;
    let mut claimed = Claimed { messages: Vec::new(), steps: Vec::new(), queue: queue(store, object)? };
    for seq in first(store, claim)? {
        let mut statement = store.connection.prepare_cached(statements::CLAIM_MESSAGE)?;
        let mut message = statement.query_row(params![millis(claim.now), seq], columns::message)?;
        let cause = enqueue::cause(&message.id).map_err(|why| columns::odd("id", why))?;
        let run = RunRow {
            object: object.clone(),
            uid: claim.uid.clone(),
            cause,
            parent: None,
            origin: OriginRow::Message,
            due: claim.now,
            created: message.enqueued,
            catches_up: false,
            started: None,
            attempts: message.base_attempts,
            base_attempts: message.base_attempts,
            cancel: None,
            reopened: None,
            params: message.params.clone(),
            generation: 0,
            end: None,
        };
        if !store.insert(&run, None)? {
            message.base_attempts = again(store, &run, &message)?;
            claimed.steps.extend(store.steps(object, &run.cause)?);
        }
        claimed.messages.push(message);
    }
    claimed.queue = queue(store, object)?;
    Ok(Reply::Claimed(Box::new(claimed)))
}

/// Opens the run of this name that was there before. The number of its last process.
fn again(store: &Sqlite, run: &RunRow, message: &MessageRow) -> rusqlite::Result<u32> {
    let RunRow { object, cause, due, .. } = run;
    // One that is over was of another message of this name, which is forgotten: nothing that it did counts for this one.
    store.reopen_run(object, cause, None, *due, "")?;
    let values = params![run.uid, millis(*due), millis(run.created), run.params, object.as_str(), cause.to_string()];
    store.execute(statements::RUN_AGAIN, values)?;
    let attempts = store.run(object, cause)?.map_or(message.base_attempts, |run| run.attempts);
    if attempts != message.base_attempts {
        store.execute(statements::COUNT_FROM, params![attempts, message.seq])?;
    }
    Ok(attempts)
}

/// The messages that come first. Each priority is looked up by itself, in order, so that this costs the same however many
/// wait; within one, those that came first are the oldest.
fn first(store: &Sqlite, claim: &Claim) -> rusqlite::Result<Vec<i64>> {
    let count = claim.count.min(CLAIM_MAX);
    let mut found = Vec::new();
    let mut statement = store.connection.prepare_cached(statements::READY_MESSAGES)?;
    for priority in 0..=enqueue::PRIORITY_MAX {
        let mut rows = statement.query(params![claim.object.as_str(), priority, count])?;
        while let Some(row) = rows.next()? {
            let waited = millis(claim.now).saturating_sub(row.get("enqueued_ms")?);
            found.push((effective(priority, waited), row.get("seq")?));
        }
    }
    found.sort_unstable();
    found.truncate(count as usize);
    Ok(found.into_iter().map(|(_, seq)| seq).collect())
}

/// The priority of a message that has waited for so many milliseconds.
fn effective(priority: u8, waited: i64) -> u8 {
    let steps = u64::try_from(waited).unwrap_or(0) / u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX);
    priority.saturating_sub(u8::try_from(steps).unwrap_or(u8::MAX))
}

fn queue(store: &Sqlite, object: &ObjectRef) -> rusqlite::Result<QueueRow> {
    let mut statement = store.connection.prepare_cached(statements::QUEUE)?;
    let found = statement.query_row(params![object.as_str()], columns::queue).optional()?;
    let empty = || QueueRow { object: object.clone(), has_available: false, next_due: None, depth: 0, bytes: 0 };
    Ok(found.unwrap_or_else(empty))
}

/// The answer to a change of one message that changed nothing.
fn unchanged(store: &Sqlite, object: &ObjectRef, id: &str) -> rusqlite::Result<Reply> {
    let count: i64 = scalar(store, statements::MESSAGE_IS_THERE, params![object.as_str(), id])?;
    Ok(if count > 0 { Reply::Already(None) } else { Reply::Unknown })
}

pub(super) fn give_back(store: &Sqlite, back: &Return) -> rusqlite::Result<Reply> {
    let Return { object, cause, id, .. } = back;
    let (due, reason) = (millis(back.due), cut(&back.reason, TEXT_MAX));
    let mut statement = store.connection.prepare_cached(statements::RETURN_MESSAGE)?;
    let values = params![due, back.tries, back.attempts, reason, object.as_str(), id, back.fence];
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>("seq")?, row.get::<_, Option<String>>("grp")?));
    let Some((seq, group)) = statement.query_row(values, read).optional()? else {
        return unchanged(store, object, id);
    };
    if let Some(group) = group
        && let Some(head) = groups::head(store, object, &group)?
        && head.seq != seq
    {
        // A dead letter that came before it was revived meanwhile; the next claim sees whether it is due.
        groups::move_to(store, seq, MessageState::Behind)?;
        groups::advance(store, object, &group, Timestamp::from_nanos(0))?;
    }
    let (code, signal) = exit(back.exit);
    let (name, started) = (cause.to_string(), back.started.map(millis));
    let values = params![back.attempts, due, reason, started, code, signal, object.as_str(), name];
    store.execute(statements::RETURN_RUN, values)?;
    store.execute(statements::REOPEN_STEPS, params![None::<String>, object.as_str(), OK, name])?;
    for attempt in &back.tries_rows {
        store.attempt(attempt)?;
    }
    Ok(Reply::Done)
}

/// Ends a message together with its run. False when it is not claimed, or was claimed anew: then nothing is to be written.
pub(super) fn end(store: &Sqlite, end: MessageEnd, finish: &Finish) -> Result<bool, Fault> {
    let MessageEnd { id, fence, state, tries, reply, log_tail } = end;
    if !state.is_over() {
        return Err(Fault::Refused(format!("{}/{id}: `{}` is no end of a message", finish.object, state.word())));
    }
    let log_tail = match log_tail {
        ResultSource::None => None,
        ResultSource::Text(text) => Some(cut_head(&text.text, TAIL_MAX)),
        ResultSource::Capture(capture) => capture().map(|given| cut_head(&given.text, TAIL_MAX)),
    };
    let object = &finish.object;
    let mut statement = store.connection.prepare_cached(statements::END_MESSAGE)?;
    let values = params![
        state.word(),
        tries,
        finish.attempts,
        finish.outcome,
        cut_text(finish.reason.as_ref()),
        reply.map(|reply| cut(&reply, RESULT_MAX)),
        log_tail,
        millis(finish.ended),
        object.as_str(),
        id,
        fence,
    ];
    match statement.query_row(values, left).optional()? {
        Some(left) => {
            shrink(store, object, &left, finish.ended)?;
            Ok(true)
        }
        // A row that somebody took away by hand must not keep its run open for ever.
        None => Ok(matches!(unchanged(store, object, &id)?, Reply::Unknown)),
    }
}

pub(super) fn withdraw(
    store: &Sqlite,
    object: &ObjectRef,
    id: &str,
    by: &str,
    at: Timestamp,
) -> rusqlite::Result<Reply> {
    let by = cut(by, WORD_MAX);
    let reason = format!("withdrawn by {by}");
    let mut statement = store.connection.prepare_cached(statements::WITHDRAW_MESSAGE)?;
    let found = statement.query_row(params![reason, millis(at), object.as_str(), id], left).optional()?;
    let Some(left) = found else { return unchanged(store, object, id) };
    shrink(store, object, &left, at)?;
    // The run of an earlier try.
    store.execute(statements::WITHDRAW_RUN, params![reason, millis(at), by, object.as_str(), id])?;
    Ok(Reply::Done)
}

pub(super) fn dead(store: &Sqlite, letter: &DeadLetter) -> Result<Reply, Fault> {
    let DeadLetter { object, id, wish, by, at } = letter;
    match wish {
        DeadWish::Retry => revive(store, object, id, by, *at),
        DeadWish::Drop => match store.execute(statements::DROP_MESSAGE, params![object.as_str(), id])? {
            0 => Ok(unchanged(store, object, id)?),
            _ => Ok(Reply::Done),
        },
    }
}

fn revive(store: &Sqlite, object: &ObjectRef, id: &str, by: &str, at: Timestamp) -> Result<Reply, Fault> {
    let found = message(store, statements::MESSAGE, object, id)?;
    let Some(letter) = found else { return Ok(Reply::Unknown) };
    match letter.state {
        MessageState::Dead => {}
        MessageState::Scheduled
        | MessageState::Available
        | MessageState::Behind
        | MessageState::Claimed
        | MessageState::Ok
        | MessageState::Cancelled => return Ok(Reply::Already(None)),
    }
    if let Some(key) = &letter.dedup
        && let Some(other) = message(store, statements::MESSAGE_OF_DEDUP, object, key)?
    {
        return Err(Fault::Refused(format!(
            "{object}: {id} and {} have the same key {key}, and one of them at most may wait\n  \
             help: retry it when the other is done, or drop it",
            other.id
        )));
    }
    let state = match &letter.group {
        Some(group) => groups::place(store, &letter, group)?,
        None => MessageState::Available,
    };
    store.execute(statements::REVIVE_MESSAGE, params![state.word(), millis(at), object.as_str(), id])?;
    grow(store, object, enqueue::size(&letter))?;
    let cause = enqueue::cause(id).map_err(Fault::Refused)?;
    store.reopen_run(object, &cause, Some(by), at, OK)?;
    Ok(Reply::Done)
}
