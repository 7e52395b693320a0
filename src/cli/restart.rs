//! `setpoint restart`: replace every process of some objects, or of some of their instances.
//!
//! In: names. Out: a generation that says which attempts are to be replaced. Not here: replacing them.
//! The surprise: it is a fact with attempt numbers, so it happens once, however often a controller reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Start, Step, commit, lock, open, tell};
use super::delete::{Names, adopting};
use super::{Failure, Global, Outcome, exit};
use crate::desired::attempts::last_attempts;
use crate::desired::{Author, edit};
use crate::engine::{Cause, InstanceId, ObjectRef};

/// Replace the processes of objects, and forgive their crashes
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    names: Names,
}

/// Restarts.
///
/// # Errors
/// When there is no such object, or the home cannot be written to.
pub fn run(global: &Global, args: Args) -> Outcome {
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let (instances, names) = args.names.split();
    let mut wanted: BTreeMap<ObjectRef, Option<BTreeSet<Cause>>> = BTreeMap::new();
    for InstanceId { object, cause } in instances {
        if !last_attempts(&home, &object).contains_key(&cause) || !locked.base().objects.contains_key(&object) {
            let text =
                format!("there is no instance `{object}/{cause}` that ever ran\n  help: setpoint describe {object}");
            return Err(Failure::new(exit::NOT_FOUND, text));
        }
        wanted.entry(object).or_default().get_or_insert_default().insert(cause);
    }
    if let Some(names) = names {
        wanted.extend(names.resolve(global, locked.base())?.into_iter().map(|id| (id, None)));
    }
    let ids: Vec<ObjectRef> = wanted.keys().cloned().collect();
    let draft = edit::restart(locked.base(), &ids, Author::caller(), &|id| {
        let mut attempts = last_attempts(&home, id);
        if let Some(Some(causes)) = wanted.get(id) {
            attempts.retain(|cause, _| causes.contains(cause));
        }
        attempts
    });
    let facts = adopting(&home, locked.base(), &ids)?;
    let stranger = |id: &InstanceId| facts.as_ref().and_then(|facts| facts.runs_on(id));
    let (mut said, mut strangers) = (Vec::new(), Vec::new());
    for (object, causes) in &wanted {
        let meant: Vec<InstanceId> = match (causes, &facts) {
            (Some(causes), _) => {
                causes.iter().map(|cause| InstanceId { object: object.clone(), cause: cause.clone() }).collect()
            }
            (None, Some(facts)) => facts.decisions(object).map(|decision| decision.id.clone()).collect(),
            (None, None) => Vec::new(),
        };
        let (theirs, ours): (Vec<_>, Vec<_>) = meant.into_iter().partition(|id| stranger(id).is_some());
        // What somebody else started is never touched, so nothing is claimed about it.
        match causes {
            Some(_) => said.extend(ours.iter().map(|id| format!("{id} is to be restarted"))),
            None if ours.is_empty() && !theirs.is_empty() => {}
            None => said.push(format!("{object} is to be restarted")),
        }
        strangers.extend(theirs.iter().filter_map(stranger));
    }
    let code = commit(global, &home, locked, Step { draft, objects: &ids, said, start: Start::IfRunning })?;
    strangers.iter().for_each(|text| tell(global, text));
    Ok(code)
}
