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
    world.write(
        "inbox.yaml",
        "kind: Mailbox\nname: inbox\nrules:\n- { name: all, match: any, run: exit 3 }\nretry: { times: 0 }\n",
    );
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
    about_events(&world, &mut table);
    about_objects(&world, &mut table);
    about_plans(&mut table);
    about_jobs(&world, &mut table);
    what_explains(&world, &mut table);
    about_messages(&world, &mut table);
    by_the_names_of_aiwg(&world, &mut table);
    about_requests(&world, &mut table);
    assert_eq!(table.ok("controller.stop", json!({}))["stopped"], json!(true));
    let all: BTreeSet<String> = method::all().map(|method| method.name.to_owned()).collect();
    let untried: Vec<&String> = all.difference(&table.called).collect();
    assert!(untried.is_empty(), "no case calls {untried:?}");
}

fn about_the_controller(table: &mut Table) {
    assert!(table.ok("ping", json!({}))["pid"].is_u64());
    for name in ["controller.status", "daemon.status"] {
        let status = table.ok(name, json!({}));
        assert!(status["running"] == json!(true) && status["instances"]["Ready"].as_u64() >= Some(1), "{status}");
    }
    assert!(table.ok("controller.health", json!({}))["instances"].is_object());
    assert!(table.ok("controller.items", json!({})).is_object());
    assert!(table.ok("controller.triggers", json!({})).is_object());
    assert_eq!(table.ok("controller.reload", json!({}))["ending"], json!(false));
}

fn about_requests(world: &World, table: &mut Table) {
    let web = json!({ "action": "cycle", "for": "service/web/0", "handoff": "a word" });
    let made = table.ok("request.create", web);
    assert_eq!(made["object"], json!("service/web"), "{made}");
    assert!(made["attempts"]["0"].as_u64().is_some_and(|attempt| attempt > 0), "{made}");
    let done = || world.ok(&["events", "--type", "service.request-done"]).contains("cycle asked for by");
    world.until("it is done", done);
    assert_eq!(table.refused("request.create", json!({ "action": "restart" })), -32602);
    assert_eq!(table.refused("request.create", json!({ "action": "restart", "for": "nobody" })), -32003);
    assert_eq!(table.refused("request.create", json!({ "action": "rest", "for": "web" })), -32602);
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

fn about_events(world: &World, table: &mut Table) {
    let started = json!({ "object": "service/web", "type": "service.started" });
    world.until("its start is kept", || table.ok("events.list", started.clone())["items"] != json!([]));
    let list = table.ok("events.list", started);
    let event = &list["items"][0];
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("setpoint.service.started")), "{event}");
    assert_eq!((&event["subject"], &event["data"]["object"]), (&json!("service/web/0"), &json!("service/web")));
    assert!(event["source"].as_str().is_some_and(|source| source.starts_with("setpoint://")), "{event}");
    let told = table.ok("events.subscribe", json!({ "type": "none" }));
    assert_eq!(told["subscribed"], json!(true));
}

fn about_objects(world: &World, table: &mut Table) {
    let web = json!({ "object": "web" });
    assert_eq!(table.ok("objects.get", web.clone())["metadata"]["name"], json!("web"));
    assert_eq!(table.refused("objects.get", json!({ "object": "wbe" })), -32003);
    let list = table.ok("objects.list", json!({ "kind": "svc" }));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert!(table.ok("objects.describe", web.clone())["text"].as_str().is_some_and(|text| text.contains("Why:")));
    let some = json!({ "objects": ["service/web"] });
    let state = |table: &mut Table| table.ok("objects.get", web.clone())["status"]["state"].clone();
    let first = world.ready("web/0");
    assert_eq!(table.ok("objects.restart", some.clone())["changed"], json!(true));
    world.until("another process is up", || world.instance("web/0").attempt == 2);
    assert_ne!(world.ready("web/0"), first);
    table.ok("objects.pause", json!({ "objects": ["web"], "for": "1h", "reason": "a test" }));
    world.until("it is paused", || state(table) == json!("Paused"));
    assert_eq!(table.refused("objects.pause", json!({ "objects": ["web"], "for": "soon" })), -32602);
    assert_eq!(table.ok("objects.resume", some.clone())["changed"], json!(true));
    assert_eq!(table.ok("objects.resume", some)["changed"], json!(false));
    world.ready("web/0");
    assert_eq!(table.refused("objects.delete", json!({ "objects": ["service/none"] })), -32003);
}

