//! The desired state as a chain of generations: plain files, one current, each made so by one rename.
//!
//! In: a home, and drafts of the next generation. Out: the current generation, and the next one written under a lock.
//! Not here: reading manifests (`load`), executing anything. What may change is decided in `change`, `live` and `edit`.
//! The surprise: reading needs no lock. A generation is never edited once it has its name, so a reader sees the old
//! one or the new one, and a writer killed at any point leaves the old one.

pub mod attempts;
pub mod change;
pub mod draft;
pub mod edit;
pub mod fields;
pub mod form;
pub mod generation;
pub mod history;
pub mod known;
pub mod live;
pub mod manifests;
pub mod parsed;
pub mod references;
pub mod registry;
pub mod render;
pub mod resolve;
pub mod revision;
pub mod users;
pub mod uses;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};

pub use change::{Action, Batch, Change, Changes, Options, Origin, Proposal, Refusal};
pub use draft::{Author, Draft, LastAttempts};
pub use generation::{Stored, StoredObject, Verb};
pub use parsed::{Parsed, to_engine};

use crate::engine::Coverage;
use crate::home::{Home, random_hex, sync_folder, write_new};
use generation::Unreadable;

/// How many generations are kept.
pub const GENERATIONS_MAX: usize = 100;
/// How long a writer waits for another.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// When a waiting writer says so.
const LOCK_WAIT_QUIET: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// The largest generation file that is read, in bytes.
const FILE_SIZE_MAX: u64 = 1 << 30;

/// Why the desired state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else is writing.
    #[error(
        "{path} has been locked for {} s{}: nothing was changed\n  \
         help: try again; if it stays locked, see what that process waits for",
        LOCK_WAIT_MAX.as_secs(),
        holder.map(|pid| format!(" by pid {pid}")).unwrap_or_default()
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, when they said so.
        holder: Option<u32>,
    },
    /// Written by a newer binary.
    #[error(
        "{path} has format {version}, and this binary knows {}: nothing was changed\n  \
         help: use the newer setpoint that wrote it",
        generation::VERSION
    )]
    Newer {
        /// The generation file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// No generation can be read, and there are some.
    #[error(
        "no generation in {path} can be read; the newest: {why}\n  \
         help: restore the folder from a backup; what runs is left alone"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with the newest.
        why: String,
    },
    /// The generation that a draft was made from is no longer the current one.
    #[error(
        "the desired state has moved on to generation {current}; this change was made for {planned}\n  \
         help: run the command again"
    )]
    Stale {
        /// The number the draft would have.
        planned: u64,
        /// The number it would need.
        current: u64,
    },
    /// The system said no.
    #[error(
        "{path}: cannot {action}: {source}; nothing was changed\n  \
         help: check that the disk is there, writable and not full"
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

impl StoreError {
    /// True when nothing is broken and the change was merely refused.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            StoreError::Busy { .. } | StoreError::Newer { .. } | StoreError::Stale { .. } => true,
            StoreError::Damaged { .. } | StoreError::Io { .. } => false,
        }
    }
}

/// The chain of generations of one home.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    lock: PathBuf,
}

impl Store {
    /// The store of this home. Nothing is touched yet.
    #[must_use]
    pub fn open(home: &Home) -> Store {
        Store { folder: home.desired(), lock: home.desired_lock() }
    }

