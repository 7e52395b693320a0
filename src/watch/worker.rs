//! The thread that watches files for all Triggers.
//!
//! In: rules, what the controller says of their runs. Out: batches of changes, and facts for people. Not here: listing
//! (`tree`), what a run itself wrote (`own`).
//! The surprise: it sleeps until something is heard. Where the system tells about every folder there is no clock in it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde::Serialize;

use super::marks::{Hint, Marks, Of, Spot};
use super::own::Own;
use super::pending::{Change, Pending};
use super::tree::{Dirt, Tree};
use crate::engine::queue::WatchRule;
use crate::engine::{ObjectRef, Timestamp};
use crate::observe::clock::wall;

/// How often folders are listed that the system does not tell about.
pub const POLL_EVERY: Duration = Duration::from_secs(30);
/// Where files are never quiet, changes are told after so many times the quiet that was asked for.
const PATIENCE: u32 = 10;
/// And after this.
const PATIENCE_MAX: Duration = Duration::from_secs(10);
/// How many changes and products are told to people.
const SHOWN_MAX: usize = 10;

/// A Trigger that watches files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub object: ObjectRef,
    /// Its uid: another one is another Trigger.
    pub uid: Arc<str>,
    /// What it watches.
    pub rule: Arc<WatchRule>,
}

/// What the thread is told.
#[derive(Debug)]
pub enum Order {
    /// These are all there are.
    Follow(Vec<Wanted>),
    /// How the runs of one stand.
    Work(Work),
    /// List everything again.
    Look,
}

/// How the runs of a Trigger stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose.
    pub object: ObjectRef,
    /// At least one is at work.
    pub is_at_work: bool,
    /// There is no room for another, or one waits already.
    pub is_full: bool,
    /// The last batch that was taken or refused.
    pub heard: u64,
    /// When this was so.
    pub at: Timestamp,
}

/// Changes of files, to be told.
#[derive(Debug)]
pub struct Batch {
    /// To which Trigger.
    pub object: ObjectRef,
    /// Counts the batches of a Trigger.
    pub number: u64,
    /// What has changed.
    pub changes: Pending,
}

/// What people may know of a Trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// How many files count.
    pub files: usize,
    /// How many folders the system tells about.
    pub folders: usize,
    /// How many it does not: they are listed every 30 s.
    pub polled: usize,
    /// Changes that wait for the end of a run.
    pub kept: usize,
    /// The last changes that were found, newest first.
    pub last: VecDeque<Seen>,
    /// Files that its own runs write: such changes do not count.
    pub products: Vec<String>,
    /// What is wrong.
    pub trouble: Vec<String>,
}

/// A change, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The file.
    pub path: String,
    /// What.
    pub change: &'static str,
    /// When, in nanoseconds.
    #[serde(skip)]
    pub at: Timestamp,
}

/// What the thread tells.
#[derive(Debug)]
pub enum News {
    /// Changes.
    Batch(Batch),
    /// What people may know.
    Facts(ObjectRef, Arc<Facts>),
    /// These files are taken for the work of its own runs from now on.
    Products(ObjectRef, Vec<PathBuf>),
    /// A person should know.
    Trouble(ObjectRef, String),
}

/// The thread.
#[derive(Debug)]
pub struct Worker {
    orders: Sender<Order>,
    bell: Arc<OwnedFd>,
}

impl Worker {
    /// Starts it. Nothing in the folder `never` counts.
    ///
    /// # Errors
    /// When the system lacks a thread or a descriptor.
    pub fn start(never: PathBuf, tell: impl Fn(News) + Send + 'static) -> io::Result<Worker> {
        let (orders, ordered) = channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let marks = Marks::new()?;
        let heard = Arc::clone(&bell);
        let tell = Box::new(tell);
        let watch = Watch { marks, never, tell, all: BTreeMap::new(), next: 1, poll_at: None };
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || watch.run(&ordered, &heard))?;
        Ok(Worker { orders, bell })
    }

    /// Tells it something.
    pub fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            // A bell that cannot ring any louder rings already.
            _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It looks whether anybody is left to take orders from.
        let (orders, _) = channel();
        self.orders = orders;
        _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

struct Watch {
    marks: Marks,
    never: PathBuf,
    tell: Box<dyn Fn(News) + Send>,
    all: BTreeMap<u64, One>,
    next: u64,
    poll_at: Option<Instant>,
}

