//! The language of the tables, read into the facts of one pass.
//!
//! ```text
//! want web [replicas 3] [rev B] [restart never] [from 1] [to 60] [reset 60] [giveup 5] [unproven|always|never-gives-up]
//!          [stop INT/5] [uid u2] [probed|delayed 5|told-by log|notify] [lively] [needs db[:started|ready|done]]
//!          [adopts] [each]
//! opaque web 'why'      deleted web [stop INT/5] [needs db] [ends-adopted]      desired partial 'why'
//! paused web by ann ['reason'] [until 90]             forgiven web-0 3      restart web-0 3
//! listing partial 'why'                               items jobs [a b] [gone c 8] | unreadable 'why'
//! sees web-0 running|spawning|starting|frozen|stopping|ending|lingering [#2] [rev A] [since 5] [tree 7 8]
//!            [no-policy] [policy INT/5] [told-by log|notify] [asked 3] [tree-asked 4] [untold]
//! sees web-0 absent|unreadable 'why' [tree-asked 4]   refused web-0 3 'why'
//! ready|live web-0 #2 pass|fail asked 5 ['what it said'] [passed-before]      found web-0
//! twin web-0 unlooked|none|one 55 [rev A]|many 55 56|unreadable 'why'
//! record web-0 #1 [rev A] [uid u1] [born 0] [open|exit 1|signal 9|lost|unhealthy 'why'|'not started']
//!              [at 5] [asked]
//!              [n 2] [deaths 2] [crashes 2] [proven] [boot old]
//! now 10
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use setpoint::engine::backoff::{Attempt, End, Exit, Streak};
use setpoint::engine::desired::{Overrides, Pause, Spec};
use setpoint::engine::observed::{Alive, Member, Phase, Refused};
use setpoint::engine::plan::Policy;
use setpoint::engine::{
    Backoff, BootId, BootTime, Cause, Coverage, Desired, Facts, InstanceId, Mutant, Now, Object, ObjectRef, Observed,
    ProcId, Revision, Sight, Sighting, Timestamp,
};

use super::fleet;
use super::words::Words;

/// The facts of one pass.
#[derive(Clone, Debug)]
pub struct Table {
    pub desired: Desired,
    pub observed: Observed,
    pub backoff: Backoff,
    pub now: Now,
}

impl Table {
    pub fn parse(text: &str) -> Table {
        let mut table = Table {
            desired: Desired {
                generation: 1,
                coverage: Coverage::Whole,
                objects: BTreeMap::new(),
                tombstones: BTreeMap::new(),
                frozen: None,
                is_draining: false,
            },
            observed: Observed::empty(),
            backoff: Backoff::default(),
            now: Now { wall: Timestamp::from_nanos(0), boot: BootTime::default(), boot_id: BootId::new("this") },
        };
        // What is said about a thing comes after the thing; beyond that, lines stand in any order.
        let lines = || text.lines().filter(|line| !line.trim().is_empty());
        lines().filter(|line| !is_about_another(line)).for_each(|line| table.read(line));
        lines().filter(|line| is_about_another(line)).for_each(|line| table.read(line));
        table
    }

