//! Story 1: the controller is killed between any two actions, and nothing is doubled or lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::processes::Id;
use crate::world::{Dice, World, service};

const SERVICES: usize = 50;
const KILLS: usize = 20;
const SEED: u64 = 1;

fn name(index: usize) -> String {
    format!("s{index:02}")
}

/// No instance has more than one main process.
#[track_caller]
fn assert_single(world: &World, mains: &BTreeMap<String, Vec<Id>>) {
    for (instance, ids) in mains {
        assert!(ids.len() < 2, "{instance} runs as {ids:?}\n{}", world.story());
    }
}

#[test]
fn s1_a_controller_killed_mid_spawn_starts_everything_exactly_once() {
    let world = World::new();
    let fleet: String = (0..SERVICES).map(|index| service(&name(index), "sleep 100000", "")).collect();
    world.write("fleet.yaml", &fleet);
    world.apply();
    let mut dice = Dice::new(SEED);
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut settled: BTreeMap<String, Id> = BTreeMap::new();
    for kill in 0..KILLS {
        if kill > 0 {
            // Two more are to be replaced, so that every later kill hits a stop or a start as well.
            for index in [kill * 2, kill * 2 + 1] {
                world.ok(&["restart", &name(index)]);
                asked.insert(format!("service/{}/0", name(index)));
            }
        }
        let controller = world.launch(&[]);
        dice.pass(120_000);
        controller.kill();
        let mains = world.mains();
        assert_single(&world, &mains);
        for (instance, ids) in mains.iter().filter(|(instance, _)| !asked.contains(*instance)) {
            let before = *settled.entry(instance.clone()).or_insert(ids[0]);
            assert_eq!(ids[0], before, "{instance} was restarted by kill {kill} of seed {SEED}");
        }
    }
    let _controller = world.controller();
    world.until("all are ready and the asked are replaced", || {
        let all = world.get();
        all.len() == SERVICES && all.values().all(|instance| instance.state == "Ready")
    });
    let mains = world.mains();
    assert_eq!(mains.len(), SERVICES, "{}", world.story());
    assert_single(&world, &mains);
    for (instance, id) in &settled {
        if !asked.contains(instance) {
            assert_eq!(mains[instance], [*id], "{instance} did not survive");
        }
    }
    for index in 0..SERVICES {
        let attempts = world.attempts(&format!("{}/0", name(index)));
        let most = if asked.contains(&format!("service/{}/0", name(index))) { 2 } else { 1 };
        assert!((1..=most).contains(&attempts.len()), "{} has {} attempts", name(index), attempts.len());
    }
}

#[test]
fn s1_whatever_is_up_is_ready_in_the_eyes_of_the_controller() {
    let world = World::new();
    let fleet: String = (0..SERVICES).map(|index| service(&name(index), "sleep 100000", "")).collect();
    world.write("fleet.yaml", &fleet);
    world.apply();
    let told = format!("instances    {SERVICES} Ready");
    let first = world.controller();
    // What is shown to people is read anew; the controller rolls and reports by what it has seen itself.
    world.until("the controller that started them says so", || world.ok(&["controller", "status"]).contains(&told));
    drop(first);
    let _second = world.controller();
    world.until("its successor says so", || world.ok(&["controller", "status"]).contains(&told));
}

#[test]
fn s1_a_deleted_service_goes_once_however_often_the_controller_is_killed_meanwhile() {
    let world = World::new();
    // One that ends within its grace, slowly enough to be hit by several kills.
    world.write("web.yaml", &service("web", "\"trap 'sleep 1; exit 0' TERM; while :; do sleep 0.05; done\"", ""));
    world.write("other.yaml", &service("other", "sleep 100000", ""));
    world.apply();
    let mut controller = world.controller();
    let other = world.ready("other/0");
    world.ready("web/0");
    world.ok(&["delete", "web", "--no-wait"]);
    let mut dice = Dice::new(SEED);
    for _ in 0..4 {
        dice.pass(200_000);
        controller.kill();
        controller = world.launch(&[]);
    }
    world.until("web is gone", || !world.mains().contains_key("service/web/0"));
    let ends: Vec<_> = world.attempts("web/0").into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends.len(), 1);
    world.until("its end is recorded", || world.attempts("web/0")[0].1.as_ref().is_some_and(|end| end.asked));
    assert_eq!(world.mains()["service/other/0"], [other]);
    drop(controller);
}
