//! One generation of the desired state, as it lies on the disk.
//!
//! In: the bytes of a generation file, or a draft of the next. Out: the other of the two.
//! Not here: which file is current, locks and renames. What a spec means is its kind's to say.
//! The surprise: a file that cannot be read whole is no generation at all, while one of a newer format is an error,
//! since falling back from it would silently undo what somebody applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::plan::{LogLimits, Policy, StopRule};
use crate::engine::{Cause, Coverage, ObjectRef};

/// The format written by this binary.
pub const VERSION: u32 = 1;
/// How many tombstones a generation carries; older ones are dropped first.
pub const TOMBSTONES_MAX: usize = 1000;
/// How many folders one set may have.
pub const SET_FOLDERS_MAX: usize = 64;

/// What was done to make a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Manifests were applied by a person or a program.
    Apply,
    /// A live folder changed, and the controller applied it.
    Live,
    /// Objects were removed.
    Delete,
    /// Objects were paused.
    Pause,
    /// Objects were resumed.
    Resume,
    /// Objects were restarted.
    Restart,
    /// An object was taken back to an older version.
    Undo,
    /// Everything that would begin was frozen.
    Freeze,
    /// A freeze was ended.
    Thaw,
}

impl Verb {
    /// The verb as it is typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Apply => "apply",
            Verb::Live => "live",
            Verb::Delete => "delete",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Restart => "restart",
            Verb::Undo => "undo",
            Verb::Freeze => "freeze",
            Verb::Thaw => "thaw",
        }
    }
}

/// Who did what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// What.
    pub verb: Verb,
    /// Who: a user name, or `controller`.
    pub principal: String,
    /// The lifecycle request that this carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// One generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its number; 0 is the empty state before the first.
    pub generation: u64,
    /// The highest number on the disk, damaged files included: the next generation is one more.
    pub newest: u64,
    /// Which generation it was made from.
    pub parent: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// Who did what.
    pub by: By,
    /// What they said about it.
    pub note: Option<String>,
    /// The objects.
    pub objects: BTreeMap<ObjectRef, Arc<StoredObject>>,
    /// The sets that have objects.
    pub sets: BTreeMap<String, StoredSet>,
    /// Nothing new is to begin.
    pub frozen: Option<StoredPause>,
    /// What was removed.
    pub tombstones: BTreeMap<ObjectRef, StoredTombstone>,
    /// Partial when a newer generation could not be read, so this one may lack what it added.
    pub coverage: Coverage,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// `setpoint/v1`.
    pub api_version: String,
    /// The kind as it is written in manifests, `Service`.
    pub kind: String,
    /// Everything about it that is not its spec.
    pub metadata: Metadata,
    /// The spec with defaults omitted.
    pub spec: Value,
    /// What people said about it since.
    #[serde(default, skip_serializing_if = "StoredOverrides::is_empty")]
    pub overrides: StoredOverrides,
}

/// Everything about an object that is not its spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Drawn when it was created.
    pub uid: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The one set it belongs to.
    pub set: String,
    /// The file it came from, absolute; `stdin` when it was typed.
    pub source: String,
    /// `user` when the folder `jobs` of the home gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Counts the changes of this object, from 1.
    pub generation: u64,
    /// Counts the changes of what a Job does, from 1, over deletes too; 0 for other kinds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub work_generation: u64,
    /// When it was created, in RFC 3339.
    pub created: String,
    /// Its live folder lost it in a way that only a person may act on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leftover: bool,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// What people said about an object. Causes are written as in instance names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOverrides {
    /// It stays down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<StoredPause>,
    /// Crashes of attempts up to this number are forgiven.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forgiven: BTreeMap<String, u32>,
    /// Attempts up to this number are to be replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restart: BTreeMap<String, u32>,
}

impl StoredOverrides {
    /// True when nobody said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == StoredOverrides::default()
    }

    /// Forgives every crash so far.
    pub fn forgive(&mut self, attempts: &BTreeMap<Cause, u32>) {
        raise(&mut self.forgiven, attempts);
    }

    /// Asks for the replacement of every attempt so far, and forgives them.
    pub fn restart(&mut self, attempts: &BTreeMap<Cause, u32>) {
        raise(&mut self.restart, attempts);
        self.forgive(attempts);
    }
}

/// Numbers only grow, so an attempt that was not seen this time stays forgiven.
fn raise(facts: &mut BTreeMap<String, u32>, attempts: &BTreeMap<Cause, u32>) {
    for (cause, number) in attempts {
        let fact = facts.entry(cause.to_string()).or_default();
        *fact = (*fact).max(*number);
    }
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPause {
    /// Who asked for it.
    pub by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends by itself, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A group of objects that one source owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSet {
    /// The folders it was applied from, absolute.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<String>,
    /// A controller follows its folder; nobody else may change its objects.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
    /// `user` for the folder `jobs` of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

/// An object that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTombstone {
    /// Which.
    pub object: String,
    /// The uid it had.
    pub uid: String,
    /// The generation that removed it.
    pub generation: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// How its instances are to be stopped. None: they are left alone, because somebody wished so or the kind was not
    /// known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<StoredPolicy>,
    /// What it needed: its processes are stopped before those of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Processes that somebody else started are to be ended, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_adopted: bool,
    /// The last generation of its work.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub work_generation: u64,
}

/// How something is stopped and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPolicy {
    /// The first signal, by number.
    pub signal: i32,
    /// How long until KILL, in milliseconds.
    pub grace_ms: u64,
    /// A log file is closed at this many bytes.
    pub log_max_size: u64,
    /// How many log files are kept.
    pub log_max_files: u32,
}

impl From<Policy> for StoredPolicy {
    fn from(policy: Policy) -> StoredPolicy {
        StoredPolicy {
            signal: policy.stop.signal,
            grace_ms: u64::try_from(policy.stop.grace.as_millis()).unwrap_or(u64::MAX),
            log_max_size: policy.log.max_size,
            log_max_files: policy.log.max_files,
        }
    }
}

impl From<StoredPolicy> for Policy {
    fn from(stored: StoredPolicy) -> Policy {
        let grace = Duration::from_millis(stored.grace_ms).min(StopRule::GRACE_MAX);
        Policy {
            stop: StopRule { signal: stored.signal, grace },
            log: LogLimits { max_size: stored.log_max_size, max_files: stored.log_max_files },
            // Of no use to what is only to be stopped.
            ..Policy::DEFAULT
        }
    }
}

/// Why bytes are no generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Torn or overwritten.
    Damaged {
        /// What is wrong, with the line.
        why: String,
    },
    /// Of a format this binary does not know.
    Newer {
        /// Its version.
        version: u32,
    },
}

