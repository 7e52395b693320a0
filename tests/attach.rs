//! Those who sit at the terminal of a service or type a line into it, with the real binary and real terminals.
//!
//! In: manifests, keys and scripts. Out: what a person sees, and how their terminal is left. Each test has a world of
//! its own and ends whatever runs there.

#[path = "attach/person.rs"]
mod person;
#[path = "hostile/processes.rs"]
mod processes;
#[allow(dead_code, reason = "a world can do more than is asked of it here")]
#[path = "hostile/world.rs"]
mod world;

use person::Person;
use rustix::process::Signal;
use world::{World, service};

/// Answers every line, and says so when its window changes.
const PARROT: &str = r#"
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda *a: os.write(1, b'window %d %d\n' % tuple(os.get_terminal_size())))
print('parrot')
for line in sys.stdin:
    if line == 'end\n': sys.exit(3)
    os.write(1, ('said ' + line).encode())
"#;

/// Fills a screen of its own, once, with the cursor hidden and the mouse reported.
const PAINTER: &str = r#"
import sys, time, tty, signal
tty.setraw(0)
signal.signal(signal.SIGWINCH, signal.SIG_IGN)
sys.stdout.write('\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?2004h\x1b[>1u\x1b[2J\x1b[5;10Hpainted')
while True:
    read = sys.stdin.buffer.raw.read(1000)
    sys.stdout.write('\x1b[7;1Hkeys ' + repr(read) + '\x1b[K')
"#;

fn tty(world: &World, name: &str, run: &str) {
    world.write(&format!("{name}.yaml"), &service(name, run, "tty: true"));
}

fn parrot(world: &World, name: &str, more: &str) {
    world.write("parrot.py", PARROT);
    world.write(&format!("{name}.yaml"), &service(name, "python3 -u parrot.py", &format!("tty: true\n{more}")));
}

fn painter(world: &World) {
    world.write("painter.py", PAINTER);
    tty(world, "painter", "python3 -u painter.py");
}

#[test]
fn a_person_comes_types_and_leaves() {
    let world = World::new();
    parrot(&world, "parrot", "");
    world.apply();
    let payload = world.ready("parrot/0");
    let mut one = Person::attach(&world, &["parrot"], 30, 100);
    one.sees("attached to service/parrot/0; Ctrl-] leaves it running");
    one.sees("\r\nparrot");
    one.sees("window 100 30");
    one.types("hello\r");
    one.sees("said hello");
    // The smaller window counts, for as long as it is there.
    let mut two = Person::attach(&world, &["service/parrot/0", "--detach-key", "ctrl-a"], 50, 60);
    two.sees("said hello");
    one.sees("window 60 30");
    two.resize(20, 70);
    one.sees("window 70 20");
    two.types("from two\r\x01");
    one.sees("said from two");
    assert_eq!(two.leaves(), 0);
    one.sees("window 100 30");
    // No controller takes part.
    world.kill_controller();
    one.types("without\r");
    one.sees("said without");
    world.ok(&["controller", "start"]);
    one.types("again\r");
    one.sees("said again");
    one.types("x\x1d");
    assert_eq!(one.leaves(), 0);
    assert!(processes::is_alive(payload), "it runs on");
    let log = world.ok(&["logs", "parrot"]);
    assert!(log.contains("\nsaid from two\n") && log.contains("\nsaid again\n"), "{log}");
    let mut last = Person::attach(&world, &["parrot"], 24, 80);
    last.sees("said again");
    last.types("\x15end\r");
    last.sees("service/parrot/0 ended (exit 3)");
    assert_eq!(last.leaves(), 1);
}

#[test]
fn a_screen_is_drawn_again_and_what_was_switched_on_is_switched_off() {
    let world = World::new();
    painter(&world);
    world.apply();
    let mut person = Person::attach(&world, &["painter"], 24, 80);
    person.until("the picture is there", |person| person.screen().contents().contains("painted"));
    person.types("ab");
    person.until("keys arrive one by one", |person| person.screen().contents().contains("keys b'ab'"));
    let screen = person.screen();
    assert!(screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste());
    assert_eq!(screen.rows(0, 80).nth(4).as_deref(), Some("         painted"));
    // A terminal in the newer way of sending keys spells Ctrl-] like this.
    person.types("\x1b[93;5u");
    assert_eq!(person.leaves(), 0);
    let screen = person.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert!(screen.contents().contains("attached to service/painter/0") && !screen.contents().contains("painted"));
    assert!(person.shown().contains("\x1b[<1u"), "keys are sent in the plain way again");
}

#[test]
fn a_terminal_is_put_back_however_it_ends() {
    let world = World::new();
    parrot(&world, "parrot", "");
    world.apply();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut person = Person::attach(&world, &["parrot"], 24, 80);
        person.sees("\r\nparrot");
        person.signal(signal);
        assert_eq!(person.leaves(), 130, "{signal:?}");
    }
    let mut person = Person::attach(&world, &["parrot"], 24, 80);
    person.sees("\r\nparrot");
    let shim = world.instance("parrot/0").shim.and_then(processes::id).expect("a shim");
    assert!(processes::send(shim, Signal::KILL));
    assert_eq!(person.leaves(), 1);
    person.sees("service/parrot/0 ended");
}

#[test]
fn a_flood_does_not_throw_a_person_out() {
    let world = World::new();
    tty(&world, "flood", "'read -r go; seq 200000; echo all; exec sleep 1000'");
    world.apply();
    let mut person = Person::attach(&world, &["flood"], 24, 80);
    person.sees("attached");
    person.types("go\r");
    // Long enough for the bounds to be reached, since nobody reads meanwhile.
    world.until("all is printed", || world.ok(&["logs", "flood", "--tail", "1"]).contains("all"));
    person.until("the last screen is there", |person| person.screen().contents().contains("200000\nall"));
    person.types("\x1d");
    assert_eq!(person.leaves(), 0);
}

