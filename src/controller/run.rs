//! The life of a controller: start, turn after turn, end.
//!
//! In: a home. Out: nothing, until somebody ends it. Not here: what a turn decides.
//! The surprise: TERM and INT leave services running. Only `stop --all` stops them, and only because it was asked.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::begin::claim;
pub use super::begin::{RunError, pid_of};
use super::books::Settled;
use super::core::Core;
use super::folders::{self, Note};
use super::items;
use super::log;
use super::report::{Status, replace, rfc3339};
use super::request::{Ask, Request};
use super::signals::{Signalled, Signals};
use super::sources;
use super::wake::{Alarm, Wake};
use crate::engine::BootTime;
use crate::home::Home;
use crate::observe::{clock, readable};
use crate::probe::Card;
use crate::rpc::{Server, server};
use crate::watch::{self, Order};

/// Answers of starts that need no decision are gathered for this long.
const GATHER: Duration = Duration::from_millis(20);

/// A controller that begins waits this long for the first list of what its instances are made for.
const FIRST_ITEMS: Duration = Duration::from_millis(250);

/// A controller that ends waits this long for its last events to be kept.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// `state.json` is written at most this often.
const STATE_EVERY: Duration = Duration::from_millis(500);

/// How a controller is to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Live folders.
    pub folders: Vec<PathBuf>,
    /// End as soon as nothing is left to do.
    pub is_once: bool,
    /// Somebody reads stderr.
    pub is_watched: bool,
    /// Log what was not done, too.
    pub is_verbose: bool,
    /// Told when it answers.
    pub ready: Option<File>,
}

/// What a controller leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Services run on.
    Running,
    /// It was asked to stop everything, and has.
    Stopped,
}

/// Runs a controller until it is asked to end.
///
/// # Errors
/// When another one runs, or it cannot begin.
pub fn run(home: &Home, options: Options) -> Result<Left, RunError> {
    let _lock = claim(home)?;
    log::install(&home.controller_log(), options.is_watched, options.is_verbose);
    let pid = format!("{}\n", std::process::id());
    let path = home.controller_pid();
    replace(&path, pid.as_bytes()).map_err(|source| RunError::Files { doing: "cannot write", path, source })?;
    let nofile_soft = crate::execute::limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(live(home, options, nofile_soft));
    // Whatever still serves a client or reads a folder must not hold the end up.
    runtime.shutdown_background();
    if let Ok(socket) = home.socket() {
        _ = std::fs::remove_file(socket);
    }
    _ = std::fs::remove_file(home.controller_pid());
    ended
}

/// A controller with everything it waits for.
struct Life {
    core: Core,
    home: Home,
    folders: folders::Worker,
    items: items::Worker,
    watch: Watcher,
    sources: sources::Worker,
    status: Status,
    wake: Wake,
    state_due: Option<BootTime>,
    stop_answers: Vec<oneshot::Sender<Result<Value, Value>>>,
    is_ending: bool,
}

async fn live(home: &Home, mut options: Options, nofile_soft: u64) -> Result<Left, RunError> {
    let socket = server::bind(&home.socket()?)?;
    let (asking, asked) = mpsc::channel(64);
    let signals = Signals::new()?;
    let (telling, cards) = mpsc::unbounded_channel();
    let (settling, settled) = mpsc::unbounded_channel();
    let mut core = Core::new(home.clone(), nofile_soft, telling, settling)?;
    core.prepare();
    let served = Server::start(home.clone(), socket, asking, core.news())?;
    let (noting, mut notes) = mpsc::unbounded_channel();
    let named = options.folders.iter().map(|folder| folder.display().to_string()).collect();
    let items = items::Worker::new(noting.clone());
    let watch = Watcher { notes: noting.clone(), worker: None, is_off: options.is_once };
    let sources = sources::Worker::new(home.clone(), noting.clone());
    let folders = folders::Worker::start(home.clone(), std::mem::take(&mut options.folders), noting)?;
    let status = first_status(named);
    let wake = Wake::new()?;
    let readable = readable::register(core.watch_fd()?)?;
    let due = readable::register(wake.fd()?)?;
    let alarm = Alarm::new()?;
    let rings = readable::register(alarm.fd()?)?;
    let (home, stop_answers, state_due, is_ending) = (home.clone(), Vec::new(), None, false);
    let mut life =
        Life { core, home, folders, items, watch, sources, status, wake, state_due, stop_answers, is_ending };
    tracing::info!(pid = life.status.pid, home = %life.home.root().display(), "controller started");
    life.beat();
    life.follow();
    life.await_items(&mut notes).await;
    let mut wake_at = life.core.settle();
    life.watch();
    if let Some(mut ready) = options.ready.take() {
        // Whoever waited for this may have gone; that is no reason not to work.
        _ = ready.write_all(b"ready\n");
    }
    if options.is_watched {
        super::notify::ready();
    }
    let mut ears = Ears { readable, due, rings, alarm, asked, settled, notes, cards, signals };
    loop {
        life.write_state();
        if life.is_over(options.is_once) {
            break;
        }
        life.wake.set(life.state_due.map_or(wake_at, |due| due.min(wake_at)))?;
        ears.alarm.set(life.core.wake_wall())?;
        life.core.flush();
        if ears.hear(&mut life).await {
            wake_at = life.core.settle();
            life.watch();
        } else {
            life.core.start_more();
            wake_at = wake_at.min(clock::boot().after(GATHER));
        }
        life.beat();
    }
    life.core.flush();
    ears.last_words(&mut life).await;
    let left = if life.core.is_draining() { Left::Stopped } else { Left::Running };
    life.end();
    served.farewell().await;
    Ok(left)
}

