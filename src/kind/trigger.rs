//! Trigger: something that is done when files change, or when something happens.
//!
//! In: a spec as JSON. Out: a rule whose runs arise from messages, and what the controller listens to. Not here: listening
//! (`watch`, `controller`), what is done with a message (`engine::queue`).
//! The surprise: it is a mailbox with one rule. What sets it off is written into its queue first, so its retries, limits
//! and dead letters are those of a Mailbox, and nothing that was noticed is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use glob::Pattern;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::command::{Run, check_text};
use super::process::{Process, canonical, joined, only, read, without};
use super::react::{Change, Extent, Limit, Patterns, Step, check_references, check_steps, in_sequence, one_step};
use super::units::{Duration, count};
use super::when::When;
use super::work::{Retry, Work, check_timeout};
use super::{Effect, FieldError, KindDef, Parsed, Reference, Runs, RunsPart, shown};
use crate::engine::queue::{self, EventRule, Match, QueueRule, Sort, Sorting, Then, WatchRule};
use crate::engine::run::{self, Arises, Condition, Flow, FlowStep, History, Overlap, Params, Risk, RunRule};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Trigger",
    lower: "trigger",
    plural: "triggers",
    short: &["tr"],
    summary: "Something that is done when files change, or when something happens.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &["envFile", "env.*.fromFile", "watch"],
    texts: &["env"],
    later: &[],
};

/// The most patterns of one list.
const PATTERNS_MAX: usize = 50;
/// The most runs at once.
const AT_ONCE_MAX: u32 = 100;
/// The longest that files may have to be quiet.
const SETTLE_MAX: std::time::Duration = std::time::Duration::from_secs(3600);
/// What may wait at most: it is set off no more often than its limit says, so this is never met in practice.
const WAITING_MAX: u64 = 10_000;
/// The same in bytes.
const BYTES_MAX: u64 = 256 << 20;
/// What a failure is answered with by default: three more attempts, the first after 10 s.
const RETRY: run::Retry = run::Retry { times: 3, wait: std::time::Duration::from_secs(10) };
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
/// The type of messages about files.
pub const FILES_CHANGED: &str = "setpoint.files.changed";

/// What sets it off, and what is done then.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// Files, as patterns relative to the manifest's folder: `*` is any part of a name, `**` any folders; a folder stands
    /// for all that is in it. What they stand for need not exist yet. `.git` and `node_modules` never count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["src/**/*.rs", ["src", "Cargo.toml"]]))]
    #[schemars(extend("x-rule" = "it takes a pattern of paths, or a list of them, as in [\"src/**/*.rs\"]"))]
    watch: Option<Patterns>,
    /// Files that do not count, as patterns: a name anywhere, or a path below what is watched.
    #[schemars(length(max = 50), extend("examples" = [["*.tmp", "build/**"]]))]
    ignore: Vec<String>,
    /// Endings of names that count, as in [ts, js]; all by default.
    #[schemars(length(max = 50), extend("examples" = [["ts", "js"]]))]
    extensions: Vec<String>,
    /// Which changes of files count. A rename is a delete and a create.
    #[schemars(length(min = 1), extend("examples" = [["create", "modify"]]))]
    changes: Vec<Change>,
    /// How long files have to be quiet before their changes are told, as one. Where they never are, changes are told after
    /// ten times that, or 10s.
    settle: Duration,
    /// False: what `.gitignore` names counts, too.
    gitignore: bool,
    /// What happens, as types of events or patterns of them: `service.gave-up`, `job.*`; `*` is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["service.gave-up", ["job.failed", "cronjob.failed"]]))]
    #[schemars(extend("x-rule" = "it takes the type of an event, or a list of them, as in service.gave-up"))]
    event: Option<Patterns>,
    /// Whether anything is done at all: an expression in CEL over `event` or `changes`, or a command that exits with 0. The
    /// command reads what happened as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["event.object == 'service/web'", { "command": ["test", "-e", "go"] }]))]
    when: Option<When>,
    /// What to run. What happened comes as JSON on standard input. A text is a line for `/bin/sh -c` (executed directly
    /// when it needs no shell); a list is the exact program and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The Capability or Workflow to use: its name, or KIND/NAME.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["deploy", "workflow/ship"]))]
    used: Option<String>,
    /// Its parameters. `{from: event.object}` and `{from: changes.first}` stand for what happened. With `run` they come as
    /// SETPOINT_PARAM_NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "path": { "from": "changes.first" } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to values"))]
    with: Option<BTreeMap<String, Json>>,
    /// What an agent is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["Find out why it failed."]))]
    prompt: Option<String>,
    /// The Agent that is told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["reviewer"]))]
    agent: Option<String>,
    /// In the place of one work: several, one after the other, each once the one before it went well.
    #[schemars(length(max = 100), extend("examples" = [[{ "run": "make" }, { "use": "deploy" }]]))]
    #[schemars(extend("x-rule" = "it takes a list of steps, 1 to 100"))]
    then: Vec<Step>,
    /// How often it is set off at most; what comes beyond that is not taken, and an event says so. 10 an hour for events,
    /// 1000 an hour for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "times": 5, "within": "1h" }]))]
    limit: Option<Limit>,
    /// The longest one attempt may take; then it is stopped.
    timeout: Duration,
    /// What a failure is answered with. Half of each wait is drawn by lot.
    retry: Retry,
    /// How many of its runs there are at once.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 100), extend("x-rule" = "it counts runs: 1 to 100"))]
    at_once: u32,
    /// False: nothing sets it off.
    enabled: bool,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            watch: None,
            ignore: Vec::new(),
            extensions: Vec::new(),
            changes: Change::ALL.to_vec(),
            settle: Duration(std::time::Duration::from_millis(500)),
            gitignore: true,
            event: None,
            when: None,
            run: None,
            used: None,
            with: None,
            prompt: None,
            agent: None,
            then: Vec::new(),
            limit: None,
            timeout: Duration(HOUR * 2),
            retry: Retry::of(RETRY),
            at_once: 1,
            enabled: true,
        }
    }
}

