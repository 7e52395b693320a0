//! Mailbox: a durable queue, and the rules that say what each message is for.
//!
//! In: a spec as JSON. Out: a rule whose runs arise from messages, and where those come from. Not here: the queue (the
//! store), what a message meets (`engine::queue`).
//! The surprise: a rule that was met by nothing is no default. A message without a rule is kept as a dead letter, so an
//! unknown one never becomes work by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::command::Run;
use super::matches::{self, Matches};
use super::process::{Process, canonical, joined, only, read, without, without_defaults};
use super::source::{self, From};
use super::units::{Duration, Size, count};
use super::work::{Retry, Work, check_timeout};
use super::{Effect, FieldError, KindDef, Parsed, Reference, Runs, shown};
use crate::engine::name::is_name;
use crate::engine::queue::{self, QueueRule, Sort, Sorting, Then};
use crate::engine::run::scope::references;
use crate::engine::run::{self, Arises, History, Overlap, Params, Risk, RunRule};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Mailbox",
    lower: "mailbox",
    plural: "mailboxes",
    short: &["mb"],
    summary: "A durable queue of messages, with rules that say what each is for.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &[
        "envFile",
        "env.*.fromFile",
        "from.*.folder",
        "from.*.http.headers.*.fromFile",
        "from.*.done.headers.*.fromFile",
    ],
    texts: &["env"],
    later: &[],
};

/// The most rules.
const RULES_MAX: usize = 200;
/// The longest reply, in bytes.
const REPLY_MAX: usize = 4096;
/// The most messages at once.
const AT_ONCE_MAX: u32 = 100;

/// Where messages come from, and what becomes of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// Where messages come from, beside `setpoint send` and the local API: names of Channels, folders that files are put
    /// into, services that are asked.
    #[schemars(length(max = 20), extend("examples" = [[{ "folder": "/srv/inbox/drop" }]]))]
    from: Vec<From>,
    /// Senders on Channels that are heard: `tg:123`, or `any`. Nobody by default; local senders need no entry.
    #[schemars(length(max = 100), extend("examples" = [["tg:12345678"]]))]
    allow: Vec<String>,
    /// What a message is for. The first rule that it meets counts; one that meets none becomes a dead letter.
    #[schemars(length(min = 1, max = 200), extend("examples" = [[{ "match": "any", "run": "./handle.sh" }]]))]
    #[schemars(extend("x-rule" = "it takes a list of rules, 1 to 200"))]
    rules: Vec<Rule>,
    /// Asked which rule a message is for: it reads the message as JSON, and prints the name of a rule. That rule has to
    /// match, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "run": ["./classify.py"] }]))]
    classifier: Option<Classifier>,
    /// How many messages are at work at once.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 100), extend("x-rule" = "it counts messages: 1 to 100"))]
    at_once: u32,
    /// How long a message may wait; an older one becomes a dead letter.
    max_age: Duration,
    /// The longest one attempt may take; then it is stopped.
    timeout: Duration,
    /// What a failure is answered with. Half of each wait is drawn by lot.
    retry: Retry,
    /// How many messages may wait; one more is refused.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 10_000_000), extend("x-rule" = "it counts messages: 1 to 10000000"))]
    queue_limit: u32,
    /// How large those that wait may be together.
    max_size: Size,
    /// False: messages are taken in, and wait.
    enabled: bool,
}

/// What a failure of a message is answered with by default: four more attempts, the first after 10 s.
pub(super) const RETRY: run::Retry = run::Retry { times: 4, wait: std::time::Duration::from_secs(10) };
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            from: Vec::new(),
            allow: Vec::new(),
            rules: Vec::new(),
            classifier: None,
            at_once: 1,
            max_age: Duration(HOUR * 72),
            timeout: Duration(HOUR * 2),
            retry: Retry::of(RETRY),
            queue_limit: 200_000,
            max_size: Size(1 << 30),
            enabled: true,
        }
    }
}

