//! Says what has changed: in the log, in the events, and in `state.json`.
//!
//! In: the plan of a pass and the one before. Out: one line per news. Not here: any decision.
//! The surprise: repeating a decision is no news, so an idle controller writes nothing.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::core::Core;
use crate::engine::plan::{Action, Decision, Reason};
use crate::engine::run::{Outcome, TickState};
use crate::engine::{ObjectRef, Plan, Timestamp};

impl Core {
    /// Logs and records every decision that the plan before did not hold.
    pub(super) fn report(&mut self, plan: &Plan) {
        let mut before = self.plan.decisions.iter().peekable();
        let mut news: Vec<Decision> = Vec::new();
        for decision in &plan.decisions {
            while before.next_if(|old| old.id < decision.id).is_some() {}
            let old = before.next_if(|old| old.id == decision.id);
            // What a controller finds running when it starts is as it was: no news.
            let is_found = match old.map(|old| &old.because) {
                None => matches!(decision.because, Reason::Healthy | Reason::Found),
                Some(old) => *old == Reason::Found && decision.because == Reason::Healthy,
            };
            // Nor is that a list has not come yet; it is on its way.
            let is_pending = matches!(decision.because, Reason::Blind { .. }) && self.is_pending(&decision.id.object);
            if !is_found && !is_pending && old.is_none_or(|old| is_news(old, decision)) {
                news.push(decision.clone());
            }
        }
        self.is_news |= !news.is_empty();
        let now = self.clock.now();
        for decision in news {
            tell(&decision);
            self.tell_passed(&decision);
            if let Some(word) = event_of(&decision).or_else(|| self.event_of_run(&decision)) {
                self.note_event(&decision, word, &now);
            }
        }
        self.send_events(plan, &now);
    }
}

impl Core {
    /// Due times that a run is for besides its own were missed.
    fn tell_passed(&mut self, decision: &Decision) {
        let Some(Action::Fire(fire)) = &decision.action else { return };
        for tick in fire.passed.iter().filter(|tick| tick.state == TickState::Missed) {
            let text =
                format!("{} due times from {}: {}", tick.count, crate::engine::time::utc(tick.nominal), tick.why);
            self.note_missed(&decision.id, text, tick.count.into());
        }
    }

    /// The event a decision about work that ends is worth. Of failures in a row the first is told, and the end of them.
    fn event_of_run(&self, decision: &Decision) -> Option<&'static str> {
        match (&decision.because, &decision.action) {
            (Reason::Settled { state, .. }, Some(Action::Fire(_) | Action::Note(_))) => Some(match state {
                TickState::Fired => "fired",
                TickState::Skipped => "skipped",
                TickState::Deferred => "deferred",
                TickState::Missed => "missed",
                TickState::Held => "held",
                TickState::ClockStep => "clock-step",
            }),
            (Reason::ClockStepped, Some(Action::Note(_))) => Some("clock-step"),
            (Reason::Due, Some(Action::Fire(_))) => Some("fired"),
            (Reason::RetryWaits { .. }, None) => Some("retried"),
            (Reason::FrozenByPerson { .. } | Reason::NeedsConsent { .. }, None) => Some("held"),
            (Reason::Over { outcome, .. }, Some(Action::Finish(finish))) if finish.step_of.is_none() => {
                match (is_failure(*outcome), self.is_failing(&decision.id.object)) {
                    (true, true) => None,
                    (true, false) => Some("failed"),
                    (false, true) if *outcome == Outcome::Ok => Some("recovered"),
                    (false, _) if *outcome == Outcome::Cancelled => Some("cancelled"),
                    (false, _) => Some("finished"),
                }
            }
            _ => None,
        }
    }

    /// True when the last run of an object failed.
    fn is_failing(&self, object: &ObjectRef) -> bool {
        let book = self.observed.ledger.books.get(object);
        let last = book.and_then(|book| book.last.values().max_by_key(|last| last.ended));
        last.is_some_and(|last| is_failure(last.outcome))
    }
}

