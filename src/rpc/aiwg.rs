//! Methods under the names that AIWG's daemon gives them.
//!
//! In: the same parameters as their namesakes here. Out: the same answers. Not here: anything of their own.
//! The surprise: a task is a run, and a prompt is refused, since no agent is there to read it.

use super::controller::STATUS;
use super::method::{Effect, Method};
use super::schema::none;

/// All of them.
pub const METHODS: &[Method] = &[Method {
    name: "daemon.status",
    effect: Effect::Read,
    doc: "The same as controller.status",
    params: none,
    answer: STATUS,
}];
