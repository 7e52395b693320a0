//! What of the machine stands in the way.

use std::path::Path;

use super::Finding;
use crate::cli::controller::shim_above;
use crate::controller::pressure::said;
use crate::controller::wake::Wake;
use crate::desired::{Store, to_engine};
use crate::engine::run::pressure::gates as gates_of;
use crate::home::Home;
use crate::observe::clock::{self, Clock};
use crate::observe::machine::{self, Cgroups};
use crate::observe::pressure;
use crate::observe::zones::{self, Zones};

/// Fewer descriptors than this are soon used up: a controller holds one for each service, and some of its own.
const OPEN_FILES_MIN: u64 = 1024;

/// Before this the clock has not been set: 2020-01-01.
const WALL_MIN_S: u64 = 1_577_836_800;

/// Looks at everything that is the same for all homes.
pub fn look() -> Vec<Finding> {
    let is_there = |folder: &str| Path::new(folder).is_dir();
    let mut found = path(std::env::var("PATH").ok().as_deref(), &is_there);
    found.extend([proc(), hidepid(), pidfd(), trees(), cgroups(std::process::id()), inotify(), open_files()]);
    found.extend([wall(clock::wall().nanos() / 1_000_000_000), boot_clock(), zone()]);
    found.extend(shim_above().map(|instance| {
        Finding::note(
            "inside",
            format!("this is called from inside {instance}: no controller can be started here"),
            "call from a terminal what starts a controller",
        )
    }));
    found
}

/// Limits on pressure: whether this machine can be held to them, and whether they hold anything back now.
pub fn gates(home: &Home) -> Option<Finding> {
    const HELP: &str =
        "psi takes a kernel with CONFIG_PSI, and often psi=1 on its command line; else take it out of Settings";
    let stored = Store::open(home).read_current().ok()?;
    let desired = to_engine(&stored, home.key());
    let limits = gates_of(&desired);
    if limits.is_empty() {
        return None;
    }
    let unreadable = pressure::unreadable(&limits);
    if !unreadable.is_empty() {
        let what =
            format!("{}: this machine does not say how it stands, so nothing is held back", unreadable.join(", "));
        return Some(Finding::warn("gates", what, HELP));
    }
    Some(match said(&limits) {
        None => Finding::ok("gates", "the machine says how it stands with every limit, and is within all of them"),
        Some(why) => Finding::note("gates", format!("no run begins now: {why}"), "wait, or allow more in Settings"),
    })
}

/// `value` of PATH, as services get it.
fn path(value: Option<&str>, is_there: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    const CAPTURE: &str = "start the controller from a shell that has the right one: setpoint controller restart";
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return vec![Finding::warn("path", "PATH is not set; services get a plain one", CAPTURE)];
    };
    let folders: Vec<&str> = value.split(':').collect();
    let mut found = Vec::new();
    if folders.iter().any(|folder| !folder.starts_with('/')) {
        let what = format!("PATH holds what is no absolute folder, and services start elsewhere: {value}");
        found.push(Finding::warn("path", what, "write absolute folders into PATH"));
    }
    let absolute = || folders.iter().filter(|folder| folder.starts_with('/'));
    let missing: Vec<&str> = absolute().filter(|folder| !is_there(folder)).copied().collect();
    if !missing.is_empty() {
        let what = format!("PATH names folders that are not there: {}", missing.join(", "));
        found.push(Finding::note("path", what, "nothing, unless a program is missing"));
    }
    let count = absolute().filter(|folder| is_there(folder)).count();
    if ["/usr/bin", "/bin"].iter().all(|needed| !folders.contains(needed)) || count < 2 {
        let what = format!("PATH is short, so services may not find their programs: {value}");
        found.push(Finding::warn("path", what, CAPTURE));
    }
    if found.is_empty() {
        found.push(Finding::ok("path", format!("PATH has {count} folders, and all are there")));
    }
    found
}

