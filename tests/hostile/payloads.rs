//! Programs that cannot be executed, print too much or too oddly, and controllers with too few descriptors.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use expect_test::expect;
use rustix::process::Signal;

use crate::machine::chmod;
use crate::processes;
use crate::world::{World, service};

#[test]
fn what_cannot_be_executed_says_so_and_is_tried_again_later() {
    let world = World::new();
    let bin = world.root().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for (file, text, mode) in [
        ("plain", "#!/bin/sh\n", 0o644),
        ("noformat", "just words\n", 0o755),
        ("empty", "", 0o755),
        ("interpreter", "#!/no/such/interpreter\n", 0o755),
        ("folderint", "#!/tmp\n", 0o755),
    ] {
        std::fs::write(bin.join(file), text).expect("a file");
        chmod(&bin.join(file), mode);
    }
    symlink("loop", bin.join("loop")).expect("a link");
    let at = |file: &str| format!("[{}]", bin.join(file).display());
    let services = [
        ("missing", "[no-such-program]".to_owned(), ""),
        ("nopath", "[/no/such/program]".to_owned(), ""),
        ("folder", "[/tmp]".to_owned(), ""),
        ("plain", at("plain"), ""),
        ("noformat", at("noformat"), ""),
        ("empty", at("empty"), ""),
        ("interpreter", at("interpreter"), ""),
        ("folderint", at("folderint"), ""),
        ("loop", at("loop"), ""),
        ("notdir", "[/dev/null/program]".to_owned(), ""),
        ("nodir", "sleep 1".to_owned(), "dir: /no/such/dir"),
        ("filedir", "sleep 1".to_owned(), "dir: /dev/null"),
        ("longname", format!("[{}]", "x".repeat(300)), ""),
    ];
    let backoff = "backoff: { from: 50ms, to: 100ms }";
    let all: String = services.iter().map(|(n, run, more)| service(n, run, &format!("{backoff}\n{more}"))).collect();
    world.write("all.yaml", &all);
    world.ok(&["apply", "-f", "manifests"]);
    world.until("all have been tried", || world.get().values().all(|instance| instance.last_exit.contains("started")));
    let words: BTreeMap<String, String> =
        world.get().into_iter().map(|(name, instance)| (name, world.plain(&instance.last_exit))).collect();
    let words: String = words.iter().map(|(name, words)| format!("{name:25} {words}\n")).collect();
    expect![[r#"
        service/empty/0           not started: exec ROOT/bin/empty: Exec format error (no program of this machine; a script begins with a line like #!/bin/sh)
        service/filedir/0         not started: dir /dev/null: Not a directory
        service/folder/0          not started: exec /tmp: Permission denied
        service/folderint/0       not started: exec ROOT/bin/folderint: Permission denied
        service/interpreter/0     not started: exec ROOT/bin/interpreter: No such file or directory (the file is there, its interpreter is not; see its first line)
        service/longname/0        not started: exec xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        service/loop/0            not started: exec ROOT/bin/loop: Too many levels of symbolic links
        service/missing/0         not started: exec no-such-program: No such file or directory
        service/nodir/0           not started: dir /no/such/dir: No such file or directory
        service/noformat/0        not started: exec ROOT/bin/noformat: Exec format error (no program of this machine; a script begins with a line like #!/bin/sh)
        service/nopath/0          not started: exec /no/such/program: No such file or directory
        service/notdir/0          not started: exec /dev/null/program: Not a directory
        service/plain/0           not started: exec ROOT/bin/plain: Permission denied
    "#]].assert_eq(&words);
    world.until("all are given up", || world.get().values().all(|instance| instance.state == "GaveUp"));
    assert!(world.get().values().all(|instance| instance.attempt == 5), "{:#?}", world.get());
    let story = world.ok(&["describe", "missing"]);
    assert!(story.contains("Do:") && story.contains("setpoint restart service/missing"), "{story}");
    // Once the cause is mended, one command is enough.
    chmod(&bin.join("plain"), 0o755);
    std::fs::write(bin.join("plain"), "#!/bin/sh\nexec sleep 1000\n").expect("a file");
    world.ok(&["restart", "plain"]);
    world.ready("plain/0");
}

#[test]
fn output_of_any_kind_and_amount_is_kept_within_bounds() {
    let world = World::new();
    let log = "log: { maxSize: 1Mi, maxFiles: 3 }\nrestart: never";
    let services = [
        ("flood", "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last", 0),
        ("lines", "seq 3000000; echo last", 0),
        ("binary", "head -c 3000000 /dev/urandom; echo; echo last", 0),
        ("nul", "printf 'a\\0b\\n\\0\\0\\n'; printf '\\033[2J\\001\\n'; echo last", 0),
        ("unended", "printf 'no newline'", 0),
        ("mixed", "printf out; sleep 0.3; echo err >&2; echo put; printf rest >&2; sleep 0.3; echo last", 0),
        ("empty", "printf '\\n\\n\\n'; echo last", 0),
        ("closed", "exec >&- 2>&-; sleep 0.1; exit 3", 3),
    ];
    let quoted = |run: &str| format!("\"{}\"", run.replace('\\', "\\\\"));
    let all: String = services.iter().map(|(name, run, _)| service(name, &quoted(run), log)).collect();
    world.write("all.yaml", &all);
    world.ok(&["apply", "-f", "manifests"]);
    for (name, _, code) in services {
        let instance = world.until_state(&format!("{name}/0"), if code == 0 { "Done" } else { "Failed" });
        assert_eq!((instance.attempt, instance.last_exit), (1, format!("exit {code}")), "{name}");
        let folder = std::fs::read_dir(world.home().join("logs/service").join(name)).expect("logs");
        let sizes: Vec<u64> = folder.flatten().map(|file| file.metadata().expect("a file").len()).collect();
        // A line is never torn over two files, so a file may be longer by one.
        assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= (1 << 20) + (64 << 10)), "{name}: {sizes:?}");
    }
    for name in ["flood", "lines", "binary", "nul", "empty"] {
        assert!(world.ok(&["logs", name, "-n", "5"]).ends_with("last\n"), "{name}");
    }
    assert_eq!(world.ok(&["logs", "unended"]), "no newline\n");
    // Which of the two streams comes first is up to who is quicker; nothing of either is lost.
    let mixed = world.ok(&["logs", "mixed"]);
    let lines: std::collections::BTreeSet<&str> = mixed.lines().collect();
    assert_eq!(lines, ["err", "last", "output", "rest"].into(), "{mixed}");
    assert_eq!(world.ok(&["logs", "nul"]), "a\u{fffd}b\n\u{fffd}\u{fffd}\n\u{fffd}[2J\u{fffd}\nlast\n");
    assert_eq!(world.ok(&["logs", "empty"]), "\n\n\nlast\n");
    assert_eq!(world.ok(&["logs", "closed"]), "");
}

#[test]
fn a_controller_with_few_descriptors_does_what_it_can_and_says_what_it_cannot() {
    let world = World::new();
    world.write("all.yaml", &(0..100).map(|n| service(&format!("s{n:02}"), "sleep 1000", "")).collect::<String>());
    assert_eq!(world.shell("ulimit -n 64; setpoint apply -f manifests").code, 0);
    let count = |state: &str| world.get().values().filter(|instance| instance.state == state).count();
    world.until("some are ready", || count("Ready") >= 20);
    world.until("the rest is said to wait", || world.ok(&["controller", "status"]).contains("Waiting"));
    assert!(world.ok(&["controller", "logs", "-n", "1000"]).contains("Too many open files"));
    let controller = world.controller();
    // The store has its descriptors from here on; what is left is for services.
    world.until("events are kept", || !world.ok(&["events"]).is_empty());
    let ready: BTreeMap<_, _> = world.get().into_iter().filter(|(_, instance)| instance.state == "Ready").collect();
    let (victim, killed) = ready.first_key_value().expect("one that is ready");
    let killed = killed.pid.and_then(processes::id).expect("a process");
    assert!(processes::send(killed, Signal::KILL));
    // Its place may go to one that waited.
    let is_new = |(name, now): (&String, &crate::world::Instance)| {
        now.state == "Ready" && ready.get(name).is_none_or(|before| before.pid != now.pid)
    };
    world.until("the place is taken again", || world.get().iter().any(is_new));
    assert_eq!(world.controller(), controller, "the controller did not survive");
    // With room enough, all of them run, and those that ran before still do.
    world.ok(&["controller", "restart"]);
    world.until("all are ready", || count("Ready") == 100);
    let now = world.get();
    let moved = |(name, before): &(&String, &crate::world::Instance)| now[*name].pid != before.pid && *name != victim;
    assert_eq!(ready.iter().filter(moved).count(), 0, "a service was restarted for nothing");
}
