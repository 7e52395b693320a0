//! Keeps what was seen up to date, one instance at a time where that is enough.
//!
//! In: an end, an answer, a doubt, or a minute gone by. Out: sightings and last attempts. Not here: deciding.
//! The surprise: whenever one look cannot tell, the instance is put among the doubts and looked at again with a
//! listing of all processes, a little later each time.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::core::{Core, RELIST};
use super::watch::Sign;
use crate::engine::observed::{Phase, Refused};
use crate::engine::{BootTime, Coverage, InstanceId, Now, Observed, Sight, Sighting};
use crate::execute::handoff;
use crate::execute::signal;
use crate::observe::records::{self, Read};
use crate::observe::{Listing, Look, Table, look, look_at};
use crate::record::answer::{self, Answer, Stage};

/// The first wait before a doubt is looked at again; doubled each time up to [`RELIST`].
const DOUBT: Duration = Duration::from_millis(50);

/// How soon a listing is repeated that was not whole.
const PARTIAL_AGAIN: Duration = Duration::from_secs(1);

/// How many processes of a shimless tree are watched for their end.
const TREE_WATCHED_MAX: usize = 64;

impl Core {
    pub(super) fn cx(&self) -> Look<'_> {
        Look { home: &self.home, clock: &self.clock, table: &self.table }
    }

    /// Looks at every process and every record.
    pub(super) fn look_everywhere(&mut self) {
        let listing = self.table.list(&|_| false);
        match records::instances(&self.home) {
            Ok(ids) => {
                self.is_unlisted = false;
                self.look_by(&listing, ids, false);
            }
            Err(error) => {
                let why = format!("the records cannot be listed: {error}");
                self.tell_once(why.clone());
                self.observed.coverage = Coverage::Partial { why: why.into() };
                // Until they have been listed once, nobody knows which instances there are.
                self.is_unlisted = true;
            }
        }
        self.note_change();
        self.looked();
    }

    fn looked(&mut self) {
        let wait = if self.observed.coverage == Coverage::Whole { RELIST } else { PARTIAL_AGAIN };
        self.relist_at = crate::observe::clock::boot().after(wait);
        self.looks += 1;
    }

    /// Looks at what may have changed unnoticed: processes that no pidfd watches, and instances without one.
    pub(super) fn relist(&mut self) {
        if self.books.is_to_be_pruned(crate::observe::clock::boot()) {
            self.prune();
        }
        if self.schedules.forget_if_zones_changed() {
            tracing::info!("zone data has changed, so due times are worked out anew");
            self.follow_runs();
            self.note_change();
        }
        let mut pinned = BTreeSet::new();
        let mut settled = BTreeSet::new();
        for (id, sighting) in &self.observed.sightings {
            match &sighting.sight {
                // The payload's number cannot be reused while its shim lives, which a pidfd watches.
                Sight::Seen(alive) if self.watch.has(id, &alive.shim) => {
                    pinned.extend([alive.shim.pid, alive.payload]);
                    settled.insert(id.clone());
                }
                // Without a shim, or unwatched: it is looked at, so every process of it has to be listed. One that
                // was left out would seem gone, and a second copy would start beside it.
                Sight::Seen(_) | Sight::Absent | Sight::Unreadable { .. } => {}
            }
        }
        let listing = self.table.list(&|pid| pinned.contains(&pid));
        let known = self.backoff.0.keys().chain(self.observed.sightings.keys());
        let ids: BTreeSet<InstanceId> =
            known.filter(|id| !settled.contains(*id) && !self.starts.has(id)).cloned().collect();
        self.look_by(&listing, ids.into_iter().collect(), false);
        self.starts.reap();
        self.looked();
    }

    /// Looks with a listing of all processes at instances that a single look cannot judge.
    fn look_closely(&mut self, ids: Vec<InstanceId>) {
        let listing = self.table.list(&|_| false);
        self.look_by(&listing, ids, true);
    }

    fn look_by(&mut self, listing: &Listing, ids: Vec<InstanceId>, want_trees: bool) {
        let (mut seen, last) = look(self.cx(), listing, ids.clone(), want_trees);
        self.is_changed |= self.observed.coverage != seen.coverage;
        self.observed.coverage = seen.coverage.clone();
        self.is_changed |= last.0.iter().any(|(id, attempt)| self.backoff.0.get(id) != Some(attempt));
        self.backoff.0.extend(last.0);
        let asked: BTreeSet<&InstanceId> = ids.iter().collect();
        let others: Vec<InstanceId> = seen.sightings.keys().filter(|id| !asked.contains(id)).cloned().collect();
        for id in ids.iter().chain(&others) {
            if self.starts.has(id) || (!asked.contains(id) && self.is_watched(id)) {
                continue;
            }
            let sighting = seen.sightings.remove(id).unwrap_or(Sighting::of(Sight::Absent));
            let before = self.observed.sightings.get(id).cloned();
            self.take_in(id, sighting);
            self.is_changed |= before.as_ref() != self.observed.sightings.get(id);
        }
    }

    fn is_watched(&self, id: &InstanceId) -> bool {
        match self.observed.sightings.get(id).map(|s| &s.sight) {
            Some(Sight::Seen(alive)) => self.watch.has(id, &alive.shim),
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => false,
        }
    }

    /// Merges a fresh sighting with what only this controller knows.
    fn take_in(&mut self, id: &InstanceId, mut sighting: Sighting) {
        let attempt = |sighting: &Sighting| match &sighting.sight {
            Sight::Seen(alive) => Some(alive.attempt),
            Sight::Absent | Sight::Unreadable { .. } => None,
        };
        if let Some(before) = self.observed.sightings.get(id) {
            if attempt(before) == attempt(&sighting) {
                (sighting.stop_asked, sighting.tree_asked) = (before.stop_asked, before.tree_asked);
                sighting.health = before.health.clone();
            }
            if sighting.sight == Sight::Absent {
                sighting.refused = before.refused.clone();
            }
        }
        if let Sight::Seen(alive) = &sighting.sight
            && alive.phase == Phase::Stopping
        {
            // Asked by whomever, perhaps a controller that has died since: a shim that hangs now is not waited for.
            sighting.stop_asked.get_or_insert(self.clock.now().boot);
        }
        match &sighting.sight {
            Sight::Unreadable { .. } => self.doubt(id),
            // Nothing tells when it gets on, so it is looked at until it has.
            Sight::Seen(alive) if matches!(alive.phase, Phase::Spawning | Phase::Starting) => self.doubt(id),
            Sight::Seen(_) => {
                self.doubts.remove(id);
            }
            Sight::Absent => {
                self.doubts.remove(id);
                if sighting.refused.is_none() && sighting.tree_asked.is_none() {
                    self.observed.sightings.remove(id);
                    return;
                }
            }
        }
        self.observed.sightings.insert(id.clone(), sighting);
        self.pin(id);
    }

    /// Watches for the end of what was seen.
    fn pin(&mut self, id: &InstanceId) {
        let Some(Sight::Seen(alive)) = self.observed.sightings.get(id).map(|s| s.sight.clone()) else { return };
        let procs = match alive.phase {
            Phase::Spawning => return,
            Phase::Lingering => alive.tree.iter().take(TREE_WATCHED_MAX).map(|m| m.proc.clone()).collect(),
            Phase::Starting | Phase::Running | Phase::Frozen | Phase::Stopping | Phase::Ending => vec![alive.shim],
        };
        for proc in procs {
            if self.watch.has(id, &proc) {
                continue;
            }
            match signal::pin(&self.table, &proc) {
                Ok(Some(fd)) => {
                    if let Err(error) = self.watch.add_process(id, &proc, fd) {
                        self.tell_once(format!("{id} cannot be watched: {error}"));
                    }
                }
                // It ended between the look and the pin.
                Ok(None) => self.doubt(id),
                Err(error) => self.tell_once(format!("{id} cannot be watched: {error}")),
            }
        }
    }

    /// Has this instance looked at again soon. A look that is due already is never put off: a kill repeated every
    /// second would otherwise keep it away for ever.
    pub(super) fn doubt(&mut self, id: &InstanceId) {
        let now = crate::observe::clock::boot();
        let (due, tries) = self.doubts.get(id).copied().unwrap_or_default();
        if due > now {
            return;
        }
        let wait = DOUBT.saturating_mul(1 << tries.min(10)).min(RELIST);
        self.doubts.insert(id.clone(), (now.after(wait), tries + 1));
    }

    /// Looks again where a doubt is due, and where a shim was asked to stop and may have begun.
    pub(super) fn look_again(&mut self, now: &Now) {
        for id in self.starts.overdue(now.boot) {
            tracing::warn!(instance = %id, "its start has not been answered");
            self.starter.server.forget();
            // Let go of before it is looked at: a shim that has no lock yet finds that nobody waits for it, and goes.
            if !records::is_locked(&self.home.records(&id)).unwrap_or(true) {
                self.watch.forget_answer(&id);
            }
            self.doubts.insert(id, (BootTime::default(), 0));
        }
        // A set, because one may be both; looked at twice in one go, it would seem absent the second time.
        let mut closely: BTreeSet<InstanceId> =
            self.doubts.iter().filter(|(_, (at, _))| *at <= now.boot).map(|(id, _)| id.clone()).collect();
        let late: Vec<InstanceId> = self.late(now).collect();
        for id in late {
            self.look_once(&id);
            if self.late(now).any(|late| late == id) {
                closely.insert(id);
            }
        }
        if !closely.is_empty() {
            self.look_closely(closely.into_iter().collect());
        }
        if now.boot >= self.relist_at {
            if self.is_unlisted {
                self.look_everywhere()
            } else {
                self.relist()
            }
            self.books.look();
        }
    }

    fn late<'a>(&'a self, now: &'a Now) -> impl Iterator<Item = InstanceId> + 'a {
        let is_late = |sighting: &Sighting| {
            let Sight::Seen(alive) = &sighting.sight else { return false };
            let begun = match alive.phase {
                Phase::Starting | Phase::Running | Phase::Frozen => Duration::ZERO,
                // What has begun takes its grace.
                Phase::Stopping => sighting.policy.as_ref().map_or(Duration::ZERO, |policy| policy.stop.grace),
                Phase::Spawning | Phase::Ending | Phase::Lingering => return false,
            };
            let asked = sighting.stop_asked.map(|at| at.after(begun).after(crate::engine::live::STOP_BEGINS_WITHIN));
            asked.is_some_and(|at| at <= now.boot)
        };
        self.observed.sightings.iter().filter(move |(_, s)| is_late(s)).map(|(id, _)| id.clone())
    }

    /// Looks at one instance by its record; leaves a doubt where that is not enough. False then.
    pub(super) fn look_once(&mut self, id: &InstanceId) -> bool {
        let number = match self.observed.sightings.get(id).map(|s| &s.sight) {
            Some(Sight::Seen(alive)) => alive.attempt,
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => self.backoff.0.get(id).map_or(0, |a| a.number),
        };
        match look_at(self.cx(), id, number) {
            Some((sighting, Read { attempt, .. })) => {
                self.backoff.0.insert(id.clone(), attempt);
                self.take_in(id, sighting);
                true
            }
            None => {
                self.doubts.insert(id.clone(), (BootTime::default(), 0));
                false
            }
        }
    }

    /// Takes in what became readable. True when something needs a decision at once.
    pub fn notice(&mut self) -> bool {
        let mut is_urgent = false;
        loop {
            let taken = self.watch.take();
            if taken.is_empty() {
                return is_urgent;
            }
            self.note_change();
            for (sign, fd) in taken {
                match sign {
                    Sign::Ended(id, _) => {
                        self.look_once(&id);
                        handoff::tidy(&self.home, &id);
                        is_urgent = true;
                    }
                    Sign::Answered(id) => is_urgent |= !self.answered(&id, fd),
                    Sign::Gathered(id, number) => self.starts.gathered(&id, number),
                }
            }
        }
    }

    /// True when it was answered by a start that went well.
    fn answered(&mut self, id: &InstanceId, pipe: OwnedFd) -> bool {
        let mut bytes = [0; answer::LEN_MAX];
        let length = rustix::io::read(&pipe, &mut bytes).unwrap_or(0);
        // Its descriptor is for the process to be watched in its place.
        drop(pipe);
        let answer = answer::parse(bytes.get(..length).unwrap_or_default());
        self.starts.landed(id);
        match answer {
            Some(Answer::Started { .. }) => {
                self.look_once(id);
                if self.doubts.contains_key(id) {
                    // What is over before it could be watched has left its end in the record.
                    self.look_once(id);
                }
                return self.observed.sightings.get(id).is_some_and(|s| matches!(s.sight, Sight::Seen(_)))
                    && !self.doubts.contains_key(id);
            }
            Some(Answer::Failed { stage: Stage::Home | Stage::Spec | Stage::Fork, text, errno: _ }) => {
                self.refuse(id, &text);
            }
            // The attempt is recorded as never executed, and counts as a crash.
            Some(Answer::Failed {
                stage: Stage::Dir | Stage::Exec | Stage::Limits | Stage::User | Stage::Refused,
                ..
            }) => _ = self.look_once(id),
            // Somebody else holds the lock, or the answer was lost: neither an attempt nor a crash.
            Some(Answer::Busy | Answer::Taken) | None => {
                self.observed.sightings.insert(id.clone(), unknown());
                self.doubt(id);
            }
        }
        false
    }

    /// A start came to nothing and left no record.
    pub(super) fn refuse(&mut self, id: &InstanceId, why: &str) {
        let refused = Refused { at: crate::observe::clock::boot(), why: why.into() };
        let sighting = Sighting { refused: Some(refused), ..Sighting::of(Sight::Absent) };
        self.observed.sightings.insert(id.clone(), sighting);
    }
}

