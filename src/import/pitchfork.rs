//! pitchfork.toml.
//!
//! In: `[daemons.x]`. Out: a Service per daemon. Not here: `[settings]`, and daemons on a schedule, whose kind is not there
//! yet.
//!
//! A daemon without `retry` is not started again when it fails, so `restart: never` is written down.
//! The surprise: `ready_output` is a pattern and `ready.log` is a text, so only a pattern that is one carries over as it is.

use serde_json::json;

use super::source::Key;
use super::work::{Rule, Rules, Work};
use super::{Format, Import, procfile, source, words};
use crate::kind::address::{HttpAddress, TcpAddress};

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
    ("watch*", Rule::Drop("files are not watched; a Trigger will do that, and is not there yet")),
    ("hooks", Rule::Drop("no command is run at events; a Trigger will do that, and is not there yet")),
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

fn cron(work: &mut Work<'_>, key: &Key<'_>) {
    work.drop(key, "a schedule is a CronJob, which is not there yet; the service is written with `replicas: 0`");
    work.draft.set("replicas", json!(0));
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
