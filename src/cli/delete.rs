//! `setpoint delete`: remove objects, and return when what ran for them is gone.
//!
//! In: names, or the files that hold them. Out: a generation without them. Not here: stopping anything.
//! The surprise: it asks nothing, because it is named by name, and `setpoint undo` brings an object back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::apply::{Start, Step, WAIT, commit, each, load_files, lock, open, refused, tell};
use super::facts::{self, Facts};
use super::{Failure, Global, Outcome, exit};
use crate::desired::edit::{self, Fate};
use crate::desired::resolve::resolve;
use crate::desired::{Author, Stored, registry};
use crate::engine::plan::{Action, Reason};
use crate::engine::{Coverage, InstanceId, ObjectRef};
use crate::execute::adopted;
use crate::home::Home;
use crate::kind::units;
use crate::observe::Clock;
use crate::store::Books;
use crate::store::reader::Reader;

/// Remove objects, and stop what runs for them
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    names: Names,
    /// Remove the objects in these files; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", conflicts_with = "names")]
    filename: Vec<PathBuf>,
    /// Let what runs go on, as strays that nobody supervises
    #[arg(long)]
    keep_running: bool,
    /// End processes that somebody else started, too, where they count as one of these
    #[arg(long, conflicts_with = "keep_running")]
    adopted: bool,
    /// How long to wait until it is gone [default: 5m]
    #[arg(long, value_name = "TIME")]
    timeout: Option<units::Duration>,
    /// Do not wait until it is gone
    #[arg(long)]
    no_wait: bool,
}

/// Objects by name or label.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Names {
    /// KIND/NAME, KIND NAME..., or a NAME that only one object has
    #[arg(value_name = "KIND/NAME")]
    names: Vec<String>,
}

/// Deletes.
///
/// # Errors
/// When there is no such object, a controller follows its file, or the home cannot be written to.
pub fn run(global: &Global, args: Args) -> Outcome {
    let wanted = match args.filename.as_slice() {
        [] => None,
        files => match load_files(global, files)? {
            Some(batch) => Some(batch.proposals.into_iter().map(|proposal| proposal.id).collect::<BTreeSet<_>>()),
            None => return Ok(exit::USAGE),
        },
    };
    let (home, store) = open(global)?;
    let locked = lock(&store)?;
    let ids = match wanted {
        Some(wanted) => in_files(global, locked.base(), wanted)?,
        None => args.names.resolve(global, locked.base())?,
    };
    let fate = match (args.keep_running, args.adopted) {
        (true, _) => Fate::RunOn,
        (false, true) => Fate::StopAdopted,
        (false, false) => Fate::Stop,
    };
    let draft = edit::delete(locked.base(), &ids, fate, Author::caller()).map_err(refused)?;
    let strangers = match adopting(&home, locked.base(), &ids)? {
        Some(facts) => strangers(&home, &facts, &ids, fate)?,
        None => Vec::new(),
    };
    let bereft = bereft(locked.base(), &ids);
    let start = if is_any_there(&home, &ids, fate)? { Start::Background } else { Start::IfAny };
    let step = Step { draft, objects: &ids, said: each(&ids, "deleted"), start };
    let code = commit(global, &home, locked, step)?;
    bereft.iter().chain(&left_waiting(&home, &ids)).for_each(|text| tell(global, text));
    strangers.iter().for_each(|text| tell(global, text));
    if args.keep_running || args.no_wait || code != exit::OK {
        return Ok(code);
    }
    super::wait::gone(global, &home, &ids, args.timeout.map_or(WAIT, |timeout| timeout.0))
}

/// True when something of these objects is there, or may be: somebody has to stop it.
fn is_any_there(home: &Home, ids: &[ObjectRef], fate: Fate) -> Result<bool, Failure> {
    let clock = Clock::new().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let facts = facts::of(home, &clock)?;
    let is_unseen = facts.observed.coverage != Coverage::Whole;
    let is_meant = |id: &InstanceId| fate == Fate::StopAdopted && facts.adopted(id).is_some();
    let is_one = |id: &InstanceId| facts.is_there(id) || is_meant(id);
    let is_there = |id: &ObjectRef| facts.decisions(id).any(|decision| is_one(&decision.id));
    Ok(is_unseen || ids.iter().any(is_there))
}

/// Words about what stays and needs one of these.
fn bereft(base: &Stored, ids: &[ObjectRef]) -> Vec<String> {
    let stays = base.objects.iter().filter(|(id, _)| !ids.contains(id));
    let words = stays.flat_map(|(id, object)| {
        let needs = registry::needs(id.kind(), &object.spec);
        let gone = needs.into_iter().filter(|need| ids.iter().any(|id| id.as_str() == need));
        gone.map(move |need| format!("note: {id} needs {need}; it runs on, and does not start again without it"))
    });
    words.take(BEREFT_MAX).collect()
}

/// Words about messages that nobody will work on.
fn left_waiting(home: &Home, ids: &[ObjectRef]) -> Vec<String> {
    // A store that is not there, or cannot be read, says nothing of any.
    let queues = Reader::open(&home.store_db()).and_then(|reader| reader.queues()).unwrap_or_default();
    let meant = queues.into_iter().filter(|queue| queue.depth > 0 && ids.contains(&queue.object));
    let said = meant.map(|queue| {
        let count = match queue.depth {
            1 => "1 message that waits is".to_owned(),
            count => format!("{count} messages that wait are"),
        };
        format!("note: {count} kept until there is a {} again: setpoint inbox {}", queue.object, queue.object.name())
    });
    said.collect()
}

