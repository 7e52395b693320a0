//! The processes of one world, told from all others by their environment.
//!
//! In: the folder of a world. Out: who lives there, and signals for them. Not here: what they should be doing.
//! The surprise: a signal goes through a pidfd opened before the process is looked at again, so that a number that
//! was reused in between costs nobody their life.

use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Set for every verb of a world; a controller started in the background inherits it.
pub const WORLD: &str = "SETPOINT_TEST_WORLD";

/// A process for certain: its number, and when it started in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub pid: u32,
    pub started: u64,
}

/// One process of a world.
#[derive(Clone, Debug)]
pub struct Process {
    pub id: Id,
    /// What its marker says, without the id of the home; none for a controller.
    pub instance: Option<String>,
}

/// The process of this number; none when it is gone or defunct.
pub fn id(pid: u32) -> Option<Id> {
    let (state, started) = stat(pid)?;
    (state != 'Z' && state != 'X').then_some(Id { pid, started })
}

/// The state letter of a process, and its start time.
pub fn stat(pid: u32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The 22nd field of the line; the state is the third.
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// True while exactly this process is there and no zombie.
pub fn is_alive(of: Id) -> bool {
    id(of.pid) == Some(of)
}

/// Signals exactly this process. False when it is gone.
pub fn send(to: Id, signal: Signal) -> bool {
    let Some(pid) = i32::try_from(to.pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    is_alive(to) && pidfd_send_signal(&pidfd, signal).is_ok()
}

/// Every live process whose environment names this folder: as its world, or as the place of its home.
pub fn of_world(root: &Path) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| process(root, pid)).collect()
}

fn process(root: &Path, pid: u32) -> Option<Process> {
    let id = id(pid)?;
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environ = String::from_utf8_lossy(&environ);
    let value = |name: &str| {
        environ.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let is_here = |value: Option<String>| value.is_some_and(|value| Path::new(&value).starts_with(root));
    // A test itself is no part of its world, whatever it has been told.
    if pid == std::process::id() || !(is_here(value(WORLD)) || is_here(value("SETPOINT_HOME"))) {
        return None;
    }
    let instance = value("SETPOINT_INSTANCE").and_then(|marker| Some(marker.split_once('/')?.1.to_owned()));
    Some(Process { id, instance })
}
