//! systemd path units.
//!
//! In: a `.path` and what its service became. Out: that as a Trigger. Not here: when a timer starts it (`timer`).
//! The surprise: systemd starts a service for as long as a path exists or a folder holds anything, and a Trigger is set off
//! by a change; so a service that leaves something lying there is not started for that again.

use serde_json::json;

use super::keys::INSTALL;
use super::rules::{annotate, span};
use super::{failure, specified, specifiers};
use crate::import::Import;
use crate::import::source::Key;
use crate::import::work::{Rule, Rules, UNKNOWN, Work};
use crate::kind::{job, service};

/// `[Unit]` of a path.
const UNIT: Rules = &[
    ("Description", Rule::To(|work, key| annotate(work, key, "path"))),
    ("Documentation", Rule::Each(|work, key| annotate(work, key, "documentation"))),
    ("X-*", Rule::Drop("systemd ignores it, too")),
    ("*", Rule::Drop("a Trigger waits for what it watches and for nothing else")),
];

/// `[Path]`.
const PATH: Rules = &[
    ("PathChanged", Rule::Each(|work, key| watched(work, key, ""))),
    (
        "PathModified",
        Rule::Each(|work, key| watched(work, key, "it is told when the file has been quiet, not at each write")),
    ),
    ("PathExists", Rule::Each(|work, key| watched(work, key, THERE))),
    ("PathExistsGlob", Rule::Each(|work, key| watched(work, key, THERE))),
    ("DirectoryNotEmpty", Rule::Each(|work, key| watched(work, key, THERE))),
    ("Unit", Rule::To(|work, key| work.same(key, ""))),
    ("MakeDirectory", Rule::Drop("folders are not made; one that is not there yet is watched all the same")),
    ("DirectoryMode", Rule::Drop("folders are not made")),
    ("TriggerLimitBurst", Rule::To(|work, key| work.count(key, "limit.times", 1, 1_000_000))),
    ("TriggerLimitIntervalSec", Rule::To(|work, key| work.duration(key, "limit.within", span(key)))),
];

const THERE: &str = "it is set off by what appears or changes there, not by what has been there before";

/// Makes a Trigger of what this path starts.
pub fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(section) = root.get("Path") else { return };
    let unit = section.text_of("Unit").map_or_else(|| format!("{}.service", import.stem), str::to_owned);
    let name = unit.strip_suffix(".service").and_then(|stem| import.units.get(stem)).cloned();
    let place = name.and_then(|name| import.made.iter().position(|draft| draft.name == name));
    let Some(place) = place else {
        let why = "the service it starts is not imported with it: name both files, or their folder";
        return import.report.drop_rest("", root, why);
    };
    let is_free = |lower: &str| lower == job::DEF.lower || lower == service::DEF.lower;
    if import.made.get(place).is_some_and(|draft| !is_free(draft.kind.lower)) {
        return import.report.drop_rest("", root, "a timer or another path starts the same service already");
    }
    let mut draft = import.made.remove(place);
    failure::react(&mut draft);
    let stem = import.stem.clone();
    let mut work = import.work(draft, root);
    work.vars = specifiers(&work, &stem);
    // systemd knows nothing of .gitignore.
    work.draft.set("gitignore", json!(false));
    if section.get("TriggerLimitBurst").or(section.get("TriggerLimitIntervalSec")).is_some() {
        work.draft.set("limit", json!({ "times": 200, "within": "2s" }));
    }
    if let Some(unit) = root.get("Unit") {
        work.apply(UNIT, &unit);
    }
    if let Some(install) = root.get("Install") {
        work.apply(INSTALL, &install);
    }
    work.apply(PATH, &section);
    work.report.note("what a Trigger runs reads what happened as JSON on standard input");
    if work.draft.get("watch").is_some() {
        return work.finish();
    }
    let name = work.draft.name.clone();
    work.report.drop_rest(&name, root, UNKNOWN);
    work.report.refuse(&name, "", "nothing came of it, since what it waits for cannot be said here");
}

fn watched(work: &mut Work<'_>, key: &Key<'_>, how: &str) {
    let path = specified(work, key.text().unwrap_or_default()).filter(|path| path.starts_with('/'));
    let Some(path) = path else { return work.odd(key, "path") };
    work.draft.push("watch", json!(path));
    match how {
        "" => work.same(key, "watch"),
        how => work.said(key, "watch", how),
    }
}
