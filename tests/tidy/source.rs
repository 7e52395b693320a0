//! A source file as tidy reads it: code with comments and texts blanked out, and tests cut off.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of Rust.
pub struct Source {
    /// Relative to the repository, like `src/engine/plan.rs`.
    pub path: String,
    pub text: String,
    /// The same lines without comments, without what stands in quotes, and without `#[cfg(test)]` items.
    pub code: String,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the repository, by name.
pub fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    gather(&root().join(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn gather(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            gather(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("a source file is UTF-8");
    let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let code = without_tests(&without_words(&text));
    Source { path, text, code }
}

/// Blanks out comments, strings and characters; the lines stay where they are.
pub fn without_words(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < bytes.len() {
        let end = word_end(bytes, i);
        if end == i {
            code.push(if bytes[i].is_ascii() { char::from(bytes[i]) } else { '?' });
            i += 1;
        } else {
            // A text stays visible as an empty one, so that `concat!(..)` and the like still parse.
            code.push_str(if bytes[i] == b'/' { "" } else { "\"\"" });
            code.extend(bytes[i..end].iter().filter(|byte| **byte == b'\n').map(|_| '\n'));
            i = end;
        }
    }
    code
}

/// Where the comment or text that begins at `i` ends; `i` when none does.
fn word_end(bytes: &[u8], i: usize) -> usize {
    let rest = &bytes[i..];
    let is_named = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
    if rest.starts_with(b"//") {
        return rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| i + n);
    }
    if rest.starts_with(b"/*") {
        return find(rest, b"*/").map_or(bytes.len(), |n| i + n + 2);
    }
    let prefix =
        if is_named { 0 } else { rest.iter().take(2).take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count() };
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let is_raw = rest[..prefix].contains(&b'r') && rest.get(prefix + hashes) == Some(&b'"');
    if is_raw {
        let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
        let from = prefix + hashes + 1;
        return find(&rest[from..], &close).map_or(bytes.len(), |n| i + from + n + close.len());
    }
    match rest.get(prefix) {
        Some(b'"') => quoted_end(bytes, i + prefix + 1, b'"'),
        Some(b'\'') if is_character(&rest[prefix + 1..]) => quoted_end(bytes, i + prefix + 1, b'\''),
        _ => i,
    }
}

/// A character and no lifetime.
fn is_character(rest: &[u8]) -> bool {
    let width = rest.first().map_or(1, |byte| match byte {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    rest.first() == Some(&b'\\') || rest.get(width) == Some(&b'\'')
}

fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut i = from;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Blanks out items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = item.find([';', '{']).map_or(item.len(), |open| match item.as_bytes()[open] {
            b'{' => open + closing(&item[open..]),
            _ => open + 1,
        });
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// The length of the block that `code` begins with.
pub fn closing(code: &str) -> usize {
    let mut depth = 0_usize;
    for (i, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return i + 1;
        }
    }
    code.len()
}

/// Lines with anything on them.
pub fn lines_of(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

impl Source {
    /// The folder below `src`, or the name of a file that lies in it directly: `engine`, `home`.
    pub fn area(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// The modules this file is in, from the root of the crate.
    pub fn modules(&self) -> Vec<&str> {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        below.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// Each function with its name and how many lines of code it has.
    pub fn functions(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            let is_word = self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &self.code[at + 3..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(open) = rest.find(['{', ';']) else { continue };
            if is_word || name.is_empty() || rest.as_bytes()[open] == b';' {
                continue;
            }
            found.push((name, lines_of(&rest[..open + closing(&rest[open..])])));
        }
        found
    }
}
