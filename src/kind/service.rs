//! Service: a process that should always be up.
//!
//! A Service is a long-running process, as in init systems and Compose, and not the Kubernetes network Service.
//!
//! In: a spec as JSON. Out: one want per replica. Not here: probes, needs, limits and users, which are not there yet.
//! The surprise: only `run`, `dir` and `env` are in the revision; every other field applies to what runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::units::{Duration, Factor, Signal, Size, Text, count};
use super::{Effect, FieldError, KindDef, Parsed};
use crate::engine::backoff::{BackoffRule, GiveUp};
use crate::engine::expand::{Kind, Restart, Up, Want};
use crate::engine::name::Cause;
use crate::engine::plan::{Command, Launch, LogLimits, Policy, StopRule};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Service",
    lower: "service",
    plural: "services",
    short: &["svc"],
    summary: "A long-running process that is kept up, as in init systems; not the Kubernetes network Service.",
    parse,
    schema: super::schema::of_spec::<Spec>,
    effect,
    paths: &["dir"],
    texts: &["env"],
    later: &[
        "adopt",
        "envFile",
        "forEach",
        "group",
        "heartbeat",
        "inheritEnv",
        "limits",
        "live",
        "needs",
        "ready",
        "tty",
        "umask",
        "user",
    ],
};

/// The most replicas.
pub const REPLICAS_MAX: u32 = 1000;

/// The longest argument or `NAME=value`: what the kernel takes, with its closing zero.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;

/// A long-running process that is kept up.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// What to run. A text is a line for `/bin/sh -c` (executed directly when it needs no shell); a list is the exact
    /// program and its arguments.
    run: Run,
    /// The folder it starts in. Relative to the manifest's folder, which is also the default.
    #[serde(default)]
    #[schemars(default = "no_default", length(min = 1), extend("examples" = ["./web", "/srv/web"]))]
    #[schemars(extend("x-rule" = "it takes the path of a folder", "x-default" = "the manifest's folder"))]
    dir: String,
    /// Environment variables, beside a clean base of PATH, HOME, USER, LOGNAME, SHELL, LANG, TZ and TMPDIR.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "PORT": "8080" }], "x-rule" = "it maps names of variables to text"))]
    env: BTreeMap<String, Text>,
    /// How many processes; 0 stops the service and keeps its history.
    #[serde(default = "one", deserialize_with = "count")]
    #[schemars(range(max = 1000), extend("examples" = [1, 4], "x-rule" = "it counts processes: 0 to 1000"))]
    replicas: u32,
    /// What the end of a process is answered with.
    #[serde(default)]
    restart: RestartRule,
    /// How long to wait after crashes, and when to give up.
    #[serde(default)]
    backoff: Backoff,
    /// How it is stopped: the signal first, KILL to all that is left of its tree after the grace.
    #[serde(default)]
    stop: Stop,
    /// How much of its output is kept.
    #[serde(default)]
    log: Log,
}

fn one() -> u32 {
    1
}

fn no_default() -> Option<String> {
    None
}

/// A command line.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = run_schema)]
enum Run {
    Line(String),
    Argv(Vec<String>),
}

fn run_schema(schema: &mut Schema) {
    *schema = schemars::json_schema!({
        "type": ["string", "array"],
        "pattern": "\\S",
        "items": { "type": "string", "x-rule": "arguments are text" },
        "minItems": 1,
        "examples": ["npm start", ["./server", "--port", "8080"]],
        "x-rule": "it takes a command line, or a list of a program and its arguments",
    });
}

/// What the end of a process is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum RestartRule {
    /// a new start, whatever the exit
    #[default]
    Always,
    /// a new start unless it exited with 0
    OnFailure,
    /// nothing
    Never,
}

/// How long to wait after crashes, and when to give up.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Backoff {
    /// The first delay, counted from the previous start; at least 10ms.
    from: Duration,
    /// What each further delay is multiplied by.
    factor: Factor,
    /// The longest delay.
    to: Duration,
    /// A life this long forgets every earlier crash; at least 100ms.
    reset_after: Duration,
    /// Deaths younger than `resetAfter` in a row before giving up; 0 never gives up.
    #[serde(deserialize_with = "count")]
    #[schemars(range(max = 1_000_000), extend("x-rule" = "it counts crashes: 0 to 1000000"))]
    give_up_after: u32,
    /// Which revisions may be given up on.
    give_up: GiveUpRule,
}

impl Default for Backoff {
    fn default() -> Backoff {
        let rule = BackoffRule::DEFAULT;
        Backoff {
            from: Duration(rule.from),
            factor: Factor(rule.factor_milli),
            to: Duration(rule.to),
            reset_after: Duration(rule.reset_after),
            give_up_after: rule.give_up_after,
            give_up: GiveUpRule::Unproven,
        }
    }
}

