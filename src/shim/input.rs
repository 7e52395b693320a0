//! The input of a payload and those who type into it: over a pipe, or over a terminal whose output they also see.
//!
//! In: connections to a socket in the folder of the instance. Out: bytes to the payload, its output to them. Not here:
//! the log, which gets the same output from the pump.
//! The surprise: no controller takes part, so its restart cuts nobody; and when several windows are open the smallest
//! counts, since in a larger one than its own a client would see a torn screen.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

use super::client::Client;
use super::ring::Ring;
use super::sys;
use crate::record::frame::{self, Answer, Next, Size, State, Word};

/// The most who look at its terminal at once.
const WATCHERS_MAX: usize = 16;
/// The most clients at once: seats that were forgotten must not keep a poke or a heartbeat out.
pub const CLIENTS_MAX: usize = WATCHERS_MAX + 4;
/// How many things [`Input::wishes`] waits for at most.
pub const WISHES_MAX: usize = 2 + CLIENTS_MAX;
/// The most bytes that wait until the payload takes them; beyond that no more is heard.
const HELD_MAX: usize = 64 << 10;
/// What is said to who finds no seat.
const FULL: &str = "too many are attached already (16); detach one of them";
/// The window of a terminal that nobody has looked at yet.
const FIRST_SIZE: Size = Size { rows: 24, cols: 80 };

/// The input, and who is there.
pub struct Input {
    listener: OwnedFd,
    path: PathBuf,
    line: Line,
    clients: Vec<Client>,
    kept: Ring,
    size: Size,
}

/// Our end of the standard input of the payload.
struct Line {
    end: OwnedFd,
    /// The end the payload reads from, of a terminal; open here too, so that a terminal nobody has open for a moment is
    /// not hung up.
    far: Option<OwnedFd>,
    held: Vec<u8>,
    is_closed: bool,
}

/// A terminal: our end, and the end of the payload.
///
/// # Errors
/// The system's error.
pub fn open_tty() -> std::io::Result<(OwnedFd, OwnedFd)> {
    // Neither may become the terminal of the shim itself, which leads a session.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    rustix::termios::tcsetwinsize(&ours, winsize(FIRST_SIZE))?;
    Ok((ours, theirs))
}

