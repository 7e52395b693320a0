//! Work that ends, as people read it: the tables of `get`, the sections of `describe`, the fields of JSON.
//!
//! In: facts. Out: text and values. Not here: reading anything, deciding what is due.
//! The surprise: a due time is shown where its schedule is read, so `describe` speaks in the zone of the object, and
//! tables, which hold objects of many zones, in that of the machine.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::facts::{Facts, age, age_of};
use super::get::trimmed;
use super::past;
use super::{Failure, exit, plain};
use crate::controller::report::{is_failure, rfc3339};
use crate::engine::plan::Decision;
use crate::engine::run::scope::output_of;
use crate::engine::run::{Arises, Missed, Next, OnQuiet, Outcome, Overlap, RunRule, Times, TimesRule, ticks};
use crate::engine::time::Span;
use crate::engine::{ObjectRef, State, Timestamp};
use crate::store::{EndRow, ExitRow, OriginRow, RESULT_MAX, RunRow, TickFilter, TickRow};

/// How many runs in a row are looked at for failures.
const STREAK_MAX: usize = 100;
/// How many runs `describe` tells.
const RUNS_SHOWN: usize = 5;
/// How many due times that did not run `describe` tells.
const TICKS_SHOWN: usize = 10;

/// The next due time of an object: as its schedule says, and when it starts; nothing where it is switched off or held.
#[must_use]
pub fn next(facts: &Facts, object: &ObjectRef) -> Option<Next> {
    let book = facts.observed.ledger.books.get(object)?;
    let Arises::Times(rule) = &facts.rule(object)?.arises else { return None };
    let Some(Ok(times)) = &book.times else { return None };
    if !rule.is_enabled || (rule.is_once && book.is_spent) {
        return None;
    }
    match &book.cursor {
        Some(cursor) => book.next.or_else(|| ticks::next(times, cursor)),
        // Nobody has begun to count: it would count from now.
        None => {
            let nominal = times.schedule.next(facts.now.wall, facts.now.wall, &times.zone)?;
            Some(Next { nominal, effective: nominal.after(times.offset) })
        }
    }
}

/// Adds to the status of an object what only work that ends has.
pub fn add_status(facts: &Facts, object: &ObjectRef, status: &mut Value) {
    let Some(rule) = facts.rule(object) else { return };
    let Some(fields) = status.as_object_mut() else { return };
    let last = facts.past.last(object);
    fields.insert("last".to_owned(), last.map_or(Value::Null, run_json));
    if let Arises::Times(times) = &rule.arises {
        let next = next(facts, object);
        let seconds = |at: Timestamp| crate::engine::time::utc(at);
        let schedule = json!({
            "next": next.map(|next| seconds(next.nominal)),
            "effective": next.map(|next| seconds(next.effective)),
            "jitter_seconds": times.jitter.as_secs(),
            "last": last.map(|row| rfc3339(row.started.unwrap_or(row.created))),
        });
        fields.insert("schedule".to_owned(), schedule);
    }
}

/// A run for programs.
#[must_use]
pub fn run_json(row: &RunRow) -> Value {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let end = row.end.as_ref();
    let given = end.and_then(|end| end.result.as_ref());
    json!({
        "object": row.object.as_str(),
        "run": row.cause.to_string(),
        "step_of": row.parent.as_ref().map(ToString::to_string),
        "origin": row.origin.word(),
        "by": match &row.origin {
            OriginRow::Person(by) => Some(by.to_string()),
            OriginRow::Tick(_) | OriginRow::Generation | OriginRow::Step | OriginRow::Message => None,
        },
        "outcome": end.map_or("open", |end| &end.outcome),
        "reason": end.and_then(|end| end.reason.as_deref()),
        "due": rfc3339(row.due),
        "created": rfc3339(row.created),
        "started": row.started.map(rfc3339),
        "ended": end.map(|end| rfc3339(end.ended)),
        "took_seconds": past::took(row).map(|span| span.as_secs_f64()),
        "attempts": row.attempts,
        "exit": end.and_then(|end| end.exit).map(|exit| exit_words(&exit)),
        "cancelled_by": row.cancel.as_deref(),
        "params": row.params.as_deref().map(parse),
        "result": given.map(|given| match given.size {
            Some(_) => Value::from(&*given.text),
            None => output_of(&given.text),
        }),
        "result_size": given.and_then(|given| given.size.as_deref()),
    })
}

