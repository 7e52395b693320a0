//! Where messages meet the controller: claims, returns, and what senders and people ask of a queue.
//!
//! In: claims and returns of a plan, letters, answers of the store. Out: entries of the books, messages at work.
//! Not here: which message is next (the store), what it is for (`engine::queue`).
//! The surprise: nothing of a queue is kept in memory but the messages that are at work and whether there are others.

use std::io;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::books::{Asker, Books, Entry, News, Pending};
use super::core::Core;
use super::rows::note_step;
use crate::engine::desired::Spec;
use crate::engine::plan::{Claim, Finish, MessageFate, Return};
use crate::engine::queue::{Limit, Message, Queue, QueueRule, message};
use crate::engine::run::{Book, Ledger, Origin, Part, Run};
use crate::engine::{Cause, InstanceId, Now, ObjectRef, Timestamp};
use crate::execute::tail;
use crate::mailbox::{Letter, shape};
use crate::store::{
    self, Claimed, DeadLetter, DeadWish, Given, MessageEnd, MessageRow, MessageState, QueueRow, Reply, ResultSource,
    Write,
};

/// What is on its way to a queue, or out of it.
#[derive(Debug)]
pub(super) enum Post {
    Claim { cause: Cause, uid: Arc<str> },
    Return { cause: Cause, due: Timestamp },
    Enqueue,
    Withdraw { id: Arc<str> },
    Dead { id: Arc<str>, wish: DeadWish },
}

impl Post {
    /// What is left alone until the store has answered.
    pub(super) fn cause(&self) -> Option<&Cause> {
        match self {
            Post::Claim { cause, .. } | Post::Return { cause, .. } => Some(cause),
            Post::Enqueue | Post::Withdraw { .. } | Post::Dead { .. } => None,
        }
    }
}

/// What is asked of a queue.
#[derive(Clone, Debug, PartialEq)]
pub enum PostWish {
    /// Take this in.
    Send(Box<Letter>),
    /// End this message.
    Cancel {
        /// Of which mailbox.
        object: ObjectRef,
        /// Which.
        id: String,
    },
    /// Try this dead letter again.
    Retry {
        /// Of which mailbox.
        object: ObjectRef,
        /// Which.
        id: String,
    },
    /// Forget this dead letter.
    Drop {
        /// Of which mailbox.
        object: ObjectRef,
        /// Which.
        id: String,
    },
}

impl Core {
    pub(super) fn claim(&mut self, id: &InstanceId, claim: &Claim, now: &Now) -> bool {
        let write =
            store::Claim { object: id.object.clone(), uid: claim.uid.clone(), count: claim.count, now: now.wall };
        let post = Post::Claim { cause: id.cause.clone(), uid: claim.uid.clone() };
        self.books.post(&mut self.observed.ledger, &id.object, Write::Claim(Box::new(write)), post, None);
        false
    }

    pub(super) fn give_back(&mut self, id: &InstanceId, back: &Return, _: &Now) -> bool {
        let write = store::Return {
            object: id.object.clone(),
            cause: id.cause.clone(),
            id: back.message.id.clone(),
            fence: back.message.fence,
            due: back.due,
            tries: back.tries,
            attempts: back.attempts,
            reason: back.why.clone(),
            started: back.started,
            exit: super::rows::exit_row(back.exit.as_ref()),
            tries_rows: self.tries(id, back.attempts),
        };
        let post = Post::Return { cause: id.cause.clone(), due: back.due };
        self.books.post(&mut self.observed.ledger, &id.object, Write::Return(Box::new(write)), post, None);
        false
    }

    /// Does what somebody asks of a queue; `asker` hears what came of it.
    pub fn post(&mut self, wish: PostWish, by: &str, asker: Asker) {
        let refused = |why: String| json!({ "success": false, "error": why, "errors_by_field": {}, "suggestions": [] });
        if let Some(why) = &self.observed.ledger.trouble {
            _ = asker.send(Err(refused(format!("nothing can be written down: {why}"))));
            return;
        }
        let at = self.clock.now().wall;
        let by: Arc<str> = by.into();
        match wish {
            PostWish::Send(letter) => match self.enqueue(*letter, asker) {
                Ok(()) => {}
                Err((asker, why)) => _ = asker.send(Err(why)),
            },
            PostWish::Cancel { object, id } => {
                let name = message::name_of(&id);
                let run = name.parse::<Cause>().ok().map(|cause| InstanceId { object: object.clone(), cause });
                let books = &self.observed.ledger.books;
                let at_work =
                    run.filter(|run| books.get(&object).is_some_and(|book| book.runs.contains_key(&run.cause)));
                match at_work {
                    Some(run) => self.books.cancel(&run, &by, asker),
                    None => {
                        let id: Arc<str> = name.into();
                        let write = Write::Withdraw { object: object.clone(), id: id.clone(), by, at };
                        self.books.post(&mut self.observed.ledger, &object, write, Post::Withdraw { id }, Some(asker));
                    }
                }
            }
            PostWish::Retry { object, id } => self.dead(&object, &id, DeadWish::Retry, by, at, asker),
            PostWish::Drop { object, id } => self.dead(&object, &id, DeadWish::Drop, by, at, asker),
        }
    }

