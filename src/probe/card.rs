//! What is known of one attempt: written where it is asked, read where it is judged.
//!
//! In: evidence. Out: the same, to whoever looks. Not here: what it means.
//! The surprise: a card stands in the queue of the loop once at most, so a queue is never longer than the machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::InstanceId;
use crate::engine::probe::Evidence;

/// Which of its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whether it can be used.
    Ready,
    /// Whether it still works.
    Live,
}

impl Side {
    /// For names and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Ready => "ready",
            Side::Live => "live",
        }
    }
}

/// The card of one attempt.
#[derive(Debug)]
pub struct Card {
    /// Which instance.
    pub id: InstanceId,
    /// Which attempt.
    pub attempt: u32,
    known: Mutex<Known>,
    is_queued: AtomicBool,
}

/// What stands on it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last verdict about its readiness.
    pub ready: Option<Evidence>,
    /// The last verdict about its liveness.
    pub live: Option<Evidence>,
    /// What the last question about its readiness brought, whatever it came to.
    pub ready_said: Option<Arc<str>>,
    /// What the last question about its liveness brought.
    pub live_said: Option<Arc<str>>,
}

impl Card {
    /// An empty card.
    #[must_use]
    pub fn new(id: InstanceId, attempt: u32) -> Card {
        Card { id, attempt, known: Mutex::default(), is_queued: AtomicBool::new(false) }
    }

    /// What stands on it now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes it out of the queue and reads it.
    #[must_use]
    pub fn take(&self) -> Known {
        self.is_queued.store(false, Ordering::SeqCst);
        self.known()
    }

    /// True when it has to be queued.
    pub(super) fn queue(&self) -> bool {
        !self.is_queued.swap(true, Ordering::SeqCst)
    }

    pub(super) fn write(&self, side: Side, said: &Arc<str>, evidence: Option<&Evidence>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { ready, live, ready_said, live_said } = &mut *known;
        let (verdict, last) = match side {
            Side::Ready => (ready, ready_said),
            Side::Live => (live, live_said),
        };
        if last.as_ref() != Some(said) {
            *last = Some(said.clone());
        }
        if let Some(evidence) = evidence {
            *verdict = Some(evidence.clone());
        }
    }
}
