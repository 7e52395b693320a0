//! daemon.json of AIWG.
//!
//! In: jobs, watched paths, rules. Out: a CronJob for each job, a Trigger for each rule and for each path that no rule is
//! about. Not here: messaging, webhooks, the supervisor of agents; each of their keys is reported.
//!
//! Paths and commands are those of the project, which is the folder above `.aiwg`.
//! The surprise: a job of AIWG is a text that an agent is told. One that only asks for a command becomes that command;
//! any other keeps its text, and each due time is recorded as held until this version's successor has agents.

mod files;
mod rules;

use std::sync::Arc;

use serde_json::json;

use super::source::{Key, Node};
use super::work::{Rule, Rules, Work};
use super::{Fate, Format, Import, TWICE, procfile, source};
use crate::engine::name::is_name;
use crate::engine::schedule::Schedule;
use crate::kind::cronjob;
use crate::load::Problem;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "aiwg",
    about: ".aiwg/daemon.json of AIWG",
    files: &[".aiwg/daemon.json", "aiwg*.json"],
    read,
    import,
};

/// What such a file has one of.
const SECTIONS: &[&str] = &["daemon", "watch", "schedule", "rules", "supervisor"];

/// The Agent that is told what AIWG's own processes would be told.
const AGENT: &str = "claude";
const HELD: &str =
    "this is for an Agent, and this version has none: each is recorded as held until there is one of that name";

/// Sections that become nothing, and why.
const DROPPED: &[(&str, &str)] = &[
    ("webhook", "nothing listens on HTTP here: a Mailbox takes what `setpoint send` and the local API bring"),
    ("messaging", "this is for a Channel, and this version has none"),
    ("supervisor", "this is for Agents, and this version has none: then it is their `limits`"),
    ("behaviors", OWN),
    ("modes", OWN),
    ("provider", OWN),
    ("provider_watch", OWN),
    ("sandbox", OWN),
    ("pty", OWN),
    ("interface", "there is no page: `setpoint get -w`, `top` and `logs -f` show what it would"),
    ("memory", OWN),
];

const OWN: &str = "this is about AIWG itself: a Service with `run: aiwg daemon start --foreground` keeps that up";

/// What holds for everything that is done.
const DAEMON: Rules = &[
    ("action_timeout_minutes", Rule::To(|work, key| work.duration(key, "timeout", minutes(key)))),
    ("log", Rule::To(|work, key| work.apply(LOG, key))),
];

const LOG: Rules = &[("max_size_mb", Rule::To(log_size)), ("max_files", Rule::To(log_files))];

/// One job.
const JOB: Rules = &[
    ("id", Rule::To(|work, key| work.same(key, "name"))),
    ("name", Rule::To(|work, key| work.same(key, "name"))),
    ("description", Rule::To(|work, key| work.annotation(key, "description"))),
    ("enabled", Rule::To(enabled)),
    ("priority", Rule::Drop("runs have no order of their own; a message has: `setpoint send --priority`")),
    ("agent", Rule::To(|work, key| work.same(key, "agent"))),
];

/// What an action of AIWG comes to as a command.
const ACTIONS: &[(&str, &[&str])] = &[
    ("doctor", &["aiwg", "doctor"]),
    ("validate-metadata", &["aiwg", "validate-metadata"]),
    ("doc-sync", &["aiwg", "doc-sync", "code-to-docs", "--dry-run"]),
    ("test-sync", &["npm", "test"]),
];

fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let node = source::yaml(file, text)?;
    if !SECTIONS.iter().any(|name| Key::root(&node).get(name).is_some_and(|section| !section.leaves().is_empty())) {
        let help = "daemon.json of AIWG has `daemon`, `watch`, `schedule` or `rules`";
        return Err(vec![Problem::of_file(file, "there is nothing of a daemon of AIWG in it", help)]);
    }
    Ok(node)
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    if import.folder.file_name().is_some_and(|name| name == ".aiwg")
        && let Some(project) = import.folder.parent()
    {
        import.folder = project.to_path_buf();
    }
    import.report.note(procfile::INHERITED);
    import.report.note(TWICE);
    if let Some(schedule) = root.get("schedule") {
        jobs(import, root, &schedule);
    }
    rules::import(import, root);
    files::import(import, root);
    if let Some(daemon) = root.get("daemon") {
        of_daemon(import, &daemon);
    }
    for list in [root.get("rules"), root.get("schedule").and_then(|schedule| schedule.get("jobs"))].iter().flatten() {
        if list.items().is_empty() {
            import.report.mark("", list, Fate::Mapped, "", "");
        }
    }
    for (name, why) in DROPPED {
        root.get(name).iter().for_each(|key| import.report.drop_rest("", key, why));
    }
}

