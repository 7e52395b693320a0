//! The objects of a life: mailboxes whose rules are the same for a whole life, and whose limits people change.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use glob::Pattern;
use serde_json::json;
use setpoint::engine::desired::{Overrides, Pause, Spec, Tombstone};
use setpoint::engine::expand::{Items, Kind, Need, Want};
use setpoint::engine::plan::{Command, Launch, Policy, StopRule};
use setpoint::engine::queue::{Match, QueueRule, Sort, Sorting, Test, Then};
use setpoint::engine::run::pressure::Figures;
use setpoint::engine::run::{Arises, History, Overlap, Params, Part, Retry, Risk, RunRule, Settings, Work};
use setpoint::engine::{Coverage, Desired, Object, ObjectRef, Revision, Timestamp};

use super::rng::Rng;

/// What each life has, by kind and name.
pub const NAMES: &[&str] = &["mailbox/a", "mailbox/b", "settings/main"];
/// So many of them are mailboxes.
pub const BOXES: usize = 2;

static REFS: LazyLock<Vec<ObjectRef>> =
    LazyLock::new(|| NAMES.iter().map(|name| name.parse().expect("a plain name")).collect());
static LAUNCH: LazyLock<Arc<Launch>> =
    LazyLock::new(|| Arc::new(Launch::new(Command::Argv(vec!["work".to_owned()]), "/")));

pub fn object(index: usize) -> &'static ObjectRef {
    &REFS[index]
}

pub fn index(object: &ObjectRef) -> usize {
    REFS.iter().position(|known| known == object).expect("the engine names no object of its own")
}

/// What a message is like: its subject says it, and the rules go by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Done at the first attempt that is left alone.
    Good,
    /// Fails now and then.
    Flaky,
    /// Wrong itself, and its command says so.
    Poison,
    /// Fails every time.
    Hopeless,
    /// Dropped on purpose.
    Dropped,
    /// Answered without any work.
    Answered,
    /// No rule is for it.
    Unknown,
}

impl Nature {
    pub const ALL: &[Nature] = &[
        Nature::Good,
        Nature::Flaky,
        Nature::Poison,
        Nature::Hopeless,
        Nature::Dropped,
        Nature::Answered,
        Nature::Unknown,
    ];

    pub fn is_work(self) -> bool {
        !matches!(self, Nature::Dropped | Nature::Answered | Nature::Unknown)
    }

    /// The name of its rule, as a classifier that does well says it.
    pub fn rule(self) -> &'static str {
        match self {
            Nature::Good | Nature::Flaky | Nature::Poison | Nature::Hopeless => "work",
            Nature::Dropped => "drop",
            Nature::Answered => "reply",
            Nature::Unknown => "nobody",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Ends {
    pub rule: Option<RunRule>,
    pub settings: Option<Settings>,
}

impl Kind for Ends {
    fn expand<'a>(&'a self, _: Option<&'a Items>, _: &mut Vec<Want<'a>>) {}
    fn revision_input(&self) -> String {
        String::new()
    }
    fn policy(&self) -> Policy {
        self.rule.as_ref().map_or(Policy::DEFAULT, |rule| rule.policy.clone())
    }
    fn needs(&self) -> &[Need] {
        &[]
    }
    fn runs(&self) -> Option<&RunRule> {
        self.rule.as_ref()
    }
    fn part(&self) -> Part<'_> {
        self.settings.as_ref().map_or(Part::None, Part::Settings)
    }
}

fn sorts() -> Vec<Sort> {
    let like = |text: &str| Match::All(vec![Test::Subject(Pattern::new(text).expect("a pattern"))]);
    let work = Then::Work { work: Work::Command(LAUNCH.clone()), with: json!({}) };
    vec![
        Sort { name: "work".into(), matches: like("work*"), then: work },
        Sort { name: "drop".into(), matches: like("drop*"), then: Then::Drop },
        Sort { name: "reply".into(), matches: like("reply*"), then: Then::Reply("all is well".into()) },
    ]
}

