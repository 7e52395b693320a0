//! Stores that an older binary made.

use std::sync::Arc;

use setpoint::store::schema::MIGRATIONS;
use setpoint::store::{Books, EventFilter, MessageFilter, OriginRow, RunFilter, TickFilter, Write};

use crate::world::{INBOX, World, at, attempt, cause, claim, cursor, done, enqueue, message, object, queued, tick};

/// A store of the first version with a row in every table, as its binary wrote them.
fn first_version() -> World {
    let world = World::new();
    let raw = world.raw();
    raw.execute_batch("pragma auto_vacuum = incremental; pragma foreign_keys = on").unwrap();
    raw.execute_batch(MIGRATIONS[0]).unwrap();
    let night = crate::world::NIGHT * 1_000;
    let (boot, set) = (1_000_000_007, (crate::world::NIGHT + 60) * 1_000_000_000 + 7);
    raw.execute_batch(&format!(
        "insert into runs values
            ('workflow/release', '1', 'u-1', null, 'generation', null, null, {night}, {night}, {night}, null,
                'open', null, null, 2, 1, 'ann', 'bob', '{{}}', null, null, null, 4),
            ('workflow/release', '1.build', 'u-1', '1', 'step', null, null, {night}, {night}, {night}, {night},
                'final', 'ok', 'done', 1, 0, null, null, null, 'built', 0, null, 0),
            ('cronjob/backup', 't-60', 'u-1', null, 'tick', null, {night} + 60000, {night}, {night}, null, {night},
                'final', 'killed', null, 1, 0, null, null, null, null, null, 9, 0),
            ('job/a', 'run-1', 'u-1', null, 'person', 'ann', null, {night}, {night}, null, null,
                'open', null, null, 0, 0, null, null, null, null, null, null, 0);
        insert into attempts values ('workflow/release', '1', 1, {night} + 1000, null, null),
            ('workflow/release', '1.build', 1, {night} + 1000, null, null);
        insert into ticks values ('cronjob/backup', {night} + 60000, 'u-1', null, 1, 'Fired', null, {night} + 60000, 't-60');
        insert into cursors values ('cronjob/backup', 'u-1', 'k-1', {night}, {night} + 60000, {set}, {boot}, 'b-1');
        insert into events values (7, '2026-11-21T03:00:00.000Z', 'setpoint.test', 'cronjob/backup', 'told', null);
        pragma application_id = 0x73707464; pragma user_version = 1; pragma journal_mode = wal"
    ))
    .unwrap();
    world
}

/// All that a reader of the first version could ask for, in words.
fn facts(world: &World) -> String {
    let reader = world.reader();
    let runs = reader.runs(&RunFilter { with_steps: true, ..RunFilter::default() }).unwrap();
    let attempts: Vec<_> = runs.iter().flat_map(|run| reader.attempts(&run.object, &run.cause).unwrap()).collect();
    let ticks = reader.ticks(&TickFilter::default()).unwrap();
    let events = reader.events(&EventFilter::default()).unwrap();
    let (open, last) = (reader.open_runs().unwrap(), reader.last_finals().unwrap());
    assert_eq!((runs.len(), attempts.len(), ticks.len(), events.len()), (4, 2, 1, 1));
    assert_eq!((open.len(), last.len(), reader.cursors().unwrap().len()), (2, 1, 1));
    format!("{runs:?} {attempts:?} {ticks:?} {events:?} {open:?} {last:?} {:?}", reader.cursors())
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_and_loses_nothing() {
    let world = first_version();
    let before = facts(&world);
    let writer = world.writer();
    done(&writer, Write::Open);
    assert_eq!(facts(&world), before);
    let reader = world.reader();
    let attempts = reader.attempts(&object("workflow/release"), &cause("1"));
    assert_eq!(
        attempts,
        Ok(vec![attempt("workflow/release", "1", 1)]),
        "they did not go with the table they belong to"
    );
    assert_eq!(reader.cursors(), Ok(vec![cursor("cronjob/backup", 60)]));
    let row = setpoint::store::TickRow { cause: Some(cause("t-60")), ..tick("cronjob/backup", 60, "Fired") };
    assert_eq!(reader.ticks(&TickFilter::default()), Ok(vec![row]));
    let by = reader.run(&object("job/a"), &cause("run-1")).unwrap().unwrap().origin;
    assert_eq!(by, OriginRow::Person(Arc::from("ann")));
    // What is new works, and what belongs together still does.
    queued(&writer, message("m1", 0));
    assert_eq!(claim(&writer, 1, 1).messages.len(), 1);
    assert_eq!(reader.run(&object(INBOX), &cause("m1")).unwrap().unwrap().origin, OriginRow::Message);
    writer.close();
    let raw = world.raw();
    let said: String = raw.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    raw.execute_batch("pragma foreign_keys = on; delete from runs where cause = '1'").unwrap();
    assert_eq!(
        world.reader().attempts(&object("workflow/release"), &cause("1")),
        Ok(vec![]),
        "attempts go with their run"
    );
}

/// As a store of this version made anew has them.
#[test]
fn a_store_that_was_brought_up_to_date_has_the_tables_of_a_new_one() {
    let tables = |world: &World| -> Vec<String> {
        done(&world.writer(), Write::Open);
        let raw = world.raw();
        let sql = "select sql from sqlite_master where sql is not null order by name";
        let mut statement = raw.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|sql| sql.unwrap()).collect()
    };
    assert_eq!(tables(&first_version()), tables(&World::new()));
}

#[test]
fn a_store_of_the_first_version_reads_as_one_without_messages() {
    let world = first_version();
    let reader = world.reader();
    assert_eq!((reader.queues(), reader.claimed_messages()), (Ok(vec![]), Ok(vec![])));
    assert_eq!(reader.messages(&MessageFilter::default()), Ok(vec![]));
    assert_eq!(reader.message(&object(INBOX), "m1"), Ok(None));
    let writer = world.writer();
    assert!(writer.ask(enqueue(message("m1", 0))).is_ok());
    assert_eq!(reader.queues().unwrap().len(), 1, "a reader that was there before");
    assert_eq!(reader.message(&object(INBOX), "m1").unwrap().unwrap().due, at(0));
}
