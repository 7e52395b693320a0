//! What a starting controller changes about itself.
//!
//! In: nothing. Out: a higher limit on open files, and nothing inherited but the standard three.
//! Not here: limits of services. The surprise: payloads get the old limit back, since a program that uses `select`
//! breaks above 1024.

#![allow(unsafe_code)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one; returns what it was before, 0 when there was none.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let before = limit.current.unwrap_or(0);
    // Refused only where the limit is already as high as it may be.
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    before
}

/// How many runs have processes at once where nobody says otherwise: four for each core, and eight at least.
#[must_use]
pub fn runs_default() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores.saturating_mul(4)).unwrap_or(u32::MAX).max(8)
}

/// Closes every descriptor above 2: what a caller forgot to close must not live on in services.
pub fn close_inherited() {
    // SAFETY: called first thing in a process that has opened nothing yet, so no descriptor above 2 is owned by
    // anything in it.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Gives a command a session of its own, so that closing the terminal does not reach it.
pub fn own_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only `setsid` is called, which is safe there.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into));
    }
}

/// Gives memory back that was needed once, such as for reading a large generation.
pub fn trim_memory() {
    // SAFETY: `malloc_trim` only looks at memory that is free, and takes the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
