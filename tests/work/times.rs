//! Schedules that fire, with a real clock.

use std::collections::BTreeSet;

use setpoint::store::reader::Reader;
use setpoint::store::{Books, TickFilter, TickRow};

use crate::asks::{outcome, runs};
use crate::world::World;

/// Every due time of an object that the store knows, oldest first.
pub fn ticks(world: &World, object: &str) -> Vec<TickRow> {
    let reader = Reader::open(&world.home().join("store.db")).expect("a store that can be read");
    let filter = TickFilter { object: Some(object.parse().expect("a name")), ..TickFilter::default() };
    reader.ticks(&filter).expect("due times")
}

#[test]
fn a_period_fires_once_each_time() {
    let world = World::new();
    world.write("cron.yaml", "kind: CronJob\nname: tick\nevery: 1s\nrun: 'true'\n");
    world.apply();
    let _controller = world.controller();
    world.until("it ran three times", || {
        runs(&world, "cronjob/tick").values().filter(|row| outcome(row) == "ok").count() >= 3
    });
    let ticks = ticks(&world, "cronjob/tick");
    let nominal: BTreeSet<_> = ticks.iter().map(|tick| tick.nominal).collect();
    assert_eq!(nominal.len(), ticks.len(), "one row for each due time: {ticks:?}");
    assert!(ticks.iter().all(|tick| &*tick.state == "Fired"), "{ticks:?}");
}

#[test]
fn s9_two_hundred_jobs_of_one_moment_all_run_within_the_limit() {
    let world = World::new();
    let marks = world.root().join("marks");
    let at = chrono::Utc::now() + chrono::Duration::seconds(6);
    let jobs: String = (0..200)
        .map(|n| {
            format!(
                "kind: Job\nname: j{n}\nat: \"{}\"\nrun: [sh, -c, 'echo + >> {m}; sleep 0.05; echo - >> {m}']\n---\n",
                at.to_rfc3339(),
                m = marks.display()
            )
        })
        .collect();
    world.write("all.yaml", &format!("{jobs}kind: Settings\nname: settings\nmaxRuns: 20\n"));
    world.apply();
    let _controller = world.controller();
    let all = || (0..200).map(|n| runs(&world, &format!("job/j{n}"))).collect::<Vec<_>>();
    world.until("all have run", || {
        std::fs::read_to_string(&marks).is_ok_and(|text| text.lines().filter(|line| *line == "-").count() >= 200)
    });
    world.until("all are remembered", || all().iter().all(|runs| runs.values().any(|row| outcome(row) == "ok")));
    let text = std::fs::read_to_string(&marks).expect("marks");
    assert_eq!(text.lines().filter(|line| *line == "+").count(), 200, "none twice");
    let mut at_once = 0_i32;
    for line in text.lines() {
        at_once += if line == "+" { 1 } else { -1 };
        assert!(at_once <= 20, "more than the limit at once");
    }
}

#[test]
fn one_file_that_changes_is_one_schedule_worked_out() {
    let world = World::new();
    let cron = |hour: u32| format!("kind: CronJob\nname: c7\nschedule: '7 {hour} * * *'\nrun: 'true'\n");
    for n in (0..40).filter(|n| *n != 7) {
        let name = format!("c{n}");
        world.write(&format!("{name}.yaml"), &cron(3).replace("c7", &name));
    }
    world.write("c7.yaml", &cron(3));
    let _controller = world.controller_with(&["-f", "manifests"]);
    let worked_out = || -> u64 {
        let said = world.ok(&["controller", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        status["schedules_recomputed"].as_u64().expect("a number")
    };
    world.until("all are worked out", || worked_out() == 40);
    world.write("c7.yaml", &cron(4));
    world.until("it is worked out anew", || worked_out() > 40);
    assert!(world.ok(&["describe", "cronjob/c7"]).contains("7 4 * * *"), "that of the file");
    assert_eq!(worked_out(), 41, "no other one was");
}
