//! The record of one attempt: how it was born, and how it ended.
//!
//! In: a [`Birth`] before the payload is executed, an [`End`] when its tree is gone. Out: one file of fixed length,
//! readable with `cat`, and its parts read back. Not here: who may write when; that is settled by the lock.
//! The surprise: the room for the end is written in full at birth, so that an exit can be recorded on a full disk.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::logline::Stamp;
use super::text::{Text, cut, unsealed, value};

/// Length of the birth half in bytes.
pub const BIRTH_LEN: usize = 1280;
/// Length of the end half in bytes.
pub const END_LEN: usize = 768;
/// Length of a whole record in bytes.
pub const RECORD_LEN: usize = BIRTH_LEN + END_LEN;
/// The longest text of [`How::NotStarted`] and [`How::Unhealthy`], in bytes; longer ones are cut.
pub const WHY_MAX: usize = 300;
/// The longest value of one key, in bytes.
const VALUE_MAX: usize = 320;
const FORMAT: &str = "setpoint-attempt";
const VERSION: u32 = 1;

/// What was known before the payload was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// The id of the home, 16 hex digits.
    pub home: String,
    /// The instance, `service/web/0`.
    pub instance: String,
    /// The uid of its object.
    pub uid: String,
    /// Counts from 1 and only grows.
    pub attempt: u32,
    /// What it was started from, `1:9f86d081884c7d65`.
    pub revision: String,
    /// The generation of the desired state that asked for it.
    pub generation: u64,
    /// The boot it was born in.
    pub boot_id: String,
    /// The shim.
    pub shim_pid: u32,
    /// Start time of the shim in clock ticks since boot.
    pub shim_started: u64,
    /// The main process.
    pub payload_pid: u32,
    /// Start time of the main process in clock ticks since boot.
    pub payload_started: u64,
    /// When, in nanoseconds of `CLOCK_BOOTTIME`.
    pub started_boot_ns: u64,
    /// When, in nanoseconds since 1970.
    pub started_wall_ns: u64,
    /// The streak of its predecessors.
    pub streak: Streak,
    /// The number of the log file its output begins in; 0 when there was none.
    pub log_file: u32,
    /// Where in that file, in bytes.
    pub log_offset: u64,
}

/// What is folded from attempt to attempt, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The exponent of the next delay.
    pub n: u32,
    /// Young deaths in a row.
    pub deaths: u32,
    /// Crashes of this revision.
    pub crashes: u32,
    /// This revision has once stayed up for long.
    pub proven: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The main process exited with this code, 0 to 255.
    Code(i32),
    /// This signal ended the main process.
    Signal(i32),
    /// It was never executed: what failed, with the system's words; at most [`WHY_MAX`] bytes.
    NotStarted(String),
    /// It was ended because it was not healthy: which sign of life was missing; at most [`WHY_MAX`] bytes. Versions
    /// that do not know this read [`How::Lost`]: a crash, too.
    Unhealthy(String),
    /// Nobody was there to see, or it ended in a way this version does not know.
    Lost,
}

/// What was known when the whole tree was gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How the main process ended.
    pub how: How,
    /// When the main process ended, in nanoseconds of `CLOCK_BOOTTIME`.
    pub at_boot_ns: u64,
    /// The same in nanoseconds since 1970.
    pub at_wall_ns: u64,
    /// A stop had been asked for before it ended.
    pub asked: bool,
    /// Most processes of the tree seen at once while it was ended.
    pub tree_seen: u32,
    /// Processes of the tree left.
    pub tree_left: u32,
    /// User time of the whole tree in microseconds.
    pub user_us: u64,
    /// System time of the whole tree in microseconds.
    pub system_us: u64,
    /// The largest resident size of one process of the tree, in KiB.
    pub max_rss_kb: u64,
    /// Log lines that could not be written.
    pub log_dropped: u64,
}

