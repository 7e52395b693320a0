//! System calls that have no safe spelling elsewhere, each behind one small function.
//!
//! In and out: numbers and file descriptors. Not here: any decision.
//! The surprise: a shim is one thread for life, which is what makes a plain `fork` sound.

// Denied elsewhere: whatever needs it has its place here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::time::ClockId;

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    nanos(ClockId::Realtime)
}

/// Nanoseconds since boot, suspend included.
pub fn boot_ns() -> u64 {
    nanos(ClockId::Boottime)
}

/// Milliseconds on a clock that never jumps; precise to a few of them.
pub fn mono_ms() -> u64 {
    nanos(ClockId::MonotonicCoarse) / 1_000_000
}

fn nanos(clock: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Closes every inherited descriptor above standard error.
pub fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet; the call touches no memory.
    let done = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if done == 0 {
        return;
    }
    // A sandbox may forbid the call; a leaked descriptor is a lesser evil than an endless loop.
    for fd in 3..4096 {
        // SAFETY: as above; closing a descriptor that is not open only fails.
        unsafe { libc::close(fd) };
    }
}

/// Which side of a fork this is.
pub enum Side {
    /// The parent, with the pid of the child.
    Parent(u32),
    /// The child.
    Child,
}

/// Forks.
///
/// # Errors
/// The system's error when there is no room for another process.
pub fn fork() -> io::Result<Side> {
    // SAFETY: this process has one thread, so the child finds no lock held by a thread it does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid.unsigned_abs())),
    }
}

/// Forks a child that has our parent for its own: nobody here has to wait for it.
///
/// # Errors
/// The system's error when there is no room for another process.
pub fn fork_sibling() -> io::Result<Side> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: as above. Without a stack of its own the child goes on with a copy of this one, and the three addresses
    // are of things that were not asked for.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(u32::try_from(pid).unwrap_or(0))),
    }
}

/// The memory from which the kernel shows the arguments and the environment of this process.
pub struct Title {
    argv: std::ops::Range<usize>,
    env: std::ops::Range<usize>,
}

impl Title {
    /// Where it lies, by the word of the kernel; `None` when that is not to be had.
    pub fn of_this() -> Option<Title> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // From the third field on: before it stands the comm, which may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(ARG_START - 3);
        let mut next = || fields.next()?.parse::<usize>().ok().filter(|address| *address != 0);
        let (argv, env) = (next()?..next()?, next()?..next()?);
        (argv.start < argv.end && env.start < env.end).then_some(Title { argv, env })
    }

    /// Writes other arguments and another environment in their place, as far as there is room. Nothing in this process
    /// may read its own afterwards.
    pub fn write<'a>(&self, argv: impl Iterator<Item = &'a [u8]>, env: impl Iterator<Item = &'a [u8]>) {
        fill(&self.argv, argv);
        fill(&self.env, env);
    }
}

/// The number of the field of `/proc/self/stat` that says where the arguments begin; the next three go on from there.
const ARG_START: usize = 48;

/// Fills memory with words, each with a NUL behind it, and NULs up to the end.
fn fill<'a>(room: &std::ops::Range<usize>, words: impl Iterator<Item = &'a [u8]>) {
    // SAFETY: the kernel says that the words of the first stack of this process lie here; that stack is writable, is
    // never given back, and no reference of ours leads there.
    let room = unsafe { std::slice::from_raw_parts_mut(room.start as *mut u8, room.len()) };
    let mut bytes = words.flat_map(|word| word.iter().copied().chain([0]));
    // The last one stays a NUL: without it the kernel would read on.
    if let Some((last, rest)) = room.split_last_mut() {
        rest.fill_with(|| bytes.next().unwrap_or(0));
        *last = 0;
    }
}

