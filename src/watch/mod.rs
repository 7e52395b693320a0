//! Files that are watched, and what has changed about them.
//!
//! In: rules of Triggers, hints of the system, when their runs are at work. Out: changes, in batches, each once.
//! Not here: what is done about them, and writing them down (`controller`).
//! The surprise: a hint is believed by nobody. It says which folder to list again; what has changed follows from two
//! listings, so a hint that is lost, late or doubled changes nothing.

pub mod gitignore;
pub mod globs;
pub mod marks;
pub mod own;
pub mod pending;
pub mod tree;
pub mod worker;

pub use pending::Change;
pub use worker::{Batch, News, Order, Wanted, Worker};
