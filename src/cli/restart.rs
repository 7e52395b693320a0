//! `setpoint restart`: replace every process of some objects.
//!
//! In: names. Out: a generation that says which attempts are to be replaced. Not here: replacing them.
//! The surprise: it is a fact with attempt numbers, so it happens once, however often a controller reads it.

use super::apply::{Start, Step, commit, lock, open};
use super::delete::Names;
use super::{Global, Outcome};
use crate::desired::attempts::last_attempts;
use crate::desired::{Author, edit};

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
    let ids = args.names.resolve(global, locked.base())?;
    let draft = edit::restart(locked.base(), &ids, Author::caller(), &|id| last_attempts(&home, id));
    let step = Step { draft, objects: &ids, done: "is to be restarted", start: Start::IfRunning };
    commit(global, &home, locked, step)
}
