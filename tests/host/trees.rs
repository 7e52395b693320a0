//! Stories 2, 3 and 11: a stop means that the whole tree is gone, a killed shim is found out, a stranger is let be.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use setpoint::record::attempt::How;

use crate::processes::{self, Process};
use crate::world::{World, service};

/// Everything a tree can do to escape: a second session, a parent that goes away, no descriptors, a deaf ear for TERM,
/// and output that nobody reads.
const HYDRA: &str = r#"---
kind: Service
name: hydra
stop: { grace: 1s }
run: |
  trap '' TERM HUP
  (setsid sh -c 'trap "" TERM HUP; sleep 100000 & sleep 100001' &)
  (setsid sh -c 'trap "" TERM HUP; exec sleep 100002 <&- >&- 2>&-' &)
  (setsid env -i /bin/sh -c 'trap "" TERM; while :; do sleep 100003; done' &)
  (yes 'a line that fills the pipe' &)
  while :; do sleep 100004; done
"#;

/// Live processes of the world that run this program.
fn count(world: &World, comm: &str) -> usize {
    world.processes().iter().filter(|process| process.comm == comm).count()
}

fn is_hydra_whole(world: &World) -> bool {
    count(world, "sleep") == 5 && count(world, "yes") == 1
}

#[test]
fn s11_delete_leaves_nothing_of_a_tree_that_tries_everything() {
    let world = World::new();
    world.write("hydra.yaml", &format!("{HYDRA}log: {{ maxSize: 64Ki, maxFiles: 2 }}\n"));
    world.apply();
    let _controller = world.controller();
    world.ready("hydra/0");
    world.until("all heads are there", || is_hydra_whole(&world));
    let begun = Instant::now();
    world.ok(&["delete", "hydra"]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "the grace was not given");
    let left: Vec<Process> = world.processes().into_iter().filter(|p| p.comm != "setpoint").collect();
    assert!(left.is_empty(), "{left:?}");
    let end = world.attempts("hydra/0")[0].1.clone().expect("an end");
    assert!(end.asked && end.tree_left == 0 && end.tree_seen >= 7, "{end:?}");
    let files = std::fs::read_dir(world.home().join("logs/service/hydra")).expect("logs").count();
    assert!(files <= 2, "{files} log files");
}

#[test]
fn s11_a_database_gets_its_grace() {
    let world = World::new();
    let run = "\"trap 'sleep 3; echo flushed; exit 0' TERM; while :; do sleep 0.05; done\"";
    world.write("db.yaml", &service("db", run, "stop: { grace: 30s }"));
    world.apply();
    let _controller = world.controller();
    world.ready("db/0");
    world.ok(&["delete", "db"]);
    let end = world.attempts("db/0")[0].1.clone().expect("an end");
    assert_eq!((end.how, end.tree_left), (How::Code(0), 0));
}