/// Which revisions may be given up on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum GiveUpRule {
    /// only while this revision has never stayed up for `resetAfter`
    Unproven,
    /// after the count, whatever came before
    Always,
    /// not at all
    Never,
}

/// How it is stopped.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Stop {
    /// The signal that asks it to stop.
    signal: Signal,
    /// How long until KILL; at most 1h.
    grace: Duration,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal(StopRule::DEFAULT.signal), grace: Duration(StopRule::DEFAULT.grace) }
    }
}

/// How much output is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Log {
    /// A file is closed when it has reached this size; at least 4Ki.
    max_size: Size,
    /// How many files are kept, the one being written included.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts files: 1 to 1000"))]
    max_files: u32,
}

impl Default for Log {
    fn default() -> Log {
        Log { max_size: Size(LogLimits::DEFAULT.max_size), max_files: LogLimits::DEFAULT.max_files }
    }
}

fn effect(field: &str) -> Effect {
    match field {
        "run" | "dir" | "env" => Effect::Restart,
        "replicas" | "restart" | "backoff" | "stop" | "log" => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Value) -> Result<Parsed, Vec<FieldError>> {
    let spec = Spec::deserialize(value).map_err(|error| {
        vec![FieldError::new(&[], format!("cannot be read: {error}"), "see: setpoint explain service")]
    })?;
    let mut errors = Vec::new();
    spec.check(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let canonical = spec.canonical();
    Ok(Parsed { kind: Arc::new(Service::new(spec)), spec: canonical })
}

impl Spec {
    /// What types cannot say.
    fn check(&self, errors: &mut Vec<FieldError>) {
        self.check_run(errors);
        self.check_env(errors);
        if self.replicas > REPLICAS_MAX {
            errors.push(FieldError::new(&["replicas"], "is more than 1000", "write 0 to 1000"));
        }
        if !self.dir.starts_with('/') {
            errors.push(FieldError::new(&["dir"], "is not absolute", "write a path that starts with `/`"));
        }
        check_text(&["dir"], &self.dir, errors);
        self.backoff.check(errors);
        if self.stop.grace.0 > StopRule::GRACE_MAX {
            errors.push(FieldError::new(&["stop", "grace"], "is longer than 1h", "write at most 1h"));
        }
        if !(4096..=1 << 40).contains(&self.log.max_size.0) {
            errors.push(FieldError::new(&["log", "maxSize"], "is out of range", "write 4Ki to 1Ti"));
        }
        if !(1..=1000).contains(&self.log.max_files) {
            errors.push(FieldError::new(&["log", "maxFiles"], "is out of range", "write 1 to 1000"));
        }
    }

    fn check_run(&self, errors: &mut Vec<FieldError>) {
        let help = "write what to run: run: ./server --port 8080";
        match &self.run {
            Run::Line(line) if line.trim().is_empty() => errors.push(FieldError::new(&["run"], "is empty", help)),
            Run::Line(line) => check_text(&["run"], line, errors),
            Run::Argv(argv) => {
                if argv.first().is_none_or(String::is_empty) {
                    let path: &[&str] = if argv.is_empty() { &["run"] } else { &["run", "0"] };
                    errors.push(FieldError::new(
                        path,
                        "names no program",
                        "put the program first: [./server, --port, \"8080\"]",
                    ));
                }
                for (index, argument) in argv.iter().enumerate() {
                    check_text(&["run", &index.to_string()], argument, errors);
                }
            }
        }
    }

    fn check_env(&self, errors: &mut Vec<FieldError>) {
        for (name, value) in &self.env {
            let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if name.is_empty() || !is_plain || name.starts_with(|first: char| first.is_ascii_digit()) {
                let help = "a name has letters, digits and `_`, and does not start with a digit";
                errors.push(FieldError::of_name(&["env", name], "is no name of a variable", help));
            } else if name.starts_with("SETPOINT_") {
                let help = "names that start with SETPOINT_ are set by setpoint itself; choose another";
                errors.push(FieldError::of_name(&["env", name], "is reserved", help));
            }
            check_text(&["env", name], &value.0, errors);
            if name.len() + value.0.len() >= ARGUMENT_BYTES_MAX {
                errors.push(FieldError::new(&["env", name], "is too long for the kernel", "put it in a file"));
            }
        }
    }

    /// The spec without what is as it would be anyway.
    fn canonical(&self) -> Value {
        let defaults = Spec {
            run: Run::Line(String::new()),
            dir: String::new(),
            env: BTreeMap::new(),
            replicas: one(),
            restart: RestartRule::default(),
            backoff: Backoff::default(),
            stop: Stop::default(),
            log: Log::default(),
        };
        // Serializing plain structs to JSON values cannot fail; an empty spec would be caught by the golden tests.
        let to_value = |spec: &Spec| serde_json::to_value(spec).unwrap_or_default();
        without_defaults(to_value(self), &to_value(&defaults))
    }
}

impl Backoff {
    fn check(&self, errors: &mut Vec<FieldError>) {
        // Without these floors a crash loop would have no pause in it at all.
        if self.from.0 < StdDuration::from_millis(10) {
            errors.push(FieldError::new(&["backoff", "from"], "is shorter than 10ms", "write at least 10ms"));
        }
        if self.reset_after.0 < StdDuration::from_millis(100) {
            errors.push(FieldError::new(&["backoff", "resetAfter"], "is shorter than 100ms", "write at least 100ms"));
        }
        if self.to < self.from {
            let what = format!("is {}, which is longer than `backoff.to` ({})", self.from, self.to);
            let help = format!("raise `to` to {} or more", self.from);
            errors.push(FieldError::new(&["backoff", "from"], what, help));
        }
        if self.give_up_after > 1_000_000 {
            errors.push(FieldError::new(&["backoff", "giveUpAfter"], "is too large", "write 0 to never give up"));
        }
    }
}

fn check_text(path: &[&str], text: &str, errors: &mut Vec<FieldError>) {
    if text.contains('\0') {
        errors.push(FieldError::new(path, "contains a NUL character", "remove the `\\0`; no program can be given one"));
    }
    if text.len() > ARGUMENT_BYTES_MAX {
        errors.push(FieldError::new(path, "is longer than the 128 KiB the kernel takes", "put it in a file"));
    }
}

/// Drops what equals its default, at every depth.
fn without_defaults(value: Value, defaults: &Value) -> Value {
    let (Value::Object(fields), Value::Object(defaults)) = (&value, defaults) else { return value };
    let kept = fields.iter().filter(|(name, field)| defaults.get(*name) != Some(field));
    let pruned = kept.map(|(name, field)| {
        let field =
            defaults.get(name).map_or_else(|| field.clone(), |default| without_defaults(field.clone(), default));
        (name.clone(), field)
    });
    Value::Object(pruned.collect())
}

/// A Service as the engine sees it.
#[derive(Clone, Debug)]
struct Service {
    spec: Spec,
    causes: Vec<Cause>,
    up: Up,
}

impl Service {
    fn new(spec: Spec) -> Service {
        let causes = (0..spec.replicas).map(Cause::Slot).collect();
        let up = Up {
            launch: Arc::new(spec.launch()),
            policy: spec.policy(),
            restart: spec.restart.rule(),
            backoff: spec.backoff.rule(),
        };
        Service { spec, causes, up }
    }
}

impl Kind for Service {
    fn expand<'a>(&'a self, wants: &mut Vec<Want<'a>>) {
        wants.extend(self.causes.iter().map(|cause| Want { cause, up: &self.up }));
    }

    fn revision_input(&self) -> String {
        let input = Revised { dir: &self.spec.dir, env: &self.spec.env, run: &self.spec.run };
        // Plain structs of text: serializing cannot fail.
        serde_json::to_string(&input).unwrap_or_default()
    }

    fn policy(&self) -> Policy {
        self.up.policy
    }
}

/// The input of the revision: its fields stand in the order of the alphabet, and a change of this struct restarts every
/// service of every user, so golden tests hold it still.
#[derive(Serialize)]
struct Revised<'a> {
    dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'a BTreeMap<String, Text>,
    run: &'a Run,
}

