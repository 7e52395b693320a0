//! Schedules: text in, due times out.
//!
//! In: five fields of cron or a period, a zone as a value, a moment. Out: the next due time, jitter, quiet windows, and
//! all of it in words. Not here: any clock, where zone data is found (`observe::zones`), what becomes of a due time.
//! The surprise: a job with a fixed time of day and one with a star in its minute or hour differ when clocks change. The
//! first means a moment of the day and gets exactly one; the second means the hands of the clock and follows them.

mod expr;
mod jitter;
mod next;
mod parse;
mod quiet;
mod warn;
mod words;
pub mod zone;

use std::fmt;
use std::time::Duration;

pub use expr::Expr;
pub use jitter::{JITTER_MAX, Pace, jitter_offset};
pub use parse::ExprError;
pub use quiet::{Quiet, QuietError, Window, quiet_until};
pub use warn::Warning;
pub use zone::{Shift, Zone, ZoneError};

use super::time::{Span, Timestamp};

/// When something is due: any of several expressions, a period, and maybe each boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Due whenever one of them says so; two that agree on a moment make one tick.
    pub exprs: Vec<Expr>,
    /// Due at `base`, plus this, plus this again; whole periods of elapsed time, which no zone touches.
    pub every: Option<Duration>,
    /// `@reboot`: due once per boot. No moment of its own: [`Schedule::next`] never returns it.
    pub reboot: bool,
}

impl Schedule {
    /// A schedule of one text: an expression of five fields, one of `@hourly` and its like, or `@reboot`.
    ///
    /// # Errors
    /// When the text is neither; see [`ExprError`].
    pub fn parse(text: &str) -> Result<Schedule, ExprError> {
        let mut schedule = Schedule::default();
        schedule.add(text)?;
        Ok(schedule)
    }

    /// Adds one more text to the schedule.
    ///
    /// # Errors
    /// As for [`Schedule::parse`]; the schedule is as it was.
    pub fn add(&mut self, text: &str) -> Result<(), ExprError> {
        match text.trim_matches([' ', '\t']) {
            "@reboot" => self.reboot = true,
            _ => self.exprs.push(Expr::parse(text)?),
        }
        Ok(())
    }

    /// A schedule of whole periods. One of zero is never due.
    #[must_use]
    pub fn every(period: Duration) -> Schedule {
        Schedule { every: Some(period), ..Schedule::default() }
    }

    /// The first due time strictly later than `after`; `base` is where periods are counted from.
    ///
    /// Nothing where none comes before the end of [`Timestamp`] (the year 2554), or where only boots are meant.
    #[must_use]
    pub fn next(&self, after: Timestamp, base: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let periodic = self.every.and_then(|period| next_period(after, base, period));
        self.exprs.iter().filter_map(|expr| expr.next(after, zone)).chain(periodic).min()
    }

    /// All due times later than `after` and no later than `until`, in order, each once.
    #[must_use]
    pub fn ticks<'a>(&'a self, after: Timestamp, until: Timestamp, base: Timestamp, zone: &'a Zone) -> Ticks<'a> {
        Ticks { schedule: self, zone, base, after, until }
    }

    /// How many due times lie later than `after` and no later than `until`; counting ends at `max`.
    #[must_use]
    pub fn count_between(&self, after: Timestamp, until: Timestamp, base: Timestamp, zone: &Zone, max: usize) -> usize {
        self.ticks(after, until, base, zone).take(max).count()
    }
}

/// As it would be written: the texts, divided by `; `.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.exprs.iter().map(ToString::to_string);
        let every = self.every.map(|period| format!("every {}", Span(period)));
        let reboot = self.reboot.then(|| "@reboot".to_owned());
        f.write_str(&texts.chain(every).chain(reboot).collect::<Vec<_>>().join("; "))
    }
}

/// The first `base + k * period`, k at least 1, strictly later than `after`.
fn next_period(after: Timestamp, base: Timestamp, period: Duration) -> Option<Timestamp> {
    let period = u64::try_from(period.as_nanos()).ok().filter(|nanos| *nanos > 0)?;
    let passed = after.nanos().saturating_sub(base.nanos()) / period;
    let ahead = passed.checked_add(1)?.checked_mul(period)?;
    base.nanos().checked_add(ahead).map(Timestamp::from_nanos)
}

/// Due times in order; see [`Schedule::ticks`].
#[derive(Clone, Debug)]
pub struct Ticks<'a> {
    schedule: &'a Schedule,
    zone: &'a Zone,
    base: Timestamp,
    after: Timestamp,
    until: Timestamp,
}

impl Iterator for Ticks<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let tick = self.schedule.next(self.after, self.base, self.zone).filter(|tick| *tick <= self.until);
        // Nothing comes after the end.
        self.after = tick.unwrap_or(Timestamp::from_nanos(u64::MAX));
        tick
    }
}
