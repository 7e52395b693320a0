//! Those who type into a payload or watch it: over a pipe, over a terminal, and how it ends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use setpoint::record::answer::{Answer as Started, Stage};
use setpoint::record::attempt::How;
use setpoint::record::frame::{self, Answer, Next, Size, State, Word};
use setpoint::record::launch::Stdin;

use crate::support::{Home, Start, is_alive, proc_number, send, until};

/// One who types and watches.
struct Client {
    socket: UnixStream,
    bytes: Vec<u8>,
    shown: String,
    state: Option<State>,
    refused: Option<String>,
    ended: Option<String>,
    is_over: bool,
}

impl Client {
    fn new(home: &Home) -> Client {
        let socket = UnixStream::connect(home.socket()).expect("the shim listens");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
        Client {
            socket,
            bytes: Vec::new(),
            shown: String::new(),
            state: None,
            refused: None,
            ended: None,
            is_over: false,
        }
    }

    fn watching(home: &Home, rows: u16, cols: u16) -> Client {
        let mut client = Client::new(home);
        client.say(&[Word::Resize(Size { rows, cols }), Word::Watch { from_kept: true }]);
        client
    }

    fn say(&mut self, words: &[Word<'_>]) {
        let mut bytes = Vec::new();
        words.iter().for_each(|word| word.put(&mut bytes));
        self.socket.write_all(&bytes).expect("it is heard");
    }

    fn type_in(&mut self, text: &str) {
        self.say(&[Word::Input(text.as_bytes())]);
    }

    /// Reads until `is_so`.
    fn until(&mut self, what: &str, is_so: impl Fn(&Client) -> bool) {
        until(what, || {
            let mut more = [0; 65536];
            match self.socket.read(&mut more) {
                Ok(0) => self.is_over = true,
                Ok(length) => self.bytes.extend_from_slice(&more[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_over = true,
            }
            self.hear();
            is_so(self)
        });
    }

    fn hear(&mut self) {
        let mut heard = 0;
        while let Next::Whole(frame) = frame::next(&self.bytes[heard..]) {
            heard += frame.length();
            match Answer::of(&frame).expect("an answer we know") {
                Answer::Kept(bytes) | Answer::Output(bytes) => self.shown += &String::from_utf8_lossy(bytes),
                Answer::State(state) => self.state = Some(state),
                Answer::Refused(text) => self.refused = Some(text.to_owned()),
                Answer::Ended(text) => self.ended = Some(text.to_owned()),
            }
        }
        self.bytes.drain(..heard);
    }

    fn sees(&mut self, text: &str) {
        self.until(text, |client| client.shown.contains(text));
    }
}

fn tty<'a>(home: &'a Home, argv: &[&str]) -> Start<'a> {
    Start { stdin: Stdin::Tty, ..home.start(argv) }
}

#[test]
fn a_line_reaches_a_pipe() {
    let home = Home::new();
    let mut start = home.line("while read -r line; do echo \"got $line\"; done; echo end");
    start.stdin = Stdin::Pipe;
    start.up();
    let mode = std::fs::metadata(home.socket()).expect("a socket");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    let mut client = Client::new(&home);
    client.type_in("one\ntwo\n");
    home.wait_for_line("stdout F got two");
    client.say(&[Word::Ask]);
    client.until("it says how far it is", |client| client.state.is_some());
    let state = client.state.expect("just seen");
    assert_eq!((state.is_tty, state.is_closed, state.held, state.unread), (false, false, 0, 0));
    client.say(&[Word::Watch { from_kept: true }]);
    client.until("it is refused", |client| client.refused.is_some());
    // Whoever leaves does not end the input.
    drop(client);
    let mut client = Client::new(&home);
    client.type_in("three\n");
    home.wait_for_line("stdout F got three");
    assert!(!home.log().contains(&"stdout F end".to_owned()));
}

#[test]
fn what_a_payload_does_not_read_is_held_up_to_a_bound_and_lost_to_nobody() {
    let home = Home::new();
    let mut start = home.line("until [ -e go ]; do sleep 0.01; done; wc -c; exec sleep 1000");
    start.stdin = Stdin::Pipe;
    let (shim, payload) = start.up();
    // More than the pipe and the shim will take.
    let mut writer = Client::new(&home);
    writer.socket.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut bytes = Vec::new();
    Word::Input(&[b'x'; 4096]).put(&mut bytes);
    let mut sent: usize = 0;
    let is_held_up = loop {
        match writer.socket.write(&bytes[sent % bytes.len()..]) {
            Ok(length) => sent += length,
            Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
        }
        assert!(sent < 64 << 20, "there is no bound");
    };
    assert!(is_held_up);
    let mut other = Client::new(&home);
    other.say(&[Word::Ask]);
    other.until("another is heard", |client| client.state.is_some());
    let state = other.state.expect("just seen");
    assert!(state.held >= 60_000 && state.unread == 65536, "{state:?}");
    assert!(proc_number(shim.pid, "status", "VmRSS:") < 20_000);
    let woken = proc_number(shim.pid, "status", "voluntary_ctxt_switches");
    std::thread::sleep(Duration::from_millis(300));
    assert!(proc_number(shim.pid, "status", "voluntary_ctxt_switches") < woken + 5, "it does not spin");
    std::fs::write(home.root().join("go"), "").expect("a file");
    // The rest of the frame that was cut off, and an end: the payload is killed with its count unprinted otherwise.
    let rest = (bytes.len() - sent % bytes.len()) % bytes.len();
    writer.socket.set_write_timeout(None).expect("no timeout");
    writer.socket.write_all(&bytes[bytes.len() - rest..]).expect("it is heard");
    until("all is read", || {
        writer.state = None;
        writer.say(&[Word::Ask]);
        writer.until("it says how far it is", |client| client.state.is_some());
        writer.state.is_some_and(|state| (state.held, state.unread) == (0, 0))
    });
    assert!(is_alive(payload.pid));
}

#[test]
fn a_terminal_is_the_payloads_own() {
    let home = Home::new();
    let script = "import os, sys, signal
print(os.isatty(0), os.isatty(1), os.isatty(2), os.environ['TERM'])
print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.tcgetpgrp(0) == os.getpid())
open('/dev/tty', 'w').write('mine\\n')
print(os.get_terminal_size())
signal.signal(signal.SIGWINCH, lambda *a: print('now', os.get_terminal_size()))
while True:
    line = input('> ')
    print('got', line)
    if line == 'end': sys.exit(3)";
    let (shim, _) = tty(&home, &["python3", "-uc", script]).up();
    home.wait_for_line("stdout F True True True xterm-256color");
    home.wait_for_line("stdout F True True True");
    home.wait_for_line("stdout F mine");
    home.wait_for_line("stdout F os.terminal_size(columns=80, lines=24)");
    // A prompt without an end is a part of a line, as ever.
    home.wait_for_line("stdout P > ");
    let mut one = Client::watching(&home, 50, 120);
    one.sees("mine\r\n");
    one.sees("lines=50");
    let mut two = Client::watching(&home, 30, 200);
    two.sees("mine\r\n");
    one.sees("now os.terminal_size(columns=120, lines=30)");
    two.type_in("hello\r");
    one.sees("got hello");
    two.sees("got hello");
    drop(two);
    one.sees("now os.terminal_size(columns=120, lines=50)");
    one.type_in("end\r");
    one.until("it is told of the end", |client| client.ended.is_some());
    assert_eq!(one.ended.as_deref(), Some("exit 3"));
    assert_eq!(home.end(1).how, How::Code(3));
    assert!(!is_alive(shim.pid) && !home.socket().exists());
    let log = home.log();
    assert!(log.contains(&"stdout F got hello".to_owned()), "{log:?}");
    assert!(log.iter().all(|line| line.starts_with("stdout ") && !line.ends_with('\r')), "{log:?}");
}

