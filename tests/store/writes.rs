//! What each request writes, and what it answers when it comes twice.

use std::sync::Arc;
use std::sync::mpsc::channel;

use setpoint::controller::books::Books as ControllerBooks;
use setpoint::engine::run::{Ledger, Origin, Run};
use setpoint::engine::{BootId, BootTime, InstanceId, Now};
use setpoint::home::Home;
use setpoint::store::{
    Books, EndRow, ExitRow, Given, OriginRow, PARAMS_MAX, RESULT_MAX, Reply, ResultSource, RunRow, TickFilter, TickRow,
    Trouble, Write,
};

use crate::world::{World, at, attempt, cause, cursor, done, event, finish, fire, fire_tick, object, run, step, tick};

#[test]
fn a_due_time_fires_once_and_its_run_and_cursor_come_with_it() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    done(&writer, Write::Register(cursor(name, 0)));
    done(&writer, fire_tick(name, 60));
    let stands = run_of(&world, name, "t-60");
    assert_eq!(stands.origin, OriginRow::Tick(at(60)));
    assert_eq!(writer.ask(fire_tick(name, 60)), Ok(Reply::Already(Some(Box::new(stands.clone())))));
    let reader = world.reader();
    assert_eq!(reader.open_runs(), Ok(vec![stands]));
    assert_eq!(reader.cursors(), Ok(vec![cursor(name, 60)]));
    let ticks = reader.ticks(&TickFilter::default()).unwrap();
    assert_eq!(ticks, [TickRow { cause: Some(cause("t-60")), ..tick(name, 60, "Fired") }]);
}

fn run_of(world: &World, name: &str, why: &str) -> RunRow {
    world.reader().run(&object(name), &cause(why)).unwrap().expect("a run")
}

#[test]
fn what_was_decided_stands_and_the_cursor_moves_all_the_same() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    let note = |state: &str, nominal| Write::Note { ticks: vec![tick(name, nominal, state)], cursor: None };
    done(&writer, note("Skipped", 60));
    assert_eq!(writer.ask(note("Missed", 60)), Ok(Reply::Already(None)));
    assert_eq!(writer.ask(fire_tick(name, 60)), Ok(Reply::Already(None)), "it was skipped");
    let reader = world.reader();
    assert_eq!(reader.open_runs(), Ok(vec![]));
    assert_eq!(reader.cursors(), Ok(vec![cursor(name, 60)]));
    assert_eq!(&*reader.ticks(&TickFilter::default()).unwrap()[0].state, "Skipped");
}

#[test]
fn a_due_time_that_waits_fires_later() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    for (nominal, state) in [(60, "Deferred"), (120, "Held")] {
        let reason = Some(Arc::from("quiet hours"));
        done(&writer, Write::Note { ticks: vec![TickRow { reason, ..tick(name, nominal, state) }], cursor: None });
        done(&writer, fire_tick(name, nominal));
        assert!(matches!(writer.ask(fire_tick(name, nominal)), Ok(Reply::Already(Some(_)))));
    }
    let ticks = world.reader().ticks(&TickFilter::default()).unwrap();
    let states: Vec<_> = ticks.iter().map(|tick| (&*tick.state, tick.reason.as_deref())).collect();
    assert_eq!(states, [("Fired", None); 2]);
}

#[test]
fn a_gap_is_one_row() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    let gap = TickRow { to: Some(at(600)), count: 11, ..tick(name, 0, "Missed") };
    done(&writer, Write::Note { ticks: vec![gap.clone()], cursor: Some(cursor(name, 600)) });
    assert_eq!(world.reader().ticks(&TickFilter::default()), Ok(vec![gap]));
}

#[test]
fn a_gap_that_begins_where_a_due_time_was_settled_begins_right_after_it() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    done(&writer, fire_tick(name, 0));
    let gap = |to, count| TickRow { to: Some(at(to)), count, ..tick(name, 0, "Missed") };
    let note = |row| Write::Note { ticks: vec![row], cursor: None };
    done(&writer, note(gap(600, 11)));
    assert_eq!(writer.ask(note(gap(600, 11))), Ok(Reply::Already(None)), "it is covered");
    assert_eq!(writer.ask(note(gap(0, 1))), Ok(Reply::Already(None)), "it is settled");
    done(&writer, note(gap(900, 16)));
    let after = |seconds: u64| at(seconds).after(std::time::Duration::from_millis(1));
    let ticks = world.reader().ticks(&TickFilter::default()).unwrap();
    let rows: Vec<_> = ticks.iter().map(|row| (&*row.state, row.nominal, row.to, row.count)).collect();
    assert_eq!(
        rows,
        [("Missed", after(600), Some(at(900)), 5), ("Missed", after(0), Some(at(600)), 10), ("Fired", at(0), None, 1),]
    );
}

