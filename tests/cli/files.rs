//! Files that a controller follows, when one of them is gone or broken; objects that others name, when they are to go.

use expect_test::expect;

use crate::words::transcript;
use crate::world::World;

const JOB: &str = "---\nschedule: \"0 3 * * *\"\ntimeZone: UTC\nrun: 'true'\n---\n";

fn job(world: &World, name: &str, text: &str) {
    std::fs::create_dir_all(world.home().join("jobs")).expect("a folder");
    std::fs::write(world.home().join("jobs").join(format!("{name}.md")), text).expect("a file");
}

/// The line of `describe` about the file.
fn file_line(world: &World, name: &str) -> String {
    let said = world.run(&["describe", &format!("cronjob/{name}")]);
    let line = said.out.lines().find(|line| line.starts_with("File:")).unwrap_or_default();
    world.plain(line)
}

#[test]
fn a_file_that_is_gone_or_broken_is_said_while_its_last_good_version_runs() {
    let world = World::new();
    world.ok(&["controller", "start"]);
    for name in ["one", "two", "three"] {
        job(&world, name, JOB);
    }
    world.until("all are applied", || world.run(&["get", "cronjobs", "-o", "name"]).out.lines().count() == 3);
    assert_eq!(file_line(&world, "one"), "");
    job(&world, "one", "---\nschedule: \"0 3 * *\"\nrun: 'true'\n---\n");
    std::fs::remove_file(world.home().join("jobs/two.md")).expect("a file");
    world.until("the broken one is known", || world.ok(&["controller", "status"]).contains("one.md:2"));
    let broken = file_line(&world, "one");
    assert!(
        broken.starts_with("File:        its file ROOT/home/jobs/one.md has an error (ROOT/home/jobs/one.md:2:"),
        "{broken}"
    );
    assert!(broken.ends_with("; the last good version runs until that is mended"), "{broken}");
    let gone = file_line(&world, "two");
    let words = "its file ROOT/home/jobs/two.md is gone; the last good version runs until every file of ROOT/home/jobs can be read, and one cannot: ROOT/home/jobs/one.md:2:";
    assert!(gone.contains(words), "{gone}");
    assert_eq!(file_line(&world, "three"), "");
    let table = world.ok(&["get", "cronjobs"]);
    for (name, words) in [("one", "its file has an error (ROOT/home/jobs/one.md:2:"), ("two", "its file is gone")] {
        let line = table.lines().find(|line| line.starts_with(&format!("{name} "))).map(|line| world.plain(line));
        assert!(line.as_ref().is_some_and(|line| line.contains(words)), "{line:?}");
    }
    assert!(!table.lines().any(|line| line.starts_with("three ") && line.contains("file")), "{table}");
    // What has been mended, or is no longer there, is no problem any more.
    std::fs::remove_file(world.home().join("jobs/one.md")).expect("a file");
    world.until("nothing is wrong", || !world.ok(&["controller", "status"]).contains("one.md:2"));
    world.until("what is gone is said to be, and kept: more than half", || {
        world.ok(&["controller", "status"]).contains("left over")
    });
    job(&world, "one", JOB);
    job(&world, "two", JOB);
    world.until("all is well", || !world.ok(&["controller", "status"]).contains("  ! "));
    assert_eq!((file_line(&world, "one"), file_line(&world, "two")), (String::new(), String::new()));
}

const NAMED: &str = "\
kind: QuietHours
name: night
times: [{ from: '01:00', to: '02:00' }]
---
kind: Capability
name: greet
run: echo hello
---
kind: Workflow
name: ship
steps: [{ id: one, use: greet }]
";

const USERS: &str = "\
kind: CronJob
name: nightly
schedule: '0 3 * * *'
timeZone: UTC
quiet: [night]
use: ship
---
kind: Job
name: first
use: greet
";

