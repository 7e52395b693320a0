//! What happened, on its way to the store.
//!
//! In: news of a pass. Out: one request of the writer for all that is worth keeping, as CloudEvents. Not here: reading
//! them ([`EventFilter`](crate::store::EventFilter)), telling what is news ([`super::report`]).
//! The surprise: an event is never worth a stall. When the store does not take it, it is dropped and counted; and of
//! failures in a row only the first and the end are kept, so that one loop does not push out everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::books::{Books, Entry, Pending};
use super::core::Core;
use crate::engine::plan::{Decision, Reason};
use crate::engine::run::order;
use crate::engine::{BootTime, InstanceId, Now, ObjectRef, Plan};
use crate::store::{EventRow, Write};

/// What every type begins with. Between it and the word stands the kind of the object: `setpoint.service.gave-up`.
pub const PREFIX: &str = "setpoint.";

/// The last words of all types, each with what it says.
pub const WORDS: &[(&str, &str)] = &[
    ("adopted", "a process that somebody else started counts as the instance"),
    ("ambiguous", "several processes could be the instance, so nothing is done"),
    ("cancelled", "somebody ended a run"),
    ("clock-step", "due times were passed over because the clock was set"),
    ("completed", "it has ended and is not to be started again"),
    ("crashed", "it has ended and should not have; of many in a row the 1st, 10th, 100th, …"),
    ("cut", "a chain of Triggers that set each other off is cut"),
    ("deferred", "a due time waits for the end of quiet hours; the first of many in a row"),
    ("drifted", "an adopted process is not what its manifest says"),
    ("failed", "a run has failed; the first of many in a row"),
    ("file-left", "a file of a drop folder is a message now, and cannot be removed"),
    ("file-refused", "a file of a drop folder cannot be a message and was set aside"),
    ("frozen", "its process was stopped by a signal"),
    ("gave-up", "it has crashed too often and is left down"),
    ("halted", "a replacement stops because the new version crashed"),
    ("held", "a run waits for a person; the first of many in a row"),
    ("limited", "a Trigger is set off more often than its limit allows"),
    ("lingering", "its shim was killed and processes of it live on"),
    ("missed", "due times passed while nobody could start them; the first of many in a row"),
    ("own-product", "a Trigger changes what it watches; that counts no more"),
    ("ready", "it is up"),
    ("recovered", "it is well again: a run went well, or it stays up"),
    ("refused", "it could not be started; it is tried again"),
    ("request-done", "what was asked for is carried out"),
    ("request-expired", "what was asked for was not carried out in time, and is not any more"),
    ("request-refused", "what was asked for cannot be carried out"),
    ("requested", "a cycle, a restart or a shutdown is asked for, and begun to be carried out"),
    ("restarted", "it was started again after a crash"),
    ("retuned", "its rules for stopping and logging have changed"),
    ("skipped", "a due time was passed over; the first of many in a row"),
    ("source-failed", "messages cannot be had from where they come; the first of many in a row"),
    ("source-recovered", "messages can be had again from where they come"),
    ("started", "it was started"),
    ("stopping", "it was asked to stop"),
    ("stray", "a process of ours belongs to no object"),
    ("trouble", "the store takes nothing: no run begins, services go on"),
    ("unhealthy", "its liveness probe failed too often, so it is replaced"),
    ("unknown", "it cannot be seen, so nothing is done"),
    ("unready", "it was ready and is not"),
    ("waiting", "its start waits for what it needs"),
    ("watch-trouble", "files of a Trigger cannot be watched"),
];

/// One that stays up for so long after its last crash is well again.
const CALM: Duration = Duration::from_secs(60);
/// So many requests with events wait for the disk at most; whatever comes then is dropped.
const WAITING_MAX: usize = 64;
/// So many events go into one request at most.
const EVENTS_MAX: usize = 2_000;

/// Crashes in a row of one instance.
#[derive(Debug)]
struct Streak {
    restarts: u64,
    last: BootTime,
}

/// What is on its way, and what has been told.
#[derive(Debug)]
pub struct Journal {
    waiting: Vec<EventRow>,
    streaks: BTreeMap<InstanceId, Streak>,
    /// The last thing told of the due times of an object.
    ticks: BTreeMap<ObjectRef, &'static str>,
    /// Events that were lost since this controller began.
    pub(super) dropped: u64,
    /// Counts the requests that the disk has.
    news: watch::Sender<u64>,
    has_swept: bool,
    /// The store takes nothing.
    trouble: Option<EventRow>,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            waiting: Vec::new(),
            streaks: BTreeMap::new(),
            ticks: BTreeMap::new(),
            dropped: 0,
            news: watch::channel(0).0,
            has_swept: false,
            trouble: None,
        }
    }
}

