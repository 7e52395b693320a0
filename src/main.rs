//! The one binary: a shim when asked to be one, the command line otherwise.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // First, before any parser, logger or thread exists: a shim lives as long as its child.
    if args.next().is_some_and(|verb| verb == "shim") {
        return setpoint::shim::run(args);
    }
    setpoint::cli::run()
}
