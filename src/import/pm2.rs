//! pm2 ecosystem files in JSON or YAML.
//!
//! In: `apps`, or one app, or a list of them. Out: a Service per app. Not here: `ecosystem.config.js`, which is a program:
//! node prints it as JSON.
//!
//! pm2 starts a script with the interpreter its ending asks for, and signals INT to its whole tree; so `run` is a line, and
//! `stop.signal` is INT.
//! The surprise: `instances` in cluster mode share one port, which nothing outside node can do; such an app stays one
//! process, and the report says so.

use std::sync::Arc;

use serde_json::json;

use super::beside::Watched;
use super::source::{Key, Node, Value};
use super::work::{Rule, Rules, Work};
use super::{Format, Import, procfile, source, words};
use crate::load::Problem;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "pm2",
    about: "ecosystem file of pm2, as JSON or YAML",
    files: &[
        "ecosystem*.json",
        "ecosystem*.yaml",
        "ecosystem*.yml",
        "ecosystem*.js",
        "ecosystem*.cjs",
        "pm2*.json",
        "processes.json",
        "process.yml",
    ],
    read,
    import,
};

const KEYS: Rules = &[
    ("name", Rule::To(|work, key| work.same(key, "name"))),
    ("script", Rule::To(|work, key| work.same(key, "run"))),
    ("args", Rule::To(|work, key| work.same(key, "run"))),
    ("interpreter", Rule::To(|work, key| work.same(key, "run"))),
    ("exec_interpreter", Rule::To(|work, key| work.same(key, "run"))),
    ("interpreter_args", Rule::To(|work, key| work.same(key, "run"))),
    ("node_args", Rule::To(|work, key| work.same(key, "run"))),
    ("cwd", Rule::To(|work, key| work.dir(key))),
    ("env", Rule::To(|work, key| work.environment(key, false))),
    ("env_*", Rule::Drop("an overlay for `--env`: keep such manifests in a folder of their own")),
    ("instances", Rule::To(instances)),
    ("exec_mode", Rule::To(exec_mode)),
    ("autostart", Rule::To(autostart)),
    ("autorestart", Rule::To(autorestart)),
    ("stop_exit_codes", Rule::To(stop_exit_codes)),
    ("max_restarts", Rule::To(max_restarts)),
    ("min_uptime", Rule::To(min_uptime)),
    ("restart_delay", Rule::To(restart_delay)),
    (
        "exp_backoff_restart_delay",
        Rule::To(|work, key| work.duration(key, "backoff.from", millis(key).filter(|span| span.as_millis() >= 10))),
    ),
    ("kill_timeout", Rule::To(|work, key| work.grace(key, millis(key)))),
    ("kill_retry_time", Rule::Drop("a process that cannot be killed is named, and nothing is started over it")),
    ("treekill", Rule::To(|work, key| work.same(key, "run"))),
    ("max_memory_restart", Rule::To(max_memory)),
    ("user", Rule::To(|work, key| work.text(key, "user"))),
    ("uid", Rule::To(|work, key| work.text(key, "user"))),
    ("gid", Rule::To(|work, key| work.text(key, "group"))),
    ("namespace", Rule::To(|work, key| work.label(key, "namespace"))),
    ("wait_ready", Rule::Drop("process.send('ready') is not heard: use `ready: { http: ... }`, `log` or `notify`")),
    ("listen_timeout", Rule::Drop("`ready.startup` is the allowance, once there is a probe")),
    ("shutdown_with_message", Rule::Drop("a process is asked to stop by a signal, `stop.signal`")),
    ("watch", Rule::To(watch)),
    ("watch_delay", Rule::To(|work, key| with_watch(work, key, millis(key).is_some()))),
    ("watch_*", Rule::Drop("a Trigger has `settle`, `ignore` and `extensions`")),
    ("ignore_watch", Rule::To(|work, key| with_watch(work, key, true))),
    ("cron_restart", Rule::To(|work, key| work.restart_at(key))),
    ("cron", Rule::To(|work, key| work.restart_at(key))),
    ("out_file", Rule::To(output)),
    ("output", Rule::To(output)),
    ("out", Rule::To(output)),
    ("error_file", Rule::To(output)),
    ("error", Rule::To(output)),
    ("err", Rule::To(output)),
    ("log_file", Rule::To(output)),
    ("log", Rule::To(output)),
    (
        "log_date_format",
        Rule::To(|work, key| work.said(key, "log", "every line has the time to the nanosecond anyway")),
    ),
    ("time", Rule::To(|work, key| work.said(key, "log", "every line has the time to the nanosecond anyway"))),
    ("merge_logs", Rule::Drop("each instance has a log of its own; `setpoint logs NAME` shows them together")),
    ("combine_logs", Rule::Drop("each instance has a log of its own; `setpoint logs NAME` shows them together")),
    ("log_type", Rule::Drop("`setpoint logs -o json` prints lines as JSON")),
    ("disable_logs", Rule::Drop("output is kept as much as `log` says")),
    ("instance_var", Rule::Drop("an instance knows itself by SETPOINT_INSTANCE")),
    ("increment_var", Rule::Drop("an instance knows itself by SETPOINT_INSTANCE")),
    ("filter_env", Rule::Drop("a service starts with a clean environment anyway")),
    ("force", Rule::Drop(OWN)),
    ("vizion", Rule::Drop(OWN)),
    ("post_update", Rule::Drop(OWN)),
    ("pmx", Rule::Drop(OWN)),
    ("automation", Rule::Drop(OWN)),
    ("trace", Rule::Drop(OWN)),
    ("disable_trace", Rule::Drop(OWN)),
    ("source_map_support", Rule::Drop("add `--enable-source-maps` to node yourself")),
    ("disable_source_map_support", Rule::Drop("there is none anyway")),
    ("pid_file", Rule::Drop("there are no pid files: the process table says what runs")),
    ("pid", Rule::Drop("there are no pid files: the process table says what runs")),
    ("append_env_to_name", Rule::Drop("a service has one name")),
];

