//! What the end of a Service is answered with.
//!
//! In: the fields `restart` and `backoff`. Out: the rules the engine follows.
//! Not here: following them. The surprise: the delay of a backoff counts from the previous start.

use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::backoff::{BackoffRule, GiveUp};
use crate::engine::expand::Restart;
use crate::kind::FieldError;
use crate::kind::units::{Duration, Factor, count};

/// What the end of a process is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum RestartRule {
    /// a new start, whatever the exit
    #[default]
    Always,
    /// a new start unless it exited with 0
    OnFailure,
    /// nothing
    Never,
}

/// How long to wait after crashes, and when to give up.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// The first delay, counted from the previous start; at least 10ms.
    pub from: Duration,
    /// What each further delay is multiplied by.
    pub factor: Factor,
    /// The longest delay.
    pub to: Duration,
    /// A life this long forgets every earlier crash; at least 100ms.
    pub reset_after: Duration,
    /// Deaths younger than `resetAfter` in a row before giving up; 0 never gives up.
    #[serde(deserialize_with = "count")]
    #[schemars(range(max = 1_000_000), extend("x-rule" = "it counts crashes: 0 to 1000000"))]
    pub give_up_after: u32,
    /// Which revisions may be given up on.
    pub give_up: GiveUpRule,
}

impl Default for Backoff {
    fn default() -> Backoff {
        let rule = BackoffRule::DEFAULT;
        Backoff {
            from: Duration(rule.from),
            factor: Factor(rule.factor_milli),
            to: Duration(rule.to),
            reset_after: Duration(rule.reset_after),
            give_up_after: rule.give_up_after,
            give_up: GiveUpRule::Unproven,
        }
    }
}

/// Which revisions may be given up on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum GiveUpRule {
    /// only while this revision has never stayed up for `resetAfter`
    Unproven,
    /// after the count, whatever came before
    Always,
    /// not at all
    Never,
}

impl Backoff {
    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        // Without these floors a crash loop would have no pause in it at all.
        if self.from.0 < StdDuration::from_millis(10) {
            errors.push(FieldError::new(&["backoff", "from"], "is shorter than 10ms", "write at least 10ms"));
        }
        if self.reset_after.0 < StdDuration::from_millis(100) {
            errors.push(FieldError::new(&["backoff", "resetAfter"], "is shorter than 100ms", "write at least 100ms"));
        }
        if self.to < self.from {
            let what = format!("is {}, which is longer than `backoff.to` ({})", self.from, self.to);
            let help = format!("raise `to` to {} or more", self.from);
            errors.push(FieldError::new(&["backoff", "from"], what, help));
        }
        if self.give_up_after > 1_000_000 {
            errors.push(FieldError::new(&["backoff", "giveUpAfter"], "is too large", "write 0 to never give up"));
        }
    }
}

impl RestartRule {
    /// The rule for the engine.
    #[must_use]
    pub fn rule(self) -> Restart {
        match self {
            RestartRule::Always => Restart::Always,
            RestartRule::OnFailure => Restart::OnFailure,
            RestartRule::Never => Restart::Never,
        }
    }
}

impl Backoff {
    /// The rule for the engine.
    #[must_use]
    pub fn rule(&self) -> BackoffRule {
        BackoffRule {
            from: self.from.0,
            factor_milli: self.factor.0,
            to: self.to.0,
            reset_after: self.reset_after.0,
            give_up_after: self.give_up_after,
            give_up: match self.give_up {
                GiveUpRule::Unproven => GiveUp::Unproven,
                GiveUpRule::Always => GiveUp::Always,
                GiveUpRule::Never => GiveUp::Never,
            },
        }
    }
}
