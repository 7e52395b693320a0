//! process-compose.yaml.
//!
//! In: `processes`, and the environment around them. Out: a Service per process, or a CronJob of one with a schedule. Not
//! here: its screen and its server.
//!
//! A process without `availability` is not started again, so `restart: never` is written down.
//! The surprise: commands run by bash there and by /bin/sh here, unless the file names a shell: then `run` is a list with
//! that shell in it.

use serde_json::json;

use super::source::Key;
use super::work::{Rule, Rules, Work, relative};
use super::{Format, Import, procfile, source, words};
use crate::engine::schedule::Schedule;
use crate::kind::address::HttpAddress;
use crate::kind::cronjob;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "process-compose",
    about: "process-compose.yaml",
    files: &["process-compose*.yaml", "process-compose*.yml"],
    read: |file, text| {
        source::yaml_with(file, text, "processes", "a process is `processes: { web: { command: npm start } }`")
    },
    import,
};

const KEYS: Rules = &[
    ("command", Rule::To(|work, key| work.same(key, "run"))),
    ("entrypoint", Rule::To(|work, key| work.same(key, "run"))),
    ("working_dir", Rule::To(working_dir)),
    ("environment", Rule::To(|work, key| work.environment(key, true))),
    ("env_file", Rule::Each(env_file)),
    ("description", Rule::To(|work, key| work.annotation(key, "description"))),
    ("namespace", Rule::To(|work, key| work.label(key, "namespace"))),
    ("replicas", Rule::To(|work, key| work.count(key, "replicas", 0, 1000))),
    ("disabled", Rule::To(disabled)),
    ("is_disabled", Rule::To(disabled)),
    ("is_tty", Rule::To(|work, key| work.flag(key, "tty"))),
    ("depends_on", Rule::To(depends_on)),
    ("availability", Rule::To(|work, key| work.apply(AVAILABILITY, key))),
    ("shutdown", Rule::To(|work, key| work.apply(SHUTDOWN, key))),
    ("readiness_probe", Rule::To(|work, key| probe(work, key, "ready"))),
    ("liveness_probe", Rule::To(|work, key| probe(work, key, "live"))),
    ("ready_log_line", Rule::To(ready_log_line)),
    ("log_location", Rule::To(log_location)),
    ("log_configuration", Rule::To(|work, key| work.apply(LOG, key))),
    ("schedule", Rule::To(|work, key| work.apply(SCHEDULE, key))),
    ("is_daemon", Rule::Drop("setpoint follows the process it started: it must stay in the foreground")),
    ("is_foreground", Rule::Drop("nothing waits for a terminal; `tty: true` and `setpoint attach` give it one")),
    ("is_elevated", Rule::Drop("nobody is asked for a password: run the controller as root, and name a `user`")),
    ("launch_timeout_seconds", Rule::Drop("only a daemon that forks has one, and those are not followed")),
    ("watch", Rule::Drop("write a Trigger with `watch`, and `run: setpoint restart service/NAME`")),
    ("vars", Rule::Drop("text is not a template here: write what they stand for")),
    ("is_template_disabled", Rule::Drop("text is not a template here")),
    ("is_dotenv_disabled", Rule::To(|work, key| work.same(key, "envFile"))),
    ("disable_dotenv", Rule::To(|work, key| work.same(key, "envFile"))),
    ("disable_ansi_colors", Rule::Drop(SCREEN)),
    ("mcp", Rule::Drop(SCREEN)),
    ("extends", Rule::Drop("files are not merged: import what process-compose makes of them")),
];

const SCHEDULE: Rules = &[
    ("cron", Rule::To(cron)),
    ("interval", Rule::To(interval)),
    ("timezone", Rule::To(|work, key| work.text(key, "timeZone"))),
    ("run_on_start", Rule::To(run_on_start)),
    ("max_concurrent", Rule::To(max_concurrent)),
];

const AVAILABILITY: Rules = &[
    ("restart", Rule::To(restart)),
    ("backoff_seconds", Rule::To(backoff_seconds)),
    ("max_restarts", Rule::To(max_restarts)),
    ("exit_on_end", Rule::Drop("when one ends, the others go on")),
    ("exit_on_skipped", Rule::Drop("when one ends, the others go on")),
];

