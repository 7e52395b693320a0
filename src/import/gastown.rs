//! The daemon of Gas Town: mayor/daemon.json, and the config of its first version.
//!
//! In: patrols with their intervals. Out: a Service for the database server; a CronJob for each patrol that a command does.
//! Not here: patrols of agents, and those that only its own daemon can do; each is reported.
//!
//! Commands start in the town, which is the folder above `mayor`, or `town_root`.
//! The surprise: a span of time is a text in most patrols and a number of nanoseconds in some, as Go writes them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::source::{Key, Node};
use super::work::{Rule, Rules, Work};
use super::{Fate, Format, Import, TWICE, procfile, source, words};
use crate::kind::address::TcpAddress;
use crate::kind::cronjob;
use crate::load::Problem;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "gastown",
    about: "mayor/daemon.json of Gas Town, or the config of its first daemon",
    files: &["mayor/daemon.json", "daemon/config.json"],
    read,
    import,
};

/// What such a file has one of.
const SECTIONS: &[&str] = &["patrols", "heartbeat", "heartbeat_interval", "town_root"];

/// The port of the database server where none is named.
const PORT: u64 = 3307;
/// The name of the folder of databases where none is named.
const DATABASES: &str = ".dolt-data";

const AGENT: &str = "this keeps an agent's session, which is for an Agent, and this version has none; until then a Service \
                     with `tty: true` keeps its program, and `heartbeat: { line }` reminds it";
const INSIDE: &str = "gt does this inside its own daemon and has no command for it: let that go on beside, or write a \
                      CronJob with a command of yours";
const EVERY: &str = "it is counted from the first apply, not from the start of a daemon";

/// A patrol that is no object here, and why.
const DROPPED: &[(&str, &str)] = &[
    ("deacon", AGENT),
    ("witness", AGENT),
    ("refinery", AGENT),
    ("overseer", AGENT),
    ("mayor", AGENT),
    ("handler", INSIDE),
    ("doctor_dog", INSIDE),
    ("janitor_dog", INSIDE),
    ("compactor_dog", "gt does this inside its own daemon; `gt maintain`, of scheduled_maintenance, compacts, too"),
    ("checkpoint_dog", INSIDE),
    ("archivist_dog", INSIDE),
    ("polecat_reaper", INSIDE),
    ("jsonl_git_backup", INSIDE),
    ("main_branch_test", INSIDE),
    ("restart_tracker", "`backoff` of each Service says how often it is started again"),
];

const SERVER: Rules = &[
    ("enabled", Rule::To(server_enabled)),
    ("external", Rule::To(|work, key| work.same(key, ""))),
    ("host", Rule::To(|work, key| if key.text().is_some() { work.same(key, "run") } else { work.odd(key, "host") })),
    ("port", Rule::To(|work, key| if port(key).is_some() { work.same(key, "run") } else { work.odd(key, "port") })),
    ("data_dir", Rule::To(data_dir)),
    ("log_file", Rule::To(|work, key| work.said(key, "log", "output is kept by setpoint and not in this file"))),
    ("auto_restart", Rule::To(auto_restart)),
    ("restart_delay", Rule::To(|work, key| work.duration(key, "backoff.from", span(key)))),
    ("max_restart_delay", Rule::To(|work, key| work.duration(key, "backoff.to", span(key)))),
    ("max_restarts_in_window", Rule::To(restarts)),
    ("restart_window", Rule::Drop("no window is counted: who lives for `backoff.resetAfter` is forgiven")),
    ("healthy_reset_interval", Rule::To(|work, key| work.duration(key, "backoff.resetAfter", span(key)))),
    ("health_check_interval", Rule::To(health_check)),
    ("user", Rule::Drop("its clients name themselves")),
    (
        "password",
        Rule::Drop("a secret is not written into a manifest: `env: { NAME: { fromFile: PATH } }` looks it up"),
    ),
];

const MAINTENANCE: Rules = &[
    ("enabled", Rule::To(|work, key| work.flag(key, "enabled"))),
    ("window", Rule::To(|work, key| work.same(key, "schedule"))),
    ("interval", Rule::To(maintenance_interval)),
    (
        "threshold",
        Rule::To(|work, key| if key.count().is_some() { work.same(key, "run") } else { work.odd(key, "number") }),
    ),
];

const REAPER: Rules = &[
    ("enabled", Rule::To(|work, key| work.flag(key, "enabled"))),
    ("interval", Rule::To(every)),
    ("max_age", Rule::To(age)),
    ("delete_age", Rule::To(age)),
    ("stale_issue_age", Rule::To(age)),
    (
        "dry_run",
        Rule::To(|work, key| if key.bool().is_some() { work.same(key, "run") } else { work.odd(key, "boolean") }),
    ),
    (
        "databases",
        Rule::To(|work, key| if key.texts().is_some() { work.same(key, "run") } else { work.odd(key, "list") }),
    ),
];

