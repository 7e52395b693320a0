//! Row 9: from a durable enqueue to the first line of `main()`, and messages a second, beside beanstalkd.
//!
//! In: `--messages N`; beanstalkd from PATH or from `$SETPOINT_BENCH/deb`, where `benches/setup` puts it. Out: one table in
//! markdown. Not here: faults (`tests/queue.rs`).
//! The surprise: the payload is this program itself, which appends its name and the time to a file, so that both sides
//! execute the very same thing; two at once, each enqueue and each end synced on both sides.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Messages of the burst.
const MESSAGES: usize = 1_000;
/// Messages one at a time.
const ALONE: usize = 60;
const WORKERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(120);

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What is executed for each message.
fn mark(file: &str, id: &str) -> io::Result<()> {
    let line = format!("{id} {}\n", now());
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

fn main() {
    let began = std::env::args().skip(1).collect::<Vec<_>>();
    let outcome = match began.as_slice() {
        [verb, file] if verb == "mark" => mark(file, &std::env::var("SETPOINT_MESSAGE_ID").unwrap_or_default()),
        [verb, file, id] if verb == "mark" => mark(file, id),
        [verb, port, file] if verb == "work" => work(port, file),
        words => measure(words),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn measure(words: &[String]) -> io::Result<()> {
    let said = words.iter().position(|word| word == "--messages").and_then(|at| words.get(at + 1)?.parse().ok());
    let count = said.unwrap_or(MESSAGES);
    let mut rows = Vec::new();
    match beanstalkd() {
        Some(program) => rows.push(("beanstalkd, each write synced", row(&mut Bean::start(&program)?, count)?)),
        None => eprintln!("beanstalkd left out: benches/setup fetches it, or put it into PATH"),
    }
    rows.push(("setpoint", row(&mut Setpoint::start()?, count)?));
    println!("| what | enqueue to main(), p50 ms | p99 ms | messages a second, {WORKERS} at once |\n|---|---|---|---|");
    for (name, (p50, p99, rate)) in &rows {
        println!("| {name} | {p50:.2} | {p99:.2} | {rate:.0} |");
    }
    if let [(_, (_, _, peer)), (_, (_, _, ours))] = rows.as_slice() {
        println!("\nsetpoint / beanstalkd, messages a second: {:.2}", ours / peer);
    }
    Ok(())
}

/// Something that messages are sent to.
trait Queue {
    fn put(&mut self, id: &str) -> io::Result<()>;
    fn marks(&self) -> &Path;
}

/// Milliseconds at the median and at the 99th of a hundred, and messages a second.
fn row(queue: &mut impl Queue, count: usize) -> io::Result<(f64, f64, f64)> {
    let mut took = Vec::new();
    for number in 0..ALONE {
        let (id, sent) = (format!("a{number}"), now());
        queue.put(&id)?;
        let begun = until(queue.marks(), number + 1)?.get(&id).copied().unwrap_or(sent);
        took.push(begun.saturating_sub(sent) as f64 / 1e6);
        std::thread::sleep(Duration::from_millis(30));
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied().unwrap_or(0.0);
    let begun = now();
    for number in 0..count {
        queue.put(&format!("b{number}"))?;
    }
    let last = until(queue.marks(), ALONE + count)?.into_values().max().unwrap_or(begun);
    Ok((at(0.5), at(0.99), count as f64 / (last.saturating_sub(begun) as f64 / 1e9)))
}

/// Waits for so many marks.
fn until(marks: &Path, count: usize) -> io::Result<BTreeMap<String, u64>> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(marks).unwrap_or_default();
        let read = text.lines().filter_map(|line| line.split_once(' '));
        let found: BTreeMap<String, u64> =
            read.filter_map(|(id, at)| Some((id.to_owned(), at.parse().ok()?))).collect();
        if found.len() >= count {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{} of {count} messages were worked on", found.len())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends what was started when it goes out of scope.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> io::Result<Started> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Started)
}

/// Tries until it works, for ten seconds.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < Duration::from_secs(10) => std::thread::sleep(Duration::from_millis(10)),
            tried => return tried,
        }
    }
}

struct Setpoint {
    stream: BufReader<UnixStream>,
    marks: PathBuf,
    _controller: Started,
    _folder: tempfile::TempDir,
}

impl Setpoint {
    fn start() -> io::Result<Setpoint> {
        let folder = tempfile::tempdir()?;
        let (home, marks) = (folder.path().join("home"), folder.path().join("marks"));
        let manifests = folder.path().join("manifests");
        std::fs::create_dir(&manifests)?;
        let run = serde_json::to_string(&[&std::env::current_exe()?, Path::new("mark"), &marks])?;
        let text = format!("kind: Mailbox\nname: inbox\natOnce: {WORKERS}\nrules: [{{ match: any, run: {run} }}]\n");
        std::fs::write(manifests.join("inbox.yaml"), text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
        command.arg("--home").arg(&home).args(["controller", "run", "-f"]).arg(&manifests);
        let controller = quiet(&mut command)?;
        let stream = patiently(|| {
            let mut stream = BufReader::new(UnixStream::connect(home.join("controller.sock"))?);
            send(&mut stream, "first").map(|()| stream)
        })?;
        // The first one shows that it is ready, and counts for nothing.
        until(&marks, 1)?;
        std::fs::remove_file(&marks)?;
        Ok(Setpoint { stream, marks, _controller: controller, _folder: folder })
    }
}

fn send(stream: &mut BufReader<UnixStream>, id: &str) -> io::Result<()> {
    let params = serde_json::json!({ "mailbox": "inbox", "id": id, "message": "" });
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "mailbox.send", "params": params });
    stream.get_mut().write_all(format!("{call}\n").as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if line.contains("\"result\"") { Ok(()) } else { Err(io::Error::other(line)) }
}

impl Queue for Setpoint {
    fn put(&mut self, id: &str) -> io::Result<()> {
        send(&mut self.stream, id)
    }

    fn marks(&self) -> &Path {
        &self.marks
    }
}

fn beanstalkd() -> Option<PathBuf> {
    let site = std::env::var_os("SETPOINT_BENCH").map(|site| PathBuf::from(site).join("deb/usr/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = site.into_iter().chain(std::env::split_paths(&path).collect::<Vec<_>>());
    folders.map(|folder| folder.join("beanstalkd")).find(|program| program.is_file())
}

struct Bean {
    stream: BufReader<TcpStream>,
    marks: PathBuf,
    _workers: Vec<Started>,
    _server: Started,
    _folder: tempfile::TempDir,
}

impl Bean {
    fn start(program: &Path) -> io::Result<Bean> {
        let folder = tempfile::tempdir()?;
        let marks = folder.path().join("marks");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut command = Command::new(program);
        command.args(["-l", "127.0.0.1", "-p", &port, "-f", "0", "-b"]).arg(folder.path());
        let server = quiet(&mut command)?;
        let stream = patiently(|| TcpStream::connect(format!("127.0.0.1:{port}")))?;
        let own = std::env::current_exe()?;
        let worker = |_| quiet(Command::new(&own).args(["work", &port]).arg(&marks));
        let workers = (0..WORKERS).map(worker).collect::<io::Result<Vec<_>>>()?;
        Ok(Bean { stream: BufReader::new(stream), marks, _workers: workers, _server: server, _folder: folder })
    }
}

/// One request of beanstalkd's protocol; the first line of the answer.
fn request(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<String> {
    stream.get_mut().write_all(text.as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line)
}

impl Queue for Bean {
    fn put(&mut self, id: &str) -> io::Result<()> {
        let line = request(&mut self.stream, &format!("put 5 0 60 {}\r\n{id}\r\n", id.len()))?;
        if line.starts_with("INSERTED") { Ok(()) } else { Err(io::Error::other(line)) }
    }

    fn marks(&self) -> &Path {
        &self.marks
    }
}

/// A worker: takes a job, executes the payload, and deletes the job when that went well.
fn work(port: &str, file: &str) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(format!("127.0.0.1:{port}"))?);
    let own = std::env::current_exe()?;
    loop {
        let line = request(&mut stream, "reserve\r\n")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["RESERVED", job, length] = words.as_slice() else { return Err(io::Error::other(line)) };
        let mut body = vec![0; length.parse::<usize>().unwrap_or(0) + 2];
        stream.read_exact(&mut body)?;
        let id = String::from_utf8_lossy(&body).trim().to_owned();
        let verb = if Command::new(&own).args(["mark", file, &id]).status()?.success() { "delete" } else { "bury" };
        request(
            &mut stream,
            &if verb == "delete" { format!("delete {job}\r\n") } else { format!("bury {job} 5\r\n") },
        )?;
    }
}
