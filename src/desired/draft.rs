//! The next generation while it is being made.
//!
//! In: a generation and what somebody wants changed. Out: the generation that [`super::Locked::commit`] writes.
//! Not here: whether the change is allowed (`change`, `live`, `edit`), and writing it.
//! The surprise: what an object remembers beside its spec (its uid, pauses, pardons) survives every change of the spec.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::engine::{Cause, ObjectRef};

use super::change::Proposal;
use super::generation::{
    By, Metadata, SET_FOLDERS_MAX, Stored, StoredObject, StoredOverrides, StoredPause, StoredSet, StoredTombstone,
    TOMBSTONES_MAX, Verb,
};
use super::registry;
use crate::home::random_hex;

/// The last attempt number of each instance of an object, to be forgiven or replaced up to.
pub type LastAttempts<'a> = &'a dyn Fn(&ObjectRef) -> BTreeMap<Cause, u32>;

/// The next generation while it is being made.
#[derive(Clone, Debug)]
pub struct Draft {
    next: Stored,
}

/// Who makes a generation, when, and what they say about it.
#[derive(Clone, Debug)]
pub struct Author {
    /// The user name, or `controller`.
    pub principal: String,
    /// When, in RFC 3339.
    pub at: String,
    /// What they say about it.
    pub note: Option<String>,
    /// The lifecycle request that is carried out by it.
    pub request: Option<String>,
}

impl Author {
    /// The calling user, now.
    #[must_use]
    pub fn caller() -> Author {
        Author { principal: super::principal(), at: super::now(), note: None, request: None }
    }

    /// The controller, now.
    #[must_use]
    pub fn controller() -> Author {
        Author { principal: String::from("controller"), at: super::now(), note: None, request: None }
    }
}

/// Where a proposal goes.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The set.
    pub set: &'a str,
    /// `user` for the user layer.
    pub layer: Option<&'a str>,
}

impl Draft {
    /// A copy of `base`, to be changed.
    #[must_use]
    pub fn of(base: &Stored, verb: Verb, author: Author) -> Draft {
        let mut next = base.clone();
        next.parent = base.generation;
        next.generation = base.newest.saturating_add(1);
        next.newest = next.generation;
        next.at = author.at;
        next.by = By { verb, principal: author.principal, request: author.request };
        next.note = author.note;
        // What the damaged one had is lost; from here on the chain is whole again.
        next.coverage = crate::engine::Coverage::Whole;
        Draft { next }
    }

