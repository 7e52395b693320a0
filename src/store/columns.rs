//! Rows to columns and back.
//!
//! In: rows of ours, or of the database. Out: the other. Not here: statements.
//! The surprise: a value that no row of ours can have, because somebody edited the file, is an error that names its
//! column, and never a guess.

use std::str::FromStr;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Error, Row};

use super::rows::{
    AttemptRow, CursorRow, EndRow, EventRow, ExitRow, Given, MessageRow, MessageState, OriginRow, QueueRow, RunRow,
    TickRow,
};
use super::{RESULT_MAX, TEXT_MAX};
use crate::engine::time::BootTime;
use crate::engine::{BootId, Timestamp};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Milliseconds since 1970, the rest cut.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.nanos() / NANOS_PER_MILLI).unwrap_or(i64::MAX)
}

/// The moment as it is kept.
pub(super) fn kept(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos() / NANOS_PER_MILLI * NANOS_PER_MILLI)
}

/// Nanoseconds as the database has them.
pub(super) fn nanos(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A moment for people: RFC 3339 in UTC, with milliseconds.
pub(super) fn written(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_nanos(nanos(at.nanos()));
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The first `max` bytes, whole letters only. No zero byte, which a larger database refuses in a text.
pub(super) fn cut(text: &str, max: usize) -> String {
    let head = text.get(..text.floor_char_boundary(max)).unwrap_or(text);
    let mut kept = head.replace('\0', "\u{fffd}");
    kept.truncate(kept.floor_char_boundary(max));
    kept
}

/// The last `max` bytes, whole letters only; no zero byte either.
pub(super) fn cut_head(text: &str, max: usize) -> String {
    let kept = text.replace('\0', "\u{fffd}");
    let from = kept.ceil_char_boundary(kept.len().saturating_sub(max));
    kept.get(from..).unwrap_or_default().to_owned()
}

/// What is kept of what a run gave; how long it was is said where it is not all of it.
pub(super) fn kept_result(given: Given) -> Given {
    let text = cut(&given.text, usize::MAX);
    let size = given.size.or_else(|| (text.len() > RESULT_MAX).then(|| format!("{} bytes", text.len()).into()));
    Given { text: cut(&text, RESULT_MAX).into(), size }
}

pub(super) fn cut_text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(|text| cut(text, TEXT_MAX))
}

pub(super) fn odd(column: &str, why: impl std::fmt::Display) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, format!("the column `{column}` of a row: {why}").into())
}

fn name<T: FromStr<Err: std::fmt::Display>>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|error| odd(column, error))
}

fn name_or_none<T: FromStr<Err: std::fmt::Display>>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| odd(column, error))).transpose()
}

fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| odd(column, error))
}

fn moment_of(millis: i64, column: &str) -> rusqlite::Result<Timestamp> {
    let millis = u64::try_from(millis).map_err(|error| odd(column, error))?;
    Ok(Timestamp::from_nanos(millis.saturating_mul(NANOS_PER_MILLI)))
}

fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    moment_of(row.get(column)?, column)
}

fn moment_or_none(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(|millis| moment_of(millis, column)).transpose()
}

fn origin(row: &Row<'_>) -> rusqlite::Result<OriginRow> {
    let word: String = row.get("origin")?;
    match word.as_str() {
        "tick" => Ok(OriginRow::Tick(moment(row, "nominal_ms")?)),
        "generation" => Ok(OriginRow::Generation),
        "person" => Ok(OriginRow::Person(row.get("asked_by")?)),
        "step" => Ok(OriginRow::Step),
        "message" => Ok(OriginRow::Message),
        other => Err(odd("origin", format_args!("`{other}` is no origin"))),
    }
}

fn end(row: &Row<'_>) -> rusqlite::Result<Option<EndRow>> {
    let Some(outcome) = row.get("outcome")? else { return Ok(None) };
    let exit = match (row.get("exit_code")?, row.get("exit_signal")?) {
        (Some(code), _) => Some(ExitRow::Code(code)),
        (None, Some(signal)) => Some(ExitRow::Signal(signal)),
        (None, None) => None,
    };
    let ended = moment(row, "ended_ms")?;
    // A store of an earlier version that nobody has written to yet does not have it.
    let has_size = row.as_ref().column_index("result_size").is_ok();
    let size = if has_size { row.get("result_size")? } else { None };
    let result = row.get::<_, Option<Arc<str>>>("result")?.map(|text| Given { text, size });
    Ok(Some(EndRow { outcome, reason: row.get("reason")?, ended, exit, result }))
}

