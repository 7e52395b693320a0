//! Triggers on a real machine: real files, a real controller, real runs.
//!
//! In: nothing. Out: pass or fail. Not here: what a manifest may say (`load`), what the queue does with a message.
//! The surprise: what was told is read from a file that each run writes to itself, and what should have been told is
//! known from what the test did, so neither the controller nor its store has to be believed.

#[path = "work/asks.rs"]
#[allow(dead_code, reason = "shared with the tests of work")]
mod asks;
#[path = "trigger/events.rs"]
mod events;
#[path = "trigger/files.rs"]
mod files;
#[path = "trigger/own.rs"]
mod own;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod processes;
#[path = "trigger/scene.rs"]
mod scene;
#[path = "trigger/shapes.rs"]
mod shapes;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod world;
