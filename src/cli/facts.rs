//! The facts that verbs show: read anew from the process table and the files, with or without a controller.
//!
//! In: a home. Out: every object with what became of it, and why. Not here: printing.
//! The surprise: states come from the same plan a controller would make now, so what `get` says and what a controller
//! does cannot differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::health::{self, Told};
use super::past::{self, Past};
use super::{Failure, Global, exit, timetable};
use crate::controller::look::fresh;
use crate::controller::report::rfc3339;
use crate::controller::{items, pressure, twins};
use crate::desired::generation::{Stored, StoredObject};
use crate::desired::{Store, parsed, resolve};
use crate::engine::backoff::End;
use crate::engine::converge::REFUSED_RETRY;
use crate::engine::expand::{ForEach, Items};
use crate::engine::observed::{Member, Twin};
use crate::engine::plan::{Action, Decision, Reason};
use crate::engine::run::RunRule;
use crate::engine::{Backoff, Coverage, Desired, InstanceId, Now, ObjectRef, Observed, Plan, Sight, State, Timestamp};
use crate::home::Home;
use crate::observe::{Clock, Look, ProcTable, clock};
use crate::rpc::client;

/// Everything that can be known at one moment.
#[derive(Debug)]
pub struct Facts {
    /// The home; none when it does not exist.
    pub home: Option<Home>,
    /// The desired state as stored.
    pub stored: Stored,
    /// The same as the engine has it.
    pub desired: Desired,
    /// What was seen.
    pub observed: Observed,
    /// The last attempts.
    pub backoff: Backoff,
    /// What a controller would do now.
    pub plan: Plan,
    /// The moment.
    pub now: Now,
    /// What a controller says of the instances it asks.
    pub told: Told,
    /// What is remembered of runs.
    pub past: Past,
    /// Files of live folders with an error, by path, by the word of the controller.
    pub broken_files: BTreeMap<String, String>,
}

/// Reads everything. A home that does not exist reads as an empty one.
///
/// # Errors
/// When the home or its desired state cannot be read.
pub fn read(global: &Global) -> Result<(Option<Home>, Facts), Failure> {
    let home = Home::open_existing(global.home.as_deref()).map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let clock = Clock::new().map_err(|e| Failure::new(exit::FAILED, format!("/proc cannot be read: {e}")))?;
    let facts = match &home {
        Some(home) => of(home, &clock)?,
        None => {
            let stored = Stored::empty();
            let now = clock.now();
            let plan = Plan { generation: 0, decisions: Vec::new(), wake_at: None, wake_wall: None };
            Facts {
                home: None,
                stored,
                desired: Desired {
                    generation: 0,
                    coverage: Coverage::Whole,
                    objects: BTreeMap::new(),
                    tombstones: BTreeMap::new(),
                    frozen: None,
                    is_draining: false,
                },
                observed: Observed::empty(),
                backoff: Backoff::default(),
                plan,
                now,
                told: Told::default(),
                past: Past::default(),
                broken_files: BTreeMap::new(),
            }
        }
    };
    Ok((home, facts))
}

/// Reads everything of one home.
///
/// # Errors
/// When its desired state cannot be read.
pub fn of(home: &Home, clock: &Clock) -> Result<Facts, Failure> {
    let facts = of_now(home, clock)?;
    // Processes and books are read one after the other: a run that ended in between seems to be nobody's.
    let is_stray = |d: &Decision| d.because == Reason::Stray && facts.stored.objects.contains_key(&d.id.object);
    if facts.plan.decisions.iter().any(is_stray) { of_now(home, clock) } else { Ok(facts) }
}

