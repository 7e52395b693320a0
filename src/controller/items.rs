//! Lists what instances are made for, whenever that may have changed.
//!
//! In: the rules of objects, file events as hints, and a slow net. Out: a note to the loop for each list that differs.
//! Not here: listing itself, and what a vanished item means.
//! The surprise: every listing has a thread of its own for as long as it takes, a few at a time; so neither a hung disk
//! nor a slow command keeps another object waiting, let alone the loop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::core::Core;
use super::folders::Note;
use crate::engine::desired::Spec;
use crate::engine::expand::{ForEach, Item, Items};
use crate::engine::{Cause, Desired, InstanceId, Now, ObjectRef, Sight};
use crate::execute::reference::{Bounds, output};
use crate::observe::items::{Listed, base, of_glob, of_lines};

/// How often files are listed although nothing was heard of them.
const NET: Duration = Duration::from_secs(30);

/// The same while they cannot be told.
const UNREADABLE_AGAIN: Duration = Duration::from_secs(5);

/// Listings of one object come no sooner after each other.
const BETWEEN: Duration = Duration::from_millis(50);

/// How many listings are under way at once.
const LISTINGS_MAX: usize = 8;

/// The most a command may print, in bytes.
const OUTPUT_MAX: usize = 1 << 20;

/// Which objects have items, and from where.
pub type Rules = BTreeMap<ObjectRef, ForEach>;

/// Every rule there is.
#[must_use]
pub fn rules(desired: &Desired) -> Rules {
    let rule = |(id, object): (&ObjectRef, &std::sync::Arc<crate::engine::Object>)| match &object.spec {
        Spec::Known(kind) => Some((id.clone(), kind.for_each()?.clone())),
        Spec::Opaque { .. } => None,
    };
    desired.objects.iter().filter_map(rule).collect()
}

/// Lists the items of one rule; it takes as long as it takes.
#[must_use]
pub fn list(rule: &ForEach) -> Sight<Listed> {
    let listed = match rule {
        ForEach::Glob(pattern) => of_glob(pattern),
        ForEach::Command { argv, dir, timeout, every: _ } => {
            let lines = output(argv, Path::new(&**dir), Bounds { within: *timeout, bytes: OUTPUT_MAX });
            let program = argv.first().map_or("", String::as_str);
            lines
                .and_then(|lines| of_lines(&lines))
                .map_err(|why| format!("its items cannot be told: {program}: {why}"))
        }
    };
    listed.map_or_else(|why| Sight::Unreadable { why: why.into() }, Sight::Seen)
}

/// A list that differs from the one before.
#[derive(Debug)]
pub struct News {
    object: ObjectRef,
    rule: ForEach,
    listed: Sight<Listed>,
}

#[derive(Debug)]
enum Hint {
    Follow(Rules),
    Look,
    Files,
    Listed(News),
}

/// The thread; there is none before something is to be listed.
#[derive(Debug)]
pub struct Worker {
    notes: UnboundedSender<Note>,
    hints: Option<Sender<Hint>>,
}

impl Worker {
    /// Nothing to list yet.
    #[must_use]
    pub fn new(notes: UnboundedSender<Note>) -> Worker {
        Worker { notes, hints: None }
    }

    /// Lists for these objects from now on, and for no others.
    pub fn follow(&mut self, rules: Rules) {
        if self.hints.is_none() && !rules.is_empty() {
            let (hints, heard) = channel();
            let (notes, own) = (self.notes.clone(), hints.clone());
            let work = move || Work::new(notes, own).run(&heard);
            match std::thread::Builder::new().name("items".to_owned()).spawn(work) {
                Ok(_) => self.hints = Some(hints),
                Err(error) => {
                    let text = format!("items cannot be listed: no thread is to be had: {error}");
                    _ = self.notes.send(Note::Problem(text));
                }
            }
        }
        self.hint(Hint::Follow(rules));
    }

    /// Has everything listed again.
    pub fn look(&self) {
        self.hint(Hint::Look);
    }

    fn hint(&self, hint: Hint) {
        _ = self.hints.as_ref().map(|hints| hints.send(hint));
    }
}

/// One object whose items are listed.
struct Entry {
    rule: ForEach,
    due: Instant,
    begun: Option<Instant>,
    is_listing: bool,
    last: Option<Sight<Listed>>,
}

struct Work {
    entries: BTreeMap<ObjectRef, Entry>,
    listings: usize,
    notes: UnboundedSender<Note>,
    hints: Sender<Hint>,
    /// Made with the first pattern, so that a home without any has no thread more.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, (u64, bool)>,
}

