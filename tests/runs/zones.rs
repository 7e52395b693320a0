//! Zones whose clocks are changed in different ways, out of the data the library carries.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use setpoint::engine::schedule::Zone;
use setpoint::observe::zones::Zones;

use super::rng::Rng;

/// A change of an hour, one of half an hour, one at midnight, one by day, and none.
const NAMES: &[&str] =
    &["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Tokyo", "UTC"];

static ZONES: LazyLock<BTreeMap<&'static str, Zone>> = LazyLock::new(|| {
    let mut zones = Zones::of(None);
    NAMES.iter().map(|name| (*name, zones.get(name).expect("a zone the library carries"))).collect()
});

pub fn random(rng: &mut Rng) -> &'static str {
    rng.pick(NAMES)
}

pub fn zone(name: &str) -> &'static Zone {
    &ZONES[name]
}

/// A moment shortly before a change of the clocks of one of them, in seconds.
pub fn before_change(rng: &mut Rng) -> u64 {
    let zone = zone(rng.pick(&NAMES[..4]));
    // 2025 to 2030.
    let shifts = zone.shifts(1_735_689_600, 1_893_456_000);
    let at = shifts[rng.index(shifts.len())].at as u64;
    at - rng.between(0, 5 * 3600)
}
