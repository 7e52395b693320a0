//! What is wrong with a manifest: the place, the words, and the help.
//!
//! In: a source text, a span in it and words. Out: a [`Problem`] that needs the text no longer, and its rendering for a
//! terminal. Not here: finding problems.
//! The surprise: a snippet is one line, cut to 160 columns around its span, so that no input makes an error long.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use crate::kind::{plain, shown as quote};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// The most problems of one file that are kept; more are counted.
pub const PER_FILE_MAX: usize = 20;

/// The most problems of one load that are kept; more are counted.
pub const KEPT_MAX: usize = 1000;

/// The most problems that one report prints; more are counted.
pub const PRINTED_MAX: usize = 200;

/// The most columns of a source line that are printed.
const COLUMNS_MAX: usize = 160;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// In characters, from 1; 0 when the file as a whole is meant.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, in one sentence.
    pub message: String,
    /// A few words to stand under the place; may be empty.
    pub label: String,
    /// How to fix it; may be empty.
    pub help: String,
    /// The field, as in `backoff.from`; empty when it is about no single one.
    pub field: String,
    /// What was probably meant.
    pub meant: Vec<String>,
    snippet: Option<Cut>,
}

/// One source line, cut, and the part of it that is meant, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    text: String,
    span: Range<usize>,
}

impl Problem {
    /// The same, of this field.
    #[must_use]
    pub fn of_field(self, field: impl Into<String>) -> Problem {
        Problem { field: field.into(), ..self }
    }

    /// The same, with what was probably meant.
    #[must_use]
    pub fn meaning<'a>(self, meant: impl IntoIterator<Item = &'a str>) -> Problem {
        Problem { meant: meant.into_iter().map(str::to_owned).collect(), ..self }
    }

    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &Arc<str>, message: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem {
            place: Place { file: Arc::clone(file), line: 0, column: 0 },
            message: message.into(),
            label: String::new(),
            help: help.into(),
            field: String::new(),
            meant: Vec::new(),
            snippet: None,
        }
    }

    /// The rendering for a terminal: `error: …`, the place, the snippet, the help.
    #[must_use]
    pub fn render(&self, is_error: bool, color: bool) -> String {
        let level = if is_error { Level::ERROR } else { Level::WARNING };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()));
        group = match &self.snippet {
            Some(cut) => {
                let annotation = AnnotationKind::Primary.span(cut.span.clone()).label(self.label.as_str());
                let line = usize::try_from(self.place.line).unwrap_or(1);
                let snippet = Snippet::source(cut.text.as_str()).line_start(line).path(&*self.place.file);
                group.element(snippet.annotation(annotation))
            }
            None => group.element(Origin::path(self.place.to_string())),
        };
        if !self.help.is_empty() {
            group = group.element(Level::HELP.message(self.help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(COLUMNS_MAX + 40).render(&[group])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        let more = [&self.label, &self.help];
        more.iter().filter(|text| !text.is_empty()).try_for_each(|text| write!(f, "; {text}"))
    }
}

/// Everything that is wrong with what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// In the order of files and lines; at most [`PER_FILE_MAX`] a file and [`KEPT_MAX`] in all.
    pub list: Vec<Problem>,
    /// How many more there are that were only counted.
    pub omitted: usize,
    /// How many files have one.
    pub files_broken: usize,
    /// How many files were read.
    pub files: usize,
}

