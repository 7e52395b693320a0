//! `setpoint inbox` and `setpoint dead`: messages that wait, are at work, and are over; and the dead letters among them.
//!
//! In: a mailbox, or one of its messages. Out: tables, or one in full. Not here: sending ([`super::send`]).
//! The surprise: it reads the store alone, so it works without a controller; only a change needs one.

use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::facts::age;
use super::get::trimmed;
use super::send::{check_taking, mailbox};
use super::{Failure, Format, Global, Outcome, controller, exit};
use crate::engine::{Cause, ObjectRef};
use crate::home::Home;
use crate::rpc::mailbox::{payload_json, row_json};
use crate::store::{Books as _, MessageFilter, MessageRow, MessageState, Reader};

/// The longest text of a table cell, in characters.
const CELL_MAX: usize = 60;
/// How many dead letters one command acts on.
const ALL_MAX: usize = 10_000;

/// List messages, newest first, or show one
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// MAILBOX, or MAILBOX/ID for one message in full; all when left out
    #[arg(value_name = "MAILBOX")]
    mailbox: Option<String>,
    /// Only those in this state: scheduled, available, behind, claimed, retry, ok, dead or cancelled
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// So many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// List, show, retry or forget dead letters
#[derive(Clone, Debug, clap::Args)]
pub struct DeadArgs {
    #[command(subcommand)]
    verb: Dead,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Dead {
    /// List them, newest first
    List {
        /// Only of this mailbox or trigger
        #[arg(value_name = "MAILBOX")]
        mailbox: Option<String>,
        /// So many at most
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show one in full
    Show {
        /// MAILBOX/ID
        #[arg(value_name = "MESSAGE")]
        message: String,
    },
    /// Let them have another go, as if they had never been tried
    Retry(DeadNames),
    /// Forget them
    Drop(DeadNames),
}

#[derive(Clone, Debug, clap::Args)]
struct DeadNames {
    /// MAILBOX/ID; or MAILBOX with --all
    #[arg(required = true, value_name = "MESSAGE")]
    messages: Vec<String>,
    /// All dead letters of these mailboxes
    #[arg(long)]
    all: bool,
}

/// Lists or shows.
///
/// # Errors
/// When there is no such message, or the store cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let reader = reader(global)?;
    if let Some((object, id)) = args.mailbox.as_deref().and_then(one) {
        return show(global, reader.as_ref(), &object?, &id);
    }
    let object = args.mailbox.as_deref().map(mailbox).transpose()?;
    let is_retry = args.state.iter().any(|word| word.eq_ignore_ascii_case("retry"));
    let filter = MessageFilter {
        object,
        states: states(&args.state)?,
        limit: Some(args.limit),
        without_payload: true,
        ..MessageFilter::default()
    };
    let mut rows = list(reader.as_ref(), &filter)?;
    if rows.is_empty() {
        check_known(global, reader.as_ref(), filter.object.as_ref())?;
    }
    rows.retain(|row| !is_retry || state_word(row) == "retry" || args.state.len() > 1);
    super::print(&match global.output {
        Format::Table | Format::Wide => table(&rows),
        Format::Name => names(&rows),
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = rows.iter().map(row_json).collect();
            super::apply::value_text(global, &json!({ "items": items }))
        }
    })?;
    if rows.is_empty() && matches!(global.output, Format::Table | Format::Wide) {
        super::say(global, "There is no such message.");
    }
    Ok(exit::OK)
}

/// Does what is asked of dead letters.
///
/// # Errors
/// When there is no such dead letter, or no controller for a change.
pub fn dead(global: &Global, args: &DeadArgs) -> Outcome {
    match &args.verb {
        Dead::List { mailbox: word, limit } => dead_list(global, word.as_deref(), *limit),
        Dead::Show { message } => {
            let Some((object, id)) = one(message) else { return Err(unnamed(message)) };
            show(global, reader(global)?.as_ref(), &object?, &id)
        }
        Dead::Retry(names) => dead_change(global, names, "mailbox.retry", "is tried again"),
        Dead::Drop(names) => dead_change(global, names, "mailbox.drop", "is forgotten"),
    }
}

