//! Schedules in plain English.
//!
//! In: sets of numbers. Out: half a sentence, such as "at 03:00 on Monday to Friday". Not here: the text as written.
//! The surprise: it is told from the numbers and not from the text, so it shows what is meant and not what was hoped:
//! `*/40` is "at minutes 0 and 40 of every hour", not every 40 minutes.

use super::Schedule;
use super::expr::{Expr, Sets};
use crate::engine::time::Span;

/// More times of day than this are told as minutes and hours.
const TIMES_MAX: u32 = 8;
/// From so many on, numbers with equal distances are not listed.
const EVEN_MIN: u32 = 6;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Schedule {
    /// When it is due, as half a sentence: "at 03:00 on Monday to Friday".
    #[must_use]
    pub fn words(&self) -> String {
        let every = self.every.map(|period| format!("every {}, counted from the first apply", Span(period)));
        let boot = self.reboot.then(|| "once after each boot".to_owned());
        let parts: Vec<String> = self.exprs.iter().map(Expr::words).chain(every).chain(boot).collect();
        if parts.is_empty() { "never".to_owned() } else { parts.join("; and ") }
    }
}

impl Expr {
    /// When it is due, as half a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let sets = &self.sets;
        let time = time(sets);
        let days = Days::of(sets);
        let day = match days {
            // Without it, `at 03:00` would leave open when.
            Days::All if time.starts_with("at ") && !time.contains("every") => " every day".to_owned(),
            Days::All => String::new(),
            Days::Weekdays => format!(" on {}", weekdays(sets)),
            Days::Dates => format!(" on {}", dates(sets)),
            Days::Either => format!(" on {} of the month and on every {}", days_of_month(sets), weekdays(sets)),
            Days::Both => format!(" on {} when that is {}", weekdays(sets), days_of_month(sets)),
        };
        let month = match (months(sets), days) {
            (None, _) | (Some(_), Days::Dates) => String::new(),
            (Some(names), Days::Either) => format!(", in {names}"),
            (Some(names), Days::All | Days::Weekdays | Days::Both) => format!(" in {names}"),
        };
        format!("{time}{day}{month}")
    }
}

/// Which days are meant.
#[derive(Clone, Copy)]
pub(super) enum Days {
    All,
    Weekdays,
    Dates,
    /// A weekday or a date.
    Either,
    /// A weekday that is a date.
    Both,
}

impl Days {
    pub(super) fn of(sets: &Sets) -> Days {
        match (sets.days == all(1, 31), sets.weekdays == all(0, 6)) {
            (true, true) => Days::All,
            // One that names every day is enough.
            (true, false) | (false, true) if sets.is_either_day => Days::All,
            (true, false) => Days::Weekdays,
            (false, true) => Days::Dates,
            (false, false) if sets.is_either_day => Days::Either,
            (false, false) => Days::Both,
        }
    }
}

fn all(from: u32, to: u32) -> u64 {
    (from..=to).fold(0, |bits, number| bits | 1 << number)
}

fn numbers(bits: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |number| bits >> number & 1 == 1)
}

/// The width of the steps when a set is 0, n, 2n and so on without a rest.
fn step(bits: u64, len: u32) -> Option<u32> {
    let width = numbers(bits).nth(1)?;
    let is_step = len.is_multiple_of(width) && numbers(bits).eq((0..len).step_by(usize::try_from(width).unwrap_or(1)));
    (is_step && width > 1).then_some(width)
}

/// The first and last of a set without holes.
fn range(bits: u64) -> Option<(u32, u32)> {
    let (first, last) = (numbers(bits).next()?, numbers(bits).last()?);
    (all(first, last) == bits).then_some((first, last))
}

