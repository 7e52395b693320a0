//! What single keys of a unit become.
//!
//! In: a key. Out: a field of the draft and a mark. Not here: commands and environments (`exec`).
//! The surprise: systemd's limit of starts within an interval and a count of deaths in a row are not the same; the nearest
//! is that who outlives the interval divided by the burst is forgiven.

use serde_json::json;

use super::keys::FRONT;
use super::{failure, specified};
use crate::import::source::Key;
use crate::import::words;
use crate::import::work::Work;

pub fn text(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    match specified(work, key.text().unwrap_or_default()) {
        Some(text) if !text.is_empty() => work.map(key, field, text),
        Some(_) => work.same(key, field),
        None => work.odd(key, "text"),
    }
}

pub fn annotate(work: &mut Work<'_>, key: &Key<'_>, name: &str) {
    let text =
        specified(work, key.text().unwrap_or_default()).unwrap_or_else(|| key.text().unwrap_or_default().to_owned());
    let known =
        work.draft.get("annotations").and_then(|all| all.get(name)).and_then(|text| text.as_str()).unwrap_or("");
    let text = if known.is_empty() { text } else { format!("{known} {text}") };
    work.draft.inside("annotations", name, json!(text));
    work.same(key, &format!("annotations.{name}"));
}

/// Units this one waits for, as far as they are imported with it.
pub fn needs(work: &mut Work<'_>, key: &Key<'_>, how: &str) {
    let mut others = Vec::new();
    let mut found = false;
    for unit in key.text().unwrap_or_default().split_whitespace() {
        let name = unit.strip_suffix(".service").and_then(|stem| work.peers.get(stem)).cloned();
        match name.filter(|name| *name != work.draft.name) {
            Some(name) => {
                work.draft.push("needs", json!(name));
                found = true;
            }
            None => others.push(unit.to_owned()),
        }
    }
    let left = format!("{} is no service that is imported with it", others.join(", "));
    match (found, others.is_empty(), how) {
        (true, true, "") => work.same(key, "needs"),
        (true, true, how) => work.said(key, "needs", how),
        (true, false, "") => work.said(key, "needs", &left),
        (true, false, how) => work.said(key, "needs", &format!("{how}; {left}")),
        (false, true, _) => work.same(key, ""),
        (false, false, _) => work.drop(key, &left),
    }
}

/// Units that are started when this one fails, as far as they are imported with it.
pub fn on_failure(work: &mut Work<'_>, key: &Key<'_>) {
    let units = specified(work, key.text().unwrap_or_default()).unwrap_or_default();
    let stems: Vec<&str> = units.split_whitespace().filter_map(|unit| unit.strip_suffix(".service")).collect();
    let known = |stem: &&str| work.peers.contains_key(*stem);
    let (there, missing): (Vec<&str>, Vec<&str>) = stems.into_iter().partition(known);
    if there.is_empty() || !missing.is_empty() {
        let why = "what it names is not imported with it: write a Trigger with `event: [service.gave-up, job.failed]`";
        return work.drop(key, why);
    }
    for stem in there {
        work.failures.entry(stem.to_owned()).or_default().push(work.draft.name.clone());
        let how =
            "a Trigger does it: of a service when it is left down, of a run when it fails, the first of many in a row";
        work.said(key, &failure::field(stem), how);
    }
}

pub fn span(key: &Key<'_>) -> Option<std::time::Duration> {
    key.text().and_then(|text| words::span(text, "s"))
}

pub fn kind_of_start(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "simple" | "exec" | "idle" | "" => work.same(key, "run"),
        "notify" => work.map(key, "ready.notify", true),
        "notify-reload" => work.near(key, "ready.notify", true, "there is no reload"),
        "oneshot" => {
            let how =
                "what ends by itself is done once for each change, and not at each boot, unless a timer starts it";
            work.said(key, "", how);
        }
        "forking" => work.drop(key, &format!("{FRONT}; add its option for that")),
        "dbus" => work.drop(key, "D-Bus is not watched; `ready: { command: [..] }` can ask for a name"),
        _ => work.odd(key, "type"),
    }
}

pub fn folder(work: &mut Work<'_>, key: &Key<'_>) {
    let text = specified(work, key.text().unwrap_or_default());
    let (text, is_optional) = match text.as_deref().map(|text| (text, text.strip_prefix('-'))) {
        Some((_, Some(rest))) => (rest, true),
        Some((text, None)) => (text, false),
        None => return work.odd(key, "path"),
    };
    match work.path(text) {
        Some(dir) if is_optional => work.near(key, "dir", dir, "it must exist"),
        Some(dir) => work.map(key, "dir", dir),
        None => work.odd(key, "path"),
    }
}

pub fn pass_environment(work: &mut Work<'_>, key: &Key<'_>) {
    for name in key.text().unwrap_or_default().split_whitespace().filter(|name| words::is_variable(name)) {
        work.draft.push("inheritEnv", json!(name));
    }
    work.said(key, "inheritEnv", "they are those of the controller, not of systemd");
}

pub fn restart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "no" | "" => work.map(key, "restart", "never"),
        "always" => work.map(key, "restart", "always"),
        "on-failure" => work.map(key, "restart", "on-failure"),
        "on-success" => work.near(key, "restart", "always", "it is started again after failures, too"),
        "on-abnormal" | "on-abort" | "on-watchdog" => {
            work.near(key, "restart", "on-failure", "it is started again after any exit but 0");
        }
        _ => work.odd(key, "restart rule"),
    }
}

