//! Carries out lifecycle requests: each once, whoever dies in between.
//!
//! In: the folder of requests. Out: generations, ends of runs, and an event for each step. Not here: who may ask
//! (`request`), on which thread this happens ([`super::folders`]).
//! The surprise: a claimed request that nobody finished is looked up in the generations. One that names it has done it;
//! without one nothing has been done, and it is done now.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use chrono::Utc;
use serde_json::{Value, json};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::folders::Note;
use super::runs::Wish;
use crate::desired::attempts::last_attempts;
use crate::desired::generation::{Stored, StoredObject};
use crate::desired::{Author, Draft, Store, StoreError, edit};
use crate::engine::{Cause, InstanceId, ObjectRef};
use crate::execute::handoff;
use crate::home::Home;
use crate::request::folder::Entry;
use crate::request::{Action, Folder, Request};

/// The requests of a home.
#[derive(Debug)]
pub struct Requests {
    home: Home,
    store: Store,
    folder: Folder,
}

/// What came of a request.
enum Settled {
    /// It is done; how.
    Done(String),
    /// It is not, and never will be; why.
    Refused(String),
}

/// Why a request could not be settled now, and is tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("requests: {0}\n  help: see that the disk is there, writable and not full; it is tried again")]
    Files(#[from] io::Error),
    #[error("the controller is ending, and leaves it to the next one")]
    Ending,
}

impl Requests {
    /// Those of a home.
    #[must_use]
    pub fn new(home: &Home) -> Requests {
        let folder = Folder::of(home);
        // Once it exists it can be watched; a full disk is told when somebody asks for something.
        _ = folder.create();
        Requests { home: home.clone(), store: Store::open(home), folder }
    }

    /// Carries out whatever waits.
    ///
    /// # Errors
    /// In words, when something is to be tried again; the others are carried out all the same.
    pub fn serve(&self, notes: &UnboundedSender<Note>) -> Result<(), String> {
        let entries = self.folder.entries().map_err(|error| Trouble::Files(error).to_string())?;
        let mut failed = Ok(());
        for entry in entries {
            if let Err(trouble) = self.settle(entry, notes) {
                failed = failed.and_then(|()| Err(trouble.to_string()));
            }
        }
        failed
    }

    fn settle(&self, mut entry: Entry, notes: &UnboundedSender<Note>) -> Result<(), Trouble> {
        let request = match self.folder.read(&entry) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let text = format!("request {} cannot be read: {error}", entry.id);
                let subject = "controller".to_owned();
                _ = notes.send(Note::Event { subject, word: "request-refused", text, data: Value::Null });
                self.folder.remove(&entry.id);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let was_claimed = entry.is_claimed;
        if request.is_expired(Utc::now()) && !(was_claimed && self.generation_of(&request.id)?) {
            let hours = crate::request::EXPIRES_AFTER / 3600;
            say(notes, "request-expired", &request, &format!("not carried out within {hours} h of {}", request.at));
            self.folder.remove(&request.id);
            return Ok(());
        }
        if !was_claimed {
            if !self.folder.claim(&entry.id)? {
                return Ok(());
            }
            entry.is_claimed = true;
            say(notes, "requested", &request, "");
        }
        match self.act(&request, was_claimed, notes)? {
            Settled::Done(how) => say(notes, "request-done", &request, &how),
            Settled::Refused(why) => say(notes, "request-refused", &request, &why),
        }
        self.folder.remove(&request.id);
        Ok(())
    }

    fn act(&self, request: &Request, was_claimed: bool, notes: &UnboundedSender<Note>) -> Result<Settled, Trouble> {
        let Some(object) = request.object() else { return Ok(Settled::Refused("it names no object".to_owned())) };
        if object.kind() != "service" {
            return of_run(&object, request, was_claimed, notes);
        }
        if was_claimed && self.generation_of(&request.id)? {
            return Ok(Settled::Done("by the controller before this one".to_owned()));
        }
        let mut locked = self.store.lock(&|_| {})?;
        let base = Arc::clone(locked.base());
        let stored = match base.objects.get(&object) {
            Some(stored) if stored.metadata.uid == request.uid => stored,
            Some(_) => return Ok(Settled::Refused(format!("{object} was deleted, and is another one now"))),
            None => return Ok(Settled::Refused(format!("{object} is not there any more"))),
        };
        let (draft, how) = match request.action {
            Action::Shutdown => match self.shutdown(&base, &object, stored, request) {
                Ok(draft) => (draft, "left down until: setpoint resume".to_owned()),
                Err(why) => return Ok(Settled::Done(why)),
            },
            Action::Restart | Action::Cycle => match self.restart(&base, &object, request, was_claimed)? {
                Some(draft) => (draft, String::new()),
                None => return Ok(Settled::Done("it had been replaced already".to_owned())),
            },
        };
        let generation = locked.commit(draft)?.generation;
        drop(locked);
        tracing::info!(request = request.id, generation, "carried out a lifecycle request");
        _ = notes.send(Note::Desired);
        Ok(Settled::Done(how))
    }

