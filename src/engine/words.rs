//! Reasons, states and exits in words.
//!
//! In: values of a plan. Out: the sentences that `describe`, `diff` and the log show. Not here: choosing them.
//! The surprise: a reason is the end of a sentence that begins with the instance, so that it fits every surface.

use std::fmt;

use super::backoff::Exit;
use super::expand::{Need, Until};
use super::plan::{Lacking, Reason, State, StopRule};
use super::time::{Span, utc};

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::NotStarted(why) => write!(f, "not started: {why}"),
            Exit::Unhealthy(why) => write!(f, "not healthy: {why}"),
            Exit::Lost => f.write_str("exit unknown"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => f.write_str("it is wanted and does not run"),
            Reason::Again { exit } => {
                let verb = if exit.is_ok() { "ended" } else { "crashed" };
                write!(f, "it {verb} ({exit}) and is started again")
            }
            Reason::Healthy => f.write_str("it runs as wanted"),
            Reason::Found => f.write_str("it was found running and counts as ready until its probe has told"),
            Reason::NotReadyYet { .. } => f.write_str("it has just been started"),
            Reason::Starting => f.write_str("its start is under way"),
            Reason::Frozen => f.write_str("it is frozen by a signal and counts as alive; kill -CONT thaws it"),
            Reason::ForeignRevision => {
                f.write_str("it runs; another version of setpoint started it, so its revision counts as unchanged")
            }
            Reason::BackingOff { exit, deaths, .. } => {
                let verb = if exit.is_ok() { "ended" } else { "crashed" };
                write!(f, "it {verb} ({exit})")?;
                if *deaths > 1 { write!(f, ", {deaths} times in a row") } else { Ok(()) }
            }
            Reason::GaveUp { deaths, exit } => {
                let times = if *deaths == 1 { "once".to_owned() } else { format!("{deaths} times in a row") };
                write!(f, "it crashed {times}, last with {exit}; edit it or restart it to try again")
            }
            Reason::Completed { exit } => write!(f, "it ended ({exit}) and its restart rule asks for no more"),
            Reason::Paused { by, reason, .. } => match reason {
                Some(reason) => write!(f, "{by} paused it: {reason}"),
                None => write!(f, "{by} paused it"),
            },
            Reason::Changed { .. } => f.write_str("its manifest has changed"),
            Reason::RollWaits => f.write_str("it is to be replaced; its turn comes when the others are ready"),
            Reason::RollHalted => {
                f.write_str("it is to be replaced, but its successor crashed, so it is kept until the next edit")
            }
            Reason::RestartAsked => f.write_str("a restart was asked for"),
            Reason::Deleted => f.write_str("its object was deleted"),
            Reason::ScaledDown => f.write_str("fewer replicas are wanted"),
            Reason::Stray => f.write_str("no object of this home explains it, so it is left alone"),
            Reason::Stopping => f.write_str("it is being stopped"),
            Reason::ShimStuck => {
                f.write_str("its shim does not get on with stopping it, so its processes are ended directly")
            }
            Reason::Lingering => f.write_str("its shim was killed and its processes live on"),
            Reason::Vanished => f.write_str("it vanished without an exit"),
            Reason::PolicyChanged => f.write_str("how it is stopped or logged has changed"),
            Reason::Unready { said, .. } => write!(f, "it runs and is not ready: {said}"),
            Reason::Unhealthy { said } => write!(f, "it is not healthy: {said}"),
            Reason::NeedsWait { need, is } => write!(f, "it needs {need}, which {is}"),
            Reason::StopWaits { dependent } => write!(f, "it stops after {dependent}, which needs it"),
            Reason::Adopted { proc } => write!(f, "process {} was started by somebody else and counts as it", proc.pid),
            Reason::Drifted { proc } => write!(
                f,
                "process {} was started by somebody else, and its manifest has changed since; it is never restarted",
                proc.pid
            ),
            Reason::Ambiguous { pids } => {
                let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
                write!(f, "more than one process could be it ({}), so nothing is done", pids.join(", "))
            }
            Reason::ItemGone { .. } => f.write_str("its item is gone"),
            Reason::Blind { why } => write!(f, "too little is known to do anything: {why}"),
            Reason::Refused { why, .. } => write!(f, "it could not be started: {why}"),
            Reason::PlanFull => f.write_str("too many things are to be done at once; it comes next"),
            of_a_run => say_run(of_a_run, f),
        }
    }
}

