//! What people ask of runs, over the socket of the controller; and waiting for what comes of it.
//!
//! In: a method and its parameters. Out: the name of the run, or a failure with its exit code. Not here: how it is
//! typed. The surprise: an answer comes when the disk has what was asked for, so what was answered survives anything.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::facts;
use super::{Failure, Global, Outcome, controller, exit, timetable};
use crate::controller::report::is_failure;
use crate::engine::plan::{Decision, Reason};
use crate::engine::run::Outcome as How;
use crate::engine::{InstanceId, State};
use crate::home::Home;
use crate::observe::Clock;
use crate::rpc::Error;
use crate::store::{Books as _, PARAMS_MAX, Reader, RunRow};

/// How often the store is asked whether a run is over.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is looked what a run waits for.
const WHY: Duration = Duration::from_millis(500);

/// Asks the controller; the run it speaks of.
///
/// # Errors
/// When no controller runs, or it refuses: wrong parameters are wrong usage.
pub fn ask(home: &Home, method: &str, mut params: Value) -> Result<InstanceId, Failure> {
    if params.to_string().len() > PARAMS_MAX {
        let text = "the parameters are longer than 256 KiB\n  help: put them into a file, and give its path";
        return Err(Failure::new(exit::USAGE, text));
    }
    if let Some(fields) = params.as_object_mut() {
        fields.insert("by".to_owned(), crate::desired::principal().into());
    }
    let of = params.get("object").or_else(|| params.get("run")).and_then(Value::as_str).unwrap_or_default().to_owned();
    let answer = controller::call(home, method, &params).map_err(|failure| {
        // It may have heard the question and answer too late.
        let help =
            format!("\n  help: it may have been done all the same; look before you ask again: setpoint runs {of}");
        Failure::new(failure.code, format!("{}{}", failure.text, help.trim_end()))
    })?;
    let done = match answer {
        Some(answer) => answer.map_err(|error| refused(&error))?,
        None => {
            let text =
                "no controller runs, and only a controller starts and ends runs\n  help: setpoint controller start";
            return Err(Failure::new(exit::NO_CONTROLLER, text));
        }
    };
    let text = |name: &str| done.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = format!("{}/{}", text("object"), text("run"));
    id.parse().map_err(|_| Failure::new(exit::FAILED, format!("the controller answered with `{id}`, which is no run")))
}

/// What was wrong, field by field, each with what to write instead.
fn refused(error: &Error) -> Failure {
    if error.errors_by_field.is_empty() {
        return Failure::new(exit::FAILED, error.message.clone());
    }
    let one = |(index, (field, what)): (usize, (&String, &String))| {
        let name = if field.is_empty() { "the parameters".to_owned() } else { format!("parameter `{field}`") };
        let help = error.suggestions.get(index).map_or_else(String::new, |help| format!("\n  help: {help}"));
        format!("{name} {what}{help}")
    };
    let lines: Vec<String> = error.errors_by_field.iter().enumerate().map(one).collect();
    Failure::new(exit::USAGE, lines.join("\nerror: "))
}

/// How a run stands.
#[derive(Debug)]
pub enum Stand {
    /// It is over.
    Over(Box<RunRow>),
    /// It is under way, or waits.
    Open,
}

/// Asks the store how a run stands.
///
/// # Errors
/// When the store cannot be read, or knows no such run.
pub fn stand(home: &Home, id: &InstanceId) -> Result<Stand, Failure> {
    let failed = |trouble: crate::store::Trouble| Failure::new(exit::FAILED, trouble.to_string());
    let row = Reader::open(&home.store_db()).and_then(|reader| reader.run(&id.object, &id.cause)).map_err(failed)?;
    match row {
        Some(row) if row.end.is_some() => Ok(Stand::Over(Box::new(row))),
        Some(_) => Ok(Stand::Open),
        None => {
            Err(Failure::new(exit::NOT_FOUND, format!("there is no run {id}\n  help: setpoint runs {}", id.object)))
        }
    }
}

