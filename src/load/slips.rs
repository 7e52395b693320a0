//! Which errors only follow from others.
//!
//! In: what the schema refused, and what was probably meant. Out: whether an error about the rest says anything new.
//! Not here: the words. The surprise: what is refused is left out before the rest is read, so the rest complains that it
//! is not there; one mistake has to be one error.

use std::collections::BTreeSet;

use serde_json::Value;

use super::problem::Problem;

/// What the schema refused.
#[derive(Clone, Debug, Default)]
pub struct Slips {
    /// The ways to it.
    pub broken: BTreeSet<Vec<String>>,
    /// The ways to the fields that unknown names stand for, as far as that can be guessed.
    pub meant: BTreeSet<Vec<String>>,
    /// Top-level fields that were left out as a whole.
    pub gone: BTreeSet<String>,
}

/// One step further.
#[must_use]
pub fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

impl Slips {
    /// Takes note of what a name in the map at `path` was meant to be.
    pub fn mean(&mut self, path: &[String], problem: &Problem) {
        let ways =
            problem.meant.iter().map(|meant| path.iter().cloned().chain(meant.split('.').map(str::to_owned)).collect());
        self.meant.extend(ways);
    }

    /// True when an error at this way follows from what was refused: it is about something that is not there any more, or
    /// about the whole around it.
    #[must_use]
    pub fn explain(&self, path: &[String], schema: &Value) -> bool {
        let is_gone = path.first().is_some_and(|top| self.gone.contains(top));
        let known = schema.get("properties");
        let is_known = |broken: &&Vec<String>| {
            broken.first().is_some_and(|top| known.is_some_and(|known| known.get(top).is_some()))
        };
        let mut touched = self.broken.iter().filter(is_known).chain(&self.meant);
        is_gone || touched.any(|touched| touched.starts_with(path) || path.starts_with(touched))
    }
}