fn schema() -> Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "prompt" | "agent" => Effect::Consent,
        "watch" | "ignore" | "extensions" | "changes" | "settle" | "gitignore" | "event" | "when" | "run" | "use"
        | "with" | "then" | "limit" | "timeout" | "retry" | "atOnce" | "enabled" => Effect::Live,
        _ if Process::FIELDS.contains(&field) => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let process: Process = read(only(value, Process::FIELDS), DEF.lower)?;
    let mut spec: Spec = read(without(value, Process::FIELDS), DEF.lower)?;
    let mut errors = Vec::new();
    let has_command = spec.has_command();
    process.check(has_command, &mut errors);
    spec.check(&mut errors);
    let (true, Some(then)) = (errors.is_empty(), spec.then(&process)) else { return Err(errors) };
    spec.settle();
    let queue = spec.queue();
    let sort = Sort { name: "1".into(), matches: Match::Any, then };
    let rule = RunRule {
        work: run::Work::Sorted(Arc::new(Sorting { rules: vec![sort], classifier: None })),
        arises: Arises::Messages(queue),
        policy: process.policy(),
        timeout: Some(spec.timeout.0),
        retry: spec.retry.rule(),
        overlap: Overlap::Allow(spec.at_once),
        history: History::DEFAULT,
        params: Params::none(),
        is_resumed: true,
        risk: Risk::default(),
    };
    let part = RunsPart::Trigger(queue::Trigger {
        queue,
        watch: spec.watch().map(Arc::new),
        event: spec.event().map(Arc::new),
        limit: spec.limit().rule(),
    });
    let references = spec.references();
    let written = canonical(&spec, &Spec::default());
    let revision = joined([written.clone(), process.revised(has_command)]).to_string();
    let kind = Runs { rule, revision, needs: Vec::new(), part };
    Ok(Parsed { kind: Arc::new(kind), spec: joined([written, process.canonical(has_command)]), references })
}

impl Spec {
    fn work(&self) -> Work {
        let with = if self.used.is_some() { self.with.clone() } else { None };
        let (run, used) = (self.run.clone(), self.used.clone());
        Work { run, used, with, prompt: self.prompt.clone(), agent: self.agent.clone() }
    }

    fn has_work(&self) -> bool {
        self.run.is_some() || self.used.is_some() || self.prompt.is_some()
    }

    fn has_command(&self) -> bool {
        let is_asked = matches!(self.when, Some(When::Command(_)));
        is_asked || self.run.is_some() || self.then.iter().any(Step::has_command)
    }

    fn queue(&self) -> QueueRule {
        QueueRule {
            at_once: self.at_once,
            max_age: None,
            messages_max: WAITING_MAX,
            bytes_max: BYTES_MAX,
            is_enabled: self.enabled,
        }
    }

    fn limit(&self) -> Limit {
        self.limit.unwrap_or(if self.watch.is_some() { Limit::FILES } else { Limit::EVENTS })
    }

