//! A service that is asked for messages, again and again, and told when one is over.
//!
//! In: how it is asked. Out: letters; calls that say that a message is done. Not here: the exchange (`call`), and what of
//! it outlives the controller (`memory`).
//! The surprise: the service and the queue agree by the id of a message alone. Whatever is asked or told twice is the same
//! message, so the place that was read to is written down only after the disk has all that comes before it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::memory::{Memory, PENDING_MAX};
use super::{BATCH_BYTES, BATCH_MAX, Closed, Door, Streak};
use crate::call::http::{self, Fetched};
use crate::call::order::{self, Work as Called};
use crate::call::web::Web;
use crate::engine::queue::{Poll, message};
use crate::engine::run::Way;
use crate::engine::run::scope::{Scope, look_up};
use crate::execute::environment;
use crate::home::Home;
use crate::mailbox::{Letter, WORD_MAX};
use crate::store::reader::Reader;
use crate::store::{Books, MessageState};

/// How long one call may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A service that fails is asked again after this at the latest, unless it is to be asked more rarely anyway.
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// How often is looked whether messages are over, while there are some that are not: at first, and then ever more rarely.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The most messages of one answer.
const ITEMS_MAX: usize = 10_000;

/// The thread of one service. It ends soon after this goes out of scope.
#[derive(Debug)]
pub(super) struct Listener {
    hints: Sender<()>,
    poll: Arc<Poll>,
}

impl Listener {
    /// Starts to ask.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(super) fn start(door: Door, home: &Home, name: &str, poll: Arc<Poll>) -> io::Result<Listener> {
        let (hints, heard) = channel();
        let work = Work {
            memory: Memory::open(home.sources().join(name)),
            store: home.store_db(),
            shown: shown(&poll),
            door,
            poll: poll.clone(),
            asking: Pace::default(),
            telling: Pace::default(),
            looking: Pace::default(),
        };
        std::thread::Builder::new().name("poll".to_owned()).spawn(move || work.run(&heard))?;
        Ok(Listener { hints, poll })
    }

    /// True when it asks this.
    pub(super) fn is_for(&self, poll: &Poll) -> bool {
        *self.poll == *poll
    }

    /// Has the service asked at once.
    pub(super) fn look(&self) {
        // A thread that has ended asks nobody.
        _ = self.hints.send(());
    }
}

/// When something is tried next, and how often it went wrong.
#[derive(Debug, Default)]
struct Pace {
    streak: Streak,
    due: Option<Instant>,
    turns: u32,
}

impl Pace {
    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Next time after this, twice as late each time, but no later than `max` unless it begins so late.
    fn later(&mut self, from: Duration, max: Duration) {
        let span = from.saturating_mul(1_u32.checked_shl(self.turns.min(20)).unwrap_or(u32::MAX)).min(max.max(from));
        self.turns = self.turns.saturating_add(1);
        self.due = Some(Instant::now() + span);
    }

    fn at_last(&mut self, span: Duration) {
        self.turns = 0;
        self.due = Some(Instant::now() + span);
    }
}

struct Work {
    door: Door,
    poll: Arc<Poll>,
    /// The service as it may be shown.
    shown: String,
    store: std::path::PathBuf,
    memory: Memory,
    asking: Pace,
    telling: Pace,
    looking: Pace,
}

/// Messages of an answer, their ids at the service, and what is wrong with the first that cannot be one.
type Taken = (Vec<Letter>, Vec<String>, Option<String>);

