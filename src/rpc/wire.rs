//! One connection: lines in, lines out, all of it bounded.
//!
//! In: a socket. Out: whole lines, and why there is none. Not here: what a line says.
//! The surprise: a socket counts as writable only while three quarters of its buffer are free, and nothing unasked is
//! sent unless it is; so there is room for a last word to a client that does not read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;

/// The longest line that is taken, in bytes.
pub const LINE_MAX: usize = 1 << 20;
/// So much of a longer line is skipped to get to the next one; after that the connection is closed.
const SKIP_MAX: usize = 8 << 20;
/// So much may lie in half lines of all clients together.
const HELD_MAX: usize = 32 << 20;
/// So much is read at a time.
const PAGE: usize = 16 << 10;
/// How long a client may take for the rest of a line, or to read what it is sent.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a client that does not read is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// So many requests a second are taken from one connection in the long run.
const RATE: f64 = 1000.0;
/// And so many at once.
const BURST: f64 = 1000.0;
/// So many bytes cost as much as a request.
const BYTES_PER_REQUEST: f64 = 16384.0;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line, without its end; the last one may lack it.
    Line(Vec<u8>),
    /// A line of more than [`LINE_MAX`] bytes; it has been skipped.
    TooLong,
    /// The rest of a line did not come in time.
    Half,
    /// There is no room for so many half lines.
    Full,
    /// The other side is done.
    End,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// So many of them are known to hold no end of a line.
    looked: usize,
    /// So many of a line that is too long have been skipped.
    skipped: usize,
    begun: Option<Instant>,
    is_over: bool,
    tokens: f64,
    counted: Instant,
    held: Arc<AtomicUsize>,
    share: usize,
    /// A line is on its way out, and its end is not.
    is_torn: bool,
}

impl Wire {
    /// A connection; `held` counts what all of them hold.
    #[must_use]
    pub fn new(stream: UnixStream, held: Arc<AtomicUsize>) -> Wire {
        Wire {
            stream,
            bytes: Vec::new(),
            looked: 0,
            skipped: 0,
            begun: None,
            is_over: false,
            tokens: BURST,
            counted: Instant::now(),
            held,
            share: 0,
            is_torn: false,
        }
    }

    /// The next line. May be given up at any time and asked again.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            if let Some(heard) = self.next() {
                self.account();
                return Ok(heard);
            }
            if self.is_over {
                return Ok(Heard::End);
            }
            match self.begun {
                None => self.stream.readable().await?,
                Some(begun) => {
                    let left = PATIENCE.saturating_sub(begun.elapsed());
                    match tokio::time::timeout(left, self.stream.readable()).await {
                        Ok(ready) => ready?,
                        Err(_) => return Ok(Heard::Half),
                    }
                }
            }
            let count = self.read_more()?;
            if self.held.load(Ordering::Relaxed) > HELD_MAX && self.bytes.len() > PAGE {
                return Ok(Heard::Full);
            }
            self.pay(count).await;
        }
    }

    /// Reads what is there. Not part of the wait, which would keep the page for as long as nothing comes.
    fn read_more(&mut self) -> io::Result<usize> {
        let mut page = [0; PAGE];
        match self.stream.try_read(&mut page) {
            Ok(0) => self.is_over = true,
            Ok(count) => {
                self.bytes.extend_from_slice(page.get(..count).unwrap_or_default());
                self.begun.get_or_insert_with(Instant::now);
                self.account();
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    /// A whole line of what has been read, if there is one.
    fn next(&mut self) -> Option<Heard> {
        let end = self.bytes.iter().skip(self.looked).position(|byte| *byte == b'\n').map(|at| at + self.looked);
        match end {
            Some(end) => {
                let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
                line.pop();
                self.looked = 0;
                self.begun = (!self.bytes.is_empty()).then(Instant::now);
                let length = line.len() + std::mem::take(&mut self.skipped);
                Some(if length > LINE_MAX { Heard::TooLong } else { Heard::Line(line) })
            }
            None if self.skipped > 0 || self.bytes.len() > LINE_MAX => {
                self.skipped += self.bytes.len();
                (self.bytes, self.looked) = (Vec::new(), 0);
                if self.skipped > SKIP_MAX {
                    self.is_over = true;
                    return Some(Heard::TooLong);
                }
                None
            }
            None => {
                self.looked = self.bytes.len();
                let is_last = self.is_over && !self.bytes.is_empty();
                is_last.then(|| Heard::Line(std::mem::take(&mut self.bytes)))
            }
        }
    }

    /// Counts what it holds among what all hold, and gives back what it needs no more.
    fn account(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        let now = self.bytes.capacity();
        self.held.fetch_add(now, Ordering::Relaxed);
        self.held.fetch_sub(self.share, Ordering::Relaxed);
        self.share = now;
    }

    /// Waits as long as what was read is worth.
    async fn pay(&mut self, bytes: usize) {
        #[allow(clippy::cast_precision_loss)]
        self.charge(bytes as f64 / BYTES_PER_REQUEST).await;
    }

    /// Takes note of one request; whoever sends them too fast waits here.
    pub async fn count(&mut self) {
        self.charge(1.0).await;
    }

    async fn charge(&mut self, cost: f64) {
        let past = self.counted.elapsed().as_secs_f64();
        self.counted = Instant::now();
        self.tokens = RATE.mul_add(past, self.tokens).min(BURST) - cost;
        if self.tokens < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.tokens / RATE)).await;
        }
    }

    /// Sends a line. False when the client did not read it in time.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn say(&mut self, line: &[u8]) -> io::Result<bool> {
        self.is_torn = true;
        let mut rest = line;
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match tokio::time::timeout(PATIENCE, self.stream.writable()).await {
                        Ok(ready) => ready?,
                        Err(_) => return Ok(false),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.is_torn = false;
        Ok(true)
    }

    /// Waits until there is room for a line that nobody asked for. False when the client does not make any in time.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn room(&self, patience: Duration) -> io::Result<bool> {
        let begun = Instant::now();
        loop {
            // The runtime only knows that there was room once.
            let mut ends = [PollFd::new(&self.stream, PollFlags::OUT)];
            poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            if ends[0].revents().contains(PollFlags::OUT) {
                return Ok(true);
            }
            if begun.elapsed() >= patience {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says a last word, if the client can hear it.
    pub fn last_word(&self, line: &[u8]) {
        if !self.is_torn {
            // It leaves either way.
            _ = self.stream.try_write(line);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.held.fetch_sub(self.share, Ordering::Relaxed);
    }
}
