//! One measurement's surroundings: a folder, a fifo for start records, an account of CPU time, and a certain end.
//!
//! In: a tag. Out: a [`Lab`] that starts programs, hears of payload starts, and knows every process it caused.
//! Not here: what is measured. The surprise: nothing is ever ended by name; a process belongs to a lab when it sits in
//! the lab's cgroup or carries the lab's folder in its environment, and a guard process ends what a killed bench left.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::account::{Account, scheduled};

/// The variable that marks everything a lab starts.
const MARK: &str = "SETPOINT_BENCH_LAB";
/// How long an end may take.
const SWEEP_MAX: Duration = Duration::from_secs(30);
/// The most processes a lab may ask for, supervisors included.
pub const PROCESSES_MAX: usize = 2500;

/// A payload came up.
#[derive(Clone, Debug)]
pub struct Start {
    /// When its `main` began, in CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
    /// Its pid.
    pub pid: u32,
    /// The id it was given.
    pub id: String,
}

/// Where everything lies that all labs share.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder of all labs.
    pub root: PathBuf,
    /// The payload as it was built.
    pub payload: PathBuf,
}

/// One measurement's surroundings.
pub struct Lab {
    /// Its folder.
    pub dir: PathBuf,
    /// Its copy of the payload: a process that executes this file is a payload.
    pub payload: PathBuf,
    /// The account of CPU time.
    pub account: Account,
    /// Every start heard of so far.
    pub starts: Vec<Start>,
    fifo: File,
    unread: Vec<u8>,
    children: Vec<Child>,
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

impl Lab {
    /// Makes the folder, the fifo and, where the system has them, the cgroup.
    pub fn open(site: &Site, tag: &str) -> io::Result<Lab> {
        let name = format!("lab-{}-{}-{tag}", std::process::id(), nanos());
        let dir = site.root.join(&name);
        fs::create_dir_all(dir.join("logs"))?;
        let payload = dir.join("payload");
        fs::copy(&site.payload, &payload)?;
        let path = dir.join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        // Opened for both ends, so that it never reports an end while no payload is up.
        let fifo = OpenOptions::new().read(true).write(true).custom_flags(nonblock).open(&path)?;
        let _ = rustix::pipe::fcntl_setpipe_size(&fifo, 1 << 20);
        let account = Account::open(&name);
        Ok(Lab { dir, payload, account, starts: Vec::new(), fifo, unread: Vec::new(), children: Vec::new() })
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file whole, by a rename, with this mode.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> io::Result<()> {
        write_whole(&self.dir.join(name), text, mode)
    }

    /// The command line of a service.
    pub fn service(&self, id: &str, extra: &[&str]) -> Vec<String> {
        let mut argv = vec![show(&self.payload), "svc".to_owned(), show(&self.path("fifo")), id.to_owned()];
        argv.extend(extra.iter().map(|word| (*word).to_owned()));
        argv
    }

    fn command(&self, argv: &[String], env: &[(&str, String)]) -> io::Result<Command> {
        let out = OpenOptions::new().create(true).append(true).open(self.path("supervisor.out"))?;
        let mut command = Command::new(&self.payload);
        command.arg("into").arg(self.account.entrance()).args(argv);
        command.env(MARK, &self.dir).envs(env.iter().map(|(key, value)| (key, value))).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        Ok(command)
    }

    /// Starts a program inside the lab; returns its pid.
    pub fn spawn(&mut self, argv: &[String], env: &[(&str, String)]) -> io::Result<u32> {
        let child = self.command(argv, env)?.spawn()?;
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }

    /// Runs a program inside the lab to its end; an error when it fails or takes over a minute.
    pub fn call(&mut self, argv: &[String], env: &[(&str, String)]) -> io::Result<()> {
        let mut child = self.command(argv, env)?.spawn()?;
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                let told = || io::Error::other(format!("`{}` ended with {status}", argv.join(" ")));
                return status.success().then_some(()).ok_or_else(told);
            }
            thread::sleep(Duration::from_millis(1));
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other(format!("`{}` took over a minute", argv.join(" "))))
    }

