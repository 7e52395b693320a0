//! A machine of its own for each test: a home, a folder of manifests, and the means to act and to look.
//!
//! In: manifests and words for the command line. Out: what was said, what runs. Not here: any sentence under test.
//! The surprise: whatever a test leaves behind is ended when its world goes out of scope, also on a panic; the
//! controllers first, so that they do not bring back what is being ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Id, Process};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often is looked. A look costs a process on a busy machine.
const LOOK: Duration = Duration::from_millis(50);

/// The world of one test.
pub struct World {
    folder: TempDir,
    root: PathBuf,
    home: PathBuf,
}

/// What a verb said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// One instance as `get -o json` shows it.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    pub state: String,
    pub reason: String,
    pub attempt: u64,
    pub pid: Option<u32>,
    pub shim: Option<u32>,
    pub last_exit: String,
}

impl World {
    pub fn new() -> World {
        World::with_home("home")
    }

    /// A world whose home is at this place inside of it.
    pub fn with_home(home: impl AsRef<Path>) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its true path");
        std::fs::create_dir(root.join("manifests")).expect("a folder for manifests");
        World { home: root.join(home), folder, root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Writes a manifest as an editor would: in one go.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.root.join("manifests").join(file), text).expect("a manifest");
    }

    /// A verb to come.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
        command.args(words);
        self.place(&mut command);
        command
    }

    /// A line for the shell, where `setpoint` is the binary under test.
    pub fn shell(&self, line: &str) -> Said {
        self.lines(Command::new("/bin/sh"), line)
    }

    /// A line for a shell that is still to be started.
    pub fn lines(&self, mut shell: Command, line: &str) -> Said {
        shell.args(["-c", &format!("setpoint() {{ '{}' \"$@\"; }}; {line}", env!("CARGO_BIN_EXE_setpoint"))]);
        self.place(&mut shell);
        said(shell.output()).expect("a shell")
    }

    fn place(&self, command: &mut Command) {
        command.current_dir(&self.root).stdin(Stdio::null()).env(processes::WORLD, &self.root);
        command.env("SETPOINT_HOME", &self.home).env_remove("SETPOINT_INSTANCE").env_remove("SETPOINT_ATTEMPT");
        command.env_remove("NO_COLOR").env("TERM", "xterm").env("TZ", "UTC");
        // Of the folders of whoever runs the tests, one may be closed to them here.
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }

    /// Runs a verb to its end.
    pub fn run(&self, words: &[&str]) -> Said {
        said(self.command(words).output()).expect("the binary")
    }

    /// Runs a verb that must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "setpoint {}\n{}{}\n{}", words.join(" "), said.out, said.err, self.story());
        said.out
    }

    /// Applies the folder and waits until all of it is ready.
    #[track_caller]
    pub fn apply(&self) {
        self.ok(&["apply", "-f", "manifests", "--wait", "--timeout", "90s"]);
    }

    /// Every instance, by name.
    pub fn get(&self) -> BTreeMap<String, Instance> {
        let said = self.run(&["get", "-o", "json"]);
        let value: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        let items = value["items"].as_array().into_iter().flatten();
        items.flat_map(|item| item["status"]["instances"].as_array().into_iter().flatten()).map(instance).collect()
    }

    /// One instance of a service by its short name, as in `web/0`; an empty one when there is none.
    pub fn instance(&self, name: &str) -> Instance {
        self.get().remove(&format!("service/{name}")).unwrap_or_default()
    }

    /// Waits until an instance is in this state.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: &str) -> Instance {
        let mut instance = Instance::default();
        self.until(&format!("{name} is {state}"), || {
            instance = self.instance(name);
            instance.state == state
        });
        instance
    }

    /// Waits until an instance is ready; its main process.
    #[track_caller]
    pub fn ready(&self, name: &str) -> Id {
        let instance = self.until_state(name, "Ready");
        processes::id(instance.pid.expect("a process")).expect("a live process")
    }

    /// Waits until `is_so`, and tells the story of the world when that never comes.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}\n{}", self.story());
            std::thread::sleep(LOOK);
        }
    }

    /// Whoever lives here.
    pub fn processes(&self) -> Vec<Process> {
        processes::of_world(&self.root)
    }

    /// The controller, by its own word.
    #[track_caller]
    pub fn controller(&self) -> Id {
        let pid = std::fs::read_to_string(self.home.join("controller.pid")).expect("a controller.pid");
        processes::id(pid.trim().parse().expect("a pid")).expect("a live controller")
    }

    /// Kills the controller and waits for its end.
    #[track_caller]
    pub fn kill_controller(&self) {
        let controller = self.controller();
        assert!(processes::send(controller, Signal::KILL), "the controller has gone by itself");
        self.until("the controller is gone", || !processes::is_alive(controller));
    }

    /// What a person would look at first when something is wrong.
    pub fn story(&self) -> String {
        let table = self.run(&["get", "-o", "wide"]);
        let log = std::fs::read_to_string(self.home.join("controller.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        let status = self.run(&["controller", "status"]);
        format!("{}{}{}{}\ncontroller.log:\n{tail}", table.out, table.err, status.out, status.err)
    }

    /// A text without what differs from world to world.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&self.root.display().to_string(), "ROOT")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let all = self.processes();
            if all.is_empty() {
                break;
            }
            let is_controlled = all.iter().any(|process| process.instance.is_none());
            for process in all.iter().filter(|process| !is_controlled || process.instance.is_none()) {
                processes::send(process.id, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // The folder is removed by its own drop, after this.
        _ = &self.folder;
    }
}

/// What ended with this output said.
pub fn said(output: std::io::Result<Output>) -> std::io::Result<Said> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    output.map(|output| Said {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    })
}

/// A service as a YAML document.
pub fn service(name: &str, run: &str, more: &str) -> String {
    format!("---\nkind: Service\nname: {name}\nrun: {run}\n{more}{}", if more.is_empty() { "" } else { "\n" })
}

fn instance(value: &Value) -> (String, Instance) {
    let pid = |key: &str| value[key].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let instance = Instance {
        state: text("state"),
        reason: text("reason"),
        attempt: value["attempt"].as_u64().unwrap_or(0),
        pid: pid("pid"),
        shim: pid("shimPid"),
        last_exit: text("lastExit"),
    };
    (text("name"), instance)
}
