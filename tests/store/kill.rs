//! A queue whose writer is killed while messages come, are claimed and end, again and again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use setpoint::store::{Books, MessageFilter, MessageRow, MessageState, Reader, Reply, RunFilter, Write, Writer};

use crate::crash::{CHILD, FROM, next, one_life};
use crate::world::{INBOX, World, back, claim, end, enqueue, grouped, message, object};

/// How many messages there are in all.
const MESSAGES: u64 = 600;
/// How many of them are on their way at once.
const WINDOW: usize = 16;
const TEST: &str = "kill::a_killed_writer_loses_no_message_and_hands_none_over_twice";

/// Every third is of one of two groups.
fn nth(n: u64) -> MessageRow {
    match n % 3 {
        0 => grouped(&format!("m{n}"), ["a", "b"][(n % 2) as usize], n),
        _ => message(&format!("m{n}"), n),
    }
}

fn is_poison(message: &MessageRow) -> bool {
    message.seq % 7 == 0
}

/// What becomes of a message that was claimed: every fifth is tried once more, and every seventh is a dead letter.
fn over(message: &MessageRow) -> Write {
    match message.tries {
        0 if message.seq % 5 == 0 => Write::Return(Box::new(back(message, 1, 1))),
        _ if is_poison(message) => Write::Finish(Box::new(end(message, MessageState::Dead, 9))),
        _ => Write::Finish(Box::new(end(message, MessageState::Ok, 9))),
    }
}

/// Ends a message, and says so once the disk has it.
fn handle(writer: &Writer, message: &MessageRow) {
    let (id, state) = (message.id.clone(), if is_poison(message) { "dead" } else { "ok" });
    let word = match over(message) {
        Write::Return(_) => "back",
        _ => state,
    };
    let heard = move |answer: Result<Reply, _>| match answer {
        Ok(Reply::Done) => println!("{word} {id}"),
        other => println!("trouble {id} {other:?}"),
    };
    writer.send(over(message), Box::new(heard));
}

/// Claims and ends messages until no more come. What an earlier life had claimed comes first: its end was not heard of.
fn work(path: &Path, writer: &Writer, is_all_sent: &AtomicBool) {
    for message in Reader::open(path).expect("a store").claimed_messages().expect("rows") {
        handle(writer, &message);
    }
    loop {
        let is_last = is_all_sent.load(Ordering::SeqCst);
        let claimed = claim(writer, 3, MESSAGES + 1);
        for message in &claimed.messages {
            println!("held {} {}", message.id, message.fence);
            handle(writer, message);
        }
        // What comes back is due again at once, and a group waits for the end of its first: both are in the depth.
        let depth = writer.ask(Write::Open).map(|_| Reader::open(path).and_then(|reader| reader.queues()));
        if is_last && depth.expect("an answer").expect("rows").is_empty() {
            return;
        }
    }
}

/// Sends messages from a number on while another thread works on them, until it is killed.
fn child(path: &Path, from: u64) {
    let writer = Writer::start(path).expect("a thread");
    writer.ask(Write::Open).expect("a store");
    let is_all_sent = AtomicBool::new(false);
    let (enter, leave) = sync_channel(WINDOW);
    let leave = Arc::new(Mutex::new(leave));
    std::thread::scope(|scope| {
        scope.spawn(|| work(path, &writer, &is_all_sent));
        for n in from..MESSAGES {
            enter.send(()).expect("the writer goes on");
            let leave = Arc::clone(&leave);
            let heard = move |answer: Result<_, _>| {
                println!("{}", answer.map_or_else(|trouble| format!("trouble {trouble}"), |_| format!("ack {n}")));
                _ = leave.lock().expect("no panic").recv();
            };
            writer.send(enqueue(nth(n)), Box::new(heard));
        }
        // All of them have been answered once the window is empty.
        (0..WINDOW).for_each(|_| enter.send(()).expect("the writer goes on"));
        is_all_sent.store(true, Ordering::SeqCst);
    });
    writer.close();
    println!("all");
}

