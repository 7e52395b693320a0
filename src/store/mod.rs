//! The durable facts: runs, their attempts, due times, cursors of schedules, messages, events. What a process table
//! cannot hold.
//!
//! In: facts to be written, as [`Write`]. Out: an answer once the disk has them, and [`Books`] to read from.
//! Not here: what is running. That is asked of the process table and the records of attempts, never of a row.
//!
//! The surprise: one thread owns the only connection that writes and puts all that waits into one transaction, so a
//! burst of a thousand facts costs a few commits; readers never wait for it, and need no controller.

mod columns;
mod enqueue;
mod groups;
mod messages;
mod prune;
pub mod reader;
pub mod rows;
pub mod schema;
pub mod sqlite;
mod statements;
pub mod trouble;
pub mod write;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use reader::Reader;
pub use rows::{
    AttemptRow, CursorRow, EndRow, EventRow, ExitRow, Given, MessageRow, MessageState, OriginRow, QueueRow, RunRow,
    TickRow,
};
pub use sqlite::Sqlite;
pub use trouble::Trouble;
pub use write::{
    Answer, Claim, Claimed, DeadLetter, DeadWish, Enqueue, Finish, Keep, MessageEnd, Pruned, QueueLimits, Reply,
    ResultSource, Retention, Return, Write,
};
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
/// The largest payload of a message, in bytes; a larger one is refused.
pub const PAYLOAD_MAX: usize = 256 << 10;
/// The longest end of a log that is kept with a message, in bytes; what comes before is cut.
pub const TAIL_MAX: usize = 16 << 10;
/// The longest id, group or key of a message, in bytes; a longer one is refused. The longest type or subject of an event;
/// the rest is cut.
pub const WORD_MAX: usize = 256;
/// The most messages that are claimed at once.
pub const CLAIM_MAX: u32 = 1_000;
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

    /// All messages that are worked on, by object and in the order in which they came.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn claimed_messages(&self) -> Result<Vec<MessageRow>, Trouble>;

    /// The queues in which something is not over.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn queues(&self) -> Result<Vec<QueueRow>, Trouble>;

    /// Messages, the last that came first; where only such are asked for that are over, the last that ended first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageRow>, Trouble>;

    /// One message.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn message(&self, object: &ObjectRef, id: &str) -> Result<Option<MessageRow>, Trouble>;

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

/// Which messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Of this object.
    pub object: Option<ObjectRef>,
    /// In one of these states. Empty for all.
    pub states: Vec<MessageState>,
    /// From this sender.
    pub sender: Option<Arc<str>>,
    /// Of this group.
    pub group: Option<Arc<str>>,
    /// That came at or after this.
    pub since: Option<Timestamp>,
    /// Without their payloads, which are empty then: a list of ten thousand has room in the memory.
    pub without_payload: bool,
    /// So many at most; [`ROWS_MAX`] when none is given.
    pub limit: Option<usize>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// About this, or what lies below it: `service` and `service/web` both have `service/web/0`.
    pub subject: Option<String>,
    /// Of a type that matches this or begins with it and a dot; `*` stands for any text and `?` for one letter.
    pub kind: Option<String>,
    /// That happened at or after this.
    pub from: Option<Timestamp>,
    /// With a greater number than this.
    pub since: Option<i64>,
    /// So many at most; [`ROWS_MAX`] when none is given.
    pub limit: Option<usize>,
}
