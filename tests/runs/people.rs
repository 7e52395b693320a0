//! What people write, and ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use setpoint::engine::desired::{Overrides, Pause, Spec, Tombstone};
use setpoint::engine::run::{Arises, At, Part, Times};
use setpoint::engine::schedule::{Quiet, Schedule, jitter_offset};
use setpoint::engine::{Coverage, Desired, Object, ObjectRef, Revision, Timestamp};

use super::kind::{self, Ends, NAMES};
use super::rng::Rng;
use super::zones;

/// One object as it was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    pub ends: Arc<Ends>,
    pub uid: Arc<str>,
    pub overrides: Overrides,
}

/// Everything people have said.
#[derive(Clone, Debug, Default)]
pub struct People {
    pub generation: u64,
    pub objects: [Option<Stored>; NAMES.len()],
    pub stones: BTreeMap<ObjectRef, Tombstone>,
    /// It never falls, over deletes neither.
    pub work_generations: [u64; NAMES.len()],
    pub frozen: Option<Pause>,
    pub is_draining: bool,
    pub is_partial: bool,
    uids: u64,
}

impl People {
    /// Writes an object; a new one gets a uid of its own.
    pub fn put(&mut self, index: usize, ends: Ends) {
        self.generation += 1;
        self.work_generations[index] += 1;
        self.uids += 1;
        self.stones.remove(kind::object(index));
        let known = self.objects[index].take();
        let uid = known.as_ref().map_or_else(|| format!("u{}", self.uids).into(), |stored| stored.uid.clone());
        let overrides = known.map(|stored| stored.overrides).unwrap_or_default();
        self.objects[index] = Some(Stored { ends: Arc::new(ends), uid, overrides });
    }

    pub fn delete(&mut self, index: usize) {
        self.generation += 1;
        if let Some(stored) = self.objects[index].take() {
            let policy = setpoint::engine::expand::Kind::policy(&*stored.ends);
            let (uid, needs) = (stored.uid, Vec::new());
            let stone = Tombstone { uid, generation: self.generation, policy, needs, ends_adopted: false };
            self.stones.insert(kind::object(index).clone(), stone);
        }
    }

    pub fn pause(&mut self, index: usize, until: Option<Timestamp>) {
        self.generation += 1;
        if let Some(stored) = &mut self.objects[index] {
            stored.overrides.paused = Some(Pause { by: "ann".into(), reason: None, until });
        }
    }

    pub fn resume(&mut self, index: usize) {
        self.generation += 1;
        if let Some(stored) = &mut self.objects[index] {
            stored.overrides.paused = None;
        }
    }

    /// The desired state as a controller reads it.
    pub fn read(&self) -> Desired {
        let object = |(index, stored): (usize, &Option<Stored>)| {
            let stored = stored.as_ref()?;
            let id = kind::object(index).clone();
            let object = Object {
                id: id.clone(),
                uid: stored.uid.clone(),
                spec: Spec::Known(stored.ends.clone()),
                revisions: vec![Revision { version: 1, hash: "r".into() }],
                work_generation: self.work_generations[index],
                overrides: stored.overrides.clone(),
            };
            Some((id, Arc::new(object)))
        };
        Desired {
            generation: self.generation,
            coverage: if self.is_partial { Coverage::Partial { why: "a file".into() } } else { Coverage::Whole },
            objects: self.objects.iter().enumerate().filter_map(object).collect(),
            tombstones: self.stones.clone(),
            frozen: self.frozen.clone(),
            is_draining: false,
        }
    }
}

/// What a stop of everything makes of it.
pub fn drain(desired: &mut Desired) {
    desired.is_draining = true;
    for object in desired.objects.values_mut() {
        let pause = Pause { by: "stop --all".into(), reason: None, until: None };
        Arc::make_mut(object).overrides.paused = Some(pause);
    }
}

/// The due times of all objects that have some, worked out as a controller does.
pub fn times(desired: &Desired) -> BTreeMap<ObjectRef, Arc<Times>> {
    let settings = setpoint::engine::run::order::settings(desired);
    let default = settings.and_then(|settings| settings.zone.clone()).unwrap_or_else(|| "UTC".into());
    let mut found = BTreeMap::new();
    for (id, object) in &desired.objects {
        let Spec::Known(kind) = &object.spec else { continue };
        let Some(rule) = kind.runs() else { continue };
        let empty = Arc::new(Schedule::default());
        let spread = jitter_offset("seed", id.as_str(), Duration::from_secs(60));
        let times = match &rule.arises {
            Arises::Times(times) => {
                let zone = times.zone.clone().unwrap_or_else(|| default.clone());
                Times {
                    key: format!("{} in {zone}", times.schedule).into(),
                    schedule: times.schedule.clone(),
                    zone: zones::zone(&zone).clone(),
                    offset: jitter_offset("seed", id.as_str(), times.jitter),
                    spread,
                    quiet: times.quiet.iter().filter_map(|quiet| windows(desired, quiet, &default)).collect(),
                    at: None,
                }
            }
            Arises::Once { at: Some(At::Instant(at)) } => Times {
                key: "at".into(),
                schedule: empty,
                zone: zones::zone("UTC").clone(),
                offset: Duration::ZERO,
                spread,
                quiet: Vec::new(),
                at: Some(*at),
            },
            Arises::Once { at: _ } | Arises::Asked | Arises::Messages(_) => continue,
        };
        found.insert(id.clone(), Arc::new(times));
    }
    found
}

fn windows(desired: &Desired, id: &ObjectRef, default: &Arc<str>) -> Option<Arc<Quiet>> {
    let Spec::Known(kind) = &desired.objects.get(id)?.spec else { return None };
    let Part::Quiet(rule) = kind.part() else { return None };
    let zone = rule.zone.as_ref().unwrap_or(default);
    Quiet::new(id.name(), &rule.windows, zones::zone(zone)).ok().map(Arc::new)
}

/// An object that is there, if any.
pub fn some(rng: &mut Rng, people: &People) -> Option<usize> {
    let there: Vec<usize> = (0..NAMES.len()).filter(|index| people.objects[*index].is_some()).collect();
    (!there.is_empty()).then(|| there[rng.index(there.len())])
}