    /// The numbers of all generations on the disk, ascending, damaged ones included.
    ///
    /// # Errors
    /// When the folder cannot be listed; a missing one is empty.
    pub fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let failed = |source| self.io("list it", &self.folder, source);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            numbers.extend(number_of(&entry.map_err(failed)?.file_name()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The current generation: the highest that can be read. With a damaged one above it the coverage is partial.
    ///
    /// # Errors
    /// When there are generations and none can be read, when the newest has a newer format, or the system says no.
    pub fn read_current(&self) -> Result<Stored, StoreError> {
        // A listing is outdated once 100 generations were written since; then the next one is not.
        for _ in 0..GENERATIONS_MAX {
            if let Some(stored) = self.read_newest_of(&self.numbers()?)? {
                return Ok(stored);
            }
        }
        let why = String::from("its files vanish while they are read");
        Err(StoreError::Damaged { path: self.folder.clone(), why })
    }

    /// `None` when the listing is outdated.
    fn read_newest_of(&self, numbers: &[u64]) -> Result<Option<Stored>, StoreError> {
        let Some(newest) = numbers.last() else {
            return Ok(Some(Stored::empty()));
        };
        let mut damage: Option<String> = None;
        for number in numbers.iter().rev() {
            match self.read(*number)? {
                Ok(mut stored) => {
                    stored.newest = *newest;
                    if let Some(why) = damage {
                        let why = format!("generation {newest} is damaged, so {number} is used: {why}");
                        stored.coverage = Coverage::Partial { why: why.into() };
                    }
                    return Ok(Some(stored));
                }
                Err(Missing::Gone) => return Ok(None),
                Err(Missing::Damaged { why }) => {
                    damage.get_or_insert(why);
                }
            }
        }
        Err(StoreError::Damaged { path: self.folder.clone(), why: damage.unwrap_or_default() })
    }

    /// One generation by number.
    ///
    /// # Errors
    /// Outside: when it has a newer format or the system says no. Inside: when it is gone or damaged.
    pub fn read(&self, number: u64) -> Result<Result<Stored, Missing>, StoreError> {
        let path = self.file(number);
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Missing::Gone)),
            Err(error) => return Err(self.io("read it", &path, error)),
        };
        match Stored::decode(number, &bytes) {
            Ok(stored) => Ok(Ok(stored)),
            Err(Unreadable::Newer { version }) => Err(StoreError::Newer { path, version }),
            Err(Unreadable::Damaged { why }) => Ok(Err(Missing::Damaged { why: format!("{}: {why}", path.display()) })),
        }
    }

    /// Takes the lock that every writer takes, and reads the current generation under it. Waits for at most 10 s;
    /// after one second `tell` is called once with a line for people.
    ///
    /// # Errors
    /// When another writer holds it for longer, the home cannot be written to, or as [`Store::read_current`].
    pub fn lock(&self, tell: &dyn Fn(&str)) -> Result<Locked, StoreError> {
        let failed = |action| move |source| self.io(action, &self.lock, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.lock)
            .map_err(failed("open it"))?;
        let began = Instant::now();
        let mut is_told = false;
        while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            match errno {
                rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR => {}
                _ => return Err(failed("lock it")(errno.into())),
            }
            let waited = began.elapsed();
            if waited >= LOCK_WAIT_MAX {
                return Err(StoreError::Busy { path: self.lock.clone(), holder: holder(&mut file) });
            }
            if waited >= LOCK_WAIT_QUIET && !is_told {
                is_told = true;
                let by = holder(&mut file).map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                tell(&format!("waiting for another setpoint{by} that is writing the desired state"));
            }
            // A lock cannot be waited for with an end in time, so it is tried again.
            std::thread::sleep(LOCK_POLL);
        }
        // For the message of whoever waits; a full disk is no reason to stop here.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|source| self.io("create it", &self.folder, source))?;
        let base = Arc::new(self.read_current()?);
        Ok(Locked { store: self.clone(), base, _lock: file })
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.json"))
    }

    fn io(&self, action: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { path: path.to_path_buf(), action, source }
    }
}

/// Why a generation of the past cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such file.
    Gone,
    /// The file is torn.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
}

/// The store while nobody else may write. Dropping it, or dying, lets the next one in.
#[derive(Debug)]
pub struct Locked {
    store: Store,
    base: Arc<Stored>,
    _lock: File,
}

impl Locked {
    /// The current generation.
    #[must_use]
    pub fn base(&self) -> &Arc<Stored> {
        &self.base
    }

    /// Writes the next generation and makes it current. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the draft was made for another generation, or the system says no; then the old one stays current.
    pub fn commit(&mut self, draft: Draft) -> Result<Arc<Stored>, StoreError> {
        let next = draft.finish();
        let current = self.base.newest.saturating_add(1);
        if next.generation != current {
            return Err(StoreError::Stale { planned: next.generation, current });
        }
        self.tidy();
        let file = self.store.file(next.generation);
        let failed = |source| self.store.io("write it", &file, source);
        let bytes = next.encode().map_err(|error| failed(error.into()))?;
        let draft = self.store.folder.join(format!(".draft.{}", random_hex(8).map_err(failed)?));
        let named = write_new(&draft, &bytes).and_then(|()| rename_new(&draft, &file));
        if let Err(error) = named {
            // What is left of it would be tidied by the next writer too.
            let _ = std::fs::remove_file(&draft);
            return Err(failed(error));
        }
        sync_folder(&self.store.folder).map_err(failed)?;
        self.base = Arc::new(next);
        Ok(Arc::clone(&self.base))
    }

    /// Removes what dead writers left, and generations beyond the bound. Neither is worth failing for.
    fn tidy(&self) {
        let Ok(entries) = std::fs::read_dir(&self.store.folder) else {
            return;
        };
        for entry in entries.flatten() {
            // Only the holder of the lock has drafts, and this holder has none yet.
            if entry.file_name().to_string_lossy().starts_with(".draft.") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let numbers = self.store.numbers().unwrap_or_default();
        // One place is for the generation about to be written. The base is kept, however many damaged ones follow it.
        let surplus = (numbers.len() + 1).saturating_sub(GENERATIONS_MAX);
        for number in numbers.iter().take(surplus).filter(|number| **number != self.base.generation) {
            let _ = std::fs::remove_file(self.store.file(*number));
        }
    }
}

/// Renames, but never over another file.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE)?)
}

fn number_of(name: &std::ffi::OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".json")?;
    let is_plain = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { digits.parse().ok() } else { None }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > FILE_SIZE_MAX {
        return Err(io::Error::other(format!("it has {size} bytes, more than any generation")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    Read::by_ref(&mut file).take(FILE_SIZE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    Read::by_ref(file).take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The present in RFC 3339, whole seconds, UTC.
#[must_use]
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The name of the calling user, else `uid N`.
#[must_use]
pub fn principal() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.filter(|fields| fields.get(2).is_some_and(|field| *field == uid.to_string())).take(1);
    found.map(|fields| fields[0].to_owned()).next().unwrap_or_else(|| format!("uid {uid}"))
}
