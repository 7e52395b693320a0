//! What is remembered of work that ends: which runs are owed, how far each schedule has got, what has ended.
//!
//! In: rows of the store, as the controller holds them. Out: facts the engine decides by. Not here: the store itself.
//! The surprise: a fact that is being written is no fact yet. What it is about is left alone until the store has
//! answered, so that nothing is decided twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::engine::name::{Cause, ObjectRef};
use crate::engine::observed::Refused;
use crate::engine::queue::{Message, Queue};
use crate::engine::schedule::{Quiet, Schedule, Zone};
use crate::engine::time::{BootId, BootTime, Timestamp};

/// Everything that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Why nothing can be remembered, if so: nothing that has to be remembered is begun then.
    pub trouble: Option<Arc<str>>,
    /// What is remembered of each object.
    pub books: BTreeMap<ObjectRef, Book>,
    /// How many runs have processes at once, where nobody says otherwise.
    pub max_runs_default: u32,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { trouble: None, books: BTreeMap::new(), max_runs_default: 8 }
    }
}

/// What is remembered of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// How far its schedule has got.
    pub cursor: Option<Cursor>,
    /// Its due times, once they have been worked out; or why they cannot be.
    pub times: Option<Result<Arc<Times>, Arc<str>>>,
    /// The next due time after the cursor: worked out once, since ten thousand of them are looked at in each pass.
    pub next: Option<Next>,
    /// Runs that are not over, by cause.
    pub runs: BTreeMap<Cause, Run>,
    /// The last ends of its runs, by cause: all that a Job needs to know that it is done.
    pub last: BTreeMap<Cause, Final>,
    /// What the store says of its queue, for what takes messages.
    pub queue: Option<Queue>,
    /// A run of it has started since it was made, so one that runs once is spent.
    pub is_spent: bool,
    /// What is being written just now: causes of runs, and [`SCHEDULE`].
    pub writing: BTreeSet<Cause>,
    /// The last write came to nothing.
    pub refused: Option<Refused>,
}

/// The cause under which decisions about a schedule itself stand.
pub const SCHEDULE: &str = "schedule";

/// How far a schedule has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The uid of its object.
    pub uid: Arc<str>,
    /// What the due times follow from; another key is another schedule.
    pub key: Arc<str>,
    /// When it was first applied: no due time before that was ever owed, and `every` counts from here.
    pub since: Timestamp,
    /// Due times up to this one are settled.
    pub at: Timestamp,
    /// Both clocks when this was written, so that a step of one of them is noticed.
    pub set_wall: Timestamp,
    /// See `set_wall`.
    pub set_boot: BootTime,
    /// The boot of `set_boot`; also the boot for which `@reboot` is settled.
    pub boot_id: BootId,
}

/// The due times of an object, with everything they follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// See [`Cursor::key`].
    pub key: Arc<str>,
    /// The rule.
    pub schedule: Arc<Schedule>,
    /// The zone.
    pub zone: Zone,
    /// The share of the jitter: each start comes this much after its due time.
    pub offset: Duration,
    /// The share of a minute by which catching up is spread.
    pub spread: Duration,
    /// When it must not start.
    pub quiet: Vec<Arc<Quiet>>,
    /// The moment of a Job that has one.
    pub at: Option<Timestamp>,
}

/// The next due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Next {
    /// As the schedule says.
    pub nominal: Timestamp,
    /// With the jitter: when it starts.
    pub effective: Timestamp,
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The uid of its object when it was made.
    pub uid: Arc<str>,
    /// What it is for.
    pub origin: Origin,
    /// It does not start before this.
    pub due: Timestamp,
    /// When the row was made.
    pub created: Timestamp,
    /// It is one of those that are made up for one after another: none skips it, and none takes its place.
    pub catches_up: bool,
    /// Attempts that a person has forgiven by asking for another go.
    pub forgiven: u32,
    /// Who asked for its end.
    pub cancel: Option<Arc<str>>,
    /// Parameters that somebody gave.
    pub params: Arc<Json>,
    /// The steps that are over, of a workflow.
    pub steps: BTreeMap<Arc<str>, Step>,
    /// Steps that are to be done again because a person asked for another go, each with the attempts that this forgives.
    pub reopened: BTreeMap<Arc<str>, u32>,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A due time.
    Tick(Timestamp),
    /// A generation of the work of a Job.
    Generation(u64),
    /// Somebody asked.
    Person(Arc<str>),
    /// A message that was claimed.
    Message(Arc<Message>),
}

/// A step that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How.
    pub outcome: Outcome,
    /// What it gave, for later steps.
    pub output: Output,
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// All of it; null when it was skipped.
    Whole(Arc<Json>),
    /// More than is passed on.
    Cut {
        /// How long it was, in words.
        size: Arc<str>,
    },
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    /// The uid of its object then.
    pub uid: Arc<str>,
    /// How.
    pub outcome: Outcome,
    /// In words.
    pub reason: Arc<str>,
    /// When.
    pub ended: Timestamp,
    /// Attempts it took.
    pub attempts: u32,
}

/// How a run ended.
#[allow(missing_docs, reason = "the words are the documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    Failed,
    Timeout,
    Killed,
    Cancelled,
    Lost,
    Denied,
    Skipped,
    Unknown,
}

impl Outcome {
    /// All of them.
    pub const ALL: &[Outcome] = &[
        Outcome::Ok,
        Outcome::Failed,
        Outcome::Timeout,
        Outcome::Killed,
        Outcome::Cancelled,
        Outcome::Lost,
        Outcome::Denied,
        Outcome::Skipped,
        Outcome::Unknown,
    ];

    /// The word, in lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Timeout => "timeout",
            Outcome::Killed => "killed",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
            Outcome::Denied => "denied",
            Outcome::Skipped => "skipped",
            Outcome::Unknown => "unknown",
        }
    }

    /// The outcome of this word; one that a newer version wrote is unknown.
    #[must_use]
    pub fn of_word(word: &str) -> Outcome {
        Outcome::ALL.iter().copied().find(|outcome| outcome.word() == word).unwrap_or(Outcome::Unknown)
    }
}

/// What became of a due time.
#[allow(missing_docs, reason = "the words are the documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TickState {
    Fired,
    Skipped,
    Deferred,
    Missed,
    Held,
    ClockStep,
}

impl TickState {
    /// The word, as the store has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            TickState::Fired => "Fired",
            TickState::Skipped => "Skipped",
            TickState::Deferred => "Deferred",
            TickState::Missed => "Missed",
            TickState::Held => "Held",
            TickState::ClockStep => "ClockStep",
        }
    }
}
