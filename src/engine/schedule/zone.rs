//! A time zone as a value: every change of its offset, and nothing else.
//!
//! In: the bytes of a TZif file. Out: the offset at any moment, the changes between two. Not here: where the bytes come
//! from (`observe::zones`). The surprise: the rule at the end of the file is written out up to the year 2554, where our
//! time ends, so that asking is a search in a sorted list and needs no calendar.

use std::fmt;
use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};

use crate::engine::time::Timestamp;

/// The last second a [`Timestamp`] can hold.
const SECOND_MAX: i64 = (u64::MAX / 1_000_000_000).cast_signed();
/// More changes than any zone has: two a year, up to the year 2554, and Morocco's four.
const SHIFTS_MAX: usize = 4096;
/// Files of zones have some kilobytes.
const BYTES_MAX: usize = 1 << 20;

/// No zone has a longer name, in bytes.
pub const NAME_MAX: usize = 64;
/// What to write where the name of a zone is wrong.
pub const NAME_HELP: &str = "write the IANA name of a place, such as Europe/Berlin, or UTC";
/// What is wrong with a name that nothing is known by.
pub const NO_ZONE: &str = "is no time zone";
/// Names in the data that are abbreviations: which clock they mean is nobody's to guess.
const ABBREVIATIONS: &[&str] =
    &["CET", "CST6CDT", "EET", "EST", "EST5EDT", "HST", "MET", "MST", "MST7MDT", "PST8PDT", "WET"];

/// Why a text is no name of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFault {
    /// The rest of a sentence that begins with the name.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// Why a text cannot be the name of a zone, whatever zones there are.
#[must_use]
pub fn name_fault(name: &str) -> Option<NameFault> {
    let fault = |what: &str, help: &str| Some(NameFault { what: what.to_owned(), help: help.to_owned() });
    if name.is_empty() {
        return fault(NO_ZONE, NAME_HELP);
    }
    if let Some((before, rest)) = name.split_once('=') {
        let is_place = before == "TZ" && rest.contains('/') && name_fault(rest).is_none();
        return fault("sets a variable", &if is_place { format!("write {rest}") } else { NAME_HELP.to_owned() });
    }
    let is_offset = name.starts_with(['+', '-']) || name.starts_with(|c: char| c.is_ascii_digit());
    let after_utc = ["UTC", "GMT", "Z"].iter().find_map(|zero| name.strip_prefix(zero));
    if is_offset || after_utc.is_some_and(|rest| rest.starts_with(['+', '-']) || name.len() == 1) {
        return fault("is a fixed offset, which is wrong for half of the year in most places", NAME_HELP);
    }
    if ABBREVIATIONS.contains(&name) {
        return fault("is an abbreviation, which several places share", NAME_HELP);
    }
    let is_part = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        !part.is_empty() && part.bytes().all(is_plain)
    };
    if name.len() <= NAME_MAX && name.split('/').all(is_part) {
        return None;
    }
    let is_path = name.contains("..") || name.starts_with(['/', ':']);
    fault(if is_path { "is a path, not a name" } else { NO_ZONE }, NAME_HELP)
}

/// One change of an offset. All are seconds; those of the offset count eastwards of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The first second of the new offset, since 1970 UTC.
    pub at: i64,
    /// The offset just before.
    pub before: i32,
    /// The offset from then on; never the one before.
    pub after: i32,
}

impl Shift {
    /// By how many seconds clocks are set forward; negative when they are set back.
    #[must_use]
    pub const fn forward(&self) -> i64 {
        self.after as i64 - self.before as i64
    }
}

/// A time zone. Cloning copies two pointers.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    /// The offset in 1970, before the first change.
    first: i32,
    /// Sorted; all within the range of [`Timestamp`].
    shifts: Arc<[Shift]>,
}

/// Why bytes are no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data of the zone {name} cannot be read: {why}")]
pub struct ZoneError {
    /// Which zone was asked for.
    pub name: String,
    /// What is wrong with its data.
    pub why: String,
}

impl Zone {
    /// Coordinated universal time, which never changes.
    #[must_use]
    pub fn utc() -> Zone {
        Zone { name: Arc::from("UTC"), first: 0, shifts: Arc::from([]) }
    }

