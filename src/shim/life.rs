//! The life of a shim: one wait, over signals and two pipes, until the tree is gone.
//!
//! In: a running payload. Out: its lines in the log, and its end in the record. Not here: how either is written.
//! The surprise: there is no timer unless something is pending, so an idle shim never wakes; and the end is written
//! only when no descendant is left, so whoever reads it may start the next attempt.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::cgroup;
use super::claim::Claim;
use super::pump::Pump;
use super::sys::{self, Reaped};
use super::tree;
use crate::record::argv::STOPPING;
use crate::record::attempt::{self, End, How};
use crate::record::policy::{self, Policy};

/// The first and the longest wait between two rounds of KILL, in milliseconds.
const ROUND_FIRST_MS: u64 = 100;
const ROUND_LONGEST_MS: u64 = 1000;

/// Everything a shim holds while its payload lives.
pub struct Life {
    /// Our own pid.
    pub us: u32,
    /// The main process.
    pub main: u32,
    /// It was written as one string: a stop reaches its process group.
    pub is_line: bool,
    /// What applies at present.
    pub policy: Policy,
    /// The folder and the lock, held through every write.
    pub claim: Claim,
    /// The record, open for its end.
    pub record: OwnedFd,
    /// Tells of signals.
    pub signals: OwnedFd,
    /// Carries output to the log.
    pub pump: Pump,
    /// How far the stop has come.
    pub phase: Phase,
    /// How the main process ended, once it has.
    pub ended: Option<Ended>,
    /// Most members of the tree seen at once.
    pub seen: u32,
    /// The control group of the tree.
    pub group: Option<PathBuf>,
}

/// How far a stop has come. Moments are milliseconds of [`sys::mono_ms`].
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Nobody has asked for one.
    Running,
    /// The stop signal is sent; KILL follows when the grace has passed.
    Stopping {
        /// When the first signal was sent.
        since: u64,
        /// A person or the controller asked, and the main process was alive.
        asked: bool,
        /// Those beside the main process, or its group, have been sent the signal, too.
        is_rest_told: bool,
    },
    /// KILL is sent in rounds until nothing is left.
    Killing {
        /// When the next round is due.
        next: u64,
        /// How long to wait after it.
        wait: u64,
        /// As above.
        asked: bool,
    },
}

/// The end of the main process.
#[derive(Clone, Debug)]
pub struct Ended {
    how: How,
    boot_ns: u64,
    wall_ns: u64,
    asked: bool,
}

/// Which signals have come.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    child: bool,
    stop: bool,
    reread: bool,
}

impl Life {
    /// Lives until the tree is gone and its end is recorded.
    pub fn run(mut self) {
        loop {
            let (came, ready) = self.wait();
            if ready != [false; 2] {
                self.pump.take(ready);
            }
            if came.reread {
                self.reread();
            }
            if came.stop {
                self.ask();
            }
            if came.child && self.reap() {
                break;
            }
            self.look_at_clock();
        }
        self.pump.drain();
        cgroup::remove(self.group.as_deref());
        self.write_end();
    }

