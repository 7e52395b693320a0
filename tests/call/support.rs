//! Starts calls, and servers for them to ask.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// A value that must never be seen in any output.
pub const SECRET: &str = "sEcReT-7a9c";

/// What came of a call.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Done {
    pub fn text(&self) -> String {
        String::from_utf8(self.out.clone()).expect("text")
    }

    /// The only line of words that begins with `error: `.
    #[track_caller]
    pub fn error(&self) -> String {
        let errors: Vec<&str> = self.err.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        assert!(self.err.ends_with(&format!("error: {}\n", errors[0])), "it is not the last line: {}", self.err);
        errors[0].to_owned()
    }
}

/// One call of this order, in a clean environment with these variables.
pub fn call_with(order: &[u8], env: &[(&str, &str)]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    command.arg("call").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_clear();
    command.env("PATH", std::env::var("PATH").unwrap_or_default()).envs(env.iter().copied());
    let mut child = command.spawn().expect("a process");
    // One that has seen enough of it closes the pipe.
    _ = child.stdin.take().expect("a pipe").write_all(order);
    let output = child.wait_with_output().expect("an end");
    let err = String::from_utf8(output.stderr).expect("text");
    for shown in [&String::from_utf8_lossy(&output.stdout).into_owned(), &err] {
        assert!(
            !shown.contains(SECRET) || order.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()),
            "{shown}"
        );
    }
    assert!(!err.contains(SECRET), "{err}");
    Done { code: output.status.code().expect("a code"), out: output.stdout, err }
}

pub fn call(order: &Value) -> Done {
    call_with(order.to_string().as_bytes(), &[])
}

/// What a server was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A server on the loopback, for the time of a test.
pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers each request with the bytes `answer` makes of it, and closes the connection.
    pub fn new(answer: impl Fn(&Asked) -> Vec<u8> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, over) = (Arc::clone(&asked), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let Some(request) = read(&stream) else { continue };
                seen.lock().expect("a lock").push(request.clone());
                // A client that has gone is no fault of the server.
                _ = stream.write_all(&answer(&request));
            }
        });
        Server { address, asked, is_over, thread: Some(thread) }
    }

    /// An address below it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }

    /// The only request there was.
    #[track_caller]
    pub fn only(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes it up, so that it sees.
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut asked = Asked { method: words.next()?.to_owned(), target: words.next()?.to_owned(), ..Asked::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => _ = asked.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        }
    }
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// An answer as bytes; `headers` are whole lines without their end.
pub fn answer(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut lines = vec![format!("HTTP/1.1 {status}"), format!("Content-Length: {}", body.len())];
    lines.push("Connection: close".to_owned());
    lines.extend(headers.iter().map(|line| (*line).to_owned()));
    [format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes(), body].concat()
}

pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", &[], body)
}
