//! What was seen of the machine, gaps included.
//!
//! In: a listing of processes, locks tried, policy files read. Out: one sighting per instance. Not here: looking.
//! The surprise: not seen is not gone. [`Sight::Absent`] says that the listing was whole *and* the lock was free;
//! anything less is [`Sight::Unreadable`], and nothing is ever done on that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desired::Coverage;
use super::expand::Items;
use super::name::{InstanceId, ObjectRef, ProcId, Revision};
use super::plan::Policy;
use super::probe::Health;
use super::run::Ledger;
use super::run::pressure::Pressure;
use super::time::BootTime;

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight<T> {
    /// It is there.
    Seen(T),
    /// It is certainly not there.
    Absent,
    /// It could not be told.
    Unreadable {
        /// Why not.
        why: Arc<str>,
    },
}

/// Everything that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Whether the whole process table was read.
    pub coverage: Coverage,
    /// Instances with a shim, a tree, a held lock, or something in flight. One not listed is absent when the coverage
    /// is whole, and unknown otherwise.
    pub sightings: BTreeMap<InstanceId, Sighting>,
    /// The items of objects that want one instance per item; one that is not listed is unknown.
    pub items: BTreeMap<ObjectRef, Sight<Items>>,
    /// What is remembered of work that ends.
    pub ledger: Ledger,
    /// How hard the machine is pressed; none where nobody has asked.
    pub pressure: Option<Pressure>,
}

impl Observed {
    /// A whole listing of nothing.
    #[must_use]
    pub fn empty() -> Observed {
        Observed {
            coverage: Coverage::Whole,
            sightings: BTreeMap::new(),
            items: BTreeMap::new(),
            ledger: Ledger::default(),
            pressure: None,
        }
    }

    /// Everything that runs counts as ready until it has been asked: it was there before this observer.
    pub fn give_benefit(&mut self) {
        for sighting in self.sightings.values_mut() {
            sighting.health.is_found = matches!(sighting.sight, Sight::Seen(_));
        }
    }
}

/// What was seen of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The process, if any.
    pub sight: Sight<Alive>,
    /// The policy file as it stands; `None` when there is none or it cannot be read.
    pub policy: Option<Policy>,
    /// When this controller asked its shim to stop, or first saw it stopping; forgotten with the controller, and then
    /// counted anew.
    pub stop_asked: Option<BootTime>,
    /// When this controller first signalled the tree itself, past the shim.
    pub tree_asked: Option<BootTime>,
    /// The last try to start it came to nothing, and left no record to wait by.
    pub refused: Option<Refused>,
    /// What its probes said.
    pub health: Health,
    /// Who else could be it.
    pub twin: Twin,
}

/// What was seen of processes that somebody else started and that could be an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Twin {
    /// Nobody has looked.
    #[default]
    Unlooked,
    /// There is none.
    None,
    /// This one.
    One(Adopted),
    /// These; nobody can say which.
    Many(Arc<[Member]>),
    /// It cannot be told.
    Unreadable {
        /// Why not.
        why: Arc<str>,
    },
}

/// A process that somebody else started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Which.
    pub member: Member,
    /// What was wanted when it was first seen; none before that is written down.
    pub revision: Option<Revision>,
}

impl Sighting {
    /// A sighting with nothing beside the process itself.
    #[must_use]
    pub fn of(sight: Sight<Alive>) -> Sighting {
        Sighting {
            sight,
            policy: None,
            stop_asked: None,
            tree_asked: None,
            refused: None,
            health: Health::default(),
            twin: Twin::default(),
        }
    }
}

/// A start that came to nothing before it could be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: BootTime,
    /// The system's words.
    pub why: Arc<str>,
}

/// A live shim, or what a killed one left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// Which attempt.
    pub attempt: u32,
    /// What it was started from.
    pub revision: Revision,
    /// The shim. For [`Phase::Lingering`]: the one that died.
    pub shim: ProcId,
    /// The main process; 0 while there is none.
    pub payload: u32,
    /// When the attempt was started.
    pub since: BootTime,
    /// What it is doing.
    pub phase: Phase,
    /// Its shim waits no more for a word that it is ready.
    pub is_told: bool,
    /// Its processes at the last look, each verified, the shim left out. Filled for [`Phase::Lingering`] and when a
    /// stop has been asked.
    pub tree: Arc<[Member]>,
}

/// A process of a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Which process.
    pub proc: ProcId,
    /// Its name, for people.
    pub name: Arc<str>,
}

/// What a live instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asked for, not yet answered: queued, or its shim is on the way.
    Spawning,
    /// The shim is up; the payload has not been executed.
    Starting,
    /// The payload runs.
    Running,
    /// The payload is stopped by a signal or a debugger; it counts as alive.
    Frozen,
    /// The shim is ending the tree.
    Stopping,
    /// The exit is written, the shim is about to go.
    Ending,
    /// The shim is gone, and processes of its tree are not.
    Lingering,
}
