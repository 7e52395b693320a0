//! A folder of manifests, as often as one likes.
//!
//! In: a folder, and what was read of it before. Out: a [`FolderReading`]: file by file, with what could not be listed
//! or read. Not here: what a caller does about a broken file.
//!
//! Everything is bounded: files, entries, depth and bytes.
//! The surprise: reading again compares contents and not times, because a time says too little on the file systems
//! people mount; an unchanged file costs one read and no parsing. Only looks that nothing asked for go by times.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use walkdir::{DirEntry, WalkDir};

use super::file::{self, FilePlace, FileReading, Form};
use super::problem::{Findings, Place, Problem, Source};
use super::read::{self, Refused};
use super::set::{self, FolderSet};
use super::{Manifest, show, twice};
use crate::engine::name::ObjectRef;

/// The most manifest files of one folder.
pub const FILES_MAX: usize = 10_000;
/// The most entries looked at, other files and folders included.
const ENTRIES_MAX: usize = 100_000;
/// The deepest folder below the first.
const DEPTH_MAX: usize = 32;
/// The most entries that could not be listed and are still told.
const LISTING_MAX: usize = 1000;
/// The most bytes of all files of one folder together.
const BYTES_MAX: usize = 64 << 20;

/// A file changed more recently than this may change again without showing it.
const FRESH: Duration = Duration::from_secs(2);

/// What was read before, by path.
#[derive(Debug, Default)]
pub struct Cache {
    files: BTreeMap<PathBuf, Cached>,
}

#[derive(Debug)]
struct Cached {
    bytes: Vec<u8>,
    reading: Arc<FileReading>,
    /// As the file was when it was read; `None` when it was so fresh that a change might not show.
    stamp: Option<Stamp>,
}

/// What of a file changes when its contents do, on a local file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// The stamp, unless the file was changed within [`FRESH`]: times are coarse, and it may change again under one.
    fn settled(meta: &Metadata) -> Option<Stamp> {
        let changed = u64::try_from(meta.ctime()).ok().map(|at| UNIX_EPOCH + Duration::from_secs(at));
        let age = changed.and_then(|at| SystemTime::now().duration_since(at).ok());
        age.filter(|age| *age > FRESH).map(|_| Stamp::of(meta))
    }
}

/// How a file that was read before is told to be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By its contents.
    Contents,
    /// By its times, where those are settled: for looks that are made although nothing was heard.
    Times,
}

/// What a folder says.
#[derive(Clone, Debug)]
pub struct FolderReading {
    /// Its set; `None` when its `setpoint.yaml` is broken or the folder is not there.
    pub set: Option<FolderSet>,
    /// Its files in the order of their paths, broken ones included.
    pub files: Vec<Arc<FileReading>>,
    /// What could not be listed: the folder itself, a folder in it, a file that went away meanwhile.
    pub listing: Vec<Problem>,
    /// Everything was listed, every file was read, and none is broken.
    pub is_whole: bool,
}

impl FolderReading {
    /// The objects of all files that are whole.
    pub fn manifests(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.files.iter().flat_map(|file| &file.manifests)
    }
}

/// Reads a folder. `folder` is how it was named, and how files in it are named to people.
#[must_use]
pub fn load_folder(folder: &Path, cache: &mut Cache) -> FolderReading {
    reload_folder(folder, cache, Trust::Contents)
}

