//! QuietHours: times of the week in which nothing is to start.
//!
//! In: a spec as JSON. Out: windows for those that name them. Not here: what becomes of a start (`engine::run`).
//! The surprise: a window whose end comes before its beginning ends on the next day, and belongs to the day it began.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::clock::{Days, TimeOfDay, check_zone, zone_schema};
use super::process::{canonical, read, without_defaults};
use super::{Effect, FieldError, KindDef, Parsed};
use crate::engine::expand::{Items, Kind, Want};
use crate::engine::plan::Policy;
use crate::engine::run::{Part, QuietRule};
use crate::engine::schedule::{Quiet, QuietError, Window, Zone};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "QuietHours",
    lower: "quiethours",
    plural: "quiethours",
    short: &["qh"],
    summary: "Times of the week in which the CronJobs that name them do not start.",
    parse,
    schema: super::schema::of_spec::<Spec>,
    effect,
    paths: &[],
    files: &[],
    texts: &[],
    later: &[],
};

/// The most windows.
const WINDOWS_MAX: usize = 50;

/// When it is quiet.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// When.
    #[schemars(length(min = 1, max = 50), extend("examples" = [[{ "from": "22:00", "to": "07:00" }]]))]
    #[schemars(extend("x-rule" = "it takes a list of windows, 1 to 50"))]
    times: Vec<Times>,
    /// On whose clock; that of the settings, else of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = zone_schema)]
    time_zone: Option<String>,
}

/// One window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Times {
    /// The days it begins on; all of them by default.
    #[serde(default)]
    days: Days,
    /// When it begins.
    from: TimeOfDay,
    /// When it is over; on the next day, when that is earlier.
    to: TimeOfDay,
}

fn effect(field: &str) -> Effect {
    match field {
        "times" | "timeZone" => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let spec: Spec = read(value.clone(), DEF.lower)?;
    let mut errors = Vec::new();
    check_zone(&["timeZone"], spec.time_zone.as_ref(), &mut errors);
    if spec.times.is_empty() || spec.times.len() > WINDOWS_MAX {
        let help = "write 1 to 50, as in `times: [{ from: \"22:00\", to: \"07:00\" }]`";
        errors.push(FieldError::new(&["times"], "has no entries, or more than 50", help));
    }
    let windows: Vec<Window> = spec.times.iter().map(Times::window).collect();
    for (index, window) in windows.iter().enumerate() {
        errors.extend(fault(index, Quiet::new("", std::slice::from_ref(window), &Zone::utc()).err()));
    }
    if errors.is_empty() && Quiet::new("", &windows, &Zone::utc()).is_err() {
        let help = "shorten one of the windows, so that something can start";
        errors.push(FieldError::of_name(&["times"], "leaves no time at all", help));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let zone = spec.time_zone.as_ref().map(|zone| Arc::from(zone.as_str()));
    let references = super::zone_reference(&["timeZone"], spec.time_zone.as_ref()).into_iter().collect();
    let written = spec.canonical();
    let revision = written.to_string();
    let kind = QuietHours { rule: QuietRule { windows, zone }, revision };
    Ok(Parsed { kind: Arc::new(kind), spec: written, references })
}

fn fault(index: usize, error: Option<QuietError>) -> Option<FieldError> {
    let (field, what, help) = match error? {
        QuietError::Empty { at: _ } => {
            ("to", "is the same as `from`, which is either nothing or a whole day", "write 00:00 to 24:00 for a day")
        }
        QuietError::BeyondDay { minute: _ } => ("from", "is the end of a day already", "write 00:00 to 23:59"),
        QuietError::NoDays => ("days", "names no day", "name at least one day, or leave `days` out for all"),
        QuietError::NoRoom => ("to", "leaves no time at all", "shorten the window, or name fewer days"),
    };
    Some(FieldError::new(&["times", &index.to_string(), field], what, help))
}

impl Times {
    fn window(&self) -> Window {
        Window { days: self.days.0, from: self.from.0, to: self.to.0 }
    }
}

impl Spec {
    fn canonical(&self) -> Json {
        let mut written = canonical(self, &Spec::default());
        let default = serde_json::json!({ "days": Days::default() });
        if let Some(Json::Array(times)) = written.get_mut("times") {
            times.iter_mut().for_each(|window| *window = without_defaults(window.take(), &default));
        }
        written
    }
}

#[derive(Debug)]
struct QuietHours {
    rule: QuietRule,
    revision: String,
}

impl Kind for QuietHours {
    fn expand<'a>(&'a self, _: Option<&'a Items>, _: &mut Vec<Want<'a>>) {}

    fn revision_input(&self) -> String {
        self.revision.clone()
    }

    fn policy(&self) -> Policy {
        Policy::DEFAULT
    }

    fn part(&self) -> Part<'_> {
        Part::Quiet(&self.rule)
    }
}
