//! What processes use of the machine at one moment.
//!
//! In: pids. Out: processor time and memory. Not here: whose they are, and shares over time.
//! The surprise: time that ended children used is counted with the parent that reaped them, so the sum over a tree
//! never falls while its processes come and go.

use std::time::Duration;

use super::proc;

/// What one process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time it has used since it started.
    pub cpu: Duration,
    /// The same of the children it has reaped.
    pub cpu_reaped: Duration,
    /// Memory that is resident, in bytes. What processes share is counted with each of them.
    pub rss: u64,
    /// The same with what is shared divided among those who share it; none where that is not to be had.
    pub pss: Option<u64>,
}

/// What this process uses; nothing when it has gone or may not be looked at.
#[must_use]
pub fn of(pid: u32) -> Option<Usage> {
    if cfg!(target_os = "linux") { proc::usage(pid) } else { super::portable::usage(pid) }
}
