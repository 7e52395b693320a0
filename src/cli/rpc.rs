//! `setpoint rpc`: call a method of the controller, as any program may over its socket.
//!
//! In: a method and its parameters as JSON. Out: the result as JSON. Not here: what a method does (`rpc`).
//! The surprise: without a method it lists them all, out of the same table that the socket reads; and one that subscribes
//! prints events until the controller ends.

use std::io::Read;

use serde_json::{Map, Value, json};

use super::{Failure, Format, Global, Outcome, controller, exit};
use crate::home::Home;
use crate::rpc::{Answer, Error, client, code, method, wire};

/// Call a method of the controller; without one, list the methods
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The method, such as controller.status
    #[arg(value_name = "METHOD")]
    method: Option<String>,
    /// Its parameters as JSON, or - to read them from standard input [default: {}]
    #[arg(value_name = "JSON")]
    params: Option<String>,
}

/// Calls.
///
/// # Errors
/// When no controller runs, there is no such method, or it answers with an error.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let Some(name) = &args.method else { return super::print(&list(global)).map(|()| exit::OK) };
    let params = params(args.params.as_deref())?;
    // Also without a controller: what is misspelt is told as such.
    if !method::all().any(|method| method.name == name) {
        return Err(failure(&Error::unknown_method(name)));
    }
    let home = Home::open_existing(global.home.as_deref()).map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let none = || Failure::new(exit::NO_CONTROLLER, "no controller runs\n  help: setpoint controller start");
    let home = home.ok_or_else(none)?;
    let mute = |error: std::io::Error| controller::mute(&home, &error);
    // How long a method takes is its own affair.
    let mut line = client::Line::connect(&controller::socket(&home)?, None).map_err(mute)?.ok_or_else(none)?;
    let answer = match line.call(name, &params) {
        Err(error) if client::is_dying(&error) => return Err(none()),
        answer => answer.map_err(mute)?,
    };
    let result = answer.map_err(|error| failure(&error))?;
    if method::all().any(|method| method.name == name && matches!(method.answer, Answer::Events(_))) {
        return listen(&mut line);
    }
    super::print(&format!("{result:#}\n"))?;
    Ok(exit::OK)
}

/// Prints events, one a line, for as long as the controller sends any.
fn listen(line: &mut client::Line) -> Outcome {
    loop {
        let said = match line.read() {
            Ok(said) => said,
            Err(error) if client::is_dying(&error) => {
                return Err(Failure::new(exit::NO_CONTROLLER, "the controller has ended; no more events come"));
            }
            Err(error) => return Err(Failure::new(exit::FAILED, error.to_string())),
        };
        let params = said.get("params").unwrap_or(&Value::Null);
        match said.get("method").and_then(Value::as_str) {
            Some("event") => super::print(&format!("{params}\n"))?,
            _ => super::complain(&format!("{said}")),
        }
    }
}

/// Parameters as they were typed.
fn params(given: Option<&str>) -> Result<Value, Failure> {
    let wrong = |why: String| {
        Failure::new(exit::USAGE, format!("the parameters {why}\n  help: write them as '{{\"object\": \"job/x\"}}'"))
    };
    let mut read = String::new();
    let text = match given {
        None => return Ok(json!({})),
        Some("-") => {
            let most = wire::LINE_MAX as u64;
            std::io::stdin().take(most).read_to_string(&mut read).map_err(|e| wrong(format!("cannot be read: {e}")))?;
            &read
        }
        Some(text) => text,
    };
    match serde_json::from_str(text) {
        Ok(params @ Value::Object(_)) => Ok(params),
        Ok(_) => Err(wrong("are JSON, but no map of names to values".to_owned())),
        Err(error) => Err(wrong(format!("are no JSON: {error}"))),
    }
}

/// An error of a method, as a verb ends with it.
fn failure(error: &Error) -> Failure {
    let helps: String = error.suggestions.iter().map(|help| format!("\n  help: {help}")).collect();
    let code = if error.code == code::METHOD { exit::USAGE } else { exit::FAILED };
    Failure::new(code, format!("{} ({}){helps}", error.message, error.code))
}

fn list(global: &Global) -> String {
    let mut methods: Vec<_> = method::all().collect();
    methods.sort_by_key(|method| method.name);
    match global.output {
        Format::Json | Format::Yaml => {
            let one = |method: &&crate::rpc::Method| {
                let mut fields = Map::new();
                fields.insert("name".to_owned(), method.name.into());
                fields.insert("effect".to_owned(), method.effect.word().into());
                fields.insert("doc".to_owned(), method.doc.into());
                fields.insert("params".to_owned(), (method.params)());
                Value::Object(fields)
            };
            let items: Vec<Value> = methods.iter().map(one).collect();
            super::apply::value_text(global, &json!({ "items": items }))
        }
        Format::Name => methods.iter().map(|method| format!("{}\n", method.name)).collect(),
        Format::Table | Format::Wide => {
            let width = methods.iter().map(|method| method.name.len()).max().unwrap_or(0);
            let line = |method: &&crate::rpc::Method| {
                format!("{:<width$}  {:<11}  {}\n", method.name, method.effect.word(), method.doc)
            };
            methods.iter().map(line).collect()
        }
    }
}
