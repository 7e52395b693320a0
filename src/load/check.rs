//! Holds a spec against the schema of its kind, and says in words what does not fit.
//!
//! In: the fields of one object as trees. Out: the parsed spec, or problems with their places. Not here: kind, name
//! and envelope (`document`).
//!
//! The schema finds everything at once, the types find what a schema cannot say, and both speak through the same words.
//! The surprise: when one field is broken, the others are still parsed without it, so that a person sees every error in
//! one go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::Link;
use super::foreign::{self, Advice};
use super::paths;
use super::problem::{Findings, Problem, Source, plain, quote};
use super::slips::{Slips, below};
use super::tree::{Entry, Node, Tree};
use super::value;
use crate::kind::{FieldError, KINDS, KindDef, Names, Parsed, Part, Reference, units};

/// The most errors of one object that get words; each needs a search for its place.
const ERRORS_MAX: usize = 100;

/// One object whose kind and name are known.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The text it stands in.
    pub source: &'a Source<'a>,
    /// Its kind.
    pub def: &'static KindDef,
    /// `Service "web"`.
    pub title: String,
    /// Where to point when nothing nearer exists.
    pub head: Range<usize>,
    /// The fields of its spec.
    pub fields: Vec<&'a Entry>,
    /// The folder that relative paths start from, absolute.
    pub folder: &'a str,
}

struct Checker {
    schema: Value,
    validator: Option<Validator>,
}

/// Compiled once: a validator costs milliseconds, a check microseconds.
static CHECKERS: LazyLock<BTreeMap<&'static str, Checker>> = LazyLock::new(|| {
    let checker = |def: &'static KindDef| {
        let schema = (def.schema)().to_value();
        let validator = jsonschema::draft7::new(&schema).ok();
        (def.kind, Checker { schema, validator })
    };
    KINDS.iter().map(checker).collect()
});

/// The schema of a kind's spec, built once.
#[must_use]
pub fn schema(def: &KindDef) -> &'static Value {
    CHECKERS.get(def.kind).map_or(&Value::Null, |checker| &checker.schema)
}

/// The ways to what the schema of a kind refuses in a spec.
#[must_use]
pub fn refused(def: &KindDef, spec: &Value) -> Vec<Vec<String>> {
    let Some(Checker { validator: Some(validator), .. }) = CHECKERS.get(def.kind) else { return Vec::new() };
    let way = |error: jsonschema::ValidationError<'_>| {
        error.instance_path().segments().map(|step| step.to_string()).collect()
    };
    validator.iter_errors(spec).take(ERRORS_MAX).map(way).collect()
}

/// Reads a spec; `None` when anything is wrong with it, which `findings` has been told then.
pub fn spec(subject: &Subject<'_>, findings: &mut Findings) -> Option<Parsed> {
    let def = subject.def;
    let field = |entry: &&Entry| (entry.key.clone(), value::of_tree(&entry.value, def.texts.contains(&&*entry.key)));
    let mut spec = Value::Object(subject.fields.iter().map(field).collect());
    let mut slips = by_schema(subject, &spec, findings);
    if slips.broken.len() >= ERRORS_MAX {
        return None;
    }
    if !slips.broken.is_empty() {
        slips.gone = leave_out(&mut spec, &slips.broken, schema(def));
    }
    paths::resolve(subject, &mut spec, findings);
    match (def.parse)(&spec) {
        Ok(parsed) if slips.broken.is_empty() => Some(parsed),
        Ok(_) => None,
        Err(mut errors) => {
            errors.retain(|error| !slips.explain(&error.path, schema(def)));
            errors.iter().take(ERRORS_MAX).for_each(|error| findings.push(by_type(subject, error)));
            findings.omitted += errors.len().saturating_sub(ERRORS_MAX);
            None
        }
    }
}

/// Where another object is named.
pub fn link(subject: &Subject<'_>, reference: Reference) -> Link {
    let place = |path: &[String]| at_value(subject, path, String::new(), String::new(), String::new());
    let at = place(&reference.path);
    let beside = reference.path.split_last().map_or(&[][..], |(_, above)| above);
    let fields = match &reference.names {
        Names::Use { target: _, with } => {
            let keys = with.as_object().into_iter().flatten().map(|(key, _)| vec!["with".to_owned(), key.clone()]);
            keys.map(|below| (below.clone(), place(&[beside, &below].concat()))).collect()
        }
        Names::Need(_) | Names::Quiet(_) | Names::Zone(_) | Names::Alone => Vec::new(),
    };
    Link { path: reference.path, names: reference.names, at, fields }
}