/// How a process ended, in words.
#[must_use]
pub fn exit_words(exit: &ExitRow) -> String {
    match exit {
        ExitRow::Code(code) => format!("exit {code}"),
        ExitRow::Signal(signal) => format!("signal {signal}"),
    }
}

/// A span as it is remembered: `0.4s`, `42s`, `3m`.
#[must_use]
pub fn span_words(span: Duration) -> String {
    if span < Duration::from_secs(10) { format!("{:.1}s", span.as_secs_f64()) } else { age_of(span) }
}

/// A moment to come, or one that has passed, as briefly as it is clear: `in 8m`, `03:01:12 tomorrow`, `Mon 08:00:00`.
#[must_use]
pub fn upcoming(at: Timestamp, now: Timestamp) -> String {
    let ahead = now.until(at);
    if ahead < Duration::from_secs(1) {
        return "now".to_owned();
    }
    if ahead < Duration::from_secs(3600) {
        return format!("in {}", age_of(ahead));
    }
    let moment = |at: Timestamp| {
        let seconds = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(0);
        chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&chrono::Local)
    };
    let (at, now) = (moment(at), moment(now));
    match (at.date_naive() - now.date_naive()).num_days() {
        0 => at.format("%H:%M:%S").to_string(),
        1 => at.format("%H:%M:%S tomorrow").to_string(),
        2..=6 => at.format("%a %H:%M:%S").to_string(),
        _ => at.format("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

/// The last run in two words: `ok 7h ago`.
/// How the last run ended, and when.
#[must_use]
pub fn last_words(row: Option<&RunRow>) -> String {
    let end = row.and_then(|row| row.end.as_ref());
    end.map_or_else(|| "-".to_owned(), |end| format!("{} {} ago", end.outcome, age(end.ended)))
}

/// What is to be said of the last runs, when they failed.
#[must_use]
pub fn failing(facts: &Facts, object: &ObjectRef) -> Option<String> {
    let end = facts.past.last(object)?.end.as_ref()?;
    if !is_failure(Outcome::of_word(&end.outcome)) {
        return None;
    }
    let why = end.reason.as_deref().unwrap_or(&end.outcome);
    Some(match facts.past.failures(object, STREAK_MAX) {
        0 | 1 => format!("the last run {}: {}", past_tense(&end.outcome), plain(why)),
        many => format!("the last {many} runs failed, the last one: {}", plain(why)),
    })
}

fn past_tense(outcome: &str) -> String {
    match Outcome::of_word(outcome) {
        Outcome::Failed => "failed".to_owned(),
        Outcome::Timeout => "was out of time".to_owned(),
        Outcome::Killed => "was killed".to_owned(),
        Outcome::Lost => "was lost".to_owned(),
        Outcome::Ok | Outcome::Cancelled | Outcome::Denied | Outcome::Skipped | Outcome::Unknown => {
            format!("ended with {outcome}")
        }
    }
}

/// A note beside an object that runs to completion; nothing for any other.
#[must_use]
pub fn note(facts: &Facts, object: &ObjectRef, state: State) -> Option<String> {
    facts.rule(object)?;
    let failing = failing(facts, object);
    match (state, next(facts, object)) {
        (State::Scheduled, Some(next)) => {
            let next = format!("next {}", upcoming(next.effective, facts.now.wall));
            Some(failing.map_or_else(|| next.clone(), |failing| format!("{next}; {failing}")))
        }
        (State::Ready, _) => failing,
        (_, _) => None,
    }
}

/// The layer that an object stands in: `user` from the folder of the home, `system` from any other folder that a
/// controller follows; none for what was applied by hand.
#[must_use]
pub fn layer<'a>(facts: &'a Facts, object: &ObjectRef) -> Option<&'a str> {
    let stored = facts.stored.objects.get(object)?;
    let is_followed = crate::desired::change::is_live(&facts.stored, stored);
    stored.metadata.layer.as_deref().or(is_followed.then_some("system"))
}

