//! The socket of the controller, and the thread that serves it.
//!
//! In: connections. Out: questions for the loop, work for other threads, answers. Not here: what a method does.
//! The surprise: it has a thread and a runtime of its own and runs a little nicer than the loop, so a client that keeps
//! it busy takes nothing from supervision but the time the machine has left.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::error::{Error, code};
use super::feed::Feed;
use super::message::{self, Call, Item, Message};
use super::method::{self, Answer, Caller, Context, Effect, ending, taken};
use super::place::{Place, Places, Posture};
use super::wire::{Heard, LINE_MAX, PATIENCE, Wire};
use crate::cli::below::shim_above_of;
use crate::controller::request::Request;
use crate::home::Home;

/// How many methods read files or the store at the same time.
const WORKERS: usize = 4;
/// How much nicer than the loop it runs.
const NICE: i32 = 5;
/// How long clients are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A socket that is being served.
#[derive(Debug)]
pub struct Server {
    places: Arc<Places>,
    end: Arc<Notify>,
}

/// Binds the socket, replacing what a dead controller left. The caller holds the controller lock.
///
/// # Errors
/// When its folder cannot be written.
pub fn bind(path: &Path) -> io::Result<StdListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = StdListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What every connection works with.
#[derive(Clone, Debug)]
struct Shared {
    home: Home,
    asking: mpsc::Sender<Request>,
    places: Arc<Places>,
    held: Arc<AtomicUsize>,
    news: watch::Receiver<u64>,
}

impl Server {
    /// Serves a socket until this is dropped; `news` says that there are new events.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub fn start(
        home: Home,
        listener: StdListener,
        asking: mpsc::Sender<Request>,
        news: watch::Receiver<u64>,
    ) -> io::Result<Server> {
        let (places, end) = (Arc::new(Places::default()), Arc::new(Notify::new()));
        let shared = Shared { home, asking, places: places.clone(), held: Arc::default(), news };
        let ended = end.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WORKERS).build()?;
        std::thread::Builder::new().name("rpc".into()).spawn(move || {
            // On Linux this is for the thread alone, and for those it starts. Refused, it is as nice as the loop.
            _ = rustix::process::setpriority_process(None, NICE);
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, &shared) => {}
                    () = ended.notified() => {}
                }
            });
            // Whatever still reads a file must not hold the end up.
            runtime.shutdown_background();
        })?;
        Ok(Server { places, end })
    }

    /// Waits until every client has what it asked for; for a second at most.
    pub async fn farewell(&self) {
        self.places.quiet(FAREWELL).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.notify_one();
    }
}

async fn serve(listener: StdListener, shared: &Shared) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the socket cannot be served: {error}"),
    };
    let own = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            // Whoever it is, the mode of the socket has let them in: root, most likely.
            Ok((stream, _)) if stream.peer_cred().map(|peer| peer.uid()).ok() != Some(own) => drop(stream),
            Ok((stream, _)) => match shared.places.take() {
                Some(place) => {
                    let shared = shared.clone();
                    tokio::spawn(async move { attend(stream, place, shared).await });
                }
                None => turn_away(stream),
            },
            // Out of descriptors, most likely: the rest of the controller matters more.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Says that there is no room.
fn turn_away(stream: UnixStream) {
    let error =
        Error::new(code::BUSY, "the controller serves as many clients as it can\n  help: try again in a moment");
    // A fresh socket has room for a line.
    _ = stream.try_write(&message::line(&message::reply(&Value::Null, Err(error))));
}

/// Serves a client until it goes, or somebody needs its place.
async fn attend(stream: UnixStream, place: Place, shared: Shared) {
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
    let mut wire = Wire::new(stream, shared.held.clone());
    let leave = place.leave.clone();
    let mut talk = Talk { place, shared, pid: pid.unwrap_or(0), caller: None, feed: None };
    let is_sent_away = tokio::select! {
        _ = talk.run(&mut wire) => false,
        () = leave.notified() => true,
    };
    if is_sent_away {
        let why = json!({ "why": "idle for the longest time, and the place is needed" });
        wire.last_word(&message::line(&message::notification("closed", &why)));
    }
}

/// A conversation with a client.
struct Talk {
    place: Place,
    shared: Shared,
    pid: u32,
    caller: Option<Caller>,
    feed: Option<Feed>,
}

