//! `setpoint send`: a message for a mailbox.
//!
//! In: a text, a file or standard input. Out: the name of the message, once a power cut cannot lose it any more; with
//! `--wait` what became of it. Not here: the queue. The surprise: it needs no controller; without one it writes to the
//! store itself, and the message waits there.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{Failure, Global, Outcome, controller, exit, inbox};
use crate::desired::{Store, parsed, principal};
use crate::engine::desired::Spec;
use crate::engine::run::Part;
use crate::engine::{Desired, ObjectRef};
use crate::home::Home;
use crate::kind::units;
use crate::load::similar;
use crate::mailbox::{Letter, PRIORITY};
use crate::observe::clock;
use crate::store::{Books as _, MessageRow, MessageState, PAYLOAD_MAX, Reader, Reply, Write, Writer};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(20);

/// Send a message to a mailbox
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The mailbox: its name, or mailbox/NAME
    #[arg(value_name = "MAILBOX")]
    to: String,
    /// What it says, byte for byte; standard input when left out
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// What it says is in this file; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// What its producer calls it: sent twice, it is one message
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What it is, in a word such as com.example.order
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Who sends it [default: you]
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// 0, first, to 9
    #[arg(long, value_name = "N", default_value_t = PRIORITY, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Messages of one group are done one after the other
    #[arg(long, value_name = "KEY")]
    group: Option<String>,
    /// Not taken in while one with the same key is not over
    #[arg(long = "dedup-key", value_name = "KEY")]
    dedup: Option<String>,
    /// How long it is put off
    #[arg(long, value_name = "TIME")]
    delay: Option<units::Duration>,
    /// How old it may become [default: as the mailbox says]
    #[arg(long = "max-age", value_name = "TIME")]
    max_age: Option<units::Duration>,
    /// Wait until it is over, and print the answer; ends with 0 when that went well, 1 when not, 130 when cancelled
    #[arg(long)]
    wait: bool,
    /// How long to wait; then exit code 124, and the message stays [default: as long as it takes]
    #[arg(long, value_name = "TIME", requires = "wait")]
    timeout: Option<units::Duration>,
}

/// Runs the verb.
///
/// # Errors
/// When there is no such mailbox, or the message is not taken in.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let to = mailbox(&args.to)?;
    let payload = args.payload()?;
    let home = Home::open_existing(global.home.as_deref()).map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let Some(home) = home else { return Err(nowhere(&to, None)) };
    let letter = args.letter(&to, payload);
    let faults = letter.faults();
    if !faults.is_empty() {
        let lines: Vec<String> = faults.iter().map(|f| format!("{} {}\n  help: {}", f.field, f.what, f.help)).collect();
        return Err(Failure::new(exit::USAGE, lines.join("\nerror: ")));
    }
    let (said, is_heard) = match by_controller(&home, &letter)? {
        Some(said) => (said, true),
        None => (by_hand(&home, letter)?, false),
    };
    let id = said.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    report(global, &to, &said, args.wait)?;
    if !is_heard {
        super::say(global, "No controller runs: it waits until one does (setpoint controller start).");
    }
    if args.wait {
        return until_over(global, &home, &to, &id, args.timeout.map(|timeout| timeout.0));
    }
    Ok(exit::OK)
}

fn report(global: &Global, to: &ObjectRef, said: &Value, is_waiting: bool) -> Result<(), Failure> {
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_new = said.get("is_new").and_then(Value::as_bool).unwrap_or(true);
    match global.output {
        _ if is_waiting => Ok(()),
        super::Format::Json | super::Format::Yaml => super::print(&super::apply::value_text(global, said)),
        super::Format::Name => super::print(&format!("{to}/{}\n", text("id"))),
        super::Format::Table | super::Format::Wide => {
            let how = if is_new { "taken in" } else { "was there already" };
            super::print(&format!("{to}/{}  {how}, {}\n", text("id"), text("state")))
        }
    }
}

/// The mailbox, or another object with a queue, that a word means.
///
/// # Errors
/// When it is no name.
pub fn mailbox(word: &str) -> Result<ObjectRef, Failure> {
    let (kind, name) = word.split_once('/').unwrap_or(("mailbox", word));
    let kind = crate::kind::find_spoken(kind).map_or(kind, |def| def.lower);
    ObjectRef::new(kind, name).map_err(|error| {
        let text = format!("`{}` is no name of a mailbox: {error}\n  help: setpoint get mailboxes", super::plain(word));
        Failure::new(exit::USAGE, text)
    })
}