const SHUTDOWN: Rules = &[
    ("command", Rule::Drop("a service is stopped by a signal and has its grace; no command is run")),
    ("timeout_seconds", Rule::To(|work, key| work.grace(key, seconds(key)))),
    ("signal", Rule::To(|work, key| work.signal(key, "stop.signal"))),
    ("parent_only", Rule::Drop("what is left of its tree after the grace is always killed")),
];

const LOG: Rules = &[
    ("rotation", Rule::To(|work, key| work.apply(ROTATION, key))),
    ("fields_order", Rule::Drop(LINES)),
    ("disable_json", Rule::Drop(LINES)),
    ("timestamp_format", Rule::Drop(LINES)),
    ("no_metadata", Rule::Drop(LINES)),
    ("add_timestamp", Rule::Drop(LINES)),
    ("no_color", Rule::Drop(LINES)),
    ("flush_each_line", Rule::Drop(LINES)),
];

const ROTATION: Rules = &[
    ("max_size_mb", Rule::To(max_size)),
    ("max_backups", Rule::To(max_backups)),
    ("max_age_days", Rule::Drop("logs are kept by number and size, not by age")),
    ("compress", Rule::Drop("logs are not compressed")),
    ("directory", Rule::Drop("logs are in the home: `setpoint logs` finds them")),
    ("filename", Rule::Drop("logs are in the home: `setpoint logs` finds them")),
];

const SCREEN: &str = "this is about process-compose's own screen and server";
const LINES: &str = "every line has its time, its stream and the text as it came";

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(processes) = root.get("processes") else { return };
    import.report.note(procfile::INHERITED);
    let processes = processes.fields();
    import.peers = processes.iter().map(|key| (key.name().to_owned(), super::draft::sane(key.name()))).collect();
    let is_dotenv = import.folder.join(".env").is_file();
    for process in &processes {
        let mut work = import.service(process.name(), process);
        work.draft.set("restart", json!("never"));
        for (name, rule) in [("environment", environment as fn(&mut Work<'_>, &Key<'_>)), ("env_cmds", env_cmds)] {
            root.get(name).iter().for_each(|key| rule(&mut work, key));
        }
        command(&mut work, root, process);
        work.apply(KEYS, process);
        let is_disabled = ["is_dotenv_disabled", "disable_dotenv"]
            .iter()
            .any(|name| process.get(name).and_then(|key| key.bool()) == Some(true));
        if is_dotenv
            && !is_disabled
            && let Some(file) = work.path(".env")
        {
            work.draft.push("envFile", json!(file));
        }
        work.default_dir();
        work.finish();
    }
    for key in root.fields() {
        let why = match key.name() {
            "version" => "it is the version of the file's format",
            "name" => "a set is named with --set when it is applied",
            "vars" => "text is not a template here: write what they stand for",
            "extends" => "files are not merged: import what process-compose makes of them",
            "shell" | "processes" | "environment" | "env_cmds" => continue,
            name if name.starts_with("log_") => "`setpoint logs` shows what each process printed",
            name if name.starts_with("x-") => "process-compose ignores it, too",
            "is_strict" | "is_tui_disabled" | "disable_env_expansion" | "ordered_shutdown" | "theme" | "mcp_server" => {
                SCREEN
            }
            _ => continue,
        };
        import.report.drop_rest("", &key, why);
    }
}

fn environment(work: &mut Work<'_>, key: &Key<'_>) {
    work.environment(key, true);
}

/// Variables that a command gives.
fn env_cmds(work: &mut Work<'_>, key: &Key<'_>) {
    for field in key.fields() {
        match field.text().filter(|_| words::is_variable(field.name())) {
            Some(line) => {
                work.draft.set_env(field.name(), json!({ "fromCommand": ["/bin/sh", "-c", line] }));
                work.same(&field, &format!("env.{}", field.name()));
            }
            None => work.odd(&field, "command for a variable"),
        }
    }
}

