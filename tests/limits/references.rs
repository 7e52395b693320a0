//! Values that are fetched at each start: when they come, when they do not, and who waits for them.

use std::time::{Duration, Instant};

use setpoint::record::attempt::How;

use crate::processes;
use crate::world::{World, service};

/// What a payload was given, by its main process.
fn variable(pid: u32, name: &str) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("a live process");
    let found = environ.split(|byte| *byte == 0).find_map(|word| word.strip_prefix(format!("{name}=").as_bytes()));
    found.map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn a_reference_is_read_at_each_start_and_only_then() {
    let world = World::new();
    let token = world.manifests().join("token");
    std::fs::write(&token, "one\n").expect("a file");
    std::fs::write(world.manifests().join("web.env"), "# words\nexport A=file\nB='file'\n").expect("a file");
    let more = "env: { TOKEN: { fromFile: token }, B: own, C: { fromCommand: [pwd] } }\nenvFile: web.env\ndir: /";
    world.write("web.yaml", &service("web", "sleep 100000", more));
    world.apply();
    let _controller = world.controller();
    let first = world.ready("web/0").pid;
    let found = ["TOKEN", "A", "B", "C"].map(|name| variable(first, name).unwrap_or_default());
    assert_eq!(found, ["one", "file", "own", "/"]);
    // Whoever runs is not restarted for it, and the next start has it.
    std::fs::write(&token, "two").expect("a file");
    world.apply();
    assert_eq!((world.ready("web/0").pid, world.attempts("web/0").len()), (first, 1));
    world.ok(&["restart", "web"]);
    world.until("it was replaced", || world.attempts("web/0").len() == 2);
    let second = world.ready("web/0").pid;
    assert_eq!(variable(second, "TOKEN").as_deref(), Some("two"));
}

#[test]
fn a_reference_that_fails_is_a_start_that_failed() {
    let world = World::new();
    let more = "env: { TOKEN: { fromFile: token } }\nbackoff: { from: 10ms, to: 20ms, giveUpAfter: 3 }";
    world.write("web.yaml", &service("web", "sleep 100000", more));
    world.apply();
    let _controller = world.controller();
    world.until_state("web/0", "GaveUp");
    let token = world.manifests().join("token");
    let words = format!("env TOKEN: fromFile {}: No such file or directory", token.display());
    let ends: Vec<_> = world.attempts("web/0").into_iter().filter_map(|(_, end)| end).collect();
    assert_eq!(ends.len(), 3, "{}", world.story());
    for end in ends {
        assert_eq!((end.how, end.asked), (How::NotStarted(words.clone()), false));
    }
    assert!(world.ok(&["describe", "web"]).contains(&words));
    // Words come after deeds.
    world.until("the event is written", || world.ok(&["events"]).contains("service.gave-up"));
    assert_eq!(world.instance("web/0").last_exit, Some(format!("not started: {words}")));
    std::fs::write(&token, "there").expect("a file");
    world.ok(&["restart", "web"]);
    let pid = world.ready("web/0").pid;
    assert_eq!(variable(pid, "TOKEN").as_deref(), Some("there"));
}

#[test]
fn a_command_that_hangs_delays_only_its_own_service() {
    let world = World::new();
    let hung = "env: { TOKEN: { fromCommand: [sleep, \"100009\"] } }\nbackoff: { from: 1h, to: 1h }";
    let fine = "env: { TOKEN: { fromCommand: [echo, fine] } }";
    let mut text = String::new();
    for (name, more) in [("hung", hung), ("doomed", hung), ("plain", ""), ("asks", fine)] {
        text.push_str(&service(name, "sleep 100000", more));
    }
    world.write("all.yaml", &text);
    world.apply();
    let _controller = world.controller();
    let asking = || world.processes().iter().filter(|process| process.comm == "sleep").count();
    for name in ["plain/0", "asks/0"] {
        world.ready(name);
    }
    world.until("both commands and both services run", || asking() == 4);
    assert_eq!(world.attempts("hung/0").len(), 0, "it has not been started");
    // A start that is being waited for is dropped with its object.
    let begun = Instant::now();
    world.ok(&["delete", "doomed"]);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    world.until("it was given up", || world.attempts("hung/0").first().is_some_and(|(_, end)| end.is_some()));
    let end = world.attempts("hung/0").remove(0).1.expect("an end");
    assert_eq!(end.how, How::NotStarted("env TOKEN: fromCommand sleep: takes longer than 10s".to_owned()));
    world.until("the commands are gone", || asking() == 2);
    assert_eq!(world.attempts("doomed/0").len(), 0);
    world.until_state("hung/0", "Backoff");
}

#[test]
fn a_controller_that_dies_while_it_gathers_leaves_nothing_half_done() {
    let world = World::new();
    let gate = world.root().join("gate");
    let line = format!("while [ ! -e {} ]; do sleep 0.02; done; echo open", gate.display());
    let more = format!("env: {{ TOKEN: {{ fromCommand: [sh, -c, \"{line}\"] }} }}");
    world.write("web.yaml", &service("web", "sleep 100000", &more));
    world.apply();
    let controller = world.controller();
    let is_asking = || world.processes().iter().any(|process| process.comm == "sh");
    world.until("the command runs", is_asking);
    controller.kill();
    world.until("the command went with its controller", || !is_asking());
    let _controller = world.controller();
    world.until("it is asked again", is_asking);
    assert_eq!(world.attempts("web/0").len(), 0);
    std::fs::write(&gate, "").expect("a file");
    let pid = world.ready("web/0");
    assert_eq!((variable(pid.pid, "TOKEN").as_deref(), world.attempts("web/0").len()), (Some("open"), 1));
    assert!(processes::is_alive(pid));
}
