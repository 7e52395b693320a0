//! The one binary: a shim or their fork server when asked to be one, the command line otherwise.

use std::process::ExitCode;

use setpoint::record::{argv, forkserver};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // First, before any parser, logger or thread exists: a shim lives as long as its child.
    match args.next() {
        Some(verb) if verb == argv::VERB => setpoint::shim::run(args),
        Some(verb) if verb == forkserver::VERB => setpoint::shim::server::run(),
        Some(_) | None => setpoint::cli::run(),
    }
}
