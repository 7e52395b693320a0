//! Lists what instances are made for: the files of a pattern, or the lines of a command.
//!
//! In: an absolute pattern, or output. Out: items, each by the cause that names its instance. Not here: running
//! commands, and how long an item must be gone.
//! The surprise: a name depends on the pattern and the one item alone, never on what lies beside it. Were it otherwise,
//! a new file could rename an instance that runs, and for a moment there would be two for one item.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use sha2::{Digest, Sha256};

use crate::engine::Cause;
use crate::engine::expand::Item;
use crate::engine::name::is_name;

/// The most items of one object.
pub const ITEMS_MAX: usize = 1000;

/// The most entries of folders that one listing looks at.
const ENTRIES_MAX: usize = 100_000;

/// How deep `**` goes.
const DEPTH_MAX: usize = 32;

/// The longest part of a name that is taken from its item, so that a hash fits behind it.
const STEM_MAX: usize = 57;

/// What a shell does.
const LIKE_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Items by the cause they give.
pub type Listed = BTreeMap<Cause, Item>;

/// The files of a pattern.
///
/// # Errors
/// In words, when they cannot all be told: then nothing is known of any.
pub fn of_glob(pattern: &str) -> Result<Listed, String> {
    let parts = parts(pattern)?;
    let mut walk = Walk { found: Vec::new(), looked: 0, pattern };
    walk.go(Path::new("/"), &parts, At { is_base: true, depth: 0 })?;
    // Two `**` find a file twice.
    walk.found.sort();
    walk.found.dedup();
    let is_flat = parts.iter().rev().skip(1).all(|part| matches!(part, Part::Literal(_)));
    let last = pattern.rsplit('/').next().unwrap_or_default();
    let extension = last.rsplit_once('.').map(|(_, end)| end).filter(|end| !is_wild(end));
    let items = walk.found.iter().map(|path| {
        let (Some(text), Some(stem)) = (path.to_str(), path.file_stem().and_then(|stem| stem.to_str())) else {
            return Err(format!("the name of {} is no text", path.display()));
        };
        let its_extension = path.extension().and_then(|end| end.to_str());
        let is_only = is_flat && (its_extension.is_none() || its_extension == extension);
        Ok((name(text, stem, is_only), Item { text: text.into(), stem: stem.into() }))
    });
    gather(items)
}

/// The lines of a command; blank ones are left out.
///
/// # Errors
/// In words, when they are no items.
pub fn of_lines(output: &[u8]) -> Result<Listed, String> {
    let text = std::str::from_utf8(output).map_err(|_| "prints what is no text".to_owned())?;
    if text.contains('\0') {
        return Err("prints a NUL byte, which no argument can hold".to_owned());
    }
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    gather(lines.into_iter().map(|line| Ok((name(line, line, true), Item { text: line.into(), stem: line.into() }))))
}

fn gather(items: impl Iterator<Item = Result<(Cause, Item), String>>) -> Result<Listed, String> {
    let mut listed = Listed::new();
    for item in items {
        let (cause, item) = item?;
        if let Some(other) = listed.insert(cause.clone(), item) {
            let item = listed.get(&cause).map_or("", |item| &item.text);
            return Err(format!("two items would both be called {cause}: {} and {item}", other.text));
        }
        if listed.len() > ITEMS_MAX {
            return Err(format!("there are more than {ITEMS_MAX} items; write a narrower forEach"));
        }
    }
    Ok(listed)
}

/// The cause of an item. Its stem as it is where that is a name and can be nobody else's.
fn name(text: &str, stem: &str, is_only: bool) -> Cause {
    // A number alone would read as the slot of a replica.
    let is_plain = is_only && is_name(stem) && !stem.bytes().all(|b| b.is_ascii_digit());
    if is_plain {
        return Cause::Named(stem.into());
    }
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let safe: String = stem.chars().map(allowed).collect();
    let safe = safe.trim_matches(|c| c == '-' || c == '_');
    let safe = safe.get(..STEM_MAX).unwrap_or(safe);
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    Cause::Named(format!("{}-{hash}", if safe.is_empty() { "item" } else { safe }).into())
}

