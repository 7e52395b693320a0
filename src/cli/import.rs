//! `setpoint import`: manifests from the files of another tool.
//!
//! In: a format, files. Out: manifests on stdout or in a folder, and on stderr what became of every key.
//! Not here: what becomes of it (`import`), and applying anything.
//! The surprise: `-o` is a folder here, as no other way of printing makes sense for manifests.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches, ValueEnum};

use super::init::SCHEMA;
use super::validate::is_colored;
use super::{Failure, Format, Global, Outcome, complain, exit, print};
use crate::desired::generation::Stored;
use crate::import::{Around, Draft, FORMATS, Imported, find, guess, import};
use crate::kind::{KINDS, KindDef, schema};
use crate::load::{Form, LoadContext, Problems, counted, load_text, quote};

/// Turn files of another tool into manifests, and say what becomes of every key
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// The format, and files of it (- is standard input); a file whose name says it all needs no format
    #[arg(value_name = "FORMAT|FILE", required = true)]
    pub words: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// Write over manifests that are there
    #[arg(long)]
    pub force: bool,
    /// How the report on stderr is written
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub report: ReportForm,
    /// Compose: what runs from an image becomes `docker run`
    #[arg(long)]
    pub docker: bool,
    /// Crontab: each line names its user, as in /etc/crontab
    #[arg(long)]
    pub system: bool,
}

/// How the report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The folder of `-o`. Everywhere else that flag says how to print, so it is taken over here by its id and read as it
/// was typed.
#[derive(Clone, Debug, Default)]
struct Target(Option<PathBuf>);