impl Work {
    fn new(notes: UnboundedSender<Note>, hints: Sender<Hint>) -> Work {
        Work { entries: BTreeMap::new(), listings: 0, notes, hints, watcher: None, watched: BTreeMap::new() }
    }

    fn run(mut self, heard: &Receiver<Hint>) {
        loop {
            self.begin();
            let due = self.entries.values().filter(|entry| !entry.is_listing).map(|entry| entry.due).min();
            // With all places taken, the end of a listing is what is waited for.
            let heard = match due.filter(|_| self.listings < LISTINGS_MAX) {
                Some(due) => heard.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(hint) => self.hear(hint),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn hear(&mut self, hint: Hint) {
        match hint {
            Hint::Follow(rules) => {
                self.entries.retain(|object, entry| rules.get(object) == Some(&entry.rule));
                for (object, rule) in rules {
                    let fresh = || Entry { rule, due: Instant::now(), begun: None, is_listing: false, last: None };
                    self.entries.entry(object).or_insert_with(fresh);
                }
                self.arm();
            }
            Hint::Look => self.hurry(|_| true),
            Hint::Files => self.hurry(|rule| matches!(rule, ForEach::Glob(_))),
            Hint::Listed(news) => self.listed(news),
        }
    }

    fn hurry(&mut self, is_meant: impl Fn(&ForEach) -> bool) {
        let now = Instant::now();
        for entry in self.entries.values_mut().filter(|entry| is_meant(&entry.rule)) {
            let soon = entry.begun.map_or(now, |begun| now.max(begun + BETWEEN));
            entry.due = entry.due.min(soon);
        }
    }

    /// Begins what is due, as far as there are places.
    fn begin(&mut self) {
        let now = Instant::now();
        for (object, entry) in &mut self.entries {
            if self.listings >= LISTINGS_MAX || entry.is_listing || entry.due > now {
                continue;
            }
            let (object, rule, hints) = (object.clone(), entry.rule.clone(), self.hints.clone());
            let listing = move || {
                let listed = list(&rule);
                _ = hints.send(Hint::Listed(News { object, rule, listed }));
            };
            // What is heard of while it lists makes it due again.
            entry.due = now + period(&entry.rule, true);
            if std::thread::Builder::new().name("listing".to_owned()).spawn(listing).is_ok() {
                (entry.is_listing, entry.begun) = (true, Some(now));
                self.listings += 1;
            }
        }
    }

    fn listed(&mut self, news: News) {
        self.listings = self.listings.saturating_sub(1);
        // Nobody asks any more for what was listed by an older rule.
        let Some(entry) = self.entries.get_mut(&news.object).filter(|entry| entry.rule == news.rule) else { return };
        entry.is_listing = false;
        let again = Instant::now() + period(&news.rule, matches!(news.listed, Sight::Seen(_)));
        entry.due = entry.due.min(again);
        if entry.last.as_ref() != Some(&news.listed) {
            entry.last = Some(news.listed.clone());
            _ = self.notes.send(Note::Items(news));
        }
        self.arm();
    }

    /// Watches the folders of all patterns as they are now. What is missed is noticed by the net.
    fn arm(&mut self) {
        let mut wanted: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for entry in self.entries.values() {
            if let ForEach::Glob(pattern) = &entry.rule {
                let base = base(pattern);
                *wanted.entry(base.folder).or_default() |= base.is_deep;
            }
        }
        if wanted.is_empty() && self.watched.is_empty() {
            return;
        }
        if self.watcher.is_none() {
            let hints = self.hints.clone();
            let hear = move |event: notify::Result<notify::Event>| {
                if event.as_ref().map_or(true, is_of_names) {
                    _ = hints.send(Hint::Files);
                }
            };
            self.watcher = notify::recommended_watcher(hear).ok();
        }
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|folder, _| {
            let is_wanted = wanted.contains_key(folder);
            if !is_wanted {
                _ = watcher.unwatch(folder);
            }
            is_wanted
        });
        for (folder, is_deep) in wanted {
            let inode = std::fs::metadata(&folder).map_or(0, |meta| std::os::unix::fs::MetadataExt::ino(&meta));
            if self.watched.get(&folder) == Some(&(inode, is_deep)) {
                continue;
            }
            _ = watcher.unwatch(&folder);
            let mode = if is_deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            if watcher.watch(&folder, mode).is_ok() {
                self.watched.insert(folder, (inode, is_deep));
                // What came before it was watched is seen by one more look.
                _ = self.hints.send(Hint::Files);
            }
        }
    }
}

fn period(rule: &ForEach, is_told: bool) -> Duration {
    match rule {
        ForEach::Glob(_) if is_told => NET,
        ForEach::Glob(_) => UNREADABLE_AGAIN,
        ForEach::Command { every, .. } => *every,
    }
}

/// True for events that can change which files there are; what is written into them changes nothing.
fn is_of_names(event: &notify::Event) -> bool {
    let is_of_names = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => true,
        EventKind::Any | EventKind::Other => true,
        EventKind::Access(_) | EventKind::Modify(_) => false,
    };
    is_of_names || event.need_rescan()
}

/// What a controller knows of items, as it answers `controller.items`. An object that it has not listed is left out.
#[must_use]
pub fn from_json(answer: &Value) -> BTreeMap<ObjectRef, Sight<Items>> {
    let sight = |value: &Value| {
        if let Some(why) = value.get("why").and_then(Value::as_str) {
            return Some(Sight::Unreadable { why: why.into() });
        }
        let item = |value: &Value| {
            let text = |at: usize| value.get(at).and_then(Value::as_str);
            Some((text(0)?.parse().ok()?, Item { text: text(1)?.into(), stem: text(2)?.into() }))
        };
        let listed = value.get("listed")?.as_array()?.iter().map(item).collect::<Option<Listed>>()?;
        Some(Sight::Seen(Items { listed, gone: BTreeMap::new() }))
    };
    let objects = answer.as_object().into_iter().flatten();
    objects.filter_map(|(object, value)| Some((object.parse().ok()?, sight(value)?))).collect()
}

impl Core {
    /// Which objects have items, and from where.
    #[must_use]
    pub fn item_rules(&self) -> &Rules {
        &self.item_rules
    }

