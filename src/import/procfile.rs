//! Procfile, with the `.env` beside it.
//!
//! In: `name: command` lines. Out: a Service per line, and a Job for `release`; `.env` becomes its `envFile`. Not here: how many of each: that
//! stands on a command line (`foreman start -m web=2`), in no file.
//!
//! The surprise: these tools number ports (5000, 5100, ...) in the order of lines, so a line that asks for `$PORT` gets the
//! number it would have had there.

use std::sync::Arc;

use serde_json::json;

use super::source::{Field, Key, Node, Value};
use super::{Format, Import};
use crate::kind::{job, service};
use crate::load::{Problem, Source};

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "procfile",
    about: "Procfile of foreman, honcho, overmind, Heroku",
    files: &["procfile", "procfile.*"],
    read,
    import,
};

/// The first port, and the distance to the next.
const PORT: (u64, u64) = (5000, 100);

/// Every line as one field; a name that stands twice is two fields.
fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source::new(file, text);
    let mut fields: Vec<Field> = Vec::new();
    let mut problems = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, body) = (at, line.trim());
        at += line.len();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let place = source.place(start);
        match body.split_once(':').map(|(name, command)| (name.trim(), command.trim())) {
            Some((name, command)) if !name.is_empty() && !name.contains(char::is_whitespace) && !command.is_empty() => {
                let node = Node::text(&place, command);
                match fields.iter_mut().find(|field| field.key == name) {
                    None => fields.push(Field { key: name.to_owned(), place, node }),
                    Some(field) => field.node.again(node),
                }
            }
            _ => {
                let help = "a line is `name: command`, as in `web: npm start`".to_owned();
                let span = start..start + line.trim_end().len();
                problems.push(source.problem(span, "this is no line of a Procfile".to_owned(), String::new(), help));
            }
        }
    }
    problems.truncate(crate::load::PER_FILE_MAX);
    let root = Node { place: source.place(0), value: Value::Map(fields) };
    if problems.is_empty() { Ok(root) } else { Err(problems) }
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let dotenv = std::fs::read_to_string(import.folder.join(".env")).ok();
    let base = dotenv.as_deref().and_then(port_of).unwrap_or(PORT.0);
    if dotenv.is_some() {
        import
            .report
            .note("the .env beside the Procfile stays where it is: it is named as `envFile`, and read at each start");
    }
    import.report.note(INHERITED);
    let lines: Vec<(String, Key<'_>)> = root
        .fields()
        .iter()
        .flat_map(|key| key.items().into_iter().map(|item| (key.name().to_owned(), item)))
        .collect();
    for (n, (name, key)) in lines.iter().enumerate() {
        let command = key.text().unwrap_or_default();
        let is_release = name == "release";
        let mut work = import.object(if is_release { &job::DEF } else { &service::DEF }, name, key);
        work.map(key, "run", command);
        if is_release {
            work.said(key, "run", "it runs once for each change of its manifest, not for each deploy");
        }
        if command.contains("$PORT") || command.contains("${PORT") {
            let port = base.saturating_add(PORT.1.saturating_mul(n as u64));
            work.draft.set_env("PORT", json!(port.to_string()));
            work.said(key, "env.PORT", "the port is the number foreman gives it by its place in the file");
        }
        if dotenv.is_some()
            && let Some(file) = work.path(".env")
        {
            work.draft.set("envFile", json!(file));
        }
        work.default_dir();
        work.finish();
    }
}

/// What tools that start from a terminal do, and setpoint does not.
pub const INHERITED: &str = "a service starts with a clean environment here, not with that of your shell; what it needs goes into `env` or `inheritEnv`";

fn port_of(dotenv: &str) -> Option<u64> {
    let line = dotenv.lines().find_map(|line| line.trim().trim_start_matches("export ").strip_prefix("PORT="))?;
    line.trim().trim_matches(['"', '\'']).parse().ok()
}
