//! Words for broken YAML.
//!
//! In: what the parser says, and the line it stopped at. Out: what the person probably did, and what to do instead.
//! Not here: parsing.
//! The surprise: the parser's own words come last; the line itself tells more, because most broken manifests are
//! broken in one of ten ways.

use std::ops::Range;

use serde_yaml::granit_parser::ErrorKind;

use super::problem::{Problem, Source, quote};

/// The problem behind an error of the parser at byte `at`.
pub fn explain(source: &Source<'_>, at: usize, kind: &ErrorKind) -> Problem {
    // At the very end the parser stands behind the last line, where there is nothing to show.
    let at = if at >= source.text.len() { source.text.trim_end().len() } else { at };
    if let Some(problem) = indented_by_tab(source, at, kind) {
        return problem;
    }
    if let Some(problem) = unquoted(source, at) {
        return problem;
    }
    let end = at + source.text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let (message, help) = too_deep(source, at, kind).unwrap_or_else(|| words(kind));
    source.problem(at..end, message, String::new(), help)
}

fn words(kind: &ErrorKind) -> (String, String) {
    let (message, help) = match kind {
        ErrorKind::MappingValueNotAllowed | ErrorKind::MappingKeyNotAllowed | ErrorKind::InvalidColonPlacement => {
            ("a second `:` stands here", "put quotes around a value that contains `: `, and check the indentation")
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a list or map in brackets is not closed, or a `,` is missing", "close what `[` or `{` opened before")
        }
        ErrorKind::MismatchedFlowCollectionEnd { .. } | ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing that is open", "check the brackets before it")
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quote is not closed", "close it, or double a quote inside quotes: ''")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("something follows the closing quote", "put the quotes around the whole value")
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            ("`\\` means something inside double quotes", "use single quotes, or write `\\\\` for one backslash")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("this line is no `key: value`", "write `key: value`, with a blank after the colon")
        }
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry => {
            ("this line is indented unlike the lines it belongs to", "let it begin in the same column as they do")
        }
        ErrorKind::RecursionLimitExceeded => ("this is nested deeper than 64 levels", "a manifest is flat"),
        other => {
            return (format!("this is not YAML: {other}"), "put quotes around text with special characters".into());
        }
    };
    (message.to_owned(), help.to_owned())
}

/// A line that is indented under one that has a value already.
fn too_deep(source: &Source<'_>, at: usize, kind: &ErrorKind) -> Option<(String, String)> {
    let (line, from) = source.line_at(at);
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let before = source.text.get(..from)?.lines().rev().find(|line| !line.trim().is_empty())?;
    let is_key = matches!(kind, ErrorKind::MappingValueNotAllowed);
    (is_key && indent(line) > indent(before) && before.contains(": ")).then(|| {
        let message = "this line is indented under one that has a value already";
        (message.to_owned(), "let it begin in the same column as the line before".to_owned())
    })
}

fn indented_by_tab(source: &Source<'_>, at: usize, kind: &ErrorKind) -> Option<Problem> {
    let is_about_tabs = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    );
    let (line, from) = source.line_at(at);
    let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
    // The parser may stop at the end of the line before.
    let next = if is_about_tabs { source.text.get(at..)?.find('\t').map(|tab| at + tab) } else { None };
    let tab = line.get(..blank)?.find('\t').map(|tab| from + tab).or(next)?;
    let help = "use spaces: most editors can convert a file, or `sed -i 's/\\t/  /g' FILE`".to_owned();
    Some(source.problem(tab..tab + 1, "a tab indents this line".to_owned(), "YAML takes spaces only".to_owned(), help))
}

/// A value on this line begins with a character that YAML keeps for itself.
fn unquoted(source: &Source<'_>, at: usize) -> Option<Problem> {
    let (line, from) = source.line_at(at);
    let begin = value_start(line)?;
    let value = line.get(begin..)?.trim_end();
    let first = value.chars().next()?;
    let span = from + begin..from + begin + value.len();
    let (message, label) = match first {
        '*' => ("a value that begins with `*` must be in quotes", "without them, `*` makes it an alias"),
        '@' => ("a value that begins with `@` must be in quotes", "`@` is reserved in YAML"),
        '`' => ("a value that begins with a backquote must be in quotes", "it is reserved in YAML"),
        '%' => ("a value that begins with `%` must be in quotes", "`%` is reserved in YAML"),
        '&' => ("a value that begins with `&` must be in quotes", "without them, `&` makes it an anchor"),
        '!' => ("a value that begins with `!` must be in quotes", "without them, `!` makes it a tag"),
        '{' if value.starts_with("{{") => return Some(template(source, span)),
        '"' | '\'' => return after_quote(source, span, value),
        _ if value.contains(": ") => {
            ("a value that contains `: ` must be in quotes", "without them, the colon makes it a map")
        }
        _ => return None,
    };
    let help = format!("write {}", quoted(value));
    Some(source.problem(span, message.to_owned(), label.to_owned(), help))
}

