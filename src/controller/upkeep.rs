//! What the books need besides entries: to be tried again after trouble, and to forget.
//!
//! In: the clock, what is to be kept. Out: requests of the writer. Not here: entries ([`super::books`]).
//! The surprise: looking through the past costs something, so a home in which nothing happens never does.

use std::time::Duration;

use super::books::{Books, Entry, Pending};
use crate::engine::{BootTime, Now, ObjectRef};
use crate::store::{Retention, Write};

/// How long a store that failed is left alone.
pub const TROUBLE_AGAIN: Duration = Duration::from_secs(2);

/// So many entries are worth looking through the past for.
const PRUNE_AFTER: u64 = 10_000;

/// So long after the last time, any entry is.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// And after this, age alone.
const PRUNE_AT_LAST: Duration = Duration::from_secs(86_400);

impl Books {
    /// When a store in trouble is asked again.
    #[must_use]
    pub fn due(&self) -> Option<BootTime> {
        self.trouble_at.map(|at| at.after(TROUBLE_AGAIN))
    }

    /// True when there may be something to forget: a lot was written, or some time ago; or a day has gone by. Looking
    /// through everything costs something, and a home in which nothing happens pays nothing.
    #[must_use]
    pub fn is_to_be_pruned(&self, now: BootTime) -> bool {
        let Some(last) = self.pruned_at else { return self.sent > 0 };
        let is_past = |span| last.after(span) <= now;
        self.sent >= PRUNE_AFTER || (self.sent > 0 && is_past(PRUNE_EVERY)) || is_past(PRUNE_AT_LAST)
    }

    /// Has what is too old or too much removed, one slice of it.
    pub fn prune(&mut self, retention: Retention, now: BootTime) {
        let is_asked = self.pending.values().any(|pending| matches!(pending.entry, Entry::Prune));
        if let (Ok(object), true) = (ObjectRef::new("store", "0"), self.is_open() && !is_asked) {
            self.pruned_at = Some(now);
            self.retention = Some(retention.clone());
            self.send(Write::Prune(Box::new(retention)), Pending { object, entry: Entry::Prune, asker: None });
            self.sent = 0;
        }
    }

    /// Asks a store in trouble whether it is well again.
    pub fn try_again(&mut self, now: &Now) {
        if self.due().is_some_and(|due| due <= now.boot) {
            self.trouble_at = Some(now.boot);
            let nobody = ObjectRef::new("store", "0");
            if let Ok(object) = nobody {
                self.send(Write::Open, Pending { object, entry: Entry::Open, asker: None });
            }
        }
    }
}
