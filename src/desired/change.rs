//! What an apply would change: the object diff, sets and leftovers.
//!
//! In: manifests as proposals, and the current generation. Out: the changes with a plan id, or why they are refused.
//! Not here: reading manifests, writing generations, and what processes do about it.
//! The surprise: the plan id covers the base generation and the object changes only, so a crash in between does not
//! make a reviewed plan stale, and anybody else's apply does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::draft::{Author, Draft, LastAttempts, Owner};
use super::fields::{Field, Side, differences};
use super::generation::{Stored, StoredObject, Verb};
use super::{references, users};
use crate::engine::{Coverage, ObjectRef};
use crate::home::hex;
use crate::load::{Link, Problems};

/// The set of single files and stdin when their folder has none.
pub const SET_DEFAULT: &str = "default";
/// How many objects a refusal names.
const NAMED_MAX: usize = 20;

/// One object as a manifest proposes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Kind and name.
    pub id: ObjectRef,
    /// The kind as written, `Service`.
    pub kind: String,
    /// The spec, defaults omitted.
    pub spec: Value,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The file it stands in, absolute, or `stdin`.
    pub source: String,
    /// Which of [`Batch::origins`] it came with.
    pub origin: usize,
    /// Other objects it names.
    pub links: Arc<[Link]>,
}

/// One `-f` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A whole folder.
    Folder {
        /// Its canonical path.
        path: PathBuf,
        /// The name of its set, when `setpoint.yaml` gives one.
        set: Option<String>,
    },
    /// One file.
    File {
        /// Its canonical path.
        path: PathBuf,
    },
    /// Standard input.
    Stdin,
}

/// Everything that was loaded, all of it valid.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The `-f` arguments.
    pub origins: Vec<Origin>,
    /// The objects, each kind and name once.
    pub proposals: Vec<Proposal>,
}

/// Flags that decide what is allowed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Remove leftovers.
    pub prune: bool,
    /// Take objects over from other sets.
    pub take: bool,
    /// The set, whatever the folder says.
    pub set: Option<String>,
}

/// What is to be done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Add,
    /// It differs.
    Change,
    /// No file names it any more, and pruning was asked for.
    Remove,
    /// No file names it any more.
    Leftover,
    /// Nothing.
    Unchanged,
}

/// One object and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which.
    #[serde(serialize_with = "as_text")]
    pub object: ObjectRef,
    /// What is to be done.
    pub action: Action,
    /// Why, in words.
    pub reason: String,
    /// What differs; empty unless the action is a change.
    pub fields: Vec<Field>,
}

fn as_text<S: Serializer>(object: &ObjectRef, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(object.as_str())
}

/// How many objects of each action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// New ones.
    pub add: usize,
    /// Changed ones.
    pub change: usize,
    /// Removed ones.
    pub remove: usize,
    /// Left over.
    pub leftover: usize,
    /// Those that stay as they are.
    pub unchanged: usize,
}

/// What an apply would change.
#[derive(Clone, Debug)]
pub struct Changes {
    /// `p-` and 6 hex digits: the name of exactly these changes to exactly this generation.
    pub plan: String,
    /// One per object: by action, then by name.
    pub changes: Vec<Change>,
    /// Why a person must say yes first, if so.
    pub needs_yes: Option<String>,
    base: Arc<Stored>,
    accepted: Vec<(Proposal, String)>,
    folders: Vec<(String, String)>,
}

/// Why changes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Objects belong to other sets.
    #[error("{}\n  help: apply the set they belong to, or take them over with --take", lines(.0))]
    OtherSet(Vec<String>),
    /// Objects belong to live folders.
    #[error("{}\n  help: edit or remove that file instead; the controller applies it by itself", lines(.0))]
    Live(Vec<String>),
    /// Objects that stay name one that would go.
    #[error(
        "{}: nothing was changed\n  \
         help: remove those too, in the same command, or apply them first without that name",
        lines(.0)
    )]
    Used(Vec<String>),
    /// Pruning something that is no whole set.
    #[error(
        "--prune needs a whole folder, and {0} is not one: what is in no file could not be told from what is in \
         another file\n  \
         help: give the folder with -f, or name what should go: setpoint delete KIND/NAME"
    )]
    PrunePart(String),
    /// Pruning while the desired state is not known whole.
    #[error("--prune is refused: {0}\n  help: apply once without --prune; that writes a whole generation again")]
    PruneBlind(Arc<str>),
    /// Manifests name objects that are not there, or need themselves.
    #[error("{0}")]
    References(Problems),
    /// A set without a name.
    #[error(
        "a set has a name of 1 to 4096 bytes without control characters\n  \
         help: give --set NAME, or `set: NAME` in setpoint.yaml"
    )]
    SetName,
}

