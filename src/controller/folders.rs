//! Live folders, and the desired state itself, watched for changes.
//!
//! In: file events, which are hints, and a slow net. Out: new generations, and a note to the loop for each.
//! Not here: what a folder means ([`crate::desired::live`]). The surprise: all of it happens on a thread of its own,
//! so that a slow disk or a broken file never delays supervision.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedSender;

use super::books::Asker;
use super::requests::Requests;
use super::runs::Wish;
use crate::desired::{Store, StoreError, attempts, live, manifests};
use crate::engine::ObjectRef;
use crate::home::Home;
use crate::load::{Cache, FileReading, FolderReading, Trust, reload_folder};

/// How often folders are read although nothing was heard of them.
const NET: Duration = Duration::from_secs(30);

/// Every so many such looks read contents; the others go by the times of files.
const CONTENTS_EVERY: u32 = 20;

/// Looks for which something was heard come no sooner after each other.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How long a file must have been gone.
const GONE_FOR: Duration = Duration::from_secs(2);

/// A file that does not parse is read again after this, in case it was being written.
const HALF_WRITTEN: Duration = Duration::from_millis(50);

/// After a look that failed, the next one that nothing asked for comes no sooner.
const FAILED_AGAIN: Duration = Duration::from_secs(2);

/// What the loop is told.
#[derive(Debug)]
pub enum Note {
    /// There may be a new generation.
    Desired,
    /// A person should know.
    Problem(String),
    /// All that is wrong with live folders now, in place of what was.
    Folders(Faults),
    /// Files that Triggers watch have changed.
    Changes(crate::watch::News),
    /// The items of an object are others.
    Items(super::items::News),
    /// Of where messages come from.
    Source(super::sources::News),
    /// Something happened that people may want to know.
    Event {
        /// About what.
        subject: String,
        /// One of the words of events.
        word: &'static str,
        /// In words.
        text: String,
        /// The same as data.
        data: Json,
    },
    /// A run is to be ended, or to have another go.
    Wish {
        /// What is wished.
        wish: Wish,
        /// Who wishes it.
        by: String,
        /// Where the answer goes.
        answer: Asker,
    },
}

/// What is wrong with live folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// In words, as people read them.
    pub said: Vec<String>,
    /// Files with an error, by path, each with the place of the first.
    pub files: BTreeMap<String, String>,
}

/// The most files with an error that are named.
const FAULTS_MAX: usize = 1000;

enum Hint {
    Look,
    Desired,
    Folder,
}

/// The thread.
#[derive(Debug)]
pub struct Worker {
    hints: Sender<Hint>,
}

impl Worker {
    /// Starts watching.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(home: Home, folders: Vec<PathBuf>, notes: UnboundedSender<Note>) -> io::Result<Worker> {
        let (hints, heard) = channel();
        let work = Work::new(home, folders, notes, hints.clone());
        std::thread::Builder::new().name("folders".to_owned()).spawn(move || work.run(&heard))?;
        Ok(Worker { hints })
    }

    /// Has everything read again.
    pub fn look(&self) {
        _ = self.hints.send(Hint::Look);
    }
}

struct Work {
    home: Home,
    store: Store,
    requests: Requests,
    readers: Vec<Reader>,
    notes: UnboundedSender<Note>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, u64>,
    vanished: BTreeMap<ObjectRef, Instant>,
    /// What is wrong by this look at the files, by what follows from them, and all of it as it was last told.
    faults: Faults,
    planned: Vec<String>,
    told: Faults,
    trust: Trust,
    nets: u32,
    /// The files of all folders and the generation, as they were when last applied.
    applied: Option<(Vec<Arc<FileReading>>, Option<u64>)>,
}

/// A live folder with what was read of it before.
struct Reader {
    path: PathBuf,
    is_user_layer: bool,
    cache: Cache,
}

