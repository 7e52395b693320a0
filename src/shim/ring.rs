//! The last output of a terminal, kept for those who come later.
//!
//! In: bytes. Out: the last of them. Not here: who gets them.
//! The surprise: once something has been dropped, what is left begins at an escape or after a newline, so that nobody
//! is shown the second half of a sequence as text.

use std::collections::VecDeque;

/// How much is kept, in bytes.
pub const KEPT_MAX: usize = 32 << 10;
const ESCAPE: u8 = 0x1b;

/// What was printed last.
#[derive(Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Ring {
    /// Takes more.
    pub fn push(&mut self, more: &[u8]) {
        let more = more.get(more.len().saturating_sub(KEPT_MAX)..).unwrap_or_default();
        let over = (self.bytes.len() + more.len()).saturating_sub(KEPT_MAX);
        self.is_cut |= over > 0;
        self.bytes.drain(..over.min(self.bytes.len()));
        self.bytes.extend(more);
    }

    /// All that is kept, from the first place at which something whole begins.
    pub fn kept(&self) -> Vec<u8> {
        let is_start = |at: usize| {
            let before = at.checked_sub(1).and_then(|at| self.bytes.get(at));
            self.bytes.get(at) == Some(&ESCAPE) || before == Some(&b'\n')
        };
        let from = if self.is_cut { (0..self.bytes.len()).find(|at| is_start(*at)) } else { Some(0) };
        // One endless line without escapes is shown from its middle.
        self.bytes.iter().skip(from.unwrap_or(0)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MAX, Ring};

    #[test]
    fn the_last_bytes_are_kept_from_where_something_begins() {
        let mut ring = Ring::default();
        ring.push(b"31mred\nnext");
        assert_eq!(ring.kept(), b"31mred\nnext", "nothing was dropped");
        ring.push(&[b'x'; KEPT_MAX - 8]);
        assert_eq!(ring.kept().get(..5), Some(&b"nextx"[..]), "after the newline");
        ring.push(b"\x1b[1mbold");
        ring.push(&[b'y'; KEPT_MAX - 10]);
        assert_eq!(ring.kept().get(..5), Some(&b"\x1b[1mb"[..]), "at the escape");
        ring.push(&[b'z'; 3 * KEPT_MAX]);
        assert_eq!(ring.kept(), vec![b'z'; KEPT_MAX]);
    }
}
