//! Carries out the actions of a plan: the only sender of signals and starter of processes, a shim apart.
//!
//! In: one action with everything it needs. Out: what came of it. Not here: choosing.
//! The surprise: nothing here waits for a process. A start is answered over a pipe, an end by a pidfd.

pub mod adopted;
pub mod capture;
pub mod cgroup;
pub mod command;
pub mod env_file;
pub mod environment;
pub mod errand;
pub mod forkserver;
pub mod handoff;
pub mod identity;
pub mod limits;
pub mod lost;
pub mod policy;
pub mod reference;
pub mod signal;
pub mod spawn;
pub mod sweep;
pub mod tail;