fn of_now(home: &Home, clock: &Clock) -> Result<Facts, Failure> {
    let failed = |error: crate::desired::StoreError| Failure::new(exit::FAILED, error.to_string());
    let stored = Store::open(home).read_current().map_err(failed)?;
    let desired = parsed::to_engine(&stored, home.key());
    let (mut observed, backoff) = fresh(home, clock);
    observed.items = known_items(home, &desired);
    twins::add(Look { home, clock, table: &ProcTable }, &desired, &mut observed);
    let (mut past, ledger) = Past::read(home, &desired);
    observed.ledger = ledger;
    let is_followed = stored.sets.values().any(|set| set.live);
    let status = if past.is_open() || is_followed { status_now(home) } else { None };
    past.hear(home, status.as_ref(), &mut observed.ledger);
    let broken_files = status.and_then(|mut status| status.get_mut("broken_files").map(Value::take));
    let broken_files = broken_files.and_then(|files| serde_json::from_value(files).ok()).unwrap_or_default();
    let told = health::ask(home, &stored);
    told.fill(&mut observed);
    let now = clock.now();
    let mut plan = pressure::plan(&desired, &mut observed, &backoff, &now);
    add_waiting(home, &mut plan, &now);
    Ok(Facts { home: Some(home.clone()), stored, desired, observed, backoff, plan, now, told, past, broken_files })
}

/// What instances are made for, as the controller sees it; without one, what can be told by looking.
fn known_items(home: &Home, desired: &Desired) -> BTreeMap<ObjectRef, Sight<Items>> {
    let rules = items::rules(desired);
    if rules.is_empty() {
        return BTreeMap::new();
    }
    if let Some(answer) = asked_items(home) {
        return items::from_json(&answer);
    }
    rules.into_iter().map(|(object, rule)| (object, look_for_items(&rule))).collect()
}

/// The items of a rule, without a controller.
#[must_use]
pub fn look_for_items(rule: &ForEach) -> Sight<Items> {
    match rule {
        ForEach::Glob(_) => match items::list(rule) {
            Sight::Seen(listed) => Sight::Seen(Items { listed, gone: BTreeMap::new() }),
            Sight::Absent => Sight::Absent,
            Sight::Unreadable { why } => Sight::Unreadable { why },
        },
        ForEach::Command { .. } => {
            let why = "its items come from a command, which only a controller runs, and none answers";
            Sight::Unreadable { why: why.into() }
        }
    }
}

/// What looks as if it were started or written down at any moment may have been refused again and again, without a trace
/// on a disk that is full or read-only.
fn add_waiting(home: &Home, plan: &mut Plan, now: &Now) {
    let is_due = |decision: &Decision| {
        let may_be = |action: &Action| {
            let is_entry = matches!(action, Action::Fire(_) | Action::Note(_) | Action::Finish(_));
            is_entry || matches!(action, Action::Spawn(_) | Action::Claim(_) | Action::Return(_))
        };
        decision.action.as_ref().is_some_and(may_be)
    };
    if !plan.decisions.iter().any(is_due) {
        return;
    }
    let mut refused = waiting(home);
    for decision in plan.decisions.iter_mut().filter(|decision| is_due(decision)) {
        if let Some(why) = refused.remove(&decision.id.to_string()) {
            let until = now.boot.after(REFUSED_RETRY);
            (decision.action, decision.because) = (None, Reason::Refused { why: why.into(), until });
        }
    }
}

