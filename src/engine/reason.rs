//! Why something is or is not done, and the state word that follows.
//!
//! In: nothing; these are values the engine answers with. Out: states. Not here: the sentences ([`super::words`]).
//! The surprise: a state is never stored. It is what the reason of the present decision comes to.

use std::sync::Arc;

use super::backoff::Exit;
use super::expand::Need;
use super::name::{Cause, ObjectRef, ProcId, Revision};
use super::plan::Decision;
use super::run::pressure::Passed;
use super::run::{Next, Outcome, TickState};
use super::time::{BootTime, Timestamp};

/// Why, in values; [`super::words`] says it in words.
#[allow(missing_docs, reason = "each field is named by the sentence above its variant")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Wanted, and nothing of it runs.
    Missing,
    /// It died, and its backoff lets the next attempt start now.
    Again { exit: Exit },
    /// Runs, and nothing is to be done.
    Healthy,
    /// The same as far as is known: it ran before this controller did, and has not been heard of since.
    Found,
    /// Executed, and not alive for long enough to count as ready.
    NotReadyYet { at: BootTime },
    /// A start is on the way.
    Starting,
    /// Stopped by a signal such as STOP; it counts as alive.
    Frozen,
    /// Runs under a revision rule this binary does not know; counts as unchanged.
    ForeignRevision,
    /// Crashed; the next attempt comes at `until`.
    BackingOff { until: BootTime, exit: Exit, deaths: u32 },
    /// Crashed too often.
    GaveUp { deaths: u32, exit: Exit },
    /// Ended, and its restart rule asks for no more.
    Completed { exit: Exit },
    /// A person keeps it down.
    Paused { by: Arc<str>, reason: Option<Arc<str>>, until: Option<Timestamp> },
    /// A field that matters to a process has changed.
    Changed { from: Revision },
    /// Changed; its turn comes when the others are ready.
    RollWaits,
    /// Changed; the new revision crashed elsewhere, so this one is kept until the next edit.
    RollHalted,
    /// Somebody asked for a restart.
    RestartAsked,
    /// The object is gone.
    Deleted,
    /// Fewer replicas are wanted.
    ScaledDown,
    /// Nothing explains it; it is left alone.
    Stray,
    /// Being stopped.
    Stopping,
    /// Stop was asked for and the shim has not begun: its tree is ended without it.
    ShimStuck,
    /// Its shim is gone and its processes are not.
    Lingering,
    /// Vanished without an exit.
    Vanished,
    /// Something about how it is stopped or logged has changed.
    PolicyChanged,
    /// It runs, and its readiness probe has not passed.
    Unready { said: Arc<str>, has_passed: bool },
    /// Its liveness probe failed.
    Unhealthy { said: Arc<str> },
    /// It needs something that is not as far as it should be.
    NeedsWait { need: Need, is: Lacking },
    /// It is to be stopped after what needs it.
    StopWaits { dependent: ObjectRef },
    /// A process somebody else started counts as it.
    Adopted { proc: ProcId },
    /// The same, and what is wanted has changed since.
    Drifted { proc: ProcId },
    /// More than one process could be it.
    Ambiguous { pids: Vec<u32> },
    /// Its item is gone; it is stopped at `until`, unless the item comes back.
    ItemGone { until: BootTime },
    /// It could not be told whether it runs.
    Blind { why: Arc<str> },
    /// It could not be started, and no attempt was recorded.
    Refused { why: Arc<str>, until: BootTime },
    /// The plan is full; it comes next.
    PlanFull,
    /// Its time has come.
    Due,
    /// Its attempt is under way.
    AtWork,
    /// It is owed, and its time has not come.
    NotYet { until: Timestamp },
    /// Its next due time, without and with the jitter.
    Scheduled { next: Next },
    /// It is due at the next start of the machine.
    AtBoot,
    /// Its schedule has no further due time.
    NeverAgain,
    /// It ran once, as it should.
    Spent,
    /// `enabled: false`.
    Disabled,
    /// Its schedule is new, or another; due times count from now on.
    Registered,
    /// The wall clock was set by so much that its due times count from now on.
    ClockStepped,
    /// A due time came, and nothing runs for it.
    Settled { state: TickState, why: Arc<str> },
    /// What was decided about it is being written down.
    Writing,
    /// Nothing can be written down, so nothing begins that would have to be.
    NoStore { why: Arc<str> },
    /// A person froze everything.
    FrozenByPerson { by: Arc<str>, reason: Option<Arc<str>> },
    /// Somebody has to agree first, and nobody can be asked yet.
    NeedsConsent { what: Arc<str> },
    /// An earlier run of the same object is not over.
    Behind { cause: Cause },
    /// As many runs as are allowed have processes.
    Queued { limit: usize },
    /// The machine is pressed too hard for anything new; it is asked again at `until`.
    Pressed { over: Arc<[Passed]>, until: BootTime },
    /// It failed, and is tried again at `until`.
    RetryWaits { until: BootTime, why: Arc<str>, failed: u32, of: u32 },
    /// It takes too long.
    TimedOut,
    /// Somebody asked for its end.
    Cancelled { by: Arc<str> },
    /// A later run takes its place.
    Replaced { by: Cause },
    /// Everything is being stopped.
    Draining,
    /// It is over.
    Over { outcome: Outcome, why: Arc<str> },
    /// A workflow, so many steps of which are over.
    Steps { done: usize, of: usize },
    /// A step that comes after others.
    StepWaits,
    /// No message can be claimed now; when the next can, and how many wait.
    QueueIdle { next: Option<Timestamp>, depth: u64 },
    /// As many messages as are allowed are at work; so many are not over.
    QueueFull { at_work: usize, depth: u64 },
    /// It failed, and goes back into its queue until then.
    Returned { until: Timestamp, why: Arc<str>, failed: u32, of: u32 },
}

