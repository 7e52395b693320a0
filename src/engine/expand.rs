//! Turns objects into wants.
//!
//! In: an object of any kind. Out: what it wants of the machine now. Not here: the kinds themselves.
//! The surprise: the engine knows wants and never kinds, so a new kind is no change here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{BackoffRule, Exit};
use super::name::{Cause, ObjectRef};
use super::plan::{Launch, Policy};
use super::probe::Probes;
use super::run::{Part, RunRule};
use super::time::BootTime;

/// What the engine must know about a kind, and no more.
pub trait Kind: fmt::Debug + Send + Sync {
    /// Adds what this object wants of the machine now. Causes come in ascending order, each once. `items` is what was
    /// seen of [`Kind::for_each`].
    fn expand<'a>(&'a self, items: Option<&'a Items>, wants: &mut Vec<Want<'a>>);

    /// The fields that name a process: the input of its revision, defaults omitted, keys sorted, as JSON.
    fn revision_input(&self) -> String;

    /// How to stop what runs for this object, once it is gone.
    fn policy(&self) -> Policy;

    /// What its instances need before they start, sorted by object.
    fn needs(&self) -> &[Need] {
        &[]
    }

    /// What it runs to completion, if it does.
    fn runs(&self) -> Option<&RunRule> {
        None
    }

    /// What it is to others that name it.
    fn part(&self) -> Part<'_> {
        Part::None
    }

    /// Where its items come from, when it wants one instance per item.
    fn for_each(&self) -> Option<&ForEach> {
        None
    }
}

/// One demand of one object at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Names the instance, together with the object.
    pub cause: &'a Cause,
    /// What should be.
    pub up: &'a Up,
    /// The item it is for, if any.
    pub item: Option<&'a Item>,
}

/// A process that should be up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// What to execute.
    pub launch: Arc<Launch>,
    /// How it is stopped and logged.
    pub policy: Policy,
    /// What its end is answered with.
    pub restart: Restart,
    /// How soon.
    pub backoff: BackoffRule,
    /// What is asked of it while it runs.
    pub probes: Arc<Probes>,
    /// The command line by which a process that somebody else started counts as it.
    pub adopt: Option<Arc<str>>,
}

impl Up {
    /// A process of this launch, with every rule at its default.
    #[must_use]
    pub fn new(launch: Arc<Launch>) -> Up {
        Up {
            launch,
            policy: Policy::DEFAULT,
            restart: Restart::Always,
            backoff: BackoffRule::DEFAULT,
            probes: Arc::default(),
            adopt: None,
        }
    }
}

/// Something that has to be so before a start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Of which object.
    pub object: ObjectRef,
    /// How far it has to be.
    pub until: Until,
}

/// How far a need has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// Its processes are ready if they are probed, and run otherwise.
    Usable,
    /// Its processes run.
    Started,
    /// Its processes are ready.
    Ready,
    /// Its processes have ended well, those of its present revision.
    Done,
}

/// Where the items of an object come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForEach {
    /// Files of this pattern, absolute.
    Glob(Arc<str>),
    /// The lines a command prints.
    Command {
        /// The command.
        argv: Arc<[String]>,
        /// The folder it runs in.
        dir: Arc<str>,
        /// How often it is asked.
        every: Duration,
        /// How long it may take.
        timeout: Duration,
    },
}

/// One thing that an instance exists for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The whole: a path, or a line.
    pub text: Arc<str>,
    /// The file name without its extension, or the line.
    pub stem: Arc<str>,
}

/// The items of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Those there are, by the cause they give.
    pub listed: BTreeMap<Cause, Item>,
    /// When those that were there were first missed.
    pub gone: BTreeMap<Cause, BootTime>,
}

/// What the end of a process is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// A new start, whatever the exit.
    #[default]
    Always,
    /// A new start unless it exited with 0.
    OnFailure,
    /// Nothing.
    Never,
}

impl Restart {
    /// True when an end like this is answered with nothing.
    #[must_use]
    pub fn is_over(self, exit: &Exit) -> bool {
        match self {
            Restart::Always => false,
            Restart::OnFailure => exit.is_ok(),
            Restart::Never => true,
        }
    }
}
