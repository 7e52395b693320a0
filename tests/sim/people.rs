//! What people do to the desired state: apply, delete, recreate, pause, resume, restart; each one a new generation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use setpoint::engine::desired::{Overrides, Pause, Spec, Tombstone};
use setpoint::engine::plan::Policy;
use setpoint::engine::{Cause, Coverage, Desired, Object, Timestamp};

use super::disk::Folder;
use super::kind::{self, Draft, Fleet};
use super::names::{self, OBJECTS, SLOTS};
use super::others::Rules;
use super::world::World;

/// The longest pause that ends by itself.
pub const PAUSE_MAX: Duration = Duration::from_secs(40);

/// One object as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    pub uid: Arc<str>,
    pub draft: Draft,
    pub overrides: Overrides,
}

/// The chain of generations, its newest link, and what of it can be read.
#[derive(Debug, Default)]
pub struct People {
    pub objects: [Option<Stored>; OBJECTS],
    pub tombstones: [Option<Tombstone>; OBJECTS],
    pub generation: u64,
    uids: u32,
    /// Objects that cannot be read at the moment: the coverage is partial.
    pub unread: [bool; OBJECTS],
    /// Objects written by a version nobody here knows.
    pub opaque: [bool; OBJECTS],
}

impl People {
    /// The desired state as a controller reads it now.
    pub fn read(&self) -> Desired {
        let mut objects = BTreeMap::new();
        let mut tombstones = BTreeMap::new();
        for o in 0..OBJECTS {
            if let (Some(stored), false) = (&self.objects[o], self.unread[o]) {
                objects.insert(names::object(o).clone(), Arc::new(parse(o, stored, self.opaque[o])));
            }
            if let Some(stone) = &self.tombstones[o] {
                tombstones.insert(names::object(o).clone(), stone.clone());
            }
        }
        let is_whole = !self.unread.contains(&true);
        let coverage = if is_whole { Coverage::Whole } else { Coverage::Partial { why: "a damaged object".into() } };
        Desired { generation: self.generation, coverage, objects, tombstones, frozen: None, is_draining: false }
    }

    /// What each object that can be read asks, in the words of the machine.
    pub fn rules(&self) -> [Option<Rules>; OBJECTS] {
        std::array::from_fn(|o| {
            let stored = self.objects[o].as_ref().filter(|_| !self.unread[o] && !self.opaque[o])?;
            let draft = &stored.draft;
            Some(Rules {
                uid: stored.uid.clone(),
                revision: draft.revision,
                up: draft.up(),
                replicas: draft.replicas,
                ready: draft.ready,
                live: draft.live,
                each: draft.each,
                needs: draft.needs.clone(),
            })
        })
    }

    /// `apply`: a new object, or a changed one whose crashes so far are forgiven.
    pub fn put(&mut self, o: usize, draft: Draft, folders: &[Folder]) {
        self.generation += 1;
        let mut stored = self.objects[o].take().unwrap_or_else(|| {
            self.uids += 1;
            Stored { uid: format!("u{}", self.uids).into(), draft: draft.clone(), overrides: Overrides::default() }
        });
        stored.draft = draft;
        raise(&mut stored.overrides.forgiven, o, folders);
        self.tombstones[o] = None;
        self.objects[o] = Some(stored);
    }

    /// `delete`, perhaps with what somebody else started.
    pub fn remove(&mut self, o: usize, ends_adopted: bool) {
        if let Some(old) = self.objects[o].take() {
            self.generation += 1;
            let policy: Policy = old.draft.policy.clone();
            self.tombstones[o] = Some(Tombstone {
                uid: old.uid,
                generation: self.generation,
                policy,
                needs: old.draft.needs.iter().map(|(needed, _)| names::object(*needed).clone()).collect(),
                ends_adopted,
            });
        }
    }

