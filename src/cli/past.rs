//! What is remembered of work that ends, for verbs that show it.
//!
//! In: a home. Out: the ledger as the controller has it, and rows for people. Not here: printing.
//! The surprise: a store that cannot be read is said once and counts as trouble of the ledger; what runs is shown all
//! the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use serde_json::Value;

use crate::controller::report::is_failure;
use crate::controller::{remember, schedules::Schedules};
use crate::engine::desired::Spec;
use crate::engine::run::{Arises, Ledger, Outcome, Part, RunRule, Times};
use crate::engine::{Cause, Desired, InstanceId, Object, ObjectRef};
use crate::home::Home;
use crate::observe::machine;
use crate::store::{
    AttemptRow, Books as _, MessageFilter, MessageRow, Reader, RunFilter, RunRow, TickFilter, TickRow, Trouble,
};

/// The store is complained about once.
static SAID: Once = Once::new();

/// What is remembered, open to be asked.
#[derive(Debug, Default)]
pub struct Past {
    reader: Option<Reader>,
    /// The last run that is over, of each object.
    last: BTreeMap<ObjectRef, RunRow>,
    /// Why it cannot be read, if so.
    pub unreadable: Option<Arc<str>>,
}

impl Past {
    /// Reads what is remembered, and works out due times.
    #[must_use]
    pub fn read(home: &Home, desired: &Desired) -> (Past, Ledger) {
        let mut ledger = Ledger::default();
        let path = home.store_db();
        let has_runs = desired.objects.values().any(|object| rule_of(object).is_some());
        if !has_runs && !path.exists() {
            return (Past::default(), ledger);
        }
        let mut past = Past::default();
        let read = Reader::open(&path).and_then(|reader| {
            remember::read(&reader, &mut ledger)?;
            past.last = last(&reader)?;
            past.reader = Some(reader);
            Ok(())
        });
        if let Err(trouble) = read {
            ledger.trouble = Some(trouble.to_string().lines().next().unwrap_or_default().into());
            past.unreadable.clone_from(&ledger.trouble);
            complain(&trouble);
        }
        Schedules::new(&machine::id().unwrap_or_else(|| home.id().to_owned())).follow(desired, &mut ledger);
        (past, ledger)
    }

    /// The same to be asked once more later: a store that was not there yet may be by now.
    #[must_use]
    pub fn again(home: &Home) -> Past {
        Past { reader: Reader::open(&home.store_db()).ok(), ..Past::default() }
    }

    /// True when there is a store to be read, or there may be one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// Takes in whether a controller can write, by its status: a disk that is full can be read, and a file that is gone
    /// reads as empty.
    pub fn hear(&mut self, home: &Home, status: Option<&Value>, ledger: &mut Ledger) {
        let said = status.and_then(|status| status.get("store_trouble")?.as_str());
        if let (Some(why), true, None) = (said, self.is_open(), &ledger.trouble) {
            ledger.trouble = Some(why.into());
            if !home.store_db().exists() {
                self.unreadable.clone_from(&ledger.trouble);
            }
        }
    }

