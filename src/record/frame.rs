//! What passes between a shim and those who type into its payload or watch it: tiny frames over a stream socket.
//!
//! In: a [`Word`] of a client or an [`Answer`] of a shim. Out: its bytes, and back. Not here: the socket.
//! The surprise: the end of the stream is the word for leaving, and an end without [`Answer::Ended`] means that whoever
//! watched was cut off for not reading; both skip frames they do not know.

/// The most bytes in one frame, its head not counted.
pub const DATA_MAX: usize = 4096;
/// Length of the head of a frame: its kind, and the length of what follows, low byte first.
pub const HEAD_LEN: usize = 3;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Type this.
    Input(&'a [u8]),
    /// My window has this size.
    Resize(Size),
    /// Show me what is printed from now on.
    Watch {
        /// And before that, what was printed last.
        from_kept: bool,
    },
    /// How far is the input?
    Ask,
}

/// The size of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

/// What a shim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// What was printed before you came; more may follow in the same way.
    Kept(&'a [u8]),
    /// This was printed.
    Output(&'a [u8]),
    /// So far is the input.
    State(State),
    /// The payload has ended, and how.
    Ended(&'a str),
    /// No, and why.
    Refused(&'a str),
}

/// How far the input of a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// It is a terminal, not a pipe.
    pub is_tty: bool,
    /// The terminal hands its input over line by line.
    pub is_lines: bool,
    /// The payload has closed it.
    pub is_closed: bool,
    /// Bytes the shim still holds.
    pub held: u32,
    /// Bytes the payload has not read, as far as the system tells.
    pub unread: u32,
}

impl<'a> Word<'a> {
    /// Appends the frame.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Word::Input(data) => data.chunks(DATA_MAX).for_each(|data| put(bytes, b'i', data)),
            Word::Resize(Size { rows, cols }) => {
                let ([a, b], [c, d]) = (rows.to_le_bytes(), cols.to_le_bytes());
                put(bytes, b'r', &[a, b, c, d]);
            }
            Word::Watch { from_kept } => put(bytes, b'w', &[u8::from(*from_kept)]),
            Word::Ask => put(bytes, b'a', &[]),
        }
    }

    /// Reads a frame; `None` for one this version does not know.
    #[must_use]
    pub fn of(frame: &Frame<'a>) -> Option<Word<'a>> {
        match (frame.kind, frame.data) {
            (b'i', data) => Some(Word::Input(data)),
            (b'r', &[a, b, c, d]) => {
                Some(Word::Resize(Size { rows: u16::from_le_bytes([a, b]), cols: u16::from_le_bytes([c, d]) }))
            }
            (b'w', data) => Some(Word::Watch { from_kept: data.first() == Some(&1) }),
            (b'a', _) => Some(Word::Ask),
            _ => None,
        }
    }
}

impl<'a> Answer<'a> {
    /// Appends the frame, or as many as it takes.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Answer::Kept(data) => data.chunks(DATA_MAX).for_each(|data| put(bytes, b'k', data)),
            Answer::Output(data) => data.chunks(DATA_MAX).for_each(|data| put(bytes, b'o', data)),
            Answer::State(state) => {
                let flags = [state.is_tty, state.is_lines, state.is_closed];
                let flags = flags.iter().enumerate().fold(0, |all, (at, is)| all | u8::from(*is) << at);
                let ([a, b, c, d], [e, f, g, h]) = (state.held.to_le_bytes(), state.unread.to_le_bytes());
                put(bytes, b's', &[flags, a, b, c, d, e, f, g, h]);
            }
            Answer::Ended(text) => put(bytes, b'e', super::cut(text, DATA_MAX).as_bytes()),
            Answer::Refused(text) => put(bytes, b'x', super::cut(text, DATA_MAX).as_bytes()),
        }
    }

    /// Reads a frame; `None` for one this version does not know.
    #[must_use]
    pub fn of(frame: &Frame<'a>) -> Option<Answer<'a>> {
        let text = || std::str::from_utf8(frame.data).ok();
        match (frame.kind, frame.data) {
            (b'k', data) => Some(Answer::Kept(data)),
            (b'o', data) => Some(Answer::Output(data)),
            (b's', &[flags, a, b, c, d, e, f, g, h, ..]) => Some(Answer::State(State {
                is_tty: flags & 1 != 0,
                is_lines: flags & 2 != 0,
                is_closed: flags & 4 != 0,
                held: u32::from_le_bytes([a, b, c, d]),
                unread: u32::from_le_bytes([e, f, g, h]),
            })),
            (b'e', _) => text().map(Answer::Ended),
            (b'x', _) => text().map(Answer::Refused),
            _ => None,
        }
    }
}

