//! The thread that asks.
//!
//! In: targets. Out: cards, queued for whoever supervises when something on them is new. Not here: whom to ask.
//! The surprise: it counts by the clock that stands still while the machine sleeps, and forgets what it was about to
//! conclude when it has: nobody is judged by an answer that a closed lid delayed.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::ask::{Asker, Memory, Surroundings, THREADS_MAX, name, sentence};
use super::card::{Card, Side};
use super::judge::{Answer, Judge};
use super::pace::Pace;
use crate::engine::expand::Item;
use crate::engine::plan::Launch;
use crate::engine::probe::{Check, Probe, Probes};
use crate::engine::{BootTime, InstanceId, ProcId};
use crate::home::Home;
use crate::observe::clock;
use crate::observe::table::{Process, ProcessState};
use crate::observe::{ProcTable, Table};
use crate::record::argv;

/// So much more boot time than waking time has passed that the machine must have slept.
const SLEPT: Duration = Duration::from_secs(1);

/// Threads that wait for disks stay, since what they start is to end with the controller and not with them.
const THREAD_STAYS: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long ending may take: commands under way are killed meanwhile.
const ENDING: Duration = Duration::from_millis(100);

/// One attempt, with what is asked of it.
#[derive(Debug)]
pub struct Target {
    /// Which instance.
    pub id: InstanceId,
    /// Which attempt.
    pub attempt: u32,
    /// When it started.
    pub since: BootTime,
    /// Its shim.
    pub shim: ProcId,
    /// Its main process.
    pub payload: u32,
    /// What is asked.
    pub probes: Arc<Probes>,
    /// Where its commands run.
    pub launch: Arc<Launch>,
    /// The item it is for, if any.
    pub item: Option<Item>,
    /// It ran before anybody here asked.
    pub is_found: bool,
    /// What its commands are given, once that has been gathered.
    pub surroundings: OnceLock<Arc<Surroundings>>,
}

/// A target that is being asked, for as long as this lives.
#[derive(Debug)]
pub struct Watched {
    /// What it has answered.
    pub card: Arc<Card>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The thread; started with the first target.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    thread: Option<Running>,
}

#[derive(Debug)]
struct Running {
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

/// What all tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) asker: Asker,
    pub(super) begin: Instant,
    tell: mpsc::UnboundedSender<Arc<Card>>,
}

impl Prober {
    /// Asks nothing yet.
    #[must_use]
    pub fn new(home: Home, tell: mpsc::UnboundedSender<Arc<Card>>) -> Prober {
        let shared = Shared { asker: Asker::new(home), begin: Instant::now(), tell };
        Prober { shared: Arc::new(shared), thread: None }
    }

    /// Asks this target until the answer is dropped.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn watch(&mut self, target: Arc<Target>) -> io::Result<Watched> {
        let handle = self.handle()?;
        let card = Arc::new(Card::new(target.id.clone(), target.attempt));
        let mut tasks = Vec::new();
        for (side, probe) in [(Side::Ready, &target.probes.ready), (Side::Live, &target.probes.live)] {
            let Some(probe) = probe.clone() else { continue };
            let (shared, target, card) = (self.shared.clone(), target.clone(), card.clone());
            let task = match &probe.check {
                Check::Delay(_) => continue,
                // Its shim ends it when it falls silent.
                Check::Notify | Check::Log(_) if side == Side::Live => continue,
                Check::Notify | Check::Log(_) => handle.spawn(listen(shared, target, card)),
                Check::Http { .. } | Check::Tcp { .. } | Check::Command(_) | Check::File(_) => {
                    handle.spawn(follow(shared, target, card, side, probe))
                }
            };
            tasks.push(task.abort_handle());
        }
        Ok(Watched { card, tasks })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn handle(&mut self) -> io::Result<Handle> {
        if let Some(running) = &self.thread {
            return Ok(running.handle.clone());
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS_MAX)
            .thread_keep_alive(THREAD_STAYS)
            .thread_name("sp-ask")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("sp-probe".to_owned()).spawn(move || {
            _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(ENDING);
        })?;
        self.thread = Some(Running { handle: handle.clone(), thread: Some(thread), stop: Some(stop) });
        Ok(handle)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Dropping it is the word.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(super) async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until((self.begin + at).into()).await;
    }

