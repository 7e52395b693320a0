//! What is said of the store when it is damaged, gone, or of somebody else: everywhere, at once, and no more than is so.

use crate::world::{Said, World, service};

const WORK: &str = r#"
kind: Job
name: migrate
run: echo migrated >> ../count
---
kind: CronJob
name: hourly
schedule: "0 * * * *"
timeZone: UTC
run: 'true'
---
kind: Capability
name: greet
run: echo hello
---
"#;

/// A world with a Job that is done, a schedule and a service.
fn world() -> World {
    let world = World::new();
    world.write("work.yaml", WORK);
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world.apply();
    world.ok(&["wait", "--for", "done", "migrate"]);
    world.until("the schedule is counted", || {
        world.shell("setpoint get hourly -o json").out.contains("\"state\": \"Scheduled\"")
            && !world.ok(&["describe", "hourly"]).contains("its schedule is new")
    });
    world
}

/// The lines of `doctor` about the store.
fn doctor(world: &World) -> Vec<String> {
    let said = world.run(&["doctor"]);
    said.out.lines().filter(|line| line.contains("store")).map(|line| world.plain(line)).collect()
}

#[track_caller]
fn assert_said(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{said:?}");
    for word in words {
        assert!(said.out.contains(word) || said.err.contains(word), "no `{word}` in {said:?}");
    }
}

#[test]
fn doctor_says_how_the_store_is() {
    let world = World::new();
    world.write("work.yaml", WORK);
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    assert_eq!(doctor(&world), ["ok    there is no store yet; the first run makes it"]);
    world.ok(&["controller", "start"]);
    world.ok(&["wait", "--for", "done", "migrate"]);
    let lines = doctor(&world);
    let known = setpoint::store::schema::version();
    assert!(
        matches!(lines.as_slice(), [line] if line.starts_with(&format!("ok    store.db is whole: schema {known}, "))),
        "{lines:?}"
    );
    assert!(lines[0].contains(", 1 runs, "), "{lines:?}");
    world.ok(&["controller", "stop"]);
    let store = world.home().join("store.db");
    let whole = std::fs::read(&store).expect("a store");
    let newer = [&whole[..60], &7_u32.to_be_bytes(), &whole[64..]].concat();
    let foreign = [&whole[..68], &7_u32.to_be_bytes(), &whole[72..]].concat();
    let damaged = [&whole[..4096], &vec![0xff; whole.len() - 4096]].concat();
    for (bytes, what) in [
        (newer.as_slice(), &*format!("ROOT/home/store.db has schema 7, and this binary knows {known}")),
        (&foreign, "it is a database of another program"),
        (
            b"This is no database. It has many more words than the header of one would take, and says nothing of SQL.",
            "file is not a database",
        ),
        (&damaged, "ROOT/home/store.db cannot be used as the store: "),
        (b"", "it is empty, and a store never is"),
    ] {
        std::fs::write(&store, bytes).expect("another file");
        let lines = doctor(&world);
        assert!(matches!(lines.as_slice(), [line] if line.starts_with("fail  ") && line.contains(what)), "{lines:?}");
        assert!(lines[0].contains("  -> "), "no fix in {lines:?}");
        assert_eq!(world.run(&["doctor"]).code, 1);
    }
}

#[test]
fn a_store_that_is_taken_away_is_said_at_once_and_taken_up_when_it_is_back() {
    let world = world();
    let web = world.ready("web/0");
    let (home, away) = (world.home().display().to_string(), world.root().join("away").display().to_string());
    assert_eq!(world.shell(&format!("mkdir '{away}' && mv '{home}'/store.db* '{away}'")).code, 0);
    let status = world.run(&["controller", "status"]);
    assert_said(&status, 0, &["  ! store: no run begins, services go on: ", "store.db was moved, removed or replaced"]);
    assert_said(&world.run(&["get", "hourly"]), 0, &["Waiting: nothing can be written down, so nothing is begun"]);
    assert_said(&world.run(&["describe", "hourly"]), 0, &["cronjob/hourly  Waiting", "was moved, removed or replaced"]);
    assert_said(&world.run(&["runs"]), 1, &["runs cannot be told", "was moved, removed or replaced"]);
    // The first write notices, and from then on it is known.
    assert_said(&world.run(&["run", "greet", "--wait"]), 1, &["store.db is no longer the store that was in use"]);
    assert_said(&world.run(&["run", "greet", "--wait"]), 1, &["nothing can be written down"]);
    assert_said(&world.run(&["controller", "status"]), 0, &["  ! store: ", "it is gone"]);
    assert_said(&world.run(&["events", "--type", "store.*"]), 0, &["store.trouble", "services go on"]);
    assert!(doctor(&world).iter().any(|line| line.starts_with("fail") && line.contains("none begins")));
    assert!(!world.home().join("store.db").exists(), "another store was made in its place");
    assert_eq!(world.shell(&format!("mv '{away}'/store.db* '{home}'")).code, 0);
    world.until("it is taken up", || !world.ok(&["controller", "status"]).contains("! store"));
    assert_said(&world.run(&["run", "greet", "--wait"]), 0, &[]);
    assert_said(&world.run(&["events", "--type", "store.*"]), 0, &["store.recovered"]);
    assert_said(&world.run(&["get", "hourly"]), 0, &["Scheduled"]);
    assert_eq!(world.ready("web/0"), web, "the service was restarted");
    assert_eq!(std::fs::read_to_string(world.root().join("count")).expect("a count"), "migrated\n");
}

#[test]
fn a_store_of_other_bytes_is_said_everywhere_and_a_backup_is_taken_up() {
    let world = world();
    let home = world.home().display().to_string();
    let backup = "import sqlite3, sys; a, b = map(sqlite3.connect, sys.argv[1:]); a.backup(b); b.close()";
    let copy = format!("python3 -c '{backup}' '{home}/store.db' '{home}/backup'");
    if world.shell(&copy).code != 0 {
        return println!("skipped: nothing here makes a backup");
    }
    assert_eq!(world.shell(&format!("seq 9999 > '{home}/store.db'")).code, 0);
    let why = "file is not a database";
    assert_said(&world.run(&["get", "hourly"]), 0, &["Waiting: nothing can be written down, so nothing is begun", why]);
    assert_said(&world.run(&["describe", "hourly", "--at", "2026-01-01T03:00:00Z"]), 1, &["runs cannot be told", why]);
    assert_said(&world.run(&["run", "greet", "--wait"]), 1, &["its bytes are those of something else"]);
    assert_said(&world.run(&["controller", "status"]), 0, &["  ! store: "]);
    let replace = format!("rm '{home}'/store.db-*; mv '{home}/backup' '{home}/store.db'");
    assert_eq!(world.shell(&replace).code, 0);
    world.until("it is taken up", || !world.ok(&["controller", "status"]).contains("! store"));
    assert_said(&world.run(&["run", "greet", "--wait"]), 0, &[]);
    assert_said(&world.run(&["describe", "migrate"]), 0, &["job/migrate  Done"]);
    assert_eq!(std::fs::read_to_string(world.root().join("count")).expect("a count"), "migrated\n");
}
