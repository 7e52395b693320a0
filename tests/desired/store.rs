//! Generations on the disk: torn files, dying and competing writers, bounds, revisions.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use expect_test::expect;
use setpoint::desired::generation::TOMBSTONES_MAX;
use setpoint::desired::{
    Author, GENERATIONS_MAX, Locked, Options, Parsed, Store, StoreError, Stored, change, revision,
};
use setpoint::engine::desired::Spec;
use setpoint::engine::{Coverage, ObjectRef};
use setpoint::home::{Home, Key};

use super::script::{World, many};

fn write(locked: &mut Locked, count: usize, run: &str) -> Arc<Stored> {
    let changes = change::plan(locked.base(), &many(count, Path::new("/f"), run), &Options::default()).unwrap();
    let draft = changes.draft(Author::caller(), &|_| BTreeMap::new()).unwrap();
    locked.commit(draft.expect("something changes")).unwrap()
}

fn files(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.home.desired()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_a_dead_writer_left_at_any_step_changes_nothing_and_is_cleared() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    write(&mut locked, 3, "one");
    let whole = std::fs::read(world.home.desired().join("0000000001.json")).unwrap();
    // Every length of a half-written draft, and a whole one that was never renamed.
    for length in [0, 1, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::write(world.home.desired().join(".draft.0123456789abcdef"), &whole[..length]).unwrap();
        let stored = world.store.read_current().unwrap();
        assert_eq!((stored.generation, stored.newest, stored.objects.len()), (1, 1, 3));
    }
    write(&mut locked, 3, "two");
    assert_eq!(files(&world), ["0000000001.json", "0000000002.json"]);
}

#[test]
fn a_torn_newest_file_falls_back_loudly_and_the_next_commit_heals() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    write(&mut locked, 2, "one");
    let second = write(&mut locked, 2, "two");
    drop(locked);
    let path = world.home.desired().join("0000000002.json");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len() - 1).step_by(7).map(|length| whole[..length].to_vec()).collect();
    damaged.push(vec![0; whole.len()]);
    damaged.push(std::fs::read(world.home.desired().join("0000000001.json")).unwrap());
    for bytes in damaged {
        std::fs::write(&path, bytes).unwrap();
        let stored = world.store.read_current().unwrap();
        assert_eq!((stored.generation, stored.newest), (1, 2));
        assert!(matches!(stored.coverage, Coverage::Partial { .. }));
    }
    let Coverage::Partial { why } = world.store.read_current().unwrap().coverage else { panic!("partial") };
    expect!["generation 2 is damaged, so 1 is used: $T/home/desired/0000000002.json: it says that it is generation 1"]
        .assert_eq(&why.replace(world.folder.path().to_str().unwrap(), "$T"));
    let options = Options { prune: true, ..Options::default() };
    let base = Arc::new(world.store.read_current().unwrap());
    let refusal = change::plan(&base, &many(1, Path::new("/f"), "x"), &options).unwrap_err().to_string();
    assert!(refusal.starts_with("--prune is refused: generation 2 is damaged"), "{refusal}");
    let mut locked = world.store.lock(&|_| ()).unwrap();
    let third = write(&mut locked, 2, "three");
    assert_eq!((third.generation, third.parent), (3, 1));
    let stored = world.store.read_current().unwrap();
    assert_eq!(stored.coverage, Coverage::Whole);
    assert_ne!(stored.objects, second.objects);
}

