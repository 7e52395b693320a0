//! `setpoint run`: a run now, whatever the schedule says.
//!
//! In: an object, and values for its parameters. Out: the name of the run; with `--wait`, how it ended.
//! Not here: executing it. The surprise: a value is typed by the schema of what it is for, so `--param version=1.10` is
//! text where the schema says so, and a number where it does not.

use std::io::Read;

use serde_json::{Map, Value};

use super::facts::{self, Facts};
use super::{Failure, Global, Outcome, exit, logs, order};
use crate::controller::pressure;
use crate::engine::run::pressure::gates;
use crate::engine::run::scope::exact;
use crate::engine::run::used::takes;
use crate::engine::run::{Arises, Params, RunRule};
use crate::engine::{ObjectRef, State};
use crate::kind::units;

/// Run a Job, CronJob, Capability or Workflow now
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND NAME or a unique NAME
    #[arg(required = true, num_args = 1..=2, value_name = "OBJECT")]
    object: Vec<String>,
    /// A parameter; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// All parameters as JSON, or - to read them from standard input
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Wait until it is over; ends with 0 when that went well, 1 when not, 6 when it is held, 130 when it was cancelled
    #[arg(long)]
    wait: bool,
    /// Print what it prints until it is over; ends as --wait
    #[arg(short, long)]
    follow: bool,
    /// How long to wait; then exit code 124, and the run goes on [default: as long as it takes]
    #[arg(long, value_name = "TIME")]
    timeout: Option<units::Duration>,
}

/// Runs the verb.
///
/// # Errors
/// When there is no such object, it cannot be run, a parameter is wrong, or no controller runs.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let (home, facts) = facts::read(global)?;
    let object = one(&facts, &args.object)?;
    let is_run = |rule: &&RunRule| !matches!(rule.arises, Arises::Messages(_));
    let Some(rule) = facts.rule(&object).filter(is_run) else { return Err(not_run(&facts, &object)) };
    let params = args.given(&facts, rule)?;
    check(&facts, rule, &object, &params)?;
    let Some(home) = home else { return Err(not_run(&facts, &object)) };
    let asked = serde_json::json!({ "object": object.as_str(), "params": params });
    let id = order::ask(&home, "runs.start", asked)?;
    order::print(global, &id, "started")?;
    for line in aside(&facts, &object) {
        super::say(global, &line);
    }
    let patience = args.timeout.map(|timeout| timeout.0);
    if args.follow {
        return logs::follow_run(global, &home, &id, patience);
    }
    if args.wait {
        return order::until_over(global, &home, &id, patience, || Ok(()));
    }
    super::say(global, &format!("Next: setpoint logs {object} --run {} -f   |   setpoint runs {id}", id.cause));
    Ok(exit::OK)
}

/// The one object that is meant.
///
/// # Errors
/// When there is none, or words mean more than one.
pub fn one(facts: &Facts, words: &[String]) -> Result<ObjectRef, Failure> {
    // A name comes before the word of a kind: nobody runs all Services.
    let same = |word: &String| -> Vec<ObjectRef> {
        facts.objects().into_iter().filter(|id| !word.contains('/') && id.name() == word).collect()
    };
    let objects = match words {
        [word] if same(word).len() == 1 => same(word),
        words => facts.named(words)?,
    };
    match objects.as_slice() {
        [object] => Ok(object.clone()),
        [] => Err(Failure::new(exit::NOT_FOUND, format!("there is no {}\n  help: setpoint get", words.join(" ")))),
        many => {
            let names: Vec<&str> = many.iter().take(5).map(ObjectRef::as_str).collect();
            let text = format!("`{}` means more than one object: {}", words.join(" "), names.join(", "));
            Err(Failure::new(exit::USAGE, format!("{text}\n  help: name one: KIND/NAME")))
        }
    }
}

/// Why an object cannot be run.
fn not_run(facts: &Facts, object: &ObjectRef) -> Failure {
    if let Some(RunRule { arises: Arises::Messages(_), .. }) = facts.rule(object) {
        let help = format!("setpoint send {object} TEXT");
        return Failure::new(exit::USAGE, format!("{object} is set off by messages, not run\n  help: {help}"));
    }
    let text = match facts.passive(object) {
        Some(_) => format!("there is nothing to run in {object}\n  help: setpoint describe {object}"),
        None if object.kind() == "service" => {
            format!("{object} is a service: it is kept up, not run\n  help: setpoint restart {object}")
        }
        None => format!("{object} cannot be run\n  help: setpoint describe {object}"),
    };
    Failure::new(exit::USAGE, text)
}

