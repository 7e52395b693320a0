//! Words that have to agree with each other: what is held, what is remembered of what is gone, layers, times, places.

use expect_test::expect;
use rustix::process::Signal;

use crate::processes;
use crate::runs::told;
use crate::world::{World, service};

const HELD: &str = "\
kind: Workflow
name: ship
steps:
  - { id: build, run: echo built }
  - { id: send, run: echo sent, needs: [build], askFirst: true }
---
kind: Capability
name: wipe
risk: high
run: 'true'
";

#[test]
fn what_needs_consent_is_said_by_every_verb_with_the_same_code() {
    let world = World::new();
    world.write("held.yaml", HELD);
    world.ok(&["apply", "-f", "manifests"]);
    let text = told(
        &world,
        &[
            "setpoint run ship --wait",
            "setpoint runs ship | tail -n 1",
            "setpoint runs $(setpoint runs ship -o name) | grep -e Why -e step",
            "setpoint get ship | tail -n 1",
            "setpoint wait --for done ship 2>&1 | tail -n 2",
            "setpoint wait --for done ship -q",
            "setpoint run wipe --wait",
            "setpoint wait --for done wipe -q",
            "setpoint runs wipe | tail -n 1",
            "test $(setpoint runs ship -o json | grep -c '\"started\": \"20') = 1",
        ],
    );
    expect![[r#"
        $ setpoint run ship --wait
         workflow/ship/RUN started
        ! error: workflow/ship/RUN is held: it needs consent (askFirst), and this version cannot ask for it yet
        ! help: it stays on record; end it: setpoint cancel workflow/ship/RUN
        = 6
        $ setpoint runs ship | tail -n 1
         workflow/ship/RUN held WHEN - 0 step send: it needs consent (askFirst), and this version cannot ask for it yet
        = 0
        $ setpoint runs $(setpoint runs ship -o name) | grep -e Why -e step
         Why: step send: it needs consent (askFirst), and this version cannot ask for it yet
         step build ok AGE exited with 0
         step send NeedsConsent it needs consent (askFirst), and this version cannot ask for it yet
        = 0
        $ setpoint get ship | tail -n 1
         ship - - - NeedsConsent: it needs consent (askFirst), and this version cannot ask for it yet
        = 0
        $ setpoint wait --for done ship 2>&1 | tail -n 2
         error: workflow/ship is held: it needs consent (askFirst), and this version cannot ask for it yet
         help: setpoint describe workflow/ship
        = 0
        $ setpoint wait --for done ship -q
        ! error: workflow/ship is held: it needs consent (askFirst), and this version cannot ask for it yet
        ! help: setpoint describe workflow/ship
        = 6
        $ setpoint run wipe --wait
         capability/wipe/RUN started
        ! error: capability/wipe/RUN is held: it needs consent (risk: high), and this version cannot ask for it yet
        ! help: it stays on record; end it: setpoint cancel capability/wipe/RUN
        = 6
        $ setpoint wait --for done wipe -q
        ! error: capability/wipe is held: it needs consent (risk: high), and this version cannot ask for it yet
        ! help: setpoint describe capability/wipe
        = 6
        $ setpoint runs wipe | tail -n 1
         capability/wipe/RUN held - - 0 it needs consent (risk: high), and this version cannot ask for it yet
        = 0
        $ test $(setpoint runs ship -o json | grep -c '"started": "20') = 1
        = 0
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_prompt_that_was_held_is_held_and_not_scheduled() {
    let world = World::new();
    let job = "---\nevery: 1s\ntype: prompt\n---\nLook around.\n";
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world.ok(&["apply", "-f", "manifests"]);
    std::fs::write(world.home().join("jobs/often.md"), job).expect("a job");
    let ticks = || world.run(&["runs", "often", "--ticks", "--state", "Held"]).out.lines().count();
    world.until("it was held", || ticks() > 0);
    for _ in 0..20 {
        let said = world.ok(&["get", "cronjobs"]);
        assert!(said.contains("NeedsConsent") && !said.contains("Scheduled"), "{said}");
    }
    let said = world.ok(&["get", "cronjobs"]);
    assert!(said.lines().any(|line| line.contains(" user ")), "{said}");
}

const PLAIN: &str = "\
kind: Job
name: first
run: echo done
---
kind: CronJob
name: nightly
schedule:
  - '0 3 * * *'
  - '0 3 13 * 5'
timeZone: UTC
run: 'true'
---
kind: Capability
name: greet
run: echo hello
";

#[test]
fn words_about_one_thing_agree() {
    let world = World::new();
    world.write("plain.yaml", PLAIN);
    let text = told(
        &world,
        &[
            "setpoint controller status",
            "setpoint controller status -o json",
            "test -e home",
            "setpoint diff -f manifests 2>&1 | grep -e '^ *[+]' -e '-->'",
            "setpoint apply -f manifests --wait=done -q >/dev/null",
            "setpoint get cronjobs | grep -o -e '- *- *Scheduled'",
            "setpoint get nightly -o json | grep layer",
            "until setpoint describe nightly | grep -q 'next due time'; do :; done; setpoint describe nightly | grep -o -e 'Why.*' -e 'Next: *[^,]*'",
            "setpoint describe nightly | grep -c '+00:00'",
            "setpoint cron '@rebot'",
            "setpoint cron '@dialy'",
            "setpoint cron '@often'",
            "setpoint delete first greet",
            "setpoint runs first",
            "setpoint describe first",
            "setpoint logs first",
            "setpoint logs job/first --run 1",
            "setpoint logs greet",
            "setpoint describe greet",
        ],
    );
    expect![[r#"
        $ setpoint controller status
        ! error: no controller runs: there is no home ROOT/home yet
        ! help: setpoint apply -f PATH
        = 4
        $ setpoint controller status -o json
         {
         "running": false
         }
        ! error: no controller runs: there is no home ROOT/home yet
        ! help: setpoint apply -f PATH
        = 4
        $ test -e home
        = 1
        $ setpoint diff -f manifests 2>&1 | grep -e '^ *[+]' -e '-->'
         --> manifests/plain.yaml:9:5
         + capability/greet add (new)
         + cronjob/nightly add (new)
         + job/first start (new)
        = 0
        $ setpoint apply -f manifests --wait=done -q >/dev/null
        ! warning: cronjob/nightly: schedule `0 3 13 * 5`: it runs on the 13th AND on every Friday, since both day fields are restricted
        ! --> manifests/plain.yaml:9:5
        ! |
        ! 9 | - '0 3 13 * 5'
        ! | ^^^^^^^^^^^^
        ! |
        ! = help: see when it is due: setpoint cron '0 3 13 * 5' --tz UTC
        !
        = 0
        $ setpoint get cronjobs | grep -o -e '- *- *Scheduled'
         - - Scheduled
        = 0
        $ setpoint get nightly -o json | grep layer
         "layer": null,
        = 0
        $ until setpoint describe nightly | grep -q 'next due time'; do :; done; setpoint describe nightly | grep -o -e 'Why.*' -e 'Next: *[^,]*'
         Why: its next due time is WHEN
         Next: WHEN
        = 0
        $ setpoint describe nightly | grep -c '+00:00'
         0
        = 1
        $ setpoint cron '@rebot'
        ! error: schedule, column 1: `@rebot` is no schedule
        ! @rebot
        ! ^^^^^^
        ! help: did you mean @reboot? Else write @hourly, @daily, @weekly, @monthly or @yearly, or five fields
        = 2
        $ setpoint cron '@dialy'
        ! error: schedule, column 1: `@dialy` is no schedule
        ! @dialy
        ! ^^^^^^
        ! help: did you mean @daily? Else write @hourly, @daily, @weekly, @monthly or @yearly, or five fields
        = 2
        $ setpoint cron '@often'
        ! error: schedule, column 1: `@often` is no schedule
        ! @often
        ! ^^^^^^
        ! help: write @hourly, @daily, @weekly, @monthly or @yearly, or five fields
        = 2
        $ setpoint delete first greet
         job/first deleted
         capability/greet deleted
        ! job/first Stopped after AGE
        ! capability/greet Stopped after AGE
        = 0
        $ setpoint runs first
         RUN OUTCOME STARTED TOOK ATTEMPTS WHY
         job/first/1 ok WHEN AGE 1 exited with 0
        = 0
        $ setpoint describe first
         job/first deleted
         Why: it is in no generation of the desired state any more; its runs are remembered
         Do: setpoint runs job/first | setpoint undo job/first

         Runs:
         1 ok WHEN AGE exited with 0
        = 0
        $ setpoint logs first
         done
        = 0
        $ setpoint logs job/first --run 1
         done
        = 0
        $ setpoint logs greet
        ! error: there is no `greet`
        ! help: setpoint get lists what there is
        = 3
        $ setpoint describe greet
        ! error: there is no `greet`
        ! help: setpoint get lists what there is
        = 3
    "#]].assert_eq(&text);
}

#[test]
fn a_run_that_was_asked_of_a_controller_that_hangs_may_have_begun() {
    let world = World::new();
    world.write("plain.yaml", PLAIN);
    world.apply();
    let controller = world.controller();
    assert!(processes::send(controller, Signal::STOP));
    let said = world.run(&["run", "greet"]);
    assert!(processes::send(controller, Signal::CONT));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("does not answer"), "{said:?}");
    let help = "it may have been done all the same; look before you ask again: setpoint runs capability/greet";
    assert!(said.err.contains(help), "{said:?}");
}
