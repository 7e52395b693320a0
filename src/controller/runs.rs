//! Where work that ends meets the controller: its books are opened, its entries sent, what is left of it cleared away ([`super::remains`]).
//!
//! In: entries of a plan, answers of the store, what people ask of runs. Out: a ledger that is up to date.
//! Not here: the books themselves ([`super::books`]), due times ([`super::schedules`]).
//! The surprise: a home that has no such work opens no store and pays for none.

use std::sync::Arc;

use serde_json::Value as Json;

use super::books::{Asker, Gave, Gives, News, Settled};
use super::core::Core;
use super::rows::asked_cause;
use crate::engine::backoff::End;
use crate::engine::desired::Spec;
use crate::engine::plan::{Finish, Fire, Note};
use crate::engine::run::{Arises, History, Origin, Run, RunRule, Work, order};
use crate::engine::{InstanceId, Now, ObjectRef, Timestamp};
use crate::execute::capture::{Capture, Printed};
use crate::execute::spawn::KEEP_ATTEMPTS;
use crate::execute::sweep;
use crate::observe::records;
use crate::store::{AttemptRow, Given, Keep, ResultSource, Retention};

/// What a person asks of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// A run, now, with these parameters.
    Start {
        /// Of which object.
        object: ObjectRef,
        /// Parameters.
        params: Json,
    },
    /// The end of a run.
    Cancel(InstanceId),
    /// Another go at a run that is over.
    Retry(InstanceId),
}

impl Core {
    /// Brings books and due times up to the present desired state.
    pub(super) fn follow_runs(&mut self) {
        let is_run = |object: &Arc<crate::engine::Object>| match &object.spec {
            Spec::Known(kind) => kind.runs().is_some(),
            Spec::Opaque { .. } => false,
        };
        let is_needed = self.desired.objects.values().any(is_run) || self.home.store_db().exists();
        if !self.books.is_open() && is_needed {
            match self.books.open(&mut self.observed.ledger) {
                Ok(()) => {
                    self.observed.ledger.trouble = None;
                    self.clear_remains();
                }
                Err(why) => {
                    self.tell_once(format!("what is remembered of runs cannot be read: {why}"));
                    let line: Arc<str> = why.lines().next().unwrap_or_default().into();
                    self.observed.ledger.trouble = Some(line);
                }
            }
        }
        self.schedules.follow(&self.desired, &mut self.observed.ledger);
    }

    /// Tries a store that failed again, and looks whether zones have changed.
    pub(super) fn look_after_books(&mut self, now: &Now) {
        if !self.books.is_open() && self.observed.ledger.trouble.is_some() {
            self.follow_runs();
        }
        self.books.try_again(now);
    }

    /// Says once that nothing can be remembered, and once that it can be again.
    pub(super) fn report_store(&mut self) {
        let trouble = &self.observed.ledger.trouble;
        if *trouble == self.store_told {
            return;
        }
        let text = match trouble {
            Some(why) => format!("no run begins, and services go on: {why}"),
            None => "runs are remembered again".to_owned(),
        };
        match trouble {
            Some(_) => tracing::error!("{text}"),
            None => tracing::info!("{text}"),
        }
        let is_well = trouble.is_none();
        self.store_told.clone_from(trouble);
        self.is_news = true;
        self.note_store(is_well, text);
    }

    pub(super) fn fire(&mut self, id: &InstanceId, fire: &Fire, now: &Now) -> bool {
        self.books.fire(&mut self.observed.ledger, id, fire, now);
        false
    }

    pub(super) fn write_note(&mut self, id: &InstanceId, note: &Note, now: &Now) -> bool {
        self.books.note(&mut self.observed.ledger, id, note, now);
        false
    }

    pub(super) fn finish(&mut self, id: &InstanceId, finish: &Finish, now: &Now) -> bool {
        let gave = Gave::default();
        let result = self.result_of(id, finish, &gave);
        let tail = self.tail_of(id, finish);
        let tries = self.tries(id, finish.attempts);
        self.books.finish(&mut self.observed.ledger, id, finish, Gives { result, output: gave, tail }, tries, now);
        false
    }