fn winsize(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Input {
    /// Listens at `path` for those who type into `end`; `far` is the end of the payload if it is a terminal. The caller
    /// holds the lock of the instance, so a socket that is there already is left over.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: &Path, end: OwnedFd, far: Option<OwnedFd>) -> std::io::Result<Input> {
        rustix::io::ioctl_fionbio(&end, true)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        rustix::net::bind(&listener, &SocketAddrUnix::new(path)?)?;
        rustix::fs::chmod(path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        rustix::net::listen(&listener, 16)?;
        let line = Line { end, far, held: Vec::new(), is_closed: false };
        let path = path.to_owned();
        Ok(Input { listener, path, line, clients: Vec::new(), kept: Ring::default(), size: FIRST_SIZE })
    }

    /// What to wait for: who comes, room for input, and each client, in this order.
    pub fn wishes(&self) -> impl Iterator<Item = (&OwnedFd, PollFlags)> {
        let nothing = (&self.listener, PollFlags::empty());
        let input = if self.line.held.is_empty() { nothing } else { (&self.line.end, PollFlags::OUT) };
        let clients = self.clients.iter().map(move |client| client.wish().unwrap_or(nothing));
        [(&self.listener, PollFlags::IN), input].into_iter().chain(clients)
    }

    /// Does what has become possible, in the order of [`Input::wishes`].
    pub fn take(&mut self, events: &[PollFlags]) {
        let [listener, input, clients @ ..] = events else {
            return;
        };
        for (client, events) in self.clients.iter_mut().zip(clients) {
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                client.read();
            }
        }
        if !input.is_empty() {
            self.line.write();
        }
        self.settle();
        // Last, when who left has made room.
        if !listener.is_empty() {
            self.accept();
        }
    }

    /// Hears everybody, sends what waits, and forgets who is gone.
    fn settle(&mut self) {
        let Input { clients, line, kept, .. } = self;
        let mut watchers = clients.iter().filter(|client| client.is_watching).count();
        clients.retain_mut(|client| {
            let was_watching = client.is_watching;
            let is_held_up = hear(client, line, kept, was_watching || watchers < WATCHERS_MAX);
            client.flush();
            let is_there = !client.is_gone(is_held_up);
            // Who leaves makes room for who is heard after it.
            watchers = watchers - usize::from(was_watching) + usize::from(is_there && client.is_watching);
            is_there
        });
        self.fit();
    }

    fn accept(&mut self) {
        for _ in 0..CLIENTS_MAX {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(socket) = rustix::net::accept_with(&self.listener, flags) else {
                return;
            };
            let us = rustix::process::geteuid().as_raw();
            if !sys::peer_uid(&socket).is_some_and(|uid| uid == us || uid == 0) {
                continue;
            }
            let mut client = Client::new(socket);
            if self.clients.len() < CLIENTS_MAX {
                self.clients.push(client);
            } else {
                client.say(&Answer::Refused(FULL));
                client.flush();
            }
        }
    }

    /// What the payload has printed to its terminal.
    pub fn print(&mut self, bytes: &[u8]) {
        if self.line.far.is_none() {
            return;
        }
        self.kept.push(bytes);
        for client in self.clients.iter_mut().filter(|client| client.is_watching) {
            client.say(&Answer::Output(bytes));
        }
    }

    /// Gives the terminal the smallest of all windows; when there is none it stays as it is.
    fn fit(&mut self) {
        let sizes = || self.clients.iter().filter_map(|client| client.size);
        let (rows, cols) = (sizes().map(|size| size.rows).min(), sizes().map(|size| size.cols).min());
        let (Some(rows), Some(cols)) = (rows, cols) else {
            return;
        };
        let size = Size { rows, cols };
        // The system tells the payload, when it is another size.
        if size != self.size && rustix::termios::tcsetwinsize(&self.line.end, winsize(size)).is_ok() {
            self.size = size;
        }
    }

    /// Tells everybody that it is over. Who does not read it now sees the end of the stream.
    pub fn end(mut self, how: &str) {
        for client in &mut self.clients {
            client.say(&Answer::Ended(how));
            client.flush();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Does what a client said; true when the rest must wait until the payload has read.
fn hear(client: &mut Client, line: &mut Line, kept: &Ring, has_seat: bool) -> bool {
    let inbox = std::mem::take(&mut client.inbox);
    let mut heard = 0;
    let mut is_held_up = false;
    while let Some(rest) = inbox.get(heard..) {
        let frame = match frame::next(rest) {
            Next::Whole(frame) => frame,
            Next::More => break,
            Next::Foreign => {
                client.cut();
                break;
            }
        };
        match Word::of(&frame) {
            Some(Word::Input(bytes)) => {
                if line.is_closed {
                    client.say(&Answer::Refused("it has closed its standard input"));
                } else if line.held.len() + bytes.len() > HELD_MAX {
                    is_held_up = true;
                    break;
                } else {
                    line.held.extend_from_slice(bytes);
                    line.write();
                }
            }
            Some(Word::Resize(size)) => client.size = (size.rows > 0 && size.cols > 0).then_some(size),
            Some(Word::Watch { .. }) if !has_seat => {
                client.say(&Answer::Refused(FULL));
                client.flush();
                client.cut();
                break;
            }
            Some(Word::Watch { from_kept }) => watch(client, line, from_kept.then_some(kept)),
            Some(Word::Ask) => client.say(&Answer::State(line.state())),
            None => {}
        }
        heard += frame.length();
    }
    client.inbox = inbox;
    client.inbox.drain(..heard);
    is_held_up
}

fn watch(client: &mut Client, line: &Line, kept: Option<&Ring>) {
    if line.far.is_none() {
        client.say(&Answer::Refused("it has no terminal"));
        return;
    }
    client.is_watching = true;
    let Some(kept) = kept else {
        return;
    };
    client.say(&Answer::Kept(&kept.kept()));
    // What was kept need not be a whole screen; a program that fills one draws it again when told of a window.
    if let Ok(group) = rustix::termios::tcgetpgrp(&line.end) {
        sys::signal(-group.as_raw_nonzero().get(), libc::SIGWINCH);
    }
}

impl Line {
    /// Writes what the payload will take.
    fn write(&mut self) {
        let mut written = 0;
        while let Some(rest) = self.held.get(written..)
            && !rest.is_empty()
        {
            match rustix::io::write(&self.end, rest) {
                Ok(length) => written += length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.is_closed = true;
                    written = self.held.len();
                }
            }
        }
        self.held.drain(..written);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn state(&self) -> State {
        let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let unread = rustix::io::ioctl_fionread(self.far.as_ref().unwrap_or(&self.end)).unwrap_or(0);
        let modes = self.far.as_ref().and_then(|far| rustix::termios::tcgetattr(far).ok());
        State {
            is_tty: self.far.is_some(),
            is_lines: modes.is_some_and(|modes| modes.local_modes.contains(LocalModes::ICANON)),
            is_closed: self.is_closed,
            held: short(self.held.len() as u64),
            unread: short(unread),
        }
    }
}
