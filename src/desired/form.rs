//! An object that has no file yet, checked as if it had one.
//!
//! In: an object as JSON, as a form or a call gives it. Out: its manifest, or what is wrong with it, field by field.
//! Not here: writing files, applying.
//! The surprise: it is read by the loader, as text, so that nothing passes here that a file would be refused for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::change::Proposal;
use super::generation::Stored;
use super::references;
use crate::load::{Form, LoadContext, Manifest, Problem, load_text};

/// Why an object is refused, for whoever filled in its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Never true.
    pub success: bool,
    /// The first thing that is wrong, with what to do.
    pub error: String,
    /// What is wrong by field, such as `retry.wait`; what is about no single field stands under the empty name.
    pub errors_by_field: BTreeMap<String, String>,
    /// What was probably meant, the likeliest first.
    pub suggestions: Vec<String>,
}

/// Reads one object as a manifest gives it (`kind`, `name` and fields), and holds what it names against the objects there
/// are. Relative paths start from the folder of `cx`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(base: &Stored, object: &Value, cx: &LoadContext) -> Result<Arc<Manifest>, Refused> {
    let text = object.to_string();
    let loaded = load_text(text.as_bytes(), Form::Json, cx).map_err(|problems| Refused::of(&problems.list))?;
    let proposals: Vec<Proposal> = loaded.manifests.iter().map(|one| Proposal::of_manifest(one, 0)).collect();
    let proposals: Vec<&Proposal> = proposals.iter().collect();
    let found = references::check(base, &proposals, &BTreeSet::new());
    if !found.is_empty() {
        return Err(Refused::of(&found.into_iter().map(|(_, problem)| problem).collect::<Vec<_>>()));
    }
    match loaded.manifests.as_slice() {
        [one] => Ok(Arc::clone(one)),
        _ => {
            let error = "one object is needed: `kind`, `name` and its fields".to_owned();
            Err(Refused { success: false, error, errors_by_field: BTreeMap::new(), suggestions: Vec::new() })
        }
    }
}

impl Refused {
    fn of(problems: &[Problem]) -> Refused {
        let mut refused = Refused {
            success: false,
            error: problems.first().map(said).unwrap_or_default(),
            errors_by_field: BTreeMap::new(),
            suggestions: Vec::new(),
        };
        for problem in problems {
            refused.errors_by_field.entry(problem.field.clone()).or_insert_with(|| said(problem));
            for meant in &problem.meant {
                if !refused.suggestions.contains(meant) {
                    refused.suggestions.push(meant.clone());
                }
            }
        }
        refused
    }
}

/// A problem without its place, which means nothing to who sees no text.
fn said(problem: &Problem) -> String {
    let parts = [&problem.message, &problem.label, &problem.help];
    parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ")
}
