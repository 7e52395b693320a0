//! Looks at the machine: processes first, records after.
//!
//! In: the process table and the records of a home. Out: [`Observed`] and [`Backoff`], gaps included.
//! Not here: writing, signalling, deciding. The surprise: the order. A process that is listed and whose record then
//! shows an exit is ending; read the other way round, a process started in between would look like a stranger.
//!
//! [`Observed`]: crate::engine::Observed
//! [`Backoff`]: crate::engine::Backoff

pub mod clock;
pub mod items;
pub mod machine;
pub mod portable;
pub mod pressure;
pub mod proc;
pub mod readable;
pub mod records;
pub mod shims;
pub mod table;
pub mod tree;
pub mod twins;
pub mod usage;
pub mod zones;

pub use clock::Clock;
pub use proc::ProcTable;
pub use shims::{Look, look, look_at};
pub use table::{Listing, Process, Table};
pub use zones::Zones;
