//! Control groups of version 2: the one a controller was given, what it can enforce, and limits as it takes them.
//!
//! In: limits as written. Out: a folder for each instance, and files with their texts. Not here: making, entering and
//! ending a group (`shim`), limits of single processes, words about what nothing enforces (`cli`).
//! The surprise: a controller makes groups only where it was put into a group named `setpoint-controller`: that name
//! is how whoever owns the parent says that it is ours. Where nobody said so, nothing is made.

use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::engine::InstanceId;
use crate::engine::plan::Limits;

/// The name of the group a controller lives in whose parent is given to it.
pub const OWN_NAME: &str = "setpoint-controller";

/// Microseconds in which a group may use its share.
const PERIOD_US: u64 = 100_000;

/// The shortest share the kernel takes.
const SHARE_US_MIN: u64 = 1_000;

/// The longest name of a group.
const NAME_MAX: usize = 255;

/// Which limits of whole trees can be enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// `memory.max`.
    pub memory: bool,
    /// `cpu.max`.
    pub cpu: bool,
    /// `pids.max`.
    pub pids: bool,
}

impl Controllers {
    /// By the text of a `cgroup.controllers` or `cgroup.subtree_control`.
    fn of(text: &str) -> Controllers {
        let has = |name| text.split_ascii_whitespace().any(|word| word == name);
        Controllers { memory: has("memory"), cpu: has("cpu"), pids: has("pids") }
    }
}

/// A group whose children are ours to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its folder.
    pub folder: PathBuf,
    /// What its children can enforce.
    pub controllers: Controllers,
}

/// The group given to the controller with this pid, `None` when it was given none.
#[must_use]
pub fn given_to(pid: u32) -> Option<Domain> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let own = process.cgroups().ok()?.into_iter().find(|group| group.hierarchy == 0)?;
    let mounts = Process::myself().ok()?.mountinfo().ok()?;
    let mount = mounts.into_iter().find(|mount| mount.fs_type == "cgroup2")?;
    let folder = domain_of(&mount.mount_point, &mount.root, &own.pathname)?;
    let read = |file| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    Some(Domain { controllers: Controllers::of(&read("cgroup.subtree_control")), folder })
}

/// The parent of a group named [`OWN_NAME`], as a folder below a mount that shows what is below `root`.
fn domain_of(point: &Path, root: &str, own: &str) -> Option<PathBuf> {
    let parent = own.strip_suffix(OWN_NAME)?.strip_suffix('/')?;
    let below = parent.strip_prefix(root.trim_end_matches('/'))?;
    // Outside of our namespace, so out of reach.
    if below.split('/').any(|part| part == "..") { None } else { Some(point.join(below.trim_start_matches('/'))) }
}

impl Domain {
    /// Has its children enforce what can be enforced here.
    #[must_use]
    pub fn opened(mut self) -> Domain {
        let path = self.folder.join("cgroup.subtree_control");
        for controller in ["memory", "cpu", "pids"] {
            // One that is not to be had is said where a limit asks for it.
            _ = std::fs::write(&path, format!("+{controller}"));
        }
        self.controllers = Controllers::of(&std::fs::read_to_string(&path).unwrap_or_default());
        self
    }

    /// The folder of an instance; `None` when its name is too long for one.
    #[must_use]
    pub fn group(&self, home: &str, id: &InstanceId) -> Option<PathBuf> {
        let name = format!("setpoint-{home}-{}", id.to_string().replace('/', "."));
        (name.len() <= NAME_MAX).then(|| self.folder.join(name))
    }
}

/// What is written into the files of a group.
#[must_use]
pub fn files(limits: &Limits, controllers: Controllers) -> Vec<(&'static str, String)> {
    let max = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string());
    let share = limits.cpu_milli.map(|milli| (u64::from(milli) * PERIOD_US / 1000).max(SHARE_US_MIN));
    // Written also without a limit: a group that a killed shim left may have an older one.
    let all = [
        (controllers.memory, "memory.max", max(limits.memory)),
        (controllers.cpu, "cpu.max", format!("{} {PERIOD_US}", max(share))),
        (controllers.pids, "pids.max", max(limits.processes)),
    ];
    all.into_iter().filter(|(is_there, ..)| *is_there).map(|(_, file, text)| (file, text)).collect()
}

/// Without a group, processes can be counted only by user: all of them, whoever started them. That is the limit that
/// was meant where the service has a user of its own, and a trap elsewhere.
#[must_use]
pub fn counts_user(user: Option<&str>) -> bool {
    // The kernel does not count what root runs.
    user.is_some_and(|user| user != "root" && user != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers { memory: true, cpu: true, pids: true };

    #[test]
    fn limits_become_texts_of_files() {
        let none = Limits::default();
        let limits =
            Limits { memory: Some(512 << 20), cpu_milli: Some(1500), processes: Some(100), ..Limits::default() };
        let tiny = Limits { cpu_milli: Some(1), ..none };
        let table = [
            (none, ALL, "memory.max=max cpu.max=max 100000 pids.max=max"),
            (limits, ALL, "memory.max=536870912 cpu.max=150000 100000 pids.max=100"),
            (tiny, Controllers { cpu: true, ..Controllers::default() }, "cpu.max=1000 100000"),
            (limits, Controllers::default(), ""),
        ];
        for (limits, controllers, expected) in table {
            let found: Vec<String> =
                files(&limits, controllers).iter().map(|(file, text)| format!("{file}={text}")).collect();
            assert_eq!(found.join(" "), expected);
        }
    }

    #[test]
    fn a_domain_is_the_parent_of_a_group_of_that_name() {
        let point = Path::new("/sys/fs/cgroup");
        let table = [
            ("/", "/", None),
            ("/", "/user.slice/app.slice/x.service", None),
            ("/", "/user.slice/x.service/setpoint-controller", Some("/sys/fs/cgroup/user.slice/x.service")),
            ("/", "/setpoint-controller", Some("/sys/fs/cgroup")),
            ("/docker/1", "/docker/1/setpoint-controller", Some("/sys/fs/cgroup")),
            ("/docker/1", "/docker/2/setpoint-controller", None),
            ("/", "/../x/setpoint-controller", None),
            ("/", "/x/not-setpoint-controller", None),
        ];
        for (root, own, expected) in table {
            assert_eq!(domain_of(point, root, own), expected.map(PathBuf::from), "{own} below {root}");
        }
    }
}
