//! A capability that is an address: one request, its answer printed.
//!
//! In: a request and parameters. Out: the body of the answer on standard output. Not here: the exchange (`web`).
//! The surprise: parameters go where the method has a place for them: POST, PUT and PATCH send them as JSON unless a
//! body is given, the others carry them in the address.

use std::io::Read;

use serde_json::{Map, Value};
use ureq::http::Uri;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};

use super::order::{Request, Text};
use super::web::{self, Incoming, Outgoing, Web};
use super::{ANSWER_MAX, Failure, print, say};

/// Sends the request and prints the answer, also one that is no success.
///
/// # Errors
/// When it cannot be sent, nobody answers, or the status is not one that was expected.
pub fn call(request: &Request, params: &Map<String, Value>) -> Result<(), Failure> {
    let outgoing = outgoing(request, params)?;
    let Incoming { response, from } = Web::new().exchange(outgoing, |status| request.is_wanted(status))?;
    let status = response.status();
    let words = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("")).trim_end().to_owned();
    say(&format!("{} {from}: {words}", request.method.as_str()));
    let mut body = Vec::new();
    // One byte more than is printed, so that a cut is noticed.
    let read = response.into_body().into_reader().take(ANSWER_MAX as u64 + 1).read_to_end(&mut body);
    print(&body)?;
    if let Err(error) = read {
        let length = body.len();
        return Err(Failure::failed(format!("{from}: the answer broke off after {length} bytes: {}", why(&error))));
    }
    if request.is_wanted(status.as_u16()) {
        return Ok(());
    }
    let expected = match request.expect.as_slice() {
        [] => "200 to 299".to_owned(),
        expected => expected.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    };
    Err(Failure::failed(format!("{from} answered {words}, expected {expected}")))
}

/// An answer that was kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// Who gave it, and what: `https://example.com answered 404 Not Found`.
    pub said: String,
    /// Its body, at most [`ANSWER_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Sends the request and keeps the answer, also one that is no success.
///
/// # Errors
/// When it cannot be sent, nobody answers, or the answer is too long.
pub fn fetch(web: &Web, request: &Request, params: &Map<String, Value>) -> Result<Fetched, Failure> {
    let outgoing = outgoing(request, params)?;
    let Incoming { response, from } = web.exchange(outgoing, |status| request.is_wanted(status))?;
    let status = response.status();
    let words = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("")).trim_end().to_owned();
    let mut body = Vec::new();
    let read = response.into_body().into_reader().take(ANSWER_MAX as u64 + 1).read_to_end(&mut body);
    if let Err(error) = read {
        let length = body.len();
        return Err(Failure::failed(format!("{from}: the answer broke off after {length} bytes: {}", why(&error))));
    }
    if body.len() > ANSWER_MAX {
        return Err(Failure::failed(format!("{from}: the answer is longer than 1 MiB; ask for fewer at once")));
    }
    Ok(Fetched { status: status.as_u16(), said: format!("{from} answered {words}"), body })
}

/// Why a body ended early, in words that quote nothing.
fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        kind => kind.to_string(),
    }
}

fn outgoing(request: &Request, params: &Map<String, Value>) -> Result<Outgoing, Failure> {
    let method = request.method;
    let mut headers = web::headers(&request.headers)?;
    let mut uri = web::address(&request.url)?;
    let json = "application/json";
    let (body, kind) = match &request.body {
        Some(Value::String(text)) => (Some(text.clone().into_bytes()), "text/plain; charset=utf-8"),
        Some(value) => (Some(value.to_string().into_bytes()), json),
        None if method.sends_params() => (Some(Value::Object(params.clone()).to_string().into_bytes()), json),
        None => {
            uri = with_query(&uri, params)?;
            (None, json)
        }
    };
    if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let is_public = matches!(request.url, Text::Literal(_));
    Ok(Outgoing { method, uri, is_public, headers, body })
}

/// The address with parameters behind it: a list is its name many times, an object is JSON, null is left out.
fn with_query(uri: &Uri, params: &Map<String, Value>) -> Result<Uri, Failure> {
    let values = |value: &Value| match value {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    let pairs = params.iter().flat_map(|(name, value)| values(value).into_iter().map(move |value| (name, value)));
    let words = pairs.filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{}={}", escaped(name), escaped(&text))),
        value => Some(format!("{}={}", escaped(name), escaped(&value.to_string()))),
    });
    let query = uri.query().map(str::to_owned).into_iter().chain(words).collect::<Vec<_>>().join("&");
    if query.is_empty() {
        return Ok(uri.clone());
    }
    let (scheme, authority) = (uri.scheme_str().unwrap_or("http"), uri.authority().map_or("", |host| host.as_str()));
    let text = format!("{scheme}://{authority}{}?{query}", uri.path());
    text.parse().map_err(|_| Failure::failed("the parameters are too long for an address; use POST"))
}

/// A text as part of a query, or as one step of a path.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::with_query;

    #[test]
    fn parameters_become_a_query() {
        let table = [
            ("http://a", json!({}), "http://a/"),
            ("http://a/b", json!({"c": "d e&f=ä", "g": 1, "h": null}), "http://a/b?c=d%20e%26f%3D%C3%A4&g=1"),
            (
                "http://a/b?x=y",
                json!({"c": [1, "z"], "d": {"e": true}}),
                "http://a/b?x=y&c=1&c=z&d=%7B%22e%22%3Atrue%7D",
            ),
        ];
        for (uri, params, expected) in table {
            let Value::Object(params) = params else { panic!("an object") };
            let uri = with_query(&uri.parse().expect("an address"), &params).expect("it fits");
            assert_eq!(uri.to_string(), expected);
        }
        let long = json!({"a": "b".repeat(70_000)});
        let Value::Object(long) = long else { panic!("an object") };
        assert!(with_query(&"http://a".parse().expect("an address"), &long).is_err());
    }
}
