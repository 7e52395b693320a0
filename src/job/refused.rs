//! Why a job was not written.
//!
//! In: what is wrong with single fields. Out: words, and the shape that forms and agents read. Not here: finding it.
//! The surprise: there is one shape on every way in, `{success, error, errors_by_field, suggestions}`, so that whoever
//! can read it once can read it everywhere.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

/// What kind of refusal it is; the worst of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A field is wrong.
    #[default]
    Invalid,
    /// There is no such job.
    Unknown,
    /// The name is somebody else's.
    Taken,
    /// The system says no.
    System,
}

/// What is wrong, by field.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    /// What kind of refusal it is.
    pub why: Why,
    /// The fields that are wrong; an empty name stands for all of them.
    pub errors_by_field: BTreeMap<String, String>,
    /// What was probably meant, the likeliest first.
    pub suggestions: Vec<String>,
}

impl Refused {
    /// One thing that is wrong.
    #[must_use]
    pub fn of(why: Why, field: &str, text: String) -> Refused {
        let mut refused = Refused::default();
        refused.add_as(why, field, text);
        refused
    }

    /// The system says no.
    #[must_use]
    pub fn of_system(text: String) -> Refused {
        Refused::of(Why::System, "", text)
    }

    /// Adds what is wrong with a field.
    pub fn add(&mut self, field: &str, text: String) {
        self.add_as(Why::Invalid, field, text);
    }

    /// Adds what is wrong with a field, and of what kind that is.
    pub fn add_as(&mut self, why: Why, field: &str, text: String) {
        self.why = self.why.max(why);
        let known = self.errors_by_field.entry(field.to_owned()).or_default();
        if !known.is_empty() {
            known.push_str("; ");
        }
        known.push_str(&text);
    }

    /// Adds what was probably meant.
    pub fn suggest(&mut self, meant: Option<&str>) {
        if let Some(meant) = meant.filter(|meant| !self.suggestions.iter().any(|known| known == meant)) {
            self.suggestions.push(meant.to_owned());
        }
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors_by_field.is_empty()
    }

    /// All of it in one line.
    #[must_use]
    pub fn error(&self) -> String {
        self.errors_by_field.values().cloned().collect::<Vec<_>>().join("; ")
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let fields: BTreeMap<&String, &String> =
            self.errors_by_field.iter().filter(|(field, _)| !field.is_empty()).collect();
        json!({
            "success": false, "error": self.error(), "errors_by_field": fields, "suggestions": self.suggestions,
        })
    }
}

/// For people: one line for each field.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&String> = self.errors_by_field.values().collect();
        match lines.as_slice() {
            [one] => f.write_str(one)?,
            several => {
                f.write_str("the job is not right, and nothing was written")?;
                several.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
            }
        }
        match self.suggestions.as_slice() {
            [] => Ok(()),
            // It stands beside what is wrong already.
            _ if lines.iter().any(|line| line.contains("did you mean")) => Ok(()),
            [one] => write!(f, "\n  help: did you mean {one}?"),
            several => write!(f, "\n  help: did you mean one of {}?", several.join(", ")),
        }
    }
}

impl std::error::Error for Refused {}
