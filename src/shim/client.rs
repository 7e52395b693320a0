//! One of those who type into a payload or watch it.
//!
//! In: bytes of its socket, and answers to it. Out: frames, and whether it is still there. Not here: what its words do.
//! The surprise: nothing here waits. What it does not read is kept up to a bound, and beyond that it is cut off, so that
//! it holds up neither the payload nor anybody else.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::record::frame::{Answer, DATA_MAX, HEAD_LEN, Size};

/// The most bytes that are read before they are heard: one whole frame and the beginning of the next.
const INBOX_MAX: usize = 2 * (DATA_MAX + HEAD_LEN);
/// The most bytes that wait to be read by it; the system keeps some more.
const OUTBOX_MAX: usize = 256 << 10;
/// So much is collected before it is sent out of turn.
const OUTBOX_FULL: usize = 64 << 10;

/// A client.
pub struct Client {
    socket: OwnedFd,
    /// What it said and nobody has heard yet.
    pub inbox: Vec<u8>,
    outbox: Vec<u8>,
    sent: usize,
    /// It wants to see what is printed.
    pub is_watching: bool,
    /// Its window, if it has one.
    pub size: Option<Size>,
    has_hung_up: bool,
    is_cut: bool,
}

impl Client {
    /// A client at the other end of a socket that does not block.
    pub fn new(socket: OwnedFd) -> Client {
        Client {
            socket,
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
            is_watching: false,
            size: None,
            has_hung_up: false,
            is_cut: false,
        }
    }

    /// What to wait for, if for anything: an end that was seen would be seen again and again.
    pub fn wish(&self) -> Option<(&OwnedFd, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.has_hung_up && self.inbox.len() < INBOX_MAX);
        flags.set(PollFlags::OUT, self.sent < self.outbox.len());
        (!flags.is_empty()).then_some((&self.socket, flags))
    }

    /// Reads what has come.
    pub fn read(&mut self) {
        let mut bytes = [0; DATA_MAX];
        let room = (INBOX_MAX - self.inbox.len()).min(DATA_MAX);
        let Some(buffer) = bytes.get_mut(..room).filter(|buffer| !buffer.is_empty()) else {
            return;
        };
        match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.has_hung_up = true,
            Ok((length, _)) => self.inbox.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_cut = true,
        }
    }

    /// Says something to it, when it gets round to reading.
    pub fn say(&mut self, answer: &Answer<'_>) {
        answer.put(&mut self.outbox);
        if self.outbox.len() - self.sent > OUTBOX_FULL {
            self.flush();
        }
        if self.outbox.len() - self.sent > OUTBOX_MAX {
            self.cut();
        }
    }

    /// Sends what it will take.
    pub fn flush(&mut self) {
        while let Some(rest) = self.outbox.get(self.sent..)
            && !rest.is_empty()
            && !self.is_cut
        {
            match rustix::net::send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => self.sent += length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.cut(),
            }
        }
        if self.sent == self.outbox.len() {
            // Memory goes back as well: most of the time there is nothing to say.
            self.outbox = Vec::new();
        } else {
            self.outbox.drain(..self.sent);
        }
        self.sent = 0;
    }

    /// Hears and tells it nothing more.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// It is gone, or must go; what it said before it left has been heard as far as there is room.
    pub fn is_gone(&self, has_more_to_say: bool) -> bool {
        self.is_cut || (self.has_hung_up && !has_more_to_say)
    }
}