#[test]
fn what_others_name_is_not_deleted_or_pruned_and_they_are_named() {
    let world = World::new();
    world.write("named.yaml", NAMED);
    std::fs::create_dir(world.root().join("users")).expect("a folder");
    std::fs::write(world.root().join("users/users.yaml"), USERS).expect("a manifest");
    let lines = [
        "setpoint apply -f manifests --no-start -q >&2",
        "setpoint apply -f users --no-start -q >&2",
        "setpoint delete quiethours night",
        "setpoint delete greet ship",
        "setpoint delete -f manifests/named.yaml",
        "printf 'kind: Capability\\nname: greet\\nrun: echo hello\\n' > manifests/named.yaml; setpoint apply -f manifests --prune --yes",
        "setpoint diff -f manifests --prune",
        "setpoint delete ship night nightly --no-wait",
        "setpoint apply -f manifests --prune --yes --no-start -q",
        "setpoint delete first greet",
        "test -e home/controller.pid",
        "setpoint delete first",
    ];
    expect![[r#"
        $ setpoint apply -f manifests --no-start -q >&2
        ! + capability/greet     add           (new)
        ! + quiethours/night     add           (new)
        ! + workflow/ship        add           (new)
        = 0
        $ setpoint apply -f users --no-start -q >&2
        ! + cronjob/nightly      add           (new)
        ! + job/first            start         (new)
        = 0
        $ setpoint delete quiethours night
        ! error: quiethours/night is still used by cronjob/nightly: nothing was changed
        !   help: remove those too, in the same command, or apply them first without that name
        = 5
        $ setpoint delete greet ship
        ! error: capability/greet is still used by job/first
        ! workflow/ship is still used by cronjob/nightly: nothing was changed
        !   help: remove those too, in the same command, or apply them first without that name
        = 5
        $ setpoint delete -f manifests/named.yaml
        ! error: capability/greet is still used by job/first
        ! quiethours/night is still used by cronjob/nightly
        ! workflow/ship is still used by cronjob/nightly: nothing was changed
        !   help: remove those too, in the same command, or apply them first without that name
        = 5
        $ printf 'kind: Capability\nname: greet\nrun: echo hello\n' > manifests/named.yaml; setpoint apply -f manifests --prune --yes
        ! error: quiethours/night is still used by cronjob/nightly
        ! workflow/ship is still used by cronjob/nightly: nothing was changed
        !   help: remove those too, in the same command, or apply them first without that name
        = 5
        $ setpoint diff -f manifests --prune
        ! error: quiethours/night is still used by cronjob/nightly
        ! workflow/ship is still used by cronjob/nightly: nothing was changed
        !   help: remove those too, in the same command, or apply them first without that name
        = 5
        $ setpoint delete ship night nightly --no-wait
          workflow/ship deleted
          quiethours/night deleted
          cronjob/nightly deleted
        = 0
        $ setpoint apply -f manifests --prune --yes --no-start -q
            1 unchanged
        = 0
        $ setpoint delete first greet
          job/first deleted
          capability/greet deleted
        ! job/first  Stopped after AGE
        ! capability/greet  Stopped after AGE
        = 0
        $ test -e home/controller.pid
        = 1
        $ setpoint delete first
        ! error: there is no `first`
        !   help: this home holds nothing at all; setpoint apply -f PATH adds to it
        = 3
    "#]].assert_eq(&transcript(&world, &lines));
}

#[test]
fn a_pause_is_not_what_switches_off_a_job_and_resume_says_what_is() {
    let world = World::new();
    world.write("off.yaml", "kind: CronJob\nname: off\nschedule: '0 3 * * *'\nenabled: false\nrun: 'true'\n");
    let lines = [
        "setpoint apply -f manifests --no-start -q >&2",
        "setpoint resume off",
        "setpoint pause off -q",
        "setpoint resume off -q",
    ];
    expect![[r#"
        $ setpoint apply -f manifests --no-start -q >&2
        ! + cronjob/off          add           (new)
        = 0
        $ setpoint resume off
        ! Nothing was paused.
        ! cronjob/off is switched off by its manifest (enabled: false), which resume does not change: write enabled: true in ROOT/manifests/off.yaml, and apply it
        = 0
        $ setpoint pause off -q
          cronjob/off paused
        = 0
        $ setpoint resume off -q
          cronjob/off resumed
        = 0
    "#]].assert_eq(&transcript(&world, &lines));
}
