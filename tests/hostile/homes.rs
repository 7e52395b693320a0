//! Homes that are refused, copied, oddly named, and surroundings that have almost nothing in them.

use std::os::unix::fs::symlink;

use expect_test::expect;

use crate::machine::{chmod, is_root, skipped};
use crate::processes;
use crate::world::{World, service};

/// What `apply` says about a home, with its exit code.
fn verdict(world: &World) -> String {
    let said = world.run(&["apply", "-f", "manifests", "--no-start"]);
    format!("{}\n{}", said.code, world.plain(&said.err))
}

fn with_home() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    std::fs::create_dir(world.home()).expect("a home");
    chmod(world.home(), 0o700);
    world
}

#[test]
fn a_home_that_others_can_enter_is_refused() {
    let world = with_home();
    chmod(world.home(), 0o777);
    expect![[r#"
        1
        error: the home ROOT/home is open to other users (mode 0777)
          help: chmod 700 ROOT/home
    "#]]
    .assert_eq(&verdict(&world));
    assert_eq!(world.run(&["get"]).code, 1);
    // Nobody is told to close a folder such as /tmp.
    std::fs::write(world.home().join("anything"), "").expect("a file");
    expect![[r#"
        1
        error: ROOT/home is open to other users (mode 0777), and it is not a home: other things are in it
          help: give a folder of its own with --home DIR; it is made when it is not there
    "#]]
    .assert_eq(&verdict(&world));
}

#[test]
fn a_home_of_somebody_else_is_refused() {
    if !is_root() {
        skipped("only root can give a folder away");
        return;
    }
    let world = with_home();
    std::os::unix::fs::chown(world.home(), Some(54_321), None).expect("chown");
    expect![[r#"
        1
        error: the home ROOT/home belongs to uid 54321, and this is uid 0
          help: run as that user, or give your own with --home DIR
    "#]]
    .assert_eq(&verdict(&world));
}

#[test]
fn a_home_that_is_a_file_is_refused() {
    let world = with_home();
    std::fs::remove_dir(world.home()).expect("gone");
    std::fs::write(world.home(), "").expect("a file");
    expect![[r#"
        1
        error: the home ROOT/home is not a folder
          help: give a folder with --home DIR
    "#]]
    .assert_eq(&verdict(&world));
}

#[test]
fn a_home_behind_a_link_is_judged_by_what_it_is() {
    let world = with_home();
    let real = world.root().join("real");
    std::fs::rename(world.home(), &real).expect("moved");
    symlink(&real, world.home()).expect("a link");
    assert!(verdict(&world).starts_with('0'));
    let direct = world.run(&["--home", "real", "get", "-o", "name"]);
    assert_eq!((direct.code, direct.out.as_str()), (0, "service/web\n"), "another home behind the link");
    chmod(&real, 0o755);
    expect![[r#"
        1
        error: the home ROOT/real is open to other users (mode 0755)
          help: chmod 700 ROOT/real
    "#]]
    .assert_eq(&verdict(&world));
    std::fs::rename(&real, world.root().join("elsewhere")).expect("moved");
    assert!(verdict(&world).starts_with("1\nerror: "), "{}", verdict(&world));
}

#[test]
fn a_home_that_has_lost_its_name_or_its_key_is_refused() {
    let world = with_home();
    assert!(verdict(&world).starts_with('0'));
    let key = world.home().join("key");
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("gone");
    expect![[r#"
        1
        error: the home ROOT/home has lost its file `key`; with a new one nothing that runs would be recognised
          help: put the file back, or move the folder away and start afresh; what runs is left alone
    "#]]
    .assert_eq(&verdict(&world));
    std::fs::write(&key, "rubbish").expect("a file");
    expect![[r#"
        1
        error: ROOT/home/key is damaged: it should hold 64 hex digits
          help: put the old file back; what runs is left alone
    "#]]
    .assert_eq(&verdict(&world));
    std::fs::write(&key, kept).expect("a file");
    assert!(verdict(&world).starts_with('0'));
}

#[test]
fn a_home_of_any_name_works() {
    let long = format!("{0}/{0}/it's so \"long\"", "d".repeat(120));
    for name in ["with blanks/and\ttabs", "ünïcødé/日本語/🦀", "-dash", "a\nnew line", &long] {
        let world = World::with_home(name);
        world.write("web.yaml", &service("web", "sleep 1000", ""));
        world.apply();
        let web = world.ready("web/0");
        // A client with other surroundings finds the same controller.
        let other = world.command(&["controller", "status"]).env("XDG_RUNTIME_DIR", world.root()).output();
        assert!(other.expect("the binary").status.success(), "{name:?}");
        world.kill_controller();
        world.ok(&["controller", "start"]);
        assert_eq!(world.ready("web/0"), web, "{name:?}");
        world.ok(&["controller", "stop", "--all"]);
        assert_eq!(world.processes().len(), 0, "{name:?}");
    }
}

#[test]
fn four_folders_in_the_path_and_hardly_any_variable_are_enough() {
    for line in [
        "env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin SETPOINT_TEST_WORLD=\"$PWD\" HOME=/",
        "env -i SETPOINT_TEST_WORLD=\"$PWD\"",
        "env SETPOINT_INSTANCE=0011223344556677/service/agent/0 SETPOINT_ATTEMPT=3 CLAUDECODE=1 SECRET=x",
    ] {
        let world = World::new();
        world.write("web.yaml", &service("web", "env; exec sleep 1000", ""));
        let binary = env!("CARGO_BIN_EXE_setpoint");
        let said = world.shell(&format!("{line} '{binary}' --home home apply -f manifests --wait"));
        assert_eq!(said.code, 0, "{line}: {said:?}");
        world.ready("web/0");
        let env = world.ok(&["logs", "web"]);
        let names: Vec<&str> = env.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.contains(&"PATH"), "{line}: {env}");
        for foreign in ["CLAUDECODE", "SECRET", processes::WORLD] {
            assert!(!names.contains(&foreign), "{foreign} reached the service: {env}");
        }
    }
}

#[test]
fn without_any_place_for_a_home_it_says_how_to_give_one() {
    let world = World::new();
    let said = world.shell(&format!("env -i '{}' get", env!("CARGO_BIN_EXE_setpoint")));
    expect![[r#"
        error: no home folder: --home, $SETPOINT_HOME, $XDG_STATE_HOME and $HOME are all unset
          help: give one with --home DIR
    "#]]
    .assert_eq(&said.err);
    assert_eq!(said.code, 1);
}
