//! `setpoint job`: write, show, change and remove jobs, each a file of its own.
//!
//! In: a name and fields. Out: a file in the folder `jobs` of the home, or what is wrong with which field. Not here: what
//! is checked (`job`), applying it (the controller follows that folder).
//! The surprise: it waits until a running controller has taken the file up, and only then says that it did something.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::apply::{Start, Step, commit, lock, open, tell, value_text};
use super::{Failure, Format, Global, Outcome, controller, exit, facts, validate};
use crate::desired::edit::{self, Fate};
use crate::desired::{Author, Store};
use crate::engine::ObjectRef;
use crate::engine::run::Params;
use crate::engine::run::used::takes;
use crate::home::Home;
use crate::job::{self, Created, Draft, Refused, Why};
use crate::kind::{cronjob, units};
use crate::observe::clock;
use crate::observe::zones::Zones;

/// Write, show, change and remove jobs that are files of their own
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Write a job; nothing is written unless all of it is right
    Create(Create),
    /// Change a job; what is not named stays as it is
    Edit(Edit),
    /// Remove a job
    Delete(Name),
    /// Show a job as its file says it
    Show(Name),
}

/// A job by name.
#[derive(Clone, Debug, clap::Args)]
struct Name {
    /// Its name, which is that of its file without the ending
    name: String,
}

#[derive(Clone, Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    fields: Fields,
    /// Replace a job of this name
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Debug, clap::Args)]
struct Edit {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    fields: Fields,
}

/// What a job is made of.
#[derive(Clone, Debug, clap::Args)]
struct Fields {
    /// When: five fields of cron, or a word such as @daily; may be repeated
    #[arg(long, value_name = "EXPR", conflicts_with = "every")]
    schedule: Vec<String>,
    /// Every so often, counted from its first apply
    #[arg(long, value_name = "TIME")]
    every: Option<String>,
    /// What: a line for the shell
    #[arg(long, value_name = "LINE", conflicts_with_all = ["capability", "workflow", "param"])]
    run: Option<String>,
    /// What: a Capability
    #[arg(long, value_name = "NAME", conflicts_with = "workflow")]
    capability: Option<String>,
    /// What: a Workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// A parameter of it; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// The longest delay of a start: 90s, or a number of seconds
    #[arg(long, value_name = "TIME")]
    jitter: Option<String>,
    /// Whose clock the schedule is read on, as in Europe/Berlin
    #[arg(long, visible_alias = "tz", value_name = "ZONE")]
    timezone: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The first run that starts is the last
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    once: Option<bool>,
    /// Whether anything is due
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enabled: Option<bool>,
}

/// How long a controller may take to take a file up.
const TAKEN_UP_MAX: Duration = Duration::from_secs(5);

/// Runs the verb.
///
/// # Errors
/// When there is no such job, or the home cannot be written to.
pub fn run(global: &Global, args: Args) -> Outcome {
    let (home, store) = open(global)?;
    match args.verb {
        Verb::Create(create) => {
            let mut draft = Draft { name: create.name.name, overwrite: create.overwrite, ..Draft::default() };
            let written = create.fields.put_into(&mut draft, global).and_then(|()| job::create_job(&home, &draft));
            finish(global, &home, &store, written)
        }
        Verb::Edit(edit) => {
            let written = job::read_job(&home, &edit.name.name).and_then(|mut draft| {
                draft.overwrite = true;
                edit.fields.put_into(&mut draft, global)?;
                job::create_job(&home, &draft)
            });
            finish(global, &home, &store, written)
        }
        Verb::Delete(name) => delete(global, &home, &store, &name.name),
        Verb::Show(name) => match job::read_job(&home, &name.name) {
            Ok(draft) => show(global, &draft),
            Err(refused) => told(global, &refused),
        },
    }
}