fn about_plans(table: &mut Table) {
    let manifests = "kind: Service\nname: more\nrun: sleep 1000\n---\nkind: Capability\nname: hello\nrun: echo hello\n";
    let plan = table.ok("plan.create", json!({ "manifests": manifests }));
    assert_eq!((&plan["summary"]["add"], &plan["changes"][0]["action"]), (&json!(2), &json!("add")), "{plan}");
    let stale = json!({ "manifests": manifests, "expect": "p-0" });
    assert_eq!(table.refused("plan.apply", stale), -32005);
    let done = table.ok("plan.apply", json!({ "manifests": manifests, "expect": plan["plan"] }));
    assert!(done["generation"].as_u64() > Some(1), "{done}");
    let (code, error) =
        table.client.refused("plan.create", &json!({ "manifests": "kind: Service\nname: x\nrnu: x\n" }));
    assert_eq!(code, -32602);
    assert!(error["data"]["errors_by_field"]["manifests"].as_str().is_some_and(|text| text.contains("3:1")), "{error}");
    assert_eq!(table.refused("plan.create", json!({ "files": ["relative.yaml"] })), -32602);
    assert_eq!(table.refused("plan.create", json!({})), -32602);
    let gone = table.ok("objects.delete", json!({ "objects": ["service/more"] }));
    assert_eq!(gone["objects"], json!(["service/more"]));
}

fn about_jobs(world: &World, table: &mut Table) {
    let fields = json!({ "schedule": "0 3 * * *", "run": "true" });
    let job = json!({ "name": "nightly", "description": "nothing", "fields": fields });
    assert_eq!(table.ok("jobs.validate", job.clone())["action"], json!("created"));
    assert_eq!(table.ok("jobs.list", json!({}))["items"], json!([]), "nothing was written");
    assert_eq!(table.ok("jobs.create", job.clone())["success"], json!(true));
    assert_eq!(table.refused("jobs.create", job), -32005);
    assert_eq!(table.ok("jobs.get", json!({ "name": "nightly" }))["schedule"], json!("0 3 * * *"));
    let change = json!({ "name": "nightly", "fields": { "schedule": "0 4 * * *" } });
    assert_eq!(table.ok("jobs.update", change)["action"], json!("changed"));
    world.until("it is applied", || {
        table.client.call("objects.get", &json!({ "object": "cronjob/nightly" }))["result"]["spec"]["schedule"]
            == json!("0 4 * * *")
    });
    let wrong = json!({ "name": "nightly", "fields": { "schedule": "0 25 * * *", "capability": "helo", "run": null } });
    let (code, error) = table.client.refused("jobs.update", &wrong);
    assert_eq!(code, -32602, "{error}");
    assert!(error["data"]["errors_by_field"]["schedule"].is_string(), "{error}");
    assert_eq!(table.ok("jobs.delete", json!({ "name": "nightly" }))["success"], json!(true));
    assert_eq!(table.refused("jobs.get", json!({ "name": "nightly" })), -32003);
}