impl Journal {
    /// True when an event is worth keeping, given those before it.
    fn is_worth(&mut self, id: &InstanceId, word: &'static str, now: &Now) -> bool {
        match word {
            "crashed" => {
                let streak = self.streaks.entry(id.clone()).or_insert(Streak { restarts: 0, last: now.boot });
                streak.last = now.boot;
                // The restart before it counts.
                streak.restarts == 0 || is_round(streak.restarts + 1)
            }
            "restarted" => {
                let streak = self.streaks.entry(id.clone()).or_insert(Streak { restarts: 0, last: now.boot });
                streak.last = now.boot;
                streak.restarts += 1;
                streak.restarts == 1
            }
            "ready" | "unready" | "unhealthy" | "waiting" => {
                self.streaks.get(id).is_none_or(|streak| streak.restarts <= 1)
            }
            "gave-up" => {
                self.streaks.remove(id);
                true
            }
            "skipped" | "deferred" | "missed" | "held" => self.ticks.insert(id.object.clone(), word) != Some(word),
            "fired" => {
                self.ticks.remove(&id.object);
                false
            }
            // What runs and what has run is in the ledger of runs.
            "finished" | "retried" => false,
            _ => true,
        }
    }

    /// Instances that have stayed up since a series of crashes, with how many restarts it took.
    fn recovered(&mut self, plan: &Plan, now: &Now) -> Vec<(InstanceId, u64)> {
        let mut well = Vec::new();
        self.streaks.retain(|id, streak| {
            let found = plan.decisions.binary_search_by(|decision| decision.id.cmp(id)).ok();
            let Some(decision) = found.and_then(|at| plan.decisions.get(at)) else { return false };
            if streak.last.after(CALM) > now.boot || decision.because != Reason::Healthy {
                return true;
            }
            if streak.restarts > 1 {
                well.push((id.clone(), streak.restarts));
            }
            false
        });
        well
    }

    fn add(&mut self, event: EventRow) {
        if self.waiting.len() < EVENTS_MAX {
            self.waiting.push(event);
        } else {
            self.dropped += 1;
        }
    }
}

/// 1, 10, 100, …
fn is_round(mut count: u64) -> bool {
    while count >= 10 && count.is_multiple_of(10) {
        count /= 10;
    }
    count == 1
}

/// An event about an instance, or about an object as a whole.
#[must_use]
pub fn event(subject: &str, word: &str, text: String, data: &Value, now: &Now) -> EventRow {
    let kind = subject.split('/').next().unwrap_or_default();
    EventRow {
        time: now.wall,
        kind: format!("{PREFIX}{kind}.{word}").into(),
        subject: subject.into(),
        text: text.into(),
        data: (!data.is_null()).then(|| data.to_string().into()),
    }
}

impl Books {
    /// Has events kept. The store is opened for the first one, on the thread of the writer: nobody waits for it.
    ///
    /// # Errors
    /// When there is no thread for it, or too many wait already.
    fn keep(&mut self, events: Vec<EventRow>, kept: u32) -> Result<(), String> {
        self.start_writer()?;
        if self.telling >= WAITING_MAX {
            return Err("the disk is too slow for them".to_owned());
        }
        let object = ObjectRef::new("store", "0").map_err(|error| error.to_string())?;
        let entry = Entry::Events(events.len() as u64);
        self.send(Write::Events { events, kept }, Pending { object, entry, asker: None });
        self.telling += 1;
        // They are no reason to look through the past.
        self.sent -= 1;
        Ok(())
    }
}

impl Core {
    /// Keeps an event about a decision, if it is worth that.
    pub(super) fn note_event(&mut self, decision: &Decision, word: &'static str, now: &Now) {
        if !self.journal.is_worth(&decision.id, word, now) {
            return;
        }
        let restarts = self.journal.streaks.get(&decision.id).map_or(0, |streak| streak.restarts);
        let state = decision.state().to_string();
        let data = match restarts {
            0 => json!({ "object": decision.id.object.as_str(), "state": state }),
            _ => json!({ "object": decision.id.object.as_str(), "state": state, "restarts": restarts }),
        };
        let row = event(&decision.id.to_string(), word, decision.because.to_string(), &data, now);
        self.journal.add(row);
    }

    /// Keeps an event that is no decision of a plan, such as what became of a message. Its word stands in [`WORDS`].
    pub fn tell_event(&mut self, subject: &str, word: &str, text: String, data: &Value) {
        let now = self.clock.now();
        self.journal.add(event(subject, word, text, data, &now));
    }

