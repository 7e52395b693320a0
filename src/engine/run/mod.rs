//! Work that ends: when it arises, whether it may start now, and what its end means.
//!
//! In: the rules of an object, what the ledger remembers, what the process table and the records show. Out: decisions
//! about due times, runs and steps. Not here: the store behind the ledger, starting anything.
//! The surprise: the ledger never says what runs. It says which runs are owed; whether one is under way is read from
//! the process table, and how it ended from the record of its attempt.

mod arrears;
pub mod attempts;
pub mod audit;
mod backlog;
mod cost;
pub mod decide;
pub mod entry;
pub mod expression;
pub mod flow;
pub mod launch;
pub mod ledger;
pub(in crate::engine) mod left;
pub mod met;
pub mod names;
pub mod need;
pub mod order;
pub mod params;
pub mod pressure;
pub mod rule;
pub mod scope;
pub mod ticks;
pub(in crate::engine) mod turns;
pub mod used;

pub use ledger::{Book, Cursor, Final, Ledger, Next, Origin, Outcome, Output, Run, Step, TickState, Times};
pub use params::{ParamError, Params};
pub use rule::{
    Arises, At, Builtin, Capability, Condition, Flow, FlowStep, History, Missed, OnQuiet, Overlap, Part, QuietRule,
    Retry, Risk, RunRule, Settings, Target, TimesRule, Way, Work,
};
