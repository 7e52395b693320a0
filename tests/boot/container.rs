//! A pid namespace in which the binary under test is process 1, as the only program of a container image is.
//!
//! In: a world. Out: signals for process 1, verbs beside it, its exit code. Not here: any sentence under test.
//! The surprise: everything inside is seen from outside under other numbers; `NSpid` tells which is which.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::processes::{self, Id};
use crate::world::{Said, World, said};

/// A running container.
pub struct Container<'a> {
    pub world: &'a World,
    unshare: Child,
    first: Id,
    err: PathBuf,
}

/// True where pid namespaces are to be had; the reason is printed where they are not.
fn is_possible() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "only root may make a pid namespace".to_owned()
    } else {
        match said(Command::new("unshare").args(["--mount", "--pid", "--fork", "--mount-proc", "true"]).output()) {
            Ok(said) if said.code == 0 => return true,
            Ok(said) => said.err,
            Err(error) => error.to_string(),
        }
    };
    println!("skipped: no pid namespace: {}", why.trim());
    false
}

impl<'a> Container<'a> {
    /// Starts one with these words for the binary; none where that is impossible.
    pub fn start(world: &'a World, words: &[&str]) -> Option<Container<'a>> {
        if !is_possible() {
            return None;
        }
        let err = world.root().join("stderr");
        let setpoint = world.command(words);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(setpoint.get_program()).args(setpoint.get_args()).current_dir(world.root()).stdin(Stdio::null());
        for (name, value) in setpoint.get_envs() {
            match value {
                Some(value) => _ = command.env(name, value),
                None => _ = command.env_remove(name),
            }
        }
        command.stdout(Stdio::null()).stderr(File::create(&err).expect("a file")).process_group(0);
        let unshare = command.spawn().expect("unshare");
        let mut first = None;
        world.until("process 1 takes signals, or has gone", || {
            first = children(unshare.id()).into_iter().next();
            first.is_some_and(takes_signals) || !processes::is_alive(processes::id(unshare.id()).unwrap_or(NOBODY))
        });
        Some(Container { world, first: first.unwrap_or(NOBODY), unshare, err })
    }

    /// Signals process 1.
    #[track_caller]
    pub fn send(&self, signal: Signal) {
        assert!(processes::send(self.first, signal), "process 1 has gone:\n{}", self.said());
    }

    /// What process 1 and its controllers said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.err).expect("its stderr")
    }

    /// A verb inside.
    pub fn run(&self, words: &[&str]) -> Said {
        let setpoint = self.world.command(words);
        let program = setpoint.get_program().to_owned();
        let line: Vec<_> = std::iter::once(program).chain(setpoint.get_args().map(ToOwned::to_owned)).collect();
        self.inside(&line.iter().map(|word| word.to_str().expect("text")).collect::<Vec<_>>())
    }

    /// A program inside.
    pub fn inside(&self, line: &[&str]) -> Said {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.pid.to_string(), "--pid", "--mount", "--"]).args(line);
        let like = self.world.command(&[]);
        like.get_envs().for_each(|(name, value)| _ = value.map(|value| command.env(name, value)));
        said(command.current_dir(self.world.root()).stdin(Stdio::null()).output()).expect("nsenter")
    }

    /// The direct children of process 1, dead ones included.
    pub fn children(&self) -> Vec<Id> {
        children(self.first.pid)
    }

    /// The live process that has this number inside, as seen from here.
    fn outside(&self, inner: u32) -> Option<Id> {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.first.pid);
        processes::id(pids.find(|pid| namespace(*pid) == ours && numbers(*pid).last() == Some(&inner))?)
    }

    fn controller_now(&self) -> Option<Id> {
        let pid = std::fs::read_to_string(self.world.home().join("controller.pid")).ok()?;
        self.outside(pid.trim().parse().ok()?)
    }

    /// The controller, as seen from here.
    #[track_caller]
    pub fn controller(&self) -> Id {
        self.controller_now().expect("a controller")
    }

    /// Waits until a controller answers that is not this one.
    #[track_caller]
    pub fn answers(&self, but: Option<Id>) -> Id {
        let mut found = None;
        self.world.until("a controller answers", || {
            let status = self.run(&["controller", "status"]);
            found = self.controller_now().filter(|id| status.code == 0 && but != Some(*id));
            found.is_some()
        });
        found.expect("a controller")
    }

    /// Waits until a service is ready; its main process, as seen from here.
    #[track_caller]
    pub fn ready(&self, name: &str) -> Id {
        self.world.until("the folder is applied", || self.run(&["get", name]).code != 3);
        let said = self.run(&["wait", name, "--timeout", "60s"]);
        assert_eq!(said.code, 0, "{}\n{}", said.err, self.said());
        let said = self.run(&["get", name, "-o", "json"]);
        let value: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let pid = value["items"][0]["status"]["instances"][0]["pid"].as_u64().expect("a pid");
        self.outside(u32::try_from(pid).expect("a pid")).expect("a live process")
    }

    /// Waits for the end of process 1; its exit code.
    pub fn end(mut self) -> i32 {
        let mut code = None;
        self.world.until("the container ends", || {
            code = self.unshare.try_wait().expect("a child");
            code.is_some()
        });
        code.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Ours and not reaped, so its number is nobody else's; with it goes process 1, and with that all the rest.
        if matches!(self.unshare.try_wait(), Ok(None)) {
            _ = rustix::process::kill_process(Pid::from_child(&self.unshare), Signal::KILL);
            _ = self.unshare.wait();
        }
    }
}

const NOBODY: Id = Id { pid: 0, started: 0 };

/// The numbers of a process, from ours to its innermost namespace.
fn numbers(pid: u32) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The children of a process, dead ones included.
fn children(parent: u32) -> Vec<Id> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(|pid| processes::stat(pid).map(|(_, started)| Id { pid, started })).collect()
}

/// True when it keeps signals for later, and no longer loses them as a process 1 does at first. `unshare` keeps back
/// TERM, too, for a moment, but not the ends of children.
fn takes_signals(id: Id) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", id.pid)).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or_default();
    u64::from_str_radix(blocked.trim(), 16).is_ok_and(|mask| mask & (1 << (Signal::CHILD.as_raw() - 1)) != 0)
}
