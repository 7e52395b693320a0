//! The shapes that programs read, and the way from output back to input.

use expect_test::expect;
use serde_json::Value;

use crate::world::{World, service};

fn json(world: &World, words: &[&str]) -> Value {
    let said = world.run(words);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {said:?}"))
}

/// The keys of a value, with the kind of what they hold, as one line each.
fn shape(value: &Value) -> String {
    fn walk(value: &Value, path: &str, lines: &mut Vec<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(list) => {
                lines.push(format!("{path} list"));
                return list.iter().take(1).for_each(|item| walk(item, &format!("{path}[]"), lines));
            }
            Value::Object(map) => {
                return map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), lines));
            }
        };
        lines.push(format!("{path} {kind}"));
    }
    let mut lines = Vec::new();
    walk(value, "", &mut lines);
    lines.join("\n") + "\n"
}

fn running() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "'echo hello; exec sleep 1000'", "labels: { tier: front }"));
    world.apply();
    world
}

#[test]
fn get_as_json_is_a_list_also_when_it_is_empty_or_one() {
    let world = World::new();
    for words in [&["get", "-o", "json"][..], &["get", "svc", "-o", "json"], &["get", "-l", "a=b", "-o", "json"]] {
        let said = world.run(words);
        assert_eq!((said.code, said.out.as_str()), (0, "{\n  \"items\": []\n}\n"), "{words:?}");
    }
    let world = running();
    let all = json(&world, &["get", "-o", "json"]);
    expect![[r#"
        .items list
        .items[].apiVersion text
        .items[].kind text
        .items[].metadata.generation number
        .items[].metadata.labels.tier text
        .items[].metadata.layer null
        .items[].metadata.name text
        .items[].metadata.set text
        .items[].metadata.source text
        .items[].metadata.uid text
        .items[].spec.dir text
        .items[].spec.run text
        .items[].status.instances list
        .items[].status.instances[].adopted bool
        .items[].status.instances[].attempt number
        .items[].status.instances[].lastExit null
        .items[].status.instances[].name text
        .items[].status.instances[].pid number
        .items[].status.instances[].ready bool
        .items[].status.instances[].reason text
        .items[].status.instances[].restarts number
        .items[].status.instances[].shimPid number
        .items[].status.instances[].since text
        .items[].status.instances[].state text
        .items[].status.next null
        .items[].status.reason text
        .items[].status.state text
    "#]]
    .assert_eq(&shape(&all));
    let one = json(&world, &["get", "web", "-o", "json"]);
    assert_eq!(one["items"][0]["metadata"], all["items"][0]["metadata"]);
    let instance = &all["items"][0]["status"]["instances"][0];
    let seen = world.instance("web/0");
    assert!(seen.shim.is_some() && seen.shim != seen.pid, "{seen:?}");
    assert_eq!(instance["pid"].as_u64(), Some(u64::from(world.ready("web/0").pid)), "pid is the payload's");
    assert_eq!(instance["name"], "service/web/0");
}

#[test]
fn diff_as_json_names_fields_and_effects() {
    let world = running();
    let nothing = json(&world, &["diff", "-f", "manifests", "-o", "json"]);
    assert_eq!(nothing["summary"]["unchanged"], 1);
    world.write("web.yaml", &service("web", "sleep 1001", "labels: { tier: back }\nstop: { grace: 1s }"));
    world.write("new.yaml", &service("new", "sleep 1002", ""));
    let said = world.run(&["diff", "-f", "manifests", "-o", "json"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let mut value: Value = serde_json::from_str(&said.out).expect("JSON");
    let plan = value["plan"].take();
    assert!(plan.as_str().is_some_and(|plan| plan.starts_with("p-")), "{plan}");
    expect![[r#"
        {
          "changes": [
            {
              "action": "add",
              "fields": [],
              "object": "service/new",
              "reason": "new"
            },
            {
              "action": "change",
              "fields": [
                {
                  "effect": "restart",
                  "from": "echo hello; exec sleep 1000",
                  "path": "run",
                  "to": "sleep 1001"
                },
                {
                  "effect": "live",
                  "from": null,
                  "path": "stop.grace",
                  "to": "1s"
                },
                {
                  "effect": "none",
                  "from": "front",
                  "path": "labels.tier",
                  "to": "back"
                }
              ],
              "object": "service/web",
              "reason": "run, stop, labels changed"
            }
          ],
          "plan": null,
          "summary": {
            "add": 1,
            "change": 1,
            "leftover": 0,
            "remove": 0,
            "unchanged": 0
          }
        }
    "#]]
    .assert_eq(&format!("{value:#}\n"));
    // What it printed is what apply does, and no other plan.
    let plan = plan.as_str().unwrap_or_default();
    assert_eq!(world.run(&["apply", "-f", "manifests", "--expect", "p-000000"]).code, 5);
    world.ok(&["apply", "-f", "manifests", "--expect", plan]);
    assert_eq!(world.run(&["apply", "-f", "manifests", "--expect", plan]).code, 5, "a plan is good once");
}

#[test]
fn the_plan_id_on_the_screen_can_be_pasted() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    let diff = world.run(&["diff", "-f", "manifests"]).out;
    let command = diff.trim_end().rsplit_once("Apply it: ").expect("a command").1;
    assert_eq!(world.shell(&format!("{command} --no-start")).code, 0, "{command}");
    assert_eq!(world.shell(&format!("{command} --no-start")).code, 5, "{command}");
    let odd = "manifests with 'quotes' and $HOME";
    std::fs::create_dir(world.root().join(odd)).expect("a folder");
    std::fs::write(world.root().join(odd).join("a.yaml"), service("a", "sleep 1", "")).expect("a manifest");
    let diff = world.run(&["diff", "-f", odd]).out;
    let command = diff.trim_end().rsplit_once("Apply it: ").expect("a command").1;
    assert_eq!(world.shell(&format!("{command} --no-start")).code, 0, "{command}");
}

#[test]
fn what_get_prints_can_be_applied_and_changes_nothing() {
    let world = running();
    let web = world.ready("web/0");
    for line in [
        "setpoint get -o yaml | setpoint apply -f -",
        "setpoint get -o json | setpoint apply -f -",
        "setpoint get web -o yaml >dump.yaml; setpoint apply -f dump.yaml",
        "cd /; setpoint get -o yaml | setpoint apply -f -",
        "setpoint get -o yaml | setpoint diff -f -",
    ] {
        let said = world.shell(line);
        assert_eq!(said.code, 0, "{line}: {said:?}");
        assert!(format!("{}{}", said.out, said.err).contains("Nothing to change."), "{line}: {said:?}");
    }
    assert_eq!(world.ready("web/0"), web);
}

#[test]
fn every_verb_speaks_json_where_it_says_something() {
    let world = running();
    for words in [
        &["describe", "web"][..],
        &["history", "web"],
        &["controller", "status"],
        &["apply", "-f", "manifests"],
        &["apply", "-f", "manifests", "--dry-run"],
        &["validate", "-f", "manifests"],
        &["pause", "web"],
        &["resume", "web"],
        &["restart", "web"],
    ] {
        let value = json(&world, &[words, &["-o", "json"]].concat());
        assert!(value.is_object(), "{words:?}: {value}");
        let said = world.run(&[words, &["-o", "yaml"]].concat());
        assert!(said.code == 0 && !said.out.trim_start().starts_with('{'), "{words:?} -o yaml: {said:?}");
    }
    for words in [&["events", "-o", "json"][..], &["logs", "web", "-o", "json"]] {
        let out = world.ok(words);
        assert!(!out.is_empty(), "{words:?}");
        for line in out.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object()), "{words:?}: {line}");
        }
    }
    std::fs::write(world.root().join("bad.yaml"), "kind: Service\nname: x\nrnu: x\n").expect("a file");
    let bad = json(&world, &["validate", "-f", "bad.yaml", "-o", "json"]);
    assert_eq!((&bad["valid"], &bad["errors"][0]["line"]), (&Value::Bool(false), &Value::from(3)));
}

#[test]
fn get_in_watch_mode_prints_changes_and_no_passing_seconds() {
    let world = running();
    let out = std::fs::File::create(world.root().join("watched")).expect("a file");
    let mut watch = world.command(&["get", "-w"]).stdout(out).spawn().expect("the binary");
    let tables = || {
        let text = std::fs::read_to_string(world.root().join("watched")).expect("a file");
        text.lines().filter(|line| line.starts_with("NAME")).count()
    };
    world.until("it has printed what there is", || tables() == 1);
    let begun = std::time::Instant::now();
    // Time itself is what is waited for here.
    world.until("some seconds have passed", || begun.elapsed().as_secs() >= 3);
    assert_eq!(tables(), 1, "a second is no change");
    world.ok(&["pause", "web"]);
    world.until("the change is printed", || tables() > 1);
    watch.kill().expect("a child");
    watch.wait().expect("a child");
}
