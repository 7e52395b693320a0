//! What becomes of the output: stamped, whole, rotated, counted when it could not be written.

use expect_test::expect;
use rustix::process::Signal;
use setpoint::record::attempt::How;
use setpoint::record::policy::{self, Policy};

use crate::support::{Home, proc_number, send, until};

#[test]
fn lines_keep_their_stream_and_their_bytes() {
    let home = Home::new();
    home.line("printf 'one\\n\\n\\303\\nfour\\0five\\n'; printf 'bad\\n' >&2").up();
    home.end(1);
    let mut log = home.log();
    log.sort();
    expect![[r#"
        [
            "stderr F bad",
            "stdout F ",
            "stdout F four\0five",
            "stdout F one",
            "stdout F �",
        ]
    "#]]
    .assert_debug_eq(&log);
}

#[test]
fn a_prompt_is_written_in_parts_and_streams_never_mix() {
    let home = Home::new();
    let (shim, _) =
        home.line("printf 'name? '; echo bad >&2; read -r _ < wait; echo Ada; printf end").up_with_fifo("wait");
    home.wait_for_line("stdout P name? ");
    std::fs::write(home.root().join("wait"), "go\n").expect("a reader");
    home.end(1);
    let _ = shim;
    expect![[r#"
        [
            "stderr F bad",
            "stdout P name? ",
            "stdout F Ada",
            "stdout P end",
        ]
    "#]]
    .assert_debug_eq(&home.log());
}

#[test]
fn a_line_without_an_end_is_written_in_parts() {
    let home = Home::new();
    home.line("head -c 200000 /dev/zero | tr '\\0' x; echo; echo next").up();
    home.end(1);
    let log = home.log();
    let (parts, last): (Vec<&String>, Vec<&String>) = log.iter().partition(|line| line.starts_with("stdout P "));
    assert_eq!(last.last().map(|line| line.as_str()), Some("stdout F next"));
    let text: usize = parts.iter().chain(&last).map(|line| line.len() - "stdout P ".len()).sum();
    assert_eq!((parts.len(), text), (3, 200_000 + "next".len()));
}

#[test]
fn no_line_is_lost_or_torn_across_rotations() {
    let home = Home::new();
    let mut start = home.line("seq -f 'line %.0f of a log that turns over often' 200000; seq -f 'err %.0f' 1000 >&2");
    start.policy.log_max_size = 300_000;
    start.policy.log_max_files = 1000;
    start.up();
    assert_eq!(home.end(1).how, How::Code(0));
    let files = home.log_files();
    assert!(files.len() > 40, "{} files", files.len());
    for (place, (name, bytes)) in files.iter().enumerate() {
        assert_eq!(*name, format!("0.{:06}.log", place + 1));
        assert!(bytes.len() <= 300_000 && bytes.ends_with(b"\n"), "{name} has {} bytes", bytes.len());
    }
    let log = home.log();
    let expected = (1..=200_000).map(|number| format!("stdout F line {number} of a log that turns over often"));
    assert!(log.iter().filter(|line| line.starts_with("stdout")).eq(&expected.collect::<Vec<_>>()));
    let expected = (1..=1000).map(|number| format!("stderr F err {number}"));
    assert!(log.iter().filter(|line| line.starts_with("stderr")).eq(&expected.collect::<Vec<_>>()));
}

#[test]
fn only_the_newest_files_are_kept() {
    let home = Home::new();
    let mut start = home.line("seq 20000");
    start.policy.log_max_size = 10_000;
    start.policy.log_max_files = 3;
    start.up();
    home.end(1);
    let files = home.log_files();
    assert_eq!(files.len(), 3);
    assert_eq!(home.log().last().map(String::as_str), Some("stdout F 20000"));
}

#[test]
fn the_next_attempt_goes_on_in_the_same_file() {
    let home = Home::new();
    home.line("echo one").up();
    home.end(1);
    let path = home.logs().join("0.000001.log");
    let before = std::fs::metadata(&path).expect("a log").len();
    let mut torn = std::fs::read(&path).expect("a log");
    torn.extend_from_slice(b"2026-11-21T03:00:00.000000000Z stdout F torn by a power cut");
    std::fs::write(&path, torn).expect("a torn log");
    let mut start = home.line("echo two");
    start.attempt = 2;
    start.up();
    home.end(2);
    assert_eq!(home.log(), ["stdout F one", "stdout F torn by a power cut", "stdout F two"]);
    let (birth, _) = home.record(2);
    assert_eq!(birth.log_file, 1);
    assert!(birth.log_offset > before);
}

#[test]
fn a_hup_applies_a_new_limit() {
    let home = Home::new();
    let (shim, _) = home.line("cat wait; seq 5000").up_with_fifo("wait");
    let folder = std::fs::File::open(home.records()).expect("a folder");
    let small = Policy { log_max_size: 10_000, log_max_files: 100, ..Policy::DEFAULT };
    policy::write_atomic(&folder, &small).expect("a policy");
    let before = proc_number(shim.pid, "status", "voluntary_ctxt_switches");
    send(shim.pid, Signal::HUP);
    until("it has read it", || proc_number(shim.pid, "status", "voluntary_ctxt_switches") > before);
    std::fs::write(home.root().join("wait"), "go\n").expect("a reader");
    home.end(1);
    let sizes: Vec<usize> = home.log_files().iter().map(|(_, bytes)| bytes.len()).collect();
    assert!(sizes.len() > 10 && sizes.iter().all(|size| *size <= 10_000), "{sizes:?}");
    assert_eq!(home.log().len(), 5001);
}

#[test]
fn a_full_disk_loses_lines_and_says_how_many() {
    let Some(home) = Home::small(512) else {
        return;
    };
    let mut start = home.line("echo first; cat wait1; seq 20000; echo middle > /dev/null; cat wait2; echo last");
    start.policy.log_max_files = 1;
    fifo(&home, "wait2");
    start.up_with_fifo("wait1");
    home.wait_for_line("stdout F first");
    let fill = home.fill();
    std::fs::write(home.root().join("wait1"), "go\n").expect("a reader");
    until("the disk has been too full", || reads_from(&home, "wait2"));
    std::fs::remove_file(fill).expect("room again");
    std::fs::write(home.root().join("wait2"), "on\n").expect("a reader");
    let end = home.end(1);
    let log = home.log();
    let kept = log.iter().filter(|line| line.starts_with("stdout F ")).count() as u64;
    assert_eq!(log.last().map(String::as_str), Some("stdout F last"));
    // first, go, 20000 numbers, on, last
    assert_eq!(kept + end.log_dropped, 20_004);
    assert!(end.log_dropped > 0);
    let told: u64 = log.iter().filter_map(|line| line.strip_prefix("stderr F setpoint: ")).map(lost).sum();
    assert_eq!(told, end.log_dropped);
}

fn lost(notice: &str) -> u64 {
    assert!(notice.ends_with("lost (No space left on device)"), "{notice}");
    notice.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn a_deleted_log_does_not_stop_the_next() {
    let home = Home::new();
    home.line("echo one; cat wait; echo two").up_with_fifo("wait");
    home.wait_for_line("stdout F one");
    std::fs::remove_dir_all(home.root().join("logs")).expect("a folder");
    std::fs::write(home.root().join("wait"), "go\n").expect("a reader");
    home.end(1);
    let mut start = home.line("echo three");
    start.attempt = 2;
    start.up();
    home.end(2);
    assert_eq!(home.log().last().map(String::as_str), Some("stdout F three"));
}

#[test]
fn a_payload_that_closes_its_output_is_left_alone() {
    let home = Home::new();
    let (shim, _) = home.line("exec >&- 2>&-; cat < wait > /dev/null; exit 6").up_with_fifo("wait");
    let used = || proc_number(shim.pid, "status", "nonvoluntary_ctxt_switches");
    let before = used();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(used() - before < 5, "it spins");
    std::fs::write(home.root().join("wait"), "go\n").expect("a reader");
    assert_eq!(home.end(1).how, How::Code(6));
}

fn fifo(home: &Home, name: &str) {
    let status = std::process::Command::new("mkfifo").arg(home.root().join(name)).status().expect("mkfifo");
    assert!(status.success());
}

/// True when a process of the home waits for somebody to write into this pipe.
fn reads_from(home: &Home, name: &str) -> bool {
    let wanted = format!("cat\0{name}\0");
    let is_reader =
        |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes());
    home.processes().into_iter().any(is_reader)
}

/// Starts that wait for a word: the pipe is made first.
trait WithFifo {
    fn up_with_fifo(&self, name: &str) -> (setpoint::record::answer::Proc, setpoint::record::answer::Proc);
}

impl WithFifo for crate::support::Start<'_> {
    fn up_with_fifo(&self, name: &str) -> (setpoint::record::answer::Proc, setpoint::record::answer::Proc) {
        fifo(self.home, name);
        self.up()
    }
}