/// One rule: which messages, and exactly one of run, use, prompt, reply and drop.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    /// What a classifier calls it; its number by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["ship"]))]
    name: Option<String>,
    /// Which messages: `any`, or what has to be true, all of it.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["any", { "command": "/ship" }]))]
    matches: Option<Matches>,
    /// What to run. The message comes on standard input, byte for byte. A text is a line for `/bin/sh -c` (executed
    /// directly when it needs no shell); a list is the exact program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The Capability or Workflow to use.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["ship"]))]
    used: Option<String>,
    /// Its parameters. `{from: message.arg1}` stands for what the message says: id, type, subject, from, text, command,
    /// args, arg1 and so on, and the fields of its JSON as fields.NAME. With `run` they come as SETPOINT_PARAM_NAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": { "from": "message.arg1" } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to values"))]
    with: Option<BTreeMap<String, Json>>,
    /// What an agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["Answer the attached message."]))]
    prompt: Option<String>,
    /// The Agent that is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["reviewer"]))]
    agent: Option<String>,
    /// What the sender is told; nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("examples" = ["All is well."]))]
    reply: Option<String>,
    /// True: nothing is done, on purpose.
    #[serde(default)]
    drop: bool,
}

/// What is asked which rule a message is for: exactly one of run and use.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Classifier {
    /// What to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The Capability to use.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["classify"]))]
    used: Option<String>,
}

impl Classifier {
    fn work(&self) -> Work {
        Work { run: self.run.clone(), used: self.used.clone(), ..Work::default() }
    }
}

fn schema() -> Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "from" | "allow" | "rules" | "classifier" | "atOnce" | "maxAge" | "timeout" | "retry" | "queueLimit"
        | "maxSize" | "enabled" => Effect::Live,
        _ if Process::FIELDS.contains(&field) => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let process: Process = read(only(value, Process::FIELDS), DEF.lower)?;
    let spec: Spec = read(without(value, Process::FIELDS), DEF.lower)?;
    let mut errors = Vec::new();
    process.check(true, &mut errors);
    spec.check(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let queue = spec.queue();
    let rules = spec.rules.iter().enumerate().filter_map(|(index, rule)| rule.sort(index, &process)).collect();
    let classifier = spec.classifier.as_ref().and_then(|asked| asked.work().rule(&process));
    let rule = RunRule {
        work: run::Work::Sorted(Arc::new(Sorting { rules, classifier })),
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
    let sources = spec.from.iter().filter_map(|from| from.source(&process)).collect();
    let allow = spec.allow.iter().map(|sender| Arc::from(sender.as_str())).collect();
    let part = super::RunsPart::Mailbox(queue::Mailbox { queue, allow, sources });
    let written = spec.canonical();
    let revision = joined([written.clone(), process.revised(true)]).to_string();
    let kind = Runs { rule, revision, needs: Vec::new(), part };
    let references = spec.references();
    Ok(Parsed { kind: Arc::new(kind), spec: joined([written, process.canonical(true)]), references })
}

impl Spec {
    fn queue(&self) -> QueueRule {
        QueueRule {
            at_once: self.at_once,
            max_age: Some(self.max_age.0),
            messages_max: u64::from(self.queue_limit),
            bytes_max: self.max_size.0,
            is_enabled: self.enabled,
        }
    }

    fn check(&self, errors: &mut Vec<FieldError>) {
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            let help = "write 1 to 200 rules, as in `rules: [{ match: any, run: ./handle.sh }]`";
            errors.push(FieldError::new(&["rules"], "has no entries, or more than 200", help));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            rule.check(index, errors);
            let name = rule.name(index);
            if self.rules.iter().take(index).enumerate().any(|(before, other)| other.name(before) == name) {
                let path = ["rules", &index.to_string(), "name"];
                errors.push(FieldError::new(&path, "is the name of another rule, too", "give each rule its own"));
            }
        }
        if let Some(asked) = &self.classifier {
            asked.work().check(&["classifier"], errors);
            asked.work().check_values(errors);
        }
        source::check(&self.from, errors);
        for (index, sender) in self.allow.iter().enumerate() {
            let is_sender = sender == "any"
                || sender.split_once(':').is_some_and(|(channel, id)| is_name(channel) && !id.is_empty());
            if !is_sender {
                let help = "write CHANNEL:SENDER, as in `tg:12345678`, or any";
                errors.push(FieldError::new(&["allow", &index.to_string()], "is no sender", help));
            }
        }
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            errors.push(FieldError::new(&["atOnce"], "is out of range", "write 1 to 100"));
        }
        if self.max_age.0.is_zero() {
            errors.push(FieldError::new(&["maxAge"], "is zero, so that every message would be too old", "write 3d"));
        }
        check_timeout(&["timeout"], Some(self.timeout), errors);
        self.retry.check(&["retry"], errors);
    }

    fn canonical(&self) -> Json {
        let mut written = canonical(self, &Spec::default());
        let default = serde_json::to_value(Rule::default()).unwrap_or_default();
        if let Some(Json::Array(rules)) = written.get_mut("rules") {
            rules.iter_mut().for_each(|rule| *rule = without_defaults(rule.take(), &default));
        }
        written
    }

    fn references(&self) -> Vec<Reference> {
        let rules = self.rules.iter().enumerate();
        let rules = rules.filter_map(|(index, rule)| rule.work().reference(&["rules", &index.to_string()]));
        let asked = self.classifier.iter().filter_map(|asked| asked.work().reference(&["classifier"]));
        rules.chain(asked).collect()
    }
}