impl End {
    /// The end of an attempt nobody saw end: all that is known is when that was noticed.
    #[must_use]
    pub fn lost(at_boot_ns: u64, at_wall_ns: u64, asked: bool) -> End {
        End {
            how: How::Lost,
            at_boot_ns,
            at_wall_ns,
            asked,
            tree_seen: 0,
            tree_left: 0,
            user_us: 0,
            system_us: 0,
            max_rss_kb: 0,
            log_dropped: 0,
        }
    }
}

/// Why a record cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Shorter than its birth half: its writer died at once.
    #[error("the record is cut short")]
    Short,
    /// The first line is not ours.
    #[error("this is no attempt record")]
    Foreign,
    /// Written by a version whose records this one cannot read.
    #[error("the record is of version {0}, and this setpoint reads version 1; use the newer setpoint")]
    Version(u32),
    /// The bytes are not what was written.
    #[error("the checksum of the record is wrong")]
    Sum,
    /// A key is missing or has an impossible value.
    #[error("the record has no usable `{0}`")]
    Field(&'static str),
}

/// The name of the file of an attempt: `00000001.attempt`.
#[must_use]
pub fn file_name(attempt: u32) -> Text<24> {
    Text::of(format_args!("{attempt:08}.attempt"))
}

/// The attempt a file is of, by its name; `None` for any other file.
#[must_use]
pub fn number(name: &[u8]) -> Option<u32> {
    let digits = name.strip_suffix(b".attempt")?;
    let plain = (8..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// Reads a record. An end that is absent, torn or damaged is `None`.
///
/// # Errors
/// When the birth half is cut short, damaged, or of a version this one cannot read.
pub fn parse(bytes: &[u8]) -> Result<(Birth, Option<End>), Damaged> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let first = std::str::from_utf8(first).map_err(|_| Damaged::Foreign)?;
    let Some(version) = first.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' ')) else {
        return Err(if bytes.len() < FORMAT.len() { Damaged::Short } else { Damaged::Foreign });
    };
    match version.parse() {
        Ok(VERSION) => {}
        Ok(other) => return Err(Damaged::Version(other)),
        Err(_) => return Err(Damaged::Foreign),
    }
    let half = bytes.get(..BIRTH_LEN).ok_or(Damaged::Short)?;
    let birth = parse_birth(unsealed(half).ok_or(Damaged::Sum)?)?;
    let end = bytes.get(BIRTH_LEN..RECORD_LEN).and_then(unsealed).and_then(parse_end);
    Ok((birth, end))
}

fn parse_birth(lines: &str) -> Result<Birth, Damaged> {
    let text =
        |key| value(lines, key).filter(|text| text.len() <= VALUE_MAX).map(str::to_owned).ok_or(Damaged::Field(key));
    Ok(Birth {
        home: text("home")?,
        instance: text("instance")?,
        uid: text("uid")?,
        attempt: whole(lines, "attempt")?,
        revision: text("revision")?,
        generation: whole(lines, "generation")?,
        boot_id: text("boot_id")?,
        shim_pid: whole(lines, "shim_pid")?,
        shim_started: whole(lines, "shim_started")?,
        payload_pid: whole(lines, "payload_pid")?,
        payload_started: whole(lines, "payload_started")?,
        started_boot_ns: whole(lines, "started_boot_ns")?,
        started_wall_ns: whole(lines, "started_wall_ns")?,
        streak: Streak {
            n: whole(lines, "streak_n")?,
            deaths: whole(lines, "streak_deaths")?,
            crashes: whole(lines, "streak_crashes")?,
            proven: whole::<u32>(lines, "streak_proven")? != 0,
        },
        log_file: whole(lines, "log_file")?,
        log_offset: whole(lines, "log_offset")?,
    })
}

fn whole<T: std::str::FromStr>(lines: &str, key: &'static str) -> Result<T, Damaged> {
    value(lines, key).and_then(|text| text.parse().ok()).ok_or(Damaged::Field(key))
}

