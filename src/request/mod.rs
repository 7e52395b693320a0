//! Lifecycle requests: a supervised process, or a person, asks for a cycle, a restart or a shutdown.
//!
//! In: who asks and for what. Out: one private file in `requests/` of the home, which outlives whoever wrote it.
//! Not here: carrying it out (`controller::requests`), and what a restart or a pause is (`desired::edit`).
//! The surprise: nobody has to run for a request to be made. Its name is its claim: `ID.json` waits, `ID.claimed` is being
//! carried out, and the generation that carries it out names it, so it is neither forgotten nor repeated.

pub mod asker;
pub mod folder;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::attempts::last_attempts;
use crate::desired::generation::{Stored, StoredObject};
use crate::desired::resolve::resolve;
use crate::engine::{Cause, InstanceId, ObjectRef};
use crate::home::{Home, random_hex};

pub use asker::Asker;
pub use folder::Folder;

/// The format written by this binary.
pub const VERSION: u32 = 1;
/// The largest handoff, in bytes.
pub const HANDOFF_MAX: usize = 1 << 20;
/// The longest reason, in bytes.
pub const REASON_MAX: usize = 4096;
/// A request that was not carried out for this long is not carried out any more, in seconds.
pub const EXPIRES_AFTER: i64 = 6 * 3600;
/// How many requests may wait at once.
pub const WAITING_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A fresh process that is given what its predecessor left it.
    Cycle,
    /// A fresh process.
    Restart,
    /// None, until a person says otherwise.
    Shutdown,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 3] = [Action::Cycle, Action::Restart, Action::Shutdown];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Action::Cycle => "cycle",
            Action::Restart => "restart",
            Action::Shutdown => "shutdown",
        }
    }
}

/// A request as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The format.
    pub version: u32,
    /// Its name: the moment, and 8 hex digits.
    pub id: String,
    /// What is asked for.
    pub action: Action,
    /// Of which object, `service/web`.
    pub object: String,
    /// The uid it had: one that was made anew since is another.
    pub uid: String,
    /// The attempts that are meant, by cause. An instance that has moved on since is left alone.
    pub attempts: BTreeMap<String, u32>,
    /// Who asks: an instance, or a user.
    pub by: String,
    /// When, in RFC 3339.
    pub at: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A handoff lies beside it.
    #[serde(default)]
    pub has_handoff: bool,
}

/// What somebody wishes.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub action: Action,
    /// Of which object or instance, as typed; nothing means the instance that asks.
    pub target: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// There is something for the successor.
    pub has_handoff: bool,
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody can tell what is meant.
    #[error("this is not called from inside a supervised process, so it takes a name\n  help: add --for KIND/NAME")]
    Nameless,
    /// A process asks for somebody else.
    #[error(
        "{asker} may ask for itself only, not for {object}\n  \
         help: a person can do it: setpoint request {} --for {object}", action.word()
    )]
    Other {
        /// Who asks.
        asker: InstanceId,
        /// What for.
        action: Action,
        /// For whom.
        object: ObjectRef,
    },
    /// There is no such object or instance.
    #[error("{0}")]
    NotThere(String),
    /// The kind of object cannot do this.
    #[error("{0}")]
    Unfit(String),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It cannot be written.
    #[error(
        "the request cannot be written: {0}; nothing was changed\n  help: make room, or see who may write to the home"
    )]
    Files(#[from] std::io::Error),
}

/// The request that this wish comes to.
///
/// # Errors
/// When it may not be asked, or means nothing that is there.
pub fn make(home: &Home, base: &Stored, asker: &Asker, wish: Wish) -> Result<Request, Refused> {
    check_words(&wish)?;
    let (object, causes) = meant(home, base, asker, &wish)?;
    let stored = base.objects.get(&object).ok_or_else(|| not_there(&object))?;
    let attempts = match object.kind() {
        "service" => of_service(home, stored, (&object, causes.as_ref()), asker, &wish)?,
        _ => of_run((&object, causes.as_ref()), asker, &wish)?,
    };
    let now = chrono::Utc::now();
    Ok(Request {
        version: VERSION,
        id: format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), random_hex(4)?),
        action: wish.action,
        object: object.to_string(),
        uid: stored.metadata.uid.clone(),
        attempts: attempts.into_iter().map(|(cause, number)| (cause.to_string(), number)).collect(),
        by: asker.to_string(),
        at: now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        reason: wish.reason,
        has_handoff: wish.has_handoff,
    })
}

fn check_words(wish: &Wish) -> Result<(), Refused> {
    if wish.has_handoff && wish.action != Action::Cycle {
        let text = format!(
            "a {} hands nothing over\n  help: leave --handoff out, or ask for a cycle: setpoint request cycle",
            wish.action.word()
        );
        return Err(Refused::Usage(text));
    }
    match wish.reason.as_ref().filter(|reason| reason.len() > REASON_MAX) {
        Some(reason) => {
            let text =
                format!("the reason has {} bytes, and may have {REASON_MAX}\n  help: say it shorter", reason.len());
            Err(Refused::Usage(text))
        }
        None => Ok(()),
    }
}

fn not_there(object: &ObjectRef) -> Refused {
    Refused::NotThere(format!("there is no {object}\n  help: setpoint get"))
}

