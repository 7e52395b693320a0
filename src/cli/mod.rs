//! The command line: one file per verb, and what they share.
//!
//! In: argv. Out: data on stdout, words on stderr, an exit code of the table in [`exit`]. Not here: any decision.
//! The surprise: most verbs read the same facts the controller reads, so they work without one.

pub mod apply;
pub mod attach;
pub mod below;
pub mod call;
pub mod cancel;
pub mod caution;
pub mod completion;
pub mod controller;
pub mod cron;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod doctor;
pub mod end;
pub mod events;
pub mod explain;
pub mod facts;
pub mod freeze;
pub mod get;
pub mod health;
pub mod history;
pub mod import;
pub mod inbox;
pub mod init;
pub mod install;
pub mod job;
pub mod join;
pub mod keys;
pub mod lines;
pub mod logs;
pub mod mailbox;
pub mod order;
pub mod past;
pub mod pause;
pub mod poke;
pub mod request;
pub mod restart;
pub mod rpc;
pub mod run;
pub mod runs;
pub mod schema;
pub mod screen;
pub mod send;
pub mod source;
pub mod tail;
pub mod timetable;
pub mod top;
pub mod trigger;
pub mod usage;
pub mod validate;
pub mod wait;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use self::apply::{Handover, Start};
use self::controller::Started;
use crate::engine::Timestamp;
use crate::home::Home;

/// Exit codes: they are interface.
pub mod exit {
    /// It did, or there is nothing to say.
    pub const OK: u8 = 0;
    /// There are differences, or it failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage, or an invalid manifest.
    pub const USAGE: u8 = 2;
    /// No such object.
    pub const NOT_FOUND: u8 = 3;
    /// Only a controller can do this, and none runs.
    pub const NO_CONTROLLER: u8 = 4;
    /// Refused: it belongs to another set, or the plan is stale.
    pub const REFUSED: u8 = 5;
    /// Somebody has to agree first, or has frozen everything.
    pub const CONSENT: u8 = 6;
    /// Only a part could be done.
    pub const PARTLY: u8 = 7;
    /// It took too long.
    pub const TIMED_OUT: u8 = 124;
    /// A person interrupted it.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a verb ended without doing its work: one clear text, and the code to exit with.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// One of [`exit`].
    pub code: u8,
    /// What, where, and how to fix it; printed to stderr after `error: `.
    pub text: String,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}

/// What a verb comes to: an exit code of [`exit`], or a failure.
pub type Outcome = Result<u8, Failure>;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// JSON; `cloudevents` is the same but for events.
    #[value(alias = "cloudevents")]
    Json,
    /// YAML.
    Yaml,
    /// One KIND/NAME a line.
    Name,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Flags every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The home folder [default: $XDG_STATE_HOME/setpoint or ~/.local/state/setpoint]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// How to print data
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// `cloudevents` was asked for; only `events` knows it.
    #[arg(skip)]
    pub is_cloudevents: bool,
    /// Only objects with this label
    #[arg(short = 'l', long = "selector", global = true, value_name = "KEY=VALUE")]
    pub selector: Vec<String>,
    /// Print no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
}

impl Global {
    /// Flags as nobody gave them.
    #[must_use]
    pub fn quiet() -> Global {
        Global {
            home: None,
            output: Format::Table,
            is_cloudevents: false,
            selector: Vec::new(),
            quiet: true,
            verbose: false,
            color: Color::Never,
        }
    }
}

/// setpoint: kubectl apply for one machine
#[derive(Debug, Parser)]
#[command(name = "setpoint", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Validate(validate::Args),
    #[command(visible_alias = "plan")]
    Diff(diff::Args),
    Apply(apply::Args),
    Delete(delete::Args),
    Get(get::Args),
    Describe(describe::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Logs(logs::Args),
    Events(events::Args),
    Top(top::Args),
    Attach(attach::Args),
    Poke(poke::Args),
    Request(request::Args),
    Restart(restart::Args),
    #[command(visible_alias = "stop")]
    Pause(pause::Args),
    #[command(visible_alias = "start")]
    Resume(pause::ResumeArgs),
    History(history::Args),
    Undo(history::UndoArgs),
    Wait(wait::Args),
    Run(run::Args),
    Runs(runs::Args),
    Cancel(cancel::Args),
    Retry(cancel::RetryArgs),
    Send(send::Args),
    Inbox(inbox::Args),
    Dead(inbox::DeadArgs),
    Freeze(freeze::Args),
    Thaw(freeze::ThawArgs),
    Cron(cron::Args),
    Import(import::Args),
    Job(job::Args),
    Controller(controller::Args),
    Rpc(rpc::Args),
    Doctor(doctor::Args),
    Completion(completion::Args),
    /// Print the version
    Version,
    #[command(hide = true)]
    Call(call::Args),
}

/// Parses argv, runs the verb, and says what went wrong.
pub fn run() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
        let mut typed = matches.get_raw("output").into_iter().flatten();
        cli.global.is_cloudevents = typed.any(|word| word == "cloudevents");
        Ok(cli)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    let code = match check(&cli).and_then(|()| dispatch(&cli.global, cli.verb)) {
        Ok(code) => code,
        Err(failure) => {
            complain(&format!("error: {}", failure.text));
            failure.code
        }
    };
    ExitCode::from(code)
}

