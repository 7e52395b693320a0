//! `setpoint wait`: until objects are ready, stopped or gone.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::facts::{self, Facts};
use super::{Failure, Global, Outcome, exit};
use crate::engine::plan::{Decision, Lacking, Reason};
use crate::engine::run::{Arises, RunRule};
use crate::engine::{ObjectRef, State};
use crate::home::Home;
use crate::observe::Clock;

/// How often is looked; slower where a look is dear.
const LOOK: Duration = Duration::from_millis(50);

/// How often at the least.
const LOOK_MAX: Duration = Duration::from_millis(1000);

/// Wait until objects are ready, stopped or gone
#[derive(Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND NAME or a unique NAME
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// What to wait for [default: ready; of work that ends, done]
    #[arg(long = "for", value_enum)]
    goal: Option<Goal>,
    /// How long at most; then exit code 124
    #[arg(long, default_value = "10m", value_name = "SPAN")]
    timeout: String,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// All replicas are ready; ends with 1 when that will not come by itself.
    #[default]
    Ready,
    /// It has ended, well or not.
    Done,
    /// Nothing of it runs.
    Stopped,
    /// It is gone, from the desired state and from the machine.
    Deleted,
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist, or the time is up.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let patience = super::span(&args.timeout).ok_or_else(|| {
        Failure::new(
            exit::USAGE,
            format!("--timeout is `{}`, which is no span\n  help: write 30s, 10m or 2h", args.timeout),
        )
    })?;
    let (home, facts) = facts::read(global)?;
    let objects = match facts.named(&args.objects) {
        Ok(objects) => objects,
        Err(error) if args.goal == Some(Goal::Deleted) && error.code == exit::NOT_FOUND => return Ok(exit::OK),
        Err(error) => return Err(error),
    };
    let Some(home) = home else { return Ok(exit::OK) };
    let ends = |object: &ObjectRef| {
        let rule = facts.rule(object);
        rule.is_some_and(|rule| !matches!(rule.arises, Arises::Times(_)))
    };
    let usual = if objects.iter().all(ends) { Goal::Done } else { Goal::Ready };
    until(global, &home, &objects, args.goal.unwrap_or(usual), patience)
}

/// Waits until all of them are ready.
///
/// # Errors
/// As [`until`].
pub fn ready(global: &Global, home: &Home, objects: &[ObjectRef], patience: Duration) -> Outcome {
    until(global, home, objects, Goal::Ready, patience)
}

/// Waits until all of them are gone.
///
/// # Errors
/// As [`until`].
pub fn gone(global: &Global, home: &Home, objects: &[ObjectRef], patience: Duration) -> Outcome {
    until(global, home, objects, Goal::Deleted, patience)
}

/// How far one object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There.
    Reached,
    /// On its way.
    Coming,
    /// It will not come by itself.
    Hopeless,
}

/// Waits until all of them are there, and says what changes meanwhile.
///
/// # Errors
/// When the desired state cannot be read, or the time is up.
pub fn until(global: &Global, home: &Home, objects: &[ObjectRef], goal: Goal, patience: Duration) -> Outcome {
    let clock = Clock::new().map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let begin = Instant::now();
    let mut teller = Teller::new(global);
    loop {
        let look = Instant::now();
        let facts = facts::of(home, &clock)?;
        let all: Vec<Progress> = objects.iter().map(|object| progress(&facts, object, goal)).collect();
        teller.tell(&facts, objects, &all);
        if all.iter().all(|progress| *progress == Progress::Reached) {
            return Ok(if goal == Goal::Done { ended(&facts, objects) } else { exit::OK });
        }
        let left = |wanted| left(objects, &all, wanted);
        if all.contains(&Progress::Hopeless) && !all.contains(&Progress::Coming) {
            teller.clear();
            let (first, names) = left(Progress::Hopeless);
            let held = objects.iter().find(|object| is_held(&facts, object));
            let Some(held) = held else {
                let text = format!("error: it will not come by itself: {names}\n  help: setpoint describe {first}");
                super::complain(&text);
                return Ok(exit::FAILED);
            };
            let why = facts.state(held).1.map_or_else(String::new, |decision| format!(": {}", decision.because));
            super::complain(&format!("error: {held} is held{why}\n  help: setpoint describe {held}"));
            return Ok(exit::CONSENT);
        }
        if begin.elapsed() >= patience {
            let (first, names) = left(Progress::Coming);
            let whys = whys(&facts, objects, &all);
            let help = match super::controller::is_absent(home) {
                true => String::from("no controller runs, so nothing is started or stopped: setpoint controller start"),
                false => format!("setpoint describe {first}"),
            };
            return Err(Failure::new(exit::TIMED_OUT, format!("not in time: {names}{whys}\n  help: {help}")));
        }
        // A look at thousands of processes must not compete with what it waits for.
        std::thread::sleep(look.elapsed().saturating_mul(5).clamp(LOOK, LOOK_MAX));
    }
}

