//! Methods that compare manifests with what is desired, and make them so.
//!
//! In: manifests as text or files. Out: the plan of objects, as `diff -o json` has it. Not here: comparing (`desired`).
//! The surprise: a plan is applied by its id, which is a hash of what it changes; when anything has changed since, it is
//! another plan, and nothing is done.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::{Error, code};
use super::method::{Answer, Context, Effect, Method};
use super::objects::author;
use super::schema::{flag, is_set, object, text, text_of, texts, texts_of};
use crate::cli::apply;
use crate::controller::request::Ask;
use crate::desired::attempts::last_attempts;
use crate::desired::{Batch, Changes, Options, Refusal, Store, Stored, change, manifests};
use crate::load::{Form, LoadContext, Problem, Problems, load, load_text};

/// How many problems are told.
const TOLD_MAX: usize = 20;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "plan.create",
        effect: Effect::Read,
        doc: "What applying manifests would change, and the id of that plan",
        params: create_params,
        answer: Answer::Here(create),
    },
    Method {
        name: "plan.apply",
        effect: Effect::Destructive,
        doc: "Apply manifests, if the plan is the expected one",
        params: apply_params,
        answer: Answer::Here(carry_out),
    },
];

fn properties() -> Vec<(&'static str, Value)> {
    let manifests = json!({
        "type": "string", "maxLength": super::wire::LINE_MAX, "description": "YAML or JSON, one or more documents",
    });
    vec![
        ("manifests", manifests),
        ("folder", text("what relative paths in `manifests` start from; the home when left out")),
        ("files", texts("files and folders instead of `manifests`: absolute paths")),
        ("set", text("the set of the objects")),
        ("prune", flag("remove what is left over in the set")),
        ("take", flag("take objects over from other sets")),
    ]
}

fn create_params() -> Value {
    object(&[], &properties())
}

fn apply_params() -> Value {
    let mut fields = properties();
    fields.push(("expect", text("only if the plan has this id, as plan.create gave it")));
    fields.push(("yes", flag("remove more than half of a set")));
    object(&[], &fields)
}

/// The manifests that are meant.
fn batch(context: &Context, params: &Value) -> Result<Batch, Error> {
    let files: Vec<PathBuf> = texts_of(params, "files").into_iter().map(PathBuf::from).collect();
    let given = params.get("manifests").and_then(Value::as_str);
    let folder = match text_of(params, "folder") {
        "" => context.home.root().to_owned(),
        folder => PathBuf::from(folder),
    };
    if files.iter().chain([&folder]).any(|path| !path.is_absolute()) {
        return Err(Error::field("files", "has a relative path", "the controller has no current folder; write /…"));
    }
    let cx = LoadContext { folder };
    let loaded = match (given, files.is_empty()) {
        (Some(text), true) => load_text(text.as_bytes(), Form::Yaml, &cx),
        (None, false) => load(&files, &cx),
        (Some(_), false) => return Err(Error::field("files", "stands beside `manifests`", "give one of them")),
        (None, true) => return Err(Error::field("manifests", "is missing", "give `manifests` or `files`")),
    };
    let loaded = loaded.map_err(|problems| refused(&problems))?;
    manifests::batch(&loaded).map_err(|mixed| Error::new(code::PARAMS, mixed.to_string()))
}

/// What is wrong with manifests, each with its place.
fn refused(problems: &Problems) -> Error {
    let mut error = Error::new(code::PARAMS, format!("{} Nothing was changed.", problems.summary()));
    let line = |problem: &Problem| format!("{}: {}", problem.place, problem.message);
    let told: Vec<String> = problems.list.iter().take(TOLD_MAX).map(line).collect();
    error.errors_by_field.insert("manifests".to_owned(), told.join("; "));
    let helps = problems.list.iter().take(TOLD_MAX).map(|problem| problem.help.clone());
    error.suggestions = helps.filter(|help| !help.is_empty()).collect();
    error
}

fn options(params: &Value) -> Options {
    let set = Some(text_of(params, "set").to_owned()).filter(|set| !set.is_empty());
    Options { prune: is_set(params, "prune"), take: is_set(params, "take"), set }
}

fn compare(base: &Arc<Stored>, batch: &Batch, params: &Value) -> Result<Changes, Error> {
    change::plan(base, batch, &options(params)).map_err(|refusal| match refusal {
        Refusal::References(problems) => refused(&problems),
        other => apply::refused(other).into(),
    })
}

fn create(context: &Context, params: &Value) -> Result<Value, Error> {
    let batch = batch(context, params)?;
    let base = Store::open(&context.home).read_current().map_err(apply::failed)?;
    Ok(compare(&Arc::new(base), &batch, params)?.to_json())
}

fn carry_out(context: &Context, params: &Value) -> Result<Value, Error> {
    let batch = batch(context, params)?;
    let store = Store::open(&context.home);
    let mut locked = store.lock(&|text| tracing::warn!("{text}")).map_err(apply::failed)?;
    let changes = compare(locked.base(), &batch, params)?;
    let expected = text_of(params, "expect");
    if !expected.is_empty() && expected != changes.plan {
        let text = format!("the plan is {} now, not {expected}\n  help: review it again: plan.create", changes.plan);
        return Err(Error::new(code::REFUSED, text));
    }
    if let Some(why) = changes.needs_yes.as_ref().filter(|_| !is_set(params, "yes")) {
        let text = format!("{why}: nothing was changed\n  help: if that is what you want, give yes: true");
        return Err(Error::new(code::REFUSED, text));
    }
    let failed = |error: std::io::Error| Error::new(code::FAILED, format!("a uid cannot be drawn: {error}"));
    let draft = changes.draft(author(context, ""), &|id| last_attempts(&context.home, id)).map_err(failed)?;
    let generation = match draft {
        Some(draft) => locked.commit(draft).map_err(apply::failed)?.generation,
        None => locked.base().generation,
    };
    drop(locked);
    context.ask(Ask::Reload)?;
    let mut answer = changes.to_json();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("generation".to_owned(), generation.into());
    }
    Ok(answer)
}
