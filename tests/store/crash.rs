//! A writer that is killed in the middle of its work, again and again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;

use setpoint::store::{Books, EventFilter, Reader, RunFilter, TickFilter, Write, Writer};

use crate::world::{World, attempt, event, finish, fire_tick, tick};

/// How many writes there are in all.
const WRITES: u64 = 1_000;
/// How many of them are on their way at once.
const WINDOW: usize = 16;
const NAME: &str = "cronjob/backup";
const TEST: &str = "crash::a_killed_writer_loses_nothing_it_has_answered_and_doubles_nothing";
/// Says to the test that it is the child, and what to write.
pub const CHILD: &str = "SETPOINT_TEST_STORE";
pub const FROM: &str = "SETPOINT_TEST_FROM";

/// The n-th write. Each kind is there; each leaves something by which it can be told that it was written.
fn nth(n: u64) -> Write {
    let of_run = format!("t-{}", n - n % 5);
    match n % 5 {
        0 => fire_tick(NAME, n),
        1 => Write::Note { ticks: vec![tick(NAME, n, "Skipped")], cursor: None },
        2 => Write::Attempt(attempt(NAME, &of_run, 1)),
        3 => Write::Finish(Box::new(finish(NAME, &of_run, "ok"))),
        _ => Write::Events { events: vec![event(&format!("event {n}"))], kept: 10_000 },
    }
}

/// Writes from a number on, and says which are answered, until it is killed.
fn child(path: &Path, from: u64) {
    let writer = Writer::start(path).expect("a thread");
    let (enter, leave) = sync_channel(WINDOW);
    let leave = std::sync::Arc::new(std::sync::Mutex::new(leave));
    for n in from..WRITES {
        enter.send(()).expect("the writer goes on");
        let leave = std::sync::Arc::clone(&leave);
        let heard = move |answer: Result<_, _>| {
            println!("{}", answer.map_or_else(|trouble| format!("trouble {trouble}"), |_| format!("ack {n}")));
            _ = leave.lock().expect("no panic").recv();
        };
        writer.send(nth(n), Box::new(heard));
    }
    writer.close();
    println!("all");
}

fn spawn(test: &str, path: &Path, from: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, path).env(FROM, from.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a child")
}

/// The lines in which a child says what is answered. The harness may have begun one of them.
const WORDS: &[&str] = &["ack ", "held ", "ok ", "dead ", "back "];

/// Lets a child say that `count` writes are answered, and kills it. What it has said, and whether it had come to its end.
pub fn one_life(test: &str, path: &Path, from: u64, count: usize) -> (Vec<String>, bool) {
    let mut child = spawn(test, path, from);
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (mut said, mut is_over) = (Vec::new(), false);
    for line in lines {
        let line = line.expect("text");
        assert!(!line.contains("trouble"), "{line}");
        is_over |= line.ends_with("all");
        let line = line.strip_prefix(&format!("test {test} ... ")).unwrap_or(&line);
        if WORDS.iter().any(|word| line.starts_with(word)) {
            said.push(line.to_owned());
            if said.len() == count {
                // It is ours and not reaped yet. What it has said until then is still read.
                child.kill().expect("a living child");
            }
        }
    }
    child.wait().expect("an end");
    (said, is_over)
}

/// Which of the writes are there. Panics when one is there twice.
fn written(path: &Path) -> BTreeSet<u64> {
    let reader = Reader::open(path).expect("a store");
    let mut found = Vec::new();
    let second = |at: setpoint::engine::Timestamp| at.nanos() / 1_000_000_000 - crate::world::NIGHT;
    for run in reader.runs(&RunFilter::default()).unwrap() {
        let n = second(run.created);
        found.push(n);
        let tries = reader.attempts(&run.object, &run.cause).unwrap();
        assert!(tries.len() <= 1, "{tries:?}");
        found.extend(tries.iter().map(|_| n + 2));
        found.extend(run.end.map(|_| n + 3));
    }
    let ticks = reader.ticks(&TickFilter::default()).unwrap();
    let fired = ticks.iter().filter(|tick| &*tick.state == "Fired").map(|tick| second(tick.nominal));
    assert_eq!(fired.collect::<BTreeSet<_>>(), found.iter().copied().filter(|n| n % 5 == 0).collect(), "tick and run");
    let cursor = reader.cursors().unwrap().first().map(|cursor| second(cursor.at));
    assert_eq!(cursor, found.iter().copied().filter(|n| n % 5 == 0).max(), "the cursor goes with the run");
    found.extend(ticks.iter().filter(|tick| &*tick.state == "Skipped").map(|tick| second(tick.nominal)));
    let unique: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(unique.len(), found.len(), "something is there twice");
    // An event has no name: one that was written and not answered may be written again.
    let events = reader.events(&EventFilter::default()).unwrap();
    let numbers = events.iter().filter_map(|(_, event)| event.text.strip_prefix("event ").and_then(|n| n.parse().ok()));
    unique.into_iter().chain(numbers).collect()
}

pub fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn a_killed_writer_loses_nothing_it_has_answered_and_doubles_nothing() {
    if let Some(path) = std::env::var_os(CHILD) {
        let from = std::env::var(FROM).expect("a number").parse().expect("a number");
        return child(&PathBuf::from(path), from);
    }
    let world = World::new();
    let log = PathBuf::from(format!("{}-wal", world.path.display()));
    let (mut seed, mut from, mut lives, mut logs) = (7, 0, 0, 0);
    loop {
        let count = 1 + next(&mut seed) % 90;
        let (said, is_over) = one_life(TEST, &world.path, from, count as usize);
        let number = |line: &String| line.strip_prefix("ack ")?.parse::<u64>().ok();
        let acks: BTreeSet<u64> = said.iter().filter_map(number).collect();
        lives += 1;
        logs += usize::from(log.metadata().is_ok_and(|meta| meta.len() > 0));
        let found = written(&world.path);
        let missing: Vec<&u64> = acks.difference(&found).collect();
        assert_eq!(missing, Vec::<&u64>::new(), "answered and not there, in life {lives}");
        // Written in the order sent: what is there is all there is up to some write.
        assert_eq!(found, (0..found.len() as u64).collect(), "a hole, in life {lives}");
        if is_over {
            break;
        }
        from = acks.last().map_or(from, |last| last + 1);
        assert!(lives < 500, "it does not come to an end");
    }
    assert_eq!(written(&world.path).len() as u64, WRITES);
    assert!(lives >= 8 && logs >= 5, "{lives} lives, {logs} logs left behind");
}
