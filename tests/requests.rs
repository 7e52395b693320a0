//! Lifecycle requests on a real machine: who may ask, what comes of it, and controllers killed in between.
//!
//! Each test has a world of its own, and ends whatever runs there.

#[path = "requests/asked.rs"]
mod asked;
#[path = "requests/kills.rs"]
mod kills;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of the host")]
mod processes;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with the tests of the host")]
mod world;
