//! The durable store: what is answered is on the disk, once, whatever happens to the writer, the disk or the file.
//!
//! In: requests to a real database in a temporary folder. Out: rows, and the words of what went wrong.
//! The surprise: the writer that is killed is this very test, executed again as a child.

#[path = "store/books.rs"]
mod books;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/files.rs"]
mod files;
#[path = "store/kill.rs"]
mod kill;
#[path = "store/messages.rs"]
mod messages;
#[path = "store/migrate.rs"]
mod migrate;
#[path = "store/order.rs"]
mod order;
#[path = "store/plans.rs"]
mod plans;
#[path = "store/portable.rs"]
mod portable;
#[path = "store/prune.rs"]
mod prune;
#[path = "store/world.rs"]
mod world;
#[path = "store/writes.rs"]
mod writes;
