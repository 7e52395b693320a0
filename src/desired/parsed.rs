//! From a stored generation to the one the engine reads.
//!
//! In: [`Stored`] and the key of the home. Out: [`Desired`], with every spec parsed that can be.
//! Not here: what a kind makes of its spec. The surprise: an object that has not changed is not parsed again, so that
//! one edit among ten thousand objects costs a comparison each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::generation::{Stored, StoredObject, StoredOverrides, StoredPause};
use super::{registry, revision};
use crate::engine::desired::{Overrides, Pause, Spec, Tombstone};
use crate::engine::{Cause, Desired, Object, ObjectRef, Timestamp};
use crate::home::Key;

/// The objects of the last generation that was parsed, kept for the next.
#[derive(Debug, Default)]
pub struct Parsed {
    objects: BTreeMap<ObjectRef, (Arc<StoredObject>, Arc<Object>)>,
}

/// One generation for the engine, parsed afresh.
#[must_use]
pub fn to_engine(stored: &Stored, key: &Key) -> Desired {
    Parsed::default().to_engine(stored, key)
}

impl Parsed {
    /// One generation for the engine. The key must be the same at every call.
    pub fn to_engine(&mut self, stored: &Stored, key: &Key) -> Desired {
        let mut known = std::mem::take(&mut self.objects);
        for (id, object) in &stored.objects {
            let parsed = match known.remove(id) {
                Some((before, parsed)) => reuse(id, &before, object, parsed, key),
                None => Arc::new(parse(id, object, key)),
            };
            self.objects.insert(id.clone(), (Arc::clone(object), parsed));
        }
        Desired {
            generation: stored.generation,
            coverage: stored.coverage.clone(),
            objects: self.objects.iter().map(|(id, (_, parsed))| (id.clone(), Arc::clone(parsed))).collect(),
            tombstones: tombstones(stored),
            frozen: stored.frozen.as_ref().map(pause),
            is_draining: false,
        }
    }
}

fn reuse(
    id: &ObjectRef,
    before: &Arc<StoredObject>,
    after: &Arc<StoredObject>,
    parsed: Arc<Object>,
    key: &Key,
) -> Arc<Object> {
    let is_same_spec = Arc::ptr_eq(before, after) || (before.kind == after.kind && before.spec == after.spec);
    if !is_same_spec {
        return Arc::new(parse(id, after, key));
    }
    let is_same_work = before.metadata.work_generation == after.metadata.work_generation;
    if before.metadata.uid == after.metadata.uid && before.overrides == after.overrides && is_same_work {
        return parsed;
    }
    Arc::new(Object {
        uid: after.metadata.uid.as_str().into(),
        overrides: overrides(&after.overrides),
        work_generation: after.metadata.work_generation,
        ..Object::clone(&parsed)
    })
}

fn parse(id: &ObjectRef, object: &StoredObject, key: &Key) -> Object {
    let (spec, revisions) = match registry::parse(id.kind(), &object.spec) {
        Ok(kind) => {
            let revisions = revision::revisions(key, id.kind(), &kind.revision_input());
            (Spec::Known(kind), revisions)
        }
        Err(why) => (Spec::Opaque { why: why.into() }, Vec::new()),
    };
    Object {
        id: id.clone(),
        uid: object.metadata.uid.as_str().into(),
        spec,
        revisions,
        work_generation: object.metadata.work_generation,
        overrides: overrides(&object.overrides),
    }
}

fn overrides(stored: &StoredOverrides) -> Overrides {
    Overrides {
        paused: stored.paused.as_ref().map(pause),
        forgiven: by_cause(&stored.forgiven),
        restart: by_cause(&stored.restart),
    }
}

fn pause(stored: &StoredPause) -> Pause {
    Pause {
        by: stored.by.as_str().into(),
        reason: stored.reason.as_deref().map(Into::into),
        // An end that cannot be read never comes: what a person keeps down stays down.
        until: stored.until.as_deref().and_then(timestamp),
    }
}

/// The moment an RFC 3339 text names, when it lies after 1970.
#[must_use]
pub fn timestamp(text: &str) -> Option<Timestamp> {
    let moment = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    u64::try_from(moment.timestamp_nanos_opt()?).ok().map(Timestamp::from_nanos)
}

fn by_cause(stored: &BTreeMap<String, u32>) -> BTreeMap<Cause, u32> {
    stored.iter().filter_map(|(cause, number)| Some((cause.parse().ok()?, *number))).collect()
}

fn tombstones(stored: &Stored) -> BTreeMap<ObjectRef, Tombstone> {
    let licence = |(id, stored): (&ObjectRef, &super::generation::StoredTombstone)| {
        let policy = stored.policy?.into();
        let tombstone = Tombstone {
            uid: stored.uid.as_str().into(),
            generation: stored.generation,
            policy,
            needs: stored.needs.iter().filter_map(|need| need.parse().ok()).collect(),
            ends_adopted: stored.ends_adopted,
        };
        Some((id.clone(), tombstone))
    };
    stored.tombstones.iter().filter_map(licence).collect()
}
