//! What a payload is held to, who it becomes, and what cannot be set.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use setpoint::record::answer::{Answer, Stage};
use setpoint::record::attempt::How;
use setpoint::record::bounds::{Bounds, Group, Identity, Resource};
use setpoint::record::launch::Stdin;

use crate::support::{Home, Start, is_alive, send, until};

const NOBODY: u32 = 65534;
/// Takes from root what only root may do. Others have it not anyway.
const UNPRIVILEGED: &[&str] = &["setpriv", "--bounding-set=-sys_nice,-sys_resource,-setuid,-setgid"];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged() -> &'static [&'static str] {
    if is_root() { UNPRIVILEGED } else { &[] }
}

#[test]
fn a_payload_is_held_to_its_bounds() {
    let home = Home::new();
    let line = "umask; nice; cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn; ulimit -f; ulimit -Hc; ulimit -s; \
                ulimit -Hu 2>/dev/null || ulimit -Hp";
    let bounds = Bounds {
        umask: Some(0o027),
        nice: Some(5),
        oom_score: Some(500),
        rlimits: vec![
            (Resource::Files, 200),
            (Resource::FileSize, 1 << 20),
            (Resource::Core, 0),
            (Resource::Stack, 4 << 20),
            (Resource::Processes, 4000),
        ],
        ..Bounds::default()
    };
    // The soft limit that everybody gets does not undo the one asked for.
    Start { bounds, nofile_soft: 1024, ..home.line(line) }.up();
    assert_eq!(home.end(1).how, How::Code(0), "{:?}", home.log());
    let said: Vec<String> = home.log().into_iter().map(|line| line.replace("stdout F ", "")).collect();
    assert_eq!(said, ["0027", "5", "500", "200", "200", "2048", "0", "4096", "4000"]);
}

