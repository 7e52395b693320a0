//! `setpoint explain`: what a kind or one of its fields is.
//!
//! In: `service` or `service.backoff.from`. Out: type, default, description, example and what a change does.
//! Not here: any text of its own; all of it comes from the schemas.
//! The surprise: the effect of a change belongs to the field at the top, so every field below it has the same.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::schema::unknown_kind;
use super::{Failure, Global, Outcome, exit};
use crate::kind::{self, Effect, KindDef, schema};
use crate::load::{similar, spec_schema};

/// Explain a kind, or a field of it
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A kind, and maybe a field: service, service.backoff, service.backoff.from
    #[arg(value_name = "KIND[.FIELD]")]
    pub path: String,
}

/// What a person writes first: what it is called, when it is done, what is done, and in which surroundings.
const FIRST: &[&str] = &[
    "name", "params", "schedule", "every", "times", "at", "run", "steps", "use", "with", "prompt", "agent", "http",
    "mcp", "dir", "env",
];

/// Explains.
///
/// # Errors
/// When there is no such kind or field.
pub fn run(_global: &Global, args: Args) -> Outcome {
    super::print(&text(&args.path)?)?;
    Ok(exit::OK)
}

/// The explanation of a kind or field.
///
/// # Errors
/// When there is no such kind or field.
pub fn text(path: &str) -> Result<String, Failure> {
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    let word = steps.next().unwrap_or_default();
    let def = kind::find_spoken(word).ok_or_else(|| unknown_kind(word))?;
    // The envelope holds the same fields, so a path through it means the same.
    let steps: Vec<&str> = steps.filter(|step| !matches!(*step, "spec" | "metadata")).collect();
    let mut node = whole(def);
    for (index, step) in steps.iter().enumerate() {
        let known = properties(&node);
        node = match known.get(*step) {
            Some(found) => found.clone(),
            None => return Err(unknown_field(def, &steps[..index], step, &known)),
        };
    }
    Ok(if steps.is_empty() { of_kind(def, &node) } else { of_field(def, &steps, &node) })
}

/// The fields of the short form.
fn whole(def: &KindDef) -> Value {
    let mut fields = properties(spec_schema(def));
    fields.extend(schema::names());
    json!({ "properties": fields })
}

