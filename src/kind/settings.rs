//! Settings: defaults and limits of a home.
//!
//! In: a spec as JSON. Out: what the engine decides by where an object says nothing itself. Not here: that there is one
//! such object at most, which is checked once all are read.
//! The surprise: it is an object like any other, so a change of it is shown by `diff` and made by `apply`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::clock::{check_zone, zone_schema};
use super::process::{canonical, read};
use super::units::{Duration, Size, count};
use super::{Effect, FieldError, KindDef, Names, Parsed, Reference};
use crate::engine::expand::{Items, Kind, Want};
use crate::engine::plan::Policy;
use crate::engine::run::pressure::Figures;
use crate::engine::run::{self, Part};

/// The least that a limit can be: below it, nothing would ever begin.
const LEAST: f64 = 0.1;

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Settings",
    lower: "settings",
    plural: "settings",
    short: &["set"],
    summary: "Defaults and limits of this machine; one object at most.",
    parse,
    schema: super::schema::of_spec::<Spec>,
    effect,
    paths: &[],
    files: &[],
    texts: &[],
    later: &["defaults", "heartbeat", "http", "jobs", "log", "maxAgentRuns", "relist"],
};

/// Defaults and limits.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// The zone of schedules and quiet hours that name none; that of the machine by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = zone_schema)]
    time_zone: Option<String>,
    /// How many runs have processes at once; four for each core by default, and 8 at least.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_count")]
    #[schemars(range(min = 1, max = 1000), extend("examples" = [16], "x-rule" = "it counts runs: 1 to 1000"))]
    max_runs: Option<u32>,
    /// While one of these is passed, no run begins and no message is taken up; what has begun goes on, and services are
    /// kept up.
    gates: Gates,
    /// What shares of jitter are drawn from, so that two machines can have the same; the id of the machine by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), extend("examples" = ["machine-1"]))]
    jitter_seed: Option<String>,
    /// How much of the past is kept.
    retention: Retention,
}

fn some_count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    count(deserializer).map(Some)
}

/// 12 and not 12.0.
fn as_written<S: serde::Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) if number.fract() == 0.0 && *number < 1e9 => serializer.serialize_u64(*number as u64),
        Some(number) => serializer.serialize_f64(*number),
        None => serializer.serialize_none(),
    }
}

/// How hard the machine may be pressed while runs begin.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Gates {
    /// The most load, as the average of the last minute counts it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    #[schemars(range(min = 0.1, max = 100_000), extend("examples" = [8], "x-rule" = "it is a load: 0.1 to 100000"))]
    load: Option<f64>,
    /// The least memory that could be had, as MemAvailable of /proc/meminfo counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["512Mi"]))]
    memory_free: Option<Size>,
    /// The most time in which something waited, in percent of the last ten seconds, as pressure stall information counts
    /// it (`some avg10` of /proc/pressure). A kernel without it holds nothing back.
    psi: Stalls,
}

/// Time in which something waited, in percent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Stalls {
    /// For a processor.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    #[schemars(range(min = 0.1, max = 100), extend("examples" = [40], "x-rule" = "it is a percentage: 0.1 to 100"))]
    cpu: Option<f64>,
    /// For memory.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    #[schemars(range(min = 0.1, max = 100), extend("examples" = [10], "x-rule" = "it is a percentage: 0.1 to 100"))]
    memory: Option<f64>,
    /// For a disk.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    #[schemars(range(min = 0.1, max = 100), extend("examples" = [30], "x-rule" = "it is a percentage: 0.1 to 100"))]
    io: Option<f64>,
}

impl Gates {
    fn figures(&self, errors: &mut Vec<FieldError>) -> Figures {
        let mut hundredths = |path: &[&str], value: Option<f64>, least: f64, most: f64| {
            let value = value?;
            if !(least..=most).contains(&value) {
                errors.push(FieldError::new(path, "is out of range", format!("write {least} to {most}")));
                return None;
            }
            // Within the range, and of what is finer than a hundredth the kernel says nothing.
            Some((value * 100.0).round() as u64)
        };
        let figures = Figures {
            load: hundredths(&["gates", "load"], self.load, LEAST, 100_000.0),
            cpu: hundredths(&["gates", "psi", "cpu"], self.psi.cpu, LEAST, 100.0),
            memory: hundredths(&["gates", "psi", "memory"], self.psi.memory, LEAST, 100.0),
            io: hundredths(&["gates", "psi", "io"], self.psi.io, LEAST, 100.0),
            memory_free: self.memory_free.map(|size| size.0),
        };
        if figures.memory_free == Some(0) {
            errors.push(FieldError::new(&["gates", "memoryFree"], "is no limit", "leave it out, or write 512Mi"));
        }
        figures
    }
}

/// How much of the past is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Retention {
    /// So many events at most.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 100, max = 10_000_000), extend("x-rule" = "it counts events: 100 to 10000000"))]
    events: u32,
    /// So many due times of one object at most.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 10, max = 1_000_000), extend("x-rule" = "it counts due times: 10 to 1000000"))]
    ticks: u32,
    /// Anything but events, so long at most; at least 1h.
    age: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        let rule = run::rule::Retention::default();
        Retention { events: rule.events, ticks: rule.ticks, age: Duration(rule.age) }
    }
}

fn effect(field: &str) -> Effect {
    match field {
        "timeZone" | "jitterSeed" => Effect::Reschedule,
        "gates" | "maxRuns" | "retention" => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let spec: Spec = read(value.clone(), DEF.lower)?;
    let mut errors = Vec::new();
    check_zone(&["timeZone"], spec.time_zone.as_ref(), &mut errors);
    if spec.max_runs.is_some_and(|runs| !(1..=1000).contains(&runs)) {
        errors.push(FieldError::new(&["maxRuns"], "is out of range", "write 1 to 1000"));
    }
    let gates = spec.gates.figures(&mut errors);
    if spec.jitter_seed.as_ref().is_some_and(|seed| seed.contains('\0')) {
        errors.push(FieldError::new(&["jitterSeed"], "contains a NUL character", "remove the `\\0`"));
    }
    if spec.retention.age.0 < std::time::Duration::from_secs(3600) {
        errors.push(FieldError::new(&["retention", "age"], "is shorter than 1h", "write at least 1h"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut references = vec![Reference { path: Vec::new(), names: Names::Alone }];
    references.extend(super::zone_reference(&["timeZone"], spec.time_zone.as_ref()));
    let text = |text: &Option<String>| text.as_ref().map(|text| Arc::from(text.as_str()));
    let rule = run::Settings {
        zone: text(&spec.time_zone),
        max_runs: spec.max_runs,
        gates,
        jitter_seed: text(&spec.jitter_seed),
        retention: run::rule::Retention {
            events: spec.retention.events,
            ticks: spec.retention.ticks,
            age: spec.retention.age.0,
        },
    };
    let written = canonical(&spec, &Spec::default());
    let revision = written.to_string();
    Ok(Parsed { kind: Arc::new(Settings { rule, revision }), spec: written, references })
}

#[derive(Debug)]
struct Settings {
    rule: run::Settings,
    revision: String,
}

impl Kind for Settings {
    fn expand<'a>(&'a self, _: Option<&'a Items>, _: &mut Vec<Want<'a>>) {}

    fn revision_input(&self) -> String {
        self.revision.clone()
    }

    fn policy(&self) -> Policy {
        Policy::DEFAULT
    }

    fn part(&self) -> Part<'_> {
        Part::Settings(&self.rule)
    }
}