impl Spec {
    fn launch(&self) -> Launch {
        let command = match &self.run {
            Run::Line(line) => Command::Line(line.clone()),
            Run::Argv(argv) => Command::Argv(argv.clone()),
        };
        let env = self.env.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        Launch { command, dir: Arc::from(self.dir.as_str()), env }
    }

    fn policy(&self) -> Policy {
        Policy {
            stop: StopRule { signal: self.stop.signal.0, grace: self.stop.grace.0 },
            log: LogLimits { max_size: self.log.max_size.0, max_files: self.log.max_files },
        }
    }
}

impl RestartRule {
    fn rule(self) -> Restart {
        match self {
            RestartRule::Always => Restart::Always,
            RestartRule::OnFailure => Restart::OnFailure,
            RestartRule::Never => Restart::Never,
        }
    }
}

impl Backoff {
    fn rule(&self) -> BackoffRule {
        BackoffRule {
            from: self.from.0,
            factor_milli: self.factor.0,
            to: self.to.0,
            reset_after: self.reset_after.0,
            give_up_after: self.give_up_after,
            give_up: match self.give_up {
                GiveUpRule::Unproven => GiveUp::Unproven,
                GiveUpRule::Always => GiveUp::Always,
                GiveUpRule::Never => GiveUp::Never,
            },
        }
    }
}
