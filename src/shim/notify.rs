//! The socket a payload tells of itself on, as `sd_notify` does: ready, alive, and a status in its own words.
//!
//! In: datagrams. Out: whether it is ready, when it was last heard of, and its status in a file. Not here: what
//! follows from either.
//! The surprise: the name is abstract, so that a payload under another user reaches it, and random, so that an older
//! attempt does not; what comes from anybody but the payload's user or ours is dropped unread.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::rand::GetRandomFlags;

use super::sys;
use crate::record::notify::{self, Said};

/// The longest message that is read, in bytes.
const MESSAGE_MAX: usize = 4096;
/// How many messages are taken at once, so that a flood of them does not hold up the log.
const TAKEN_MAX: u32 = 16;
/// The status is written at most once in so many milliseconds.
const WRITE_EVERY_MS: u64 = 1000;

/// Where a payload tells of itself.
pub struct Notify {
    socket: OwnedFd,
    name: String,
    attempt: u32,
    /// It was told how often to give a sign, or has given one; before that none is missed.
    is_watched: bool,
    last_sign_ms: u64,
    is_ready: bool,
    /// It asked to be ended as if it had been silent.
    gave_up: bool,
    /// What is not written yet.
    status: Option<String>,
    written_ms: Option<u64>,
}

impl Notify {
    /// Opens a socket under a new name.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(attempt: u32, is_watched: bool) -> std::io::Result<Notify> {
        let mut random = [0_u8; 16];
        rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
        let name = format!("setpoint/{:032x}", u128::from_ne_bytes(random));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        let last_sign_ms = sys::mono_ms();
        Ok(Notify {
            socket,
            name,
            attempt,
            is_watched,
            last_sign_ms,
            is_ready: false,
            gave_up: false,
            status: None,
            written_ms: None,
        })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// What to wait for.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// It has said `READY=1`.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// It has said `WATCHDOG=trigger`.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Since when it has been silent, in milliseconds of [`sys::mono_ms`]; `None` while no sign is expected of it.
    pub fn silent_since(&self) -> Option<u64> {
        self.is_watched.then_some(self.last_sign_ms)
    }

    /// From now on, silence counts anew.
    pub fn forgive(&mut self, now_ms: u64) {
        self.last_sign_ms = now_ms;
    }

    /// Takes what has come, for a payload with this main process.
    pub fn take(&mut self, main: u32, now_ms: u64) {
        let mut message = [0; MESSAGE_MAX];
        for _ in 0..TAKEN_MAX {
            match sys::receive(&self.socket, &mut message) {
                Ok((length, Some(uid))) if is_believed(uid, main) => {
                    let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                    text.lines().for_each(|line| self.hear(line, now_ms));
                }
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(_) => return,
            }
        }
    }

    fn hear(&mut self, line: &str, now_ms: u64) {
        match line.split_once('=') {
            Some(("READY", "1")) => {
                self.is_ready = true;
                self.last_sign_ms = now_ms;
            }
            Some(("WATCHDOG", "1")) => {
                self.is_watched = true;
                self.last_sign_ms = now_ms;
            }
            Some(("WATCHDOG", "trigger")) => self.gave_up = true,
            Some(("STATUS", text)) => self.status = Some(notify::plain(text)),
            // STOPPING, RELOADING, MAINPID and the like change nothing here.
            Some(_) | None => {}
        }
    }

    /// When a status is to be written.
    pub fn due(&self) -> Option<u64> {
        self.status.as_ref().map(|_| self.written_ms.map_or(0, |at| at + WRITE_EVERY_MS))
    }

    /// Writes the status if it is time.
    pub fn write(&mut self, folder: &OwnedFd, now_ms: u64) {
        if self.due().is_some_and(|due| due <= now_ms)
            && let Some(status) = self.status.take()
        {
            self.written_ms = Some(now_ms);
            let file = notify::encode(&Said { attempt: self.attempt, status });
            // On a full disk the status before stands; the next one is another try.
            let _ = crate::record::replace(folder, notify::FILE, file.as_bytes());
        }
    }
}

/// Ours, or that of the main process, which may have changed it since it was started.
fn is_believed(uid: u32, main: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    uid == rustix::process::geteuid().as_raw()
        || std::fs::metadata(format!("/proc/{main}")).is_ok_and(|found| found.uid() == uid)
}
