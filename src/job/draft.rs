//! A job while it is written.
//!
//! In: fields as they stand in the front matter, and a text. Out: the spec of a CronJob to check, and the file.
//! Not here: whether a capability exists. The surprise: fields nobody here knows are kept and checked as those of a
//! CronJob, so an edit loses nothing that a person wrote by hand but comments between the keys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::refused::Refused;
use crate::kind::cronjob;

/// How a session is started.
const SPAWN_MODES: &[&str] = &["headless_ephemeral", "headless_persistent", "interactive_persistent"];
/// The largest jitter, in seconds.
const JITTER_MAX: u64 = 999_999_999;
/// The order of keys in a file; others follow by name.
const ORDER: &[&str] = &[
    "schedule",
    "every",
    "timeZone",
    "type",
    "capability",
    "workflow",
    "run",
    "params",
    "recurring",
    "enabled",
    "spawn_mode",
    "jitter_seconds",
];
/// Keys that are no fields of a CronJob.
const REWRITTEN: &[&str] = &[
    "type",
    "capability",
    "workflow",
    "params",
    "recurring",
    "spawn_mode",
    "kind",
    "name",
    "apiVersion",
    "jitter_seconds",
];

/// A job.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Draft {
    /// Its name, and that of its file.
    #[serde(default)]
    pub name: String,
    /// What it is for: the text below the front matter.
    #[serde(default)]
    pub description: String,
    /// A file of this name is replaced.
    #[serde(default, skip_serializing)]
    pub overwrite: bool,
    /// Its front matter: schedule, type, capability, workflow, params, recurring, enabled, spawn_mode, jitter_seconds, and
    /// any field of a CronJob.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Draft {
    /// The job in a file.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub fn of_file(name: &str, text: &str) -> Result<Draft, String> {
        let body = text.trim_start_matches('\u{feff}').strip_prefix("---").and_then(|rest| rest.split_once('\n'));
        let Some((_, rest)) = body else { return Err("does not begin with a line `---`".to_owned()) };
        let mut at = 0;
        let end = rest.split_inclusive('\n').find_map(|line| {
            let begin = at;
            at += line.len();
            (line.trim_end() == "---").then_some((begin, at))
        });
        let Some((end, begin)) = end else { return Err("has no line `---` below its keys".to_owned()) };
        let (front, body) = (rest.get(..end).unwrap_or_default(), rest.get(begin..).unwrap_or_default());
        let fields: Option<Map<String, Value>> =
            serde_yaml::from_str(front).map_err(|_| "has keys that are no YAML".to_owned())?;
        let description = body.trim().to_owned();
        Ok(Draft { name: name.to_owned(), description, overwrite: false, fields: fields.unwrap_or_default() })
    }

    /// Sets a field; none takes it away.
    pub fn set(&mut self, field: &str, value: Option<Value>) {
        match value {
            Some(value) => drop(self.fields.insert(field.to_owned(), value)),
            None => drop(self.fields.remove(field)),
        }
    }

    /// The text of a field that is not empty.
    #[must_use]
    pub fn word(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str).map(str::trim).filter(|word| !word.is_empty())
    }

    /// The key that says what is done.
    #[must_use]
    pub fn work_key(&self) -> &'static str {
        match self.word("type") {
            _ if self.fields.contains_key("run") => "run",
            _ if self.fields.contains_key("use") => "use",
            Some("workflow") => "workflow",
            Some("prompt") => "type",
            Some(_) | None => "capability",
        }
    }

    /// Says what is wrong with the fields that only these files have.
    pub fn check_words(&self, refused: &mut Refused) {
        match self.fields.get("type").map(|kind| kind.as_str().unwrap_or_default()) {
            None | Some("capability") => {}
            Some("workflow") if self.word("workflow").is_some() => {}
            Some("workflow") => refused.add("workflow", "workflow is missing; name one".to_owned()),
            Some("prompt") => {
                let text =
                    "type prompt is told to an Agent, and that kind is not there yet; use capability or workflow";
                refused.add("type", text.to_owned());
            }
            Some(_) => refused.add("type", "type must be capability or workflow".to_owned()),
        }
        if matches!(self.work_key(), "run" | "use") {
            for key in ["type", "capability", "workflow", "params"].iter().filter(|key| self.fields.contains_key(**key))
            {
                refused.add(key, format!("{key} stands beside {}, and a job does one thing", self.work_key()));
            }
        }
        let jitter = self.fields.get("jitter_seconds");
        if jitter.is_some_and(|jitter| jitter.as_u64().is_none_or(|seconds| seconds > JITTER_MAX)) {
            let text = "jitter_seconds must be a non-negative integer, such as 90: whole seconds";
            refused.add("jitter_seconds", text.to_owned());
        }
        if self.fields.get("recurring").is_some_and(|value| !value.is_boolean()) {
            refused.add("recurring", "recurring must be true or false".to_owned());
        }
        if self.fields.get("params").is_some_and(|params| !params.is_object()) {
            refused.add("params", "params must map names to values".to_owned());
        }
        let mode = self.fields.get("spawn_mode").map(|mode| mode.as_str().unwrap_or("?"));
        if mode.is_some_and(|mode| !mode.is_empty() && !SPAWN_MODES.contains(&mode)) {
            refused.add("spawn_mode", format!("spawn_mode must be one of {}", SPAWN_MODES.join(", ")));
        }
        if ["spec", "metadata", "prompt", "agent"].iter().any(|key| self.fields.contains_key(*key)) {
            refused.add("", "a job has no spec, metadata, prompt or agent here".to_owned());
        }
        if self.description.lines().any(|line| line.trim_end() == "---") || self.description.contains('\0') {
            refused.add("description", "description must not hold a line of three dashes".to_owned());
        }
    }

    /// The CronJob it becomes, as a manifest says it. What [`Draft::check_words`] refuses is left out.
    #[must_use]
    pub fn object(&self, name: &str) -> Value {
        let is_kept = |key: &str| !REWRITTEN.contains(&key);
        let kept = self.fields.iter().filter(|(key, _)| is_kept(key));
        let mut object: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        object.insert("kind".to_owned(), json!(cronjob::DEF.kind));
        object.insert("name".to_owned(), json!(name));
        if let Some(used) = self.used() {
            object.insert("use".to_owned(), json!(used));
            if let Some(params) = self.fields.get("params").filter(|params| params.is_object()) {
                object.insert("with".to_owned(), params.clone());
            }
        }
        if let Some(seconds) = self.fields.get("jitter_seconds").filter(|seconds| seconds.is_u64()) {
            object.insert("jitter_seconds".to_owned(), seconds.clone());
        }
        if self.fields.get("recurring") == Some(&Value::Bool(false)) {
            object.insert("once".to_owned(), json!(true));
        }
        Value::Object(object)
    }

    /// What it uses; none when it says what it does by itself.
    fn used(&self) -> Option<String> {
        let key = self.work_key();
        if matches!(key, "run" | "use") {
            return None;
        }
        let kind = if key == "workflow" { "workflow" } else { "capability" };
        let name = self.word(kind).unwrap_or("noop");
        let name = name.strip_prefix('/').unwrap_or(name);
        Some(if name.contains('/') { name.to_owned() } else { format!("{kind}/{name}") })
    }

    /// Its front matter with what goes without saying.
    #[must_use]
    pub fn whole(&self) -> Map<String, Value> {
        let mut fields = self.fields.clone();
        let mut default = |key: &str, value: Value| {
            fields.entry(key.to_owned()).or_insert(value);
        };
        match self.work_key() {
            "run" | "use" => {}
            "workflow" => default("params", json!({})),
            _ => {
                default("type", json!("capability"));
                default("capability", json!("noop"));
                default("params", json!({}));
            }
        }
        default("recurring", json!(true));
        default("enabled", json!(true));
        default("jitter_seconds", json!(0));
        // A name behind a slash is how it is called elsewhere, and no part of it.
        for key in ["capability", "workflow"] {
            if let Some(Value::String(name)) = fields.get_mut(key) {
                *name = name.trim().trim_start_matches('/').to_owned();
            }
        }
        fields
    }

    /// The file.
    #[must_use]
    pub fn text_of_file(&self) -> String {
        let fields = self.whole();
        let mut keys: Vec<&String> = fields.keys().collect();
        let rank = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
        keys.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.cmp(b)));
        // JSON is YAML, and needs no judgement on what has to be quoted.
        let line = |key: &String| format!("{}: {}\n", plain_key(key), fields.get(key).unwrap_or(&Value::Null));
        let front: String = keys.into_iter().map(line).collect();
        let body = self.description.trim();
        let body = if body.is_empty() { String::new() } else { format!("{body}\n") };
        format!("---\n{front}---\n{body}")
    }
}

