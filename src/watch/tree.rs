//! What the files of a Trigger looked like when they were last listed.
//!
//! In: folders that may have changed. Out: what is different about their files. Not here: when to look (`worker`).
//! The surprise: a folder is marked before it is listed. What comes after the mark is heard of, what came before it is in
//! the list, so a file in a folder that was made a moment ago cannot fall between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::gitignore::{self, Ignores};
use super::globs::{Globs, Way};
use super::marks::{Marks, Of, Refusal, Spot, User};
use super::pending::{Change, Noted, Pending};
use crate::engine::Timestamp;
use crate::engine::queue::WatchRule;
use crate::observe::clock::wall;

/// The most files of one Trigger; those beyond are not seen, and that is said.
pub const FILES_MAX: usize = 500_000;

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
    file: (u64, u64),
}

#[derive(Debug)]
struct Folder {
    way: Way,
    ignores: Ignores,
    /// Its own file of what is ignored.
    own: Option<Stamp>,
    files: BTreeMap<OsString, Stamp>,
    folders: BTreeMap<OsString, u64>,
}

/// What may have changed in a folder.
#[derive(Clone, Debug, Default)]
pub struct Dirt {
    /// When entries were heard to go.
    pub gone: BTreeMap<OsString, Timestamp>,
}

/// The files of a Trigger.
#[derive(Debug)]
pub struct Tree {
    number: u64,
    globs: Globs,
    keeps_gitignore: bool,
    folders: BTreeMap<Spot, Folder>,
    count: usize,
    /// Folders that the system does not tell about.
    polled: BTreeSet<Spot>,
    /// What could not be read, in words.
    trouble: BTreeSet<String>,
    looked: Timestamp,
}

impl Tree {
    /// Nothing is listed yet. Nothing in the folder `never` counts.
    #[must_use]
    pub fn new(number: u64, rule: &WatchRule, never: &Path) -> Tree {
        Tree {
            number,
            globs: Globs::new(rule, never),
            keeps_gitignore: rule.is_gitignore_kept,
            folders: BTreeMap::new(),
            count: 0,
            polled: BTreeSet::new(),
            trouble: BTreeSet::new(),
            looked: Timestamp::default(),
        }
    }

    /// All bases.
    #[must_use]
    pub fn bases(&self) -> Vec<Spot> {
        (0..self.globs.bases.len()).map(|base| Spot { base, below: PathBuf::new() }).collect()
    }

    /// All folders that are known, and all bases.
    #[must_use]
    pub fn all(&self) -> Vec<Spot> {
        self.folders.keys().cloned().chain(self.bases()).collect()
    }

    /// How many files count.
    #[must_use]
    pub fn files(&self) -> usize {
        self.count
    }

