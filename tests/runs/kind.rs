//! The objects of a life: work that ends, in all its kinds, as a person may write it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::json;
use setpoint::engine::expand::{Items, Kind, Need, Until, Want};
use setpoint::engine::plan::{Command, Launch, Policy, StopRule};
use setpoint::engine::run::pressure::Figures;
use setpoint::engine::run::{
    Arises, At, Capability, Condition, Flow, FlowStep, History, Missed, OnQuiet, Overlap, Params, Part, QuietRule,
    Retry, Risk, RunRule, Settings, Target, TimesRule, Work,
};
use setpoint::engine::schedule::{Schedule, Window};
use setpoint::engine::{ObjectRef, Timestamp};

use super::rng::Rng;
use super::zones;

/// The longest grace of a life.
pub const GRACE_MAX: Duration = Duration::from_secs(5);
/// The longest wait before the first retry.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// The most retries.
pub const RETRIES_MAX: u32 = 3;

/// What each life can have, by kind and name.
pub const NAMES: &[&str] =
    &["cronjob/a", "cronjob/b", "job/j", "job/k", "workflow/w", "capability/c", "quiethours/q", "settings/main"];
pub const CAPABILITY: usize = 5;
pub const WORKFLOW: usize = 4;

static REFS: LazyLock<Vec<ObjectRef>> =
    LazyLock::new(|| NAMES.iter().map(|name| name.parse().expect("a plain name")).collect());

pub fn object(index: usize) -> &'static ObjectRef {
    &REFS[index]
}

pub fn index(object: &ObjectRef) -> usize {
    REFS.iter().position(|known| known == object).expect("the engine names no object of its own")
}

/// What an object is to others.
#[derive(Clone, Debug)]
pub enum Own {
    Nothing,
    Capability(Capability),
    Workflow(Arc<Flow>),
    Quiet(QuietRule),
    Settings(Settings),
}

/// One object as written.
#[derive(Clone, Debug)]
pub struct Ends {
    pub rule: Option<RunRule>,
    pub own: Own,
    pub needs: Vec<Need>,
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
        &self.needs
    }
    fn runs(&self) -> Option<&RunRule> {
        self.rule.as_ref()
    }
    fn part(&self) -> Part<'_> {
        match &self.own {
            Own::Nothing => Part::None,
            Own::Capability(capability) => Part::Capability(capability),
            Own::Workflow(flow) => Part::Workflow(flow),
            Own::Quiet(rule) => Part::Quiet(rule),
            Own::Settings(settings) => Part::Settings(settings),
        }
    }
}

static LAUNCH: LazyLock<Arc<Launch>> =
    LazyLock::new(|| Arc::new(Launch::new(Command::Argv(vec!["work".to_owned()]), "/")));

pub fn command() -> Work {
    Work::Command(LAUNCH.clone())
}

fn used(index: usize) -> Work {
    Work::Use { target: Target { candidates: vec![object(index).clone()], builtin: None }, with: json!({}) }
}

/// A rule with everything at its default.
pub fn plain(work: Work, arises: Arises) -> RunRule {
    RunRule {
        work,
        arises,
        policy: Policy::DEFAULT,
        timeout: None,
        retry: Retry::NONE,
        overlap: Overlap::Skip,
        history: History::DEFAULT,
        params: Params::none(),
        is_resumed: false,
        risk: Risk::Moderate,
    }
}