impl Facts {
    /// Every object there is: desired, still ending, or stray.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<ObjectRef> {
        let decided = self.plan.decisions.iter().map(|decision| decision.id.object.clone());
        self.stored.objects.keys().cloned().chain(decided).collect()
    }

    /// The objects that these words mean; all when there are none.
    ///
    /// # Errors
    /// When a word means no object, or more than one.
    pub fn named(&self, words: &[String]) -> Result<Vec<ObjectRef>, Failure> {
        let known = self.objects();
        if words.is_empty() {
            return Ok(known.into_iter().collect());
        }
        if let [kind] = words
            && let Some(def) = crate::kind::find_spoken(kind)
        {
            return Ok(known.into_iter().filter(|id| id.kind() == def.lower).collect());
        }
        resolve::resolve(&known, words).map_err(|error| Failure::new(exit::NOT_FOUND, error.to_string()))
    }

    /// The object that these words meant before it was deleted, if anything of it is remembered.
    #[must_use]
    pub fn remembered(&self, words: &[String]) -> Option<ObjectRef> {
        let kind =
            |word: &str| crate::kind::find_spoken(word).map_or_else(|| word.to_owned(), |def| def.lower.to_owned());
        let found = match words {
            [word] if !word.contains('/') => {
                let known: BTreeSet<ObjectRef> =
                    self.past.objects().chain(self.observed.ledger.books.keys()).cloned().collect();
                let mut same = known.into_iter().filter(|object| object.name() == word);
                same.next().filter(|_| same.next().is_none())?
            }
            words => {
                let text = words.join("/");
                let (before, name) = text.split_once('/')?;
                ObjectRef::new(&kind(before), name).ok()?
            }
        };
        let is_gone = !self.stored.objects.contains_key(&found);
        (is_gone && !self.past.newest(&found, 1).is_empty()).then_some(found)
    }

    /// The decisions about an object.
    pub fn decisions<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a Decision> + 'a {
        let start = self.plan.decisions.partition_point(|decision| decision.id.object < *object);
        self.plan.decisions.iter().skip(start).take_while(move |decision| decision.id.object == *object)
    }

    /// The state of an object: the worst of its instances.
    #[must_use]
    pub fn state<'a>(&'a self, object: &'a ObjectRef) -> (State, Option<&'a Decision>) {
        let worst = self.decisions(object).max_by_key(|decision| (weight(decision), std::cmp::Reverse(&decision.id)));
        match worst {
            Some(decision) => (decision.state(), Some(decision)),
            None if self.unknown_items(object).is_some() => (State::Unknown, None),
            None if self.passive(object).is_some() => (State::Ready, None),
            None => (State::Stopped, None),
        }
    }

    /// Why nobody knows what instances of an object are made for; nothing when it is known, or there is no such thing.
    #[must_use]
    pub fn unknown_items(&self, object: &ObjectRef) -> Option<String> {
        self.stored.objects.get(object)?.spec.get("forEach")?;
        match self.observed.items.get(object) {
            Some(Sight::Seen(_)) => None,
            Some(Sight::Unreadable { why }) => Some(why.to_string()),
            Some(Sight::Absent) | None => Some("its items have not been listed yet".to_owned()),
        }
    }

    /// Why an object is in its state.
    #[must_use]
    pub fn reason(&self, object: &ObjectRef, decision: Option<&Decision>) -> String {
        let has_items = || self.stored.objects.get(object).is_some_and(|stored| stored.spec.get("forEach").is_some());
        match decision {
            Some(decision) => decision.because.to_string(),
            None if self.passive(object).is_some() => self.passive(object).unwrap_or_default().to_owned(),
            None if has_items() => self.unknown_items(object).unwrap_or_else(|| "there is no item".to_owned()),
            None => "no replica is wanted".to_owned(),
        }
    }

    /// Whether runs can be told at all: a store that cannot be read is not an empty one.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn remembers(&self) -> Result<(), Failure> {
        match &self.past.unreadable {
            None => Ok(()),
            Some(why) => {
                let text =
                    format!("runs cannot be told: {why}\n  help: setpoint doctor; what runs is in: setpoint get");
                Err(Failure::new(exit::FAILED, text))
            }
        }
    }

    /// What an object runs to completion, if anything.
    #[must_use]
    pub fn rule(&self, object: &ObjectRef) -> Option<&RunRule> {
        past::rule_of(self.desired.objects.get(object)?)
    }

    /// What an object is that has no process and no run of its own, in words.
    #[must_use]
    pub fn passive(&self, object: &ObjectRef) -> Option<&'static str> {
        past::passive(self.desired.objects.get(object)?)
    }

    /// The instances of an object, each with what is decided about it; of one that runs to completion, the runs that
    /// are not over, and their steps.
    pub fn instances<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a Decision> + 'a {
        let is_run = self.rule(object).is_some();
        let book = self.observed.ledger.books.get(object);
        self.decisions(object).filter(move |decision| {
            let run = decision.id.cause.parent().unwrap_or_else(|| decision.id.cause.clone());
            let is_owed = book.is_some_and(|book| book.runs.contains_key(&run));
            !is_run || is_owed || self.is_there(&decision.id)
        })
    }

    /// How many instances are ready, and how many there are.
    #[must_use]
    pub fn ready(&self, object: &ObjectRef) -> (usize, usize) {
        let ready = |decision: &&Decision| matches!(decision.state(), State::Ready | State::Halted | State::Done);
        (self.decisions(object).filter(ready).count(), self.decisions(object).count())
    }

    /// True when every label given as `key=value` or `key!=value` fits.
    #[must_use]
    pub fn is_selected(&self, object: &ObjectRef, selector: &[String]) -> bool {
        let empty = BTreeMap::new();
        let labels = self.stored.objects.get(object).map_or(&empty, |stored| &stored.metadata.labels);
        selector.iter().flat_map(|text| text.split(',')).all(|term| match term.split_once("!=") {
            Some((key, value)) => labels.get(key).is_none_or(|has| has != value),
            None => match term.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|has| has == value.trim_start_matches('=')),
                None => labels.contains_key(term),
            },
        })
    }

    /// An object in the shape of `get -o json`.
    #[must_use]
    pub fn to_json(&self, object: &ObjectRef) -> Value {
        let (state, decision) = self.state(object);
        let next = decision.and_then(|decision| self.next(decision));
        let instances: Vec<Value> = self.instances(object).map(|decision| self.instance_json(decision)).collect();
        let reason = self.reason(object, decision);
        let mut status = json!({ "state": state.to_string(), "reason": reason, "next": next, "instances": instances });
        timetable::add_status(self, object, &mut status);
        let Some(stored) = self.stored.objects.get(object) else {
            let kind = crate::kind::find_spoken(object.kind()).map_or(object.kind(), |def| def.kind);
            let metadata = json!({ "name": object.name() });
            let api = "setpoint/v1";
            return json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": {}, "status": status });
        };
        let StoredObject { api_version, kind, metadata, spec, overrides: _ } = stored.as_ref();
        let metadata = json!({
            "name": metadata.name, "uid": metadata.uid, "labels": metadata.labels, "annotations": metadata.annotations,
            "set": metadata.set, "source": metadata.source, "layer": timetable::layer(self, object), "generation": metadata.generation,
        });
        json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, "status": status })
    }

    fn instance_json(&self, decision: &Decision) -> Value {
        let last = self.backoff.0.get(&decision.id);
        let alive = self.alive(&decision.id);
        let adopted = self.adopted(&decision.id);
        let ended = last.and_then(|last| match &last.end {
            End::Ended { exit, .. } => Some(exit.to_string()),
            End::Open => None,
        });
        json!({
            "name": decision.id.to_string(),
            "state": decision.state().to_string(),
            "reason": decision.because.to_string(),
            "attempt": last.map(|last| last.number),
            "pid": alive.filter(|alive| alive.payload > 0).map(|alive| alive.payload).or(adopted.map(|m| m.proc.pid)),
            "shimPid": alive.map(|alive| alive.shim.pid),
            "adopted": adopted.is_some(),
            "since": self.since(&decision.id).map(rfc3339),
            "restarts": last.map_or(0, |last| last.number.saturating_sub(1)),
            "ready": matches!(decision.state(), State::Ready | State::Halted),
            "health": self.health_json(&decision.id),
            "lastExit": ended.or_else(|| self.exit_before(&decision.id)),
        })
    }

    /// How the attempt before a live one ended.
    fn exit_before(&self, id: &InstanceId) -> Option<String> {
        let number = self.backoff.0.get(id)?.number.checked_sub(1)?;
        let read = crate::observe::records::attempt_of(&self.home.as_ref()?.records(id), number).ok()??;
        match read.attempt.end {
            End::Ended { exit, .. } => Some(exit.to_string()),
            End::Open => None,
        }
    }

    /// The live process of an instance, if one was seen.
    #[must_use]
    pub fn alive(&self, id: &InstanceId) -> Option<&crate::engine::observed::Alive> {
        match self.observed.sightings.get(id).map(|sighting| &sighting.sight) {
            Some(Sight::Seen(alive)) => Some(alive),
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => None,
        }
    }

    /// The process of somebody else that counts as an instance, if one does.
    #[must_use]
    pub fn adopted(&self, id: &InstanceId) -> Option<&Member> {
        let sighting = self.observed.sightings.get(id).filter(|sighting| sighting.sight == Sight::Absent)?;
        match &sighting.twin {
            Twin::One(adopted) => Some(&adopted.member),
            Twin::Unlooked | Twin::None | Twin::Many(_) | Twin::Unreadable { .. } => None,
        }
    }

    /// What a verb says of a process that somebody else started: it leaves it alone.
    #[must_use]
    pub fn runs_on(&self, id: &InstanceId) -> Option<String> {
        let Member { proc, name } = self.adopted(id)?;
        Some(format!("process {0} ({name}) runs on: somebody else started it; end it: kill {0}", proc.pid))
    }

    /// The same for all of these objects.
    #[must_use]
    pub fn run_on(&self, objects: &[ObjectRef]) -> Vec<String> {
        objects.iter().flat_map(|id| self.decisions(id)).filter_map(|decision| self.runs_on(&decision.id)).collect()
    }

    /// Since when the process of an instance runs.
    #[must_use]
    pub fn since(&self, id: &InstanceId) -> Option<Timestamp> {
        if let Some(member) = self.adopted(id) {
            return Clock::new().ok()?.wall_of_ticks(member.proc.started);
        }
        self.alive(id).and(self.backoff.0.get(id)).map(|last| last.started_wall)
    }

    /// True when something of this instance is there, or it cannot be told.
    #[must_use]
    pub fn is_there(&self, id: &InstanceId) -> bool {
        self.observed.sightings.get(id).is_some_and(|sighting| sighting.sight != Sight::Absent)
    }

    /// When something happens next by itself, RFC 3339.
    #[must_use]
    pub fn next(&self, decision: &Decision) -> Option<String> {
        let at = match &decision.because {
            Reason::NotReadyYet { at } => *at,
            Reason::BackingOff { until, .. } | Reason::Refused { until, .. } => *until,
            Reason::RetryWaits { until, .. } | Reason::Pressed { until, .. } => *until,
            Reason::Paused { until: Some(until), .. } | Reason::NotYet { until } => return Some(rfc3339(*until)),
            Reason::Scheduled { next } => return Some(rfc3339(next.effective)),
            _ => return None,
        };
        let ahead = u64::try_from(at.since(self.now.boot).as_nanos()).unwrap_or(u64::MAX);
        Some(rfc3339(crate::engine::Timestamp::from_nanos(self.now.wall.nanos().saturating_add(ahead))))
    }

    /// True when a controller would have something to do now or soon.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.plan.wake_at.is_some()
            || self.plan.wake_wall.is_some()
            || self.plan.decisions.iter().any(|decision| decision.action.is_some())
    }

    /// Words about what could not be seen; nothing when all was.
    #[must_use]
    pub fn gaps(&self) -> Option<String> {
        let partial = |coverage: &Coverage| match coverage {
            Coverage::Partial { why } => Some(why.to_string()),
            Coverage::Whole => None,
        };
        partial(&self.stored.coverage).or_else(|| partial(&self.observed.coverage))
    }
}

