//! `setpoint restart`: replace every process of some objects, or of some of their instances.
//!
//! In: names. Out: a generation that says which attempts are to be replaced. Not here: replacing them.
//! The surprise: it is a fact with attempt numbers, so it happens once, however often a controller reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Start, Step, commit, lock, open};
use super::delete::Names;
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
    let step = Step { draft, objects: &ids, done: "is to be restarted", start: Start::IfRunning };
    commit(global, &home, locked, step)
}
