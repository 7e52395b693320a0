//! `setpoint completion`: scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Outcome, exit};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "setpoint", &mut script);
    super::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
