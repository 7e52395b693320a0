//! A store of a test's own, and rows for it.

use std::path::PathBuf;
use std::sync::Arc;

use setpoint::engine::time::BootTime;
use setpoint::engine::{BootId, Cause, ObjectRef, Timestamp};
use setpoint::store::{
    AttemptRow, CursorRow, EventRow, Finish, OriginRow, Reader, Reply, ResultSource, RunRow, TickRow, Trouble, Write,
    Writer,
};

/// 2026-11-21T03:00:00Z, in seconds.
pub const NIGHT: u64 = 1_795_230_000;

pub struct World {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        World { folder, path }
    }

    pub fn writer(&self) -> Writer {
        Writer::start(&self.path).expect("a thread")
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.path).expect("a store")
    }

    /// A connection that goes past the store, as `sqlite3` does.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).expect("a database")
    }

    /// The error without the folder of this test.
    pub fn words(&self, trouble: &Trouble) -> String {
        trouble.to_string().replace(self.folder.path().to_str().expect("text"), "$T")
    }
}

pub fn object(text: &str) -> ObjectRef {
    text.parse().expect("an object")
}

pub fn cause(text: &str) -> Cause {
    text.parse().expect("a cause")
}

/// So many seconds after [`NIGHT`].
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos((NIGHT + seconds) * 1_000_000_000)
}

pub fn run(name: &str, why: &str, created: u64) -> RunRow {
    RunRow {
        object: object(name),
        uid: Arc::from("u-1"),
        cause: cause(why),
        parent: None,
        origin: OriginRow::Generation,
        due: at(created),
        created: at(created),
        started: None,
        attempts: 0,
        base_attempts: 0,
        cancel: None,
        reopened: None,
        params: None,
        generation: 1,
        end: None,
    }
}

pub fn step(name: &str, parent: &str, id: &str, created: u64) -> RunRow {
    let origin = OriginRow::Step;
    RunRow { parent: Some(cause(parent)), origin, ..run(name, &format!("{parent}.{id}"), created) }
}

pub fn tick(name: &str, nominal: u64, state: &str) -> TickRow {
    TickRow {
        object: object(name),
        uid: Arc::from("u-1"),
        nominal: at(nominal),
        to: None,
        count: 1,
        state: Arc::from(state),
        reason: None,
        at: at(nominal),
        cause: None,
    }
}

pub fn cursor(name: &str, to: u64) -> CursorRow {
    CursorRow {
        object: object(name),
        uid: Arc::from("u-1"),
        key: Arc::from("k-1"),
        since: at(0),
        at: at(to),
        set_wall: Timestamp::from_nanos(at(to).nanos() + 7),
        set_boot: BootTime::from_nanos(1_000_000_007),
        boot_id: BootId::new("b-1"),
    }
}

pub fn event(text: &str) -> EventRow {
    EventRow {
        time: at(0),
        kind: Arc::from("setpoint.test"),
        subject: Arc::from("cronjob/backup"),
        text: Arc::from(text),
        data: None,
    }
}

pub fn attempt(name: &str, why: &str, number: u32) -> AttemptRow {
    let (object, cause) = (object(name), cause(why));
    AttemptRow { object, cause, number, started: Some(at(1)), ended: None, exit: None }
}

pub fn finish(name: &str, why: &str, outcome: &str) -> Finish {
    Finish {
        object: object(name),
        cause: cause(why),
        outcome: Arc::from(outcome),
        reason: None,
        started: Some(at(1)),
        ended: at(2),
        attempts: 1,
        exit: None,
        result: ResultSource::None,
        tries: Vec::new(),
        otherwise: None,
    }
}

/// A run without a due time.
pub fn fire(run: RunRow) -> Write {
    Write::Fire { tick: None, run: Box::new(run), cursor: None }
}

/// A due time with its run, and the cursor on it.
pub fn fire_tick(name: &str, nominal: u64) -> Write {
    let why = format!("t-{nominal}");
    let origin = OriginRow::Tick(at(nominal));
    let tick = TickRow { cause: Some(cause(&why)), ..tick(name, nominal, "Fired") };
    let run = Box::new(RunRow { origin, ..run(name, &why, nominal) });
    Write::Fire { tick: Some(tick), run, cursor: Some(cursor(name, nominal)) }
}

#[track_caller]
pub fn done(writer: &Writer, write: Write) {
    assert_eq!(writer.ask(write), Ok(Reply::Done));
}
