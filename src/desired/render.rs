//! The words for changes: what `diff` and `apply` print.
//!
//! In: [`Changes`]. Out: text for people. Not here: the JSON (`change`), and deciding anything.
//! The surprise: every line reads well without colour; signs carry the meaning.

use std::fmt::Write;

use serde_json::Value;

use super::change::{Action, Change, Changes, Summary};
use super::fields::{Field, greater};
use crate::kind::Effect;

/// The longest value that is shown, in characters.
const VALUE_MAX: usize = 160;
/// The widest column of names.
const NAME_MAX: usize = 40;
/// How many fields of one object are shown.
const FIELDS_MAX: usize = 50;

/// The changes as lines: what would happen to each object, field by field, and what stays.
#[must_use]
pub fn lines(changes: &Changes, is_colored: bool) -> String {
    let shown = changes.changes.iter().filter(|change| change.action != Action::Unchanged);
    let width = shown.clone().map(|change| change.object.as_str().len()).max().unwrap_or(0).clamp(20, NAME_MAX);
    let mut text = String::new();
    let (leftovers, rest): (Vec<&Change>, Vec<&Change>) = shown.partition(|change| change.action == Action::Leftover);
    for change in rest {
        write(&mut text, change, width, is_colored);
    }
    let unchanged = changes.summary().unchanged;
    if unchanged > 0 {
        let _ = writeln!(text, "  {unchanged} unchanged");
    }
    for change in leftovers {
        write(&mut text, change, width, is_colored);
    }
    text
}

/// `p-7f3a91: 1 add, 2 change, 0 remove, 1 left over`.
#[must_use]
pub fn summary(changes: &Changes) -> String {
    let Summary { add, change, remove, leftover, unchanged: _ } = changes.summary();
    format!("{}: {add} add, {change} change, {remove} remove, {leftover} left over", changes.plan)
}

/// One change and its fields.
#[must_use]
pub fn line(change: &Change, is_colored: bool) -> String {
    let mut text = String::new();
    write(&mut text, change, 20, is_colored);
    text
}

fn write(text: &mut String, change: &Change, width: usize, is_colored: bool) {
    let (sign, color) = match change.action {
        Action::Add => ("+", "32"),
        Action::Change => ("~", "33"),
        Action::Remove => ("-", "31"),
        Action::Leftover => ("!", "35"),
        Action::Unchanged => (" ", "0"),
    };
    let sign = if is_colored { format!("\x1b[{color}m{sign}\x1b[0m") } else { sign.to_owned() };
    let object = change.object.as_str();
    let _ = match change.action {
        Action::Leftover => writeln!(text, "{sign} {object:width$} left over: {} (remove with --prune)", change.reason),
        Action::Add => writeln!(text, "{sign} {object:width$} {:13} ({})", begins(change).0, change.reason),
        Action::Remove => writeln!(text, "{sign} {object:width$} {:13} ({})", begins(change).1, change.reason),
        Action::Change | Action::Unchanged => {
            let effect = change.fields.iter().fold(Effect::None, |effect, field| greater(effect, field.effect));
            writeln!(text, "{sign} {object:width$} {:13} ({})", effect_words(effect), change.reason)
        }
    };
    let path_width = change.fields.iter().map(|field| field.path.len()).max().unwrap_or(0).clamp(8, NAME_MAX);
    for field in change.fields.iter().take(FIELDS_MAX) {
        field_line(text, field, path_width);
    }
    if change.fields.len() > FIELDS_MAX {
        let _ = writeln!(text, "    and {} more fields", change.fields.len() - FIELDS_MAX);
    }
}

/// What an object of this kind does when it comes, and when it goes: most start nothing by themselves.
fn begins(change: &Change) -> (&'static str, &'static str) {
    match change.object.kind() {
        "service" | "job" => ("start", "stop"),
        _ => ("add", "remove"),
    }
}

fn field_line(text: &mut String, field: &Field, width: usize) {
    let _ = writeln!(text, "    {:width$} {}  ->  {}", field.path, value(&field.from), value(&field.to));
}

/// What a change does, as a column: `restart`, `live`, or that nothing that runs is touched.
#[must_use]
pub fn effect_words(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "no effect",
        Effect::Live => "live",
        Effect::Reschedule => "reschedule",
        Effect::Restart => "restart",
        Effect::Run => "run again",
        Effect::Consent => "needs consent",
    }
}

/// A value as JSON on one line, cut to 160 characters.
#[must_use]
pub fn value(value: &Value) -> String {
    if value.is_null() {
        return String::from("(unset)");
    }
    let json = value.to_string();
    match json.char_indices().nth(VALUE_MAX) {
        Some((cut, _)) => format!("{}… ({} characters)", &json[..cut], json.chars().count()),
        None => json,
    }
}
