//! One file, from bytes to manifests.
//!
//! In: the bytes of a file and where it stands. Out: a [`FileReading`]. Not here: opening files (`read`), listing
//! folders (`folder`).
//! The surprise: a file is good as a whole or not at all: when one of its documents is broken it has no manifests, so
//! that nobody takes half a file for all of it.

use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::Manifest;
use super::document::{self, Surroundings};
use super::problem::{Findings, Problem, Source};
use super::{markdown, read, tree};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// YAML, of which JSON is a part.
    Yaml,
    /// JSON, strictly.
    Json,
    /// Markdown with YAML before the text.
    Markdown,
}

impl Form {
    /// The form a file name promises; `None` when it is no manifest's.
    #[must_use]
    pub fn of(path: &Path) -> Option<Form> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match &*extension {
            "yaml" | "yml" => Some(Form::Yaml),
            "json" => Some(Form::Json),
            "md" => Some(Form::Markdown),
            _ => None,
        }
    }
}

/// What one file says.
#[derive(Clone, Debug)]
pub struct FileReading {
    /// Where it is, absolute; `-` for standard input.
    pub path: Arc<Path>,
    /// As it was named.
    pub file: Arc<str>,
    /// Its objects; none when anything is wrong with it.
    pub manifests: Vec<Arc<Manifest>>,
    /// What is wrong with it; at most [`super::problem::PER_FILE_MAX`].
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub omitted: usize,
    /// What is worth saying about it and breaks nothing.
    pub warnings: Vec<Problem>,
}

impl FileReading {
    /// True when anything is wrong with it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !self.problems.is_empty()
    }

    /// A file with one problem.
    #[must_use]
    pub fn refused(place: &FilePlace, problem: Problem) -> FileReading {
        let (path, file) = (Arc::clone(&place.path), Arc::clone(&place.file));
        FileReading { path, file, manifests: Vec::new(), problems: vec![problem], omitted: 0, warnings: Vec::new() }
    }

    /// Adds a problem that only shows beside other files; the file is broken from then on.
    pub fn break_by(&mut self, problem: Problem) {
        self.manifests.clear();
        let list = std::mem::take(&mut self.problems);
        let mut findings = Findings { list, omitted: self.omitted, warnings: Vec::new() };
        findings.push(problem);
        (self.problems, self.omitted) = (findings.list, findings.omitted);
    }
}

/// Where a file is and how it is called.
#[derive(Clone, Debug)]
pub struct FilePlace {
    /// Absolute; `-` for standard input.
    pub path: Arc<Path>,
    /// As it was named, for people.
    pub file: Arc<str>,
    /// The folder relative paths start from, absolute.
    pub folder: Arc<Path>,
    /// How it is written.
    pub form: Form,
}

/// Reads the manifests of a file's bytes.
#[must_use]
pub fn parse(place: &FilePlace, bytes: &[u8]) -> FileReading {
    let text = match read::text(bytes, &place.file) {
        Ok(text) => text,
        Err(problem) => return FileReading::refused(place, *problem),
    };
    let Some(folder) = place.folder.to_str() else {
        let help = "paths of manifests are UTF-8, since they become part of what is run";
        return FileReading::refused(place, Problem::of_file(&place.file, "the name of its folder is not UTF-8", help));
    };
    let mut findings = Findings::default();
    let mut manifests = Vec::new();
    let whole = Source::new(&place.file, text);
    if let Some(yaml) = yaml_of(place, text, &mut findings) {
        let stem = place.path.file_stem().and_then(|stem| stem.to_str());
        let name = if place.form == Form::Markdown { stem } else { None };
        let around = Surroundings { source: &whole, path: &place.path, folder, name };
        for mut tree in tree::parse(&Source::new(&place.file, yaml), &mut findings) {
            if place.form == Form::Markdown {
                let Some(read) = markdown::job(&whole, &tree, yaml.len(), &mut findings) else { continue };
                tree = read;
            }
            document::objects(&around, &tree, &mut findings, &mut manifests);
        }
    }
    if !findings.is_empty() {
        manifests.clear();
    }
    let (path, file) = (Arc::clone(&place.path), Arc::clone(&place.file));
    findings.list.sort_by_key(|problem| (problem.place.line, problem.place.column));
    let (problems, omitted, warnings) = (findings.list, findings.omitted, findings.warnings);
    FileReading { path, file, manifests, problems, omitted, warnings }
}

/// The part of a text that is YAML; it always starts at the beginning, so places stay what they are.
fn yaml_of<'a>(place: &FilePlace, text: &'a str, findings: &mut Findings) -> Option<&'a str> {
    match place.form {
        Form::Yaml => Some(text),
        Form::Json if text.trim().is_empty() => None,
        Form::Json => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(IgnoredAny) => Some(text),
            Err(error) => {
                findings.push(broken_json(place, text, &error));
                None
            }
        },
        Form::Markdown => front_matter(place, text, findings),
    }
}

fn broken_json(place: &FilePlace, text: &str, error: &serde_json::Error) -> Problem {
    let source = Source::new(&place.file, text);
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = before + error.column().saturating_sub(1);
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let help = "JSON takes no comments and no trailing commas; a .yaml file takes both".to_owned();
    source.problem(at..at + 1, format!("this is not JSON: {said}"), String::new(), help)
}

/// What stands between the first line `---` and the next.
fn front_matter<'a>(place: &FilePlace, text: &'a str, findings: &mut Findings) -> Option<&'a str> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut at = first.len();
    for line in lines {
        if line.trim_end() == "---" {
            return text.get(..at);
        }
        at += line.len();
    }
    let source = Source::new(&place.file, text);
    let help = "end it with a line `---`".to_owned();
    findings.push(source.problem(0..3, "the front matter does not end".to_owned(), String::new(), help));
    None
}
