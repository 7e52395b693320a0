//! Work that ends, on a real machine: real runs, a real store, real kills.
//!
//! In: nothing. Out: pass or fail. Not here: every order of events, which the simulator tries by the thousand.
//! The surprise: what was done is counted in a file that each run writes to itself, so that neither the store nor the
//! process table has to be believed.

#[path = "work/asks.rs"]
mod asks;
#[path = "work/data.rs"]
mod data;
#[path = "work/gates.rs"]
mod gates;
#[path = "work/kills.rs"]
mod kills;
#[path = "work/late.rs"]
mod late;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod processes;
#[path = "work/steps.rs"]
mod steps;
#[path = "work/stories.rs"]
mod stories;
#[path = "work/times.rs"]
mod times;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod world;