    /// The generation as it stands.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.next
    }

    /// The generation to be written: bounded, and without sets that nobody needs.
    #[must_use]
    pub fn finish(mut self) -> Stored {
        let next = &mut self.next;
        let objects = &next.objects;
        let used: BTreeSet<&str> = objects.values().map(|object| object.metadata.set.as_str()).collect();
        next.sets.retain(|name, _| used.contains(name.as_str()));
        let mut ages: Vec<u64> = next.tombstones.values().map(|tombstone| tombstone.generation).collect();
        if ages.len() > TOMBSTONES_MAX {
            ages.sort_unstable();
            let oldest_kept = ages[ages.len() - TOMBSTONES_MAX];
            next.tombstones.retain(|_, tombstone| tombstone.generation >= oldest_kept);
            // Those that went in one generation go by name.
            while next.tombstones.len() > TOMBSTONES_MAX {
                next.tombstones.pop_first();
            }
        }
        self.next
    }

    /// Takes in a new or changed object, and forgives its crashes.
    ///
    /// # Errors
    /// When the system has no randomness for the uid of a new one.
    pub fn put(&mut self, proposal: &Proposal, owner: Owner<'_>, attempts: LastAttempts<'_>) -> io::Result<()> {
        let old = self.next.objects.get(&proposal.id).cloned();
        let mut overrides = old.as_ref().map(|old| old.overrides.clone()).unwrap_or_default();
        // A recreated object may find attempts of its predecessor; they are forgiven like its own.
        overrides.forgive(&attempts(&proposal.id));
        let (uid, created, generation) = match &old {
            Some(old) => (old.metadata.uid.clone(), old.metadata.created.clone(), old.metadata.generation + 1),
            None => (random_hex(8)?, self.next.at.clone(), 1),
        };
        let work_generation = self.work_generation(proposal, old.as_deref());
        let object = StoredObject {
            api_version: String::from("setpoint/v1"),
            kind: proposal.kind.clone(),
            metadata: Metadata {
                name: proposal.id.name().to_owned(),
                uid,
                labels: proposal.labels.clone(),
                annotations: proposal.annotations.clone(),
                set: owner.set.to_owned(),
                source: proposal.source.clone(),
                layer: owner.layer.map(str::to_owned),
                generation,
                work_generation,
                created,
                leftover: false,
            },
            spec: proposal.spec.clone(),
            overrides,
        };
        self.next.tombstones.remove(&proposal.id);
        self.next.objects.insert(proposal.id.clone(), Arc::new(object));
        Ok(())
    }

    /// Rises when what a Job does changes, and never falls: each number is run once.
    fn work_generation(&self, proposal: &Proposal, old: Option<&StoredObject>) -> u64 {
        let Some(work) = registry::work(proposal.id.kind(), &proposal.spec) else { return 0 };
        match old {
            Some(old) if registry::work(proposal.id.kind(), &old.spec).as_ref() == Some(&work) => {
                old.metadata.work_generation.max(1)
            }
            Some(old) => old.metadata.work_generation.saturating_add(1),
            None => {
                let stone = self.next.tombstones.get(&proposal.id);
                stone.map_or(0, |stone| stone.work_generation).saturating_add(1)
            }
        }
    }

    /// Freezes everything that would begin, or ends that.
    pub fn freeze(&mut self, frozen: Option<StoredPause>) {
        self.next.frozen = frozen;
    }

    /// Puts an object back as it once was. It keeps what was said about it since, and its uid when it is still there.
    ///
    /// # Errors
    /// When the system has no randomness for the uid of one that was deleted.
    pub fn restore(&mut self, id: &ObjectRef, old: &StoredObject, attempts: LastAttempts<'_>) -> io::Result<()> {
        let proposal = Proposal::of_stored(id, old);
        // The present owner stays the owner: undo is about content.
        let present = self.next.objects.get(id).map_or(&old.metadata, |object| &object.metadata).clone();
        self.next.sets.entry(present.set.clone()).or_default();
        self.put(&proposal, Owner { set: &present.set, layer: present.layer.as_deref() }, attempts)
    }

    /// Changes an object in place, without counting a change of its spec. Nothing happens when there is none.
    pub fn amend(&mut self, id: &ObjectRef, amend: impl FnOnce(&mut Metadata, &mut StoredOverrides)) {
        if let Some(object) = self.next.objects.get_mut(id) {
            let object = Arc::make_mut(object);
            amend(&mut object.metadata, &mut object.overrides);
        }
    }

    /// Removes an object, and leaves a tombstone: the licence to stop what runs for it.
    pub fn remove(&mut self, id: &ObjectRef) {
        self.bury(id, true);
    }

    /// Removes an object, and lets what runs for it go on as a stray.
    pub fn release(&mut self, id: &ObjectRef) {
        self.bury(id, false);
    }

    /// Removes an object with everything that runs for it, also what somebody else started.
    pub fn remove_adopted(&mut self, id: &ObjectRef) {
        self.bury(id, true);
        if let Some(tombstone) = self.next.tombstones.get_mut(id) {
            tombstone.ends_adopted = true;
        }
    }

    fn bury(&mut self, id: &ObjectRef, is_stopped: bool) {
        if let Some(old) = self.next.objects.remove(id) {
            let tombstone = StoredTombstone {
                object: id.to_string(),
                uid: old.metadata.uid.clone(),
                generation: self.next.generation,
                at: self.next.at.clone(),
                policy: registry::policy(id.kind(), &old.spec).filter(|_| is_stopped).map(Into::into),
                needs: registry::needs(id.kind(), &old.spec),
                ends_adopted: false,
                work_generation: old.metadata.work_generation,
            };
            self.next.tombstones.insert(id.clone(), tombstone);
        }
    }

    /// The record of a set, made when there is none.
    pub fn set(&mut self, name: &str) -> &mut StoredSet {
        self.next.sets.entry(name.to_owned()).or_default()
    }

    /// Says of every set but these that no controller follows it any more.
    pub fn unfollow_all_but(&mut self, live: &BTreeSet<&str>) {
        for (name, set) in &mut self.next.sets {
            set.live &= live.contains(name.as_str());
        }
    }
}

impl StoredSet {
    /// Remembers that the set was applied from this folder. Beyond 64 folders, new ones are not remembered.
    pub fn add_folder(&mut self, folder: &str) {
        if self.folders.len() < SET_FOLDERS_MAX {
            self.folders.insert(folder.to_owned());
        }
    }
}