fn what_explains(world: &World, table: &mut Table) {
    let mark = json!({ "object": "capability/mark", "lines": 1 });
    world.until("its line is there", || table.ok("logs.tail", mark.clone())["items"][0]["text"] == json!("marked"));
    assert_eq!(table.refused("logs.tail", json!({ "object": "nothing" })), -32003);
    let cron = json!({ "schedule": "0 3 * * *", "tz": "UTC", "from": "2026-11-21T00:00:00Z", "count": 2 });
    let next = json!(["2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"]);
    assert_eq!(table.ok("cron.describe", cron)["next"], next);
    assert_eq!(table.refused("cron.describe", json!({ "schedule": "0 25 * * *" })), -32602);
    assert_eq!(table.ok("schema.get", json!({ "kind": "svc" }))["type"], json!("object"));
    assert!(table.ok("schema.get", json!({})).is_object());
    assert_eq!(table.refused("schema.get", json!({ "kind": "servcie" })), -32003);
}

fn about_messages(world: &World, table: &mut Table) {
    let sent = table.ok("mailbox.send", json!({ "mailbox": "inbox", "message": "hello", "id": "a" }));
    assert!(sent.is_object(), "{sent}");
    let list = json!({ "mailbox": "inbox", "states": ["dead"] });
    world.until("it is dead", || table.ok("mailbox.list", list.clone())["items"][0]["state"] == json!("dead"));
    let id = table.ok("mailbox.list", list)["items"][0]["id"].clone();
    let one = json!({ "mailbox": "inbox", "id": id });
    assert_eq!(table.ok("mailbox.get", one.clone())["payload"], json!("hello"));
    table.ok("mailbox.retry", one.clone());
    world.until("it is dead again", || table.ok("mailbox.get", one.clone())["state"] == json!("dead"));
    table.ok("mailbox.drop", one.clone());
    let none = json!({ "mailbox": "inbox", "id": "none" });
    assert_eq!(table.refused("mailbox.get", none.clone()), -32003);
    assert!(table.refused("mailbox.cancel", none) < 0);
    assert_eq!(table.refused("mailbox.send", json!({ "mailbox": "inbox" })), -32602);
}

fn by_the_names_of_aiwg(world: &World, table: &mut Table) {
    let made = table.ok("task.submit", json!({ "object": "capability/mark" }));
    let id = format!("capability/mark/{}", made["run"].as_str().expect("a name"));
    let task = json!({ "id": id });
    world.until("it is over", || table.ok("task.get", task.clone())["outcome"] == json!("ok"));
    assert_eq!(table.ok("task.list", json!({}))["items"][0]["run"], made["run"]);
    assert!(table.ok("task.stats", json!({}))["states"]["ok"].as_u64() >= Some(2));
    assert_eq!(table.refused("task.cancel", task), -32001);
    assert_eq!(table.refused("task.get", json!({ "id": "mark" })), -32602);
    assert_eq!(table.refused("task.submit", json!({ "prompt": "tidy up" })), -32010);
    assert_eq!(table.refused("task.submit", json!({})), -32602);
    assert_eq!(table.refused("chat.send", json!({ "message": "hello" })), -32010);
    assert_eq!(table.ok("automation.status", json!({}))["items"], json!([]));
    assert_eq!(table.ok("automation.disable", json!({}))["changed"], json!(false));
    assert_eq!(table.ok("automation.enable", json!({}))["changed"], json!(false));
    assert_eq!(table.refused("automation.enable", json!({ "name": "none" })), -32003);
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
    // One that subscribes prints what comes, one CloudEvent a line, and ends with the controller.
    let out = world.root().join("heard");
    let file = std::fs::File::create(&out).expect("a file");
    let mut listener = world.command(&["rpc", "events.subscribe", "{\"after\":0}"]);
    let mut listener = listener.stdout(file).stderr(std::process::Stdio::null()).spawn().expect("the binary");
    world.until("it has heard of the start", || {
        let heard = std::fs::read_to_string(&out).unwrap_or_default();
        let first = heard.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
        first.is_some_and(|event| event["specversion"] == json!("1.0"))
    });
    world.ok(&["controller", "stop"]);
    assert_eq!(listener.wait().expect("an end").code(), Some(4));
    let said = world.run(&["rpc", "ping"]);
    assert_eq!((said.code, said.out.as_str()), (4, ""), "{said:?}");
}
