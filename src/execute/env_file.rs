//! Reads a file of `NAME=value` lines.
//!
//! In: the bytes of an `.env` file. Out: its variables in order, or the line that is wrong. Not here: which files.
//! The surprise: nothing is expanded, and an error never repeats a value, since this is where people keep secrets.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// What is wrong with a file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// In words, with the way out.
    pub what: &'static str,
}

/// Reads the variables of a file.
///
/// # Errors
/// The first line that is none.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, OsString)>, BadLine> {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut found = Vec::new();
    let mut line = 1;
    while !rest.is_empty() {
        let whole = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (this, after) = rest.split_at(whole);
        let this = this.trim_ascii();
        if this.is_empty() || this.starts_with(b"#") {
            (rest, line) = (after, line + 1);
            continue;
        }
        let bad = |what| BadLine { line, what };
        let equals = this.iter().position(|byte| *byte == b'=').ok_or(bad("has no `=`; write NAME=value"))?;
        let name = name(this.get(..equals).unwrap_or_default()).map_err(bad)?;
        // From the whole rest, since a value in quotes may go on over lines.
        let start = rest.iter().position(|byte| *byte == b'=').map_or(rest.len(), |at| at + 1);
        let (value, length) = value(rest.get(start..).unwrap_or_default()).map_err(bad)?;
        if value.contains(&0) {
            return Err(bad("contains a NUL byte, which no program can be given; remove it"));
        }
        let (used, after) = rest.split_at((start + length).min(rest.len()));
        line += used.iter().filter(|byte| **byte == b'\n').count();
        rest = after;
        found.push((name, OsString::from_vec(value)));
    }
    Ok(found)
}

fn name(text: &[u8]) -> Result<String, &'static str> {
    let text = text.trim_ascii();
    let name = match text.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_whitespace) => rest.trim_ascii(),
        Some(_) | None => text,
    };
    let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match std::str::from_utf8(name) {
        Ok(name) if is_plain && !name.starts_with(|first: char| first.is_ascii_digit()) && !name.is_empty() => {
            if name.starts_with("SETPOINT_") {
                return Err("sets a variable that setpoint sets itself; names that start with SETPOINT_ are reserved");
            }
            Ok(name.to_owned())
        }
        Ok(_) | Err(_) => {
            Err("has no name of a variable before its `=`: letters, digits and `_`, and no digit at the start")
        }
    }
}

/// The value that `text` begins with, and how much of `text` it takes, the end of its line included.
fn value(text: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
    let blanks = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    match text.get(blanks) {
        Some(quote @ (b'\'' | b'"')) => quoted(text, blanks + 1, *quote),
        Some(_) | None => {
            let line = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
            let whole = text.get(..line).unwrap_or_default();
            // A `#` in the middle of a word is part of it.
            let is_comment = |pair: &[u8]| matches!(pair, [b' ' | b'\t', b'#']);
            let end = if whole.first() == Some(&b'#') { Some(0) } else { whole.windows(2).position(is_comment) };
            let kept = whole.get(..end.unwrap_or(line)).unwrap_or_default();
            Ok((kept.trim_ascii().to_vec(), line + 1))
        }
    }
}

fn quoted(text: &[u8], start: usize, quote: u8) -> Result<(Vec<u8>, usize), &'static str> {
    let mut value = Vec::new();
    let mut at = start;
    loop {
        match (text.get(at), text.get(at + 1)) {
            (None, _) => return Err("begins a quoted value that never ends; close the quote"),
            (Some(byte), _) if *byte == quote => break,
            (Some(b'\\'), Some(next)) if quote == b'"' => {
                match next {
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    b'"' | b'\\' | b'$' | b'`' => value.push(*next),
                    other => value.extend([b'\\', *other]),
                }
                at += 2;
            }
            (Some(byte), _) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    let after = text.get(at + 1..).unwrap_or_default();
    let line = after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len());
    let left = after.get(..line).unwrap_or_default().trim_ascii();
    if left.is_empty() || left.starts_with(b"#") {
        Ok((value, at + 1 + line + 1))
    } else {
        Err("goes on after the closing quote; put all of the value in quotes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_people_write_them() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("# words\n\n  \nA=1", &[("A", "1")]),
            ("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]),
            ("export A=1\n\texport  B = 2 \nexported=3", &[("A", "1"), ("B", "2"), ("exported", "3")]),
            ("A=\nB=  \nC=# none\nD=a#b #c", &[("A", ""), ("B", ""), ("C", ""), ("D", "a#b")]),
            ("A=b=c==\nB=$HOME\\n", &[("A", "b=c=="), ("B", "$HOME\\n")]),
            ("A='a # \\n \"b\" $C' # words", &[("A", "a # \\n \"b\" $C")]),
            (r#"A="a\n\t\"b\" \$C \x \\" "#, &[("A", "a\n\t\"b\" $C \\x \\")]),
            ("A='one\ntwo'\nB=\"x\n\"\nC=3", &[("A", "one\ntwo"), ("B", "x\n"), ("C", "3")]),
            ("A=1\nA=2", &[("A", "1"), ("A", "2")]),
            ("\u{feff}A=\u{e4}", &[("A", "\u{e4}")]),
            ("A=it's\nB=\"\"", &[("A", "it's"), ("B", "")]),
        ];
        for (text, expected) in table {
            let read = parse(text.as_bytes()).unwrap_or_else(|bad| panic!("{text:?}: {bad:?}"));
            let read: Vec<(&str, &str)> =
                read.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
            assert_eq!(&read, expected, "{text:?}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_its_value_is_not() {
        let table = [
            ("A=1\nhunter2\n", 2, "has no `=`"),
            ("A='1\n2'\n=hunter2", 3, "has no name"),
            ("1A=hunter2", 1, "has no name"),
            ("a b=hunter2", 1, "has no name"),
            ("SETPOINT_HOME=hunter2", 1, "reserved"),
            ("\nA='hunter2\nB=2", 2, "never ends"),
            ("A='hunter2' hunter2", 1, "goes on"),
            ("A=hunter2\0", 1, "NUL"),
            ("A=\"x\\", 1, "never ends"),
        ];
        for (text, line, words) in table {
            let bad = parse(text.as_bytes()).expect_err(text);
            assert!(bad.line == line && bad.what.contains(words), "{text:?}: {bad:?}");
            assert!(!bad.what.contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_a_shell_would_quote_comes_back(value in "[a-z $\"\\\\#=\n]{0,40}") {
            let text = format!("A='{value}'\nB=2\n");
            let read = parse(text.as_bytes()).expect("it is quoted");
            prop_assert_eq!(read, [("A".to_owned(), OsString::from(value)), ("B".to_owned(), OsString::from("2"))]);
        }
    }
}
