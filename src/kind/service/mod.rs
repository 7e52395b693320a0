//! Service: a process that should always be up.
//!
//! A Service is a long-running process, as in init systems and Compose, and not the Kubernetes network Service.
//!
//! In: a spec as JSON. Out: one want per replica or item. Not here: doing anything about them.
//! The surprise: only what a process is made from is in the revision; every other field applies to what runs.

pub mod others;
pub mod probes;
pub mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::others::{Adopt, ForEach};
use self::probes::{Heartbeat, Live, Ready};
use self::rules::{Backoff, RestartRule};
use super::command::{InheritEnv, Limits, Run, Texts, Value, check_env, check_text, umask, variables};
use super::needs::{Need, check_needs, needs, references};
use super::process::{Log, Stop, without_defaults};
use super::units::{Text, count};
use super::{Effect, FieldError, KindDef, Parsed};
use crate::engine::expand::{self, Items, Kind, Up, Want};
use crate::engine::name::Cause;
use crate::engine::plan::{Launch, Policy, Stdin, Told};
use crate::engine::probe::Probes;

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
    files: &["envFile", "env.*.fromFile", "live.file", "forEach.glob"],
    texts: &["env"],
    later: &[],
};

/// The most replicas.
pub const REPLICAS_MAX: u32 = 1000;

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
    /// Environment variables, beside a clean base of PATH, HOME, USER, LOGNAME, SHELL, LANG, TZ and TMPDIR. A value is
    /// text, or comes at each start from elsewhere: fromEnv, fromFile, fromCommand.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "PORT": "8080", "TOKEN": { "fromFile": "secrets/token" } }]))]
    #[schemars(extend("x-rule" = "it maps names of variables to text"))]
    env: BTreeMap<String, Value>,
    /// Files of NAME=value lines, read at each start. Relative to the manifest's folder.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    env_file: Texts,
    /// What it gets of the controller's own environment: names of variables, or true for all of it.
    #[serde(default)]
    inherit_env: InheritEnv,
    /// Who it runs as: a name or a number. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["www-data"]))]
    user: Option<Text>,
    /// Its group: a name or a number; the user's own when only a user is given. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["www-data"]))]
    group: Option<Text>,
    /// The mode bits its new files do not get, in octal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["027"]))]
    umask: Option<Text>,
    /// What it may use.
    #[serde(default)]
    limits: Limits,
    /// It gets a terminal, which `setpoint attach` joins and leaves.
    #[serde(default)]
    tty: bool,
    /// How many processes; 0 stops the service and keeps its history.
    #[serde(default = "one", deserialize_with = "count")]
    #[schemars(range(max = 1000), extend("examples" = [1, 4], "x-rule" = "it counts processes: 0 to 1000"))]
    replicas: u32,
    /// One process for each item, in the place of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_each: Option<ForEach>,
    /// What has to be there before it starts.
    #[serde(default)]
    #[schemars(length(max = 100))]
    needs: Vec<Need>,
    /// When it counts as ready; without, when it has lived for a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready: Option<Ready>,
    /// Whether it still works; when not, it is started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
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
    /// Processes that somebody else started and that count as it; they are watched and never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopt: Option<Adopt>,
    /// Something done to it on a period while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heartbeat: Option<Heartbeat>,
}

fn one() -> u32 {
    1
}

fn no_default() -> Option<String> {
    None
}