#[test]
fn a_key_interrupts_and_a_stop_ends_the_tree_of_a_terminal() {
    let home = Home::new();
    let mut start =
        tty(&home, &["/bin/sh", "-c", "trap 'echo int' INT; echo up; sleep 1000 & while :; do sleep 1000; done"]);
    start.is_line = true;
    let (shim, _) = start.up();
    home.wait_for_line("stdout F up");
    let mut client = Client::watching(&home, 24, 80);
    // A key that comes while the shell forks is taken note of only after the next one; more than one may be taken.
    until("it is interrupted", || {
        client.type_in("\x03");
        client.sees("^C");
        client.shown.contains("int\r\n")
    });
    send(shim.pid, Signal::TERM);
    let end = home.end(1);
    assert_eq!((end.how, end.asked, end.tree_left), (How::Signal(15), true, 0));
    assert_eq!(home.processes(), [0_u32; 0]);
    client.until("it is told of the end", |client| client.ended.as_deref() == Some("signal 15"));
}

#[test]
fn who_does_not_read_is_cut_off_and_holds_up_nobody() {
    let home = Home::new();
    let script = "until [ -e go ]; do sleep 0.01; done; seq 300000; echo last; exec sleep 1000";
    let (shim, payload) = tty(&home, &["/bin/sh", "-c", script]).up();
    let mut lazy = Client::watching(&home, 24, 80);
    let mut keen = Client::watching(&home, 24, 80);
    lazy.say(&[Word::Ask]);
    keen.say(&[Word::Ask]);
    keen.until("it is heard", |client| client.state.is_some());
    std::fs::write(home.root().join("go"), "").expect("a file");
    keen.until("it has seen all", |client| client.shown.ends_with("300000\r\nlast\r\n") || client.is_over);
    home.wait_for_line("stdout F last");
    assert!(is_alive(payload.pid));
    assert!(proc_number(shim.pid, "status", "VmRSS:") < 20_000);
    lazy.until("it is cut off", |client| client.is_over);
    assert!(lazy.ended.is_none() && !lazy.shown.contains("last"));
    // It comes back and sees the last of it, and no more than is kept.
    let mut again = Client::watching(&home, 24, 80);
    again.sees("300000\r\nlast\r\n");
    assert!(again.shown.len() <= 32 << 10 && again.shown.starts_with("29"), "{}", again.shown.len());
}

