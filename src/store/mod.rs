//! The durable facts: runs, their attempts, due times, cursors of schedules, events. What a process table cannot hold.
//!
//! In: facts to be written, as [`Write`]. Out: an answer once the disk has them, and [`Books`] to read from.
//! Not here: what is running. That is asked of the process table and the records of attempts, never of a row.
//!
//! The surprise: one thread owns the only connection that writes and puts all that waits into one transaction, so a
//! burst of a thousand facts costs a few commits; readers never wait for it, and need no controller.

mod columns;
mod prune;
pub mod reader;
pub mod rows;
pub mod schema;
pub mod sqlite;
mod statements;
pub mod trouble;
pub mod write;
pub mod writer;

use std::time::Duration;

pub use reader::Reader;
pub use rows::{AttemptRow, CursorRow, EndRow, EventRow, ExitRow, OriginRow, RunRow, TickRow};
pub use sqlite::Sqlite;
pub use trouble::Trouble;
pub use write::{Answer, Finish, Keep, Pruned, Reply, ResultSource, Retention, Write};
pub use writer::{Counts, Writer};

use crate::engine::{Cause, ObjectRef, Timestamp};

/// The longest result that is kept, in bytes; the rest is cut.
pub const RESULT_MAX: usize = 64 << 10;
/// The longest reason, exit or text of an event that is kept, in bytes; the rest is cut.
pub const TEXT_MAX: usize = 4 << 10;
/// The longest JSON beside an event, in bytes; a longer one is left out.
pub const DATA_MAX: usize = 64 << 10;
/// The longest parameters of a run, in bytes; longer ones are refused.
pub const PARAMS_MAX: usize = 256 << 10;
/// How many events are kept unless somebody says otherwise.
pub const EVENTS_MAX: u32 = 10_000;
/// How many requests may wait.
pub const QUEUE_MAX: usize = 8_192;
/// How many requests are written in one transaction at most.
pub const BATCH_MAX: usize = 1_000;
/// How long the writer waits for somebody else's transaction.
pub const BUSY_MAX: Duration = Duration::from_secs(5);
/// The most rows that are read at once unless a filter says less.
pub const ROWS_MAX: usize = 10_000;

/// What is written to: one engine of databases. SQLite here; the statements are those of a larger engine too.
pub trait Durable {
    /// Writes a batch in one transaction, each request whole or not at all, and answers each in its order.
    ///
    /// # Errors
    /// When nothing of the batch is known to be written.
    fn commit(&mut self, batch: Vec<Write>) -> Result<Vec<Result<Reply, Trouble>>, Trouble>;
}

/// What is read. Every list has a bound; the open runs and cursors are as many as the engine keeps.
pub trait Books {
    /// All runs that are not over, steps included, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn open_runs(&self) -> Result<Vec<RunRow>, Trouble>;

    /// How far all schedules have got.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn cursors(&self) -> Result<Vec<CursorRow>, Trouble>;

    /// The last run that is over of each object and origin, steps not counted: a Job's last generation is among them
    /// although a person ran it since.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn last_finals(&self) -> Result<Vec<RunRow>, Trouble>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, Trouble>;

    /// One run or step.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn run(&self, object: &ObjectRef, cause: &Cause) -> Result<Option<RunRow>, Trouble>;

    /// The steps of a run, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn steps(&self, object: &ObjectRef, parent: &Cause) -> Result<Vec<RunRow>, Trouble>;

    /// The attempts of a run or step, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn attempts(&self, object: &ObjectRef, cause: &Cause) -> Result<Vec<AttemptRow>, Trouble>;

    /// Due times, latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn ticks(&self, filter: &TickFilter) -> Result<Vec<TickRow>, Trouble>;

    /// Events with their numbers, in order: those after `since`, or the last ones.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn events(&self, filter: &EventFilter) -> Result<Vec<(i64, EventRow)>, Trouble>;
}

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this object.
    pub object: Option<ObjectRef>,
    /// In one of these states: `open`, or the word of an outcome. Empty for all.
    pub states: Vec<String>,
    /// Made at or after this.
    pub since: Option<Timestamp>,
    /// Steps of workflows too.
    pub with_steps: bool,
    /// So many at most; [`ROWS_MAX`] when none is given.
    pub limit: Option<usize>,
}

/// Which due times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickFilter {
    /// Of this object.
    pub object: Option<ObjectRef>,
    /// In one of these states. Empty for all.
    pub states: Vec<String>,
    /// Due at or after this.
    pub since: Option<Timestamp>,
    /// So many at most; [`ROWS_MAX`] when none is given.
    pub limit: Option<usize>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// About this, or what lies below it: `service` and `service/web` both have `service/web/0`.
    pub subject: Option<String>,
    /// Of a type that matches this, where `*` stands for any text and `?` for one letter.
    pub kind: Option<String>,
    /// With a greater number than this.
    pub since: Option<i64>,
    /// So many at most; [`ROWS_MAX`] when none is given.
    pub limit: Option<usize>,
}
