//! Story 15: what a person said stays said, through controllers, applies and restarts.

use chrono::DateTime;

use crate::processes;
use crate::world::{World, service};

fn two() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    world.write("db.yaml", &service("db", "sleep 100000", ""));
    world
}

#[test]
fn s15_paused_stays_down_until_it_is_resumed() {
    let world = two();
    world.apply();
    let controller = world.controller();
    let (web, db) = (world.ready("web/0"), world.ready("db/0"));
    world.ok(&["pause", "web", "--reason", "the disk is being moved"]);
    world.until_state("web/0", "Paused");
    world.until("it is gone", || !processes::is_alive(web));
    controller.kill();
    let _controller = world.controller();
    // An apply with a change of the very object keeps the pause.
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: two }"));
    world.ok(&["apply", "-f", "manifests"]);
    world.ok(&["restart", "web"]);
    world.ready("db/0");
    assert_eq!(world.state("web/0"), "Paused");
    assert!(world.ok(&["describe", "web"]).contains("the disk is being moved"));
    assert_eq!(world.attempts("web/0").len(), 1);
    world.ok(&["resume", "web"]);
    world.ready("web/0");
    assert_eq!(world.attempts("web/0").len(), 2);
    assert_eq!(world.mains()["service/db/0"], [db], "the other was touched");
}

#[test]
fn s15_a_pause_with_an_end_ends_by_itself() {
    let world = two();
    world.apply();
    let controller = world.controller();
    let web = world.ready("web/0");
    let said = world.ok(&["pause", "web", "--for", "6s"]);
    let until = said.split_whitespace().last().and_then(|word| DateTime::parse_from_rfc3339(word).ok());
    let until = until.and_then(|until| u64::try_from(until.timestamp()).ok()).expect("when it ends");
    world.until("it is gone", || !processes::is_alive(web));
    controller.kill();
    let _controller = world.controller();
    world.ready("web/0");
    let attempts = world.attempts("web/0");
    assert_eq!(attempts.len(), 2, "{}", world.story());
    let up = attempts[1].0.started_wall_ns / 1_000_000_000;
    assert!(up >= until, "up at {up}, paused until {until}");
}

#[test]
fn s15_stop_all_is_not_fought_and_start_brings_back_what_is_not_paused() {
    let world = two();
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    world.ok(&["pause", "db"]);
    world.until_state("db/0", "Paused");
    world.ok(&["controller", "stop", "--all"]);
    assert!(world.processes().is_empty(), "{:?}", world.processes());
    let end = world.attempts("web/0")[0].1.clone().expect("an end");
    assert!(end.asked && end.tree_left == 0, "{end:?}");
    world.ok(&["controller", "start"]);
    world.ready("web/0");
    assert_eq!((world.state("db/0"), world.attempts("db/0").len()), ("Paused".to_owned(), 1));
    // Without a controller it is one command just the same.
    world.kill_controller();
    world.ok(&["controller", "stop", "--all"]);
    assert!(world.processes().is_empty(), "{:?}", world.processes());
}

#[test]
fn s15_deleted_is_gone_for_good_and_undone_is_back() {
    let world = two();
    world.apply();
    let controller = world.controller();
    let (web, db) = (world.ready("web/0"), world.ready("db/0"));
    world.ok(&["delete", "service/web"]);
    assert!(!processes::is_alive(web), "delete returned before it was gone");
    controller.kill();
    let _controller = world.controller();
    world.ready("db/0");
    assert!(!world.get().contains_key("service/web/0"), "{}", world.story());
    world.ok(&["undo", "service/web"]);
    world.ready("web/0");
    assert_eq!(world.mains()["service/db/0"], [db]);
}

#[test]
fn s15_deleted_while_nobody_supervises() {
    let world = two();
    world.apply();
    let controller = world.controller();
    let web = world.ready("web/0");
    world.ready("db/0");
    controller.kill();
    world.ok(&["delete", "web", "--no-wait"]);
    world.until("it is gone", || !processes::is_alive(web));
    world.ok(&["wait", "--for", "deleted", "web"]);
    // One that needed a controller got one.
    world.ok(&["controller", "status"]);
}
