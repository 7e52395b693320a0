//! Environments as YAML, JSON and TOML write them, and text with `${NAME}` in it.
//!
//! In: a map, or a list of `NAME=value`. Out: `env` of the draft. Not here: INI files, which have a syntax of their own.
//! The surprise: a value that is one variable becomes `fromEnv`, one whose variables all have defaults takes those, and
//! one that mixes text and variables is left out and said: what it stands for today is not written down.

use serde_json::json;

use super::source::{Key, Value};
use super::words::{self, Piece};
use super::work::Work;

/// What a text with variables can become.
pub enum Filled {
    /// Text, and whether defaults were taken.
    Text(String, bool),
    /// One variable and nothing else.
    Variable(String),
    /// Neither.
    Mixed,
}

/// Puts in what can be put in now.
#[must_use]
pub fn filled(text: &str) -> Filled {
    let Some(pieces) = words::pieces(text) else { return Filled::Mixed };
    if let [Piece::Variable { name, default: None }] = &*pieces {
        return Filled::Variable(name.clone());
    }
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Variable { default, .. } => default.clone(),
    };
    let has_variables = words::variables(&pieces).next().is_some();
    pieces.iter().map(text).collect::<Option<String>>().map_or(Filled::Mixed, |text| Filled::Text(text, has_variables))
}

impl Work<'_> {
    /// An environment: a map, or a list of `NAME=value`. `expands`: its source puts in `${NAME}`.
    pub fn environment(&mut self, key: &Key<'_>, expands: bool) {
        match &key.node.value {
            Value::Map(_) => key.fields().iter().for_each(|field| {
                let value = field.text().or(matches!(field.node.value, Value::Null).then_some(""));
                let is_given = !matches!(field.node.value, Value::Null);
                match value {
                    Some(value) => self.variable(field, field.name(), is_given.then_some(value), expands),
                    None => self.drop(field, "a variable is text"),
                }
            }),
            _ => key.items().iter().for_each(|item| match item.text() {
                Some(text) => {
                    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
                    self.variable(item, name, value, expands);
                }
                None => self.drop(item, "it is no NAME=value"),
            }),
        }
    }

    /// One variable; without a value it is taken over from whoever starts it.
    fn variable(&mut self, key: &Key<'_>, name: &str, value: Option<&str>, expands: bool) {
        let field = format!("env.{name}");
        if !words::is_variable(name) {
            return self
                .drop(key, "a name of a variable has letters, digits and `_`, and does not begin with SETPOINT_");
        }
        let Some(value) = value else {
            self.draft.push("inheritEnv", json!(name));
            return self.said(key, "inheritEnv", "it is that of the controller");
        };
        match if expands { filled(value) } else { Filled::Text(value.to_owned(), false) } {
            Filled::Text(text, false) => {
                self.draft.set_env(name, json!(text));
                self.same(key, &field);
            }
            Filled::Text(text, true) => {
                self.draft.set_env(name, json!(text));
                self.said(key, &field, "the default is taken; the variable inside is not looked at any more");
            }
            Filled::Variable(from) if words::is_variable(&from) => {
                self.draft.set_env(name, json!({ "fromEnv": from }));
                self.said(key, &field, "it is read from the environment of the controller at each start");
            }
            Filled::Variable(_) | Filled::Mixed => {
                let why =
                    "text with a variable inside has no like here: put it together in the program, or by fromCommand";
                self.drop(key, why);
            }
        }
    }

    /// A text whose `${NAME}` its source puts in; `None`, and marked, when that cannot be done now.
    pub fn fill(&mut self, key: &Key<'_>) -> Option<String> {
        match filled(key.text()?) {
            Filled::Text(text, false) => Some(text),
            Filled::Text(text, true) => {
                self.said(key, "", "the default is taken; the variable inside is not looked at any more");
                Some(text)
            }
            Filled::Variable(_) | Filled::Mixed => {
                self.drop(key, "it depends on a variable that has no default");
                None
            }
        }
    }

    /// A line for a shell: what it expands by itself is given to it.
    pub fn line(&mut self, key: &Key<'_>, line: &str) {
        self.map(key, "run", line);
        let Some(pieces) = words::pieces(line) else { return };
        for name in words::variables(&pieces).filter(|name| words::is_variable(name)) {
            let is_own = self.draft.get("env").is_some_and(|env| env.get(name).is_some());
            if !is_own && line.contains(&format!("${{{name}")) {
                self.draft.push("inheritEnv", json!(name));
                self.said(key, "run", &format!("{name} comes from the environment of the controller, at each start"));
            }
        }
    }
}
