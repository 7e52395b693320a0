//! The key that ends an attachment, as it is written and as terminals send it.
//!
//! In: `ctrl-]` and the like, then what was typed. Out: where the key stands in it. Not here: reading a terminal.
//! The surprise: a program can switch a terminal to newer ways of sending keys, so each key has three spellings.

use std::str::FromStr;

/// A key held with Ctrl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: char,
    spellings: [Vec<u8>; 3],
}

impl FromStr for Key {
    type Err = String;

    fn from_str(word: &str) -> Result<Key, String> {
        let lower = word.to_ascii_lowercase();
        let rest = ["ctrl-", "ctrl+", "c-", "^"].iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or("");
        let mut letters = rest.chars();
        match (letters.next(), letters.next()) {
            (Some(name @ ('a'..='z' | '[' | '\\' | ']' | '^' | '_' | '@')), None) => Ok(Key::with_ctrl(name)),
            _ => Err(format!("`{word}` is no key with Ctrl; write ctrl-] or ctrl-a")),
        }
    }
}

impl Key {
    fn with_ctrl(name: char) -> Key {
        let code = u32::from(name);
        let control = u8::try_from(u32::from(name.to_ascii_uppercase()) & 0x1f).unwrap_or(0);
        let spellings = [vec![control], format!("\x1b[{code};5u").into(), format!("\x1b[27;5;{code}~").into()];
        Key { name, spellings }
    }

    /// As a person reads it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("Ctrl-{}", self.name.to_ascii_uppercase())
    }

    /// Where it begins in what was typed.
    #[must_use]
    pub fn find(&self, typed: &[u8]) -> Option<usize> {
        (0..typed.len()).find(|at| {
            let rest = typed.get(*at..).unwrap_or_default();
            self.spellings.iter().any(|spelling| rest.starts_with(spelling))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_key_is_found_however_it_is_written_and_sent() {
        for word in ["ctrl-]", "Ctrl-]", "^]", "C-]"] {
            let key: Key = word.parse().expect("a key");
            assert_eq!(key.name(), "Ctrl-]");
            for (typed, at) in [
                (&b"ab\x1dc"[..], Some(2)),
                (b"\x1b[93;5u", Some(0)),
                (b"x\x1b[27;5;93~", Some(1)),
                (b"]", None),
                (b"\x1b[93u", None),
                (b"", None),
            ] {
                assert_eq!(key.find(typed), at, "{word} {typed:?}");
            }
        }
        assert_eq!("ctrl-a".parse::<Key>().map(|key| key.find(b"\x01")), Ok(Some(0)));
        for word in ["", "a", "ctrl-", "ctrl-ab", "alt-a", "ctrl-\u{e4}", "^^^"] {
            assert!(word.parse::<Key>().is_err(), "{word}");
        }
    }
}
