//! Runs a small command beside a service: a probe, or a reminder.
//!
//! In: an argument list with its surroundings. Out: how it ended and the end of what it printed. Not here: which one.
//! The surprise: what it started is ended with it, whether it is done, late or no longer asked for, and nobody waits
//! for its pipe to be closed: a child that keeps it open would hold everything up.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal};
use tokio::io::unix::AsyncFd;

use crate::observe::readable;
use crate::record::bounds::Identity;

/// How much of its output is kept: the end of it.
const TAIL: usize = 1 << 10;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// What is run.
#[derive(Debug)]
pub struct Errand {
    /// The argument list.
    pub argv: Vec<String>,
    /// The folder it runs in.
    pub dir: String,
    /// Its whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The bits that its new files do not get.
    pub umask: Option<u32>,
    /// Who it runs as; none when that is who the controller is.
    pub identity: Option<Identity>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// How it ended; nothing when it was late and has been killed.
    pub status: Option<ExitStatus>,
    /// The end of what it printed, on either stream.
    pub tail: Vec<u8>,
    /// It printed more than that.
    pub is_cut: bool,
}

/// Runs it, for as long as `patience` at most. `turn` is let go when nothing of it is left to wait for.
///
/// # Errors
/// When it cannot be started.
pub async fn run<T: Send + 'static>(errand: Errand, patience: Duration, turn: T) -> io::Result<Done> {
    let begin = tokio::time::Instant::now();
    // A folder on a disk that hangs must not hold up the others; the thread is one that stays.
    let started = tokio::task::spawn_blocking(move || start(&errand).map(|started| (started, turn)));
    let Ok(started) = tokio::time::timeout_at(begin + patience, started).await else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it could not even be started in time"));
    };
    let (Started { mut running, output }, _turn) = started.map_err(io::Error::other)??;
    let ended = readable::register(running.pidfd.try_clone()?)?;
    let output = readable::register(output)?;
    let mut tail = Tail::default();
    let is_ended = {
        let reading = read(&output, &mut tail);
        let late = tokio::time::sleep_until(begin + patience);
        tokio::pin!(reading, late);
        tokio::select! {
            biased;
            ended = ended.readable() => ended.is_ok(),
            () = &mut late => false,
            // It has closed its output, and goes on.
            () = &mut reading => tokio::select! {
                ended = ended.readable() => ended.is_ok(),
                () = &mut late => false,
            },
        }
    };
    tail.drain(&output);
    // Before it is reaped: its number, and so that of its group, is certainly its own.
    running.end_group();
    let status = if is_ended { running.child.as_mut().and_then(|child| child.wait().ok()) } else { None };
    if status.is_some() {
        running.child = None;
    }
    Ok(Done { status, tail: tail.bytes, is_cut: tail.is_cut })
}

struct Started {
    running: Running,
    output: OwnedFd,
}

/// A command under way; it does not outlive this.
struct Running {
    child: Option<Child>,
    pidfd: OwnedFd,
}

fn start(errand: &Errand) -> io::Result<Started> {
    let (output, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&output, true)?;
    let (program, args) = errand.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(args).current_dir(&errand.dir).env_clear().envs(&errand.env).process_group(0);
    command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
    let (identity, umask) = (errand.identity.clone(), errand.umask);
    // SAFETY: `settle` makes system calls only, on memory that was made before the fork; nothing else may be done
    // between fork and exec.
    unsafe {
        command.pre_exec(move || settle(identity.as_ref(), umask));
    }
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(pidfd) => Ok(Started { running: Running { child: Some(child), pidfd }, output }),
        Err(error) => {
            _ = kill_process_group(pid, Signal::KILL);
            _ = child.wait();
            Err(error.into())
        }
    }
}

/// Becomes what it is to be, just before it is executed.
fn settle(identity: Option<&Identity>, umask: Option<u32>) -> io::Result<()> {
    if let Some(umask) = umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    if let Some(Identity { uid, gid, groups }) = identity {
        // SAFETY: three plain system calls; the list is alive and as long as is said.
        let done = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr()) == 0 && libc::setgid(*gid) == 0 && libc::setuid(*uid) == 0
        };
        if !done {
            return Err(io::Error::last_os_error());
        }
    }
    // Last, since a change of identity takes it back.
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

impl Running {
    fn end_group(&self) {
        if let Some(child) = &self.child {
            // Nothing left to end is as good.
            _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_group();
        let Some(mut child) = self.child.take() else { return };
        if let Ok(Some(_)) | Err(_) = child.try_wait() {
            return;
        }
        // Killed, and not gone yet: it is reaped when it is.
        if let (Ok(runtime), Ok(pidfd)) = (tokio::runtime::Handle::try_current(), self.pidfd.try_clone()) {
            runtime.spawn(async move {
                if let Ok(pidfd) = readable::register(pidfd) {
                    _ = pidfd.readable().await;
                }
                _ = child.try_wait();
            });
        }
    }
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        self.is_cut |= self.bytes.len() + chunk.len() > TAIL;
        let chunk = chunk.get(chunk.len().saturating_sub(TAIL)..).unwrap_or(chunk);
        let surplus = (self.bytes.len() + chunk.len()).saturating_sub(TAIL);
        self.bytes.drain(..surplus.min(self.bytes.len()));
        self.bytes.extend_from_slice(chunk);
    }

    /// Takes what lies in the pipe; what is written from now on is nobody's business.
    fn drain(&mut self, output: &AsyncFd<OwnedFd>) {
        let mut chunk = [0; CHUNK];
        // A pipe holds a megabyte at most.
        for _ in 0..16 {
            match rustix::io::read(output.get_ref(), &mut chunk) {
                Ok(length) if length > 0 => self.push(chunk.get(..length).unwrap_or_default()),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Reads until nobody holds the other end.
async fn read(output: &AsyncFd<OwnedFd>, tail: &mut Tail) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(mut ready) = output.readable().await else { return };
        match rustix::io::read(output.get_ref(), &mut chunk) {
            Ok(0) => return,
            Ok(length) => tail.push(chunk.get(..length).unwrap_or_default()),
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        // One that prints without end leaves the others their turn.
        drop(ready);
        tokio::task::yield_now().await;
    }
}
