//! Trees as JSON values.
//!
//! In: a tree. Out: the value that schemas and types read. Not here: places; those stay in the tree.
//! The surprise: scalars follow YAML 1.2, so `no` and `on` are text and `0777` is not a number of any base; and inside
//! fields that hold text every scalar keeps the characters it was written with.

use serde_json::{Map, Number, Value};

use super::tree::{Node, Tree};

/// The value of a tree. `as_text`: scalars stay as they were written, whatever they look like.
#[must_use]
pub fn of_tree(tree: &Tree, as_text: bool) -> Value {
    match &tree.node {
        _ if tree.is_null() => Value::Null,
        Node::Scalar { text, is_plain } if *is_plain && !as_text => scalar(text),
        Node::Scalar { text, .. } => Value::String(text.clone()),
        Node::List(items) => Value::Array(items.iter().map(|item| of_tree(item, as_text)).collect()),
        Node::Map(entries) => {
            let fields = entries.iter().map(|entry| (entry.key.clone(), of_tree(&entry.value, as_text)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
    }
}

/// A plain scalar by the core schema of YAML 1.2, except that a leading zero makes text: `0777` is 777 to one reader
/// and 511 to another.
fn scalar(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().any(|b| b.is_ascii_digit());
    let is_padded =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if !is_number || is_padded {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        // As a number it would lose digits.
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
