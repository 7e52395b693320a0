//! Control groups, where a controller was given one: every instance in a group of its own, gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::processes;
use crate::world::{World, service};

/// Tells the groups of tests that run at once apart.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A group whose children are a controller's to make, emptied and removed when it goes out of scope.
struct Given(PathBuf);

impl Given {
    /// None, with the reason printed, where groups cannot be made.
    fn new() -> Option<Given> {
        let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let Some(point) = mount.and_then(|line| line.split(' ').nth(1)) else {
            println!("skipped: there is no cgroup v2 here");
            return None;
        };
        let number = GIVEN.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(point).join(format!("setpoint-limits-{}-{number}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&folder) {
            println!("skipped: {}: {error}", folder.display());
            return None;
        }
        let given = Given(folder);
        std::fs::create_dir(given.0.join("setpoint-controller")).expect("a group inside");
        if given.0.join("cgroup.kill").exists() {
            Some(given)
        } else {
            println!("skipped: this kernel has no cgroup.kill");
            None
        }
    }

    /// The groups of instances, by their last words.
    fn groups(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the group").flatten();
        let names =
            entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter(|name| name != "setpoint-controller")
            .map(|name| name.rsplit('-').next().unwrap_or("").to_owned())
            .collect();
        names.sort();
        names
    }

    /// Starts a controller in the background in the group that says so.
    fn start(&self, world: &World) {
        let line = format!("echo 0 > {}/setpoint-controller/cgroup.procs && exec \"$@\"", self.0.display());
        let words = ["-c", &line, "sh", env!("CARGO_BIN_EXE_setpoint"), "controller", "start"];
        let started = Command::new("sh").args(words).env("SETPOINT_HOME", world.home()).output().expect("a shell");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..1000 {
            let inside = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
            inside.filter(|path| path.is_dir()).for_each(|path| _ = std::fs::remove_dir(path));
            if std::fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

#[test]
fn every_instance_has_a_group_of_its_own_and_takes_it_along() {
    let Some(given) = Given::new() else { return };
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", "replicas: 2\nstop: { grace: 200ms }"));
    let stubborn =
        "\"trap '' TERM; setsid sh -c 'trap \\\"\\\" TERM; sleep 100000; sleep 100000' & sleep 100000; wait\"";
    world.write("db.yaml", &service("db", stubborn, "stop: { grace: 200ms }\nlimits: { processes: 50 }"));
    world.apply();
    given.start(&world);
    for name in ["web/0", "web/1", "db/0"] {
        world.ready(name);
    }
    assert_eq!(given.groups(), ["service.db.0", "service.web.0", "service.web.1"]);
    let main = world.ready("db/0");
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", main.pid)).expect("a live process");
    assert!(own.lines().any(|line| line.starts_with("0::") && line.ends_with("-service.db.0")), "{own}");
    // The shim stays with the controller: it has to outlive what it kills.
    let shim = world.instance("db/0").shim.expect("a shim");
    let own = std::fs::read_to_string(format!("/proc/{shim}/cgroup")).expect("a live process");
    assert!(own.lines().any(|line| line.ends_with("/setpoint-controller")), "{own}");
    world.ok(&["delete", "db"]);
    assert_eq!(given.groups(), ["service.web.0", "service.web.1"]);
    assert!(!processes::is_alive(main));
    // A restart is in a group again, whoever ended the one before.
    let shim = processes::id(world.instance("web/1").shim.expect("a shim"));
    assert!(processes::send(shim, Signal::KILL));
    world.until("it is started anew", || world.attempts("web/1").len() == 2);
    world.ready("web/1");
    assert_eq!(given.groups(), ["service.web.0", "service.web.1"]);
    world.ok(&["controller", "stop", "--all"]);
    assert_eq!(given.groups(), [""; 0]);
}

#[test]
fn limits_without_their_controllers_are_said() {
    let Some(given) = Given::new() else { return };
    if std::fs::read_to_string(given.0.join("cgroup.controllers")).is_ok_and(|text| text.contains("memory")) {
        println!("skipped: the memory controller is there");
        return;
    }
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", "limits: { memory: 64Mi }"));
    world.apply();
    given.start(&world);
    world.ready("web/0");
    let words = format!("limits.memory is not enforced here: {} has no memory controller", given.0.display());
    assert!(world.ok(&["describe", "web"]).contains(&words));
    assert!(world.run(&["validate", "-f", "manifests"]).err.contains(&words));
    world.ok(&["controller", "stop", "--all"]);
}
