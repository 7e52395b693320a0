//! Reasons, states and exits in words.
//!
//! In: values of a plan. Out: the sentences that `describe`, `diff` and the log show. Not here: choosing them.
//! The surprise: a reason is the end of a sentence that begins with the instance, so that it fits every surface.

use std::fmt;

use super::backoff::Exit;
use super::expand::{Need, Until};
use super::plan::{Lacking, Reason, State, StopRule};
use super::time::Span;

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
        }
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
