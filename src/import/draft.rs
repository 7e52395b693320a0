//! A manifest while it is written.
//!
//! In: fields by their path, `stop.grace`. Out: the short form as YAML, without what is as it would be anyway.
//! Not here: whether a value is right; the loader says that.
//! The surprise: what equals a default is left out only here, so a mapping may set whatever its source says.

use serde_json::{Map, Value, json};

use super::write;
use crate::engine::name::{NAME_MAX, is_name};
use crate::kind::{FieldError, KindDef, cronjob, job, mailbox, service, trigger};

/// One object in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is.
    pub kind: &'static KindDef,
    /// Its name, valid here.
    pub name: String,
    /// Where it comes from, for the comment above it.
    pub from: String,
    fields: Map<String, Value>,
}

/// What is left out: the defaults of its kind.
fn defaults(kind: &KindDef) -> Value {
    match kind.lower {
        lower if lower == service::DEF.lower => of_a_service(),
        lower if lower == cronjob::DEF.lower => joined(&json!({
            "jitter": "0s", "overlap": "skip", "missed": "once", "missedWithin": "1h", "onQuiet": "skip",
            "once": false, "enabled": true,
        })),
        lower if lower == job::DEF.lower => joined(&json!({ "keep": "7d" })),
        lower if lower == trigger::DEF.lower => joined(&json!({
            "changes": ["create", "modify", "delete"], "settle": "500ms", "gitignore": true, "timeout": "2h",
            "retry": { "times": 3, "wait": "10s" }, "atOnce": 1, "enabled": true,
        })),
        lower if lower == mailbox::DEF.lower => joined(&json!({
            "atOnce": 1, "maxAge": "3d", "timeout": "2h", "retry": { "times": 4, "wait": "10s" }, "enabled": true,
        })),
        _ => json!({}),
    }
}

/// The defaults of work that ends, and these.
fn joined(more: &Value) -> Value {
    let mut all = json!({
        "stop": { "signal": "TERM", "grace": "10s" },
        "log": { "maxSize": "50Mi", "maxFiles": 5 },
        "retry": { "times": 0 },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more.clone());
    }
    all
}

fn of_a_service() -> Value {
    let ready = json!({ "period": "10s", "timeout": "1s", "failure": 3, "success": 1, "startup": "30s" });
    // Without `timeout`, whose default differs by what is asked.
    let live = json!({ "period": "10s", "failure": 3, "success": 1, "startup": "30s" });
    json!({
        "replicas": 1, "restart": "always", "tty": false,
        "backoff": {
            "from": "1s", "factor": 2, "to": "1m", "resetAfter": "1m", "giveUpAfter": 5, "giveUp": "unproven",
        },
        "stop": { "signal": "TERM", "grace": "10s" },
        "log": { "maxSize": "50Mi", "maxFiles": 5 },
        "ready": ready, "live": live,
    })
}

/// Takes away what is as it would be anyway, and maps that become empty.
fn without(fields: &mut Map<String, Value>, defaults: &Value) {
    fields.retain(|field, value| {
        if let (Value::Object(inner), Some(default)) = (&mut *value, defaults.get(field)) {
            without(inner, default);
        }
        defaults.get(field) != Some(value) && !is_empty(value)
    });
}

impl Draft {
    /// An object of this kind and name.
    #[must_use]
    pub fn new(kind: &'static KindDef, name: String, from: String) -> Draft {
        Draft { kind, name, from, fields: Map::new() }
    }

    /// The fields that its kind does not have, which are taken away.
    pub fn take_foreign(&mut self) -> Vec<String> {
        let fields_of = |kind: &KindDef| crate::load::spec_schema(kind).get("properties").and_then(Value::as_object);
        let Some(known) = fields_of(self.kind) else { return Vec::new() };
        let is_known = |field: &str| matches!(field, "labels" | "annotations") || known.contains_key(field);
        // Rules are written for services, and may have said something of a field without setting it.
        let of_services = fields_of(&service::DEF).into_iter().flat_map(|fields| fields.keys());
        let mut foreign: Vec<String> = self.fields.keys().chain(of_services).cloned().collect();
        foreign.retain(|field| !is_known(field));
        self.fields.retain(|field, _| is_known(field));
        foreign
    }