fn time(sets: &Sets) -> String {
    let (minutes, hours) = (sets.minutes, sets.hours);
    let (every_minute, every_hour) = (minutes == all(0, 59), hours == all(0, 23));
    let hour_range = range(hours).filter(|_| !every_hour);
    let last_minute = numbers(minutes).last().unwrap_or(0);
    match (step(minutes, 60), hour_range) {
        _ if every_minute && every_hour => "every minute".to_owned(),
        (None, Some((from, to))) if every_minute => format!("every minute from {from:02}:00 to {to:02}:59"),
        _ if every_minute => format!("every minute of {}", hours_of(hours)),
        (Some(width), _) if every_hour => format!("every {width} minutes"),
        (Some(width), Some((from, to))) if from < to => {
            format!("every {width} minutes from {from:02}:00 to {to:02}:{last_minute:02}")
        }
        _ if every_hour || step(hours, 24).is_some() => hourly(minutes, step(hours, 24)),
        (_, Some((from, to))) if minutes.count_ones() == 1 && to - from > 1 => {
            format!("every hour from {from:02}:{last_minute:02} to {to:02}:{last_minute:02}")
        }
        _ if minutes.count_ones() * hours.count_ones() <= TIMES_MAX => {
            let times =
                numbers(hours).flat_map(|hour| numbers(minutes).map(move |minute| format!("{hour:02}:{minute:02}")));
            format!("at {}", list(times.collect()))
        }
        _ => format!("at {} of {}", minutes_of(minutes), hours_of(hours)),
    }
}

fn hourly(minutes: u64, width: Option<u32>) -> String {
    let hours = width.map_or("every hour".to_owned(), |width| format!("every {width} hours from 00:00"));
    match (minutes.count_ones(), numbers(minutes).next()) {
        (1, Some(0)) => format!("{hours}, on the hour").replace(" from 00:00, on the hour", " from 00:00"),
        _ if width.is_none() => format!("at {} of {hours}", minutes_of(minutes)),
        _ => format!("at {}, {hours}", minutes_of(minutes)),
    }
}

fn minutes_of(bits: u64) -> String {
    named("minute", bits)
}

fn hours_of(bits: u64) -> String {
    named("hour", bits).replace("hour", "the hour")
}

/// "minute 5", "minutes 0, 5 and 7 to 9".
fn named(noun: &str, bits: u64) -> String {
    let plural = if bits.count_ones() == 1 { "" } else { "s" };
    format!("{noun}{plural} {}", runs(bits, |number| number.to_string()))
}

/// Days of the week, from Monday on: "Monday to Friday".
pub(super) fn weekdays(sets: &Sets) -> String {
    // From Sunday as 0 to Monday as 0.
    let from_monday = sets.weekdays >> 1 | (sets.weekdays & 1) << 6;
    runs(from_monday, |day| name(&WEEKDAYS, day))
}

/// Days of the month: "the 1st and 15th".
pub(super) fn days_of_month(sets: &Sets) -> String {
    format!("the {}", runs(sets.days, ordinal))
}

/// Days of the month with the months they are in: "the 1st of the month", "the 29th of February".
fn dates(sets: &Sets) -> String {
    match months(sets) {
        Some(names) => format!("{} of {names}", days_of_month(sets)),
        None => format!("{} of the month", days_of_month(sets)),
    }
}

fn months(sets: &Sets) -> Option<String> {
    (sets.months != all(1, 12)).then(|| runs(sets.months >> 1, |month| name(&MONTHS, month)))
}

fn name(names: &[&str], index: u32) -> String {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    names.get(index).copied().unwrap_or_default().to_owned()
}

fn ordinal(number: u32) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// The numbers of a set in words, three and more in a row as "a to b", many with equal distances as such.
fn runs(bits: u64, word: impl Fn(u32) -> String) -> String {
    if let [first, second, third, .., last] = *numbers(bits).collect::<Vec<_>>()
        && bits.count_ones() >= EVEN_MIN
        && second - first > 1
        && numbers(bits).zip(numbers(bits).skip(1)).all(|(low, high)| high - low == second - first)
    {
        return format!("{}, {}, {} and so on to {}", word(first), word(second), word(third), word(last));
    }
    let mut parts = Vec::new();
    let mut rest = bits;
    while rest != 0 {
        let from = rest.trailing_zeros();
        let len = (rest >> from).trailing_ones();
        match len {
            1 | 2 => parts.push(word(from)),
            _ => parts.push(format!("{} to {}", word(from), word(from + len - 1))),
        }
        let taken = if len > 2 { len } else { 1 };
        rest &= !(all(0, taken - 1) << from);
    }
    list(parts)
}

/// "a", "a and b", "a, b and c".
fn list(mut parts: Vec<String>) -> String {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => String::new(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} and {last}", parts.join(", ")),
    }
}
