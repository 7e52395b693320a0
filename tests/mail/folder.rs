//! Files that are put into a folder become messages, each once, and are gone then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::world::{Dice, World};

/// How many files are dropped, and how often the controller is killed meanwhile.
const FILES: usize = 2000;
const KILLS: usize = 8;
const SEED: u64 = 11;

/// A mailbox whose messages append themselves to `marks`, and its drop folder.
fn mailbox(world: &World, more: &str) -> (PathBuf, PathBuf) {
    let marks = world.root().join("marks");
    let drop = world.manifests().join("drop");
    world.write(
        "inbox.yaml",
        &format!(
            "kind: Mailbox\nname: inbox\nfrom: [{{ folder: ./drop }}]\n\
             rules: [{{ match: any, run: 'cat >> {}' }}]\natOnce: 16\n{more}",
            marks.display()
        ),
    );
    world.apply();
    (drop, marks)
}

/// Puts a file into the folder as it should be done.
fn put(drop: &Path, name: &str, text: &str) {
    let fresh = drop.join("tmp").join(name);
    fs::write(&fresh, text).expect("a file");
    fs::rename(&fresh, drop.join(name)).expect("it is renamed");
}

fn with_tmp(drop: &Path) {
    fs::create_dir_all(drop.join("tmp")).expect("a folder");
}

/// How often each line was written.
fn lines(marks: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in fs::read_to_string(marks).unwrap_or_default().lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// The names in a folder, but for `tmp` and `failed`.
fn left(drop: &Path) -> Vec<String> {
    let entries = fs::read_dir(drop).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "tmp" && name != "failed");
    names.sort();
    names
}

fn reason(drop: &Path, name: &str) -> String {
    fs::read_to_string(drop.join("failed").join(format!("{name}.reason"))).unwrap_or_default()
}

#[test]
fn each_file_is_one_message_through_kills_of_the_controller() {
    let world = World::new();
    let (drop, marks) = mailbox(&world, "");
    with_tmp(&drop);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FILES {
                put(&drop, &format!("order {number}.txt"), &format!("{number}\n"));
                if number % 20 == 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let mut dice = Dice::new(SEED);
        for _ in 0..KILLS {
            let controller = world.launch(&[]);
            dice.pass(900_000);
            controller.kill();
        }
    });
    assert!(is_over.load(Ordering::Relaxed), "all were dropped");
    assert!(!left(&drop).is_empty(), "the kills came while there was something to take in");
    let _controller = world.controller();
    for goal in (0..=FILES).step_by(FILES / 20) {
        world.until(&format!("{goal} are done"), || lines(&marks).len() >= goal);
    }
    world.until("the folder is empty", || left(&drop).is_empty());
    let found = lines(&marks);
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "done more than once: {twice:?}\n{}", world.story());
    assert_eq!(found.len(), FILES);
    assert!(!drop.join("failed").exists(), "none was refused");
}

#[test]
fn what_is_being_written_is_not_read() {
    let world = World::new();
    let (drop, marks) = mailbox(&world, "");
    with_tmp(&drop);
    for name in [".hidden", "a.tmp", "b.part", "c~", "tmp/d"] {
        fs::write(drop.join(name), "unfinished\n").expect("a file");
    }
    // Nobody knows of this one whether it is complete.
    fs::write(drop.join("before"), "before\n").expect("a file");
    let _controller = world.controller();
    let mut slow = File::create(drop.join("slow")).expect("a file");
    writeln!(slow, "half").expect("it is written");
    put(&drop, "whole", "whole\n");
    fs::write(drop.join("at once"), "at once\n").expect("a file");
    world.until("the others are done", || {
        let found = lines(&marks);
        ["before", "whole", "at once"].iter().all(|line| found.get(*line) == Some(&1))
    });
    // It looks the same for longer than a file has to of which nothing was heard: another one shows that time has passed.
    fs::create_dir(drop.join("folder")).expect("a folder");
    world.until("the time has passed", || !reason(&drop, "folder").is_empty());
    assert_eq!(left(&drop), [".hidden", "a.tmp", "b.part", "c~", "slow"]);
    writeln!(slow, "and half").expect("it is written");
    std::mem::drop(slow);
    world.until("it is whole", || lines(&marks).get("and half") == Some(&1));
    fs::rename(drop.join("b.part"), drop.join("b")).expect("it is renamed");
    world.until("its name says that it is complete", || lines(&marks).get("unfinished") == Some(&1));
    assert_eq!(lines(&marks).values().sum::<usize>(), 6, "{:?}", lines(&marks));
}

