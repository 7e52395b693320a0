//! The one kind of a life: so many replicas of one process, or one for each item, and the nature of that process.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use setpoint::engine::backoff::{Exit, GiveUp};
use setpoint::engine::expand::{ForEach, Items, Kind, Need, Restart, Until, Up, Want};
use setpoint::engine::plan::{Command, Launch, Policy, StopRule};
use setpoint::engine::probe::{Check, Probe, Probes};
use setpoint::engine::{BackoffRule, Cause};

use super::names::{self, OBJECTS, SLOTS};
use super::probes::READY_MAX;
use super::rng::Rng;

/// The longest grace of a life.
pub const GRACE_MAX: Duration = Duration::from_secs(5);
/// The longest backoff of a life.
pub const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// The most deaths before giving up.
pub const GIVE_UP_MAX: u32 = 4;
/// What a dying nature lives at most.
pub const SHORT_LIFE_MAX: Duration = Duration::from_secs(4);

/// Slot 0 to n-1 of one process, or one for each item.
#[derive(Debug)]
pub struct Fleet {
    pub causes: Vec<Cause>,
    pub up: Up,
    pub needs: Vec<Need>,
    pub for_each: Option<ForEach>,
}

impl Fleet {
    pub fn new(draft: &Draft) -> Fleet {
        let need = |(o, until): &(usize, Until)| Need { object: names::object(*o).clone(), until: *until };
        Fleet {
            causes: (0..draft.replicas as u32).map(Cause::Slot).collect(),
            up: draft.up(),
            needs: draft.needs.iter().map(need).collect(),
            for_each: draft.each.then(|| ForEach::Glob("/items/*".into())),
        }
    }
}

impl Kind for Fleet {
    fn expand<'a>(&'a self, items: Option<&'a Items>, wants: &mut Vec<Want<'a>>) {
        let up = &self.up;
        match (&self.for_each, items) {
            (None, _) => wants.extend(self.causes.iter().map(|cause| Want { cause, up, item: None })),
            (Some(_), Some(items)) => {
                wants.extend(items.listed.iter().map(|(cause, item)| Want { cause, up, item: Some(item) }));
            }
            (Some(_), None) => {}
        }
    }
    fn needs(&self) -> &[Need] {
        &self.needs
    }
    fn for_each(&self) -> Option<&ForEach> {
        self.for_each.as_ref()
    }
    fn revision_input(&self) -> String {
        String::new()
    }
    fn policy(&self) -> Policy {
        self.up.policy.clone()
    }
}

/// What a person may write into the manifest of a fleet.
#[derive(Clone, Debug)]
pub struct Draft {
    pub replicas: usize,
    pub revision: usize,
    pub restart: Restart,
    pub backoff: BackoffRule,
    pub policy: Policy,
    pub ready: bool,
    pub live: bool,
    /// Objects before it in the order of needs, which has no circles.
    pub needs: Vec<(usize, Until)>,
    pub adopts: bool,
    pub each: bool,
}

/// Without and with a readiness probe, each without and with a liveness probe.
static PROBES: LazyLock<[Arc<Probes>; 4]> = LazyLock::new(|| {
    let probe = |port| {
        let (check, second) = (Check::Tcp { host: "localhost".into(), port }, Duration::from_secs(1));
        Probe { check, period: second, timeout: second, failure: 1, success: 1, startup: Duration::ZERO }
    };
    let probes = |ready: bool, live: bool| {
        Arc::new(Probes { ready: ready.then(|| probe(80)), live: live.then(|| probe(81)), heartbeat: None })
    };
    [probes(false, false), probes(false, true), probes(true, false), probes(true, true)]
});

static PATTERN: LazyLock<Arc<str>> = LazyLock::new(|| "^work$".into());

static LAUNCH: LazyLock<Arc<Launch>> = LazyLock::new(|| {
    let command = Command::Argv(vec!["work".to_owned()]);
    Arc::new(Launch::new(command, "/"))
});

impl Draft {
    pub fn up(&self) -> Up {
        Up {
            policy: self.policy.clone(),
            restart: self.restart,
            backoff: self.backoff,
            probes: PROBES[usize::from(self.ready) * 2 + usize::from(self.live)].clone(),
            adopt: self.adopts.then(|| PATTERN.clone()),
            ..Up::new(LAUNCH.clone())
        }
    }