#[test]
fn all_generations_damaged_is_an_error_and_never_an_empty_machine() {
    let world = World::new();
    write(&mut world.store.lock(&|_| ()).unwrap(), 1, "one");
    std::fs::write(world.home.desired().join("0000000001.json"), "{").unwrap();
    let error = world.store.read_current().unwrap_err().to_string();
    expect![[r#"
        no generation in $T/home/desired can be read; the newest: $T/home/desired/0000000001.json: EOF while parsing an object at line 1 column 1
          help: restore the folder from a backup; what runs is left alone"#]].assert_eq(&error.replace(world.folder.path().to_str().unwrap(), "$T"));
}

#[test]
fn a_newer_format_is_neither_read_around_nor_written_over() {
    let world = World::new();
    write(&mut world.store.lock(&|_| ()).unwrap(), 1, "one");
    std::fs::write(world.home.desired().join("0000000002.json"), r#"{"version":2,"things":[]}"#).unwrap();
    let error = world.store.lock(&|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 2, .. }) && error.is_refusal());
    expect![[r#"
        $T/home/desired/0000000002.json has format 2, and this binary knows 1: nothing was changed
          help: use the newer setpoint that wrote it"#]]
    .assert_eq(&error.to_string().replace(world.folder.path().to_str().unwrap(), "$T"));
}

/// Not a test by itself: the writer that [`a_killed_writer_leaves_the_old_or_the_new_generation`] kills.
#[test]
fn writer() {
    let Some(home) = std::env::var_os("TEST_WRITER_HOME") else { return };
    let store = Store::open(&Home::open(Some(Path::new(&home))).unwrap());
    for round in 0.. {
        let mut locked = store.lock(&|_| ()).unwrap();
        let stored = write(&mut locked, 200, &format!("round {round} of {}", std::process::id()));
        println!("wrote {}", stored.generation);
    }
}

#[test]
fn a_killed_writer_leaves_the_old_or_the_new_generation() {
    let world = World::new();
    for seed in 0..30_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::writer", "--exact", "--nocapture"])
            .env("TEST_WRITER_HOME", world.home.root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // After a seeded number of bytes of its words, and a seeded spin, it dies somewhere in a commit.
        let mut words = vec![0; 120 + usize::try_from(seed * 7 % 40).unwrap()];
        child.stdout.as_mut().unwrap().read_exact(&mut words).unwrap();
        let began = Instant::now();
        while began.elapsed().as_micros() < u128::from(seed * 131 % 4000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let stored = world.store.read_current().unwrap();
        assert_eq!(stored.coverage, Coverage::Whole, "seed {seed}");
        assert_eq!(stored.generation, stored.newest);
        assert_eq!(stored.objects.len(), 200);
    }
    // The lock died with its holder, and what it left is cleared by whoever comes next.
    write(&mut world.store.lock(&|_| ()).unwrap(), 200, "last");
    assert!(files(&world).iter().all(|name| !name.starts_with('.')), "{:?}", files(&world));
}

#[test]
fn twenty_parallel_applies_lose_nothing() {
    let world = World::new();
    let threads: Vec<_> = (0..20)
        .map(|n| {
            let (store, word) = (world.store.clone(), format!("s{n}=run"));
            let batch = world.request(&["stdin", &word]).batch;
            std::thread::spawn(move || {
                let mut locked = store.lock(&|_| ()).unwrap();
                let changes = change::plan(locked.base(), &batch, &Options::default()).unwrap();
                let draft = changes.draft(Author::caller(), &|_| BTreeMap::new()).unwrap().unwrap();
                locked.commit(draft).unwrap().generation
            })
        })
        .collect();
    let mut generations: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    generations.sort_unstable();
    assert_eq!(generations, (1..=20).collect::<Vec<u64>>());
    assert_eq!(world.store.read_current().unwrap().objects.len(), 20);
}

#[test]
fn a_waiting_writer_says_for_whom_and_gets_its_turn() {
    let world = World::new();
    let holder = std::sync::Mutex::new(Some(world.store.lock(&|_| ()).unwrap()));
    let told = std::sync::Mutex::new(String::new());
    let locked = world.store.lock(&|text| {
        told.lock().unwrap().push_str(text);
        // Only now the first writer ends, so this shows that one is told while waiting.
        holder.lock().unwrap().take();
    });
    assert_eq!(locked.unwrap().base().generation, 0);
    let expected =
        format!("waiting for another setpoint (pid {}) that is writing the desired state", std::process::id());
    assert_eq!(told.into_inner().unwrap(), expected);
}

#[test]
fn generations_and_tombstones_are_bounded() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    let changes = change::plan(locked.base(), &many(1100, Path::new("/f"), "x"), &Options::default()).unwrap();
    locked.commit(changes.draft(Author::caller(), &|_| BTreeMap::new()).unwrap().unwrap()).unwrap();
    let ids: Vec<ObjectRef> = locked.base().objects.keys().cloned().collect();
    for part in ids.chunks(10) {
        let draft =
            setpoint::desired::edit::delete(locked.base(), part, setpoint::desired::edit::Fate::Stop, Author::caller())
                .unwrap();
        locked.commit(draft).unwrap();
    }
    let stored = world.store.read_current().unwrap();
    assert_eq!(stored.tombstones.len(), TOMBSTONES_MAX);
    assert!(stored.tombstones.values().all(|tombstone| tombstone.generation > 11), "the oldest went first");
    assert_eq!(world.store.numbers().unwrap().len(), GENERATIONS_MAX);
}

#[test]
fn a_draft_for_another_generation_is_not_written() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    let changes = change::plan(locked.base(), &many(1, Path::new("/f"), "x"), &Options::default()).unwrap();
    let draft = changes.draft(Author::caller(), &|_| BTreeMap::new()).unwrap().unwrap();
    locked.commit(draft.clone()).unwrap();
    let error = locked.commit(draft).unwrap_err();
    assert!(matches!(error, StoreError::Stale { planned: 1, current: 2 }));
}

#[test]
fn revisions_of_this_rule_never_change() {
    let key = Key::new(&[7; 32]);
    let mut text = String::new();
    for (kind, input) in [("service", r#"{"run":"sleep 1"}"#), ("service", ""), ("job", r#"{"run":"sleep 1"}"#)] {
        text.push_str(&format!("{}\n", revision::revisions(&key, kind, input)[0]));
    }
    expect![[r#"
        1:674149aaa501f018
        1:743d3c66d9642c39
        1:814fb85ed6f1170b
    "#]]
    .assert_eq(&text);
    let other = revision::revisions(&Key::new(&[8; 32]), "service", "");
    assert_ne!(other, revision::revisions(&key, "service", ""));
}

#[test]
fn an_object_that_cannot_be_parsed_is_opaque_and_one_unchanged_is_not_parsed_again() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    write(&mut locked, 3, "one");
    let mut parsed = Parsed::default();
    let first = parsed.to_engine(&world.store.read_current().unwrap(), world.home.key());
    write(&mut locked, 3, "two");
    let path = world.home.desired().join("0000000002.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let newer = text.replacen(r#""name":"s1""#, r#""name":"s1","future":1"#, 1);
    let newer = newer.replace(r#""name":"s2","#, r#""name":"s2","labels":{"a":"b"},"#);
    std::fs::write(&path, newer.replacen(r#""spec":{"dir""#, r#""spec":{"flux":9,"dir""#, 1)).unwrap();
    let second = parsed.to_engine(&world.store.read_current().unwrap(), world.home.key());
    let at = |name: &str| ObjectRef::new("service", name).unwrap();
    let is_opaque = matches!(second.objects[&at("s0")].spec, Spec::Opaque { .. });
    assert!(is_opaque && second.objects[&at("s0")].revisions.is_empty());
    for name in ["s1", "s2"] {
        assert!(Arc::ptr_eq(&first.objects[&at(name)], &second.objects[&at(name)]), "{name}");
    }
}

#[test]
fn ten_thousand_objects_are_reported() {
    let world = World::new();
    let mut locked = world.store.lock(&|_| ()).unwrap();
    let mut parsed = Parsed::default();
    let mut report = String::new();
    let mut timed = |what: &str, work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        report.push_str(&format!("{what} {} ms  ", began.elapsed().as_millis()));
    };
    timed("plan and commit", &mut || drop(write(&mut locked, 10_000, "one")));
    let stored = world.store.read_current().unwrap();
    timed("read", &mut || drop(world.store.read_current().unwrap()));
    timed("parse", &mut || drop(parsed.to_engine(&stored, world.home.key())));
    timed("change one", &mut || drop(write(&mut locked, 10_000, "two")));
    let next = world.store.read_current().unwrap();
    timed("parse again", &mut || drop(parsed.to_engine(&next, world.home.key())));
    println!("10 000 objects: {report}");
    assert_eq!(next.objects.len(), 10_000);
}
