//! Single decisions about messages: facts in, plan text out. Each name is a sentence of the rule it proves.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::json;
use setpoint::engine::audit::audit;
use setpoint::engine::backoff::{Attempt, End, Exit, Streak};
use setpoint::engine::observed::{Alive, Phase};
use setpoint::engine::plan::{MessageFate, Policy};
use setpoint::engine::queue::{Message, Queue};
use setpoint::engine::run::{Arises, Book, Origin, Retry, Run, Work};
use setpoint::engine::{
    Action, Backoff, BootId, BootTime, Facts, InstanceId, Mutant, Now, Observed, ProcId, Revision, Sight, Sighting,
    Timestamp, reconcile,
};

use super::kind::{self, Nature, People};
use super::rng::Rng;

/// 2026-11-21T10:00:00Z, the moment of each table.
const NOW: u64 = 1_795_255_200;
/// How long the machine has been up by then.
const UP: u64 = 100_000;

fn wall(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn boot(seconds: u64) -> BootTime {
    BootTime::from_nanos(seconds * 1_000_000_000)
}

fn this_boot() -> BootId {
    BootId::new("aaaaaaaa-0000-4000-8000-000000000000")
}

/// The facts of one pass: `mailbox/a` takes two messages at once and tries each three times, the first time again after
/// 10 s.
struct Table {
    people: People,
    book: Book,
    observed: Observed,
    records: BTreeMap<InstanceId, Attempt>,
}

fn id(message: &str) -> InstanceId {
    InstanceId { object: kind::object(0).clone(), cause: message.parse().expect("a plain id") }
}

fn nobody() -> ProcId {
    ProcId { boot: this_boot(), pid: 7, started: 1 }
}

impl Table {
    fn new() -> Table {
        let mut people = People::default();
        let mut ends = kind::mailbox(&mut Rng::new(1), Some(Duration::from_secs(60)));
        let rule = ends.rule.as_mut().expect("a mailbox");
        rule.retry = Retry { times: 2, wait: Duration::from_secs(10) };
        rule.overlap = setpoint::engine::run::Overlap::Allow(2);
        rule.policy = Policy::DEFAULT;
        if let (Arises::Messages(queue), Work::Sorted(sorting)) = (&mut rule.arises, &mut rule.work) {
            (queue.at_once, queue.is_enabled) = (2, true);
            Arc::make_mut(sorting).classifier = None;
        }
        people.put(0, ends);
        Table { people, book: Book::default(), observed: Observed::empty(), records: BTreeMap::new() }
    }

    fn queue(mut self, has_available: bool, next_due: Option<u64>) -> Table {
        self.book.queue = Some(Queue { has_available, next_due: next_due.map(wall), depth: 9 });
        self
    }

    /// A message that was claimed, a minute after it came.
    fn message(self, name: &str, nature: Nature) -> Table {
        self.changed(name, nature, |_| {})
    }

    fn changed(mut self, name: &str, nature: Nature, change: impl FnOnce(&mut Message)) -> Table {
        let mut message = Message {
            id: name.into(),
            fence: 1,
            kind: "t".into(),
            subject: format!("{} {nature:?}", nature.rule()).into(),
            sender: "ann".into(),
            source: "send".into(),
            payload: Arc::from(&b"x"[..]),
            params: Arc::new(json!({})),
            priority: 5,
            group: None,
            enqueued: wall(NOW - 60),
            expires: None,
            tries: 0,
        };
        change(&mut message);
        let run = Run {
            uid: self.people.objects[0].as_ref().expect("it is there").uid.clone(),
            due: wall(NOW - 10),
            created: message.enqueued,
            forgiven: message.tries,
            origin: Origin::Message(Arc::new(message)),
            cancel: None,
            params: Arc::new(json!({})),
            steps: BTreeMap::new(),
            reopened: BTreeMap::new(),
            catches_up: false,
        };
        self.book.runs.insert(id(name).cause, run);
        self
    }

    fn cancelled(mut self, name: &str) -> Table {
        self.book.runs.get_mut(&id(name).cause).expect("it is claimed").cancel = Some("ann".into());
        self
    }

    fn attempt(mut self, name: &str, number: u32, end: End) -> Table {
        let record = Attempt {
            number,
            uid: "u1".into(),
            revision: Revision { version: 1, hash: "r".into() },
            shim: nobody(),
            payload: 8,
            boot_id: this_boot(),
            started: boot(UP - 5),
            started_wall: wall(NOW - 5),
            streak: Streak::default(),
            end,
        };
        self.records.insert(id(name), record);
        self
    }

    fn ended(self, name: &str, number: u32, exit: Exit) -> Table {
        self.attempt(name, number, End::Ended { exit, at: boot(UP - 1), asked: false })
    }

    fn at_work(mut self, name: &str) -> Table {
        let alive = Alive {
            attempt: 1,
            revision: Revision { version: 1, hash: "r".into() },
            shim: nobody(),
            payload: 8,
            since: boot(UP - 5),
            phase: Phase::Running,
            is_told: true,
            tree: [].into(),
        };
        let sighting = Sighting { policy: Some(Policy::DEFAULT), ..Sighting::of(Sight::Seen(alive)) };
        self.observed.sightings.insert(id(name), sighting);
        self.attempt(name, 1, End::Open)
    }

    fn people(mut self, change: impl FnOnce(&mut People)) -> Table {
        change(&mut self.people);
        self
    }

    /// One line for each decision; the audit has nothing against them.
    #[track_caller]
    fn check(mut self, expected: Expect) {
        self.observed.ledger.books.insert(kind::object(0).clone(), self.book);
        let (desired, backoff) = (self.people.read(), Backoff(self.records));
        let now = Now { wall: wall(NOW), boot: boot(UP), boot_id: this_boot() };
        let plan = reconcile(&desired, &self.observed, &backoff, &now);
        let facts =
            Facts { desired: &desired, observed: &self.observed, backoff: &backoff, now: &now, mutant: Mutant::None };
        assert_eq!(audit(&plan, &facts), []);
        let mut text = String::new();
        for decision in &plan.decisions {
            let what = match &decision.action {
                None => "wait".to_owned(),
                Some(Action::Claim(claim)) => format!("claim {}", claim.count),
                Some(Action::Spawn(spawn)) => format!("spawn #{}", spawn.attempt),
                Some(Action::Return(back)) => format!("return with {} tries", back.tries),
                Some(Action::Finish(finish)) => {
                    let end = finish.message.as_ref().expect("it ends with its message");
                    let fate = match end.fate {
                        MessageFate::Ok => "ok",
                        MessageFate::Dead => "dead",
                        MessageFate::Cancelled => "cancelled",
                    };
                    format!("end {fate} with {} tries", end.tries)
                }
                Some(Action::Stop { .. }) => "stop".to_owned(),
                Some(Action::RecordLost { .. }) => "lost".to_owned(),
                Some(other) => format!("{other:?}"),
            };
            let cause = decision.id.cause.to_string();
            writeln!(text, "{cause}: {what}: {}", decision.because).expect("text takes everything");
        }
        expected.assert_eq(&text);
    }
}

#[test]
fn a_claim_takes_what_there_is_room_for() {
    Table::new().queue(true, None).check(expect![[r#"
        queue: claim 2: its time has come
    "#]]);
    Table::new().queue(true, None).message("m", Nature::Good).at_work("m").check(expect![[r#"
        m: wait: it is at work
        queue: claim 1: its time has come
    "#]]);
    let two = Table::new().queue(true, None).message("m", Nature::Good).message("n", Nature::Good);
    two.at_work("m").at_work("n").check(expect![[r#"
        m: wait: it is at work
        n: wait: it is at work
        queue: wait: 2 messages are at work, which is the limit (atOnce); 9 are not over
    "#]]);
}

#[test]
fn the_claim_of_the_next_goes_with_the_end_of_the_last() {
    let full = Table::new().queue(true, None).message("m", Nature::Good).message("n", Nature::Good);
    full.at_work("m").ended("n", 1, Exit::Code(0)).check(expect![[r#"
        m: wait: it is at work
        n: end ok with 1 tries: ok: exited with 0
        queue: claim 1: its time has come
    "#]]);
}

#[test]
fn nothing_is_claimed_before_its_time_or_while_it_is_held() {
    Table::new().queue(false, None).check(expect![[r#"
        queue: wait: 9 messages wait for others of their group
    "#]]);
    Table::new().queue(false, Some(NOW + 5)).check(expect![[r#"
        queue: wait: 9 messages wait, the next of them until 2026-11-21T10:00:05Z
    "#]]);
    Table::new().queue(false, Some(NOW)).check(expect![[r#"
        queue: claim 2: its time has come
    "#]]);
    Table::new().queue(true, None).people(|people| people.pause(0, true, None)).check(expect![[r#"
        queue: wait: ann paused it
    "#]]);
    Table::new().queue(true, None).people(|people| people.freeze(true)).check(expect![[r#"
        queue: wait: ann froze everything; go on with: setpoint thaw
    "#]]);
}

#[test]
fn a_message_goes_by_the_first_rule_it_meets_and_by_none_into_the_dead_letters() {
    let table = Table::new().message("w", Nature::Good);
    table.message("d", Nature::Dropped).check(expect![[r#"
        d: end ok with 0 tries: ok: dropped by rule drop
        queue: wait: no message waits
        w: spawn #1: its time has come
    "#]]);
    Table::new().message("r", Nature::Answered).message("u", Nature::Unknown).check(expect![[r#"
        queue: wait: no message waits
        r: end ok with 0 tries: ok: answered by rule reply
        u: end dead with 0 tries: denied: no rule matches it
    "#]]);
}

#[test]
fn a_message_that_is_too_old_is_not_acted_on() {
    let old = |message: &mut Message| message.expires = Some(wall(NOW - 1));
    Table::new().changed("m", Nature::Good, old).check(expect![[r#"
        m: end dead with 0 tries: skipped: it was 1m old, which is too old
        queue: wait: no message waits
    "#]]);
    // One that was begun in time is finished.
    Table::new().changed("m", Nature::Good, old).at_work("m").check(expect![[r#"
        m: wait: it is at work
        queue: wait: no message waits
    "#]]);
}

#[test]
fn a_group_is_worked_on_one_at_a_time() {
    let group = |message: &mut Message| message.group = Some("g".into());
    let later = |message: &mut Message| (message.group, message.enqueued) = (Some("g".into()), wall(NOW - 30));
    let table = Table::new().changed("z", Nature::Good, group).changed("a", Nature::Good, later);
    table.check(expect![[r#"
        a: wait: the run z of the same object is not over
        queue: wait: no message waits
        z: spawn #1: its time has come
    "#]]);
}

#[test]
fn an_exit_says_what_becomes_of_a_message() {
    for (exit, expected) in [
        (
            Exit::Code(0),
            expect![[r#"
            m: end ok with 1 tries: ok: exited with 0
            queue: wait: no message waits
        "#]],
        ),
        (
            Exit::Code(65),
            expect![[r#"
            m: end dead with 1 tries: failed: exit 65
            queue: wait: no message waits
        "#]],
        ),
        (
            Exit::Code(75),
            expect![[r#"
            m: return with 1 tries: attempt 1 of 3 failed (exit 75); it is tried again at 2026-11-21T10:00:09Z
            queue: wait: no message waits
        "#]],
        ),
        (
            Exit::Signal(9),
            expect![[r#"
            m: return with 1 tries: attempt 1 of 3 failed (signal 9); it is tried again at 2026-11-21T10:00:09Z
            queue: wait: no message waits
        "#]],
        ),
        (
            Exit::Lost,
            expect![[r#"
            m: return with 1 tries: attempt 1 of 3 failed (exit unknown); it is tried again at 2026-11-21T10:00:09Z
            queue: wait: no message waits
        "#]],
        ),
    ] {
        Table::new().message("m", Nature::Good).ended("m", 1, exit).check(expected);
    }
}

#[test]
fn after_the_last_try_it_is_a_dead_letter() {
    let twice = |message: &mut Message| message.tries = 2;
    Table::new().changed("m", Nature::Good, twice).ended("m", 3, Exit::Code(1)).check(expect![[r#"
        m: end dead with 3 tries: failed: exit 1
        queue: wait: no message waits
    "#]]);
}

#[test]
fn what_was_stopped_with_everything_else_is_begun_again_uncounted() {
    let end = End::Ended { exit: Exit::Signal(15), at: boot(UP - 1), asked: true };
    Table::new().message("m", Nature::Good).attempt("m", 1, end).check(expect![[r#"
        m: spawn #2: its time has come
        queue: wait: no message waits
    "#]]);
}

#[test]
fn an_attempt_that_left_no_end_is_lost_first() {
    Table::new().message("m", Nature::Good).attempt("m", 1, End::Open).check(expect![[r#"
        m: lost: it vanished without an exit
        queue: wait: no message waits
    "#]]);
}

#[test]
fn a_message_that_is_cancelled_never_comes_back() {
    Table::new().message("m", Nature::Good).cancelled("m").check(expect![[r#"
        m: end cancelled with 0 tries: cancelled: cancelled by ann
        queue: wait: no message waits
    "#]]);
    Table::new().message("m", Nature::Good).cancelled("m").at_work("m").check(expect![[r#"
        m: stop: ann cancelled it
        queue: wait: no message waits
    "#]]);
    Table::new().message("m", Nature::Good).cancelled("m").ended("m", 1, Exit::Code(1)).check(expect![[r#"
        m: end cancelled with 1 tries: cancelled: cancelled by ann; exit 1
        queue: wait: no message waits
    "#]]);
    Table::new().message("m", Nature::Good).cancelled("m").ended("m", 1, Exit::Code(0)).check(expect![[r#"
        m: end ok with 1 tries: ok: exited with 0
        queue: wait: no message waits
    "#]]);
}

#[test]
fn the_end_of_what_is_deleted_is_told() {
    let gone = || Table::new().people(|people| people.delete(0));
    let left = |table: Table| Table { people: gone().people, ..table };
    left(Table::new().message("m", Nature::Good)).check(expect![[r#"
        m: end dead with 0 tries: cancelled: its object was deleted
    "#]]);
    left(Table::new().message("m", Nature::Good).ended("m", 1, Exit::Code(0))).check(expect![[r#"
        m: end ok with 1 tries: ok: exited with 0
    "#]]);
}
