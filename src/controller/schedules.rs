//! Works out due times, each once.
//!
//! In: the desired state, zone data, the seed of the machine. Out: in each book what its due times follow from, and the
//! next of them. Not here: what becomes of a due time. The surprise: ten thousand schedules cost nothing until one of
//! them, or something it follows from, changes; only that one is worked out again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::engine::desired::Spec;
use crate::engine::run::{Arises, At, Book, Ledger, Part, Settings, Times, TimesRule, order, ticks};
use crate::engine::schedule::{Quiet, Schedule, Zone, jitter_offset};
use crate::engine::{Desired, Object, ObjectRef, Timestamp};
use crate::observe::zones::{self, Zones};

/// Catching up is spread over this.
const SPREAD: Duration = Duration::from_secs(60);

/// What was worked out, and from what.
#[derive(Debug)]
pub struct Schedules {
    zones: Zones,
    local: Arc<str>,
    seed: Arc<str>,
    known: BTreeMap<ObjectRef, Known>,
    /// How many schedules have been worked out so far.
    pub worked_out: u64,
}

/// The objects that one schedule follows from, as they were.
#[derive(Debug)]
struct Known {
    from: Vec<Arc<Object>>,
}

impl Schedules {
    /// Nothing worked out yet.
    #[must_use]
    pub fn new(seed: &str) -> Schedules {
        Schedules {
            zones: Zones::new(),
            local: zones::local().name.into(),
            seed: seed.into(),
            known: BTreeMap::new(),
            worked_out: 0,
        }
    }

    /// Works out what has changed.
    pub fn follow(&mut self, desired: &Desired, ledger: &mut Ledger) {
        self.known.retain(|id, _| desired.objects.contains_key(id));
        let settings = order::settings(desired).cloned().unwrap_or_default();
        let settings_object = settings_object(desired);
        for (id, object) in &desired.objects {
            let Some(needs) = Needs::of(object) else { continue };
            let mut from = vec![object.clone()];
            from.extend(settings_object.cloned());
            from.extend(needs.quiet.iter().filter_map(|quiet| desired.objects.get(quiet).cloned()));
            let is_same = |known: &Known| {
                known.from.len() == from.len() && known.from.iter().zip(&from).all(|(a, b)| Arc::ptr_eq(a, b))
            };
            if self.known.get(id).is_some_and(is_same) {
                continue;
            }
            self.worked_out += 1;
            let times = self.times(desired, id, &needs, &settings).map(Arc::new);
            self.known.insert(id.clone(), Known { from });
            let book = ledger.books.entry(id.clone()).or_default();
            book.times = Some(times);
            renew(book);
        }
    }

    /// Forgets everything when zone data has changed, so that it is worked out anew. True then.
    pub fn forget_if_zones_changed(&mut self) -> bool {
        let local: Arc<str> = zones::local().name.into();
        let has_changed = self.zones.has_changed() || local != self.local;
        if has_changed {
            self.zones = Zones::new();
            self.local = local;
            self.known.clear();
        }
        has_changed
    }

    fn times(
        &mut self,
        desired: &Desired,
        id: &ObjectRef,
        needs: &Needs<'_>,
        settings: &Settings,
    ) -> Result<Times, Arc<str>> {
        let zone = self.zone(needs.zone, settings)?;
        let seed = settings.jitter_seed.clone().unwrap_or_else(|| self.seed.clone());
        let (schedule, jitter) = needs.times.map_or_else(
            || (Arc::new(Schedule::default()), Duration::ZERO),
            |rule| (rule.schedule.clone(), rule.jitter),
        );
        let quiet = self.quiet(desired, needs, settings)?;
        let at = needs.at.map(|at| instant(at, &zone)).transpose()?;
        Ok(Times {
            key: key(&schedule, &zone),
            schedule,
            zone,
            offset: jitter_offset(&seed, id.name(), jitter),
            spread: jitter_offset(&seed, id.name(), SPREAD),
            quiet,
            at,
        })
    }

    fn zone(&mut self, said: Option<&Arc<str>>, settings: &Settings) -> Result<Zone, Arc<str>> {
        let name = said.or(settings.zone.as_ref()).unwrap_or(&self.local).clone();
        self.zones.get(&name).map_err(|error| error.to_string().into())
    }

    fn quiet(
        &mut self,
        desired: &Desired,
        needs: &Needs<'_>,
        settings: &Settings,
    ) -> Result<Vec<Arc<Quiet>>, Arc<str>> {
        let mut found = Vec::new();
        for name in needs.quiet {
            let object = desired.objects.get(name).ok_or_else(|| Arc::<str>::from(format!("there is no {name}")))?;
            let Spec::Known(kind) = &object.spec else { return Err(format!("{name} cannot be read").into()) };
            let Part::Quiet(rule) = kind.part() else { return Err(format!("{name} has no hours").into()) };
            let zone = self.zone(rule.zone.as_ref(), settings)?;
            let quiet = Quiet::new(name.name(), &rule.windows, &zone).map_err(|error| error.to_string())?;
            found.push(Arc::new(quiet));
        }
        Ok(found)
    }
}

/// What the due times of one object follow from.
struct Needs<'a> {
    times: Option<&'a TimesRule>,
    at: Option<&'a At>,
    zone: Option<&'a Arc<str>>,
    quiet: &'a [ObjectRef],
}

impl<'a> Needs<'a> {
    fn of(object: &'a Object) -> Option<Needs<'a>> {
        let Spec::Known(kind) = &object.spec else { return None };
        match &kind.runs()?.arises {
            Arises::Times(rule) => {
                Some(Needs { times: Some(rule), at: None, zone: rule.zone.as_ref(), quiet: &rule.quiet })
            }
            Arises::Once { at: Some(at) } => {
                let zone = match at {
                    At::Civil { zone, .. } => zone.as_ref(),
                    At::Instant(_) => None,
                };
                Some(Needs { times: None, at: Some(at), zone, quiet: &[] })
            }
            Arises::Once { at: None } | Arises::Asked | Arises::Messages(_) => None,
        }
    }
}

fn settings_object(desired: &Desired) -> Option<&Arc<Object>> {
    let first = ObjectRef::new("settings", "0").ok()?;
    desired.objects.range(first..).next().filter(|(id, _)| id.kind() == "settings").map(|(_, object)| object)
}

/// What makes a schedule another one: its text and its zone, not the jitter or the quiet hours.
fn key(schedule: &Schedule, zone: &Zone) -> Arc<str> {
    let hash = Sha256::new().chain_update(schedule.to_string()).chain_update([0]).chain_update(zone.name()).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The moment that a clock of the zone shows this; the first of two in autumn, the first after the gap in spring.
fn instant(at: &At, zone: &Zone) -> Result<Timestamp, Arc<str>> {
    let text = match at {
        At::Instant(at) => return Ok(*at),
        At::Civil { text, zone: _ } => text,
    };
    let wrong = || Arc::<str>::from(format!("{text} is no date and time"));
    let civil: jiff::civil::DateTime = text.parse().map_err(|_| wrong())?;
    zone.moment(civil).ok_or_else(wrong)
}

/// Works out the next due time of one book, after its cursor or its times have changed.
pub fn renew(book: &mut Book) {
    book.next = match (&book.times, &book.cursor) {
        (Some(Ok(times)), Some(cursor)) => ticks::next(times, cursor),
        (_, _) => None,
    };
}
