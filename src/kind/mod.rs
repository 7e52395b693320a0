//! The kinds: what may stand after `kind:`, and everything that follows from it.
//!
//! In: a spec as JSON. Out: its canonical form and the value the engine asks for wants; a schema; the effect of a
//! change of each field. Not here: YAML, files, places in them (`load`).
//! The surprise: parser, schemas, `explain` and completions are all derived from [`KINDS`], so a new kind is one file
//! and one line here, and a new field is one line in the struct of its kind.

pub mod address;
pub mod schema;
pub mod service;
pub mod units;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::expand::Kind;

/// Every kind there is, sorted by name.
pub const KINDS: &[KindDef] = &[service::DEF];

/// The value of `apiVersion`.
pub const API_VERSION: &str = "setpoint/v1";

/// What `get` prints under `metadata` and `apply` ignores, so that what was printed can be applied again.
pub const METADATA_IGNORED: &[&str] = &["generation", "layer", "set", "source", "uid"];

/// Kinds that are planned and not there yet, so that their names are not taken for typing errors.
pub const KINDS_LATER: &[&str] =
    &["Agent", "Capability", "Channel", "CronJob", "Job", "Mailbox", "QuietHours", "Settings", "Trigger", "Workflow"];

/// What the rest of the program must know about a kind.
pub struct KindDef {
    /// As it is written in manifests: `Service`.
    pub kind: &'static str,
    /// As it is written in object names: `service`.
    pub lower: &'static str,
    /// More than one: `services`.
    pub plural: &'static str,
    /// Shorter spellings for the command line: `svc`.
    pub short: &'static [&'static str],
    /// One sentence: what it is.
    pub summary: &'static str,
    /// Reads a spec whose paths are absolute.
    pub parse: fn(&Value) -> Result<Parsed, Vec<FieldError>>,
    /// The schema of a spec, as people write it.
    pub schema: fn() -> schemars::Schema,
    /// What a change of a top-level field does.
    pub effect: fn(&str) -> Effect,
    /// Fields that hold a path relative to the manifest's folder; the folder itself where they are missing.
    pub paths: &'static [&'static str],
    /// Fields that may hold paths of files, relative to the manifest's folder, as steps with `*` for any key: text, or a
    /// list of text.
    pub files: &'static [&'static str],
    /// Maps whose scalars are text, whatever they look like: `1.10` stays `1.10`.
    pub texts: &'static [&'static str],
    /// Fields that are planned and not there yet.
    pub later: &'static [&'static str],
}

impl fmt::Debug for KindDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// What a change of a field does to what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is for people and selectors.
    None,
    /// It applies to what runs, without a restart.
    Live,
    /// Processes are started anew, one at a time.
    Restart,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::None => "none",
            Effect::Live => "live",
            Effect::Restart => "restart",
        })
    }
}

/// A spec that was read.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What the engine asks for wants.
    pub kind: Arc<dyn Kind>,
    /// The canonical spec: units in their shortest form and defaults left out, so that two specs that mean the same
    /// are equal. This is what is stored, compared and printed; reading it gives itself.
    pub spec: Value,
    /// Other objects it names, each with its place.
    pub references: Vec<Reference>,
}

/// Another object that a spec names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The way to where it is named, as in [`FieldError::path`].
    pub path: Vec<String>,
    /// Which.
    pub object: crate::engine::ObjectRef,
}

/// One thing that is wrong with one field of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The way to the field: names of fields and numbers of list items, from 0. Empty: the spec as a whole.
    pub path: Vec<String>,
    /// Which side of the last colon is wrong.
    pub part: Part,
    /// What is wrong, as the end of a sentence that starts with the field: "is empty".
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// The two sides of `name: value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Left of the colon.
    Name,
    /// Right of it.
    Value,
}

impl FieldError {
    /// An error of the value at `path`.
    pub fn new(path: &[&str], what: impl Into<String>, help: impl Into<String>) -> FieldError {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        FieldError { path, part: Part::Value, what: what.into(), help: help.into() }
    }

    /// An error of the name at the end of `path`.
    pub fn of_name(path: &[&str], what: impl Into<String>, help: impl Into<String>) -> FieldError {
        FieldError { part: Part::Name, ..FieldError::new(path, what, help) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the spec {}; {}", self.what, self.help);
        }
        write!(f, "`{}` {}; {}", self.path.join("."), self.what, self.help)
    }
}

impl std::error::Error for FieldError {}

/// The kind that manifests write like this, exactly.
#[must_use]
pub fn find(kind: &str) -> Option<&'static KindDef> {
    KINDS.iter().find(|def| def.kind == kind)
}

/// The kind a person means: in any case, in the plural, or by a short spelling.
#[must_use]
pub fn find_spoken(word: &str) -> Option<&'static KindDef> {
    let is_meant = |spelling: &&'static str| spelling.eq_ignore_ascii_case(word);
    KINDS.iter().find(|def| [def.lower, def.plural].iter().chain(def.short).any(&is_meant))
}

/// What a change of this field of a manifest does: labels and annotations do nothing, the rest is the kind's to say.
#[must_use]
pub fn effect(def: &KindDef, field: &str) -> Effect {
    match field {
        "labels" | "annotations" => Effect::None,
        of_the_spec => (def.effect)(of_the_spec),
    }
}
