//! `setpoint diff`: what apply would do.
//!
//! In: files and folders. Out: per object what would happen, which fields and why; a plan id; exit 1 when anything
//! would.
//! Not here: comparing (`desired`). The surprise: it needs nothing: no controller, no lock, not even a home.

use serde_json::json;

use super::apply::{Manifests, changes_text, compare, read, tell};
use super::{Format, Global, Outcome, exit};
use crate::desired::render;

/// Show what apply would do
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifests: Manifests,
}

/// Compares, and says what differs.
///
/// # Errors
/// When an object may not be changed, or the home cannot be read.
pub fn run(global: &Global, args: Args) -> Outcome {
    let Some(batch) = args.manifests.load(global)? else {
        return Ok(exit::USAGE);
    };
    let base = read(global)?.base;
    let Some(changes) = compare(global, &base, &batch, &args.manifests.options())? else { return Ok(exit::USAGE) };
    let mut text = changes_text(global, &changes, json!({}));
    match (global.output, changes.is_any()) {
        (Format::Table | Format::Wide, true) => {
            let flags = args.manifests.as_flags();
            let (summary, plan) = (render::summary(&changes), &changes.plan);
            text.push_str(&format!("Plan {summary}.   Apply it: setpoint apply {flags} --expect {plan}\n"));
        }
        (Format::Table | Format::Wide, false) => text.push_str("Nothing to change.\n"),
        (Format::Json | Format::Yaml | Format::Name, _) => {}
    }
    super::print(&text)?;
    if let Some(why) = &changes.needs_yes {
        tell(global, &format!("note: {why}; apply will ask for --yes"));
    }
    Ok(if changes.is_any() { exit::FAILED } else { exit::OK })
}
