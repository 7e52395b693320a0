//! What an object says about work that ends: what is done, when it arises, and what its end is answered with.
//!
//! In: the parsed fields of Job, CronJob, Capability, Workflow, QuietHours and Settings. Out: values the engine decides
//! by. Not here: how people write them (`kind`). The surprise: a Capability and a Workflow are rules like any other,
//! whose runs arise only when somebody asks; what uses them borrows what they do and keeps its own name.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::params::Params;
use super::pressure::Figures;
use crate::engine::name::ObjectRef;
use crate::engine::plan::{Launch, Policy};
use crate::engine::queue::{Mailbox, QueueRule, Sorting, Trigger};
use crate::engine::schedule::{Schedule, Window};
use crate::engine::time::Timestamp;

/// What an object runs to completion.
#[derive(Clone, Debug)]
pub struct RunRule {
    /// What is done.
    pub work: Work,
    /// When a run arises.
    pub arises: Arises,
    /// How an attempt is stopped and logged.
    pub policy: Policy,
    /// The longest an attempt may take; a workflow as a whole.
    pub timeout: Option<Duration>,
    /// What a failure is answered with.
    pub retry: Retry,
    /// What a run does while an earlier one of the same object is not over.
    pub overlap: Overlap,
    /// How much of the past is kept.
    pub history: History,
    /// What it takes, when somebody asks for a run; the schema of its own parameters.
    pub params: Params,
    /// A run that a stop of everything interrupted goes on with the next controller, and the attempt is not counted.
    pub is_resumed: bool,
    /// It asks every single time.
    pub risk: Risk,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Work {
    /// A command.
    Command(Arc<Launch>),
    /// What a Capability or a Workflow does.
    Use {
        /// Which.
        target: Target,
        /// Its parameters; `{from: …}` stands for a value that is known later.
        with: Json,
    },
    /// One call: it needs no command of its own.
    Way(Way),
    /// Steps in an order.
    Flow(Arc<Flow>),
    /// Words for an agent.
    Prompt {
        /// Which agent.
        agent: ObjectRef,
        /// What it is told.
        text: Arc<str>,
    },
    /// What the rules say that a message is for.
    Sorted(Arc<Sorting>),
}

/// What is used: an object of one of these names, or what is built in under the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `capability/x`, `workflow/x`, in this order, as far as the name allows.
    pub candidates: Vec<ObjectRef>,
    /// What is built in, when no object has the name.
    pub builtin: Option<Builtin>,
}

/// What is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Does nothing, well.
    Noop,
    /// What the controller says of itself.
    SidecarStatus,
    /// What is scheduled.
    SidecarJobs,
}

impl Builtin {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Builtin::Noop => "noop",
            Builtin::SidecarStatus => "sidecar_status",
            Builtin::SidecarJobs => "sidecar_jobs",
        }
    }

    /// All of them.
    pub const ALL: &[Builtin] = &[Builtin::Noop, Builtin::SidecarStatus, Builtin::SidecarJobs];
}

/// How a Capability does what it does, unless by a command of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The orders of `setpoint call`, without the parameters.
    pub orders: Json,
    /// Where and in which environment; values that are secret stand here and never in the orders.
    pub launch: Arc<Launch>,
}

/// When a run arises.
#[derive(Clone, Debug)]
pub enum Arises {
    /// Once per generation of the work.
    Once {
        /// Not before this.
        at: Option<At>,
    },
    /// At times.
    Times(TimesRule),
    /// When somebody asks.
    Asked,
    /// For each message.
    Messages(QueueRule),
}

/// A moment as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// With its offset.
    Instant(Timestamp),
    /// On the wall clock of a zone: `2026-12-01T09:00:00`.
    Civil {
        /// The date and the time.
        text: Arc<str>,
        /// The zone, when it is not the default.
        zone: Option<Arc<str>>,
    },
}

/// When a schedule fires, and what happens when it cannot.
#[derive(Clone, Debug)]
pub struct TimesRule {
    /// The due times.
    pub schedule: Arc<Schedule>,
    /// Their zone, when it is not the default.
    pub zone: Option<Arc<str>>,
    /// The longest delay of a start; each object has its own share of it.
    pub jitter: Duration,
    /// What is done about due times that passed unseen.
    pub missed: Missed,
    /// How late is too late.
    pub missed_within: Duration,
    /// The QuietHours that keep it from starting.
    pub quiet: Vec<ObjectRef>,
    /// What then happens.
    pub on_quiet: OnQuiet,
    /// The first run that started is the last.
    pub is_once: bool,
    /// It is switched on.
    pub is_enabled: bool,
}

/// What is done about due times that passed unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// One run, for the latest.
    #[default]
    Once,
    /// Nothing.
    Skip,
    /// A run for each, oldest first.
    All,
}