/// True when somebody has to look into it.
#[must_use]
pub fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed | Outcome::Timeout | Outcome::Killed | Outcome::Lost | Outcome::Unknown => true,
        Outcome::Ok | Outcome::Cancelled | Outcome::Denied | Outcome::Skipped => false,
    }
}

fn is_news(old: &Decision, new: &Decision) -> bool {
    let kind = |decision: &Decision| std::mem::discriminant(&decision.because);
    kind(old) != kind(new) || (old.action.is_none() && new.action.is_some())
}

/// error: a person must act. warn: another attempt follows. info: the machine changed. debug: why it did not.
fn tell(decision: &Decision) {
    let Decision { id, action, because } = decision;
    match because {
        Reason::GaveUp { .. } | Reason::RollHalted => tracing::error!(instance = %id, "{because}"),
        Reason::Again { .. }
        | Reason::BackingOff { .. }
        | Reason::Refused { .. }
        | Reason::Vanished
        | Reason::Unhealthy { .. }
        | Reason::Ambiguous { .. }
        | Reason::Drifted { .. }
        | Reason::Blind { .. }
        | Reason::Lingering => {
            tracing::warn!(instance = %id, "{because}");
        }
        Reason::Over { outcome, .. } if is_failure(*outcome) && action.is_some() => {
            tracing::warn!(instance = %id, "{because}");
        }
        _ if action.is_some() => tracing::info!(instance = %id, action = verb(action.as_ref()), "{because}"),
        _ => tracing::debug!(instance = %id, "{because}"),
    }
}

fn verb(action: Option<&Action>) -> &'static str {
    match action {
        Some(Action::Spawn(_)) => "spawn",
        Some(Action::Stop { .. }) => "stop",
        Some(Action::EndTree { .. }) => "end tree",
        Some(Action::RecordLost { .. }) => "record as lost",
        Some(Action::SetPolicy { .. }) => "set policy",
        Some(Action::Adopt { .. }) => "adopt",
        Some(Action::Fire(_)) => "fire",
        Some(Action::Note(_)) => "note",
        Some(Action::Finish(_)) => "finish",
        Some(Action::Claim(_)) => "claim",
        Some(Action::Return(_)) => "give back",
        None => "none",
    }
}

/// The event a decision is worth, if any.
fn event_of(decision: &Decision) -> Option<&'static str> {
    match (&decision.because, &decision.action) {
        (Reason::Missing, Some(_)) => Some("started"),
        (Reason::Again { .. }, Some(_)) => Some("restarted"),
        (Reason::Healthy, None) => Some("ready"),
        (Reason::BackingOff { .. } | Reason::Vanished, _) => Some("crashed"),
        (Reason::GaveUp { .. }, _) => Some("gave-up"),
        (Reason::Completed { .. }, _) => Some("completed"),
        (Reason::Lingering, _) => Some("lingering"),
        (Reason::RollHalted, _) => Some("halted"),
        (Reason::Blind { .. }, _) => Some("unknown"),
        (Reason::Refused { .. }, _) => Some("refused"),
        (Reason::Stray, _) => Some("stray"),
        (Reason::Frozen, _) => Some("frozen"),
        (Reason::Unready { has_passed: true, .. }, _) => Some("unready"),
        (Reason::Unhealthy { .. }, Some(_)) => Some("unhealthy"),
        (Reason::NeedsWait { .. }, _) => Some("waiting"),
        (Reason::Adopted { .. }, Some(_)) => Some("adopted"),
        (Reason::Drifted { .. }, _) => Some("drifted"),
        (Reason::Ambiguous { .. }, _) => Some("ambiguous"),
        (Reason::PolicyChanged, Some(_)) => Some("retuned"),
        (_, Some(Action::Stop { .. } | Action::EndTree { .. })) => Some("stopping"),
        _ => None,
    }
}

/// How many refused starts a status names.
const WAITING_MAX: usize = 1000;

/// How many things that are wrong with live folders a status tells.
const FAULTS_SHOWN: usize = 20;