fn parse_end(lines: &str) -> Option<End> {
    let number = |key| value(lines, key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let count = |key| u32::try_from(number(key)).unwrap_or(u32::MAX);
    Some(End {
        how: parse_how(value(lines, "end")?),
        at_boot_ns: value(lines, "at_boot_ns")?.parse().ok()?,
        at_wall_ns: number("at_wall_ns"),
        asked: number("asked") != 0,
        tree_seen: count("tree_seen"),
        tree_left: count("tree_left"),
        user_us: number("user_us"),
        system_us: number("system_us"),
        max_rss_kb: number("max_rss_kb"),
        log_dropped: number("log_dropped"),
    })
}

fn parse_how(text: &str) -> How {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (word, rest.parse()) {
        ("code", Ok(code @ 0..=255)) => How::Code(code),
        ("signal", Ok(signal @ 1..=64)) => How::Signal(signal),
        ("not-started", _) => How::NotStarted(cut(rest, WHY_MAX).to_owned()),
        ("unhealthy", _) => How::Unhealthy(cut(rest, WHY_MAX).to_owned()),
        _ => How::Lost,
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Code(code) => write!(f, "code {code}"),
            How::Signal(signal) => write!(f, "signal {signal}"),
            How::NotStarted(text) => write!(f, "not-started {}", cut(text, WHY_MAX)),
            How::Unhealthy(text) => write!(f, "unhealthy {}", cut(text, WHY_MAX)),
            How::Lost => f.write_str("lost"),
        }
    }
}

/// The birth half as bytes; `None` when a value is too long for it.
#[must_use]
pub fn encode_birth(birth: &Birth) -> Option<[u8; BIRTH_LEN]> {
    let mut half = Text::<BIRTH_LEN>::of(format_args!("{FORMAT} {VERSION}\n"));
    half.field("home", &birth.home);
    half.field("instance", &birth.instance);
    half.field("uid", &birth.uid);
    half.field("attempt", birth.attempt);
    half.field("revision", &birth.revision);
    half.field("generation", birth.generation);
    half.field("boot_id", &birth.boot_id);
    half.field("shim_pid", birth.shim_pid);
    half.field("shim_started", birth.shim_started);
    half.field("payload_pid", birth.payload_pid);
    half.field("payload_started", birth.payload_started);
    half.field("started", Stamp::new(birth.started_wall_ns).as_str());
    half.field("started_boot_ns", birth.started_boot_ns);
    half.field("started_wall_ns", birth.started_wall_ns);
    half.field("streak_n", birth.streak.n);
    half.field("streak_deaths", birth.streak.deaths);
    half.field("streak_crashes", birth.streak.crashes);
    half.field("streak_proven", u8::from(birth.streak.proven));
    half.field("log_file", birth.log_file);
    half.field("log_offset", birth.log_offset);
    half.sealed()
}

/// The end half as bytes; `None` cannot happen with the bounds above, and is not trusted to.
#[must_use]
pub fn encode_end(end: &End) -> Option<[u8; END_LEN]> {
    let mut half = Text::<END_LEN>::new();
    half.field("end", &end.how);
    half.field("at", Stamp::new(end.at_wall_ns).as_str());
    half.field("at_boot_ns", end.at_boot_ns);
    half.field("at_wall_ns", end.at_wall_ns);
    half.field("asked", u8::from(end.asked));
    half.field("tree_seen", end.tree_seen);
    half.field("tree_left", end.tree_left);
    half.field("user_us", end.user_us);
    half.field("system_us", end.system_us);
    half.field("max_rss_kb", end.max_rss_kb);
    half.field("log_dropped", end.log_dropped);
    half.sealed()
}

