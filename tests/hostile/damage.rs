//! Files of the home that are deleted, cut short, replaced by rubbish, or written by another version.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::machine::shims;
use crate::processes::{self, Id};
use crate::world::{World, service};

/// A way in which a file goes bad, by name.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 4] = [
    ("deleted", |path| std::fs::remove_file(path).expect("gone")),
    ("empty", |path| std::fs::write(path, "").expect("written")),
    ("cut short", |path| {
        let bytes = std::fs::read(path).expect("bytes");
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    }),
    ("rubbish", |path| std::fs::write(path, "\0rubbish\u{1f980}".repeat(100)).expect("written")),
];

fn running() -> (World, Id) {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms }"));
    world.apply();
    let web = world.ready("web/0");
    (world, web)
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

/// Has the controller read everything again, and a successor of it too.
fn look_again(world: &World) {
    assert!(processes::send(world.controller(), Signal::HUP));
    world.until("the controller answers", || world.run(&["controller", "status"]).code == 0);
}

#[test]
fn a_damaged_generation_stops_nothing_and_the_next_apply_mends_it() {
    for (how, damage) in DAMAGES {
        let (world, web) = running();
        // A second generation, so that there is an older one to fall back on.
        world.write("more.yaml", &service("more", "sleep 1001", ""));
        world.apply();
        let more = world.ready("more/0");
        let newest = files(&world.home().join("desired"), ".json").pop().expect("a generation");
        damage(&newest);
        look_again(&world);
        for id in [web, more] {
            assert!(processes::is_alive(id), "{how}: something was ended");
        }
        let said = world.run(&["get"]);
        assert!(how == "deleted" || said.err.contains("generation 2 is damaged"), "{how}: it is not said: {said:?}");
        // Nothing is lost from supervision while the newest generation is known to the controller.
        assert!(processes::send(web, Signal::KILL));
        world.until("web is back", || world.instance("web/0").attempt == 2 && world.instance("web/0").state == "Ready");
        assert!(processes::is_alive(more), "{how}: something was ended");
        world.apply();
        let said = world.run(&["get"]);
        assert!(said.code == 0 && said.err.is_empty(), "{how}: not mended: {said:?}");
        world.ready("web/0");
        assert_eq!(world.ready("more/0"), more, "{how}: restarted");
        world.ok(&["delete", "more"]);
        assert!(!processes::is_alive(more), "{how}: not deleted");
    }
}

#[test]
fn records_that_cannot_be_read_double_nothing() {
    for (how, damage) in DAMAGES {
        let (world, web) = running();
        let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
        damage(&files(&world.home().join("records/service/web/0"), ".attempt")[0]);
        // By one that remembers, and by one that does not.
        look_again(&world);
        assert_eq!(shims(&world, "web/0"), 1, "{how}");
        world.kill_controller();
        world.ok(&["controller", "start"]);
        let status = world.run(&["controller", "status"]);
        assert_eq!(status.code, 0, "{how}: {status:?}");
        assert!(processes::is_alive(web) && processes::is_alive(shim), "{how}: what runs was ended");
        assert_eq!(shims(&world, "web/0"), 1, "{how}: doubled");
        let seen = world.instance("web/0");
        assert!(!seen.reason.is_empty() && seen.state != "Ready" || seen.pid == Some(web.pid), "{how}: {seen:?}");
        // Once it is ended by hand, the next one starts by itself.
        assert!(processes::send(shim, Signal::TERM));
        world.until("it has ended", || !processes::is_alive(shim));
        let again = world.until_state("web/0", "Ready");
        assert_ne!(again.pid, Some(web.pid), "{how}");
        assert_eq!(shims(&world, "web/0"), 1, "{how}: doubled");
    }
}

