//! Waiting after crashes: what the records say of the last attempts, and when the next may start.
//!
//! In: the last attempt of each instance with the streak folded into its birth record. Out: the streak its successor
//! carries and the earliest moment it may start. Not here: reading records.
//! The surprise: the delay counts from the previous *start*, so a process that lived a few seconds comes back at once
//! and only one that dies young ever waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::name::{InstanceId, ProcId, Revision};
use super::time::{BootId, BootTime, Timestamp};

/// When to give up on something that keeps dying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GiveUp {
    /// Only while this revision has never stayed up for `resetAfter`.
    #[default]
    Unproven,
    /// After the count, whatever came before.
    Always,
    /// Not at all.
    Never,
}

/// How long to wait after deaths, and when to stop trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffRule {
    /// The first delay, counted from the previous start.
    pub from: Duration,
    /// What each further delay is multiplied by, in thousandths; at least 1000.
    pub factor_milli: u32,
    /// The longest delay.
    pub to: Duration,
    /// A life this long forgets every earlier crash.
    pub reset_after: Duration,
    /// Deaths younger than `reset_after` in a row before giving up; 0 never gives up.
    pub give_up_after: u32,
    /// Which revisions may be given up on.
    pub give_up: GiveUp,
}

impl BackoffRule {
    /// `{ from: 1s, factor: 2, to: 60s, resetAfter: 60s, giveUpAfter: 5, giveUp: unproven }`.
    pub const DEFAULT: BackoffRule = BackoffRule {
        from: Duration::from_secs(1),
        factor_milli: 2000,
        to: Duration::from_secs(60),
        reset_after: Duration::from_secs(60),
        give_up_after: 5,
        give_up: GiveUp::Unproven,
    };

    /// The least time between the start of an attempt and the start of its successor, jitter of 0 to 10 % included.
    /// The jitter is drawn from the name and `n`, so that many crashing things spread and one stays predictable.
    #[must_use]
    pub fn delay(&self, n: u32, id: &InstanceId) -> Duration {
        let mut delay = self.from.min(self.to);
        // 64 doublings pass any duration; the loop is bounded whatever a record claims.
        for _ in 0..n.min(64) {
            if delay >= self.to {
                break;
            }
            delay = delay.saturating_mul(self.factor_milli) / 1000;
        }
        let delay = delay.min(self.to);
        delay + delay.saturating_mul(permille(id, n)) / 10_000
    }

    /// True when a streak says to stop trying.
    #[must_use]
    pub fn is_spent(&self, streak: &Streak) -> bool {
        let counted = self.give_up_after > 0 && streak.deaths >= self.give_up_after;
        match self.give_up {
            GiveUp::Unproven => counted && !streak.proven,
            GiveUp::Always => counted,
            GiveUp::Never => false,
        }
    }
}

/// 0..=1000 from a name, by FNV-1a: the same in every process and release.
fn permille(id: &InstanceId, n: u32) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let slot = match &id.cause {
        super::name::Cause::Slot(slot) => *slot,
        super::name::Cause::Named(_) => 0,
    };
    let cause = slot.to_be_bytes();
    let count = n.to_be_bytes();
    for byte in id.object.as_str().bytes().chain(cause).chain(count) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    u32::try_from((hash ^ (hash >> 32)) % 1001).unwrap_or(0)
}

/// What is remembered from attempt to attempt, folded into each birth record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The exponent of the next delay.
    pub n: u32,
    /// Deaths younger than `resetAfter` in a row.
    pub deaths: u32,
    /// Crashes of this revision since it was last forgiven, however long it had lived; a roll halts on the first.
    pub crashes: u32,
    /// This revision has once stayed up for `resetAfter`.
    pub proven: bool,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was never executed; what failed, with the system's words.
    NotStarted(Arc<str>),
    /// A liveness probe failed, so it was ended: which one, and what it said.
    Unhealthy(Arc<str>),
    /// Nobody was there to see.
    Lost,
}

