//! What people do to objects by name: pause, resume, restart, delete, undo.
//!
//! In: the current generation and the objects they mean. Out: a draft of the next generation.
//! Not here: finding the objects (`resolve`), writing the draft, and what processes do about it.
//! The surprise: all of these are facts in the desired state, so each survives a restart of the controller and happens
//! exactly once.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::change::{Refusal, is_live};
use super::draft::{Author, Draft, LastAttempts};
use super::generation::{Stored, StoredObject, StoredPause, Verb};
use super::users;
use crate::engine::ObjectRef;

/// Keeps objects down until they are resumed, or until `until` (RFC 3339).
#[must_use]
pub fn pause(base: &Stored, ids: &[ObjectRef], until: Option<String>, author: Author) -> Draft {
    let paused = StoredPause { by: author.principal.clone(), reason: author.note.clone(), until };
    let mut draft = Draft::of(base, Verb::Pause, author);
    for id in ids {
        draft.amend(id, |_, overrides| overrides.paused = Some(paused.clone()));
    }
    draft
}

/// Ends the pause of objects, and forgives their crashes. None when not one of them is paused.
#[must_use]
pub fn resume(base: &Stored, ids: &[ObjectRef], author: Author, attempts: LastAttempts<'_>) -> Option<Draft> {
    let is_paused = |id: &&ObjectRef| base.objects.get(id).is_some_and(|object| object.overrides.paused.is_some());
    let paused: Vec<&ObjectRef> = ids.iter().filter(is_paused).collect();
    if paused.is_empty() {
        return None;
    }
    let mut draft = Draft::of(base, Verb::Resume, author);
    for id in paused {
        draft.amend(id, |_, overrides| {
            overrides.paused = None;
            // Whoever resumes something wants it up, also when it had given up before.
            overrides.forgive(&attempts(id));
        });
    }
    Some(draft)
}

/// Asks for the replacement of every process of these objects, and forgives their crashes.
#[must_use]
pub fn restart(base: &Stored, ids: &[ObjectRef], author: Author, attempts: LastAttempts<'_>) -> Draft {
    let mut draft = Draft::of(base, Verb::Restart, author);
    for id in ids {
        draft.amend(id, |_, overrides| overrides.restart(&attempts(id)));
    }
    draft
}

/// What becomes of the processes of objects that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Those that were started for them are stopped.
    Stop,
    /// Those that somebody else started, too.
    StopAdopted,
    /// All go on.
    RunOn,
}

/// Removes objects.
///
/// # Errors
/// When a controller follows the file of one of them, and the file is there; or when an object that stays names one.
pub fn delete(base: &Stored, ids: &[ObjectRef], fate: Fate, author: Author) -> Result<Draft, Refusal> {
    let followed = |id: &ObjectRef| {
        let object = base.objects.get(id)?;
        let source = &object.metadata.source;
        // A refusal that names a file which is gone would leave nothing to do.
        let is_there = is_live(base, object) && Path::new(source).exists();
        is_there.then(|| format!("{id} comes from {source}, which a controller follows"))
    };
    let followed: Vec<String> = ids.iter().filter_map(followed).collect();
    if !followed.is_empty() {
        return Err(Refusal::Live(followed));
    }
    let users = users::users(base, &BTreeSet::new(), &ids.iter().collect());
    if !users.is_empty() {
        return Err(Refusal::Used(users::words(&users)));
    }
    let mut draft = Draft::of(base, Verb::Delete, author);
    for id in ids {
        match fate {
            Fate::Stop => draft.remove(id),
            Fate::StopAdopted => draft.remove_adopted(id),
            Fate::RunOn => draft.release(id),
        }
    }
    Ok(draft)
}

/// Takes an object back to an older version of its content.
///
/// # Errors
/// Outside: when the system has no randomness. Inside: when a controller follows its folder, and would undo the undo.
pub fn undo(
    base: &Stored,
    id: &ObjectRef,
    old: &StoredObject,
    author: Author,
    attempts: LastAttempts<'_>,
) -> io::Result<Result<Draft, Refusal>> {
    let meta = base.objects.get(id).map_or(&old.metadata, |object| &object.metadata);
    if base.sets.get(&meta.set).is_some_and(|set| set.live) && !meta.leftover {
        let text = format!("{id} comes from {}, which a controller follows", meta.source);
        return Ok(Err(Refusal::Live(vec![text])));
    }
    let mut draft = Draft::of(base, Verb::Undo, author);
    draft.restore(id, old, attempts)?;
    Ok(Ok(draft))
}
