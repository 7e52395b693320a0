//! `setpoint events`: what happened, oldest first.
//!
//! In: objects, a pattern of types, a moment. Out: lines, JSON, or CloudEvents. Not here: what is an event
//! (`controller::journal`).
//! The surprise: it reads the store by the numbers of events, so `-w` misses none and needs no controller.

use std::time::Duration;

use serde_json::{Value, json};

use super::runs::since;
use super::{Failure, Format, Global, Outcome, exit, facts};
use crate::controller::journal::PREFIX;
use crate::controller::report::rfc3339;
use crate::home::Home;
use crate::store::{Books as _, EventFilter, EventRow, ROWS_MAX, Reader};

/// How often `-w` looks.
const WATCH: Duration = Duration::from_millis(250);

/// Print what happened
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only about these: KIND/NAME, KIND NAME or a unique NAME
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// The same; may be repeated
    #[arg(long = "for", value_name = "OBJECT")]
    about: Vec<String>,
    /// Go on as more happens
    #[arg(short, long)]
    watch: bool,
    /// Only of this type, like service.gave-up, or service for all of its kind; `*` stands for anything
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<String>,
    /// Only since: a span like 2h, or an RFC 3339 moment
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only the last N
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
}

/// Runs the verb.
///
/// # Errors
/// When the home or its store cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let from = args.since.as_deref().map(since).transpose()?;
    let home = Home::open_existing(global.home.as_deref()).map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let Some(home) = home else { return Ok(exit::OK) };
    let subjects = args.subjects(global)?;
    let status = facts::status_now(&home);
    if let Some(why) = status.as_ref().and_then(|status| status.get("store_trouble")?.as_str()) {
        let text = format!("warning: store.trouble  no run begins, and services go on: {why}; events are not kept");
        super::complain(&text);
    }
    let mut shown: Option<i64> = None;
    loop {
        // One object is asked for by the database; several are picked from all.
        let subject = subjects.first().filter(|_| subjects.len() == 1).cloned();
        let kind = args.kind.as_deref().map(pattern);
        let limit = args.tail.filter(|_| shown.is_none() && subjects.len() < 2).unwrap_or(ROWS_MAX);
        let filter = EventFilter { subject, kind, from, since: shown, limit: Some(limit) };
        let failed = |trouble: crate::store::Trouble| Failure::new(exit::FAILED, trouble.to_string());
        let mut events = Reader::open(&home.store_db()).and_then(|reader| reader.events(&filter)).map_err(failed)?;
        if let Some((last, _)) = events.last() {
            shown = Some(*last);
        } else {
            shown.get_or_insert(0);
        }
        events.retain(|(_, event)| subjects.len() < 2 || subjects.iter().any(|subject| is_about(event, subject)));
        let skip = args.tail.filter(|_| subjects.len() > 1).map_or(0, |tail| events.len().saturating_sub(tail));
        for (number, event) in events.iter().skip(skip) {
            super::print(&text(global, &home, *number, event))?;
        }
        if !args.watch {
            return Ok(exit::OK);
        }
        std::thread::sleep(WATCH);
    }
}

impl Args {
    fn subjects(&self, global: &Global) -> Result<Vec<String>, Failure> {
        let mut named = Vec::new();
        if !self.objects.is_empty() {
            named.extend(facts::read(global)?.1.named(&self.objects)?);
        }
        for word in &self.about {
            named.extend(facts::read(global)?.1.named(std::slice::from_ref(word))?);
        }
        Ok(named.iter().map(ToString::to_string).collect())
    }
}

/// True when an event is about this, or about something below it.
#[must_use]
pub fn is_about(event: &EventRow, subject: &str) -> bool {
    event.subject.strip_prefix(subject).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A pattern as people type it: `service.gave-up` for `setpoint.service.gave-up`.
#[must_use]
pub fn pattern(typed: &str) -> String {
    let is_whole = typed.starts_with(PREFIX) || typed.starts_with('*') || format!("{typed}.") == PREFIX;
    if is_whole { typed.to_owned() } else { format!("{PREFIX}{typed}") }
}

fn text(global: &Global, home: &Home, number: i64, event: &EventRow) -> String {
    match global.output {
        Format::Json | Format::Yaml if global.is_cloudevents => format!("{}\n", cloudevent(home, number, event)),
        Format::Json | Format::Yaml => format!("{}\n", to_json(number, event)),
        Format::Name => format!("{}\n", event.subject),
        Format::Table | Format::Wide => line(event),
    }
}

/// An event for people.
#[must_use]
pub fn line(event: &EventRow) -> String {
    let kind = event.kind.strip_prefix(PREFIX).unwrap_or(&event.kind);
    format!("{}  {kind:<20} {}  {}\n", rfc3339(event.time), event.subject, super::plain(&event.text))
}

/// An event for programs.
#[must_use]
pub fn to_json(number: i64, event: &EventRow) -> Value {
    json!({
        "id": number, "time": rfc3339(event.time), "type": &*event.kind, "subject": &*event.subject,
        "text": &*event.text, "data": data(event),
    })
}

/// The same as CloudEvents 1.0 has it.
#[must_use]
pub fn cloudevent(home: &Home, number: i64, event: &EventRow) -> Value {
    let mut all = match data(event) {
        Value::Object(fields) => fields,
        Value::Null => serde_json::Map::new(),
        other => serde_json::Map::from_iter([("value".to_owned(), other)]),
    };
    all.insert("text".to_owned(), (*event.text).into());
    json!({
        "specversion": "1.0", "id": number.to_string(), "source": format!("setpoint://{}", home.id()),
        "type": &*event.kind, "subject": &*event.subject, "time": rfc3339(event.time),
        "datacontenttype": "application/json", "data": all,
    })
}

fn data(event: &EventRow) -> Value {
    event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn types_are_typed_without_what_all_begin_with() {
        for (typed, meant) in [
            ("service.gave-up", "setpoint.service.gave-up"),
            ("setpoint.service", "setpoint.service"),
            ("*.failed", "*.failed"),
            ("cronjob.*", "setpoint.cronjob.*"),
            ("setpoint", "setpoint"),
        ] {
            assert_eq!(pattern(typed), meant);
        }
    }
}
