//! What became of every key of the source.
//!
//! In: one mark per key while a file is imported. Out: lines sorted by place, as text or JSON.
//! Not here: deciding what becomes of a key.
//! The surprise: a key nobody marked is reported as dropped, so nothing is lost by forgetting; and no value of the source
//! is ever in a report, since values may be secrets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::source::{Key, Path};
use crate::load::{Place, counted, plain};

/// What became of a key, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It means the same here.
    Mapped,
    /// It is there, and differs as the words say.
    Approximated,
    /// It is not there, for the reason the words give.
    Dropped,
}

impl Fate {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Fate::Mapped => "mapped",
            Fate::Approximated => "approximated",
            Fate::Dropped => "dropped",
        }
    }
}

/// One key of the source.
#[derive(Clone, Debug)]
pub struct Line {
    /// The way to it.
    pub path: Path,
    /// Where it stands.
    pub place: Place,
    /// The object it belongs to; empty for what belongs to the file.
    pub service: String,
    /// What became of it.
    pub fate: Fate,
    /// The field it went to; empty when there is none.
    pub to: String,
    /// How it differs, or why it was dropped.
    pub why: String,
}

impl Line {
    /// `program:web.command`, `apps[0].script`.
    #[must_use]
    pub fn key(&self) -> String {
        written(&self.path)
    }
}

/// A way as people write it.
#[must_use]
pub fn written(path: &Path) -> String {
    let mut text = String::new();
    for step in path {
        if !text.is_empty() && !step.starts_with('[') {
            text.push('.');
        }
        text.push_str(&plain(step));
    }
    text
}

/// What became of every key of a source.
#[derive(Debug, Default)]
pub struct Report {
    lines: BTreeMap<(std::sync::Arc<str>, Path), Line>,
    notes: Vec<String>,
    /// The kinds of objects that are no Services, by name.
    kinds: BTreeMap<String, &'static str>,
}

impl Report {
    /// Says what became of a key. Said twice, the worse counts and both reasons are kept.
    pub fn mark(&mut self, service: &str, key: &Key<'_>, fate: Fate, to: &str, why: &str) {
        let line = Line {
            path: key.path.clone(),
            place: key.place.clone(),
            service: service.to_owned(),
            fate,
            to: to.to_owned(),
            why: why.to_owned(),
        };
        let at = (key.place.file.clone(), key.path.clone());
        let Some(known) = self.lines.get_mut(&at) else {
            self.lines.insert(at, line);
            return;
        };
        known.fate = known.fate.max(fate);
        join(&mut known.to, to, ", ");
        join(&mut known.why, why, "; ");
    }

    /// Says what an object is, when it is no Service; `kind` as it is in object names.
    pub fn is_of(&mut self, name: &str, kind: &'static str) {
        self.kinds.insert(name.to_owned(), kind);
    }

    /// `service/web`; empty for what belongs to the file.
    fn object(&self, name: &str) -> String {
        let kind = self.kinds.get(name).copied().unwrap_or("service");
        if name.is_empty() { String::new() } else { format!("{kind}/{name}") }
    }

