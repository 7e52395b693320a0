//! A process table of a test's own.
//!
//! In: the name of a test. Out: the same test, run again inside of new namespaces. Not here: what it does there.
//! The surprise: a test that needs such a table has two halves, told apart by a variable: outside it only waits for
//! its other half.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal};

use crate::machine::{is_root, skipped};
use crate::world::said;

/// Names the test that runs inside.
const INSIDE: &str = "SETPOINT_TEST_INSIDE";

/// Who is process 1 inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// A shell that takes in what others leave, as an init does.
    Init,
    /// The test itself, which takes in nothing, as many a container does.
    Test,
}

/// Runs the test of this name in new pid and mount namespaces. True inside; false outside, when the other half has
/// passed or, with the reason printed, where such namespaces are refused.
#[track_caller]
pub fn inside(test: &str, first: First) -> bool {
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return true;
    }
    if !is_root() {
        return skipped("only root may make a pid namespace");
    }
    let probe = said(Command::new("unshare").args(["--mount", "--pid", "--fork", "--mount-proc", "true"]).output());
    match probe {
        Ok(said) if said.code == 0 => {}
        Ok(said) => return skipped(&format!("no pid namespace is to be had: {}", said.err.trim())),
        Err(error) => return skipped(&format!("no pid namespace is to be had: {error}")),
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if first == First::Init {
        command.args(["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"]);
    }
    command.arg(std::env::current_exe().expect("this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, test).process_group(0);
    let said = said(command.output()).expect("unshare");
    said.out.lines().filter(|line| line.trim_start().starts_with("skipped:")).for_each(|line| println!("{line}"));
    assert!(said.code == 0 && said.out.contains("1 passed"), "inside: {}\n{}", said.out, said.err);
    false
}

/// Ends a child that a test has started itself.
pub fn kill(child: &mut std::process::Child) {
    // It is ours and not reaped yet, so its number is nobody else's.
    let pid = Pid::from_child(child);
    _ = rustix::process::kill_process(pid, Signal::KILL);
    _ = child.wait();
}
