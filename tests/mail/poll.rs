//! A service is asked for messages, and told when each is over.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Dice, World};

const TOKEN: &str = "hunter2-hunter2";
const MESSAGES: usize = 200;
const KILLS: usize = 5;

/// What a request was.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    authorization: String,
    body: String,
}

/// What the service holds, and what it was asked.
#[derive(Debug, Default)]
struct Held {
    pending: BTreeMap<String, Value>,
    /// How often each was said to be done.
    done: BTreeMap<String, usize>,
    asked: Vec<Asked>,
    /// Answers that come first, in the place of the true ones: status and body.
    first: VecDeque<(u16, String)>,
}

/// A messaging service on a port of its own, as long as the test lives.
struct Service {
    held: Arc<Mutex<Held>>,
    url: String,
}

impl Service {
    fn new() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = held.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that was killed in between is no matter.
                _ = serve(&stream, &shared);
            }
        });
        Service { held, url }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().expect("nobody panicked"))
    }

    fn add(&self, id: &str, more: Value) {
        let mut item = more;
        item["id"] = json!(id);
        self.with(|held| held.pending.insert(id.to_owned(), item));
    }
}

fn serve(stream: &TcpStream, held: &Mutex<Held>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => authorization = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let (status, answer) = {
        let mut held = held.lock().expect("nobody panicked");
        held.asked.push(Asked { line: line.trim().to_owned(), authorization, body });
        let first = held.first.pop_front();
        first.unwrap_or_else(|| held.answer(&line))
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.as_bytes())
}

impl Held {
    fn answer(&mut self, line: &str) -> (u16, String) {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        if let Some(id) = path.strip_prefix("/done/") {
            *self.done.entry(id.to_owned()).or_default() += 1;
            return (if self.pending.remove(&id.replace("%20", " ")).is_some() { 200 } else { 404 }, String::new());
        }
        let items: Vec<&Value> = self.pending.values().collect();
        (200, json!({ "data": { "messages": items }, "next": items.len() }).to_string())
    }
}

/// A mailbox that asks the service, and whose messages append their subject to `marks`; one in `poison` fails.
fn mailbox(world: &World, service: &Service, more: &str) {
    std::fs::write(world.manifests().join("token"), TOKEN).expect("a secret");
    let marks = world.root().join("marks");
    let url = &service.url;
    world.write(
        "inbox.yaml",
        &format!(
            "kind: Mailbox\nname: inbox\nfrom:\n- http:\n    url: {url}/pending?key=abc\n    headers:\n\
             \x20     Authorization: {{ prefix: 'Bearer ', fromFile: token }}\n  every: 1s\n  items: data.messages\n\
             \x20 done:\n    method: POST\n    url: {url}/done/{{id}}\n    body: {{ id: {{ from: message.id }} }}\n{more}\
             rules:\n- {{ match: {{ type: poison }}, run: 'exit 3' }}\n\
             - {{ match: {{ from: ada }}, run: 'echo $SETPOINT_PARAM_SUBJECT >> {}', \
             with: {{ subject: {{ from: message.subject }} }} }}\n\
             retry: {{ times: 0, wait: 1s }}\natOnce: 8\n",
            marks.display()
        ),
    );
    world.apply();
}

fn lines(world: &World) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in std::fs::read_to_string(world.root().join("marks")).unwrap_or_default().lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// Everything below a folder that holds this text.
fn holders(folder: &Path, text: &str) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let holds = |path: &Path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    files.filter(|entry| holds(entry.path())).map(|entry| entry.path().display().to_string()).collect()
}

#[test]
fn pending_messages_are_taken_done_once_and_said_to_be_done() {
    let world = World::new();
    let service = Service::new();
    mailbox(&world, &service, "  cursor: next\n");
    service.add("first one", json!({ "type": "note", "subject": "one", "from": "ada", "text": "hello" }));
    service.add("bad", json!({ "type": "poison", "subject": "bad", "from": "eve" }));
    service.add("nobody", json!({ "subject": "none" }));
    let _controller = world.controller();
    world.until("all are said to be done", || service.with(|held| held.pending.is_empty()));
    assert_eq!(lines(&world), BTreeMap::from([("one".to_owned(), 1)]));
    let asked = service.with(|held| held.asked.clone());
    assert!(asked.iter().all(|asked| asked.authorization == format!("Bearer {TOKEN}")
        || asked.line.contains("/done/") && asked.authorization.is_empty()));
    assert_eq!(asked[0].line, "GET /pending?key=abc HTTP/1.1");
    let told = asked.iter().find(|asked| asked.line.starts_with("POST /done/first%20one ")).expect("it was told");
    assert_eq!(told.body, r#"{"id":"first one"}"#);
    world.until("the cursor goes along", || {
        service.with(|held| held.asked.iter().any(|asked| asked.line.contains("&cursor=3 ")))
    });
    let dead = world.ok(&["dead", "list"]);
    assert!(dead.contains("bad") && dead.contains("no rule matches it"), "{dead}");
    assert_eq!(holders(&world.home(), TOKEN), Vec::<String>::new(), "the secret is nowhere");
}

#[test]
fn a_service_that_fails_is_told_of_once_and_taken_up_again() {
    let world = World::new();
    let service = Service::new();
    mailbox(&world, &service, "");
    let bad = [
        (503, "down".to_owned()),
        (200, "{".to_owned()),
        (200, json!({ "data": { "messages": 7 } }).to_string()),
        (200, json!({ "data": { "messages": [{ "subject": "no id" }] } }).to_string()),
    ];
    service.with(|held| held.first.extend(bad));
    service.add("a", json!({ "type": "note", "subject": "one", "from": "ada" }));
    let _controller = world.controller();
    world.until("it is done", || service.with(|held| held.done.contains_key("a")));
    world.until("it is said", || world.ok(&["events"]).contains("mailbox.source-recovered"));
    let events = world.ok(&["events"]);
    let failed: Vec<&str> = events.lines().filter(|line| line.contains("mailbox.source-failed")).collect();
    assert!(failed.len() == 1 && failed[0].contains("answered 503"), "{events}");
    assert!(!events.contains("key=abc") && !events.contains(TOKEN), "{events}");
    assert_eq!(lines(&world), BTreeMap::from([("one".to_owned(), 1)]));
}

#[test]
fn each_is_done_once_and_said_to_be_done_through_kills_of_the_controller() {
    let world = World::new();
    let service = Service::new();
    mailbox(&world, &service, "");
    for number in 0..MESSAGES {
        service.add(&format!("m{number}"), json!({ "subject": format!("{number}"), "from": "ada" }));
    }
    let mut dice = Dice::new(5);
    for _ in 0..KILLS {
        let controller = world.launch(&[]);
        dice.pass(1_500_000);
        controller.kill();
    }
    let _controller = world.controller();
    for goal in (0..=MESSAGES).step_by(MESSAGES / 10) {
        world.until(&format!("{goal} are over"), || service.with(|held| held.done.len() >= goal));
    }
    world.until("none is left", || service.with(|held| held.pending.is_empty()));
    let found = lines(&world);
    assert!(found.len() == MESSAGES && found.values().all(|count| *count == 1), "{found:?}");
}