/// How many objects that need a deleted one are named.
const BEREFT_MAX: usize = 20;

/// What is there now, when something that somebody else started may count as one of these.
pub(super) fn adopting(home: &Home, base: &Stored, ids: &[ObjectRef]) -> Result<Option<Facts>, Failure> {
    let can_adopt = |id: &ObjectRef| base.objects.get(id).is_some_and(|object| object.spec.get("adopt").is_some());
    if !ids.iter().any(can_adopt) {
        return Ok(None);
    }
    let clock = Clock::new().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    facts::of(home, &clock).map(Some)
}

/// Words about what somebody else started and that goes on. What is to end is written down first, since nobody could
/// tell it from others once its object is gone.
fn strangers(home: &Home, facts: &Facts, ids: &[ObjectRef], fate: Fate) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    for decision in ids.iter().flat_map(|id| facts.decisions(id)) {
        let id = &decision.id;
        match (&decision.because, facts.adopted(id), fate) {
            (_, Some(member), Fate::StopAdopted) => {
                if let Some(Action::Adopt { proc, revision }) = &decision.action {
                    let folder = home.records(id);
                    adopted::write(&folder, proc, revision).map_err(|error| {
                        let text = format!(
                            "{}: that process {} is meant cannot be written down: {error}; nothing was \
                             changed\n  help: make room, or end it by hand",
                            folder.display(),
                            member.proc.pid
                        );
                        Failure::new(exit::FAILED, text)
                    })?;
                }
            }
            (_, Some(_), Fate::Stop | Fate::RunOn) => words.extend(facts.runs_on(id)),
            (Reason::Ambiguous { .. }, None, _) => {
                words.push(format!("{id}: {}; all of them run on", decision.because))
            }
            (_, None, _) => {}
        }
    }
    Ok(words)
}

/// What is there of the objects that files name. What is gone already is gone.
fn in_files(global: &Global, base: &Stored, wanted: BTreeSet<ObjectRef>) -> Result<Vec<ObjectRef>, Failure> {
    let (there, gone): (Vec<ObjectRef>, Vec<ObjectRef>) =
        wanted.into_iter().partition(|id| base.objects.contains_key(id));
    for id in &gone {
        tell(global, &format!("{id} is not there"));
    }
    if there.is_empty() {
        return Err(Failure::new(exit::NOT_FOUND, "none of the objects in these files is there: nothing was changed"));
    }
    Ok(there)
}

impl Names {
    /// The words that mean one instance, as in `service/web/0`; and the rest, unless there is none.
    pub(super) fn split(self) -> (Vec<InstanceId>, Option<Names>) {
        let instance = |word: &String| {
            let id: InstanceId = word.parse().ok()?;
            let kind = crate::kind::find_spoken(id.object.kind()).map_or(id.object.kind(), |def| def.lower);
            Some(InstanceId { object: ObjectRef::new(kind, id.object.name()).ok()?, ..id })
        };
        let instances: Vec<InstanceId> = self.names.iter().filter_map(instance).collect();
        let names: Vec<String> = self.names.into_iter().filter(|word| instance(word).is_none()).collect();
        let is_all = !instances.is_empty() && names.is_empty();
        (instances, (!is_all).then_some(Names { names }))
    }

    /// The objects meant: by name, or by `-l`.
    pub(super) fn resolve(&self, global: &Global, base: &Stored) -> Result<Vec<ObjectRef>, Failure> {
        match (self.names.is_empty(), global.selector.is_empty()) {
            (false, true) => {
                let known: BTreeSet<ObjectRef> = base.objects.keys().cloned().collect();
                let found = resolve(&known, &self.names);
                found.map_err(|error| Failure::new(exit::NOT_FOUND, error.to_string()))
            }
            (true, false) => selected(base, &global.selector),
            (true, true) => Err(Failure::new(
                exit::USAGE,
                "which objects?\n  help: name them: KIND/NAME, or by label: -l KEY=VALUE",
            )),
            (false, false) => Err(Failure::new(exit::USAGE, "give either names or -l, not both")),
        }
    }
}

fn selected(base: &Stored, selector: &[String]) -> Result<Vec<ObjectRef>, Failure> {
    let mut ids: Vec<ObjectRef> = base.objects.keys().cloned().collect();
    for term in selector.iter().flat_map(|terms| terms.split(',')) {
        let Some((key, value)) = term.split_once('=') else {
            return Err(Failure::new(
                exit::USAGE,
                format!("`{term}` is no selector\n  help: write -l KEY=VALUE or -l KEY!=VALUE"),
            ));
        };
        let (key, is_wanted) = key.strip_suffix('!').map_or((key.trim(), true), |key| (key.trim(), false));
        let label = |id: &ObjectRef| base.objects.get(id).and_then(|object| object.metadata.labels.get(key));
        let value = value.trim_start_matches('=').trim();
        ids.retain(|id| label(id).is_some_and(|label| label == value) == is_wanted);
    }
    if ids.is_empty() {
        let help = "help: setpoint describe NAME shows the labels of an object";
        let text = format!("no object has the labels {}\n  {help}", selector.join(","));
        return Err(Failure::new(exit::NOT_FOUND, text));
    }
    Ok(ids)
}
