//! Carries what the payload writes from its two pipes, or its terminal, to the log, line by line.
//!
//! In: bytes of standard output and standard error. Out: stamped lines in the [`Log`]. Not here: files.
//! The surprise: each stream keeps its unfinished line to itself, so the two never mix inside a line; a line without
//! an end is written in parts when it outgrows the buffer, after a second of silence (a prompt), and at the end.

use std::io;
use std::os::fd::OwnedFd;

use super::log::Log;
use super::sys::{self, Pages};
use crate::record::logline::{Source, Stamp, Tag, head};

/// The longest part of a line that is written at once, in bytes.
const LINE_MAX: usize = 64 << 10;
/// How long a stream must be silent before its unfinished line is written and memory given back, in milliseconds.
const SILENCE_MS: u64 = 1000;
/// A read up to this size leaves so little memory behind that it is not worth a timer.
const SMALL: usize = 4096;
/// How many full buffers are taken from a pipe at the end; a stranger may hold it open and write for ever.
const DRAIN_MAX: u32 = 256;

/// Both streams and where they go.
pub struct Pump {
    streams: [Stream; 2],
    log: Log,
    stamp: Stamp,
}

/// One pipe, and the unfinished line that came out of it.
struct Stream {
    source: Source,
    pipe: Option<OwnedFd>,
    pages: Pages,
    held: usize,
    quiet_at: Option<u64>,
    /// It is a terminal, which ends its lines with CR and LF.
    is_tty: bool,
}

/// Sees all output as it is read, whatever becomes of the log.
pub type See<'a> = &'a mut dyn FnMut(Source, &[u8]);

impl Stream {
    fn new(source: Source, pipe: Option<OwnedFd>, is_tty: bool) -> io::Result<Stream> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Stream { source, pipe, pages: Pages::new(LINE_MAX)?, held: 0, quiet_at: None, is_tty })
    }
}

/// What one read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// This many bytes.
    Some(usize),
    /// Nothing now.
    Dry,
    /// Nothing ever again.
    End,
}

impl Pump {
    /// A pump from the two pipes to the log; without a second, the first is a terminal.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(stdout: OwnedFd, stderr: Option<OwnedFd>, log: Log) -> io::Result<Pump> {
        let is_tty = stderr.is_none();
        let out = Stream::new(Source::Stdout, Some(stdout), is_tty)?;
        let streams = [out, Stream::new(Source::Stderr, stderr, is_tty)?];
        Ok(Pump { streams, log, stamp: Stamp::new(0) })
    }

    /// The pipes, `None` for one that has ended.
    pub fn pipes(&self) -> [Option<&OwnedFd>; 2] {
        let [out, err] = &self.streams;
        [out.pipe.as_ref(), err.pipe.as_ref()]
    }

    /// The log.
    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// When [`Pump::quiet`] has something to do, in milliseconds of [`sys::mono_ms`].
    pub fn due(&self) -> Option<u64> {
        self.streams.iter().filter_map(|stream| stream.quiet_at).min()
    }

    /// Takes what is there from each pipe marked ready, at most one buffer.
    pub fn take(&mut self, ready: [bool; 2], see: See<'_>) {
        let Pump { streams, log, stamp } = self;
        for (stream, _) in streams.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            take_one(stream, log, stamp, see);
        }
        log.flush();
    }

    /// Writes unfinished lines that nobody has added to for a second, and gives the memory back.
    pub fn quiet(&mut self, now_ms: u64) {
        for stream in &mut self.streams {
            if stream.quiet_at.is_some_and(|at| at <= now_ms) {
                stream.quiet_at = None;
                self.stamp.set(sys::wall_ns());
                put_held(stream, &mut self.log, &self.stamp);
                stream.pages.forget();
            }
        }
        self.log.confess();
        if self.due().is_none() {
            self.log.rest();
        }
    }

    /// Takes all that is left in the pipes without waiting, and closes them.
    pub fn drain(&mut self, see: See<'_>) {
        let Pump { streams, log, stamp } = self;
        for stream in streams.iter_mut() {
            for _ in 0..DRAIN_MAX {
                match take_one(stream, log, stamp, see) {
                    Read::Some(_) => {}
                    Read::Dry | Read::End => break,
                }
            }
            put_held(stream, log, stamp);
            stream.pipe = None;
        }
        log.confess();
    }
}

fn put_held(stream: &mut Stream, log: &mut Log, stamp: &Stamp) {
    if let Some(text) = stream.pages.bytes().get(..stream.held)
        && !text.is_empty()
    {
        log.put(&head(stamp, stream.source, Tag::Partial), text);
    }
    stream.held = 0;
}

fn take_one(stream: &mut Stream, log: &mut Log, stamp: &mut Stamp, see: See<'_>) -> Read {
    let read = read_more(stream);
    match read {
        Read::Some(length) => {
            stamp.set(sys::wall_ns());
            let filled = stream.held + length;
            see(stream.source, stream.pages.bytes().get(stream.held..filled).unwrap_or_default());
            put_lines(stream, log, stamp, filled);
            let is_worth_a_timer = stream.held > 0 || length > SMALL || stream.quiet_at.is_some();
            stream.quiet_at = is_worth_a_timer.then(|| sys::mono_ms() + SILENCE_MS);
        }
        Read::Dry => {}
        Read::End => {
            stamp.set(sys::wall_ns());
            put_held(stream, log, stamp);
            stream.pipe = None;
        }
    }
    read
}

fn read_more(stream: &mut Stream) -> Read {
    let Some(pipe) = &stream.pipe else {
        return Read::End;
    };
    // Never empty: a full buffer has been written as a part of a line.
    let Some(room) = stream.pages.bytes().get_mut(stream.held..) else {
        return Read::End;
    };
    match rustix::io::read(pipe, room) {
        Ok(0) => Read::End,
        Ok(length) => Read::Some(length),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Read::Dry,
        Err(_) => Read::End,
    }
}

fn without_returns(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

/// Puts every whole line of the first `filled` bytes into the log, and holds the rest.
fn put_lines(stream: &mut Stream, log: &mut Log, stamp: &Stamp, filled: usize) {
    let full = head(stamp, stream.source, Tag::Full);
    let mut from = 0;
    // What was held before has no newline in it.
    let mut search = stream.held;
    let bytes = stream.pages.bytes();
    while let Some(rest) = bytes.get(search..filled)
        && let Some(at) = sys::find(b'\n', rest)
    {
        let end = search + at;
        let line = bytes.get(from..end).unwrap_or(&[]);
        log.put(&full, if stream.is_tty { without_returns(line) } else { line });
        from = end + 1;
        search = from;
    }
    stream.held = filled - from;
    if stream.held == bytes.len() {
        put_held(stream, log, stamp);
    } else if from > 0 && stream.held > 0 {
        bytes.copy_within(from..filled, 0);
    }
}