/// Reads a folder again.
#[must_use]
pub fn reload_folder(folder: &Path, cache: &mut Cache, trust: Trust) -> FolderReading {
    let mut reading = FolderReading { set: None, files: Vec::new(), listing: Vec::new(), is_whole: false };
    let root = match folder.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            let help = "check the path, and that you may read it";
            let problem = Problem::of_file(&show(folder), format!("this folder cannot be read: {error}"), help);
            reading.listing.push(problem);
            return reading;
        }
    };
    reading.set = Some(FolderSet::unnamed(&root));
    let mut known = std::mem::take(&mut cache.files);
    let mut bytes_left = BYTES_MAX;
    for (path, form) in list(folder, &mut reading.listing) {
        let relative = path.strip_prefix(folder).unwrap_or(&path);
        let place = place_of(&root, relative, &path, form);
        if let Some(kept) =
            known.get(&*place.path).filter(|kept| trust == Trust::Times && kept.is_settled(&path, &place))
        {
            bytes_left = bytes_left.saturating_sub(kept.bytes.len());
            if relative == Path::new(set::FILE_NAME) {
                reading.set = set_of(&place, &kept.bytes, &root);
            }
            reading.files.push(Arc::clone(&kept.reading));
            cache.files.extend(known.remove_entry(&*place.path));
            continue;
        }
        let (bytes, stamp) = match bytes_of(&path, &place.file) {
            Ok(read) => read,
            Err(Refused::Problem(problem)) => {
                reading.files.push(Arc::new(FileReading::refused(&place, *problem)));
                continue;
            }
            Err(Refused::Gone) => {
                let message = "this file went away while the folder was read";
                reading.listing.push(Problem::of_file(&place.file, message, "read the folder again"));
                continue;
            }
        };
        let Some(left) = bytes_left.checked_sub(bytes.len()) else {
            let message = format!("the manifests of this folder are larger than {} MiB together", BYTES_MAX >> 20);
            reading.listing.push(Problem::of_file(&show(folder), message, "split the folder"));
            break;
        };
        bytes_left = left;
        if relative == Path::new(set::FILE_NAME) {
            reading.set = set_of(&place, &bytes, &root);
        }
        let kept = known.remove(&*place.path).filter(|kept| kept.bytes == bytes && kept.reading.file == place.file);
        let kept = match kept {
            Some(kept) => Cached { stamp, ..kept },
            None => Cached { reading: Arc::new(read_file(&place, &bytes, relative)), bytes, stamp },
        };
        reading.files.push(Arc::clone(&kept.reading));
        cache.files.insert(place.path.to_path_buf(), kept);
    }
    // Files of other folders stay; those of this one that are gone do not.
    known.retain(|path, _| !path.starts_with(&root));
    cache.files.append(&mut known);
    mark_twice(&mut reading.files);
    reading.is_whole = reading.listing.is_empty() && reading.files.iter().all(|file| !file.is_broken());
    reading
}

fn place_of(root: &Path, relative: &Path, shown: &Path, form: Form) -> FilePlace {
    let path = root.join(relative);
    let folder = Arc::from(path.parent().unwrap_or(root));
    FilePlace { path: Arc::from(path), file: show(shown), folder, form }
}

fn bytes_of(path: &Path, name: &Arc<str>) -> Result<(Vec<u8>, Option<Stamp>), Refused> {
    let (file, metadata) = read::open(path, name)?;
    let stamp = Stamp::settled(&metadata);
    Ok((read::read(file, metadata.len(), name)?, stamp))
}

impl Cached {
    fn is_settled(&self, path: &Path, place: &FilePlace) -> bool {
        let same = |meta: Metadata| self.stamp == Some(Stamp::of(&meta));
        self.reading.file == place.file && std::fs::metadata(path).is_ok_and(same)
    }
}

fn read_file(place: &FilePlace, bytes: &[u8], relative: &Path) -> FileReading {
    let is_set = relative.file_name().is_some_and(|name| name == set::FILE_NAME);
    let Ok(text) = read::text(bytes, &place.file) else { return file::parse(place, bytes) };
    let source = Source::new(&place.file, text);
    if !is_set || set::is_manifest(&source) {
        return file::parse(place, bytes);
    }
    let mut findings = Findings::default();
    if relative == Path::new(set::FILE_NAME) {
        set::parse(&source, &place.folder, &mut findings);
    } else {
        let help = "apply that folder by itself, or remove the file";
        findings.push(Problem::of_file(&place.file, "this folder is a set of its own inside another", help));
    }
    let (path, file) = (Arc::clone(&place.path), Arc::clone(&place.file));
    let (problems, omitted, warnings) = (findings.list, findings.omitted, findings.warnings);
    FileReading { path, file, manifests: Vec::new(), problems, omitted, warnings }
}

fn set_of(place: &FilePlace, bytes: &[u8], root: &Path) -> Option<FolderSet> {
    let text = read::text(bytes, &place.file).ok()?;
    let source = Source::new(&place.file, text);
    if set::is_manifest(&source) {
        return Some(FolderSet::unnamed(root));
    }
    let mut findings = Findings::default();
    let set = set::parse(&source, root, &mut findings);
    findings.is_empty().then_some(set)
}

