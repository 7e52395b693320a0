//! Manifests from files: the only reader of YAML.
//!
//! In: the arguments of `-f`. Out: [`Manifest`]s with the set they belong to, or every problem of every file at once.
//! Not here: what is done with them, and what the fields of a kind mean.
//!
//! text -> tree with places -> form, kind, name (`document`) -> schema and types (`check`) -> canonical spec.
//! The surprise: the canonical spec leaves out what equals a default and its paths are absolute, so a manifest means
//! the same wherever it is read from, and writing a default changes nothing.

mod check;
mod document;
mod file;
mod folder;
mod foreign;
mod markdown;
mod paths;
mod problem;
mod read;
mod set;
mod slips;
mod syntax;
mod tree;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use check::{refused, schema as spec_schema};
pub use file::{FileReading, Form};
pub use folder::{Cache, FILES_MAX, FolderReading, Trust, folder_set, load_folder, reload_folder};
pub use foreign::similar;
pub use problem::{Findings, KEPT_MAX, PER_FILE_MAX, Place, Problem, Problems, Source, counted, plain, quote};
pub use read::FILE_BYTES_MAX;
pub use set::FolderSet;
pub use tree::{Entry, Node as TreeNode, Tree, parse as parse_trees};

use crate::engine::name::ObjectRef;
use crate::kind::{KindDef, Names};
use file::FilePlace;
use read::Refused;

/// How standard input is named in places.
pub const STDIN: &str = "<stdin>";

/// One object as its file declares it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Kind and name.
    pub id: ObjectRef,
    /// Its kind.
    pub kind: &'static KindDef,
    /// The canonical spec: defaults left out, paths absolute.
    pub spec: Value,
    /// For selecting it.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub place: Place,
    /// The file it stands in, absolute; `-` for standard input.
    pub source: Arc<Path>,
    /// Other objects it names.
    pub links: Arc<[Link]>,
    /// Where each of its schedules stands, in order, as problems that lack their words.
    pub schedules: Arc<[Problem]>,
}

/// Something outside of it that a manifest names, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The way to it, as in [`crate::kind::FieldError::path`].
    pub path: Vec<String>,
    /// What.
    pub names: Names,
    /// The place, as a problem that lacks its words.
    pub at: Problem,
    /// The same for fields beside it that say how: the way from the map they share, and the place.
    pub fields: Vec<(Vec<String>, Problem)>,
}

/// What loading starts from.
#[derive(Clone, Debug)]
pub struct LoadContext {
    /// The folder that manifests from standard input are relative to, absolute.
    pub folder: PathBuf,
}

impl LoadContext {
    /// Starts from the current folder.
    ///
    /// # Errors
    /// When there is none any more.
    pub fn here() -> std::io::Result<LoadContext> {
        Ok(LoadContext { folder: std::env::current_dir()? })
    }
}

/// Whether what was loaded is all of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetSource {
    /// All of one: what it owns and these files do not name is left over.
    Folder(FolderSet),
    /// Single files or standard input: they add and change, and nothing is left over.
    Files,
    /// Folders of several sets, or folders and files: good to validate, too unclear to apply.
    Mixed,
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The objects, each once, in the order of arguments and files.
    pub manifests: Vec<Arc<Manifest>>,
    /// What is worth saying and stops nothing.
    pub warnings: Vec<Problem>,
    /// Whether this is all of a set.
    pub set: SetSource,
    /// How many files were read.
    pub files: usize,
}

/// Loads what `-f` names: folders, files, and `-` for standard input.
///
/// # Errors
/// Everything that is wrong with any of it: nothing is loaded unless all of it is good.
pub fn load(args: &[PathBuf], cx: &LoadContext) -> Result<Loaded, Problems> {
    let mut loading = Loading::default();
    for arg in args {
        match arg {
            arg if arg == Path::new("-") => loading.stdin(cx),
            arg if arg.is_dir() => loading.folder(arg),
            arg => loading.file(arg),
        }
    }
    loading.finish()
}

/// Reads the text of any file, or of standard input for `-`, and names it for people. What it says is not looked at.
///
/// # Errors
/// When it is not there, no text, too large, or may not be read.
pub fn read_text(path: &Path) -> Result<(Arc<str>, String), Box<Problem>> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { Arc::from(STDIN) } else { show(path) };
    let bytes = match is_stdin {
        true => read::read_stdin(&name),
        false => read::open(path, &name).and_then(|(file, size)| read::read(file, size.len(), &name)),
    };
    let bytes = bytes.map_err(|refused| Box::new(why(refused, &name)))?;
    let text = read::text(&bytes, &name)?.to_owned();
    Ok((name, text))
}

/// Loads a text, as if it came from standard input.
///
/// # Errors
/// As [`load`].
pub fn load_text(bytes: &[u8], form: Form, cx: &LoadContext) -> Result<Loaded, Problems> {
    let mut loading = Loading { has_files: true, ..Loading::default() };
    let place = stdin_place(cx, form);
    loading.add(Arc::new(file::parse(&place, bytes)));
    loading.finish()
}

