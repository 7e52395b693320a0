//! Stories 5 and 7: what keeps dying is started ever more slowly and then given up; nobody else notices.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use setpoint::record::attempt::How;

use crate::processes;
use crate::world::{World, service};

const LOOP: &str = "backoff: { from: 200ms, factor: 2, to: 800ms }";

/// The moments of the starts of an instance, in nanoseconds of boot time.
fn starts(world: &World, name: &str) -> Vec<u64> {
    world.attempts(name).iter().map(|(birth, _)| birth.started_boot_ns).collect()
}

#[test]
fn s5_a_crash_loop_is_bounded_given_up_and_cleared() {
    let world = World::new();
    world.write("fine.yaml", &service("fine", "sleep 100000", ""));
    world.write("loop.yaml", &service("loop", "\"echo boom; exit 3\"", LOOP));
    world.apply();
    let _controller = world.controller();
    let fine = world.ready("fine/0");
    world.until_state("loop/0", "GaveUp");
    let first = starts(&world, "loop/0");
    assert_eq!(first.len(), 5);
    for (n, pair) in first.windows(2).enumerate() {
        let (waited, least) = (pair[1] - pair[0], (200_000_000_u64 << n).min(800_000_000));
        assert!(waited >= least, "start {} came {waited} ns after the one before, sooner than {least}", n + 2);
    }
    assert_eq!(world.ok(&["logs", "loop", "-n", "all"]).matches("boom").count(), 5);
    let told = |kind: &str| world.ok(&["events", "loop", "--type", kind]).lines().count();
    world.until("it is told that it is given up", || told("service.gave-up") > 0);
    assert_eq!(told("service.gave-up"), 1);
    assert!(told("*") <= 12, "{}", world.ok(&["events", "loop"]));
    // The second code path: an apply without a change, and a new controller, forgive nothing.
    world.ok(&["apply", "-f", "manifests"]);
    assert_eq!(world.state("loop/0"), "GaveUp");
    // One command clears it, for once.
    world.ok(&["restart", "loop"]);
    world.until("it has been tried again", || starts(&world, "loop/0").len() > 5);
    world.until_state("loop/0", "GaveUp");
    assert_eq!(starts(&world, "loop/0").len(), 10);
    // So does a fixed manifest.
    world.write("loop.yaml", &service("loop", "sleep 100000", LOOP));
    world.ok(&["apply", "-f", "manifests"]);
    world.ready("loop/0");
    assert_eq!(world.mains()["service/fine/0"], [fine], "the other service was affected");
}

#[test]
fn s5_a_controller_that_comes_back_forgives_nothing() {
    let world = World::new();
    world.write("loop.yaml", &service("loop", "exit 3", LOOP));
    world.apply();
    let mut controllers = 0;
    world.until("it is given up", || {
        let controller = world.launch(&[]);
        controllers += 1;
        let before = starts(&world, "loop/0").len();
        world.until("a start, or none is due", || starts(&world, "loop/0").len() > before || before == 5);
        controller.kill();
        before == 5
    });
    let _controller = world.controller();
    world.until_state("loop/0", "GaveUp");
    let all = starts(&world, "loop/0");
    assert_eq!(all.len(), 5, "{controllers} controllers");
    for (n, pair) in all.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= (200_000_000_u64 << n).min(800_000_000), "start {}", n + 2);
    }
}

#[test]
fn s5_a_hand_sent_kill_is_a_crash_and_a_long_life_pays_for_it() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 100000", "backoff: { from: 100ms }"));
    world.apply();
    let _controller = world.controller();
    for attempt in 1..=3_u32 {
        let web = world.ready("web/0");
        let begun = Instant::now();
        assert!(processes::send(web, Signal::KILL));
        world.until("it is back", || world.record("web/0", attempt + 1).is_some());
        // It was up for a second, which is longer than its delay: it comes back without one.
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", world.story());
        let end = world.record("web/0", attempt).and_then(|(_, end)| end).expect("an end");
        assert_eq!((end.how, end.asked), (How::Signal(9), false));
    }
    assert!(world.ok(&["describe", "web"]).contains("signal 9"));
}

