//! Numbers that were somebody else's, the dead that are still listed, the frozen, and tables one may not read.
//!
//! All of it in a pid namespace of the test's own, where numbers wrap early and nobody else is to be harmed.

use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::machine::{chmod, shell_of, shims, skipped};
use crate::namespaces::{First, inside, kill};
use crate::processes::{self, Id};
use crate::world::{World, said, service};

/// How many numbers there are inside: the kernel takes no fewer than 301.
const PID_MAX: u32 = 400;

/// The first number that is used again after they have wrapped.
const PID_REUSED: u32 = 300;

/// Makes numbers scarce inside. False, with the reason printed, where the limit would be the whole machine's.
fn scarce() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut parts = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    // Since then each pid namespace has a limit of its own.
    if (parts.next(), parts.next()) < (Some(6), Some(14)) {
        return skipped("before Linux 6.14 a small pid_max would be the whole machine's");
    }
    match std::fs::write("/proc/sys/kernel/pid_max", PID_MAX.to_string()) {
        Ok(()) => true,
        Err(error) => skipped(&format!("pid_max cannot be set: {error}")),
    }
}

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a process")
}

/// Uses up numbers until the next ones are among those that come again.
fn burn() {
    for _ in 0..PID_MAX {
        let mut child = sleeper();
        let is_there = child.id() >= PID_REUSED;
        kill(&mut child);
        if is_there {
            return;
        }
    }
    panic!("numbers do not grow");
}

/// A stranger who has this number.
fn stranger_at(pid: u32) -> Child {
    for _ in 0..4 * PID_MAX {
        let mut child = sleeper();
        if child.id() == pid {
            // What a careless look at the name alone would take for a shim.
            _ = std::fs::write(format!("/proc/{pid}/comm"), "sp-ready");
            return child;
        }
        kill(&mut child);
    }
    panic!("{pid} was never given out again");
}

#[test]
fn story_3_a_recorded_pid_that_is_somebody_elses_is_neither_counted_nor_signalled() {
    let name = "pids::story_3_a_recorded_pid_that_is_somebody_elses_is_neither_counted_nor_signalled";
    if !inside(name, First::Init) || !scarce() {
        return;
    }
    burn();
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    let web = world.ready("web/0");
    let controller = world.controller();
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    world.kill_controller();
    // The shim first: it would write down the end of its payload.
    for process in [shim, web] {
        assert!(processes::send(process, Signal::KILL));
        world.until("it is gone", || !processes::is_alive(process));
    }
    let mut strangers = [shim, web, controller].map(|id: Id| stranger_at(id.pid));
    let status = world.run(&["controller", "status"]);
    assert_eq!(status.code, 4, "{status:?}");
    assert_eq!(world.run(&["controller", "stop"]).code, 0);
    assert_eq!(world.instance("web/0").pid, None, "a stranger counts as alive");
    world.ok(&["controller", "start"]);
    let again = world.until_state("web/0", "Ready");
    assert_eq!((again.attempt, shims(&world, "web/0")), (2, 1), "{again:?}");
    world.ok(&["restart", "web"]);
    world.until("it is replaced", || world.instance("web/0").attempt == 3);
    world.ok(&["delete", "web"]);
    world.ok(&["controller", "stop", "--all"]);
    for stranger in &mut strangers {
        assert_eq!(stranger.try_wait().expect("a child"), None, "a stranger was signalled");
        kill(stranger);
    }
}

#[test]
fn story_3_the_defunct_are_dead_even_when_nobody_takes_them_in() {
    let name = "pids::story_3_the_defunct_are_dead_even_when_nobody_takes_them_in";
    if !inside(name, First::Test) {
        return;
    }
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    let web = world.ready("web/0");
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    assert!(processes::send(shim, Signal::KILL));
    // The controller ends what a shim leaves.
    for process in [shim, web] {
        world.until("it is defunct", || processes::stat(process.pid).is_some_and(|(state, _)| state == 'Z'));
    }
    world.until("the next attempt is ready", || {
        let again = world.instance("web/0");
        again.state == "Ready" && again.attempt == 2
    });
    assert_eq!(shims(&world, "web/0"), 1);
    // And for one that looks for the first time.
    let again = world.ready("web/0");
    world.kill_controller();
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    for process in [shim, again] {
        assert!(processes::send(process, Signal::KILL));
    }
    world.until("nothing runs", || world.instance("web/0").pid.is_none());
    world.ok(&["controller", "start"]);
    world.until("the third attempt is ready", || {
        let again = world.instance("web/0");
        again.state == "Ready" && again.attempt == 3
    });
}

#[test]
fn story_3_the_frozen_are_alive_and_said_to_be_frozen() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    let web = world.ready("web/0");
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    assert!(processes::send(web, Signal::STOP));
    let frozen = world.until_state("web/0", "Frozen");
    assert!(frozen.reason.contains("kill -CONT"), "{frozen:?}");
    assert!(processes::send(shim, Signal::STOP));
    world.kill_controller();
    world.ok(&["controller", "start"]);
    assert_eq!(world.instance("web/0").pid, Some(web.pid));
    assert!(processes::send(shim, Signal::CONT) && processes::send(web, Signal::CONT));
    assert_eq!((world.ready("web/0"), shims(&world, "web/0")), (web, 1), "a frozen process was replaced");
}

#[test]
fn a_table_that_hides_others_is_enough_for_ones_own_services() {
    let name = "pids::a_table_that_hides_others_is_enough_for_ones_own_services";
    if !inside(name, First::Init) {
        return;
    }
    let hidden = said(Command::new("mount").args(["-o", "remount,hidepid=2", "/proc"]).output()).expect("mount");
    if hidden.code != 0 {
        skipped(&format!("/proc cannot hide processes: {}", hidden.err.trim()));
        return;
    }
    let world = World::new();
    chmod(world.root(), 0o755);
    std::fs::create_dir(world.home()).expect("a home");
    chmod(world.home(), 0o700);
    std::os::unix::fs::chown(world.home(), Some(NOBODY), Some(NOBODY)).expect("chown");
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    let nobody = |line: &str| world.lines(shell_of(NOBODY), line);
    let probe = nobody("setpoint version");
    if probe.code != 0 {
        skipped(&format!("another user cannot run the binary: {}", probe.err.trim()));
        return;
    }
    let applied = nobody("setpoint apply -f manifests --wait");
    assert_eq!(applied.code, 0, "{applied:?}");
    let pid = || nobody("setpoint get -o json | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p'").out.trim().to_owned();
    let first = pid();
    assert!(!first.is_empty() && nobody("setpoint get").err.is_empty(), "a gap: {:?}", nobody("setpoint get"));
    // Seen again by a controller that knows nothing.
    assert_eq!(nobody("kill -9 $(cat \"$SETPOINT_HOME/controller.pid\"); setpoint controller start").code, 0);
    assert_eq!(pid(), first);
    nobody(&format!("kill -9 {first}"));
    world.until("it is back", || {
        let now = pid();
        !now.is_empty() && now != first
    });
    assert_eq!(nobody("setpoint controller stop --all").code, 0);
}

/// A user who owns nothing else.
const NOBODY: u32 = 54_321;
