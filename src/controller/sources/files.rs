//! The files of a drop folder: which are meant, what they are, and the letters they become.
//!
//! In: a folder. Out: its files in the order of their times, and the bytes of one. Not here: when a file is ready.
//! The surprise: the name of a message is made of the file's name, content and identity. A file that is read twice, since
//! the controller died before it was removed, is the same message; the same file put there twice is two.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::store::PAYLOAD_MAX;

/// The most entries of a folder that are looked at in one go.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// Where files are written before they are put into the folder, and where those go that cannot be taken.
const FOLDERS: [&str; 2] = ["tmp", super::aside::FOLDER];

/// Ends of names of files that are being written.
const UNFINISHED: [&str; 3] = [".tmp", ".part", "~"];

/// The longest subject, in bytes, less than a letter may have.
const SUBJECT_MAX: usize = 400;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// When it was last written, in nanoseconds.
    pub modified: i128,
    inode: u64,
    born: u128,
    length: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub stamp: Stamp,
    pub is_file: bool,
}

/// What came of reading a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// All of it, and whose it is.
    Whole { bytes: Vec<u8>, owner: u32 },
    /// It is not there any more, or another one.
    Changed,
    /// It cannot be a message, whatever comes.
    Unfit { why: String, help: &'static str },
    /// It cannot be read now.
    Trouble(String),
}

impl Entry {
    fn of(meta: &Metadata) -> Entry {
        let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let stamp = Stamp {
            modified: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            inode: meta.ino(),
            born: born.map_or(0, |born| born.as_nanos()),
            length: meta.len(),
        };
        Entry { stamp, is_file: meta.is_file() }
    }

    /// True when it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.stamp.length == 0
    }
}

/// True for names that are no messages, or not yet.
pub(super) fn is_ignored(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let is_unfinished = |end: &&str| bytes.ends_with(end.as_bytes());
    bytes.is_empty() || bytes.starts_with(b".") || UNFINISHED.iter().any(is_unfinished)
}

/// The entries that are meant, oldest first.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(OsString, Entry)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_ignored(&name) {
            continue;
        }
        match entry.metadata() {
            Ok(meta) if meta.is_dir() && FOLDERS.iter().any(|known| name == **known) => {}
            Ok(meta) => found.push((name, Entry::of(&meta))),
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if found.len() >= ENTRIES_MAX {
            break;
        }
    }
    found.sort_by(|(a, first), (b, second)| (first.stamp.modified, a).cmp(&(second.stamp.modified, b)));
    Ok(found)
}

/// True when the file is still the one that was looked at.
pub(super) fn is_same(path: &Path, stamp: Stamp) -> bool {
    path.symlink_metadata().is_ok_and(|meta| Entry::of(&meta).stamp == stamp)
}

/// Reads a file to its end.
pub(super) fn read(path: &Path, entry: Entry) -> Content {
    if !entry.is_file {
        let help = "put files into the folder: no folders, links or pipes";
        return Content::Unfit { why: "it is no regular file".to_owned(), help };
    }
    if entry.stamp.length > PAYLOAD_MAX as u64 {
        let why = format!("it has {} bytes, at most {PAYLOAD_MAX} are taken", entry.stamp.length);
        return Content::Unfit { why, help: "put it elsewhere, and its path into the message" };
    }
    match read_whole(path, entry.stamp) {
        Ok(content) => content,
        Err(error) => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => Content::Changed,
            Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
                let why = "it may not be read by whom the controller runs as".to_owned();
                Content::Unfit { why, help: "let it be read (chmod, chown)" }
            }
            _ => Content::Trouble(format!("{}: {}", path.display(), words(&error))),
        },
    }
}

fn read_whole(path: &Path, stamp: Stamp) -> io::Result<Content> {
    // What was a file a moment ago may be a link or a pipe by now.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    (&file).take(PAYLOAD_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let meta = file.metadata()?;
    let is_whole = Entry::of(&meta).stamp == stamp && bytes.len() as u64 == stamp.length;
    Ok(if is_whole { Content::Whole { bytes, owner: meta.uid() } } else { Content::Changed })
}

/// The system's words alone, as everywhere else.
pub(super) fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), crate::record::words_of)
}

/// The id of the message that a file is.
pub(super) fn id(name: &OsStr, stamp: Stamp, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [name.as_bytes(), bytes] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(stamp.inode.to_be_bytes());
    hash.update(stamp.born.to_be_bytes());
    hash.update(stamp.modified.to_be_bytes());
    let hex: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let plain = |c: char| if c == '.' { '-' } else { c };
    let name = name.to_string_lossy();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain: String =
        name.chars().map(plain).filter(is_plain).skip_while(|c| !c.is_alphanumeric()).take(40).collect();
    if plain.is_empty() { format!("file-{hex}") } else { format!("{plain}-{hex}") }
}

/// The name of a file as a subject: one line of text.
pub(super) fn subject(name: &OsStr) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut subject = String::new();
    for c in name.to_string_lossy().chars().map(shown) {
        if subject.len() + c.len_utf8() > SUBJECT_MAX {
            break;
        }
        subject.push(c);
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_that_are_being_written_are_no_messages() {
        let table = [("a", false), ("a.json", false), (".a", true), ("a.tmp", true), ("a.part", true), ("a~", true)];
        for (name, expected) in table {
            assert_eq!(is_ignored(OsStr::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn one_file_is_one_message_however_often_it_is_read() {
        let stamp = Stamp { modified: 5, inode: 7, born: 3, length: 1 };
        let of = |name: &[u8], stamp, bytes: &[u8]| id(OsStr::from_bytes(name), stamp, bytes);
        let first = of(b"order 1.json", stamp, b"a");
        assert!(first.starts_with("order1-json-"), "{first}");
        assert_eq!(first, of(b"order 1.json", stamp, b"a"));
        let others = [
            of(b"order 2.json", stamp, b"a"),
            of(b"order 1.json", stamp, b"b"),
            of(b"order 1.json", Stamp { inode: 8, ..stamp }, b"a"),
            of(b"order 1.json", Stamp { modified: 6, ..stamp }, b"a"),
            of(b"order 1.json", Stamp { born: 4, ..stamp }, b"a"),
        ];
        assert!(others.iter().all(|other| *other != first), "{others:?}");
        for name in [b"\xff\n".as_slice(), b"---", "\u{e4}".as_bytes(), &[b'x'; 255], b"7"] {
            let id = of(name, stamp, b"a");
            assert_eq!(crate::engine::queue::message::name_of(&id), id, "it is a name as it stands");
        }
    }

    #[test]
    fn a_subject_is_one_line_and_fits() {
        assert_eq!(subject(OsStr::from_bytes(b"a\nb\xff")), "a\u{fffd}b\u{fffd}");
        assert!(subject(OsStr::from_bytes(&[0xff; 255])).len() <= SUBJECT_MAX);
    }
}
