//! `setpoint init`: a first manifest.
//!
//! In: maybe a folder. Out: a Service that runs on any machine, a schema for the editor, and the next command.
//! Not here: anything that runs.
//! The surprise: it never writes over a file, so it is safe to run anywhere.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::validate::print;
use super::{Failure, Global, Outcome, exit};
use crate::kind::schema;

/// Write a first manifest
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder to write into
    #[arg(value_name = "DIR", default_value = "manifests")]
    pub dir: PathBuf,
}

/// The manifest, and the file it goes to.
const MANIFEST: (&str, &str) = ("hello.yaml", include_str!("../../manifests/hello.yaml"));
/// Where the editor finds the schema; hidden, so it is no manifest.
const SCHEMA: &str = ".setpoint.schema.json";

/// Writes the files.
///
/// # Errors
/// When one of them exists, or cannot be written.
pub fn run(global: &Global, args: Args) -> Outcome {
    let dir = &args.dir;
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let manifest = dir.join(MANIFEST.0);
    // The modeline names the schema beside the manifest, wherever the folder is.
    let (_, body) = MANIFEST.1.split_once('\n').unwrap_or_default();
    create(&manifest, &format!("# yaml-language-server: $schema=./{SCHEMA}\n{body}"))?;
    match create(&dir.join(SCHEMA), &format!("{:#}\n", schema::of_all())) {
        Ok(()) => {}
        // An older schema is no reason to refuse a manifest that is written already.
        Err(failure) if failure.code == exit::REFUSED => {}
        Err(failure) => return Err(failure),
    }
    if !global.quiet {
        print(&format!("wrote {}\nNext: setpoint apply -f {}\n", manifest.display(), dir.display()));
    }
    Ok(exit::OK)
}

fn create(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        let help = "it was left as it is; name another folder: setpoint init DIR";
        return Failure::new(exit::REFUSED, format!("{path} exists\n  help: {help}"));
    }
    Failure::new(
        exit::FAILED,
        format!("{path} cannot be written: {error}\n  help: name a folder that you may write to"),
    )
}
