//! Whether a process runs inside of something that we supervise.
//!
//! In: a process. Out: the instance it belongs to. Not here: what that forbids.
//! The surprise: it is told by ancestry, and never by what a process says of itself or has in its environment.

use crate::observe::proc::{ancestors, from};
use crate::observe::{ProcTable, Process, Table};
use crate::record::argv;

/// The shim this process runs under, if any: `service/web/0`.
#[must_use]
pub fn shim_above() -> Option<String> {
    shim_among(&ancestors())
}

/// The same for another process.
#[must_use]
pub fn shim_above_of(pid: u32) -> Option<String> {
    shim_among(&from(pid))
}

fn shim_among(processes: &[Process]) -> Option<String> {
    processes.iter().filter(|process| argv::is_comm(process.name.as_bytes())).find_map(|process| {
        let bytes = ProcTable.argv(process.pid)?;
        argv::parse(&bytes).map(|said| said.instance.to_owned())
    })
}

/// True when this process runs inside that instance of that home.
#[must_use]
pub fn is_below(home: &str, instance: &str) -> bool {
    ancestors().iter().filter(|process| argv::is_comm(process.name.as_bytes())).any(|process| {
        let bytes = ProcTable.argv(process.pid);
        let said = bytes.as_deref().and_then(argv::parse);
        said.is_some_and(|said| (said.home, said.instance) == (home, instance))
    })
}