fn lines(entries: &[String]) -> String {
    let mut text = entries.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("\n");
    if entries.len() > NAMED_MAX {
        text.push_str(&format!("\nand {} more", entries.len() - NAMED_MAX));
    }
    text
}

/// Compares a batch with the current generation. Nothing is changed.
///
/// # Errors
/// When an object belongs to another set or a live folder, or `--prune` was given for less than whole folders.
pub fn plan(base: &Arc<Stored>, batch: &Batch, options: &Options) -> Result<Changes, Refusal> {
    let sets = batch.origins.iter().map(|origin| set_of(origin, base, options)).collect::<Result<Vec<_>, _>>()?;
    let (kept, accepted): (Vec<_>, Vec<_>) = batch
        .proposals
        .iter()
        .map(|proposal| (proposal.clone(), set_at(&sets, proposal.origin)))
        .partition(|(proposal, set)| is_kept(base, batch, options, proposal, set));
    check_owners(base, &accepted, options)?;
    let mut changes: Vec<Change> = accepted
        .iter()
        .map(|(proposal, set)| compare(base.objects.get(&proposal.id).map(Arc::as_ref), proposal, set))
        .chain(kept.into_iter().map(|(proposal, _)| Change::none(proposal.id)))
        .collect();
    let mut folders = Vec::new();
    for (origin, set) in batch.origins.iter().zip(&sets) {
        if let Origin::Folder { path, .. } = origin {
            folders.push((set.clone(), path.to_string_lossy().into_owned()));
        }
    }
    let needs_yes = add_leftovers(base, batch, options, &folders, &mut changes)?;
    check_references(base, batch, &changes)?;
    changes.sort_by(|a, b| (a.action, &a.object).cmp(&(b.action, &b.object)));
    let plan = plan_id(base.generation, &changes, &accepted);
    Ok(Changes { plan, changes, needs_yes, base: Arc::clone(base), accepted, folders })
}

fn check_references(base: &Stored, batch: &Batch, changes: &[Change]) -> Result<(), Refusal> {
    let removed: BTreeSet<&ObjectRef> =
        changes.iter().filter(|change| change.action == Action::Remove).map(|change| &change.object).collect();
    let proposed = batch.proposals.iter().map(|proposal| &proposal.id).collect();
    let users = users::users(base, &proposed, &removed);
    if !users.is_empty() {
        return Err(Refusal::Used(users::words(&users)));
    }
    let proposals: Vec<&Proposal> = batch.proposals.iter().collect();
    let found = references::check(base, &proposals, &removed);
    let problems = Problems::of(
        found.into_iter().map(|(_, problem)| problem).collect(),
        batch.proposals.iter().map(|p| &*p.source),
    );
    problems.map_or(Ok(()), |problems| Err(Refusal::References(problems)))
}

fn set_at(sets: &[String], origin: usize) -> String {
    sets.get(origin).cloned().unwrap_or_else(|| SET_DEFAULT.to_owned())
}

/// True when a single file or stdin gives back what another set holds: read out, not taken over.
fn is_kept(base: &Stored, batch: &Batch, options: &Options, proposal: &Proposal, set: &str) -> bool {
    let is_part = batch.origins.get(proposal.origin).is_some_and(|origin| part_of_a_set(origin).is_some());
    let is_same = |existing: &Arc<StoredObject>| {
        let own = &existing.metadata.set;
        own != set && compare(Some(existing.as_ref()), proposal, own).action == Action::Unchanged
    };
    is_part && !options.take && options.set.is_none() && base.objects.get(&proposal.id).is_some_and(is_same)
}

/// The set that a `-f` argument stands for.
fn set_of(origin: &Origin, base: &Stored, options: &Options) -> Result<String, Refusal> {
    let set = match (&options.set, origin) {
        (Some(set), _) => set.clone(),
        (None, Origin::Folder { set: Some(set), .. }) => set.clone(),
        (None, Origin::Folder { path, set: None }) => path.to_string_lossy().into_owned(),
        (None, Origin::File { path }) => recorded_set(base, path).unwrap_or_else(|| SET_DEFAULT.to_owned()),
        (None, Origin::Stdin) => SET_DEFAULT.to_owned(),
    };
    let is_name = !set.is_empty() && set.len() <= 4096 && !set.chars().any(char::is_control);
    if is_name { Ok(set) } else { Err(Refusal::SetName) }
}

