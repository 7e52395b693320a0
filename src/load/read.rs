//! Reads one file, bounded and without surprises.
//!
//! In: a path. Out: its text, or why it was refused. Not here: what the text says.
//! The surprise: a FIFO or a device is refused before it is opened, and the open itself never blocks, because a folder
//! may hold anything and a supervisor must not hang on it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::problem::{Problem, Source};

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most that is read from standard input, in bytes; it may be the output of `get` for a whole machine.
pub const STDIN_BYTES_MAX: u64 = 16 << 20;

/// Why a file was not read.
#[derive(Debug)]
pub enum Refused {
    /// It has gone since the folder was listed.
    Gone,
    /// Anything else.
    Problem(Box<Problem>),
}

/// Opens a regular file of a bearable size; nothing is read yet.
///
/// # Errors
/// When it is gone, is no regular file, is larger than [`FILE_BYTES_MAX`], or may not be read.
pub fn open(path: &Path, name: &Arc<str>) -> Result<(File, Metadata), Refused> {
    let before = path.metadata().map_err(|error| refused(name, &error))?;
    check(&before, name)?;
    let flags = i32::try_from((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits()).unwrap_or(0);
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| refused(name, &error))?;
    // Another file may stand at the path by now; what was opened is what counts.
    let metadata = file.metadata().map_err(|error| refused(name, &error))?;
    check(&metadata, name)?;
    Ok((file, metadata))
}

/// Reads an opened file whole.
///
/// # Errors
/// When it has grown beyond the limit meanwhile, or reading fails.
pub fn read(file: File, size: u64, name: &Arc<str>) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| refused(name, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(too_large(name, "1 MiB")) } else { Ok(bytes) }
}

/// Reads standard input whole.
///
/// # Errors
/// When it is larger than [`STDIN_BYTES_MAX`], or reading fails.
pub fn read_stdin(name: &Arc<str>) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| refused(name, &error))?;
    if bytes.len() as u64 > STDIN_BYTES_MAX { Err(too_large(name, "16 MiB")) } else { Ok(bytes) }
}

fn check(metadata: &Metadata, name: &Arc<str>) -> Result<(), Refused> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    };
    if let Some(what) = what {
        let help = "name a regular file, or pipe it in and name `-`";
        return Err(problem(name, format!("this is {what}, not a file"), help));
    }
    if metadata.len() > FILE_BYTES_MAX { Err(too_large(name, "1 MiB")) } else { Ok(()) }
}

fn too_large(name: &Arc<str>, limit: &str) -> Refused {
    problem(name, format!("this is larger than {limit}, so it was not read"), "split it, or move it out of the folder")
}

fn refused(name: &Arc<str>, error: &io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::NotFound => Refused::Gone,
        io::ErrorKind::PermissionDenied => problem(name, "this may not be read".to_owned(), "check its owner and mode"),
        _ => problem(name, format!("this cannot be read: {error}"), "check the disk and try again"),
    }
}

fn problem(name: &Arc<str>, message: String, help: &str) -> Refused {
    Refused::Problem(Box::new(Problem::of_file(name, message, help)))
}

/// The text of a file's bytes, without a byte order mark.
///
/// # Errors
/// When it is not UTF-8, or holds a NUL byte.
pub fn text<'a>(bytes: &'a [u8], name: &Arc<str>) -> Result<&'a str, Box<Problem>> {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if utf16 {
        let help = "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE";
        return Err(Box::new(Problem::of_file(name, "this is UTF-16, not UTF-8", help)));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (good, message, help) = match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            None => return Ok(text),
            Some(at) => (at, "this is a NUL byte", "is this a binary file? manifests are text"),
        },
        Err(error) => {
            (error.valid_up_to(), "this is not UTF-8", "save the file as UTF-8: iconv -f LATIN1 -t UTF-8 FILE")
        }
    };
    let before = String::from_utf8_lossy(&bytes[..good]);
    let problem = Source::new(name, &before).problem(good..good, message.to_owned(), String::new(), help.to_owned());
    Err(Box::new(problem))
}
