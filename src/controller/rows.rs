//! Rows of the store and facts of the engine, each from the other.
//!
//! In: either. Out: the other. Not here: when a row is written or read. The surprise: there are two of each because the
//! engine never sees a store, and the store never sees a plan.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::engine::backoff::Exit;
use crate::engine::plan::{Finish, Tick};
use crate::engine::run::scope::output_of;
use crate::engine::run::{Book, Cursor, Final, Ledger, Origin, Outcome, Output, Run, Step};
use crate::engine::{Cause, InstanceId, Now, ObjectRef, Timestamp};
use crate::store::{CursorRow, EndRow, ExitRow, Given, OriginRow, RunRow, TickRow};

pub(super) fn tick_row(id: &InstanceId, uid: &Arc<str>, tick: &Tick, now: &Now, has_run: bool) -> TickRow {
    TickRow {
        object: id.object.clone(),
        uid: uid.clone(),
        nominal: tick.nominal,
        to: tick.to,
        count: u64::from(tick.count),
        state: tick.state.word().into(),
        reason: Some(tick.why.clone()),
        at: now.wall,
        cause: has_run.then(|| id.cause.clone()),
    }
}

pub(super) fn cursor_row(object: &ObjectRef, cursor: &Cursor) -> CursorRow {
    CursorRow {
        object: object.clone(),
        uid: cursor.uid.clone(),
        key: cursor.key.clone(),
        since: cursor.since,
        at: cursor.at,
        set_wall: cursor.set_wall,
        set_boot: cursor.set_boot,
        boot_id: cursor.boot_id.clone(),
    }
}

pub(super) fn cursor_of(row: CursorRow) -> Cursor {
    Cursor {
        uid: row.uid,
        key: row.key,
        since: row.since,
        at: row.at,
        set_wall: row.set_wall,
        set_boot: row.set_boot,
        boot_id: row.boot_id,
    }
}

pub(super) fn row_of(id: &InstanceId, run: &Run) -> RunRow {
    let (origin, generation) = match &run.origin {
        Origin::Tick(nominal) => (OriginRow::Tick(*nominal), 0),
        Origin::Generation(generation) => (OriginRow::Generation, *generation),
        Origin::Person(by) => (OriginRow::Person(by.clone()), 0),
        Origin::Message(_) => (OriginRow::Message, 0),
    };
    let has_params = run.params.as_object().is_some_and(|fields| !fields.is_empty());
    RunRow {
        object: id.object.clone(),
        uid: run.uid.clone(),
        cause: id.cause.clone(),
        parent: None,
        origin,
        due: run.due,
        created: run.created,
        catches_up: run.catches_up,
        started: None,
        attempts: 0,
        base_attempts: run.forgiven,
        cancel: run.cancel.clone(),
        reopened: None,
        params: has_params.then(|| run.params.to_string().into()),
        generation,
        end: None,
    }
}

pub(super) fn step_row(id: &InstanceId, parent: &Cause, uid: &Arc<str>, finish: &Finish, now: &Now) -> RunRow {
    let began = finish.started.unwrap_or(now.wall);
    RunRow {
        object: id.object.clone(),
        uid: uid.clone(),
        cause: id.cause.clone(),
        parent: Some(parent.clone()),
        origin: OriginRow::Step,
        due: began,
        created: began,
        catches_up: false,
        started: finish.started,
        attempts: finish.attempts,
        base_attempts: 0,
        cancel: None,
        reopened: None,
        params: None,
        generation: 0,
        end: None,
    }
}

/// How a process ended, where it did by itself.
pub(super) fn exit_row(exit: Option<&Exit>) -> Option<ExitRow> {
    match exit? {
        Exit::Code(code) => Some(ExitRow::Code(*code)),
        Exit::Signal(signal) => Some(ExitRow::Signal(*signal)),
        Exit::NotStarted(_) | Exit::Unhealthy(_) | Exit::Lost => None,
    }
}

pub(super) fn run_of(row: RunRow) -> Run {
    let origin = match row.origin {
        OriginRow::Tick(nominal) => Origin::Tick(nominal),
        OriginRow::Generation => Origin::Generation(row.generation),
        OriginRow::Person(by) => Origin::Person(by),
        OriginRow::Step => Origin::Person("a workflow".into()),
        // Its message comes with the claim; a run without one is ended.
        OriginRow::Message => Origin::Person("a message".into()),
    };
    let params = row.params.and_then(|text| serde_json::from_str(&text).ok());
    Run {
        uid: row.uid,
        origin,
        due: row.due,
        created: row.created,
        catches_up: row.catches_up,
        forgiven: row.base_attempts,
        cancel: row.cancel,
        params: Arc::new(params.unwrap_or_else(|| Json::Object(serde_json::Map::new()))),
        steps: BTreeMap::new(),
        reopened: BTreeMap::new(),
    }
}

pub(super) fn note_final(book: &mut Book, row: &RunRow) {
    let Some(EndRow { outcome, reason, ended, .. }) = &row.end else { return };
    let last = Final {
        uid: row.uid.clone(),
        outcome: Outcome::of_word(outcome),
        reason: reason.clone().unwrap_or_default(),
        ended: *ended,
        attempts: row.attempts,
    };
    book.last.insert(row.cause.clone(), last);
}

pub(super) fn note_step(ledger: &mut Ledger, object: &ObjectRef, parent: &Cause, row: &RunRow) {
    let run = ledger.books.get_mut(object).and_then(|book| book.runs.get_mut(parent));
    let step = row.cause.to_string().split('.').nth(1).map(Arc::<str>::from);
    let (Some(run), Some(step)) = (run, step) else { return };
    let Some(end) = &row.end else {
        // A person wants it done again.
        run.reopened.insert(step, row.base_attempts);
        return;
    };
    run.steps.insert(step, step_of(Outcome::of_word(&end.outcome), end.result.as_ref()));
}

/// A step that is over, with what it gave.
pub(super) fn step_of(outcome: Outcome, given: Option<&Given>) -> Step {
    let output = match given {
        Some(Given { size: Some(size), .. }) => Output::Cut { size: size.clone() },
        Some(Given { text, size: None }) => Output::Whole(Arc::new(output_of(text))),
        None if outcome == Outcome::Skipped => Output::Whole(Arc::new(Json::Null)),
        // It printed nothing, and that is a text, too.
        None => Output::Whole(Arc::new(output_of(""))),
    };
    Step { outcome, output }
}

/// The name of a run that somebody asks for now. Hundreds may be asked for within one second, and two of one name would be
/// one run.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn asked_cause(now: Timestamp) -> io::Result<Cause> {
    let compact: String = crate::engine::time::utc(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(Cause::Named(format!("run-{compact}-{}", crate::home::random_hex(4)?).into()))
}
