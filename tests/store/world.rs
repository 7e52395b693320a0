//! A store of a test's own, and rows for it.

use std::path::PathBuf;
use std::sync::Arc;

use setpoint::engine::time::BootTime;
use setpoint::engine::{BootId, Cause, ObjectRef, Timestamp};
use setpoint::store::{
    AttemptRow, Claim, Claimed, CursorRow, Enqueue, EventRow, ExitRow, Finish, MessageEnd, MessageRow, MessageState,
    OriginRow, QueueLimits, Reader, Reply, ResultSource, Return, RunRow, TickRow, Trouble, Write, Writer,
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
        catches_up: false,
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
        message: None,
    }
}

/// A run without a due time.
pub fn fire(run: RunRow) -> Write {
    Write::Fire { tick: None, passed: Vec::new(), run: Box::new(run), cursor: None }
}

/// A due time with its run, and the cursor on it.
pub fn fire_tick(name: &str, nominal: u64) -> Write {
    let why = format!("t-{nominal}");
    let origin = OriginRow::Tick(at(nominal));
    let tick = TickRow { cause: Some(cause(&why)), ..tick(name, nominal, "Fired") };
    let run = Box::new(RunRow { origin, ..run(name, &why, nominal) });
    Write::Fire { tick: Some(tick), passed: Vec::new(), run, cursor: Some(cursor(name, nominal)) }
}

#[track_caller]
pub fn done(writer: &Writer, write: Write) {
    assert_eq!(writer.ask(write), Ok(Reply::Done));
}

pub const INBOX: &str = "mailbox/inbox";

/// A message that is due when it comes.
pub fn message(id: &str, enqueued: u64) -> MessageRow {
    MessageRow {
        object: object(INBOX),
        id: Arc::from(id),
        seq: 0,
        state: MessageState::Available,
        priority: 5,
        group: None,
        dedup: None,
        kind: Arc::from("order"),
        subject: Arc::from("an order"),
        sender: Arc::from("ann"),
        source: Arc::from("send"),
        payload: Arc::from(format!("payload of {id}").into_bytes()),
        params: None,
        enqueued: at(enqueued),
        due: at(enqueued),
        expires: None,
        tries: 0,
        base_attempts: 0,
        fence: 0,
        claimed: None,
        ended: None,
        outcome: None,
        reason: None,
        reply: None,
        log_tail: None,
    }
}

/// One of a group.
pub fn grouped(id: &str, group: &str, enqueued: u64) -> MessageRow {
    MessageRow { group: Some(Arc::from(group)), ..message(id, enqueued) }
}

pub const LIMITS: QueueLimits = QueueLimits { messages: 1_000_000, bytes: 1 << 30 };

pub fn enqueue(message: MessageRow) -> Write {
    Write::Enqueue(Box::new(Enqueue { message, limits: LIMITS, recent: None }))
}

/// Queues a message that is new.
#[track_caller]
pub fn queued(writer: &Writer, message: MessageRow) -> MessageRow {
    match writer.ask(enqueue(message)) {
        Ok(Reply::Enqueued { message, is_new: true }) => *message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn claim(writer: &Writer, count: u32, now: u64) -> Claimed {
    let claim = Claim { object: object(INBOX), uid: Arc::from("u-1"), count, now: at(now) };
    match writer.ask(Write::Claim(Box::new(claim))) {
        Ok(Reply::Claimed(claimed)) => *claimed,
        other => panic!("{other:?}"),
    }
}

pub fn ids(messages: &[MessageRow]) -> Vec<&str> {
    messages.iter().map(|message| &*message.id).collect()
}

/// The end of a claimed message and its run.
pub fn end(message: &MessageRow, state: MessageState, ended: u64) -> Finish {
    let outcome = if state == MessageState::Ok { "ok" } else { "failed" };
    let message = MessageEnd {
        id: message.id.clone(),
        fence: message.fence,
        state,
        tries: message.tries + 1,
        reply: None,
        log_tail: ResultSource::None,
    };
    let why = message.id.to_string();
    Finish { ended: at(ended), message: Some(message), ..finish(INBOX, &why, outcome) }
}

#[track_caller]
pub fn ended(writer: &Writer, message: &MessageRow, state: MessageState, at: u64) {
    done(writer, Write::Finish(Box::new(end(message, state, at))));
}

/// A claimed message comes back.
pub fn back(message: &MessageRow, due: u64, attempts: u32) -> Return {
    Return {
        object: message.object.clone(),
        cause: cause(&message.id),
        id: message.id.clone(),
        fence: message.fence,
        due: at(due),
        tries: message.tries + 1,
        attempts,
        reason: Arc::from("exit code 75"),
        started: Some(at(1)),
        exit: Some(ExitRow::Code(75)),
        tries_rows: vec![attempt(INBOX, &message.id, attempts)],
    }
}
