//! What processes and people ask for, and what they get.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::processes;
use crate::world::{World, service};

/// The program under test, as a script calls it.
pub const SETPOINT: &str = env!("CARGO_BIN_EXE_setpoint");

/// A service that does `first` in its first life, and then sleeps; every life does `always` before.
pub fn asking(world: &World, always: &str, first: &str) {
    let script = format!("{always}\nif [ ! -e first ]; then touch first\n{first}\nfi\nexec sleep 100000\n");
    std::fs::write(world.manifests().join("web.sh"), script).expect("a script");
    world.write("web.yaml", &service("web", "[sh, web.sh]", "backoff: { from: 10ms, to: 10ms }"));
}

/// What a process of the service wrote.
pub fn wrote(world: &World, file: &str) -> String {
    std::fs::read_to_string(world.manifests().join(file)).unwrap_or_default()
}

/// The types of all events about requests, in order.
pub fn events(world: &World) -> Vec<String> {
    let said = world.ok(&["events"]);
    let words = said.lines().filter_map(|line| line.split_whitespace().find_map(|word| word.split_once(".request")));
    words.map(|(_, word)| format!("request{word}")).collect()
}

pub fn waiting(world: &World) -> usize {
    std::fs::read_dir(world.home().join("requests")).map_or(0, Iterator::count)
}

#[test]
fn s3_13_a_process_asks_for_a_fresh_start_whatever_its_environment_says() {
    let world = World::new();
    let lie = format!("env -i SETPOINT_INSTANCE=lies/service/db/0 {SETPOINT} --home {} ", world.home().display());
    asking(&world, "", &format!("{lie} request restart --reason 'the cache is stale' > out 2>&1; echo $? >> out"));
    world.apply();
    let controller = world.controller();
    world.until("it was replaced", || world.attempts("web/0").len() == 2);
    world.ready("web/0");
    let attempts = world.attempts("web/0");
    assert!(attempts[0].1.as_ref().is_some_and(|end| end.asked), "{attempts:?}");
    world.until("it is done", || events(&world).len() == 2);
    assert_eq!(events(&world), ["requested", "request-done"]);
    let told = world.ok(&["events"]);
    assert!(told.contains("restart asked for by service/web/0 (the cache is stale)"), "{told}");
    let generations = std::fs::read_dir(world.home().join("desired")).expect("a folder").flatten();
    let said: Vec<String> = generations.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    let by = "\"principal\":\"request from service/web/0\"";
    assert_eq!(said.iter().filter(|text| text.contains(by)).count(), 1, "{said:?}");
    assert!(wrote(&world, "out").starts_with("restart of service/web/0 is asked for"), "{}", wrote(&world, "out"));
    world.until("nothing waits", || waiting(&world) == 0);
    // It happens once: the next controller has nothing to do.
    let main = world.ready("web/0");
    controller.kill();
    let _controller = world.controller();
    assert_eq!((world.ready("web/0"), world.attempts("web/0").len()), (main, 2));
}

#[test]
fn s3_14_a_cycle_hands_over_until_it_was_of_use() {
    let world = World::new();
    let secret = "hunter2-between-the-two";
    let always = "cat \"${SETPOINT_HANDOFF:-/dev/null}\" >> got; echo \"[${SETPOINT_HANDOFF:-none}]\" >> paths";
    let ask = format!("echo {secret} > note; {SETPOINT} request cycle --handoff note > out 2>&1; rm note");
    asking(&world, always, &ask);
    world.apply();
    let _controller = world.controller();
    let paths = |count: usize| {
        world.until("another life began", || wrote(&world, "paths").lines().count() == count);
        wrote(&world, "paths").lines().last().unwrap_or_default().to_owned()
    };
    let path = paths(2);
    assert!(path.starts_with(&format!("[{}/", world.home().display())), "{path} {}", wrote(&world, "out"));
    let file = path.trim_matches(['[', ']']).to_owned();
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!((mode & 0o777, wrote(&world, "got").trim()), (0o600, secret));
    // A successor that crashed had no use of it.
    let main = world.ready("web/0");
    assert!(processes::send(main, Signal::KILL));
    assert_eq!(paths(3), path);
    // One that ended as it should had, and a restart is fresh.
    world.ready("web/0");
    world.ok(&["restart", "web"]);
    assert_eq!(paths(4), "[none]");
    world.until("it is gone", || !std::path::Path::new(&file).exists());
    let shown = [
        &["describe", "web"][..],
        &["get", "-o", "json"],
        &["history", "web"],
        &["events"],
        &["diff", "-f", "manifests"],
    ];
    for words in shown {
        let said = world.run(words);
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{words:?} shows it");
    }
    assert!(!world.story().contains(secret));
    world.until("nothing waits", || waiting(&world) == 0);
}