    /// Reaps what has died, as an init would.
    pub fn reap(&mut self) {
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Waits for start records up to `limit`; returns how many are known after it.
    pub fn listen(&mut self, limit: Duration) -> usize {
        if wait_readable(&self.fifo, limit) {
            let mut chunk = [0; 16 << 10];
            while let Ok(length @ 1..) = self.fifo.read(&mut chunk) {
                self.unread.extend_from_slice(&chunk[..length]);
            }
            let whole = self.unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let text: Vec<u8> = self.unread.drain(..whole).collect();
            self.starts.extend(String::from_utf8_lossy(&text).lines().filter_map(parse_start));
        }
        self.starts.len()
    }

    /// Waits until every id has come up after the first `since` records; returns when the last first did.
    pub fn await_starts(&mut self, ids: &[String], since: usize, limit: Duration) -> io::Result<u64> {
        let end = Instant::now() + limit;
        let mut wanted: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let (mut last, mut read) = (0, since);
        loop {
            for start in &self.starts[read..] {
                if wanted.remove(start.id.as_str()) {
                    last = last.max(start.at);
                }
            }
            read = self.starts.len();
            if wanted.is_empty() {
                return Ok(last);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = fs::read_to_string(self.path("supervisor.out")).unwrap_or_default();
                let tail: String = text.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
                return Err(io::Error::other(format!("{} payloads never came up: {tail}", wanted.len())));
            }
            self.listen(left.min(Duration::from_millis(500)));
        }
    }

    /// CPU time of everything in the lab so far.
    pub fn used(&self) -> Duration {
        self.account.used().unwrap_or_else(|| scheduled(&members(&self.account, &self.dir)))
    }

    /// The newest start of an id.
    pub fn newest(&self, id: &str) -> Option<&Start> {
        self.starts.iter().rev().find(|start| start.id == id)
    }

    /// Every live process of this lab, as (supervisors and their aids, payloads).
    pub fn split(&self) -> (Vec<u32>, Vec<u32>) {
        let members = members(&self.account, &self.dir);
        members.into_iter().partition(|pid| !is_payload(*pid, &self.payload))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut sweep = Sweep { account: &self.account, dir: &self.dir, end: Instant::now() + SWEEP_MAX };
        while sweep.round() > 0 {
            self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        }
        self.account.close();
        if std::env::var_os("SETPOINT_BENCH_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

struct Sweep<'a> {
    account: &'a Account,
    dir: &'a Path,
    end: Instant,
}

impl Sweep<'_> {
    /// Kills one layer, supervisors before payloads so that nothing is started again; returns how many were there.
    fn round(&mut self) -> usize {
        let members = members(self.account, self.dir);
        if members.is_empty() || Instant::now() > self.end {
            return 0;
        }
        let own = self.dir.join("payload");
        let (upper, payloads): (Vec<u32>, Vec<u32>) = members.iter().partition(|pid| !is_payload(**pid, &own));
        let layer = if upper.is_empty() { payloads } else { upper };
        for pid in layer {
            let belongs = || self.account.holds(pid) || is_marked(pid, self.dir);
            if let Some(fd) = pidfd(pid).filter(|_| belongs()) {
                let _ = pidfd_send_signal(fd, Signal::KILL);
            }
        }
        thread::sleep(Duration::from_millis(10));
        members.len()
    }
}

/// Waits for the end of the process behind `stdin`, then ends what its labs hold and removes them.
pub fn guard(root: &Path, owner: &str) {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let prefix = format!("lab-{owner}-");
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(&prefix) {
            continue;
        }
        let (account, dir) = (Account::find(&name), entry.path());
        let mut sweep = Sweep { account: &account, dir: &dir, end: Instant::now() + SWEEP_MAX };
        while sweep.round() > 0 {}
        account.close();
        let _ = fs::remove_dir_all(&dir);
    }
}

/// Starts the guard of this process; it acts when the returned child's stdin closes, whatever closes it.
pub fn post_guard(root: &Path) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("guard").arg(root).arg(std::process::id().to_string()).stdin(Stdio::piped());
    // Out of the terminal's foreground group: the interrupt that ends the bench must not end its guard.
    command.process_group(0).spawn()
}

fn members(account: &Account, dir: &Path) -> Vec<u32> {
    let own = std::process::id();
    let found = account.members().unwrap_or_else(|| marked(dir));
    found.into_iter().filter(|pid| *pid != own && is_live(*pid)).collect()
}

fn marked(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_marked(*pid, dir)).collect()
}

/// True when its environment says that it belongs to the lab; setpoint's payloads carry only their home.
fn is_marked(pid: u32, dir: &Path) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let (mark, home) = (format!("{MARK}={}", dir.display()), format!("SETPOINT_HOME={}/home", dir.display()));
    environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes() || entry == home.as_bytes())
}

fn is_payload(pid: u32, payload: &Path) -> bool {
    let is_service = || fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|argv| is_service_argv(&argv));
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == payload) && is_service()
}

fn is_service_argv(argv: &[u8]) -> bool {
    argv.split(|byte| *byte == 0).nth(1).is_some_and(|verb| verb == b"svc" || verb == b"spew")
}

fn is_live(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn parse_start(line: &str) -> Option<Start> {
    let mut words = line.split(' ');
    let (at, pid, id) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned());
    Some(Start { at, pid, id })
}

fn wait_readable(file: &File, limit: Duration) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(limit))).is_ok_and(|ready| ready > 0)
}

/// A span as system calls take it.
pub fn timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: span.subsec_nanos().into() }
}

/// A descriptor of a live process.
pub fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Sends a signal to a process through a descriptor; false when it is gone.
pub fn signal(pid: u32, signal: Signal) -> bool {
    pidfd(pid).is_some_and(|fd| pidfd_send_signal(fd, signal).is_ok())
}

/// Waits until all are gone; returns when the last went, and how many are left after `limit`.
pub fn await_ends(mut fds: Vec<OwnedFd>, limit: Duration) -> (u64, usize) {
    let (mut last, end) = (nanos(), Instant::now() + limit);
    while !fds.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let mut set: Vec<PollFd> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if left.is_zero() || poll(&mut set, Some(&timespec(left))).is_err() {
            break;
        }
        let gone: Vec<bool> = set.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(set);
        if gone.contains(&true) {
            last = nanos();
        }
        let mut index = 0;
        fds.retain(|_| {
            index += 1;
            !gone[index - 1]
        });
    }
    (last, fds.len())
}

/// A path as text; labs have plain names.
pub fn show(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a file whole, by a rename, with this mode; makes its folder.
pub fn write_whole(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A leading dot, so that nobody who watches the folder takes the half-written file for a manifest.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let part = path.with_file_name(format!(".{name}.part"));
    fs::write(&part, text)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(mode))?;
    fs::rename(part, path)
}
