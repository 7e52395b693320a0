//! Keeps the books: what the store remembers, as the engine reads it, and what is on its way there.
//!
//! In: entries of a plan, what people ask of runs, answers of the writer. Out: facts for the next pass.
//! Not here: SQL, deciding. The surprise: an entry on its way is marked in the book, and what it is about is left alone
//! until the disk has it; if the controller dies in between, its successor reads whatever the disk got.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::queues::{self, Post};
use super::remember;
use super::rows::{cursor_row, exit_row, note_final, note_step, row_of, run_of, step_of, step_row, tick_row};
use super::schedules::renew;
use crate::engine::observed::Refused;
use crate::engine::plan::{Finish, Fire, Note};
use crate::engine::run::{Book, Cursor, Final, Ledger, Origin, Run};
use crate::engine::{BootTime, Cause, InstanceId, Now, ObjectRef, Timestamp};
use crate::home::Home;
use crate::store::reader::Reader;
use crate::store::writer::Writer;
use crate::store::{self, AttemptRow, Given, Reply, ResultSource, Retention, TickRow, Trouble, Write};

/// An answer of the writer, by the number of the entry.
pub type Settled = (u64, Result<Reply, Trouble>);

/// What people hear of what they asked for.
pub type Asker = oneshot::Sender<Result<Json, Json>>;

/// The books.
#[derive(Debug)]
pub struct Books {
    pub(super) home: Home,
    pub(super) writer: Option<Writer>,
    /// What is remembered has been read.
    is_read: bool,
    tell: UnboundedSender<Settled>,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// What goes to the writer with the next [`Books::flush`].
    outbox: Vec<(u64, Write)>,
    next: u64,
    /// So many of them are events.
    pub(super) telling: usize,
    /// Objects of which a write failed: what the disk has got of it is not known, and they are read again.
    pub(super) stale: BTreeSet<ObjectRef>,
    /// Since when the store is in trouble.
    pub(super) trouble_at: Option<BootTime>,
    /// The file was another one, or none, since it was last read.
    pub(super) is_stale: bool,
    /// Entries sent since the past was last looked through, and when that was.
    pub(super) sent: u64,
    pub(super) pruned_at: Option<BootTime>,
    /// What is kept, while the past is being looked through.
    pub(super) retention: Option<Retention>,
}

/// An entry on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) object: ObjectRef,
    pub(super) entry: Entry,
    pub(super) asker: Option<(Asker, Json)>,
}

#[derive(Debug)]
pub(super) enum Entry {
    Fire { cause: Cause, run: Box<Run>, cursor: Option<Cursor> },
    Note { cause: Cause, cursor: Cursor },
    Finish { cause: Cause, step_of: Option<Cause>, last: Final, output: Gave, is_tick: bool },
    Cancel { cause: Cause, by: Arc<str> },
    Reopen { cause: Cause },
    Open,
    Look,
    Prune,
    Post(Post),
    Events(u64),
}

/// What an end gives: the result, what a later step is told of it, and the end of the log of a message.
#[derive(Debug)]
pub struct Gives {
    /// For the row of the run.
    pub result: ResultSource,
    /// See [`Gave`].
    pub output: Gave,
    /// For a dead letter.
    pub tail: ResultSource,
}

/// What a step gave: read on the writer's thread, and wanted here, too.
pub type Gave = Arc<Mutex<Option<Given>>>;

/// What has been settled, for whoever has to act on it.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing but facts.
    Facts,
    /// The store is in its place, as it was.
    Well,
    /// The store is back, and may be another one: everything has to be read again.
    Anew,
    /// This run is over, with all its steps.
    Over(InstanceId),
    /// Events are kept, or so many were lost, and why.
    Told {
        /// How many, and why.
        lost: Option<(u64, String)>,
    },
    /// These runs are remembered no more.
    Forgotten {
        /// Which.
        runs: Vec<InstanceId>,
        /// Where the next slice begins.
        next: Option<ObjectRef>,
    },
}

impl Books {
    /// Books of a home that have not been opened.
    #[must_use]
    pub fn new(home: Home, tell: UnboundedSender<Settled>) -> Books {
        Books {
            home,
            writer: None,
            is_read: false,
            tell,
            pending: BTreeMap::new(),
            outbox: Vec::new(),
            next: 1,
            telling: 0,
            stale: BTreeSet::new(),
            trouble_at: None,
            is_stale: false,
            sent: 0,
            pruned_at: None,
            retention: None,
        }
    }

