//! Folders that the system is asked to tell about.
//!
//! In: folders, each with who wants to know. Out: hints. Not here: what a hint is worth.
//! The surprise: the system knows a folder by what it is, not by its path, so two ways to one folder are one mark, and a
//! folder that was made anew is another.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// What is heard of on the way to a base: names and times. Not that somebody reads, nor that a file beside it is written.
/// Added to what the same folder is marked for already.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MASK_ADD)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What is heard of inside a base: contents, too.
const CONTENTS: WatchFlags = NAMES.union(WatchFlags::MODIFY);

/// Room for the hints that are taken at once.
const ROOM: usize = 64 << 10;
/// The most hints of one turn; the rest come with the next.
const HINTS_MAX: usize = 20_000;

/// A place in what a Trigger watches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Which of its bases.
    pub base: usize,
    /// The folder, from the base on.
    pub below: PathBuf,
}

/// Who wants to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// The number of the Trigger.
    pub trigger: u64,
    /// What for.
    pub of: Of,
}

/// What a mark is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// What is in a folder.
    Folder(Spot),
    /// Whether the next folder on the way to a base appears, goes, or is another.
    Way(usize, OsString),
}

/// Something that may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// In this folder; `name` is what it happened to, and `is_gone` says that it went.
    Folder {
        /// For whom.
        user: User,
        /// To which entry; none for the folder itself.
        name: Option<OsString>,
        /// It was taken away.
        is_gone: bool,
        /// It may be a folder.
        is_folder: bool,
    },
    /// Hints were lost: anything may have happened.
    Lost,
}

/// Why a folder is not marked.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such folder.
    Absent,
    /// The system allows no more: it is looked at now and then.
    Full,
    /// Something else.
    Other(io::Error),
}

/// The marks.
#[derive(Debug)]
pub struct Marks {
    fd: OwnedFd,
    users: BTreeMap<i32, BTreeSet<User>>,
    marks: BTreeMap<User, i32>,
}

impl Marks {
    /// None yet.
    ///
    /// # Errors
    /// When the system allows no more of its kind.
    pub fn new() -> io::Result<Marks> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Marks { fd, users: BTreeMap::new(), marks: BTreeMap::new() })
    }

    /// Becomes readable when there are hints.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Marks a folder, in the place of what was marked for this user before.
    ///
    /// # Errors
    /// Why it is not marked.
    pub fn add(&mut self, user: &User, path: &Path) -> Result<(), Refusal> {
        let flags = match user.of {
            Of::Folder(_) => CONTENTS,
            Of::Way(..) => NAMES,
        };
        let wd = match inotify::add_watch(&self.fd, path, flags) {
            Ok(wd) => wd,
            Err(error) => {
                self.release(user);
                return Err(match error {
                    Errno::NOENT | Errno::NOTDIR => Refusal::Absent,
                    Errno::NOSPC => Refusal::Full,
                    other => Refusal::Other(other.into()),
                });
            }
        };
        if self.marks.get(user).is_some_and(|before| *before != wd) {
            self.release(user);
        }
        self.marks.insert(user.clone(), wd);
        self.users.entry(wd).or_default().insert(user.clone());
        Ok(())
    }

    /// Forgets what is marked for a user.
    pub fn release(&mut self, user: &User) {
        let Some(wd) = self.marks.remove(user) else { return };
        let Some(users) = self.users.get_mut(&wd) else { return };
        users.remove(user);
        if users.is_empty() {
            self.users.remove(&wd);
            // It fails when the folder has gone, and the mark with it.
            _ = inotify::remove_watch(&self.fd, wd);
        }
    }

    /// Forgets every other mark on the way to the base of this one.
    pub fn keep_way(&mut self, kept: &User) {
        let Of::Way(base, _) = &kept.of else { return };
        let first = User { trigger: kept.trigger, of: Of::Way(*base, OsString::new()) };
        let is_way =
            |user: &&User| matches!(&user.of, Of::Way(other, _) if user.trigger == kept.trigger && other == base);
        let ways = self.marks.range(first..).map(|(user, _)| user).take_while(is_way);
        let others: Vec<User> = ways.filter(|user| *user != kept).cloned().collect();
        others.iter().for_each(|user| self.release(user));
    }

    /// Forgets everything that is marked for a Trigger.
    pub fn release_all(&mut self, trigger: u64) {
        let users: Vec<User> = self.of(trigger).cloned().collect();
        users.iter().for_each(|user| self.release(user));
    }

    /// How many folders are marked for a Trigger.
    #[must_use]
    pub fn count(&self, trigger: u64) -> usize {
        self.of(trigger).count()
    }

    fn of(&self, trigger: u64) -> impl Iterator<Item = &User> {
        let first = User { trigger, of: Of::Folder(Spot { base: 0, below: PathBuf::new() }) };
        self.marks.range(first..).map(|(user, _)| user).take_while(move |user| user.trigger == trigger)
    }

    /// What has been heard since.
    pub fn take(&mut self) -> Vec<Hint> {
        let mut room = vec![MaybeUninit::uninit(); ROOM];
        let mut heard: Vec<(i32, ReadFlags, Option<OsString>)> = Vec::new();
        let mut is_lost = false;
        let mut reader = Reader::new(&self.fd, &mut room);
        while heard.len() < HINTS_MAX {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    is_lost = true;
                    break;
                }
            };
            is_lost |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
            heard.push((event.wd(), event.events(), name));
        }
        let mut hints: Vec<Hint> =
            heard.into_iter().flat_map(|(wd, flags, name)| self.hints(wd, flags, name)).collect();
        if is_lost {
            hints.push(Hint::Lost);
        }
        hints
    }

    fn hints(&mut self, wd: i32, flags: ReadFlags, name: Option<OsString>) -> Vec<Hint> {
        let Some(users) = self.users.get(&wd) else { return Vec::new() };
        let is_gone = flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        let is_folder = flags.contains(ReadFlags::ISDIR) || name.is_none();
        let is_meant = |user: &&User| match (&user.of, &name) {
            (Of::Folder(_), _) | (Of::Way(..), None) => true,
            (Of::Way(_, next), Some(name)) => next == name,
        };
        let hint = |user: &User| Hint::Folder { user: user.clone(), name: name.clone(), is_gone, is_folder };
        let hints = users.iter().filter(is_meant).map(hint).collect();
        if flags.contains(ReadFlags::IGNORED) {
            // The mark has gone with its folder.
            for user in self.users.remove(&wd).into_iter().flatten() {
                self.marks.remove(&user);
            }
        }
        hints
    }
}
