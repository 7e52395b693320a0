//! What can be asked of the writer, and what it answers.
//!
//! In: nothing. Out: values. Not here: the statements. Each request is one fact: all of it is written, or none.
//!
//! The surprise: every request may be asked again. A name is unique, so what was written already is answered with
//! [`Reply::Already`] and the row that stands, and a controller that died between writing and hearing loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::rows::{
    AttemptRow, CursorRow, EventRow, ExitRow, Given, MessageRow, MessageState, QueueRow, RunRow, TickRow,
};
use super::trouble::Trouble;
use crate::engine::{Cause, ObjectRef, Timestamp};

/// One fact to be written.
#[derive(Debug)]
pub enum Write {
    /// Nothing new; opens the store and writes to it, to hear whether that can be done.
    Open,
    /// Nothing; only looks whether the file is still the one that is in use.
    Look,
    /// A schedule begins, or another takes its place.
    Register(CursorRow),
    /// Due times without a run. One that was decided already stands, unless it was Deferred or Held.
    Note {
        /// The due times.
        ticks: Vec<TickRow>,
        /// Where the schedule is now.
        cursor: Option<CursorRow>,
    },
    /// A run arises: its due time, its row and the cursor together. When the due time was decided or the run is there,
    /// only the cursor moves.
    Fire {
        /// The due time it answers.
        tick: Option<TickRow>,
        /// Due times before it that have no run.
        passed: Vec<TickRow>,
        /// The run; it is open.
        run: Box<RunRow>,
        /// Where the schedule is now.
        cursor: Option<CursorRow>,
    },
    /// An attempt began or ended.
    Attempt(AttemptRow),
    /// A run is over. The first end stands, until a person reopens it.
    Finish(Box<Finish>),
    /// A person wants a run to end. The first who asked stands.
    Cancel {
        /// Which object.
        object: ObjectRef,
        /// Which run.
        cause: Cause,
        /// Who asks.
        by: Arc<str>,
    },
    /// A person wants a run that is over to be tried again: it is open once more, and attempts so far are forgiven. The
    /// same holds for its steps that did not end `ok`. The answer is [`Reply::Reopened`].
    Reopen {
        /// Which object.
        object: ObjectRef,
        /// Which run.
        cause: Cause,
        /// Who asks.
        by: Arc<str>,
        /// When: it is due anew from then on, and its timeout counts from there.
        at: Timestamp,
    },
    /// Things that happened. They are for people: in trouble they are dropped and counted.
    Events {
        /// What happened, oldest first.
        events: Vec<EventRow>,
        /// So many are kept in all; the oldest go.
        kept: u32,
    },
    /// A message arrives. The answer is [`Reply::Enqueued`]; one too many is refused.
    Enqueue(Box<Enqueue>),
    /// Messages are to be worked on now. The answer is [`Reply::Claimed`]. Asked again, it claims others: whoever does
    /// not hear the answer finds the first ones among [`claimed_messages`](super::Books::claimed_messages).
    Claim(Box<Claim>),
    /// A claimed message has to be tried again, later; its run stays open.
    Return(Box<Return>),
    /// Somebody does not want a message any more. One that is not claimed is over at once; one that is, or was over
    /// before, stays as it is.
    Withdraw {
        /// Whose queue.
        object: ObjectRef,
        /// Which message.
        id: Arc<str>,
        /// Who asks.
        by: Arc<str>,
        /// When.
        at: Timestamp,
    },
    /// A person has looked at a dead letter.
    Dead(DeadLetter),
    /// One slice of what is too old or too much is removed.
    Prune(Box<Retention>),
}

/// A message, and what its queue may hold.
#[derive(Debug)]
pub struct Enqueue {
    /// The message. Where it stands in its life (`seq`, `state`, `fence`, `tries` and what follows a claim) is not looked
    /// at: it has no life yet.
    pub message: MessageRow,
    /// What the queue holds at most, this one included.
    pub limits: QueueLimits,
    /// So many came within this time at most, this one included, over or not; a day is remembered.
    pub recent: Option<(u32, Duration)>,
}

/// What a queue holds at most, of messages that are not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// So many.
    pub messages: u64,
    /// So many bytes of payloads and parameters.
    pub bytes: u64,
}

/// Messages are to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of which object.
    pub object: ObjectRef,
    /// The uid of that object, for their runs.
    pub uid: Arc<str>,
    /// So many at most.
    pub count: u32,
    /// Which of them are due, and how far their priorities have risen.
    pub now: Timestamp,
}

/// What a claim gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The messages, the first one first. Each has an open run of its name.
    pub messages: Vec<MessageRow>,
    /// The steps that those runs have from earlier tries: those that ended `ok` stand, the others are open.
    pub steps: Vec<RunRow>,
    /// The queue afterwards.
    pub queue: QueueRow,
}

/// A claimed message has to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Whose queue.
    pub object: ObjectRef,
    /// Its run.
    pub cause: Cause,
    /// Which message.
    pub id: Arc<str>,
    /// Of which claim: only the last one counts.
    pub fence: i64,
    /// Not before this.
    pub due: Timestamp,
    /// How often it was tried, as far as that counts.
    pub tries: u32,
    /// The number of its last process.
    pub attempts: u32,
    /// Why, in words.
    pub reason: Arc<str>,
    /// When its first process began; none leaves what stands.
    pub started: Option<Timestamp>,
    /// How its last process ended.
    pub exit: Option<ExitRow>,
    /// Its attempts, as far as they are not written yet.
    pub tries_rows: Vec<AttemptRow>,
}

