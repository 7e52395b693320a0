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
pub(super) const SCHEMA: &str = ".setpoint.schema.json";

/// Writes the files.
///
/// # Errors
/// When the manifest exists, or cannot be written.
pub fn run(global: &Global, args: Args) -> Outcome {
    let manifest = write(&args.dir)?;
    if !global.quiet {
        print(&format!("wrote {}\nNext: setpoint apply -f {}\n", manifest.display(), args.dir.display()));
    }
    Ok(exit::OK)
}

/// Writes the manifest and its schema; returns where the manifest is.
fn write(dir: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let manifest = dir.join(MANIFEST.0);
    // The modeline names the schema beside the manifest, wherever the folder is.
    let (_, body) = MANIFEST.1.split_once('\n').unwrap_or_default();
    create(&manifest, &format!("# yaml-language-server: $schema=./{SCHEMA}\n{body}"))?;
    match create(&dir.join(SCHEMA), &format!("{:#}\n", schema::of_all())) {
        // An older schema is no reason to refuse a manifest that is written already.
        Err(failure) if failure.code != exit::REFUSED => Err(failure),
        Ok(()) | Err(_) => Ok(manifest),
    }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{MANIFEST, SCHEMA, create, write};
    use crate::cli::exit;
    use crate::load::{LoadContext, load};

    #[test]
    fn what_it_writes_is_valid_and_stays() {
        let folder = tempfile::TempDir::new().expect("folder");
        let dir = folder.path().join("a/b");
        let manifest = write(&dir).expect("written");
        let loaded = load(std::slice::from_ref(&dir), &LoadContext { folder: PathBuf::from("/") }).expect("valid");
        assert_eq!(loaded.manifests.len(), 1);
        let text = std::fs::read_to_string(&manifest).expect("text");
        assert!(text.starts_with(&format!("# yaml-language-server: $schema=./{SCHEMA}\n")), "{text}");
        assert!(dir.join(SCHEMA).is_file());
        std::fs::write(&manifest, "mine").expect("edited");
        let failure = write(&dir).expect_err("exists");
        assert_eq!(failure.code, exit::REFUSED);
        assert!(failure.text.contains(MANIFEST.0), "{failure}");
        assert_eq!(std::fs::read_to_string(&manifest).expect("text"), "mine");
        assert_eq!(create(&folder.path().join("no/such"), "").expect_err("no folder").code, exit::FAILED);
    }
}
