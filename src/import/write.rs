//! The short form as a person would have typed it.
//!
//! In: the fields of a manifest. Out: YAML text. Not here: which fields there are.
//! The surprise: a serializer would do, but it sorts `replicas` before `run` and opens a block for `{ grace: 30s }`; what
//! is imported once is read and edited for years.

use serde_json::{Map, Value};

/// The order of fields at every depth; others follow by name.
const ORDER: &[&str] = &[
    "name",
    "until",
    "labels",
    "annotations",
    "schedule",
    "every",
    "timeZone",
    "jitter",
    "missed",
    "watch",
    "ignore",
    "extensions",
    "changes",
    "settle",
    "gitignore",
    "event",
    "when",
    "match",
    "run",
    "use",
    "with",
    "agent",
    "prompt",
    "dir",
    "env",
    "envFile",
    "inheritEnv",
    "user",
    "group",
    "umask",
    "limits",
    "tty",
    "replicas",
    "needs",
    "restart",
    "backoff",
    "stop",
    "ready",
    "live",
    "log",
    "http",
    "tcp",
    "command",
    "notify",
    "file",
    "delay",
    "period",
    "timeout",
    "failure",
    "success",
    "startup",
    "signal",
    "grace",
    "from",
    "factor",
    "to",
    "resetAfter",
    "giveUpAfter",
    "giveUp",
    "maxSize",
    "maxFiles",
    "url",
    "method",
];

/// The widest line that a map or list is written into.
const WIDTH: usize = 100;

/// One document.
#[must_use]
pub fn manifest(comment: &str, (kind, name): (&str, &str), fields: &Map<String, Value>) -> String {
    let mut text = String::new();
    if !comment.is_empty() {
        text.push_str(&format!("# {comment}\n"));
    }
    text.push_str(&format!("kind: {kind}\nname: {}\n", scalar(name)));
    for (field, value) in ordered(fields) {
        entry(&mut text, 0, field, value);
    }
    text
}

fn ordered(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    let rank = |field: &str| ORDER.iter().position(|known| *known == field).unwrap_or(ORDER.len());
    fields.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then(a.cmp(b)));
    fields
}

fn entry(text: &mut String, depth: usize, field: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let key = scalar(field);
    if let Value::String(line) = value
        && let Some(block) = block(line, depth + 1)
    {
        text.push_str(&format!("{indent}{key}: {block}"));
        return;
    }
    let short = match value {
        Value::String(line) if is_plain_line(line) => line.clone(),
        _ => flow(value),
    };
    let is_small = indent.len() + key.len() + 2 + short.len() <= WIDTH;
    match value {
        Value::Object(map) if !is_small || map.len() > 4 => {
            text.push_str(&format!("{indent}{key}:\n"));
            ordered(map).into_iter().for_each(|(field, value)| entry(text, depth + 1, field, value));
        }
        Value::Array(list) if !is_small => {
            text.push_str(&format!("{indent}{key}:\n"));
            list.iter().for_each(|item| one_of(text, depth + 1, item));
        }
        _ => text.push_str(&format!("{indent}{key}: {short}\n")),
    }
}

/// One item of a list that is too long for a line.
fn one_of(text: &mut String, depth: usize, item: &Value) {
    let indent = "  ".repeat(depth);
    let short = flow(item);
    match item {
        Value::Object(map) if indent.len() + 2 + short.len() > WIDTH => {
            let mut fields = String::new();
            ordered(map).into_iter().for_each(|(field, value)| entry(&mut fields, depth + 1, field, value));
            text.push_str(&format!("{indent}- {}", fields.trim_start()));
        }
        _ => text.push_str(&format!("{indent}- {short}\n")),
    }
}

/// Text of several lines, as a block; `None` where a block would not give it back as it is.
fn block(text: &str, depth: usize) -> Option<String> {
    let fits = text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.contains(|c: char| c != '\n' && c != '\t' && c.is_control())
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
        && !text.ends_with("\n\n");
    if !fits {
        return None;
    }
    let indent = "  ".repeat(depth);
    let (mark, body) = text.strip_suffix('\n').map_or(("|-", text), |body| ("|", body));
    let lines =
        body.split('\n').map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") });
    Some(format!("{mark}\n{}", lines.collect::<String>()))
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let fields = ordered(map).into_iter().map(|(field, value)| format!("{}: {}", scalar(field), flow(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text, in quotes where any reader of YAML might take it for something else.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let has_marks = text.contains(['"', '\\']);
    if has_marks && !text.contains('\'') && !text.contains(|c: char| c.is_control() || !c.is_ascii()) {
        return format!("'{text}'");
    }
    // JSON's strings are YAML's, but for what a terminal or an editor would take for the end of a line.
    let quoted = Value::String(text.to_owned()).to_string();
    let special =
        |c: char| (c.is_control() && !c.is_ascii()) || matches!(c, '\u{7f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    quoted.chars().map(|c| if special(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

/// True when a text may stand without quotes inside `{}` and `[]`.
fn is_plain(text: &str) -> bool {
    is_plain_of(text, " /._-+=:@$%;()|")
}

/// True when a text may stand without quotes behind `key: `, alone on its line.
fn is_plain_line(text: &str) -> bool {
    is_plain_of(text, " /._-+=:@$%;()|,{}[]&*!<>'\"\\`?~^")
}

fn is_plain_of(text: &str, marks: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_' | '.');
    let inside = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let is_option = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic())
        && (1..3).contains(&(text.len() - text.trim_start_matches('-').len()));
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", ".nan", ".inf"];
    let is_time = text.ends_with(|c: char| c.is_ascii_alphabetic())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && !text.starts_with("0")
        && text.len() <= 8
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && !text.contains(['e', 'E', 'x', 'o', 'b', '_']);
    let looks_plain = text.starts_with(first) && !text.starts_with("..") || text.starts_with("../") || text == "..";
    (is_time || is_option || looks_plain)
        && text.chars().all(inside)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains("  ")
        && !(text.starts_with('.') && text[1..].starts_with(|c: char| c.is_ascii_digit()))
        && !WORDS.contains(&&*text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn what_might_be_taken_for_something_else_is_quoted() {
        for (text, written) in [
            ("npm start", "npm start"),
            ("./server --port 8080", "./server --port 8080"),
            ("30s", "30s"),
            ("0s", "\"0s\""),
            ("1e3", "\"1e3\""),
            ("8080", "\"8080\""),
            ("no", "\"no\""),
            ("Off", "\"Off\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("- a", "\"- a\""),
            ("--name", "--name"),
            ("-5", "\"-5\""),
            ("---", "\"---\""),
            ("a, b", "\"a, b\""),
            ("say \"hi\"", "'say \"hi\"'"),
            ("it's \"it\"", "\"it's \\\"it\\\"\""),
            ("*.txt", "\"*.txt\""),
            (".5", "\".5\""),
            (".env", ".env"),
            ("../web", "../web"),
            ("...", "\"...\""),
            ("bell\u{7}", "\"bell\\u0007\""),
            ("next\u{85}line", "\"next\\u0085line\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }
}