impl Rule {
    fn name(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| (index + 1).to_string())
    }

    /// What it says is done; `with` goes with `run`, too, and is handed over apart.
    fn work(&self) -> Work {
        let with = if self.used.is_some() { self.with.clone() } else { None };
        let (run, used) = (self.run.clone(), self.used.clone());
        Work { run, used, with, prompt: self.prompt.clone(), agent: self.agent.clone() }
    }

    fn check(&self, index: usize, errors: &mut Vec<FieldError>) {
        let index = index.to_string();
        let path = ["rules", index.as_str()];
        let at = |field: &'static str| ["rules", index.as_str(), field];
        let is_work = self.run.is_some() || self.used.is_some() || self.prompt.is_some();
        let choices = [("reply", self.reply.is_some()), ("drop", self.drop), ("run, use or prompt", is_work)];
        let given: Vec<&str> = choices.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [] => {
                let help = "write one of run, use, prompt, reply and drop, as in `run: ./handle.sh`";
                errors.push(FieldError::new(&path, "does not say what becomes of the message", help));
            }
            [_] => {}
            [first, second, ..] => {
                let what = format!("has {first} beside {second}, but a rule does exactly one thing");
                errors.push(FieldError::new(&path, what, "keep one of them"));
            }
        }
        if is_work {
            self.work().check(&path, errors);
        }
        if self.with.is_some() && self.run.is_none() && self.used.is_none() {
            errors.push(FieldError::of_name(&at("with"), "goes with `run` or `use`", "remove it"));
        }
        for (name, value) in self.with.iter().flatten() {
            let mut found = Vec::new();
            references(value, &mut found);
            for path in found.into_iter().filter(|path| !path.starts_with("message.")) {
                let place = ["rules", index.as_str(), "with", name];
                let what = format!("refers to {}, which a message does not have", shown(path));
                errors.push(FieldError::new(
                    &place,
                    what,
                    "write message.subject, message.arg1 or message.fields.NAME",
                ));
            }
        }
        if let Some(name) = self.name.as_ref().filter(|name| !is_name(name)) {
            let help = "a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`";
            errors.push(FieldError::new(&at("name"), format!("is {}, which cannot be a name", shown(name)), help));
        }
        if self.reply.as_ref().is_some_and(|reply| reply.is_empty() || reply.len() > REPLY_MAX) {
            errors.push(FieldError::new(&at("reply"), "is empty or larger than 4 KiB", "write a shorter text"));
        }
        match &self.matches {
            None => {
                let help = "write `match: any` for every message, or what has to be true, as in { command: /ship }";
                errors.push(FieldError::new(&path, "does not say which messages it is for", help));
            }
            Some(matches) => matches.check(&at("match"), errors),
        }
    }

    fn sort(&self, index: usize, process: &Process) -> Option<Sort> {
        let then = match (&self.reply, self.drop) {
            (Some(reply), _) => Then::Reply(Arc::from(reply.as_str())),
            (None, true) => Then::Drop,
            (None, false) => {
                let with = self.with.iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
                let with: Map<String, Json> = with.collect();
                let work = match self.work().rule(process)? {
                    // What it is given is worked out from the message first.
                    run::Work::Use { target, with: _ } => run::Work::Use { target, with: Json::Object(Map::new()) },
                    other => other,
                };
                Then::Work { work, with: Json::Object(with) }
            }
        };
        let matches = self.matches.as_ref().and_then(Matches::rule)?;
        Some(Sort { name: Arc::from(self.name(index)), matches, then })
    }
}

/// `match: any`, or a map.
pub(super) fn match_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "object"],
        "properties": matches::properties(),
        "additionalProperties": false,
        "examples": ["any", { "command": "/ship" }],
        "x-rule": "it takes `any`, or a map of what has to be true",
    });
}