/// The table of objects of one kind that has runs; nothing for other objects, or a mixture.
#[must_use]
pub fn table(facts: &Facts, objects: &[ObjectRef]) -> Option<String> {
    let kind = objects.first()?.kind();
    let is_alike = objects.iter().all(|object| object.kind() == kind && facts.rule(object).is_some());
    if !is_alike {
        return None;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING);
    let is_timed = objects.iter().any(|object| schedule(facts, object).is_some());
    table.set_header(match is_timed {
        true => vec!["NAME", "SCHEDULE", "LAST", "TOOK", "NEXT RUN", "JITTER", "LAYER", "STATE"],
        false => vec!["NAME", "LAST", "TOOK", "LAYER", "STATE"],
    });
    for object in objects {
        let last = facts.past.last(object);
        let took = last.and_then(past::took).map_or_else(|| "-".to_owned(), span_words);
        let mut cells = vec![object.name().to_owned()];
        let (state, _) = facts.state(object);
        let state = state_words(facts, object, state);
        if is_timed {
            let rule = schedule(facts, object);
            let next = next(facts, object).map(|next| upcoming(next.effective, facts.now.wall));
            cells.push(rule.map_or_else(|| "-".to_owned(), |rule| rule.schedule.to_string()));
            cells.extend([last_words(last), took, next.unwrap_or_else(|| "-".to_owned())]);
            cells.push(rule.map_or_else(|| "-".to_owned(), jitter));
        } else {
            cells.extend([last_words(last), took]);
        }
        cells.extend([layer(facts, object).unwrap_or("-").to_owned(), state]);
        table.add_row(cells);
    }
    Some(trimmed(&table))
}

/// The state, and why it is so where that is not plain.
#[must_use]
pub fn state_words(facts: &Facts, object: &ObjectRef, state: State) -> String {
    let is_calm = matches!(state, State::Scheduled | State::Ready | State::Done | State::Running);
    let words = match failing(facts, object) {
        Some(failing) => format!("{state}: {failing}; setpoint logs {object}"),
        None if is_calm => state.to_string(),
        None => format!("{state}: {}", facts.reason(object, facts.state(object).1)),
    };
    super::source::note(facts, object).map_or_else(|| words.clone(), |note| format!("{words}; {note}"))
}

fn schedule<'a>(facts: &'a Facts, object: &ObjectRef) -> Option<&'a TimesRule> {
    match &facts.rule(object)?.arises {
        Arises::Times(rule) => Some(rule),
        Arises::Once { .. } | Arises::Asked | Arises::Messages(_) => None,
    }
}

fn jitter(rule: &TimesRule) -> String {
    if rule.jitter.is_zero() { "-".to_owned() } else { format!("+{}s", rule.jitter.as_secs()) }
}

/// When an object is due, what happens when it cannot start, and what has become of its runs and due times.
pub fn describe(text: &mut String, facts: &Facts, object: &ObjectRef) {
    let Some(rule) = facts.rule(object) else { return };
    let times = past::times(&facts.observed.ledger, object);
    // Writing into a String cannot fail.
    if let Arises::Times(due) = &rule.arises {
        _ = writeln!(text, "Schedule:    {} ({})", due.schedule.words(), due.schedule);
        if let Some(times) = times {
            _ = writeln!(text, "Zone:        {}", times.zone.name());
        }
        when(text, facts, object, times, due);
    }
    rules(text, rule);
    if let Some(frozen) = &facts.desired.frozen {
        _ = writeln!(text, "Frozen:      by {}; nothing begins until   setpoint thaw", frozen.by);
    }
    let rows = facts.past.newest(object, RUNS_SHOWN);
    if !rows.is_empty() {
        text.push_str("\nRuns:\n");
        rows.iter().for_each(|row| _ = writeln!(text, "  {}", run_line(row)));
    }
    let filter = TickFilter {
        object: Some(object.clone()),
        states: ["Skipped", "Deferred", "Missed", "Held", "ClockStep"].map(str::to_owned).to_vec(),
        since: None,
        limit: Some(TICKS_SHOWN),
    };
    let missed = facts.past.ticks(&filter);
    if !missed.is_empty() {
        text.push_str("\nDue times that did not run as planned:\n");
        missed.iter().for_each(|tick| _ = writeln!(text, "  {}", tick_line(tick, times)));
    }
}