/// True when a person has to agree, or to thaw, before anything of it goes on.
fn is_held(facts: &Facts, object: &ObjectRef) -> bool {
    matches!(facts.state(object).0, State::Held | State::NeedsConsent)
}

/// Says which runs have not ended well; 1 then.
fn ended(facts: &Facts, objects: &[ObjectRef]) -> u8 {
    let bad = objects.iter().filter_map(|object| {
        facts.rule(object)?;
        let failing = super::timetable::failing(facts, object)?;
        Some(format!("error: {object}: {failing}\n  help: setpoint logs {object}"))
    });
    let bad: Vec<String> = bad.collect();
    bad.iter().for_each(|text| super::complain(text));
    if bad.is_empty() { exit::OK } else { exit::FAILED }
}

/// How far an object is whose work ends.
fn progress_of_runs(facts: &Facts, object: &ObjectRef, rule: &RunRule, goal: Goal) -> Progress {
    let is_there = |reached: bool| if reached { Progress::Reached } else { Progress::Coming };
    let has_open = facts.observed.ledger.books.get(object).is_some_and(|book| !book.runs.is_empty());
    let alive = facts.decisions(object).any(|decision| facts.is_there(&decision.id));
    let (state, decision) = facts.state(object);
    match (goal, &rule.arises) {
        // A due time to come is all there is to be ready for, and a job is ready when it is applied.
        (Goal::Ready, _) => is_there(state != State::Unknown),
        (Goal::Done, _) if matches!(state, State::Held | State::NeedsConsent) => Progress::Hopeless,
        (Goal::Done, Arises::Once { .. }) => {
            let is_over = decision.is_some_and(|d| matches!(d.because, Reason::Over { .. }) && d.action.is_none());
            is_there(is_over && !has_open && !alive)
        }
        (Goal::Done, Arises::Times(_) | Arises::Asked | Arises::Messages(_)) => {
            is_there(!has_open && !alive && facts.past.last(object).is_some())
        }
        (Goal::Stopped, _) => is_there(!alive),
        (Goal::Deleted, _) => is_there(false),
    }
}

/// The first of the objects that are as far as this, and the names of some.
fn left(objects: &[ObjectRef], all: &[Progress], wanted: Progress) -> (String, String) {
    let those = objects.iter().zip(all).filter(|(_, progress)| **progress == wanted).map(|(object, _)| object);
    let names: Vec<String> = those.take(NAMED_MAX).map(ToString::to_string).collect();
    (names.first().cloned().unwrap_or_default(), names.join(", "))
}

/// What those that are still coming wait for, a line each.
fn whys(facts: &Facts, objects: &[ObjectRef], all: &[Progress]) -> String {
    let coming = objects.iter().zip(all).filter(|(_, progress)| **progress == Progress::Coming);
    let why = |object: &ObjectRef| facts.state(object).1.map(|decision| format!("\n  {object}: {}", decision.because));
    coming.take(NAMED_MAX).filter_map(|(object, _)| why(object)).collect()
}

/// How many objects are named at once.
const NAMED_MAX: usize = 5;

/// How many objects are told about one by one.
const TOLD_MAX: usize = 100;