/// A mailbox as a person may write it; how long one attempt may take is said once in a life.
pub fn mailbox(rng: &mut Rng, timeout: Option<Duration>) -> Ends {
    let at_once = rng.between(1, 4) as u32;
    let queue =
        QueueRule { at_once, max_age: None, messages_max: 1000, bytes_max: 1 << 20, is_enabled: !rng.chance(80) };
    let classifier = rng.chance(150).then(|| Work::Command(LAUNCH.clone()));
    let seconds = Duration::from_secs;
    let rule = RunRule {
        work: Work::Sorted(Arc::new(Sorting { rules: sorts(), classifier })),
        arises: Arises::Messages(queue),
        policy: Policy {
            stop: StopRule { signal: StopRule::TERM, grace: rng.pick(&[seconds(1), seconds(5)]) },
            ..Policy::DEFAULT
        },
        timeout,
        retry: Retry { times: rng.between(0, 4) as u32, wait: rng.pick(&[seconds(1), seconds(10), seconds(2000)]) },
        overlap: Overlap::Allow(at_once),
        history: History::DEFAULT,
        params: Params::none(),
        is_resumed: true,
        risk: Risk::Moderate,
    };
    Ends { rule: Some(rule), settings: None }
}

pub fn settings(rng: &mut Rng) -> Ends {
    let max_runs = Some(rng.between(1, 6) as u32);
    let gates = random_gates(rng.clone());
    Ends { rule: None, settings: Some(Settings { max_runs, gates, ..Settings::default() }) }
}

/// What the machine may bear, where somebody has said so. These dice are its own: whatever else comes of a seed stays.
fn random_gates(mut rng: Rng) -> Figures {
    Figures {
        load: rng.chance(300).then(|| rng.pick(&[200, 800])),
        memory_free: rng.chance(200).then_some(1 << 30),
        io: rng.chance(200).then_some(1000),
        ..Figures::default()
    }
}

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
    pub frozen: Option<Pause>,
    pub is_draining: bool,
    pub is_partial: bool,
    uids: u64,
}

fn pause(until: Option<Timestamp>) -> Pause {
    Pause { by: "ann".into(), reason: None, until }
}

impl People {
    pub fn put(&mut self, index: usize, ends: Ends) {
        self.generation += 1;
        self.uids += 1;
        self.stones.remove(object(index));
        let known = self.objects[index].take();
        let uid = known.as_ref().map_or_else(|| format!("u{}", self.uids).into(), |stored| stored.uid.clone());
        let overrides = known.map(|stored| stored.overrides).unwrap_or_default();
        self.objects[index] = Some(Stored { ends: Arc::new(ends), uid, overrides });
    }

    pub fn delete(&mut self, index: usize) {
        self.generation += 1;
        if let Some(stored) = self.objects[index].take() {
            let policy = stored.ends.policy();
            let (uid, needs) = (stored.uid, Vec::new());
            let stone = Tombstone { uid, generation: self.generation, policy, needs, ends_adopted: false };
            self.stones.insert(object(index).clone(), stone);
        }
    }

    pub fn pause(&mut self, index: usize, is_paused: bool, until: Option<Timestamp>) {
        self.generation += 1;
        if let Some(stored) = &mut self.objects[index] {
            stored.overrides.paused = is_paused.then(|| pause(until));
        }
    }

    pub fn freeze(&mut self, is_frozen: bool) {
        self.generation += 1;
        self.frozen = is_frozen.then(|| pause(None));
    }

    /// The desired state as a controller reads it; a stop of everything is a pause of everything.
    pub fn read(&self) -> Desired {
        let object = |(index, stored): (usize, &Option<Stored>)| {
            let stored = stored.as_ref()?;
            let id = object(index).clone();
            let mut overrides = stored.overrides.clone();
            if self.is_draining {
                overrides.paused = Some(pause(None));
            }
            let object = Object {
                id: id.clone(),
                uid: stored.uid.clone(),
                spec: Spec::Known(stored.ends.clone()),
                revisions: vec![Revision { version: 1, hash: "r".into() }],
                work_generation: 1,
                overrides,
            };
            Some((id, Arc::new(object)))
        };
        Desired {
            generation: self.generation,
            coverage: if self.is_partial { Coverage::Partial { why: "a file".into() } } else { Coverage::Whole },
            objects: self.objects.iter().enumerate().filter_map(object).collect(),
            tombstones: self.stones.clone(),
            frozen: self.frozen.clone(),
            is_draining: self.is_draining,
        }
    }
}
