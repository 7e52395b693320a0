//! Rules: something that happens, a condition, something that is done.
//!
//! In: `rules`, in the shape that AIWG's guide has and in the one that its engine reads. Out: Triggers, and CronJobs of
//! rules with a schedule. Not here: watched paths (`files`), which rules of the second shape are about.
//! The surprise: a rule that loses a part of its condition would do more than it was asked to, so it is written with
//! `enabled: false`.

use std::time::Duration;

use serde_json::json;

use super::{enabled, files, prompt};
use crate::engine::schedule::Schedule;
use crate::import::Import;
use crate::import::source::Key;
use crate::import::work::{Rule, Rules, Work};
use crate::kind::{cronjob, trigger};

/// The keys of a rule beside what sets it off.
const RULE: Rules = &[
    ("id", Rule::To(|work, key| work.same(key, "name"))),
    ("name", Rule::To(|work, key| work.same(key, "name"))),
    ("description", Rule::To(|work, key| work.annotation(key, "description"))),
    ("enabled", Rule::To(enabled)),
    ("cooldownMs", Rule::To(cooldown)),
    ("requiresApproval", Rule::To(approval)),
    ("condition", Rule::To(condition)),
    ("conditions", Rule::Each(unmet)),
];

/// What happens in AIWG and is an event here.
const FAILED: &[&str] = &["task:failed", "task.failed", "task:timeout", "task.timeout"];
/// What that is here.
const FAILURES: &[&str] = &["job.failed", "cronjob.failed", "workflow.failed"];

