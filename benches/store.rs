//! The durable store: how many facts and messages a second, one at a time and in a burst, and how long a large one takes
//! to read.
//!
//! In: nothing. Out: one table in markdown. Not here: what the facts are for.
//! The surprise: one at a time is bound by the disk alone, so it stands beside bare writes of the same size, each
//! waited for; only the ratio tells anything about another machine.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use setpoint::engine::{Cause, ObjectRef, Timestamp};
use setpoint::store::{
    Books, Claim, Enqueue, Finish, MessageEnd, MessageRow, MessageState, OriginRow, QueueLimits, Reader, Reply,
    ResultSource, Retention, RunFilter, RunRow, TickRow, Trouble, Write, Writer,
};

/// Facts in each measurement.
const FACTS: u64 = 2_000;
/// Objects of the large store, and runs of each.
const OBJECTS: u64 = 1_000;
const RUNS: u64 = 100;
/// Messages in the long queue.
const WAITING: u64 = 100_000;
/// What one commit of a small fact adds to the log: three pages with their headers.
const APPEND: usize = 3 * (4096 + 24);

fn main() {
    if let Err(error) = measure() {
        eprintln!("error: {error}; is TMPDIR writable?");
    }
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    println!("| what | figure |\n|---|---|");
    let floor = appends(&folder.path().join("floor"))?;
    println!("| floor: {APPEND} bytes written and synced, a second | {floor:.0} |");
    let writer = Writer::start(&path)?;
    writer.ask(Write::Open)?;
    let alone = rate(|| (0..FACTS).try_for_each(|n| writer.ask(fire(0, n)).map(drop)))?;
    println!("| due times fired, one at a time, a second | {alone:.0} ({:.2} of the floor) |", alone / floor);
    let before = writer.counts().commits;
    let burst = rate(|| all(&writer, (0..FACTS).map(|n| fire(1, n))))?;
    let commits = writer.counts().commits - before;
    println!("| due times fired in a burst of {FACTS}, a second | {burst:.0} ({commits} commits) |");
    let first = Instant::now();
    for object in 2..OBJECTS {
        all(&writer, (0..RUNS).flat_map(|n| [fire(object, n), finish(object, n)]))?;
    }
    println!("| {} runs made and ended, s | {:.1} |", OBJECTS * RUNS, first.elapsed().as_secs_f64());
    println!("| its size, MiB | {} |", path.metadata()?.len() >> 20);
    read(&path)?;
    prune(&writer)?;
    writer.close();
    let began = Instant::now();
    let writer = Writer::start(&path)?;
    writer.ask(Write::Open)?;
    println!("| opened and checked, ms | {} |", began.elapsed().as_millis());
    queue(&folder.path().join("queue.db"), floor)
}

