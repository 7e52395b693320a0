//! When to ask next.
//!
//! In: the present, and how a process has done so far. Out: the moment of the next question. Not here: any clock.
//! The surprise: settled probes ask at moments that follow from a name and a period alone, so a thousand of them are
//! spread over the period without knowing of each other, and one that comes late goes on where it would have been.

use std::time::Duration;

/// The first question after a start, and the step the following ones grow by.
const SOON: Duration = Duration::from_millis(50);

/// The longest pause between two questions while it starts.
const STARTING_MAX: Duration = Duration::from_secs(1);

/// The same for a process that tells by itself: looking is cheap.
const TELLING_MAX: Duration = Duration::from_millis(250);

/// Moments of a period are rounded to this, so that those which are close to each other are one wake-up.
const GRID: Duration = Duration::from_millis(100);

/// The times of one probe; all of them counted from one moment that all probes share.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    period: Duration,
    phase: Duration,
    starting_max: Duration,
}

impl Pace {
    /// The pace of a probe of this name.
    #[must_use]
    pub fn new(period: Duration, name: &str) -> Pace {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        let phase = Duration::from_nanos(hash(name) % nanos);
        let phase = if period > GRID { floor(phase, GRID) } else { phase };
        Pace { period: Duration::from_nanos(nanos), phase, starting_max: period.min(STARTING_MAX) }
    }

    /// The pace of looking for what a process tells by itself.
    #[must_use]
    pub fn telling(name: &str) -> Pace {
        Pace { starting_max: TELLING_MAX, ..Pace::new(STARTING_MAX, name) }
    }

    /// The next question to a process that is still starting, this long after its start: each pause is as long as the
    /// way so far.
    #[must_use]
    pub fn starting(&self, now: Duration, age: Duration) -> Duration {
        now + age.clamp(SOON, self.starting_max.max(SOON))
    }

    /// The next question to a process that has settled.
    #[must_use]
    pub fn settled(&self, now: Duration) -> Duration {
        let since = now.saturating_sub(self.phase).as_nanos();
        let period = self.period.as_nanos();
        let rounds = if now < self.phase { 0 } else { since / period + 1 };
        let nanos = u64::try_from(rounds.saturating_mul(period)).unwrap_or(u64::MAX);
        self.phase.saturating_add(Duration::from_nanos(nanos))
    }

    /// The first question to a process that ran before anybody here asked: soon, and not all at once.
    #[must_use]
    pub fn found(&self, now: Duration) -> Duration {
        let within = self.starting_max.as_nanos().max(1);
        now + Duration::from_nanos(u64::try_from(self.phase.as_nanos() % within).unwrap_or(0))
    }
}

fn floor(span: Duration, step: Duration) -> Duration {
    let rest = span.as_nanos() % step.as_nanos();
    span.saturating_sub(Duration::from_nanos(u64::try_from(rest).unwrap_or(0)))
}

/// FNV-1a, with its bits mixed once more: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_starting_process_is_asked_ever_less_often() {
        let pace = Pace::new(millis(10_000), "a");
        let (mut at, mut asked) = (Duration::ZERO, Vec::new());
        while asked.len() < 8 {
            at = pace.starting(at, at);
            asked.push(u64::try_from(at.as_millis()).expect("short"));
        }
        assert_eq!(asked, [50, 100, 200, 400, 800, 1600, 2600, 3600]);
        let pace = Pace::new(millis(200), "a");
        assert_eq!(pace.starting(millis(5000), millis(5000)), millis(5200));
    }

    #[test]
    fn a_thousand_probes_are_spread_over_their_period() {
        let mut tenths = [0_u32; 10];
        for n in 0..1000 {
            let pace = Pace::new(millis(10_000), &format!("service/web/{n} ready"));
            let at = pace.settled(millis(20_000));
            assert!(at > millis(20_000) && at <= millis(30_000), "{at:?}");
            assert_eq!(pace.settled(at), at + millis(10_000), "one that is on time goes on one period later");
            assert_eq!(
                pace.settled(at + millis(25_000)),
                at + millis(30_000),
                "one that is late misses what it missed"
            );
            tenths[usize::try_from((at - millis(20_001)).as_millis() / 1000).expect("small")] += 1;
        }
        assert!(tenths.iter().all(|count| (50..=160).contains(count)), "{tenths:?}");
    }
}
