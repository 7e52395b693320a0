//! Adoption and items on a real machine: look-alikes of every sort, races, and files that come and go.
//!
//! In: nothing. Out: pass or fail. Not here: what the engine decides from given facts (`table`).
//! The surprise: most of what looks like the process is somebody else, so most of these tests end with one of ours.

#[path = "adopt/items.rs"]
mod items;
#[path = "adopt/lookalikes.rs"]
mod lookalikes;
#[allow(dead_code, reason = "shared with the host tests")]
#[path = "host/processes.rs"]
mod processes;
#[path = "adopt/strangers.rs"]
mod strangers;
#[path = "adopt/twins.rs"]
mod twins;
#[allow(dead_code, reason = "shared with the host tests")]
#[path = "host/world.rs"]
mod world;
