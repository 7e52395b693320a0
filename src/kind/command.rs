//! What is executed, and in which surroundings: its command, its environment, who it is and what it may use.
//!
//! In: the fields `run`, `env`, `envFile`, `inheritEnv`, `user`, `group`, `umask` and `limits`. Out: parts of a
//! [`Launch`](crate::engine::plan::Launch). Not here: reading any of the places a value may come from.
//! The surprise: a value that comes from elsewhere is kept as a reference, so no secret is ever part of a spec.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::engine::plan::{Command, EnvValue, Inherit, Limits as Bounds};
use crate::kind::FieldError;
use crate::kind::units::{Cores, Size, Text, count};

/// The longest argument or `NAME=value`: what the kernel takes, with its closing zero.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
/// The most files of variables.
const FILES_MAX: usize = 64;

/// A command line.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = run_schema)]
pub enum Run {
    /// For a shell.
    Line(String),
    /// Exact.
    Argv(Vec<String>),
}

fn run_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "array"],
        "pattern": "\\S",
        "items": { "type": "string", "x-rule": "arguments are text" },
        "minItems": 1,
        "examples": ["npm start", ["./server", "--port", "8080"]],
        "x-rule": "it takes a command line, or a list of a program and its arguments",
    });
}

impl Run {
    /// The command for the engine.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Run::Line(line) => Command::Line(line.clone()),
            Run::Argv(argv) => Command::Argv(argv.clone()),
        }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        self.check_at(&["run"], errors);
    }

    /// The same where it stands elsewhere.
    pub fn check_at(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let help = "write what to run: run: ./server --port 8080";
        match self {
            Run::Line(line) if line.trim().is_empty() => errors.push(FieldError::new(path, "is empty", help)),
            Run::Line(line) => check_text(path, line, errors),
            Run::Argv(argv) => check_argv(path, argv, errors),
        }
    }
}

/// Says what is wrong with an argument list.
pub fn check_argv(path: &[&str], argv: &[String], errors: &mut Vec<FieldError>) {
    if argv.first().is_none_or(String::is_empty) {
        let first: Vec<&str> = path.iter().copied().chain((!argv.is_empty()).then_some("0")).collect();
        errors.push(FieldError::new(&first, "names no program", "put the program first: [./server, --port, \"8080\"]"));
    }
    for (index, argument) in argv.iter().enumerate() {
        let index = index.to_string();
        let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
        check_text(&path, argument, errors);
    }
}

/// Says why a text cannot be given to a program.
pub fn check_text(path: &[&str], text: &str, errors: &mut Vec<FieldError>) {
    if text.contains('\0') {
        errors.push(FieldError::new(path, "contains a NUL character", "remove the `\\0`; no program can be given one"));
    }
    if text.len() > ARGUMENT_BYTES_MAX {
        errors.push(FieldError::new(path, "is longer than the 128 KiB the kernel takes", "put it in a file"));
    }
}

/// The value of a variable, or where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = value_schema)]
pub enum Value {
    /// As written.
    Literal(Text),
    /// From elsewhere, at each start.
    From(Source),
}

/// Where the value of a variable comes from, at each start; exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    from_command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_file: Option<String>,
}

fn value_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "number", "boolean", "object"],
        "properties": {
            "fromCommand": {
                "type": "array", "items": { "type": "string" }, "minItems": 1,
                "examples": [["pass", "show", "db"]],
                "description": "What this command prints, asked at each start; for 10s at most.",
            },
            "fromEnv": {
                "type": "string", "examples": ["DB_TOKEN"],
                "description": "The variable of this name of the controller.",
            },
            "fromFile": {
                "type": "string", "examples": ["secrets/token"],
                "description": "What this file holds. Relative to the manifest's folder.",
            },
        },
        "additionalProperties": false,
        "x-rule": "it takes text, or one of fromEnv, fromFile and fromCommand",
    });
}

