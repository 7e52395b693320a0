//! An MCP server that is asked over HTTP: each message is a POST, answered as JSON or as a stream of events.
//!
//! In: an address and headers. Out: a [`Way`]. Not here: redirections and what headers survive them (`web`).
//! The surprise: a server may close a stream before it has answered and be asked for the rest, so an answer that takes
//! minutes need not hold a connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Uri;
use ureq::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::{Heard, MESSAGE_MAX, Reply, Way, hear, notification, request, sse};
use crate::call::order::{Method, Text};
use crate::call::web::{self, Incoming, Outgoing, Web};
use crate::call::{Failure, plain};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// How often the rest of a stream is asked for, and how long is waited before by default and at most.
const RESUMES_MAX: u32 = 1000;
const RESUME: Duration = Duration::from_secs(1);
const RESUME_MAX: Duration = Duration::from_secs(60);

/// A server that is there already.
pub struct Stream {
    web: Web,
    uri: Uri,
    is_public: bool,
    headers: HeaderMap,
    last: u64,
}

/// How long saying farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where a stream broke off, and when to ask for the rest.
struct Rest {
    id: String,
    after: Duration,
}

impl Stream {
    /// Gets ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// When the address or a header is none.
    pub fn open(url: &Text, given: &BTreeMap<String, Text>) -> Result<Stream, Failure> {
        let mut headers = web::headers(given)?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Stream { web: Web::new(), uri: web::address(url)?, is_public: url.is_public(), headers, last: 0 })
    }

    fn exchange(&self, method: Method, headers: HeaderMap, body: Option<Vec<u8>>) -> Result<Incoming, Failure> {
        let outgoing = Outgoing { method, uri: self.uri.clone(), is_public: self.is_public, headers, body };
        let incoming = self.web.exchange(outgoing, |_| false)?;
        let status = incoming.response.status();
        if status.is_success() {
            return Ok(incoming);
        }
        let Incoming { response, from } = incoming;
        let mut body = String::new();
        // Words of a server that refuses: a short text at most, and none is fine.
        _ = response.into_body().into_reader().take(4096).read_to_string(&mut body);
        let said = serde_json::from_str::<Value>(&body).ok();
        let said = said.as_ref().and_then(|said| said.pointer("/error/message")).and_then(Value::as_str);
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        let words = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or(""));
        Err(Failure::failed(plain(&format!("{from} answered {}{said}", words.trim_end()))))
    }

    fn post(&self, message: &Value) -> Result<Incoming, Failure> {
        self.exchange(Method::Post, self.headers.clone(), Some(message.to_string().into_bytes()))
    }

    /// Keeps what the server wants to hear again.
    fn note(&mut self, incoming: &Incoming) {
        if let Some(session) = incoming.response.headers().get(SESSION) {
            let mut session = session.clone();
            // Whoever has it can speak for us.
            session.set_sensitive(true);
            self.headers.insert(SESSION, session);
        }
    }

    /// What a body answers; the rest of a stream, or nothing, when it does not.
    fn read(&self, incoming: Incoming, rest: Option<Rest>) -> Result<Result<Reply, Option<Rest>>, Failure> {
        let Incoming { response, from } = incoming;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
        let mut body = BufReader::new(response.into_body().into_reader());
        if kind.starts_with("text/event-stream") {
            return self.events(&mut body, rest);
        }
        let mut text = Vec::new();
        let read = body.take(MESSAGE_MAX as u64 + 1).read_to_end(&mut text);
        if read.is_err() || text.len() > MESSAGE_MAX {
            return Err(Failure::failed(format!("{from}: the answer broke off, or is over 8 MiB")));
        }
        let message = serde_json::from_slice::<Value>(&text);
        let message = message.map_err(|_| Failure::failed(format!("{from} answers no MCP; check the address")))?;
        let messages = match message {
            Value::Array(messages) => messages,
            message => vec![message],
        };
        for message in &messages {
            if let Some(reply) = self.hear(message)? {
                return Ok(Ok(reply));
            }
        }
        Ok(Err(None))
    }

    fn events(&self, body: &mut impl BufRead, rest: Option<Rest>) -> Result<Result<Reply, Option<Rest>>, Failure> {
        let (mut id, mut after) = match rest {
            Some(Rest { id, after }) => (Some(id), after),
            None => (None, RESUME),
        };
        // A connection that breaks is a stream that ends: what is left of it can be asked for.
        while let Ok(Some(event)) = sse::next(body) {
            id = event.id.filter(|id| !id.is_empty()).or(id);
            after = event.retry.map_or(after, |retry| retry.min(RESUME_MAX));
            if event.data.is_empty() {
                continue;
            }
            if let Ok(message) = serde_json::from_str::<Value>(&event.data)
                && let Some(reply) = self.hear(&message)?
            {
                return Ok(Ok(reply));
            }
        }
        Ok(Err(id.map(|id| Rest { id, after })))
    }

    fn hear(&self, message: &Value) -> Result<Option<Reply>, Failure> {
        match hear(message, self.last) {
            Heard::Reply(reply) => Ok(Some(reply)),
            Heard::Asked(answer) => self.post(&answer).map(|_| None),
            Heard::Other => Ok(None),
        }
    }
}

impl Way for Stream {
    fn request(&mut self, method: &'static str, params: Value) -> Result<Reply, Failure> {
        self.last += 1;
        let mut incoming = self.post(&request(self.last, method, &params))?;
        self.note(&incoming);
        let mut rest = None;
        for _ in 0..RESUMES_MAX {
            let from = incoming.from.clone();
            match self.read(incoming, rest)? {
                Ok(reply) => return Ok(reply),
                Err(None) => return Err(Failure::failed(format!("{from} ended its answer to `{method}` too early"))),
                Err(Some(next)) => {
                    std::thread::sleep(next.after.min(self.web.left()));
                    let mut headers = self.headers.clone();
                    headers.remove(CONTENT_TYPE);
                    let id = HeaderValue::from_str(&next.id);
                    headers.insert(LAST_EVENT, id.map_err(|_| Failure::failed(format!("{from} names an odd event")))?);
                    incoming = self.exchange(Method::Get, headers, None)?;
                    rest = Some(next);
                }
            }
        }
        Err(Failure::failed(format!("the MCP server broke off its answer to `{method}` {RESUMES_MAX} times")))
    }

    fn notify(&mut self, method: &'static str) -> Result<(), Failure> {
        self.post(&notification(method)).map(drop)
    }

    fn agree(&mut self, version: &str) {
        if let Ok(version) = HeaderValue::from_str(version) {
            self.headers.insert(VERSION, version);
        }
    }

    fn close(mut self: Box<Self>) {
        self.web.hurry(FAREWELL);
        // A session that is not ended lapses by itself; many servers refuse this.
        if self.headers.contains_key(SESSION) {
            _ = self.exchange(Method::Delete, self.headers.clone(), None);
        }
    }
}
