//! CronJob: something that is done on a schedule.
//!
//! In: a spec as JSON. Out: a rule for a run per due time. Not here: due times (`engine::schedule`), what becomes of them
//! (`engine::run`).
//! The surprise: a change of what it does is no reason to do it now; a change of when starts its schedule anew.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::clock::{check_zone, zone_schema};
use super::process::{Process, canonical, joined, only, read, without};
use super::units::{Duration, count};
use super::work::{Retry, Work, check_timeout};
use super::{Effect, FieldError, KindDef, Names, Parsed, Reference, Runs};
use crate::engine::name::ObjectRef;
use crate::engine::run::{self, Arises, Params, Risk, RunRule, TimesRule};
use crate::engine::schedule::{ExprError, Schedule};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "CronJob",
    lower: "cronjob",
    plural: "cronjobs",
    short: &["cj"],
    summary: "Something that is done on a schedule.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &["envFile", "env.*.fromFile"],
    texts: &["env"],
    later: &[],
};

/// The most texts of one schedule.
const SCHEDULES_MAX: usize = 20;
/// The most QuietHours of one object.
const QUIET_MAX: usize = 20;
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// When it is done, and what happens when it cannot.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// When: five fields of cron (minute, hour, day of month, month, day of week), a word such as `@daily`, or a list of
    /// these. `@reboot` is once after each boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Texts>,
    /// Every so often, counted from the first apply; at least 1s. In the place of schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["15m"]))]
    every: Option<Duration>,
    /// Whose clock the schedule is read on; that of the settings, else of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = zone_schema)]
    time_zone: Option<String>,
    /// The longest delay of a start, so that not everything starts at once. Each object has its own share of it, always
    /// the same.
    jitter: Duration,
    /// The same in seconds.
    #[serde(rename = "jitter_seconds", skip_serializing)]
    #[schemars(range(min = 0, max = 999_999_999), extend("examples" = [90]))]
    #[schemars(extend("x-rule" = "it must be a non-negative integer: seconds"))]
    jitter_seconds: Option<u32>,
    /// What a due time does while an earlier run is not over.
    overlap: Overlap,
    /// With `overlap: allow`, how many run at once.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts runs: 1 to 1000"))]
    at_once: u32,
    /// With `overlap: queue`, how many wait.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts runs: 1 to 1000"))]
    queue_limit: u32,
    /// What is done about due times that passed unseen: while the machine was off, or the controller.
    missed: Missed,
    /// How late is too late for that.
    missed_within: Duration,
    /// The QuietHours in which it does not start.
    #[schemars(length(max = 20), extend("examples" = [["night"]]))]
    quiet: Vec<String>,
    /// What becomes of a start in quiet hours.
    on_quiet: OnQuiet,
    /// The longest one attempt may take; then it is stopped. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// What a failure is answered with.
    retry: Retry,
    /// The first run that starts is the last.
    once: bool,
    /// False: nothing is due.
    enabled: bool,
    /// How much of the past is kept.
    history: History,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            schedule: None,
            every: None,
            time_zone: None,
            jitter: Duration::default(),
            jitter_seconds: None,
            overlap: Overlap::Skip,
            at_once: 10,
            queue_limit: 1,
            missed: Missed::Once,
            missed_within: Duration(std::time::Duration::from_secs(3600)),
            quiet: Vec::new(),
            on_quiet: OnQuiet::Skip,
            timeout: None,
            retry: Retry::default(),
            once: false,
            enabled: true,
            history: History::default(),
        }
    }
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = texts_schema)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

fn texts_schema(schema: &mut Schema) {
    let rule = "it takes five fields of cron in quotes, as in \"0 3 * * *\", or a list of such texts";
    *schema = json_schema!({
        "type": ["string", "array"],
        "minLength": 1,
        "items": { "type": "string", "x-rule": "it takes five fields of cron in quotes" },
        "minItems": 1,
        "maxItems": 20,
        "examples": ["0 3 * * *", ["0 9 * * mon-fri", "@reboot"]],
        "x-rule": rule,
    });
}

impl Texts {
    fn all(&self) -> &[String] {
        match self {
            Texts::One(one) => std::slice::from_ref(one),
            Texts::Many(many) => many,
        }
    }
}

/// What a due time does while an earlier run is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum Overlap {
    /// it is skipped, and that is recorded
    Skip,
    /// it waits
    Queue,
    /// it ends the earlier run, and starts when all of that is gone
    Replace,
    /// it starts beside
    Allow,
}

