//! The command line as its users meet it: what is typed, what comes back on which stream, and the exit code.
//!
//! In: the real binary and a home of each test's own. Out: tables of words. Texts that hold pids, times or ids are
//! looked at in part; all others stand here as they are printed.

#[path = "cli/codes.rs"]
mod codes;
#[path = "cli/day.rs"]
mod day;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/jobs.rs"]
mod jobs;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/needs.rs"]
mod needs;
#[path = "hostile/processes.rs"]
mod processes;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/said.rs"]
mod said;
#[path = "cli/sets.rs"]
mod sets;
#[path = "cli/shapes.rs"]
mod shapes;
#[path = "cli/truth.rs"]
mod truth;
#[path = "cli/words.rs"]
mod words;
#[path = "hostile/world.rs"]
mod world;
