//! A machine of its own for each test: a home, a folder of manifests, and the means to act and to look.
//!
//! In: manifests and words for the command line. Out: what was said, what runs. Not here: any sentence under test.
//! The surprise: whatever a test leaves behind is ended when its world goes out of scope, also on a panic; the
//! controller first, so that it does not bring back what is being ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use setpoint::record::attempt::{self, Birth, End};
use tempfile::TempDir;

use crate::processes::{self, Id, Process};

/// How long anything may take before a test gives up: less than the 60 s after which a controller looks at everything
/// again, so that this net cannot hide a wake-up that was lost.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// How often is looked. A look costs a process on a busy machine.
const LOOK: Duration = Duration::from_millis(25);

/// The world of one test.
pub struct World {
    folder: TempDir,
    root: PathBuf,
}

/// What a verb said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// One instance as `get -o json` shows it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub state: String,
    pub pid: Option<u32>,
    pub shim: Option<u32>,
    pub last_exit: Option<String>,
}

/// A controller in the foreground; killed when it goes out of scope.
pub struct Controller {
    child: Child,
}

impl Controller {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and its end.
    pub fn kill(mut self) {
        self.end();
    }

    pub fn signal(&self, signal: Signal) {
        assert!(processes::send(processes::id(self.child.id()), signal), "the controller has gone by itself");
    }

