//! Files that are no store, or no longer: each is an error with a way out, and none of them is replaced.

use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use setpoint::store::{Books, EventFilter, Reader, RunFilter, Trouble, Write, Writer};

use crate::world::{World, done, event, fire, fire_tick, run};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A store with something in each table, closed.
fn filled() -> World {
    let world = World::new();
    let writer = world.writer();
    for n in 0..200 {
        writer.send(fire_tick("cronjob/backup", n), Box::new(|answer| assert!(answer.is_ok(), "{answer:?}")));
        let events = vec![event(&"x".repeat(200))];
        writer.send(Write::Events { events, kept: 10_000 }, Box::new(|answer| assert!(answer.is_ok(), "{answer:?}")));
    }
    writer.close();
    world
}

/// Both sides refuse the file with these words, and leave it as it is.
fn refused(world: &World, words: Expect) {
    let before = std::fs::read(&world.path).ok();
    let by_writer = world.writer().ask(Write::Open).expect_err("the writer takes it");
    let by_reader = Reader::open(&world.path).and_then(|reader| reader.events(&EventFilter::default()).map(|_| ()));
    assert_eq!(Some(&by_writer), by_reader.as_ref().err(), "reader and writer agree");
    assert_eq!(std::fs::read(&world.path).ok(), before, "the file was changed");
    words.assert_eq(&world.words(&by_writer));
}

#[test]
fn a_file_of_something_else_is_refused() {
    let world = World::new();
    std::fs::write(&world.path, "This is no database. ".repeat(100)).unwrap();
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: file is not a database
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
}

#[test]
fn an_empty_file_is_refused() {
    let world = World::new();
    std::fs::write(&world.path, "").unwrap();
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: it is empty, and a store never is
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
}

#[test]
fn a_folder_in_its_place_is_refused() {
    let world = World::new();
    std::fs::create_dir(&world.path).unwrap();
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: it is not a file
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
}

#[test]
fn a_database_of_another_program_is_refused() {
    let world = World::new();
    world.raw().execute_batch("create table runs (a); pragma user_version = 1").unwrap();
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: it is a database of another program
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
}

