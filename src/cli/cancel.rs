//! `setpoint cancel` and `retry`: the end of a run, and another go at one.
//!
//! In: an object, or one of its runs. Out: an answer once the disk has the wish. Not here: stopping anything.
//! The surprise: a cancelled run is over only when nothing of its tree is left, so `--wait` returns no sooner.

use serde_json::json;

use super::facts::{self, Facts};
use super::run::one;
use super::{Failure, Global, Outcome, exit, inbox, logs, order};
use crate::engine::run::Outcome as How;
use crate::engine::{InstanceId, ObjectRef};
use crate::kind::units;

/// How many runs are looked through for one that failed.
const LOOKED_MAX: usize = 100;
/// How many runs are named at once.
const NAMED_MAX: usize = 5;

/// End a run
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, or KIND/NAME/RUN when it has several under way
    #[arg(required = true, num_args = 1..=2, value_name = "RUN")]
    run: Vec<String>,
    /// Wait until nothing of it is left
    #[arg(long)]
    wait: bool,
    /// How long to wait; then exit code 124 [default: as long as it takes]
    #[arg(long, value_name = "TIME")]
    timeout: Option<units::Duration>,
}

/// Let a run that is over have another go
#[derive(Clone, Debug, clap::Args)]
pub struct RetryArgs {
    /// KIND/NAME for its last run that failed, or KIND/NAME/RUN
    #[arg(required = true, num_args = 1..=2, value_name = "RUN")]
    run: Vec<String>,
    /// Wait until it is over; ends as `setpoint run --wait`
    #[arg(long)]
    wait: bool,
    /// Print what it prints until it is over; ends as --wait
    #[arg(short, long)]
    follow: bool,
    /// How long to wait; then exit code 124, and the run goes on [default: as long as it takes]
    #[arg(long, value_name = "TIME")]
    timeout: Option<units::Duration>,
}

/// Cancels.
///
/// # Errors
/// When there is no such run under way, or no controller.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let (home, facts) = facts::read(global)?;
    if let (Some(home), [word]) = (&home, args.run.as_slice())
        && let Some((object, id)) = inbox::one(word)
        && matches!(object.as_ref().map(ObjectRef::kind), Ok("mailbox" | "trigger"))
    {
        // It may wait, and have no run yet.
        return inbox::cancel(home, &object?, &id);
    }
    let id = open_run(&facts, &args.run)?;
    let Some(home) = home else { return Err(none(&id.to_string())) };
    order::ask(&home, "runs.cancel", wish(&id))?;
    order::print(global, &id, "is being cancelled")?;
    if !args.wait {
        return Ok(exit::OK);
    }
    match order::until_over(global, &home, &id, args.timeout.map(|timeout| timeout.0), || Ok(()))? {
        exit::INTERRUPTED | exit::OK => Ok(exit::OK),
        other => Ok(other),
    }
}

/// Retries.
///
/// # Errors
/// When there is no such run that is over, or no controller.
pub fn retry(global: &Global, args: &RetryArgs) -> Outcome {
    let (home, facts) = facts::read(global)?;
    let id = failed_run(&facts, &args.run)?;
    let Some(home) = home else { return Err(none(&id.to_string())) };
    order::ask(&home, "runs.retry", wish(&id))?;
    order::print(global, &id, "is tried again")?;
    let patience = args.timeout.map(|timeout| timeout.0);
    if args.follow {
        return logs::follow_run(global, &home, &id, patience);
    }
    if args.wait {
        return order::until_over(global, &home, &id, patience, || Ok(()));
    }
    super::say(global, &format!("Next: setpoint logs {} --run {} -f   |   setpoint runs {id}", id.object, id.cause));
    Ok(exit::OK)
}

fn wish(id: &InstanceId) -> serde_json::Value {
    json!({ "object": id.object.as_str(), "run": id.cause.to_string() })
}

fn none(what: &str) -> Failure {
    Failure::new(exit::NOT_FOUND, format!("there is no run {what}\n  help: setpoint runs"))
}

/// The run that is named, if one is.
fn named(facts: &Facts, words: &[String]) -> Result<Option<InstanceId>, Failure> {
    match words {
        [word] if word.matches('/').count() == 2 => order::run_of(facts, word).map(Some).ok_or_else(|| none(word)),
        _ => Ok(None),
    }
}

/// A service is kept up, and has no runs.
fn refuse_service(object: &ObjectRef, verb: &str) -> Result<(), Failure> {
    if object.kind() != "service" {
        return Ok(());
    }
    let text = format!("{object} is a service: it has no runs\n  help: setpoint {verb} {object}");
    Err(Failure::new(exit::USAGE, text))
}

/// The one run under way that is meant.
fn open_run(facts: &Facts, words: &[String]) -> Result<InstanceId, Failure> {
    if let Some(id) = named(facts, words)? {
        return match facts.past.run(&id).and_then(|row| row.end) {
            Some(end) => {
                let text = format!("{id} is over ({})\n  help: setpoint runs {}", end.outcome, id.object);
                Err(Failure::new(exit::NOT_FOUND, text))
            }
            None => Ok(id),
        };
    }
    let object = one(facts, words)?;
    refuse_service(&object, "pause")?;
    let causes: Vec<_> =
        facts.observed.ledger.books.get(&object).map(|book| book.runs.keys().cloned().collect()).unwrap_or_default();
    match causes.as_slice() {
        [] => {
            facts.remembers()?;
            let text = format!("no run of {object} is under way\n  help: setpoint runs {object}");
            Err(Failure::new(exit::NOT_FOUND, text))
        }
        [cause] => Ok(InstanceId { object, cause: cause.clone() }),
        many => {
            let names: Vec<String> = many.iter().take(NAMED_MAX).map(|cause| format!("{object}/{cause}")).collect();
            let text = format!("{} runs of {object} are under way; name one:\n  {}", many.len(), names.join("\n  "));
            Err(Failure::new(exit::USAGE, text))
        }
    }
}

/// The run that is to have another go.
fn failed_run(facts: &Facts, words: &[String]) -> Result<InstanceId, Failure> {
    if let Some(id) = named(facts, words)? {
        return match facts.past.run(&id).and_then(|row| row.end) {
            Some(_) => Ok(id),
            None => {
                let text = format!("{id} is under way\n  help: setpoint logs {} --run {} -f", id.object, id.cause);
                Err(Failure::new(exit::REFUSED, text))
            }
        };
    }
    let object = one(facts, words)?;
    refuse_service(&object, "restart")?;
    let rows = facts.past.newest(&object, LOOKED_MAX);
    let is_bad = |outcome: &str| order::code(How::of_word(outcome)) != exit::OK;
    match rows.into_iter().find(|row| row.end.as_ref().is_some_and(|end| is_bad(&end.outcome))) {
        Some(row) => Ok(InstanceId { object, cause: row.cause }),
        None => {
            let text = format!("no run of {object} has failed\n  help: run it: setpoint run {object}");
            Err(Failure::new(exit::NOT_FOUND, text))
        }
    }
}
