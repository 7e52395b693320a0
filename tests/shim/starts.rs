//! How a payload is started, or not, and what is recorded of it.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use setpoint::record::answer::{Answer, Stage};
use setpoint::record::argv;
use setpoint::record::attempt::{How, Streak};
use setpoint::record::policy::{self, Policy};

use crate::support::{HOME_ID, Home, comm, is_alive, send, until};

#[test]
fn a_start_is_recorded_and_answered() {
    let home = Home::new();
    let (shim, payload) = home.start(&["sleep", "1000"]).up();
    let (birth, end) = home.record(1);
    assert_eq!((birth.shim_pid, birth.shim_started), (shim.pid, shim.started));
    assert_eq!((birth.payload_pid, birth.payload_started), (payload.pid, payload.started));
    assert_eq!((birth.home.as_str(), birth.instance.as_str()), (HOME_ID, "service/web/0"));
    assert_eq!((birth.uid.as_str(), birth.revision.as_str(), birth.generation), ("uid-1", "1:abcd", 7));
    assert_eq!((birth.boot_id.as_str(), birth.attempt), ("boot-1", 1));
    assert_eq!(birth.streak, Streak { n: 2, deaths: 3, crashes: 4, proven: true });
    assert_eq!((birth.log_file, birth.log_offset), (1, 0));
    assert_eq!(end, None);
    assert!(is_alive(shim.pid) && is_alive(payload.pid));
    send(payload.pid, Signal::KILL);
    assert_eq!(home.end(1).how, How::Signal(9));
}

#[test]
fn a_shim_says_who_it_is() {
    let home = Home::new();
    let (shim, payload) = home.start(&["sleep", "1000"]).up();
    until("it is ready", || comm(shim.pid) == "sp-ready");
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", shim.pid)).expect("a live shim");
    let said = argv::parse(&cmdline).expect("the argv of a shim");
    assert_eq!((said.instance, said.attempt, said.revision, said.home), ("service/web/0", 1, "1:abcd", HOME_ID));
    let mut marked = home.processes();
    marked.sort_unstable();
    let mut ours = [shim.pid, payload.pid];
    ours.sort_unstable();
    assert_eq!(marked, ours);
}

#[test]
fn a_payload_gets_a_world_of_its_own() {
    let home = Home::new();
    let mut start = home.start(&["sleep", "1000"]);
    start.env.push("ODD=a=b".to_owned());
    let (shim, payload) = start.up();
    let proc = |name: &str| format!("/proc/{}/{name}", payload.pid);
    let environ = std::fs::read(proc("environ")).expect("its environment");
    let environ: Vec<_> = environ.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    assert!(environ.iter().eq(&start.env.iter().map(String::as_bytes).collect::<Vec<_>>()));
    assert_eq!(std::fs::read_link(proc("cwd")).expect("its folder"), home.root());
    let stat = std::fs::read_to_string(proc("stat")).expect("its stat");
    let fields: Vec<&str> = stat.split(' ').collect();
    let (own, shims) = (payload.pid.to_string(), shim.pid.to_string());
    assert_eq!(fields.get(3..6), Some(&[shims.as_str(), own.as_str(), shims.as_str()][..]));
    let status = std::fs::read_to_string(proc("status")).expect("its status");
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    let lock = home.records().join("lock").display().to_string();
    let expected = [(0, "/dev/null".to_owned()), (1, "pipe".to_owned()), (2, "pipe".to_owned()), (500, lock)];
    // Its loader opens libraries for a moment.
    until("nothing but these is open", || descriptors(payload.pid) == expected);
    let info = std::fs::read_to_string(proc("fdinfo/500")).expect("about the lock");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).expect("its flags");
    assert!(flags.ends_with('0'), "the lock is not read-only: {flags}");
}

/// What a process has open, without the numbers of its pipes.
fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let mut fds: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?.display().to_string();
            Some((entry.file_name().to_str()?.parse().ok()?, target.split(":[").next()?.to_owned()))
        })
        .collect();
    fds.sort();
    fds
}

