//! Where messages come from: senders, folders, services that are polled, files that change, things that happen.
//!
//! In: the parsed fields of Mailbox and Trigger. Out: values the controller listens by, and whether an event is meant.
//! Not here: listening. The surprise: a Trigger is a mailbox with one rule, whose messages the controller writes itself.

use std::sync::Arc;
use std::time::Duration;

use glob::{MatchOptions, Pattern};
use serde_json::Value as Json;

use super::sort::QueueRule;
use crate::engine::name::ObjectRef;
use crate::engine::run::{Way, expression};

/// How a Mailbox is reached.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// What its queue holds at most.
    pub queue: QueueRule,
    /// Senders on channels that are heard: `tg:123`, or `any`. Local ones need no entry.
    pub allow: Vec<Arc<str>>,
    /// Where else messages come from.
    pub sources: Vec<Source>,
}

/// Where messages come from, beside those who send them.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files that are put into this folder, absolute.
    Folder(Arc<str>),
    /// A service that is asked for them.
    Poll(Arc<Poll>),
}

/// A service that is asked for messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// How it is asked.
    pub ask: Way,
    /// How it is told that one is taken care of; `{from: message.id}` stands for its id, and `{id}` in the address.
    pub done: Option<Way>,
    /// How often.
    pub every: Duration,
    /// The way to the list of messages in the answer, with points between; empty for the answer itself.
    pub items: Arc<str>,
    /// The way to the id in each.
    pub id: Arc<str>,
    /// The way to what the next request is told as `cursor`, in the answer.
    pub cursor: Option<Arc<str>>,
}

/// What a Trigger reacts to.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// What its queue holds at most.
    pub queue: QueueRule,
    /// Files that change.
    pub watch: Option<Arc<WatchRule>>,
    /// Things that happen.
    pub event: Option<Arc<EventRule>>,
    /// So often at most.
    pub limit: Limit,
}

/// So many within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many.
    pub times: u32,
    /// Within this.
    pub within: Duration,
}

/// Which changes of files count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRule {
    /// Patterns of paths, absolute; `**` stands for any folders.
    pub paths: Vec<Arc<str>>,
    /// Patterns of paths that do not count; one without `/` is a name anywhere.
    pub ignore: Vec<Arc<str>>,
    /// Endings of names that count, without the point; empty for all.
    pub extensions: Vec<Arc<str>>,
    /// Which changes.
    pub changes: Changes,
    /// How long it has to be quiet before the changes are told, as one.
    pub settle: Duration,
    /// What `.gitignore` names does not count.
    pub is_gitignore_kept: bool,
}

/// Kinds of changes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// A file appears, also by a rename.
    pub is_create: bool,
    /// Its content changes.
    pub is_modify: bool,
    /// It goes, also by a rename.
    pub is_delete: bool,
}

/// Which events count.
#[derive(Clone, Debug)]
pub struct EventRule {
    /// Patterns of types, in full: `setpoint.service.gave-up`.
    pub types: Vec<Pattern>,
    /// What has to be true of it.
    pub when: Option<Arc<str>>,
}

impl EventRule {
    /// Whether an event counts. `scope` is what `when` may name: `event` with type, subject, object, text, data, time.
    ///
    /// # Errors
    /// When `when` cannot be told.
    pub fn is_met(&self, kind: &str, scope: &Json) -> Result<bool, String> {
        if !self.types.iter().any(|pattern| pattern.matches_with(kind, MatchOptions::default())) {
            return Ok(false);
        }
        self.when.as_ref().map_or(Ok(true), |when| expression::is_true(when, scope))
    }
}

/// True when an event is about a Trigger, or about what it did: no Trigger is set off by itself.
#[must_use]
pub fn is_own(trigger: &ObjectRef, subject: &str) -> bool {
    let name = trigger.as_str();
    subject.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
