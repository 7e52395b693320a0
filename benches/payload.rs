//! What the benchmarks supervise: one small program with a verb for each part it plays.
//!
//! In: argv. Out: for `svc` and `spew` one record `NANOSECONDS PID ID` on a fifo as the first act of `main`, in
//! CLOCK_MONOTONIC; the distance to the moment of a kill is the figure measured. Not here: any measuring.
//! The surprise: it is linked statically at fixed addresses (`benches/run` sees to it), so that its own start costs
//! next to nothing and the supervisors are what is compared.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Bytes of one line of `spew`, newline included.
const LINE: usize = 100;
/// Lines a `spew` writes at once: what stdio does on a pipe.
const BATCH: usize = 40;

fn main() -> ExitCode {
    let started = nanos(ClockId::Monotonic);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["svc", fifo, id, rest @ ..] => svc(fifo, id, rest, started),
        ["spew", fifo, id, bytes, done] => spew(fifo, id, bytes, done, started),
        ["into", procs, argv @ ..] if !argv.is_empty() => into(procs, argv),
        ["up", count, fifo] => up(count, fifo),
        ["pump", file] => pump(file),
        // `cargo bench` runs every bench; this one has nothing to say for itself.
        [] | ["--bench", ..] => Ok(()),
        _ => {
            eprintln!(
                "usage: payload svc FIFO ID [log MS|leave|once] | spew FIFO ID BYTES DONE | into PROCS ARGV.. | up N FIFO | pump FILE"
            );
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("payload {}: {error}", words.join(" "));
            ExitCode::from(74)
        }
    }
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// One write below PIPE_BUF, so records of many processes never mix.
fn record(fifo: &str, id: &str, at: u64) -> std::io::Result<()> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut fifo = OpenOptions::new().append(true).custom_flags(nonblock).open(fifo)?;
    fifo.write_all(format!("{at} {} {id}\n", std::process::id()).as_bytes())
}

/// A service: records its start and sleeps for ever, unless it is said otherwise.
fn svc(fifo: &str, id: &str, rest: &[&str], started: u64) -> std::io::Result<()> {
    record(fifo, id, started)?;
    match rest {
        ["log", every] => count_aloud(every.parse().unwrap_or(1000)),
        ["leave"] => {
            leave_descendant(fifo, id)?;
            rest_for_ever()
        }
        ["once"] => Ok(()),
        _ => rest_for_ever(),
    }
}

fn rest_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Writes a number a line, and dies when nobody takes them, like any program that logs.
fn count_aloud(every_ms: u64) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    for number in 0_u64.. {
        out.write_all(format!("line {number}\n").as_bytes())?;
        out.flush()?;
        thread::sleep(Duration::from_millis(every_ms));
    }
    Ok(())
}

/// Leaves a process behind that has a session of its own, no parent of ours, closed streams, and no ear for TERM.
fn leave_descendant(fifo: &str, id: &str) -> std::io::Result<()> {
    let own = std::env::current_exe()?;
    let script = r#"trap "" TERM HUP INT; exec "$0" "$@""#;
    let descendant = format!("{id}.d");
    Command::new("setsid")
        .args(["-f", "/bin/sh", "-c", script])
        .arg(own)
        .args(["svc", fifo, &descendant])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(|_| ())
}

/// Writes numbered lines of 100 bytes as fast as they are taken, then `START END LINES` into the file `done`.
fn spew(fifo: &str, id: &str, bytes: &str, done: &str, started: u64) -> std::io::Result<()> {
    record(fifo, id, started)?;
    if fs::exists(done)? {
        // Started a second time by somebody who thinks it should not have ended: it did its work.
        rest_for_ever();
    }
    let lines = bytes.parse::<u64>().unwrap_or(0) / LINE as u64;
    // The supervisor is given the time to finish its own start.
    thread::sleep(Duration::from_millis(1500));
    let begun = nanos(ClockId::Monotonic);
    let mut out = File::from(rustix::io::dup(std::io::stdout())?);
    let mut batch = vec![b'x'; LINE * BATCH];
    let mut number = 0;
    while number < lines {
        let count = (lines - number).min(BATCH as u64);
        for line in batch.chunks_exact_mut(LINE).take(usize::try_from(count).unwrap_or(BATCH)) {
            write_number(line, number);
            number += 1;
        }
        out.write_all(&batch[..usize::try_from(count).unwrap_or(BATCH) * LINE])?;
    }
    let ended = nanos(ClockId::Monotonic);
    let part = format!("{done}.part");
    fs::write(&part, format!("{begun} {ended} {number}\n"))?;
    fs::rename(part, done)?;
    rest_for_ever()
}

/// Twelve digits and a space at the head, a newline at the end; the rest stays as it is.
fn write_number(line: &mut [u8], mut number: u64) {
    for digit in line[..12].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    line[12] = b' ';
    line[LINE - 1] = b'\n';
}

/// Joins a cgroup (`-` for none) and a session of its own, then becomes `argv`.
fn into(procs: &str, argv: &[&str]) -> std::io::Result<()> {
    if procs != "-" {
        fs::write(procs, "0")?;
    }
    let _ = rustix::process::setsid();
    Err(Command::new(argv[0]).args(&argv[1..]).exec())
}

/// The floor of a bring-up: `count` bare spawns from two threads, and nobody who looks after them.
fn up(count: &str, fifo: &str) -> std::io::Result<()> {
    let count: u32 = count.parse().unwrap_or(0);
    let own = std::env::current_exe()?;
    thread::scope(|scope| {
        for half in 0..2 {
            let own = &own;
            scope.spawn(move || {
                for number in (half..count).step_by(2) {
                    // Never waited for: this process lives until it is killed.
                    let _ = Command::new(own).args(["svc", fifo, &format!("s{number}")]).spawn();
                }
            });
        }
    });
    rest_for_ever()
}

/// The floor of log capture: reads and writes, and looks at nothing.
fn pump(file: &str) -> std::io::Result<()> {
    let mut into = OpenOptions::new().create(true).append(true).open(file)?;
    let mut from = File::from(rustix::io::dup(std::io::stdin())?);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        into.write_all(&buffer[..length])?;
    }
}
