//! A secret reaches the process it is for, and nothing else: no file, no argument list, no answer, no log.

use std::path::Path;

use crate::processes;
use crate::world::{World, service};

/// What each way carries; found nowhere but where it was planted and in the environment of the payload.
const WAYS: [(&str, &str); 5] = [
    ("BY_ENV", "planted-env-b7e1"),
    ("BY_FILE", "planted-file-c9d2"),
    ("BY_COMMAND", "planted-command-d3f4"),
    ("BY_ENV_FILE", "planted-envfile-e5a6"),
    ("BY_INHERIT", "planted-inherit-f8b9"),
];
/// What a failing reference has in its hands when it fails.
const FAILED: [&str; 3] = ["planted-stdout-1a2b", "planted-stderr-3c4d", "planted-badline-5e6f"];

fn is_leaked(bytes: &[u8]) -> Option<&'static str> {
    let all = WAYS.iter().map(|(_, secret)| *secret).chain(FAILED);
    all.into_iter().find(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
}

/// Every regular file below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

fn plant(world: &World) {
    let file = |name: &str, text: &str| std::fs::write(world.manifests().join(name), text).expect("a file");
    file("secret", &format!("{}\n", WAYS[1].1));
    file("command", WAYS[2].1);
    file("web.env", &format!("# words\nBY_ENV_FILE=\"{}\"\n", WAYS[3].1));
    file("bad.env", &format!("A=1\n{}\n", FAILED[2]));
    file("tell", &format!("echo {}; echo {} >&2; exit 9", FAILED[0], FAILED[1]));
    let command = world.manifests().join("command");
    let tell = world.manifests().join("tell");
    let good = format!(
        "env: {{ BY_ENV: {{ fromEnv: PLANTED }}, BY_FILE: {{ fromFile: secret }}, BY_COMMAND: {{ fromCommand: [cat, \
         {}] }} }}\nenvFile: web.env\ninheritEnv: [BY_INHERIT]\nbackoff: {{ from: 10ms, to: 50ms }}",
        command.display()
    );
    let failing =
        format!("env: {{ A: {{ fromCommand: [sh, {}] }} }}\nbackoff: {{ from: 10ms, to: 50ms }}", tell.display());
    let bad = "envFile: bad.env\nbackoff: { from: 10ms, to: 50ms }";
    let text = service("good", "sleep 100000", &good)
        + &service("loop", "\"exit 3\"", &good)
        + &service("gone", "./no-such-program", &good)
        + &service("failing", "sleep 100000", &failing)
        + &service("bad", "sleep 100000", bad);
    world.write("all.yaml", &text);
}

fn start(world: &World) {
    let mut command = world.command(&["controller", "start"]);
    let started = command.env("PLANTED", WAYS[0].1).env("BY_INHERIT", WAYS[4].1).output().expect("the binary");
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
}

fn look_everywhere(world: &World, when: &str) {
    let mut all = Vec::new();
    files(&world.home(), &mut all);
    assert!(all.len() > 10, "{when}: too few files: {all:?}");
    for path in all {
        // A file may have been rotated away meanwhile.
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert_eq!(is_leaked(&bytes), None, "{when}: {}", path.display());
    }
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let argv = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert_eq!(is_leaked(&argv), None, "{when}: the arguments of {pid}");
    }
    for words in [
        &["validate", "-f", "manifests"][..],
        &["diff", "-f", "manifests"],
        &["diff", "-f", "manifests", "-o", "json"],
        &["apply", "-f", "manifests", "--dry-run", "-o", "json"],
        &["get"],
        &["get", "-o", "wide"],
        &["get", "-o", "json"],
        &["get", "-o", "yaml"],
        &["describe", "service/good", "service/loop", "service/gone", "service/failing", "service/bad"],
        &["explain", "service.env"],
        &["logs", "good"],
        &["logs", "loop"],
        &["logs", "failing"],
        &["events"],
        &["events", "-o", "json"],
        &["history", "good"],
        &["controller", "status"],
        &["controller", "status", "-o", "json"],
        &["controller", "logs"],
    ] {
        let said = world.run(words);
        let all = format!("{}{}", said.out, said.err);
        assert!(said.code <= 1 || words[0] == "controller", "{when}: setpoint {}\n{all}", words.join(" "));
        assert_eq!(is_leaked(all.as_bytes()), None, "{when}: setpoint {}\n{all}", words.join(" "));
    }
}

#[test]
fn secrets_reach_their_process_and_nothing_else() {
    let world = World::new();
    plant(&world);
    let said = world.run(&["apply", "-f", "manifests", "--no-start"]);
    assert!(said.code == 0 && is_leaked(format!("{}{}", said.out, said.err).as_bytes()).is_none(), "{said:?}");
    start(&world);
    let main = world.ready("good/0");
    let environ = std::fs::read(format!("/proc/{}/environ", main.pid)).expect("a live process");
    for (name, secret) in WAYS {
        let word = format!("{name}={secret}");
        assert!(environ.split(|byte| *byte == 0).any(|found| found == word.as_bytes()), "{name} is not there");
    }
    let has_tried = |name: &str| world.attempts(name).len() > 1;
    world.until("the others have failed more than once", || {
        ["loop/0", "gone/0", "failing/0", "bad/0"].into_iter().all(has_tried)
    });
    look_everywhere(&world, "while it runs");
    world.kill_controller();
    look_everywhere(&world, "after a kill");
    start(&world);
    let edited = std::fs::read_to_string(world.manifests().join("all.yaml")).expect("the manifest");
    world.write("all.yaml", &edited.replace("sleep 100000", "sleep 100001"));
    world.ok(&["apply", "-f", "manifests"]);
    world.until("it is replaced", || world.attempts("good/0").len() == 2);
    assert!(!processes::is_alive(main));
    world.ready("good/0");
    look_everywhere(&world, "after an edit");
    world.ok(&["controller", "stop", "--all"]);
    look_everywhere(&world, "in the end");
}