    /// True once something had to be remembered; events alone do not count.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_read
    }

    /// True while an entry is on its way; events do not count.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.pending.len() > self.telling
    }

    /// Reads what is remembered, and starts the writer.
    ///
    /// # Errors
    /// When the store cannot be read, or no thread is to be had; both may be tried again.
    pub fn open(&mut self, ledger: &mut Ledger) -> Result<(), String> {
        let path = self.home.store_db();
        let reader = Reader::open(&path).map_err(|trouble| trouble.to_string())?;
        remember::read(&reader, ledger).map_err(|trouble| trouble.to_string())?;
        self.start_writer()?;
        self.is_read = true;
        Ok(())
    }

    /// Starts the writer, which opens the store with the first request.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub(super) fn start_writer(&mut self) -> Result<(), String> {
        if self.writer.is_none() {
            let started = Writer::start(&self.home.store_db());
            self.writer = Some(started.map_err(|error: io::Error| error.to_string())?);
        }
        Ok(())
    }

    pub(super) fn send(&mut self, write: Write, pending: Pending) {
        self.sent += 1;
        let number = self.next;
        self.next += 1;
        self.pending.insert(number, pending);
        self.outbox.push((number, write));
    }

    /// Hands what was sent to the writer, all at once: what one pass decides is one transaction.
    pub fn flush(&mut self) {
        for (number, write) in self.outbox.drain(..) {
            let tell = self.tell.clone();
            match &self.writer {
                Some(writer) => writer.send(write, Box::new(move |answer| _ = tell.send((number, answer)))),
                None => _ = tell.send((number, Err(Trouble::Closed))),
            }
        }
    }

    /// Remembers a run that is owed from now on.
    pub fn fire(&mut self, ledger: &mut Ledger, id: &InstanceId, fire: &Fire, now: &Now) {
        let run = Run {
            uid: fire.uid.clone(),
            origin: fire.run.origin.clone(),
            due: fire.run.due,
            created: now.wall,
            catches_up: fire.run.catches_up,
            forgiven: 0,
            cancel: None,
            params: Arc::new(Json::Object(serde_json::Map::new())),
            steps: BTreeMap::new(),
            reopened: BTreeMap::new(),
        };
        let tick = fire.tick.as_ref().map(|tick| tick_row(id, &fire.uid, tick, now, true));
        let passed = fire.passed.iter().map(|tick| tick_row(id, &fire.uid, tick, now, false)).collect();
        self.begin(ledger, id, run, (tick, passed), fire.cursor.clone(), None);
    }

    /// Remembers a run that somebody asks for; `asker` hears its name once it is remembered.
    pub fn ask_for(&mut self, ledger: &mut Ledger, id: &InstanceId, run: Run, asker: Asker) {
        self.begin(ledger, id, run, (None, Vec::new()), None, Some(asker));
    }

    fn begin(
        &mut self,
        ledger: &mut Ledger,
        id: &InstanceId,
        run: Run,
        (tick, passed): (Option<TickRow>, Vec<TickRow>),
        cursor: Option<Cursor>,
        asker: Option<Asker>,
    ) {
        let row = row_of(id, &run);
        let said = serde_json::json!({ "object": id.object.as_str(), "run": id.cause.to_string() });
        let write = Write::Fire {
            tick,
            passed,
            run: Box::new(row),
            cursor: cursor.as_ref().map(|cursor| cursor_row(&id.object, cursor)),
        };
        mark(ledger, &id.object, &id.cause);
        let entry = Entry::Fire { cause: id.cause.clone(), run: Box::new(run), cursor };
        self.send(write, Pending { object: id.object.clone(), entry, asker: asker.map(|asker| (asker, said)) });
    }

    /// Remembers what became of due times.
    pub fn note(&mut self, ledger: &mut Ledger, id: &InstanceId, note: &Note, now: &Now) {
        let ticks = note.ticks.iter().map(|tick| tick_row(id, &note.cursor.uid, tick, now, false)).collect();
        let cursor = cursor_row(&id.object, &note.cursor);
        let write = match note.ticks.is_empty() {
            true => Write::Register(cursor),
            false => Write::Note { ticks, cursor: Some(cursor) },
        };
        mark(ledger, &id.object, &id.cause);
        let entry = Entry::Note { cause: id.cause.clone(), cursor: note.cursor.clone() };
        self.send(write, Pending { object: id.object.clone(), entry, asker: None });
    }

    /// Remembers how a run or a step ended.
    pub fn finish(
        &mut self,
        ledger: &mut Ledger,
        id: &InstanceId,
        finish: &Finish,
        Gives { result, output, tail }: Gives,
        tries: Vec<AttemptRow>,
        now: &Now,
    ) {
        let message = finish.message.as_ref().map(|end| queues::end_of(end, finish.output.as_deref(), tail));
        let book = ledger.books.entry(id.object.clone()).or_default();
        let own = book.runs.get(finish.step_of.as_ref().unwrap_or(&id.cause));
        let uid: Arc<str> = own.map_or_else(|| "".into(), |run| run.uid.clone());
        let is_tick = own.is_some_and(|run| matches!(run.origin, Origin::Tick(_)));
        let otherwise = finish.step_of.as_ref().map(|parent| Box::new(step_row(id, parent, &uid, finish, now)));
        let exit = exit_row(finish.exit.as_ref());
        // What exited ended then, however late that was seen.
        let exited = finish.exit.as_ref().and_then(|_| tries.last()?.ended);
        let ended = exited.map_or(now.wall, |at| at.min(now.wall));
        let write = store::Finish {
            object: id.object.clone(),
            cause: id.cause.clone(),
            outcome: finish.outcome.word().into(),
            reason: Some(finish.why.clone()),
            started: finish.started,
            ended,
            attempts: finish.attempts,
            exit,
            result,
            tries,
            otherwise,
            message,
        };
        let last = Final { uid, outcome: finish.outcome, reason: finish.why.clone(), ended, attempts: finish.attempts };
        mark(ledger, &id.object, &id.cause);
        let step_of = finish.step_of.clone();
        let entry = Entry::Finish { cause: id.cause.clone(), step_of, last, output, is_tick };
        self.send(Write::Finish(Box::new(write)), Pending { object: id.object.clone(), entry, asker: None });
    }

    /// Remembers that somebody wants the end of a run.
    pub fn cancel(&mut self, id: &InstanceId, by: &Arc<str>, asker: Asker) {
        let (object, cause) = (id.object.clone(), id.cause.clone());
        let write = Write::Cancel { object: object.clone(), cause: cause.clone(), by: by.clone() };
        let said = serde_json::json!({ "object": object.as_str(), "run": cause.to_string() });
        let entry = Entry::Cancel { cause, by: by.clone() };
        self.send(write, Pending { object, entry, asker: Some((asker, said)) });
    }

    /// Remembers that somebody wants another go at a run that is over.
    pub fn reopen(&mut self, id: &InstanceId, by: &Arc<str>, at: Timestamp, asker: Asker) {
        let (object, cause) = (id.object.clone(), id.cause.clone());
        let write = Write::Reopen { object: object.clone(), cause: cause.clone(), by: by.clone(), at };
        let said = serde_json::json!({ "object": object.as_str(), "run": cause.to_string() });
        self.send(write, Pending { object, entry: Entry::Reopen { cause }, asker: Some((asker, said)) });
    }

    /// Takes in an answer of the writer.
    pub fn settled(&mut self, ledger: &mut Ledger, (number, answer): Settled, now: &Now) -> Option<News> {
        let Pending { object, entry, asker } = self.pending.remove(&number)?;
        if let Entry::Events(count) = entry {
            self.telling = self.telling.saturating_sub(1);
            return Some(News::Told { lost: answer.err().map(|trouble| (count, trouble.to_string())) });
        }
        let news = match answer {
            Ok(reply) => {
                let was_well = ledger.trouble.is_none() && !self.is_stale;
                self.trouble_at = None;
                ledger.trouble = None;
                let (news, said) = match entry {
                    Entry::Post(post) => {
                        let (news, said) = queues::posted(ledger, &object, post, reply, now);
                        (news, Some(said))
                    }
                    Entry::Look if was_well => (News::Well, None),
                    entry => {
                        let (news, why) = written(ledger, &object, entry, reply);
                        (news, why.map(Err))
                    }
                };
                let is_anew = self.is_stale && self.pending.is_empty() && news == News::Facts;
                self.is_stale &= !is_anew;
                if let Some((asker, name)) = asker {
                    _ = asker.send(said.unwrap_or(Ok(name)).map_err(|why| plain(&why)));
                }
                if is_anew { News::Anew } else { news }
            }
            Err(trouble) => {
                let why: Arc<str> = trouble.to_string().lines().next().unwrap_or_default().into();
                self.is_stale |= matches!(trouble, Trouble::Moved { .. } | Trouble::Corrupt { .. });
                if trouble.is_lasting() {
                    self.trouble_at.get_or_insert(now.boot);
                    ledger.trouble = Some(why.clone());
                }
                if let Some((asker, _)) = asker {
                    _ = asker.send(Err(plain(&trouble.to_string())));
                }
                // A letter that is refused holds up nobody else's.
                let is_asked = matches!(&entry, Entry::Post(post) if post.cause().is_none());
                if let Some(book) = ledger.books.get_mut(&object) {
                    // What the disk may have got all the same stays marked, and is left alone until it has been read.
                    if trouble.is_open() {
                        self.stale.insert(object);
                    } else {
                        unmark(book, &entry);
                    }
                    if !is_asked {
                        book.refused = Some(Refused { at: now.boot, why });
                    }
                }
                News::Facts
            }
        };
        if self.pending.is_empty() {
            self.refresh(ledger);
        }
        Some(news)
    }
}

