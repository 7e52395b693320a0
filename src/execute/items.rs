//! Runs a command for its lines.
//!
//! In: an argument list, a folder, a time. Out: what it printed. Not here: what the lines mean.
//! The surprise: nothing of it is left when this returns. It has a process group of its own, which is killed whole,
//! also when it ended well; and it is killed with this program.

#![allow(unsafe_code)]

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal};

use super::environment;

/// The most output that is taken.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How much is said of what it complained about.
const COMPLAINT_MAX: usize = 200;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The argument list.
    pub argv: &'a [String],
    /// The folder it runs in.
    pub dir: &'a str,
    /// How long it may take.
    pub timeout: Duration,
}

/// Runs a command to its end; what it printed.
///
/// # Errors
/// In words, when it does not end well and in time.
pub fn output(order: &Order<'_>) -> Result<Vec<u8>, String> {
    let program = order.argv.first().map_or("", String::as_str);
    let failed = |error: io::Error| format!("{program} cannot be run: {error}");
    let mut command = Command::new(program);
    command.args(order.argv.iter().skip(1)).current_dir(order.dir).env_clear().envs(environment::own_base());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: between fork and exec only `prctl` is called, which is safe there.
    unsafe {
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into));
    }
    let mut child = command.spawn().map_err(failed)?;
    let mut taken = Taken::default();
    let ended = listen(&mut child, order.timeout, &mut taken);
    // Before it is reaped, so that the number of its group is nobody else's.
    _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait().map_err(failed)?;
    match ended {
        Err(error) => Err(failed(error)),
        Ok(Ended::TooLate) => Err(format!("{program} did not end within {:?}", order.timeout)),
        Ok(Ended::TooMuch) => Err(format!("{program} printed more than {OUTPUT_BYTES_MAX} bytes")),
        Ok(Ended::ByItself) if status.success() => Ok(taken.output),
        Ok(Ended::ByItself) => {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or(0)),
            };
            Err(format!("{program} failed ({how}){}", taken.complaint()))
        }
    }
}

/// How it came to an end.
enum Ended {
    ByItself,
    TooLate,
    TooMuch,
}

#[derive(Default)]
struct Taken {
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Taken {
    /// The last line it complained with.
    fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.errors);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let plain: String = last.chars().filter(|c| !c.is_control()).take(COMPLAINT_MAX).collect();
        if plain.is_empty() { plain } else { format!(": {plain}") }
    }
}

/// Reads until it ends, its time is over, or it is too much.
fn listen(child: &mut Child, timeout: Duration, taken: &mut Taken) -> io::Result<Ended> {
    let deadline = Instant::now() + timeout;
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    rustix::io::ioctl_fionbio(&out, true)?;
    rustix::io::ioctl_fionbio(&err, true)?;
    let (mut is_out, mut is_err) = (true, true);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ended::TooLate);
        }
        let wait = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        fds.extend(is_out.then(|| PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN)));
        fds.extend(is_err.then(|| PollFd::from_borrowed_fd(err.as_fd(), PollFlags::IN)));
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_ended = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        is_out = is_out && read_some(&mut out, &mut taken.output, OUTPUT_BYTES_MAX + 1)?;
        is_err = is_err && read_some(&mut err, &mut taken.errors, usize::MAX)?;
        // What it complains about is told by its end.
        let surplus = taken.errors.len().saturating_sub(4096);
        taken.errors.drain(..surplus);
        if taken.output.len() > OUTPUT_BYTES_MAX {
            return Ok(Ended::TooMuch);
        }
        if has_ended {
            return Ok(Ended::ByItself);
        }
    }
}

/// Takes what is there, up to 64 KiB at a time beyond which the bound is looked at. False at the end.
fn read_some(from: &mut impl Read, into: &mut Vec<u8>, bytes_max: usize) -> io::Result<bool> {
    let mut piece = [0; 4096];
    for _ in 0..16 {
        if into.len() >= bytes_max {
            return Ok(true);
        }
        match from.read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(length) => into.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, millis: u64) -> Result<String, String> {
        let argv = ["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
        let order = Order { argv: &argv, dir: "/", timeout: Duration::from_millis(millis) };
        output(&order).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn a_command_is_taken_at_its_word_only_when_it_ends_well() {
        assert_eq!(run("echo a; echo b", 10_000), Ok("a\nb\n".to_owned()));
        let hundred = (0..20_000).map(|n| format!("{n}\n")).collect::<String>();
        assert_eq!(run("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done", 60_000), Ok(hundred));
        for (line, millis, why) in [
            ("echo a; echo oh no >&2; exit 3", 10_000, "failed (exit 3): oh no"),
            ("kill -9 $$", 10_000, "failed (signal 9)"),
            ("echo a; sleep 1000", 100, "did not end within 100ms"),
            ("yes", 10_000, "printed more than"),
            ("while :; do echo x >&2; done", 100, "did not end within"),
        ] {
            assert!(run(line, millis).is_err_and(|said| said.contains(why)), "{line}: {:?}", run(line, millis));
        }
        let nothing = ["/no/such/program".to_owned()];
        let order = Order { argv: &nothing, dir: "/", timeout: Duration::from_secs(10) };
        assert!(output(&order).is_err_and(|said| said.contains("cannot be run")));
    }

    #[test]
    fn what_a_command_leaves_behind_is_ended_with_it() {
        let said = run("sleep 1000 & echo $!", 10_000).expect("it ends at once");
        let left = format!("/proc/{}/stat", said.trim());
        let is_over = || std::fs::read_to_string(&left).map_or(true, |stat| stat.contains(") Z "));
        let begun = Instant::now();
        while !is_over() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it lives on");
            std::thread::yield_now();
        }
    }
}
