//! What has to do with others: needs and the order of stops, processes that somebody else started, items.
//!
//! What is checked here is what the machine itself saw, and shares nothing with the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use setpoint::engine::desired::Overrides;
use setpoint::engine::expand::{Item, Items, Until, Up};
use setpoint::engine::observed::{Adopted, Member, Twin};
use setpoint::engine::{BootTime, Coverage, Desired, Observed, Reason, Sight, Timestamp};

use super::controller::Memory;
use super::look::MOMENT;
use super::names::{self, INSTANCES, OBJECTS, SLOTS, STRAY};
use super::shim::Stage;
use super::truth::Rule;
use super::world::{HostMutant, Role, SECOND, World};

/// What the desired state asks of one object, in the words of the machine.
#[derive(Clone, Debug)]
pub struct Rules {
    pub uid: Arc<str>,
    pub revision: usize,
    pub up: Up,
    pub replicas: usize,
    pub ready: bool,
    pub live: bool,
    pub each: bool,
    pub needs: Vec<(usize, Until)>,
}

/// How far each object was at a look: started, ready, usable, done.
pub type Met = [[bool; 4]; OBJECTS];

pub fn level(until: Until) -> usize {
    match until {
        Until::Started => 0,
        Until::Ready => 1,
        Until::Usable => 2,
        Until::Done => 3,
    }
}

/// What was so when a plan was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Then {
    pub wall: Timestamp,
    pub met: Met,
    /// Of which objects something was seen.
    pub seen: [bool; OBJECTS],
    /// Which items had been missing for long enough.
    pub gone: [bool; INSTANCES],
}

impl Then {
    pub fn new(world: &World, observed: &Observed) -> Then {
        let mut then = Then { wall: Timestamp::from_nanos(world.wall), met: world.met, ..Then::default() };
        for (id, sighting) in &observed.sightings {
            let instance = names::index(id);
            if instance < STRAY && matches!(sighting.sight, Sight::Seen(_)) {
                then.seen[instance / SLOTS] = true;
            }
        }
        for (instance, gone) in then.gone.iter_mut().enumerate() {
            *gone = world.truth.missed[instance].is_some_and(|missed| missed + 2 * SECOND <= world.now);
        }
        then
    }
}

/// Which items there are, and whose listing is broken.
#[derive(Debug, Default)]
pub struct Shelf {
    pub there: [bool; INSTANCES],
    pub broken: [bool; OBJECTS],
}

static ITEM: LazyLock<Item> = LazyLock::new(|| Item { text: "/items/a".into(), stem: "a".into() });

impl World {
    /// True when the desired state wants this very instance.
    pub fn is_wanted(&self, instance: usize) -> bool {
        let rules = self.rules.get(instance / SLOTS).and_then(Option::as_ref);
        rules.is_some_and(
            |rules| {
                if rules.each { self.shelf.there[instance] } else { instance % SLOTS < rules.replicas }
            },
        )
    }

    /// What the desired state asks of an instance, wanted at the moment or not.
    pub fn up_of(&self, instance: usize) -> Option<&Up> {
        self.rules.get(instance / SLOTS)?.as_ref().map(|rules| &rules.up)
    }

    /// Lists the items of every object that has some, and remembers since when each has been missed.
    pub fn list_items(
        &mut self,
        memory: &mut [Memory; INSTANCES],
    ) -> BTreeMap<setpoint::engine::ObjectRef, Sight<Items>> {
        let mut listings = BTreeMap::new();
        for o in 0..OBJECTS {
            let has_items = self.rules[o].as_ref().is_some_and(|rules| rules.each);
            let is_listed = has_items && !self.shelf.broken[o];
            let mut items = Items::default();
            for (instance, memory) in memory.iter_mut().enumerate().skip(o * SLOTS).take(SLOTS) {
                let (missed, truth) = (&mut memory.missed, &mut self.truth.missed[instance]);
                if !is_listed || self.shelf.there[instance] {
                    (*missed, *truth) = (None, None);
                } else {
                    truth.get_or_insert(self.now);
                    let at = *missed.get_or_insert(BootTime::from_nanos(self.now));
                    items.gone.insert(names::slot(instance), at);
                }
                if is_listed && self.shelf.there[instance] {
                    items.listed.insert(names::slot(instance), ITEM.clone());
                }
            }
            let id = names::object(o).clone();
            if is_listed {
                listings.insert(id, Sight::Seen(items));
            } else if has_items && self.rng.chance(700) {
                listings.insert(id, Sight::Unreadable { why: "the folder cannot be read".into() });
            }
        }
        listings
    }