    /// Keeps it down. Why there is nothing to do, if so.
    fn shutdown(
        &self,
        base: &Stored,
        object: &ObjectRef,
        stored: &StoredObject,
        request: &Request,
    ) -> Result<Draft, String> {
        match stored.overrides.paused.as_ref().filter(|pause| pause.until.is_none()) {
            Some(pause) => Err(format!("{} paused it before", pause.by)),
            None => Ok(edit::pause(base, std::slice::from_ref(object), None, author(request))),
        }
    }

    /// A fresh start of what is meant, and what it is given. None when all of it has been replaced since.
    fn restart(
        &self,
        base: &Stored,
        object: &ObjectRef,
        request: &Request,
        was_claimed: bool,
    ) -> Result<Option<Draft>, Trouble> {
        let last = last_attempts(&self.home, object);
        let of = |cause: &Cause| InstanceId { object: object.clone(), cause: cause.clone() };
        let mut meant: BTreeMap<Cause, u32> = BTreeMap::new();
        for (cause, number) in request.attempts() {
            let last = last.get(&cause).copied().unwrap_or(number);
            let left = handoff::left(&self.home, &of(&cause)).filter(|left| was_claimed && number <= *left);
            match (request.has_handoff, left) {
                (false, _) if last > number => {}
                (false, _) => _ = meant.insert(cause, number),
                // A controller that was killed had left it, and somebody has found it since.
                (true, Some(left)) if last > left => {}
                // One that ended before anybody read its wish left its successor without what was meant for it.
                (true, _) => _ = meant.insert(cause, last),
            }
        }
        if meant.is_empty() {
            return Ok(None);
        }
        for (cause, number) in &meant {
            match request.has_handoff {
                true => handoff::leave(&self.home, &of(cause), *number, &self.folder.read_handoff(&request.id)?)?,
                false => handoff::clear(&self.home, &of(cause)),
            }
        }
        Ok(Some(edit::restart(base, std::slice::from_ref(object), author(request), &|_| meant.clone())))
    }

    /// True when a generation says that it carries this request out.
    fn generation_of(&self, id: &str) -> Result<bool, StoreError> {
        for number in self.store.numbers()?.into_iter().rev() {
            if self.store.read(number)?.is_ok_and(|stored| stored.by.request.as_deref() == Some(id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Ends a run, or lets it have another go, by the way that people's wishes go.
fn of_run(
    object: &ObjectRef,
    request: &Request,
    was_claimed: bool,
    notes: &UnboundedSender<Note>,
) -> Result<Settled, Trouble> {
    let Some(cause) = request.attempts().into_keys().next() else {
        return Ok(Settled::Refused("it names no run".to_owned()));
    };
    let id = InstanceId { object: object.clone(), cause };
    let wish = match request.action {
        Action::Shutdown => Wish::Cancel(id),
        Action::Restart => Wish::Retry(id),
        Action::Cycle => return Ok(Settled::Refused("a run has no successor".to_owned())),
    };
    let (answer, answered) = oneshot::channel();
    _ = notes.send(Note::Wish { wish, by: request.principal(), answer });
    match answered.blocking_recv() {
        Ok(Ok(_)) => Ok(Settled::Done(String::new())),
        // It was asked for before, maybe: then this is what had to come of it.
        Ok(Err(why)) if was_claimed => Ok(Settled::Done(words(&why))),
        Ok(Err(why)) => Ok(Settled::Refused(words(&why))),
        Err(_) => Err(Trouble::Ending),
    }
}

fn words(shape: &Value) -> String {
    shape.get("error").and_then(Value::as_str).unwrap_or("it was refused").to_owned()
}

fn author(request: &Request) -> Author {
    Author {
        principal: request.principal(),
        note: request.reason.clone(),
        request: Some(request.id.clone()),
        ..Author::controller()
    }
}

/// What happened to a request, with who asked and why.
fn say(notes: &UnboundedSender<Note>, word: &'static str, request: &Request, what: &str) {
    let what = if what.is_empty() { String::new() } else { format!(": {what}") };
    let reason = request.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let text = format!("{} asked for by {}{reason}{what}", request.action.word(), request.by);
    let data = json!({ "object": request.object, "request": request.id, "by": request.by });
    // A loop that has ended writes nothing any more.
    _ = notes.send(Note::Event { subject: request.subject(), word, text, data });
}