    /// Says something that is about no single key.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Drops what was carried over to a field that cannot stay, or to any when it is empty.
    pub fn refuse(&mut self, service: &str, field: &str, why: &str) {
        let is_below = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}."));
        let is_meant = |to: &str| !to.is_empty() && (is_below(to, field) || is_below(field, to));
        for line in self.lines.values_mut().filter(|line| line.service == service && line.fate != Fate::Dropped) {
            if field.is_empty() || line.to.split(", ").any(is_meant) {
                line.fate = Fate::Dropped;
                line.to.clear();
                why.clone_into(&mut line.why);
            }
        }
    }

    /// What was carried over to one field is carried over by another.
    pub fn moved(&mut self, service: &str, field: &str, to: &str, how: &str) {
        for line in self.lines.values_mut().filter(|line| line.service == service && line.to == field) {
            to.clone_into(&mut line.to);
            if line.fate == Fate::Approximated {
                how.clone_into(&mut line.why);
            }
        }
    }

    /// Drops every key at and below `key` that nothing was said about.
    pub fn drop_rest(&mut self, service: &str, key: &Key<'_>, why: &str) {
        let leaves = key.leaves();
        let is_untouched = !leaves.iter().any(|leaf| self.covers(leaf));
        if is_untouched && !key.path.is_empty() {
            return self.mark(service, key, Fate::Dropped, "", why);
        }
        for leaf in leaves.iter().filter(|leaf| !leaf.path.is_empty()) {
            if !self.covers(leaf) {
                self.mark(service, leaf, Fate::Dropped, "", why);
            }
        }
    }

    /// Where something was said about a key and about one inside it, the outer word is spread over what is left.
    pub fn settle(&mut self, root: &Key<'_>) {
        let leaves = root.leaves();
        let at = |leaf: &Key<'_>, n: usize| (leaf.place.file.clone(), leaf.path.get(..n).unwrap_or_default().to_vec());
        // From the outermost inwards, so that what is spread is looked at again.
        for depth in 1..leaves.iter().map(|leaf| leaf.path.len()).max().unwrap_or(0) {
            let is_twice = |leaf: &&Key<'_>| self.lines.contains_key(&at(leaf, depth)) && self.covering(leaf) > 1;
            let outer: Vec<_> = leaves.iter().filter(is_twice).map(|leaf| at(leaf, depth)).collect();
            for place in outer {
                let Some(line) = self.lines.remove(&place) else { continue };
                for leaf in leaves.iter().filter(|leaf| leaf.path.starts_with(&place.1)) {
                    if !self.covers(leaf) {
                        let spread = Line { path: leaf.path.clone(), place: leaf.place.clone(), ..line.clone() };
                        self.lines.insert(at(leaf, leaf.path.len()), spread);
                    }
                }
            }
        }
    }

    /// True when something was said about this key or one that holds it.
    #[must_use]
    pub fn covers(&self, key: &Key<'_>) -> bool {
        self.covering(key) > 0
    }

    /// How many lines account for a leaf; the promise is one.
    #[must_use]
    pub fn covering(&self, key: &Key<'_>) -> usize {
        let at = |n: usize| (key.place.file.clone(), key.path.get(..n).unwrap_or_default().to_vec());
        (1..=key.path.len()).filter(|n| self.lines.contains_key(&at(*n))).count()
    }

    /// The lines, by place.
    #[must_use]
    pub fn lines(&self) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.lines.values().collect();
        lines.sort_by_key(|line| (line.place.file.clone(), line.place.line, line.place.column));
        lines
    }

    fn count(&self, fate: Fate) -> usize {
        self.lines.values().filter(|line| line.fate == fate).count()
    }

    /// `23 keys: 15 mapped, 5 approximated, 3 dropped.`
    #[must_use]
    pub fn summary(&self) -> String {
        let of = |fate: Fate| format!("{} {}", self.count(fate), fate.word());
        let fates = [Fate::Mapped, Fate::Approximated, Fate::Dropped].map(of).join(", ");
        format!("{}: {fates}.", counted(self.lines.len(), "key"))
    }

    /// For people. `is_brief` leaves out what means the same.
    #[must_use]
    pub fn text(&self, is_brief: bool) -> String {
        let mut text = String::new();
        let lines = self.lines();
        let mut services: Vec<&str> = Vec::new();
        for line in &lines {
            if !services.contains(&&*line.service) {
                services.push(&line.service);
            }
        }
        for service in services {
            let own: Vec<&Line> = lines.iter().filter(|line| line.service == service).copied().collect();
            let body = section(&own, is_brief);
            if !body.is_empty() {
                let head = if service.is_empty() { "the file".to_owned() } else { self.object(service) };
                text.push_str(&format!("{head}\n{body}"));
            }
        }
        if !is_brief {
            self.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let line = |line: &&Line| {
            json!({
                "file": &*line.place.file, "line": line.place.line, "key": line.key(), "fate": line.fate.word(),
                "object": self.object(&line.service), "field": line.to, "why": line.why,
            })
        };
        let summary = json!({
            "mapped": self.count(Fate::Mapped), "approximated": self.count(Fate::Approximated),
            "dropped": self.count(Fate::Dropped),
        });
        json!({ "summary": summary, "keys": self.lines().iter().map(line).collect::<Vec<_>>(), "notes": self.notes })
    }
}

fn join(text: &mut String, more: &str, between: &str) {
    if !more.is_empty() && !format!("{between}{text}{between}").contains(&format!("{between}{more}{between}")) {
        if !text.is_empty() {
            text.push_str(between);
        }
        text.push_str(more);
    }
}

/// The lines of one object: what means the same in one line, what does not in one line each.
fn section(lines: &[&Line], is_brief: bool) -> String {
    let mut text = String::new();
    let same: Vec<String> = lines.iter().filter(|line| line.fate == Fate::Mapped).map(|line| mapped(line)).collect();
    if !same.is_empty() && !is_brief {
        text.push_str(&format!("  mapped        {}\n", same.join(", ")));
    }
    for line in lines.iter().filter(|line| line.fate != Fate::Mapped) {
        let to = if line.to.is_empty() { String::new() } else { format!(" -> {}", line.to) };
        let at = format!("{}:{}", line.place.file, line.place.line);
        text.push_str(&format!("  {:<13} {}{to} ({at}): {}\n", line.fate.word(), line.key(), line.why));
    }
    text
}

fn mapped(line: &Line) -> String {
    let key = line.path.iter().rev().find(|step| !step.starts_with('[')).map_or_else(String::new, |step| plain(step));
    if line.to.is_empty() || line.to == key { key } else { format!("{key} -> {}", line.to) }
}
