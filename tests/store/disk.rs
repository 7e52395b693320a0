//! Disks that are full, or may only be read.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use expect_test::expect;
use rustix::process::{Resource, getrlimit, setrlimit};
use setpoint::store::{Books, EventFilter, EventRow, Reader, Trouble, Write, Writer};

use crate::world::{World, done, event, fire, object, run};

/// Says to a test that it is the child, and where its store is.
const CHILD: &str = "SETPOINT_TEST_DISK";

fn large(n: usize) -> Write {
    let events = vec![EventRow { text: Arc::from("x".repeat(4_000)), ..event(&n.to_string()) }];
    Write::Events { events, kept: 10_000 }
}

/// Writes until the disk takes no more, twice in a row: the first time the log may be folded into the database, which
/// makes room. How many it took, and what it said.
fn fill(writer: &Writer) -> (usize, Trouble) {
    let (mut taken, mut was_full) = (0, false);
    for n in 0..100_000 {
        match writer.ask(large(n)) {
            Ok(_) => (taken, was_full) = (taken + 1, false),
            Err(trouble) if was_full => return (taken, trouble),
            Err(_) => was_full = true,
        }
    }
    panic!("the disk takes everything");
}

/// The full disk is an answer; what was there stays, nothing is there by half, and with room again it goes on.
fn full_and_free_again(path: &Path, free: impl FnOnce()) {
    let writer = Writer::start(path).expect("a thread");
    done(&writer, fire(run("job/migrate", "1", 0)));
    let (taken, trouble) = fill(&writer);
    assert!(matches!(trouble, Trouble::Disk { .. }), "{trouble}");
    assert!(trouble.to_string().contains("help: check that the disk is there, writable and not full"), "{trouble}");
    assert!(taken > 10, "{taken}");
    assert!(writer.counts().troubles >= 2 && writer.counts().events_dropped >= 2, "{:?}", writer.counts());
    let count = || Reader::open(path).unwrap().events(&EventFilter::default()).unwrap().len();
    assert_eq!(count(), taken);
    free();
    done(&writer, large(0));
    done(&writer, fire(run("job/migrate", "2", 1)));
    assert_eq!((count(), Reader::open(path).unwrap().open_runs().unwrap().len()), (taken + 1, 2));
    writer.close();
    let raw = rusqlite::Connection::open(path).unwrap();
    let said: String = raw.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
}

#[test]
fn a_file_that_may_not_grow_is_an_answer_and_no_more() {
    if let Some(path) = std::env::var_os(CHILD) {
        return full_and_free_again(Path::new(&path), || {
            let limit = getrlimit(Resource::Fsize);
            setrlimit(Resource::Fsize, rustix::process::Rlimit { current: limit.maximum, ..limit }).expect("more room");
        });
    }
    let world = World::new();
    // The limit counts half KiB; its signal would end the process before SQLite hears of the error.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 800; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args(["disk::a_file_that_may_not_grow_is_an_answer_and_no_more", "--exact", "--nocapture"]);
    let said = command.env(CHILD, &world.path).stdin(Stdio::null()).output().expect("a child");
    let words = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && words.contains("1 passed"), "{words}");
}

/// A small disk in the memory; none, with the reason printed, where that is refused.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Option<Mount> {
        Mount::mount(&["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"], at).then(|| Mount(at.to_owned()))
    }

    fn mount(words: &[&str], at: &Path) -> bool {
        let said = Command::new("mount").args(words).arg(at).output();
        let is_done = said.is_ok_and(|said| said.status.success());
        if !is_done {
            println!("skipped: cannot mount");
        }
        is_done
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_an_answer_and_no_more() {
    let world = World::new();
    let Some(_mount) = Mount::new(world.folder.path()) else { return };
    let ballast = world.folder.path().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    file.write_all(&[0; 300_000]).unwrap();
    drop(file);
    full_and_free_again(&world.path, || std::fs::remove_file(&ballast).unwrap());
}

#[test]
fn a_disk_with_no_room_for_a_first_store_leaves_nothing_behind() {
    let world = World::new();
    let Some(_mount) = Mount::new(world.folder.path()) else { return };
    let ballast = world.folder.path().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write(&[0; 4096]).is_ok_and(|length| length > 0) {}
    drop(file);
    let writer = world.writer();
    let trouble = writer.ask(Write::Open).unwrap_err();
    assert!(matches!(trouble, Trouble::Disk { .. }), "{trouble}");
    let names: Vec<_> =
        std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ballast"]);
    std::fs::remove_file(&ballast).unwrap();
    done(&writer, Write::Open);
}

#[test]
fn where_nothing_may_be_written_a_whole_store_is_read_and_a_part_is_refused() {
    let world = World::new();
    let Some(_mount) = Mount::new(world.folder.path()) else { return };
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    writer.close();
    if !Mount::mount(&["-o", "remount,ro"], world.folder.path()) {
        return;
    }
    assert_eq!(world.reader().open_runs().unwrap().len(), 1);
    let refused = world.writer().ask(Write::Open).unwrap_err();
    assert!(matches!(refused, Trouble::Disk { .. }), "{refused}");
    assert!(Mount::mount(&["-o", "remount,rw"], world.folder.path()));
    // What a killed controller leaves: a log with changes, and no index of it that this machine could use.
    let copy = world.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "2", 1)));
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", world.path.display()), copy.join(format!("store.db{suffix}"))).unwrap();
    }
    writer.close();
    assert!(Mount::mount(&["-o", "remount,ro"], world.folder.path()));
    let refused = Reader::open(&copy.join("store.db")).unwrap_err();
    expect![[r#"
        $T/copy/store.db lies where nothing may be written, and its last changes are still in $T/copy/store.db-wal
          help: copy the folder to where it may be written, and read it there with --home DIR"#]]
    .assert_eq(&world.words(&refused));
    let elsewhere = World::new();
    for suffix in ["", "-wal"] {
        let from = copy.join(format!("store.db{suffix}"));
        std::fs::copy(from, format!("{}{suffix}", elsewhere.path.display())).unwrap();
    }
    assert_eq!(elsewhere.reader().open_runs().unwrap().len(), 2, "as its words say");
}

#[test]
fn a_store_in_use_is_read_from_where_it_may_not_be_written() {
    let (world, seen) = (World::new(), World::new());
    let (live, fixed) = (world.folder.path(), seen.folder.path());
    if !Mount::mount(&["--bind", live.to_str().unwrap()], fixed) {
        return;
    }
    let _mount = Mount(fixed.to_owned());
    if !Mount::mount(&["-o", "remount,bind,ro"], fixed) {
        return;
    }
    let writer = world.writer();
    for n in 0..3 {
        done(&writer, fire(run("job/migrate", &n.to_string(), n)));
        assert_eq!(seen.reader().open_runs().unwrap().len() as u64, n + 1, "what is in the log alone is read too");
    }
}

#[test]
fn the_store_is_for_its_owner_only() {
    let world = World::new();
    let writer = world.writer();
    done(&writer, fire(run("job/migrate", "1", 0)));
    let reader = world.reader();
    assert!(reader.run(&object("job/migrate"), &crate::world::cause("1")).unwrap().is_some());
    for suffix in ["", "-wal", "-shm"] {
        let mode = std::fs::metadata(format!("{}{suffix}", world.path.display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "store.db{suffix}");
    }
}
