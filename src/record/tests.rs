//! Every format there and back, and what damage does to it.

use std::ffi::OsStr;
use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::answer::{self, Answer, Proc, Stage};
use super::argv::{self, Argv};
use super::attempt::{self, BIRTH_LEN, Birth, Damaged, END_LEN, End, How, RECORD_LEN, Streak};
use super::bounds::{Bounds, Group, Identity, Resource};
use super::launch::{self, DATA_MAX, Launch, SpecError, Stdin};
use super::notify::{self, Said};
use super::policy::{self, Policy, Ready};

fn birth() -> Birth {
    Birth {
        home: "00112233445566aa".to_owned(),
        instance: "service/web/0".to_owned(),
        uid: "5f1c".to_owned(),
        attempt: 3,
        revision: "1:9f86d081884c7d65".to_owned(),
        generation: 7,
        boot_id: "7a9c2a5e-0000-4000-8000-000000000001".to_owned(),
        shim_pid: 100,
        shim_started: 5000,
        payload_pid: 101,
        payload_started: 5001,
        started_boot_ns: 50_010_000_000,
        started_wall_ns: 1_763_694_000_000_000_000,
        streak: Streak { n: 1, deaths: 2, crashes: 3, proven: true },
        log_file: 4,
        log_offset: 512,
    }
}

fn end(how: How) -> End {
    End {
        asked: true,
        tree_seen: 7,
        user_us: 12,
        system_us: 34,
        max_rss_kb: 56,
        log_dropped: 78,
        ..End::lost(1, 2, true)
    }
    .with(how)
}

impl End {
    fn with(self, how: How) -> End {
        End { how, ..self }
    }
}

fn record(end: Option<&End>) -> Vec<u8> {
    let mut bytes = attempt::encode_birth(&birth()).expect("it fits").to_vec();
    match end {
        Some(end) => bytes.extend(attempt::encode_end(end).expect("it fits")),
        None => bytes.resize(RECORD_LEN, b' '),
    }
    bytes
}

fn check_text(bytes: &[u8], expected: &Expect) {
    let text = std::str::from_utf8(bytes).expect("a record is text");
    expected.assert_eq(&text.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>());
}