/// The object, and the one instance when one was named or asks.
fn meant(home: &Home, base: &Stored, asker: &Asker, wish: &Wish) -> Result<(ObjectRef, Option<Cause>), Refused> {
    let own = match asker {
        Asker::Instance { id, .. } => Some(id),
        Asker::Person(_) => None,
    };
    let (object, cause) = match (&wish.target, own) {
        (None, None) => return Err(Refused::Nameless),
        (None, Some(own)) => (own.object.clone(), Some(own.cause.clone())),
        (Some(word), _) => match word.parse::<InstanceId>() {
            Ok(id) if last_attempts(home, &id.object).contains_key(&id.cause) => (id.object, Some(id.cause)),
            Ok(id) => {
                let text = format!("there is no instance {id} that ever ran\n  help: setpoint describe {}", id.object);
                return Err(Refused::NotThere(text));
            }
            Err(_) => {
                let known = base.objects.keys().cloned().collect();
                let found = resolve(&known, std::slice::from_ref(word));
                let found = found.map_err(|error| Refused::NotThere(error.to_string()))?;
                (found.into_iter().next().ok_or(Refused::Nameless)?, None)
            }
        },
    };
    match own {
        Some(own) if own.object != object => Err(Refused::Other { asker: own.clone(), action: wish.action, object }),
        Some(_) | None => Ok((object, cause)),
    }
}

/// The attempts of a service that are meant.
fn of_service(
    home: &Home,
    stored: &StoredObject,
    (object, cause): (&ObjectRef, Option<&Cause>),
    asker: &Asker,
    wish: &Wish,
) -> Result<BTreeMap<Cause, u32>, Refused> {
    let is_many = stored.spec.get("forEach").is_some()
        || stored.spec.get("replicas").and_then(serde_json::Value::as_u64).is_some_and(|count| count > 1);
    if wish.action == Action::Shutdown && cause.is_some() && is_many {
        let text = format!(
            "{object} has several instances, and one alone cannot be left down\n  \
             help: all of them: setpoint request shutdown --for {object}"
        );
        return Err(Refused::Unfit(text));
    }
    if wish.has_handoff && stored.spec.get("user").is_some() {
        let text = format!(
            "{object} runs as another user, who cannot read files of this home\n  \
             help: hand over by a file of its own, and ask for a cycle without --handoff"
        );
        return Err(Refused::Unfit(text));
    }
    let mut attempts = last_attempts(home, object);
    attempts.retain(|known, _| cause.is_none_or(|cause| cause == known));
    // What it is by the birth record of its shim, and not what has come after it.
    if let (Asker::Instance { id, attempt }, Some(cause)) = (asker, cause)
        && id.cause == *cause
    {
        attempts.insert(cause.clone(), *attempt);
    }
    Ok(attempts)
}

/// The run that is meant: it can be ended, or have another go.
fn of_run(
    (object, cause): (&ObjectRef, Option<&Cause>),
    asker: &Asker,
    wish: &Wish,
) -> Result<BTreeMap<Cause, u32>, Refused> {
    let Some(cause) = cause else {
        let text = format!(
            "{object} has runs, and is no service that could be asked as a whole\n  \
             help: setpoint cancel {object}   |   setpoint retry {object}   |   setpoint pause {object}"
        );
        return Err(Refused::Unfit(text));
    };
    let cause = cause.parent().unwrap_or_else(|| cause.clone());
    match (wish.action, asker) {
        (Action::Shutdown, _) => Ok(BTreeMap::from([(cause, 0)])),
        (Action::Restart, Asker::Person(_)) => Ok(BTreeMap::from([(cause, 0)])),
        (Action::Restart | Action::Cycle, Asker::Instance { .. }) => Err(Refused::Unfit(format!(
            "{object}/{cause} is a run under way, and is not restarted from inside\n  \
             help: end with an exit code other than 0 and `retry` in the manifest, or let a person: setpoint retry {object}"
        ))),
        (Action::Cycle, Asker::Person(_)) => Err(Refused::Unfit(format!(
            "{object}/{cause} is a run: it has no successor that something could be handed to\n  \
             help: setpoint request restart --for {object}/{cause}"
        ))),
    }
}

impl Request {
    /// The object; none when the file was tampered with.
    #[must_use]
    pub fn object(&self) -> Option<ObjectRef> {
        self.object.parse().ok()
    }

    /// The attempts that are meant.
    #[must_use]
    pub fn attempts(&self) -> BTreeMap<Cause, u32> {
        self.attempts.iter().filter_map(|(cause, number)| Some((cause.parse().ok()?, *number))).collect()
    }

    /// What it is about, for people: the one instance, or the object.
    #[must_use]
    pub fn subject(&self) -> String {
        match self.attempts.keys().collect::<Vec<_>>().as_slice() {
            [cause] => format!("{}/{cause}", self.object),
            _ => self.object.clone(),
        }
    }

    /// Who asked, as it stands in generations and pauses.
    #[must_use]
    pub fn principal(&self) -> String {
        format!("request from {}", self.by)
    }

    /// True when it is too old to be carried out, or from a future that a clock has left.
    #[must_use]
    pub fn is_expired(&self, now: chrono::DateTime<chrono::Utc>) -> bool {
        let at = chrono::DateTime::parse_from_rfc3339(&self.at);
        at.map_or(true, |at| (now - at.with_timezone(&chrono::Utc)).num_seconds().abs() > EXPIRES_AFTER)
    }
}
