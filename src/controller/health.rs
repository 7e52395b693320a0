//! Has running instances asked how they are, and takes in what they say.
//!
//! In: what is desired, what was seen, and cards. Out: evidence beside the sightings, and the same for whoever asks.
//! Not here: asking ([`crate::probe`]) and judging (`engine`).
//! The surprise: an instance is asked only between its start and the moment it is told to stop; whatever comes later
//! belongs to nobody and is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::core::Core;
use super::report::rfc3339;
use crate::engine::desired::{RevisionMatch, Spec};
use crate::engine::expand::{Items, Kind, Want};
use crate::engine::observed::{Alive, Observed, Phase};
use crate::engine::probe::{Check, Evidence, Heartbeat, Probe, Readiness};
use crate::engine::{Desired, InstanceId, Object, Sight, Sighting};
use crate::home::Home;
use crate::observe::clock;
use crate::probe::card::Known;
use crate::probe::{Beat, Card, Prober, Tally, Target, Watched};

/// How many instances are told about at once.
const HEALTH_MAX: usize = 10_000;

/// Who is being asked.
#[derive(Debug)]
pub struct Questions {
    prober: Prober,
    /// The objects that have anything to ask.
    objects: Vec<Arc<Object>>,
    entries: BTreeMap<InstanceId, Entry>,
    /// Counts the passes, so that entries which one does not come by are noticed.
    round: u64,
}

/// One wanted instance that is asked something.
#[derive(Debug, Default)]
struct Entry {
    round: u64,
    watched: Option<(Arc<Target>, Watched)>,
    beat: Option<Beat>,
}

impl Questions {
    /// Nobody is asked.
    #[must_use]
    pub fn new(home: Home, tell: UnboundedSender<Arc<Card>>) -> Questions {
        Questions { prober: Prober::new(home, tell), objects: Vec::new(), entries: BTreeMap::new(), round: 0 }
    }

    /// Takes note of the objects that have anything to ask.
    pub fn choose(&mut self, desired: &Desired) {
        let has_any = |object: &&Arc<Object>| {
            let Spec::Known(kind) = &object.spec else { return false };
            let mut wants = Vec::new();
            kind.expand(None, &mut wants);
            kind.for_each().is_some() || wants.iter().any(|want| is_asked(want))
        };
        self.objects = desired.objects.values().filter(has_any).cloned().collect();
    }

    /// Asks those that run, and nobody else.
    fn follow(&mut self, observed: &Observed) -> std::io::Result<()> {
        self.round += 1;
        let round = self.round;
        let Questions { prober, objects, entries, .. } = self;
        let mut failed = Ok(());
        for object in objects {
            let Spec::Known(kind) = &object.spec else { continue };
            let mut wants = Vec::new();
            kind.expand(items(kind.as_ref(), object, observed), &mut wants);
            for want in wants.iter().filter(|want| is_asked(want)) {
                let id = InstanceId { object: object.id.clone(), cause: want.cause.clone() };
                let sighting = observed.sightings.get(&id);
                let is_outdated = askable(sighting)
                    .is_some_and(|(_, alive)| object.compare(&alive.revision) == RevisionMatch::Changed);
                let entry = entries.entry(id.clone()).or_default();
                entry.round = round;
                if let Err(error) = entry.follow(prober, id, want, sighting, is_outdated) {
                    failed = Err(error);
                }
            }
        }
        entries.retain(|_, entry| entry.round == round);
        failed
    }
}

fn is_asked(want: &Want<'_>) -> bool {
    let probes = &want.up.probes;
    probes.ready.is_some() || probes.live.is_some() || probes.heartbeat.is_some()
}

fn items<'a>(kind: &dyn Kind, object: &Object, observed: &'a Observed) -> Option<&'a Items> {
    kind.for_each()?;
    match observed.items.get(&object.id) {
        Some(Sight::Seen(items)) => Some(items),
        Some(Sight::Absent | Sight::Unreadable { .. }) | None => None,
    }
}

