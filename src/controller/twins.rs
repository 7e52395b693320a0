//! Keeps up to date which processes of somebody else count as instances.
//!
//! In: what is desired, and sightings without a process of ours. Out: the twin of each. Not here: finding them
//! ([`crate::observe::twins`]), deciding about them.
//! The surprise: an answer is thrown away whenever the instance is looked at, and found anew before the next decision;
//! so nothing is started on what was so a minute ago, and a home without such rules pays nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::core::{Core, RELIST};
use super::starts::{Ready, Start};
use crate::engine::desired::Spec;
use crate::engine::expand::Items;
use crate::engine::observed::{Member, Twin};
use crate::engine::{BootTime, Coverage, Desired, InstanceId, Now, ObjectRef, Observed, Sight, Sighting};
use crate::execute::signal;
use crate::home::Home;
use crate::observe::twins::{Finder, Rule, find_recorded};
use crate::observe::{Look, Table, records};

/// The first wait before what could not be told is looked at again; doubled each time up to [`RELIST`].
const AGAIN: Duration = Duration::from_millis(100);

/// How often a process that ends while it is found is looked for anew at once.
const TRIES_MAX: usize = 3;

/// What is known beside the sightings.
#[derive(Debug, Default)]
pub struct Twins {
    finder: Finder,
    rules: BTreeMap<InstanceId, Rule>,
    /// Instances of removed objects whose process is to be ended although it is somebody else's.
    endings: BTreeSet<InstanceId>,
    /// When to look again at what could not be told, and how often that was tried.
    again: Option<(BootTime, u32)>,
}

impl Core {
    /// Takes in that other instances are wanted.
    pub(super) fn rules_changed(&mut self) {
        self.twins.rules = rules(&self.desired, &self.observed.items);
        self.twins.finder.keep(&self.twins.rules);
        self.twins.endings = endings(&self.home, &self.desired);
        let twins = &self.twins;
        self.observed.sightings.retain(|id, sighting| {
            let is_wanted = twins.rules.contains_key(id) || twins.endings.contains(id);
            sighting.sight != Sight::Absent || sighting.refused.is_some() || is_wanted
        });
        self.forget_twins(|_| true);
    }

    /// Has these looked for anew.
    fn forget_twins(&mut self, is_meant: impl Fn(&Twin) -> bool) {
        for sighting in self.observed.sightings.values_mut().filter(|sighting| is_meant(&sighting.twin)) {
            sighting.twin = Twin::Unlooked;
        }
    }

    /// Looks for processes of somebody else wherever a decision will need to know.
    pub(super) fn look_for_twins(&mut self, now: &Now) {
        if self.twins.rules.is_empty() && self.twins.endings.is_empty() {
            return;
        }
        if self.twins.again.is_some_and(|(due, _)| due <= now.boot) {
            self.forget_twins(|twin| matches!(twin, Twin::Unreadable { .. }));
        }
        for _ in 0..TRIES_MAX {
            let sought = self.sought();
            if sought.is_empty() {
                break;
            }
            for (id, twin) in self.find(&sought) {
                self.place(&id, twin);
            }
            for id in self.twins.endings.clone() {
                if sought.contains(&id) {
                    let twin = find_recorded(self.cx(), &id);
                    self.place(&id, twin);
                }
            }
        }
        let is_unread = |sighting: &Sighting| matches!(sighting.twin, Twin::Unreadable { .. });
        self.twins.again = match (self.observed.sightings.values().any(is_unread), self.twins.again) {
            (false, _) => None,
            (true, Some((due, tries))) if due > now.boot => Some((due, tries)),
            (true, before) => {
                let tries = before.map_or(0, |(_, tries)| tries);
                let wait = AGAIN.saturating_mul(1 << tries.min(10)).min(RELIST);
                Some((now.boot.after(wait), tries + 1))
            }
        };
    }

    /// When to look again by itself.
    pub(super) fn twins_due(&self) -> Option<BootTime> {
        self.twins.again.map(|(due, _)| due)
    }

