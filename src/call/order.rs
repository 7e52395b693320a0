//! What a call is asked for.
//!
//! In: JSON of unknown origin. Out: an [`Order`] in which everything has its place. Not here: doing it.
//! The surprise: what is wrong is told by its place and never quoted, since any value may be a secret.

use std::collections::BTreeMap;
use std::env::VarError;
use std::io::Read;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Failure, ORDER_MAX};

/// One call, in full.
#[derive(Debug, PartialEq)]
pub struct Order {
    /// What is called.
    pub work: Work,
    /// With what.
    pub params: Map<String, Value>,
}

/// What is called.
#[derive(Debug, PartialEq)]
pub enum Work {
    /// An address of the web.
    Http(Request),
    /// A tool of a server that speaks the Model Context Protocol.
    Mcp(Tool),
    /// setpoint itself.
    Builtin(Builtin),
}

/// An HTTP request.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// One of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
    #[serde(default)]
    pub method: Method,
    /// The address.
    pub url: Text,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// What is sent: a text as it stands, anything else as JSON.
    #[serde(default)]
    pub body: Option<Value>,
    /// The answers that are a success; any from 200 to 299 when there are none.
    #[serde(default)]
    pub expect: Vec<u16>,
}

impl Request {
    /// The same with what comes from an environment taken from this one.
    #[must_use]
    pub fn found(self, find: impl Fn(&str) -> Option<String>) -> Request {
        let headers = self.headers.into_iter().map(|(name, text)| (name, text.found(&find))).collect();
        Request { url: self.url.found(&find), headers, ..self }
    }

    /// True when an answer with this status is a success.
    #[must_use]
    pub fn is_wanted(&self, status: u16) -> bool {
        match self.expect.as_slice() {
            [] => (200..300).contains(&status),
            expected => expected.contains(&status),
        }
    }
}

/// The method of a request.
#[allow(missing_docs, reason = "the words are the documentation")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// As it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }

    /// True when parameters are what is sent; otherwise they are part of the address.
    #[must_use]
    pub const fn sends_params(self) -> bool {
        match self {
            Method::Post | Method::Put | Method::Patch => true,
            Method::Get | Method::Head | Method::Delete | Method::Options => false,
        }
    }
}

/// A tool of an MCP server.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Where it is.
    pub server: Server,
    /// Its name.
    pub tool: String,
    /// Headers of each request, for a server that is asked over HTTP.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
}

/// An MCP server.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Server {
    /// A program that is started for this call.
    Argv(Vec<String>),
    /// An address.
    Url(Text),
}

/// A text as written, or taken from a variable of the environment; then it is a secret, and never shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// As written.
    Literal(String),
    /// From the environment.
    Env(FromEnv),
    /// What stood in another environment than that of this process.
    #[serde(skip)]
    Secret(Secret),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A value that stands in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// The name of the variable.
    pub env: String,
    /// What comes before its value, such as `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

impl Text {
    /// The text itself.
    ///
    /// # Errors
    /// When the variable is not set or no text; `what` says what it is for.
    pub fn value(&self, what: &str) -> Result<String, Failure> {
        match self {
            Text::Literal(text) => Ok(text.clone()),
            Text::Secret(Secret(text)) => Ok(text.clone()),
            Text::Env(FromEnv { env, prefix }) => match std::env::var(env) {
                Ok(value) => Ok(format!("{prefix}{value}")),
                Err(VarError::NotPresent) => Err(Failure::failed(format!(
                    "{what} comes from the variable `{env}`, which is not set; give it under `env:` or `envFile:`"
                ))),
                Err(VarError::NotUnicode(_)) => {
                    Err(Failure::failed(format!("{what} comes from the variable `{env}`, whose value is no text")))
                }
            },
        }
    }

    /// True when it may be shown.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        match self {
            Text::Literal(_) => true,
            Text::Env(_) | Text::Secret(_) => false,
        }
    }

    /// The same by another environment; a variable that it does not have stays one.
    #[must_use]
    pub fn found(self, find: impl Fn(&str) -> Option<String>) -> Text {
        match self {
            Text::Env(FromEnv { env, prefix }) => match find(&env) {
                Some(value) => Text::Secret(Secret(format!("{prefix}{value}"))),
                None => Text::Env(FromEnv { env, prefix }),
            },
            Text::Literal(_) | Text::Secret(_) => self,
        }
    }
}

/// A word to setpoint itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// Nothing; the answer is `{}`.
    Noop,
    /// How the controller is.
    SidecarStatus,
    /// Which jobs there are, and when they are due.
    SidecarJobs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    http: Option<Request>,
    mcp: Option<Tool>,
    builtin: Option<Builtin>,
    #[serde(default)]
    params: Option<Map<String, Value>>,
}

/// Reads an order to its end.
///
/// # Errors
/// When it cannot be read, is too long, or is no order.
pub fn read(input: impl Read) -> Result<Order, Failure> {
    let mut bytes = Vec::new();
    let length = input.take(ORDER_MAX as u64 + 1).read_to_end(&mut bytes);
    match length {
        Ok(length) if length > ORDER_MAX => Err(Failure::Order("the order is longer than 1 MiB".to_owned())),
        Ok(_) => parse(&bytes),
        Err(error) => Err(Failure::Order(format!("the order on standard input cannot be read: {error}"))),
    }
}

/// Reads an order.
///
/// # Errors
/// When it is none.
pub fn parse(bytes: &[u8]) -> Result<Order, Failure> {
    // The words of the parser quote what it found.
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Order(format!("the order on standard input is none: something is wrong at {line}:{column}"))
    })?;
    let work = match (raw.http, raw.mcp, raw.builtin) {
        (Some(request), None, None) => Work::Http(request),
        (None, Some(tool), None) => Work::Mcp(tool),
        (None, None, Some(builtin)) => Work::Builtin(builtin),
        (None, None, None) | (Some(_), _, _) | (_, Some(_), _) => {
            return Err(Failure::Order("an order has exactly one of `http`, `mcp` and `builtin`".to_owned()));
        }
    };
    if let Work::Mcp(Tool { server: Server::Argv(argv), .. }) = &work
        && argv.first().is_none_or(String::is_empty)
    {
        return Err(Failure::Order("`mcp.server` names no program".to_owned()));
    }
    Ok(Order { work, params: raw.params.unwrap_or_default() })
}
