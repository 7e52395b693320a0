//! The rows of the store, as plain values.
//!
//! In: what the controller knows. Out: what it will know after its death. Not here: how a row is kept.
//! The surprise: a moment is kept in whole milliseconds, since that is what a person reads and a database compares; a
//! finer one is cut when it is written. Only the two clocks of a cursor, which are subtracted, keep their nanoseconds.

use std::sync::Arc;

use crate::engine::time::BootTime;
use crate::engine::{BootId, Cause, ObjectRef, Timestamp};

/// One execution of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The object it belongs to.
    pub object: ObjectRef,
    /// The uid of that object when the run was made.
    pub uid: Arc<str>,
    /// Names it; with the object it is unique for ever.
    pub cause: Cause,
    /// The run of the workflow that it is a step of.
    pub parent: Option<Cause>,
    /// What it is for.
    pub origin: OriginRow,
    /// It does not start before this.
    pub due: Timestamp,
    /// When the row was made.
    pub created: Timestamp,
    /// It is one of several due times that are made up for one after another.
    pub catches_up: bool,
    /// When its first attempt began, since it was made or reopened.
    pub started: Option<Timestamp>,
    /// The number of its last attempt.
    pub attempts: u32,
    /// Attempts before the last reopening, which a person has forgiven.
    pub base_attempts: u32,
    /// Who asked for its end.
    pub cancel: Option<Arc<str>>,
    /// Who had it reopened last.
    pub reopened: Option<Arc<str>>,
    /// Parameters that somebody gave: JSON, [`PARAMS_MAX`](super::PARAMS_MAX) bytes at most.
    pub params: Option<Arc<str>>,
    /// The generation of the object's work.
    pub generation: u64,
    /// How it ended; none while it is open.
    pub end: Option<EndRow>,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRow {
    /// A due time, as the schedule says it.
    Tick(Timestamp),
    /// A generation of the work of a Job.
    Generation,
    /// Somebody asked: who.
    Person(Arc<str>),
    /// A step of a workflow.
    Step,
    /// A message: the one whose id is the cause.
    Message,
}

