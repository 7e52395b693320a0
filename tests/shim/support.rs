//! A home to start shims in, as a controller would, and the means to look at what became of them.
//!
//! In: what to execute. Out: answers, records, logs. Not here: the sentences under test.
//! The surprise: whatever still carries the marker of the home is killed when the home goes out of scope, also on a
//! panic, and each process only through a pidfd opened before its marker was read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use setpoint::record::answer::{self, Answer, Proc};
use setpoint::record::argv::Argv;
use setpoint::record::attempt::{self, Birth, End, Streak};
use setpoint::record::bounds::Bounds;
use setpoint::record::launch::{self, Launch, Stdin};
use setpoint::record::logline::{self, LogLine};
use setpoint::record::policy::Policy;
use tempfile::TempDir;

/// The id every home of these tests says it has.
pub const HOME_ID: &str = "00112233445566aa";
/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A home with one instance in it.
pub struct Home {
    folder: TempDir,
    root: PathBuf,
    is_mounted: bool,
}

/// One start to come; every field may be changed before [`Start::go`].
pub struct Start<'a> {
    pub home: &'a Home,
    pub argv: Vec<String>,
    pub is_line: bool,
    pub dir: PathBuf,
    pub env: Vec<String>,
    pub policy: Policy,
    pub attempt: u32,
    pub keep: u32,
    pub nofile_soft: u64,
    pub bounds: Bounds<'a>,
    pub stdin: Stdin<'a>,
    pub notify: bool,
    pub durable: bool,
    pub is_own: bool,
    /// What executes the shim, if not we ourselves.
    pub through: &'static [&'static str],
}

/// Waits until `is_so`.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::tempdir().expect("a folder for the home");
        let root = folder.path().canonicalize().expect("its true path");
        Home { folder, root, is_mounted: false }
    }

    /// A home on a small file system of its own; `None`, with the reason printed, where mounting is refused.
    pub fn small(kib: u32) -> Option<Home> {
        let mut home = Home::new();
        home.root.push("small");
        std::fs::create_dir(&home.root).expect("a folder inside");
        let size = format!("size={kib}k,mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&home.root).output();
        match mount {
            Ok(output) if output.status.success() => {
                home.is_mounted = true;
                Some(home)
            }
            Ok(output) => {
                println!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: cannot mount: {error}");
                None
            }
        }
    }

    /// Leaves no room on a small home, except for what already has its room. Returns the file that fills it.
    pub fn fill(&self) -> PathBuf {
        let path = self.root.join("fill");
        let mut file = File::create(&path).expect("a file");
        while file.write(&[0; 4096]).is_ok_and(|length| length > 0) {}
        path
    }

    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    pub fn records(&self) -> PathBuf {
        self.root.join("records/service/web/0")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs/service/web")
    }

    /// Where the shim listens for those who type.
    pub fn socket(&self) -> PathBuf {
        self.records().join("io.sock")
    }

    /// A start of exactly these words.
    pub fn start(&self, argv: &[&str]) -> Start<'_> {
        let path = std::env::var("PATH").unwrap_or_default();
        let markers = [
            format!("SETPOINT_HOME={}", self.root.display()),
            format!("SETPOINT_INSTANCE={HOME_ID}/service/web/0"),
            "SETPOINT_ATTEMPT=1".to_owned(),
            format!("PATH={path}"),
        ];
        Start {
            home: self,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            is_line: false,
            dir: self.root.clone(),
            env: markers.to_vec(),
            policy: Policy { stop_grace_ms: 300, ..Policy::DEFAULT },
            attempt: 1,
            keep: 20,
            nofile_soft: 0,
            bounds: Bounds::default(),
            stdin: Stdin::Null,
            notify: false,
            durable: false,
            is_own: false,
            through: &[],
        }
    }

    /// A start of a line for the shell.
    pub fn line(&self, line: &str) -> Start<'_> {
        Start { is_line: true, ..self.start(&["/bin/sh", "-c", line]) }
    }

    pub fn record(&self, number: u32) -> (Birth, Option<End>) {
        let path = self.records().join(attempt::file_name(number).as_str());
        attempt::parse(&std::fs::read(path).expect("a record")).expect("a whole record")
    }

    /// Waits for the end of an attempt, and until its shim is gone.
    pub fn end(&self, number: u32) -> End {
        let mut end = None;
        until("the end is recorded", || {
            end = self.record(number).1;
            end.is_some()
        });
        let shim = self.record(number).0.shim_pid;
        until("the shim is gone", || !is_alive(shim));
        end.expect("just seen")
    }

    /// The log files in order, with their names.
    pub fn log_files(&self) -> Vec<(String, Vec<u8>)> {
        // A file that is listed may be rotated away before it is read.
        let read = |entry: std::fs::DirEntry| match std::fs::read(entry.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            bytes => Some((entry.file_name().into_string().expect("a name"), bytes.expect("a file"))),
        };
        let entries = std::fs::read_dir(self.logs()).expect("a log folder");
        let mut files: Vec<(String, Vec<u8>)> =
            entries.map(|entry| entry.expect("an entry")).filter_map(read).collect();
        files.sort();
        files
    }

    /// All lines of all log files as `stream tag text`; panics at a line that is torn or not stamped.
    pub fn log(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.log_files().into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "the log ends in a torn line");
        bytes.split_inclusive(|byte| *byte == b'\n').map(shown).collect()
    }

    /// Waits until a line of the log is exactly this. The last line may be on its way while we read.
    pub fn wait_for_line(&self, line: &str) {
        until(line, || {
            let files = if self.logs().exists() { self.log_files() } else { Vec::new() };
            let mut lines = files.iter().flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n'));
            lines.any(|seen| seen.ends_with(b"\n") && shown(seen) == line)
        });
    }

    /// Every live process that carries the marker of this home, shims included.
    pub fn processes(&self) -> Vec<u32> {
        let marker = format!("SETPOINT_HOME={}", self.root.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && has_marker(pid, &marker)
            {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let marker = format!("SETPOINT_HOME={}", self.root.display());
        for _ in 0..1000 {
            let pids = self.processes();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                kill_marked(pid, &marker);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.root).status();
        }
        // The folder is removed by its own drop, after this.
        let _ = &self.folder;
    }
}

