//! An expression as five sets of numbers, and the search for the next reading of a clock that is in all of them.
//!
//! In: a reading of a clock, as if it were UTC. Out: the next that matches. Not here: zones (`next`), text (`parse`).
//! The surprise: days are found a month at a time, as the bits of one word, so a yearly job is found in a few steps.

use std::fmt;
use std::sync::Arc;

use super::zone::wall;

/// No reading of a clock later than our time is looked for.
const YEAR_MAX: i16 = 2555;

/// Five fields of cron, read. Equal when they were written alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// As written, with one space between fields.
    pub(super) text: Arc<str>,
    pub(super) sets: Sets,
}

/// The numbers of each field as bits, and which fields began with `*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    /// Bits 0 to 59.
    pub minutes: u64,
    /// Bits 0 to 23.
    pub hours: u64,
    /// Bits 1 to 31.
    pub days: u64,
    /// Bits 1 to 12.
    pub months: u64,
    /// Bits 0 to 6; 0 is Sunday.
    pub weekdays: u64,
    /// The minute or the hour field began with `*`: it follows the clock, whatever is done to it.
    pub is_wildcard: bool,
    /// Both fields of days are restricted, so that either will do; else both have to match.
    pub is_either_day: bool,
}

impl Expr {
    /// True when its minute or hour begins with `*`: such a job follows the clock when it is changed, while one with a
    /// fixed time of day runs exactly once for it.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.sets.is_wildcard
    }
}

/// As written, with one space between fields.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Sets {
    /// The first matching minute strictly later than `after`; both are readings of a clock, in seconds as if UTC.
    pub(super) fn next_wall(&self, after: i64) -> Option<i64> {
        let minute = after.div_euclid(60) + 1;
        let mut day = minute.div_euclid(1440);
        let date = wall(day * 86_400, 0).date();
        // Only the first day begins in its middle.
        let mut from = minute.rem_euclid(1440).unsigned_abs();
        let mut month = Month { year: date.year(), month: date.month().unsigned_abs() };
        let mut first = day - i64::from(date.day() - 1);
        while month.year <= YEAR_MAX {
            let mut days = self.days_of(month, first) >> (day - first);
            while days != 0 {
                let skipped = i64::from(days.trailing_zeros());
                from = if skipped == 0 { from } else { 0 };
                day += skipped;
                if let Some(found) = self.next_in_day(from) {
                    return Some(day * 86_400 + found * 60);
                }
                days = (days >> skipped) >> 1;
                (day, from) = (day + 1, 0);
            }
            first += i64::from(month.len());
            (month, day, from) = (month.next(), first, 0);
        }
        None
    }

    /// The days of a month that match, the first of it as bit 0; `first` is the number of that day since 1970.
    fn days_of(&self, month: Month, first: i64) -> u64 {
        if self.months & (1 << month.month) == 0 {
            return 0;
        }
        // 1970-01-01 was a Thursday.
        let weekday = (first + 4).rem_euclid(7);
        let week = self.weekdays;
        let weeks = week | week << 7 | week << 14 | week << 21 | week << 28 | week << 35;
        let (by_week, by_month) = (weeks >> weekday, self.days >> 1);
        let both = if self.is_either_day { by_week | by_month } else { by_week & by_month };
        both & ((1 << month.len()) - 1)
    }

    /// The first matching minute of a day that is no earlier than `from`.
    fn next_in_day(&self, from: u64) -> Option<i64> {
        let (hour, minute) = (from / 60, from % 60);
        let rest = self.minutes >> minute << minute;
        if self.hours >> hour & 1 == 1 && rest != 0 {
            return Some((hour * 60).cast_signed() + i64::from(rest.trailing_zeros()));
        }
        let later = self.hours >> hour >> 1;
        let hour = hour + 1 + u64::from(later.trailing_zeros());
        (later != 0).then(|| (hour * 60).cast_signed() + i64::from(self.minutes.trailing_zeros()))
    }

    /// True when it comes at all. A weekday always does, and each date falls on each weekday, the 29th of February too.
    pub(super) fn ever_comes(&self) -> bool {
        self.is_either_day || self.has_date()
    }

    /// True when some month has one of the days.
    pub(super) fn has_date(&self) -> bool {
        let has_day = |month: u8| {
            let leap = Month { year: 2000, month };
            self.months & (1 << month) != 0 && self.days >> 1 & ((1 << leap.len()) - 1) != 0
        };
        (1..=12).any(has_day)
    }
}

#[derive(Clone, Copy)]
struct Month {
    year: i16,
    /// 1 to 12.
    month: u8,
}

impl Month {
    fn len(self) -> u8 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn next(self) -> Month {
        match self.month {
            12 => Month { year: self.year + 1, month: 1 },
            month => Month { month: month + 1, ..self },
        }
    }
}
