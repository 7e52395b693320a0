//! An MCP server that is started for one call and spoken to over its standard streams, one message a line.
//!
//! In: an argument list. Out: a [`Way`]. Not here: ending what it may leave behind; the shim above ends the whole tree.
//! The surprise: a thread reads what it prints, so that neither side waits for the other with a full pipe; its
//! environment is ours, markers included, since it is part of the same supervised tree.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::{Heard, MESSAGE_MAX, Reply, WHOLE, Way, hear, notification, request};
use crate::call::{Failure, say};

/// How long it may take to go when its input has ended.
const FAREWELL: Duration = Duration::from_secs(2);
/// How many messages may wait to be heard.
const WAITING_MAX: usize = 16;

/// A server below us.
pub struct Pipe {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Line>,
    program: String,
    until: Instant,
    last: u64,
}

/// What came out of it.
enum Line {
    Message(Value),
    TooLong,
}

impl Pipe {
    /// Starts the server.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn open(argv: &[String]) -> Result<Pipe, Failure> {
        let (program, words) = argv.split_first().ok_or_else(|| Failure::failed("the MCP server has no name"))?;
        // The first word alone: the others may hold what nobody else should read.
        let no_start = |error: &std::io::Error| {
            let words = error.to_string();
            let words = words.split(" (os error").next().unwrap_or(&words);
            Failure::failed(format!("the MCP server `{program}` cannot be started: {words}"))
        };
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| no_start(&error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(no_start(&ErrorKind::BrokenPipe.into()));
        };
        let (sender, lines) = sync_channel(WAITING_MAX);
        let reader = std::thread::Builder::new().spawn(move || read(stdout, &sender));
        reader.map_err(|error| no_start(&error))?;
        Ok(Pipe { child, stdin, lines, program: program.clone(), until: Instant::now() + WHOLE, last: 0 })
    }

    fn send(&mut self, message: &Value) -> Result<(), Failure> {
        let mut line = message.to_string();
        line.push('\n');
        match self.stdin.write_all(line.as_bytes()).and_then(|()| self.stdin.flush()) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone()),
        }
    }

    /// It ended, or will not be heard any more.
    fn gone(&mut self) -> Failure {
        let program = &self.program;
        let end = if wait(&self.child) { self.child.try_wait().ok().flatten() } else { None };
        Failure::failed(match end {
            Some(status) => format!("the MCP server `{program}` ended ({status}) before it had answered; see its log"),
            None => format!("the MCP server `{program}` closed its output before it had answered"),
        })
    }
}

impl Way for Pipe {
    fn request(&mut self, method: &'static str, params: Value) -> Result<Reply, Failure> {
        self.last += 1;
        self.send(&request(self.last, method, &params))?;
        loop {
            match self.lines.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
                Ok(Line::Message(message)) => match hear(&message, self.last) {
                    Heard::Reply(reply) => return Ok(reply),
                    Heard::Asked(answer) => self.send(&answer)?,
                    Heard::Other => {}
                },
                Ok(Line::TooLong) => {
                    let program = &self.program;
                    return Err(Failure::failed(format!("the MCP server `{program}` sent a message over 8 MiB")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
                Err(RecvTimeoutError::Timeout) => {
                    let program = &self.program;
                    let text = format!("the MCP server `{program}` took longer than an hour over `{method}`");
                    return Err(Failure::failed(text));
                }
            }
        }
    }

    fn notify(&mut self, method: &'static str) -> Result<(), Failure> {
        self.send(&notification(method))
    }

    fn agree(&mut self, _: &str) {}

    fn close(self: Box<Self>) {
        let Pipe { mut child, stdin, lines, .. } = *self;
        drop(stdin);
        // Whoever reads for us must not wait for room meanwhile.
        drop(lines);
        if !wait(&child) {
            // The shim ends whatever is left of it.
            _ = child.kill();
        }
        _ = child.wait();
    }
}

/// Waits until a child has ended; false when it has not in time.
fn wait(child: &Child) -> bool {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // It is not reaped before this returns, so the pid is its own.
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return false };
    let until = Instant::now() + FAREWELL;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let nanos = i64::from(left.subsec_nanos());
        let left = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: nanos };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(ended) => return ended > 0,
            Err(_) => return false,
        }
    }
}

/// Reads messages until nobody wants them or there are no more. What is no message is shown.
fn read(stdout: ChildStdout, sender: &SyncSender<Line>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdout.by_ref().take(MESSAGE_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(length) if length > MESSAGE_MAX => {
                _ = sender.send(Line::TooLong);
                return;
            }
            Ok(_) => {}
        }
        let Ok(message) = serde_json::from_slice(&line) else {
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                say(&format!("server: {text}"));
            }
            continue;
        };
        let messages = match message {
            Value::Array(messages) => messages,
            message => vec![message],
        };
        for message in messages {
            if sender.send(Line::Message(message)).is_err() {
                // Read on, so that a server that still prints does not wait for us.
                _ = std::io::copy(&mut stdout, &mut std::io::sink());
                return;
            }
        }
    }
}