#[test]
fn s5_an_end_that_the_restart_rule_accepts_is_the_end() {
    let world = World::new();
    let rule = |name: &str, run: &str, rule: &str| service(name, run, &format!("restart: {rule}\n{LOOP}"));
    let all = [
        rule("done", "exit 0", "on-failure"),
        rule("failing", "exit 1", "on-failure"),
        rule("once", "exit 1", "never"),
        rule("clean", "\"sleep 0.2\"", "never"),
    ];
    world.write("all.yaml", &all.concat());
    world.apply();
    let controller = world.controller();
    world.until_state("done/0", "Done");
    world.until_state("failing/0", "GaveUp");
    world.until_state("once/0", "Failed");
    world.until_state("clean/0", "Done");
    controller.kill();
    let _controller = world.controller();
    let counts = ["done/0", "failing/0", "once/0", "clean/0"].map(|name| starts(&world, name).len());
    assert_eq!(counts, [1, 5, 1, 1], "{}", world.story());
    assert_eq!(world.instance("once/0").last_exit.as_deref(), Some("exit 1"));
}

#[test]
fn s5_what_cannot_be_executed_is_a_crash_with_a_reason() {
    let world = World::new();
    world.write("gone.yaml", &service("gone", "[/nowhere/at-all]", LOOP));
    world.write("dir.yaml", &service("dir", "sleep 100000", &format!("dir: /nowhere\n{LOOP}")));
    world.apply();
    let _controller = world.controller();
    for name in ["gone", "dir"] {
        world.until_state(&format!("{name}/0"), "GaveUp");
        let why = world.ok(&["describe", name]);
        assert!(why.contains("/nowhere") && why.contains("not started"), "{why}");
    }
}

#[test]
fn s7_backoff_outlives_the_controller_and_does_not_outlast_its_time() {
    let world = World::new();
    // They die young: within a second or two, where the delay is six.
    let rule = "backoff: { from: 6s, to: 6s }";
    world.write("web.yaml", &service("web", "sleep 100000", rule));
    world.write("late.yaml", &service("late", "sleep 100000", rule));
    world.apply();
    let controller = world.controller();
    world.until("both run", || world.mains().len() == 2);
    let mains = world.mains();
    controller.kill();
    for id in mains.values().flatten() {
        assert!(processes::send(*id, Signal::KILL));
    }
    world.until("both ends are recorded", || {
        ["web/0", "late/0"].iter().all(|name| world.record(name, 1).is_some_and(|(_, end)| end.is_some()))
    });
    let controller = world.controller();
    world.until_state("web/0", "Backoff");
    world.until("both are back", || world.record("web/0", 2).is_some() && world.record("late/0", 2).is_some());
    let all = starts(&world, "web/0");
    let waited = Duration::from_nanos(all[1] - all[0]);
    assert!((Duration::from_secs(6)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
    // The wait goes by while nobody supervises: whoever comes later finds it over, and counts it as well.
    world.until("the second attempt runs", || world.mains().contains_key("service/late/0"));
    controller.kill();
    assert!(processes::send(world.mains()["service/late/0"][0], Signal::KILL));
    world.until("its end is recorded", || world.record("late/0", 2).is_some_and(|(_, end)| end.is_some()));
    let second = world.record("late/0", 2).expect("just seen").0;
    let due = second.started_boot_ns + 6_600_000_000;
    world.until("its wait is over", || setpoint::observe::clock::boot().nanos() > due);
    let begun = setpoint::observe::clock::boot().nanos();
    let _controller = world.launch(&[]);
    world.until("it is back", || world.record("late/0", 3).is_some());
    let third = world.record("late/0", 3).expect("just seen").0;
    assert!(third.started_boot_ns - begun < 6_000_000_000, "the wait began anew");
    assert_eq!(third.streak.deaths, 2);
}