    /// Due times for which a run of another one makes up.
    pub(super) fn note_missed(&mut self, id: &InstanceId, text: String, count: u64) {
        let now = self.clock.now();
        if self.journal.is_worth(id, "missed", &now) {
            let data = json!({ "object": id.object.as_str(), "count": count });
            self.journal.add(event(&id.to_string(), "missed", text, &data, &now));
        }
    }

    /// What is wrong with the store cannot be kept there; it is once the store is well.
    pub(super) fn note_store(&mut self, is_well: bool, text: String) {
        let now = self.clock.now();
        let row = |word, text| event("store", word, text, &Value::Null, &now);
        if is_well {
            let trouble = self.journal.trouble.take();
            trouble.into_iter().chain([row("recovered", text)]).for_each(|row| self.journal.add(row));
        } else {
            self.journal.trouble.get_or_insert(row("trouble", text));
        }
    }

    /// Sends what is worth keeping to the writer. Words come after deeds, and wait for nobody.
    pub(super) fn send_events(&mut self, plan: &Plan, now: &Now) {
        for (id, restarts) in self.journal.recovered(plan, now) {
            let text = format!("it stays up, after {restarts} restarts in a row");
            let data = json!({ "object": id.object.as_str(), "state": "Ready", "restarts": restarts });
            self.journal.add(event(&id.to_string(), "recovered", text, &data, now));
        }
        if self.journal.waiting.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.journal.waiting);
        // What a Trigger says of itself meanwhile comes with the next ones: it sets nothing off.
        events.iter().for_each(|event| self.happened(event));
        let count = events.len() as u64;
        let kept =
            order::settings(&self.desired).map_or(crate::store::EVENTS_MAX, |settings| settings.retention.events);
        if let Err(why) = self.books.keep(events, kept) {
            self.events_dropped(count, &why);
        }
    }

    /// Takes in what became of events.
    pub(super) fn told(&mut self, lost: Option<(u64, String)>) {
        match lost {
            Some((count, why)) => self.events_dropped(count, &why),
            None => {
                self.journal.news.send_modify(|count| *count += 1);
                self.sweep_old_events();
            }
        }
    }

    fn events_dropped(&mut self, count: u64, why: &str) {
        self.journal.dropped += count;
        let why = why.lines().next().unwrap_or_default();
        self.tell_once(format!("events are not kept: {why}"));
    }

    /// Changes with every request with events that the disk has.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.journal.news.subscribe()
    }

    /// Before there was a store for them, events stood in files, which nobody reads any more.
    fn sweep_old_events(&mut self) {
        if std::mem::replace(&mut self.journal.has_swept, true) {
            return;
        }
        let folder = self.home.events();
        // Where it cannot be removed it is in nobody's way; a slow disk is not waited for.
        _ = std::thread::Builder::new().name("sweep".into()).spawn(move || std::fs::remove_dir_all(folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BootId, Cause, Timestamp};

    fn at(seconds: u64) -> Now {
        let nanos = seconds * 1_000_000_000;
        Now { wall: Timestamp::from_nanos(nanos), boot: BootTime::from_nanos(nanos), boot_id: BootId::new("b") }
    }

    fn id(text: &str) -> InstanceId {
        let (object, cause) = text.rsplit_once('/').expect("an instance");
        InstanceId { object: object.parse().expect("an object"), cause: cause.parse::<Cause>().expect("a cause") }
    }

    #[test]
    fn of_crashes_in_a_row_the_first_is_told_and_then_ever_fewer() {
        let (mut journal, web) = (Journal::default(), id("service/web/0"));
        let mut told = Vec::new();
        for n in 1..=250_u64 {
            for word in ["crashed", "restarted", "ready"] {
                if journal.is_worth(&web, word, &at(n)) {
                    told.push(format!("{word} {n}"));
                }
            }
        }
        assert_eq!(told, ["crashed 1", "restarted 1", "ready 1", "crashed 10", "crashed 100"]);
        assert!(journal.is_worth(&id("service/db/0"), "ready", &at(1)));
        assert!(journal.is_worth(&web, "gave-up", &at(300)));
        assert!(journal.is_worth(&web, "crashed", &at(301)));
    }

    #[test]
    fn due_times_that_fare_alike_are_told_once() {
        let (mut journal, run) = (Journal::default(), id("cronjob/sync/2026-11-21T03:00:00Z"));
        let words = ["skipped", "skipped", "missed", "skipped", "fired", "skipped", "finished"];
        let told: Vec<bool> = words.iter().map(|word| journal.is_worth(&run, word, &at(1))).collect();
        assert_eq!(told, [true, false, true, true, false, true, false]);
    }

    #[test]
    fn every_word_stands_once_and_in_order() {
        assert!(WORDS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
