//! Ends the controller, and with it the services if that is wished.
//!
//! In: a home. Out: nobody left, and what nobody could see named. Not here: stopping services, which the controller does.
//! The surprise: services need no controller to run, so one is started when there is none, only to stop them.

use super::controller::{PATIENCE, ensure, mute, open, socket};
use super::{Failure, Global, Outcome, exit};
use crate::home::Home;
use crate::rpc::client::{self, Ended};

/// Ends the controller, with all services when `all` is set.
///
/// # Errors
/// When it does not answer, or is ended by somebody else first.
pub fn stop(global: &Global, all: bool) -> Outcome {
    let home = open(global)?;
    if all {
        return stop_all(global, &home);
    }
    let said = if end(&home)? { "the controller is stopped; services run on" } else { "no controller runs" };
    super::say(global, said);
    Ok(exit::OK)
}

/// Ends the controller; services run on. False when none ran.
///
/// # Errors
/// When it does not answer.
pub fn end(home: &Home) -> Result<bool, Failure> {
    let ended = client::stop(&socket(home)?, false, Some(PATIENCE)).map_err(|error| mute(home, &error))?;
    Ok(ended != Ended::Nobody)
}

/// Stops everything before the machine, or what a program takes for one, goes down: what nobody can see is no reason to
/// stay.
///
/// # Errors
/// When what can be seen could not be stopped.
pub fn stop_last(global: &Global) -> Outcome {
    match stop_all(global, &open(global)?) {
        Err(failure) if failure.code == exit::PARTLY => {
            super::complain(&format!("warning: {}", failure.text));
            Ok(exit::OK)
        }
        other => other,
    }
}

/// How often a controller is started only to stop everything.
const STOPS_MAX: usize = 3;

/// Services run on without a controller, so one is needed to stop them.
fn stop_all(global: &Global, home: &Home) -> Outcome {
    for _ in 0..STOPS_MAX {
        match client::stop(&socket(home)?, true, None).map_err(|error| mute(home, &error))? {
            Ended::AsAsked { left } if !left.is_empty() => {
                let text = format!(
                    "all else and the controller are stopped; not stopped, or not known to be:\n  {}\n  \
                     help: setpoint describe says which processes they are",
                    left.join("\n  "),
                );
                return Err(Failure::new(exit::PARTLY, text));
            }
            Ended::AsAsked { .. } => {
                super::say(global, "all services and the controller are stopped");
                return Ok(exit::OK);
            }
            Ended::Unheard | Ended::Nobody => _ = ensure(home, &[], global.verbose)?,
            // Somebody wants it gone sooner than its services: that is no case for starting another.
            Ended::Unanswered => break,
        }
    }
    let text = "the controller was ended before everything was stopped; what is left runs on\n  \
                help: setpoint controller stop --all";
    Err(Failure::new(exit::FAILED, text))
}
