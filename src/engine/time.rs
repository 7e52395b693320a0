//! Moments and spans, as values handed in from outside.
//!
//! In: readings somebody else took. Out: comparable, printable moments. Not here: any clock.
//! The surprise: waiting is measured in boot time, which goes on during suspend and never jumps, while a person
//! reads wall time; a boot time means nothing without the boot id beside it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Time since this boot, suspend included (`CLOCK_BOOTTIME`), in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(u64);

impl BootTime {
    /// The moment `nanos` nanoseconds after boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> BootTime {
        BootTime(nanos)
    }

    /// The moment `millis` milliseconds after boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> BootTime {
        BootTime(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment `span` later; the far end of time when that overflows.
    #[must_use]
    pub fn after(self, span: Duration) -> BootTime {
        BootTime(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: BootTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in nanoseconds since 1970-01-01 UTC; for people, and for ends they name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Timestamp {
        Timestamp(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment `span` later; the far end of time when that overflows.
    #[must_use]
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The moment `span` earlier; the epoch when that lies before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How far `later` lies ahead; zero when it has passed.
    #[must_use]
    pub const fn until(self, later: Timestamp) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

/// Names one boot of one machine; two boot times compare only under one boot id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(Arc<str>);

impl BootId {
    /// The id as the kernel prints it.
    #[must_use]
    pub fn new(text: &str) -> BootId {
        BootId(Arc::from(text))
    }

    /// The id as the kernel prints it; empty when a damaged record did not say.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The present, as handed to [`crate::engine::reconcile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Time since boot.
    pub boot: BootTime,
    /// Which boot `boot` counts from.
    pub boot_id: BootId,
}

/// A moment as RFC 3339 in UTC, with whole seconds: `2026-11-21T03:00:00Z`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1_000_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "never".to_owned(), |at| at.to_string())
}

/// A span as people write it: `500ms`, `90s`, `15m`, `2h`, `7d`; the largest unit that divides it.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if millis.is_multiple_of(unit) {
                return write!(f, "{}{name}", millis / unit);
            }
        }
        write!(f, "{millis}ms")
    }
}
