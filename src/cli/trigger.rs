//! What people read of a Trigger: what it listens to, what it found, what it was set off by.
//!
//! In: the facts, and what a controller says of the files it watches. Out: a table, lines of a description.
//! Not here: its runs, which are told as those of any other kind.
//! The surprise: how many files are watched is known to the controller alone, so without one that line says so.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::facts::Facts;
use super::get::trimmed;
use super::timetable::{last_words, state_words};
use crate::engine::ObjectRef;
use crate::engine::desired::Spec;
use crate::engine::queue::Trigger;
use crate::engine::run::Part;
use crate::engine::time::Span;
use crate::home::Home;
use crate::rpc::client;

/// So many firings are counted; then there may be more.
const COUNTED_MAX: usize = 1000;
/// The longest list of patterns that stands in a table.
const LISTENS_MAX: usize = 60;

/// The table of Triggers; nothing when there is anything else.
#[must_use]
pub fn table(facts: &Facts, objects: &[ObjectRef]) -> Option<String> {
    objects.first()?;
    let all: Vec<&Trigger> = objects.iter().map(|object| trigger(facts, object)).collect::<Option<_>>()?;
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["NAME", "WATCHES/EVENT", "LAST", "FIRED", "STATE"]);
    for (object, trigger) in objects.iter().zip(all) {
        let fired = facts.past.newest(object, COUNTED_MAX).len();
        let fired = if fired == COUNTED_MAX { format!("{fired}+") } else { fired.to_string() };
        let (state, _) = facts.state(object);
        let state = match trigger.queue.is_enabled {
            true => state_words(facts, object, state),
            false => "Disabled".to_owned(),
        };
        let last = last_words(facts.past.last(object));
        table.add_row([object.name().to_owned(), listens(facts, object), last, fired, state]);
    }
    Some(trimmed(&table))
}

fn trigger<'a>(facts: &'a Facts, object: &ObjectRef) -> Option<&'a Trigger> {
    let Spec::Known(kind) = &facts.desired.objects.get(object)?.spec else { return None };
    match kind.part() {
        Part::Trigger(trigger) => Some(trigger),
        Part::None
        | Part::Capability(_)
        | Part::Workflow(_)
        | Part::Quiet(_)
        | Part::Settings(_)
        | Part::Mailbox(_) => None,
    }
}

/// Its patterns as they are written; below the manifest's folder, from there on.
fn patterns(facts: &Facts, object: &ObjectRef) -> Vec<String> {
    let Some(stored) = facts.stored.objects.get(object) else { return Vec::new() };
    let written = stored.spec.get("watch").or_else(|| stored.spec.get("event"));
    let texts: Vec<&str> = match written {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    texts.into_iter().map(str::to_owned).collect()
}

fn listens(facts: &Facts, object: &ObjectRef) -> String {
    let text = patterns(facts, object).join(", ");
    if text.chars().count() <= LISTENS_MAX {
        return text;
    }
    // The end of a path says more than its beginning.
    let skip = text.chars().count() - LISTENS_MAX + 1;
    std::iter::once('…').chain(text.chars().skip(skip)).collect()
}

/// What it listens to and what it found.
pub fn describe(text: &mut String, home: &Home, facts: &Facts, object: &ObjectRef) {
    let Some(trigger) = trigger(facts, object) else { return };
    let all = patterns(facts, object).join(", ");
    let limit = format!("{} in {}", trigger.limit.times, Span(trigger.limit.within));
    // Writing into a String cannot fail.
    match &trigger.watch {
        Some(rule) => {
            _ = writeln!(text, "Watches:     {all}, told after {} of quiet", Span(rule.settle));
            watched(text, asked(home).as_ref().and_then(|all| all.get(object.as_str())), trigger);
        }
        None => _ = writeln!(text, "Event:       {all}"),
    }
    _ = writeln!(text, "Limit:       {limit}; what comes beyond that is not taken, and an event says so");
}

fn watched(text: &mut String, said: Option<&Value>, trigger: &Trigger) {
    let Some(said) = said else {
        let why = if trigger.queue.is_enabled { "no controller says that it watches" } else { "enabled: false" };
        _ = writeln!(text, "Files:       nothing is watched now: {why}");
        return;
    };
    let count = |name: &str| said.get(name).and_then(Value::as_u64).unwrap_or(0);
    _ = write!(text, "Files:       {} in {} folders", count("files"), count("folders") + count("polled"));
    if count("polled") > 0 {
        _ = write!(text, ", {} of them looked at every 30s", count("polled"));
    }
    if count("kept") > 0 {
        _ = write!(text, "; {} changes wait for the end of a run", count("kept"));
    }
    text.push('\n');
    let list = |name: &str| said.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for (number, change) in list("last").iter().enumerate() {
        let word = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let label = if number == 0 { "Changes:" } else { "" };
        _ = writeln!(text, "{label:<12} {:<6} {}", word("change"), word("path"));
    }
    for (number, path) in list("products").iter().filter_map(Value::as_str).enumerate() {
        let label = if number == 0 { "Own work:" } else { "" };
        _ = writeln!(text, "{label:<12} {path}   (written by its runs; such changes do not set it off)");
    }
    for trouble in list("trouble").iter().filter_map(Value::as_str) {
        _ = writeln!(text, "Trouble:     {}", trouble.replace('\n', "\n             "));
    }
}

/// What a running controller knows of what is watched; nothing when none answers at once.
fn asked(home: &Home) -> Option<Value> {
    let soon = Some(Duration::from_secs(1));
    client::ask(&home.socket().ok()?, "controller.triggers", &json!({}), soon).ok()?
}
