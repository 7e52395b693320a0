//! What becomes of due times: one decision for each, or one for a gap of many.
//!
//! In: a schedule worked out, how far it has got, the present. Out: runs to be made, and rows that say why there is
//! none. Not here: the schedule ([`crate::engine::schedule`]), whether a run may start now ([`super::decide`]).
//! The surprise: a due time is settled by moving the cursor past it in the same write that makes its run or says why
//! not. What the cursor has passed is never looked at again, so a pass asks for one such write and the next follows its
//! answer: of two at once the first could fail, and the second would pass what it should have settled.

use std::sync::Arc;
use std::time::Duration;

use super::arrears::{Due, arrears};
use super::decide::{Runs, held, refused};
use super::ledger::{Cursor, Next, Origin, SCHEDULE, TickState, Times};
use super::rule::{OnQuiet, Overlap, TimesRule};
use crate::engine::converge::{Draft, wait};
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::plan::{Action, Decision, Fire, Note, Owed, Reason, Tick};
use crate::engine::time::{Now, Timestamp};

/// Later than this, a due time counts as missed.
pub const LATE: Duration = Duration::from_secs(60);

/// A larger step of the wall clock starts schedules afresh.
pub const STEP_MAX: Duration = Duration::from_secs(3 * 3600);

/// The most runs made up for one gap.
pub const CATCH_UP_MAX: usize = 100;

/// The most due times of one gap that are counted; a longer gap says "at least".
pub const COUNTED_MAX: u32 = 10_000;

/// The next due time after the cursor.
#[must_use]
pub fn next(times: &Times, cursor: &Cursor) -> Option<Next> {
    let nominal = times.schedule.next(cursor.at, cursor.since, &times.zone)?;
    Some(Next { nominal, effective: nominal.after(times.offset) })
}

/// The end of the quiet hours that cover this moment, and their name.
#[must_use]
pub fn quiet_until(times: &Times, at: Timestamp) -> Option<(Timestamp, Arc<str>)> {
    let ends = times.quiet.iter().filter_map(|quiet| Some((quiet.until(at)?, Arc::from(quiet.name()))));
    ends.max_by_key(|(until, _)| *until)
}

/// Decides about everything that is due by the schedule of one object.
pub(super) fn decide(runs: &Runs<'_>, rule: &TimesRule, draft: &mut Draft) {
    let facts = runs.case.facts;
    let id = runs.id(&Cause::schedule());
    match standing(runs, rule, draft) {
        Standing::Wait(reason) => draft.push(facts, wait(id, reason)),
        Standing::Act(note, reason) => {
            let decision = Decision { id, action: Some(Action::Note(Box::new(note))), because: reason };
            draft.push(facts, decision);
        }
        Standing::Due(times, cursor) => {
            let settled = reboot(runs, rule, times, cursor, draft);
            let mut settled: Vec<Decision> = settled.into_iter().collect();
            if settled.is_empty() {
                settled = due(runs, rule, times, cursor, draft);
            }
            if settled.is_empty() {
                let reason = upcoming(runs, times, draft_next(runs, times, cursor), draft);
                // What keeps it from running at its next due time is what a person wants to hear now.
                let reason = held(runs, true, draft).unwrap_or(reason);
                draft.push(facts, wait(id, reason));
            }
            settled.into_iter().for_each(|decision| draft.push(facts, decision));
        }
    }
}

fn draft_next(runs: &Runs<'_>, times: &Times, cursor: &Cursor) -> Option<Next> {
    runs.book.next.or_else(|| next(times, cursor))
}

fn upcoming(runs: &Runs<'_>, times: &Times, next: Option<Next>, draft: &mut Draft) -> Reason {
    let Some(next) = next else {
        return if times.schedule.reboot { Reason::AtBoot } else { Reason::NeverAgain };
    };
    draft.wake_wall(runs.case.facts, Mutant::ForgetDue, next.effective);
    Reason::Scheduled { next }
}

/// Where a schedule stands before any due time is looked at.
enum Standing<'a> {
    Wait(Reason),
    Act(Note, Reason),
    Due(&'a Times, &'a Cursor),
}

