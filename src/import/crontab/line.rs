//! Lines of a crontab.
//!
//! In: one line. Out: what it is, and its parts. Not here: what a schedule means.
//! The surprise: cron tries a line as an assignment first, and there are blanks around `=` in some, so `A = b` is one and
//! `0 3 * * * A=b c` is not.

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing.
    Empty,
    /// Words for people.
    Comment(&'a str),
    /// It holds for the lines below.
    Assignment {
        /// Of what.
        name: &'a str,
        /// As it is given to commands, without the quotes around it.
        value: &'a str,
    },
    /// Something to do.
    Entry {
        /// Five fields, or one word.
        schedule: &'a str,
        /// The rest of the line.
        command: &'a str,
    },
    /// None of these.
    Wrong,
}

/// Tells what a line is.
#[must_use]
pub fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.is_empty() {
        return Line::Empty;
    }
    if let Some(words) = line.strip_prefix('#') {
        return Line::Comment(words.trim_start_matches('#').trim());
    }
    if let Some((name, value)) = assignment(line) {
        return Line::Assignment { name, value };
    }
    let count = if line.trim_start_matches('-').starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    for _ in 0..count {
        rest = rest.trim_start();
        rest = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())).1;
    }
    let (schedule, command) = line.split_at(line.len() - rest.len());
    match command.trim() {
        "" => Line::Wrong,
        command => Line::Entry { schedule, command },
    }
}

/// `NAME=value`, `NAME = value`, `"NAME" = 'value'`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = match line.chars().next()? {
        mark @ ('"' | '\'') => line.get(1..)?.split_once(mark)?,
        _ => line.split_at(line.find(|c: char| c.is_whitespace() || c == '=')?),
    };
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let inside = ['"', '\''].iter().find_map(|mark| value.strip_prefix(*mark)?.strip_suffix(*mark));
    let is_word = !name.is_empty() && !name.contains(char::is_whitespace);
    Some((name, inside.unwrap_or(value))).filter(|_| is_word)
}

/// A command and the lines of its standard input: what stands before the first `%`, and behind it; `\%` is a `%`.
#[must_use]
pub fn split_input(line: &str) -> (String, Option<Vec<String>>) {
    let mut parts = vec![String::new()];
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&'%').is_some() => {
                parts.iter_mut().last().into_iter().for_each(|p| p.push('%'))
            }
            '%' => parts.push(String::new()),
            other => parts.iter_mut().last().into_iter().for_each(|part| part.push(other)),
        }
    }
    let mut parts = parts.into_iter();
    let command = parts.next().unwrap_or_default();
    let mut input: Vec<String> = parts.collect();
    // The last line of the input ends by itself, whether or not a `%` stands there.
    if input.last().is_some_and(String::is_empty) {
        input.pop();
    }
    (command, Some(input).filter(|input| !input.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::{Line, parse, split_input};

    #[test]
    fn lines_are_told_apart() {
        let assignment = |name, value| Line::Assignment { name, value };
        let entry = |schedule, command| Line::Entry { schedule, command };
        for (line, is) in [
            ("", Line::Empty),
            ("  # nightly ", Line::Comment("nightly")),
            ("A=b", assignment("A", "b")),
            (" A = \"b c\" ", assignment("A", "b c")),
            ("'A'='b'", assignment("A", "b")),
            ("A=", assignment("A", "")),
            ("MAILTO=\"\"", assignment("MAILTO", "")),
            ("0 3 * * * A=b c", entry("0 3 * * *", "A=b c")),
            ("0\t3 * *  *   a  b", entry("0\t3 * *  *", "a  b")),
            ("@daily x", entry("@daily", "x")),
            ("-*/5 * * * * x", entry("-*/5 * * * *", "x")),
            ("@daily", Line::Wrong),
            ("0 3 * * *", Line::Wrong),
            ("hello", Line::Wrong),
        ] {
            assert_eq!(parse(line), is, "{line}");
        }
    }

    #[test]
    fn a_percent_sign_ends_a_command() {
        let input = |lines: &[&str]| Some(lines.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (line, command, lines) in [
            ("a b", "a b", None),
            ("date +\\%F", "date +%F", None),
            ("mail x%Hello%%World", "mail x", input(&["Hello", "", "World"])),
            ("cat%a\\%b", "cat", input(&["a%b"])),
            ("cat%", "cat", None),
            ("cat%a%", "cat", input(&["a"])),
        ] {
            assert_eq!(split_input(line), (command.to_owned(), lines), "{line}");
        }
    }
}
