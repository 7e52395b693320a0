//! The memory of a controller, and one pass over it.
//!
//! In: what was seen and what is desired. Out: actions carried out, until a pass has nothing more to do.
//! Not here: waiting for the next event ([`mod@super::run`]), looking ([`super::look`]), acting ([`super::act`]).
//! The surprise: everything kept here may be lost at any instant. A successor finds the same by looking, and at worst
//! asks again for a stop that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::books::{Books, Settled};
use super::folders::Faults;
use super::health::Questions;
use super::journal::Journal;
use super::pressure;
use super::remains::Remains;
use super::resolve::Resolver;
use super::schedules::Schedules;
use super::starts::Starts;
use super::triggers::Triggers;
use super::twins::Twins;
use super::watch::Watch;
use crate::desired::generation::Stored;
use crate::desired::parsed::Parsed;
use crate::desired::{Store, StoreError};
use crate::engine::converge::Facts;
use crate::engine::desired::{Overrides, Pause};
use crate::engine::plan::Reason;
use crate::engine::{
    Backoff, BootTime, Coverage, Desired, InstanceId, Mutant, Now, Object, Observed, Plan, Sight, Sighting, Timestamp,
    audit,
};
use crate::execute::forkserver::ForkServer;
use crate::execute::spawn::Starter;
use crate::execute::{cgroup, limits};
use crate::home::Home;
use crate::observe::{Clock, ProcTable, machine};
use crate::probe::Card;

/// How often processes are listed although nothing has happened.
pub const RELIST: Duration = Duration::from_secs(60);

/// A pass comes at least this often, although nothing has asked for one.
const PASS_ANYWAY: Duration = Duration::from_secs(600);

/// The most passes in a row without an event; each has to have changed something.
const PASSES_MAX: usize = 8;

/// How many of those that are left are named.
const LEFT_MAX: usize = 20;

/// How many problems are remembered.
const PROBLEMS_MAX: usize = 20;

/// How many different troubles are told apart.
const TOLD_MAX: usize = 1000;

/// A controller at work.
#[derive(Debug)]
pub struct Core {
    pub(super) home: Home,
    pub(super) clock: Clock,
    pub(super) table: ProcTable,
    pub(super) starter: Starter,
    pub(super) store: Store,
    pub(super) parsed: Parsed,
    pub(super) stored: Arc<Stored>,
    pub(super) desired: Desired,
    pub(super) observed: Observed,
    pub(super) backoff: Backoff,
    pub(super) watch: Watch,
    pub(super) starts: Starts,
    pub(super) resolver: Resolver,
    pub(super) questions: Questions,
    pub(super) twins: Twins,
    pub(super) triggers: Triggers,
    pub(super) item_rules: super::items::Rules,
    pub(super) books: Books,
    pub(super) remains: Remains,
    pub(super) schedules: Schedules,
    /// The trouble with the store that was last told.
    pub(super) store_told: Option<Arc<str>>,
    /// Attempts that were asked to stop: if one is lost on the way, that is no crash.
    pub(super) ending: BTreeMap<InstanceId, u32>,
    /// Instances to look at again, with when and how often that was tried.
    pub(super) doubts: BTreeMap<InstanceId, (BootTime, u32)>,
    pub(super) relist_at: BootTime,
    /// What is decided by may be another since the last pass.
    pub(super) is_changed: bool,
    /// When the last pass was.
    passed_at: BootTime,
    pub(super) plan: Plan,
    pub(super) journal: Journal,
    /// The records could not be listed.
    pub(super) is_unlisted: bool,
    /// Everything is to be stopped before this controller ends.
    pub(super) is_draining: bool,
    /// Told once, not at every pass.
    pub(super) told: BTreeSet<String>,
    /// What a person should know, newest last.
    pub(super) problems: Vec<String>,
    /// What is wrong with live folders now.
    pub(super) faults: Faults,
    /// How often everything was looked at.
    pub(super) looks: u64,
    /// Something was reported since this was last asked.
    pub(super) is_news: bool,
}

