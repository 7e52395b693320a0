//! Hostile surroundings, with the real binary and real processes: full disks, reused pids, broken files, rude clients.
//!
//! Each test has a world of its own, and ends whatever runs there. What a machine does not allow, such as mounting, is
//! printed as `skipped: …` and passes.

#[path = "hostile/clients.rs"]
mod clients;
#[path = "hostile/copies.rs"]
mod copies;
#[path = "hostile/damage.rs"]
mod damage;
#[path = "hostile/disk.rs"]
mod disk;
#[path = "hostile/homes.rs"]
mod homes;
#[path = "hostile/machine.rs"]
mod machine;
#[path = "hostile/many.rs"]
mod many;
#[path = "hostile/mounts.rs"]
mod mounts;
#[path = "hostile/namespaces.rs"]
mod namespaces;
#[path = "hostile/payloads.rs"]
mod payloads;
#[path = "hostile/pids.rs"]
mod pids;
#[path = "hostile/processes.rs"]
mod processes;
#[path = "hostile/streams.rs"]
mod streams;
#[path = "hostile/world.rs"]
mod world;
