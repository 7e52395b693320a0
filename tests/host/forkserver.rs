//! The process of which every shim is a copy: what a copy says of itself, and what becomes of starts without it.
//!
//! In: a controller with services. Out: the same services, whatever befalls that process. Not here: how fast it is.
//! The surprise: nothing depends on it, and it is gone with its controller.

use rustix::process::Signal;

use crate::processes::{self, Id, Process};
use crate::world::{World, service};

/// The fork servers of a home, by its id.
fn servers(home: &str) -> Vec<Id> {
    let word = format!("home={home}");
    let is_server = |process: &Process| {
        let argv = processes::argv(process.id.pid);
        process.comm == "setpoint-fork" && argv.get(1).is_some_and(|verb| verb == "forkserver") && argv[2] == word
    };
    processes::all().into_iter().filter(is_server).map(|process| process.id).collect()
}

/// A world with one service that is ready, the id of its home, and its fork server.
fn settled() -> (World, String, Id) {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms }\n"));
    world.apply();
    world.ok(&["controller", "start"]);
    let main = world.ready("web/0");
    let marker = Process::of(main.pid).and_then(|main| Some(main.variable("SETPOINT_INSTANCE")?.to_owned()));
    let home = marker.expect("a marker").split('/').next().expect("an id").to_owned();
    let found = servers(&home);
    assert_eq!(found.len(), 1, "{found:?}");
    (world, home, found[0])
}

/// Kills the payload and waits for the next.
fn next(world: &World) {
    let before = world.ready("web/0");
    assert!(processes::send(before, Signal::KILL));
    world.until("it is back", || world.state("web/0") == "Ready" && world.ready("web/0") != before);
}

#[test]
fn a_copy_says_who_it_is_and_is_nobodys_child() {
    let (world, home, server) = settled();
    let controller = world.controller_pid().expect("a controller");
    next(&world);
    let shims: Vec<Process> = world.processes().into_iter().filter(Process::is_shim).collect();
    let [shim] = shims.as_slice() else { panic!("{shims:?}") };
    let argv: Vec<String> = processes::argv(shim.id.pid).into_iter().filter(|word| !word.is_empty()).collect();
    assert_eq!(argv[..4], ["setpoint", "shim", "service/web/0", "attempt=2"]);
    assert!(argv[4].starts_with("rev=1:") && argv[5] == format!("home={home}"), "{argv:?}");
    assert_eq!(shim.variable("SETPOINT_HOME"), world.home().to_str());
    assert_eq!(shim.variable("SETPOINT_INSTANCE"), Some(&*format!("{home}/service/web/0")));
    assert_eq!(shim.variable("SETPOINT_ATTEMPT"), Some("2"));
    assert!(![server.pid, controller.pid].contains(&shim.parent), "{shim:?}");
    let of_server = Process::of(server.pid).expect("it lives");
    assert_ne!(of_server.parent, controller.pid);
    assert_eq!(of_server.variable("SETPOINT_INSTANCE"), None);
}

#[test]
fn it_goes_with_its_controller_and_comes_with_the_next() {
    let (world, home, server) = settled();
    let web = world.ready("web/0");
    world.kill_controller();
    world.until("it is gone", || !processes::is_alive(server));
    world.ok(&["controller", "start"]);
    world.until("there is another", || servers(&home).len() == 1);
    assert_eq!(world.ready("web/0"), web, "the service was restarted");
    next(&world);
}

#[test]
fn what_kills_it_costs_nobody_a_start() {
    let (world, home, server) = settled();
    assert!(processes::send(server, Signal::KILL));
    world.until("it is gone", || !processes::is_alive(server));
    next(&world);
    world.until("there is another", || servers(&home).len() == 1);
    assert_eq!(world.attempts("web/0").len(), 2);
}

#[test]
fn one_that_stands_still_is_replaced_and_starts_nothing_twice_when_it_goes_on() {
    let (world, home, server) = settled();
    assert!(processes::send(server, Signal::STOP));
    let before = world.ready("web/0");
    assert!(processes::send(before, Signal::KILL));
    world.until("another does its work", || world.state("web/0") == "Ready" && world.ready("web/0") != before);
    let web = world.ready("web/0");
    assert!(processes::send(server, Signal::CONT));
    world.until("the old one has gone", || !processes::is_alive(server));
    assert_eq!(servers(&home).len(), 1);
    assert_eq!((world.ready("web/0"), world.attempts("web/0").len()), (web, 2));
    let mains = world.mains();
    assert_eq!(mains["service/web/0"], [web], "{mains:?}");
}
