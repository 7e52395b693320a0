//! What every process is started in, and how it is ended: the fields that kinds with commands share.
//!
//! In: `dir`, `env`, `envFile`, `inheritEnv`, `user`, `group`, `umask`, `limits`, `stop` and `log`. Out: a launch without
//! its command, and the policy of its shim. Not here: the command itself (`command`).
//! The surprise: a spec is read as several structs that each take the fields they know, since one struct cannot both
//! include another and refuse unknown fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::FieldError;
use super::command::{InheritEnv, Limits, Texts, Value, check_env, check_text, umask, variables};
use super::units::{Duration, Signal, Size, Text, count};
use crate::engine::plan::{Command, Launch, LogLimits, Policy, Stdin, StopRule};

/// What a process is started in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Process {
    /// The folder it starts in. Relative to the manifest's folder, which is also the default.
    #[schemars(default = "no_default", length(min = 1), extend("examples" = ["./web", "/srv/web"]))]
    #[schemars(extend("x-rule" = "it takes the path of a folder", "x-default" = "the manifest's folder"))]
    dir: String,
    /// Environment variables, beside a clean base of PATH, HOME, USER, LOGNAME, SHELL, LANG, TZ and TMPDIR. A value is
    /// text, or comes at each start from elsewhere: fromEnv, fromFile, fromCommand.
    #[schemars(extend("examples" = [{ "PORT": "8080", "TOKEN": { "fromFile": "secrets/token" } }]))]
    #[schemars(extend("x-rule" = "it maps names of variables to text"))]
    env: BTreeMap<String, Value>,
    /// Files of NAME=value lines, read at each start. Relative to the manifest's folder.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    env_file: Texts,
    /// What it gets of the controller's own environment: names of variables, or true for all of it.
    inherit_env: InheritEnv,
    /// Who it runs as: a name or a number. Needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["www-data"]))]
    user: Option<Text>,
    /// Its group: a name or a number; the user's own when only a user is given. Needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["www-data"]))]
    group: Option<Text>,
    /// The mode bits its new files do not get, in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["027"]))]
    umask: Option<Text>,
    /// What it may use.
    limits: Limits,
    /// How it is stopped: the signal first, KILL to all that is left of its tree after the grace.
    stop: Stop,
    /// How much of its output is kept.
    log: Log,
}

fn no_default() -> Option<String> {
    None
}

impl Process {
    /// Its fields.
    pub const FIELDS: &[&str] =
        &["dir", "env", "envFile", "group", "inheritEnv", "limits", "log", "stop", "umask", "user"];
    /// Those that mean something only where there is a command.
    const OF_COMMANDS: &[&str] = &["env", "envFile", "group", "inheritEnv", "limits", "umask", "user"];

    /// Says what types cannot say. `has_command`: there is a process that these fields are about.
    pub fn check(&self, has_command: bool, errors: &mut Vec<FieldError>) {
        check_env(&self.env, errors);
        self.env_file.check("envFile", errors);
        self.inherit_env.check(errors);
        errors.extend(umask(self.umask.as_ref()).err().map(|error| *error));
        self.limits.check(errors);
        check_text(&["dir"], &self.dir, errors);
        if has_command && !self.dir.starts_with('/') {
            errors.push(FieldError::new(&["dir"], "is not absolute", "write a path that starts with `/`"));
        }
        for (field, text) in [("user", &self.user), ("group", &self.group)] {
            let Some(text) = text else { continue };
            check_text(&[field], &text.0, errors);
            if text.0.is_empty() {
                errors.push(FieldError::new(&[field], "is empty", "write a name or a number"));
            }
        }
        self.stop.check(errors);
        self.log.check(errors);
        if !has_command {
            let written = self.canonical(true);
            for field in Self::OF_COMMANDS.iter().filter(|field| written.get(**field).is_some()) {
                let help = "remove it; it belongs to the Capability that has the command";
                errors.push(FieldError::of_name(&[field], "says nothing where nothing is `run`", help));
            }
        }
    }

