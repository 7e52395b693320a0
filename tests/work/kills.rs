//! The controller is killed while runs are asked for, and each is done once, ends once, and is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::asks::{outcome, runs, start};
use crate::world::{Dice, World};

/// How often the controller is killed; `SETPOINT_KILLS` says another number.
const KILLS: usize = 25;
const SEED: u64 = 4;
/// The time between two requests: a hundred a second, less what each takes.
const PACE: Duration = Duration::from_millis(9);

fn kills() -> usize {
    std::env::var("SETPOINT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

#[test]
fn s1_every_run_is_done_once_and_ends_once_through_kills_of_the_controller() {
    let world = World::new();
    let marks = world.root().join("marks");
    let run = format!("echo $SETPOINT_RUN $SETPOINT_ATTEMPT >> {}", marks.display());
    world.write("mark.yaml", &format!("kind: Capability\nname: mark\nrun: {run}\n"));
    world.apply();
    let (is_over, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match start(&world, "capability/mark", &json!({})) {
                    Some(cause) => _ = acknowledged.lock().expect("nobody panicked").insert(cause),
                    // There is none just now, or it went before it answered: this run may or may not be owed.
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
            }
        });
        let mut dice = Dice::new(SEED);
        for _ in 0..kills() {
            let controller = world.launch(&[]);
            dice.pass(400_000);
            controller.kill();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.into_inner().expect("nobody panicked");
    let _controller = world.controller();
    world.until("every run is over", || runs(&world, "capability/mark").values().all(|row| row.end.is_some()));
    let runs = runs(&world, "capability/mark");
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(&marks).expect("marks").lines() {
        let (run, attempt) = line.split_once(' ').expect("a run and an attempt");
        lines.entry(run.to_owned()).or_default().push(attempt.to_owned());
    }
    assert!(acknowledged.len() > kills(), "only {} runs were acknowledged", acknowledged.len());
    for cause in &acknowledged {
        assert!(runs.contains_key(cause), "{cause} was acknowledged and is not remembered");
    }
    for (cause, row) in &runs {
        // A kill of the controller is nothing that a run notices: its shim lives on.
        assert_eq!((outcome(row).as_str(), row.attempts), ("ok", 1), "{cause}: {row:?}\n{}", world.story());
        assert_eq!(lines.get(cause).map(Vec::as_slice), Some(&["1".to_owned()][..]), "{cause}\n{}", world.story());
    }
    assert_eq!(lines.len(), runs.len(), "something ran that nobody remembers");
    let records = world.home().join("records/capability/mark");
    world.until("no record of a run that is over is left", || {
        std::fs::read_dir(&records).map_or(0, Iterator::count) == 0
    });
}
