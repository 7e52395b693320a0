//! Starts the payload: a child that is ready to execute, waits for a word, and then becomes the program.
//!
//! In: a launch spec and the pipes. Out: a waiting child, later executed or not, with the reason.
//! Not here: recording the birth, which happens while the child waits, so that nothing runs unrecorded.
//! The surprise: a child whose shim dies before the word is given sees the end of the pipe and goes away unexecuted.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit};

use super::bounds;
use super::cgroup;
use super::sys::{self, Side, Words};
use super::wire::Theirs;
use crate::record::answer::{self, Answer, Stage};
use crate::record::launch::Launch;

/// The inherited lock gets a number from here up, out of the way of what programs expect.
const LOCK_FD_LEAST: i32 = 500;
/// Where a program is looked for when the environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";
/// The program we are, also when its file has been replaced or removed.
const OWN: &CStr = c"/proc/self/exe";
const NOT_EXECUTED: i32 = 126;
const NOT_FOUND: i32 = 127;

/// A child that waits for the word.
pub struct Waiting {
    /// Its pid.
    pub pid: u32,
    /// The control group it may have made.
    pub group: Option<PathBuf>,
    go: OwnedFd,
    status: OwnedFd,
}

/// Why a payload was not executed.
pub struct Refusal {
    /// The working directory, the program, a limit or the user.
    pub stage: Stage,
    /// The system's error number; 0 when it was not the system that refused.
    pub errno: i32,
    /// What it is about, as written in the manifest where possible.
    pub about: String,
}

impl Refusal {
    /// The exit code a shell would give.
    pub fn code(&self) -> i32 {
        if self.errno == libc::ENOENT { NOT_FOUND } else { NOT_EXECUTED }
    }
}

/// Forks the child that will become the payload of `launch`.
///
/// # Errors
/// The system's error when there is no room for a process or a pipe.
pub fn fork(launch: &Launch<'_>, theirs: &Theirs, lock: &OwnedFd) -> io::Result<Waiting> {
    let argv = Words::new(texts(launch.argv.iter().map(|word| word.as_bytes()))?);
    let mut env = environment(launch, theirs)?;
    let (go_read, go) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (status, status_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Side::Parent(pid) => {
            let group = launch.bounds.group.as_ref().map(|group| group.folder.to_owned());
            Ok(Waiting { pid, group, go, status })
        }
        Side::Child => {
            // Our own copy of this end would keep the pipe open when the shim is gone.
            drop(go);
            let ready = prepare(launch, theirs, lock);
            if theirs.is_watched {
                env.extend(CString::new(format!("WATCHDOG_PID={}", rustix::process::getpid())));
            }
            let env = Words::new(env);
            let mut word = [0];
            if rustix::io::read(&go_read, &mut word) != Ok(1) {
                sys::exit_now(NOT_EXECUTED);
            }
            let refusal = match ready {
                Err(refusal) => refusal,
                Ok(program) => Refusal { errno: sys::execute(&program, &argv, &env), ..not_executed(launch) },
            };
            let code = refusal.code();
            let Refusal { stage, errno, about } = refusal;
            // The shim waits for this or for the end of the pipe; there is nobody else to tell.
            let _ = rustix::io::write(&status_write, Answer::Failed { stage, errno, text: about }.encode().as_bytes());
            sys::exit_now(code)
        }
    }
}

/// What a program that cannot be executed is refused with, but for the error.
fn not_executed(launch: &Launch<'_>) -> Refusal {
    let about = launch.argv.first().map_or_else(String::new, |word| word.display().to_string());
    Refusal { stage: Stage::Exec, errno: 0, about }
}

impl Waiting {
    /// Gives the word.
    pub fn go(&self) {
        // When the child is gone, its status pipe has ended too, and the wait for its end says how it went.
        let _ = rustix::io::write(&self.go, b"g");
    }

    /// Waits until the child has become the program, or knows why not.
    ///
    /// # Errors
    /// Why it was not executed.
    pub fn outcome(self) -> Result<(), Refusal> {
        let mut report = [0; answer::LEN_MAX];
        loop {
            let length = match rustix::io::read(&self.status, &mut report) {
                Err(Errno::INTR) => continue,
                // The pipe closes as the program takes over.
                Ok(0) | Err(_) => return Ok(()),
                Ok(length) => length,
            };
            // It holds a copy of the lock until it is gone.
            wait_for(self.pid);
            cgroup::remove(self.group.as_deref());
            return Err(match report.get(..length).and_then(answer::parse) {
                Some(Answer::Failed { stage, errno, text }) => Refusal { stage, errno, about: text },
                Some(Answer::Started { .. } | Answer::Busy | Answer::Taken) | None => {
                    Refusal { stage: Stage::Exec, errno: libc::EIO, about: String::new() }
                }
            });
        }
    }

    /// Sends the child away unexecuted, and waits until it is gone.
    pub fn cancel(self) {
        let Waiting { pid, group, go, status } = self;
        drop(go);
        drop(status);
        if let Ok(number) = i32::try_from(pid) {
            sys::signal(number, libc::SIGKILL);
        }
        wait_for(pid);
        cgroup::remove(group.as_deref());
    }
}

fn wait_for(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
}

