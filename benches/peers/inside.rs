//! Row 11, the part inside one process: reconcile of many settled objects and schedules, and load with validation of many files.
//!
//! In: made-up facts of a machine at rest. Out: milliseconds a pass. Not here: the process table (`scan`).
//! The surprise: a settled machine is the case that counts, since it is what a controller sees nearly always; a pass
//! that plans any action here is an error and not a figure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use setpoint::engine::backoff::{Attempt, Backoff, End, Streak};
use setpoint::engine::desired::{Coverage, Desired, Object, Overrides, Spec};
use setpoint::engine::expand::{Items, Kind, Up, Want};
use setpoint::engine::name::NameError;
use setpoint::engine::observed::{Alive, Observed, Phase, Sight, Sighting};
use setpoint::engine::plan::{Command as Line, Launch, Policy};
use setpoint::engine::run::{
    Arises, Book, Cursor, Final, History, Missed, OnQuiet, Outcome, Overlap, Params, Retry, Risk, RunRule, Times,
    TimesRule, Work, ticks,
};
use setpoint::engine::schedule::{Schedule, Zone};
use setpoint::engine::{BootId, BootTime, Cause, InstanceId, Now, ObjectRef, ProcId, Revision, Timestamp, reconcile};

use crate::table::{Bar, Figure, OURS, Table, percentile};

const SOME: Figure = Figure::new(11, "reconcile of 10 000 settled objects, ms", Bar::Most(5.0));
const MANY: Figure = Figure::new(11, "reconcile of 100 000 settled objects, ms", Bar::Most(60.0));
/// Linear is 10; half as much again is left to memory being slower than caches.
const GROWTH: Figure = Figure::new(11, "reconcile, 100 000 in times 10 000 objects", Bar::Most(15.0));
/// Linear is 2. It stands beside the line above to tell an algorithm that grows too fast from a step in between.
const DOUBLING: Figure = Figure::new(11, "reconcile, 100 000 in times 50 000 objects", Bar::None);
const LOAD: Figure = Figure::new(11, "load and validate 10 000 manifests, s", Bar::Most(1.0));
const CRON: Figure = Figure::new(11, "reconcile of 10 000 settled CronJobs, ms", Bar::Most(5.0));
const POLICY: Policy = Policy::DEFAULT;

/// A kind with one slot: what a Service without replicas is to the engine.
#[derive(Debug)]
struct Kept {
    cause: Cause,
    up: Up,
}

impl Kind for Kept {
    fn expand<'a>(&'a self, _: Option<&'a Items>, wants: &mut Vec<Want<'a>>) {
        wants.push(Want { cause: &self.cause, up: &self.up, item: None });
    }

    fn revision_input(&self) -> String {
        "{}".to_owned()
    }

    fn policy(&self) -> Policy {
        self.up.policy.clone()
    }
}

struct Facts {
    desired: Desired,
    observed: Observed,
    backoff: Backoff,
    now: Now,
}

const HALF: Figure = Figure::new(11, "reconcile of 50 000 settled objects, ms", Bar::None);

/// Measures both; `folder` is where the manifests are written and may be removed afterwards.
pub fn measure(table: &mut Table, folder: &Path) {
    let some = passes(table, SOME, 10_000, 40);
    let half = passes(table, HALF, 50_000, 20);
    let many = passes(table, MANY, 100_000, 12);
    for (figure, fewer) in [(GROWTH, some), (DOUBLING, half)] {
        if let (Some(fewer), Some(many)) = (fewer, many) {
            table.add(figure, OURS, many / fewer);
        }
    }
    let _ = measured(table, CRON, 10_000, 40, scheduled(10_000));
    match load(folder, 10_000) {
        Ok(seconds) => table.add(LOAD, OURS, seconds),
        Err(error) => table.note(format!("row 11, load: {error}")),
    }
}

