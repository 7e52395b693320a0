//! The rules of a mailbox: which messages there are, and what each is for.
//!
//! In: a message. Out: the first rule it meets, and what that says. Not here: how people write rules (`kind`).
//! The surprise: there is no rule beneath the last one. A message that meets none is kept as a dead letter, and nothing
//! is done on a guess.

use std::sync::Arc;
use std::time::Duration;

use glob::{MatchOptions, Pattern};
use regex::Regex;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::message::Message;
use crate::engine::name::ObjectRef;
use crate::engine::run::scope::look_up;
use crate::engine::run::{Retry, Work, expression};

/// When a queue hands over its messages, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRule {
    /// So many at once.
    pub at_once: u32,
    /// How long a message may wait before it is too old to be acted on.
    pub max_age: Option<Duration>,
    /// So many may wait.
    pub messages_max: u64,
    /// Of so many bytes together.
    pub bytes_max: u64,
    /// It is switched on.
    pub is_enabled: bool,
}

/// What messages are for.
#[derive(Clone, Debug)]
pub struct Sorting {
    /// Tried in this order; the first that is met counts.
    pub rules: Vec<Sort>,
    /// Asked which rule is meant, where there is one; its answer has to be the name of a rule that the message meets.
    pub classifier: Option<Work>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Sort {
    /// Its name; its number from 1 where it has none.
    pub name: Arc<str>,
    /// Which messages.
    pub matches: Match,
    /// What becomes of them.
    pub then: Then,
}

/// Which messages.
#[derive(Clone, Debug)]
pub enum Match {
    /// All.
    Any,
    /// Those of which all of this is true.
    All(Vec<Test>),
}

/// What becomes of a message.
#[derive(Clone, Debug)]
pub enum Then {
    /// Something is done.
    Work {
        /// What.
        work: Work,
        /// With which parameters; `{from: message.subject}` stands for what it says.
        with: Json,
    },
    /// Whoever sent it is told this.
    Reply(Arc<str>),
    /// Nothing, on purpose.
    Drop,
}

/// Something that is true of a message, or not.
#[derive(Clone, Debug)]
pub enum Test {
    /// Its type is like this.
    Kind(Pattern),
    /// Its subject is like this.
    Subject(Pattern),
    /// Its sender is like this.
    Sender(Pattern),
    /// Its text has this in it.
    Text(Regex),
    /// Its first word is this.
    Command(Arc<str>),
    /// This field of its JSON is this value.
    Field(Arc<str>, Json),
    /// This expression in CEL is true of it.
    Expression(Arc<str>),
}

/// What a rule makes of a message.
#[derive(Clone, Debug)]
pub enum Choice<'a> {
    /// This rule counts.
    Rule(&'a Sort),
    /// None does: why.
    None(Arc<str>),
}

/// The first rule that a message meets; with a classifier, the one it named.
#[must_use]
pub fn choose<'a>(sorting: &'a Sorting, message: &Message, named: Option<&str>) -> Choice<'a> {
    let scope = message.scope();
    let Some(named) = named else {
        for rule in &sorting.rules {
            match rule.is_met(message, &scope) {
                Ok(true) => return Choice::Rule(rule),
                Ok(false) => {}
                Err(why) => return Choice::None(format!("rule {} cannot be told: {why}", rule.name).into()),
            }
        }
        return Choice::None("no rule matches it".into());
    };
    let named = named.trim();
    let known = || sorting.rules.iter().map(|rule| &*rule.name).collect::<Vec<_>>().join(", ");
    match sorting.rules.iter().find(|rule| *rule.name == *named) {
        None => {
            let said: String = named.chars().filter(|c| !c.is_control()).take(60).collect();
            Choice::None(format!("its classifier answered `{said}`, and the rules are {}", known()).into())
        }
        Some(rule) => match rule.is_met(message, &scope) {
            Ok(true) => Choice::Rule(rule),
            Ok(false) => {
                Choice::None(format!("its classifier named rule {}, which it does not match", rule.name).into())
            }
            Err(why) => Choice::None(format!("rule {} cannot be told: {why}", rule.name).into()),
        },
    }
}

impl Sort {
    /// Whether a message meets it.
    ///
    /// # Errors
    /// When its expression cannot be told.
    fn is_met(&self, message: &Message, scope: &Json) -> Result<bool, String> {
        let Match::All(tests) = &self.matches else { return Ok(true) };
        for test in tests {
            if !test.is_true(message, scope)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Test {
    fn is_true(&self, message: &Message, scope: &Json) -> Result<bool, String> {
        let like = |pattern: &Pattern, text: &str| pattern.matches_with(text, MatchOptions::default());
        Ok(match self {
            Test::Kind(pattern) => like(pattern, &message.kind),
            Test::Subject(pattern) => like(pattern, &message.subject),
            Test::Sender(pattern) => like(pattern, &message.sender),
            Test::Text(regex) => regex.is_match(&message.text()),
            Test::Command(word) => message.text().split_whitespace().next() == Some(word),
            Test::Field(path, value) => {
                look_up(scope, &format!("message.fields.{path}")).is_some_and(|found| found == value)
            }
            Test::Expression(text) => expression::is_true(text, scope)?,
        })
    }
}

/// How long a message waits after its `failed`-th attempt, from 1: half of the delay for certain, and a share of the other
/// half that follows from its name, so that what failed together does not come back together.
#[must_use]
pub fn wait_after(retry: &Retry, object: &ObjectRef, id: &str, failed: u32) -> Duration {
    let half = retry.wait_after(failed) / 2;
    let mut hash = Sha256::new();
    for part in ["setpoint-retry-v1", object.as_str(), id, &failed.to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let share = hash.finalize().iter().take(4).fold(0_u32, |share, byte| (share << 8) | u32::from(*byte));
    half + half.mul_f64(f64::from(share) / f64::from(u32::MAX))
}
