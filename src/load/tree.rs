//! YAML text as trees that remember where everything stands and how it was written.
//!
//! In: one file's text. Out: one [`Tree`] per document, and problems of syntax. Not here: what the fields mean.
//!
//! Built from the parser's events rather than through serde, because only they tell `1.10` from `"1.10"`, give every
//! key its place, and let the next document be read after a broken one.
//!
//! The surprise: aliases are copied in, so nodes, bytes and depth are counted while building and a bomb stops at a
//! fixed budget, whatever it would have become.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::{Findings, Problem, Source};
use super::syntax;

/// The most nodes of one document, copies made by aliases included.
const NODES_MAX: usize = 50_000;
/// The most bytes of text in one document, copies included.
const BYTES_MAX: usize = 32 << 20;
/// The deepest nesting.
const DEPTH_MAX: usize = 64;

/// A node: what, and where.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The bytes it stands at.
    pub at: Range<usize>,
    /// What it is.
    pub node: Node,
    /// How many levels lie below it.
    height: usize,
    /// It and all below it.
    nodes: usize,
    /// The bytes of text in it and below.
    bytes: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Node {
    /// Text, and whether it stands there without quotes, so that it may also be a number, a boolean or nothing.
    Scalar {
        /// The text, without quotes.
        text: String,
        /// True without quotes.
        is_plain: bool,
    },
    /// A list.
    List(Vec<Tree>),
    /// A map in the order of the file; no key twice.
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The bytes it stands at.
    pub key_at: Range<usize>,
    /// The value.
    pub value: Tree,
}

impl Tree {
    /// The value of a key, when this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.node {
            Node::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Node::Scalar { .. } | Node::List(_) => None,
        }
    }

    /// True for an empty document, `~` and `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.node {
            Node::Scalar { text, is_plain } => *is_plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            Node::List(_) | Node::Map(_) => false,
        }
    }
}

/// Reads every document of a text; what is broken is told to `findings` and left out.
pub fn parse(source: &Source<'_>, findings: &mut Findings) -> Vec<Tree> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        simple_key_max_lookahead: 4096,
    };
    let parser = Parser::new_from_str_with_options(source.text, options);
    let mut reading = Reading { source, parser, findings, anchors: BTreeMap::new(), nodes: 0, bytes: 0, depth: 0 };
    let mut trees = Vec::new();
    // Every turn either reads a document or skips one, so the turns are bounded by the length of the text.
    loop {
        match reading.document() {
            Ok(Some(tree)) => trees.push(tree),
            Ok(None) => return trees,
            Err(problem) => {
                reading.findings.push(*problem);
                if !matches!(reading.parser.proceed_next_document(), Ok(true)) {
                    return trees;
                }
            }
        }
    }
}

