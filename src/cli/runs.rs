//! `setpoint runs`: what ran, and what became of due times.
//!
//! In: an object, a run, filters. Out: a table, newest first, or one run in full. Not here: what a run printed.
//! The surprise: it reads the store and the process table alone, so it works without a controller.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::facts::{self, Facts};
use super::get::trimmed;
use super::run::one;
use super::timetable::{cut_words, run_json, span_words, tick_line, why};
use super::{Failure, Format, Global, Outcome, exit, order, past};
use crate::controller::report::rfc3339;
use crate::engine::run::{Outcome as How, TickState};
use crate::engine::{Cause, InstanceId, ObjectRef, State, Timestamp};
use crate::observe::clock;
use crate::store::{Given, RunFilter, RunRow, TickFilter, TickRow};

/// The longest result that is shown to people, in characters.
const RESULT_SHOWN: usize = 2000;

/// List runs and due times, newest first
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND NAME or a unique NAME; KIND/NAME/RUN for one run in full; everything when left out
    #[arg(num_args = 0..=2, value_name = "OBJECT")]
    objects: Vec<String>,
    /// Only those in this state: open, ok, failed, timeout, killed, cancelled, lost, denied, skipped or unknown; with
    /// --ticks Fired, Skipped, Deferred, Missed, Held or ClockStep
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only since: a span like 2h, or an RFC 3339 moment
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// So many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// List due times instead, with what became of each
    #[arg(long)]
    ticks: bool,
}

/// Runs the verb.
///
/// # Errors
/// When there is no such object or run, or a flag makes no sense.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let states = args.states()?;
    let since = args.since.as_deref().map(since).transpose()?;
    let (_, facts) = facts::read(global)?;
    if let [word] = args.objects.as_slice()
        && word.matches('/').count() == 2
    {
        let text = format!("there is no run {word}\n  help: setpoint runs");
        let id = order::run_of(&facts, word).ok_or_else(|| Failure::new(exit::NOT_FOUND, text))?;
        return super::print(&whole(global, &facts, &id)).map(|()| exit::OK);
    }
    facts.remembers()?;
    let object = match args.objects.as_slice() {
        [] => None,
        words => Some(object(&facts, words)?),
    };
    let limit = Some(args.limit);
    if args.ticks {
        let ticks = facts.past.ticks(&TickFilter { object, states, since, limit });
        super::print(&show_ticks(global, &facts, &ticks))?;
        return Ok(exit::OK);
    }
    let mut rows = facts.past.runs(&RunFilter { object, states, since, with_steps: false, limit });
    rows.retain(|row| facts.is_selected(&row.object, &global.selector));
    rows.iter_mut().for_each(|row| enliven(&facts, row));
    super::print(&show(global, &facts, &rows))?;
    if rows.is_empty() && matches!(global.output, Format::Table | Format::Wide) {
        super::say(global, "No such run is remembered.");
    }
    Ok(exit::OK)
}

impl Args {
    /// The states that are asked for, as the store has them.
    fn states(&self) -> Result<Vec<String>, Failure> {
        let ticks = [
            TickState::Fired,
            TickState::Skipped,
            TickState::Deferred,
            TickState::Missed,
            TickState::Held,
            TickState::ClockStep,
        ];
        let known: Vec<&str> = match self.ticks {
            true => ticks.iter().map(|state| state.word()).collect(),
            false => std::iter::once("open").chain(How::ALL.iter().map(|how| how.word())).collect(),
        };
        let words = self.state.iter().flat_map(|words| words.split(','));
        let find = |word: &str| {
            let found = known.iter().find(|known| known.eq_ignore_ascii_case(word));
            found.map(|word| (*word).to_owned()).ok_or_else(|| {
                let text = format!("--state is `{word}`, which is no state\n  help: write {}", known.join(", "));
                Failure::new(exit::USAGE, text)
            })
        };
        words.map(find).collect()
    }
}

/// A span before now, or a moment.
///
/// # Errors
/// When it is neither.
pub(super) fn since(text: &str) -> Result<Timestamp, Failure> {
    let moment = super::span(text).map(|span| clock::wall().before(span));
    moment.or_else(|| crate::desired::parsed::timestamp(text)).ok_or_else(|| {
        let text = format!(
            "--since is `{text}`, which is no span and no moment\n  help: write 10m, 2h, or 2026-01-31T08:00:00Z"
        );
        Failure::new(exit::USAGE, text)
    })
}

