//! The process table as a test sees it, read without any code of the product.
//!
//! In: pids and the folder of a world. Out: who lives, under which marker, and signals to exactly those.
//! Not here: what should live.
//! The surprise: a process belongs to a world when its environment, its arguments or its working folder say so; a
//! payload that drops the first two still stands in the folder it was started in.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal};

/// A process for certain: its number may be used again, the pair may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub pid: u32,
    /// Clock ticks since boot.
    pub started: u64,
}

/// One live process.
#[derive(Clone, Debug)]
pub struct Process {
    pub id: Id,
    pub parent: u32,
    pub comm: String,
    environ: BTreeMap<String, String>,
}

impl Process {
    /// The process of this number; `None` when it is gone or a zombie.
    pub fn of(pid: u32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let state = fields.first()?.chars().next()?;
        let environ = read(pid, "environ");
        (state != 'Z' && state != 'X').then_some(Process {
            id: Id { pid, started: fields.get(19)?.parse().ok()? },
            parent: fields.get(1)?.parse().ok()?,
            comm: head.split_once('(')?.1.to_owned(),
            environ: environ.iter().filter_map(|entry| entry.split_once('=')).map(owned).collect(),
        })
    }

    pub fn is_shim(&self) -> bool {
        self.comm.starts_with("sp-")
    }

    /// The instance its marker names, without the id of the home: `service/web/0`.
    pub fn instance(&self) -> Option<&str> {
        self.environ.get("SETPOINT_INSTANCE")?.split_once('/').map(|(_, instance)| instance)
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environ.get(name).map(String::as_str)
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn read(pid: u32, file: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The arguments of a process.
pub fn argv(pid: u32) -> Vec<String> {
    read(pid, "cmdline")
}

/// Every live process.
pub fn all() -> Vec<Process> {
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| Process::of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Every live process of the world in this folder.
pub fn of_world(root: &Path) -> Vec<Process> {
    all().into_iter().filter(|process| is_of(process, root)).collect()
}

fn is_of(process: &Process, root: &Path) -> bool {
    let pid = process.id.pid;
    let home = root.join("home").display().to_string();
    let stands_in = || std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(root));
    pid != std::process::id()
        && (process.variable("SETPOINT_HOME") == Some(&home) || read(pid, "cmdline").contains(&home) || stands_in())
}

/// True while exactly this process lives.
pub fn is_alive(id: Id) -> bool {
    Process::of(id.pid).is_some_and(|process| process.id == id)
}

/// The identity of a live process.
#[track_caller]
pub fn id(pid: u32) -> Id {
    Process::of(pid).unwrap_or_else(|| panic!("{pid} is gone")).id
}

/// Signals exactly this process. False when it is gone.
pub fn send(id: Id, signal: Signal) -> bool {
    let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    is_alive(id) && rustix::process::pidfd_send_signal(pidfd, signal).is_ok()
}

/// True when a shim is among the ancestors of a process.
pub fn has_shim_above(pid: u32) -> bool {
    let mut at = Process::of(pid).map_or(0, |process| process.parent);
    // A chain of parents is short; the bound is for a table that changes meanwhile.
    for _ in 0..64 {
        let Some(process) = Process::of(at) else { return false };
        if process.is_shim() {
            return true;
        }
        at = process.parent;
    }
    false
}
