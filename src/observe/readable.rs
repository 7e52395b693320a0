//! Lets the runtime wait until a descriptor of ours becomes readable.
//!
//! In: a descriptor. Out: the same, registered. Not here: reading. The surprise: epoll goes by the open file, not by
//! its number, so whoever registers one must keep it open for as long as it is registered.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd` with the runtime this is called in.
///
/// # Errors
/// When the runtime can take no more.
pub fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` has one number for as long as it lives, and `AsyncFd` takes itself out before it drops it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::other)
}