fn check(cli: &Cli) -> Result<(), Failure> {
    if cli.global.is_cloudevents && !matches!(cli.verb, Verb::Events(_)) {
        return Err(Failure::new(exit::USAGE, "only events are CloudEvents\n  help: write -o json"));
    }
    Ok(())
}

fn dispatch(global: &Global, verb: Verb) -> Outcome {
    match verb {
        Verb::Init(args) => init::run(global, args),
        Verb::Validate(args) => validate::run(global, args),
        Verb::Diff(args) => diff::run(global, args),
        Verb::Apply(args) => apply::run(global, args),
        Verb::Delete(args) => delete::run(global, args),
        Verb::Get(args) => get::run(global, &args),
        Verb::Describe(args) => describe::run(global, &args),
        Verb::Explain(args) => explain::run(global, args),
        Verb::Schema(args) => schema::run(global, args),
        Verb::Logs(args) => logs::run(global, &args),
        Verb::Events(args) => events::run(global, &args),
        Verb::Top(args) => top::run(global, &args),
        Verb::Attach(args) => attach::run(global, &args),
        Verb::Poke(args) => poke::run(global, &args),
        Verb::Request(args) => request::run(global, &args),
        Verb::Restart(args) => restart::run(global, args),
        Verb::Pause(args) => pause::run(global, args),
        Verb::Resume(args) => pause::resume(global, args),
        Verb::History(args) => history::run(global, args),
        Verb::Undo(args) => history::undo(global, args),
        Verb::Wait(args) => wait::run(global, &args),
        Verb::Run(args) => run::run(global, &args),
        Verb::Runs(args) => runs::run(global, &args),
        Verb::Cancel(args) => cancel::run(global, &args),
        Verb::Retry(args) => cancel::retry(global, &args),
        Verb::Send(args) => send::run(global, &args),
        Verb::Inbox(args) => inbox::run(global, &args),
        Verb::Dead(args) => inbox::dead(global, &args),
        Verb::Freeze(args) => freeze::run(global, args),
        Verb::Thaw(args) => freeze::thaw(global, &args),
        Verb::Cron(args) => cron::run(global, args),
        Verb::Import(args) => import::run(global, args),
        Verb::Job(args) => job::run(global, args),
        Verb::Controller(args) => controller::run(global, args),
        Verb::Rpc(args) => rpc::run(global, &args),
        Verb::Doctor(args) => doctor::run(global, &args),
        Verb::Completion(args) => completion::run(&args),
        Verb::Call(call::Args {}) => call::run(global),
        Verb::Version => print(&format!("setpoint {}\n", env!("CARGO_PKG_VERSION"))).map(|()| exit::OK),
    }
}

/// Sees to it that somebody can execute what is about to be recorded.
///
/// # Errors
/// When a controller would have to be started from inside a service, with which it would end.
pub fn check_executor(home: &Home, start: Start) -> Result<(), Failure> {
    match start {
        Start::IfRunning | Start::IfAny => Ok(()),
        Start::Background | Start::Once if controller::ping(home)?.is_some() => Ok(()),
        Start::Background | Start::Once => controller::refuse_under_shim(),
    }
}

/// Hands a new generation to whoever executes it.
///
/// # Errors
/// When nobody can.
pub fn hand_over(global: &Global, home: &Home, order: &Handover) -> Outcome {
    match order.start {
        Start::IfRunning => {
            if !controller::nudge(home)? {
                say(
                    global,
                    "no controller runs, so nothing is done about it yet; start one: setpoint controller start",
                );
            }
            Ok(exit::OK)
        }
        Start::IfAny => controller::nudge(home).map(|_| exit::OK),
        Start::Once => controller::once(home, global.verbose),
        Start::Background => {
            // One that ends just now is replaced; more than a few in a row is somebody else's doing.
            for _ in 0..3 {
                if let Started::Now(pid) = controller::ensure(home, &[], global.verbose)? {
                    let text =
                        format!("controller started in the background (pid {pid}); stop it: setpoint controller stop");
                    say(global, &text);
                    return Ok(exit::OK);
                }
                if controller::nudge(home)? {
                    return Ok(exit::OK);
                }
            }
            let text =
                "it is recorded, but the controller ends each time it is asked\n  help: setpoint controller start";
            Err(Failure::new(exit::NO_CONTROLLER, text))
        }
    }
}

/// Prints data to stdout.
///
/// # Errors
/// When it cannot be written; a reader that has gone ends the program quietly, as for any filter.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    ignore_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Ends the program quietly when nobody reads any more.
///
/// # Errors
/// When writing failed for another reason.
pub fn ignore_closed(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(exit::FAILED, format!("cannot write: {error}"))),
    }
}

/// Says something to the person, on stderr, unless they asked for quiet.
pub fn say(global: &Global, text: &str) {
    if !global.quiet {
        complain(text);
    }
}

/// Says what is wrong, on stderr, also to who asked for quiet.
pub fn complain(text: &str) {
    // Nobody to tell when stderr is gone or full; `eprintln` would panic there.
    _ = writeln!(std::io::stderr(), "{text}");
}

/// A span as people write it: `500ms`, `90s`, `15m`, `2h`, `7d`.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    text.parse::<crate::kind::units::Duration>().ok().map(|duration| duration.0)
}

/// A moment in the zone of the machine, for people.
#[must_use]
pub fn local(at: Timestamp) -> String {
    let seconds = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(0);
    let moment = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    moment.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Text of a service made safe for a terminal: control characters but tabs are shown, not obeyed.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
