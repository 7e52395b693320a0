//! What a Service is asked while it runs: is it ready, does it live, and is it reminded of something.
//!
//! In: the fields `ready`, `live` and `heartbeat`. Out: [`Probes`](crate::engine::probe::Probes). Not here: asking.
//! The surprise: the figures are those of a kubelet, but until the first success a readiness probe is asked more often
//! than its period, so that a service is ready as soon as it is.

use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::plan::Told;
use crate::engine::probe::{self, Check, Poke};
use crate::kind::FieldError;
use crate::kind::address::{HttpAddress, TcpAddress};
use crate::kind::command::{check_argv, check_text};
use crate::kind::units::{Duration, Signal, count};

/// The longest text a log probe looks for, in bytes.
const LOG_BYTES_MAX: usize = 200;
/// The shortest period.
const PERIOD_MIN: StdDuration = StdDuration::from_millis(100);
/// The longest of any of these.
const LONGEST: StdDuration = StdDuration::from_secs(24 * 3600);

/// When it counts as ready: exactly one of the first six.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ready {
    /// A GET of this address answers with 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpAddress>,
    /// This port accepts a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpAddress>,
    /// This command exits with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = [["pg_isready", "-q"]]))]
    command: Option<Vec<String>>,
    /// This text appears in a line of its output, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("examples" = ["listening on"]))]
    log: Option<String>,
    /// It says so itself: READY=1 to the socket named by NOTIFY_SOCKET (sd_notify).
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<bool>,
    /// It has lived for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Duration>,
    /// How often it is asked.
    period: Duration,
    /// How long an answer may take.
    timeout: Duration,
    /// So many failures in a row make it unready.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts failures: 1 to 1000"))]
    failure: u32,
    /// So many successes in a row make it ready.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts successes: 1 to 1000"))]
    success: u32,
    /// For how long after a start it is asked more often than its period.
    startup: Duration,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            http: None,
            tcp: None,
            command: None,
            log: None,
            notify: None,
            delay: None,
            period: Duration(StdDuration::from_secs(10)),
            timeout: Duration(StdDuration::from_secs(1)),
            failure: 3,
            success: 1,
            startup: Duration(StdDuration::from_secs(30)),
        }
    }
}

/// Whether it still works; when not, it is ended and started anew as after a crash. Exactly one of the first five.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Live {
    /// A GET of this address answers with 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpAddress>,
    /// This port accepts a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpAddress>,
    /// This command exits with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = [["./check.sh"]]))]
    command: Option<Vec<String>>,
    /// It says so itself: WATCHDOG=1 to the socket named by NOTIFY_SOCKET, at least once within `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<bool>,
    /// It touches this file at least once within `timeout`. Relative to the manifest's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["run/alive"]))]
    file: Option<String>,
    /// How often it is asked.
    period: Duration,
    /// How long an answer, or the silence, may take; 1s, or 30s for `notify` and `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// So many failures in a row count.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts failures: 1 to 1000"))]
    failure: u32,
    /// So many successes in a row count.
    #[serde(deserialize_with = "count")]
    #[schemars(range(min = 1, max = 1000), extend("x-rule" = "it counts successes: 1 to 1000"))]
    success: u32,
    /// For how long after a start a failure proves nothing, unless something succeeded before.
    startup: Duration,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            http: None,
            tcp: None,
            command: None,
            notify: None,
            file: None,
            period: Duration(StdDuration::from_secs(10)),
            timeout: None,
            failure: 3,
            success: 1,
            startup: Duration(StdDuration::from_secs(30)),
        }
    }
}

/// Something done to it on a period while it runs. Exactly one of line, signal, http and command.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Heartbeat {
    /// How often; the first comes at once.
    every: Duration,
    /// This line is typed on its standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["status?"]))]
    line: Option<String>,
    /// This signal is sent to its main process.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<Signal>,
    /// This address is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpAddress>,
    /// This command is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = [["./poke.sh"]]))]
    command: Option<Vec<String>>,
    /// How long it may take.
    timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Heartbeat {
        Heartbeat {
            every: Duration(StdDuration::from_secs(60)),
            line: None,
            signal: None,
            http: None,
            command: None,
            timeout: Duration(StdDuration::from_secs(10)),
        }
    }
}

impl Ready {
    fn checks(&self) -> Vec<Check> {
        let words = |argv: &Vec<String>| Check::Command(argv.as_slice().into());
        let all = [
            self.http.as_ref().map(HttpAddress::check),
            self.tcp.as_ref().map(TcpAddress::check),
            self.command.as_ref().map(words),
            self.log.as_deref().map(|text| Check::Log(text.into())),
            self.notify.filter(|is_on| *is_on).map(|_| Check::Notify),
            self.delay.map(|delay| Check::Delay(delay.0)),
        ];
        all.into_iter().flatten().collect()
    }

    /// For the engine; none before it was checked.
    #[must_use]
    pub fn probe(&self) -> Option<probe::Probe> {
        Some(probe::Probe {
            check: self.checks().into_iter().next()?,
            period: self.period.0,
            timeout: self.timeout.0,
            failure: self.failure,
            success: self.success,
            startup: self.startup.0,
        })
    }

