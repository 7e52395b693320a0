//! What passes between a controller and its fork server.
//!
//! In and out: one message per start, with two descriptors beside it: the launch spec, and where the answer goes.
//! Not here: sending (`execute`) and receiving (`shim`).
//! The surprise: there is no word to take an order back. Whoever gave it lets go of the answer, and a start that nobody waits
//! for is none.

use std::ffi::CStr;

use super::argv;

/// The verb that makes the program a fork server.
pub const VERB: &str = "forkserver";
/// Its comm, which is none of a shim.
pub const COMM: &CStr = c"setpoint-fork";
/// The message of an order; what it is about is beside it.
pub const ORDER: [u8; 1] = *b"s";
/// So many bytes of arguments a server has to be started with, at least: a shim says who it is in their place.
pub const ARGV_ROOM: usize = argv::LEN_MAX;
/// The variable that keeps room in the environment of a server for the markers of a shim.
pub const ROOM: &str = "SETPOINT_ROOM";

/// So many bytes of environment a server has to be started with, at least, for shims of a home with such a path.
#[must_use]
pub fn environment_room(home: &str) -> usize {
    home.len() + 1024
}