#[test]
fn a_bound_that_cannot_be_set_is_a_start_that_failed() {
    let only = |bounds: Bounds<'static>| bounds;
    let more = " (only root may ask for more than the controller has)";
    let user = Identity { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
    let limit = |resource, limit| Bounds { rlimits: vec![(resource, limit)], ..Bounds::default() };
    let table = [
        (
            only(Bounds { nice: Some(-5), ..Bounds::default() }),
            Stage::Limits,
            "limits nice -5: Permission denied",
            more,
        ),
        (
            Bounds { oom_score: Some(-1000), ..Bounds::default() },
            Stage::Limits,
            "limits oomScore -1000: Permission denied",
            more,
        ),
        (limit(Resource::Files, 1 << 40), Stage::Limits, "limits files 1099511627776: Operation not permitted", more),
        (
            Bounds { identity: Some(user), ..Bounds::default() },
            Stage::User,
            "user groups of 65534: Operation not permitted",
            " (only root may start programs as another user)",
        ),
        (
            Bounds { refusal: Some("env TOKEN: /x: No such file or directory"), ..Bounds::default() },
            Stage::Refused,
            "env TOKEN: /x: No such file or directory",
            "",
        ),
    ];
    for (bounds, stage, words, hint) in table {
        let home = Home::new();
        let touch = home.root().join("touched");
        let argv = ["touch", &touch.display().to_string()].map(str::to_owned).to_vec();
        let start = Start { bounds, argv, through: unprivileged(), ..home.start(&[]) };
        match start.go() {
            Some(Answer::Failed { stage: failed, .. }) => assert_eq!(failed, stage, "{words}"),
            other => panic!("{words}: {other:?}"),
        }
        assert_eq!(home.record(1).1.map(|end| end.how), Some(How::NotStarted(format!("{words}{hint}"))));
        assert!(!touch.exists(), "{words}: it was executed");
        // It counts, so the next attempt is the second, and it may come at once.
        Start { attempt: 2, bounds: Bounds::default(), ..start }.up();
        assert_eq!(home.end(2).how, How::Code(0));
    }
}

#[test]
fn root_starts_a_payload_as_somebody_else() {
    if !is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let home = Home::new();
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(home.root(), closed).expect("its mode");
    let identity = Identity { uid: NOBODY, gid: 65533, groups: vec![7, 8] };
    let bounds = Bounds { identity: Some(identity), ..Bounds::default() };
    let line = "id -u; id -g; id -G; grep CapEff /proc/self/status; echo fine >&2; \
                cat /proc/$PPID/environ 2>/dev/null || echo hidden";
    // The home is closed to everybody else, and the payload needs nothing of it.
    Start { bounds: bounds.clone(), dir: "/".into(), ..home.line(line) }.up();
    assert_eq!(home.end(1).how, How::Code(0), "{:?}", home.log());
    let mut said = home.log();
    said.sort();
    assert_eq!(
        said,
        [
            "stderr F fine",
            "stdout F 65533",
            "stdout F 65533 7 8",
            "stdout F 65534",
            "stdout F CapEff:\t0000000000000000",
            "stdout F hidden"
        ]
    );
    // What it was given it may open by name.
    let inherited = "echo again > /dev/stdout; stat -c %u $(tty) > /dev/tty";
    let start = Start { bounds: bounds.clone(), dir: "/".into(), attempt: 2, ..home.line(inherited) };
    Start { stdin: Stdin::Tty, ..start }.up();
    assert_eq!(home.end(2).how, How::Code(0), "{:?}", home.log());
    let said = home.log();
    assert_eq!(said.get(said.len() - 2..).expect("two lines"), ["stdout F again", "stdout F 65534"]);
    let start = Start { bounds: bounds.clone(), dir: "/".into(), attempt: 3, ..home.line("echo pipe > /dev/stderr") };
    start.up();
    assert_eq!(home.end(3).how, How::Code(0), "{:?}", home.log());
    // A folder and a program are entered and executed as that user.
    let hint =
        "Permission denied (for the user it runs as; that user needs the right to enter every folder on the way)";
    let inside = home.root().join("inside");
    std::fs::create_dir(&inside).expect("a folder");
    let program = inside.join("program");
    std::fs::copy("/bin/true", &program).expect("a copy");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let program = program.display().to_string();
    let table = [
        (4, inside.as_path(), "true", format!("dir {}: {hint}", inside.display())),
        (5, Path::new("/"), program.as_str(), format!("exec {program}: {hint}")),
    ];
    for (attempt, dir, program, words) in table {
        let start = Start { bounds: bounds.clone(), dir: dir.into(), attempt, ..home.start(&[program]) };
        let answer = start.go();
        assert!(matches!(answer, Some(Answer::Failed { .. })), "{words}: {answer:?}");
        assert_eq!(home.record(attempt).1.map(|end| end.how), Some(How::NotStarted(words)));
    }
}

/// A folder that may stand for a group, with the files in it that the kernel would have made.
fn plain_group(home: &Home, files: &[&str]) -> PathBuf {
    let folder = home.root().join("group");
    std::fs::create_dir(&folder).expect("a folder");
    for file in files {
        std::fs::write(folder.join(file), "").expect("a file");
    }
    folder
}

#[test]
fn limits_of_a_group_are_written_before_the_payload_is_in_it() {
    let home = Home::new();
    let folder = plain_group(&home, &["memory.max", "cpu.max", "cgroup.procs"]);
    let files = vec![("memory.max", "536870912"), ("cpu.max", "150000 100000")];
    let group = Group { folder: &folder, files };
    Start { bounds: Bounds { group: Some(group), ..Bounds::default() }, ..home.start(&["true"]) }.up();
    assert_eq!(home.end(1).how, How::Code(0));
    let read = |file| std::fs::read_to_string(folder.join(file)).expect("a file");
    assert_eq!([read("memory.max"), read("cpu.max"), read("cgroup.procs")], ["536870912", "150000 100000", "0"]);
    // A file the kernel does not have is a limit that cannot be set.
    let group = Group { folder: &folder, files: vec![("pids.max", "7")] };
    let bounds = Bounds { group: Some(group), ..Bounds::default() };
    let failed = Start { bounds, attempt: 2, ..home.start(&["true"]) }.go();
    assert!(matches!(failed, Some(Answer::Failed { stage: Stage::Limits, errno: 2, .. })), "{failed:?}");
}

/// A group of our own on the unified hierarchy, removed when it goes out of scope.
struct Unified(PathBuf);

impl Unified {
    /// None, with the reason printed, where groups cannot be made.
    fn new() -> Option<Unified> {
        let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let Some(point) = mount.and_then(|line| line.split(' ').nth(1)) else {
            println!("skipped: there is no cgroup v2 here");
            return None;
        };
        let folder = Path::new(point).join(format!("setpoint-test-{}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Ok(()) if folder.join("cgroup.kill").exists() => Some(Unified(folder)),
            Ok(()) => {
                std::fs::remove_dir(&folder).expect("just made");
                println!("skipped: this kernel has no cgroup.kill");
                None
            }
            Err(error) => {
                println!("skipped: {}: {error}", folder.display());
                None
            }
        }
    }

    fn processes(&self) -> usize {
        let read = std::fs::read_to_string(self.0.join("web/cgroup.procs"));
        read.map_or(0, |text| text.lines().count())
    }
}

impl Drop for Unified {
    fn drop(&mut self) {
        let inside = self.0.join("web");
        _ = std::fs::write(inside.join("cgroup.kill"), "1");
        for folder in [&inside, &self.0] {
            for _ in 0..1000 {
                if std::fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

#[test]
fn a_group_ends_with_its_payload_and_nothing_outlives_it() {
    let home = Home::new();
    let Some(unified) = Unified::new() else { return };
    let folder = unified.0.join("web");
    let bounds = || Bounds { group: Some(Group { folder: &folder, files: Vec::new() }), ..Bounds::default() };
    // It takes no stop signal, nor does what it leaves elsewhere in the table.
    let line = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & sleep 1000; sleep 1000";
    let (shim, _) = Start { bounds: bounds(), ..home.line(line) }.up();
    until("all are in the group", || unified.processes() == 4);
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.tree_left), (How::Signal(9), 0));
    assert!(!folder.exists(), "the group outlives its payload");

    // What a killed shim left, without a marker and without the lock, ends with the next start.
    let escape = "setsid bash -c 'exec 500<&-; exec -c sleep 1000' </dev/null >/dev/null 2>&1 & exec sleep 1000";
    let (shim, payload) = Start { bounds: bounds(), attempt: 2, ..home.line(escape) }.up();
    until("both are in the group", || unified.processes() == 2);
    until("one of them has no marker", || home.processes() == [shim.pid, payload.pid]);
    let inside = std::fs::read_to_string(folder.join("cgroup.procs")).expect("the group");
    let escaped: Vec<u32> =
        inside.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != payload.pid).collect();
    send(shim.pid, Signal::KILL);
    send(payload.pid, Signal::KILL);
    until("they are gone", || !is_alive(shim.pid) && !is_alive(payload.pid));
    assert!(escaped.iter().all(|pid| is_alive(*pid)));
    until("the lock is free", || {
        let answer = Start { bounds: bounds(), attempt: 3, ..home.start(&["sleep", "1000"]) }.go();
        matches!(answer, Some(Answer::Started { .. }))
    });
    until("what escaped is gone", || escaped.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(unified.processes(), 1);
}
