//! What waits while the machine is pressed, and who goes first when places are short.
//!
//! In: a world, and a load that is made up: a file over `/proc/loadavg`, in a mount namespace of the controller. Out: pass
//! or fail. Not here: every order of events, which the simulators try by the thousand.
//! The surprise: where nobody may mount, only what needs no made-up load is tested, and that is said.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::asks::{outcome, runs};
use crate::world::{Controller, World, said, service};

const JOB: &str = "kind: Job\nname: j\nrun: 'true'\n";

/// More memory than there is.
const SHORT: &str = "kind: Settings\nname: machine\ngates: { memoryFree: 900Ti }\n";

fn is_done(world: &World, object: &str) -> bool {
    runs(world, object).values().any(|row| outcome(row) == "ok")
}

#[test]
fn a_job_waits_with_its_reason_and_begins_when_the_gate_is_lifted() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.write("job.yaml", JOB);
    world.write("settings.yaml", SHORT);
    world.apply();
    let controller = world.controller();
    world.ready("web/0");
    let is_said = |words: &[&str], what: &str| {
        let said = world.run(words);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("Mi of memory are free, under 943718400Mi (gates.memoryFree)"), "{words:?}: {all}");
        assert!(all.contains(what), "{words:?}: {all}");
    };
    world.until("it is held back", || world.ok(&["controller", "status"]).contains("held back"));
    is_said(&["controller", "status"], "held back");
    is_said(&["get", "-o", "wide"], "Waiting");
    is_said(&["get", "job/j", "-o", "json"], "\"next\": \"2");
    is_said(&["describe", "job/j"], "Why:");
    is_said(&["diff", "-f", "manifests"], "no run begins now");
    is_said(&["doctor"], "no run begins now");
    is_said(&["run", "job/j"], "starts when that is over");
    assert!(!runs(&world, "job/j").values().any(|row| row.end.is_some()), "nothing has begun");
    // Whoever follows finds the same.
    controller.kill();
    let _controller = world.controller();
    world.until("it is held back", || world.ok(&["controller", "status"]).contains("held back"));
    world.write("settings.yaml", "kind: Settings\nname: machine\ngates: { memoryFree: 1Mi }\n");
    world.apply();
    world.until("both have run", || runs(&world, "job/j").values().filter(|row| outcome(row) == "ok").count() == 2);
    assert!(!world.ok(&["controller", "status"]).contains("held back"));
}

#[test]
fn a_message_waits_in_its_queue_while_the_machine_is_pressed() {
    let world = World::new();
    world.write("box.yaml", "kind: Mailbox\nname: inbox\nrules: [{ match: any, run: cat }]\n");
    world.write("settings.yaml", SHORT);
    world.apply();
    let _controller = world.controller();
    world.ok(&["send", "inbox", "hello"]);
    world.until("it is held back", || world.ok(&["controller", "status"]).contains("held back"));
    assert!(world.ok(&["describe", "mailbox/inbox"]).contains("(gates.memoryFree)"));
    assert!(runs(&world, "mailbox/inbox").is_empty(), "nothing is claimed");
    world.write("settings.yaml", "kind: Settings\nname: machine\n");
    world.apply();
    world.until("it is done", || is_done(&world, "mailbox/inbox"));
}

/// A controller that sees `load` as `/proc/loadavg`; none where that is impossible.
fn beside(world: &World, load: &Path) -> Option<Controller> {
    let script = "mount --bind \"$0\" /proc/loadavg && exec \"$@\"";
    let mount = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh", "-c", script]).arg(load).args(words);
        command
    };
    let tried = said(mount(&["true"]).output().expect("unshare"));
    if tried.code != 0 {
        println!("skipped: nothing may be mounted here: {}", tried.err.trim());
        return None;
    }
    Some(world.controller_of(mount(&[env!("CARGO_BIN_EXE_setpoint"), "controller", "run"])))
}

fn load_file(world: &World, text: &str) -> PathBuf {
    let path = world.root().join("loadavg");
    std::fs::write(&path, text).expect("a file");
    path
}

#[test]
fn what_waits_is_looked_at_again_by_itself() {
    let world = World::new();
    world.write("job.yaml", JOB);
    world.write("settings.yaml", "kind: Settings\nname: machine\ngates: { load: 4000 }\n");
    world.apply();
    let load = load_file(&world, "5000.25 1.00 1.00 1/100 4711\n");
    let Some(_controller) = beside(&world, &load) else { return };
    let status = || world.ok(&["controller", "status"]);
    world.until("it is held back", || status().contains("the load is 5000.25, over 4000.00 (gates.load)"));
    // Written in place: a mount stays with the file it was made of.
    load_file(&world, "3.00 1.00 1.00 1/100 4711\n");
    let begun = Instant::now();
    // The store is read, and nobody asks the controller for anything.
    world.until("it has run", || is_done(&world, "job/j"));
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
}

#[test]
fn where_nobody_has_set_a_limit_or_nothing_begins_nothing_is_asked() {
    let world = World::new();
    world.write("job.yaml", JOB);
    world.apply();
    // Whoever opened this would wait for ever.
    let load = world.root().join("loadavg");
    rustix::fs::mkfifoat(rustix::fs::CWD, &load, rustix::fs::Mode::from_raw_mode(0o600)).expect("a pipe");
    let Some(_controller) = beside(&world, &load) else { return };
    world.until("it has run without a limit", || is_done(&world, "job/j"));
    world.write("web.yaml", &service("web", "sleep 1002", ""));
    world.write("settings.yaml", "kind: Settings\nname: machine\ngates: { load: 4000 }\n");
    world.apply();
    world.ready("web/0");
    // And whoever asks is answered: this is what was waited for.
    world.write("job.yaml", &JOB.replace("true", "exit 0"));
    world.apply();
    world.until("somebody opens it, and is told", || {
        let answer =
            OpenOptions::new().write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(&load);
        answer.is_ok_and(|mut pipe| std::io::Write::write_all(&mut pipe, b"1.00 1.00 1.00 1/1 1\n").is_ok())
    });
    world.until("it has run within the limit", || {
        runs(&world, "job/j").values().filter(|row| outcome(row) == "ok").count() == 2
    });
}

#[test]
fn a_mailbox_with_many_messages_does_not_starve_another() {
    let world = World::new();
    let marks = world.root().join("marks");
    let mailbox = |name: &str| {
        let run = format!("run: [sh, -c, 'echo {name} >> {}']", marks.display());
        format!("kind: Mailbox\nname: {name}\natOnce: 50\nrules: [{{ match: any, {run} }}]\n---\n")
    };
    let settings = "kind: Settings\nname: machine\nmaxRuns: 1\n";
    world.write("all.yaml", &format!("{}{}{settings}", mailbox("a-many"), mailbox("b-few")));
    world.apply();
    for (name, count) in [("a-many", 40), ("b-few", 4)] {
        (0..count).for_each(|n| _ = world.ok(&["send", name, &n.to_string()]));
    }
    let _controller = world.controller();
    let lines = || std::fs::read_to_string(&marks).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    world.until("the four of the other are done", || lines().iter().filter(|line| *line == "b-few").count() == 4);
    let lines = lines();
    let last = lines.iter().rposition(|line| line == "b-few").expect("four of them");
    // They came after all forty of the first, and take turns with them.
    assert!(last < 14, "{lines:?}");
}
