//! Tells what a Trigger's own runs wrote from what others wrote meanwhile.
//!
//! In: when its runs were at work, changes with their times. Out: the changes that count. Not here: finding changes.
//! The surprise: one run is no proof. A file that changes while a run is at work is told once more after it, since a
//! person may have saved it; only if it changes again during the run that this set off, and never in between, it is taken
//! for the work of the run itself. So a loop ends after one extra run, and what a person did in a long one is not lost.
//! A file that others are known to write gets three chances.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::pending::Pending;
use crate::engine::Timestamp;

/// So many runs are looked back on.
const SPANS_MAX: usize = 16;
/// So many products are remembered; the rest are told as those of others, within the limit of the Trigger.
pub const PRODUCTS_MAX: usize = 10_000;
/// A file that changes in so many runs in a row, each set off by it, is written by them.
const CHANCES: u32 = 1;
/// The same of a file that changed while nothing was at work.
const CHANCES_OF_OTHERS: u32 = 3;

/// What is known of the runs of a Trigger.
#[derive(Debug, Default)]
pub struct Own {
    spans: Vec<Span>,
    /// Files that changed during a run and were told since: the next run is the one that they set off.
    suspects: BTreeMap<PathBuf, u32>,
    /// Files that changed while nothing was at work: others write them.
    others: BTreeSet<PathBuf>,
    /// Files that its runs write.
    products: BTreeSet<PathBuf>,
}

/// When a run was at work.
#[derive(Debug)]
struct Span {
    from: Timestamp,
    to: Option<Timestamp>,
    /// What set it off, with how many runs in a row changed it before.
    suspects: BTreeMap<PathBuf, u32>,
}

impl Own {
    /// A run begins.
    pub fn begin(&mut self, at: Timestamp) {
        if self.spans.last().is_some_and(|span| span.to.is_none()) {
            return;
        }
        if self.spans.len() == SPANS_MAX {
            self.spans.remove(0);
        }
        self.spans.push(Span { from: at, to: None, suspects: std::mem::take(&mut self.suspects) });
    }

    /// All its runs are over.
    pub fn end(&mut self, at: Timestamp) {
        if let Some(span) = self.spans.last_mut() {
            span.to.get_or_insert(at);
        }
    }

    /// Takes what counts no more out of these changes, which are about to be told. The files that are products from now
    /// on.
    pub fn sift(&mut self, changes: &mut Pending) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut during = BTreeMap::new();
        let mut outside = Vec::new();
        for (path, noted) in &changes.0 {
            let span =
                self.spans.iter().rev().find(|span| span.from <= noted.at && span.to.is_none_or(|to| noted.at <= to));
            match span {
                None => outside.push(path.clone()),
                Some(_) if self.products.contains(path) => found.push((path.clone(), false)),
                Some(span) => {
                    let before = span.suspects.get(path).copied().unwrap_or(0);
                    let chances = if self.others.contains(path) { CHANCES_OF_OTHERS } else { CHANCES };
                    if before >= chances && self.products.len() < PRODUCTS_MAX {
                        found.push((path.clone(), true));
                    } else {
                        _ = during.insert(path.clone(), before + 1);
                    }
                }
            }
        }
        for path in outside {
            // Somebody else writes it, too.
            self.products.remove(&path);
            self.suspects.remove(&path);
            self.spans.iter_mut().for_each(|span| _ = span.suspects.remove(&path));
            if self.others.len() < PRODUCTS_MAX {
                self.others.insert(path);
            }
        }
        found.iter().for_each(|(path, _)| changes.drop(path));
        self.suspects.extend(during);
        let new: Vec<PathBuf> = found.into_iter().filter(|(_, is_new)| *is_new).map(|(path, _)| path).collect();
        self.products.extend(new.iter().cloned());
        new
    }

    /// Files that its runs write.
    #[must_use]
    pub fn products(&self) -> &BTreeSet<PathBuf> {
        &self.products
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::pending::{Change, Noted};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(i128::from(second).unsigned_abs().try_into().unwrap_or(0) * 1_000_000_000)
    }

    fn told(own: &mut Own, changes: &[(&str, i64)]) -> Vec<String> {
        let mut pending = Pending::default();
        for (path, second) in changes {
            pending.add(PathBuf::from(path), Noted { change: Change::Modify, at: at(*second) });
        }
        own.sift(&mut pending);
        pending.0.keys().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_loop_ends_after_one_extra_run() {
        let mut own = Own::default();
        assert_eq!(told(&mut own, &[("/in", 1)]), ["/in"]);
        own.begin(at(2));
        own.end(at(4));
        assert_eq!(told(&mut own, &[("/out", 3)]), ["/out"], "a person may have saved it");
        own.begin(at(5));
        own.end(at(7));
        assert_eq!(told(&mut own, &[("/out", 6)]), Vec::<String>::new());
        // From then on.
        own.begin(at(8));
        own.end(at(10));
        assert_eq!(told(&mut own, &[("/out", 9), ("/in", 9)]), ["/in"]);
        // Somebody edits it while nothing is at work.
        assert_eq!(told(&mut own, &[("/out", 11)]), ["/out"]);
    }

    #[test]
    fn what_a_person_saves_during_a_run_is_told() {
        let mut own = Own::default();
        own.begin(at(2));
        own.end(at(4));
        assert_eq!(told(&mut own, &[("/a", 3)]), ["/a"]);
        // Saved in between, so its next change during a run is no proof.
        assert_eq!(told(&mut own, &[("/a", 5)]), ["/a"]);
        own.begin(at(6));
        own.end(at(8));
        assert_eq!(told(&mut own, &[("/a", 7)]), ["/a"]);
        // Saved in the next run, too: others are known to write it, so it is told once more.
        own.begin(at(9));
        own.end(at(11));
        assert_eq!(told(&mut own, &[("/a", 10)]), ["/a"]);
        // Written by four runs in a row, it is a loop all the same.
        for run in 0..3 {
            own.begin(at(12 + 3 * run));
            own.end(at(14 + 3 * run));
            assert_eq!(told(&mut own, &[("/a", 13 + 3 * run)]).is_empty(), run > 0, "run {run}");
        }
    }
}