/// The set of the nearest folder around a file that was ever applied as a whole.
fn recorded_set(base: &Stored, file: &Path) -> Option<String> {
    file.ancestors().skip(1).find_map(|folder| {
        let folder = folder.to_str()?;
        base.sets.iter().find(|(_, set)| set.folders.contains(folder)).map(|(name, _)| name.clone())
    })
}

fn check_owners(base: &Stored, accepted: &[(Proposal, String)], options: &Options) -> Result<(), Refusal> {
    let (mut others, mut live) = (Vec::new(), Vec::new());
    for (proposal, set) in accepted {
        let Some(existing) = base.objects.get(&proposal.id) else {
            continue;
        };
        let meta = &existing.metadata;
        if is_live(base, existing) && !(meta.set == *set && is_from_set(base, set, &proposal.source)) {
            live.push(format!("{} comes from {}, which a controller follows", proposal.id, meta.source));
        } else if meta.set != *set && !options.take {
            let text = format!(
                "{} belongs to the set \"{}\" ({}), and {} would put it into \"{set}\"",
                proposal.id, meta.set, meta.source, proposal.source
            );
            others.push(text);
        }
    }
    match (live.is_empty(), others.is_empty()) {
        (false, _) => Err(Refusal::Live(live)),
        (true, false) => Err(Refusal::OtherSet(others)),
        (true, true) => Ok(()),
    }
}

/// True when a controller follows the file of this object. A leftover has no file that could be edited instead.
#[must_use]
pub fn is_live(base: &Stored, object: &StoredObject) -> bool {
    !object.metadata.leftover && base.sets.get(&object.metadata.set).is_some_and(|set| set.live)
}

/// A person may apply the very files that the controller follows: it comes to the same.
fn is_from_set(base: &Stored, set: &str, source: &str) -> bool {
    base.sets.get(set).is_some_and(|set| set.folders.iter().any(|folder| Path::new(source).starts_with(folder)))
}

/// What is to be done about one proposal.
#[must_use]
pub fn compare(existing: Option<&StoredObject>, proposal: &Proposal, set: &str) -> Change {
    let change = |action, reason: String, fields| Change { object: proposal.id.clone(), action, reason, fields };
    let Some(existing) = existing else {
        return change(Action::Add, String::from("new"), Vec::new());
    };
    let meta = &existing.metadata;
    let old = Side { spec: &existing.spec, labels: &meta.labels, annotations: &meta.annotations };
    let new = Side { spec: &proposal.spec, labels: &proposal.labels, annotations: &proposal.annotations };
    let fields = differences(proposal.id.kind(), old, new);
    match (fields.is_empty(), meta.set == set) {
        (true, true) => Change::none(proposal.id.clone()),
        (true, false) => change(Action::Change, format!("taken over from the set \"{}\"", meta.set), fields),
        (false, true) => change(Action::Change, changed(&fields), fields),
        (false, false) => {
            change(Action::Change, format!("{}; taken over from the set \"{}\"", changed(&fields), meta.set), fields)
        }
    }
}

/// `run, env changed`, by top-level field.
#[must_use]
pub fn changed(fields: &[Field]) -> String {
    let mut names: Vec<&str> =
        fields.iter().map(|field| field.path.split(['.', '[']).next().unwrap_or_default()).collect();
    names.dedup();
    format!("{} changed", names.join(", "))
}

/// Adds what whole folders no longer name. Says why a person must agree first, if so.
fn add_leftovers(
    base: &Stored,
    batch: &Batch,
    options: &Options,
    folders: &[(String, String)],
    changes: &mut Vec<Change>,
) -> Result<Option<String>, Refusal> {
    if options.prune {
        if let Some(part) = batch.origins.iter().find_map(part_of_a_set) {
            return Err(Refusal::PrunePart(part));
        }
        if let Coverage::Partial { why } = &base.coverage {
            return Err(Refusal::PruneBlind(Arc::clone(why)));
        }
    }
    let named: BTreeSet<&ObjectRef> = batch.proposals.iter().map(|proposal| &proposal.id).collect();
    let mut needs_yes = None;
    for set in folders.iter().map(|(set, _)| set).collect::<BTreeSet<_>>() {
        let members: Vec<&ObjectRef> = base.members(set).collect();
        let left: Vec<&ObjectRef> = members.iter().copied().filter(|id| !named.contains(id)).collect();
        let is_emptied = !left.is_empty() && left.len() == members.len();
        if options.prune && (is_emptied || is_most(left.len(), members.len())) {
            let text = format!("--prune would remove {} of {} objects of the set \"{set}\"", left.len(), members.len());
            needs_yes.get_or_insert(text);
        }
        for id in left {
            let (action, reason) = match options.prune {
                true => (Action::Remove, format!("in the set \"{set}\", and no longer in these files")),
                false => (Action::Leftover, format!("in the set \"{set}\", no longer in these files")),
            };
            changes.push(Change { object: id.clone(), action, reason, fields: Vec::new() });
        }
    }
    Ok(needs_yes)
}

