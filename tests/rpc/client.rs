//! A client that knows nothing of the product: a socket, and JSON.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

/// No test waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    pub fn new(world: &World) -> Client {
        let stream = UnixStream::connect(world.home().join("controller.sock")).expect("a controller");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        Client { reader: BufReader::new(stream) }
    }

    pub fn send(&self, bytes: &[u8]) -> bool {
        self.reader.get_ref().write_all(bytes).is_ok()
    }

    /// Says no more.
    pub fn finish(&self) {
        self.reader.get_ref().shutdown(std::net::Shutdown::Write).expect("a socket");
    }

    /// The next line; null when the connection is over.
    pub fn read(&mut self) -> Value {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Value::Null,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The answer to one line.
    pub fn say(&mut self, line: &str) -> Value {
        assert!(self.send(format!("{line}\n").as_bytes()), "{line}");
        self.read()
    }

    /// The answer to a call, with `result` or `error`.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let answer =
            self.say(&json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params }).to_string());
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
        answer
    }

    /// The result of a call that must succeed.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: &Value) -> Value {
        let mut answer = self.call(method, params);
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].take()
    }

    /// The code of the error of a call that must fail, with the whole error in the shape that forms read.
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: &Value) -> (i64, Value) {
        let mut answer = self.call(method, params);
        let error = answer["error"].take();
        let data = &error["data"];
        assert_eq!(data["success"], json!(false), "{method} {params}: {answer} {error}");
        assert_eq!(data["error"], error["message"], "{error}");
        assert!(data["errors_by_field"].is_object() && data["suggestions"].is_array(), "{error}");
        (error["code"].as_i64().expect("a code"), error)
    }
}