    /// Waits for its end; the exit code, if it was one.
    pub fn wait(mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the controller does not end");
            std::thread::sleep(LOOK);
        }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.end();
    }
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its true path");
        std::fs::create_dir(root.join("manifests")).expect("a folder for manifests");
        World { folder, root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    /// Writes a manifest as an editor would: in one go.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.manifests().join(file), text).expect("a manifest");
    }

    /// A verb to come.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
        command.args(words).current_dir(&self.root).stdin(Stdio::null());
        command.env("SETPOINT_HOME", self.home()).env_remove("SETPOINT_INSTANCE").env_remove("SETPOINT_ATTEMPT");
        command
    }

    /// Runs a verb to its end.
    pub fn run(&self, words: &[&str]) -> Said {
        said(self.command(words).output().expect("the binary"))
    }

    /// Runs a verb that must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "setpoint {}\n{}{}\n{}", words.join(" "), said.out, said.err, self.story());
        said.out
    }

    /// Records what the manifests say, and starts no controller.
    #[track_caller]
    pub fn apply(&self) {
        self.ok(&["apply", "-f", "manifests", "--no-start"]);
    }

    /// Starts a controller in the foreground and does not wait for it.
    pub fn launch(&self, words: &[&str]) -> Controller {
        let mut command = self.command(&["controller", "run"]);
        let child = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Controller { child: child.expect("the binary") }
    }

    /// Starts a controller in the foreground and waits until it answers.
    #[track_caller]
    pub fn controller(&self) -> Controller {
        self.controller_with(&[])
    }

    #[track_caller]
    pub fn controller_with(&self, words: &[&str]) -> Controller {
        let mut command = self.command(&["controller", "run"]);
        command.args(words);
        self.controller_of(command)
    }

    /// The same by a command that becomes one.
    #[track_caller]
    pub fn controller_of(&self, mut command: Command) -> Controller {
        for (name, value) in self.command(&[]).get_envs() {
            match value {
                Some(value) => _ = command.env(name, value),
                None => _ = command.env_remove(name),
            }
        }
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let controller = Controller { child: command.spawn().expect("a command") };
        self.until("the controller answers", || {
            let pid = std::fs::read_to_string(self.home().join("controller.pid")).unwrap_or_default();
            pid.trim() == controller.id().to_string() && self.run(&["controller", "status"]).code == 0
        });
        controller
    }

    /// Every instance, by name.
    pub fn get(&self) -> BTreeMap<String, Instance> {
        let said = self.run(&["get", "-o", "json"]);
        let value: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        let items = value["items"].as_array().into_iter().flatten();
        items.flat_map(|item| item["status"]["instances"].as_array().into_iter().flatten()).map(instance).collect()
    }

    /// One instance; `service/` is left out of its name.
    #[track_caller]
    pub fn instance(&self, name: &str) -> Instance {
        let all = self.get();
        all.get(&format!("service/{name}")).cloned().unwrap_or_else(|| panic!("no {name} in {all:?}"))
    }

    /// The state of an instance; empty when there is none.
    pub fn state(&self, name: &str) -> String {
        self.get().get(&format!("service/{name}")).map_or(String::new(), |instance| instance.state.clone())
    }

    /// Waits until an instance is in this state.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: &str) -> Instance {
        self.until(&format!("{name} is {state}"), || self.state(name) == state);
        self.instance(name)
    }

    /// Waits until an instance is ready; its main process.
    #[track_caller]
    pub fn ready(&self, name: &str) -> Id {
        processes::id(self.until_state(name, "Ready").pid.expect("a process"))
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

    /// The main process of each instance, as the process table shows it: a child of a shim with a marker.
    pub fn mains(&self) -> BTreeMap<String, Vec<Id>> {
        let all = self.processes();
        let is_main = |process: &&Process| {
            !process.is_shim() && all.iter().any(|other| other.id.pid == process.parent && other.is_shim())
        };
        let mut mains: BTreeMap<String, Vec<Id>> = BTreeMap::new();
        for process in all.iter().filter(is_main) {
            if let Some(instance) = process.instance() {
                mains.entry(instance.to_owned()).or_default().push(process.id);
            }
        }
        mains
    }

    /// The record of an attempt, if there is one.
    pub fn record(&self, name: &str, number: u32) -> Option<(Birth, Option<End>)> {
        let path = self.home().join("records/service").join(name).join(attempt::file_name(number).as_str());
        attempt::parse(&std::fs::read(path).ok()?).ok()
    }

    /// All attempts of an instance, first to last. One whose record is being written is not there yet.
    pub fn attempts(&self, name: &str) -> Vec<(Birth, Option<End>)> {
        (1..).map_while(|number| self.record(name, number)).collect()
    }

    /// The pid in `controller.pid`, while that process lives.
    pub fn controller_pid(&self) -> Option<Id> {
        let pid = std::fs::read_to_string(self.home().join("controller.pid")).ok()?.trim().parse().ok()?;
        Process::of(pid).map(|process| process.id)
    }

    /// Kills the background controller and waits for its end.
    #[track_caller]
    pub fn kill_controller(&self) {
        let id = self.controller_pid().expect("a live controller");
        assert!(processes::send(id, Signal::KILL), "the controller has gone by itself");
        self.until("the controller is gone", || !processes::is_alive(id));
    }

    /// What a person would look at first when something is wrong.
    pub fn story(&self) -> String {
        let table = self.run(&["get", "-o", "wide"]);
        let log = std::fs::read_to_string(self.home().join("controller.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        format!("{}{}\ncontroller.log:\n{tail}", table.out, table.err)
    }
}

/// What ended with this output said.
pub fn said(output: std::process::Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn instance(value: &Value) -> (String, Instance) {
    let pid = |key: &str| value[key].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let instance = Instance {
        state: text("state").unwrap_or_default(),
        pid: pid("pid"),
        shim: pid("shimPid"),
        last_exit: text("lastExit"),
    };
    (text("name").unwrap_or_default(), instance)
}

impl Drop for World {
    fn drop(&mut self) {
        // Held so that no controller starts while the rest is being ended.
        let lock = File::options().write(true).create(true).truncate(false).open(self.home().join("controller.lock"));
        for _ in 0..500 {
            let held = lock
                .as_ref()
                .map(|lock| rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok());
            let (controllers, others): (Vec<Process>, Vec<Process>) =
                self.processes().into_iter().partition(|process| process.instance().is_none());
            if controllers.is_empty() && others.is_empty() {
                break;
            }
            for process in controllers.iter().chain(others.iter().filter(|_| held.unwrap_or(true))) {
                processes::send(process.id, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // The folder is removed by its own drop, after this.
        _ = &self.folder;
    }
}

/// Dice that fall the same way for the same seed, on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Lets a drawn time go by: the one thing here that is not a condition, because a kill has to hit anywhere.
    pub fn pass(&mut self, micros_max: u64) {
        std::thread::sleep(Duration::from_micros(self.below(micros_max)));
    }
}

/// A service as a YAML document.
pub fn service(name: &str, run: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("{line}\n")).collect();
    format!("---\nkind: Service\nname: {name}\nrun: {run}\n{more}")
}
