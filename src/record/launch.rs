//! The launch spec: everything a shim needs to start one attempt, handed over on its standard input.
//!
//! In: a [`Launch`]. Out: NUL-separated `key=value` bytes, and the same read back, borrowed from them.
//! Not here: opening the file that carries it; argv is public, so nothing of this stands there.
//! The surprise: lists are repeated keys, and the last key is `end`, so that a spec cut short is never half obeyed; only
//! the bytes of a standard input stand behind it, as they are, since they may hold anything.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::attempt::Streak;
use super::bounds::{self, Bounds};
use super::policy::{Policy, Ready};

/// The longest spec, in bytes; the system takes no larger argv and environment.
pub const LEN_MAX: usize = 8 << 20;
/// The most words of argv and of the environment, together.
pub const WORDS_MAX: usize = 65_536;
/// The most bytes of a [`Stdin::Data`].
pub const DATA_MAX: usize = 1 << 20;
const FIRST: (&str, &str) = ("setpoint-launch", "1");

/// One start, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch<'a> {
    /// The folder of the home, absolute; it must exist.
    pub home_root: &'a Path,
    /// The id of the home, 16 hex digits.
    pub home: &'a str,
    /// The instance, `service/web/0`.
    pub instance: &'a str,
    /// The uid of its object.
    pub uid: &'a str,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// What it is started from, `1:9f86d081884c7d65`.
    pub revision: &'a str,
    /// The generation of the desired state that asks for it.
    pub generation: u64,
    /// The present boot.
    pub boot_id: &'a str,
    /// The streak of its predecessors.
    pub streak: Streak,
    /// What to execute, at least one word. A first word without `/` is looked up in the `PATH` of `env`.
    pub argv: Vec<&'a OsStr>,
    /// It was written as one string, so the stop signal goes to the whole process group.
    pub is_line: bool,
    /// It is the program the shim is, whatever the first word says.
    pub is_own: bool,
    /// The working directory, absolute.
    pub dir: &'a Path,
    /// The whole environment, `NAME=value` each, the three markers included.
    pub env: Vec<&'a OsStr>,
    /// How to stop it and keep its logs.
    pub policy: Policy,
    /// How many attempt files are kept, this one included.
    pub keep_attempts: u32,
    /// The soft limit on open files the payload gets; 0 leaves it as it is.
    pub nofile_soft: u64,
    /// The folder of the instance, below the home.
    pub instance_dir: &'a Path,
    /// The folder of the log files, below the home.
    pub log_dir: &'a Path,
    /// What log files begin with: the cause.
    pub log_prefix: &'a OsStr,
    /// What it is held to, and who it is.
    pub bounds: Bounds<'a>,
    /// What its standard input is.
    pub stdin: Stdin<'a>,
    /// Where the shim listens for those who type, absolute; used when `stdin` is [`Stdin::Pipe`] or [`Stdin::Tty`].
    pub io_socket: Option<&'a Path>,
    /// It is given a socket to tell of itself (`sd_notify`).
    pub notify: bool,
    /// Its birth is on the disk before it is executed, and its end before the lock is free.
    pub durable: bool,
}

/// What the standard input of a payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin<'a> {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe that its shim holds.
    Pipe,
    /// A terminal that its shim holds; its output goes there, too.
    Tty,
    /// These bytes and then its end; at most [`DATA_MAX`] of them.
    Data(&'a [u8]),
}

impl<'a> Stdin<'a> {
    /// The bytes it is given; none where they do not come with the spec.
    const fn data(self) -> &'a [u8] {
        match self {
            Stdin::Null | Stdin::Pipe | Stdin::Tty => &[],
            Stdin::Data(bytes) => bytes,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Stdin::Null => "null",
            Stdin::Pipe => "pipe",
            Stdin::Tty => "tty",
            Stdin::Data(_) => "data",
        }
    }
}

/// Why a launch spec cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No program can be given such a text.
    #[error("`{0}` contains a NUL byte, which no program can be given; remove it")]
    Nul(&'static str),
    /// Over [`LEN_MAX`], [`WORDS_MAX`] or [`DATA_MAX`].
    #[error(
        "the command, its environment or its standard input (at most 1 MiB) are too large; pass the data in a file"
    )]
    TooLarge,
    /// It does not begin or end as a spec does.
    #[error("this is no whole launch spec")]
    NotWhole,
    /// A key is missing or has an impossible value.
    #[error("the launch spec has no usable `{0}`")]
    Field(&'static str),
}

