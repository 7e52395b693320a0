//! Repeats the loop: look, decide, act, sleep until something happens.
//!
//! In: a home and its folders. Out: services that run as written. Not here: any decision about them (`engine`).
//! The surprise: there is no tick. It wakes for an exit, an answer, a changed file, a request or a time a plan named;
//! once a minute it looks at what may have changed unnoticed.

pub mod act;
mod again;
pub mod begin;
pub mod books;
pub mod core;
pub mod folders;
pub mod health;
pub mod items;
pub mod journal;
pub mod log;
pub mod look;
pub mod notify;
pub mod pressure;
pub mod queues;
pub mod remains;
pub mod remember;
pub mod report;
pub mod request;
pub mod requests;
pub mod resolve;
pub mod rows;
pub mod run;
pub mod runs;
pub mod schedules;
mod signals;
pub mod sources;
pub mod starts;
pub mod triggers;
pub mod twins;
pub mod upkeep;
pub mod wake;
pub mod watch;

pub use run::{Left, Options, RunError, run};
