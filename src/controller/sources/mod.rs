//! Listens where messages come from beside senders: folders that files are put into, services that are asked.
//!
//! In: the sources of all mailboxes. Out: letters for the loop, in bounded batches. Not here: the queue, and what a
//! message is for.
//! The surprise: each source has a thread of its own, which waits until the disk has what it handed over before it goes
//! on. So a storm of files waits in its folder, not in memory, and a disk or a service that hangs keeps nobody waiting.

mod aside;
mod files;
mod folder;
mod memory;
mod poll;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::books::Asker;
use super::core::Core;
use super::folders::Note;
use super::queues::PostWish;
use crate::engine::ObjectRef;
use crate::engine::desired::Spec;
use crate::engine::queue::{Poll, Source};
use crate::engine::run::Part;
use crate::home::Home;
use crate::mailbox::Letter;

/// Letters that a source hands over at once, at most.
pub const BATCH_MAX: usize = 100;

/// What letters of a batch say together, in bytes, unless one alone is larger.
const BATCH_BYTES: usize = 8 << 20;

/// The sources that are listened to, each with its mailbox.
pub type Sources = Vec<(ObjectRef, Source)>;

/// What a source tells the loop.
#[derive(Debug)]
pub enum News {
    /// Take these in; each asker hears what came of it.
    Letters(Vec<(Letter, Asker)>),
    /// Something happened that people may want to know.
    Happened {
        /// To the source of which mailbox.
        object: ObjectRef,
        /// What, like `source-failed`.
        kind: &'static str,
        /// In words.
        text: String,
    },
}

/// All sources, each with its thread.
#[derive(Debug)]
pub struct Worker {
    home: Home,
    notes: UnboundedSender<Note>,
    folders: BTreeMap<(ObjectRef, Arc<str>), folder::Listener>,
    polls: BTreeMap<(ObjectRef, String), poll::Listener>,
}

impl Worker {
    /// Listens to nothing yet.
    #[must_use]
    pub fn new(home: Home, notes: UnboundedSender<Note>) -> Worker {
        Worker { home, notes, folders: BTreeMap::new(), polls: BTreeMap::new() }
    }

    /// Listens to these, and to nothing else any more.
    pub fn follow(&mut self, sources: Sources) {
        let mut before = std::mem::take(&mut self.folders);
        let mut asked = std::mem::take(&mut self.polls);
        for (object, source) in sources {
            let door = Door { object: object.clone(), notes: self.notes.clone() };
            match source {
                Source::Folder(path) => {
                    let listener = before.remove(&(object.clone(), path.clone()));
                    let listener = listener.map_or_else(|| folder::Listener::start(door, &path), Ok);
                    if let Some(listener) = self.started(&object, listener) {
                        self.folders.insert((object, path), listener);
                    }
                }
                Source::Poll(poll) => {
                    let name = poll_name(&object, &poll);
                    let key = (object, name);
                    // Two threads for one service would ask it twice.
                    let listener = asked.remove(&key).filter(|listener| listener.is_for(&poll));
                    let start = || poll::Listener::start(door, &self.home, &key.1, poll);
                    let listener = listener.map_or_else(start, Ok);
                    if let Some(listener) = self.started(&key.0, listener) {
                        self.polls.insert(key, listener);
                    }
                }
            }
        }
        // Those that are left stop listening as they go out of scope.
    }

    fn started<T>(&self, object: &ObjectRef, listener: io::Result<T>) -> Option<T> {
        let failed = |error: io::Error| {
            let text =
                format!("a source of {object} has no thread: {error}; the next change of a manifest tries again");
            _ = self.notes.send(Note::Problem(text));
        };
        listener.map_err(failed).ok()
    }

    /// Has everything looked at again.
    pub fn look(&self) {
        self.folders.values().for_each(folder::Listener::look);
        self.polls.values().for_each(poll::Listener::look);
    }
}

/// What tells one service of a mailbox from another, as the name of a file: what it is asked. Its headers may change, as
/// may how often it is asked.
fn poll_name(object: &ObjectRef, poll: &Poll) -> String {
    let asked = ["url", "method", "body"].map(|field| poll.ask.orders.pointer(&format!("/http/{field}")));
    let hash = Sha256::digest(format!("{object} {}", serde_json::json!(asked)));
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hex}", object.name())
}

/// The way of one source to the loop.
#[derive(Clone, Debug)]
struct Door {
    object: ObjectRef,
    notes: UnboundedSender<Note>,
}

/// The loop has ended, and with it all sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed;

impl Door {
    /// Hands letters over and waits until the disk has each of them, or it is said why not.
    fn send(&self, letters: Vec<Letter>) -> Result<Vec<Result<Value, String>>, Closed> {
        let (asked, heard): (Vec<_>, Vec<_>) = letters
            .into_iter()
            .map(|letter| {
                let (asker, answer) = oneshot::channel();
                ((letter, asker), answer)
            })
            .unzip();
        self.notes.send(Note::Source(News::Letters(asked))).map_err(|_| Closed)?;
        let said = |refused: Value| {
            let text = refused.get("error").and_then(Value::as_str).unwrap_or("it was refused");
            text.lines().next().unwrap_or_default().to_owned()
        };
        heard.into_iter().map(|answer| Ok(answer.blocking_recv().map_err(|_| Closed)?.map_err(said))).collect()
    }

    fn tell(&self, kind: &'static str, text: String) {
        // A loop that has ended wants no news.
        _ = self.notes.send(Note::Source(News::Happened { object: self.object.clone(), kind, text }));
    }
}

/// Trouble of a source: told when it begins and when it is over, not each time.
#[derive(Debug, Default)]
struct Streak {
    length: u32,
}

impl Streak {
    /// One more failure; told when it is the first.
    fn fail(&mut self, door: &Door, why: &str) {
        if self.length == 0 {
            door.tell("source-failed", why.to_owned());
        }
        self.length = self.length.saturating_add(1);
    }

    /// It went well; told when it had not.
    fn mend(&mut self, door: &Door, what: &str) {
        if std::mem::take(&mut self.length) > 0 {
            door.tell("source-recovered", format!("{what} is listened to again"));
        }
    }
}

impl Core {
    /// Where messages come from, beside those who send them.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let of = |(id, object): (&ObjectRef, &Arc<crate::engine::Object>)| {
            let Spec::Known(kind) = &object.spec else { return Vec::new() };
            match kind.part() {
                Part::Mailbox(mailbox) => mailbox.sources.iter().map(|source| (id.clone(), source.clone())).collect(),
                Part::None
                | Part::Capability(_)
                | Part::Workflow(_)
                | Part::Quiet(_)
                | Part::Settings(_)
                | Part::Trigger(_) => Vec::new(),
            }
        };
        self.desired.objects.iter().flat_map(of).collect()
    }

    /// Takes in what a source tells.
    pub fn hear_source(&mut self, news: News) {
        match news {
            News::Letters(letters) => {
                for (letter, asker) in letters {
                    let by = letter.sender.clone();
                    self.post(PostWish::Send(Box::new(letter)), &by, asker);
                }
            }
            News::Happened { object, kind, text } => {
                tracing::warn!(object = %object, "{text}");
                let data = serde_json::json!({ "object": object.as_str() });
                self.tell_event(object.as_str(), kind, text, &data);
            }
        }
    }
}
