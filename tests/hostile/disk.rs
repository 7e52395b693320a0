//! Disks that are full, or may only be read.
//!
//! What runs goes on. What is down stays down, says why, and comes back by itself: nothing is started that leaves no
//! record.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::machine::shims;
use crate::mounts::Mount;
use crate::processes;
use crate::world::{World, service};

/// A service that prints a long numbered line now and then, so that the last page of its log is soon full.
const CHATTY: &str = "'i=0; x=$(printf %300s); while :; do i=$((i+1)); echo line $i$x; sleep 0.01; done'";

/// Says that it is over when it goes, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fills a disk until nothing more goes on it.
fn fill(world: &World) {
    let mut file = File::options().create(true).append(true).open(world.root().join("disk/fill")).expect("a file");
    while file.write(&[0; 4096]).is_ok_and(|length| length > 0) {}
}

/// The services of these tests, all ready.
fn settled(world: &World) {
    world.write("all.yaml", &[service("steady", "sleep 1000", ""), service("chatty", CHATTY, "")].concat());
    world.write("frail.yaml", &service("frail", "sleep 1001", ""));
    world.apply();
}

/// Kills the main process of `frail` while nothing can be written, and waits until its start has been refused. Returns
/// the attempt that was killed.
fn crash_frail(world: &World) -> u64 {
    let mut killed = 0;
    world.until("its start is refused", || {
        let frail = world.instance("frail/0");
        // Room that the store has just given back may have been enough for a record: then it is killed again.
        if frail.state == "Ready" && frail.attempt > killed {
            killed = frail.attempt;
            assert_eq!(shims(world, "frail/0"), 1);
            let main = processes::id(frail.pid.expect("a process")).expect("a live process");
            assert!(processes::send(main, Signal::KILL));
        }
        frail.state == "Waiting" && frail.reason.contains("cannot write the record of the attempt")
    });
    world.until("the controller says so too", || {
        let status = world.ok(&["controller", "status"]);
        status.contains("1 Waiting") && status.contains("2 Ready")
    });
    killed
}

