//! One line of a log file: `<RFC 3339 nanoseconds, UTC> stdout|stderr F|P <text>`, as container runtimes write it.
//!
//! In: a wall time, a stream and a text. Out: bytes, and back. Not here: files and rotation (`shim`).
//! The surprise: dates are computed here, since a shim carries no calendar crate; a [`Stamp`] keeps the text of its
//! second, so that most stamps cost nine digits.

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error, and what the shim itself has to say.
    Stderr,
}

impl Source {
    /// As written in a line: `stdout` or `stderr`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
        }
    }
}

/// Whether a text ended with a newline of the payload's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `F`: the line, or its last part.
    Full,
    /// `P`: a part; the same stream goes on in its next line.
    Partial,
}

/// Length of a stamp in bytes: `2026-11-21T03:00:00.123456789Z`.
pub const STAMP_LEN: usize = 30;

/// Length of everything before the text, in bytes.
pub const HEAD_LEN: usize = STAMP_LEN + 10;

/// A moment as text, cheap to move forward.
#[derive(Clone, Debug)]
pub struct Stamp {
    second: u64,
    text: [u8; STAMP_LEN],
}

impl Stamp {
    /// The stamp of a wall time in nanoseconds since 1970.
    #[must_use]
    pub fn new(wall_ns: u64) -> Stamp {
        let mut stamp = Stamp { second: u64::MAX, text: *b"1970-01-01T00:00:00.000000000Z" };
        stamp.set(wall_ns);
        stamp
    }

    /// Moves it to another moment.
    pub fn set(&mut self, wall_ns: u64) {
        let second = wall_ns / 1_000_000_000;
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil(second / 86_400);
            let clock = second % 86_400;
            self.digits::<0, 4>(year);
            self.digits::<5, 2>(month);
            self.digits::<8, 2>(day);
            self.digits::<11, 2>(clock / 3600);
            self.digits::<14, 2>(clock / 60 % 60);
            self.digits::<17, 2>(clock % 60);
        }
        self.digits::<20, 9>(wall_ns % 1_000_000_000);
    }

    /// The text, `2026-11-21T03:00:00.123456789Z`.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; STAMP_LEN] {
        &self.text
    }

    /// The same as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or("")
    }

    fn digits<const AT: usize, const COUNT: usize>(&mut self, mut number: u64) {
        for byte in self.text.get_mut(AT..AT + COUNT).unwrap_or(&mut []).iter_mut().rev() {
            // A remainder of ten always fits a byte.
            *byte = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// Everything before the text of a line, the last blank included.
#[must_use]
pub fn head(stamp: &Stamp, source: Source, tag: Tag) -> [u8; HEAD_LEN] {
    let rest: &[u8; HEAD_LEN - STAMP_LEN] = match (source, tag) {
        (Source::Stdout, Tag::Full) => b" stdout F ",
        (Source::Stdout, Tag::Partial) => b" stdout P ",
        (Source::Stderr, Tag::Full) => b" stderr F ",
        (Source::Stderr, Tag::Partial) => b" stderr P ",
    };
    let mut head = [0; HEAD_LEN];
    let (left, right) = head.split_at_mut(STAMP_LEN);
    left.copy_from_slice(stamp.bytes());
    right.copy_from_slice(rest);
    head
}

/// A line as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When it was read from the payload, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// Where it came from.
    pub source: Source,
    /// Whether its own newline followed.
    pub tag: Tag,
    /// What the payload wrote, without the newline.
    pub text: &'a [u8],
}

/// Reads one line, given without its newline; `None` when it is not one of ours.
#[must_use]
pub fn parse(line: &[u8]) -> Option<LogLine<'_>> {
    let (head, text) = line.split_at_checked(HEAD_LEN)?;
    let (stamp, rest) = head.split_at_checked(STAMP_LEN)?;
    let (source, tag) = match rest {
        b" stdout F " => (Source::Stdout, Tag::Full),
        b" stdout P " => (Source::Stdout, Tag::Partial),
        b" stderr F " => (Source::Stderr, Tag::Full),
        b" stderr P " => (Source::Stderr, Tag::Partial),
        _ => return None,
    };
    Some(LogLine { wall_ns: wall_ns(stamp)?, source, tag, text })
}

