//! Story 10: an edit takes effect where it matters, and nowhere else; a broken file changes nothing.

use std::fs;
use std::time::Instant;

use crate::processes::{self, Id};
use crate::world::{World, service};

/// The problems the controller tells of.
fn problems(world: &World) -> String {
    world.run(&["controller", "status"]).out
}

/// What `service/NAME` runs as; exactly one process.
#[track_caller]
fn only(world: &World, name: &str) -> Id {
    let mains = world.mains();
    match mains.get(&format!("service/{name}/0")).map(Vec::as_slice) {
        Some([id]) => *id,
        other => panic!("{name} runs as {other:?}\n{}", world.story()),
    }
}

/// Waits until the one process of a service has this environment.
#[track_caller]
fn until_variable(world: &World, name: &str, value: &str) {
    let instance = format!("service/{name}/0");
    world.until(&format!("{name} runs with A={value}"), || {
        let all = world.processes();
        all.iter().any(|p| !p.is_shim() && p.instance() == Some(&instance) && p.variable("A") == Some(value))
    });
}

/// Two more of the set, so that the loss of one file is not the loss of most.
const BYSTANDERS: [&str; 2] = ["other", "third"];

fn live_world() -> World {
    let world = World::new();
    for name in BYSTANDERS {
        world.write(&format!("{name}.yaml"), &service(name, "sleep 100000", ""));
    }
    world
}

#[test]
fn s10_an_applied_edit_restarts_only_what_it_touches() {
    let world = live_world();
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: one }"));
    world.apply();
    let _controller = world.controller();
    let (web, other) = (world.ready("web/0"), world.ready("other/0"));
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: two }"));
    world.ok(&["apply", "-f", "manifests"]);
    until_variable(&world, "web", "two");
    world.ready("web/0");
    assert!(!processes::is_alive(web), "the old one still runs");
    assert_eq!(only(&world, "other"), other, "the other was restarted");
    assert_eq!(world.attempts("web/0").len(), 2);
}

#[test]
fn s10_policy_and_labels_apply_live() {
    let world = World::new();
    let run = "\"echo 1; while read -r line; do echo $line; done < pipe; sleep 100000\"";
    world.write("web.yaml", &service("web", run, ""));
    let pipe = world.manifests().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a fifo");
    world.apply();
    let _controller = world.controller();
    let web = world.ready("web/0");
    let files = || fs::read_dir(world.home().join("logs/service/web")).map_or(0, Iterator::count);
    assert_eq!(files(), 1);
    let more =
        "labels: { tier: front }\nstop: { grace: 3s }\nlog: { maxSize: 4Ki, maxFiles: 7 }\nbackoff: { from: 2s }";
    world.write("web.yaml", &service("web", run, more));
    world.ok(&["apply", "-f", "manifests"]);
    let policy = world.home().join("records/service/web/0/policy");
    world.until("the policy is written", || {
        fs::read_to_string(&policy).is_ok_and(|text| text.contains("4096") && text.contains("3000"))
    });
    // 20 KiB through a limit of 4 KiB: files that the old limit of 50 MiB would never have made.
    let text = format!("{}\n", "x".repeat(99)).repeat(200);
    fs::write(&pipe, text).expect("a reader");
    world.until("the new limit is used", || files() > 4);
    assert_eq!((only(&world, "web"), world.attempts("web/0").len()), (web, 1), "restarted for a policy");
    assert!(world.ok(&["get", "-l", "tier=front", "-o", "name"]).contains("service/web"));
}

#[test]
fn s10_a_live_folder_is_followed_and_a_broken_file_changes_nothing() {
    let world = live_world();
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: one }"));
    let _controller = world.controller_with(&["-f", "manifests"]);
    let (web, other) = (world.ready("web/0"), world.ready("other/0"));
    // Invalid: what runs goes on, and the file and the line are named.
    world.write("web.yaml", "kind: Service\nname: web\nrun: sleep 100000\nreplicaz: 3\n");
    world.until("the broken file is named", || problems(&world).contains("web.yaml:4"));
    assert_eq!((only(&world, "web"), only(&world, "other")), (web, other));
    assert_eq!(world.state("web/0"), "Ready");
    // Mended, with a change.
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: two }"));
    until_variable(&world, "web", "two");
    world.until("the old one is gone", || !processes::is_alive(web));
    assert_eq!(only(&world, "other"), other);
}