impl Core {
    /// A controller that has looked once. Cards come to `tell` when what stands on them is new.
    ///
    /// # Errors
    /// When the desired state cannot be read, or `/proc` or epoll are not to be had.
    pub fn new(
        home: Home,
        nofile_soft: u64,
        tell: UnboundedSender<Arc<Card>>,
        settle: UnboundedSender<Settled>,
    ) -> Result<Core, StoreError> {
        let root = home.root().to_owned();
        let failed = |action, source: io::Error| StoreError::Io { path: root.clone(), action, source };
        let clock = Clock::new().map_err(|error| failed("read which boot this is", error))?;
        let watch = Watch::new().map_err(|error| failed("watch processes", error))?;
        let store = Store::open(&home);
        let stored = Arc::new(store.read_current()?);
        let mut parsed = Parsed::default();
        let desired = parsed.to_engine(&stored, home.key());
        let starter = Starter {
            home: home.clone(),
            boot_id: clock.boot_id().as_str().to_owned(),
            nofile_soft,
            domain: cgroup::given_to(std::process::id()).map(cgroup::Domain::opened),
            server: ForkServer::default(),
        };
        let mut core = Core {
            journal: Journal::default(),
            books: Books::new(home.clone(), settle),
            schedules: Schedules::new(&machine::id().unwrap_or_else(|| home.id().to_owned())),
            remains: Remains::default(),
            store_told: None,
            questions: Questions::new(home.clone(), tell),
            home,
            clock,
            table: ProcTable,
            starter,
            store,
            parsed,
            stored,
            desired,
            observed: Observed::empty(),
            backoff: Backoff::default(),
            watch,
            starts: Starts::default(),
            resolver: Resolver::default(),
            twins: Twins::default(),
            triggers: Triggers::default(),
            item_rules: BTreeMap::new(),
            ending: BTreeMap::new(),
            doubts: BTreeMap::new(),
            relist_at: BootTime::default(),
            is_changed: true,
            passed_at: BootTime::default(),
            plan: Plan { generation: 0, decisions: Vec::new(), wake_at: None, wake_wall: None },
            is_unlisted: false,
            is_draining: false,
            told: BTreeSet::new(),
            problems: Vec::new(),
            faults: Faults::default(),
            looks: 0,
            is_news: true,
        };
        core.observed.ledger.max_runs_default = limits::runs_default();
        core.look_everywhere();
        core.follow_runs();
        core.keep_benefit();
        core.questions.choose(&core.desired);
        core.item_rules_changed();
        core.triggers_changed();
        core.rules_changed();
        Ok(core)
    }

    /// Reads the desired state again, if there is a newer one.
    pub fn refresh(&mut self) {
        let newest = self.store.numbers().ok().and_then(|numbers| numbers.last().copied());
        if newest == Some(self.stored.generation) && self.desired.coverage == Coverage::Whole {
            return;
        }
        self.note_change();
        match self.store.read_current() {
            Ok(stored) => {
                tracing::info!(
                    generation = stored.generation,
                    objects = stored.objects.len(),
                    "read the desired state"
                );
                self.stored = Arc::new(stored);
                self.desired = self.parsed.to_engine(&self.stored, self.home.key());
                self.starts.forget_queued(&mut self.observed);
                self.questions.choose(&self.desired);
                self.item_rules_changed();
                self.triggers_changed();
                self.rules_changed();
                self.follow_runs();
                crate::execute::limits::trim_memory();
            }
            // What ran before keeps running: the last good generation stays.
            Err(error) => self.tell_once(format!("the desired state cannot be read: {error}")),
        }
    }

    /// Decides and acts until there is nothing more to do at once. Returns when to wake at the latest.
    pub fn settle(&mut self) -> BootTime {
        let mut wake_at = self.relist_at;
        for _ in 0..PASSES_MAX {
            let now = self.clock.now();
            let is_due = self.is_due(&now);
            self.look_again(&now);
            self.sweep(&now);
            if !is_due && !self.is_changed {
                // The same facts give the same plan until a moment comes that the plan itself has named.
                return self.wakes_at();
            }
            (self.is_changed, self.passed_at) = (false, now.boot);
            self.note_gone(&now);
            self.look_for_twins(&now);
            self.look_after_books(&now);
            self.follow_triggers(&now);
            self.note_works(&now);
            let plan = self.decide(&now);
            let is_more = self.act(&plan, &now);
            self.books.flush();
            self.start_queued(&now);
            // Words come after deeds: a restart does not wait for a log line.
            self.report(&plan);
            self.report_store();
            self.plan = plan;
            wake_at = self.wakes_at();
            if !is_more {
                break;
            }
            self.is_changed = true;
            // Whatever is still due comes with the next turn of the loop, at once.
            wake_at = now.boot;
        }
        self.ask_those_that_run();
        wake_at
    }

    /// When to wake at the latest, although nothing happens.
    fn wakes_at(&self) -> BootTime {
        self.moments().chain(self.remains.due()).fold(self.relist_at, BootTime::min)
    }

    /// The moments that something known now has to be decided or looked at again.
    fn moments(&self) -> impl Iterator<Item = BootTime> {
        let doubt = self.doubts.values().map(|(due, _)| *due).min();
        [self.plan.wake_at, doubt, self.starts.due(), self.twins_due(), self.books.due()].into_iter().flatten()
    }

    /// True when such a moment has come, or the last pass is long ago.
    fn is_due(&self, now: &Now) -> bool {
        self.moments().any(|at| at <= now.boot)
            || self.plan.wake_wall.is_some_and(|at| at <= now.wall)
            || self.passed_at.after(PASS_ANYWAY) <= now.boot
    }

