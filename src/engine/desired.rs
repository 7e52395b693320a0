//! What the manifests ask for, as one generation of it.
//!
//! In: parsed objects with what people said about them since. Out: the value [`super::reconcile`] reads.
//! Not here: files, sets and history. The surprise: a pause, a restart and a pardon are facts written here, each
//! bounded by an attempt number, so that each happens exactly once however often it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expand::Kind;
use super::name::{Cause, ObjectRef, Revision};
use super::time::Timestamp;

/// Whether all there is was read. Partial desired: prune nothing. Partial observed: what is not listed is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Whole,
    /// A part.
    Partial {
        /// What could not be read.
        why: Arc<str>,
    },
}

/// One generation of the desired state.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Counts changes; an older one never wins.
    pub generation: u64,
    /// Whether every object of the generation could be read.
    pub coverage: Coverage,
    /// The objects, by name.
    pub objects: BTreeMap<ObjectRef, Arc<Object>>,
    /// What was removed: the only licence to end what no object asks for.
    pub tombstones: BTreeMap<ObjectRef, Tombstone>,
    /// Nothing new begins: no run, no due time, no hand-over. Services are kept.
    pub frozen: Option<Pause>,
    /// Everything is being stopped: what runs is ended, and goes on another time.
    pub is_draining: bool,
}

/// An object that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The uid it had.
    pub uid: Arc<str>,
    /// The generation that removed it.
    pub generation: u64,
    /// How its instances were to be stopped.
    pub policy: super::plan::Policy,
    /// What it needed: its processes are stopped before those of these.
    pub needs: Vec<ObjectRef>,
    /// A person asked for processes that somebody else started to be ended, too.
    pub ends_adopted: bool,
}

/// One object after parsing.
#[derive(Clone, Debug)]
pub struct Object {
    /// Kind and name.
    pub id: ObjectRef,
    /// Drawn when it was created; a recreated object has another.
    pub uid: Arc<str>,
    /// What it asks.
    pub spec: Spec,
    /// Its revision by every rule this binary knows, newest first.
    pub revisions: Vec<Revision>,
    /// Counts the changes of what a Job does, from 1; it never falls, over deletes neither.
    pub work_generation: u64,
    /// What people said about it since.
    pub overrides: Overrides,
}

/// The spec of an object.
#[derive(Clone, Debug)]
pub enum Spec {
    /// Of a kind this binary knows.
    Known(Arc<dyn Kind>),
    /// Written by another version; what runs for it is left alone.
    Opaque {
        /// Why it cannot be read.
        why: Arc<str>,
    },
}

/// What people said about an object, kept by `apply`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// It stays down.
    pub paused: Option<Pause>,
    /// Crashes of attempts up to this number are forgiven.
    pub forgiven: BTreeMap<Cause, u32>,
    /// Attempts up to this number are to be replaced.
    pub restart: BTreeMap<Cause, u32>,
}

/// A pause: who, why, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who asked for it.
    pub by: Arc<str>,
    /// Why, in their words.
    pub reason: Option<Arc<str>>,
    /// When it ends by itself; wall time, since people name it.
    pub until: Option<Timestamp>,
}

impl Object {
    /// How a running revision compares with the wanted one.
    #[must_use]
    pub fn compare(&self, running: &Revision) -> RevisionMatch {
        match self.revisions.iter().find(|known| known.version == running.version) {
            Some(known) if known.hash == running.hash => RevisionMatch::Same,
            Some(_) => RevisionMatch::Changed,
            None => RevisionMatch::UnknownVersion,
        }
    }

    /// The revision that a new process is started with.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revisions.first().cloned().unwrap_or_else(Revision::unknown)
    }
}

/// The result of comparing a running revision with the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionMatch {
    /// Nothing that matters to a process has changed.
    Same,
    /// Something has.
    Changed,
    /// Hashed by a rule this binary does not know: counts as unchanged, and is said.
    UnknownVersion,
}
