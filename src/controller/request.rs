//! What other processes ask of a controller, over its socket.
//!
//! In: JSON-RPC 2.0, one request a line. Out: requests for the loop, and its answers. Not here: doing them.
//! The surprise: a client is served by its own task with a deadline, so one that never reads delays nobody.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::runs::Wish;
use crate::engine::{InstanceId, ObjectRef};

/// The longest request, in bytes.
pub const LINE_MAX: u64 = 64 << 10;

/// How many clients are served at once.
const CLIENTS_MAX: usize = 64;

/// How long a client may take for one request or to read its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request, with where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Value>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Are you there?
    Ping,
    /// What is your state?
    Status,
    /// What do your probes say?
    Health,
    /// What are instances made for?
    Items,
    /// Begin, end or retry a run.
    Run {
        /// What is wished.
        wish: Wish,
        /// Who wishes it.
        by: String,
    },
    /// Read the desired state and the folders again.
    Reload,
    /// End; with `all`, stop everything first.
    Stop {
        /// Stop every service first.
        all: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Call {
    id: Option<Value>,
    method: String,
    #[serde(default)]
    params: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    jsonrpc: String,
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// Binds the socket, replacing what a dead controller left. The caller holds the controller lock.
///
/// # Errors
/// When its folder cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Room for clients, shared by the server and by whoever waits for them to be served.
#[must_use]
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CLIENTS_MAX))
}

/// Waits until every client has what it asked for and has gone; for a second at most.
pub async fn farewell(places: &Semaphore) {
    // The server holds one itself, for the next client.
    let all = places.acquire_many(u32::try_from(CLIENTS_MAX - 1).unwrap_or(u32::MAX));
    // A client that stays connected and asks nothing is not waited for.
    _ = tokio::time::timeout(Duration::from_secs(1), all).await;
}

/// Serves clients for ever.
pub async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    _ = converse(stream, requests).await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: the rest of the controller matters more.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn converse(stream: UnixStream, requests: mpsc::Sender<Request>) -> io::Result<()> {
    let is_ours = stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut lines).take(LINE_MAX);
        let length = tokio::time::timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Ok(());
        }
        let reply = answer(&line, &requests).await;
        let is_whole = line.ends_with(b"\n");
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        tokio::time::timeout(PATIENCE, write.write_all(&text)).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

async fn answer(line: &[u8], requests: &mpsc::Sender<Request>) -> Reply {
    let call: Call = match serde_json::from_slice(line) {
        Ok(call) => call,
        Err(error) => return refused(Value::Null, -32700, &format!("this is no JSON-RPC request: {error}")),
    };
    let id = call.id.unwrap_or(Value::Null);
    let ask = match call.method.as_str() {
        "ping" => Ask::Ping,
        "controller.status" => Ask::Status,
        "controller.health" => Ask::Health,
        "controller.items" => Ask::Items,
        "runs.start" | "runs.cancel" | "runs.retry" => match wish(&call.method, &call.params) {
            Ok((wish, by)) => Ask::Run { wish, by },
            Err(why) => return refused(id, -32602, &why),
        },
        "controller.reload" => Ask::Reload,
        "controller.stop" => Ask::Stop { all: call.params.get("all").and_then(Value::as_bool).unwrap_or(false) },
        other => return refused(id, -32601, &format!("there is no method `{other}`")),
    };
    let (answer, answered) = oneshot::channel();
    if requests.send(Request { ask, answer }).await.is_err() {
        return refused(id, -32000, "the controller is ending");
    }
    match answered.await {
        Ok(result) => Reply { jsonrpc: "2.0".to_owned(), id, result: Some(result), error: None },
        Err(_) => refused(id, -32000, "the controller is ending"),
    }
}

/// Reads what is asked of a run, and by whom.
fn wish(method: &str, params: &Value) -> Result<(Wish, String), String> {
    let text = |name: &str| params.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing"));
    let object = || -> Result<ObjectRef, String> { text("object")?.parse().map_err(|e| format!("`object`: {e}")) };
    let id = || -> Result<InstanceId, String> {
        let cause = text("run")?.parse().map_err(|e| format!("`run`: {e}"))?;
        Ok(InstanceId { object: object()?, cause })
    };
    let wish = match method {
        "runs.cancel" => Wish::Cancel(id()?),
        "runs.retry" => Wish::Retry(id()?),
        _ => {
            let params = params.get("params").cloned().unwrap_or_else(|| json!({}));
            Wish::Start { object: object()?, params }
        }
    };
    Ok((wish, params.get("by").and_then(Value::as_str).unwrap_or("somebody").to_owned()))
}

fn refused(id: Value, code: i32, message: &str) -> Reply {
    let error = json!({ "code": code, "message": message });
    Reply { jsonrpc: "2.0".to_owned(), id, result: None, error: Some(error) }
}

/// Asks the controller behind `socket`. `Ok(None)` when there is none, or it died before it answered.
///
/// # Errors
/// When there is one and it does not answer within `patience`, or answers with an error.
pub fn ask(socket: &Path, method: &str, params: &Value, patience: Option<Duration>) -> io::Result<Option<Value>> {
    let Some(stream) = connect(socket, patience)? else { return Ok(None) };
    match exchange(&stream, method, params) {
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
    let Some(stream) = connect(socket, patience)? else { return Ok(Ended::Nobody) };
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.pid;
    // Pinned before the question: none to be had means that it is gone already.
    let pinned = rustix::process::pidfd_open(peer, rustix::process::PidfdFlags::empty());
    let answer = exchange(&stream, "controller.stop", &json!({ "all": is_all }));
    // It waits for its clients to go.
    drop(stream);
    let ended = match answer {
        Ok(answer) => Ended::AsAsked {
            left: answer.get("left").and_then(|names| Vec::deserialize(names).ok()).unwrap_or_default(),
        },
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

fn connect(socket: &Path, patience: Option<Duration>) -> io::Result<Option<StdStream>> {
    let stream = match StdStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    Ok(Some(stream))
}

fn exchange(stream: &StdStream, method: &str, params: &Value) -> io::Result<Value> {
    use std::io::{BufRead, Write};
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut writer = stream;
    writer.write_all(format!("{call}\n").as_bytes())?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line)?;
    let reply: Reply = serde_json::from_str(&line).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    match (reply.result, reply.error) {
        (Some(result), _) => Ok(result),
        (None, error) => {
            let text = error.and_then(|e| e.get("message").and_then(Value::as_str).map(str::to_owned));
            Err(io::Error::other(text.unwrap_or_else(|| "it answered with nothing".to_owned())))
        }
    }
}

/// True when the other side went away with the question in its queue.
fn is_dying(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Where the socket of a home is.
///
/// # Errors
/// When there is no short enough place for one.
pub fn socket(home: &crate::home::Home) -> Result<PathBuf, crate::home::HomeError> {
    home.socket()
}
