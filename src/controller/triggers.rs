//! Where Triggers meet the controller: what happens, what changes, and what of it goes into their queues.
//!
//! In: events that are written, batches of changes. Out: letters to the queues of Triggers, orders for the thread that
//! watches files. Not here: watching (`watch`), the queue ([`super::queues`]).
//! The surprise: nothing is done here about a change or an event. It is written down, and the plan of the next pass sees a
//! message that waits; so a controller that is killed in between loses nothing that was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::core::Core;
use super::queues::PostWish;
use super::report::rfc3339;
use crate::engine::desired::Spec;
use crate::engine::queue::source::is_own;
use crate::engine::queue::{EventRule, Trigger};
use crate::engine::run::{Origin, Part};
use crate::engine::{Cause, Now, Object, ObjectRef, Timestamp};
use crate::kind::trigger::FILES_CHANGED;
use crate::mailbox::{Letter, WORD_MAX};
use crate::store::EventRow;
use crate::watch::worker::{Facts, Work};
use crate::watch::{Batch, News, Wanted};

/// The most paths of one message; `more` counts the rest.
const PATHS_MAX: usize = 1000;
/// And so many bytes of them, so that a message is never too large to be taken.
const PATHS_BYTES_MAX: usize = 96 << 10;
/// So many Triggers may set off each other.
const DEPTH_MAX: u64 = 8;
/// What a Trigger says of itself; nothing is set off by it.
const ABOUT_ITSELF: &[&str] = &["cut", "limited", "own-product", "watch-trouble"];

/// What the controller remembers of Triggers.
#[derive(Debug, Default)]
pub struct Triggers {
    /// Those that wait for events.
    events: Vec<(ObjectRef, Arc<EventRule>)>,
    /// Those that watch files, with how many runs they may have at once.
    watched: BTreeMap<ObjectRef, (Wanted, usize)>,
    /// When somebody's pause ends, so that there are others.
    until: Option<Timestamp>,
    is_stale: bool,
    is_new: bool,
    works: BTreeMap<ObjectRef, Work>,
    orders: Vec<Work>,
    /// Letters that the store has not answered, with the batch they are about.
    sent: Vec<Sent>,
    /// The last batch of each that was taken or refused.
    heard: BTreeMap<ObjectRef, u64>,
    /// Those whose refusal was told; once, until something is taken again.
    refused: BTreeSet<ObjectRef>,
    facts: BTreeMap<ObjectRef, Arc<Facts>>,
}

#[derive(Debug)]
struct Sent {
    object: ObjectRef,
    batch: Option<u64>,
    answer: oneshot::Receiver<Result<Json, Json>>,
}

impl Core {
    /// Triggers may be others now.
    pub(super) fn triggers_changed(&mut self) {
        self.triggers.is_stale = true;
    }

    /// Brings what is listened to up to the present desired state.
    pub(super) fn follow_triggers(&mut self, now: &Now) {
        let is_over = self.triggers.until.is_some_and(|until| until <= now.wall);
        if !std::mem::take(&mut self.triggers.is_stale) && !is_over {
            return;
        }
        let mut events = Vec::new();
        let mut watched = BTreeMap::new();
        let mut until = None;
        for (id, object) in &self.desired.objects {
            let Some(trigger) = trigger_of(object).filter(|trigger| trigger.queue.is_enabled) else { continue };
            if let Some(pause) = &object.overrides.paused
                && pause.until.is_none_or(|until| until > now.wall)
            {
                until = [until, pause.until].into_iter().flatten().min();
                continue;
            }
            events.extend(trigger.event.as_ref().map(|rule| (id.clone(), Arc::clone(rule))));
            if let Some(rule) = &trigger.watch {
                let wanted = Wanted { object: id.clone(), uid: object.uid.clone(), rule: Arc::clone(rule) };
                watched.insert(id.clone(), (wanted, usize::try_from(trigger.queue.at_once).unwrap_or(usize::MAX)));
            }
        }
        let triggers = &mut self.triggers;
        triggers.is_new |= watched != triggers.watched;
        (triggers.events, triggers.watched, triggers.until) = (events, watched, until);
        let is_watched = |id: &ObjectRef| triggers.watched.contains_key(id);
        triggers.works.retain(|id, _| is_watched(id));
        triggers.facts.retain(|id, _| is_watched(id));
    }

    /// The Triggers that watch files, when they are others than the last time.
    pub fn take_watched(&mut self) -> Option<Vec<Wanted>> {
        let is_new = std::mem::take(&mut self.triggers.is_new);
        is_new.then(|| self.triggers.watched.values().map(|(wanted, _)| wanted.clone()).collect())
    }

