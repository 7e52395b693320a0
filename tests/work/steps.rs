//! Steps of a workflow, results of capabilities, retries and ends that people ask for.

use serde_json::json;

use crate::asks::{ask, outcome, runs, start};
use crate::world::World;

fn result(world: &World, object: &str, cause: &str) -> Option<String> {
    runs(world, object).get(cause)?.end.as_ref()?.result.as_ref().map(|given| given.text.to_string())
}

#[test]
fn a_step_is_given_what_an_earlier_one_printed() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "kind: Capability\nname: greet\nparams: { who: { type: string, required: true } }\n\
         run: [sh, -c, 'echo \"{\\\"hi\\\": \\\"$SETPOINT_PARAM_WHO!\\\"}\"']\n---\n\
         kind: Workflow\nname: flow\nparams: { who: { type: string, required: true } }\nsteps:\n\
         - { id: a, use: greet, with: { who: { from: params.who } } }\n\
         - { id: b, use: greet, with: { who: { from: steps.a.output.hi } }, needs: [a] }\n\
         - { id: c, run: exit 1, needs: [b], when: \"steps.b.output.hi == 'nobody'\" }\n",
    );
    world.apply();
    let _controller = world.controller();
    let cause = start(&world, "workflow/flow", &json!({ "who": "Ann" })).expect("a run");
    world.until("it is over", || runs(&world, "workflow/flow").get(&cause).is_some_and(|row| row.end.is_some()));
    let rows = runs(&world, "workflow/flow");
    let ends: Vec<String> = rows.values().map(outcome).collect();
    assert_eq!(ends, ["ok", "ok", "ok", "skipped"], "{rows:?}");
    assert_eq!(result(&world, "workflow/flow", &format!("{cause}.b")).as_deref(), Some("{\"hi\": \"Ann!!\"}"));
    let refused = ask(&world, "runs.start", &json!({ "object": "workflow/flow", "params": { "wo": 1 } })).expect("it");
    assert_eq!(refused["success"], false);
    assert!(refused["errors_by_field"]["who"].is_string(), "{refused}");
}

#[test]
fn a_controller_killed_between_steps_goes_on_at_the_right_one() {
    let world = World::new();
    let marks = world.root().join("marks");
    let step =
        |id: &str, more: &str| format!("- {{ id: {id}, run: 'echo {id} >> {}; sleep 0.15'{more} }}\n", marks.display());
    let steps: String =
        [step("a", ""), step("b", ", needs: [a]"), step("c", ", needs: [b]"), step("d", ", needs: [c]")].concat();
    world.write("flow.yaml", &format!("kind: Workflow\nname: flow\nsteps:\n{steps}"));
    world.apply();
    let controller = world.controller();
    let cause = start(&world, "workflow/flow", &json!({})).expect("a run");
    let has = |text: &str| std::fs::read_to_string(&marks).is_ok_and(|marks| marks.lines().any(|line| line == text));
    world.until("the first step runs", || has("a"));
    controller.kill();
    let controller = world.launch(&[]);
    world.until("the third step runs", || has("c"));
    controller.kill();
    let _controller = world.controller();
    world.until("it is over", || runs(&world, "workflow/flow").get(&cause).is_some_and(|row| row.end.is_some()));
    assert_eq!(runs(&world, "workflow/flow").values().map(outcome).collect::<Vec<_>>(), ["ok"; 5]);
    assert_eq!(std::fs::read_to_string(&marks).expect("marks"), "a\nb\nc\nd\n");
}

#[test]
fn a_job_is_tried_again_and_then_it_has_failed() {
    let world = World::new();
    let marks = world.root().join("marks");
    world.write(
        "job.yaml",
        &format!(
            "kind: Job\nname: bad\nrun: echo $SETPOINT_ATTEMPT >> {}; exit 3\nretry: {{ times: 2, wait: 100ms }}\n",
            marks.display()
        ),
    );
    world.apply();
    let _controller = world.controller();
    world.until("it has failed", || runs(&world, "job/bad").get("1").is_some_and(|row| outcome(row) == "failed"));
    assert_eq!(std::fs::read_to_string(&marks).expect("marks"), "1\n2\n3\n");
    let again = ask(&world, "runs.retry", &json!({ "object": "job/bad", "run": "1" })).expect("an answer");
    assert_eq!(again["run"], "1", "{again}");
    world.until("it has failed again", || runs(&world, "job/bad").get("1").is_some_and(|row| row.attempts == 6));
    assert_eq!(std::fs::read_to_string(&marks).expect("marks"), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn a_run_that_is_cancelled_is_gone_with_its_whole_tree() {
    let world = World::new();
    world.write("job.yaml", "kind: Job\nname: long\nrun: [sh, -c, 'setsid sleep 1000 & sleep 1000']\n");
    world.apply();
    let _controller = world.controller();
    world.until("it runs", || world.mains().len() == 1);
    let said = ask(&world, "runs.cancel", &json!({ "object": "job/long", "run": "1", "by": "Ada" })).expect("it");
    assert_eq!(said["run"], "1", "{said}");
    world.until("it is cancelled", || runs(&world, "job/long").get("1").is_some_and(|row| outcome(row) == "cancelled"));
    assert!(world.processes().iter().all(|process| process.instance().is_none()), "{}", world.story());
    let why = runs(&world, "job/long")["1"].end.as_ref().and_then(|end| end.reason.clone());
    assert_eq!(why.as_deref(), Some("cancelled by Ada"));
}

#[test]
fn a_run_that_takes_too_long_is_ended() {
    let world = World::new();
    world.write("job.yaml", "kind: Job\nname: long\nrun: sleep 1000\ntimeout: 500ms\n");
    world.apply();
    let _controller = world.controller();
    world.until("it is out of time", || runs(&world, "job/long").get("1").is_some_and(|row| outcome(row) == "timeout"));
}
