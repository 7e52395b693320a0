//! The controller as the only program of a container image.

use rustix::process::Signal;

use crate::container::Container;
use crate::processes;
use crate::world::{World, service};

/// A service that writes a line when it has taken its time to stop.
const SLOW: &str = "\"trap 'sleep 1; echo bye >> bye; exit 0' TERM; while :; do sleep 0.05; done\"";

fn world() -> World {
    let world = World::new();
    world.write("slow.yaml", &service("slow", SLOW, "dir: ..\nstop: { grace: 20s }"));
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world
}

const RUN: [&str; 4] = ["controller", "run", "-f", "manifests"];

#[test]
fn story_14_term_and_int_stop_everything_within_its_grace_and_exit_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = world();
        let Some(container) = Container::start(&world, &RUN) else { return };
        let all = [container.ready("slow"), container.ready("web")];
        container.send(signal);
        // A second one changes nothing.
        container.send(signal);
        let err = container.world.root().join("stderr");
        assert_eq!(container.end(), 0, "{signal:?}: {}", std::fs::read_to_string(&err).expect("its stderr"));
        assert!(!all.into_iter().any(processes::is_alive), "something is left");
        assert_eq!(std::fs::read_to_string(world.root().join("bye")).expect("its last word"), "bye\n");
        assert!(!world.home().join("controller.pid").exists(), "the controller could not tidy up");
        let said = std::fs::read_to_string(&err).expect("its stderr");
        assert!(said.contains("controller started") && said.contains("services are stopped"), "{said}");
    }
}

#[test]
fn a_stop_while_it_starts_is_a_stop() {
    for _ in 0..5 {
        let world = world();
        // Process 1 takes signals, and nothing else is there yet.
        let Some(container) = Container::start(&world, &RUN) else { return };
        container.send(Signal::TERM);
        assert_eq!(container.end(), 0, "{}", std::fs::read_to_string(world.root().join("stderr")).expect("its stderr"));
        assert_eq!(world.processes().len(), 0);
    }
}

#[test]
fn a_killed_controller_is_there_again_and_services_run_on() {
    let world = world();
    let Some(container) = Container::start(&world, &RUN) else { return };
    let all = [container.ready("slow"), container.ready("web")];
    for _ in 0..3 {
        let controller = container.controller();
        assert!(processes::send(controller, Signal::KILL));
        container.answers(Some(controller));
    }
    assert!(all.into_iter().all(processes::is_alive), "a service went with its controller");
    assert_eq!(all, [container.ready("slow"), container.ready("web")]);
    let said = container.said();
    assert_eq!(said.matches("ended by signal 9; it is started again").count(), 3, "{said}");
    // TERM is for process 1; a controller that gets it is replaced.
    let controller = container.controller();
    assert!(processes::send(controller, Signal::TERM));
    container.answers(Some(controller));
    assert_eq!(all, [container.ready("slow"), container.ready("web")]);
    container.send(Signal::TERM);
    assert_eq!(container.end(), 0);
}

#[test]
fn a_controller_killed_while_everything_stops_stops_nothing_from_stopping() {
    let world = world();
    let Some(container) = Container::start(&world, &RUN) else { return };
    let slow = container.ready("slow");
    let controller = container.controller();
    container.send(Signal::TERM);
    world.until("the stop has begun", || {
        let log = std::fs::read_to_string(world.home().join("controller.log")).unwrap_or_default();
        log.contains("stop") && log.contains("service/slow/0")
    });
    processes::send(controller, Signal::KILL);
    assert_eq!(container.end(), 0, "{}", std::fs::read_to_string(world.root().join("stderr")).expect("its stderr"));
    assert!(!processes::is_alive(slow));
    assert_eq!(std::fs::read_to_string(world.root().join("bye")).expect("its last word"), "bye\n");
}

#[test]
fn story_14_orphans_are_taken_in() {
    let world = world();
    let Some(container) = Container::start(&world, &RUN) else { return };
    let web = container.ready("web");
    // Their parent ends before them, and nobody but process 1 can take them in.
    let said = container.inside(&["/bin/sh", "-c", "i=0; while [ $i -lt 50 ]; do sleep 0.2 & i=$((i+1)); done"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let dead = |id: &processes::Id| processes::stat(id.pid).is_some_and(|(state, _)| state == 'Z');
    let name = |id: &processes::Id| std::fs::read_to_string(format!("/proc/{}/comm", id.pid)).unwrap_or_default();
    world.until("no orphan is left, alive or dead", || {
        !container.children().iter().any(|id| dead(id) || name(id).starts_with("sleep"))
    });
    // A shim that goes is an orphan, too.
    let shims = || container.children().into_iter().filter(|id| name(id).starts_with("sp-")).collect::<Vec<_>>();
    let before = shims();
    assert!(processes::send(web, Signal::KILL));
    world.until("its shim is gone, and not left dead", || {
        let gone = |shim: &processes::Id| processes::stat(shim.pid).is_none_or(|(_, started)| started != shim.started);
        before.iter().any(gone) && !container.children().iter().any(dead)
    });
    container.send(Signal::TERM);
    assert_eq!(container.end(), 0);
}

#[test]
fn hup_reaches_the_controller() {
    let world = world();
    let Some(container) = Container::start(&world, &RUN) else { return };
    container.ready("web");
    container.send(Signal::HUP);
    world.until("it reads everything again", || container.said().contains("reading everything again"));
    assert_eq!(container.run(&["controller", "status"]).code, 0);
    container.send(Signal::TERM);
    assert_eq!(container.end(), 0);
}

#[test]
fn stop_from_inside_is_another_controller_and_stop_all_is_the_end() {
    let world = world();
    let Some(container) = Container::start(&world, &RUN) else { return };
    let web = container.ready("web");
    let controller = container.controller();
    assert_eq!(container.run(&["controller", "stop"]).code, 0);
    container.answers(Some(controller));
    assert!(processes::is_alive(web));
    // One that is started beside it makes way in the end.
    container.run(&["controller", "restart"]);
    world.until("the controller of process 1 is back", || {
        let environ = std::fs::read(format!("/proc/{}/environ", container.answers(None).pid)).unwrap_or_default();
        !environ.is_empty() && !String::from_utf8_lossy(&environ).contains("SETPOINT_BACKGROUND=")
    });
    assert!(processes::is_alive(web));
    // Its end may come before its words have left the container.
    container.run(&["controller", "stop", "--all"]);
    assert_eq!(container.end(), 0);
    assert!(!processes::is_alive(web));
}

#[test]
fn what_cannot_begin_is_said_at_once_and_what_cannot_go_on_is_tried_again_with_pauses() {
    let world = world();
    let Some(container) = Container::start(&world, &["controller", "run", "-f", "nowhere"]) else { return };
    let err = world.root().join("stderr");
    assert_eq!(container.end(), 2);
    let said = std::fs::read_to_string(&err).expect("its stderr");
    assert!(said.contains("nowhere cannot be watched"), "{said}");

    let Some(container) = Container::start(&world, &RUN) else { return };
    let web = container.ready("web");
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(world.home(), permissions).expect("a mode");
    };
    let controller = container.controller();
    mode(0o755);
    assert!(processes::send(controller, Signal::KILL));
    world.until("it was tried five times", || {
        container.said().matches("ended with 1; it is started again").count() >= 5
    });
    assert!(processes::is_alive(web));
    mode(0o700);
    container.answers(Some(controller));
    assert_eq!(web, container.ready("web"));
    let said = container.said();
    assert!(said.matches("it is started again").count() < 12, "it spins:\n{said}");
    container.send(Signal::TERM);
    assert_eq!(container.end(), 0);
}
