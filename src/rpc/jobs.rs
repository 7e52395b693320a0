//! Methods about jobs that are files of their own.
//!
//! In: a name, and fields as they stand in such a file. Out: the job, or what is wrong with which field. Not here: what
//! is checked (`job`). The surprise: `jobs.validate` is `jobs.create` without the file, so what it lets pass is taken.

use serde_json::{Map, Value, json};

use super::error::{Error, code};
use super::method::{Answer, Context, Effect, Method};
use super::objects::{amend, author};
use super::schema::{flag, is_set, map, none, object, text, text_of};
use crate::cli::{Global, apply, cron};
use crate::controller::request::Ask;
use crate::desired::Store;
use crate::desired::edit::{self, Fate};
use crate::engine::ObjectRef;
use crate::job::{self, Created, Draft, Refused, Why};
use crate::kind::cronjob;
use crate::observe::clock;
use crate::observe::zones::Zones;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "jobs.list",
        effect: Effect::Read,
        doc: "All jobs that have a file in the folder `jobs` of the home",
        params: none,
        answer: Answer::Here(list),
    },
    Method {
        name: "jobs.get",
        effect: Effect::Read,
        doc: "One job as its file says it",
        params: name_params,
        answer: Answer::Here(get),
    },
    Method {
        name: "jobs.validate",
        effect: Effect::Read,
        doc: "Check a job as jobs.create would, and write nothing",
        params: job_params,
        answer: Answer::Here(validate),
    },
    Method {
        name: "jobs.create",
        effect: Effect::Write,
        doc: "Write a job; nothing is written unless all of it is right",
        params: job_params,
        answer: Answer::Here(create),
    },
    Method {
        name: "jobs.update",
        effect: Effect::Write,
        doc: "Change fields of a job; null removes one",
        params: update_params,
        answer: Answer::Here(update),
    },
    Method {
        name: "jobs.delete",
        effect: Effect::Destructive,
        doc: "Remove a job and its file",
        params: name_params,
        answer: Answer::Here(delete),
    },
];

const FIELDS: &str =
    "as in the file of a job: schedule or every; run, capability or workflow; params; jitter_seconds; …";

fn name_params() -> Value {
    object(&["name"], &[("name", text("its name, which is that of its file without the ending"))])
}

fn properties() -> Vec<(&'static str, Value)> {
    vec![("name", text("its name")), ("description", text("what it is for")), ("fields", map(FIELDS))]
}

fn job_params() -> Value {
    let mut fields = properties();
    fields.push(("overwrite", flag("replace a job of this name")));
    object(&["name", "fields"], &fields)
}

fn update_params() -> Value {
    object(&["name"], &properties())
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        let code = match refused.why {
            Why::Invalid => code::PARAMS,
            Why::Unknown => code::NOT_FOUND,
            Why::Taken => code::REFUSED,
            Why::System => code::FAILED,
        };
        let mut error = Error::new(code, refused.error());
        error.suggestions = refused.suggestions;
        error.errors_by_field = refused.errors_by_field.into_iter().filter(|(field, _)| !field.is_empty()).collect();
        error
    }
}

fn shown(draft: &Draft) -> Value {
    let mut fields = draft.whole();
    fields.insert("name".to_owned(), draft.name.clone().into());
    fields.insert("description".to_owned(), draft.description.clone().into());
    Value::Object(fields.into_iter().collect())
}

fn list(context: &Context, _: &Value) -> Result<Value, Error> {
    let read = |name: String| match job::read_job(&context.home, &name) {
        Ok(draft) => shown(&draft),
        Err(refused) => json!({ "name": name, "error": refused.error() }),
    };
    Ok(json!({ "items": job::names(&context.home).into_iter().map(read).collect::<Vec<_>>() }))
}

fn get(context: &Context, params: &Value) -> Result<Value, Error> {
    Ok(shown(&job::read_job(&context.home, text_of(params, "name"))?))
}

fn fields(params: &Value) -> Map<String, Value> {
    params.get("fields").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn draft(params: &Value) -> Draft {
    let mut draft = Draft { name: text_of(params, "name").to_owned(), ..Draft::default() };
    draft.overwrite = is_set(params, "overwrite");
    text_of(params, "description").clone_into(&mut draft.description);
    fields(params).into_iter().for_each(|(key, value)| draft.set(&key, Some(value)));
    draft
}

/// What came of it, for programs.
fn told(context: &Context, created: &Created) -> Value {
    let global = Global { home: Some(context.home.root().to_owned()), ..Global::quiet() };
    let next = job::next(&created.spec, clock::wall(), &mut Zones::new(), &cron::default_zone(&global));
    json!({
        "success": true, "name": created.id.name(), "object": created.id.as_str(), "file": created.file,
        "action": if created.is_new { "created" } else { "changed" }, "words": job::words(&created.spec), "next": next,
        "warnings": created.warnings,
    })
}

fn validate(context: &Context, params: &Value) -> Result<Value, Error> {
    Ok(told(context, &job::check_job(&context.home, &draft(params))?))
}

fn written(context: &Context, draft: &Draft) -> Result<Value, Error> {
    let created = job::create_job(&context.home, draft)?;
    // Its folder is followed; this only saves the wait for the word of the watcher.
    context.ask(Ask::Reload)?;
    Ok(told(context, &created))
}

fn create(context: &Context, params: &Value) -> Result<Value, Error> {
    written(context, &draft(params))
}

fn update(context: &Context, params: &Value) -> Result<Value, Error> {
    let mut draft = job::read_job(&context.home, text_of(params, "name"))?;
    draft.overwrite = true;
    if params.get("description").is_some() {
        text_of(params, "description").clone_into(&mut draft.description);
    }
    fields(params).into_iter().for_each(|(key, value)| draft.set(&key, Some(value).filter(|value| !value.is_null())));
    written(context, &draft)
}

fn delete(context: &Context, params: &Value) -> Result<Value, Error> {
    let name = text_of(params, "name");
    let file = job::delete_job(&context.home, name)?;
    // What came of it goes at once: a file that is gone is believed only after a while otherwise.
    let base = Store::open(&context.home).read_current().map_err(apply::failed)?;
    let is_own = |id: &ObjectRef| {
        base.objects.get(id).is_some_and(|object| crate::cli::job::is_source(&object.metadata.source, &file))
    };
    if let Some(id) = ObjectRef::new(cronjob::DEF.lower, name).ok().filter(is_own) {
        amend(context, &[id.to_string()], |base, ids| {
            let draft = edit::delete(base, ids, Fate::Stop, author(context, ""));
            draft.map(Some).map_err(|refusal| apply::refused(refusal).into())
        })?;
    }
    Ok(json!({ "success": true, "name": name, "file": file }))
}
