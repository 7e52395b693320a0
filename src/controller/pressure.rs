//! Asks how hard the machine is pressed, where that matters.
//!
//! In: the facts of a pass. Out: its plan. Not here: reading the machine (`observe::pressure`), holding anything back
//! (`engine::run::pressure`). The surprise: where nothing would begin, or nobody has set a limit, nothing is read. A plan
//! is made first as if the machine were idle, and once more only when that plan takes something up.

use crate::engine::converge::Facts;
use crate::engine::run::pressure::{FRESH_FOR, Figures, Passed, begins, gates};
use crate::engine::{Backoff, BootTime, Desired, Mutant, Now, Observed, Plan, reconcile};
use crate::observe::pressure::look;

/// The plan of a pass. What the machine said last is kept with what was seen, for as long as it counts.
#[must_use]
pub fn plan(desired: &Desired, observed: &mut Observed, backoff: &Backoff, now: &Now) -> Plan {
    if observed.pressure.is_some_and(|pressure| pressure.at.after(FRESH_FOR) <= now.boot) {
        observed.pressure = None;
    }
    let plan = reconcile(desired, observed, backoff, now);
    if observed.pressure.is_some() || gates(desired).is_empty() {
        return plan;
    }
    let facts = Facts { desired, observed, backoff, now, mutant: Mutant::None };
    if !plan.decisions.iter().any(|decision| begins(&facts, decision)) {
        return plan;
    }
    observed.pressure = Some(look(now.boot));
    reconcile(desired, observed, backoff, now)
}

/// Which of these limits are passed now, in words for a person who is about to begin something.
#[must_use]
pub fn said(limits: &Figures) -> Option<String> {
    if limits.is_empty() {
        return None;
    }
    let passed: Vec<String> =
        limits.passed_by(&look(BootTime::default()).figures).iter().map(Passed::to_string).collect();
    (!passed.is_empty()).then(|| passed.join("; "))
}