#[test]
fn s10_a_file_written_in_two_halves_is_one_edit() {
    let world = live_world();
    world.write("web.yaml", &service("web", "sleep 100000", "env: { A: one }"));
    let _controller = world.controller_with(&["-f", "manifests"]);
    let (web, other) = (world.ready("web/0"), world.ready("other/0"));
    let whole = service("web", "sleep 100000", "env: { A: two, B: \"2\" }");
    let half = whole.split_once(", B").expect("two halves").0;
    world.write("web.yaml", half);
    // Nothing is heard of the first half for a while, but for a complaint at most.
    world.until("the first half has been read", || {
        assert_eq!(only(&world, "web"), web);
        problems(&world).contains("web.yaml")
    });
    world.write("web.yaml", &whole);
    until_variable(&world, "web", "two");
    assert_eq!(world.attempts("web/0").len(), 2, "the first half was taken for a whole");
    assert_eq!(only(&world, "other"), other);
}

#[test]
fn s10_a_live_file_that_is_deleted_recreated_or_renamed() {
    let world = live_world();
    let text = service("web", "sleep 100000", "env: { A: one }");
    world.write("web.yaml", &text);
    let _controller = world.controller_with(&["-f", "manifests"]);
    let (web, other) = (world.ready("web/0"), world.ready("other/0"));
    // Saved as many editors do: gone for a moment, then there again.
    let file = world.manifests().join("web.yaml");
    fs::remove_file(&file).expect("a file");
    world.write("web.yaml", &text);
    // Renamed: the object is the same.
    fs::rename(&file, world.manifests().join("front.yaml")).expect("a file");
    world.write("third.yaml", &service("third", "sleep 100000", "env: { A: seen }"));
    until_variable(&world, "third", "seen");
    assert_eq!(only(&world, "web"), web, "restarted for a rename");
    // Deleted: it goes, though not before two seconds of absence.
    let begun = Instant::now();
    fs::remove_file(world.manifests().join("front.yaml")).expect("a file");
    world.until("it is gone", || !world.mains().contains_key("service/web/0"));
    assert!(begun.elapsed().as_secs() >= 2, "gone after {:?}", begun.elapsed());
    // And recreated, it is a new object.
    world.write("web.yaml", &text);
    world.ready("web/0");
    assert!(!processes::is_alive(web));
    assert_eq!(only(&world, "other"), other);
    assert_eq!(world.attempts("web/0").len(), 2, "numbers of attempts go on over a deletion");
}

#[test]
fn s10_an_emptied_live_folder_stops_nothing() {
    let world = live_world();
    let _controller = world.controller_with(&["-f", "manifests"]);
    let running = BYSTANDERS.map(|name| world.ready(&format!("{name}/0")));
    for name in BYSTANDERS {
        fs::remove_file(world.manifests().join(format!("{name}.yaml"))).expect("a file");
    }
    world.until("a person is told", || problems(&world).contains("left over"));
    assert_eq!(BYSTANDERS.map(|name| only(&world, name)), running);
    for name in BYSTANDERS {
        world.write(&format!("{name}.yaml"), &service(name, "sleep 100000", ""));
    }
    world.until("they are no longer left over", || {
        !world.ok(&["get", "-o", "json"]).contains("leftover\": true")
            && !world.ok(&["describe", "other"]).contains("left over")
    });
    assert_eq!(BYSTANDERS.map(|name| only(&world, name)), running);
}

#[test]
fn s10_plain_apply_refuses_a_broken_file_whole() {
    let world = live_world();
    world.apply();
    let _controller = world.controller();
    let other = world.ready("other/0");
    world.write("third.yaml", &service("third", "sleep 100000", "env: { A: new }"));
    world.write("other.yaml", "kind: Service\nname: other\nrun: [sleep\n");
    let said = world.run(&["apply", "-f", "manifests"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("other.yaml:"), "{said:?}");
    assert_eq!(only(&world, "other"), other);
    assert_eq!(world.attempts("third/0").len(), 1, "half of a broken load was applied");
}