/// What is done about due times that passed unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum Missed {
    /// one run, for the latest
    Once,
    /// nothing
    Skip,
    /// a run for each, oldest first
    All,
}

/// What becomes of a start in quiet hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum OnQuiet {
    /// it is dropped, and that is recorded
    Skip,
    /// it comes after them
    Defer,
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct History {
    /// So many runs at most.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 10_000), extend("x-rule" = "it counts runs: 1 to 10000"))]
    runs: u32,
    /// So long at most.
    age: Duration,
}

impl Default for History {
    fn default() -> History {
        History { runs: run::History::DEFAULT.runs, age: Duration(run::History::DEFAULT.age) }
    }
}

fn schema() -> Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Work>(), of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "prompt" | "agent" => Effect::Consent,
        "schedule" | "every" | "timeZone" | "jitter" | "enabled" => Effect::Reschedule,
        _ if Work::FIELDS.contains(&field) || Process::FIELDS.contains(&field) => Effect::Live,
        "overlap" | "atOnce" | "queueLimit" | "missed" | "missedWithin" | "quiet" | "onQuiet" | "timeout" | "retry"
        | "once" | "history" => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let work: Work = read(only(value, Work::FIELDS), DEF.lower)?;
    let process: Process = read(only(value, Process::FIELDS), DEF.lower)?;
    let mut spec: Spec = read(without(&without(value, Work::FIELDS), Process::FIELDS), DEF.lower)?;
    let mut errors = Vec::new();
    work.check(&[], &mut errors);
    work.check_values(&mut errors);
    process.check(work.has_command(), &mut errors);
    let schedule = spec.check(&mut errors);
    let (true, Some(rule)) = (errors.is_empty(), work.rule(&process)) else { return Err(errors) };
    spec.settle(&schedule);
    let (work, has_command) = (work.canonical(), work.has_command());
    let quiet: Vec<ObjectRef> = spec.quiet.iter().filter_map(|name| ObjectRef::new("quiethours", name).ok()).collect();
    let mut references = spec.references(&quiet);
    references.extend(work.reference(&[]));
    let rule = RunRule {
        work: rule,
        arises: Arises::Times(spec.times(schedule, quiet)),
        policy: process.policy(),
        timeout: spec.timeout.map(|timeout| timeout.0),
        retry: spec.retry.rule(),
        overlap: spec.overlap(),
        history: run::History { runs: spec.history.runs, age: spec.history.age.0 },
        params: Params::none(),
        is_resumed: false,
        risk: Risk::default(),
    };
    let work = canonical(&work, &Work::default());
    let revision = joined([work.clone(), process.revised(has_command)]).to_string();
    let kind = Runs { rule, revision, needs: Vec::new(), part: super::RunsPart::None };
    let canonical = joined([work, canonical(&spec, &Spec::default()), process.canonical(has_command)]);
    Ok(Parsed { kind: Arc::new(kind), spec: canonical, references })
}

impl Spec {
    /// Says what types cannot say, and reads the schedule.
    fn check(&self, errors: &mut Vec<FieldError>) -> Schedule {
        let schedule = self.check_schedule(errors);
        check_zone(&["timeZone"], self.time_zone.as_ref(), errors);
        check_timeout(&["timeout"], self.timeout, errors);
        self.retry.check(&["retry"], errors);
        if self.jitter_seconds.is_some() && self.jitter != Duration::default() {
            let help = "keep one of them";
            errors.push(FieldError::of_name(&["jitter_seconds"], "says the same as `jitter`", help));
        }
        if !(1..=1000).contains(&self.at_once) {
            errors.push(FieldError::new(&["atOnce"], "is out of range", "write 1 to 1000"));
        }
        if !(1..=1000).contains(&self.queue_limit) {
            errors.push(FieldError::new(&["queueLimit"], "is out of range", "write 1 to 1000"));
        }
        if !(1..=10_000).contains(&self.history.runs) {
            errors.push(FieldError::new(&["history", "runs"], "is out of range", "write 1 to 10000"));
        }
        if self.missed_within.0 > 366 * DAY {
            errors.push(FieldError::new(&["missedWithin"], "is longer than a year", "write 366d at most"));
        }
        self.check_quiet(errors);
        schedule
    }

    fn check_quiet(&self, errors: &mut Vec<FieldError>) {
        if self.quiet.len() > QUIET_MAX {
            errors.push(FieldError::new(&["quiet"], "has more than 20 entries", "write at most 20"));
        }
        for (index, name) in self.quiet.iter().enumerate() {
            if ObjectRef::new("quiethours", name).is_err() {
                let help = "write names of QuietHours, as in `quiet: [night]`";
                errors.push(FieldError::new(&["quiet", &index.to_string()], "is no name of an object", help));
            }
        }
    }

