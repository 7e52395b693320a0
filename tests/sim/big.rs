//! More to do at once than one plan holds: everything is to be started, stopped, or replaced in turn.

use std::sync::Arc;

use setpoint::engine::audit::audit;
use setpoint::engine::desired::{Overrides, Spec};
use setpoint::engine::observed::{Alive, Phase};
use setpoint::engine::plan::ACTIONS_MAX;
use setpoint::engine::{
    Backoff, BootId, BootTime, Cause, Coverage, Desired, Facts, InstanceId, Mutant, Now, Object, ObjectRef, Observed,
    ProcId, Sight, Sighting, Timestamp, reconcile_mutated,
};

use super::kind::{Draft, Fleet};
use super::names;
use super::rng::Rng;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Starts,
    PolicyChanges,
    /// One of each object: these are decided after all others.
    Replacements,
}

pub const CASES: &[Case] = &[Case::Starts, Case::PolicyChanges, Case::Replacements];

/// How many actions such a plan holds, and the rules it breaks.
pub fn plan(case: Case, mutant: Mutant) -> (usize, Vec<Mutant>) {
    let now =
        Now { wall: Timestamp::from_nanos(0), boot: BootTime::from_millis(1_000_000), boot_id: BootId::new("boot") };
    let draft = Draft { replicas: 1, revision: 1, ..Draft::plain(&mut Rng::new(0)) };
    let spec = Spec::Known(Arc::new(Fleet::new(&draft)));
    let mut desired = Desired {
        generation: 1,
        coverage: Coverage::Whole,
        objects: Default::default(),
        tombstones: Default::default(),
        frozen: None,
        is_draining: false,
    };
    let mut observed = Observed::empty();
    for n in 0..=ACTIONS_MAX as u32 {
        let id = ObjectRef::new("service", &format!("s{n}")).expect("a plain name");
        let object = Object {
            id: id.clone(),
            uid: "u".into(),
            spec: spec.clone(),
            revisions: vec![names::revision(1, 1)],
            work_generation: 1,
            overrides: Overrides::default(),
        };
        desired.objects.insert(id.clone(), Arc::new(object));
        if case != Case::Starts {
            let revision = names::revision(1, if case == Case::Replacements { 2 } else { 1 });
            let alive = Alive {
                attempt: 1,
                revision,
                shim: ProcId { boot: now.boot_id.clone(), pid: n + 2, started: 1 },
                payload: 1,
                since: BootTime::default(),
                phase: Phase::Running,
                is_told: true,
                tree: [].into(),
            };
            let instance = InstanceId { object: id, cause: Cause::Slot(0) };
            observed.sightings.insert(instance, Sighting::of(Sight::Seen(alive)));
        }
    }
    let backoff = Backoff::default();
    let plan = reconcile_mutated(&desired, &observed, &backoff, &now, mutant);
    let facts = Facts { desired: &desired, observed: &observed, backoff: &backoff, now: &now, mutant: Mutant::None };
    let broken = audit(&plan, &facts).into_iter().map(|violation| violation.rule).collect();
    (plan.decisions.iter().filter(|decision| decision.action.is_some()).count(), broken)
}