/// The spec as bytes.
///
/// # Errors
/// When a value contains NUL, or the whole is too large.
pub fn encode(launch: &Launch<'_>) -> Result<Vec<u8>, SpecError> {
    let mut bytes = Vec::with_capacity(4096);
    put(&mut bytes, FIRST.0, FIRST.1.as_bytes())?;
    put(&mut bytes, "home_root", launch.home_root.as_os_str().as_bytes())?;
    put(&mut bytes, "home", launch.home.as_bytes())?;
    put(&mut bytes, "instance", launch.instance.as_bytes())?;
    put(&mut bytes, "uid", launch.uid.as_bytes())?;
    put_number(&mut bytes, "attempt", launch.attempt.into());
    put(&mut bytes, "revision", launch.revision.as_bytes())?;
    put_number(&mut bytes, "generation", launch.generation);
    put(&mut bytes, "boot_id", launch.boot_id.as_bytes())?;
    put_number(&mut bytes, "streak_n", launch.streak.n.into());
    put_number(&mut bytes, "streak_deaths", launch.streak.deaths.into());
    put_number(&mut bytes, "streak_crashes", launch.streak.crashes.into());
    put_number(&mut bytes, "streak_proven", launch.streak.proven.into());
    put_number(&mut bytes, "is_line", launch.is_line.into());
    put_number(&mut bytes, "is_own", launch.is_own.into());
    put(&mut bytes, "dir", launch.dir.as_os_str().as_bytes())?;
    put_number(&mut bytes, "stop_signal", u64::from(launch.policy.stop_signal.unsigned_abs()));
    put_number(&mut bytes, "stop_grace_ms", launch.policy.stop_grace_ms);
    put_number(&mut bytes, "log_max_size", launch.policy.log_max_size);
    put_number(&mut bytes, "log_max_files", launch.policy.log_max_files.into());
    put_number(&mut bytes, "keep_attempts", launch.keep_attempts.into());
    put_number(&mut bytes, "nofile_soft", launch.nofile_soft);
    put(&mut bytes, "instance_dir", launch.instance_dir.as_os_str().as_bytes())?;
    put(&mut bytes, "log_dir", launch.log_dir.as_os_str().as_bytes())?;
    put(&mut bytes, "log_prefix", launch.log_prefix.as_bytes())?;
    bounds::encode(&mut bytes, &launch.bounds)?;
    put_talk(&mut bytes, launch)?;
    for word in &launch.argv {
        put(&mut bytes, "argv", word.as_bytes())?;
    }
    for word in &launch.env {
        put(&mut bytes, "env", word.as_bytes())?;
    }
    put(&mut bytes, "end", b"")?;
    let data = launch.stdin.data();
    let too_many = launch.argv.len() + launch.env.len() > WORDS_MAX || data.len() > DATA_MAX;
    if too_many || bytes.len() + data.len() > LEN_MAX {
        return Err(SpecError::TooLarge);
    }
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// How it tells of itself and is talked to.
fn put_talk(bytes: &mut Vec<u8>, launch: &Launch<'_>) -> Result<(), SpecError> {
    let (ready, text) = launch.policy.ready.words();
    put(bytes, "ready", ready.as_bytes())?;
    if let Some(text) = text {
        put(bytes, "ready_log", text.as_bytes())?;
    }
    put_number(bytes, "watchdog_ms", launch.policy.watchdog_ms);
    put(bytes, "stdin", launch.stdin.as_str().as_bytes())?;
    if let Stdin::Data(data) = launch.stdin {
        put_number(bytes, "stdin_length", data.len() as u64);
    }
    if let Some(path) = launch.io_socket {
        put(bytes, "io_socket", path.as_os_str().as_bytes())?;
    }
    put_number(bytes, "notify", launch.notify.into());
    put_number(bytes, "durable", launch.durable.into());
    Ok(())
}

pub(super) fn put(bytes: &mut Vec<u8>, key: &'static str, value: &[u8]) -> Result<(), SpecError> {
    if value.contains(&0) {
        return Err(SpecError::Nul(key));
    }
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(b'=');
    bytes.extend_from_slice(value);
    bytes.push(0);
    Ok(())
}

pub(super) fn put_number(bytes: &mut Vec<u8>, key: &'static str, value: u64) {
    bytes.extend_from_slice(format!("{key}={value}\0").as_bytes());
}

/// Reads a spec; unknown keys are skipped.
///
/// # Errors
/// When it is cut short, too large, or a key is missing or unusable.
pub fn parse(bytes: &[u8]) -> Result<Launch<'_>, SpecError> {
    if bytes.len() > LEN_MAX {
        return Err(SpecError::TooLarge);
    }
    let first = format!("{}={}\0", FIRST.0, FIRST.1);
    let rest = bytes.strip_prefix(first.as_bytes()).ok_or(SpecError::NotWhole)?;
    let (rest, data) = parted(rest)?;
    let fields = Fields(rest.strip_suffix(b"\0end=\0").ok_or(SpecError::NotWhole)?);
    let launch = Launch {
        home_root: fields.path("home_root")?,
        home: fields.text("home")?,
        instance: fields.text("instance")?,
        uid: fields.text("uid")?,
        attempt: fields.number("attempt")?,
        revision: fields.text("revision")?,
        generation: fields.number("generation")?,
        boot_id: fields.text("boot_id")?,
        streak: Streak {
            n: fields.number("streak_n")?,
            deaths: fields.number("streak_deaths")?,
            crashes: fields.number("streak_crashes")?,
            proven: fields.number::<u32>("streak_proven")? != 0,
        },
        argv: fields.words("argv")?,
        is_line: fields.number::<u32>("is_line")? != 0,
        is_own: fields.flag("is_own"),
        dir: fields.path("dir")?,
        env: fields.words("env")?,
        policy: Policy {
            stop_signal: fields.number("stop_signal")?,
            stop_grace_ms: fields.number("stop_grace_ms")?,
            log_max_size: fields.number("log_max_size")?,
            log_max_files: fields.number("log_max_files")?,
            ready: Ready::of_words(fields.text("ready").ok(), fields.text("ready_log").ok()),
            watchdog_ms: fields.number("watchdog_ms").unwrap_or(0),
            failing: None,
        }
        .clamped(),
        keep_attempts: fields.number("keep_attempts")?,
        nofile_soft: fields.number("nofile_soft")?,
        instance_dir: fields.path("instance_dir")?,
        log_dir: fields.path("log_dir")?,
        log_prefix: OsStr::from_bytes(fields.bytes("log_prefix")?),
        bounds: bounds::parse(&fields)?,
        stdin: fields.stdin(data)?,
        io_socket: fields.path("io_socket").ok(),
        notify: fields.flag("notify"),
        durable: fields.flag("durable"),
    };
    check(launch)
}

