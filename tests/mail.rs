//! Messages on a real machine: where they come from, what they set off, and what is left of them.
//!
//! In: nothing. Out: pass or fail. Not here: the queue itself (tests/store, tests/table, tests/sim).
//! The surprise: what was done is counted in a file that each message writes to itself, so that neither the store nor the
//! process table has to be believed.

#[path = "mail/cli.rs"]
mod cli;
#[path = "mail/folder.rs"]
mod folder;
#[path = "mail/poll.rs"]
mod poll;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod processes;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod world;
