//! One document as an object: its form, kind, name and labels.
//!
//! In: a tree. Out: a [`Manifest`], or problems. Not here: the fields of a kind (`check`).
//! The surprise: a document with `spec` or `metadata` is an envelope, any other is the short form; both become the same
//! value, and so does every item of a list that `get -o json` printed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Manifest;
use super::check::{self, Subject};
use super::foreign;
use super::problem::{Findings, Problem, Source, plain, quote};
use super::tree::{Entry, Node, Tree};
use crate::engine::name::{ObjectRef, is_name};
use crate::kind::{self, API_VERSION, KINDS, KINDS_LATER, KindDef, METADATA_IGNORED};

/// The most labels, and the most annotations, of one object.
const LABELS_MAX: usize = 64;
/// The most bytes of one label value.
const LABEL_BYTES_MAX: usize = 256;
/// The most bytes of one annotation value.
const ANNOTATION_BYTES_MAX: usize = 64 << 10;

/// What the documents of one file share.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The text.
    pub source: &'a Source<'a>,
    /// Where it came from.
    pub path: &'a Arc<Path>,
    /// The folder relative paths start from, absolute.
    pub folder: &'a str,
    /// The name an object has when it does not say.
    pub name: Option<&'a str>,
}

/// Adds the objects of one document to `manifests`.
pub fn objects(around: &Surroundings<'_>, tree: &Tree, findings: &mut Findings, manifests: &mut Vec<Arc<Manifest>>) {
    let kind = tree.get("kind").and_then(|entry| scalar(&entry.value));
    match tree.get("items").map(|items| &items.value.node) {
        Some(Node::List(items)) if kind.is_none_or(|kind| kind == "List") => {
            for item in items {
                manifests.extend(object(around, item, findings).map(Arc::new));
            }
        }
        Some(_) | None => manifests.extend(object(around, tree, findings).map(Arc::new)),
    }
}

fn scalar(tree: &Tree) -> Option<&str> {
    match &tree.node {
        Node::Scalar { text, .. } if !tree.is_null() => Some(text),
        Node::Scalar { .. } | Node::List(_) | Node::Map(_) => None,
    }
}

fn object(around: &Surroundings<'_>, tree: &Tree, findings: &mut Findings) -> Option<Manifest> {
    let Node::Map(entries) = &tree.node else {
        let help = "write `kind: Service`, `name: web` and `run: ...`, each on a line, with a blank after the colon";
        findings.push(around.problem(&tree.at, "this is no manifest: it has no fields".to_owned(), "", help));
        return None;
    };
    let (def, head) = kind_of(around, tree, entries, findings)?;
    let before = findings.count();
    let parts = split(around, def, entries, findings);
    check_version(around, tree, findings);
    let name = name_of(around, def, &parts, &head, findings);
    let labels = texts(around, parts.labels, LABEL_BYTES_MAX, findings);
    let annotations = texts(around, parts.annotations, ANNOTATION_BYTES_MAX, findings);
    let title = match name {
        Some(name) => format!("{} \"{name}\"", def.kind),
        None => def.kind.to_owned(),
    };
    let place = around.source.place(head.start);
    let subject = Subject { source: around.source, def, title, head, fields: parts.fields, folder: around.folder };
    let parsed = if parts.has_spec { check::spec(&subject, findings) } else { None }?;
    let id = ObjectRef::new(def.lower, name?).ok()?;
    let source = Arc::clone(around.path);
    let is_whole = findings.count() == before;
    let links = parsed.references.into_iter().map(|reference| check::link(&subject, reference)).collect();
    let schedules = schedules(&subject, &parsed.spec);
    is_whole.then_some(Manifest {
        id,
        kind: def,
        spec: parsed.spec,
        labels,
        annotations,
        place,
        source,
        links,
        schedules,
    })
}

/// Where the schedules of a spec stand.
fn schedules(subject: &Subject<'_>, spec: &Value) -> Arc<[Problem]> {
    let at = |path: &[String]| check::at_value(subject, path, String::new(), String::new(), String::new());
    match spec.get("schedule") {
        Some(Value::Array(list)) => {
            (0..list.len()).map(|index| at(&["schedule".to_owned(), index.to_string()])).collect()
        }
        Some(_) => Arc::from([at(&["schedule".to_owned()])]),
        None => Arc::from([]),
    }
}

impl Surroundings<'_> {
    fn problem(&self, at: &Range<usize>, message: String, label: &str, help: &str) -> super::problem::Problem {
        self.source.problem(at.clone(), message, label.to_owned(), help.to_owned())
    }
}

