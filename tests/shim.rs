//! Shims with real payloads: started as a controller starts them, judged by records, logs and the process table.
//!
//! In: nothing. Out: pass or fail. Not here: a controller.
//! The surprise: nothing here sleeps for a fixed time, except to show that nothing happens meanwhile.

#[path = "shim/bounds.rs"]
mod bounds;
#[path = "shim/cost.rs"]
mod cost;
#[path = "shim/data.rs"]
mod data;
#[path = "shim/logs.rs"]
mod logs;
#[path = "shim/starts.rs"]
mod starts;
#[path = "shim/stops.rs"]
mod stops;
#[path = "shim/support.rs"]
mod support;
#[path = "shim/terminals.rs"]
mod terminals;
#[path = "shim/voices.rs"]
mod voices;
