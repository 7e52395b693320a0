//! The few names a life has: three objects of three slots each, and one instance that nothing explains.

use std::sync::{Arc, LazyLock};

use setpoint::engine::{Cause, InstanceId, ObjectRef, Revision};

pub const OBJECTS: usize = 3;
pub const SLOTS: usize = 3;
/// The instance whose object is in no generation.
pub const STRAY: usize = OBJECTS * SLOTS;
pub const INSTANCES: usize = STRAY + 1;

static REFS: LazyLock<Vec<ObjectRef>> = LazyLock::new(|| {
    ["a", "b", "c", "stray"].iter().map(|name| ObjectRef::new("service", name).expect("a plain name")).collect()
});

static IDS: LazyLock<Vec<InstanceId>> = LazyLock::new(|| {
    let named = |i: usize| InstanceId { object: object(i / SLOTS).clone(), cause: slot(i) };
    (0..INSTANCES).map(named).collect()
});

static REVISIONS: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| (0..256).map(|n| format!("r{n}").into()).collect());

pub fn object(index: usize) -> &'static ObjectRef {
    &REFS[index]
}

pub fn id(instance: usize) -> &'static InstanceId {
    &IDS[instance]
}

pub fn slot(instance: usize) -> Cause {
    Cause::Slot((instance % SLOTS) as u32)
}

pub fn index(id: &InstanceId) -> usize {
    IDS.iter().position(|known| known == id).expect("the engine names no instance of its own")
}

/// The revision number `n`, hashed by the rule of `version`.
pub fn revision(version: u32, n: usize) -> Revision {
    Revision { version, hash: REVISIONS[n % REVISIONS.len()].clone() }
}

/// The number back from a revision.
pub fn revision_number(revision: &Revision) -> usize {
    revision.hash.strip_prefix('r').and_then(|n| n.parse().ok()).unwrap_or(0)
}
