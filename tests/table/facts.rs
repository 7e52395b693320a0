//! The language of the tables, read into the facts of one pass.
//!
//! ```text
//! want web [replicas 3] [rev B] [restart never] [from 1] [to 60] [reset 60] [giveup 5] [unproven|always|never-gives-up]
//!          [stop INT/5] [uid u2]
//! opaque web 'why'      deleted web [stop INT/5]      desired partial 'why'
//! paused web by ann ['reason'] [until 90]             forgiven web-0 3      restart web-0 3
//! listing partial 'why'
//! sees web-0 running|spawning|starting|frozen|stopping|ending|lingering [#2] [rev A] [since 5] [tree 7 8]
//!            [policy none|INT/5] [asked 3] [tree-asked 4]
//! sees web-0 absent|unreadable 'why'                  refused web-0 3 'why'
//! record web-0 #1 [rev A] [uid u1] [born 0] [open|exit 1|signal 9|lost|'not started'] [at 5] [asked]
//!              [n 2] [deaths 2] [crashes 2] [proven] [boot old]
//! now 10
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use setpoint::engine::backoff::{Attempt, End, Exit, GiveUp, Streak};
use setpoint::engine::desired::{Overrides, Pause, Spec, Tombstone};
use setpoint::engine::expand::{Items, Kind, Restart, Up, Want};
use setpoint::engine::observed::{Alive, Member, Phase, Refused};
use setpoint::engine::plan::{Command, Launch, Policy};
use setpoint::engine::{
    Backoff, BackoffRule, BootId, BootTime, Cause, Coverage, Desired, Facts, InstanceId, Mutant, Now, Object,
    ObjectRef, Observed, ProcId, Revision, Sight, Sighting, Timestamp,
};

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
            },
            observed: Observed::empty(),
            backoff: Backoff::default(),
            now: Now { wall: Timestamp::from_nanos(0), boot: BootTime::default(), boot_id: BootId::new("this") },
        };
        text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| table.read(line));
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
            "deleted" => {
                let id = words.object();
                let policy = words.next().map_or(Policy::DEFAULT, |_| words.policy());
                self.desired.tombstones.insert(
                    id,
                    Tombstone { uid: "u1".into(), generation: 1, policy, needs: Vec::new(), ends_adopted: false },
                );
            }
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
                let sighting = self.observed.sightings.entry(id).or_insert_with(|| Sighting::of(Sight::Absent));
                sighting.refused = Some(Refused { at, why });
            }
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
        let (mut replicas, mut uid) = (1, "u1");
        let mut revision = Revision { version: 1, hash: "A".into() };
        let (mut policy, mut restart, mut backoff) = (Policy::DEFAULT, Restart::Always, BackoffRule::DEFAULT);
        while let Some(word) = words.next() {
            match word {
                "replicas" => replicas = words.number(),
                "rev" => revision = words.revision(),
                "uid" => uid = words.word(),
                "restart" => {
                    restart = match words.word() {
                        "always" => Restart::Always,
                        "on-failure" => Restart::OnFailure,
                        "never" => Restart::Never,
                        other => words.unknown(other),
                    }
                }
                "from" => backoff.from = words.span(),
                "to" => backoff.to = words.span(),
                "reset" => backoff.reset_after = words.span(),
                "giveup" => backoff.give_up_after = words.number(),
                "unproven" => backoff.give_up = GiveUp::Unproven,
                "always" => backoff.give_up = GiveUp::Always,
                "never-gives-up" => backoff.give_up = GiveUp::Never,
                "stop" => policy = words.policy(),
                other => words.unknown(other),
            }
        }
        let command = Command::Argv(vec!["work".to_owned()]);
        let launch = Arc::new(Launch::new(command, "/"));
        let fleet = Fleet {
            causes: (0..replicas).map(Cause::Slot).collect(),
            up: Up { policy, restart, backoff, ..Up::new(launch) },
        };
        self.put(id, uid, Spec::Known(Arc::new(fleet)), revision);
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

    fn proc(&self, pid: u32) -> ProcId {
        ProcId { boot: self.now.boot_id.clone(), pid, started: 1 }
    }

    fn sees(&mut self, words: &mut Words<'_>) {
        let id = words.instance();
        let phase = match words.word() {
            "absent" => return self.see(id, Sighting::of(Sight::Absent)),
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

/// Slot 0 to n-1 of one process.
#[derive(Debug)]
struct Fleet {
    causes: Vec<Cause>,
    up: Up,
}

impl Kind for Fleet {
    fn expand<'a>(&'a self, _: Option<&'a Items>, wants: &mut Vec<Want<'a>>) {
        wants.extend(self.causes.iter().map(|cause| Want { cause, up: &self.up, item: None }));
    }
    fn revision_input(&self) -> String {
        String::new()
    }
    fn policy(&self) -> Policy {
        self.up.policy.clone()
    }
}
