//! `setpoint describe`: the whole story of an object, the two lines a tired reader needs first.

use std::fmt::Write;

use super::facts::{self, Facts, age};
use super::{Failure, Format, Global, Outcome, caution, events, exit, mailbox, source, timetable, trigger};
use crate::engine::observed::Member;
use crate::engine::plan::{Decision, Lacking, Reason};
use crate::engine::{InstanceId, ObjectRef, State};
use crate::home::Home;
use crate::observe::records::{self, Read};
use crate::record::attempt::How;
use crate::record::notify;
use crate::store::{Books as _, EventFilter, Reader};

/// How many attempts of an instance are told.
const ATTEMPTS_SHOWN: u32 = 5;

/// How many runs of a deleted object are told.
const RUNS_SHOWN: usize = 5;

/// How many events are told.
const EVENTS_SHOWN: usize = 10;

/// Tell the whole story of an object, Why and Do first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND NAME or a unique NAME
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// What became of a due time of a CronJob: 2026-11-21T03:00 on its clock, or an RFC 3339 moment
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist or the home cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let (home, facts) = facts::read(global)?;
    let objects = match facts.named(&args.objects) {
        Err(error) if error.code == exit::NOT_FOUND && args.at.is_none() => {
            let object = facts.remembered(&args.objects).ok_or(error)?;
            return super::print(&remains(global, &facts, &object)).map(|()| exit::OK);
        }
        named => named?,
    };
    if let Some(at) = &args.at {
        let texts: Vec<String> =
            objects.iter().map(|object| timetable::at(&facts, object, at)).collect::<Result<_, _>>()?;
        return super::print(&texts.concat()).map(|()| exit::OK);
    }
    if matches!(global.output, Format::Json | Format::Yaml) {
        let items: Vec<_> = objects.iter().map(|object| facts.to_json(object)).collect();
        super::print(&super::apply::value_text(global, &serde_json::json!({ "items": items })))?;
        return Ok(exit::OK);
    }
    let Some(home) = home else { return Ok(exit::OK) };
    let mut folders = source::Folders::default();
    let texts: Vec<String> = objects.iter().map(|object| story(&home, &facts, &mut folders, object)).collect();
    super::print(&texts.join("\n"))?;
    Ok(exit::OK)
}

/// What is left to tell of an object that was deleted.
fn remains(global: &Global, facts: &Facts, object: &ObjectRef) -> String {
    let rows = facts.past.newest(object, RUNS_SHOWN);
    if matches!(global.output, Format::Json | Format::Yaml) {
        return super::apply::value_text(global, &serde_json::json!({ "items": [facts.to_json(object)] }));
    }
    let mut text = format!(
        "{object}  deleted\nWhy:  it is in no generation of the desired state any more; its runs are remembered\n\
         Do:   setpoint runs {object}   |   setpoint undo {object}\n\nRuns:\n"
    );
    // Writing into a String cannot fail.
    rows.iter().for_each(|row| _ = writeln!(text, "  {}", timetable::run_line(row)));
    text
}

/// All of it, for people.
#[must_use]
pub fn story(home: &Home, facts: &Facts, folders: &mut source::Folders, object: &ObjectRef) -> String {
    let (state, decision) = facts.state(object);
    let (ready, all) = facts.ready(object);
    let mut text = String::new();
    // Writing into a String cannot fail.
    match facts.rule(object).is_some() || facts.passive(object).is_some() {
        true => _ = writeln!(text, "{object}  {state}"),
        false => _ = writeln!(text, "{object}  {state}  {ready}/{all} ready"),
    }
    _ = writeln!(text, "Why:  {}", why(home, facts, object, decision));
    match facts.is_unsettled() && super::controller::is_absent(home) {
        true => text.push_str("Do:   setpoint controller start   (none runs, so nothing is started or stopped)\n"),
        false if state == State::Ready && facts.decisions(object).any(|d| facts.adopted(&d.id).is_some()) => {
            _ = writeln!(
                text,
                "Do:   nothing; what somebody else started ends by   setpoint delete {object} --adopted"
            );
        }
        false
            if facts.stored.objects.get(object).is_some_and(|stored| stored.spec.get("forEach").is_some())
                && matches!(state, State::Stopped | State::Unknown) =>
        {
            text.push_str(match state {
                State::Unknown => "Do:   mend what Why names; until then nothing of it is started or stopped\n",
                _ => "Do:   nothing; it starts as soon as there is an item: setpoint explain service.forEach\n",
            });
        }
        false => match decision.map(|decision| &decision.because) {
            // What is wrong is wrong with that one.
            Some(Reason::NeedsWait { need, is: Lacking::Processes | Lacking::Instance(_) }) => {
                _ = writeln!(text, "Do:   setpoint describe {}", need.object);
            }
            Some(Reason::Pressed { .. }) => {
                text.push_str("Do:   wait; or allow more: setpoint explain settings.gates   |   setpoint top\n");
            }
            _ => _ = writeln!(text, "Do:   {}", advice(facts, object, state)),
        },
    }
    text.push('\n');
    about(&mut text, facts, folders.said(facts, object), object);
    if let Some(stored) = facts.stored.objects.get(object) {
        for said in caution::unenforced(&stored.spec, caution::domain(Some(home)).as_ref()) {
            _ = writeln!(text, "Note:        {said}");
        }
    }
    mailbox::describe(&mut text, facts, object);
    trigger::describe(&mut text, home, facts, object);
    timetable::describe(&mut text, facts, object);
    for decision in facts.instances(object) {
        instance(&mut text, home, facts, decision);
        timetable::steps(&mut text, facts, decision);
    }
    let filter = EventFilter { subject: Some(object.to_string()), limit: Some(EVENTS_SHOWN), ..EventFilter::default() };
    // What is wrong with the store has been said already.
    let told = Reader::open(&home.store_db()).and_then(|reader| reader.events(&filter)).unwrap_or_default();
    if !told.is_empty() {
        text.push_str("\nEvents:\n");
    }
    for (_, event) in &told {
        _ = write!(text, "  {}", events::line(event));
    }
    text
}

