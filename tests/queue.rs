//! A storm of messages on a real machine: a real store, real short commands, and a controller that is killed every second.
//!
//! In: nothing; `SETPOINT_STORM` says how many messages. Out: pass or fail, and how fast it went. Not here: every order of
//! events, which the simulator tries by the thousand (`tests/messages.rs`).
//! The surprise: what was done is counted in a file that each command writes to itself, so that neither the store nor the
//! process table has to be believed.

#[path = "host/processes.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod processes;
#[path = "host/world.rs"]
#[allow(dead_code, reason = "shared with the tests of services")]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use setpoint::engine::{ObjectRef, Timestamp};
use setpoint::mailbox::Letter;
use setpoint::store::reader::Reader;
use setpoint::store::writer::Writer;
use setpoint::store::{Books, MessageRow, MessageState, QueueLimits, Reply, Write};
use world::{Dice, World};

/// Messages of one storm; `SETPOINT_STORM` says another number.
const MESSAGES: usize = 1_500;
const SEED: u64 = 9;
/// A group for so many messages.
const GROUPS: usize = 8;
/// How long a storm may take: what it takes to come up so often, and an eighth of a second for each message.
const PATIENCE: Duration = Duration::from_secs(120);
const EACH: Duration = Duration::from_millis(125);

fn messages() -> usize {
    std::env::var("SETPOINT_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(MESSAGES)
}

/// What a message makes its command do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Good,
    /// The first attempt asks for another.
    Again,
    /// The message is wrong.
    Poison,
    /// Every attempt fails.
    Hopeless,
}

fn nature(number: usize) -> Nature {
    match number % 50 {
        7 => Nature::Again,
        19 => Nature::Poison,
        33 => Nature::Hopeless,
        _ => Nature::Good,
    }
}

fn group(number: usize) -> Option<String> {
    // Every third; what fails holds up those behind it and nobody else.
    number.is_multiple_of(3).then(|| format!("g{}", number / 3 % GROUPS))
}

fn inbox() -> ObjectRef {
    "mailbox/inbox".parse().expect("a name")
}

fn letter(number: usize) -> Letter {
    let word = match nature(number) {
        Nature::Good => "good",
        Nature::Again => "again",
        Nature::Poison => "poison",
        Nature::Hopeless => "hopeless",
    };
    let mut letter = Letter::new(inbox(), "send", format!("{word}\n").into_bytes());
    letter.id = Some(format!("m{number}"));
    letter.group = group(number);
    letter
}

/// Takes a letter in as `send` does when nobody answers. Whether it was new.
fn enqueue(writer: &Writer, letter: Letter) -> bool {
    let limits = QueueLimits { messages: 1_000_000, bytes: 1 << 40 };
    let rule = setpoint::engine::queue::QueueRule {
        at_once: 1,
        max_age: None,
        messages_max: limits.messages,
        bytes_max: limits.bytes,
        is_enabled: true,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = Timestamp::from_nanos(u64::try_from(now.as_nanos()).expect("before 2500"));
    match writer.ask(Write::Enqueue(Box::new(letter.enqueue(&rule, None, now, "fresh")))) {
        Ok(Reply::Enqueued { is_new, .. }) => is_new,
        other => panic!("a letter is not taken: {other:?}"),
    }
}

fn manifest(world: &World) -> String {
    let marks = world.root().join("marks");
    let script = format!(
        "read word; echo $SETPOINT_MESSAGE_ID $SETPOINT_ATTEMPT >> {}\n\
         case $word in poison) exit 65;; hopeless) exit 1;; again) [ $SETPOINT_ATTEMPT -gt 1 ] || exit 75;; esac",
        marks.display()
    );
    let script = serde_json::to_string(&script).expect("text");
    format!(
        "kind: Mailbox\nname: inbox\natOnce: 4\nretry: {{ times: 2, wait: 1s }}\nqueueLimit: 1000000\n\
         rules:\n- {{ match: any, run: [sh, -c, {script}] }}\n"
    )
}

/// Every message of the store: each by its name, since a list ends at ten thousand.
fn rows(world: &World) -> Vec<MessageRow> {
    let path = world.home().join("store.db");
    let reader = Reader::open(&path).expect("a store that can be read");
    let known = rusqlite::Connection::open(&path).expect("a store that can be read");
    let mut names = known.prepare("select id from messages where object = ?1 order by seq").expect("a table");
    let ids = names.query_map([inbox().as_str()], |row| row.get::<_, String>(0)).expect("messages");
    let row = |id: String| reader.message(&inbox(), &id).expect("a message").expect("it is there");
    ids.map(|id| row(id.expect("a name"))).collect()
}

fn left(world: &World) -> u64 {
    let reader = Reader::open(&world.home().join("store.db")).expect("a store that can be read");
    reader.queues().expect("queues").iter().map(|queue| queue.depth).sum()
}

/// What was executed, in the order in which it began: message and attempt.
fn marks(world: &World) -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(world.root().join("marks")).expect("marks");
    let parsed = text.lines().map(|line| {
        let (id, attempt) = line.split_once(' ').expect("a message and an attempt");
        (id.to_owned(), attempt.parse().expect("a number"))
    });
    parsed.collect()
}