    /// True when processes of somebody else may count as instances of this object, or are to be ended.
    pub fn seeks_twins(&self, o: usize) -> bool {
        let adopts = |rules: &Rules| rules.up.adopt.is_some();
        let stone = self.desired.tombstones.get(names::object(o));
        self.rules.get(o).and_then(Option::as_ref).is_some_and(adopts) || stone.is_some_and(|stone| stone.ends_adopted)
    }

    /// What a look makes of those that could be it.
    pub fn twin_of(&self, instance: usize, found: &[Member], is_whole: bool) -> Twin {
        match found {
            _ if !self.seeks_twins(instance / SLOTS) => Twin::Unlooked,
            _ if !is_whole => Twin::Unreadable { why: "the table could not be read to its end".into() },
            [] => Twin::None,
            [one] => {
                let known = self.adopted[instance].as_ref().filter(|(proc, _)| *proc == one.proc);
                let revision = known.map(|(_, revision)| revision.clone());
                Twin::One(Adopted { member: one.clone(), revision })
            }
            many => Twin::Many(many.into()),
        }
    }

    /// The look an executor takes right before a start: somebody may have been quicker.
    pub fn is_taken(&self, instance: usize) -> bool {
        let adopts = self.up_of(instance).is_some_and(|up| up.adopt.is_some());
        adopts && self.mutant != HostMutant::NoSecondLook && self.has_twin(instance)
    }

    pub fn has_twin(&self, instance: usize) -> bool {
        self.procs.iter().any(|p| p.twin == Some(instance))
    }

    /// Remembers how far each object is at this moment, beside what is remembered already.
    pub fn note_met(&mut self) {
        let mut mains: [Option<u32>; INSTANCES] = [None; INSTANCES];
        let mut twins = [0; INSTANCES];
        for proc in &self.procs {
            match (&proc.role, proc.of, proc.twin) {
                (Role::Payload, Some(instance), _) => mains[instance] = Some(proc.attempt),
                // A shim that has not noticed the end yet says that it runs.
                (Role::Shim(shim), Some(instance), _) if shim.stage == Stage::Ready => {
                    mains[instance] = Some(proc.attempt);
                }
                (Role::Stranger, _, Some(instance)) => twins[instance] += 1,
                _ => {}
            }
        }
        for o in 0..OBJECTS {
            let Some(rules) = &self.rules[o] else { continue };
            let is_blind = rules.each && self.shelf.broken[o];
            let wanted = || (o * SLOTS..(o + 1) * SLOTS).filter(|instance| self.is_wanted(*instance));
            if is_blind || wanted().next().is_none() {
                continue;
            }
            // Of two, nobody can say which.
            let is_twin = |i: usize| twins[i] == 1 && rules.up.adopt.is_some();
            let started = wanted().all(|i| mains[i].is_some() || is_twin(i));
            let ready = wanted().all(|i| is_twin(i) || mains[i].is_some_and(|main| self.is_ready(i, main, rules)));
            let done = wanted().all(|i| {
                self.truth.last[i].as_ref().is_some_and(|last| {
                    last.is_ok && last.uid == rules.uid && last.revision == rules.revision && last.boots == self.boots
                })
            });
            for (known, is_so) in
                self.met[o].iter_mut().zip([started, ready, if rules.ready { ready } else { started }, done])
            {
                *known |= is_so;
            }
        }
    }