/// What a person writes as object `index`, at this moment.
pub fn random(rng: &mut Rng, index: usize, wall: Timestamp) -> Ends {
    let nothing = Ends { rule: None, own: Own::Nothing, needs: Vec::new() };
    let needs = |rng: &mut Rng| if rng.chance(200) { vec![random_need(rng, index)] } else { Vec::new() };
    match index {
        0 | 1 => {
            let work = match rng.below(6) {
                0 => used(CAPABILITY),
                1 => used(WORKFLOW),
                _ => command(),
            };
            let arises = Arises::Times(random_times(rng));
            let rule = random_rule(rng, work, arises);
            Ends { rule: Some(rule), needs: needs(rng), ..nothing }
        }
        2 | 3 => {
            let work = if rng.chance(250) { used(rng.pick(&[CAPABILITY, WORKFLOW])) } else { command() };
            let soon = rng.between(0, 7200);
            let at = rng.chance(300).then(|| At::Instant(wall.after(Duration::from_secs(soon))));
            Ends { rule: Some(random_rule(rng, work, Arises::Once { at })), needs: needs(rng), ..nothing }
        }
        WORKFLOW => {
            let flow = random_flow(rng);
            let rule = random_rule(rng, command(), Arises::Asked);
            let flow = Arc::new(Flow { timeout: rule.timeout, ..flow });
            let rule = RunRule { work: Work::Flow(flow.clone()), ..rule };
            Ends { rule: Some(rule), own: Own::Workflow(flow), ..nothing }
        }
        CAPABILITY => {
            let risk = if rng.chance(150) { Risk::High } else { Risk::Low };
            let rule = RunRule { risk, ..random_rule(rng, command(), Arises::Asked) };
            let timeout = rule.timeout;
            let own = Own::Capability(Capability { work: command(), params: Params::none(), risk, timeout });
            Ends { rule: Some(rule), own, ..nothing }
        }
        6 => {
            let zone = rng.chance(700).then(|| zones::random(rng).into());
            Ends { own: Own::Quiet(QuietRule { windows: random_windows(rng), zone }), ..nothing }
        }
        _ => {
            let max_runs = rng.chance(800).then(|| rng.between(1, 4) as u32);
            let zone = rng.chance(500).then(|| zones::random(rng).into());
            let gates = random_gates(rng.clone());
            Ends { own: Own::Settings(Settings { zone, max_runs, gates, ..Settings::default() }), ..nothing }
        }
    }
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

/// Needs go to a job alone, and never round.
fn random_need(rng: &mut Rng, index: usize) -> Need {
    let until = rng.pick(&[Until::Done, Until::Done, Until::Usable, Until::Started, Until::Ready]);
    Need { object: object(if index == 2 { 3 } else { 2 + usize::from(index == 0) }).clone(), until }
}

pub fn random_rule(rng: &mut Rng, work: Work, arises: Arises) -> RunRule {
    let seconds = |n: u64| Duration::from_secs(n);
    RunRule {
        timeout: rng.chance(400).then(|| seconds(rng.pick(&[2, 15, 60, 600]))),
        retry: random_retry(rng),
        policy: Policy {
            stop: StopRule { signal: StopRule::TERM, grace: rng.pick(&[seconds(1), GRACE_MAX]) },
            ..Policy::DEFAULT
        },
        overlap: match rng.below(6) {
            0 => Overlap::Queue(rng.between(1, 3) as u32),
            1 => Overlap::Replace,
            2 => Overlap::Allow(rng.between(1, 3) as u32),
            3 => Overlap::Allow(200),
            _ => Overlap::Skip,
        },
        is_resumed: rng.chance(500),
        risk: if rng.chance(40) { Risk::High } else { Risk::Moderate },
        ..plain(work, arises)
    }
}

fn random_retry(rng: &mut Rng) -> Retry {
    if rng.chance(400) {
        return Retry::NONE;
    }
    let wait = rng.pick(&[Duration::from_secs(1), Duration::from_secs(10), WAIT_MAX]);
    Retry { times: rng.between(1, u64::from(RETRIES_MAX)) as u32, wait }
}

/// Schedules that meet the clock changes of their zones, and some that come often.
const TEXTS: &[&str] = &[
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "30 1 * * *",
    "30 2 * * *",
    "15 2,3 * * *",
    "0 3 * * *",
    "@hourly",
    "10 */2 * * 6,0",
    "0,45 1-3 * * *",
];

pub fn random_times(rng: &mut Rng) -> TimesRule {
    let mut schedule = match rng.below(10) {
        0..=1 => Schedule::every(rng.pick(&[
            Duration::from_secs(20),
            Duration::from_millis(90_500),
            Duration::from_secs(600),
            Duration::from_secs(4 * 3600),
        ])),
        2 => Schedule::parse("@reboot").expect("a good text"),
        _ => Schedule::default(),
    };
    if schedule == Schedule::default() || rng.chance(200) {
        schedule.add(rng.pick(TEXTS)).expect("a good text");
    }
    TimesRule {
        schedule: Arc::new(schedule),
        zone: rng.chance(700).then(|| zones::random(rng).into()),
        jitter: rng.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_secs(45), Duration::from_secs(400)]),
        missed: rng.pick(&[Missed::Once, Missed::Once, Missed::Skip, Missed::All, Missed::All]),
        missed_within: rng.pick(&[Duration::from_secs(3600), Duration::from_secs(600), Duration::from_secs(8 * 3600)]),
        quiet: if rng.chance(350) { vec![object(6).clone()] } else { Vec::new() },
        on_quiet: rng.pick(&[OnQuiet::Skip, OnQuiet::Defer]),
        is_once: rng.chance(150),
        is_enabled: !rng.chance(60),
    }
}

fn random_windows(rng: &mut Rng) -> Vec<Window> {
    let mut window = || {
        let (from, len) = (rng.below(1440) as u16, rng.between(1, 400) as u16);
        Window { days: rng.pick(&[0x7f, 0x7f, 0x41, 0x3e]), from, to: (from + len) % 1440 }
    };
    (0..1 + usize::from(window().from % 2 == 0)).map(|_| window()).filter(|w| w.from != w.to).collect()
}

/// Two to four steps; each needs some of those before it.
fn random_flow(rng: &mut Rng) -> Flow {
    let mut steps: Vec<FlowStep> = Vec::new();
    for n in 0..rng.between(2, 4) {
        let needs = steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>();
        let needs = needs.into_iter().filter(|_| rng.chance(500)).collect::<Vec<_>>();
        let when = match (rng.below(8), needs.first()) {
            (0, Some(first)) => {
                let word = rng.pick(&["ok", "failed", "skipped"]);
                Some(Condition::Expression(format!("steps.{first}.outcome == \"{word}\"").into()))
            }
            (1, _) => Some(Condition::Command(LAUNCH.clone())),
            (2, _) if rng.chance(100) => Some(Condition::Expression("steps.nobody.outcome".into())),
            _ => None,
        };
        steps.push(FlowStep {
            id: format!("s{n}").into(),
            work: if rng.chance(150) { used(CAPABILITY) } else { command() },
            needs,
            when,
            retry: random_retry(rng),
            timeout: rng.chance(300).then(|| Duration::from_secs(rng.pick(&[2, 15, 60]))),
            asks_first: rng.chance(50),
        });
    }
    Flow { params: Params::none(), steps, timeout: None }
}