fn why(home: &Home, facts: &Facts, object: &ObjectRef, decision: Option<&Decision>) -> String {
    if let Some(failing) = timetable::failing(facts, object) {
        return failed(home, facts, object, decision, failing);
    }
    let Some(decision) = decision else { return facts.reason(object, None) };
    let mut text = decision.because.to_string();
    let is_said = matches!(decision.because, Reason::Scheduled { .. } | Reason::NotYet { .. });
    if let Some(next) = facts.next(decision).filter(|_| !is_said) {
        _ = write!(text, "; next at {next}");
    }
    let is_trouble =
        matches!(decision.because, Reason::BackingOff { .. } | Reason::GaveUp { .. } | Reason::Completed { .. });
    if is_trouble && let Some(line) = super::logs::last_line(home, &decision.id) {
        _ = write!(text, "; last line: \"{line}\"");
    }
    text
}

/// Why the last run failed, and what is next.
fn failed(home: &Home, facts: &Facts, object: &ObjectRef, decision: Option<&Decision>, mut text: String) -> String {
    let last = facts.past.last(object).map(|row| InstanceId { object: object.clone(), cause: row.cause.clone() });
    if let Some(line) = last.and_then(|id| super::logs::last_line(home, &id)) {
        _ = write!(text, "; last line: \"{line}\"");
    }
    if let Some(decision) = decision.filter(|decision| !matches!(decision.because, Reason::Over { .. })) {
        _ = write!(text, "; now {}", decision.because);
    }
    text
}

/// What a person would most likely want to do next about work that ends.
fn advice_of_runs(facts: &Facts, object: &ObjectRef, state: State) -> Option<String> {
    facts.rule(object)?;
    let is_failing = timetable::failing(facts, object).is_some();
    Some(match state {
        State::Running | State::Starting | State::Backoff | State::Stopping | State::Lingering => {
            format!("setpoint logs {object} -f   |   setpoint cancel {object}")
        }
        State::Scheduled | State::Ready | State::Done | State::Failed if is_failing => {
            format!("setpoint logs {object}   |   setpoint run {object} --follow   |   setpoint retry {object}")
        }
        State::Ready | State::Done | State::Failed => {
            format!("setpoint run {object} --follow   |   setpoint runs {object}")
        }
        State::NeedsConsent => format!("setpoint runs {object}   |   setpoint cancel {object}"),
        State::Scheduled
        | State::Stopped
        | State::Paused
        | State::Waiting
        | State::Drifted
        | State::Ambiguous
        | State::Stray
        | State::Frozen
        | State::Unknown
        | State::Halted
        | State::GaveUp
        | State::Held => return None,
    })
}

/// What a person would most likely want to do next.
fn advice(facts: &Facts, object: &ObjectRef, state: State) -> String {
    if let Some(advice) = mailbox::advice(facts, object, state).or_else(|| advice_of_runs(facts, object, state)) {
        return advice;
    }
    if facts.passive(object).is_some() {
        return format!("nothing; to change it, edit its file and apply it: setpoint explain {}", object.kind());
    }
    match state {
        State::Ready | State::Running | State::Done | State::Starting => {
            format!("setpoint logs {object} -f   |   setpoint restart {object}   |   setpoint pause {object}")
        }
        State::Backoff | State::Failed => {
            format!("setpoint logs {object} --previous   |   setpoint restart {object}   |   setpoint pause {object}")
        }
        State::GaveUp => format!("setpoint logs {object} --previous   then   setpoint restart {object}"),
        State::Halted => format!("setpoint logs {object} --previous   then edit it, or   setpoint undo {object}"),
        State::Paused => format!("setpoint resume {object}"),
        State::Stopped => {
            format!("write replicas: 1 in its manifest to start it; setpoint explain {}.replicas", object.kind())
        }
        State::Stopping | State::Lingering => "wait; what does not stop is killed when its grace is over".to_owned(),
        State::Frozen => "kill -CONT its pid to thaw it".to_owned(),
        State::Drifted => {
            format!("end its process by hand when it suits, and setpoint starts it anew; or   setpoint undo {object}")
        }
        State::Ambiguous => "end all but one of these processes, or write a narrower adopt.commandLine".to_owned(),
        State::Stray => "apply a manifest of its name, or end its shim by hand: kill PID of the shim below".to_owned(),
        State::Scheduled => {
            format!("setpoint run {object} --follow   |   setpoint runs {object}   |   setpoint pause {object}")
        }
        State::Held => "setpoint thaw".to_owned(),
        State::NeedsConsent => format!("setpoint describe {object}   |   setpoint runs {object}"),
        State::Waiting | State::Unknown => "setpoint controller status   |   setpoint controller logs".to_owned(),
    }
}

