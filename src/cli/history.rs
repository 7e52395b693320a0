//! `setpoint history` and `undo`: the stored versions of an object, and the way back to one.
//!
//! In: a name. Out: a table of versions; for undo a generation with the older content.
//! Not here: reading generations (`desired`). The surprise: undo changes what is desired and no file, so the next apply
//! of that file brings its content back; undo says so.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::apply::{
    Reading, Start, Step, commit, each, failed, is_colored, lock, open, read, refused, tell, unlucky, value_text,
};
use super::{Failure, Format, Global, Outcome, exit, validate};
use crate::desired::attempts::last_attempts;
use crate::desired::change::{Change, compare};
use crate::desired::history::{History, NoVersion, Version, history};
use crate::desired::resolve::resolve;
use crate::desired::{Author, Proposal, Store, Stored, StoredObject, edit, registry, render};
use crate::engine::ObjectRef;

/// List the stored versions of an object
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND NAME, or a NAME that only one object has
    #[arg(value_name = "KIND/NAME", required = true, num_args = 1..=2)]
    name: Vec<String>,
}

/// Take an object back to an older version
#[derive(Clone, Debug, clap::Args)]
pub struct UndoArgs {
    /// KIND/NAME, KIND NAME, or a NAME that only one object has
    #[arg(value_name = "KIND/NAME", required = true, num_args = 1..=2)]
    name: Vec<String>,
    /// As it was in this generation [default: the last version that asked for something else]
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lists versions, oldest first.
///
/// # Errors
/// When there never was such an object, or the home cannot be read.
pub fn run(global: &Global, args: Args) -> Outcome {
    let Reading { store, base } = read(global)?;
    let (id, history) = find(store.as_ref(), &base, &args.name)?;
    match global.output {
        Format::Table | Format::Wide => super::print(&table(&history.versions))?,
        Format::Name => super::print(&format!("{id}\n"))?,
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = history.versions.iter().map(of_version).collect();
            super::print(&value_text(global, &json!({ "items": items })))?;
        }
    }
    Ok(exit::OK)
}

/// Goes back.
///
/// # Errors
/// When there is no such version, a controller follows the file, or the home cannot be written to.
pub fn undo(global: &Global, args: UndoArgs) -> Outcome {
    if args.dry_run {
        let Reading { store, base } = read(global)?;
        let (id, history) = find(store.as_ref(), &base, &args.name)?;
        let old = history.target(&id, args.to).map_err(no_version)?;
        super::print(&render::line(&change_to(&base, &id, &old), is_colored(global)))?;
        return Ok(exit::OK);
    }
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let (id, history) = find(Some(&store), locked.base(), &args.name)?;
    let old = history.target(&id, args.to).map_err(no_version)?;
    let draft = edit::undo(locked.base(), &id, &old, Author::caller(), &|id| last_attempts(&home, id));
    let draft = draft.map_err(unlucky)?.map_err(refused)?;
    let change = render::line(&change_to(locked.base(), &id, &old), is_colored(global));
    let objects = std::slice::from_ref(&id);
    let step = Step { draft, objects, said: each(objects, "taken back"), start: Start::IfRunning };
    if matches!(global.output, Format::Table | Format::Wide) {
        validate::print(&change);
    }
    let source = locked.base().objects.get(&id).map_or(&old, |object| object).metadata.source.clone();
    let code = commit(global, &home, locked, step)?;
    if Path::new(&source).exists() {
        tell(global, &format!("The file {source} has not been changed; the next apply of it counts again."));
    }
    Ok(code)
}

fn change_to(base: &Stored, id: &ObjectRef, old: &StoredObject) -> Change {
    let existing = base.objects.get(id).map(AsRef::as_ref);
    let set = existing.map_or(&old.metadata.set, |object| &object.metadata.set);
    compare(existing, &Proposal::of_stored(id, old), set)
}

fn no_version(error: NoVersion) -> Failure {
    let code = match error {
        NoVersion::Same(_) | NoVersion::OutOfRange { .. } | NoVersion::NotThen { .. } => exit::NOT_FOUND,
        NoVersion::Already { .. } => exit::REFUSED,
    };
    Failure::new(code, error.to_string())
}

/// The object meant, deleted ones included when they are written KIND/NAME, and its versions.
fn find(store: Option<&Store>, base: &Stored, words: &[String]) -> Result<(ObjectRef, History), Failure> {
    // A deleted object is in no current list, but its full name says which one is meant.
    let full = match words {
        [word] => word.split_once('/'),
        [kind, name] => Some((kind.as_str(), name.as_str())),
        [..] => None,
    };
    let full = full.and_then(|(kind, name)| ObjectRef::new(registry::named(kind)?.lower, name).ok());
    if let (Some(id), Some(store)) = (full, store) {
        let history = history(store, &id).map_err(failed)?;
        if !history.versions.is_empty() {
            return Ok((id, history));
        }
    }
    let known: BTreeSet<ObjectRef> = base.objects.keys().cloned().collect();
    let found = resolve(&known, words).map_err(|error| Failure::new(exit::NOT_FOUND, error.to_string()))?;
    match (found.as_slice(), store) {
        ([id], Some(store)) => Ok((id.clone(), history(store, id).map_err(failed)?)),
        ([..], _) => Err(Failure::new(exit::USAGE, "one object at a time\n  help: write KIND/NAME")),
    }
}

fn table(versions: &[Version]) -> String {
    let width = versions.iter().map(|version| version.by.principal.len()).max().unwrap_or(0).clamp(2, 20);
    let mut text = format!("{:10}  {:20}  {:width$}  {:7}  WHAT\n", "GENERATION", "WHEN", "BY", "DID");
    for version in versions {
        let (by, verb) = (&version.by.principal, version.by.verb.as_str());
        let Version { generation, at, what, .. } = version;
        text.push_str(&format!("{generation:<10}  {at:20}  {by:width$}  {verb:7}  {what}\n"));
    }
    text
}

fn of_version(version: &Version) -> Value {
    json!({
        "generation": version.generation, "at": version.at, "by": version.by.principal, "verb": version.by.verb,
        "note": version.note, "what": version.what, "spec": version.object.as_ref().map(|object| &object.spec),
    })
}
