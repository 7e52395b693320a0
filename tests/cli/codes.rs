//! Exit codes, each by the cases it stands for.

use expect_test::expect;

use crate::words::transcript;
use crate::world::{World, service};

fn recorded() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    world
}

#[test]
fn code_0_1_and_2_for_what_is_there_differs_or_makes_no_sense() {
    let world = recorded();
    std::fs::write(world.root().join("bad.yaml"), "kind: Service\nname: web\nrnu: sleep 1\nreplicas: -1\n")
        .expect("bad");
    std::fs::write(world.root().join("new.yaml"), service("new", "sleep 1", "")).expect("new");
    let lines = [
        "setpoint version",
        "setpoint diff -f manifests",
        "setpoint diff -f new.yaml",
        "setpoint validate -f bad.yaml",
        "setpoint diff -f bad.yaml",
        "setpoint apply -f bad.yaml -q",
        "setpoint apply -f no/such/file",
        "setpoint apply -f - --no-start",
        "setpoint apply",
        "setpoint apply manifests",
        "setpoint status",
        "setpoint nonsense",
        "setpoint get --nonsense",
        "setpoint get -o nonsense",
        "setpoint explain",
        "setpoint describe",
        "setpoint pause",
        "setpoint pause web -l a=b",
        "setpoint pause web --for nonsense",
        "setpoint logs web -n nonsense",
        "setpoint logs web --since nonsense",
        "setpoint wait web --timeout nonsense",
        "setpoint apply -f new.yaml --prune",
        "setpoint completion tcsh",
    ];
    expect![[r#"
        $ setpoint version
          setpoint 0.1.0
        = 0
        $ setpoint diff -f manifests
            1 unchanged
          Nothing to change.
        = 0
        $ setpoint diff -f new.yaml
          + service/new          start         (new)
          Plan PLAN: 1 add, 0 change, 0 remove, 0 left over.   Apply it: setpoint apply -f new.yaml --expect PLAN
        = 1
        $ setpoint validate -f bad.yaml
        ! error: unknown field `rnu` in Service "web"
        !  --> bad.yaml:3:1
        !   |
        ! 3 | rnu: sleep 1
        !   | ^^^ did you mean `run`?
        !   |
        !   = help: more: setpoint explain service
        !
        ! error: `replicas` is the number -1, but it counts processes: 0 to 1000
        !  --> bad.yaml:4:11
        !   |
        ! 4 | replicas: -1
        = 2
        $ setpoint diff -f bad.yaml
        ! error: unknown field `rnu` in Service "web"
        !  --> bad.yaml:3:1
        !   |
        ! 3 | rnu: sleep 1
        !   | ^^^ did you mean `run`?
        !   |
        !   = help: more: setpoint explain service
        !
        ! error: `replicas` is the number -1, but it counts processes: 0 to 1000
        !  --> bad.yaml:4:11
        !   |
        ! 4 | replicas: -1
        = 2
        $ setpoint apply -f bad.yaml -q
        ! error: unknown field `rnu` in Service "web"
        !  --> bad.yaml:3:1
        !   |
        ! 3 | rnu: sleep 1
        !   | ^^^ did you mean `run`?
        !   |
        !   = help: more: setpoint explain service
        !
        ! error: `replicas` is the number -1, but it counts processes: 0 to 1000
        !  --> bad.yaml:4:11
        !   |
        ! 4 | replicas: -1
        = 2
        $ setpoint apply -f no/such/file
        ! error: there is no such file or folder
        ! --> no/such/file
        !  = help: check the path
        !
        ! 1 error in 1 of 1 file. Nothing was changed.
        = 2
        $ setpoint apply -f - --no-start
        ! warning: there is no manifest in it
        ! --> <stdin>
        !  = help: a manifest begins with a line such as `kind: Service`
        !
        ! Nothing to change.
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
        $ setpoint apply
        ! error: the following required arguments were not provided:
        !   --filename <PATH>
        !
        ! Usage: setpoint apply --filename <PATH>
        !
        ! For more information, try '--help'.
        !   help: for example: setpoint apply -f manifests/   (setpoint init writes a first one)
        = 2
        $ setpoint apply manifests
        ! error: unexpected argument 'manifests' found
        !
        ! Usage: setpoint apply [OPTIONS] --filename <PATH>
        !
        ! For more information, try '--help'.
        !   help: name files and folders with -f: setpoint apply -f manifests
        = 2
        $ setpoint status
        ! error: unrecognized subcommand 'status'
        !
        !   tip: some similar subcommands exist: 'pause', 'start'
        !
        ! Usage: setpoint [OPTIONS] <COMMAND>
        !
        ! For more information, try '--help'.
        !   help: setpoint get, setpoint describe NAME, or setpoint controller status
        = 2
        $ setpoint nonsense
        ! error: unrecognized subcommand 'nonsense'
        !
        ! Usage: setpoint [OPTIONS] <COMMAND>
        !
        ! For more information, try '--help'.
        = 2
        $ setpoint get --nonsense
        ! error: unexpected argument '--nonsense' found
        !
        !   tip: to pass '--nonsense' as a value, use '-- --nonsense'
        !
        ! Usage: setpoint get [OPTIONS] [OBJECT]...
        !
        ! For more information, try '--help'.
        = 2
        $ setpoint get -o nonsense
        ! error: invalid value 'nonsense' for '--output <OUTPUT>'
        !   [possible values: table, wide, json, yaml, name]
        !
        ! For more information, try '--help'.
        = 2
        $ setpoint explain
        ! error: the following required arguments were not provided:
        !   <KIND[.FIELD]>
        !
        ! Usage: setpoint explain <KIND[.FIELD]>
        !
        ! For more information, try '--help'.
        !   help: for example: setpoint explain service, setpoint explain service.backoff
        = 2
        $ setpoint describe
        ! error: the following required arguments were not provided:
        !   <OBJECT>...
        !
        ! Usage: setpoint describe <OBJECT>...
        !
        ! For more information, try '--help'.
        !   help: setpoint get lists what there is
        = 2
        $ setpoint pause
        ! error: which objects?
        !   help: name them: KIND/NAME, or by label: -l KEY=VALUE
        = 2
        $ setpoint pause web -l a=b
        ! error: give either names or -l, not both
        = 2
        $ setpoint pause web --for nonsense
        ! error: invalid value 'nonsense' for '--for <TIME>': is no duration; write a number and a unit: 500ms, 90s, 15m, 2h or 7d
        !
        ! For more information, try '--help'.
        = 2
        $ setpoint logs web -n nonsense
        ! error: --tail is `nonsense`, but it counts lines
        !   help: write a number, or all
        = 2
        $ setpoint logs web --since nonsense
        ! error: --since is `nonsense`, which is no span and no moment
        !   help: write 10m, 2h, or 2026-01-31T08:00:00Z
        = 2
        $ setpoint wait web --timeout nonsense
        ! error: --timeout is `nonsense`, which is no span
        !   help: write 30s, 10m or 2h
        = 2
        $ setpoint apply -f new.yaml --prune
        ! error: --prune needs a whole folder, and the file ROOT/new.yaml is not one: what is in no file could not be told from what is in another file
        !   help: give the folder with -f, or name what should go: setpoint delete KIND/NAME
        = 2
        $ setpoint completion tcsh
        ! error: invalid value 'tcsh' for '<SHELL>'
        !   [possible values: bash, elvish, fish, powershell, zsh]
        !
        !   tip: a similar value exists: 'zsh'
        !
        ! For more information, try '--help'.
        = 2
    "#]].assert_eq(&transcript(&world, &lines));
}

#[test]
fn code_3_for_what_is_not_there() {
    let world = recorded();
    let lines = [
        "setpoint get wbe",
        "setpoint get service/wbe",
        "setpoint get job/web",
        "setpoint delete service",
        "setpoint restart service/web/0",
        "setpoint get web api",
        "setpoint describe nothing",
        "setpoint logs nothing",
        "setpoint logs service/web/7",
        "setpoint logs web --previous",
        "setpoint delete nothing",
        "setpoint delete -l tier=none",
        "setpoint restart nothing",
        "setpoint pause nothing",
        "setpoint wait nothing",
        "setpoint wait nothing --for deleted",
        "setpoint history nothing",
        "setpoint undo web",
        "setpoint explain nothing",
        "setpoint explain service.nothing",
        "setpoint schema nothing",
    ];
    expect![[r#"
        $ setpoint get wbe
        ! error: there is no `wbe`
        !   help: did you mean `service/web`?
        = 3
        $ setpoint get service/wbe
        ! error: there is no `service/wbe`
        !   help: did you mean `service/web`?
        = 3
        $ setpoint get job/web
        ! error: there is no `job/web`
        !   help: did you mean `service/web`?
        = 3
        $ setpoint delete service
        ! error: there is no `service`, and it is a kind
        !   help: name objects of it: service/NAME
        = 3
        $ setpoint restart service/web/0
        ! error: there is no instance `service/web/0` that ever ran
        !   help: setpoint describe service/web
        = 3
        $ setpoint get web api
        ! error: there is no `api`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint describe nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint logs nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint logs service/web/7
        ! error: there is no instance `service/web/7`
        !   help: setpoint describe service/web lists its instances
        = 3
        $ setpoint logs web --previous
        ! error: service/web/0 has no attempt before the present one
        !   help: leave out --previous
        = 3
        $ setpoint delete nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint delete -l tier=none
        ! error: no object has the labels tier=none
        !   help: setpoint describe NAME shows the labels of an object
        = 3
        $ setpoint restart nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint pause nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint wait nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint wait nothing --for deleted
        = 0
        $ setpoint history nothing
        ! error: there is no `nothing`
        !   help: setpoint get lists what there is
        = 3
        $ setpoint undo web
        ! error: no other version of service/web is kept
        !   help: setpoint history service/web lists what there is
        = 3
        $ setpoint explain nothing
        ! error: there is no kind `nothing`.
        !   help: there are: capability, cronjob, job, mailbox, quiethours, service, settings, trigger, workflow
        = 3
        $ setpoint explain service.nothing
        ! error: `service` has no field `nothing`.
        !   help: there are: adopt, annotations, backoff, dir, env, envFile, forEach, group, heartbeat, inheritEnv, labels, limits, live, log, name, needs, ready, replicas, restart, run, stop, tty, umask, user
        = 3
        $ setpoint schema nothing
        ! error: there is no kind `nothing`.
        !   help: there are: capability, cronjob, job, mailbox, quiethours, service, settings, trigger, workflow
        = 3
    "#]]
    .assert_eq(&transcript(&world, &lines));
}

#[test]
fn code_4_for_what_only_a_controller_can_do() {
    let world = recorded();
    let lines = [
        "setpoint controller status",
        "setpoint controller status -o json",
        "setpoint controller stop",
        "setpoint controller logs",
        // All of these work without one.
        "setpoint validate -f manifests >/dev/null",
        "setpoint diff -f manifests >/dev/null",
        "setpoint get >/dev/null 2>&1",
        "setpoint describe web >/dev/null",
        "setpoint explain service >/dev/null",
        "setpoint schema >/dev/null",
        "setpoint logs web",
        "setpoint events",
        "setpoint history web >/dev/null",
    ];
    expect![[r#"
        $ setpoint controller status
        ! error: no controller runs for ROOT/home
        !   help: setpoint controller start
        = 4
        $ setpoint controller status -o json
          {
            "running": false
          }
        ! error: no controller runs for ROOT/home
        !   help: setpoint controller start
        = 4
        $ setpoint controller stop
        ! no controller runs
        = 0
        $ setpoint controller logs
        = 0
        $ setpoint validate -f manifests >/dev/null
        = 0
        $ setpoint diff -f manifests >/dev/null
        = 0
        $ setpoint get >/dev/null 2>&1
        = 0
        $ setpoint describe web >/dev/null
        = 0
        $ setpoint explain service >/dev/null
        = 0
        $ setpoint schema >/dev/null
        = 0
        $ setpoint logs web
        ! web: it has printed nothing
        = 0
        $ setpoint events
        = 0
        $ setpoint history web >/dev/null
        = 0
    "#]]
    .assert_eq(&transcript(&world, &lines));
    // A service cannot start the controller it would take down with it.
    let binary = env!("CARGO_BIN_EXE_setpoint");
    let inner =
        format!("'{binary} --home {}/other controller start; echo code $?; exec sleep 1000'", world.root().display());
    world.write("web.yaml", &service("web", &inner, ""));
    world.apply();
    world.until("it has tried", || world.ok(&["logs", "web"]).contains("code "));
    let log = world.ok(&["logs", "web"]);
    assert!(log.contains("code 4") && log.contains("runs inside service/web/0") && log.contains("help:"), "{log}");
}

#[test]
fn code_5_for_what_is_refused() {
    let world = recorded();
    world.ok(&["apply", "-f", "manifests", "--set", "one", "--no-start", "--take"]);
    let lines = [
        "setpoint apply -f manifests --set one --expect p-000000",
        "setpoint apply -f manifests --set two",
        "setpoint diff -f manifests --set two",
        "mkdir -p empty; setpoint apply -f empty --set one --prune",
        "setpoint init manifests/../sample -q; setpoint init sample",
    ];
    expect![[r#"
        $ setpoint apply -f manifests --set one --expect p-000000
        ! error: the plan is PLAN now, not PLAN: the manifests or the desired state have changed since
        !   help: review it again: setpoint diff -f manifests --set one
        = 5
        $ setpoint apply -f manifests --set two
        ! error: service/web belongs to the set "one" (ROOT/manifests/web.yaml), and ROOT/manifests/web.yaml would put it into "two"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ setpoint diff -f manifests --set two
        ! error: service/web belongs to the set "one" (ROOT/manifests/web.yaml), and ROOT/manifests/web.yaml would put it into "two"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ mkdir -p empty; setpoint apply -f empty --set one --prune
        ! warning: there are no manifests in this folder
        ! --> empty
        !  = help: manifests end in .yaml, .yml, .json or .md
        !
        ! error: --prune would remove 1 of 1 objects of the set "one": nothing was changed
        !   help: if that is what you want, add --yes
        = 5
        $ setpoint init manifests/../sample -q; setpoint init sample
        ! error: sample/hello.yaml exists
        !   help: it was left as it is; name another folder: setpoint init DIR
        = 5
    "#]].assert_eq(&transcript(&world, &lines));
    world.ok(&["controller", "start"]);
    let second = world.run(&["controller", "run"]);
    assert_eq!(second.code, 5, "{second:?}");
    assert!(second.err.contains("a controller runs already") && second.err.contains("help:"), "{second:?}");
    let again = world.run(&["controller", "start"]);
    assert!(again.code == 0 && again.err.contains("a controller runs already (pid"), "{again:?}");
    // It does not begin to follow a folder because somebody would like it to.
    let deaf = world.run(&["controller", "start", "-f", "manifests"]);
    assert!(deaf.code == 5 && deaf.err.contains("it does not follow"), "{deaf:?}");
    let command = deaf.err.split("help: ").nth(1).and_then(|help| help.split(';').next()).expect("a command");
    assert_eq!(world.shell(command).code, 0, "{command}");
    let status = world.ok(&["controller", "status"]);
    assert!(status.contains(&format!("follows      {}/manifests\n", world.root().display())), "{status}");
    world.ok(&["controller", "start", "-f", "manifests"]);
}

#[test]
fn code_124_for_what_takes_too_long_and_1_for_what_will_never_come() {
    let world = World::new();
    world.write("slow.yaml", &service("slow", "no-such-program", "backoff: { from: 1h, to: 1h }"));
    let said = world.run(&["apply", "-f", "manifests", "--wait", "--timeout", "1s"]);
    assert_eq!(said.code, 124, "{said:?}");
    let last: Vec<&str> = said.err.lines().rev().take(3).collect();
    let [help, why, what] = last[..] else { panic!("{said:?}") };
    assert_eq!(
        [help, what],
        ["  help: setpoint describe service/slow", "error: not in time: service/slow"],
        "{said:?}"
    );
    assert!(why.starts_with("  service/slow: ") && why.contains("no-such-program"), "{said:?}");
    world.write("slow.yaml", &service("slow", "'exit 1'", "backoff: { from: 10ms, to: 10ms, giveUpAfter: 2 }"));
    let said = world.run(&["apply", "-f", "manifests", "--wait"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("GaveUp"), "{said:?}");
    assert_eq!(world.run(&["wait", "slow"]).code, 1);
    assert_eq!(world.run(&["wait", "slow", "--for", "done"]).code, 0);
}

#[test]
fn once_makes_one_pass_and_leaves_no_controller() {
    let world = recorded();
    world.ok(&["apply", "-f", "manifests", "--once"]);
    let web = world.ready("web/0");
    assert_eq!(world.run(&["controller", "status"]).code, 4);
    assert!(!world.home().join("controller.pid").exists());
    // It notices what has died when it is run again.
    assert!(crate::processes::send(web, rustix::process::Signal::KILL));
    world.until("it is gone", || world.instance("web/0").pid.is_none());
    // One pass does not sit out a backoff.
    world.until("it is back", || {
        world.ok(&["apply", "-f", "manifests", "--once"]);
        world.instance("web/0").attempt == 2
    });
}
