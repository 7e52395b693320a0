//! Reads what an instance printed, line by line, over rotations and restarts.
//!
//! In: a home and an instance. Out: whole lines with their moments. Not here: which lines are shown, and how.
//! The surprise: a line without an end is waited for before it counts as one, so that the question of a prompt is shown
//! and a line that is being written is not torn.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Failure, exit};
use crate::engine::InstanceId;
use crate::home::Home;
use crate::observe::{clock, records};
use crate::record::logline::{self, Source, Tag};

/// The longest line that is read in one piece; what is longer is printed in several.
const LINE_MAX: u64 = 1 << 20;

/// How long the rest of a line is waited for, such as the question of a prompt.
const REST: Duration = Duration::from_secs(1);

/// A whole line: partial ones are joined.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// Where to.
    pub is_stderr: bool,
    /// What.
    pub text: String,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first line there is.
    Start,
    /// So many lines before the end.
    Tail(usize),
    /// With the attempt before the present one, and ends with that.
    Previous,
}

/// Reads the log files of one instance in order.
#[derive(Debug)]
pub struct Reader {
    /// Which.
    pub id: InstanceId,
    folder: PathBuf,
    file: Option<(u32, BufReader<File>)>,
    /// Where to stop: the file and offset a later attempt begins at.
    end: Option<(u32, u64)>,
    /// What was read of a line whose end has not come.
    torn: Vec<u8>,
    /// What came of a line of stdout, and of stderr, whose rest has not come.
    open: [Option<Line>; 2],
    /// Lines begun before this count as whole where no more is to be read.
    rest_until_ns: u64,
    next: Option<Line>,
}

impl Reader {
    /// Opens the logs of an instance; none there read as empty ones.
    ///
    /// # Errors
    /// When there is no previous attempt, and that one is asked for.
    pub fn open(home: &Home, id: &InstanceId, from: From) -> Result<Reader, Failure> {
        let folder = home.logs(&id.object);
        let (file, end, torn, open, next) = (None, None, Vec::new(), [None, None], None);
        let mut reader = Reader { id: id.clone(), folder, file, end, torn, open, rest_until_ns: u64::MAX, next };
        let mut start = (0, 0);
        match from {
            From::Start => {}
            From::Tail(tail) => start = reader.tail(tail),
            From::Previous => {
                let records = home.records(id);
                let number = records::last_number(&records).ok().flatten().unwrap_or(0);
                let begin = |number: u32| {
                    let birth = records::attempt_of(&records, number).ok().flatten()?.birth?;
                    Some((birth.log_file, birth.log_offset))
                };
                let Some((previous, last)) = number.checked_sub(1).and_then(|n| begin(n).zip(begin(number))) else {
                    let text = format!("{id} has no attempt before the present one\n  help: leave out --previous");
                    return Err(Failure::new(exit::NOT_FOUND, text));
                };
                (start, reader.end) = (previous, Some(last));
            }
        }
        reader.open_from(start.0, start.1);
        Ok(reader)
    }

    fn numbers(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let prefix = format!("{}.", self.id.cause);
        let number = |name: String| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok();
        let mut numbers: Vec<u32> =
            entries.flatten().filter_map(|e| number(e.file_name().into_string().ok()?)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}.{number:06}.log", self.id.cause))
    }

    /// Where the last `count` lines begin.
    fn tail(&self, mut count: usize) -> (u32, u64) {
        let numbers = self.numbers();
        for number in numbers.iter().rev() {
            match last_lines(&self.path(*number), count) {
                Ok(Found::At(offset)) => return (*number, offset),
                Ok(Found::Fewer(lines)) => count -= lines,
                Err(_) => {}
            }
        }
        (0, 0)
    }

    fn open_from(&mut self, number: u32, offset: u64) {
        let Some(first) = self.numbers().into_iter().find(|n| *n >= number) else { return };
        if let Ok(mut file) = File::open(self.path(first)) {
            let offset = if first == number { offset } else { 0 };
            self.file = file.seek(SeekFrom::Start(offset)).is_ok().then(|| (first, BufReader::new(file)));
        }
    }

    /// Looks for a first file where there was none, and gives the rest of lines some time to come.
    pub fn go_on(&mut self) {
        self.rest_until_ns = clock::wall().nanos().saturating_sub(REST.as_nanos() as u64);
        if self.file.is_none() {
            self.open_from(0, 0);
        }
    }

    /// Nothing more is to come: what there is of a line is all of it.
    pub fn end_here(&mut self) {
        self.rest_until_ns = u64::MAX;
    }

    /// The next line, which stays.
    pub fn peek(&mut self) -> Option<&Line> {
        if self.next.is_none() {
            self.next = self.read();
        }
        self.next.as_ref()
    }

    /// The next line that was looked at.
    pub fn take(&mut self) -> Option<Line> {
        self.next.take()
    }

    fn read(&mut self) -> Option<Line> {
        loop {
            let (number, file) = self.file.as_mut()?;
            if let Some((end_file, end_offset)) = self.end
                && (*number, file.stream_position().ok()?) >= (end_file, end_offset)
            {
                return self.rest();
            }
            let length = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut self.torn).ok()?;
            if length == 0 || !self.torn.ends_with(b"\n") {
                let after = *number;
                let Some(next) = self.numbers().into_iter().find(|n| *n > after) else { return self.rest() };
                // A newer file exists, so this one is complete: what has no newline never gets one.
                self.torn.clear();
                self.open_from(next, 0);
                continue;
            }
            if let Some(line) = self.whole() {
                return Some(line);
            }
        }
    }

    /// A line whose end has not come for too long.
    fn rest(&mut self) -> Option<Line> {
        let until = self.rest_until_ns;
        self.open.iter_mut().find_map(|open| open.take_if(|line| line.wall_ns <= until))
    }

    /// The line just read, once all parts of it are there.
    fn whole(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.torn);
        let read = logline::parse(bytes.strip_suffix(b"\n").unwrap_or(&bytes))?;
        let is_stderr = read.source == Source::Stderr;
        let text = String::from_utf8_lossy(read.text);
        let [stdout, stderr] = &mut self.open;
        let open = if is_stderr { stderr } else { stdout };
        let line = open.get_or_insert_with(|| Line { wall_ns: read.wall_ns, is_stderr, text: String::new() });
        line.text.push_str(&text);
        let is_over = read.tag == Tag::Full || line.text.len() as u64 >= LINE_MAX;
        if is_over { open.take() } else { None }
    }
}

enum Found {
    /// The lines begin here.
    At(u64),
    /// The file has only so many.
    Fewer(usize),
}

/// Where the last `count` lines of a file begin, read from its end.
fn last_lines(path: &Path, count: usize) -> std::io::Result<Found> {
    const BLOCK: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let mut at = file.metadata()?.len();
    let mut seen = 0;
    if count == 0 {
        return Ok(Found::At(at));
    }
    while at > 0 {
        let size = BLOCK.min(at);
        at -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if seen == count {
                return Ok(Found::At(at + index as u64 + 1));
            }
            seen += 1;
        }
    }
    Ok(if seen >= count { Found::At(0) } else { Found::Fewer(seen) })
}
