//! The local API, with a real controller and its real socket: every method, rubbish, crowds.
//!
//! Each test has a world of its own, and ends whatever runs there.

#[path = "rpc/client.rs"]
mod client;
#[path = "rpc/crowds.rs"]
mod crowds;
#[path = "rpc/listeners.rs"]
mod listeners;
#[path = "rpc/methods.rs"]
mod methods;
#[path = "hostile/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile surroundings")]
mod processes;
#[path = "rpc/rubbish.rs"]
mod rubbish;
#[path = "hostile/world.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile surroundings")]
mod world;
