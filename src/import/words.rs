//! Values as other tools write them: spans of time, sizes, command lines, and variables in text.
//!
//! In: text. Out: values, or nothing where the text means something else. Not here: which key holds what.
//! The surprise: `${NAME}` is left to whoever expands it later where that is possible, because what it stands for now may
//! be a secret, and is not what it stands for tomorrow.

use std::time::Duration;

/// The units of time, with their milliseconds.
const SPANS: &[(&str, f64)] = &[
    ("us", 0.001),
    ("usec", 0.001),
    ("ms", 1.0),
    ("msec", 1.0),
    ("s", 1000.0),
    ("sec", 1000.0),
    ("second", 1000.0),
    ("seconds", 1000.0),
    ("m", 60_000.0),
    ("min", 60_000.0),
    ("minute", 60_000.0),
    ("minutes", 60_000.0),
    ("h", 3_600_000.0),
    ("hr", 3_600_000.0),
    ("hour", 3_600_000.0),
    ("hours", 3_600_000.0),
    ("d", 86_400_000.0),
    ("day", 86_400_000.0),
    ("days", 86_400_000.0),
    ("w", 604_800_000.0),
    ("week", 604_800_000.0),
    ("weeks", 604_800_000.0),
];

/// `on_ready` as part of a name.
#[must_use]
pub fn kebab(text: &str) -> String {
    text.replace('_', "-")
}

/// `90`, `1m30s`, `1min 30s`, `1.5h`; a number alone counts `bare`.
#[must_use]
pub fn span(text: &str, bare: &str) -> Option<Duration> {
    let mut millis = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let unit = Some(tail.get(..letters)?).filter(|unit| !unit.is_empty()).unwrap_or(bare);
        let (_, each) = SPANS.iter().find(|(name, _)| *name == unit)?;
        millis += number * each;
        rest = tail.get(letters..)?.trim_start();
    }
    Duration::try_from_secs_f64(millis / 1000.0).ok().map(micros)
}

/// Without what floating point adds behind the microseconds.
fn micros(span: Duration) -> Duration {
    Duration::from_micros(u64::try_from((span.as_nanos() + 500) / 1000).unwrap_or(u64::MAX))
}

/// `512m`, `1g`, `50MB`, `1.5GiB`, `1024`: powers of 1024, as all of these tools count.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit != "i" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let bytes = (number * 1024f64.powi(power)).round();
    // Below 2^50, so the cast is exact enough and never saturates.
    (0.0..=999_999_999_999_999.0).contains(&bytes).then_some(bytes as u64)
}

/// A piece of text with variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// `$NAME`, `${NAME}`, or `${NAME:-default}`.
    Variable { name: String, default: Option<String> },
}

/// Takes text with `${NAME}`, `$NAME`, `${NAME:-default}` and `$$` apart; `None` for forms that are none of these.
#[must_use]
pub fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut found = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let (inside, after) = match rest.strip_prefix('{') {
            Some(open) => open.split_once('}')?,
            None => rest.split_at(name_length(rest)),
        };
        if inside.is_empty() {
            plain.push('$');
            continue;
        }
        let (name, tail) = inside.split_at(name_length(inside));
        let default = match tail {
            "" => None,
            _ => Some(tail.strip_prefix(":-").or_else(|| tail.strip_prefix('-'))?.to_owned()),
        };
        if name.is_empty() || default.as_ref().is_some_and(|default| default.contains('$')) {
            return None;
        }
        if !plain.is_empty() {
            found.push(Piece::Text(std::mem::take(&mut plain)));
        }
        found.push(Piece::Variable { name: name.to_owned(), default });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        found.push(Piece::Text(plain));
    }
    Some(found)
}