/// The object that is meant; one that was deleted, too, as long as its runs are remembered.
fn object(facts: &Facts, words: &[String]) -> Result<ObjectRef, Failure> {
    let found = match one(facts, words) {
        Err(error) if error.code == exit::NOT_FOUND => facts.remembered(words).ok_or(error)?,
        other => other?,
    };
    if found.kind() == "service" {
        let text = format!("{found} is a service: it has no runs\n  help: setpoint describe {found}");
        return Err(Failure::new(exit::USAGE, text));
    }
    Ok(found)
}

/// Fills in what only the process table and the records say of a run that is not over.
fn enliven(facts: &Facts, row: &mut RunRow) {
    let id = InstanceId { object: row.object.clone(), cause: row.cause.clone() };
    if let (Some(last), None) = (facts.backoff.0.get(&id), &row.end) {
        row.attempts = last.number;
        row.started = row.started.or(Some(last.started_wall));
    }
    // A workflow has no process of its own: it began with the first of its steps.
    if row.started.is_none() && row.attempts == 0 {
        let is_step =
            |other: &&InstanceId| other.object == id.object && other.cause.parent().as_ref() == Some(&id.cause);
        let at_work = facts.backoff.0.iter().filter(|(other, _)| is_step(other)).map(|(_, last)| last.started_wall);
        let over = facts.past.steps(&id.object, &id.cause).into_iter().filter_map(|step| step.started);
        row.started = over.chain(at_work).min();
    }
}

/// What holds an open run, or a step of it, until a person does something: the step, if it is one, and why.
fn held(facts: &Facts, row: &RunRow) -> Option<String> {
    let is_it = |cause: &Cause| *cause == row.cause || cause.parent().as_ref() == Some(&row.cause);
    let mut decisions = facts.decisions(&row.object).filter(|decision| row.end.is_none() && is_it(&decision.id.cause));
    let held = decisions.find(|decision| matches!(decision.state(), State::Held | State::NeedsConsent))?;
    let cause = held.id.cause.to_string();
    Some(match cause.split_once('.').filter(|_| held.id.cause != row.cause) {
        Some((_, step)) => format!("step {step}: {}", held.because),
        None => held.because.to_string(),
    })
}

/// The outcome of a run, `held` while a person has to do something, or `open`.
fn outcome<'a>(facts: &Facts, row: &'a RunRow) -> &'a str {
    match &row.end {
        Some(end) => &end.outcome,
        None if held(facts, row).is_some() => "held",
        None => "open",
    }
}

/// Why a run is as it is; of one that is not over, what is decided about it.
fn reason(facts: &Facts, row: &RunRow) -> String {
    if let Some(why) = held(facts, row) {
        return why;
    }
    let decision = facts.decisions(&row.object).find(|decision| decision.id.cause == row.cause);
    match (&row.end, decision) {
        (None, Some(decision)) => decision.because.to_string(),
        (None, None) | (Some(_), _) => why(row),
    }
}

fn show(global: &Global, facts: &Facts, rows: &[RunRow]) -> String {
    match global.output {
        Format::Name => rows.iter().map(|row| format!("{}/{}\n", row.object, row.cause)).collect(),
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = rows.iter().map(run_json).collect();
            super::apply::value_text(global, &json!({ "items": items }))
        }
        Format::Table | Format::Wide if rows.is_empty() => String::new(),
        Format::Table | Format::Wide => {
            let is_wide = global.output == Format::Wide;
            let mut table = Table::new();
            let mut header = vec!["RUN", "OUTCOME", "STARTED", "TOOK", "ATTEMPTS", "WHY"];
            header.extend(is_wide.then_some("ORIGIN"));
            table.load_preset(NOTHING).set_header(header);
            for row in rows {
                let took = past::took(row).map_or_else(|| "-".to_owned(), span_words);
                let mut cells = vec![
                    format!("{}/{}", row.object, row.cause),
                    outcome(facts, row).to_owned(),
                    row.started.map_or_else(|| "-".to_owned(), super::local),
                    took,
                    row.attempts.to_string(),
                    reason(facts, row),
                ];
                cells.extend(is_wide.then(|| row.origin.word().to_owned()));
                table.add_row(cells);
            }
            trimmed(&table)
        }
    }
}

