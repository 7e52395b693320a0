//! `setpoint validate`: are these manifests good?
//!
//! In: files and folders. Out: one line that counts, or every error with its place; nothing needs to run.
//! Not here: finding errors (`load`).
//! The surprise: `-o json` prints its verdict to stdout in both cases, so a script reads one shape.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Color, Failure, Format, Global, Outcome, exit};
use crate::desired::change::Proposal;
use crate::desired::generation::Stored;
use crate::desired::{Store, references};
use crate::home::Home;
use crate::load::{LoadContext, Loaded, Problem, Problems, counted, load};

/// Check manifests; needs nothing running
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A file, a folder, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub filename: Vec<PathBuf>,
}

/// Checks, and says what is wrong.
///
/// # Errors
/// When there is no current folder.
pub fn run(global: &Global, args: Args) -> Outcome {
    let here = LoadContext::here()
        .map_err(|error| Failure::new(exit::USAGE, format!("the current folder is gone: {error}; cd elsewhere")))?;
    let mut result = load(&args.filename, &here).and_then(|loaded| match in_this_home(global, &loaded) {
        Some(problems) => Err(problems),
        None => Ok(loaded),
    });
    if let Ok(loaded) = &mut result {
        super::caution::add(global, loaded);
    }
    match global.output {
        Format::Json => super::print(&format!("{:#}\n", verdict(&result)))?,
        Format::Table | Format::Wide | Format::Yaml | Format::Name => tell(global, &result)?,
    }
    Ok(if result.is_ok() { exit::OK } else { exit::USAGE })
}

/// What the manifests name and is not there, as far as that can be told.
fn in_this_home(global: &Global, loaded: &Loaded) -> Option<Problems> {
    let base = match Home::open_existing(global.home.as_deref()) {
        Ok(None) => Stored::empty(),
        // Without the desired state nobody can say what is missing from it.
        Ok(Some(home)) => Store::open(&home).read_current().ok()?,
        Err(_) => return None,
    };
    bad_references(&base, loaded)
}

/// What the manifests name and is neither among them nor in this generation, and needs that go round in a circle.
#[must_use]
pub fn bad_references(base: &Stored, loaded: &Loaded) -> Option<Problems> {
    let proposals: Vec<Proposal> = loaded.manifests.iter().map(|one| Proposal::of_manifest(one, 0)).collect();
    let found = references::check(base, &proposals.iter().collect::<Vec<_>>(), &BTreeSet::new());
    let sources = proposals.iter().map(|proposal| proposal.source.as_str());
    Problems::of(found.into_iter().map(|(_, problem)| problem).collect(), sources)
}

fn tell(global: &Global, result: &Result<Loaded, Problems>) -> Result<(), Failure> {
    match result {
        Ok(loaded) => {
            let color = is_colored(global);
            loaded.warnings.iter().for_each(|warning| super::complain(&format!("{}\n", warning.render(false, color))));
            if !global.quiet {
                let verb = if loaded.manifests.len() == 1 { "is" } else { "are" };
                let objects = counted(loaded.manifests.len(), "object");
                super::print(&format!("{objects} in {} {verb} valid.\n", counted(loaded.files, "file")))?;
            }
        }
        Err(problems) => super::complain(&problems.render(is_colored(global))),
    }
    Ok(())
}

/// True when errors are to be coloured.
#[must_use]
pub fn is_colored(global: &Global) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            std::io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb
        }
    }
}

/// Prints what was done to stdout. One that cannot be written is no reason to leave the rest undone, so neither a
/// full disk nor a reader that has gone is an error here.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody reads what we say about nobody reading.
    }
}

fn verdict(result: &Result<Loaded, Problems>) -> Value {
    match result {
        Ok(loaded) => json!({
            "valid": true, "objects": loaded.manifests.len(), "files": loaded.files,
            "errors": [], "warnings": loaded.warnings.iter().map(of_problem).collect::<Vec<_>>(),
        }),
        Err(problems) => json!({
            "valid": false, "files": problems.files, "omitted": problems.omitted,
            "errors": problems.list.iter().map(of_problem).collect::<Vec<_>>(),
        }),
    }
}

fn of_problem(problem: &Problem) -> Value {
    let help = [&problem.label, &problem.help].into_iter().filter(|text| !text.is_empty());
    let help = help.map(String::as_str).collect::<Vec<_>>().join("; ");
    let place = &problem.place;
    json!({
        "file": &*place.file, "line": place.line, "column": place.column, "message": problem.message, "help": help,
    })
}
