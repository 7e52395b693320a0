//! systemd timer units.
//!
//! In: a `.timer` and what its service became. Out: that as a CronJob. Not here: calendar expressions (`calendar`).
//! The surprise: a timer is read behind all services, whatever the order of files, because it only says when.

use std::time::Duration;

use serde_json::json;

use super::calendar;
use super::keys::INSTALL;
use super::rules::{annotate, span};
use crate::engine::schedule::Schedule;
use crate::import::Import;
use crate::import::source::Key;
use crate::import::work::{Rule, Rules, Work};
use crate::kind::cronjob;

/// `[Unit]` of a timer.
const UNIT: Rules = &[
    ("Description", Rule::To(|work, key| annotate(work, key, "timer"))),
    ("Documentation", Rule::Each(|work, key| annotate(work, key, "documentation"))),
    ("X-*", Rule::Drop("systemd ignores it, too")),
    ("*", Rule::Drop("a CronJob waits for its time and for nothing else")),
];

/// `[Timer]`.
const TIMER: Rules = &[
    ("OnCalendar", Rule::Each(on_calendar)),
    ("OnUnitActiveSec", Rule::To(every)),
    ("OnUnitInactiveSec", Rule::Drop("a schedule does not count from the end of a run; `every` counts from its start")),
    ("OnBootSec", Rule::To(boot)),
    ("OnStartupSec", Rule::To(boot)),
    ("OnActiveSec", Rule::Drop("what is applied is not run at once by that; `setpoint run` does it by hand")),
    ("RandomizedDelaySec", Rule::To(jitter)),
    ("FixedRandomDelay", Rule::To(|work, key| work.same(key, "jitter"))),
    ("RandomizedOffsetSec", Rule::To(jitter)),
    ("AccuracySec", Rule::To(|work, key| work.same(key, ""))),
    ("Persistent", Rule::To(persistent)),
    ("Unit", Rule::To(|work, key| work.same(key, ""))),
    ("RemainAfterElapse", Rule::To(|work, key| work.same(key, ""))),
    ("WakeSystem", Rule::Drop("setpoint wakes no machine")),
    ("OnClockChange", Rule::Drop("a step of the clock starts nothing")),
    ("OnTimezoneChange", Rule::Drop("a change of the zone starts nothing")),
];

/// Makes a CronJob of what this timer starts.
pub fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(timer) = root.get("Timer") else { return };
    let unit = timer.text_of("Unit").map_or_else(|| format!("{}.service", import.stem), str::to_owned);
    let name = unit.strip_suffix(".service").and_then(|stem| import.units.get(stem)).cloned();
    let place = name.and_then(|name| import.made.iter().position(|draft| draft.name == name));
    let Some(place) = place else {
        let why = "the service it starts is not imported with it: name both files, or their folder";
        return import.report.drop_rest("", root, why);
    };
    if import.made.get(place).is_some_and(|draft| draft.kind.lower == cronjob::DEF.lower) {
        return import.report.drop_rest("", root, "another timer starts the same service already");
    }
    let mut draft = import.made.remove(place);
    draft.kind = &cronjob::DEF;
    let mut work = import.work(draft, root);
    work.draft.set("missed", json!("skip"));
    if let Some(unit) = root.get("Unit") {
        work.apply(UNIT, &unit);
    }
    if let Some(install) = root.get("Install") {
        work.apply(INSTALL, &install);
    }
    work.apply(TIMER, &timer);
    if work.draft.get("schedule").is_some() || work.draft.get("every").is_some() {
        return work.finish();
    }
    let name = work.draft.name.clone();
    work.report.drop_rest(&name, root, super::super::work::UNKNOWN);
    work.report.refuse(&name, "", "nothing came of it, since when it runs cannot be said here");
}

fn on_calendar(work: &mut Work<'_>, key: &Key<'_>) {
    let text = key.text().unwrap_or_default();
    if text.is_empty() {
        work.draft.remove(&["schedule".to_owned()]);
        return work.same(key, "schedule");
    }
    let calendar = match calendar::of(text) {
        Ok(calendar) if Schedule::parse(&calendar.schedule).is_ok() => calendar,
        Ok(_) => return work.drop(key, "there is no such time"),
        Err(why) => return work.drop(key, why),
    };
    let zone = calendar.zone.map(|zone| json!(zone));
    let is_first = work.draft.get("schedule").is_none();
    if !is_first && work.draft.get("timeZone") != zone.as_ref() {
        return work.drop(key, "all times of a CronJob are of one zone, and those above name another");
    }
    if let Some(zone) = zone {
        work.draft.set("timeZone", zone);
    }
    add(work, &calendar.schedule);
    work.same(key, "schedule");
}

/// Adds a text to the schedule; the first stands alone.
fn add(work: &mut Work<'_>, text: &str) {
    match work.draft.get("schedule").cloned() {
        None => work.draft.set("schedule", json!(text)),
        Some(serde_json::Value::String(first)) if first == text => {}
        Some(serde_json::Value::String(first)) => work.draft.set("schedule", json!([first, text])),
        Some(_) => work.draft.push("schedule", json!(text)),
    }
}

fn has(work: &Work<'_>, name: &str) -> bool {
    work.section.get("Timer").is_some_and(|timer| timer.get(name).is_some())
}

fn every(work: &mut Work<'_>, key: &Key<'_>) {
    match span(key) {
        _ if has(work, "OnCalendar") => work.drop(key, "beside a schedule there is no `every`"),
        Some(span) if span >= Duration::from_secs(1) => {
            work.duration(key, "every", Some(span));
            work.said(key, "every", "it is counted from the first apply, not from each start");
        }
        Some(_) => work.drop(key, "what runs all the time is a Service"),
        None => work.odd(key, "duration"),
    }
}

fn boot(work: &mut Work<'_>, key: &Key<'_>) {
    match span(key) {
        _ if has(work, "OnUnitActiveSec") && !has(work, "OnCalendar") => {
            work.drop(key, "beside `every` there is no start at boot");
        }
        Some(span) => {
            add(work, "@reboot");
            // Nobody notices a second at a boot.
            match span <= Duration::from_secs(1) {
                true => work.same(key, "schedule"),
                false => work.said(key, "schedule", "it starts as soon as the controller does; put a sleep before it"),
            }
        }
        None => work.odd(key, "duration"),
    }
}

fn jitter(work: &mut Work<'_>, key: &Key<'_>) {
    let is_fixed = work.section.get("Timer").and_then(|timer| timer.get("FixedRandomDelay")?.bool()) == Some(true);
    match span(key) {
        Some(span) if span.is_zero() => work.same(key, "jitter"),
        span => {
            work.duration(key, "jitter", span);
            if span.is_some() && !is_fixed && key.name() == "RandomizedDelaySec" {
                work.said(key, "jitter", "it is the same delay every time, not a new one");
            }
        }
    }
}

fn persistent(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => {
            // However long ago: systemd sets no end to it.
            work.draft.set("missedWithin", json!("366d"));
            work.map(key, "missed", "once");
        }
        Some(false) => work.map(key, "missed", "skip"),
        None => work.odd(key, "boolean"),
    }
}