#[test]
fn what_a_run_passes_is_written_with_it() {
    let (world, name) = (World::new(), "cronjob/backup");
    let writer = world.writer();
    let gap = TickRow { to: Some(at(120)), count: 3, ..tick(name, 0, "Missed") };
    let Write::Fire { tick, run, cursor, .. } = fire_tick(name, 180) else { panic!("a run") };
    let run = Box::new(RunRow { catches_up: true, ..*run });
    done(&writer, Write::Fire { tick, passed: vec![gap.clone()], run: run.clone(), cursor });
    let reader = world.reader();
    assert_eq!(reader.open_runs(), Ok(vec![*run]));
    assert_eq!(reader.ticks(&TickFilter::default()).unwrap()[1..], [gap]);
}

#[test]
fn the_first_end_of_a_run_stands() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    done(&writer, Write::Attempt(attempt("job/migrate", "1", 1)));
    let mut end = finish("job/migrate", "1", "failed");
    end.reason = Some(Arc::from("exit code 3"));
    end.exit = Some(ExitRow::Code(3));
    end.result = ResultSource::Text(Given::whole("half"));
    end.attempts = 2;
    let mut last = attempt("job/migrate", "1", 2);
    last.ended = Some(at(2));
    last.exit = Some(Arc::from("exit 3"));
    end.tries = vec![last.clone()];
    done(&writer, Write::Finish(Box::new(end)));
    let stands = run_of(&world, "job/migrate", "1");
    let expected = EndRow {
        outcome: Arc::from("failed"),
        reason: Some(Arc::from("exit code 3")),
        ended: at(2),
        exit: Some(ExitRow::Code(3)),
        result: Some(Given::whole("half")),
    };
    assert_eq!((stands.attempts, stands.started, stands.end.as_ref()), (2, Some(at(1)), Some(&expected)));
    let again = writer.ask(Write::Finish(Box::new(finish("job/migrate", "1", "ok"))));
    assert_eq!(again, Ok(Reply::Already(Some(Box::new(stands)))));
    let tries = world.reader().attempts(&object("job/migrate"), &cause("1"));
    assert_eq!(tries, Ok(vec![attempt("job/migrate", "1", 1), last]));
}

#[test]
fn a_run_nobody_knows_is_said_to_be_unknown() {
    let world = World::new();
    let writer = world.writer();
    let (object, cause, by) = (object("job/migrate"), cause("9"), Arc::from("ann"));
    assert_eq!(writer.ask(Write::Finish(Box::new(finish("job/migrate", "9", "ok")))), Ok(Reply::Unknown));
    assert_eq!(writer.ask(Write::Attempt(attempt("job/migrate", "9", 1))), Ok(Reply::Unknown));
    let cancel = Write::Cancel { object: object.clone(), cause: cause.clone(), by: Arc::clone(&by) };
    assert_eq!(writer.ask(cancel), Ok(Reply::Unknown));
    assert_eq!(writer.ask(Write::Reopen { object, cause, by, at: at(9) }), Ok(Reply::Unknown));
}

#[test]
fn the_end_of_a_step_brings_its_row() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("workflow/release", "1", 0)));
    let mut end = finish("workflow/release", "1.build", "ok");
    end.otherwise = Some(Box::new(step("workflow/release", "1", "build", 1)));
    end.tries = vec![attempt("workflow/release", "1.build", 1)];
    done(&writer, Write::Finish(Box::new(end)));
    let reader = world.reader();
    let steps = reader.steps(&object("workflow/release"), &cause("1")).unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].cause.to_string().as_str(), steps[0].attempts), ("1.build", 1));
    assert_eq!(steps[0].end.as_ref().map(|end| &*end.outcome), Some("ok"));
    assert_eq!(reader.attempts(&object("workflow/release"), &cause("1.build")).unwrap().len(), 1);
    let mut again = finish("workflow/release", "1.build", "failed");
    again.otherwise = Some(Box::new(step("workflow/release", "1", "build", 1)));
    assert!(matches!(writer.ask(Write::Finish(Box::new(again))), Ok(Reply::Already(Some(_)))));
}