impl Fields {
    /// Puts what was given into a draft.
    fn put_into(&self, draft: &mut Draft, global: &Global) -> Result<(), Refused> {
        let texts = |list: &[String]| match list {
            [one] => json!(one),
            several => json!(several),
        };
        if !self.schedule.is_empty() {
            draft.set("schedule", Some(texts(&self.schedule)));
            draft.set("every", None);
        }
        if let Some(every) = &self.every {
            draft.set("every", Some(json!(every)));
            draft.set("schedule", None);
        }
        self.put_work(draft);
        if let Some(zone) = &self.timezone {
            draft.set("timeZone", Some(json!(zone)));
        }
        if let Some(jitter) = &self.jitter {
            draft.set("jitter", None);
            draft.set("jitter_seconds", Some(seconds(jitter)));
        }
        if let Some(text) = &self.description {
            text.clone_into(&mut draft.description);
        }
        if let Some(once) = self.once {
            draft.set("once", None);
            draft.set("recurring", Some(json!(!once)));
        }
        if let Some(enabled) = self.enabled {
            draft.set("enabled", Some(json!(enabled)));
        }
        self.put_params(draft, global)
    }

    /// What it does; one thing takes the place of another.
    fn put_work(&self, draft: &mut Draft) {
        let given = [("run", &self.run), ("capability", &self.capability), ("workflow", &self.workflow)];
        let Some((key, value)) = given.iter().find_map(|(key, value)| Some((*key, value.as_ref()?))) else { return };
        if draft.word(key).is_none() {
            // What another one takes says nothing to this one.
            draft.set("params", None);
        }
        ["run", "use", "with", "type", "capability", "workflow"].iter().for_each(|other| draft.set(other, None));
        draft.set(key, Some(json!(value)));
        if key != "run" {
            draft.set("type", Some(json!(key)));
        }
    }

    fn put_params(&self, draft: &mut Draft, global: &Global) -> Result<(), Refused> {
        if self.param.is_empty() {
            return Ok(());
        }
        let schema = schema(draft, global);
        let mut params = draft.fields.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
        for pair in &self.param {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                let text = "params takes NAME=VALUE, as in --param app=shop".to_owned();
                return Err(Refused::of(Why::Invalid, "params", text));
            };
            let typed = super::run::typed(&schema, name, value);
            let value = typed.map_err(|why| Refused::of(Why::Invalid, "params", format!("params.{name} {why}")))?;
            params.insert(name.to_owned(), value);
        }
        draft.set("params", Some(Value::Object(params)));
        Ok(())
    }
}

/// What the thing takes that a draft uses; nothing is said here when it is not there.
fn schema(draft: &Draft, global: &Global) -> Params {
    let read = || {
        let (_, facts) = facts::read(global).ok()?;
        let mut bare = draft.clone();
        bare.fields.retain(|key, _| matches!(key.as_str(), "type" | "capability" | "workflow"));
        bare.set("every", Some(json!("1h")));
        let mut spec = bare.object("job");
        spec.as_object_mut()?.retain(|key, _| !matches!(key.as_str(), "kind" | "name"));
        let parsed = (cronjob::DEF.parse)(&spec).ok()?;
        let rule = parsed.kind.runs()?;
        Some(takes(&facts.desired, rule, &Value::Object(Map::new())).0)
    };
    read().unwrap_or_else(Params::none)
}

/// A jitter in whole seconds; what is none is left for the check to refuse.
fn seconds(text: &str) -> Value {
    let whole = |span: units::Duration| (span.0.subsec_nanos() == 0).then_some(span.0.as_secs());
    match (text.parse::<u64>(), text.parse::<units::Duration>().ok().and_then(whole)) {
        (Ok(seconds), _) | (Err(_), Some(seconds)) => json!(seconds),
        (Err(_), None) => json!(text),
    }
}

/// Says what came of it.
fn finish(global: &Global, home: &Home, store: &Store, written: Result<Created, Refused>) -> Outcome {
    let created = match written {
        Ok(created) => created,
        Err(refused) => return told(global, &refused),
    };
    let done = if created.is_new { "created" } else { "changed" };
    let taken_up = is_taken_up(home, store, &created)?;
    let next = job::next(&created.spec, clock::wall(), &mut Zones::new(), &super::cron::default_zone(global));
    match global.output {
        Format::Table | Format::Wide => validate::print(&format!("{} {done}\n", created.id)),
        Format::Name => validate::print(&format!("{}\n", created.id)),
        Format::Json | Format::Yaml => {
            let value = json!({
                "success": true, "name": created.id.name(), "file": created.file, "action": done,
                "next": next, "warnings": created.warnings, "applied": taken_up == Some(true),
            });
            validate::print(&value_text(global, &value));
        }
    }
    created.warnings.iter().for_each(|warning| tell(global, &format!("warning: {warning}")));
    tell(global, &format!("wrote {}", created.file.display()));
    if let Some(words) = job::words(&created.spec) {
        let next = next.map_or_else(String::new, |next| format!("; next {next}"));
        tell(global, &format!("{words}{next}"));
    }
    match taken_up {
        Some(true) => {}
        Some(false) => tell(global, "the controller has not taken it up yet: setpoint controller logs"),
        None => tell(global, "no controller runs, so nothing is due yet; start one: setpoint controller start"),
    }
    Ok(exit::OK)
}