impl Exit {
    /// True for exit code 0.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        *self == Exit::Code(0)
    }
}

/// The end of an attempt, as far as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Birth is written, the end is not: it lives, or it was lost.
    Open,
    /// It ended, and the record says how.
    Ended {
        /// How.
        exit: Exit,
        /// When, in the boot time of the attempt's boot.
        at: BootTime,
        /// A stop had been asked for, so this is no crash.
        asked: bool,
    },
}

/// What the newest record of an instance says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1 and only grows, over deletes too.
    pub number: u32,
    /// The object it was started for: a recreated one of the same name has another.
    pub uid: Arc<str>,
    /// What it was started from.
    pub revision: Revision,
    /// The shim that wrote the record.
    pub shim: ProcId,
    /// The payload, 0 when it never existed.
    pub payload: u32,
    /// The boot it was born in; empty when the record is damaged, which reads as "an earlier boot".
    pub boot_id: BootId,
    /// When it was started.
    pub started: BootTime,
    /// The same for people.
    pub started_wall: Timestamp,
    /// The streak of its predecessors.
    pub streak: Streak,
    /// How it ended.
    pub end: End,
}

/// The last attempt of every instance that ever had one: facts that a process table cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff(pub BTreeMap<InstanceId, Attempt>);

/// What follows from the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What the next attempt carries.
    pub streak: Streak,
    /// The next attempt starts no sooner.
    pub not_before: BootTime,
    /// The last attempt died of itself, and nobody has forgiven it.
    pub crashed: bool,
}

/// Whose streak the last attempt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The same object, revision and boot, not forgiven: its death counts.
    Counts,
    /// Forgiven, or of an earlier boot: a fresh streak, though what has proven itself stays proven.
    Forgiven,
    /// Of another object or revision: nothing is carried over.
    Foreign,
}

/// Folds the end of `last` into the streak of its successor.
///
/// A stop that was asked for is no death. An open end is nobody's crash yet: it must be recorded as lost first.
#[must_use]
pub fn fold(id: &InstanceId, last: &Attempt, rule: &BackoffRule, standing: Standing) -> Due {
    let at_once = |streak| Due { streak, not_before: BootTime::default(), crashed: false };
    let lived = match &last.end {
        End::Ended { at, .. } => at.since(last.started),
        End::Open => Duration::ZERO,
    };
    let was_long = lived >= rule.reset_after;
    let proven = last.streak.proven || (was_long && !is_lost(last));
    match (standing, &last.end) {
        (Standing::Foreign, _) => at_once(Streak::default()),
        (Standing::Forgiven, _) => at_once(Streak { proven, ..Streak::default() }),
        (Standing::Counts, End::Open | End::Ended { asked: true, .. }) => at_once(Streak { proven, ..last.streak }),
        (Standing::Counts, End::Ended { asked: false, .. }) => died(id, last, rule, lived),
    }
}

/// True when nobody saw the end: it may have come long before it was noticed, so it proves nothing.
fn is_lost(last: &Attempt) -> bool {
    matches!(last.end, End::Ended { exit: Exit::Lost, .. })
}

/// The streak after a death that counts.
fn died(id: &InstanceId, last: &Attempt, rule: &BackoffRule, lived: Duration) -> Due {
    let was_long = lived >= rule.reset_after;
    let delay = rule.delay(last.streak.n, id);
    let n = match (was_long, lived < delay) {
        (true, _) => 0,
        (false, true) => last.streak.n.saturating_add(1),
        (false, false) => last.streak.n.saturating_sub(1),
    };
    let streak = Streak {
        n,
        deaths: if was_long { 0 } else { last.streak.deaths.saturating_add(1) },
        crashes: last.streak.crashes.saturating_add(1),
        proven: last.streak.proven || (was_long && !is_lost(last)),
    };
    // A long life never waits, even where `to` was set above `resetAfter`.
    let not_before = if was_long { BootTime::default() } else { last.started.after(delay) };
    Due { streak, not_before, crashed: true }
}
