//! Which changes of files are told: each once, and none for the past.

use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::Value;

use crate::scene::Scene;

const FAST: &str = "watch: ROOT/tree\nsettle: 50ms\n";

#[test]
fn a_file_is_created_modified_renamed_and_deleted() {
    let scene =
        Scene::of("watch: \"ROOT/tree/**/*.rs\"\nsettle: 50ms\nrun: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told']\n");
    scene.put("tree/old.rs", "there before");
    let scene = scene.begun();
    scene.put("tree/a.rs", "1");
    scene.tells(0, &["create tree/a.rs"]);
    scene.put("tree/a.rs", "22");
    scene.tells(1, &["modify tree/a.rs"]);
    std::fs::rename(scene.path("tree/a.rs"), scene.path("tree/b.rs")).expect("a rename");
    scene.tells(2, &["delete tree/a.rs", "create tree/b.rs"]);
    std::fs::remove_file(scene.path("tree/b.rs")).expect("a delete");
    scene.tells(3, &["delete tree/b.rs"]);
    scene.put("tree/x.txt", "not watched");
    scene.fence();
    assert_eq!(scene.told().len(), 5, "what was there before is no change, nor is what is not watched");
}

#[test]
fn an_editor_that_renames_over_a_file_modifies_it() {
    let scene = Scene::new(FAST);
    scene.put("tree/a.rs", "1");
    scene.tells(0, &["create tree/a.rs"]);
    scene.put("tree/.a.rs.tmp", "2");
    std::fs::rename(scene.path("tree/.a.rs.tmp"), scene.path("tree/a.rs")).expect("a rename");
    scene.tells(1, &["modify tree/a.rs"]);
    // As vim does: a copy is kept while the file is written anew, and then removed.
    std::fs::rename(scene.path("tree/a.rs"), scene.path("tree/a.rs~")).expect("a rename");
    scene.put("tree/a.rs", "3");
    std::fs::remove_file(scene.path("tree/a.rs~")).expect("a delete");
    scene.tells(2, &["modify tree/a.rs"]);
}

#[test]
fn a_file_that_is_being_written_is_told_when_it_is_whole() {
    let scene = Scene::new("watch: ROOT/tree\nsettle: 1s\n");
    std::fs::create_dir_all(scene.path("tree")).expect("a folder");
    let mut file = std::fs::File::create(scene.path("tree/a")).expect("a file");
    for _ in 0..15 {
        std::io::Write::write_all(&mut file, b"half a line").expect("room");
        // This is what is under test: a writer that takes its time, yet never as long as is waited for.
        std::thread::sleep(Duration::from_millis(150));
    }
    drop(file);
    scene.tells(0, &["create tree/a"]);
    scene.fence();
    assert_eq!(scene.counts().get("modify tree/a"), None, "{:?}", scene.all());
}

#[test]
fn a_folder_that_never_rests_is_told_all_the_same() {
    let scene = Scene::new("watch: ROOT/tree\nsettle: 200ms\n");
    let mut number = 0;
    scene.world.until("something is told of a folder that never rests", || {
        number += 1;
        scene.put("tree/a", &number.to_string());
        !scene.told().is_empty()
    });
}

#[test]
fn folders_that_do_not_exist_yet_are_watched_all_the_same() {
    let scene = Scene::new("watch: [\"ROOT/tree/deep/**/*.rs\", ROOT/other/one.txt]\nsettle: 50ms\n");
    scene.put("tree/deep/er/a.rs", "");
    scene.tells(0, &["create tree/deep/er/a.rs"]);
    std::fs::remove_dir_all(scene.path("tree")).expect("a delete");
    scene.tells(1, &["delete tree/deep/er/a.rs"]);
    scene.put("tree/deep/b.rs", "");
    scene.tells(2, &["create tree/deep/b.rs"]);
    scene.put("other/two.txt", "");
    scene.put("other/one.txt", "");
    scene.tells(3, &["create other/one.txt"]);
}