/// Ends this process at once, without destructors or exit hooks.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: the call does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Blocks every signal and returns a descriptor that tells of CHLD, TERM, INT and HUP. The others are never taken.
/// CHLD gets its default meaning: inherited as ignored, the kernel would throw the exits of our children away.
///
/// # Errors
/// The system's error.
pub fn take_signals() -> io::Result<OwnedFd> {
    // SAFETY: a signal set is plain integers, valid as zeroes; each call gets pointers to live locals; the descriptor
    // is new and owned by nobody else.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut wanted: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut wanted);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut wanted, signal);
        }
        match libc::signalfd(-1, &raw const wanted, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Gives every signal its default meaning and unblocks all, as a fresh program expects.
pub fn reset_signals() {
    // The kernel's `struct sigaction`, all zero: the default meaning, no flags, nothing masked. The library's own call
    // would leave out the two signals it keeps for itself, which may have been inherited as ignored.
    let default = [0_u64; 8];
    // SAFETY: the kernel's struct is smaller than the array on every architecture, and zeroes are valid in it;
    // signals that cannot be set only make the call fail.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8);
        }
    }
    unblock_signals();
}

/// Lets every signal through again.
pub fn unblock_signals() {
    // SAFETY: a signal set is plain integers, valid as zeroes; the pointers are to a live local.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// The size of one report of a signal descriptor, and how many are taken at once.
const REPORT_LEN: usize = 128;
const REPORTS: usize = 4;

/// The numbers of signals that have come, from a descriptor of [`take_signals`]; 0 where there is none.
pub fn signals_of(fd: impl AsFd) -> [i32; REPORTS] {
    let mut reports = [0; REPORT_LEN * REPORTS];
    let length = rustix::io::read(fd, &mut reports).unwrap_or(0);
    let mut reports = reports.get(..length).unwrap_or(&[]).chunks_exact(REPORT_LEN);
    std::array::from_fn(|_| {
        let number = reports.next().and_then(|report| report.first_chunk());
        number.map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    })
}

/// What waiting for children came to.
pub enum Reaped {
    /// This child ended, with this status as `waitpid` gives it.
    Child {
        /// Its pid, free for reuse from now on.
        pid: u32,
        /// The raw status.
        status: i32,
    },
    /// There are children, and none has ended.
    NoneYet,
    /// There are no children.
    NoneLeft,
}

/// Takes the status of one ended child, without waiting.
pub fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: the pointer is to a live local.
    match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
        0 => Reaped::NoneYet,
        -1 => Reaped::NoneLeft,
        pid => Reaped::Child { pid: pid.unsigned_abs(), status },
    }
}

/// Sends a signal to a process, or with a negative number to a group; false when there is none, or it is not ours.
/// The caller knows that the pid is not reused: it is our child and has not been reaped.
pub fn signal(pid: i32, signal: i32) -> bool {
    // 0, 1 and -1 would reach our own group, init, or everything.
    if pid.unsigned_abs() < 2 {
        return false;
    }
    // SAFETY: the call touches no memory.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Sends a signal through a pidfd.
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: a null info means "as by kill"; the call touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
}

/// What the reaped children used, all together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User time in microseconds.
    pub user_us: u64,
    /// System time in microseconds.
    pub system_us: u64,
    /// The largest resident size of one of them, in KiB.
    pub max_rss_kb: u64,
}

/// What the reaped children and theirs used.
pub fn usage() -> Usage {
    // SAFETY: the struct is plain integers, valid as zeroes, and the pointer is to a live local.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut used);
        used
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Usage {
        user_us: micros(used.ru_utime),
        system_us: micros(used.ru_stime),
        max_rss_kb: u64::try_from(used.ru_maxrss).unwrap_or(0),
    }
}

/// Where the byte first occurs.
pub fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer and the length are of one live slice, and the result lies in it or is null.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    if found.is_null() { None } else { Some(found as usize - bytes.as_ptr() as usize) }
}

/// True when `text` occurs in `bytes`.
pub fn contains(text: &[u8], bytes: &[u8]) -> bool {
    // SAFETY: both pointers and lengths are of live slices.
    unsafe { !libc::memmem(bytes.as_ptr().cast(), bytes.len(), text.as_ptr().cast(), text.len()).is_null() }
}