pub fn restart_sec(work: &mut Work<'_>, key: &Key<'_>) {
    work.pause(key, span(key));
    if work.section.get("Service").is_some_and(|own| own.get("RestartMaxDelaySec").is_some()) {
        work.draft.remove(&["backoff".to_owned(), "factor".to_owned()]);
    }
}

pub fn limit_burst(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().filter(|count| *count <= 1_000_000) {
        Some(count) => {
            work.near(key, "backoff.giveUpAfter", count, "deaths in a row count, not starts within an interval")
        }
        None => work.odd(key, "whole number"),
    }
}

pub fn limit_interval(work: &mut Work<'_>, key: &Key<'_>) {
    let burst =
        ["Unit", "Service"].iter().find_map(|section| work.section.get(section)?.get("StartLimitBurst")?.count());
    let burst = u32::try_from(burst.unwrap_or(5)).unwrap_or(5);
    match span(key) {
        Some(span) if span.is_zero() || burst == 0 => {
            work.near(key, "backoff.giveUp", "never", "it is never given up");
        }
        Some(span) => {
            let each = (span / burst).max(std::time::Duration::from_millis(100));
            work.duration(key, "backoff.resetAfter", Some(std::time::Duration::from_secs(each.as_secs().max(1))));
            work.said(key, "backoff.resetAfter", "who lived for the interval divided by the burst is forgiven");
        }
        None => work.odd(key, "duration"),
    }
}

pub fn grace(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default().trim() {
        "infinity" | "0" => work.near(key, "stop.grace", "1h", "the longest grace is 1h"),
        _ => work.grace(key, span(key)),
    }
}

pub fn startup(work: &mut Work<'_>, key: &Key<'_>) {
    let is_notify = work
        .section
        .get("Service")
        .is_some_and(|own| own.text_of("Type").is_some_and(|kind| kind.starts_with("notify")));
    match (is_notify, span(key)) {
        (false, _) => work.drop(key, "without readiness there is no start to time out"),
        (true, Some(span)) if !span.is_zero() => work.duration(key, "ready.startup", Some(span)),
        (true, _) => work.drop(key, "a start-up allowance has an end; it is left as it is"),
    }
}

pub fn kill_mode(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "control-group" => work.same(key, "run"),
        "mixed" => work.same(key, "run"),
        "process" | "none" => {
            work.said(key, "stop", "nothing of it is left running: the rest is killed after the grace")
        }
        _ => work.odd(key, "kill mode"),
    }
}

pub fn watchdog(work: &mut Work<'_>, key: &Key<'_>) {
    match span(key) {
        Some(span) if !span.is_zero() => {
            work.draft.set("live.notify", json!(true));
            work.duration(key, "live.timeout", Some(span));
        }
        Some(_) => work.same(key, ""),
        None => work.odd(key, "duration"),
    }
}

/// `soft`, `soft:hard` or `infinity`.
pub fn limit(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    let text = key.text().unwrap_or_default();
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    if soft == "infinity" {
        return work.drop(key, "there is no limit anyway, beyond what the controller has");
    }
    let is_size = matches!(field, "limits.memory" | "limits.fileSize" | "limits.stack" | "limits.core");
    let value = match is_size {
        true => words::size(soft).map(|bytes| json!(crate::kind::units::Size(bytes).to_string())),
        false => words::size(soft).map(|count| json!(count)),
    };
    let value = value.map(|value| if field == "limits.core" && value == json!("0") { json!(0) } else { value });
    match value {
        Some(value) if soft == hard => work.map(key, field, value),
        Some(value) => work.near(key, field, value, "the soft limit is taken for both"),
        None => work.odd(key, "number"),
    }
}

pub fn cpu_quota(work: &mut Work<'_>, key: &Key<'_>) {
    let percent = key.text().and_then(|text| text.trim().strip_suffix('%')?.parse::<u32>().ok());
    match percent.filter(|percent| *percent > 0) {
        Some(percent) if percent % 100 == 0 => work.map(key, "limits.cpu", percent / 100),
        Some(percent) => work.map(key, "limits.cpu", f64::from(percent) / 100.0),
        None => work.odd(key, "percentage"),
    }
}

pub fn number(work: &mut Work<'_>, key: &Key<'_>, field: &str, range: std::ops::RangeInclusive<i64>) {
    match key.text().and_then(|text| text.trim().parse::<i64>().ok()).filter(|number| range.contains(number)) {
        Some(number) => work.map(key, field, number),
        None => work.odd(key, "number in its range"),
    }
}

pub fn stream(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "journal" | "inherit" | "" => work.said(key, "log", "`setpoint logs` shows it, not the journal"),
        "null" => work.said(key, "log", "output is kept anyway, as much as `log` says"),
        _ => work.said(key, "log", "output is kept by setpoint, and goes nowhere else: `setpoint logs`"),
    }
}

pub fn input(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "null" | "" => work.same(key, ""),
        text if text.starts_with("tty") => {
            work.near(key, "tty", true, "it has a terminal of its own; `setpoint attach` joins it")
        }
        _ => work.drop(key, "standard input is empty"),
    }
}
