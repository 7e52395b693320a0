//! pitchfork.toml.
//!
//! In: `[daemons.x]`. Out: a Service per daemon, with a Trigger for the files it watches and for its hooks; a CronJob of one
//! with a schedule. Not here: `[settings]`.
//!
//! A daemon without `retry` is not started again when it fails, so `restart: never` is written down.
//! The surprise: `ready_output` is a pattern and `ready.log` is a text, so only a pattern that is one carries over as it is.

use serde_json::json;

use super::beside::Watched;
use super::source::Key;
use super::work::{Rule, Rules, Work};
use super::{Format, Import, procfile, source, words};
use crate::engine::schedule::Schedule;
use crate::kind::address::{HttpAddress, TcpAddress};
use crate::kind::cronjob;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "pitchfork",
    about: "pitchfork.toml",
    files: &["pitchfork*.toml"],
    read: |file, text| source::toml_with(file, text, "daemons", "a daemon is a table: [daemons.web]"),
    import,
};

const KEYS: Rules = &[
    ("run", Rule::To(run)),
    ("dir", Rule::To(|work, key| work.dir(key))),
    ("env", Rule::To(|work, key| work.environment(key, false))),
    ("user", Rule::To(|work, key| work.text(key, "user"))),
    ("retry", Rule::To(retry)),
    ("depends", Rule::Each(|work, key| work.need(key, key.text().unwrap_or_default(), None, ""))),
    ("ready_delay", Rule::To(|work, key| probe(work, key, |work, key| work.duration(key, "ready.delay", span(key))))),
    ("ready_output", Rule::To(|work, key| probe(work, key, ready_output))),
    ("ready_http", Rule::To(|work, key| probe(work, key, ready_http))),
    ("ready_port", Rule::To(|work, key| probe(work, key, ready_port))),
    ("ready_cmd", Rule::To(|work, key| probe(work, key, ready_cmd))),
    ("ready_timeout", Rule::To(|work, key| work.duration(key, "ready.startup", span(key)))),
    ("stop_signal", Rule::To(stop_signal)),
    ("stop_timeout", Rule::To(|work, key| work.grace(key, span(key)))),
    ("memory_limit", Rule::To(|work, key| work.size(key, "limits.memory"))),
    ("cpu_limit", Rule::To(cpu_limit)),
    ("boot_start", Rule::To(|work, key| work.said(key, "", BOOT))),
    ("auto", Rule::Drop("a service is up while it is applied; nothing starts or stops it when you enter a folder")),
    ("cron", Rule::To(cron)),
    ("watch", Rule::To(watch)),
    ("watch_base_dir", Rule::To(|work, key| work.said(key, "", "it is part of the Trigger beside it"))),
    ("watch_*", Rule::Drop("changes are told by the kernel, and looked for every 30s besides")),
    ("hooks", Rule::To(|work, key| work.apply(HOOKS, key))),
    ("mise", Rule::Drop("put `mise exec --` in front of `run` yourself")),
    ("port", Rule::To(port)),
    ("expected_port", Rule::To(port)),
    ("auto_bump_port", Rule::Drop("a port that is taken is not replaced by another")),
    ("port_bump_attempts", Rule::Drop("a port that is taken is not replaced by another")),
    ("bump_port", Rule::Drop("a port that is taken is not replaced by another")),
    ("proxy*", Rule::Drop("setpoint is no proxy")),
    ("slug", Rule::Drop("setpoint is no proxy")),
    ("namespace", Rule::To(|work, key| work.label(key, "namespace"))),
    ("description", Rule::To(|work, key| work.annotation(key, "description"))),
    ("pty", Rule::To(|work, key| work.flag(key, "tty"))),
];

const HOOKS: Rules = &[
    ("on_ready", Rule::To(|work, key| work.answer(key, "service.ready", "a Trigger beside it runs the command"))),
    ("on_retry", Rule::To(|work, key| work.answer(key, "service.restarted", "a Trigger beside it runs the command"))),
    ("on_fail", Rule::To(on_fail)),
    ("*", Rule::Drop("no event is this one: `setpoint explain trigger.event` says what there is to wait for")),
];

