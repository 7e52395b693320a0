//! How running instances are, by the word of whoever asks them.
//!
//! In: a home. Out: evidence beside the sightings, and lines for people and programs. Not here: asking the instances.
//! The surprise: only a running controller knows. Without one, what runs keeps the benefit of ready, and that is said.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::facts::{Facts, age_of};
use crate::controller::report::rfc3339;
use crate::desired::generation::Stored;
use crate::engine::probe::{Evidence, Health};
use crate::engine::{BootTime, InstanceId, Now, Observed, Timestamp};
use crate::home::Home;
use crate::record::notify;
use crate::rpc::client;

/// How long a controller may take to say it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a controller says of the instances it asks.
#[derive(Debug, Default)]
pub struct Told {
    instances: BTreeMap<String, Value>,
    /// A controller has answered.
    is_answered: bool,
}

/// Asks the controller, if there is anything to be asked about.
#[must_use]
pub fn ask(home: &Home, stored: &Stored) -> Told {
    let has_any = |spec: &Value| ["ready", "live", "heartbeat"].iter().any(|field| spec.get(field).is_some());
    if !stored.objects.values().any(|object| has_any(&object.spec)) {
        return Told::default();
    }
    let asked = home.socket().ok().and_then(|socket| {
        let patience = Some(PATIENCE);
        client::ask(&socket, "controller.health", &json!({}), patience).ok()??.get_mut("instances").map(Value::take)
    });
    match asked {
        Some(instances) => Told { instances: serde_json::from_value(instances).unwrap_or_default(), is_answered: true },
        None => Told::default(),
    }
}

impl Told {
    /// Puts what was said beside what was seen.
    pub fn fill(&self, observed: &mut Observed) {
        if !self.is_answered {
            observed.give_benefit();
            return;
        }
        for (id, sighting) in &mut observed.sightings {
            if let Some(told) = self.instances.get(&id.to_string()) {
                sighting.health = Health {
                    ready: evidence(told, "ready"),
                    live: evidence(told, "live"),
                    is_found: told.get("found").and_then(Value::as_bool).unwrap_or(false),
                };
            }
        }
    }
}

fn evidence(told: &Value, side: &str) -> Option<Evidence> {
    let attempt = told.get("attempt")?.as_u64()?;
    let said = told.get(side)?;
    Some(Evidence {
        attempt: u32::try_from(attempt).ok()?,
        asked_at: BootTime::from_nanos(said.get("askedAt")?.as_u64()?),
        is_pass: said.get("pass")?.as_bool()?,
        has_passed: said.get("passed")?.as_bool()?,
        said: Arc::from(latest(said)?),
    })
}

/// What is of interest: what made it pass, or what is wrong with it now.
fn latest(said: &Value) -> Option<&str> {
    let text = |key: &str| said.get(key).and_then(Value::as_str);
    let is_pass = said.get("pass").and_then(Value::as_bool) == Some(true);
    if is_pass { text("said") } else { text("last").or_else(|| text("said")) }
}

impl Facts {
    /// The health of an instance, for programs.
    #[must_use]
    pub fn health_json(&self, id: &InstanceId) -> Value {
        let mut health = Map::new();
        let told = self.told.instances.get(&id.to_string());
        for side in ["ready", "live"] {
            if let Some(said) = told.and_then(|told| told.get(side)).filter(|said| !said.is_null()) {
                let at = said.get("askedAt").and_then(Value::as_u64).map(|at| rfc3339(wall(&self.now, at)));
                let fact = json!({ "pass": said.get("pass"), "said": latest(said), "at": at });
                health.insert(side.to_owned(), fact);
            }
        }
        if let Some(beats) = told.and_then(|told| told.get("heartbeat")).filter(|beats| !beats.is_null()) {
            health.insert("heartbeat".to_owned(), beats.clone());
        }
        if let Some(status) = self.status_of(id) {
            health.insert("status".to_owned(), status.into());
        }
        Value::Object(health)
    }

    /// What an instance last said of itself (`STATUS=` of `sd_notify`).
    fn status_of(&self, id: &InstanceId) -> Option<String> {
        let alive = self.alive(id)?;
        notify::status(&self.home.as_ref()?.records(id), alive.attempt)
    }

    /// The health of an instance, for people: lines of two more blanks than its own.
    #[must_use]
    pub fn health_lines(&self, id: &InstanceId) -> String {
        let mut text = String::new();
        let told = self.told.instances.get(&id.to_string());
        for side in ["ready", "live"] {
            let Some(said) = told.and_then(|told| told.get(side)).filter(|said| !said.is_null()) else { continue };
            let what = match said.get("pass").and_then(Value::as_bool) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known yet",
            };
            // Writing into a String cannot fail.
            _ = writeln!(text, "  {:<10} {what}{}", format!("{side}:"), detail(&self.now, said));
        }
        if let Some(beats) = told.and_then(|told| told.get("heartbeat")).filter(|beats| !beats.is_null()) {
            text.push_str(&beat_lines(beats));
        }
        if !self.told.is_answered && self.alive(id).is_some() && self.is_probed(id) {
            _ = writeln!(text, "  {:<10} nobody asks it now: no controller answers", "probes:");
        }
        text
    }

    fn is_probed(&self, id: &InstanceId) -> bool {
        let spec = self.stored.objects.get(&id.object).map(|stored| &stored.spec);
        spec.is_some_and(|spec| ["ready", "live", "heartbeat"].iter().any(|field| spec.get(field).is_some()))
    }
}

fn detail(now: &Now, said: &Value) -> String {
    let since = said.get("askedAt").and_then(Value::as_u64).map(|at| age_of(now.boot.since(BootTime::from_nanos(at))));
    match (latest(said), since) {
        (Some(said), Some(since)) => format!(" for {since}; {said}"),
        (Some(said), None) => format!("; {said}"),
        (None, _) => String::new(),
    }
}

fn beat_lines(beats: &Value) -> String {
    let number = |key: &str| beats.get(key).and_then(Value::as_u64).unwrap_or(0);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let last = match (text(beats, "began"), text(beats, "ended")) {
        // Both in UTC with equal digits, so text compares as time.
        (Some(began), Some(ended)) if began <= ended => format!(", the last from {began} to {ended}"),
        (Some(began), _) => format!(", one under way since {began}"),
        (None, _) => String::new(),
    };
    let (count, failed, skipped) = (number("count"), number("failed"), number("skipped"));
    let mut lines = format!("  {:<10} {count} done, {failed} failed, {skipped} skipped{last}\n", "heartbeat:");
    if let Some(failure) = beats.get("lastFailure").filter(|failure| !failure.is_null()) {
        let (at, said) = (text(failure, "at").unwrap_or_default(), text(failure, "said").unwrap_or_default());
        // Writing into a String cannot fail.
        _ = writeln!(lines, "  {:<10} failed at {at}: {said}", "");
    }
    lines
}

/// The wall-clock time of a moment of this boot.
fn wall(now: &Now, boot_nanos: u64) -> Timestamp {
    let ago = u64::try_from(now.boot.since(BootTime::from_nanos(boot_nanos)).as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(now.wall.nanos().saturating_sub(ago))
}