/// `command`, or `entrypoint` with it as arguments.
fn command(work: &mut Work<'_>, root: &Key<'_>, process: &Key<'_>) {
    let line = process.text_of("command").filter(|line| !line.trim().is_empty());
    let entrypoint = process.get("entrypoint").and_then(|key| key.texts()).filter(|words| !words.is_empty());
    match (entrypoint, line, root.get("shell")) {
        (Some(argv), _, _) => work.draft.set("run", json!(argv)),
        (None, Some(line), Some(shell)) => {
            let program = shell.text_of("shell_command").unwrap_or("bash");
            let argument = shell.text_of("shell_argument").unwrap_or("-c");
            work.draft.set("run", json!([program, argument, line]));
            shell.fields().iter().for_each(|key| work.same(key, "run"));
        }
        (None, Some(line), None) => {
            if let Some(key) = process.get("command") {
                work.line(&key, line);
                if line.contains("{{") {
                    work.said(&key, "run", "its {{ }} are not filled in: write what they stand for");
                }
            }
        }
        (None, None, _) => {}
    }
}

fn seconds(key: &Key<'_>) -> Option<std::time::Duration> {
    key.text().and_then(|text| words::span(text, "s"))
}

fn working_dir(work: &mut Work<'_>, key: &Key<'_>) {
    if let Some(text) = work.fill(key) {
        match work.path(&text) {
            Some(dir) => work.map(key, "dir", dir),
            None => work.odd(key, "path"),
        }
    }
}

fn env_file(work: &mut Work<'_>, key: &Key<'_>) {
    match work.fill(key).and_then(|text| work.path(&text)) {
        Some(file) => {
            work.draft.push("envFile", json!(file));
            work.same(key, "envFile");
        }
        None => work.odd(key, "path"),
    }
}

fn disabled(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.near(key, "replicas", 0, "`replicas: 0` keeps it down; raise it to start it"),
        Some(false) => work.same(key, "replicas"),
        None => work.odd(key, "boolean"),
    }
}

/// With a schedule it is a CronJob.
fn cron(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().filter(|text| Schedule::parse(text).is_ok()) {
        Some(text) => {
            ends(work);
            work.map(key, "schedule", text);
        }
        None => {
            work.odd(key, "schedule");
            work.draft.set("replicas", json!(0));
        }
    }
}

fn interval(work: &mut Work<'_>, key: &Key<'_>) {
    match seconds(key).filter(|span| span.as_secs() >= 1) {
        Some(span) => {
            ends(work);
            work.duration(key, "every", Some(span));
            work.said(key, "every", "it is counted from the first apply");
        }
        None => {
            work.odd(key, "interval");
            work.draft.set("replicas", json!(0));
        }
    }
}

fn ends(work: &mut Work<'_>) {
    work.draft.kind = &cronjob::DEF;
    work.report.is_of(&work.draft.name, cronjob::DEF.lower);
}

fn run_on_start(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(false) => work.same(key, ""),
        Some(true) => work.drop(key, "what is applied is not run at once; `setpoint run` does it by hand"),
        None => work.odd(key, "boolean"),
    }
}

fn max_concurrent(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().filter(|count| (1..=1000).contains(count)) {
        Some(1) => work.same(key, "overlap"),
        Some(count) => {
            work.draft.set("overlap", json!("allow"));
            work.map(key, "atOnce", count);
        }
        None => work.odd(key, "number of runs"),
    }
}

fn depends_on(work: &mut Work<'_>, key: &Key<'_>) {
    for other in key.fields() {
        let condition = other.get("condition");
        let (until, how) = match condition.as_ref().and_then(|key| key.text()) {
            Some("process_healthy" | "process_log_ready") => (Some("ready"), ""),
            Some("process_completed_successfully") => (Some("done"), ""),
            Some("process_completed") => (Some("done"), "it waits for an exit with 0"),
            Some("process_started") | None => (Some("started"), ""),
            Some(_) => {
                (None, "setpoint knows no such condition; it waits until it is ready if it is probed, else started")
            }
        };
        work.need(condition.as_ref().unwrap_or(&other), other.name(), until, how);
    }
}

fn restart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "always" => work.map(key, "restart", "always"),
        "on_failure" => work.map(key, "restart", "on-failure"),
        "no" | "never" | "" => work.map(key, "restart", "never"),
        "exit_on_failure" => work.near(key, "restart", "never", "when it fails, the others go on"),
        _ => work.odd(key, "restart rule"),
    }
}

fn backoff_seconds(work: &mut Work<'_>, key: &Key<'_>) {
    work.pause(key, seconds(key));
}

