//! A Markdown file as a job: front matter says when and what, the text below says why, or what an agent is to do.
//!
//! In: the front matter as a tree, and the text. Out: the tree of the object it means. Not here: the fields of that
//! object (`check`).
//! The surprise: every key keeps its place, so what is wrong with the object is told at the line it came from, although
//! half of its keys have other names here.

use std::ops::Range;

use super::problem::{Findings, Problem, Source, quote};
use super::tree::{Entry, Node, Tree};

/// How a session is started, as these files say it.
const SPAWN_MODES: &[&str] = &["headless_ephemeral", "headless_persistent", "interactive_persistent"];
/// The Agent that is told a prompt when the file names none.
const AGENT_DEFAULT: &str = "claude";
/// The longest description that is kept, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 8 << 10;
/// Keys that are rewritten.
const KEYS: &[&str] = &["capability", "jitter_seconds", "params", "recurring", "spawn_mode", "type", "workflow"];

/// What is done, as these files say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Capability,
    Workflow,
    Prompt,
    /// By the fields of the kind itself: run, use, prompt or agent.
    Fields,
}

/// The object a file means; `end` is where its front matter ends. Nothing when that cannot be told.
pub fn job(source: &Source<'_>, tree: &Tree, end: usize, findings: &mut Findings) -> Option<Tree> {
    let Node::Map(entries) = &tree.node else { return Some(tree.clone()) };
    let text = body(source.text, end);
    let file = File { source, entries, text, at: tree.at.start..tree.at.start };
    let kind = file.get("kind").and_then(|entry| file.text_of(entry));
    let is_envelope = ["spec", "metadata", "items"].iter().any(|key| file.get(key).is_some());
    match kind {
        _ if is_envelope => Some(tree.clone()),
        // Other kinds have no use for any of it but the description.
        Some(kind) if kind != "CronJob" && kind != "Job" => Some(file.with_description(entries.clone())),
        Some(_) => file.read(findings),
        None if file.get("schedule").is_some() || file.get("every").is_some() => file.read(findings),
        None if file.get("kind").is_some() => Some(tree.clone()),
        None => {
            let at = entries.first().map_or(0..3, |entry| entry.key_at.clone());
            let help = "add `schedule: \"0 8 * * *\"` or `every: 15m`; for what is done once add `kind: Job`";
            let message = "this job does not say when: `schedule` is missing".to_owned();
            findings.push(source.problem(at, message, String::new(), help.to_owned()));
            None
        }
    }
}

/// The text below the front matter.
fn body(text: &str, end: usize) -> &str {
    let rest = text.get(end..).unwrap_or_default();
    rest.split_once('\n').map_or("", |(_, body)| body).trim()
}

struct File<'a> {
    source: &'a Source<'a>,
    entries: &'a [Entry],
    text: &'a str,
    /// Where to point when nothing nearer exists.
    at: Range<usize>,
}

