//! A file of another tool as a tree whose every key knows its place.
//!
//! In: YAML, JSON or TOML text, or what `ini` and `procfile` have read. Out: [`Node`]s, and [`Key`]s that walk them.
//! Not here: what a key means. The surprise: one tree for all formats, so that "every key is accounted for" is checked in
//! one place, by walking it.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::load::{Findings, Place, Problem, Source, Tree, TreeNode, parse_trees};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: `key:` and no more.
    Null,
    /// Text, a number or a boolean, as it was written.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// One key that was written several times, as INI files may.
    Repeated(Vec<Node>),
    /// A map in the order of the file.
    Map(Vec<Field>),
}

/// One key of a map.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// Text at a place.
    #[must_use]
    pub fn text(place: &Place, text: impl Into<String>) -> Node {
        Node { place: place.clone(), value: Value::Text(text.into()) }
    }

    /// Adds what is written under the same key once more.
    pub fn again(&mut self, node: Node) {
        if let Value::Repeated(items) = &mut self.value {
            return items.push(node);
        }
        let place = self.place.clone();
        let first = std::mem::replace(self, Node { place, value: Value::Null });
        self.value = Value::Repeated(vec![first, node]);
    }
}

/// The way from the root to a value: keys, and `[0]` for items.
pub type Path = Vec<String>;

/// A value, and the way to it.
#[derive(Clone, Debug)]
pub struct Key<'a> {
    /// The way from the root.
    pub path: Path,
    /// Where the key stands.
    pub place: &'a Place,
    /// Its value.
    pub node: &'a Node,
}

impl<'a> Key<'a> {
    /// The root of a tree.
    #[must_use]
    pub fn root(node: &'a Node) -> Key<'a> {
        Key { path: Vec::new(), place: &node.place, node }
    }

    /// The last step of the way.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// The fields of a map; none when this is no map.
    #[must_use]
    pub fn fields(&self) -> Vec<Key<'a>> {
        let Value::Map(fields) = &self.node.value else { return Vec::new() };
        fields.iter().map(|field| self.below(field.key.clone(), &field.place, &field.node)).collect()
    }

    /// One field of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Key<'a>> {
        let Value::Map(fields) = &self.node.value else { return None };
        let field = fields.iter().find(|field| field.key == name)?;
        Some(self.below(field.key.clone(), &field.place, &field.node))
    }

    /// The items of a list, or of a key that was written several times; a single value is a list of itself.
    #[must_use]
    pub fn items(&self) -> Vec<Key<'a>> {
        match &self.node.value {
            Value::List(items) | Value::Repeated(items) => {
                let item = |(n, node): (usize, &'a Node)| self.below(format!("[{n}]"), &node.place, node);
                items.iter().enumerate().map(item).collect()
            }
            Value::Null => Vec::new(),
            Value::Text(_) | Value::Map(_) => vec![self.clone()],
        }
    }

    /// Each of several that were written under one key, or the key itself.
    #[must_use]
    pub fn items_or_self(&self) -> Vec<Key<'a>> {
        match &self.node.value {
            Value::Repeated(_) => self.items(),
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => vec![self.clone()],
        }
    }

    fn below(&self, step: String, place: &'a Place, node: &'a Node) -> Key<'a> {
        let mut path = self.path.clone();
        path.push(step);
        Key { path, place, node }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Repeated(items) => items.last().and_then(|item| Key::root(item).text()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a field.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|key| key.text())
    }

    /// A boolean, in any of the spellings of these tools.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match &*self.text()?.trim().to_ascii_lowercase() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.text()?.trim().replace('_', "").parse().ok()
    }

    /// The texts of a list of scalars; `None` when anything else is in it.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<String>> {
        match &self.node.value {
            Value::List(_) => self.items().iter().map(|item| item.text().map(str::to_owned)).collect(),
            Value::Null | Value::Text(_) | Value::Repeated(_) | Value::Map(_) => None,
        }
    }

    /// Every value below that has none below itself: what a report must account for.
    #[must_use]
    pub fn leaves(&self) -> Vec<Key<'a>> {
        let below = match &self.node.value {
            Value::Map(_) => self.fields(),
            Value::List(_) | Value::Repeated(_) => self.items(),
            Value::Null | Value::Text(_) => Vec::new(),
        };
        if below.is_empty() { vec![self.clone()] } else { below.iter().flat_map(Key::leaves).collect() }
    }
}

