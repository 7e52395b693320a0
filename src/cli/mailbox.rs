//! Mailboxes for people: what waits, what is at work, what is dead.
//!
//! In: the facts, and the rows of the store. Out: a table, lines of a description, what to do next. Not here: single
//! messages ([`super::inbox`]). The surprise: dead letters are counted up to a bound, since beyond a thousand the number
//! says nothing new.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::facts::{Facts, age};
use super::get::trimmed;
use crate::engine::desired::Spec;
use crate::engine::queue::Mailbox;
use crate::engine::run::Part;
use crate::engine::{ObjectRef, State};
use crate::store::{MessageFilter, MessageRow, MessageState};

/// The most dead letters that are counted.
const DEAD_MAX: usize = 1000;
/// The most dead letters that are named.
const SHOWN: usize = 5;

/// The table of mailboxes; nothing for other objects, or a mixture.
#[must_use]
pub fn table(facts: &Facts, objects: &[ObjectRef]) -> Option<String> {
    objects.first()?;
    objects.iter().map(|object| mailbox(facts, object)).collect::<Option<Vec<_>>>()?;
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["NAME", "STATE", "WAITING", "AT WORK", "DEAD", "WHY"]);
    for object in objects {
        let (state, decision) = facts.state(object);
        let (waiting, at_work) = counts(facts, object);
        let is_calm = matches!(state, State::Ready | State::Running);
        let why = decision.filter(|_| !is_calm).map_or_else(String::new, |decision| decision.because.to_string());
        let dead = dead_words(dead(facts, object, DEAD_MAX).len());
        table.add_row([
            object.name().to_owned(),
            state.to_string(),
            waiting.to_string(),
            at_work.to_string(),
            dead,
            why,
        ]);
    }
    Some(trimmed(&table))
}

fn mailbox<'a>(facts: &'a Facts, object: &ObjectRef) -> Option<&'a Mailbox> {
    let Spec::Known(kind) = &facts.desired.objects.get(object)?.spec else { return None };
    match kind.part() {
        Part::Mailbox(mailbox) => Some(mailbox),
        Part::None
        | Part::Capability(_)
        | Part::Workflow(_)
        | Part::Quiet(_)
        | Part::Settings(_)
        | Part::Trigger(_) => None,
    }
}

/// Messages that wait, and those that are at work.
fn counts(facts: &Facts, object: &ObjectRef) -> (u64, usize) {
    let book = facts.observed.ledger.books.get(object);
    let at_work = book.map_or(0, |book| book.runs.len());
    let depth = book.and_then(|book| book.queue).map_or(0, |queue| queue.depth);
    (depth.saturating_sub(at_work as u64), at_work)
}

fn dead(facts: &Facts, object: &ObjectRef, limit: usize) -> Vec<MessageRow> {
    let filter = MessageFilter {
        object: Some(object.clone()),
        states: vec![MessageState::Dead],
        limit: Some(limit),
        without_payload: true,
        ..MessageFilter::default()
    };
    facts.past.messages(&filter)
}

fn dead_words(count: usize) -> String {
    if count >= DEAD_MAX { format!("{DEAD_MAX}+") } else { count.to_string() }
}

/// What its queue holds, and the last dead letters.
pub fn describe(text: &mut String, facts: &Facts, object: &ObjectRef) {
    let Some(mailbox) = mailbox(facts, object) else { return };
    let (waiting, at_work) = counts(facts, object);
    let all = dead(facts, object, DEAD_MAX);
    // Writing into a String cannot fail.
    _ = writeln!(
        text,
        "Messages:    {waiting} wait, {at_work} at work (atOnce {}), {} dead",
        mailbox.queue.at_once,
        dead_words(all.len())
    );
    if !all.is_empty() {
        text.push_str("Dead letters:\n");
    }
    for row in all.iter().take(SHOWN) {
        let why = super::plain(row.reason.as_deref().unwrap_or_default());
        _ = writeln!(text, "  {object}/{}  {} ago  {why}", row.id, row.ended.map_or_else(String::new, age));
    }
}

/// What a person would most likely want to do next about something with a queue; nothing for other objects.
#[must_use]
pub fn advice(facts: &Facts, object: &ObjectRef, state: State) -> Option<String> {
    let name = match object.kind() {
        "mailbox" => object.name(),
        "trigger" => object.as_str(),
        _ => return None,
    };
    let is_plain = matches!(state, State::Ready | State::Running | State::Done | State::Starting | State::Failed);
    is_plain.then(|| match (has_dead(facts, object), object.kind()) {
        (true, _) => {
            format!("setpoint dead list {name}   |   setpoint dead retry {name} --all   |   setpoint inbox {name}")
        }
        (false, "mailbox") => {
            format!("setpoint send {name} TEXT   |   setpoint inbox {name}   |   setpoint pause {object}")
        }
        (false, _) => format!("setpoint inbox {name}   |   setpoint runs {name}   |   setpoint pause {object}"),
    })
}

fn has_dead(facts: &Facts, object: &ObjectRef) -> bool {
    !dead(facts, object, 1).is_empty()
}