impl Args {
    fn payload(&self) -> Result<Vec<u8>, Failure> {
        let failed =
            |what: &str, error: std::io::Error| Failure::new(exit::FAILED, format!("cannot read {what}: {error}"));
        let most = PAYLOAD_MAX as u64 + 1;
        let mut bytes = Vec::new();
        match (&self.text, &self.file) {
            (Some(text), _) => return Ok(text.clone().into_bytes()),
            (None, Some(path)) if path.as_os_str() != "-" => {
                let file = std::fs::File::open(path).map_err(|error| failed(&path.display().to_string(), error))?;
                file.take(most).read_to_end(&mut bytes).map_err(|error| failed(&path.display().to_string(), error))?;
            }
            (None, None) if std::io::stdin().is_terminal() => {
                let text = "there is nothing to send\n  help: setpoint send MAILBOX TEXT, or pipe the message in";
                return Err(Failure::new(exit::USAGE, text));
            }
            (None, _) => {
                let read = std::io::stdin().take(most).read_to_end(&mut bytes);
                read.map_err(|error| failed("standard input", error))?;
            }
        }
        Ok(bytes)
    }

    fn letter(&self, to: &ObjectRef, payload: Vec<u8>) -> Letter {
        let mut letter = Letter::new(to.clone(), "send", payload);
        letter.id.clone_from(&self.id);
        letter.kind = self.kind.clone().unwrap_or_default();
        letter.subject = self.subject.clone().unwrap_or_default();
        letter.sender = self.from.clone().unwrap_or_else(principal);
        letter.priority = self.priority;
        letter.group.clone_from(&self.group);
        letter.dedup.clone_from(&self.dedup);
        letter.delay = self.delay.map(|delay| delay.0).unwrap_or_default();
        letter.max_age = self.max_age.map(|age| age.0);
        letter
    }
}

/// Hands it to the controller; nothing when none runs.
fn by_controller(home: &Home, letter: &Letter) -> Result<Option<Value>, Failure> {
    let mut params = Map::new();
    let mut put = |name: &str, value: Value| drop(params.insert(name.to_owned(), value));
    put("mailbox", json!(letter.to.as_str()));
    match std::str::from_utf8(&letter.payload) {
        Ok(text) => put("message", json!(text)),
        Err(_) => put("message_base64", json!(base64::engine::general_purpose::STANDARD.encode(&letter.payload))),
    }
    for (name, text) in [("type", &letter.kind), ("subject", &letter.subject), ("from", &letter.sender)] {
        if !text.is_empty() {
            put(name, json!(text));
        }
    }
    for (name, text) in [("id", &letter.id), ("group", &letter.group), ("dedup", &letter.dedup)] {
        if let Some(text) = text {
            put(name, json!(text));
        }
    }
    put("priority", json!(letter.priority));
    if !letter.delay.is_zero() {
        put("delay", json!(units::Duration(letter.delay).to_string()));
    }
    if let Some(age) = letter.max_age {
        put("maxAge", json!(units::Duration(age).to_string()));
    }
    match controller::call(home, "mailbox.send", &Value::Object(params))? {
        None => Ok(None),
        Some(Ok(said)) => Ok(Some(said)),
        Some(Err(error)) => match rule_of(home, &letter.to)? {
            None => Err(nowhere(&letter.to, Some(home))),
            Some(_) => Err(Failure::new(exit::FAILED, said_by(&error))),
        },
    }
}

fn said_by(error: &crate::rpc::Error) -> String {
    let help: String = error.suggestions.iter().map(|help| format!("\n  help: {help}")).collect();
    format!("{}{help}", error.message)
}

/// Writes it to the store, where no controller runs.
fn by_hand(home: &Home, letter: Letter) -> Result<Value, Failure> {
    let failed = |why: String| Failure::new(exit::FAILED, why);
    let Some(rule) = rule_of(home, &letter.to)? else { return Err(nowhere(&letter.to, Some(home))) };
    let now = clock::wall();
    let fresh = crate::controller::queues::fresh_id(now).map_err(|error| failed(error.to_string()))?;
    let to = letter.to.clone();
    let writer = Writer::start(&home.store_db()).map_err(|error| failed(error.to_string()))?;
    let answer = writer.ask(Write::Enqueue(Box::new(letter.enqueue(&rule, None, now, &fresh))));
    writer.close();
    match answer {
        Ok(Reply::Enqueued { message, is_new }) => Ok(crate::controller::queues::said(&message, is_new)),
        Ok(_) => Err(failed(format!("{to}: the store answered something else"))),
        Err(trouble) => Err(failed(trouble.to_string())),
    }
}

