//! What no life may do, whatever the engine says.

/// A rule that a life broke.
#[derive(Debug)]
pub struct Breach {
    pub rule: Rule,
    pub what: String,
}

/// What the world itself will not stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A due time was passed and no row says what became of it.
    TickLost,
    /// A due time has two rows.
    TickTwice,
    /// A row for a moment that is no due time, or for one that has not come.
    NotDue,
    /// A schedule began in the past, or started afresh without a reason.
    Afresh,
    /// The clock is said to have been set, and was not.
    NoStep,
    /// More was made up for than is allowed.
    CatchUp,
    /// What is made up for came before an older one.
    Order,
    /// One attempt was executed twice.
    AttemptTwice,
    /// Two processes of one instance.
    Double,
    /// Started, and no open run asks for it.
    NotOwed,
    /// Started before its time.
    Early,
    /// Started in quiet hours.
    Quiet,
    /// Began while everything was frozen.
    Frozen,
    /// Began while its object was paused.
    Paused,
    /// Began and nobody had agreed.
    Consent,
    /// Too many runs of one object.
    Overlap,
    /// Too many processes.
    MaxRuns,
    /// Began while the machine was pressed too hard.
    Pressed,
    /// Too many attempts, or one after success.
    Retries,
    /// An attempt came before its wait was over.
    RetryEarly,
    /// What runs once ran again.
    Once,
    /// A step before what it needs, or again.
    StepOrder,
    /// Started before what it needs was done.
    Needs,
    /// Over, and something of it is left; or well, and it was not.
    FalseEnd,
    /// It ran longer than it may.
    Timeout,
    /// The calm did not come to rest.
    Restless,
    /// At rest, and somebody waits for nothing.
    Stuck,
    /// Nobody would wake up in time.
    Asleep,
    /// It wakes, or writes, far too often.
    Storm,
}

/// What a life has done so far, as nobody but the world knows.
#[derive(Debug, Default)]
pub struct Truth {
    pub breach: Option<Breach>,
    pub starts: u64,
    pub fires: u64,
}

impl Truth {
    /// The first breach counts.
    pub fn break_rule(&mut self, rule: Rule, what: impl FnOnce() -> String) {
        if self.breach.is_none() {
            self.breach = Some(Breach { rule, what: what() });
        }
    }
}