/// What the child does to itself while it is still our code; the program it will become.
fn prepare(launch: &Launch<'_>, theirs: &Theirs, lock: &OwnedFd) -> Result<CString, Refusal> {
    let failed = |errno: Errno| Refusal { errno: errno.raw_os_error(), ..not_executed(launch) };
    sys::reset_signals();
    connect(theirs).map_err(failed)?;
    // The second net: as long as any descendant keeps this open, the instance is not free. Low limits get a low number.
    if sys::duplicate_open(lock, LOCK_FD_LEAST).is_err() {
        let _ = sys::duplicate_open(lock, 3);
    }
    if launch.nofile_soft > 0 {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let current = Some(launch.nofile_soft.min(maximum.unwrap_or(u64::MAX)));
        // A limit at or below the hard one is always granted.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current, maximum });
    }
    hand_over(launch, theirs);
    bounds::take_on(&launch.bounds)?;
    // As whoever it is now: what it may not enter or execute, it must not be started in or as.
    rustix::process::chdir(launch.dir).map_err(|errno| Refusal {
        stage: Stage::Dir,
        errno: errno.raw_os_error(),
        about: launch.dir.display().to_string(),
    })?;
    resolve(launch).map_err(failed)
}

/// Gives the streams to the user it becomes, who could not open them by name otherwise: `/dev/stdout`, its terminal.
fn hand_over(launch: &Launch<'_>, theirs: &Theirs) {
    if let Some(identity) = &launch.bounds.identity {
        let user = Some(rustix::fs::Uid::from_raw(identity.uid));
        // By number they work all the same, so a refusal is no reason to stop here.
        for stream in [theirs.stdin.as_ref(), Some(&theirs.stdout), Some(&theirs.stderr)].into_iter().flatten() {
            let _ = rustix::fs::fchown(stream, user, None);
        }
    }
}

/// Gives the child a process group, and its streams. Standard input leads to `/dev/null` already.
fn connect(theirs: &Theirs) -> Result<(), Errno> {
    match &theirs.stdin {
        // A terminal belongs to a session, and who begins one leads a group as well.
        Some(tty) if theirs.is_tty => {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(tty)?;
        }
        Some(_) | None => rustix::process::setpgid(None, None)?,
    }
    let streams = [theirs.stdin.as_ref(), Some(&theirs.stdout), Some(&theirs.stderr)];
    for (number, stream) in (0..).zip(streams) {
        if let Some(stream) = stream {
            sys::replace_stream(stream, number).map_err(|_| Errno::BADF)?;
        }
    }
    Ok(())
}

/// The environment of the spec, and what comes with the wiring, which wins.
fn environment(launch: &Launch<'_>, theirs: &Theirs) -> io::Result<Vec<CString>> {
    let name = |word: &[u8]| word.split(|byte| *byte == b'=').next().unwrap_or_default().to_owned();
    let ours: Vec<Vec<u8>> = theirs.env.iter().map(|word| name(word.as_bytes())).collect();
    let spec = launch.env.iter().map(|word| word.as_bytes());
    let spec = spec.filter(|word| ours.is_empty() || !ours.contains(&name(word)));
    texts(spec.chain(theirs.env.iter().map(String::as_bytes)))
}

fn texts<'a>(texts: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<CString>> {
    Ok(texts.map(CString::new).collect::<Result<_, _>>()?)
}

/// The file to execute: our own if that is meant, a first word with a `/` as it stands (relative to the working directory), any other from the
/// `PATH` the payload gets, by the rules of a shell.
fn resolve(launch: &Launch<'_>) -> Result<CString, Errno> {
    let name = launch.argv.first().map_or(&b""[..], |word| word.as_bytes());
    if launch.is_own {
        return Ok(OWN.to_owned());
    }
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.contains(&b'/') {
        return CString::new(name).map_err(|_| Errno::INVAL);
    }
    let path = launch.env.iter().find_map(|word| word.as_bytes().strip_prefix(b"PATH="));
    let mut error = Errno::NOENT;
    for entry in path.unwrap_or(PATH_DEFAULT).split(|byte| *byte == b':') {
        let file = launch.dir.join(OsStr::from_bytes(entry)).join(OsStr::from_bytes(name));
        match is_program(&file) {
            Ok(()) => return CString::new(file.into_os_string().as_bytes()).map_err(|_| Errno::INVAL),
            // Something of that name which may not be executed is worth more as an answer than "not found".
            Err(Errno::ACCESS) => error = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(error)
}

/// What the system's words leave out, for those errors whose words mislead.
pub fn hint(launch: &Launch<'_>, refusal: &Refusal) -> &'static str {
    let is_there = || resolve(launch).is_ok_and(|file| launch.dir.join(OsStr::from_bytes(file.as_bytes())).exists());
    match (refusal.stage, refusal.errno) {
        (Stage::Exec, libc::ENOENT) if is_there() => " (the file is there, its interpreter is not; see its first line)",
        (Stage::Exec, libc::ENOEXEC) => " (no program of this machine; a script begins with a line like #!/bin/sh)",
        (Stage::Dir | Stage::Exec, libc::EACCES) if launch.bounds.identity.is_some() => {
            " (for the user it runs as; that user needs the right to enter every folder on the way)"
        }
        (Stage::User, libc::EPERM) => " (only root may start programs as another user)",
        (Stage::Limits, libc::EPERM | libc::EACCES) => " (only root may ask for more than the controller has)",
        (
            Stage::Exec
            | Stage::Spec
            | Stage::Home
            | Stage::Fork
            | Stage::Dir
            | Stage::Limits
            | Stage::User
            | Stage::Refused,
            _,
        ) => "",
    }
}

fn is_program(file: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS)
}
