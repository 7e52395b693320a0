//! Heartbeats: at once, then on a period, and not to what does not run (S3.2, S3.9, S3.15).

use rustix::process::Signal;
use serde_json::Value;

use crate::peer::{Peer, instance};
use crate::processes;
use crate::world::{World, service};

fn beats(world: &World, name: &str) -> Value {
    instance(world, name)["health"]["heartbeat"].clone()
}

fn count(world: &World, name: &str, what: &str) -> u64 {
    beats(world, name)[what].as_u64().unwrap_or(0)
}

#[test]
fn an_instance_is_reminded_in_every_way() {
    let world = World::new();
    let peer = Peer::new(200);
    let echo = "\"while read -r line; do echo got $line; done\"";
    let text = service("line", echo, "heartbeat: { line: status?, every: 200ms }")
        + &service("tty", echo, "tty: true\nheartbeat: { line: status?, every: 200ms }")
        + &service(
            "signal",
            "[sh, -c, \"trap 'echo reminded' USR1; while :; do sleep 0.05; done\"]",
            "ready: { delay: 500ms }\nheartbeat: { signal: USR1, every: 1s }",
        )
        + &service("http", "sleep 100000", &format!("heartbeat: {{ http: {}, every: 200ms }}", peer.port()))
        + &service("command", "sleep 100000", "heartbeat: { command: [sh, -c, echo no >&2; exit 3], every: 200ms }");
    world.write("all.yaml", &text);
    world.apply();
    let _controller = world.controller();
    for name in ["line/0", "tty/0", "http/0", "command/0"] {
        world.until(&format!("{name} was reminded"), || count(&world, name, "count") >= 3);
    }
    let said = |name: &str, text: &str| world.run(&["logs", name, "-n", "all"]).out.contains(text);
    world.until("the line arrived", || said("line", "got status?"));
    world.until("the line arrived at the terminal", || said("tty", "got status?"));
    world.until("the signal arrived", || said("signal", "reminded"));
    assert!(peer.asked() >= 3);
    let failing = beats(&world, "command/0");
    assert_eq!(failing["lastFailure"]["said"], "command sh: exit 3: no");
    assert!(failing["failed"].as_u64() >= Some(3) && failing["ended"].is_string(), "{failing}");
    assert_eq!(count(&world, "http/0", "failed"), 0);
    let told = world.ok(&["describe", "command"]);
    assert!(told.contains("heartbeat:") && told.contains("command sh: exit 3: no"), "{told}");
}

#[test]
fn what_does_not_run_is_skipped_and_counted() {
    let world = World::new();
    let peer = Peer::new(200);
    let more = format!("heartbeat: {{ http: {}, every: 200ms }}", peer.port());
    world.write("all.yaml", &service("web", "sleep 100000", &more));
    world.apply();
    let _controller = world.controller();
    let main = world.ready("web/0");
    world.until("it was reminded", || count(&world, "web/0", "count") >= 1);
    assert!(processes::send(main, Signal::STOP));
    let skipped = |least: u64| count(&world, "web/0", "skipped") >= least;
    world.until("a stopped one is skipped", || skipped(2));
    let (asked, before) = (peer.asked(), count(&world, "web/0", "skipped"));
    world.until("and again", || skipped(before + 3));
    assert_eq!(peer.asked(), asked);
    assert!(processes::send(main, Signal::CONT));
    world.until("thawed, it is reminded", || peer.asked() > asked);
    world.ok(&["pause", "web"]);
    world.until("it is down", || world.mains().is_empty());
    let (asked, before) = (peer.asked(), count(&world, "web/0", "skipped"));
    world.until("a paused one is skipped", || skipped(before + 3));
    assert_eq!(peer.asked(), asked);
    world.ok(&["resume", "web"]);
    world.until("a new one is reminded at once", || peer.asked() > asked);
}
