//! Names: of objects, of instances, of revisions, and of processes.
//!
//! In: text from manifests, argv and records. Out: values that need no second check.
//! Not here: where such text is read. The surprise: an instance name is computed from its cause, never drawn at
//! random, because the name is the lock against doing a thing twice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::time::{BootId, Timestamp, utc};

/// The longest name of an object, in bytes.
pub const NAME_MAX: usize = 64;

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
    #[error("a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`")]
    Object,
    /// Not `KIND/NAME`.
    #[error("an object is written KIND/NAME, like service/web")]
    Ref,
    /// Not `KIND/NAME/CAUSE`.
    #[error("an instance is written KIND/NAME/CAUSE, like service/web/0")]
    Instance,
    /// Not `VERSION:HASH`.
    #[error("a revision is written VERSION:HASH, like 1:9f86d081884c7d65")]
    Revision,
}

/// True when `text` may name an object.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= NAME_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
}

/// Which object: `service/web`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef(Arc<str>);

impl ObjectRef {
    /// The object of this kind (lower case, as in `service`) and name.
    ///
    /// # Errors
    /// When either is not a name.
    pub fn new(kind: &str, name: &str) -> Result<ObjectRef, NameError> {
        let kind_is_plain = !kind.is_empty() && kind.len() <= 32 && kind.bytes().all(|b| b.is_ascii_lowercase());
        if !kind_is_plain {
            return Err(NameError::Ref);
        }
        if !is_name(name) {
            return Err(NameError::Object);
        }
        Ok(ObjectRef(Arc::from(format!("{kind}/{name}"))))
    }

    /// The whole, `service/web`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind in lower case, `service`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(kind, _)| kind)
    }

    /// The name, `web`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for ObjectRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<ObjectRef, NameError> {
        let (kind, name) = text.split_once('/').ok_or(NameError::Ref)?;
        ObjectRef::new(kind, name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an instance exists for: a slot number of a Service, or the name of a tick, message or generation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The n-th replica, from 0.
    Slot(u32),
    /// Any other cause, by its text.
    Named(Arc<str>),
}

impl Cause {
    /// The cause under which decisions about a schedule itself stand.
    #[must_use]
    pub fn schedule() -> Cause {
        Cause::Named(Arc::from("schedule"))
    }

    /// The cause of the run of a due time.
    #[must_use]
    pub fn tick(nominal: Timestamp) -> Cause {
        Cause::Named(Arc::from(utc(nominal)))
    }

    /// The cause of the run of a generation.
    #[must_use]
    pub fn generation(number: u64) -> Cause {
        match u32::try_from(number) {
            Ok(slot) => Cause::Slot(slot),
            Err(_) => Cause::Named(Arc::from(number.to_string())),
        }
    }

    /// The cause of a step of the run of this cause.
    #[must_use]
    pub fn step(&self, id: &str) -> Cause {
        Cause::Named(Arc::from(format!("{self}.{id}")))
    }

    /// The run that this is a step of, if it is one.
    #[must_use]
    pub fn parent(&self) -> Option<Cause> {
        match self {
            Cause::Slot(_) => None,
            Cause::Named(text) => text.split_once('.').and_then(|(run, _)| run.parse().ok()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Slot(slot) => write!(f, "{slot}"),
            Cause::Named(text) => f.write_str(text),
        }
    }
}

impl FromStr for Cause {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Cause, NameError> {
        if let Ok(slot) = text.parse::<u32>()
            && slot.to_string() == text
        {
            return Ok(Cause::Slot(slot));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.' | b'+');
        let plain = !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.bytes().all(allowed);
        if plain { Ok(Cause::Named(Arc::from(text))) } else { Err(NameError::Instance) }
    }
}

/// One place for a process, named by owner and cause: `service/web/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The object it belongs to.
    pub object: ObjectRef,
    /// What it exists for.
    pub cause: Cause,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.object, self.cause)
    }
}

impl FromStr for InstanceId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<InstanceId, NameError> {
        let (object, cause) = text.rsplit_once('/').ok_or(NameError::Instance)?;
        Ok(InstanceId { object: object.parse()?, cause: cause.parse()? })
    }
}

/// What a process was started from: a version of the hashing rule, and a keyed hash of the fields that matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Which rule made the hash; 0 when a damaged record did not say.
    pub version: u32,
    /// The hash in lower-case hex.
    pub hash: Arc<str>,
}

impl Revision {
    /// The revision of something that did not say: equal to nothing, changed from nothing.
    #[must_use]
    pub fn unknown() -> Revision {
        Revision { version: 0, hash: Arc::from("unknown") }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.version, self.hash)
    }
}

impl FromStr for Revision {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Revision, NameError> {
        let (version, hash) = text.split_once(':').ok_or(NameError::Revision)?;
        let plain = !hash.is_empty() && hash.len() <= 64 && hash.bytes().all(|b| b.is_ascii_alphanumeric());
        let version = version.parse().map_err(|_| NameError::Revision)?;
        if plain { Ok(Revision { version, hash: Arc::from(hash) }) } else { Err(NameError::Revision) }
    }
}

/// Which process, for certain: a pid is reused, this is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId {
    /// The boot it lives in.
    pub boot: BootId,
    /// Its number in our pid namespace.
    pub pid: u32,
    /// Its start time in clock ticks since boot, as in `/proc/PID/stat`.
    pub started: u64,
}