fn proc() -> Finding {
    match Clock::new() {
        Ok(_) => Finding::ok("proc", "/proc is there"),
        Err(error) => Finding::fail(
            "proc",
            format!("/proc cannot be read, and without it nothing can be supervised: {error}"),
            "mount -t proc proc /proc",
        ),
    }
}

fn hidepid() -> Finding {
    match machine::hidepid() {
        Ok(None) => Finding::ok("hidepid", "every process can be seen"),
        Ok(Some(_)) if rustix::process::geteuid().is_root() => {
            Finding::ok("hidepid", "root sees every process, though others do not")
        }
        Ok(Some(value)) => Finding::note(
            "hidepid",
            format!("/proc hides processes of other users (hidepid={value}); services as another user cannot be seen"),
            "run setpoint as root for those, or: mount -o remount,hidepid=0 /proc",
        ),
        Err(error) => {
            Finding::warn("hidepid", format!("the mounts cannot be read: {error}"), "mount -t proc proc /proc")
        }
    }
}

fn pidfd() -> Finding {
    match machine::pidfd() {
        Ok(()) => Finding::ok("pidfd", "processes can be held by descriptors"),
        Err(error) => Finding::fail(
            "pidfd",
            format!("processes cannot be held by descriptors, so none could be signalled safely: {error}"),
            "Linux 5.10 or later, and a sandbox that allows pidfd_open",
        ),
    }
}

fn trees() -> Finding {
    if let Err(error) = machine::subreaper() {
        let what = format!("a process cannot take in orphans, so trees could not be ended whole: {error}");
        return Finding::fail("trees", what, "a sandbox that allows prctl");
    }
    match machine::has_child_lists() {
        true => Finding::ok("trees", "trees of processes can be followed"),
        false => Finding::note(
            "trees",
            "the kernel does not list children; a stop has to search the whole table",
            "nothing; a kernel with CONFIG_PROC_CHILDREN is quicker",
        ),
    }
}

/// How the process of this number, and with it what it starts, can be limited.
pub(super) fn cgroups(pid: u32) -> Finding {
    let delegate = "setpoint controller install, whose unit has Delegate=yes";
    match machine::cgroups(pid) {
        Cgroups::V2 { folder, is_writable: true, controllers } => {
            let has = |name: &str| controllers.iter().any(|controller| controller == name);
            let folder = folder.display();
            match has("memory") && has("cpu") {
                true => Finding::ok("cgroup", format!("memory and cpu can be limited in {folder}")),
                false => Finding::note("cgroup", format!("{folder} lacks the controllers memory or cpu"), delegate),
            }
        }
        Cgroups::V2 { folder, is_writable: false, .. } => {
            let what =
                format!("{} may not be written to; limits.memory and limits.cpu are not enforced", folder.display());
            Finding::note("cgroup", what, delegate)
        }
        Cgroups::V1 => Finding::note(
            "cgroup",
            "this machine has cgroups of the first version; limits.memory and limits.cpu are not enforced",
            "nothing, or start the kernel with systemd.unified_cgroup_hierarchy=1",
        ),
        Cgroups::None => {
            let what = "no cgroups can be seen; limits.memory and limits.cpu are not enforced";
            Finding::note("cgroup", what, "nothing, or mount -t cgroup2 none /sys/fs/cgroup")
        }
    }
}

fn inotify() -> Finding {
    match machine::watch(Path::new("/")) {
        Ok(()) => Finding::ok("inotify", "folders can be watched"),
        Err(error) => Finding::warn(
            "inotify",
            format!("folders cannot be watched, so changes are noticed after up to 30 s: {error}"),
            "sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288",
        ),
    }
}

fn open_files() -> Finding {
    match machine::open_files_max() {
        Some(max) if max < OPEN_FILES_MIN => Finding::warn(
            "open-files",
            format!("at most {max} files may be open, and a controller needs one for each service"),
            "raise the hard limit: LimitNOFILE= in a unit, or /etc/security/limits.conf",
        ),
        Some(max) => Finding::ok("open-files", format!("{max} files may be open")),
        None => Finding::ok("open-files", "any number of files may be open"),
    }
}