#[test]
fn s3_15_a_shutdown_holds_until_a_person_says_otherwise() {
    let world = World::new();
    asking(&world, "", &format!("{SETPOINT} request shutdown --reason 'all work is done' > out 2>&1"));
    world.apply();
    let controller = world.controller();
    world.until_state("web/0", "Paused");
    let told = world.ok(&["describe", "web"]);
    assert!(told.contains("request from service/web/0 paused it: all work is done"), "{told}");
    controller.kill();
    let _controller = world.controller();
    world.ok(&["apply", "-f", "manifests"]);
    world.ok(&["restart", "web"]);
    assert_eq!((world.state("web/0"), world.attempts("web/0").len()), ("Paused".to_owned(), 1));
    world.ok(&["resume", "web"]);
    world.ready("web/0");
}

#[test]
fn s3_16_who_may_ask_for_what() {
    let world = World::new();
    let line = |words: &str| format!("{SETPOINT} request {words} >> out 2>&1; echo \"exit $?\" >> out\n");
    let asks: String =
        ["restart --for db", "shutdown --for service/db/0", "restart --handoff web.sh"].map(line).concat();
    asking(&world, "", &asks);
    world.write("db.yaml", &service("db", "sleep 100000", "replicas: 2"));
    world.write("job.yaml", "kind: Capability\nname: mark\nrun: echo marked\n");
    world.apply();
    let _controller = world.controller();
    let db = world.ready("db/0");
    world.until("it has asked", || wrote(&world, "out").matches("exit").count() == 3);
    let said = wrote(&world, "out");
    let codes: Vec<&str> = said.lines().filter(|line| line.starts_with("exit")).collect();
    assert_eq!(codes, ["exit 6", "exit 6", "exit 2"], "{said}");
    assert!(said.contains("service/web/0 may ask for itself only, not for service/db"), "{said}");
    std::fs::write(world.root().join("large"), vec![b'x'; (1 << 20) + 1]).expect("a file");
    for (words, code, says) in [
        (&["restart"][..], 2, "--for KIND/NAME"),
        (&["restart", "--for", "wbe"], 3, "wbe"),
        (&["restart", "--for", "service/db/7"], 3, "there is no instance service/db/7"),
        (&["shutdown", "--for", "service/db/0"], 5, "setpoint request shutdown --for service/db"),
        (&["restart", "--for", "capability/mark"], 5, "setpoint cancel capability/mark"),
        (&["cycle", "--for", "db", "--handoff", "large"], 2, "larger than 1 MiB"),
        (&["cycle", "--for", "db", "--handoff", "manifests"], 2, "no regular file"),
        (&["nonsense"], 2, "cycle"),
    ] {
        let said = world.run(&[&["request"], words].concat());
        assert!(said.code == code && said.err.contains(says), "{words:?}: {said:?}");
    }
    assert_eq!((waiting(&world), world.ready("db/0"), events(&world).len()), (0, db, 0));
    // A person asks for all of it.
    world.ok(&["request", "restart", "--for", "db"]);
    world.until("both were replaced", || ["db/0", "db/1"].iter().all(|name| world.attempts(name).len() == 2));
    assert_eq!(world.attempts("web/0").len(), 1);
}

#[test]
fn a_run_may_ask_for_its_end_and_not_for_another_beginning() {
    let world = World::new();
    let script = format!(
        "{SETPOINT} request restart > restart 2>&1; echo \"exit $?\" >> restart\n\
         {SETPOINT} request shutdown --reason enough > shutdown 2>&1; exec sleep 100000\n"
    );
    std::fs::write(world.manifests().join("job.sh"), script).expect("a script");
    world.write("job.yaml", "kind: Job\nname: long\nrun: [sh, job.sh]\n");
    world.apply();
    let _controller = world.controller();
    world.until("it was ended", || world.ok(&["runs", "job/long"]).contains("cancelled"));
    assert!(wrote(&world, "restart").contains("exit 5"), "{}", wrote(&world, "restart"));
    world.until("it is done", || events(&world).last().is_some_and(|last| last == "request-done"));
}
