//! The one kind of a life: so many replicas of one process, and the nature of that process.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use setpoint::engine::backoff::{Exit, GiveUp};
use setpoint::engine::expand::{Items, Kind, Restart, Up, Want};
use setpoint::engine::plan::{Command, Launch, Policy, StopRule};
use setpoint::engine::{BackoffRule, Cause};

use super::names::SLOTS;
use super::rng::Rng;

/// The longest grace of a life.
pub const GRACE_MAX: Duration = Duration::from_secs(5);
/// The longest backoff of a life.
pub const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// The most deaths before giving up.
pub const GIVE_UP_MAX: u32 = 4;
/// What a dying nature lives at most.
pub const SHORT_LIFE_MAX: Duration = Duration::from_secs(4);

/// Slot 0 to n-1 of one process.
#[derive(Debug)]
pub struct Fleet {
    pub causes: Vec<Cause>,
    pub up: Up,
}

impl Fleet {
    pub fn new(replicas: usize, up: Up) -> Fleet {
        Fleet { causes: (0..replicas as u32).map(Cause::Slot).collect(), up }
    }
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

/// What a person may write into the manifest of a fleet.
#[derive(Clone, Debug)]
pub struct Draft {
    pub replicas: usize,
    pub revision: usize,
    pub restart: Restart,
    pub backoff: BackoffRule,
    pub policy: Policy,
}

static LAUNCH: LazyLock<Arc<Launch>> = LazyLock::new(|| {
    let command = Command::Argv(vec!["work".to_owned()]);
    Arc::new(Launch::new(command, "/"))
});

impl Draft {
    pub fn up(&self) -> Up {
        Up { policy: self.policy.clone(), restart: self.restart, backoff: self.backoff, ..Up::new(LAUNCH.clone()) }
    }

    pub fn random(rng: &mut Rng) -> Draft {
        Draft {
            replicas: rng.index(SLOTS) + 1,
            revision: rng.index(64),
            restart: random_restart(rng),
            backoff: random_backoff(rng),
            policy: random_policy(rng),
        }
    }
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
            clears_marker: !closes_lock && rng.chance(300),
        }
    }

    /// True when it stays up once it is left alone.
    pub fn is_steady(&self) -> bool {
        !self.missing && self.life.is_none()
    }
}
