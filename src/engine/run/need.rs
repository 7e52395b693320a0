//! How far work that ends has come, for those that need it.
//!
//! In: an object with runs, how far it has to be. Out: the state it is in instead, if it is not so far. Not here: needs of
//! things that stay up ([`crate::engine::needs`]). The surprise: a Job counts by the run of its present generation alone,
//! so an edit that makes it run again holds up whoever needs it until it is done again.

use super::ledger::{Book, Final, Outcome};
use super::rule::{Arises, RunRule};
use crate::engine::converge::Facts;
use crate::engine::desired::Object;
use crate::engine::expand::Until;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::{Phase, Sight, Sighting};
use crate::engine::plan::State;

/// What it is instead of being as far as it has to be.
pub(in crate::engine) fn lacking(facts: &Facts<'_>, object: &Object, rule: &RunRule, until: Until) -> Option<State> {
    let Some(book) = facts.observed.ledger.books.get(&object.id) else { return Some(State::Waiting) };
    let open = open(object, rule, book);
    if let (None, Some(last)) = (open, last(object, rule, book)) {
        return (last.outcome != Outcome::Ok).then_some(State::Failed);
    }
    let Some(cause) = open else { return Some(State::Waiting) };
    let is_at_work = is_at_work(facts, object, cause);
    match until {
        Until::Done if is_at_work => Some(State::Running),
        Until::Usable | Until::Started | Until::Ready if is_at_work => None,
        Until::Usable | Until::Started | Until::Ready | Until::Done => Some(State::Waiting),
    }
}

/// The run that counts, while it is not over: of a Job that of its work as it is now, of anything else the latest.
fn open<'a>(object: &Object, rule: &RunRule, book: &'a Book) -> Option<&'a Cause> {
    match &rule.arises {
        Arises::Once { .. } => {
            let own = Cause::generation(object.work_generation);
            book.runs.get_key_value(&own).map(|(cause, _)| cause)
        }
        Arises::Times(_) | Arises::Asked | Arises::Messages(_) => super::order::newest(book),
    }
}

fn last<'a>(object: &Object, rule: &RunRule, book: &'a Book) -> Option<&'a Final> {
    let is_own = |last: &&Final| last.uid == object.uid;
    match &rule.arises {
        Arises::Once { .. } => book.last.get(&Cause::generation(object.work_generation)).filter(is_own),
        Arises::Times(_) | Arises::Asked | Arises::Messages(_) => {
            book.last.values().filter(is_own).max_by_key(|last| last.ended)
        }
    }
}

/// True when a process of a run, or of one of its steps, is up.
fn is_at_work(facts: &Facts<'_>, object: &Object, cause: &Cause) -> bool {
    let first = InstanceId { object: object.id.clone(), cause: cause.step("") };
    let own = InstanceId { object: object.id.clone(), cause: cause.clone() };
    let is_step = |id: &InstanceId| id.object == own.object && id.cause.parent().as_ref() == Some(cause);
    let is_up = |sighting: &Sighting| match &sighting.sight {
        Sight::Seen(alive) => alive.phase == Phase::Running && sighting.stop_asked.is_none(),
        Sight::Absent | Sight::Unreadable { .. } => false,
    };
    let mut steps = facts.observed.sightings.range(first..).take_while(|(id, _)| is_step(id));
    facts.observed.sightings.get(&own).is_some_and(is_up) || steps.any(|(_, sighting)| is_up(sighting))
}