/// A queue in which a great many wait: what comes, and what is claimed and ended, costs the same as in a short one.
fn queue(path: &Path, floor: f64) -> Result<(), Box<dyn std::error::Error>> {
    let writer = Writer::start(path)?;
    writer.ask(Write::Open)?;
    let alone = rate(|| (0..FACTS).try_for_each(|n| writer.ask(send(0, n)).map(drop)))?;
    println!("| messages sent, one at a time, a second | {alone:.0} ({:.2} of the floor) |", alone / floor);
    let burst = rate(|| all(&writer, (0..FACTS).map(|n| send(1, n))))?;
    println!("| messages sent in a burst of {FACTS}, a second | {burst:.0} |");
    for first in (0..WAITING).step_by(FACTS as usize) {
        all(&writer, (first..first + FACTS).map(|n| send(2, n)))?;
    }
    let reader = Reader::open(path)?;
    let began = Instant::now();
    let depth: u64 = reader.queues()?.iter().map(|queue| queue.depth).sum();
    println!("| the queues read while {depth} wait, ms | {:.2} |", began.elapsed().as_secs_f64() * 1000.0);
    for (object, words) in
        [(0, format!("{FACTS} that wait")), (2, format!("{WAITING}")), (2, format!("{WAITING} again"))]
    {
        let (mut spans, mut held) = (Vec::new(), Vec::new());
        for n in 0..100 {
            let began = Instant::now();
            let Reply::Claimed(claimed) = writer.ask(claim(object, 600 + n))? else { break };
            spans.push(began.elapsed().as_secs_f64() * 1000.0);
            held.extend(claimed.messages);
        }
        spans.sort_by(f64::total_cmp);
        let (middle, worst) = (spans.get(spans.len() / 2), spans.last());
        let [middle, worst] = [middle, worst].map(|span| span.copied().unwrap_or_default());
        println!("| ten of {words} claimed and synced, ms: the middle, the worst | {middle:.2}, {worst:.2} |");
        let count = held.len() as f64;
        let began = Instant::now();
        all(&writer, held.iter().map(over))?;
        println!("| messages ended in a burst, a second | {:.0} |", count / began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn inbox(queue: u64) -> ObjectRef {
    // A name by construction.
    ObjectRef::new("mailbox", &format!("m{queue}")).unwrap_or_else(|_| unreachable!())
}

/// Every fourth is of one of a hundred groups.
fn send(queue: u64, n: u64) -> Write {
    let message = MessageRow {
        object: inbox(queue),
        id: Arc::from(format!("m-{n}")),
        seq: 0,
        state: MessageState::Available,
        priority: (n % 10) as u8,
        group: n.is_multiple_of(4).then(|| Arc::from(format!("g{}", n % 400))),
        dedup: None,
        kind: Arc::from("order"),
        subject: Arc::from(""),
        sender: Arc::from("ann"),
        source: Arc::from("send"),
        payload: Arc::from([b'x'; 1_000]),
        params: None,
        enqueued: at(n / 200),
        due: at(n / 200),
        expires: None,
        tries: 0,
        base_attempts: 0,
        fence: 0,
        claimed: None,
        ended: None,
        outcome: None,
        reason: None,
        reply: None,
        log_tail: None,
    };
    let limits = QueueLimits { messages: u64::MAX, bytes: u64::MAX };
    Write::Enqueue(Box::new(Enqueue { message, limits, recent: None }))
}

fn claim(queue: u64, second: u64) -> Write {
    Write::Claim(Box::new(Claim {
        object: inbox(queue),
        uid: Arc::from("0123456789abcdef"),
        count: 10,
        now: at(second),
    }))
}

fn over(message: &MessageRow) -> Write {
    let end = MessageEnd {
        id: message.id.clone(),
        fence: message.fence,
        state: MessageState::Ok,
        tries: 1,
        reply: None,
        log_tail: ResultSource::None,
    };
    let cause = Cause::Named(message.id.clone());
    Write::Finish(Box::new(Finish { message: Some(end), ..finish_of(message.object.clone(), cause, 700) }))
}

/// Bare writes into a file that has its length already, as the log has most of the time.
fn appends(path: &Path) -> io::Result<f64> {
    const SLOTS: u64 = 300;
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    for slot in 0..SLOTS {
        file.write_all_at(&[7; APPEND], slot * APPEND as u64)?;
    }
    file.sync_all()?;
    let began = Instant::now();
    for n in 0..FACTS {
        file.write_all_at(&[8; APPEND], n % SLOTS * APPEND as u64)?;
        file.sync_data()?;
    }
    Ok(FACTS as f64 / began.elapsed().as_secs_f64())
}

fn rate(work: impl FnOnce() -> Result<(), Trouble>) -> Result<f64, Trouble> {
    let began = Instant::now();
    work()?;
    Ok(FACTS as f64 / began.elapsed().as_secs_f64())
}

/// Sends all at once, and waits for the last answer.
fn all(writer: &Writer, writes: impl Iterator<Item = Write>) -> Result<(), Trouble> {
    let (tell, hear) = channel();
    for write in writes {
        let tell = tell.clone();
        writer.send(write, Box::new(move |answer| _ = tell.send(answer)));
    }
    drop(tell);
    hear.iter().try_for_each(|answer| answer.map(drop))
}

fn read(path: &Path) -> Result<(), Trouble> {
    let reader = Reader::open(path)?;
    let began = Instant::now();
    let rows = reader.open_runs()?.len() + reader.cursors()?.len() + reader.last_finals()?.len();
    println!("| what a controller reads at its start ({rows} rows), ms | {} |", began.elapsed().as_millis());
    let began = Instant::now();
    let rows = reader.runs(&RunFilter { limit: Some(20), ..RunFilter::default() })?.len();
    println!("| the last {rows} runs, ms | {:.2} |", began.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

fn prune(writer: &Writer) -> Result<(), Trouble> {
    let (mut retention, mut longest, mut slices) = (Retention::of(at(10_000), None), Duration::ZERO, 0);
    retention.runs.count = 50;
    let began = Instant::now();
    loop {
        let slice = Instant::now();
        let Reply::Pruned(pruned) = writer.ask(Write::Prune(Box::new(retention.clone())))? else { break };
        (longest, slices) = (longest.max(slice.elapsed()), slices + 1);
        retention.from = pruned.next;
        if retention.from.is_none() {
            break;
        }
    }
    let all = began.elapsed().as_millis();
    println!("| half of it pruned, ms in all, slices, longest | {all}, {slices}, {} |", longest.as_millis());
    Ok(())
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_nanos((1_795_230_000 + second) * 1_000_000_000)
}

fn names(object: u64, n: u64) -> (ObjectRef, Cause) {
    // Both are names by construction.
    let object = ObjectRef::new("cronjob", &format!("c{object}")).unwrap_or_else(|_| unreachable!());
    (object, Cause::Named(Arc::from(format!("2026-11-21T03:00:{n:05}Z"))))
}

fn fire(object: u64, n: u64) -> Write {
    let (object, cause) = names(object, n);
    let uid: Arc<str> = Arc::from("0123456789abcdef");
    let tick = TickRow {
        object: object.clone(),
        uid: Arc::clone(&uid),
        nominal: at(n),
        to: None,
        count: 1,
        state: Arc::from("Fired"),
        reason: None,
        at: at(n),
        cause: Some(cause.clone()),
    };
    let run = RunRow {
        object,
        uid,
        cause,
        parent: None,
        origin: OriginRow::Tick(at(n)),
        due: at(n),
        created: at(n),
        catches_up: false,
        started: None,
        attempts: 0,
        base_attempts: 0,
        cancel: None,
        reopened: None,
        params: None,
        generation: 1,
        end: None,
    };
    Write::Fire { tick: Some(tick), passed: Vec::new(), run: Box::new(run), cursor: None }
}

fn finish(object: u64, n: u64) -> Write {
    let (object, cause) = names(object, n);
    Write::Finish(Box::new(finish_of(object, cause, n)))
}

fn finish_of(object: ObjectRef, cause: Cause, n: u64) -> Finish {
    Finish {
        object,
        cause,
        outcome: Arc::from("ok"),
        reason: None,
        started: Some(at(n)),
        ended: at(n + 1),
        attempts: 1,
        exit: None,
        result: ResultSource::None,
        tries: Vec::new(),
        otherwise: None,
        message: None,
    }
}
