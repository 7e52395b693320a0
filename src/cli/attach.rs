//! `setpoint attach`: sit at the terminal of a running service, and leave it running.
//!
//! In: a name, keys, or the standard input of a script. Out: what the service prints. Not here: its end of the terminal
//! (`shim`).
//! The surprise: a shim cuts off who reads too slowly, so that it never waits; this comes back at once and goes on from
//! the last screen.

use std::io::{self, IsTerminal, Read};
use std::os::unix::net::UnixStream as Stream;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;

use super::join::{Joined, NoWay, join};
use super::keys::Key;
use super::screen::{self, Screen};
use super::{Failure, Global, Outcome, complain, controller, exit, say};
use crate::engine::InstanceId;
use crate::record::frame::{self, Answer, Next, State, Word};

/// So much that was typed waits for the service; beyond that a script waits, and a person's keys are dropped.
const TYPED_MAX: usize = 256 << 10;
/// How long a script's service must be silent after all was typed before it is left.
const SILENCE: Duration = Duration::from_secs(1);
/// How long it may leave what was typed unread.
const UNREAD: Duration = Duration::from_secs(30);
/// How often is asked whether it has read all.
const ASK: Duration = Duration::from_millis(50);

/// Sit at the terminal of a running service, and leave it running
///
/// The detach key leaves; the service runs on. Several may be attached at once: the smallest window counts. Where
/// standard input or output is no terminal, input is typed until it ends, and output is printed until the service has
/// read all and been silent for a second. Exit codes: 0 left, 1 the service ended, 2 it has no terminal, 3 not found.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// NAME, KIND/NAME, or an instance like web/1
    #[arg(value_name = "NAME")]
    name: String,
    /// The key that leaves
    #[arg(long, value_name = "KEY", default_value = "ctrl-]")]
    detach_key: Key,
}

/// Attaches.
///
/// # Errors
/// When there is no such instance, it does not run, or it has no terminal.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let no_tty = |id: &InstanceId| {
        Failure::new(exit::USAGE, format!("{id} has no terminal\n  help: add `tty: true` to its manifest"))
    };
    let Joined { id, home, stream } = join(global, &args.name).map_err(|no_way| match no_way {
        NoWay::NoInput(id) => no_tty(&id),
        NoWay::Failed(failure) => failure,
    })?;
    if controller::is_below(home.id(), &id.to_string()) {
        let text = format!("this runs inside {id}, and would be attached to itself\n  help: attach from elsewhere");
        return Err(Failure::new(exit::REFUSED, text));
    }
    let is_person = io::stdin().is_terminal() && io::stdout().is_terminal();
    if is_person {
        say(global, &format!("attached to {id}; {} leaves it running", args.detach_key.name()));
    }
    let path = home.io_socket(&id).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let end = runtime.and_then(|runtime| {
        let end = runtime.block_on(async {
            let key = is_person.then_some(&args.detach_key);
            let mut seat = Seat::take(stream, key)?;
            loop {
                match seat.sit().await? {
                    // Too slow, or its shim is gone: whoever listens now will say.
                    End::Cut => match Stream::connect(&path) {
                        Ok(stream) => {
                            if !is_person {
                                complain(&format!("{id}: some output was missed; all of it is in its log"));
                            }
                            seat.come_back(stream)?;
                        }
                        Err(_) => break Ok(End::Ended(None)),
                    },
                    end => break Ok(end),
                }
            }
        });
        // The thread that reads standard input may wait for ever.
        runtime.shutdown_background();
        end
    });
    match end {
        Ok(End::Left) => {
            say(global, &format!("left {id}; it runs on"));
            Ok(exit::OK)
        }
        Ok(End::Ended(how)) => {
            let how = how.map_or_else(String::new, |how| format!(" ({how})"));
            Err(Failure::new(exit::FAILED, format!("{id} ended{how}\n  help: setpoint logs {}", id.object)))
        }
        Ok(End::NoTty) => Err(no_tty(&id)),
        Ok(End::Refused(why)) => Err(Failure::new(exit::FAILED, format!("{id}: {why}"))),
        Ok(End::Unread) => Err(Failure::new(exit::FAILED, format!("{id} does not read what was typed"))),
        Ok(End::Interrupted) => Ok(exit::INTERRUPTED),
        Ok(End::Cut) => Err(Failure::new(exit::FAILED, format!("{id}: the connection was lost"))),
        Err(error) => super::ignore_closed(Err(error)).map(|()| exit::OK),
    }
}