    fn check(&self, errors: &mut Vec<FieldError>) {
        match (&self.watch, &self.event) {
            (None, None) => {
                let help = "write `watch: [\"src/**/*.rs\"]`, or `event: service.gave-up`";
                errors.push(FieldError::new(&[], "does not say what sets it off: no `watch` and no `event`", help));
            }
            (Some(_), Some(_)) => {
                let help = "write two Triggers, one for each";
                errors.push(FieldError::of_name(&["event"], "stands beside `watch`", help));
            }
            (Some(_), None) => self.check_watch(errors),
            (None, Some(event)) => {
                check_patterns("event", event, errors);
                self.check_only_of_watch(errors);
            }
        }
        let about = self.extent();
        if let Some(when) = &self.when {
            let example = if self.event.is_some() { "event.object == 'service/web'" } else { "changes.total > 1" };
            when.check(&["when"], example, errors);
        }
        self.check_work(about, errors);
        if let Some(limit) = &self.limit {
            limit.check(errors);
        }
        check_timeout(&["timeout"], Some(self.timeout), errors);
        self.retry.check(&["retry"], errors);
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            errors.push(FieldError::new(&["atOnce"], "is out of range", "write 1 to 100"));
        }
    }

    /// What its references may be about.
    fn extent(&self) -> Extent {
        if self.event.is_some() { Extent::Event } else { Extent::Changes }
    }

    fn check_work(&self, about: Extent, errors: &mut Vec<FieldError>) {
        match (self.has_work(), self.then.is_empty()) {
            (true, false) => {
                let help = "keep one of them; `then` takes any number of steps";
                errors.push(FieldError::of_name(&["then"], "stands beside the work itself", help));
            }
            (false, true) => {
                let help = "write one of run, use, prompt and then, as in `run: cargo test`";
                errors.push(FieldError::new(&[], "does not say what to do", help));
            }
            (true, true) => self.work().check(&[], errors),
            (false, false) => {}
        }
        if self.with.is_some() && self.run.is_none() && self.used.is_none() {
            errors.push(FieldError::of_name(&["with"], "goes with `run` or `use`", "remove it"));
        }
        check_references(&["with"], self.with.as_ref(), about, &[], errors);
        check_steps(&self.then, about, errors);
    }

    fn check_watch(&self, errors: &mut Vec<FieldError>) {
        let Some(watch) = &self.watch else { return };
        check_patterns("watch", watch, errors);
        for (index, path) in watch.all().iter().enumerate() {
            if !path.starts_with('/') {
                let index = index.to_string();
                errors.push(FieldError::new(&["watch", &index], "is not absolute", "write a path from `/` on"));
            }
        }
        for (field, texts) in [("ignore", &self.ignore), ("extensions", &self.extensions)] {
            if texts.len() > PATTERNS_MAX {
                errors.push(FieldError::new(&[field], "has more than 50 entries", "write at most 50"));
            }
        }
        for (index, text) in self.ignore.iter().enumerate() {
            check_pattern(&["ignore", &index.to_string()], text, errors);
        }
        for (index, text) in self.extensions.iter().enumerate() {
            let plain = text.strip_prefix('.').unwrap_or(text);
            if plain.is_empty() || plain.contains(['/', '*', '.']) {
                let help = "write endings without pattern, as in [ts, js]";
                errors.push(FieldError::new(&["extensions", &index.to_string()], "is no ending of a name", help));
            }
        }
        if self.changes.is_empty() {
            let help = "write some of create, modify and delete, or leave it out for all";
            errors.push(FieldError::new(&["changes"], "is empty, so that nothing would ever count", help));
        }
        if self.settle.0 > SETTLE_MAX {
            errors.push(FieldError::new(&["settle"], "is longer than an hour", "write 1h at most; 0s tells at once"));
        }
    }

    /// Fields that say nothing where no file is watched.
    fn check_only_of_watch(&self, errors: &mut Vec<FieldError>) {
        let default = Spec::default();
        let given = [
            ("ignore", !self.ignore.is_empty()),
            ("extensions", !self.extensions.is_empty()),
            ("changes", self.changes != default.changes),
            ("settle", self.settle != default.settle),
            ("gitignore", self.gitignore != default.gitignore),
        ];
        for (field, _) in given.iter().filter(|(_, is)| *is) {
            let help = "remove it: nothing is watched, since `event` says what sets it off";
            errors.push(FieldError::of_name(&[field], "goes with `watch` only", help));
        }
    }

    /// One spelling for one meaning.
    fn settle(&mut self) {
        let of_this = if self.watch.is_some() { Limit::FILES } else { Limit::EVENTS };
        self.limit = self.limit.filter(|limit| *limit != of_this);
        self.changes.sort_unstable();
        self.changes.dedup();
        for ending in &mut self.extensions {
            if let Some(plain) = ending.strip_prefix('.') {
                *ending = plain.to_owned();
            }
        }
        self.watch = self.watch.take().map(Patterns::settled);
        self.event = self
            .event
            .take()
            .map(|event| event.each(|text| text.strip_prefix(PREFIX).unwrap_or(&text).to_owned()).settled());
    }

    fn watch(&self) -> Option<WatchRule> {
        let texts = |all: &[String]| all.iter().map(|text| Arc::from(text.as_str())).collect();
        Some(WatchRule {
            paths: texts(self.watch.as_ref()?.all()),
            ignore: texts(&self.ignore),
            extensions: texts(&self.extensions),
            changes: queue::Changes {
                is_create: self.changes.contains(&Change::Create),
                is_modify: self.changes.contains(&Change::Modify),
                is_delete: self.changes.contains(&Change::Delete),
            },
            settle: self.settle.0,
            is_gitignore_kept: self.gitignore,
        })
    }

    fn event(&self) -> Option<EventRule> {
        let types = self.event.as_ref()?.all().iter().filter_map(|text| Pattern::new(&full(text)).ok()).collect();
        let when = match &self.when {
            Some(When::Expression(text)) => Some(Arc::from(text.as_str())),
            Some(When::Command(_)) | None => None,
        };
        Some(EventRule { types, when })
    }

    /// What has to be so before anything is done, unless it is asked of the event itself.
    fn condition(&self, process: &Process) -> Option<Condition> {
        match &self.when {
            Some(When::Expression(_)) if self.event.is_some() => None,
            when => when.as_ref().map(|when| when.rule(process)),
        }
    }

    fn then(&self, process: &Process) -> Option<Then> {
        let empty = || Json::Object(Map::new());
        let with = || Json::Object(self.with.iter().flatten().map(|(n, v)| (n.clone(), v.clone())).collect());
        let condition = self.condition(process);
        if self.then.is_empty() && condition.is_none() {
            let work = match self.work().rule(process)? {
                // What it is given is worked out from what happened first.
                run::Work::Use { target, with: _ } => run::Work::Use { target, with: empty() },
                other => other,
            };
            return Some(Then::Work { work, with: with() });
        }
        let (steps, with) = match self.then.is_empty() {
            true => {
                (vec![one_step("1", self.work().rule(process)?)], if self.run.is_some() { with() } else { empty() })
            }
            false => {
                let steps = self.then.iter().enumerate();
                let rule = |(index, step): (usize, &Step)| Some(one_step(&step.id(index), step.work().rule(process)?));
                (steps.map(rule).collect::<Option<Vec<FlowStep>>>()?, empty())
            }
        };
        // A command of its own is given whatever `with` says.
        let open = json!({ "type": "object", "additionalProperties": true });
        let params = Params::of_schema(open).unwrap_or_else(|_| Params::none());
        let flow = Flow { params, steps: in_sequence(steps, condition), timeout: None };
        Some(Then::Work { work: run::Work::Flow(Arc::new(flow)), with })
    }

    fn references(&self) -> Vec<Reference> {
        let steps = self.then.iter().enumerate();
        let steps = steps.filter_map(|(index, step)| step.work().reference(&["then", &index.to_string()]));
        self.work().reference(&[]).into_iter().chain(steps).collect()
    }
}

