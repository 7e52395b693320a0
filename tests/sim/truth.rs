//! What the host itself knows, and what it will not stand for, whatever any plan or audit says.
//!
//! These checks share nothing with the engine: they look at processes being executed, signalled and buried, and keep a
//! history of their own.

use std::time::Duration;

use setpoint::engine::{BackoffRule, Desired};

use super::names::{self, INSTANCES};

/// Rules that hold on the machine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No process of an instance is executed while one of an earlier attempt lives.
    Double,
    /// No two shims of one instance are past the lock.
    TwoShims,
    /// No signal reaches a process of another instance, or of nobody's.
    Stranger,
    /// Attempt numbers are unique and grow.
    Numbers,
    /// A crash is not answered sooner than its backoff says.
    Early,
    /// Nothing is started while a person keeps it down.
    PausedStart,
    /// Nothing is started that nobody wants.
    Unwanted,
    /// What no object and no tombstone explains is not touched.
    Stray,
    /// No attempt is buried alive.
    FalseLost,
    /// No exit is written while anything of the tree lives.
    Proof,
    /// Nothing is started before what it needs.
    NeedsFirst,
    /// Nothing is stopped before what needs it, when both are to stop.
    StopOrder,
    /// No process is ended for an answer that is not its own.
    Judged,
    /// A process of somebody else is signalled by a person's word only.
    Twin,
    /// Nothing is started beside a process of somebody else that was there when it was started.
    BesideTwin,
    /// Nothing is ended for its item unless that was missed for 2 s.
    ItemThere,
    /// Who found the lock busy looks again soon.
    LookAgain,
    /// Once the faults stop, everything comes to where it should be.
    Converged,
    /// A settled machine gets no actions.
    Quiet,
    /// Waiting costs few passes.
    WakeStorm,
}

/// A rule that was broken, with the evidence.
#[derive(Clone, Debug)]
pub struct Breach {
    pub rule: Rule,
    pub what: String,
}

/// How the last attempt of an instance ended, as the host saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It lives, or nobody wrote down how it ended.
    Unwritten,
    /// Somebody asked for it.
    Asked,
    /// By itself, at this boot time; the record says so.
    Written { at: u64 },
}

/// The last attempt of an instance that got as far as a birth record.
#[derive(Clone, Debug)]
pub struct Last {
    pub number: u32,
    pub uid: std::sync::Arc<str>,
    pub revision: usize,
    pub boots: u32,
    pub started: u64,
    /// The least exponent its successor's delay can have come from.
    pub n: u32,
    pub death: Death,
    /// It ended by itself, and well.
    pub is_ok: bool,
}

/// What the host remembers.
#[derive(Debug, Default)]
pub struct Truth {
    pub last: [Option<Last>; INSTANCES],
    pub breach: Option<Breach>,
    /// Since when the live controller has owed another look.
    pub busy_since: Option<u64>,
    pub spawns: u32,
    /// The attempt whose readiness probe last passed.
    pub passed: [Option<u32>; INSTANCES],
    /// The attempt whose liveness probe last failed, and when it was asked.
    pub failed: [Option<(u32, u64)>; INSTANCES],
    /// Since when every listing has missed this item.
    pub missed: [Option<u64>; INSTANCES],
}

impl Truth {
    /// Keeps the first breach of a life.
    pub fn break_rule(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        if self.breach.is_none() {
            self.breach = Some(Breach { rule, what: what() });
        }
    }

    /// An attempt is born: its number grows, and it does not come too soon.
    pub fn born(&mut self, instance: usize, new: Last, desired: &Desired, rule: Option<BackoffRule>) {
        let mut new = new;
        if let Some(last) = &self.last[instance] {
            let (number, before) = (new.number, last.number);
            if number <= before {
                let what = || format!("{} attempt {number} after {before}", names::id(instance));
                self.break_rule(Rule::Numbers, what);
            } else if let Some((n, at)) = earliest(instance, last, &new, desired, rule) {
                new.n = n;
                if new.started < at {
                    let early = Duration::from_nanos(at - new.started);
                    let what = || format!("{} attempt {number} is {early:?} early", names::id(instance));
                    self.break_rule(Rule::Early, what);
                }
            }
        }
        self.last[instance] = Some(new);
        // Numbers of lost records are given out again.
        (self.passed[instance], self.failed[instance]) = (None, None);
    }
}

/// The exponent a successor inherits and the earliest moment of its start; `None` when nothing is carried over.
fn earliest(
    instance: usize,
    last: &Last,
    new: &Last,
    desired: &Desired,
    rule: Option<BackoffRule>,
) -> Option<(u32, u64)> {
    let is_same = last.uid == new.uid && last.revision == new.revision && last.boots == new.boots;
    let object = desired.objects.get(&names::id(instance).object)?;
    let cause = names::slot(instance);
    let is_forgiven = object.overrides.forgiven.get(&cause).is_some_and(|until| last.number <= *until);
    if !is_same || is_forgiven || object.uid != new.uid {
        return None;
    }
    let rule = rule?;
    match last.death {
        Death::Unwritten => None,
        Death::Asked => Some((last.n, 0)),
        Death::Written { at } => {
            let lived = Duration::from_nanos(at.saturating_sub(last.started));
            let delay = least_delay(&rule, last.n);
            if lived >= rule.reset_after {
                return Some((0, 0));
            }
            let n = if lived < delay { last.n + 1 } else { last.n.saturating_sub(1) };
            Some((n, last.started + delay.as_nanos() as u64))
        }
    }
}

/// `from * factor^n`, capped, without jitter.
fn least_delay(rule: &BackoffRule, n: u32) -> Duration {
    let factor = f64::from(rule.factor_milli) / 1000.0;
    let delay = rule.from.as_secs_f64() * factor.powi(n.min(100) as i32);
    let capped = delay.min(rule.to.as_secs_f64());
    // A whisker less, so that rounding is nobody's crime.
    Duration::from_secs_f64(capped * 0.9999)
}
