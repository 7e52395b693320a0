//! Work that ends, as people meet it: asked for, watched, ended, tried again, held.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::LazyLock;

use expect_test::expect;
use regex::Regex;
use serde_json::Value;

use crate::words::transcript;
use crate::world::{World, service};

const KINDS: &str = r#"
kind: Capability
name: greet
params: { who: { type: string, required: true }, count: { type: int, default: 1 } }
run: 'echo "hello $SETPOINT_PARAM_WHO"'
---
kind: Capability
name: long
run: exec sleep 1000
---
kind: Capability
name: bad
run: echo connection refused; exit 3
---
kind: Workflow
name: ship
steps:
  - { id: build, run: echo built }
  - { id: send, run: echo sent, needs: [build] }
---
kind: CronJob
name: yearly
schedule: "0 3 29 2 *"
timeZone: Europe/Berlin
jitter: 90s
quiet: [night]
run: echo another year
---
kind: QuietHours
name: night
times: [{ from: "01:00", to: "02:00" }]
---
"#;

fn world() -> World {
    let world = World::new();
    world.write("runs.yaml", KINDS);
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world
}

/// What was typed and said, without what differs from run to run.
pub fn told(world: &World, lines: &[&str]) -> String {
    static DIFFERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let pairs = [
            (r"run-\d{8}T\d{6}Z-[0-9a-f]{8}", "RUN"),
            (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)?", "WHEN"),
            (r"\b\d+(\.\d+)?s ago", "AGE ago"),
            (r"\b\d+\.\d+s", "AGE"),
            (r"\(\+\d+s of", "(+SHARE of"),
            (r" +", " "),
        ];
        pairs.map(|(pattern, name)| (Regex::new(pattern).expect("a pattern"), name)).to_vec()
    });
    let mut text = transcript(world, lines);
    for (pattern, name) in DIFFERS.iter() {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text
}