/// The thread that watches files; a home without Triggers that do has none.
struct Watcher {
    notes: mpsc::UnboundedSender<Note>,
    worker: Option<watch::Worker>,
    is_off: bool,
}

impl Watcher {
    fn order(&mut self, home: &Home, order: Order, core: &mut Core) {
        if self.is_off {
            return;
        }
        if self.worker.is_none() {
            let notes = self.notes.clone();
            // A loop that has ended wants no notes.
            let tell = move |news| _ = notes.send(Note::Changes(news));
            match watch::Worker::start(home.root().to_owned(), tell) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => return core.note_problem(format!("files cannot be watched: {error}")),
            }
        }
        if let Some(worker) = &self.worker {
            worker.order(order);
        }
    }
}

/// Everything that a controller waits for.
struct Ears {
    readable: AsyncFd<OwnedFd>,
    due: AsyncFd<OwnedFd>,
    rings: AsyncFd<OwnedFd>,
    alarm: Alarm,
    asked: mpsc::Receiver<Request>,
    settled: mpsc::UnboundedReceiver<Settled>,
    notes: mpsc::UnboundedReceiver<Note>,
    cards: mpsc::UnboundedReceiver<Arc<Card>>,
    signals: Signals,
}

impl Ears {
    /// Waits for the next thing, and takes it in. False when nothing has to be decided at once.
    async fn hear(&mut self, life: &mut Life) -> bool {
        tokio::select! {
            ready = self.readable.readable() => {
                // Cleared first: what comes in between is seen by the drain or makes it readable again.
                if let Ok(mut ready) = ready { ready.clear_ready(); }
                return life.core.notice();
            }
            ready = self.due.readable() => {
                if let Ok(mut ready) = ready { ready.clear_ready(); }
                life.wake.clear();
                return true;
            }
            ready = self.rings.readable() => {
                if let Ok(mut ready) = ready { ready.clear_ready(); }
                self.alarm.clear();
            }
            Some(answer) = self.settled.recv() => {
                let mut is_urgent = life.core.settled(answer);
                while let Ok(answer) = self.settled.try_recv() { is_urgent |= life.core.settled(answer); }
                return is_urgent;
            }
            Some(request) = self.asked.recv() => {
                life.answer(request);
                return true;
            }
            Some(note) = self.notes.recv() => {
                life.note(note);
                return true;
            }
            Some(card) = self.cards.recv() => {
                life.core.hear(&card);
                // A thousand services that come up at once are one decision.
                while let Ok(card) = self.cards.try_recv() { life.core.hear(&card); }
            }
            kind = self.signals.next() => life.signalled(kind),
        }
        life.core.note_change();
        true
    }
}

impl Ears {
    /// Waits until the disk has the last entries, and whoever asked for them is told; for a second at most.
    async fn last_words(&mut self, life: &mut Life) {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while life.core.is_telling() {
            let Ok(Some(answer)) = tokio::time::timeout_at(until, self.settled.recv()).await else { return };
            _ = life.core.settled(answer);
            life.core.flush();
        }
    }
}

/// What it says of itself before it has looked.
fn first_status(folders: Vec<String>) -> Status {
    Status {
        folders,
        running: true,
        pid: std::process::id(),
        started_at: rfc3339(clock::wall()),
        last_heartbeat: None,
        heartbeat_count: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: 0,
        instances: std::collections::BTreeMap::new(),
        waiting: std::collections::BTreeMap::new(),
        runs: super::report::RunCounts::default(),
        schedules_recomputed: 0,
        frozen: None,
        pressed: None,
        store_trouble: None,
        events_dropped: 0,
        problems: Vec::new(),
        broken_files: std::collections::BTreeMap::new(),
    }
}

impl Life {
    /// Reads the desired state again.
    fn refresh(&mut self) {
        let before = self.core.generation();
        self.core.refresh();
        if self.core.generation() != before {
            self.follow();
        }
    }

    /// Tells the thread that watches files what it has to know.
    fn watch(&mut self) {
        if let Some(wanted) = self.core.take_watched() {
            self.watch.order(&self.home, Order::Follow(wanted), &mut self.core);
        }
        for work in self.core.take_works() {
            self.watch.order(&self.home, Order::Work(work), &mut self.core);
        }
    }

