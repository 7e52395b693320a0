//! Live folders: what the controller applies by itself when files change.
//!
//! In: a reading of every live folder, and the current generation. Out: the next generation, or none, and warnings.
//! Not here: watching and reading files, and the two seconds after which a vanished file is believed to be gone.
//! The surprise: losing many files at once is taken for a mistake. Such objects are marked as left over and kept until
//! a person prunes, whatever the folder holds later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::change::{Action, Change, Proposal, compare, is_most};
use super::draft::{Author, Draft, LastAttempts, Owner};
use super::generation::{Stored, StoredObject, Verb};
use super::references;
use crate::engine::{Coverage, ObjectRef};

/// The layer of the folder `jobs` of the home.
pub const LAYER_USER: &str = "user";
/// How many objects a warning names.
const NAMED_MAX: usize = 10;

/// How much of a folder was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All of it.
    Whole,
    /// Some files hold errors. Nothing is removed, since what they held cannot be told.
    Broken,
    /// The folder is missing or cannot be listed.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// One live folder, as it was read.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Its canonical path.
    pub path: String,
    /// The set it stands for.
    pub set: String,
    /// It is the folder `jobs` of the home, whose objects win over other live folders.
    pub is_user_layer: bool,
    /// What its good files hold.
    pub proposals: Vec<Proposal>,
    /// Whether that is all.
    pub listing: Listing,
}

/// What follows from a reading.
#[derive(Debug)]
pub struct LiveChanges {
    /// The next generation; none when nothing changes.
    pub draft: Option<Draft>,
    /// What changes, for the log.
    pub changes: Vec<Change>,
    /// What people should know, for as long as it stays so. The same fact always has the same words.
    pub warnings: Vec<String>,
    /// Objects whose file has gone, and that nobody has confirmed yet. Those that are still here after 2 s belong into
    /// `confirmed` at the next call.
    pub unconfirmed: BTreeSet<ObjectRef>,
}

/// Why an object stays with another set for now.
enum Kept {
    /// For as long as nothing changes there; in words.
    Forbidden(String),
    /// Until somebody confirms that its file has gone.
    Unconfirmed,
}

struct Pass<'a> {
    base: &'a Stored,
    /// By precedence.
    folders: Vec<&'a Folder>,
    confirmed: &'a BTreeSet<ObjectRef>,
    claims: BTreeMap<&'a ObjectRef, (&'a Folder, &'a Proposal)>,
    /// Named by a good file, and not applied because of what they name.
    blocked: BTreeSet<ObjectRef>,
    draft: Draft,
    is_changed: bool,
    changes: Vec<Change>,
    warnings: Vec<String>,
    unconfirmed: BTreeSet<ObjectRef>,
}

/// What the controller should apply now. `folders` are all live folders it has; sets that were live before and are not
/// among them become ordinary sets.
///
/// # Errors
/// When the system has no randomness for the uids of new objects.
pub fn plan(
    base: &Stored,
    folders: &[Folder],
    confirmed: &BTreeSet<ObjectRef>,
    attempts: LastAttempts<'_>,
) -> io::Result<LiveChanges> {
    let mut by_precedence: Vec<&Folder> = folders.iter().collect();
    by_precedence.sort_by_key(|folder| !folder.is_user_layer);
    let mut pass = Pass {
        base,
        folders: by_precedence,
        confirmed,
        claims: BTreeMap::new(),
        blocked: BTreeSet::new(),
        draft: Draft::of(base, Verb::Live, Author::controller()),
        is_changed: false,
        changes: Vec::new(),
        warnings: Vec::new(),
        unconfirmed: BTreeSet::new(),
    };
    pass.claim();
    pass.check_references();
    pass.put_claimed(attempts)?;
    for folder in pass.folders.clone() {
        pass.act_on_vanished(folder);
        pass.warn_of_leftovers(folder);
    }
    pass.record_sets();
    pass.changes.sort_by(|a, b| (a.action, &a.object).cmp(&(b.action, &b.object)));
    let draft = pass.is_changed.then_some(pass.draft);
    Ok(LiveChanges { draft, changes: pass.changes, warnings: pass.warnings, unconfirmed: pass.unconfirmed })
}

impl<'a> Pass<'a> {
    /// Decides which file speaks for each name.
    fn claim(&mut self) {
        for folder in self.folders.clone() {
            for proposal in &folder.proposals {
                if let Some((_, winner)) = self.claims.get(&proposal.id) {
                    let (winner, loser) = (&winner.source, &proposal.source);
                    self.warnings.push(format!("{}: {winner} wins over {loser}, which has the same name", proposal.id));
                    continue;
                }
                self.claims.insert(&proposal.id, (folder, proposal));
            }
        }
    }

    /// Sets aside what names something that is not there, or needs itself: what is applied of it stays as it is.
    fn check_references(&mut self) {
        loop {
            let proposals: Vec<&Proposal> = self.claims.values().map(|(_, proposal)| *proposal).collect();
            let found = references::check(self.base, &proposals, &BTreeSet::new());
            if found.is_empty() {
                return;
            }
            for (id, problem) in found {
                self.claims.remove(&id);
                self.blocked.insert(id);
                self.warnings.push(problem.render(true, false));
            }
        }
    }

