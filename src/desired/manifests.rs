//! From loaded manifests to proposals.
//!
//! In: what `load` made of files and folders. Out: a [`Batch`] for an apply, a [`Folder`] for a live folder.
//! Not here: reading files, comparing. The surprise: a folder whose `setpoint.yaml` cannot be read keeps the set it
//! was recorded with, so that a typing error there does not make all of its objects somebody else's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::change::{Batch, Origin, Proposal};
use super::generation::{Stored, StoredObject};
use super::live::{Folder, Listing};
use crate::engine::ObjectRef;
use crate::load::{FolderReading, Loaded, Manifest, SetSource};

/// The source of objects that came from standard input.
pub const STDIN: &str = "stdin";

/// Why a load cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "folders of several sets, or folders and single files, cannot be applied as one\n  \
     help: apply them one after the other"
)]
pub struct Mixed;

impl Proposal {
    /// What a manifest proposes.
    #[must_use]
    pub fn of_manifest(manifest: &Manifest, origin: usize) -> Proposal {
        let is_stdin = manifest.source.as_os_str() == "-";
        Proposal {
            id: manifest.id.clone(),
            kind: manifest.kind.kind.to_owned(),
            spec: manifest.spec.clone(),
            labels: manifest.labels.clone(),
            annotations: manifest.annotations.clone(),
            source: if is_stdin { STDIN.to_owned() } else { manifest.source.display().to_string() },
            origin,
            links: Arc::clone(&manifest.links),
        }
    }

    /// What a stored version would propose.
    #[must_use]
    pub fn of_stored(id: &ObjectRef, stored: &StoredObject) -> Proposal {
        Proposal {
            id: id.clone(),
            kind: stored.kind.clone(),
            spec: stored.spec.clone(),
            labels: stored.metadata.labels.clone(),
            annotations: stored.metadata.annotations.clone(),
            source: stored.metadata.source.clone(),
            origin: 0,
            links: [].into(),
        }
    }
}

/// Everything that was loaded, as one batch.
///
/// # Errors
/// When it belongs to several sets, or is partly a whole set.
pub fn batch(loaded: &Loaded) -> Result<Batch, Mixed> {
    let mut batch = Batch::default();
    match &loaded.set {
        SetSource::Mixed => return Err(Mixed),
        SetSource::Folder(set) => {
            let name = Some(set.name.to_string());
            batch.origins.push(Origin::Folder { path: set.folder.clone(), set: name });
            batch.proposals = loaded.manifests.iter().map(|manifest| Proposal::of_manifest(manifest, 0)).collect();
        }
        SetSource::Files => {
            for manifest in &loaded.manifests {
                let origin = origin_of(&manifest.source);
                // Manifests come file by file, so the same origin is the last one or a new one.
                if batch.origins.last() != Some(&origin) {
                    batch.origins.push(origin);
                }
                batch.proposals.push(Proposal::of_manifest(manifest, batch.origins.len() - 1));
            }
        }
    }
    Ok(batch)
}

fn origin_of(source: &Path) -> Origin {
    if source.as_os_str() == "-" { Origin::Stdin } else { Origin::File { path: source.to_path_buf() } }
}

/// A live folder as it was read. `path` is its canonical path as last known.
#[must_use]
pub fn live_folder(base: &Stored, path: PathBuf, reading: &FolderReading, is_user_layer: bool) -> Folder {
    let path = reading.set.as_ref().map_or(path, |set| set.folder.clone()).display().to_string();
    let recorded = base.sets.iter().find(|(_, set)| set.folders.contains(&path)).map(|(name, _)| name.clone());
    let given = reading.set.as_ref().map(|set| set.name.to_string());
    let listing = match (reading.is_whole, reading.files.is_empty(), reading.listing.first()) {
        (true, _, _) => Listing::Whole,
        (false, true, Some(problem)) => Listing::Unreadable { why: problem.message.clone() },
        (false, _, _) => Listing::Broken,
    };
    Folder {
        set: given.or(recorded).unwrap_or_else(|| path.clone()),
        path,
        is_user_layer,
        proposals: reading.manifests().map(|manifest| Proposal::of_manifest(manifest, 0)).collect(),
        listing,
    }
}
