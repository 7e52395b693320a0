//! A person at a terminal: keys in, a picture out.
//!
//! In: what to run. Out: what stands on the screen, and how the terminal was left. Not here: the sentences under test.
//! The surprise: the terminal is real, and what is printed goes through one in memory, so that a picture is compared and
//! not the way it was painted.

use std::fs::File;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::processes;
use crate::world::World;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(45);

/// A person.
pub struct Person {
    terminal: OwnedFd,
    far: OwnedFd,
    found: Termios,
    child: Child,
    shown: Vec<u8>,
    size: (u16, u16),
}

impl Person {
    /// Runs `setpoint attach` with these words on a terminal of this size.
    pub fn attach(world: &World, words: &[&str], rows: u16, cols: u16) -> Person {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = rustix::pty::openpt(flags).expect("a terminal");
        rustix::pty::grantpt(&terminal).expect("it is ours");
        rustix::pty::unlockpt(&terminal).expect("it opens");
        let far = rustix::pty::ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
        rustix::io::ioctl_fionbio(&terminal, true).expect("it does not block");
        let found = tcgetattr(&far).expect("its modes");
        let verb = world.command(&[&["attach"], words].concat());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--"]).arg(verb.get_program()).args(verb.get_args());
        command.current_dir(world.root());
        command.envs(verb.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env_remove("SETPOINT_INSTANCE").env_remove("SETPOINT_ATTEMPT");
        let copy = || Stdio::from(File::from(far.try_clone().expect("a copy")));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        let mut person = Person {
            child: command.spawn().expect("setsid"),
            terminal,
            far,
            found,
            shown: Vec::new(),
            size: (rows, cols),
        };
        person.resize(rows, cols);
        person
    }

    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.size = (rows, cols);
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).expect("a window");
    }

    pub fn types(&mut self, keys: &str) {
        assert_eq!(rustix::io::write(&self.terminal, keys.as_bytes()), Ok(keys.len()));
    }

    pub fn signal(&self, signal: Signal) {
        assert!(processes::send(processes::id(self.child.id()).expect("it runs"), signal));
    }

    /// Everything that was printed so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// The picture.
    pub fn screen(&self) -> vt100::Screen {
        let count = |count: u16| NonZeroU16::new(count).expect("a size");
        let mut parser = vt100::Parser::new(count(self.size.0), count(self.size.1), 0);
        parser.process(&self.shown);
        parser.screen().clone()
    }

    /// Waits until this has been printed.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        self.until(text, |person| person.shown().contains(text));
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Person) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}\n{:?}", self.shown());
            self.look();
        }
    }

    fn look(&mut self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
        poll(&mut fds, Some(&moment)).expect("a look");
        let mut more = [0; 65536];
        while let Ok(length) = rustix::io::read(&self.terminal, &mut more)
            && length > 0
        {
            self.shown.extend_from_slice(&more[..length]);
        }
    }

    /// Waits for the end; the exit code. The terminal must be as it was found.
    #[track_caller]
    pub fn leaves(&mut self) -> i32 {
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status.code().expect("an exit code");
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end\n{:?}", self.shown());
            self.look();
        };
        self.look();
        let left = tcgetattr(&self.far).expect("its modes");
        let modes = |modes: &Termios| (modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes);
        assert_eq!(modes(&left), modes(&self.found), "the terminal is not as it was");
        code
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It is our child and not reaped, or it has ended, and then this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
