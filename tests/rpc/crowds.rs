//! Crowds, the deaf and the mad, beside a service that crashes all the time.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::client::Client;
use crate::processes;
use crate::world::{World, service};

/// How often a restart is timed with and without a crowd.
const RESTARTS: usize = 12;

fn running() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms, giveUp: never }"));
    world.apply();
    world
}

/// Kills the service and waits for the record of its successor: how long that took.
fn restart(world: &World) -> Duration {
    let main = world.ready("web/0");
    let number = world.instance("web/0").attempt + 1;
    let next = world.home().join(format!("records/service/web/0/{number:08}.attempt"));
    let killed = Instant::now();
    assert!(processes::send(main, Signal::KILL));
    while !next.exists() {
        assert!(killed.elapsed() < Duration::from_secs(30), "{}", world.story());
        std::thread::sleep(Duration::from_micros(200));
    }
    killed.elapsed()
}

/// Says that it is over when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn restarts(world: &World) -> Duration {
    median((0..RESTARTS).map(|_| restart(world)).collect())
}

#[test]
fn story_6_a_thousand_idle_a_deaf_and_a_mad_client_change_no_restart() {
    let world = running();
    let alone = restarts(&world);
    let connect = || UnixStream::connect(world.home().join("controller.sock")).expect("a controller");
    let crowd: Vec<UnixStream> = (0..1000).map(|_| connect()).collect();
    let is_over = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        // Also when this fails: whoever goes on for ever would be waited for.
        let _end = Ends(&is_over);
        // Questions without end from one who reads no answer, and what is none from another.
        let question = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"controller.status\"}\n".repeat(100);
        let rubbish = b"{\"jsonrpc\":\"2.0\",\"id\":1,[[[[[[\xff\x00rubbish}\n".repeat(500);
        for block in [question, rubbish] {
            let is_over = &is_over;
            let connect = &connect;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let stream = connect();
                    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
                    let begun = Instant::now();
                    while !is_over.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(5) {
                        _ = std::io::Write::write(&mut (&stream), &block);
                    }
                }
            });
        }
        let beside = restarts(&world);
        // A person is served all the while.
        let begun = Instant::now();
        assert!(Client::new(&world).ok("ping", &json!({}))["pid"].is_u64());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        beside
    });
    println!("a restart takes {alone:?} alone and {beside:?} beside a crowd");
    assert!(beside < alone * 3 + Duration::from_millis(100), "{alone:?} {beside:?}");
    drop(crowd);
    assert_eq!(world.run(&["controller", "status"]).code, 0);
}

#[test]
fn one_more_client_than_there_is_room_for_sends_the_longest_idle_away() {
    let world = running();
    let mut first = Client::new(&world);
    assert!(first.ok("ping", &json!({}))["pid"].is_u64());
    let mut crowd: Vec<Client> = (0..setpoint::rpc::place::PLACES_MAX).map(|_| Client::new(&world)).collect();
    // The last that came is served at once, and the first hears why it is not.
    assert!(crowd.last_mut().expect("one").ok("ping", &json!({}))["pid"].is_u64());
    let word = first.read();
    assert_eq!(word["method"], json!("closed"), "{word}");
    assert!(first.read().is_null());
}
