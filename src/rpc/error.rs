//! What a method answers when it does not do what it was asked.
//!
//! In: what is wrong. Out: an error of JSON-RPC, with the shape that forms and agents read in its `data`.
//! Not here: finding it. The surprise: an error of ours is -32000 less the exit code of the same failure on the command
//! line, so whoever knows one table knows both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::{Failure, exit};
use crate::engine::run::params::ParamError;
use crate::load::similar;

/// The numbers of errors: those of the standard, then ours.
pub mod code {
    /// The line is no JSON.
    pub const PARSE: i32 = -32700;
    /// It is JSON, and no request.
    pub const REQUEST: i32 = -32600;
    /// There is no such method.
    pub const METHOD: i32 = -32601;
    /// The parameters are wrong.
    pub const PARAMS: i32 = -32602;
    /// The method broke; a defect of ours.
    pub const INTERNAL: i32 = -32603;
    /// It could not be done.
    pub const FAILED: i32 = -32001;
    /// There is no such object, run or job.
    pub const NOT_FOUND: i32 = -32003;
    /// The controller is ending.
    pub const ENDING: i32 = -32004;
    /// It belongs to somebody else, or the plan is stale.
    pub const REFUSED: i32 = -32005;
    /// Somebody has to agree first.
    pub const CONSENT: i32 = -32006;
    /// Only a part was done.
    pub const PARTLY: i32 = -32007;
    /// Too much is asked at once.
    pub const BUSY: i32 = -32008;
    /// This version cannot do it.
    pub const NOT_AVAILABLE: i32 = -32010;
}

/// Why a method did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// One of [`code`].
    pub code: i32,
    /// What is wrong, in one line.
    pub message: String,
    /// The parameters that are wrong, each with what is wrong about it.
    pub errors_by_field: BTreeMap<String, String>,
    /// What to write instead.
    pub suggestions: Vec<String>,
}

impl Error {
    /// An error with a code and a text; a line of help at its end becomes a suggestion.
    #[must_use]
    pub fn new(code: i32, text: impl Into<String>) -> Error {
        let text = text.into();
        let (message, help) = match text.split_once("\n  help: ") {
            Some((message, help)) => (message.to_owned(), vec![help.trim().replace("\n        ", " ")]),
            None => (text, Vec::new()),
        };
        Error { code, message, errors_by_field: BTreeMap::new(), suggestions: help }
    }

    /// There is no such method.
    #[must_use]
    pub fn unknown_method(name: &str) -> Error {
        let names = super::method::all().map(|method| method.name);
        let shown: String = name.chars().take(80).collect();
        let mut error = Error::new(code::METHOD, format!("there is no method `{}`", crate::cli::plain(&shown)));
        error.suggestions = match similar(name, names) {
            Some(meant) => vec![format!("did you mean {meant}?")],
            None => vec!["setpoint rpc lists them".to_owned()],
        };
        error
    }

    /// Parameters are wrong.
    #[must_use]
    pub fn params(method: &str, errors: &[ParamError], known: &[&str]) -> Error {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let mut error = Error::new(code::PARAMS, format!("{method}: {}", words.join("; ")));
        for wrong in errors {
            let meant = similar(&wrong.field, known.iter().copied()).filter(|meant| *meant != wrong.field);
            error.suggestions.push(meant.map_or_else(|| wrong.help.clone(), |meant| format!("did you mean {meant}?")));
            error.errors_by_field.insert(wrong.field.clone(), wrong.what.clone());
        }
        error
    }

    /// One parameter is wrong.
    #[must_use]
    pub fn field(field: &str, what: impl Into<String>, help: &str) -> Error {
        let what = what.into();
        let mut error = Error::new(code::PARAMS, format!("`{field}` {what}"));
        error.errors_by_field.insert(field.to_owned(), what);
        error.suggestions.push(help.to_owned());
        error
    }

    /// What the shape that every surface has says: `{error, errors_by_field, suggestions}`.
    #[must_use]
    pub fn of_shape(shape: &Value) -> Error {
        let text = shape.get("error").and_then(Value::as_str).unwrap_or("the controller refused it");
        let fields = shape.get("errors_by_field").and_then(Value::as_object);
        let helps = shape.get("suggestions").and_then(Value::as_array);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors_by_field: BTreeMap<String, String> =
            fields.into_iter().flatten().map(|(name, what)| (name.clone(), word(what))).collect();
        let code = if errors_by_field.is_empty() { code::FAILED } else { code::PARAMS };
        let suggestions = helps.into_iter().flatten().map(word).collect();
        Error { code, message: text.to_owned(), errors_by_field, suggestions }
    }

    /// As it stands in an answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let data = json!({
            "success": false, "error": self.message, "errors_by_field": self.errors_by_field,
            "suggestions": self.suggestions,
        });
        json!({ "code": self.code, "message": self.message, "data": data })
    }

    /// As it stood in an answer.
    #[must_use]
    pub fn of_json(error: &Value) -> Error {
        let mut read = Error::of_shape(error.get("data").unwrap_or(&Value::Null));
        let code = error.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
        read.code = code.unwrap_or(code::INTERNAL);
        if let Some(message) = error.get("message").and_then(Value::as_str) {
            message.clone_into(&mut read.message);
        }
        read
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let code = match failure.code {
            exit::USAGE => code::PARAMS,
            exit::NOT_FOUND => code::NOT_FOUND,
            exit::NO_CONTROLLER => code::ENDING,
            exit::REFUSED => code::REFUSED,
            exit::CONSENT => code::CONSENT,
            exit::PARTLY => code::PARTLY,
            _ => code::FAILED,
        };
        Error::new(code, failure.text)
    }
}
