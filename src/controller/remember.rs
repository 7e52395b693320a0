//! Reads what the store remembers, as facts the engine decides by.
//!
//! In: a reader. Out: a ledger. Not here: due times ([`super::schedules`]), writing.
//! The surprise: verbs read the same when no controller runs, so what they show is what a controller would decide by.

use super::queues;
use super::rows::{cursor_of, note_final, note_step, run_of};
use super::schedules::renew;
use std::collections::BTreeMap;

use crate::engine::Cause;
use crate::engine::run::{Book, Ledger, Run};
use crate::store::reader::Reader;
use crate::store::{Books as _, OriginRow, Trouble};

/// Adds everything that is remembered to a ledger.
///
/// # Errors
/// When the store cannot be read.
pub fn read(reader: &Reader, ledger: &mut Ledger) -> Result<(), Trouble> {
    for row in reader.last_finals()? {
        note_final(ledger.books.entry(row.object.clone()).or_default(), &row);
    }
    for row in reader.cursors()? {
        let object = row.object.clone();
        ledger.books.entry(object).or_default().cursor = Some(cursor_of(row));
    }
    let mut claimed = BTreeMap::new();
    for message in reader.claimed_messages()? {
        if let Ok(cause) = message.id.parse::<Cause>() {
            claimed.insert((message.object.clone(), cause), message);
        }
    }
    for queue in reader.queues()? {
        ledger.books.entry(queue.object.clone()).or_default().queue = Some(queues::queue_of(&queue));
    }
    let mut open = Vec::new();
    for row in reader.open_runs()? {
        if let OriginRow::Step = row.origin {
            continue;
        }
        open.push((row.object.clone(), row.cause.clone()));
        let cause = row.cause.clone();
        let book = ledger.books.entry(row.object.clone()).or_default();
        let message = if row.origin == OriginRow::Message {
            claimed.remove(&(row.object.clone(), row.cause.clone()))
        } else {
            None
        };
        let run = match message {
            Some(message) => Run { cancel: row.cancel, ..queues::run_of(message, row.uid, row.due) },
            None => run_of(row),
        };
        book.runs.insert(cause, run);
    }
    for (object, cause) in open {
        for row in reader.steps(&object, &cause)? {
            note_step(ledger, &object, &cause, &row);
        }
    }
    for book in ledger.books.values_mut() {
        book.is_spent = is_spent(book);
        renew(book);
    }
    Ok(())
}

fn is_spent(book: &Book) -> bool {
    let since = book.cursor.as_ref().map(|cursor| (cursor.since, cursor.uid.clone()));
    since.is_some_and(|(since, uid)| {
        book.last
            .iter()
            .any(|(cause, last)| is_tick(cause) && last.attempts > 0 && last.ended >= since && last.uid == uid)
    })
}

fn is_tick(cause: &Cause) -> bool {
    matches!(cause, Cause::Named(text) if text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("boot-"))
}