/// The fields, and the bytes behind the last of them. How many those are stands in a field, and the first of that name
/// is before them; cut anywhere, what should be the last field is not.
fn parted(rest: &[u8]) -> Result<(&[u8], &[u8]), SpecError> {
    let length = Fields(rest).optional::<usize>("stdin_length").map_err(|_| SpecError::NotWhole)?.unwrap_or(0);
    if length > DATA_MAX {
        return Err(SpecError::TooLarge);
    }
    let at = rest.len().checked_sub(length).ok_or(SpecError::NotWhole)?;
    rest.split_at_checked(at).ok_or(SpecError::NotWhole)
}

/// What no spec may say, whoever wrote it: paths that lead out of the home, and nothing to execute.
fn check(launch: Launch<'_>) -> Result<Launch<'_>, SpecError> {
    let is_below = |path: &Path| {
        path.strip_prefix(launch.home_root)
            .is_ok_and(|rest| rest.components().all(|c| matches!(c, std::path::Component::Normal(_))))
    };
    let prefix = launch.log_prefix.as_bytes();
    if launch.argv.is_empty() {
        Err(SpecError::Field("argv"))
    } else if launch.attempt == 0 {
        Err(SpecError::Field("attempt"))
    } else if !is_below(launch.instance_dir) {
        Err(SpecError::Field("instance_dir"))
    } else if !is_below(launch.log_dir) {
        Err(SpecError::Field("log_dir"))
    } else if prefix.is_empty() || prefix.len() > 128 || prefix.contains(&b'/') {
        Err(SpecError::Field("log_prefix"))
    } else if matches!(launch.stdin, Stdin::Pipe | Stdin::Tty) && launch.io_socket.is_none() {
        Err(SpecError::Field("io_socket"))
    } else {
        Ok(launch)
    }
}

/// The fields of a spec, between its first and its last.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn all(&self, key: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let all = self.0.split(|byte| *byte == 0);
        all.filter_map(move |field| field.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    fn bytes(&self, key: &'static str) -> Result<&'a [u8], SpecError> {
        self.all(key).next().ok_or(SpecError::Field(key))
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.all(key).next().is_some()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<&'a str, SpecError> {
        std::str::from_utf8(self.bytes(key)?).map_err(|_| SpecError::Field(key))
    }

    /// A number that may be absent, and nothing else.
    pub(super) fn optional<T: std::str::FromStr>(&self, key: &'static str) -> Result<Option<T>, SpecError> {
        if self.has(key) { self.number(key).map(Some) } else { Ok(None) }
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, SpecError> {
        self.text(key)?.parse().map_err(|_| SpecError::Field(key))
    }

    pub(super) fn path(&self, key: &'static str) -> Result<&'a Path, SpecError> {
        let path = Path::new(OsStr::from_bytes(self.bytes(key)?));
        if path.is_absolute() { Ok(path) } else { Err(SpecError::Field(key)) }
    }

    /// True when it is there and not 0.
    fn flag(&self, key: &'static str) -> bool {
        self.number::<u32>(key).is_ok_and(|number| number != 0)
    }

    /// An older controller does not say; what a newer one asks for and this cannot give is no reason to start without.
    fn stdin(&self, data: &'a [u8]) -> Result<Stdin<'a>, SpecError> {
        let Ok(word) = self.text("stdin") else {
            return Ok(Stdin::Null);
        };
        let known = [Stdin::Null, Stdin::Pipe, Stdin::Tty, Stdin::Data(data)];
        let stdin = known.into_iter().find(|stdin| stdin.as_str() == word).ok_or(SpecError::Field("stdin"))?;
        // Bytes that nobody reads were meant for somebody.
        if stdin.data().len() == data.len() { Ok(stdin) } else { Err(SpecError::Field("stdin")) }
    }

    fn words(&self, key: &'static str) -> Result<Vec<&'a OsStr>, SpecError> {
        let words: Vec<_> = self.all(key).take(WORDS_MAX + 1).map(OsStr::from_bytes).collect();
        if words.len() > WORDS_MAX { Err(SpecError::TooLarge) } else { Ok(words) }
    }
}
