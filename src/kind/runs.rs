//! What kinds have in common whose work ends.
//!
//! In: the rule a kind made of its spec. Out: what the engine asks of any kind. Not here: reading specs.
//! The surprise: it wants nothing of the machine by itself; the engine derives runs from the rule and the ledger.

use std::sync::Arc;

use crate::engine::expand::{Items, Kind, Need, Want};
use crate::engine::plan::Policy;
use crate::engine::queue::{Mailbox, Trigger};
use crate::engine::run::{Capability, Flow, Part, RunRule};

/// An object that has runs.
#[derive(Debug)]
pub struct Runs {
    /// What it runs, and when.
    pub rule: RunRule,
    /// What it does, as JSON; for a Job another text is another run.
    pub revision: String,
    /// What has to be there before.
    pub needs: Vec<Need>,
    /// What it is to others.
    pub part: RunsPart,
}

/// What such an object is to others.
#[derive(Debug)]
pub enum RunsPart {
    /// Nothing.
    None,
    /// Something that can be used.
    Capability(Capability),
    /// Steps that can be used.
    Workflow(Arc<Flow>),
    /// Something that messages are sent to.
    Mailbox(Mailbox),
    /// Something that reacts to changes and events.
    Trigger(Trigger),
}

impl Kind for Runs {
    fn expand<'a>(&'a self, _: Option<&'a Items>, _: &mut Vec<Want<'a>>) {}

    fn revision_input(&self) -> String {
        self.revision.clone()
    }

    fn policy(&self) -> Policy {
        self.rule.policy.clone()
    }

    fn needs(&self) -> &[Need] {
        &self.needs
    }

    fn runs(&self) -> Option<&RunRule> {
        Some(&self.rule)
    }

    fn part(&self) -> Part<'_> {
        match &self.part {
            RunsPart::None => Part::None,
            RunsPart::Capability(capability) => Part::Capability(capability),
            RunsPart::Workflow(flow) => Part::Workflow(flow),
            RunsPart::Mailbox(mailbox) => Part::Mailbox(mailbox),
            RunsPart::Trigger(trigger) => Part::Trigger(trigger),
        }
    }
}
