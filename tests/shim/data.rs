//! What runs are given beside a service: bytes on standard input, our own program, a record that survives a power cut.

use std::path::PathBuf;

use rustix::process::Signal;
use setpoint::execute::capture::Capture;
use setpoint::record::answer::{Answer, Stage};
use setpoint::record::attempt::How;
use setpoint::record::launch::{DATA_MAX, Stdin};

use crate::support::{Home, Start, comm, is_alive, proc_number, send, until};

/// Executes a copy of the shim's program that no longer has a name.
const UNLINKED: &[&str] = &[
    "sh",
    "-c",
    "f=$(mktemp) && cp \"$1\" \"$f\" && chmod 700 \"$f\" && exec 9< \"$f\" && rm \"$f\" && shift && exec /proc/self/fd/9 \"$@\"",
    "sh",
];

/// Every byte there is, and no two neighbours alike for long.
fn every_byte(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at + at / 256 + at / 65_536) % 256).expect("a byte")).collect()
}

#[test]
fn data_arrives_byte_for_byte_and_then_ends() {
    let home = Home::new();
    let tables = [Vec::new(), b"{\"a\":1}".to_vec(), b"\0end=\0\n\xff".to_vec(), every_byte(DATA_MAX)];
    for (attempt, data) in (1..).zip(&tables) {
        // `cat` ends only when it has seen the end of its input.
        let start = home.line("cat > seen; echo done");
        Start { stdin: Stdin::Data(data), attempt, ..start }.up();
        assert_eq!(home.end(attempt).how, How::Code(0));
        assert_eq!(std::fs::read(home.root().join("seen")).expect("what it saw"), *data, "{} bytes", data.len());
    }
    assert_eq!(home.log(), ["stdout F done"; 4]);
}

#[test]
fn nobody_has_to_read_data_and_nobody_can_change_it() {
    let home = Home::new();
    let data = every_byte(DATA_MAX);
    Start { stdin: Stdin::Data(&data), ..home.line("exit 3") }.up();
    assert_eq!(home.end(1).how, How::Code(3));
    let line = "echo x >&0 || echo refused; head -c 1 > /dev/null; exec < /dev/null; echo closed";
    Start { stdin: Stdin::Data(&data), attempt: 2, ..home.line(line) }.up();
    assert_eq!(home.end(2).how, How::Code(0));
    let said: Vec<String> = home.log().into_iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(said, ["stdout F refused", "stdout F closed"]);
}

#[test]
fn data_costs_the_shim_nothing_once_it_is_handed_over() {
    let homes: Vec<Home> = (0..10).map(|_| Home::new()).collect();
    let data = every_byte(DATA_MAX);
    let cost = |stdin: Stdin<'_>, attempt: u32| {
        let up = |home: &Home| Start { stdin, attempt, ..home.start(&["sleep", "1000"]) }.up().0.pid;
        let shims: Vec<u32> = homes.iter().map(up).collect();
        let size = |pid: &u32| {
            until("it is ready", || comm(*pid) == "sp-ready");
            let held = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
            let held = held.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            let held: Vec<PathBuf> =
                held.filter(|file| file.display().to_string().contains("setpoint-stdin")).collect();
            assert_eq!(held, Vec::<PathBuf>::new(), "the shim keeps the data open");
            let now = || proc_number(*pid, "smaps_rollup", "Private_Dirty");
            // Its orders go just after it has answered; they alone are more than this.
            until("its orders are gone", || now() < 900);
            now()
        };
        let total: u64 = shims.iter().map(size).sum();
        for pid in &shims {
            send(*pid, Signal::TERM);
        }
        homes.iter().for_each(|home| drop(home.end(attempt)));
        total / 10
    };
    let (without, with) = (cost(Stdin::Null, 1), cost(Stdin::Data(&data), 2));
    println!("private dirty memory of a shim: {with} kB after 1 MiB of data, {without} kB without");
    assert!(with < without + 40, "{with} kB after 1 MiB of data, {without} kB without");
}

