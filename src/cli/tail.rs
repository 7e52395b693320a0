//! Prints the end of a plain file, and what is added to it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::{Failure, Outcome, exit};

/// How often a followed file is looked at.
const FOLLOW: Duration = Duration::from_millis(200);

/// Prints the last `count` lines of `path`, and goes on when asked to.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn run(path: &Path, count: usize, follow: bool) -> Outcome {
    let failed = |error| Failure::new(exit::FAILED, format!("{} cannot be read: {error}", path.display()));
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let lines: Vec<&str> = text.lines().collect();
    let last: String = lines.iter().skip(lines.len().saturating_sub(count)).map(|line| format!("{line}\n")).collect();
    super::print(&last)?;
    let mut position = text.len() as u64;
    if !follow {
        return Ok(exit::OK);
    }
    loop {
        std::thread::sleep(FOLLOW);
        let Ok(mut file) = File::open(path) else { continue };
        let length = file.metadata().map_or(0, |meta| meta.len());
        if length < position {
            // It was rotated: the newer file begins anew.
            position = 0;
        }
        let mut more = String::new();
        if file.seek(SeekFrom::Start(position)).is_ok() && file.read_to_string(&mut more).is_ok() {
            position += more.len() as u64;
            super::print(&more)?;
        }
    }
}
