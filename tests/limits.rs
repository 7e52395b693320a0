//! Limits, users, environments and secrets, with a real controller and real services.
//!
//! In: nothing. Out: pass or fail. Not here: what a shim does by itself (`shim`), how texts are read (unit tests).
//! The surprise: what only root or a machine of another sort can do is skipped with a word, and the rest is tested.

#[path = "limits/groups.rs"]
mod groups;
#[path = "limits/identity.rs"]
mod identity;
#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod processes;
#[path = "limits/references.rs"]
mod references;
#[path = "limits/secrets.rs"]
mod secrets;
#[path = "limits/words.rs"]
mod words;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod world;