#[test]
fn s11_a_killed_shim_leaves_a_tree_that_is_named_ended_and_started_anew() {
    let world = World::new();
    let deaf = "\"trap '' TERM PIPE; while :; do sleep 0.2; done\"";
    world.write("sh.yaml", &service("sh", deaf, "stop: { grace: 4s }"));
    world.apply();
    let controller = world.controller();
    let main = world.ready("sh/0");
    let shim = processes::id(world.instance("sh/0").shim.expect("a shim"));
    assert!(processes::send(shim, Signal::KILL));
    let named = format!("sh ({})", main.pid);
    world.until("it is shown by name and pid", || world.ok(&["describe", "sh"]).contains(&named));
    assert!(world.ok(&["describe", "sh"]).contains("Lingering"), "{}", world.ok(&["describe", "sh"]));
    // Nothing is started beside what lingers, by this controller or the next.
    controller.kill();
    let _controller = world.controller();
    while processes::is_alive(main) {
        let attempts = world.attempts("sh/0").len();
        assert!(attempts == 1 || !processes::is_alive(main), "started beside the old one");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.until("the next attempt is there", || world.attempts("sh/0").len() == 2);
    let end = world.attempts("sh/0")[0].1.clone().expect("an end");
    assert_eq!((end.how, end.asked), (How::Lost, false));
    world.ready("sh/0");
    assert_eq!(world.mains()["service/sh/0"].len(), 1);
}

/// The shim of each of these is killed; each hides in another way, and none may be doubled.
const HIDDEN: [(&str, &str); 4] = [
    (
        "closed",
        "\"trap '' TERM PIPE; exec sh -c 'while :; do sleep 0.2; done' <&- >&- 2>&- 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\"",
    ),
    ("cleared", "\"exec env -i PATH=$PATH sh -c 'trap \\\"\\\" TERM; while :; do sleep 0.2; done'\""),
    ("child", "\"(setsid sh -c 'trap \\\"\\\" TERM HUP; exec sleep 100005' >/dev/null 2>&1 &); sleep 100006\""),
    ("plain", "sleep 100007"),
];

#[test]
fn s11_no_tree_of_a_killed_shim_is_doubled_however_it_hides() {
    let world = World::new();
    let fleet: String = HIDDEN.iter().map(|(name, run)| service(name, run, "stop: { grace: 500ms }")).collect();
    world.write("fleet.yaml", &fleet);
    world.apply();
    let _controller = world.controller();
    for (name, _) in HIDDEN {
        world.ready(&format!("{name}/0"));
    }
    world.until("the child has left its session", || count(&world, "sleep") >= 5);
    let all = world.get();
    let old: Vec<_> = world.processes().into_iter().filter(|p| !p.is_shim() && p.comm != "setpoint").collect();
    for instance in all.values() {
        assert!(processes::send(processes::id(instance.shim.expect("a shim")), Signal::KILL));
    }
    for (name, _) in HIDDEN {
        world.until(&format!("{name} is started anew"), || world.attempts(&format!("{name}/0")).len() == 2);
        let birth = world.record(&format!("{name}/0"), 2).expect("just seen").0;
        let end = world.record(&format!("{name}/0"), 1).and_then(|(_, end)| end).expect("the first has an end");
        assert!(end.at_boot_ns <= birth.started_boot_ns, "{name} was started before the old one had ended");
        world.ready(&format!("{name}/0"));
    }
    let left: Vec<_> = old.iter().filter(|p| processes::is_alive(p.id)).collect();
    assert!(left.is_empty(), "{left:?}\n{}", world.story());
}

#[test]
fn s11_a_killed_shim_with_python_children() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let world = World::new();
    let text = "import signal, subprocess, time\n\
                signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                subprocess.Popen(['sleep', '100008'], start_new_session=True)\n\
                while True: time.sleep(1)\n";
    std::fs::write(world.manifests().join("app.py"), text).expect("a script");
    world.write("app.yaml", &service("app", "[python3, app.py]", "stop: { grace: 500ms }"));
    world.apply();
    let _controller = world.controller();
    let main = world.ready("app/0");
    world.until("its child runs", || count(&world, "sleep") == 1);
    let child = world.processes().into_iter().find(|p| p.comm == "sleep").expect("just seen").id;
    assert!(processes::send(processes::id(world.instance("app/0").shim.expect("a shim")), Signal::KILL));
    world.until("both are gone", || !processes::is_alive(main) && !processes::is_alive(child));
    world.until("it is started anew", || world.attempts("app/0").len() == 2);
    world.ready("app/0");
    assert_eq!(world.mains()["service/app/0"].len(), 1);
}

#[test]
fn s3_a_frozen_payload_is_shown_and_let_be() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    world.apply();
    let controller = world.controller();
    let web = world.ready("web/0");
    assert!(processes::send(web, Signal::STOP));
    world.until_state("web/0", "Frozen");
    controller.kill();
    let _controller = world.controller();
    world.until_state("web/0", "Frozen");
    assert!(world.ok(&["describe", "web"]).contains("frozen"));
    assert_eq!((world.mains()["service/web/0"].clone(), world.attempts("web/0").len()), (vec![web], 1));
    assert!(processes::send(web, Signal::CONT));
    assert_eq!(world.ready("web/0"), web);
    // A stop wakes a frozen one.
    assert!(processes::send(web, Signal::STOP));
    world.ok(&["delete", "web"]);
    let end = world.attempts("web/0")[0].1.clone().expect("an end");
    assert_eq!((end.how, end.asked), (How::Signal(15), true));
}