    fn dead(&mut self, object: &ObjectRef, id: &str, wish: DeadWish, by: Arc<str>, at: Timestamp, asker: Asker) {
        let id: Arc<str> = message::name_of(id).into();
        let letter = DeadLetter { object: object.clone(), id: id.clone(), wish, by, at };
        let write = Write::Dead(letter);
        self.books.post(&mut self.observed.ledger, object, write, Post::Dead { id, wish }, Some(asker));
    }

    /// The last words of what failed, for a dead letter.
    pub(super) fn tail_of(&self, id: &InstanceId, finish: &Finish) -> ResultSource {
        let is_dead = finish.message.as_ref().is_some_and(|end| end.fate == MessageFate::Dead);
        if !is_dead || finish.attempts == 0 {
            return ResultSource::None;
        }
        let (folder, prefix) = (self.home.logs(&id.object), id.cause.to_string());
        ResultSource::Capture(Box::new(move || tail::last_lines(&folder, &prefix).map(|tail| Given::whole(&tail))))
    }

    /// Takes a letter in, unless something is wrong with it.
    fn enqueue(&mut self, letter: Letter, asker: Asker) -> Result<(), (Asker, Json)> {
        let faults = letter.faults();
        if !faults.is_empty() {
            return Err((asker, shape(&faults)));
        }
        let Some((rule, limit)) = self.queue_rule(&letter.to) else {
            let error = format!("there is no {} that takes messages", letter.to);
            return Err((asker, json!({ "success": false, "error": error, "errors_by_field": {}, "suggestions": [] })));
        };
        let now = self.clock.now();
        let fresh = match fresh_id(now.wall) {
            Ok(fresh) => fresh,
            Err(error) => return Err((asker, json!({ "error": format!("no name can be drawn for it: {error}") }))),
        };
        let object = letter.to.clone();
        let write = Write::Enqueue(Box::new(letter.enqueue(&rule, limit, now.wall, &fresh)));
        self.books.post(&mut self.observed.ledger, &object, write, Post::Enqueue, Some(asker));
        // Where there is room, its claim goes to the disk with it; one that finds nothing says how the queue is.
        self.observed.ledger.books.entry(object).or_default().queue.get_or_insert_default().has_available = true;
        Ok(())
    }

    /// What a queue holds at most, and how often it takes something in.
    pub(super) fn queue_rule(&self, object: &ObjectRef) -> Option<(QueueRule, Option<Limit>)> {
        let Spec::Known(kind) = &self.desired.objects.get(object)?.spec else { return None };
        match kind.part() {
            Part::Mailbox(mailbox) => Some((mailbox.queue, None)),
            Part::Trigger(trigger) => Some((trigger.queue, Some(trigger.limit))),
            Part::None | Part::Capability(_) | Part::Workflow(_) | Part::Quiet(_) | Part::Settings(_) => None,
        }
    }
}

impl Books {
    /// Sends an entry about a queue.
    pub(super) fn post(
        &mut self,
        ledger: &mut Ledger,
        object: &ObjectRef,
        write: Write,
        post: Post,
        asker: Option<Asker>,
    ) {
        if let Some(cause) = post.cause() {
            ledger.books.entry(object.clone()).or_default().writing.insert(cause.clone());
        }
        let asker = asker.map(|asker| (asker, Json::Null));
        self.send(write, Pending { object: object.clone(), entry: Entry::Post(post), asker });
    }
}

/// Makes facts of an entry about a queue that the disk has; and what whoever asked hears.
pub(super) fn posted(
    ledger: &mut Ledger,
    object: &ObjectRef,
    post: Post,
    reply: Reply,
    now: &Now,
) -> (News, Result<Json, String>) {
    let book = ledger.books.entry(object.clone()).or_default();
    if let Some(cause) = post.cause() {
        book.writing.remove(cause);
        book.refused = None;
    }
    let queue = book.queue.get_or_insert_default();
    match (post, reply) {
        (Post::Claim { uid, .. }, Reply::Claimed(claimed)) => {
            take_in(ledger, object, *claimed, &uid, now);
            (News::Facts, Ok(Json::Null))
        }
        (Post::Return { cause, due }, _) => {
            queue.next_due = Some(queue.next_due.map_or(due, |next| next.min(due)));
            book.runs.remove(&cause);
            (News::Over(InstanceId { object: object.clone(), cause }), Ok(Json::Null))
        }
        (Post::Enqueue, Reply::Enqueued { message, is_new }) => {
            if is_new {
                note_new(queue, &message);
            } else {
                // It may have come while nobody listened.
                queue.has_available |= message.state == MessageState::Available;
            }
            (News::Facts, Ok(said(&message, is_new)))
        }
        (Post::Withdraw { id }, Reply::Done) => {
            // What came after it in its group may be next.
            queue.has_available = true;
            (News::Facts, Ok(json!({ "mailbox": object.as_str(), "id": &*id, "state": "cancelled" })))
        }
        (Post::Withdraw { id }, _) => (News::Facts, Err(format!("{object} has no message {id} that is not over"))),
        (Post::Dead { id, wish }, Reply::Done) => {
            queue.has_available |= wish == DeadWish::Retry;
            let state = if wish == DeadWish::Retry { "available" } else { "dropped" };
            (News::Facts, Ok(json!({ "mailbox": object.as_str(), "id": &*id, "state": state })))
        }
        (Post::Dead { id, .. }, _) => (News::Facts, Err(format!("{object} has no dead letter {id}"))),
        (Post::Claim { .. } | Post::Enqueue, _) => (News::Facts, Err("the store answered something else".to_owned())),
    }
}

