//! Process 1 of a container: the parent of the controller, and of everybody whose own parent has gone.
//!
//! In: signals, and ends of children. Out: a controller that is there again after each death, and at last an exit
//! code. Not here: stopping services: TERM and INT fork somebody who asks the controller for that, as a person would.
//! The surprise: everything else runs in forks of this process, which return from [`live`] with a [`Role`]; the first
//! one never does anything that could fail, since with it the kernel ends all there is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::PipeFlags;

use super::sys::{self, Reaped, Side};

/// A controller that lived for less is not started again at once, but for the first time.
const LIFE_MIN_MS: u64 = 10_000;
/// The first and the longest pause between two starts of a controller.
const PAUSE_FIRST_MS: u64 = 100;
const PAUSE_LONGEST_MS: u64 = 10_000;
/// How often a stop is tried.
const STOPS_MAX: u32 = 3;
/// How long those that have been stopped may take to go.
const LAST_STEPS_MS: u64 = 2000;

/// What the process that comes back from [`live`] is to be.
#[derive(Debug)]
pub enum Role {
    /// The controller, which says `ready` here when it answers.
    Controller {
        /// Where to say it.
        ready: File,
    },
    /// The one who asks the controller to stop everything, and ends with 0 when all is stopped.
    Stopper,
    /// Process 1 itself, at its end.
    Over {
        /// What to exit with.
        code: u8,
    },
}

/// Lives as process 1. A controller that ends with 0 has stopped all services; after any other end it is started again.
///
/// # Errors
/// When signals cannot be taken. Nothing runs then.
pub fn live() -> io::Result<Role> {
    let signals = sys::take_signals()?;
    let mut first =
        First { signals, controller: None, stopper: None, ending: None, quick: 0, start_at: 0, is_proven: false };
    loop {
        if let Some(role) = first.start_due() {
            // A terminal's Ctrl-C is for process 1 alone.
            _ = rustix::process::setpgid(None, None);
            sys::unblock_signals();
            return Ok(role);
        }
        first.wait();
        if let Some(code) = first.reap() {
            return Ok(Role::Over { code });
        }
    }
}

struct First {
    signals: OwnedFd,
    controller: Option<Controller>,
    stopper: Option<u32>,
    /// How many stops have been tried, once one was asked for.
    ending: Option<u32>,
    /// How many controllers in a row did not live long.
    quick: u32,
    /// When the next controller may start.
    start_at: u64,
    /// Some controller has answered, so services may run.
    is_proven: bool,
}

struct Controller {
    pid: u32,
    since: u64,
    /// Holds its word when it has answered.
    answer: File,
}

impl First {
    /// Forks whoever is missing. The fork gets its role.
    fn start_due(&mut self) -> Option<Role> {
        match self.ending {
            Some(_) if self.stopper.is_some() => None,
            Some(_) => match sys::fork() {
                Ok(Side::Child) => Some(Role::Stopper),
                Ok(Side::Parent(pid)) => {
                    self.stopper = Some(pid);
                    None
                }
                // The machine is out of processes; the wait is bounded, and then it is tried again.
                Err(_) => None,
            },
            None if self.controller.is_some() || sys::mono_ms() < self.start_at => None,
            None => self.start_controller(),
        }
    }

    fn start_controller(&mut self) -> Option<Role> {
        let since = sys::mono_ms();
        let forked = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(|pipe| sys::fork().map(|side| (pipe, side)));
        match forked {
            Ok(((_, ready), Side::Child)) => {
                return Some(Role::Controller { ready: File::from(ready) });
            }
            Ok(((answer, _), Side::Parent(pid))) => {
                self.controller = Some(Controller { pid, since, answer: File::from(answer) });
            }
            Err(_) => self.pause(since),
        }
        None
    }

    /// Says when the next controller may start, after one that was started at `since`.
    fn pause(&mut self, since: u64) {
        let now = sys::mono_ms();
        self.quick = if now.saturating_sub(since) < LIFE_MIN_MS { self.quick.saturating_add(1) } else { 0 };
        let pause = match self.quick {
            0 | 1 => 0,
            n => PAUSE_LONGEST_MS.min(PAUSE_FIRST_MS << (n - 2).min(16)),
        };
        self.start_at = now.saturating_add(pause);
    }

    /// Waits for a signal, or for what is due, and does what a signal asks.
    fn wait(&mut self) {
        let due = match (self.ending, &self.controller, self.stopper) {
            (None, None, _) => Some(self.start_at.saturating_sub(sys::mono_ms()).saturating_add(4)),
            (Some(_), _, None) => Some(PAUSE_FIRST_MS),
            (None, Some(_), _) | (Some(_), _, Some(_)) => None,
        };
        for number in self.signals_within(due) {
            match number {
                libc::SIGTERM | libc::SIGINT => self.ending = self.ending.or(Some(0)),
                libc::SIGHUP => {
                    if let Some(controller) = &self.controller {
                        sys::signal(i32::try_from(controller.pid).unwrap_or(0), libc::SIGHUP);
                    }
                }
                _ => {}
            }
        }
    }

    fn signals_within(&self, millis: Option<u64>) -> [i32; 4] {
        let timeout = millis.map(|millis| {
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
        });
        let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
        if !matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) {
            return [0; 4];
        }
        sys::signals_of(&self.signals)
    }

    /// Takes in everybody who has ended. An exit code when that was the last that mattered.
    fn reap(&mut self) -> Option<u8> {
        while let Reaped::Child { pid, status } = sys::reap() {
            let code = libc::WIFEXITED(status).then(|| u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(1));
            if let Some(controller) = self.controller.take_if(|controller| controller.pid == pid) {
                if let Some(code) = self.controller_ended(controller, code, status) {
                    return Some(code);
                }
            } else if self.stopper == Some(pid) {
                self.stopper = None;
                let tried = self.ending.unwrap_or(0).saturating_add(1);
                self.ending = Some(tried);
                match code {
                    Some(0) => return Some(self.last_steps()),
                    _ if tried >= STOPS_MAX => return Some(1),
                    _ => say("not everything is stopped; it is tried again"),
                }
            }
        }
        None
    }

    fn controller_ended(&mut self, mut controller: Controller, code: Option<u8>, status: i32) -> Option<u8> {
        self.is_proven |= controller.answer.read(&mut [0]).is_ok_and(|length| length > 0);
        match (self.ending, code) {
            // Whoever asks it to stop everything sees that it has gone.
            (Some(_), _) => return None,
            (None, Some(0)) => return Some(0),
            // Nothing runs yet that could be lost, and its reason would be the same next time.
            (None, Some(code)) if !self.is_proven => return Some(code),
            (None, Some(code)) => {
                say(&format!("the controller ended with {code}; it is started again, services run on"))
            }
            (None, None) => {
                let signal = libc::WTERMSIG(status);
                say(&format!("the controller was ended by signal {signal}; it is started again, services run on"));
            }
        }
        self.pause(controller.since);
        None
    }

    /// Gives whoever is about to end a moment to tidy up: with this process, the kernel ends the rest.
    fn last_steps(&self) -> u8 {
        let end = sys::mono_ms().saturating_add(LAST_STEPS_MS);
        loop {
            match sys::reap() {
                Reaped::NoneLeft => return 0,
                Reaped::Child { .. } => {}
                Reaped::NoneYet => match end.checked_sub(sys::mono_ms()) {
                    None | Some(0) => return 0,
                    Some(left) => _ = self.signals_within(Some(left)),
                },
            }
        }
    }
}

fn say(text: &str) {
    // Nobody to tell when stderr is gone.
    _ = writeln!(io::stderr(), "setpoint: {text}");
}
