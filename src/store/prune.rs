//! What is too old or too much goes, a slice at a time.
//!
//! In: what is to be kept. Out: the names of the runs that went, so that their logs and records can follow.
//! Not here: when that is done. The surprise: the last run of each origin stays while its object exists, however old:
//! it is what tells a Job that its generation is done.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{millis, nanos, odd};
use super::rows::MessageState;
use super::sqlite::Sqlite;
use super::write::{Keep, Pruned, Retention};
use super::{BUSY_MAX, statements};
use crate::engine::{Cause, ObjectRef, Timestamp};

/// The most rows of one table that a slice removes from one object.
const ROWS_MAX: usize = 500;
/// How long a message that is over stays in any case, unless it is one dead letter too many.
const REPLAY: Duration = Duration::from_secs(86_400);
/// The most objects that a slice looks at.
const OBJECTS_MAX: usize = 100;
/// The most pages that are given back to the disk after a slice; 4 KiB each.
const PAGES_MAX: u32 = 500;

/// Removes what one slice may.
pub(super) fn slice(store: &Sqlite, retention: &Retention) -> rusqlite::Result<Pruned> {
    let mut pruned = Pruned { events: events(store, retention.events, 2 * ROWS_MAX)?, ..Pruned::default() };
    let has_more = messages(store, retention, &mut pruned)?;
    let mut here = match &retention.from {
        Some(object) => Some(object.clone()),
        None => {
            cursors(store, retention)?;
            next(store, "")?
        }
    };
    for _ in 0..OBJECTS_MAX {
        let Some(object) = here else { break };
        let rows = of_object(store, retention, &object, &mut pruned)?;
        if rows >= ROWS_MAX {
            // It has more: the next slice begins with it again.
            here = Some(object);
            break;
        }
        here = next(store, object.as_str())?.or_else(|| has_more.then_some(object));
        if pruned.runs.len() >= ROWS_MAX {
            break;
        }
    }
    pruned.next = here;
    Ok(pruned)
}

/// Removes messages of all queues; true when there may be more.
fn messages(store: &Sqlite, retention: &Retention, pruned: &mut Pruned) -> rusqlite::Result<bool> {
    let Retention { now, messages: over, dead, .. } = retention;
    // An answer to a replay needs the first.
    let replayed = before(*now, REPLAY);
    let mut has_more = false;
    for (state, keep, latest) in [
        (MessageState::Ok, over, replayed),
        (MessageState::Cancelled, over, replayed),
        (MessageState::Dead, dead, i64::MAX),
    ] {
        let old = before(*now, keep.age).min(latest);
        let mut gone = store.execute(statements::PRUNE_MESSAGES, params![state.word(), old, nanos(ROWS_MAX as u64)])?;
        let mut statement = store.connection.prepare_cached(statements::COUNT_MESSAGES)?;
        let count: i64 = statement.query_row(params![state.word()], |row| row.get(0))?;
        let excess = count.saturating_sub(i64::from(keep.count)).min(nanos(ROWS_MAX as u64));
        if excess > 0 {
            gone += store.execute(statements::PRUNE_MESSAGES, params![state.word(), latest, excess])?;
        }
        has_more |= gone >= ROWS_MAX;
        match state.word() {
            "dead" => pruned.dead = gone as u64,
            _ => pruned.messages += gone as u64,
        }
    }
    Ok(has_more)
}

/// Removes how far schedules were that are gone for long.
fn cursors(store: &Sqlite, retention: &Retention) -> rusqlite::Result<()> {
    let Some(present) = &retention.present else { return Ok(()) };
    let since = before(retention.now, retention.runs.age);
    let mut statement = store.connection.prepare_cached(statements::OLD_CURSORS)?;
    let old = statement.query_map(params![since], |row| row.get::<_, String>(0))?;
    for name in old.collect::<rusqlite::Result<Vec<String>>>()? {
        if !name.parse().is_ok_and(|object| present.contains(&object)) {
            store.execute(statements::PRUNE_CURSOR, params![name, since])?;
        }
    }
    Ok(())
}

