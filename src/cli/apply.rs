//! `setpoint apply`: record what the manifests ask for, and have it executed.
//!
//! In: files and folders. Out: the changes that were made, and a new generation of the desired state.
//! Not here: what a change does to processes, and waiting for them. Verbs that write share what stands at the end.
//! The surprise: nothing is recorded unless every file is good, every object may be changed, and the plan is the one
//! that was reviewed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Failure, Format, Global, Outcome, exit, validate};
use crate::desired::attempts::last_attempts;
use crate::desired::{
    Author, Batch, Changes, Draft, Locked, Options, Refusal, Store, StoreError, Stored, change, manifests, render,
};
use crate::engine::{Coverage, ObjectRef};
use crate::home::Home;
use crate::kind::units;
use crate::load::{LoadContext, load};

/// Record what manifests ask for, and make it so
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifests: Manifests,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Apply only if the plan is this one, as `diff` printed it
    #[arg(long, value_name = "PLAN")]
    expect: Option<String>,
    /// Wait until what the manifests name is ready
    #[arg(long, value_name = "FOR", num_args = 0..=1, require_equals = true, default_missing_value = "ready")]
    wait: Option<Until>,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: units::Duration,
    /// Execute one pass in the foreground and end
    #[arg(long, conflicts_with = "no_start")]
    once: bool,
    /// Start no controller
    #[arg(long)]
    no_start: bool,
    /// Yes, remove more than half of a set
    #[arg(long, short = 'y')]
    yes: bool,
}

/// What `diff` and `apply` compare, and by which rules.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Manifests {
    /// A file, a folder, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,
    /// Remove what is left over: in the set of the folder, and no longer in its files
    #[arg(long)]
    prune: bool,
    /// Take objects over from other sets
    #[arg(long)]
    take: bool,
    /// The set [default: `set` of setpoint.yaml, else the path of the folder]
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
}

/// What `--wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Until {
    /// Services are ready.
    Ready,
    /// Services are ready, and jobs are over; ends with 1 when one of these failed.
    Done,
}

/// Who executes a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The running controller; one is started in the background when there is none.
    Background,
    /// The running controller, if any.
    IfRunning,
    /// The running controller, if any; without one nothing has to be done.
    IfAny,
    /// The running controller, else one pass in this process.
    Once,
}

/// A generation that is to be executed.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Its number.
    pub generation: u64,
    /// The objects it changed.
    pub objects: Vec<ObjectRef>,
    /// By whom.
    pub start: Start,
}

/// Applies.
///
/// # Errors
/// With the code of the reason: invalid, refused, stale, or what the system says.
pub fn run(global: &Global, args: Args) -> Outcome {
    let Some(batch) = args.manifests.load(global)? else {
        return Ok(exit::USAGE);
    };
    let options = args.manifests.options();
    if args.dry_run {
        let base = read(global)?.base;
        let Some(changes) = compare(global, &base, &batch, &options)? else { return Ok(exit::USAGE) };
        args.check(&changes)?;
        super::print(&changes_text(global, &changes, json!({ "dryRun": true })))?;
        tell(global, "Nothing was changed: --dry-run.");
        return Ok(exit::OK);
    }
    let (home, store) = open(global)?;
    let start = match (args.once, args.no_start) {
        (true, _) => Start::Once,
        (false, true) => Start::IfRunning,
        (false, false) => Start::Background,
    };
    super::check_executor(&home, start)?;
    let mut locked = lock(&store)?;
    let Some(changes) = compare(global, locked.base(), &batch, &options)? else { return Ok(exit::USAGE) };
    args.check(&changes)?;
    let draft = changes.draft(Author::caller(), &|id| last_attempts(&home, id)).map_err(unlucky)?;
    let is_any = draft.is_some();
    let generation = match draft {
        Some(draft) => locked.commit(draft).map_err(failed)?.generation,
        None => locked.base().generation,
    };
    drop(locked);
    validate::print(&changes_text(global, &changes, json!({ "generation": generation })));
    let summary = render::summary(&changes);
    let said = match is_any {
        true => format!("Applied {summary}; generation {generation}.   Next: setpoint get"),
        false => String::from("Nothing to change."),
    };
    tell(global, &said);
    let code = super::hand_over(global, &home, &Handover { generation, objects: changes.affected(), start })?;
    match args.wait {
        Some(Until::Ready) if code == exit::OK => {
            let code = super::wait::ready(global, &home, &changes.named(), args.timeout.0)?;
            super::get::print_table(global, &changes.named())?;
            Ok(code)
        }
        Some(Until::Done) if code == exit::OK => {
            let (jobs, others): (Vec<ObjectRef>, Vec<ObjectRef>) =
                changes.named().into_iter().partition(|object| object.kind() == "job");
            let code = match super::wait::ready(global, &home, &others, args.timeout.0)? {
                exit::OK => super::wait::until(global, &home, &jobs, super::wait::Goal::Done, args.timeout.0)?,
                code => code,
            };
            super::get::print_table(global, &changes.named())?;
            Ok(code)
        }
        Some(Until::Ready | Until::Done) | None => Ok(code),
    }
}

