//! The product on a real machine: real controllers, real services, real kills, named by the story they tell.
//!
//! In: nothing. Out: pass or fail. Not here: every order of events, which the simulator tries by the thousand.
//! The surprise: moments of kills are drawn from seeds, but the kernel decides what they hit; a failure is a defect
//! all the same, and the panic tells the seed, the table of services and the end of the controller's log.

#[path = "host/applies.rs"]
mod applies;
#[path = "host/controllers.rs"]
mod controllers;
#[path = "host/crashes.rs"]
mod crashes;
#[path = "host/edits.rs"]
mod edits;
#[path = "host/forkserver.rs"]
mod forkserver;
#[path = "host/intents.rs"]
mod intents;
#[path = "host/kills.rs"]
mod kills;
#[path = "host/older.rs"]
mod older;
#[path = "host/processes.rs"]
mod processes;
#[path = "host/rolls.rs"]
mod rolls;
#[path = "host/storms.rs"]
mod storms;
#[path = "host/tables.rs"]
mod tables;
#[path = "host/tells.rs"]
mod tells;
#[path = "host/trees.rs"]
mod trees;
#[path = "host/upgrades.rs"]
mod upgrades;
#[path = "host/world.rs"]
mod world;
