//! Row 4: one service that writes as fast as it is read.
//!
//! In: numbered lines of 100 bytes. Out: MB/s until the last is in the files, CPU seconds a GB of who reads them, peak
//! memory, lines lost or torn. Not here: many writers. The surprise: lines are checked one by one in the files, with
//! whatever a peer puts before them, so speed by dropping shows.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::account::{peak_kib, scheduled};
use crate::adapters::{Peer, Service};
use crate::lab::{Lab, nanos, show};
use crate::table::{Bar, FLOOR, Figure, Table};
use crate::{Order, bring_up, settle};

const SPEED: Figure = Figure::more(4, "log capture, MB/s", Bar::Least(450.0));
const CPU: Figure = Figure::new(4, "log capture, CPU s per GB", Bar::Most(1.5));
const LOST: Figure = Figure::new(4, "log lines lost or torn", Bar::Most(0.0));
const PEAK: Figure = Figure::new(4, "peak memory of the busy helper, MiB RSS", Bar::Most(3.0));
const LINE: u64 = 100;
const LIMIT: Duration = Duration::from_secs(90);

/// Measures the floor, and every peer.
pub fn measure(order: &Order, table: &mut Table) {
    let bytes = order.pick(1_000_000_000, 50_000_000) as u64;
    if let Err(error) = bare(order, table, bytes) {
        table.note(format!("row 4, floor: {error}"));
    }
    for mut peer in order.each() {
        if let Err(error) = one(order, table, &mut *peer, bytes) {
            table.note(format!("row 4, {}: {error}", peer.name()));
        }
    }
}

/// A pipe between two bare processes, ended with this value.
struct Pump([Child; 2]);

impl Drop for Pump {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn bare(order: &Order, table: &mut Table, bytes: u64) -> io::Result<()> {
    let lab = Lab::open(&order.site, "pump")?;
    let (fifo, done, file) = (lab.path("fifo"), lab.path("done"), lab.path("logs").join("floor"));
    let mut writer = Command::new(&lab.payload);
    writer.arg("spew").arg(fifo).args(["spew", &bytes.to_string()]).arg(&done).stdout(Stdio::piped());
    let mut writer = writer.spawn()?;
    let from = writer.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
    let reader = Command::new(&lab.payload).arg("pump").arg(&file).stdin(from).spawn()?;
    let pump = Pump([writer, reader]);
    let grown = await_growth(&lab.path("logs"), &done, bytes)?;
    report(table, FLOOR, bytes, grown, scheduled(&[pump.0[1].id()]));
    Ok(())
}

fn one(order: &Order, table: &mut Table, peer: &mut dyn Peer, bytes: u64) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "logs")?;
    let done = lab.path("done");
    let argv = [&show(&lab.payload), "spew", &show(&lab.path("fifo")), "spew", &bytes.to_string(), &show(&done)]
        .map(str::to_owned)
        .to_vec();
    bring_up(&mut lab, peer, &[Service { id: "spew".to_owned(), argv, is_logged: true }], Duration::from_secs(60))?;
    settle(0.8);
    let busy = |lab: &Lab| {
        let (upper, payloads) = lab.split();
        (lab.used().saturating_sub(scheduled(&payloads)), upper)
    };
    let (before, _) = busy(&lab);
    // Our files lie under the home, the others' under `logs`.
    let folder = if peer.name() == crate::table::OURS { lab.path("home").join("logs") } else { lab.path("logs") };
    let grown = await_growth(&folder, &done, bytes)?;
    let (after, upper) = busy(&lab);
    report(table, peer.name(), bytes, grown, after.saturating_sub(before));
    let busiest = upper.into_iter().max_by_key(|pid| scheduled(&[*pid]));
    busiest.into_iter().for_each(|pid| table.add(PEAK, peer.name(), peak_kib(pid) as f64 / 1024.0));
    let good = check(&peer.log_files(&lab, "spew"))?;
    table.add(LOST, peer.name(), (bytes / LINE).saturating_sub(good) as f64);
    Ok(())
}

fn report(table: &mut Table, name: &'static str, bytes: u64, (begun, last): (u64, u64), cpu: Duration) {
    let seconds = last.saturating_sub(begun) as f64 / 1e9;
    table.add(SPEED, name, bytes as f64 / 1e6 / seconds.max(1e-9));
    table.add(CPU, name, cpu.as_secs_f64() * 1e9 / bytes as f64);
}

/// Waits until the writer is done and the files hold all of it, or have not grown for two seconds; returns when the
/// writer began and when the files last grew.
fn await_growth(folder: &Path, done: &Path, bytes: u64) -> io::Result<(u64, u64)> {
    let end = Instant::now() + LIMIT;
    let (mut size, mut grown) = (0, nanos());
    while Instant::now() < end {
        let now = size_of(folder);
        if now != size {
            (size, grown) = (now, nanos());
        }
        let rested = nanos().saturating_sub(grown);
        if done.exists() && rested > 2_000_000_000 {
            let text = fs::read_to_string(done)?;
            let begun = text.split(' ').next().and_then(|word| word.parse().ok());
            let begun = begun.ok_or_else(|| io::Error::other("the writer left no times"))?;
            return Ok((begun, grown));
        }
        settle(0.005);
    }
    Err(io::Error::other(format!("after {LIMIT:?} only {size} of {bytes} bytes and more were captured")))
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Counts whole lines that stand in sequence: a gap, a repetition and a torn line each fail to count.
fn check(files: &[PathBuf]) -> io::Result<u64> {
    let (mut next, mut good, mut line) = (0, 0, Vec::new());
    for file in files {
        let mut reader = BufReader::with_capacity(1 << 20, fs::File::open(file)?);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Some(number) = number_of(&line) {
                good += u64::from(number >= next);
                next = number + 1;
            }
        }
    }
    Ok(good)
}

/// The number of a whole line, whatever stands before it.
fn number_of(line: &[u8]) -> Option<u64> {
    let start = line.len().checked_sub(usize::try_from(LINE).ok()?)?;
    let (digits, rest) = line[start..].split_at(12);
    let is_whole = rest[0] == b' ' && rest[1..87].iter().all(|byte| *byte == b'x') && rest[87] == b'\n';
    is_whole.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
