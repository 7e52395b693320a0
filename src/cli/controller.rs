//! `setpoint controller`: the program that keeps things as written.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::apply::quoted;
pub use super::below::{is_below, shim_above};
use super::{Failure, Format, Global, Outcome, exit};
use crate::controller::{Left, Options, RunError, run as run_controller};
use crate::home::Home;
use crate::observe::{ProcTable, Table};
use crate::rpc::{Error, client};
use crate::shim::first::{self, Role};

/// How long a controller may take to answer a question.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The variables by which processes are known as ours; a controller never has them.
const MARKERS: [&str; 3] = ["SETPOINT_HOME", "SETPOINT_INSTANCE", "SETPOINT_ATTEMPT"];

/// Run, start, stop or ask the controller
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Debug, Default, clap::Args)]
struct RunArgs {
    /// Keep this folder applied, at every change of a file
    #[arg(short = 'f', long = "filename", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// In the foreground, until INT or TERM; services run on, unless it is process 1 of a container
    Run {
        #[command(flatten)]
        run: RunArgs,
        /// Take the place of a controller that was started in the background
        #[arg(long)]
        replace: bool,
    },
    /// In the background
    Start {
        #[command(flatten)]
        run: RunArgs,
        /// In the foreground instead
        #[arg(long)]
        foreground: bool,
    },
    /// End it; services run on
    Stop {
        /// Stop all services first
        #[arg(long)]
        all: bool,
    },
    /// End it and start it again; services run on
    Restart(RunArgs),
    /// What it says of itself; exit code 4 when none runs
    Status,
    /// Have the system start it, at login or with the machine
    Install(super::install::Args),
    /// Undo that; services run on
    Uninstall(super::install::Target),
    /// What it logged
    Logs {
        /// Only the last lines
        #[arg(short = 'n', long, visible_alias = "lines", value_name = "N", default_value_t = 50)]
        tail: usize,
        /// Go on as more is logged
        #[arg(short, long)]
        follow: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// When a controller cannot run, start or be asked.
pub fn run(global: &Global, args: Args) -> Outcome {
    match args.verb.unwrap_or(Verb::Run { run: args.run, replace: false }) {
        Verb::Run { run, replace } => foreground(global, &run, replace),
        Verb::Start { run, foreground: true } => foreground(global, &run, false),
        Verb::Start { run, foreground: false } => start(global, &run.folders),
        Verb::Stop { all } => super::end::stop(global, all),
        Verb::Restart(run) => {
            let folders = if run.folders.is_empty() { live_folders(global)? } else { run.folders };
            super::end::stop(global, false)?;
            start(global, &folders)
        }
        Verb::Status => status(global),
        Verb::Install(args) => super::install::install(global, &args),
        Verb::Uninstall(target) => super::install::uninstall(global, target),
        Verb::Logs { tail, follow } => super::tail::run(&open(global)?.controller_log(), tail, follow),
    }
}

pub(super) fn open(global: &Global) -> Result<Home, Failure> {
    Home::open(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))
}

/// Refuses to start a controller inside a service.
///
/// # Errors
/// When a shim is among the ancestors of this process.
pub fn refuse_under_shim() -> Result<(), Failure> {
    let Some(instance) = shim_above() else { return Ok(()) };
    let text = format!(
        "this process runs inside {instance}, and a controller started here would end with it\n  \
         help: start the controller from a terminal or a login script: setpoint controller start"
    );
    Err(Failure::new(exit::NO_CONTROLLER, text))
}

fn foreground(global: &Global, args: &RunArgs, replace: bool) -> Outcome {
    refuse_under_shim()?;
    if MARKERS.iter().skip(1).any(|name| std::env::var_os(name).is_some()) {
        // Started from what a service left in an environment: begin anew without it.
        let mut again = Command::new("/proc/self/exe");
        again.arg0("setpoint").args(std::env::args_os().skip(1));
        MARKERS.iter().for_each(|name| _ = again.env_remove(name));
        // By its variable, since the flag may stand there already, and twice is an error.
        again.env("SETPOINT_HOME", open(global)?.root());
        return Err(Failure::new(exit::FAILED, format!("cannot begin anew: {}", again.exec())));
    }
    crate::execute::limits::close_inherited();
    // Otherwise `ps` would show what it was executed as, which may be `exe`.
    _ = rustix::thread::set_name(c"setpoint");
    if std::process::id() == 1 {
        return as_process_1(global, args);
    }
    // The background one is told to answer on its stdout, which nothing else writes to.
    let is_background = std::env::var_os(BACKGROUND).is_some();
    let ready = is_background.then(|| {
        let copy = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3).ok();
        release_stdout();
        copy.map(File::from)
    });
    if replace {
        replace_background(&open(global)?)?;
    }
    live(global, args, !is_background, ready.flatten()).map(|_| exit::OK)
}

