//! What `doctor` finds, in worlds where just that is wrong.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::container::Container;
use crate::processes;
use crate::world::{Said, World, said, service};

/// Findings by what was looked at: the level, the text, the fix.
fn findings(said: &Said) -> BTreeMap<String, Vec<(String, String, String)>> {
    let value: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for item in value["items"].as_array().expect("a list") {
        let line = (text(item, "level"), text(item, "what"), text(item, "fix"));
        assert!(line.0 == "ok" || !line.2.is_empty(), "a finding without a fix: {line:?}");
        found.entry(text(item, "check")).or_default().push(line);
    }
    let is_failed = found.values().flatten().any(|(level, ..)| level == "fail");
    assert_eq!(said.code, i32::from(is_failed), "{said:?}");
    found
}

/// That there is a finding of this level with these words in its text and its fix.
#[track_caller]
fn assert_found(said: &Said, check: &str, level: &str, what: &str, fix: &str) {
    let found = findings(said);
    let is_it = |(is, text, help): &(String, String, String)| is == level && text.contains(what) && help.contains(fix);
    assert!(
        found.get(check).is_some_and(|all| all.iter().any(is_it)),
        "no {level} of {check} with `{what}`: {found:#?}"
    );
}

fn doctor(world: &World) -> Said {
    world.run(&["doctor", "-o", "json"])
}

fn mode(world: &World, file: &str, mode: u32) {
    std::fs::set_permissions(world.home().join(file), PermissionsExt::from_mode(mode)).expect("a mode");
}

#[test]
fn it_works_with_nothing_at_all_and_with_everything_as_it_should_be() {
    let world = World::new();
    let said = doctor(&world);
    assert_found(&said, "home", "note", "the first apply makes it", "setpoint init");
    assert!(!world.home().exists(), "looking has made a home");
    assert_eq!(said.code, 0, "{said:?}");
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    let said = doctor(&world);
    for check in ["home", "desired", "socket", "controller", "proc", "pidfd", "trees", "clock", "boot-clock"] {
        assert_found(&said, check, "ok", "", "");
    }
    let text = world.ok(&["doctor"]);
    let words = ["ok", "note", "warn", "fail"];
    for line in text.lines() {
        let (word, rest) = line.split_at(6);
        assert!(words.contains(&word.trim()), "{line}");
        assert_eq!(word.trim() != "ok", rest.contains("  -> "), "{line}");
    }
}

#[test]
fn it_says_which_home_is_wrong_and_how() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    mode(&world, "controller.sock", 0o666);
    assert_found(&doctor(&world), "socket", "warn", "open to other users (mode 0666)", "chmod 600");
    mode(&world, "key", 0o644);
    assert_found(&doctor(&world), "home", "warn", "key is open to other users (mode 0644)", "chmod 600");
    mode(&world, "", 0o755);
    assert_found(&doctor(&world), "home", "fail", "open to other users (mode 0755)", "chmod 700");
    mode(&world, "", 0o700);
    world.kill_controller();
    assert_found(&doctor(&world), "stale", "note", "has left controller.pid and controller.sock", "nothing");
    assert_found(&doctor(&world), "controller", "note", "no controller runs", "setpoint controller start");
    let generation = std::fs::read_dir(world.home().join("desired")).expect("a folder").flatten().next();
    std::fs::write(generation.expect("a generation").path(), "{").expect("a file");
    assert_found(&doctor(&world), "desired", "fail", "", "");
    let file = world.root().join("file");
    std::fs::write(&file, "").expect("a file");
    let said = world.run(&["doctor", "-o", "json", "--home", file.to_str().expect("text")]);
    assert_found(&said, "home", "fail", "is not a folder", "--home");
}

#[test]
fn it_says_what_is_wrong_with_the_surroundings_it_was_called_in() {
    let world = World::new();
    let table = [
        ("PATH=/opt/one", "path", "warn", "PATH is short", "setpoint controller restart"),
        ("PATH=/usr/bin:/bin:/not/there", "path", "note", "/not/there", "nothing"),
        ("PATH=/usr/bin:/bin:.", "path", "warn", "no absolute folder", "absolute"),
        ("TZ=Middle/Earth", "zones", "warn", "Middle/Earth", "tzdata"),
        ("HOME= SETPOINT_HOME= XDG_STATE_HOME=", "home", "fail", "no home folder", "--home"),
    ];
    for (env, check, level, what, fix) in table {
        let said = world.shell(&format!("{env} setpoint doctor -o json"));
        // Without zone data every zone is missing, which is said once.
        let is_bare = check == "zones" && !std::path::Path::new("/usr/share/zoneinfo").is_dir();
        assert_found(&said, check, level, if is_bare { "no zone data" } else { what }, fix);
    }
    let said = world.shell("ulimit -n 200; setpoint doctor -o json");
    assert_found(&said, "open-files", "warn", "at most 200 files", "LimitNOFILE");
}

