//! Objects that stay and name one that goes.
//!
//! In: a generation, the objects that change or go with the same step. Out: who would name what is no longer there.
//! Not here: what an object needs before it starts: that is told, and refuses nothing, since what runs goes on without.
//! The surprise: only what is stored is asked. What a file proposes in the same go is checked with the places of the file.

use std::collections::BTreeSet;

use super::generation::Stored;
use crate::engine::ObjectRef;
use crate::kind::{KINDS, Names};

/// What can be named so that nothing goes on without it.
const KINDS_NAMED: &[&str] = &["capability", "quiethours", "workflow"];

/// Who would still name one of `removed`, as `(who, what)`. `proposed` are replaced in the same go, and speak for
/// themselves.
#[must_use]
pub fn users(
    base: &Stored,
    proposed: &BTreeSet<&ObjectRef>,
    removed: &BTreeSet<&ObjectRef>,
) -> Vec<(ObjectRef, ObjectRef)> {
    if !removed.iter().any(|id| KINDS_NAMED.contains(&id.kind())) {
        return Vec::new();
    }
    let stays = base.objects.iter().filter(|(id, _)| !removed.contains(id) && !proposed.contains(id));
    let mut found = BTreeSet::new();
    for (id, object) in stays {
        let Some(def) = KINDS.iter().find(|def| def.lower == id.kind()) else { continue };
        let Ok(parsed) = (def.parse)(&object.spec) else { continue };
        let used = parsed.references.iter().filter_map(|reference| lost(base, proposed, removed, &reference.names));
        found.extend(used.map(|used| (id.clone(), used)));
    }
    found.into_iter().collect()
}

/// What of this would no longer be there.
fn lost(
    base: &Stored,
    proposed: &BTreeSet<&ObjectRef>,
    removed: &BTreeSet<&ObjectRef>,
    names: &Names,
) -> Option<ObjectRef> {
    match names {
        Names::Quiet(hours) => removed.contains(hours).then(|| hours.clone()),
        Names::Use { target, .. } => {
            let is_left =
                |id: &&ObjectRef| proposed.contains(*id) || (base.objects.contains_key(*id) && !removed.contains(*id));
            let goes = target.candidates.iter().find(|id| removed.contains(*id) && base.objects.contains_key(*id))?;
            let is_served = target.builtin.is_some() || target.candidates.iter().any(|id| is_left(&id));
            (!is_served).then(|| goes.clone())
        }
        Names::Need(_) | Names::Zone(_) | Names::Alone => None,
    }
}

/// The same in words, a line for each object that goes.
#[must_use]
pub fn words(users: &[(ObjectRef, ObjectRef)]) -> Vec<String> {
    let gone: BTreeSet<&ObjectRef> = users.iter().map(|(_, used)| used).collect();
    let line = |used: &&ObjectRef| {
        let names: Vec<&str> =
            users.iter().filter(|(_, other)| other == *used).map(|(user, _)| user.as_str()).collect();
        format!("{used} is still used by {}", names.join(", "))
    };
    gone.iter().map(line).collect()
}