    /// The objects that have a run which is over, those that were deleted included.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.last.keys()
    }

    /// The last run of an object that is over.
    #[must_use]
    pub fn last(&self, object: &ObjectRef) -> Option<&RunRow> {
        self.last.get(object)
    }

    /// The last run with its attempts: many in a row that failed, up to `max`, are counted.
    #[must_use]
    pub fn failures(&self, object: &ObjectRef, max: usize) -> usize {
        let is_bad = |row: &RunRow| row.end.as_ref().is_some_and(|end| is_failure(Outcome::of_word(&end.outcome)));
        let rows = self.runs(&RunFilter { object: Some(object.clone()), limit: Some(max), ..RunFilter::default() });
        rows.iter().filter(|row| row.end.is_some()).take_while(|row| is_bad(row)).count()
    }

    /// Runs, newest first; none when the store cannot be read.
    #[must_use]
    pub fn runs(&self, filter: &RunFilter) -> Vec<RunRow> {
        self.ask(|reader| reader.runs(filter))
    }

    /// The newest run of an object, over or not.
    #[must_use]
    pub fn newest(&self, object: &ObjectRef, count: usize) -> Vec<RunRow> {
        self.runs(&RunFilter { object: Some(object.clone()), limit: Some(count), ..RunFilter::default() })
    }

    /// One run or step.
    #[must_use]
    pub fn run(&self, id: &InstanceId) -> Option<RunRow> {
        self.ask(|reader| reader.run(&id.object, &id.cause).map(|row| row.into_iter().collect())).pop()
    }

    /// The steps of a run.
    #[must_use]
    pub fn steps(&self, object: &ObjectRef, parent: &Cause) -> Vec<RunRow> {
        self.ask(|reader| reader.steps(object, parent))
    }

    /// The attempts of a run that are remembered.
    #[must_use]
    pub fn attempts(&self, id: &InstanceId) -> Vec<AttemptRow> {
        self.ask(|reader| reader.attempts(&id.object, &id.cause))
    }

    /// Due times, latest first.
    #[must_use]
    pub fn ticks(&self, filter: &TickFilter) -> Vec<TickRow> {
        self.ask(|reader| reader.ticks(filter))
    }

    /// Messages, the last that came first.
    #[must_use]
    pub fn messages(&self, filter: &MessageFilter) -> Vec<MessageRow> {
        self.ask(|reader| reader.messages(filter))
    }

    fn ask<T>(&self, question: impl FnOnce(&Reader) -> Result<Vec<T>, Trouble>) -> Vec<T> {
        let Some(reader) = &self.reader else { return Vec::new() };
        question(reader).unwrap_or_else(|trouble| {
            complain(&trouble);
            Vec::new()
        })
    }
}

fn last(reader: &Reader) -> Result<BTreeMap<ObjectRef, RunRow>, Trouble> {
    let mut last: BTreeMap<ObjectRef, RunRow> = BTreeMap::new();
    let ended = |row: &RunRow| row.end.as_ref().map(|end| end.ended);
    for row in reader.last_finals()? {
        if last.get(&row.object).is_none_or(|known| ended(known) < ended(&row)) {
            last.insert(row.object.clone(), row);
        }
    }
    Ok(last)
}

fn complain(trouble: &Trouble) {
    SAID.call_once(|| super::complain(&format!("warning: what is remembered of runs cannot be read: {trouble}")));
}

/// What an object runs to completion, if anything.
#[must_use]
pub fn rule_of(object: &Object) -> Option<&RunRule> {
    match &object.spec {
        Spec::Known(kind) => kind.runs(),
        Spec::Opaque { .. } => None,
    }
}

/// What an object is that has neither processes nor runs of its own, in words; nothing for any other.
#[must_use]
pub fn passive(object: &Object) -> Option<&'static str> {
    let Spec::Known(kind) = &object.spec else { return None };
    if let Some(rule) = kind.runs() {
        return match rule.arises {
            Arises::Asked => Some("it runs when something uses it, or somebody asks: setpoint run"),
            Arises::Once { .. } | Arises::Times(_) | Arises::Messages(_) => None,
        };
    }
    match kind.part() {
        Part::Quiet(_) => Some("it says when others are quiet"),
        Part::Settings(_) => Some("it is in force"),
        Part::None | Part::Capability(_) | Part::Workflow(_) | Part::Mailbox(_) | Part::Trigger(_) => None,
    }
}

/// How long a run took, as far as that is known.
#[must_use]
pub fn took(row: &RunRow) -> Option<Duration> {
    let end = row.end.as_ref()?;
    // A workflow has no process of its own; it takes as long as its steps, from when it was asked for.
    let is_flow = row.attempts == 0 && matches!(Outcome::of_word(&end.outcome), Outcome::Ok | Outcome::Failed);
    let began = row.started.or(is_flow.then_some(row.created))?;
    Some(began.until(end.ended))
}

/// The due times of an object, once they are known.
#[must_use]
pub fn times<'a>(ledger: &'a Ledger, object: &ObjectRef) -> Option<&'a Times> {
    match ledger.books.get(object)?.times.as_ref()? {
        Ok(times) => Some(times),
        Err(_) => None,
    }
}
