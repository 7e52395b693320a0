//! Paths of a spec, made absolute.
//!
//! In: a spec as it was written, and the folder of its manifest. Out: the same with absolute paths. Not here: whether
//! anything stands there.
//! The surprise: `..` stays as it is, since a symlink may stand before it, and `~` is refused, since only shells know it.

use serde_json::Value;

use super::check::{Subject, at_value, dotted};
use super::problem::{Findings, quote};

/// Makes paths absolute.
pub(super) fn resolve(subject: &Subject<'_>, spec: &mut Value, findings: &mut Findings) {
    let Some(fields) = spec.as_object_mut() else { return };
    for name in subject.def.paths {
        let written = fields.get(*name).and_then(Value::as_str).unwrap_or(".");
        if written.starts_with('~') {
            let message = format!("{} begins with `~`, which only a shell replaces", quote(name));
            let help = "write the whole path, as in /home/ada/web".to_owned();
            findings.push(at_value(subject, &[(*name).to_owned()], message, String::new(), help));
        }
        fields.insert((*name).to_owned(), Value::String(absolute(subject.folder, written)));
    }
    for pattern in subject.def.files {
        let steps: Vec<&str> = pattern.split('.').collect();
        resolve_file(subject, spec, &steps, &mut Vec::new(), findings);
    }
    warn_of_drop_folders(subject, spec, findings);
}

/// Whoever may put a message into a folder must not thereby write a manifest.
fn warn_of_drop_folders(subject: &Subject<'_>, spec: &Value, findings: &mut Findings) {
    for (index, from) in spec.get("from").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(folder) = from.get("folder").and_then(Value::as_str) else { continue };
        let below = folder.strip_prefix(subject.folder.trim_end_matches('/')).filter(|rest| rest.starts_with('/'));
        // What is hidden is no manifest.
        if below.is_none_or(|rest| rest.split('/').any(|step| step.starts_with('.'))) {
            continue;
        }
        let message = "this folder lies among the manifests, so a message that is named like one would be read as one";
        let help = "put it elsewhere, or let its name begin with a point: ./.drop".to_owned();
        let path = ["from".to_owned(), index.to_string(), "folder".to_owned()];
        findings.warn(at_value(subject, &path, message.to_owned(), String::new(), help));
    }
}

/// Makes the paths at the end of these steps absolute; `*` stands for every key, and every item.
fn resolve_file(
    subject: &Subject<'_>,
    value: &mut Value,
    steps: &[&str],
    path: &mut Vec<String>,
    findings: &mut Findings,
) {
    match (value, steps) {
        (Value::String(text), []) => {
            if text.starts_with('~') {
                let message = format!("{} begins with `~`, which only a shell replaces", quote(&dotted(path)));
                let help = "write the whole path, as in /home/ada/web".to_owned();
                findings.push(at_value(subject, path, message, String::new(), help));
            }
            *text = absolute(subject.folder, text);
        }
        (Value::Array(items), []) => {
            for (index, item) in items.iter_mut().enumerate().filter(|(_, item)| item.is_string()) {
                path.push(index.to_string());
                resolve_file(subject, item, &[], path, findings);
                path.pop();
            }
        }
        (Value::Array(items), ["*", rest @ ..]) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                resolve_file(subject, item, rest, path, findings);
                path.pop();
            }
        }
        (Value::Object(fields), [step, rest @ ..]) => {
            for (name, field) in fields.iter_mut().filter(|(name, _)| *step == "*" || name == step) {
                path.push(name.clone());
                resolve_file(subject, field, rest, path, findings);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Joins a path to a folder; `.` and empty steps go, `..` stays, since a symlink may stand before it.
fn absolute(folder: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { folder };
    let steps = from.split('/').chain(path.split('/')).filter(|step| !step.is_empty() && *step != ".");
    let joined = steps.fold(String::new(), |joined, step| joined + "/" + step);
    if joined.is_empty() { "/".to_owned() } else { joined }
}