fn effect(field: &str) -> Effect {
    match field {
        "run" | "dir" | "env" | "envFile" | "user" | "group" | "umask" | "limits" | "tty" => Effect::Restart,
        "replicas" | "restart" | "backoff" | "stop" | "log" | "ready" | "live" | "needs" | "forEach" | "adopt"
        | "heartbeat" | "inheritEnv" => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let spec = Spec::deserialize(value).map_err(|error| {
        vec![FieldError::new(&[], format!("cannot be read: {error}"), "see: setpoint explain service")]
    })?;
    let mut errors = Vec::new();
    spec.check(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let canonical = spec.canonical();
    let references = references(&spec.needs);
    Ok(Parsed { kind: Arc::new(Service::new(spec)), spec: canonical, references })
}

impl Spec {
    /// What types cannot say.
    fn check(&self, errors: &mut Vec<FieldError>) {
        self.run.check(errors);
        check_env(&self.env, errors);
        self.env_file.check("envFile", errors);
        self.inherit_env.check(errors);
        errors.extend(umask(self.umask.as_ref()).err().map(|error| *error));
        self.limits.check(errors);
        self.check_instances(errors);
        if !self.dir.starts_with('/') {
            errors.push(FieldError::new(&["dir"], "is not absolute", "write a path that starts with `/`"));
        }
        check_text(&["dir"], &self.dir, errors);
        for (field, text) in [("user", &self.user), ("group", &self.group)] {
            let Some(text) = text else { continue };
            check_text(&[field], &text.0, errors);
            if text.0.is_empty() {
                errors.push(FieldError::new(&[field], "is empty", "write a name or a number"));
            }
        }
        check_needs(&self.needs, errors);
        self.backoff.check(errors);
        self.stop.check(errors);
        self.log.check(errors);
        self.ready.iter().for_each(|ready| ready.check(errors));
        self.live.iter().for_each(|live| live.check(errors));
        self.adopt.iter().for_each(|adopt| adopt.check(errors));
        self.heartbeat.iter().for_each(|heartbeat| heartbeat.check(errors));
    }

    /// How many instances there are, and what each is for.
    fn check_instances(&self, errors: &mut Vec<FieldError>) {
        if self.replicas > REPLICAS_MAX {
            errors.push(FieldError::new(&["replicas"], "is more than 1000", "write 0 to 1000"));
        }
        let Some(for_each) = &self.for_each else {
            if self.adopt.is_some() && self.replicas > 1 {
                let help = "remove `replicas`: a process that somebody else started can count as one only";
                errors.push(FieldError::new(&["adopt"], "cannot tell several replicas apart", help));
            }
            return;
        };
        for_each.check(errors);
        if self.replicas != 1 {
            let help = "remove `replicas`: there is one process per item";
            errors.push(FieldError::new(&["replicas"], "does not go with `forEach`", help));
        }
        let has_mark = |line: &String| ["{item}", "{stem}", "{name}"].iter().any(|mark| line.contains(mark));
        if let Run::Line(line) = &self.run
            && has_mark(line)
        {
            let help = "write `run` as a list, so that an item stays one argument: [./watch, \"{item}\"]";
            errors.push(FieldError::new(&["run"], "would paste an item into a shell line", help));
        }
    }

    /// The spec without what is as it would be anyway.
    fn canonical(&self) -> Json {
        let defaults = Spec {
            run: Run::Line(String::new()),
            dir: String::new(),
            env: BTreeMap::new(),
            env_file: Texts::default(),
            inherit_env: InheritEnv::default(),
            user: None,
            group: None,
            umask: None,
            limits: Limits::default(),
            tty: false,
            replicas: one(),
            for_each: Some(ForEach::default()),
            needs: Vec::new(),
            ready: Some(Ready::default()),
            live: Some(Live::default()),
            restart: RestartRule::default(),
            backoff: Backoff::default(),
            stop: Stop::default(),
            log: Log::default(),
            adopt: None,
            heartbeat: Some(Heartbeat::default()),
        };
        // Serializing plain structs to JSON values cannot fail; an empty spec would be caught by the golden tests.
        let to_value = |spec: &Spec| serde_json::to_value(spec).unwrap_or_default();
        without_defaults(to_value(self), &to_value(&defaults))
    }
}

/// A Service as the engine sees it.
#[derive(Clone, Debug)]
struct Service {
    spec: Spec,
    causes: Vec<Cause>,
    up: Up,
    needs: Vec<expand::Need>,
    for_each: Option<expand::ForEach>,
}

impl Service {
    fn new(spec: Spec) -> Service {
        let for_each = spec.for_each.as_ref().and_then(|rule| rule.rule(&spec.dir));
        let slots = if for_each.is_some() { 0 } else { spec.replicas };
        let causes = (0..slots).map(Cause::Slot).collect();
        let probes = Probes {
            ready: spec.ready.as_ref().and_then(Ready::probe),
            live: spec.live.as_ref().and_then(Live::probe),
            heartbeat: spec.heartbeat.as_ref().and_then(Heartbeat::rule),
        };
        let up = Up {
            launch: Arc::new(spec.launch()),
            policy: spec.policy(),
            restart: spec.restart.rule(),
            backoff: spec.backoff.rule(),
            probes: Arc::new(probes),
            adopt: spec.adopt.as_ref().map(Adopt::pattern),
        };
        let needs = needs(&spec.needs);
        Service { spec, causes, up, needs, for_each }
    }
}

impl Kind for Service {
    fn expand<'a>(&'a self, items: Option<&'a Items>, wants: &mut Vec<Want<'a>>) {
        let up = &self.up;
        match (&self.for_each, items) {
            (None, _) => wants.extend(self.causes.iter().map(|cause| Want { cause, up, item: None })),
            (Some(_), Some(items)) => {
                wants.extend(items.listed.iter().map(|(cause, item)| Want { cause, up, item: Some(item) }));
            }
            (Some(_), None) => {}
        }
    }

    fn revision_input(&self) -> String {
        let spec = &self.spec;
        let input = Revised {
            dir: &spec.dir,
            env: &spec.env,
            env_file: &spec.env_file,
            group: &spec.group,
            limits: &spec.limits,
            run: &spec.run,
            tty: spec.tty,
            umask: &spec.umask,
            user: &spec.user,
        };
        // Plain structs of text: serializing cannot fail.
        serde_json::to_string(&input).unwrap_or_default()
    }

    fn policy(&self) -> Policy {
        self.up.policy.clone()
    }

    fn needs(&self) -> &[expand::Need] {
        &self.needs
    }

    fn for_each(&self) -> Option<&expand::ForEach> {
        self.for_each.as_ref()
    }
}

/// The input of the revision: its fields stand in the order of the alphabet, and a change of this struct restarts every
/// service of every user, so golden tests hold it still.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revised<'a> {
    dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'a BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Texts::is_empty")]
    env_file: &'a Texts,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: &'a Option<Text>,
    #[serde(skip_serializing_if = "is_unlimited")]
    limits: &'a Limits,
    run: &'a Run,
    #[serde(skip_serializing_if = "is_off")]
    tty: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    umask: &'a Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: &'a Option<Text>,
}