fn about(text: &mut String, facts: &Facts, file: Option<String>, object: &ObjectRef) {
    let Some(stored) = facts.stored.objects.get(object) else {
        text.push_str("It is in no generation of the desired state.\n");
        return;
    };
    let meta = &stored.metadata;
    _ = writeln!(text, "Set:         {}{}", meta.set, if meta.leftover { " (left over)" } else { "" });
    _ = writeln!(text, "Source:      {}", meta.source);
    if let Some(said) = file {
        _ = writeln!(text, "File:        {}", super::plain(&said));
    }
    _ = writeln!(text, "Generation:  {}", meta.generation);
    for (key, value) in &meta.labels {
        _ = writeln!(text, "Label:       {key}={value}");
    }
    text.push_str("Spec:\n");
    let spec = serde_yaml::to_string(&stored.spec).unwrap_or_default();
    for line in spec.lines() {
        _ = writeln!(text, "  {line}");
    }
}

fn instance(text: &mut String, home: &Home, facts: &Facts, decision: &Decision) {
    let id = &decision.id;
    _ = writeln!(text, "\nInstance {id}  {}  {}", decision.state(), decision.because);
    if let Some(alive) = facts.alive(id) {
        _ = writeln!(text, "  process {}, shim {}, revision {}", alive.payload, alive.shim.pid, alive.revision);
        if let Some(status) = notify::status(&home.records(id), alive.attempt) {
            _ = writeln!(text, "  it says: {status}");
        }
        if !alive.tree.is_empty() && decision.state() == State::Stopping || decision.state() == State::Lingering {
            let names: Vec<String> = alive.tree.iter().map(|m| format!("{} ({})", m.name, m.proc.pid)).collect();
            _ = writeln!(text, "  still there: {}", names.join(", "));
        }
    }
    if let Some(Member { proc, name }) = facts.adopted(id) {
        let since = facts.since(id).map_or_else(String::new, |since| format!(", runs for {}", age(since)));
        _ = writeln!(text, "  process {} ({name}), adopted: somebody else started it{since}", proc.pid);
    }
    text.push_str(&facts.health_lines(id));
    let newest = facts.backoff.0.get(id).map_or(0, |last| last.number);
    for number in (newest.saturating_sub(ATTEMPTS_SHOWN - 1).max(1)..=newest).rev() {
        if let Ok(Some(read)) = records::attempt_of(&home.records(id), number) {
            attempt(text, &read);
        }
    }
}

fn attempt(text: &mut String, read: &Read) {
    let last = &read.attempt;
    let Some(_) = read.birth else {
        _ = writeln!(text, "  attempt {}: its record is damaged", last.number);
        return;
    };
    let born = super::local(last.started_wall);
    let Some(end) = &read.end else {
        _ = writeln!(text, "  attempt {}: started {born}, {} ago", last.number, age(last.started_wall));
        return;
    };
    let lived = crate::engine::BootTime::from_nanos(end.at_boot_ns).since(last.started);
    let how = match &end.how {
        How::Code(code) => format!("exit {code}"),
        How::Signal(signal) => format!("signal {signal}"),
        How::NotStarted(why) => format!("not started ({why})"),
        How::Unhealthy(why) => format!("not healthy ({why})"),
        How::Lost => "exit unknown".to_owned(),
    };
    let asked = if end.asked { ", as asked" } else { "" };
    let tree = if end.tree_seen > 0 { format!(", {} of {} left", end.tree_left, end.tree_seen) } else { String::new() };
    let seconds = lived.as_secs_f64();
    _ = writeln!(text, "  attempt {}: started {born}, {how} after {seconds:.1} s{asked}{tree}", last.number);
    if end.log_dropped > 0 {
        _ = writeln!(text, "    {} log lines could not be written", end.log_dropped);
    }
}

/// Fails where an instance is named that does not exist.
///
/// # Errors
/// When there is no such instance.
pub fn instance_of(facts: &Facts, word: &str) -> Result<InstanceId, Failure> {
    let id: InstanceId = word.parse().map_err(|e| Failure::new(exit::USAGE, format!("`{word}`: {e}")))?;
    let is_known = facts.backoff.0.contains_key(&id) || facts.plan.decisions.iter().any(|d| d.id == id);
    if is_known {
        return Ok(id);
    }
    let help = format!("help: setpoint describe {} lists its instances", id.object);
    Err(Failure::new(exit::NOT_FOUND, format!("there is no instance `{word}`\n  {help}")))
}