#[test]
fn s11_a_frozen_shim_is_bypassed() {
    let world = World::new();
    world.write("web.yaml", &service("web", "\"sleep 100000 & sleep 100001\"", "stop: { grace: 1s }"));
    world.apply();
    let _controller = world.controller();
    world.ready("web/0");
    let shim = processes::id(world.instance("web/0").shim.expect("a shim"));
    assert!(processes::send(shim, Signal::STOP));
    let begun = Instant::now();
    world.ok(&["delete", "web"]);
    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(30)).contains(&took), "{took:?}: it has 2 s to begin");
    let left: Vec<Process> = world.processes().into_iter().filter(|p| p.comm != "setpoint").collect();
    assert!(left.is_empty(), "{left:?}");
    // The name is free for the next one.
    world.apply();
    world.ready("web/0");
}

/// A service whose shim is frozen in the middle of its stop.
fn freeze_a_stop(world: &World) {
    let shim = processes::id(world.instance("web/0").shim.expect("a shim"));
    world.ok(&["delete", "web", "--no-wait"]);
    let is_stopping = || world.processes().iter().any(|p| p.comm == "sp-stopping");
    world.until("the stop has begun", is_stopping);
    assert!(processes::send(shim, Signal::STOP));
}

/// It ignores the stop signal, so that the shim is still at it when it is frozen.
const DEAF: &str = "\"trap '' TERM; sleep 100000 & wait; sleep 100001\"";

#[test]
fn s11_a_shim_that_freezes_in_the_middle_of_a_stop_is_bypassed() {
    let world = World::new();
    world.write("web.yaml", &service("web", DEAF, "stop: { grace: 1s }"));
    world.apply();
    let _controller = world.controller();
    world.ready("web/0");
    freeze_a_stop(&world);
    world.until("nothing is left", || world.processes().into_iter().all(|p| p.comm == "setpoint"));
}

#[test]
fn s11_a_stop_that_froze_under_an_earlier_controller_is_bypassed() {
    let world = World::new();
    world.write("web.yaml", &service("web", DEAF, "stop: { grace: 3s }"));
    world.apply();
    let controller = world.controller();
    world.ready("web/0");
    freeze_a_stop(&world);
    controller.kill();
    let _controller = world.controller();
    world.until("nothing is left", || world.processes().into_iter().all(|p| p.comm == "setpoint"));
}

#[test]
fn s2_a_stranger_with_our_words_is_never_touched() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", ""));
    world.write("db.yaml", &service("db", "sleep 100000", ""));
    let twin = || Command::new("sleep").arg("100000").current_dir(world.root()).spawn().expect("sleep");
    let mut strangers = vec![twin()];
    world.apply();
    let controller = world.controller();
    let web = world.ready("web/0");
    let shim = world.instance("web/0").shim.expect("a shim");
    let argv = std::fs::read_to_string(format!("/proc/{shim}/cmdline")).expect("its argv");
    // Programs of the names of shims, with the very arguments of one, waiting for a word that never comes.
    std::fs::write(world.root().join("shim"), "read -r word\n").expect("a script");
    for name in ["sp-ready", "sp-starting"] {
        let copy = world.root().join(name);
        std::fs::copy("/bin/sh", &copy).expect("a copy of the shell");
        for (instance, attempt) in
            [("service/web/0", 1), ("service/web/0", 9), ("service/db/0", 9), ("service/ghost/0", 1)]
        {
            let mut words: Vec<String> = argv.split_terminator('\0').skip(1).map(str::to_owned).collect();
            (words[1], words[2]) = (instance.to_owned(), format!("attempt={attempt}"));
            let mut impostor = Command::new(&copy);
            impostor.args(words).current_dir(world.root()).stdin(Stdio::piped());
            strangers.push(impostor.spawn().expect("the copy"));
        }
    }
    strangers.push(twin());
    world.ok(&["restart", "db"]);
    world.until("db has been replaced", || world.attempts("db/0").len() == 2);
    world.ok(&["delete", "web"]);
    assert!(!processes::is_alive(web));
    controller.kill();
    let _controller = world.controller();
    world.ready("db/0");
    assert_eq!(world.mains().len(), 1, "{}", world.story());
    for stranger in &mut strangers {
        assert!(stranger.try_wait().expect("a child of ours").is_none(), "a stranger was ended");
        stranger.kill().expect("a child of ours");
        stranger.wait().expect("its end");
    }
}
