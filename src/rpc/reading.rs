//! Methods that explain and show: schedules, schemas, what was printed.
//!
//! In: an expression, a kind, a name. Out: what the verbs of the same name print for programs. Not here: working it out.
//! The surprise: `logs.tail` gives lines as they were printed, control characters and all; whoever shows them to people
//! makes them harmless.

use serde_json::{Value, json};

use super::error::Error;
use super::method::{Answer, Context, Effect, Method};
use super::objects::facts;
use super::schema::{count, count_of, object, text, text_of};
use crate::cli::{Global, cron, logs, schema};
use crate::kind;

/// The most lines of one answer.
const LINES_MAX: u64 = 1000;
/// How many there are unless somebody says otherwise.
const LINES: usize = 50;

/// All of them.
pub const METHODS: &[Method] = &[
    Method {
        name: "logs.tail",
        effect: Effect::Read,
        doc: "The last lines that an object, an instance or a run printed",
        params: logs_params,
        answer: Answer::Here(tail),
    },
    Method {
        name: "cron.describe",
        effect: Effect::Read,
        doc: "What a schedule means and when it is due",
        params: cron_params,
        answer: Answer::Here(describe),
    },
    Method {
        name: "schema.get",
        effect: Effect::Read,
        doc: "The JSON Schema of one kind, or of every manifest",
        params: schema_params,
        answer: Answer::Here(schema_of),
    },
];

fn logs_params() -> Value {
    let fields = [
        ("object", text("KIND/NAME, KIND/NAME/INSTANCE or KIND/NAME/RUN")),
        ("run", text("this run of it; the newest when left out")),
        ("lines", count(1, LINES_MAX, "so many at most; 50 when left out")),
    ];
    object(&["object"], &fields)
}

fn tail(context: &Context, params: &Value) -> Result<Value, Error> {
    let facts = facts(context)?;
    let run = Some(text_of(params, "run")).filter(|run| !run.is_empty());
    let lines = count_of(params, "lines").unwrap_or(LINES);
    Ok(json!({ "items": logs::tail(&context.home, &facts, text_of(params, "object"), run, lines)? }))
}

fn cron_params() -> Value {
    let fields = [
        ("schedule", text("five fields of cron, or a word such as @daily")),
        ("tz", text("the zone whose clocks it follows")),
        ("from", text("due times after this moment; now when left out")),
        ("count", count(1, 1000, "how many due times; 5 when left out")),
        ("name", text("the object whose starts to show: jitter is a hash of its name")),
        ("jitter", text("how far starts may be moved, such as 90s")),
    ];
    object(&["schedule"], &fields)
}

fn describe(context: &Context, params: &Value) -> Result<Value, Error> {
    let global = Global { home: Some(context.home.root().to_owned()), ..Global::quiet() };
    let given = |name: &str| Some(text_of(params, name).to_owned()).filter(|text| !text.is_empty());
    let args = cron::Args {
        expr: vec![text_of(params, "schedule").to_owned()],
        tz: given("tz"),
        from: given("from"),
        count: count_of(params, "count").and_then(|count| u16::try_from(count).ok()).unwrap_or(5),
        name: given("name"),
        jitter: given("jitter"),
    };
    Ok(cron::describe(&global, &args)?)
}

fn schema_params() -> Value {
    object(&[], &[("kind", text("only this kind"))])
}

fn schema_of(_: &Context, params: &Value) -> Result<Value, Error> {
    match text_of(params, "kind") {
        "" => Ok(kind::schema::of_all()),
        word => Ok(kind::schema::of_kind(kind::find_spoken(word).ok_or_else(|| schema::unknown_kind(word))?)),
    }
}