impl Value {
    /// The value for the engine. A source that was checked names exactly one place.
    fn resolve(&self) -> EnvValue {
        match self {
            Value::Literal(text) => EnvValue::Literal(text.0.clone()),
            Value::From(Source { from_command: Some(argv), .. }) => EnvValue::FromCommand(argv.clone()),
            Value::From(Source { from_file: Some(file), .. }) => EnvValue::FromFile(file.clone()),
            Value::From(Source { from_env, .. }) => EnvValue::FromEnv(from_env.clone().unwrap_or_default()),
        }
    }

    fn check(&self, name: &str, errors: &mut Vec<FieldError>) {
        match self {
            Value::Literal(text) => {
                check_text(&["env", name], &text.0, errors);
                if name.len() + text.0.len() >= ARGUMENT_BYTES_MAX {
                    errors.push(FieldError::new(&["env", name], "is too long for the kernel", "put it in a file"));
                }
            }
            Value::From(Source { from_command, from_env, from_file }) => {
                let named = [from_command.is_some(), from_env.is_some(), from_file.is_some()];
                if named.iter().filter(|is_named| **is_named).count() != 1 {
                    let help = "write one of fromEnv, fromFile and fromCommand: { fromFile: secrets/token }";
                    errors.push(FieldError::new(&["env", name], "does not say where it comes from", help));
                }
                if let Some(argv) = from_command {
                    check_argv(&["env", name, "fromCommand"], argv, errors);
                }
                for (field, text) in [("fromEnv", from_env), ("fromFile", from_file)] {
                    if let Some(text) = text {
                        check_text(&["env", name, field], text, errors);
                        if text.is_empty() {
                            let path = &["env", name, field];
                            errors.push(FieldError::new(path, "is empty", "name a variable or a file"));
                        }
                    }
                }
            }
        }
    }
}

/// The variables for the engine.
#[must_use]
pub fn variables(env: &BTreeMap<String, Value>) -> BTreeMap<String, EnvValue> {
    env.iter().map(|(name, value)| (name.clone(), value.resolve())).collect()
}

/// Says what is wrong with names and values of variables.
pub fn check_env(env: &BTreeMap<String, Value>, errors: &mut Vec<FieldError>) {
    for (name, value) in env {
        if !is_variable(name) {
            let help = "a name has letters, digits and `_`, and does not start with a digit";
            errors.push(FieldError::of_name(&["env", name], "is no name of a variable", help));
        } else if name.starts_with("SETPOINT_") {
            let help = "names that start with SETPOINT_ are set by setpoint itself; choose another";
            errors.push(FieldError::of_name(&["env", name], "is reserved", help));
        }
        value.check(name, errors);
    }
}

fn is_variable(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    !name.is_empty() && is_plain && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = texts_schema)]
pub enum Texts {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Texts {
        Texts::Many(Vec::new())
    }
}

fn texts_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "array"],
        "items": { "type": "string" },
        "minLength": 1,
        "maxItems": 64,
        "examples": [".env", ["base.env", "local.env"]],
        "x-rule": "it takes the path of a file, or a list of them",
    });
}

impl Texts {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Texts::One(one) => std::slice::from_ref(one),
            Texts::Many(many) => many,
        }
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Says what is wrong with paths of files.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        for text in self.all() {
            check_text(&[field], text, errors);
        }
        if self.all().len() > FILES_MAX {
            errors.push(FieldError::new(&[field], "has more than 64 entries", "write at most 64"));
        }
    }
}

/// Names of variables, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = inherit_schema)]
pub enum InheritEnv {
    /// All or nothing.
    All(bool),
    /// These.
    Named(Vec<String>),
}

impl Default for InheritEnv {
    fn default() -> InheritEnv {
        InheritEnv::All(false)
    }
}

fn inherit_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["boolean", "array"],
        "items": { "type": "string" },
        "maxItems": 1000,
        "examples": [["SSH_AUTH_SOCK"], true],
        "x-rule": "it takes a list of names of variables, or true for all of them",
    });
}