    /// Sets a field, and the maps around it.
    pub fn set(&mut self, path: &str, value: Value) {
        let mut map = &mut self.fields;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                map.insert(step.to_owned(), value);
                return;
            }
            let inner = map.entry(step.to_owned()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            let Value::Object(inner) = inner else { return };
            map = inner;
        }
    }

    /// Sets a variable; its name may hold any character.
    pub fn set_env(&mut self, name: &str, value: Value) {
        self.inside("env", name, value);
    }

    /// Sets an entry of a map whose keys may hold dots.
    pub fn inside(&mut self, field: &str, key: &str, value: Value) {
        let map = self.fields.entry(field.to_owned()).or_insert_with(|| json!({}));
        if let Value::Object(map) = map {
            map.insert(key.to_owned(), value);
        }
    }

    /// Adds to a list, once.
    pub fn push(&mut self, field: &str, value: Value) {
        let list = self.fields.entry(field.to_owned()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list
            && !list.contains(&value)
        {
            list.push(value);
        }
    }

    /// A field.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('.');
        let first = self.fields.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    }

    /// Takes away needs of what is not there; gives their names.
    pub fn retain_needs(&mut self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let mut gone = Vec::new();
        if let Some(Value::Array(needs)) = self.fields.get_mut("needs") {
            needs.retain(|need| {
                let name = need.get("name").unwrap_or(need).as_str().unwrap_or_default();
                let stays = is_there(name);
                gone.extend((!stays).then(|| name.to_owned()));
                stays
            });
        }
        gone
    }

    /// Needs of Jobs wait for their end.
    pub fn need_jobs_done(&mut self, is_job: impl Fn(&str) -> bool) {
        let Some(Value::Array(needs)) = self.fields.get_mut("needs") else { return };
        for need in needs {
            let name = need.get("name").unwrap_or(need).as_str().unwrap_or_default().to_owned();
            if is_job(&name) {
                *need = json!({ "name": format!("job/{name}"), "until": "done" });
            }
        }
    }

    /// Takes away what stands at the end of this way.
    pub fn remove(&mut self, path: &[String]) {
        let Some((field, around)) = path.split_last() else { return };
        let Some((first, rest)) = around.split_first() else { return drop(self.fields.remove(field)) };
        let map = self.fields.get_mut(first);
        let map = map.and_then(|first| rest.iter().try_fold(first, |value, step| value.get_mut(step)));
        if let Some(Value::Object(map)) = map {
            map.remove(field);
        }
    }

    /// What is wrong with its fields, each with the way to it; nothing when the loader will take it.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut spec = self.fields.clone();
        spec.remove("labels");
        spec.remove("annotations");
        without(&mut spec, &defaults(self.kind));
        // Where a relative path starts from makes no difference here.
        for path in self.kind.paths {
            spec.insert((*path).to_owned(), json!("/"));
        }
        if let Some(watch) = spec.get_mut("watch") {
            from_root(watch);
        }
        let spec = Value::Object(spec);
        let refused = crate::load::refused(self.kind, &spec);
        if refused.is_empty() {
            return (self.kind.parse)(&spec).err().unwrap_or_default();
        }
        let fault = |way: Vec<String>| FieldError { path: way, ..FieldError::new(&[], "is out of range here", "") };
        refused.into_iter().map(fault).collect()
    }

    /// The manifest in its short form, without the line for the editor.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut fields = self.fields.clone();
        without(&mut fields, &defaults(self.kind));
        let comment: String = self.from.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write::manifest(&comment, (self.kind.kind, &self.name), &fields)
    }
}

/// Paths as if the manifest stood in the topmost folder.
fn from_root(value: &mut Value) {
    match value {
        Value::String(path) if !path.starts_with('/') => path.insert(0, '/'),
        Value::Array(items) => items.iter_mut().for_each(from_root),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The names given so far.
#[derive(Debug, Default)]
pub struct Names(std::collections::BTreeSet<String>);

impl Names {
    /// A name that is valid here and not given yet, as near to `wanted` as can be.
    pub fn give(&mut self, wanted: &str) -> String {
        let name = sane(wanted);
        let mut free = name.clone();
        let mut count = 2;
        while !self.0.insert(free.clone()) {
            let suffix = format!("-{count}");
            free = format!("{}{suffix}", name.get(..NAME_MAX - suffix.len()).unwrap_or(&name));
            count += 1;
        }
        free
    }
}

/// The nearest valid name.
#[must_use]
pub fn sane(wanted: &str) -> String {
    if is_name(wanted) {
        return wanted.to_owned();
    }
    let mut name = String::new();
    for character in wanted.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
            name.push(character);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches(|c| matches!(c, '-' | '_'));
    let name = name.get(..NAME_MAX).unwrap_or(name);
    if is_name(name) { name.to_owned() } else { "service".to_owned() }
}