/// One step of a pattern.
enum Part {
    /// This very name.
    Literal(String),
    /// Every name like this.
    Like(Pattern),
    /// Any number of folders: `**`.
    Deep,
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn parts(pattern: &str) -> Result<Vec<Part>, String> {
    if !pattern.starts_with('/') {
        return Err(format!("the pattern {pattern} is not absolute"));
    }
    let part = |text: &str| match text {
        "**" => Ok(Part::Deep),
        _ if is_wild(text) => {
            Pattern::new(text).map(Part::Like).map_err(|error| format!("the pattern {pattern} is none: {error}"))
        }
        _ => Ok(Part::Literal(text.to_owned())),
    };
    let mut parts: Vec<Part> =
        pattern.split('/').filter(|text| !matches!(*text, "" | ".")).map(part).collect::<Result<_, _>>()?;
    if matches!(parts.last(), Some(Part::Deep)) {
        parts.push(part("*")?);
    }
    Ok(parts)
}

/// Where a folder is heard of that matters to a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The nearest folder above every match that is there.
    pub folder: PathBuf,
    /// Matches may lie deeper than in the folder itself.
    pub is_deep: bool,
}

/// The folder below which everything that fits a pattern lies, or would lie.
#[must_use]
pub fn base(pattern: &str) -> Base {
    let texts: Vec<&str> = pattern.split('/').filter(|text| !text.is_empty()).collect();
    let plain = texts.iter().take_while(|text| !is_wild(text)).count().min(texts.len().saturating_sub(1));
    let folder: PathBuf = Path::new("/").join(texts.iter().take(plain).collect::<PathBuf>());
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    Base { is_deep: there == folder && texts.len() > plain + 1, folder: there.to_owned() }
}

struct Walk<'a> {
    found: Vec<PathBuf>,
    looked: usize,
    pattern: &'a str,
}

/// How far a walk is.
#[derive(Clone, Copy)]
struct At {
    /// Nothing but plain names so far: what they name has to be there.
    is_base: bool,
    depth: usize,
}