#[test]
fn what_cannot_be_a_message_is_set_aside_with_the_reason() {
    let world = World::new();
    let (drop, marks) = mailbox(&world, "");
    with_tmp(&drop);
    let _controller = world.controller();
    put(&drop, "large", &"x".repeat(300 << 10));
    put(&drop, "fits", "fits\n");
    symlink("/etc/hostname", drop.join("link")).expect("a link");
    fs::create_dir(drop.join("folder")).expect("a folder");
    fs::write(drop.join("tmp/locked"), "locked\n").expect("a file");
    fs::set_permissions(drop.join("tmp/locked"), fs::Permissions::from_mode(0o0)).expect("its rights");
    // Whom nothing is locked to reads it.
    let is_locked = File::open(drop.join("tmp/locked")).is_err();
    fs::rename(drop.join("tmp/locked"), drop.join("locked")).expect("it is renamed");
    world.until("all are gone", || left(&drop).is_empty());
    world.until("the one that fits is done", || lines(&marks).get("fits") == Some(&1));
    for (name, why) in [
        ("large", "it has 307200 bytes, at most 262144 are taken"),
        ("link", "it is no regular file"),
        ("folder", "it is no regular file"),
    ] {
        assert!(drop.join("failed").join(name).symlink_metadata().is_ok(), "{name}");
        let told = reason(&drop, name);
        assert!(told.contains(why) && told.contains("mailbox/inbox") && told.contains("help: "), "{told}");
        let events = world.ok(&["events"]);
        let lines: Vec<&str> = events.lines().filter(|line| line.contains(&format!("drop/{name} "))).collect();
        assert!(lines.len() == 1 && lines[0].contains("mailbox.file-refused"), "{events}");
    }
    match is_locked {
        true => assert!(reason(&drop, "locked").contains("may not be read"), "{}", reason(&drop, "locked")),
        false => world.until("it is done", || lines(&marks).get("locked") == Some(&1)),
    }
    // Once the fault is mended, it is moved back; and what is refused again takes nothing's place.
    put(&drop, "large", &"y".repeat(300 << 10));
    world.until("the other is beside it", || drop.join("failed/large.1.reason").exists());
    let first = fs::read_to_string(drop.join("failed/large")).expect("the first");
    assert!(first.starts_with('x'), "the first is untouched");
}

#[test]
fn a_folder_that_is_missing_is_made_as_soon_as_it_can_be() {
    let world = World::new();
    let marks = world.root().join("marks");
    let drop = world.root().join("disk/drop");
    world.write(
        "inbox.yaml",
        &format!(
            "kind: Mailbox\nname: inbox\nfrom: [{{ folder: {} }}]\nrules: [{{ match: any, run: 'cat >> {}' }}]\n",
            drop.display(),
            marks.display()
        ),
    );
    world.apply();
    let _controller = world.controller();
    let told = |kind: &str| world.ok(&["events"]).lines().filter(|line| line.contains(kind)).count();
    world.until("somebody is told", || told("mailbox.source-failed") == 1);
    assert!(!drop.exists(), "nothing is made where a disk may be missing");
    fs::create_dir(world.root().join("disk")).expect("a folder");
    world.until("it is made", || drop.is_dir());
    assert_eq!(fs::metadata(&drop).expect("the folder").mode() & 0o777, 0o700);
    world.until("it is said", || told("mailbox.source-recovered") == 1);
    for name in ["first", "second"] {
        with_tmp(&drop);
        put(&drop, name, &format!("{name}\n"));
        world.until("it is done", || lines(&marks).get(name) == Some(&1));
        fs::remove_dir_all(&drop).expect("it is removed");
        world.until("it is made again", || drop.is_dir());
    }
    assert_eq!(told("mailbox.source-failed"), 1, "told once: {}", world.ok(&["events"]));
}

#[test]
fn a_full_queue_leaves_files_where_they_are_and_the_same_file_twice_is_two_messages() {
    let world = World::new();
    let (drop, marks) = mailbox(&world, "queueLimit: 2\nenabled: false\n");
    with_tmp(&drop);
    let _controller = world.controller();
    let mut expected = Vec::new();
    for number in 0..3 {
        put(&drop, "again", "again\n");
        if number < 2 {
            world.until("it is taken in", || left(&drop).is_empty());
        }
        expected.push("again");
    }
    world.until("it is said", || world.ok(&["events"]).contains("tried again: mailbox/inbox holds 2 messages"));
    assert_eq!(left(&drop), ["again"]);
    assert!(!drop.join("failed").exists(), "it is not its fault");
    mailbox(&world, "queueLimit: 2\n");
    world.until("all are done", || lines(&marks).get("again") == Some(&expected.len()));
    world.until("the last is gone, too", || left(&drop).is_empty());
}
