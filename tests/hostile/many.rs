//! Very many objects, only recorded.

use std::time::Instant;

use crate::world::{World, service};

#[test]
fn ten_thousand_objects_are_recorded_and_compared() {
    let world = World::new();
    let many =
        |from: usize| -> String { (from..from + 1000).map(|n| service(&format!("s{n:05}"), "sleep 1", "")).collect() };
    (0..10).for_each(|file| world.write(&format!("{file}.yaml"), &many(file * 1000)));
    for words in [
        &["validate", "-f", "manifests"][..],
        &["apply", "-f", "manifests", "--no-start", "-q"],
        &["diff", "-f", "manifests"],
        &["get", "-o", "name"],
        &["get", "-o", "json"],
        &["describe", "s09999"],
        &["history", "s09999"],
    ] {
        let begun = Instant::now();
        let out = world.ok(words);
        println!("10 000 objects: {} took {:.2} s", words.join(" "), begun.elapsed().as_secs_f64());
        if words.contains(&"name") {
            assert_eq!(out.lines().count(), 10_000);
        }
    }
    world.write("0.yaml", &many(0).replacen("sleep 1\n", "sleep 2\n", 1));
    let diff = world.run(&["diff", "-f", "manifests"]);
    assert!(diff.code == 1 && diff.out.contains("0 add, 1 change, 0 remove"), "{diff:?}");
}
