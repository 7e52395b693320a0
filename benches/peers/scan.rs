//! Row 11, the process table: the cost a process of reading it, bare and as the product does it.
//!
//! In: a thousand live payloads. Out: microseconds a process for `stat`, and for `stat` with `cmdline`.
//! Not here: what is made of it. The surprise: the floor re-uses one buffer and one descriptor of /proc, and there is
//! no cheaper way to ask.

use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, RawDir, open, openat};

use setpoint::engine::Coverage;
use setpoint::observe::{ProcTable, Table as _};

use crate::lab::{Lab, show};
use crate::table::{Bar, FLOOR, Figure, OURS, Table, percentile};
use crate::{Order, settle};

const STAT: Figure = Figure::new(11, "/proc scan of 1 000: stat, µs a process", Bar::Floor(2.0));
const BOTH: Figure = Figure::new(11, "/proc scan of 1 000: stat and cmdline, µs a process", Bar::Floor(2.0));

/// Measures the floor and ours.
pub fn measure(order: &Order, table: &mut Table) {
    if let Err(error) = with_processes(order, table) {
        table.note(format!("row 11, scan: {error}"));
    }
}

fn with_processes(order: &Order, table: &mut Table) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "scan")?;
    let argv = [show(&lab.payload), "up".to_owned(), "1000".to_owned(), show(&lab.path("fifo"))];
    let ids: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
    lab.spawn(&argv, &[])?;
    lab.await_starts(&ids, 0, Duration::from_secs(60))?;
    settle(1.0);
    for (figure, with_cmdline) in [(STAT, false), (BOTH, true)] {
        // In turns, so that a busy neighbour slows both.
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..order.pick(25, 5) {
            floor.push(timed(|| bare(with_cmdline))?);
            ours.push(timed(|| observed(with_cmdline))?);
        }
        percentile(&mut floor, 50).into_iter().for_each(|value| table.add(figure, FLOOR, value));
        percentile(&mut ours, 50).into_iter().for_each(|value| table.add(figure, OURS, value));
    }
    Ok(())
}

/// Microseconds a process.
fn timed(scan: impl FnOnce() -> io::Result<usize>) -> io::Result<f64> {
    let begun = Instant::now();
    let count = scan()?;
    Ok(begun.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64)
}

/// readdir, openat, read, close, and not a byte looked at.
fn bare(with_cmdline: bool) -> io::Result<usize> {
    let proc = open("/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut names, mut text, mut path) = ([MaybeUninit::uninit(); 64 << 10], [0_u8; 4096], Vec::new());
    let mut entries = RawDir::new(&proc, &mut names);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        count += 1;
        let files: &[&[u8]] = if with_cmdline { &[b"/stat", b"/cmdline"] } else { &[b"/stat"] };
        for file in files {
            path.clear();
            path.extend_from_slice(name);
            path.extend_from_slice(file);
            // One that has gone since it was listed costs what it costs.
            if let Ok(file) = openat(&proc, path.as_slice(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
                let _ = rustix::io::read(&file, &mut text);
            }
        }
    }
    Ok(count)
}

/// The same as the product does it.
fn observed(with_cmdline: bool) -> io::Result<usize> {
    let listing = ProcTable.list(&|_| false);
    if let Coverage::Partial { why } = &listing.coverage {
        return Err(io::Error::other(why.to_string()));
    }
    if with_cmdline {
        for pid in listing.processes.keys() {
            let _ = std::hint::black_box(ProcTable.argv(*pid));
        }
    }
    Ok(listing.processes.len())
}
