//! Work that arrives: messages that wait their turn, the rules that tell what each is for, and what their ends mean.
//!
//! In: a mailbox or trigger, what the store says of its queue, the messages it has claimed. Out: claims, the work of each
//! message, returns and ends. Not here: which message comes next, which the store tells by its indexes.
//! The surprise: a claimed message is a run like any other. Its attempts, stops and losses are decided where those of a
//! Job are; only a failure differs: it goes back into the queue, so that nothing waits in memory.

pub mod audit;
pub mod decide;
pub mod message;
pub mod sort;
pub mod source;

pub use message::{Message, Queue};
pub use sort::{Match, QueueRule, Sort, Sorting, Test, Then};
pub use source::{Changes, EventRule, Limit, Mailbox, Poll, Source, Trigger, WatchRule};

/// The cause under which decisions about a queue itself stand.
pub const QUEUE: &str = "queue";

/// The step of a message's run that asks the classifier.
pub const CLASSIFY: &str = "classify";