    /// A manifest of the object `o`, about processes alone.
    pub fn plain(rng: &mut Rng) -> Draft {
        Draft {
            replicas: rng.index(SLOTS) + 1,
            revision: rng.index(64),
            restart: random_restart(rng),
            backoff: random_backoff(rng),
            policy: random_policy(rng),
            ready: false,
            live: false,
            needs: Vec::new(),
            adopts: false,
            each: false,
        }
    }

    /// A manifest of the object `o`, with everything it may have to do with others.
    pub fn random(rng: &mut Rng, o: usize) -> Draft {
        let (ready, live, adopts, each) = (rng.chance(350), rng.chance(200), rng.chance(150), rng.chance(200));
        let draft = Draft { ready, live, adopts, each, needs: random_needs(rng, o), ..Draft::plain(rng) };
        draft.that_loads()
    }

    /// A process that somebody else started can count as one replica only.
    pub fn that_loads(mut self) -> Draft {
        if self.adopts && !self.each {
            self.replicas = self.replicas.min(1);
        }
        self
    }
}

/// Needs go one way round only: `a` may need `c`, and `b` may need both.
pub fn random_needs(rng: &mut Rng, o: usize) -> Vec<(usize, Until)> {
    let untils = [Until::Usable, Until::Usable, Until::Started, Until::Ready, Until::Done];
    let before = |other: usize| (other + 1) % OBJECTS < (o + 1) % OBJECTS;
    let mut needs = Vec::new();
    for other in (0..OBJECTS).filter(|other| before(*other)) {
        if rng.chance(250) {
            needs.push((other, rng.pick(&untils)));
        }
    }
    needs
}

pub fn random_restart(rng: &mut Rng) -> Restart {
    rng.pick(&[Restart::Always, Restart::Always, Restart::OnFailure, Restart::Never])
}

pub fn random_policy(rng: &mut Rng) -> Policy {
    let signal = rng.pick(&[StopRule::TERM, 2]);
    let grace = rng.pick(&[Duration::from_millis(200), Duration::from_secs(1), GRACE_MAX]);
    Policy { stop: StopRule { signal, grace }, ..Policy::DEFAULT }
}

pub fn random_backoff(rng: &mut Rng) -> BackoffRule {
    BackoffRule {
        from: rng.pick(&[Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)]),
        factor_milli: rng.pick(&[1000, 1500, 2000]),
        to: rng.pick(&[Duration::from_secs(2), BACKOFF_MAX]),
        reset_after: rng.pick(&[Duration::from_secs(3), Duration::from_secs(10)]),
        give_up_after: rng.pick(&[0, 2, GIVE_UP_MAX]),
        give_up: rng.pick(&[GiveUp::Unproven, GiveUp::Always, GiveUp::Never]),
    }
}

/// How a process of one revision behaves.
#[derive(Clone, Debug)]
pub struct Nature {
    /// Cannot be executed at all.
    pub missing: bool,
    /// Ends by itself after at most this long.
    pub life: Option<Duration>,
    /// How it ends by itself.
    pub exit: Exit,
    /// Ignores the stop signal.
    pub deaf: bool,
    /// How many processes it starts.
    pub children: usize,
    /// Its children close the lock they inherited; such children keep the marker.
    pub closes_lock: bool,
    /// Can be used after so long, or never.
    pub ready_after: Option<Duration>,
    /// Stops working after so long.
    pub hangs_after: Option<Duration>,
    /// Its children clear their environment; such children keep the lock.
    pub clears_marker: bool,
}

impl Nature {
    pub fn random(rng: &mut Rng) -> Nature {
        let is_short = rng.chance(300);
        let closes_lock = rng.chance(300);
        Nature {
            missing: rng.chance(60),
            life: is_short.then(|| Duration::from_millis(rng.between(1, SHORT_LIFE_MAX.as_millis() as u64))),
            exit: if rng.chance(400) { Exit::Code(0) } else { Exit::Code(1) },
            deaf: rng.chance(200),
            children: rng.index(3),
            closes_lock,
            ready_after: (!rng.chance(150)).then(|| Duration::from_nanos(rng.pick(&[0, 0, READY_MAX / 5, READY_MAX]))),
            hangs_after: rng.chance(150).then(|| Duration::from_millis(rng.between(0, 4000))),
            clears_marker: !closes_lock && rng.chance(300),
        }
    }

    /// True when it stays up once it is left alone.
    pub fn is_steady(&self, draft: &Draft) -> bool {
        !self.missing && self.life.is_none() && !(draft.live && self.hangs_after.is_some())
    }

    /// True when it can be used at some time.
    pub fn is_usable(&self, draft: &Draft) -> bool {
        !draft.ready || self.ready_after.is_some()
    }
}