#[test]
fn the_first_who_cancels_stands() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    let cancel = |by: &str| Write::Cancel { object: object("job/migrate"), cause: cause("1"), by: Arc::from(by) };
    done(&writer, cancel("ann"));
    assert!(matches!(writer.ask(cancel("bob")), Ok(Reply::Already(Some(_)))));
    assert_eq!(run_of(&world, "job/migrate", "1").cancel.as_deref(), Some("ann"));
    done(&writer, Write::Finish(Box::new(finish("job/migrate", "1", "cancelled"))));
    assert!(matches!(writer.ask(cancel("bob")), Ok(Reply::Already(Some(run))) if run.end.is_some()));
}

#[test]
fn a_reopened_run_forgives_its_attempts_and_takes_its_failed_steps_with_it() {
    let (world, name) = (World::new(), "workflow/release");
    let writer = world.writer();
    let reopen = || Write::Reopen { object: object(name), cause: cause("1"), by: Arc::from("ann"), at: at(9) };
    done(&writer, fire(run(name, "1", 0)));
    assert!(matches!(writer.ask(reopen()), Ok(Reply::Already(Some(_)))), "it is open");
    for (parent, id, outcome) in [("1", "build", "ok"), ("1", "test", "failed"), ("1.test", "unit", "failed")] {
        let mut end = finish(name, &format!("{parent}.{id}"), outcome);
        end.otherwise = Some(Box::new(step(name, parent, id, 1)));
        end.attempts = 3;
        done(&writer, Write::Finish(Box::new(end)));
    }
    let mut end = finish(name, "1", "failed");
    end.attempts = 4;
    done(&writer, Write::Finish(Box::new(end)));
    let Ok(Reply::Reopened { run, steps }) = writer.ask(reopen()) else { panic!("it is not open") };
    assert_eq!(*run, run_of(&world, name, "1"));
    assert_eq!(steps, [run_of(&world, name, "1.build"), run_of(&world, name, "1.test")]);
    assert!(steps[0].end.is_some() && steps[1].end.is_none(), "what ended well stands");
    assert_eq!((run.attempts, run.base_attempts, run.started, run.end), (4, 4, None, None));
    assert_eq!(run.reopened.as_deref(), Some("ann"));
    let open: Vec<String> = world.reader().open_runs().unwrap().iter().map(|run| run.cause.to_string()).collect();
    assert_eq!(open, ["1", "1.test", "1.test.unit"]);
    assert_eq!(run_of(&world, name, "1.test").base_attempts, 3);
    done(&writer, Write::Finish(Box::new(finish(name, "1", "ok"))));
}

#[test]
fn a_result_is_read_on_the_writers_thread_and_cut_between_letters() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    let (tell, hear) = channel();
    let mut end = finish("job/migrate", "1", "ok");
    end.result = ResultSource::Capture(Box::new(move || {
        tell.send(std::thread::current().id()).expect("the test waits");
        Some(Given::whole(&format!("{}\0äx", "x".repeat(RESULT_MAX - 4))))
    }));
    done(&writer, Write::Finish(Box::new(end)));
    assert_ne!(hear.recv().unwrap(), std::thread::current().id());
    let result = run_of(&world, "job/migrate", "1").end.unwrap().result.unwrap();
    // The zero byte has become a letter of three bytes; one is left, and the next letter has two.
    let Given { text, size } = result;
    assert!(text.ends_with("x\u{fffd}") && text.len() == RESULT_MAX - 1, "{}", text.len());
    assert_eq!(size.as_deref(), Some(&*format!("{} bytes", RESULT_MAX + 2)), "it says how long it was");
}

#[test]
fn a_capture_that_panics_gives_nothing_and_ends_nobody() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    let mut end = finish("job/migrate", "1", "ok");
    end.result = ResultSource::Capture(Box::new(|| panic!("this is part of the test")));
    done(&writer, Write::Finish(Box::new(end)));
    assert_eq!(run_of(&world, "job/migrate", "1").end.unwrap().result, None);
    done(&writer, Write::Open);
}

#[test]
fn parameters_are_never_cut() {
    let world = World::new();
    let writer = world.writer();
    let large = RunRow { params: Some("x".repeat(PARAMS_MAX + 1).into()), ..run("job/migrate", "1", 0) };
    let refused = writer.ask(fire(large)).unwrap_err();
    assert!(matches!(refused, Trouble::TooLarge { .. }), "{refused}");
    let fits = RunRow { params: Some("x".repeat(PARAMS_MAX).into()), ..run("job/migrate", "1", 0) };
    done(&writer, fire(fits.clone()));
    assert_eq!(run_of(&world, "job/migrate", "1"), fits);
}