/// What is left of `daemon` when every object took what is about it.
fn of_daemon(import: &mut Import<'_>, daemon: &Key<'_>) {
    for (name, fate, why) in [
        (
            "heartbeat_interval_seconds",
            Fate::Approximated,
            "the controller touches `heartbeat` in its home at each look, a minute apart at most",
        ),
        ("max_parallel_actions", Fate::Dropped, "`maxRuns` of Settings bounds the runs of the whole machine"),
    ] {
        daemon.get(name).iter().for_each(|key| import.report.mark("", key, fate, "", why));
    }
    if let Some(log) = daemon.get("log") {
        let why = "`-v` of the controller says more";
        log.get("level").iter().for_each(|key| import.report.mark("", key, Fate::Dropped, "", why));
        import.report.drop_rest("", &log, "there is no object whose log that could be");
    }
    let timeout = daemon.get("action_timeout_minutes");
    timeout.iter().for_each(|key| import.report.drop_rest("", key, "there is no object whose timeout that could be"));
}

/// What every object of the project has.
fn common(work: &mut Work<'_>, root: &Key<'_>) {
    work.default_dir();
    work.draft.set("timeout", json!("2h"));
    if let Some(daemon) = root.get("daemon") {
        work.apply(DAEMON, &daemon);
    }
}

/// What is switched off elsewhere stays off.
fn enabled(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "enabled"),
        Some(false) => work.map(key, "enabled", false),
        None => work.odd(key, "boolean"),
    }
}

fn minutes(key: &Key<'_>) -> Option<std::time::Duration> {
    key.count().filter(|count| (1..1 << 30).contains(count)).map(|count| std::time::Duration::from_secs(count * 60))
}

fn log_size(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().filter(|count| (1..1 << 20).contains(count)) {
        Some(count) => work.near(key, "log.maxSize", format!("{count}Mi"), "each object has a log of its own"),
        None => work.odd(key, "number of megabytes"),
    }
}

fn log_files(work: &mut Work<'_>, key: &Key<'_>) {
    work.count(key, "log.maxFiles", 1, 1000);
}

/// What an agent is told; `{{…}}` in it stays as it is.
fn prompt(work: &mut Work<'_>, key: &Key<'_>, agent: Option<&str>) {
    let Some(text) = key.text().filter(|text| !text.trim().is_empty()) else { return work.odd(key, "text") };
    work.draft.set("agent", json!(agent.filter(|name| is_name(name)).unwrap_or(AGENT)));
    work.near(key, "prompt", text, HELD);
    if text.contains("{{") {
        work.said(key, "prompt", "its {{ }} are not filled in: what happened comes as JSON on standard input");
    }
}

fn jobs(import: &mut Import<'_>, root: &Key<'_>, schedule: &Key<'_>) {
    let is_off = schedule.get("enabled").and_then(|key| key.bool()) == Some(false);
    for job in schedule.get("jobs").map(|jobs| jobs.items()).unwrap_or_default() {
        let name = job.text_of("id").or(job.text_of("name")).unwrap_or("job").to_owned();
        let Some(times) = job.get("cron").or_else(|| job.get("schedule")) else {
            import.report.drop_rest("", &job, "without a `cron` it is never due");
            continue;
        };
        let mut work = import.object(&cronjob::DEF, &name, &job);
        common(&mut work, root);
        match times.text().map(|text| Schedule::parse(text).map(|_| text)) {
            Some(Ok(text)) => work.map(&times, "schedule", text),
            Some(Err(error)) => {
                let why = format!("its {}, column {}, {}; {}", error.field, error.column, error.what, error.help);
                work.drop(&times, &why);
            }
            None => work.odd(&times, "schedule"),
        }
        action(&mut work, &job);
        work.apply(JOB, &job);
        if is_off {
            work.draft.set("enabled", json!(false));
        }
        if work.draft.get("schedule").is_some() {
            work.finish();
        } else {
            let name = work.draft.name.clone();
            work.report.drop_rest(&name, &job, super::work::UNKNOWN);
            work.report.refuse(&name, "", "nothing came of it, since when it is due cannot be read");
        }
    }
    if let Some(key) = schedule.get("enabled") {
        import.report.mark("", &key, Fate::Mapped, "enabled", "");
    }
    import.report.note(
        "a time that passed while the machine was off is made up once within the hour, where AIWG forgets it: \
         `missed: skip`",
    );
}

/// What a job does: its own text, or what its action is known to ask for.
fn action(work: &mut Work<'_>, job: &Key<'_>) {
    let known = job.text_of("action").and_then(|action| ACTIONS.iter().find(|(name, _)| *name == action));
    if let Some(key) = job.get("prompt") {
        prompt(work, &key, job.text_of("agent"));
        return job.get("action").iter().for_each(|key| work.same(key, "prompt"));
    }
    let Some(key) = job.get("action") else { return };
    match known {
        Some((_, argv)) => {
            work.near(&key, "run", argv.to_vec(), "the command itself is run, and no agent reads what it says");
        }
        None => work.drop(&key, "what this action does stands nowhere in the file: write it as `run`"),
    }
}