fn max_restarts(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count() {
        Some(0) => work.map(key, "backoff.giveUp", "never"),
        Some(count) if count < 1_000_000 => {
            let how = "deaths within 1m of a start count (backoff.resetAfter), one more than the restarts";
            work.near(key, "backoff.giveUpAfter", count + 1, how);
        }
        _ => work.odd(key, "whole number"),
    }
}

fn ready_log_line(work: &mut Work<'_>, key: &Key<'_>) {
    if work.section.get("readiness_probe").is_some() {
        return work.drop(key, "there is one probe of readiness, and readiness_probe gives it");
    }
    work.text(key, "ready.log");
}

fn log_location(work: &mut Work<'_>, key: &Key<'_>) {
    work.said(key, "log", "output is kept by setpoint and not in this file: `setpoint logs`");
}

fn max_size(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().filter(|count| (1..1 << 20).contains(count)) {
        Some(count) => work.map(key, "log.maxSize", format!("{count}Mi")),
        None => work.odd(key, "number of megabytes"),
    }
}

fn max_backups(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().filter(|count| *count < 1000) {
        // The file being written counts, too.
        Some(count) => work.map(key, "log.maxFiles", count + 1),
        None => work.odd(key, "whole number"),
    }
}

/// A probe, which has the shape and the figures of a kubelet's.
fn probe(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    for part in key.fields() {
        match part.name() {
            "exec" => exec(work, &part, field),
            "http_get" => http_get(work, &part, field),
            "period_seconds" => work.duration(&part, &format!("{field}.period"), seconds(&part)),
            "timeout_seconds" => work.duration(&part, &format!("{field}.timeout"), seconds(&part)),
            "success_threshold" => work.count(&part, &format!("{field}.success"), 1, 1000),
            "failure_threshold" => work.count(&part, &format!("{field}.failure"), 1, 1000),
            "initial_delay_seconds" if field == "live" => {
                work.duration(&part, "live.startup", seconds(&part));
                work.said(&part, "live.startup", "it is asked from the start, and a failure proves nothing until then");
            }
            "initial_delay_seconds" => {
                work.said(&part, "ready", "it is asked from the start, so it is ready as soon as it is")
            }
            _ => {}
        }
    }
}

fn exec(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    let field = format!("{field}.command");
    // A probe starts in the folder of its service.
    let own = work.folder.join(work.section.text_of("working_dir").unwrap_or("."));
    let dir = key.text_of("working_dir").and_then(|dir| relative(&own, &work.folder.join(dir)));
    for part in key.fields() {
        match (part.name(), part.text()) {
            ("command", Some(line)) => {
                let line = dir.as_ref().map_or(line.to_owned(), |dir| format!("cd {} && {line}", words::quoted(dir)));
                work.map(&part, &field, vec!["/bin/sh".to_owned(), "-c".to_owned(), line]);
            }
            ("working_dir", Some(_)) => {
                work.said(&part, &field, "the command begins with a cd, from the service's own folder")
            }
            _ => {}
        }
    }
}

fn http_get(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    let text = |name: &str, other: &str| key.text_of(name).unwrap_or(other).to_owned();
    let port = key.text_of("port").or(key.text_of("num_port")).unwrap_or("80");
    let scheme = text("scheme", "http").to_ascii_lowercase();
    let path = text("path", "/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{}:{port}{slash}{path}", text("host", "127.0.0.1"));
    let address = url.parse::<HttpAddress>().ok();
    for part in key.fields() {
        match (part.name(), &address) {
            ("headers", _) => work.drop(&part, "a GET has no headers of its own; a command can send them"),
            ("status_code", _) => work.said(&part, &format!("{field}.http"), "any status from 200 to 399 is good"),
            ("host" | "scheme" | "path" | "port" | "num_port", Some(address)) => {
                work.map(&part, &format!("{field}.http"), address.to_string());
            }
            ("host" | "scheme" | "path" | "port" | "num_port", None) if scheme == "https" => {
                let how = "https is asked by curl, which must be there";
                work.near(&part, &format!("{field}.command"), vec!["curl", "-fsS", "-o", "/dev/null", &*url], how);
            }
            ("host" | "scheme" | "path" | "port" | "num_port", None) => work.odd(&part, "part of an address"),
            _ => {}
        }
    }
}
