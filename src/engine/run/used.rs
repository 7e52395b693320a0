//! What a work comes to, with what it uses, and who has to agree to it.
//!
//! In: the work of an object or a step. Out: a Capability, steps, something built in, or the work itself; why it needs
//! consent. Not here: executing it. The surprise: what is used is looked up at every look, so an edit of a Capability
//! applies to the next run of everything that uses it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::params::{Params, merged};
use super::rule::{Builtin, Capability, Flow, Part, Risk, RunRule, Target, Work};
use crate::engine::converge::Facts;
use crate::engine::desired::{Desired, Spec};
use crate::engine::mutant::Mutant;
use crate::engine::reason::Reason;

/// What nobody can agree to yet.
pub(super) fn consent(facts: &Facts<'_>, work: &Work, risk: Risk) -> Option<Reason> {
    let needs = |what: &str| Some(Reason::NeedsConsent { what: what.into() });
    if facts.is_off(Mutant::IgnoreConsent) {
        return None;
    }
    if let Work::Prompt { .. } = work {
        return needs("a prompt for an agent");
    }
    let used = resolve(facts, work);
    match used {
        Ok(Resolved::Capability(capability)) if capability.risk == Risk::High => needs("risk: high"),
        _ if risk == Risk::High => needs("risk: high"),
        Ok(Resolved::Capability(_) | Resolved::Own(_) | Resolved::Flow(_) | Resolved::Builtin(_)) | Err(_) => None,
    }
}

/// What a work comes to, with what it uses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resolved<'a> {
    /// What stands in the object itself.
    Own(&'a Work),
    /// A Capability.
    Capability(&'a Capability),
    /// What is built in.
    Builtin(Builtin),
    /// Steps.
    Flow(&'a Arc<Flow>),
}

impl<'a> Resolved<'a> {
    /// What its parameters may be, where it says.
    pub fn schema(self) -> Option<&'a Json> {
        match self {
            Resolved::Capability(capability) => capability.params.schema(),
            Resolved::Flow(flow) => flow.params.schema(),
            Resolved::Own(_) | Resolved::Builtin(_) => None,
        }
    }
}

/// Finds what a work uses.
pub(super) fn resolve<'a>(facts: &Facts<'a>, work: &'a Work) -> Result<Resolved<'a>, Arc<str>> {
    match work {
        Work::Command(_) | Work::Way(_) | Work::Prompt { .. } | Work::Sorted(_) => Ok(Resolved::Own(work)),
        Work::Flow(flow) => Ok(Resolved::Flow(flow)),
        Work::Use { target, with: _ } => used(facts, target),
    }
}

fn used<'a>(facts: &Facts<'a>, target: &Target) -> Result<Resolved<'a>, Arc<str>> {
    for candidate in &target.candidates {
        let Some(object) = facts.desired.objects.get(candidate) else { continue };
        let Spec::Known(kind) = &object.spec else {
            return Err(format!("{candidate} was written by another version").into());
        };
        match kind.part() {
            Part::Capability(capability) => return Ok(Resolved::Capability(capability)),
            Part::Workflow(flow) => return Ok(Resolved::Flow(flow)),
            Part::None | Part::Quiet(_) | Part::Settings(_) | Part::Mailbox(_) | Part::Trigger(_) => {}
        }
    }
    let names: Vec<&str> = target.candidates.iter().map(|candidate| candidate.as_str()).collect();
    target.builtin.map(Resolved::Builtin).ok_or_else(|| format!("there is no {}", names.join(" and no ")).into())
}

/// The longest an attempt may take: what is said where it is used, else what is said of what is used.
pub(super) fn timeout(facts: &Facts<'_>, work: &Work, own: Option<Duration>) -> Option<Duration> {
    own.or_else(|| match resolve(facts, work) {
        Ok(Resolved::Capability(capability)) => capability.timeout,
        Ok(Resolved::Flow(flow)) => flow.timeout,
        Ok(Resolved::Own(_) | Resolved::Builtin(_)) | Err(_) => None,
    })
}

/// What a run of this takes when somebody asks for one, and what it is given with these parameters.
#[must_use]
pub fn takes(desired: &Desired, rule: &RunRule, params: &Json) -> (Params, Json) {
    let Work::Use { target, with } = &rule.work else { return (rule.params.clone(), params.clone()) };
    let part = target.candidates.iter().find_map(|candidate| {
        let Spec::Known(kind) = &desired.objects.get(candidate)?.spec else { return None };
        match kind.part() {
            Part::Capability(capability) => Some(capability.params.clone()),
            Part::Workflow(flow) => Some(flow.params.clone()),
            Part::None | Part::Quiet(_) | Part::Settings(_) | Part::Mailbox(_) | Part::Trigger(_) => None,
        }
    });
    (part.unwrap_or_else(Params::none), merged(with, params))
}