/// The process, if it can be asked anything.
fn askable(sighting: Option<&Sighting>) -> Option<(&Sighting, &Alive)> {
    let sighting = sighting.filter(|sighting| sighting.stop_asked.is_none())?;
    let Sight::Seen(alive) = &sighting.sight else { return None };
    match alive.phase {
        Phase::Running | Phase::Frozen => Some((sighting, alive)),
        Phase::Spawning | Phase::Starting | Phase::Stopping | Phase::Ending | Phase::Lingering => None,
    }
}

impl Entry {
    fn follow(
        &mut self,
        prober: &mut Prober,
        id: InstanceId,
        want: &Want<'_>,
        sighting: Option<&Sighting>,
        is_outdated: bool,
    ) -> std::io::Result<()> {
        match askable(sighting) {
            // What is to be replaced is asked what it was started with, or nothing: the new question may be one that it
            // cannot pass, and a roll would take that for a reason to replace everything at once.
            Some((_, alive)) if is_outdated => {
                self.watched = self.watched.take().filter(|(target, _)| target.attempt == alive.attempt);
            }
            Some((sighting, alive)) => self.ask(prober, &id, want, sighting, alive)?,
            None => self.watched = None,
        }
        self.remind(prober, &id, want.up.probes.heartbeat.as_ref(), sighting)
    }

    fn ask(
        &mut self,
        prober: &mut Prober,
        id: &InstanceId,
        want: &Want<'_>,
        sighting: &Sighting,
        alive: &Alive,
    ) -> std::io::Result<()> {
        if let Some((target, _)) = &self.watched
            && target.attempt == alive.attempt
            && target.shim == alive.shim
            && (Arc::ptr_eq(&target.probes, &want.up.probes) || target.probes == want.up.probes)
        {
            return Ok(());
        }
        let was_ready =
            sighting.health.ready.as_ref().is_some_and(|evidence| evidence.is_of(alive) && evidence.is_pass);
        let target = Target {
            id: id.clone(),
            attempt: alive.attempt,
            since: alive.since,
            shim: alive.shim.clone(),
            payload: alive.payload,
            probes: want.up.probes.clone(),
            launch: want.up.launch.clone(),
            item: want.item.cloned(),
            is_found: sighting.health.is_found || was_ready,
            surroundings: std::sync::OnceLock::new(),
        };
        let target = Arc::new(target);
        self.watched = Some((target.clone(), prober.watch(target)?));
        Ok(())
    }

    fn remind(
        &mut self,
        prober: &mut Prober,
        id: &InstanceId,
        rule: Option<&Heartbeat>,
        sighting: Option<&Sighting>,
    ) -> std::io::Result<()> {
        let Some(rule) = rule else {
            self.beat = None;
            return Ok(());
        };
        if self.beat.as_ref().is_none_or(|beat| beat.rule() != rule) {
            self.beat = Some(Beat::begin(prober, id, rule)?);
        }
        let (Some(beat), target) = (&self.beat, self.watched.as_ref().map(|(target, _)| target)) else {
            return Ok(());
        };
        let target = target.filter(|target| {
            // One that was ready once is reminded for as long as it runs.
            beat.aims_at() == Some(target.attempt) || sighting.is_some_and(|sighting| is_ready(target, sighting))
        });
        beat.aim(target.cloned());
        Ok(())
    }
}

fn is_ready(target: &Target, sighting: &Sighting) -> bool {
    let Sight::Seen(alive) = &sighting.sight else { return false };
    let health = &sighting.health;
    match target.probes.readiness() {
        // Sooner, a signal would find nobody who has learned to take it.
        Readiness::After(delay) => alive.since.after(delay) <= clock::boot(),
        Readiness::Probed if is_told(target) => alive.is_told,
        Readiness::Probed => match &health.ready {
            Some(evidence) if evidence.is_of(alive) => evidence.is_pass,
            Some(_) | None => health.is_found,
        },
    }
}

