//! Story 4: many starts, one controller; whatever a dead one left is no obstacle. And how a controller ends.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::processes::{self, Process};
use crate::world::{Dice, World, said, service};

#[test]
fn s4_twenty_starts_at_once_leave_one_controller_and_nineteen_honest_words() {
    let world = World::new();
    let start = || {
        let mut command = world.command(&["controller", "start"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary")
    };
    let children: Vec<_> = (0..20).map(|_| start()).collect();
    let all: Vec<_> = children.into_iter().map(|child| said(child.wait_with_output().expect("its end"))).collect();
    assert!(all.iter().all(|said| said.code == 0), "{all:#?}\n{}", world.story());
    let words = |text: &str| all.iter().filter(|said| said.err.contains(text)).count();
    assert_eq!((words("started in the background"), words("a controller runs already")), (1, 19), "{all:#?}");
    let pid = world.controller_pid().expect("its pid file").pid;
    assert!(all.iter().all(|said| said.err.contains(&format!("(pid {pid})"))), "{pid}: {all:#?}");
    let controllers = world.processes();
    assert_eq!(controllers.len(), 1, "{controllers:?}");
}

#[test]
fn s4_what_a_killed_controller_left_needs_nobody_to_remove_it() {
    let world = World::new();
    for _ in 0..3 {
        world.ok(&["controller", "start"]);
        world.kill_controller();
        for left in ["controller.pid", "controller.lock", "controller.sock"] {
            assert!(world.home().join(left).exists(), "{left} should be left over here");
        }
        let status = world.run(&["controller", "status"]);
        assert_eq!(status.code, 4, "{status:?}");
    }
    // Even when its number belongs to somebody else by now.
    std::fs::write(world.home().join("controller.pid"), format!("{}\n", std::process::id())).expect("a pid file");
    world.ok(&["controller", "start"]);
    world.ok(&["controller", "status"]);
    world.ok(&["controller", "stop"]);
    for gone in ["controller.pid", "controller.sock"] {
        assert!(!world.home().join(gone).exists(), "{gone} is left by a clean end");
    }
}

#[test]
fn s4_an_ending_controller_takes_nothing_from_its_successor() {
    let world = World::new();
    for round in 0..10 {
        world.ok(&["controller", "start"]);
        let pid = world.controller_pid().unwrap_or_else(|| panic!("round {round}: no pid file")).pid;
        let status = world.ok(&["controller", "status", "-o", "json"]);
        assert!(status.contains(&format!("\"pid\": {pid}")), "round {round}: {status}");
        world.ok(&["controller", "stop"]);
    }
    // Both at once, from several sides: every word is honest, and the last start wins.
    std::thread::scope(|scope| {
        for side in 0..3_u64 {
            let world = &world;
            scope.spawn(move || {
                let mut dice = Dice::new(side);
                for _ in 0..8 {
                    let verb = if dice.below(2) == 0 { "start" } else { "stop" };
                    let said = world.run(&["controller", verb]);
                    assert_eq!(said.code, 0, "{verb} of side {side}: {said:?}\n{}", world.story());
                }
            });
        }
    });
    world.ok(&["controller", "start"]);
    let pid = world.controller_pid().expect("a pid file of a live controller").pid;
    assert!(world.home().join("controller.sock").exists());
    let status = world.ok(&["controller", "status"]);
    assert!(status.contains(&format!("pid {pid}")), "{status}");
}

#[test]
fn s4_a_second_controller_in_the_foreground_is_refused() {
    let world = World::new();
    let first = world.controller();
    let second = world.run(&["controller", "run"]);
    assert_eq!(second.code, 5, "{second:?}");
    assert!(second.err.contains(&format!("(pid {})", first.id())), "{second:?}");
    assert_eq!(world.controller_pid().expect("still there").pid, first.id());
    // The loser has not touched what the winner answers with.
    world.ok(&["controller", "status"]);
}

#[test]
fn s15_term_and_int_leave_services_running_and_exit_clean() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    world.apply();
    let mut before = None;
    for signal in [Signal::TERM, Signal::INT] {
        let controller = world.controller();
        let web = world.ready("web/0");
        assert_eq!(before.get_or_insert(web), &web, "restarted");
        controller.signal(signal);
        assert_eq!(controller.wait(), Some(0));
        assert!(processes::is_alive(web), "{signal:?} to the controller ended the service");
        assert!(!world.home().join("controller.pid").exists());
        let state = std::fs::read_to_string(world.home().join("state.json")).expect("state.json");
        assert!(state.contains("\"running\": false"), "{state}");
    }
}

#[test]
fn s15_a_second_signal_ends_at_once_what_would_wait_for_a_slow_stop() {
    let world = World::new();
    let slow = service("slow", "\"trap '' TERM; while :; do sleep 0.1; done\"", "stop: { grace: 60s }");
    world.write("slow.yaml", &slow);
    world.apply();
    let controller = world.controller();
    let slow = world.ready("slow/0");
    let stop = world.command(&["controller", "stop", "--all"]).stderr(Stdio::piped()).spawn().expect("the binary");
    world.until("it is being stopped", || world.state("slow/0") == "Stopping");
    controller.signal(Signal::TERM);
    assert_eq!(controller.wait(), Some(130));
    assert!(processes::is_alive(slow), "its grace is not over");
    let stopped = said(stop.wait_with_output().expect("whoever asked is let go of"));
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert!(stopped.err.contains("before everything was stopped"), "{stopped:?}");
}

#[test]
fn s15_closing_the_terminal_leaves_the_controller_alive() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    let line = format!("{} apply -f manifests; sleep 100001", env!("CARGO_BIN_EXE_setpoint"));
    let terminal = std::process::Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(world.root())
        .env("SETPOINT_HOME", world.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut terminal) = terminal else {
        println!("skipped: there is no `script` to make a terminal with");
        return;
    };
    let web = world.ready("web/0");
    let is_in_terminal = |process: &Process| process.comm == "sleep" && process.instance().is_none();
    world.until("the terminal waits", || world.processes().iter().any(is_in_terminal));
    let controller = world.controller_pid().expect("a controller");
    terminal.kill().expect("the terminal closes");
    terminal.wait().expect("its end");
    world.until("what ran in the terminal is gone", || !world.processes().iter().any(is_in_terminal));
    assert!(processes::is_alive(controller) && processes::is_alive(web), "{}", world.story());
    world.ok(&["controller", "status"]);
}

