//! Conditions written in CEL, the Common Expression Language.
//!
//! In: the text of an expression, the values it may name. Out: true, false, or why neither.
//! Not here: the language, which is a library's. The surprise: what it may cost is bounded before it is asked, since a
//! few words of nested `all` over lists would keep a controller busy for hours; and it can name what it is given and
//! nothing else, so the same values always give the same answer.

use cel::common::ast::Expr;
use cel::{Context, IdedExpr, Program, Value};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::cost::{COST_MAX, below, cost, pattern_fault};
use super::names::{self, What};
use super::scope::{Scope, named};

/// The longest expression, in bytes.
pub const LENGTH_MAX: usize = 4096;

/// An expression that is short enough and has no loop inside a loop.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence.
pub fn compile(text: &str) -> Result<Program, String> {
    if text.len() > LENGTH_MAX {
        return Err(format!("is longer than {LENGTH_MAX} bytes"));
    }
    let program = Program::compile(text).map_err(|error| one_line(&error.to_string()))?;
    if loops(program.expression()) > 1 {
        return Err(NESTED.to_owned());
    }
    match pattern_fault(program.expression()) {
        Some(fault) => Err(fault),
        None => Ok(program),
    }
}

const STEP: &str = "work it out in a step, and ask for the result";

const NESTED: &str = "has `all`, `exists`, `map` or `filter` inside another one, which may take for ever; \
                      work it out in a step, and ask for the result";

/// How deep loops stand inside loops; those of a chain stand beside each other.
fn loops(at: &IdedExpr) -> usize {
    let is_loop = matches!(at.expr, Expr::Comprehension(_));
    let of = |(below, is_each): (&IdedExpr, bool)| loops(below) + usize::from(is_each && is_loop);
    below(at).into_iter().map(of).max().unwrap_or(0)
}

/// Says what is wrong with the text of an expression, if anything.
#[must_use]
pub fn fault(text: &str) -> Option<String> {
    compile(text).err()
}

/// The answer to an expression over what is known of a run.
///
/// # Errors
/// When it is no expression, names something that is not there or too long, or answers with something else than true
/// or false.
pub fn answer(text: &str, scope: &Scope) -> Result<bool, String> {
    asked(text, scope.values(), |path| scope.may_pass(path).map_err(|why| why.to_string()))
}

/// The same over the fields of `values`.
///
/// # Errors
/// As [`answer`].
pub fn is_true(text: &str, values: &Json) -> Result<bool, String> {
    asked(text, values, |_| Ok(()))
}

fn asked(text: &str, values: &Json, may_pass: impl Fn(&str) -> Result<(), String>) -> Result<bool, String> {
    let program = compile(text)?;
    let names = names::names(&program);
    let paths = names.iter().filter_map(|name| match &name.what {
        What::Path(path) => Some(path.as_slice()),
        What::Function(_) => None,
    });
    for path in paths.clone() {
        may_pass(&path.join("."))?;
    }
    let cost = cost(program.expression(), values);
    if cost > COST_MAX {
        return Err(format!("it may look at {cost} values, and {COST_MAX} are looked at; {STEP}"));
    }
    let named = named(values, paths);
    let mut context = Context::default();
    for (name, value) in named.as_object().into_iter().flatten() {
        context.add_variable(name.as_str(), Signed(value)).map_err(|error| one_line(&error.to_string()))?;
    }
    match program.execute(&context) {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(_) => Err("it is neither true nor false".to_owned()),
        Err(error) => Err(one_line(&error.to_string())),
    }
}

/// JSON whose whole numbers are signed where they can be, as those in an expression are: `params.n + 1` adds then.
struct Signed<'a>(&'a Json);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Number(number) => match number.as_i64() {
                Some(number) => serializer.serialize_i64(number),
                None => number.serialize(serializer),
            },
            Json::Array(items) => serializer.collect_seq(items.iter().map(Signed)),
            Json::Object(fields) => serializer.collect_map(fields.iter().map(|(name, field)| (name, Signed(field)))),
            plain @ (Json::Null | Json::Bool(_) | Json::String(_)) => plain.serialize(serializer),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_take_for_ever_is_refused_before_it_is_asked() {
        let scope = Scope::new(json!({ "l": [1, 2, 3] }), []);
        for (text, expected) in [
            ("params.l.all(a, a > 0)", Ok(true)),
            ("params.l.map(a, a + 1).filter(a, a > 2).exists(a, a == 4)", Ok(true)),
            ("params.l.all(a, params.l.all(b, b > 0))", Err(())),
            ("[1, 2].all(a, [[1, 2].exists(b, b == a)].size() == 1)", Err(())),
            ("params.l.all(a, {'k': params.l.map(b, b)}.size() > 0)", Err(())),
        ] {
            assert_eq!(answer(text, &scope).map_err(|_| ()), expected, "{text}");
            assert_eq!(compile(text).is_err(), expected.is_err(), "{text}");
        }
        let long = Scope::new(json!({ "l": vec![1; COST_MAX / 2], "n": 1, "s": "x".repeat(400_000) }), []);
        assert!(answer("params.l.all(a, a > 0)", &long).is_err_and(|why| why.contains("in a step")));
        assert_eq!(answer("params.l.size() > 0", &long), Ok(true));
        assert!(answer("params.l == params.l && params.l == params.l", &long).is_err());
        assert_eq!(answer("[1, 2].all(a, a >= params.n)", &long), Ok(true), "what it does not name costs nothing");
        assert!(answer("[1, 2, 3, 4, 5].all(a, size(params.s) > a)", &long).is_err(), "a long text counts, too");
        assert_eq!(answer("params.n == 1 && !has(params.m) && has(params.n)", &long), Ok(true));
    }

    #[test]
    fn a_pattern_is_written_out_and_small() {
        for (text, is_good) in [
            ("params.s.matches('^v[0-9]+[.][0-9]+$')", true),
            ("matches(params.s, 'a+')", true),
            ("params.s.matches(params.t)", false),
            ("params.s.matches('(x')", false),
            ("params.s.matches('(\\\\w{30}){30}')", false),
        ] {
            assert_eq!(compile(text).is_ok(), is_good, "{text}");
        }
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let scope = Scope::new(json!({ "l": many }), []);
        assert!(answer("params.l.all(a, a.matches('[0-9]+'))", &scope).is_err(), "a pattern is read for each item");
    }
}
