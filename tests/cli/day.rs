//! The first day: from an empty folder to a service that runs, is changed, kept down, taken back and removed.

use expect_test::expect;

use crate::processes;
use crate::words::transcript;
use crate::world::{World, service};

#[test]
fn a_first_day_before_anything_runs() {
    let world = World::new();
    let lines = [
        "setpoint get",
        "setpoint init sample",
        "setpoint init sample",
        "setpoint validate -f sample",
        "setpoint diff -f sample",
        "setpoint apply -f sample --dry-run",
        "setpoint apply -f sample --no-start",
        "setpoint apply -f sample --no-start",
        "setpoint get",
        "setpoint diff -f sample",
        "setpoint logs hello",
        "setpoint events",
        "setpoint controller status",
        "setpoint wait hello --timeout 100ms",
        "setpoint explain service.restart",
        "setpoint undo hello",
        "setpoint resume hello",
        "setpoint pause hello --reason \"disk swap\"",
        "setpoint get",
        "setpoint resume hello",
    ];
    expect![[r#"
        $ setpoint get
          There is nothing yet. Write a manifest (setpoint init) and apply it: setpoint apply -f manifests/
        = 0
        $ setpoint init sample
          wrote sample/hello.yaml
          wrote sample/disk.yaml
          Next: setpoint apply -f sample
        = 0
        $ setpoint init sample
        ! error: sample/hello.yaml exists
        !   help: it was left as it is; name another folder: setpoint init DIR
        = 5
        $ setpoint validate -f sample
          2 objects in 2 files are valid.
        = 0
        $ setpoint diff -f sample
          + cronjob/disk         add           (new)
          + service/hello        start         (new)
          Plan PLAN: 2 add, 0 change, 0 remove, 0 left over.   Apply it: setpoint apply -f sample --expect PLAN
        = 1
        $ setpoint apply -f sample --dry-run
          + cronjob/disk         add           (new)
          + service/hello        start         (new)
        ! Nothing was changed: --dry-run.
        = 0
        $ setpoint apply -f sample --no-start
          + cronjob/disk         add           (new)
          + service/hello        start         (new)
        ! Applied PLAN: 2 add, 0 change, 0 remove, 0 left over; generation 1.   Next: setpoint get
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
        $ setpoint apply -f sample --no-start
            2 unchanged
        ! Nothing to change.
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
        $ setpoint get
          NAME           STATE      READY  RESTARTS  SINCE  PID  WHY
          cronjob/disk   Scheduled  -      -         -      -    next in SPAN
          service/hello  Starting   0/1    0         -      -    it is wanted and does not run
        ! no controller runs, so nothing is started or stopped: setpoint controller start
        = 0
        $ setpoint diff -f sample
            2 unchanged
          Nothing to change.
        = 0
        $ setpoint logs hello
        ! hello: it has printed nothing
        = 0
        $ setpoint events
        = 0
        $ setpoint controller status
        ! error: no controller runs for ROOT/home
        !   help: setpoint controller start
        = 4
        $ setpoint wait hello --timeout 100ms
        ! service/hello  Starting after AGE  it is wanted and does not run
        ! error: not in time: service/hello
        !   service/hello: it is wanted and does not run
        !   help: no controller runs, so nothing is started or stopped: setpoint controller start
        = 124
        $ setpoint explain service.restart
          service.restart
            What the end of a process is answered with.
            always: a new start, whatever the exit
            on-failure: a new start unless it exited with 0
            never: nothing

            type     always | on-failure | never
            default  always
            a change applies to what runs, without a restart
        = 0
        $ setpoint undo hello
        ! error: no other version of service/hello is kept
        !   help: setpoint history service/hello lists what there is
        = 3
        $ setpoint resume hello
        ! Nothing was paused.
        = 0
        $ setpoint pause hello --reason "disk swap"
          service/hello paused
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
        $ setpoint get
          NAME           STATE      READY  RESTARTS  SINCE  PID  WHY
          cronjob/disk   Scheduled  -      -         -      -    next in SPAN
          service/hello  Paused     0/1    0         -      -    US paused it: disk swap
        ! no controller runs, so nothing is started or stopped: setpoint controller start
        = 0
        $ setpoint resume hello
          service/hello resumed
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
    "#]]
    .assert_eq(&transcript(&world, &lines));
}

#[test]
fn a_day_with_a_controller() {
    let world = World::new();
    world.write("web.yaml", &service("web", "'echo ready; exec sleep 1000'", ""));
    assert!(world.ok(&["apply", "-f", "manifests", "--wait"]).contains("service/web  Ready"));
    let web = world.ready("web/0");
    world.write("web.yaml", &service("web", "'echo ready; exec sleep 1001'", "labels: { tier: front }"));
    let lines = [
        "setpoint diff -f manifests",
        "setpoint apply -f manifests --wait -q >/dev/null",
        "setpoint logs web -n 1",
        "setpoint logs web --previous",
        "setpoint logs web --grep nothing-like-it",
        "setpoint undo web -q",
        "setpoint wait web --timeout 60s -q",
        "setpoint pause web --reason 'disk swap' -q",
        "setpoint wait web --for stopped --timeout 60s -q",
        "setpoint apply -f manifests",
        "setpoint get web",
        "setpoint wait web --timeout 60s -q",
        "setpoint resume web",
        "setpoint wait web --timeout 60s -q",
        "setpoint restart web",
        "setpoint delete web -q",
        "setpoint get",
        "setpoint delete web",
        "setpoint controller stop",
        "setpoint controller stop",
    ];
    expect![[r#"
        $ setpoint diff -f manifests
          ~ service/web          restart       (run, labels changed)
              run         "echo ready; exec sleep 1000"  ->  "echo ready; exec sleep 1001"
              labels.tier (unset)  ->  "front"
          Plan PLAN: 0 add, 1 change, 0 remove, 0 left over.   Apply it: setpoint apply -f manifests --expect PLAN
        = 1
        $ setpoint apply -f manifests --wait -q >/dev/null
        = 0
        $ setpoint logs web -n 1
          ready
        = 0
        $ setpoint logs web --previous
          ready
        = 0
        $ setpoint logs web --grep nothing-like-it
        ! web: no such line
        = 0
        $ setpoint undo web -q
          ~ service/web          restart       (run, labels changed)
              run         "echo ready; exec sleep 1001"  ->  "echo ready; exec sleep 1000"
              labels.tier "front"  ->  (unset)
          service/web taken back
        = 0
        $ setpoint wait web --timeout 60s -q
        = 0
        $ setpoint pause web --reason 'disk swap' -q
          service/web paused
        = 0
        $ setpoint wait web --for stopped --timeout 60s -q
        = 0
        $ setpoint apply -f manifests
          ~ service/web          restart       (run, labels changed)
              run         "echo ready; exec sleep 1000"  ->  "echo ready; exec sleep 1001"
              labels.tier (unset)  ->  "front"
        ! Applied PLAN: 0 add, 1 change, 0 remove, 0 left over; generation 5.   Next: setpoint get
        = 0
        $ setpoint get web
          NAME         STATE   READY  RESTARTS  SINCE  PID  WHY
          service/web  Paused  0/1    2         -      -    US paused it: disk swap
        = 0
        $ setpoint wait web --timeout 60s -q
        ! error: it will not come by itself: service/web
        !   help: setpoint describe service/web
        = 1
        $ setpoint resume web
          service/web resumed
        = 0
        $ setpoint wait web --timeout 60s -q
        = 0
        $ setpoint restart web
          service/web is to be restarted
        = 0
        $ setpoint delete web -q
          service/web deleted
        = 0
        $ setpoint get
          There is nothing yet. Write a manifest (setpoint init) and apply it: setpoint apply -f manifests/
        = 0
        $ setpoint delete web
        ! error: there is no `web`
        !   help: this home holds nothing at all; setpoint apply -f PATH adds to it
        = 3
        $ setpoint controller stop
        ! the controller is stopped; services run on
        = 0
        $ setpoint controller stop
        ! no controller runs
        = 0
    "#]]
    .assert_eq(&transcript(&world, &lines));
    assert!(!processes::is_alive(web));
    assert_eq!(world.processes().len(), 0, "something is left");
}

#[test]
fn describe_tells_why_and_what_to_do_first() {
    let world = World::new();
    world.write("web.yaml", &service("web", "'echo out of cheese >&2; exit 3'", "backoff: { from: 1h, to: 1h }"));
    world.ok(&["apply", "-f", "manifests"]);
    let crashed = world.until_state("web/0", "Backoff");
    assert_eq!((crashed.reason.as_str(), crashed.last_exit.as_str()), ("it crashed (exit 3)", "exit 3"));
    let story = world.ok(&["describe", "web"]);
    let head: Vec<&str> = story.lines().take(3).collect();
    assert_eq!(head[0], "service/web  Backoff  0/1 ready", "{story}");
    assert!(head[1].starts_with("Why:  it crashed (exit 3); next at "), "{story}");
    assert!(head[1].ends_with("; last line: \"out of cheese\""), "{story}");
    assert!(head[2].starts_with("Do:   setpoint logs service/web --previous"), "{story}");
    // What is seen is seen at once; the controller writes its events a moment later.
    world.until("the crash is told", || world.ok(&["events", "web"]).contains("service.crashed"));
    world.kill_controller();
    world.ok(&["restart", "web"]);
    let story = world.ok(&["describe", "web"]);
    assert!(story.lines().nth(2).is_some_and(|line| line.starts_with("Do:   setpoint controller start")), "{story}");
    let events = world.ok(&["events", "web"]);
    assert!(events.contains("service.started") && events.contains("service.crashed"), "{events}");
    assert_eq!(world.ok(&["events", "web", "--type", "*.crashed", "-n", "1", "-o", "name"]), "service/web/0\n");
}

#[test]
fn history_and_undo_go_back_and_forth() {
    let world = World::new();
    for run in ["sleep 1", "sleep 2", "sleep 3"] {
        world.write("web.yaml", &service("web", run, ""));
        world.ok(&["apply", "-f", "manifests", "--no-start", "-q"]);
    }
    let lines = [
        "setpoint history web | tr -s ' '",
        "setpoint undo web --dry-run",
        "setpoint undo web -q",
        "setpoint undo web --to 1 -q",
        "setpoint get web -o json | grep '\"run\"'",
        "setpoint undo web --to 77",
        "setpoint delete web --no-wait --keep-running -q",
        "setpoint get web",
        "setpoint undo service/web -q",
        "setpoint get web -o name",
    ];
    expect![[r#"
        $ setpoint history web | tr -s ' '
          GENERATION WHEN BY DID WHAT
          1 WHEN US apply created
          2 WHEN US apply run changed
          3 WHEN US apply run changed
        = 0
        $ setpoint undo web --dry-run
          ~ service/web          restart       (run changed)
              run      "sleep 3"  ->  "sleep 2"
        = 0
        $ setpoint undo web -q
          ~ service/web          restart       (run changed)
              run      "sleep 3"  ->  "sleep 2"
          service/web taken back
        = 0
        $ setpoint undo web --to 1 -q
          ~ service/web          restart       (run changed)
              run      "sleep 2"  ->  "sleep 1"
          service/web taken back
        = 0
        $ setpoint get web -o json | grep '"run"'
                  "run": "sleep 1"
        ! no controller runs, so nothing is started or stopped: setpoint controller start
        = 0
        $ setpoint undo web --to 77
        ! error: generation 77 is not kept; there are 1 to 5
        !   help: setpoint history service/web lists what there is
        = 3
        $ setpoint delete web --no-wait --keep-running -q
          service/web deleted
        = 0
        $ setpoint get web
        ! error: there is no `web`
        !   help: this home holds nothing at all; setpoint apply -f PATH adds to it
        = 3
        $ setpoint undo service/web -q
          + service/web          start         (new)
          service/web taken back
        = 0
        $ setpoint get web -o name
          service/web
        ! no controller runs, so nothing is started or stopped: setpoint controller start
        = 0
    "#]]
    .assert_eq(&transcript(&world, &lines));
}