/// Ends a controller that nobody would start again. One in a foreground is somebody's.
fn replace_background(home: &Home) -> Result<(), Failure> {
    let pid = ping(home)?.and_then(|pid| u32::try_from(pid).ok());
    let environ = pid.and_then(|pid| ProcTable.environ(pid)).unwrap_or_default();
    let is_it = |entry: &[u8]| entry.strip_prefix(BACKGROUND.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
    if environ.split(|byte| *byte == 0).any(is_it) {
        super::end::end(home)?;
    }
    Ok(())
}

/// As the first process of a container: everything is done by forks of it, which come back here with their role.
fn as_process_1(global: &Global, args: &RunArgs) -> Outcome {
    let failed = |error| Failure::new(exit::FAILED, format!("signals cannot be taken: {error}"));
    match first::live().map_err(failed)? {
        Role::Controller { ready } => {
            replace_background(&open(global)?)?;
            live(global, args, true, Some(ready)).map(|left| match left {
                Left::Stopped => exit::OK,
                // Whoever ended it wanted another one: the container would end with it.
                Left::Running => exit::INTERRUPTED,
            })
        }
        Role::Stopper => super::end::stop_last(global),
        Role::Over { code } => Ok(code),
    }
}

fn live(global: &Global, args: &RunArgs, is_watched: bool, ready: Option<File>) -> Result<Left, Failure> {
    let folders = folders(&args.folders)?;
    let options = Options { folders, is_once: false, is_watched, is_verbose: global.verbose, ready };
    match run_controller(&open(global)?, options) {
        Ok(left) => Ok(left),
        Err(error @ RunError::Already { .. }) => {
            let help = "help: setpoint controller status, or another home with --home";
            Err(Failure::new(exit::REFUSED, format!("{error}\n  {help}")))
        }
        Err(error) => Err(Failure::new(exit::FAILED, error.to_string())),
    }
}

/// Told to a controller that is started in the background.
const BACKGROUND: &str = "SETPOINT_BACKGROUND";

fn release_stdout() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        _ = rustix::stdio::dup2_stdout(null.as_fd());
    }
}

/// The folders to follow, absolute.
///
/// # Errors
/// When one of them is not there.
pub fn folders(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let canonical = |path: &PathBuf| {
        let failed = |error| {
            let text = format!(
                "the folder {} cannot be watched: {error}\n  help: name a folder that is there",
                path.display()
            );
            Failure::new(exit::USAGE, text)
        };
        let folder = path.canonicalize().map_err(failed)?;
        if folder.is_dir() { Ok(folder) } else { Err(failed(std::io::ErrorKind::NotADirectory.into())) }
    };
    given.iter().map(canonical).collect()
}

/// Starts one in the background; says so when one runs already.
fn start(global: &Global, given: &[PathBuf]) -> Outcome {
    let home = open(global)?;
    let wanted = folders(given)?;
    match ensure(&home, &wanted, global.verbose)? {
        Started::Now(pid) => super::say(
            global,
            &format!("controller started in the background (pid {pid}); stop it: setpoint controller stop"),
        ),
        Started::Before(pid) => {
            check_follows(global, pid, &wanted)?;
            super::say(global, &format!("a controller runs already (pid {pid})"));
        }
    }
    Ok(exit::OK)
}

/// A controller that runs already follows what it was started with, and nothing else.
fn check_follows(global: &Global, pid: u64, wanted: &[PathBuf]) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut all = live_folders(global)?;
    let Some(missed) = wanted.iter().find(|folder| !all.contains(folder)) else { return Ok(()) };
    let missed = missed.display();
    all.extend(wanted.iter().filter(|folder| !all.contains(folder)).cloned().collect::<Vec<_>>());
    let flags: String = all.iter().map(|folder| format!(" -f {}", quoted(&folder.to_string_lossy()))).collect();
    let text = format!(
        "a controller runs already (pid {pid}), and it does not follow {missed}\n  \
         help: setpoint controller restart{flags}; services run on"
    );
    Err(Failure::new(exit::REFUSED, text))
}

/// Whether a controller had to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// Yes; its pid.
    Now(u64),
    /// One ran already; its pid.
    Before(u64),
}