fn properties(node: &Value) -> Map<String, Value> {
    node.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn unknown_field(def: &KindDef, before: &[&str], step: &str, known: &Map<String, Value>) -> Failure {
    let within = [&[def.lower], before].concat().join(".");
    let meant = similar(step, known.keys().map(String::as_str));
    let meant = meant.map(|field| format!(" Did you mean `{within}.{field}`?")).unwrap_or_default();
    let fields = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let step = step.escape_debug();
    let later = if before.is_empty() && def.later.contains(&&*step.to_string()) { " yet" } else { "" };
    let help = if fields.is_empty() { format!("`{within}` has no fields") } else { format!("there are: {fields}") };
    Failure::new(exit::NOT_FOUND, format!("`{within}` has no field `{step}`{later}.{meant}\n  help: {help}"))
}

fn of_kind(def: &KindDef, node: &Value) -> String {
    let names = [&[def.plural], def.short].concat().join(", ");
    let mut out = format!("{} ({names})\n  {}\n\nFIELDS\n", def.kind, def.summary);
    let fields = properties(node);
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for name in in_order(&fields) {
        let field = fields.get(name).unwrap_or(&Value::Null);
        let first = sentence(describe(field).unwrap_or_default());
        let line = format!("  {name:<width$}  {first}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let _ =
        write!(out, "\nMore: setpoint explain {}.FIELD; the whole schema: setpoint schema {}\n", def.lower, def.lower);
    out
}

/// The fields as a person writes them.
fn in_order(fields: &Map<String, Value>) -> Vec<&str> {
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_by_key(|name| (rank(name), matches!(*name, "labels" | "annotations"), *name));
    names
}

fn of_field(def: &KindDef, steps: &[&str], node: &Value) -> String {
    let mut out = format!("{}.{}\n", def.lower, steps.join("."));
    for line in describe(node).unwrap_or("No description.").lines() {
        let _ = writeln!(out, "  {line}");
    }
    out.push('\n');
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<9}{text}");
    };
    row("type", type_of(node));
    if let Some(default) = node.get("x-default").and_then(Value::as_str) {
        row("default", default.to_owned());
    } else if let Some(default) = node.get("default") {
        row("default", short(default));
    }
    if let Some(examples) = node.get("examples").and_then(Value::as_array) {
        row("example", examples.iter().take(4).map(short).collect::<Vec<_>>().join("   "));
    }
    let change = match kind::effect(def, steps.first().copied().unwrap_or_default()) {
        Effect::None => "does nothing to what runs",
        Effect::Live => "applies to what runs, without a restart",
        Effect::Reschedule => "counts due times anew, from now on",
        Effect::Restart => "restarts its processes, one at a time",
        Effect::Run => "has it done once more",
        Effect::Consent => "needs somebody to agree again",
    };
    row("a change", change.to_owned());
    let fields = properties(node);
    if !fields.is_empty() {
        out.push_str("\nFIELDS\n");
        let width = fields.keys().map(String::len).max().unwrap_or(0);
        for (name, field) in &fields {
            let _ = writeln!(out, "  {name:<width$}  {}", sentence(describe(field).unwrap_or_default()));
        }
    }
    out
}

fn describe(node: &Value) -> Option<&str> {
    node.get("description").and_then(Value::as_str)
}

fn sentence(text: &str) -> &str {
    let text = text.lines().next().unwrap_or_default();
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn type_of(node: &Value) -> String {
    if let Some(x_type) = node.get("x-type").and_then(Value::as_str) {
        return x_type.to_owned();
    }
    if let Some(choices) = node.get("enum").and_then(Value::as_array) {
        return choices.iter().map(short).collect::<Vec<_>>().join(" | ");
    }
    let word = |name: &str| {
        match name {
            "string" => "text",
            "array" => "list",
            "object" => "map",
            "integer" => "whole number",
            other => return other.to_owned(),
        }
        .to_owned()
    };
    match node.get("type") {
        Some(Value::String(name)) => word(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" | "),
        Some(_) | None => "anything".to_owned(),
    }
}

/// Text as it is, anything else as JSON, which is YAML too.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::text;

    #[test]
    fn a_field_is_explained() {
        expect![[r#"
            service.backoff.from
              The first delay, counted from the previous start; at least 10ms.

              type     duration
              default  1s
              example  500ms   90s   15m   2h
              a change applies to what runs, without a restart
        "#]]
        .assert_eq(&text("svc.backoff.from").expect("field"));
        expect![[r#"
            service.restart
              What the end of a process is answered with.
              always: a new start, whatever the exit
              on-failure: a new start unless it exited with 0
              never: nothing

              type     always | on-failure | never
              default  always
              a change applies to what runs, without a restart
        "#]]
        .assert_eq(&text("service.restart").expect("field"));
        expect![[r#"
            service.dir
              The folder it starts in. Relative to the manifest's folder, which is also the default.

              type     text
              default  the manifest's folder
              example  ./web   /srv/web
              a change restarts its processes, one at a time
        "#]]
        .assert_eq(&text("Services.spec.dir").expect("field"));
        expect![[r#"
            service.labels
              For selecting objects: `setpoint get -l app=shop`. A change of them does nothing else.

              type     map
              example  {"app":"shop"}
              a change does nothing to what runs
        "#]]
        .assert_eq(&text("service.labels").expect("field"));
    }

    #[test]
    fn a_kind_is_explained() {
        expect![[r#"
            Service (services, svc)
              A long-running process that is kept up, as in init systems; not the Kubernetes network Service.

            FIELDS
              name         What it is called: 1 to 64 letters, digits, `-` or `_`; unique within its kind
              run          What to run
              dir          The folder it starts in
              env          Environment variables, beside a clean base of PATH, HOME, USER, LOGNAME, SHELL, LANG, TZ and TMPDIR
              adopt        Processes that somebody else started and that count as it; they are watched and never touched
              backoff      How long to wait after crashes, and when to give up
              envFile      Files of NAME=value lines, read at each start
              forEach      One process for each item, in the place of replicas
              group        Its group: a name or a number; the user's own when only a user is given
              heartbeat    Something done to it on a period while it runs
              inheritEnv   What it gets of the controller's own environment: names of variables, or true for all of it
              limits       What it may use
              live         Whether it still works; when not, it is started anew
              log          How much of its output is kept
              needs        What has to be there before it starts
              ready        When it counts as ready; without, when it has lived for a second
              replicas     How many processes; 0 stops the service and keeps its history
              restart      What the end of a process is answered with
              stop         How it is stopped: the signal first, KILL to all that is left of its tree after the grace
              tty          It gets a terminal, which `setpoint attach` joins and leaves
              umask        The mode bits its new files do not get, in octal
              user         Who it runs as: a name or a number
              annotations  Notes for people and tools
              labels       For selecting objects: `setpoint get -l app=shop`

            More: setpoint explain service.FIELD; the whole schema: setpoint schema service
        "#]].assert_eq(&text("service").expect("kind"));
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        for (path, told) in [
            (
                "sevice",
                expect![[r#"
                    there is no kind `sevice`. Did you mean `service`?
                      help: there are: capability, cronjob, job, mailbox, quiethours, service, settings, trigger, workflow"#]],
            ),
            (
                "service.bakoff",
                expect![[r#"
                    `service` has no field `bakoff`. Did you mean `service.backoff`?
                      help: there are: adopt, annotations, backoff, dir, env, envFile, forEach, group, heartbeat, inheritEnv, labels, limits, live, log, name, needs, ready, replicas, restart, run, stop, tty, umask, user"#]],
            ),
            (
                "service.ready.htp",
                expect![[r#"
                    `service.ready` has no field `htp`. Did you mean `service.ready.http`?
                      help: there are: command, delay, failure, http, log, notify, period, startup, success, tcp, timeout"#]],
            ),
            (
                "service.run.x",
                expect![[r#"
                `service.run` has no field `x`.
                  help: `service.run` has no fields"#]],
            ),
        ] {
            let failure = text(path).expect_err(path);
            assert_eq!(failure.code, crate::cli::exit::NOT_FOUND);
            told.assert_eq(&failure.text);
        }
    }
}