    /// What the records say of its attempts: they go when its end is remembered.
    pub(super) fn tries(&self, id: &InstanceId, attempts: u32) -> Vec<AttemptRow> {
        let folder = self.home.records(id);
        let first = attempts.saturating_sub(KEEP_ATTEMPTS).saturating_add(1);
        let read = |number| records::attempt_of(&folder, number).ok().flatten();
        let row = |number| {
            let attempt = read(number)?;
            let end = attempt.end.as_ref();
            Some(AttemptRow {
                object: id.object.clone(),
                cause: id.cause.clone(),
                number,
                started: Some(attempt.attempt.started_wall),
                ended: end.map(|end| Timestamp::from_nanos(end.at_wall_ns)),
                exit: match &attempt.attempt.end {
                    End::Ended { exit, .. } => Some(exit.to_string().into()),
                    End::Open => Some("exit unknown".into()),
                },
            })
        };
        (first..=attempts).filter_map(row).collect()
    }

    /// Where the result of a run comes from: what it printed, where somebody may want to use that.
    fn result_of(&self, id: &InstanceId, finish: &Finish, gave: &Gave) -> ResultSource {
        if let Some(output) = &finish.output {
            return ResultSource::Text(Given::whole(&output.to_string()));
        }
        let is_wanted = finish.step_of.is_some() || self.rule(&id.object).is_some_and(is_used);
        if !is_wanted || finish.attempts == 0 {
            return ResultSource::None;
        }
        let (records, number) = (self.home.records(id), finish.attempts);
        let (folder, prefix, gave) = (self.home.logs(&id.object), id.cause.to_string(), gave.clone());
        ResultSource::Capture(Box::new(move || {
            let birth = records::attempt_of(&records, number).ok().flatten()?.birth?;
            let (log_file, log_offset) = (birth.log_file, birth.log_offset);
            let Printed { text, size } = Capture { folder, prefix, log_file, log_offset }.stdout()?;
            let given = Given { text: text.into(), size: size.map(Into::into) };
            // Only a thread that panicked while it held this could poison it, and none does.
            if let Ok(mut gave) = gave.lock() {
                *gave = Some(given.clone());
            }
            Some(given)
        }))
    }

    pub(super) fn rule(&self, object: &ObjectRef) -> Option<&RunRule> {
        match &self.desired.objects.get(object)?.spec {
            Spec::Known(kind) => kind.runs(),
            Spec::Opaque { .. } => None,
        }
    }

    /// Takes in an answer of the store. True when something has to be decided.
    pub fn settled(&mut self, settled: Settled) -> bool {
        let now = self.clock.now();
        let news = self.books.settled(&mut self.observed.ledger, settled, &now);
        // That an event is kept, or the store in its place, is not worth another line in `state.json`.
        self.is_news |= !matches!(news, Some(News::Told { .. } | News::Well));
        match news {
            Some(News::Over(id)) => {
                self.clear_run(&id, &now);
            }
            Some(News::Anew) => {
                tracing::info!("the store is there again; reading it anew");
                if let Err(why) = self.books.read_anew(&mut self.observed.ledger, &now) {
                    self.observed.ledger.trouble = why.lines().next().map(Into::into);
                }
            }
            Some(News::Forgotten { runs, next }) => {
                self.forget_logs(&runs);
                if let (Some(next), Some(retention)) = (next, self.books.retention.take()) {
                    self.books.prune(Retention { from: Some(next), ..retention }, now.boot);
                }
                return false;
            }
            Some(News::Told { lost }) => {
                self.told(lost);
                return false;
            }
            Some(News::Well) => return false,
            Some(News::Facts) | None => {}
        }
        self.note_change();
        true
    }

    /// Has the store forget what is too old or too much; together with the relist, so that nothing wakes up for it.
    pub(super) fn prune(&mut self) {
        if !self.books.is_open() || self.observed.ledger.trouble.is_some() {
            return;
        }
        let now = self.clock.now();
        let present = Arc::new(self.desired.objects.keys().cloned().collect());
        // An object that could not be read is there all the same.
        let is_whole = self.desired.coverage == crate::engine::Coverage::Whole;
        let settings = order::settings(&self.desired).cloned().unwrap_or_default().retention;
        let mut retention = Retention::of(now.wall, is_whole.then_some(present));
        retention.events = settings.events;
        retention.ticks = Keep { count: settings.ticks, age: settings.age };
        retention.runs.age = settings.age;
        for (id, object) in &self.desired.objects {
            if let Spec::Known(kind) = &object.spec
                && let Some(rule) = kind.runs()
                && rule.history != History::DEFAULT
            {
                let keep = Keep { count: rule.history.runs, age: rule.history.age };
                retention.overrides.insert(id.clone(), keep);
            }
        }
        self.books.prune(retention, now.boot);
    }