fn show_ticks(global: &Global, facts: &Facts, ticks: &[TickRow]) -> String {
    let line = |tick: &TickRow| {
        let times = past::times(&facts.observed.ledger, &tick.object);
        let run = tick.cause.as_ref().map_or_else(String::new, |cause| {
            let row = facts.past.run(&InstanceId { object: tick.object.clone(), cause: cause.clone() });
            row.map_or_else(String::new, |row| format!("  {}", row.end.as_ref().map_or("open", |end| &end.outcome)))
        });
        format!("{}  {}{run}\n", tick.object, tick_line(tick, times))
    };
    match global.output {
        Format::Table | Format::Wide => ticks.iter().map(line).collect(),
        Format::Name => ticks.iter().map(|tick| format!("{}\n", tick.object)).collect(),
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = ticks.iter().map(tick_json).collect();
            super::apply::value_text(global, &json!({ "items": items }))
        }
    }
}

fn tick_json(tick: &TickRow) -> Value {
    json!({
        "object": tick.object.as_str(),
        "nominal": crate::engine::time::utc(tick.nominal),
        "to": tick.to.map(crate::engine::time::utc),
        "count": tick.count,
        "state": &*tick.state,
        "reason": tick.reason.as_deref(),
        "at": rfc3339(tick.at),
        "run": tick.cause.as_ref().map(ToString::to_string),
    })
}

/// One run in full.
fn whole(global: &Global, facts: &Facts, id: &InstanceId) -> String {
    let Some(mut row) = facts.past.run(id) else { return String::new() };
    enliven(facts, &mut row);
    let steps = facts.past.steps(&id.object, &id.cause);
    let attempts = facts.past.attempts(id);
    if matches!(global.output, Format::Json | Format::Yaml) {
        let mut value = run_json(&row);
        if let Some(fields) = value.as_object_mut() {
            let attempts: Vec<Value> = attempts
                .iter()
                .map(|one| {
                    json!({ "number": one.number, "started": one.started.map(rfc3339), "ended": one.ended.map(rfc3339),
                        "exit": one.exit.as_deref() })
                })
                .collect();
            fields.insert("tries".to_owned(), attempts.into());
            fields.insert("steps".to_owned(), steps.iter().map(run_json).collect());
        }
        return super::apply::value_text(global, &value);
    }
    if global.output == Format::Name {
        return format!("{id}\n");
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    _ = writeln!(text, "{id}  {}", outcome(facts, &row));
    _ = writeln!(text, "Why:       {}", reason(facts, &row));
    _ = writeln!(text, "Made:      {}", super::local(row.created));
    _ = writeln!(text, "Started:   {}", row.started.map_or_else(|| "-".to_owned(), super::local));
    if let Some(end) = &row.end {
        let took = past::took(&row).map_or_else(String::new, |took| format!(", after {}", span_words(took)));
        _ = writeln!(text, "Ended:     {}{took}", super::local(end.ended));
    }
    if let Some(by) = &row.cancel {
        _ = writeln!(text, "Cancelled: by {by}");
    }
    if let Some(by) = &row.reopened {
        _ = writeln!(text, "Retried:   by {by}");
    }
    if let Some(params) = &row.params {
        _ = writeln!(text, "Params:    {}", super::plain(params));
    }
    _ = writeln!(text, "Attempts:  {}", row.attempts);
    for one in &attempts {
        let began = one.started.map_or_else(|| "-".to_owned(), super::local);
        _ = writeln!(text, "  {}  {began}  {}", one.number, super::plain(one.exit.as_deref().unwrap_or("at work")));
    }
    for step in &steps {
        let name = step.cause.to_string();
        let name = name.split_once('.').map_or(name.as_str(), |(_, step)| step);
        let outcome = step.end.as_ref().map_or("open", |end| &end.outcome);
        let took = past::took(step).map_or_else(|| "-".to_owned(), span_words);
        _ = writeln!(text, "  step {name:<16} {outcome:<9} {took:<6} {}", why(step));
    }
    for other in facts.decisions(&id.object).filter(|other| other.id.cause.parent().as_ref() == Some(&id.cause)) {
        let name = other.id.cause.to_string();
        let name = name.split_once('.').map_or(name.as_str(), |(_, step)| step);
        _ = writeln!(text, "  step {name:<16} {}  {}", other.state(), other.because);
    }
    if let Some((end, Given { text: result, .. })) = row.end.as_ref().and_then(|end| Some((end, end.result.as_ref()?)))
    {
        let shown: String = result.chars().take(RESULT_SHOWN).collect();
        let more = if shown.len() < result.len() { "\n…" } else { "" };
        let lines: Vec<String> = shown.lines().map(super::plain).collect();
        let cut = cut_words(end).map_or_else(String::new, |words| format!("  {words}"));
        _ = writeln!(text, "Result:{cut}\n  {}{more}", lines.join("\n  "));
    }
    _ = writeln!(text, "Log:       setpoint logs {} --run {}", id.object, id.cause);
    text
}