impl Work {
    fn new(home: Home, folders: Vec<PathBuf>, notes: UnboundedSender<Note>, hints: Sender<Hint>) -> Work {
        // Once it exists, its absence means that somebody took it away, and is told.
        _ = std::fs::DirBuilder::new().mode(0o700).create(home.jobs());
        let desired = home.desired();
        let hear = move |event: notify::Result<notify::Event>| {
            let is_noise = |event: &notify::Event| event.kind.is_access() && !event.need_rescan();
            let hint = match &event {
                Ok(event) if is_noise(event) => return,
                Ok(event) if event.paths.iter().all(|path| path.starts_with(&desired)) => Hint::Desired,
                Ok(_) | Err(_) => Hint::Folder,
            };
            // Nobody listens any more when the controller ends.
            _ = hints.send(hint);
        };
        let store = Store::open(&home);
        let requests = Requests::new(&home);
        let live = |path, is_user_layer| Reader { path, is_user_layer, cache: Cache::default() };
        let mut readers: Vec<Reader> = folders.into_iter().map(|path| live(path, false)).collect();
        readers.push(live(home.jobs(), true));
        let watcher = notify::recommended_watcher(hear).ok();
        Work {
            home,
            store,
            requests,
            readers,
            notes,
            watcher,
            watched: BTreeMap::new(),
            vanished: BTreeMap::new(),
            faults: Faults::default(),
            planned: Vec::new(),
            told: Faults::default(),
            trust: Trust::Contents,
            nets: 0,
            applied: None,
        }
    }

    /// How the next look that nothing asked for tells files apart.
    fn nets(&mut self) -> Trust {
        self.nets += 1;
        if self.nets.is_multiple_of(CONTENTS_EVERY) { Trust::Contents } else { Trust::Times }
    }

