//! What a payload says of itself: ready by its output or over its socket, alive, and how it is.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use setpoint::record::attempt::How;
use setpoint::record::notify;
use setpoint::record::policy::{self, Policy, Ready};

use crate::support::{Home, Start, comm, is_alive, proc_number, send, state, until};

/// A client of the protocol in a few lines of Python: `say("READY=1")`.
const CLIENT: &str = "
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(text): s.sendto(text.encode(), '\\0' + os.environ['NOTIFY_SOCKET'][1:])
";

fn python<'a>(home: &'a Home, script: &str) -> Start<'a> {
    let mut start = home.start(&["python3", "-uc", &format!("{CLIENT}{script}")]);
    start.notify = true;
    start
}

/// Another policy for a live shim.
fn tell(home: &Home, shim: u32, policy: &Policy) {
    let folder = std::fs::File::open(home.records()).expect("the folder of the instance");
    policy::write_atomic(&folder, policy).expect("a policy");
    send(shim, Signal::HUP);
}

#[test]
fn a_text_in_the_output_makes_it_ready() {
    // In two writes of one line, on either stream, with as much as a buffer holds before it.
    let table = [
        "echo soon; printf list; until [ -e go ]; do sleep 0.01; done; echo ening on 8080; exec sleep 1000",
        "echo soon; printf list >&2; until [ -e go ]; do sleep 0.01; done; echo ening >&2; exec sleep 1000",
        "echo soon; head -c 65533 /dev/zero | tr '\\0' x; printf list; \
         until [ -e go ]; do sleep 0.01; done; echo ening; exec sleep 1000",
    ];
    for line in table {
        let home = Home::new();
        let mut start = home.line(line);
        start.policy.ready = Ready::ByLog("listening".to_owned());
        let (shim, _) = start.up();
        home.wait_for_line("stdout F soon");
        assert_eq!(comm(shim.pid), "sp-starting", "{line}");
        std::fs::write(home.root().join("go"), "").expect("a file");
        until("it is ready", || comm(shim.pid) == "sp-ready");
    }
}

#[test]
fn readiness_follows_the_policy_live_and_never_goes_back() {
    let home = Home::new();
    let mut start = home.line("trap 'echo up again' USR1; echo up; while :; do sleep 0.01; done");
    start.policy.ready = Ready::ByLog("never".to_owned());
    let (shim, payload) = start.up();
    home.wait_for_line("stdout F up");
    assert_eq!(comm(shim.pid), "sp-starting");
    tell(&home, shim.pid, &Policy { ready: Ready::ByLog("up again".to_owned()), ..start.policy.clone() });
    // Once the shim sleeps again it has read the policy.
    until("it has read it", || state(shim.pid) == Some('S'));
    until("it is ready", || {
        send(payload.pid, Signal::USR1);
        comm(shim.pid) == "sp-ready"
    });
    tell(&home, shim.pid, &Policy { ready: Ready::ByLog("never".to_owned()), ..start.policy.clone() });
    tell(&home, shim.pid, &Policy { stop_grace_ms: 1, ..start.policy.clone() });
    send(shim.pid, Signal::TERM);
    until("it stops", || comm(shim.pid) != "sp-ready");
    home.end(1);

    let home = Home::new();
    let mut start = home.start(&["sleep", "1000"]);
    start.policy.ready = Ready::ByLog("never".to_owned());
    let (shim, _) = start.up();
    assert_eq!(comm(shim.pid), "sp-starting");
    tell(&home, shim.pid, &Policy { ready: Ready::AtOnce, ..start.policy.clone() });
    until("it is ready at once", || comm(shim.pid) == "sp-ready");
}

#[test]
fn a_payload_says_ready_and_how_it_is() {
    let home = Home::new();
    let script = "
say('STATUS=warming up')
print('said', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
say('STOPPING=0\\nMAINPID=1\\nRELOADING=1')
say('READY=1\\nSTATUS=\\x1b[2J5 of 7 ' + 'x' * 2000)
time.sleep(1000)";
    let mut start = python(&home, script);
    start.policy.ready = Ready::ByNotify;
    let (shim, _) = start.up();
    home.wait_for_line("stdout F said");
    until("the status is there", || notify::status(&home.records(), 1).as_deref() == Some("warming up"));
    assert_eq!(comm(shim.pid), "sp-starting");
    std::fs::write(home.root().join("go"), "").expect("a file");
    until("it is ready", || comm(shim.pid) == "sp-ready");
    until("the next status is there", || {
        notify::status(&home.records(), 1)
            .is_some_and(|status| status.starts_with("[2J5 of 7 xx") && status.len() == 512)
    });
    assert_eq!(notify::status(&home.records(), 2), None, "a status is of one attempt");
}

#[test]
fn the_usual_client_is_understood() {
    let is_there = std::process::Command::new("systemd-notify").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: systemd-notify is not installed");
        return;
    }
    let home = Home::new();
    let mut start = home.line("systemd-notify --ready --status='all is well'; echo said $?; exec sleep 1000");
    start.notify = true;
    start.policy.ready = Ready::ByNotify;
    let (shim, _) = start.up();
    home.wait_for_line("stdout F said 0");
    until("it is ready", || comm(shim.pid) == "sp-ready");
    until("the status is there", || notify::status(&home.records(), 1).as_deref() == Some("all is well"));
}

