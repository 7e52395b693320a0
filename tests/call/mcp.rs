//! Tools of MCP servers: one in Python that is started for a call, one here that is asked over HTTP.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Asked, Done, SECRET, Server, answer, call, call_with};

/// Speaks as the protocol says; its first word says how it behaves.
const SERVER: &str = r#"
import json, os, signal, sys, time
mode = sys.argv[1]
def say(message):
    print(json.dumps(message), flush=True)
def reply(id, **more):
    say({"jsonrpc": "2.0", "id": id, **more})
def text(*texts):
    return {"content": [{"type": "text", "text": t} for t in texts]}
is_ready = False
print("server began", file=sys.stderr, flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if mode == "deaf":
        time.sleep(1000)
    if method == "initialize":
        assert params["protocolVersion"] == "2025-11-25" and params["clientInfo"]["name"] == "setpoint", params
        if mode == "dies":
            sys.exit(3)
        if mode == "refuses":
            reply(id, error={"code": -32602, "message": "unsupported protocol version"})
            continue
        version = {"old": "2024-11-05"}.get(mode, "2025-11-25")
        if mode == "noisy":
            print("a banner that is no JSON", flush=True)
            say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "warming up"}})
            say({"jsonrpc": "2.0", "id": id, "method": "ping"})
            assert json.loads(sys.stdin.readline()) == {"jsonrpc": "2.0", "id": id, "result": {}}
            say({"jsonrpc": "2.0", "id": "x", "method": "roots/list"})
            assert json.loads(sys.stdin.readline())["error"]["code"] == -32601
        reply(id, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
    elif method == "notifications/initialized":
        is_ready = True
    elif method == "tools/list":
        pages = [["echo", "env", "fail"], ["search_issues", "structured"]]
        page = int(params.get("cursor") or 0)
        more = {"nextCursor": str(page + 1)} if page + 1 < len(pages) else {}
        reply(id, result={"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in pages[page]], **more})
    elif method == "tools/call":
        assert is_ready
        name, arguments = params["name"], params["arguments"]
        if name == "echo":
            reply(id, result=text(json.dumps(arguments, sort_keys=True), "second"))
        elif name == "env":
            reply(id, result=text(os.environ.get(arguments["name"], "nothing")))
        elif name == "structured":
            reply(id, result={**text("for people"), "structuredContent": {"a": [1, 2], "b": arguments}})
        elif name == "parts":
            parts = [{"type": "image", "data": "aGk=", "mimeType": "image/png"},
                     {"type": "resource", "resource": {"uri": "file:///x", "text": "inside"}},
                     {"type": "resource_link", "uri": "file:///y", "name": "y"}]
            reply(id, result={"content": parts})
        elif name == "big":
            reply(id, result=text("x" * arguments["length"]))
        elif name == "fail":
            reply(id, result={**text("the disk", "is full"), "isError": True})
        elif name == "protocol":
            reply(id, error={"code": -32603, "message": "it broke"})
        elif mode == "iserror":
            reply(id, result={**text("Unknown tool: " + name), "isError": True})
        else:
            reply(id, error={"code": -32602, "message": "Unknown tool: " + name})
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[2], "w").write(str(os.getpid()))
    time.sleep(1000)
if mode == "polite":
    open(sys.argv[2], "w").write("it saw the end of its input")
"#;

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("server.py"), SERVER).expect("a file");
        Lab { folder }
    }

    fn trace(&self) -> String {
        self.folder.path().join("trace").display().to_string()
    }

    fn order(&self, mode: &str, tool: &str, params: &Value) -> Value {
        let script = self.folder.path().join("server.py").display().to_string();
        json!({ "mcp": { "server": ["python3", script, mode, self.trace()], "tool": tool }, "params": params })
    }

    fn call(&self, mode: &str, tool: &str, params: &Value) -> Done {
        call(&self.order(mode, tool, params))
    }
}

#[test]
fn a_tool_answers_with_its_texts_or_its_structure() {
    let lab = Lab::new();
    for mode in ["plain", "old", "noisy"] {
        let done = lab.call(mode, "echo", &json!({ "b": "\u{e4}\n", "a": 1 }));
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "{\"a\": 1, \"b\": \"\\u00e4\\n\"}\nsecond\n"),
            "{}",
            done.err
        );
        assert!(done.err.starts_with("server began\n"), "{}", done.err);
        let noise = "server: a banner that is no JSON\nserver: warming up\n";
        assert_eq!(done.err.contains(noise), mode == "noisy", "{}", done.err);
    }
    let done = lab.call("plain", "structured", &json!({ "c": null }));
    assert_eq!((done.code, done.text().as_str()), (0, "{\"a\":[1,2],\"b\":{\"c\":null}}\n"));
    let done = lab.call("plain", "parts", &Value::Null);
    assert_eq!((done.code, done.text().as_str()), (0, "inside\nfile:///y\n"));
    assert!(done.err.contains("a part of the answer is no text (image) and is left out"), "{}", done.err);
}

