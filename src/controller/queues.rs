//! Where messages meet the controller: claims and returns.
//!
//! In: claims and returns of a plan. Out: entries of the books. Not here: which message is next (the store).
//! The surprise: nothing of a queue is kept in memory but the messages that are at work.

use super::core::Core;
use crate::engine::plan::{Claim, Return};
use crate::engine::{InstanceId, Now};

impl Core {
    pub(super) fn claim(&mut self, _: &InstanceId, _: &Claim, _: &Now) -> bool {
        false
    }

    pub(super) fn give_back(&mut self, _: &InstanceId, _: &Return, _: &Now) -> bool {
        false
    }
}
