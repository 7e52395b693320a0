//! `setpoint pause` and `resume`: keep objects down, and let them up again.
//!
//! In: names. Out: a generation that says so. Not here: stopping or starting anything.
//! The surprise: a pause belongs to a person, so `apply` keeps it; only `resume` or its own end lifts it.

use chrono::{SecondsFormat, TimeDelta, Utc};

use super::apply::{Start, Step, commit, each, lock, open, tell};
use super::delete::{Names, adopting};
use super::{Failure, Global, Outcome, exit};
use crate::desired::attempts::last_attempts;
use crate::desired::change::is_live;
use crate::desired::live::LAYER_USER;
use crate::desired::{Author, Stored, edit};
use crate::engine::ObjectRef;
use crate::kind::units;

/// Keep objects down, through applies and restarts
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// When the pause ends by itself [default: never]
    #[arg(long = "for", value_name = "TIME")]
    span: Option<units::Duration>,
    /// Why; shown wherever the object is
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let paused objects up again
#[derive(Clone, Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    names: Names,
}

/// Pauses.
///
/// # Errors
/// When there is no such object, or the home cannot be written to.
pub fn run(global: &Global, args: Args) -> Outcome {
    let until = args.span.map(end_of).transpose()?;
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let ids = args.names.resolve(global, locked.base())?;
    let author = Author { note: args.reason, ..Author::caller() };
    let done = until.as_ref().map_or_else(|| String::from("paused"), |until| format!("paused until {until}"));
    let draft = edit::pause(locked.base(), &ids, until, author);
    let strangers = adopting(&home, locked.base(), &ids)?.map(|facts| facts.run_on(&ids)).unwrap_or_default();
    let code =
        commit(global, &home, locked, Step { draft, objects: &ids, said: each(&ids, &done), start: Start::IfRunning })?;
    strangers.iter().for_each(|text| tell(global, text));
    Ok(code)
}

/// Resumes.
///
/// # Errors
/// When there is no such object, or the home cannot be written to.
pub fn resume(global: &Global, args: ResumeArgs) -> Outcome {
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let ids = args.names.resolve(global, locked.base())?;
    let off: Vec<String> = ids.iter().filter_map(|id| switched_off(locked.base(), id)).collect();
    let code = match edit::resume(locked.base(), &ids, Author::caller(), &|id| last_attempts(&home, id)) {
        Some(draft) => {
            let said = each(&ids, "resumed");
            commit(global, &home, locked, Step { draft, objects: &ids, said, start: Start::IfRunning })?
        }
        None => {
            tell(global, "Nothing was paused.");
            exit::OK
        }
    };
    off.iter().for_each(|text| tell(global, text));
    Ok(code)
}

/// What to do about an object that its manifest switches off: to resume it changes nothing about that.
fn switched_off(base: &Stored, id: &ObjectRef) -> Option<String> {
    let object = base.objects.get(id)?;
    if object.spec.get("enabled") != Some(&false.into()) {
        return None;
    }
    let source = &object.metadata.source;
    let is_job = object.metadata.layer.as_deref() == Some(LAYER_USER) && source.ends_with(".md");
    let help = match (is_job, is_live(base, object)) {
        (true, _) => format!("setpoint job edit {} --enabled=true", id.name()),
        (false, true) => format!("write enabled: true in {source}; the controller applies it by itself"),
        (false, false) => format!("write enabled: true in {source}, and apply it"),
    };
    Some(format!("{id} is switched off by its manifest (enabled: false), which resume does not change: {help}"))
}

/// The end of a pause that begins now, in RFC 3339.
fn end_of(span: units::Duration) -> Result<String, Failure> {
    let end = TimeDelta::from_std(span.0).ok().and_then(|span| Utc::now().checked_add_signed(span));
    let end = end.ok_or_else(|| {
        Failure::new(exit::USAGE, "--for is too long\n  help: leave it out; a pause without an end lasts until resume")
    })?;
    Ok(end.to_rfc3339_opts(SecondsFormat::Secs, true))
}