fn is_unlimited(limits: &Limits) -> bool {
    *limits == Limits::default()
}

fn is_off(flag: &bool) -> bool {
    !flag
}

impl Spec {
    fn launch(&self) -> Launch {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.0.clone());
        let types_lines = self.heartbeat.as_ref().is_some_and(Heartbeat::types_lines);
        let is_notified =
            self.ready.as_ref().is_some_and(|ready| ready.told() == Told::ByNotify) || self.watchdog().is_some();
        Launch {
            command: self.run.command(),
            dir: Arc::from(self.dir.as_str()),
            env: variables(&self.env),
            env_files: self.env_file.all().to_vec(),
            inherit: self.inherit_env.rule(),
            user: text(&self.user),
            group: text(&self.group),
            // Checked before.
            umask: umask(self.umask.as_ref()).unwrap_or_default(),
            limits: self.limits.bounds(),
            stdin: match (self.tty, types_lines) {
                (true, _) => Stdin::Tty,
                (false, true) => Stdin::Pipe,
                (false, false) => Stdin::Null,
            },
            is_notified,
            is_durable: false,
        }
    }

    fn watchdog(&self) -> Option<std::time::Duration> {
        self.live.as_ref().and_then(Live::watchdog)
    }

    fn policy(&self) -> Policy {
        Policy {
            stop: self.stop.rule(),
            log: self.log.limits(),
            told: self.ready.as_ref().map(Ready::told).unwrap_or_default(),
            watchdog: self.watchdog(),
        }
    }
}
