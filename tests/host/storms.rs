//! Many services that write without pause, and a controller that is killed over and over: no line is lost or doubled.

use std::path::{Path, PathBuf};
use std::process::Command;

use setpoint::record::logline::{self, Tag};

use crate::world::{Dice, World, service};

const SERVICES: usize = 200;
const KILLS: usize = 20;
/// Lines each service writes: 12 s at 100 lines a second.
const LINES: usize = 1200;
const SEED: u64 = 5;

/// Writes 100 numbered lines a second, ten at a time, then rests for ever.
const WRITER: &str = r#"
use std::io::Write;
use std::time::{Duration, Instant};
fn main() {
    let lines: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let begun = Instant::now();
    for batch in 0..lines / 10 {
        let text: String = (0..10).map(|n| format!("{:06} {}\n", batch * 10 + n, "x".repeat(40))).collect();
        std::io::stdout().write_all(text.as_bytes()).unwrap();
        let due = Duration::from_millis(100) * (batch + 1);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    loop { std::thread::park(); }
}
"#;

/// Builds the writer: a shell would cost more than what is under test.
fn build(folder: &Path) -> PathBuf {
    let (source, binary) = (folder.join("writer.rs"), folder.join("writer"));
    std::fs::write(&source, WRITER).expect("a source");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(compiler).args(["-O", "--edition", "2024", "-o"]).arg(&binary).arg(&source).status();
    assert!(built.expect("rustc").success());
    binary
}

fn name(index: usize) -> String {
    format!("w{index:03}")
}

/// The log files of a service, oldest first.
fn files(world: &World, name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(world.home().join("logs/service").join(name)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.sort();
    files
}

/// True when the last line of a service has been logged.
fn has_last(world: &World, name: &str) -> bool {
    let newest = files(world, name).pop().and_then(|file| std::fs::read_to_string(file).ok());
    newest.is_some_and(|text| text.contains(&format!(" F {:06} ", LINES - 1)))
}

/// The numbers in the log of a service, in order; panics at a torn line.
fn numbers(world: &World, name: &str) -> Vec<u32> {
    let bytes: Vec<u8> = files(world, name).iter().flat_map(|file| std::fs::read(file).expect("a log")).collect();
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{name} ends in a torn line");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line = logline::parse(line).unwrap_or_else(|| panic!("{name}: {}", String::from_utf8_lossy(line)));
            assert_eq!((line.tag, line.text.len()), (Tag::Full, 47), "{name} is torn");
            std::str::from_utf8(&line.text[..6]).ok().and_then(|n| n.parse().ok()).expect("a number")
        })
        .collect()
}

#[test]
fn s1_twenty_kills_under_two_hundred_writers_lose_and_double_nothing() {
    let world = World::new();
    let writer = build(world.root());
    let run = format!("[{}, \"{LINES}\"]", writer.display());
    let fleet: String =
        (0..SERVICES).map(|index| service(&name(index), &run, "log: { maxSize: 16Ki, maxFiles: 100 }")).collect();
    world.write("fleet.yaml", &fleet);
    world.apply();
    let controller = world.controller();
    world.until("all run", || world.mains().len() == SERVICES);
    let before = world.mains();
    controller.kill();
    let mut dice = Dice::new(SEED);
    for _ in 0..KILLS {
        let controller = world.launch(&[]);
        dice.pass(800_000);
        controller.kill();
    }
    let _controller = world.controller();
    assert_eq!(world.mains(), before, "restarted or doubled by seed {SEED}");
    let mut left: Vec<usize> = (0..SERVICES).collect();
    world.until("all have written all", || {
        // One that is done stays done.
        left.retain(|index| !has_last(&world, &name(*index)));
        left.is_empty()
    });
    world.ok(&["controller", "stop", "--all"]);
    let all: Vec<u32> = (0..).take(LINES).collect();
    for index in 0..SERVICES {
        assert_eq!(numbers(&world, &name(index)), all, "{}", name(index));
        assert_eq!(world.attempts(&format!("{}/0", name(index))).len(), 1);
    }
    assert!(files(&world, &name(0)).len() > 4, "the logs were to be rotated");
}
