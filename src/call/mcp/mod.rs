//! A capability that is a tool of an MCP server: started for this call, or asked over HTTP.
//!
//! In: where the server is, the tool, its arguments. Out: what the tool answers. Not here: how messages travel
//! (`pipe`, `stream`).
//! The surprise: the tools of the server are listed only after a call has failed, to say which name was meant: that
//! costs nothing as long as all is well.

mod pipe;
mod sse;
mod stream;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::order::{Server, Tool};
use super::{Failure, plain, print, say};

/// The version that is asked for; whichever the server answers is taken.
const VERSION: &str = "2025-11-25";
/// The longest message of a server, in bytes.
const MESSAGE_MAX: usize = 8 << 20;
/// How long everything may take; the time limit of a run is mostly shorter, and kept by its shim.
const WHOLE: Duration = Duration::from_secs(3600);
/// How many pages of a list of tools are read, and how many tools are named.
const PAGES_MAX: usize = 20;
const NAMED_MAX: usize = 40;

/// A way to a server. Each request is answered before the next.
trait Way {
    /// Sends a request, and returns what the server answers to it.
    fn request(&mut self, method: &'static str, params: Value) -> Result<Reply, Failure>;

    /// Sends what is not answered.
    fn notify(&mut self, method: &'static str) -> Result<(), Failure>;

    /// The server has told which version is spoken.
    fn agree(&mut self, version: &str);

    /// Says farewell. Whatever goes wrong now, the answer is there.
    fn close(self: Box<Self>);
}

/// What a server answers to a request.
enum Reply {
    /// A result.
    Result(Value),
    /// An error of the protocol, in its words.
    Error(String),
}

/// Calls the tool and prints what it answers.
///
/// # Errors
/// When the server cannot be reached, there is no such tool, or it fails.
pub fn call(tool: &Tool, params: Map<String, Value>) -> Result<(), Failure> {
    let mut way: Box<dyn Way> = match &tool.server {
        Server::Argv(argv) => Box::new(pipe::Pipe::open(argv)?),
        Server::Url(url) => Box::new(stream::Stream::open(url, &tool.headers)?),
    };
    let answered = converse(way.as_mut(), &tool.tool, params);
    // Printed before the farewell, which may take its time.
    let printed = answered.and_then(|answer| print(&answer));
    way.close();
    printed
}

fn converse(way: &mut dyn Way, tool: &str, params: Map<String, Value>) -> Result<Vec<u8>, Failure> {
    let client = json!({ "name": "setpoint", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client });
    let hello = match way.request("initialize", hello)? {
        Reply::Result(hello) => hello,
        Reply::Error(words) => return Err(Failure::failed(format!("the MCP server refuses to begin: {words}"))),
    };
    let version = hello.get("protocolVersion").and_then(Value::as_str);
    way.agree(version.ok_or_else(|| Failure::failed("the MCP server does not say which version it speaks"))?);
    way.notify("notifications/initialized")?;
    match way.request("tools/call", json!({ "name": tool, "arguments": params }))? {
        Reply::Result(result) if result.get("isError").and_then(Value::as_bool) != Some(true) => Ok(answer(&result)),
        Reply::Result(result) => Err(failed(way, tool, &texts(&result).join(" "))),
        Reply::Error(words) => Err(failed(way, tool, &words)),
    }
}

/// What a tool has answered: its structured content as JSON if there is any, else its texts.
fn answer(result: &Value) -> Vec<u8> {
    match result.get("structuredContent") {
        Some(content) if !content.is_null() => format!("{content}\n").into_bytes(),
        Some(_) | None => {
            let mut text = texts(result).join("\n");
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.into_bytes()
        }
    }
}

/// The texts of a result; what is none is said to be left out.
fn texts(result: &Value) -> Vec<String> {
    let blocks = result.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text_of = |block: &Value| {
        let text = [block.get("text"), block.pointer("/resource/text"), block.get("uri")];
        let text = text.into_iter().flatten().find_map(Value::as_str).map(str::to_owned);
        if text.is_none() {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("something");
            say(&format!("a part of the answer is no text ({kind}) and is left out"));
        }
        text
    };
    blocks.iter().filter_map(text_of).collect()
}

/// Why a call failed: there is no such tool, or what the server said.
fn failed(way: &mut dyn Way, tool: &str, said: &str) -> Failure {
    let said = if said.is_empty() { "it does not say why" } else { said };
    match tools(way) {
        Some(tools) if !tools.iter().any(|name| name == tool) => Failure::failed(plain(&unknown(tool, &tools))),
        Some(_) | None => Failure::failed(plain(&format!("the tool `{tool}` failed: {said}"))),
    }
}

fn unknown(tool: &str, tools: &[String]) -> String {
    let mut meant: Vec<(f64, &String)> = tools.iter().map(|name| (strsim::jaro_winkler(name, tool), name)).collect();
    meant.sort_by(|one, other| other.0.total_cmp(&one.0));
    let meant = match meant.first() {
        Some((likeness, name)) if *likeness > 0.7 => format!(" (did you mean `{name}`?)"),
        Some(_) | None => String::new(),
    };
    let mut named: Vec<String> = tools.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    if tools.len() > NAMED_MAX {
        named.push(format!("{} more", tools.len() - NAMED_MAX));
    }
    let has = if named.is_empty() { "no tools".to_owned() } else { named.join(", ") };
    format!("the MCP server has no tool `{tool}`{meant}; it has {has}")
}

/// The names of all tools; nothing when the server does not tell.
fn tools(way: &mut dyn Way) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let params = cursor.take().map_or_else(|| json!({}), |cursor: Value| json!({ "cursor": cursor }));
        let Ok(Reply::Result(page)) = way.request("tools/list", params) else { return None };
        let tools = page.get("tools").and_then(Value::as_array)?;
        names.extend(tools.iter().filter_map(|tool| tool.get("name")?.as_str()).map(str::to_owned));
        match page.get("nextCursor") {
            Some(next) if !next.is_null() => cursor = Some(next.clone()),
            Some(_) | None => break,
        }
    }
    Some(names)
}