/// Waits until a run is over, calling `meanwhile` now and then; its exit code.
///
/// # Errors
/// When the store cannot be read, the time is up, or somebody has to agree first.
pub fn until_over(
    global: &Global,
    home: &Home,
    id: &InstanceId,
    patience: Option<Duration>,
    mut meanwhile: impl FnMut() -> Result<(), Failure>,
) -> Outcome {
    let clock = Clock::new().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let begin = Instant::now();
    let mut looked: Option<Instant> = None;
    let mut told = String::new();
    loop {
        // Asked before the output is read, so that what it printed last is read too.
        let stand = stand(home, id)?;
        meanwhile()?;
        if let Stand::Over(row) = stand {
            return Ok(over(global, id, &row));
        }
        if looked.is_none_or(|at| at.elapsed() >= WHY) {
            looked = Some(Instant::now());
            match standing(home, &clock, id)? {
                Standing::Goes => {}
                Standing::Waits(why) => {
                    // A count that goes on is no news.
                    let fact: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
                    if fact != told {
                        super::say(global, &format!("{id} waits: {}", super::plain(&why)));
                        told = fact;
                    }
                }
                Standing::Held(why) => {
                    let text = format!("{id} is held: {why}\n  help: it stays on record; end it: setpoint cancel {id}");
                    return Err(Failure::new(exit::CONSENT, text));
                }
            }
        }
        if patience.is_some_and(|patience| begin.elapsed() >= patience) {
            let help = match controller::is_absent(home) {
                true => "no controller runs, so its end is not written down: setpoint controller start".to_owned(),
                false => format!("setpoint logs {} --run {} -f   |   setpoint cancel {id}", id.object, id.cause),
            };
            return Err(Failure::new(exit::TIMED_OUT, format!("{id} is not over in time; it goes on\n  help: {help}")));
        }
        std::thread::sleep(LOOK);
    }
}

/// How a run that is not over gets on.
enum Standing {
    /// It is at work, or about to be.
    Goes,
    /// Something that may end by itself is in its way.
    Waits(String),
    /// It will not begin before a person does something.
    Held(String),
}

fn standing(home: &Home, clock: &Clock, id: &InstanceId) -> Result<Standing, Failure> {
    let facts = facts::of(home, clock)?;
    let is_it = |decision: &&Decision| decision.id == *id || decision.id.cause.parent().as_ref() == Some(&id.cause);
    let mut waits = None;
    for decision in facts.decisions(&id.object).filter(is_it) {
        if matches!(decision.state(), State::Held | State::NeedsConsent) {
            return Ok(Standing::Held(decision.because.to_string()));
        }
        if is_in_the_way(&decision.because) && waits.is_none() {
            waits = Some(decision.because.to_string());
        }
    }
    let trouble = facts.observed.ledger.trouble.as_ref();
    let unwritten = || trouble.map(|why| format!("nothing can be written down, its end neither: {why}"));
    Ok(waits.or_else(unwritten).map_or(Standing::Goes, Standing::Waits))
}

/// True when this is worth telling whoever waits for a run.
fn is_in_the_way(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::NoStore { .. }
            | Reason::Refused { .. }
            | Reason::Blind { .. }
            | Reason::NeedsWait { .. }
            | Reason::Behind { .. }
            | Reason::Queued { .. }
            | Reason::Pressed { .. }
            | Reason::NotYet { .. }
            | Reason::RetryWaits { .. }
    )
}

/// Says how a run ended; the exit code that stands for it.
fn over(global: &Global, id: &InstanceId, row: &RunRow) -> u8 {
    let Some(end) = &row.end else { return exit::FAILED };
    let took =
        super::past::took(row).map_or_else(String::new, |took| format!(" after {}", timetable::span_words(took)));
    let how = How::of_word(&end.outcome);
    let why = end.reason.as_deref().filter(|_| how != How::Ok).map_or_else(String::new, |why| format!(": {why}"));
    let said = format!("{id}  {}{took}{}", end.outcome, super::plain(&why));
    if is_failure(how) {
        super::complain(&format!("error: {said}\n  help: setpoint runs {id}   |   setpoint retry {id}"));
    } else {
        super::say(global, &said);
    }
    code(how)
}

/// The exit code of an outcome.
#[must_use]
pub fn code(how: How) -> u8 {
    match how {
        How::Ok | How::Skipped => exit::OK,
        How::Failed | How::Timeout | How::Killed | How::Lost | How::Unknown => exit::FAILED,
        How::Denied => exit::CONSENT,
        How::Cancelled => exit::INTERRUPTED,
    }
}

/// What a verb prints that began or ended a run.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(global: &Global, id: &InstanceId, done: &str) -> Result<(), Failure> {
    let text = match global.output {
        super::Format::Table | super::Format::Wide => format!("{id}  {done}\n"),
        super::Format::Name => format!("{id}\n"),
        super::Format::Json | super::Format::Yaml => {
            let value = json!({ "object": id.object.as_str(), "run": id.cause.to_string(), "done": done });
            super::apply::value_text(global, &value)
        }
    };
    super::print(&text)
}

/// The run that a word such as `cronjob/backup/2026-11-21T03:00:00Z` means; nothing when it is no run that is known.
#[must_use]
pub fn run_of(facts: &facts::Facts, word: &str) -> Option<InstanceId> {
    let (object, cause) = word.rsplit_once('/')?;
    let (kind, name) = object.split_once('/')?;
    let kind = crate::kind::find_spoken(kind).map_or(kind, |def| def.lower);
    let id = InstanceId { object: crate::engine::ObjectRef::new(kind, name).ok()?, cause: cause.parse().ok()? };
    facts.past.run(&id).map(|_| id)
}