impl Talk {
    async fn run(&mut self, wire: &mut Wire) -> io::Result<()> {
        loop {
            self.rest();
            let heard = match &mut self.feed {
                None => wire.hear().await?,
                Some(feed) => tokio::select! {
                    heard = wire.hear() => heard?,
                    () = feed.wait() => {
                        if feed.send(wire).await? { continue } else { return Ok(()) }
                    }
                },
            };
            let reply = match heard {
                Heard::End => return Ok(()),
                Heard::Line(line) => self.answer(wire, &line).await,
                Heard::TooLong => {
                    let text = format!("the line is longer than {LINE_MAX} bytes");
                    Some(message::reply(&Value::Null, Err(Error::new(code::REQUEST, text))))
                }
                Heard::Half => {
                    let text = format!("the rest of the line did not come within {} s", PATIENCE.as_secs());
                    return self.close(wire, code::REQUEST, &text);
                }
                Heard::Full => return self.close(wire, code::BUSY, "too many half lines are held already"),
            };
            let Some(reply) = reply else { continue };
            self.rest();
            if !wire.say(&message::line(&reply)).await? {
                return Ok(());
            }
        }
    }

    /// It has said nothing, or does not read: another one may need this place.
    fn rest(&self) {
        let posture = if self.feed.is_some() { Posture::Subscribed } else { Posture::Idle };
        if !self.place.is(posture) {
            _ = self.place.is(Posture::Idle);
        }
    }

    fn close(&self, wire: &Wire, code: i32, text: &str) -> io::Result<()> {
        wire.last_word(&message::line(&message::reply(&Value::Null, Err(Error::new(code, text)))));
        Ok(())
    }

    /// The answer to a line, if it wants one.
    async fn answer(&mut self, wire: &mut Wire, line: &[u8]) -> Option<Value> {
        wire.count().await;
        _ = self.place.is(Posture::Served);
        match message::read(line) {
            Err(error) => Some(message::reply(&Value::Null, Err(error))),
            Ok(Message::One(item)) => self.item(item).await,
            Ok(Message::Batch(items)) => {
                let mut replies = Vec::new();
                for item in items {
                    wire.count().await;
                    replies.extend(self.item(item).await);
                }
                (!replies.is_empty()).then_some(Value::Array(replies))
            }
        }
    }

    async fn item(&mut self, item: Item) -> Option<Value> {
        match item {
            Item::Wrong { id, error } => Some(message::reply(&id, Err(error))),
            Item::Call(Call { id, method, params }) => {
                let answer = self.call(&method, params).await;
                id.map(|id| message::reply(&id, answer))
            }
        }
    }

    async fn call(&mut self, name: &str, params: Value) -> Result<Value, Error> {
        let method = method::find(name, &params)?;
        match method.answer {
            Answer::Loop(question) => {
                let ask = question(&params, &self.caller(method.effect))?;
                let (answer, answered) = oneshot::channel();
                self.shared.asking.send(Request { ask, answer }).await.map_err(|_| ending())?;
                taken(answered.await)
            }
            Answer::Here(work) => {
                let caller = self.caller(method.effect);
                let context = Context { home: self.shared.home.clone(), caller, asking: self.shared.asking.clone() };
                let done = tokio::task::spawn_blocking(move || work(&context, &params)).await;
                done.unwrap_or_else(|_| Err(Error::new(code::INTERNAL, format!("{name} broke; please report this"))))
            }
            Answer::Events(filter) => {
                let (home, news) = (self.shared.home.clone(), self.shared.news.clone());
                let feed = Feed::begin(home, filter(&params)?, news).await?;
                if !self.place.is(Posture::Subscribed) {
                    return Err(Error::new(
                        code::BUSY,
                        "as many have subscribed as there may be\n  help: ask for events.list",
                    ));
                }
                let answer = feed.answer();
                self.feed = Some(feed);
                Ok(answer)
            }
        }
    }

    /// Who calls. Only for what changes something is it worth a look at the process table.
    fn caller(&mut self, effect: Effect) -> Caller {
        if effect == Effect::Read {
            return Caller { pid: self.pid, ..Caller::default() };
        }
        let pid = self.pid;
        let caller = self.caller.get_or_insert_with(|| Caller {
            user: crate::desired::principal(),
            pid,
            inside: shim_above_of(pid),
        });
        caller.clone()
    }
}
