//! What the style guide demands of the sources and a test can hold.
//!
//! In: the files of this repository. Out: every place that breaks a rule, all at once. Not here: what needs judgement.
//! The surprise: pure folders are held by a list of what they may name, since a list of what is forbidden forgets.

mod tidy {
    pub mod paths;
    pub mod source;
}

use tidy::paths::{macros, paths};
use tidy::source::{Source, lines_of, root, sources};

/// Folders that turn values into values.
const PURE: &[&str] = &["engine", "kind"];
/// All of std that pure folders may name.
const STD_ALLOWED: &[&str] = &[
    "std::borrow::Cow",
    "std::cmp",
    "std::collections::BTreeMap",
    "std::collections::BTreeSet",
    "std::error::Error",
    "std::fmt",
    "std::iter",
    "std::mem",
    "std::num",
    "std::slice",
    "std::str::FromStr",
    "std::sync::Arc",
    "std::time::Duration",
];
/// All other crates that pure folders may name: derive macros, error texts, JSON as data, patterns to check, hashes, and
/// of calendars and zones the values alone.
const CRATES_ALLOWED: &[&str] = &[
    "cel",
    "glob",
    "jiff::Timestamp",
    "jiff::civil",
    "jiff::tz::Offset",
    "jiff::tz::TimeZone",
    "jsonschema",
    "regex",
    "schemars",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];
/// What those types offer that asks the machine: the clock, its zone, and the zones it has.
const NAMES_DENIED: &[&str] =
    &["TimeZone::get", "TimeZone::system", "TimeZone::try_system", "Timestamp::now", ".in_tz", ".intz"];
/// All macros that pure folders may call: none that reads a file or the environment, or prints.
const MACROS_ALLOWED: &[&str] = &[
    "assert",
    "concat",
    "debug_assert",
    "format",
    "json",
    "json_schema",
    "matches",
    "stringify",
    "unreachable",
    "vec",
    "write",
    "writeln",
];
/// What each folder may use of the others.
const EDGES: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("record", &[]),
    ("home", &["engine"]),
    ("kind", &["engine"]),
    ("load", &["engine", "kind"]),
    ("shim", &["record"]),
    ("observe", &["engine", "record", "home"]),
    ("execute", &["engine", "record", "home", "observe"]),
    ("probe", &["engine", "record", "home", "observe", "execute"]),
    ("desired", &["engine", "kind", "load", "home", "record", "observe"]),
    ("import", &["engine", "kind", "load"]),
    ("job", &["engine", "kind", "load", "home", "desired", "observe"]),
    ("request", &["engine", "record", "home", "desired", "observe"]),
    ("store", &["engine"]),
    ("watch", &["engine", "observe"]),
    ("mailbox", &["engine", "store"]),
    ("call", &[]),
    // What verbs read and write without printing stands in `cli`; this is another way to the same.
    ("rpc", ANY),
    ("cli", ANY),
    ("controller", ANY),
    ("lib", ANY),
    ("main", ANY),
];
const ANY: &[&str] = &[
    "call",
    "cli",
    "controller",
    "desired",
    "engine",
    "execute",
    "home",
    "import",
    "job",
    "kind",
    "load",
    "mailbox",
    "observe",
    "probe",
    "record",
    "request",
    "rpc",
    "shim",
    "store",
    "watch",
];
/// Folders in which `unsafe` may stand.
const UNSAFE_ALLOWED: &[&str] = &["shim", "observe", "execute"];
/// Names on the top level of the repository, and those a checkout grows beside them.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".rustfmt.toml",
    "ADR",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "build.rs",
    "examples",
    "manifests",
    "schemas",
    "src",
    "target",
    "tests",
];
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const DOC_PARAGRAPHS_MAX: usize = 4;

fn assert_none(rule: &str, mut found: Vec<String>) {
    found.dedup();
    assert!(found.is_empty(), "{rule}\n  {}\n", found.join("\n  "));
}

/// Every place in `sources` that `look` finds fault with.
fn faults(sources: &[Source], look: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources.iter().flat_map(|source| look(source).into_iter().map(|what| format!("{}: {what}", source.path))).collect()
}

/// Names of crates this one depends on, as they stand in code.
fn dependencies() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or("");
    let names = section.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_"));
    names.filter(|name| !name.starts_with('#')).collect()
}

