//! Turns objects into wants.
//!
//! In: an object of any kind. Out: what it wants of the machine now. Not here: the kinds themselves.
//! The surprise: the engine knows wants and never kinds, so a new kind is no change here.

use std::fmt;
use std::sync::Arc;

use super::backoff::BackoffRule;
use super::name::Cause;
use super::plan::{Launch, Policy};

/// What the engine must know about a kind, and no more.
pub trait Kind: fmt::Debug + Send + Sync {
    /// Adds what this object wants of the machine now. Causes come in ascending order, each once.
    fn expand<'a>(&'a self, wants: &mut Vec<Want<'a>>);

    /// The fields that name a process: the input of its revision, defaults omitted, keys sorted, as JSON.
    fn revision_input(&self) -> String;

    /// How to stop what runs for this object, once it is gone.
    fn policy(&self) -> Policy;
}

/// One demand of one object at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Names the instance, together with the object.
    pub cause: &'a Cause,
    /// What should be.
    pub up: &'a Up,
}

/// A process that should be up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// What to execute.
    pub launch: Arc<Launch>,
    /// How it is stopped and logged.
    pub policy: Policy,
    /// What its end is answered with.
    pub restart: Restart,
    /// How soon.
    pub backoff: BackoffRule,
}

/// What the end of a process is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// A new start, whatever the exit.
    #[default]
    Always,
    /// A new start unless it exited with 0.
    OnFailure,
    /// Nothing.
    Never,
}