#[test]
fn every_refusal_says_why() {
    let world = World::new();
    parrot(&world, "parrot", "");
    world.write("plain.yaml", &service("plain", "sleep 1000", ""));
    world.write("down.yaml", &service("down", "sleep 1000", "tty: true\nreplicas: 0"));
    parrot(&world, "two", "replicas: 2");
    world.write("beat.yaml", &service("beat", "exec cat", "heartbeat: { every: 1h, line: beat }"));
    world.apply();
    let table = [
        ("attach nothing", 3, "there is no `nothing`"),
        ("attach parrot/7", 3, "there is no instance `service/parrot/7`"),
        ("attach plain", 2, "service/plain/0 has no terminal\n  help: add `tty: true` to its manifest"),
        ("attach beat", 2, "service/beat/0 has no terminal"),
        ("attach down", 1, "down does not run"),
        ("attach two", 2, "two has 2 instances, from service/two/0 to service/two/1\n  help: name one of them"),
        ("attach parrot --detach-key F1", 2, "`F1` is no key with Ctrl; write ctrl-] or ctrl-a"),
        ("poke nothing x", 3, "there is no `nothing`"),
        ("poke plain x", 1, "service/plain/0 has neither a terminal nor a pipe to type into"),
        ("poke two x", 2, "two has 2 instances"),
        ("poke parrot", 2, "<TEXT>"),
    ];
    for (line, code, text) in table {
        let said = world.shell(&format!("setpoint {line} </dev/null"));
        assert!(said.code == code && said.err.contains(text) && said.out.is_empty(), "{line}: {said:?}");
    }
    // From inside a service: never to itself, and poke from anywhere.
    let program = env!("CARGO_BIN_EXE_setpoint");
    let inside = format!("'{program} attach self; echo code $?; {program} poke parrot inside; exec sleep 1000'");
    tty(&world, "self", &inside);
    world.ok(&["apply", "-f", "manifests"]);
    world.until("it is refused", || world.ok(&["logs", "self"]).contains("code 5"));
    let log = world.ok(&["logs", "self"]);
    assert!(log.contains("this runs inside service/self/0, and would be attached to itself"), "{log}");
    world.until("poke works there", || world.ok(&["logs", "parrot"]).contains("said inside"));
}

#[test]
fn a_line_is_typed_as_a_person_would() {
    let world = World::new();
    parrot(&world, "parrot", "");
    painter(&world);
    world.write("beat.yaml", &service("beat", "exec cat", "heartbeat: { every: 1h, line: beat }"));
    parrot(&world, "two", "replicas: 2");
    world.apply();
    world.ok(&["poke", "parrot", "one\ntwo"]);
    world.ok(&["poke", "parrot", "th", "--no-newline", "-q"]);
    world.ok(&["poke", "parrot", "--", "ree"]);
    world.ok(&["poke", "two/1", "-dash"]);
    // Its own line comes once it is ready, and would come in between.
    world.until("the first beat", || world.ok(&["logs", "beat"]).contains("beat\n"));
    world.ok(&["poke", "beat", "caf\u{e9}", "--no-newline"]);
    world.ok(&["poke", "beat", "\u{e9}"]);
    for (name, line) in [
        ("parrot", "said one\nsaid two\nsaid three\n"),
        ("service/two/1", "said -dash\n"),
        ("beat", "caf\u{e9}\u{e9}\n"),
    ] {
        // Without what the terminal echoes.
        let said = || {
            world
                .ok(&["logs", name])
                .lines()
                .filter(|line| line.starts_with("said") || name == "beat")
                .fold(String::new(), |all, line| all + line + "\n")
        };
        world.until(line, || said().contains(line));
    }
    // Where keys are read one by one, Enter comes after the text has been read, else it is taken for a paste.
    let log = || world.ok(&["logs", "painter"]);
    world.until("it reads keys", || log().contains("painted"));
    world.ok(&["poke", "painter", "run it"]);
    world.until("Enter has come", || log().contains("\\r'"));
    assert!(log().contains("keys b'run it'") && log().contains("keys b'\\r'"), "{}", log());
    let long = world.run(&["poke", "parrot", &"x".repeat(5000)]);
    assert_eq!((long.code, long.err.contains("takes at most 4095")), (1, true), "{long:?}");
    let most = "x".repeat(4095);
    world.ok(&["poke", "parrot", &most]);
    world.until("the longest line comes whole", || world.ok(&["logs", "parrot"]).contains(&format!("said {most}\n")));
}

#[test]
fn a_script_types_what_it_has_and_prints_what_it_gets() {
    let world = World::new();
    parrot(&world, "parrot", "");
    world.apply();
    let said = world.shell("printf 'a\\nb\\n' | setpoint attach parrot -q");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.contains("said a\r\nsaid b\r\n"), "{said:?}");
    assert!(!said.out.contains("parrot"), "only what comes from now on: {said:?}");
    let said = world.shell("echo end | setpoint attach parrot");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("service/parrot/0 ended (exit 3)"), "{said:?}");
}

#[test]
fn a_home_with_a_long_path_has_its_sockets_elsewhere() {
    let world = World::with_home(format!("{}/home", "long".repeat(30)));
    parrot(&world, "parrot", "");
    world.apply();
    world.ok(&["poke", "parrot", "far"]);
    world.until("it is said", || world.ok(&["logs", "parrot"]).contains("said far"));
    assert!(!world.home().join("records/service/parrot/0/io.sock").exists());
}