fn standing<'a>(runs: &'a Runs<'_>, rule: &TimesRule, draft: &mut Draft) -> Standing<'a> {
    let facts = runs.case.facts;
    if runs.book.writing.iter().any(is_of_schedule) {
        return Standing::Wait(Reason::Writing);
    }
    if let Some(reason) = refused(facts, runs.book.refused.as_ref(), draft) {
        return Standing::Wait(reason);
    }
    let times = match &runs.book.times {
        None => return Standing::Wait(Reason::Blind { why: "its due times have not been worked out yet".into() }),
        Some(Err(why)) => return Standing::Wait(Reason::Blind { why: why.clone() }),
        Some(Ok(times)) => times,
    };
    let key = key(runs, rule, times);
    let uid = runs.case.object.uid.clone();
    let known = runs.book.cursor.as_ref().filter(|cursor| cursor.uid == uid && cursor.key == key);
    let Some(cursor) = known.or(runs.book.cursor.as_ref().filter(|_| facts.is_off(Mutant::KeepsOldCursor))) else {
        let is_off = facts.is_off(Mutant::FiresBeforeKnown);
        let since = if is_off { facts.now.wall.before(STEP_MAX) } else { facts.now.wall };
        // The same schedule, switched off, paused or back again, is as old as it was.
        let same = runs.book.cursor.as_ref().filter(|cursor| cursor.uid == uid && base(&cursor.key) == &*times.key);
        // Periods are counted from a moment that has been, also when the clock was set back.
        let known_since = same.map_or(facts.now.wall, |cursor| cursor.since.min(facts.now.wall));
        let reason = if key.ends_with("+spent") { Reason::Spent } else { Reason::Registered };
        let cursor = Cursor { at: since, ..fresh(uid, key, known_since, facts.now) };
        return Standing::Act(Note { ticks: Vec::new(), cursor }, reason);
    };
    if let Some(said) = stepped(cursor, facts.now) {
        let tick = Tick { nominal: facts.now.wall, to: None, count: 1, state: TickState::ClockStep, why: said };
        let cursor = fresh(uid, key, cursor.since.min(facts.now.wall), facts.now);
        return Standing::Act(Note { ticks: vec![tick], cursor }, Reason::ClockStepped);
    }
    if !rule.is_enabled {
        return Standing::Wait(Reason::Disabled);
    }
    if rule.is_once && runs.book.is_spent && !facts.is_off(Mutant::OnceAgain) {
        return Standing::Wait(Reason::Spent);
    }
    Standing::Due(times, cursor)
}

/// What is being written about due times: their causes begin with a digit, and `boot-`.
fn is_of_schedule(cause: &Cause) -> bool {
    match cause {
        Cause::Slot(_) => false,
        Cause::Named(text) => {
            &**text == SCHEDULE || text.starts_with("boot-") || text.starts_with(|c: char| c.is_ascii_digit())
        }
    }
}

/// What a cursor belongs to. Being switched off, paused or spent is part of it, so that coming back starts afresh.
fn key(runs: &Runs<'_>, rule: &TimesRule, times: &Times) -> Arc<str> {
    let paused = runs.case.object.overrides.paused.as_ref();
    let is_paused = !runs.case.facts.desired.is_draining
        && paused.is_some_and(|pause| pause.until.is_none_or(|until| runs.case.facts.now.wall < until));
    if rule.is_enabled && rule.is_once && runs.book.is_spent && !runs.case.facts.is_off(Mutant::OnceAgain) {
        return format!("{}+spent", times.key).into();
    }
    match (rule.is_enabled, is_paused) {
        (true, false) => times.key.clone(),
        (true, true) => format!("{}+paused", times.key).into(),
        (false, _) => format!("{}+off", times.key).into(),
    }
}

/// A key without what it says of being switched off or paused.
fn base(key: &str) -> &str {
    key.split('+').next().unwrap_or_default()
}

fn fresh(uid: Arc<str>, key: Arc<str>, since: Timestamp, now: &Now) -> Cursor {
    Cursor { uid, key, since, at: now.wall, set_wall: now.wall, set_boot: now.boot, boot_id: now.boot_id.clone() }
}

/// The cursor at a due time that is settled.
fn moved(cursor: &Cursor, at: Timestamp, now: &Now) -> Cursor {
    Cursor { at: at.max(cursor.at), ..fresh(cursor.uid.clone(), cursor.key.clone(), cursor.since, now) }
}

/// In words how the wall clock was set, if by so much that nobody can say what was missed.
fn stepped(cursor: &Cursor, now: &Now) -> Option<Arc<str>> {
    let span = crate::engine::time::Span;
    let back = now.wall.until(cursor.set_wall);
    if cursor.boot_id != now.boot_id {
        // Over a boot only a step back can be told from the time that the machine was off.
        return (back >= STEP_MAX).then(|| format!("the clock was set back by about {}", span(whole(back))).into());
    }
    let passed = now.boot.since(cursor.set_boot);
    let expected = cursor.set_wall.after(passed);
    let (ahead, behind) = (expected.until(now.wall), now.wall.until(expected));
    if ahead >= STEP_MAX {
        return Some(format!("the clock was set ahead by {}", span(whole(ahead))).into());
    }
    (behind >= STEP_MAX).then(|| format!("the clock was set back by {}", span(whole(behind))).into())
}

