//! Starts that are queued, being gathered for, or under way.
//!
//! In: spawns of a plan. Out: at most [`FLYING_MAX`] at a time. Not here: what their answers mean.
//! The surprise: a start that is not under way is dropped as soon as a newer generation is read, since it belongs to
//! an old plan; and one that needs nothing beside its manifest never waits behind one that does.

use std::collections::{BTreeMap, VecDeque};
use std::process::Child;
use std::time::Duration;

use super::resolve::Asked;
use crate::engine::observed::{Alive, Observed, Phase};
use crate::engine::plan::Spawn;
use crate::engine::{BootId, BootTime, InstanceId, ProcId, Sight, Sighting};
use crate::execute::environment::{self, Given};

/// How many starts are under way at once: enough to keep all cores busy, few enough to keep the rest responsive.
pub const FLYING_MAX: usize = 16;

/// So much of that is left to what is to be kept up: a Service that died does not wait behind a hundred Jobs.
const KEPT_FREE: usize = 4;

/// The starts.
#[derive(Debug, Default)]
pub struct Starts {
    /// Those that need something beside their manifest, and nobody has been asked yet.
    needy: VecDeque<Start>,
    /// Those that somebody gathers for, by number.
    gathering: BTreeMap<InstanceId, Gathering>,
    gatherings: u64,
    /// Those that wait for room, runs last, with what was gathered for them; nothing where all of it is at hand.
    queued: VecDeque<(Start, Option<Ready>)>,
    flying: BTreeMap<InstanceId, Flight>,
    /// Parents of shims that had not ended when their answer came.
    unreaped: Vec<Child>,
}

/// A start that is not answered for this long is looked at, and gives its place to another: a hung disk holds up
/// what starts from it and nothing else.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A start that was decided on.
#[derive(Debug)]
pub struct Start {
    /// The instance.
    pub id: InstanceId,
    /// What is asked for.
    pub spawn: Box<Spawn>,
    /// By which generation.
    pub generation: u64,
}

fn is_run(start: &Start) -> bool {
    start.spawn.launch.is_durable
}

/// What a payload is given, or why there is no such thing.
pub type Ready = Result<Given, String>;

/// A start that somebody gathers for.
#[derive(Debug)]
struct Gathering {
    start: Start,
    number: u64,
    asked: Asked,
    until: BootTime,
}

/// A start under way.
#[derive(Debug)]
struct Flight {
    child: Option<Child>,
    since: BootTime,
}