/// What happens to a start that falls into quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnQuiet {
    /// It is dropped, and recorded.
    #[default]
    Skip,
    /// It comes after them.
    Defer,
}

/// What a run does while an earlier one of the same object is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is not made, and that is recorded.
    Skip,
    /// It waits; this many at most.
    Queue(u32),
    /// It ends the earlier one, and starts when the whole tree of that is gone.
    Replace,
    /// It starts beside; this many at once at most.
    Allow(u32),
}

/// What a failure is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub times: u32,
    /// The wait before the second attempt; doubled for each further one, up to [`Retry::WAIT_MAX`].
    pub wait: Duration,
}

impl Retry {
    /// The longest wait between two attempts.
    pub const WAIT_MAX: Duration = Duration::from_secs(3600);
    /// None.
    pub const NONE: Retry = Retry { times: 0, wait: Duration::from_secs(10) };

    /// The wait after the `failed`-th attempt, from 1.
    #[must_use]
    pub fn wait_after(&self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(32);
        self.wait.saturating_mul(2_u32.saturating_pow(doublings)).min(Self::WAIT_MAX)
    }
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// So many runs at most.
    pub runs: u32,
    /// So long at most.
    pub age: Duration,
}

impl History {
    /// A hundred runs, 90 days.
    pub const DEFAULT: History = History { runs: 100, age: Duration::from_secs(90 * 86_400) };
}

/// What a mistake costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing.
    Low,
    /// What it usually costs.
    #[default]
    Moderate,
    /// Somebody has to agree every single time.
    High,
}

/// What an object is to others.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Nothing but itself.
    None,
    /// Something that can be used.
    Capability(&'a Capability),
    /// Steps that can be used.
    Workflow(&'a Arc<Flow>),
    /// Hours in which things are quiet.
    Quiet(&'a QuietRule),
    /// Defaults and limits of the home.
    Settings(&'a Settings),
    /// Something that messages are sent to.
    Mailbox(&'a Mailbox),
    /// Something that reacts to changes and events.
    Trigger(&'a Trigger),
}

/// A Capability, as others use it.
#[derive(Clone, Debug)]
pub struct Capability {
    /// What it does: [`Work::Command`] or [`Work::Way`].
    pub work: Work,
    /// What it takes.
    pub params: Params,
    /// What a mistake costs.
    pub risk: Risk,
    /// The longest an attempt of it may take, where nobody who uses it says otherwise.
    pub timeout: Option<Duration>,
}

/// The steps of a Workflow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it takes.
    pub params: Params,
    /// The steps, in an order in which each comes after what it needs.
    pub steps: Vec<FlowStep>,
    /// The longest all of them may take, where nobody who uses it says otherwise.
    pub timeout: Option<Duration>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct FlowStep {
    /// Its name within the workflow.
    pub id: Arc<str>,
    /// What is done: never [`Work::Flow`], and no Workflow by [`Work::Use`].
    pub work: Work,
    /// The steps that have to be over before.
    pub needs: Vec<Arc<str>>,
    /// Whether it is done at all.
    pub when: Option<Condition>,
    /// What a failure is answered with.
    pub retry: Retry,
    /// The longest an attempt may take.
    pub timeout: Option<Duration>,
    /// Somebody has to agree first.
    pub asks_first: bool,
}

impl FlowStep {
    /// True when a command says whether it is done.
    #[must_use]
    pub fn is_asked_by_command(&self) -> bool {
        match &self.when {
            Some(Condition::Command(_)) => true,
            Some(Condition::Expression(_)) | None => false,
        }
    }
}

/// What has to be so.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A CEL expression over `params` and `steps`.
    Expression(Arc<str>),
    /// A command that exits with 0.
    Command(Arc<Launch>),
}

/// Hours in which things are quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietRule {
    /// When.
    pub windows: Vec<Window>,
    /// On whose wall clock, when it is not the default.
    pub zone: Option<Arc<str>>,
}

/// Defaults and limits of a home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The zone of schedules that name none.
    pub zone: Option<Arc<str>>,
    /// How many runs have processes at once.
    pub max_runs: Option<u32>,
    /// Beyond these, nothing new begins.
    pub gates: Figures,
    /// What shares of jitter are drawn from, in the place of the machine's id.
    pub jitter_seed: Option<Arc<str>>,
    /// How long final runs, ticks and events are kept, and how many.
    pub retention: Retention,
}

/// How much the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events: u32,
    /// Due times of one object.
    pub ticks: u32,
    /// The age of anything but events.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { events: 10_000, ticks: 1000, age: Duration::from_secs(90 * 86_400) }
    }
}
