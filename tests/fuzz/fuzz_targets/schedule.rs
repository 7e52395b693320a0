//! A line of text as a schedule, and the bytes after it as a time zone: whatever they are, there is an error to print or
//! due times that only grow, and never a panic or a search without end.
#![no_main]

use std::hint::black_box;
use std::time::Duration;

use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Quiet, Schedule, Window, Zone, quiet_until};

const NOW: Timestamp = Timestamp::from_nanos(1_795_000_000_000_000_000);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let zone = parts.next().map(|data| Zone::from_tzif("Fuzzed", data));
    let zone = zone.and_then(Result::ok).unwrap_or_else(Zone::utc);
    let schedule = match Schedule::parse(&text) {
        Ok(schedule) => schedule,
        Err(error) => {
            assert!(error.column >= 1 && error.column <= text.chars().count().max(1), "{error}");
            black_box(error.to_string());
            return;
        }
    };
    for expr in &schedule.exprs {
        assert_eq!(Schedule::parse(&expr.to_string()).as_ref().map(|read| &read.exprs), Ok(&vec![expr.clone()]));
    }
    // From the beginning of time, from now, and from where this zone changes.
    let moments = zone.shifts(0, i64::MAX).iter().take(8).filter_map(|shift| u64::try_from(shift.at).ok());
    let moments = moments.map(|second| Timestamp::from_nanos(second.saturating_sub(1) * 1_000_000_000));
    for from in moments.chain([Timestamp::from_nanos(0), NOW]) {
        let mut after = from;
        for tick in schedule.ticks(from, Timestamp::from_nanos(u64::MAX), from, &zone).take(20) {
            assert!(tick > after, "{text}: {tick:?} after {after:?}");
            black_box(zone.rfc3339(tick));
            after = tick;
        }
    }
    black_box((schedule.words(), schedule.warnings(NOW, &zone), schedule.clock_notes(NOW, &zone)));
    let window = Window { days: bytes.first().copied().unwrap_or(0), from: 22 * 60, to: 6 * 60 };
    if let Ok(quiet) = Quiet::new("night", &[window], &zone) {
        assert!(quiet_until(&[&quiet], NOW).is_none_or(|end| end > NOW));
        black_box(schedule.has_room(&[&quiet], NOW, Duration::from_secs(90), &zone));
    }
});