impl Args {
    /// The parameters, each of the type its schema asks for.
    fn given(&self, facts: &Facts, rule: &RunRule) -> Result<Value, Failure> {
        let mut fields = match &self.params {
            Some(text) => whole(text)?,
            None => Map::new(),
        };
        let (schema, _) = takes(&facts.desired, rule, &Value::Object(Map::new()));
        for pair in &self.param {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                let text = format!("--param is `{pair}`, which has no `=`\n  help: write --param NAME=VALUE");
                return Err(Failure::new(exit::USAGE, text));
            };
            let value = typed(&schema, name, value)
                .map_err(|why| Failure::new(exit::USAGE, format!("--param {name} {why}")))?;
            fields.insert(name.to_owned(), value);
        }
        Ok(Value::Object(fields))
    }
}

/// Parameters as JSON.
fn whole(text: &str) -> Result<Map<String, Value>, Failure> {
    let wrong = |why: String| {
        Failure::new(exit::USAGE, format!("--params {why}\n  help: write --params '{{\"name\": \"value\"}}'"))
    };
    let mut read = String::new();
    let text = match text {
        "-" => {
            let max = crate::store::PARAMS_MAX as u64;
            std::io::stdin().take(max).read_to_string(&mut read).map_err(|e| wrong(format!("cannot be read: {e}")))?;
            &read
        }
        text => text,
    };
    match exact(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong("is JSON, but no map of names to values".to_owned())),
        Err(why) => Err(wrong(why)),
    }
}

/// A value as its schema asks for it: text stays text where text is asked for, and is JSON elsewhere where it can be.
///
/// # Errors
/// When it has a number whose digits would be lost.
pub(super) fn typed(schema: &Params, name: &str, text: &str) -> Result<Value, String> {
    let property = schema.schema().and_then(|schema| schema.get("properties")?.get(name));
    let is_text = property.and_then(|property| property.get("type")).is_some_and(|types| match types {
        Value::String(word) => word == "string",
        Value::Array(words) => words.iter().all(|word| word == "string" || word == "null"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    });
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if is_text || !is_json { Ok(Value::String(text.to_owned())) } else { exact(text) }
}

/// Says what is wrong with parameters before a controller is asked, each with what to write instead.
fn check(facts: &Facts, rule: &RunRule, object: &ObjectRef, params: &Value) -> Result<(), Failure> {
    let (schema, given) = takes(&facts.desired, rule, params);
    let errors = schema.check(&given);
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(|error| format!("{error}\n  help: {}", error.help)).collect();
    Err(Failure::new(exit::USAGE, format!("{}\nNothing was started: {object}", lines.join("\nerror: "))))
}

/// What a person should know who runs this now.
fn aside(facts: &Facts, object: &ObjectRef) -> Vec<String> {
    let mut lines = Vec::new();
    if object.kind() == "cronjob" {
        lines.push("It starts now, whatever its schedule and its quiet hours say; both go on as they are.".to_owned());
    }
    if facts.state(object).0 == State::Paused {
        lines.push(format!("{object} is paused: this run starts all the same, and the pause stays."));
    }
    if let Some(frozen) = &facts.desired.frozen {
        lines.push(format!("Everything is frozen by {}: it is on record, and starts after: setpoint thaw", frozen.by));
    }
    if let Some(why) = pressure::said(&gates(&facts.desired)) {
        lines.push(format!("The machine is pressed: {why}. It is on record, and starts when that is over."));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_typed_by_the_schema_of_its_parameter() {
        let schema = json!({ "type": "object", "properties": {
            "text": { "type": "string" }, "maybe": { "type": ["string", "null"] },
            "count": { "type": "integer" }, "any": {},
        } });
        let schema = Params::of_schema(schema).expect("a schema");
        for (name, text, value) in [
            ("text", "1.10", json!("1.10")),
            ("text", "true", json!("true")),
            ("maybe", "7", json!("7")),
            ("count", "7", json!(7)),
            ("count", "seven", json!("seven")),
            ("any", "[1, 2]", json!([1, 2])),
            ("any", "a b", json!("a b")),
            ("unknown", "null", json!(null)),
            ("text", "", json!("")),
            ("text", "12345678901234567890123", json!("12345678901234567890123")),
            ("any", "18446744073709551615", json!(u64::MAX)),
            ("any", "-0.5e3", json!(-500.0)),
        ] {
            assert_eq!(typed(&schema, name, text), Ok(value), "{name}={text}");
        }
        for text in ["12345678901234567890123", "[1, -9223372036854775809]", "{\"a\": 18446744073709551616}"] {
            let why = typed(&schema, "any", text).expect_err(text);
            assert!(why.contains("larger than 64 bits"), "{why}");
        }
    }
}