/// The median pass over `count` objects in milliseconds.
fn passes(table: &mut Table, figure: Figure, count: usize, repeats: usize) -> Option<f64> {
    measured(table, figure, count, repeats, settled(count))
}

fn measured(
    table: &mut Table,
    figure: Figure,
    count: usize,
    repeats: usize,
    facts: Result<Facts, NameError>,
) -> Option<f64> {
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => {
            table.note(format!("row 11, {count} objects: {error}"));
            return None;
        }
    };
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let begun = Instant::now();
        let plan = reconcile(black_box(&facts.desired), black_box(&facts.observed), &facts.backoff, &facts.now);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let actions = plan.decisions.iter().filter(|decision| decision.action.is_some()).count();
        if plan.decisions.len() != count || actions > 0 {
            let found = plan.decisions.len();
            table.note(format!("row 11: {count} settled objects got {found} decisions with {actions} actions"));
            return None;
        }
    }
    let median = percentile(&mut times, 50)?;
    table.add(figure, OURS, median);
    Some(median)
}

fn settled(count: usize) -> Result<Facts, NameError> {
    let (boot_id, hour) = (BootId::new("00000000-0000-4000-8000-000000000000"), Duration::from_secs(3600));
    let revision = Revision { version: 1, hash: Arc::from("9f86d081884c7d65") };
    let (mut objects, mut sightings, mut attempts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for number in 0..count {
        let id = ObjectRef::new("service", &format!("app-{number:06}"))?;
        let uid: Arc<str> = Arc::from(format!("{number:016x}"));
        let spec = Spec::Known(Arc::new(Kept { cause: Cause::Slot(0), up: up() }));
        let (revisions, overrides) = (vec![revision.clone()], Overrides::default());
        let object = Object { id: id.clone(), uid: uid.clone(), spec, revisions, work_generation: 0, overrides };
        let instance = InstanceId { object: id.clone(), cause: Cause::Slot(0) };
        let pid = u32::try_from(number).unwrap_or(0) * 2 + 1000;
        let shim = ProcId { boot: boot_id.clone(), pid, started: 100_000 + u64::from(pid) };
        let since = BootTime::from_millis(5_000);
        let alive = Alive {
            attempt: 1,
            revision: revision.clone(),
            shim: shim.clone(),
            payload: pid + 1,
            since,
            phase: Phase::Running,
            is_told: true,
            tree: Arc::from([]),
        };
        let attempt = Attempt {
            number: 1,
            uid,
            revision: revision.clone(),
            shim,
            payload: pid + 1,
            boot_id: boot_id.clone(),
            started: since,
            started_wall: Timestamp::default(),
            streak: Streak::default(),
            end: End::Open,
        };
        let sighting = Sighting { policy: Some(POLICY), ..Sighting::of(Sight::Seen(alive)) };
        objects.insert(id, Arc::new(object));
        sightings.insert(instance.clone(), sighting);
        attempts.insert(instance, attempt);
    }
    let coverage = Coverage::Whole;
    Ok(Facts {
        desired: Desired {
            generation: 1,
            coverage: coverage.clone(),
            objects,
            tombstones: BTreeMap::new(),
            frozen: None,
            is_draining: false,
        },
        observed: Observed { coverage, sightings, ..Observed::empty() },
        backoff: Backoff(attempts),
        now: Now { wall: Timestamp::default(), boot: BootTime::default().after(hour), boot_id },
    })
}

/// A kind with a schedule: what a CronJob is to the engine.
#[derive(Debug)]
struct Scheduled(RunRule);

impl Kind for Scheduled {
    fn expand<'a>(&'a self, _: Option<&'a Items>, _: &mut Vec<Want<'a>>) {}

    fn revision_input(&self) -> String {
        "{}".to_owned()
    }

    fn policy(&self) -> Policy {
        POLICY
    }

    fn runs(&self) -> Option<&RunRule> {
        Some(&self.0)
    }
}