/// An error in the shape that every surface has.
fn plain(text: &str) -> Json {
    serde_json::json!({ "error": text, "errors_by_field": {}, "suggestions": [] })
}

fn mark(ledger: &mut Ledger, object: &ObjectRef, cause: &Cause) {
    ledger.books.entry(object.clone()).or_default().writing.insert(cause.clone());
}

fn unmark(book: &mut Book, entry: &Entry) {
    match entry {
        Entry::Fire { cause, .. } | Entry::Note { cause, .. } | Entry::Finish { cause, .. } => {
            book.writing.remove(cause);
        }
        Entry::Post(post) => {
            if let Some(cause) = post.cause() {
                book.writing.remove(cause);
            }
        }
        Entry::Cancel { .. } | Entry::Reopen { .. } | Entry::Open | Entry::Look | Entry::Prune | Entry::Events(_) => {}
    }
}

/// Makes facts of an entry that the disk has. What went wrong with it, for whoever asked.
fn written(ledger: &mut Ledger, object: &ObjectRef, entry: Entry, reply: Reply) -> (News, Option<String>) {
    match (&entry, &reply) {
        (Entry::Prune, Reply::Pruned(pruned)) => {
            let of = |(object, cause): &(ObjectRef, Cause)| InstanceId { object: object.clone(), cause: cause.clone() };
            return (News::Forgotten { runs: pruned.runs.iter().map(of).collect(), next: pruned.next.clone() }, None);
        }
        (Entry::Open | Entry::Look | Entry::Prune | Entry::Events(_) | Entry::Post(_), _) => {
            return (News::Facts, None);
        }
        (_, _) => {}
    }
    let book = ledger.books.entry(object.clone()).or_default();
    unmark(book, &entry);
    book.refused = None;
    match (entry, reply) {
        (Entry::Fire { cause, run, cursor }, reply) => {
            move_cursor(book, cursor);
            match reply {
                // Somebody was faster, or this was asked twice: what stands is what counts.
                Reply::Already(row) => {
                    match row {
                        // It is over: a Job that did not hear of it would ask for ever.
                        Some(row) if row.end.is_some() => note_final(book, &row),
                        Some(row) => _ = book.runs.insert(cause, run_of(*row)),
                        None => {}
                    }
                }
                Reply::Done
                | Reply::Reopened { .. }
                | Reply::Enqueued { .. }
                | Reply::Claimed(_)
                | Reply::Unknown
                | Reply::Pruned(_) => {
                    _ = book.runs.insert(cause, *run);
                }
            }
        }
        (Entry::Note { cause: _, cursor }, _) => move_cursor(book, Some(cursor)),
        (Entry::Finish { cause, step_of: Some(parent), last, output, .. }, _) => {
            let step = cause.to_string().split('.').nth(1).map(Arc::<str>::from);
            if let (Some(run), Some(step)) = (book.runs.get_mut(&parent), step) {
                let text = output.lock().ok().and_then(|mut text| text.take());
                run.steps.insert(step, step_of(last.outcome, text.as_ref()));
            }
        }
        (Entry::Finish { cause, step_of: None, last, is_tick, .. }, _) => {
            let over = book.runs.remove(&cause);
            queues::note_over(book, over.as_ref());
            book.is_spent |= is_tick && last.attempts > 0;
            book.last.retain(|other, _| is_generation(other) != is_generation(&cause));
            book.last.insert(cause.clone(), last);
            return (News::Over(InstanceId { object: object.clone(), cause }), None);
        }
        (Entry::Cancel { cause, by }, reply) => match (book.runs.get_mut(&cause), reply) {
            (Some(run), Reply::Done | Reply::Already(_) | Reply::Pruned(_)) => _ = run.cancel.get_or_insert(by),
            (_, _) => return (News::Facts, Some(format!("there is no run {object}/{cause} that is not over"))),
        },
        (Entry::Reopen { cause }, Reply::Reopened { run, steps }) => {
            book.last.remove(&cause);
            book.runs.insert(cause.clone(), run_of(*run));
            steps.iter().for_each(|step| note_step(ledger, object, &cause, step));
        }
        (Entry::Reopen { cause }, _) => {
            return (News::Facts, Some(format!("there is no run {object}/{cause} that is over")));
        }
        (Entry::Open | Entry::Look | Entry::Prune | Entry::Events(_) | Entry::Post(_), _) => {}
    }
    (News::Facts, None)
}

fn is_generation(cause: &Cause) -> bool {
    matches!(cause, Cause::Slot(_))
}

fn move_cursor(book: &mut Book, cursor: Option<Cursor>) {
    if let Some(cursor) = cursor {
        let is_new = book.cursor.as_ref().is_none_or(|known| known.since != cursor.since);
        book.cursor = Some(cursor);
        book.is_spent &= !is_new;
        renew(book);
    }
}