/// Its shim says whether it is ready.
fn is_told(target: &Target) -> bool {
    let check = target.probes.ready.as_ref().map(|probe| &probe.check);
    matches!(check, Some(Check::Log(_) | Check::Notify))
}

impl Core {
    /// What runs when a controller comes keeps the benefit of the doubt until it has been asked.
    pub(super) fn keep_benefit(&mut self) {
        self.observed.give_benefit();
    }

    /// Has those asked that run, and nobody else.
    pub(super) fn ask_those_that_run(&mut self) {
        if let Err(error) = self.questions.follow(&self.observed) {
            self.tell_once(format!("probes cannot be run: {error}"));
        }
    }

    /// Takes in what stands on a card.
    pub fn hear(&mut self, card: &Card) {
        let known = card.take();
        let Some((_, alive)) = askable(self.observed.sightings.get(&card.id)) else { return };
        if alive.attempt != card.attempt {
            return;
        }
        let is_failing = known.live.as_ref().is_some_and(|evidence| !evidence.is_pass);
        // What its shim has told, and whether somebody stopped it, stands in the process table.
        if is_failing || !alive.is_told || alive.phase == Phase::Frozen {
            self.look_once(&card.id);
        }
        let Some(sighting) = self.observed.sightings.get_mut(&card.id) else { return };
        if matches!(&sighting.sight, Sight::Seen(alive) if alive.attempt == card.attempt) {
            (sighting.health.ready, sighting.health.live) = (known.ready, known.live);
        }
    }

    /// What is known of the health of everything that is asked, for the socket.
    #[must_use]
    pub fn health(&self) -> Value {
        let told = self.questions.entries.iter().take(HEALTH_MAX);
        let instances: serde_json::Map<String, Value> =
            told.map(|(id, entry)| (id.to_string(), self.health_of(id, entry))).collect();
        json!({ "instances": instances })
    }

    fn health_of(&self, id: &InstanceId, entry: &Entry) -> Value {
        let sighting = self.observed.sightings.get(id);
        let health = sighting.map(|sighting| sighting.health.clone()).unwrap_or_default();
        let known = entry.watched.as_ref().map(|(_, watched)| watched.card.known()).unwrap_or_default();
        let probes = entry.watched.as_ref().map(|(target, _)| target.probes.clone()).unwrap_or_default();
        let Known { ready_said, live_said, .. } = known;
        let is_told = entry.watched.as_ref().is_some_and(|(target, _)| is_told(target));
        // What its shim was told stands in the process table.
        let told = askable(sighting).filter(|_| is_told);
        let told = told.map(|(_, alive)| json!({ "pass": alive.is_told, "passed": alive.is_told }));
        json!({
            "attempt": entry.watched.as_ref().map(|(target, _)| target.attempt),
            "found": health.is_found,
            "ready": told.unwrap_or_else(|| side(probes.ready.as_ref(), health.ready.as_ref(), ready_said)),
            "live": side(probes.live.as_ref(), health.live.as_ref(), live_said),
            "heartbeat": entry.beat.as_ref().map(|beat| beats(&beat.tally())),
        })
    }
}

fn side(probe: Option<&Probe>, evidence: Option<&Evidence>, last: Option<Arc<str>>) -> Value {
    if probe.is_none() {
        return Value::Null;
    }
    json!({
        "pass": evidence.map(|evidence| evidence.is_pass),
        "passed": evidence.is_some_and(|evidence| evidence.has_passed),
        "askedAt": evidence.map(|evidence| evidence.asked_at.nanos()),
        "said": evidence.map(|evidence| &*evidence.said),
        "last": last.as_deref(),
    })
}

fn beats(tally: &Tally) -> Value {
    let failure = tally.last_failure.as_ref().map(|(at, why)| json!({ "at": rfc3339(*at), "said": &**why }));
    json!({
        "count": tally.count,
        "failed": tally.failed,
        "skipped": tally.skipped,
        "began": tally.began.map(rfc3339),
        "ended": tally.ended.map(rfc3339),
        "lastFailure": failure,
    })
}
