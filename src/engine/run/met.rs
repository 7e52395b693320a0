//! What is needed of work that ends, found out again by another road.
//!
//! In: an object with runs, how far it has to be. Out: whether it is. Not here: deciding ([`super::need`]).
//! The surprise: as in [`super::audit`], nothing here asks the code that decides.

use super::ledger::Outcome;
use super::rule::{Arises, RunRule};
use crate::engine::converge::Facts;
use crate::engine::desired::Object;
use crate::engine::expand::Until;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::observed::{Sight, Sighting};

/// True when work that ends is as far as whoever needs it asks.
pub(in crate::engine) fn is_met(facts: &Facts<'_>, object: &Object, rule: &RunRule, until: Until) -> bool {
    let Some(book) = facts.observed.ledger.books.get(&object.id) else { return false };
    let counts = |cause: &Cause| match &rule.arises {
        Arises::Once { .. } => cause.to_string() == object.work_generation.to_string(),
        Arises::Times(_) | Arises::Asked | Arises::Messages(_) => true,
    };
    let is_open = book.runs.keys().any(counts);
    let finals = book.last.iter().filter(|(cause, last)| counts(cause) && last.uid == object.uid);
    let is_done = finals.max_by_key(|(_, last)| last.ended).is_some_and(|(_, last)| last.outcome == Outcome::Ok);
    let is_up = |(id, sighting): (&InstanceId, &Sighting)| {
        let root = id.cause.parent().unwrap_or_else(|| id.cause.clone());
        id.object == object.id && counts(&root) && matches!(sighting.sight, Sight::Seen(_))
    };
    match until {
        Until::Done => !is_open && is_done,
        Until::Usable | Until::Started | Until::Ready if is_open => facts.observed.sightings.iter().any(is_up),
        Until::Usable | Until::Started | Until::Ready => is_done,
    }
}