const DATABASE: Rules = &[
    ("enabled", Rule::To(|work, key| work.flag(key, "enabled"))),
    ("interval", Rule::To(every)),
    ("databases", Rule::To(|work, key| work.same(key, "run"))),
    ("remote", Rule::Drop("`gt dolt sync` pushes to the remote that a database has")),
    ("branch", Rule::Drop("`gt dolt sync` pushes the branch that a database is on")),
];

fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let node = source::yaml(file, text)?;
    if !SECTIONS.iter().any(|name| Key::root(&node).get(name).is_some()) {
        let help = "mayor/daemon.json of a town has `patrols`; the config of its first daemon has `heartbeat_interval`";
        return Err(vec![Problem::of_file(file, "there is nothing of a daemon of Gas Town in it", help)]);
    }
    Ok(node)
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    import.folder = town(import, root);
    import.report.note(procfile::INHERITED);
    import.report.note(TWICE);
    let patrols = root.get("patrols").map(|patrols| patrols.fields()).unwrap_or_default();
    for patrol in &patrols {
        match patrol.name() {
            "dolt_server" | "dolt_test_server" => server(import, root, patrol),
            "scheduled_maintenance" => maintenance(import, root, patrol),
            "wisp_reaper" => reaper(import, root, patrol),
            "dolt_backup" => backups(import, root, patrol),
            "dolt_remotes" => remotes(import, root, patrol),
            name => {
                let why = DROPPED.iter().find(|(known, _)| *known == name);
                why.iter().for_each(|(_, why)| import.report.drop_rest("", patrol, why));
            }
        }
    }
    pokes(import, root);
    for (name, why) in [
        ("type", "it says what the file is"),
        ("version", "it is the version of the file's format"),
        ("heartbeat", "nothing goes round here: each object has a period of its own"),
        ("env", "there is no object to give them to"),
        ("log_file", "the controller's log is `controller.log` in its home: `setpoint controller logs`"),
        ("pid_file", "the controller's is `controller.pid` in its home"),
    ] {
        root.get(name).iter().for_each(|key| import.report.drop_rest("", key, why));
    }
}

/// The folder of the town.
fn town(import: &Import<'_>, root: &Key<'_>) -> PathBuf {
    let named = root.text_of("town_root").map(PathBuf::from).filter(|town| town.is_absolute());
    let is_inside = import.folder.file_name().is_some_and(|name| name == "mayor" || name == "daemon");
    let above = import.folder.parent().filter(|_| is_inside).map(PathBuf::from);
    named.or(above).unwrap_or_else(|| import.folder.clone())
}

/// A number is nanoseconds.
fn span(key: &Key<'_>) -> Option<Duration> {
    match key.count() {
        Some(nanos) => Some(Duration::from_nanos(nanos)),
        None => key.text().and_then(|text| words::span(text, "")),
    }
}

/// What all objects of a town have.
fn common(work: &mut Work<'_>, root: &Key<'_>) {
    if let Some(env) = root.get("env") {
        work.environment(&env, false);
    }
    work.default_dir();
}

/// A CronJob in the town, which is off unless the patrol says that it is on.
fn cron<'a>(import: &'a mut Import<'_>, root: &Key<'a>, patrol: &Key<'a>, name: &str) -> Work<'a> {
    let mut work = import.object(&cronjob::DEF, name, patrol);
    common(&mut work, root);
    work.draft.set("enabled", json!(false));
    work
}

fn every(work: &mut Work<'_>, key: &Key<'_>) {
    match span(key).filter(|span| *span >= Duration::from_secs(1)) {
        Some(span) => {
            work.duration(key, "every", Some(span));
            work.said(key, "every", EVERY);
        }
        None => work.odd(key, "interval"),
    }
}

