//! Judges a process by a file that it touches.
//!
//! In: what the file looks like, and how long this machine has been awake. Out: whether it has been touched lately.
//! Not here: reading it. The surprise: times that stand in the file system are compared with each other and never with
//! a clock: that one has changed is certain, when it says so is not.

use std::time::{Duration, Instant};

use crate::engine::time::Span;

/// What tells one touch of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Which file.
    pub inode: u64,
    /// When it was changed, by the file system's clock: seconds and nanoseconds.
    pub modified: (i64, i64),
}

/// The silence of one file.
#[derive(Debug)]
pub struct Silence {
    /// What the last look found; nothing before the first.
    last: Option<Option<Touch>>,
    /// When the last touch was seen, or when looking began.
    since: Instant,
    is_touched: bool,
}

impl Silence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(now: Instant) -> Silence {
        Silence { last: None, since: now, is_touched: false }
    }

    /// Takes a look in. What it comes to; nothing while nothing can be said.
    ///
    /// # Errors
    /// When it has been silent for too long.
    pub fn look(&mut self, found: Option<Touch>, now: Instant, patience: Duration) -> Option<Result<String, String>> {
        // What lay there at first may have been left by an earlier process.
        let is_new = found.is_some() && self.last.is_some_and(|last| last != found);
        if is_new {
            (self.since, self.is_touched) = (now, true);
        }
        self.last = Some(found);
        let silent = now.saturating_duration_since(self.since);
        if silent > patience {
            let seconds = Span(Duration::from_secs(silent.as_secs()));
            let what = if found.is_none() { "there is no such file" } else { "not touched" };
            return Some(Err(format!("{what} for {seconds}")));
        }
        self.is_touched.then(|| Ok("touched".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_by_its_changes() {
        let begin = Instant::now();
        let patience = Duration::from_secs(5);
        let touch = |at: i64| Some(Touch { inode: 1, modified: (at, 0) });
        // Looks at seconds; the times in the file jump back and forth as a wall clock may.
        for (looks, expected) in [
            (vec![(0, touch(9)), (4, touch(9)), (6, touch(9))], "..-"),
            (vec![(0, touch(9)), (4, touch(10)), (9, touch(10)), (10, touch(10))], ".++-"),
            (vec![(0, touch(9)), (4, touch(-3600)), (8, touch(3600))], ".++"),
            (vec![(0, None), (1, touch(9)), (6, touch(9)), (7, touch(9))], ".++-"),
            (vec![(0, None), (6, None), (7, touch(1))], ".-+"),
            (vec![(0, touch(9)), (1, None), (2, touch(9))], "..+"),
        ] {
            let mut silence = Silence::new(begin);
            let said: String = looks
                .iter()
                .map(|(at, found)| match silence.look(*found, begin + Duration::from_secs(*at), patience) {
                    None => '.',
                    Some(Ok(_)) => '+',
                    Some(Err(_)) => '-',
                })
                .collect();
            assert_eq!(said, expected, "{looks:?}");
        }
    }
}
