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

use super::rows::{AttemptRow, CursorRow, EventRow, ExitRow, RunRow, TickRow};
use super::trouble::Trouble;
use crate::engine::{Cause, ObjectRef, Timestamp};

/// One fact to be written.
#[derive(Debug)]
pub enum Write {
    /// Nothing; only opens the store, to hear whether that can be done.
    Open,
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
    /// One slice of what is too old or too much is removed.
    Prune(Box<Retention>),
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
}

/// Where the result of a run comes from.
pub enum ResultSource {
    /// It gave none.
    None,
    /// It is this.
    Text(Arc<str>),
    /// It has to be read first: on the writer's thread, before anything is locked, so that no log holds up the loop.
    Capture(Box<dyn FnOnce() -> Option<String> + Send>),
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
    /// There is no such run.
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
    pub present: Option<BTreeSet<ObjectRef>>,
    /// Events, in all.
    pub events: u32,
    /// Due times of each object.
    pub ticks: Keep,
    /// Runs that are over of each object, steps not counted: they go with the run they belong to.
    pub runs: Keep,
    /// The same for objects that say it themselves.
    pub overrides: BTreeMap<ObjectRef, Keep>,
}

impl Retention {
    /// The defaults: 10 000 events, 1 000 due times and 100 runs of each object, both for 90 days.
    #[must_use]
    pub fn of(now: Timestamp, present: Option<BTreeSet<ObjectRef>>) -> Retention {
        let age = Duration::from_secs(90 * 86_400);
        Retention {
            now,
            from: None,
            present,
            events: super::EVENTS_MAX,
            ticks: Keep { count: 1_000, age },
            runs: Keep { count: 100, age },
            overrides: BTreeMap::new(),
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
    /// There is more: ask again from here.
    pub next: Option<ObjectRef>,
}

/// Hears what became of a request, on the writer's thread; or at once, on the caller's, when it was never queued.
pub type Answer = Box<dyn FnOnce(Result<Reply, Trouble>) + Send>;