struct Reading<'a, 's> {
    source: &'s Source<'a>,
    parser: Parser<'a, StrInput<'a>>,
    /// What does not keep the rest of the document from being read goes straight here.
    findings: &'s mut Findings,
    anchors: BTreeMap<usize, Tree>,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

type Read<T> = Result<T, Box<Problem>>;

impl<'a> Reading<'a, '_> {
    fn next(&mut self) -> Read<Option<(Event<'a>, Span)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => Err(Box::new(self.syntax(&error))),
        }
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.source.text.len());
        syntax::explain(self.source, at, error.kind())
    }

    /// The next document that holds anything.
    fn document(&mut self) -> Read<Option<Tree>> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    (self.nodes, self.bytes, self.depth) = (0, 0, 0);
                }
                node => {
                    let tree = self.node(node, span)?;
                    if !tree.is_null() {
                        return Ok(Some(tree));
                    }
                }
            }
        }
        Ok(None)
    }

    fn child(&mut self) -> Read<Option<Tree>> {
        match self.next()? {
            None | Some((Event::SequenceEnd | Event::MappingEnd, _)) => Ok(None),
            Some((event, span)) => self.node(event, span).map(Some),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Read<Tree> {
        let at = span.byte_range().unwrap_or(0..0);
        let mut foreign = None;
        if let Some(tag) = event.tag()
            && !tag.is_yaml_core_schema()
            && tag.original() != "!"
        {
            let at = span.tag_span().and_then(|tag| tag.byte_range()).unwrap_or(at.clone());
            self.findings.push(syntax::tag(self.source, at));
            foreign = Some(tag.original());
        }
        let is_text = event.tag().is_some_and(|tag| tag.is_yaml_core_schema_tag("str") || tag.original() == "!");
        let anchor = event.anchor_id().unwrap_or(0);
        let tree = match event {
            Event::Scalar(text, style, _, _) => {
                let is_plain = style == ScalarStyle::Plain && !is_text && foreign.is_none();
                // What was probably meant as text is taken as text, so that one slip is one error.
                let text = foreign.unwrap_or_else(|| text.into_owned());
                let bytes = text.len();
                Tree { at, node: Node::Scalar { text, is_plain }, height: 0, nodes: 1, bytes }
            }
            Event::SequenceStart(..) => self.list(at)?,
            Event::MappingStart(..) => self.map(at)?,
            Event::Alias(id) => self.copy(id, at)?,
            Event::UnresolvedAlias(name) => return Err(Box::new(syntax::alias(self.source, at, &name))),
            _ => return Err(self.refuse(at, "this is no YAML value".to_owned(), "see: setpoint explain")),
        };
        self.count(&tree)?;
        if anchor != 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    /// Counts what this node itself adds; its children were counted before, unless they are copies.
    fn count(&mut self, tree: &Tree) -> Read<()> {
        self.nodes += 1;
        if let Node::Scalar { .. } = tree.node {
            self.bytes += tree.bytes;
        }
        if self.nodes > NODES_MAX || self.bytes > BYTES_MAX {
            let message = format!("this document has more than {NODES_MAX} values or {} MiB of text", BYTES_MAX >> 20);
            return Err(self.refuse(tree.at.clone(), message, "split it; and mind what aliases multiply"));
        }
        Ok(())
    }

    fn copy(&mut self, id: usize, at: Range<usize>) -> Read<Tree> {
        let Some(tree) = self.anchors.get(&id) else {
            return Err(self.refuse(at, "this alias stands inside the value it names".to_owned(), "write it out"));
        };
        if self.depth + tree.height > DEPTH_MAX {
            return Err(self.too_deep(at));
        }
        self.nodes += tree.nodes;
        self.bytes += tree.bytes;
        if self.nodes > NODES_MAX || self.bytes > BYTES_MAX {
            let message = "the aliases of this document multiply into too much".to_owned();
            return Err(self.refuse(at, message, "write out what is meant; a manifest is small"));
        }
        Ok(tree.clone())
    }

    fn too_deep(&self, at: Range<usize>) -> Box<Problem> {
        self.refuse(at, format!("this is nested deeper than {DEPTH_MAX} levels"), "a manifest is flat")
    }

    fn refuse(&self, at: Range<usize>, message: String, help: &str) -> Box<Problem> {
        Box::new(self.source.problem(at, message, String::new(), help.to_owned()))
    }

    fn deeper(&mut self, at: &Range<usize>) -> Read<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.too_deep(at.clone())) } else { Ok(()) }
    }

    fn list(&mut self, at: Range<usize>) -> Read<Tree> {
        self.deeper(&at)?;
        let mut tree = Tree { at, node: Node::List(Vec::new()), height: 1, nodes: 1, bytes: 0 };
        let mut items = Vec::new();
        while let Some(item) = self.child()? {
            tree.hold(&item);
            items.push(item);
        }
        self.depth -= 1;
        tree.node = Node::List(items);
        Ok(tree)
    }

    fn map(&mut self, at: Range<usize>) -> Read<Tree> {
        self.deeper(&at)?;
        let mut tree = Tree { at, node: Node::Map(Vec::new()), height: 1, nodes: 1, bytes: 0 };
        let mut entries: Vec<Entry> = Vec::new();
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        let mut merged = Vec::new();
        while let Some(key) = self.child()? {
            let Some(value) = self.child()? else { break };
            let Node::Scalar { text, is_plain } = key.node else {
                return Err(Box::new(syntax::complex_key(self.source, key.at)));
            };
            if text == "<<" && is_plain {
                merged.push((key.at, value));
                continue;
            }
            tree.hold(&value);
            if let Some(first) = index.get(&text).and_then(|first| entries.get(*first)) {
                self.findings.push(syntax::twice(self.source, &text, &first.key_at, key.at));
                continue;
            }
            index.insert(text.clone(), entries.len());
            entries.push(Entry { key: text, key_at: key.at, value });
        }
        self.depth -= 1;
        for (at, value) in merged {
            self.merge(&mut tree, &mut entries, &mut index, &at, value)?;
        }
        tree.node = Node::Map(entries);
        Ok(tree)
    }

    /// `<<: *base` and `<<: [*a, *b]`: what is not there yet is taken over.
    fn merge(
        &self,
        tree: &mut Tree,
        entries: &mut Vec<Entry>,
        index: &mut BTreeMap<String, usize>,
        at: &Range<usize>,
        value: Tree,
    ) -> Read<()> {
        let maps = match value.node {
            Node::List(items) => items,
            Node::Map(_) | Node::Scalar { .. } => vec![value],
        };
        for map in maps {
            let Node::Map(taken) = map.node else {
                let help = "name a map: `<<: *base`, where `base` was written as `&base` before";
                return Err(self.refuse(at.clone(), "`<<` merges maps, and this is none".to_owned(), help));
            };
            for entry in taken {
                if !index.contains_key(&entry.key) {
                    tree.hold(&entry.value);
                    index.insert(entry.key.clone(), entries.len());
                    entries.push(entry);
                }
            }
        }
        Ok(())
    }
}

impl Tree {
    /// A text that stands for these bytes.
    #[must_use]
    pub fn text(at: Range<usize>, text: String) -> Tree {
        let bytes = text.len();
        Tree { at, node: Node::Scalar { text, is_plain: false }, height: 0, nodes: 1, bytes }
    }

    /// A map of these entries that stands for these bytes.
    #[must_use]
    pub fn map(at: Range<usize>, entries: Vec<Entry>) -> Tree {
        let mut tree = Tree { at, node: Node::Map(Vec::new()), height: 1, nodes: 1, bytes: 0 };
        entries.iter().for_each(|entry| tree.hold(&entry.value));
        tree.node = Node::Map(entries);
        tree
    }

    fn hold(&mut self, child: &Tree) {
        self.height = self.height.max(child.height + 1);
        self.nodes += child.nodes;
        self.bytes += child.bytes;
        self.at.end = self.at.end.max(child.at.end);
    }
}