#[test]
fn large_arguments_and_answers_go_through() {
    let lab = Lab::new();
    // More than a pipe holds, both ways at once.
    let long = "y".repeat(900_000);
    let done = lab.call("plain", "echo", &json!({ "long": long }));
    assert_eq!((done.code, done.out.len()), (0, 900_000 + "{\"long\": \"\"}\nsecond\n".len()), "{}", done.err);
    let done = lab.call("plain", "big", &json!({ "length": 3_000_000 }));
    assert_eq!((done.code, done.out.len()), (0, 1 << 20));
    assert!(done.err.contains("longer than 1 MiB"), "{}", done.err);
    let done = lab.call("plain", "big", &json!({ "length": 9_000_000 }));
    assert_eq!((done.code, done.error().as_str()), (1, "the MCP server `python3` sent a message over 8 MiB"));
}

#[test]
fn what_fails_says_why_in_one_line() {
    let lab = Lab::new();
    let table = [
        ("plain", "fail", "the tool `fail` failed: the disk is full"),
        (
            "plain",
            "protocol",
            "the MCP server has no tool `protocol`; it has `echo`, `env`, `fail`, `search_issues`, `structured`",
        ),
        ("refuses", "echo", "the MCP server refuses to begin: unsupported protocol version (code -32602)"),
        ("dies", "echo", "the MCP server `python3` ended (exit status: 3) before it had answered; see its log"),
    ];
    for (mode, tool, error) in table {
        let done = lab.call(mode, tool, &json!({}));
        assert_eq!((done.code, done.error().as_str(), done.out.len()), (1, error, 0), "{mode} {tool}");
    }
    let missing = call(&json!({ "mcp": { "server": ["no-such-server", SECRET], "tool": "a" } }));
    let error = "the MCP server `no-such-server` cannot be started: No such file or directory";
    assert_eq!((missing.code, missing.error().as_str()), (1, error));
    let silent = call(&json!({ "mcp": { "server": ["true", SECRET], "tool": "a" } }));
    let error = "the MCP server `true` ended (exit status: 0) before it had answered; see its log";
    assert_eq!((silent.code, silent.error().as_str()), (1, error));
    let other = call(&json!({ "mcp": { "server": ["sh", "-c", "read x; exec sleep 1000 >&-"], "tool": "a" } }));
    let error = "the MCP server `sh` closed its output before it had answered";
    assert_eq!((other.code, other.error().as_str()), (1, error));
}

#[test]
fn an_unknown_tool_is_answered_with_those_there_are() {
    let lab = Lab::new();
    let has = "it has `echo`, `env`, `fail`, `search_issues`, `structured`";
    for mode in ["plain", "iserror"] {
        let done = lab.call(mode, "search_issue", &json!({}));
        let error = format!("the MCP server has no tool `search_issue` (did you mean `search_issues`?); {has}");
        assert_eq!((done.code, done.error()), (1, error));
        let done = lab.call(mode, "zzz", &json!({}));
        assert_eq!((done.code, done.error()), (1, format!("the MCP server has no tool `zzz`; {has}")));
    }
}

#[test]
fn a_server_has_our_environment() {
    let lab = Lab::new();
    for (name, value) in [("SETPOINT_INSTANCE", "x/job/a/1"), ("API_KEY", "plain")] {
        let order = lab.order("plain", "env", &json!({ "name": name })).to_string();
        let done = call_with(order.as_bytes(), &[(name, value)]);
        assert_eq!((done.code, done.text()), (0, format!("{value}\n")));
    }
}

#[test]
fn a_server_sees_the_end_of_its_input_and_one_that_stays_is_ended() {
    let lab = Lab::new();
    assert_eq!(lab.call("polite", "echo", &json!({})).code, 0);
    assert_eq!(std::fs::read_to_string(lab.trace()).expect("its words"), "it saw the end of its input");
    let begun = Instant::now();
    let done = lab.call("stubborn", "echo", &json!({}));
    assert_eq!((done.code, done.text().as_str()), (0, "{}\nsecond\n"), "{}", done.err);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was given no time");
    let pid = std::fs::read_to_string(lab.trace()).expect("its pid");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives on");
}

fn rpc(asked: &Asked, result: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": asked.json()["id"], "result": result }).to_string()
}

fn hello() -> Value {
    json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": { "name": "s", "version": "1" } })
}

fn remote(server: &Server, tool: &str, headers: Value) -> Done {
    let mcp = json!({ "server": server.url("/mcp"), "tool": tool, "headers": headers });
    let order = json!({ "mcp": mcp, "params": { "a": 1 } }).to_string();
    call_with(order.as_bytes(), &[("TOKEN", SECRET)])
}

