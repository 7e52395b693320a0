//! Addresses of probes, as people write them: `8080`, `:8080/health`, `http://db.local:8080/health`.
//!
//! In: text or a port. Out: a host, a port and a path, and the shortest text that means them.
//! Not here: resolving names. The surprise: without a host it is this machine, by number, so that no resolver is asked.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::{Text, Wrong};
use crate::engine::probe::{Check, Poke};

/// Where it is asked when no host is written.
const HERE: &str = "127.0.0.1";

/// 1 to 65535, as a pattern.
const PORT: &str = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";

const TCP_HELP: &str = "write a port, or a host and a port: 8080 or db.local:5432";
const HTTP_HELP: &str = "write an address such as :8080/health or http://db.local:8080/health";

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = tcp_schema)]
pub struct TcpAddress {
    host: String,
    port: u16,
}

/// A host, a port and a path.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = http_schema)]
pub struct HttpAddress {
    at: TcpAddress,
    path: String,
}

fn tcp_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 65535,
        "pattern": format!("^(\\[?[A-Za-z0-9._:%-]*\\]?:)?{PORT}$"),
        "examples": [8080, "db.local:5432"],
        "x-type": "tcp",
        "x-rule": "it takes a port such as 8080, or a host and a port such as db.local:5432",
    });
}

fn http_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 65535,
        "pattern": format!("^(http://\\[?[A-Za-z0-9._:%-]+\\]?(:{PORT})?|(\\[?[A-Za-z0-9._:%-]*\\]?:)?{PORT})([/?][!-~]*)?$"),
        "x-type": "http",
        "examples": [":8080/health", "http://db.local:8080/health"],
        "x-rule": "it takes an address such as :8080/health",
    });
}

impl TcpAddress {
    /// The question for the engine.
    #[must_use]
    pub fn check(&self) -> Check {
        Check::Tcp { host: self.host.as_str().into(), port: self.port }
    }
}

impl HttpAddress {
    fn parts(&self) -> (Arc<str>, u16, Arc<str>) {
        (self.at.host.as_str().into(), self.at.port, self.path.as_str().into())
    }

    /// The question for the engine.
    #[must_use]
    pub fn check(&self) -> Check {
        let (host, port, path) = self.parts();
        Check::Http { host, port, path }
    }

    /// The poke for the engine.
    #[must_use]
    pub fn poke(&self) -> Poke {
        let (host, port, path) = self.parts();
        Poke::Http { host, port, path }
    }
}

impl FromStr for TcpAddress {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<TcpAddress, Wrong> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
        if !host.bytes().all(is_plain) || host.len() > 253 {
            return Err(Wrong::new("names no host", TCP_HELP));
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => {
                let host = if host.is_empty() { HERE } else { host };
                Ok(TcpAddress { host: host.to_owned(), port })
            }
            Ok(_) | Err(_) => Err(Wrong::new("has no port from 1 to 65535", TCP_HELP)),
        }
    }
}

impl FromStr for HttpAddress {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<HttpAddress, Wrong> {
        if text.starts_with("https:") {
            let help = "write a command instead: command: [curl, -fsS, \"https://localhost:8443/health\"]";
            return Err(Wrong::new("is https, which is not probed", help));
        }
        let is_url = text.starts_with("http://");
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (at, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let at = if is_url && !at.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(':') {
            format!("{at}:80")
        } else {
            at.to_owned()
        };
        if path.bytes().any(|b| b.is_ascii_control() || b == b' ' || !b.is_ascii()) || path.len() > 2048 {
            return Err(Wrong::new("has a path with something that must be percent-encoded", HTTP_HELP));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let at = at.parse().map_err(|wrong: Wrong| Wrong::new(wrong.what, HTTP_HELP))?;
        Ok(HttpAddress { at, path })
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str(), self.host.contains(':')) {
            (HERE, _) => write!(f, ":{}", self.port),
            (host, true) => write!(f, "[{host}]:{}", self.port),
            (host, false) => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { self.path.as_str() };
        write!(f, "{}{path}", self.at)
    }
}

impl Serialize for TcpAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.host.as_str() {
            HERE => serializer.serialize_u16(self.port),
            _ => serializer.collect_str(self),
        }
    }
}

impl Serialize for HttpAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TcpAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TcpAddress, D::Error> {
        Text::deserialize(deserializer)?.0.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for HttpAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpAddress, D::Error> {
        Text::deserialize(deserializer)?.0.parse().map_err(de::Error::custom)
    }
}
