//! Rude clients of the controller's socket: none of them delays what is supervised, or another client.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::processes;
use crate::world::{World, service};

/// What a restart may take here; the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(5);

fn running() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms }"));
    world.apply();
    world
}

fn connect(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.home().join("controller.sock")).expect("a controller");
    // No test waits for ever.
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    stream
}

/// Kills the service and waits for its successor; how long that took by the records, without the look of a verb.
#[track_caller]
fn comes_back(world: &World) {
    let before = world.ready("web/0");
    let last = world.instance("web/0").attempt;
    let next = world.home().join(format!("records/service/web/0/{:08}.attempt", last + 1));
    assert!(processes::send(before, Signal::KILL));
    let killed = Instant::now();
    world.until("it is started again", || next.exists());
    assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    world.ready("web/0");
}

#[test]
fn story_6_clients_that_say_nothing_or_never_read_delay_nothing() {
    let world = running();
    let silent: Vec<UnixStream> = (0..20).map(|_| connect(&world)).collect();
    let mut half: Vec<UnixStream> = (0..20).map(|_| connect(&world)).collect();
    half.iter_mut().for_each(|client| client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth").expect("sent"));
    // Questions without end from one who reads no answer.
    let mut deaf = connect(&world);
    let question = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"controller.status\"}\n".repeat(1000);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) && deaf.write_all(&question).is_ok() {}
    comes_back(&world);
    assert_eq!(world.run(&["controller", "status"]).code, 0);
    drop((silent, half, deaf));
}

#[test]
fn story_6_a_gigabyte_without_a_line_is_cut_off() {
    let world = running();
    let mut flood = connect(&world);
    let block = vec![b'x'; 1 << 20];
    let sent = (0..1024).take_while(|_| flood.write_all(&block).is_ok()).count();
    assert!(sent < 1024, "a gigabyte was taken");
    comes_back(&world);
    let memory = std::fs::read_to_string(format!("/proc/{}/status", world.controller().pid)).expect("a controller");
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 64 << 10, "{peak}");
}

#[test]
fn story_6_more_silent_clients_than_there_is_room_for_delay_nothing_supervised() {
    let world = running();
    let crowd: Vec<UnixStream> = (0..200).map(|_| connect(&world)).collect();
    comes_back(&world);
    drop(crowd);
    assert_eq!(world.run(&["controller", "status"]).code, 0);
}
