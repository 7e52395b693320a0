//! What to do, and why: one decision per instance.
//!
//! In: nothing; these are the words the engine answers in. Out: values an executor follows and people read.
//! Not here: deciding, doing. The surprise: a plan leaves the executor no choice, so an action carries everything
//! that is needed to carry it out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Streak;
use super::expand::Item;
use super::name::{Cause, InstanceId, ProcId, Revision};
use super::observed::Member;
pub use super::reason::{Lacking, Reason, State};
pub use super::run::entry::{Claim, Finish, Fire, MessageEnd, MessageFate, Note, Owed, Return, Tick};
use super::time::{BootTime, Timestamp};

/// The most actions one plan holds; the rest wait for the next pass.
pub const ACTIONS_MAX: usize = 4096;

/// All decisions of one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The generation it was made for; an executor refuses another.
    pub generation: u64,
    /// Sorted by instance; exactly one each.
    pub decisions: Vec<Decision>,
    /// When to look again at the latest, if nothing happens before.
    pub wake_at: Option<BootTime>,
    /// The same on the wall clock, which people can set: the next due time.
    pub wake_wall: Option<Timestamp>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// About which instance.
    pub id: InstanceId,
    /// What to do, if anything.
    pub action: Option<Action>,
    /// Why.
    pub because: Reason,
}

/// What an executor can be told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an attempt.
    Spawn(Box<Spawn>),
    /// Ask a shim to stop its tree.
    Stop {
        /// The shim.
        shim: ProcId,
        /// How the tree is stopped; written to the policy file first.
        policy: Policy,
        /// What its liveness probe said: this stop is a failure of the service and counts as a crash.
        failing: Option<Arc<str>>,
    },
    /// Write down that a process somebody else started counts as this instance.
    Adopt {
        /// The process.
        proc: ProcId,
        /// The revision that was wanted when it was first seen.
        revision: Revision,
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
    /// Remember a run that is owed from now on, and the due time that it settles.
    Fire(Box<Fire>),
    /// Remember what became of due times for which nothing runs, and how far a schedule has got.
    Note(Box<Note>),
    /// Remember how a run, or a step of one, ended.
    Finish(Box<Finish>),
    /// Take the next messages out of a queue.
    Claim(Box<Claim>),
    /// Put a message back into its queue, to be tried again.
    Return(Box<Return>),
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
    pub env: BTreeMap<String, EnvValue>,
    /// Files of `NAME=value` lines, absolute; a later one wins, and `env` over all of them.
    pub env_files: Vec<String>,
    /// What it gets of the controller's own environment.
    pub inherit: Inherit,
    /// Who it runs as: a name or a number.
    pub user: Option<String>,
    /// Its group: a name or a number.
    pub group: Option<String>,
    /// The mode bits its new files do not get.
    pub umask: Option<u32>,
    /// What it may use.
    pub limits: Limits,
    /// What its standard input is.
    pub stdin: Stdin,
    /// It is given a socket to tell of itself (`sd_notify`).
    pub is_notified: bool,
    /// Its record survives a power cut: the birth is on the disk before anything is executed, the end before the lock is
    /// free. For runs; it costs a start some milliseconds.
    pub is_durable: bool,
}

/// A command as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The exact argument list.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`; one without shell syntax is executed directly.
    Line(String),
    /// This program itself, with these words after its name.
    Own(Vec<String>),
}

/// The value of a variable, or where it comes from at each start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// As written.
    Literal(String),
    /// The controller's variable of this name.
    FromEnv(String),
    /// What this file holds, absolute; one newline at its end left out.
    FromFile(String),
    /// What this command prints; one newline at its end left out.
    FromCommand(Vec<String>),
}

/// What a process gets of the controller's own environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inherit {
    /// Nothing but the base.
    #[default]
    Nothing,
    /// These variables, where they are set.
    Named(Vec<String>),
    /// All of it.
    Everything,
}

/// What a process may use; `None` is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the whole tree in bytes.
    pub memory: Option<u64>,
    /// Processor time of the whole tree, in thousandths of one core.
    pub cpu_milli: Option<u32>,
    /// Processes of the whole tree.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Bytes of the largest file it may write.
    pub file_size: Option<u64>,
    /// Bytes of a core dump.
    pub core: Option<u64>,
    /// Bytes of the stack.
    pub stack: Option<u64>,
    /// From -20, served first, to 19, served last.
    pub nice: Option<i32>,
    /// From -1000, spared, to 1000, killed first when memory runs out.
    pub oom_score: Option<i32>,
}

/// What the standard input of a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe that its shim holds.
    Pipe,
    /// A terminal that its shim holds; its output goes there, too.
    Tty,
    /// These bytes, and then its end; at most [`Stdin::DATA_MAX`]. They never touch a disk.
    Data(Arc<[u8]>),
}

impl Stdin {
    /// The most bytes of [`Stdin::Data`]; a start with more is refused.
    pub const DATA_MAX: usize = 1 << 20;
}

impl Launch {
    /// A command in a folder, and nothing special about it.
    #[must_use]
    pub fn new(command: Command, dir: &str) -> Launch {
        Launch {
            command,
            dir: dir.into(),
            env: BTreeMap::new(),
            env_files: Vec::new(),
            inherit: Inherit::Nothing,
            user: None,
            group: None,
            umask: None,
            limits: Limits::default(),
            stdin: Stdin::Null,
            is_notified: false,
            is_durable: false,
        }
    }

    /// The same for one item: `{item}`, `{stem}` and `{name}` stand for data in the words of an argument list and in
    /// values of the environment, and nowhere else.
    #[must_use]
    pub fn for_item(&self, item: &Item, cause: &Cause) -> Launch {
        let fill = |text: &String| item.fill(text, cause);
        let mut launch = self.clone();
        if let Command::Argv(argv) = &mut launch.command {
            argv.iter_mut().for_each(|word| *word = fill(word));
        }
        for value in launch.env.values_mut() {
            if let EnvValue::Literal(text) = value {
                *text = fill(text);
            }
        }
        launch
    }
}

impl Item {
    /// `text` with `{item}`, `{stem}` and `{name}` replaced, in one go: what an item holds is never replaced again.
    #[must_use]
    pub fn fill(&self, text: &str, cause: &Cause) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let name = cause.to_string();
            let known = [("{item}", &*self.text), ("{stem}", &*self.stem), ("{name}", name.as_str())];
            match known.iter().find(|(mark, _)| from.starts_with(mark)) {
                Some((mark, value)) => {
                    filled.push_str(value);
                    rest = from.get(mark.len()..).unwrap_or_default();
                }
                None => {
                    filled.push('{');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// What applies to a running process without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How it is stopped.
    pub stop: StopRule,
    /// How much of its output is kept.
    pub log: LogLimits,
    /// What its shim waits for before it calls it ready.
    pub told: Told,
    /// The longest silence of its `WATCHDOG=1`; longer, and its shim ends it as failed.
    pub watchdog: Option<Duration>,
}

/// What a shim waits for before it calls its process ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    #[default]
    AtOnce,
    /// This text in a line of output.
    ByLog(Arc<str>),
    /// `READY=1` on its socket.
    ByNotify,
}

impl Policy {
    /// TERM, 10 s, five files of 50 MiB.
    pub const DEFAULT: Policy =
        Policy { stop: StopRule::DEFAULT, log: LogLimits::DEFAULT, told: Told::AtOnce, watchdog: None };
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