#[test]
fn it_says_that_the_controller_is_older_than_the_binary_and_has_another_path() {
    let world = World::new();
    let copy = world.root().join("setpoint");
    // By somebody else: a program that one of this test's threads holds open for writing could not be executed.
    let copied =
        |to: &std::path::Path| world.shell(&format!("cp '{}' '{}'", env!("CARGO_BIN_EXE_setpoint"), to.display()));
    assert_eq!(copied(&copy).code, 0);
    let start = format!("PATH=/usr/bin:/bin '{}' controller start", copy.display());
    assert_eq!(world.shell(&start).code, 0);
    let elsewhere = world.shell("PATH=/usr/bin:/bin:/sbin setpoint doctor -o json");
    assert_found(&elsewhere, "controller", "note", "and this is", "setpoint controller restart");
    assert_found(&elsewhere, "path", "note", "lacks /sbin", "setpoint controller restart");
    let newer = world.root().join("newer");
    assert_eq!(copied(&newer).code, 0);
    std::fs::rename(&newer, &copy).expect("an upgrade");
    assert_found(&doctor(&world), "controller", "warn", "was replaced or removed", "setpoint controller restart");
    // A controller that does not answer is no controller that is not there.
    let controller = world.controller();
    assert!(processes::send(controller, rustix::process::Signal::STOP));
    let frozen = doctor(&world);
    assert!(processes::send(controller, rustix::process::Signal::CONT));
    assert_found(&frozen, "controller", "fail", "does not answer", "setpoint controller logs");
}

#[test]
fn it_says_that_the_disk_is_full_read_only_or_in_memory_and_who_is_hidden() {
    let world = World::new();
    let script = |line: &str| {
        let home = world.home().display().to_string();
        let binary = env!("CARGO_BIN_EXE_setpoint");
        let text = format!(
            "mkdir -p '{home}' && chmod 700 '{home}' && mount -t tmpfs -o size=4m,mode=700 none '{home}' || exit 99; \
             setpoint() {{ '{binary}' --home '{home}' \"$@\"; }}; setpoint apply -f manifests --no-start -q >/dev/null || exit 98; {line}"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh", "-c", &text]).current_dir(world.root());
        let said = said(command.output()).expect("unshare");
        let is_refused = said.code == 99 || said.err.contains("unshare:");
        (!is_refused).then_some(said)
    };
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    let home = world.home().display().to_string();
    let Some(plain) = script("setpoint doctor -o json") else {
        return println!("skipped: nothing may be mounted here");
    };
    assert_found(&plain, "disk", "note", "lies in memory", "--home");
    let full = script(&format!("cat /dev/zero > '{home}/zeros' 2>/dev/null; setpoint doctor -o json"));
    assert_found(&full.expect("a mount"), "disk", "fail", "the disk is full: 0 of 4.0Mi", "make room");
    let read_only = script(&format!("mount -o remount,ro '{home}' && setpoint doctor -o json"));
    assert_found(&read_only.expect("a mount"), "disk", "fail", "read-only", "mount it writable");
    let binary = env!("CARGO_BIN_EXE_setpoint");
    let hidden = script(&format!(
        "mount -t proc -o hidepid=2 none /proc && exec setpriv --reuid=12345 --regid=12345 --clear-groups \
         env SETPOINT_HOME=/nowhere/home '{binary}' doctor -o json"
    ));
    assert_found(&hidden.expect("a mount"), "hidepid", "note", "hides processes of other users", "as root");
}

#[test]
fn it_says_when_it_is_called_from_inside_of_a_service() {
    let world = World::new();
    let out = world.root().join("out");
    let line =
        format!("'{}' doctor -o json > '{1}.new'; mv '{1}.new' '{1}'", env!("CARGO_BIN_EXE_setpoint"), out.display());
    world.write("web.yaml", &service("web", &format!("\"{line}; exec sleep 1001\""), ""));
    world.apply();
    world.until("it has looked", || out.exists());
    let said = Said { code: 0, out: std::fs::read_to_string(&out).expect("findings"), err: String::new() };
    assert_found(&said, "inside", "note", "from inside service/web/0", "terminal");
}

#[test]
fn a_container_needs_nothing_to_start_it() {
    let world = World::new();
    let Some(container) = Container::start(&world, &["controller", "run"]) else { return };
    container.answers(None);
    assert_found(&container.run(&["doctor", "-o", "json"]), "boot", "ok", "with the container", "");
}
