//! What has become of the file of an object that a controller follows.
//!
//! In: facts, and the folder as it is now. Out: words, when the file is gone or broken; nothing while all is well.
//! Not here: applying files. The surprise: the folder is read here once more, so that `describe` says with or without a
//! controller why the last good version runs on.

use std::collections::BTreeMap;
use std::path::Path;

use super::facts::Facts;
use crate::desired::change::is_live;
use crate::engine::ObjectRef;
use crate::load::{Cache, FileReading, FolderReading, load_folder};

/// Folders as they are now, each read once.
#[derive(Debug, Default)]
pub struct Folders {
    read: BTreeMap<String, FolderReading>,
}

impl Folders {
    /// What is wrong with the file of an object, and what that means; nothing when the file is as it should be, or
    /// nobody follows it.
    pub fn said(&mut self, facts: &Facts, object: &ObjectRef) -> Option<String> {
        let file = followed(facts, object)?;
        let set = &facts.stored.objects.get(object)?.metadata.set;
        let folder = facts.stored.sets.get(set)?.folders.iter().find(|folder| file.starts_with(folder))?;
        let reading =
            self.read.entry(folder.clone()).or_insert_with(|| load_folder(Path::new(folder), &mut Cache::default()));
        let shown = file.display();
        if let Some(own) = reading.files.iter().find(|read| *read.path == *file && read.is_broken()) {
            return Some(format!(
                "its file {shown} has an error ({}); the last good version runs until that is mended",
                first(own)
            ));
        }
        if file.exists() {
            return None;
        }
        let other = reading.files.iter().find(|file| file.is_broken());
        let listing = reading.listing.first();
        Some(match (other, listing) {
            (Some(other), _) => format!(
                "its file {shown} is gone; the last good version runs until every file of {folder} can be read, and \
                 one cannot: {}",
                first(other)
            ),
            (None, Some(problem)) => format!(
                "its file {shown} is gone; the last good version runs until {folder} can be listed: {}",
                problem.message
            ),
            (None, None) => {
                format!("its file {shown} is gone; the last good version runs until a controller removes it")
            }
        })
    }
}

/// The file of an object that a controller follows.
fn followed<'a>(facts: &'a Facts, object: &ObjectRef) -> Option<&'a Path> {
    let stored = facts.stored.objects.get(object)?;
    is_live(&facts.stored, stored).then(|| Path::new(&stored.metadata.source))
}

/// The first error of a file, with its place.
fn first(file: &FileReading) -> String {
    file.problems.first().map_or_else(String::new, |problem| format!("{}: {}", problem.place, problem.message))
}

/// The same in a few words for a table, as far as a glance and the controller can tell.
#[must_use]
pub fn note(facts: &Facts, object: &ObjectRef) -> Option<String> {
    let file = followed(facts, object)?;
    match facts.broken_files.get(&*file.to_string_lossy()) {
        Some(place) => Some(format!("its file has an error ({place})")),
        None => (!file.exists()).then(|| "its file is gone".to_owned()),
    }
}
