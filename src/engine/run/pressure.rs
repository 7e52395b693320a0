//! How hard the machine is pressed, and what is held back for it.
//!
//! In: the limits of the home (`gates`), and what the machine said of itself. Out: the limits that are passed, and which
//! decisions wait for them. Not here: reading the machine (`observe::pressure`), and when (`controller::pressure`).
//! The surprise: only what has not begun waits. What has begun goes on to its end, retries and further steps included,
//! since half a workflow helps nobody; and a Service is no run at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::order::{is_begun, settings};
use crate::engine::converge::{Case, Draft, Facts};
use crate::engine::desired::Desired;
use crate::engine::mutant::Mutant;
use crate::engine::name::{Cause, InstanceId};
use crate::engine::plan::{Action, Decision, Reason};
use crate::engine::time::BootTime;

/// How long what the machine said is gone by. What waits is looked at again after that, and nothing else is.
pub const FRESH_FOR: Duration = Duration::from_secs(5);

/// One figure for each gauge; none where nobody says one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The load of the last minute, in hundredths.
    pub load: Option<u64>,
    /// Memory that could be had, in bytes.
    pub memory_free: Option<u64>,
    /// The share of the last ten seconds in which something waited for a processor, in hundredths of a percent.
    pub cpu: Option<u64>,
    /// The same for memory.
    pub memory: Option<u64>,
    /// The same for a disk.
    pub io: Option<u64>,
}

/// What the machine said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// When.
    pub at: BootTime,
    /// What.
    pub figures: Figures,
}

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// The load of the last minute.
    Load,
    /// Memory that could be had.
    MemoryFree,
    /// Stalls for processors.
    Cpu,
    /// Stalls for memory.
    Memory,
    /// Stalls for disks.
    Io,
}

/// A limit that is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Of what.
    pub gauge: Gauge,
    /// The figure, in the unit of its gauge.
    pub figure: u64,
    /// The limit, in the same.
    pub limit: u64,
}

impl Gauge {
    /// All of them, in the order in which they are told.
    pub const ALL: [Gauge; 5] = [Gauge::Load, Gauge::MemoryFree, Gauge::Cpu, Gauge::Memory, Gauge::Io];

    /// Its limit as a field of Settings.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Gauge::Load => "gates.load",
            Gauge::MemoryFree => "gates.memoryFree",
            Gauge::Cpu => "gates.psi.cpu",
            Gauge::Memory => "gates.psi.memory",
            Gauge::Io => "gates.psi.io",
        }
    }
}

impl Figures {
    /// The figure of one gauge.
    #[must_use]
    pub fn of(&self, gauge: Gauge) -> Option<u64> {
        match gauge {
            Gauge::Load => self.load,
            Gauge::MemoryFree => self.memory_free,
            Gauge::Cpu => self.cpu,
            Gauge::Memory => self.memory,
            Gauge::Io => self.io,
        }
    }

    /// True when nobody has said any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Figures::default()
    }

    /// Which of these limits are passed, in the order of [`Gauge::ALL`]. A figure at its limit is within it, and one that
    /// nobody knows passes none.
    #[must_use]
    pub fn passed_by(&self, figures: &Figures) -> Vec<Passed> {
        let passed = |gauge: Gauge| {
            let (limit, figure) = (self.of(gauge)?, figures.of(gauge)?);
            let is_passed = match gauge {
                Gauge::MemoryFree => figure < limit,
                Gauge::Load | Gauge::Cpu | Gauge::Memory | Gauge::Io => figure > limit,
            };
            is_passed.then_some(Passed { gauge, figure, limit })
        };
        Gauge::ALL.into_iter().filter_map(passed).collect()
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Passed { gauge, figure, limit } = *self;
        let (now, most) = (Hundredths(figure), Hundredths(limit));
        match gauge {
            Gauge::Load => write!(f, "the load is {now}, over {most}"),
            Gauge::MemoryFree => write!(f, "{}Mi of memory are free, under {}Mi", figure >> 20, limit >> 20),
            Gauge::Cpu => write!(f, "work waits for a processor {now} % of the time, over {most} %"),
            Gauge::Memory => write!(f, "work waits for memory {now} % of the time, over {most} %"),
            Gauge::Io => write!(f, "work waits for a disk {now} % of the time, over {most} %"),
        }?;
        write!(f, " ({})", gauge.field())
    }
}

struct Hundredths(u64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// The limits of the home; empty where nobody has set any.
#[must_use]
pub fn gates(desired: &Desired) -> Figures {
    settings(desired).map(|settings| settings.gates).unwrap_or_default()
}

/// Holds back what would begin while a limit is passed.
pub(in crate::engine) fn hold(facts: &Facts<'_>, draft: &mut Draft) {
    let Some(pressure) = &facts.observed.pressure else { return };
    let over: Arc<[Passed]> = gates(facts.desired).passed_by(&pressure.figures).into();
    if over.is_empty() || facts.is_off(Mutant::IgnorePressure) {
        return;
    }
    let until = pressure.at.after(FRESH_FOR);
    let mut is_held = false;
    for decision in draft.tail(0).iter_mut().filter(|decision| begins(facts, decision)) {
        (decision.action, decision.because) = (None, Reason::Pressed { over: over.clone(), until });
        is_held = true;
    }
    if is_held {
        draft.wake(facts, Mutant::ForgetWake, until);
    }
}

/// True when a decision takes up work: a claim of messages, or the first process of a run.
#[must_use]
pub fn begins(facts: &Facts<'_>, decision: &Decision) -> bool {
    let InstanceId { object, cause } = &decision.id;
    match &decision.action {
        Some(Action::Claim(_)) => true,
        Some(Action::Spawn(_)) => {
            let book = facts.observed.ledger.books.get(object);
            let run = |cause: &Cause| Some((cause.clone(), book?.runs.get(cause)?));
            let run = run(cause).or_else(|| run(&cause.parent()?));
            let (Some((cause, run)), Some(object)) = (run, facts.desired.objects.get(object)) else { return false };
            !is_begun(&Case { facts, object, is_nested: false }, &cause, run)
        }
        Some(
            Action::Stop { .. }
            | Action::EndTree { .. }
            | Action::RecordLost { .. }
            | Action::SetPolicy { .. }
            | Action::Adopt { .. }
            | Action::Fire(_)
            | Action::Note(_)
            | Action::Finish(_)
            | Action::Return(_),
        )
        | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_passed_beyond_it_and_what_nobody_knows_passes_none() {
        let mebi = 1 << 20;
        let limits = Figures { load: Some(800), memory_free: Some(100 * mebi), io: Some(1050), ..Figures::default() };
        let said = |figures: &Figures| {
            let passed: Vec<String> = limits.passed_by(figures).iter().map(Passed::to_string).collect();
            passed.join("; ")
        };
        let at = Figures { load: Some(800), memory_free: Some(100 * mebi), io: Some(1050), ..Figures::default() };
        assert_eq!(said(&at), "");
        assert_eq!(said(&Figures::default()), "");
        let over = Figures { load: Some(1230), memory_free: Some(100 * mebi - 1), io: Some(1051), ..at };
        let expected = "the load is 12.30, over 8.00 (gates.load); \
                        99Mi of memory are free, under 100Mi (gates.memoryFree); \
                        work waits for a disk 10.51 % of the time, over 10.50 % (gates.psi.io)";
        assert_eq!(said(&over), expected);
        let others = Figures { cpu: Some(10_000), memory: Some(10_000), ..at };
        assert_eq!(said(&others), "");
    }
}
