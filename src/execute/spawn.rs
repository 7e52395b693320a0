//! Starts a shim.
//!
//! In: an instance and its [`Spawn`]. Out: a pipe that will carry the answer. Not here: waiting for it.
//! The surprise: the new process is a copy of the running binary, even when its file has been replaced, and it is
//! nobody's child: it lets go of itself and answers over the pipe. As a rule it is a copy of a process that was executed
//! long before ([`super::forkserver`]).

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, SealFlags};

use super::environment::Given;
use super::forkserver::ForkServer;
use super::{cgroup, command, handoff, policy};
use crate::engine::InstanceId;
use crate::engine::plan::{self, Spawn};
use crate::home::Home;
use crate::record::argv::Argv;
use crate::record::attempt::Streak;
use crate::record::bounds::{Bounds, Group, Resource};
use crate::record::launch::{self, Launch, Stdin};

// What the engine promises is what a launch spec can carry.
const _: () = assert!(plan::Stdin::DATA_MAX == launch::DATA_MAX);

/// How many attempt records of an instance are kept.
pub const KEEP_ATTEMPTS: u32 = 20;

/// So many descriptors are left free by starts: without any, nobody could look at processes, or read what is desired.
const FDS_KEPT: u64 = 8;

/// What every start of one controller has in common.
#[derive(Debug)]
pub struct Starter {
    /// The home.
    pub home: Home,
    /// The present boot.
    pub boot_id: String,
    /// The soft limit on open files before this process raised its own.
    pub nofile_soft: u64,
    /// The control group that was given to this controller.
    pub domain: Option<cgroup::Domain>,
    /// What shims are copies of.
    pub server: ForkServer,
}

/// What one start is about.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The instance.
    pub id: &'a InstanceId,
    /// What is asked for.
    pub spawn: &'a Spawn,
    /// By which generation.
    pub generation: u64,
    /// What the payload is given, or why it is to be refused; a refused attempt is recorded and counts.
    pub given: Result<&'a Given, &'a str>,
}

/// A start that has not been answered.
#[derive(Debug)]
pub struct Pending {
    /// The process that becomes the shim's parent for a moment, if there is one; to be reaped after the answer.
    pub child: Option<Child>,
    /// Where the answer comes.
    pub answer: OwnedFd,
}

impl Starter {
    /// Starts the shim of one attempt. It is taken back by letting go of the answer, unless the instance is locked by then.
    ///
    /// # Errors
    /// When it cannot be handed its orders or cannot be started at all; nothing runs then and nothing is recorded.
    pub fn start(&mut self, order: &Order<'_>) -> io::Result<Pending> {
        let (answer, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&answer, true)?;
        has_room(&answer)?;
        let orders = self.orders(order, &self.home.records(order.id))?;
        if self.server.send(&self.home, &orders, &theirs) {
            return Ok(Pending { child: None, answer });
        }
        let child = Some(self.execute(order, orders, theirs)?);
        Ok(Pending { child, answer })
    }

    /// Executes the program anew, as the shim of one attempt.
    fn execute(&self, order: &Order<'_>, orders: std::fs::File, answer: OwnedFd) -> io::Result<Child> {
        let Order { id, spawn, .. } = order;
        let revision = spawn.revision.to_string();
        let said =
            Argv { instance: &id.to_string(), attempt: spawn.attempt, revision: &revision, home: self.home.id() };
        Command::new("/proc/self/exe")
            .arg0("setpoint")
            .args(said.words())
            .env_clear()
            .envs(command::markers(&self.home, id, spawn.attempt))
            .stdin(Stdio::from(orders))
            .stdout(Stdio::from(answer))
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    }

