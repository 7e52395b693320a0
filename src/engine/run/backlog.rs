//! What has to become of due times that are found owed, for the audit.
//!
//! In: a schedule, how far it has got, the present. Out: the rule that a run for one of them, or a row, breaks.
//! Not here: deciding ([`super::arrears`]). The surprise: nothing is sorted here. Each question is put to the schedule
//! anew, in numbers of due times between two moments.

use std::time::Duration;

use super::ledger::{Book, Cursor, TickState, Times};
use super::rule::{Missed, TimesRule};
use super::ticks::{CATCH_UP_MAX, COUNTED_MAX, LATE};
use crate::engine::mutant::Mutant;
use crate::engine::name::Cause;
use crate::engine::plan::Tick;
use crate::engine::time::Timestamp;

/// A schedule with due times that have come.
pub(super) struct Backlog<'a> {
    pub rule: &'a TimesRule,
    pub times: &'a Times,
    pub cursor: &'a Cursor,
    pub book: &'a Book,
    pub now: Timestamp,
}

impl Backlog<'_> {
    fn count(&self, after: Timestamp, until: Timestamp, max: usize) -> usize {
        self.times.schedule.count_between(after, until, self.cursor.since, &self.times.zone, max)
    }

    fn late(&self, at: Timestamp) -> Duration {
        at.after(self.times.offset).until(self.now)
    }

    /// The end of what is judged at this look: of a look that is being worked off, when that was.
    fn until(&self) -> Timestamp {
        let (now, looked) = (self.now.before(self.times.offset), self.cursor.set_wall.before(self.times.offset));
        let is_rest = self.rule.missed == Missed::All && self.count(self.cursor.at, looked.min(now), 1) > 0;
        if is_rest { now.min(looked) } else { now }
    }

    /// Those that wait to be made up for.
    fn waiting(&self) -> usize {
        self.book.runs.values().filter(|run| run.catches_up).count()
    }

    /// True when a due time that has come is made up for one after another with others.
    pub fn catches_up(&self, at: Timestamp) -> bool {
        let is_of_look = at <= self.cursor.set_wall.before(self.times.offset);
        let is_several = self.count(self.cursor.at, self.until(), 2) > 1;
        self.rule.missed == Missed::All && (is_of_look || is_several || self.late(at) > LATE)
    }

    /// A run for this due time: for `all` there is room for it and those after it, else it is the latest.
    pub fn fired(&self, at: Timestamp) -> Option<Mutant> {
        let after = self.count(at, self.until(), CATCH_UP_MAX);
        match self.rule.missed {
            Missed::Once | Missed::Skip => (after > 0).then_some(Mutant::FiresEachOwed),
            Missed::All if self.catches_up(at) => {
                (after + self.waiting() >= CATCH_UP_MAX).then_some(Mutant::CatchesUpUnbounded)
            }
            Missed::All => None,
        }
    }

    /// True when the row skips one that should wait for its turn.
    pub fn is_skipped(&self, row: &Tick) -> bool {
        // The start of the machine is no due time of the clock, and nothing else is due at this very moment.
        let is_boot = self.times.schedule.reboot && row.nominal == self.now;
        let is_open = self.book.runs.contains_key(&Cause::tick(row.nominal));
        row.state == TickState::Skipped && !is_boot && !is_open && self.catches_up(row.nominal)
    }

    /// A due time after the cursor, and up to `last`, that has no row.
    pub fn uncovered(&self, rows: &[Tick], last: Timestamp) -> Option<Mutant> {
        let (schedule, zone) = (&self.times.schedule, &self.times.zone);
        let mut ticks = schedule.ticks(self.cursor.at, last, self.cursor.since, zone).take(COUNTED_MAX as usize);
        let has_row =
            |at: &Timestamp| rows.iter().any(|row| row.nominal <= *at && *at <= row.to.unwrap_or(row.nominal));
        ticks.any(|at| !has_row(&at)).then_some(Mutant::PassesInSilence)
    }

    /// This due time is called missed: it was the latest and not too late, or there was room for it.
    pub fn missed(&self, at: Timestamp) -> Option<Mutant> {
        let is_recent = self.late(at) <= self.rule.missed_within.max(LATE);
        let after = self.count(at, self.until(), CATCH_UP_MAX);
        match self.rule.missed {
            Missed::Skip => (after == 0 && self.late(at) <= LATE).then_some(Mutant::FiresEachOwed),
            Missed::Once => (after == 0 && is_recent).then_some(Mutant::FiresEachOwed),
            Missed::All => (is_recent && after + self.waiting() < CATCH_UP_MAX).then_some(Mutant::SkipsCatchUp),
        }
    }
}
