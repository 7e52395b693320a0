//! Files of other tools become Service manifests, and every key of theirs is accounted for.
//!
//! In: a format, files, and where the manifests will stand. Out: [`Imported`]: drafts and a report. Not here: writing
//! files (`cli`), whether a manifest is right (`load`).
//!
//! One file per format is mostly a table from its keys to what becomes of them (`work::Rule`).
//! The surprise: what a source does by its own default is written down where setpoint's differs and somebody would notice
//! (a database that has 90 s to stop), and left out where setpoint only cares more (how long it tries again).

pub mod compose;
mod container;
pub mod draft;
mod env;
mod ini;
pub mod pitchfork;
pub mod pm2;
pub mod process_compose;
pub mod procfile;
pub mod report;
pub mod source;
pub mod supervisord;
pub mod systemd;
mod words;
mod work;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use draft::Draft;
pub use report::{Fate, Report};
pub use source::{Key, Node};
use work::Work;

use crate::load::{Problem, read_text};

/// A format that can be imported.
pub struct Format {
    /// As it is named on the command line.
    pub name: &'static str,
    /// One clause: which files these are.
    pub about: &'static str,
    /// What such a file is called, in lower case; `*` stands for anything.
    pub files: &'static [&'static str],
    read: fn(&Arc<str>, &str) -> Result<Node, Vec<Problem>>,
    import: fn(&mut Import<'_>, &Key<'_>),
}

/// Every format there is, sorted by name.
pub const FORMATS: &[Format] = &[
    compose::FORMAT,
    pitchfork::FORMAT,
    pm2::FORMAT,
    process_compose::FORMAT,
    procfile::FORMAT,
    supervisord::FORMAT,
    systemd::FORMAT,
];

/// Formats that are planned and not there yet.
pub const LATER: &[(&str, &str)] = &[
    ("aiwg", "daemon.json of aiwg"),
    ("crontab", "its lines become CronJobs"),
    ("gastown", "the daemon's config.json"),
    ("systemd-timer", "timers become CronJobs"),
    ("work-buddy", "the sidecar's jobs"),
];

/// The format of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name.eq_ignore_ascii_case(name))
}

/// The format a file name promises.
#[must_use]
pub fn guess(path: &Path) -> Option<&'static Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    FORMATS.iter().find(|format| format.files.iter().any(|pattern| fits(pattern, &name)))
}

impl Format {
    /// True when a file of this name is one of this format.
    #[must_use]
    pub fn claims(&self, path: &Path) -> bool {
        guess(path).is_some_and(|format| format.name == self.name)
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
    }
}

/// What an import starts from.
#[derive(Clone, Debug)]
pub struct Around {
    /// The folder the manifests will stand in, absolute.
    pub target: PathBuf,
    /// The person's home, for `~` and `%h`.
    pub home: Option<PathBuf>,
    /// What runs from an image becomes `docker run`.
    pub docker: bool,
}

/// What came of an import.
#[derive(Debug, Default)]
pub struct Imported {
    /// The manifests.
    pub drafts: Vec<Draft>,
    /// What became of every key.
    pub report: Report,
    /// The files as they were read, for whoever checks the report.
    pub sources: Vec<Node>,
}

/// One file while it is imported.
#[derive(Debug)]
pub struct Import<'a> {
    around: &'a Around,
    /// The folder of the file, absolute.
    folder: PathBuf,
    /// The file, as it was named.
    file: Arc<str>,
    /// Its name without the ending.
    stem: String,
    /// What may be needed by what is in this file: names there, and as they are valid here.
    peers: BTreeMap<String, String>,
    names: &'a mut draft::Names,
    drafts: Vec<Draft>,
    report: &'a mut Report,
}

/// Imports files of one format.
///
/// # Errors
/// Whatever keeps a file from being read: nothing is imported unless all of them are good.
pub fn import(format: &Format, files: &[PathBuf], around: &Around) -> Result<Imported, Vec<Problem>> {
    let mut done = Imported::default();
    let mut names = draft::Names::default();
    let mut problems = Vec::new();
    let name = |path: &PathBuf| (stem(path), draft::sane(&stem(path).replace('@', "-")));
    let peers: BTreeMap<String, String> = files.iter().map(name).collect();
    for path in files {
        let read = read_text(path).map_err(|problem| vec![*problem]);
        match read.and_then(|(file, text)| (format.read)(&file, &text).map(|node| (file, node))) {
            Ok((file, node)) => {
                let (folder, report) = (folder_of(path), &mut done.report);
                let (names, stem, peers) = (&mut names, stem(path), peers.clone());
                let mut import = Import { around, folder, file, stem, peers, names, drafts: Vec::new(), report };
                let root = Key::root(&node);
                (format.import)(&mut import, &root);
                import.report.drop_rest("", &root, work::UNKNOWN);
                import.report.settle(&root);
                done.drafts.append(&mut import.drafts);
                done.sources.push(node);
            }
            Err(mut more) => problems.append(&mut more),
        }
    }
    forget_missing(&mut done);
    if problems.is_empty() { Ok(done) } else { Err(problems) }
}

/// Takes away needs of what turned out to be no service.
fn forget_missing(done: &mut Imported) {
    let names: Vec<String> = done.drafts.iter().map(|draft| draft.name.clone()).collect();
    for draft in &mut done.drafts {
        for gone in draft.retain_needs(|name| names.iter().any(|known| known == name)) {
            done.report.refuse(&draft.name, &format!("needs.{gone}"), "what it names became no service");
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// The folder a file stands in, absolute; the current one for standard input.
fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().unwrap_or_else(|_| parent.to_owned())
}

impl<'a> Import<'a> {
    /// A Service of this name in the source.
    fn service<'b>(&'b mut self, wanted: &str, section: &Key<'b>) -> Work<'b> {
        let name = self.names.give(wanted);
        if name != wanted {
            self.report.note(format!(
                "{} is called `{name}` here: names are unique, with letters, digits, - and _",
                crate::load::quote(wanted)
            ));
        }
        let from = format!("{} of {}:{}", crate::load::plain(wanted), self.file, section.place.line);
        Work {
            draft: Draft::new(name, from),
            report: self.report,
            section: section.clone(),
            around: self.around,
            folder: self.folder.clone(),
            drafts: &mut self.drafts,
            vars: BTreeMap::new(),
            peers: &self.peers,
        }
    }
}