    /// Waits for a signal, for output, or for what is due.
    fn wait(&self) -> (Came, [bool; 2]) {
        let timeout = self.due().map(|due| {
            let millis = due.saturating_sub(sys::mono_ms());
            // One more, since the clock in use lags behind by up to one of its steps.
            let millis = i64::try_from(millis).unwrap_or(i64::MAX).saturating_add(4);
            Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
        });
        let [out, err] = self.pump.pipes();
        // A pipe that has ended is replaced by a second look at the signals, asking for nothing.
        let slot =
            |pipe: Option<&OwnedFd>| (pipe.is_some(), if pipe.is_some() { PollFlags::IN } else { PollFlags::empty() });
        let ((has_out, out_flags), (has_err, err_flags)) = (slot(out), slot(err));
        let mut fds = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(out.unwrap_or(&self.signals), out_flags),
            PollFd::new(err.unwrap_or(&self.signals), err_flags),
        ];
        if rustix::event::poll(&mut fds, timeout.as_ref()).is_err() {
            return (Came::default(), [false; 2]);
        }
        let [signals, out, err] = fds.map(|fd| !fd.revents().is_empty());
        let came = if signals { self.read_signals() } else { Came::default() };
        (came, [out && has_out, err && has_err])
    }

    fn due(&self) -> Option<u64> {
        let stop = match self.phase {
            Phase::Running => None,
            Phase::Stopping { since, .. } => Some(since.saturating_add(self.policy.stop_grace_ms)),
            Phase::Killing { next, .. } => Some(next),
        };
        match (stop, self.pump.due()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn read_signals(&self) -> Came {
        let mut came = Came::default();
        for number in sys::signals_of(&self.signals) {
            match number {
                libc::SIGCHLD => came.child = true,
                libc::SIGTERM | libc::SIGINT => came.stop = true,
                libc::SIGHUP => came.reread = true,
                _ => {}
            }
        }
        came
    }

    /// Reads the policy file again. When that fails the old policy stands.
    fn reread(&mut self) {
        if let Ok(Some(policy)) = policy::read(&self.claim.folder) {
            self.pump.log().limit(&policy);
            self.policy = policy;
        }
    }

    /// Begins a stop, once.
    fn ask(&mut self) {
        match self.phase {
            Phase::Running => {}
            Phase::Stopping { .. } | Phase::Killing { .. } => return,
        }
        self.reread();
        self.phase = Phase::Stopping { since: sys::mono_ms(), asked: true, is_rest_told: false };
        self.say_stopping();
        let alive = self.look().iter().filter(|member| member.is_alive()).count();
        self.count(alive);
        let main = i32::try_from(self.main).unwrap_or(0);
        // A frozen process takes no signal but KILL until it is woken.
        for signal in [self.policy.stop_signal, libc::SIGCONT] {
            // The main process may have left the group it was given.
            if !(self.is_line && sys::signal(-main, signal)) {
                sys::signal(main, signal);
            }
        }
    }

    /// Takes the status of whoever ended; true when nobody is left.
    fn reap(&mut self) -> bool {
        loop {
            match sys::reap() {
                Reaped::NoneLeft => return true,
                Reaped::NoneYet => break,
                Reaped::Child { pid, status } if pid == self.main && self.ended.is_none() => self.note_end(status),
                Reaped::Child { .. } => {}
            }
        }
        if self.ended.is_some() {
            self.end_descendants();
        }
        false
    }

    fn note_end(&mut self, status: i32) {
        let how = if libc::WIFSIGNALED(status) {
            How::Signal(libc::WTERMSIG(status))
        } else {
            How::Code(libc::WEXITSTATUS(status))
        };
        let asked = match self.phase {
            Phase::Running => false,
            Phase::Stopping { asked, .. } | Phase::Killing { asked, .. } => asked,
        };
        self.ended = Some(Ended { how, boot_ns: sys::boot_ns(), wall_ns: sys::wall_ns(), asked });
    }

    /// The main process is gone and others are not.
    fn end_descendants(&mut self) {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Stopping { since: sys::mono_ms(), asked: false, is_rest_told: true };
                self.say_stopping();
                self.signal_rest(|_| true);
            }
            Phase::Stopping { since, asked, is_rest_told: false } => {
                self.phase = Phase::Stopping { since, asked, is_rest_told: true };
                let (main, is_line) = (self.main, self.is_line);
                self.signal_rest(|member| !(is_line && member.is_in_group(main)));
            }
            Phase::Stopping { is_rest_told: true, .. } => {}
            // Orphans have come to us: do not wait for the next round.
            Phase::Killing { .. } => self.kill_all(),
        }
    }

    /// Sends the stop signal to the members that `who` picks.
    fn signal_rest(&mut self, who: impl Fn(&tree::Member) -> bool) {
        let members = self.look();
        let alive = members.iter().filter(|member| member.is_alive());
        self.count(alive.clone().count());
        for member in alive.filter(|member| who(member)) {
            member.signal(self.us, self.policy.stop_signal);
            member.signal(self.us, libc::SIGCONT);
        }
    }

    /// Does what is due by now.
    fn look_at_clock(&mut self) {
        if self.due().is_none() {
            return;
        }
        let now = sys::mono_ms();
        if self.pump.due().is_some_and(|due| due <= now) {
            self.pump.quiet(now);
        }
        match self.phase {
            Phase::Running => {}
            Phase::Stopping { since, asked, .. } => {
                if now >= since.saturating_add(self.policy.stop_grace_ms) {
                    self.phase = Phase::Killing { next: now + ROUND_FIRST_MS, wait: ROUND_FIRST_MS * 2, asked };
                    self.kill_all();
                }
            }
            Phase::Killing { next, wait, asked } => {
                if now >= next {
                    let longer = (wait * 2).min(ROUND_LONGEST_MS);
                    self.phase = Phase::Killing { next: now + wait, wait: longer, asked };
                    self.kill_all();
                }
            }
        }
    }

    /// One round of KILL over the whole tree.
    fn kill_all(&mut self) {
        let members = self.look();
        let alive = members.iter().filter(|member| member.is_alive());
        self.count(alive.clone().count());
        cgroup::kill(self.group.as_deref());
        for member in alive {
            member.signal(self.us, libc::SIGKILL);
        }
        // Where there is no /proc to look at, the main process is still known, until it is reaped.
        if members.is_empty() && self.ended.is_none() {
            sys::signal(i32::try_from(self.main).unwrap_or(0), libc::SIGKILL);
        }
    }

    fn look(&self) -> Vec<tree::Member> {
        tree::look(self.us)
    }

    fn count(&mut self, alive: usize) {
        // The main process counts as seen even when it was the first to go.
        let gone = usize::from(self.ended.is_some());
        self.seen = self.seen.max(u32::try_from(alive + gone).unwrap_or(u32::MAX));
    }

    fn say_stopping(&self) {
        // The name is for those who look; nothing depends on it here.
        let _ = rustix::thread::set_name(STOPPING);
    }

    fn write_end(&mut self) {
        let used = sys::usage();
        // Nobody can take our child's status away from us, so this has been noted.
        let Some(ended) = self.ended.take() else {
            return;
        };
        let end = End {
            how: ended.how,
            at_boot_ns: ended.boot_ns,
            at_wall_ns: ended.wall_ns,
            asked: ended.asked,
            tree_seen: self.seen,
            tree_left: 0,
            user_us: used.user_us,
            system_us: used.system_us,
            max_rss_kb: used.max_rss_kb,
            log_dropped: self.pump.log().dropped(),
        };
        // An end that cannot be written reads as lost, which is what the record then knows.
        let _ = attempt::write_end(&self.record, &end);
    }
}