impl Walk<'_> {
    fn go(&mut self, folder: &Path, parts: &[Part], at: At) -> Result<(), String> {
        match parts.split_first() {
            None => self.find(folder.to_owned()),
            Some((Part::Literal(name), rest)) => self.plain(&folder.join(name), rest, at),
            Some((Part::Like(pattern), rest)) => {
                let below = At { is_base: false, ..at };
                for entry in self.entries(folder, at)? {
                    // One that is no text and fits all the same is an error later on, and not lost here.
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    if !pattern.matches_with(&name, LIKE_A_SHELL) {
                        continue;
                    }
                    match rest {
                        [] => self.find(entry.path())?,
                        _ if is_folder(&entry.path())? => self.go(&entry.path(), rest, below)?,
                        _ => {}
                    }
                }
                Ok(())
            }
            Some((Part::Deep, rest)) => {
                if at.depth >= DEPTH_MAX {
                    return Err(format!(
                        "{} lies too deep for {}; write a narrower pattern",
                        folder.display(),
                        self.pattern
                    ));
                }
                self.go(folder, rest, at)?;
                let below = At { is_base: false, depth: at.depth + 1 };
                for entry in self.entries(folder, at)? {
                    let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                    // A link may lead back up, so none is followed.
                    if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        self.go(&entry.path(), parts, below)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn plain(&mut self, path: &Path, rest: &[Part], at: At) -> Result<(), String> {
        if rest.is_empty() {
            return match fs::symlink_metadata(path) {
                Ok(_) => self.find(path.to_owned()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(unreadable(path, &error)),
            };
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.go(path, rest, at),
            Ok(_) if at.is_base => Err(unreadable(path, &ErrorKind::NotADirectory.into())),
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) && !at.is_base => Ok(()),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    fn find(&mut self, path: PathBuf) -> Result<(), String> {
        self.found.push(path);
        let is_full = self.found.len() > ITEMS_MAX * 2;
        if is_full { Err(format!("there are more than {ITEMS_MAX} items; write a narrower forEach")) } else { Ok(()) }
    }

    /// What is in a folder. One that went away while it was walked to has nothing in it, but the base must be there.
    fn entries(&mut self, folder: &Path, at: At) -> Result<Vec<DirEntry>, String> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>);
        let entries = match entries {
            Err(error) if is_missing(&error) && !at.is_base => return Ok(Vec::new()),
            entries => entries.map_err(|error| unreadable(folder, &error))?,
        };
        self.looked += entries.len();
        if self.looked > ENTRIES_MAX {
            return Err(format!(
                "more than {ENTRIES_MAX} files lie where {} looks; write a narrower pattern",
                self.pattern
            ));
        }
        Ok(entries)
    }
}

fn is_folder(path: &Path) -> Result<bool, String> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("its items cannot be told: {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> Result<Vec<String>, String> {
        of_glob(pattern).map(|listed| listed.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn a_pattern_lists_as_a_shell_does_and_names_what_can_be_named() {
        let folder = tempfile::tempdir().expect("there is room");
        let root = folder.path().canonicalize().expect("its true path");
        for file in
            ["a.jsonl", "b c.jsonl", ".hidden.jsonl", "7.jsonl", "x.txt", "deep/er/a.jsonl", "deep/.git/z.jsonl"]
        {
            let path = root.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(path, "").expect("it can be written");
        }
        let root = root.display();
        let hash = |file: &str| match name(&format!("{root}/{file}"), "", false) {
            Cause::Named(text) => text.trim_start_matches("item-").to_owned(),
            Cause::Slot(slot) => slot.to_string(),
        };
        let of = |stem: &str, file: &str| format!("{stem}-{}", hash(file));
        let check = |pattern: &str, mut expected: Vec<String>| {
            expected.sort();
            assert_eq!(names(&format!("{root}/{pattern}")), Ok(expected), "{pattern}");
        };
        check("*.jsonl", vec!["a".into(), of("b-c", "b c.jsonl"), of("7", "7.jsonl")]);
        check("./a.jsonl", vec!["a".into()]);
        check("none.jsonl", Vec::new());
        check("?.txt", vec!["x".into()]);
        check(".*.jsonl", vec![of("hidden", ".hidden.jsonl")]);
        check("*/er/a.jsonl", vec![of("a", "deep/er/a.jsonl")]);
        check("deep/**/*.jsonl", vec![of("a", "deep/er/a.jsonl")]);
        check("x*", vec![of("x", "x.txt")]);
        check("[ab]*.jsonl", vec!["a".into(), of("b-c", "b c.jsonl")]);
        check("*/nothing/*", Vec::new());
        assert!(names(&format!("{root}/gone/*.jsonl")).is_err(), "a base that is not there is no empty one");
        assert!(names(&format!("{root}/a.jsonl/*")).is_err(), "a file is no base");
        assert!(names(&format!("{root}/[a")).is_err(), "a broken pattern lists nothing");
    }

    #[test]
    fn too_many_items_are_none() {
        let folder = tempfile::tempdir().expect("there is room");
        for file in 0..=ITEMS_MAX {
            fs::write(folder.path().join(format!("f{file}.j")), "").expect("it can be written");
        }
        let said = names(&format!("{}/*.j", folder.path().display()));
        assert!(said.is_err_and(|why| why.contains("more than 1000 items")), "1001 items");
    }

    #[test]
    fn lines_are_items_once_each_and_blank_ones_are_none() {
        let listed = of_lines(b"a\n\n  b/c \na\r\n\xc3\xa9\n").expect("it is text");
        let texts: Vec<&str> = listed.values().map(|item| &*item.text).collect();
        assert_eq!((texts.len(), listed.contains_key(&Cause::Named("a".into()))), (3, true), "{listed:?}");
        assert!(texts.contains(&"b/c") && texts.contains(&"é"));
        assert!(of_lines(b"\xff\n").is_err() && of_lines(b"a\0b\n").is_err());
    }

    #[test]
    fn a_base_is_the_nearest_folder_that_is_there() {
        let folder = tempfile::tempdir().expect("there is room");
        let root = folder.path();
        let at = |pattern: &str| base(&format!("{}/{pattern}", root.display()));
        let here = |is_deep| Base { folder: root.to_owned(), is_deep };
        assert_eq!(
            [at("*.x"), at("*/a/b"), at("gone/away/*.x"), at("a.x")],
            [here(false), here(true), here(false), here(false)]
        );
    }
}
