//! Any history of a queue, beside a plain model of the rule: which messages are claimed, and in which order.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use setpoint::store::{
    Books, DeadLetter, DeadWish, MessageFilter, MessageRow, MessageState, Reader, Reply, Return, Write, Writer,
};

use crate::world::{INBOX, at, back, claim, done, end, message, object, queued};

/// What happens next. Messages are meant by their number, counted around.
#[derive(Clone, Debug)]
enum Step {
    Send { priority: u8, group: Option<u8>, delay: u64 },
    Claim(u32),
    End(usize, bool),
    Return(usize, u64),
    Withdraw(usize),
    Retry(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = || prop_oneof![3 => Just(0), 1 => 1_u64..900];
    let step = prop_oneof![
        6 => (0_u8..10, prop::option::of(0_u8..3), delay())
            .prop_map(|(priority, group, delay)| Step::Send { priority, group, delay }),
        4 => (1_u32..5).prop_map(Step::Claim),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(n, is_well)| Step::End(n, is_well)),
        2 => (any::<usize>(), delay()).prop_map(|(n, delay)| Step::Return(n, delay)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        2 => any::<usize>().prop_map(Step::Retry),
        2 => (1_u64..1_500).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waits,
    Held,
    Over(MessageState),
}

#[derive(Clone, Debug)]
struct Model {
    priority: u8,
    group: Option<u8>,
    enqueued: u64,
    due: u64,
    place: Place,
}

/// The rule as it is told: of a group one at a time, the first that is not over.
fn is_held_up(all: &[Model], n: usize) -> bool {
    let of_group = |other: &Model| all[n].group.is_some() && other.group == all[n].group;
    all.iter().enumerate().filter(|(_, other)| of_group(other)).any(|(m, other)| match other.place {
        Place::Waits => m < n,
        Place::Held => m != n,
        Place::Over(_) => false,
    })
}

/// Who is claimed: by priority, one better for each five minutes of waiting, then by who came first.
fn first(all: &[Model], count: u32, now: u64) -> Vec<usize> {
    let ready = |n: &usize| all[*n].place == Place::Waits && all[*n].due <= now && !is_held_up(all, *n);
    let mut ready: Vec<usize> = (0..all.len()).filter(ready).collect();
    ready.sort_by_key(|n| (u64::from(all[*n].priority).saturating_sub((now - all[*n].enqueued) / 300), *n));
    // Two of one group cannot be ready at once, so taking some makes none of the others unready.
    ready.truncate(count as usize);
    ready
}

/// The store and the model of it.
struct Life {
    writer: Writer,
    reader: Reader,
    all: Vec<Model>,
    now: u64,
}

impl Life {
    /// The message of a number that stands here, if there is one.
    fn pick(&self, n: usize, is_meant: impl Fn(Place) -> bool) -> Option<(usize, MessageRow)> {
        let those: Vec<usize> = (0..self.all.len()).filter(|n| is_meant(self.all[*n].place)).collect();
        let n = *those.get(n % those.len().max(1))?;
        let row = self.reader.message(&object(INBOX), &format!("m{n}")).unwrap().expect("a row");
        Some((n, row))
    }

    fn send(&mut self, priority: u8, group: Option<u8>, delay: u64) {
        let due = self.now + delay;
        let row = MessageRow {
            priority,
            group: group.map(|group| Arc::from(format!("g{group}"))),
            due: at(due),
            ..message(&format!("m{}", self.all.len()), self.now)
        };
        queued(&self.writer, row);
        self.all.push(Model { priority, group, enqueued: self.now, due, place: Place::Waits });
    }

    fn claim(&mut self, count: u32) {
        let expected = first(&self.all, count, self.now);
        let claimed = claim(&self.writer, count, self.now);
        let found: Vec<String> = claimed.messages.iter().map(|message| message.id.to_string()).collect();
        assert_eq!(found, expected.iter().map(|n| format!("m{n}")).collect::<Vec<_>>());
        expected.iter().for_each(|n| self.all[*n].place = Place::Held);
        let is_ready = !first(&self.all, 1, self.now).is_empty();
        let is_due = claimed.queue.next_due.is_some_and(|due| due <= at(self.now));
        assert_eq!(claimed.queue.has_available || is_due, is_ready, "{:?}", claimed.queue);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { priority, group, delay } => self.send(priority, group, delay),
            Step::Claim(count) => self.claim(count),
            Step::Pass(seconds) => self.now += seconds,
            Step::End(n, is_well) => {
                let Some((n, row)) = self.pick(n, |place| place == Place::Held) else { return };
                let state = if is_well { MessageState::Ok } else { MessageState::Dead };
                done(&self.writer, Write::Finish(Box::new(end(&row, state, self.now))));
                self.all[n].place = Place::Over(state);
            }
            Step::Return(n, delay) => {
                let Some((n, row)) = self.pick(n, |place| place == Place::Held) else { return };
                let due = self.now + delay;
                let back = Return { attempts: row.base_attempts + 1, ..back(&row, due, row.base_attempts + 1) };
                done(&self.writer, Write::Return(Box::new(back)));
                (self.all[n].place, self.all[n].due) = (Place::Waits, due);
            }
            Step::Withdraw(n) => {
                let Some((n, row)) = self.pick(n, |_| true) else { return };
                let by = Arc::from("ann");
                let reply = self.writer.ask(Write::Withdraw { object: row.object, id: row.id, by, at: at(self.now) });
                match self.all[n].place {
                    Place::Waits => {
                        assert_eq!(reply, Ok(Reply::Done));
                        self.all[n].place = Place::Over(MessageState::Cancelled);
                    }
                    Place::Held | Place::Over(_) => assert_eq!(reply, Ok(Reply::Already(None))),
                }
            }
            Step::Retry(n) => {
                let Some((n, row)) = self.pick(n, |place| place == Place::Over(MessageState::Dead)) else { return };
                let (by, at) = (Arc::from("ann"), at(self.now));
                let letter = DeadLetter { object: row.object, id: row.id, wish: DeadWish::Retry, by, at };
                done(&self.writer, Write::Dead(letter));
                (self.all[n].place, self.all[n].due) = (Place::Waits, self.now);
            }
        }
    }

    /// The rows say what the model says, and so do the counters and the runs.
    fn compare(&self) {
        let mut rows = self.reader.messages(&MessageFilter::default()).unwrap();
        rows.reverse();
        assert_eq!(rows.len(), self.all.len());
        for (n, row) in rows.iter().enumerate() {
            let fits = match (self.all[n].place, row.state) {
                (Place::Waits, MessageState::Behind) => is_held_up(&self.all, n),
                (Place::Waits, MessageState::Available) => !is_held_up(&self.all, n) && row.due <= at(self.now),
                (Place::Waits, MessageState::Scheduled) => !is_held_up(&self.all, n),
                (Place::Held, state) => state == MessageState::Claimed,
                (Place::Over(over), state) => over == state,
                (Place::Waits, _) => false,
            };
            assert!(fits, "{}: {:?} is {:?}", row.id, self.all[n], row.state);
        }
        let count = |is_meant: fn(Place) -> bool| self.all.iter().filter(|model| is_meant(model.place)).count();
        let depth = self.reader.queues().unwrap().first().map_or(0, |queue| queue.depth);
        assert_eq!(depth, count(|place| !matches!(place, Place::Over(_))) as u64);
        let held = count(|place| place == Place::Held);
        assert_eq!(self.reader.claimed_messages().unwrap().len(), held);
        assert_eq!(self.reader.open_runs().unwrap().len(), held);
    }
}

/// Where nothing waits for a disk, if there is such a place: what is asked here is the order and not the disk.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn live(steps: Vec<Step>) {
    let folder = folder();
    let path: PathBuf = folder.path().join("store.db");
    let writer = Writer::start(&path).expect("a thread");
    done(&writer, Write::Open);
    let reader = Reader::open(&path).expect("a store");
    let mut life = Life { writer, reader, all: Vec::new(), now: 0 };
    for step in steps {
        life.step(step);
        life.compare();
    }
    // Whatever happened, it comes to an end: nobody is forgotten behind somebody who is over.
    life.now += 10_000;
    for _ in 0..=life.all.len() {
        life.claim(100);
        while life.all.iter().any(|model| model.place == Place::Held) {
            life.step(Step::End(0, true));
        }
    }
    assert!(life.all.iter().all(|model| matches!(model.place, Place::Over(_))));
    life.compare();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_claimed_in_the_order_of_the_rule(steps in steps()) {
        live(steps);
    }
}
