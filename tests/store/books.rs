//! What can be read, and by which filters.

use std::sync::Arc;

use expect_test::expect;
use setpoint::store::{
    Books, EventFilter, EventRow, MessageFilter, MessageRow, MessageState, OriginRow, QueueRow, RunFilter, RunRow,
    TickFilter, TickRow, Trouble, Write,
};

use crate::world::{
    INBOX, World, at, cause, claim, done, event, finish, fire, fire_tick, ids, message, object, queued, run, step, tick,
};

#[test]
fn no_store_reads_as_an_empty_one_and_none_is_made() {
    let world = World::new();
    let reader = world.reader();
    assert_eq!(reader.open_runs(), Ok(vec![]));
    assert_eq!(reader.run(&object("job/migrate"), &cause("1")), Ok(None));
    assert_eq!(reader.events(&EventFilter::default()), Ok(vec![]));
    assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 0);
}

fn names(runs: &[RunRow]) -> Vec<String> {
    runs.iter().map(|run| format!("{}/{}", run.object, run.cause)).collect()
}

#[test]
fn runs_are_found_by_object_state_and_age_newest_first() {
    let world = World::new();
    let writer = world.writer();
    for (name, why, created, outcome) in [
        ("job/a", "1", 10, Some("ok")),
        ("job/a", "2", 20, Some("failed")),
        ("job/a", "3", 30, None),
        ("job/b", "1", 15, Some("failed")),
    ] {
        done(&writer, fire(run(name, why, created)));
        if let Some(outcome) = outcome {
            done(&writer, Write::Finish(Box::new(finish(name, why, outcome))));
        }
    }
    done(&writer, fire(step("job/a", "3", "x", 40)));
    let reader = world.reader();
    let found = |filter: RunFilter| names(&reader.runs(&filter).unwrap());
    let all = RunFilter::default();
    assert_eq!(found(all.clone()), ["job/a/3", "job/a/2", "job/b/1", "job/a/1"]);
    assert_eq!(found(RunFilter { limit: Some(2), ..all.clone() }), ["job/a/3", "job/a/2"]);
    assert_eq!(found(RunFilter { object: Some(object("job/b")), ..all.clone() }), ["job/b/1"]);
    assert_eq!(found(RunFilter { states: vec!["failed".into()], ..all.clone() }), ["job/a/2", "job/b/1"]);
    let states = vec!["open".into(), "ok".into()];
    assert_eq!(found(RunFilter { states, since: Some(at(11)), ..all.clone() }), ["job/a/3"]);
    assert_eq!(found(RunFilter { with_steps: true, limit: Some(1), ..all }), ["job/a/3.x"]);
    assert_eq!(names(&reader.open_runs().unwrap()), ["job/a/3", "job/a/3.x"]);
    assert_eq!(names(&reader.steps(&object("job/a"), &cause("3")).unwrap()), ["job/a/3.x"]);
}

#[test]
fn the_last_end_of_a_generation_is_known_although_people_ran_it_since() {
    let world = World::new();
    let writer = world.writer();
    let by = || OriginRow::Person(Arc::from("ann"));
    let person = |why: &str, created| RunRow { origin: by(), ..run("job/a", why, created) };
    for row in [run("job/a", "1", 0), run("job/a", "2", 10), person("run-1", 20), person("run-2", 30)] {
        let why = row.cause.to_string();
        done(&writer, fire(row));
        done(&writer, Write::Finish(Box::new(finish("job/a", &why, "ok"))));
    }
    done(&writer, fire(run("job/a", "3", 40)));
    let mut end = finish("job/a", "3.x", "ok");
    end.otherwise = Some(Box::new(step("job/a", "3", "x", 50)));
    done(&writer, Write::Finish(Box::new(end)));
    let last = world.reader().last_finals().unwrap();
    assert_eq!(names(&last), ["job/a/2", "job/a/run-2"]);
    assert_eq!(last[1].origin, by());
}

#[test]
fn due_times_are_found_by_object_state_and_time_latest_first() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire_tick("cronjob/a", 60));
    let ticks = vec![tick("cronjob/a", 120, "Skipped"), tick("cronjob/b", 90, "Missed")];
    done(&writer, Write::Note { ticks, cursor: None });
    let reader = world.reader();
    let found = |filter: TickFilter| -> Vec<u64> {
        let seconds = |tick: &TickRow| at(0).until(tick.nominal).as_secs();
        reader.ticks(&filter).unwrap().iter().map(seconds).collect()
    };
    let all = TickFilter::default();
    assert_eq!(found(all.clone()), [120, 90, 60]);
    assert_eq!(found(TickFilter { object: Some(object("cronjob/a")), limit: Some(1), ..all.clone() }), [120]);
    assert_eq!(found(TickFilter { states: vec!["Missed".into(), "Fired".into()], ..all.clone() }), [90, 60]);
    assert_eq!(found(TickFilter { since: Some(at(90)), ..all }), [120, 90]);
}

