//! What is kept, and what goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use setpoint::engine::ObjectRef;
use setpoint::store::{
    Books, EventFilter, Keep, MessageFilter, MessageState, OriginRow, Pruned, Reply, Retention, RunFilter, RunRow,
    TickFilter, Write, Writer,
};

use crate::world::{
    INBOX, World, at, attempt, cause, claim, cursor, done, end, enqueue, event, finish, fire, message, object, queued,
    run, step, tick,
};

const DAY: u64 = 86_400;

/// Prunes until nothing is left to do; all that went, and in how many slices.
fn prune(writer: &Writer, mut retention: Retention) -> (Pruned, usize) {
    let mut all = Pruned::default();
    for slices in 1..1_000 {
        let Reply::Pruned(pruned) = writer.ask(Write::Prune(Box::new(retention.clone()))).unwrap() else { panic!() };
        assert!(pruned.runs.len() <= 2_000, "a slice of {}", pruned.runs.len());
        all.runs.extend(pruned.runs);
        all.ticks += pruned.ticks;
        all.events += pruned.events;
        (all.messages, all.dead) = (all.messages + pruned.messages, all.dead + pruned.dead);
        match pruned.next {
            Some(next) => retention.from = Some(next),
            None => return (all, slices),
        }
    }
    panic!("it does not come to an end")
}

fn retention(days: u64) -> Retention {
    Retention::of(at(days * DAY), None)
}

fn over(writer: &Writer, row: RunRow) {
    let (name, why) = (row.object.to_string(), row.cause.to_string());
    writer.send(fire(row), Box::new(|answer| assert_eq!(answer, Ok(Reply::Done))));
    let mut end = finish(&name, &why, "ok");
    end.tries = vec![attempt(&name, &why, 1)];
    writer.send(Write::Finish(Box::new(end)), Box::new(|answer| assert_eq!(answer, Ok(Reply::Done))));
}

fn causes(world: &World, name: &str) -> Vec<String> {
    let filter = RunFilter { object: Some(object(name)), with_steps: true, ..RunFilter::default() };
    world.reader().runs(&filter).unwrap().iter().map(|run| run.cause.to_string()).collect()
}

#[test]
fn runs_go_by_count_and_age_and_the_last_of_each_origin_stays() {
    let world = World::new();
    let writer = world.writer();
    for n in 0..120 {
        over(&writer, run("job/a", &n.to_string(), n));
    }
    let by_person = OriginRow::Person(Arc::from("ann"));
    over(&writer, RunRow { origin: by_person, ..run("job/b", "run-1", 0) });
    over(&writer, run("job/b", "1", 1));
    over(&writer, run("job/b", "2", 2));
    done(&writer, fire(run("job/b", "3", 3)));
    let (pruned, _) = prune(&writer, retention(1));
    assert_eq!(pruned.runs, (0..20).rev().map(|n| (object("job/a"), cause(&n.to_string()))).rev().collect::<Vec<_>>());
    assert_eq!(causes(&world, "job/a").len(), 100);
    assert_eq!(world.reader().attempts(&object("job/a"), &cause("3")), Ok(vec![]), "attempts go with their run");
    assert_eq!(world.reader().attempts(&object("job/a"), &cause("30")).unwrap().len(), 1);
    prune(&writer, retention(100));
    assert_eq!(causes(&world, "job/a"), ["119"], "too old, and the last");
    assert_eq!(causes(&world, "job/b"), ["3", "2", "run-1"], "the last of each origin, and what is open");
    let gone = Retention { present: Some(Arc::new(BTreeSet::from([object("job/a")]))), ..retention(100) };
    prune(&writer, gone);
    assert_eq!((causes(&world, "job/a"), causes(&world, "job/b")), (vec!["119".to_owned()], vec!["3".to_owned()]));
}

#[test]
fn an_object_may_say_itself_what_is_kept() {
    let world = World::new();
    let writer = world.writer();
    for n in 0..10 {
        over(&writer, run("job/a", &n.to_string(), n));
        over(&writer, run("job/b", &n.to_string(), n));
    }
    let keep = |count, days| Keep { count, age: Duration::from_secs(days * DAY) };
    let overrides: BTreeMap<ObjectRef, Keep> = [(object("job/a"), keep(3, 90)), (object("job/b"), keep(0, 90))].into();
    prune(&writer, Retention { overrides, ..retention(1) });
    assert_eq!(causes(&world, "job/a"), ["9", "8", "7"]);
    assert_eq!(causes(&world, "job/b"), ["9"]);
}

