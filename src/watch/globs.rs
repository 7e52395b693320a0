//! Which files a rule is about, and which folders have to be listed for that.
//!
//! In: the patterns of a rule. Out: bases to begin at, where to descend, what counts. Not here: listing.
//! The surprise: a pattern is walked name by name, as folders are, so a folder in which nothing could match is never
//! opened.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::engine::queue::WatchRule;

/// Folders that never count.
const NEVER: &[&str] = &[".git", "node_modules"];
/// The most names of a pattern after its fixed part: one bit each.
const NAMES_MAX: usize = 120;

const PATHS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// How far the patterns of a base have got on the way to a folder; one bit per name that may come next.
pub type Way = Vec<u128>;

/// The patterns of a rule.
#[derive(Debug)]
pub struct Globs {
    /// Where listing begins.
    pub bases: Vec<Base>,
    ignore: Vec<Ignored>,
    extensions: BTreeSet<String>,
    never: PathBuf,
}

/// A folder at which listing begins, with what is looked for below it.
#[derive(Debug)]
pub struct Base {
    /// The folder; it need not exist.
    pub path: PathBuf,
    patterns: Vec<Vec<Name>>,
}

#[derive(Debug)]
enum Name {
    Any,
    Like(Pattern),
}

#[derive(Debug)]
enum Ignored {
    Name(Pattern),
    Path(Pattern),
    Below(Pattern),
}

impl Globs {
    /// The patterns of a rule; nothing in the folder `never` counts.
    #[must_use]
    pub fn new(rule: &WatchRule, never: &Path) -> Globs {
        let mut bases: Vec<Base> = Vec::new();
        for (path, names) in rule.paths.iter().flat_map(|text| parts(text)) {
            match bases.iter_mut().find(|base| base.path == path) {
                Some(base) => base.patterns.push(names),
                None => bases.push(Base { path, patterns: vec![names] }),
            }
        }
        let like = |text: &str| Pattern::new(text).ok();
        let ignored = |text: &str| {
            let text = text.strip_suffix('/').unwrap_or(text);
            let texts = match text.strip_suffix("/**") {
                Some(folder) => vec![folder, text],
                None => vec![text],
            };
            let one = |text: &str| match (text.starts_with('/'), text.contains('/')) {
                (true, _) => like(text).map(Ignored::Path),
                (false, true) => like(text).map(Ignored::Below),
                (false, false) => like(text).map(Ignored::Name),
            };
            // A plain folder in front of `/**` is meant where it stands, not anywhere.
            let of = |part: &str| if part.contains('/') { one(part) } else { like(part).map(Ignored::Below) };
            if texts.len() == 1 {
                texts.into_iter().filter_map(one).collect()
            } else {
                texts.into_iter().filter_map(of).collect::<Vec<_>>()
            }
        };
        Globs {
            bases,
            ignore: rule.ignore.iter().flat_map(|text| ignored(text)).collect(),
            extensions: rule.extensions.iter().map(ToString::to_string).collect(),
            never: never.to_owned(),
        }
    }

    /// True when something below a folder may count. `below`: its path from its base on.
    #[must_use]
    pub fn is_entered(&self, base: usize, way: &[u128], path: &Path, below: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        if NEVER.iter().any(|never| name == *never) || path == self.never || self.is_ignored(name, path, below) {
            return false;
        }
        let patterns = self.bases.get(base).map(|base| base.patterns.as_slice()).unwrap_or_default();
        patterns.iter().zip(way).any(|(names, at)| (0..names.len()).any(|bit| at & (1 << bit) != 0))
    }

    /// True when a file counts. `way` leads to its folder.
    #[must_use]
    pub fn is_counted(&self, base: usize, way: &[u128], path: &Path, below: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        if !self.extensions.is_empty() {
            let extension = path.extension().and_then(OsStr::to_str);
            if extension.is_none_or(|extension| !self.extensions.contains(extension)) {
                return false;
            }
        }
        let Some(base) = self.bases.get(base) else { return false };
        let is_end = |(names, at): (&Vec<Name>, u128)| at & (1 << names.len()) != 0;
        let after = base.after(way, name);
        base.patterns.iter().zip(after).any(is_end) && !self.is_ignored(name, path, below)
    }

    fn is_ignored(&self, name: &OsStr, path: &Path, below: &Path) -> bool {
        let name = name.to_string_lossy();
        self.ignore.iter().any(|ignored| match ignored {
            Ignored::Name(pattern) => pattern.matches(&name),
            Ignored::Path(pattern) => pattern.matches_path_with(path, PATHS),
            Ignored::Below(pattern) => pattern.matches_path_with(below, PATHS),
        })
    }
}

impl Base {
    /// Where the patterns stand at the base itself.
    #[must_use]
    pub fn start(&self) -> Way {
        self.patterns.iter().map(|names| closed(names, 1)).collect()
    }

