//! A process table, whoever provides it.
//!
//! In: nothing. Out: the processes there are, and what is known of each. Not here: which of them are ours.
//! The surprise: a zombie is listed and is dead all the same; a stopped process is alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Coverage;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// When it started, in the table's own unit: clock ticks since boot for [`super::ProcTable`].
    pub started: u64,
    /// Its short name, at most 15 bytes.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: ProcessState,
}

/// What a process is doing, as far as supervision cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// Running, or waiting for something.
    Alive,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Dead and not yet reaped.
    Zombie,
}

/// All processes that could be listed.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Whole, unless the listing itself failed or an entry of our own user could not be read.
    pub coverage: Coverage,
    /// By pid.
    pub processes: BTreeMap<u32, Process>,
}

impl Listing {
    /// A listing that failed.
    #[must_use]
    pub fn failed(why: &str) -> Listing {
        Listing { coverage: Coverage::Partial { why: why.into() }, processes: BTreeMap::new() }
    }

    /// The process of this number and start time, unless it is dead.
    #[must_use]
    pub fn alive(&self, pid: u32, started: u64) -> Option<&Process> {
        self.processes.get(&pid).filter(|p| p.started == started && p.state != ProcessState::Zombie)
    }
}

/// A way to read the process table.
pub trait Table {
    /// Lists the processes, those left out of which `is_known` says that nothing new can be learned.
    fn list(&self, is_known: &dyn Fn(u32) -> bool) -> Listing;

    /// The one process of this number; `None` when there is none or it cannot be read.
    fn process(&self, pid: u32) -> Option<Process>;

    /// Its argument list, NUL-joined.
    fn argv(&self, pid: u32) -> Option<Vec<u8>>;

    /// Its environment, NUL-joined; `None` when it may not be read.
    fn environ(&self, pid: u32) -> Option<Vec<u8>>;
}