/// What code names that pure code may not.
fn impurities(code: &str, crates: &[String]) -> Vec<String> {
    let is_allowed = |path: &str| {
        let is_below = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
        match path.split("::").next().unwrap_or(path) {
            "std" | "core" | "alloc" => STD_ALLOWED.iter().any(|allowed| is_below(allowed)),
            other => CRATES_ALLOWED.iter().any(|allowed| is_below(allowed)) || !crates.iter().any(|name| name == other),
        }
    };
    let is_local = |name: &str| code.contains(&format!("macro_rules! {name} "));
    let is_stranger = |name: &&str| !MACROS_ALLOWED.contains(name) && !is_local(name);
    let mut found: Vec<String> = paths(code).into_iter().filter(|path| !is_allowed(path)).collect();
    found.extend(macros(code).into_iter().filter(is_stranger).map(|name| format!("{name}!")));
    found.extend(code.contains("extern crate").then(|| "extern crate".to_owned()));
    let dense: String = code.split_whitespace().collect();
    found.extend(NAMES_DENIED.iter().filter(|name| dense.contains(*name)).map(|name| (*name).to_owned()));
    found
}

#[test]
fn pure_folders_name_only_what_is_on_the_list() {
    let crates = dependencies();
    assert!(crates.iter().any(|name| name == "serde"), "the dependencies were not found");
    let pure: Vec<Source> = sources("src").into_iter().filter(|source| PURE.contains(&source.area())).collect();
    let found = faults(&pure, |source| impurities(&source.code, &crates));
    assert_none("`engine` and `kind` are pure: no clock, environment, file, thread, randomness or hash order", found);
    for smuggled in [
        "use std::time::{Duration, Instant};",
        "use std::time as t;",
        "pub(crate) use std::collections::*;",
        "fn f() { let home = std::env::var(name); }",
        "fn f() { ::std::fs::read(path); }",
        "use rustix as r;",
        "fn f() { getrandom::fill(bytes); }",
        "fn f() { println!(text); }",
        "const A: &str = include_str!(path);",
        "extern crate libc;",
        "use jiff::Zoned;",
        "use jiff::{civil, tz::TimeZoneDatabase};",
        "fn f() { jiff::tz::db(); }",
        "use jiff::tz::TimeZone; fn f() { TimeZone::get(name); }",
        "fn f() { jiff::tz::TimeZone::system(); }",
        "fn f() { at .in_tz(name); }",
        "use jiff as j;",
    ] {
        assert_ne!(impurities(smuggled, &crates), Vec::<String>::new(), "{smuggled}");
    }
}

/// The folder of ours that a path leads to from a file, if it leaves its own.
fn target<'a>(source: &Source, path: &'a str) -> Option<&'a str> {
    let mut parts = path.split("::").peekable();
    let modules = source.modules();
    let mut depth = match parts.peek().copied() {
        Some("crate") => {
            parts.next();
            0
        }
        Some("super") => modules.len(),
        _ => return None,
    };
    while parts.next_if(|part| *part == "super").is_some() {
        depth = depth.saturating_sub(1);
    }
    let first = parts.next()?;
    (depth == 0 && first.starts_with(char::is_lowercase) && first != source.area()).then_some(first)
}

#[test]
fn folders_use_only_those_below_them() {
    let found = faults(&sources("src"), |source| {
        let Some((_, allowed)) = EDGES.iter().find(|(area, _)| *area == source.area()) else {
            return vec![format!("`{}` is not in the table of edges in tests/tidy.rs", source.area())];
        };
        let names = paths(&source.code);
        let targets = names.iter().filter_map(|path| target(source, path));
        targets.filter(|name| !allowed.contains(name)).map(|name| format!("may not use `{name}`")).collect()
    });
    assert_none("the edges between folders are a table", found);
}

/// True when `word` stands alone in `code`.
fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn unsafe_stands_only_where_it_is_allowed() {
    let sources = sources("src");
    let found = faults(&sources, |source| {
        let is_bad = has_word(&source.code, "unsafe") && !UNSAFE_ALLOWED.contains(&source.area());
        is_bad.then(|| "unsafe".to_owned()).into_iter().collect()
    });
    assert_none("`unsafe` is for `shim`, `observe` and `execute`", found);
    let found = faults(&sources, |source| {
        let lines: Vec<&str> = source.text.lines().collect();
        let opens = |(_, line): &(usize, &str)| line.contains("unsafe {") || line.contains("unsafe impl");
        let blocks = source.code.lines().enumerate().filter(opens);
        let is_bare = |n: usize| !lines[n.saturating_sub(6)..=n].iter().any(|line| line.contains("SAFETY:"));
        blocks.filter(|(n, _)| is_bare(*n)).map(|(n, _)| format!("line {}", n + 1)).collect()
    });
    assert_none("each unsafe block has its reason in a `// SAFETY:` comment just above", found);
}

