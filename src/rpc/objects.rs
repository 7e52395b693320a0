//! Methods about objects.
//!
//! In: names. Out: objects in the shape of `get -o json`; a new generation of the desired state. Not here: what follows
//! from one. The surprise: an answer to a change says that it is recorded and that the controller has read it, not that
//! it has come about; `objects.get` and events say that.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::error::{Error, code};
use super::method::{Answer, Context, Effect, Method};
use super::schema::{flag, is_set, object, text, text_of, texts, texts_of};
use crate::cli::facts::{self, Facts};
use crate::cli::{apply, describe, source};
use crate::controller::request::Ask;
use crate::desired::attempts::last_attempts;
use crate::desired::edit::{self, Fate};
use crate::desired::resolve::resolve;
use crate::desired::{Author, Draft, Store, Stored};
use crate::engine::ObjectRef;
use crate::kind::units;
use crate::observe::Clock;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "objects.list",
        effect: Effect::Read,
        doc: "Objects with what became of them",
        params: list_params,
        answer: Answer::Here(list),
    },
    Method {
        name: "objects.get",
        effect: Effect::Read,
        doc: "One object with what became of it",
        params: one,
        answer: Answer::Here(get),
    },
    Method {
        name: "objects.describe",
        effect: Effect::Read,
        doc: "The story of an object in words: why it is as it is, and what to do",
        params: one,
        answer: Answer::Here(story),
    },
    Method {
        name: "objects.delete",
        effect: Effect::Destructive,
        doc: "Remove objects and stop what runs for them",
        params: delete_params,
        answer: Answer::Here(delete),
    },
    Method {
        name: "objects.pause",
        effect: Effect::Destructive,
        doc: "Keep objects down, through applies and restarts",
        params: pause_params,
        answer: Answer::Here(pause),
    },
    Method {
        name: "objects.resume",
        effect: Effect::Write,
        doc: "Let paused objects up again",
        params: some,
        answer: Answer::Here(resume),
    },
    Method {
        name: "objects.restart",
        effect: Effect::Destructive,
        doc: "Replace the processes of objects, and forgive their crashes",
        params: some,
        answer: Answer::Here(restart),
    },
];

const NAMES: &str = "KIND/NAME each, or a NAME that only one object has";

fn list_params() -> Value {
    let fields =
        [("kind", text("only of this kind")), ("labels", texts("only with these labels: KEY=VALUE or KEY!=VALUE"))];
    object(&[], &fields)
}

fn one() -> Value {
    object(&["object"], &[("object", text("KIND/NAME, or a NAME that only one object has"))])
}

fn some() -> Value {
    object(&["objects"], &[("objects", texts(NAMES))])
}

fn delete_params() -> Value {
    let fields = [("objects", texts(NAMES)), ("keepRunning", flag("let what runs go on, as strays"))];
    object(&["objects"], &fields)
}

fn pause_params() -> Value {
    let fields = [
        ("objects", texts(NAMES)),
        ("for", text("when the pause ends by itself, such as 2h; never when left out")),
        ("reason", text("why; shown wherever the object is")),
    ];
    object(&["objects"], &fields)
}

/// Everything that can be known now, as verbs know it.
///
/// # Errors
/// When the home or `/proc` cannot be read.
pub fn facts(context: &Context) -> Result<Facts, Error> {
    let clock = Clock::new().map_err(|error| Error::new(code::FAILED, format!("/proc cannot be read: {error}")))?;
    Ok(facts::of(&context.home, &clock)?)
}

fn list(context: &Context, params: &Value) -> Result<Value, Error> {
    let (facts, kind) = (facts(context)?, text_of(params, "kind"));
    let words = if kind.is_empty() { Vec::new() } else { vec![kind.to_owned()] };
    if !kind.is_empty() && crate::kind::find_spoken(kind).is_none() {
        return Err(crate::cli::schema::unknown_kind(kind).into());
    }
    let labels = texts_of(params, "labels");
    let objects = facts.named(&words)?;
    let items: Vec<Value> = objects
        .iter()
        .filter(|object| facts.is_selected(object, &labels))
        .map(|object| facts.to_json(object))
        .collect();
    Ok(json!({ "items": items }))
}

