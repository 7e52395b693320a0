//! Fetches what a reference stands for: the text of a file, or what a command prints.
//!
//! In: a path or a command. Out: a value, or why there is none. Not here: which variable it is for.
//! The surprise: whatever comes back may be a secret, so no error ever holds a part of it, nor of what the command
//! wrote to standard error; and a command that hangs is ended with its whole process group, or with the controller.

#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::engine::time::Span;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

/// The longest value, in bytes.
pub const VALUE_MAX: usize = 64 << 10;

/// How long a command may take.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(10);

/// What a command for a value may cost.
pub const OF_VALUE: Bounds = Bounds { within: COMMAND_WITHIN, bytes: VALUE_MAX };

/// All of a regular file, at most `max` bytes.
///
/// # Errors
/// In words: it cannot be read, is no regular file, or is too long.
pub fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    // Without waiting: a pipe has no writer, and its start would hang for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| words(&error))?;
    if !file.metadata().map_err(|error| words(&error))?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a longer one is noticed.
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|error| words(&error))?;
    if bytes.len() > max { Err(format!("is longer than {} KiB", max >> 10)) } else { Ok(bytes) }
}

/// The system's words alone, as everywhere else.
fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), crate::record::words_of)
}

/// A value as a program is given it: one newline at the end is no part of it.
///
/// # Errors
/// When it contains NUL.
pub fn value(mut bytes: Vec<u8>) -> Result<OsString, String> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.contains(&0) {
        return Err("contains a NUL byte, which no program can be given".to_owned());
    }
    Ok(OsString::from_vec(bytes))
}

/// What a command may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long it may take.
    pub within: Duration,
    /// How many bytes it may print.
    pub bytes: usize,
}

/// What a command prints. Nothing of it is left when this returns.
///
/// # Errors
/// In words: it cannot be executed, fails, prints too much, or takes too long.
pub fn output(argv: &[String], dir: &Path, Bounds { within, bytes: max }: Bounds) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + within;
    let (program, arguments) = argv.split_first().ok_or("names no program")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| super::environment::is_private(name)) {
        command.env_remove(name);
    }
    end_with_us(&mut command);
    let mut child = command.spawn().map_err(|error| words(&error))?;
    let read = listen(&mut child, deadline, max);
    // It has not been waited for, so its number is still the number of its group.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|error| words(&error))?;
    let bytes = read.map_err(|unheard| match unheard {
        Unheard::Late => format!("takes longer than {}", Span(within)),
        Unheard::TooMuch => format!("prints more than {} KiB", max >> 10),
        Unheard::System(error) => words(&error),
    })?;
    if status.success() { Ok(bytes) } else { Err(failure(status)) }
}

/// Nobody would end a command that hangs after a controller that was killed. The signal comes when the thread ends that
/// starts it, which is this one, and it waits for the command.
fn end_with_us(command: &mut Command) {
    // SAFETY: between fork and exec only `prctl` is called, which is safe there.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

fn failure(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

/// Why a command was not heard out.
enum Unheard {
    Late,
    TooMuch,
    System(io::Error),
}

impl From<rustix::io::Errno> for Unheard {
    fn from(errno: rustix::io::Errno) -> Unheard {
        Unheard::System(errno.into())
    }
}

/// Reads until the command has ended; a descendant of it that keeps the pipe open is not waited for.
fn listen(child: &mut Child, deadline: Instant, max: usize) -> Result<Vec<u8>, Unheard> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut pipe = child.stdout.take();
    if let Some(pipe) = &pipe {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let has_ended = wait(pidfd.as_fd(), pipe.as_ref().map(AsFd::as_fd), left)?;
        if let Some(open) = &mut pipe
            && drain(open, &mut bytes, max)?
        {
            pipe = None;
        }
        if has_ended {
            return Ok(bytes);
        }
        if left.is_zero() {
            return Err(Unheard::Late);
        }
    }
}

/// Waits for the end of the process, or for output. True when it has ended.
fn wait(pidfd: BorrowedFd<'_>, pipe: Option<BorrowedFd<'_>>, left: Duration) -> Result<bool, Unheard> {
    let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    let mut fds = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    fds.extend(pipe.map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) => Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes what is there. True when there will be no more.
fn drain(pipe: &mut impl Read, bytes: &mut Vec<u8>, max: usize) -> Result<bool, Unheard> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => bytes.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unheard::System(error)),
        }
        if bytes.len() > max {
            return Err(Unheard::TooMuch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, millis: u64) -> Result<OsString, String> {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned);
        let bounds = Bounds { within: Duration::from_millis(millis), bytes: VALUE_MAX };
        output(&argv, Path::new("/"), bounds).and_then(value)
    }

    #[test]
    fn a_command_is_heard_out_or_not() {
        let long = "head -c 200000 /dev/zero";
        let table: &[(&str, u64, Result<&str, &str>)] = &[
            ("echo hunter2", 10_000, Ok("hunter2")),
            ("printf 'a\\n\\n'; echo hunter2 >&2", 10_000, Ok("a\n")),
            ("true", 10_000, Ok("")),
            ("pwd; cat", 10_000, Ok("/")),
            // What it leaves behind holds the pipe open, and nobody waits for it.
            ("sleep 1 & echo quick", 10_000, Ok("quick")),
            ("echo hunter2; echo hunter2 >&2; exit 3", 10_000, Err("exited with 3")),
            ("kill -9 $$", 10_000, Err("was ended by signal 9")),
            (long, 10_000, Err("prints more than 64 KiB")),
            ("printf 'a\\0b'", 10_000, Err("contains a NUL byte, which no program can be given")),
            ("echo hunter2; sleep 1000 & wait", 1000, Err("takes longer than 1s")),
        ];
        for (text, millis, expected) in table {
            let expected = expected.map(OsString::from).map_err(str::to_owned);
            assert_eq!(line(text, *millis), expected, "{text}");
        }
        let missing = output(&["/no/such/program".to_owned()], Path::new("/"), OF_VALUE);
        assert_eq!(missing, Err("No such file or directory".to_owned()));
    }

    #[test]
    fn a_command_that_hangs_goes_with_all_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        let text = format!("sleep 1000 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
        assert!(line(&text, 500).is_err());
        let all = std::fs::read_to_string(pids).expect("it ran");
        let is_gone = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
        };
        let begun = Instant::now();
        while !all.lines().all(is_gone) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{all} still run");
            std::thread::yield_now();
        }
        assert_eq!(all.lines().count(), 2);
    }

    #[test]
    fn a_file_is_read_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let whole = |name: &str| read_file(&path(name), VALUE_MAX).and_then(value);
        for (name, bytes) in [("unix", &b"a b\n"[..]), ("dos", b"a b\r\n"), ("bare", b"a b"), ("two", b"a b\n\n")] {
            std::fs::write(path(name), bytes).expect("a file");
            let expected = if name == "two" { "a b\n" } else { "a b" };
            assert_eq!(whole(name), Ok(OsString::from(expected)), "{name}");
        }
        std::fs::write(path("nul"), b"hunter2\0").expect("a file");
        std::fs::write(path("long"), vec![b'x'; VALUE_MAX + 1]).expect("a file");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .expect("a pipe");
        let table = [
            ("none", "No such file or directory"),
            (".", "is no regular file"),
            ("pipe", "is no regular file"),
            ("long", "is longer than 64 KiB"),
            ("nul", "contains a NUL byte, which no program can be given"),
        ];
        for (name, words) in table {
            assert_eq!(whole(name), Err(words.to_owned()), "{name}");
        }
    }
}
