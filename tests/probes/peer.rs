//! The other side of a probe: a port that answers as it is told.
//!
//! In: a manner. Out: a port on the loopback. Not here: any service.
//! The surprise: it holds its port even while it refuses, since a port that was let go may be somebody else's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::net::{AddressFamily, SocketType};
use serde_json::Value;

use crate::world::World;

/// A port that answers with a status, or accepts and says nothing.
pub struct Peer {
    port: u16,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

/// Accepts, and says nothing.
pub const HANG: u16 = 0;

impl Peer {
    /// Answers every request with `status`, until the test ends.
    pub fn new(status: u16) -> Peer {
        Peer::on(TcpListener::bind("127.0.0.1:0").expect("a port"), status)
    }

    fn on(listener: TcpListener, status: u16) -> Peer {
        let port = listener.local_addr().expect("its port").port();
        let (status, asked) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicUsize::new(0)));
        let peer = Peer { port, status: status.clone(), asked: asked.clone() };
        let held = Mutex::new(Vec::new());
        // It lives as long as the test process: there is nothing to clean up after a thread that waits.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::SeqCst);
                match status.load(Ordering::SeqCst) {
                    HANG => held.lock().expect("ours alone").push(stream),
                    status => answer(stream, status),
                }
            }
        });
        peer
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it answers so.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, status: u16) {
    let mut request = [0; 4096];
    // One that only connects says nothing and goes.
    if stream.read(&mut request).is_ok_and(|length| length > 0) {
        let text = if status == 200 { "OK" } else { "Service Unavailable" };
        _ = write!(stream, "HTTP/1.1 {status} {text}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    }
}

/// A port that is taken and refuses, until somebody listens.
pub struct Refusing(OwnedFd);

impl Refusing {
    pub fn new() -> Refusing {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        rustix::net::bind(&socket, &any).expect("a port");
        Refusing(socket)
    }

    pub fn port(&self) -> u16 {
        let name = rustix::net::getsockname(&self.0).expect("its name");
        std::net::SocketAddr::try_from(name).expect("an address of the internet").port()
    }

    /// Answers from now on.
    pub fn listen(self, status: u16) -> Peer {
        rustix::net::listen(&self.0, 16).expect("to listen");
        Peer::on(TcpListener::from(self.0), status)
    }
}

/// The JSON of an instance of a world.
pub fn instance(world: &World, name: &str) -> Value {
    let text = world.run(&["get", "-o", "json"]).out;
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let items = value["items"].as_array().expect("items").iter();
    let mut all = items.flat_map(|item| item["status"]["instances"].as_array().expect("instances"));
    all.find(|one| one["name"] == format!("service/{name}")).cloned().unwrap_or(Value::Null)
}

/// Why an instance is as it is.
pub fn reason(world: &World, name: &str) -> String {
    instance(world, name)["reason"].as_str().unwrap_or_default().to_owned()
}
