//! The objects there would be, for those that name them.
//!
//! In: a generation, proposals, what is to be removed. Out: whether an object is there, what it is to others, names that
//! are alike. Not here: what is wrong with naming them (`references`).
//! The surprise: an object is read when somebody asks for it, since most are never named.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::change::Proposal;
use super::generation::Stored;
use super::registry;
use crate::engine::ObjectRef;
use crate::engine::expand::Kind;
use crate::engine::run::{Part, Settings};
use crate::engine::schedule::{Zone, jitter_offset};
use crate::load::similar;
use crate::observe::machine;
use crate::observe::zones::{self, Zones};

/// From here on two names are alike, 1 being the same.
const ALIKE_MIN: f64 = 0.6;
/// How many names are suggested.
const ALIKE_MAX: usize = 3;

/// What was read of an object; none when it cannot be.
type Read = Option<Arc<dyn Kind>>;

/// The objects there would be.
#[derive(Debug)]
pub struct Known<'a> {
    base: &'a Stored,
    proposed: BTreeMap<&'a ObjectRef, &'a Proposal>,
    removed: &'a BTreeSet<&'a ObjectRef>,
    read: RefCell<BTreeMap<ObjectRef, Read>>,
    zones: RefCell<Zones>,
}

impl<'a> Known<'a> {
    /// Those of a generation and of proposals, without those that are removed in the same go.
    #[must_use]
    pub fn new(base: &'a Stored, proposals: &[&'a Proposal], removed: &'a BTreeSet<&'a ObjectRef>) -> Known<'a> {
        let proposed = proposals.iter().map(|proposal| (&proposal.id, *proposal)).collect();
        Known { base, proposed, removed, read: RefCell::default(), zones: RefCell::default() }
    }

    /// True when it would be there.
    #[must_use]
    pub fn has(&self, id: &ObjectRef) -> bool {
        self.proposed.contains_key(id) || self.is_stored(id)
    }

    fn is_stored(&self, id: &ObjectRef) -> bool {
        self.base.objects.contains_key(id) && !self.removed.contains(id)
    }

    /// True when it is one of the proposals.
    #[must_use]
    pub fn is_proposed(&self, id: &ObjectRef) -> bool {
        self.proposed.contains_key(id)
    }

    /// True when it is there and would go.
    #[must_use]
    pub fn is_going(&self, id: &ObjectRef) -> bool {
        self.removed.contains(id)
    }

    /// What it is; none when it would not be there, or cannot be read.
    #[must_use]
    pub fn object(&self, id: &ObjectRef) -> Read {
        if let Some(read) = self.read.borrow().get(id) {
            return read.clone();
        }
        let spec = match (self.proposed.get(id), self.base.objects.get(id)) {
            (Some(proposal), _) => &proposal.spec,
            (None, Some(stored)) if self.is_stored(id) => &stored.spec,
            (None, _) => return None,
        };
        let read = registry::parse(id.kind(), spec).ok();
        self.read.borrow_mut().insert(id.clone(), read.clone());
        read
    }

    /// All there would be, proposals first.
    pub fn names(&self) -> impl Iterator<Item = &ObjectRef> {
        let stored = self.base.objects.keys().filter(|id| self.is_stored(id) && !self.proposed.contains_key(id));
        self.proposed.keys().copied().chain(stored)
    }

    /// The objects of these kinds that were probably meant by a name, the likeliest first.
    #[must_use]
    pub fn alike(&self, name: &str, kinds: &[&str]) -> Vec<&ObjectRef> {
        if name.len() > 64 {
            return Vec::new();
        }
        let lower = name.to_ascii_lowercase();
        let likeness = |id: &ObjectRef| {
            let known = id.name().to_ascii_lowercase();
            let is_slip = similar(name, [id.name()]).is_some();
            let part = strsim::normalized_damerau_levenshtein(&lower, &known);
            if is_slip { part.max(0.9) } else { part }
        };
        let of_kind = self.names().filter(|id| kinds.contains(&id.kind()));
        let mut alike: Vec<(f64, &ObjectRef)> = of_kind.map(|id| (likeness(id), id)).collect();
        alike.retain(|(likeness, _)| *likeness >= ALIKE_MIN);
        alike.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.cmp(other)));
        alike.into_iter().map(|(_, id)| id).take(ALIKE_MAX).collect()
    }

    /// The object behind the name of a slash command, such as `morning` behind `wb-morning`.
    #[must_use]
    pub fn behind_command(&self, name: &str, kinds: &[&str]) -> Option<&ObjectRef> {
        let (_, stem) = name.split_once('-')?;
        let is_longer = |id: &ObjectRef| id.name().strip_prefix(stem).is_some_and(|rest| rest.starts_with(['-', '_']));
        let of_kind = || self.names().filter(|id| kinds.contains(&id.kind()));
        of_kind().find(|id| id.name() == stem).or_else(|| of_kind().find(|id| is_longer(id)))
    }

    /// What is wrong with the name of a zone, and what to write.
    #[must_use]
    pub fn zone_fault(&self, name: &str) -> Option<zones::NameError> {
        self.zones.borrow_mut().get(name).err()
    }

    /// The zone of this name, else that of the settings, else of this machine.
    #[must_use]
    pub fn zone(&self, name: Option<&Arc<str>>) -> Option<Zone> {
        let said = match name {
            Some(name) => Some(Arc::clone(name)),
            None => self.settings().and_then(|settings| settings.zone),
        };
        let name = said.map_or_else(|| zones::local().name, |name| name.to_string());
        self.zones.borrow_mut().get(&name).ok()
    }

    /// The share of a jitter that this object has on this machine. None where the machine has no id of its own and the
    /// settings name no seed: then it follows from the id of the home.
    #[must_use]
    pub fn offset(&self, id: &ObjectRef, jitter: Duration) -> Option<Duration> {
        let said = self.settings().and_then(|settings| settings.jitter_seed).map(|seed| seed.to_string());
        Some(jitter_offset(&said.or_else(machine::id)?, id.name(), jitter))
    }

    fn settings(&self) -> Option<Settings> {
        let id = self.names().find(|id| id.kind() == "settings")?;
        match self.object(id)?.part() {
            Part::Settings(settings) => Some(settings.clone()),
            Part::None
            | Part::Capability(_)
            | Part::Workflow(_)
            | Part::Quiet(_)
            | Part::Mailbox(_)
            | Part::Trigger(_) => None,
        }
    }
}
