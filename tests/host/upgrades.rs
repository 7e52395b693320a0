//! Upgrade in place: what an older build started runs on under this one, and the other way round.
//!
//! In: the history of this repository. Out: pass or fail; `skipped:` where there is no history to build from.
//! Not here: formats in isolation, which golden files hold. The surprise: the older build is a real one, compiled once
//! from an earlier commit beside the present build, so that nobody has to remember what older programs did.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::older::Older;
use crate::processes::{self, Id};
use crate::world::{World, service};

/// Two replicas with a child each, one that logs, one that is done, one that wants a change of policy later.
fn write(world: &World) {
    let web = service("web", "\"sleep 1000 & sleep 1000\"", "replicas: 2\nstop: { grace: 2s }");
    let ticks = service("ticks", "\"n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done\"", "");
    let once = service("once", "\"true\"", "restart: on-failure");
    world.write("all.yaml", &[web, ticks, once].concat());
}

fn mains(world: &World) -> BTreeMap<String, Vec<Id>> {
    world.mains()
}

/// Everything runs as it should under whatever controller there is.
fn until_settled(world: &World) {
    for name in ["web/0", "web/1", "ticks/0"] {
        world.until_state(name, "Ready");
    }
    world.until_state("once/0", "Done");
}

#[test]
fn what_an_older_build_started_runs_on_under_this_one() {
    let Some(older) = Older::build() else { return };
    for is_killed in [false, true] {
        let world = World::new();
        write(&world);
        older.ok(&world, &["apply", "-f", "manifests", "--wait"]);
        until_settled(&world);
        let before = mains(&world);
        assert_eq!(before.len(), 3, "{before:?}");
        if is_killed {
            world.kill_controller();
        } else {
            older.ok(&world, &["controller", "stop"]);
        }
        // Nothing about them has changed, whoever reads it.
        let diff = world.run(&["diff", "-f", "manifests"]);
        assert_eq!(diff.code, 0, "{diff:?}");
        world.ok(&["controller", "start"]);
        until_settled(&world);
        assert_eq!(mains(&world), before, "killed: {is_killed}\n{}", world.story());
        for name in ["web/0", "web/1", "ticks/0", "once/0"] {
            assert_eq!(world.attempts(name).len(), 1, "{name}: {}", world.story());
        }
        // The log goes on, and no line is missing.
        let lines = world.ok(&["logs", "ticks", "--tail", "100000"]);
        let numbers: Vec<u32> = lines.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(numbers.iter().zip(1..).all(|(seen, expected)| *seen == expected), "{lines}");
    }
}

#[test]
fn shims_of_an_older_build_do_as_this_one_says() {
    let Some(older) = Older::build() else { return };
    let world = World::new();
    write(&world);
    older.ok(&world, &["apply", "-f", "manifests", "--wait"]);
    until_settled(&world);
    older.ok(&world, &["controller", "stop"]);
    world.ok(&["controller", "start"]);
    let before = mains(&world);
    // A change that applies live reaches a shim that knows less than this build.
    let text = std::fs::read_to_string(world.manifests().join("all.yaml")).expect("the manifest");
    world.write(
        "all.yaml",
        &text
            .replace("grace: 2s", "grace: 1s")
            .replace("---\nkind: Service\nname: ticks", "---\nkind: Service\nlog: { maxFiles: 3 }\nname: ticks"),
    );
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    assert_eq!(mains(&world), before, "{}", world.story());
    let policy = world.home().join("records/service/ticks/0/policy");
    world.until("the policy file says so", || {
        std::fs::read_to_string(&policy).is_ok_and(|text| text.contains("log_max_files=3"))
    });
    // A crash is recorded by the older shim, read by this build, and answered with a shim of its own.
    let ticks = world.instance("ticks/0");
    assert!(processes::send(processes::id(ticks.pid.expect("a process")), Signal::KILL), "it runs");
    world.until("the next attempt", || world.attempts("ticks/0").len() == 2);
    world.until_state("ticks/0", "Ready");
    let (_, end) = world.record("ticks/0", 1).expect("its record");
    assert!(end.is_some_and(|end| !end.asked), "a crash is no stop");
    // A killed shim of the older build leaves a tree, which is ended before its successor starts.
    let web = world.instance("web/0");
    assert!(processes::send(processes::id(web.shim.expect("a shim")), Signal::KILL), "it runs");
    world.until("web is replaced", || world.attempts("web/0").len() == 2);
    world.until_state("web/0", "Ready");
    assert_eq!(mains(&world).get("service/web/0").map(Vec::len), Some(1), "{}", world.story());
    // An older shim stops its whole tree.
    let said = world.run(&["delete", "web"]);
    assert_eq!(said.code, 0, "{said:?}");
    let left = world.processes().into_iter().filter(|p| p.instance().is_some_and(|id| id.contains("/web/"))).count();
    assert_eq!(left, 0, "{}", world.story());
}

#[test]
fn going_back_to_the_older_build_restarts_nothing_either() {
    let Some(older) = Older::build() else { return };
    let world = World::new();
    write(&world);
    // A field the older build does not know: it must leave that object alone.
    world.write("probed.yaml", &service("probed", "sleep 1000", "ready: { delay: 100ms }"));
    world.write("gone.yaml", &service("gone", "sleep 1000", "needs: [web]"));
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    until_settled(&world);
    world.ok(&["delete", "gone"]);
    let before = mains(&world);
    assert_eq!(before.len(), 4, "{before:?}");
    world.ok(&["controller", "stop"]);
    older.ok(&world, &["controller", "start"]);
    world.until("the older controller has looked", || {
        std::fs::read_to_string(world.home().join("state.json"))
            .is_ok_and(|text| text.contains("\"heartbeat_count\": 1"))
    });
    assert_eq!(older.ok(&world, &["get", "probed", "-o", "json"]).matches("\"Unknown\"").count(), 2);
    assert_eq!(mains(&world), before, "{}", world.story());
    older.ok(&world, &["controller", "stop"]);
    world.ok(&["controller", "start"]);
    until_settled(&world);
    world.until_state("probed/0", "Ready");
    assert_eq!(mains(&world), before, "{}", world.story());
}
