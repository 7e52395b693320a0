//! The life of a process that somebody else started and that counts.

use rustix::process::Signal;

use crate::processes;
use crate::strangers::{Stranger, told, watcher, watchers};
use crate::world::{Dice, World};

/// A world with a service that follows a file, and a process that does so already.
fn adopted() -> (World, Stranger) {
    let world = World::new();
    let file = world.root().join("file");
    let twin = follow(&world);
    world.write("w.yaml", &watcher(&file, ""));
    world.apply();
    (world, twin)
}

fn follow(world: &World) -> Stranger {
    Stranger::start(world, &["tail", "-F", &world.root().join("file").display().to_string()])
}

fn count(world: &World) -> usize {
    watchers(&world.root().join("file")).len()
}

#[test]
fn it_counts_over_restarts_and_ours_starts_when_it_ends() {
    let (world, twin) = adopted();
    let first = world.controller();
    world.ready("w/0");
    assert_eq!(told(&world, "w/0")["adopted"], true);
    first.kill();
    let controller = world.controller();
    world.ready("w/0");
    assert_eq!((world.instance("w/0").pid, count(&world)), (twin.pid(), 1));
    assert!(world.attempts("w/0").is_empty(), "nothing was started");
    twin.send(Signal::STOP);
    world.ok(&["restart", "w"]);
    assert_eq!((world.instance("w/0").pid, count(&world)), (twin.pid(), 1), "frozen, it counts; it is never touched");
    twin.die(&world);
    let ours = world.ready("w/0");
    assert_eq!((world.instance("w/0").shim.is_some(), count(&world)), (true, 1));
    // Ours runs, so who comes now is nobody.
    let late = follow(&world);
    controller.kill();
    let _controller = world.controller();
    world.ok(&["apply", "-f", "manifests"]);
    assert_eq!((world.ready("w/0"), count(&world)), (ours, 2));
    // Once ours has gone, it is somebody.
    processes::send(ours, Signal::KILL);
    world.until("the other one counts", || world.instance("w/0").pid == late.pid());
    assert_eq!(world.attempts("w/0").len(), 1, "it was not started again");
}

#[test]
fn verbs_that_leave_it_alone_say_so() {
    let (world, twin) = adopted();
    let _controller = world.controller();
    world.ready("w/0");
    let theirs = format!("process {} (tail) runs on: somebody else started it", twin.id.pid);
    for verb in ["restart", "pause"] {
        let said = world.run(&[verb, "w"]);
        assert!(said.code == 0 && said.err.contains(&theirs), "{verb}: {said:?}");
        assert!(!said.out.contains("to be restarted"), "{verb}: {said:?}");
    }
    world.ok(&["resume", "w"]);
    let table: [(&[&str], &str); 3] = [
        (&["attach", "w"], "which somebody else started: it has no way in"),
        (&["poke", "w", "hello"], "which somebody else started: it has no way in"),
        (&["logs", "w"], "was started by somebody else; its output is where they sent it"),
    ];
    for (words, expected) in table {
        let said = world.run(words);
        assert!(said.err.contains(expected), "{words:?}: {said:?}");
    }
    let top = world.ok(&["top", "w"]);
    assert!(top.contains("service/w/0") && top.contains(&twin.id.pid.to_string()), "{top}");
}

#[test]
fn of_two_nobody_can_tell_which_it_is() {
    let (world, twin) = adopted();
    let second = follow(&world);
    let _controller = world.controller();
    world.until_state("w/0", "Ambiguous");
    let text = world.ok(&["describe", "w"]);
    let named = |stranger: &Stranger| text.contains(&stranger.id.pid.to_string());
    assert!(named(&twin) && named(&second) && text.contains("narrower"), "{text}");
    assert_eq!(count(&world), 2);
    drop(second);
    world.ready("w/0");
    assert_eq!(world.instance("w/0").pid, twin.pid());
}

#[test]
fn it_drifts_when_its_manifest_changes() {
    let (world, twin) = adopted();
    let _controller = world.controller();
    world.ready("w/0");
    let file = world.root().join("file");
    world.write("w.yaml", &watcher(&file, "env: { A: b }"));
    world.ok(&["apply", "-f", "manifests"]);
    world.until_state("w/0", "Drifted");
    assert_eq!((world.instance("w/0").pid, count(&world)), (twin.pid(), 1));
    world.write("w.yaml", &watcher(&file, "stop: { grace: 3s }"));
    world.ok(&["apply", "-f", "manifests"]);
    world.ready("w/0");
    world.write("w.yaml", &watcher(&file, "env: { A: c }"));
    world.ok(&["apply", "-f", "manifests"]);
    world.until_state("w/0", "Drifted");
    twin.die(&world);
    world.ready("w/0");
    assert!(world.instance("w/0").shim.is_some());
}

#[test]
fn delete_leaves_it_alone_unless_it_is_told_otherwise() {
    let (world, twin) = adopted();
    let _controller = world.controller();
    world.ready("w/0");
    let said = world.run(&["delete", "w"]);
    assert!(said.code == 0 && said.err.contains(&format!("kill {}", twin.id.pid)), "{said:?}");
    assert!(processes::is_alive(twin.id));
    world.ok(&["apply", "-f", "manifests"]);
    world.ready("w/0");
    world.ok(&["delete", "w", "--adopted"]);
    assert!(!processes::is_alive(twin.id), "it is gone when delete returns");
    assert_eq!(world.run(&["delete", "w", "--adopted", "--keep-running"]).code, 2);
}

#[test]
fn what_does_not_heed_the_signal_is_killed_after_the_grace() {
    let world = World::new();
    let mark = world.root().display().to_string();
    let twin = Stranger::start(&world, &["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done", &mark]);
    let pattern =
        format!("adopt: {{ commandLine: 'sh -c trap.* {}' }}\nstop: {{ grace: 500ms }}", mark.replace('.', "\\."));
    world.write("w.yaml", &crate::world::service("w", "sleep 1000", &pattern));
    let status = format!("/proc/{}/status", twin.id.pid);
    let ignores = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 14) != 0)
    };
    world.until("it ignores TERM", ignores);
    world.apply();
    // Nobody has written down yet that it counts; delete does.
    let begun = std::time::Instant::now();
    world.ok(&["delete", "w", "--adopted"]);
    assert!(!processes::is_alive(twin.id));
    assert!(begun.elapsed().as_millis() >= 500, "its grace is its own: {:?}", begun.elapsed());
    world.ok(&["controller", "stop"]);
}

#[test]
fn nobody_is_started_beside_one_that_came_a_moment_before() {
    let (world, twin) = adopted();
    let _controller = world.controller();
    world.ready("w/0");
    drop(twin);
    let mut dice = Dice::new(7);
    for round in 0..25 {
        let ours = world.ready("w/0");
        processes::send(ours, Signal::KILL);
        dice.pass(30_000);
        let twin = follow(&world);
        world.ready("w/0");
        world.until("one of them counts", || world.instance("w/0").state == "Ready");
        let all = watchers(&world.root().join("file"));
        // Both live only where the twin came when ours was on its way: a tenth of a second on a busy machine.
        let is_beside = all.iter().any(|one| one.started > twin.id.started + 25);
        assert!(all.len() <= 2 && !is_beside, "round {round}: {all:?} beside {:?}\n{}", twin.id, world.story());
        drop(twin);
    }
}
