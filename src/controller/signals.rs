//! What the system and people say to a controller by signals.
//!
//! In: TERM, INT and HUP. Out: what each asks for. Not here: what is done about it ([`mod@super::run`]).
//! The surprise: from the moment this exists none of them ends the process by itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signalled {
    /// TERM, INT: end.
    End,
    /// HUP: read everything again.
    Reload,
}

/// Ears for signals.
#[derive(Debug)]
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Option<Signalled> {
        tokio::select! {
            Some(()) = self.term.recv() => Some(Signalled::End),
            Some(()) = self.int.recv() => Some(Signalled::End),
            Some(()) = self.hup.recv() => Some(Signalled::Reload),
            else => None,
        }
    }
}
