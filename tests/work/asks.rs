//! Asking for runs over the socket, and reading what became of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use setpoint::store::reader::Reader;
use setpoint::store::{Books, RunFilter, RunRow};

use crate::world::World;

/// Asks the controller: its result, or what it says of an error; none when it went away before it answered.
pub fn ask(world: &World, method: &str, params: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(world.home().join("controller.sock")).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream.write_all(format!("{call}\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    let reply: Value = serde_json::from_str(&line).ok()?;
    Some(if reply["error"].is_null() { reply["result"].clone() } else { reply["error"]["data"].clone() })
}

/// Asks for a run of an object; its cause, when that is certain.
pub fn start(world: &World, object: &str, params: &Value) -> Option<String> {
    let said = ask(world, "runs.start", &json!({ "object": object, "params": params, "by": "a test" }))?;
    said["run"].as_str().map(str::to_owned)
}

/// Every run of an object that the store knows, by cause; steps too.
pub fn runs(world: &World, object: &str) -> BTreeMap<String, RunRow> {
    let reader = Reader::open(&world.home().join("store.db")).expect("a store that can be read");
    let object = object.parse().expect("a name");
    let filter = RunFilter { object: Some(object), with_steps: true, ..RunFilter::default() };
    let rows = reader.runs(&filter).expect("runs");
    rows.into_iter().map(|row| (row.cause.to_string(), row)).collect()
}

/// How a run ended, in the engine's word; empty while it has not.
pub fn outcome(row: &RunRow) -> String {
    row.end.as_ref().map_or(String::new(), |end| end.outcome.to_string())
}