/// Says how far it is: one line that moves on a terminal, a line for each change elsewhere.
struct Teller<'a> {
    global: &'a Global,
    begin: Instant,
    told: BTreeMap<ObjectRef, (State, String)>,
    is_live: bool,
}

impl<'a> Teller<'a> {
    fn new(global: &'a Global) -> Teller<'a> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_live = !global.quiet && !is_dumb && std::io::stderr().is_terminal();
        Teller { global, begin: Instant::now(), told: BTreeMap::new(), is_live }
    }

    fn tell(&mut self, facts: &Facts, objects: &[ObjectRef], all: &[Progress]) {
        let seconds = self.begin.elapsed().as_secs_f64();
        for (object, progress) in objects.iter().zip(all) {
            let (state, decision) = facts.state(object);
            let why = decision.map_or(String::new(), |decision| format!("  {}", decision.because));
            // A count that goes on is no news.
            let fact = (state, why.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
            let is_news = self.told.insert(object.clone(), fact.clone()) != Some(fact) && self.told.len() <= TOLD_MAX;
            let is_trouble = *progress == Progress::Hopeless || state == State::Backoff;
            if is_news && (is_trouble || !self.is_live) {
                self.clear();
                super::say(self.global, &format!("{object}  {state} after {seconds:.1}s{why}"));
            }
        }
        if self.is_live {
            self.clear();
            let done = all.iter().filter(|progress| **progress == Progress::Reached).count();
            let (first, _) = left(objects, all, Progress::Coming);
            let first = if first.is_empty() { first } else { format!(", waiting for {first}") };
            let all = all.len();
            // A terminal that has gone away is told nothing.
            _ = write!(std::io::stderr(), "{done} of {all} after {seconds:.0}s{first}; Ctrl-C stops the waiting only");
        }
    }

    fn clear(&self) {
        if self.is_live {
            _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn progress(facts: &Facts, object: &ObjectRef, goal: Goal) -> Progress {
    let (state, _) = facts.state(object);
    let is_there = |reached: bool| if reached { Progress::Reached } else { Progress::Coming };
    // What somebody else started goes only where it is told to, and is waited for there.
    let is_up = |decision: &&Decision| facts.is_there(&decision.id) || decision.because == Reason::Deleted;
    let alive = facts.decisions(object).filter(is_up).count();
    if let Some(rule) = facts.rule(object) {
        return progress_of_runs(facts, object, rule, goal);
    }
    match goal {
        Goal::Ready => match state {
            // The benefit of the doubt is for those who use it; whoever waits for ready wants to be told.
            State::Ready if facts.decisions(object).any(|d| d.because == Reason::Found) => Progress::Coming,
            State::Ready | State::Done | State::Drifted | State::Scheduled => Progress::Reached,
            State::Stopped if facts.stored.objects.contains_key(object) => Progress::Reached,
            State::Waiting if facts.decisions(object).any(is_needing_in_vain) => Progress::Hopeless,
            State::Held | State::NeedsConsent => Progress::Hopeless,
            State::GaveUp | State::Failed | State::Halted | State::Paused | State::Stray | State::Stopped => {
                Progress::Hopeless
            }
            State::Starting
            | State::Running
            | State::Stopping
            | State::Waiting
            | State::Backoff
            | State::Frozen
            | State::Lingering
            | State::Ambiguous
            | State::Unknown => Progress::Coming,
        },
        Goal::Done if !facts.stored.objects.contains_key(object) && alive == 0 => Progress::Reached,
        Goal::Done => is_there(matches!(state, State::Done | State::Failed | State::GaveUp | State::Stopped)),
        Goal::Stopped => is_there(alive == 0),
        Goal::Deleted => is_there(alive == 0 && !facts.stored.objects.contains_key(object)),
    }
}

/// True when what it needs will not come by itself.
fn is_needing_in_vain(decision: &Decision) -> bool {
    let Reason::NeedsWait { is, .. } = &decision.because else { return false };
    match is {
        Lacking::Object | Lacking::Processes => true,
        Lacking::Instance(state) => {
            matches!(state, State::GaveUp | State::Failed | State::Halted | State::Paused | State::Stray)
        }
    }
}