/// A store that no controller of this version has opened yet has no such column.
fn catches_up(row: &Row<'_>) -> rusqlite::Result<bool> {
    match row.get("catches_up") {
        Err(Error::InvalidColumnName(_)) => Ok(false),
        found => found,
    }
}

pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        object: name(row, "object")?,
        uid: row.get("uid")?,
        cause: name(row, "cause")?,
        parent: name_or_none(row, "parent")?,
        origin: origin(row)?,
        due: moment(row, "due_ms")?,
        created: moment(row, "created_ms")?,
        catches_up: catches_up(row)?,
        started: moment_or_none(row, "started_ms")?,
        attempts: row.get("attempts")?,
        base_attempts: row.get("base_attempts")?,
        cancel: row.get("cancelled_by")?,
        reopened: row.get("reopened_by")?,
        params: row.get("params")?,
        generation: count(row, "generation")?,
        end: end(row)?,
    })
}

pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        object: name(row, "object")?,
        cause: name(row, "cause")?,
        number: row.get("number")?,
        started: moment_or_none(row, "started_ms")?,
        ended: moment_or_none(row, "ended_ms")?,
        exit: row.get("exit")?,
    })
}

pub(super) fn tick(row: &Row<'_>) -> rusqlite::Result<TickRow> {
    Ok(TickRow {
        object: name(row, "object")?,
        uid: row.get("uid")?,
        nominal: moment(row, "nominal_ms")?,
        to: moment_or_none(row, "to_ms")?,
        count: count(row, "count")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        at: moment(row, "at_ms")?,
        cause: name_or_none(row, "cause")?,
    })
}

pub(super) fn cursor(row: &Row<'_>) -> rusqlite::Result<CursorRow> {
    Ok(CursorRow {
        object: name(row, "object")?,
        uid: row.get("uid")?,
        key: row.get("key")?,
        since: moment(row, "since_ms")?,
        at: moment(row, "at_ms")?,
        set_wall: Timestamp::from_nanos(count(row, "set_wall_ns")?),
        set_boot: BootTime::from_nanos(count(row, "set_boot_ns")?),
        boot_id: BootId::new(&row.get::<_, String>("boot_id")?),
    })
}

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<(i64, EventRow)> {
    let time: String = row.get("time")?;
    let at = chrono::DateTime::parse_from_rfc3339(&time).map_err(|error| odd("time", error))?;
    let event = EventRow {
        time: moment_of(at.timestamp_millis(), "time")?,
        kind: row.get("type")?,
        subject: row.get("subject")?,
        text: row.get("text")?,
        data: row.get("data")?,
    };
    Ok((row.get("id")?, event))
}

/// A message, its payload empty when it was not asked for.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let word: String = row.get("state")?;
    let state = MessageState::of_word(&word);
    Ok(MessageRow {
        object: name(row, "object")?,
        id: row.get("id")?,
        seq: row.get("seq")?,
        state: state.ok_or_else(|| odd("state", format_args!("`{word}` is no state of a message")))?,
        priority: row.get("priority")?,
        group: row.get("grp")?,
        dedup: row.get("dedup")?,
        kind: row.get("type")?,
        subject: row.get("subject")?,
        sender: row.get("sender")?,
        source: row.get("source")?,
        payload: row.get::<_, Option<_>>("payload")?.unwrap_or_default(),
        params: row.get("params")?,
        enqueued: moment(row, "enqueued_ms")?,
        due: moment(row, "due_ms")?,
        expires: moment_or_none(row, "expires_ms")?,
        tries: row.get("tries")?,
        base_attempts: row.get("base_attempts")?,
        fence: row.get("fence")?,
        claimed: moment_or_none(row, "claimed_ms")?,
        ended: moment_or_none(row, "ended_ms")?,
        outcome: row.get("outcome")?,
        reason: row.get("reason")?,
        reply: row.get("reply")?,
        log_tail: row.get("log_tail")?,
    })
}

pub(super) fn queue(row: &Row<'_>) -> rusqlite::Result<QueueRow> {
    Ok(QueueRow {
        object: name(row, "object")?,
        has_available: row.get("has_available")?,
        next_due: moment_or_none(row, "next_due")?,
        depth: count(row, "depth")?,
        bytes: count(row, "bytes")?,
    })
}
