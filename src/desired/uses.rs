//! What is wrong with what an object names: with what it uses, its quiet hours, its zone.
//!
//! In: one named thing, and the objects there would be. Out: faults, each with the way to the field. Not here: needs and
//! their circles (`references`), places in files (`load`).
//! The surprise: parameters are checked by the one that takes them, when it is named and not when it runs.

use std::sync::Arc;
use std::time::Duration;

use super::known::Known;
use crate::engine::ObjectRef;
use crate::engine::expand::Kind;
use crate::engine::run::{Arises, Builtin, OnQuiet, Params, Part, Target, TimesRule};
use crate::engine::schedule::{Quiet, quiet_until};
use crate::engine::time::{Span, Timestamp};
use crate::kind::shown;
use crate::load::similar;

/// How long a start has to be possible within.
const ROOM: Duration = Duration::from_secs(400 * 86_400);
/// What can be used.
const KINDS_USED: &[&str] = &["capability", "workflow"];

/// One thing that is wrong with what an object names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The way to the field below the one that names; empty: that one itself.
    pub below: Vec<String>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What was probably meant.
    pub meant: Vec<String>,
    /// What to do.
    pub help: String,
}

/// What is wrong with using this, with these parameters.
#[must_use]
pub fn used(known: &Known<'_>, id: &ObjectRef, target: &Target, with: &serde_json::Value) -> Vec<Fault> {
    let there: Vec<&ObjectRef> = target.candidates.iter().filter(|candidate| known.has(candidate)).collect();
    let (found, params) = match (there.as_slice(), target.builtin) {
        ([], Some(builtin)) => (format!("{}, which is built in", builtin.name()), Params::none()),
        ([], None) => return vec![nowhere(known, id, target)],
        ([one], _) => match known.object(one).map(|object| taken(&object)) {
            Some(Some(_)) if id.kind() == "workflow" && one.kind() == "workflow" => {
                let message = format!("{id} uses {one}, and a Workflow cannot be a step of another");
                let help = "use a Capability, or write its steps here".to_owned();
                return vec![Fault { message, help, ..Fault::default() }];
            }
            Some(Some(params)) => (one.to_string(), params),
            // Written by another version: what it takes is unknown.
            Some(None) | None => return Vec::new(),
        },
        ([_, _, ..], _) => {
            let names: Vec<&str> = there.iter().map(|id| id.as_str()).collect();
            let message = format!("{id} uses {}, which is more than one object", shown(there[0].name()));
            let help = format!("write {}", names.join(" or "));
            return vec![Fault { message, help, ..Fault::default() }];
        }
    };
    let known = params.names();
    let fault = |error: &crate::engine::run::ParamError| {
        let first = error.field.split('.').next().unwrap_or_default();
        let is_unknown = !known.contains(&first);
        let meant = if is_unknown { similar(first, known.iter().copied()) } else { None };
        let field = if error.field.is_empty() { String::new() } else { format!(".{}", error.field) };
        Fault {
            below: vec!["with".to_owned(), first.to_owned()],
            message: format!("{id} uses {found}: `with{}` {}", crate::kind::plain(&field), error.what),
            meant: meant.map(str::to_owned).into_iter().collect(),
            help: error.help.clone(),
        }
    };
    params.check_written(with).iter().map(fault).collect()
}

/// What an object takes, if it can be used.
fn taken(object: &Arc<dyn Kind>) -> Option<Params> {
    match object.part() {
        Part::Capability(capability) => Some(capability.params.clone()),
        Part::Workflow(flow) => Some(flow.params.clone()),
        Part::None | Part::Quiet(_) | Part::Settings(_) | Part::Mailbox(_) | Part::Trigger(_) => None,
    }
}