    /// The orders, in memory that cannot change any more: they hold the environment, so they never touch a disk.
    fn orders(&self, order: &Order<'_>, folder: &Path) -> io::Result<std::fs::File> {
        let Order { id, spawn, generation, given } = *order;
        let executed = command::executed(&spawn.launch.command);
        let nothing = Given::nothing();
        let mut env = given.unwrap_or(&nothing).env.clone();
        env.extend(command::markers(&self.home, id, spawn.attempt).map(|(name, value)| (name.into(), value.into())));
        let left = handoff::for_attempt(&self.home, id, spawn.attempt);
        env.extend(left.map(|path| (handoff::VARIABLE.into(), path.into())));
        let env: Vec<OsString> = env.into_iter().map(|(name, value)| joined(name, &value)).collect();
        let group = self.domain.as_ref().and_then(|domain| domain.group(self.home.id(), id));
        let files = cgroup::files(&spawn.launch.limits, self.controllers());
        let bounds = Bounds {
            identity: given.ok().and_then(|given| given.identity.clone()),
            group: group.as_deref().map(|folder| Group {
                folder,
                files: files.iter().map(|(file, text)| (*file, text.as_str())).collect(),
            }),
            refusal: given.err(),
            ..self.bounds(&spawn.launch)
        };
        let logs = self.home.logs(&id.object);
        let stdin = match &spawn.launch.stdin {
            plan::Stdin::Null => Stdin::Null,
            plan::Stdin::Pipe => Stdin::Pipe,
            plan::Stdin::Tty => Stdin::Tty,
            plan::Stdin::Data(bytes) => Stdin::Data(bytes),
        };
        let io_socket = match stdin {
            Stdin::Null | Stdin::Data(_) => None,
            Stdin::Pipe | Stdin::Tty => Some(self.home.io_socket(id).map_err(io::Error::other)?),
        };
        let bytes = launch::encode(&Launch {
            home_root: self.home.root(),
            home: self.home.id(),
            instance: &id.to_string(),
            uid: &spawn.uid,
            attempt: spawn.attempt,
            revision: &spawn.revision.to_string(),
            generation,
            boot_id: &self.boot_id,
            streak: Streak {
                n: spawn.streak.n,
                deaths: spawn.streak.deaths,
                crashes: spawn.streak.crashes,
                proven: spawn.streak.proven,
            },
            argv: executed.argv.iter().map(OsStr::new).collect(),
            is_line: executed.is_line,
            is_own: executed.is_own,
            dir: Path::new(&*spawn.launch.dir),
            env: env.iter().map(OsString::as_os_str).collect(),
            policy: policy::written(&spawn.policy, None),
            keep_attempts: KEEP_ATTEMPTS,
            nofile_soft: self.nofile_soft,
            instance_dir: folder,
            log_dir: &logs,
            log_prefix: OsStr::new(&id.cause.to_string()),
            bounds,
            stdin,
            io_socket: io_socket.as_deref(),
            notify: spawn.launch.is_notified,
            durable: spawn.launch.is_durable,
        })
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        sealed(&bytes)
    }

    fn controllers(&self) -> cgroup::Controllers {
        self.domain.as_ref().map(|domain| domain.controllers).unwrap_or_default()
    }

    /// What holds each process of a payload back.
    fn bounds(&self, launch: &plan::Launch) -> Bounds<'static> {
        let limits = &launch.limits;
        let counted = !self.controllers().pids && cgroup::counts_user(launch.user.as_deref());
        let rlimits = [
            (Resource::Files, limits.files),
            (Resource::Processes, limits.processes.filter(|_| counted)),
            (Resource::FileSize, limits.file_size),
            (Resource::Core, limits.core),
            (Resource::Stack, limits.stack),
        ];
        Bounds {
            umask: launch.umask,
            nice: limits.nice,
            oom_score: limits.oom_score,
            rlimits: rlimits.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))).collect(),
            ..Bounds::default()
        }
    }
}

/// Refuses a start that would take the last descriptors: the newest one has the lowest number that was free, and what is
/// started needs one for its life.
fn has_room(newest: &OwnedFd) -> io::Result<()> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let used = u64::try_from(newest.as_raw_fd()).unwrap_or(0).saturating_add(FDS_KEPT);
    if most.is_some_and(|most| used >= most) { Err(rustix::io::Errno::MFILE.into()) } else { Ok(()) }
}

/// Bytes in memory that cannot change any more, to be read from their beginning.
fn sealed(bytes: &[u8]) -> io::Result<std::fs::File> {
    let memory = rustix::fs::memfd_create("setpoint-launch", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK)?;
    io::Seek::rewind(&mut memory)?;
    Ok(memory)
}

fn joined(mut name: OsString, value: &OsStr) -> OsString {
    name.push("=");
    name.push(value);
    name
}
