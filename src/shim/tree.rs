//! The tree below a shim: who is in it, and signals that reach only its members.
//!
//! In: `/proc`. Out: one look at the tree. Not here: when to signal (`life`).
//! The surprise: a child of ours cannot be replaced by a stranger of the same number until we reap it, so it may be
//! signalled by number; for anybody else a pidfd is opened first and the process looked at again.

use std::io::Read;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

use super::claim::each_name;
use crate::record::Text;

/// The most processes one look takes in; the next look takes what is left.
const MEMBERS_MAX: usize = 8192;
/// The longest list of children that is read, in bytes: room for that many numbers.
const LIST_MAX: u64 = 1 << 16;

/// One process below us.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its number.
    pub pid: u32,
    /// Its parent, as far as we could read.
    parent: u32,
    /// What `/proc` said of it; `None` when that was not to be read.
    stat: Option<Stat>,
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `Z` and `X` are dead.
    pub state: u8,
    /// The parent.
    pub parent: u32,
    /// The process group.
    pub group: u32,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

impl Member {
    /// False only for what is certainly dead.
    pub fn is_alive(&self) -> bool {
        self.stat.is_none_or(|stat| stat.state != b'Z' && stat.state != b'X')
    }

    /// True when it is in this process group, as far as we could read.
    pub fn is_in_group(&self, group: u32) -> bool {
        self.stat.is_some_and(|stat| stat.group == group)
    }

    /// Signals it, if it still is who it was.
    pub fn signal(&self, us: u32, signal: i32) {
        let Ok(pid) = i32::try_from(self.pid) else {
            return;
        };
        if self.parent == us && self.stat.is_none_or(|stat| stat.parent == us) {
            super::sys::signal(pid, signal);
            return;
        }
        let Some(pidfd) = Pid::from_raw(pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        let (Some(then), Some(now)) = (self.stat, stat(self.pid)) else {
            return;
        };
        // An orphan has come to us; it is still the same process.
        if then.started == now.started && (now.parent == self.parent || now.parent == us) {
            super::sys::signal_pidfd(pidfd, signal);
        }
    }
}

/// Every process below `us`, children before grandchildren.
pub fn look(us: u32) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    if !push_children(us, &mut members) {
        return scan(us);
    }
    let mut next = 0;
    while let Some(member) = members.get(next).copied() {
        next += 1;
        // A dead process has no children: they have come to us.
        if members.len() < MEMBERS_MAX && member.is_alive() {
            push_children(member.pid, &mut members);
        }
    }
    members
}

/// Appends the children of every thread of `parent`; false when the kernel keeps no such lists, or it is gone.
fn push_children(parent: u32, members: &mut Vec<Member>) -> bool {
    let path = Text::<64>::of(format_args!("/proc/{parent}/task"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(tasks) = rustix::fs::openat(CWD, path.as_str(), flags, Mode::empty()) else {
        return false;
    };
    let mut is_read = false;
    let _ = each_name(&tasks, |task| {
        let Some(task) = decimal(task) else {
            return;
        };
        let path = Text::<64>::of(format_args!("{task}/children"));
        let Ok(list) = rustix::fs::openat(&tasks, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        else {
            return;
        };
        let mut text = Vec::new();
        is_read |= std::fs::File::from(list).take(LIST_MAX).read_to_end(&mut text).is_ok();
        // Each number is followed by a blank; one without it was cut short, and is another number.
        let whole = text.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        for pid in text.get(..whole).unwrap_or(&[]).split(|byte| *byte == b' ').filter_map(decimal) {
            members.push(Member { pid, parent, stat: stat(pid) });
        }
    });
    is_read
}

/// The same by the parent of every process there is, for kernels that keep no lists of children.
fn scan(us: u32) -> Vec<Member> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::openat(CWD, c"/proc", flags, Mode::empty()) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let _ = each_name(&proc, |name| {
        if let Some(pid) = decimal(name)
            && let Some(stat) = stat(pid)
        {
            all.push(Member { pid, parent: stat.parent, stat: Some(stat) });
        }
    });
    let mut members: Vec<Member> = all.iter().filter(|member| member.parent == us).copied().collect();
    let mut next = 0;
    while let Some(parent) = members.get(next).map(|member| member.pid) {
        next += 1;
        if members.len() < MEMBERS_MAX {
            members.extend(all.iter().filter(|member| member.parent == parent));
        }
    }
    members
}

fn decimal(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads `/proc/PID/stat`; `None` when it is gone or hidden from us.
pub fn stat(pid: u32) -> Option<Stat> {
    let path = Text::<64>::of(format_args!("/proc/{pid}/stat"));
    let file = rustix::fs::openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 1024];
    let length = rustix::io::read(file, &mut bytes).ok()?;
    parse_stat(bytes.get(..length)?)
}

/// The name of a process may contain anything, so the fields are counted from its last bracket.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let after = bytes.iter().rposition(|byte| *byte == b')')?;
    let mut fields = bytes.get(after + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let parent = decimal(fields.next()?)?;
    let group = decimal(fields.next()?)?;
    // Field 22; the three above are 3, 4 and 5.
    let started = std::str::from_utf8(fields.nth(16)?).ok()?.parse().ok()?;
    Some(Stat { state, parent, group, started })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::{Member, Stat, look, parse_stat, scan};

    #[test]
    fn both_ways_to_look_find_a_grandchild() {
        let script = "sleep 1000 & echo $!; wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a pid");
        let grandchild: u32 = line.trim().parse().expect("a number");
        let us = std::process::id();
        let found = |members: Vec<Member>| [child.id(), grandchild].map(|pid| members.iter().any(|m| m.pid == pid));
        let (listed, scanned) = (found(look(us)), found(scan(us)));
        // Ours, not reaped, and below ours: both are who they were.
        for member in look(child.id()) {
            member.signal(us, libc::SIGKILL);
        }
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        assert_eq!((listed, scanned), ([true; 2], [true; 2]));
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = b"7 (a) S) b) R 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 20 18446744073709551615\n";
        assert_eq!(parse_stat(line), Some(Stat { state: b'R', parent: 3, group: 5, started: 4711 }));
        assert_eq!(parse_stat(b"7 (a"), None);
        assert_eq!(parse_stat(b"7 (a)"), None);
    }
}
