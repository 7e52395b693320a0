//! A store with the meaning of the real one: each write whole or not at all, in order, answered late, wrongly or never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use setpoint::engine::plan::{Finish, Fire, Note, Tick};
use setpoint::engine::run::{Book, Cursor, Final, Origin, Outcome, Output, Run, Step, TickState};
use setpoint::engine::{Cause, InstanceId, ObjectRef, Timestamp};

use super::truth::{Rule, Truth};

/// Rows keep whole milliseconds.
pub fn cut(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos() / 1_000_000 * 1_000_000)
}

/// A run, or a step of one.
#[derive(Clone, Debug)]
pub struct Row {
    pub uid: Arc<str>,
    /// None for a step.
    pub origin: Option<Origin>,
    pub due: Timestamp,
    pub created: Timestamp,
    pub catches_up: bool,
    pub attempts: u32,
    pub forgiven: u32,
    pub cancel: Option<Arc<str>>,
    pub end: Option<(Outcome, Arc<str>, Timestamp)>,
    pub output: Arc<Json>,
}

/// When something was decided.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    pub wall: Timestamp,
    /// All steps of the wall clock until then, back and forth, in nanoseconds.
    pub set_about: u64,
}

/// A request.
#[derive(Clone, Debug)]
pub enum Write {
    Fire(InstanceId, Fire, Decided),
    Note(InstanceId, Note, Decided),
    Finish(InstanceId, Box<Finish>, Timestamp),
    Attempt(InstanceId, u32),
}

impl Write {
    pub fn id(&self) -> &InstanceId {
        match self {
            Write::Fire(id, ..) | Write::Note(id, ..) | Write::Finish(id, ..) | Write::Attempt(id, _) => id,
        }
    }
}

/// What is on the disk.
#[derive(Debug, Default)]
pub struct Store {
    pub runs: BTreeMap<(ObjectRef, Cause), Row>,
    pub ticks: BTreeMap<(ObjectRef, Timestamp), Tick>,
    pub cursors: BTreeMap<ObjectRef, Cursor>,
    /// How far the clock had been set about, in all, when a cursor was written.
    pub set_about: BTreeMap<ObjectRef, u64>,
    /// Requests on their way, in order, each with the moment at which it is done.
    pub queue: VecDeque<(u64, Write)>,
}

/// What the world knows when something is written.
pub struct Present<'a> {
    /// The due times of an object that lie in a span, if its rule is the one of this key.
    pub due_times: &'a dyn Fn(&ObjectRef, &Cursor, Timestamp, Timestamp) -> Vec<Timestamp>,
}

impl Store {
    /// Writes one request; what was written already stands.
    pub fn apply(&mut self, write: &Write, present: &Present<'_>, truth: &mut Truth) {
        match write {
            Write::Fire(id, fire, at) => {
                fire.passed.iter().for_each(|tick| _ = self.tick(&id.object, tick));
                let is_due = fire.tick.as_ref().is_none_or(|tick| self.tick(&id.object, tick));
                if let Some(tick) = fire.tick.as_ref().filter(|_| is_due && at.set_about == 0)
                    && self.is_in_gap(&id.object, tick.nominal)
                {
                    truth.break_rule(Rule::TickTwice, || format!("{id} was missed, and is fired"));
                }
                if is_due {
                    let row = Row {
                        uid: fire.uid.clone(),
                        origin: Some(fire.run.origin.clone()),
                        due: cut(fire.run.due),
                        created: cut(at.wall),
                        catches_up: fire.run.catches_up,
                        attempts: 0,
                        forgiven: 0,
                        cancel: None,
                        end: None,
                        output: Arc::new(json!({})),
                    };
                    self.runs.entry((id.object.clone(), id.cause.clone())).or_insert(row);
                }
                if let Some(cursor) = &fire.cursor {
                    self.cursor(&id.object, cursor, &[], *at, present, truth);
                }
            }
            Write::Note(id, note, at) => {
                for tick in &note.ticks {
                    self.tick(&id.object, tick);
                }
                self.cursor(&id.object, &note.cursor, &note.ticks, *at, present, truth);
            }
            Write::Finish(id, finish, at) => self.finish(id, finish, *at),
            Write::Attempt(id, number) => {
                if let Some(row) = self.runs.get_mut(&(id.object.clone(), id.cause.clone()))
                    && row.end.is_none()
                {
                    row.attempts = row.attempts.max(*number);
                }
            }
        }
    }