fn put(bytes: &mut Vec<u8>, kind: u8, data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX).to_le_bytes();
    bytes.push(kind);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(data);
}

/// One frame, of whatever kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    kind: u8,
    data: &'a [u8],
}

impl Frame<'_> {
    /// Its length in bytes, its head included.
    #[must_use]
    pub fn length(&self) -> usize {
        HEAD_LEN + self.data.len()
    }
}

/// What the beginning of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame.
    Whole(Frame<'a>),
    /// The beginning of one, or nothing.
    More,
    /// A frame longer than any may be: this is not our protocol.
    Foreign,
}

/// Reads the first frame of `bytes`.
#[must_use]
pub fn next(bytes: &[u8]) -> Next<'_> {
    let Some(([kind, low, high], rest)) = bytes.split_first_chunk::<HEAD_LEN>() else {
        return Next::More;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    match rest.get(..length) {
        _ if length > DATA_MAX => Next::Foreign,
        Some(data) => Next::Whole(Frame { kind: *kind, data }),
        None => Next::More,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, DATA_MAX, Next, Size, State, Word, next};

    #[test]
    fn every_word_and_answer_comes_back() {
        let state = State { is_tty: true, is_lines: false, is_closed: true, held: 7, unread: u32::MAX };
        let words = [
            Word::Input(b"\0x"),
            Word::Resize(Size { rows: 300, cols: 2 }),
            Word::Watch { from_kept: true },
            Word::Watch { from_kept: false },
            Word::Ask,
        ];
        let answers = [
            Answer::Kept(b"k"),
            Answer::Output(b"\x1b[m"),
            Answer::State(state),
            Answer::State(State { is_tty: false, is_lines: true, is_closed: false, ..state }),
            Answer::Ended("exit 3"),
            Answer::Refused(""),
        ];
        let mut bytes = Vec::new();
        words.iter().for_each(|word| word.put(&mut bytes));
        answers.iter().for_each(|answer| answer.put(&mut bytes));
        let mut rest = bytes.as_slice();
        let mut frame = || match next(rest) {
            Next::Whole(frame) => {
                rest = &rest[frame.length()..];
                frame
            }
            other => panic!("{other:?}"),
        };
        words.iter().for_each(|word| assert_eq!(Word::of(&frame()), Some(*word)));
        answers.iter().for_each(|answer| assert_eq!(Answer::of(&frame()), Some(*answer)));
        assert_eq!(next(rest), Next::More);
    }

    #[test]
    fn long_input_is_many_frames_and_a_longer_frame_is_not_ours() {
        let mut bytes = Vec::new();
        Word::Input(&[b'x'; DATA_MAX + 1]).put(&mut bytes);
        assert_eq!(bytes.len(), DATA_MAX + 1 + 2 * super::HEAD_LEN);
        assert_eq!(next(b"i\x01\x10"), Next::Foreign);
        let unknown = b"?\x01\x00x";
        assert!(matches!(next(unknown), Next::Whole(frame) if Word::of(&frame).is_none()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            if let Next::Whole(frame) = next(&bytes) {
                let _ = (Word::of(&frame), Answer::of(&frame));
            }
        }
    }
}