    pub fn facts(&self) -> Facts<'_> {
        let Table { desired, observed, backoff, now } = self;
        Facts { desired, observed, backoff, now, mutant: Mutant::None }
    }

    fn read(&mut self, line: &str) {
        let mut words = Words::of(line);
        match words.word() {
            "want" => self.want(&mut words),
            "opaque" => {
                let id = words.object();
                let spec = Spec::Opaque { why: words.word().into() };
                self.put(id, "u1", spec, Revision { version: 1, hash: "A".into() });
            }
            "deleted" => self.deleted(&mut words),
            "desired" => self.desired.coverage = coverage(&mut words),
            "listing" => self.observed.coverage = coverage(&mut words),
            "paused" => self.pause(&mut words),
            "forgiven" => {
                let (id, number) = (words.instance(), words.number());
                self.amend(&id.object, |said| said.forgiven.extend([(id.cause.clone(), number)]));
            }
            "restart" => {
                let (id, number) = (words.instance(), words.number());
                self.amend(&id.object, |said| said.restart.extend([(id.cause.clone(), number)]));
            }
            "sees" => self.sees(&mut words),
            "refused" => {
                let (id, at, why) = (words.instance(), words.moment(), words.word().into());
                self.beside(id).refused = Some(Refused { at, why });
            }
            "ready" => self.evidence(&mut words, |health, evidence| health.ready = Some(evidence)),
            "live" => self.evidence(&mut words, |health, evidence| health.live = Some(evidence)),
            "found" => {
                let id = words.instance();
                self.beside(id).health.is_found = true;
            }
            "twin" => self.twin(&mut words),
            "items" => self.items(&mut words),
            "record" => self.record(&mut words),
            "now" => {
                self.now.boot = words.moment();
                self.now.wall = Timestamp::from_nanos(self.now.boot.nanos());
            }
            other => words.unknown(other),
        }
    }

    fn put(&mut self, id: ObjectRef, uid: &str, spec: Spec, revision: Revision) {
        let object = Object {
            id: id.clone(),
            uid: uid.into(),
            spec,
            revisions: vec![revision],
            work_generation: 1,
            overrides: Overrides::default(),
        };
        self.desired.objects.insert(id, Arc::new(object));
    }

    fn amend(&mut self, id: &ObjectRef, amend: impl FnOnce(&mut Overrides)) {
        let object = self.desired.objects.get_mut(id).expect("an object is wanted before anything is said about it");
        amend(&mut Arc::make_mut(object).overrides);
    }

    fn want(&mut self, words: &mut Words<'_>) {
        let id = words.object();
        let wanted = fleet::read(words);
        self.put(id, wanted.uid, Spec::Known(Arc::new(wanted.fleet)), wanted.revision);
    }

    fn pause(&mut self, words: &mut Words<'_>) {
        let id = words.object();
        let mut pause = Pause { by: "ann".into(), reason: None, until: None };
        while let Some(word) = words.next() {
            match word {
                "by" => pause.by = words.word().into(),
                "until" => pause.until = Some(Timestamp::from_nanos(words.moment().nanos())),
                reason => pause.reason = Some(reason.into()),
            }
        }
        self.amend(&id, |said| said.paused = Some(pause));
    }

    pub fn proc(&self, pid: u32) -> ProcId {
        ProcId { boot: self.now.boot_id.clone(), pid, started: 1 }
    }

    fn sees(&mut self, words: &mut Words<'_>) {
        let id = words.instance();
        let phase = match words.word() {
            "absent" => {
                let tree_asked = words.next().map(|_| words.moment());
                return self.see(id, Sighting { tree_asked, ..Sighting::of(Sight::Absent) });
            }
            "unreadable" => {
                let why = words.word().into();
                return self.see(id, Sighting::of(Sight::Unreadable { why }));
            }
            "spawning" => Phase::Spawning,
            "starting" => Phase::Starting,
            "running" => Phase::Running,
            "frozen" => Phase::Frozen,
            "stopping" => Phase::Stopping,
            "ending" => Phase::Ending,
            "lingering" => Phase::Lingering,
            other => words.unknown(other),
        };
        let pid = match &id.cause {
            Cause::Slot(slot) => 100 + slot,
            Cause::Named(_) => 99,
        };
        let mut alive = Alive {
            attempt: 1,
            revision: Revision { version: 1, hash: "A".into() },
            shim: self.proc(pid),
            payload: pid + 1000,
            since: BootTime::default(),
            phase,
            is_told: true,
            tree: [].into(),
        };
        let mut sighting = Sighting { policy: Some(Policy::DEFAULT), ..Sighting::of(Sight::Absent) };
        let mut tree = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "rev" => alive.revision = words.revision(),
                "since" => alive.since = words.moment(),
                "policy" => sighting.policy = Some(words.policy()),
                "no-policy" => sighting.policy = None,
                "untold" => alive.is_told = false,
                "told-by" => {
                    let told = words.told();
                    sighting.policy.get_or_insert(Policy::DEFAULT).told = told;
                }
                "asked" => sighting.stop_asked = Some(words.moment()),
                "tree-asked" => sighting.tree_asked = Some(words.moment()),
                "tree" => tree.push(Member { proc: self.proc(words.number()), name: "work".into() }),
                number => {
                    alive.attempt = number.trim_start_matches('#').parse().unwrap_or_else(|_| words.unknown(word))
                }
            }
        }
        alive.tree = tree.into();
        sighting.sight = Sight::Seen(alive);
        self.see(id, sighting);
    }

    fn see(&mut self, id: InstanceId, sighting: Sighting) {
        self.observed.sightings.insert(id, sighting);
    }

    /// The sighting of an instance, to add to it.
    pub fn beside(&mut self, id: InstanceId) -> &mut Sighting {
        self.observed.sightings.entry(id).or_insert_with(|| Sighting::of(Sight::Absent))
    }

    fn record(&mut self, words: &mut Words<'_>) {
        let id = words.instance();
        let mut attempt = Attempt {
            number: words.number(),
            uid: "u1".into(),
            revision: Revision { version: 1, hash: "A".into() },
            shim: self.proc(90),
            payload: 91,
            boot_id: BootId::new("this"),
            started: BootTime::default(),
            started_wall: Timestamp::default(),
            streak: Streak::default(),
            end: End::Open,
        };
        let (mut exit, mut ended, mut asked) = (None, BootTime::default(), false);
        while let Some(word) = words.next() {
            match word {
                "rev" => attempt.revision = words.revision(),
                "uid" => attempt.uid = words.word().into(),
                "born" => attempt.started = words.moment(),
                "boot" => attempt.boot_id = BootId::new(words.word()),
                "n" => attempt.streak.n = words.number(),
                "deaths" => attempt.streak.deaths = words.number(),
                "crashes" => attempt.streak.crashes = words.number(),
                "proven" => attempt.streak.proven = true,
                "open" => exit = None,
                "exit" => exit = Some(Exit::Code(words.number() as i32)),
                "signal" => exit = Some(Exit::Signal(words.number() as i32)),
                "lost" => exit = Some(Exit::Lost),
                "unhealthy" => exit = Some(Exit::Unhealthy(words.word().into())),
                "at" => ended = words.moment(),
                "asked" => asked = true,
                why => exit = Some(Exit::NotStarted(why.into())),
            }
        }
        if let Some(exit) = exit {
            attempt.end = End::Ended { exit, at: ended, asked };
        }
        self.backoff.0.insert(id, attempt);
    }
}

fn coverage(words: &mut Words<'_>) -> Coverage {
    match words.word() {
        "whole" => Coverage::Whole,
        "partial" => Coverage::Partial { why: words.word().into() },
        other => words.unknown(other),
    }
}

/// True when a line says more of what another line names.
fn is_about_another(line: &str) -> bool {
    const WORDS: &[&str] = &["paused", "forgiven", "restart", "refused", "ready", "live", "found", "twin"];
    line.split_whitespace().next().is_some_and(|word| WORDS.contains(&word))
}