/// One Trigger.
struct One {
    wanted: Wanted,
    tree: Tree,
    dirty: BTreeMap<Spot, Dirt>,
    /// When something was first heard since the last look, and last.
    heard: Option<(Instant, Instant)>,
    /// There may be a new folder.
    is_grown: bool,
    pending: Pending,
    own: Own,
    /// Batches that were told, and those that were taken.
    told: u64,
    taken: u64,
    is_full: bool,
    facts: Facts,
}

impl Watch {
    fn run(mut self, ordered: &Receiver<Order>, bell: &OwnedFd) {
        loop {
            self.wait(bell);
            // Before orders: what a run wrote has been heard of when its end is.
            self.hear();
            loop {
                match ordered.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.look();
        }
    }

    /// Sleeps until something is heard, told, or due.
    fn wait(&self, bell: &OwnedFd) {
        let due = self.all.values().filter_map(One::due).chain(self.poll_at).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::from_borrowed_fd(self.marks.fd(), PollFlags::IN), PollFd::new(bell, PollFlags::IN)];
        // An interruption is a reason to look like any other.
        _ = poll(&mut fds, left.as_ref());
        let mut rung = [0; 8];
        _ = rustix::io::read(bell.as_fd(), &mut rung);
    }

    fn hear(&mut self) {
        let now = (Instant::now(), wall());
        for hint in self.marks.take() {
            match hint {
                Hint::Lost => self.all.values_mut().for_each(|one| one.soil_all(now.0)),
                Hint::Folder { user, name, is_gone, is_folder } => {
                    let Some(one) = self.all.get_mut(&user.trigger) else { continue };
                    match user.of {
                        Of::Way(base, _) => {
                            one.is_grown = true;
                            one.soil(Spot { base, below: PathBuf::new() }, None, now);
                        }
                        Of::Folder(spot) => {
                            let is_noise =
                                |name: &std::ffi::OsString| !is_folder && !one.tree.is_of_interest(&spot, name);
                            if !name.as_ref().is_some_and(is_noise) {
                                one.is_grown |= is_folder && !is_gone;
                                one.soil(spot, name.filter(|_| is_gone), now);
                            }
                        }
                    }
                }
            }
        }
        // A new folder is marked at once: whoever writes in it is heard only then, and the quiet begins after that.
        for one in self.all.values_mut().filter(|one| one.is_grown) {
            one.look(&mut self.marks);
        }
        if self.poll_at.is_some_and(|at| at <= now.0) {
            for one in self.all.values_mut() {
                let polled = one.tree.polled().clone();
                polled.into_iter().for_each(|spot| one.soil(spot, None, now));
            }
            self.poll_at = None;
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow(wanted) => self.follow(wanted),
            Order::Look => self.all.values_mut().for_each(|one| one.soil_all(Instant::now())),
            Order::Work(work) => {
                let Some(one) = self.all.values_mut().find(|one| one.wanted.object == work.object) else { return };
                one.taken = one.taken.max(work.heard);
                one.is_full = work.is_full;
                if work.is_at_work { one.own.begin(work.at) } else { one.own.end(work.at) }
            }
        }
    }

    /// Begins and ends watching. What is there when it begins is no change.
    fn follow(&mut self, wanted: Vec<Wanted>) {
        let is_same = |one: &One| wanted.contains(&one.wanted);
        let mut gone: Vec<One> = Vec::new();
        let numbers: Vec<u64> = self.all.iter().filter(|(_, one)| !is_same(one)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(mut one) = self.all.remove(&number) {
                // What has changed by now still counts, by the rule that it had.
                let dirty = std::mem::take(&mut one.dirty);
                one.pending.extend(one.tree.look(&dirty, &mut self.marks));
                self.marks.release_all(number);
                gone.push(one);
            }
        }
        for new in wanted {
            if self.all.values().any(|one| one.wanted == new) {
                continue;
            }
            let number = self.next;
            self.next += 1;
            let before = gone.iter().position(|one| one.wanted.object == new.object && one.wanted.uid == new.uid);
            let before = before.map(|index| gone.swap_remove(index));
            let mut one = One::new(new, number, &self.never, before);
            let bases = one.tree.bases().into_iter().map(|spot| (spot, Dirt::default())).collect();
            _ = one.tree.look(&bases, &mut self.marks);
            self.all.insert(number, one);
        }
        self.tell_facts();
    }

