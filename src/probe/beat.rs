//! Reminds an instance on a period: a line, a signal, a page, a command.
//!
//! In: what to do, and to which attempt. Out: the same done, and a count of it. Not here: when an instance is ready.
//! The surprise: it belongs to the instance and not to an attempt, so that what is skipped while nothing runs is
//! counted, too.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::ask::{sentence, shown};
use super::prober::{Prober, Shared, Target, is_stopped, main_process};
use crate::engine::probe::{Heartbeat, Poke};
use crate::engine::{InstanceId, ProcId, Timestamp};
use crate::execute::signal::{self, Sent};
use crate::observe::{ProcTable, clock};

/// What has been done so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often it was done.
    pub count: u64,
    /// How often it was not: nothing ran, it was stopped by somebody, or the last one took too long.
    pub skipped: u64,
    /// How often it failed.
    pub failed: u64,
    /// When the last one began.
    pub began: Option<Timestamp>,
    /// When the last one that is over ended: before that, while one is under way.
    pub ended: Option<Timestamp>,
    /// When and how the last failure came.
    pub last_failure: Option<(Timestamp, Arc<str>)>,
}

/// The reminders of one instance, for as long as this lives.
#[derive(Debug)]
pub struct Beat {
    rule: Heartbeat,
    whom: watch::Sender<Option<Arc<Target>>>,
    tally: Arc<Mutex<Tally>>,
    task: AbortHandle,
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Beat {
    /// Begins; nobody is reminded yet.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn begin(prober: &mut Prober, id: &InstanceId, rule: &Heartbeat) -> io::Result<Beat> {
        let handle = prober.handle()?;
        let (whom, target) = watch::channel(None);
        let tally = Arc::<Mutex<Tally>>::default();
        let task = handle.spawn(repeat(prober.shared().clone(), id.clone(), rule.clone(), target, tally.clone()));
        Ok(Beat { rule: rule.clone(), whom, tally, task: task.abort_handle() })
    }

    /// What it does.
    #[must_use]
    pub fn rule(&self) -> &Heartbeat {
        &self.rule
    }

    /// Goes on with this attempt, or with none.
    pub fn aim(&self, target: Option<Arc<Target>>) {
        let number = |target: &Option<Arc<Target>>| target.as_ref().map(|target| target.attempt);
        self.whom.send_if_modified(|now| {
            let is_new = number(now) != number(&target);
            if is_new {
                *now = target;
            }
            is_new
        });
    }

    /// The attempt it goes to.
    #[must_use]
    pub fn aims_at(&self) -> Option<u32> {
        self.whom.borrow().as_ref().map(|target| target.attempt)
    }

    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Whom = watch::Receiver<Option<Arc<Target>>>;

async fn repeat(shared: Arc<Shared>, id: InstanceId, rule: Heartbeat, mut whom: Whom, tally: Arc<Mutex<Tally>>) {
    let note = |change: &dyn Fn(&mut Tally)| change(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
    let mut was_failing = false;
    let mut begun = shared.now();
    // Nothing is missed before there was anything to remind.
    while whom.borrow_and_update().is_none() {
        if whom.changed().await.is_err() {
            return;
        }
    }
    loop {
        let target = whom.borrow_and_update().clone();
        if target.is_some() {
            begun = shared.now();
        }
        match target {
            Some(target) if !is_stopped(&target) => {
                note(&|tally| tally.began = Some(clock::wall()));
                let came = poke(&shared, &target, &rule).await;
                let failure = came.err().map(|why| sentence(&name(&rule.poke), &why));
                note(&|tally| {
                    let now = clock::wall();
                    (tally.ended, tally.count) = (Some(now), tally.count + 1);
                    if let Some(why) = &failure {
                        tally.failed += 1;
                        tally.last_failure = Some((now, why.clone()));
                    }
                });
                if let (Some(why), false) = (&failure, was_failing) {
                    tracing::warn!(instance = %id, "its heartbeat failed: {why}");
                }
                was_failing = failure.is_some();
            }
            Some(_) | None => note(&|tally| tally.skipped += 1),
        }
        // Those that came due meanwhile are not made up for.
        let missed = shared.now().saturating_sub(begun).as_nanos() / rule.every.as_nanos().max(1);
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        note(&|tally| tally.skipped += u64::from(missed));
        let next = begun.saturating_add(rule.every.saturating_mul(missed.saturating_add(1)));
        tokio::select! {
            () = shared.sleep_until(next) => begun = next,
            changed = until_somebody(&mut whom) => if !changed { return },
        }
    }
}

/// Until there is another attempt to remind; one that goes away is only missed when it is due. False at the end.
async fn until_somebody(whom: &mut Whom) -> bool {
    loop {
        if whom.changed().await.is_err() {
            return false;
        }
        if whom.borrow_and_update().is_some() {
            return true;
        }
    }
}

async fn poke(shared: &Shared, target: &Arc<Target>, rule: &Heartbeat) -> Result<String, String> {
    let within = rule.timeout;
    match &rule.poke {
        Poke::Line(line) => shared.asker.line(target, line, within).await,
        Poke::Signal(number) => {
            let Some(main) = main_process(target) else { return Err("its main process has gone".to_owned()) };
            let proc = ProcId { boot: target.shim.boot.clone(), pid: main.pid, started: main.started };
            match signal::send_to(&ProcTable, &proc, *number) {
                Ok(Sent::Delivered) => Ok("sent".to_owned()),
                Ok(Sent::Gone) => Err("its main process has gone".to_owned()),
                Err(error) => Err(super::net::plain(&error)),
            }
        }
        Poke::Http { host, port, path } => {
            let _turn = shared.asker.turn_for(false).await;
            shared.asker.http(host, *port, path, within).await
        }
        Poke::Command(argv) => {
            let turn = shared.asker.turn_for(true).await;
            shared.asker.command(target, argv, within, turn).await
        }
    }
}

fn name(poke: &Poke) -> String {
    match poke {
        Poke::Line(_) => "line".to_owned(),
        Poke::Signal(number) => format!("signal {number}"),
        Poke::Http { host, port, path } => format!("http {}:{port}{path}", shown(host)),
        Poke::Command(argv) => format!("command {}", argv.first().map_or("", String::as_str)),
    }
}
