//! `setpoint init`: first manifests.
//!
//! In: maybe a folder. Out: a Service and a CronJob that run on any machine, a schema for the editor, and the
//! next command.
//! Not here: anything that runs.
//! The surprise: it never writes over a file, so it is safe to run anywhere.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::validate::print;
use super::{Failure, Global, Outcome, exit};
use crate::kind::schema;

/// Write first manifests: a Service and a CronJob
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder to write into
    #[arg(value_name = "DIR", default_value = "manifests")]
    pub dir: PathBuf,
}

/// The manifests, and the files they go to.
const MANIFESTS: [(&str, &str); 2] = [
    ("hello.yaml", include_str!("../../manifests/hello.yaml")),
    ("disk.yaml", include_str!("../../manifests/disk.yaml")),
];
/// Where the editor finds the schema; hidden, so it is no manifest.
pub(super) const SCHEMA: &str = ".setpoint.schema.json";

/// Writes the files.
///
/// # Errors
/// When the manifest exists, or cannot be written.
pub fn run(global: &Global, args: Args) -> Outcome {
    let manifests = write(&args.dir)?;
    if !global.quiet {
        manifests.iter().for_each(|manifest| print(&format!("wrote {}\n", manifest.display())));
        print(&format!("Next: setpoint apply -f {}\n", args.dir.display()));
    }
    Ok(exit::OK)
}

/// Writes the manifests and their schema; returns where the manifests are. Nothing is written when one of them is there.
fn write(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let manifests = MANIFESTS.map(|(name, text)| (dir.join(name), text));
    if let Some((there, _)) = manifests.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(failed(there, &io::ErrorKind::AlreadyExists.into()));
    }
    for (path, text) in &manifests {
        // The modeline names the schema beside the manifest, wherever the folder is.
        let (_, body) = text.split_once('\n').unwrap_or_default();
        create(path, &format!("# yaml-language-server: $schema=./{SCHEMA}\n{body}"))?;
    }
    let manifests = manifests.into_iter().map(|(path, _)| path).collect();
    match create(&dir.join(SCHEMA), &format!("{:#}\n", schema::of_all())) {
        // An older schema is no reason to refuse a manifest that is written already.
        Err(failure) if failure.code != exit::REFUSED => Err(failure),
        Ok(()) | Err(_) => Ok(manifests),
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

    use super::{SCHEMA, create, write};
    use crate::cli::exit;
    use crate::load::{LoadContext, load};

    #[test]
    fn what_it_writes_is_valid_and_stays() {
        let folder = tempfile::TempDir::new().expect("folder");
        let dir = folder.path().join("a/b");
        let manifests = write(&dir).expect("written");
        let manifest = &manifests[0];
        let loaded = load(std::slice::from_ref(&dir), &LoadContext { folder: PathBuf::from("/") }).expect("valid");
        let ids: Vec<&str> = loaded.manifests.iter().map(|manifest| manifest.id.as_str()).collect();
        assert_eq!(ids, ["cronjob/disk", "service/hello"]);
        let text = std::fs::read_to_string(manifest).expect("text");
        assert!(text.starts_with(&format!("# yaml-language-server: $schema=./{SCHEMA}\n")), "{text}");
        assert!(dir.join(SCHEMA).is_file());
        std::fs::write(manifest, "mine").expect("edited");
        std::fs::remove_file(&manifests[1]).expect("removed");
        let failure = write(&dir).expect_err("exists");
        assert_eq!(failure.code, exit::REFUSED);
        assert!(failure.text.contains("hello.yaml"), "{failure}");
        assert!(!manifests[1].exists(), "all or nothing");
        assert_eq!(std::fs::read_to_string(manifest).expect("text"), "mine");
        assert_eq!(create(&folder.path().join("no/such"), "").expect_err("no folder").code, exit::FAILED);
    }
}