#[test]
fn a_burst_costs_few_commits_and_one_refusal_fails_no_neighbour() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, Write::Open);
    let (tell, hear) = channel();
    // Held up until all the others wait, so that they are one batch by construction and not by luck.
    let (go, gate) = channel::<()>();
    let mut first = finish("job/none", "1", "ok");
    first.result = ResultSource::Capture(Box::new(move || gate.recv().ok().map(|()| Given::whole(""))));
    writer.send(Write::Finish(Box::new(first)), Box::new(|_| ()));
    for n in 0..999 {
        let state = if n == 500 { "Nonsense" } else { "Skipped" };
        let tell = tell.clone();
        let note = Write::Note { ticks: vec![tick("cronjob/backup", n, state)], cursor: None };
        writer.send(note, Box::new(move |answer| tell.send((n, answer)).expect("the test waits")));
    }
    let before = writer.counts();
    go.send(()).unwrap();
    let answers: Vec<_> = (0..999).map(|_| hear.recv().unwrap()).collect();
    let refused: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_err()).collect();
    assert!(matches!(refused[..], [(500, Err(Trouble::Sql { .. }))]), "{refused:?}");
    assert!(answers.is_sorted_by_key(|(n, _)| *n), "answers come in order");
    let after = writer.counts();
    assert!((1..=2).contains(&(after.commits - before.commits)), "{before:?} {after:?}");
    assert_eq!((after.requests, after.troubles), (1_001, 0));
    assert_eq!(world.reader().ticks(&TickFilter::default()).unwrap().len(), 998);
}

#[test]
fn nobody_waits_for_ever_and_a_closed_writer_has_written_all() {
    let world = World::new();
    let writer = world.writer();
    let (tell, hear) = channel();
    for n in 0..2_000 {
        let tell = tell.clone();
        let events = vec![event(&format!("event {n}"))];
        let write = Write::Events { events, kept: 10_000 };
        writer.send(write, Box::new(move |answer| tell.send(answer).expect("the test waits")));
    }
    drop(tell);
    writer.close();
    assert_eq!(hear.iter().filter(|answer| *answer == Ok(Reply::Done)).count(), 2_000);
    assert_eq!(world.reader().events(&Default::default()).unwrap().len(), 2_000);
    let log = std::path::PathBuf::from(format!("{}-wal", world.path.display()));
    assert!(!log.exists() || log.metadata().unwrap().len() == 0, "a closed store leaves no log");
}

/// The writer answers that a write failed although the disk has it: a commit that was cut off just before it was heard.
#[test]
fn what_the_disk_got_in_spite_of_an_error_is_known_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(Some(&folder.path().join("home"))).expect("a home");
    let (tell, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let (mut books, mut ledger) = (ControllerBooks::new(home.clone(), tell), Ledger::default());
    books.open(&mut ledger).expect("a store");
    let now = Now { wall: at(0), boot: BootTime::from_nanos(1), boot_id: BootId::new("a") };
    let id: InstanceId = "workflow/flow/run-1".parse().expect("an instance");
    let wanted = Run {
        uid: "u".into(),
        origin: Origin::Person("ann".into()),
        due: at(0),
        created: at(0),
        forgiven: 0,
        cancel: None,
        params: Arc::new(serde_json::json!({ "a": 1 })),
        steps: std::collections::BTreeMap::new(),
        reopened: std::collections::BTreeMap::new(),
        catches_up: false,
    };
    let (asker, _heard) = tokio::sync::oneshot::channel();
    books.ask_for(&mut ledger, &id, wanted.clone(), asker);
    books.flush();
    let (number, answer) = hear.blocking_recv().expect("an answer");
    assert_eq!(answer, Ok(Reply::Done));
    let lost = Trouble::Busy { path: home.store_db() };
    books.settled(&mut ledger, (number, Err(lost)), &now);
    let book = &ledger.books[&id.object];
    assert_eq!(book.runs.get(&id.cause), Some(&wanted), "memory and store agree");
    assert!(book.writing.is_empty() && book.refused.is_some());
    // What certainly is not there is not looked for, and what is remembered of others stays.
    let other: InstanceId = "job/other/1".parse().expect("an instance");
    let (asker, _heard) = tokio::sync::oneshot::channel();
    books.ask_for(&mut ledger, &other, wanted, asker);
    books.flush();
    let (number, _) = hear.blocking_recv().expect("an answer");
    std::fs::remove_file(home.store_db()).expect("a file");
    books.settled(&mut ledger, (number, Err(Trouble::Closed)), &now);
    assert!(ledger.books[&id.object].runs.contains_key(&id.cause));
}