impl OriginRow {
    /// The word, as the store has it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            OriginRow::Tick(_) => "tick",
            OriginRow::Generation => "generation",
            OriginRow::Person(_) => "person",
            OriginRow::Step => "step",
            OriginRow::Message => "message",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRow {
    /// The engine's word for it: `ok`, `failed`, `timeout`, …
    pub outcome: Arc<str>,
    /// In words; [`TEXT_MAX`](super::TEXT_MAX) bytes are kept.
    pub reason: Option<Arc<str>>,
    /// When.
    pub ended: Timestamp,
    /// How its last process ended, when there was one.
    pub exit: Option<ExitRow>,
    /// What it gave.
    pub result: Option<Given>,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The first [`RESULT_MAX`](super::RESULT_MAX) bytes.
    pub text: Arc<str>,
    /// How long it was, in words, when that is not all of it.
    pub size: Option<Arc<str>>,
}

impl Given {
    /// All of what it gave.
    #[must_use]
    pub fn whole(text: &str) -> Given {
        Given { text: text.into(), size: None }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitRow {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// One process that carried out a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Which object.
    pub object: ObjectRef,
    /// Which run of it.
    pub cause: Cause,
    /// Which attempt, from 1.
    pub number: u32,
    /// When it began; none when it was never executed.
    pub started: Option<Timestamp>,
    /// When it ended; none while it lives.
    pub ended: Option<Timestamp>,
    /// How it ended, in words: `exit 1`, `signal 9`, `timeout`; [`TEXT_MAX`](super::TEXT_MAX) bytes are kept.
    pub exit: Option<Arc<str>>,
}

/// What became of one due time, or of the due times of one gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickRow {
    /// Whose.
    pub object: ObjectRef,
    /// The uid of that object.
    pub uid: Arc<str>,
    /// The due time as the schedule says it; the first of a gap.
    pub nominal: Timestamp,
    /// The last of a gap.
    pub to: Option<Timestamp>,
    /// How many; 1 unless it is a gap.
    pub count: u64,
    /// The engine's word for it: `Fired`, `Skipped`, `Deferred`, `Missed`, `Held`, `ClockStep`.
    pub state: Arc<str>,
    /// In words; [`TEXT_MAX`](super::TEXT_MAX) bytes are kept.
    pub reason: Option<Arc<str>>,
    /// When this was decided.
    pub at: Timestamp,
    /// The run it gave rise to.
    pub cause: Option<Cause>,
}

/// How far a schedule has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// Whose.
    pub object: ObjectRef,
    /// The uid of that object.
    pub uid: Arc<str>,
    /// What the due times follow from; another key is another schedule.
    pub key: Arc<str>,
    /// When the schedule was first applied.
    pub since: Timestamp,
    /// Due times up to this one are settled.
    pub at: Timestamp,
    /// Wall time when this was set, to the nanosecond.
    pub set_wall: Timestamp,
    /// Boot time when this was set, to the nanosecond.
    pub set_boot: BootTime,
    /// The boot of `set_boot`.
    pub boot_id: BootId,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub time: Timestamp,
    /// What: `setpoint.cronjob.missed`.
    pub kind: Arc<str>,
    /// About which object or instance: `service/web/0`.
    pub subject: Arc<str>,
    /// In words; [`TEXT_MAX`](super::TEXT_MAX) bytes are kept.
    pub text: Arc<str>,
    /// More of it: JSON, [`DATA_MAX`](super::DATA_MAX) bytes at most.
    pub data: Option<Arc<str>>,
}

/// One message in the queue of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Whose queue.
    pub object: ObjectRef,
    /// Names it; unique in its queue while the row is there. The cause of its run, so it is written like one, without a
    /// dot: steps of runs have those.
    pub id: Arc<str>,
    /// Its place: a greater number came later.
    pub seq: i64,
    /// Where it is on its way.
    pub state: MessageState,
    /// From 0, the first, to 9.
    pub priority: u8,
    /// Those of one group are worked on one at a time, in the order in which they came.
    pub group: Option<Arc<str>>,
    /// One message with this key at most is not over.
    pub dedup: Option<Arc<str>>,
    /// What it is, in the words of its sender: the `type`.
    pub kind: Arc<str>,
    /// What it is about.
    pub subject: Arc<str>,
    /// Who sent it.
    pub sender: Arc<str>,
    /// The way it came.
    pub source: Arc<str>,
    /// What it carries: [`PAYLOAD_MAX`](super::PAYLOAD_MAX) bytes at most.
    pub payload: Arc<[u8]>,
    /// Parameters for its run: JSON, [`PARAMS_MAX`](super::PARAMS_MAX) bytes at most.
    pub params: Option<Arc<str>>,
    /// When it came; its priority rises with the time since.
    pub enqueued: Timestamp,
    /// It is not worked on before this.
    pub due: Timestamp,
    /// It is of no use after this. The store only keeps that; whoever claims it judges.
    pub expires: Option<Timestamp>,
    /// How often it was tried, as far as that counts.
    pub tries: u32,
    /// The number of the last process that an earlier try had.
    pub base_attempts: u32,
    /// How often it was claimed: what is written about an earlier claim changes nothing.
    pub fence: i64,
    /// When it was claimed last; none while it waits.
    pub claimed: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// The engine's word for its end.
    pub outcome: Option<Arc<str>>,
    /// Why it ended, or has to be tried again; [`TEXT_MAX`](super::TEXT_MAX) bytes are kept.
    pub reason: Option<Arc<str>>,
    /// What its sender is told: the first [`RESULT_MAX`](super::RESULT_MAX) bytes.
    pub reply: Option<Arc<str>>,
    /// The last [`TAIL_MAX`](super::TAIL_MAX) bytes of what its last process said.
    pub log_tail: Option<Arc<str>>,
}

/// Where a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageState {
    /// It waits for its time.
    Scheduled,
    /// It can be claimed.
    Available,
    /// An earlier one of its group is not over.
    Behind,
    /// It is worked on.
    Claimed,
    /// It is over, and well.
    Ok,
    /// It is over, and a person has to look at it.
    Dead,
    /// It is over, since somebody did not want it any more.
    Cancelled,
}

impl MessageState {
    /// All of them, in the order of a message's life.
    pub const ALL: [MessageState; 7] = [
        MessageState::Scheduled,
        MessageState::Available,
        MessageState::Behind,
        MessageState::Claimed,
        MessageState::Ok,
        MessageState::Dead,
        MessageState::Cancelled,
    ];

    /// The word, as the store has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            MessageState::Scheduled => "scheduled",
            MessageState::Available => "available",
            MessageState::Behind => "behind",
            MessageState::Claimed => "claimed",
            MessageState::Ok => "ok",
            MessageState::Dead => "dead",
            MessageState::Cancelled => "cancelled",
        }
    }

    /// The state of this word, if it is one.
    #[must_use]
    pub fn of_word(word: &str) -> Option<MessageState> {
        MessageState::ALL.into_iter().find(|state| state.word() == word)
    }

    /// True when nothing more comes of it by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            MessageState::Ok | MessageState::Dead | MessageState::Cancelled => true,
            MessageState::Scheduled | MessageState::Available | MessageState::Behind | MessageState::Claimed => false,
        }
    }
}

/// The queue of one object, without those that are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// Whose.
    pub object: ObjectRef,
    /// At least one can be claimed at once.
    pub has_available: bool,
    /// When the first of those that wait for their time can be claimed.
    pub next_due: Option<Timestamp>,
    /// How many there are, the claimed ones too.
    pub depth: u64,
    /// What their payloads and parameters have, in bytes.
    pub bytes: u64,
}
