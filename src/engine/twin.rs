//! Decides about an instance that a process of somebody else may count as.
//!
//! In: what was seen of such processes. Out: a start where there is none, or why none is made. Not here: finding them.
//! The surprise: until somebody has looked, nothing starts: a second copy beside a stranger's is what adoption is against.

use super::converge::{Case, Draft, absent, wait};
use super::desired::RevisionMatch;
use super::expand::Want;
use super::mutant::Mutant;
use super::name::InstanceId;
use super::observed::{Adopted, Member, Sighting, Twin};
use super::plan::{Action, Decision, Reason, StopRule};

/// Nothing of ours is there. Where a stranger's process may count as it, none is started until that is known.
pub(super) fn beside_twin(
    case: &Case<'_>,
    want: &Want<'_>,
    id: InstanceId,
    sighting: Option<&Sighting>,
    draft: &mut Draft,
) -> Decision {
    let refused = sighting.and_then(|sighting| sighting.refused.as_ref());
    if want.up.adopt.is_none() || case.facts.is_off(Mutant::SpawnBesideTwin) {
        return absent(case, want, id, refused, draft);
    }
    match sighting.map_or(&Twin::Unlooked, |sighting| &sighting.twin) {
        Twin::None => absent(case, want, id, refused, draft),
        Twin::Unlooked => {
            let why = "nobody has looked for a process to adopt yet".into();
            wait(id, Reason::Blind { why })
        }
        Twin::Unreadable { why } => wait(id, Reason::Blind { why: why.clone() }),
        Twin::Many(members) => wait(id, ambiguous(members)),
        Twin::One(adopted) => adopt(case, id, adopted),
    }
}

pub(super) fn ambiguous(members: &[Member]) -> Reason {
    Reason::Ambiguous { pids: members.iter().map(|member| member.proc.pid).collect() }
}

/// A process of somebody else counts as the instance, and is never touched.
fn adopt(case: &Case<'_>, id: InstanceId, Adopted { member, revision }: &Adopted) -> Decision {
    let proc = member.proc.clone();
    let wanted = case.object.revision();
    match revision.as_ref().map(|revision| case.object.compare(revision)) {
        None => {
            let action = Some(Action::Adopt { proc: proc.clone(), revision: wanted });
            Decision { id, action, because: Reason::Adopted { proc } }
        }
        Some(RevisionMatch::Changed) if case.facts.is_off(Mutant::KillAdopted) => {
            let action = Some(Action::EndTree { tree: [member.clone()].into(), signal: StopRule::TERM });
            Decision { id, action, because: Reason::Drifted { proc } }
        }
        Some(RevisionMatch::Changed) => wait(id, Reason::Drifted { proc }),
        Some(RevisionMatch::Same | RevisionMatch::UnknownVersion) => wait(id, Reason::Adopted { proc }),
    }
}
