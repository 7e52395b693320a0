//! Jobs that people write one at a time: a Markdown file each, in the folder `jobs` of the home.
//!
//! In: a draft, from a command line, a form or an agent. Out: the file, or what is wrong with each field. Not here: reading
//! such files (`load`), applying them (the controller follows the folder).
//!
//! [`create_job`] is the one way in: nothing is written before all of it is right, so a file that was made here never
//! has to be corrected later.
//! The surprise: an edit goes the same way with `overwrite`, since a file that is replaced is as new as any.

pub mod draft;
mod file;
pub mod refused;

use std::path::PathBuf;

use serde_json::Value;

pub use draft::Draft;
pub use refused::{Refused, Why};

use crate::desired::live::LAYER_USER;
use crate::desired::{Store, Stored, form};
use crate::engine::name::is_name;
use crate::engine::schedule::Schedule;
use crate::engine::{ObjectRef, Timestamp};
use crate::home::Home;
use crate::kind::cronjob;
use crate::load::LoadContext;

/// What was written.
#[derive(Clone, Debug)]
pub struct Created {
    /// The object it becomes.
    pub id: ObjectRef,
    /// The file.
    pub file: PathBuf,
    /// False: a file of this name was replaced.
    pub is_new: bool,
    /// Its spec, as it is stored once it is applied.
    pub spec: Value,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Checks a job against all there is, and writes it.
///
/// # Errors
/// What is wrong with which field, with what was probably meant; or that it cannot be written. Nothing is written then.
pub fn create_job(home: &Home, draft: &Draft) -> Result<Created, Refused> {
    let created = check_job(home, draft)?;
    let file = &created.file;
    file::write(home, file, &draft.text_of_file(), draft.overwrite).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Refused::of(Why::Taken, "name", taken(file)),
        _ => {
            Refused::of_system(format!("{} cannot be written: {error}; make room, or check its owner", file.display()))
        }
    })?;
    Ok(created)
}

/// The same without writing: what it would come to.
///
/// # Errors
/// What is wrong with which field, with what was probably meant.
pub fn check_job(home: &Home, draft: &Draft) -> Result<Created, Refused> {
    let mut refused = Refused::default();
    let base = Store::open(home).read_current().map_err(|error| Refused::of_system(error.to_string()))?;
    let id = ObjectRef::new(cronjob::DEF.lower, &draft.name).ok().filter(|_| is_name(&draft.name));
    let Some(id) = id else {
        refused.add("name", NAME.to_owned());
        check(home, draft, &nameless(), &base, &mut refused);
        return Err(refused);
    };
    let file = home.jobs().join(format!("{}.md", draft.name));
    let is_new = file.symlink_metadata().is_err();
    let mut warnings = Vec::new();
    place(&base, &id, &file, is_new, draft.overwrite)
        .map_or_else(|(why, text)| refused.add_as(why, "name", text), |warning| warnings.extend(warning));
    let spec = check(home, draft, &id, &base, &mut refused);
    let Some(spec) = spec.filter(|_| refused.is_empty()) else { return Err(refused) };
    Ok(Created { id, file, is_new, spec, warnings })
}

/// The job of this name, as its file says it.
///
/// # Errors
/// When there is no such file, or it is none that can be read.
pub fn read_job(home: &Home, name: &str) -> Result<Draft, Refused> {
    let file = home.jobs().join(format!("{name}.md"));
    let text = match std::fs::read_to_string(&file) {
        _ if !is_name(name) => return Err(Refused::of(Why::Invalid, "name", NAME.to_owned())),
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(unknown(home, name)),
        Err(error) => return Err(Refused::of_system(format!("{} cannot be read: {error}", file.display()))),
    };
    let wrong = |why: String| Refused::of(Why::Invalid, "", format!("{} {why}; correct it by hand", file.display()));
    Draft::of_file(name, &text).map_err(wrong)
}

/// Removes the file of a job; gives where it was.
///
/// # Errors
/// When there is no such file, or it cannot be removed.
pub fn delete_job(home: &Home, name: &str) -> Result<PathBuf, Refused> {
    let file = home.jobs().join(format!("{name}.md"));
    match std::fs::remove_file(&file) {
        _ if !is_name(name) => Err(Refused::of(Why::Invalid, "name", NAME.to_owned())),
        Ok(()) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(unknown(home, name)),
        Err(error) => Err(Refused::of_system(format!("{} cannot be removed: {error}", file.display()))),
    }
}