fn desired_of(home: &Home) -> Result<Desired, Failure> {
    let stored = Store::open(home).read_current().map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    Ok(parsed::to_engine(&stored, home.key()))
}

fn rule_of(home: &Home, object: &ObjectRef) -> Result<Option<crate::engine::queue::QueueRule>, Failure> {
    let desired = desired_of(home)?;
    let Some(Spec::Known(kind)) = desired.objects.get(object).map(|object| &object.spec) else { return Ok(None) };
    Ok(match kind.part() {
        Part::Mailbox(mailbox) => Some(mailbox.queue),
        Part::Trigger(trigger) => Some(trigger.queue),
        Part::None | Part::Capability(_) | Part::Workflow(_) | Part::Quiet(_) | Part::Settings(_) => None,
    })
}

/// Refuses what takes no messages.
///
/// # Errors
/// When there is no such object, or it has no queue.
pub(super) fn check_taking(home: Option<&Home>, object: &ObjectRef) -> Result<(), Failure> {
    let rule = home.map(|home| rule_of(home, object)).transpose()?.flatten();
    rule.map(|_| ()).ok_or_else(|| nowhere(object, home))
}

fn nowhere(object: &ObjectRef, home: Option<&Home>) -> Failure {
    let desired = home.and_then(|home| desired_of(home).ok());
    let known = desired.iter().flat_map(|desired| desired.objects.keys()).filter(|id| id.kind() == "mailbox");
    let known: Vec<&str> = known.map(ObjectRef::name).collect();
    let help = match similar(object.name(), known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "there is no mailbox yet; see: setpoint explain mailbox".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    Failure::new(exit::NOT_FOUND, format!("there is no {object} that takes messages\n  help: {help}"))
}

/// Waits until a message is over, and prints what its sender is told.
fn until_over(global: &Global, home: &Home, to: &ObjectRef, id: &str, patience: Option<Duration>) -> Outcome {
    let failed = |trouble: crate::store::Trouble| Failure::new(exit::FAILED, trouble.to_string());
    let reader = Reader::open(&home.store_db()).map_err(failed)?;
    let begin = Instant::now();
    loop {
        let row = reader.message(to, id).map_err(failed)?;
        let row = row.ok_or_else(|| Failure::new(exit::NOT_FOUND, format!("there is no message {to}/{id}")))?;
        if row.state.is_over() {
            return over(global, &reader, &row);
        }
        if patience.is_some_and(|patience| begin.elapsed() >= patience) {
            let text = format!("{to}/{id} is not over in time; it stays\n  help: setpoint inbox {to}/{id}");
            return Err(Failure::new(exit::TIMED_OUT, text));
        }
        std::thread::sleep(LOOK);
    }
}

fn over(global: &Global, reader: &Reader, row: &MessageRow) -> Outcome {
    let why = row.reason.as_deref().unwrap_or_default();
    let name = format!("{}/{}", row.object, row.id);
    if matches!(global.output, super::Format::Json | super::Format::Yaml) {
        super::print(&super::apply::value_text(global, &inbox::whole_json(reader, row)))?;
    } else if let Some(answer) = inbox::answer(reader, row) {
        let end = if answer.ends_with('\n') { "" } else { "\n" };
        super::print(&format!("{answer}{end}"))?;
    }
    match row.state {
        MessageState::Ok => Ok(exit::OK),
        MessageState::Cancelled => Ok(exit::INTERRUPTED),
        MessageState::Dead
        | MessageState::Scheduled
        | MessageState::Available
        | MessageState::Behind
        | MessageState::Claimed => {
            let help = format!("setpoint dead show {name}   |   setpoint dead retry {name}");
            let outcome = row.outcome.as_deref().unwrap_or("dead");
            super::complain(&format!("error: {name}  {outcome}: {}\n  help: {help}", super::plain(why)));
            Ok(exit::FAILED)
        }
    }
}
