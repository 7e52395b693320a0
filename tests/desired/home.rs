//! Which folders may be a home, and what names it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use setpoint::home::{Home, Key, remote_filesystem};

fn folder_with_mode(path: &Path, mode: u32) {
    std::fs::create_dir_all(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_home_is_private_and_ours_or_refused_with_the_way_out() {
    let base = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut open = |name: &str| {
        let path = base.path().join(name);
        let said = match Home::open(Some(&path)) {
            Ok(home) => format!("opened, mode {:o}", home.root().metadata().unwrap().permissions().mode() & 0o7777),
            Err(error) => error.to_string(),
        };
        text.push_str(&format!("{name}: {}\n", said.replace(base.path().to_str().unwrap(), "$T")));
    };
    open("new/deeper");
    folder_with_mode(&base.path().join("shared"), 0o750);
    open("shared");
    folder_with_mode(&base.path().join("world"), 0o707);
    open("world");
    std::fs::write(base.path().join("file"), "").unwrap();
    open("file");
    std::os::unix::fs::symlink(base.path().join("shared"), base.path().join("link")).unwrap();
    open("link");
    std::os::unix::fs::symlink("new/deeper", base.path().join("good-link")).unwrap();
    open("good-link");
    std::fs::write(base.path().join("new/deeper/id"), "short").unwrap();
    open("new/deeper");
    expect![[r#"
        new/deeper: opened, mode 700
        shared: the home $T/shared is open to other users (mode 0750)
          help: chmod 700 $T/shared
        world: the home $T/world is open to other users (mode 0707)
          help: chmod 700 $T/world
        file: the home $T/file is not a folder
          help: give a folder with --home DIR
        link: the home $T/shared is open to other users (mode 0750)
          help: chmod 700 $T/shared
        good-link: opened, mode 700
        new/deeper: $T/new/deeper/id is damaged: it should hold 64 hex digits
          help: put the old file back; what runs is left alone
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_home_of_another_user_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("theirs");
    folder_with_mode(&path, 0o700);
    if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
        eprintln!("skipped: only root can give a folder away");
        return;
    }
    let error = Home::open(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("belongs to uid 12345"), "{error}");
}

#[test]
fn network_file_systems_are_known_by_number() {
    let names: Vec<_> = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0xef53, 0x0102_1994, 0x794c_7630]
        .map(remote_filesystem)
        .into();
    expect![[r#"[Some("NFS"), Some("CIFS"), Some("CIFS"), Some("9p"), Some("FUSE"), None, None, None]"#]]
        .assert_eq(&format!("{names:?}"));
}

#[test]
fn a_copied_home_has_another_id_and_the_same_key() {
    let base = tempfile::tempdir().unwrap();
    let (first, second) = (base.path().join("a"), base.path().join("b"));
    let original = Home::open(Some(&first)).unwrap();
    assert!(Command::new("cp").arg("-a").args([&first, &second]).status().unwrap().success());
    let copy = Home::open(Some(&second)).unwrap();
    assert_ne!(original.id(), copy.id());
    assert_eq!(original.key(), copy.key());
    assert_eq!(Home::open(Some(&first)).unwrap().id(), original.id());
    assert_eq!(original.id().len(), 16);
    assert_eq!(format!("{:?}", Key::new(b"secret")), "Key(..)");
}

#[test]
fn twenty_parallel_opens_agree() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("home");
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let home = Home::open(Some(&path)).unwrap();
                (home.id().to_owned(), home.key().bytes().to_vec())
            })
        })
        .collect();
    let mut seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1);
    let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["id", "key"], "no draft is left");
    for name in ["id", "key"] {
        assert_eq!(path.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn reading_creates_nothing_and_works_without_the_right_to_write() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("home");
    assert!(Home::open_existing(Some(&path)).unwrap().is_none());
    assert!(!path.exists());
    folder_with_mode(&path, 0o700);
    assert!(Home::open_existing(Some(&path)).unwrap().is_none());
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    let id = Home::open(Some(&path)).unwrap().id().to_owned();
    folder_with_mode(&path, 0o500);
    assert_eq!(Home::open_existing(Some(&path)).unwrap().unwrap().id(), id);
    assert_eq!(Home::open(Some(&path)).unwrap().id(), id);
}

#[test]
fn a_home_that_lost_its_name_or_key_is_refused_and_not_renamed() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("home");
    Home::open(Some(&path)).unwrap();
    std::fs::create_dir_all(path.join("records/service")).unwrap();
    std::fs::create_dir_all(path.join("desired/x")).unwrap();
    let mut text = String::new();
    for file in ["id", "key"] {
        let bytes = std::fs::read(path.join(file)).unwrap();
        std::fs::remove_file(path.join(file)).unwrap();
        for error in [Home::open(Some(&path)).unwrap_err(), Home::open_existing(Some(&path)).unwrap_err()] {
            text.push_str(&format!("{error}\n").replace(base.path().to_str().unwrap(), "$T"));
        }
        std::fs::write(path.join(file), bytes).unwrap();
    }
    expect![[r#"
        the home $T/home has lost its file `id`; with a new one nothing that runs would be recognised
          help: put the file back, or move the folder away and start afresh; what runs is left alone
        the home $T/home has lost its file `id`; with a new one nothing that runs would be recognised
          help: put the file back, or move the folder away and start afresh; what runs is left alone
        the home $T/home has lost its file `key`; with a new one nothing that runs would be recognised
          help: put the file back, or move the folder away and start afresh; what runs is left alone
        the home $T/home has lost its file `key`; with a new one nothing that runs would be recognised
          help: put the file back, or move the folder away and start afresh; what runs is left alone
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_long_path_has_its_socket_in_a_private_runtime_folder() {
    let base = tempfile::tempdir().unwrap();
    let short = Home::open(Some(&base.path().join("home"))).unwrap();
    assert_eq!(short.socket().unwrap(), short.root().join("controller.sock"));
    let long = Home::open(Some(&base.path().join("x".repeat(120)))).unwrap();
    let socket = long.socket().unwrap();
    assert!(socket.as_os_str().len() <= 100, "{}", socket.display());
    assert!(socket.ends_with(format!("{}.sock", long.id())));
    assert_eq!(socket.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}