#[test]
fn a_controller_begins_anew_without_what_a_service_left_in_the_environment() {
    let world = World::new();
    let home = world.home().display().to_string();
    assert_begins_anew(&world, &["--home", &home, "controller", "run"]);
    assert_begins_anew(&world, &["controller", "run", "--home", &home]);
}

#[track_caller]
fn assert_begins_anew(world: &World, words: &[&str]) {
    let mut command = world.command(words);
    command.env("SETPOINT_INSTANCE", "0000000000000000/service/x/0").env("SETPOINT_ATTEMPT", "1");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary");
    let mut ended = None;
    world.until("it answers, or has ended", || {
        ended = child.try_wait().expect("a child of ours");
        ended.is_some() || world.run(&["controller", "status"]).code == 0
    });
    assert!(ended.is_none(), "{:?}", said(child.wait_with_output().expect("its end")));
    let controller = Process::of(child.id()).expect("a live controller");
    assert_eq!(controller.variable("SETPOINT_INSTANCE"), None);
    child.kill().expect("a child of ours");
    child.wait().expect("its end");
}

#[test]
fn a_reload_by_hup_finds_what_nobody_told_the_controller() {
    let world = World::new();
    let controller = world.controller();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    world.apply();
    controller.signal(Signal::HUP);
    world.ready("web/0");
    controller.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(world.run(&["controller", "status"]).code, 0, "HUP ended it");
}