    /// What the shim waits for.
    #[must_use]
    pub fn told(&self) -> Told {
        match (&self.log, self.notify) {
            (Some(text), _) => Told::ByLog(text.as_str().into()),
            (None, Some(true)) => Told::ByNotify,
            (None, _) => Told::AtOnce,
        }
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        one_of("ready", self.checks().len(), "http, tcp, command, log, notify and delay", errors);
        check_command("ready", self.command.as_deref(), errors);
        if let Some(log) = &self.log
            && (log.is_empty() || log.len() > LOG_BYTES_MAX || log.chars().any(char::is_control))
        {
            let help = "write a part of one line, at most 200 bytes: log: listening on";
            errors.push(FieldError::new(&["ready", "log"], "cannot appear in one line", help));
        }
        let spans = [("period", self.period, PERIOD_MIN), ("timeout", self.timeout, StdDuration::from_millis(1))];
        check_spans("ready", &spans, errors);
        check_counts("ready", self.failure, self.success, errors);
    }
}

impl Live {
    fn checks(&self) -> Vec<Check> {
        let words = |argv: &Vec<String>| Check::Command(argv.as_slice().into());
        let all = [
            self.http.as_ref().map(HttpAddress::check),
            self.tcp.as_ref().map(TcpAddress::check),
            self.command.as_ref().map(words),
            self.notify.filter(|is_on| *is_on).map(|_| Check::Notify),
            self.file.as_deref().map(|path| Check::File(path.into())),
        ];
        all.into_iter().flatten().collect()
    }

    fn patience(&self) -> StdDuration {
        let is_silence = self.notify == Some(true) || self.file.is_some();
        self.timeout.map_or(StdDuration::from_secs(if is_silence { 30 } else { 1 }), |timeout| timeout.0)
    }

    /// For the engine; none before it was checked.
    #[must_use]
    pub fn probe(&self) -> Option<probe::Probe> {
        Some(probe::Probe {
            check: self.checks().into_iter().next()?,
            period: self.period.0,
            timeout: self.patience(),
            failure: self.failure,
            success: self.success,
            startup: self.startup.0,
        })
    }

    /// The longest silence the shim allows.
    #[must_use]
    pub fn watchdog(&self) -> Option<StdDuration> {
        (self.notify == Some(true)).then(|| self.patience())
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        one_of("live", self.checks().len(), "http, tcp, command, notify and file", errors);
        check_command("live", self.command.as_deref(), errors);
        if let Some(file) = &self.file {
            check_text(&["live", "file"], file, errors);
        }
        let patience = Duration(self.patience());
        let spans = [("period", self.period, PERIOD_MIN), ("timeout", patience, StdDuration::from_millis(1))];
        check_spans("live", &spans, errors);
        check_counts("live", self.failure, self.success, errors);
    }
}

impl Heartbeat {
    fn pokes(&self) -> Vec<Poke> {
        let all = [
            self.line.as_deref().map(|line| Poke::Line(line.into())),
            self.signal.map(|signal| Poke::Signal(signal.0)),
            self.http.as_ref().map(HttpAddress::poke),
            self.command.as_ref().map(|argv| Poke::Command(argv.as_slice().into())),
        ];
        all.into_iter().flatten().collect()
    }

    /// For the engine; none before it was checked.
    #[must_use]
    pub fn rule(&self) -> Option<probe::Heartbeat> {
        let poke = self.pokes().into_iter().next()?;
        Some(probe::Heartbeat { every: self.every.0, poke, timeout: self.timeout.0 })
    }

    /// True when it needs a standard input to write to.
    #[must_use]
    pub fn types_lines(&self) -> bool {
        self.line.is_some()
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        one_of("heartbeat", self.pokes().len(), "line, signal, http and command", errors);
        check_command("heartbeat", self.command.as_deref(), errors);
        if let Some(line) = &self.line
            && (line.len() > 4096 || line.contains(['\0', '\n', '\r']))
        {
            let help = "write one line of at most 4096 bytes";
            errors.push(FieldError::new(&["heartbeat", "line"], "is not one line", help));
        }
        let spans = [("every", self.every, PERIOD_MIN), ("timeout", self.timeout, StdDuration::from_millis(1))];
        check_spans("heartbeat", &spans, errors);
    }
}

fn one_of(field: &str, named: usize, of: &str, errors: &mut Vec<FieldError>) {
    let what = match named {
        1 => return,
        0 => "does not say what to do",
        _ => "says more than one thing to do",
    };
    errors.push(FieldError::new(&[field], what, format!("write exactly one of {of}")));
}

fn check_command(field: &str, argv: Option<&[String]>, errors: &mut Vec<FieldError>) {
    if let Some(argv) = argv {
        check_argv(&[field, "command"], argv, errors);
    }
}

fn check_spans(field: &str, spans: &[(&str, Duration, StdDuration)], errors: &mut Vec<FieldError>) {
    for (name, span, least) in spans {
        if span.0 < *least || span.0 > LONGEST {
            let help = format!("write {} to 24h", Duration(*least));
            errors.push(FieldError::new(&[field, name], "is out of range", help));
        }
    }
}

fn check_counts(field: &str, failure: u32, success: u32, errors: &mut Vec<FieldError>) {
    for (name, number) in [("failure", failure), ("success", success)] {
        if !(1..=probe::THRESHOLD_MAX).contains(&number) {
            errors.push(FieldError::new(&[field, name], "is out of range", "write 1 to 1000"));
        }
    }
}
