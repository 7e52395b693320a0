//! Conditions written in CEL, the Common Expression Language.
//!
//! In: the text of an expression, the values it may name. Out: true, false, or why neither.
//! Not here: the language, which is a library's. The surprise: what it may cost is bounded before it is asked, since a
//! few words of nested `all` over lists would keep a controller busy for hours; and it can name what it is given and
//! nothing else, so the same values always give the same answer.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr};
use cel::{Context, IdedExpr, Program, Value};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

/// The longest expression, in bytes.
pub const LENGTH_MAX: usize = 4096;

/// Says what is wrong with the text of an expression, if anything.
#[must_use]
pub fn fault(text: &str) -> Option<String> {
    if text.len() > LENGTH_MAX {
        return Some(format!("is longer than {LENGTH_MAX} bytes"));
    }
    match Program::compile(text) {
        Ok(program) => (loops(program.expression()) > 1).then(|| NESTED.to_owned()),
        Err(error) => Some(one_line(&error.to_string())),
    }
}

/// The most values that may be looked at by an expression with `all`, `exists`, `map` or `filter`.
pub const VALUES_MAX: usize = 2000;

const NESTED: &str = "has `all`, `exists`, `map` or `filter` inside another one, which may take for ever; \
                      work it out in a step, and ask for the result";

/// How deep loops stand inside loops; those of a chain stand beside each other.
fn loops(expression: &IdedExpr) -> usize {
    let most = |all: &[IdedExpr]| all.iter().map(loops).max().unwrap_or(0);
    let entries = |all: &[IdedEntryExpr]| {
        let of = |entry: &IdedEntryExpr| match &entry.expr {
            EntryExpr::StructField(field) => loops(&field.value),
            EntryExpr::MapEntry(entry) => loops(&entry.key).max(loops(&entry.value)),
        };
        all.iter().map(of).max().unwrap_or(0)
    };
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 0,
        Expr::Call(call) => call.target.as_ref().map_or(0, |target| loops(target.as_ref())).max(most(&call.args)),
        Expr::Comprehension(one) => {
            let inside = [&one.loop_cond, &one.loop_step, &one.result, &one.accu_init].map(loops);
            loops(&one.iter_range).max(1 + inside.into_iter().max().unwrap_or(0))
        }
        Expr::List(list) => most(&list.elements),
        Expr::Map(map) => entries(&map.entries),
        Expr::Select(select) => loops(&select.operand),
        Expr::Struct(fields) => entries(&fields.entries),
    }
}

/// How many values there are, the parts of lists and maps counted.
fn values(value: &Json) -> usize {
    match value {
        Json::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Json::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
    }
}

/// The answer to an expression over the fields of `scope`.
///
/// # Errors
/// When it is no expression, names something that is not there, or answers with something else than true or false.
pub fn is_true(text: &str, scope: &Json) -> Result<bool, String> {
    let program = Program::compile(text).map_err(|error| one_line(&error.to_string()))?;
    let loops = loops(program.expression());
    if loops > 1 {
        return Err(NESTED.to_owned());
    }
    if loops == 1 && values(scope) > VALUES_MAX {
        return Err(format!(
            "it goes through more than {VALUES_MAX} values; work it out in a step, and ask for the result"
        ));
    }
    let mut context = Context::default();
    for (name, value) in scope.as_object().into_iter().flatten() {
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
        let scope = json!({ "params": { "l": [1, 2, 3] } });
        for (text, expected) in [
            ("params.l.all(a, a > 0)", Ok(true)),
            ("params.l.map(a, a + 1).filter(a, a > 2).exists(a, a == 4)", Ok(true)),
            ("params.l.all(a, params.l.all(b, b > 0))", Err(())),
            ("[1, 2].all(a, [[1, 2].exists(b, b == a)].size() == 1)", Err(())),
            ("params.l.all(a, {'k': params.l.map(b, b)}.size() > 0)", Err(())),
        ] {
            assert_eq!(is_true(text, &scope).map_err(|_| ()), expected, "{text}");
            assert_eq!(fault(text).is_some(), expected.is_err(), "{text}");
        }
        let long = json!({ "params": { "l": vec![1; VALUES_MAX] } });
        assert!(is_true("params.l.all(a, a > 0)", &long).is_err_and(|why| why.contains("in a step")));
        assert_eq!(is_true("params.l.size() > 0", &long), Ok(true));
    }
}