#[test]
fn files_and_functions_fit() {
    let sources = sources("src");
    let found = faults(&sources, |source| {
        let lines = lines_of(&source.code);
        (lines > FILE_LINES_MAX).then(|| format!("{lines} lines of code")).into_iter().collect()
    });
    assert_none("a file has at most 400 lines of code, tests and comments not counted", found);
    let found = faults(&sources, |source| {
        let functions = source.functions();
        let long = functions.iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        long.map(|(name, lines)| format!("`{name}` has {lines} lines")).collect()
    });
    assert_none("a function has at most 70 lines", found);
}

#[test]
fn nothing_is_left_for_later() {
    let mut all = sources("src");
    all.extend(sources("benches"));
    all.extend(sources("tests"));
    let found = faults(&all, |source| {
        let called = macros(&source.code);
        let left = ["todo", "unimplemented", "dbg"].into_iter().filter(|name| called.contains(name));
        left.chain(source.code.contains("#[ignore").then_some("ignore")).map(str::to_owned).collect()
    });
    assert_none("no todo, no debugging, no ignored test", found);
}

#[test]
fn every_file_says_what_it_is() {
    let found = faults(&sources("src"), |source| {
        let doc: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let paragraphs = doc.split(|line| line.trim() == "//!").filter(|lines| !lines.is_empty()).count();
        // The crate's own doc is a guide and may be longer.
        let is_guide = source.path == "src/lib.rs";
        match paragraphs {
            0 => vec!["no module doc".to_owned()],
            n if n > DOC_PARAGRAPHS_MAX && !is_guide => vec![format!("a module doc of {n} paragraphs")],
            _ => Vec::new(),
        }
    });
    assert_none("every file begins with a `//!` doc of at most four paragraphs", found);
}

#[test]
fn nothing_prints_where_nobody_reads() {
    let found = faults(&sources("src"), |source| {
        let is_silent = ["engine", "kind", "shim"].contains(&source.area());
        let prints = macros(&source.code).into_iter().filter(|name| ["print", "println"].contains(name));
        prints.filter(|_| is_silent).map(|name| format!("{name}!")).collect()
    });
    assert_none("`engine`, `kind` and `shim` print nothing", found);
}

#[test]
fn the_top_level_keeps_its_names() {
    let entries = std::fs::read_dir(root()).expect("the repository").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let found = names.filter(|name| !TOP.contains(&name.as_str()) && !name.ends_with(".swp")).collect();
    assert_none("the top level of the repository has a fixed list of names (tests/tidy.rs)", found);
}

#[test]
fn tidy_reads_code_as_it_should() {
    let code = tidy::source::without_words(
        "a('\"', b\"x\\\"\", r#\"std::fs \"q\" \"#, 'l: &'a str) // std::env\n/* !\n */ b!(c)",
    );
    assert_eq!(code, "a(\"\", \"\", \"\", 'l: &'a str) \n\n b!(c)");
    assert_eq!(macros(&code), ["b"]);
    let names = paths("use std::{fmt::{self, Write as W}, fs};\npub use super::a::B;\nfn f() { std::env::var(x::Y); }");
    assert_eq!(names, ["std::fmt", "std::fmt::Write", "std::fs", "super::a::B", "std::env::var", "x::Y"]);
    let source = |path: &str| Source { path: path.into(), text: String::new(), code: String::new() };
    assert_eq!(target(&source("src/kind/mod.rs"), "super::load::x"), Some("load"));
    assert_eq!(target(&source("src/kind/units.rs"), "super::load::x"), None);
    assert_eq!(target(&source("src/kind/units.rs"), "super::super::load::x"), Some("load"));
    assert_eq!(target(&source("src/engine/plan.rs"), "crate::engine::name"), None);
    assert_eq!(target(&source("src/engine/plan.rs"), "crate::home::Home"), Some("home"));
}
