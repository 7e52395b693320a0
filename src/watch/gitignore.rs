//! What `.gitignore` files name.
//!
//! In: folders. Out: whether a path below them is named. Not here: any other file of rules.
//! The surprise: the files of the folders above count, too, up to the one that holds `.git`, as they do for git.

use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The name of such a file.
pub const NAME: &str = ".gitignore";

/// The files that count in a folder: its own, then those of the folders above.
#[derive(Clone, Debug, Default)]
pub struct Ignores(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    own: Gitignore,
    above: Ignores,
}

impl Ignores {
    /// Those that count at a base: of all folders above it within its repository.
    #[must_use]
    pub fn above(base: &Path) -> Ignores {
        let is_root = |folder: &&Path| folder.join(".git").exists();
        let Some(root) = base.ancestors().find(is_root) else { return Ignores::default() };
        let mut folders: Vec<&Path> = base.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).collect();
        folders.reverse();
        folders.into_iter().fold(Ignores::default(), |above, folder| above.with(folder))
    }

    /// Those, and that of a folder below them.
    #[must_use]
    pub fn with(&self, folder: &Path) -> Ignores {
        let file = folder.join(NAME);
        if !file.is_file() {
            return self.clone();
        }
        let mut builder = GitignoreBuilder::new(folder);
        // A line that is no pattern counts for nothing, as with git.
        _ = builder.add(&file);
        match builder.build() {
            Ok(own) => Ignores(Some(Arc::new(Link { own, above: self.clone() }))),
            Err(_) => self.clone(),
        }
    }

    /// True when a path is named; the nearest file that says anything counts.
    #[must_use]
    pub fn has(&self, path: &Path, is_folder: bool) -> bool {
        let mut at = self;
        while let Some(link) = &at.0 {
            match link.own.matched(path, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => at = &link.above,
            }
        }
        false
    }
}