    fn tell(&self, card: &Arc<Card>) {
        if card.queue() {
            // Nobody listens any more when the controller ends.
            _ = self.tell.send(card.clone());
        }
    }
}

/// A moment by two clocks, of which one stands still while the machine sleeps.
#[derive(Clone, Copy, Debug)]
struct Moment {
    boot: BootTime,
    awake: Instant,
}

impl Moment {
    fn now() -> Moment {
        Moment { boot: clock::boot(), awake: Instant::now() }
    }

    fn has_slept_since(self) -> bool {
        clock::boot().since(self.boot) > self.awake.elapsed() + SLEPT
    }
}

async fn follow(shared: Arc<Shared>, target: Arc<Target>, card: Arc<Card>, side: Side, probe: Probe) {
    let pace = Pace::new(probe.period, &format!("{} {}", target.id, side.as_str()));
    let mut judge = Judge::new(side, target.attempt, target.is_found, &probe);
    let mut memory = Memory::default();
    let name = name(&probe.check);
    let age = || clock::boot().since(target.since);
    let now = shared.now();
    let mut at = if target.is_found { pace.found(now) } else { pace.starting(now, age()) };
    let mut last = Moment::now();
    loop {
        shared.sleep_until(at).await;
        let turn = shared.asker.turn(&probe.check, &memory).await;
        if last.has_slept_since() {
            judge.forget();
        }
        let asked = Moment::now();
        let answer = shared.asker.ask(&target, &probe, &mut memory, turn).await;
        let is_startup = age() < probe.startup;
        if let Some(answer) = answer {
            let (is_pass, said) = match &answer {
                Ok(said) => (true, said),
                Err(said) => (false, said),
            };
            // One that somebody stopped answers nothing, and is not dead for it.
            if asked.has_slept_since() || (!is_pass && is_stopped(&target)) {
                judge.forget();
            } else {
                let said = sentence(&name, said);
                let answer = Answer { asked_at: asked.boot, is_pass, said: said.clone(), is_startup };
                let evidence = judge.take(&answer);
                card.write(side, &said, evidence.as_ref());
                if evidence.is_some() {
                    shared.tell(&card);
                }
            }
        }
        last = asked;
        let now = shared.now();
        let is_starting = is_startup && !judge.has_passed();
        at = if is_starting { pace.starting(now, age()) } else { pace.settled(now) };
    }
}

/// Waits until its shim says that it is ready.
async fn listen(shared: Arc<Shared>, target: Arc<Target>, card: Arc<Card>) {
    let pace = Pace::telling(&target.id.to_string());
    loop {
        let shim = ProcTable.process(target.shim.pid).filter(|shim| shim.started == target.shim.started);
        // What is gone will be noticed elsewhere.
        let Some(shim) = shim else { return };
        if shim.name.as_bytes() != argv::STARTING.to_bytes() {
            shared.tell(&card);
            return;
        }
        let now = shared.now();
        shared.sleep_until(pace.starting(now, clock::boot().since(target.since))).await;
    }
}

/// Its main process, if it is the one its shim holds.
pub(super) fn main_process(target: &Target) -> Option<Process> {
    let is_shim = ProcTable.process(target.shim.pid).is_some_and(|shim| shim.started == target.shim.started);
    let main = ProcTable.process(target.payload).filter(|main| main.parent == target.shim.pid);
    main.filter(|main| is_shim && main.state != ProcessState::Zombie)
}

pub(super) fn is_stopped(target: &Target) -> bool {
    main_process(target).is_some_and(|main| main.state == ProcessState::Stopped)
}
