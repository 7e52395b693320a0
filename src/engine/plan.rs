//! What to do, and why: one decision per instance.
//!
//! In: nothing; these are the words the engine answers in. Out: values an executor follows and people read.
//! Not here: deciding, doing. The surprise: a plan leaves the executor no choice, so an action carries everything
//! that is needed to carry it out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{Exit, Streak};
use super::name::{InstanceId, ProcId, Revision};
use super::observed::Member;
use super::time::{BootTime, Span, Timestamp};

/// The most actions one plan holds; the rest wait for the next pass.
pub const ACTIONS_MAX: usize = 4096;

/// All decisions of one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The generation it was made for; an executor refuses another.
    pub generation: u64,
    /// Sorted by instance; exactly one each.
    pub decisions: Vec<Decision>,
    /// When to look again at the latest, if nothing happens before.
    pub wake_at: Option<BootTime>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// About which instance.
    pub id: InstanceId,
    /// What to do, if anything.
    pub action: Option<Action>,
    /// Why.
    pub because: Reason,
}

/// What an executor can be told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start an attempt.
    Spawn(Box<Spawn>),
    /// Ask a shim to stop its tree.
    Stop {
        /// The shim.
        shim: ProcId,
        /// How the tree is stopped; written to the policy file first.
        policy: Policy,
    },
    /// Signal a tree that has no working shim.
    EndTree {
        /// Its processes, each to be verified again before the signal.
        tree: Arc<[Member]>,
        /// The stop signal at first, KILL once the grace is over.
        signal: i32,
    },
    /// Write into the record of a vanished attempt that it was lost.
    RecordLost {
        /// The attempt.
        attempt: u32,
    },
    /// Write the policy file and have the shim read it.
    SetPolicy {
        /// The shim.
        shim: ProcId,
        /// What to write.
        policy: Policy,
    },
}

/// Everything a start needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// The number of the attempt: one more than any before.
    pub attempt: u32,
    /// The uid of its object.
    pub uid: Arc<str>,
    /// The revision its argv carries.
    pub revision: Revision,
    /// What its birth record carries.
    pub streak: Streak,
    /// What to execute.
    pub launch: Arc<Launch>,
    /// How it is stopped and logged.
    pub policy: Policy,
}

/// What to execute, and in which surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The command.
    pub command: Command,
    /// The folder it starts in, absolute.
    pub dir: Arc<str>,
    /// What its environment has beside the base.
    pub env: BTreeMap<String, String>,
}

/// A command as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The exact argument list.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`; one without shell syntax is executed directly.
    Line(String),
}

/// What applies to a running process without a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How it is stopped.
    pub stop: StopRule,
    /// How much of its output is kept.
    pub log: LogLimits,
}

impl Policy {
    /// TERM, 10 s, five files of 50 MiB.
    pub const DEFAULT: Policy = Policy { stop: StopRule::DEFAULT, log: LogLimits::DEFAULT };
}

/// How a tree is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRule {
    /// The first signal, by number.
    pub signal: i32,
    /// How long until KILL; at most [`StopRule::GRACE_MAX`].
    pub grace: Duration,
}

impl StopRule {
    /// `SIGTERM`.
    pub const TERM: i32 = 15;
    /// `SIGHUP`: a shim reads its policy again.
    pub const HUP: i32 = 1;
    /// `SIGKILL`.
    pub const KILL: i32 = 9;
    /// The longest grace.
    pub const GRACE_MAX: Duration = Duration::from_secs(3600);
    /// TERM, then KILL after 10 s.
    pub const DEFAULT: StopRule = StopRule { signal: Self::TERM, grace: Duration::from_secs(10) };
}

/// How much output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// A file is closed when it has reached this many bytes.
    pub max_size: u64,
    /// How many files are kept, the one being written included.
    pub max_files: u32,
}

impl LogLimits {
    /// Five files of 50 MiB.
    pub const DEFAULT: LogLimits = LogLimits { max_size: 50 << 20, max_files: 5 };
}

