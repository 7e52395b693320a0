//! Controllers that die between the claim of a request and its end, and requests that grew old.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::asked::{asking, events, waiting, wrote};
use crate::world::World;

/// Holds the lock that every writer of the desired state takes: whoever carries a request out waits for it.
fn hold(world: &World) -> File {
    let file = File::options().read(true).write(true).open(world.home().join("desired.lock")).expect("a lock");
    flock(&file, FlockOperation::LockExclusive).expect("it is free");
    file
}

fn file(world: &World, end: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(world.home().join("requests")).expect("a folder").flatten();
    entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|found| found == end))
}

fn count(world: &World, kind: &str) -> usize {
    events(world).iter().filter(|event| *event == kind).count()
}

#[test]
fn s3_16_killed_between_claim_and_act_it_is_neither_forgotten_nor_repeated() {
    let world = World::new();
    asking(&world, "cat \"${SETPOINT_HANDOFF:-/dev/null}\" >> got; echo life >> lives", "");
    world.apply();
    let controller = world.controller();
    world.ready("web/0");
    let lock = hold(&world);
    std::fs::write(world.root().join("note"), "to my successor\n").expect("a file");
    world.ok(&["request", "cycle", "--for", "web", "--handoff", "note", "-q"]);
    world.until("it is claimed", || file(&world, "claimed").is_some());
    controller.kill();
    assert_eq!(world.attempts("web/0").len(), 1, "it was carried out without the lock");
    drop(lock);
    let controller = world.controller();
    world.until("it was replaced", || world.attempts("web/0").len() == 2);
    world.until("it is done", || count(&world, "request-done") == 1);
    let main = world.ready("web/0");
    controller.kill();
    let _controller = world.controller();
    assert_eq!((world.ready("web/0"), world.attempts("web/0").len(), waiting(&world)), (main, 2, 0));
    assert_eq!((wrote(&world, "got"), wrote(&world, "lives")), ("to my successor\n".into(), "life\nlife\n".into()));
}

#[test]
fn killed_between_act_and_end_it_is_not_repeated_over_what_a_person_said_since() {
    let world = World::new();
    asking(&world, "", "");
    world.apply();
    let controller = world.controller();
    world.ready("web/0");
    let lock = hold(&world);
    world.ok(&["request", "shutdown", "--for", "web", "-q"]);
    world.until("it is claimed", || file(&world, "claimed").is_some());
    let claimed = file(&world, "claimed").expect("it is there");
    let copy = world.root().join("copy");
    std::fs::copy(&claimed, &copy).expect("a copy");
    drop(lock);
    world.until_state("web/0", "Paused");
    world.until("it is done", || count(&world, "request-done") == 1);
    controller.kill();
    // As it would lie there, had the kill come before its end was written.
    world.ok(&["resume", "web", "-q"]);
    std::fs::rename(&copy, &claimed).expect("it can be put back");
    let _controller = world.controller();
    world.until("it is known to be done", || count(&world, "request-done") == 2 && waiting(&world) == 0);
    world.ready("web/0");
    assert!(world.ok(&["events"]).contains("by the controller before this one"));
}

#[test]
fn a_request_that_nobody_read_for_six_hours_is_not_carried_out() {
    let world = World::new();
    asking(&world, "", "");
    world.apply();
    let controller = world.controller();
    let main = world.ready("web/0");
    controller.kill();
    let said = world.run(&["request", "shutdown", "--for", "web"]);
    assert!(said.code == 0 && said.err.contains("no controller runs"), "{said:?}");
    let path = file(&world, "json").expect("it is written");
    let mut request: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    request["at"] = json!((chrono::Utc::now() - chrono::TimeDelta::minutes(361)).to_rfc3339());
    std::fs::write(&path, request.to_string()).expect("it can be written");
    // Rubbish beside it is told and does not stay.
    std::fs::write(world.home().join("requests/19990101T000000Z-00000000.json"), "{").expect("a file");
    let _controller = world.controller();
    world.until("both are gone", || waiting(&world) == 0 && events(&world).len() == 2);
    assert_eq!(events(&world), ["request-refused", "request-expired"]);
    assert_eq!((world.ready("web/0"), world.attempts("web/0").len()), (main, 1));
    // A fresh one is carried out by whichever controller comes.
    world.ok(&["request", "restart", "--for", "web"]);
    world.until("it was replaced", || world.attempts("web/0").len() == 2);
}
