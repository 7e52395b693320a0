//! Files of other tools become manifests, and every key of theirs is accounted for.
//!
//! In: a format, files, and where the manifests will stand. Out: [`Imported`]: drafts and a report. Not here: writing
//! files (`cli`), whether a manifest is right (`load`).
//!
//! One file per format is mostly a table from its keys to what becomes of them (`work::Rule`).
//! The surprise: what a source does by its own default is written down where setpoint's differs and somebody would notice
//! (a database that has 90 s to stop), and left out where setpoint only cares more (how long it tries again).

pub mod aiwg;
mod beside;
pub mod compose;
mod container;
pub mod crontab;
pub mod draft;
mod env;
pub mod gastown;
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
pub mod work_buddy;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use draft::Draft;
pub use report::{Fate, Report};
pub use source::{Key, Node};
use work::Work;

use crate::kind::{KindDef, service};
use crate::load::{Problem, read_text};

/// A format that can be imported.
pub struct Format {
    /// As it is named on the command line.
    pub name: &'static str,
    /// One clause: which files these are.
    pub about: &'static str,
    /// What such a file is called, in lower case; `*` stands for anything. `folder/name` is one in such a folder, and
    /// `folder/*` any there without a dot in its name.
    pub files: &'static [&'static str],
    read: fn(&Arc<str>, &str) -> Result<Node, Vec<Problem>>,
    import: fn(&mut Import<'_>, &Key<'_>),
}

/// Every format there is, sorted by name.
pub const FORMATS: &[Format] = &[
    aiwg::FORMAT,
    compose::FORMAT,
    crontab::FORMAT,
    gastown::FORMAT,
    pitchfork::FORMAT,
    pm2::FORMAT,
    process_compose::FORMAT,
    procfile::FORMAT,
    supervisord::FORMAT,
    systemd::FORMAT,
    work_buddy::FORMAT,
];

/// What to do before what was imported of a daemon is applied.
const TWICE: &str = "end its own daemon before you apply this, or switch off there what is here: else both do it";

/// The format of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name.eq_ignore_ascii_case(name))
}

/// The format a file name promises.
#[must_use]
pub fn guess(path: &Path) -> Option<&'static Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let folder = path.parent().and_then(Path::file_name).and_then(|folder| folder.to_str()).unwrap_or_default();
    let is_meant = |pattern: &&str| match pattern.split_once('/') {
        Some((inside, "*")) => inside == folder && !name.contains('.'),
        Some((inside, file)) => inside == folder && fits(file, &name),
        None => fits(pattern, &name),
    };
    FORMATS.iter().find(|format| format.files.iter().any(is_meant))
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
    /// A crontab names a user in each line, as that of the system does.
    pub system: bool,
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
    /// What came of the files before.
    made: &'a mut Vec<Draft>,
    /// The names of objects that units of systemd became, by their stems.
    units: &'a mut BTreeMap<String, String>,
    failures: &'a mut systemd::failure::Failures,
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
    // A timer or a path only says when, so what it starts is read first.
    let says_when = |path: &&PathBuf| path.extension().is_some_and(|end| end == "timer" || end == "path");
    let (mut units, mut failures) = (BTreeMap::new(), BTreeMap::new());
    let in_order = files.iter().filter(|path| !says_when(path)).chain(files.iter().filter(says_when));
    for path in in_order {
        let read = read_text(path).map_err(|problem| vec![*problem]);
        match read.and_then(|(file, text)| (format.read)(&file, &text).map(|node| (file, node))) {
            Ok((file, node)) => {
                let (folder, report) = (folder_of(path), &mut done.report);
                let (made, units, failures) = (&mut done.drafts, &mut units, &mut failures);
                let (names, stem, peers, drafts) = (&mut names, stem(path), peers.clone(), Vec::new());
                let mut import =
                    Import { around, folder, file, stem, peers, names, made, units, failures, drafts, report };
                let root = Key::root(&node);
                (format.import)(&mut import, &root);
                import.report.drop_rest("", &root, work::UNKNOWN);
                import.report.settle(&root);
                let mut drafts = std::mem::take(&mut import.drafts);
                done.drafts.append(&mut drafts);
                done.sources.push(node);
            }
            Err(mut more) => problems.append(&mut more),
        }
    }
    systemd::failure::import(&mut done, &failures, &units);
    forget_missing(&mut done);
    if problems.is_empty() { Ok(done) } else { Err(problems) }
}

/// Takes away needs of what turned out to be neither a Service nor a Job, and waits for the end of a Job.
fn forget_missing(done: &mut Imported) {
    let kinds: BTreeMap<String, &str> =
        done.drafts.iter().map(|draft| (draft.name.clone(), draft.kind.lower)).collect();
    for draft in &mut done.drafts {
        let kind = |name: &str| kinds.get(name).copied().filter(|kind| matches!(*kind, "job" | "service"));
        for gone in draft.retain_needs(|name| kind(name).is_some()) {
            done.report.refuse(&draft.name, &format!("needs.{gone}"), "what it names became no service and no job");
        }
        draft.need_jobs_done(|name| kind(name) == Some("job"));
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
        self.object(&service::DEF, wanted, section)
    }

    /// An object of this kind and of this name in the source.
    fn object<'b>(&'b mut self, kind: &'static KindDef, wanted: &str, section: &Key<'b>) -> Work<'b> {
        let name = self.names.give(wanted);
        if name != wanted {
            self.report.note(format!(
                "{} is called `{name}` here: names are unique, with letters, digits, - and _",
                crate::load::quote(wanted)
            ));
        }
        let from = format!("{} of {}:{}", crate::load::plain(wanted), self.file, section.place.line);
        self.work(Draft::new(kind, name, from), section)
    }

    /// An object while its keys are mapped.
    fn work<'b>(&'b mut self, draft: Draft, section: &Key<'b>) -> Work<'b> {
        if draft.kind.lower != service::DEF.lower {
            self.report.is_of(&draft.name, draft.kind.lower);
        }
        Work {
            draft,
            report: self.report,
            section: section.clone(),
            around: self.around,
            folder: self.folder.clone(),
            drafts: &mut self.drafts,
            names: self.names,
            beside: Vec::new(),
            vars: BTreeMap::new(),
            peers: &self.peers,
            units: self.units,
            failures: self.failures,
        }
    }
}