    /// A launch of this command in these surroundings.
    #[must_use]
    pub fn launch(&self, command: Command) -> Launch {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.0.clone());
        Launch {
            command,
            dir: Arc::from(self.dir.as_str()),
            env: variables(&self.env),
            env_files: self.env_file.all().to_vec(),
            inherit: self.inherit_env.rule(),
            user: text(&self.user),
            group: text(&self.group),
            // Checked before.
            umask: umask(self.umask.as_ref()).unwrap_or_default(),
            limits: self.limits.bounds(),
            stdin: Stdin::Null,
            is_notified: false,
            is_durable: true,
        }
    }

    /// How it is stopped and logged.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy { stop: self.stop.rule(), log: self.log.limits(), ..Policy::DEFAULT }
    }

    /// What is not as it would be anyway; without a command the folder says nothing.
    #[must_use]
    pub fn canonical(&self, has_command: bool) -> Json {
        let mut written = canonical(self, &Process::default());
        if !has_command && let Some(fields) = written.as_object_mut() {
            fields.remove("dir");
        }
        written
    }

    /// What a process is made of, for what decides whether it is another one.
    #[must_use]
    pub fn revised(&self, has_command: bool) -> Json {
        let mut written = self.canonical(has_command);
        if let Some(fields) = written.as_object_mut() {
            ["stop", "log", "inheritEnv"].iter().for_each(|field| drop(fields.remove(*field)));
        }
        written
    }
}

/// The part of a map that these fields are.
#[must_use]
pub fn only(value: &Json, fields: &[&str]) -> Json {
    let of = value.as_object().into_iter().flatten();
    Json::Object(of.filter(|(name, _)| fields.contains(&name.as_str())).map(|(n, f)| (n.clone(), f.clone())).collect())
}

/// The part of a map that none of these fields is.
#[must_use]
pub fn without(value: &Json, fields: &[&str]) -> Json {
    let of = value.as_object().into_iter().flatten();
    Json::Object(of.filter(|(name, _)| !fields.contains(&name.as_str())).map(|(n, f)| (n.clone(), f.clone())).collect())
}

/// One map of all these.
#[must_use]
pub fn joined(parts: impl IntoIterator<Item = Json>) -> Json {
    let mut whole = Map::new();
    for part in parts {
        if let Json::Object(fields) = part {
            whole.extend(fields);
        }
    }
    Json::Object(whole)
}

/// Reads a part of a spec of this kind.
///
/// # Errors
/// When it does not fit its type.
pub fn read<T: DeserializeOwned>(value: Json, kind: &str) -> Result<T, Vec<FieldError>> {
    serde_json::from_value(value).map_err(|error| {
        let help = format!("see: setpoint explain {kind}");
        vec![FieldError::new(&[], format!("cannot be read: {error}"), help)]
    })
}

/// A spec without what is as it would be anyway.
#[must_use]
pub fn canonical<T: Serialize>(spec: &T, defaults: &T) -> Json {
    // Serializing plain structs to JSON values cannot fail; an empty spec would be caught by the golden tests.
    let to_value = |spec: &T| serde_json::to_value(spec).unwrap_or_default();
    without_defaults(to_value(spec), &to_value(defaults))
}

/// Drops what equals its default, at every depth.
#[must_use]
pub fn without_defaults(value: Json, defaults: &Json) -> Json {
    let (Json::Object(fields), Json::Object(defaults)) = (&value, defaults) else { return value };
    let kept = fields.iter().filter(|(name, field)| defaults.get(*name) != Some(field));
    let pruned = kept.map(|(name, field)| {
        let field =
            defaults.get(name).map_or_else(|| field.clone(), |default| without_defaults(field.clone(), default));
        (name.clone(), field)
    });
    Json::Object(pruned.collect())
}

/// How it is stopped.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Stop {
    /// The signal that asks it to stop.
    pub signal: Signal,
    /// How long until KILL; at most 1h.
    pub grace: Duration,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal(StopRule::DEFAULT.signal), grace: Duration(StopRule::DEFAULT.grace) }
    }
}

/// How much output is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// A file is closed when it has reached this size; at least 4Ki.
    pub max_size: Size,
    /// How many files are kept, the one being written included.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts files: 1 to 1000"))]
    pub max_files: u32,
}

impl Default for Log {
    fn default() -> Log {
        Log { max_size: Size(LogLimits::DEFAULT.max_size), max_files: LogLimits::DEFAULT.max_files }
    }
}

impl Stop {
    /// For the engine.
    #[must_use]
    pub fn rule(&self) -> StopRule {
        StopRule { signal: self.signal.0, grace: self.grace.0 }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        if self.grace.0 > StopRule::GRACE_MAX {
            errors.push(FieldError::new(&["stop", "grace"], "is longer than 1h", "write at most 1h"));
        }
    }
}

impl Log {
    /// For the engine.
    #[must_use]
    pub fn limits(&self) -> LogLimits {
        LogLimits { max_size: self.max_size.0, max_files: self.max_files }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        if !(4096..=1 << 40).contains(&self.max_size.0) {
            errors.push(FieldError::new(&["log", "maxSize"], "is out of range", "write 4Ki to 1Ti"));
        }
        if !(1..=1000).contains(&self.max_files) {
            errors.push(FieldError::new(&["log", "maxFiles"], "is out of range", "write 1 to 1000"));
        }
    }
}