fn next(store: &Sqlite, after: &str) -> rusqlite::Result<Option<ObjectRef>> {
    let mut statement = store.connection.prepare_cached(statements::NEXT_OBJECT)?;
    let name: Option<String> = statement.query_row(params![after], |row| row.get(0))?;
    let parsed = name.map(|name| name.parse());
    parsed.transpose().map_err(|error| odd("object", error))
}

/// The most rows of one table that went.
fn of_object(
    store: &Sqlite,
    retention: &Retention,
    object: &ObjectRef,
    pruned: &mut Pruned,
) -> rusqlite::Result<usize> {
    let is_present = retention.present.as_ref().is_none_or(|present| present.contains(object));
    let kept = u32::from(is_present);
    let limit = nanos(ROWS_MAX as u64);
    let Keep { count, age } = retention.ticks;
    let since = before(retention.now, age);
    let ticks = store.execute(statements::PRUNE_TICKS, params![object.as_str(), count, since, kept, limit])?;
    pruned.ticks = pruned.ticks.saturating_add(ticks as u64);
    let Keep { count, age } = retention.overrides.get(object).copied().unwrap_or(retention.runs);
    let since = before(retention.now, age);
    let (created, cause) = first_excess(store, object, count)?;
    let old = causes(store, statements::OLD_RUNS, params![object.as_str(), created, cause, since, kept, limit])?;
    remove(store, object, &old, pruned)?;
    // The steps of those that went, and then the steps of these.
    let steps = causes(store, statements::ORPHANS, params![object.as_str(), limit])?;
    remove(store, object, &steps, pruned)?;
    // Steps have steps: while any went, there may be others.
    let has_steps = !steps.is_empty();
    Ok(if has_steps { ROWS_MAX } else { ticks.max(old.len()) })
}

/// The newest run of those that are more than `count`; nothing is as old as that when there are not so many.
fn first_excess(store: &Sqlite, object: &ObjectRef, count: u32) -> rusqlite::Result<(i64, String)> {
    let mut statement = store.connection.prepare_cached(statements::FIRST_EXCESS)?;
    let found =
        statement.query_row(params![object.as_str(), count], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.unwrap_or((i64::MIN, String::new())))
}

fn causes(store: &Sqlite, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<Cause>> {
    let mut statement = store.connection.prepare_cached(sql)?;
    let names = statement.query_map(values, |row| row.get::<_, String>(0))?;
    names.map(|name| name?.parse().map_err(|error| odd("cause", error))).collect()
}

/// Attempts go with their run.
fn remove(store: &Sqlite, object: &ObjectRef, causes: &[Cause], pruned: &mut Pruned) -> rusqlite::Result<()> {
    for cause in causes {
        store.execute(statements::DELETE_RUN, params![object.as_str(), cause.to_string()])?;
        pruned.runs.push((object.clone(), cause.clone()));
    }
    Ok(())
}

/// Removes events until `kept` are left, `limit` of them at most.
pub(super) fn events(store: &Sqlite, kept: u32, limit: usize) -> rusqlite::Result<u64> {
    let last: i64 = store.connection.prepare_cached(statements::LAST_EVENT)?.query_row([], |row| row.get(0))?;
    // One stays, or its number would be given again.
    let upto = last.saturating_sub(i64::from(kept.max(1)));
    let count = store.execute(statements::PRUNE_EVENTS, params![upto, nanos(limit as u64)])?;
    Ok(count as u64)
}

fn before(now: Timestamp, age: Duration) -> i64 {
    millis(now).saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Gives free pages back to the disk, and cuts the log when no reader is in the way. Whatever fails here is tried again
/// after the next slice.
pub(super) fn shrink(connection: &Connection) {
    // Readers are not waited for: their turn is short, and so is ours.
    _ = connection.busy_timeout(Duration::ZERO);
    _ = walk(connection, &format!("pragma incremental_vacuum({PAGES_MAX})"));
    _ = walk(connection, "pragma wal_checkpoint(truncate)");
    _ = connection.busy_timeout(BUSY_MAX);
}

/// Runs a statement to its end: one step of the first of them gives back one page.
fn walk(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