fn server(import: &mut Import<'_>, root: &Key<'_>, patrol: &Key<'_>) {
    if patrol.get("external").and_then(|key| key.bool()) == Some(true) {
        return import.report.drop_rest("", patrol, "somebody else runs this server, so there is nothing to keep up");
    }
    let host = patrol.text_of("host").unwrap_or("127.0.0.1");
    let named = patrol.get("port").and_then(|key| port(&key));
    let port = named.unwrap_or(PORT);
    if named.is_none() {
        import.report.note(format!("a server without a port is given {PORT}, as `gt dolt` does"));
    }
    let mut work = import.service(&patrol.name().replace('_', "-"), patrol);
    common(&mut work, root);
    let folder = patrol.text_of("data_dir").and_then(|dir| work.path(dir)).or_else(|| work.path(DATABASES));
    work.draft.set("dir", json!(folder));
    work.draft.set("run", json!(["dolt", "sql-server", "--host", host, "--port", port.to_string(), "--data-dir", "."]));
    let is_near = matches!(host, "127.0.0.1" | "localhost" | "0.0.0.0" | "::");
    let address = if is_near { port.to_string() } else { format!("{host}:{port}") };
    if let Ok(address) = address.parse::<TcpAddress>() {
        let address = if is_near { json!(port) } else { json!(address.to_string()) };
        work.draft.set("ready.tcp", address.clone());
        work.draft.set("live.tcp", address);
    }
    if patrol.get("enabled").is_none() {
        work.draft.set("replicas", json!(0));
    }
    work.apply(SERVER, patrol);
    work.finish();
}

fn port(key: &Key<'_>) -> Option<u64> {
    key.count().filter(|port| (1..65536).contains(port))
}

fn data_dir(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().and_then(|dir| work.path(dir)) {
        Some(_) => work.same(key, "dir"),
        None => work.odd(key, "path"),
    }
}

fn server_enabled(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "replicas"),
        Some(false) => work.near(key, "replicas", 0, "`replicas: 0` keeps it down; raise it to start it"),
        None => work.odd(key, "boolean"),
    }
}

fn auto_restart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "restart"),
        Some(false) => work.map(key, "restart", "never"),
        None => work.odd(key, "boolean"),
    }
}

fn restarts(work: &mut Work<'_>, key: &Key<'_>) {
    work.count(key, "backoff.giveUpAfter", 1, 1_000_000);
    if work.draft.get("backoff.giveUpAfter").is_some() {
        work.draft.set("backoff.giveUp", json!("always"));
        work.said(
            key,
            "backoff.giveUpAfter",
            "who is given up on stays down, until a person or an edit starts it again",
        );
    }
}

fn health_check(work: &mut Work<'_>, key: &Key<'_>) {
    work.duration(key, "live.period", span(key));
    work.said(key, "live.tcp", "it is asked for a connection, not with a query");
}

fn maintenance(import: &mut Import<'_>, root: &Key<'_>, patrol: &Key<'_>) {
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let hour = hour.parse::<u32>().ok().filter(|hour| *hour < 24)?;
        Some((hour, minute.parse::<u32>().ok().filter(|minute| *minute < 60)?))
    };
    let Some((hour, minute)) = patrol.text_of("window").and_then(clock) else {
        return import.report.drop_rest("", patrol, "without a `window` such as 03:00 it never runs");
    };
    let threshold = patrol.get("threshold").and_then(|key| key.count()).unwrap_or(1000);
    let days = days(patrol.text_of("interval").unwrap_or("daily"));
    let mut work = cron(import, root, patrol, "scheduled-maintenance");
    work.draft.set("run", json!(["gt", "maintain", "--force", "--threshold", threshold.to_string()]));
    work.draft.set("schedule", json!(format!("{minute} {hour} {}", days.0)));
    work.apply(MAINTENANCE, patrol);
    work.finish();
}

/// The last three fields of a schedule, and how they differ.
fn days(interval: &str) -> (String, &'static str) {
    let hours = words::span(interval, "").map(|span| span.as_secs() / 3600);
    match (interval, hours) {
        ("weekly", _) => ("* * 0".to_owned(), "it is on Sundays"),
        ("monthly", _) => ("1 * *".to_owned(), "it is on the first of a month"),
        ("daily", _) | (_, None) => ("* * *".to_owned(), ""),
        (_, Some(hours)) if hours < 48 => ("* * *".to_owned(), "it is once a day"),
        (_, Some(hours)) if hours < 24 * 28 => {
            (format!("*/{} * *", hours / 24), "days are counted from the first of each month")
        }
        (_, Some(_)) => ("1 * *".to_owned(), "it is on the first of a month"),
    }
}

fn maintenance_interval(work: &mut Work<'_>, key: &Key<'_>) {
    match (key.text(), key.text().map(days)) {
        (Some(text), Some((_, ""))) if text != "daily" => {
            work.said(key, "schedule", "what it says cannot be read, and counts as daily");
        }
        (Some(_), Some((_, ""))) => work.same(key, "schedule"),
        (Some(_), Some((_, how))) => work.said(key, "schedule", how),
        (_, _) => work.odd(key, "interval"),
    }
}

fn age(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().and_then(|age| words::span(age, "")) {
        Some(_) => work.same(key, "run"),
        None => work.odd(key, "span of time"),
    }
}