    fn is_ready(&self, instance: usize, attempt: u32, rules: &Rules) -> bool {
        if rules.ready {
            return self.truth.passed[instance] == Some(attempt);
        }
        let last = self.truth.last[instance].as_ref();
        last.is_some_and(|last| last.started + SECOND <= self.now + 2 * MOMENT)
    }

    /// Nothing is started before what it needs.
    pub fn check_needs(&mut self, instance: usize, met: &Met) {
        let Some(rules) = &self.rules[instance / SLOTS] else { return };
        if let Some((o, until)) = rules.needs.iter().find(|(o, until)| !met[*o][level(*until)]) {
            let what = format!("{} before {} was {until:?}", names::id(instance), names::object(*o));
            self.truth.break_rule(Rule::NeedsFirst, || what);
        }
    }

    /// Nothing is stopped before what needs it, when both are to stop; and nothing for an item that was there.
    pub fn check_stop(&mut self, instance: usize, because: &Reason, then: &Then) {
        let o = instance / SLOTS;
        if matches!(because, Reason::Deleted | Reason::Paused { .. }) {
            let needs_it = |d: &usize| needs(&self.desired, &self.rules, *d).contains(&o);
            let mut dependents = (0..OBJECTS).filter(|d| then.seen[*d] && is_told(&self.desired, *d, then.wall));
            if let Some(d) = dependents.find(needs_it) {
                let what = || format!("{} before {}", names::id(instance), names::object(d));
                self.truth.break_rule(Rule::StopOrder, what);
            }
        }
        let has_items = self.rules.get(o).and_then(Option::as_ref).is_some_and(|rules| rules.each);
        let is_for_item = matches!(because, Reason::ItemGone { .. } | Reason::ScaledDown);
        if has_items && is_for_item && !then.gone[instance] {
            self.truth.break_rule(Rule::ItemThere, || names::id(instance).to_string());
        }
    }

    /// Nobody is ended for an answer that is not its own.
    pub fn check_judged(&mut self, instance: usize, attempt: u32) {
        let failed = self.truth.failed[instance];
        let born = self.truth.last[instance].as_ref().filter(|last| last.number == attempt).map(|last| last.started);
        let is_proven = failed.is_some_and(|(of, at)| of == attempt && born.is_none_or(|born| born <= at));
        if !is_proven {
            let what = || format!("{} attempt {attempt}: {failed:?}", names::id(instance));
            self.truth.break_rule(Rule::Judged, what);
        }
    }

    /// A person asked for it to be ended.
    pub fn is_condemned(&self, instance: usize) -> bool {
        let object = names::object(instance / SLOTS);
        let stone = self.desired.tombstones.get(object).filter(|_| !self.desired.objects.contains_key(object));
        stone.is_some_and(|stone| stone.ends_adopted)
    }
}

fn is_paused(said: &Overrides, wall: Timestamp) -> bool {
    said.paused.as_ref().is_some_and(|pause| pause.until.is_none_or(|until| until > wall))
}

/// To be stopped, by a person's word.
fn is_told(desired: &Desired, o: usize, wall: Timestamp) -> bool {
    match desired.objects.get(names::object(o)) {
        Some(object) => is_paused(&object.overrides, wall),
        None => desired.coverage == Coverage::Whole && desired.tombstones.contains_key(names::object(o)),
    }
}

fn needs(desired: &Desired, rules: &[Option<Rules>; OBJECTS], o: usize) -> Vec<usize> {
    let of_stone = || desired.tombstones.get(names::object(o)).map(|stone| stone.needs.as_slice()).unwrap_or_default();
    let index = |needed| (0..OBJECTS).find(|other| names::object(*other) == needed);
    match &rules[o] {
        Some(rules) => rules.needs.iter().map(|(needed, _)| *needed).collect(),
        None if desired.objects.contains_key(names::object(o)) => Vec::new(),
        None => of_stone().iter().filter_map(index).collect(),
    }
}