/// The header of a file; objects and tombstones follow it, one a line.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    generation: u64,
    parent: u64,
    at: String,
    by: By,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default)]
    sets: BTreeMap<String, StoredSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<StoredPause>,
}

#[derive(Deserialize)]
struct Contents {
    version: u32,
    generation: u64,
    parent: u64,
    at: String,
    by: By,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    sets: BTreeMap<String, StoredSet>,
    #[serde(default)]
    frozen: Option<StoredPause>,
    objects: Vec<Arc<StoredObject>>,
    tombstones: Vec<StoredTombstone>,
}

#[derive(Deserialize)]
struct Probe {
    version: u32,
}

impl Stored {
    /// What is desired before anything was applied.
    #[must_use]
    pub fn empty() -> Stored {
        Stored {
            generation: 0,
            newest: 0,
            parent: 0,
            at: String::new(),
            by: By { verb: Verb::Apply, principal: String::new(), request: None },
            note: None,
            objects: BTreeMap::new(),
            sets: BTreeMap::new(),
            frozen: None,
            tombstones: BTreeMap::new(),
            coverage: Coverage::Whole,
        }
    }

    /// The file of this generation: JSON, with one object a line so that people can read and compare it.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let header = Header {
            version: VERSION,
            generation: self.generation,
            parent: self.parent,
            at: self.at.clone(),
            by: self.by.clone(),
            note: self.note.clone(),
            sets: self.sets.clone(),
            frozen: self.frozen.clone(),
        };
        let mut bytes = serde_json::to_vec(&header)?;
        // The closing brace comes after the lists.
        bytes.pop();
        write_list(&mut bytes, "objects", self.objects.values())?;
        write_list(&mut bytes, "tombstones", self.tombstones.values())?;
        bytes.extend_from_slice(b"}\n");
        Ok(bytes)
    }

    /// Reads the file of generation `number`.
    ///
    /// # Errors
    /// When it is torn, says another number, holds an object that cannot be named, or is of a newer format.
    pub fn decode(number: u64, bytes: &[u8]) -> Result<Stored, Unreadable> {
        let damaged = |why: String| Unreadable::Damaged { why };
        let contents: Contents = match serde_json::from_slice(bytes) {
            Ok(contents) => contents,
            Err(error) => match serde_json::from_slice::<Probe>(bytes) {
                Ok(probe) if probe.version > VERSION => return Err(Unreadable::Newer { version: probe.version }),
                Ok(_) | Err(_) => return Err(damaged(error.to_string())),
            },
        };
        if contents.version > VERSION {
            return Err(Unreadable::Newer { version: contents.version });
        }
        if contents.generation != number {
            return Err(damaged(format!("it says that it is generation {}", contents.generation)));
        }
        let mut objects = BTreeMap::new();
        for object in contents.objects {
            let id = object.id().ok_or_else(|| damaged(format!("{} {}", object.kind, object.metadata.name)))?;
            if objects.insert(id.clone(), object).is_some() {
                return Err(damaged(format!("{id} is there twice")));
            }
        }
        let mut tombstones = BTreeMap::new();
        for tombstone in contents.tombstones {
            let id: ObjectRef = tombstone.object.parse().map_err(|_| damaged(tombstone.object.clone()))?;
            tombstones.insert(id, tombstone);
        }
        Ok(Stored {
            generation: number,
            newest: number,
            parent: contents.parent,
            at: contents.at,
            by: contents.by,
            note: contents.note,
            objects,
            sets: contents.sets,
            frozen: contents.frozen,
            tombstones,
            coverage: Coverage::Whole,
        })
    }

    /// The objects of a set.
    pub fn members<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a ObjectRef> {
        self.objects.iter().filter(move |(_, object)| object.metadata.set == set).map(|(id, _)| id)
    }
}

impl StoredObject {
    /// Kind and name; none when either is not a name.
    #[must_use]
    pub fn id(&self) -> Option<ObjectRef> {
        ObjectRef::new(&self.kind.to_ascii_lowercase(), &self.metadata.name).ok()
    }
}

fn write_list<'a, T: Serialize + 'a>(
    bytes: &mut Vec<u8>,
    name: &str,
    entries: impl Iterator<Item = &'a T>,
) -> serde_json::Result<()> {
    bytes.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (index, entry) in entries.enumerate() {
        bytes.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut *bytes, entry)?;
    }
    bytes.extend_from_slice(b"\n]");
    Ok(())
}
