//! What is asked of a running process, and what it answered.
//!
//! In: nothing; these are the values a kind asks with and an observer answers with. Out: the same, and whether an
//! answer counts. Not here: asking, which needs sockets, processes and time.
//! The surprise: evidence names the attempt it was taken from and the moment it was asked, so that whatever comes late
//! can never judge a process that is younger than it.

use std::sync::Arc;
use std::time::Duration;

use super::observed::Alive;
use super::time::BootTime;

/// The most probes that fail, or succeed, before it counts.
pub const THRESHOLD_MAX: u32 = 1000;

/// One question, asked again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// How often.
    pub period: Duration,
    /// How long one answer may take; for [`Check::File`] and the watchdog, how long the silence may be.
    pub timeout: Duration,
    /// So many failures in a row count as one.
    pub failure: u32,
    /// So many successes in a row count as one.
    pub success: u32,
    /// So long after the start a failure proves nothing, unless something succeeded before.
    pub startup: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A GET answered with 200 to 399.
    Http {
        /// A name or an address.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// With the query, from `/`.
        path: Arc<str>,
    },
    /// A connection that is accepted.
    Tcp {
        /// A name or an address.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// A command that exits with 0.
    Command(Arc<[String]>),
    /// This text in a line of its output; its shim tells.
    Log(Arc<str>),
    /// The service says so itself (`sd_notify`); its shim tells.
    Notify,
    /// A file that it touches.
    File(Arc<str>),
    /// Being alive for so long.
    Delay(Duration),
}

/// Something done to a running process on a period, beside its own life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often; the first comes at once.
    pub every: Duration,
    /// What is done.
    pub poke: Poke,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a heartbeat does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poke {
    /// Types a line.
    Line(Arc<str>),
    /// Sends a signal to the main process, by number.
    Signal(i32),
    /// Asks an URL.
    Http {
        /// A name or an address.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// With the query, from `/`.
        path: Arc<str>,
    },
    /// Runs a command.
    Command(Arc<[String]>),
}

/// What is asked of one process, and done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Whether it can be used.
    pub ready: Option<Probe>,
    /// Whether it still works; if not, it is started anew.
    pub live: Option<Probe>,
    /// What it is reminded of.
    pub heartbeat: Option<Heartbeat>,
}

/// How a process comes to count as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// By living so long.
    After(Duration),
    /// By evidence.
    Probed,
}

impl Probes {
    /// How a process comes to count as ready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.ready.as_ref().map(|probe| &probe.check) {
            None => Readiness::After(super::live::READY_AFTER),
            Some(Check::Delay(delay)) => Readiness::After(*delay),
            Some(_) => Readiness::Probed,
        }
    }

    /// True when readiness has to be asked for or told.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.readiness() == Readiness::Probed
    }
}

/// What a probe has come to, its thresholds counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The attempt that was asked.
    pub attempt: u32,
    /// When the first of the questions it rests on was asked.
    pub asked_at: BootTime,
    /// Whether it passed.
    pub is_pass: bool,
    /// Whether this attempt has passed before.
    pub has_passed: bool,
    /// Which probe it was and what it said last: `http :8080/health: connection refused`.
    pub said: Arc<str>,
}

/// What is known of the health of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Of its readiness.
    pub ready: Option<Evidence>,
    /// Of its liveness.
    pub live: Option<Evidence>,
    /// It ran when this observer came, so it keeps the benefit of ready until the first fresh answer. Nothing starts on
    /// that benefit.
    pub is_found: bool,
}

impl Evidence {
    /// True when it was taken from this very process.
    #[must_use]
    pub fn is_of(&self, alive: &Alive) -> bool {
        self.attempt == alive.attempt && self.asked_at >= alive.since
    }
}
