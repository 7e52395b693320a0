//! What `top` sees of processes whose appetite is known.

use serde_json::Value;

use crate::world::{World, service};

/// A tree of two that keeps one core busy, one that sleeps on 40 MB, and one that has ended.
fn world() -> World {
    let world = World::new();
    world.write("busy.yaml", &service("busy", "\"while :; do :; done & wait\"", ""));
    let hog = "[python3, -c, \"x = bytearray(40 << 20); import signal; signal.pause()\"]";
    world.write("hog.yaml", &service("hog", hog, ""));
    world.write("done.yaml", &service("done", "\"true\"", "restart: never"));
    world.ok(&["apply", "-f", "manifests"]);
    world.ready("busy/0");
    world.ready("hog/0");
    world
}

fn items(text: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    value["items"].as_array().expect("a list").clone()
}

#[test]
fn the_busiest_comes_first_with_all_its_processes() {
    let world = world();
    let mut rows = Vec::new();
    world.until("the hog has its memory", || {
        rows = items(&world.ok(&["top", "-o", "json"]));
        rows.iter().any(|row| row["rssBytes"].as_u64() > Some(40 << 20))
    });
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["service/busy/0", "service/hog/0"], "{rows:#?}");
    let [busy, hog] = rows.as_slice() else { panic!("{rows:?}") };
    // On a machine that has other things to do it gets less than a whole core.
    let cpu = |row: &Value| row["cpuPercent"].as_f64().expect("a share");
    assert!((5.0..=130.0).contains(&cpu(busy)) && cpu(busy) > 3.0 * cpu(hog), "{rows:#?}");
    assert_eq!((&busy["processes"], &hog["processes"]), (&Value::from(2), &Value::from(1)));
    let memory = |row: &Value| row["pssBytes"].as_u64().expect("bytes");
    assert!(memory(hog) > 40 << 20 && memory(hog) <= hog["rssBytes"].as_u64().expect("bytes"), "{hog}");
    assert!(memory(busy) < 20 << 20, "{busy}");
    assert_eq!(hog["pid"], Value::from(world.instance("hog/0").pid.expect("a pid")));
    let table = world.ok(&["top"]);
    assert!(table.starts_with("NAME"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
}

#[test]
fn restarts_of_a_busy_one_are_counted_and_short_children_too() {
    let world = World::new();
    // All the work is done by children that live for a moment.
    let work = "\"while :; do /bin/sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done\"";
    world.write("brief.yaml", &service("brief", work, "backoff: { from: 10ms }"));
    world.apply();
    let id = world.ready("brief/0");
    assert!(crate::processes::send(id, rustix::process::Signal::KILL));
    world.until("it is back", || world.instance("brief/0").attempt == 2 && world.instance("brief/0").state == "Ready");
    let rows = items(&world.ok(&["top", "brief", "-o", "json"]));
    assert_eq!(rows[0]["restarts"], Value::from(1), "{rows:#?}");
    assert!(rows[0]["cpuPercent"].as_f64() > Some(5.0), "{rows:#?}");
}

#[test]
fn it_says_what_is_not_there() {
    let world = World::new();
    assert_eq!(world.ok(&["top"]), "Nothing of it runs.\n");
    assert_eq!(items(&world.ok(&["top", "-o", "json"])).len(), 0);
    assert_eq!(world.run(&["top", "web"]).code, 3);
}

#[test]
fn watching_goes_on_until_nobody_reads() {
    let world = world();
    let said = world.shell("setpoint top -w -o name | head -n 5");
    let expected = ["service/busy/0", "service/hog/0"].into_iter().cycle().take(5).collect::<Vec<_>>();
    assert_eq!(said.out.lines().collect::<Vec<_>>(), expected, "{said:?}");
}