    /// Takes in that the rules may have changed: what was listed by another rule is nothing to this one.
    pub(super) fn item_rules_changed(&mut self) {
        let rules = rules(&self.desired);
        let before = std::mem::replace(&mut self.item_rules, rules);
        let now = &self.item_rules;
        self.observed.items.retain(|object, _| now.get(object).is_some_and(|rule| before.get(object) == Some(rule)));
    }

    /// Takes in a new list.
    pub fn take_items(&mut self, News { object, rule, listed }: News) {
        if self.item_rules.get(&object) != Some(&rule) {
            return;
        }
        let gone = match self.observed.items.remove(&object) {
            Some(Sight::Seen(items)) => items.gone,
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => BTreeMap::new(),
        };
        let items = match listed {
            Sight::Seen(listed) => Sight::Seen(Items { listed, gone }),
            Sight::Absent => Sight::Absent,
            Sight::Unreadable { why } => Sight::Unreadable { why },
        };
        self.observed.items.insert(object, items);
        self.rules_changed();
    }

    /// True while the items of some object have not been listed for the first time.
    #[must_use]
    pub fn awaits_items(&self) -> bool {
        self.item_rules.len() > self.observed.items.len()
    }

    /// True while the items of this object have not been listed for the first time.
    pub(super) fn is_pending(&self, object: &ObjectRef) -> bool {
        self.item_rules.contains_key(object) && !self.observed.items.contains_key(object)
    }

    /// What is known of items, for [`from_json`].
    pub(super) fn items_json(&self) -> Value {
        let items = self.observed.items.iter().map(|(object, sight)| {
            let value = match sight {
                Sight::Seen(items) => {
                    let text = |(cause, item): (&Cause, &Item)| json!([cause.to_string(), item.text, item.stem]);
                    json!({ "listed": items.listed.iter().map(text).collect::<Vec<_>>() })
                }
                Sight::Unreadable { why } => json!({ "why": why }),
                Sight::Absent => json!({}),
            };
            (object.to_string(), value)
        });
        Value::Object(items.collect())
    }

    /// Remembers since when the items of live instances are missing.
    pub(super) fn note_gone(&mut self, now: &Now) {
        for (object, items) in &mut self.observed.items {
            let Sight::Seen(Items { listed, gone }) = items else { continue };
            let first = InstanceId { object: object.clone(), cause: Cause::Slot(0) };
            let of_it = self.observed.sightings.range(first..).take_while(|(id, _)| id.object == *object);
            let is_left = |(id, sighting): &(&InstanceId, &crate::engine::Sighting)| {
                sighting.sight != Sight::Absent && !listed.contains_key(&id.cause)
            };
            let since =
                |(id, _): (&InstanceId, _)| (id.cause.clone(), gone.get(&id.cause).copied().unwrap_or(now.boot));
            *gone = of_it.filter(is_left).map(since).collect();
        }
    }
}
