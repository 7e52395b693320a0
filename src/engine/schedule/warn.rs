//! What is legal and probably not meant.
//!
//! In: a schedule, a zone, the present. Out: sentences. Not here: refusing anything (`parse`).
//! The surprise: a fixed time inside a change of clocks is only found by looking at the changes of the zone ahead.

use std::fmt;

use super::Schedule;
use super::expr::{Expr, Sets};
use super::next::Change;
use super::parse::long_steps;
use super::words::{Days, days_of_month, weekdays};
use super::zone::{Shift, Zone, seconds, wall};
use crate::engine::time::Timestamp;

/// Changes of clocks are looked for so far ahead.
const AHEAD_S: i64 = 400 * 86_400;
/// Morocco has four changes a year; nobody has more.
const SHIFTS_MAX: usize = 8;

/// Something a person should know before the schedule surprises them: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Schedule {
    /// What is legal and probably not meant, as seen at `from`: days that are combined, steps that are too long, fixed
    /// times that a change of clocks within 400 days skips or repeats.
    #[must_use]
    pub fn warnings(&self, from: Timestamp, zone: &Zone) -> Vec<Warning> {
        let mut found = Vec::new();
        for expr in &self.exprs {
            found.extend(long_steps(&expr.text));
            found.extend(days(&expr.sets));
            found.extend(self.changes(from, zone).iter().filter_map(|shift| inside(expr, shift, zone)));
        }
        found.dedup();
        found.into_iter().map(Warning).collect()
    }

    /// The changes of clocks within the next 400 days, as long as anything depends on them.
    fn changes<'a>(&self, from: Timestamp, zone: &'a Zone) -> &'a [Shift] {
        let shifts = zone.shifts(seconds(from), seconds(from).saturating_add(AHEAD_S));
        shifts.get(..SHIFTS_MAX).unwrap_or(shifts)
    }

    /// What clocks do within the next 400 days, and what that means for a schedule that follows them: one sentence each.
    #[must_use]
    pub fn clock_notes(&self, from: Timestamp, zone: &Zone) -> Vec<String> {
        let follows = self.exprs.iter().any(Expr::is_wildcard);
        let note = |shift: &Shift| {
            let (from, to) = ends(shift);
            let date = from.strftime("%Y-%m-%d");
            let meaning = match (follows, Change::of(shift)) {
                (true, Change::Gap) => "; what a star names in between is left out",
                (true, Change::Fold { .. }) => "; what a star names in between comes twice",
                (true, Change::Leap) | (false, _) => "",
            };
            let way = if shift.forward() > 0 { "forward" } else { "back" };
            format!("on {date} clocks go {way} from {} to {}{meaning}", clock(from), clock_on(from, to))
        };
        let depends = !self.exprs.is_empty();
        self.changes(from, zone).iter().filter(|_| depends).map(note).collect()
    }
}

/// What clocks show at a change: by the old offset and by the new.
fn ends(shift: &Shift) -> (jiff::civil::DateTime, jiff::civil::DateTime) {
    (wall(shift.at, shift.before), wall(shift.at, shift.after))
}

fn clock(at: jiff::civil::DateTime) -> String {
    at.strftime("%H:%M").to_string()
}

/// With the date when that is another.
fn clock_on(other: jiff::civil::DateTime, at: jiff::civil::DateTime) -> String {
    if other.date() == at.date() { clock(at) } else { at.strftime("%Y-%m-%d %H:%M").to_string() }
}

/// The sentence about a fixed time inside a change of clocks.
fn inside(expr: &Expr, shift: &Shift, zone: &Zone) -> Option<String> {
    if expr.is_wildcard() {
        return None;
    }
    let (before, after) = ends(shift);
    let (low, high) =
        (shift.at + i64::from(shift.before.min(shift.after)), shift.at + i64::from(shift.before.max(shift.after)));
    let first = expr.sets.next_wall(low - 1).filter(|first| *first < high)?;
    let missed = wall(first, 0);
    let time = missed.strftime("%Y-%m-%d %H:%M");
    let name = zone.name();
    let (from, to) = (clock(before), clock_on(before, after));
    Some(match Change::of(shift) {
        Change::Gap => format!(
            "{time} does not exist in {name}, where clocks go forward from {from} to {to}; it runs at {to}, once"
        ),
        Change::Fold { .. } => format!(
            "{time} comes twice in {name}, where clocks go back from {from} to {to}; it runs the first time only"
        ),
        Change::Leap if shift.forward() > 0 => {
            format!("{time} does not exist in {name}, where clocks go forward from {from} to {to}; it does not run")
        }
        Change::Leap => {
            format!("{time} comes twice in {name}, where clocks go back from {from} to {to}; it runs twice")
        }
    })
}

/// The sentence about two day fields.
fn days(sets: &Sets) -> Option<String> {
    let (dates, weekdays) = (days_of_month(sets), weekdays(sets));
    match Days::of(sets) {
        Days::All if sets.is_either_day => Some(
            "it runs every day: both day fields are restricted, so either is enough, and one names every day"
                .to_owned(),
        ),
        Days::All | Days::Weekdays | Days::Dates => None,
        Days::Either if !sets.has_date() => {
            Some(format!("{dates} never comes in those months, so it runs on {weekdays} alone"))
        }
        Days::Either => {
            Some(format!("it runs on {dates} AND on every {weekdays}, since both day fields are restricted"))
        }
        Days::Both => Some(format!(
            "it runs on {weekdays} only when that is {dates}: where a day field begins with a star, both have to match"
        )),
    }
}