impl Starts {
    /// True when nothing is queued, gathered for or under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needy.is_empty() && self.gathering.is_empty() && self.queued.is_empty() && self.flying.is_empty()
    }

    /// True when a start of this instance is queued, gathered for or under way.
    #[must_use]
    pub fn has(&self, id: &InstanceId) -> bool {
        self.flying.contains_key(id)
            || self.gathering.contains_key(id)
            || self.queued.iter().any(|(start, _)| start.id == *id)
            || self.needy.iter().any(|start| start.id == *id)
    }

    /// Queues a start and marks the instance, so that the next pass sees it coming.
    pub fn queue(&mut self, id: &InstanceId, spawn: Box<Spawn>, generation: u64, at: BootTime, seen: &mut Observed) {
        let nobody = ProcId { boot: BootId::default(), pid: 0, started: 0 };
        let alive = Alive {
            attempt: spawn.attempt,
            revision: spawn.revision.clone(),
            shim: nobody,
            payload: 0,
            since: at,
            phase: Phase::Spawning,
            is_told: false,
            tree: [].into(),
        };
        seen.sightings.insert(id.clone(), Sighting::of(Sight::Seen(alive)));
        let start = Start { id: id.clone(), spawn, generation };
        if environment::is_at_hand(&start.spawn.launch) {
            self.line_up(start, None);
        } else {
            self.needy.push_back(start);
        }
    }

    /// Puts a start behind those that came before it; what is to be kept up goes before all runs.
    fn line_up(&mut self, start: Start, ready: Option<Ready>) {
        let place = if is_run(&start) { self.queued.len() } else { self.queued.partition_point(|(s, _)| !is_run(s)) };
        self.queued.insert(place, (start, ready));
    }

    /// The next start to gather for.
    pub fn take_needy(&mut self) -> Option<Start> {
        self.needy.pop_front()
    }

    /// The number under which the next gathering is known.
    pub fn next_number(&mut self) -> u64 {
        self.gatherings += 1;
        self.gatherings
    }

    /// Somebody gathers for a start.
    pub fn gathers(&mut self, start: Start, number: u64, asked: Asked, now: BootTime) {
        let until = now.after(environment::patience(&start.spawn.launch));
        self.gathering.insert(start.id.clone(), Gathering { start, number, asked, until });
    }

    /// What was gathered under this number is there; an older number is of a start that was dropped.
    pub fn gathered(&mut self, id: &InstanceId, number: u64) {
        if self.gathering.get(id).is_some_and(|gathering| gathering.number == number)
            && let Some(Gathering { start, asked, .. }) = self.gathering.remove(id)
        {
            self.line_up(start, Some(asked.answer()));
        }
    }

    /// A start for which nothing can be gathered.
    pub fn fails(&mut self, start: Start, why: String) {
        self.line_up(start, Some(Err(why)));
    }

    /// Gives up on what is gathered for too long.
    pub fn give_up_gathering(&mut self, now: BootTime) {
        let late = |gathering: &Gathering| gathering.until <= now;
        let ids: Vec<InstanceId> =
            self.gathering.iter().filter(|(_, one)| late(one)).map(|(id, _)| id.clone()).collect();
        for gathering in ids.iter().filter_map(|id| self.gathering.remove(id)).collect::<Vec<_>>() {
            let why = "a file, a command or a name service of its environment does not answer".to_owned();
            self.fails(gathering.start, why);
        }
    }

    /// The next starts, as many as there is room for; those of runs last.
    pub fn take_next(&mut self) -> Vec<(Start, Ready)> {
        let free = FLYING_MAX.saturating_sub(self.flying.len());
        let kept = self.queued.partition_point(|(start, _)| !is_run(start)).min(free);
        let runs = free.saturating_sub(kept.max(KEPT_FREE));
        let room = (kept + runs).min(self.queued.len());
        // What is at hand is gathered here and now, without asking anybody.
        let gathered = |(start, ready): (Start, Option<Ready>)| {
            let ready = ready.unwrap_or_else(|| environment::gather(&start.spawn.launch));
            (start, ready)
        };
        self.queued.drain(..room).map(gathered).collect()
    }

    /// A start is under way.
    pub fn flies(&mut self, id: InstanceId, child: Option<Child>, since: BootTime) {
        self.flying.insert(id, Flight { child, since });
    }

    /// A start was answered.
    pub fn landed(&mut self, id: &InstanceId) {
        if let Some(flight) = self.flying.remove(id) {
            self.unreaped.extend(flight.child);
        }
        self.reap();
    }

    /// Lets go of processes that have ended.
    pub fn reap(&mut self) {
        self.unreaped.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    }

    /// Takes out the starts that were not answered in time.
    pub fn overdue(&mut self, now: BootTime) -> Vec<InstanceId> {
        let is_late = |flight: &Flight| flight.since.after(ANSWER_WITHIN) <= now;
        let late: Vec<InstanceId> =
            self.flying.iter().filter(|(_, flight)| is_late(flight)).map(|(id, _)| id.clone()).collect();
        late.iter().for_each(|id| self.landed(id));
        late
    }

    /// When the first start under way or being gathered for is overdue.
    #[must_use]
    pub fn due(&self) -> Option<BootTime> {
        let flying = self.flying.values().map(|flight| flight.since.after(ANSWER_WITHIN));
        flying.chain(self.gathering.values().map(|gathering| gathering.until)).min()
    }

    /// Drops what is not under way.
    pub fn forget_queued(&mut self, seen: &mut Observed) {
        let gathering = std::mem::take(&mut self.gathering).into_values().map(|gathering| gathering.start);
        let queued = self.queued.drain(..).map(|(start, _)| start);
        for start in self.needy.drain(..).chain(gathering).chain(queued) {
            seen.sightings.remove(&start.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controller::resolve::tests::asked;
    use crate::engine::backoff::Streak;
    use crate::engine::plan::{Command, EnvValue, Launch, Policy};

    fn at(seconds: u64) -> BootTime {
        BootTime::default().after(Duration::from_secs(seconds))
    }

    /// Queues a start of `web`; one that has to ask somebody, if it is needy.
    fn queue(starts: &mut Starts, seen: &mut Observed, is_needy: bool) -> InstanceId {
        let id: InstanceId = if is_needy { "service/needy/0" } else { "service/plain/0" }.parse().expect("a name");
        let mut launch = Launch::new(Command::Line("true".to_owned()), "/");
        if is_needy {
            launch.env.insert("A".to_owned(), EnvValue::FromFile("/no/such/file".to_owned()));
        }
        starts.queue(&id, Box::new(Spawn { launch: Arc::new(launch), ..spawn() }), 1, at(0), seen);
        id
    }

    fn spawn() -> Spawn {
        Spawn {
            attempt: 1,
            uid: "5f1c".into(),
            revision: "1:9f86d081884c7d65".parse().expect("a revision"),
            streak: Streak::default(),
            launch: Arc::new(Launch::new(Command::Line("true".to_owned()), "/")),
            policy: Policy::DEFAULT,
        }
    }

    #[test]
    fn what_is_kept_up_waits_behind_no_run() {
        let (mut starts, mut seen) = (Starts::default(), Observed::empty());
        for number in 0..40 {
            let id: InstanceId = format!("job/many-{number}/1").parse().expect("a name");
            let mut launch = Launch::new(Command::Line("true".to_owned()), "/");
            launch.is_durable = true;
            let spawn = Spawn { launch: Arc::new(launch), ..spawn() };
            starts.queue(&id, Box::new(spawn), 1, at(0), &mut seen);
        }
        let first = starts.take_next();
        assert_eq!(first.len(), FLYING_MAX - KEPT_FREE);
        for (start, _) in first {
            let child = std::process::Command::new("true").spawn().expect("it can be started");
            starts.flies(start.id, Some(child), at(0));
        }
        assert!(starts.take_next().is_empty(), "the rest is kept free");
        let web = queue(&mut starts, &mut seen, false);
        let next: Vec<InstanceId> = starts.take_next().into_iter().map(|(start, _)| start.id).collect();
        assert_eq!(next, [web]);
        starts.landed(&"job/many-0/1".parse().expect("a name"));
        let next: Vec<String> = starts.take_next().into_iter().map(|(start, _)| start.id.to_string()).collect();
        assert_eq!(next, ["job/many-12/1"]);
        for mut flight in std::mem::take(&mut starts.flying).into_values().filter_map(|flight| flight.child) {
            flight.wait().expect("it ends");
        }
    }

    fn gathers(starts: &mut Starts, question: Asked) -> u64 {
        let (start, number) = (starts.take_needy().expect("it is needy"), starts.next_number());
        starts.gathers(start, number, question, at(0));
        number
    }

    #[test]
    fn a_start_that_asks_does_not_hold_up_one_that_does_not() {
        let (mut starts, mut seen) = (Starts::default(), Observed::empty());
        let needy = queue(&mut starts, &mut seen, true);
        let plain = queue(&mut starts, &mut seen, false);
        let (answer, question) = asked();
        let number = gathers(&mut starts, question);
        let (start, ready) = starts.take_next().pop().expect("the plain one");
        assert!(start.id == plain && ready.is_ok() && starts.take_next().is_empty() && starts.has(&needy));
        answer.send(Err("no".to_owned())).expect("it is asked for");
        starts.gathered(&needy, number + 1);
        assert!(starts.take_next().is_empty(), "that was of another start");
        starts.gathered(&needy, number);
        let rest: Vec<_> = starts.take_next().into_iter().map(|(start, ready)| (start.id, ready)).collect();
        assert_eq!(rest, [(needy, Err("no".to_owned()))]);
        assert!(starts.is_empty());
    }

    #[test]
    fn what_never_answers_is_given_up() {
        let (mut starts, mut seen) = (Starts::default(), Observed::empty());
        let needy = queue(&mut starts, &mut seen, true);
        let (_never, question) = asked();
        gathers(&mut starts, question);
        let due = starts.due().expect("it has an end");
        assert!(at(10) < due && due < at(60), "{due:?}");
        starts.give_up_gathering(at(10));
        assert!(starts.take_next().is_empty());
        starts.give_up_gathering(due);
        let (start, ready) = starts.take_next().pop().expect("it is to fail");
        assert!(start.id == needy && ready.is_err_and(|why| why.contains("does not answer")));
    }

    #[test]
    fn a_newer_generation_drops_all_that_is_not_under_way() {
        let (mut starts, mut seen) = (Starts::default(), Observed::empty());
        let needy = queue(&mut starts, &mut seen, true);
        let (_answer, question) = asked();
        let number = gathers(&mut starts, question);
        queue(&mut starts, &mut seen, true);
        queue(&mut starts, &mut seen, false);
        assert!(!seen.sightings.is_empty());
        starts.forget_queued(&mut seen);
        assert!(starts.is_empty() && seen.sightings.is_empty() && starts.due().is_none());
        starts.gathered(&needy, number);
        assert!(starts.take_next().is_empty(), "its answer comes too late");
    }
}