/// Where the value of `key: value` or `- value` begins in a line.
fn value_start(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let mut begin = indent;
    while line.get(begin..)?.starts_with("- ") {
        begin += 2;
    }
    let rest = line.get(begin..)?;
    let after_key = match rest.find(": ") {
        Some(colon) if !rest.starts_with(['"', '\'', '*', '@', '[', '{']) => colon + 2,
        Some(_) | None => 0,
    };
    let value = rest.get(after_key..)?;
    let blank = value.len() - value.trim_start().len();
    (begin > indent || after_key > 0).then_some(begin + after_key + blank)
}

fn after_quote(source: &Source<'_>, span: Range<usize>, value: &str) -> Option<Problem> {
    let quote_mark = value.chars().next()?;
    let rest = value.get(1..)?;
    let close = rest.find(quote_mark)? + 2;
    let behind = value.get(close..)?.trim_start();
    if behind.is_empty() || behind.starts_with(['#', ',', ']', '}', ':']) || value.contains('\\') {
        return None;
    }
    let message = "the quotes end before the value does".to_owned();
    let help = format!("put the whole value in quotes: {}", quoted(value));
    Some(source.problem(span.start + close..span.end, message, "this stands behind them".to_owned(), help))
}

fn template(source: &Source<'_>, span: Range<usize>) -> Problem {
    let help = "fill it in before, or pass the value through `env`".to_owned();
    source.problem(span, "manifests have no templates".to_owned(), "`{{` is not replaced".to_owned(), help)
}

/// The text in quotes that need no escaping where possible; long text is cut.
fn quoted(text: &str) -> String {
    let bare = text.split(" #").next().unwrap_or(text).trim_end();
    let text = super::problem::plain(bare);
    if !text.contains('"') && !text.contains('\\') {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// An alias to nothing: most often a glob or a schedule without quotes.
pub fn alias(source: &Source<'_>, at: Range<usize>, name: &str) -> Problem {
    let (line, from) = source.line_at(at.start);
    let value = line.get(at.start - from..).unwrap_or_default().trim_end();
    let is_inside = line.get(..at.start - from).is_some_and(|before| before.contains(['[', '{']));
    let value = if is_inside { value.split([',', ']', '}']).next().unwrap_or_default() } else { value };
    let message = "a value that begins with `*` must be in quotes".to_owned();
    let label = format!("without them, `*` makes it an alias, and no anchor is named {}", quote(name));
    source.problem(at, message, label, format!("write {}", quoted(value)))
}

/// A tag that is none of YAML's own.
pub fn tag(source: &Source<'_>, at: Range<usize>) -> Problem {
    let written = source.text.get(at.clone()).unwrap_or_default();
    let message = "a value that begins with `!` must be in quotes".to_owned();
    let label = "without them, `!` makes it a tag".to_owned();
    source.problem(at, message, label, format!("write {}, or remove the tag", quoted(written)))
}

/// A key that is a list or a map.
pub fn complex_key(source: &Source<'_>, at: Range<usize>) -> Problem {
    if source.text.get(at.start.saturating_sub(1)..).is_some_and(|text| text.starts_with("{{")) {
        return template(source, at);
    }
    let help = "put quotes around a text that begins with `[` or `{`".to_owned();
    source.problem(at, "a key is a word, not a list or a map".to_owned(), String::new(), help)
}

/// A key that was there before.
pub fn twice(source: &Source<'_>, key: &str, first: &Range<usize>, at: Range<usize>) -> Problem {
    let line = source.place(first.start).line;
    let message = format!("{} stands here twice", quote(key));
    let help = "keep one of them; or put `---` between two objects".to_owned();
    source.problem(at, message, format!("the first is in line {line}"), help)
}