fn dead_list(global: &Global, word: Option<&str>, limit: usize) -> Outcome {
    let object = word.map(mailbox).transpose()?;
    let states = vec![MessageState::Dead];
    let filter = MessageFilter { object, states, limit: Some(limit), ..MessageFilter::default() };
    let reader = reader(global)?;
    let rows = list(reader.as_ref(), &filter)?;
    if rows.is_empty() {
        check_known(global, reader.as_ref(), filter.object.as_ref())?;
    }
    super::print(&match global.output {
        Format::Name => names(&rows),
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = rows.iter().map(dead_json).collect();
            super::apply::value_text(global, &json!({ "items": items }))
        }
        Format::Table | Format::Wide => table(&rows),
    })?;
    if rows.is_empty() && matches!(global.output, Format::Table | Format::Wide) {
        super::say(global, "There are no dead letters.");
    }
    Ok(exit::OK)
}

fn dead_json(row: &MessageRow) -> Value {
    let (name, payload) = payload_json(&row.payload);
    let mut item = json!({
        "id": &*row.id,
        "mailbox": row.object.as_str(),
        "reason": row.reason.as_deref(),
        "attempts": row.tries,
        "at": row.ended.map(crate::controller::report::rfc3339),
    });
    if let Some(fields) = item.as_object_mut() {
        fields.insert(name.to_owned(), payload);
    }
    item
}

fn dead_change(global: &Global, names: &DeadNames, method: &str, done: &str) -> Outcome {
    let Some(home) = home(global)? else { return Err(unnamed(&names.messages.join(" "))) };
    let mut letters = Vec::new();
    for word in &names.messages {
        match one(word) {
            Some((object, id)) => letters.push((object?, id)),
            None if names.all => {
                let object = Some(mailbox(word)?);
                let (states, limit) = (vec![MessageState::Dead], Some(ALL_MAX));
                let filter = MessageFilter { object, states, limit, without_payload: true, ..MessageFilter::default() };
                let reader = reader(global)?;
                let rows = list(reader.as_ref(), &filter)?;
                if rows.is_empty() {
                    check_known(global, reader.as_ref(), filter.object.as_ref())?;
                }
                letters.extend(rows.into_iter().map(|row| (row.object, row.id.to_string())));
            }
            None => return Err(unnamed(word)),
        }
    }
    for (object, id) in &letters {
        change(&home, method, (object, id), done)?;
    }
    if letters.is_empty() {
        super::say(global, "There are no dead letters.");
    }
    Ok(exit::OK)
}

/// Ends a message that is not over.
///
/// # Errors
/// When there is none, or no controller.
pub fn cancel(home: &Home, object: &ObjectRef, id: &str) -> Outcome {
    change(home, "mailbox.cancel", (object, id), "is being cancelled").map(|()| exit::OK)
}

fn change(home: &Home, method: &str, (object, id): (&ObjectRef, &str), done: &str) -> Result<(), Failure> {
    match controller::call(home, method, &json!({ "mailbox": object.as_str(), "id": id }))? {
        Some(Ok(_)) => super::print(&format!("{object}/{id}  {done}\n")),
        Some(Err(error)) => Err(Failure::new(exit::NOT_FOUND, format!("{error}\n  help: setpoint inbox {object}"))),
        None => {
            let text = "no controller runs, and only a controller changes a queue\n  help: setpoint controller start";
            Err(Failure::new(exit::NO_CONTROLLER, text))
        }
    }
}

/// The message that a word names, if it names one: NAME/ID or KIND/NAME/ID.
pub(super) fn one(word: &str) -> Option<(Result<ObjectRef, Failure>, String)> {
    match word.split('/').collect::<Vec<&str>>().as_slice() {
        [name, id] if crate::kind::find_spoken(name).is_none() => Some((mailbox(name), (*id).to_owned())),
        [kind, name, id] => Some((mailbox(&format!("{kind}/{name}")), (*id).to_owned())),
        _ => None,
    }
}

