//! The versions of one object, as far back as generations are kept.
//!
//! In: the chain of generations. Out: one line per generation that changed the object, and the version an undo means.
//! Not here: writing the undo (`edit`). The surprise: undoing twice comes back to where it began, since an undo is a
//! version like any other.

use std::sync::Arc;

use super::change::changed;
use super::fields::{Side, differences};
use super::generation::{By, StoredObject};
use super::{Store, StoreError};
use crate::engine::ObjectRef;

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Version {
    /// The generation that made it.
    pub generation: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// Who did what.
    pub by: By,
    /// What they said about it.
    pub note: Option<String>,
    /// What changed, in words.
    pub what: String,
    /// The object from then on; none when it was deleted.
    pub object: Option<Arc<StoredObject>>,
}

/// The kept past of an object.
#[derive(Clone, Debug)]
pub struct History {
    /// The oldest generation that is kept; 0 when there is none.
    pub oldest: u64,
    /// The newest one.
    pub newest: u64,
    /// The versions, oldest first.
    pub versions: Vec<Version>,
}

/// Why there is nothing to go back to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVersion {
    /// It never was different, as far as can be seen.
    #[error("no other version of {0} is kept\n  help: setpoint history {0} lists what there is")]
    Same(ObjectRef),
    /// It is as it was then.
    #[error("{id} is as it was in generation {asked}: nothing to undo")]
    Already {
        /// Of which object.
        id: ObjectRef,
        /// What was asked for.
        asked: u64,
    },
    /// The generation is no longer kept, or not yet written.
    #[error(
        "generation {asked} is not kept; there are {oldest} to {newest}\n  \
         help: setpoint history {id} lists what there is"
    )]
    OutOfRange {
        /// Of which object.
        id: ObjectRef,
        /// What was asked for.
        asked: u64,
        /// The oldest kept.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// It was not there then.
    #[error("there was no {id} in generation {asked}\n  help: setpoint history {id} lists when there was")]
    NotThen {
        /// Of which object.
        id: ObjectRef,
        /// What was asked for.
        asked: u64,
    },
}

/// Every kept version of an object. Damaged generations are passed over.
///
/// # Errors
/// As [`Store::read_current`].
pub fn history(store: &Store, id: &ObjectRef) -> Result<History, StoreError> {
    let numbers = store.numbers()?;
    let at = |number: Option<&u64>| number.copied().unwrap_or(0);
    let mut history = History { oldest: at(numbers.first()), newest: at(numbers.last()), versions: Vec::new() };
    let mut before: Option<Arc<StoredObject>> = None;
    for number in numbers {
        // One that vanished while reading was beyond the bound anyway.
        let Ok(stored) = store.read(number)? else {
            continue;
        };
        let now = stored.objects.get(id).cloned();
        if let Some(what) = step(before.as_deref(), now.as_deref()) {
            let version = Version {
                generation: number,
                at: stored.at,
                by: stored.by,
                note: stored.note,
                what,
                object: now.clone(),
            };
            history.versions.push(version);
        }
        before = now;
    }
    Ok(history)
}

/// What changed between two generations; none when nothing did that people would call a change.
fn step(before: Option<&StoredObject>, now: Option<&StoredObject>) -> Option<String> {
    let (before, now) = match (before, now) {
        (None, None) => return None,
        (None, Some(now)) if now.metadata.generation == 1 => return Some(String::from("created")),
        (None, Some(now)) => {
            return Some(format!("version {}; what came before is no longer kept", now.metadata.generation));
        }
        (Some(_), None) => return Some(String::from("deleted")),
        (Some(before), Some(now)) if before.metadata.uid != now.metadata.uid => {
            return Some(String::from("created anew"));
        }
        (Some(before), Some(now)) => (before, now),
    };
    let mut words = Vec::new();
    let fields = differences(&before.kind.to_ascii_lowercase(), side(before), side(now));
    if !fields.is_empty() {
        words.push(changed(&fields));
    }
    if before.metadata.set != now.metadata.set {
        words.push(format!("taken over from the set \"{}\"", before.metadata.set));
    }
    if before.metadata.leftover != now.metadata.leftover {
        words.push(String::from(if now.metadata.leftover { "left over by its folder" } else { "back in its folder" }));
    }
    match (&before.overrides.paused, &now.overrides.paused) {
        (before, Some(pause)) if before.as_ref() != Some(pause) => {
            let reason = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            words.push(format!("paused{reason}"));
        }
        (Some(_), None) => words.push(String::from("resumed")),
        (None | Some(_), None | Some(_)) => {}
    }
    if before.overrides.restart != now.overrides.restart {
        words.push(String::from("restart asked for"));
    }
    if words.is_empty() { None } else { Some(words.join("; ")) }
}

fn side(object: &StoredObject) -> Side<'_> {
    Side { spec: &object.spec, labels: &object.metadata.labels, annotations: &object.metadata.annotations }
}

/// True when two versions ask the same.
#[must_use]
pub fn is_same_content(a: &StoredObject, b: &StoredObject) -> bool {
    a.spec == b.spec && a.metadata.labels == b.metadata.labels && a.metadata.annotations == b.metadata.annotations
}

impl History {
    /// The version that `undo` means: the one in effect at generation `to`, else the last with another content.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn target(&self, id: &ObjectRef, to: Option<u64>) -> Result<Arc<StoredObject>, NoVersion> {
        let current = self.versions.last().and_then(|version| version.object.as_deref());
        let Some(asked) = to else {
            let differs = |object: &&Arc<StoredObject>| current.is_none_or(|current| !is_same_content(current, object));
            let found = self.versions.iter().rev().filter_map(|version| version.object.as_ref()).find(differs);
            return found.cloned().ok_or_else(|| NoVersion::Same(id.clone()));
        };
        if asked < self.oldest || asked > self.newest {
            return Err(NoVersion::OutOfRange { id: id.clone(), asked, oldest: self.oldest, newest: self.newest });
        }
        let then = self.versions.iter().rev().find(|version| version.generation <= asked);
        match then.and_then(|version| version.object.as_ref()) {
            None => Err(NoVersion::NotThen { id: id.clone(), asked }),
            Some(old) if current.is_some_and(|current| is_same_content(current, old)) => {
                Err(NoVersion::Already { id: id.clone(), asked })
            }
            Some(old) => Ok(Arc::clone(old)),
        }
    }
}
