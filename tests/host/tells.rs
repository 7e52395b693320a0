//! Services that say of themselves how they are: by their output, over a socket, or by falling silent.

use setpoint::record::attempt::How;

use crate::world::{World, service};

/// Says what stands in the file `say`, line by line, as it comes to stand there.
const TELLER: &str = r"
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
said = 0
while True:
    lines = open('say').read().splitlines() if os.path.exists('say') else []
    for line in lines[said:]: s.sendto(line.encode(), '\0' + os.environ['NOTIFY_SOCKET'][1:])
    said = len(lines)
    time.sleep(0.02)
";

#[test]
fn a_service_is_ready_when_it_says_so() {
    let world = World::new();
    world.write("teller.py", TELLER);
    let wait = "'until [ -e go ]; do sleep 0.05; done; printf list; sleep 0.1; echo ening; exec sleep 100000'";
    world.write("told.yaml", &service("told", "python3 -u teller.py", "ready: { notify: true }"));
    world.write("logged.yaml", &service("logged", wait, "ready: { log: listening }"));
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let controller = world.controller();
    for name in ["told/0", "logged/0"] {
        world.until("it runs", || world.instance(name).pid.is_some());
        assert_eq!(world.state(name), "Starting", "{}", world.story());
    }
    world.write("go", "");
    world.write("say", "READY=1\nSTATUS=5 of 7\n");
    let (told, logged) = (world.ready("told/0"), world.ready("logged/0"));
    world.until("its status is shown", || world.ok(&["describe", "told"]).contains("it says: 5 of 7"));
    // Another controller sees the same, and so do they who look without one.
    controller.kill();
    assert_eq!((world.state("told/0"), world.state("logged/0")), ("Ready".to_owned(), "Ready".to_owned()));
    let _controller = world.controller();
    assert_eq!((world.ready("told/0"), world.ready("logged/0")), (told, logged));
}

#[test]
fn a_service_that_falls_silent_is_started_anew() {
    let world = World::new();
    world.write("teller.py", TELLER);
    world.write("dog.yaml", &service("dog", "python3 -u teller.py", "live: { notify: true, timeout: 2s }"));
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    // The shim ends it by itself; a controller only starts the next.
    let _controller = world.controller();
    let is_over = |number: u32| world.record("dog/0", number).and_then(|(_, end)| end);
    world.until("it is ended", || is_over(1).is_some());
    let end = is_over(1).expect("just seen");
    assert_eq!((end.how, end.asked), (How::Unhealthy("no WATCHDOG=1 for 2s".to_owned()), false));
    world.until("the next one runs", || world.record("dog/0", 2).is_some());
    assert!(world.ok(&["describe", "dog"]).contains("not healthy (no WATCHDOG=1 for 2s)"), "{}", world.story());
    world.ok(&["delete", "dog"]);
    assert!(!world.processes().iter().any(|process| process.instance().is_some()), "{}", world.story());
}
