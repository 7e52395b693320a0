//! The life of a shim: one wait, over signals, output and words, until the tree is gone.
//!
//! In: a running payload. Out: its lines in the log, and its end in the record. Not here: how either is written.
//! The surprise: there is no timer unless something is pending, so an idle shim never wakes; and the end is written
//! only when no descendant is left, so whoever reads it may start the next attempt.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::cgroup;
use super::claim::Claim;
use super::input::Input;
use super::pump::Pump;
use super::sys::{self, Reaped};
use super::tree;
use super::voice::Voice;
use super::wait::{Sources, wait};
use crate::record::argv::{READY, STOPPING};
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
    /// Why it is being ended, when that is because it is not healthy.
    pub failing: Option<String>,
    /// Most members of the tree seen at once.
    pub seen: u32,
    /// The control group of the tree.
    pub group: Option<PathBuf>,
    /// Its end is to survive a power cut.
    pub is_durable: bool,
    /// What the payload says of itself.
    pub voice: Voice,
    /// Its input and who types into it, if it has any.
    pub input: Option<Box<Input>>,
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

impl Life {
    /// The payload has been executed.
    pub fn begin(&mut self) {
        self.say_ready();
    }

    /// Lives until the tree is gone and its end is recorded.
    pub fn run(mut self) {
        loop {
            let timeout = self.due().map(|due| due.saturating_sub(sys::mono_ms()));
            let came = wait(&self.sources(), timeout);
            let Life { main, pump, voice, input, .. } = &mut self;
            if came.output != [false; 2] {
                pump.take(came.output, &mut |source, bytes| {
                    voice.look(source, bytes);
                    input.iter_mut().for_each(|input| input.print(bytes));
                });
            }
            if came.notify {
                voice.take(*main);
            }
            if let Some(input) = input {
                input.take(&came.input);
            }
            if came.reread {
                self.reread();
            }
            self.say_ready();
            if came.stop {
                self.ask();
            }
            if came.child && self.reap() {
                break;
            }
            self.look_at_clock();
        }
        let Life { pump, input, .. } = &mut self;
        pump.drain(&mut |_, bytes| input.iter_mut().for_each(|input| input.print(bytes)));
        cgroup::remove(self.group.as_deref());
        self.write_end();
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            signals: &self.signals,
            pipes: self.pump.pipes(),
            notify: self.voice.notify(),
            input: self.input.as_deref(),
        }
    }

    fn due(&self) -> Option<u64> {
        let next = match self.phase {
            Phase::Running => self.voice.silence_due(&self.policy),
            Phase::Stopping { since, .. } => Some(since.saturating_add(self.policy.stop_grace_ms)),
            Phase::Killing { next, .. } => Some(next),
        };
        [next, self.pump.due(), self.voice.due()].into_iter().flatten().min()
    }

    /// Reads the policy file again. When that fails the old policy stands.
    fn reread(&mut self) {
        if let Ok(Some(policy)) = policy::read(&self.claim.folder) {
            self.pump.log().limit(&policy);
            self.voice.follow(&self.policy, &policy);
            self.policy = policy;
        }
    }

    /// Begins a stop, once. Nobody asked for it when the payload is not healthy.
    fn ask(&mut self) {
        match self.phase {
            Phase::Running => {}
            Phase::Stopping { .. } | Phase::Killing { .. } => return,
        }
        self.reread();
        self.failing = self.policy.failing.take();
        self.stop();
    }

    fn stop(&mut self) {
        let asked = self.failing.is_none();
        self.phase = Phase::Stopping { since: sys::mono_ms(), asked, is_rest_told: false };
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
        let how = match self.failing.take() {
            Some(why) => How::Unhealthy(why),
            None if libc::WIFSIGNALED(status) => How::Signal(libc::WTERMSIG(status)),
            None => How::Code(libc::WEXITSTATUS(status)),
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
        self.voice.write(&self.claim.folder, now);
        match self.phase {
            Phase::Running => {
                self.failing = self.voice.failing(&self.policy, now);
                if self.failing.is_some() {
                    self.reread();
                    self.stop();
                }
            }
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

    fn say_ready(&mut self) {
        if matches!(self.phase, Phase::Running) && self.voice.becomes_ready(&self.policy) {
            let _ = rustix::thread::set_name(READY);
        }
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
        let words = match &ended.how {
            How::Code(code) => format!("exit {code}"),
            other => other.to_string(),
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
        if self.is_durable {
            // Whoever waits for the lock finds what no power cut takes back.
            let _ = attempt::keep_end(&self.record);
        }
        if let Some(input) = self.input.take() {
            input.end(&words);
        }
    }
}