/// Why, in values; [`fmt::Display`] says it in words.
#[allow(missing_docs, reason = "each field is named by the sentence above its variant")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Wanted, and nothing of it runs.
    Missing,
    /// It died, and its backoff lets the next attempt start now.
    Again { exit: Exit },
    /// Runs, and nothing is to be done.
    Healthy,
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
    /// It could not be told whether it runs.
    Blind { why: Arc<str> },
    /// It could not be started, and no attempt was recorded.
    Refused { why: Arc<str>, until: BootTime },
    /// The plan is full; it comes next.
    PlanFull,
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
    Stray,
    Frozen,
    Lingering,
    Failed,
    Unknown,
    Halted,
    GaveUp,
}

impl Decision {
    /// The state this decision speaks of.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.because {
            Reason::Healthy | Reason::ForeignRevision | Reason::RollWaits => State::Ready,
            Reason::PolicyChanged => State::Running,
            Reason::Missing | Reason::Again { .. } | Reason::NotReadyYet { .. } | Reason::Starting => State::Starting,
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
            | Reason::Stopping
            | Reason::ShimStuck => State::Stopping,
            Reason::Stray => State::Stray,
            Reason::Lingering => State::Lingering,
            Reason::Blind { .. } => State::Unknown,
            Reason::Refused { .. } | Reason::PlanFull => State::Waiting,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::NotStarted(why) => write!(f, "not started: {why}"),
            Exit::Lost => f.write_str("exit unknown"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => f.write_str("it is wanted and does not run"),
            Reason::Again { exit } => {
                let verb = if exit.is_ok() { "ended" } else { "crashed" };
                write!(f, "it {verb} ({exit}) and is started again")
            }
            Reason::Healthy => f.write_str("it runs as wanted"),
            Reason::NotReadyYet { .. } => f.write_str("it has just been started"),
            Reason::Starting => f.write_str("its start is under way"),
            Reason::Frozen => f.write_str("it is frozen by a signal and counts as alive; kill -CONT thaws it"),
            Reason::ForeignRevision => {
                f.write_str("it runs; another version of setpoint started it, so its revision counts as unchanged")
            }
            Reason::BackingOff { exit, deaths, .. } => {
                let verb = if exit.is_ok() { "ended" } else { "crashed" };
                write!(f, "it {verb} ({exit})")?;
                if *deaths > 1 { write!(f, ", {deaths} times in a row") } else { Ok(()) }
            }
            Reason::GaveUp { deaths, exit } => {
                let times = if *deaths == 1 { "once".to_owned() } else { format!("{deaths} times in a row") };
                write!(f, "it crashed {times}, last with {exit}; edit it or restart it to try again")
            }
            Reason::Completed { exit } => write!(f, "it ended ({exit}) and its restart rule asks for no more"),
            Reason::Paused { by, reason, .. } => match reason {
                Some(reason) => write!(f, "{by} paused it: {reason}"),
                None => write!(f, "{by} paused it"),
            },
            Reason::Changed { .. } => f.write_str("its manifest has changed"),
            Reason::RollWaits => f.write_str("it is to be replaced; its turn comes when the others are ready"),
            Reason::RollHalted => {
                f.write_str("it is to be replaced, but its successor crashed, so it is kept until the next edit")
            }
            Reason::RestartAsked => f.write_str("a restart was asked for"),
            Reason::Deleted => f.write_str("its object was deleted"),
            Reason::ScaledDown => f.write_str("fewer replicas are wanted"),
            Reason::Stray => f.write_str("no object of this home explains it, so it is left alone"),
            Reason::Stopping => f.write_str("it is being stopped"),
            Reason::ShimStuck => {
                f.write_str("its shim does not get on with stopping it, so its processes are ended directly")
            }
            Reason::Lingering => f.write_str("its shim was killed and its processes live on"),
            Reason::Vanished => f.write_str("it vanished without an exit"),
            Reason::PolicyChanged => f.write_str("how it is stopped or logged has changed"),
            Reason::Blind { why } => write!(f, "too little is known to do anything: {why}"),
            Reason::Refused { why, .. } => write!(f, "it could not be started: {why}"),
            Reason::PlanFull => f.write_str("too many things are to be done at once; it comes next"),
        }
    }
}

impl fmt::Display for StopRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signal {}, KILL after {}", self.signal, Span(self.grace))
    }
}