/// The wall time of a stamp of ours, in nanoseconds since 1970; `None` for any other spelling.
#[must_use]
pub fn wall_ns(stamp: &[u8]) -> Option<u64> {
    let shape = b"0000-00-00T00:00:00.000000000Z";
    let fits = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    if stamp.len() != STAMP_LEN || !stamp.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        stamp.get(from..to).unwrap_or(&[]).iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let days = days(number(0, 4), number(5, 7), number(8, 10))?;
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(number(20, 29))
}

/// Days before the first of each month, counted from March, so that the leap day comes last.
const BEFORE_MONTH: [u64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
/// Days in 400, 100 and 4 years of this calendar, and from 0000-03-01 to 1970-01-01.
const DAYS_400: u64 = 146_097;
const DAYS_100: u64 = 36_524;
const DAYS_4: u64 = 1461;
const DAYS_TO_EPOCH: u64 = 719_468;

/// Year, month and day of a day counted from 1970-01-01; years beyond 9999 show their last four digits.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + DAYS_TO_EPOCH;
    let (cycles, day) = (day / DAYS_400, day % DAYS_400);
    // The last day of a long span is a leap day and would count as the first of one span too many.
    let centuries = (day / DAYS_100).min(3);
    let day = day - centuries * DAYS_100;
    let (fours, day) = (day / DAYS_4, day % DAYS_4);
    let ones = (day / 365).min(3);
    let day = day - ones * 365;
    let year = cycles * 400 + centuries * 100 + fours * 4 + ones;
    let index = BEFORE_MONTH.iter().rposition(|before| *before <= day).unwrap_or(0);
    let in_month = day - BEFORE_MONTH.get(index).copied().unwrap_or(0) + 1;
    let index = index as u64;
    if index < 10 { (year, index + 3, in_month) } else { (year + 1, index - 9, in_month) }
}

/// The day counted from 1970-01-01 of a date; `None` before that, or when there is no such month.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, index) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let before = BEFORE_MONTH.get(usize::try_from(index).ok()?)?;
    let total = year * 365 + year / 4 - year / 100 + year / 400 + before + day - 1;
    total.checked_sub(DAYS_TO_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::{Source, Stamp, Tag, head, parse, wall_ns};

    #[test]
    fn stamps_agree_with_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199_000_000_001, "2024-02-29T23:59:59.000000001Z"),
            (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
        ];
        for (nanos, text) in table {
            assert_eq!(Stamp::new(nanos).as_str(), text);
            assert_eq!(wall_ns(text.as_bytes()), Some(nanos));
        }
    }

    #[test]
    fn every_day_of_five_centuries_comes_back() {
        let mut last = String::new();
        for day in 0..182_621_u64 {
            let nanos = day * 86_400 * 1_000_000_000;
            let stamp = Stamp::new(nanos);
            assert!(last.as_str() < stamp.as_str(), "{last} is not before {}", stamp.as_str());
            assert_eq!(wall_ns(stamp.bytes()), Some(nanos));
            last = stamp.as_str().to_owned();
        }
    }

    #[test]
    fn a_line_comes_back() {
        let mut line = head(&Stamp::new(7), Source::Stderr, Tag::Partial).to_vec();
        line.extend(b"half a li");
        let read = parse(&line).expect("our own line");
        assert_eq!(
            (read.wall_ns, read.source, read.tag, read.text),
            (7, Source::Stderr, Tag::Partial, &b"half a li"[..])
        );
        assert_eq!(parse(b"no line of ours"), None);
    }
}