impl clap::Args for Target {
    fn augment_args(command: clap::Command) -> clap::Command {
        let parser = |_: &str| Ok::<Format, String>(Format::Table);
        let help = "Write a file for each object into this folder, instead of all to standard output";
        command
            .arg(clap::Arg::new("output").short('o').long("output").value_name("DIR").help(help).value_parser(parser))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Target {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Target, clap::Error> {
        let is_given = matches.value_source("output") == Some(ValueSource::CommandLine);
        let raw = matches.get_raw("output").and_then(Iterator::last).filter(|_| is_given);
        Ok(Target(raw.map(PathBuf::from)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Target::from_arg_matches(matches)?;
        Ok(())
    }
}

fn after_help() -> String {
    let formats: Vec<String> = FORMATS.iter().map(|format| format!("  {:<16} {}", format.name, format.about)).collect();
    format!("Formats:\n{}", formats.join("\n"))
}

/// Imports.
///
/// # Errors
/// When the format is not known, a file is broken, nothing comes of it, or a manifest would be written over.
pub fn run(global: &Global, args: Args) -> Outcome {
    let (format, files) = meant(&args.words)?;
    let files = opened(global, format, files)?;
    let target = args.target.0.as_deref();
    let around = Around {
        target: absolute(target.unwrap_or(Path::new(".")))?,
        home: std::env::home_dir().filter(|home| home.is_absolute()),
        docker: args.docker,
        system: args.system,
    };
    let imported = match import(format, &files, &around) {
        Ok(imported) => imported,
        Err(list) => {
            let files_broken = files.len().min(list.len());
            let problems = Problems { list, omitted: 0, files_broken, files: files.len() };
            complain(&problems.render(is_colored(global)));
            return Ok(exit::USAGE);
        }
    };
    let faults = doubts(&imported.drafts, &around);
    match target {
        Some(dir) => write_all(global, dir, &imported.drafts, args.force)?,
        None => print(&all(&imported.drafts))?,
    }
    tell(global, args.report, &imported);
    if let Some(problems) = faults {
        let help = "these manifests need a hand before they can be applied";
        complain(&format!("{}\n{help}", problems.render(is_colored(global))));
        return Ok(exit::FAILED);
    }
    Ok(if imported.drafts.is_empty() { exit::FAILED } else { exit::OK })
}

/// What the loader says of all of it together, such as needs that go round in a circle.
fn doubts(drafts: &[Draft], around: &Around) -> Option<Problems> {
    match load_text(all(drafts).as_bytes(), Form::Yaml, &LoadContext { folder: around.target.clone() }) {
        Ok(loaded) => super::validate::bad_references(&Stored::empty(), &loaded),
        Err(problems) => Some(problems),
    }
}

fn tell(global: &Global, form: ReportForm, imported: &Imported) {
    match form {
        ReportForm::Json => complain(&format!("{:#}", imported.report.json())),
        ReportForm::Text => {
            let text = imported.report.text(global.quiet);
            complain(&format!("{text}{} imported.", kinds(&imported.drafts)));
        }
    }
}

/// `2 cronjobs, 1 service`.
fn kinds(drafts: &[Draft]) -> String {
    let of = |def: &&KindDef| drafts.iter().filter(|draft| draft.kind.lower == def.lower).count();
    let counts: Vec<String> = KINDS.iter().filter(|def| of(def) > 0).map(|def| counted(of(&def), def.lower)).collect();
    if counts.is_empty() { "Nothing".to_owned() } else { counts.join(", ") }
}

/// The format and the files a person means.
fn meant(words: &[PathBuf]) -> Result<(&'static crate::import::Format, Vec<PathBuf>), Failure> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::new(exit::USAGE, "name a file: setpoint import Procfile"));
    };
    let word = first.to_string_lossy();
    if let Some(format) = find(&word).filter(|_| !rest.is_empty()) {
        return Ok((format, rest.to_vec()));
    }
    let inside = || first.read_dir().ok()?.flatten().find_map(|entry| guess(&entry.path()));
    // A format may be called as its files are.
    let named = guess(first).filter(|_| find(&word).is_none() || first.symlink_metadata().is_ok());
    if let Some(format) = named.or_else(inside) {
        return Ok((format, words.to_vec()));
    }
    if let Some(format) = find(&word) {
        let text = format!("name the file, too\n  help: setpoint import {} FILE", format.name);
        return Err(Failure::new(exit::USAGE, text));
    }
    let text = format!(
        "{} is no format, and no file name that tells one\n  help: setpoint import FORMAT FILE, with one of: {}",
        quote(&word),
        names()
    );
    Err(Failure::new(exit::USAGE, text))
}

/// The files, with those of a folder in its place; what is in it and is no such file is said.
fn opened(global: &Global, format: &crate::import::Format, files: Vec<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in files {
        if !path.is_dir() {
            all.push(path);
            continue;
        }
        let unreadable = |error: io::Error| {
            Failure::new(
                exit::USAGE,
                format!("{} cannot be read: {error}\n  help: check its owner and mode", path.display()),
            )
        };
        let entries = fs::read_dir(&path).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        entries.sort();
        let (own, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| format.claims(entry) && !entry.is_dir());
        if own.is_empty() {
            let text = format!("{} has no file of {}\n  help: {}", path.display(), format.name, format.about);
            return Err(Failure::new(exit::USAGE, text));
        }
        let names: Vec<String> =
            others.iter().filter_map(|other| other.file_name()).map(|name| quote(&name.to_string_lossy())).collect();
        if !names.is_empty() {
            super::say(global, &format!("not imported from {}: {}", path.display(), names.join(", ")));
        }
        all.extend(own);
    }
    Ok(all)
}

fn names() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
}

/// A folder that need not be there yet, absolute and without links as far as it is.
fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    let gone =
        |error: io::Error| Failure::new(exit::USAGE, format!("the current folder is gone: {error}; cd elsewhere"));
    let full = std::path::absolute(dir).map_err(gone)?;
    let (mut there, mut missing) = (full.clone(), Vec::new());
    loop {
        if let Ok(found) = there.canonicalize() {
            return Ok(missing.iter().rev().fold(found, |path, name| path.join(name)));
        }
        match (there.file_name().map(ToOwned::to_owned), there.pop()) {
            (Some(name), true) => missing.push(name),
            _ => return Ok(full),
        }
    }
}

fn modeline() -> String {
    format!("# yaml-language-server: $schema=./{SCHEMA}\n")
}

fn all(drafts: &[Draft]) -> String {
    if drafts.is_empty() {
        return String::new();
    }
    let documents: Vec<String> = drafts.iter().map(Draft::yaml).collect();
    format!("{}{}", modeline(), documents.join("---\n"))
}

/// A file for each; nothing is written when one of them is there already.
fn write_all(global: &Global, dir: &Path, drafts: &[Draft], force: bool) -> Result<(), Failure> {
    let files: Vec<(PathBuf, String)> = drafts
        .iter()
        .map(|draft| (dir.join(format!("{}.yaml", draft.name)), format!("{}{}", modeline(), draft.yaml())))
        .collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| !force && path.symlink_metadata().is_ok()) {
        let help = "nothing was written; name another folder with -o, or write over it with --force";
        return Err(Failure::new(exit::REFUSED, format!("{} exists\n  help: {help}", path.display())));
    }
    if files.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (path, text) in &files {
        create(path, text, force).map_err(|error| failed(path, &error))?;
        if !global.quiet {
            print(&format!("wrote {}\n", path.display()))?;
        }
    }
    // One that is there is as good, whatever version wrote it.
    match create(&dir.join(SCHEMA), &format!("{:#}\n", schema::of_all()), false) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(&dir.join(SCHEMA), &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn create(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(text.as_bytes())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let help = "name a folder that you may write to";
    Failure::new(exit::FAILED, format!("{} cannot be written: {error}\n  help: {help}", path.display()))
}
