//! Sorts out the due times that one look finds owed.
//!
//! In: a schedule, how far it has got, the present. Out: those that get a run or a row of their own, and one gap of all
//! others. Not here: whether a run may be had ([`super::ticks`]).
//! The surprise: what one look finds is judged once, however late each is by itself. So an edge such as "a minute late"
//! never runs half of a backlog, and `all` settles what its first look found before it looks at what has come since.

use std::sync::Arc;
use std::time::Duration;

use super::decide::Runs;
use super::ledger::{Cursor, Times};
use super::rule::{Missed, TimesRule};
use super::ticks::{CATCH_UP_MAX, COUNTED_MAX, LATE};
use crate::engine::mutant::Mutant;
use crate::engine::time::{Timestamp, utc};

/// A lateness up to this is nobody's concern.
const PROMPT: Duration = Duration::from_millis(1500);

/// The due times that have come, sorted out.
#[derive(Default)]
pub(super) struct Arrears {
    /// Those that get a run, or a row that says why not; oldest first.
    pub each: Vec<Due>,
    /// The others.
    pub gone: Option<Gap>,
    /// What is left of an earlier look; what has come since is looked at when that is settled.
    pub is_rest: bool,
}

/// A due time that has come.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub nominal: Timestamp,
    /// How late it is.
    pub late: Duration,
    /// It is one of several that are made up for one after another.
    pub catches_up: bool,
    /// So many before it are passed with it.
    pub stands_for: u32,
}

/// Due times in a row.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
    pub count: u32,
}

/// Sorts out every due time after the cursor that has come.
pub(super) fn arrears(runs: &Runs<'_>, rule: &TimesRule, times: &Times, cursor: &Cursor) -> Arrears {
    let facts = runs.case.facts;
    let now = facts.now.wall;
    let mut until = now.before(times.offset);
    if facts.is_off(Mutant::FiresEarly) {
        until = until.after(Duration::from_secs(3600));
    }
    let next = |after| times.schedule.next(after, cursor.since, &times.zone);
    // A due time that had come when the cursor was written last was found then, together with what was written.
    let looked = cursor.set_wall.before(times.offset);
    let is_rest = rule.missed == Missed::All && next(cursor.at).is_some_and(|at| at <= looked.min(until));
    let until = if is_rest { until.min(looked) } else { until };
    let within = rule.missed_within.max(LATE);
    let horizon = now.before(within).before(times.offset);
    let room = room(runs, rule);
    // One that comes by itself is no catching up, and takes its own way even when that is full.
    let mut owed = Owed { each: Vec::new(), gone: None, room: room.max(1) };
    let (mut after, mut counted) = (cursor.at, 0_u32);
    while let Some(nominal) = next(after).filter(|at| *at <= until) {
        after = nominal;
        counted = counted.saturating_add(1);
        owed.add(nominal);
        if counted >= COUNTED_MAX && nominal < horizon {
            // What lies further back than anything is made up for is not counted one by one for ever.
            after = horizon;
        }
    }
    let is_several = counted > 1 || is_rest;
    let Owed { mut each, mut gone, room: _ } = owed;
    let late = |at: Timestamp| at.after(times.offset).until(now);
    let catches_up = |at: Timestamp| rule.missed == Missed::All && (is_several || late(at) > LATE);
    let is_kept = |at: &Timestamp| match rule.missed {
        Missed::Skip => late(*at) <= LATE,
        Missed::Once => late(*at) <= within,
        Missed::All => late(*at) <= within && (room > 0 || !catches_up(*at)),
    };
    let gone_too = each.iter().take_while(|at| !is_kept(at)).count();
    each.drain(..gone_too).for_each(|at| pass(&mut gone, at));
    let stands_for = gone.map_or(0, |gap| gap.count);
    let due = |(place, nominal): (usize, Timestamp)| Due {
        nominal,
        late: late(nominal),
        catches_up: catches_up(nominal),
        stands_for: if place == 0 { stands_for } else { 0 },
    };
    Arrears { each: each.into_iter().enumerate().map(due).collect(), gone, is_rest }
}

/// How many get a run or a row of their own.
fn room(runs: &Runs<'_>, rule: &TimesRule) -> usize {
    let facts = runs.case.facts;
    match rule.missed {
        Missed::Once | Missed::Skip if facts.is_off(Mutant::FiresEachOwed) => CATCH_UP_MAX,
        Missed::Once | Missed::Skip => 1,
        Missed::All if facts.is_off(Mutant::CatchesUpUnbounded) => usize::MAX,
        Missed::All => {
            let waiting = runs.book.runs.values().filter(|run| run.catches_up).count();
            CATCH_UP_MAX.saturating_sub(waiting)
        }
    }
}

/// Due times as they are found: the latest few, and the gap of those before them.
struct Owed {
    each: Vec<Timestamp>,
    gone: Option<Gap>,
    room: usize,
}

impl Owed {
    fn add(&mut self, at: Timestamp) {
        self.each.push(at);
        if self.each.len() > self.room {
            pass(&mut self.gone, self.each.remove(0));
        }
    }
}

fn pass(gone: &mut Option<Gap>, at: Timestamp) {
    let gap = gone.get_or_insert(Gap { from: at, to: at, count: 0 });
    (gap.to, gap.count) = (at.max(gap.to), gap.count.saturating_add(1));
}

impl Due {
    /// In words, what a run of it is.
    pub fn words(&self) -> Arc<str> {
        let late = spoken(self.late);
        let stands = match self.stands_for {
            0 => String::new(),
            1 => ", and runs for the one before it".to_owned(),
            count => format!(", and runs for the {count} before it"),
        };
        match (self.catches_up, self.late > PROMPT) {
            (true, _) => format!("late by {late}, made up for in its turn (missed: all)").into(),
            (false, true) => format!("late by {late}{stands}").into(),
            (false, false) => format!("on time{stands}").into(),
        }
    }
}

impl Arrears {
    /// In words, why those that are gone get no run; `is_run` says whether the first of the others does.
    pub fn gone_because(&self, rule: &TimesRule, is_run: bool) -> Arc<str> {
        let within = spoken(rule.missed_within);
        let latest = self.each.first().map(|due| utc(due.nominal));
        match (rule.missed, latest) {
            (Missed::All, _) => {
                format!(
                    "nothing started it in time; over {within} ago, or more than {CATCH_UP_MAX} at once (missed: all)"
                )
            }
            (Missed::Once | Missed::Skip, Some(latest)) if is_run => {
                format!("found late, together with that of {latest}, which runs for it")
            }
            (Missed::Once | Missed::Skip, Some(latest)) => {
                format!("found late, together with that of {latest}, which would have run for it")
            }
            (Missed::Once, None) => format!("nothing started it in time, and the latest is over {within} ago"),
            (Missed::Skip, None) => "nothing started it in time, and `missed: skip` makes nothing up".to_owned(),
        }
        .into()
    }
}

/// A span as it is told, in its two largest units: `45s`, `20m 6s`, `3h 5m`, `2d 1h`.
pub(super) fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut words = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        let count = left / unit;
        left %= unit;
        if count > 0 || words.is_empty() {
            words.push(format!("{count}{name}"));
        }
    }
    words.join(" ")
}
