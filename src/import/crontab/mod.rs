//! Crontabs, of people and of the system.
//!
//! In: lines with a schedule and a command, and assignments that hold for the lines below them. Out: a CronJob per line.
//! Not here: what a schedule means (`engine::schedule`), and anacron, which counts days instead of naming times.
//!
//! cron refuses a file for one bad line; here such a line is reported, and the others are imported.
//! The surprise: `%` is the end of a line to cron, and what stands behind the first one is standard input; so such a
//! command is written as a pipe that begins with printf.

mod line;
mod name;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use self::line::{Line, parse, split_input};
use super::source::{Field, Key, Node, Value};
use super::work::Work;
use super::{Draft, Fate, Format, Import, words};
use crate::engine::schedule::Schedule;
use crate::kind::cronjob;
use crate::load::{Problem, Source, plain};

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "crontab",
    about: "crontab -l, /etc/crontab and files of /etc/cron.d",
    files: &["crontab", "crontab.*", "*.crontab", "*.cron", "cron.d/*"],
    read,
    import,
};

/// The key of a line that holds a schedule.
const ENTRY: &str = "line ";

/// Every assignment as a field of its name, and every other line as a field of its number.
fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source::new(file, text);
    let mut fields: Vec<Field> = Vec::new();
    let mut wrong = Vec::new();
    let mut above: Vec<&str> = Vec::new();
    let mut has_entries = false;
    let mut at = 0;
    for (n, raw) in text.split_inclusive('\n').enumerate() {
        let start = at + raw.len() - raw.trim_start().len();
        at += raw.len();
        let place = source.place(start);
        match parse(raw.trim_end_matches(['\n', '\r'])) {
            Line::Empty => above.clear(),
            Line::Comment(words) => above.push(words),
            Line::Assignment { name, value } => {
                above.clear();
                let node = Node::text(&place, value);
                match fields.iter_mut().find(|field| field.key == name) {
                    Some(field) => field.node.again(node),
                    None => fields.push(Field { key: name.to_owned(), place, node }),
                }
            }
            Line::Entry { schedule, command } => {
                has_entries = true;
                let field = |key: &str, text: &str| Field {
                    key: key.to_owned(),
                    place: place.clone(),
                    node: Node::text(&place, text),
                };
                let mut inside = vec![field("schedule", schedule), field("command", command)];
                let words: Vec<&str> = above.drain(..).filter(|words| !words.is_empty()).collect();
                if !words.is_empty() {
                    inside.push(field("comment", &words.join(" ")));
                }
                let node = Node { place: place.clone(), value: Value::Map(inside) };
                fields.push(Field { key: format!("{ENTRY}{}", n + 1), place, node });
            }
            Line::Wrong => {
                above.clear();
                let help = "a line is five fields and a command, as in `0 3 * * * /srv/backup.sh`".to_owned();
                let message = "this is no line of a crontab".to_owned();
                wrong.push(source.problem(start..at, message, String::new(), help));
                fields.push(Field { key: format!("{ENTRY}{}", n + 1), node: Node::text(&place, raw.trim()), place });
            }
        }
    }
    wrong.truncate(crate::load::PER_FILE_MAX);
    // One bad line is no reason to leave out the rest, but a file of nothing else is none of this format.
    match (has_entries, wrong.is_empty()) {
        (true, _) => Ok(Node { place: source.place(0), value: Value::Map(fields) }),
        (false, false) => Err(wrong),
        (false, true) => {
            Err(vec![Problem::of_file(file, "no line of it has a schedule and a command", "name a crontab")])
        }
    }
}

/// What the assignments above a line come to.
#[derive(Clone, Debug, Default)]
struct Settings {
    env: Vec<(String, String)>,
    shell: Option<String>,
    home: Option<String>,
    zone: Option<String>,
    jitter: Option<u64>,
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let mut lines: Vec<Key<'_>> = root.fields().iter().flat_map(Key::items_or_self).collect();
    lines.sort_by_key(|key| key.place.line);
    let has_users = has_users(import, &lines);
    let mut settings = Settings::default();
    for key in &lines {
        match (key.get("schedule"), key.get("command"), is_entry(key)) {
            (Some(schedule), Some(command), true) => {
                entry(import, &settings, Entry { key, schedule, command, has_users });
            }
            (_, _, true) => {
                import.report.mark("", key, Fate::Dropped, "", "it is no line of a crontab: five fields and a command");
            }
            (_, _, false) => assignment(import, &mut settings, key),
        }
    }
    for note in [
        "a run that is due while the one before it goes on is skipped and recorded here, where cron starts a second: \
         `overlap: allow`",
        "a time that passed while the machine was off is made up once within the hour, where cron forgets it: \
         `missed: skip`",
        "PATH is the controller's, where cron's is /usr/bin:/bin",
    ] {
        import.report.note(note);
    }
}