/// What the types of all events begin with.
const PREFIX: &str = "setpoint.";

/// A type of events in full.
fn full(written: &str) -> String {
    if written == "*" || written.starts_with(PREFIX) { written.to_owned() } else { format!("{PREFIX}{written}") }
}

fn check_patterns(field: &'static str, patterns: &Patterns, errors: &mut Vec<FieldError>) {
    if patterns.all().is_empty() || patterns.all().len() > PATTERNS_MAX {
        errors.push(FieldError::new(&[field], "has no entries, or more than 50", "write 1 to 50"));
    }
    for (index, text) in patterns.all().iter().enumerate() {
        let index = index.to_string();
        let path: &[&str] = if patterns.is_one() { &[field] } else { &[field, index.as_str()] };
        check_pattern(path, text, errors);
    }
}

fn check_pattern(path: &[&str], text: &str, errors: &mut Vec<FieldError>) {
    check_text(path, text, errors);
    if text.is_empty() {
        errors.push(FieldError::new(path, "is empty", "write a pattern, or remove it"));
    }
    if let Err(error) = Pattern::new(text) {
        let what = format!("is {}, which is no pattern: {}", shown(text), error.msg);
        errors.push(FieldError::new(path, what, "`*` is any part of a name, `**` stands alone between two `/`"));
    }
}
