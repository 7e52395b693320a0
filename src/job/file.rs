//! Writing the file of a job.
//!
//! In: a path, a text. Out: a file that only its owner reads. Not here: what stands in it.
//! The surprise: it is written beside its place under a hidden name, which no reader of the folder looks at, and gets its
//! own name when all of it is on the disk; so nobody ever reads half of a job.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::home::{Home, random_hex, sync_folder, write_new};

/// Writes a file; one that is there is replaced when that is wanted.
///
/// # Errors
/// What the system says, also when it is there and must not be replaced.
pub fn write(home: &Home, path: &Path, text: &str, overwrite: bool) -> io::Result<()> {
    let folder = home.jobs();
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = folder.join(format!(".{name}.{}", random_hex(4)?));
    let put = write_new(&beside, text.as_bytes()).and_then(|()| match overwrite {
        true => fs::rename(&beside, path),
        // A link is refused where a name is taken; a rename would replace what somebody made meanwhile.
        false => fs::hard_link(&beside, path),
    });
    if put.is_err() || !overwrite {
        // What is left of it is hidden, and read by nobody.
        _ = fs::remove_file(&beside);
    }
    put.and_then(|()| sync_folder(&folder))
}
