//! The one wait of a shim: for signals, for output, for what its payload tells, and for those who type.
//!
//! In: everything that can come, and how long at most. Out: what came. Not here: what is done about it.
//! The surprise: a place in the list that waits for nothing asks the signals for nothing, so that the places stay the
//! same and a plain payload costs three.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::input::{Input, WISHES_MAX};
use super::notify::Notify;
use super::sys;

/// The places for signals, output, errors and notifications; those of [`Input::wishes`] follow.
const PLAIN: usize = 4;
const PLACES: usize = PLAIN + WISHES_MAX;

/// Everything that can come.
pub struct Sources<'a> {
    /// Tells of signals.
    pub signals: &'a OwnedFd,
    /// Output and errors, `None` for one that has ended.
    pub pipes: [Option<&'a OwnedFd>; 2],
    /// What the payload tells of itself.
    pub notify: Option<&'a Notify>,
    /// Those who type.
    pub input: Option<&'a Input>,
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// A child has ended.
    pub child: bool,
    /// A stop is asked for.
    pub stop: bool,
    /// The policy is to be read again.
    pub reread: bool,
    /// There is output, and errors.
    pub output: [bool; 2],
    /// The payload tells something.
    pub notify: bool,
    /// What there is of [`Input::wishes`].
    pub input: [PollFlags; WISHES_MAX],
}

impl Came {
    const NOTHING: Came = Came {
        child: false,
        stop: false,
        reread: false,
        output: [false; 2],
        notify: false,
        input: [PollFlags::empty(); WISHES_MAX],
    };
}

/// Waits until something comes, at most so many milliseconds.
pub fn wait(sources: &Sources<'_>, timeout_ms: Option<u64>) -> Came {
    let timeout = timeout_ms.map(|millis| {
        // Some more, since the clock in use lags behind by up to one of its steps.
        let millis = i64::try_from(millis).unwrap_or(i64::MAX).saturating_add(4);
        Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
    });
    let nothing = || PollFd::new(sources.signals, PollFlags::empty());
    let mut places: [PollFd<'_>; PLACES] = std::array::from_fn(|_| nothing());
    let [out, err] = sources.pipes;
    let notify = sources.notify.map(Notify::socket);
    let mut used = 0;
    for (place, source) in places.iter_mut().zip([Some(sources.signals), out, err, notify]) {
        if let Some(source) = source {
            *place = PollFd::new(source, PollFlags::IN);
        }
        used += 1;
    }
    if let Some(input) = sources.input {
        for (place, (source, flags)) in places.iter_mut().skip(PLAIN).zip(input.wishes()) {
            *place = PollFd::new(source, flags);
            used += 1;
        }
    } else if notify.is_none() {
        used -= 1;
    }
    let Some(asked) = places.get_mut(..used) else {
        return Came::NOTHING;
    };
    if rustix::event::poll(asked, timeout.as_ref()).is_err() {
        return Came::NOTHING;
    }
    let mut events = places.iter().map(PollFd::revents);
    let [signals, out, err, notify] = std::array::from_fn(|_| events.next().is_some_and(|events| !events.is_empty()));
    let input = std::array::from_fn(|_| events.next().unwrap_or(PollFlags::empty()));
    let came = Came { output: [out, err], notify, input, ..Came::NOTHING };
    if signals { read_signals(sources.signals, came) } else { came }
}

fn read_signals(signals: &OwnedFd, mut came: Came) -> Came {
    for number in sys::signals_of(signals) {
        match number {
            libc::SIGCHLD => came.child = true,
            libc::SIGTERM | libc::SIGINT => came.stop = true,
            libc::SIGHUP => came.reread = true,
            _ => {}
        }
    }
    came
}