#[test]
fn records_that_are_removed_with_their_locks_double_nothing() {
    let (world, web) = running();
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    let remove = || std::fs::remove_dir_all(world.home().join("records")).expect("gone");
    remove();
    look_again(&world);
    world.kill_controller();
    world.ok(&["controller", "start"]);
    assert!(processes::is_alive(web) && processes::is_alive(shim), "what runs was ended");
    let seen = world.until_state("web/0", "Unknown");
    assert!(
        seen.reason.contains(&format!("its record was removed; to have it started anew: kill {}", shim.pid)),
        "{seen:?}"
    );
    assert_eq!(shims(&world, "web/0"), 1, "doubled");
    assert!(processes::send(shim, Signal::TERM));
    world.until("it has ended", || !processes::is_alive(shim) && !processes::is_alive(web));
    let again = world.until_state("web/0", "Ready");
    // Under one that remembers it, it is not given up either.
    remove();
    assert!(processes::send(again.pid.and_then(processes::id).expect("a process"), Signal::KILL));
    world.until("it is back", || {
        let seen = world.instance("web/0");
        seen.state == "Ready" && seen.pid.is_some_and(|pid| Some(pid) != again.pid)
    });
    assert_eq!(shims(&world, "web/0"), 1, "doubled");
}

#[test]
fn stop_all_names_what_it_could_not_tell_and_did_not_stop() {
    let (world, web) = running();
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    let record = files(&world.home().join("records/service/web/0"), ".attempt").remove(0);
    std::fs::write(record, "rubbish").expect("written");
    world.kill_controller();
    world.ok(&["controller", "start"]);
    let stopped = world.run(&["controller", "stop", "--all"]);
    assert!(processes::is_alive(web), "what was not known was ended");
    assert_eq!(stopped.code, 7, "{stopped:?}");
    assert!(
        stopped.err.contains("\n  service/web/0: its lock is held") && stopped.err.contains("help:"),
        "{stopped:?}"
    );
    assert!(processes::send(shim, Signal::TERM));
    world.until("it has ended", || !processes::is_alive(shim));
    world.ok(&["controller", "stop", "--all"]);
}

#[test]
fn a_record_of_another_version_is_left_alone() {
    let (world, web) = running();
    let record = files(&world.home().join("records/service/web/0"), ".attempt").remove(0);
    let text = std::fs::read_to_string(&record).expect("a record");
    let newer = text.replacen("setpoint-attempt 1", "setpoint-attempt 9", 1);
    assert_ne!(text, newer, "{text}");
    std::fs::write(&record, newer).expect("written");
    world.kill_controller();
    world.ok(&["controller", "start"]);
    assert_eq!((processes::is_alive(web), shims(&world, "web/0")), (true, 1));
}

#[test]
fn logs_and_policies_that_are_rubbish_are_an_inconvenience() {
    let (world, web) = running();
    let home = world.home();
    for file in ["state.json", "heartbeat", "controller.pid", "controller.log", "records/service/web/0/policy"] {
        std::fs::write(home.join(file), "\0rubbish\u{1f980}").expect("written");
    }
    for file in files(&home.join("logs/service/web"), "") {
        std::fs::write(file, "\0rubbish\nmore rubbish\n{}\n").expect("written");
    }
    std::fs::write(home.join("records/stray file"), "").expect("written");
    std::fs::create_dir_all(home.join("records/service/web/not a cause")).expect("a folder");
    std::fs::create_dir_all(home.join("records/no kind/no name/no cause")).expect("a folder");
    for words in [&["get"][..], &["describe", "web"], &["events"], &["logs", "web"], &["controller", "logs"]] {
        assert_eq!(world.run(words).code, 0, "{words:?}");
    }
    world.ok(&["controller", "restart"]);
    assert_eq!((world.ready("web/0"), shims(&world, "web/0")), (web, 1));
    world.ok(&["restart", "web"]);
    world.until("it is replaced", || world.instance("web/0").attempt == 2);
    world.ok(&["delete", "web"]);
    assert_eq!(shims(&world, "web/0"), 0);
}

#[test]
fn everything_desired_deleted_under_a_controller_ends_nothing_and_apply_brings_it_back() {
    let (world, web) = running();
    std::fs::remove_dir_all(world.home().join("desired")).expect("gone");
    look_again(&world);
    assert!(processes::is_alive(web), "what runs was ended");
    world.write("web.yaml", &service("web", "sleep 1000", "stop: { grace: 1s }"));
    world.write("new.yaml", &service("new", "sleep 1002", ""));
    world.apply();
    assert_eq!((world.ready("web/0"), shims(&world, "web/0")), (web, 1), "restarted");
    world.ready("new/0");
}
