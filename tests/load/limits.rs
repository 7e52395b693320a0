//! Inputs that are too large, too deep, or no files at all.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use setpoint::load::{Form, load, load_text};
use tempfile::TempDir;

use crate::{bare, here, told};

/// Far above what any of this takes, far below what it would take unbounded.
const SOON: Duration = Duration::from_secs(20);

fn soon<T>(work: impl FnOnce() -> T) -> T {
    let before = Instant::now();
    let done = work();
    assert!(before.elapsed() < SOON, "took {:?}", before.elapsed());
    done
}

/// What is said about a path, with the folder of the test cut out.
fn told_of(folder: &TempDir, path: &Path) -> String {
    let text = match soon(|| load(&[path.to_owned()], &here())) {
        Ok(loaded) => crate::list(&loaded),
        Err(problems) => problems.to_string(),
    };
    bare(&text.replace(folder.path().to_str().expect("utf-8"), "TMP"))
}

fn check(text: &str, expect: Expect) {
    expect.assert_eq(&soon(|| told(text)));
}

#[test]
fn aliases_that_multiply() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        let copies = vec![format!("*{before}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{copies}]\n"));
    }
    check(
        &bomb,
        expect![[r#"
        error: the aliases of this document multiply into too much
         --> <stdin>:5:28
          |
        5 | e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
          |                            ^^
          |
          = help: write out what is meant; a manifest is small

        1 error in 1 of 1 file.
    "#]],
    );
    // Few nodes, but much text.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(900_000), vec!["*a"; 1000].join(", "));
    assert!(soon(|| told(&long)).contains("multiply into too much"));
}

#[test]
fn aliases_that_nest() {
    let mut deep = "a0: &a0 [[[[[[[[x]]]]]]]]\n".to_owned();
    for level in 1..2000 {
        deep.push_str(&format!("a{level}: &a{level} [[[[[[[[*a{}]]]]]]]]\n", level - 1));
    }
    assert!(soon(|| told(&deep)).contains("nested deeper than 64 levels"));
}

#[test]
fn deep_nesting() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(soon(|| told(&text)).contains("nested deeper than 64 levels"));
    }
    let stairs: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(soon(|| told(&stairs)).contains("nested deeper than 64 levels"));
    let json = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert!(soon(|| load_text(json.as_bytes(), Form::Json, &here())).is_err());
}

#[test]
fn shapes_that_make_parsers_slow() {
    let mut texts = vec!["? ".repeat(20_000), "&a ".repeat(50_000), "\"".repeat(50_001), "a: b: ".repeat(20_000)];
    texts.push("!".repeat(100_000));
    texts.push("[a, ".repeat(60) + &"x, ".repeat(100_000));
    texts.push(format!("k: {}", "x ".repeat(200_000)));
    texts.push((0..20_000).map(|n| format!("k{n}: v\n")).collect());
    texts.push("%TAG ! x\n".repeat(20_000));
    texts.push("---\n".repeat(100_000));
    texts.push("*a\n---\n".repeat(50_000));
    texts.push("#\n".repeat(200_000));
    for text in texts {
        let _ = soon(|| told(&text));
    }
}

#[test]
fn ten_thousand_documents_in_one_file() {
    let text: String = (0..10_000).map(|n| format!("kind: Service\nname: s{n}\nrun: x\n---\n")).collect();
    let loaded = soon(|| crate::load(&text)).expect("good");
    assert_eq!(loaded.manifests.len(), 10_000);
}

#[test]
fn more_errors_than_anyone_reads() {
    let text: String = (0..5000).map(|n| format!("kind: Service\nname: s{n}\nrum: x\n---\n")).collect();
    let told = soon(|| told(&text));
    assert_eq!(told.matches("error: ").count(), 20);
    assert!(told.ends_with("... and 4980 more\n\n5000 errors in 1 of 1 file.\n"), "{told}");
}

#[test]
fn thousands_of_errors_in_one_object() {
    let head = "kind: Service\nname: a\nrun: x\n";
    let lists: String = (0..15_000).map(|n| format!("  A{n}: []\n")).collect();
    let names: String = (0..15_000).map(|n| format!("  {n}: x\n")).collect();
    let unknown: String = (0..15_000).map(|n| format!("x{n}: y\n")).collect();
    for text in [format!("{head}env:\n{lists}"), format!("{head}env:\n{names}"), format!("{head}{unknown}")] {
        assert!(soon(|| told(&text)).matches("error: ").count() == 20);
    }
}

