//! One exchange with a server of the web: a request, its redirections, an answer whose body has not been read.
//!
//! In: what is sent. Out: status, headers and a reader; or one line that says why not. Not here: what an answer means.
//! The surprise: redirections are followed here and not by the client library, since that one would take headers with
//! keys along to another host. Past the first origin only what says nothing of us goes along.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ureq::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Timeout};

use super::order::{Method, Text};
use super::{Failure, plain, url};

/// How long looking up a host, and connecting to it, may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long everything may take; the time limit of a run is mostly shorter, and kept by its shim.
const WHOLE: Duration = Duration::from_secs(3600);
/// How many redirections are followed.
const REDIRECTS_MAX: u32 = 5;
/// What goes along to another origin.
const HARMLESS: [HeaderName; 3] = [ACCEPT, CONTENT_TYPE, USER_AGENT];

/// A client, for the time of one call.
#[derive(Debug)]
pub struct Web {
    agent: Agent,
    until: Instant,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where to.
    pub uri: Uri,
    /// The address holds no secret in its path.
    pub is_public: bool,
    /// All headers that are ours to choose.
    pub headers: HeaderMap,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug)]
pub struct Incoming {
    /// Status, headers, and a body to be read.
    pub response: Response<Body>,
    /// Who answered in the end, as it may be shown.
    pub from: String,
}

impl Default for Web {
    fn default() -> Web {
        Web::new()
    }
}

impl Web {
    /// A client that trusts whom the machine trusts. A proxy is used when the environment of this process names one,
    /// which is clean unless a manifest says otherwise.
    #[must_use]
    pub fn new() -> Web {
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("setpoint/", env!("CARGO_PKG_VERSION")))
            .build();
        Web { agent: config.new_agent(), until: Instant::now() + WHOLE }
    }

    /// How much of the time for everything is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Leaves no more than this for all that is still to come.
    pub fn hurry(&mut self, left: Duration) {
        self.until = self.until.min(Instant::now() + left);
    }

    /// Asks, and follows redirections unless `is_wanted` says that the status is an answer by itself.
    ///
    /// # Errors
    /// One line: who could not be asked, and why.
    pub fn exchange(&self, outgoing: Outgoing, is_wanted: impl Fn(u16) -> bool) -> Result<Incoming, Failure> {
        let mut outgoing = outgoing;
        for _ in 0..=REDIRECTS_MAX {
            let from = url::shown(&outgoing.uri, outgoing.is_public);
            let response = self.ask(&outgoing).map_err(|error| unreached(&outgoing.uri, &from, &error))?;
            let status = response.status().as_u16();
            let Some(location) = response.headers().get(LOCATION).filter(|_| leads_on(status) && !is_wanted(status))
            else {
                return Ok(Incoming { response, from });
            };
            let uri = location.to_str().ok().and_then(|text| url::leads_to(&outgoing.uri, text));
            let uri =
                uri.ok_or_else(|| Failure::failed(format!("{from} leads on to what is no address of the web")))?;
            outgoing = redirected(outgoing, status, uri);
        }
        let from = url::shown(&outgoing.uri, outgoing.is_public);
        Err(Failure::failed(format!("after {REDIRECTS_MAX} redirections {from} is not the last; check the address")))
    }

    fn ask(&self, outgoing: &Outgoing) -> Result<Response<Body>, Error> {
        let Outgoing { method, uri, body, headers, .. } = outgoing;
        let left = Some(self.left());
        let request = match method {
            Method::Get => self.agent.get(uri),
            Method::Head => self.agent.head(uri),
            Method::Delete => self.agent.delete(uri),
            Method::Options => self.agent.options(uri),
            Method::Post => return send(self.agent.post(uri), headers, body, left),
            Method::Put => return send(self.agent.put(uri), headers, body, left),
            Method::Patch => return send(self.agent.patch(uri), headers, body, left),
        };
        if body.is_some() {
            return send(request.force_send_body(), headers, body, left);
        }
        with(request, headers).config().timeout_global(left).build().call()
    }
}