fn when(text: &mut String, facts: &Facts, object: &ObjectRef, times: Option<&Times>, due: &TimesRule) {
    let (Some(next), Some(times)) = (next(facts, object), times) else {
        text.push_str("Next:        none\n");
        return;
    };
    let zone = &times.zone;
    _ = write!(text, "Next:        {}", zone.rfc3339(next.nominal));
    if next.effective != next.nominal {
        let share = Span(times.offset);
        _ = write!(text, ", starts at {} (+{share} of up to {})", zone.rfc3339(next.effective), Span(due.jitter));
    }
    _ = writeln!(text, ", {}", upcoming(next.effective, facts.now.wall));
    if let Some((until, name)) = ticks::quiet_until(times, facts.now.wall) {
        _ = writeln!(text, "Quiet:       now, until {} ({name})", zone.rfc3339(until));
    }
}

/// What is done when it cannot start as planned, or fails.
fn rules(text: &mut String, rule: &RunRule) {
    let mut said: Vec<String> = Vec::new();
    if let Arises::Times(due) = &rule.arises {
        said.push(match rule.overlap {
            Overlap::Skip => "overlap skip".to_owned(),
            Overlap::Queue(limit) => format!("overlap queue ({limit} may wait)"),
            Overlap::Replace => "overlap replace".to_owned(),
            Overlap::Allow(limit) => format!("overlap allow ({limit} at once)"),
        });
        let missed = match due.missed {
            Missed::Once => "once",
            Missed::Skip => "skip",
            Missed::All => "all",
        };
        said.push(format!("missed {missed} within {}", Span(due.missed_within)));
        if !due.quiet.is_empty() {
            let names: Vec<&str> = due.quiet.iter().map(ObjectRef::name).collect();
            let then = match due.on_quiet {
                OnQuiet::Skip => "skipped",
                OnQuiet::Defer => "deferred",
            };
            said.push(format!("{then} in quiet hours ({})", names.join(", ")));
        }
        said.extend(due.is_once.then(|| "once".to_owned()));
        said.extend((!due.is_enabled).then(|| "switched off (enabled: false)".to_owned()));
    }
    said.extend(rule.timeout.map(|timeout| format!("timeout {}", Span(timeout))));
    if rule.retry.times > 0 {
        said.push(format!("{} retries, the first after {}", rule.retry.times, Span(rule.retry.wait)));
    }
    if !said.is_empty() {
        _ = writeln!(text, "Rules:       {}", said.join("; "));
    }
}

/// A run in one line.
#[must_use]
pub fn run_line(row: &RunRow) -> String {
    let began = super::local(row.started.unwrap_or(row.created));
    let took = past::took(row).map_or_else(|| "-".to_owned(), span_words);
    let outcome = row.end.as_ref().map_or("open", |end| &end.outcome);
    format!("{:<28} {outcome:<9} {began}  {took:<6} {}", row.cause.to_string(), why(row)).trim_end().to_owned()
}

/// Why a run is, or ended, as it did.
#[must_use]
pub fn why(row: &RunRow) -> String {
    let origin = match &row.origin {
        OriginRow::Tick(_) => "due".to_owned(),
        OriginRow::Generation => "applied".to_owned(),
        OriginRow::Person(by) => format!("asked for by {by}"),
        OriginRow::Step => "step".to_owned(),
        OriginRow::Message => "sent".to_owned(),
    };
    let reason = row.end.as_ref().and_then(|end| end.reason.as_deref());
    let cut = row.end.as_ref().and_then(cut_words).map_or_else(String::new, |words| format!("; output {words}"));
    match reason {
        Some(reason) => format!("{}{cut}", plain(reason).lines().next().unwrap_or_default()),
        None => origin,
    }
}

/// Says that a result is not all of what was given.
#[must_use]
pub fn cut_words(end: &EndRow) -> Option<String> {
    let size = end.result.as_ref()?.size.as_ref()?;
    Some(format!("(cut at {} KiB; it is {size})", RESULT_MAX >> 10))
}

