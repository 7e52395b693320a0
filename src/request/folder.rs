//! The folder of requests: written whole, claimed by a rename, removed when all is done.
//!
//! In: requests. Out: those that wait and those that were claimed, oldest first. Not here: carrying one out.
//! The surprise: every step is one rename that the disk has before the next begins, so whoever dies in between leaves the
//! step before or the step after.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{HANDOFF_MAX, Refused, Request, VERSION, WAITING_MAX};
use crate::home::{Home, sync_folder, write_new};

/// The largest request that is read, in bytes: one instance of an object takes some twenty.
const SIZE_MAX: u64 = 4 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the request.
    pub id: String,
    /// Somebody has begun to carry it out.
    pub is_claimed: bool,
}

impl Folder {
    /// The folder of a home. Nothing is touched.
    #[must_use]
    pub fn of(home: &Home) -> Folder {
        Folder { path: home.requests() }
    }

    /// Makes it when there is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    /// Writes a request with its handoff; the disk has both when this returns.
    ///
    /// # Errors
    /// When too many wait, or the system says no; then there is no request.
    pub fn add(&self, request: &Request, handoff: Option<&[u8]>) -> Result<(), Refused> {
        self.create()?;
        if self.entries()?.len() >= WAITING_MAX {
            let text = format!(
                "{WAITING_MAX} requests wait already\n  help: a controller carries them out: setpoint controller start"
            );
            return Err(Refused::Unfit(text));
        }
        let draft = self.path.join(format!(".{}", request.id));
        let bytes = serde_json::to_vec_pretty(request).map_err(io::Error::from)?;
        let written = handoff
            .map_or(Ok(()), |bytes| write_new(&self.handoff(&request.id), bytes))
            .and_then(|()| write_new(&draft, &bytes))
            .and_then(|()| std::fs::rename(&draft, self.waiting(&request.id)))
            .and_then(|()| sync_folder(&self.path));
        if let Err(error) = written {
            _ = std::fs::remove_file(&draft);
            self.remove(&request.id);
            return Err(Refused::Files(error));
        }
        Ok(())
    }

    /// What is there, oldest first.
    ///
    /// # Errors
    /// When the folder is there and cannot be listed.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let waiting = name.strip_suffix(".json").map(|id| (id, false));
            let claimed = || name.strip_suffix(".claimed").map(|id| (id, true));
            let known = waiting.or_else(claimed).map(|(id, is_claimed)| Entry { id: id.to_owned(), is_claimed });
            found.extend(known);
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Claims a request: from here on it is carried out once. False when it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn claim(&self, id: &str) -> io::Result<bool> {
        match std::fs::rename(self.waiting(id), self.claimed(id)) {
            Ok(()) => sync_folder(&self.path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// When it cannot be read, or is none of a format known here.
    pub fn read(&self, entry: &Entry) -> io::Result<Request> {
        let path = if entry.is_claimed { self.claimed(&entry.id) } else { self.waiting(&entry.id) };
        let unknown = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let request: Request =
            serde_json::from_slice(&bounded(&path, SIZE_MAX)?).map_err(|error| unknown(error.to_string()))?;
        let is_known = request.version == VERSION && request.id == entry.id;
        if is_known { Ok(request) } else { Err(unknown("it has another format, or another name".to_owned())) }
    }

    /// What its successor is to be given.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_handoff(&self, id: &str) -> io::Result<Vec<u8>> {
        bounded(&self.handoff(id), HANDOFF_MAX as u64)
    }

    /// Removes a request with everything of it. What cannot be removed is found again, and is known to be done.
    pub fn remove(&self, id: &str) {
        for path in [self.handoff(id), self.waiting(id), self.claimed(id)] {
            _ = std::fs::remove_file(path);
        }
    }

    fn waiting(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.json"))
    }

    fn claimed(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.claimed"))
    }

    fn handoff(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.handoff"))
    }
}

/// A regular file of at most `most` bytes.
fn bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file of ours"));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