    fn tick(&mut self, object: &ObjectRef, tick: &Tick) -> bool {
        let mut from = cut(tick.nominal);
        loop {
            let key = (object.clone(), from);
            let stands = self.ticks.get(&key).map(|tick| (tick.state, tick.to.map_or(from, cut)));
            let end = match stands {
                None | Some((TickState::Deferred | TickState::Held, _)) => {
                    self.ticks.insert(key, tick.clone());
                    return true;
                }
                Some((_, end)) => end,
            };
            // A gap goes on after what was settled before the clock was set back.
            if tick.to.is_none_or(|to| cut(to) <= end) {
                return false;
            }
            from = end.after(std::time::Duration::from_millis(1));
        }
    }

    /// Moves a cursor; every due time it passes has a row by now.
    fn cursor(
        &mut self,
        object: &ObjectRef,
        cursor: &Cursor,
        ticks: &[Tick],
        decided: Decided,
        present: &Present<'_>,
        truth: &mut Truth,
    ) {
        let new = Cursor { since: cut(cursor.since), at: cut(cursor.at), ..cursor.clone() };
        let old = self.cursors.insert(object.clone(), new);
        let set_about = self.set_about.get(object).copied().unwrap_or_default();
        // A look that is worked off write by write keeps its clock: what was set about since then adds up.
        let of_look = |cursor: &Cursor| (cursor.set_wall, cursor.set_boot, cursor.boot_id.clone());
        if old.as_ref().is_none_or(|old| of_look(old) != of_look(cursor)) {
            self.set_about.insert(object.clone(), decided.set_about);
        }
        let is_step = ticks.iter().any(|tick| tick.state == TickState::ClockStep);
        let Some(old) = old.filter(|old| old.uid == cursor.uid && old.key == cursor.key) else {
            if cursor.at < decided.wall || is_step {
                truth.break_rule(Rule::Afresh, || format!("{object} begins at {:?}, in the past", cursor.at));
            }
            return;
        };
        if is_step {
            let by = decided.set_about - set_about;
            if by + 2_000_000_000 < 3 * 3600 * 1_000_000_000 {
                truth.break_rule(Rule::NoStep, || format!("{object}: the clock was set by {by} ns only"));
            }
            return;
        }
        if cut(cursor.at) < old.at {
            truth.break_rule(Rule::Afresh, || format!("{object}: the cursor goes back"));
        }
        for nominal in (present.due_times)(object, &old, old.at, cursor.at) {
            let exact = self.ticks.contains_key(&(object.clone(), cut(nominal)));
            if !exact && !self.is_in_gap(object, nominal) {
                truth.break_rule(Rule::TickLost, || {
                    format!("{object}: nobody says what became of {}", setpoint::engine::time::utc(nominal))
                });
            }
        }
    }

    /// True when a row of many due times covers this one.
    fn is_in_gap(&self, object: &ObjectRef, nominal: Timestamp) -> bool {
        let gaps = self.ticks.range((object.clone(), Timestamp::default())..=(object.clone(), cut(nominal)));
        let in_gap = |(_, tick): (&(ObjectRef, Timestamp), &Tick)| {
            tick.state == TickState::Missed && tick.to.is_some_and(|to| cut(nominal) <= cut(to))
        };
        gaps.filter(|(key, _)| key.0 == *object).any(in_gap)
    }

    fn finish(&mut self, id: &InstanceId, finish: &Finish, at: Timestamp) {
        let key = (id.object.clone(), id.cause.clone());
        if finish.step_of.is_some() && !self.runs.contains_key(&key) {
            let row = Row {
                uid: "".into(),
                origin: None,
                due: at,
                created: cut(at),
                catches_up: false,
                attempts: 0,
                forgiven: 0,
                cancel: None,
                end: None,
                output: Arc::new(json!({})),
            };
            self.runs.insert(key.clone(), row);
        }
        if let Some(row) = self.runs.get_mut(&key)
            && row.end.is_none()
        {
            row.end = Some((finish.outcome, finish.why.clone(), cut(at)));
            row.attempts = finish.attempts;
            row.output = finish.output.clone().unwrap_or_else(|| Arc::new(json!({})));
        }
    }