    /// Instances without a process of ours of which nobody knows whether they have one of somebody else.
    fn sought(&self) -> BTreeSet<InstanceId> {
        // What was not listed may be there all the same.
        let is_whole = self.observed.coverage == Coverage::Whole;
        let is_sought = |id: &&InstanceId| match self.observed.sightings.get(*id) {
            Some(sighting) => sighting.sight == Sight::Absent && sighting.twin == Twin::Unlooked,
            None => is_whole,
        };
        self.twins.rules.keys().chain(&self.twins.endings).filter(is_sought).cloned().collect()
    }

    fn find(&mut self, ids: &BTreeSet<InstanceId>) -> Vec<(InstanceId, Twin)> {
        let rules: Vec<&Rule> = ids.iter().filter_map(|id| self.twins.rules.get(id)).collect();
        if rules.is_empty() {
            return Vec::new();
        }
        let listing = self.table.list(&|_| false);
        let cx = Look { home: &self.home, clock: &self.clock, table: &self.table };
        self.twins.finder.find(cx, &listing, &rules)
    }

    fn place(&mut self, id: &InstanceId, twin: Twin) {
        let is_ending = self.twins.endings.contains(id);
        if is_ending && !matches!(twin, Twin::One(_)) {
            self.twins.endings.remove(id);
            self.observed.sightings.remove(id);
            return;
        }
        let members: Vec<Member> = match &twin {
            Twin::One(adopted) => vec![adopted.member.clone()],
            Twin::Many(members) => members.to_vec(),
            Twin::Unlooked | Twin::None | Twin::Unreadable { .. } => Vec::new(),
        };
        let sighting = self.observed.sightings.entry(id.clone()).or_insert_with(|| Sighting::of(Sight::Absent));
        sighting.twin = twin;
        if !is_ending {
            sighting.tree_asked = None;
        }
        for member in members {
            self.pin_twin(id, &member);
        }
    }

    /// Watches for the end of a process that counts.
    fn pin_twin(&mut self, id: &InstanceId, member: &Member) {
        if self.watch.has(id, &member.proc) {
            return;
        }
        match signal::pin(&self.table, &member.proc) {
            Ok(Some(fd)) => {
                if let Err(error) = self.watch.add_process(id, &member.proc, fd) {
                    self.tell_once(format!("{id} cannot be watched: {error}"));
                }
            }
            // It ended since it was found.
            Ok(None) => {
                if let Some(sighting) = self.observed.sightings.get_mut(id) {
                    sighting.twin = Twin::Unlooked;
                }
            }
            Err(error) => self.tell_once(format!("{id} cannot be watched: {error}")),
        }
    }

    /// The starts that may go on: those beside which nobody has started the same since they were decided.
    pub(super) fn still_alone(&mut self, starts: Vec<(Start, Ready)>, now: &Now) -> Vec<(Start, Ready)> {
        let ids: BTreeSet<InstanceId> = starts.iter().map(|(start, _)| start.id.clone()).collect();
        let found: BTreeMap<InstanceId, Twin> = self.find(&ids).into_iter().collect();
        let is_alone = |(start, _): &(Start, Ready)| found.get(&start.id).is_none_or(|twin| *twin == Twin::None);
        let (alone, others): (Vec<_>, Vec<_>) = starts.into_iter().partition(is_alone);
        for (Start { id, .. }, _) in others {
            tracing::info!(instance = %id, "not started: a process that could be it has just appeared");
            self.observed.sightings.remove(&id);
            self.doubts.insert(id, (now.boot, 0));
        }
        alone
    }
}