/// Takes one datagram without waiting: its length, and the uid of its sender where the socket asks for it. Descriptors
/// sent along find no room, so the kernel closes them.
///
/// # Errors
/// The system's error, `WouldBlock` when there is none.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    /// Room for one set of credentials, aligned as the kernel wants it.
    #[repr(C, align(8))]
    struct Room([u8; 64]);
    let mut room = Room([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the header is plain integers and pointers, valid as zeroes, and is then pointed at live locals with their
    // true lengths; the control messages are walked with the library's own macros, which stay inside that room; the
    // credentials are read unaligned, and only when the kernel says that they are whole.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut room.0).cast();
        // Exactly the credentials: with room to spare, a descriptor sent along would be opened here and stay.
        header.msg_controllen = libc::CMSG_SPACE(size_of::<libc::ucred>() as u32).min(room.0.len() as u32) as _;
        let length = libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT);
        let Ok(length) = usize::try_from(length) else {
            return Err(io::Error::last_os_error());
        };
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(head) = message.as_ref() {
            let whole = libc::CMSG_LEN(size_of::<libc::ucred>() as u32);
            let is_whole = head.cmsg_len >= whole as _;
            if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_CREDENTIALS && is_whole {
                let from: libc::ucred = libc::CMSG_DATA(message).cast::<libc::ucred>().read_unaligned();
                return Ok((length, Some(from.uid)));
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
        Ok((length, None))
    }
}

/// The uid of the process at the other end of a stream socket.
pub fn peer_uid(socket: impl AsFd) -> Option<u32> {
    // SAFETY: the struct is plain integers, valid as zeroes; the pointers are to live locals with their true lengths.
    unsafe {
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        let fd = socket.as_fd().as_raw_fd();
        let got = libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &raw mut length);
        (got == 0 && length as usize == size_of::<libc::ucred>()).then_some(peer.uid)
    }
}

/// Duplicates a descriptor to the lowest free number from `least` up, so that it stays open over exec.
///
/// # Errors
/// The system's error; `InvalidInput` when `least` is over the limit.
pub fn duplicate_open(fd: impl AsFd, least: RawFd) -> io::Result<()> {
    // SAFETY: the call touches no memory; the new descriptor is meant to be inherited and never closed.
    match unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD, least) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Puts a descriptor in the place of a standard stream, 0 to 2; it stays open over exec.
///
/// # Errors
/// The system's error.
pub fn replace_stream(fd: impl AsFd, stream: RawFd) -> io::Result<()> {
    // SAFETY: the standard streams are borrowed by number everywhere, and stay open descriptors here.
    match unsafe { libc::dup2(fd.as_fd().as_raw_fd(), stream) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Memory that costs nothing until touched, and can be given back.
pub struct Pages(&'static mut [u8]);

impl Pages {
    /// This many bytes, all zero.
    ///
    /// # Errors
    /// The system's error when there is no room.
    pub fn new(length: usize) -> io::Result<Pages> {
        use rustix::mm::{MapFlags, ProtFlags};
        // SAFETY: an anonymous private mapping at an address of the kernel's choice aliases nothing; it is never
        // unmapped, so the slice may live for ever, and only this value refers to it.
        unsafe {
            let start = rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?;
            Ok(Pages(std::slice::from_raw_parts_mut(start.cast(), length)))
        }
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.0
    }

    /// Gives the memory back to the system; every byte is zero again.
    pub fn forget(&mut self) {
        // SAFETY: the range is exactly our private anonymous mapping, which reads as zeroes afterwards.
        let _ =
            unsafe { rustix::mm::madvise(self.0.as_mut_ptr().cast(), self.0.len(), rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// A list of texts in the form `execve` takes.
pub struct Words {
    // Owns what the pointers point to; a CString does not move its bytes when it is moved.
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    /// Texts without a NUL byte.
    pub fn new(texts: Vec<CString>) -> Words {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Words { _texts: texts, pointers }
    }
}

/// Replaces this program; returns only with the reason why it could not.
pub fn execute(program: &CStr, argv: &Words, env: &Words) -> i32 {
    // SAFETY: all three are NUL-terminated texts or null-terminated lists of them, alive over the call.
    unsafe { libc::execve(program.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
