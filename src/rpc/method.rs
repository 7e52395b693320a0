//! Methods: what may be called, by what name, with which parameters, to what effect.
//!
//! In: a name and parameters. Out: the method, once its parameters are as its schema says. Not here: lines and sockets.
//! The surprise: the same table is meant for every way in, so it says what a method does to the machine and who calls,
//! and nothing about how it came.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::FAMILIES;
use super::error::{Error, code};
use crate::controller::request::{Ask, Request};
use crate::engine::run::Params;
use crate::home::Home;
use crate::store::EventFilter;

/// What a method does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    Read,
    /// It changes what is desired or what runs.
    Write,
    /// It ends or removes something.
    Destructive,
}

impl Effect {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Write => "write",
            Effect::Destructive => "destructive",
        }
    }
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name: a family, a dot and a verb.
    pub name: &'static str,
    /// What it does to the machine.
    pub effect: Effect,
    /// What it does, in one line.
    pub doc: &'static str,
    /// The JSON Schema of its parameters ([`super::schema`]).
    pub params: fn() -> Value,
    /// What answers it.
    pub answer: Answer,
}

/// What answers a method. Parameters are as its schema says.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The loop, out of its memory: this makes the question of the parameters.
    Loop(fn(&Value, &Caller) -> Result<Ask, Error>),
    /// This, on a thread that may wait for a disk.
    Here(fn(&Context, &Value) -> Result<Value, Error>),
    /// This, and from then on every event that fits, as notifications on the same connection.
    Events(fn(&Value) -> Result<EventFilter, Error>),
}

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user, by name.
    pub user: String,
    /// The process; 0 when it is not known.
    pub pid: u32,
    /// The instance it runs inside of, by its ancestry, not by what it says.
    pub inside: Option<String>,
}

impl Caller {
    /// How it stands in what is written down: `ann`, or `ann in service/web/0`.
    #[must_use]
    pub fn principal(&self) -> String {
        match &self.inside {
            Some(instance) => format!("{} in {instance}", self.user),
            None => self.user.clone(),
        }
    }
}

/// What a method works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The home.
    pub home: Home,
    /// Who calls.
    pub caller: Caller,
    /// The way to the loop.
    pub(super) asking: mpsc::Sender<Request>,
}

impl Context {
    /// Asks the loop, and waits for its answer: only on a thread that may wait.
    ///
    /// # Errors
    /// What it refuses, or that the controller is ending.
    pub fn ask(&self, ask: Ask) -> Result<Value, Error> {
        let (answer, answered) = oneshot::channel();
        self.asking.blocking_send(Request { ask, answer }).map_err(|_| ending())?;
        taken(answered.blocking_recv())
    }
}

/// What the loop answered.
pub(super) fn taken(answer: Result<Result<Value, Value>, oneshot::error::RecvError>) -> Result<Value, Error> {
    match answer {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(shape)) => Err(Error::of_shape(&shape)),
        Err(_) => Err(ending()),
    }
}

pub(super) fn ending() -> Error {
    Error::new(code::ENDING, "the controller is ending\n  help: setpoint controller start")
}

/// Every method, family by family.
pub fn all() -> impl Iterator<Item = &'static Method> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// A method with its schema, which is compiled when it is first called.
#[derive(Debug)]
pub struct Known {
    /// The method.
    pub method: &'static Method,
    params: OnceLock<Params>,
}

static KNOWN: LazyLock<BTreeMap<&'static str, Known>> =
    LazyLock::new(|| all().map(|method| (method.name, Known { method, params: OnceLock::new() })).collect());

/// The method of this name, if these parameters may be given to it.
///
/// # Errors
/// When there is none, or a parameter is missing, unknown or wrong; each with what was probably meant.
pub fn find(name: &str, params: &Value) -> Result<&'static Method, Error> {
    let known = KNOWN.get(name).ok_or_else(|| Error::unknown_method(name))?;
    let schema = known.params.get_or_init(|| match (known.method.params)() {
        Value::Null => Params::none(),
        // A schema that is none is found by the test that reads them all.
        schema => Params::of_schema(schema).unwrap_or_else(|_| Params::none()),
    });
    let errors = schema.check(params);
    if errors.is_empty() { Ok(known.method) } else { Err(Error::params(name, &errors, &schema.names())) }
}
