//! The texts that pass between a shim and everybody else: files, the launch spec, the answer, argv and log lines.
//!
//! In: values, or bytes of unknown origin. Out: bytes, or values with every length checked.
//! Not here: what a record means for the next start (`engine`), and who may write one when (`shim`, `execute`).
//! The surprise: nothing here panics or trusts a length, since a record may be torn, damaged, or written by a newer
//! version; readers skip keys they do not know.

pub mod answer;
pub mod argv;
pub mod attempt;
pub mod bounds;
pub mod launch;
pub mod logline;
pub mod policy;
#[cfg(test)]
mod tests;
mod text;

pub use text::{Text, cut, words_of};

/// The lock file in the folder of an instance. Whoever holds an flock on it is the only one to start or to declare
/// lost; it is unlinked only while held.
pub const LOCK_FILE: &str = "lock";