/// A key, in quotes where it is no plain word.
fn plain_key(key: &str) -> String {
    let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && key.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_plain { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Draft;
    use crate::job::Refused;

    fn draft(fields: Value) -> Draft {
        let Value::Object(fields) = fields else { panic!("a map") };
        Draft { name: "x".to_owned(), description: "What it is for.".to_owned(), fields, ..Draft::default() }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for fields in [
            json!({ "schedule": "0 3 * * *", "run": "echo \"a\u{2028}b\" # 'c'" }),
            json!({ "every": "1h", "type": "workflow", "workflow": "w", "params": { "a b": [1, null, "x: y"] } }),
            json!({ "schedule": ["@daily", "@reboot"], "run": "x", "odd key": { "on": false }, "env": { "A": "1.10" } }),
        ] {
            let written = draft(fields);
            let read = Draft::of_file("x", &written.text_of_file()).expect("a job");
            assert_eq!((&read.description, &read.fields), (&written.description, &written.whole()));
            assert_eq!(read.text_of_file(), written.text_of_file());
        }
    }

    #[test]
    fn files_of_others_are_read_or_refused() {
        for (text, is_one) in [
            ("---\nschedule: '@daily'\n---\nText\n---\nmore", true),
            ("---\r\nschedule: '@daily'\r\n---\r\nText", true),
            ("\u{feff}---\n---\n", true),
            ("---\nschedule: '@daily'\n", false),
            ("schedule: '@daily'\n", false),
            ("---\n- a\n---\n", false),
            ("---\na: [\n---\n", false),
            ("", false),
        ] {
            assert_eq!(Draft::of_file("x", text).is_ok(), is_one, "{text:?}");
        }
    }

    #[test]
    fn words_of_these_files_are_checked() {
        for (fields, wrong) in [
            (json!({ "type": "capability", "jitter_seconds": 0 }), None),
            (json!({ "jitter_seconds": -1 }), Some("jitter_seconds")),
            (json!({ "jitter_seconds": 1.5 }), Some("jitter_seconds")),
            (json!({ "jitter_seconds": "90" }), Some("jitter_seconds")),
            (json!({ "type": "prompt" }), Some("type")),
            (json!({ "type": "shell" }), Some("type")),
            (json!({ "type": "workflow" }), Some("workflow")),
            (json!({ "recurring": "yes" }), Some("recurring")),
            (json!({ "params": [1] }), Some("params")),
            (json!({ "spawn_mode": "headless" }), Some("spawn_mode")),
            (json!({ "run": "x", "params": {} }), Some("params")),
        ] {
            let mut refused = Refused::default();
            draft(fields.clone()).check_words(&mut refused);
            let fields_wrong: Vec<&String> = refused.errors_by_field.keys().collect();
            assert_eq!(fields_wrong, wrong.into_iter().collect::<Vec<_>>(), "{fields}");
        }
    }
}