fn whole(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

/// The run of a start of the machine, or why there is none.
fn reboot(runs: &Runs<'_>, rule: &TimesRule, times: &Times, cursor: &Cursor, draft: &mut Draft) -> Option<Decision> {
    let facts = runs.case.facts;
    if !times.schedule.reboot || cursor.boot_id == facts.now.boot_id {
        return None;
    }
    let short: String = facts.now.boot_id.as_str().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let cause = Cause::Named(format!("boot-{short}").into());
    // The cursor stays where it is: what passed while the machine was off is another question.
    let cursor = moved(cursor, cursor.at, facts.now);
    let nominal = facts.now.wall;
    let boot = Due { nominal, late: Duration::ZERO, catches_up: false, stands_for: 0 };
    Some(match one(runs, rule, times, &boot, draft) {
        Settled::Run { state: _, why: _, due } => {
            let owed = Owed { origin: Origin::Tick(nominal), due, catches_up: false };
            let uid = runs.case.object.uid.clone();
            let fire = Fire { tick: None, passed: Vec::new(), run: owed, uid, cursor: Some(cursor) };
            Decision { id: runs.id(&cause), action: Some(Action::Fire(Box::new(fire))), because: Reason::Due }
        }
        Settled::Nothing { state, why } => note(runs, vec![Tick { nominal, to: None, count: 1, state, why }], cursor),
    })
}

/// What is written next: at most one run, together with rows for all that is settled before it without one.
fn due(runs: &Runs<'_>, rule: &TimesRule, times: &Times, cursor: &Cursor, draft: &mut Draft) -> Vec<Decision> {
    let facts = runs.case.facts;
    let now = facts.now.wall;
    let is_none = draft_next(runs, times, cursor).is_none_or(|next| now < next.effective);
    if is_none && !facts.is_off(Mutant::FiresEarly) {
        return Vec::new();
    }
    let arrears = arrears(runs, rule, times, cursor);
    let mut rows: Vec<Tick> = Vec::new();
    let mut run = None;
    for due in &arrears.each {
        let nominal = due.nominal;
        match one(runs, rule, times, due, draft) {
            Settled::Run { state, why, due: start } => {
                let owed = Owed { origin: Origin::Tick(nominal), due: start, catches_up: due.catches_up };
                run = Some((Tick { nominal, to: None, count: 1, state, why }, owed));
                break;
            }
            Settled::Nothing { state, why } => rows.push(Tick { nominal, to: None, count: 1, state, why }),
        }
    }
    if let Some(gap) = arrears.gone.filter(|_| run.is_none() || !facts.is_off(Mutant::PassesInSilence)) {
        let is_run = run.is_some() && rows.is_empty();
        let why = arrears.gone_because(rule, is_run);
        let row = Tick { nominal: gap.from, to: Some(gap.to), count: gap.count, state: TickState::Missed, why };
        rows.insert(0, row);
    }
    // While a look is worked off, the cursor says when that was.
    let place = |at: Timestamp| match arrears.is_rest {
        true => Cursor { at: at.max(cursor.at), ..cursor.clone() },
        false => moved(cursor, at, facts.now),
    };
    let last = rows.last().map(|last| place(last.to.unwrap_or(last.nominal)));
    match (run, last) {
        (Some((tick, owed)), Some(last)) if facts.is_off(Mutant::CursorJumps) => {
            let at = place(tick.nominal);
            vec![fire(runs, tick, rows.clone(), owed, at), note(runs, rows, last)]
        }
        (Some((tick, owed)), _) => {
            let at = place(tick.nominal);
            vec![fire(runs, tick, rows, owed, at)]
        }
        (None, Some(last)) => vec![note(runs, rows, last)],
        (None, None) => Vec::new(),
    }
}

fn fire(runs: &Runs<'_>, tick: Tick, passed: Vec<Tick>, owed: Owed, cursor: Cursor) -> Decision {
    let facts = runs.case.facts;
    let cursor = if facts.is_off(Mutant::FiresAgain) { Cursor { at: cursor.since, ..cursor } } else { cursor };
    let id = runs.id(&Cause::tick(tick.nominal));
    let because = match (&*tick.why, tick.state) {
        ("on time", TickState::Fired) => Reason::Due,
        (_, state) => Reason::Settled { state, why: tick.why.clone() },
    };
    let uid = runs.case.object.uid.clone();
    let fire = Fire { tick: Some(tick), passed, run: owed, uid, cursor: Some(cursor) };
    Decision { id, action: Some(Action::Fire(Box::new(fire))), because }
}

/// Rows without a run stand under the schedule itself: a run of the same due time may be open since before the clock was
/// set back.
fn note(runs: &Runs<'_>, ticks: Vec<Tick>, cursor: Cursor) -> Decision {
    let id: InstanceId = runs.id(&Cause::schedule());
    let because = match ticks.last() {
        Some(tick) => Reason::Settled { state: tick.state, why: tick.why.clone() },
        None => Reason::Registered,
    };
    Decision { id, action: Some(Action::Note(Box::new(Note { ticks, cursor }))), because }
}

/// What becomes of one due time.
enum Settled {
    Run { state: TickState, why: Arc<str>, due: Timestamp },
    Nothing { state: TickState, why: Arc<str> },
}

fn one(runs: &Runs<'_>, rule: &TimesRule, times: &Times, due: &Due, draft: &mut Draft) -> Settled {
    let facts = runs.case.facts;
    let skipped = |why: Arc<str>| Settled::Nothing { state: TickState::Skipped, why };
    match held(runs, true, draft) {
        None => {}
        Some(reason @ Reason::NeedsConsent { .. }) => {
            return Settled::Nothing { state: TickState::Held, why: reason.to_string().into() };
        }
        Some(reason) => return skipped(reason.to_string().into()),
    }
    if runs.book.runs.contains_key(&Cause::tick(due.nominal)) {
        return skipped("its run is owed already: the clock was set back".into());
    }
    if let Some(why) = no_room(runs, rule, due.catches_up) {
        return skipped(why);
    }
    // Catching up is spread, so that a hundred jobs do not start together when a machine comes back.
    let is_spread = due.catches_up || due.late > LATE;
    let start = if is_spread { facts.now.wall.after(times.spread) } else { due.nominal.after(times.offset) };
    match quiet_until(times, start.max(facts.now.wall)) {
        Some((until, name)) if !facts.is_off(Mutant::IgnoreQuiet) => {
            let span = crate::engine::time::utc(until);
            match rule.on_quiet {
                OnQuiet::Skip => skipped(format!("quiet hours {name} until {span}").into()),
                OnQuiet::Defer => Settled::Run {
                    state: TickState::Deferred,
                    why: format!("until {span}, by quiet hours {name}").into(),
                    due: until.after(times.spread),
                },
            }
        }
        Some(_) | None => Settled::Run { state: TickState::Fired, why: due.words(), due: start },
    }
}

/// Why the runs that are not over leave no room for another.
fn no_room(runs: &Runs<'_>, rule: &TimesRule, catches_up: bool) -> Option<Arc<str>> {
    let facts = runs.case.facts;
    if facts.is_off(Mutant::IgnoreOverlap) {
        return None;
    }
    let open = runs.book.runs.len();
    let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let oldest = || runs.order.first().map_or_else(|| "of an earlier due time".to_owned(), ToString::to_string);
    if rule.is_once && open > 0 {
        return Some(format!("the one run it has is not over: {}", oldest()).into());
    }
    // What is made up for waits for its turn, whatever is at work.
    if catches_up && !facts.is_off(Mutant::SkipsCatchUp) {
        return None;
    }
    let waiting = runs.book.runs.values().filter(|run| run.catches_up).count();
    let behind = if waiting > 1 { format!(", {waiting} that are made up for among them") } else { String::new() };
    match runs.rule.overlap {
        Overlap::Skip if open > 1 => {
            Some(format!("the run {} and {} more are not over{behind} (overlap: skip)", oldest(), open - 1).into())
        }
        Overlap::Skip if open > 0 => Some(format!("the run {} is not over (overlap: skip)", oldest()).into()),
        Overlap::Queue(limit) if open > count(limit) => {
            Some(format!("{limit} already wait behind the run {} (overlap: queue)", oldest()).into())
        }
        Overlap::Allow(limit) if open >= count(limit) => Some(format!("{open} runs at once already (atOnce)").into()),
        Overlap::Skip | Overlap::Queue(_) | Overlap::Allow(_) | Overlap::Replace => None,
    }
}