    /// `pause`, `resume`, `restart`: changes what people said, and nothing else.
    pub fn amend(&mut self, o: usize, amend: impl FnOnce(&mut Overrides)) {
        if let Some(stored) = &mut self.objects[o] {
            self.generation += 1;
            amend(&mut stored.overrides);
        }
    }
}

fn parse(o: usize, stored: &Stored, is_opaque: bool) -> Object {
    let spec = if is_opaque {
        Spec::Opaque { why: "written by another version".into() }
    } else {
        Spec::Known(Arc::new(Fleet::new(&stored.draft)))
    };
    Object {
        id: names::object(o).clone(),
        uid: stored.uid.clone(),
        spec,
        revisions: vec![names::revision(1, stored.draft.revision)],
        work_generation: 1,
        overrides: stored.overrides.clone(),
    }
}

/// Numbers only grow.
fn raise(facts: &mut BTreeMap<Cause, u32>, o: usize, folders: &[Folder]) {
    for (instance, folder) in folders.iter().enumerate().skip(o * SLOTS).take(SLOTS) {
        let highest = folder.highest();
        if highest > 0 {
            let fact = facts.entry(names::slot(instance)).or_default();
            *fact = (*fact).max(highest);
        }
    }
}

impl World {
    /// One thing that a person does, or that happens to what they wrote.
    pub fn meddle(&mut self, people: &mut People) {
        let o = self.rng.index(OBJECTS);
        match (self.rng.below(11), people.objects[o].as_ref().map(|stored| stored.draft.clone())) {
            (_, None) => people.put(o, Draft::random(&mut self.rng, o), &self.folders),
            (0..=3, Some(draft)) => {
                let draft = self.edit(draft, o);
                people.put(o, draft, &self.folders);
            }
            (4, Some(_)) => people.remove(o, self.rng.chance(500)),
            (5 | 6, Some(_)) => {
                let length = self.rng.between(1, PAUSE_MAX.as_secs()) * super::world::SECOND;
                let until = self.rng.chance(700).then(|| Timestamp::from_nanos(self.wall + length));
                people.amend(o, |said| said.paused = Some(Pause { by: "ann".into(), reason: None, until }));
            }
            (7, Some(_)) => people.amend(o, |said| said.paused = None),
            (10, Some(_)) => self.stop_all(people),
            (8, Some(_)) => {
                let folders = &self.folders;
                people.amend(o, |said| {
                    raise(&mut said.restart, o, folders);
                    raise(&mut said.forgiven, o, folders);
                });
            }
            (_, Some(_)) if self.rng.chance(500) => people.unread[o] = !people.unread[o],
            (_, Some(_)) => people.opaque[o] = !people.opaque[o],
        }
        self.obey(people);
        self.tell(|| format!("generation {}: {:?}", people.generation, people.objects[o]));
        self.event |= self.rng.chance(800);
    }

    /// Everything is paused or deleted at once.
    fn stop_all(&mut self, people: &mut People) {
        let is_pause = self.rng.chance(600);
        for o in 0..OBJECTS {
            if is_pause {
                let pause = Pause { by: "ann".into(), reason: Some("all".into()), until: None };
                people.amend(o, |said| said.paused = Some(pause));
            } else {
                people.remove(o, false);
            }
        }
    }

    /// A change of one field.
    fn edit(&mut self, mut draft: Draft, o: usize) -> Draft {
        match self.rng.below(12) {
            0..=2 => draft.revision = self.rng.index(64),
            3 => draft.replicas = self.rng.index(SLOTS + 1),
            4 => draft.restart = kind::random_restart(&mut self.rng),
            5 => draft.policy = kind::random_policy(&mut self.rng),
            6 => draft.backoff = kind::random_backoff(&mut self.rng),
            7 => draft.ready = !draft.ready,
            8 => draft.live = !draft.live,
            9 => draft.needs = kind::random_needs(&mut self.rng, o),
            10 => draft.adopts = !draft.adopts,
            _ => draft.each = !draft.each,
        }
        draft.that_loads()
    }
}