/// The rule of every wanted instance that has one.
#[must_use]
pub fn rules(desired: &Desired, items: &BTreeMap<ObjectRef, Sight<Items>>) -> BTreeMap<InstanceId, Rule> {
    let (mut rules, mut wants) = (BTreeMap::new(), Vec::new());
    for object in desired.objects.values() {
        let Spec::Known(kind) = &object.spec else { continue };
        let items = match items.get(&object.id) {
            Some(Sight::Seen(items)) => Some(items),
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => None,
        };
        wants.clear();
        kind.expand(items, &mut wants);
        for want in &wants {
            let Some(pattern) = &want.up.adopt else { continue };
            let id = InstanceId { object: object.id.clone(), cause: want.cause.clone() };
            rules.insert(id.clone(), Rule::new(id, pattern, want.item));
        }
    }
    rules
}

/// Every instance of objects that were removed together with processes of somebody else.
#[must_use]
pub fn endings(home: &Home, desired: &Desired) -> BTreeSet<InstanceId> {
    let removed = desired.tombstones.iter().filter(|(_, stone)| stone.ends_adopted);
    removed.flat_map(|(id, _)| records::instances_of(home, id).unwrap_or_default()).collect()
}

/// Adds to a look without memory who else could be what is wanted, and does not run.
pub fn add(cx: Look<'_>, desired: &Desired, observed: &mut Observed) {
    let rules = rules(desired, &observed.items);
    let endings = endings(cx.home, desired);
    if observed.coverage != Coverage::Whole || (rules.is_empty() && endings.is_empty()) {
        return;
    }
    let is_absent = |id: &InstanceId| observed.sightings.get(id).is_none_or(|sighting| sighting.sight == Sight::Absent);
    let sought: Vec<&Rule> = rules.values().filter(|rule| is_absent(&rule.id)).collect();
    let listing = if sought.is_empty() { None } else { Some(cx.table.list(&|_| false)) };
    let mut found = listing.map_or_else(Vec::new, |listing| Finder::default().find(cx, &listing, &sought));
    found.extend(endings.into_iter().filter(is_absent).map(|id| (id.clone(), find_recorded(cx, &id))));
    for (id, twin) in found {
        observed.sightings.entry(id).or_insert_with(|| Sighting::of(Sight::Absent)).twin = twin;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use super::*;
    use crate::engine::backoff::Streak;
    use crate::engine::plan::{self, Launch, Policy, Spawn};

    fn start(id: &InstanceId) -> (Start, Ready) {
        let launch = Launch::new(plan::Command::Line("true".to_owned()), "/");
        let spawn = Spawn {
            attempt: 1,
            uid: "5f1c".into(),
            revision: "1:9f86d081884c7d65".parse().expect("a revision"),
            streak: Streak::default(),
            launch: Arc::new(launch),
            policy: Policy::DEFAULT,
        };
        (Start { id: id.clone(), spawn: Box::new(spawn), generation: 1 }, Err("for a test".to_owned()))
    }

    #[test]
    fn a_start_is_dropped_when_its_twin_has_come_since_it_was_decided() {
        let folder = tempfile::tempdir().expect("there is room");
        let home = Home::open(Some(&folder.path().join("home"))).expect("it can be made");
        let (telling, _cards) = tokio::sync::mpsc::unbounded_channel();
        let mut core = Core::new(home, 1024, telling, tokio::sync::mpsc::unbounded_channel().0).expect("it can look");
        let id: InstanceId = "service/w/0".parse().expect("a name");
        let file = folder.path().join("file").display().to_string();
        let pattern: Arc<str> = format!("^(?:tail\\x00-F\\x00{})$", file.replace('.', "\\.")).into();
        core.twins.rules.insert(id.clone(), Rule::new(id.clone(), &pattern, None));
        let now = core.clock.now();
        let count = |core: &mut Core| core.still_alone(vec![start(&id)], &now).len();
        let before = count(&mut core);
        let mut twin =
            Command::new("tail").args(["-F", &file]).stderr(std::process::Stdio::null()).spawn().expect("tail");
        let beside = count(&mut core);
        let is_doubted = core.doubts.contains_key(&id);
        twin.kill().expect("it is ours");
        twin.wait().expect("it ends");
        assert_eq!((before, beside, is_doubted, count(&mut core)), (1, 0, true, 1));
    }
}