/// So many CronJobs between two due times, each with a past.
fn scheduled(count: usize) -> Result<Facts, NameError> {
    let mut facts = settled(0)?;
    // 2026-11-21T10:00:30Z.
    facts.now.wall = Timestamp::from_nanos(1_795_255_230 * 1_000_000_000);
    let settled_at = Timestamp::from_nanos(1_795_255_200 * 1_000_000_000);
    for number in 0..count {
        let id = ObjectRef::new("cronjob", &format!("app-{number:06}"))?;
        let uid: Arc<str> = Arc::from(format!("{number:016x}"));
        let schedule = Arc::new(Schedule::parse(&format!("{} * * * *", number % 60)).unwrap_or_default());
        let rule = TimesRule {
            schedule: schedule.clone(),
            zone: None,
            jitter: Duration::ZERO,
            missed: Missed::Once,
            missed_within: Duration::from_secs(3600),
            quiet: Vec::new(),
            on_quiet: OnQuiet::Skip,
            is_once: false,
            is_enabled: true,
        };
        let rule = RunRule {
            work: Work::Command(up().launch),
            arises: Arises::Times(rule),
            policy: POLICY,
            timeout: None,
            retry: Retry::NONE,
            overlap: Overlap::Skip,
            history: History::DEFAULT,
            params: Params::none(),
            is_resumed: false,
            risk: Risk::Moderate,
        };
        let (spec, overrides) = (Spec::Known(Arc::new(Scheduled(rule))), Overrides::default());
        let object =
            Object { id: id.clone(), uid: uid.clone(), spec, revisions: Vec::new(), work_generation: 1, overrides };
        let times = Times {
            key: Arc::from("key"),
            schedule,
            zone: Zone::utc(),
            offset: Duration::ZERO,
            spread: Duration::ZERO,
            quiet: Vec::new(),
            at: None,
        };
        let cursor = Cursor {
            uid: uid.clone(),
            key: times.key.clone(),
            since: settled_at,
            at: settled_at,
            set_wall: facts.now.wall,
            set_boot: facts.now.boot,
            boot_id: facts.now.boot_id.clone(),
        };
        let last = Final { uid, outcome: Outcome::Ok, reason: Arc::from(""), ended: settled_at, attempts: 1 };
        let book = Book {
            next: ticks::next(&times, &cursor),
            cursor: Some(cursor),
            times: Some(Ok(Arc::new(times))),
            last: [(Cause::tick(settled_at), last)].into(),
            ..Book::default()
        };
        facts.observed.ledger.books.insert(id.clone(), book);
        facts.desired.objects.insert(id, Arc::new(object));
    }
    Ok(facts)
}

fn up() -> Up {
    let command = Line::Argv(vec!["/usr/bin/app".to_owned(), "--serve".to_owned()]);
    let launch = Arc::new(Launch::new(command, "/srv"));
    Up::new(launch)
}

/// `setpoint validate` over this many files, the fastest of three, in seconds.
fn load(folder: &Path, count: usize) -> io::Result<f64> {
    let files = folder.join("manifests");
    fs::create_dir_all(&files)?;
    for number in 0..count {
        let mut text =
            format!("kind: Service\nname: app-{number:06}\nrun: [\"/usr/bin/app\", \"--port\", \"{number}\"]\n");
        let _ = write!(text, "restart: on-failure\nstop: {{ grace: 5s }}\nenv:\n  NUMBER: \"{number}\"\n");
        fs::write(files.join(format!("app-{number:06}.yaml")), text)?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
        command.arg("--home").arg(folder.join("home")).args(["validate", "-q", "-f"]).arg(&files);
        let begun = Instant::now();
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        best = best.min(begun.elapsed().as_secs_f64());
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let first = words.lines().next().unwrap_or("nothing on stderr");
            return Err(io::Error::other(format!("setpoint validate ended with {}: {first}", output.status)));
        }
    }
    Ok(best)
}