#[test]
fn a_file_of_a_hundred_megabytes() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("big.yaml");
    File::create(&path).and_then(|file| file.set_len(100 << 20)).expect("sparse");
    expect![[r#"
        error: this is larger than 1 MiB, so it was not read
        --> TMP/big.yaml
         = help: split it, or move it out of the folder

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&told_of(&folder, &path));
    expect![[r#"
        error: this is larger than 1 MiB, so it was not read
        --> TMP/big.yaml
         = help: split it, or move it out of the folder

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&told_of(&folder, folder.path()));
}

#[test]
fn what_is_no_file() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path.join("fifo.yaml"), rustix::fs::FileType::Fifo, mode, 0).expect("fifo");
    let _listener = UnixListener::bind(path.join("socket.yaml")).expect("socket");
    symlink("/dev/zero", path.join("zero.yaml")).expect("link");
    expect![[r#"
        error: this is a FIFO, not a file
        --> TMP/fifo.yaml
         = help: name a regular file, or pipe it in and name `-`

        error: this is a socket, not a file
        --> TMP/socket.yaml
         = help: name a regular file, or pipe it in and name `-`

        error: this is a device, not a file
        --> TMP/zero.yaml
         = help: name a regular file, or pipe it in and name `-`

        3 errors in 3 of 3 files.
    "#]]
    .assert_eq(&told_of(&folder, path));
    expect![[r#"
        error: there is no such file or folder
        --> TMP/none.yaml
         = help: check the path

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&told_of(&folder, &path.join("none.yaml")));
}

#[test]
fn links_that_loop_or_lead_nowhere() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path();
    fs::create_dir(path.join("a")).expect("folder");
    symlink("..", path.join("a/up")).expect("link");
    symlink("self.yaml", path.join("self.yaml")).expect("link");
    symlink("gone", path.join("gone.yaml")).expect("link");
    symlink("ada@host.1", path.join(".#lock.yaml")).expect("link");
    symlink("gone", path.join("gone.txt")).expect("link");
    let told = told_of(&folder, path);
    expect![[r#"
        error: this link leads back to TMP
        --> TMP/a/up
         = help: remove the link

        error: this link leads nowhere: No such file or directory (os error 2)
        --> TMP/gone.yaml
         = help: remove the link, or restore its target

        error: this link leads nowhere: Too many levels of symbolic links (os error 40)
        --> TMP/self.yaml
         = help: remove the link, or restore its target

        3 errors in 3 of 3 files.
    "#]]
    .assert_eq(&told);
}

#[test]
fn bytes_that_are_no_text() {
    let read = |bytes: &[u8]| bare(&load_text(bytes, Form::Yaml, &here()).expect_err("bad").to_string());
    expect![[r#"
        error: this is a NUL byte
         --> <stdin>:3:8
          |
        3 | run: "x
          |        ^
          |
          = help: is this a binary file? manifests are text

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&read(b"kind: Service\nname: a\nrun: \"x\0\"\n"));
    expect![[r#"
        error: this is not UTF-8
         --> <stdin>:2:10
          |
        2 | name: caf
          |          ^
          |
          = help: save the file as UTF-8: iconv -f LATIN1 -t UTF-8 FILE

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&read(b"kind: Service\nname: caf\xe9\n"));
    expect![[r#"
        error: this is UTF-16, not UTF-8
        --> <stdin>
         = help: save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&read(b"\xff\xfek\0i\0n\0d\0"));
}

#[test]
fn too_many_files_and_too_deep_folders() {
    let folder = TempDir::new().expect("folder");
    for n in 0..=10_001 {
        File::create(folder.path().join(format!("{n}.yaml"))).expect("file");
    }
    assert!(told_of(&folder, folder.path()).contains("more than 10000 manifests"));
    let folder = TempDir::new().expect("folder");
    let deep = (0..40).fold(folder.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).expect("folders");
    assert!(told_of(&folder, folder.path()).contains("deeper than 32 levels"));
}
