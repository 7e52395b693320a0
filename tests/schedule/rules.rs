//! The rules one by one, in cases a person can check.

use std::time::Duration;

use expect_test::{Expect, expect};
use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Schedule, Zone, jitter_offset};

use crate::{at, expr, nexts, schedule, zone};

fn check(text: &str, name: &str, from: &str, due: Expect) {
    due.assert_eq(&(nexts(text, name, from, 4).join("\n") + "\n"));
}

#[test]
fn a_fixed_time_in_a_gap_is_due_right_after_it() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        expect![[r#"
        2026-03-28T02:30:00+01:00
        2026-03-29T03:00:00+02:00
        2026-03-30T02:30:00+02:00
        2026-03-31T02:30:00+02:00
    "#]],
    );
    // Several in one gap are one.
    check(
        "0,30 2 * * *",
        "America/New_York",
        "2026-03-08T00:00:00Z",
        expect![[r#"
        2026-03-08T03:00:00-04:00
        2026-03-09T02:00:00-04:00
        2026-03-09T02:30:00-04:00
        2026-03-10T02:00:00-04:00
    "#]],
    );
    // Half an hour, and midnight.
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-02T00:00:00Z",
        expect![[r#"
        2026-10-03T02:15:00+10:30
        2026-10-04T02:30:00+11:00
        2026-10-05T02:15:00+11:00
        2026-10-06T02:15:00+11:00
    "#]],
    );
    check(
        "0 0 * * *",
        "America/Sao_Paulo",
        "2017-10-14T00:00:00Z",
        expect![[r#"
        2017-10-14T00:00:00-03:00
        2017-10-15T01:00:00-02:00
        2017-10-16T00:00:00-02:00
        2017-10-17T00:00:00-02:00
    "#]],
    );
    // Two hours.
    check(
        "30 1 * * *",
        "Antarctica/Troll",
        "2026-03-28T00:00:00Z",
        expect![[r#"
        2026-03-28T01:30:00+00:00
        2026-03-29T03:00:00+02:00
        2026-03-30T01:30:00+02:00
        2026-03-31T01:30:00+02:00
    "#]],
    );
}

#[test]
fn a_star_follows_the_clock_over_a_gap() {
    check(
        "30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        expect![[r#"
        2026-03-29T01:30:00+01:00
        2026-03-29T03:30:00+02:00
        2026-03-29T04:30:00+02:00
        2026-03-29T05:30:00+02:00
    "#]],
    );
    check(
        "*/30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        expect![[r#"
        2026-03-28T02:00:00+01:00
        2026-03-28T02:30:00+01:00
        2026-03-30T02:00:00+02:00
        2026-03-30T02:30:00+02:00
    "#]],
    );
}

#[test]
fn a_fixed_time_in_a_fold_is_due_in_the_first_pass() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        expect![[r#"
        2026-10-25T02:30:00+02:00
        2026-10-26T02:30:00+01:00
        2026-10-27T02:30:00+01:00
        2026-10-28T02:30:00+01:00
    "#]],
    );
    check(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        expect![[r#"
        2026-04-05T01:45:00+11:00
        2026-04-06T01:45:00+10:30
        2026-04-07T01:45:00+10:30
        2026-04-08T01:45:00+10:30
    "#]],
    );
    // Asked from within the second pass.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-25T01:10:00Z",
        expect![[r#"
        2026-10-26T02:30:00+01:00
        2026-10-27T02:30:00+01:00
        2026-10-28T02:30:00+01:00
        2026-10-29T02:30:00+01:00
    "#]],
    );
}

#[test]
fn a_star_is_due_in_both_passes() {
    check(
        "30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        expect![[r#"
        2026-10-25T02:30:00+02:00
        2026-10-25T02:30:00+01:00
        2026-10-25T03:30:00+01:00
        2026-10-25T04:30:00+01:00
    "#]],
    );
    check(
        "*/30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        expect![[r#"
        2026-10-25T02:00:00+02:00
        2026-10-25T02:30:00+02:00
        2026-10-25T02:00:00+01:00
        2026-10-25T02:30:00+01:00
    "#]],
    );
}

#[test]
fn a_skipped_day_is_skipped() {
    check(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29T00:00:00Z",
        expect![[r#"
        2011-12-29T12:00:00-10:00
        2011-12-31T12:00:00+14:00
        2012-01-01T12:00:00+14:00
        2012-01-02T12:00:00+14:00
    "#]],
    );
}

#[test]
fn day_fields_combine() {
    // Either, when neither begins with a star; both, when one does.
    check(
        "0 0 13 * 5",
        "UTC",
        "2026-11-01T00:00:00Z",
        expect![[r#"
        2026-11-06T00:00:00Z
        2026-11-13T00:00:00Z
        2026-11-20T00:00:00Z
        2026-11-27T00:00:00Z
    "#]],
    );
    check(
        "0 0 */2 * 5",
        "UTC",
        "2026-11-01T00:00:00Z",
        expect![[r#"
        2026-11-13T00:00:00Z
        2026-11-27T00:00:00Z
        2026-12-11T00:00:00Z
        2026-12-25T00:00:00Z
    "#]],
    );
    check(
        "0 0 1-31 * 5",
        "UTC",
        "2026-11-01T00:00:00Z",
        expect![[r#"
        2026-11-02T00:00:00Z
        2026-11-03T00:00:00Z
        2026-11-04T00:00:00Z
        2026-11-05T00:00:00Z
    "#]],
    );
    // Without a weekday, each minute 13 of the hours 0 to 23 of a day would be meant.
    check(
        "13 * 5 * *",
        "UTC",
        "2026-11-04T22:00:00Z",
        expect![[r#"
        2026-11-05T00:13:00Z
        2026-11-05T01:13:00Z
        2026-11-05T02:13:00Z
        2026-11-05T03:13:00Z
    "#]],
    );
}

#[test]
fn lists_ranges_and_steps() {
    check(
        "1-5,10 * * * *",
        "UTC",
        "2026-11-21T03:03:00Z",
        expect![[r#"
        2026-11-21T03:04:00Z
        2026-11-21T03:05:00Z
        2026-11-21T03:10:00Z
        2026-11-21T04:01:00Z
    "#]],
    );
    check(
        "0-30/10 * * * *",
        "UTC",
        "2026-11-21T03:15:00Z",
        expect![[r#"
        2026-11-21T03:20:00Z
        2026-11-21T03:30:00Z
        2026-11-21T04:00:00Z
        2026-11-21T04:10:00Z
    "#]],
    );
    check(
        "0 9 * * FRI-SUN",
        "UTC",
        "2026-11-21T10:00:00Z",
        expect![[r#"
        2026-11-22T09:00:00Z
        2026-11-27T09:00:00Z
        2026-11-28T09:00:00Z
        2026-11-29T09:00:00Z
    "#]],
    );
    check(
        "0 9 * * mon,5-7/2",
        "UTC",
        "2026-11-21T10:00:00Z",
        expect![[r#"
        2026-11-22T09:00:00Z
        2026-11-23T09:00:00Z
        2026-11-27T09:00:00Z
        2026-11-29T09:00:00Z
    "#]],
    );
    check(
        "0 0 29 2 *",
        "UTC",
        "2096-03-01T00:00:00Z",
        expect![[r#"
        2104-02-29T00:00:00Z
        2108-02-29T00:00:00Z
        2112-02-29T00:00:00Z
        2116-02-29T00:00:00Z
    "#]],
    );
    check(
        "@weekly",
        "UTC",
        "2026-11-21T10:00:00Z",
        expect![[r#"
        2026-11-22T00:00:00Z
        2026-11-29T00:00:00Z
        2026-12-06T00:00:00Z
        2026-12-13T00:00:00Z
    "#]],
    );
}

#[test]
fn spellings_of_one_schedule_agree() {
    for (one, other) in [
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * SUN", "@weekly"),
        ("0 0 * * 5-7", "0 0 * * FRI-SUN"),
        ("0 0 * * 5-0", "0 0 * * fri,sat,sun"),
        ("0 0 * * 1-5", "0 0 * * Mon-Fri"),
        ("0 0 1 1 *", "@annually"),
        ("00 03 * * *", "0 3 * * *"),
        ("\t0   3 *\t* * ", "0 3 * * *"),
        ("*/40 * * * *", "0,40 * * * *"),
        ("*/90 * * * *", "*/60 * * * *"),
    ] {
        let from = "2026-11-21T10:00:00Z";
        assert_eq!(nexts(one, "UTC", from, 50), nexts(other, "UTC", from, 50), "{one} and {other}");
    }
}

#[test]
fn periods_are_counted_from_their_base() {
    let every = Schedule::every(Duration::from_secs(900));
    let (base, utc) = (at("2026-11-21T10:07:30Z"), Zone::utc());
    let next = |after: &str| every.next(at(after), base, &utc).map(|tick| utc.rfc3339(tick));
    assert_eq!(next("2026-11-21T09:00:00Z").as_deref(), Some("2026-11-21T10:22:30Z"));
    assert_eq!(next("2026-11-21T10:22:29.999Z").as_deref(), Some("2026-11-21T10:22:30Z"));
    assert_eq!(next("2026-11-21T10:22:30Z").as_deref(), Some("2026-11-21T10:37:30Z"));
    let none = Schedule::every(Duration::ZERO);
    assert_eq!(none.next(base, base, &utc), None);
    assert_eq!(every.next(Timestamp::from_nanos(u64::MAX), base, &utc), None);
}

#[test]
fn several_expressions_are_one_schedule() {
    let mut both = schedule("0 9 * * *");
    both.add("0 9,17 * * *").expect("a schedule");
    both.add("@reboot").expect("a schedule");
    assert!(both.reboot && both.exprs.len() == 2);
    assert_eq!(both.to_string(), "0 9 * * *; 0 9,17 * * *; @reboot");
    let (from, utc) = (at("2026-11-21T00:00:00Z"), Zone::utc());
    // Two that agree make one tick.
    let until = at("2026-11-22T09:00:00Z");
    let ticks: Vec<String> = both.ticks(from, until, from, &utc).map(|tick| utc.rfc3339(tick)).collect();
    let expected = ["2026-11-21T09:00:00Z", "2026-11-21T17:00:00Z", "2026-11-22T09:00:00Z"];
    assert_eq!(ticks, expected, "the end belongs to it");
    assert_eq!(both.count_between(from, until, from, &utc, 100), 3);
    assert_eq!(both.count_between(from, until, from, &utc, 2), 2);
    let boots = schedule("@reboot");
    assert_eq!(boots.next(from, from, &utc), None);
}

#[test]
fn jitter_is_a_hash_of_names() {
    for (seed, object, max, expected) in [
        ("", "backup", 300, 7),
        ("machine-1", "backup", 300, 108),
        ("machine-2", "backup", 300, 73),
        ("machine-1", "rotate-logs", 59, 40),
        ("machine-1", "backup", 86_399, 72_328),
        ("machine-1", "backup", 0, 0),
    ] {
        let offset = jitter_offset(seed, object, Duration::from_secs(max));
        assert_eq!(offset, Duration::from_secs(expected), "{seed} {object} {max}");
    }
    assert!(jitter_offset("a", "b", Duration::MAX) <= Duration::from_secs(u64::MAX));
}

#[test]
fn the_ceiling_of_jitter_is_a_tenth() {
    for (text, interval, jitter) in [
        ("* * * * *", 60, 0),
        ("*/3 * * * *", 180, 10),
        ("*/5 * * * *", 300, 30),
        ("*/10 * * * *", 600, 60),
        ("*/15 * * * *", 900, 90),
        ("*/30 * * * *", 1800, 180),
        ("@hourly", 3600, 300),
        ("@daily", 86_400, 300),
        // The shortest distance counts.
        ("0,2 * * * *", 120, 10),
        ("59 23 * * *", 86_400, 300),
    ] {
        let from = at("2026-11-21T10:00:00Z");
        let pace = schedule(text).pace(from, from, &Zone::utc()).expect("due more than once");
        assert_eq!(pace.interval, Duration::from_secs(interval), "{text}");
        assert_eq!(pace.jitter_max, Duration::from_secs(jitter), "{text}");
    }
    let from = at("2026-11-21T10:00:00Z");
    assert_eq!(schedule("@reboot").pace(from, from, &Zone::utc()), None);
    let every = Schedule::every(Duration::from_secs(90));
    assert_eq!(every.pace(from, from, &Zone::utc()).map(|pace| pace.interval), Some(Duration::from_secs(90)));
    // A day in spring has 23 hours.
    let (from, berlin) = (at("2027-03-20T10:00:00Z"), zone("Europe/Berlin"));
    let pace = schedule("@daily").pace(from, from, &berlin).expect("daily");
    assert_eq!(pace.interval, Duration::from_secs(23 * 3600));
}

#[test]
fn clocks_lead_back_to_moments() {
    for (name, shown, moment) in [
        ("Europe/Berlin", "2027-03-28T01:59:59", "2027-03-28T01:59:59+01:00"),
        ("Europe/Berlin", "2027-03-28T02:00", "2027-03-28T03:00:00+02:00"),
        ("Europe/Berlin", "2027-03-28T02:59:59", "2027-03-28T03:00:00+02:00"),
        ("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T03:00:00+02:00"),
        ("Europe/Berlin", "2027-10-31T02:30", "2027-10-31T02:30:00+02:00"),
        ("Europe/Berlin", "2027-10-31T03:00", "2027-10-31T03:00:00+01:00"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-31T00:00:00+14:00"),
        ("UTC", "2027-01-01T00:00", "2027-01-01T00:00:00Z"),
    ] {
        let zone = zone(name);
        let found = zone.moment(shown.parse().expect("a date")).map(|at| zone.rfc3339(at));
        assert_eq!(found.as_deref(), Some(moment), "{shown} in {name}");
    }
    for outside in ["1969-12-31T23:59:59", "9999-12-30T00:00", "2554-08-01T00:00"] {
        assert_eq!(Zone::utc().moment(outside.parse().expect("a date")), None, "{outside}");
    }
}

#[test]
fn time_ends() {
    let last = Timestamp::from_nanos(u64::MAX);
    for text in ["* * * * *", "0 0 29 2 *", "@yearly"] {
        assert_eq!(expr(text).next(last, &zone("Europe/Berlin")), None, "{text}");
    }
    assert!(expr("* * * * *").next(at("2554-07-21T00:00:00Z"), &Zone::utc()).is_some());
    assert!(expr("* * * * *").next(Timestamp::from_nanos(0), &zone("America/New_York")).is_some());
}
