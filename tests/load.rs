//! The loader: what it accepts, what it says, and what it refuses to be drowned by.

#[path = "load/folders.rs"]
mod folders;
#[path = "load/goldens.rs"]
mod goldens;
#[path = "load/limits.rs"]
mod limits;
#[path = "load/links.rs"]
mod links;
#[path = "load/markdown.rs"]
mod markdown;
#[path = "load/properties.rs"]
mod properties;
#[path = "load/traps.rs"]
mod traps;
#[path = "load/values.rs"]
mod values;
#[path = "load/work.rs"]
mod work;

use std::fmt::Write as _;
use std::path::PathBuf;

use setpoint::load::{Form, LoadContext, Loaded, Problems, load_text};

/// A folder that exists everywhere, so that `dir` is the same everywhere.
fn here() -> LoadContext {
    LoadContext { folder: PathBuf::from("/") }
}

fn load(text: &str) -> Result<Loaded, Problems> {
    load_text(text.as_bytes(), Form::Yaml, &here())
}

/// What is said about a text.
fn told(text: &str) -> String {
    match load(text) {
        Ok(loaded) => list(&loaded),
        Err(problems) => bare(&problems.to_string()),
    }
}

/// Without blanks at the ends of lines, which editors take away.
fn bare(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{}", line.trim_end());
        out
    })
}

/// One line an object.
fn list(loaded: &Loaded) -> String {
    loaded.manifests.iter().fold(String::new(), |mut out, manifest| {
        let _ = writeln!(out, "{} {}", manifest.id, manifest.spec);
        out
    })
}
