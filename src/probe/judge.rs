//! Counts answers until they come to a verdict.
//!
//! In: one answer after the other. Out: evidence, when the verdict is new. Not here: asking, and any clock.
//! The surprise: the first failure of a process that has never been ready is told at once, since nothing is taken from
//! it and people see what it waits for; everything else waits for its threshold.

use std::sync::Arc;

use super::card::Side;
use crate::engine::BootTime;
use crate::engine::probe::{Evidence, Probe};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was asked.
    pub asked_at: BootTime,
    /// Whether it passed.
    pub is_pass: bool,
    /// Which probe it was, and what came back.
    pub said: Arc<str>,
    /// It came within the allowance after the start.
    pub is_startup: bool,
}

/// The count of one probe of one attempt.
#[derive(Debug)]
pub struct Judge {
    side: Side,
    attempt: u32,
    failure: u32,
    success: u32,
    /// It was ready before anybody here asked, and keeps that until it has failed in earnest.
    is_found: bool,
    verdict: Option<bool>,
    has_passed: bool,
    streak: Option<Streak>,
}

/// Equal answers in a row.
#[derive(Debug)]
struct Streak {
    is_pass: bool,
    count: u32,
    asked_at: BootTime,
}

impl Judge {
    /// A judge who has heard nothing.
    #[must_use]
    pub fn new(side: Side, attempt: u32, is_found: bool, probe: &Probe) -> Judge {
        let (failure, success) = (probe.failure, probe.success);
        Judge { side, attempt, failure, success, is_found, verdict: None, has_passed: false, streak: None }
    }

    /// Takes an answer in. The evidence, when it makes a new verdict.
    pub fn take(&mut self, answer: &Answer) -> Option<Evidence> {
        // A slow start is no sign of death.
        if self.side == Side::Live && !answer.is_pass && answer.is_startup && !self.has_passed {
            self.streak = None;
            return None;
        }
        let streak = match self.streak.take() {
            Some(streak) if streak.is_pass == answer.is_pass => Streak { count: streak.count + 1, ..streak },
            Some(_) | None => Streak { is_pass: answer.is_pass, count: 1, asked_at: answer.asked_at },
        };
        let (count, asked_at) = (streak.count, streak.asked_at);
        self.streak = Some(Streak { count: count.min(crate::engine::probe::THRESHOLD_MAX), ..streak });
        let is_told_at_once = self.side == Side::Ready && self.verdict.is_none() && !self.is_found;
        let enough = match answer.is_pass {
            true => self.success,
            false if is_told_at_once => 1,
            false => self.failure,
        };
        if count < enough || self.verdict == Some(answer.is_pass) {
            return None;
        }
        let has_passed = self.has_passed;
        self.verdict = Some(answer.is_pass);
        self.has_passed |= answer.is_pass;
        let times = if answer.is_pass || count < 2 { String::new() } else { format!(" ({count} times)") };
        Some(Evidence {
            attempt: self.attempt,
            asked_at,
            is_pass: answer.is_pass,
            has_passed: has_passed || answer.is_pass || self.is_found,
            said: format!("{}{times}", answer.said).into(),
        })
    }

    /// Forgets answers that have not come to a verdict: the machine slept, or the process was stopped by somebody.
    pub fn forget(&mut self) {
        self.streak = None;
    }

    /// True once it has come to a pass.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.has_passed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::probe::Check;

    /// Answers by letter, one a second: `+` passed, `-` failed, `s` failed within the allowance, `.` nothing asked and
    /// everything so far forgotten. Out: the verdicts, each with the second its first question was asked at.
    fn verdicts(side: Side, is_found: bool, failure: u32, success: u32, answers: &str) -> String {
        let probe = Probe {
            check: Check::Notify,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failure,
            success,
            startup: Duration::from_secs(30),
        };
        let mut judge = Judge::new(side, 7, is_found, &probe);
        let mut told = Vec::new();
        for (n, letter) in answers.chars().enumerate() {
            let asked_at = BootTime::from_millis(u64::try_from(n).expect("few") * 1000);
            let answer = Answer { asked_at, is_pass: letter == '+', said: "it".into(), is_startup: letter == 's' };
            if letter == '.' {
                judge.forget();
                continue;
            }
            if let Some(evidence) = judge.take(&answer) {
                let sign = if evidence.is_pass { '+' } else { '-' };
                told.push(format!("{n}:{sign}{}{}", evidence.asked_at.nanos() / 1_000_000_000, &evidence.said[2..]));
            }
        }
        told.join(" ")
    }

    #[test]
    fn verdicts_wait_for_their_thresholds() {
        for (side, is_found, failure, success, answers, expected) in [
            (Side::Ready, false, 3, 1, "+", "0:+0"),
            (Side::Ready, false, 3, 1, "--+++", "0:-0 2:+2"),
            (Side::Ready, false, 3, 2, "-+-++", "0:-0 4:+3"),
            (Side::Ready, false, 3, 1, "+--+---", "0:+0 6:-4 (3 times)"),
            (Side::Ready, false, 1, 1, "+-+-", "0:+0 1:-1 2:+2 3:-3"),
            (Side::Ready, true, 3, 1, "--+", "2:+2"),
            (Side::Ready, true, 3, 1, "---", "2:-0 (3 times)"),
            (Side::Ready, false, 3, 1, "+--.--", "0:+0"),
            (Side::Live, false, 3, 1, "ssssss", ""),
            (Side::Live, false, 3, 1, "ssss---", "6:-4 (3 times)"),
            (Side::Live, false, 3, 1, "+sss", "0:+0 3:-1 (3 times)"),
            (Side::Live, false, 1, 1, "s-", "1:-1"),
            (Side::Live, false, 2, 1, "-.--", "3:-2 (2 times)"),
        ] {
            assert_eq!(verdicts(side, is_found, failure, success, answers), expected, "{side:?} {answers}");
        }
    }
}