fn send(
    request: ureq::RequestBuilder<ureq::typestate::WithBody>,
    headers: &HeaderMap,
    body: &Option<Vec<u8>>,
    left: Option<Duration>,
) -> Result<Response<Body>, Error> {
    let request = with(request, headers).config().timeout_global(left).build();
    match body {
        Some(body) => request.send(body.as_slice()),
        None => request.send_empty(),
    }
}

fn with<T>(mut request: ureq::RequestBuilder<T>, headers: &HeaderMap) -> ureq::RequestBuilder<T> {
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
}

/// True for an answer that only says where the answer is.
fn leads_on(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The request that a redirection asks for. Another origin learns no header that could hold a secret.
fn redirected(outgoing: Outgoing, status: u16, uri: Uri) -> Outgoing {
    let Outgoing { method, uri: old, is_public, mut headers, mut body } = outgoing;
    let method = match (status, method) {
        (303, Method::Head) => Method::Head,
        (303, _) | (301 | 302, Method::Post) => Method::Get,
        (_, method) => method,
    };
    // What is fetched instead was made from what had been sent.
    if method == Method::Get {
        body = None;
        headers.remove(CONTENT_TYPE);
    }
    if !url::is_same_origin(&old, &uri) {
        let kept = HARMLESS
            .iter()
            .filter_map(|name| headers.get(name).filter(|value| !value.is_sensitive()).map(|value| (name, value)));
        headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    Outgoing { method, uri, is_public, headers, body }
}

/// Headers as given, with the values of those that come from the environment.
///
/// # Errors
/// When a name or a value cannot be sent, or a variable is not set.
pub fn headers<'a>(given: impl IntoIterator<Item = (&'a String, &'a Text)>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, text) in given {
        let shown = plain(name);
        let value = text.value(&format!("the header `{shown}`"))?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::failed(format!("`{shown}` is no name of a header; use letters, digits and `-`")))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            let why = "a line break or another character that no header may hold";
            Failure::failed(format!("the value of the header `{shown}` has {why}"))
        })?;
        value.set_sensitive(!text.is_public());
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An address as given.
///
/// # Errors
/// When it is none, or its variable is not set.
pub fn address(text: &Text) -> Result<Uri, Failure> {
    let value = text.value("the address")?;
    url::parse(&value).ok_or_else(|| {
        Failure::failed("the address is none of the web; it begins with http:// or https:// and has no blanks")
    })
}

/// Why nobody answered, in one line. The texts of the library are used where they cannot quote what was sent.
pub fn unreached(uri: &Uri, from: &str, error: &Error) -> Failure {
    let host = url::host(uri);
    let why = match error {
        Error::HostNotFound => format!("there is no host `{host}`, or no name server answers"),
        Error::Timeout(Timeout::Resolve) => format!("no name server answered within {}s", CONNECT.as_secs()),
        Error::Timeout(Timeout::Connect) => format!("{host} took no connection within {}s", CONNECT.as_secs()),
        Error::Timeout(_) => "no answer came in time".to_owned(),
        Error::Io(error) => io_words(host, error),
        Error::Rustls(error) => format!("TLS with {host} failed: {error}"),
        Error::Tls(why) => format!("TLS with {host} failed: {why}"),
        Error::LargeResponseHeader(..) => "the headers of its answer are too long".to_owned(),
        Error::InvalidProxyUrl | Error::ConnectProxyFailed(_) => {
            "the proxy that the environment names refused".to_owned()
        }
        Error::ConnectionFailed => format!("{host} cannot be reached"),
        Error::Protocol(_) => format!("{host} does not answer as HTTP says"),
        // Some of the others quote the address or a header.
        _ => "the request cannot be sent".to_owned(),
    };
    Failure::failed(plain(&format!("{from}: {why}")))
}

fn io_words(host: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => format!("{host} closed the connection before it had answered"),
        // What TLS has against the other side comes wrapped in this.
        ErrorKind::InvalidData if error.get_ref().is_some() => format!("TLS with {host} failed: {error}"),
        _ => {
            let words = error.to_string();
            format!("{host}: {}", words.split(" (os error").next().unwrap_or(&words))
        }
    }
}