#[test]
fn steps_go_with_their_run_and_not_before() {
    let (world, name) = (World::new(), "workflow/release");
    let writer = world.writer();
    let of_step = |parent: &str, id: &str, n| {
        let mut end = finish(name, &format!("{parent}.{id}"), "ok");
        end.otherwise = Some(Box::new(step(name, parent, id, n)));
        done(&writer, Write::Finish(Box::new(end)));
    };
    for n in 0..3 {
        over(&writer, run(name, &n.to_string(), n));
        of_step(&n.to_string(), "a", n);
        of_step(&format!("{n}.a"), "inner", n);
    }
    done(&writer, fire(step(name, "1", "open", 1)));
    let keep = Keep { count: 1, age: Duration::from_secs(90 * DAY) };
    let (pruned, _) = prune(&writer, Retention { runs: keep, ..retention(1) });
    let gone: BTreeSet<String> = pruned.runs.iter().map(|(_, cause)| cause.to_string()).collect();
    assert_eq!(gone, ["0", "0.a", "0.a.inner"].map(str::to_owned).into());
    assert_eq!(causes(&world, name).len(), 7, "one of the steps of 1 is open");
}

#[test]
fn due_times_go_by_count_and_age() {
    let world = World::new();
    let writer = world.writer();
    let note = |name: &str, range: std::ops::Range<u64>| {
        let ticks = range.map(|n| tick(name, n, "Skipped")).collect();
        done(&writer, Write::Note { ticks, cursor: Some(cursor(name, 1)) });
    };
    note("cronjob/a", 0..2_700);
    note("cronjob/b", 0..5);
    let count = |name: &str| {
        let filter = TickFilter { object: Some(object(name)), ..TickFilter::default() };
        world.reader().ticks(&filter).unwrap().len()
    };
    let (pruned, slices) = prune(&writer, retention(1));
    assert_eq!((pruned.ticks, count("cronjob/a"), count("cronjob/b")), (1_700, 1_000, 5));
    assert!(slices >= 4, "{slices} slices: the writer is held up for too long");
    prune(&writer, retention(100));
    assert_eq!((count("cronjob/a"), count("cronjob/b")), (1, 1));
    assert_eq!(world.reader().cursors().unwrap().len(), 2);
    prune(&writer, Retention { present: Some(Arc::new(BTreeSet::from([object("cronjob/a")]))), ..retention(100) });
    assert_eq!((count("cronjob/a"), count("cronjob/b")), (1, 0));
    assert_eq!(world.reader().cursors().unwrap(), [cursor("cronjob/a", 1)], "the cursor of what is gone goes too");
}

#[test]
fn events_are_bounded_with_nobody_pruning() {
    let world = World::new();
    let writer = world.writer();
    let numbers = || -> Vec<i64> {
        world.reader().events(&EventFilter::default()).unwrap().iter().map(|(number, _)| *number).collect()
    };
    for n in 0..30 {
        let events = (0..10).map(|m| event(&format!("event {n}.{m}"))).collect();
        done(&writer, Write::Events { events, kept: 100 });
    }
    assert_eq!(numbers(), (201..=300).collect::<Vec<_>>());
    let (pruned, _) = prune(&writer, Retention { events: 0, ..retention(1) });
    assert_eq!((pruned.events, numbers()), (99, vec![300]));
    done(&writer, Write::Events { events: vec![event("next")], kept: 100 });
    assert_eq!(numbers(), [300, 301], "no number is given twice");
}

#[test]
fn a_pruned_store_gives_its_room_back_and_its_log_stays_small() {
    let world = World::new();
    let writer = world.writer();
    let events = |count: usize| Write::Events { events: vec![event(&"x".repeat(4_000)); count], kept: 10_000 };
    for _ in 0..20 {
        done(&writer, events(100));
    }
    let size = |suffix: &str| std::fs::metadata(format!("{}{suffix}", world.path.display())).unwrap().len();
    assert!(size("-wal") < 12 << 20, "{}", size("-wal"));
    for _ in 0..5 {
        prune(&writer, Retention { events: 10, ..retention(1) });
    }
    assert!(size("") < 1 << 20, "{}", size(""));
    assert_eq!(size("-wal"), 0);
}