fn unnamed(word: &str) -> Failure {
    let text =
        format!("`{}` names no message\n  help: write MAILBOX/ID, as setpoint dead list has it", super::plain(word));
    Failure::new(exit::USAGE, text)
}

fn states(words: &[String]) -> Result<Vec<MessageState>, Failure> {
    let mut states = Vec::new();
    for word in words.iter().flat_map(|words| words.split(',')) {
        let lower = word.to_ascii_lowercase();
        match (MessageState::of_word(&lower), lower.as_str()) {
            (Some(state), _) => states.push(state),
            (None, "retry") => states.push(MessageState::Scheduled),
            (None, _) => {
                let known: Vec<&str> = MessageState::ALL.iter().map(|state| state.word()).collect();
                let text = format!("--state is `{word}`, which is no state\n  help: write {}, retry", known.join(", "));
                return Err(Failure::new(exit::USAGE, text));
            }
        }
    }
    Ok(states)
}

fn home(global: &Global) -> Result<Option<Home>, Failure> {
    Home::open_existing(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))
}

/// The store; none when there is none yet.
fn reader(global: &Global) -> Result<Option<Reader>, Failure> {
    let Some(home) = home(global)? else { return Ok(None) };
    if !home.store_db().exists() {
        return Ok(None);
    }
    Reader::open(&home.store_db()).map(Some).map_err(|trouble| Failure::new(exit::FAILED, trouble.to_string()))
}

fn list(reader: Option<&Reader>, filter: &MessageFilter) -> Result<Vec<MessageRow>, Failure> {
    let Some(reader) = reader else { return Ok(Vec::new()) };
    reader.messages(filter).map_err(|trouble| Failure::new(exit::FAILED, trouble.to_string()))
}

/// Refuses what takes no messages and never has: its name is a slip.
fn check_known(global: &Global, reader: Option<&Reader>, object: Option<&ObjectRef>) -> Result<(), Failure> {
    let Some(object) = object else { return Ok(()) };
    let object_alone = Some(object.clone());
    let any = MessageFilter { object: object_alone, limit: Some(1), without_payload: true, ..MessageFilter::default() };
    match list(reader, &any)?.is_empty() {
        true => check_taking(home(global)?.as_ref(), object),
        false => Ok(()),
    }
}

/// A message that failed and waits for its next try is called so.
fn state_word(row: &MessageRow) -> &'static str {
    match row.state {
        MessageState::Scheduled if row.tries > 0 => "retry",
        state => state.word(),
    }
}

fn names(rows: &[MessageRow]) -> String {
    rows.iter().map(|row| format!("{}/{}\n", row.object, row.id)).collect()
}

fn table(rows: &[MessageRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["MESSAGE", "STATE", "AGE", "TRIES", "TYPE", "SUBJECT", "FROM", "WHY"]);
    for row in rows {
        table.add_row([
            format!("{}/{}", row.object, row.id),
            state_word(row).to_owned(),
            age(row.enqueued),
            row.tries.to_string(),
            cell(&row.kind),
            cell(&row.subject),
            cell(&row.sender),
            cell(row.reason.as_deref().unwrap_or_default()),
        ]);
    }
    trimmed(&table)
}

fn cell(text: &str) -> String {
    let plain = super::plain(text);
    match plain.chars().count() {
        0 => "-".to_owned(),
        count if count <= CELL_MAX => plain.to_string(),
        _ => plain.chars().take(CELL_MAX - 1).chain(['…']).collect(),
    }
}