    fn run(mut self, heard: &Receiver<Hint>) {
        let mut is_due = true;
        let mut looked = Instant::now();
        let mut has_failed = false;
        loop {
            self.arm();
            if is_due {
                self.faults = Faults::default();
                has_failed = self.apply().map_err(|error| self.faults.said.push(error.to_string())).is_err();
                if let Err(error) = self.requests.serve(&self.notes) {
                    self.faults.said.push(error);
                    has_failed = true;
                }
                self.tell();
            }
            if has_failed {
                // What failed may go well the next time, though no file has changed.
                self.applied = None;
            }
            match heard.recv_timeout(self.patience(has_failed)) {
                Ok(first) => {
                    // The first of many is answered at once; a file that is written without end is read now and then.
                    std::thread::sleep(BETWEEN_LOOKS.saturating_sub(looked.elapsed()));
                    looked = Instant::now();
                    let hints: Vec<Hint> = std::iter::once(first).chain(heard.try_iter()).collect();
                    is_due = hints.iter().any(|hint| matches!(hint, Hint::Look | Hint::Folder));
                    // A file that has changed shows it by its times, or is too fresh to go by them.
                    let is_asked = hints.iter().any(|hint| matches!(hint, Hint::Look));
                    self.trust = if is_asked { Trust::Contents } else { Trust::Times };
                    if hints.iter().any(|hint| matches!(hint, Hint::Desired)) {
                        self.note(Note::Desired);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    is_due = true;
                    self.trust = self.nets();
                    self.note(Note::Desired);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How long nothing is looked at unless something is heard.
    fn patience(&self, has_failed: bool) -> Duration {
        let confirm = self.vanished.values().min().map(|since| (*since + GONE_FOR).duration_since(Instant::now()));
        let wait = confirm.map_or(NET, |wait| wait.min(NET));
        // A vanished file is confirmed by a look that goes well; on a full disk it would be due again at once, for ever.
        if has_failed { wait.max(FAILED_AGAIN) } else { wait }
    }

    fn note(&self, note: Note) {
        // A loop that has ended wants no notes.
        _ = self.notes.send(note);
    }

    /// Logs what is new, and says what is wrong now: what has been mended is wrong no more.
    fn tell(&mut self) {
        let mut faults = std::mem::take(&mut self.faults);
        faults.said.extend(self.planned.iter().cloned());
        faults.said.truncate(FAULTS_MAX);
        let before: BTreeSet<&String> = self.told.said.iter().collect();
        faults.said.iter().filter(|text| !before.contains(text)).for_each(|text| tracing::warn!("{text}"));
        if faults != self.told {
            self.note(Note::Folders(faults.clone()));
            self.told = faults;
        }
    }

    /// Watches what is there now. A folder that is not is noticed by the net.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let desired = (self.home.desired(), RecursiveMode::NonRecursive);
        let folders = self.readers.iter().map(|reader| (reader.path.clone(), RecursiveMode::Recursive));
        let requests = (self.home.requests(), RecursiveMode::NonRecursive);
        for (path, mode) in folders.chain([desired, requests]) {
            let inode = std::fs::metadata(&path).ok().map(|meta| std::os::unix::fs::MetadataExt::ino(&meta));
            match inode {
                Some(inode) if self.watched.get(&path) != Some(&inode) => {
                    _ = watcher.unwatch(&path);
                    if watcher.watch(&path, mode).is_ok() {
                        self.watched.insert(path, inode);
                    }
                }
                Some(_) => {}
                None => _ = self.watched.remove(&path),
            }
        }
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        let readings: Vec<Option<FolderReading>> = (0..self.readers.len()).map(|at| self.read(at)).collect();
        let files: Vec<Arc<FileReading>> =
            readings.iter().flatten().flat_map(|reading| reading.files.iter().cloned()).collect();
        let newest = self.store.numbers()?.last().copied();
        if self.vanished.is_empty() && self.is_applied(&files, newest) {
            return Ok(());
        }
        // Only a look that finds something new takes the lock.
        let mut locked = self.store.lock(&|_| {})?;
        let base = Arc::clone(locked.base());
        let read = self.readers.iter().zip(&readings);
        let folders: Vec<live::Folder> = read
            .filter_map(|(reader, reading)| {
                let reading = reading.as_ref()?;
                Some(manifests::live_folder(&base, reader.path.clone(), reading, reader.is_user_layer))
            })
            .collect();
        let now = Instant::now();
        let confirmed: BTreeSet<ObjectRef> = self
            .vanished
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= GONE_FOR)
            .map(|(id, _)| id.clone())
            .collect();
        let attempts = |object: &ObjectRef| attempts::last_attempts(&self.home, object);
        let failed = |source| StoreError::Io { path: self.home.root().to_owned(), action: "draw an id in", source };
        let mut outcome = live::plan(&base, &folders, &confirmed, &attempts).map_err(failed)?;
        let mut applied = newest;
        if let Some(draft) = outcome.draft.take() {
            let next = locked.commit(draft)?;
            applied = Some(next.generation);
            let changes = outcome.changes.len();
            tracing::info!(generation = next.generation, changes, "applied the live folders");
            self.note(Note::Desired);
        }
        drop(locked);
        crate::execute::limits::trim_memory();
        // A folder that cannot be listed says nothing by its files, so it is looked at each time.
        let is_listed = readings.iter().flatten().all(|reading| reading.listing.is_empty());
        self.applied = is_listed.then_some((files, applied));
        self.vanished.retain(|id, _| outcome.unconfirmed.contains(id));
        for id in outcome.unconfirmed {
            self.vanished.entry(id).or_insert(now);
        }
        self.planned = outcome.warnings;
        Ok(())
    }

    /// True when these files are the ones that were applied last, and nobody has written a generation since.
    fn is_applied(&self, files: &[Arc<FileReading>], newest: Option<u64>) -> bool {
        self.applied.as_ref().is_some_and(|(before, generation)| {
            *generation == newest
                && before.len() == files.len()
                && before.iter().zip(files).all(|(before, file)| Arc::ptr_eq(before, file))
        })
    }

    /// Reads one folder; twice when a file of it does not parse.
    fn read(&mut self, at: usize) -> Option<FolderReading> {
        let reader = self.readers.get_mut(at)?;
        let mut reading = reload_folder(&reader.path, &mut reader.cache, self.trust);
        if !reading.is_whole {
            std::thread::sleep(HALF_WRITTEN);
            reading = reload_folder(&reader.path, &mut reader.cache, Trust::Contents);
        }
        let broken = reading.files.iter().flat_map(|file| &file.problems).chain(&reading.listing);
        let doubtful = reading.files.iter().flat_map(|file| &file.warnings);
        let told = broken.map(|problem| problem.render(true, false));
        self.faults.said.extend(told.chain(doubtful.map(|problem| problem.render(false, false))));
        let room = FAULTS_MAX.saturating_sub(self.faults.files.len());
        for file in reading.files.iter().filter(|file| file.is_broken()).take(room) {
            if let Some(problem) = file.problems.first() {
                self.faults.files.insert(file.path.display().to_string(), problem.place.to_string());
            }
        }
        Some(reading)
    }
}