    fn put_claimed(&mut self, attempts: LastAttempts<'_>) -> io::Result<()> {
        for (id, (folder, proposal)) in self.claims.clone() {
            let existing = self.base.objects.get(id).map(Arc::as_ref);
            if let Some(existing) = existing
                && let Some(kept) = self.foreign(folder, proposal, existing)
            {
                match kept {
                    Kept::Forbidden(warning) => self.warnings.push(warning),
                    Kept::Unconfirmed => {
                        self.unconfirmed.insert(id.clone());
                    }
                }
                continue;
            }
            let change = compare(existing, proposal, &folder.set);
            let is_back = existing.is_some_and(|existing| existing.metadata.leftover);
            match change.action {
                Action::Add | Action::Change => {
                    let layer = folder.is_user_layer.then_some(LAYER_USER);
                    self.draft.put(proposal, Owner { set: &folder.set, layer }, attempts)?;
                    self.is_changed = true;
                    self.changes.push(change);
                }
                Action::Unchanged if is_back => {
                    self.draft.amend(id, |meta, _| meta.leftover = false);
                    self.is_changed = true;
                }
                // A renamed file alone is no reason to write a generation; it is recorded along with the next.
                Action::Unchanged => self.draft.amend(id, |meta, _| meta.source.clone_from(&proposal.source)),
                Action::Remove | Action::Leftover => {}
            }
        }
        Ok(())
    }

    /// Why this folder may not have an object that there is already.
    fn foreign(&self, folder: &Folder, proposal: &Proposal, existing: &StoredObject) -> Option<Kept> {
        let meta = &existing.metadata;
        let refused = |help: &str| {
            let (id, source) = (&proposal.id, &proposal.source);
            let (set, owner) = (&meta.set, &meta.source);
            let text = format!("{id} belongs to the set \"{set}\" ({owner}), so {source} is not applied; {help}");
            Some(Kept::Forbidden(text))
        };
        if meta.set == folder.set {
            return None;
        }
        // Its `setpoint.yaml` gives another name now, or can be read again.
        let is_renamed = self
            .base
            .sets
            .get(&meta.set)
            .is_some_and(|set| set.live && set.folders.iter().all(|path| *path == folder.path));
        match self.folders.iter().find(|other| other.set == meta.set) {
            None if is_renamed => None,
            None => refused("delete it there, or rename one of the two"),
            Some(_) if folder.is_user_layer || meta.leftover => None,
            // The owner lets go of it; for certain only when that has been so for a while.
            Some(owner) if owner.listing == Listing::Whole && self.confirmed.contains(&proposal.id) => None,
            Some(owner) if owner.listing == Listing::Whole => Some(Kept::Unconfirmed),
            Some(_) => refused("its own folder cannot be read whole at the moment"),
        }
    }

    fn act_on_vanished(&mut self, folder: &Folder) {
        let base = self.base;
        let is_leftover = |id: &ObjectRef| base.objects.get(id).is_some_and(|object| object.metadata.leftover);
        let members: Vec<&ObjectRef> = base.members(&folder.set).filter(|id| !is_leftover(id)).collect();
        let gone: Vec<&ObjectRef> =
            members.iter().copied().filter(|id| !self.claims.contains_key(id) && !self.blocked.contains(*id)).collect();
        let kept_because = match (&folder.listing, &base.coverage) {
            (Listing::Broken, _) | (_, Coverage::Partial { .. }) => return,
            (Listing::Unreadable { .. }, Coverage::Whole) => Some("cannot be read"),
            (Listing::Whole, Coverage::Whole) if folder.proposals.is_empty() => Some("is empty now"),
            (Listing::Whole, Coverage::Whole) if is_most(gone.len(), members.len()) => {
                Some("lost more than half of its objects at once")
            }
            (Listing::Whole, Coverage::Whole) => None,
        };
        for id in gone {
            if !self.confirmed.contains(id) {
                self.unconfirmed.insert(id.clone());
                continue;
            }
            self.is_changed = true;
            let (action, reason) = if let Some(why) = kept_because {
                self.draft.amend(id, |meta, _| meta.leftover = true);
                (Action::Leftover, format!("{} {why}", folder.path))
            } else {
                self.draft.remove(id);
                (Action::Remove, format!("its file in {} has gone", folder.path))
            };
            self.changes.push(Change { object: id.clone(), action, reason, fields: Vec::new() });
        }
    }

    fn warn_of_leftovers(&mut self, folder: &Folder) {
        let next = self.draft.stored();
        let left: Vec<&str> = next
            .members(&folder.set)
            .filter(|id| next.objects.get(id).is_some_and(|object| object.metadata.leftover))
            .map(ObjectRef::as_str)
            .collect();
        if !left.is_empty() {
            let more = if left.len() > NAMED_MAX { " and more" } else { "" };
            let names = left.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(" ");
            let (path, count) = (&folder.path, left.len());
            self.warnings.push(format!(
                "{path} no longer holds all of its objects; {count} left over and kept: {names}{more}; \
                 put the files back, or remove them for good: setpoint delete {names}"
            ));
        }
        if let Listing::Unreadable { why } = &folder.listing {
            self.warnings.push(format!("{} cannot be read, so all of its objects are kept: {why}", folder.path));
        }
    }

    /// Records which sets are live. That alone makes a generation, because it decides who may change their objects.
    fn record_sets(&mut self) {
        let live: BTreeSet<&str> = self.folders.iter().map(|folder| folder.set.as_str()).collect();
        self.draft.unfollow_all_but(&live);
        for folder in self.folders.clone() {
            if self.draft.stored().members(&folder.set).next().is_some() {
                let set = self.draft.set(&folder.set);
                set.live = true;
                set.layer = folder.is_user_layer.then(|| LAYER_USER.to_owned());
                set.add_folder(&folder.path);
            }
        }
        // Sets that lost their last object go with the change that took it.
        self.is_changed |= self.draft.stored().sets != self.base.sets;
    }
}
