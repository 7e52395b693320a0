//! Folders, sets, and reading again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use expect_test::{Expect, expect};
use setpoint::load::{Cache, FolderReading, SetSource, folder_set, load, load_folder};
use tempfile::TempDir;

use crate::{bare, here};

const GOOD: &str = "kind: Service\nname: NAME\nrun: x\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("folder");
    for (name, text) in files {
        write(&folder, name, text);
    }
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("parent")).expect("folders");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    fs::write(&path, text.replace("NAME", stem)).expect("file");
}

fn names(reading: &FolderReading) -> Vec<&str> {
    reading.manifests().map(|manifest| manifest.id.name()).collect()
}

fn check(files: &[(&str, &str)], expect: Expect) {
    let folder = folder(files);
    let text = match load(&[folder.path().to_owned()], &here()) {
        Ok(loaded) => format!("{}{:?}\n", crate::list(&loaded), loaded.set),
        Err(problems) => problems.to_string(),
    };
    let real = folder.path().canonicalize().expect("real");
    let text = text.replace(real.to_str().expect("utf-8"), "TMP");
    expect.assert_eq(&bare(&text.replace(folder.path().to_str().expect("utf-8"), "TMP")));
}

#[test]
fn files_in_order_and_nothing_else() {
    let files = [
        ("b.yaml", GOOD),
        ("a.yml", GOOD),
        ("sub/c.json", "{\"kind\": \"Service\", \"name\": \"c\", \"run\": \"x\"}"),
        ("d.md", "---\nkind: Service\nrun: x\n---\nWords.\n"),
        ("README.md", "# Words\n"),
        (".hidden.yaml", "nonsense"),
        (".git/x.yaml", "nonsense"),
        ("b.yaml~", "nonsense"),
        ("#b.yaml", "nonsense"),
        (".b.yaml.swp", "nonsense"),
        ("notes.txt", "nonsense"),
    ];
    check(
        &files,
        expect![[r#"
        service/a {"dir":"TMP","run":"x"}
        service/b {"dir":"TMP","run":"x"}
        service/d {"dir":"TMP","run":"x"}
        service/c {"dir":"TMP/sub","run":"x"}
        Folder(FolderSet { name: "TMP", folder: "TMP" })
    "#]],
    );
}

#[test]
fn sets() {
    check(
        &[("setpoint.yaml", "set: home\nprune: ask\n"), ("a.yaml", GOOD)],
        expect![[r#"
        service/a {"dir":"TMP","run":"x"}
        Folder(FolderSet { name: "home", folder: "TMP" })
    "#]],
    );
    check(
        &[("setpoint.yaml", "sett: home\ndefaults: {}\nset: a b\n")],
        expect![[r#"
        error: unknown field `sett` in setpoint.yaml
         --> TMP/setpoint.yaml:1:1
          |
        1 | sett: home
          | ^^^^ did you mean `set`?
          |
          = help: setpoint.yaml says `set: NAME`; manifests stand in other files

        error: `defaults` is not supported by this version yet
         --> TMP/setpoint.yaml:2:1
          |
        2 | defaults: {}
          | ^^^^^^^^
          |
          = help: remove it for now

        error: `set` is not a name
         --> TMP/setpoint.yaml:3:1
          |
        3 | set: a b
          | ^^^
          |
          = help: a name has 1 to 64 letters, digits, `-` or `_`

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        &[("sub/setpoint.yaml", "set: inner\n"), ("a.yaml", GOOD)],
        expect![[r#"
        error: this folder is a set of its own inside another
        --> TMP/sub/setpoint.yaml
         = help: apply that folder by itself, or remove the file

        1 error in 1 of 2 files.
    "#]],
    );
    check(
        &[("setpoint.yaml", "kind: Service\nname: setpoint\nrun: x\n")],
        expect![[r#"
        service/setpoint {"dir":"TMP","run":"x"}
        Folder(FolderSet { name: "TMP", folder: "TMP" })
    "#]],
    );
}

#[test]
fn several_arguments() {
    let (one, two) = (folder(&[("a.yaml", GOOD)]), folder(&[("b.yaml", GOOD)]));
    let set = |paths: &[&Path]| {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        load(&paths, &here()).expect("good").set
    };
    assert_eq!(set(&[&one.path().join("a.yaml")]), SetSource::Files);
    assert_eq!(set(&[one.path(), two.path()]), SetSource::Mixed);
    assert_eq!(set(&[one.path(), &two.path().join("b.yaml")]), SetSource::Mixed);
    for folder in [&one, &two] {
        write(folder, "setpoint.yaml", "set: both\n");
        assert_eq!(folder_set(folder.path()).expect("set").name.as_ref(), "both");
    }
    assert!(matches!(set(&[one.path(), two.path()]), SetSource::Folder(set) if &*set.name == "both"));
    // The same file by two ways is one file.
    let twice = load(&[one.path().to_owned(), one.path().join("a.yaml")], &here()).expect("good");
    assert_eq!(twice.manifests.len(), 1);
}

#[test]
fn one_object_in_two_files() {
    check(
        &[("a.yaml", GOOD), ("b.yaml", "kind: Service\nname: a\nrun: y\n")],
        expect![[r#"
        error: service/a is declared twice
        --> TMP/b.yaml:1:1
         = help: the first is at TMP/a.yaml:1:1; rename or remove one of them

        1 error in 1 of 2 files.
    "#]],
    );
}

#[test]
fn folders_of_manifests_are_where_processes_start() {
    let files = [("a.yaml", GOOD), ("sub/b.yaml", "kind: Service\nname: b\nrun: x\ndir: ../c/./d\n")];
    check(
        &files,
        expect![[r#"
        service/a {"dir":"TMP","run":"x"}
        service/b {"dir":"TMP/sub/../c/d","run":"x"}
        Folder(FolderSet { name: "TMP", folder: "TMP" })
    "#]],
    );
}

#[test]
fn a_broken_file_hides_no_other() {
    let folder =
        folder(&[("a.yaml", GOOD), ("b.yaml", "kind: Service\nname: b\n---\nkind: Service\nname: c\nrun: x\n")]);
    let reading = load_folder(folder.path(), &mut Cache::default());
    assert_eq!(names(&reading), ["a"]);
    assert!(!reading.is_whole);
    assert!(reading.listing.is_empty());
    let broken: Vec<bool> = reading.files.iter().map(|file| file.is_broken()).collect();
    assert_eq!(broken, [false, true]);
}

#[test]
fn reading_again_parses_what_changed() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let mut cache = Cache::default();
    let first = load_folder(folder.path(), &mut cache);
    assert!(first.is_whole);
    let again = load_folder(folder.path(), &mut cache);
    assert!(first.manifests().zip(again.manifests()).all(|(one, other)| Arc::ptr_eq(one, other)));
    // As long, and within the same tick of any clock.
    write(&folder, "a.yaml", "kind: Service\nname: a\nrun: y\n");
    let changed = load_folder(folder.path(), &mut cache);
    let specs: Vec<String> = changed.manifests().map(|manifest| manifest.spec["run"].to_string()).collect();
    assert_eq!(specs, ["\"y\"", "\"x\""]);
    fs::remove_file(folder.path().join("b.yaml")).expect("removed");
    assert_eq!(names(&load_folder(folder.path(), &mut cache)), ["a"]);
}

#[test]
fn a_twin_is_forgotten_when_it_goes() {
    let folder = folder(&[("a.yaml", GOOD), ("b.yaml", "kind: Service\nname: a\nrun: y\n")]);
    let mut cache = Cache::default();
    assert!(!load_folder(folder.path(), &mut cache).is_whole);
    fs::remove_file(folder.path().join("a.yaml")).expect("removed");
    let reading = load_folder(folder.path(), &mut cache);
    assert!(reading.is_whole);
    assert_eq!(names(&reading), ["a"]);
}

#[test]
fn a_folder_that_is_missing_or_closed() {
    let folder = folder(&[("a.yaml", GOOD), ("shut/b.yaml", GOOD)]);
    let gone = load_folder(&folder.path().join("gone"), &mut Cache::default());
    assert!(!gone.is_whole && gone.files.is_empty() && gone.set.is_none());
    assert_eq!(gone.listing.len(), 1);
    let shut = folder.path().join("shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).expect("mode");
    let reading = load_folder(folder.path(), &mut Cache::default());
    // Root reads everything; for anyone else the listing must say that it is not whole.
    let is_open = fs::read_dir(&shut).is_ok();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).expect("mode");
    assert_eq!(reading.is_whole, is_open);
    assert!(names(&reading).contains(&"a"));
}

#[test]
fn an_empty_folder_is_worth_a_word() {
    let folder = folder(&[]);
    let loaded = load(&[folder.path().to_owned()], &here()).expect("good");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(load_folder(folder.path(), &mut Cache::default()).is_whole);
}