/// Creates the record of a new attempt in the folder of its instance and returns it, open for its end. The caller
/// holds the lock.
///
/// # Errors
/// `AlreadyExists` when the attempt has been claimed before; `InvalidInput` when a value is too long; otherwise the
/// system's error, and no file is left behind.
pub fn create(folder: impl AsFd, birth: &Birth) -> io::Result<OwnedFd> {
    let half = encode_birth(birth).ok_or(io::ErrorKind::InvalidInput)?;
    let mut bytes = [b' '; RECORD_LEN];
    let (left, right) = bytes.split_at_mut(BIRTH_LEN);
    left.copy_from_slice(&half);
    if let Some(last) = right.last_mut() {
        *last = b'\n';
    }
    let name = file_name(birth.attempt);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let error = match rustix::io::pwrite(&file, &bytes, 0) {
        Ok(RECORD_LEN) => return Ok(file),
        // A regular file takes less than asked for only when there is no more room.
        Ok(_) => rustix::io::Errno::NOSPC,
        Err(error) => error,
    };
    // If this fails too, the reader finds a record that is cut short, which was never executed.
    let _ = rustix::fs::unlinkat(&folder, name.as_str(), AtFlags::empty());
    Err(error.into())
}

/// Brings a new record to the disk, so that what is executed after this is known after a power cut as well. The caller
/// holds the lock.
///
/// The file goes first: its commit carries the names with it on every journaling file system, and leaves little to do
/// for the folders. The folder of an instance is made for its first attempt, and is a name in another one.
///
/// # Errors
/// The system's error; the record is unlinked, so that the attempt was never made.
pub fn keep_birth(folder: impl AsFd, record: impl AsFd, attempt: u32) -> io::Result<()> {
    let kept = rustix::fs::fdatasync(record).and_then(|()| {
        keep_names(&folder, c".")?;
        if attempt == 1 { keep_names(&folder, c"..") } else { Ok(()) }
    });
    if kept.is_err() {
        let _ = rustix::fs::unlinkat(&folder, file_name(attempt).as_str(), AtFlags::empty());
    }
    Ok(kept?)
}

/// Brings the names in a folder to the disk.
fn keep_names(folder: impl AsFd, path: &std::ffi::CStr) -> Result<(), rustix::io::Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::fsync(rustix::fs::openat(folder, path, flags, Mode::empty())?) {
        // A file system that keeps names with their files has nothing to do here, and some say so in this way.
        Err(rustix::io::Errno::INVAL) => Ok(()),
        kept => kept,
    }
}

/// Brings an end that was written to the disk.
///
/// # Errors
/// The system's error; after a power cut the end may then read as absent.
pub fn keep_end(record: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fdatasync(record)?)
}

/// Writes the end of an attempt in place. The caller holds the lock.
///
/// # Errors
/// The system's error; the end may then be torn, and reads as absent.
pub fn write_end(record: impl AsFd, end: &End) -> io::Result<()> {
    let half = encode_end(end).ok_or(io::ErrorKind::InvalidInput)?;
    match rustix::io::pwrite(record, &half, BIRTH_LEN as u64)? {
        END_LEN => Ok(()),
        _ => Err(rustix::io::Errno::NOSPC.into()),
    }
}

/// Writes an end into the existing record of an attempt whose shim could not: it was killed, and whoever calls this
/// holds the lock. A record that has its end already is left as it is. `is_durable`: it is on the disk when this returns.
///
/// # Errors
/// The system's error, `NotFound` when there is no such record.
pub fn write_lost(folder: &Path, attempt: u32, end: &End, is_durable: bool) -> io::Result<()> {
    let path = folder.join(file_name(attempt).as_str());
    let record = rustix::fs::openat(CWD, &path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut half = [0; END_LEN];
    let length = rustix::io::pread(&record, &mut half, BIRTH_LEN as u64)?;
    if half.get(..length).and_then(unsealed).and_then(parse_end).is_some() {
        return Ok(());
    }
    write_end(&record, end)?;
    if is_durable { keep_end(&record) } else { Ok(()) }
}