fn is_entry(key: &Key<'_>) -> bool {
    key.path.first().is_some_and(|step| step.starts_with(ENTRY))
}

/// True when a user stands before each command.
fn has_users(import: &mut Import<'_>, lines: &[Key<'_>]) -> bool {
    let file = Path::new(&*import.file);
    let folder = file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let is_place = folder == "cron.d" || file == Path::new("/etc/crontab");
    let mut firsts = lines.iter().filter_map(|key| key.text_of("command")?.split_whitespace().next()).peekable();
    // There is no program of that name, so a line cannot begin with it otherwise.
    let is_seen = firsts.peek().is_some() && firsts.all(|first| first == "root");
    if import.around.system || is_place || is_seen {
        import.report.note("each line names its user first, as crontabs of the system do");
        return true;
    }
    false
}

/// One line with a schedule.
struct Entry<'a, 'b> {
    key: &'a Key<'b>,
    schedule: Key<'b>,
    command: Key<'b>,
    has_users: bool,
}

fn entry(import: &mut Import<'_>, settings: &Settings, entry: Entry<'_, '_>) {
    let Entry { key, schedule, command, has_users } = entry;
    let written = command.text().unwrap_or_default();
    let (user, line) = match written.split_once(char::is_whitespace).filter(|_| has_users) {
        Some((user, line)) => (Some(user), line.trim_start()),
        None => (None, written),
    };
    if has_users && user.is_none() {
        import.report.mark("", key, Fate::Dropped, "", "no command stands behind its user");
        return;
    }
    let name = import.names.give(&name::of_command(line).unwrap_or_else(|| "cronjob".to_owned()));
    let from = format!("{}:{}", import.file, key.place.line);
    let mut work = import.work(Draft::new(&cronjob::DEF, name, from), key);
    if let Err(why) = when(&mut work, &schedule) {
        return work.report.mark("", key, Fate::Dropped, "", &why);
    }
    work.same(&command, if user.is_some() { "run, user" } else { "run" });
    run(&mut work, &command, line, settings.shell.as_deref());
    if let Some(user) = user {
        work.draft.set("user", json!(user));
    }
    surroundings(&mut work, &command, settings, user);
    if let Some(comment) = key.get("comment") {
        work.annotation(&comment, "description");
    }
    work.finish();
}

/// The schedule, or why it is none.
fn when(work: &mut Work<'_>, key: &Key<'_>) -> Result<(), String> {
    let written = key.text().unwrap_or_default();
    let plain_text = written.strip_prefix('-').unwrap_or(written);
    // A word of FreeBSD, which means just this.
    let text = match plain_text.eq_ignore_ascii_case("@every_minute") {
        true => "* * * * *".to_owned(),
        false => plain_text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    Schedule::parse(&text).map_err(|error| {
        let is_shown = error.item.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '@'));
        let item = if is_shown { format!("`{}`", plain(&error.item)) } else { "what stands there".to_owned() };
        format!("its {}, column {}: {item} {}; {}", error.field, error.column, error.what, error.help)
    })?;
    match plain_text == written {
        true => work.map(key, "schedule", text),
        false => {
            work.near(key, "schedule", text, "the `-` before it keeps cron from logging it; runs are recorded here")
        }
    }
    Ok(())
}

/// The command, with what stands behind its first `%` as standard input.
fn run(work: &mut Work<'_>, key: &Key<'_>, line: &str, shell: Option<&str>) {
    let (line, input) = split_input(line);
    let line = match input {
        None => line,
        Some(input) => {
            let how = "what stands behind `%` is standard input to cron; here printf writes it into a pipe";
            work.said(key, "run", how);
            let lines: Vec<String> = input.iter().map(|line| words::quoted(line)).collect();
            // The braces stand on lines of their own, so that a comment or `&` at the end of the command ends there.
            format!("printf '%s\\n' {} | {{\n{}\n}}", lines.join(" "), line.trim_end())
        }
    };
    match shell {
        None => work.draft.set("run", json!(line)),
        Some(shell) => work.draft.set("run", json!([shell, "-c", line])),
    }
}