/// A due time in one line.
#[must_use]
pub fn tick_line(tick: &TickRow, times: Option<&Times>) -> String {
    let at = |at| times.map_or_else(|| crate::engine::time::utc(at), |times| times.zone.rfc3339(at));
    let mut line = at(tick.nominal);
    if let Some(to) = tick.to.filter(|to| *to != tick.nominal) {
        _ = write!(line, " to {} ({} due times)", at(to), tick.count);
    }
    _ = write!(line, "  {:<9} {}", tick.state, plain(tick.reason.as_deref().unwrap_or_default()));
    line.trim_end().to_owned()
}

/// The steps of a workflow's run: those that are over, and those that are not.
pub fn steps(text: &mut String, facts: &Facts, decision: &Decision) {
    for row in facts.past.steps(&decision.id.object, &decision.id.cause) {
        let step = row.cause.to_string();
        let step = step.split_once('.').map_or(step.as_str(), |(_, step)| step);
        let outcome = row.end.as_ref().map_or("open", |end| &end.outcome);
        let took = past::took(&row).map_or_else(String::new, span_words);
        _ = writeln!(text, "  step {step:<16} {outcome:<9} {took:<6} {}", why(&row));
    }
    for other in facts.decisions(&decision.id.object) {
        if other.id.cause.parent().as_ref() == Some(&decision.id.cause) {
            let step = other.id.cause.to_string();
            let step = step.split_once('.').map_or(step.as_str(), |(_, step)| step);
            _ = writeln!(text, "  step {step:<16} {:<9} {}", other.state().to_string(), other.because);
        }
    }
}

/// What became of the due time at a moment: why it did not run, or how its run ended.
///
/// # Errors
/// When the object has no schedule, or the text is no moment.
pub fn at(facts: &Facts, object: &ObjectRef, text: &str) -> Result<String, Failure> {
    let Some(times) = past::times(&facts.observed.ledger, object).filter(|_| schedule(facts, object).is_some()) else {
        let text = format!("{object} has no due times\n  help: --at goes with a CronJob");
        return Err(Failure::new(exit::USAGE, text));
    };
    let civil = text.replace(' ', "T").parse::<jiff::civil::DateTime>().ok();
    let moment = crate::desired::parsed::timestamp(text).or_else(|| times.zone.moment(civil?));
    let Some(moment) = moment else {
        let help = "write 2026-11-21T03:00 on the clock of the object, or 2026-11-21T03:00:00Z";
        return Err(Failure::new(exit::USAGE, format!("--at is `{text}`, which is no moment\n  help: {help}")));
    };
    facts.remembers()?;
    let ticks = facts.past.ticks(&TickFilter { object: Some(object.clone()), ..TickFilter::default() });
    let shown = times.zone.rfc3339(moment);
    // A period may begin within a second; what is typed has whole ones.
    let second = |at: Timestamp| at.nanos() / 1_000_000_000;
    let is_it = |tick: &&TickRow| {
        second(tick.nominal) <= second(moment) && second(moment) <= second(tick.to.unwrap_or(tick.nominal))
    };
    if let Some(tick) = ticks.iter().find(is_it) {
        let run = tick.cause.as_ref().map_or_else(String::new, |cause| {
            format!("\n  setpoint runs {object}/{cause}   |   setpoint logs {object} --run {cause}")
        });
        return Ok(format!("{object}  {}{run}\n", tick_line(tick, Some(times))));
    }
    let since = facts.observed.ledger.books.get(object).and_then(|book| book.cursor.as_ref());
    let base = since.map_or(facts.now.wall, |cursor| cursor.since);
    let due = times.schedule.next(moment.before(Duration::from_secs(1)), base, &times.zone);
    let why = match (due.is_some_and(|due| second(due) == second(moment)), since) {
        (false, _) => match due {
            Some(due) => format!("is no due time; the next one after it is {}", times.zone.rfc3339(due)),
            None => "is no due time, and none comes after it".to_owned(),
        },
        (true, _) if moment > facts.now.wall => "is a due time to come".to_owned(),
        (true, Some(cursor)) if moment <= cursor.since => {
            format!("came before the schedule was applied ({})", times.zone.rfc3339(cursor.since))
        }
        (true, None) => "was before anybody counted its due times".to_owned(),
        (true, Some(_)) => "is not remembered: it was switched off or paused then, or that is too long ago".to_owned(),
    };
    Ok(format!("{object}  {shown}  {why}\n"))
}