#[test]
fn a_server_is_asked_over_http_with_its_session() {
    let server = Server::new(|asked: &Asked| {
        let json = "Content-Type: application/json";
        if asked.method == "DELETE" {
            return answer("405 Method Not Allowed", &[], "");
        }
        match asked.json()["method"].as_str() {
            Some("initialize") => answer("200 OK", &[json, "Mcp-Session-Id: s-1"], rpc(asked, hello())),
            Some("notifications/initialized") => answer("202 Accepted", &[], ""),
            Some("tools/list") => answer("200 OK", &[json], rpc(asked, json!({ "tools": [{ "name": "sum" }] }))),
            _ if asked.json()["params"]["name"] != "sum" => {
                let error = json!({ "code": -32602, "message": "Unknown tool" });
                let message = json!({ "jsonrpc": "2.0", "id": asked.json()["id"], "error": error });
                answer("200 OK", &[json], message.to_string())
            }
            _ => answer("200 OK", &[json], rpc(asked, json!({ "content": [{ "type": "text", "text": "3" }] }))),
        }
    });
    let done = remote(&server, "sum", json!({ "Authorization": { "env": "TOKEN" } }));
    assert_eq!((done.code, done.text().as_str()), (0, "3\n"), "{}", done.err);
    let asked = server.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["POST", "POST", "POST", "DELETE"]);
    for (number, asked) in asked.iter().enumerate() {
        assert_eq!(asked.header("authorization"), Some(SECRET));
        assert_eq!(asked.header("accept"), Some("application/json, text/event-stream"));
        let later = (number > 0).then_some(("s-1", "2025-06-18"));
        assert_eq!(asked.header("mcp-session-id").zip(asked.header("mcp-protocol-version")), later);
    }
    assert_eq!(asked[2].json()["params"], json!({ "name": "sum", "arguments": { "a": 1 } }));
    let done = remote(&server, "sun", json!({}));
    let error = "the MCP server has no tool `sun` (did you mean `sum`?); it has `sum`";
    assert_eq!((done.code, done.error().as_str()), (1, error));
}

#[test]
fn an_answer_may_come_as_a_stream_that_breaks_off() {
    let resumed = AtomicUsize::new(0);
    let server = Server::new(move |asked: &Asked| {
        let stream = "Content-Type: text/event-stream";
        let event = |data: &str| format!("event: message\ndata: {data}\n\n");
        if asked.method == "GET" {
            // Nothing at first, then the answer.
            let times = resumed.fetch_add(1, Ordering::SeqCst);
            let result = json!({ "structuredContent": { "from": asked.header("last-event-id") }, "content": [] });
            let message = json!({ "jsonrpc": "2.0", "id": 2, "result": result }).to_string();
            let body = if times == 0 { "id: e2\nretry: 1\ndata:\n\n".to_owned() } else { event(&message) };
            return answer("200 OK", &[stream], body);
        }
        match asked.json()["method"].as_str() {
            Some("initialize") => answer("200 OK", &[stream], event(&rpc(asked, hello()))),
            Some("tools/call") => {
                let ping = event("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
                answer("200 OK", &[stream], format!(": hello\n\nid: e1\nretry: 1\ndata:\n\n{ping}"))
            }
            _ => answer("202 Accepted", &[], ""),
        }
    });
    let done = remote(&server, "sum", json!({}));
    assert_eq!((done.code, done.text().as_str()), (0, "{\"from\":\"e2\"}\n"), "{}", done.err);
    let asked = server.asked();
    let pong = asked.iter().find(|asked| asked.method == "POST" && asked.json()["id"] == "p").expect("an answer");
    assert_eq!(pong.json()["result"], json!({}));
}

#[test]
fn a_server_that_is_none_is_told_apart() {
    let table = [
        (answer("404 Not Found", &[], "no"), "answered 404 Not Found"),
        (answer("401 Unauthorized", &[], "{\"error\":{\"message\":\"no key\"}}"), "answered 401 Unauthorized: no key"),
        (answer("200 OK", &["Content-Type: text/html"], "<html>"), "answers no MCP; check the address"),
        (answer("200 OK", &["Content-Type: text/event-stream"], ""), "ended its answer to `initialize` too early"),
        (
            answer("202 Accepted", &["Content-Type: application/json"], "{}"),
            "ended its answer to `initialize` too early",
        ),
    ];
    for (bytes, error) in table {
        let server = Server::new(move |_| bytes.clone());
        let done = remote(&server, "sum", json!({ "X-Key": { "env": "TOKEN" } }));
        assert_eq!(done.code, 1);
        let at = server.url("/mcp");
        assert!(done.error().starts_with(&at) && done.error().ends_with(error), "{}", done.err);
    }
}