fn wall(seconds: u64) -> Finding {
    if seconds >= WALL_MIN_S {
        return Finding::ok("clock", "the clock is set");
    }
    let at = crate::cli::local(crate::engine::Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000)));
    Finding::fail(
        "clock",
        format!("the clock says {at}, so it was never set"),
        "timedatectl set-ntp true, or: date -s TIME",
    )
}

fn boot_clock() -> Finding {
    match Wake::new() {
        Ok(_) => Finding::ok("boot-clock", "there is a timer that counts sleep, too"),
        Err(error) => Finding::fail(
            "boot-clock",
            format!("there is no timer on the boot clock, so nothing would be done in time: {error}"),
            "Linux 5.10 or later, and a sandbox that allows timerfd_create",
        ),
    }
}

fn zone() -> Finding {
    let folder = Path::new("/usr/share/zoneinfo");
    let install = "install the package tzdata";
    if !folder.is_dir() {
        let what = "there is no zone data; moments are shown in UTC, and zones have no names";
        return Finding::warn("zones", what, install);
    }
    let named = std::env::var("TZ").ok().filter(|zone| !zone.is_empty());
    match named.as_deref().map(|zone| zone.strip_prefix(':').unwrap_or(zone)) {
        // A rule like CET-1CEST carries its own data.
        Some(zone) if !zone.contains(|c: char| c.is_ascii_digit()) && !folder.join(zone).is_file() => Finding::warn(
            "zones",
            format!("TZ names a zone that is not there: {zone}"),
            format!("set TZ, or {install}"),
        ),
        Some(_) | None => zone_data(),
    }
}

/// The zone schedules follow, and how old its data is.
fn zone_data() -> Finding {
    let (data, name, bundled) =
        (Zones::new().data(), zones::local().name, zones::bundled_version().unwrap_or_default());
    match data.version.as_deref() {
        Some(version) if version < bundled => {
            let what =
                format!("{data} is older than {bundled}, so clocks of some places may be wrong; the zone is {name}");
            Finding::note("zones", what, "update the package tzdata")
        }
        Some(_) | None => Finding::ok("zones", format!("the zone is {name} ({data})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    fn check(value: Option<&str>, expected: &[(Level, &str)]) {
        let found = path(value, &|folder| folder != "/gone");
        assert_eq!(found.len(), expected.len(), "{value:?}: {found:?}");
        for (finding, (level, word)) in found.iter().zip(expected) {
            assert!(finding.level == *level && finding.what.contains(word), "{value:?}: {finding:?}");
        }
    }

    #[test]
    fn paths_are_judged() {
        check(Some("/usr/bin:/bin"), &[(Level::Ok, "2 folders")]);
        check(None, &[(Level::Warn, "not set")]);
        check(Some(""), &[(Level::Warn, "not set")]);
        check(Some("/usr/bin:/gone:/bin"), &[(Level::Note, ": /gone")]);
        check(Some("/usr/bin::/bin"), &[(Level::Warn, "no absolute")]);
        check(Some("/usr/bin:bin:/bin"), &[(Level::Warn, "no absolute")]);
        check(Some("/opt/a:/opt/b"), &[(Level::Warn, "short")]);
        check(Some("/usr/bin"), &[(Level::Warn, "short")]);
        check(Some("x:/gone"), &[(Level::Warn, "no absolute"), (Level::Note, ": /gone"), (Level::Warn, "short")]);
    }

    #[test]
    fn a_clock_that_was_never_set_fails() {
        assert_eq!(wall(0).level, Level::Fail);
        assert_eq!(wall(WALL_MIN_S - 1).level, Level::Fail);
        assert_eq!(wall(WALL_MIN_S).level, Level::Ok);
    }
}
