//! What an expression may cost, before it is asked.
//!
//! In: an expression, the values it names. Out: a count of the values that are touched, at most; patterns that are too
//! large. Not here: the answer. The surprise: an expression is asked while everything else waits, so it is judged by the
//! worst it could do: each value that it names counts as often as it may be looked at, and a long text by its length.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, LiteralValue};
use serde_json::Value as Json;

use super::names::path;

/// The most that one answer may cost. One of these takes some 50 ns, so that this is some 3 ms.
pub const COST_MAX: usize = 50_000;
/// So many bytes of text count as one value.
const BYTES_PER_VALUE: usize = 32;
/// What a pattern counts: it is read anew each time it is asked.
const PATTERN: usize = 5_000;
/// The largest pattern, in bytes of what it becomes; this takes less than a millisecond to read.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// Everything directly below; with each, whether it is done for each item of a loop.
pub(super) fn below(at: &IdedExpr) -> Vec<(&IdedExpr, bool)> {
    match &at.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &**target);
            target.chain(&call.args).map(|at| (at, false)).collect()
        }
        Expr::Comprehension(one) => {
            let inside = [&one.loop_cond, &one.loop_step].map(|at| (at, true));
            let once = [&one.iter_range, &one.accu_init, &one.result].map(|at| (at, false));
            once.into_iter().chain(inside).collect()
        }
        Expr::List(list) => list.elements.iter().map(|at| (at, false)).collect(),
        Expr::Map(map) => entries(&map.entries),
        Expr::Select(select) => vec![(&select.operand, false)],
        Expr::Struct(fields) => entries(&fields.entries),
    }
}

fn entries(all: &[IdedEntryExpr]) -> Vec<(&IdedExpr, bool)> {
    let mut found = Vec::new();
    for entry in all {
        match &entry.expr {
            EntryExpr::StructField(field) => found.push((&field.value, false)),
            EntryExpr::MapEntry(entry) => found.extend([(&entry.key, false), (&entry.value, false)]),
        }
    }
    found
}

/// What is wrong with the first pattern of `matches` that has to be refused.
pub(super) fn pattern_fault(at: &IdedExpr) -> Option<String> {
    if let Expr::Call(call) = &at.expr
        && call.func_name == "matches"
    {
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|at| &at.expr) else {
            return Some("asks `matches` with a pattern that is not written out; write it as a text".to_owned());
        };
        if regex::RegexBuilder::new(pattern.inner()).size_limit(PATTERN_BYTES_MAX).build().is_err() {
            return Some("asks `matches` with a pattern that is none or too large; write a simpler one".to_owned());
        }
    }
    below(at).into_iter().find_map(|(at, _)| pattern_fault(at))
}

/// How many values an answer may look at.
pub(super) fn cost(at: &IdedExpr, scope: &Json) -> usize {
    if let Some(value) = named(at, scope) {
        return value.saturating_add(1);
    }
    let items = match &at.expr {
        Expr::Comprehension(one) => extent(&one.iter_range, scope),
        Expr::Unspecified
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Call(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => 1,
    };
    let own = match &at.expr {
        Expr::Call(call) if call.func_name == "matches" => PATTERN,
        _ => 1,
    };
    let of = |(at, is_each): (&IdedExpr, bool)| {
        let once = cost(at, scope);
        if is_each { once.saturating_mul(items) } else { once }
    };
    below(at).into_iter().map(of).fold(own, usize::saturating_add)
}

/// How much there is to go through in a value: its parts and theirs.
fn extent(at: &IdedExpr, scope: &Json) -> usize {
    if let Some(value) = named(at, scope) {
        return value.max(1);
    }
    let of = |at: &IdedExpr| extent(at, scope);
    match &at.expr {
        // Each item may become as much as is named for it.
        Expr::Comprehension(one) => of(&one.iter_range).saturating_mul(of(&one.loop_step)),
        Expr::Call(_) | Expr::List(_) | Expr::Map(_) | Expr::Select(_) | Expr::Struct(_) => {
            below(at).into_iter().map(|(at, _)| of(at)).fold(0, usize::saturating_add).max(1)
        }
        Expr::Literal(_) => 1,
        // What a loop binds is part of what it goes through.
        Expr::Unspecified | Expr::Ident(_) => 0,
    }
}

/// The weight of what a path leads to; none where it is no path, or is bound by a loop.
fn named(at: &IdedExpr, scope: &Json) -> Option<usize> {
    let (path, _) = path(at)?;
    let mut value = scope;
    for word in &path {
        match value.get(word) {
            Some(next) => value = next,
            // A list or a text, which is looked through from here on.
            None if value.is_object() => return None,
            None => break,
        }
    }
    Some(weight(value))
}

/// What values cost to look through: each counts, the parts of lists and maps too, and long texts by their length.
fn weight(value: &Json) -> usize {
    let text = |text: &str| 1 + text.len() / BYTES_PER_VALUE;
    match value {
        Json::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Json::Object(fields) => 1 + fields.iter().map(|(name, field)| text(name) + weight(field)).sum::<usize>(),
        Json::String(value) => text(value),
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
    }
}
