//! `setpoint freeze` and `thaw`: nothing begins, and everything may begin again.
//!
//! In: a reason. Out: a generation that says so. Not here: holding anything back.
//! The surprise: it is a fact of the desired state, so it outlives controllers and needs none; services are kept up.

use super::apply::{Start, Step, commit, lock, open, tell};
use super::{Global, Outcome, exit};
use crate::desired::generation::{StoredPause, Verb};
use crate::desired::{Author, Draft};

/// Let no run begin until thaw; services are kept up
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Why; shown wherever something is held
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let runs begin again
#[derive(Clone, Debug, clap::Args)]
pub struct ThawArgs {}

/// Freezes.
///
/// # Errors
/// When the home cannot be written to.
pub fn run(global: &Global, args: Args) -> Outcome {
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let author = Author { note: args.reason, ..Author::caller() };
    let frozen = StoredPause { by: author.principal.clone(), reason: author.note.clone(), until: None };
    if let Some(known) = locked.base().frozen.as_ref().filter(|known| **known == frozen) {
        tell(global, &format!("It is frozen already, by {}.   Go on with: setpoint thaw", known.by));
        return Ok(exit::OK);
    }
    let mut draft = Draft::of(locked.base(), Verb::Freeze, author);
    draft.freeze(Some(frozen));
    let said = vec!["frozen: no run begins, what runs goes on, services are kept up".to_owned()];
    let code = commit(global, &home, locked, Step { draft, objects: &[], said, start: Start::IfRunning })?;
    tell(global, "Go on with: setpoint thaw   |   end what runs: setpoint cancel KIND/NAME");
    Ok(code)
}

/// Thaws.
///
/// # Errors
/// When the home cannot be written to.
pub fn thaw(global: &Global, _: &ThawArgs) -> Outcome {
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    if locked.base().frozen.is_none() {
        tell(global, "Nothing was frozen.");
        return Ok(exit::OK);
    }
    let mut draft = Draft::of(locked.base(), Verb::Thaw, Author::caller());
    draft.freeze(None);
    let said = vec!["thawed: runs begin again".to_owned()];
    commit(global, &home, locked, Step { draft, objects: &[], said, start: Start::IfRunning })
}