const OWN: &str = "this is about pm2 itself";

/// Which program runs a script, by its ending.
const INTERPRETERS: &[(&str, &str)] = &[
    ("js", "node"),
    ("cjs", "node"),
    ("mjs", "node"),
    ("ts", "bun"),
    ("tsx", "bun"),
    ("py", "python3"),
    ("sh", "bash"),
    ("rb", "ruby"),
    ("php", "php"),
    ("pl", "perl"),
    ("coffee", "coffee"),
    ("ls", "lsc"),
];

fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    if file.ends_with(".js") || file.ends_with(".cjs") || file.ends_with(".mjs") {
        let path = if file.starts_with('/') { file.to_string() } else { format!("./{file}") };
        let help = format!("print it as JSON: node -p \"JSON.stringify(require('{path}'))\" | setpoint import pm2 -");
        return Err(vec![Problem::of_file(file, "this is a program, and setpoint runs none to read it", help)]);
    }
    let node = source::yaml(file, text)?;
    let root = Key::root(&node);
    if apps(&root).is_empty() {
        let help = "an ecosystem file has `apps: [{ name: web, script: server.js }]`";
        return Err(vec![Problem::of_file(file, "there is no app in it", help)]);
    }
    Ok(node)
}

/// The apps of a file, whatever its shape.
fn apps<'a>(root: &Key<'a>) -> Vec<Key<'a>> {
    let list = root.get("apps").unwrap_or_else(|| root.clone());
    list.items().into_iter().filter(|app| app.get("script").is_some() || app.get("name").is_some()).collect()
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    import.report.note(procfile::INHERITED);
    for app in apps(root) {
        let script = app.text_of("script").unwrap_or_default();
        let stem = script.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let mut work = import.service(app.text_of("name").unwrap_or(stem), &app);
        work.draft.set("stop.signal", json!("INT"));
        match command(&app) {
            Some(line) => {
                work.draft.set("run", json!(line));
                work.apply(KEYS, &app);
                work.default_dir();
            }
            None => work.report.drop_rest("", &app, "an app without a `script` that can be read is no service"),
        }
        work.finish();
    }
    if let Some(deploy) = root.get("deploy") {
        import.report.drop_rest("", &deploy, "setpoint deploys nothing");
    }
}

/// The line or list that starts an app.
fn command(app: &Key<'_>) -> Option<serde_json::Value> {
    let script = app.text_of("script").filter(|script| !script.trim().is_empty())?;
    let interpreter = app.text_of("interpreter").or(app.text_of("exec_interpreter"));
    let by_ending = || {
        let (_, ending) = script.rsplit('/').next()?.rsplit_once('.')?;
        INTERPRETERS.iter().find(|(known, _)| *known == ending).map(|(_, program)| *program)
    };
    let interpreter = match interpreter {
        Some("none") => None,
        Some(program) => Some(program),
        None => by_ending(),
    };
    let has_blank = script.contains(' ') && interpreter.is_none();
    let mut words: Vec<String> = interpreter.iter().map(|program| (*program).to_owned()).collect();
    for options in ["interpreter_args", "node_args"] {
        words.extend(arguments(app.get(options))?);
    }
    match script {
        line if has_blank => words.extend(words::split(line)?),
        // A file of the folder needs its folder's name in front, unless an interpreter opens it.
        file if interpreter.is_none() && !file.contains('/') && file.contains('.') => words.push(format!("./{file}")),
        file => words.push(file.to_owned()),
    }
    words.extend(arguments(app.get("args"))?);
    let is_tree = app.get("treekill").and_then(|key| key.bool()) != Some(false);
    Some(if is_tree { json!(words::join(&words)) } else { json!(words) })
}

