//! What holds for every expression.

use proptest::prelude::*;
use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Expr, Schedule, Zone};

use crate::zone;

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let item = prop_oneof![
        Just("*".to_owned()),
        (1..=max).prop_map(|step| format!("*/{step}")),
        (min..=max).prop_map(|number| number.to_string()),
        range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
        (range, 1..=max).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
    ];
    prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))
}

fn text() -> impl Strategy<Value = String> {
    let fields = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7));
    fields.prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

fn zones() -> impl Strategy<Value = Zone> {
    let names = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll"];
    prop::sample::select(names.to_vec()).prop_map(zone)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_was_read_is_written_and_read_again(text in text()) {
        if let Ok(expr) = Expr::parse(&text) {
            prop_assert_eq!(Expr::parse(&expr.to_string()), Ok(expr));
        }
    }

    #[test]
    fn due_times_only_grow(text in text(), zone in zones(), nanos in 0..u64::MAX) {
        if let Ok(expr) = Expr::parse(&text) {
            let mut after = Timestamp::from_nanos(nanos);
            for _ in 0..50 {
                let Some(next) = expr.next(after, &zone) else { break };
                prop_assert!(next > after);
                // Nothing lies between.
                let before = Timestamp::from_nanos(next.nanos() - 1);
                prop_assert_eq!(expr.next(before, &zone), Some(next));
                after = next;
            }
        }
    }

    #[test]
    fn nothing_written_breaks_the_reader(text in "[-0-9*/, a-zA-Z@#?=~é\t]{0,40}") {
        match Schedule::parse(&text) {
            Ok(schedule) => {
                let from = Timestamp::from_nanos(1_795_000_000_000_000_000);
                let next = schedule.next(from, from, &Zone::utc());
                prop_assert!(schedule.reboot || next.is_some());
                prop_assert!(!schedule.words().is_empty());
                prop_assert!(schedule.warnings(from, &zone("Europe/Berlin")).len() < 20);
            }
            Err(error) => {
                prop_assert!(error.column >= 1 && error.column <= text.chars().count().max(1));
                prop_assert!(!error.help.is_empty());
            }
        }
    }
}
