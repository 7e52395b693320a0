//! The decision: what should be done now, from what is wanted and what was seen.
//!
//! In: [`Desired`], [`Observed`], [`Backoff`], [`Now`]. Out: a [`Plan`] with exactly one decision per instance.
//! Not here: any clock, file, process or randomness; a test holds that. What a kind wants is `kind`'s to say.
//! The surprise: doing nothing is a decision too, and it carries a reason like any other.

pub mod audit;
pub mod backoff;
pub mod converge;
pub mod desired;
pub mod expand;
mod fit;
pub mod live;
pub mod mutant;
pub mod name;
pub mod needs;
pub mod observed;
pub mod plan;
pub mod probe;
pub mod queue;
pub mod reason;
pub mod roll;
pub mod run;
pub mod schedule;
pub mod time;
pub mod twin;
pub mod words;

pub use audit::audit;
pub use backoff::{Backoff, BackoffRule};
pub use converge::Facts;
pub use desired::{Coverage, Desired, Object};
pub use mutant::Mutant;
pub use name::{Cause, InstanceId, ObjectRef, ProcId, Revision};
pub use observed::{Observed, Sight, Sighting};
pub use plan::{Action, Decision, Plan, Reason, State};
pub use time::{BootId, BootTime, Now, Timestamp};

/// Compares what is wanted with what was seen. Equal inputs give equal plans, byte for byte.
#[must_use]
pub fn reconcile(desired: &Desired, observed: &Observed, backoff: &Backoff, now: &Now) -> Plan {
    reconcile_mutated(desired, observed, backoff, now, Mutant::None)
}

/// [`reconcile`] with one of its rules switched off, so that tests can prove that somebody would notice.
#[doc(hidden)]
#[must_use]
pub fn reconcile_mutated(desired: &Desired, observed: &Observed, backoff: &Backoff, now: &Now, mutant: Mutant) -> Plan {
    converge::converge(&converge::Facts { desired, observed, backoff, now, mutant })
}