    fn check_schedule(&self, errors: &mut Vec<FieldError>) -> Schedule {
        let mut schedule = Schedule::default();
        match (&self.schedule, self.every) {
            (None, None) => {
                let help = "write `schedule: \"0 3 * * *\"`, or `every: 15m`";
                errors.push(FieldError::new(&[], "does not say when: `schedule` is missing", help));
            }
            (Some(_), Some(_)) => {
                let help = "keep one of them";
                errors.push(FieldError::of_name(&["every"], "stands beside `schedule`", help));
            }
            (None, Some(every)) if every.0 < std::time::Duration::from_secs(1) => {
                let help = "write 1s or more; what runs all the time is a Service";
                errors.push(FieldError::new(&["every"], "is shorter than 1s", help));
            }
            (None, Some(every)) => schedule = Schedule::every(every.0),
            (Some(texts), None) => {
                if texts.all().len() > SCHEDULES_MAX || texts.all().is_empty() {
                    errors.push(FieldError::new(&["schedule"], "has no entries, or more than 20", "write 1 to 20"));
                }
                for (index, text) in texts.all().iter().enumerate() {
                    let index = index.to_string();
                    let path: &[&str] =
                        if let Texts::One(_) = texts { &["schedule"] } else { &["schedule", index.as_str()] };
                    if let Err(error) = schedule.add(text) {
                        errors.push(wrong(path, text, &error));
                    }
                }
            }
        }
        schedule
    }

    /// One spelling for one meaning.
    fn settle(&mut self, schedule: &Schedule) {
        if let Some(seconds) = self.jitter_seconds.take() {
            self.jitter = Duration(std::time::Duration::from_secs(seconds.into()));
        }
        if self.schedule.is_some() {
            let boot = schedule.reboot.then(|| "@reboot".to_owned());
            let mut texts: Vec<String> = schedule.exprs.iter().map(ToString::to_string).chain(boot).collect();
            self.schedule = match texts.pop() {
                Some(only) if texts.is_empty() => Some(Texts::One(only)),
                Some(last) => Some(Texts::Many(texts.into_iter().chain([last]).collect())),
                None => None,
            };
        }
    }

    fn references(&self, quiet: &[ObjectRef]) -> Vec<Reference> {
        let named = |(index, object): (usize, &ObjectRef)| Reference {
            path: vec!["quiet".to_owned(), index.to_string()],
            names: Names::Quiet(object.clone()),
        };
        let zone = super::zone_reference(&["timeZone"], self.time_zone.as_ref());
        quiet.iter().enumerate().map(named).chain(zone).collect()
    }

    fn overlap(&self) -> run::Overlap {
        match self.overlap {
            Overlap::Skip => run::Overlap::Skip,
            Overlap::Queue => run::Overlap::Queue(self.queue_limit),
            Overlap::Replace => run::Overlap::Replace,
            Overlap::Allow => run::Overlap::Allow(self.at_once),
        }
    }

    fn times(&self, schedule: Schedule, quiet: Vec<ObjectRef>) -> TimesRule {
        TimesRule {
            schedule: Arc::new(schedule),
            zone: self.time_zone.as_ref().map(|zone| Arc::from(zone.as_str())),
            jitter: self.jitter.0,
            missed: match self.missed {
                Missed::Once => run::Missed::Once,
                Missed::Skip => run::Missed::Skip,
                Missed::All => run::Missed::All,
            },
            missed_within: self.missed_within.0,
            quiet,
            on_quiet: match self.on_quiet {
                OnQuiet::Skip => run::OnQuiet::Skip,
                OnQuiet::Defer => run::OnQuiet::Defer,
            },
            is_once: self.once,
            is_enabled: self.enabled,
        }
    }
}

/// The words for a text that is no schedule.
fn wrong(path: &[&str], text: &str, error: &ExprError) -> FieldError {
    let word = text.trim();
    let is_macro = !word.is_empty() && !word.starts_with('@') && Schedule::parse(&format!("@{word}")).is_ok();
    if is_macro {
        return FieldError::new(path, "lacks its `@`", format!("write \"@{word}\", with the quotes"));
    }
    let field = if error.field == "schedule" { String::new() } else { format!(" in its {}", error.field) };
    let what = format!("is wrong{field}: `{}` {}", error.item, error.what);
    FieldError { column: Some(error.column), ..FieldError::new(path, what, error.help.clone()) }
}