fn nowhere(known: &Known<'_>, id: &ObjectRef, target: &Target) -> Fault {
    let name = target.candidates.first().map_or("", ObjectRef::name);
    let kinds: Vec<&str> = target.candidates.iter().map(ObjectRef::kind).collect();
    let is_going = target.candidates.iter().any(|candidate| known.is_going(candidate));
    let written = if kinds.len() == 1 { target.candidates.first().map_or("", ObjectRef::as_str) } else { name };
    let help = "add its manifest, apply it first, or correct the name".to_owned();
    if let Some(entry) = known.behind_command(name, KINDS_USED) {
        let message =
            format!("{id} uses {}, which is a slash command; the object behind it is {entry}", shown(written));
        return Fault {
            message,
            meant: vec![entry.name().to_owned()],
            help: format!("write {}", entry.name()),
            ..Fault::default()
        };
    }
    let why = if is_going { "which this would remove" } else { "which is neither in these files nor applied" };
    let alike = known.alike(name, KINDS_USED);
    // One who wrote a kind is told one.
    let spoken = |id: &&ObjectRef| if kinds.len() == 1 { id.to_string() } else { id.name().to_owned() };
    let builtin = similar(name, Builtin::ALL.iter().map(|builtin| builtin.name()));
    let meant = alike.iter().map(spoken).chain(builtin.map(str::to_owned)).collect();
    Fault { message: format!("{id} uses {}, {why}", shown(written)), meant, help, ..Fault::default() }
}

/// What is wrong with naming these hours.
#[must_use]
pub fn quiet(known: &Known<'_>, id: &ObjectRef, hours: &ObjectRef) -> Option<Fault> {
    if known.has(hours) {
        return None;
    }
    let why =
        if known.is_going(hours) { "which this would remove" } else { "which is neither in these files nor applied" };
    let alike = known.alike(hours.name(), &["quiethours"]);
    let meant = alike.iter().take(1).map(|id| id.name().to_owned()).collect();
    let help = "add the QuietHours of this name, apply them first, or correct it".to_owned();
    Some(Fault { message: format!("{id} keeps quiet by {hours}, {why}"), meant, help, ..Fault::default() })
}

/// What is wrong with all quiet hours of an object together.
#[must_use]
pub fn room(known: &Known<'_>, id: &ObjectRef, now: Timestamp) -> Option<Fault> {
    let object = known.object(id)?;
    let Arises::Times(rule) = &object.runs()?.arises else { return None };
    let quiets: Vec<Quiet> = rule.quiet.iter().filter_map(|hours| windows(known, hours)).collect();
    let quiets: Vec<&Quiet> = quiets.iter().collect();
    // Where its share of the jitter is not known here, it has to be impossible with none of it and with all of it.
    let shares = known.offset(id, rule.jitter).map_or_else(|| vec![Duration::ZERO, rule.jitter], |share| vec![share]);
    if quiets.is_empty() || shares.iter().any(|share| has_room(known, rule, &quiets, now, *share)) {
        return None;
    }
    let share = shares.last().filter(|share| **share >= Duration::from_secs(1));
    let late = share.map(|share| format!(", {} later by its jitter,", Span(*share))).unwrap_or_default();
    Some(Fault {
        message: format!("{id} could never start: all its due times of the next 400 days{late} fall into quiet hours"),
        help: "change the schedule or the hours, or write `onQuiet: defer`".to_owned(),
        ..Fault::default()
    })
}

fn has_room(known: &Known<'_>, rule: &TimesRule, quiets: &[&Quiet], now: Timestamp, share: Duration) -> bool {
    match rule.on_quiet {
        OnQuiet::Skip => {
            known.zone(rule.zone.as_ref()).is_none_or(|zone| rule.schedule.has_room(quiets, now, share, &zone))
        }
        OnQuiet::Defer => quiet_until(quiets, now).is_none_or(|end| now.until(end) <= ROOM),
    }
}

fn windows(known: &Known<'_>, hours: &ObjectRef) -> Option<Quiet> {
    let object = known.object(hours)?;
    let Part::Quiet(rule) = object.part() else { return None };
    Quiet::new(hours.name(), &rule.windows, &known.zone(rule.zone.as_ref())?).ok()
}

/// What is wrong with the name of a zone.
#[must_use]
pub fn zone(known: &Known<'_>, name: &str) -> Option<Fault> {
    let wrong = known.zone_fault(name)?;
    let message = format!("`timeZone` is {}, which {}", shown(name), wrong.what);
    Some(Fault { message, help: wrong.help, ..Fault::default() })
}

/// What is wrong with a second object of a kind of which there is one.
#[must_use]
pub fn alone(known: &Known<'_>, id: &ObjectRef) -> Option<Fault> {
    // Of two that come together one is told.
    let is_first = |other: &&ObjectRef| *other < id || !known.is_proposed(other);
    let other = known.names().filter(is_first).find(|other| other.kind() == id.kind() && *other != id)?;
    let message = format!("{id} is a second one: there is {other}, and only one may be");
    let help = format!("write it all into one of them, or remove the other: setpoint delete {other}");
    Some(Fault { message, help, ..Fault::default() })
}
