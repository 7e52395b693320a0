//! Command lines and environments of systemd units.
//!
//! In: `ExecStart=`, `ExecStartPre=`, `Environment=` and the like. Out: `run`, `env`, `envFile`. Not here: the other keys.
//! The surprise: systemd puts variables into arguments by itself, without a shell; a shell does the same to
//! `"${NAME}"` (one word) and `$NAME` (split at blanks), so a line with variables needs one here, and says so.

use serde_json::json;

use super::specified;
use crate::import::source::Key;
use crate::import::words;
use crate::import::work::Work;

/// One command of a unit.
struct Command {
    /// Its words for a shell.
    line: String,
    /// Its words, when no variable is in them.
    argv: Option<Vec<String>>,
    /// The marks before it: `-` for a failure that does not matter, and others.
    marks: String,
}

/// Reads one command.
fn parse(work: &Work<'_>, text: &str) -> Option<Command> {
    let rest = text.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    let marks = text.get(..text.len() - rest.len())?.to_owned();
    let mut words = words_of(rest)?;
    if marks.contains('@') && words.len() > 1 {
        // The second word is what the program sees as its own name.
        words.remove(1);
    }
    let words: Option<Vec<Word>> = words
        .into_iter()
        .map(|word| Some(Word { text: specified(work, &word.text)?, is_quoted: word.is_quoted }))
        .collect();
    let words = words.filter(|words| !words.is_empty())?;
    let has_variables = !marks.contains(':') && words.iter().any(|word| word.text.replace("$$", "").contains('$'));
    let plain = |word: &Word| if marks.contains(':') { word.text.clone() } else { word.text.replace("$$", "$") };
    if !has_variables {
        let argv: Vec<String> = words.iter().map(plain).collect();
        return Some(Command { line: words::join(&argv), argv: Some(argv), marks });
    }
    let line: Option<Vec<String>> = words.iter().map(shell).collect();
    Some(Command { line: line?.join(" "), argv: None, marks })
}

/// A word with variables, for a shell.
fn shell(word: &Word) -> Option<String> {
    let pieces = words::pieces(&word.text)?;
    let name = word.text.strip_prefix('$').filter(|name| words::is_variable(name));
    // `$NAME` alone is split at blanks; anywhere else it is not.
    Some(match name {
        Some(name) if !word.is_quoted => format!("${name}"),
        _ => words::shell_word(&pieces),
    })
}

/// A word, and whether it stood in quotes.
struct Word {
    text: String,
    is_quoted: bool,
}

/// Splits as systemd does: quotes begin and end words, and `\` begins an escape of C.
fn words_of(line: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_with(|| Word { text: String::new(), is_quoted: true }).is_quoted = true;
            }
            (Some(mark), c) if c == mark => quote = None,
            (_, c) => {
                let text = &mut word.get_or_insert_with(|| Word { text: String::new(), is_quoted: false }).text;
                if c == '\\' { text.push_str(&escape(&mut characters)?) } else { text.push(c) }
            }
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// What follows a `\`.
fn escape(characters: &mut std::str::Chars<'_>) -> Option<String> {
    let digits = |characters: &mut std::str::Chars<'_>, count: usize, radix: u32| {
        let text: String = characters.take(count).collect();
        u32::from_str_radix(&text, radix).ok().and_then(char::from_u32).filter(|c| *c != '\0')
    };
    Some(match characters.next()? {
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        'r' => "\r".to_owned(),
        's' => " ".to_owned(),
        'x' => digits(characters, 2, 16)?.to_string(),
        'u' => digits(characters, 4, 16)?.to_string(),
        c @ ('"' | '\'' | '\\' | ' ' | ';' | '%' | '$') => c.to_string(),
        c => format!("\\{c}"),
    })
}

/// The items of a key that count: those after the last empty one, which clears the list.
fn valid<'a>(section: &Key<'a>, name: &str) -> Vec<Key<'a>> {
    let items = section.get(name).map(|key| key.items()).unwrap_or_default();
    let from = items.iter().rposition(|item| item.text() == Some("")).map_or(0, |n| n + 1);
    items.get(from..).unwrap_or_default().to_vec()
}

/// Sets `run`; false when there is nothing to run.
pub fn command(work: &mut Work<'_>, service: &Key<'_>) -> bool {
    let starts = valid(service, "ExecStart");
    let commands: Option<Vec<Command>> = starts.iter().map(|key| parse(work, key.text().unwrap_or_default())).collect();
    let Some(commands) = commands.filter(|commands| !commands.is_empty()) else { return false };
    let befores = valid(service, "ExecStartPre");
    let before: Vec<Command> = befores.iter().filter_map(|key| parse(work, key.text().unwrap_or_default())).collect();
    let is_listed = matches!(service.text_of("KillMode"), Some("process" | "mixed" | "none"));
    let (Some(last), rest) = (commands.last(), commands.len() - 1) else { return false };
    for (n, (key, command)) in starts.iter().zip(&commands).enumerate() {
        marks(work, key, command, n == rest);
    }
    if let (Some(argv), true, true, 0) = (&last.argv, is_listed, before.is_empty(), rest) {
        work.draft.set("run", json!(argv));
        return true;
    }
    let line = |command: &Command| match command.marks.contains('-') {
        true => format!("{} || true", command.line),
        false => command.line.clone(),
    };
    let mut lines: Vec<String> = before.iter().chain(commands.get(..rest).unwrap_or_default()).map(line).collect();
    if lines.is_empty() {
        work.draft.set("run", json!(last.line));
        return true;
    }
    lines.insert(0, "set -e".to_owned());
    lines.push(format!("exec {}", last.line));
    work.draft.set("run", json!(format!("{}\n", lines.join("\n"))));
    true
}