fn json(world: &World, line: &str) -> Value {
    serde_json::from_str(&world.shell(line).out).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn a_run_that_is_asked_for_is_typed_by_its_schema_and_says_how_it_ended() {
    let world = world();
    world.apply();
    let text = told(
        &world,
        &[
            "setpoint run greet --param who=1.10 --follow",
            "setpoint run greet --params '{\"who\": \"you\"}' --wait",
            "echo '{\"who\": \"them\"}' | setpoint run capability greet --params - --wait -o name",
            "setpoint run greet",
            "setpoint run greet --param who=a --param count=many --param whom=b",
            "setpoint run greet --param who",
            "setpoint run greet --params '[1]'",
            "setpoint run bad --wait",
            "setpoint run bad --follow 2>&1 | head -n 2",
            "setpoint run ship --follow",
            "setpoint run yearly --wait",
            "setpoint run long --wait --timeout 100ms",
            "setpoint run web",
            "setpoint run night",
            "setpoint run nothing",
            "setpoint run capability",
        ],
    );
    expect![[r#"
        $ setpoint run greet --param who=1.10 --follow
         capability/greet/RUN started
         hello 1.10
        ! capability/greet/RUN ok after AGE
        = 0
        $ setpoint run greet --params '{"who": "you"}' --wait
         capability/greet/RUN started
        ! capability/greet/RUN ok after AGE
        = 0
        $ echo '{"who": "them"}' | setpoint run capability greet --params - --wait -o name
         capability/greet/RUN
        ! capability/greet/RUN ok after AGE
        = 0
        $ setpoint run greet
        ! error: `who` is missing
        ! help: give it: who (string)
        ! Nothing was started: capability/greet
        = 2
        $ setpoint run greet --param who=a --param count=many --param whom=b
        ! error: `whom` is not a parameter
        ! help: it takes count, who
        ! error: `count` is wrong: value is not of type "integer"
        ! help: see its schema: count (integer)
        ! Nothing was started: capability/greet
        = 2
        $ setpoint run greet --param who
        ! error: --param is `who`, which has no `=`
        ! help: write --param NAME=VALUE
        = 2
        $ setpoint run greet --params '[1]'
        ! error: --params is JSON, but no map of names to values
        ! help: write --params '{"name": "value"}'
        = 2
        $ setpoint run bad --wait
         capability/bad/RUN started
        ! error: capability/bad/RUN failed after AGE: exit 3
        ! help: setpoint runs capability/bad/RUN | setpoint retry capability/bad/RUN
        = 1
        $ setpoint run bad --follow 2>&1 | head -n 2
         capability/bad/RUN started
         connection refused
        = 0
        $ setpoint run ship --follow
         workflow/ship/RUN started
         [workflow/ship/RUN.build] built
         [workflow/ship/RUN.send] sent
        ! workflow/ship/RUN ok after AGE
        = 0
        $ setpoint run yearly --wait
         cronjob/yearly/RUN started
        ! It starts now, whatever its schedule and its quiet hours say; both go on as they are.
        ! cronjob/yearly/RUN ok after AGE
        = 0
        $ setpoint run long --wait --timeout 100ms
         capability/long/RUN started
        ! error: capability/long/RUN is not over in time; it goes on
        ! help: setpoint logs capability/long --run RUN -f | setpoint cancel capability/long/RUN
        = 124
        $ setpoint run web
        ! error: service/web is a service: it is kept up, not run
        ! help: setpoint restart service/web
        = 2
        $ setpoint run night
        ! error: there is nothing to run in quiethours/night
        ! help: setpoint describe quiethours/night
        = 2
        $ setpoint run nothing
        ! error: there is no `nothing`
        ! help: setpoint get lists what there is
        = 3
        $ setpoint run capability
        ! error: `capability` means more than one object: capability/bad, capability/greet, capability/long
        ! help: name one: KIND/NAME
        = 2
    "#]]
    .assert_eq(&text);
}

#[test]
fn runs_are_listed_read_ended_and_tried_again() {
    let world = world();
    world.apply();
    let text = told(
        &world,
        &[
            "setpoint runs",
            "setpoint run bad --wait -q",
            "setpoint logs bad",
            "setpoint describe bad | head -n 3",
            "setpoint retry bad --wait",
            "setpoint runs bad",
            "setpoint runs $(setpoint runs bad -o name) | grep -v Log",
            "setpoint get bad",
            "setpoint wait --for done bad",
            "setpoint cancel long",
            "setpoint run long -q -o name | wc -l",
            "setpoint runs --state open -o name | cut -d/ -f1,2",
            "until setpoint get long -q | grep -q Running; do :; done; setpoint get long",
            "setpoint retry $(setpoint runs long -o name) | wc -l",
            "setpoint cancel long --wait",
            "setpoint runs long",
            "setpoint run long -q -o name | wc -l",
            "setpoint run long -q -o name | wc -l",
            "until [ $(setpoint get long -o json | grep -c '\"state\": \"Running\"') = 3 ]; do :; done",
            "setpoint cancel long",
            "for run in $(setpoint runs long --state open -o name); do setpoint cancel $run --wait; done",
            "setpoint cancel capability/long/never",
            "setpoint retry greet",
            "setpoint retry web",
            "setpoint runs web",
            "setpoint runs bad --state nonsense",
            "setpoint runs bad --since nonsense",
            "setpoint logs bad --run nothing",
            "setpoint run ship --wait; setpoint logs ship",
            "setpoint logs ship --previous",
        ],
    );
    expect![[r#"
        $ setpoint runs
        ! No such run is remembered.
        = 0
        $ setpoint run bad --wait -q
         capability/bad/RUN started
        ! error: capability/bad/RUN failed after AGE: exit 3
        ! help: setpoint runs capability/bad/RUN | setpoint retry capability/bad/RUN
        = 1
        $ setpoint logs bad
         connection refused
        = 0
        $ setpoint describe bad | head -n 3
         capability/bad Ready
         Why: the last run failed: exit 3; last line: "connection refused"
         Do: setpoint logs capability/bad | setpoint run capability/bad --follow | setpoint retry capability/bad
        = 0
        $ setpoint retry bad --wait
         capability/bad/RUN is tried again
        ! error: capability/bad/RUN failed after AGE: exit 3
        ! help: setpoint runs capability/bad/RUN | setpoint retry capability/bad/RUN
        = 1
        $ setpoint runs bad
         RUN OUTCOME STARTED TOOK ATTEMPTS WHY
         capability/bad/RUN failed WHEN AGE 2 exit 3
        = 0
        $ setpoint runs $(setpoint runs bad -o name) | grep -v Log
         capability/bad/RUN failed
         Why: exit 3
         Made: WHEN
         Started: WHEN
         Ended: WHEN, after AGE
         Retried: by US
         Attempts: 2
         1 WHEN exit 3
         2 WHEN exit 3
         Result:
         connection refused
        = 0
        $ setpoint get bad
         NAME LAST TOOK LAYER STATE
         bad failed AGE ago AGE - Ready: the last run failed: exit 3; setpoint logs capability/bad
        = 0
        $ setpoint wait --for done bad
        ! capability/bad Ready after AGE
        ! error: capability/bad: the last run failed: exit 3
        ! help: setpoint logs capability/bad
        = 1
        $ setpoint cancel long
        ! error: no run of capability/long is under way
        ! help: setpoint runs capability/long
        = 3
        $ setpoint run long -q -o name | wc -l
         1
        = 0
        $ setpoint runs --state open -o name | cut -d/ -f1,2
         capability/long
        = 0
        $ until setpoint get long -q | grep -q Running; do :; done; setpoint get long
         NAME LAST TOOK LAYER STATE
         long - - - Running
        = 0
        $ setpoint retry $(setpoint runs long -o name) | wc -l
         0
        ! error: capability/long/RUN is under way
        ! help: setpoint logs capability/long --run RUN -f
        = 0
        $ setpoint cancel long --wait
         capability/long/RUN is being cancelled
        ! capability/long/RUN cancelled after AGE: cancelled by US
        = 0
        $ setpoint runs long
         RUN OUTCOME STARTED TOOK ATTEMPTS WHY
         capability/long/RUN cancelled WHEN AGE 1 cancelled by US
        = 0
        $ setpoint run long -q -o name | wc -l
         1
        = 0
        $ setpoint run long -q -o name | wc -l
         1
        = 0
        $ until [ $(setpoint get long -o json | grep -c '"state": "Running"') = 3 ]; do :; done
        = 0
        $ setpoint cancel long
        ! error: 2 runs of capability/long are under way; name one:
        ! capability/long/RUN
        ! capability/long/RUN
        = 2
        $ for run in $(setpoint runs long --state open -o name); do setpoint cancel $run --wait; done
         capability/long/RUN is being cancelled
         capability/long/RUN is being cancelled
        ! capability/long/RUN cancelled after AGE: cancelled by US
        ! capability/long/RUN cancelled after AGE: cancelled by US
        = 0
        $ setpoint cancel capability/long/never
        ! error: there is no run capability/long/never
        ! help: setpoint runs
        = 3
        $ setpoint retry greet
        ! error: no run of capability/greet has failed
        ! help: run it: setpoint run capability/greet
        = 3
        $ setpoint retry web
        ! error: service/web is a service: it has no runs
        ! help: setpoint restart service/web
        = 2
        $ setpoint runs web
        ! error: service/web is a service: it has no runs
        ! help: setpoint describe service/web
        = 2
        $ setpoint runs bad --state nonsense
        ! error: --state is `nonsense`, which is no state
        ! help: write open, ok, failed, timeout, killed, cancelled, lost, denied, skipped, unknown
        = 2
        $ setpoint runs bad --since nonsense
        ! error: --since is `nonsense`, which is no span and no moment
        ! help: write 10m, 2h, or WHEN
        = 2
        $ setpoint logs bad --run nothing
        ! error: there is no run capability/bad/nothing
        ! help: setpoint runs capability/bad
        = 3
        $ setpoint run ship --wait; setpoint logs ship
         workflow/ship/RUN started
         [workflow/ship/RUN.build] built
         [workflow/ship/RUN.send] sent
        ! workflow/ship/RUN ok after AGE
        = 0
        $ setpoint logs ship --previous
        ! error: workflow/ship has no run before the newest
        ! help: leave out --previous
        = 3
    "#]]
    .assert_eq(&text);
}

#[test]
fn without_a_controller_everything_is_shown_and_nothing_is_run() {
    let world = world();
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let text = told(
        &world,
        &[
            "setpoint get -q",
            "setpoint get cronjobs -q",
            "setpoint describe yearly | head -n 3; setpoint describe yearly | sed -n '/^Quiet/d; /^Schedule/,$p'",
            "setpoint runs",
            "setpoint run greet --param who=me",
            "setpoint cancel greet",
            "setpoint freeze --reason 'disk swap' -q",
            "setpoint freeze --reason 'disk swap'",
            "setpoint get web -q",
            "setpoint thaw -q",
            "setpoint thaw",
            "setpoint describe web --at 2026-01-01T03:00",
            "setpoint describe yearly --at nonsense",
            "setpoint describe yearly --at 2024-02-29T03:00",
        ],
    );
    expect![[r#"
        $ setpoint get -q
         NAME STATE READY RESTARTS SINCE PID WHY
         capability/bad Ready - - - -
         capability/greet Ready - - - -
         capability/long Ready - - - -
         cronjob/yearly Scheduled - - - - next WHEN
         quiethours/night Ready - - - -
         service/web Starting 0/1 0 - - it is wanted and does not run
         workflow/ship Ready - - - -
        = 0
        $ setpoint get cronjobs -q
         NAME SCHEDULE LAST TOOK NEXT RUN JITTER LAYER STATE
         yearly 0 3 29 2 * - - WHEN +90s - Scheduled
        = 0
        $ setpoint describe yearly | head -n 3; setpoint describe yearly | sed -n '/^Quiet/d; /^Schedule/,$p'
         cronjob/yearly Scheduled
         Why: its schedule is new, so its due times count from now on
         Do: setpoint controller start (none runs, so nothing is started or stopped)
         Schedule: at 03:00 on the 29th of February (0 3 29 2 *)
         Zone: Europe/Berlin
         Next: WHEN, starts at WHEN (+SHARE of up to 90s), WHEN
         Rules: overlap skip; missed once within 1h; skipped in quiet hours (night)
        = 0
        $ setpoint runs
        ! No such run is remembered.
        = 0
        $ setpoint run greet --param who=me
        ! error: no controller runs, and only a controller starts and ends runs
        ! help: setpoint controller start
        = 4
        $ setpoint cancel greet
        ! error: no run of capability/greet is under way
        ! help: setpoint runs capability/greet
        = 3
        $ setpoint freeze --reason 'disk swap' -q
         frozen: no run begins, what runs goes on, services are kept up
        = 0
        $ setpoint freeze --reason 'disk swap'
        ! It is frozen already, by US. Go on with: setpoint thaw
        = 0
        $ setpoint get web -q
         FROZEN by US: disk swap. No run begins; services are kept. Go on with: setpoint thaw
         NAME STATE READY RESTARTS SINCE PID WHY
         service/web Starting 0/1 0 - - it is wanted and does not run
        = 0
        $ setpoint thaw -q
         thawed: runs begin again
        = 0
        $ setpoint thaw
        ! Nothing was frozen.
        = 0
        $ setpoint describe web --at 2026-01-01T03:00
        ! error: service/web has no due times
        ! help: --at goes with a CronJob
        = 2
        $ setpoint describe yearly --at nonsense
        ! error: --at is `nonsense`, which is no moment
        ! help: write 2026-11-21T03:00 on the clock of the object, or WHEN
        = 2
        $ setpoint describe yearly --at 2024-02-29T03:00
         cronjob/yearly WHEN was before anybody counted its due times
        = 0
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_store_that_cannot_be_read_is_said_once_and_services_are_shown() {
    let world = world();
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    std::fs::write(world.home().join("store.db"), "this is no database, and long enough to be looked at as one")
        .expect("a file");
    let said = world.run(&["get"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("service/web") && said.out.contains("cronjob/yearly"), "{said:?}");
    assert_eq!(said.err.matches("what is remembered of runs cannot be read").count(), 1, "{said:?}");
}

#[test]
fn due_times_are_listed_and_programs_read_them() {
    let world = World::new();
    world.write("tick.yaml", "kind: CronJob\nname: tick\nevery: 1s\nrun: echo tick\n");
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    let done = |world: &World| json(world, "setpoint runs tick --state ok -o json")["items"].as_array().map(Vec::len);
    world.until("two runs", || done(&world) >= Some(2));
    world.ok(&["controller", "stop"]);
    let ticks = json(&world, "setpoint runs tick --ticks -o json");
    let first = &ticks["items"][0];
    assert_eq!((first["object"].as_str(), first["state"].as_str()), (Some("cronjob/tick"), Some("Fired")), "{ticks}");
    let at = first["nominal"].as_str().expect("a moment");
    let said = world.ok(&["describe", "tick", "--at", at]);
    assert!(said.contains("Fired") && said.contains(&format!("setpoint logs cronjob/tick --run {at}")), "{said}");
    let status = json(&world, "setpoint get tick -o json")["items"][0]["status"].clone();
    assert_eq!(status["state"], "Scheduled", "{status:#}");
    assert_eq!(status["last"]["outcome"], "ok", "{status:#}");
    assert_eq!(status["schedule"]["jitter_seconds"], 0, "{status:#}");
    assert_eq!(status["schedule"]["next"], status["schedule"]["effective"], "{status:#}");
    assert_eq!(status["instances"].as_array().map(Vec::len), Some(0), "{status:#}");
    assert_eq!(world.ok(&["logs", "tick"]), "tick\n");
    assert_eq!(world.ok(&["logs", "tick", "--previous"]), "tick\n");
}

#[test]
fn the_log_of_runs_to_come_is_followed() {
    let world = World::new();
    world.write("tick.yaml", "kind: CronJob\nname: tick\nevery: 1s\nrun: echo $SETPOINT_SCHEDULED_TIME\n");
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let mut follower = world.command(&["logs", "tick", "-f"]).stdout(Stdio::piped()).spawn().expect("the binary");
    world.ok(&["controller", "start"]);
    let lines = BufReader::new(follower.stdout.take().expect("its output")).lines();
    let words = lines.map_while(Result::ok).map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned());
    let seen: BTreeSet<String> = words.take(2).collect();
    // It goes on until it is ended.
    follower.kill().expect("it lives");
    follower.wait().expect("its end");
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_job_is_not_waited_for_unless_that_is_asked() {
    let world = World::new();
    world.write(
        "job.yaml",
        "kind: Job\nname: once\nrun: 'test -e go && echo done'\nretry: { times: 100, wait: 500ms }\n",
    );
    world.ok(&["apply", "-f", "manifests", "--wait", "--timeout", "20s"]);
    assert_eq!(world.run(&["wait", "once", "--timeout", "200ms"]).code, 124);
    std::fs::write(world.root().join("manifests/go"), "").expect("a file");
    assert_eq!(world.run(&["wait", "once", "--timeout", "60s"]).code, 0);
    world.write("job.yaml", "kind: Job\nname: once\nrun: exit 7\n");
    let said = world.run(&["apply", "-f", "manifests", "--wait=done", "--timeout", "60s"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("exit 7"), "{said:?}");
}

#[test]
fn a_frozen_home_holds_runs_and_keeps_services() {
    let world = world();
    world.apply();
    world.ok(&["freeze", "--reason", "disk swap"]);
    let said = world.run(&["run", "greet", "--param", "who=me", "--wait"]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.err.contains("disk swap"), "{said:?}");
    let status = world.ok(&["controller", "status"]);
    assert!(status.contains("1 waiting") && status.contains("disk swap"), "{status}");
    assert!(json(&world, "setpoint controller status -o json")["schedules_recomputed"].is_u64());
    assert_eq!(world.instance("web/0").state, "Ready");
    world.ok(&["thaw"]);
    let done = || json(&world, "setpoint runs greet -o json")["items"][0]["outcome"] == "ok";
    world.until("the run that was held", done);
}

#[test]
fn of_failures_in_a_row_the_first_and_the_end_are_events() {
    let world = World::new();
    let job = |run: &str| format!("kind: CronJob\nname: sync\nevery: 1s\nrun: '{run}'\n");
    world.write("sync.yaml", &job("exit 4"));
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    let count = |state: &str| {
        let runs = json(&world, &format!("setpoint runs sync --state {state} -o json"));
        runs["items"].as_array().map_or(0, Vec::len)
    };
    world.until("three failures", || count("failed") >= 3);
    world.write("sync.yaml", &job("true"));
    world.ok(&["apply", "-f", "manifests"]);
    world.until("a good run", || count("ok") >= 1);
    let events = |kind: &str| world.ok(&["events", "sync", "--type", kind]).lines().count();
    world.until("the news of it", || events("cronjob.recovered") >= 1);
    assert_eq!((events("cronjob.failed"), events("cronjob.recovered")), (1, 1), "{}", world.ok(&["events"]));
}

#[test]
fn no_argument_makes_it_panic() {
    let world = world();
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let odd =
        ["", "/", "//", "///", "a/b/c", "cronjob/yearly/..", "capability/greet/\u{1f600}", "=", "-", "capability"];
    let mut text = String::new();
    for verb in ["run", "runs", "cancel", "retry", "logs", "describe", "get", "wait --timeout 1ms"] {
        for word in odd {
            let said = world.shell(&format!("setpoint {verb} -- '{word}'"));
            let is_calm = [0, 1, 2, 3, 4, 124].contains(&said.code) && !said.err.contains("panicked");
            if !is_calm {
                _ = writeln!(text, "{verb} `{word}`: {said:?}");
            }
        }
    }
    for flags in
        ["--param =", "--param x", "--param =y", "--params {", "--params ''", "--timeout x", "--param who=\u{7f}"]
    {
        let said = world.shell(&format!("setpoint run greet {flags}"));
        if said.code != 2 && said.code != 4 {
            _ = writeln!(text, "run greet {flags}: {said:?}");
        }
    }
    assert_eq!(text, "");
}
