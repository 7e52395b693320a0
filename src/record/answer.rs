//! The answer: one line on the standard output of a shim that says what came of the start.
//!
//! In: an [`Answer`]. Out: its line, and back. Not here: waiting for it.
//! The surprise: no answer means *unknown*. The shim may have been killed after the payload was executed, so an
//! empty pipe is a reason to look, never a failure.

use super::text::Text;

/// The longest answer, in bytes, its newline included.
pub const LEN_MAX: usize = 512;

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The payload has been executed.
    Started {
        /// The shim.
        shim: Proc,
        /// The main process.
        payload: Proc,
    },
    /// Somebody holds the lock of the instance: look again.
    Busy,
    /// This attempt, or a later one, has been recorded before.
    Taken,
    /// It came to nothing. With [`Stage::Spec`], [`Stage::Home`] and [`Stage::Fork`] nothing was recorded and the same
    /// attempt may start again; with any other stage the attempt is recorded as never executed.
    Failed {
        /// What failed.
        stage: Stage,
        /// The system's error number; 0 when it was not the system that refused.
        errno: i32,
        /// The system's words, and what they are about.
        text: String,
    },
}

/// A process by number and start time in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc {
    /// Its number.
    pub pid: u32,
    /// Its start time, as in `/proc/PID/stat`.
    pub started: u64,
}

/// What a start failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The launch spec cannot be read.
    Spec,
    /// The home cannot be written: no record, so no start.
    Home,
    /// The system has no room for another process, pipe or file.
    Fork,
    /// The working directory cannot be entered.
    Dir,
    /// The program cannot be executed.
    Exec,
    /// A limit cannot be set.
    Limits,
    /// It cannot become the user it is to be.
    User,
    /// The controller had to refuse it, such as for a secret that cannot be read.
    Refused,
}

impl Stage {
    const ALL: [Stage; 8] =
        [Stage::Spec, Stage::Home, Stage::Fork, Stage::Dir, Stage::Exec, Stage::Limits, Stage::User, Stage::Refused];

    /// As written in an answer and in the record of an attempt that was never executed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Spec => "spec",
            Stage::Home => "home",
            Stage::Fork => "fork",
            Stage::Dir => "dir",
            Stage::Exec => "exec",
            Stage::Limits => "limits",
            Stage::User => "user",
            Stage::Refused => "refused",
        }
    }

    fn parse(word: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

impl Answer {
    /// The answer as one line, newline included; a long text is cut.
    #[must_use]
    pub fn encode(&self) -> Text<LEN_MAX> {
        match self {
            Answer::Started { shim, payload } => Text::of(format_args!(
                "started shim={} shim_started={} payload={} payload_started={}\n",
                shim.pid, shim.started, payload.pid, payload.started
            )),
            Answer::Busy => Text::of(format_args!("busy\n")),
            Answer::Taken => Text::of(format_args!("taken\n")),
            Answer::Failed { stage, errno, text } => {
                let clean = text.replace(|c: char| c.is_ascii_control(), "?");
                let body = Text::<{ LEN_MAX - 1 }>::of(format_args!("failed {} {errno} {clean}", stage.as_str()));
                Text::of(format_args!("{}\n", body.as_str()))
            }
        }
    }
}

/// Reads an answer; `None` when there is none, or none this version understands, which means unknown.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let line = bytes.get(..bytes.len().min(LEN_MAX))?.split(|byte| *byte == b'\n').next()?;
    // Without its newline an answer may be cut short, and a cut number is another number.
    if bytes.get(line.len()) != Some(&b'\n') {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "started" => Some(Answer::Started {
            shim: Proc { pid: number(rest, "shim")?, started: number(rest, "shim_started")? },
            payload: Proc { pid: number(rest, "payload")?, started: number(rest, "payload_started")? },
        }),
        "busy" => Some(Answer::Busy),
        "taken" => Some(Answer::Taken),
        "failed" => {
            let mut words = rest.splitn(3, ' ');
            let stage = Stage::parse(words.next()?)?;
            let errno = words.next()?.parse().ok()?;
            Some(Answer::Failed { stage, errno, text: words.next().unwrap_or("").to_owned() })
        }
        _ => None,
    }
}

fn number<T: std::str::FromStr>(words: &str, key: &str) -> Option<T> {
    words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?.parse().ok()
}
