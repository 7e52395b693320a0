//! Job: something that is done once.
//!
//! In: a spec as JSON. Out: a rule for one run per generation of its work. Not here: when it runs (`engine::run`).
//! The surprise: it runs again only when what it does has changed: its work, its needs, its time, its limit. Labels,
//! retries and what is kept of it change nothing that was done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::clock::{Moment, check_zone, moment_schema, zone_schema};
use super::needs::{self, Need, check_needs};
use super::process::{Process, canonical, joined, only, read, without};
use super::units::Duration;
use super::work::{Retry, Work, check_timeout};
use super::{Effect, FieldError, KindDef, Parsed, Reference, Runs};
use crate::engine::run::{Arises, History, Overlap, Params, Risk, RunRule};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Job",
    lower: "job",
    plural: "jobs",
    short: &["j"],
    summary: "Something that is done once, and once more whenever what it does has changed.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &["envFile", "env.*.fromFile"],
    texts: &["env"],
    later: &[],
};

/// When it is done, and what follows.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// Not before this moment: on the clock of a zone, or with an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = moment_schema)]
    at: Option<String>,
    /// Whose clock `at` is read on; that of the settings, else of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = zone_schema)]
    time_zone: Option<String>,
    /// What has to be there before it starts.
    #[schemars(length(max = 100))]
    needs: Vec<Need>,
    /// The longest one attempt may take; then it is stopped. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// What a failure is answered with.
    retry: Retry,
    /// How long runs that are over are remembered; the last one as long as the Job.
    keep: Duration,
}

impl Default for Spec {
    fn default() -> Spec {
        let keep = Duration(std::time::Duration::from_secs(7 * 86_400));
        Spec { at: None, time_zone: None, needs: Vec::new(), timeout: None, retry: Retry::default(), keep }
    }
}

fn schema() -> schemars::Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Work>(), of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "prompt" | "agent" => Effect::Consent,
        "run" | "use" | "with" | "at" | "timeZone" | "needs" | "timeout" => Effect::Run,
        "dir" | "env" | "envFile" | "user" | "group" | "umask" | "limits" => Effect::Run,
        "retry" | "keep" | "stop" | "log" | "inheritEnv" => Effect::Live,
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
    let at = spec.check(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let (work, has_command) = (work.canonical(), work.has_command());
    spec.at = at.as_ref().map(ToString::to_string);
    let Some(rule) = work.rule(&process) else {
        return Err(vec![FieldError::new(&[], "does not say what to do", "write `run: ./migrate.sh`")]);
    };
    let rule = RunRule {
        work: rule,
        arises: Arises::Once { at: at.as_ref().map(|at| at.rule(spec.time_zone.as_ref())) },
        policy: process.policy(),
        timeout: spec.timeout.map(|timeout| timeout.0),
        retry: spec.retry.rule(),
        overlap: Overlap::Queue(1),
        history: History { age: spec.keep.0, ..History::DEFAULT },
        params: Params::none(),
        is_resumed: true,
        risk: Risk::default(),
    };
    let mut references: Vec<Reference> = needs::references(&spec.needs);
    references.extend(work.reference(&[]));
    references.extend(super::zone_reference(&["timeZone"], spec.time_zone.as_ref()));
    let revision = spec.revision(&work, &process).to_string();
    let kind = Runs { rule, revision, needs: needs::needs(&spec.needs), part: super::RunsPart::None };
    let canonical = joined([
        canonical(&work, &Work::default()),
        canonical(&spec, &Spec::default()),
        process.canonical(has_command),
    ]);
    Ok(Parsed { kind: Arc::new(kind), spec: canonical, references })
}

impl Spec {
    /// Says what types cannot say, and reads the moment.
    fn check(&self, errors: &mut Vec<FieldError>) -> Option<Moment> {
        let at = self.at.as_ref().map(|at| at.parse::<Moment>());
        if let Some(Err(wrong)) = &at {
            errors.push(FieldError::new(&["at"], wrong.what.clone(), wrong.help.clone()));
        }
        check_zone(&["timeZone"], self.time_zone.as_ref(), errors);
        check_needs(&self.needs, errors);
        check_timeout(&["timeout"], self.timeout, errors);
        self.retry.check(&["retry"], errors);
        if self.time_zone.is_some() && !matches!(at, Some(Ok(Moment::Civil(_)) | Err(_))) {
            let help = "remove it, or write `at` without an offset, as in `at: 2026-12-01T09:00`";
            errors.push(FieldError::of_name(&["timeZone"], "says nothing without a local time in `at`", help));
        }
        at?.ok()
    }

    /// What decides whether it is done again.
    fn revision(&self, work: &Work, process: &Process) -> Json {
        let mut needs = needs::needs(&self.needs);
        needs.sort();
        let needs: Vec<String> = needs.iter().map(|need| format!("{} {:?}", need.object, need.until)).collect();
        json!({
            "at": self.at,
            "needs": needs,
            "process": process.revised(work.has_command()),
            "timeZone": self.time_zone,
            "timeout": self.timeout,
            "work": canonical(work, &Work::default()),
        })
    }
}
