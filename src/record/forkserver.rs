//! What passes between a controller and its fork server.
//!
//! In and out: one message per start, with two descriptors beside it: the launch spec, and where the answer goes.
//! Not here: sending (`execute`) and receiving (`shim`).
//! The surprise: a message says when it was sent, so that a server which was stopped for long starts nothing late.

use std::ffi::CStr;

use super::argv;

/// The verb that makes the program a fork server.
pub const VERB: &str = "forkserver";
/// Its comm, which is none of a shim.
pub const COMM: &CStr = c"setpoint-fork";
/// An order that is older, in nanoseconds since boot, is answered with "busy": whoever gave it has looked again since.
pub const AGE_MAX_NS: u64 = 60_000_000_000;
/// The length of a message in bytes.
pub const LEN: usize = 8;
/// So many bytes of arguments a server has to be started with, at least: a shim says who it is in their place.
pub const ARGV_ROOM: usize = argv::LEN_MAX;
/// The variable that keeps room in the environment of a server for the markers of a shim.
pub const ROOM: &str = "SETPOINT_ROOM";

/// So many bytes of environment a server has to be started with, at least, for shims of a home with such a path.
#[must_use]
pub fn environment_room(home: &str) -> usize {
    home.len() + 1024
}

/// The message of an order sent so many nanoseconds after boot.
#[must_use]
pub fn encode(sent_ns: u64) -> [u8; LEN] {
    sent_ns.to_le_bytes()
}

/// When the order was sent.
#[must_use]
pub fn parse(message: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*message.first_chunk()?))
}
