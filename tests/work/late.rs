//! Starts that come late: whoever gave them up has gone on long since.
//!
//! In: a fork server that is stopped while something is to begin. Out: what was done is counted. Not here: the same of
//! services, which `host/forkserver.rs` has.
//! The surprise: what is removed of a run that is over is just what would refuse to do it again.

use rustix::process::Signal;

use crate::asks::{outcome, runs};
use crate::processes::{self, Id, Process};
use crate::world::World;

/// A world with a controller, and the fork server of that.
fn settled() -> (World, Id) {
    let world = World::new();
    let work = format!("kind: Job\nname: late\nrun: echo done >> '{}'\n", world.root().join("out").display());
    world.write("all.yaml", &(work + "---\nkind: Service\nname: web\nrun: sleep 1000\n"));
    world.apply();
    world.ok(&["controller", "start"]);
    world.until("the first run is over", || done(&world) == 1);
    let main = Process::of(world.ready("web/0").pid).expect("a payload");
    let home = main.variable("SETPOINT_INSTANCE").and_then(|marker| marker.split('/').next()).expect("a marker");
    let word = format!("home={home}");
    let is_server =
        |process: &Process| process.comm == "setpoint-fork" && processes::argv(process.id.pid).contains(&word);
    let server = processes::all().into_iter().find(is_server).expect("a fork server").id;
    (world, server)
}

/// How often it was done.
fn done(world: &World) -> usize {
    std::fs::read_to_string(world.root().join("out")).unwrap_or_default().lines().count()
}

/// Lets it go on, and waits until it has done all that it would.
fn go_on(world: &World, server: Id) {
    assert!(processes::send(server, Signal::CONT));
    world.until("it has gone", || !processes::is_alive(server));
    let folder = world.home().join("records/job/late");
    world.until("nothing is left", || std::fs::read_dir(&folder).is_ok_and(|entries| entries.count() == 0));
}

#[test]
fn what_was_done_by_another_start_is_not_done_again() {
    let (world, server) = settled();
    assert!(processes::send(server, Signal::STOP));
    world.ok(&["run", "late", "--wait"]);
    assert_eq!(done(&world), 2);
    go_on(&world, server);
    assert_eq!(done(&world), 2, "a run was done twice");
}

#[test]
fn what_was_cancelled_meanwhile_is_not_done() {
    let (world, server) = settled();
    assert!(processes::send(server, Signal::STOP));
    world.ok(&["run", "late"]);
    world.ok(&["cancel", "job/late"]);
    let is_cancelled = || runs(&world, "job/late").values().any(|row| outcome(row) == "cancelled");
    world.until("it is cancelled", is_cancelled);
    go_on(&world, server);
    assert_eq!(done(&world), 1, "a run was done that was cancelled");
}

#[test]
fn nothing_begins_after_everything_was_stopped() {
    let (world, server) = settled();
    let web = world.ready("web/0");
    assert!(processes::send(server, Signal::STOP));
    assert!(processes::send(web, Signal::KILL));
    world.ok(&["run", "late"]);
    world.ok(&["controller", "stop", "--all"]);
    assert!(processes::send(server, Signal::CONT));
    world.until("it has gone", || !processes::is_alive(server));
    world.until("nothing of it lives", || world.processes().is_empty());
    assert_eq!(done(&world), 1, "a run began after the stop");
}