/// The set of a folder, whether or not its manifests are read.
///
/// # Errors
/// When the folder cannot be read, or its `setpoint.yaml` is broken.
pub fn folder_set(folder: &Path) -> Result<FolderSet, Box<Problem>> {
    let name = show(folder);
    let unreadable = |error: std::io::Error| {
        Box::new(Problem::of_file(&name, format!("this folder cannot be read: {error}"), "check the path"))
    };
    let root = folder.canonicalize().map_err(unreadable)?;
    let path = folder.join(set::FILE_NAME);
    let file = show(&path);
    let place = FilePlace { path: Arc::from(&*path), file, folder: Arc::from(&*root), form: Form::Yaml };
    match bytes_of(&path, &place.file) {
        Err(Refused::Gone) => Ok(FolderSet::unnamed(&root)),
        Err(Refused::Problem(problem)) => Err(problem),
        Ok((bytes, _)) => set_of(&place, &bytes, &root).ok_or_else(|| {
            let message = "this file is broken, so the set of its folder is unknown";
            Box::new(Problem::of_file(&place.file, message, "see: setpoint validate -f FOLDER"))
        }),
    }
}

/// The manifest files of a folder in the order of their paths; what cannot be listed goes to `problems`.
fn list(folder: &Path, problems: &mut Vec<Problem>) -> Vec<(PathBuf, Form)> {
    let mut files = Vec::new();
    let walk = WalkDir::new(folder).follow_links(true).max_depth(DEPTH_MAX + 1).sort_by_file_name();
    let is_wanted = |entry: &DirEntry| entry.depth() == 0 || !is_hidden(entry.path());
    for (count, entry) in walk.into_iter().filter_entry(is_wanted).enumerate() {
        if count >= ENTRIES_MAX || files.len() > FILES_MAX {
            let message = format!("this folder has more than {FILES_MAX} manifests or {ENTRIES_MAX} entries");
            problems.push(Problem::of_file(&show(folder), message, "name a smaller folder"));
            files.truncate(FILES_MAX);
            break;
        }
        match entry {
            Ok(entry) if entry.file_type().is_dir() && entry.depth() > DEPTH_MAX => {
                let message = format!("this folder lies deeper than {DEPTH_MAX} levels");
                problems.push(Problem::of_file(&show(entry.path()), message, "move it up"));
            }
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => files.extend(Form::of(entry.path()).map(|form| (entry.into_path(), form))),
            Err(_) if problems.len() >= LISTING_MAX => {}
            Err(error) => problems.extend(unlisted(folder, &error)),
        }
    }
    files
}

/// Hidden files, and what editors leave behind.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with(['.', '#']) || name.ends_with('~')
}

fn unlisted(folder: &Path, error: &walkdir::Error) -> Option<Problem> {
    let path = error.path().unwrap_or(folder);
    if let Some(ancestor) = error.loop_ancestor() {
        let message = format!("this link leads back to {}", show(ancestor));
        return Some(Problem::of_file(&show(path), message, "remove the link"));
    }
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    if is_link && (is_hidden(path) || Form::of(path).is_none()) {
        return None;
    }
    let (message, help) = match error.io_error() {
        Some(io) if is_link => (format!("this link leads nowhere: {io}"), "remove the link, or restore its target"),
        Some(io) => (format!("this cannot be listed: {io}"), "check its owner and mode"),
        None => (format!("this cannot be listed: {error}"), "check the folder"),
    };
    Some(Problem::of_file(&show(path), message, help))
}

/// Breaks every file that declares an object which an earlier file declares.
pub(super) fn mark_twice(files: &mut [Arc<FileReading>]) {
    let mut first: BTreeMap<ObjectRef, Place> = BTreeMap::new();
    for file in files {
        let mut problems = Vec::new();
        for manifest in &file.manifests {
            match first.get(&manifest.id) {
                Some(place) => problems.push(twice(manifest, place)),
                None => {
                    first.insert(manifest.id.clone(), manifest.place.clone());
                }
            }
        }
        // A copy, so that the cached reading stays what the file alone says.
        problems.into_iter().for_each(|problem| Arc::make_mut(file).break_by(problem));
    }
}
