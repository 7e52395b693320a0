//! Those that subscribe to events: from where they were, without a gap, as fast as they read.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::processes;
use crate::world::{World, service};

fn running() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms }"));
    world.apply();
    world
}

/// The ids of the next events.
fn ids(client: &mut Client, count: usize) -> Vec<u64> {
    let event = |client: &mut Client| {
        let said = client.read();
        assert_eq!(said["method"], json!("event"), "{said}");
        said["params"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
    };
    (0..count).map(|_| event(client)).collect()
}

#[test]
fn who_subscribes_hears_what_was_and_what_comes_in_order_and_is_still_served() {
    let world = running();
    let mut client = Client::new(&world);
    world.until("three events are kept", || {
        client.ok("events.list", &json!({}))["items"].as_array().is_some_and(|items| items.len() >= 2)
    });
    let all = client.ok("events.list", &json!({}));
    let known: Vec<u64> = all["items"].as_array().expect("events").iter().map(id).collect();
    assert_eq!(client.ok("events.subscribe", &json!({ "after": 0 }))["after"], json!(0));
    assert_eq!(ids(&mut client, known.len()), known);
    assert!(processes::send(world.ready("web/0"), Signal::KILL));
    let more = ids(&mut client, 1);
    assert!(more[0] > known[known.len() - 1], "{known:?} {more:?}");
    // A second one begins where the first one is.
    let mut other = Client::new(&world);
    other.ok("events.subscribe", &json!({ "after": known[known.len() - 1], "object": "service/web" }));
    assert_eq!(ids(&mut other, 1), more);
    // Calls on the same connection are answered between events.
    assert!(client.send(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n"));
    let answer = std::iter::repeat_with(|| client.read()).find(|said| said.get("id").is_some()).expect("an answer");
    assert_eq!(answer["id"], json!(7), "{answer}");
}

fn id(event: &Value) -> u64 {
    event["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

#[test]
fn one_that_does_not_read_is_sent_away_with_a_word() {
    let world = running();
    world.until("an event is kept", || !world.ok(&["events"]).is_empty());
    // More than a socket holds, written as the controller would.
    world.ok(&["controller", "stop"]);
    let writer = setpoint::store::Writer::start(&world.home().join("store.db")).expect("a writer");
    let event = setpoint::store::EventRow {
        time: setpoint::engine::Timestamp::from_nanos(1_795_000_000_000_000_000),
        kind: "setpoint.service.crashed".into(),
        subject: "service/web/0".into(),
        text: "x".repeat(3000).into(),
        data: None,
    };
    let events = vec![event; 500];
    writer.ask(setpoint::store::Write::Events { events, kept: 10_000 }).expect("written");
    writer.close();
    world.ok(&["controller", "start"]);
    let mut deaf = Client::new(&world);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": { "after": 0 } });
    assert!(deaf.send(format!("{call}\n").as_bytes()));
    // It reads nothing until the other side has given up; then what was sent is there, and the word last.
    let begun = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_secs(11));
    assert!(Client::new(&world).ok("ping", &json!({}))["pid"].is_u64());
    let mut last = Value::Null;
    let mut count = 0;
    loop {
        match deaf.read() {
            Value::Null => break,
            said => (last, count) = (said, count + 1),
        }
    }
    assert_eq!((&last["method"], &last["params"]["why"]), (&json!("closed"), &json!("it reads too slowly")), "{last}");
    assert!(count < 400 && last["params"]["after"].is_u64(), "{count} {last}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
fn s4_12_the_verb_shows_events_as_people_and_programs_want_them() {
    let world = running();
    let lines = |words: &[&str]| world.ok(&[&["events"], words].concat()).lines().count();
    world.until("its start is kept", || lines(&["--type", "service.ready"]) == 1);
    for (words, count) in [
        (&["--for", "web", "--type", "setpoint.service.started"][..], 1),
        (&["--type", "service", "-n", "1"], 1),
        (&["--type", "*.started", "--since", "10m"], 1),
        (&["--type", "started"], 0),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
    ] {
        assert_eq!(lines(words), count, "{words:?} {}", world.ok(&["events"]));
    }
    let out = world.ok(&["events", "web", "--type", "service.started", "-o", "cloudevents"]);
    let event: Value = serde_json::from_str(&out).expect("one event");
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("setpoint.service.started")), "{event}");
    let plain: Value = serde_json::from_str(&world.ok(&["events", "-n", "1", "-o", "json"])).expect("one event");
    assert!(plain["id"].is_u64() && plain["text"].is_string(), "{plain}");
    let refused = world.run(&["get", "-o", "cloudevents"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{refused:?}");
    // What happens while nobody is there to hear of it stands in the store all the same.
    world.kill_controller();
    assert_eq!(lines(&["--type", "service.ready"]), 1);
    assert!(!world.home().join("events").exists(), "files of events are written");
}

#[test]
fn a_store_that_takes_no_events_costs_events_and_nothing_else() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms }"));
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    std::fs::create_dir_all(world.home().join("store.db")).expect("a folder in its place");
    world.ok(&["controller", "start"]);
    let first = world.ready("web/0");
    assert!(processes::send(first, Signal::KILL));
    world.until("another one is up", || world.instance("web/0").attempt == 2);
    world.ready("web/0");
    let mut client = Client::new(&world);
    world.until("it says how many were lost", || {
        client.ok("controller.status", &json!({}))["events_dropped"].as_u64() > Some(1)
    });
    let status = client.ok("controller.status", &json!({}));
    assert!(status["problems"].to_string().contains("events are not kept"), "{status}");
    let (code, error) = client.refused("events.list", &json!({}));
    assert_eq!(code, -32001, "{error}");
}