#[test]
fn sixteen_may_be_there_and_a_stranger_may_not() {
    let home = Home::new();
    tty(&home, &["/bin/cat"]).up();
    let mut clients: Vec<Client> = (0..16).map(|_| Client::watching(&home, 24, 80)).collect();
    for client in &mut clients {
        client.say(&[Word::Ask]);
        client.until("it is heard", |client| client.state.is_some());
    }
    let mut late = Client::watching(&home, 24, 80);
    late.until("it is refused", |client| client.refused.is_some() && client.is_over);
    // Who looks at nothing needs no seat: forgotten ones keep no poke out.
    let mut pokes: Vec<Client> = (0..4).map(|_| Client::new(&home)).collect();
    for poke in &mut pokes {
        poke.say(&[Word::Ask]);
        poke.until("it is heard", |client| client.state.is_some());
    }
    pokes[0].type_in("poked\r");
    clients[0].sees("poked");
    let mut late = Client::new(&home);
    late.until("it is refused", |client| client.refused.is_some() && client.is_over);
    drop(pokes);
    clients.pop();
    let mut next = Client::watching(&home, 24, 80);
    next.say(&[Word::Ask]);
    next.until("it is heard", |client| client.state.is_some());
    // Bytes that are none of the protocol end the connection, not the shim.
    next.socket.write_all(&[0xff; 64]).expect("they are sent");
    next.until("it is cut off", |client| client.is_over);
    clients[0].type_in("still here\r");
    clients[1].sees("still here");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    // Even with the way to the socket open.
    let open = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("its mode");
    };
    open(&home.socket(), 0o777);
    home.socket()
        .ancestors()
        .skip(1)
        .take_while(|path| path.starts_with(home.root()))
        .for_each(|path| open(path, 0o755));
    let script = "import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.send(b'a\\0\\0')
    print(len(s.recv(100)))
except ConnectionError:
    print(0)";
    drop(clients.pop());
    until("a stranger hears nothing", || {
        let socket = home.socket();
        let output = std::process::Command::new("python3").arg("-c").arg(script).arg(&socket).output();
        output.is_ok_and(|output| output.stdout == b"0\n")
    });
}

#[test]
fn a_terminal_that_cannot_be_listened_at_is_not_started() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().join("in the way")).expect("a folder");
    match tty(&home, &["/bin/cat"]).go() {
        Some(Started::Failed { stage: Stage::Home, text, .. }) => assert!(text.contains("io.sock: "), "{text}"),
        other => panic!("{other:?}"),
    }
    std::fs::remove_dir_all(home.socket()).expect("out of the way");
    // What a killed shim has left is taken over.
    let (shim, payload) = tty(&home, &["/bin/cat"]).up();
    send(shim.pid, Signal::KILL);
    until("the terminal is hung up and the payload with it", || !is_alive(payload.pid) && !is_alive(shim.pid));
    assert!(home.socket().exists());
    let mut start = tty(&home, &["/bin/cat"]);
    start.attempt = 2;
    start.up();
    let mut client = Client::watching(&home, 24, 80);
    client.type_in("again\r");
    client.sees("again\r\nagain\r\n");
}