/// The state words of an instance; the reason says more.
#[allow(missing_docs, reason = "the words are the documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ready,
    Done,
    Starting,
    Running,
    Stopping,
    Stopped,
    Paused,
    Waiting,
    Backoff,
    Drifted,
    Ambiguous,
    Stray,
    Frozen,
    Lingering,
    Failed,
    Unknown,
    Halted,
    GaveUp,
    Scheduled,
    Held,
    NeedsConsent,
}

impl Decision {
    /// The state this decision speaks of.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.because {
            Reason::Healthy | Reason::Found | Reason::ForeignRevision | Reason::RollWaits => State::Ready,
            Reason::Adopted { .. } => State::Ready,
            Reason::PolicyChanged | Reason::Unready { has_passed: true, .. } => State::Running,
            Reason::Drifted { .. } => State::Drifted,
            Reason::Ambiguous { .. } => State::Ambiguous,
            Reason::Missing
            | Reason::Again { .. }
            | Reason::NotReadyYet { .. }
            | Reason::Unready { has_passed: false, .. }
            | Reason::Starting => State::Starting,
            Reason::Frozen => State::Frozen,
            Reason::BackingOff { .. } | Reason::Vanished => State::Backoff,
            Reason::GaveUp { .. } => State::GaveUp,
            Reason::Completed { exit } if exit.is_ok() => State::Done,
            Reason::Completed { .. } => State::Failed,
            Reason::Paused { .. } if self.action.is_none() => State::Paused,
            Reason::RollHalted => State::Halted,
            Reason::Paused { .. }
            | Reason::Changed { .. }
            | Reason::RestartAsked
            | Reason::Deleted
            | Reason::ScaledDown
            | Reason::Unhealthy { .. }
            | Reason::StopWaits { .. }
            | Reason::ItemGone { .. }
            | Reason::Stopping
            | Reason::ShimStuck => State::Stopping,
            Reason::Stray => State::Stray,
            Reason::Lingering => State::Lingering,
            Reason::Blind { .. } => State::Unknown,
            Reason::Refused { .. } | Reason::NeedsWait { .. } | Reason::PlanFull => State::Waiting,
            Reason::NoStore { .. } | Reason::NotYet { .. } | Reason::Behind { .. } => State::Waiting,
            Reason::Queued { .. } | Reason::Pressed { .. } => State::Waiting,
            Reason::RetryWaits { .. } | Reason::Returned { .. } => State::Backoff,
            Reason::QueueIdle { .. } => State::Ready,
            Reason::QueueFull { .. } => State::Running,
            Reason::StepWaits => State::Waiting,
            Reason::Due => State::Starting,
            Reason::AtWork | Reason::Steps { .. } => State::Running,
            Reason::Scheduled { .. } | Reason::AtBoot | Reason::Registered | Reason::ClockStepped => State::Scheduled,
            // What came due is held until somebody agrees, and so is what comes next.
            Reason::Settled { state: TickState::Held, .. } => State::NeedsConsent,
            Reason::Settled { .. } | Reason::Writing => State::Scheduled,
            Reason::NeverAgain | Reason::Spent => State::Done,
            Reason::Disabled => State::Paused,
            Reason::FrozenByPerson { .. } => State::Held,
            Reason::NeedsConsent { .. } => State::NeedsConsent,
            Reason::TimedOut | Reason::Cancelled { .. } | Reason::Replaced { .. } | Reason::Draining => State::Stopping,
            Reason::Over { outcome: Outcome::Ok | Outcome::Skipped, .. } => State::Done,
            Reason::Over { .. } => State::Failed,
        }
    }
}

/// What a need lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// There is no such object.
    Object,
    /// It wants no process.
    Processes,
    /// One of its instances is not as far; its state.
    Instance(State),
}
