//! Every minute is asked whether it is due, by the definition; what the search answers must be the first that is.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Timelike};
use jiff::tz::TimeZoneDatabase;
use setpoint::engine::Timestamp;
use setpoint::engine::schedule::{Expr, Zone};

use crate::{second, zone};

const DAY: i64 = 86_400;

/// Five sets read by the plainest code there is.
struct Plain {
    fields: Vec<BTreeSet<u32>>,
    stars: Vec<bool>,
}

impl Plain {
    fn read(text: &str) -> Plain {
        let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let parts: Vec<&str> = text.split_whitespace().collect();
        let fields = parts.iter().zip(ranges).map(|(part, range)| Plain::field(part, range)).collect();
        Plain { fields, stars: parts.iter().map(|part| part.starts_with('*')).collect() }
    }

    fn field(text: &str, (min, max): (u32, u32)) -> BTreeSet<u32> {
        let names = "SUN0MON1TUE2WED3THU4FRI5SAT6JAN1FEB2MAR3APR4MAY5JUN6JUL7AUG8SEP9OCT10NOV11DEC12";
        let number = |word: &str| -> u32 {
            word.parse().unwrap_or_else(|_| {
                let start = names.find(&word.to_uppercase()).expect("a name") + 3;
                let digits: String = names[start..].chars().take_while(char::is_ascii_digit).collect();
                digits.parse().expect("a number")
            })
        };
        let mut found = BTreeSet::new();
        for item in text.split(',') {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (min, if max == 7 { 6 } else { max }),
                Some((from, to)) => (number(from), number(to)),
                None => (number(range), number(range)),
            };
            let to = if max == 7 && to == 0 && from > 0 { 7 } else { to };
            let mut value = from;
            while value <= to {
                found.insert(if max == 7 { value % 7 } else { value });
                value += step.parse::<u32>().expect("a step");
            }
        }
        found
    }

    fn is_wildcard(&self) -> bool {
        self.stars[0] || self.stars[1]
    }

    fn shows(&self, wall: &Wall) -> bool {
        let has = |field: usize, number: u32| self.fields[field].contains(&number);
        let (day, weekday) = (has(2, wall.day), has(4, wall.weekday));
        let is_day = if self.stars[2] || self.stars[4] { day && weekday } else { day || weekday };
        has(0, wall.minute) && has(1, wall.hour) && has(3, wall.month) && is_day
    }
}

/// What a clock shows.
struct Wall {
    minute: u32,
    hour: u32,
    day: u32,
    month: u32,
    /// 0 is Sunday.
    weekday: u32,
}

impl Wall {
    fn of(local: i64) -> Wall {
        let time = DateTime::from_timestamp(local, 0).expect("a time");
        Wall {
            minute: time.minute(),
            hour: time.hour(),
            day: time.day(),
            month: time.month(),
            weekday: time.weekday().num_days_from_sunday(),
        }
    }
}

/// One minute of the world, and what clocks of a zone do in it.
struct Minute {
    at: i64,
    wall: Wall,
    /// Readings that a gap of less than 180 minutes jumps over at this moment.
    skipped: Vec<Wall>,
    /// Within the second pass of a fold of at most 180 minutes.
    is_second: bool,
}

/// All minutes from one moment on and before another.
fn minutes(tz: &jiff::tz::TimeZone, from: i64, to: i64) -> Vec<Minute> {
    let offset = |at: i64| i64::from(tz.to_offset(jiff::Timestamp::from_second(at).expect("a time")).seconds());
    // A second pass may have begun before.
    let start = (from - DAY).div_euclid(60) * 60;
    let (mut before, mut second_until) = (offset(start), i64::MIN);
    let mut all = Vec::new();
    for at in (start..to).step_by(60) {
        let now = offset(at);
        assert_eq!(now % 60, 0, "whole minutes alone");
        let change = now - before;
        let mut skipped = Vec::new();
        if change > 0 && change < 180 * 60 {
            skipped = (at + before..at + now).step_by(60).map(Wall::of).collect();
        }
        if (-180 * 60..0).contains(&change) {
            second_until = at - change;
        }
        before = now;
        if at >= from {
            all.push(Minute { at, wall: Wall::of(at + now), skipped, is_second: at < second_until });
        }
    }
    all
}

