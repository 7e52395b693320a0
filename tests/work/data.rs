//! How data goes through capabilities, workflows and runs; times that are passed on with what is used; stops in between.

use serde_json::{Value, json};

use crate::asks::{ask, outcome, runs, start};
use crate::world::World;

/// How a run or a step ended, and why.
fn end(world: &World, object: &str, cause: &str) -> (String, String) {
    let rows = runs(world, object);
    let row = rows.get(cause).unwrap_or_else(|| panic!("no {cause} in {:?}", rows.keys()));
    let why = row.end.as_ref().and_then(|end| end.reason.as_deref()).unwrap_or_default();
    (outcome(row), why.to_owned())
}

/// What a run or a step gave.
fn gave(world: &World, object: &str, cause: &str) -> String {
    let result = runs(world, object)[cause].end.as_ref().and_then(|end| end.result.clone());
    result.map_or(String::new(), |given| given.text.to_string())
}

#[track_caller]
fn done(world: &World, object: &str, params: &Value) -> String {
    let cause = start(world, object, params).expect("a run");
    world.until("it is over", || runs(world, object).get(&cause).is_some_and(|row| row.end.is_some()));
    cause
}

#[test]
fn an_output_that_is_too_long_is_not_passed_on_and_its_step_has_ended_well() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "kind: Capability\nname: print\nparams: { bytes: int }\n\
         run: [sh, -c, 'head -c $SETPOINT_PARAM_BYTES /dev/zero | tr \"\\\\0\" x']\n---\n\
         kind: Capability\nname: take\nparams: { text: string }\nrun: [sh, -c, 'cat | wc -c']\n---\n\
         kind: Workflow\nname: flow\nparams: { bytes: int }\nsteps:\n\
         - { id: big, use: print, with: { bytes: { from: params.bytes } } }\n\
         - { id: how, use: take, with: { text: { from: steps.big.outcome } }, needs: [big] }\n\
         - { id: asks, run: 'true', needs: [how], when: 'size(steps.big.output) > 0' }\n\
         - { id: next, use: take, with: { text: { from: steps.big.output } }, needs: [asks] }\n",
    );
    world.apply();
    let controller = world.controller();
    let fits = done(&world, "workflow/flow", &json!({ "bytes": 65536 }));
    assert_eq!(end(&world, "workflow/flow", &fits).0, "ok", "{:?}", end(&world, "workflow/flow", &fits));
    let long = done(&world, "workflow/flow", &json!({ "bytes": 65537 }));
    let of = |step: &str| end(&world, "workflow/flow", &format!("{long}.{step}"));
    assert_eq!(of("big").0, "ok");
    assert_eq!(of("how").0, "ok");
    let why = "the output of big is 65537 bytes, at most 65536 can be passed on: write it to a file and pass its path";
    let (ended, said) = of("asks");
    assert_eq!((ended.as_str(), said.contains(why)), ("failed", true), "{said}");
    let shown = world.ok(&["runs", &format!("workflow/flow/{long}")]);
    assert!(shown.contains("(cut at 64 KiB; it is 65537 bytes)"), "{shown}");
    // The same from the disk, and for a reference.
    controller.kill();
    world.write(
        "flow.yaml",
        "kind: Capability\nname: print\nparams: { bytes: int }\nrun: [sh, -c, 'seq 20000']\n---\n\
         kind: Capability\nname: take\nparams: { text: string }\nrun: [sh, -c, 'cat | wc -c']\n---\n\
         kind: Workflow\nname: flow\nparams: { bytes: int }\nsteps:\n\
         - { id: big, use: print }\n\
         - { id: next, use: take, with: { text: { from: steps.big.output } }, needs: [big] }\n",
    );
    world.apply();
    let _controller = world.controller();
    let long = done(&world, "workflow/flow", &json!({}));
    let (ended, said) = end(&world, "workflow/flow", &format!("{long}.next"));
    assert_eq!(ended, "failed");
    assert!(said.starts_with("the output of big is 108893 bytes, at most 65536 can be passed on"), "{said}");
}