/// The kind and where it stands.
fn kind_of(
    around: &Surroundings<'_>,
    tree: &Tree,
    entries: &[Entry],
    findings: &mut Findings,
) -> Option<(&'static KindDef, Range<usize>)> {
    let Some(entry) = tree.get("kind") else {
        findings.push(no_kind(around, tree, entries));
        return None;
    };
    let kinds = KINDS.iter().map(|def| def.kind).collect::<Vec<_>>().join(", ");
    let Some(word) = scalar(&entry.value) else {
        let help = format!("write one of: {kinds}");
        findings.push(around.problem(&entry.key_at, "`kind` is not the name of a kind".to_owned(), "", &help));
        return None;
    };
    if let Some(def) = kind::find(word) {
        return Some((def, entry.key_at.clone()));
    }
    let problem = if KINDS_LATER.contains(&word) {
        let message = format!("the kind `{word}` is not supported by this version yet");
        around.problem(&entry.value.at, message, "", &format!("there are: {kinds}"))
    } else {
        let meant = kind::find_spoken(word).map(|def| def.kind);
        let known = KINDS.iter().map(|def| def.kind).chain(KINDS_LATER.iter().copied());
        let meant = meant.or_else(|| foreign::similar(word, known)).map(|meant| format!("did you mean `{meant}`?"));
        let help = foreign::kind(word).map_or_else(|| format!("there are: {kinds}"), str::to_owned);
        around.problem(&entry.value.at, format!("unknown kind {}", quote(word)), &meant.unwrap_or_default(), &help)
    };
    findings.push(problem);
    None
}

fn no_kind(around: &Surroundings<'_>, tree: &Tree, entries: &[Entry]) -> super::problem::Problem {
    let first = entries.first().map_or(&tree.at, |entry| &entry.key_at);
    let has = |key: &str| tree.get(key).is_some();
    if has("services") {
        let help = "write one document for each: `kind: Service`, `name: ...`, `run: ...`, with `---` between them";
        return around.problem(first, "this looks like a Compose file".to_owned(), "", help);
    }
    if has("processes") || has("programs") || has("apps") {
        let help = "write one document for each: `kind: Service`, `name: ...`, `run: ...`, with `---` between them";
        return around.problem(first, "this document has no `kind`".to_owned(), "", help);
    }
    let near = entries.iter().find(|entry| foreign::similar(&entry.key, ["kind"]).is_some());
    if let Some(near) = near {
        let message = format!("this document has no `kind`, but {}", quote(&near.key));
        return around.problem(&near.key_at, message, "did you mean `kind`?", "write `kind: Service`");
    }
    if has("set") || has("defaults") || has("prune") {
        let help = "settings of a folder stand in a file called `setpoint.yaml` at its top";
        return around.problem(first, "this document has no `kind`".to_owned(), "", help);
    }
    around.problem(first, "this document has no `kind`".to_owned(), "", "add a first line: `kind: Service`")
}

/// The parts of a document, whatever its form.
struct Parts<'a> {
    name: Option<&'a Entry>,
    labels: Option<&'a Entry>,
    annotations: Option<&'a Entry>,
    fields: Vec<&'a Entry>,
    has_spec: bool,
}

fn split<'a>(around: &Surroundings<'_>, def: &KindDef, entries: &'a [Entry], findings: &mut Findings) -> Parts<'a> {
    let mut parts = Parts { name: None, labels: None, annotations: None, fields: Vec::new(), has_spec: true };
    let is_envelope = entries.iter().any(|entry| entry.key == "spec" || entry.key == "metadata");
    if !is_envelope {
        for entry in entries {
            match &*entry.key {
                "kind" | "apiVersion" => {}
                _ if parts.take(entry) => {}
                _ => parts.fields.push(entry),
            }
        }
        return parts;
    }
    let mut spec = None;
    for entry in entries {
        match &*entry.key {
            "kind" | "apiVersion" | "status" => {}
            "metadata" => metadata(around, &mut parts, entry, findings),
            "spec" => spec = Some(entry),
            other => {
                let belongs = if matches!(other, "name" | "labels" | "annotations") { "metadata" } else { "spec" };
                let message = format!("{} stands beside `spec` and `metadata`", quote(other));
                let help = "write everything flat, or everything inside `metadata` and `spec`";
                findings.push(around.problem(&entry.key_at, message, &format!("move it into `{belongs}`"), help));
            }
        }
    }
    match spec.map(|entry| (&entry.value.node, entry)) {
        Some((Node::Map(fields), _)) => parts.fields = fields.iter().collect(),
        Some((Node::Scalar { .. } | Node::List(_), entry)) => {
            parts.has_spec = false;
            let help = format!("more: setpoint explain {}", def.lower);
            findings.push(around.problem(&entry.key_at, "`spec` has no fields".to_owned(), "", &help));
        }
        None => {
            parts.has_spec = false;
            let at = entries.first().map_or(0..0, |entry| entry.key_at.clone());
            let help = "put the fields of the object under `spec:`";
            findings.push(around.problem(&at, format!("this {} has `metadata` but no `spec`", def.kind), "", help));
        }
    }
    parts
}

