//! `setpoint get`: what there is, in a table or for programs.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::facts::{self, Facts, age};
use super::{Failure, Format, Global, Outcome, exit, mailbox, source, timetable, trigger};
use crate::engine::{InstanceId, ObjectRef, State};

/// How often `-w` looks.
const WATCH: Duration = Duration::from_millis(500);

/// List objects and what became of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// KIND, KIND/NAME, KIND NAME or a unique NAME; all objects when left out
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Go on and print every change
    #[arg(short, long)]
    watch: bool,
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist or the home cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let mut before: Option<Vec<String>> = None;
    loop {
        let (_, facts) = facts::read(global)?;
        let objects = chosen(global, &facts, args)?;
        // Compared by what is so, not by what is shown: that it is a second older, or was reminded again, is no change.
        let fact = |object: &ObjectRef| without_health(facts.to_json(object)).to_string();
        let now: Vec<String> = if args.watch { objects.iter().map(fact).collect() } else { Vec::new() };
        if before.as_ref() != Some(&now) {
            super::print(&show(global, &facts, &objects, !args.objects.is_empty())?)?;
            if let Some(gap) = facts.gaps() {
                super::say(global, &format!("warning: not everything could be seen: {gap}"));
            }
            before = Some(now);
        }
        if !args.watch {
            if let Some(home) = &facts.home
                && facts.is_unsettled()
                && super::controller::is_absent(home)
            {
                super::say(global, "no controller runs, so nothing is started or stopped: setpoint controller start");
            }
            return Ok(exit::OK);
        }
        std::thread::sleep(WATCH);
    }
}

/// What an instance is asked changes its state where it matters.
fn without_health(mut object: Value) -> Value {
    let instances = object.pointer_mut("/status/instances").and_then(Value::as_array_mut);
    for instance in instances.into_iter().flatten().filter_map(Value::as_object_mut) {
        instance.remove("health");
    }
    object
}

fn chosen(global: &Global, facts: &Facts, args: &Args) -> Result<Vec<ObjectRef>, Failure> {
    // `all` is what people type who know kubectl.
    let words = if args.objects == ["all"] { &[][..] } else { &args.objects };
    let mut objects = facts.named(words)?;
    objects.retain(|object| facts.is_selected(object, &global.selector));
    Ok(objects)
}

fn show(global: &Global, facts: &Facts, objects: &[ObjectRef], is_named: bool) -> Result<String, Failure> {
    if objects.is_empty() && !global.selector.is_empty() && matches!(global.output, Format::Table | Format::Wide) {
        return Ok(format!("No object has the labels {}.\n", global.selector.join(",")));
    }
    Ok(match global.output {
        Format::Table => {
            let alike = if is_named {
                let alike = mailbox::table(facts, objects).or_else(|| trigger::table(facts, objects));
                alike.or_else(|| timetable::table(facts, objects))
            } else {
                None
            };
            frozen(facts) + &alike.unwrap_or_else(|| table(facts, objects, false))
        }
        Format::Wide => table(facts, objects, true),
        Format::Name => objects.iter().map(|object| format!("{object}\n")).collect(),
        Format::Json => {
            let items: Vec<_> = objects.iter().map(|object| facts.to_json(object)).collect();
            format!("{:#}\n", json!({ "items": items }))
        }
        Format::Yaml => yaml(facts, objects)?,
    })
}

/// One line above everything while everything is frozen.
fn frozen(facts: &Facts) -> String {
    let Some(frozen) = &facts.desired.frozen else { return String::new() };
    let why = frozen.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("FROZEN by {}{why}. No run begins; services are kept. Go on with: setpoint thaw\n", frozen.by)
}

