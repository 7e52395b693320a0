//! The next due time of an expression in a zone.
//!
//! In: the next matching reading of a clock (`expr`), the changes of the zone. Out: a moment. Not here: calendars.
//! The surprise: all there is about changing clocks is one loop over the changes between now and the answer. A change
//! forward leaves a gap, one back makes a fold in which every reading comes twice.

use super::expr::Expr;
use super::zone::{Shift, Zone, moment, seconds};
use crate::engine::time::Timestamp;

/// Gaps from this on make nothing up: a skipped day is skipped.
const GAP_MAX_S: i64 = 180 * 60;
/// Folds up to this are passed once by a fixed time.
const FOLD_LAST_S: i64 = -180 * 60;

impl Expr {
    /// The first due time strictly later than `after`; nothing when none comes before the year 2554.
    ///
    /// A fixed time that falls into a gap of less than 180 minutes is due at the first moment after it, and several are
    /// due there once; in a fold of at most 180 minutes it is due in the first pass. One with a star in its minute or
    /// hour is due whenever the clock shows it.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let mut at = seconds(after);
        if !self.sets.is_wildcard
            && let Some(end) = second_pass(zone, at)
        {
            at = end - 1;
        }
        // Readings later than this are looked at; a change moves it.
        let mut shown = at + i64::from(zone.offset(at));
        loop {
            let offset = i64::from(zone.offset(at));
            let wanted = self.sets.next_wall(shown)?;
            let due = wanted - offset;
            let Some(shift) = zone.next_shift(at).filter(|shift| shift.at <= due) else {
                return moment(due);
            };
            match Change::of(shift) {
                Change::Gap if !self.sets.is_wildcard && wanted < shift.at + i64::from(shift.after) => {
                    return moment(shift.at);
                }
                Change::Fold { end } if !self.sets.is_wildcard => {
                    at = end - 1;
                    shown = at + i64::from(zone.offset(at));
                }
                // The first reading after the change counts as well.
                Change::Gap | Change::Fold { .. } | Change::Leap => {
                    at = shift.at;
                    shown = at + i64::from(shift.after) - 1;
                }
            }
        }
    }
}

/// What a change of an offset is to a fixed time of day.
pub(super) enum Change {
    /// Readings that never come.
    Gap,
    /// Readings that come twice; the second pass ends at this second.
    Fold { end: i64 },
    /// Too large to make up for.
    Leap,
}

impl Change {
    /// What a change is, by its size.
    pub(super) fn of(shift: &Shift) -> Change {
        match shift.forward() {
            0..GAP_MAX_S => Change::Gap,
            forward @ FOLD_LAST_S..0 => Change::Fold { end: shift.at - forward },
            _ => Change::Leap,
        }
    }
}

/// The end of the second pass that a second lies in.
fn second_pass(zone: &Zone, second: i64) -> Option<i64> {
    match Change::of(zone.last_shift(second)?) {
        Change::Fold { end } => (second < end).then_some(end),
        Change::Gap | Change::Leap => None,
    }
}