/// Reads YAML, or JSON, of one document; an empty file is an empty map.
///
/// # Errors
/// Whatever is wrong with it, at most 20 problems.
pub fn yaml(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source::new(file, text);
    let mut findings = Findings::default();
    let mut trees = parse_trees(&source, &mut findings);
    if let Some(second) = trees.get(1) {
        let help = "import one document at a time".to_owned();
        let message = "this file has a second document".to_owned();
        findings.push(source.problem(second.at.clone(), message, String::new(), help));
    }
    if !findings.is_empty() {
        return Err(findings.list);
    }
    let empty = Node { place: source.place(0), value: Value::Map(Vec::new()) };
    Ok(if trees.is_empty() { empty } else { of_tree(&source, &trees.swap_remove(0)) })
}

/// Reads YAML with a map of this name.
///
/// # Errors
/// Whatever is wrong with it, or that there is no such map; `help` says what one looks like.
pub fn yaml_with(file: &Arc<str>, text: &str, name: &str, help: &str) -> Result<Node, Vec<Problem>> {
    let node = yaml(file, text)?;
    if Key::root(&node).get(name).is_none_or(|map| map.fields().is_empty()) {
        return Err(vec![Problem::of_file(file, format!("there is nothing in `{name}`"), help)]);
    }
    Ok(node)
}

fn of_tree(source: &Source<'_>, tree: &Tree) -> Node {
    let value = match &tree.node {
        _ if tree.is_null() => Value::Null,
        TreeNode::Scalar { text, .. } => Value::Text(text.clone()),
        TreeNode::List(items) => Value::List(items.iter().map(|item| of_tree(source, item)).collect()),
        TreeNode::Map(entries) => {
            let field = |entry: &crate::load::Entry| Field {
                key: entry.key.clone(),
                place: source.place(entry.key_at.start),
                node: of_tree(source, &entry.value),
            };
            Value::Map(entries.iter().map(field).collect())
        }
    };
    Node { place: source.place(tree.at.start), value }
}

/// Reads TOML with a table of this name.
///
/// # Errors
/// The first thing that is wrong with it, or that there is no such table; `help` says what one looks like.
pub fn toml_with(file: &Arc<str>, text: &str, name: &str, help: &str) -> Result<Node, Vec<Problem>> {
    let node = toml(file, text)?;
    if Key::root(&node).get(name).is_none_or(|map| map.fields().is_empty()) {
        return Err(vec![Problem::of_file(file, format!("there is nothing in `{name}`"), help)]);
    }
    Ok(node)
}

fn toml(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source::new(file, text);
    match DeTable::parse(text) {
        Ok(table) => Ok(of_table(&source, table.get_ref(), table.span())),
        Err(error) => {
            let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            let at = error.span().unwrap_or(0..0);
            Err(vec![source.problem(at, message, String::new(), "correct this line first".to_owned())])
        }
    }
}

fn of_table(source: &Source<'_>, table: &DeTable<'_>, at: Range<usize>) -> Node {
    // The parser sorts its keys; people expect the order of the file.
    let mut fields: Vec<_> = table.iter().collect();
    fields.sort_by_key(|(key, _)| key.span().start);
    let field = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| Field {
        key: AsRef::<str>::as_ref(key.get_ref()).to_owned(),
        place: source.place(key.span().start),
        node: of_value(source, value.get_ref(), value.span()),
    };
    let fields = fields.into_iter().map(field).collect();
    Node { place: source.place(at.start), value: Value::Map(fields) }
}

fn of_value(source: &Source<'_>, value: &DeValue<'_>, at: Range<usize>) -> Node {
    let text = |text: &str| Value::Text(text.to_owned());
    let value = match value {
        DeValue::String(string) => text(string),
        DeValue::Integer(number) => text(number.as_str()),
        DeValue::Float(number) => text(number.as_str()),
        DeValue::Boolean(is) => text(if *is { "true" } else { "false" }),
        DeValue::Datetime(moment) => text(&moment.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| of_value(source, item.get_ref(), item.span())).collect())
        }
        DeValue::Table(table) => return of_table(source, table, at),
    };
    Node { place: source.place(at.start), value }
}