fn arguments(key: Option<Key<'_>>) -> Option<Vec<String>> {
    match key {
        None => Some(Vec::new()),
        Some(key) => match &key.node.value {
            Value::Null => Some(Vec::new()),
            Value::Text(line) => words::split(line),
            _ => key.texts(),
        },
    }
}

/// Milliseconds, or a text with a unit.
fn millis(key: &Key<'_>) -> Option<std::time::Duration> {
    key.text().and_then(|text| words::span(text, "ms"))
}

/// Whether there is anything that is watched.
fn is_watched(key: &Key<'_>) -> bool {
    !matches!(&key.node.value, Value::Null) && key.bool() != Some(false)
}

fn watch(work: &mut Work<'_>, key: &Key<'_>) {
    if !is_watched(key) {
        return work.same(key, "");
    }
    let texts = |key: &Key<'_>| key.items().iter().filter_map(|item| item.text().map(str::to_owned)).collect();
    let paths = if key.bool() == Some(true) { vec![".".to_owned()] } else { texts(key) };
    // What is relative is so to the folder it starts in.
    let cwd = work.section.text_of("cwd").unwrap_or(".").to_owned();
    let inside = |path: String| if path.starts_with(['/', '~']) || cwd == "." { path } else { format!("{cwd}/{path}") };
    let ignore: Vec<String> = work.section.get("ignore_watch").map(|key| texts(&key)).unwrap_or_default();
    let settle = work.section.get("watch_delay").and_then(|key| millis(&key));
    work.restart_on(key, &Watched { paths: paths.into_iter().map(inside).collect(), ignore, settle });
}

/// A key that says how files are watched.
fn with_watch(work: &mut Work<'_>, key: &Key<'_>, is_read: bool) {
    match (work.section.get("watch").is_some_and(|watch| is_watched(&watch)), is_read) {
        (true, true) => work.said(key, "", "it is part of the Trigger beside it"),
        (true, false) => work.odd(key, "duration"),
        (false, _) => work.drop(key, "nothing is watched"),
    }
}

fn is_cluster(work: &Work<'_>) -> bool {
    work.section.text_of("exec_mode").is_some_and(|mode| mode.starts_with("cluster"))
}

fn instances(work: &mut Work<'_>, key: &Key<'_>) {
    if work.draft.get("replicas") == Some(&json!(0)) {
        return work.said(key, "replicas", "it is 0 as long as autostart is false");
    }
    match key.text().unwrap_or_default() {
        _ if is_cluster(work) => {
            work.drop(
                key,
                "in cluster mode they share a port, which separate processes cannot; it is one process here",
            );
        }
        "max" | "0" | "-1" => work.drop(key, "how many depends on the machine: write `replicas` yourself"),
        _ => work.count(key, "replicas", 0, 1000),
    }
}

fn exec_mode(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().unwrap_or_default() {
        "fork" | "fork_mode" => work.same(key, "run"),
        _ => work.said(key, "run", "it is started by itself and not by pm2's cluster, so no two share a port"),
    }
}

fn autostart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "replicas"),
        Some(false) => work.near(key, "replicas", 0, "`replicas: 0` keeps it down; raise it to start it"),
        None => work.odd(key, "boolean"),
    }
}

fn autorestart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "restart"),
        Some(false) => work.map(key, "restart", "never"),
        None => work.odd(key, "boolean"),
    }
}

fn stop_exit_codes(work: &mut Work<'_>, key: &Key<'_>) {
    let codes: Vec<Option<&str>> = key.items().iter().map(|item| item.text()).collect();
    match &*codes {
        [Some("0")] => work.map(key, "restart", "on-failure"),
        codes if codes.contains(&Some("0")) => work.near(key, "restart", "on-failure", "only an exit with 0 ends it"),
        _ => work.drop(key, "exit codes make no difference but 0, which `restart: on-failure` accepts"),
    }
}

fn max_restarts(work: &mut Work<'_>, key: &Key<'_>) {
    work.count(key, "backoff.giveUpAfter", 0, 1_000_000);
    if work.section.get("min_uptime").is_none() && work.draft.get("backoff.giveUpAfter").is_some() {
        work.said(key, "backoff.giveUpAfter", "deaths within 1m of a start count (backoff.resetAfter), not within 1s");
    }
}

fn min_uptime(work: &mut Work<'_>, key: &Key<'_>) {
    let span = millis(key).filter(|span| span.as_millis() >= 100);
    work.duration(key, "backoff.resetAfter", span);
}

fn restart_delay(work: &mut Work<'_>, key: &Key<'_>) {
    work.pause(key, millis(key));
}

fn max_memory(work: &mut Work<'_>, key: &Key<'_>) {
    work.size(key, "limits.memory");
    work.said(
        key,
        "limits.memory",
        "beyond it an allocation fails or the kernel kills it; pm2 looks every 30s and restarts",
    );
}

fn output(work: &mut Work<'_>, key: &Key<'_>) {
    work.said(key, "log", "output is kept by setpoint and not in this file: `setpoint logs`");
}
