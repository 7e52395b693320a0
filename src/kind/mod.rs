//! The kinds: what may stand after `kind:`, and everything that follows from it.
//!
//! In: a spec as JSON. Out: its canonical form and the value the engine asks for wants; a schema; the effect of a
//! change of each field. Not here: YAML, files, places in them (`load`).
//! The surprise: parser, schemas, `explain` and completions are all derived from [`KINDS`], so a new kind is one file
//! and one line here, and a new field is one line in the struct of its kind.

pub mod address;
pub mod capability;
pub mod clock;
pub mod command;
pub mod cronjob;
pub mod header;
pub mod job;
pub mod mailbox;
pub mod matches;
pub mod needs;
pub mod params;
pub mod process;
pub mod quiethours;
pub mod react;
pub mod runs;
pub mod schema;
pub mod service;
pub mod settings;
pub mod source;
pub mod trigger;
pub mod units;
pub mod when;
pub mod work;
pub mod workflow;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use runs::{Runs, RunsPart};

use crate::engine::expand::Kind;
use crate::engine::name::ObjectRef;
use crate::engine::run::Target;

/// Every kind there is, sorted by name.
pub const KINDS: &[KindDef] = &[
    capability::DEF,
    cronjob::DEF,
    job::DEF,
    mailbox::DEF,
    quiethours::DEF,
    service::DEF,
    settings::DEF,
    trigger::DEF,
    workflow::DEF,
];

/// The value of `apiVersion`.
pub const API_VERSION: &str = "setpoint/v1";

/// What `get` prints under `metadata` and `apply` ignores, so that what was printed can be applied again.
pub const METADATA_IGNORED: &[&str] = &["generation", "layer", "set", "source", "uid"];

/// Kinds that are planned and not there yet, so that their names are not taken for typing errors.
pub const KINDS_LATER: &[&str] = &["Agent", "Channel"];

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

/// What a change of a field does to what runs; each covers those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing: it is for people and selectors.
    None,
    /// It applies to what runs, without a restart.
    Live,
    /// Due times are counted anew, from now on.
    Reschedule,
    /// Processes are started anew, one at a time.
    Restart,
    /// It is done once more.
    Run,
    /// A person has to agree to it again.
    Consent,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::None => "none",
            Effect::Live => "live",
            Effect::Reschedule => "reschedule",
            Effect::Restart => "restart",
            Effect::Run => "run",
            Effect::Consent => "consent",
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

/// Something outside of it that a spec names.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The way to where it is named, as in [`FieldError::path`].
    pub path: Vec<String>,
    /// What.
    pub names: Names,
}

/// What a spec names, and what for.
#[derive(Clone, Debug, PartialEq)]
pub enum Names {
    /// What it needs before it starts.
    Need(ObjectRef),
    /// Hours in which it does not start.
    Quiet(ObjectRef),
    /// What it uses, and with which parameters.
    Use {
        /// What.
        target: Target,
        /// The parameters.
        with: Value,
    },
    /// A time zone.
    Zone(Arc<str>),
    /// Nothing: there is one object of its kind at most.
    Alone,
}

/// The zone that a field names, if it does.
fn zone_reference(path: &[&str], zone: Option<&String>) -> Option<Reference> {
    let path = path.iter().map(|step| (*step).to_owned()).collect();
    Some(Reference { path, names: Names::Zone(Arc::from(zone?.as_str())) })
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
    /// Where in the text of the value it is, in characters from 1, where that is known.
    pub column: Option<usize>,
    /// The word that is not known, and those that are: one of them may have been meant.
    pub among: Option<(String, Vec<String>)>,
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
        FieldError { path, part: Part::Value, what: what.into(), help: help.into(), column: None, among: None }
    }

    /// The same, of a word that is not among those that are known.
    #[must_use]
    pub fn among<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> FieldError {
        let known = known.into_iter().map(str::to_owned).collect();
        FieldError { among: Some((word.to_owned(), known)), ..self }
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

/// Text from outside in backquotes: cut to 60 characters, control characters escaped, so that an error stays one line.
#[must_use]
pub fn shown(text: &str) -> String {
    format!("`{}`", plain(text))
}

/// The same without quotes.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == 60 {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