/// Waits until the desired state holds what was written; none when nobody runs who would put it there.
fn is_taken_up(home: &Home, store: &Store, created: &Created) -> Result<Option<bool>, Failure> {
    if controller::is_absent(home) {
        return Ok(None);
    }
    let begin = Instant::now();
    let is_there = || {
        let base = store.read_current().ok()?;
        let object = base.objects.get(&created.id)?;
        let is_own = Path::new(&object.metadata.source).file_name() == created.file.file_name();
        Some(is_own && object.spec == created.spec)
    };
    while begin.elapsed() < TAKEN_UP_MAX {
        if is_there() == Some(true) {
            return Ok(Some(true));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(false))
}

/// Removes the file, and at once what came of it: a file that is gone is believed only after a while otherwise.
fn delete(global: &Global, home: &Home, store: &Store, name: &str) -> Outcome {
    let file = match job::delete_job(home, name) {
        Ok(file) => file,
        Err(refused) => return told(global, &refused),
    };
    let locked = lock(store)?;
    let id = ObjectRef::new(cronjob::DEF.lower, name).ok();
    let is_own =
        |id: &ObjectRef| locked.base().objects.get(id).is_some_and(|object| is_source(&object.metadata.source, &file));
    let Some(id) = id.filter(is_own) else {
        drop(locked);
        return said_deleted(global, name, &file);
    };
    let draft = edit::delete(locked.base(), std::slice::from_ref(&id), Fate::Stop, Author::caller());
    let draft = draft.map_err(super::apply::refused)?;
    let objects = [id];
    let said = vec![format!("{} deleted", objects[0])];
    commit(global, home, locked, Step { draft, objects: &objects, said, start: Start::IfRunning })
}

/// True when an object comes from this file.
#[must_use]
pub fn is_source(source: &str, file: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    let source = Path::new(source);
    source.file_name() == file.file_name() && folder(source) == folder(file)
}

/// A file that nothing came of yet.
fn said_deleted(global: &Global, name: &str, file: &Path) -> Outcome {
    match global.output {
        Format::Json | Format::Yaml => {
            validate::print(&value_text(global, &json!({ "success": true, "name": name, "file": file })));
        }
        Format::Name => validate::print(&format!("cronjob/{name}\n")),
        Format::Table | Format::Wide => validate::print(&format!("cronjob/{name} deleted\n")),
    }
    Ok(exit::OK)
}

/// A job as its file says it, with what goes without saying.
fn show(global: &Global, draft: &Draft) -> Outcome {
    match global.output {
        Format::Table | Format::Wide => super::print(&draft.text_of_file())?,
        Format::Name => super::print(&format!("cronjob/{}\n", draft.name))?,
        Format::Json | Format::Yaml => {
            let mut value = json!({ "name": draft.name, "description": draft.description });
            if let Some(map) = value.as_object_mut() {
                map.extend(draft.whole());
            }
            super::print(&value_text(global, &value))?;
        }
    }
    Ok(exit::OK)
}

/// Says what is wrong: in words, or in the shape that programs read.
fn told(global: &Global, refused: &Refused) -> Outcome {
    let code = match refused.why {
        Why::Invalid => exit::USAGE,
        Why::Unknown => exit::NOT_FOUND,
        Why::Taken => exit::REFUSED,
        Why::System => exit::FAILED,
    };
    match global.output {
        Format::Json | Format::Yaml => super::print(&value_text(global, &refused.json()))?,
        Format::Table | Format::Wide | Format::Name => super::complain(&format!("error: {refused}")),
    }
    Ok(code)
}
