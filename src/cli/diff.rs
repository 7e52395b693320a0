//! `setpoint diff`: what apply would do.
//!
//! In: files and folders. Out: per object what would happen, which fields and why; a plan id; exit 1 when anything
//! would.
//! Not here: comparing (`desired`). The surprise: it needs nothing: no controller, no lock, not even a home.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::apply::{Manifests, changes_text, compare, read, tell};
use super::facts::{self, Facts};
use super::{Failure, Format, Global, Outcome, exit};
use crate::controller::pressure;
use crate::desired::change::{Action, Change};
use crate::desired::{Batch, Changes, Stored, registry, render};
use crate::engine::expand::ForEach;
use crate::engine::run::Part;
use crate::engine::{InstanceId, ObjectRef, Sight};

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
    let turnovers = turnovers(global, &base, &batch, &changes)?;
    let extra = if turnovers.is_empty() { json!({}) } else { json!({ "instances": turnovers }) };
    let mut text = changes_text(global, &changes, extra);
    if matches!(global.output, Format::Table | Format::Wide) {
        turnovers.iter().for_each(|(object, turnover)| text.push_str(&format!("  {object}: {turnover}\n")));
    }
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
    if let Some(why) = held_back(&base, &batch) {
        tell(global, &format!("note: no run begins now: {why}; what is due waits until that is over"));
    }
    if let Some(why) = &changes.needs_yes {
        tell(global, &format!("note: {why}; apply will ask for --yes"));
    }
    Ok(if changes.is_any() { exit::FAILED } else { exit::OK })
}

/// Which limits on pressure are passed now, by the Settings that would then hold.
fn held_back(base: &Stored, batch: &Batch) -> Option<String> {
    let proposed = batch.proposals.iter().find(|proposal| proposal.id.kind() == "settings").map(|found| &found.spec);
    let stored = || base.objects.iter().find(|(id, _)| id.kind() == "settings").map(|(_, stored)| &stored.spec);
    let kind = registry::parse("settings", proposed.or_else(stored)?).ok()?;
    let Part::Settings(settings) = kind.part() else { return None };
    pressure::said(&settings.gates)
}

/// Which instances come and go with their items.
#[derive(Debug, Default, Serialize)]
struct Turnover {
    start: Vec<String>,
    stop: Vec<String>,
    /// Why it is not known which.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

/// How many instances are named.
const NAMED_MAX: usize = 10;

impl fmt::Display for Turnover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.unknown {
            return write!(f, "which instances would start and stop is not known: {why}");
        }
        let named = |names: &[String]| match names {
            [] => "none".to_owned(),
            [..] if names.len() <= NAMED_MAX => names.join(", "),
            [..] => {
                let first: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
                format!("{} and {} more", first.join(", "), names.len() - NAMED_MAX)
            }
        };
        write!(f, "would start: {}; would stop: {}", named(&self.start), named(&self.stop))
    }
}

/// What changes for objects that are made for items, before or after.
fn turnovers(
    global: &Global,
    base: &Stored,
    batch: &Batch,
    changes: &Changes,
) -> Result<BTreeMap<String, Turnover>, Failure> {
    let has_items = |spec: &Value| spec.get("forEach").is_some();
    let is_touched = |change: &&Change| matches!(change.action, Action::Add | Action::Change);
    let touched = changes.changes.iter().filter(is_touched).filter_map(|change| {
        let after = &batch.proposals.iter().find(|proposal| proposal.id == change.object)?.spec;
        let is_made = base.objects.get(&change.object).is_some_and(|object| has_items(&object.spec));
        (is_made || has_items(after)).then_some((&change.object, after))
    });
    let mut turnovers = BTreeMap::new();
    let mut touched = touched.peekable();
    if touched.peek().is_none() {
        return Ok(turnovers);
    }
    let (_, facts) = facts::read(global)?;
    for (object, after) in touched {
        turnovers.insert(object.to_string(), turnover(base, &facts, object, after));
    }
    Ok(turnovers)
}

fn turnover(base: &Stored, facts: &Facts, object: &ObjectRef, after: &Value) -> Turnover {
    let unknown = |why: String| Turnover { unknown: Some(why), ..Turnover::default() };
    let kind = match registry::parse(object.kind(), after) {
        Ok(kind) => kind,
        Err(why) => return unknown(why),
    };
    let before = base.objects.get(object).and_then(|stored| registry::parse(object.kind(), &stored.spec).ok());
    let is_same = before.is_some_and(|before| before.for_each() == kind.for_each());
    let listed = match kind.for_each() {
        // The same rule: a controller has its items already.
        Some(_) if is_same => facts.observed.items.get(object).cloned(),
        Some(ForEach::Command { .. }) => {
            return unknown("its items come from a command, which the controller runs once it is applied".to_owned());
        }
        Some(rule) => Some(facts::look_for_items(rule)),
        None => None,
    };
    let items = match &listed {
        Some(Sight::Seen(items)) => Some(items),
        Some(Sight::Unreadable { why }) => return unknown(why.to_string()),
        Some(Sight::Absent) | None if kind.for_each().is_some() => {
            return unknown("its items have not been listed yet".to_owned());
        }
        Some(Sight::Absent) | None => None,
    };
    let mut wants = Vec::new();
    kind.expand(items, &mut wants);
    let wanted: BTreeSet<String> = wants.iter().map(|want| want.cause.to_string()).collect();
    let is_up = |id: &InstanceId| facts.is_there(id) || facts.adopted(id).is_some();
    let up = facts.decisions(object).filter(|decision| is_up(&decision.id));
    let up: BTreeSet<String> = up.map(|decision| decision.id.cause.to_string()).collect();
    let without = |all: &BTreeSet<String>, others: &BTreeSet<String>| all.difference(others).cloned().collect();
    Turnover { start: without(&wanted, &up), stop: without(&up, &wanted), unknown: None }
}