#[test]
fn events_are_found_below_a_subject_by_type_and_after_a_number() {
    let world = World::new();
    let writer = world.writer();
    let of = |kind: &str, subject: &str| EventRow { kind: Arc::from(kind), subject: Arc::from(subject), ..event("x") };
    let events = vec![
        of("setpoint.service.crashed", "service/web/0"),
        of("setpoint.service.ready", "service/web2/0"),
        of("setpoint.cronjob.missed", "cronjob/backup"),
        of("odd_type%", "service/web"),
    ];
    done(&writer, Write::Events { events, kept: 100 });
    let reader = world.reader();
    let found = |filter: EventFilter| -> Vec<i64> {
        reader.events(&filter).unwrap().iter().map(|(number, _)| *number).collect()
    };
    let all = EventFilter::default();
    let by_subject = |subject: &str| found(EventFilter { subject: Some(subject.into()), ..EventFilter::default() });
    let by_kind = |kind: &str| found(EventFilter { kind: Some(kind.into()), ..EventFilter::default() });
    assert_eq!(by_subject("service/web"), [1, 4]);
    assert_eq!((by_subject("service"), by_subject("")), (vec![1, 2, 4], vec![1, 2, 3, 4]));
    assert_eq!(by_kind("setpoint.service.*"), [1, 2]);
    assert_eq!((by_kind("*_t?pe%"), by_kind("*service_*")), (vec![4], vec![]));
    assert_eq!(found(EventFilter { since: Some(1), limit: Some(2), ..all.clone() }), [2, 3]);
    assert_eq!(found(EventFilter { limit: Some(2), ..all }), [3, 4], "the last ones, in order");
}

#[test]
fn messages_are_found_by_object_state_sender_group_and_age_the_last_first() {
    let world = World::new();
    let writer = world.writer();
    let other = object("trigger/build");
    queued(&writer, message("m1", 0));
    queued(&writer, MessageRow { sender: Arc::from("bob"), group: Some(Arc::from("g")), ..message("m2", 10) });
    queued(&writer, MessageRow { due: at(99), ..message("m3", 20) });
    queued(&writer, MessageRow { object: other.clone(), ..message("m4", 30) });
    claim(&writer, 1, 40);
    let reader = world.reader();
    let found = |filter: MessageFilter| {
        let rows = reader.messages(&filter).unwrap();
        ids(&rows).join(" ")
    };
    let all = MessageFilter::default();
    assert_eq!(found(all.clone()), "m4 m3 m2 m1");
    assert_eq!(found(MessageFilter { object: Some(object(INBOX)), limit: Some(2), ..all.clone() }), "m3 m2");
    let states = vec![MessageState::Claimed, MessageState::Scheduled];
    assert_eq!(found(MessageFilter { states, ..all.clone() }), "m3 m1");
    assert_eq!(found(MessageFilter { sender: Some(Arc::from("bob")), ..all.clone() }), "m2");
    assert_eq!(found(MessageFilter { group: Some(Arc::from("g")), ..all.clone() }), "m2");
    assert_eq!(found(MessageFilter { since: Some(at(20)), ..all.clone() }), "m4 m3");
    let rows = reader.messages(&MessageFilter { without_payload: true, limit: Some(1), ..all }).unwrap();
    assert_eq!(rows[0], MessageRow { payload: Arc::from(&b""[..]), ..reader.message(&other, "m4").unwrap().unwrap() });
    assert_eq!(ids(&reader.claimed_messages().unwrap()), ["m1"]);
    let row = |object, has_available, next_due, depth| {
        let bytes = depth * 13;
        QueueRow { object, has_available, next_due, depth, bytes }
    };
    let queues = vec![row(object(INBOX), true, Some(at(99)), 3), row(other, true, None, 1)];
    assert_eq!(reader.queues(), Ok(queues));
}