impl Problems {
    /// These problems of manifests from these files; none when there are none.
    #[must_use]
    pub fn of<'a>(mut list: Vec<Problem>, sources: impl Iterator<Item = &'a str>) -> Option<Problems> {
        if list.is_empty() {
            return None;
        }
        let omitted = list.len().saturating_sub(KEPT_MAX);
        list.truncate(KEPT_MAX);
        let broken: BTreeSet<&str> = list.iter().map(|problem| &*problem.place.file).collect();
        let files_broken = broken.len();
        Some(Problems { list, omitted, files_broken, files: sources.collect::<BTreeSet<_>>().len() })
    }

    /// All of them for a terminal, bounded, with a last line that counts.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for problem in self.list.iter().take(PRINTED_MAX) {
            text.push_str(&problem.render(true, color));
            text.push_str("\n\n");
        }
        let unprinted = self.list.len().saturating_sub(PRINTED_MAX) + self.omitted;
        if unprinted > 0 {
            text.push_str(&format!("... and {unprinted} more\n\n"));
        }
        text.push_str(&self.summary());
        text
    }

    /// `2 errors in 1 of 12 files.`
    #[must_use]
    pub fn summary(&self) -> String {
        let count = self.list.len() + self.omitted;
        format!("{} in {} of {}.", counted(count, "error"), self.files_broken, counted(self.files, "file"))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// `1 error`, `2 errors`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A text being read, and where its lines begin.
#[derive(Debug)]
pub struct Source<'a> {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// All of it.
    pub text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    /// The text of a file.
    #[must_use]
    pub fn new(file: &Arc<str>, text: &'a str) -> Source<'a> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Source { file: Arc::clone(file), text, lines: std::iter::once(0).chain(breaks).collect() }
    }

    /// The place of a byte.
    #[must_use]
    pub fn place(&self, at: usize) -> Place {
        let (line, from) = self.line_of(at);
        let column = self.text.get(from..at).map_or(0, |before| before.chars().count());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: Arc::clone(&self.file), line: number(line + 1), column: number(column + 1) }
    }

    /// The number of the line from 0, and the byte it begins at.
    fn line_of(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|from| *from <= at).saturating_sub(1);
        (line, self.lines.get(line).copied().unwrap_or(0))
    }

    /// The line a byte stands in, without its line break, and the byte it begins at.
    #[must_use]
    pub fn line_at(&self, at: usize) -> (&'a str, usize) {
        let (line, from) = self.line_of(at.min(self.text.len()));
        let to = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        (self.text.get(from..to).unwrap_or("").trim_end_matches(['\n', '\r']), from)
    }

    /// A problem of the bytes of `span`.
    #[must_use]
    pub fn problem(&self, span: Range<usize>, message: String, label: String, help: String) -> Problem {
        let mut at = span.start.min(self.text.len());
        // Parsers count bytes, and a character has several.
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let (line, from) = self.line_at(at);
        let begin = (at - from).min(line.len());
        let mut end = span.end.saturating_sub(from).clamp(begin, line.len());
        while !line.is_char_boundary(end) {
            end += 1;
        }
        let snippet = cut(line, begin..end);
        let (place, field, meant) = (self.place(at), String::new(), Vec::new());
        Problem { place, message, label, help, field, meant, snippet: Some(snippet) }
    }
}

/// Cuts a line to what is printed around a span.
fn cut(line: &str, span: Range<usize>) -> Cut {
    let starts: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
    let index = |at: usize| starts.partition_point(|start| *start < at);
    let (begin, end) = (index(span.start), index(span.end));
    let columns = starts.len() - 1;
    if columns <= COLUMNS_MAX {
        return Cut { text: line.to_owned(), span };
    }
    // Two thirds of the line stand after the beginning of the span, where its cause usually is.
    let from = begin.saturating_sub(COLUMNS_MAX / 3).min(columns - COLUMNS_MAX);
    let to = from + COLUMNS_MAX;
    let (head, tail) = (if from > 0 { "..." } else { "" }, if to < columns { "..." } else { "" });
    let shown = line.get(starts[from]..starts[to]).unwrap_or("");
    let moved = |at: usize| starts[at.clamp(from, to)] - starts[from] + head.len();
    Cut { text: format!("{head}{shown}{tail}"), span: moved(begin)..moved(end) }
}

/// The problems of one file while it is read.
#[derive(Debug, Default)]
pub struct Findings {
    /// At most [`PER_FILE_MAX`].
    pub list: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
    /// What is worth saying and breaks nothing; at most [`PER_FILE_MAX`].
    pub warnings: Vec<Problem>,
}

impl Findings {
    /// Keeps something that is worth saying.
    pub fn warn(&mut self, problem: Problem) {
        if self.warnings.len() < PER_FILE_MAX {
            self.warnings.push(problem);
        }
    }

    /// Keeps or counts one.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < PER_FILE_MAX { self.list.push(problem) } else { self.omitted += 1 }
    }

    /// How many there are, kept or counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