fn yaml(facts: &Facts, objects: &[ObjectRef]) -> Result<String, Failure> {
    let text =
        |object| serde_yaml::to_string(&facts.to_json(object)).map_err(|e| Failure::new(exit::FAILED, e.to_string()));
    let documents: Vec<String> = objects.iter().map(text).collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

/// The longest note that stays on the line of its object.
const NOTE_MAX: usize = 80;

/// A table of objects; `is_wide` adds a line for each instance.
#[must_use]
pub fn table(facts: &Facts, objects: &[ObjectRef], is_wide: bool) -> String {
    if objects.is_empty() {
        return "There is nothing yet. Write a manifest (setpoint init) and apply it: setpoint apply -f manifests/\n"
            .to_owned();
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["NAME", "STATE", "READY", "RESTARTS", "SINCE", "PID", "WHY"]);
    for object in objects {
        let (state, decision) = facts.state(object);
        let (ready, all) = facts.ready(object);
        let pid = |id| facts.alive(id).map(|alive| alive.payload).or(facts.adopted(id).map(|member| member.proc.pid));
        let first = facts.decisions(object).find_map(|d| pid(&d.id).map(|pid| (d.id.clone(), pid)));
        let restarts: u32 = facts.decisions(object).map(|d| restarts(facts, &d.id)).sum();
        let note = timetable::note(facts, object, state);
        let why = match (state, decision) {
            (_, _) if note.is_some() => short(&note.unwrap_or_default()),
            (State::Ready, _) => String::new(),
            (_, None) => facts.unknown_items(object).map_or_else(String::new, |why| short(&why)),
            (_, Some(decision)) => short(&decision.because.to_string()),
        };
        let why = match source::note(facts, object) {
            Some(note) if why.is_empty() => note,
            Some(note) => format!("{why}; {note}"),
            None => why,
        };
        let pid = first.as_ref().filter(|(_, pid)| *pid > 0).map_or_else(|| "-".to_owned(), |(_, pid)| pid.to_string());
        let since = first.map_or_else(|| "-".to_owned(), |(id, _)| since(facts, &id));
        // What runs to completion has no replicas.
        let (ready, restarts) = match facts.rule(object).is_some() || facts.passive(object).is_some() {
            true => ("-".to_owned(), "-".to_owned()),
            false => (format!("{ready}/{all}"), restarts.to_string()),
        };
        table.add_row([object.to_string(), state.to_string(), ready, restarts, since, pid, why]);
        if is_wide {
            add_instances(&mut table, facts, object);
        }
    }
    trimmed(&table)
}

fn add_instances(table: &mut Table, facts: &Facts, object: &ObjectRef) {
    for decision in facts.instances(object) {
        let alive = facts.alive(&decision.id);
        let pid = match (alive, facts.adopted(&decision.id)) {
            (Some(alive), _) => format!("{} (shim {})", alive.payload, alive.shim.pid),
            (None, Some(member)) => format!("{} (adopted)", member.proc.pid),
            (None, None) => "-".to_owned(),
        };
        table.add_row([
            format!("  {}", decision.id.cause),
            decision.state().to_string(),
            String::new(),
            restarts(facts, &decision.id).to_string(),
            since(facts, &decision.id),
            pid,
            short(&decision.because.to_string()),
        ]);
    }
}

/// The table without the blank that begins its lines and those that end them.
pub(super) fn trimmed(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end())).collect()
}

fn restarts(facts: &Facts, id: &InstanceId) -> u32 {
    facts.backoff.0.get(id).map_or(0, |last| last.number.saturating_sub(1))
}

fn since(facts: &Facts, id: &InstanceId) -> String {
    facts.since(id).map_or_else(|| "-".to_owned(), age)
}

fn short(text: &str) -> String {
    if text.chars().count() <= NOTE_MAX {
        return text.to_owned();
    }
    text.chars().take(NOTE_MAX - 1).chain(['…']).collect()
}

/// Prints the table of these objects, where people read it.
///
/// # Errors
/// When the home cannot be read.
pub fn print_table(global: &Global, objects: &[ObjectRef]) -> Result<(), Failure> {
    if global.output != Format::Table {
        return Ok(());
    }
    let (_, facts) = facts::read(global)?;
    super::print(&table(&facts, objects, false))
}