impl<'a> File<'a> {
    /// A key that has a value.
    fn get(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.value.is_null())
    }

    fn text_of(&self, entry: &'a Entry) -> Option<&'a str> {
        match &entry.value.node {
            Node::Scalar { text, .. } => Some(text),
            Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The text of a key, when it has one that is not empty.
    fn word(&self, key: &str) -> Option<(&'a Entry, &'a str)> {
        let entry = self.get(key)?;
        self.text_of(entry).map(|text| (entry, text.trim())).filter(|(_, text)| !text.is_empty())
    }

    fn read(&self, findings: &mut Findings) -> Option<Tree> {
        let before = findings.count();
        let mut fields: Vec<Entry> =
            self.entries.iter().filter(|entry| !KEYS.contains(&&*entry.key)).cloned().collect();
        if self.get("kind").is_none() {
            fields.retain(|entry| entry.key != "kind");
            fields.insert(0, self.entry("kind", self.first(), "CronJob"));
        }
        let is_prompt = self.add_work(&mut fields, findings);
        self.add_recurring(&mut fields, findings);
        self.add_jitter(&mut fields, findings);
        let tree = self.with_spawn_mode(fields, findings);
        if findings.count() > before {
            return None;
        }
        match (&tree.node, is_prompt) {
            (Node::Map(fields), false) => Some(self.with_description(fields.clone())),
            (Node::Map(_) | Node::List(_) | Node::Scalar { .. }, _) => Some(tree),
        }
    }

    /// The key that the file begins with.
    fn first(&self) -> Range<usize> {
        self.entries.first().map_or_else(|| self.at.clone(), |entry| entry.key_at.clone())
    }

    /// A field that stands for something written at these bytes.
    fn entry(&self, key: &str, at: Range<usize>, value: &str) -> Entry {
        Entry { key: key.to_owned(), key_at: at.clone(), value: Tree::text(at, value.to_owned()) }
    }

    fn renamed(&self, key: &str, entry: &Entry) -> Entry {
        Entry { key: key.to_owned(), ..entry.clone() }
    }

    fn problem(&self, at: &Range<usize>, message: String, help: &str) -> Problem {
        self.source.problem(at.clone(), message, String::new(), help.to_owned())
    }

    fn type_of(&self, findings: &mut Findings) -> Option<Type> {
        let is_own = ["run", "use", "prompt", "agent"].iter().any(|key| self.get(key).is_some());
        let Some((entry, word)) = self.word("type") else {
            return Some(if is_own { Type::Fields } else { Type::Capability });
        };
        match word {
            "capability" => Some(Type::Capability),
            "workflow" => Some(Type::Workflow),
            "prompt" => Some(Type::Prompt),
            other => {
                let message = format!("`type` is {}, which is no type of a job", quote(other));
                findings.push(self.problem(&entry.value.at, message, "write one of: capability, workflow, prompt"));
                None
            }
        }
    }

    /// Adds what is done. True when the text is what an agent is told.
    fn add_work(&self, fields: &mut Vec<Entry>, findings: &mut Findings) -> bool {
        let Some(kind) = self.type_of(findings) else { return false };
        let own = ["run", "use"].iter().find_map(|key| self.get(key));
        if let (Some(own), Some(said)) = (own, self.get("type").filter(|_| kind != Type::Fields)) {
            let message = format!("{} stands beside `type`, and either says what is done", quote(&own.key));
            findings.push(self.problem(&said.key_at, message, "keep one of them"));
            return false;
        }
        match kind {
            Type::Capability => {
                self.add_use("capability", "noop", fields);
                self.ignored("workflow", "goes with `type: workflow`", findings);
            }
            Type::Workflow => match self.word("workflow") {
                Some(_) => self.add_use("workflow", "", fields),
                None => {
                    let at = self.get("type").map_or_else(|| self.first(), |entry| entry.key_at.clone());
                    let message = "`type` is workflow, but no `workflow` is named".to_owned();
                    findings.push(self.problem(&at, message, "add its name, as in `workflow: morning-routine`"));
                }
            },
            Type::Prompt => {
                self.ignored("params", "goes with a capability or a workflow", findings);
                return self.add_prompt(fields, findings);
            }
            Type::Fields if self.get("agent").is_some() && own.is_none() => return self.add_prompt(fields, findings),
            Type::Fields => {
                for key in ["capability", "workflow", "params"] {
                    if let Some(entry) = self.get(key) {
                        let message = format!("`{key}` stands beside fields that say what is done");
                        findings.push(self.problem(&entry.key_at, message, "keep one of them; parameters are `with`"));
                    }
                }
            }
        }
        false
    }

    /// `capability: x` and `params` as `use: capability/x` and `with`.
    fn add_use(&self, kind: &str, default: &str, fields: &mut Vec<Entry>) {
        let (at, word) =
            self.word(kind).map_or_else(|| (self.first(), default), |(entry, word)| (entry.value.at.clone(), word));
        let name = word.strip_prefix('/').unwrap_or(word);
        let used = if name.contains('/') { name.to_owned() } else { format!("{kind}/{name}") };
        fields.push(self.entry("use", at, &used));
        fields.extend(self.get("params").map(|params| self.renamed("with", params)));
    }

    /// The text as what an agent is told.
    fn add_prompt(&self, fields: &mut Vec<Entry>, findings: &mut Findings) -> bool {
        let at = self.get("type").or_else(|| self.get("agent"));
        let at = at.map_or_else(|| self.first(), |entry| entry.key_at.clone());
        if self.get("prompt").is_none() {
            if self.text.is_empty() {
                let message = "there is no text below the front matter, so the agent is told nothing".to_owned();
                findings.push(self.problem(&at, message, "write below the second `---` what it is to do"));
            }
            fields.push(self.entry("prompt", at.clone(), self.text));
        }
        if self.get("agent").is_none() {
            fields.push(self.entry("agent", at, AGENT_DEFAULT));
        }
        self.get("prompt").is_none()
    }

    /// Says that a key with something in it says nothing.
    fn ignored(&self, key: &str, why: &str, findings: &mut Findings) {
        let Some(entry) = self.get(key) else { return };
        let is_empty = match &entry.value.node {
            Node::Scalar { text, .. } => text.trim().is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Map(entries) => entries.is_empty(),
        };
        if !is_empty {
            let message = format!("`{key}` is ignored: it {why}");
            findings.warn(self.problem(&entry.key_at, message, "remove it, or correct `type`"));
        }
    }

    /// `recurring: false` as `once: true`.
    fn add_recurring(&self, fields: &mut Vec<Entry>, findings: &mut Findings) {
        let Some(entry) = self.get("recurring") else { return };
        match &entry.value.node {
            Node::Scalar { text, .. } if text.eq_ignore_ascii_case("true") => {}
            Node::Scalar { text, .. } if text.eq_ignore_ascii_case("false") => {
                let mut once = self.entry("once", entry.value.at.clone(), "true");
                once.value.node = Node::Scalar { text: "true".to_owned(), is_plain: true };
                fields.push(once);
            }
            Node::Scalar { .. } | Node::List(_) | Node::Map(_) => {
                let help = "write true, or false for what runs a single time";
                findings.push(self.problem(&entry.key_at, "`recurring` is neither true nor false".to_owned(), help));
            }
        }
    }

    /// A bad jitter in a file that is there already is worth a warning and counts as none.
    fn add_jitter(&self, fields: &mut Vec<Entry>, findings: &mut Findings) {
        let Some(entry) = self.get("jitter_seconds") else { return };
        let seconds = match &entry.value.node {
            Node::Scalar { text, .. } => text.parse::<u32>().ok().filter(|seconds| *seconds <= 999_999_999),
            Node::List(_) | Node::Map(_) => None,
        };
        if seconds.is_some() {
            let mut jitter = entry.clone();
            if let Node::Scalar { is_plain, .. } = &mut jitter.value.node {
                *is_plain = true;
            }
            fields.push(jitter);
            return;
        }
        let message = "jitter_seconds must be a non-negative integer; it counts as 0".to_owned();
        findings.warn(self.problem(&entry.value.at, message, "write whole seconds, as in `jitter_seconds: 90`"));
    }

    /// How a session is started is kept for the agents to come.
    fn with_spawn_mode(&self, fields: Vec<Entry>, findings: &mut Findings) -> Tree {
        let Some((entry, mode)) = self.word("spawn_mode") else { return Tree::map(self.at.clone(), fields) };
        if !SPAWN_MODES.contains(&mode) {
            let message = format!("`spawn_mode` is {}", quote(mode));
            let help = format!("write one of: {}", SPAWN_MODES.join(", "));
            findings.push(self.problem(&entry.value.at, message, &help));
        }
        self.with_annotation(fields, self.entry("spawn_mode", entry.value.at.clone(), mode))
    }

    /// The text as a description, when the file has none.
    fn with_description(&self, fields: Vec<Entry>) -> Tree {
        if self.text.is_empty() {
            return Tree::map(self.at.clone(), fields);
        }
        let mut end = self.text.len().min(DESCRIPTION_BYTES_MAX);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let text = self.text.get(..end).unwrap_or_default();
        self.with_annotation(fields, self.entry("description", self.first(), text))
    }

    fn with_annotation(&self, mut fields: Vec<Entry>, note: Entry) -> Tree {
        let place = fields.iter().position(|entry| entry.key == "annotations");
        let written = place.and_then(|place| fields.get(place)).filter(|entry| !entry.value.is_null());
        match written.map(|entry| (entry.key_at.clone(), &entry.value)) {
            Some((key_at, Tree { at, node: Node::Map(notes), .. })) => {
                if !notes.iter().any(|entry| entry.key == note.key) {
                    let notes = notes.iter().cloned().chain([note]).collect();
                    let value = Tree::map(at.clone(), notes);
                    fields.retain(|entry| entry.key != "annotations");
                    fields.push(Entry { key: "annotations".to_owned(), key_at, value });
                }
            }
            // It is no map, which is said elsewhere.
            Some(_) => {}
            None => {
                fields.retain(|entry| entry.key != "annotations");
                let at = note.key_at.clone();
                let value = Tree::map(at.clone(), vec![note]);
                fields.push(Entry { key: "annotations".to_owned(), key_at: at, value });
            }
        }
        Tree::map(self.at.clone(), fields)
    }
}
