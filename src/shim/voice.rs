//! What a payload says of itself: that it is ready, by its output or over its socket, and that it is alive.
//!
//! In: output, notifications and the policy. Out: whether it is ready, and why it is to be ended as not healthy. Not
//! here: saying so to anybody, or ending it.
//! The surprise: what was never ready cannot miss its watchdog, and neither can a payload that was never told of one;
//! the clock of the watchdog stands still while the machine sleeps.

use super::notify::Notify;
use super::search::Search;
use super::sys;
use crate::record::logline::Source;
use crate::record::policy::{Policy, Ready};

/// The voice of a payload.
pub struct Voice {
    /// The text to look for, until it is found.
    search: Option<Search>,
    notify: Option<Box<Notify>>,
    is_ready: bool,
}

impl Voice {
    /// A payload that has said nothing yet.
    pub fn new(policy: &Policy, notify: Option<Box<Notify>>) -> Voice {
        let search = search_of(&policy.ready);
        let mut voice = Voice { search, notify, is_ready: false };
        // It was executed just now, and silence counts from here.
        if let Some(notify) = &mut voice.notify {
            notify.forgive(sys::mono_ms());
        }
        voice
    }

    /// Its socket, if it has one.
    pub fn notify(&self) -> Option<&Notify> {
        self.notify.as_deref()
    }

    /// Looks at output.
    pub fn look(&mut self, source: Source, bytes: &[u8]) {
        if let Some(search) = &mut self.search {
            search.look(source, bytes);
        }
    }

    /// Takes what came over its socket.
    pub fn take(&mut self, main: u32) {
        if let Some(notify) = &mut self.notify {
            notify.take(main, sys::mono_ms());
        }
    }

    /// Another policy applies now.
    pub fn follow(&mut self, old: &Policy, new: &Policy) {
        if old.ready != new.ready && !self.is_ready {
            self.search = search_of(&new.ready);
        }
        if old.watchdog_ms != new.watchdog_ms
            && let Some(notify) = &mut self.notify
        {
            notify.forgive(sys::mono_ms());
        }
    }

    /// True when it has just become ready; that lasts.
    pub fn becomes_ready(&mut self, policy: &Policy) -> bool {
        let is_said = match (&policy.ready, &self.search, &self.notify) {
            (Ready::AtOnce, _, _) => true,
            (Ready::ByLog(_), search, _) => search.as_ref().is_some_and(Search::is_found),
            (Ready::ByNotify, _, Some(notify)) => notify.is_ready(),
            // It was started without a socket, so it cannot say so, and is not waited for.
            (Ready::ByNotify, _, None) => true,
        };
        let is_new = is_said && !self.is_ready;
        if is_new {
            self.is_ready = true;
            self.search = None;
        }
        is_new
    }

    /// When its silence has lasted too long, in milliseconds of [`sys::mono_ms`].
    pub fn silence_due(&self, policy: &Policy) -> Option<u64> {
        let notify = self.notify.as_ref()?;
        let is_expected = policy.watchdog_ms > 0 && (self.is_ready || policy.ready != Ready::ByNotify);
        let since = notify.silent_since().filter(|_| is_expected)?;
        Some(if notify.gave_up() { 0 } else { since.saturating_add(policy.watchdog_ms) })
    }

    /// Why it is not healthy, if it is not.
    pub fn failing(&self, policy: &Policy, now_ms: u64) -> Option<String> {
        if self.silence_due(policy)? > now_ms {
            return None;
        }
        if self.notify.as_ref().is_some_and(|notify| notify.gave_up()) {
            return Some("it said WATCHDOG=trigger".to_owned());
        }
        let millis = policy.watchdog_ms;
        let (span, unit) = if millis.is_multiple_of(1000) { (millis / 1000, "s") } else { (millis, "ms") };
        Some(format!("no WATCHDOG=1 for {span}{unit}"))
    }

    /// When a status is to be written.
    pub fn due(&self) -> Option<u64> {
        self.notify.as_ref()?.due()
    }

    /// Writes a status if it is time.
    pub fn write(&mut self, folder: &std::os::fd::OwnedFd, now_ms: u64) {
        if let Some(notify) = &mut self.notify {
            notify.write(folder, now_ms);
        }
    }
}

fn search_of(ready: &Ready) -> Option<Search> {
    match ready {
        Ready::ByLog(text) => Some(Search::new(text)),
        Ready::AtOnce | Ready::ByNotify => None,
    }
}
