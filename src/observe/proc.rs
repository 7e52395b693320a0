//! The process table of Linux.
//!
//! In: `/proc`. Out: a [`Listing`]. Not here: anything a process does not say of itself.
//! The surprise: an entry that may not be read is a gap only when it is our own user's; a stranger's cannot be ours.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use procfs::ProcError;
use procfs::process::Stat;

use super::table::{Listing, Process, ProcessState, Table};
use super::usage::Usage;
use crate::engine::Coverage;

/// Reads `/proc`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcTable;

impl Table for ProcTable {
    fn list(&self, is_known: &dyn Fn(u32) -> bool) -> Listing {
        let entries = match std::fs::read_dir("/proc") {
            Ok(entries) => entries,
            Err(error) => return Listing::failed(&format!("/proc cannot be listed: {error}")),
        };
        let mut listing = Listing { coverage: Coverage::Whole, processes: std::collections::BTreeMap::new() };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.coverage = partial(&format!("/proc was listed in part: {error}"));
                    break;
                }
            };
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if is_known(pid) {
                continue;
            }
            match stat(pid) {
                Ok(stat) => _ = listing.processes.insert(pid, process(stat)),
                Err(ProcError::NotFound(_)) => {}
                Err(_) if is_strangers(pid) => {}
                Err(error) => listing.coverage = partial(&format!("/proc/{pid}/stat cannot be read: {error}")),
            }
        }
        listing
    }

    fn process(&self, pid: u32) -> Option<Process> {
        stat(pid).ok().map(process)
    }

    fn argv(&self, pid: u32) -> Option<Vec<u8>> {
        read_whole(&format!("/proc/{pid}/cmdline")).ok()
    }

    fn environ(&self, pid: u32) -> Option<Vec<u8>> {
        read_whole(&format!("/proc/{pid}/environ")).ok()
    }
}

fn partial(why: &str) -> Coverage {
    Coverage::Partial { why: why.into() }
}

/// True when the entry is gone or another user's.
fn is_strangers(pid: u32) -> bool {
    match std::fs::metadata(format!("/proc/{pid}")) {
        Ok(meta) => meta.uid() != rustix::process::geteuid().as_raw(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn stat(pid: u32) -> Result<Stat, ProcError> {
    // `procfs::process::Process` opens the folder and looks up its owner first; one file is enough here.
    let path = format!("/proc/{pid}/stat");
    match read_whole(&path) {
        Ok(text) => {
            use procfs::FromRead;
            Stat::from_read(&text[..])
        }
        // ESRCH: it went away between the open and the read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) || error.kind() == io::ErrorKind::NotFound => {
            Err(ProcError::NotFound(Some(path.into())))
        }
        Err(error) => Err(ProcError::Io(error, Some(path.into()))),
    }
}

/// What a process uses. What it shares is to be had only of our own.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = stat(pid).ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let time = |ticks_used: u64| Duration::from_millis(ticks_used.saturating_mul(1000) / ticks);
    let reaped = u64::try_from(stat.cutime.saturating_add(stat.cstime)).unwrap_or(0);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Some(Usage {
        cpu: time(stat.utime.saturating_add(stat.stime)),
        cpu_reaped: time(reaped),
        rss: stat.rss.saturating_mul(page),
        pss: pss(pid),
    })
}

fn pss(pid: u32) -> Option<u64> {
    let text = read_whole(&format!("/proc/{pid}/smaps_rollup")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn process(stat: Stat) -> Process {
    let number = |n: i32| u32::try_from(n).unwrap_or(0);
    let state = match stat.state {
        'Z' | 'X' | 'x' => ProcessState::Zombie,
        'T' | 't' => ProcessState::Stopped,
        _ => ProcessState::Alive,
    };
    Process {
        pid: number(stat.pid),
        parent: number(stat.ppid),
        session: number(stat.session),
        started: stat.starttime,
        name: stat.comm.into(),
        state,
    }
}

/// Reads a file of `/proc`, which says of itself that it is empty: one read where a page is enough.
fn read_whole(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut page = [0; 4096];
    let length = file.read(&mut page)?;
    let mut bytes = page.get(..length).unwrap_or_default().to_vec();
    if length == page.len() {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Whether a process can be somebody's start of a program at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Our user's, in our pid namespace, and not this program.
    Ours,
    /// Anybody else.
    Other,
}

/// Whose a process is; `None` when it cannot be told, or it is gone.
#[must_use]
pub fn standing(pid: u32) -> Option<Standing> {
    let status = read_whole(&format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let own = rustix::process::geteuid().as_raw().to_string();
    // Real and effective: one that runs with another's rights may not be signalled, and is not ours to count.
    let mut uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().take(2);
    if !uids.all(|uid| uid == own) {
        return Some(Standing::Other);
    }
    let link = |pid: &str, what: &str| std::fs::read_link(format!("/proc/{pid}/{what}")).ok();
    if link(&pid.to_string(), "ns/pid")? != link("self", "ns/pid")? {
        return Some(Standing::Other);
    }
    let program =
        |pid: &str| Some(link(pid, "exe")?.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned());
    let inode = |pid: &str| std::fs::metadata(format!("/proc/{pid}/exe")).ok().map(|meta| (meta.dev(), meta.ino()));
    let (its, ours) = (pid.to_string(), "self");
    // By its name, too: an older build of ours stands under the same one, replaced or in another folder.
    let is_this = program(&its)? == program(ours)? || inode(&its)? == inode(ours)?;
    Some(if is_this { Standing::Other } else { Standing::Ours })
}

/// Why processes may be hidden from us; `None` when none is.
#[must_use]
pub fn hiding() -> Option<std::sync::Arc<str>> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    match super::machine::hidepid() {
        Ok(option) => {
            let option = option?;
            Some(format!("/proc is mounted with hidepid={option}, so a process that counts may be hidden").into())
        }
        Err(error) => Some(format!("/proc/mounts cannot be read: {error}").into()),
    }
}

/// Our own ancestors, nearest first: at most 64, so that a table that changes meanwhile cannot hold us.
#[must_use]
pub fn ancestors() -> Vec<Process> {
    from(std::os::unix::process::parent_id())
}

/// A process and its ancestors, nearest first; bounded in the same way.
#[must_use]
pub fn from(mut pid: u32) -> Vec<Process> {
    let mut found = Vec::new();
    while pid > 0 && found.len() < 64 {
        let Some(process) = ProcTable.process(pid) else { break };
        pid = process.parent;
        found.push(process);
    }
    found
}