/// The reasons that only work that ends has.
fn say_run(reason: &Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Reason::Due => f.write_str("its time has come"),
        Reason::AtWork => f.write_str("it is at work"),
        Reason::NotYet { until } => write!(f, "it starts at {}", utc(*until)),
        Reason::Scheduled { next } if next.nominal == next.effective => {
            write!(f, "its next due time is {}", utc(next.nominal))
        }
        Reason::Scheduled { next } => {
            write!(
                f,
                "its next due time is {}, and with its jitter it starts at {}",
                utc(next.nominal),
                utc(next.effective)
            )
        }
        Reason::AtBoot => f.write_str("it runs at the next start of the machine; this one does not count"),
        Reason::NeverAgain => f.write_str("its schedule has no further due time"),
        Reason::Spent => f.write_str("it runs once, and has"),
        Reason::Disabled => f.write_str("it is switched off by `enabled: false`"),
        Reason::Registered => f.write_str("its schedule is new, so its due times count from now on"),
        Reason::ClockStepped => f.write_str("the clock was set, so its due times count from now on"),
        Reason::Settled { state, why } => write!(f, "{}: {why}", state.word()),
        Reason::Writing => f.write_str("it is being written down"),
        Reason::NoStore { why } => write!(f, "nothing can be written down, so nothing is begun: {why}"),
        Reason::FrozenByPerson { by, reason: Some(reason) } => {
            write!(f, "{by} froze everything: {reason}; go on with: setpoint thaw")
        }
        Reason::FrozenByPerson { by, reason: None } => write!(f, "{by} froze everything; go on with: setpoint thaw"),
        Reason::NeedsConsent { what } => {
            write!(f, "it needs consent ({what}), and this version cannot ask for it yet")
        }
        Reason::Behind { cause } => write!(f, "the run {cause} of the same object is not over"),
        Reason::Queued { limit } => write!(f, "{limit} runs are at work, which is the limit (maxRuns)"),
        Reason::Pressed { over, .. } => {
            for (i, passed) in over.iter().enumerate() {
                write!(f, "{}{passed}", if i == 0 { "" } else { "; " })?;
            }
            Ok(())
        }
        Reason::RetryWaits { why, failed, of, .. } => {
            write!(f, "attempt {failed} of {of} failed ({why}); another follows")
        }
        Reason::TimedOut => f.write_str("it takes longer than its timeout"),
        Reason::Cancelled { by } => write!(f, "{by} cancelled it"),
        Reason::Replaced { by } => write!(f, "the run {by} takes its place (overlap: replace)"),
        Reason::Draining => f.write_str("everything is being stopped"),
        Reason::Over { outcome, why } => write!(f, "{}: {why}", outcome.word()),
        Reason::Steps { done, of } => write!(f, "{done} of {of} steps are over"),
        Reason::StepWaits => f.write_str("it comes after other steps"),
        Reason::QueueIdle { depth: 0, .. } => f.write_str("no message waits"),
        Reason::QueueIdle { next: Some(next), depth } => {
            write!(f, "{depth} messages wait, the next of them until {}", utc(*next))
        }
        Reason::QueueIdle { next: None, depth } => write!(f, "{depth} messages wait for others of their group"),
        Reason::QueueFull { at_work, depth } => {
            write!(f, "{at_work} messages are at work, which is the limit (atOnce); {depth} are not over")
        }
        Reason::Returned { until, why, failed, of } => {
            write!(f, "attempt {failed} of {of} failed ({why}); it is tried again at {}", utc(*until))
        }
        other => write!(f, "{other:?}"),
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lacking::Object => f.write_str("does not exist"),
            Lacking::Processes => f.write_str("wants no process"),
            Lacking::Instance(state) => write!(f, "is {state}"),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = match self.until {
            Until::Usable => return write!(f, "{}", self.object),
            Until::Started => "started",
            Until::Ready => "ready",
            Until::Done => "done",
        };
        write!(f, "{} {until}", self.object)
    }
}

impl fmt::Display for StopRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signal {}, KILL after {}", self.signal, Span(self.grace))
    }
}