    fn follow(&mut self) {
        self.items.follow(self.core.item_rules().clone());
        self.sources.follow(self.core.sources());
    }

    /// Gives the first lists a moment, so that what runs for an item is not called unknown at every start.
    async fn await_items(&mut self, notes: &mut mpsc::UnboundedReceiver<Note>) {
        let until = tokio::time::Instant::now() + FIRST_ITEMS;
        while self.core.awaits_items() {
            let Ok(Some(note)) = tokio::time::timeout_at(until, notes.recv()).await else { return };
            self.note(note);
        }
    }

    fn is_over(&self, is_once: bool) -> bool {
        let is_stopped = self.is_ending && (!self.core.is_draining() || self.core.is_drained());
        is_stopped || (is_once && self.core.is_calm())
    }

    fn end(mut self) {
        self.status.running = false;
        self.state_due = Some(BootTime::default());
        self.write_state();
        let left = if self.core.is_draining() { self.core.left() } else { Vec::new() };
        for answer in self.stop_answers.drain(..) {
            _ = answer.send(Ok(json!({ "stopped": true, "pid": self.status.pid, "left": &left })));
        }
        self.core.sweep_all();
        tracing::info!("controller ended; services {}", if self.core.is_draining() { "are stopped" } else { "run on" });
    }

    /// Writes the heartbeat whenever everything has been looked at.
    fn beat(&mut self) {
        let looks = self.core.looks();
        if looks == self.status.heartbeat_count {
            return;
        }
        self.status.heartbeat_count = looks;
        let at = rfc3339(clock::wall());
        _ = replace(&self.home.heartbeat(), format!("{at}\n").as_bytes());
        self.status.last_heartbeat = Some(at);
        self.state_due.get_or_insert(clock::boot());
    }

    /// Writes `state.json` when it has changed, now and then.
    fn write_state(&mut self) {
        let now = clock::boot();
        if self.core.take_news() {
            self.state_due.get_or_insert(now.after(STATE_EVERY));
        }
        if self.state_due.is_none_or(|due| now < due) {
            return;
        }
        self.state_due = None;
        self.core.fill(&mut self.status);
        // For people and scripts; the machine's truth is elsewhere, so a full disk costs nothing here.
        if let Ok(mut text) = serde_json::to_vec_pretty(&self.status) {
            text.push(b'\n');
            _ = replace(&self.home.state_json(), &text);
        }
    }

    fn answer(&mut self, Request { ask, answer }: Request) {
        if let Ask::Run { .. } | Ask::Post { .. } | Ask::Reload | Ask::Stop { .. } = ask {
            self.core.note_change();
        }
        match ask {
            Ask::Ping => _ = answer.send(Ok(json!({ "pid": self.status.pid, "version": self.status.version }))),
            Ask::Status => {
                self.core.fill(&mut self.status);
                _ = answer.send(Ok(serde_json::to_value(&self.status).unwrap_or_default()));
            }
            Ask::Health => _ = answer.send(Ok(self.core.health())),
            Ask::Items => _ = answer.send(Ok(self.core.items_json())),
            Ask::Triggers => _ = answer.send(Ok(self.core.triggers_json())),
            Ask::Run { wish, by } => self.core.wish(wish, &by, answer),
            Ask::Post { wish, by } => self.core.post(wish, &by, answer),
            Ask::Reload => {
                self.refresh();
                self.folders.look();
                self.items.look();
                self.sources.look();
                _ = answer.send(Ok(json!({ "generation": self.core.generation(), "ending": self.is_ending })));
            }
            Ask::Stop { all } => {
                self.is_ending = true;
                if all {
                    self.core.drain();
                }
                self.stop_answers.push(answer);
            }
        }
    }

    fn note(&mut self, note: Note) {
        if !matches!(note, Note::Desired) {
            self.core.note_change();
        }
        match note {
            Note::Desired => self.refresh(),
            Note::Changes(news) => self.core.take_changes(news),
            Note::Items(news) => self.core.take_items(news),
            Note::Source(news) => self.core.hear_source(news),
            Note::Problem(text) => self.core.note_problem(text),
            Note::Event { subject, word, text, data } => self.core.tell_event(&subject, word, text, &data),
            Note::Wish { wish, by, answer } => self.core.wish(wish, &by, answer),
            Note::Folders(faults) => self.core.take_faults(faults),
        }
    }

    fn signalled(&mut self, kind: Option<Signalled>) {
        match kind {
            Some(Signalled::End) if self.is_ending => {
                tracing::warn!("asked twice to end; services run on");
                // What was being stopped goes on being stopped by its shim.
                std::process::exit(i32::from(crate::cli::exit::INTERRUPTED));
            }
            Some(Signalled::End) => self.is_ending = true,
            Some(Signalled::Reload) => {
                tracing::info!("reading everything again");
                self.refresh();
                self.folders.look();
                self.items.look();
                self.sources.look();
            }
            None => {}
        }
    }
}
