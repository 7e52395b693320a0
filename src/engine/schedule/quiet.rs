//! Quiet windows: times of the week in which nothing is to start.
//!
//! In: windows as clocks show them, a zone, a moment. Out: when it is quiet no more. Not here: what then becomes of a
//! start. The surprise: a moment is quiet when the clock shows a time within a window, nothing else counts; so what a
//! clock skips in spring is never quiet, and what it shows twice in autumn is quiet twice.

use std::time::Duration;

use super::zone::{moment, seconds};
use super::{Schedule, Zone};
use crate::engine::time::Timestamp;

const DAY_MIN: u32 = 1440;
const WEEK_MIN: u32 = 7 * DAY_MIN;
/// A start has to be possible within this.
const ROOM: Duration = Duration::from_secs(400 * 86_400);
/// Steps of a search: more than windows begin and clocks change in 400 days.
const STEPS_MAX: usize = 100_000;

/// A window on some days of the week: `from` belongs to it, `to` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bits 0 to 6 for the days it starts on; 0 is Sunday.
    pub days: u8,
    /// Minute of the day it starts at, below 1440.
    pub from: u16,
    /// Minute of the day it ends at, up to 1440. Smaller than `from`: on the day after the one it starts on.
    pub to: u16,
}

/// Windows that share a name and a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    name: String,
    zone: Zone,
    /// Minutes of the week, from Sunday 00:00; sorted, apart from each other, none beyond the week.
    spans: Vec<(u32, u32)>,
}

/// Why windows cannot be what somebody meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuietError {
    /// `from` and `to` are the same.
    #[error(
        "the window starts and ends at {at}, which is either nothing or a whole day\n  help: write 00:00 to 24:00 for a whole day"
    )]
    Empty {
        /// Both, as `HH:MM`.
        at: String,
    },
    /// A time of day beyond its end.
    #[error("minute {minute} is beyond the end of a day\n  help: write 00:00 to 24:00")]
    BeyondDay {
        /// As given.
        minute: u16,
    },
    /// No day of the week.
    #[error("the window has no days\n  help: name at least one day, or leave `days` out for all")]
    NoDays,
    /// They cover the whole week.
    #[error("the windows leave no time at all\n  help: shorten one of them")]
    NoRoom,
}

impl Quiet {
    /// Windows of this name in this zone.
    ///
    /// # Errors
    /// When a window is empty or wrong, or nothing is left of the week.
    pub fn new(name: &str, windows: &[Window], zone: &Zone) -> Result<Quiet, QuietError> {
        let mut spans = Vec::new();
        for window in windows {
            check(window)?;
            let (from, to) = (u32::from(window.from), u32::from(window.to));
            let len = if from < to { to - from } else { DAY_MIN - from + to };
            for day in (0..7).filter(|day| window.days >> day & 1 == 1) {
                let start = day * DAY_MIN + from;
                spans.push((start, WEEK_MIN.min(start + len)));
                // Saturday night goes on on Sunday.
                spans.extend((start + len > WEEK_MIN).then(|| (0, start + len - WEEK_MIN)));
            }
        }
        let spans = joined(spans);
        if spans == [(0, WEEK_MIN)] {
            return Err(QuietError::NoRoom);
        }
        Ok(Quiet { name: name.to_owned(), zone: zone.clone(), spans })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The end of what is quiet at `at`, across windows that adjoin; nothing when `at` is not quiet.
    ///
    /// The end is the first later moment that is not quiet: for clocks that are set back within a window that is the
    /// end of the first pass, and the second is a window of its own.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        let start = seconds(at);
        let mut second = start;
        for _ in 0..STEPS_MAX {
            let Some(left) = self.left(second) else { break };
            let end = second + left;
            // A change of the clocks may end the window early, or prolong it.
            second = self.zone.next_shift(second).map_or(end, |shift| shift.at.min(end));
        }
        (second > start).then(|| moment(second).unwrap_or(Timestamp::from_nanos(u64::MAX)))
    }

    /// Seconds until the window that covers this second ends, by the clock as it goes now.
    fn left(&self, second: i64) -> Option<i64> {
        // 1970-01-01 was a Thursday.
        let shown = second + i64::from(self.zone.offset(second)) + 4 * 86_400;
        let of_week = shown.rem_euclid(i64::from(WEEK_MIN) * 60);
        let covers = |(from, to): &&(u32, u32)| i64::from(*from) * 60 <= of_week && of_week < i64::from(*to) * 60;
        self.spans.iter().find(covers).map(|(_, to)| i64::from(*to) * 60 - of_week)
    }
}

fn check(window: &Window) -> Result<(), QuietError> {
    let minute = window.from.max(window.to);
    if minute > 1440 || window.from == 1440 {
        return Err(QuietError::BeyondDay { minute });
    }
    if window.from == window.to {
        return Err(QuietError::Empty { at: format!("{:02}:{:02}", window.from / 60, window.from % 60) });
    }
    match window.days & 0x7f {
        0 => Err(QuietError::NoDays),
        _ => Ok(()),
    }
}

/// The same minutes, in order and without overlap.
fn joined(mut spans: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    spans.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// The first moment from `at` on that none of them covers; nothing when none covers `at`. When they take turns for ever,
/// it is a moment at least 400 days ahead.
#[must_use]
pub fn quiet_until(quiets: &[&Quiet], at: Timestamp) -> Option<Timestamp> {
    let mut end = at;
    for _ in 0..STEPS_MAX {
        let Some(later) = quiets.iter().filter_map(|quiet| quiet.until(end)).max() else { break };
        end = later;
        if at.until(end) > ROOM {
            break;
        }
    }
    (end > at).then_some(end)
}

impl Schedule {
    /// True when some due time of the next 400 days, moved by `offset`, may start.
    #[must_use]
    pub fn has_room(&self, quiets: &[&Quiet], from: Timestamp, offset: Duration, zone: &Zone) -> bool {
        let shift = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX);
        let start = |tick: Timestamp| Timestamp::from_nanos(tick.nanos().saturating_add(shift));
        let mut after = from;
        for _ in 0..STEPS_MAX {
            let Some(tick) = self.next(after, from, zone) else { return self.reboot };
            match quiet_until(quiets, start(tick)) {
                None => return true,
                Some(_) if from.until(tick) > ROOM => return self.reboot,
                // On with the first due time that starts when it is quiet no more.
                Some(end) => after = tick.max(Timestamp::from_nanos(end.nanos().saturating_sub(shift + 1))),
            }
        }
        self.reboot
    }
}