/// The one object that is meant.
fn named(facts: &Facts, params: &Value) -> Result<ObjectRef, Error> {
    Ok(crate::cli::run::one(facts, &[text_of(params, "object").to_owned()])?)
}

fn get(context: &Context, params: &Value) -> Result<Value, Error> {
    let facts = facts(context)?;
    Ok(facts.to_json(&named(&facts, params)?))
}

fn story(context: &Context, params: &Value) -> Result<Value, Error> {
    let facts = facts(context)?;
    let object = named(&facts, params)?;
    let text = describe::story(&context.home, &facts, &mut source::Folders::default(), &object);
    Ok(json!({ "object": object.as_str(), "text": text }))
}

/// Who changes something, as it is written down.
#[must_use]
pub fn author(context: &Context, note: &str) -> Author {
    let note = Some(note.to_owned()).filter(|note| !note.is_empty());
    Author { principal: context.caller.principal(), at: crate::desired::now(), note, request: None }
}

/// Changes objects by name, and has the controller read it.
///
/// # Errors
/// When there is no such object, or the change is refused.
pub fn amend(
    context: &Context,
    words: &[String],
    make: impl FnOnce(&Stored, &[ObjectRef]) -> Result<Option<Draft>, Error>,
) -> Result<Value, Error> {
    let store = Store::open(&context.home);
    let lock = store.lock(&|text| tracing::warn!("{text}"));
    let mut locked = lock.map_err(apply::failed)?;
    let known: BTreeSet<ObjectRef> = locked.base().objects.keys().cloned().collect();
    let found = if words.is_empty() { Ok(Vec::new()) } else { resolve(&known, words) };
    let ids = found.map_err(|error| Error::new(code::NOT_FOUND, error.to_string()))?;
    let draft = make(locked.base(), &ids)?;
    let is_changed = draft.is_some();
    let generation = match draft {
        Some(draft) => locked.commit(draft).map_err(apply::failed)?.generation,
        None => locked.base().generation,
    };
    drop(locked);
    context.ask(Ask::Reload)?;
    Ok(json!({ "generation": generation, "objects": apply::names(&ids), "changed": is_changed }))
}

fn delete(context: &Context, params: &Value) -> Result<Value, Error> {
    let fate = if is_set(params, "keepRunning") { Fate::RunOn } else { Fate::Stop };
    amend(context, &texts_of(params, "objects"), |base, ids| {
        let draft = edit::delete(base, ids, fate, author(context, ""));
        draft.map(Some).map_err(|refusal| apply::refused(refusal).into())
    })
}

fn pause(context: &Context, params: &Value) -> Result<Value, Error> {
    let wrong = |what: &str| Error::field("for", what, "write it as 90s, 15m, 2h or 7d");
    let until = match text_of(params, "for") {
        "" => None,
        given => {
            let span = given.parse::<units::Duration>().map_err(|_| wrong("is no span"))?;
            let end = TimeDelta::from_std(span.0).ok().and_then(|span| Utc::now().checked_add_signed(span));
            Some(end.ok_or_else(|| wrong("is too long"))?.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
    };
    let author = author(context, text_of(params, "reason"));
    amend(context, &texts_of(params, "objects"), |base, ids| Ok(Some(edit::pause(base, ids, until, author))))
}

/// Lets objects up again.
///
/// # Errors
/// As [`amend`].
pub fn resume(context: &Context, params: &Value) -> Result<Value, Error> {
    amend(context, &texts_of(params, "objects"), |base, ids| {
        Ok(edit::resume(base, ids, author(context, ""), &|id| last_attempts(&context.home, id)))
    })
}

fn restart(context: &Context, params: &Value) -> Result<Value, Error> {
    amend(context, &texts_of(params, "objects"), |base, ids| {
        Ok(Some(edit::restart(base, ids, author(context, ""), &|id| last_attempts(&context.home, id))))
    })
}
