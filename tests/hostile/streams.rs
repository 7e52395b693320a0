//! Standard streams that are closed, full, or read by somebody who leaves; terminals that can do little.

use crate::machine::skipped;
use crate::world::{World, service};

fn small() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    std::fs::write(world.root().join("bad.yaml"), "kind: Service\nname: web\nrnu: x\n").expect("a file");
    world
}

#[test]
fn closed_streams_hurt_neither_a_verb_nor_what_it_starts() {
    let world = small();
    assert_eq!(world.shell("setpoint apply -f manifests --wait <&- >&- 2>&-").code, 0);
    world.ready("web/0");
    for line in ["setpoint get >&-", "setpoint get 2>&-", "setpoint get <&-", "setpoint describe web >&- 2>&-"] {
        assert_eq!(world.shell(line).code, 0, "{line}");
    }
    // A service has its own streams whatever its controller's are.
    world.write("web.yaml", &service("web", "ls -l /proc/self/fd; exec sleep 1000", ""));
    assert_eq!(world.shell("setpoint apply -f manifests --wait <&- >&- 2>&-").code, 0);
    let fds = world.ok(&["logs", "web"]);
    let target = |fd: &str| fds.lines().find_map(|line| line.split_once(&format!(" {fd} -> "))).map(|(_, to)| to);
    assert_eq!(target("0"), Some("/dev/null"), "{fds}");
    assert!(target("1").is_some_and(|to| to.starts_with("pipe:")) && target("2").is_some(), "{fds}");
}

#[test]
fn a_full_disk_behind_a_stream_is_said_and_never_a_panic() {
    let world = small();
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let reading = ["get", "diff -f manifests", "describe web", "explain service", "schema", "history web", "version"];
    for verb in reading.iter().chain(&["validate -f manifests", "completion bash", "get -o json"]) {
        let said = world.shell(&format!("setpoint {verb} >/dev/full"));
        assert_eq!(said.code, 1, "{verb}: {said:?}");
        assert!(said.err.starts_with("error: cannot write: No space left"), "{verb}: {said:?}");
    }
    for (line, code) in [
        ("setpoint validate -f bad.yaml 2>/dev/full", 2),
        ("setpoint apply -f bad.yaml 2>/dev/full", 2),
        ("setpoint get nothing 2>/dev/full", 3),
        ("setpoint nonsense 2>/dev/full", 2),
        // What was asked for is done all the same.
        ("setpoint pause web >/dev/full 2>/dev/full", 0),
        ("setpoint apply -f manifests >/dev/full 2>/dev/full", 0),
    ] {
        assert_eq!(world.shell(line).code, code, "{line}");
    }
    assert_eq!(world.run(&["controller", "status"]).code, 0, "the controller was not started");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = small();
    world.write("many.yaml", &(0..200).map(|n| service(&format!("s{n}"), "sleep 1", "")).collect::<String>());
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    for verb in ["get", "get -o json", "schema", "completion bash", "describe web", "diff -f manifests"] {
        let line = format!("{{ setpoint {verb}; echo $? >code; }} 2>/dev/null | head -1; cat code");
        let said = world.shell(&line);
        assert!(said.out.ends_with("\n0\n") && said.err.is_empty(), "{verb}: {said:?}");
    }
    // Errors, too, may be read by nobody.
    let said = world.shell("{ setpoint apply -f bad.yaml 2>&1; echo $? >code; } | true; cat code");
    assert_eq!(said.out, "2\n");
    let said = world.shell("{ setpoint apply -f manifests; echo $? >code; } 2>&1 | true; cat code");
    assert_eq!(said.out, "0\n");
    assert_eq!(world.run(&["controller", "status"]).code, 0, "the controller was not started");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let world = small();
    if world.shell("script -qec true /dev/null").code != 0 {
        skipped("no script(1) to make a terminal with");
        return;
    }
    let on_terminal = |line: &str, env: &str| {
        let binary = env!("CARGO_BIN_EXE_setpoint");
        let said = world.shell(&format!("{env} script -qec \"'{binary}' {line}\" /dev/null"));
        said.out.contains("\u{1b}[")
    };
    let bad = "validate -f bad.yaml";
    assert!(on_terminal(bad, ""), "no colour where it is wanted");
    assert!(!on_terminal(bad, "NO_COLOR=1"));
    assert!(!on_terminal(bad, "TERM=dumb"));
    assert!(!on_terminal(&format!("{bad} --color never"), ""));
    assert!(on_terminal(&format!("{bad} --color always"), "NO_COLOR=1"));
    assert!(on_terminal("diff -f manifests", "") && !on_terminal("diff -f manifests", "NO_COLOR=1"));
    for verb in ["get", "diff -f manifests", "describe x", bad, "--help", "apply --help", "nonsense"] {
        let said = world.shell(&format!("setpoint {verb}"));
        assert!(!format!("{}{}", said.out, said.err).contains('\u{1b}'), "{verb} colours a pipe");
        assert!(!on_terminal(verb, "NO_COLOR=1 TERM=dumb"), "{verb} colours a dumb terminal");
    }
    assert!(
        world.run(&[&bad.split(' ').collect::<Vec<_>>()[..], &["--color", "always"]].concat()).err.contains('\u{1b}')
    );
}