#[test]
fn of_freshly_made_folders_no_file_is_missed_and_none_is_told_twice() {
    let scene =
        Scene::of("watch: ROOT/tree\nsettle: 20ms\nrun: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told; sleep 0.05']\n")
            .begun();
    for number in 0..2000 {
        scene.put(&format!("tree/{}/{}/{}/f{number}", number % 7, number % 31, number / 40), "");
    }
    // A message names at most 1000, and counts the rest.
    let total = || {
        let of =
            |told: &Value| told["changes"].as_array().map_or(0, Vec::len) as u64 + told["more"].as_u64().unwrap_or(0);
        scene.told().iter().map(of).sum::<u64>()
    };
    scene.world.until("all are told", || total() >= 2000);
    scene.fence();
    assert_eq!((total(), &scene.facts()["files"]), (2001, &Value::from(2001)));
    let counts = scene.counts();
    assert!(counts.iter().all(|(change, count)| change.starts_with("create") && *count == 1), "{counts:?}");
}

#[test]
fn links_to_files_count_and_links_to_folders_lead_nowhere() {
    let scene = Scene::of("watch: ROOT/way\nsettle: 50ms\nrun: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told']\n");
    scene.put("one/a", "");
    scene.put("two/a", "");
    // The way to the base may be a link; inside, one that leads back is no circle.
    symlink(scene.path("one"), scene.path("way")).expect("a link");
    symlink(scene.path("one"), scene.path("one/back")).expect("a link");
    let scene = scene.begun();
    scene.put("one/b", "");
    scene.tells(0, &["create way/b"]);
    assert_eq!(scene.facts()["files"], 2, "{}", scene.facts());
    // Swapped as a whole, as deployments are.
    symlink(scene.path("two"), scene.path("next")).expect("a link");
    std::fs::rename(scene.path("next"), scene.path("way")).expect("a rename");
    scene.tells(1, &["modify way/a", "delete way/b"]);
    scene.put("two/c", "");
    scene.tells(2, &["create way/c"]);
}

#[test]
fn what_is_ignored_is_not_told() {
    let scene = Scene::of(
        "watch: ROOT/tree\nignore: [\"*.tmp\", working/**]\nextensions: [rs, .txt]\nsettle: 50ms\n\
         run: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told']\n",
    );
    scene.put("tree/.git/HEAD", "");
    scene.put("tree/.gitignore", "build/\n*.txt\n!kept.txt\n");
    scene.put("tree/sub/.gitignore", "mine.rs\n");
    let scene = scene.begun();
    for file in [
        "tree/a.tmp",
        "tree/working/a.rs",
        "tree/.git/a.rs",
        "tree/node_modules/a.rs",
        "tree/build/a.rs",
        "tree/a.txt",
        "tree/sub/mine.rs",
        "tree/a.md",
    ] {
        scene.put(file, "");
    }
    scene.put("tree/sub/kept.txt", "");
    scene.tells(0, &["create tree/sub/kept.txt"]);
    // What is ignored no more has not changed for that.
    scene.put("tree/.gitignore", "build/\n");
    scene.fence();
    assert_eq!(scene.all().len(), 2, "{:?}", scene.all());
    scene.put("tree/a.txt", "changed");
    scene.tells(2, &["modify tree/a.txt"]);
}

#[test]
fn only_the_changes_that_are_asked_for_are_told() {
    let scene = Scene::new("watch: ROOT/tree\nchanges: [delete]\nsettle: 50ms\n");
    scene.put("tree/a", "");
    scene.world.until("it is seen", || scene.facts()["files"] == 1);
    std::fs::remove_file(scene.path("tree/a")).expect("a delete");
    scene.tells(0, &["delete tree/a"]);
}

#[test]
fn a_rule_that_is_edited_counts_at_once() {
    let scene = Scene::new("watch: ROOT/tree\nsettle: 50ms\n");
    scene.put("tree/a", "");
    scene.tells(0, &["create tree/a"]);
    let text = std::fs::read_to_string(scene.world.manifests().join("t.yaml")).expect("the manifest");
    scene.world.write("t.yaml", &text.replace("/tree", "/wood"));
    scene.world.apply();
    scene.world.until("it watches the other folder", || {
        scene.put("wood/b", "");
        scene.all().iter().any(|change| change.ends_with("wood/b"))
    });
}