#[test]
fn a_silent_payload_is_ended_as_not_healthy() {
    let home = Home::new();
    let script = "
usec, pid = int(os.environ['WATCHDOG_USEC']), int(os.environ['WATCHDOG_PID'])
print(usec, pid == os.getpid(), flush=True)
time.sleep(0.6)
say('READY=1')
for _ in range(10):
    time.sleep(0.1)
    say('WATCHDOG=1')
print('silent', flush=True)
time.sleep(1000)";
    let mut start = python(&home, script);
    start.policy = Policy { ready: Ready::ByNotify, watchdog_ms: 400, ..start.policy };
    start.up();
    home.wait_for_line("stdout F 400000 True");
    home.wait_for_line("stdout F silent");
    let begun = Instant::now();
    let end = home.end(1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((end.how, end.asked, end.tree_left), (How::Unhealthy("no WATCHDOG=1 for 400ms".to_owned()), false, 0));
}

#[test]
fn a_payload_that_gives_signs_lives_on_and_one_without_a_watchdog_needs_none() {
    let home = Home::new();
    let script = "
print(os.environ.get('WATCHDOG_USEC'), flush=True)
while True:
    if os.path.exists('sign'): say('WATCHDOG=1'); print('sign', flush=True)
    time.sleep(0.02)";
    let start = python(&home, script);
    let (shim, payload) = start.up();
    home.wait_for_line("stdout F None");
    // It was never told of a watchdog, so a live one does not judge it, until it shows that it knows how.
    tell(&home, shim.pid, &Policy { watchdog_ms: 200, ..start.policy.clone() });
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_alive(payload.pid));
    std::fs::write(home.root().join("sign"), "").expect("a file");
    home.wait_for_line("stdout F sign");
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_alive(payload.pid));
    std::fs::remove_file(home.root().join("sign")).expect("the file");
    assert_eq!(home.end(1).how, How::Unhealthy("no WATCHDOG=1 for 200ms".to_owned()));
}

#[test]
fn a_stop_while_it_fails_is_a_crash_and_names_the_probe() {
    let home = Home::new();
    let start = home.start(&["sleep", "1000"]);
    let (shim, _) = start.up();
    let why = "http :8080/health: 500\nInternal Server Error";
    let failing = Policy { failing: Some(why.to_owned()), ..start.policy.clone() };
    let folder = std::fs::File::open(home.records()).expect("the folder of the instance");
    policy::write_atomic(&folder, &failing).expect("a policy");
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    // A record is read line by line.
    assert_eq!((end.how, end.asked), (How::Unhealthy(why.replace('\n', "?")), false));

    // The next attempt begins without it, and a plain stop of it is one that was asked for.
    let mut next = home.start(&["sleep", "1000"]);
    next.attempt = 2;
    let (shim, _) = next.up();
    until("the policy says nothing of it", || {
        policy::read(&folder).is_ok_and(|policy| policy.is_some_and(|policy| policy.failing.is_none()))
    });
    send(shim.pid, Signal::TERM);
    let end = home.end(2);
    assert_eq!((end.how, end.asked), (How::Signal(15), true));
}

#[test]
fn a_flood_of_words_holds_up_neither_the_log_nor_the_stop() {
    let home = Home::new();
    let script = "
s.setblocking(False)
if os.fork() == 0:
    while True:
        try: say('STATUS=' + 'y' * 3000)
        except BlockingIOError: pass
print('flooding', flush=True)
for n in range(100000): print(n, flush=False)
print('last', flush=True)
time.sleep(1000)";
    let (shim, _) = python(&home, script).up();
    home.wait_for_line("stdout F last");
    let written = || {
        let file = home.records().join("notify");
        std::fs::metadata(file).and_then(|file| file.modified()).ok()
    };
    until("a status is written", || written().is_some());
    let before = written();
    until("another one is", || written() != before);
    assert!(proc_number(shim.pid, "status", "VmRSS:") < 20_000, "memory does not grow");
    send(shim.pid, Signal::TERM);
    assert!(home.end(1).asked);
}

#[test]
fn a_stranger_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let home = Home::new();
    let script = "
if os.fork() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    say('READY=1'); print('stranger', flush=True); os._exit(0)
os.wait()
while not os.path.exists('go'): time.sleep(0.01)
os.setuid(65534)
say('READY=1')
time.sleep(1000)";
    let mut start = python(&home, script);
    start.policy.ready = Ready::ByNotify;
    let (shim, _) = start.up();
    home.wait_for_line("stdout F stranger");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(comm(shim.pid), "sp-starting");
    // The main process itself may change who it is.
    std::fs::write(home.root().join("go"), "").expect("a file");
    until("it is ready", || comm(shim.pid) == "sp-ready");
}
