//! Watched paths.
//!
//! In: `watch`. Out: fields of a Trigger; a Trigger for each path when no rule is about files. Not here: what is done with
//! a change, which rules say.
//! The surprise: AIWG by itself only records a change, so what becomes of a path alone is a Trigger that prints what it
//! saw, in which `run` waits to be written.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::import::source::{Key, Value};
use crate::import::work::{Rule, Rules, Work};
use crate::import::{Fate, Import};
use crate::kind::trigger;

/// The keys of one path.
const PATH: Rules = &[
    ("path", Rule::To(|work, key| work.same(key, "watch"))),
    ("events", Rule::To(changes)),
    ("ignore", Rule::Each(ignore)),
    ("extensions", Rule::To(|work, key| work.same(key, "extensions"))),
];

/// What of a project never counts there.
const NEVER: &[&str] = &[".aiwg/working", ".aiwg/daemon"];

/// The entries of `watch.paths`; none when nothing is watched.
pub fn entries<'a>(root: &Key<'a>) -> Vec<Key<'a>> {
    let paths = root.get("watch").and_then(|watch| watch.get("paths"));
    paths.map(|paths| paths.items()).unwrap_or_default()
}

/// The folder or file of an entry, as it was written.
fn written<'a>(entry: &Key<'a>) -> Option<&'a str> {
    entry.text().or_else(|| entry.text_of("path")).filter(|path| !path.trim().is_empty())
}

/// A Trigger for each path, unless rules have taken them, and marks for what is left.
pub fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(watch) = root.get("watch") else { return };
    let is_taken = entries(root).iter().any(|entry| entry.leaves().iter().any(|leaf| import.report.covers(leaf)));
    for entry in entries(root).iter().filter(|_| !is_taken) {
        let Some(path) = written(entry) else {
            import.report.drop_rest("", entry, "it names no path");
            continue;
        };
        let words = path.trim_matches(|c: char| !c.is_ascii_alphanumeric()).replace('/', "-");
        let name = if words.is_empty() { "watch".to_owned() } else { format!("watch-{words}") };
        let mut work = import.object(&trigger::DEF, &name, entry);
        super::common(&mut work, root);
        of_entry(&mut work, root, entry);
        let how = "AIWG only records such a change, and so does `cat`: write what is to be done in its place";
        work.draft.set("run", json!(["cat"]));
        match entry.get("path") {
            Some(key) => work.said(&key, "run", how),
            None => work.said(entry, "run", how),
        }
        work.finish();
    }
    for key in watch.fields() {
        match key.name() {
            "enabled" => import.report.mark("", &key, Fate::Mapped, "enabled", ""),
            "use_polling" => {
                let why = "changes are told by the kernel, and looked for every 30s besides";
                import.report.drop_rest("", &key, why);
            }
            "paths" if key.items().is_empty() => import.report.mark("", &key, Fate::Mapped, "", ""),
            "debounce_ms" | "ignore" => import.report.drop_rest("", &key, "no path is watched that it could be about"),
            _ => {}
        }
    }
}

/// Makes a Trigger watch what this entry says.
pub fn of_entry(work: &mut Work<'_>, root: &Key<'_>, entry: &Key<'_>) {
    let path = written(entry).unwrap_or(".").trim();
    let endings = entry.get("extensions").and_then(|key| key.texts()).unwrap_or_default();
    // An ending with a point inside is no ending here, but a pattern says it.
    let is_pattern = endings.iter().any(|ending| ending.trim_start_matches('.').contains('.'));
    let patterns: Vec<String> = match is_pattern {
        true => {
            let ending =
                |ending: &String| format!("{}/**/*.{}", path.trim_end_matches('/'), ending.trim_start_matches('.'));
            endings.iter().map(ending).collect()
        }
        false => vec![path.to_owned()],
    };
    watch(work, &patterns);
    if !is_pattern && !endings.is_empty() {
        let plain: Vec<&str> = endings.iter().map(|ending| ending.trim_start_matches('.')).collect();
        work.draft.set("extensions", json!(plain));
    }
    work.apply(PATH, entry);
    if matches!(entry.node.value, Value::Text(_)) {
        work.same(entry, "watch");
    }
    common(work, root);
    for never in NEVER {
        if let Ok(below) = Path::new(never).strip_prefix(path.trim_start_matches("./").trim_end_matches('/'))
            && below != Path::new("")
        {
            work.draft.push("ignore", json!(format!("{}/**", below.display())));
        } else if matches!(path, "." | "./") {
            work.draft.push("ignore", json!(format!("{never}/**")));
        }
    }
}

/// Makes a Trigger watch these paths of the project.
pub fn watch(work: &mut Work<'_>, patterns: &[String]) {
    let paths: Vec<String> = patterns.iter().filter_map(|pattern| work.path(pattern)).collect();
    match paths.as_slice() {
        [path] => work.draft.set("watch", json!(path)),
        paths => work.draft.set("watch", json!(paths)),
    }
}

/// What holds for every path.
pub fn common(work: &mut Work<'_>, root: &Key<'_>) {
    let Some(watch) = root.get("watch") else { return };
    // AIWG knows nothing of .gitignore.
    work.draft.set("gitignore", json!(false));
    if watch.get("enabled").and_then(|key| key.bool()) == Some(false) {
        work.draft.set("enabled", json!(false));
    }
    if let Some(key) = watch.get("debounce_ms") {
        work.duration(&key, "settle", key.count().map(Duration::from_millis));
    }
    watch.get("ignore").map(|key| key.items()).unwrap_or_default().iter().for_each(|key| ignore(work, key));
}

fn ignore(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().map(|text| text.trim_end_matches('/')).filter(|text| !text.is_empty()) {
        Some(text) => {
            work.draft.push("ignore", json!(text));
            work.same(key, "ignore");
        }
        None => work.odd(key, "pattern"),
    }
}

fn changes(work: &mut Work<'_>, key: &Key<'_>) {
    const KNOWN: [&str; 3] = ["create", "modify", "delete"];
    let given = key.texts().unwrap_or_default();
    // In the order of the default, so that all of them are left out.
    let known: Vec<&str> = KNOWN.into_iter().filter(|change| given.iter().any(|text| text == change)).collect();
    match given.iter().all(|text| KNOWN.contains(&&**text)) && !known.is_empty() {
        true => work.map(key, "changes", known),
        false => work.odd(key, "list of create, modify and delete"),
    }
}
