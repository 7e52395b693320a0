//! A changed revision replaces healthy replicas one at a time, and a bad one replaces no more than the first.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::processes::Id;
use crate::world::{World, service};

const REPLICAS: usize = 3;
/// How long a process lives until it counts as ready.
const READY_AFTER_NS: u64 = Duration::from_secs(1).as_nanos() as u64;

fn three(world: &World, run: &str, version: &str) {
    world.write(
        "web.yaml",
        &service("web", run, &format!("replicas: 3\nbackoff: {{ from: 100ms }}\nenv: {{ VERSION: {version} }}")),
    );
}

fn mains(world: &World) -> BTreeSet<Id> {
    world.mains().into_values().flatten().collect()
}

/// Waits until all replicas are ready and run this version.
fn until_version(world: &World, version: &str) {
    world.until(&format!("all run version {version}"), || {
        let all = world.processes();
        let is_new = |p: &&crate::processes::Process| !p.is_shim() && p.variable("VERSION") == Some(version);
        all.iter().filter(is_new).count() == REPLICAS && world.get().values().all(|i| i.state == "Ready")
    });
}

/// The least number of ready replicas at any moment between these, by the records of all attempts.
fn least_ready(world: &World, from: u64, to: u64) -> usize {
    let slots: Vec<String> = (0..REPLICAS).map(|slot| format!("web/{slot}")).collect();
    let lives: Vec<(u64, u64)> = slots
        .iter()
        .flat_map(|slot| world.attempts(slot))
        .map(|(birth, end)| (birth.started_boot_ns + READY_AFTER_NS, end.map_or(u64::MAX, |end| end.at_boot_ns)))
        .collect();
    // The number only changes at these moments.
    let moments = lives.iter().flat_map(|(ready, end)| [*ready, *end]).chain([from]);
    let ready = |at: u64| lives.iter().filter(|(ready, end)| *ready <= at && at < *end).count();
    moments.filter(|at| (from..=to).contains(at)).map(ready).min().unwrap_or(0)
}

#[test]
fn a_changed_revision_replaces_one_at_a_time() {
    let world = World::new();
    three(&world, "sleep 100000", "one");
    world.apply();
    let controller = world.controller();
    until_version(&world, "one");
    let old = mains(&world);
    let from = setpoint::observe::clock::boot().nanos();
    three(&world, "sleep 100000", "two");
    world.ok(&["apply", "-f", "manifests"]);
    // A controller that dies in the middle changes nothing about it.
    world.until("one is replaced", || world.attempts("web/0").len() == 2);
    controller.kill();
    let _controller = world.controller();
    until_version(&world, "two");
    let to = setpoint::observe::clock::boot().nanos();
    assert!(mains(&world).is_disjoint(&old));
    assert_eq!(least_ready(&world, from, to), REPLICAS - 1);
    for slot in 0..REPLICAS {
        assert_eq!(world.attempts(&format!("web/{slot}")).len(), 2, "slot {slot}");
    }
}

#[test]
fn a_revision_that_crashes_halts_the_roll_until_the_next_edit() {
    let world = World::new();
    three(&world, "sleep 100000", "one");
    world.apply();
    let controller = world.controller();
    until_version(&world, "one");
    let old = mains(&world);
    three(&world, "\"sleep 0.1; exit 7\"", "bad");
    world.ok(&["apply", "-f", "manifests"]);
    world.until("the roll is halted", || world.get().values().any(|instance| instance.state == "Halted"));
    world.until("the bad one is given up", || world.state("web/0") == "GaveUp");
    controller.kill();
    let _controller = world.controller();
    world.until_state("web/1", "Halted");
    world.until_state("web/2", "Halted");
    let kept: BTreeSet<Id> = mains(&world);
    assert!(kept.len() == 2 && kept.is_subset(&old), "{}", world.story());
    assert!(world.ok(&["describe", "web"]).contains("kept until the next edit"));
    // The next edit goes on where that one stopped.
    three(&world, "sleep 100000", "three");
    let from = setpoint::observe::clock::boot().nanos();
    world.ok(&["apply", "-f", "manifests"]);
    until_version(&world, "three");
    let to = setpoint::observe::clock::boot().nanos();
    assert_eq!(least_ready(&world, from, to), REPLICAS - 1);
    assert!(mains(&world).is_disjoint(&old));
}

#[test]
fn replicas_come_and_go_without_touching_the_others() {
    let world = World::new();
    let some = |count: usize| {
        world.write("web.yaml", &service("web", "sleep 100000", &format!("replicas: {count}")));
        world.ok(&["apply", "-f", "manifests", "--no-start"]);
        world.until(&format!("{count} run"), || {
            let all = world.get();
            world.mains().len() == count && all.values().filter(|i| i.state == "Ready").count() == count
        });
        mains(&world)
    };
    let _controller = world.controller();
    let (two, five) = (some(2), some(5));
    assert!(two.is_subset(&five));
    let again = some(2);
    assert_eq!(again, two, "the wrong ones went");
    assert!(some(0).is_empty());
}
