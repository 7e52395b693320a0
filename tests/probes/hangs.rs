//! Story 6: whatever a probe does, nothing else feels it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::peer::{HANG, Peer, reason};
use crate::processes;
use crate::world::{World, service};

/// A command that hangs for so many seconds, and so does a child of it; neither minds TERM.
fn stubborn(seconds: u32) -> String {
    let child = format!("sh -c 'trap \\\"\\\" TERM; sleep {seconds}' & sleep {seconds}");
    format!("ready: {{ command: [sh, -c, \"trap '' TERM; {child}\"], timeout: 300ms, period: 200ms }}")
}

/// Processes that sleep for so many seconds.
fn sleepers(seconds: u32) -> usize {
    let line = format!("sleep\0{seconds}\0").into_bytes();
    let folders = std::fs::read_dir("/proc").expect("the process table").flatten();
    folders.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|found| found == line)).count()
}

#[test]
fn slow_probes_hold_up_nobody() {
    let world = World::new();
    let (hung, fine) = (Peer::new(HANG), Peer::new(200));
    let more = |probe: &str| format!("ready: {{ {probe} }}");
    let flood = "command: [sh, -c, \"head -c 1000000000 /dev/zero; echo; echo the last line; exit 3\"], timeout: 60s";
    let text = service("hung", "sleep 100000", &more(&format!("http: {}, timeout: 24h", hung.port())))
        + &service("nameless", "sleep 100000", &more("tcp: \"no-such-name.invalid:80\", timeout: 5s"))
        + &service("stubborn", "sleep 100000", &stubborn(98_765))
        + &service("flood", "sleep 100000", &more(flood))
        + &service("fine", "sleep 100000", &more(&format!("http: {}, period: 100ms", fine.port())))
        + &service("plain", "sleep 100000", "backoff: { from: 10ms, resetAfter: 100ms }");
    world.write("all.yaml", &text);
    world.apply();
    let _controller = world.controller();
    world.ready("fine/0");
    for _ in 0..3 {
        let main = world.ready("plain/0");
        assert!(processes::send(main, Signal::KILL));
        let begun = Instant::now();
        world.until("it is started anew", || world.mains().get("service/plain/0").is_some_and(|ids| ids[0] != main));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(world.run(&["controller", "status"]).code, 0);
    }
    for (name, end) in
        [("stubborn/0", "command sh: not done within 300ms"), ("flood/0", "command sh: exit 3: the last line")]
    {
        world.until(&format!("{name} says {end}"), || reason(&world, name).contains(end));
    }
    world.until("a name that nobody has is said", || reason(&world, "nameless/0").contains("no-such-name.invalid"));
    assert_eq!(world.state("fine/0"), "Ready");
    assert!(reason(&world, "hung/0").contains("not been probed yet"), "{}", reason(&world, "hung/0"));
}

#[test]
fn a_probe_does_not_outlive_its_time_or_its_controller() {
    let world = World::new();
    world.write("all.yaml", &service("stubborn", "sleep 100000", &stubborn(98_764)));
    world.apply();
    let controller = world.controller();
    world.until("both sleep", || sleepers(98_764) == 2);
    world.until("it is late", || reason(&world, "stubborn/0").contains("not done within"));
    world.ok(&["pause", "stubborn"]);
    world.until("nothing of its probes is left", || sleepers(98_764) == 0);
    world.ok(&["resume", "stubborn"]);
    let long = "ready: { command: [sleep, \"87654\"], timeout: 24h }";
    world.write("all.yaml", &service("long", "sleep 100000", long));
    world.apply();
    world.ok(&["controller", "status"]);
    let is_there =
        || world.processes().iter().any(|process| process.comm == "sleep" && process.parent == controller.id());
    world.until("a long one runs", is_there);
    let probe = world.processes().into_iter().find(|process| process.parent == controller.id()).expect("it runs").id;
    controller.kill();
    world.until("it ends with its controller", || !processes::is_alive(probe));
}

#[test]
fn what_a_probe_prints_of_a_secret_is_not_shown() {
    let world = World::new();
    std::fs::write(world.manifests().join("token"), "planted-7d1f\n").expect("a file");
    let more = "env: { TOKEN: { fromFile: token }, PLAIN: in-the-open }\n\
                ready: { command: [sh, -c, \"echo $PLAIN $TOKEN; exit 1\"] }";
    world.write("all.yaml", &service("web", "sleep 100000", more));
    world.apply();
    let _controller = world.controller();
    world.until("it is said", || reason(&world, "web/0").contains("exit 1: in-the-open ***"));
    for words in [&["get", "-o", "json"][..], &["describe", "web"], &["events"], &["controller", "logs"]] {
        let said = world.run(words);
        assert!(!said.out.contains("planted-7d1f") && !said.err.contains("planted-7d1f"), "{words:?}");
    }
}