    /// The zone of this name that a TZif file describes. The name is taken as it is.
    ///
    /// # Errors
    /// When the bytes are no TZif file, or an absurd one.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Zone, ZoneError> {
        let error = |why: String| ZoneError { name: name.to_owned(), why };
        if bytes.len() > BYTES_MAX {
            return Err(error(format!("{} bytes are too many", bytes.len())));
        }
        let zone = TimeZone::tzif(name, bytes).map_err(|why| error(why.to_string()))?;
        let offset = |second: i64| jiff::Timestamp::from_second(second).map(|at| zone.to_offset(at).seconds());
        let first = offset(0).map_err(|why| error(why.to_string()))?;
        let mut shifts: Vec<Shift> = Vec::new();
        for change in zone.following(jiff::Timestamp::UNIX_EPOCH).take(SHIFTS_MAX) {
            let at = change.timestamp().as_second();
            let before = shifts.last().map_or(first, |last| last.after);
            // A name or a flag may change alone; clocks do not notice. The order is the file's to get wrong.
            let after = offset(at).map_err(|why| error(why.to_string()))?;
            let is_later = shifts.last().is_none_or(|last| last.at < at);
            if at > SECOND_MAX {
                break;
            }
            if after != before && is_later {
                shifts.push(Shift { at, before, after });
            }
        }
        Ok(Zone { name: Arc::from(name), first, shifts: Arc::from(shifts) })
    }

    /// Its IANA name, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds that its clocks are ahead of UTC at this second since 1970.
    #[must_use]
    pub fn offset(&self, second: i64) -> i32 {
        self.last_shift(second).map_or(self.first, |shift| shift.after)
    }

    /// All changes later than one second and no later than another, both since 1970 UTC.
    #[must_use]
    pub fn shifts(&self, after: i64, until: i64) -> &[Shift] {
        let from = self.shifts.partition_point(|shift| shift.at <= after);
        let to = self.shifts.partition_point(|shift| shift.at <= until);
        self.shifts.get(from..to).unwrap_or_default()
    }

    /// The latest change at or before a second.
    pub(super) fn last_shift(&self, second: i64) -> Option<&Shift> {
        let count = self.shifts.partition_point(|shift| shift.at <= second);
        count.checked_sub(1).and_then(|last| self.shifts.get(last))
    }

    /// The first change after a second.
    pub(super) fn next_shift(&self, second: i64) -> Option<&Shift> {
        self.shifts.get(self.shifts.partition_point(|shift| shift.at <= second))
    }

    /// What its clocks show at this moment.
    #[must_use]
    pub fn wall(&self, at: Timestamp) -> jiff::civil::DateTime {
        let second = seconds(at);
        wall(second, self.offset(second))
    }

    /// When its clocks show this, to the second: the first of two moments in a fold, the end of the gap within one.
    /// Nothing outside the range of [`Timestamp`].
    #[must_use]
    pub fn moment(&self, shown: jiff::civil::DateTime) -> Option<Timestamp> {
        let shown = Offset::UTC.to_timestamp(shown).ok()?.as_second();
        // No offset is larger than a day.
        let from = shown.saturating_sub(2 * 86_400);
        let mut offset = i64::from(self.offset(from));
        for shift in self.shifts(from, shown.saturating_add(2 * 86_400)) {
            if shown - offset < shift.at {
                break;
            }
            offset = i64::from(shift.after);
            if shown - offset < shift.at {
                return moment(shift.at);
            }
        }
        moment(shown - offset)
    }

    /// A moment as its clocks show it, with the offset, to the second: `2026-11-21T03:00:00+01:00`; in UTC with `Z`.
    #[must_use]
    pub fn rfc3339(&self, at: Timestamp) -> String {
        if UTC.contains(&&*self.name) {
            return crate::engine::time::utc(at);
        }
        format!("{}{}", self.wall(at).strftime("%Y-%m-%dT%H:%M:%S"), OffsetText(self.offset(seconds(at))))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// The names of UTC itself; London in winter is another clock, and keeps its offset.
const UTC: &[&str] = &["Etc/UCT", "Etc/UTC", "Etc/Universal", "Etc/Zulu", "UCT", "UTC", "Universal", "Zulu"];

/// Seconds since 1970, rounded down.
pub(super) fn seconds(at: Timestamp) -> i64 {
    (at.nanos() / 1_000_000_000).cast_signed()
}

/// The moment of a second since 1970, unless it lies outside our time.
pub(super) fn moment(second: i64) -> Option<Timestamp> {
    u64::try_from(second).ok()?.checked_mul(1_000_000_000).map(Timestamp::from_nanos)
}

/// What a clock of this offset shows.
pub(super) fn wall(second: i64, offset: i32) -> jiff::civil::DateTime {
    let shown = second.saturating_add(i64::from(offset));
    // Our time ends in 2554 and jiff's in 9999.
    Offset::UTC.to_datetime(jiff::Timestamp::from_second(shown).unwrap_or_default())
}

/// An offset as RFC 3339 writes it; seconds, which some had before 1973, are cut.
struct OffsetText(i32);

impl fmt::Display for OffsetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}
