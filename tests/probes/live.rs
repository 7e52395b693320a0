//! What is not alive any more is started anew; what somebody stopped, or nobody could ask, is not.

use rustix::process::Signal;
use setpoint::record::attempt::How;

use crate::peer::instance;
use crate::processes;
use crate::world::{World, service};

/// A command that counts how often it was run, says so, and passes while `fine` exists.
const CHECK: &str = "live: { command: [sh, -c, \"echo x >> asked; echo gone at last; test -e fine\"], period: 100ms, failure: 2, startup: 1ms }\n\
     backoff: { from: 10ms, to: 50ms, giveUp: never }";

fn asked(world: &World) -> usize {
    std::fs::read_to_string(world.manifests().join("asked")).map_or(0, |text| text.lines().count())
}

fn set_fine(world: &World, is_fine: bool) {
    let path = world.manifests().join("fine");
    if is_fine { std::fs::write(path, "") } else { std::fs::remove_file(path) }.expect("the file");
}

#[test]
fn a_liveness_failure_restarts_and_says_which_probe_and_what_it_said() {
    let world = World::new();
    set_fine(&world, true);
    world.write("web.yaml", &service("web", "sleep 100000", CHECK));
    world.apply();
    let _controller = world.controller();
    let first = world.ready("web/0");
    set_fine(&world, false);
    world.until("the first attempt has ended", || !processes::is_alive(first));
    set_fine(&world, true);
    let second = world.ready("web/0");
    assert_ne!(first, second);
    let text = "command sh: exit 1: gone at last (2 times)";
    let attempts = world.attempts("web/0");
    let end = attempts[0].1.as_ref().expect("an end");
    assert_eq!((&end.how, end.asked), (&How::Unhealthy(text.to_owned()), false));
    let told = world.ok(&["describe", "web"]);
    assert!(told.contains(text), "{told}");
    let events = world.ok(&["events", "web"]);
    assert!(events.contains("service.unhealthy") && events.contains(text), "{events}");
    // The new one is judged by its own answers.
    let now = asked(&world);
    world.until("it was asked often enough", || asked(&world) > now + 5);
    let newest = world.attempts("web/0").len();
    let now = asked(&world);
    world.until("it was asked often enough", || asked(&world) > now + 5);
    assert_eq!(world.attempts("web/0").len(), newest);
}

#[test]
fn one_that_somebody_stopped_is_not_dead() {
    let world = World::new();
    set_fine(&world, true);
    world.write("web.yaml", &service("web", "sleep 100000", CHECK));
    world.apply();
    let _controller = world.controller();
    let main = world.ready("web/0");
    assert!(processes::send(main, Signal::STOP));
    world.until_state("web/0", "Frozen");
    set_fine(&world, false);
    let before = asked(&world);
    world.until("it was asked often enough to be dead", || asked(&world) > before + 6);
    assert!(processes::is_alive(main), "{}", world.story());
    assert!(processes::send(main, Signal::CONT));
    world.until("thawed, it is judged", || !processes::is_alive(main));
    set_fine(&world, true);
    world.ready("web/0");
}

#[test]
fn a_file_that_is_not_touched_is_a_silence() {
    let world = World::new();
    let run = "\"while [ ! -e quiet ]; do touch alive; sleep 0.1; done; exec sleep 100000\"";
    let live = "live: { file: alive, timeout: 2s, period: 200ms, failure: 1, startup: 1ms }\nbackoff: { from: 10ms }";
    // Left by an earlier life, and said to come from the future.
    let old = std::fs::File::create(world.manifests().join("alive")).expect("a file");
    let hour = std::time::Duration::from_secs(3600);
    old.set_modified(std::time::SystemTime::now() + hour).expect("a time");
    world.write("web.yaml", &service("web", run, live));
    world.apply();
    let _controller = world.controller();
    let main = world.ready("web/0");
    world.until("the touches are seen", || instance(&world, "web/0")["health"]["live"]["pass"] == true);
    std::fs::write(world.manifests().join("quiet"), "").expect("a file");
    world.until("it falls silent", || !processes::is_alive(main));
    // Its shim writes the end down after the process is gone.
    world.until("its end is written", || world.attempts("web/0")[0].1.is_some());
    let attempts = world.attempts("web/0");
    let how = attempts[0].1.as_ref().map(|end| end.how.clone());
    assert!(matches!(&how, Some(How::Unhealthy(text)) if text.contains("alive: not touched for")), "{how:?}");
}
