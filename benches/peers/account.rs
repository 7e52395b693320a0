//! Who used how much: CPU time, memory and wake-ups of the processes of one lab.
//!
//! In: the name of a lab, or pids. Out: nanoseconds, bytes, counts. Not here: what the figures mean.
//! The surprise: a cgroup counts the dead too and is exact; without one (no root, no cpuacct) only the living are
//! summed up from /proc, which the report says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where CPU time of a whole lab is read from.
#[derive(Clone, Debug)]
pub enum Account {
    /// A cgroup of version 1 with the cpuacct controller, or of version 2.
    Cgroup {
        /// Its folder.
        dir: PathBuf,
        /// Version 1 has nanoseconds in `cpuacct.usage`, version 2 microseconds in `cpu.stat`.
        is_v1: bool,
    },
    /// Only what live processes say of themselves.
    Living,
}

impl Account {
    /// Makes a cgroup where the system lets us.
    pub fn open(name: &str) -> Account {
        for (base, is_v1) in [("/sys/fs/cgroup/cpuacct", true), ("/sys/fs/cgroup", false)] {
            let dir = Path::new(base).join(format!("setpoint-{name}"));
            let is_there = Path::new(base).join("cgroup.procs").exists();
            if is_there && fs::create_dir(&dir).is_ok() {
                // Where one hierarchy both counts and divides CPU time, the lab gets as large a part as it can have.
                for (file, share) in [("cpu.shares", "262144"), ("cpu.weight", "10000")] {
                    if dir.join(file).exists() {
                        let _ = fs::write(dir.join(file), share);
                    }
                }
                return Account::Cgroup { dir, is_v1 };
            }
        }
        Account::Living
    }

    /// The cgroup of a lab that somebody else made.
    pub fn find(name: &str) -> Account {
        let dir = Path::new("/sys/fs/cgroup/cpuacct").join(format!("setpoint-{name}"));
        if dir.exists() {
            return Account::Cgroup { dir, is_v1: true };
        }
        let dir = Path::new("/sys/fs/cgroup").join(format!("setpoint-{name}"));
        if dir.exists() { Account::Cgroup { dir, is_v1: false } } else { Account::Living }
    }

    /// Says how CPU time is counted, for the report.
    pub fn words(&self) -> &'static str {
        match self {
            Account::Cgroup { is_v1: true, .. } => "cgroup v1 cpuacct (exact, the dead included)",
            Account::Cgroup { is_v1: false, .. } => "cgroup v2 cpu.stat (exact, the dead included)",
            Account::Living => "/proc/PID/schedstat of live processes (helpers that ended are not counted)",
        }
    }

    /// The file through which a process enters, `-` when there is none.
    pub fn entrance(&self) -> String {
        match self {
            Account::Cgroup { dir, .. } => dir.join("cgroup.procs").display().to_string(),
            Account::Living => "-".to_owned(),
        }
    }

    /// Every process inside; `None` when there is no cgroup to ask.
    pub fn members(&self) -> Option<Vec<u32>> {
        match self {
            Account::Cgroup { dir, .. } => {
                let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                Some(text.lines().filter_map(|line| line.parse().ok()).collect())
            }
            Account::Living => None,
        }
    }

    /// True when a process is inside.
    pub fn holds(&self, pid: u32) -> bool {
        self.members().is_some_and(|members| members.contains(&pid))
    }

    /// CPU time of everything that ever ran inside; `None` when there is no cgroup to ask.
    pub fn used(&self) -> Option<Duration> {
        let (dir, is_v1) = match self {
            Account::Cgroup { dir, is_v1 } => (dir, *is_v1),
            Account::Living => return None,
        };
        let text = fs::read_to_string(dir.join(if is_v1 { "cpuacct.usage" } else { "cpu.stat" })).ok()?;
        if is_v1 {
            return text.trim().parse().ok().map(Duration::from_nanos);
        }
        text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok().map(Duration::from_micros))
    }

    /// Removes the cgroup; the kernel needs a moment after the last process.
    pub fn close(&self) {
        if let Account::Cgroup { dir, .. } = self {
            for _ in 0..50 {
                if fs::remove_dir(dir).is_ok() || !dir.exists() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// CPU time of live processes, all their threads included.
pub fn scheduled(pids: &[u32]) -> Duration {
    let sum = tasks(pids)
        .filter_map(|task| fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(sum)
}

/// How often live processes were switched to and from: the count of their wake-ups.
pub fn switches(pids: &[u32]) -> u64 {
    let of = |task: PathBuf| -> u64 {
        let text = fs::read_to_string(task.join("status")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.rsplit_once('\t')?.1.parse::<u64>().ok()).sum()
    };
    tasks(pids).map(of).sum()
}

fn tasks(pids: &[u32]) -> impl Iterator<Item = PathBuf> {
    let folders = pids.iter().map(|pid| PathBuf::from(format!("/proc/{pid}/task")));
    folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()))
}

/// The proportional set size of a process in KiB, 0 when it is gone.
pub fn pss_kib(pid: u32) -> u64 {
    field_kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The highest resident set size a process ever had, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    field_kib(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn field_kib(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim().split(' ').next()?.parse().ok());
    value.unwrap_or(0)
}