/// A request as it travels.
fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A notification as it travels.
fn notification(method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": method })
}

/// What a message of a server is to whoever waits for the answer to request `id`.
enum Heard {
    /// The answer.
    Reply(Reply),
    /// A request of its own, and our answer to it.
    Asked(Value),
    /// Nothing to us.
    Other,
}

fn hear(message: &Value, id: u64) -> Heard {
    let method = message.get("method").and_then(Value::as_str);
    match (method, message.get("id")) {
        (Some(method), Some(theirs)) if !theirs.is_null() => Heard::Asked(match method {
            "ping" => json!({ "jsonrpc": "2.0", "id": theirs, "result": {} }),
            _ => {
                let error = json!({ "code": -32601, "message": "this client offers nothing to a server" });
                json!({ "jsonrpc": "2.0", "id": theirs, "error": error })
            }
        }),
        (Some("notifications/message"), _) => {
            if let Some(data) = message.pointer("/params/data") {
                say(&format!("server: {}", data.as_str().map_or_else(|| data.to_string(), str::to_owned)));
            }
            Heard::Other
        }
        (None, Some(theirs)) if theirs.as_u64() == Some(id) => Heard::Reply(match message.get("error") {
            Some(error) => Reply::Error(error_words(error)),
            None => Reply::Result(message.get("result").cloned().unwrap_or(Value::Null)),
        }),
        (Some(_) | None, _) => Heard::Other,
    }
}

fn error_words(error: &Value) -> String {
    let words = error.get("message").and_then(Value::as_str).unwrap_or("it does not say why");
    match error.get("code").and_then(Value::as_i64) {
        Some(code) => plain(&format!("{words} (code {code})")),
        None => plain(words),
    }
}