impl InheritEnv {
    /// For the engine.
    #[must_use]
    pub fn rule(&self) -> Inherit {
        match self {
            InheritEnv::All(true) => Inherit::Everything,
            InheritEnv::All(false) => Inherit::Nothing,
            InheritEnv::Named(names) if names.is_empty() => Inherit::Nothing,
            InheritEnv::Named(names) => Inherit::Named(names.clone()),
        }
    }

    /// Says what is wrong with the names.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        let InheritEnv::Named(names) = self else { return };
        for (index, name) in names.iter().enumerate() {
            if !is_variable(name) || name.starts_with("SETPOINT_") {
                let help = "a name has letters, digits and `_`, and does not start with a digit or SETPOINT_";
                errors.push(FieldError::new(&["inheritEnv", &index.to_string()], "is no name of a variable", help));
            }
        }
    }
}

/// The mode bits new files do not get, in octal.
///
/// # Errors
/// When the text is no octal number of at most 777.
pub fn umask(text: Option<&Text>) -> Result<Option<u32>, Box<FieldError>> {
    let Some(text) = text else { return Ok(None) };
    let is_octal = text.0.len() <= 4 && text.0.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(&text.0, 8) {
        Ok(bits) if is_octal && bits <= 0o777 => Ok(Some(bits)),
        Ok(_) | Err(_) => {
            let help = "write octal digits in quotes: \"027\"";
            Err(Box::new(FieldError::new(&["umask"], "is no octal number up to 777", help)))
        }
    }
}

/// What the process, or its whole tree, may use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of the whole tree. Needs a cgroup (version 2) that may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Size>,
    /// Processor time of the whole tree, in cores: 0.5 is half of one. Needs a cgroup like `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cores>,
    /// How many processes and threads: of the whole tree with a cgroup, of the user without.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_count")]
    #[schemars(range(min = 1, max = 4_194_304), extend("x-rule" = "it counts processes: 1 to 4194304"))]
    processes: Option<u32>,
    /// How many files each process may have open.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_count")]
    #[schemars(range(min = 8, max = 1_073_741_816), extend("x-rule" = "it counts open files: 8 or more"))]
    files: Option<u32>,
    /// The largest file a process may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<Size>,
    /// The largest core dump; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    core: Option<Size>,
    /// The largest stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Size>,
    /// From -20, served first, to 19, served last; below 0 needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -20, max = 19), extend("x-rule" = "it takes a whole number from -20 to 19"))]
    nice: Option<i32>,
    /// From -1000, spared, to 1000, killed first when memory runs out; lower than now needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000), extend("x-rule" = "it takes a whole number from -1000 to 1000"))]
    oom_score: Option<i32>,
}

fn some_count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    count(deserializer).map(Some)
}

impl Limits {
    /// For the engine.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let size = |size: Option<Size>| size.map(|size| size.0);
        Bounds {
            memory: size(self.memory),
            cpu_milli: self.cpu.map(|cores| cores.0),
            processes: self.processes.map(u64::from),
            files: self.files.map(u64::from),
            file_size: size(self.file_size),
            core: size(self.core),
            stack: size(self.stack),
            nice: self.nice,
            oom_score: self.oom_score,
        }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        let least = |field: &str, size: Option<Size>, least: u64, text: &str, errors: &mut Vec<FieldError>| {
            if size.is_some_and(|size| size.0 < least) {
                let what = format!("is less than {text}");
                errors.push(FieldError::new(&["limits", field], what, format!("write at least {text}")));
            }
        };
        least("memory", self.memory, 1 << 20, "1Mi", errors);
        least("stack", self.stack, 64 << 10, "64Ki", errors);
        if self.nice.is_some_and(|nice| !(-20..=19).contains(&nice)) {
            errors.push(FieldError::new(&["limits", "nice"], "is out of range", "write -20 to 19"));
        }
        if self.oom_score.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            errors.push(FieldError::new(&["limits", "oomScore"], "is out of range", "write -1000 to 1000"));
        }
    }
}
