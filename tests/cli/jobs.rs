//! Jobs that are files of their own: written, changed and removed by a verb, or by hand while a controller looks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use serde_json::Value;

use crate::words::transcript;
use crate::world::World;

/// A capability and a workflow to use.
const REGISTRY: &str = "\
kind: Capability
name: deploy
params: { app: { type: string, required: true }, count: { type: integer } }
run: 'true'
---
kind: Workflow
name: morning-routine
params: { day: { type: string, required: true } }
steps: [{ id: one, run: 'true' }]
";

fn world() -> World {
    let world = World::new();
    world.write("registry.yaml", REGISTRY);
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    world
}

/// A job as the desired state has it; null when it has none.
fn job(world: &World, name: &str) -> Value {
    let said = world.run(&["get", "cronjobs", "-o", "json"]);
    let value: Value = serde_json::from_str(&said.out).unwrap_or_default();
    let items = value["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().find(|item| item["metadata"]["name"] == name).unwrap_or_default()
}

fn file(world: &World, name: &str) -> std::path::PathBuf {
    world.home().join("jobs").join(name)
}

#[test]
fn a_job_is_written_changed_shown_and_removed() {
    let world = world();
    let lines = [
        "setpoint job create nightly --schedule '0 3 * * *' --timezone UTC --run ./backup.sh --description 'Copies it all.' --jitter 90s | head -1",
        "cat home/jobs/nightly.md",
        "setpoint job create nightly --every 1h --run ./other.sh",
        "setpoint job create nightly --every 1h --run ./other.sh --overwrite -q",
        "setpoint job edit nightly --schedule '@daily' --enabled=false -q",
        "setpoint job show nightly",
        "setpoint job create release --schedule '0 9 * * 1-5' --capability /deploy --param app=1.10 --param count=2 --once -q",
        "cat home/jobs/release.md",
        "setpoint job edit release --param count=3 --jitter 30 -q; grep -e params -e jitter home/jobs/release.md",
        "setpoint job edit release --workflow morning-routine --param day=mon -q; cat home/jobs/release.md",
        "setpoint job show release -o json | grep workflow",
        "setpoint job delete release",
        "setpoint job show release",
        "setpoint job delete nightli",
        "ls -A home/jobs",
    ];
    expect![[r#"
        $ setpoint job create nightly --schedule '0 3 * * *' --timezone UTC --run ./backup.sh --description 'Copies it all.' --jitter 90s | head -1
          cronjob/nightly created
        ! wrote ROOT/home/jobs/nightly.md
        ! at 03:00 every day; next WHEN
        ! no controller runs, so nothing is due yet; start one: setpoint controller start
        = 0
        $ cat home/jobs/nightly.md
          ---
          schedule: "0 3 * * *"
          timeZone: "UTC"
          run: "./backup.sh"
          recurring: true
          enabled: true
          jitter_seconds: 90
          ---
          Copies it all.
        = 0
        $ setpoint job create nightly --every 1h --run ./other.sh
        ! error: a job of this name is there (ROOT/home/jobs/nightly.md); choose another name, or edit it: setpoint job edit
        = 5
        $ setpoint job create nightly --every 1h --run ./other.sh --overwrite -q
          cronjob/nightly changed
        = 0
        $ setpoint job edit nightly --schedule '@daily' --enabled=false -q
          cronjob/nightly changed
        = 0
        $ setpoint job show nightly
          ---
          schedule: "@daily"
          run: "./other.sh"
          recurring: true
          enabled: false
          jitter_seconds: 0
          ---
        = 0
        $ setpoint job create release --schedule '0 9 * * 1-5' --capability /deploy --param app=1.10 --param count=2 --once -q
          cronjob/release created
        = 0
        $ cat home/jobs/release.md
          ---
          schedule: "0 9 * * 1-5"
          type: "capability"
          capability: "deploy"
          params: {"app":"1.10","count":2}
          recurring: false
          enabled: true
          jitter_seconds: 0
          ---
        = 0
        $ setpoint job edit release --param count=3 --jitter 30 -q; grep -e params -e jitter home/jobs/release.md
          cronjob/release changed
          params: {"app":"1.10","count":3}
          jitter_seconds: 30
        = 0
        $ setpoint job edit release --workflow morning-routine --param day=mon -q; cat home/jobs/release.md
          cronjob/release changed
          ---
          schedule: "0 9 * * 1-5"
          type: "workflow"
          workflow: "morning-routine"
          params: {"day":"mon"}
          recurring: false
          enabled: true
          jitter_seconds: 30
          ---
        = 0
        $ setpoint job show release -o json | grep workflow
            "type": "workflow",
            "workflow": "morning-routine"
        = 0
        $ setpoint job delete release
          cronjob/release deleted
        = 0
        $ setpoint job show release
        ! error: there is no job `release`
        = 3
        $ setpoint job delete nightli
        ! error: there is no job `nightli`
        !   help: did you mean nightly?
        = 3
        $ ls -A home/jobs
          nightly.md
        = 0
    "#]].assert_eq(&transcript(&world, &lines));
    let mode = fs::metadata(file(&world, "nightly.md")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_wrong_is_told_by_field_and_nothing_is_written() {
    let world = world();
    let lines = [
        "setpoint job create --schedule '0 3 * *' --run x -- -x",
        "setpoint job create 'a b' --schedule '0 3 * * *' --run x",
        "setpoint job create x --run x",
        "setpoint job create x --schedule '61 3 * * *' --run x",
        "setpoint job create x --schedule '0 3 * * *' --run x --jitter=-5",
        "setpoint job create x --schedule '0 3 * * *' --run x --jitter soon --timezone Mars/Olympus",
        "setpoint job create x --schedule '0 3 * * *' --capability deplpy",
        "setpoint job create x --schedule '0 3 * * *' --workflow wb-morning",
        "setpoint job create x --schedule '0 3 * * *' --capability deploy --param ap=shop",
        "setpoint job create x --schedule '0 3 * * *' --workflow morning-routine",
        "setpoint job create x --schedule '0 3 * * *' --workflow morning-routine --param day",
        "ls -A home/jobs 2>/dev/null",
    ];
    expect![[r#"
        $ setpoint job create --schedule '0 3 * *' --run x -- -x
        ! error: the job is not right, and nothing was written
        !   name must have 1 to 64 letters, digits, `-` and `_`, and begin with a letter or a digit
        !   `schedule` is wrong: `0 3 * *` has 4 of five fields; write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        = 2
        $ setpoint job create 'a b' --schedule '0 3 * * *' --run x
        ! error: name must have 1 to 64 letters, digits, `-` and `_`, and begin with a letter or a digit
        = 2
        $ setpoint job create x --run x
        ! error: CronJob "x" does not say when: `schedule` is missing; write `schedule: "0 3 * * *"`, or `every: 15m`
        = 2
        $ setpoint job create x --schedule '61 3 * * *' --run x
        ! error: `schedule` is wrong in its minute: `61` is not within 0 to 59; write 0 to 59; the minute after 59 is 0 of the next hour
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --run x --jitter=-5
        ! error: jitter_seconds must be a non-negative integer, such as 90: whole seconds
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --run x --jitter soon --timezone Mars/Olympus
        ! error: the job is not right, and nothing was written
        !   jitter_seconds must be a non-negative integer, such as 90: whole seconds
        !   `timeZone` is `Mars/Olympus`, which is no time zone; write the IANA name of a place, such as Europe/Berlin, or UTC
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --capability deplpy
        ! error: cronjob/x uses `capability/deplpy`, which is neither in these files nor applied; did you mean `capability/deploy`?; add its manifest, apply it first, or correct the name
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --workflow wb-morning
        ! error: cronjob/x uses `workflow/wb-morning`, which is a slash command; the object behind it is workflow/morning-routine; did you mean `morning-routine`?; write morning-routine
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --capability deploy --param ap=shop
        ! error: cronjob/x uses capability/deploy: `with.ap` is not a parameter; did you mean `app`?; it takes app, count; cronjob/x uses capability/deploy: `with.app` is missing; give it: app (string)
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --workflow morning-routine
        ! error: cronjob/x uses workflow/morning-routine: `with.day` is missing; give it: day (string)
        = 2
        $ setpoint job create x --schedule '0 3 * * *' --workflow morning-routine --param day
        ! error: params takes NAME=VALUE, as in --param app=shop
        = 2
        $ ls -A home/jobs 2>/dev/null
        = 2
    "#]].assert_eq(&transcript(&world, &lines));
    let wrong = ["job", "create", "x", "--schedule", "0 3 * * *", "--capability", "deplpy", "-o", "json"];
    let said = world.run(&wrong);
    assert_eq!(said.code, 2, "{said:?}");
    expect![[r#"
        {
          "error": "cronjob/x uses `capability/deplpy`, which is neither in these files nor applied; did you mean `capability/deploy`?; add its manifest, apply it first, or correct the name",
          "errors_by_field": {
            "capability": "cronjob/x uses `capability/deplpy`, which is neither in these files nor applied; did you mean `capability/deploy`?; add its manifest, apply it first, or correct the name"
          },
          "success": false,
          "suggestions": [
            "capability/deploy"
          ]
        }
    "#]].assert_eq(&said.out);
}

#[test]
fn a_controller_takes_a_job_up_and_lets_it_go() {
    let world = world();
    world.ok(&["controller", "start"]);
    let said = world.ok(&["job", "create", "a", "--schedule", "0 3 * * *", "--run", "true", "-o", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["success"], &said["applied"]), (&true.into(), &true.into()), "{said}");
    let a = job(&world, "a");
    assert_eq!((&a["metadata"]["layer"], &a["spec"]["schedule"]), (&"user".into(), &"0 3 * * *".into()), "{a}");

    world.ok(&["job", "edit", "a", "--schedule", "30 4 * * *", "--jitter", "60"]);
    let a = job(&world, "a");
    assert_eq!((&a["spec"]["schedule"], &a["spec"]["jitter"]), (&"30 4 * * *".into(), &"1m".into()), "{a}");
    assert!(world.ok(&["history", "cronjob/a"]).lines().count() >= 3);

    // A capability that is used stays known by it, and so does an object that belongs to somebody else.
    world.ok(&["job", "create", "b", "--every", "1h", "--capability", "deploy", "--param", "app=shop"]);
    assert_eq!(job(&world, "b")["spec"]["use"], "capability/deploy");

    world.ok(&["job", "delete", "a"]);
    assert!(job(&world, "a").is_null() && !file(&world, "a.md").exists());
    // Also the last one goes, though an emptied folder is a mistake by itself.
    world.ok(&["job", "delete", "b"]);
    world.until("b is gone", || job(&world, "b").is_null());
    world.ok(&["job", "create", "a", "--every", "2h", "--run", "true"]);
    assert_eq!(job(&world, "a")["spec"]["every"], "2h");
}

#[test]
fn files_that_are_half_written_or_renamed_do_no_harm() {
    let world = world();
    world.ok(&["controller", "start"]);
    for name in ["a", "b", "c"] {
        world.ok(&["job", "create", name, "--schedule", "0 3 * * *", "--run", "true"]);
    }
    let text = fs::read_to_string(file(&world, "a.md")).expect("a.md");
    let changed = text.replace("0 3 * * *", "15 5 * * *");
    // The first half is a schedule that does not end; what was applied stays.
    fs::write(file(&world, "a.md"), &changed[..20]).expect("a half");
    fs::write(file(&world, "d.md"), "---\nschedule: \"0 6 * * *\"\n").expect("half of a new one");
    world.until("it is said", || {
        let log = fs::read_to_string(world.home().join("controller.log")).unwrap_or_default();
        log.contains("a.md") && log.contains("d.md")
    });
    assert_eq!(job(&world, "a")["spec"]["schedule"], "0 3 * * *");
    assert!(!job(&world, "b").is_null() && !job(&world, "c").is_null() && job(&world, "d").is_null());
    fs::write(file(&world, "a.md"), &changed).expect("all of it");
    fs::write(file(&world, "d.md"), &changed).expect("all of it");
    world.until("the rest counts", || {
        job(&world, "a")["spec"]["schedule"] == "15 5 * * *" && job(&world, "d")["spec"]["schedule"] == "15 5 * * *"
    });

    fs::rename(file(&world, "b.md"), file(&world, "renamed.md")).expect("renamed");
    world.until("it has its new name", || !job(&world, "renamed").is_null() && job(&world, "b").is_null());
    assert_eq!(job(&world, "renamed")["metadata"]["layer"], "user");
    assert!(!job(&world, "c").is_null());
}

#[test]
fn an_object_of_another_set_is_not_written_over() {
    let world = world();
    world.write("mine.yaml", "kind: CronJob\nname: mine\nevery: 1h\nrun: 'true'\n");
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let said = world.run(&["job", "create", "mine", "--every", "2h", "--run", "true"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("cronjob/mine belongs to the set") && said.err.contains("mine.yaml"), "{said:?}");
    assert!(!file(&world, "mine.md").exists());
}