/// All due times, by the definition.
fn due(plain: &Plain, minutes: &[Minute]) -> Vec<i64> {
    let is_due = |minute: &&Minute| {
        let is_made_up = !plain.is_wildcard() && minute.skipped.iter().any(|wall| plain.shows(wall));
        let is_shown = plain.shows(&minute.wall) && (plain.is_wildcard() || !minute.is_second);
        is_made_up || is_shown
    };
    minutes.iter().filter(is_due).map(|minute| minute.at).collect()
}

/// A small generator: the same cases in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).expect("small")).expect("small")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One field, with hours and minutes at which clocks change more often than others.
    fn field(&mut self, min: usize, max: usize, favourites: &[usize], names: &[&str]) -> String {
        let one = |dice: &mut Dice| match dice.below(3) {
            0 => min + dice.below(max - min + 1),
            _ => dice.pick(favourites),
        };
        let (a, b) = (one(self), one(self));
        let (low, high) = (a.min(b), a.max(b));
        match self.below(10) {
            0 | 1 => "*".to_owned(),
            2 => format!("*/{}", 1 + self.below(max)),
            3 => format!("{low}-{high}/{}", 1 + self.below(5)),
            4 => format!("{low}-{high}"),
            5 => format!("{a},{b}"),
            6 => format!("*,{a}"),
            7 if !names.is_empty() => self.pick(names).to_owned(),
            _ => a.to_string(),
        }
    }

    fn expression(&mut self) -> String {
        let minute = self.field(0, 59, &[0, 15, 29, 30, 31, 45, 59], &[]);
        let hour = self.field(0, 23, &[0, 1, 2, 3, 4, 22, 23], &[]);
        let is_daily = self.below(2) == 0;
        let day = if is_daily { "*".to_owned() } else { self.field(1, 31, &[1, 13, 28, 29, 30, 31], &[]) };
        let month = if is_daily { "*".to_owned() } else { self.field(1, 12, &[3, 4, 10, 11], &["jan", "Mar", "OCT"]) };
        let names = ["SUN", "mon", "Sat", "FRI-SUN", "mon-FRI", "5-0", "SAT,sun"];
        let weekday = if is_daily { "*".to_owned() } else { self.field(0, 7, &[0, 5, 6, 7], &names) };
        [minute, hour, day, month, weekday].join(" ")
    }
}

/// Zones with changes of every kind: of 15, 20, 30, 60, 120 and 180 minutes, at midnight, of a whole day.
const ZONES: &[&str] = &[
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Antarctica/Vostok",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "UTC",
];

/// Compares what is found for many moments of a window with what is due in it; answers with the number of cases.
fn compare(text: &str, zone: &Zone, minutes: &[Minute], moments: &[i64], dice: &mut Dice) -> usize {
    let Ok(expr) = Expr::parse(text) else {
        let never = Expr::parse(text).expect_err("an error").to_string();
        assert!(never.contains("never fires"), "{text}: {never}");
        return 0;
    };
    let due = due(&Plain::read(text), minutes);
    let end = minutes.last().expect("minutes").at;
    for moment in moments {
        // Parts of a second must not matter.
        let nanos = dice.pick(&[0, 0, 1, 999_999_999]);
        let after = Timestamp::from_nanos(second(*moment).nanos() + nanos);
        let expected = due.iter().find(|due| *due > moment).copied();
        let found = expr.next(after, zone).map(|found| i64::try_from(found.nanos() / 1_000_000_000).expect("small"));
        let is_same = match expected {
            Some(expected) => found == Some(expected),
            // Nothing more in the window: what is found lies behind it.
            None => found.is_none_or(|found| found > end),
        };
        assert!(is_same, "`{text}` in {} after {moment}.{nanos}: due {expected:?}, found {found:?}", zone.name());
    }
    moments.len()
}

