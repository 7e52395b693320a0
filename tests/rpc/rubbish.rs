//! What is no JSON-RPC, and what is on its edge.

use expect_test::expect;
use serde_json::{Value, json};

use crate::client::Client;
use crate::world::World;

fn controller() -> World {
    let world = World::new();
    world.ok(&["controller", "start"]);
    world
}

#[test]
fn what_json_rpc_says_of_odd_lines_holds() {
    let world = controller();
    let mut client = Client::new(&world);
    let mut told = String::new();
    for line in [
        "{\"jsonrpc\":\"2.0\",\"method\":\"foobar, \"params\":\"bar\",\"baz]",
        "",
        "[]",
        "[1,2]",
        "7",
        "{}",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
        "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[1]}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":\"x\"}",
        &format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        &format!("[{}1]", "1,".repeat(200)),
    ] {
        told += &short(client.say(line));
    }
    expect![[r#"
        null -32700 "this is no JSON: expected `,` or `}` at line 1 column 37"
        null -32700 "this is no JSON: EOF while parsing a value at line 1 column 0"
        null -32600 "the batch is empty"
        [
        null -32600 "a call is a JSON object"
        null -32600 "a call is a JSON object"
        ]
        null -32600 "a call is a JSON object"
        null -32600 "`jsonrpc` has to be \"2.0\""
        1 -32600 "`jsonrpc` has to be \"2.0\""
        1 -32600 "`method` has to be the name of a method"
        null -32600 "`id` is a text, a number or null"
        1 -32600 "parameters go by name here: `params` has to be an object"
        1 -32600 "`params` has to be an object"
        null -32700 "this is no JSON: recursion limit exceeded at line 1 column 128"
        null -32600 "the batch has 201 calls, and at most 100 are taken"
    "#]]
    .assert_eq(&told);
}

/// Codes, ids and messages.
fn short(answer: Value) -> String {
    match answer {
        Value::Array(list) => format!("[\n{}]\n", list.into_iter().map(short).collect::<String>()),
        answer => format!("{} {} {}\n", answer["id"], answer["error"]["code"], answer["error"]["message"]),
    }
}

#[test]
fn ids_are_echoed_notifications_are_not_answered_and_batches_are_answered_together() {
    let world = controller();
    let mut client = Client::new(&world);
    for id in [json!(null), json!(0), json!(-7), json!(1.5), json!("x"), json!(u64::MAX)] {
        let answer = client.say(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping", "params": [] }).to_string());
        assert_eq!(answer["id"], id);
        assert!(answer["result"]["pid"].is_u64(), "{answer}");
    }
    // Calls without an id get no answer, right or wrong; the next answer is that of the next call.
    let note = |method: &str| json!({ "jsonrpc": "2.0", "method": method });
    let call = |id: u64, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    assert!(client.send(format!("{}\n{}\n", note("ping"), note("nonsense")).as_bytes()));
    assert!(client.send(format!("{}\n", json!([note("ping"), note("nonsense")])).as_bytes()));
    let answers = client.say(&json!([call(1, "ping"), note("ping"), call(2, "nonsense"), 3]).to_string());
    let ids: Vec<(&Value, &Value)> =
        answers.as_array().expect("a batch").iter().map(|answer| (&answer["id"], &answer["error"]["code"])).collect();
    let (null, two) = (json!(null), json!(2));
    assert_eq!(ids, [(&json!(1), &null), (&two, &json!(-32601)), (&null, &json!(-32600))]);
}

#[test]
fn a_line_of_two_mebibytes_is_refused_and_the_next_is_served() {
    let world = controller();
    let mut client = Client::new(&world);
    let pad = "x".repeat(2 << 20);
    assert!(client.send(format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{pad}\"}}\n").as_bytes()));
    assert_eq!(client.read()["error"]["code"], json!(-32600));
    assert!(client.ok("ping", &json!({}))["pid"].is_u64());
    // Just below the bound is taken.
    let pad = "x".repeat((1 << 20) - 100);
    let answer = client.say(&format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{pad}\"}}"));
    assert_eq!(answer["error"]["code"], json!(-32601));
    assert!(answer.to_string().len() < 1000, "the name is not thrown back");
    // The last line may lack its end.
    assert!(client.send(b"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}"));
    client.finish();
    assert_eq!((&client.read()["id"], client.read()), (&json!(9), Value::Null));
}

#[test]
fn seeded_rubbish_is_answered_line_by_line() {
    let world = controller();
    let mut client = Client::new(&world);
    let mut dice = Dice(7);
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1,"b",null]}}"#;
    for round in 0..500 {
        let mut line = call.to_vec();
        for _ in 0..=dice.below(6) {
            if line.is_empty() {
                break;
            }
            let (at, byte) = (dice.below(line.len() as u64) as usize, dice.below(256) as u8);
            match dice.below(4) {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => _ = line.remove(at),
                _ => line.truncate(at.max(1)),
            }
        }
        // Every line is followed by one that is right: its answer marks the end of what was said to the first.
        line.retain(|byte| *byte != b'\n');
        line.extend_from_slice(format!("\n{}\n", json!({"jsonrpc":"2.0","id":"mark","method":"ping"})).as_bytes());
        assert!(client.send(&line), "round {round}");
        let mut answers = 0;
        while client.read()["id"] != json!("mark") {
            answers += 1;
            assert!(answers <= 1, "round {round}: {:?}", String::from_utf8_lossy(&line));
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