    /// Folders that are looked at now and then, since nothing tells about them.
    #[must_use]
    pub fn polled(&self) -> &BTreeSet<Spot> {
        &self.polled
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn trouble(&self) -> &BTreeSet<String> {
        &self.trouble
    }

    /// The path of a folder.
    #[must_use]
    pub fn path(&self, spot: &Spot) -> PathBuf {
        let base = self.globs.bases.get(spot.base).map(|base| base.path.as_path()).unwrap_or(Path::new("/"));
        if spot.below.as_os_str().is_empty() { base.to_owned() } else { base.join(&spot.below) }
    }

    /// True when something that happened to this entry may matter.
    #[must_use]
    pub fn is_of_interest(&self, spot: &Spot, name: &OsStr) -> bool {
        let Some(folder) = self.folders.get(spot) else { return true };
        let path = self.path(spot).join(name);
        let is_rule = self.keeps_gitignore && name == gitignore::NAME;
        is_rule || self.is_counted(spot, folder, &path, name)
    }

    fn is_counted(&self, spot: &Spot, folder: &Folder, path: &Path, name: &OsStr) -> bool {
        self.globs.is_counted(spot.base, &folder.way, path, &spot.below.join(name)) && !folder.ignores.has(path, false)
    }

    /// Lists these folders again. What is different since the last time.
    pub fn look(&mut self, dirty: &BTreeMap<Spot, Dirt>, marks: &mut Marks) -> Pending {
        let mut found = Pending::default();
        let started = wall();
        self.trouble.clear();
        for (spot, dirt) in dirty {
            if spot.below.as_os_str().is_empty() {
                self.watch_way(spot.base, marks);
            }
            if self.list(spot, dirt, marks, &mut found) {
                found = self.rebuilt(found, marks);
                break;
            }
        }
        self.looked = started;
        found
    }

    /// Marks the nearest folder on the way to a base that exists, so that its coming and going is heard of.
    fn watch_way(&mut self, base: usize, marks: &mut Marks) {
        let Some(path) = self.globs.bases.get(base).map(|base| base.path.clone()) else { return };
        let ways: Vec<(&Path, &OsStr)> =
            path.ancestors().filter_map(|at| Some((at.parent()?, at.file_name()?))).collect();
        let user = |name: &OsStr| User { trigger: self.number, of: Of::Way(base, name.to_owned()) };
        let mut mark = |at: usize| ways.get(at).map(|(parent, name)| marks.add(&user(name), parent));
        let mut at = 0;
        loop {
            match mark(at) {
                Some(Ok(())) => break,
                Some(Err(Refusal::Absent | Refusal::Other(_))) => at += 1,
                Some(Err(Refusal::Full)) | None => {
                    self.polled.insert(Spot { base, below: PathBuf::new() });
                    return;
                }
            }
        }
        // A nearer one may have come before the mark was there.
        while at > 0 && matches!(mark(at - 1), Some(Ok(()))) {
            at -= 1;
        }
        if let Some((_, name)) = ways.get(at) {
            marks.keep_way(&user(name));
        }
    }

    /// Lists one folder and those in it that are new. True when what is ignored has changed, so that all is listed anew.
    fn list(&mut self, spot: &Spot, dirt: &Dirt, marks: &mut Marks, found: &mut Pending) -> bool {
        let mut open = vec![spot.clone()];
        let none = Dirt::default();
        while let Some(at) = open.pop() {
            let Some((way, above)) = self.context(&at) else { continue };
            let path = self.path(&at);
            let user = User { trigger: self.number, of: Of::Folder(at.clone()) };
            self.polled.remove(&at);
            match marks.add(&user, &path) {
                Ok(()) => {}
                Err(Refusal::Absent) => {
                    self.forget(&at, if at == *spot { dirt } else { &none }, marks, found);
                    continue;
                }
                Err(Refusal::Full) => {
                    self.trouble.insert(format!(
                        "the system allows no more watched folders, so {} and others are looked at every 30s\n  \
                         help: raise fs.inotify.max_user_watches, as in sysctl fs.inotify.max_user_watches=524288",
                        path.display()
                    ));
                    self.polled.insert(at.clone());
                }
                Err(Refusal::Other(error)) => {
                    self.trouble.insert(format!("{} cannot be watched: {error}", path.display()));
                    self.polled.insert(at.clone());
                }
            }
            let own = self.keeps_gitignore.then(|| std::fs::metadata(path.join(gitignore::NAME)).ok()).flatten();
            let own = own.as_ref().map(stamp);
            if self.folders.get(&at).is_some_and(|known| known.own != own) {
                return true;
            }
            let ignores = match self.folders.get(&at) {
                Some(known) => known.ignores.clone(),
                None if self.keeps_gitignore => above.with(&path),
                None => Ignores::default(),
            };
            let fresh = Folder { way, ignores, own, files: BTreeMap::new(), folders: BTreeMap::new() };
            let Some(fresh) = self.read(&at, &path, fresh) else { continue };
            open.extend(self.compare(&at, fresh, if at == *spot { dirt } else { &none }, marks, found));
        }
        false
    }

    /// How far the patterns have got at a folder, and what the folders above it ignore.
    fn context(&self, at: &Spot) -> Option<(Way, Ignores)> {
        let base = self.globs.bases.get(at.base)?;
        match (at.below.parent(), at.below.file_name()) {
            (Some(parent), Some(name)) => {
                let above = self.folders.get(&Spot { base: at.base, below: parent.to_owned() })?;
                Some((base.after(&above.way, name), above.ignores.clone()))
            }
            (_, _) if self.keeps_gitignore => Some((base.start(), Ignores::above(&base.path))),
            (_, _) => Some((base.start(), Ignores::default())),
        }
    }

    /// Reads what is in a folder. Nothing when it cannot be read: what is not seen is not gone.
    fn read(&mut self, at: &Spot, path: &Path, mut fresh: Folder) -> Option<Folder> {
        let failed = |error: &std::io::Error| format!("{} cannot be read: {error}", path.display());
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            // It went after it was marked, which is heard of.
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                self.trouble.insert(failed(&error));
                return None;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.trouble.insert(failed(&error));
                    return None;
                }
            };
            let (name, below) = (entry.file_name(), at.below.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                let full = path.join(&name);
                let way = self.globs.bases.get(at.base).map(|base| base.after(&fresh.way, &name)).unwrap_or_default();
                if self.globs.is_entered(at.base, &way, &full, &below) && !fresh.ignores.has(&full, true) {
                    fresh.folders.insert(name, entry.ino());
                }
                continue;
            }
            let full = path.join(&name);
            if !self.is_counted(at, &fresh, &full, &name) {
                continue;
            }
            // A link to a file counts as that file; one to a folder is not followed, so that there is no circle.
            let Ok(meta) = std::fs::metadata(&full) else { continue };
            if meta.is_file() {
                fresh.files.insert(name, stamp(&meta));
            }
        }
        Some(fresh)
    }

    /// Puts a listing in the place of the one before. The folders that have to be listed, too.
    fn compare(
        &mut self,
        at: &Spot,
        mut fresh: Folder,
        dirt: &Dirt,
        marks: &mut Marks,
        found: &mut Pending,
    ) -> Vec<Spot> {
        let path = self.path(at);
        let before = self.folders.remove(at);
        let (files, folders) = before.map(|folder| (folder.files, folder.folders)).unwrap_or_default();
        self.count = self.count.saturating_sub(files.len());
        let room = FILES_MAX.saturating_sub(self.count);
        if fresh.files.len() > room {
            self.trouble.insert(format!("more than {FILES_MAX} files are watched; those beyond are not seen"));
            fresh.files = fresh.files.into_iter().take(room).collect();
        }
        self.count += fresh.files.len();
        for (name, stamp) in &fresh.files {
            let change = match files.get(name) {
                None => Change::Create,
                Some(old) if old != stamp => Change::Modify,
                Some(_) => continue,
            };
            let full = path.join(name);
            let at = changed(&full);
            found.add(full, Noted { change, at });
        }
        for name in files.keys().filter(|name| !fresh.files.contains_key(*name)) {
            let at = dirt.gone.get(name).copied().unwrap_or_else(wall);
            found.add(path.join(name), Noted { change: Change::Delete, at });
        }
        let below = |name: &OsString| Spot { base: at.base, below: at.below.join(name) };
        let gone: Vec<Spot> = folders.keys().filter(|name| !fresh.folders.contains_key(*name)).map(below).collect();
        // One that was made anew in the place of another is another.
        let new = fresh.folders.iter().filter(|(name, ino)| folders.get(*name) != Some(ino));
        let new: Vec<Spot> = new.map(|(name, _)| below(name)).collect();
        self.folders.insert(at.clone(), fresh);
        gone.iter().for_each(|spot| self.forget(spot, &Dirt::default(), marks, found));
        new
    }

    /// Forgets a folder that is gone, and all that was in it.
    fn forget(&mut self, at: &Spot, dirt: &Dirt, marks: &mut Marks, found: &mut Pending) {
        let is_in = |spot: &&Spot| spot.base == at.base && spot.below.starts_with(&at.below);
        let gone: Vec<Spot> = self.folders.range(at.clone()..).map(|(spot, _)| spot).filter(is_in).cloned().collect();
        marks.release(&User { trigger: self.number, of: Of::Folder(at.clone()) });
        for spot in gone {
            marks.release(&User { trigger: self.number, of: Of::Folder(spot.clone()) });
            self.polled.remove(&spot);
            let path = self.path(&spot);
            let files = self.folders.remove(&spot).map(|folder| folder.files).unwrap_or_default();
            self.count = self.count.saturating_sub(files.len());
            for name in files.into_keys() {
                let at = dirt.gone.get(&name).copied().unwrap_or_else(wall);
                found.add(path.join(name), Noted { change: Change::Delete, at });
            }
        }
    }

    /// Lists everything anew, because what is ignored has changed. A file that is seen or unseen only for that has not
    /// changed.
    fn rebuilt(&mut self, mut found: Pending, marks: &mut Marks) -> Pending {
        let before = self.flat();
        self.folders.clear();
        self.count = 0;
        let mut unused = Pending::default();
        for base in self.bases() {
            self.list(&base, &Dirt::default(), marks, &mut unused);
        }
        let after = self.flat();
        for (path, stamp) in &after {
            let at = changed(path);
            let change = match before.get(path) {
                Some(old) if old != stamp => Change::Modify,
                None if at > self.looked => Change::Create,
                Some(_) | None => continue,
            };
            found.add(path.clone(), Noted { change, at });
        }
        for path in before.into_keys().filter(|path| !after.contains_key(path) && !path.exists()) {
            found.add(path, Noted { change: Change::Delete, at: wall() });
        }
        found
    }

    fn flat(&self) -> BTreeMap<PathBuf, Stamp> {
        let of = |(spot, folder): (&Spot, &Folder)| {
            let path = self.path(spot);
            folder.files.iter().map(|(name, stamp)| (path.join(name), *stamp)).collect::<Vec<_>>()
        };
        self.folders.iter().flat_map(of).collect()
    }
}

fn stamp(meta: &Metadata) -> Stamp {
    Stamp { modified: (meta.mtime(), meta.mtime_nsec()), size: meta.size(), file: (meta.dev(), meta.ino()) }
}

/// When anything about a file last changed, which nobody can set as he likes.
fn changed(path: &Path) -> Timestamp {
    let nanos = |meta: Metadata| {
        let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(meta.ctime_nsec()).unwrap_or(0))
    };
    std::fs::metadata(path).map_or_else(|_| wall(), |meta| Timestamp::from_nanos(nanos(meta)))
}
