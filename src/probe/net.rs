//! Asks over the network: is a connection accepted, does a page answer.
//!
//! In: a host and a port. Out: what came back, in a few words. Not here: how long it may take, and how many at once.
//! The surprise: a name that is being looked up is looked up once, however many ask for it: a resolver that hangs
//! costs one thread, and numbers never meet it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How much of a page is read.
const BODY_MAX: usize = 64 << 10;

/// How much of its head is taken.
const HEAD_MAX: usize = 64 << 10;

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// What a name came to.
type Looked = Option<Result<Arc<[IpAddr]>, Arc<str>>>;

/// Names that are being looked up.
#[derive(Debug, Default)]
pub struct Names {
    open: Mutex<BTreeMap<Arc<str>, watch::Receiver<Looked>>>,
}

impl Names {
    async fn look_up(self: &Arc<Names>, host: &Arc<str>) -> Result<Arc<[IpAddr]>, String> {
        if let Ok(number) = host.parse::<IpAddr>() {
            return Ok([number].into());
        }
        let mut looked = self.begin(host);
        let found = match looked.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        match found {
            Some(Ok(found)) => Ok(found),
            Some(Err(why)) => Err(format!("{host} has no address: {why}")),
            None => Err(format!("{host} could not be looked up")),
        }
    }

    fn begin(self: &Arc<Names>, host: &Arc<str>) -> watch::Receiver<Looked> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looked) = open.get(host) {
            return looked.clone();
        }
        let (tell, looked) = watch::channel(None);
        open.insert(host.clone(), looked.clone());
        let (names, host) = (self.clone(), host.clone());
        tokio::task::spawn_blocking(move || {
            let found = addresses(&host);
            names.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
            tell.send_replace(Some(found));
        });
        looked
    }
}

fn addresses(host: &str) -> Result<Arc<[IpAddr]>, Arc<str>> {
    match (host, 0).to_socket_addrs() {
        Ok(found) => Ok(found.take(ADDRESSES_MAX).map(|address| address.ip()).collect()),
        Err(error) => Err(plain(&error).into()),
    }
}

async fn connect(names: &Arc<Names>, host: &Arc<str>, port: u16) -> Result<TcpStream, String> {
    let mut last = format!("{host} has no address");
    for address in names.look_up(host).await?.iter() {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = plain(&error),
        }
    }
    Err(last)
}

/// Passes when a connection is accepted.
pub async fn tcp(names: &Arc<Names>, host: &Arc<str>, port: u16) -> Result<String, String> {
    connect(names, host, port).await.map(|_| "accepted".to_owned())
}

/// Passes when a GET is answered with 200 to 399; where it leads to is not followed.
pub async fn http(names: &Arc<Names>, host: &Arc<str>, port: u16, path: &str) -> Result<String, String> {
    let stream = connect(names, host, port).await?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await.map_err(|e| chain(&e))?;
    let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let request = Request::get(path)
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("setpoint/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(|e| chain(&e))?;
        let status = response.status();
        drain(response.into_body()).await?;
        Ok(status)
    };
    tokio::pin!(exchange, connection);
    let answer: Result<StatusCode, String> = tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The other side has closed; what it sent before is still to be read.
        _ = &mut connection => exchange.await,
    };
    let status = answer?;
    let is_fine = status.is_success() || status.is_redirection();
    let said = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    if is_fine { Ok(said.trim_end().to_owned()) } else { Err(said.trim_end().to_owned()) }
}

/// Reads a page and drops it, so that whoever sends it is not cut off.
async fn drain(mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin) -> Result<(), String> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.map_err(|e| chain(&e))?.data_ref().map_or(0, Bytes::len);
        if length >= BODY_MAX {
            break;
        }
    }
    Ok(())
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// The system's words, without its number.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    match text.rfind(" (os error ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}
