//! Asks running processes whether they are ready and alive, and reminds them of what they are to do.
//!
//! In: targets, each one attempt with what to ask of it. Out: evidence, thresholds counted, whenever a verdict changes.
//! Not here: what follows from it (`engine`), and whom to ask (`controller`).
//! The surprise: all of it runs on a thread of its own and says nothing while nothing changes, so that a loop which
//! supervises sleeps through a hundred answers a second.

pub mod ask;
pub mod beat;
pub mod card;
pub mod file;
pub mod judge;
pub mod net;
pub mod pace;
pub mod prober;
pub mod typing;

pub use beat::{Beat, Tally};
pub use card::{Card, Side};
pub use prober::{Prober, Target, Watched};
