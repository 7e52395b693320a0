//! The other end of the socket, for verbs.
//!
//! In: a method and its parameters. Out: the answer, or that nobody answers. Not here: what is made of it.
//! The surprise: no controller, and one that died with the question in its queue, are the same: nobody has done it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;

#[derive(Debug, Deserialize)]
struct Reply {
    result: Option<Value>,
    error: Option<Value>,
}

/// Asks the controller behind `socket`. `Ok(None)` when there is none, or it died before it answered.
///
/// # Errors
/// When there is one and it does not answer within `patience`, or answers with an error.
pub fn ask(socket: &Path, method: &str, params: &Value, patience: Option<Duration>) -> io::Result<Option<Value>> {
    match call(socket, method, params, patience)? {
        None => Ok(None),
        Some(Ok(result)) => Ok(Some(result)),
        Some(Err(error)) => Err(io::Error::other(error.message)),
    }
}

/// The same, with an error as it was answered.
///
/// # Errors
/// When there is one and it does not answer within `patience`.
pub fn call(
    socket: &Path,
    method: &str,
    params: &Value,
    patience: Option<Duration>,
) -> io::Result<Option<Result<Value, Error>>> {
    let Some(mut line) = Line::connect(socket, patience)? else { return Ok(None) };
    match line.call(method, params) {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_dying(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What came of asking a controller to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did what it was asked for, and is gone.
    AsAsked {
        /// What is not stopped, or not known to be, each with the reason.
        left: Vec<String>,
    },
    /// It went before it answered.
    Unanswered,
    /// It was on its way out and never read the question.
    Unheard,
    /// None ran.
    Nobody,
}

/// How long a controller may take from its last answer to its end.
const LAST_STEPS: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };

/// Asks the controller behind `socket` to end, and waits until that very process has gone; its lock is free then.
///
/// # Errors
/// When it does not answer within `patience`, or answers with an error.
pub fn stop(socket: &Path, is_all: bool, patience: Option<Duration>) -> io::Result<Ended> {
    use rustix::event::{PollFd, PollFlags, poll};
    let Some(mut line) = Line::connect(socket, patience)? else { return Ok(Ended::Nobody) };
    let peer = rustix::net::sockopt::socket_peercred(line.reader.get_ref())?.pid;
    // Pinned before the question: none to be had means that it is gone already.
    let pinned = rustix::process::pidfd_open(peer, rustix::process::PidfdFlags::empty());
    let answer = line.call("controller.stop", &json!({ "all": is_all }));
    // It waits for its clients to go.
    drop(line);
    let ended = match answer {
        Ok(Ok(answer)) => Ended::AsAsked {
            left: answer.get("left").and_then(|names| Vec::deserialize(names).ok()).unwrap_or_default(),
        },
        Ok(Err(error)) => return Err(io::Error::other(error.message)),
        // The kernel resets a connection whose bytes nobody has read.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ended::Unheard,
        Err(error) if is_dying(&error) => Ended::Unanswered,
        Err(error) => return Err(error),
    };
    if let Ok(pinned) = pinned {
        poll(&mut [PollFd::new(&pinned, PollFlags::IN)], Some(&LAST_STEPS))?;
    }
    Ok(ended)
}

/// A connection to a controller.
#[derive(Debug)]
pub struct Line {
    reader: BufReader<UnixStream>,
}

impl Line {
    /// Connects. None when no controller is there.
    ///
    /// # Errors
    /// When one is there and cannot be reached.
    pub fn connect(socket: &Path, patience: Option<Duration>) -> io::Result<Option<Line>> {
        let stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        Ok(Some(Line { reader: BufReader::new(stream) }))
    }

    /// Calls a method, and waits for its answer.
    ///
    /// # Errors
    /// When none comes.
    pub fn call(&mut self, method: &str, params: &Value) -> io::Result<Result<Value, Error>> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.reader.get_mut().write_all(format!("{call}\n").as_bytes())?;
        loop {
            let line = self.read()?;
            match line.get("method").and_then(Value::as_str) {
                // It was sent away before the question was read.
                Some("closed") => return Err(io::Error::other("it has too many clients; try again")),
                Some(_) => continue,
                None => {}
            }
            let reply = Reply::deserialize(line).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            return Ok(match (reply.result, reply.error) {
                (_, Some(error)) => Err(Error::of_json(&error)),
                (result, None) => Ok(result.unwrap_or_default()),
            });
        }
    }

    /// The next message, such as an event.
    ///
    /// # Errors
    /// When the connection is over, or none comes in time.
    pub fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}

/// True when the other side went away with the question in its queue.
#[must_use]
pub fn is_dying(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