    /// What the thread that watches has to know of their runs.
    pub fn take_works(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.triggers.orders)
    }

    /// Notes how the runs of Triggers stand, before anything is started.
    pub(super) fn note_works(&mut self, now: &Now) {
        self.hear_answers();
        for (object, (_, at_once)) in &self.triggers.watched {
            let book = self.observed.ledger.books.get(object);
            let at_work = book.map_or(0, |book| book.runs.len());
            let waits = book.and_then(|book| book.queue).is_some_and(|queue| queue.has_available);
            let heard = self.triggers.heard.get(object).copied().unwrap_or(0);
            let is_full = at_work >= *at_once || waits;
            let work = Work { object: object.clone(), is_at_work: at_work > 0, is_full, heard, at: now.wall };
            let is_same = |before: &Work| Work { at: work.at, ..before.clone() } == work;
            if !self.triggers.works.get(object).is_some_and(is_same) {
                self.triggers.works.insert(object.clone(), work.clone());
                self.triggers.orders.push(work);
            }
        }
    }

    /// Hears what became of letters.
    fn hear_answers(&mut self) {
        let mut open = Vec::new();
        for mut sent in std::mem::take(&mut self.triggers.sent) {
            let refused = match sent.answer.try_recv() {
                Err(TryRecvError::Empty) => {
                    open.push(sent);
                    continue;
                }
                Ok(Ok(_)) => None,
                Ok(Err(why)) => Some(why.get("error").and_then(Json::as_str).unwrap_or("it was refused").to_owned()),
                Err(TryRecvError::Closed) => Some("it was not written down".to_owned()),
            };
            if let Some(batch) = sent.batch {
                self.triggers.heard.insert(sent.object.clone(), batch);
            }
            match refused {
                None => _ = self.triggers.refused.remove(&sent.object),
                Some(why) if self.triggers.refused.insert(sent.object.clone()) => {
                    let line = why.lines().next().unwrap_or_default();
                    self.tell_of_trigger(&sent.object, "limited", format!("{line}; what comes now is not taken"));
                }
                Some(_) => {}
            }
        }
        self.triggers.sent = open;
    }

    fn send(&mut self, letter: Letter, batch: Option<u64>) {
        let (asker, answer) = oneshot::channel();
        self.triggers.sent.push(Sent { object: letter.to.clone(), batch, answer });
        self.post(PostWish::Send(Box::new(letter)), "the controller", asker);
    }

    /// An event was written: Triggers that wait for it are set off.
    pub(super) fn happened(&mut self, event: &EventRow) {
        if self.triggers.events.is_empty() || self.is_draining {
            return;
        }
        let kind = event.kind.to_string();
        // Set off by these, two of them could set off each other for ever, each time as the first of a chain.
        if kind.strip_prefix("setpoint.trigger.").is_some_and(|word| ABOUT_ITSELF.contains(&word)) {
            return;
        }
        let data = event.data.as_deref().and_then(|data| serde_json::from_str::<Json>(data).ok());
        let object: String = event.subject.split('/').take(2).collect::<Vec<_>>().join("/");
        let scope = json!({ "event": {
            "type": kind, "subject": &*event.subject, "object": object, "text": &*event.text,
            "time": rfc3339(event.time), "data": data.unwrap_or_else(|| json!({})),
        } });
        let depth = self.depth(&event.subject);
        for (trigger, rule) in self.triggers.events.clone() {
            if is_own(&trigger, &event.subject) {
                continue;
            }
            match rule.is_met(&kind, &scope) {
                Ok(false) => {}
                Ok(true) if depth > DEPTH_MAX => {
                    let text =
                        format!("{} would be the {depth}th in a chain of Triggers; it is cut here", event.subject);
                    self.tell_of_trigger(&trigger, "cut", text);
                }
                Ok(true) => {
                    let mut said = scope.clone();
                    if let Some(fields) = said.as_object_mut() {
                        fields.insert("trigger".to_owned(), json!(trigger.name()));
                    }
                    let mut letter = Letter::new(trigger.clone(), "event", said.to_string().into_bytes());
                    letter.kind.clone_from(&kind);
                    letter.subject = word(&event.subject);
                    letter.params = json!({ "event": scope.get("event"), "depth": depth });
                    self.send(letter, None);
                }
                Err(why) => self.tell_once(format!("{trigger}: `when` cannot be told of {kind}: {why}")),
            }
        }
    }

    /// How many Triggers led to this, if it is about a run of one.
    fn depth(&self, subject: &str) -> u64 {
        let mut parts = subject.splitn(3, '/');
        let (Some("trigger"), Some(name), Some(cause)) = (parts.next(), parts.next(), parts.next()) else { return 1 };
        let run = || {
            let book = self.observed.ledger.books.get(&ObjectRef::new("trigger", name).ok()?)?;
            let cause: Cause = cause.parse().ok()?;
            let run = cause.parent().unwrap_or(cause);
            let Origin::Message(message) = &book.runs.get(&run)?.origin else { return None };
            message.params.get("depth")?.as_u64()
        };
        run().unwrap_or(1).saturating_add(1)
    }

    /// Takes in what the thread that watches has found.
    pub fn take_changes(&mut self, news: News) {
        match news {
            News::Batch(batch) => self.changed(batch),
            News::Facts(object, facts) => _ = self.triggers.facts.insert(object, facts),
            News::Products(object, paths) => {
                let text = format!(
                    "{} changed during two runs in a row, the second of which it set off: it is taken for the work of \
                     the run itself, and what changes about it during a run counts no more",
                    listed(&paths)
                );
                self.tell_of_trigger(&object, "own-product", text);
            }
            News::Trouble(object, text) => {
                let line = text.lines().next().unwrap_or_default().to_owned();
                self.tell_of_trigger(&object, "watch-trouble", line);
                self.tell_once(format!("{object}: {text}"));
            }
        }
    }

    fn changed(&mut self, batch: Batch) {
        let object = batch.object;
        let is_watched = self.triggers.watched.contains_key(&object);
        if !is_watched || self.is_draining {
            // It is gone, or switched off, meanwhile.
            self.triggers.heard.insert(object, batch.number);
            return;
        }
        let mut letter = Letter::new(object.clone(), "change", Vec::new());
        letter.kind = FILES_CHANGED.to_owned();
        let all: Vec<(String, &'static str)> = batch
            .changes
            .0
            .iter()
            .map(|(path, noted)| (path.to_string_lossy().into_owned(), noted.change.word()))
            .collect();
        let total = all.len();
        let mut room = PATHS_BYTES_MAX;
        let shown: Vec<(String, &'static str)> = all
            .into_iter()
            .take(PATHS_MAX)
            .take_while(|(path, _)| {
                let size = path.len() + 40;
                let is_room = size <= room;
                room = room.saturating_sub(size);
                is_room
            })
            .collect();
        let list: Vec<Json> = shown.iter().map(|(path, change)| json!({ "path": path, "change": change })).collect();
        let mut said = json!({ "trigger": object.name(), "changes": list });
        let mut params = Map::new();
        for kind in ["create", "modify", "delete"] {
            let of: Vec<&String> = shown.iter().filter(|(_, change)| *change == kind).map(|(path, _)| path).collect();
            params.insert(kind.to_owned(), json!(of));
        }
        let first = shown.first().map(|(path, _)| path.clone()).unwrap_or_default();
        letter.subject = word(&first);
        params.insert("first".to_owned(), json!(first));
        params.insert("total".to_owned(), json!(total));
        if let (Some(fields), true) = (said.as_object_mut(), total > shown.len()) {
            fields.insert("more".to_owned(), json!(total - shown.len()));
        }
        letter.payload = said.to_string().into_bytes().into();
        letter.params = json!({ "changes": params, "depth": 1 });
        self.send(letter, Some(batch.number));
    }

    /// An event about a Trigger; it sets nothing off.
    fn tell_of_trigger(&mut self, object: &ObjectRef, kind: &str, text: String) {
        tracing::warn!(instance = %object, "{text}");
        self.tell_event(object.as_str(), kind, text, &Json::Null);
        self.is_news = true;
    }

    /// What is known of what Triggers watch.
    #[must_use]
    pub fn triggers_json(&self) -> Json {
        let facts = self.triggers.facts.iter();
        Json::Object(
            facts.map(|(id, facts)| (id.to_string(), serde_json::to_value(&**facts).unwrap_or_default())).collect(),
        )
    }
}

fn trigger_of(object: &Object) -> Option<&Trigger> {
    let Spec::Known(kind) = &object.spec else { return None };
    match kind.part() {
        Part::Trigger(trigger) => Some(trigger),
        Part::None
        | Part::Capability(_)
        | Part::Workflow(_)
        | Part::Quiet(_)
        | Part::Settings(_)
        | Part::Mailbox(_) => None,
    }
}

/// A text that may stand in the subject of a letter.
fn word(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if word.len() + c.len_utf8() > WORD_MAX {
            break;
        }
        word.push(c);
    }
    word
}

fn listed(paths: &[PathBuf]) -> String {
    let first: Vec<String> = paths.iter().take(5).map(|path| crate::kind::plain(&path.to_string_lossy())).collect();
    match paths.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