#[test]
fn our_own_program_is_executed_though_its_file_has_gone() {
    let home = Home::new();
    let start = home.start(&["setpoint", "version"]);
    Start { is_own: true, through: UNLINKED, ..start }.up();
    assert_eq!(home.end(1).how, How::Code(0));
    assert_eq!(home.log(), [concat!("stdout F setpoint ", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn a_call_is_a_payload() {
    let home = Home::new();
    let start = home.start(&["setpoint", "call"]);
    Start { is_own: true, stdin: Stdin::Data(b"{\"builtin\": \"noop\"}"), ..start }.up();
    assert_eq!(home.end(1).how, How::Code(0));
    assert_eq!(home.log(), ["stdout F {}"]);
    let wait = b"{\"mcp\": {\"server\": [\"sleep\", \"1000\"], \"tool\": \"a\"}}";
    let start = home.start(&["setpoint", "call"]);
    let (shim, payload) = Start { is_own: true, stdin: Stdin::Data(wait), attempt: 2, ..start }.up();
    until("it has its server", || home.processes().len() == 3);
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", payload.pid)).expect("a live call");
    assert_eq!((cmdline.as_slice(), comm(payload.pid).as_str()), (&b"setpoint\0call\0"[..], "setpoint-call"));
    send(shim.pid, Signal::TERM);
    assert_eq!(home.end(2).how, How::Signal(15));
    until("nobody is left", || home.processes().is_empty());
}

#[test]
fn a_durable_record_is_whole_when_its_shim_is_killed_at_once() {
    let home = Home::new();
    for attempt in 1..=3 {
        let start = home.start(&["sleep", "1000"]);
        let (shim, payload) = Start { durable: true, attempt, ..start }.up();
        send(shim.pid, Signal::KILL);
        until("the shim is gone", || !is_alive(shim.pid));
        let (birth, end) = home.record(attempt);
        assert_eq!((birth.attempt, birth.payload_pid, end), (attempt, payload.pid, None));
        send(payload.pid, Signal::KILL);
        until("nobody is left", || home.processes().is_empty());
    }
    Start { durable: true, attempt: 4, ..home.line("exit 7") }.up();
    assert_eq!(home.end(4).how, How::Code(7));
    Start { durable: true, attempt: 5, ..home.start(&["no-such-program"]) }.go();
    assert!(matches!(home.end(5).how, How::NotStarted(_)));
}

#[test]
fn a_durable_run_starts_nothing_where_its_record_has_no_room() {
    let Some(home) = Home::small(64) else {
        return;
    };
    home.line("exit 0").up();
    home.end(1);
    let fill = home.fill();
    let start = Start { durable: true, attempt: 2, ..home.start(&["sleep", "1000"]) };
    assert!(matches!(start.go(), Some(Answer::Failed { stage: Stage::Home, errno: 28, .. })));
    assert!(!home.records().join("00000002.attempt").exists());
    std::fs::remove_file(fill).expect("room again");
    start.up();
}

#[test]
fn what_an_attempt_printed_is_read_back_over_rotations() {
    let home = Home::new();
    home.line("echo of the one before").up();
    home.end(1);
    let mut start =
        home.line("seq 3000; echo words >&2; head -c 20000 /dev/zero | tr '\\0' x; printf '\\303'; printf '\\244'");
    (start.attempt, start.policy.log_max_size, start.policy.log_max_files) = (2, 40_000, 100);
    start.up();
    home.end(2);
    assert!(home.log_files().len() > 3, "{} files", home.log_files().len());
    let (birth, _) = home.record(2);
    let (folder, prefix) = (home.logs(), "0".to_owned());
    let capture = Capture { folder, prefix, log_file: birth.log_file, log_offset: birth.log_offset };
    let numbers: String = (1..=3000).map(|number| format!("{number}\n")).collect();
    assert_eq!(capture.stdout().map(|printed| printed.text), Some(format!("{numbers}{}\u{e4}", "x".repeat(20_000))));
}