fn reaper(import: &mut Import<'_>, root: &Key<'_>, patrol: &Key<'_>) {
    let mut argv: Vec<String> = ["gt", "reaper", "run"].map(String::from).into();
    for (key, flag) in [("max_age", "--max-age"), ("delete_age", "--purge-age"), ("stale_issue_age", "--stale-age")] {
        let age = patrol.text_of(key).filter(|age| words::span(age, "").is_some());
        argv.extend(age.into_iter().flat_map(|age| [flag.to_owned(), age.to_owned()]));
    }
    if patrol.get("dry_run").and_then(|key| key.bool()) == Some(true) {
        argv.push("--dry-run".to_owned());
    }
    let server = root.get("patrols").and_then(|patrols| patrols.get("dolt_server")?.get("port"));
    if let Some(port) = server.and_then(|key| port(&key)).filter(|port| *port != PORT) {
        argv.extend(["--port".to_owned(), port.to_string()]);
    }
    if let Some(names) = patrol.get("databases").and_then(|key| key.texts()).filter(|names| !names.is_empty()) {
        argv.extend(["--db".to_owned(), names.join(",")]);
    }
    let mut work = cron(import, root, patrol, "wisp-reaper");
    work.draft.set("every", json!("1h"));
    work.draft.set("run", json!(argv));
    work.apply(REAPER, patrol);
    work.finish();
}

/// The databases that a patrol names; it is dropped when it looks for them by itself.
fn databases(import: &mut Import<'_>, patrol: &Key<'_>, command: &str) -> Vec<String> {
    let named = patrol.get("databases").and_then(|key| key.texts()).unwrap_or_default();
    let is_plain =
        |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) && !name.is_empty();
    if named.is_empty() || !named.iter().all(is_plain) {
        let why = format!("it looks for databases by itself; a CronJob with `{command}` does it for one that is named");
        import.report.drop_rest("", patrol, &why);
        return Vec::new();
    }
    named
}

fn backups(import: &mut Import<'_>, root: &Key<'_>, patrol: &Key<'_>) {
    let folder = root.get("patrols").and_then(|patrols| patrols.get("dolt_server")?.text_of("data_dir"));
    for database in databases(import, patrol, "dolt backup sync NAME-backup") {
        let mut work = cron(import, root, patrol, &format!("dolt-backup-{database}"));
        work.draft.set("every", json!("15m"));
        work.draft.set("timeout", json!("2m"));
        work.draft.set("run", json!(["dolt", "backup", "sync", format!("{database}-backup")]));
        if let Some(dir) = work.path(&format!("{}/{database}", folder.unwrap_or(DATABASES))) {
            work.draft.set("dir", json!(dir));
        }
        work.apply(DATABASE, patrol);
        work.finish();
    }
}

fn remotes(import: &mut Import<'_>, root: &Key<'_>, patrol: &Key<'_>) {
    for database in databases(import, patrol, "gt dolt sync --db NAME") {
        let mut work = cron(import, root, patrol, &format!("dolt-push-{database}"));
        work.draft.set("every", json!("15m"));
        work.draft.set("run", json!(["gt", "dolt", "sync", "--db", database]));
        work.apply(DATABASE, patrol);
        work.finish();
    }
}

/// What the first daemon did: a line into the sessions of the mayor and the witnesses, on a period.
fn pokes(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(interval) = root.get("heartbeat_interval") else {
        return root.get("town_root").iter().for_each(|key| import.report.drop_rest("", key, "nothing starts there"));
    };
    const LINE: &str = "tmux list-sessions -F '#{session_name}' | grep -E '^(gt|hq)-mayor$|^gt-.+-witness$' |\n\
                        while read -r session; do tmux send-keys -t \"$session\" 'HEARTBEAT: is there work?' Enter; done";
    if span(&interval).is_none_or(|span| span < Duration::from_secs(1)) {
        let why = "its value is no interval that setpoint can read";
        import.report.drop_rest("", &interval, why);
        return root.get("town_root").iter().for_each(|key| import.report.drop_rest("", key, "nothing starts there"));
    }
    let mut work = import.object(&cronjob::DEF, "heartbeat", &interval);
    common(&mut work, root);
    work.draft.set("run", json!(LINE));
    every(&mut work, &interval);
    let how = "a command types a line into the tmux sessions of the mayor and the witnesses, as far as there are any; what \
               runs as a Service here is reminded by its own `heartbeat: { line }`";
    work.said(&interval, "run", how);
    work.finish();
    for key in root.get("town_root").iter() {
        match key.text().is_some_and(|town| town.starts_with('/')) {
            true => import.report.mark("", key, Fate::Mapped, "dir", ""),
            false => {
                let why = "it is no path from `/` on, so the folder above that of the file counts";
                import.report.mark("", key, Fate::Dropped, "", why);
            }
        }
    }
}