#[test]
fn s3_each_message_of_a_storm_ends_once_through_kills_of_the_controller() {
    let (world, count) = (World::new(), messages());
    world.write("inbox.yaml", &manifest(&world));
    world.apply();
    let begun = Instant::now();
    let is_sent = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = Writer::start(&world.home().join("store.db")).expect("a thread");
            for number in 0..count {
                assert!(enqueue(&writer, letter(number)), "m{number} is new");
                // The same one again, at once or much later: it is there.
                if number.is_multiple_of(10) {
                    assert!(!enqueue(&writer, letter(number / 2)), "m{} is there", number / 2);
                }
            }
            writer.close();
            is_sent.store(true, Ordering::Relaxed);
        });
        let mut dice = Dice::new(SEED);
        while !is_sent.load(Ordering::Relaxed) || left(&world) > 0 {
            let deadline = PATIENCE + EACH * u32::try_from(count).expect("a number");
            assert!(begun.elapsed() < deadline, "{} of {count} are left\n{}", left(&world), world.story());
            let controller = world.launch(&[]);
            std::thread::sleep(Duration::from_millis(600));
            dice.pass(800_000);
            controller.kill();
        }
    });
    let took = begun.elapsed();
    println!("{count} messages in {took:.1?}: {:.0}/s", count as f64 / took.as_secs_f64());
    check(&world, count);
}

/// Each message ended as its nature is, and each attempt was made once.
fn check(world: &World, count: usize) {
    let (rows, marks) = (rows(world), marks(world));
    assert_eq!(rows.len(), count, "messages were doubled or lost");
    let attempts: BTreeSet<&(String, u32)> = marks.iter().collect();
    assert_eq!(attempts.len(), marks.len(), "an attempt was made twice");
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    for (id, _) in &marks {
        *made.entry(id).or_default() += 1;
    }
    for row in &rows {
        let number: usize = row.id.trim_start_matches('m').parse().expect("a number");
        let (state, attempts) = match nature(number) {
            Nature::Good => (MessageState::Ok, 1),
            Nature::Again => (MessageState::Ok, 2),
            Nature::Poison => (MessageState::Dead, 1),
            Nature::Hopeless => (MessageState::Dead, 3),
        };
        // A kill of the controller is nothing that an attempt notices: its shim lives on.
        let found = (row.state, row.tries, made.get(&*row.id).copied().unwrap_or(0));
        assert_eq!(found, (state, attempts, attempts), "{row:?}");
        let is_said = row.reason.as_ref().is_some_and(|reason| !reason.is_empty());
        assert!(is_said, "{row:?}");
    }
    in_order(&marks);
}

/// Within a group the first attempt of each comes after the last of the one before.
fn in_order(marks: &[(String, u32)]) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (id, attempt) in marks {
        let number: usize = id.trim_start_matches('m').parse().expect("a number");
        let Some(group) = group(number) else { continue };
        if let Some(before) = last.insert(group, number) {
            assert!(before <= number, "m{number} #{attempt} came after m{before}");
        }
    }
}

#[test]
fn a_key_holds_while_its_message_is_not_over() {
    let world = World::new();
    world.write("inbox.yaml", &manifest(&world));
    world.apply();
    let writer = Writer::start(&world.home().join("store.db")).expect("a thread");
    let keyed = |number: usize| Letter { dedup: Some("k".to_owned()), ..letter(number) };
    assert!(enqueue(&writer, keyed(1)));
    assert!(!enqueue(&writer, keyed(2)), "one with its key waits");
    let controller = world.controller();
    world.until("it is done", || left(&world) == 0);
    controller.kill();
    assert!(enqueue(&writer, keyed(3)), "the one with its key is over");
    let _controller = world.controller();
    world.until("it is done", || left(&world) == 0);
    let done: Vec<Arc<str>> = rows(&world).into_iter().map(|row| row.id).collect();
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(marks(&world), [("m1".to_owned(), 1), ("m3".to_owned(), 1)]);
}
