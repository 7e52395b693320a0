//! Which messages a rule is for, as people write it.
//!
//! In: `any`, or a map of what has to be true. Out: tests for the engine. Not here: testing.
//! The surprise: all that is given has to be true, so a longer map means fewer messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use glob::Pattern;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{FieldError, plain};
use crate::engine::queue::{Match, Test};
use crate::engine::run::expression;

/// The largest pattern once it is compiled, in bytes.
const REGEX_MAX: usize = 256 << 10;

/// `any`, or what has to be true.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = super::mailbox::match_schema)]
pub enum Matches {
    /// `any`.
    Word(String),
    /// What has to be true.
    Tests(Tests),
}

/// What has to be true of a message: all that is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tests {
    /// Its type; `*` stands for any text.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Its subject; `*` stands for any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Its sender; `*` stands for any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// A regular expression that is found in its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Its first word, as in /ship.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Values in its JSON, by their way: `pull.merged: true`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Json>,
    /// An expression in CEL over `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    expr: Option<String>,
}

/// The schema of the map.
pub(super) fn properties() -> Json {
    let text = |about: &str, example: &str| json!({ "type": "string", "minLength": 1, "description": about, "examples": [example] });
    json!({
        "type": text("Its type; `*` stands for any text.", "com.github.push"),
        "subject": text("Its subject; `*` stands for any text.", "build *"),
        "from": text("Its sender; `*` stands for any text.", "tg:12345678"),
        "text": text("A regular expression that is found in its text.", "^status"),
        "command": text("Its first word.", "/ship"),
        "fields": {
            "type": "object", "description": "Values in its JSON, by their way.",
            "examples": [{ "pull.merged": true }], "x-rule": "it maps ways to values",
        },
        "expr": text("An expression in CEL over `message`.", "message.fields.size > 10"),
    })
}

impl Matches {
    /// Says what is wrong with it; `path` leads to it.
    pub fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        let tests = match self {
            Matches::Word(word) if word == "any" => return,
            Matches::Word(_) => {
                let help = "write any, or a map, as in { command: /ship }";
                return errors.push(FieldError::new(path, "is neither `any` nor a map", help));
            }
            Matches::Tests(tests) => tests,
        };
        if tests.all().is_none_or(|all| all.is_empty()) && tests.is_empty() {
            errors.push(FieldError::new(path, "says nothing", "write `match: any` for every message"));
        }
        for (field, text) in [("type", &tests.kind), ("subject", &tests.subject), ("from", &tests.from)] {
            if let Some(Err(error)) = text.as_ref().map(|text| Pattern::new(text)) {
                errors.push(FieldError::new(
                    &at(field),
                    format!("is no pattern: {}", error.msg),
                    "write * for any text",
                ));
            }
        }
        if let Some(Err(error)) = tests.text.as_ref().map(|text| compiled(text)) {
            let said = error.to_string();
            let said = plain(said.lines().last().unwrap_or_default());
            errors.push(FieldError::new(&at("text"), format!("is no regular expression: {said}"), "escape it with \\"));
        }
        if tests.command.as_ref().is_some_and(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            errors.push(FieldError::new(&at("command"), "is not one word", "write one word, as in /ship"));
        }
        if let Some(fault) = tests.expr.as_ref().and_then(|text| expression::fault(text)) {
            let said = fault.split(" | ").next().unwrap_or_default();
            let help = "write an expression such as `message.fields.size > 10`";
            errors.push(FieldError::new(&at("expr"), format!("is no expression: {said}"), help));
        }
    }

    /// For the engine; none before it was checked.
    #[must_use]
    pub fn rule(&self) -> Option<Match> {
        match self {
            Matches::Word(_) => Some(Match::Any),
            Matches::Tests(tests) => tests.all().map(Match::All),
        }
    }
}

impl Tests {
    fn is_empty(&self) -> bool {
        let texts = [&self.kind, &self.subject, &self.from, &self.text, &self.command, &self.expr];
        self.fields.is_empty() && texts.iter().all(|text| text.is_none())
    }

    fn all(&self) -> Option<Vec<Test>> {
        let pattern = |text: &Option<String>| text.as_ref().map(|text| Pattern::new(text)).transpose().ok();
        let mut all = Vec::new();
        all.extend(pattern(&self.kind)?.map(Test::Kind));
        all.extend(pattern(&self.subject)?.map(Test::Subject));
        all.extend(pattern(&self.from)?.map(Test::Sender));
        all.extend(self.command.as_ref().map(|word| Test::Command(Arc::from(word.as_str()))));
        all.extend(self.fields.iter().map(|(way, value)| Test::Field(Arc::from(way.as_str()), value.clone())));
        if let Some(text) = &self.text {
            all.push(Test::Text(compiled(text).ok()?));
        }
        all.extend(self.expr.as_ref().map(|text| Test::Expression(Arc::from(text.as_str()))));
        Some(all)
    }
}

fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(REGEX_MAX).build()
}
