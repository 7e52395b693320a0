//! Reads what an attempt has printed: the result of its run.
//!
//! In: where its output begins in the log, from its birth record. Out: its standard output as text. Not here: following
//! a log, and what a result is used for.
//! The surprise: it is read from the log once the attempt is over, so a payload needs no second pipe and a shim no
//! memory; and whatever is missing of it is said in the text itself, since nobody else is told.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::record::cut;
use crate::record::logline::{self, Source, Tag};

/// The most bytes of a result.
pub const TEXT_MAX: usize = 64 << 10;
/// The most bytes of log that are read for one.
pub const READ_MAX: u64 = 8 << 20;

/// What an attempt has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The first [`TEXT_MAX`] bytes.
    pub text: String,
    /// How long it was, in words, when that is not all of it.
    pub size: Option<String>,
}

/// The output of the last attempt of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The folder of the log files.
    pub folder: PathBuf,
    /// What their names begin with: the cause.
    pub prefix: String,
    /// The number of the file it begins in; 0 when that is not known, and there is no result.
    pub log_file: u32,
    /// Where in that file, in bytes.
    pub log_offset: u64,
}

impl Capture {
    /// Its standard output, without the last newline; nothing when it has printed none, or its log cannot be read. What
    /// is no UTF-8 becomes U+FFFD, and so does a zero byte.
    #[must_use]
    pub fn stdout(&self) -> Option<Printed> {
        let first = (self.log_file > 0).then(|| self.first()).flatten()?;
        let is_rotated = first != self.log_file;
        let mut taken = Taken { text: Vec::new(), length: 0, is_full_line: false, left: READ_MAX };
        let mut is_whole = true;
        for number in first..=u32::MAX {
            let offset = if number == self.log_file { self.log_offset } else { 0 };
            let Some(file) = self.open(number) else { break };
            is_whole = taken.file(file, offset).ok()?;
            if !is_whole {
                break;
            }
        }
        if taken.text.is_empty() && is_whole {
            return None;
        }
        Some(taken.printed(is_rotated, is_whole))
    }

    /// The first file that has some of it: the one it began in, unless that has been rotated away.
    fn first(&self) -> Option<u32> {
        if self.open(self.log_file).is_some() {
            return Some(self.log_file);
        }
        let number = |name: &OsStr| -> Option<u32> {
            let rest = name.to_str()?.strip_prefix(&self.prefix)?;
            rest.strip_prefix('.')?.strip_suffix(".log")?.parse().ok()
        };
        let names = std::fs::read_dir(&self.folder).ok()?.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| number(&name)).filter(|number| *number > self.log_file).min()
    }

    fn open(&self, number: u32) -> Option<File> {
        open(&self.folder.join(format!("{}.{number:06}.log", self.prefix)))
    }
}

/// Opens a regular file. Whoever runs as us could have left anything there, and nothing here may wait for it.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

/// What has been read so far, and how much more may be.
struct Taken {
    /// The beginning: a little more than is kept, so that what is cut is noticed.
    text: Vec<u8>,
    /// The length of all of it, in bytes.
    length: u64,
    /// It ends with a newline.
    is_full_line: bool,
    left: u64,
}

