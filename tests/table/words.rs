//! A line of a table as words: split at blanks, with 'quoted text' as one word.

use std::time::Duration;

use setpoint::engine::expand::{Need, Until};
use setpoint::engine::plan::{Policy, StopRule, Told};
use setpoint::engine::{BootTime, InstanceId, ObjectRef, Revision};

/// The words of one line, read from left to right.
pub struct Words<'a> {
    line: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn of(line: &'a str) -> Words<'a> {
        Words { line, rest: line.trim() }
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let (word, rest) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or_else(|| panic!("no closing quote in `{}`", self.line)),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// The next word, which must be there.
    pub fn word(&mut self) -> &'a str {
        self.next().unwrap_or_else(|| panic!("a word is missing at the end of `{}`", self.line))
    }

    pub fn unknown(&self, word: &str) -> ! {
        panic!("`{word}` means nothing in `{}`", self.line)
    }

    pub fn object(&mut self) -> ObjectRef {
        ObjectRef::new("service", self.word()).expect("a plain name")
    }

    /// `web-0` is slot 0 of `web`, `jobs-a` what runs for the item `a` of `jobs`.
    pub fn instance(&mut self) -> InstanceId {
        let word = self.word();
        let (object, cause) = word.rsplit_once('-').unwrap_or_else(|| self.unknown(word));
        let object = ObjectRef::new("service", object).expect("a plain name");
        InstanceId { object, cause: cause.parse().unwrap_or_else(|_| self.unknown(word)) }
    }

    /// `db` as far as it has to be by itself, `db:done` when it has ended well.
    pub fn need(&mut self) -> Need {
        let word = self.word();
        let (name, until) = word.split_once(':').unwrap_or((word, "usable"));
        let until = match until {
            "usable" => Until::Usable,
            "started" => Until::Started,
            "ready" => Until::Ready,
            "done" => Until::Done,
            other => self.unknown(other),
        };
        Need { object: ObjectRef::new("service", name).expect("a plain name"), until }
    }

    /// `3`, `#3`.
    pub fn number(&mut self) -> u32 {
        let word = self.word();
        word.trim_start_matches('#').parse().unwrap_or_else(|_| self.unknown(word))
    }

    /// Seconds, `1.5`.
    pub fn span(&mut self) -> Duration {
        let word = self.word();
        Duration::from_secs_f64(word.parse().unwrap_or_else(|_| self.unknown(word)))
    }

    /// Seconds after boot.
    pub fn moment(&mut self) -> BootTime {
        BootTime::default().after(self.span())
    }

    /// `A` is of version 1, `2:A` of version 2.
    pub fn revision(&mut self) -> Revision {
        let word = self.word();
        let (version, hash) = word.split_once(':').unwrap_or(("1", word));
        Revision { version: version.parse().unwrap_or_else(|_| self.unknown(word)), hash: hash.into() }
    }

    /// `log` or `notify`: what its shim waits for.
    pub fn told(&mut self) -> Told {
        match self.word() {
            "log" => Told::ByLog("listening".into()),
            "notify" => Told::ByNotify,
            other => self.unknown(other),
        }
    }

    /// `TERM/10` is TERM, then KILL after 10 s.
    pub fn policy(&mut self) -> Policy {
        let word = self.word();
        let (signal, grace) = word.split_once('/').unwrap_or_else(|| self.unknown(word));
        let signal = match signal {
            "TERM" => StopRule::TERM,
            "INT" => 2,
            other => self.unknown(other),
        };
        let grace = Duration::from_secs(grace.parse().unwrap_or_else(|_| self.unknown(word)));
        Policy { stop: StopRule { signal, grace }, ..Policy::DEFAULT }
    }
}
