//! The process table by way of `sysinfo`, for systems without `/proc`.
//!
//! In: the system's own interfaces. Out: a [`Listing`]. Not here: speed; it serves where [`super::ProcTable`] cannot.
//! The surprise: start times come in whole seconds, so an identity made here is coarser.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use sysinfo::{Pid, Process as SysProcess, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::table::{Listing, Process, ProcessState, Table};
use super::usage::Usage;
use crate::engine::Coverage;

/// Reads the process table by way of `sysinfo`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortableTable;

impl Table for PortableTable {
    fn list(&self, is_known: &dyn Fn(u32) -> bool) -> Listing {
        let Ok(mut system) = System::new() else { return Listing::failed("the process table cannot be opened") };
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, plain());
        let processes = system.processes().values().map(process).filter(|p| !is_known(p.pid));
        Listing { coverage: Coverage::Whole, processes: processes.map(|p| (p.pid, p)).collect() }
    }

    fn process(&self, pid: u32) -> Option<Process> {
        one(pid, plain(), process)
    }

    fn argv(&self, pid: u32) -> Option<Vec<u8>> {
        one(pid, plain().with_cmd(UpdateKind::Always), |p| joined(p.cmd()))
    }

    fn environ(&self, pid: u32) -> Option<Vec<u8>> {
        one(pid, plain().with_environ(UpdateKind::Always), |p| joined(p.environ()))
    }
}

/// What a process uses; what its ended children did is not to be had here.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    one(pid, plain().with_cpu().with_memory(), |process| Usage {
        cpu: Duration::from_millis(process.accumulated_cpu_time()),
        cpu_reaped: Duration::ZERO,
        rss: process.memory(),
        pss: None,
    })
}

fn plain() -> ProcessRefreshKind {
    ProcessRefreshKind::nothing().without_tasks()
}

fn one<T>(pid: u32, what: ProcessRefreshKind, read: impl Fn(&SysProcess) -> T) -> Option<T> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    system.process(pid).map(read)
}

fn joined(parts: &[OsString]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.as_bytes().iter().copied().chain([0])).collect()
}

fn process(process: &SysProcess) -> Process {
    let state = match process.status() {
        ProcessStatus::Zombie | ProcessStatus::Dead => ProcessState::Zombie,
        ProcessStatus::Stop | ProcessStatus::Tracing => ProcessState::Stopped,
        _ => ProcessState::Alive,
    };
    Process {
        pid: process.pid().as_u32(),
        parent: process.parent().map_or(0, Pid::as_u32),
        session: process.session_id().map_or(0, Pid::as_u32),
        started: process.start_time(),
        name: process.name().to_string_lossy().into(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_see_the_same_of_us() {
        let us = std::process::id();
        let busy = Duration::from_millis(100);
        let proc = loop {
            match super::super::proc::usage(us) {
                Some(used) if used.cpu < busy => {}
                Some(used) => break used,
                None => panic!("we are here"),
            }
        };
        let portable = usage(us).unwrap_or_default();
        assert!(portable.cpu >= busy, "{portable:?}");
        assert!(proc.cpu.abs_diff(portable.cpu) < Duration::from_secs(1), "{portable:?} {proc:?}");
        assert!(portable.rss > 1 << 20 && proc.rss.abs_diff(portable.rss) < 16 << 20, "{portable:?} {proc:?}");
        assert!(proc.pss.is_some_and(|pss| pss > 1 << 18 && pss <= proc.rss), "{proc:?}");
    }
}