fn unknown() -> Sighting {
    Sighting::of(Sight::Unreadable { why: "its start was not answered; looking again".into() })
}

/// How often a look without memory is repeated while something cannot be told.
const LOOKS_MAX: usize = 3;

/// What a look without memory finds: for verbs that work without a controller.
#[must_use]
pub fn fresh(home: &crate::home::Home, clock: &crate::observe::Clock) -> (Observed, crate::engine::Backoff) {
    let table = crate::observe::ProcTable;
    let mut tries = 1;
    loop {
        let mut listing = table.list(&|_| false);
        let ids = records::instances(home).unwrap_or_else(|error| {
            listing.coverage = Coverage::Partial { why: format!("the records cannot be listed: {error}").into() };
            Vec::new()
        });
        let (observed, backoff) = look(Look { home, clock, table: &table }, &listing, ids, true);
        let is_unknown = |sighting: &Sighting| matches!(sighting.sight, Sight::Unreadable { .. });
        if tries == LOOKS_MAX || !observed.sightings.values().any(is_unknown) {
            return (observed, backoff);
        }
        // A shim that has just been executed holds its lock some milliseconds before it can be told by its name.
        tries += 1;
        std::thread::sleep(DOUBT);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;
    use crate::home::Home;
    use crate::observe::ProcTable;
    use crate::record::attempt::{self, Birth, Streak};

    /// A record whose shim has gone, and whose payload is this process.
    fn orphan(home: &Home, id: &InstanceId, shim_pid: u32, payload: u32) {
        let payload = ProcTable.process(payload).expect("it lives");
        let birth = Birth {
            home: home.id().to_owned(),
            instance: id.to_string(),
            uid: "5f1c".to_owned(),
            attempt: 1,
            revision: "1:9f86d081884c7d65".to_owned(),
            generation: 1,
            boot_id: crate::observe::Clock::new().expect("there is a clock").boot_id().as_str().to_owned(),
            shim_pid,
            shim_started: payload.started,
            payload_pid: payload.pid,
            payload_started: payload.started,
            started_boot_ns: 1,
            started_wall_ns: 1,
            streak: Streak { n: 0, deaths: 0, crashes: 0, proven: false },
            log_file: 1,
            log_offset: 0,
        };
        let folder = home.records(id);
        std::fs::create_dir_all(&folder).expect("it can be made");
        attempt::create(std::fs::File::open(&folder).expect("it is there"), &birth).expect("it can be written");
    }

    #[test]
    fn what_a_killed_shim_left_is_still_seen_by_a_relist() {
        let folder = tempfile::tempdir().expect("there is room");
        let home = Home::open(Some(&folder.path().join("home"))).expect("it can be made");
        let id: InstanceId = "service/web/0".parse().expect("it is a name");
        let mut gone = Command::new("true").spawn().expect("it can be started");
        let shim = gone.id();
        gone.wait().expect("it ends");
        // It holds no lock and carries no marker: the listing alone can tell that it is there.
        let mut payload = Command::new("sleep").arg("1000").process_group(0).spawn().expect("it can be started");
        orphan(&home, &id, shim, payload.id());
        let (tell, _cards) = tokio::sync::mpsc::unbounded_channel();
        let mut core = Core::new(home, 1024, tell, tokio::sync::mpsc::unbounded_channel().0).expect("it can look");
        let phase = |core: &Core| match core.observed.sightings.get(&id).map(|s| s.sight.clone()) {
            Some(Sight::Seen(alive)) => Some((alive.phase, alive.tree.len())),
            Some(Sight::Absent | Sight::Unreadable { .. }) | None => None,
        };
        let first = phase(&core);
        core.relist();
        let second = phase(&core);
        payload.kill().expect("it is ours");
        payload.wait().expect("it ends");
        assert_eq!((first, second), (Some((Phase::Lingering, 1)), Some((Phase::Lingering, 1))));
    }
}