/// Reports what the schema finds; returns the paths of what is not to be parsed any more.
fn by_schema(subject: &Subject<'_>, spec: &Value, findings: &mut Findings) -> Slips {
    let mut slips = Slips::default();
    let Some(Checker { schema, validator: Some(validator) }) = CHECKERS.get(subject.def.kind) else { return slips };
    if validator.is_valid(spec) {
        return slips;
    }
    let mut seen = BTreeSet::new();
    let mut found: Vec<(Option<Vec<String>>, Problem)> = Vec::new();
    for (count, error) in validator.iter_errors(spec).enumerate() {
        if count >= ERRORS_MAX {
            findings.omitted += 1;
            continue;
        }
        let path: Vec<String> = error.instance_path().segments().map(|segment| segment.to_string()).collect();
        let keyword = error.schema_path().as_str();
        let node = keyword.rsplit_once('/').and_then(|(node, _)| schema.pointer(node)).unwrap_or(schema);
        for problem in words(subject, &path, node, &error) {
            // A value can offend two keywords at once; the first says enough.
            if seen.insert((problem.place.line, problem.place.column, problem.message.clone())) {
                slips.mean(&path, &problem);
                let lacks = match error.kind() {
                    ValidationErrorKind::Required { property } => property.as_str().map(|name| below(&path, name)),
                    _ => None,
                };
                found.push((lacks, problem));
            }
        }
        let names: Vec<&str> = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.iter().map(String::as_str).collect(),
            ValidationErrorKind::Required { property } => property.as_str().into_iter().collect(),
            _ => Vec::new(),
        };
        slips.broken.extend(names.iter().map(|name| below(&path, name)));
        if names.is_empty() {
            slips.broken.insert(path);
        }
    }
    // What is there under a name that is nearly right is not missing, too.
    found.retain(|(lacks, _)| lacks.as_ref().is_none_or(|lacks| !slips.meant.contains(lacks)));
    found.into_iter().for_each(|(_, problem)| findings.push(problem));
    slips
}

/// Takes what is broken out, with an example in the place of fields that are required; the top-level fields that went
/// with something broken in them.
fn leave_out(spec: &mut Value, broken: &BTreeSet<Vec<String>>, schema: &Value) -> BTreeSet<String> {
    let mut gone = BTreeSet::new();
    for path in broken {
        let Some(top) = path.first() else { continue };
        let is_required = |node: Option<&Value>, name: &String| {
            let names = node.and_then(|node| node.get("required")?.as_array());
            names.is_some_and(|names| names.iter().any(|item| item == name.as_str()))
        };
        let inside = schema.get("properties").and_then(|all| all.get(top));
        // What cannot be without its broken part goes with it: only what is broken is said.
        if let [top, inner] = path.as_slice()
            && !is_required(inside, inner)
            && let Some(Value::Object(fields)) = spec.get_mut(top)
        {
            fields.remove(inner);
            continue;
        }
        let Some(fields) = spec.as_object_mut() else { return gone };
        fields.remove(top);
        gone.insert(top.clone());
        let example = inside.and_then(|inside| inside.get("examples")?.get(0));
        if let (true, Some(example)) = (is_required(Some(schema), top), example) {
            fields.insert(top.clone(), example.clone());
        }
    }
    gone
}