/// How much a decision says about its object. What is at work says more than when the next is due, and what is in the
/// way of everything says most.
fn weight(decision: &Decision) -> (u8, State) {
    let state = decision.state();
    let is_in_the_way = matches!(state, State::Held | State::NeedsConsent);
    // The end of a run is being written down, or is long since; what comes next, or is at work, says more.
    let is_over = matches!(decision.action, Some(Action::Finish(_))) || matches!(decision.because, Reason::Over { .. });
    (u8::from(state != State::Scheduled && !is_over) + u8::from(is_in_the_way), state)
}

/// How long ago a moment was, in one unit: `42s`, `3m`, `5h`, `12d`.
#[must_use]
pub fn age(at: crate::engine::Timestamp) -> String {
    age_of(at.until(clock::wall()))
}

/// The same for a span.
#[must_use]
pub fn age_of(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Why instances wait that could not be started: only a controller knows, since no record is left of it. Nothing when
/// none answers at once.
fn waiting(home: &Home) -> BTreeMap<String, String> {
    let asked = status_now(home).and_then(|mut status| status.get_mut("waiting").map(Value::take));
    asked.and_then(|waiting| serde_json::from_value(waiting).ok()).unwrap_or_default()
}

/// What a controller says of itself; nothing when none answers at once.
pub(super) fn status_now(home: &Home) -> Option<Value> {
    let soon = Some(Duration::from_secs(1));
    client::ask(&home.socket().ok()?, "controller.status", &json!({}), soon).ok()?
}

/// What a running controller knows of items; nothing when none answers at once.
fn asked_items(home: &Home) -> Option<Value> {
    let soon = Some(Duration::from_secs(1));
    client::ask(&home.socket().ok()?, "controller.items", &json!({}), soon).ok()?
}
