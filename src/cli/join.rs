//! The way to the input of a running service: which instance is meant, and the socket of its shim.
//!
//! In: a name as typed. Out: a connection. Not here: what is typed, and what becomes of the answers.
//! The surprise: no controller takes part; whoever may use the home may use the socket.

use std::io;
use std::os::unix::net::UnixStream;

use super::facts::{self, Facts};
use super::{Failure, Global, describe, exit};
use crate::engine::InstanceId;
use crate::engine::observed::Member;
use crate::home::Home;

/// A running instance, and the way to it.
#[derive(Debug)]
pub struct Joined {
    /// Which.
    pub id: InstanceId,
    /// Its home.
    pub home: Home,
    /// The connection.
    pub stream: UnixStream,
}

/// Why there is no way to an instance.
#[derive(Debug)]
pub enum NoWay {
    /// It takes no input; nobody listens.
    NoInput(InstanceId),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for NoWay {
    fn from(failure: Failure) -> NoWay {
        NoWay::Failed(failure)
    }
}

/// Connects to the one instance that `word` means: NAME, KIND/NAME, or either with its instance.
///
/// # Errors
/// When there is no such instance, more than one, or it does not run or takes no input.
pub fn join(global: &Global, word: &str) -> Result<Joined, NoWay> {
    let (home, facts) = facts::read(global)?;
    let id = instance(&facts, word)?;
    let home = home.ok_or_else(|| not_found(word))?;
    let failed = |text: String| NoWay::Failed(Failure::new(exit::FAILED, text));
    if let Some(Member { proc, name }) = facts.adopted(&id) {
        let text = format!("{id} is process {} ({name}), which somebody else started: it has no way in", proc.pid);
        return Err(failed(format!("{text}\n  help: type where it was started")));
    }
    if facts.alive(&id).is_none_or(|alive| alive.payload == 0) {
        let decision = facts.plan.decisions.iter().find(|decision| decision.id == id);
        let why = decision.map_or_else(|| "it is not wanted".to_owned(), |decision| decision.because.to_string());
        return Err(failed(format!("{id} does not run: {why}")));
    }
    let path = home.io_socket(&id).map_err(|error| failed(error.to_string()))?;
    match UnixStream::connect(&path) {
        Ok(stream) => Ok(Joined { id, home, stream }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NoWay::NoInput(id)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(failed(format!("{id} has just ended, or its shim was killed\n  help: setpoint describe {}", id.object)))
        }
        Err(error) => Err(failed(format!("{}: cannot connect: {error}", path.display()))),
    }
}

fn not_found(word: &str) -> Failure {
    Failure::new(exit::NOT_FOUND, format!("there is no object `{word}`"))
}

fn instance(facts: &Facts, word: &str) -> Result<InstanceId, Failure> {
    if word.matches('/').count() == 2 {
        return describe::instance_of(facts, word);
    }
    let named = facts.named(std::slice::from_ref(&word.to_owned()));
    let objects = match (named, word.split_once('/')) {
        (Ok(objects), _) => objects,
        // `web/1` is an instance, unless `web` is a kind.
        (Err(_), Some((name, cause))) if crate::kind::find_spoken(name).is_none() => {
            let objects = facts.named(&[name.to_owned()])?;
            let [object] = objects.as_slice() else { return Err(not_found(name)) };
            return describe::instance_of(facts, &format!("{object}/{cause}"));
        }
        (Err(failure), _) => return Err(failure),
    };
    let ids: Vec<&InstanceId> =
        objects.iter().flat_map(|id| facts.decisions(id)).map(|decision| &decision.id).collect();
    match ids.as_slice() {
        [] => Err(Failure::new(exit::FAILED, format!("{word} does not run: no process of it is wanted"))),
        [id] => Ok((*id).clone()),
        [first, .., last] => Err(Failure::new(
            exit::USAGE,
            format!("{word} has {} instances, from {first} to {last}\n  help: name one of them: {first}", ids.len()),
        )),
    }
}
