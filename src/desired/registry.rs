//! What this folder needs to know about kinds, in one place.
//!
//! In: the name of a kind, a stored spec. Out: the parsed object, its policy, the effect of a changed field.
//! Not here: the kinds. The surprise: a kind this binary does not know is no error; its objects are left alone.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::expand::Kind;
use crate::engine::plan::Policy;
use crate::engine::run::Arises;
use crate::kind::{self, Effect, KindDef};

/// A parsed spec.
///
/// # Errors
/// Why it cannot be read: the kind is unknown here, or the spec was written by another version.
pub fn parse(kind: &str, spec: &Value) -> Result<Arc<dyn Kind>, String> {
    let Some(def) = by_lower(kind) else {
        return Err(format!("this binary does not know the kind `{kind}`"));
    };
    match (def.parse)(spec) {
        Ok(parsed) => Ok(parsed.kind),
        Err(errors) => Err(errors.first().map_or_else(|| String::from("it does not parse"), ToString::to_string)),
    }
}

/// How instances of such an object are stopped and logged; none for a kind this binary does not know.
#[must_use]
pub fn policy(kind: &str, spec: &Value) -> Option<Policy> {
    by_lower(kind)?;
    Some(parse(kind, spec).map_or(Policy::DEFAULT, |parsed| parsed.policy()))
}

/// What such an object needs before it starts.
#[must_use]
pub fn needs(kind: &str, spec: &Value) -> Vec<String> {
    parse(kind, spec)
        .map_or_else(|_| Vec::new(), |parsed| parsed.needs().iter().map(|n| n.object.to_string()).collect())
}

/// What a Job does, as one text: another text is another run of it. None for what does not run once.
#[must_use]
pub fn work(kind: &str, spec: &Value) -> Option<String> {
    let kind = parse(kind, spec).ok()?;
    matches!(kind.runs()?.arises, Arises::Once { .. }).then(|| kind.revision_input())
}

/// What a change of this top-level field does to a running process; a restart, when the kind is unknown here.
#[must_use]
pub fn effect(kind: &str, field: &str) -> Effect {
    by_lower(kind).map_or(Effect::Restart, |def| (def.effect)(field))
}

/// The kind a person means: any case, singular, plural or short.
#[must_use]
pub fn named(word: &str) -> Option<&'static KindDef> {
    kind::find_spoken(word)
}

fn by_lower(kind: &str) -> Option<&'static KindDef> {
    kind::KINDS.iter().find(|def| def.lower == kind)
}
