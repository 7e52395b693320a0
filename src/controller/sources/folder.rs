//! A drop folder: each file that is put into it is a message, and is removed once the disk has that.
//!
//! In: file events as hints, and a slow net. Out: letters; files that cannot be any go to `failed/`.
//! Not here: names, contents (`files`), and where the unfit go (`aside`).
//! The surprise: a file that was renamed into the folder, or closed after it was written, is read at once; of any other
//! nobody knows whether it is complete, so it has to look the same twice, some time apart.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::files::{self, Content, ENTRIES_MAX, Entry, Stamp, words};
use super::{BATCH_BYTES, BATCH_MAX, Closed, Door, Streak, aside};
use crate::mailbox::Letter;
use crate::observe::clock;

/// How often the folder is looked at although nothing was heard of it.
const NET: Duration = Duration::from_secs(30);

/// The same when nothing can be heard of it.
const DEAF_NET: Duration = Duration::from_secs(2);

/// How long a file of which nothing was heard has to look the same.
const STABLE: Duration = Duration::from_secs(2);

/// And one that is empty: its writer may have opened it and nothing more.
const STABLE_EMPTY: Duration = Duration::from_secs(30);

/// How many hints are kept; with more, nothing that was heard counts.
const HINTS_MAX: usize = 4096;

/// After a failure, the next try comes no sooner, and then twice as late each time.
const AGAIN: Duration = Duration::from_secs(1);

enum Hint {
    Look,
    /// It is complete.
    Closed(OsString),
    /// It is being written.
    Written(OsString),
}

/// The thread of one folder. It ends soon after this goes out of scope.
#[derive(Debug)]
pub(super) struct Listener {
    hints: SyncSender<Hint>,
    flags: Arc<Flags>,
}

#[derive(Debug, Default)]
struct Flags {
    is_over: AtomicBool,
    /// Hints were lost.
    is_lost: AtomicBool,
}

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(super) fn start(door: Door, folder: &str) -> io::Result<Listener> {
        let (hints, heard) = sync_channel(HINTS_MAX);
        let flags = Arc::new(Flags::default());
        let watcher = watcher(hints.clone(), flags.clone(), PathBuf::from(folder));
        let work = Work {
            door,
            folder: PathBuf::from(folder),
            flags: flags.clone(),
            watcher,
            watched: None,
            known: BTreeMap::new(),
            streak: Streak::default(),
            hold: None,
        };
        std::thread::Builder::new().name("drop folder".to_owned()).spawn(move || work.run(&heard))?;
        Ok(Listener { hints, flags })
    }

    /// Has the folder looked at.
    pub(super) fn look(&self) {
        // With so many hints on their way, it is looked at anyway.
        _ = self.hints.try_send(Hint::Look);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.flags.is_over.store(true, Ordering::Relaxed);
        self.look();
    }
}

/// Hears of files of the folder.
fn watcher(hints: SyncSender<Hint>, flags: Arc<Flags>, folder: PathBuf) -> Option<RecommendedWatcher> {
    let hear = move |event: notify::Result<notify::Event>| {
        for hint in hints_of(event, &folder) {
            if hints.try_send(hint).is_err() {
                flags.is_lost.store(true, Ordering::Relaxed);
            }
        }
    };
    notify::recommended_watcher(hear).ok()
}

fn hints_of(event: notify::Result<notify::Event>, folder: &Path) -> Vec<Hint> {
    let Ok(event) = event else { return vec![Hint::Look] };
    if event.need_rescan() {
        return vec![Hint::Look];
    }
    let names = || {
        let names = event.paths.iter().filter(|path| path.parent() == Some(folder));
        names.filter_map(|path| path.file_name()).filter(|name| !files::is_ignored(name)).map(OsString::from)
    };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => names().map(Hint::Closed).collect(),
        EventKind::Modify(ModifyKind::Data(_)) => names().map(Hint::Written).collect(),
        EventKind::Create(_) => names().map(|_| Hint::Look).collect(),
        // Files that go are mostly those that were taken; that the folder goes is news.
        EventKind::Remove(_) if event.paths.iter().any(|path| path == folder) => vec![Hint::Look],
        EventKind::Access(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => {
            Vec::new()
        }
    }
}

struct Work {
    door: Door,
    folder: PathBuf,
    flags: Arc<Flags>,
    watcher: Option<RecommendedWatcher>,
    /// The folder that is watched, by its inode.
    watched: Option<u64>,
    known: BTreeMap<OsString, Known>,
    streak: Streak,
    /// Nothing is tried before this; and how long that is.
    hold: Option<(Instant, Duration)>,
}

