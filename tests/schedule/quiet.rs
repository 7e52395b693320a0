//! Quiet windows: what they cover, and until when.

use std::time::Duration;

use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Quiet, QuietError, Window, Zone, quiet_until};

use crate::{at, schedule, zone};

const ALL: u8 = 0x7f;
const SAT_SUN: u8 = 0b100_0001;

fn window(days: u8, from: &str, to: &str) -> Window {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':').expect("HH:MM");
        hour.parse::<u16>().expect("an hour") * 60 + minute.parse::<u16>().expect("a minute")
    };
    Window { days, from: minute(from), to: minute(to) }
}

fn quiet(windows: &[Window], name: &str) -> Quiet {
    Quiet::new("night", windows, &zone(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// Until when it is quiet at a moment, as the clocks of the zone show it.
fn until(quiet: &Quiet, name: &str, moment: &str) -> Option<String> {
    quiet.until(at(moment)).map(|end| zone(name).rfc3339(end))
}

#[test]
fn windows_are_half_open_and_wrap() {
    let night = quiet(&[window(ALL, "22:00", "06:00")], "UTC");
    for (moment, end) in [
        ("2026-11-21T21:59:59.999Z", None),
        ("2026-11-21T22:00:00Z", Some("2026-11-22T06:00:00Z")),
        ("2026-11-22T00:00:00Z", Some("2026-11-22T06:00:00Z")),
        ("2026-11-22T05:59:59.999Z", Some("2026-11-22T06:00:00Z")),
        ("2026-11-22T06:00:00Z", None),
    ] {
        assert_eq!(until(&night, "UTC", moment).as_deref(), end, "{moment}");
    }
    // 2026-11-21 is a Saturday. The night that starts on Saturday ends on Sunday; that of Sunday is not one of them.
    let saturday = quiet(&[window(0b100_0000, "22:00", "06:00")], "UTC");
    assert_eq!(until(&saturday, "UTC", "2026-11-22T05:00:00Z").as_deref(), Some("2026-11-22T06:00:00Z"));
    assert_eq!(until(&saturday, "UTC", "2026-11-22T23:00:00Z"), None);
    assert_eq!(until(&saturday, "UTC", "2026-11-21T05:00:00Z"), None);
}

#[test]
fn adjoining_windows_are_one() {
    let both = quiet(&[window(SAT_SUN, "00:00", "24:00"), window(ALL, "22:00", "06:00")], "UTC");
    let monday = Some("2026-11-23T06:00:00Z");
    assert_eq!(until(&both, "UTC", "2026-11-20T23:00:00Z").as_deref(), monday, "from Friday night to Monday morning");
    assert_eq!(until(&both, "UTC", "2026-11-22T12:00:00Z").as_deref(), monday);
    assert_eq!(until(&both, "UTC", "2026-11-20T21:00:00Z"), None);
}

#[test]
fn changed_clocks_end_windows_by_what_they_show() {
    // In spring, what is never shown is never quiet.
    let gap = quiet(&[window(ALL, "02:00", "03:00")], "Europe/Berlin");
    assert_eq!(until(&gap, "Europe/Berlin", "2027-03-28T00:59:59Z"), None);
    assert_eq!(until(&gap, "Europe/Berlin", "2027-03-28T01:00:00Z"), None);
    let early = quiet(&[window(ALL, "01:00", "02:30")], "Europe/Berlin");
    let jump = Some("2027-03-28T03:00:00+02:00");
    assert_eq!(until(&early, "Europe/Berlin", "2027-03-28T00:30:00Z").as_deref(), jump, "the change ends it");
    let night = quiet(&[window(ALL, "22:00", "06:00")], "Europe/Berlin");
    let morning = Some("2027-03-28T06:00:00+02:00");
    assert_eq!(until(&night, "Europe/Berlin", "2027-03-27T22:00:00Z").as_deref(), morning, "an hour shorter");
    // In autumn, what is shown twice is quiet twice.
    let fold = quiet(&[window(ALL, "01:00", "02:30")], "Europe/Berlin");
    let (first, second) = (Some("2027-10-31T02:30:00+02:00"), Some("2027-10-31T02:30:00+01:00"));
    assert_eq!(until(&fold, "Europe/Berlin", "2027-10-30T23:30:00Z").as_deref(), first);
    assert_eq!(until(&fold, "Europe/Berlin", "2027-10-31T00:30:00Z"), None);
    assert_eq!(until(&fold, "Europe/Berlin", "2027-10-31T01:00:00Z").as_deref(), second);
    let through = quiet(&[window(ALL, "01:00", "03:00")], "Europe/Berlin");
    let end = Some("2027-10-31T03:00:00+01:00");
    assert_eq!(until(&through, "Europe/Berlin", "2027-10-31T00:30:00Z").as_deref(), end, "an hour longer");
}

#[test]
fn every_minute_agrees_with_what_the_clock_shows() {
    for (name, from) in [
        ("Australia/Lord_Howe", "2026-04-03T00:00:00Z"),
        ("America/Sao_Paulo", "2017-10-13T00:00:00Z"),
        ("Pacific/Apia", "2011-12-28T00:00:00Z"),
    ] {
        let (zone, start) = (zone(name), at(from));
        let windows =
            [window(SAT_SUN, "23:30", "01:45"), window(ALL, "12:00", "13:00"), window(0b10_1010, "03:00", "04:30")];
        let quiet = Quiet::new("q", &windows, &zone).expect("windows");
        let is_quiet = |moment: Timestamp| {
            let wall = zone.wall(moment);
            let minute = u16::from(wall.hour().unsigned_abs()) * 60 + u16::from(wall.minute().unsigned_abs());
            let today = u8::try_from(wall.weekday().to_sunday_zero_offset()).expect("small");
            let has = |window: &Window, day: u8| window.days >> day & 1 == 1;
            windows.iter().any(|window| match window.from < window.to {
                true => has(window, today) && (window.from..window.to).contains(&minute),
                false => {
                    (has(window, today) && minute >= window.from)
                        || (has(window, (today + 6) % 7) && minute < window.to)
                }
            })
        };
        let minute = |n: u64| Timestamp::from_nanos(start.nanos() + n * 60_000_000_000);
        let end_of = |n: u64| (n..).map(minute).find(|moment| !is_quiet(*moment));
        for n in 0..6 * 1440 {
            let expected = is_quiet(minute(n)).then(|| end_of(n)).flatten();
            assert_eq!(quiet.until(minute(n)), expected, "{name}, minute {n}");
        }
    }
}

#[test]
fn windows_that_cannot_be_meant_are_refused() {
    let utc = Zone::utc();
    let new = |windows: &[Window]| Quiet::new("q", windows, &utc).map(|_| ());
    assert_eq!(new(&[window(ALL, "06:00", "06:00")]), Err(QuietError::Empty { at: "06:00".to_owned() }));
    assert_eq!(new(&[window(0, "06:00", "07:00")]), Err(QuietError::NoDays));
    assert_eq!(new(&[window(ALL, "06:00", "24:01")]), Err(QuietError::BeyondDay { minute: 1441 }));
    assert_eq!(new(&[window(ALL, "00:00", "24:00")]), Err(QuietError::NoRoom));
    assert_eq!(new(&[window(ALL, "06:00", "18:00"), window(ALL, "18:00", "06:00")]), Err(QuietError::NoRoom));
    assert_eq!(new(&[window(ALL, "06:00", "05:59")]), Ok(()));
}

#[test]
fn a_schedule_needs_room_between_windows() {
    let (utc, from) = (Zone::utc(), at("2026-11-21T00:00:00Z"));
    let night = quiet(&[window(ALL, "22:00", "06:00")], "UTC");
    let day = quiet(&[window(ALL, "06:00", "22:00")], "UTC");
    let room = |text: &str, quiets: &[&Quiet], offset: u64| {
        schedule(text).has_room(quiets, from, Duration::from_secs(offset), &utc)
    };
    assert!(!room("0 3 * * *", &[&night], 0));
    assert!(room("0 3 * * *", &[&night], 3 * 3600), "its offset takes it out");
    assert!(!room("0 3 * * *", &[&night], 3 * 3600 - 1));
    assert!(room("0 3 * * *", &[&day], 0));
    assert!(!room("* * * * *", &[&day, &night], 0), "two that leave nothing");
    assert!(room("* * * * *", &[&night], 0));
    assert!(room("@reboot", &[&night], 0));
    // Only in February of a leap year: later than anybody looks, so there is no room within 400 days.
    assert!(!room("0 3 29 2 *", &[&night], 0));
    assert_eq!(quiet_until(&[&night], at("2026-11-21T12:00:00Z")), None);
    assert_eq!(quiet_until(&[&night], at("2026-11-21T23:00:00Z")), Some(at("2026-11-22T06:00:00Z")));
    let endless = quiet_until(&[&day, &night], from).expect("quiet");
    assert!(endless > at("2027-12-01T00:00:00Z"));
}