impl<'a> Parts<'a> {
    fn take(&mut self, entry: &'a Entry) -> bool {
        let part = match &*entry.key {
            "name" => &mut self.name,
            "labels" => &mut self.labels,
            "annotations" => &mut self.annotations,
            _ => return false,
        };
        *part = Some(entry);
        true
    }
}

fn metadata<'a>(around: &Surroundings<'_>, parts: &mut Parts<'a>, metadata: &'a Entry, findings: &mut Findings) {
    let Node::Map(entries) = &metadata.value.node else {
        let help = "write `metadata: { name: web }`";
        findings.push(around.problem(&metadata.key_at, "`metadata` has no fields".to_owned(), "", help));
        return;
    };
    for entry in entries {
        if METADATA_IGNORED.contains(&&*entry.key) || parts.take(entry) {
            continue;
        }
        let known = ["name", "labels", "annotations"];
        let label = match (&*entry.key, foreign::similar(&entry.key, known)) {
            ("namespace", _) => "there are no namespaces: a name is unique within its kind".to_owned(),
            (_, Some(meant)) => format!("did you mean `{meant}`?"),
            (_, None) => String::new(),
        };
        let message = format!("unknown field {} in `metadata`", quote(&entry.key));
        findings.push(around.problem(&entry.key_at, message, &label, "there are name, labels, annotations"));
    }
}

fn check_version(around: &Surroundings<'_>, tree: &Tree, findings: &mut Findings) {
    let Some(entry) = tree.get("apiVersion") else { return };
    let found = scalar(&entry.value).unwrap_or_default();
    if found == API_VERSION {
        return;
    }
    let is_kubernetes = matches!(found, "v1" | "apps/v1" | "batch/v1" | "networking.k8s.io/v1");
    let label = if is_kubernetes { "this is for Kubernetes, where the kinds mean something else" } else { "" };
    let help = format!("write `apiVersion: {API_VERSION}`, or leave the line out");
    let at = if entry.value.at.is_empty() { &entry.key_at } else { &entry.value.at };
    findings.push(around.problem(at, format!("unknown apiVersion {}", quote(found)), label, &help));
}

fn name_of<'a>(
    around: &Surroundings<'a>,
    def: &KindDef,
    parts: &Parts<'a>,
    head: &Range<usize>,
    findings: &mut Findings,
) -> Option<&'a str> {
    let rule = "a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`";
    let Some(entry) = parts.name else {
        if let Some(name) = around.name.filter(|name| is_name(name)) {
            return Some(name);
        }
        let (message, help) = match around.name {
            Some(stem) => {
                (format!("the file is called {}, which cannot be a name", quote(stem)), format!("rename it; {rule}"))
            }
            None => (format!("this {} has no `name`", def.kind), "add one, as in `name: web`".to_owned()),
        };
        findings.push(around.problem(head, message, "", &help).of_field("name"));
        return None;
    };
    let word = scalar(&entry.value);
    if let Some(word) = word.filter(|word| is_name(word)) {
        return Some(word);
    }
    let at = if entry.value.at.is_empty() { &entry.key_at } else { &entry.value.at };
    let message = match word {
        Some(word) => format!("{} cannot be a name", quote(word)),
        None => "`name` is empty or not text".to_owned(),
    };
    findings.push(around.problem(at, message, "", rule).of_field("name"));
    None
}

/// Labels or annotations: text by text.
fn texts(
    around: &Surroundings<'_>,
    entry: Option<&Entry>,
    bytes_max: usize,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let Some(entry) = entry else { return texts };
    let Node::Map(pairs) = &entry.value.node else {
        let message = format!("`{}` is no map", entry.key);
        let help = format!("write `{}: {{ app: shop }}`", entry.key);
        findings.push(around.problem(&entry.key_at, message, "", &help));
        return texts;
    };
    if pairs.len() > LABELS_MAX {
        let message = format!("`{}` has more than {LABELS_MAX} entries", entry.key);
        findings.push(around.problem(&entry.key_at, message, "", "keep those that somebody reads"));
        return texts;
    }
    for pair in pairs {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let key_fits = !pair.key.is_empty() && pair.key.len() <= 128 && pair.key.bytes().all(is_plain);
        match scalar(&pair.value) {
            Some(text) if key_fits && text.len() <= bytes_max && !text.contains('\0') => {
                texts.insert(pair.key.clone(), text.to_owned());
            }
            Some(_) if !key_fits => {
                let message = format!("{} cannot be a key of `{}`", quote(&pair.key), entry.key);
                let help = "a key has 1 to 128 letters, digits, `-`, `_`, `.` or `/`";
                findings.push(around.problem(&pair.key_at, message, "", help));
            }
            Some(_) | None => {
                let message =
                    format!("`{}.{}` is not a text of at most {bytes_max} bytes", entry.key, plain(&pair.key));
                findings.push(around.problem(&pair.key_at, message, "", "write a text; \"\" is an empty one"));
            }
        }
    }
    texts
}
