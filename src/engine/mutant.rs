//! Rules of the engine, each of which a test can switch off.
//!
//! In: nothing. Out: their names. Not here: how the engine breaks them (where each rule is), and who notices
//! ([`mod@super::audit`]). The surprise: this is compiled into every build, so that a mutant is a switch and no rebuild.

/// A rule of the engine that a test switches off, and at the same time the audit rule that notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Nothing is switched off.
    None,
    /// Every instance gets exactly one decision, in order.
    ForgetDecision,
    /// Nothing is started beside what is left of it.
    SpawnBesideLingering,
    /// Unreadable is not gone.
    UnreadableIsGone,
    /// Not listed in a partial listing is not gone.
    UnlistedIsGone,
    /// Nothing that no object and no tombstone explains is ended.
    KillStrays,
    /// Nothing is ended for its object's absence unless the whole desired state was read.
    PruneOnPartial,
    /// Only what was seen is signalled.
    KillsAnother,
    /// No start comes sooner than its backoff says.
    NoBackoff,
    /// The streak is carried from attempt to attempt.
    StreakForgotten,
    /// Attempt numbers grow by one.
    SameAttempt,
    /// What crashed too often is not started.
    NeverGivesUp,
    /// What is paused is not started.
    IgnorePause,
    /// What is complete is not started.
    CompletedAgain,
    /// A lost attempt is recorded before its successor starts.
    LostIsSkipped,
    /// A start that came to nothing is not repeated at once.
    RefusedAgain,
    /// Healthy instances are replaced one at a time.
    RollAllAtOnce,
    /// A crash of the new revision halts the roll.
    RollOverCrash,
    /// Whoever waits for a time is woken by then.
    ForgetWake,
    /// When a pause ends by itself, somebody looks.
    ForgetPauseEnd,
    /// When the time that something was given to stop is over, somebody looks.
    ForgetGrace,
    /// A restart that was asked for happens once.
    RestartForEver,
    /// A revision of an unknown rule counts as unchanged.
    ForeignIsChanged,
    /// What is as it should be is left alone.
    PolicyAgain,
    /// A shim is given time to begin a stop.
    ImpatientWithShim,
    /// KILL comes after the grace.
    NoGrace,
    /// A plan is bounded.
    UnboundedPlan,
    /// What has a readiness probe is ready by its word only.
    ReadyUnproven,
    /// Evidence older than a process does not judge it.
    OldEvidence,
    /// Nothing starts before what it needs.
    IgnoreNeeds,
    /// Nothing stops before what needs it, when both are to stop.
    StopNeedsFirst,
    /// Nothing is started where a process of somebody else may count as it.
    SpawnBesideTwin,
    /// A process of somebody else is touched by a person's explicit word only.
    KillAdopted,
    /// Items that are not known are not gone.
    ItemsUnknown,
    /// An item is gone when it stays away.
    ItemGoneAtOnce,
    /// A due time fires once.
    FiresAgain,
    /// A due time does not fire before it has come.
    FiresEarly,
    /// Nothing is due before an object was known.
    FiresBeforeKnown,
    /// Another schedule starts afresh.
    KeepsOldCursor,
    /// What is made up for after a gap is bounded.
    CatchesUpUnbounded,
    /// Of due times found together, the latest stands for all.
    FiresEachOwed,
    /// What a schedule passes has a row.
    PassesInSilence,
    /// What is made up for one after another is neither missed nor skipped for what is at work.
    SkipsCatchUp,
    /// What is made up for is not replaced.
    ReplacesCatchUp,
    /// A schedule moves by one write at a time.
    CursorJumps,
    /// Whoever waits for a due time is woken by then.
    ForgetDue,
    /// Quiet hours are kept.
    IgnoreQuiet,
    /// What is frozen does not begin.
    IgnoreFreeze,
    /// What somebody has to agree to does not begin.
    IgnoreConsent,
    /// One run of an object at a time, unless it says otherwise.
    IgnoreOverlap,
    /// The limit on runs holds.
    IgnoreMaxRuns,
    /// Nothing new begins on a machine that is pressed too hard.
    IgnorePressure,
    /// Places go round among objects while there are too few.
    IgnoreTurns,
    /// A run does not start before its time.
    StartsEarly,
    /// What runs once runs once.
    OnceAgain,
    /// A generation of a Job runs once.
    JobAgain,
    /// A run is over when nothing of it is left.
    FinishAlive,
    /// A run that takes too long is ended.
    IgnoreTimeout,
    /// Retries are counted.
    RetriesForEver,
    /// Retries wait.
    RetriesAtOnce,
    /// A step that is over is not done again.
    StepAgain,
    /// A step comes after what it needs.
    StepOutOfTurn,
    /// No more messages are claimed than there is room for.
    OverClaims,
    /// A message that is too old is not acted on.
    ActsOnExpired,
    /// Messages of one group are done one after the other.
    MixesGroup,
    /// A message that fails for ever becomes a dead letter.
    ReturnsForEver,
    /// A message that failed waits before it is tried again.
    ReturnsAtOnce,
    /// A message does not become a dead letter while attempts are left.
    DeadTooSoon,
    /// Nothing is claimed while its object is paused, switched off, or everything is frozen.
    ClaimsHeld,
    /// Nothing is claimed from a queue in which nothing can be had.
    ClaimsIdle,
    /// What can be had is claimed where there is room.
    LeavesWaiting,
    /// A message that is wrong itself is not tried again.
    PoisonAgain,
    /// A message that was done is not done again, nor is it a dead letter.
    DoneAgain,
    /// A message that somebody cancelled does not come back.
    CancelledAgain,
    /// A message that failed waits in its queue, and not in memory.
    TriesInPlace,
    /// Attempts at a message are counted.
    Miscounts,
    /// A dead letter says why.
    DeadUnsaid,
    /// A message ends with its run.
    EndsAlone,
}