#[test]
fn a_row_that_somebody_edited_is_an_error_that_names_its_column() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/a", "1", 0)));
    world.raw().execute_batch("update runs set object = 'no name'").unwrap();
    let trouble = world.reader().open_runs().unwrap_err();
    assert!(matches!(trouble, Trouble::Row { .. }));
    expect![[r#"
        $T/store.db: the column `object` of a row: an object is written KIND/NAME, like service/web; somebody has edited it
          help: put the row right, or delete it, with sqlite3 while no controller runs; what runs goes on"#]]
    .assert_eq(&world.words(&trouble));
}

#[test]
fn the_tables_are_those_that_people_and_other_programs_know() {
    let world = World::new();
    done(&world.writer(), Write::Open);
    let raw = world.raw();
    let mut statement = raw.prepare("select sql from sqlite_master where sql is not null").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let tables: Vec<String> = rows.map(|row| row.unwrap()).collect();
    expect![[r#"
        CREATE TABLE attempts (
            object text not null,
            cause text not null,
            number integer not null,
            started_ms integer,
            ended_ms integer,
            exit text,
            primary key (object, cause, number),
            foreign key (object, cause) references runs (object, cause) on delete cascade
        ) strict
        CREATE TABLE ticks (
            object text not null,
            nominal_ms integer not null,
            uid text not null,
            to_ms integer,
            count integer not null check (count > 0),
            state text not null check (state in ('Fired', 'Skipped', 'Deferred', 'Missed', 'Held', 'ClockStep')),
            reason text,
            at_ms integer not null,
            cause text,
            primary key (object, nominal_ms)
        ) strict
        CREATE INDEX ticks_newest on ticks (nominal_ms)
        CREATE TABLE cursors (
            object text primary key not null,
            uid text not null,
            key text not null,
            since_ms integer not null,
            at_ms integer not null,
            set_wall_ns integer not null,
            set_boot_ns integer not null,
            boot_id text not null
        ) strict
        CREATE TABLE events (
            id integer primary key not null,
            time text not null,
            type text not null,
            subject text not null,
            text text not null,
            data text
        ) strict
        CREATE TABLE "runs" (
            object text not null,
            cause text not null,
            uid text not null,
            parent text,
            origin text not null check (origin in ('tick', 'generation', 'person', 'step', 'message')),
            asked_by text,
            nominal_ms integer,
            due_ms integer not null,
            created_ms integer not null,
            started_ms integer,
            ended_ms integer,
            state text not null check (state in ('open', 'final')),
            outcome text,
            reason text,
            attempts integer not null,
            base_attempts integer not null,
            cancelled_by text,
            reopened_by text,
            params text,
            result text,
            exit_code integer,
            exit_signal integer,
            generation integer not null, catches_up integer not null default 0 check (catches_up in (0, 1)), result_size text,
            primary key (object, cause),
            check ((state = 'final') = (outcome is not null)),
            check ((state = 'final') = (ended_ms is not null)),
            check (exit_code is null or exit_signal is null)
        ) strict
        CREATE INDEX runs_open on runs (object) where state = 'open'
        CREATE INDEX runs_steps on runs (object, parent) where parent is not null
        CREATE INDEX runs_newest on runs (created_ms)
        CREATE INDEX runs_over on runs (object, created_ms, cause) where parent is null and state = 'final'
        CREATE TABLE messages (
            seq integer primary key autoincrement not null,
            object text not null,
            id text not null,
            state text not null check (state in ('scheduled', 'available', 'behind', 'claimed', 'ok', 'dead', 'cancelled')),
            priority integer not null check (priority between 0 and 9),
            grp text,
            dedup text,
            type text not null,
            subject text not null,
            sender text not null,
            source text not null,
            digest text not null,
            bytes integer not null,
            enqueued_ms integer not null,
            due_ms integer not null,
            expires_ms integer,
            tries integer not null,
            base_attempts integer not null,
            fence integer not null,
            claimed_ms integer,
            ended_ms integer,
            outcome text,
            reason text,
            reply text,
            log_tail text,
            params text,
            payload blob not null,
            unique (object, id),
            check ((state in ('ok', 'dead', 'cancelled')) = (ended_ms is not null)),
            check ((outcome is null) = (ended_ms is null)),
            check (state <> 'behind' or grp is not null)
        ) strict
        CREATE TABLE sqlite_sequence(name,seq)
        CREATE UNIQUE INDEX messages_dedup on messages (object, dedup) where dedup is not null and ended_ms is null
        CREATE INDEX messages_ready on messages (object, priority, seq) where state = 'available'
        CREATE INDEX messages_scheduled on messages (object, due_ms) where state = 'scheduled'
        CREATE INDEX messages_claimed on messages (object, grp) where state = 'claimed'
        CREATE INDEX messages_groups on messages (object, grp, seq) where grp is not null and ended_ms is null
        CREATE INDEX messages_enqueued on messages (object, enqueued_ms)
        CREATE INDEX messages_over on messages (state, ended_ms) where ended_ms is not null
        CREATE TABLE queues (
            object text primary key not null,
            depth integer not null check (depth >= 0),
            bytes integer not null check (bytes >= 0)
        ) strict"#]]
    .assert_eq(&tables.join("\n"));
    let number = |name: &str| raw.query_row(&format!("pragma {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("user_version"), number("application_id"), number("auto_vacuum")), (4, 0x7370_7464, 2));
    let mode: String = raw.query_row("pragma journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}