fn note_new(queue: &mut Queue, message: &MessageRow) {
    queue.depth = queue.depth.saturating_add(1);
    match message.state {
        MessageState::Available => queue.has_available = true,
        MessageState::Scheduled => {
            queue.next_due = Some(queue.next_due.map_or(message.due, |next| next.min(message.due)));
        }
        MessageState::Behind
        | MessageState::Claimed
        | MessageState::Ok
        | MessageState::Dead
        | MessageState::Cancelled => {}
    }
}

/// What a sender hears of a message that is kept.
#[must_use]
pub fn said(message: &MessageRow, is_new: bool) -> Json {
    json!({
        "mailbox": message.object.as_str(),
        "id": &*message.id,
        "state": message.state.word(),
        "is_new": is_new,
        "outcome": message.outcome.as_deref(),
        "reason": message.reason.as_deref(),
        "reply": message.reply.as_deref(),
    })
}

/// Puts claimed messages to work.
fn take_in(ledger: &mut Ledger, object: &ObjectRef, claimed: Claimed, uid: &Arc<str>, now: &Now) {
    let Claimed { messages, steps, queue } = claimed;
    let book = ledger.books.entry(object.clone()).or_default();
    book.queue = Some(queue_of(&queue));
    for row in messages {
        let Ok(cause) = row.id.parse::<Cause>() else { continue };
        book.runs.insert(cause, run_of(row, uid.clone(), now.wall));
    }
    for step in steps {
        if let Some(parent) = step.parent.clone() {
            note_step(ledger, object, &parent, &step);
        }
    }
}

/// Notes that a run is over: what came after its message in a group may be next.
pub(super) fn note_over(book: &mut Book, over: Option<&Run>) {
    let (Some(Run { origin: Origin::Message(message), .. }), Some(queue)) = (over, &mut book.queue) else { return };
    queue.depth = queue.depth.saturating_sub(1);
    queue.has_available |= message.group.is_some();
}

/// What the store says of a queue.
pub(super) fn queue_of(row: &QueueRow) -> Queue {
    Queue { has_available: row.has_available, next_due: row.next_due, depth: row.depth }
}

/// A claimed message as a run.
pub(super) fn run_of(row: MessageRow, uid: Arc<str>, due: Timestamp) -> Run {
    let params = row.params.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let created = row.enqueued;
    let forgiven = row.base_attempts;
    let message = Message {
        id: row.id,
        fence: row.fence,
        kind: row.kind,
        subject: row.subject,
        sender: row.sender,
        source: row.source,
        payload: row.payload,
        params: Arc::new(params.unwrap_or_else(|| Json::Object(Map::new()))),
        priority: row.priority,
        group: row.group,
        enqueued: row.enqueued,
        expires: row.expires,
        tries: row.tries,
    };
    Run {
        uid,
        origin: Origin::Message(Arc::new(message)),
        due,
        created,
        catches_up: false,
        forgiven,
        cancel: None,
        params: Arc::new(Json::Object(Map::new())),
        steps: std::collections::BTreeMap::new(),
        reopened: std::collections::BTreeMap::new(),
    }
}

/// The end of a message, for the store.
pub(super) fn end_of(
    end: &crate::engine::plan::MessageEnd,
    output: Option<&Json>,
    log_tail: ResultSource,
) -> MessageEnd {
    MessageEnd {
        id: end.message.id.clone(),
        fence: end.message.fence,
        state: match end.fate {
            MessageFate::Ok => MessageState::Ok,
            MessageFate::Dead => MessageState::Dead,
            MessageFate::Cancelled => MessageState::Cancelled,
        },
        tries: end.tries,
        reply: output.map(|output| output.as_str().map_or_else(|| output.to_string(), str::to_owned).into()),
        log_tail,
    }
}

/// The name of a message whose producer gave it none.
///
/// # Errors
/// When the system has no randomness.
pub fn fresh_id(now: Timestamp) -> io::Result<String> {
    let compact: String = crate::engine::time::utc(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(format!("{compact}-{}", crate::home::random_hex(6)?))
}
