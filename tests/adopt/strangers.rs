//! Processes that a test starts beside the product, and what the process table says of argument lists.
//!
//! In: words. Out: a process that ends with its scope. Not here: what the product makes of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::processes::{self, Id};
use crate::world::World;

/// A process nobody supervises; killed when it goes out of scope.
pub struct Stranger {
    child: Child,
    pub id: Id,
}

impl Stranger {
    /// Starts it in the folder of a world. It has been executed when this returns.
    #[track_caller]
    pub fn start(world: &World, words: &[&str]) -> Stranger {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(world.root()).stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::null()).env_remove("SETPOINT_HOME").env_remove("SETPOINT_INSTANCE");
        let child = command.spawn().expect("it can be started");
        let id = processes::id(child.id());
        Stranger { child, id }
    }

    pub fn send(&self, signal: Signal) {
        assert!(processes::send(self.id, signal), "it has gone by itself");
    }

    /// Kills it and leaves it a zombie.
    pub fn die(&self, world: &World) {
        self.send(Signal::KILL);
        world.until("it is dead", || !processes::is_alive(self.id));
    }

    pub fn pid(&self) -> Option<u32> {
        Some(self.id.pid)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Everybody whose whole argument list is this one.
pub fn with_argv(words: &[&str]) -> Vec<Id> {
    let wanted: Vec<u8> = words.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let fits = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|argv| argv == wanted);
    pids.filter(fits).filter_map(|pid| processes::Process::of(pid).map(|process| process.id)).collect()
}

/// Whoever follows this file.
pub fn watchers(file: &Path) -> Vec<Id> {
    with_argv(&["tail", "-F", &file.display().to_string()])
}

/// A service that follows a file, and takes whoever else does for itself.
pub fn watcher(file: &Path, more: &str) -> String {
    let file = file.display().to_string();
    let pattern = file.replace('.', "\\.");
    crate::world::service(
        "w",
        &format!("[tail, -F, '{file}']"),
        &format!("adopt: {{ commandLine: 'tail -F {pattern}' }}\nbackoff: {{ from: 10ms, giveUp: never }}\n{more}"),
    )
}

/// What `get -o json` says of an instance.
pub fn told(world: &World, name: &str) -> serde_json::Value {
    let said = world.run(&["get", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let objects = value["items"].as_array().into_iter().flatten();
    let mut instances = objects.flat_map(|item| item["status"]["instances"].as_array().into_iter().flatten());
    instances.find(|instance| instance["name"] == format!("service/{name}")).cloned().unwrap_or_default()
}