#[test]
fn every_exit_is_recorded() {
    for (line, how) in [
        ("exit 0", How::Code(0)),
        ("exit 3", How::Code(3)),
        ("exit 255", How::Code(255)),
        ("kill -SEGV $$", How::Signal(11)),
        ("kill -TERM $$", How::Signal(15)),
    ] {
        let home = Home::new();
        home.line(line).up();
        let end = home.end(1);
        assert_eq!((&end.how, end.asked, end.tree_left), (&how, false, 0), "{line}");
        let (birth, _) = home.record(1);
        assert!(end.at_boot_ns >= birth.started_boot_ns && end.at_wall_ns > 0 && end.max_rss_kb > 0);
    }
}

#[test]
fn what_cannot_be_executed_is_recorded_with_its_reason() {
    let home = Home::new();
    let plain = home.root().join("plain");
    std::fs::write(&plain, "no program").expect("a file");
    let broken = home.root().join("broken");
    std::fs::write(&broken, "#!/no/such/interpreter\n").expect("a file");
    std::fs::set_permissions(&broken, PermissionsExt::from_mode(0o700)).expect("its mode");
    let bare = home.root().join("bare");
    std::fs::write(&bare, "echo no first line\n").expect("a file");
    std::fs::set_permissions(&bare, PermissionsExt::from_mode(0o700)).expect("its mode");
    let nowhere = home.root().join("nowhere");
    let no_interpreter = "No such file or directory (the file is there, its interpreter is not; see its first line)";
    let no_first_line = "Exec format error (no program of this machine; a script begins with a line like #!/bin/sh)";
    let table = [
        ("no-such-program", None, Stage::Exec, 2, "exec no-such-program: No such file or directory"),
        ("./plain", None, Stage::Exec, 13, "exec ./plain: Permission denied"),
        ("./broken", None, Stage::Exec, 2, &format!("exec ./broken: {no_interpreter}")),
        ("broken", None, Stage::Exec, 2, &format!("exec broken: {no_interpreter}")),
        ("./bare", None, Stage::Exec, 8, &format!("exec ./bare: {no_first_line}")),
        ("plain", None, Stage::Exec, 13, "exec plain: Permission denied"),
        ("true", Some(&nowhere), Stage::Dir, 2, "nowhere: No such file or directory"),
    ];
    for (number, (program, dir, stage, errno, text)) in (1..).zip(table) {
        let mut start = home.start(&[program]);
        start.attempt = number;
        start.env.push(format!("HOME={}", home.root().display()));
        start.env.retain(|word| !word.starts_with("PATH="));
        start.env.push(format!("PATH=/usr/bin:/bin:{}", home.root().display()));
        if let Some(dir) = dir {
            start.dir.clone_from(dir);
        }
        match start.go() {
            Some(Answer::Failed { stage: said, errno: number, .. }) => assert_eq!((said, number), (stage, errno)),
            other => panic!("{program}: {other:?}"),
        }
        match home.end(number).how {
            How::NotStarted(said) => assert!(said.ends_with(text), "{said}"),
            other => panic!("{program}: {other:?}"),
        }
    }
    until("nobody is left", || home.processes().is_empty());
}

#[test]
fn an_exit_is_seen_though_its_notice_was_ignored_before() {
    let home = Home::new();
    let mut start = home.line("exit 3");
    start.through = &["sh", "-c", "trap '' CHLD TERM HUP; exec \"$@\"", "sh"];
    start.up();
    assert_eq!(home.end(1).how, How::Code(3));
}

#[test]
fn a_bare_name_is_looked_up_in_the_path_of_the_payload() {
    let home = Home::new();
    let bin = home.root().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::fs::write(bin.join("greet"), "#!/bin/sh\necho hello\n").expect("a program");
    std::fs::set_permissions(bin.join("greet"), PermissionsExt::from_mode(0o700)).expect("its mode");
    let mut start = home.start(&["greet"]);
    start.env.retain(|word| !word.starts_with("PATH="));
    start.env.push("PATH=/nowhere:bin:/usr/bin:/bin".to_owned());
    start.up();
    home.end(1);
    assert_eq!(home.log(), ["stdout F hello"]);
}

