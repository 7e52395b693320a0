//! Probes and heartbeats, with a real controller, real services and real sockets.
//!
//! In: nothing. Out: pass or fail. Not here: how answers are counted (unit tests), what a shim does by itself (`shim`).
//! The surprise: the other side of most network probes is this test, so that it can answer, refuse and hang at will.

#[path = "probes/beats.rs"]
mod beats;
#[path = "probes/hangs.rs"]
mod hangs;
#[path = "probes/live.rs"]
mod live;
#[path = "probes/peer.rs"]
mod peer;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod processes;
#[path = "probes/ready.rs"]
mod ready;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod world;