const FAILS: &str = "a Trigger beside it runs the command when it is left down after too many crashes";

const BOOT: &str =
    "what is applied is up while the controller is; `setpoint controller install` starts that with the machine";

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(daemons) = root.get("daemons") else { return };
    import.report.note(procfile::INHERITED);
    let daemons = daemons.fields();
    let peers = daemons.iter().map(|daemon| (daemon.name().to_owned(), super::draft::sane(daemon.name()))).collect();
    import.peers = peers;
    for daemon in &daemons {
        let mut work = import.service(daemon.name(), daemon);
        work.draft.set("restart", json!("never"));
        work.apply(KEYS, daemon);
        work.default_dir();
        if work.draft.get("run").is_none() {
            work.report.drop_rest("", daemon, "a daemon without `run` is no service");
        }
        work.finish();
    }
    for (key, why) in [
        ("settings", "this is about pitchfork itself"),
        ("namespace", "there are no namespaces: a name is unique within its kind"),
        ("slugs", "setpoint is no proxy"),
    ] {
        root.get(key).iter().for_each(|key| import.report.drop_rest("", key, why));
    }
}

/// A number is seconds.
fn span(key: &Key<'_>) -> Option<std::time::Duration> {
    key.text().and_then(|text| words::span(text, "s"))
}

fn run(work: &mut Work<'_>, key: &Key<'_>) {
    let Some(line) = key.text() else { return work.odd(key, "command") };
    work.map(key, "run", line);
    if line.contains("{{") {
        work.said(key, "run", "its {{ }} are not filled in: write what they stand for");
    }
}

fn retry(work: &mut Work<'_>, key: &Key<'_>) {
    match (key.text(), key.count()) {
        (Some("true"), _) => {
            work.draft.set("backoff.giveUp", json!("never"));
            work.map(key, "restart", "on-failure");
        }
        (Some("false"), _) | (_, Some(0)) => work.same(key, "restart"),
        (_, Some(count)) if count <= 1_000_000 => {
            work.draft.set("restart", json!("on-failure"));
            let how = "deaths within 1m of a start count (backoff.resetAfter), one more than the retries";
            work.near(key, "backoff.giveUpAfter", count + 1, how);
        }
        _ => work.odd(key, "number of retries"),
    }
}

/// Only one of them counts; pitchfork takes the first that succeeds.
fn probe(work: &mut Work<'_>, key: &Key<'_>, rule: fn(&mut Work<'_>, &Key<'_>)) {
    let named = ["http", "tcp", "command", "log", "delay"];
    if named.iter().any(|probe| work.draft.get("ready").is_some_and(|ready| ready.get(probe).is_some())) {
        return work.drop(key, "there is one probe of readiness, and another key gave it");
    }
    rule(work, key);
}

fn ready_output(work: &mut Work<'_>, key: &Key<'_>) {
    let pattern = key.text().unwrap_or_default();
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => text.push(escaped),
                _ => return work.drop(key, "`ready.log` looks for a text, and this is a pattern"),
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return work.drop(key, "`ready.log` looks for a text, and this is a pattern");
            }
            other => text.push(other),
        }
    }
    work.map(key, "ready.log", text);
}

fn ready_http(work: &mut Work<'_>, key: &Key<'_>) {
    let (url, timeout) = match key.get("url") {
        Some(url) => (url, key.get("timeout")),
        None => (key.clone(), None),
    };
    match url.text().and_then(|url| url.parse::<HttpAddress>().ok()) {
        Some(address) => work.map(&url, "ready.http", address.to_string()),
        None => work.odd(&url, "address"),
    }
    if let Some(timeout) = timeout {
        work.duration(&timeout, "ready.startup", span(&timeout));
    }
}

fn ready_port(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().and_then(|port| port.parse::<TcpAddress>().ok()) {
        Some(_) if key.count().is_some() => work.count(key, "ready.tcp", 1, 65535),
        Some(address) => work.map(key, "ready.tcp", address.to_string()),
        None => work.odd(key, "port"),
    }
}