#[test]
fn an_instance_that_runs_is_busy() {
    let home = Home::new();
    let (shim, _) = home.start(&["sleep", "1000"]).up();
    let mut again = home.start(&["sleep", "1000"]);
    again.attempt = 2;
    assert_eq!(again.go(), Some(Answer::Busy));
    send(shim.pid, Signal::TERM);
    home.end(1);
    again.up();
}

#[test]
fn an_attempt_is_executed_once() {
    let home = Home::new();
    let mut start = home.line("exit 0");
    start.attempt = 2;
    start.up();
    home.end(2);
    for attempt in [1, 2] {
        start.attempt = attempt;
        assert_eq!(start.go(), Some(Answer::Taken), "attempt {attempt}");
    }
    start.attempt = 3;
    start.up();
    home.end(3);
}

#[test]
fn twenty_starts_at_once_execute_one() {
    let home = Home::new();
    let answers: Vec<Option<Answer>> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..20).map(|_| scope.spawn(|| home.start(&["sleep", "1000"]).go())).collect();
        starts.into_iter().map(|start| start.join().expect("a start")).collect()
    });
    let started = answers.iter().filter(|answer| matches!(answer, Some(Answer::Started { .. }))).count();
    let busy = answers.iter().filter(|answer| **answer == Some(Answer::Busy)).count();
    assert_eq!((started, busy), (1, 19));
    until("one pair is left", || home.processes().len() == 2);
}

#[test]
fn old_attempts_go_and_the_policy_stays() {
    let home = Home::new();
    let mut start = home.line("exit 0");
    start.keep = 3;
    for attempt in 1..=6 {
        start.attempt = attempt;
        start.up();
        home.end(attempt);
    }
    let mut names: Vec<String> = std::fs::read_dir(home.records())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["00000004.attempt", "00000005.attempt", "00000006.attempt", "lock", "policy"]);
    let bytes = std::fs::read(home.records().join("policy")).expect("a policy");
    assert_eq!(policy::parse(&bytes), Some(Policy { stop_grace_ms: 300, ..Policy::DEFAULT }));
}

#[test]
fn a_payload_gets_the_soft_limit_it_was_promised() {
    let home = Home::new();
    let mut start = home.line("ulimit -Sn");
    start.nofile_soft = 77;
    start.up();
    home.end(1);
    assert_eq!(home.log(), ["stdout F 77"]);
}

#[test]
fn nothing_starts_where_nothing_can_be_recorded() {
    let Some(home) = Home::small(64) else {
        return;
    };
    // The folders and the lock exist, and there is no room for a record.
    home.line("exit 0").up();
    home.end(1);
    let fill = home.fill();
    let mut start = home.start(&["sleep", "1000"]);
    start.attempt = 2;
    match start.go() {
        Some(Answer::Failed { stage: Stage::Home, errno: 28, .. }) => {}
        other => panic!("{other:?}"),
    }
    until("nobody is left", || home.processes().is_empty());
    assert!(!home.records().join("00000002.attempt").exists());
    std::fs::remove_file(fill).expect("room again");
    start.up();
}

#[test]
fn a_home_that_is_gone_is_not_replaced() {
    let home = Home::new();
    std::fs::remove_dir(home.root()).expect("an empty folder");
    let mut start = home.start(&["true"]);
    start.dir = "/".into();
    match start.go() {
        Some(Answer::Failed { stage: Stage::Home, errno: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(!home.root().exists());
    std::fs::create_dir(home.root()).expect("for the clean-up");
}

#[test]
fn a_person_who_calls_it_is_told_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_setpoint"))
        .args(["shim", "service/web/0"])
        .stdin(Stdio::null())
        .output()
        .expect("an answer");
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("help: `setpoint shim` is started by the controller"), "{words}");
}
