//! Asks one question and puts the answer into words.
//!
//! In: a check, and of whom. Out: what came back, or why it does not count. Not here: when, how often, and what it
//! comes to.
//! The surprise: waiting for a turn is no part of an answer's time, so that a crowd of slow ones makes nobody fail.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::file::{Silence, Touch};
use super::net::{self, Names};
use super::prober::Target;
use super::typing;
use crate::engine::InstanceId;
use crate::engine::plan::{EnvValue, Launch};
use crate::engine::probe::{Check, Probe};
use crate::engine::time::Span;
use crate::execute::command::markers;
use crate::execute::environment::{self, Given};
use crate::execute::errand::{self, Done, Errand};
use crate::home::Home;

/// How many connections are asked at once: each is cheap, and those that never answer must not be in the way.
const NET_MAX: usize = 256;

/// How many commands run at once.
const COMMANDS_MAX: usize = 16;

/// How many files are looked at once; more only where a disk hangs.
const FILES_MAX: usize = 32;

/// How many threads may wait for a disk or a resolver.
pub(super) const THREADS_MAX: usize = COMMANDS_MAX + FILES_MAX + 32;

/// The longest answer, in characters.
const SAID_MAX: usize = 200;

/// What is shorter is no secret, and would be found everywhere.
const SECRET_MIN: usize = 4;

/// What all questions share.
#[derive(Debug)]
pub struct Asker {
    home: Home,
    names: Arc<Names>,
    net: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

/// What one probe of one attempt remembers from question to question.
#[derive(Debug)]
pub struct Memory {
    silence: Silence,
    /// Taken while something of the last question is left, even if nobody waits for it any more.
    own: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { silence: Silence::new(Instant::now()), own: Arc::new(Semaphore::new(1)) }
    }
}

/// Leave to ask.
#[derive(Debug)]
pub struct Turn {
    _all: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
}

impl Asker {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(home: Home) -> Asker {
        Asker {
            home,
            names: Arc::default(),
            net: Arc::new(Semaphore::new(NET_MAX)),
            commands: Arc::new(Semaphore::new(COMMANDS_MAX)),
            files: Arc::new(Semaphore::new(FILES_MAX)),
        }
    }

    /// Waits for a turn; those who came first go first. It takes as long as the last question of the same probe hangs.
    pub async fn turn(&self, check: &Check, memory: &Memory) -> Turn {
        let crowd = match check {
            Check::Http { .. } | Check::Tcp { .. } => &self.net,
            Check::Command(_) => &self.commands,
            Check::File(_) => &self.files,
            Check::Log(_) | Check::Notify | Check::Delay(_) => return Turn { _all: None, _own: None },
        };
        // Never closed, so always given.
        let own = memory.own.clone().acquire_owned().await.ok();
        Turn { _all: crowd.clone().acquire_owned().await.ok(), _own: own }
    }

    /// Asks. Nothing, while nothing can be said.
    pub async fn ask(
        &self,
        target: &Target,
        probe: &Probe,
        memory: &mut Memory,
        turn: Turn,
    ) -> Option<Result<String, String>> {
        let within = probe.timeout;
        let answer = match &probe.check {
            Check::Http { host, port, path } => timed(within, net::http(&self.names, host, *port, path)).await,
            Check::Tcp { host, port } => timed(within, net::tcp(&self.names, host, *port)).await,
            Check::Command(argv) => self.command(target, argv, within, turn).await,
            Check::File(path) => {
                let found = look(path, turn).await;
                return match found {
                    Ok(found) => memory.silence.look(found, Instant::now(), within),
                    Err(why) => Some(Err(why)),
                };
            }
            Check::Log(_) | Check::Notify | Check::Delay(_) => return None,
        };
        Some(answer)
    }

    /// Runs a command in the surroundings of a service; passes when it exits with 0.
    pub async fn command(
        &self,
        target: &Target,
        argv: &Arc<[String]>,
        within: Duration,
        turn: impl Send + 'static,
    ) -> Result<String, String> {
        let (surroundings, turn) = target.surroundings(turn).await?;
        let mut env = surroundings.given.env.clone();
        env.extend(markers(&self.home, &target.id, target.attempt).map(|(name, value)| (name.into(), value.into())));
        let Target { launch, .. } = target;
        let errand = Errand {
            argv: target.words(argv),
            dir: launch.dir.to_string(),
            env,
            umask: launch.umask,
            identity: surroundings.given.identity.clone(),
        };
        match errand::run(errand, within, turn).await {
            Ok(done) => outcome(&done, within).map_err(|said| surroundings.masked(said)),
            Err(error) => Err(net::plain(&error)),
        }
    }

    /// Asks a page, as [`Check::Http`] does.
    pub async fn http(&self, host: &Arc<str>, port: u16, path: &str, within: Duration) -> Result<String, String> {
        timed(within, net::http(&self.names, host, port, path)).await
    }

    /// Types a line into an instance; done when its shim has taken it for a standard input that is open.
    pub async fn line(&self, target: &Target, line: &str, within: Duration) -> Result<String, String> {
        let socket = self.home.io_socket(&target.id).map_err(|error| error.to_string())?;
        match tokio::time::timeout(within, typing::type_line(&socket, line)).await {
            Ok(typed) => typed,
            Err(_) => Err(format!("its standard input took nothing within {}", Span(within))),
        }
    }