impl Work {
    fn run(mut self, heard: &Receiver<()>) {
        loop {
            if self.turn().is_err() {
                return;
            }
            let wait = self.next().saturating_duration_since(Instant::now());
            match heard.recv_timeout(wait) {
                Ok(()) => {
                    // However often it was asked for, it is one look.
                    heard.try_iter().for_each(drop);
                    (self.asking.due, self.telling.due, self.looking.due) = (None, None, None);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn next(&self) -> Instant {
        let pending = if self.memory.is_pending() { self.looking.due.max(self.telling.due) } else { None };
        let now = Instant::now();
        let asking = self.asking.due.unwrap_or(now);
        pending.map_or(asking, |pending| pending.min(asking))
    }

    fn turn(&mut self) -> Result<(), Closed> {
        if self.memory.is_pending() && self.looking.is_due() && self.telling.is_due() {
            self.tell_done();
        }
        if !self.asking.is_due() {
            return Ok(());
        }
        let every = self.poll.every;
        // A service whose messages are not over is not asked for ever more of them.
        if self.memory.pending().len() >= PENDING_MAX {
            self.asking.at_last(every);
            return Ok(());
        }
        match self.ask()? {
            Ok(()) => {
                self.asking.at_last(every);
                self.asking.streak.mend(&self.door, &self.shown);
            }
            Err(why) => {
                self.asking.later(every, AGAIN_MAX);
                let text = format!("{} gives no messages: {why}; it is asked again, ever more rarely", self.shown);
                self.asking.streak.fail(&self.door, &text);
            }
        }
        Ok(())
    }

    /// Asks once, and takes in what comes.
    fn ask(&mut self) -> Result<Result<(), String>, Closed> {
        let answer = match self.answer() {
            Ok(answer) => answer,
            Err(why) => return Ok(Err(why)),
        };
        let (letters, ids, unfit) = match self.letters(&answer) {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let (mut taken, mut refused) = (Vec::new(), None);
        let mut ids = ids.into_iter();
        for batch in batches(letters) {
            for (answer, id) in self.door.send(batch)?.into_iter().zip(&mut ids) {
                match answer {
                    Ok(_) => taken.push(id),
                    Err(why) => refused = Some(why),
                }
            }
            if refused.is_some() {
                break;
            }
        }
        let trouble = refused.or(unfit);
        if self.poll.done.is_some() {
            self.memory.expect(taken);
            self.looking.at_last(LOOK);
        }
        // What was not taken is asked for again.
        let cursor = self.poll.cursor.as_deref().and_then(|path| look_up(&answer, path));
        if let (None, Some(cursor)) = (&trouble, cursor.filter(|cursor| !cursor.is_null())) {
            self.memory.move_to(cursor.clone());
        }
        let saved = self.memory.save().map_err(|why| format!("the place it was read to cannot be written down: {why}"));
        Ok(trouble.map_or(saved, Err))
    }

    fn answer(&self) -> Result<Json, String> {
        let params = match (&self.poll.cursor, self.memory.cursor()) {
            (Some(_), Some(cursor)) => Map::from_iter([("cursor".to_owned(), cursor.clone())]),
            (Some(_), None) | (None, _) => Map::new(),
        };
        let (fetched, is_wanted) = call(&self.poll.ask, json!({}), &params)?;
        if !is_wanted {
            return Err(fetched.said);
        }
        // The words of the parser quote nothing.
        serde_json::from_slice(&fetched.body).map_err(|error| {
            format!("its answer is no JSON: something is wrong at {}:{}", error.line(), error.column())
        })
    }

    /// The messages of an answer, with their ids at the service; and what is wrong with the first that cannot be one.
    fn letters(&self, answer: &Json) -> Result<Taken, String> {
        let path = &*self.poll.items;
        let items = if path.is_empty() { Some(answer) } else { look_up(answer, path) };
        let items = match items {
            Some(Json::Array(items)) => items,
            // Nothing is a common way to say that there is nothing.
            None | Some(Json::Null) if !path.is_empty() && answer.is_object() && !is_misnamed(answer, path) => {
                return Ok((Vec::new(), Vec::new(), None));
            }
            _ => {
                let place = if path.is_empty() { "its answer".to_owned() } else { format!("`{path}` of its answer") };
                return Err(format!("{place} is no list; see `items`"));
            }
        };
        if items.len() > ITEMS_MAX {
            return Err(format!("its answer has {} messages, at most {ITEMS_MAX} are taken at once", items.len()));
        }
        let (mut letters, mut ids, mut trouble) = (Vec::new(), Vec::new(), None);
        for (index, item) in items.iter().enumerate() {
            match self.letter(item) {
                Ok((letter, id)) => {
                    letters.push(letter);
                    ids.push(id);
                }
                Err(why) => _ = trouble.get_or_insert(format!("message {} of its answer {why}", index + 1)),
            }
        }
        Ok((letters, ids, trouble))
    }

    fn letter(&self, item: &Json) -> Result<(Letter, String), String> {
        let id = match look_up(item, &self.poll.id) {
            Some(Json::String(text)) => text.clone(),
            Some(Json::Number(number)) => number.to_string(),
            _ => return Err(format!("has no id at `{}`; see `id`", self.poll.id)),
        };
        let text = |name: &str| item.get(name).and_then(Json::as_str).map(line).unwrap_or_default();
        let mut letter = Letter::new(self.door.object.clone(), "http", item.to_string().into_bytes());
        letter.id = Some(id.clone());
        (letter.kind, letter.subject, letter.sender) = (text("type"), text("subject"), text("from"));
        let faults: Vec<String> = letter.faults().iter().map(ToString::to_string).collect();
        if faults.is_empty() { Ok((letter, id)) } else { Err(format!("cannot be taken: {}", faults.join("; "))) }
    }

    /// Tells the service which messages are over.
    fn tell_done(&mut self) {
        let Some(done) = self.poll.done.clone() else {
            self.memory.forget_all();
            return;
        };
        let over = match self.over() {
            Ok(over) => over,
            Err(why) => {
                self.looking.later(LOOK, LOOK_MAX);
                tracing::debug!(object = %self.door.object, "{why}");
                return;
            }
        };
        match over.is_empty() {
            true => self.looking.later(LOOK, LOOK_MAX),
            false => self.looking.at_last(LOOK),
        }
        for id in over {
            if let Err(why) = tell(&done, &id) {
                self.telling.later(Duration::from_secs(1), AGAIN_MAX);
                let text = format!("{} cannot be told that a message is over: {why}; it is told again", self.shown);
                self.telling.streak.fail(&self.door, &text);
                break;
            }
            self.memory.forget(&id);
            (self.telling.turns, self.telling.due) = (0, None);
            self.telling.streak.mend(&self.door, &self.shown);
        }
        // What is told twice does no harm.
        _ = self.memory.save();
    }

    /// The ids of messages that are over: done, dead, cancelled, or remembered no more.
    fn over(&self) -> Result<Vec<String>, String> {
        let reader = Reader::open(&self.store).map_err(|trouble| trouble.to_string())?;
        let mut over = Vec::new();
        for id in self.memory.pending() {
            let row =
                reader.message(&self.door.object, &message::name_of(id)).map_err(|trouble| trouble.to_string())?;
            let is_over = row.is_none_or(|row| match row.state {
                MessageState::Ok | MessageState::Dead | MessageState::Cancelled => true,
                MessageState::Available | MessageState::Scheduled | MessageState::Behind | MessageState::Claimed => {
                    false
                }
            });
            if is_over {
                over.push(id.clone());
            }
        }
        Ok(over)
    }
}

/// Letters in bounded batches.
fn batches(letters: Vec<Letter>) -> Vec<Vec<Letter>> {
    let mut batches: Vec<Vec<Letter>> = Vec::new();
    let mut bytes = usize::MAX;
    for letter in letters {
        bytes = bytes.saturating_add(letter.payload.len());
        match batches.last_mut().filter(|batch| batch.len() < BATCH_MAX && bytes < BATCH_BYTES) {
            Some(batch) => batch.push(letter),
            None => {
                bytes = letter.payload.len();
                batches.push(vec![letter]);
            }
        }
    }
    batches
}

/// True when a path misses by its first step, as a misspelled one does.
fn is_misnamed(answer: &Json, path: &str) -> bool {
    answer.get(path.split('.').next().unwrap_or_default()).is_none()
}

/// One line of text that fits.
fn line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }) {
        if line.len() + c.len_utf8() > WORD_MAX {
            break;
        }
        line.push(c);
    }
    line
}

/// Says of one message that it is over. One that the service does not know any more is told already.
fn tell(done: &Way, id: &str) -> Result<(), String> {
    let mut done = done.clone();
    if let Some(url) = done.orders.pointer_mut("/http/url")
        && let Some(text) = url.as_str()
    {
        *url = Json::String(text.replace("{id}", &http::escaped(id)));
    }
    let (fetched, is_wanted) = call(&done, json!({ "message": { "id": id } }), &Map::new())?;
    if is_wanted || matches!(fetched.status, 404 | 410) { Ok(()) } else { Err(fetched.said) }
}

/// One call; whether its answer is a success.
fn call(way: &Way, scope: Json, params: &Map<String, Json>) -> Result<(Fetched, bool), String> {
    let given = environment::gather(&way.launch)?;
    let orders = Scope::of(scope).fill(&way.orders).map_err(|why| why.to_string())?.unwrap_or_default();
    let order = order::parse(orders.to_string().as_bytes()).map_err(|failure| failure.to_string())?;
    let Called::Http(request) = order.work else { return Err("it is no request".to_owned()) };
    let request = request.found(|name| given.env.get(std::ffi::OsStr::new(name))?.to_str().map(str::to_owned));
    let mut web = Web::new();
    web.hurry(WITHIN);
    let fetched = http::fetch(&web, &request, params).map_err(|failure| failure.to_string())?;
    let is_wanted = request.is_wanted(fetched.status);
    Ok((fetched, is_wanted))
}

/// A service as people know it, without what may be secret in its address.
fn shown(poll: &Poll) -> String {
    let url = poll.ask.orders.pointer("/http/url").and_then(Json::as_str).unwrap_or_default();
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_ever_more_rarely() {
        let mut pace = Pace::default();
        let mut spans = Vec::new();
        for _ in 0..5 {
            let now = Instant::now();
            pace.later(Duration::from_secs(60), Duration::from_secs(600));
            spans.push(pace.due.expect("a moment").duration_since(now).as_secs_f64().round());
        }
        assert_eq!(spans, [60.0, 120.0, 240.0, 480.0, 600.0]);
        let now = Instant::now();
        pace.turns = 0;
        pace.later(Duration::from_secs(3600), Duration::from_secs(600));
        let span = pace.due.expect("a moment").duration_since(now).as_secs_f64().round();
        assert!(span >= 3600.0, "never sooner than it is asked when it is well: {span}");
    }

    #[test]
    fn batches_are_bounded_by_number_and_by_size() {
        let letter = |bytes: usize| {
            Letter::new(crate::engine::ObjectRef::new("mailbox", "a").expect("a name"), "http", vec![0; bytes])
        };
        let sizes = |letters: Vec<Letter>| batches(letters).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..250).map(|_| letter(1)).collect()), [100, 100, 50]);
        assert_eq!(sizes((0..3).map(|_| letter(5 << 20)).collect()), [1, 1, 1]);
        assert_eq!(sizes(Vec::new()), Vec::<usize>::new());
    }
}