impl Mutant {
    /// Those of what is kept up, [`Mutant::None`] left out.
    pub const ALL: &[Mutant] = &[
        Mutant::ForgetDecision,
        Mutant::SpawnBesideLingering,
        Mutant::UnreadableIsGone,
        Mutant::UnlistedIsGone,
        Mutant::KillStrays,
        Mutant::PruneOnPartial,
        Mutant::KillsAnother,
        Mutant::NoBackoff,
        Mutant::StreakForgotten,
        Mutant::SameAttempt,
        Mutant::NeverGivesUp,
        Mutant::IgnorePause,
        Mutant::CompletedAgain,
        Mutant::LostIsSkipped,
        Mutant::RefusedAgain,
        Mutant::RollAllAtOnce,
        Mutant::RollOverCrash,
        Mutant::ForgetWake,
        Mutant::ForgetPauseEnd,
        Mutant::ForgetGrace,
        Mutant::RestartForEver,
        Mutant::ForeignIsChanged,
        Mutant::PolicyAgain,
        Mutant::ImpatientWithShim,
        Mutant::NoGrace,
        Mutant::UnboundedPlan,
        Mutant::ReadyUnproven,
        Mutant::OldEvidence,
        Mutant::IgnoreNeeds,
        Mutant::StopNeedsFirst,
        Mutant::SpawnBesideTwin,
        Mutant::KillAdopted,
        Mutant::ItemsUnknown,
        Mutant::ItemGoneAtOnce,
    ];

    /// Those of work that ends.
    pub const RUNS: &[Mutant] = &[
        Mutant::FiresAgain,
        Mutant::FiresEarly,
        Mutant::FiresBeforeKnown,
        Mutant::KeepsOldCursor,
        Mutant::CatchesUpUnbounded,
        Mutant::FiresEachOwed,
        Mutant::PassesInSilence,
        Mutant::SkipsCatchUp,
        Mutant::ReplacesCatchUp,
        Mutant::CursorJumps,
        Mutant::ForgetDue,
        Mutant::IgnoreQuiet,
        Mutant::IgnoreFreeze,
        Mutant::IgnoreConsent,
        Mutant::IgnoreOverlap,
        Mutant::IgnoreMaxRuns,
        Mutant::IgnorePressure,
        Mutant::IgnoreTurns,
        Mutant::StartsEarly,
        Mutant::OnceAgain,
        Mutant::JobAgain,
        Mutant::FinishAlive,
        Mutant::IgnoreTimeout,
        Mutant::RetriesForEver,
        Mutant::RetriesAtOnce,
        Mutant::StepAgain,
        Mutant::StepOutOfTurn,
    ];

    /// Those of messages.
    pub const QUEUE: &[Mutant] = &[
        Mutant::OverClaims,
        Mutant::ActsOnExpired,
        Mutant::MixesGroup,
        Mutant::ReturnsForEver,
        Mutant::ReturnsAtOnce,
        Mutant::DeadTooSoon,
        Mutant::ClaimsHeld,
        Mutant::ClaimsIdle,
        Mutant::LeavesWaiting,
        Mutant::PoisonAgain,
        Mutant::DoneAgain,
        Mutant::CancelledAgain,
        Mutant::TriesInPlace,
        Mutant::Miscounts,
        Mutant::DeadUnsaid,
        Mutant::EndsAlone,
    ];
}