    /// Looks at what is due, and tells what has changed.
    fn look(&mut self) {
        let now = Instant::now();
        let mut is_new = false;
        for one in self.all.values_mut() {
            if one.due().is_some_and(|due| due <= now) {
                one.heard = None;
                one.look(&mut self.marks);
                is_new = true;
            }
            let is_busy = one.told > one.taken || one.is_full;
            if !one.pending.is_empty() && one.heard.is_none() && !is_busy {
                one.tell(&self.tell);
                is_new = true;
            }
        }
        if is_new {
            self.tell_facts();
        }
    }

    fn tell_facts(&mut self) {
        for (number, one) in &mut self.all {
            let mut facts = one.facts.clone();
            (facts.files, facts.polled, facts.kept) = (one.tree.files(), one.tree.polled().len(), one.pending.0.len());
            facts.folders = self.marks.count(*number);
            facts.products = one.own.products().iter().take(SHOWN_MAX).map(|path| shown(path)).collect();
            for trouble in one.tree.trouble() {
                if !facts.trouble.contains(trouble) {
                    (self.tell)(News::Trouble(one.wanted.object.clone(), trouble.clone()));
                }
            }
            facts.trouble = one.tree.trouble().iter().take(SHOWN_MAX).cloned().collect();
            if facts != one.facts {
                one.facts = facts;
                (self.tell)(News::Facts(one.wanted.object.clone(), Arc::new(one.facts.clone())));
            }
        }
        if self.poll_at.is_none() && self.all.values().any(|one| !one.tree.polled().is_empty()) {
            self.poll_at = Some(Instant::now() + POLL_EVERY);
        }
    }
}

impl One {
    fn new(wanted: Wanted, number: u64, never: &Path, before: Option<One>) -> One {
        let tree = Tree::new(number, &wanted.rule, never);
        let (dirty, heard, is_grown, facts) = (BTreeMap::new(), None, false, Facts::default());
        match before {
            Some(One { pending, own, told, taken, is_full, .. }) => {
                One { wanted, tree, dirty, heard, is_grown, pending, own, told, taken, is_full, facts }
            }
            None => {
                let (pending, own) = (Pending::default(), Own::default());
                One { wanted, tree, dirty, heard, is_grown, pending, own, told: 0, taken: 0, is_full: false, facts }
            }
        }
    }

    fn soil(&mut self, spot: Spot, gone: Option<std::ffi::OsString>, (now, at): (Instant, Timestamp)) {
        let dirt = self.dirty.entry(spot).or_default();
        if let Some(name) = gone {
            dirt.gone.insert(name, at);
        }
        self.heard = Some((self.heard.map_or(now, |(first, _)| first), now));
    }

    fn soil_all(&mut self, now: Instant) {
        for spot in self.tree.all() {
            self.dirty.entry(spot).or_default();
        }
        self.heard = Some((self.heard.map_or(now, |(first, _)| first), now));
    }

    /// When it is looked at.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.heard?;
        let settle = self.wanted.rule.settle;
        let patience = settle.saturating_mul(PATIENCE).min(PATIENCE_MAX).max(settle);
        Some((last + settle).min(first + patience))
    }

    /// Lists what may have changed, and keeps what has.
    fn look(&mut self, marks: &mut Marks) {
        self.is_grown = false;
        let dirty = std::mem::take(&mut self.dirty);
        let found = self.tree.look(&dirty, marks);
        for (path, noted) in found.0.iter().take(SHOWN_MAX) {
            self.facts.last.push_front(Seen { path: shown(path), change: noted.change.word(), at: noted.at });
        }
        self.facts.last.truncate(SHOWN_MAX);
        self.pending.extend(found);
    }

    /// Tells what has changed, without what its own runs wrote.
    fn tell(&mut self, tell: &dyn Fn(News)) {
        let mut changes = std::mem::take(&mut self.pending);
        let kinds = self.wanted.rule.changes;
        changes.0.retain(|_, noted| match noted.change {
            Change::Create => kinds.is_create,
            Change::Modify => kinds.is_modify,
            Change::Delete => kinds.is_delete,
        });
        let products = self.own.sift(&mut changes);
        if !products.is_empty() {
            tell(News::Products(self.wanted.object.clone(), products));
        }
        if !changes.is_empty() {
            self.told += 1;
            tell(News::Batch(Batch { object: self.wanted.object.clone(), number: self.told, changes }));
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().chars().filter(|c| !c.is_control()).take(200).collect()
}