impl Taken {
    /// Takes the standard output from one file; false when that was enough, and there may be more.
    fn file(&mut self, mut file: File, offset: u64) -> std::io::Result<bool> {
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            // One byte more than allowed, so that the end of the file is told from the end of what may be read.
            let length = lines.by_ref().take(self.left + 1).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                return Ok(true);
            }
            if length > self.left {
                return Ok(false);
            }
            self.left -= length;
            // A line that a power cut tore is none, nor is what somebody else has written.
            let Some(read) = line.strip_suffix(b"\n").and_then(logline::parse) else { continue };
            if read.source == Source::Stdout {
                self.is_full_line = read.tag == Tag::Full;
                self.take(read.text);
                if self.is_full_line {
                    self.take(b"\n");
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = (TEXT_MAX + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The bytes as text. Only together, so that a character whose halves came in two parts is one again.
    fn printed(&self, is_rotated: bool, is_whole: bool) -> Printed {
        let length = self.length - u64::from(is_whole && self.is_full_line);
        let bytes = self.text.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(&self.text);
        let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let size = match (is_rotated, is_whole, length > TEXT_MAX as u64) {
            (true, _, _) => Some("no longer in the log as a whole".to_owned()),
            (false, true, true) => Some(format!("{length} bytes")),
            (false, false, true) => Some(format!("more than {length} bytes")),
            (false, false, false) => Some("in a log too long to be read".to_owned()),
            // What is no text takes three bytes for one.
            (false, true, false) => (text.len() > TEXT_MAX).then(|| format!("{} bytes as text", text.len())),
        };
        Printed { text: cut(&text, TEXT_MAX).to_owned(), size }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Capture, Printed, READ_MAX, TEXT_MAX};
    use crate::record::logline::{Source, Stamp, Tag, head};

    const OUT: Source = Source::Stdout;
    const ERR: Source = Source::Stderr;

    fn line(source: Source, tag: Tag, text: &[u8]) -> Vec<u8> {
        [&head(&Stamp::new(7), source, tag), text, b"\n"].concat()
    }

    fn full(source: Source, text: &str) -> Vec<u8> {
        line(source, Tag::Full, text.as_bytes())
    }

    struct Lab(tempfile::TempDir);

    impl Lab {
        fn new(files: &[(u32, Vec<u8>)]) -> Lab {
            let lab = Lab(tempfile::tempdir().expect("a folder"));
            for (number, bytes) in files {
                std::fs::write(lab.path().join(format!("7.{number:06}.log")), bytes).expect("a file");
            }
            lab
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn printed(&self, log_file: u32, log_offset: usize) -> Option<Printed> {
            let (folder, prefix) = (self.path().to_owned(), "7".to_owned());
            Capture { folder, prefix, log_file, log_offset: log_offset as u64 }.stdout()
        }

        /// All of what was printed.
        fn from(&self, log_file: u32, log_offset: usize) -> Option<String> {
            let Printed { text, size } = self.printed(log_file, log_offset)?;
            assert_eq!(size, None, "{text}");
            Some(text)
        }

        /// How long it says it was.
        fn size(&self, log_file: u32, log_offset: usize) -> Option<String> {
            self.printed(log_file, log_offset)?.size
        }
    }

    #[test]
    fn the_output_of_one_attempt_is_joined() {
        let before = full(OUT, "of the attempt before");
        let parts = [
            full(OUT, "one"),
            full(ERR, "words"),
            line(OUT, Tag::Partial, b"t\xc3"),
            line(ERR, Tag::Partial, b"more "),
            line(OUT, Tag::Partial, b"\xa4"),
            full(ERR, "words"),
            full(OUT, "o"),
            full(OUT, ""),
            line(OUT, Tag::Partial, b"end"),
        ];
        let lab = Lab::new(&[(3, [before.clone(), parts.concat()].concat())]);
        assert_eq!(lab.from(3, before.len()).as_deref(), Some("one\nt\u{e4}o\n\nend"));
        assert_eq!(lab.from(3, 0).as_deref(), Some("of the attempt before\none\nt\u{e4}o\n\nend"));
    }

    #[test]
    fn one_newline_at_the_end_is_left_out_and_what_is_no_text_is_shown() {
        let lab = Lab::new(&[(1, [full(OUT, "a"), full(OUT, "")].concat())]);
        assert_eq!(lab.from(1, 0).as_deref(), Some("a\n"));
        let lab = Lab::new(&[(1, line(OUT, Tag::Full, b"a\xffb\0c"))]);
        assert_eq!(lab.from(1, 0).as_deref(), Some("a\u{fffd}b\u{fffd}c"));
    }

    #[test]
    fn who_printed_nothing_has_no_result() {
        let lab = Lab::new(&[(1, full(ERR, "words")), (2, Vec::new())]);
        assert_eq!(lab.from(1, 0), None);
        assert_eq!(lab.from(2, 0), None);
        assert_eq!(lab.from(2, 100), None);
        assert_eq!(lab.from(3, 0), None);
        assert_eq!(lab.from(0, 0), None);
        let gone = Capture { folder: lab.path().join("gone"), prefix: "7".to_owned(), log_file: 1, log_offset: 0 };
        assert_eq!(gone.stdout(), None);
    }

    #[test]
    fn files_follow_each_other_and_those_of_others_are_left_alone() {
        let lab = Lab::new(&[(1, full(OUT, "one")), (2, full(OUT, "two")), (3, full(OUT, "three"))]);
        for other in ["70.000004.log", "7.000004.log.swp", "7.x.log", "1.000004.log"] {
            std::fs::write(lab.path().join(other), full(OUT, "other")).expect("a file");
        }
        assert_eq!(lab.from(1, 0).as_deref(), Some("one\ntwo\nthree"));
        assert_eq!(lab.from(2, 0).as_deref(), Some("two\nthree"));
        std::fs::remove_file(lab.path().join("7.000001.log")).expect("a file");
        let printed = lab.printed(1, 20).expect("the rest");
        assert_eq!(printed.text, "two\nthree");
        assert_eq!(printed.size.as_deref(), Some("no longer in the log as a whole"));
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        let torn = [full(OUT, "a"), b"2026-11-21T03:00:00.0".to_vec()].concat();
        let lab = Lab::new(&[(1, torn), (2, [b"no line of ours\n".to_vec(), full(OUT, "b")].concat())]);
        assert_eq!(lab.from(1, 0).as_deref(), Some("a\nb"));
        assert_eq!(lab.from(1, 3).as_deref(), Some("b"));
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character_and_says_so() {
        let fits = "x".repeat(TEXT_MAX);
        let lab = Lab::new(&[(
            1,
            [line(OUT, Tag::Partial, &fits.as_bytes()[..60_000]), full(OUT, &fits[60_000..])].concat(),
        )]);
        assert_eq!(lab.from(1, 0), Some(fits));
        let lab = Lab::new(&[(1, [full(OUT, &"x".repeat(60_000)), full(OUT, &"x".repeat(60_000))].concat())]);
        assert_eq!(lab.size(1, 0).as_deref(), Some("120001 bytes"));
        for character in ["x", "\u{e4}", "\u{20ac}", "\u{1f600}"] {
            let text = character.repeat(4000);
            let lines: Vec<u8> = (0..40).flat_map(|_| full(OUT, &text)).collect();
            let Printed { text: kept, size } = Lab::new(&[(1, lines)]).printed(1, 0).expect("a result");
            assert!(kept.len() <= TEXT_MAX && kept.len() > TEXT_MAX - 4, "{} bytes", kept.len());
            assert_eq!(size, Some(format!("{} bytes", 40 * (text.len() + 1) - 1)));
            assert!(kept.chars().all(|c| c == '\n' || character.contains(c)), "{character}");
        }
        // Each byte that is no text takes three.
        let lines: Vec<u8> = (0..20).flat_map(|_| line(OUT, Tag::Partial, &[0xff; 2000])).collect();
        let found = Lab::new(&[(1, lines)]).printed(1, 0).expect("a result");
        assert!(found.text.len() <= TEXT_MAX, "{} bytes", found.text.len());
        assert_eq!(found.size.as_deref(), Some("120000 bytes as text"));
    }

    #[test]
    fn a_log_is_read_to_a_bound() {
        let words: Vec<u8> = (0..300).flat_map(|_| full(ERR, &"w".repeat(30_000))).collect();
        assert!(words.len() as u64 > READ_MAX);
        let lab = Lab::new(&[(1, [full(OUT, "begin"), words, full(OUT, "end")].concat())]);
        assert_eq!(lab.size(1, 0).as_deref(), Some("in a log too long to be read"));
        let words: Vec<u8> = (0..300).flat_map(|_| full(OUT, &"w".repeat(30_000))).collect();
        let size = Lab::new(&[(1, words)]).size(1, 0).expect("it is cut");
        assert!(size.starts_with("more than 83") && size.ends_with(" bytes"), "{size}");
        // A file without any line end, as no shim writes one.
        let lab = Lab::new(&[(1, vec![b'x'; 9 << 20])]);
        assert_eq!(lab.size(1, 0).as_deref(), Some("in a log too long to be read"));
    }

    #[test]
    fn nothing_is_waited_for() {
        let lab = Lab::new(&[]);
        let path = lab.path().join("7.000001.log");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        assert_eq!(lab.from(1, 0), None);
        std::os::unix::fs::symlink("/dev/zero", lab.path().join("7.000002.log")).expect("a link");
        assert_eq!(lab.from(2, 0), None);
    }
}
