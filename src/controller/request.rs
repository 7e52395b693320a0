//! What other processes ask of the loop.
//!
//! In: questions, each with where its answer goes. Out: nothing; it is data. Not here: the socket they come by (`rpc`).
//! The surprise: only what needs the memory of the loop comes here. What can be read from files or the store is answered
//! without it.

use serde_json::Value;
use tokio::sync::oneshot;

use super::queues::PostWish;
use super::runs::Wish;

/// One request, with where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes; a refusal has the shape `{error, errors_by_field, suggestions}`.
    pub answer: oneshot::Sender<Result<Value, Value>>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Are you there?
    Ping,
    /// What is your state?
    Status,
    /// What do your probes say?
    Health,
    /// What are instances made for?
    Items,
    /// What do Triggers watch?
    Triggers,
    /// Begin, end or retry a run.
    Run {
        /// What is wished.
        wish: Wish,
        /// Who wishes it.
        by: String,
    },
    /// Take a message in, or end, retry or forget one.
    Post {
        /// What is wished.
        wish: PostWish,
        /// Who wishes it.
        by: String,
    },
    /// Read the desired state and the folders again.
    Reload,
    /// End; with `all`, stop everything first.
    Stop {
        /// Stop every service first.
        all: bool,
    },
}