/// The end of a message, with that of its run.
#[derive(Debug)]
pub struct MessageEnd {
    /// Which message.
    pub id: Arc<str>,
    /// Of which claim: only the last one counts.
    pub fence: i64,
    /// [`Ok`](MessageState::Ok), [`Dead`](MessageState::Dead) or [`Cancelled`](MessageState::Cancelled); another is refused.
    pub state: MessageState,
    /// How often it was tried, as far as that counts.
    pub tries: u32,
    /// What its sender is told.
    pub reply: Option<Arc<str>>,
    /// What its last process said; the end of it is kept.
    pub log_tail: ResultSource,
}

/// What a person wants with a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose queue.
    pub object: ObjectRef,
    /// Which message.
    pub id: Arc<str>,
    /// What.
    pub wish: DeadWish,
    /// Who asks.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// What can be done with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadWish {
    /// It is tried again, as if it had never been tried; it keeps its place and the time it came.
    Retry,
    /// It is forgotten.
    Drop,
}

/// The end of a run.
#[derive(Debug)]
pub struct Finish {
    /// Which object.
    pub object: ObjectRef,
    /// Which run.
    pub cause: Cause,
    /// The engine's word for the end.
    pub outcome: Arc<str>,
    /// In words.
    pub reason: Option<Arc<str>>,
    /// When its first attempt began; none leaves what stands.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// The number of its last attempt.
    pub attempts: u32,
    /// How its last process ended.
    pub exit: Option<ExitRow>,
    /// What it gave.
    pub result: ResultSource,
    /// Its attempts, as far as they are not written yet.
    pub tries: Vec<AttemptRow>,
    /// The row to write when there is none: steps have none before their end. It need not have an end.
    pub otherwise: Option<Box<RunRow>>,
    /// The message that ends with it.
    pub message: Option<MessageEnd>,
}

/// Where the result of a run comes from.
pub enum ResultSource {
    /// It gave none.
    None,
    /// It is this.
    Text(Given),
    /// It has to be read first: on the writer's thread, before anything is locked, so that no log holds up the loop.
    Capture(Box<dyn FnOnce() -> Option<Given> + Send>),
}

impl fmt::Debug for ResultSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResultSource::None => "None",
            ResultSource::Text(_) => "Text(..)",
            ResultSource::Capture(_) => "Capture(..)",
        })
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is written.
    Done,
    /// It was so before; for a run, the row that stands.
    Already(Option<Box<RunRow>>),
    /// A run is open again.
    Reopened {
        /// Its row now.
        run: Box<RunRow>,
        /// Its steps: those that ended `ok` stand; the others are open again too, with the attempts that are forgiven.
        steps: Vec<RunRow>,
    },
    /// A message is in the queue.
    Enqueued {
        /// It; or the one that was there under this id or with this key.
        message: Box<MessageRow>,
        /// False when it was there.
        is_new: bool,
    },
    /// These messages are to be worked on.
    Claimed(Box<Claimed>),
    /// There is no such run or message.
    Unknown,
    /// This was removed.
    Pruned(Pruned),
}

/// How much of the past is kept of one kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many at most.
    pub count: u32,
    /// So long at most.
    pub age: Duration,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// What age is counted from.
    pub now: Timestamp,
    /// Where this slice begins: [`Pruned::next`] of the one before; none for the first.
    pub from: Option<ObjectRef>,
    /// The objects that exist; of each the last run of every origin is kept for ever. None when that is not known:
    /// then it is kept of all.
    pub present: Option<Arc<BTreeSet<ObjectRef>>>,
    /// Events, in all.
    pub events: u32,
    /// Due times of each object.
    pub ticks: Keep,
    /// Runs that are over of each object, steps not counted: they go with the run they belong to.
    pub runs: Keep,
    /// The same for objects that say it themselves.
    pub overrides: BTreeMap<ObjectRef, Keep>,
    /// Messages that ended `ok`, and those that were cancelled, of all queues; none goes within a day of its end.
    pub messages: Keep,
    /// Dead letters of all queues.
    pub dead: Keep,
}

impl Retention {
    /// The defaults: 10 000 events, 1 000 due times and 100 runs of each object, both for 90 days; messages that are over
    /// for a day, 10 000 dead letters for 14 days.
    #[must_use]
    pub fn of(now: Timestamp, present: Option<Arc<BTreeSet<ObjectRef>>>) -> Retention {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        let age = days(90);
        Retention {
            now,
            from: None,
            present,
            events: super::EVENTS_MAX,
            ticks: Keep { count: 1_000, age },
            runs: Keep { count: 100, age },
            overrides: BTreeMap::new(),
            messages: Keep { count: u32::MAX, age: days(1) },
            dead: Keep { count: 10_000, age: days(14) },
        }
    }
}

/// What one slice of pruning removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs and steps: their records and logs may go too.
    pub runs: Vec<(ObjectRef, Cause)>,
    /// So many due times.
    pub ticks: u64,
    /// So many events.
    pub events: u64,
    /// So many messages that had ended `ok` or were cancelled.
    pub messages: u64,
    /// So many dead letters that nobody has looked at in time.
    pub dead: u64,
    /// There is more: ask again from here.
    pub next: Option<ObjectRef>,
}

/// Hears what became of a request, on the writer's thread; or at once, on the caller's, when it was never queued.
pub type Answer = Box<dyn FnOnce(Result<Reply, Trouble>) + Send>;