    /// Says that what is decided by may be another.
    pub fn note_change(&mut self) {
        self.is_changed = true;
    }

    fn decide(&mut self, now: &Now) -> Plan {
        let drained = self.is_draining.then(|| drained(&self.desired));
        let desired = drained.as_ref().unwrap_or(&self.desired);
        let mut plan = pressure::plan(desired, &mut self.observed, &self.backoff, now);
        let facts = Facts { desired, observed: &self.observed, backoff: &self.backoff, now, mutant: Mutant::None };
        // A plan that breaks a rule of its own is a defect of ours. It is not carried out: what runs keeps running.
        let broken = audit(&plan, &facts);
        if let Some(first) = broken.first() {
            self.tell_once(format!("a plan broke its own rule and was not carried out: {first}; please report this"));
            for decision in &mut plan.decisions {
                if broken.iter().any(|violation| violation.id.as_ref().is_none_or(|id| *id == decision.id)) {
                    decision.action = None;
                }
            }
        }
        plan
    }

    /// The next due time, by the wall clock.
    #[must_use]
    pub fn wake_wall(&self) -> Option<Timestamp> {
        self.plan.wake_wall
    }

    /// True when nothing is under way and nothing is to be done.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let is_quiet = self.plan.decisions.iter().all(|decision| decision.action.is_none());
        self.starts.is_empty() && is_quiet && !self.awaits_items() && !self.books.is_writing()
    }

    /// Stops everything, without changing what is desired.
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.starts.forget_queued(&mut self.observed);
    }

    /// True when nothing of what is desired runs any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // What cannot be seen is not waited for: nobody could say when it has gone.
        let is_up = |sighting: &Sighting| matches!(sighting.sight, Sight::Seen(_));
        self.starts.is_empty()
            && !self.observed.sightings.iter().any(|(id, sighting)| is_up(sighting) && self.is_ours(id))
    }

    fn is_ours(&self, id: &InstanceId) -> bool {
        self.desired.objects.contains_key(&id.object) || self.desired.tombstones.contains_key(&id.object)
    }

    /// What is not stopped, or not known to be, when everything else is; each with the reason.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let whys = self.observed.sightings.iter().filter_map(|(id, sighting)| match &sighting.sight {
            Sight::Unreadable { why } => Some(format!("{id}: {why}")),
            Sight::Seen(_) if !self.is_ours(id) => Some(format!("{id}: {}", Reason::Stray)),
            Sight::Seen(_) | Sight::Absent => None,
        });
        let unseen = match &self.observed.coverage {
            Coverage::Whole => None,
            Coverage::Partial { why } => Some(why.to_string()),
        };
        unseen.into_iter().chain(whys.take(LEFT_MAX)).collect()
    }

    pub(super) fn tell_once(&mut self, text: String) {
        if self.told.len() < TOLD_MAX && self.told.insert(text.clone()) {
            tracing::error!("{text}");
            self.note_problem(text);
        }
    }

    /// Keeps something a person should know, for `controller status`.
    pub fn note_problem(&mut self, text: String) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.problems.remove(0);
        }
        self.problems.push(text);
        self.is_news = true;
    }

    /// Takes in what is wrong with live folders, in place of what was.
    pub fn take_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.is_news = true;
    }

    /// Becomes readable when [`Core::notice`] has something to notice.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn watch_fd(&self) -> io::Result<OwnedFd> {
        self.watch.fd()
    }

    /// Hands to the disk what waits for that.
    pub fn flush(&mut self) {
        self.books.flush();
    }

    /// Has ready what starts need, so that the first is as fast as any.
    pub fn prepare(&mut self) {
        self.starter.server.prepare(&self.home);
    }

    /// Starts what is queued, without deciding anew.
    pub fn start_more(&mut self) {
        let now = self.clock.now();
        self.start_queued(&now);
    }

    /// True while something is on its way to the disk.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.books.telling > 0 || self.books.is_writing()
    }

    /// True while everything is being stopped.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// How often everything was looked at.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// True when something was reported since the last time.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// The generation it works by.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.desired.generation
    }
}

/// The same desired state with everything paused.
fn drained(desired: &Desired) -> Desired {
    let pause = Pause { by: "setpoint controller stop --all".into(), reason: None, until: None };
    let paused = |object: &Arc<Object>| {
        let overrides = Overrides { paused: Some(pause.clone()), ..object.overrides.clone() };
        Arc::new(Object { overrides, ..(**object).clone() })
    };
    Desired {
        generation: desired.generation,
        coverage: desired.coverage.clone(),
        objects: desired.objects.iter().map(|(id, object)| (id.clone(), paused(object))).collect(),
        tombstones: desired.tombstones.clone(),
        frozen: desired.frozen.clone(),
        is_draining: true,
    }
}