    /// A turn for something that is no probe.
    pub async fn turn_for(&self, is_command: bool) -> Option<OwnedSemaphorePermit> {
        let crowd = if is_command { &self.commands } else { &self.net };
        crowd.clone().acquire_owned().await.ok()
    }
}

async fn timed(within: Duration, ask: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    match tokio::time::timeout(within, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}", Span(within))),
    }
}

/// Looks at a file; as long as its disk needs.
async fn look(path: &Arc<str>, turn: Turn) -> Result<Option<Touch>, String> {
    let path = path.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        rustix::fs::stat(Path::new(&*path))
    });
    match looked.await {
        Ok(Ok(stat)) => {
            let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
            Ok(Some(Touch { inode: stat.st_ino, modified: (stat.st_mtime, nanos) }))
        }
        Ok(Err(rustix::io::Errno::NOENT)) => Ok(None),
        Ok(Err(error)) => Err(net::plain(&error.into())),
        Err(_) => Err("it cannot be looked at".to_owned()),
    }
}

fn outcome(done: &Done, within: Duration) -> Result<String, String> {
    use std::os::unix::process::ExitStatusExt;
    let how = match done.status {
        None => format!("not done within {}", Span(within)),
        Some(status) if status.success() => return Ok("exit 0".to_owned()),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "exit unknown".to_owned(),
        },
    };
    // A line whose beginning is missing may begin within something that nobody should read.
    let whole = if done.is_cut { done.tail.splitn(2, |b| *b == b'\n').nth(1).unwrap_or_default() } else { &done.tail };
    let tail = String::from_utf8_lossy(whole);
    let last = tail.lines().rev().map(str::trim).find(|line| !line.is_empty());
    Err(last.map_or_else(|| how.clone(), |line| format!("{how}: {line}")))
}

/// A check as people wrote it, in a few words.
#[must_use]
pub fn name(check: &Check) -> String {
    match check {
        Check::Http { host, port, path } => format!("http {}:{port}{path}", shown(host)),
        Check::Tcp { host, port } => format!("tcp {}:{port}", shown(host)),
        Check::Command(argv) => format!("command {}", argv.first().map_or("", String::as_str)),
        Check::Log(text) => format!("log {text:?}"),
        Check::Notify => "notify".to_owned(),
        Check::File(path) => format!("file {path}"),
        Check::Delay(delay) => format!("delay {}", Span(*delay)),
    }
}

/// This machine goes without saying.
pub(super) fn shown(host: &str) -> String {
    match host {
        "127.0.0.1" => String::new(),
        _ if host.contains(':') => format!("[{host}]"),
        _ => host.to_owned(),
    }
}

/// What came back, fit for one line of a table.
#[must_use]
pub fn sentence(name: &str, answer: &str) -> Arc<str> {
    let printable = answer.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text = format!("{name}: ");
    text.extend(printable.take(SAID_MAX));
    text.into()
}

/// What the commands of one attempt are given: gathered once, as for the attempt itself.
pub struct Surroundings {
    given: Given,
    secrets: Vec<String>,
}

/// Secrets are never printed, not even for us.
impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("given", &self.given).finish_non_exhaustive()
    }
}

impl Surroundings {
    fn of(launch: &Launch, given: Given) -> Surroundings {
        let is_plain =
            |name: &str| environment::is_base(name) || matches!(launch.env.get(name), Some(EnvValue::Literal(_)));
        let hidden = given.env.iter().filter(|(name, _)| name.to_str().is_none_or(|name| !is_plain(name)));
        let lines = hidden.flat_map(|(_, value)| {
            let text = value.to_string_lossy();
            text.lines().map(str::trim).filter(|line| line.len() >= SECRET_MIN).map(str::to_owned).collect::<Vec<_>>()
        });
        let mut secrets: Vec<String> = lines.collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Surroundings { given, secrets }
    }

    /// What came from elsewhere than the manifest is nobody's to read.
    fn masked(&self, said: String) -> String {
        self.secrets.iter().fold(said, |said, secret| said.replace(secret, "***"))
    }
}

impl Target {
    /// What its commands are given; `turn` is kept while that is gathered, however long it takes.
    async fn surroundings<T: Send + 'static>(&self, turn: T) -> Result<(Arc<Surroundings>, T), String> {
        if let Some(known) = self.surroundings.get() {
            return Ok((known.clone(), turn));
        }
        let launch = self.launch.clone();
        let gathered = tokio::task::spawn_blocking(move || (environment::gather(&launch), turn));
        let (given, turn) = gathered.await.map_err(|_| "its environment could not be gathered".to_owned())?;
        let found = Arc::new(Surroundings::of(&self.launch, given?));
        Ok((self.surroundings.get_or_init(|| found).clone(), turn))
    }

    /// The words of a command, filled with the item it is for.
    fn words(&self, argv: &Arc<[String]>) -> Vec<String> {
        let InstanceId { cause, .. } = &self.id;
        argv.iter().map(|word| self.item.as_ref().map_or_else(|| word.clone(), |item| item.fill(word, cause))).collect()
    }
}