    /// Removes what runs printed that are remembered no more.
    fn forget_logs(&mut self, runs: &[InstanceId]) {
        for id in runs {
            if let Err(error) = sweep::logs(&self.home, id) {
                self.tell_once(format!("{id}: what it printed cannot be removed: {error}"));
            }
        }
    }

    /// Does what a person asks of a run; `asker` hears what came of it.
    pub fn wish(&mut self, wish: Wish, by: &str, asker: Asker) {
        match self.granted(&wish) {
            Err(why) => _ = asker.send(Err(why)),
            Ok(()) => match wish {
                Wish::Start { object, params } => self.begin(object, params, by, asker),
                Wish::Cancel(id) => self.books.cancel(&id, &by.into(), asker),
                Wish::Retry(id) => self.books.reopen(&id, &by.into(), self.clock.now().wall, asker),
            },
        }
    }

    /// Why a wish is refused, if it is.
    fn granted(&self, wish: &Wish) -> Result<(), Json> {
        let plain = |text: String| serde_json::json!({ "error": text, "errors_by_field": {}, "suggestions": [] });
        if let Some(why) = &self.observed.ledger.trouble {
            return Err(plain(format!("nothing can be written down: {why}")));
        }
        let object = match wish {
            Wish::Start { object, .. } => object,
            Wish::Cancel(id) | Wish::Retry(id) => &id.object,
        };
        if !self.books.is_open() {
            return Err(plain(format!("there is no {object} that runs to completion")));
        }
        match wish {
            Wish::Cancel(id) => {
                let book = self.observed.ledger.books.get(&id.object);
                let is_open = book.is_some_and(|book| book.runs.contains_key(&id.cause));
                if is_open { Ok(()) } else { Err(plain(format!("{id} is not under way"))) }
            }
            Wish::Retry(_) => Ok(()),
            Wish::Start { object, params } => {
                let Some(rule) = self.rule(object) else {
                    return Err(plain(format!("there is no {object} that runs to completion")));
                };
                if let Arises::Messages(_) = rule.arises {
                    return Err(plain(format!("{object} is set off by messages: send it one")));
                }
                self.params_fit(rule, params)
            }
        }
    }

    /// Whether these parameters may be given to a run of this.
    fn params_fit(&self, rule: &RunRule, params: &Json) -> Result<(), Json> {
        let (schema, given) = crate::engine::run::used::takes(&self.desired, rule, params);
        let errors = schema.check(&given);
        if errors.is_empty() {
            return Ok(());
        }
        let by_field: serde_json::Map<String, Json> =
            errors.iter().map(|error| (error.field.clone(), Json::String(error.what.clone()))).collect();
        let suggestions: Vec<&str> = errors.iter().map(|error| error.help.as_str()).collect();
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Err(serde_json::json!({ "error": text, "errors_by_field": by_field, "suggestions": suggestions }))
    }

    fn begin(&mut self, object: ObjectRef, params: Json, by: &str, asker: Asker) {
        let now = self.clock.now();
        let Some(uid) = self.desired.objects.get(&object).map(|object| object.uid.clone()) else { return };
        let cause = match asked_cause(now.wall) {
            Ok(cause) => cause,
            Err(error) => {
                let error = format!("no name can be drawn for the run: {error}");
                _ = asker.send(Err(serde_json::json!({ "error": error })));
                return;
            }
        };
        let run = Run {
            uid,
            origin: Origin::Person(by.into()),
            due: now.wall,
            created: now.wall,
            catches_up: false,
            forgiven: 0,
            cancel: None,
            params: Arc::new(params),
            steps: std::collections::BTreeMap::new(),
            reopened: std::collections::BTreeMap::new(),
        };
        self.books.ask_for(&mut self.observed.ledger, &InstanceId { object, cause }, run, asker);
    }
}

/// True when what it prints is a result: it is a capability, or uses one.
fn is_used(rule: &RunRule) -> bool {
    match &rule.work {
        Work::Use { .. } | Work::Way(_) => true,
        Work::Command(_) => matches!(rule.arises, Arises::Asked),
        Work::Flow(_) | Work::Prompt { .. } => false,
        // What it prints is what its sender is told.
        Work::Sorted(_) => true,
    }
}