/// What is known of a file beside what a look shows.
#[derive(Clone, Debug)]
struct Known {
    stamp: Option<Stamp>,
    /// Since when it has looked the same.
    since: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was heard of it.
    Quiet,
    /// It is being written.
    Written,
    /// It is complete.
    Closed,
    /// It was taken, or is of no use, and cannot be moved; it is left alone while it looks like this.
    Left,
}

impl Known {
    fn new(state: State) -> Known {
        Known { stamp: None, since: Instant::now(), state }
    }

    /// When it may be read; none while that has to be heard first.
    fn ready_at(&self, entry: Entry) -> Option<Instant> {
        match self.state {
            State::Closed => Some(self.since),
            State::Quiet if entry.is_file && entry.is_empty() => Some(self.since + STABLE_EMPTY),
            State::Quiet => Some(self.since + STABLE),
            State::Written | State::Left => None,
        }
    }
}

/// A file that may be read.
type Ready = (OsString, Entry);

impl Work {
    fn run(mut self, heard: &Receiver<Hint>) {
        loop {
            let Ok(wait) = self.turn() else { return };
            match heard.recv_timeout(wait) {
                Ok(first) => {
                    std::iter::once(first).chain(heard.try_iter().take(HINTS_MAX)).for_each(|hint| self.hear(hint))
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn hear(&mut self, hint: Hint) {
        let (name, state) = match hint {
            Hint::Look => return,
            Hint::Closed(name) => (name, State::Closed),
            Hint::Written(name) => (name, State::Written),
        };
        self.known.entry(name).or_insert_with(|| Known::new(state)).state = state;
    }

    /// Looks, and takes what is ready. Returns how long nothing has to be done unless something is heard.
    fn turn(&mut self) -> Result<Duration, Closed> {
        if self.flags.is_over.load(Ordering::Relaxed) {
            return Err(Closed);
        }
        if self.flags.is_lost.swap(false, Ordering::Relaxed) {
            // What was being written may be complete by now, and nobody would say so.
            self.known.clear();
        }
        let held = self.hold.map(|(until, _)| until.saturating_duration_since(Instant::now()));
        if let Some(left) = held.filter(|left| !left.is_zero()) {
            return Ok(left);
        }
        match self.look() {
            Ok((ready, is_all, wait)) => {
                let was_failing = self.hold.take();
                if !self.take(ready)? {
                    self.hold_on(was_failing);
                    return Ok(Duration::ZERO);
                }
                self.streak.mend(&self.door, &format!("the folder {}", self.folder.display()));
                Ok(if is_all { wait } else { Duration::ZERO })
            }
            Err(why) => {
                self.streak.fail(&self.door, &why);
                let was_failing = self.hold.take();
                self.hold_on(was_failing);
                Ok(Duration::ZERO)
            }
        }
    }

    fn hold_on(&mut self, before: Option<(Instant, Duration)>) {
        let span = before.map_or(AGAIN, |(_, span)| (span * 2).min(NET));
        self.hold = Some((Instant::now() + span, span));
    }

    /// What is ready; whether that was all there is; and when there may be more.
    fn look(&mut self) -> Result<(Vec<Ready>, bool, Duration), String> {
        let failed = |what: &str, error: &io::Error| {
            let why = words(error);
            format!("the folder {} cannot be {what}: {why}; files in it wait", self.folder.display())
        };
        let is_watched = arm(&self.folder, self.watcher.as_mut(), &mut self.watched).map_err(|e| failed("made", &e))?;
        let listed = files::list(&self.folder).map_err(|error| failed("listed", &error))?;
        let now = Instant::now();
        let net = if is_watched { NET } else { DEAF_NET };
        let (mut ready, mut next, mut known) = (Vec::new(), now + net, BTreeMap::new());
        let is_all = listed.len() < ENTRIES_MAX;
        for (name, entry) in listed {
            let mut file = self.known.remove(&name).unwrap_or_else(|| Known::new(State::Quiet));
            if file.stamp != Some(entry.stamp) {
                if file.state == State::Left {
                    file.state = State::Quiet;
                }
                (file.stamp, file.since) = (Some(entry.stamp), now);
            }
            match file.ready_at(entry) {
                Some(at) if at <= now => ready.push((name.clone(), entry)),
                Some(at) => next = next.min(at),
                None => {}
            }
            known.insert(name, file);
        }
        self.known = known;
        let is_more = !is_all && !ready.is_empty();
        Ok((ready, !is_more, next.saturating_duration_since(now)))
    }

    /// Takes files in, in bounded batches. False when some have to wait.
    fn take(&mut self, ready: Vec<Ready>) -> Result<bool, Closed> {
        let mut ready = ready.into_iter().peekable();
        while ready.peek().is_some() {
            if self.flags.is_over.load(Ordering::Relaxed) {
                return Err(Closed);
            }
            let (mut batch, mut letters, mut bytes, mut trouble) = (Vec::new(), Vec::new(), 0, None);
            while letters.len() < BATCH_MAX && bytes < BATCH_BYTES && trouble.is_none() {
                let Some((name, entry)) = ready.next() else { break };
                match files::read(&self.folder.join(&name), entry) {
                    Content::Whole { bytes: content, owner } => {
                        bytes += content.len();
                        letters.push(self.letter(&name, entry.stamp, content, owner));
                        batch.push((name, entry.stamp));
                    }
                    Content::Changed => {}
                    Content::Unfit { why, help } => self.set_aside(&name, &why, help),
                    Content::Trouble(why) => trouble = Some(why),
                }
            }
            for ((name, stamp), answer) in batch.into_iter().zip(self.door.send(letters)?) {
                match answer {
                    Ok(_) => self.remove(&name, stamp),
                    Err(why) => trouble = Some(why),
                }
            }
            if let Some(why) = trouble {
                let folder = self.folder.display();
                self.streak.fail(&self.door, &format!("files in {folder} wait, and are tried again: {why}"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn letter(&self, name: &OsString, stamp: Stamp, bytes: Vec<u8>, owner: u32) -> Letter {
        let mut letter = Letter::new(self.door.object.clone(), "folder", bytes);
        letter.id = Some(files::id(name, stamp, letter.payload.as_ref()));
        letter.subject = files::subject(name);
        letter.sender = format!("uid {owner}");
        letter
    }

    /// Removes what is on the disk as a message. What has been put in its place meanwhile is another file.
    fn remove(&mut self, name: &OsString, stamp: Stamp) {
        let path = self.folder.join(name);
        if !files::is_same(&path, stamp) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&path) {
            self.leave(name);
            let why = words(&error);
            let text = format!("{} was taken in and cannot be removed: {why}; remove it", path.display());
            self.door.tell("file-left", text);
        }
    }

    fn set_aside(&mut self, name: &OsString, why: &str, help: &str) {
        let path = self.folder.join(name);
        let at = crate::engine::time::utc(clock::wall());
        let object = &self.door.object;
        let reason = format!(
            "{at} {} is no message for {object}: {why}\nhelp: {help}; then move it back into the folder\n",
            files::subject(name)
        );
        let told = match aside::set(&self.folder, name, &reason) {
            Ok(_) => format!("{} is no message: {why}; it lies in {}/ now; {help}", path.display(), aside::FOLDER),
            Err(error) => {
                self.leave(name);
                let unmoved = words(&error);
                format!("{} is no message: {why}; and it cannot be moved aside: {unmoved}; {help}", path.display())
            }
        };
        self.door.tell("file-refused", told);
    }

    fn leave(&mut self, name: &OsString) {
        if let Some(known) = self.known.get_mut(name) {
            known.state = State::Left;
        }
    }
}

/// Makes the folder and watches it. Whether it is watched; a folder whose parent is missing is not made, since that may
/// be a disk that is not there yet.
fn arm(folder: &Path, watcher: Option<&mut RecommendedWatcher>, watched: &mut Option<u64>) -> io::Result<bool> {
    let meta = std::fs::metadata(folder).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        DirBuilder::new().mode(0o700).create(folder)?;
        std::fs::metadata(folder)
    })?;
    let Some(watcher) = watcher else { return Ok(false) };
    if *watched == Some(meta.ino()) {
        return Ok(true);
    }
    if watched.take().is_some() {
        // It has gone with the folder it was for.
        _ = watcher.unwatch(folder);
    }
    if watcher.watch(folder, RecursiveMode::NonRecursive).is_err() {
        return Ok(false);
    }
    *watched = Some(meta.ino());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_ready_when_it_is_known_to_be_complete() {
        let since = Instant::now();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("empty"), "").expect("a file");
        std::fs::write(folder.path().join("full"), "x").expect("a file");
        let listed = files::list(folder.path()).expect("a list");
        let entry = |name: &str| listed.iter().find(|(found, _)| found == name).expect("it is there").1;
        let table = [
            (State::Quiet, "full", Some(STABLE)),
            (State::Quiet, "empty", Some(STABLE_EMPTY)),
            (State::Closed, "empty", Some(Duration::ZERO)),
            (State::Written, "full", None),
            (State::Left, "full", None),
        ];
        for (state, name, expected) in table {
            let known = Known { stamp: None, since, state };
            assert_eq!(known.ready_at(entry(name)), expected.map(|wait| since + wait), "{state:?} {name}");
        }
    }
}
