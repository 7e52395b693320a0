//! Conditions written in CEL, the Common Expression Language.
//!
//! In: the text of an expression, the values it may name. Out: true, false, or why neither.
//! Not here: the language, which is a library's. The surprise: an expression can name what it is given and nothing
//! else; it reads no clock and no file, so the same values always give the same answer.

use cel::{Context, Program, Value};
use serde_json::Value as Json;

/// The longest expression, in bytes.
pub const LENGTH_MAX: usize = 4096;

/// Says what is wrong with the text of an expression, if anything.
#[must_use]
pub fn fault(text: &str) -> Option<String> {
    if text.len() > LENGTH_MAX {
        return Some(format!("is longer than {LENGTH_MAX} bytes"));
    }
    Program::compile(text).err().map(|error| one_line(&error.to_string()))
}

/// The answer to an expression over the fields of `scope`.
///
/// # Errors
/// When it is no expression, names something that is not there, or answers with something else than true or false.
pub fn is_true(text: &str, scope: &Json) -> Result<bool, String> {
    let program = Program::compile(text).map_err(|error| one_line(&error.to_string()))?;
    let mut context = Context::default();
    for (name, value) in scope.as_object().into_iter().flatten() {
        context.add_variable(name.as_str(), value.clone()).map_err(|error| one_line(&error.to_string()))?;
    }
    match program.execute(&context) {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(_) => Err("it is neither true nor false".to_owned()),
        Err(error) => Err(one_line(&error.to_string())),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
