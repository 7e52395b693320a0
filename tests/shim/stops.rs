//! How a tree ends: asked, by itself, by force, and without its shim.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use setpoint::record::answer::Answer;
use setpoint::record::attempt::{How, RECORD_LEN};
use setpoint::record::policy::{self, Policy};

use crate::support::{Home, comm, is_alive, send, state, until};

/// A process in a session of its own, with a child, that ignores TERM; its parent is gone.
const DAEMON: &str = "(setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & wait' &) ; ";

#[test]
fn a_stop_is_asked_for_and_honoured() {
    let home = Home::new();
    let (shim, _) = home.start(&["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"]).up();
    home.wait_for_line("stdout F up");
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_left), (How::Code(7), true, 0));
    assert!(end.tree_seen >= 1);
}

#[test]
fn a_line_is_stopped_with_its_group() {
    let home = Home::new();
    let mut start = home.line("sleep 1000; true");
    start.policy.stop_grace_ms = 60_000;
    let (shim, _) = start.up();
    until("the child runs", || home.processes().len() == 3);
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_seen), (How::Signal(15), true, 2));
}

#[test]
fn the_rest_is_told_when_the_main_process_has_gone_first() {
    let home = Home::new();
    let mut start =
        home.start(&["sh", "-c", "(trap 'echo told; exit' TERM; echo up; while :; do sleep 0.01; done) & wait"]);
    start.policy.stop_grace_ms = 60_000;
    let (shim, _) = start.up();
    home.wait_for_line("stdout F up");
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked), (How::Signal(15), true));
    assert!(home.log().contains(&"stdout F told".to_owned()), "{:?}", home.log());
}

#[test]
fn whoever_ignores_the_stop_is_killed_after_the_grace() {
    let home = Home::new();
    let (shim, payload) = home.line("trap '' TERM; echo up; while :; do sleep 0.01; done").up();
    home.wait_for_line("stdout F up");
    let begun = Instant::now();
    send(shim.pid, Signal::TERM);
    until("it says so", || comm(shim.pid) == "sp-stopping");
    assert!(is_alive(payload.pid), "killed before the grace");
    // A second request changes nothing.
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((end.how, end.asked, end.tree_left), (How::Signal(9), true, 0));
}

#[test]
fn a_daemon_that_ignores_the_stop_is_gone_after_the_grace() {
    let home = Home::new();
    let (shim, _) = home.line(&format!("{DAEMON} {DAEMON} echo up; exec sleep 1000")).up();
    until("all are there", || home.processes().len() == 6);
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_seen, end.tree_left), (How::Signal(15), true, 5, 0));
    assert_eq!(home.processes(), [0_u32; 0]);
}

#[test]
fn descendants_are_ended_before_the_exit_is_recorded() {
    let home = Home::new();
    let (shim, payload) = home.line(&format!("{DAEMON} sleep 0.2; exit 3")).up();
    until("the main process is gone", || !is_alive(payload.pid));
    until("it says so", || comm(shim.pid) == "sp-stopping" || !is_alive(shim.pid));
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_seen, end.tree_left), (How::Code(3), false, 3, 0));
    assert_eq!(home.processes(), [0_u32; 0]);
}

#[test]
fn a_frozen_payload_is_alive_until_it_is_stopped() {
    let home = Home::new();
    let mut start = home.start(&["sleep", "1000"]);
    start.policy.stop_grace_ms = 60_000;
    let (shim, payload) = start.up();
    send(payload.pid, Signal::STOP);
    until("it is frozen", || state(payload.pid) == Some('T'));
    assert_eq!(home.record(1).1, None);
    send(shim.pid, Signal::TERM);
    assert_eq!(home.end(1).how, How::Signal(15));
}

#[test]
fn the_policy_is_read_again_before_a_stop() {
    let home = Home::new();
    let (shim, _) = home.line("trap 'exit 5' USR1; trap '' TERM; echo up; while :; do sleep 0.01; done").up();
    home.wait_for_line("stdout F up");
    let folder = std::fs::File::open(home.records()).expect("a folder");
    let usr1 = Policy { stop_signal: 10, stop_grace_ms: 60_000, ..Policy::DEFAULT };
    policy::write_atomic(&folder, &usr1).expect("a policy");
    send(shim.pid, Signal::TERM);
    assert_eq!(home.end(1).how, How::Code(5));
}

#[test]
fn a_full_pipe_never_hangs_a_stop() {
    let home = Home::new();
    let (shim, _) = home.line("trap '' TERM; yes & yes >&2 & wait; while :; do echo x; done").up();
    until("it writes", || home.logs().exists() && home.log_files().iter().any(|(_, bytes)| bytes.len() > 1 << 20));
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_left), (How::Signal(9), true, 0));
    assert_eq!(home.processes(), [0_u32; 0]);
}

#[test]
fn a_killed_shim_leaves_its_payload_and_its_lock() {
    let home = Home::new();
    let (shim, payload) = home.start(&["sleep", "1000"]).up();
    send(shim.pid, Signal::KILL);
    until("the shim is gone", || !is_alive(shim.pid));
    assert!(is_alive(payload.pid));
    let mut again = home.start(&["sleep", "1000"]);
    again.attempt = 2;
    assert_eq!(again.go(), Some(Answer::Busy));
    assert_eq!(home.record(1).1, None);
    send(payload.pid, Signal::KILL);
    until("the payload is gone", || !is_alive(payload.pid));
    again.up();
}

#[test]
fn a_payload_without_descriptors_lives_and_is_recorded() {
    let home = Home::new();
    let script = "import os, time\nos.closerange(0, 1024)\nopen('up', 'w').close()\ntime.sleep(0.2)\nos._exit(4)\n";
    std::fs::write(home.root().join("closer.py"), script).expect("a program");
    let (shim, payload) = home.start(&["python3", "closer.py"]).up();
    until("it has closed all", || home.root().join("up").exists());
    assert!(is_alive(shim.pid) && is_alive(payload.pid));
    let mut again = home.start(&["sleep", "1000"]);
    again.attempt = 2;
    assert_eq!(again.go(), Some(Answer::Busy), "the shim holds the lock by itself");
    assert_eq!(home.end(1).how, How::Code(4));
}

#[test]
fn an_end_is_recorded_in_place_on_a_full_disk() {
    let Some(home) = Home::small(64) else {
        return;
    };
    let (shim, _) = home.start(&["sleep", "1000"]).up();
    home.fill();
    send(shim.pid, Signal::TERM);
    assert_eq!(home.end(1).how, How::Signal(15));
    let length = std::fs::metadata(home.records().join("00000001.attempt")).expect("a record").len();
    assert_eq!(length, RECORD_LEN as u64);
}

#[test]
fn a_tree_sixty_deep_is_gone() {
    let home = Home::new();
    let script = "import os, time, signal\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        for depth in range(60):\n    \
            if os.fork():\n        time.sleep(1000)\n    os.setsid()\n\
        open('up', 'w').close()\ntime.sleep(1000)\n";
    std::fs::write(home.root().join("deep.py"), script).expect("a program");
    let (shim, _) = home.start(&["python3", "deep.py"]).up();
    until("all are there", || home.root().join("up").exists());
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.tree_seen, end.tree_left), (How::Signal(9), 61, 0));
    assert_eq!(home.processes(), [0_u32; 0]);
}