impl Start<'_> {
    /// Starts a shim and returns its answer; `None` when there was none.
    pub fn go(&self) -> Option<Answer> {
        let bytes = self.run();
        answer::parse(&bytes)
    }

    /// Starts a shim that must answer `started`.
    pub fn up(&self) -> (Proc, Proc) {
        match self.go() {
            Some(Answer::Started { shim, payload }) => (shim, payload),
            other => panic!("not started: {other:?}"),
        }
    }

    fn run(&self) -> Vec<u8> {
        let (records, logs, socket) = (self.home.records(), self.home.logs(), self.home.socket());
        let launch = Launch {
            home_root: self.home.root(),
            home: HOME_ID,
            instance: "service/web/0",
            uid: "uid-1",
            attempt: self.attempt,
            revision: "1:abcd",
            generation: 7,
            boot_id: "boot-1",
            streak: Streak { n: 2, deaths: 3, crashes: 4, proven: true },
            argv: self.argv.iter().map(OsStr::new).collect(),
            is_line: self.is_line,
            is_own: self.is_own,
            dir: &self.dir,
            env: self.env.iter().map(OsStr::new).collect(),
            policy: self.policy.clone(),
            keep_attempts: self.keep,
            nofile_soft: self.nofile_soft,
            instance_dir: &records,
            log_dir: &logs,
            log_prefix: OsStr::new("0"),
            bounds: self.bounds.clone(),
            stdin: self.stdin,
            io_socket: Some(&socket),
            notify: self.notify,
            durable: self.durable,
        };
        let spec = launch::encode(&launch).expect("a launch spec");
        let argv = Argv { instance: launch.instance, attempt: self.attempt, revision: "1:abcd", home: HOME_ID };
        let words = argv.words();
        let program = env!("CARGO_BIN_EXE_setpoint");
        let mut all = self.through.iter().copied().chain([program]).chain(words.iter().map(String::as_str));
        let mut command = Command::new(all.next().expect("a program"));
        command.args(all).stdin(sealed(&spec)).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env_clear().envs(self.env.iter().filter_map(|word| word.split_once('=')));
        let mut starter = command.spawn().expect("a shim");
        let mut bytes = Vec::new();
        starter.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("an answer");
        starter.wait().expect("the starter ends");
        bytes
    }
}

/// The bytes as a sealed file without a name.
fn sealed(bytes: &[u8]) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("launch", flags).expect("a memfd"));
    file.write_all(bytes).expect("room");
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).expect("seals");
    file
}

/// A line of a log file, newline included, as `stream tag text`.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let LogLine { source, tag, text, .. } =
        logline::parse(line).unwrap_or_else(|| panic!("no log line: {}", String::from_utf8_lossy(line)));
    let tag = if tag == logline::Tag::Full { 'F' } else { 'P' };
    format!("{} {tag} {}", source.as_str(), String::from_utf8_lossy(text))
}

/// True while the process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The state letter of a process.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

pub fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// A line of `/proc/PID/status` or `smaps_rollup`, as its first number.
#[track_caller]
pub fn proc_number(pid: u32, file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a live process");
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}"));
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// Signals a process of a test, which the caller has just started and not lost sight of.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).expect("a live process");
    rustix::process::pidfd_send_signal(pidfd, signal).expect("the signal is sent");
}

fn has_marker(pid: u32, marker: &str) -> bool {
    // A shim keeps the environment it was started with; a zombie has none.
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|word| word == marker.as_bytes()))
}

fn kill_marked(pid: u32, marker: &str) {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let Ok(pidfd) = rustix::process::pidfd_open(number, PidfdFlags::empty()) else {
        return;
    };
    if has_marker(pid, marker) {
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    }
}