/// The names of all jobs that have a file.
#[must_use]
pub fn names(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.jobs()).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".md").filter(|stem| is_name(stem)).map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

const NAME: &str = "name must have 1 to 64 letters, digits, `-` and `_`, and begin with a letter or a digit";

/// A name to check the rest by when the given one is none.
fn nameless() -> ObjectRef {
    match ObjectRef::new(cronjob::DEF.lower, "job") {
        Ok(id) => id,
        Err(_) => unreachable!("`job` is a name"),
    }
}

fn taken(file: &std::path::Path) -> String {
    format!("a job of this name is there ({}); choose another name, or edit it: setpoint job edit", file.display())
}

fn unknown(home: &Home, name: &str) -> Refused {
    let names = names(home);
    let mut refused = Refused::of(Why::Unknown, "name", format!("there is no job `{}`", crate::kind::plain(name)));
    refused.suggest(crate::load::similar(name, names.iter().map(String::as_str)));
    refused
}

/// Whether this file would speak for the object. Fine, with a warning maybe; or why it would not.
fn place(
    base: &Stored,
    id: &ObjectRef,
    file: &std::path::Path,
    is_new: bool,
    overwrite: bool,
) -> Result<Option<String>, (Why, String)> {
    if !is_new && !overwrite {
        return Err((Why::Taken, taken(file)));
    }
    let Some(object) = base.objects.get(id) else { return Ok(None) };
    let meta = &object.metadata;
    let is_same = std::path::Path::new(&meta.source).file_name() == file.file_name();
    match (meta.layer.as_deref() == Some(LAYER_USER), base.sets.get(&meta.set).is_some_and(|set| set.live)) {
        (true, _) if is_same => Ok(None),
        (true, _) => Err((Why::Taken, format!("{id} stands in {} already; edit that file, or remove it", meta.source))),
        (false, true) => Ok(Some(format!("it takes the place of {id} of {}", meta.source))),
        (false, false) => {
            let text = format!("{id} belongs to the set \"{}\" ({}); choose another name", meta.set, meta.source);
            Err((Why::Taken, text))
        }
    }
}

/// Says what is wrong with each field; gives the spec when it can be read.
fn check(home: &Home, draft: &Draft, id: &ObjectRef, base: &Stored, refused: &mut Refused) -> Option<Value> {
    draft.check_words(refused);
    let work = draft.work_key();
    let field = |path: &str| match path.split('.').next().unwrap_or_default() {
        "" if draft.fields.get("schedule").or(draft.fields.get("every")).is_none() => "schedule".to_owned(),
        "" | "use" => work.to_owned(),
        "with" => "params".to_owned(),
        "once" => "recurring".to_owned(),
        other => other.to_owned(),
    };
    // The folder itself may not be there yet.
    let root = home.root().canonicalize().unwrap_or_else(|_| home.root().to_path_buf());
    let cx = LoadContext { folder: root.join("jobs") };
    match form::check(base, &draft.object(id.name()), &cx) {
        Ok(manifest) => Some(manifest.spec.clone()),
        Err(said) => {
            said.errors_by_field.into_iter().for_each(|(path, text)| refused.add(&field(&path), text));
            said.suggestions.iter().for_each(|meant| refused.suggest(Some(meant)));
            None
        }
    }
}

/// When a job is due, in words; none when it has no schedule.
#[must_use]
pub fn words(spec: &Value) -> Option<String> {
    let texts: Vec<&str> = match spec.get("schedule") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(value) => value.as_str().into_iter().collect(),
        None => return spec.get("every").and_then(Value::as_str).map(|every| format!("every {every}")),
    };
    let mut schedule = Schedule::default();
    texts.into_iter().try_for_each(|text| schedule.add(text)).ok()?;
    Some(schedule.words())
}

/// The next due time of a spec after a moment, in RFC 3339; none when it has none of its own, or counts from its apply.
#[must_use]
pub fn next(spec: &Value, after: Timestamp, zones: &mut crate::observe::zones::Zones, default: &str) -> Option<String> {
    let texts: Vec<&str> = match spec.get("schedule")? {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    };
    let mut schedule = Schedule::default();
    texts.into_iter().try_for_each(|text| schedule.add(text)).ok()?;
    let zone = zones.get(spec.get("timeZone").and_then(Value::as_str).unwrap_or(default)).ok()?;
    Some(zone.rfc3339(schedule.next(after, after, &zone)?))
}