fn part_of_a_set(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Folder { .. } => None,
        Origin::File { path } => Some(format!("the file {}", path.display())),
        Origin::Stdin => Some(String::from("stdin")),
    }
}

/// True when more than half would go: more likely a mistake than a wish.
#[must_use]
pub fn is_most(part: usize, whole: usize) -> bool {
    part * 2 > whole
}

/// A hash over the base generation and what each object would become.
fn plan_id(base: u64, changes: &[Change], accepted: &[(Proposal, String)]) -> String {
    let by_id: BTreeMap<&ObjectRef, &(Proposal, String)> = accepted.iter().map(|entry| (&entry.0.id, entry)).collect();
    let mut hash = Sha256::new();
    hash.update(base.to_be_bytes());
    for change in changes {
        let content = match change.action {
            Action::Add | Action::Change => by_id.get(&change.object).map(|(proposal, set)| {
                json!([proposal.kind, proposal.spec, proposal.labels, proposal.annotations, set])
            }),
            Action::Remove => None,
            Action::Leftover | Action::Unchanged => continue,
        };
        hash.update(json!([change.object.as_str(), change.action, content]).to_string());
    }
    format!("p-{}", hex(&hash.finalize()[..3]))
}

impl Change {
    fn none(object: ObjectRef) -> Change {
        Change { object, action: Action::Unchanged, reason: String::from("as declared"), fields: Vec::new() }
    }
}

impl Changes {
    /// How many objects of each action.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            match change.action {
                Action::Add => summary.add += 1,
                Action::Change => summary.change += 1,
                Action::Remove => summary.remove += 1,
                Action::Leftover => summary.leftover += 1,
                Action::Unchanged => summary.unchanged += 1,
            }
        }
        summary
    }

    /// True when applying would change anything; leftovers by themselves do not.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.changes.iter().any(|change| is_effective(change.action))
    }

    /// The objects that would be added, changed or removed.
    #[must_use]
    pub fn affected(&self) -> Vec<ObjectRef> {
        self.changes.iter().filter(|change| is_effective(change.action)).map(|change| change.object.clone()).collect()
    }

    /// The objects the manifests name, in the order of [`ObjectRef`].
    #[must_use]
    pub fn named(&self) -> Vec<ObjectRef> {
        let is_named = |change: &&Change| match change.action {
            Action::Add | Action::Change | Action::Unchanged => true,
            Action::Remove | Action::Leftover => false,
        };
        let mut named: Vec<ObjectRef> =
            self.changes.iter().filter(is_named).map(|change| change.object.clone()).collect();
        named.sort();
        named
    }

    /// The JSON of `diff -o json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "plan": self.plan, "summary": self.summary(), "changes": self.changes })
    }

    /// The next generation, or none when nothing changes.
    ///
    /// # Errors
    /// When the system has no randomness for the uids of new objects.
    pub fn draft(&self, author: Author, attempts: LastAttempts<'_>) -> io::Result<Option<Draft>> {
        if !self.is_any() {
            return Ok(None);
        }
        let actions: BTreeMap<&ObjectRef, Action> =
            self.changes.iter().map(|change| (&change.object, change.action)).collect();
        let mut draft = Draft::of(&self.base, Verb::Apply, author);
        for (set, folder) in &self.folders {
            draft.set(set).add_folder(folder);
        }
        for (proposal, set) in &self.accepted {
            match actions.get(&proposal.id) {
                Some(Action::Add | Action::Change) => {
                    draft.set(set);
                    draft.put(proposal, Owner { set, layer: self.layer(set) }, attempts)?;
                }
                // The file may have been renamed; nobody else needs to hear of it.
                Some(Action::Unchanged) => draft.amend(&proposal.id, |meta, _| {
                    meta.source.clone_from(&proposal.source);
                    meta.leftover = false;
                }),
                Some(Action::Remove | Action::Leftover) | None => {}
            }
        }
        for change in self.changes.iter().filter(|change| change.action == Action::Remove) {
            draft.remove(&change.object);
        }
        Ok(Some(draft))
    }

    /// A person who applies the user layer by hand leaves it what it is.
    fn layer(&self, set: &str) -> Option<&str> {
        self.base.sets.get(set)?.layer.as_deref()
    }
}

fn is_effective(action: Action) -> bool {
    match action {
        Action::Add | Action::Change | Action::Remove => true,
        Action::Leftover | Action::Unchanged => false,
    }
}