/// What sets a rule off.
enum Cause<'a> {
    /// Files of this pattern change.
    Pattern(Key<'a>),
    /// A file that is watched changes, in this way if any.
    Watched(Option<&'static str>),
    /// A due time.
    Times(Key<'a>),
    /// A task of an agent fails.
    Failure,
    /// Nothing that is known here.
    Unknown(&'static str),
}

const NOWHERE: &str = "nothing that happens here is called that: `setpoint events` shows what there is to wait for";

/// Makes objects of rules.
pub fn import(import: &mut Import<'_>, root: &Key<'_>) {
    for rule in root.get("rules").map(|rules| rules.items()).unwrap_or_default() {
        let name = rule.text_of("id").or(rule.text_of("name")).unwrap_or("rule").to_owned();
        match cause(&rule) {
            Cause::Unknown(why) => import.report.drop_rest("", &rule, why),
            Cause::Times(times) => {
                let mut work = import.object(&cronjob::DEF, &name, &rule);
                super::common(&mut work, root);
                match times.text().filter(|text| Schedule::parse(text).is_ok()) {
                    Some(text) => {
                        work.map(&times, "schedule", text);
                        triggered(&mut work, &rule, "schedule", "");
                    }
                    None => {
                        let why = "its schedule cannot be read: `setpoint cron` says what is wrong with one";
                        let name = work.draft.name.clone();
                        work.report.drop_rest(&name, &rule, why);
                        work.report.refuse(&name, "", why);
                        continue;
                    }
                }
                done(work, &rule);
            }
            Cause::Failure => {
                let mut work = import.object(&trigger::DEF, &name, &rule);
                super::common(&mut work, root);
                work.draft.set("event", json!(FAILURES));
                let how =
                    "runs take the place of AIWG's tasks, of whatever object; of failures in a row the first is told";
                triggered(&mut work, &rule, "event", how);
                done(work, &rule);
            }
            Cause::Pattern(pattern) => {
                let mut work = import.object(&trigger::DEF, &name, &rule);
                super::common(&mut work, root);
                files::common(&mut work, root);
                files::watch(&mut work, &alternatives(pattern.text().unwrap_or_default()));
                triggered(&mut work, &rule, "watch", "");
                done(work, &rule);
            }
            Cause::Watched(change) => watched(import, root, &rule, &name, change),
        }
    }
}

/// One Trigger for each path that is watched, since each has patterns of its own.
fn watched(import: &mut Import<'_>, root: &Key<'_>, rule: &Key<'_>, name: &str, change: Option<&'static str>) {
    let entries = files::entries(root);
    if entries.is_empty() {
        return import.report.drop_rest("", rule, "it waits for changes of files, and `watch.paths` names none");
    }
    for entry in &entries {
        let mut work = import.object(&trigger::DEF, name, rule);
        super::common(&mut work, root);
        files::of_entry(&mut work, root, entry);
        if let Some(change) = change {
            work.draft.set("changes", json!([change]));
        }
        triggered(&mut work, rule, "watch", if entries.len() > 1 { "there is one Trigger for each path" } else { "" });
        done(work, rule);
    }
}

fn cause<'a>(rule: &Key<'a>) -> Cause<'a> {
    let Some(trigger) = rule.get("trigger") else { return Cause::Unknown("it does not say what sets it off") };
    let topic = trigger.text_of("topic").or(trigger.text_of("type")).unwrap_or_default();
    match trigger.text_of("type").unwrap_or_default() {
        "file_change" => match trigger.get("pattern").filter(|pattern| pattern.text().is_some()) {
            Some(pattern) => Cause::Pattern(pattern),
            None => Cause::Watched(None),
        },
        "file.create" => Cause::Watched(Some("create")),
        "file.modify" => Cause::Watched(Some("modify")),
        "file.delete" => Cause::Watched(Some("delete")),
        "schedule" => match trigger.get("cron") {
            Some(times) => Cause::Times(times),
            None => Cause::Unknown("without a `cron` it is never due"),
        },
        "cron.fired" => Cause::Unknown("what a due time sets off is the `run` of its own CronJob"),
        "" if trigger.text_of("source") == Some("watch") => Cause::Watched(None),
        _ if FAILED.contains(&topic) => Cause::Failure,
        _ if topic.starts_with("task") => Cause::Unknown("of runs only a failure is an event"),
        _ => Cause::Unknown(NOWHERE),
    }
}

/// Marks what says what sets it off.
fn triggered(work: &mut Work<'_>, rule: &Key<'_>, field: &str, how: &str) {
    for key in rule.get("trigger").map(|trigger| trigger.fields()).unwrap_or_default() {
        match key.name() {
            "type" | "source" | "topic" if how.is_empty() => work.same(&key, field),
            "type" | "source" | "topic" => work.said(&key, field, how),
            "pattern" if work.draft.get("watch").is_some() && rule_shape(rule) => work.same(&key, field),
            "pattern" => unmet(work, &key),
            _ => {}
        }
    }
}

/// True for the shape of the guide, whose pattern is one of paths.
fn rule_shape(rule: &Key<'_>) -> bool {
    rule.get("trigger").is_some_and(|trigger| trigger.text_of("type") == Some("file_change"))
}

/// What is done, and the rest of the rule.
fn done(mut work: Work<'_>, rule: &Key<'_>) {
    if let Some(action) = rule.get("action") {
        let kind = action.text_of("type").unwrap_or_default();
        for key in action.fields() {
            match (key.name(), kind) {
                ("type", "submit_task" | "agent") => work.same(&key, "prompt"),
                ("type", "notify") => work.drop(&key, "this is for a Channel, and this version has none"),
                ("type", "webhook") => {
                    work.drop(&key, "write a Capability with `http: { method: POST, url: … }`, and `use` it");
                }
                ("type", _) => work.drop(&key, "AIWG knows no such action"),
                ("prompt", "submit_task" | "agent") => prompt(&mut work, &key, action.text_of("agent")),
                ("agent", "submit_task" | "agent") => work.same(&key, "agent"),
                ("priority", _) => work.drop(&key, "runs have no order of their own; a message has"),
                ("env", "submit_task" | "agent") => work.environment(&key, true),
                ("prompt" | "message" | "channel" | "url" | "headers" | "payload", _) => {
                    work.drop(&key, "it goes with an action that there is none for here");
                }
                (_, _) => {}
            }
        }
    }
    work.apply(RULE, rule);
    work.finish();
}

/// `src/**/*.{ts,js}` as one pattern for each.
fn alternatives(pattern: &str) -> Vec<String> {
    let parts =
        pattern.split_once('{').and_then(|(head, rest)| rest.split_once('}').map(|(in_it, tail)| (head, in_it, tail)));
    match parts {
        Some((head, words, tail)) => words.split(',').map(|word| format!("{head}{}{tail}", word.trim())).collect(),
        None => vec![pattern.to_owned()],
    }
}

fn cooldown(work: &mut Work<'_>, key: &Key<'_>) {
    match key.count().map(Duration::from_millis) {
        Some(span) if span.is_zero() => work.same(key, "limit"),
        Some(span) if span >= Duration::from_secs(1) && work.draft.kind.lower == trigger::DEF.lower => {
            work.draft.set("limit.times", json!(1));
            work.duration(key, "limit.within", Some(span));
        }
        Some(_) => work.drop(key, "a limit is counted within a second or more, and a schedule needs none"),
        None => work.odd(key, "number of milliseconds"),
    }
}

fn approval(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(false) => work.same(key, ""),
        Some(true) => work.near(key, "enabled", false, "nobody can be asked by this version, so it is switched off"),
        None => unmet(work, key),
    }
}

/// A part of its condition is not carried over, so it must not go on without it.
fn unmet(work: &mut Work<'_>, key: &Key<'_>) {
    work.draft.set("enabled", json!(false));
    work.drop(key, "write it as `when`, and then `enabled: true`: without it, it would do more than it was asked to");
}

fn condition(work: &mut Work<'_>, key: &Key<'_>) {
    let kind = key.text_of("type").unwrap_or_default().to_owned();
    let is_watch = work.draft.get("watch").is_some();
    match (&*kind, key.get("interval_ms"), key.get("command")) {
        ("always", _, _) => work.same(key, ""),
        ("debounce", Some(span), _) if is_watch => {
            work.duration(&span, "settle", span.count().map(Duration::from_millis));
            key.get("type").iter().for_each(|key| work.same(key, "settle"));
        }
        ("debounce", _, _) => work.drop(key, "only changes of files are waited out, by `settle`"),
        ("shell" | "command", _, Some(line))
            if line.text().is_some() && work.draft.kind.lower == trigger::DEF.lower =>
        {
            let argv = json!({ "command": ["/bin/sh", "-c", line.text().unwrap_or_default()] });
            work.map(key, "when", argv);
        }
        (_, _, _) => unmet(work, key),
    }
}