fn stdin_place(cx: &LoadContext, form: Form) -> FilePlace {
    let folder = cx.folder.canonicalize().unwrap_or_else(|_| cx.folder.clone());
    FilePlace { path: Arc::from(Path::new("-")), file: Arc::from(STDIN), folder: Arc::from(folder), form }
}

#[derive(Debug, Default)]
struct Loading {
    files: Vec<Arc<FileReading>>,
    listing: Vec<Problem>,
    warnings: Vec<Problem>,
    seen: BTreeSet<Arc<Path>>,
    sets: Vec<FolderSet>,
    has_files: bool,
}

impl Loading {
    fn add(&mut self, reading: Arc<FileReading>) {
        // The same file may be named twice, or by itself and with its folder.
        if self.seen.insert(Arc::clone(&reading.path)) {
            self.files.push(reading);
        }
    }

    /// Adds what was named by itself: nothing in it is most likely the end of a pipe that broke earlier on.
    fn add_named(&mut self, reading: FileReading) {
        if reading.manifests.is_empty() && reading.problems.is_empty() {
            let help = "a manifest begins with a line such as `kind: Service`";
            self.warnings.push(Problem::of_file(&reading.file, "there is no manifest in it", help));
        }
        self.add(Arc::new(reading));
    }

    fn stdin(&mut self, cx: &LoadContext) {
        self.has_files = true;
        let place = stdin_place(cx, Form::Yaml);
        let reading = match read::read_stdin(&place.file) {
            Ok(bytes) => file::parse(&place, &bytes),
            Err(refused) => FileReading::refused(&place, why(refused, &place.file)),
        };
        self.add_named(reading);
    }

    fn folder(&mut self, path: &Path) {
        let reading = load_folder(path, &mut Cache::default());
        if reading.files.is_empty() && reading.listing.is_empty() {
            let message = "there are no manifests in this folder";
            let help = "manifests end in .yaml, .yml, .json or .md";
            self.warnings.push(Problem::of_file(&show(path), message, help));
        }
        self.listing.extend(reading.listing);
        self.sets.extend(reading.set);
        reading.files.into_iter().for_each(|file| self.add(file));
    }

    fn file(&mut self, path: &Path) {
        self.has_files = true;
        let name = show(path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = match parent.canonicalize() {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.listing.push(missing(&name)),
            Err(error) => {
                let message = format!("the folder of this file cannot be read: {error}");
                return self.listing.push(Problem::of_file(&name, message, "check its owner and mode"));
            }
        };
        let absolute = folder.join(path.file_name().unwrap_or_default());
        let form = Form::of(path).unwrap_or(Form::Yaml);
        let place = FilePlace { path: Arc::from(absolute), file: name, folder: Arc::from(folder), form };
        let bytes = read::open(path, &place.file).and_then(|(file, size)| read::read(file, size.len(), &place.file));
        let reading = match bytes {
            Ok(bytes) => file::parse(&place, &bytes),
            Err(refused) => FileReading::refused(&place, why(refused, &place.file)),
        };
        self.add_named(reading);
    }

    fn finish(mut self) -> Result<Loaded, Problems> {
        folder::mark_twice(&mut self.files);
        let files = self.files.len();
        let files_broken = self.files.iter().filter(|file| file.is_broken()).count() + self.listing.len();
        if files_broken == 0 {
            let manifests = self.files.iter().flat_map(|file| file.manifests.iter().cloned()).collect();
            let set = self.set();
            self.warnings.extend(self.files.iter().flat_map(|file| file.warnings.iter().cloned()));
            return Ok(Loaded { manifests, warnings: self.warnings, set, files });
        }
        let omitted: usize = self.files.iter().map(|file| file.omitted).sum();
        let files = files + self.listing.len();
        let of_files = self.files.iter().flat_map(|file| file.problems.iter().cloned());
        let mut all = self.listing.into_iter().chain(of_files);
        let list: Vec<Problem> = all.by_ref().take(problem::KEPT_MAX).collect();
        Err(Problems { list, omitted: omitted + all.count(), files_broken, files })
    }

    fn set(&mut self) -> SetSource {
        let has_files = self.has_files;
        match self.sets.pop() {
            None => SetSource::Files,
            Some(set) if !has_files && self.sets.iter().all(|other| other.name == set.name) => SetSource::Folder(set),
            Some(_) => SetSource::Mixed,
        }
    }
}

fn missing(name: &Arc<str>) -> Problem {
    Problem::of_file(name, "there is no such file or folder", "check the path")
}

fn why(refused: Refused, name: &Arc<str>) -> Problem {
    match refused {
        Refused::Gone => missing(name),
        Refused::Problem(problem) => *problem,
    }
}

/// An object that was declared before.
fn twice(manifest: &Manifest, first: &Place) -> Problem {
    let mut problem = Problem::of_file(&manifest.place.file, format!("{} is declared twice", manifest.id), "");
    problem.place = manifest.place.clone();
    problem.label = format!("the first is at {first}");
    problem.help = format!("the first is at {first}; rename or remove one of them");
    problem
}

/// A path for people: no control characters, no leading `./`.
fn show(path: &Path) -> Arc<str> {
    let text = path.to_string_lossy();
    let text = text.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(&text);
    if !text.contains(char::is_control) {
        return Arc::from(text);
    }
    let escaped: String =
        text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    Arc::from(escaped)
}
