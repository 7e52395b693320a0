//! What people rely on at night, told as it happens to them.

use std::collections::BTreeMap;

use rustix::process::Signal;
use setpoint::store::TickRow;

use crate::asks::{outcome, runs};
use crate::processes;
use crate::times::ticks;
use crate::world::World;

#[test]
fn s6_a_run_that_takes_for_ever_holds_up_nothing_else() {
    let world = World::new();
    world.write(
        "all.yaml",
        "kind: Job\nname: slow\nrun: sleep 1000\n---\nkind: CronJob\nname: tick\nevery: 1s\nrun: 'true'\n---\n\
         kind: Service\nname: web\nrun: sleep 1000\n",
    );
    world.apply();
    let _controller = world.controller();
    let has_begun = || runs(&world, "job/slow").values().any(|row| row.end.is_none());
    world.until("the slow one has begun", has_begun);
    for _ in 0..3 {
        let before = world.ready("web/0");
        assert!(processes::send(before, Signal::KILL), "it lives");
        world.until("it is back", || world.instance("web/0").pid.is_some_and(|pid| pid != before.pid));
    }
    world.until("the others run on time", || {
        runs(&world, "cronjob/tick").values().filter(|row| outcome(row) == "ok").count() >= 2
    });
    assert!(has_begun(), "the slow one is still at it");
    world.ok(&["cancel", "job/slow"]);
    world.until("it is gone", || runs(&world, "job/slow").values().all(|row| outcome(row) == "cancelled"));
}

/// The rows of an object from the first on: each begins one period after the end of the one before.
fn without_gaps(ticks: &[TickRow], period_ms: u64) {
    let rows: BTreeMap<u64, &TickRow> = ticks.iter().map(|tick| (tick.nominal.nanos() / 1_000_000, tick)).collect();
    assert_eq!(rows.len(), ticks.len(), "a due time has two rows: {ticks:?}");
    let mut expected = None;
    for (at, row) in rows {
        assert!(expected.is_none_or(|expected| expected == at), "a due time has no row before {at}: {ticks:?}");
        expected = Some(row.to.map_or(at, |to| to.nanos() / 1_000_000) + period_ms);
    }
}

#[test]
fn s8_what_was_due_while_nobody_looked_is_answered_for() {
    let world = World::new();
    world.write("cron.yaml", "kind: CronJob\nname: tick\nevery: 1s\nmissed: once\nrun: 'true'\n");
    world.apply();
    for round in 1..=3 {
        let controller = world.controller();
        let done = || runs(&world, "cronjob/tick").values().filter(|row| outcome(row) == "ok").count();
        let before = done();
        world.until("it runs", || done() > before + 1);
        controller.kill();
        // Nobody looks for longer than two periods.
        let rows = ticks(&world, "cronjob/tick").len();
        let seen = std::time::Instant::now();
        world.until("due times pass", || seen.elapsed().as_millis() > 2_500);
        assert_eq!(ticks(&world, "cronjob/tick").len(), rows, "nobody writes in round {round}");
    }
    let controller = world.controller();
    world.until("the last gap is answered for", || {
        ticks(&world, "cronjob/tick").iter().filter(|tick| &*tick.state == "Missed").count() >= 3
    });
    controller.kill();
    let ticks = ticks(&world, "cronjob/tick");
    without_gaps(&ticks, 1_000);
    let missed = ticks.iter().filter(|tick| &*tick.state == "Missed");
    assert!(missed.clone().all(|tick| tick.reason.as_ref().is_some_and(|why| !why.is_empty())), "{ticks:?}");
    let fired = ticks.iter().filter(|tick| &*tick.state == "Fired").count();
    assert_eq!(runs(&world, "cronjob/tick").len(), fired, "one run for each due time that fired");
}

#[test]
fn s15_what_a_person_paused_stays_so_through_kills_and_says_so() {
    let world = World::new();
    world.write("cron.yaml", "kind: CronJob\nname: tick\nevery: 1s\nrun: 'true'\n");
    world.apply();
    let controller = world.controller();
    world.until("it runs", || runs(&world, "cronjob/tick").values().any(|row| outcome(row) == "ok"));
    world.ok(&["pause", "cronjob/tick", "--reason", "the disk is full"]);
    controller.kill();
    let _controller = world.controller();
    let skipped = || {
        let says = |tick: &&TickRow| tick.reason.as_ref().is_some_and(|why| why.contains("the disk is full"));
        ticks(&world, "cronjob/tick").iter().filter(|tick| &*tick.state == "Skipped").filter(says).count()
    };
    world.until("its due times are skipped, with the reason", || skipped() >= 2);
    let said = world.ok(&["describe", "cronjob/tick"]);
    assert!(said.contains("the disk is full"), "{said}");
    let before = runs(&world, "cronjob/tick").len();
    world.ok(&["resume", "cronjob/tick"]);
    world.until("it runs again", || runs(&world, "cronjob/tick").len() > before);
}

#[test]
fn a_run_ended_when_its_attempt_did_however_late_that_was_seen() {
    let world = World::new();
    let mark = world.root().join("mark");
    world.write("all.yaml", &format!("kind: Job\nname: once\nrun: sleep 1; echo > {}\n", mark.display()));
    world.apply();
    let controller = world.controller();
    world.until("it has begun", || runs(&world, "job/once").values().any(|row| row.end.is_none()));
    world.until("its process is there", || world.get().keys().any(|name| name == "job/once/1"));
    controller.kill();
    world.until("it has ended with nobody there", || mark.exists());
    let seen = std::time::Instant::now();
    world.until("time passes", || seen.elapsed().as_millis() > 1_500);
    let _controller = world.controller();
    world.until("it is remembered", || runs(&world, "job/once").values().any(|row| outcome(row) == "ok"));
    let said: serde_json::Value = serde_json::from_str(&world.ok(&["runs", "job/once/1", "-o", "json"])).expect("JSON");
    assert_eq!(said["ended"], said["tries"][0]["ended"], "{said}");
}