#[test]
fn a_text_stays_text_and_is_a_number_where_one_is_wanted() {
    let world = World::new();
    world.write(
        "flow.yaml",
        "kind: Capability\nname: print\nparams: { text: string }\nrun: [printenv, SETPOINT_PARAM_TEXT]\n---\n\
         kind: Capability\nname: show\n\
         params: { version: { type: string, required: true }, count: { type: int, required: true }, \
         more: string, mode: { type: string, default: slow } }\n\
         run: [cat]\n---\n\
         kind: Workflow\nname: flow\nparams: { version: string, count: string, more: string, mode: string }\nsteps:\n\
         - { id: version, use: print, with: { text: { from: params.version } } }\n\
         - { id: count, use: print, with: { text: { from: params.count } } }\n\
         - id: show\n  use: show\n  needs: [version, count]\n  with:\n\
         \x20   version: { from: steps.version.output }\n    count: { from: steps.count.output }\n\
         \x20   more: { from: params.more }\n    mode: { from: params.mode }\n",
    );
    world.apply();
    let _controller = world.controller();
    let given = |params: &Value| {
        let cause = done(&world, "workflow/flow", params);
        let step = format!("{cause}.show");
        match end(&world, "workflow/flow", &step) {
            (ended, _) if ended == "ok" => gave(&world, "workflow/flow", &step),
            (ended, why) => format!("{ended}: {why}"),
        }
    };
    assert_eq!(
        given(&json!({ "version": "1.10", "count": "5" })),
        r#"{"count":5,"mode":"slow","version":"1.10"}"#,
        "what was not given is left out, and defaults stand"
    );
    assert_eq!(
        given(&json!({ "version": "12345678901234567890123", "count": "18446744073709551615", "more": "[1]" })),
        r#"{"count":18446744073709551615,"mode":"slow","more":"[1]","version":"12345678901234567890123"}"#,
    );
    let failed = given(&json!({ "version": "1", "count": "five" }));
    assert!(failed.starts_with("failed: `count` is wrong"), "{failed}");
    let failed = given(&json!({ "version": "{\"a\": 1}", "count": "1" }));
    assert!(failed.starts_with("failed: `version` is wrong"), "{failed}");
}