/// Sees to it that a controller answers.
///
/// # Errors
/// When none runs and none can be started here.
pub fn ensure(home: &Home, folders: &[PathBuf], is_verbose: bool) -> Result<Started, Failure> {
    for _ in 0..STARTS_MAX {
        if let Some(pid) = ping(home)? {
            return Ok(Started::Before(pid));
        }
        refuse_under_shim()?;
        if let Some(pid) = launch(home, folders, is_verbose)? {
            return Ok(Started::Now(pid));
        }
        // Another one was quicker and answers as soon as it has looked around, or is about to end.
        for _ in 0..PINGS {
            std::thread::sleep(Duration::from_millis(50));
            if let Some(pid) = ping(home)? {
                return Ok(Started::Before(pid));
            }
        }
    }
    let text = format!(
        "another controller holds {} and does not answer\n  help: setpoint controller logs",
        home.controller_lock().display()
    );
    Err(Failure::new(exit::FAILED, text))
}

/// How often a start is tried while another controller is coming or going, and how often that one is asked in between.
const STARTS_MAX: usize = 40;
const PINGS: usize = 5;

/// Starts one in the background and waits until it answers; `None` when another one runs.
fn launch(home: &Home, folders: &[PathBuf], is_verbose: bool) -> Result<Option<u64>, Failure> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("setpoint").arg("--home").arg(home.root()).args(["controller", "run"]);
    for folder in folders {
        command.arg("-f").arg(folder);
    }
    if is_verbose {
        command.arg("--verbose");
    }
    MARKERS.iter().for_each(|name| _ = command.env_remove(name));
    command.env(BACKGROUND, "1").current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    crate::execute::limits::own_session(&mut command);
    let failed =
        |error: std::io::Error| Failure::new(exit::FAILED, format!("the controller cannot be started: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let mut word = [0; 6];
    if child.stdout.take().is_some_and(|mut out| out.read_exact(&mut word).is_ok()) {
        return Ok(Some(u64::from(child.id())));
    }
    let mut text = String::new();
    if let Some(mut err) = child.stderr.take() {
        _ = err.read_to_string(&mut text);
    }
    if child.wait().map_err(failed)?.code() == Some(i32::from(exit::REFUSED)) {
        return Ok(None);
    }
    let text = text.trim().trim_start_matches("error: ");
    Err(Failure::new(exit::FAILED, format!("the controller did not start: {text}\n  help: setpoint controller logs")))
}

/// The pid of the controller that answers, if one does.
///
/// # Errors
/// When one is there and does not answer.
pub fn ping(home: &Home) -> Result<Option<u64>, Failure> {
    let answer = ask(home, "ping", &json!({}))?;
    Ok(answer.map(|answer| answer.get("pid").and_then(Value::as_u64).unwrap_or(0)))
}

/// True when certainly no controller runs. One that does not answer at once does run.
#[must_use]
pub fn is_absent(home: &Home) -> bool {
    let soon = Some(Duration::from_secs(1));
    socket(home).is_ok_and(|socket| matches!(client::ask(&socket, "ping", &json!({}), soon), Ok(None)))
}

/// Has a running controller read everything again. False when none runs.
///
/// # Errors
/// When one is there and does not answer.
pub fn nudge(home: &Home) -> Result<bool, Failure> {
    let Some(answer) = ask(home, "controller.reload", &json!({}))? else { return Ok(false) };
    if answer.get("ending").and_then(Value::as_bool) != Some(true) {
        return Ok(true);
    }
    let text = "it is recorded, but the controller is ending and will not act on it\n  \
                help: when it has ended, start one: setpoint controller start";
    Err(Failure::new(exit::NO_CONTROLLER, text))
}

/// The answer of the controller; `None` when none runs, or none any more.
pub(super) fn ask(home: &Home, method: &str, params: &Value) -> Result<Option<Value>, Failure> {
    client::ask(&socket(home)?, method, params, Some(PATIENCE)).map_err(|error| mute(home, &error))
}

/// The same, with an error as it was answered.
pub(super) fn call(home: &Home, method: &str, params: &Value) -> Result<Option<Result<Value, Error>>, Failure> {
    client::call(&socket(home)?, method, params, Some(PATIENCE)).map_err(|error| mute(home, &error))
}

pub(super) fn socket(home: &Home) -> Result<PathBuf, Failure> {
    home.socket().map_err(|error| Failure::new(exit::FAILED, error.to_string()))
}

pub(super) fn mute(home: &Home, error: &std::io::Error) -> Failure {
    let pid = crate::controller::run::pid_of(home).map_or(String::new(), |pid| format!(" (pid {pid})"));
    let why = match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("not within {} s; it is busy, frozen, or has too many clients", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    };
    Failure::new(
        exit::FAILED,
        format!("the controller{pid} does not answer: {why}\n  help: setpoint controller logs; services run on"),
    )
}

/// The folders that the running controller keeps applied.
///
/// # Errors
/// When it does not answer.
pub fn live_folders(global: &Global) -> Result<Vec<PathBuf>, Failure> {
    let status = ask(&open(global)?, "controller.status", &json!({}))?.unwrap_or_default();
    let folders = status.get("folders").and_then(Value::as_array);
    Ok(folders.into_iter().flatten().filter_map(Value::as_str).map(PathBuf::from).collect())
}

/// What the controller says of itself, if one runs.
///
/// # Errors
/// When it does not answer.
pub fn status_of(home: &Home) -> Result<Option<Value>, Failure> {
    ask(home, "controller.status", &json!({}))
}

fn status(global: &Global) -> Outcome {
    let failed = |error: crate::home::HomeError| Failure::new(exit::FAILED, error.to_string());
    let place = crate::home::place(global.home.as_deref()).map_err(failed)?;
    let Some(home) = Home::open_existing(Some(&place)).map_err(failed)? else {
        if global.output == Format::Json {
            super::print(&format!("{:#}\n", json!({ "running": false })))?;
        }
        let text =
            format!("no controller runs: there is no home {} yet\n  help: setpoint apply -f PATH", place.display());
        return Err(Failure::new(exit::NO_CONTROLLER, text));
    };
    let Some(status) = status_of(&home)? else {
        let last = std::fs::read_to_string(home.state_json()).ok();
        if global.output == Format::Json {
            super::print(&format!("{:#}\n", json!({ "running": false })))?;
        }
        let since = last.map_or("", |_| "; services it started run on");
        let text =
            format!("no controller runs for {}{since}\n  help: setpoint controller start", home.root().display());
        return Err(Failure::new(exit::NO_CONTROLLER, text));
    };
    match global.output {
        Format::Json => super::print(&format!("{status:#}\n"))?,
        Format::Yaml | Format::Table | Format::Wide | Format::Name => super::print(&words(&home, &status))?,
    }
    Ok(exit::OK)
}

fn words(home: &Home, status: &Value) -> String {
    let text = |key: &str| match status.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let counts = status.get("instances").and_then(Value::as_object);
    let counts: Vec<String> = counts.into_iter().flatten().map(|(state, count)| format!("{count} {state}")).collect();
    let folders = status.get("folders").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let follows: String = folders.map(|folder| format!("follows      {folder}\n")).collect();
    let problems = status.get("problems").and_then(Value::as_array);
    let problems: String =
        problems.into_iter().flatten().filter_map(Value::as_str).map(|p| format!("  ! {p}\n")).collect();
    let count = |key: &str| status.pointer(&format!("/runs/{key}")).and_then(Value::as_u64).unwrap_or(0);
    let (at_work, waiting) = (count("at_work"), count("waiting"));
    let mut runs = String::new();
    if at_work + waiting > 0 {
        runs = format!("runs         {at_work} at work, {waiting} waiting\n");
    }
    let line = |key: &str, label: &str| match status.get(key).and_then(Value::as_str) {
        Some(said) => format!("{label:<12} {said}\n"),
        None => String::new(),
    };
    let frozen = line("frozen", "frozen by");
    let pressed = line("pressed", "held back");
    let trouble = match status.get("store_trouble").and_then(Value::as_str) {
        Some(why) => format!("  ! store: no run begins, services go on: {why}\n"),
        None => String::new(),
    };
    format!(
        "controller   running, pid {}, version {}\nhome         {}\nstarted      {}\nheartbeat    {} ({} so far)\n{follows}generation   {}\ninstances    {}\n{runs}{frozen}{pressed}{trouble}{problems}",
        text("pid"),
        text("version"),
        home.root().display(),
        text("started_at"),
        text("last_heartbeat"),
        text("heartbeat_count"),
        text("generation"),
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") },
    )
}

/// One pass in the foreground: takes the lock for as long as there is something to do.
///
/// # Errors
/// When a controller cannot run here.
pub fn once(home: &Home, is_verbose: bool) -> Outcome {
    if shim_above().is_some() && nudge(home)? {
        return Ok(exit::OK);
    }
    refuse_under_shim()?;
    let options = Options { is_once: true, is_verbose, ..Options::default() };
    match run_controller(home, options) {
        Ok(Left::Running | Left::Stopped) => Ok(exit::OK),
        // It has been recorded; whoever runs takes it from there.
        Err(RunError::Already { .. }) => nudge(home).map(|_| exit::OK),
        Err(error) => Err(Failure::new(exit::FAILED, error.to_string())),
    }
}
