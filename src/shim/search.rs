//! Looks for one text in the lines of a payload, and stops looking once it was found.
//!
//! In: output as it is read. Out: whether the text has occurred in a line. Not here: what follows from it.
//! The surprise: the end of each read is kept, as much as could be the beginning of the text, so that a match is found
//! wherever the reads cut it; the text has no newline in it, so a match is always in one line.

use super::sys;
use crate::record::logline::Source;

/// A text to be found.
pub struct Search {
    text: Vec<u8>,
    /// What could be the beginning of the text at the end of what was read, for each stream.
    ends: [Vec<u8>; 2],
    is_found: bool,
}

impl Search {
    /// A search for a text that is not empty.
    pub fn new(text: &str) -> Search {
        Search { text: text.as_bytes().to_owned(), ends: [Vec::new(), Vec::new()], is_found: false }
    }

    /// True once it has occurred.
    pub fn is_found(&self) -> bool {
        self.is_found
    }

    /// Looks at what was read next.
    pub fn look(&mut self, source: Source, bytes: &[u8]) {
        if self.is_found {
            return;
        }
        let [out, err] = &mut self.ends;
        let end = match source {
            Source::Stdout => out,
            Source::Stderr => err,
        };
        let reach = self.text.len().saturating_sub(1);
        end.extend_from_slice(bytes.get(..reach.min(bytes.len())).unwrap_or_default());
        self.is_found = sys::contains(&self.text, end) || sys::contains(&self.text, bytes);
        // The last bytes of both together, whichever is shorter.
        if bytes.len() >= reach {
            end.clear();
            end.extend_from_slice(bytes.get(bytes.len() - reach..).unwrap_or_default());
        } else {
            end.drain(..end.len().saturating_sub(reach));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Search;
    use crate::record::logline::Source::{self, Stderr, Stdout};

    fn check(text: &str, reads: &[(Source, &str)], expected: bool) {
        let mut search = Search::new(text);
        reads.iter().for_each(|(source, read)| search.look(*source, read.as_bytes()));
        assert_eq!(search.is_found(), expected, "{text} in {reads:?}");
    }

    #[test]
    fn a_text_is_found_wherever_the_reads_cut_it() {
        let line = "2026 server: listening on 8080\n";
        for first in 0..line.len() {
            for second in first..line.len() {
                let (a, rest) = line.split_at(first);
                let (b, c) = rest.split_at(second - first);
                check("listening", &[(Stdout, a), (Stdout, b), (Stdout, c)], true);
                check("listening", &[(Stdout, a), (Stderr, "ning"), (Stdout, b), (Stderr, "x"), (Stdout, c)], true);
                check("listening!", &[(Stdout, a), (Stdout, b), (Stdout, c)], false);
            }
        }
        let letters: Vec<(Source, String)> = line.chars().map(|c| (Stderr, c.to_string())).collect();
        let letters: Vec<(Source, &str)> = letters.iter().map(|(source, text)| (*source, text.as_str())).collect();
        check("2026 server: listening on 8080", &letters, true);
        check("r", &letters, true);
    }

    #[test]
    fn two_streams_do_not_make_one_line() {
        check("ready", &[(Stdout, "rea"), (Stderr, "dy")], false);
        check("ready", &[(Stdout, "rea\n"), (Stdout, "dy")], false);
    }
}