/// `state.json`: what the controller says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// True until it ends.
    pub running: bool,
    /// Its process.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// When it last looked at everything; absent before the first time.
    pub last_heartbeat: Option<String>,
    /// How often it has.
    pub heartbeat_count: u64,
    /// Its version.
    pub version: String,
    /// The live folders it was given.
    pub folders: Vec<String>,
    /// The generation of the desired state it works by.
    pub generation: u64,
    /// How many instances are in which state.
    pub instances: std::collections::BTreeMap<String, usize>,
    /// Instances that could not be started and left no record of it, each with the reason; a thousand at most.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub waiting: std::collections::BTreeMap<String, String>,
    /// Runs that are not over.
    pub runs: RunCounts,
    /// How many schedules have been worked out since it started.
    pub schedules_recomputed: u64,
    /// Who froze everything, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Which limits on pressure hold back what would begin, if any do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressed: Option<String>,
    /// Why nothing can be remembered, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_trouble: Option<String>,
    /// Events that could not be kept since it started.
    #[serde(skip_serializing_if = "is_none")]
    pub events_dropped: u64,
    /// What it could not do and a person should know, newest last.
    pub problems: Vec<String>,
    /// Files of live folders with an error, each with the place of the first.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub broken_files: std::collections::BTreeMap<String, String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How many runs are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunCounts {
    /// Under way.
    pub at_work: usize,
    /// Waiting for their time, their turn, or somebody's consent.
    pub waiting: usize,
}

impl Core {
    /// Fills in what changes from turn to turn.
    pub fn fill(&self, status: &mut Status) {
        status.generation = self.desired.generation;
        status.problems.clone_from(&self.problems);
        let faults = &self.faults.said;
        status.problems.extend(faults.iter().take(FAULTS_SHOWN).cloned());
        let more = faults.len().saturating_sub(FAULTS_SHOWN);
        status.problems.extend((more > 0).then(|| format!("{more} more are in: setpoint controller logs")));
        status.broken_files.clone_from(&self.faults.files);
        let ledger = &self.observed.ledger;
        let open: usize = ledger.books.values().map(|book| book.runs.len()).sum();
        let is_at_work = |d: &&Decision| matches!(d.because, Reason::AtWork | Reason::Steps { .. });
        let at_work = self.plan.decisions.iter().filter(is_at_work).filter(|d| d.id.cause.parent().is_none()).count();
        status.runs = RunCounts { at_work, waiting: open.saturating_sub(at_work) };
        status.events_dropped = self.journal.dropped;
        status.schedules_recomputed = self.schedules.worked_out;
        // A look of its own, since whoever asks wants to know it now.
        let is_moved = ledger.trouble.is_none() && self.books.is_moved();
        status.store_trouble = match &ledger.trouble {
            Some(why) => Some(why.to_string()),
            None => is_moved.then(|| format!("{} was moved, removed or replaced", self.home.store_db().display())),
        };
        status.frozen = self.desired.frozen.as_ref().map(|frozen| match &frozen.reason {
            Some(reason) => format!("{}: {reason}", frozen.by),
            None => frozen.by.to_string(),
        });
        let is_pressed = |d: &&Decision| matches!(d.because, Reason::Pressed { .. });
        status.pressed = self.plan.decisions.iter().find(is_pressed).map(|decision| decision.because.to_string());
        status.instances.clear();
        status.waiting.clear();
        for decision in &self.plan.decisions {
            *status.instances.entry(decision.state().to_string()).or_default() += 1;
            if let Reason::Refused { why, .. } = &decision.because
                && status.waiting.len() < WAITING_MAX
            {
                status.waiting.insert(decision.id.to_string(), why.to_string());
            }
        }
    }
}

/// A moment for people and files.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(0);
    let nanos = u32::try_from(at.nanos() % 1_000_000_000).unwrap_or(0);
    let moment = DateTime::<Utc>::from_timestamp(seconds, nanos).unwrap_or_default();
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Replaces a small file, whole or not at all.
///
/// # Errors
/// When its folder cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        _ = std::fs::remove_file(&fresh);
    }
    written
}