/// What the assignments above say, and what cron does by itself.
fn surroundings(work: &mut Work<'_>, key: &Key<'_>, settings: &Settings, user: Option<&str>) {
    for (name, value) in &settings.env {
        work.draft.set_env(name, json!(value));
    }
    if let Some(zone) = &settings.zone {
        work.draft.set("timeZone", json!(zone));
    }
    if let Some(minutes) = settings.jitter.filter(|minutes| *minutes > 0) {
        work.draft.set("jitter", json!(format!("{minutes}m")));
    }
    let home = match (&settings.home, user) {
        (Some(home), _) => Some(home.clone()),
        (None, None) => work.around.home.as_ref().map(|home| home.display().to_string()),
        (None, Some("root")) => Some("/root".to_owned()),
        (None, Some(_)) => None,
    };
    match home.filter(|home| home.starts_with('/')) {
        Some(home) => work.draft.set("dir", json!(home)),
        None => {
            work.draft.set("dir", json!("/"));
            work.said(key, "dir", "cron starts it in the home of its user; write that into `dir`");
        }
    }
}

/// True when a CronJob can have this.
fn is_taken(set: impl FnOnce(&mut Draft)) -> bool {
    let mut draft = Draft::new(&cronjob::DEF, "probe".to_owned(), String::new());
    draft.set("schedule", json!("0 0 * * *"));
    draft.set("run", json!("true"));
    set(&mut draft);
    draft.faults().is_empty()
}

/// One assignment: it holds for the lines below it.
fn assignment(import: &mut Import<'_>, settings: &mut Settings, key: &Key<'_>) {
    let name = key.path.first().map(String::as_str).unwrap_or_default();
    let value = key.text().unwrap_or_default().to_owned();
    let mut mark = |fate: Fate, to: &str, why: &str| import.report.mark("", key, fate, to, why);
    match name {
        "SHELL" if value.is_empty() || value == "/bin/sh" => {
            settings.shell = None;
            mark(Fate::Mapped, "run", "");
        }
        "SHELL" if !is_taken(|draft| draft.set("run", json!([value, "-c", "true"]))) => {
            mark(Fate::Dropped, "", "its value is no path of a program");
        }
        "SHELL" => {
            settings.shell = Some(value);
            mark(Fate::Mapped, "run", "");
        }
        "CRON_TZ" if !value.is_empty() && !is_taken(|draft| draft.set("timeZone", json!(value))) => {
            mark(
                Fate::Dropped,
                "",
                "its value is no time zone that setpoint knows; zones have names such as Europe/Berlin",
            );
        }
        "CRON_TZ" => {
            settings.zone = Some(value).filter(|zone| !zone.is_empty());
            mark(Fate::Mapped, "timeZone", "");
        }
        "RANDOM_DELAY" => match value.trim().parse::<u64>().ok().filter(|minutes| *minutes <= 100_000) {
            Some(minutes) => {
                settings.jitter = Some(minutes);
                let why = "each object has a share of it that is always the same, where cron draws one for all";
                mark(Fate::Approximated, "jitter", why);
            }
            None => mark(Fate::Dropped, "", "its value is no number of minutes that setpoint can read"),
        },
        "MAILTO" if value.is_empty() => mark(Fate::Mapped, "log", ""),
        "MAILTO" => mark(Fate::Dropped, "", "output is kept, and `setpoint logs` shows it; nothing is mailed"),
        "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => mark(Fate::Dropped, "", "nothing is mailed"),
        "LOGNAME" | "USER" => mark(Fate::Dropped, "", "it is the name of who runs it, to cron as well"),
        _ if !words::is_variable(name) => {
            let why = "a name of a variable has letters, digits and `_`, and does not begin with SETPOINT_";
            mark(Fate::Dropped, "", why);
        }
        _ if !is_taken(|draft| draft.set_env(name, json!(value))) => mark(Fate::Dropped, "", "its value is no text"),
        _ => {
            if name == "HOME" {
                settings.home = Some(value.clone());
            }
            mark(Fate::Mapped, &format!("env.{name}"), "");
            settings.env.retain(|(known, _)| known != name);
            settings.env.push((name.to_owned(), value));
        }
    }
}
