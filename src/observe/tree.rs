//! Finds the processes of a tree, with its shim or without.
//!
//! In: a listing. Out: members, each with the identity a signal needs. Not here: signals.
//! The surprise: a tree whose shim was killed has no root any more. It is found by the marker in the environment, by
//! the session the shim led, and by who still holds the inherited lock; each alone is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::table::{Listing, Process, ProcessState, Table};
use crate::engine::observed::Member;
use crate::engine::{BootId, InstanceId, ProcId};

/// The most members of one tree that are told apart.
pub const MEMBERS_MAX: usize = 4096;

/// Who is whose child, in one listing.
#[derive(Debug)]
pub struct Families<'a>(BTreeMap<u32, Vec<&'a Process>>);

impl<'a> Families<'a> {
    /// Sorts a listing by parent.
    #[must_use]
    pub fn of(listing: &'a Listing) -> Families<'a> {
        let mut children: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        for process in listing.processes.values() {
            children.entry(process.parent).or_default().push(process);
        }
        Families(children)
    }

    /// Every live descendant of these processes, themselves left out.
    #[must_use]
    pub fn descendants(&self, mut open: Vec<u32>, boot: &BootId) -> Vec<Member> {
        let mut found = Vec::new();
        let mut visited: BTreeSet<u32> = open.iter().copied().collect();
        while let Some(pid) = open.pop() {
            for process in self.0.get(&pid).into_iter().flatten() {
                if found.len() >= MEMBERS_MAX || !visited.insert(process.pid) {
                    continue;
                }
                open.push(process.pid);
                if process.state != ProcessState::Zombie {
                    found.push(member(process, boot));
                }
            }
        }
        found.sort();
        found
    }
}

/// A process as a member of a tree.
#[must_use]
pub fn member(process: &Process, boot: &BootId) -> Member {
    let proc = ProcId { boot: boot.clone(), pid: process.pid, started: process.started };
    Member { proc, name: process.name.clone() }
}

/// What a killed shim may have left.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// The instance.
    pub id: &'a InstanceId,
    /// The home, as in markers.
    pub home: &'a str,
    /// The shim that is gone.
    pub shim: &'a ProcId,
    /// The payload it had recorded, with its start time; pid 0 when there was none.
    pub payload: (u32, u64),
    /// Its lock file.
    pub lock: &'a Path,
}

/// The processes a killed shim left, found without it.
#[must_use]
pub fn orphans(table: &dyn Table, listing: &Listing, lost: &Lost<'_>, is_lock_held: bool) -> Vec<Member> {
    let boot = &lost.shim.boot;
    let marker = format!("SETPOINT_INSTANCE={}/{}", lost.home, lost.id);
    // While anything is left of a session its number is nobody else's. A process of that number means that it is over,
    // and that whoever is in a session of that number now belongs to another.
    let is_reused = listing.processes.get(&lost.shim.pid).is_some_and(|p| p.started != lost.shim.started);
    let is_payload = |p: &Process| p.pid == lost.payload.0 && p.started == lost.payload.1;
    let is_of = |process: &&Process| {
        // Nothing that started before the shim can be its child; this spares most of the table the slow look.
        process.state != ProcessState::Zombie
            && process.started >= lost.shim.started
            && process.pid != lost.shim.pid
            && (is_payload(process)
                || (process.session == lost.shim.pid && !is_reused)
                || has_marker(table, process.pid, &marker)
                || (is_lock_held && holds(process.pid, lost.lock)))
    };
    let roots: Vec<&Process> = listing.processes.values().filter(is_of).collect();
    let mut found = Families::of(listing).descendants(roots.iter().map(|p| p.pid).collect(), boot);
    found.extend(roots.iter().map(|p| member(p, boot)));
    found.sort();
    found.dedup();
    found
}

fn has_marker(table: &dyn Table, pid: u32, marker: &str) -> bool {
    table.environ(pid).is_some_and(|env| env.split(|b| *b == 0).any(|entry| entry == marker.as_bytes()))
}

/// True when the process has `lock` open.
pub(super) fn holds(pid: u32, lock: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == lock))
}