/// What is said about one command that runs.
fn marks(work: &mut Work<'_>, key: &Key<'_>, command: &Command, is_last: bool) {
    if command.argv.is_none() {
        work.said(key, "run", "a shell puts in its variables, at each start");
    }
    if command.marks.contains('@') {
        work.said(key, "run", "the program sees its own name as the first argument");
    }
    if command.marks.contains(['+', '!']) {
        work.said(key, "run", "it runs as `user`, as the rest does");
    }
    if command.marks.contains('-') && is_last {
        work.said(key, "run", "a failure counts as one");
    }
}

/// `ExecStart=`: `run` itself.
pub fn start(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text() != Some("") && !valid_after_reset(work, key, "ExecStart") {
        true => work.drop(key, "an empty line below clears it"),
        false => work.same(key, "run"),
    }
}

/// `ExecStartPre=`: a part of `run`.
pub fn before(work: &mut Work<'_>, key: &Key<'_>) {
    let text = key.text().unwrap_or_default();
    let is_valid = valid_after_reset(work, key, "ExecStartPre");
    match parse(work, text) {
        _ if text.is_empty() => work.same(key, "run"),
        _ if !is_valid => work.drop(key, "an empty line below clears it"),
        Some(_) => {
            work.said(key, "run", "it is the first part of `run`: its time counts as life, and it runs as `user`")
        }
        None => work.drop(key, "it has a quote without an end, or a specifier that setpoint does not know"),
    }
}

fn valid_after_reset(work: &Work<'_>, key: &Key<'_>, name: &str) -> bool {
    work.section.get("Service").is_some_and(|service| valid(&service, name).iter().any(|item| item.path == key.path))
}

/// `ExecStop=`: a signal, where that is what it sends.
pub fn stop(work: &mut Work<'_>, key: &Key<'_>) {
    let words = key.text().map(|text| text.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    let kills = words.first().is_some_and(|word| word.trim_start_matches('-').ends_with("kill"));
    let to_main = words.last().is_some_and(|word| matches!(*word, "$MAINPID" | "${MAINPID}"));
    let signal = match words.get(1..words.len().saturating_sub(1)) {
        Some([]) => Some("TERM"),
        Some(["-s", name] | ["--signal", name]) => Some(*name),
        Some([name]) => name.strip_prefix("--signal=").or(name.strip_prefix('-')),
        _ => None,
    };
    let signal = signal.filter(|_| kills && to_main).and_then(|name| name.parse::<crate::kind::units::Signal>().ok());
    match signal {
        _ if words.is_empty() => work.same(key, "stop"),
        Some(signal) => work.map(key, "stop.signal", signal.to_string()),
        None => work.drop(key, "a service is stopped by a signal and has its grace; no command is run"),
    }
}

/// `Environment=`: assignments, each maybe in quotes.
pub fn environment(work: &mut Work<'_>, key: &Key<'_>) {
    let text = key.text().unwrap_or_default();
    if text.is_empty() {
        return work.same(key, "env");
    }
    if !valid_after_reset(work, key, "Environment") {
        return work.drop(key, "an empty line below clears it");
    }
    let Some(words) = words_of(text) else { return work.odd(key, "list of NAME=value") };
    for word in words {
        let pair = specified(work, &word.text);
        match pair.as_deref().and_then(|pair| pair.split_once('=')).filter(|(name, _)| words::is_variable(name)) {
            Some((name, value)) => {
                work.draft.set_env(name, json!(value));
                work.same(key, "env");
            }
            None => {
                work.said(key, "env", "what is no NAME=value, or has a specifier setpoint does not know, is left out")
            }
        }
    }
}

/// `EnvironmentFile=`: a path, with `-` when it may be missing.
pub fn environment_file(work: &mut Work<'_>, key: &Key<'_>) {
    let text = specified(work, key.text().unwrap_or_default());
    let Some(text) = text.as_deref() else { return work.odd(key, "path") };
    if text.is_empty() {
        return work.same(key, "envFile");
    }
    if !valid_after_reset(work, key, "EnvironmentFile") {
        return work.drop(key, "an empty line below clears it");
    }
    let (path, is_optional) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
    let Some(path) = work.path(path).filter(|path| !path.contains(['*', '?', '['])) else {
        return work.drop(key, "a pattern names no file here: name each");
    };
    work.draft.push("envFile", json!(path));
    if is_optional { work.said(key, "envFile", "it must exist, or the start fails") } else { work.same(key, "envFile") }
}