fn show(global: &Global, reader: Option<&Reader>, object: &ObjectRef, id: &str) -> Outcome {
    let missing = || {
        let text = format!("there is no message {object}/{}\n  help: setpoint inbox {object}", super::plain(id));
        Failure::new(exit::NOT_FOUND, text)
    };
    let reader = reader.ok_or_else(missing)?;
    let name = crate::engine::queue::message::name_of(id);
    let row = reader.message(object, &name).map_err(|trouble| Failure::new(exit::FAILED, trouble.to_string()))?;
    let row = row.ok_or_else(missing)?;
    super::print(&match global.output {
        Format::Json | Format::Yaml => super::apply::value_text(global, &whole_json(reader, &row)),
        Format::Name => names(std::slice::from_ref(&row)),
        Format::Table | Format::Wide => whole(reader, &row),
    })?;
    Ok(exit::OK)
}

/// A message with its attempts and what its sender is told.
#[must_use]
pub fn whole_json(reader: &Reader, row: &MessageRow) -> Value {
    let mut shown = crate::rpc::mailbox::whole_json(row);
    if let Some(fields) = shown.as_object_mut() {
        let tries: Vec<Value> = attempts(reader, row);
        fields.insert("tries".to_owned(), tries.into());
        fields.insert("reply".to_owned(), json!(answer(reader, row)));
    }
    shown
}

fn attempts(reader: &Reader, row: &MessageRow) -> Vec<Value> {
    let Ok(cause) = row.id.parse::<Cause>() else { return Vec::new() };
    let rows = reader.attempts(&row.object, &cause).unwrap_or_default();
    rows.iter().map(crate::rpc::runs::attempt_json).collect()
}

/// What the sender of a message is told: the reply of a rule, else what its work printed.
#[must_use]
pub fn answer(reader: &Reader, row: &MessageRow) -> Option<String> {
    if let Some(reply) = &row.reply {
        return Some(reply.to_string());
    }
    let cause = row.id.parse::<Cause>().ok()?;
    let run = reader.run(&row.object, &cause).ok()??;
    run.end?.result.map(|given| given.text.to_string())
}

fn whole(reader: &Reader, row: &MessageRow) -> String {
    let mut text = format!("{}/{}  {}\n", row.object, row.id, state_word(row));
    // Writing into a String cannot fail.
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            _ = writeln!(text, "{name:<11}{value}");
        }
    };
    line("Why:", &super::plain(row.reason.as_deref().unwrap_or_default()));
    if row.state == MessageState::Dead {
        let name = format!("{}/{}", row.object, row.id);
        line("Do:", &format!("setpoint dead retry {name}   |   setpoint dead drop {name}"));
    }
    line("Type:", &super::plain(&row.kind));
    line("Subject:", &super::plain(&row.subject));
    line("From:", &super::plain(&row.sender));
    line("Group:", &super::plain(row.group.as_deref().unwrap_or_default()));
    line("Came:", &format!("{} by {}", super::local(row.enqueued), row.source));
    line("Due:", &if row.state.is_over() { String::new() } else { super::local(row.due) });
    line("Expires:", &row.expires.map(super::local).unwrap_or_default());
    line("Ended:", &row.ended.map(super::local).unwrap_or_default());
    line("Tries:", &row.tries.to_string());
    for one in attempts(reader, row) {
        let field = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let number = one.get("number").and_then(Value::as_u64).unwrap_or_default();
        _ = writeln!(text, "  {number}  {}  {}", field("started"), super::plain(&field("exit")));
    }
    if let Some(answer) = answer(reader, row) {
        _ = writeln!(text, "Answer:\n{}", indented(&answer));
    }
    if let Some(tail) = &row.log_tail {
        _ = writeln!(text, "Last words:\n{}", indented(tail));
    }
    match std::str::from_utf8(&row.payload) {
        Ok("") => _ = writeln!(text, "Message:   empty"),
        Ok(payload) => _ = writeln!(text, "Message:\n{}", indented(payload)),
        Err(_) => _ = writeln!(text, "Message:   {} bytes that are no text", row.payload.len()),
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}", super::plain(line))).collect::<Vec<_>>().join("\n")
}
