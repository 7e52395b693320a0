//! What an expression names: values by their paths, functions.
//!
//! In: an expression. Out: each name, with its place in the text. Not here: which names there are (`kind`).
//! The surprise: whether there is a function of some name is asked of the library itself, by calling it with nothing,
//! so no list here can fall behind it.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, LiteralValue, operators};
use cel::{Context, ExecutionError, IdedExpr, Program};

/// Functions and macros that are worth suggesting.
pub const FUNCTIONS: &[&str] = &[
    "all",
    "bool",
    "bytes",
    "contains",
    "double",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "int",
    "map",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// Something that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What.
    pub what: What,
    /// Where it begins, in characters from 1, where that is known.
    pub column: Option<usize>,
}

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A value: `params.app` is `["params", "app"]`.
    Path(Vec<String>),
    /// A function.
    Function(String),
}

/// Everything that an expression names, but for what it binds itself.
#[must_use]
pub fn names(program: &Program) -> Vec<Name> {
    let mut walk = Walk { program, bound: Vec::new(), found: Vec::new() };
    walk.look(program.expression());
    walk.found
}

/// The names that can stand for nothing, whatever is known of a run: neither below `params`, `steps` or `message` nor the language's.
#[must_use]
pub fn unknown(program: &Program) -> Vec<Name> {
    let is_unknown = |name: &Name| match &name.what {
        What::Function(name) => is_undeclared(&format!("{name}()")) && is_undeclared(&format!("''.{name}()")),
        What::Path(path) => {
            let root = path.first().map_or("", String::as_str);
            !matches!(root, "params" | "steps" | "message") && is_undeclared(root)
        }
    };
    names(program).into_iter().filter(is_unknown).collect()
}

/// True when the library says that there is no such thing.
fn is_undeclared(text: &str) -> bool {
    let Ok(program) = Program::compile(text) else { return false };
    matches!(program.execute(&Context::default()), Err(ExecutionError::UndeclaredReference(_)))
}

struct Walk<'a> {
    program: &'a Program,
    /// Variables of the loops around.
    bound: Vec<&'a str>,
    found: Vec<Name>,
}

impl<'a> Walk<'a> {
    fn look(&mut self, at: &'a IdedExpr) {
        if let Some((path, root)) = path(at) {
            return self.named(&path, root);
        }
        match &at.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                // Operators have signs in their names.
                if call.func_name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    let column = self.column(at);
                    self.found.push(Name { what: What::Function(call.func_name.clone()), column });
                }
                call.target.iter().for_each(|target| self.look(target));
                call.args.iter().for_each(|arg| self.look(arg));
            }
            Expr::Comprehension(one) => self.look_within(one),
            Expr::List(list) => list.elements.iter().for_each(|item| self.look(item)),
            Expr::Map(map) => self.look_at_entries(&map.entries),
            Expr::Select(select) => self.look(&select.operand),
            Expr::Struct(fields) => self.look_at_entries(&fields.entries),
        }
    }

    fn look_within(&mut self, one: &'a ComprehensionExpr) {
        self.look(&one.iter_range);
        let bound = [Some(&one.iter_var), one.iter_var2.as_ref(), Some(&one.accu_var)];
        let before = self.bound.len();
        self.bound.extend(bound.into_iter().flatten().map(String::as_str));
        [&one.accu_init, &one.loop_cond, &one.loop_step, &one.result].into_iter().for_each(|inner| self.look(inner));
        self.bound.truncate(before);
    }

    fn look_at_entries(&mut self, entries: &'a [IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.look(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.look(&entry.key);
                    self.look(&entry.value);
                }
            }
        }
    }

    fn named(&mut self, path: &[&str], root: &IdedExpr) {
        let is_bound = path.first().is_some_and(|root| self.bound.contains(root) || root.starts_with('@'));
        if !is_bound {
            let path = path.iter().map(|word| (*word).to_owned()).collect();
            self.found.push(Name { what: What::Path(path), column: self.column(root) });
        }
    }

    fn column(&self, at: &IdedExpr) -> Option<usize> {
        let (start, _) = self.program.source_info().offset_for(at.id)?;
        Some(usize::try_from(start).ok()?.saturating_add(1))
    }
}

/// The way from a variable to a value, and the variable: `params.list`, `params['list']`.
pub(super) fn path(at: &IdedExpr) -> Option<(Vec<&str>, &IdedExpr)> {
    match &at.expr {
        Expr::Ident(name) => Some((vec![name], at)),
        Expr::Select(select) => {
            let (mut path, root) = path(&select.operand)?;
            path.push(&select.field);
            Some((path, root))
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let Expr::Literal(LiteralValue::String(word)) = &call.args.get(1)?.expr else { return None };
            let (mut path, root) = path(call.args.first()?)?;
            path.push(word.inner());
            Some((path, root))
        }
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, found: &[Name]) -> Vec<String> {
        let said = |name: &Name| match &name.what {
            What::Path(path) => format!("{}@{}", path.join("."), name.column.unwrap_or(0)),
            What::Function(name_of) => format!("{name_of}()@{}", name.column.unwrap_or(0)),
        };
        assert!(Program::compile(text).is_ok(), "{text}");
        found.iter().map(said).collect()
    }

    #[test]
    fn what_is_named_is_found_with_its_place() {
        for (text, expected) in [
            ("params.app != 'none'", vec!["params.app@1"]),
            ("1 < params.a['b'].c", vec!["params.a.b.c@5"]),
            ("has(params.app) && steps.a.output.n > 1", vec!["params.app@5", "steps.a.output.n@20"]),
            ("params.l.all(a, a > params.n)", vec!["params.l@1", "params.n@21"]),
            ("steps[params.x].output == {'k': [params.y]}", vec!["steps@1", "params.x@7", "params.y@34"]),
        ] {
            let program = Program::compile(text).expect(text);
            let found: Vec<Name> = names(&program);
            let paths: Vec<Name> = found.into_iter().filter(|name| matches!(name.what, What::Path(_))).collect();
            assert_eq!(told(text, &paths), expected, "{text}");
        }
    }

    #[test]
    fn what_can_be_nothing_is_told_from_what_is_known_later() {
        for (text, expected) in [
            ("params.app.startsWith('a') && size(steps) > 0", vec![]),
            ("type(params.n) == int && string(params.n) == '1'", vec![]),
            ("params.l.exists_one(x, x == 1) || params.t.matches('a+')", vec![]),
            ("params.l.filter(x, x.k.size() > 0).size() > int('1')", vec![]),
            ("parms.app == 'x'", vec!["parms.app@1"]),
            ("sise(params.l) > 0", vec!["sise()"]),
            ("params.l.al(a, a > 0)", vec!["al()", "a@", "a@"]),
            ("env('HOME') == '/'", vec!["env()"]),
        ] {
            let program = Program::compile(text).expect(text);
            let found = told(text, &unknown(&program));
            let fits = |(found, expected): (&String, &&str)| found.starts_with(expected);
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(fits), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_is_suggested_is_there() {
        for name in FUNCTIONS {
            let is_macro = matches!(*name, "all" | "exists" | "exists_one" | "filter" | "has" | "map");
            let is_there = !is_undeclared(&format!("{name}()")) || !is_undeclared(&format!("''.{name}()"));
            assert!(is_macro || is_there, "{name}");
        }
    }
}