/// The moments at which something could go wrong, and some others.
fn moments(change: i64, from: i64, to: i64, dice: &mut Dice) -> Vec<i64> {
    let near = [-7201, -3601, -3600, -1801, -61, -60, -1, 0, 1, 59, 60, 1799, 1800, 3540, 3599, 3600, 3601, 7199, 7200];
    let mut all: Vec<i64> = near.iter().map(|near| change + near).collect();
    let len = usize::try_from(to - from).expect("a window");
    all.extend((0..11).map(|_| from + i64::try_from(dice.below(len)).expect("small")));
    all.retain(|moment| *moment >= from);
    all
}

#[test]
fn the_search_finds_what_counting_minutes_finds() {
    let mut dice = Dice(0x5e7_9017);
    let bundled = TimeZoneDatabase::bundled();
    let (mut cases, mut changes) = (0, 0);
    for name in ZONES {
        let (tz, zone) = (bundled.get(name).expect("a zone"), zone(name));
        let first = jiff::Timestamp::from_second(2 * 365 * DAY + DAY).expect("a time");
        let all: Vec<i64> = tz.following(first).take(160).map(|change| change.timestamp().as_second()).collect();
        // Some twenty of them, and a new year. An odd step, since gaps and folds take turns.
        let every = all.len().div_ceil(20) | 1;
        let chosen: Vec<i64> = all.iter().copied().step_by(every).chain([1_767_225_600]).collect();
        for change in chosen {
            let (from, to) = (change - 2 * DAY, change + 3 * DAY);
            let minutes = minutes(&tz, from, to);
            changes += usize::from(zone.shifts(from, to).iter().any(|shift| shift.at == change));
            for _ in 0..14 {
                let text = dice.expression();
                let moments = moments(change, from, to, &mut dice);
                cases += compare(&text, &zone, &minutes, &moments, &mut dice);
            }
        }
    }
    assert!(cases >= 100_000, "{cases} cases at {changes} changes");
    assert!(changes >= 300, "{changes} changes");
}

#[test]
fn rare_dates_are_found_years_ahead() {
    let mut dice = Dice(7);
    let bundled = TimeZoneDatabase::bundled();
    for name in ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"] {
        let (tz, zone) = (bundled.get(name).expect("a zone"), zone(name));
        // 2014-11-21, and seven years on: two leap days, and the years in which Sao Paulo gave up changing clocks.
        let (from, to) = (1_416_528_000, 1_416_528_000 + 7 * 365 * DAY);
        let minutes = minutes(&tz, from, to);
        for text in [
            "0 0 29 2 *",
            "30 2 29 2 */2",
            "0 0 1 1 *",
            "@yearly",
            "30 2 25-31 3 0",
            "30 2 25-31 */3 */7",
            "0 0 13 * 5",
            "13 * 5 * *",
            "*/7 0 31 */2 *",
            "59 23 31 12 *",
            "0-30/10 0 * 10,11 0",
        ] {
            let plain = if text == "@yearly" { "0 0 1 1 *" } else { text };
            let due = due(&Plain::read(plain), &minutes);
            assert!(!due.is_empty(), "{text}");
            let parsed = Expr::parse(text).expect("an expression");
            for _ in 0..300 {
                let moment = from + i64::try_from(dice.below(7 * 365 * 86_400)).expect("small");
                let expected = due.iter().find(|due| **due > moment).copied();
                let found = parsed.next(second(moment), &zone).expect("some day");
                match expected {
                    Some(expected) => assert_eq!(found, second(expected), "{text} in {name} after {moment}"),
                    None => assert!(found >= second(to), "{text} in {name} after {moment}"),
                }
            }
        }
    }
}