#[test]
fn what_people_give_is_data_and_what_cannot_be_given_is_refused() {
    let world = World::new();
    world.write(
        "cap.yaml",
        "kind: Capability\nname: any\nparams: { x: { type: any }, t: string, mode: { type: string, default: slow } }\n\
         run: [cat]\n---\n\
         kind: Workflow\nname: flow\nparams: { x: { type: string, required: true }, y: string }\nsteps:\n\
         - { id: a, use: any, with: { t: { from: params.x } } }\n---\n\
         kind: Workflow\nname: needy\nparams: { maybe: string }\nsteps:\n\
         - { id: a, use: must, with: { t: { from: params.maybe } } }\n---\n\
         kind: Capability\nname: must\nparams: { t: { type: string, required: true } }\nrun: [cat]\n",
    );
    world.apply();
    let _controller = world.controller();
    let cause = done(&world, "capability/any", &json!({ "x": { "from": "params.y" } }));
    assert_eq!(gave(&world, "capability/any", &cause), r#"{"mode":"slow","x":{"from":"params.y"}}"#);
    for (params, field, what) in [
        (json!({ "x": { "from": "params.y" }, "y": "1" }), "x", "is wrong"),
        (json!({ "x": "a\0b" }), "x", "zero byte"),
    ] {
        let said = ask(&world, "runs.start", &json!({ "object": "workflow/flow", "params": params })).expect("it");
        let told = said["errors_by_field"][field].as_str().unwrap_or_default();
        assert!(told.contains(what), "{said}");
    }
    let said = world.run(&["run", "workflow/flow", "--params", r#"{"x": {"from": "params.y"}}"#]);
    assert_eq!(said.code, 2, "{said:?}");
    let said = world.run(&["run", "capability/any", "--param", "x=12345678901234567890123"]);
    assert!(said.code == 2 && said.err.contains("larger than 64 bits hold"), "{said:?}");
    let cause = done(&world, "workflow/needy", &json!({}));
    let (ended, why) = end(&world, "workflow/needy", &format!("{cause}.a"));
    let told = "`t` is missing: it is {from: params.maybe}, and that was not given; give it, or a default";
    assert_eq!((ended.as_str(), why.as_str()), ("failed", told));
}

#[test]
fn the_time_limit_of_a_capability_holds_for_those_who_use_it() {
    let world = World::new();
    world.write(
        "cap.yaml",
        "kind: Capability\nname: slow\nrun: sleep 1000\ntimeout: 300ms\n---\n\
         kind: Job\nname: once\nuse: slow\n---\n\
         kind: Workflow\nname: flow\nsteps:\n- { id: a, use: slow }\n",
    );
    world.apply();
    let _controller = world.controller();
    let cause = done(&world, "workflow/flow", &json!({}));
    assert_eq!(end(&world, "workflow/flow", &format!("{cause}.a")).0, "timeout");
    world.until("the job is late", || runs(&world, "job/once").get("1").is_some_and(|row| outcome(row) == "timeout"));
}

#[test]
fn sidecar_jobs_says_when_each_is_due_and_how_the_last_run_went() {
    let world = World::new();
    world.write(
        "jobs.yaml",
        "kind: CronJob\nname: nightly\nschedule: '0 3 * * *'\ntimeZone: UTC\nrun: 'exit 3'\n---\n\
         kind: Capability\nname: list\nrun: 'true'\n---\n\
         kind: Job\nname: later\nat: 2126-01-01T00:00:00Z\nrun: 'true'\n",
    );
    world.apply();
    let _controller = world.controller();
    done(&world, "cronjob/nightly", &json!({}));
    world.write("list.yaml", "kind: Job\nname: list\nuse: sidecar_jobs\n");
    world.apply();
    world.until("it is listed", || runs(&world, "job/list").get("1").is_some_and(|row| outcome(row) == "ok"));
    let list: Value = serde_json::from_str(&gave(&world, "job/list", "1")).expect("JSON");
    let of = |name: &str| list.as_array().expect("a list").iter().find(|job| job["name"] == name).expect(name).clone();
    let nightly = of("nightly");
    assert!(nightly["next_at"].as_str().is_some_and(|at| at.ends_with("T03:00:00Z")), "{nightly}");
    assert_eq!((&nightly["effective_at"], &nightly["last"]), (&nightly["next_at"], &json!("failed")));
    assert_eq!(of("later")["next_at"], "2126-01-01T00:00:00Z");
    assert_eq!(of("later")["last"], Value::Null);
}

#[test]
fn apply_waits_for_a_job_through_its_retries() {
    let world = World::new();
    let marks = world.root().join("marks");
    let job = |name: &str, times: u32| {
        format!(
            "kind: Job\nname: {name}\nrun: 'echo x >> {0}-{name}; test $(wc -l < {0}-{name}) -ge 3'\n\
             retry: {{ times: {times}, wait: 200ms }}\n",
            marks.display()
        )
    };
    let _controller = world.controller();
    world.write("job.yaml", &job("slow", 3));
    let file = world.manifests();
    let file = file.to_str().expect("a text");
    let said = world.run(&["apply", "-f", file, "--wait=done", "--timeout", "30s"]);
    assert_eq!(said.code, 0, "{said:?}");
    world.write("job.yaml", &job("bad", 1));
    let said = world.run(&["apply", "-f", file, "--wait=done", "--timeout", "30s"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(std::fs::read_to_string(format!("{}-bad", marks.display())).expect("marks"), "x\nx\n");
}

#[test]
fn what_a_stop_of_everything_interrupts_goes_on_with_the_next_start_and_is_not_counted() {
    let world = World::new();
    let marks = world.root().join("marks");
    let line = |name: &str| {
        let text = format!("echo {name} $SETPOINT_ATTEMPT >> {0}; test -e {0}-go || sleep 1000", marks.display());
        format!("run: '{text}'")
    };
    world.write(
        "work.yaml",
        &format!(
            "kind: Job\nname: job\n{}\n---\nkind: Workflow\nname: flow\nsteps:\n- {{ id: a, run: 'echo a >> {}' }}\n\
             - {{ id: b, {}, needs: [a] }}\n",
            line("job"),
            marks.display(),
            line("b")
        ),
    );
    world.apply();
    let controller = world.controller();
    let cause = start(&world, "workflow/flow", &json!({})).expect("a run");
    let told = || {
        let text = std::fs::read_to_string(&marks).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    world.until("both run", || told() == ["a", "b 1", "job 1"]);
    world.ok(&["controller", "stop", "--all"]);
    assert_eq!(controller.wait(), Some(0));
    assert!(world.processes().iter().all(|process| process.instance().is_none()), "{}", world.story());
    let is_open = |object: &str, cause: &str| runs(&world, object)[cause].end.is_none();
    assert!(is_open("job/job", "1") && is_open("workflow/flow", &cause), "neither is over");
    std::fs::write(format!("{}-go", marks.display()), "").expect("a file");
    let _controller = world.controller();
    world.until("both are over", || !is_open("job/job", "1") && !is_open("workflow/flow", &cause));
    // Neither may be tried again after a failure, so an attempt that counted would have been the last.
    assert_eq!(told(), ["a", "b 1", "b 2", "job 1", "job 2"]);
    assert_eq!(end(&world, "job/job", "1").0, "ok");
    assert_eq!(end(&world, "workflow/flow", &cause).0, "ok");
}
