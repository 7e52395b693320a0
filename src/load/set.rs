//! `setpoint.yaml`: what a folder of manifests says about itself.
//!
//! In: a folder. Out: the name of its set. Not here: what belongs to a set already (`desired`).
//! The surprise: without the file, the set is called like the folder's real path, so two folders are never one set by
//! accident.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::foreign;
use super::problem::{Findings, Source, quote};
use super::tree::{self, Node, Tree};
use crate::engine::name::is_name;

/// The file that describes a folder; it is no manifest.
pub const FILE_NAME: &str = "setpoint.yaml";

/// The objects that one folder owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderSet {
    /// `set:` of `setpoint.yaml`, else the folder's real path.
    pub name: Arc<str>,
    /// The folder, absolute and without symlinks.
    pub folder: PathBuf,
}

impl FolderSet {
    /// The set of a folder that says nothing about itself.
    #[must_use]
    pub fn unnamed(folder: &Path) -> FolderSet {
        FolderSet { name: Arc::from(folder.to_string_lossy()), folder: folder.to_owned() }
    }
}

/// True when the text of a `setpoint.yaml` is a manifest after all.
#[must_use]
pub fn is_manifest(source: &Source<'_>) -> bool {
    let trees = tree::parse(source, &mut Findings::default());
    trees.iter().any(|tree| tree.get("kind").is_some())
}

/// Reads `setpoint.yaml`; what is wrong goes to `findings`.
pub fn parse(source: &Source<'_>, folder: &Path, findings: &mut Findings) -> FolderSet {
    let mut set = FolderSet::unnamed(folder);
    for tree in tree::parse(source, findings) {
        let Node::Map(entries) = &tree.node else {
            let help = "write `set: NAME`".to_owned();
            findings.push(source.problem(tree.at.clone(), "this has no fields".to_owned(), String::new(), help));
            continue;
        };
        for entry in entries {
            match &*entry.key {
                "set" => match scalar(&entry.value).filter(|name| is_name(name)) {
                    Some(name) => set.name = Arc::from(name),
                    None => {
                        let help = "a name has 1 to 64 letters, digits, `-` or `_`".to_owned();
                        let message = "`set` is not a name".to_owned();
                        findings.push(source.problem(entry.key_at.clone(), message, String::new(), help));
                    }
                },
                "prune" if scalar(&entry.value) == Some("ask") => {}
                "prune" | "defaults" => {
                    let message = format!("`{}` is not supported by this version yet", entry.key);
                    let help = "remove it for now".to_owned();
                    findings.push(source.problem(entry.key_at.clone(), message, String::new(), help));
                }
                other => {
                    let label = foreign::similar(other, ["set", "defaults", "prune"]);
                    let label = label.map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default();
                    let message = format!("unknown field {} in {FILE_NAME}", quote(other));
                    let help = format!("{FILE_NAME} says `set: NAME`; manifests stand in other files");
                    findings.push(source.problem(entry.key_at.clone(), message, label, help));
                }
            }
        }
    }
    set
}

fn scalar(tree: &Tree) -> Option<&str> {
    match &tree.node {
        Node::Scalar { text, .. } => Some(text),
        Node::List(_) | Node::Map(_) => None,
    }
}