fn ready_cmd(work: &mut Work<'_>, key: &Key<'_>) {
    let command = key.get("run").unwrap_or_else(|| key.clone());
    match command.text() {
        Some(line) => work.map(&command, "ready.command", vec!["/bin/sh", "-c", line]),
        None => work.odd(&command, "command"),
    }
}

fn stop_signal(work: &mut Work<'_>, key: &Key<'_>) {
    let signal = key.get("signal").unwrap_or_else(|| key.clone());
    work.signal(&signal, "stop.signal");
    if let Some(timeout) = key.get("timeout") {
        work.grace(&timeout, span(&timeout));
    }
}

fn cpu_limit(work: &mut Work<'_>, key: &Key<'_>) {
    // Percent of one core.
    match key.text().and_then(|text| text.trim_end_matches('%').parse::<f64>().ok()).filter(|percent| *percent > 0.0) {
        Some(percent) if (percent % 100.0) == 0.0 => work.map(key, "limits.cpu", (percent / 100.0) as u64),
        Some(percent) => work.map(key, "limits.cpu", percent / 100.0),
        None => work.odd(key, "percentage"),
    }
}

/// With a schedule it is a CronJob. Six fields begin with seconds.
fn cron(work: &mut Work<'_>, key: &Key<'_>) {
    let times = key.get("schedule").unwrap_or_else(|| key.clone());
    let fields: Vec<&str> = times.text().unwrap_or_default().split_whitespace().collect();
    let (text, is_near) = match fields.as_slice() {
        [second, rest @ ..] if rest.len() == 5 => (rest.join(" "), *second != "0"),
        fields => (fields.join(" "), false),
    };
    if Schedule::parse(&text).is_err() {
        work.odd(key, "schedule");
        return work.draft.set("replicas", json!(0));
    }
    work.draft.kind = &cronjob::DEF;
    work.report.is_of(&work.draft.name, cronjob::DEF.lower);
    work.draft.set("schedule", json!(text));
    match is_near {
        true => work.said(&times, "schedule", "it is due at the full minute, not at a second"),
        false => work.same(&times, "schedule"),
    }
    let Some(again) = key.get("retrigger") else { return };
    match again.text().unwrap_or_default() {
        "finish" => work.same(&again, "overlap"),
        "always" => work.map(&again, "overlap", "replace"),
        _ => work.drop(&again, "how the run before it ended makes no difference; `when` of a Workflow's step can ask"),
    }
}

/// What is not started again is not given up on.
fn on_fail(work: &mut Work<'_>, key: &Key<'_>) {
    match work.draft.get("restart") == Some(&json!("never")) {
        true => work.drop(key, "without `retry` an end is no failure here; with `retry = 1` a Trigger would answer it"),
        false => work.answer(key, "service.gave-up", FAILS),
    }
}

/// It is started anew when one of these changes.
fn watch(work: &mut Work<'_>, key: &Key<'_>) {
    let base = work.section.text_of("watch_base_dir").or(work.section.text_of("dir")).unwrap_or(".").to_owned();
    let inside = |path: &str| {
        if path.starts_with(['/', '~']) || base == "." { path.to_owned() } else { format!("{base}/{path}") }
    };
    let paths = key.items().iter().filter_map(|item| item.text().map(inside)).collect();
    work.restart_on(key, &Watched { paths, ..Watched::default() });
}

/// The port a daemon is told in `$PORT`.
fn port(work: &mut Work<'_>, key: &Key<'_>) {
    let first = key.get("expect").unwrap_or_else(|| key.clone());
    match first.items().first().and_then(|item| item.count()).filter(|port| (1..65536).contains(port)) {
        Some(port) => {
            work.draft.set_env("PORT", json!(port.to_string()));
            work.said(key, "env.PORT", "the number is fixed: when it is taken, no other is chosen");
        }
        None => work.odd(key, "port"),
    }
}