/// How it came to an end.
#[derive(Debug)]
enum End {
    /// The person left, or the script was done.
    Left,
    /// The service ended.
    Ended(Option<String>),
    /// The connection did.
    Cut,
    /// It has no terminal.
    NoTty,
    /// Its shim said no.
    Refused(String),
    /// It leaves what was typed unread.
    Unread,
    /// A signal came.
    Interrupted,
}

/// A place at the terminal of a service.
struct Seat<'a> {
    socket: UnixStream,
    /// What was received and is no whole frame yet.
    heard: Vec<u8>,
    /// What is to be sent.
    typed: Vec<u8>,
    keys: Receiver<Vec<u8>>,
    /// The terminal of a person, and the key that leaves it.
    person: Option<(Screen, &'a Key)>,
    is_drawn: bool,
    refused: Option<String>,
    /// Set when the input of a script has ended: since when nothing has moved.
    quiet_since: Option<Instant>,
    ended_at: Option<Instant>,
    signals: Signals,
}

struct Signals {
    resized: Signal,
    ends: [Signal; 4],
}

impl<'a> Seat<'a> {
    fn take(stream: Stream, key: Option<&'a Key>) -> io::Result<Seat<'a>> {
        let kind = |kind: SignalKind| signal(kind);
        let ends = [
            kind(SignalKind::terminate())?,
            kind(SignalKind::hangup())?,
            kind(SignalKind::interrupt())?,
            kind(SignalKind::quit())?,
        ];
        let signals = Signals { resized: kind(SignalKind::window_change())?, ends };
        let person = key.map(|key| Screen::take().map(|screen| (screen, key))).transpose()?;
        let mut seat = Seat {
            socket: connected(stream)?,
            heard: Vec::new(),
            typed: Vec::new(),
            keys: read_keys(),
            person,
            is_drawn: false,
            refused: None,
            quiet_since: None,
            ended_at: None,
            signals,
        };
        seat.greet();
        Ok(seat)
    }

    /// The same over another connection. What was typed and not sent is typed again.
    fn come_back(&mut self, stream: Stream) -> io::Result<()> {
        self.socket = connected(stream)?;
        self.heard.clear();
        self.is_drawn = false;
        if let Some((screen, _)) = &mut self.person {
            screen.forget();
        }
        let typed = std::mem::take(&mut self.typed);
        self.greet();
        self.typed.extend(typed);
        Ok(())
    }

    fn greet(&mut self) {
        let is_person = self.person.is_some();
        if is_person {
            Word::Resize(screen::size()).put(&mut self.typed);
        }
        Word::Watch { from_kept: is_person }.put(&mut self.typed);
        Word::Ask.put(&mut self.typed);
    }

    /// Sits there until something ends it.
    async fn sit(&mut self) -> io::Result<End> {
        loop {
            let wish = if self.typed.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let has_room = self.typed.len() < TYPED_MAX || self.person.is_some();
            let [term, hup, int, quit] = &mut self.signals.ends;
            let end = tokio::select! {
                ready = self.socket.ready(wish) => {
                    let ready = ready?;
                    if ready.is_writable() {
                        self.send();
                    }
                    if ready.is_readable() { self.receive()? } else { None }
                }
                typed = self.keys.recv(), if has_room && self.quiet_since.is_none() => self.press(typed),
                _ = self.signals.resized.recv() => {
                    self.resize();
                    None
                }
                _ = term.recv() => Some(End::Interrupted),
                _ = hup.recv() => Some(End::Interrupted),
                _ = int.recv() => Some(End::Interrupted),
                _ = quit.recv() => Some(End::Interrupted),
                () = tokio::time::sleep(ASK), if self.quiet_since.is_some() => self.ask_again(),
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Sends what the shim will take. When it is gone, reading says so.
    fn send(&mut self) {
        while let Ok(length) = self.socket.try_write(&self.typed)
            && length > 0
        {
            self.typed.drain(..length);
        }
    }

    fn press(&mut self, typed: Option<Vec<u8>>) -> Option<End> {
        match (typed, &self.person) {
            (Some(typed), Some((_, key))) => {
                let at = key.find(&typed);
                let before = typed.get(..at.unwrap_or(typed.len())).unwrap_or_default();
                if self.typed.len() < TYPED_MAX {
                    Word::Input(before).put(&mut self.typed);
                }
                self.send();
                at.map(|_| End::Left)
            }
            (Some(typed), None) => {
                Word::Input(&typed).put(&mut self.typed);
                None
            }
            // The terminal of the person is gone.
            (None, Some(_)) => Some(End::Interrupted),
            (None, None) => {
                self.quiet_since = Some(Instant::now());
                self.ended_at = Some(Instant::now());
                None
            }
        }
    }

    fn resize(&mut self) {
        if let Some((screen, _)) = &mut self.person {
            screen.fit();
            Word::Resize(screen::size()).put(&mut self.typed);
            self.send();
        }
    }

    /// A script has typed all. It is done when all was read and nothing more is printed.
    fn ask_again(&mut self) -> Option<End> {
        if self.ended_at.is_some_and(|at| at.elapsed() > UNREAD) && !self.typed.is_empty() {
            return Some(End::Unread);
        }
        if self.typed.is_empty() {
            Word::Ask.put(&mut self.typed);
            self.send();
        }
        None
    }

    fn receive(&mut self) -> io::Result<Option<End>> {
        let mut more = [0; 16 << 10];
        match self.socket.try_read(&mut more) {
            Ok(0) => return Ok(Some(self.refused.take().map_or(End::Cut, End::Refused))),
            Ok(length) => self.heard.extend_from_slice(more.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Ok(Some(self.refused.take().map_or(End::Cut, End::Refused))),
        }
        let heard = std::mem::take(&mut self.heard);
        let mut rest = heard.as_slice();
        while let Next::Whole(frame) = frame::next(rest) {
            if let Some(end) = self.hear(Answer::of(&frame))? {
                return Ok(Some(end));
            }
            rest = rest.get(frame.length()..).unwrap_or_default();
        }
        self.heard = rest.to_vec();
        Ok(None)
    }

    fn hear(&mut self, answer: Option<Answer<'_>>) -> io::Result<Option<End>> {
        match (answer, &mut self.person) {
            (Some(Answer::Kept(bytes)), Some((screen, _))) => screen.remember(bytes),
            // It is drawn when all that was kept has come.
            (Some(Answer::Output(bytes)), Some((screen, _))) if !self.is_drawn => screen.remember(bytes),
            (Some(Answer::Output(bytes)), Some((screen, _))) => screen.show(bytes)?,
            (Some(Answer::Output(bytes)), None) => {
                self.quiet_since = self.quiet_since.map(|_| Instant::now());
                screen::print(bytes)?;
            }
            (Some(Answer::State(state)), _) => return self.learn(state),
            (Some(Answer::Ended(how)), _) => return Ok(Some(End::Ended(Some(how.to_owned())))),
            (Some(Answer::Refused(why)), _) => self.refused = Some(why.to_owned()),
            (Some(Answer::Kept(_)), None) | (None, _) => {}
        }
        Ok(None)
    }

    fn learn(&mut self, state: State) -> io::Result<Option<End>> {
        if !state.is_tty {
            return Ok(Some(End::NoTty));
        }
        if let Some((screen, _)) = &mut self.person
            && !self.is_drawn
        {
            screen.draw()?;
        }
        self.is_drawn = true;
        let is_read = (state.held, state.unread) == (0, 0) && self.typed.is_empty();
        let is_unread = self.ended_at.is_some_and(|at| at.elapsed() > UNREAD) && !is_read;
        let is_quiet = self.quiet_since.is_some_and(|since| since.elapsed() >= SILENCE);
        Ok(match () {
            () if is_unread => Some(End::Unread),
            () if is_read && is_quiet => Some(End::Left),
            () => None,
        })
    }
}

fn connected(stream: Stream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Reads standard input on a thread of its own: it may be a file, a pipe or a terminal, and may have nothing to say.
fn read_keys() -> Receiver<Vec<u8>> {
    let (keys, received) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            match io::stdin().lock().read(&mut bytes) {
                Ok(0) => return,
                Ok(length) => {
                    if keys.blocking_send(bytes.get(..length).unwrap_or_default().to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    received
}