#[test]
fn story_14_a_full_disk_stops_nothing_and_what_is_down_comes_back_when_there_is_room() {
    let Some((world, _mount)) = Mount::small(2) else { return };
    settled(&world);
    let (steady, chatty) = (world.ready("steady/0"), world.ready("chatty/0"));
    world.until("its start is kept", || world.ok(&["events", "--type", "service.ready"]).lines().count() >= 3);
    let is_over = AtomicBool::new(false);
    let killed = std::thread::scope(|scope| {
        // The store gives back its log when it is refused something: whatever becomes free is taken again.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fill(&world);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let _end = Ends(&is_over);
        until_lines_are_lost(&world);
        crash_frail(&world)
    });
    assert_eq!(shims(&world, "frail/0"), 0, "started without a record");
    let next = world.home().join(format!("records/service/frail/0/{:08}.attempt", killed + 1));
    assert!(!next.exists(), "half a record");
    let refused = world.run(&["apply", "-f", "manifests/frail.yaml", "--take", "--set", "other"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("No space left on device") && refused.err.contains("help:"), "{refused:?}");
    std::fs::remove_file(world.root().join("disk/fill")).expect("room");
    let frail = world.until_state("frail/0", "Ready");
    assert_eq!((frail.attempt, frail.last_exit.as_str()), (killed + 1, "signal 9"));
    assert_eq!((world.ready("steady/0"), world.ready("chatty/0")), (steady, chatty), "something was restarted");
    // It may have lost some, found room for a few, and lost more.
    world.until("the log says what it lost", || {
        let (said, missing) = lost(&world);
        said > 0 && said == missing
    });
}

#[test]
fn a_run_on_a_full_disk_waits_and_says_so_and_runs_once_when_there_is_room() {
    let Some((world, _mount)) = Mount::small(4) else { return };
    let out = world.root().join("out");
    let work = format!(
        "kind: Capability\nname: greet\nrun: echo hello >> '{}'\n---\nkind: Job\nname: first\nrun: 'true'\n",
        out.display()
    );
    world.write("work.yaml", &work);
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world.apply();
    world.ok(&["wait", "--for", "done", "first"]);
    let web = world.ready("web/0");
    fill(&world);
    let said = world.run(&["run", "greet", "--wait", "--timeout", "5s"]);
    // The log of the store may have room for it, and then its attempt has none.
    match said.code {
        124 => assert!(said.err.contains(" waits: "), "{said:?}"),
        code => assert!(code == 1 && said.err.contains("the disk says no"), "{said:?}"),
    }
    world.until("the store is full", || world.run(&["run", "greet"]).code == 1);
    world.until("it is said", || {
        let status = world.ok(&["controller", "status"]);
        status.contains("  ! store: no run begins") && status.contains("the disk says no")
    });
    let doctor = world.run(&["doctor"]).out;
    assert!(doctor.contains("store.db is whole") && doctor.contains("its disk is full"), "{doctor}");
    std::fs::remove_file(world.root().join("disk/fill")).expect("room");
    world.until("it goes on", || world.run(&["run", "greet", "--wait"]).code == 0);
    world.until("nothing is open", || world.ok(&["runs", "--state", "open", "-o", "name"]).is_empty());
    let ran = world.ok(&["runs", "greet", "--state", "ok", "-o", "name"]).lines().count();
    let lines = std::fs::read_to_string(&out).expect("what it did").lines().count();
    assert_eq!(ran, lines, "a run was done twice, or not at all");
    assert_eq!(world.ready("web/0"), web, "the service was restarted");
}

/// Waits until nothing is added to the log of a service that prints all the time.
fn until_lines_are_lost(world: &World) {
    let log = world.home().join("logs/service/chatty/0.000001.log");
    let mut lengths = Vec::new();
    world.until("lines are lost", || {
        lengths.push(log.metadata().expect("a log").len());
        lengths.iter().rev().take(5).filter(|length| lengths.last() == Some(length)).count() == 5
    });
}

/// How many lines of the log are said to be lost, and how many are: those that are there stand in order.
fn lost(world: &World) -> (u64, u64) {
    let lines = world.ok(&["logs", "chatty", "-n", "all"]);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<u64>().ok());
    let said = lines.lines().filter(|line| line.contains("lost")).filter_map(number).sum();
    let numbers: Vec<u64> =
        lines.lines().filter_map(|line| line.strip_prefix("line ")?.trim_end().parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "a line came twice or out of turn");
    (said, numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum())
}

#[test]
fn story_14_a_read_only_home_stops_nothing_and_refuses_changes_with_words() {
    let Some((world, _mount)) = Mount::small(8) else { return };
    settled(&world);
    let (steady, chatty) = (world.ready("steady/0"), world.ready("chatty/0"));
    // A second mount over the first: a disk cannot be made read-only under files that are open for writing.
    let disk = world.root().join("disk");
    let over = disk.to_str().expect("a path").to_owned();
    let Some(cover) = Mount::new(&["--bind", &over], &disk) else { return };
    if !cover.again("bind,ro") {
        return;
    }
    assert_eq!(crash_frail(&world), 1);
    assert_eq!(shims(&world, "frail/0"), 0, "started without a record");
    for words in [&["apply", "-f", "manifests"][..], &["pause", "frail"], &["delete", "frail"], &["restart", "frail"]] {
        let said = world.run(words);
        assert_eq!(said.code, 1, "{words:?} {said:?}");
        assert!(said.err.contains("Read-only file system") && said.err.contains("help:"), "{words:?} {said:?}");
    }
    for words in [&["get"][..], &["describe", "frail"], &["diff", "-f", "manifests"], &["logs", "chatty"], &["events"]]
    {
        assert_eq!(world.run(words).code, 0, "{words:?}");
    }
    drop(cover);
    let frail = world.until_state("frail/0", "Ready");
    assert_eq!(frail.attempt, 2);
    assert_eq!((world.ready("steady/0"), world.ready("chatty/0")), (steady, chatty), "something was restarted");
}
