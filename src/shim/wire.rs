//! Connects a payload: its standard streams, and what it tells of itself over.
//!
//! In: a launch spec. Out: the ends of the payload, and ours. Not here: putting them in their places (`payload`).
//! The surprise: with a terminal all three streams are one, so its errors are among its output.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::failed;
use super::input::{Input, open_tty};
use super::notify::Notify;
use crate::record::answer::{Answer, Stage};
use crate::record::launch::{Launch, Stdin};

/// The ends of the payload.
pub struct Theirs {
    /// Standard input; `None` for `/dev/null`. Also sealed memory, which is read like a file.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// They are a terminal, which is to be its own.
    pub is_tty: bool,
    /// What its environment has beside what the spec says; these win.
    pub env: Vec<String>,
    /// It is told how often to give a sign of life, and to whom that applies.
    pub is_watched: bool,
}

/// Our ends.
pub struct Ours {
    /// Its output.
    pub stdout: OwnedFd,
    /// Its errors; `None` when they are among its output.
    pub stderr: Option<OwnedFd>,
    /// Its input, and who types into it.
    pub input: Option<Box<Input>>,
    /// What it tells of itself.
    pub notify: Option<Box<Notify>>,
}

/// Makes all that `launch` asks for.
///
/// # Errors
/// The answer to give.
pub fn make(launch: &Launch<'_>) -> Result<(Theirs, Ours), Answer> {
    let no_start = |error: io::Error| failed(Stage::Fork, &error, "cannot start another process");
    let is_watched = launch.notify && launch.policy.watchdog_ms > 0;
    let notify = if launch.notify { Some(Notify::open(launch.attempt, is_watched).map_err(no_start)?) } else { None };
    let mut env: Vec<String> = notify.iter().map(|notify| format!("NOTIFY_SOCKET={}", notify.address())).collect();
    if is_watched {
        env.push(format!("WATCHDOG_USEC={}", launch.policy.watchdog_ms.saturating_mul(1000)));
    }
    let notify = notify.map(Box::new);
    if launch.stdin == Stdin::Tty {
        return tty(launch, env, is_watched, notify);
    }
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_start(error.into()));
    let (out, err) = (pipe()?, pipe()?);
    let (stdin, input) = match launch.stdin {
        Stdin::Pipe => {
            let (theirs, ours) = pipe()?;
            (Some(theirs), Some(listen(launch, ours, None)?))
        }
        Stdin::Data(bytes) => (Some(sealed(bytes).map_err(no_start)?), None),
        Stdin::Null | Stdin::Tty => (None, None),
    };
    let theirs = Theirs { stdin, stdout: out.1, stderr: err.1, is_tty: false, env, is_watched };
    Ok((theirs, Ours { stdout: out.0, stderr: Some(err.0), input, notify }))
}

/// Memory that holds these bytes and cannot change any more, to be read from its beginning: nobody has to pump them, and
/// they go with the last who has it open.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create(c"setpoint-stdin", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..)
        && !rest.is_empty()
    {
        match rustix::io::pwrite(&memory, rest, written as u64) {
            Ok(0) => return Err(Errno::NOSPC.into()),
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory)
}

fn tty(
    launch: &Launch<'_>,
    mut env: Vec<String>,
    is_watched: bool,
    notify: Option<Box<Notify>>,
) -> Result<(Theirs, Ours), Answer> {
    let no_tty = |error: io::Error| failed(Stage::Fork, &error, "cannot open a terminal");
    let copy = |end: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(end, 3).map_err(|error| no_tty(error.into()));
    let (ours, theirs) = open_tty().map_err(no_tty)?;
    let (stdin, stdout, stderr) = (copy(&theirs)?, copy(&theirs)?, copy(&theirs)?);
    let stdout_ours = copy(&ours)?;
    let input = listen(launch, ours, Some(theirs))?;
    // A terminal of no known type is of little use; this is what most of them understand.
    if !launch.env.iter().any(|word| word.as_encoded_bytes().starts_with(b"TERM=")) {
        env.push("TERM=xterm-256color".to_owned());
    }
    let theirs = Theirs { stdin: Some(stdin), stdout, stderr, is_tty: true, env, is_watched };
    Ok((theirs, Ours { stdout: stdout_ours, stderr: None, input: Some(input), notify }))
}

fn listen(launch: &Launch<'_>, end: OwnedFd, far: Option<OwnedFd>) -> Result<Box<Input>, Answer> {
    let path = launch.io_socket.unwrap_or(launch.instance_dir);
    let input = Input::open(path, end, far);
    input.map(Box::new).map_err(|error| failed(Stage::Home, &error, &format!("cannot listen at {}", path.display())))
}
