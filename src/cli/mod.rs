//! The command line: one file per verb, and what they share.
//!
//! In: argv. Out: data on stdout, words on stderr, an exit code of the table in [`exit`]. Not here: any decision.
//! The surprise: most verbs read the same facts the controller reads, so they work without one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

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
    /// JSON.
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

/// setpoint: kubectl apply for one machine
#[derive(Debug, Parser)]
#[command(name = "setpoint", version, about)]
struct Cli {
    #[command(flatten)]
    global: Global,
}

/// Parses argv, runs the verb, and says what went wrong.
pub fn run() -> ExitCode {
    let _cli = Cli::parse();
    ExitCode::from(exit::OK)
}