/// Takes a command line with variables in it apart into words; `None` when a quote does not end.
#[must_use]
pub fn split_pieces(pieces: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    // Variables go through the splitter as single characters that stand in no text.
    let mark = |n: usize| u32::try_from(n).ok().and_then(|n| char::from_u32(0xf_0000 + n.min(0xfff0)));
    let mut line = String::new();
    for (n, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Variable { .. } => line.push(mark(n)?),
        }
    }
    let of_word = |word: String| {
        let mut found = Vec::new();
        let mut plain = String::new();
        for character in word.chars() {
            let n = u32::from(character).checked_sub(0xf_0000).and_then(|n| usize::try_from(n).ok());
            match n.and_then(|n| pieces.get(n)) {
                Some(variable @ Piece::Variable { .. }) => {
                    if !plain.is_empty() {
                        found.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    found.push(variable.clone());
                }
                _ => plain.push(character),
            }
        }
        if !plain.is_empty() || found.is_empty() {
            found.push(Piece::Text(plain));
        }
        found
    };
    Some(split(&line)?.into_iter().map(of_word).collect())
}

/// One word for a shell, its variables still in it.
#[must_use]
pub fn shell_word(pieces: &[Piece]) -> String {
    if let [Piece::Text(text)] = pieces {
        return quoted(text);
    }
    let inside = |piece: &Piece| match piece {
        Piece::Variable { name, default: None } => format!("${{{name}}}"),
        Piece::Variable { name, default: Some(default) } => format!("${{{name}:-{}}}", escaped(default)),
        Piece::Text(text) => escaped(text),
    };
    format!("\"{}\"", pieces.iter().map(inside).collect::<String>())
}

/// Text as it stands inside double quotes of a shell.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "\"\\$`".contains(c)).chain([c])).collect()
}

/// The text when no variable is in it.
#[must_use]
pub fn literal(pieces: &[Piece]) -> Option<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Variable { .. } => None,
    };
    pieces.iter().map(text).collect()
}

/// The names of its variables.
pub fn variables(pieces: &[Piece]) -> impl Iterator<Item = &str> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Variable { name, .. } => Some(&**name),
        Piece::Text(_) => None,
    })
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// The words of a command line as a shell splits them; `None` when a quote does not end.
#[must_use]
pub fn split(line: &str) -> Option<Vec<String>> {
    shlex::split(line)
}

/// Words as a line that a shell splits into them again.
#[must_use]
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// One word, in quotes where a shell needs them.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(is_safe) && !word.starts_with('=') {
        return word.to_owned();
    }
    // Only a NUL cannot be quoted, and no text here holds one.
    shlex::try_quote(word).map_or_else(|_| String::new(), std::borrow::Cow::into_owned)
}

/// True when a text may be the name of a variable here.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    !name.is_empty() && name_length(name) == name.len() && !name.starts_with("SETPOINT_")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Piece, join, pieces, size, span, split};

    #[test]
    fn spans_and_sizes_are_read_as_their_tools_do() {
        for (text, millis) in [
            ("90", Some(90_000)),
            ("1m30s", Some(90_000)),
            ("1min 30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("100ms", Some(100)),
            ("0", Some(0)),
            ("", None),
            ("soon", None),
            ("1 fortnight", None),
            ("99999999999999999999999999d", None),
        ] {
            assert_eq!(span(text, "s"), millis.map(Duration::from_millis), "{text}");
        }
        for (text, bytes) in [
            ("512m", Some(512 << 20)),
            ("50MB", Some(50 << 20)),
            ("1.5GiB", Some(1536 << 20)),
            ("1024", Some(1024)),
            ("10%", None),
            ("infinity", None),
            ("", None),
            ("9999999t", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn variables_are_found_in_text() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let variable = |name: &str, default: Option<&str>| Piece::Variable {
            name: name.to_owned(),
            default: default.map(str::to_owned),
        };
        for (from, into) in [
            ("plain", Some(vec![text("plain")])),
            ("$$HOME", Some(vec![text("$HOME")])),
            ("a$A-b", Some(vec![text("a"), variable("A", None), text("-b")])),
            ("${A:-x y}${B-}", Some(vec![variable("A", Some("x y")), variable("B", Some(""))])),
            ("5$ and $", Some(vec![text("5$ and $")])),
            ("${A:?no}", None),
            ("${A", None),
            ("${A:-${B}}", None),
        ] {
            assert_eq!(pieces(from), into, "{from}");
        }
    }

    #[test]
    fn a_joined_line_splits_into_the_same_words() {
        let words: Vec<String> =
            ["/bin/a", "", "a b", "it's", "\"", "$HOME", "~", "#", "=x", "a\nb", "{}", "é"].map(String::from).into();
        assert_eq!(split(&join(&words)), Some(words));
    }
}