// A record is read by every later version: this text changes only together with its version.
#[test]
fn a_record_reads_well_with_cat() {
    check_text(
        &record(Some(&end(How::Signal(9)))),
        &expect![[r#"
            setpoint-attempt 1
            home=00112233445566aa
            instance=service/web/0
            uid=5f1c
            attempt=3
            revision=1:9f86d081884c7d65
            generation=7
            boot_id=7a9c2a5e-0000-4000-8000-000000000001
            shim_pid=100
            shim_started=5000
            payload_pid=101
            payload_started=5001
            started=2025-11-21T03:00:00.000000000Z
            started_boot_ns=50010000000
            started_wall_ns=1763694000000000000
            streak_n=1
            streak_deaths=2
            streak_crashes=3
            streak_proven=1
            log_file=4
            log_offset=512
            sum=0b331b308aabcb8e

            end=signal 9
            at=1970-01-01T00:00:00.000000002Z
            at_boot_ns=1
            at_wall_ns=2
            asked=1
            tree_seen=7
            tree_left=0
            user_us=12
            system_us=34
            max_rss_kb=56
            log_dropped=78
            sum=3231a168af20a673

        "#]],
    );
}

#[test]
fn every_end_comes_back() {
    let texts = [How::NotStarted("exec x: No such file".to_owned()), How::Unhealthy("no WATCHDOG=1 for 2s".to_owned())];
    for how in [How::Code(0), How::Code(255), How::Signal(9), How::Lost].into_iter().chain(texts) {
        let end = end(how);
        assert_eq!(attempt::parse(&record(Some(&end))), Ok((birth(), Some(end))));
    }
    assert_eq!(attempt::parse(&record(None)), Ok((birth(), None)));
}

#[test]
fn a_torn_end_is_absent_and_a_torn_birth_is_damage() {
    let whole = record(Some(&end(How::Code(1))));
    // Up to the last digit of the sum; what follows is filling.
    let text = whole.trim_ascii_end().len();
    for length in BIRTH_LEN..text {
        let mut torn = whole.get(..length).expect("in range").to_vec();
        assert_eq!(attempt::parse(&torn), Ok((birth(), None)), "cut at {length}");
        torn.resize(RECORD_LEN, b' ');
        assert_eq!(attempt::parse(&torn), Ok((birth(), None)), "blank from {length}");
    }
    for length in 0..BIRTH_LEN {
        assert!(attempt::parse(whole.get(..length).expect("in range")).is_err(), "cut at {length}");
    }
}

#[test]
fn damage_is_named() {
    let mut flipped = record(None);
    if let Some(byte) = flipped.get_mut(60) {
        *byte ^= 1;
    }
    let newer = b"setpoint-attempt 2\nanything".to_vec();
    let table = [
        (Vec::new(), Damaged::Short),
        (b"GIF89a, and then something long".to_vec(), Damaged::Foreign),
        (newer, Damaged::Version(2)),
        (flipped, Damaged::Sum),
        (vec![0; RECORD_LEN], Damaged::Foreign),
    ];
    for (bytes, damage) in table {
        assert_eq!(attempt::parse(&bytes), Err(damage));
    }
}

#[test]
fn a_text_with_newlines_stays_one_line_and_a_long_one_is_cut() {
    let long = format!("exec a\nb {}", "\u{e4}".repeat(1000));
    let (_, read) = attempt::parse(&record(Some(&end(How::NotStarted(long))))).expect("a record");
    match read.expect("an end").how {
        How::NotStarted(text) => assert!(text.starts_with("exec a?b \u{e4}\u{e4}") && text.len() <= 300, "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_too_long_for_the_record_is_refused() {
    let long = Birth { uid: "x".repeat(2000), ..birth() };
    assert_eq!(attempt::encode_birth(&long), None);
}

#[test]
fn a_lost_attempt_is_declared_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::fs::File::open(folder.path()).expect("it opens");
    drop(attempt::create(&open, &birth()).expect("a record"));
    let again = attempt::create(&open, &birth()).map_err(|error| error.kind()).map(drop);
    assert_eq!(again, Err(std::io::ErrorKind::AlreadyExists));
    let read =
        || attempt::parse(&std::fs::read(folder.path().join("00000003.attempt")).expect("a file")).expect("whole").1;
    assert_eq!(read(), None);
    attempt::write_lost(folder.path(), 3, &End::lost(10, 20, false), true).expect("an end");
    attempt::write_lost(folder.path(), 3, &End::lost(11, 21, true), false).expect("the end stands");
    assert_eq!(read(), Some(End::lost(10, 20, false)));
    assert!(attempt::write_lost(folder.path(), 4, &End::lost(1, 2, false), true).is_err());
}

#[test]
fn a_status_comes_back_without_what_a_terminal_would_obey() {
    let said = Said { attempt: 3, status: "5 of 7 \u{e4}".to_owned() };
    assert_eq!(notify::parse(notify::encode(&said).as_bytes()), Some(said));
    let wild = Said { attempt: 1, status: format!("\u{1b}[2Jred\n{}", "\u{e4}".repeat(400)) };
    let read = notify::parse(notify::encode(&wild).as_bytes()).expect("it fits");
    assert!(read.status.starts_with("[2Jred\u{e4}") && read.status.len() <= 512, "{}", read.status);
    assert_eq!(notify::parse(b"setpoint-notify 1\nstatus=x\n"), None);
}

#[test]
fn file_names_come_back() {
    assert_eq!(attempt::file_name(7).as_str(), "00000007.attempt");
    for number in [1, 99_999_999, u32::MAX] {
        assert_eq!(attempt::number(attempt::file_name(number).as_bytes()), Some(number));
    }
    for name in ["lock", "policy", "7.attempt", "0000000x.attempt", "99999999999.attempt", "00000001.attempt.swp"] {
        assert_eq!(attempt::number(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn a_policy_comes_back_and_is_kept_in_range() {
    let policy = Policy { stop_signal: 2, stop_grace_ms: 5, log_max_size: 4096, log_max_files: 2, ..Policy::DEFAULT };
    let text = policy.to_string();
    assert_eq!(policy::parse(text.as_bytes()), Some(policy.clone()));
    assert_eq!(policy::parse(format!("{text}later=1\n").as_bytes()), Some(policy));
    let wild = "setpoint-policy 1\nstop_signal=99\nstop_grace_ms=99999999999\nlog_max_size=0\nlog_max_files=0\n";
    let tamed =
        Policy { stop_signal: 15, stop_grace_ms: 3_600_000, log_max_size: 1024, log_max_files: 1, ..Policy::DEFAULT };
    assert_eq!(policy::parse(wild.as_bytes()), Some(tamed));
    assert_eq!(policy::parse(b"setpoint-policy 1\nstop_signal=15\n"), None);
    assert_eq!(policy::parse(b""), None);
}

// Shims of the first release read this text, and only the first 1024 bytes of it.
#[test]
fn a_policy_file_of_this_version_can_be_read_by_the_first() {
    let literal = "é\\x41\tlistening\r\n\0".repeat(12);
    let policy = Policy {
        ready: Ready::ByLog(literal.clone()),
        watchdog_ms: 30_000,
        failing: Some("http :8080/: 500\nno".to_owned()),
        ..Policy::DEFAULT
    };
    let text = policy.to_string();
    let old = "setpoint-policy 1\nstop_signal=15\nstop_grace_ms=10000\nlog_max_size=52428800\nlog_max_files=5\n";
    let after = text.strip_prefix(old).expect("what the first release knows comes first");
    assert!(text.is_ascii(), "{text}");
    expect![[r"
        ready=log
        ready_log=\xc3\xa9\x5cx41\x09listening\x0d\x0a\x00
        watchdog_ms=30000
        failing=http :8080/: 500\x0ano
    "]]
    .assert_eq(&after.replace(
        &"\\xc3\\xa9\\x5cx41\\x09listening\\x0d\\x0a\\x00".repeat(12),
        "\\xc3\\xa9\\x5cx41\\x09listening\\x0d\\x0a\\x00",
    ));
    assert_eq!(policy::parse(text.as_bytes()), Some(policy));
    assert_eq!(policy::parse(old.as_bytes()), Some(Policy::DEFAULT));
    assert_eq!(Policy::DEFAULT.to_string(), old);
    // The longest there is still fits.
    let longest = Policy {
        ready: Ready::ByLog("\u{1}".repeat(1000)),
        watchdog_ms: u64::MAX,
        failing: Some("\u{1}".repeat(1000)),
        stop_grace_ms: u64::MAX,
        log_max_size: u64::MAX,
        ..Policy::DEFAULT
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = std::fs::File::open(folder.path()).expect("it opens");
    policy::write_atomic(&folder, &longest).expect("it is written");
    let read = policy::read(&folder).expect("it is read").expect("it is ours");
    assert_eq!(read.failing.map(|text| text.len()), Some(attempt::WHY_MAX));
    assert_eq!(read.ready, Ready::ByLog("\u{1}".repeat(policy::READY_LOG_MAX)));
}

fn launch_of<'a>(argv: &[&'a str], env: &[&'a str]) -> Launch<'a> {
    Launch {
        home_root: Path::new("/h"),
        home: "00112233445566aa",
        instance: "service/web/0",
        uid: "5f1c",
        attempt: 3,
        revision: "1:ab",
        generation: 7,
        boot_id: "boot",
        streak: Streak { n: 1, deaths: 2, crashes: 3, proven: false },
        argv: argv.iter().map(|word| OsStr::new(*word)).collect(),
        is_line: true,
        is_own: false,
        dir: Path::new("/srv/a b"),
        env: env.iter().map(|word| OsStr::new(*word)).collect(),
        policy: Policy::DEFAULT,
        keep_attempts: 20,
        nofile_soft: 1024,
        instance_dir: Path::new("/h/records/service/web/0"),
        log_dir: Path::new("/h/logs/service/web"),
        log_prefix: OsStr::new("0"),
        bounds: Bounds::default(),
        stdin: Stdin::Null,
        io_socket: None,
        notify: false,
        durable: false,
    }
}

#[test]
fn a_launch_spec_comes_back() {
    let plain = launch_of(&["sh", "-c", "a=b\nc", ""], &["A=", "B=1=2", "C=end="]);
    let policy = Policy { ready: Ready::ByLog("up\n".to_owned()), watchdog_ms: 7, ..Policy::DEFAULT };
    let launch = Launch { policy, stdin: Stdin::Tty, io_socket: Some(Path::new("/r/s")), notify: true, ..plain };
    let bytes = launch::encode(&launch).expect("bytes");
    assert_eq!(launch::parse(&bytes), Ok(launch));
    for length in 0..bytes.len() {
        assert_eq!(launch::parse(bytes.get(..length).expect("in range")), Err(SpecError::NotWhole), "cut at {length}");
    }
}

// Whatever the bytes are, also such as look like the end of a spec or a field of it.
#[test]
fn standard_input_comes_back_byte_for_byte() {
    let plain = launch_of(&["cat"], &["A=1"]);
    let large = [b"\0end=\0\n\xff".as_slice(), &vec![7; DATA_MAX - 8]].concat();
    for data in [&b""[..], b"{}", b"\0", b"\0end=\0", b"end=\0", b"stdin_length=1\0\0end=\0", &large] {
        let launch = Launch { stdin: Stdin::Data(data), is_own: true, durable: true, ..plain.clone() };
        let bytes = launch::encode(&launch).expect("bytes");
        assert_eq!(launch::parse(&bytes), Ok(launch));
        for length in (0..bytes.len()).filter(|length| *length < 4096 || bytes.len() - length < 4096) {
            let cut = bytes.get(..length).expect("in range");
            assert_eq!(launch::parse(cut), Err(SpecError::NotWhole), "cut at {length} of {}", bytes.len());
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert_eq!(launch::parse(&longer), Err(SpecError::NotWhole));
    }
    let too_long = vec![0; DATA_MAX + 1];
    let launch = Launch { stdin: Stdin::Data(&too_long), ..plain };
    assert_eq!(launch::encode(&launch), Err(SpecError::TooLarge));
}

// A shim is always of the version that starts it; what stands here is for whoever reads a core dump or a strace.
#[test]
fn a_launch_spec_reads_well() {
    let launch = Launch {
        stdin: Stdin::Data(b"{\"a\": 1}\0"),
        is_own: true,
        durable: true,
        ..launch_of(&["setpoint", "call"], &["A=1"])
    };
    let text = String::from_utf8(launch::encode(&launch).expect("bytes")).expect("text");
    expect![[r#"
        setpoint-launch=1
        home_root=/h
        home=00112233445566aa
        instance=service/web/0
        uid=5f1c
        attempt=3
        revision=1:ab
        generation=7
        boot_id=boot
        streak_n=1
        streak_deaths=2
        streak_crashes=3
        streak_proven=0
        is_line=1
        is_own=1
        dir=/srv/a b
        stop_signal=15
        stop_grace_ms=10000
        log_max_size=52428800
        log_max_files=5
        keep_attempts=20
        nofile_soft=1024
        instance_dir=/h/records/service/web/0
        log_dir=/h/logs/service/web
        log_prefix=0
        ready=none
        watchdog_ms=0
        stdin=data
        stdin_length=9
        notify=0
        durable=1
        argv=setpoint
        argv=call
        env=A=1
        end=
        {"a": 1}
    "#]]
    .assert_eq(&text.replace('\0', "\n"));
    let foreign = text.replace("stdin=data", "stdin=other");
    assert_eq!(launch::parse(foreign.as_bytes()), Err(SpecError::Field("stdin")));
    let unread = text.replace("stdin=data", "stdin=null");
    assert_eq!(launch::parse(unread.as_bytes()), Err(SpecError::Field("stdin")));
    let boast = text.replace("stdin_length=9", "stdin_length=1048577");
    assert_eq!(launch::parse(boast.as_bytes()), Err(SpecError::TooLarge));
}

#[test]
fn bounds_come_back() {
    let group = Group { folder: Path::new("/g/x"), files: vec![("memory.max", "1024"), ("cpu.max", "150000 100000")] };
    let bounds = Bounds {
        umask: Some(0o027),
        nice: Some(-5),
        oom_score: Some(-1000),
        rlimits: vec![(Resource::Files, 64), (Resource::Core, 0), (Resource::Stack, u64::MAX)],
        identity: Some(Identity { uid: 65534, gid: 65533, groups: vec![1, 2] }),
        group: Some(group),
        refusal: Some("TOKEN: no such file"),
    };
    let launch = Launch { bounds, ..launch_of(&["true"], &[]) };
    assert_eq!(launch::parse(&launch::encode(&launch).expect("bytes")), Ok(launch));
}

#[test]
fn an_unusable_launch_spec_is_refused() {
    let fine = launch_of(&["true"], &[]);
    let beside = Group { folder: Path::new("/g/x"), files: vec![("../memory.max", "1")] };
    let beside = Launch { bounds: Bounds { group: Some(beside), ..Bounds::default() }, ..fine.clone() };
    let group = Group { folder: Path::new("g"), files: Vec::new() };
    let group = Launch { bounds: Bounds { group: Some(group), ..Bounds::default() }, ..fine.clone() };
    let out = Launch { log_dir: Path::new("/h/../etc"), ..fine.clone() };
    let prefix = Launch { log_prefix: OsStr::new("../x"), ..fine.clone() };
    let table = [
        (launch_of(&[], &[]), SpecError::Field("argv")),
        (out, SpecError::Field("log_dir")),
        (prefix, SpecError::Field("log_prefix")),
        (beside, SpecError::Field("cgroup_file")),
        (group, SpecError::Field("cgroup")),
        (Launch { dir: Path::new("here"), ..fine.clone() }, SpecError::Field("dir")),
        (Launch { stdin: Stdin::Pipe, ..fine.clone() }, SpecError::Field("io_socket")),
        (Launch { attempt: 0, ..fine }, SpecError::Field("attempt")),
    ];
    for (launch, error) in table {
        assert_eq!(launch::parse(&launch::encode(&launch).expect("bytes")), Err(error));
    }
    assert_eq!(launch::encode(&launch_of(&["a\0b"], &[])), Err(SpecError::Nul("argv")));
}

#[test]
fn every_answer_comes_back() {
    let started = Answer::Started { shim: Proc { pid: 7, started: 70 }, payload: Proc { pid: 8, started: 80 } };
    let failed = Answer::Failed { stage: Stage::Dir, errno: 2, text: "/x: No such file or directory".to_owned() };
    let table = [
        (started, "started shim=7 shim_started=70 payload=8 payload_started=80\n"),
        (Answer::Busy, "busy\n"),
        (Answer::Taken, "taken\n"),
        (failed, "failed dir 2 /x: No such file or directory\n"),
    ];
    for (answer, line) in table {
        assert_eq!(answer.encode().as_str(), line);
        assert_eq!(answer::parse(line.as_bytes()), Some(answer));
        assert_eq!(answer::parse(line.trim_end().as_bytes()), None, "cut short: {line}");
    }
    let long = Answer::Failed { stage: Stage::Exec, errno: 1, text: "x\n".repeat(1000) };
    assert!(long.encode().as_str().ends_with("x?x?\n") || long.encode().as_str().ends_with("?x\n"));
}

#[test]
fn argv_comes_back_from_a_process_listing() {
    let said = Argv { instance: "service/web/0", attempt: 3, revision: "1:ab", home: "00112233445566aa" };
    let cmdline = format!("/usr/bin/setpoint\0{}\0", said.words().join("\0"));
    assert_eq!(argv::parse(cmdline.as_bytes()), Some(said));
    for other in ["", "vim\0shim\0", "setpoint\0shim", "setpoint\0apply\0-f\0x\0", "shim\0service/web/0\0attempt=1\0"] {
        assert_eq!(argv::parse(other.as_bytes()), None, "{other:?}");
    }
    assert!(argv::is_comm(b"sp-ready") && !argv::is_comm(b"sp-readyish"));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let _ = attempt::parse(&bytes);
        let _ = policy::parse(&bytes);
        let _ = notify::parse(&bytes);
        let _ = launch::parse(&bytes);
        let _ = answer::parse(&bytes);
        let _ = argv::parse(&bytes);
        let _ = super::logline::parse(&bytes);
    }

    #[test]
    fn no_damage_makes_a_reader_panic_or_lie(at in 0..RECORD_LEN, byte in any::<u8>()) {
        let whole = end(How::Code(3));
        let mut bytes = record(Some(&whole));
        bytes[at] = byte;
        match attempt::parse(&bytes) {
            Ok((read, None)) => prop_assert_eq!(read, birth()),
            Ok(read) => prop_assert_eq!(read, (birth(), Some(whole))),
            Err(_) => prop_assert!(at < BIRTH_LEN),
        }
    }

    #[test]
    fn any_end_half_reads_as_something(lines in "[a-z_=0-9 \n-]{0,600}") {
        let half = super::text::Text::<END_LEN>::of(format_args!("end=code 3\nat_boot_ns=1\n{lines}\n")).sealed();
        let mut bytes = record(None);
        bytes.truncate(BIRTH_LEN);
        bytes.extend(half.expect("it fits"));
        prop_assert!(attempt::parse(&bytes).is_ok());
    }
}