impl Args {
    /// Whether a person has agreed to these changes.
    fn check(&self, changes: &Changes) -> Result<(), Failure> {
        if let Some(expected) = self.expect.as_ref().filter(|expected| **expected != changes.plan) {
            let text = format!(
                "the plan is {} now, not {expected}: the manifests or the desired state have changed since\n  \
                 help: review it again: setpoint diff {}",
                changes.plan,
                self.manifests.as_flags()
            );
            return Err(Failure::new(exit::REFUSED, text));
        }
        match &changes.needs_yes {
            Some(why) if !self.yes => {
                let text = format!("{why}: nothing was changed\n  help: if that is what you want, add --yes");
                Err(Failure::new(exit::REFUSED, text))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Manifests {
    /// Loads the files. None when they are not valid, and the errors have been printed.
    pub(super) fn load(&self, global: &Global) -> Result<Option<Batch>, Failure> {
        if !global.selector.is_empty() {
            let text = "-l does not go with -f: what is not selected could not be told from what is left over\n  \
             help: name the files of the objects instead";
            return Err(Failure::new(exit::USAGE, text));
        }
        load_files(global, &self.filename)
    }

    /// What is allowed.
    pub(super) fn options(&self) -> Options {
        Options { prune: self.prune, take: self.take, set: self.set.clone() }
    }

    /// The same again, to be typed.
    pub(super) fn as_flags(&self) -> String {
        let mut words: Vec<String> =
            self.filename.iter().flat_map(|path| [String::from("-f"), quoted(&path.to_string_lossy())]).collect();
        words.extend(self.set.iter().flat_map(|set| [String::from("--set"), quoted(set)]));
        words.extend(self.prune.then(|| String::from("--prune")));
        words.extend(self.take.then(|| String::from("--take")));
        words.join(" ")
    }
}

/// Loads files. None when they are not valid, and the errors have been printed.
pub(super) fn load_files(global: &Global, filename: &[PathBuf]) -> Result<Option<Batch>, Failure> {
    let here = LoadContext::here()
        .map_err(|error| Failure::new(exit::USAGE, format!("the current folder is gone: {error}; cd elsewhere")))?;
    let color = validate::is_colored(global);
    match load(filename, &here) {
        Ok(mut loaded) => {
            super::caution::add(global, &mut loaded);
            loaded.warnings.iter().for_each(|warning| super::complain(&format!("{}\n", warning.render(false, color))));
            let batch = manifests::batch(&loaded).map_err(|mixed| Failure::new(exit::USAGE, mixed.to_string()))?;
            Ok(Some(batch))
        }
        Err(problems) => {
            super::complain(&format!("{} Nothing was changed.", problems.render(color)));
            Ok(None)
        }
    }
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Changes in the asked format. `extra` is added to the JSON.
pub(super) fn changes_text(global: &Global, changes: &Changes, extra: Value) -> String {
    match global.output {
        Format::Table | Format::Wide => render::lines(changes, is_colored(global)),
        Format::Name => changes.affected().iter().map(|id| format!("{id}\n")).collect(),
        Format::Json | Format::Yaml => {
            let mut value = changes.to_json();
            if let (Some(map), Value::Object(extra)) = (value.as_object_mut(), extra) {
                map.extend(extra);
            }
            value_text(global, &value)
        }
    }
}

/// A value as YAML when that was asked for, and as JSON else.
pub(super) fn value_text(global: &Global, value: &Value) -> String {
    let yaml = (global.output == Format::Yaml).then(|| serde_yaml::to_string(value).ok()).flatten();
    yaml.unwrap_or_else(|| format!("{value:#}\n"))
}

/// Words for people, on stderr.
pub(super) fn tell(global: &Global, text: &str) {
    super::say(global, text);
}

/// True when stdout is to be coloured.
pub(super) fn is_colored(global: &Global) -> bool {
    use std::io::IsTerminal;
    match global.color {
        super::Color::Always => true,
        super::Color::Never => false,
        // The same rules as for errors, and stdout has to be a terminal too.
        super::Color::Auto => validate::is_colored(global) && std::io::stdout().is_terminal(),
    }
}

/// The home and its store, made when there are none.
pub(super) fn open(global: &Global) -> Result<(Home, Store), Failure> {
    let home = Home::open(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let store = Store::open(&home);
    Ok((home, store))
}

/// What there is to read.
pub(super) struct Reading {
    /// The chain of generations; none when there is no home yet.
    pub store: Option<Store>,
    /// The current generation.
    pub base: Arc<Stored>,
}

/// The current generation, without making or locking anything. No home reads as an empty one.
pub(super) fn read(global: &Global) -> Result<Reading, Failure> {
    let home =
        Home::open_existing(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let Some(home) = home else {
        return Ok(Reading { store: None, base: Arc::new(Stored::empty()) });
    };
    let store = Store::open(&home);
    let base = store.read_current().map_err(failed)?;
    warn_of_damage(&base);
    Ok(Reading { store: Some(store), base: Arc::new(base) })
}

/// The store, locked for writing.
pub(super) fn lock(store: &Store) -> Result<Locked, Failure> {
    let locked = store.lock(&super::complain).map_err(failed)?;
    warn_of_damage(locked.base());
    Ok(locked)
}

/// Writes a draft, lets the next writer in, and has it executed.
pub(super) fn commit(global: &Global, home: &Home, mut locked: Locked, step: Step<'_>) -> Outcome {
    super::check_executor(home, step.start)?;
    let generation = locked.commit(step.draft).map_err(failed)?.generation;
    drop(locked);
    match global.output {
        Format::Table | Format::Wide => {
            step.said.iter().for_each(|line| validate::print(&format!("{line}\n")));
        }
        Format::Name => step.objects.iter().for_each(|id| validate::print(&format!("{id}\n"))),
        Format::Json | Format::Yaml => {
            let value = json!({ "generation": generation, "objects": names(step.objects) });
            validate::print(&value_text(global, &value));
        }
    }
    let handover = Handover { generation, objects: step.objects.to_vec(), start: step.start };
    super::hand_over(global, home, &handover)
}

/// A change of objects by name.
pub(super) struct Step<'a> {
    /// The next generation.
    pub draft: Draft,
    /// What it changes.
    pub objects: &'a [ObjectRef],
    /// What is said of it, one line each.
    pub said: Vec<String>,
    /// Who executes it.
    pub start: Start,
}

/// The same said of each object, as in `deleted`.
pub(super) fn each(objects: &[ObjectRef], done: &str) -> Vec<String> {
    objects.iter().map(|id| format!("{id} {done}")).collect()
}

/// The names of objects, for JSON.
pub(crate) fn names(objects: &[ObjectRef]) -> Vec<&str> {
    objects.iter().map(ObjectRef::as_str).collect()
}

fn warn_of_damage(base: &Stored) {
    if let Coverage::Partial { why } = &base.coverage {
        super::complain(&format!(
            "warning: {why}\n  help: nothing is pruned meanwhile; the next apply writes a whole generation again"
        ));
    }
}

/// A failure of the store, with its exit code.
pub(crate) fn failed(error: StoreError) -> Failure {
    let code = if error.is_refusal() { exit::REFUSED } else { exit::FAILED };
    Failure::new(code, error.to_string())
}

/// What would change. None when manifests name what is not there, and the errors have been printed.
pub(super) fn compare(
    global: &Global,
    base: &Arc<Stored>,
    batch: &Batch,
    options: &Options,
) -> Result<Option<Changes>, Failure> {
    match change::plan(base, batch, options) {
        Ok(changes) => Ok(Some(changes)),
        Err(Refusal::References(problems)) => {
            super::complain(&format!("{} Nothing was changed.", problems.render(validate::is_colored(global))));
            Ok(None)
        }
        Err(refusal) => Err(refused(refusal)),
    }
}

/// A refused change, with its exit code.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    let code = match refusal {
        Refusal::OtherSet(_) | Refusal::Live(_) | Refusal::PruneBlind(_) | Refusal::Used(_) => exit::REFUSED,
        Refusal::PrunePart(_) | Refusal::SetName | Refusal::References(_) => exit::USAGE,
    };
    Failure::new(code, refusal.to_string())
}

/// The system has no randomness to give.
pub(super) fn unlucky(error: std::io::Error) -> Failure {
    Failure::new(exit::FAILED, format!("the system gives no random bytes: {error}: nothing was changed"))
}

/// How long a verb waits that takes no `--timeout`.
pub(super) const WAIT: Duration = Duration::from_secs(300);
