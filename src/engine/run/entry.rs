//! What the engine asks the store to remember.
//!
//! In: nothing; these are the words it asks in. Out: values for `store`. Not here: writing them.
//! The surprise: what belongs together is one entry, so that a due time, its run and the place of the cursor are
//! remembered at once or not at all.

use std::sync::Arc;

use super::ledger::{Cursor, Origin, Outcome, TickState};
use crate::engine::backoff::Exit;
use crate::engine::name::Cause;
use crate::engine::queue::Message;
use crate::engine::time::Timestamp;

/// A run that is owed from now on. Everything in it is remembered at once, or nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The due time that it settles, if it is for one.
    pub tick: Option<Tick>,
    /// Due times before it that have no run, each with why.
    pub passed: Vec<Tick>,
    /// The run; its cause is that of the instance.
    pub run: Owed,
    /// The uid of its object.
    pub uid: Arc<str>,
    /// How far its schedule has got with this.
    pub cursor: Option<Cursor>,
}

/// A run to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// What it is for.
    pub origin: Origin,
    /// It does not start before this.
    pub due: Timestamp,
    /// See [`super::Run::catches_up`].
    pub catches_up: bool,
}

/// What became of due times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Each with why.
    pub ticks: Vec<Tick>,
    /// How far the schedule has got with this.
    pub cursor: Cursor,
}

/// A due time that is settled, or a gap of many. A gap that begins on a due time that was settled already, before the
/// clock was set back, begins right after that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// As the schedule says; the first of a gap.
    pub nominal: Timestamp,
    /// The last of a gap.
    pub to: Option<Timestamp>,
    /// How many; at [`super::ticks::COUNTED_MAX`] there may be more.
    pub count: u32,
    /// What became of it.
    pub state: TickState,
    /// Why.
    pub why: Arc<str>,
}

/// How a run, or a step of one, ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The run that it is a step of.
    pub step_of: Option<Cause>,
    /// How.
    pub outcome: Outcome,
    /// In words.
    pub why: Arc<str>,
    /// The number of its last attempt; 0 when there was none.
    pub attempts: u32,
    /// How that ended.
    pub exit: Option<Exit>,
    /// When that began.
    pub started: Option<Timestamp>,
    /// What it gave, where that is not in its output.
    pub output: Option<Arc<serde_json::Value>>,
    /// What becomes of the message that it was for.
    pub message: Option<MessageEnd>,
}

/// Messages to be taken out of a queue: the next ones, as the store has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The uid of the mailbox or trigger.
    pub uid: Arc<str>,
    /// So many at most.
    pub count: u32,
}

/// A message that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Which.
    pub message: Arc<Message>,
    /// Not before this.
    pub due: Timestamp,
    /// Attempts that count, the last included.
    pub tries: u32,
    /// The number of its last attempt.
    pub attempts: u32,
    /// How it failed, in words.
    pub why: Arc<str>,
    /// How its last process ended.
    pub exit: Option<Exit>,
    /// When that began.
    pub started: Option<Timestamp>,
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    /// Which.
    pub message: Arc<Message>,
    /// How.
    pub fate: MessageFate,
    /// Attempts that count.
    pub tries: u32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFate {
    /// It was acted on.
    Ok,
    /// It is a dead letter, kept for a person to look at.
    Dead,
    /// Somebody cancelled it.
    Cancelled,
}
