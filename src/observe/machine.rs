//! What a machine lets us do: tried where that harms nothing, read where not.
//!
//! In: `/proc`, `/sys`, and a few calls. Out: small facts. Not here: whether that is enough (`cli::doctor`).
//! The surprise: limits are better tried than read, since sandboxes forbid calls that the kernel would have.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use rustix::fs::{Access, CWD, StatVfsMountFlags, accessat};
use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};

/// The id of this machine, which stays the same over boots; none where nobody gave it one.
#[must_use]
pub fn id() -> Option<String> {
    let text = std::fs::read_to_string("/etc/machine-id").ok()?;
    let id = text.trim();
    (!id.is_empty() && id != "uninitialized").then(|| id.to_owned())
}

/// Whether a folder can be watched for changes just now.
///
/// # Errors
/// The system's word: too many watches, or too many watchers.
pub fn watch(folder: &Path) -> io::Result<()> {
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watcher, folder, inotify::WatchFlags::CREATE)?;
    Ok(())
}

/// Whether processes can be held by descriptors.
///
/// # Errors
/// The system's word.
pub fn pidfd() -> io::Result<()> {
    Ok(pidfd_open(getpid(), PidfdFlags::empty()).map(|_| ())?)
}

/// Whether the kernel lists the children of a process.
#[must_use]
pub fn has_child_lists() -> bool {
    let pid = std::process::id();
    Path::new(&format!("/proc/{pid}/task/{pid}/children")).exists()
}

/// Whether a process can be the parent of its descendants' orphans.
///
/// # Errors
/// The system's word.
pub fn subreaper() -> io::Result<()> {
    Ok(rustix::process::child_subreaper().map(|_| ())?)
}

/// Who is hidden in `/proc`: its option `hidepid`, when it hides anybody.
///
/// # Errors
/// When the mounts cannot be read.
pub fn hidepid() -> io::Result<Option<String>> {
    Ok(hidepid_of(&std::fs::read_to_string("/proc/mounts")?))
}

fn hidepid_of(mounts: &str) -> Option<String> {
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    // The last one lies on top.
    let on_top = mounts.lines().rev().map(fields).find(|fields| fields.get(1).is_some_and(|place| place == "/proc"))?;
    let options = on_top.get(3)?;
    let value = options.split(',').find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(value, "0" | "off")).then(|| value.to_owned())
}

/// How processes can be grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// The second version alone, and whether a process may make groups of its own below its own.
    V2 {
        /// The group.
        folder: PathBuf,
        /// Whether it may.
        is_writable: bool,
        /// The controllers that are to be had there, such as `memory`.
        controllers: Vec<String>,
    },
    /// The first version, alone or beside the second.
    V1,
    /// None that can be seen.
    None,
}

/// How this process can be grouped.
#[must_use]
pub fn cgroups(pid: u32) -> Cgroups {
    const V2_MAGIC: u64 = 0x6367_7270;
    const ROOT: &str = "/sys/fs/cgroup";
    let Ok(disk) = rustix::fs::statfs(ROOT) else { return Cgroups::None };
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if disk.f_type as u64 & 0xffff_ffff != V2_MAGIC {
        let is_v1 = own.lines().any(|line| !line.starts_with("0::"));
        return if is_v1 { Cgroups::V1 } else { Cgroups::None };
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = Path::new(ROOT).join(path);
    let controllers = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let may = |path: &Path| accessat(CWD, path, Access::WRITE_OK, rustix::fs::AtFlags::EACCESS).is_ok();
    Cgroups::V2 {
        is_writable: may(&folder) && may(&folder.join("cgroup.procs")) && may(&folder.join("cgroup.subtree_control")),
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        folder,
    }
}

/// What is left on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that we may still use.
    pub free: u64,
    /// Bytes there are.
    pub size: u64,
    /// Files that may still be made; none where there is no limit.
    pub files_free: Option<u64>,
    /// Nothing can be written at all.
    pub is_read_only: bool,
    /// It is gone with the next start of the machine.
    pub is_memory: bool,
}

/// The disk below a folder.
///
/// # Errors
/// The system's word.
pub fn disk(folder: &Path) -> io::Result<Disk> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    let disk = rustix::fs::statvfs(folder)?;
    let magic = rustix::fs::statfs(folder)?.f_type as u64 & 0xffff_ffff;
    Ok(Disk {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        size: disk.f_blocks.saturating_mul(disk.f_frsize),
        files_free: (disk.f_files > 0).then_some(disk.f_favail),
        is_read_only: disk.f_flag.contains(StatVfsMountFlags::RDONLY),
        is_memory: matches!(magic, TMPFS_MAGIC | RAMFS_MAGIC),
    })
}

/// The highest number of open files this user's processes may ask for; none when there is no limit.
#[must_use]
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// The program a process runs, and whether its file has been replaced or removed since.
#[must_use]
pub fn program(pid: u32) -> Option<(PathBuf, bool)> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => Some((PathBuf::from(text), true)),
        None => Some((path, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_hidden_is_read_from_the_mount_on_top() {
        for (options, expected) in [
            ("rw,relatime", None),
            ("rw,hidepid=0", None),
            ("rw,hidepid=off", None),
            ("rw,gid=3,hidepid=2", Some("2")),
            ("rw,hidepid=invisible", Some("invisible")),
        ] {
            let mounts =
                format!("proc /proc proc rw,hidepid=1 0 0\nx /procs x hidepid=2 0 0\nproc /proc proc {options} 0 0\n");
            assert_eq!(hidepid_of(&mounts).as_deref(), expected, "{options}");
        }
    }
}