    /// Where they stand one name further.
    #[must_use]
    pub fn after(&self, way: &[u128], name: &OsStr) -> Way {
        let name = name.to_string_lossy();
        let step = |(names, at): (&Vec<Name>, &u128)| {
            let mut next = 0;
            for (bit, pattern) in names.iter().enumerate().filter(|(bit, _)| at & (1 << bit) != 0) {
                match pattern {
                    Name::Any => next |= 1 << bit,
                    Name::Like(pattern) if pattern.matches(&name) => next |= 1 << (bit + 1),
                    Name::Like(_) => {}
                }
            }
            closed(names, next)
        };
        self.patterns.iter().zip(way).map(step).collect()
    }
}

/// `**` may stand for no folder at all.
fn closed(names: &[Name], mut at: u128) -> u128 {
    for (bit, name) in names.iter().enumerate() {
        if at & (1 << bit) != 0 && matches!(name, Name::Any) {
            at |= 1 << (bit + 1);
        }
    }
    at
}

/// The fixed part of a pattern, and what follows it. A pattern without wildcards stands for a file, and for all that is in
/// a folder, which is a base of its own: the way to a base may lead over links.
fn parts(text: &str) -> Vec<(PathBuf, Vec<Name>)> {
    let steps: Vec<&str> = text.split('/').filter(|step| !step.is_empty()).collect();
    let path = |count: usize| steps.iter().take(count).fold(PathBuf::from("/"), |path, step| path.join(step));
    let name = |step: &&str| if **step == *"**" { Some(Name::Any) } else { Pattern::new(step).ok().map(Name::Like) };
    let names = |count: usize| steps.iter().skip(count).take(NAMES_MAX).filter_map(name).collect();
    match steps.iter().position(|step| step.contains(['*', '?', '['])) {
        Some(fixed) => vec![(path(fixed), names(fixed))],
        None => {
            let above = steps.len().saturating_sub(1);
            vec![(path(above), names(above)), (path(steps.len()), vec![Name::Any])]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn globs(paths: &[&str], ignore: &[&str], extensions: &[&str]) -> Globs {
        let texts = |all: &[&str]| all.iter().map(|text| Arc::from(*text)).collect();
        let changes = crate::engine::queue::Changes { is_create: true, is_modify: true, is_delete: true };
        let settle = std::time::Duration::ZERO;
        let (paths, ignore, extensions) = (texts(paths), texts(ignore), texts(extensions));
        let rule = WatchRule { paths, ignore, extensions, changes, settle, is_gitignore_kept: true };
        Globs::new(&rule, Path::new("/m/home"))
    }

    /// Whether a file is found by descending from a base.
    fn finds(globs: &Globs, file: &str) -> bool {
        globs.bases.iter().enumerate().any(|(number, base)| {
            let Ok(below) = Path::new(file).strip_prefix(&base.path) else { return false };
            let (mut way, mut path, mut done) = (base.start(), base.path.clone(), PathBuf::new());
            let names: Vec<&OsStr> = below.iter().collect();
            let Some((last, folders)) = names.split_last() else { return false };
            for name in folders {
                way = base.after(&way, name);
                path.push(name);
                done.push(name);
                if !globs.is_entered(number, &way, &path, &done) {
                    return false;
                }
            }
            globs.is_counted(number, &way, &path.join(last), &done.join(last))
        })
    }

    #[test]
    fn patterns_count_what_they_say() {
        for (paths, ignore, extensions, file, expected) in [
            (&["/m/src/**/*.rs"][..], &[][..], &[][..], "/m/src/a.rs", true),
            (&["/m/src/**/*.rs"], &[], &[], "/m/src/a/b/c.rs", true),
            (&["/m/src/**/*.rs"], &[], &[], "/m/src/a/b/c.txt", false),
            (&["/m/src/**/*.rs"], &[], &[], "/m/other/c.rs", false),
            (&["/m/src/*.rs"], &[], &[], "/m/src/a/b.rs", false),
            (&["/m/src"], &[], &[], "/m/src", true),
            (&["/m/src"], &[], &[], "/m/src/a/b", true),
            (&["/m/src"], &[], &[], "/m/srcs", false),
            (&["/m/**"], &[], &[], "/m/.git/config", false),
            (&["/m/**"], &[], &[], "/m/a/node_modules/x/y", false),
            (&["/m/**"], &[], &[], "/m/home/store.db", false),
            (&["/m/**"], &["*.tmp"], &[], "/m/a/b.tmp", false),
            (&["/m/**"], &["drafts"], &[], "/m/a/drafts/b", false),
            (&["/m/**"], &["working/**"], &[], "/m/working/b/c", false),
            (&["/m/**"], &["working/**"], &[], "/m/a/working/b", true),
            (&["/m/**"], &["a/*.log"], &[], "/m/a/x.log", false),
            (&["/m/**"], &["/m/a/**"], &[], "/m/a/x", false),
            (&["/m/**"], &[], &["ts", "js"], "/m/a/x.ts", true),
            (&["/m/**"], &[], &["ts", "js"], "/m/a/x.tsx", false),
            (&["/m/**"], &[], &["ts", "js"], "/m/a/ts", false),
            (&["/m/*/x/**/y?"], &[], &[], "/m/a/x/b/c/y1", true),
            (&["/m/*/x/**/y?"], &[], &[], "/m/a/z/b/c/y1", false),
        ] {
            assert_eq!(finds(&globs(paths, ignore, extensions), file), expected, "{paths:?} {ignore:?} {file}");
        }
    }
}