#[test]
fn a_store_of_an_earlier_version_is_read_and_then_brought_up_to_date() {
    let world = filled();
    world.raw().execute_batch("alter table runs drop column catches_up; alter table runs drop column result_size; pragma user_version = 2").unwrap();
    let runs = world.reader().runs(&RunFilter::default()).unwrap();
    assert!(!runs.is_empty() && runs.iter().all(|run| !run.catches_up));
    done(&world.writer(), Write::Open);
    let version: i64 = world.raw().query_row("pragma user_version", [], |row| row.get(0)).unwrap();
    let known = setpoint::store::schema::version();
    assert_eq!((version, world.reader().runs(&RunFilter::default()).unwrap()), (known, runs));
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let world = filled();
    world.raw().execute_batch("pragma user_version = 7").unwrap();
    // The shell's own checkpoint has to be over before the bytes are compared.
    refused(
        &world,
        expect![[r#"
        $T/store.db has schema 7, and this binary knows 4: nothing was changed
          help: use the newer setpoint that wrote it, or restore the file from before"#]],
    );
}

#[test]
fn a_zeroed_header_is_refused() {
    let world = filled();
    smash(&world.path, 0, &[0; 100]);
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: file is not a database
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
}

#[test]
fn a_log_without_its_database_is_refused() {
    let world = World::new();
    std::fs::write(beside(&world.path, "-wal"), "something").unwrap();
    refused(
        &world,
        expect![[r#"
            $T/store.db cannot be used as the store: it is gone, and its log is still there
              help: nothing was changed and what runs goes on; restore the file from a backup, or stop the controller and move $T/store.db, $T/store.db-wal and $T/store.db-shm away to begin an empty history, in which nothing has been done yet"#]],
    );
    assert!(!world.path.exists());
}

#[test]
fn half_a_store_is_refused() {
    let world = filled();
    let length = world.path.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&world.path).unwrap().set_len(length / 2 / 4096 * 4096).unwrap();
    let trouble = world.writer().ask(Write::Open).unwrap_err();
    assert!(matches!(trouble, Trouble::Corrupt { .. }), "{trouble}");
    assert_eq!(world.path.metadata().unwrap().len(), length / 2 / 4096 * 4096);
}

fn smash(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn damage_in_any_page_is_found_when_the_store_is_opened() {
    let world = filled();
    let whole = std::fs::read(&world.path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 20, "{pages}");
    let mut found = 0;
    for page in 1..pages {
        std::fs::write(&world.path, &whole).unwrap();
        smash(&world.path, page as u64 * 4096, &[0xff; 64]);
        match world.writer().ask(Write::Open) {
            Err(Trouble::Corrupt { .. }) => found += 1,
            other => assert!(other.is_ok(), "{other:?}"),
        }
        assert_eq!(world.path.metadata().unwrap().len(), whole.len() as u64);
    }
    // A page that is free may hold anything.
    assert!(found >= pages - 3, "{found} of {pages}");
}

#[test]
fn damage_that_comes_later_is_an_answer_and_the_writer_lives_on() {
    // More than a connection keeps in memory, so that the damage is met.
    let world = World::new();
    let writer = world.writer();
    for _ in 0..10 {
        done(&writer, Write::Events { events: vec![event(&"x".repeat(4_000)); 200], kept: 10_000 });
    }
    writer.close();
    let writer = world.writer();
    done(&writer, Write::Open);
    let whole = std::fs::read(&world.path).unwrap();
    smash(&world.path, 4096, &vec![0xff; whole.len() - 4096]);
    for _ in 0..3 {
        let all_but_ten = Write::Events { events: vec![event("x"); 2_000], kept: 10 };
        let trouble = writer.ask(all_but_ten).unwrap_err();
        assert!(matches!(trouble, Trouble::Corrupt { .. }), "{trouble}");
    }
    // Somebody puts the file back, as the words say.
    for suffix in ["-wal", "-shm"] {
        _ = std::fs::remove_file(beside(&world.path, suffix));
    }
    std::fs::remove_file(&world.path).unwrap();
    std::fs::write(&world.path, &whole).unwrap();
    done(&writer, fire(run("job/migrate", "9", 9)));
}

#[test]
fn a_store_that_is_moved_away_under_its_writer_is_noticed_before_anything_is_lost() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    let away = world.folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        std::fs::rename(beside(&world.path, suffix), away.join(format!("store.db{suffix}"))).unwrap();
    }
    let trouble = writer.ask(fire(run("job/migrate", "2", 1))).unwrap_err();
    expect![[r#"
        $T/store.db is no longer the store that was in use: it is gone
          help: what runs goes on, and no run begins; put the store back, with its own $T/store.db-wal or without one, and it is used within seconds; or begin an empty history, in which nothing has been done yet: setpoint controller restart"#]]
    .assert_eq(&world.words(&trouble));
    assert!(matches!(writer.ask(Write::Look), Err(Trouble::Moved { .. })));
    assert_eq!((writer.is_in_place(), world.path.exists()), (Some(false), false), "none is made in its place");
    // Another writer begins afresh, and this one goes on with what that has made.
    done(&world.writer(), fire(run("job/migrate", "2", 1)));
    done(&writer, fire(run("job/migrate", "3", 2)));
    let causes = |reader: Reader| -> Vec<String> {
        reader.open_runs().unwrap().iter().map(|run| run.cause.to_string()).collect()
    };
    assert_eq!(causes(world.reader()), ["2", "3"]);
    assert_eq!(causes(Reader::open(&away.join("store.db")).unwrap()), ["1"]);
    // Only the database: half of it is there, and nothing is made beside that.
    std::fs::remove_file(&world.path).unwrap();
    assert!(matches!(writer.ask(Write::Open), Err(Trouble::Moved { .. })));
    let trouble = writer.ask(Write::Open).unwrap_err();
    assert!(trouble.to_string().contains("it is gone, and its log is still there"), "{trouble}");
}

#[test]
fn a_torn_log_loses_its_torn_end_and_nothing_else() {
    let world = World::new();
    let writer = world.writer();
    for n in 0..20 {
        done(&writer, fire(run("job/migrate", &n.to_string(), n)));
    }
    // As after a power cut: the files as they are, and no process that knows them.
    let (whole, log) = (std::fs::read(&world.path).unwrap(), std::fs::read(beside(&world.path, "-wal")).unwrap());
    writer.close();
    let mut counts = Vec::new();
    for length in (0..log.len()).step_by(997) {
        let torn = World::new();
        std::fs::write(&torn.path, &whole).unwrap();
        std::fs::write(beside(&torn.path, "-wal"), &log[..length]).unwrap();
        let runs = torn.reader().runs(&RunFilter::default()).unwrap();
        let expected: Vec<String> = (0..runs.len()).rev().map(|n| n.to_string()).collect();
        assert_eq!(runs.iter().map(|run| run.cause.to_string()).collect::<Vec<_>>(), expected, "a hole at {length}");
        let writer = Writer::start(&torn.path).unwrap();
        done(&writer, fire(run("job/migrate", "99", 99)));
        assert_eq!(torn.reader().runs(&RunFilter::default()).unwrap().len(), runs.len() + 1);
        counts.push(runs.len());
    }
    assert!(counts.is_sorted() && counts.first() == Some(&0) && counts.last() >= Some(&19), "{counts:?}");
}

#[test]
fn two_writers_take_turns_and_one_that_waits_too_long_says_so() {
    let world = World::new();
    let (one, two) = (world.writer(), world.writer());
    for n in 0..100 {
        done(&one, fire(run("job/one", &n.to_string(), n)));
        done(&two, fire(run("job/two", &n.to_string(), n)));
    }
    assert_eq!(world.reader().open_runs().unwrap().len(), 200);
    let raw = world.raw();
    raw.execute_batch("begin immediate").unwrap();
    let trouble = one.ask(fire(run("job/one", "100", 100))).unwrap_err();
    expect![[r#"
        $T/store.db has been locked by another process for 5 s
          help: see who has it open (fuser $T/store.db); a sqlite3 shell in a transaction, or a backup, will do"#]]
    .assert_eq(&world.words(&trouble));
    assert_eq!(world.reader().open_runs().unwrap().len(), 200, "readers do not wait");
    raw.execute_batch("rollback").unwrap();
    done(&one, fire(run("job/one", "100", 100)));
}
