//! The log files of one instance: `CAUSE.NNNNNN.log`, numbered upward, never renamed.
//!
//! In: lines. Out: files of whole stamped lines, none beyond the size limit, the oldest unlinked. Not here: pipes.
//! The surprise: a line that cannot be written is dropped and counted, and the next one that can be is preceded by a
//! line that says how many are missing, so that a full disk never stops the payload and never goes unnoticed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::claim::{each_name, open_below};
use super::sys::Pages;
use crate::record::logline::{HEAD_LEN, Source, Stamp, Tag, head};
use crate::record::policy::Policy;
use crate::record::{Text, words_of};

/// Room for lines on their way to the file, in bytes; more than two of the longest.
const ROOM: usize = 192 << 10;

/// Where lines go.
pub struct Log {
    root: PathBuf,
    folder: PathBuf,
    prefix: Vec<u8>,
    max_size: u64,
    max_files: u32,
    file: Option<OwnedFd>,
    number: u32,
    size: u64,
    pages: Pages,
    /// Bytes of `pages` that wait to be written, and the lines in them, without the notice.
    filled: usize,
    lines: u64,
    /// The lost lines that the notice at the beginning of `pages` tells of; 0 when there is no notice.
    told: u64,
    /// Lines lost since the last notice that was written, why, and all there ever were.
    lost: u64,
    lost_why: i32,
    dropped: u64,
}

impl Log {
    /// Opens the newest file, or the next when that one is full. An error is remembered and met by trying again at
    /// every write. `of_run` says which attempt of a run it is for: their folder may hold a file for each of a hundred
    /// thousand runs, and is not listed for one of them.
    ///
    /// # Errors
    /// Only when there is no memory.
    pub fn open(
        root: &Path,
        folder: &Path,
        prefix: &OsStr,
        policy: &Policy,
        of_run: Option<u32>,
    ) -> std::io::Result<Log> {
        let mut log = Log {
            root: root.to_owned(),
            folder: folder.to_owned(),
            prefix: prefix.as_bytes().to_owned(),
            max_size: policy.log_max_size,
            max_files: policy.log_max_files,
            file: None,
            number: 0,
            size: 0,
            pages: Pages::new(ROOM)?,
            filled: 0,
            lines: 0,
            told: 0,
            lost: 0,
            lost_why: 0,
            dropped: 0,
        };
        // Tried again at the first write.
        let _ = match of_run {
            Some(1) => log.advance(),
            Some(_) => log.reopen_first(),
            None => log.reopen(),
        };
        Ok(log)
    }

    /// The number of the file being written, and where its next line goes; 0 when there is none.
    pub fn place(&self) -> (u32, u64) {
        if self.file.is_some() { (self.number, self.size) } else { (0, 0) }
    }

    /// All lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Applies other limits: the size from the next line on, the count at once.
    pub fn limit(&mut self, policy: &Policy) {
        self.max_size = policy.log_max_size;
        if self.max_files != policy.log_max_files {
            self.max_files = policy.log_max_files;
            if let Ok(folder) = open_below(&self.root, &self.folder) {
                self.unlink_old(&folder);
            }
        }
    }

    /// Takes one line. It reaches the file with [`Log::flush`], or before.
    #[inline]
    pub fn put(&mut self, head: &[u8; HEAD_LEN], text: &[u8]) {
        let need = HEAD_LEN + text.len() + 1;
        if self.filled + need > ROOM {
            self.flush();
        }
        let ahead = self.size + self.filled as u64;
        // Without a file there is nothing to rotate; the flush opens one.
        if ahead > 0 && ahead + need as u64 > self.max_size && self.file.is_some() {
            self.flush();
            // When this fails there is no file, and the next write tries again.
            let _ = self.advance();
        }
        if self.filled == 0 && self.lost > 0 {
            self.put_notice();
        }
        let Some(room) = self.pages.bytes().get_mut(self.filled..self.filled + need) else {
            // Cannot be: a text is at most a third of the room.
            return self.lose(1, Errno::NOMEM);
        };
        let (to_head, rest) = room.split_at_mut(HEAD_LEN);
        to_head.copy_from_slice(head);
        if let Some((newline, to_text)) = rest.split_last_mut() {
            to_text.copy_from_slice(text);
            *newline = b'\n';
        }
        self.filled += need;
        self.lines += 1;
    }

