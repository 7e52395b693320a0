//! One process for each item, while items come and go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::processes::{self, Id};
use crate::strangers::{Stranger, told, watchers};
use crate::world::{Controller, Dice, PATIENCE, World, service};

/// A service that follows every artifact, and counts who does so already.
fn artifacts(world: &World) -> PathBuf {
    let folder = world.manifests().join("artifacts");
    std::fs::create_dir(&folder).expect("a folder");
    let more = "forEach: { glob: 'artifacts/*.jsonl' }\nadopt: { commandLine: 'tail -F {item}' }\nbackoff: { from: 10ms, giveUp: never }";
    world.write("w.yaml", &service("w", "[tail, -F, '{item}']", more));
    folder
}

fn touch(path: &Path) {
    std::fs::write(path, "").expect("a file");
}

#[test]
fn files_come_and_go_while_the_controller_is_killed_again_and_again() {
    let world = World::new();
    let folder = artifacts(&world);
    let mut dice = Dice::new(11);
    let mut files: BTreeSet<PathBuf> = (0..50).map(|n| folder.join(format!("a{n}.jsonl"))).collect();
    files.iter().for_each(|file| touch(file));
    let mut ever = files.clone();
    let mut launched: Vec<(PathBuf, Stranger)> = Vec::new();
    world.apply();
    let mut controller: Option<Controller> = Some(world.controller());
    for round in 0..40 {
        let some =
            files.iter().nth(usize::try_from(dice.below(files.len() as u64)).expect("small")).cloned().expect("one");
        let fresh = folder.join(format!("b{round}.jsonl"));
        ever.insert(fresh.clone());
        match dice.below(4) {
            0 => touch(&fresh),
            1 => {
                // Whoever launches a session watches it from its first moment.
                launched.push((fresh.clone(), Stranger::start(&world, &["tail", "-F", &fresh.display().to_string()])));
                touch(&fresh);
            }
            2 => {
                std::fs::rename(&some, &fresh).expect("it is there");
                files.remove(&some);
                launched.retain(|(file, _)| *file != some);
            }
            _ => {
                // Replaced as editors do: it is never gone.
                touch(&folder.join("draft"));
                std::fs::rename(folder.join("draft"), &some).expect("it is there");
                touch(&fresh);
            }
        }
        files.insert(fresh);
        if dice.below(3) == 0 {
            dice.pass(60_000);
            controller.take().into_iter().for_each(Controller::kill);
            controller = Some(world.launch(&[]));
        }
        for file in &ever {
            let all = watchers(file);
            assert!(all.len() <= 1, "round {round}: {} has {all:?}\n{}", file.display(), world.story());
        }
    }
    let is_right = || ever.iter().all(|file| watchers(file).len() == usize::from(files.contains(file)));
    world.until("every artifact has its watcher, and no other has", is_right);
    for (file, stranger) in &launched {
        assert_eq!(watchers(file), [stranger.id], "{} is watched by who launched it", file.display());
    }
    // What cannot be seen is not gone.
    let before: Vec<Id> = files.iter().flat_map(|file| watchers(file)).collect();
    std::fs::rename(&folder, world.root().join("away")).expect("it moves");
    world.until("it is said", || world.run(&["get"]).out.contains("Unknown"));
    let begun = std::time::Instant::now();
    // Longer than it takes an item to be gone: that nothing happens can only be waited for.
    world.until("the time of an item is over", || begun.elapsed().as_millis() > 3_500);
    assert!(before.iter().all(|id| processes::is_alive(*id)), "{}", world.story());
    std::fs::rename(world.root().join("away"), &folder).expect("it moves back");
    world.until("it is as before", || !world.run(&["get"]).out.contains("Unknown"));
    let after: Vec<Id> = files.iter().flat_map(|file| watchers(file)).collect();
    assert_eq!(before, after);
    assert!(PATIENCE > begun.elapsed(), "the slow net was not needed");
}

#[test]
fn replicas_become_items_and_items_replicas() {
    let world = World::new();
    let folder = world.manifests().join("items");
    std::fs::create_dir(&folder).expect("a folder");
    touch(&folder.join("one.x"));
    touch(&folder.join("7.x"));
    let run = "[sleep, '1000']";
    world.write("w.yaml", &service("w", run, "replicas: 2"));
    world.apply();
    let _controller = world.controller();
    world.ready("w/0");
    world.ready("w/1");
    world.write("w.yaml", &service("w", run, "forEach: { glob: 'items/*.x' }"));
    let said = world.run(&["diff", "-f", "manifests"]);
    assert!(said.out.contains("would start: 7-") && said.out.contains("one"), "{said:?}");
    assert!(said.out.contains("would stop: 0, 1"), "{said:?}");
    world.ok(&["apply", "-f", "manifests"]);
    let names = || world.get().into_keys().collect::<Vec<String>>();
    let of_items =
        |names: &[String]| names.len() == 2 && names[0].starts_with("service/w/7-") && names[1] == "service/w/one";
    world.until("there are the two items and no slot", || of_items(&names()));
    let one = world.ready("w/one");
    let short = world.run(&["restart", "w/one"]);
    assert!(short.code == 3 && short.err.contains("an instance is written service/w/one"), "{short:?}");
    assert_eq!(world.ok(&["restart", "service/w/one"]), "service/w/one is to be restarted\n");
    world.until("it has been replaced", || world.attempts("w/one").len() == 2);
    assert!(!processes::is_alive(one));
    assert_eq!(world.attempts(&names()[0].replace("service/", "")).len(), 1, "the other one was not");
    assert_eq!(world.run(&["restart", "service/w/two"]).code, 3);
    world.ok(&["pause", "w"]);
    world.ok(&["wait", "w", "--for", "stopped"]);
    world.ok(&["resume", "w"]);
    world.ready("w/one");
    world.write("w.yaml", &service("w", run, "replicas: 1"));
    world.ok(&["apply", "-f", "manifests"]);
    world.until("there is the slot alone", || names() == ["service/w/0"]);
    world.write("w.yaml", &service("w", run, "forEach: { glob: 'items/*.x' }"));
    world.ok(&["apply", "-f", "manifests"]);
    world.ready("w/one");
    world.ok(&["delete", "w"]);
    assert!(names().is_empty());
}

#[test]
fn lines_of_a_command_are_items_and_a_failure_changes_nothing() {
    let world = World::new();
    let list = world.root().join("list");
    std::fs::write(&list, "one\n\ntwo three\n").expect("a file");
    let command = format!("forEach: {{ command: [sh, -c, 'cat {}'], every: 200ms, timeout: 2s }}", list.display());
    world.write("w.yaml", &service("w", "[sh, -c, 'echo got $0; exec sleep 1000', '{item}']", &command));
    world.apply();
    let unknown = world.run(&["get"]);
    assert!(unknown.out.contains("Unknown") && unknown.out.contains("only a controller runs"), "{unknown:?}");
    let controller = world.controller();
    let one = world.ready("w/one");
    let two = world.get().into_keys().find(|name| name.starts_with("service/w/two-three-")).expect("a name");
    world.until("it has its item as one argument", || world.run(&["logs", &two]).out.contains("got two three"));
    std::fs::remove_file(&list).expect("it is there");
    world.until("it is said", || told(&world, "w/one")["reason"].to_string().contains("sh: exited with 1"));
    assert!(processes::is_alive(one));
    controller.kill();
    std::fs::write(&list, "one\n").expect("a file");
    let _controller = world.controller();
    world.until("the other one has gone", || world.get().len() == 1);
    assert_eq!(world.ready("w/one"), one, "it ran through all of it");
}
