//! Methods about lifecycle requests.
//!
//! In: an action, and for whom. Out: the name of the request, once the disk has it. Not here: carrying it out.
//! The surprise: a process inside an instance speaks for that instance alone, by its ancestry, whatever it sends.

use serde_json::{Value, json};

use super::error::{Error, code};
use super::method::{Answer, Context, Effect, Method};
use super::schema::{object, text, text_of, word};
use crate::cli::{exit, request};
use crate::controller::request::Ask;
use crate::request::{Action, Asker, HANDOFF_MAX, Wish};

/// All of them.
pub const METHODS: &[Method] = &[Method {
    name: "request.create",
    effect: Effect::Destructive,
    doc: "Ask for a cycle, a restart or a shutdown; answers once it is on the disk",
    params: create_params,
    answer: Answer::Here(create),
}];

fn create_params() -> Value {
    let handoff =
        json!({ "type": "string", "maxLength": HANDOFF_MAX, "description": "what the successor is given, as text" });
    let fields = [
        ("action", word(&Action::ALL.map(Action::word), "what is asked for")),
        ("for", text("KIND/NAME or KIND/NAME/INSTANCE; the instance that calls when it is left out")),
        ("handoff", handoff),
        ("reason", text("why")),
    ];
    object(&["action"], &fields)
}

fn create(context: &Context, params: &Value) -> Result<Value, Error> {
    let given = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
    let action = Action::ALL.into_iter().find(|action| action.word() == text_of(params, "action"));
    let action = action.ok_or_else(|| Error::field("action", "is no action", "cycle, restart or shutdown"))?;
    let handoff = given("handoff");
    let wish = Wish { action, target: given("for"), reason: given("reason"), has_handoff: handoff.is_some() };
    let asker = Asker::of(&context.home, context.caller.pid);
    let written = request::write(&context.home, &asker, wish, handoff.as_deref().map(str::as_bytes));
    let request = written.map_err(|failure| match failure.code {
        exit::USAGE => Error::new(code::PARAMS, failure.text),
        other => Error::new(-32000 - i32::from(other), failure.text),
    })?;
    // The folder is watched as well; this is sooner.
    context.ask(Ask::Reload)?;
    Ok(request::shape(&request))
}