    /// Writes what waits. What cannot be written is dropped and counted, and the file ends with a whole line.
    pub fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        let (written, error) = match self.write_all() {
            Ok(()) => (self.filled, None),
            Err((written, error)) => (self.cut_torn(written), Some(error)),
        };
        let kept = match error {
            None => self.lines + u64::from(self.told > 0),
            Some(_) => count_lines(self.pages.bytes().get(..written).unwrap_or(&[])),
        };
        self.size += written as u64;
        if self.told > 0 && kept > 0 {
            self.lost -= self.told.min(self.lost);
        }
        let lost = self.lines.saturating_sub(kept.saturating_sub(u64::from(self.told > 0)));
        if let Some(error) = error {
            self.lose(lost, error);
        }
        self.filled = 0;
        self.lines = 0;
        self.told = 0;
    }

    /// Says what was lost even though no further line comes.
    pub fn confess(&mut self) {
        if self.lost > 0 && self.filled == 0 {
            self.put_notice();
        }
        self.flush();
    }

    /// Gives memory back after a burst, and leaves a file that somebody has deleted. Nothing may wait to be written.
    pub fn rest(&mut self) {
        if self.filled == 0 {
            self.pages.forget();
        }
        let is_deleted =
            self.file.as_ref().is_some_and(|file| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0));
        if is_deleted {
            self.file = None;
        }
    }

    fn lose(&mut self, lines: u64, why: Errno) {
        self.lost += lines;
        self.dropped += lines;
        self.lost_why = why.raw_os_error();
    }

    fn put_notice(&mut self) {
        let words = words_of(self.lost_why);
        let plural = if self.lost == 1 { "line was" } else { "lines were" };
        let text = Text::<256>::of(format_args!("setpoint: {} {plural} lost ({words})\n", self.lost));
        let stamp = Stamp::new(super::sys::wall_ns());
        let head = head(&stamp, Source::Stderr, Tag::Full);
        let length = HEAD_LEN + text.as_bytes().len();
        if let Some(room) = self.pages.bytes().get_mut(..length) {
            let (to_head, to_text) = room.split_at_mut(HEAD_LEN);
            to_head.copy_from_slice(&head);
            to_text.copy_from_slice(text.as_bytes());
            self.filled = length;
            self.told = self.lost;
        }
    }

    /// Writes everything that waits; on failure, how much went out before it.
    fn write_all(&mut self) -> Result<(), (usize, Errno)> {
        if self.file.is_none() {
            self.reopen().map_err(|error| (0, error))?;
        }
        let Some(file) = &self.file else {
            return Err((0, Errno::NOENT));
        };
        let mut written = 0;
        while let Some(rest) = self.pages.bytes().get(written..self.filled)
            && !rest.is_empty()
        {
            match rustix::io::write(file, rest) {
                Ok(0) => return Err((written, Errno::NOSPC)),
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// Takes back the beginning of a line that did not fit; returns how much of what was written stays.
    fn cut_torn(&mut self, written: usize) -> usize {
        let bytes = self.pages.bytes().get(..written).unwrap_or(&[]);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (written - whole) as u64;
        if torn == 0 {
            return whole;
        }
        // By the true size: somebody may have truncated the file under us.
        let Some(file) = &self.file else {
            return whole;
        };
        let cut = rustix::fs::fstat(file).and_then(|stat| {
            rustix::fs::ftruncate(file, u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(torn))
        });
        if cut.is_err() {
            // Opened anew, the file gets a newline first.
            self.file = None;
        }
        whole
    }

    /// Opens the first file there is while it is the only one, which is what nearly every run has.
    fn reopen_first(&mut self) -> Result<(), Errno> {
        let folder = open_below(&self.root, &self.folder).map_err(|error| errno(&error))?;
        let is_there = |number| {
            let name = file_name(&self.prefix, number);
            rustix::fs::statat(&folder, OsStr::from_bytes(name.as_bytes()), AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        if is_there(1) && !is_there(2) { self.go_on(&folder, 1) } else { self.reopen() }
    }

    /// Opens the newest file there is, or the next one when it is full.
    fn reopen(&mut self) -> Result<(), Errno> {
        let folder = open_below(&self.root, &self.folder).map_err(|error| errno(&error))?;
        let newest = self.newest(&folder)?;
        self.go_on(&folder, newest)
    }

    /// The number of the newest file; 0 when there is none.
    fn newest(&self, folder: &OwnedFd) -> Result<u32, Errno> {
        let mut newest = 0;
        each_name(folder, |name| newest = newest.max(file_number(&self.prefix, name).unwrap_or(0)))?;
        Ok(newest)
    }

    /// Opens the file of this number, or the next one when it is full, or there is none.
    fn go_on(&mut self, folder: &OwnedFd, newest: u32) -> Result<(), Errno> {
        self.file = None;
        if newest > 0 {
            let name = file_name(&self.prefix, newest);
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::openat(folder, OsStr::from_bytes(name.as_bytes()), flags, Mode::empty())?;
            let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
            if size < self.max_size {
                self.size = size + end_line(&file, size)?;
                self.number = newest;
                self.file = Some(file);
                return Ok(());
            }
        }
        self.number = newest;
        self.create_next(folder)
    }

    /// Goes on in the next file.
    fn advance(&mut self) -> Result<(), Errno> {
        self.file = None;
        let folder = open_below(&self.root, &self.folder).map_err(|error| errno(&error))?;
        self.create_next(&folder)
    }

    fn create_next(&mut self, folder: &OwnedFd) -> Result<(), Errno> {
        match self.create(folder, self.number.saturating_add(1)) {
            // Somebody else's, or one of a run of the same name that nobody remembers.
            Err(Errno::EXIST) => self.create(folder, self.newest(folder)?.saturating_add(1)),
            created => created,
        }
    }

    fn create(&mut self, folder: &OwnedFd, next: u32) -> Result<(), Errno> {
        let name = file_name(&self.prefix, next);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        self.file = Some(rustix::fs::openat(folder, OsStr::from_bytes(name.as_bytes()), flags, mode)?);
        self.number = next;
        self.size = 0;
        self.unlink_old(folder);
        Ok(())
    }

    fn unlink_old(&self, folder: &OwnedFd) {
        let Some(last) = self.number.checked_sub(self.max_files) else {
            return;
        };
        // A name skipped because the folder changes meanwhile is caught at the next rotation.
        let _ = each_name(folder, |name| {
            if file_number(&self.prefix, name).is_some_and(|number| number <= last) {
                let _ = rustix::fs::unlinkat(folder, OsStr::from_bytes(name), AtFlags::empty());
            }
        });
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Ends the last line of a file whose writer was cut off in it; returns how many bytes that took.
fn end_line(file: &OwnedFd, size: u64) -> Result<u64, Errno> {
    let mut last = [b'\n'];
    if size > 0 {
        rustix::io::pread(file, &mut last, size - 1)?;
    }
    if last == [b'\n'] { Ok(0) } else { Ok(rustix::io::write(file, b"\n")? as u64) }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn file_name(prefix: &[u8], number: u32) -> Text<192> {
    let mut name = Text::new();
    name.push(prefix);
    name.push(Text::<24>::of(format_args!(".{number:06}.log")).as_bytes());
    name
}

/// The number of a log file of this prefix; `None` for any other name.
fn file_number(prefix: &[u8], name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?.strip_prefix(b".")?.strip_suffix(b".log")?;
    let plain = (6..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}
