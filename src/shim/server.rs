//! The fork server: one small process per controller, of which every shim is a copy.
//!
//! In: orders over a socket. Out: shims, each nobody's child. Not here: what a shim does (`super`).
//! The surprise: executing the program anew costs more than all else in a start, and its relocated pages cost memory in
//! every shim; copies of one process pay both once. It reads no launch spec itself, so no environment passes through
//! it, and it goes with its controller: the socket ends.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::sys::{self, Side, Title};
use super::{failed, tell};
use crate::record::answer::Stage;
use crate::record::forkserver;

/// One start that was asked for.
struct Order {
    spec: OwnedFd,
    answer: OwnedFd,
}

/// Runs as a fork server: leaves a daemon behind that starts shims until its controller is gone, and returns.
///
/// Exit codes: 0 when a daemon was left behind, 1 when it could not be, 2 when this was not called by a controller.
#[must_use]
pub fn run() -> ExitCode {
    sys::close_inherited();
    let (Ok(socket), Some(title)) = (socket(), Title::of_this()) else {
        eprintln!(
            "error: there is no controller at the other end\n  help: `setpoint forkserver` is started by the controller; use `setpoint apply -f FILE`"
        );
        return ExitCode::from(2);
    };
    match sys::fork() {
        Ok(Side::Parent(_)) => sys::exit_now(0),
        Ok(Side::Child) => {}
        Err(_) => return ExitCode::FAILURE,
    }
    if detach().is_err() {
        sys::exit_now(1);
    }
    // Without the room behind it, which is for those to come.
    let home = std::env::args_os().nth(2).unwrap_or_default();
    title.write(
        ["setpoint".as_bytes(), forkserver::VERB.as_bytes(), home.as_encoded_bytes()].into_iter(),
        [].into_iter(),
    );
    loop {
        let order = match receive(&socket) {
            Ok(Some(order)) => order,
            Ok(None) => continue,
            Err(_) => sys::exit_now(0),
        };
        match sys::fork_sibling() {
            Ok(Side::Parent(_)) => {}
            Ok(Side::Child) => {
                // Whoever holds this end keeps the controller from noticing that the server is gone.
                drop(socket);
                sys::exit_now(become_shim(order, &title))
            }
            // What this system never grants: without a server, starts go another way.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {
                sys::exit_now(1)
            }
            Err(error) => tell(&order.answer, &failed(Stage::Fork, &error, "cannot fork")),
        }
    }
}

/// The end of the socket that a controller left on standard input.
fn socket() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    rustix::net::sockopt::socket_domain(&stdin)?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?)
}

/// Cuts every tie to whoever called.
fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::thread::set_name(forkserver::COMM)?;
    rustix::process::chdir(c"/")?;
    let null = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    (0..3).try_for_each(|stream| sys::replace_stream(&null, stream))
}

/// The next order; `None` for a message that is none.
///
/// # Errors
/// When there is nobody who could send more.
fn receive(socket: &OwnedFd) -> io::Result<Option<Order>> {
    let mut message = [0; forkserver::ORDER.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut message)];
    let received = match rustix::net::recvmsg(socket, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC) {
        Err(Errno::INTR) => return Ok(None),
        received => received?,
    };
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = beside.drain().flat_map(|one| match one {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    let (spec, answer) = (descriptors.next(), descriptors.next());
    drop(descriptors);
    Ok(spec.zip(answer).map(|(spec, answer)| Order { spec, answer }))
}

/// The rest of the life of a copy, as the shim of one attempt. Returns its exit code.
fn become_shim(order: Order, title: &Title) -> i32 {
    let Order { spec, answer } = order;
    if let Err(error) = sys::replace_stream(&spec, 0).and_then(|()| sys::replace_stream(&answer, 1)) {
        tell(&answer, &failed(Stage::Fork, &error, "cannot take the orders"));
        return 1;
    }
    drop((spec, answer));
    super::forked(title)
}