#[test]
fn many_objects_are_pruned_in_many_slices() {
    let world = World::new();
    let writer = world.writer();
    for n in 0..250 {
        for m in 0..3 {
            over(&writer, run(&format!("job/j{n}"), &m.to_string(), m));
        }
    }
    let keep = Keep { count: 1, age: Duration::from_secs(90 * DAY) };
    let (pruned, slices) = prune(&writer, Retention { runs: keep, ..retention(1) });
    assert_eq!((pruned.runs.len(), slices), (500, 3));
    assert_eq!(world.reader().runs(&RunFilter::default()).unwrap().len(), 250);
}

/// Queues and ends so many messages, one a second, and leaves their rows.
fn over_messages(writer: &Writer, prefix: &str, state: MessageState, from: u64, count: u64) {
    for n in from..from + count {
        let answer = |answer: Result<Reply, _>| assert!(answer.is_ok(), "{answer:?}");
        writer.send(enqueue(message(&format!("{prefix}{n}"), n)), Box::new(answer));
    }
    let mut left = count;
    while left > 0 {
        let claimed = claim(writer, 500, from + count).messages;
        assert!(!claimed.is_empty());
        left -= claimed.len() as u64;
        for message in claimed {
            let since = at(0).until(message.enqueued).as_secs();
            let answer = |answer| assert_eq!(answer, Ok(Reply::Done));
            writer.send(Write::Finish(Box::new(end(&message, state, since))), Box::new(answer));
        }
    }
    done(writer, Write::Open);
}

fn messages(world: &World) -> Vec<String> {
    let filter = MessageFilter { without_payload: true, ..MessageFilter::default() };
    world.reader().messages(&filter).unwrap().iter().rev().map(|message| message.id.to_string()).collect()
}

#[test]
fn a_message_that_is_over_stays_a_day_and_a_dead_letter_until_it_is_too_old_or_one_too_many() {
    let world = World::new();
    let writer = world.writer();
    over_messages(&writer, "ok", MessageState::Ok, 0, 2);
    over_messages(&writer, "dead", MessageState::Dead, 0, 2);
    over_messages(&writer, "ok", MessageState::Ok, DAY, 1);
    queued(&writer, message("gone", 0));
    let (object, id, by) = (object(INBOX), Arc::from("gone"), Arc::from("ann"));
    done(&writer, Write::Withdraw { object, id, by, at: at(1) });
    queued(&writer, message("waits", 0));
    let none = |days: u64| Retention {
        messages: Keep { count: 0, age: Duration::ZERO },
        dead: Keep { count: 9, age: Duration::from_secs(2 * DAY) },
        ..retention(days)
    };
    let (pruned, _) = prune(&writer, Retention { now: at(DAY), ..none(0) });
    assert_eq!((pruned.messages, pruned.dead), (0, 0), "a replay of a day ago is still answered");
    let (pruned, _) = prune(&writer, none(2));
    assert_eq!((pruned.messages, pruned.dead), (3, 0));
    assert_eq!(messages(&world), ["dead0", "dead1", "ok86400", "waits"]);
    let (pruned, _) =
        prune(&writer, Retention { dead: Keep { count: 1, age: Duration::from_secs(9 * DAY) }, ..none(2) });
    assert_eq!((pruned.messages, pruned.dead), (0, 1), "the oldest first");
    assert_eq!(messages(&world), ["dead1", "ok86400", "waits"]);
    let (pruned, _) = prune(&writer, retention(30));
    assert_eq!((pruned.messages, pruned.dead), (1, 1));
    assert_eq!((messages(&world), world.reader().queues().unwrap()[0].depth), (vec!["waits".to_owned()], 1));
}

#[test]
fn many_messages_go_in_many_slices_and_the_runs_of_dead_letters_stay_with_them() {
    let world = World::new();
    let writer = world.writer();
    over_messages(&writer, "ok", MessageState::Ok, 0, 1_400);
    over_messages(&writer, "dead", MessageState::Dead, 2_000, 150);
    let (pruned, slices) = prune(&writer, Retention { dead: Keep { count: 120, age: Duration::MAX }, ..retention(10) });
    assert_eq!((pruned.messages, pruned.dead), (1_400, 30));
    assert!((3..20).contains(&slices), "{slices} slices");
    let left = messages(&world);
    assert_eq!((left.len(), left[0].as_str()), (120, "dead2030"));
    let mut runs = causes(&world, INBOX);
    runs.reverse();
    assert_eq!(runs, left, "a hundred runs, and those of dead letters");
}
