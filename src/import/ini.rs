//! INI files, in the two dialects that matter here.
//!
//! In: text. Out: sections as maps, with the place of every key. Not here: what a key means.
//! The surprise: there are crates for INI, and none keeps both the place of a key and a key that is written twice, which
//! systemd reads as a list and supervisord as the last one; so this reads lines by itself.

use std::sync::Arc;

use super::source::{Field, Node, Value};
use crate::load::{Place, Problem, Source};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `key=value`; a `\` at the end of a line continues it.
    Systemd,
    /// `key=value` or `key: value`; an indented line continues the one above, ` ;` begins a comment, case is nothing.
    Supervisord,
}

/// Reads a file.
///
/// # Errors
/// Every line that is none.
pub fn read(dialect: Dialect, file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source::new(file, text);
    let mut reading = Reading { source: &source, sections: Vec::new(), problems: Vec::new() };
    let lines = lines(text);
    let mut lines = lines.iter().peekable();
    while let Some((at, line)) = lines.next() {
        if is_comment(line) {
            continue;
        }
        let mut value = (*line).to_owned();
        match dialect {
            Dialect::Systemd => {
                while value.ends_with('\\') {
                    value.pop();
                    // Comments may stand between the lines of one value.
                    while lines.next_if(|(_, line)| is_comment(line) && !line.trim().is_empty()).is_some() {}
                    let Some((_, more)) = lines.next() else { break };
                    value = format!("{} {}", value.trim_end(), more.trim());
                }
            }
            Dialect::Supervisord => {
                value = without_comment(&value).to_owned();
                let continues = |line: &str| line.starts_with([' ', '\t']) && !line.trim().is_empty();
                while let Some((_, more)) = lines.next_if(|(_, line)| continues(line)) {
                    if !is_comment(more) {
                        value = format!("{value}\n{}", without_comment(more).trim());
                    }
                }
            }
        }
        reading.line(dialect, *at, line, &value);
    }
    reading.problems.truncate(crate::load::PER_FILE_MAX);
    let root = Node { place: source.place(0), value: Value::Map(reading.sections) };
    if reading.problems.is_empty() { Ok(root) } else { Err(reading.problems) }
}

/// The lines with the byte each begins at.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    let line = |line: &'_ str| {
        let begin = at;
        at += line.len();
        begin
    };
    let begins: Vec<usize> = text.split_inclusive('\n').map(line).collect();
    begins.into_iter().zip(text.split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r']))).collect()
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

/// Without a comment that begins after a blank.
fn without_comment(line: &str) -> &str {
    let marks = line.char_indices().filter(|(_, c)| matches!(c, ';' | '#'));
    let mut begins = marks.map(|(at, _)| at).filter(|at| line[..*at].ends_with([' ', '\t']));
    begins.next().map_or(line, |at| &line[..at]).trim_end()
}

struct Reading<'a> {
    source: &'a Source<'a>,
    sections: Vec<Field>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn line(&mut self, dialect: Dialect, at: usize, line: &str, value: &str) {
        let indent = line.len() - line.trim_start().len();
        let place = self.source.place(at + indent);
        let (value, span) = (value.trim(), at + indent..at + line.len());
        if value.starts_with('[') {
            let name = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::trim);
            match name.filter(|name| !name.is_empty()) {
                Some(name) => self.section(name, place),
                None => {
                    self.wrong(span, "this section has no end", "a section is `[name]`, alone on its line");
                    // What follows belongs to it, and is not wrong because of it.
                    self.section(value, place);
                }
            }
            return;
        }
        let delimiters: &[char] = if dialect == Dialect::Systemd { &['='] } else { &['=', ':'] };
        let Some((key, value)) = value.split_once(delimiters).filter(|(key, _)| !key.trim().is_empty()) else {
            return self.wrong(span, "this line is no `key=value`", "write it so, or make it a comment with `#`");
        };
        let key = if dialect == Dialect::Systemd { key.trim().to_owned() } else { key.trim().to_lowercase() };
        let node = Node::text(&place, value.trim());
        let Some(Value::Map(fields)) = self.sections.last_mut().map(|section| &mut section.node.value) else {
            return self.wrong(
                span,
                "this stands in no section",
                "put it below a line such as `[Service]` or `[program:web]`",
            );
        };
        match fields.iter_mut().find(|field| field.key == key) {
            Some(field) => field.node.again(node),
            None => fields.push(Field { key, place, node }),
        }
    }

    /// Begins a section, or goes on with it.
    fn section(&mut self, name: &str, place: Place) {
        let known = self.sections.iter().position(|section| section.key == name);
        let section = match known {
            Some(n) => self.sections.remove(n),
            None => {
                let node = Node { place: place.clone(), value: Value::Map(Vec::new()) };
                Field { key: name.to_owned(), place, node }
            }
        };
        // The last one is the one being read; the order of sections is restored by their places.
        self.sections.push(section);
    }

    fn wrong(&mut self, span: std::ops::Range<usize>, message: &str, help: &str) {
        self.problems.push(self.source.problem(span, message.to_owned(), String::new(), help.to_owned()));
    }
}
