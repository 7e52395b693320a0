//! How hard the machine is pressed: load, free memory, and what the kernel says of stalls.
//!
//! In: a few lines of `/proc`. Out: figures. Not here: limits and what is held back for them (`engine::run::pressure`),
//! when this is asked (`controller::pressure`).
//! The surprise: what cannot be read is no figure, and no figure passes no limit. A kernel without pressure stall
//! information therefore holds nothing back; `doctor` says so.

use std::path::Path;

use crate::engine::BootTime;
use crate::engine::run::pressure::{Figures, Gauge, Pressure};

/// What the machine says of itself now.
#[must_use]
pub fn look(now: BootTime) -> Pressure {
    Pressure { at: now, figures: read(Path::new("/proc")) }
}

/// The limits that this machine cannot be held to, since it does not say how it stands.
#[must_use]
pub fn unreadable(limits: &Figures) -> Vec<&'static str> {
    let figures = read(Path::new("/proc"));
    let is_unknown = |gauge: &Gauge| limits.of(*gauge).is_some() && figures.of(*gauge).is_none();
    Gauge::ALL.into_iter().filter(is_unknown).map(Gauge::field).collect()
}

fn read(proc: &Path) -> Figures {
    let text = |name: &str| std::fs::read_to_string(proc.join(name)).ok();
    let load = |text: String| hundredths(text.split_whitespace().next()?);
    let free = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let stalls = |name: &str| {
        let text = text(&format!("pressure/{name}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
        hundredths(line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?)
    };
    Figures {
        load: text("loadavg").and_then(load),
        memory_free: text("meminfo").and_then(free),
        cpu: stalls("cpu"),
        memory: stalls("memory"),
        io: stalls("io"),
    }
}

/// `12.34` in hundredths.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: u64 = format!("{part:0<2}").get(..2)?.parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_as_it_writes() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        assert_eq!(read(folder.path()), Figures::default());
        std::fs::create_dir(folder.path().join("pressure")).expect("a folder");
        write("loadavg", "12.34 9.10 8.00 3/812 4711\n");
        write("meminfo", "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n");
        write("pressure/io", "some avg10=3.5 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00 avg60=0 total=0\n");
        write("pressure/cpu", "some avg10=100 avg60=0.00 avg300=0.00 total=1\n");
        write("pressure/memory", "rubbish\n");
        let expected =
            Figures { load: Some(1234), memory_free: Some(2 << 20), cpu: Some(10_000), io: Some(350), memory: None };
        assert_eq!(read(folder.path()), expected);
    }

    #[test]
    fn every_linux_says_how_its_load_and_its_memory_are() {
        let figures = look(BootTime::default()).figures;
        assert!(figures.load.is_some() && figures.memory_free.is_some_and(|free| free > 0), "{figures:?}");
        let limits = Figures { load: Some(1), memory_free: Some(1), ..Figures::default() };
        assert_eq!(unreadable(&limits), [""; 0]);
    }
}