/// The rows fit one another, and what was said is true. The numbers of the messages that are there.
fn check(path: &Path, said: &[String]) -> BTreeSet<u64> {
    let reader = Reader::open(path).expect("a store");
    let rows = reader.messages(&MessageFilter::default()).unwrap();
    let runs = reader.runs(&RunFilter::default()).unwrap();
    let find = |id: &str| rows.iter().find(|row| &*row.id == id).unwrap_or_else(|| panic!("{id} is gone"));
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", n] => _ = find(&format!("m{n}")),
            ["held", id, fence] => assert!(find(id).fence >= fence.parse().unwrap(), "{line}"),
            ["ok", id] => assert_eq!(find(id).state, MessageState::Ok, "{line}"),
            ["dead", id] => assert_eq!(find(id).state, MessageState::Dead, "{line}"),
            ["back", id] => assert_eq!(find(id).base_attempts, 1, "{line}"),
            _ => panic!("{line}"),
        }
    }
    for row in &rows {
        let run = runs.iter().find(|run| run.cause.to_string() == *row.id);
        let is_open = run.map(|run| run.end.is_none());
        let is_tried = row.tries > 0;
        match row.state {
            MessageState::Claimed => assert_eq!(is_open, Some(true), "{row:?}"),
            MessageState::Ok | MessageState::Dead => assert_eq!(is_open, Some(false), "{row:?}"),
            MessageState::Scheduled | MessageState::Available => {
                assert_eq!(is_open, is_tried.then_some(true), "{row:?}")
            }
            MessageState::Behind => assert_eq!(is_open, None, "{row:?}"),
            MessageState::Cancelled => panic!("{row:?}"),
        }
        assert!(row.fence <= 1 + i64::from(row.seq % 5 == 0), "handed over too often: {row:?}");
    }
    for group in ["a", "b"] {
        let of_group = |row: &&MessageRow| row.group.as_deref() == Some(group) && !row.state.is_over();
        let mut waiting: Vec<&MessageRow> = rows.iter().filter(of_group).collect();
        waiting.sort_by_key(|row| row.seq);
        let is_behind: Vec<bool> = waiting.iter().map(|row| row.state == MessageState::Behind).collect();
        assert_eq!(is_behind, (0..waiting.len()).map(|n| n > 0).collect::<Vec<_>>(), "group {group}");
    }
    let depth = rows.iter().filter(|row| !row.state.is_over()).count() as u64;
    assert_eq!(reader.queues().unwrap().first().map_or(0, |queue| queue.depth), depth);
    rows.iter().map(|row| row.id[1..].parse().expect("a number")).collect()
}

#[test]
fn a_killed_writer_loses_no_message_and_hands_none_over_twice() {
    if let Some(path) = std::env::var_os(CHILD) {
        let from = std::env::var(FROM).expect("a number").parse().expect("a number");
        return child(&PathBuf::from(path), from);
    }
    let world = World::new();
    let (mut seed, mut from, mut lives) = (11, 0, 0);
    loop {
        let count = 2 + next(&mut seed) % 80;
        let (said, is_over) = one_life(TEST, &world.path, from, count as usize);
        lives += 1;
        let found = check(&world.path, &said);
        // Sent in order: what is there is all there is up to some message.
        assert_eq!(found, (0..found.len() as u64).collect(), "a hole, in life {lives}");
        if is_over {
            break;
        }
        from =
            said.iter().filter_map(|line| line.strip_prefix("ack ")?.parse::<u64>().ok()).max().map_or(from, |n| n + 1);
        assert!(lives < 500, "it does not come to an end");
    }
    assert!(lives >= 8, "{lives} lives");
    let reader = world.reader();
    let rows = reader.messages(&MessageFilter { object: Some(object(INBOX)), ..MessageFilter::default() }).unwrap();
    assert_eq!((rows.len() as u64, reader.queues().unwrap().len()), (MESSAGES, 0));
    for row in &rows {
        let expected = if is_poison(row) { MessageState::Dead } else { MessageState::Ok };
        assert_eq!((row.state, row.tries), (expected, 1 + u32::from(row.seq % 5 == 0)), "{row:?}");
    }
}