fn by_type(subject: &Subject<'_>, error: &FieldError) -> Problem {
    if error.path.is_empty() {
        let message = format!("{} {}", subject.title, error.what);
        return subject.source.problem(subject.head.clone(), message, String::new(), error.help.clone());
    }
    let message = format!("{} {}", quote(&dotted(&error.path)), error.what);
    let known = error.among.as_ref().map(|(word, known)| (word, known.iter().map(String::as_str)));
    let meant = known.and_then(|(word, known)| foreign::similar(word, known));
    let label = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`?"));
    let at = match (error.part, locate(subject, &error.path).0) {
        (Part::Name, Some(entry)) => Some(entry.key_at.clone()),
        (Part::Name, None) | (Part::Value, _) => column(subject, error),
    };
    let problem = match at {
        Some(at) => {
            let problem = subject.source.problem(at, message, label, error.help.clone());
            problem.of_field(dotted(&error.path))
        }
        None => at_value(subject, &error.path, message, label, error.help.clone()),
    };
    problem.meaning(meant)
}

/// The bytes from the column of an error on, where the text stands in the file as it is.
fn column(subject: &Subject<'_>, error: &FieldError) -> Option<Range<usize>> {
    let (column, Some(Tree { at, node: Node::Scalar { text, .. }, .. })) =
        (error.column?, locate(subject, &error.path).1)
    else {
        return None;
    };
    let written = subject.source.text.get(at.clone())?;
    let begin = at.start + usize::from(written.starts_with(['"', '\'']));
    // Escapes and folded lines move what follows them.
    let is_as_written = subject.source.text.get(begin..)?.starts_with(text.as_str());
    let skipped: usize = text.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    let item = text.get(skipped..)?.split([' ', '\t', ',']).next().unwrap_or_default();
    let from = begin + skipped;
    is_as_written.then(|| from..from + item.len().max(1))
}

/// `backoff.from`, `run[1]`.
pub(super) fn dotted(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        let is_index = !out.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
        match (is_index, out.is_empty()) {
            (true, _) => out.push_str(&format!("[{step}]")),
            (false, true) => out.push_str(step),
            (false, false) => out.push_str(&format!(".{step}")),
        }
    }
    out
}

/// The nearest key and value on the way to a path.
fn locate<'a>(subject: &Subject<'a>, path: &[String]) -> (Option<&'a Entry>, Option<&'a Tree>) {
    let Some(first) = path.first() else { return (None, None) };
    let Some(mut entry) = subject.fields.iter().copied().find(|entry| entry.key == *first) else { return (None, None) };
    let mut tree = &entry.value;
    for step in path.iter().skip(1) {
        let next = match &tree.node {
            Node::Map(entries) => entries.iter().find(|entry| entry.key == *step).map(|found| {
                entry = found;
                &found.value
            }),
            Node::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)).inspect(|item| {
                // A map in a list has no key of its own; its first stands for it.
                if let Node::Map(entries) = &item.node {
                    entry = entries.first().unwrap_or(entry);
                }
            }),
            Node::Scalar { .. } => None,
        };
        match next {
            Some(next) => tree = next,
            None => break,
        }
    }
    (Some(entry), Some(tree))
}

/// A problem that points at a value, or at its key when the value is empty or spans lines.
pub(super) fn at_value(
    subject: &Subject<'_>,
    path: &[String],
    message: String,
    label: String,
    help: String,
) -> Problem {
    let at = match locate(subject, path) {
        (_, Some(Tree { at, node: Node::Scalar { .. }, .. })) if !at.is_empty() => at.clone(),
        (Some(entry), _) => entry.key_at.clone(),
        (None, _) => subject.head.clone(),
    };
    subject.source.problem(at, message, label, help).of_field(dotted(path))
}

fn words(subject: &Subject<'_>, path: &[String], node: &Value, error: &ValidationError<'_>) -> Vec<Problem> {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().take(ERRORS_MAX).map(|name| unknown(subject, path, name, node)).collect()
        }
        ValidationErrorKind::Required { property } => missing(subject, path, property, node).into_iter().collect(),
        ValidationErrorKind::Enum { options } => vec![choice(subject, path, options, error.instance())],
        _ => vec![unfit(subject, path, node, error)],
    }
}

/// A field that does not exist.
fn unknown(subject: &Subject<'_>, path: &[String], name: &str, node: &Value) -> Problem {
    let mut whole = path.to_vec();
    whole.push(name.to_owned());
    let at = locate(subject, &whole).0.map_or_else(|| subject.head.clone(), |entry| entry.key_at.clone());
    let explain =
        std::iter::once(subject.def.lower).chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(".");
    let properties = node.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = properties.into_iter().flat_map(|all| all.keys().map(String::as_str)).collect();
    let within =
        if path.is_empty() { subject.title.clone() } else { format!("`{}` of {}", dotted(path), subject.title) };
    let mut message = format!("unknown field {} in {within}", quote(name));
    let mut help = format!("more: setpoint explain {explain}");
    let later = subject.def.later;
    let advice =
        if path.is_empty() { foreign::field(subject.def.kind, name, &[&known[..], later].concat()) } else { None };
    let inner = path.last().and_then(|parent| foreign::inner(parent, name));
    let mut meant = None;
    let label = match (advice, inner) {
        _ if path.is_empty() && later.contains(&name) => {
            message = format!("{} is not supported by this version yet", quote(name));
            help = "remove it for now".to_owned();
            String::new()
        }
        (Some(Advice::Use(here)), _) if later.contains(&here) => {
            help = "remove it for now".to_owned();
            format!("this is `{here}`, which is not supported by this version yet")
        }
        (Some(Advice::Use(here)), _) | (None, Some(here)) => {
            meant = Some(here);
            format!("write `{here}`")
        }
        (Some(Advice::Say(why)), _) => {
            help = why.to_owned();
            String::new()
        }
        (None, None) => match foreign::similar(name, known.iter().chain(later).copied()) {
            Some(similar) => {
                meant = Some(similar);
                format!("did you mean `{similar}`?")
            }
            None => {
                help = format!("there are {}; {help}", known.join(", "));
                String::new()
            }
        },
    };
    subject.source.problem(at, message, label, help).of_field(dotted(&whole)).meaning(meant)
}

fn missing(subject: &Subject<'_>, path: &[String], property: &Value, node: &Value) -> Option<Problem> {
    let name = property.as_str().unwrap_or_default();
    let is_it = |entry: &&Entry| {
        let advice = foreign::field(subject.def.kind, &entry.key, &[name]);
        let is_called_so = matches!(advice, Some(Advice::Use(here)) if here == name);
        is_called_so || foreign::similar(&entry.key, [name]).is_some()
    };
    // It is there under another name, and that is said already.
    if path.is_empty() && subject.fields.iter().any(is_it) {
        return None;
    }
    let example = node.get("properties").and_then(|all| all.get(name)?.get("examples")?.get(0));
    let help = match example {
        Some(Value::String(text)) => format!("add it: `{name}: {text}`"),
        Some(other) => format!("add it: `{name}: {other}`"),
        None => format!("more: setpoint explain {}.{name}", subject.def.lower),
    };
    let within = if path.is_empty() { subject.title.clone() } else { format!("`{}`", dotted(path)) };
    let whole: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
    Some(at_value(subject, path, format!("{within} has no `{name}`"), String::new(), help).of_field(dotted(&whole)))
}

fn choice(subject: &Subject<'_>, path: &[String], options: &Value, found: &Value) -> Problem {
    let field = path.last().map_or("", String::as_str);
    let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let word = match found {
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    let meant = foreign::choice(field, &word).or_else(|| foreign::similar(&word, options.iter().copied()));
    let label = meant.map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default();
    let message = format!("`{}` is {}", dotted(path), found_words(found));
    at_value(subject, path, message, label, format!("write one of: {}", options.join(", "))).meaning(meant)
}

/// A value of the wrong type or out of range.
fn unfit(subject: &Subject<'_>, path: &[String], node: &Value, error: &ValidationError<'_>) -> Problem {
    let found = error.instance();
    let name = plain(&dotted(path));
    let x_type = node.get("x-type").and_then(Value::as_str);
    let text = match &**found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    if let (Some(x_type), Some(text)) = (x_type, &text)
        && let Some(wrong) = units::complaint(x_type, text)
    {
        return at_value(
            subject,
            path,
            format!("`{name}` is {}, which {}", quote(text), wrong.what),
            String::new(),
            wrong.help,
        );
    }
    if let Some(later) = later_inside(node, found) {
        let message = format!("`{name}.{later}` is not supported by this version yet");
        return at_value(subject, path, message, String::new(), "write the value itself for now".to_owned());
    }
    let rule = node.get("x-rule").and_then(Value::as_str).map_or_else(|| wanted(node), str::to_owned);
    let example = node.get("examples").and_then(|examples| examples.get(0));
    let last = plain(path.last().map_or("", String::as_str));
    let is_text_wanted = node.get("type").is_some_and(|wanted| wanted == "string");
    let is_scalar = matches!(**found, Value::Number(_) | Value::Bool(_));
    let help = match (&**found, example) {
        _ if is_text_wanted && is_scalar => format!("put it in quotes: \"{}\"", written(subject, path, found)),
        (Value::Null, Some(example)) => format!("write a value, as in `{last}: {example}`, or remove the line"),
        (Value::Null, None) => "write a value (\"\" for an empty text), or remove the line".to_owned(),
        (_, Some(example)) => format!("for example: {last}: {example}"),
        (_, None) => {
            let top = path.first().map(|top| format!(".{top}")).unwrap_or_default();
            format!("more: setpoint explain {}{}", subject.def.lower, plain(&top))
        }
    };
    at_value(subject, path, format!("`{name}` is {}, but {rule}", found_words(found)), String::new(), help)
}

/// The planned field that a map in the place of a scalar has.
fn later_inside<'a>(node: &'a Value, found: &Value) -> Option<&'a str> {
    let later = node.get("x-later")?.as_array()?;
    later.iter().filter_map(Value::as_str).find(|later| found.get(later).is_some())
}

/// A scalar as it stands in the file.
fn written(subject: &Subject<'_>, path: &[String], found: &Value) -> String {
    match locate(subject, path).1.map(|tree| &tree.node) {
        Some(Node::Scalar { text, .. }) => plain(text),
        Some(Node::List(_) | Node::Map(_)) | None => found.to_string(),
    }
}

fn wanted(node: &Value) -> String {
    match node.get("type").and_then(Value::as_str) {
        Some("object") => "it takes a map of fields".to_owned(),
        Some("array") => "it takes a list".to_owned(),
        Some("string") => "it takes text".to_owned(),
        Some("boolean") => "it takes true or false".to_owned(),
        Some("integer") => "it takes a whole number".to_owned(),
        Some(other) => format!("it takes a {other}"),
        None => "something else belongs here".to_owned(),
    }
}

/// `the number -1`, `the text "x"`, `an empty list`.
fn found_words(found: &Value) -> String {
    match found {
        Value::Null => "empty".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.trim().is_empty() => "empty".to_owned(),
        Value::String(text) => format!("the text \"{}\"", plain(text)),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}