    /// A person wants a run to end.
    pub fn cancel(&mut self, object: &ObjectRef, cause: &Cause) {
        if let Some(row) = self.runs.get_mut(&(object.clone(), cause.clone()))
            && row.end.is_none()
            && row.cancel.is_none()
        {
            row.cancel = Some("ann".into());
        }
    }

    /// A person wants a run that is over to be tried again.
    pub fn reopen(&mut self, object: &ObjectRef, cause: &Cause, at: Timestamp) {
        for ((of, other), row) in &mut self.runs {
            let is_step = *of == *object && other.parent().as_ref() == Some(cause);
            let is_bad = row.end.as_ref().is_some_and(|(outcome, ..)| *outcome != Outcome::Ok);
            if (*of == *object && *other == *cause && row.end.is_some()) || (is_step && is_bad) {
                (row.end, row.cancel, row.forgiven, row.due) = (None, None, row.attempts, cut(at));
            }
        }
    }

    /// The rows of one object.
    pub fn of<'a>(&'a self, object: &ObjectRef) -> impl Iterator<Item = (&'a Cause, &'a Row)> {
        let object = object.clone();
        let first = (object.clone(), Cause::Slot(0));
        self.runs.range(first..).take_while(move |((of, _), _)| *of == object).map(|((_, cause), row)| (cause, row))
    }

    /// What a controller reads of an object.
    pub fn book(&self, object: &ObjectRef, uid: Option<&Arc<str>>) -> Book {
        let mut book = Book { cursor: self.cursors.get(object).cloned(), ..Book::default() };
        let mut latest = std::collections::HashMap::new();
        for (cause, row) in self.of(object) {
            let Some(origin) = &row.origin else { continue };
            book.is_spent |= row.attempts > 0 && Some(&row.uid) == uid;
            match &row.end {
                None => {
                    let run = self.run(object, cause, row, origin);
                    book.runs.insert(cause.clone(), run);
                }
                Some(_) => {
                    let of_origin = latest.entry(std::mem::discriminant(origin)).or_insert((cause, row));
                    // A clock that was set back says nothing about generations.
                    let is_later = match (&row.origin, &of_origin.1.origin) {
                        (Some(Origin::Generation(new)), Some(Origin::Generation(old))) => new > old,
                        (_, _) => (row.created, cause) > (of_origin.1.created, of_origin.0),
                    };
                    if is_later {
                        *of_origin = (cause, row);
                    }
                }
            }
        }
        // Of each origin the last end is read, as the real one does.
        for (cause, row) in latest.into_values() {
            let Some((outcome, reason, ended)) = row.end.clone() else { continue };
            let last = Final { uid: row.uid.clone(), outcome, reason, ended, attempts: row.attempts };
            book.last.insert(cause.clone(), last);
        }
        book
    }

    fn run(&self, object: &ObjectRef, cause: &Cause, row: &Row, origin: &Origin) -> Run {
        let mut run = Run {
            uid: row.uid.clone(),
            origin: origin.clone(),
            due: row.due,
            created: row.created,
            catches_up: row.catches_up,
            forgiven: row.forgiven,
            cancel: row.cancel.clone(),
            params: Arc::new(json!({})),
            steps: BTreeMap::new(),
            reopened: BTreeMap::new(),
        };
        for (other, step) in self.of(object).filter(|(other, _)| other.parent().as_ref() == Some(cause)) {
            let text = other.to_string();
            let id: Arc<str> = text.split('.').nth(1).expect("the id of a step").into();
            match &step.end {
                Some((outcome, ..)) => {
                    run.steps.insert(id, Step { outcome: *outcome, output: Output::Whole(step.output.clone()) });
                }
                None => _ = run.reopened.insert(id, step.forgiven),
            }
        }
        run
    }

    /// The next moment at which something is written.
    pub fn next_moment(&self) -> Option<u64> {
        self.queue.front().map(|(at, _)| *at)
    }
}
