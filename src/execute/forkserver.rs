//! The fork server of a controller, from this side.
//!
//! In: what a shim reads and where it answers. Out: an order that was sent. Not here: what becomes of it, which the
//! answer says.
//! The surprise: nothing depends on it. A server that cannot be had costs a start some time: the program is executed
//! anew.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};

use crate::home::Home;
use crate::record::forkserver;

/// So many servers are started at most: where they keep dying, each start executes the program anew.
const SERVERS_MAX: u32 = 16;

/// The present server, if there is one.
#[derive(Debug, Default)]
pub struct ForkServer {
    socket: Option<OwnedFd>,
    servers: u32,
}

impl ForkServer {
    /// Has a server ready, if one is to be had.
    pub fn prepare(&mut self, home: &Home) {
        if self.socket.is_some() || self.servers >= SERVERS_MAX {
            return;
        }
        self.servers += 1;
        match launch(home) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => tracing::warn!("the fork server cannot be started: {error}"),
        }
    }

    /// Sends an order to start the shim whose launch spec can be read from `spec`. False when that is not possible.
    pub fn send(&mut self, home: &Home, spec: impl AsFd, answer: impl AsFd) -> bool {
        // The second time it is a new one, if the first was gone.
        for _ in 0..2 {
            self.prepare(home);
            let Some(socket) = &self.socket else { return false };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            let descriptors = [spec.as_fd(), answer.as_fd()];
            if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return false;
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::sendmsg(socket, &[IoSlice::new(&forkserver::ORDER)], &mut beside, flags) {
                Ok(_) => return true,
                Err(_) => self.forget(),
            }
        }
        false
    }

    /// Gives up a server that does not answer. It goes when it gets to it; its orders are void once nobody
    /// waits for their answers.
    pub fn forget(&mut self) {
        self.socket = None;
    }
}

/// Starts a server; our end of its socket.
fn launch(home: &Home) -> io::Result<OwnedFd> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let root = home.root().display().to_string();
    // What is waited for here leaves the server behind and goes.
    let left = Command::new("/proc/self/exe")
        .arg0("setpoint")
        .args([forkserver::VERB, &format!("home={}", home.id()), &" ".repeat(forkserver::ARGV_ROOM)])
        .env_clear()
        .env(forkserver::ROOM, " ".repeat(forkserver::environment_room(&root)))
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status()?;
    if left.success() { Ok(ours) } else { Err(io::Error::other("it ended at once")) }
}
