//! The controller's own log.
//!
//! In: lines. Out: `controller.log`, rotated by size, and stderr when somebody watches. Not here: logs of services.
//! The surprise: old files are numbered downward by renaming, unlike the logs of services: here only one process
//! writes, and people expect `controller.log` to be the newest.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// A file is closed at this size.
const SIZE_MAX: u64 = 10 << 20;

/// How many files are kept beside the newest.
const OLD_FILES: u32 = 4;

#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    is_watched: bool,
}

impl Rotating {
    fn write_line(&mut self, line: &[u8]) {
        if self.is_watched {
            // Nobody to tell when stderr is gone.
            _ = io::stderr().write_all(line);
        }
        if self.size >= SIZE_MAX {
            self.rotate();
        }
        if self.file.is_none() {
            let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path);
            self.size = opened.as_ref().ok().and_then(|f| f.metadata().ok()).map_or(0, |meta| meta.len());
            self.file = opened.ok();
        }
        // A line that cannot be written is lost: supervision does not wait for a disk.
        if self.file.as_mut().is_some_and(|file| file.write_all(line).is_ok()) {
            self.size += line.len() as u64;
        }
    }

    fn rotate(&mut self) {
        let old = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..OLD_FILES).rev() {
            _ = std::fs::rename(old(number), old(number + 1));
        }
        _ = std::fs::rename(&self.path, old(1));
        (self.file, self.size) = (None, 0);
    }
}

#[derive(Clone, Debug)]
struct Log(Arc<Mutex<Rotating>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// Sends the log of this process to `path`, and to stderr when `is_watched`.
pub fn install(path: &Path, is_watched: bool, is_verbose: bool) {
    let log = Log(Arc::new(Mutex::new(Rotating { path: path.to_owned(), file: None, size: 0, is_watched })));
    let level = if is_verbose { Level::DEBUG } else { Level::INFO };
    let subscriber =
        tracing_subscriber::fmt().with_writer(log).with_ansi(false).with_target(false).with_max_level(level);
    // Set once a process; a second controller in one process is no case of ours.
    _ = tracing::subscriber::set_global_default(subscriber.finish());
}
