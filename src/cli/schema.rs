//! `setpoint schema`: the JSON Schema of one kind, or of every manifest.
//!
//! In: maybe a kind. Out: a draft-07 document on stdout. Not here: making it (`kind`).
//! The surprise: what this prints is what the loader validates against, so an editor that reads it knows as much.

use super::{Failure, Global, Outcome, exit};
use crate::kind::{self, KINDS, schema};
use crate::load::similar;

/// Print the JSON Schema of manifests, for editors
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this kind
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
}

/// Prints a schema.
///
/// # Errors
/// When there is no such kind.
pub fn run(_global: &Global, args: Args) -> Outcome {
    let document = match &args.kind {
        None => schema::of_all(),
        Some(word) => schema::of_kind(kind::find_spoken(word).ok_or_else(|| unknown_kind(word))?),
    };
    super::print(&format!("{document:#}\n"))?;
    Ok(exit::OK)
}

/// The failure for a kind that does not exist.
#[must_use]
pub fn unknown_kind(word: &str) -> Failure {
    let kinds = KINDS.iter().map(|def| def.lower).collect::<Vec<_>>();
    let meant = similar(word, kinds.iter().copied()).map(|kind| format!(" Did you mean `{kind}`?")).unwrap_or_default();
    let word = word.escape_debug();
    Failure::new(exit::NOT_FOUND, format!("there is no kind `{word}`.{meant}\n  help: there are: {}", kinds.join(", ")))
}
