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
use super::journal::Event;
use crate::engine::plan::{Action, Decision, Reason};
use crate::engine::{Plan, Timestamp};

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
        for decision in news {
            tell(&decision);
            if let Some(kind) = event_of(&decision) {
                self.journal.write(&Event {
                    time: rfc3339(crate::observe::clock::wall()),
                    kind: format!("{}.{kind}", decision.id.object.kind()),
                    subject: decision.id.to_string(),
                    text: decision.because.to_string(),
                });
            }
        }
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
    /// What it could not do and a person should know, newest last.
    pub problems: Vec<String>,
}

impl Core {
    /// Fills in what changes from turn to turn.
    pub fn fill(&self, status: &mut Status) {
        status.generation = self.desired.generation;
        status.problems.clone_from(&self.problems);
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
