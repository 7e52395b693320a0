//! Rude clients of the controller's socket: none of them delays what is supervised, or another client.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use expect_test::expect;
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
fn rubbish_is_answered_with_an_error_and_the_next_line_is_served() {
    let world = running();
    let client = connect(&world);
    let mut answers = BufReader::new(client.try_clone().expect("a second end"));
    let mut all = String::new();
    for line in [
        &b"rubbish"[..],
        b"\xff\xfe\x00",
        b"",
        b"[]",
        b"{}",
        b"{\"method\":7}",
        b"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"nonsense\"}",
    ] {
        (&client).write_all(&[line, b"\n"].concat()).expect("sent");
        answers.read_line(&mut all).expect("an answer");
    }
    expect![[r#"
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: expected value at line 1 column 1"}}
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: expected value at line 1 column 1"}}
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: EOF while parsing a value at line 2 column 0"}}
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: invalid length 0, expected struct Call with 3 elements at line 1 column 2"}}
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: missing field `method` at line 1 column 2"}}
        {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"this is no JSON-RPC request: invalid type: integer `7`, expected a string at line 1 column 11"}}
        {"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"there is no method `nonsense`"}}
    "#]].assert_eq(&all);
    (&client).write_all(b"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n").expect("sent");
    let mut pong = String::new();
    answers.read_line(&mut pong).expect("an answer");
    assert!(pong.contains("\"id\":9") && pong.contains("\"pid\""), "{pong}");
    // A line that is too long gets one answer, and the connection is over.
    let mut long = connect(&world);
    _ = long.write_all(&vec![b'x'; 70_000]);
    let mut rest = String::new();
    _ = long.read_to_string(&mut rest);
    assert!(rest.is_empty() || rest.contains("-32700"), "{rest}");
    comes_back(&world);
}

#[test]
fn story_6_more_silent_clients_than_there_is_room_for_delay_nothing_supervised() {
    let world = running();
    let crowd: Vec<UnixStream> = (0..200).map(|_| connect(&world)).collect();
    comes_back(&world);
    drop(crowd);
    assert_eq!(world.run(&["controller", "status"]).code, 0);
}
