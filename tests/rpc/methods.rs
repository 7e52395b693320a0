//! Every method, once at least, and what it answers.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::{Value, json};
use setpoint::rpc::method;

use crate::client::Client;
use crate::world::{World, service};

fn running() -> World {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "backoff: { from: 10ms, to: 10ms }"));
    world.write("mark.yaml", "kind: Capability\nname: mark\nparams: { word: { type: string } }\nrun: echo marked\n");
    world.apply();
    world
}

/// A client that notes what it has called.
struct Table {
    client: Client,
    called: BTreeSet<String>,
}

impl Table {
    #[track_caller]
    fn ok(&mut self, method: &str, params: Value) -> Value {
        self.called.insert(method.to_owned());
        self.client.ok(method, &params)
    }

    #[track_caller]
    fn refused(&mut self, method: &str, params: Value) -> i64 {
        self.called.insert(method.to_owned());
        self.client.refused(method, &params).0
    }
}

#[test]
fn s4_20_every_method_of_the_table_answers() {
    let world = running();
    let mut table = Table { client: Client::new(&world), called: BTreeSet::new() };
    about_the_controller(&mut table);
    about_runs(&world, &mut table);
    assert_eq!(table.ok("controller.stop", json!({}))["stopped"], json!(true));
    let all: BTreeSet<String> = method::all().map(|method| method.name.to_owned()).collect();
    let untried: Vec<&String> = all.difference(&table.called).collect();
    assert!(untried.is_empty(), "no case calls {untried:?}");
}

fn about_the_controller(table: &mut Table) {
    assert!(table.ok("ping", json!({}))["pid"].is_u64());
    for name in ["controller.status", "daemon.status"] {
        let status = table.ok(name, json!({}));
        assert_eq!((&status["running"], &status["instances"]["Ready"]), (&json!(true), &json!(1)), "{status}");
    }
    assert!(table.ok("controller.health", json!({}))["instances"].is_object());
    assert!(table.ok("controller.items", json!({})).is_object());
    assert_eq!(table.ok("controller.reload", json!({}))["ending"], json!(false));
}

fn about_runs(world: &World, table: &mut Table) {
    let made = table.ok("runs.start", json!({ "object": "cap/mark", "params": { "word": "x" } }));
    assert_eq!(made["object"], json!("capability/mark"));
    let run = json!({ "object": "capability/mark", "run": made["run"] });
    world.until("it is over", || table.ok("runs.get", run.clone())["outcome"] == json!("ok"));
    assert_eq!(table.ok("runs.get", run.clone())["tries"][0]["number"], json!(1));
    assert_eq!(table.ok("runs.list", json!({ "object": "capability/mark" }))["items"][0]["run"], made["run"]);
    assert_eq!(table.refused("runs.cancel", run.clone()), -32001);
    assert_eq!(table.ok("runs.retry", run)["run"], made["run"]);
    assert_eq!(table.refused("runs.start", json!({ "object": "cap/mark", "params": { "wrod": "x" } })), -32602);
    assert_eq!(table.refused("runs.get", json!({ "object": "cap/mark", "run": "run-1" })), -32003);
}

#[test]
fn every_schema_is_one_and_every_method_has_words() {
    let mut names = BTreeSet::new();
    for method in method::all() {
        let schema = (method.params)();
        if !schema.is_null() {
            setpoint::engine::run::Params::of_schema(schema.clone()).unwrap_or_else(|e| panic!("{}: {e}", method.name));
            assert_eq!(schema["additionalProperties"], json!(false), "{}", method.name);
            let described = schema["properties"].as_object().expect("properties");
            assert!(described.values().all(|field| field["description"].is_string()), "{}", method.name);
        }
        assert!(!method.doc.is_empty() && !method.doc.ends_with('.'), "{}", method.name);
        assert!(names.insert(method.name), "{} stands in the table twice", method.name);
    }
}

#[test]
fn errors_have_the_codes_of_the_standard_and_the_shape_that_forms_read() {
    let world = running();
    let mut client = Client::new(&world);
    let mut told = String::new();
    for (method, params) in [
        ("controller.statsu", json!({})),
        ("nonsense", json!({})),
        ("ping", json!({ "loud": true })),
        ("controller.stop", json!({ "al": true })),
        ("controller.stop", json!({ "all": "yes" })),
        ("runs.start", json!({})),
        ("runs.start", json!({ "object": "web" })),
        ("runs.list", json!({ "limit": 0, "since": "yesterday" })),
    ] {
        let (_, error) = client.refused(method, &params);
        told += &format!("{} {}\n", error["code"], error["message"].as_str().expect("a message"));
        told += &format!("    {} {}\n", error["data"]["errors_by_field"], error["data"]["suggestions"]);
    }
    expect![[r#"
        -32601 there is no method `controller.statsu`
            {} ["did you mean controller.status?"]
        -32601 there is no method `nonsense`
            {} ["setpoint rpc lists them"]
        -32602 ping: `loud` is not known: it takes no parameters
            {"loud":"is not known: it takes no parameters"} ["remove it"]
        -32602 controller.stop: `al` is not a parameter
            {"al":"is not a parameter"} ["did you mean all?"]
        -32602 controller.stop: `all` is wrong: value is not of type "boolean"
            {"all":"is wrong: value is not of type \"boolean\""} ["see its schema: all (boolean): stop every service first"]
        -32602 runs.start: `object` is missing
            {"object":"is missing"} ["give it: object (string): KIND/NAME"]
        -32602 `object` is wrong: an object is written KIND/NAME, like service/web
            {"object":"is wrong: an object is written KIND/NAME, like service/web"} ["write KIND/NAME"]
        -32602 runs.list: `limit` is wrong: value is less than the minimum of 1
            {"limit":"is wrong: value is less than the minimum of 1"} ["see its schema: limit (integer): so many at most; 100 when left out"]
    "#]].assert_eq(&told);
}

#[test]
fn the_verb_prints_results_and_ends_by_the_error() {
    let world = running();
    let said = world.run(&["rpc", "ping"]);
    assert!(said.code == 0 && said.out.contains("\"pid\""), "{said:?}");
    for (words, code, text) in [
        (&["rpc", "runs.start", "{\"object\":\"job/none\"}"][..], 1, "there is no job/none"),
        (&["rpc", "pign"], 2, "did you mean ping?"),
        (&["rpc", "ping", "[1]"], 2, "no map of names"),
        (&["rpc", "ping", "{\"x\":1}"], 1, "`x` is not known"),
        (&["rpc"], 0, ""),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?} {said:?}");
        assert!(said.err.contains(text), "{words:?} {said:?}");
    }
    world.ok(&["controller", "stop"]);
    let said = world.run(&["rpc", "ping"]);
    assert_eq!((said.code, said.out.as_str()), (4, ""), "{said:?}");
}
